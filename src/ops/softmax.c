// SPDX-License-Identifier: MIT OR Apache-2.0
/* softmax.c - exp(x) over its sum along an axis, and the logarithm of that. */
#include "../core/core.h"

#include <math.h>

static bool infer(wk_call *c)
{
    c->opt.mode.axis = wk_axis(c->op->name, c->in[0]->shape, c->opt.mode.axis);
    c->shape = c->in[0]->shape;
    c->dtype = wk_dtypes[c->in[0]->dtype].is_float ? c->in[0]->dtype : WK_F32;
    return wk_ok();
}

static void lines(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *c = ctx;
    int64_t        n = c->shape.dim[c->opt.mode.axis], step = c->out->stride[c->opt.mode.axis];
    double        *row = wk_scratch((size_t)n * sizeof *row);
    for (int64_t i = begin; row && i < end; i++) {
        int64_t at = i / step * step * n + i % step;
        double  top = -INFINITY, sum = 0;
        wk_load_f64(row, c->in[0], at, n, step);
        for (int64_t k = 0; k < n; k++)
            top = row[k] > top ? row[k] : top;
        for (int64_t k = 0; k < n; k++)
            sum += exp(row[k] - top);
        for (int64_t k = 0; k < n; k++)
            row[k] = c->op->id == WK_OP_softmax ? exp(row[k] - top) / sum : row[k] - top - log(sum);
        wk_store_f64(c->out, at, row, n, step);
    }
}

static bool compute(const wk_call *c)
{
    int64_t n = c->shape.dim[c->opt.mode.axis];
    wk_parallel(wk_count(c->out) / n, 4096 / n + 1, lines, (void *)c);
    return true;
}

static wk_tensor *summed(const wk_call *c, wk_tensor *x)
{
    return wk_sum(x, .over = WK_AXES(c->opt.mode.axis), .keep = true);
}

static void softmax_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    wk_tensor *y = c->out;
    dx[0] = wk_mul(y, wk_sub(dy, summed(c, wk_mul(y, dy))));
}

static void log_softmax_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    dx[0] = wk_sub(dy, wk_mul(wk_exp(c->out), summed(c, dy)));
}

#define SOFTMAX(name_)                                                                             \
    const wk_op wk_op_##name_ = {                                                                  \
        .name = #name_,                                                                            \
        .id = WK_OP_##name_,                                                                       \
        .required = 1,                                                                             \
        .infer = infer,                                                                            \
        .compute = compute,                                                                        \
        .backward = name_##_backward,                                                              \
    };                                                                                             \
    wk_tensor *wk_##name_(wk_tensor *x, int axis)                                                  \
    {                                                                                              \
        return WK_RUN(name_, WK_IN(x), .opt.mode.axis = axis);                                     \
    }
SOFTMAX(softmax)
SOFTMAX(log_softmax)
