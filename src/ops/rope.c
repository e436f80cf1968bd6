// SPDX-License-Identifier: MIT OR Apache-2.0
/* rope.c - rotary position embedding: x [.., t, d], cos and sin [t, n/2], n <= d
 *
 * The first n numbers of each row turn in pairs by the angles of their position; what
 * is behind them stays. */
#include "../core/core.h"

static bool infer(wk_call *c)
{
    const wk_tensor *x = c->in[0], *cos = c->in[1], *sin = c->in[2];
    char             s[160], t[160];
    if (wk_rank(x) < 2 || wk_rank(cos) != 2 || !wk_same_shape(cos->shape, sin->shape) ||
        wk_dim(cos, 0) != wk_dim(x, -2) || 2 * wk_dim(cos, 1) > wk_dim(x, -1))
        wk_fail(WK_ERR_SHAPE, "rope: x %s does not fit cos and sin %s", wk_show(x, s),
                wk_show(cos, t));
    if (!wk_dtypes[x->dtype].is_float)
        wk_fail(WK_ERR_DTYPE, "rope: x %s must be of a float dtype", wk_show(x, s));
    return wk_ok() && wk_infer_same(c);
}

static void rows(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *c = ctx;
    int64_t        t = wk_dim(c->out, -2), d = wk_dim(c->out, -1), half = wk_dim(c->in[1], 1);
    bool           pairs = c->opt.mode.flag;
    double *x = wk_scratch((size_t)(d + 2 * half) * sizeof *x), *cos = x + d, *sin = cos + half;
    for (int64_t r = begin; x && r < end; r++) {
        wk_load_f64(x, c->in[0], r * d, d, 1);
        wk_load_f64(cos, c->in[1], r % t * half, half, 1);
        wk_load_f64(sin, c->in[2], r % t * half, half, 1);
        for (int64_t i = 0; i < half; i++) {
            double *p = x + (pairs ? 2 * i : i), *q = x + (pairs ? 2 * i + 1 : i + half);
            double  a = *p, b = *q;
            *p = a * cos[i] - b * sin[i];
            *q = b * cos[i] + a * sin[i];
        }
        wk_store_f64(c->out, r * d, x, d, 1);
    }
}

static bool compute(const wk_call *c)
{
    int64_t d = wk_dim(c->out, -1);
    wk_parallel(wk_count(c->out) / d, 4096 / d + 1, rows, (void *)c);
    return true;
}

/* The gradient turns back. */
static void backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    if (wk_wants_grad(c->in[1]) || wk_wants_grad(c->in[2]))
        wk_fail(WK_ERR_UNSUPPORTED, "cos and sin have no gradient: use wk_detach()");
    dx[0] = wk_rope(dy, c->in[1], wk_neg(c->in[2]), c->opt.mode.flag);
}

const wk_op wk_op_rope = {
    .name = "rope",
    .id = WK_OP_rope,
    .required = 3,
    .infer = infer,
    .compute = compute,
    .backward = backward,
};

wk_tensor *wk_rope(wk_tensor *x, wk_tensor *cos, wk_tensor *sin, bool pairs)
{
    return WK_RUN(rope, WK_IN(x, cos, sin), .opt.mode.flag = pairs);
}
