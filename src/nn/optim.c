// SPDX-License-Identifier: MIT OR Apache-2.0
/* optim.c - optimisers: their parameters' state, groups, steps, files.  The rules are in
 * rules.c, written in the library's own operations, so they run on any device. */
#include "optim.h"

#include <wick/io.h>

#include <math.h>
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
    *o = (wk_optim){ .arg = *a, .rule = r, .product = 1 };
    o->arg.lr = or_default(a->lr, d->lr);
    o->arg.momentum = or_default(a->momentum, d->momentum);
    o->arg.beta1 = or_default(a->beta1, d->beta1);
    o->arg.beta2 = or_default(a->beta2, d->beta2);
    o->arg.eps = or_default(a->eps, d->eps);
    o->arg.alpha = or_default(a->alpha, d->alpha);
    o->arg.decay = or_default(a->decay, d->decay);
    o->arg.momentum_decay = or_default(a->momentum_decay, d->momentum_decay);
    if (!a->store)
        wk_fail(WK_ERR_ARGUMENT, "%s: an optimiser without a store", r->name);
    return o;
}

void wk_optim_free(wk_optim *o)
{
    if (!o)
        return;
    for (size_t i = 0; i < o->count; i++)
        for (int k = 0; k <= MOST_STATE; k++)
            wk_drop(o->state[i][k]);
    for (size_t i = 0; i < o->groups; i++)
        wk_free(o->group[i].part);
    wk_free(o->group);
    wk_free(o->state);
    wk_free(o);
}

void wk_set_lr(wk_optim *o, double lr)
{
    if (o)
        o->arg.lr = lr;
}

void wk_optim_group_with(wk_optim *o, const char *part, const wk_group_args *a)
{
    if (!wk_ok() || !o || !wk_reserve(&o->group, &o->group_room, o->groups + 1, sizeof *o->group))
        return;
    char *copy = duplicate(part);
    if (copy)
        o->group[o->groups++] = (wk_group){ copy, a->lr, a->decay };
}

/* ---- Steps -------------------------------------------------------------- */

static bool is_wide(const wk_tensor *p) { return p->dtype == WK_F32 || p->dtype == WK_F64; }

/* State for the parameters that came since the last step. */
static bool grow(wk_optim *o)
{
    size_t n = (size_t)wk_store_count(o->arg.store);
    if (!wk_reserve(&o->state, &o->room, n, sizeof *o->state))
        return false;
    while (o->count < n && wk_ok()) {
        wk_scope   scope = wk_mark();
        wk_tensor *p = wk_store_at(o->arg.store, (int)o->count);
        wk_tensor *state[MOST_STATE + 1] = { NULL };
        wk_tensor *wide = is_wide(p) ? NULL : wk_cast(p, WK_F32);
        for (int k = 0; k < o->rule->states; k++)
            state[k] = wk_full_like(wide ? wide : p, 0);
        state[MOST_STATE] = wide;
        for (int k = 0; wk_ok() && k <= MOST_STATE; k++)
            o->state[o->count][k] = wk_keep(state[k]);
        o->count += wk_ok();
        wk_sweep(scope);
    }
    return wk_ok();
}

/* One parameter's step, with the numbers of its group. */
static void update(wk_optim *o, wk_tensor *p, wk_tensor *const *state)
{
    const wk_optim_args before = o->arg;
    wk_tensor          *wide = state[MOST_STATE], *g = wk_grad(p);
    for (size_t i = 0; i < o->groups; i++)
        if (strstr(wk_name(p), o->group[i].part)) {
            o->arg.lr = before.lr * (o->group[i].lr != 0 ? o->group[i].lr : 1);
            o->arg.decay = or_default(o->group[i].decay, before.decay);
        }
    o->rule->update(o, wide ? wide : p, wide ? wk_cast(g, WK_F32) : g, state);
    if (wide)
        wk_assign(p, wide);
    o->arg = before;
}

bool wk_step(wk_optim *o)
{
    if (!wk_ok() || !o)
        return false;
    bool before = wk_no_grad(true);
    grow(o);
    o->steps++;
    if (o->rule->defaults.momentum_decay != 0)
        o->product *=
            o->arg.beta1 * (1 - 0.5 * pow(0.96, (double)o->steps * o->arg.momentum_decay));
    for (size_t i = 0; i < o->count && wk_ok(); i++) {
        wk_scope   scope = wk_mark();
        wk_tensor *p = wk_store_at(o->arg.store, (int)i);
        if (wk_grad(p))
            update(o, p, o->state[i]);
        wk_set_grad(p, NULL);
        wk_sweep(scope);
    }
    wk_no_grad(before);
    return wk_ok();
}

/* ---- Files -------------------------------------------------------------- */

/* "model.norm.weight/1" is state number 1 of that parameter. */
static const char *key_of(const wk_optim *o, size_t i, int k, char room[300])
{
    snprintf(room, 300, "%s/%d", wk_name(wk_store_at(o->arg.store, (int)i)), k);
    return room;
}

bool wk_optim_save(const wk_optim *o, const char *path)
{
    size_t      count = o ? o->count * (MOST_STATE + 1) : 0, n = 0;
    char        steps[32], product[40], room[300];
    const char *metadata[] = { "steps", steps, "product", product, "rule", "", NULL };
    char      **names = wk_ok() ? wk_alloc_array(count + 1, sizeof *names) : NULL;
    wk_tensor **tensors = wk_ok() ? wk_alloc_array(count + 1, sizeof *tensors) : NULL;
    for (size_t i = 0; wk_ok() && i < count; i++) {
        size_t     at = i / (MOST_STATE + 1);
        int        k = (int)(i % (MOST_STATE + 1));
        wk_tensor *x = o->state[at][k];
        if (x && (names[n] = duplicate(key_of(o, at, k, room))))
            tensors[n++] = x;
    }
    if (wk_ok() && o) {
        snprintf(steps, sizeof steps, "%lld", (long long)o->steps);
        snprintf(product, sizeof product, "%a", o->product);
        metadata[5] = o->rule->name;
        wk_safetensors_save(path, (int)n, (const char *const *)names, tensors, metadata);
    }
    for (size_t i = 0; i < n; i++)
        wk_free(names[i]);
    wk_free(names);
    wk_free(tensors);
    return wk_ok() && o;
}

bool wk_optim_load(wk_optim *o, const char *path)
{
    wk_archive *a = o ? wk_archive_open(path) : NULL;
    if (!a)
        return false;
    const char *rule = wk_archive_metadata(a, "rule");
    const char *steps = wk_archive_metadata(a, "steps");
    const char *product = wk_archive_metadata(a, "product");
    if (!rule || !steps || !product || strcmp(rule, o->rule->name))
        wk_fail(WK_ERR_FORMAT, "%s: not the state of %s", path, o->rule->name);
    bool before = wk_no_grad(true);
    grow(o);
    for (size_t i = 0; wk_ok() && i < o->count; i++)
        for (int k = 0; wk_ok() && k <= MOST_STATE; k++) {
            char     room[300];
            wk_scope scope = wk_mark();
            if (o->state[i][k])
                wk_assign(o->state[i][k], wk_archive_get(a, key_of(o, i, k, room)));
            wk_sweep(scope);
        }
    wk_no_grad(before);
    if (wk_ok()) {
        o->steps = strtoll(steps, NULL, 10);
        o->product = strtod(product, NULL);
    }
    wk_archive_free(a);
    return wk_ok();
}
