// SPDX-License-Identifier: MIT OR Apache-2.0
/* adam.c - a step of Adam in one pass over memory: Kingma and Ba, 2015; and one of SGD.
 *
 *     g += decay p                   m = beta1 m + (1 - beta1) g
 *     v = beta2 v + (1 - beta2) g^2  p = keep p - rate m / (sqrt(v) size + eps)
 *
 * With a fourth state its largest v takes the place of v: Reddi et al., AMSGrad, 2018.
 *
 *     g += decay p    m = momentum m + fresh g    p -= rate (m, or g + momentum m: Nesterov)
 *
 * as Sutskever et al., 2013, with the rate outside of the momentum; without m: p -= rate g. */
#include "../core/core.h"

#include <math.h>

enum { P, G, M, V, MOST, OPERANDS };

static bool infer(wk_call *c)
{
    c->shape = c->in[P]->shape;
    c->dtype = c->in[P]->dtype;
    for (int i = 0; i < OPERANDS; i++)
        if (c->in[i] && (wk_count(c->in[i]) != wk_count(c->in[P]) || !wk_is_contiguous(c->in[i])))
            wk_fail(WK_ERR_SHAPE, "%s: operand %d is not dense, or not of the parameter's shape",
                    c->op->name, i + 1);
    return wk_ok();
}

static void update(const wk_call *c, double *x[OPERANDS], int64_t n)
{
    double beta1 = c->opt.adam.beta1, beta2 = c->opt.adam.beta2;
    for (int64_t i = 0; i < n; i++) {
        double g = x[G][i] + c->opt.adam.decay * x[P][i];
        x[M][i] = beta1 * x[M][i] + (1 - beta1) * g;
        x[V][i] = beta2 * x[V][i] + (1 - beta2) * g * g;
        if (c->in[MOST])
            x[MOST][i] = fmax(x[MOST][i], x[V][i]);
        double v = c->in[MOST] ? x[MOST][i] : x[V][i];
        x[P][i] = c->opt.adam.keep * x[P][i] -
                  c->opt.adam.rate * x[M][i] / (sqrt(v) * c->opt.adam.size + c->opt.adam.eps);
    }
}

static void descend(const wk_call *c, double *x[OPERANDS], int64_t n)
{
    double momentum = c->opt.sgd.momentum;
    for (int64_t i = 0; i < n; i++) {
        double g = x[G][i] + c->opt.sgd.decay * x[P][i];
        if (c->in[M]) {
            x[M][i] = c->opt.sgd.keep * x[M][i] + c->opt.sgd.fresh * g;
            g = c->opt.sgd.nesterov ? g + momentum * x[M][i] : x[M][i];
        }
        x[P][i] -= c->opt.sgd.rate * g;
    }
}

static void pieces(void *ctx, int64_t begin, int64_t end)
{
    enum { AT_ONCE = 256 };
    const wk_call *c = ctx;
    double         room[OPERANDS][AT_ONCE], *x[OPERANDS];
    for (int64_t at = begin, n; at < end; at += n) {
        n = wk_min_i64(AT_ONCE, end - at);
        for (int i = 0; i < OPERANDS; i++) {
            x[i] = room[i];
            if (c->in[i])
                wk_load_f64(x[i], c->in[i], at, n, 1);
        }
        (c->op->id == WK_OP_sgd ? descend : update)(c, x, n);
        for (int i = 0; i < OPERANDS; i++)
            if (c->in[i] && i != G)
                wk_store_f64(c->in[i], at, x[i], n, 1);
    }
}

static bool compute(const wk_call *c)
{
    wk_parallel(wk_count(c->in[P]), 8192, pieces, (void *)c);
    return true;
}

const wk_op wk_op_adam = {
    .name = "adam",
    .id = WK_OP_adam,
    .required = 4,
    .flags = WK_OP_IN_PLACE,
    .infer = infer,
    .compute = compute,
};

const wk_op wk_op_sgd = {
    .name = "sgd",
    .id = WK_OP_sgd,
    .required = 2,
    .flags = WK_OP_IN_PLACE,
    .infer = infer,
    .compute = compute,
    .host = wk_host_sgd,
};

/* The same in public operations: a device that is not the host has no kernel that changes
 * more than one of its operands. */
static void composed(wk_tensor *p, wk_tensor *g, wk_tensor *const state[3], const wk_options *opt)
{
    wk_tensor *m = state[0], *v = state[1], *most = state[2];
    double     beta1 = opt->adam.beta1, beta2 = opt->adam.beta2;
    g = wk_add(g, wk_scale(p, opt->adam.decay));
    wk_assign(m, wk_add(wk_scale(m, beta1), wk_scale(g, 1 - beta1)));
    wk_assign(v, wk_add(wk_scale(v, beta2), wk_scale(wk_square(g), 1 - beta2)));
    if (most)
        wk_assign(most, wk_maximum(most, v));
    wk_tensor *root = wk_scale(wk_sqrt(most ? most : v), opt->adam.size);
    wk_tensor *d = wk_div(m, wk_add_scalar(root, opt->adam.eps));
    wk_assign(p, wk_sub(wk_scale(p, opt->adam.keep), wk_scale(d, opt->adam.rate)));
}

static void descend_composed(wk_tensor *p, wk_tensor *g, wk_tensor *m, const wk_options *opt)
{
    g = wk_add(g, wk_scale(p, opt->sgd.decay));
    if (m) {
        wk_assign(m, wk_add(wk_scale(m, opt->sgd.keep), wk_scale(g, opt->sgd.fresh)));
        g = opt->sgd.nesterov ? wk_add(g, wk_scale(m, opt->sgd.momentum)) : m;
    }
    wk_accumulate(p, wk_scale(g, -opt->sgd.rate));
}

static bool is_dense_on_host(const wk_tensor *p)
{
    return p->storage->device->backend->host && wk_is_contiguous(p);
}

bool wk_sgd(wk_tensor *p, wk_tensor *g, wk_tensor *m, const wk_options *opt)
{
    g = wk_dense(g);
    if (wk_ok() && !is_dense_on_host(p)) {
        descend_composed(p, g, m, opt);
        return wk_ok();
    }
    WK_RUN(sgd, WK_IN(p, g, m, NULL, NULL), .opt = *opt);
    if (wk_ok() && m)
        wk_touched(m);
    return wk_ok();
}

bool wk_adam(wk_tensor *p, wk_tensor *g, wk_tensor *const state[3], const wk_options *opt)
{
    g = wk_dense(g);
    if (wk_ok() && !is_dense_on_host(p)) {
        composed(p, g, state, opt);
        return wk_ok();
    }
    WK_RUN(adam, WK_IN(p, g, state[0], state[1], state[2]), .opt = *opt);
    for (int i = 0; wk_ok() && i < 3; i++)
        if (state[i])
            wk_touched(state[i]);
    return wk_ok();
}
