// SPDX-License-Identifier: MIT OR Apache-2.0
/* where.c - a choice between two tensors, and what is made of it. */
#include "../core/core.h"

static bool infer(wk_call *c)
{
    wk_tensor *no_condition[] = { c->in[1], c->in[2] };
    wk_call    values = { .op = c->op, .in = no_condition, .count = 2 };
    if (!wk_infer_broadcast(&values) || !wk_infer_broadcast(c))
        return false;
    c->dtype = values.dtype;
    return true;
}

static void row_f64(const wk_call *c, int64_t n, void *out, void *const *in)
{
    const double *condition = in[0], *yes = in[1], *no = in[2];
    double       *r = out;
    (void)c;
    for (int64_t i = 0; i < n; i++)
        r[i] = condition[i] != 0 ? yes[i] : no[i];
}

static void row_i64(const wk_call *c, int64_t n, void *out, void *const *in)
{
    const int64_t *condition = in[0], *yes = in[1], *no = in[2];
    int64_t       *r = out;
    (void)c;
    for (int64_t i = 0; i < n; i++)
        r[i] = condition[i] ? yes[i] : no[i];
}

static bool compute(const wk_call *c)
{
    return wk_dtypes[c->dtype].is_float ? wk_loop(c, WK_AS_F64, row_f64)
                                        : wk_loop(c, WK_AS_I64, row_i64);
}

static void backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    wk_tensor *zero = wk_full_of(dy->dtype, WK_SCALAR, 0);
    zero = wk_to_device(zero, c->device);
    dx[1] = wk_wants_grad(c->in[1]) ? wk_where(c->in[0], dy, zero) : NULL;
    dx[2] = wk_wants_grad(c->in[2]) ? wk_where(c->in[0], zero, dy) : NULL;
}

const wk_op wk_op_where = {
    .name = "where",
    .id = WK_OP_where,
    .required = 3,
    .strided = WK_ALL_OPERANDS,
    .infer = infer,
    .compute = compute,
    .backward = backward,
};

wk_tensor *wk_where(wk_tensor *condition, wk_tensor *yes, wk_tensor *no)
{
    return WK_RUN(where, WK_IN(condition, yes, no));
}

wk_tensor *wk_masked_fill(wk_tensor *x, wk_tensor *mask, double value)
{
    if (!wk_usable("masked_fill", 1, x) || !wk_usable("masked_fill", 2, mask))
        return NULL;
    wk_scope   scope = wk_mark();
    wk_tensor *filler = wk_pool(wk_tensor_new(x->storage->device, x->dtype, WK_SCALAR));
    return wk_yield(scope, wk_where(mask, wk_fill(filler, value), x));
}

wk_tensor *wk_lerp(wk_tensor *a, wk_tensor *b, double weight)
{
    if (!wk_usable("lerp", 1, a) || !wk_usable("lerp", 2, b))
        return NULL;
    wk_scope scope = wk_mark();
    return wk_yield(scope, wk_add(a, wk_scale(wk_sub(b, a), weight)));
}
