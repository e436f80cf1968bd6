// SPDX-License-Identifier: MIT OR Apache-2.0
/* optim.c - optimisers: a rule that turns a parameter, its gradient and some state of
 * the parameter's shape into the parameter's next value.
 *
 * The rules are written in the library's own operations, so they run on any device. */
#include "../core/core.h"
#include <wick/nn.h>

#include <math.h>

enum { MOST_STATE = 2 };

typedef struct {
    int states; /* tensors kept for each parameter */
    void (*update)(wk_optim *o, wk_tensor *p, wk_tensor *g, wk_tensor **state);
} rule;

struct wk_optim {
    wk_optim_args arg;
    const rule   *rule;
    int64_t       steps;
    wk_tensor *(*state)[MOST_STATE]; /* of each parameter of the store */
    size_t count, room;
};

/* ---- Rules -------------------------------------------------------------- */

/* As torch.optim.SGD: Sutskever et al., 2013, with the rate outside of the momentum. */
static void sgd(wk_optim *o, wk_tensor *p, wk_tensor *g, wk_tensor **state)
{
    const wk_optim_args *a = &o->arg;
    if (a->decay != 0)
        g = wk_add(g, wk_scale(p, a->decay));
    if (a->momentum != 0) {
        wk_tensor *m = *state;
        wk_assign(m, o->steps == 1 ? g : wk_add(wk_scale(m, a->momentum), g));
        g = a->nesterov ? wk_add(g, wk_scale(m, a->momentum)) : m;
    }
    wk_accumulate(p, wk_scale(g, -a->lr));
}

static void adamw(wk_optim *o, wk_tensor *p, wk_tensor *g, wk_tensor **state)
{
    const wk_optim_args *a = &o->arg;
    wk_tensor           *m = state[0], *v = state[1];
    double               n = (double)o->steps;
    wk_assign(m, wk_add(wk_scale(m, a->beta1), wk_scale(g, 1 - a->beta1)));
    wk_assign(v, wk_add(wk_scale(v, a->beta2), wk_scale(wk_square(g), 1 - a->beta2)));
    double     size = 1 / sqrt(1 - pow(a->beta2, n)), rate = a->lr / (1 - pow(a->beta1, n));
    wk_tensor *spread = wk_add_scalar(wk_scale(wk_sqrt(v), size), a->eps);
    wk_assign(p, wk_sub(wk_scale(p, 1 - a->lr * a->decay), wk_scale(wk_div(m, spread), rate)));
}

/* ---- Optimisers --------------------------------------------------------- */

static wk_optim *optim_new(const wk_optim_args *a, const rule *r)
{
    wk_optim *o = wk_ok() ? wk_alloc(sizeof *o) : NULL;
    if (!o)
        return NULL;
    *o = (wk_optim){ .arg = *a, .rule = r };
    o->arg.lr = a->lr != 0 ? a->lr : 1e-3;
    o->arg.beta1 = a->beta1 != 0 ? a->beta1 : 0.9;
    o->arg.beta2 = a->beta2 != 0 ? a->beta2 : 0.999;
    o->arg.eps = a->eps != 0 ? a->eps : 1e-8;
    if (!a->store)
        wk_fail(WK_ERR_ARGUMENT, "an optimiser without a store");
    return o;
}

wk_optim *wk_sgd_new_with(const wk_optim_args *a)
{
    static const rule plain = { 0, sgd }, with_momentum = { 1, sgd };
    return optim_new(a, a->momentum != 0 ? &with_momentum : &plain);
}

wk_optim *wk_adamw_new_with(const wk_optim_args *a)
{
    static const rule r = { 2, adamw };
    return optim_new(a, &r);
}

void wk_optim_free(wk_optim *o)
{
    for (size_t i = 0; o && i < o->count; i++)
        for (int k = 0; k < MOST_STATE; k++)
            wk_drop(o->state[i][k]);
    if (o)
        wk_free(o->state);
    wk_free(o);
}

void wk_set_lr(wk_optim *o, double lr)
{
    if (o)
        o->arg.lr = lr;
}

/* State for the parameters that came since the last step, zero and in f32. */
static bool grow(wk_optim *o)
{
    size_t n = (size_t)wk_store_count(o->arg.store);
    if (!wk_reserve(&o->state, &o->room, n, sizeof *o->state))
        return false;
    while (o->count < n && wk_ok()) {
        wk_scope   scope = wk_mark();
        wk_tensor *p = wk_store_at(o->arg.store, (int)o->count);
        wk_tensor *state[MOST_STATE] = { NULL };
        for (int k = 0; k < o->rule->states; k++)
            state[k] = wk_full_like(p, 0);
        for (int k = 0; wk_ok() && k < MOST_STATE; k++)
            o->state[o->count][k] = wk_keep(state[k]);
        o->count += wk_ok();
        wk_sweep(scope);
    }
    return wk_ok();
}

bool wk_step(wk_optim *o)
{
    if (!wk_ok() || !o || !grow(o))
        return false;
    bool before = wk_no_grad(true);
    o->steps++;
    for (size_t i = 0; i < o->count && wk_ok(); i++) {
        wk_scope   scope = wk_mark();
        wk_tensor *p = wk_store_at(o->arg.store, (int)i);
        if (wk_grad(p))
            o->rule->update(o, p, wk_grad(p), o->state[i]);
        wk_set_grad(p, NULL);
        wk_sweep(scope);
    }
    wk_no_grad(before);
    return wk_ok();
}

double wk_clip_grad_norm(wk_store *s, double limit)
{
    bool     before = wk_no_grad(true);
    wk_scope scope = wk_mark();
    double   sum = 0;
    for (int i = 0; i < wk_store_count(s) && wk_ok(); i++)
        if (wk_grad(wk_store_at(s, i)))
            sum += wk_item(wk_sum(wk_square(wk_grad(wk_store_at(s, i)))));
    double norm = sqrt(sum);
    for (int i = 0; i < wk_store_count(s) && wk_ok() && norm > limit; i++) {
        wk_tensor *p = wk_store_at(s, i);
        wk_set_grad(p, wk_grad(p) ? wk_scale(wk_grad(p), limit / (norm + 1e-6)) : NULL);
    }
    wk_sweep(scope);
    wk_no_grad(before);
    return norm;
}
