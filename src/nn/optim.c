// SPDX-License-Identifier: MIT OR Apache-2.0
/* optim.c - optimisers: their parameters' state, groups, steps, files.  The rules are in
 * rules.c, written in the library's own operations, so they run on any device. */
#include "optim.h"

#include <wick/io.h>

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static char *duplicate(const char *text)
{
    size_t size = strlen(text) + 1;
    char  *copy = wk_alloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}

/* ---- Making ------------------------------------------------------------- */

static double or_default(double x, double otherwise)
{
    return x == WK_NONE ? 0 : x != 0 ? x : otherwise;
}

wk_optim *wk_optim_new(const wk_optim_args *a, const wk_rule *r)
{
    wk_optim *o = wk_ok() ? wk_alloc(sizeof *o) : NULL;
    if (!o)
        return NULL;
    const wk_optim_args *d = &r->defaults;
    *o = (wk_optim){ .arg = *a, .rule = r };
    o->arg.lr = or_default(a->lr, d->lr);
    o->arg.momentum = or_default(a->momentum, d->momentum);
    o->arg.beta1 = or_default(a->beta1, d->beta1);
    o->arg.beta2 = or_default(a->beta2, d->beta2);
    o->arg.eps = or_default(a->eps, d->eps);
    o->arg.alpha = or_default(a->alpha, d->alpha);
    o->arg.decay = or_default(a->decay, d->decay);
    o->arg.momentum_decay = or_default(a->momentum_decay, d->momentum_decay);
    o->arg.beta2_decay = or_default(a->beta2_decay, d->beta2_decay);
    o->arg.eps2 = or_default(a->eps2, d->eps2);
    o->arg.threshold = or_default(a->threshold, d->threshold);
    if (!a->store)
        wk_fail(WK_ERR_ARGUMENT, "%s: an optimiser without a store", r->name);
    return o;
}

void wk_optim_free(wk_optim *o)
{
    if (!o)
        return;
    for (size_t i = 0; i < o->count; i++) {
        for (int k = 0; k < MOST_STATE; k++)
            wk_drop(o->slot[i].state[k]);
        wk_drop(o->slot[i].wide);
    }
    for (size_t i = 0; i < o->groups; i++)
        wk_free(o->group[i].part);
    wk_free(o->group);
    wk_free(o->slot);
    wk_free(o);
}

void wk_set_lr(wk_optim *o, double lr)
{
    if (o)
        o->arg.lr = lr;
}

void wk_optim_group_with(wk_optim *o, const char *part, const wk_group_args *a)
{
    if (!wk_ok() || !o || !part ||
        !wk_reserve(&o->group, &o->group_room, o->groups + 1, sizeof *o->group))
        return;
    char *copy = duplicate(part);
    if (copy)
        o->group[o->groups++] = (wk_group){ copy, a->lr, a->decay, a->adamw };
}

/* ---- Steps -------------------------------------------------------------- */

static bool is_wide(const wk_tensor *p) { return p->dtype == WK_F32 || p->dtype == WK_F64; }

/* A slot for each parameter of the store. */
static bool grow(wk_optim *o)
{
    size_t n = (size_t)wk_store_count(o->arg.store);
    if (!wk_reserve(&o->slot, &o->room, n, sizeof *o->slot))
        return false;
    while (o->count < n)
        o->slot[o->count++] = (wk_slot){ .product = 1 };
    return true;
}

/* The state of p, if there is none yet. */
static bool begin(const wk_optim *o, wk_slot *s, const wk_tensor *p)
{
    wk_scope scope = wk_mark();
    if (!is_wide(p) && !s->wide)
        s->wide = wk_keep(wk_cast((wk_tensor *)p, WK_F32));
    wk_dtype dtype = is_wide(p) ? p->dtype : WK_F32;
    for (int k = 0; wk_ok() && k < o->rule->states; k++) {
        wk_shape shape = p->shape;
        if (!s->state[k] && (!o->rule->shape || o->rule->shape(o, p, k, &shape)))
            s->state[k] = wk_keep(wk_zeros_of(dtype, shape));
    }
    wk_sweep(scope);
    return wk_ok();
}

/* The numbers of a parameter's group for those of all. */
static void enter_group(wk_optim *o, const wk_tensor *p)
{
    double lr = o->arg.lr, decay = o->arg.decay;
    o->adamw = false;
    for (size_t i = 0; i < o->groups; i++)
        if (strstr(wk_name(p), o->group[i].part)) {
            o->arg.lr = lr * (o->group[i].lr != 0 ? o->group[i].lr : 1);
            o->arg.decay = or_default(o->group[i].decay, decay);
            o->adamw = o->group[i].adamw;
        }
}

/* One parameter's step, with the numbers of its group. */
static void update(wk_optim *o, wk_tensor *p, wk_slot *s)
{
    const wk_optim_args before = o->arg;
    wk_tensor          *g = wk_grad(p);
    enter_group(o, p);
    if (!begin(o, s, p)) {
        o->arg = before;
        return;
    }
    o->steps = ++s->steps;
    s->product *= o->arg.beta1 * (1 - 0.5 * pow(0.96, (double)s->steps * o->arg.momentum_decay));
    o->product = s->product;
    o->rule->update(o, s->wide ? s->wide : p, s->wide ? wk_cast(g, WK_F32) : g, s->state);
    if (s->wide)
        wk_assign(p, s->wide);
    o->arg = before;
}

bool wk_step(wk_optim *o)
{
    if (!wk_ok() || !o)
        return false;
    bool before = wk_no_grad(true);
    grow(o);
    for (size_t i = 0; i < o->count && wk_ok(); i++) {
        wk_scope   scope = wk_mark();
        wk_tensor *p = wk_store_at(o->arg.store, (int)i);
        if (wk_grad(p))
            update(o, p, &o->slot[i]);
        wk_set_grad(p, NULL);
        wk_sweep(scope);
    }
    wk_no_grad(before);
    return wk_ok();
}

/* ---- Files -------------------------------------------------------------- */

/* "model.norm.weight/1" is state number 1 of that parameter, the last number its copy in
 * f32; the metadata "model.norm.weight" has its steps and nadam's product. */
enum { KEPT = MOST_STATE + 1 };

static wk_tensor *kept(const wk_slot *s, int k) { return k < MOST_STATE ? s->state[k] : s->wide; }

static char *text_of(const char *format, ...)
{
    char    room[400];
    va_list args;
    va_start(args, format);
    vsnprintf(room, sizeof room, format, args);
    va_end(args);
    return duplicate(room);
}

bool wk_optim_save(const wk_optim *o, const char *path)
{
    size_t      count = o ? o->count : 0, n = 0, m = 2;
    char      **names = wk_ok() ? wk_alloc_array(count * KEPT + 1, sizeof *names) : NULL;
    char      **notes = wk_ok() ? wk_alloc_array(2 * count + 3, sizeof *notes) : NULL;
    wk_tensor **tensors = wk_ok() ? wk_alloc_array(count * KEPT + 1, sizeof *tensors) : NULL;
    if (wk_ok() && o) {
        notes[0] = duplicate("rule");
        notes[1] = duplicate(o->rule->name);
    }
    for (size_t i = 0; wk_ok() && i < count; i++) {
        const wk_slot *s = &o->slot[i];
        const char    *name = wk_name(wk_store_at(o->arg.store, (int)i));
        if (s->steps) {
            notes[m] = text_of("%s", name);
            notes[m + 1] = text_of("%lld %a", (long long)s->steps, s->product);
            m += 2;
        }
        for (int k = 0; wk_ok() && k < KEPT; k++)
            if (s->steps && kept(s, k) && (names[n] = text_of("%s/%d", name, k)))
                tensors[n++] = kept(s, k);
    }
    if (wk_ok() && o)
        wk_safetensors_save(path, (int)n, (const char *const *)names, tensors,
                            (const char *const *)notes);
    for (size_t i = 0; names && i < n; i++)
        wk_free(names[i]);
    for (size_t i = 0; notes && i < m; i++)
        wk_free(notes[i]);
    wk_free(names);
    wk_free(notes);
    wk_free(tensors);
    return wk_ok() && o;
}

static void load_slot(wk_optim *o, wk_slot *s, wk_tensor *p, const wk_archive *a, const char *path)
{
    const char         *note = wk_archive_metadata(a, wk_name(p));
    const wk_optim_args all = o->arg;
    char               *end = NULL, room[300], x[160], y[160];
    long long           steps = note ? strtoll(note, &end, 10) : 0;
    double              product = end ? strtod(end, NULL) : 0;
    enter_group(o, p); /* which may say what state there is */
    o->arg = all;
    if (!note || !begin(o, s, p))
        return;
    if (steps <= 0 || !isfinite(product))
        wk_fail(WK_ERR_FORMAT, "%s: %s: steps \"%.40s\"", path, wk_name(p), note);
    for (int k = 0; wk_ok() && k < KEPT; k++) {
        wk_tensor *to = kept(s, k), *from;
        if (!to)
            continue;
        snprintf(room, sizeof room, "%s/%d", wk_name(p), k);
        from = wk_archive_get(a, room);
        if (from && !wk_same_shape(from->shape, to->shape))
            wk_fail(WK_ERR_SHAPE, "%s: %s is not of the shape of %s", path, wk_show(from, x),
                    wk_show(p, y));
        wk_assign(to, from);
    }
    s->steps = steps;
    s->product = product;
}

bool wk_optim_load(wk_optim *o, const char *path)
{
    wk_archive *a = o ? wk_archive_open(path) : NULL;
    if (!a)
        return false;
    const char *rule = wk_archive_metadata(a, "rule");
    bool        before = wk_no_grad(true);
    if (!rule || strcmp(rule, o->rule->name))
        wk_fail(WK_ERR_FORMAT, "%s: not the state of %s", path, o->rule->name);
    else
        grow(o);
    for (size_t i = 0; wk_ok() && i < o->count; i++) {
        wk_scope scope = wk_mark();
        load_slot(o, &o->slot[i], wk_store_at(o->arg.store, (int)i), a, path);
        wk_sweep(scope);
    }
    wk_no_grad(before);
    wk_archive_free(a);
    return wk_ok();
}
