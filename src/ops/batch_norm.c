// SPDX-License-Identifier: MIT OR Apache-2.0
/* batch_norm.c - channels of x [b, c, ..] brought to mean 0 and variance 1.
 *
 * Ioffe and Szegedy, "Batch normalization", 2015.  Mean and variance are computed before; the
 * operation knows whether they are x's own, which its gradient then goes through.  The
 * statistics are one pass over x, the gradient two over x and dy; where a gradient shall be
 * differentiated itself, all is written in public operations. */
#include "../core/core.h"

#include <math.h>

enum { X, MEAN, VAR, WEIGHT, BIAS };

/* number: eps, and whether mean and var are those of x */
static bool infer(wk_call *c)
{
    const wk_tensor *x = c->in[X];
    char             s[160], t[160];
    for (int i = MEAN; i <= BIAS; i++)
        if (c->in[i] &&
            (wk_rank(x) < 2 || wk_rank(c->in[i]) != 1 || wk_dim(c->in[i], 0) != wk_dim(x, 1)))
            wk_fail(WK_ERR_SHAPE, "batch_norm: x %s does not fit %s", wk_show(x, s),
                    wk_show(c->in[i], t));
    if (!wk_dtypes[x->dtype].is_float)
        wk_fail(WK_ERR_DTYPE, "batch_norm: x %s must be of a float dtype", wk_show(x, s));
    return wk_ok() && wk_infer_same(c);
}

static double number_at(const wk_tensor *x, int64_t i, double otherwise)
{
    if (x)
        wk_load_f64(&otherwise, x, i * x->stride[0], 1, 1);
    return otherwise;
}

/* A row is one channel of one example. */
static void rows(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *c = ctx;
    int64_t        channels = wk_dim(c->out, 1);
    int64_t        n = wk_count(c->out) / (wk_dim(c->out, 0) * channels);
    double        *x = wk_scratch((size_t)n * sizeof *x);
    for (int64_t r = begin; x && r < end; r++) {
        int64_t k = r % channels;
        double  mean = number_at(c->in[MEAN], k, 0), var = number_at(c->in[VAR], k, 1);
        double  scale = number_at(c->in[WEIGHT], k, 1) / sqrt(var + c->opt.number[0]);
        double  shift = number_at(c->in[BIAS], k, 0) - mean * scale;
        wk_load_f64(x, c->in[X], r * n, n, 1);
        for (int64_t i = 0; i < n; i++)
            x[i] = x[i] * scale + shift;
        wk_store_f64(c->out, r * n, x, n, 1);
    }
}

static bool compute(const wk_call *c)
{
    int64_t count = wk_dim(c->out, 0) * wk_dim(c->out, 1);
    wk_parallel(count, 8192 / (wk_count(c->out) / count) + 1, rows, (void *)c);
    return wk_ok();
}

/* ---- Sums, and the gradient ------------------------------------------------- */

/* [2, c]: sums of dy and of dy (x - mean) of each channel; without dy and mean those that are
 * x's mean and its variance. */
static bool infer_sums(wk_call *c)
{
    c->shape = WK_SHAPE(2, wk_dim(c->in[0], 1));
    c->dtype = c->in[0]->dtype;
    return wk_shape_valid(c->op->name, c->shape);
}

static void sum_channels(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *c = ctx;
    const bool     grad = c->in[1] != NULL;
    int64_t        rows = wk_dim(c->in[0], 0), channels = wk_dim(c->in[0], 1);
    int64_t        n = wk_count(c->in[0]) / (rows * channels), all = rows * n;
    double        *x = wk_scratch((size_t)all * 2 * sizeof *x), *dy = x + all;
    for (int64_t k = begin; x && k < end; k++) {
        double sum[2] = { 0 }, mean = grad ? number_at(c->in[2], k, 0) : 0;
        for (int64_t b = 0; b < rows; b++) {
            wk_load_f64(x + b * n, c->in[0], (b * channels + k) * n, n, 1);
            if (grad)
                wk_load_f64(dy + b * n, c->in[1], (b * channels + k) * n, n, 1);
        }
        for (int64_t i = 0; i < all; i++)
            sum[0] += grad ? dy[i] : x[i];
        if (!grad)
            sum[0] = mean = sum[0] / (double)all;
        for (int64_t i = 0; i < all; i++)
            sum[1] += (grad ? dy[i] : x[i] - mean) * (x[i] - mean);
        sum[1] /= grad ? 1 : (double)all;
        for (int i = 0; i < 2; i++)
            wk_store_f64(c->out, i * channels + k, &sum[i], 1, 1);
    }
}

static bool compute_sums(const wk_call *c)
{
    wk_parallel(wk_dim(c->in[0], 1), 1, sum_channels, (void *)c);
    return wk_ok();
}

const wk_op wk_op_batch_norm_sums = {
    .name = "batch_norm_sums",
    .id = WK_OP_batch_norm_sums,
    .required = 1,
    .flags = WK_OP_NO_HISTORY,
    .infer = infer_sums,
    .compute = compute_sums,
    .host = wk_host_batch_norm_sums,
};

/* dx = dy g + (x - mean) k + shift */
enum { GRAD_MEAN = 1, K, SHIFT, DY, G };

static void grad_rows(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *c = ctx;
    int64_t        channels = wk_dim(c->out, 1);
    int64_t        n = wk_count(c->out) / (wk_dim(c->out, 0) * channels);
    double        *x = wk_scratch((size_t)n * 2 * sizeof *x), *dy = x + n;
    for (int64_t r = begin; x && r < end; r++) {
        int64_t at = r % channels;
        double  mean = number_at(c->in[GRAD_MEAN], at, 0), k = number_at(c->in[K], at, 0);
        double  shift = number_at(c->in[SHIFT], at, 0), g = number_at(c->in[G], at, 0);
        wk_load_f64(x, c->in[X], r * n, n, 1);
        wk_load_f64(dy, c->in[DY], r * n, n, 1);
        for (int64_t i = 0; i < n; i++)
            x[i] = dy[i] * g + (x[i] - mean) * k + shift;
        wk_store_f64(c->out, r * n, x, n, 1);
    }
}

static bool compute_grad(const wk_call *c)
{
    int64_t count = wk_dim(c->out, 0) * wk_dim(c->out, 1);
    wk_parallel(count, 8192 / (wk_count(c->out) / count) + 1, grad_rows, (void *)c);
    return wk_ok();
}

const wk_op wk_op_batch_norm_grad = {
    .name = "batch_norm_grad",
    .id = WK_OP_batch_norm_grad,
    .required = 6,
    .flags = WK_OP_NO_HISTORY,
    .infer = wk_infer_same,
    .compute = compute_grad,
    .host = wk_host_batch_norm,
};

/* Are there rows to pass over? */
static bool is_planar(const wk_tensor *x) { return wk_rank(x) > 2 && wk_count(x) > 0; }

/* ---- Over all but the channels, first along what lies together ------------- */

static wk_shape after_channels(const wk_tensor *x)
{
    wk_shape axes = { .rank = wk_rank(x) > 2 ? wk_rank(x) - 2 : 0 };
    for (int i = 0; i < axes.rank; i++)
        axes.dim[i] = i + 2;
    return axes;
}

static wk_tensor *sum_of(wk_tensor *x)
{
    wk_shape rest = after_channels(x);
    x = rest.rank ? wk_sum(x, .over = rest) : x; // [b, c]
    return wk_sum(x, .over = WK_AXES(0));
}

static wk_tensor *mean_of(wk_tensor *x)
{
    wk_shape rest = after_channels(x);
    x = rest.rank ? wk_mean(x, .over = rest) : x; // [b, c]
    return wk_mean(x, .over = WK_AXES(0));
}

/* The mean of the examples' variances and the variance of their means. */
static wk_tensor *var_of(wk_tensor *x)
{
    wk_shape rest = after_channels(x);
    if (!rest.rank)
        return wk_var(x, .over = WK_AXES(0), .biased = true);
    wk_tensor *within = wk_mean(wk_var(x, .over = rest, .biased = true), .over = WK_AXES(0));
    wk_tensor *means = wk_mean(x, .over = rest); // [b, c]
    return wk_add(within, wk_var(means, .over = WK_AXES(0), .biased = true));
}

/* Mean and variance of x without their history. */
static void moments(wk_tensor *x, wk_tensor **mean, wk_tensor **var)
{
    bool before = wk_no_grad(true);
    if (is_planar(x)) {
        wk_tensor *both = WK_RUN(batch_norm_sums, WK_IN(x, NULL, NULL)); // [2, c]
        *mean = wk_select(both, 0, 0);
        *var = wk_select(both, 0, 1);
    } else {
        *mean = wk_rank(x) >= 2 ? mean_of(x) : x;
        *var = wk_rank(x) >= 2 ? var_of(x) : x;
    }
    wk_no_grad(before);
}

/* [c] as [c, 1 ..], to go with x */
static wk_tensor *beside(const wk_tensor *x, wk_tensor *v)
{
    wk_shape s = { .rank = wk_rank(x) - 1 };
    for (int i = 1; i < s.rank; i++)
        s.dim[i] = 1;
    s.dim[0] = wk_dim(x, 1);
    return wk_reshape_to(v, s);
}

/* With u = x - mean, r = 1 / sqrt(var + eps) and g = r weight, over n elements:
 * dx = g (dy - sum(dy) / n - u r^2 sum(dy u) / n), or g dy where mean and var are given. */
static void backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    wk_tensor *x = c->in[X], *mean = c->in[MEAN], *var = c->in[VAR];
    bool       own = c->opt.number[1] != 0;
    double     n = (double)wk_max_i64(wk_count(x), 1) / (double)wk_max_i64(wk_dim(x, 1), 1);
    if (own && wk_recording) { /* they have history then */
        mean = mean_of(x);
        var = var_of(x);
    }
    wk_tensor *r = wk_rsqrt(wk_add_scalar(var, c->opt.number[0]));
    wk_tensor *g = c->in[WEIGHT] ? wk_mul(r, c->in[WEIGHT]) : r;
    wk_tensor *sum, *u = NULL, *along = NULL;
    bool       fused = !wk_recording && is_planar(x);
    if (fused) {
        wk_tensor *both = WK_RUN(batch_norm_sums, WK_IN(x, dy, mean)); // [2, c]
        sum = wk_select(both, 0, 0);
        along = wk_select(both, 0, 1);
    } else {
        sum = sum_of(dy);
        u = wk_sub(x, beside(x, mean));
        along = sum_of(wk_mul(dy, u));
    }
    if (wk_wants_grad(x) && own) {
        wk_tensor *k = wk_scale(wk_mul(g, wk_mul(wk_square(r), along)), -1 / n);
        wk_tensor *shift = wk_scale(wk_mul(g, sum), -1 / n);
        if (fused) {
            dx[X] = WK_RUN(batch_norm_grad, WK_IN(x, mean, k, shift, dy, g));
        } else {
            dx[X] = wk_add(wk_mul(dy, beside(x, g)), wk_mul(u, beside(x, k)));
            dx[X] = wk_add(dx[X], beside(x, shift));
        }
    } else if (wk_wants_grad(x)) {
        dx[X] = wk_mul(dy, beside(x, g));
    }
    if (wk_wants_grad(c->in[WEIGHT]))
        dx[WEIGHT] = wk_mul(along, r);
    dx[BIAS] = wk_wants_grad(c->in[BIAS]) ? sum : NULL;
}

const wk_op wk_op_batch_norm = {
    .name = "batch_norm",
    .id = WK_OP_batch_norm,
    .required = 3,
    .strided = 1u << MEAN | 1u << VAR | 1u << WEIGHT | 1u << BIAS,
    .infer = infer,
    .compute = compute,
    .host = wk_host_batch_norm,
    .backward = backward,
};

/* old += momentum (new - old) */
static void move(wk_tensor *old, wk_tensor *new, double momentum)
{
    bool     before = wk_no_grad(true);
    wk_scope scope = wk_mark();
    if (old)
        wk_assign(old, wk_lerp(old, wk_cast(new, wk_dtype_of(old)), momentum));
    wk_sweep(scope);
    wk_no_grad(before);
}

wk_tensor *wk_batch_norm_with(const wk_batch_norm_args *a)
{
    char       s[160];
    wk_tensor *x = a->x, *mean = a->running_mean, *var = a->running_var;
    double     eps = a->eps != 0 ? a->eps : 1e-5;
    if (!wk_usable("batch_norm", 1, x))
        return NULL;
    wk_scope scope = wk_mark();
    if (a->training) {
        double n = (double)wk_count(x) / (double)wk_max_i64(wk_dim(x, 1), 1);
        if (wk_rank(x) >= 2 && n <= 1)
            wk_fail(WK_ERR_SHAPE, "batch_norm: %s has no more than one element in a channel",
                    wk_show(x, s));
        moments(x, &mean, &var);
        double     momentum = a->momentum != 0 ? a->momentum : 0.1;
        wk_tensor *y =
            WK_RUN(batch_norm, WK_IN(x, mean, var, a->weight, a->bias), .opt.number = { eps, 1 });
        move(y ? a->running_mean : NULL, mean, momentum);
        move(y ? a->running_var : NULL, wk_scale(var, n / (n - 1)), momentum);
        return wk_yield(scope, wk_ok() ? y : NULL);
    }
    if ((mean && wk_wants_grad(mean)) || (var && wk_wants_grad(var)))
        wk_fail(WK_ERR_ARGUMENT, "batch_norm: running statistics have no gradient");
    return wk_yield(scope, WK_RUN(batch_norm, WK_IN(x, mean, var, a->weight, a->bias),
                                  .opt.number = { eps, 0 }));
}

wk_tensor *wk_instance_norm(wk_tensor *x, wk_layer p, double eps)
{
    char s[160];
    if (!wk_usable("instance_norm", 1, x))
        return NULL;
    if (wk_rank(x) < 3 || wk_dim(x, 1) == 0) {
        wk_fail(WK_ERR_SHAPE, "instance_norm: %s is not [b, c, ..]", wk_show(x, s));
        return NULL;
    }
    wk_tensor *y = wk_group_norm(x, wk_dim(x, 1), p, eps);
    wk_context("instance_norm");
    return y;
}
