// SPDX-License-Identifier: MIT OR Apache-2.0
/* scan.c - sums, products and extremes of the beginnings of lines. */
#include "../core/core.h"

enum { FORWARD, BACKWARD }; /* which way a scan goes: opt.mode.flag */

/* ---- Lines --------------------------------------------------------------- */

static bool infer(wk_call *c)
{
    int axis = wk_axis(c->op->name, c->in[0]->shape, c->opt.mode.axis);
    c->opt.mode.axis = axis;
    c->shape = c->in[0]->shape;
    c->dtype = c->in[0]->dtype;
    if (c->op->flags & WK_OP_NO_HISTORY || c->dtype == WK_BOOL)
        c->dtype = WK_I64; /* indices; and how many are true */
    else if (!wk_dtypes[c->dtype].is_float)
        c->dtype = WK_I64;
    return axis >= 0;
}

static bool by_lines(const wk_call *c, wk_range_fn fn)
{
    int64_t n = c->shape.dim[c->opt.mode.axis];
    wk_parallel(wk_count(c->out) / n, 4096 / n + 1, fn, (void *)c);
    return wk_ok();
}

typedef struct {
    int64_t n, step, at; /* length; distance of neighbours; where the line begins */
} line;

static line line_of(const wk_call *c, int64_t i)
{
    int64_t n = c->shape.dim[c->opt.mode.axis], step = c->out->stride[c->opt.mode.axis];
    return (line){ n, step, i / step * step * n + i % step };
}

/* ---- cumsum, cumprod ----------------------------------------------------- */

static void scan_floats(const wk_call *c, line l, double *row)
{
    bool   product = c->op->id == WK_OP_cumprod;
    double sum = product;
    wk_load_f64(row, c->in[0], l.at, l.n, l.step);
    for (int64_t k = 0; k < l.n; k++) {
        double *x = &row[c->opt.mode.flag == BACKWARD ? l.n - 1 - k : k];
        sum = product ? sum * *x : sum + *x;
        *x = sum;
    }
    wk_store_f64(c->out, l.at, row, l.n, l.step);
}

static void scan_integers(const wk_call *c, line l, int64_t *row)
{
    const wk_dtype_info *d = &wk_dtypes[c->in[0]->dtype];
    bool                 product = c->op->id == WK_OP_cumprod;
    uint64_t             sum = product;
    int64_t             *out = (int64_t *)wk_at_host(c->out) + l.at;
    d->load[WK_AS_I64](row, (char *)wk_at_host(c->in[0]) + l.at * (int64_t)d->size, l.n, l.step);
    for (int64_t k = 0; k < l.n; k++) {
        int64_t i = c->opt.mode.flag == BACKWARD ? l.n - 1 - k : k;
        sum = product ? sum * (uint64_t)row[i] : sum + (uint64_t)row[i];
        out[i * l.step] = (int64_t)sum;
    }
}

static void scan_lines(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *c = ctx;
    void          *row = wk_scratch((size_t)c->shape.dim[c->opt.mode.axis] * sizeof(double));
    for (int64_t i = begin; row && i < end; i++)
        if (wk_dtypes[c->out->dtype].is_float)
            scan_floats(c, line_of(c, i), row);
        else
            scan_integers(c, line_of(c, i), row);
}

static bool scan_compute(const wk_call *c) { return by_lines(c, scan_lines); }

static void cumsum_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    dx[0] = WK_RUN(cumsum, WK_IN(dy),
                   .opt.mode = { .axis = c->opt.mode.axis, .flag = !c->opt.mode.flag });
}

/* dx_i is the sum over k >= i of dy_k times all x_0 .. x_k but x_i.  That is y_k / x_i up to
 * the first zero; of that zero itself it is the product before it times a scan behind it; and
 * nothing behind it, where the zero stays in every product. */
static void product_grad_lines(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *c = ctx;
    int64_t        n = c->shape.dim[c->opt.mode.axis];
    double        *x = wk_scratch(2 * (size_t)n * sizeof *x), *dy = x + n;
    for (int64_t i = begin; x && i < end; i++) {
        line    l = line_of(c, i);
        int64_t zero = 0;
        double  before = 1, behind = 0, product = 1, sum = 0;
        wk_load_f64(x, c->in[0], l.at, n, l.step);
        wk_load_f64(dy, c->in[1], l.at, n, l.step);
        for (; zero < n && x[zero] != 0; zero++)
            before *= x[zero];
        for (int64_t k = zero; k < n; k++) {
            product *= k > zero ? x[k] : 1;
            behind += dy[k] * product;
        }
        for (int64_t k = 0; k < zero; k++) { /* dy_k y_k in the place of dy_k */
            product = k ? product * x[k] : x[0];
            dy[k] *= product;
        }
        for (int64_t k = n - 1; k >= 0; k--) {
            sum += k < zero ? dy[k] : 0;
            x[k] = k < zero ? sum / x[k] : k == zero ? before * behind : 0;
        }
        wk_store_f64(c->out, l.at, x, n, l.step);
    }
}

static bool product_grad_compute(const wk_call *c) { return by_lines(c, product_grad_lines); }

static void cumprod_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    dx[0] = WK_RUN(cumprod_grad, WK_IN(c->in[0], dy), .opt.mode.axis = c->opt.mode.axis);
}

/* ---- cummax, cummin ------------------------------------------------------ */

/* Where the largest so far is: the last of equals, and NaN from the first one on. */
static void extreme_lines(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *c = ctx;
    int64_t        n = c->shape.dim[c->opt.mode.axis];
    double        *row = wk_scratch((size_t)n * sizeof *row), sign = c->opt.mode.flag ? -1 : 1;
    for (int64_t i = begin; row && i < end; i++) {
        line    l = line_of(c, i);
        int64_t best = 0, *out = (int64_t *)wk_at_host(c->out) + l.at;
        wk_load_f64(row, c->in[0], l.at, n, l.step);
        for (int64_t k = 0; k < n; k++) {
            bool nan = row[k] != row[k], stuck = row[best] != row[best];
            best = nan || (!stuck && sign * row[k] >= sign * row[best]) ? k : best;
            out[k * l.step] = best;
        }
    }
}

static bool extreme_compute(const wk_call *c) { return by_lines(c, extreme_lines); }

/* ---- The operations ------------------------------------------------------ */

#define SCAN(name_, required_, flags_, compute_, backward_)                                        \
    const wk_op wk_op_##name_ = {                                                                  \
        .name = #name_,                                                                            \
        .id = WK_OP_##name_,                                                                       \
        .required = required_,                                                                     \
        .flags = flags_,                                                                           \
        .infer = infer,                                                                            \
        .compute = compute_,                                                                       \
        .backward = backward_,                                                                     \
    };
SCAN(cumsum, 1, 0, scan_compute, cumsum_backward)
SCAN(cumprod, 1, 0, scan_compute, cumprod_backward)
SCAN(cumprod_grad, 2, 0, product_grad_compute, NULL)
SCAN(cummax, 1, WK_OP_NO_HISTORY, extreme_compute, NULL)

wk_tensor *wk_cumsum(wk_tensor *x, int axis)
{
    return WK_RUN(cumsum, WK_IN(x), .opt.mode.axis = axis);
}
wk_tensor *wk_cumprod(wk_tensor *x, int axis)
{
    return WK_RUN(cumprod, WK_IN(x), .opt.mode.axis = axis);
}

static wk_ordered extremes(wk_tensor *x, int axis, bool least)
{
    if (!wk_usable(least ? "cummin" : "cummax", 1, x))
        return (wk_ordered){ 0 };
    wk_tensor *index = WK_RUN(cummax, WK_IN(x), .opt.mode = { .axis = axis, .flag = least });
    return (wk_ordered){ wk_gather(x, axis, index), index };
}

wk_ordered wk_cummax(wk_tensor *x, int axis) { return extremes(x, axis, false); }
wk_ordered wk_cummin(wk_tensor *x, int axis) { return extremes(x, axis, true); }
