// SPDX-License-Identifier: MIT OR Apache-2.0
/* rules.c - what each optimiser does to a parameter, as torch.optim does it.
 *
 * State tensors are changed in place; p -= x is accumulate(p, -x). */
#include "optim.h"

#include <math.h>

static void minus(wk_tensor *p, wk_tensor *x, double k) { wk_accumulate(p, wk_scale(x, -k)); }

/* average = k average + (1 - k) x */
static void blend(wk_tensor *average, wk_tensor *x, double k)
{
    wk_assign(average, wk_add(wk_scale(average, k), wk_scale(x, 1 - k)));
}

/* The gradient with the decay in it. */
static wk_tensor *decayed(const wk_optim *o, wk_tensor *p, wk_tensor *g)
{
    return o->arg.decay != 0 ? wk_add(g, wk_scale(p, o->arg.decay)) : g;
}

static double unbias(double beta, int64_t steps) { return 1 - pow(beta, (double)steps); }

static void sgd(wk_optim *o, wk_tensor *p, wk_tensor *g, wk_tensor *const *state)
{
    const wk_optim_args *a = &o->arg;
    bool                 first = o->steps == 1; /* the average is the gradient then */
    wk_options           opt = { .sgd = { .rate = a->lr, .decay = a->decay } };
    opt.sgd.momentum = a->momentum;
    opt.sgd.keep = first ? 0 : a->momentum;
    opt.sgd.fresh = first ? 1 : 1 - a->dampening;
    opt.sgd.nesterov = a->nesterov;
    wk_sgd(p, g, a->momentum != 0 ? *state : NULL, &opt);
}

static void adam_with(wk_optim *o, wk_tensor *p, wk_tensor *g, wk_tensor *const *state, bool apart)
{
    const wk_optim_args *a = &o->arg;
    wk_options           opt = { .adam = { .beta1 = a->beta1, .beta2 = a->beta2, .eps = a->eps } };
    opt.adam.rate = a->lr / unbias(a->beta1, o->steps);
    opt.adam.size = 1 / sqrt(unbias(a->beta2, o->steps));
    opt.adam.keep = apart ? 1 - a->lr * a->decay : 1;
    opt.adam.decay = apart ? 0 : a->decay;
    wk_adam(p, g, state, &opt);
}

static void adam(wk_optim *o, wk_tensor *p, wk_tensor *g, wk_tensor *const *state)
{
    adam_with(o, p, g, state, false);
}

static void adamw(wk_optim *o, wk_tensor *p, wk_tensor *g, wk_tensor *const *state)
{
    adam_with(o, p, g, state, true);
}

/* Kingma and Ba, 2015, section 7.1 */
static void adamax(wk_optim *o, wk_tensor *p, wk_tensor *g, wk_tensor *const *state)
{
    const wk_optim_args *a = &o->arg;
    g = decayed(o, p, g);
    blend(state[0], g, a->beta1);
    wk_assign(state[1], wk_maximum(wk_scale(state[1], a->beta2), wk_add_scalar(wk_abs(g), a->eps)));
    minus(p, wk_div(state[0], state[1]), a->lr / unbias(a->beta1, o->steps));
}

/* The root of the second moment, unbiased, and eps. */
static wk_tensor *spread(const wk_optim *o, wk_tensor *v)
{
    return wk_add_scalar(wk_scale(wk_sqrt(v), 1 / sqrt(unbias(o->arg.beta2, o->steps))),
                         o->arg.eps);
}

/* Dozat, 2016 */
static void nadam(wk_optim *o, wk_tensor *p, wk_tensor *g, wk_tensor *const *state)
{
    const wk_optim_args *a = &o->arg;
    double t = (double)o->steps, now = a->beta1 * (1 - 0.5 * pow(0.96, t * a->momentum_decay));
    double next = a->beta1 * (1 - 0.5 * pow(0.96, (t + 1) * a->momentum_decay));
    g = decayed(o, p, g);
    blend(state[0], g, a->beta1);
    blend(state[1], wk_square(g), a->beta2);
    wk_tensor *root = spread(o, state[1]);
    minus(p, wk_div(g, root), a->lr * (1 - now) / (1 - o->product));
    minus(p, wk_div(state[0], root), a->lr * next / (1 - o->product * next));
}

/* Liu et al., 2020 */
static void radam(wk_optim *o, wk_tensor *p, wk_tensor *g, wk_tensor *const *state)
{
    const wk_optim_args *a = &o->arg;
    double               t = (double)o->steps, most = 2 / (1 - a->beta2) - 1;
    double               rho = most - 2 * t * pow(a->beta2, t) / unbias(a->beta2, o->steps);
    g = decayed(o, p, g);
    blend(state[0], g, a->beta1);
    blend(state[1], wk_square(g), a->beta2);
    wk_tensor *m = wk_scale(state[0], 1 / unbias(a->beta1, o->steps));
    if (rho > 5) {
        double r = sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho));
        double size = sqrt(unbias(a->beta2, o->steps));
        m = wk_scale(wk_div(m, wk_add_scalar(wk_sqrt(state[1]), a->eps)), r * size);
    }
    minus(p, m, a->lr);
}

/* Tieleman and Hinton, 2012; centered: Graves, 2013 */
static void rmsprop(wk_optim *o, wk_tensor *p, wk_tensor *g, wk_tensor *const *state)
{
    const wk_optim_args *a = &o->arg;
    g = decayed(o, p, g);
    blend(state[0], wk_square(g), a->alpha);
    wk_tensor *v = state[0];
    if (a->centered) {
        blend(state[1], g, a->alpha);
        v = wk_sub(v, wk_square(state[1]));
    }
    wk_tensor *d = wk_div(g, wk_add_scalar(wk_sqrt(v), a->eps));
    if (a->momentum != 0) {
        wk_assign(state[2], wk_add(wk_scale(state[2], a->momentum), d));
        d = state[2];
    }
    minus(p, d, a->lr);
}

/* Duchi et al., 2011 */
static void adagrad(wk_optim *o, wk_tensor *p, wk_tensor *g, wk_tensor *const *state)
{
    const wk_optim_args *a = &o->arg;
    g = decayed(o, p, g);
    wk_accumulate(state[0], wk_square(g));
    minus(p, wk_div(g, wk_add_scalar(wk_sqrt(state[0]), a->eps)),
          a->lr / (1 + (double)(o->steps - 1) * a->lr_decay));
}

/* Zeiler, 2012 */
static void adadelta(wk_optim *o, wk_tensor *p, wk_tensor *g, wk_tensor *const *state)
{
    const wk_optim_args *a = &o->arg;
    g = decayed(o, p, g);
    blend(state[0], wk_square(g), a->alpha);
    wk_tensor *d = wk_mul(g, wk_div(wk_sqrt(wk_add_scalar(state[1], a->eps)),
                                    wk_sqrt(wk_add_scalar(state[0], a->eps))));
    blend(state[1], wk_square(d), a->alpha);
    minus(p, d, a->lr);
}

static void lion(wk_optim *o, wk_tensor *p, wk_tensor *g, wk_tensor *const *state)
{
    const wk_optim_args *a = &o->arg;
    wk_tensor *d = wk_sign(wk_add(wk_scale(state[0], a->beta1), wk_scale(g, 1 - a->beta1)));
    wk_assign(p, wk_scale(p, 1 - a->lr * a->decay));
    minus(p, d, a->lr);
    blend(state[0], g, a->beta2);
}

/* ---- Of matrices --------------------------------------------------------- */

/* State 0 is the second moment of a vector, or of a matrix's rows; state 1 of its columns. */
static bool adafactor_shape(const wk_optim *o, const wk_tensor *p, int k, wk_shape *shape)
{
    (void)o;
    int rank = shape->rank;
    if (rank > 1)
        shape->dim[rank - 1 - k] = 1;
    return rank > 1 || k == 0 || !p;
}

static double root_mean_square(wk_tensor *x)
{
    return wk_item(wk_norm(x)) / sqrt((double)wk_count(x));
}

static wk_tensor *mean_square(wk_tensor *g, int axis)
{
    return wk_mean(wk_square(g), .over = WK_AXES(axis), .keep = true);
}

static void adafactor(wk_optim *o, wk_tensor *p, wk_tensor *g, wk_tensor *const *state)
{
    const wk_optim_args *a = &o->arg;
    double t = (double)o->steps, fresh = pow(t, a->beta2_decay), rate = fmin(a->lr, 1 / sqrt(t));
    wk_tensor *v = state[0];
    rate *= fmax(a->eps2, root_mean_square(p));
    wk_assign(p, wk_scale(p, 1 - a->lr * a->decay));
    if (wk_rank(g) > 1) {
        blend(state[0], mean_square(g, -1), 1 - fresh); // [.., rows, 1]
        blend(state[1], mean_square(g, -2), 1 - fresh); // [.., 1, columns]
        wk_tensor *mean = wk_mean(state[0], .over = WK_AXES(-2), .keep = true);
        v = wk_div(wk_mul(state[0], state[1]), wk_clamp(mean, a->eps, INFINITY));
    } else {
        blend(v, wk_square(g), 1 - fresh);
    }
    g = wk_mul(g, wk_rsqrt(wk_clamp(v, a->eps * a->eps, INFINITY)));
    minus(p, g, rate / fmax(1, root_mean_square(g) / a->threshold));
}

/* U V^T, roughly, of a matrix U S V^T: five steps of Newton and Schulz's iteration, with the
 * coefficients that raise small singular values fastest. */
static wk_tensor *orthogonal(wk_tensor *g)
{
    bool       tall = wk_dim(g, 0) > wk_dim(g, 1);
    wk_tensor *x = tall ? wk_transpose(g, 0, 1) : g;
    x = wk_scale(x, 1 / fmax(wk_item(wk_norm(x)), 1e-7));
    for (int i = 0; i < 5; i++) {
        wk_tensor *s = wk_matmul(x, wk_transpose(x, 0, 1));
        s = wk_add(wk_scale(s, -4.7750), wk_scale(wk_matmul(s, s), 2.0315));
        x = wk_add(wk_scale(x, 3.4445), wk_matmul(s, x));
    }
    return tall ? wk_transpose(x, 0, 1) : x;
}

static bool is_muon(const wk_optim *o, const wk_tensor *p)
{
    return !o->adamw && p->shape.rank == 2;
}

static bool muon_shape(const wk_optim *o, const wk_tensor *p, int k, wk_shape *shape)
{
    (void)shape;
    return k == 0 || !is_muon(o, p);
}

static void muon(wk_optim *o, wk_tensor *p, wk_tensor *g, wk_tensor *const *state)
{
    const wk_optim_args *a = &o->arg;
    double               rows = (double)p->shape.dim[0], columns = (double)p->shape.dim[1];
    if (!is_muon(o, p)) {
        adamw(o, p, g, state);
        return;
    }
    blend(state[0], g, a->momentum);
    g = wk_add(wk_scale(g, 1 - a->momentum), wk_scale(state[0], a->momentum));
    double rate = a->match_rms ? 0.2 * sqrt(fmax(rows, columns)) : sqrt(fmax(1, rows / columns));
    wk_assign(p, wk_scale(p, 1 - a->lr * a->decay));
    minus(p, orthogonal(g), a->lr * rate);
}

/* ---- Their names -------------------------------------------------------- */

#define BETAS .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8
#define OPTIMISER(name_, states_, rule_, ...)                                                      \
    wk_optim *wk_##name_##_new_with(const wk_optim_args *a)                                        \
    {                                                                                              \
        static const wk_rule r = { #name_, states_, NULL, { __VA_ARGS__ }, rule_ };                \
        return wk_optim_new(a, &r);                                                                \
    }
OPTIMISER(adamax, 2, adamax, .lr = 2e-3, BETAS)
OPTIMISER(nadam, 2, nadam, .lr = 2e-3, BETAS, .momentum_decay = 4e-3)
OPTIMISER(radam, 2, radam, .lr = 1e-3, BETAS)
OPTIMISER(rmsprop, 3, rmsprop, .lr = 1e-2, .alpha = 0.99, .eps = 1e-8)
OPTIMISER(adagrad, 1, adagrad, .lr = 1e-2, .eps = 1e-10)
OPTIMISER(adadelta, 2, adadelta, .lr = 1, .alpha = 0.9, .eps = 1e-6)
OPTIMISER(lion, 1, lion, .lr = 1e-4, .beta1 = 0.9, .beta2 = 0.99)

wk_optim *wk_sgd_new_with(const wk_optim_args *a)
{
    static const wk_rule plain = { "sgd", 0, NULL, { .lr = 1e-3 }, sgd };
    static const wk_rule with_momentum = { "sgd with momentum", 1, NULL, { .lr = 1e-3 }, sgd };
    return wk_optim_new(a, a->momentum != 0 ? &with_momentum : &plain);
}

#define ADAM(name)                                                                                 \
    wk_optim *wk_##name##_new_with(const wk_optim_args *a)                                         \
    {                                                                                              \
        static const wk_rule plain = { #name, 2, NULL, { .lr = 1e-3, BETAS }, name };              \
        static const wk_rule amsgrad = { #name " amsgrad", 3, NULL, { .lr = 1e-3, BETAS }, name }; \
        return wk_optim_new(a, a->amsgrad ? &amsgrad : &plain);                                    \
    }
ADAM(adam)
ADAM(adamw)

wk_optim *wk_adafactor_new_with(const wk_optim_args *a)
{
    static const wk_rule r = {
        "adafactor",
        2,
        adafactor_shape,
        { .lr = 1e-2, .beta2_decay = -0.8, .eps = 0x1p-23, .eps2 = 1e-3, .threshold = 1 },
        adafactor
    };
    return wk_optim_new(a, &r);
}

wk_optim *wk_muon_new_with(const wk_optim_args *a)
{
    static const wk_rule r = {
        "muon", 2, muon_shape, { .lr = 1e-3, .decay = 0.1, .momentum = 0.95, BETAS }, muon
    };
    return wk_optim_new(a, &r);
}
