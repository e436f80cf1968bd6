// SPDX-License-Identifier: MIT OR Apache-2.0
/* attention.c - softmax(q k^T scale + mask) v for each query, of shapes
 *
 *     q [b, h, t, d]   k [b, g, s, d]   v [b, g, s, e]   ->   [b, h, t, e]
 *
 * where head i of h looks at group i / (h / g).  The gradient recomputes the scores;
 * it comes out as one list of numbers, dq then dk then dv, which views cut up. */
#include "../core/core.h"

#include <math.h>

enum { Q, K, V, MASK, SLOPES, DY };

static bool infer(wk_call *c)
{
    const wk_tensor *q = c->in[Q], *k = c->in[K], *v = c->in[V], *mask = c->in[MASK];
    const wk_tensor *slopes = c->in[SLOPES];
    char             s[160], t[160], u[160];
    if (wk_rank(q) != 4 || wk_rank(k) != 4 || wk_rank(v) != 4 || wk_dim(q, 0) != wk_dim(k, 0) ||
        wk_dim(q, 3) != wk_dim(k, 3) || wk_dim(k, 1) == 0 || wk_dim(q, 1) % wk_dim(k, 1) ||
        wk_dim(k, 0) != wk_dim(v, 0) || wk_dim(k, 1) != wk_dim(v, 1) ||
        wk_dim(k, 2) != wk_dim(v, 2))
        wk_fail(WK_ERR_SHAPE, "attention: q %s, k %s and v %s do not fit", wk_show(q, s),
                wk_show(k, t), wk_show(v, u));
    if (!wk_dtypes[q->dtype].is_float || !wk_dtypes[k->dtype].is_float ||
        !wk_dtypes[v->dtype].is_float)
        wk_fail(WK_ERR_DTYPE, "attention: q %s, k %s and v %s must be of float dtypes",
                wk_show(q, s), wk_show(k, t), wk_show(v, u));
    wk_shape scores = { 4, { wk_dim(q, 0), wk_dim(q, 1), wk_dim(q, 2), wk_dim(k, 2) } }, both;
    if (mask && (!wk_broadcast(mask->shape, scores, &both) || !wk_same_shape(both, scores)))
        wk_fail(WK_ERR_SHAPE, "attention: the mask %s does not broadcast to %s", wk_show(mask, s),
                wk_show_shape(scores, t));
    if (mask && mask->dtype != WK_BOOL && !wk_dtypes[mask->dtype].is_float)
        wk_fail(WK_ERR_DTYPE, "attention: the mask %s must be bool or of a float dtype",
                wk_show(mask, s));
    if (slopes && (wk_rank(slopes) != 1 || wk_dim(slopes, 0) != wk_dim(q, 1)))
        wk_fail(WK_ERR_SHAPE, "attention: the slopes %s are not one for each head of %s",
                wk_show(slopes, s), wk_show(q, t));
    c->shape = q->shape;
    c->shape.dim[3] = wk_dim(v, 3);
    c->dtype = q->dtype;
    return wk_ok();
}

/* ---- Scores of one query ------------------------------------------------ */

typedef struct {
    const wk_call *c;
    int64_t        h, g, t, s, d, e;
    double         scale, cap;
} sizes;

static sizes sizes_of(const wk_call *c)
{
    sizes z = { c,
                wk_dim(c->in[Q], 1),
                wk_dim(c->in[K], 1),
                wk_dim(c->in[Q], 2),
                wk_dim(c->in[K], 2),
                wk_dim(c->in[Q], 3),
                wk_dim(c->in[V], 3),
                c->opt.attention.scale,
                c->opt.attention.softcap };
    if (z.scale == 0)
        z.scale = 1 / sqrt((double)z.d);
    return z;
}

/* Row i of head h of batch b. */
static void load_row(double *row, const wk_tensor *x, int64_t b, int64_t h, int64_t i)
{
    wk_load_f64(row, x, b * x->stride[0] + h * x->stride[1] + i * x->stride[2], wk_dim(x, 3),
                x->stride[3]);
}

/* What the mask adds to score (b, h, i, j). */
static double mask_at(const wk_tensor *mask, int64_t b, int64_t h, int64_t i, int64_t j)
{
    int64_t index[4] = { b, h, i, j }, at = 0;
    double  value;
    int     extra = 4 - mask->shape.rank;
    for (int k = 0; k < mask->shape.rank; k++)
        if (mask->shape.dim[k] != 1)
            at += index[k + extra] * mask->stride[k];
    wk_load_f64(&value, mask, at, 1, 1);
    return mask->dtype != WK_BOOL ? value : value != 0 ? 0 : -INFINITY;
}

/* Which keys query i may see: begin .. end. */
static void visible(const sizes *z, int64_t i, int64_t *begin, int64_t *end)
{
    int64_t now = z->s - z->t + i, window = z->c->opt.attention.window;
    *end = z->c->opt.attention.causal ? wk_max_i64(0, wk_min_i64(z->s, now + 1)) : z->s;
    *begin = window > 0 ? wk_min_i64(wk_max_i64(0, now + 1 - window), *end) : 0;
}

/* The probabilities p [s] of a query, and what the scores were before the cap. */
static void probabilities(const sizes *z, int64_t b, int64_t h, int64_t i, const double *q,
                          double *key, double *p, double *raw)
{
    const wk_call *c = z->c;
    int64_t        begin, end;
    double         top = -INFINITY, sum = 0, slope = 0;
    if (c->in[SLOPES])
        wk_load_f64(&slope, c->in[SLOPES], h * c->in[SLOPES]->stride[0], 1, 1);
    visible(z, i, &begin, &end);
    for (int64_t j = 0; j < z->s; j++) {
        double score = 0;
        p[j] = raw[j] = -INFINITY;
        if (j < begin || j >= end)
            continue;
        load_row(key, c->in[K], b, h / (z->h / z->g), j);
        for (int64_t k = 0; k < z->d; k++)
            score += q[k] * key[k];
        raw[j] = score *= z->scale;
        if (z->cap != 0)
            score = z->cap * tanh(score / z->cap);
        score += slope * (double)(j - (z->s - z->t + i));
        p[j] = score + (c->in[MASK] ? mask_at(c->in[MASK], b, h, i, j) : 0);
        top = p[j] > top ? p[j] : top;
    }
    for (int64_t j = 0; j < z->s; j++)
        sum += p[j] = exp(p[j] - (top == -INFINITY ? 0 : top));
    for (int64_t j = 0; j < z->s; j++)
        p[j] = sum == 0 ? 0 : p[j] / sum; /* who sees nothing gets zeros; NaN stays */
}

/* ---- Forward ------------------------------------------------------------ */

static void queries(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *c = ctx;
    sizes          z = sizes_of(c);
    double *q = wk_scratch((size_t)(2 * z.d + 2 * z.e + 2 * z.s) * sizeof *q), *key = q + z.d;
    double *value = key + z.d, *y = value + z.e, *p = y + z.e, *raw = p + z.s;
    for (int64_t r = begin; q && r < end; r++) {
        int64_t i = r % z.t, h = r / z.t % z.h, b = r / z.t / z.h;
        load_row(q, c->in[Q], b, h, i);
        probabilities(&z, b, h, i, q, key, p, raw);
        for (int64_t k = 0; k < z.e; k++)
            y[k] = 0;
        for (int64_t j = 0; j < z.s; j++) {
            if (p[j] == 0)
                continue;
            load_row(value, c->in[V], b, h / (z.h / z.g), j);
            for (int64_t k = 0; k < z.e; k++)
                y[k] += p[j] * value[k];
        }
        wk_store_f64(c->out, r * z.e, y, z.e, 1);
    }
}

static bool compute(const wk_call *c)
{
    int64_t rows = wk_dim(c->out, 0) * wk_dim(c->out, 1) * wk_dim(c->out, 2);
    wk_parallel(rows, 1, queries, (void *)c);
    return true;
}

/* ---- Gradient ----------------------------------------------------------- */

static bool grad_infer(wk_call *c)
{
    c->shape = WK_SHAPE(wk_count(c->in[Q]) + wk_count(c->in[K]) + wk_count(c->in[V]));
    c->dtype = c->in[DY]->dtype;
    return true;
}

/* One query's share: dq into its place, dk and dv added to their sums. */
static void query_grad(const sizes *z, int64_t b, int64_t h, int64_t i, double *work, double *dk,
                       double *dv)
{
    const wk_call *c = z->c;
    double        *q = work, *key = q + z->d, *value = key + z->d, *dy = value + z->e;
    double        *dq = dy + z->e, *p = dq + z->d, *raw = p + z->s, *dp = raw + z->s, mean = 0;
    int64_t        g = h / (z->h / z->g);
    load_row(q, c->in[Q], b, h, i);
    load_row(dy, c->in[DY], b, h, i);
    probabilities(z, b, h, i, q, key, p, raw);
    for (int64_t j = 0; j < z->s; j++) {
        dp[j] = 0;
        if (p[j] == 0)
            continue;
        load_row(value, c->in[V], b, g, j);
        for (int64_t k = 0; k < z->e; k++) {
            dp[j] += dy[k] * value[k];
            dv[j * z->e + k] += p[j] * dy[k];
        }
        mean += p[j] * dp[j];
    }
    for (int64_t k = 0; k < z->d; k++)
        dq[k] = 0;
    for (int64_t j = 0; j < z->s; j++) {
        if (p[j] == 0)
            continue;
        double ds = p[j] * (dp[j] - mean) * z->scale;
        if (z->cap != 0)
            ds *= 1 - tanh(raw[j] / z->cap) * tanh(raw[j] / z->cap);
        load_row(key, c->in[K], b, g, j);
        for (int64_t k = 0; k < z->d; k++) {
            dq[k] += ds * key[k];
            dk[j * z->d + k] += ds * q[k];
        }
    }
    wk_store_f64(c->out, ((b * z->h + h) * z->t + i) * z->d, dq, z->d, 1);
}

static void groups_grad(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *c = ctx;
    sizes          z = sizes_of(c);
    size_t         work = (size_t)(3 * z.d + 2 * z.e + 3 * z.s);
    double        *dk = wk_scratch(((size_t)(z.s * (z.d + z.e)) + work) * sizeof *dk);
    double        *dv = dk + z.s * z.d;
    for (int64_t group = begin; dk && group < end; group++) {
        int64_t b = group / z.g, g = group % z.g, share = z.h / z.g;
        for (int64_t k = 0; k < z.s * (z.d + z.e); k++)
            dk[k] = 0;
        for (int64_t h = g * share; h < (g + 1) * share; h++)
            for (int64_t i = 0; i < z.t; i++)
                query_grad(&z, b, h, i, dv + z.s * z.e, dk, dv);
        int64_t at = wk_count(c->in[Q]);
        wk_store_f64(c->out, at + group * z.s * z.d, dk, z.s * z.d, 1);
        at += wk_count(c->in[K]);
        wk_store_f64(c->out, at + group * z.s * z.e, dv, z.s * z.e, 1);
    }
}

static bool grad_compute(const wk_call *c)
{
    wk_parallel(wk_dim(c->in[K], 0) * wk_dim(c->in[K], 1), 1, groups_grad, (void *)c);
    return true;
}

const wk_op wk_op_attention_grad = {
    .name = "attention_grad",
    .id = WK_OP_attention_grad,
    .required = 3,
    .strided = WK_ALL_OPERANDS,
    .infer = grad_infer,
    .compute = grad_compute,
};

static void backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    wk_tensor *all =
        WK_RUN(attention_grad, WK_IN(c->in[Q], c->in[K], c->in[V], c->in[MASK], c->in[SLOPES], dy),
               .opt = c->opt);
    int64_t at = 0;
    for (int i = Q; i <= V; i++) {
        int64_t n = wk_count(c->in[i]);
        dx[i] = wk_reshape_to(wk_narrow(all, 0, at, n), c->in[i]->shape);
        at += n;
    }
}

const wk_op wk_op_attention = {
    .name = "attention",
    .id = WK_OP_attention,
    .required = 3,
    .strided = WK_ALL_OPERANDS,
    .blocks = 1 << K | 1 << V,
    .infer = infer,
    .compute = compute,
    .backward = backward,
};

/* ---- With a gradient for the mask: from parts --------------------------- */

/* 0 where query i sees key j, -infinity elsewhere: [t, s] */
static wk_tensor *visibility(const wk_attention_args *a)
{
    int64_t    t = wk_dim(a->q, 2), s = wk_dim(a->k, 2);
    wk_tensor *i = wk_reshape(wk_arange(WK_I64, (double)(s - t), (double)s, 1), t, 1);
    wk_tensor *j = wk_arange(WK_I64, 0, (double)s, 1),
              *hidden = wk_zeros_of(WK_BOOL, WK_SHAPE(t, s));
    if (a->causal)
        hidden = wk_logical_or(hidden, wk_gt(j, i));
    if (a->window > 0)
        hidden = wk_logical_or(hidden, wk_le(j, wk_add_scalar(i, -(double)a->window)));
    return wk_masked_fill(wk_zeros_of(a->q->dtype, WK_SHAPE(t, s)), hidden, -INFINITY);
}

static wk_tensor *composed(const wk_attention_args *a)
{
    int64_t    d = wk_dim(a->q, 3), share = wk_dim(a->q, 1) / wk_dim(a->k, 1), s = wk_dim(a->k, 2);
    wk_tensor *k = wk_repeat_interleave(a->k, 1, share), *v = wk_repeat_interleave(a->v, 1, share);
    wk_tensor *scores = wk_matmul(a->q, wk_transpose(k, 2, 3)); // [b, h, t, s]
    scores = wk_scale(scores, a->scale != 0 ? a->scale : 1 / sqrt((double)d));
    if (a->softcap != 0)
        scores = wk_softcap(scores, a->softcap);
    if (a->slopes) {
        int64_t    t = wk_dim(a->q, 2);
        wk_tensor *i = wk_arange(a->q->dtype, (double)(s - t), (double)s, 1);
        wk_tensor *far = wk_sub(wk_arange(a->q->dtype, 0, (double)s, 1), wk_reshape(i, t, 1));
        scores = wk_add(scores, wk_mul(wk_reshape(a->slopes, -1, 1, 1), far));
    }
    if (a->mask && a->mask->dtype == WK_BOOL)
        scores = wk_masked_fill(scores, wk_logical_not(a->mask), -INFINITY);
    else if (a->mask)
        scores = wk_add(scores, a->mask);
    return wk_matmul(wk_softmax(wk_add(scores, visibility(a)), -1), v);
}

wk_tensor *wk_attention_with(const wk_attention_args *a)
{
    wk_call c = { .op = &wk_op_attention,
                  WK_IN(a->q, a->k, a->v, a->mask, a->slopes),
                  .opt.attention = { a->causal, a->window, a->scale, a->softcap } };
    if (!wk_usable("attention", 1, a->q) || !wk_usable("attention", 2, a->k) ||
        !wk_usable("attention", 3, a->v) || (a->mask && !wk_usable("attention", 4, a->mask)) ||
        (a->slopes && !wk_usable("attention", 5, a->slopes)))
        return NULL;
    if (!wk_recording || !(wk_wants_grad(a->mask) || wk_wants_grad(a->slopes)))
        return wk_run(&c);
    if (!infer(&c))
        return NULL;
    wk_scope scope = wk_mark();
    return wk_yield(scope, composed(a));
}
