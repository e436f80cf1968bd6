// SPDX-License-Identifier: MIT OR Apache-2.0
/* training.c - what stands around an optimiser: clipping, schedules, averages. */
#include "optim.h"

#include <math.h>

/* ---- Clipping ----------------------------------------------------------- */

static bool is_narrow(const wk_tensor *x)
{
    return wk_dtypes[x->dtype].is_float && wk_dtypes[x->dtype].size < 4;
}

double wk_clip_grad_norm(wk_store *s, double limit)
{
    bool     before = wk_no_grad(true);
    wk_scope scope = wk_mark();
    double   sum = 0;
    for (int i = 0; i < wk_store_count(s) && wk_ok(); i++) {
        wk_tensor *g = wk_grad(wk_store_at(s, i));
        double     norm = g ? wk_item(wk_norm(is_narrow(g) ? wk_cast(g, WK_F32) : g)) : 0;
        sum += norm * norm;
        wk_sweep(scope);
    }
    double norm = sqrt(sum);
    for (int i = 0; i < wk_store_count(s) && wk_ok() && norm > limit; i++) {
        wk_tensor *p = wk_store_at(s, i);
        wk_set_grad(p, wk_grad(p) ? wk_scale(wk_grad(p), limit / (norm + 1e-6)) : NULL);
        wk_sweep(scope);
    }
    wk_no_grad(before);
    return norm;
}

void wk_clip_grad_value(wk_store *s, double limit)
{
    bool     before = wk_no_grad(true);
    wk_scope scope = wk_mark();
    for (int i = 0; i < wk_store_count(s) && wk_ok(); i++) {
        wk_tensor *p = wk_store_at(s, i);
        if (wk_grad(p))
            wk_set_grad(p, wk_clamp(wk_grad(p), -limit, limit));
        wk_sweep(scope);
    }
    wk_no_grad(before);
}

/* ---- Schedules ---------------------------------------------------------- */

/* From a to b as half a cosine, x from 0 to 1. */
static double cosine(double a, double b, double x)
{
    return b + (a - b) * 0.5 * (1 + cos(3.141592653589793 * x));
}

static double one_cycle(double rise, double t, double n)
{
    double top = rise * n - 1, end = n - 1; /* as torch counts them */
    return t <= top ? cosine(1.0 / 25, 1, top > 0 ? t / top : 1)
                    : cosine(1, 1.0 / 250000, end > top ? (t - top) / (end - top) : 1);
}

double wk_schedule_at(const wk_schedule *s, int64_t step)
{
    double gamma = s->gamma != 0 ? s->gamma : 0.1; /* as torch's StepLR */
    if (step < s->warmup)
        return (double)step / (double)s->warmup;
    double n = (double)(s->steps - s->warmup), t = (double)(step - s->warmup);
    double x = n > 0 && t < n ? t / n : 1, fall = s->fall != 0 ? s->fall : 0.1;
    switch (s->kind) {
    case WK_LR_CONSTANT:
        break;
    case WK_LR_LINEAR:
        return 1 + (s->floor - 1) * x;
    case WK_LR_COSINE:
        return cosine(1, s->floor, x);
    case WK_LR_STEPS:
        return s->every > 0 ? pow(gamma, floor(t / (double)s->every)) : 1;
    case WK_LR_EXPONENTIAL:
        return pow(gamma, t);
    case WK_LR_ONE_CYCLE:
        return one_cycle(s->rise != 0 ? s->rise : 0.3, t < n - 1 ? t : n - 1, n);
    case WK_LR_WSD:
        return x < 1 - fall ? 1 : s->floor + (1 - s->floor) * (1 - x) / fall;
    }
    return 1;
}

/* ---- Averages ----------------------------------------------------------- */

struct wk_ema {
    wk_store *store;
    double    decay;
    int       count;
    struct pair {
        wk_tensor *average; /* narrow floats in f32, or it would never move */
        wk_tensor *own;     /* the parameter, while the average is in its place */
    } * of;
};

wk_ema *wk_ema_new(wk_store *s, double decay)
{
    int     n = wk_store_count(s);
    wk_ema *e = wk_ok() ? wk_alloc(sizeof *e) : NULL;
    if (!e)
        return NULL;
    *e = (wk_ema){ .store = s, .decay = decay };
    e->of = wk_alloc_array((size_t)n + 1, sizeof *e->of);
    bool before = wk_no_grad(true);
    for (; wk_ok() && e->count < n; e->count++) {
        wk_scope   scope = wk_mark();
        wk_tensor *p = wk_store_at(s, e->count);
        e->of[e->count].average = wk_keep(is_narrow(p) ? wk_cast(p, WK_F32) : wk_copy(p));
        wk_sweep(scope);
    }
    wk_no_grad(before);
    if (!wk_ok()) {
        wk_ema_free(e);
        return NULL;
    }
    return e;
}

void wk_ema_free(wk_ema *e)
{
    for (int i = 0; e && i < e->count; i++) {
        wk_drop(e->of[i].average);
        wk_drop(e->of[i].own);
    }
    if (e)
        wk_free(e->of);
    wk_free(e);
}

static bool each(wk_ema *e, void (*fn)(const wk_ema *e, struct pair *of, wk_tensor *p))
{
    bool before = wk_no_grad(true);
    for (int i = 0; e && wk_ok() && i < e->count; i++) {
        wk_scope scope = wk_mark();
        fn(e, &e->of[i], wk_store_at(e->store, i));
        wk_sweep(scope);
    }
    wk_no_grad(before);
    return wk_ok() && e;
}

static void blend(const wk_ema *e, struct pair *of, wk_tensor *p)
{
    wk_tensor *x = of->average;
    bool       counts = !wk_dtypes[p->dtype].is_float; /* as of batches: there is no half of one */
    p = of->own ? of->own : p;
    wk_assign(x, counts
                     ? p
                     : wk_add(wk_scale(x, e->decay), wk_scale(wk_cast(p, x->dtype), 1 - e->decay)));
}

static void swap(const wk_ema *e, struct pair *of, wk_tensor *p)
{
    (void)e;
    if (of->own) {
        wk_assign(p, of->own);
        wk_set(&of->own, NULL);
    } else {
        wk_set(&of->own, wk_copy(p));
        wk_assign(p, of->average);
    }
}

bool wk_ema_update(wk_ema *e) { return each(e, blend); }
bool wk_ema_swap(wk_ema *e) { return each(e, swap); }
