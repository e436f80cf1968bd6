// SPDX-License-Identifier: MIT OR Apache-2.0
/* norm.c - rows brought to unit size: rms_norm, layer_norm, group_norm.
 *
 * Zhang and Sennrich, "Root mean square layer normalization", 2019; Ba et al., "Layer
 * normalization", 2016; Wu and He, "Group normalization", 2018. */
#include "../core/core.h"

#include <math.h>

/* operands: x [.., c], weight [c] or NULL, bias [c] or NULL; number: eps */
static bool infer(wk_call *c)
{
    const wk_tensor *x = c->in[0];
    char             s[160], t[160];
    for (int i = 1; i < c->count; i++)
        if (c->in[i] && (wk_rank(c->in[i]) != 1 || wk_dim(c->in[i], 0) != wk_dim(x, -1)))
            wk_fail(WK_ERR_SHAPE, "%s: x %s does not fit %s", c->op->name, wk_show(x, s),
                    wk_show(c->in[i], t));
    if (wk_rank(x) == 0 || !wk_dtypes[x->dtype].is_float)
        wk_fail(WK_ERR_DTYPE, "%s: x %s must be rows of floats", c->op->name, wk_show(x, s));
    return wk_ok() && wk_infer_same(c);
}

static void rows(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *c = ctx;
    int64_t        n = wk_dim(c->out, -1);
    bool           centred = c->op->id == WK_OP_layer_norm;
    double        *x = wk_scratch((size_t)n * 3 * sizeof *x), *weight = x + n, *bias = weight + n;
    for (int64_t i = 0; x && i < n; i++)
        weight[i] = 1, bias[i] = 0;
    if (x && c->in[1])
        wk_load_f64(weight, c->in[1], 0, n, 1);
    if (x && c->count > 2 && c->in[2])
        wk_load_f64(bias, c->in[2], 0, n, 1);
    for (int64_t r = begin; x && r < end; r++) {
        double mean = 0, sum = 0;
        wk_load_f64(x, c->in[0], r * n, n, 1);
        for (int64_t i = 0; centred && i < n; i++)
            mean += x[i] / (double)n;
        for (int64_t i = 0; i < n; i++)
            sum += (x[i] - mean) * (x[i] - mean);
        double k = 1 / sqrt(sum / (double)n + c->opt.number[0]);
        for (int64_t i = 0; i < n; i++)
            x[i] = (x[i] - mean) * k * weight[i] + bias[i];
        wk_store_f64(c->out, r * n, x, n, 1);
    }
}

static bool compute(const wk_call *c)
{
    int64_t n = wk_dim(c->out, -1);
    wk_parallel(wk_count(c->out) / n, 4096 / n + 1, rows, (void *)c);
    return true;
}

/* With u = x - mean, r = 1 / sqrt(mean(u^2) + eps) and g = dy weight:
 * dx = r (g - mean(g)) - u r^3 mean(g u), and without the means of x and g for rms. */
static void backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    wk_tensor *x = c->in[0], *weight = c->in[1];
    bool       centred = c->op->id == WK_OP_layer_norm;
    wk_shape   last = WK_AXES(-1), but_last = { .rank = wk_rank(x) - 1 };
    for (int i = 0; i < but_last.rank; i++)
        but_last.dim[i] = i;
    wk_tensor *u = centred ? wk_sub(x, wk_mean(x, .over = last, .keep = true)) : x;
    wk_tensor *var = wk_mean(wk_square(u), .over = last, .keep = true);
    wk_tensor *r = wk_rsqrt(wk_add_scalar(var, c->opt.number[0]));
    if (wk_wants_grad(x)) {
        wk_tensor *g = weight ? wk_mul(dy, weight) : dy;
        wk_tensor *gu = wk_mean(wk_mul(g, u), .over = last, .keep = true);
        wk_tensor *mean = centred ? wk_mean(g, .over = last, .keep = true) : NULL;
        wk_tensor *r3 = wk_mul(r, wk_square(r));
        dx[0] = wk_sub(wk_mul(r, mean ? wk_sub(g, mean) : g), wk_mul(u, wk_mul(r3, gu)));
    }
    if (wk_wants_grad(weight)) {
        wk_tensor *d = wk_mul(dy, wk_mul(u, r));
        dx[1] = but_last.rank ? wk_sum(d, .over = but_last) : d;
    }
    if (c->count > 2 && wk_wants_grad(c->in[2]))
        dx[2] = but_last.rank ? wk_sum(dy, .over = but_last) : dy;
}

const wk_op wk_op_rms_norm = {
    .name = "rms_norm",
    .id = WK_OP_rms_norm,
    .required = 1,
    .infer = infer,
    .compute = compute,
    .backward = backward,
};

const wk_op wk_op_layer_norm = {
    .name = "layer_norm",
    .id = WK_OP_layer_norm,
    .required = 1,
    .infer = infer,
    .compute = compute,
    .backward = backward,
};

wk_tensor *wk_rms_norm(wk_tensor *x, wk_tensor *weight, double eps)
{
    return WK_RUN(rms_norm, WK_IN(x, weight), .opt.number = { eps });
}

wk_tensor *wk_layer_norm(wk_tensor *x, wk_layer p, double eps)
{
    return WK_RUN(layer_norm, WK_IN(x, p.weight, p.bias), .opt.number = { eps });
}

wk_tensor *wk_group_norm(wk_tensor *x, int64_t groups, wk_layer p, double eps)
{
    char text[160];
    if (!wk_usable("group_norm", 1, x))
        return NULL;
    int64_t channels = wk_dim(x, 1);
    if (wk_rank(x) < 2 || groups <= 0 || channels % groups ||
        (p.weight && wk_count(p.weight) != channels) || (p.bias && wk_count(p.bias) != channels)) {
        wk_fail(WK_ERR_SHAPE, "group_norm: %lld groups, and the parameters, do not fit %s",
                (long long)groups, wk_show(x, text));
        return NULL;
    }
    wk_scope scope = wk_mark();
    wk_shape per_channel = { .rank = wk_rank(x) - 1, .dim = { channels, 1, 1, 1, 1, 1, 1, 1 } };
    int64_t  size = channels / groups; /* of a group, over all that follows */
    for (int i = 2; i < wk_rank(x); i++)
        size *= x->shape.dim[i];
    wk_tensor *y = wk_reshape(x, wk_dim(x, 0), groups, size);
    y = wk_reshape_to(wk_layer_norm(y, (wk_layer){ NULL, NULL }, eps), x->shape);
    if (p.weight)
        y = wk_mul(y, wk_reshape_to(p.weight, per_channel));
    if (p.bias)
        y = wk_add(y, wk_reshape_to(p.bias, per_channel));
    return wk_yield(scope, y);
}
