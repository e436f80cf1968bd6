// SPDX-License-Identifier: MIT OR Apache-2.0
/* conv.c - convolution of images, as a cross-correlation, and its transpose.
 *
 *     y[b, o, p] = sum over c, k of x[b, c, p stride + k dilation - before] w[o, c, k]
 *
 * Given two of x, w and y the sum can go to the third: conv gives y, conv_transpose gives
 * x and conv_weight gives w.  Each one's gradients are the other two, so that they can be
 * differentiated as often as one likes. */
#include "window.h"

#include <stdio.h>

/* ---- The portable kernel ------------------------------------------------ */

typedef struct { /* planes of x, w and y */
    double *x, *w, *y;
} planes;

static void add_to_y(void *ctx, int64_t tap, int64_t x, int64_t y, int64_t n, int64_t stride)
{
    planes *p = ctx;
    for (int64_t i = 0; i < n; i++)
        p->y[y + i] += p->w[tap] * p->x[x + i * stride];
}

static void add_to_x(void *ctx, int64_t tap, int64_t x, int64_t y, int64_t n, int64_t stride)
{
    planes *p = ctx;
    for (int64_t i = 0; i < n; i++)
        p->x[x + i * stride] += p->w[tap] * p->y[y + i];
}

static void add_to_w(void *ctx, int64_t tap, int64_t x, int64_t y, int64_t n, int64_t stride)
{
    planes *p = ctx;
    double  sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += p->x[x + i * stride] * p->y[y + i];
    p->w[tap] += sum;
}

/* The tensors of a call by their part in the sum, whichever is the result. */
static void take_parts(const wk_call *c, wk_tensor **x, wk_tensor **w, wk_tensor **y)
{
    *x = c->op->id == WK_OP_conv_transpose ? c->out : c->in[0];
    *w = c->op->id == WK_OP_conv_weight ? c->out : c->in[1];
    *y = c->op->id == WK_OP_conv ? c->out : c->in[c->op->id == WK_OP_conv_weight];
}

/* Planes of the result, numbered [b, o], [b, c] or [o, c]; each is a sum over the index
 * that it does not have. */
static void sum_planes(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *call = ctx;
    wk_tensor     *x, *w, *y, *out = call->out;
    take_parts(call, &x, &w, &y);
    window  win = window_of(&call->opt, x->shape, w->shape, y->shape);
    int64_t nx = window_count(win.x), nw = window_count(win.k), ny = window_count(win.y);
    int64_t o_of = wk_dim(w, 0) / call->opt.window.groups, c_of = wk_dim(w, 1);
    int64_t terms = out == y ? c_of : out == x ? o_of : wk_dim(x, 0);
    double *room = wk_scratch((size_t)(nx + nw + ny) * sizeof *room), bias = 0;
    planes  p = { room, room ? room + nx : NULL, room ? room + nx + nw : NULL };
    double *sum = out == y ? p.y : out == x ? p.x : p.w;
    int64_t size = out == y ? ny : out == x ? nx : nw;
    for (int64_t at = begin; room && at < end; at++) {
        int64_t first = at / wk_dim(out, 1), second = at % wk_dim(out, 1);
        if (out != w && call->in[2])
            wk_load_f64(&bias, call->in[2], second, 1, 1);
        for (int64_t i = 0; i < size; i++)
            sum[i] = bias;
        for (int64_t t = 0; t < terms; t++) {
            int64_t o = out == y ? second : out == w ? first : second / c_of * o_of + t;
            int64_t c = out == y ? t : out == w ? second : second % c_of;
            int64_t b = out == w ? t : first, channel = o / o_of * c_of + c;
            if (out != x)
                wk_load_f64(p.x, x, (b * wk_dim(x, 1) + channel) * nx, nx, 1);
            if (out != w)
                wk_load_f64(p.w, w, (o * c_of + c) * nw, nw, 1);
            if (out != y)
                wk_load_f64(p.y, y, (b * wk_dim(y, 1) + o) * ny, ny, 1);
            if (out == y)
                window_runs(&win, add_to_y, &p);
            else if (out == x)
                window_runs(&win, add_to_x, &p);
            else
                window_runs(&win, add_to_w, &p);
        }
        wk_store_f64(out, at * size, sum, size, 1);
    }
}

static bool compute(const wk_call *c)
{
    int64_t number = wk_dim(c->out, 0) * wk_dim(c->out, 1), size = wk_count(c->out) / number;
    wk_parallel(number, 2048 / size + 1, sum_planes, (void *)c);
    return wk_ok();
}

/* ---- Gradients ---------------------------------------------------------- */

/* The shape is in the call already: see wk_conv_with(). */
static bool infer(wk_call *c)
{
    c->dtype = c->in[0]->dtype;
    return wk_shape_valid(c->op->name, c->shape);
}

static wk_tensor *give_x(const wk_call *c, wk_tensor *y, wk_tensor *w, wk_shape shape)
{
    return WK_RUN(conv_transpose, WK_IN(y, w, NULL), .opt = c->opt, .shape = shape);
}
static wk_tensor *give_w(const wk_call *c, wk_tensor *x, wk_tensor *y, wk_shape shape)
{
    return WK_RUN(conv_weight, WK_IN(x, y), .opt = c->opt, .shape = shape);
}
static wk_tensor *give_y(const wk_call *c, wk_tensor *x, wk_tensor *w, wk_shape shape)
{
    return WK_RUN(conv, WK_IN(x, w, NULL), .opt = c->opt, .shape = shape);
}

/* First over what lies together, so that nothing is moved. */
static wk_tensor *bias_grad(const wk_call *c, wk_tensor *dy)
{
    wk_shape after_channels = { wk_rank(dy) - 2, { 2, 3, 4 } };
    if (!wk_wants_grad(c->in[2]))
        return NULL;
    return wk_sum(wk_sum(dy, .over = after_channels), .over = WK_AXES(0)); // [b, c], [c]
}

static void conv_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    wk_tensor *x = c->in[0], *w = c->in[1];
    dx[0] = wk_wants_grad(x) ? give_x(c, dy, w, x->shape) : NULL;
    dx[1] = wk_wants_grad(w) ? give_w(c, x, dy, w->shape) : NULL;
    dx[2] = bias_grad(c, dy);
}

static void transpose_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    wk_tensor *y = c->in[0], *w = c->in[1];
    dx[0] = wk_wants_grad(y) ? give_y(c, dy, w, y->shape) : NULL;
    dx[1] = wk_wants_grad(w) ? give_w(c, dy, y, w->shape) : NULL;
    dx[2] = bias_grad(c, dy);
}

static void weight_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    wk_tensor *x = c->in[0], *y = c->in[1];
    dx[0] = wk_wants_grad(x) ? give_x(c, y, dy, x->shape) : NULL;
    dx[1] = wk_wants_grad(y) ? give_y(c, x, dy, y->shape) : NULL;
}

#define CONV(name_, host_, backward_)                                                              \
    const wk_op wk_op_##name_ = {                                                                  \
        .name = #name_,                                                                            \
        .id = WK_OP_##name_,                                                                       \
        .required = 2,                                                                             \
        .infer = infer,                                                                            \
        .compute = compute,                                                                        \
        .host = host_,                                                                             \
        .backward = backward_,                                                                     \
    };
CONV(conv, wk_host_conv, conv_backward)
CONV(conv_transpose, wk_host_conv_transpose, transpose_backward)
CONV(conv_weight, wk_host_conv_weight, weight_backward)

/* ---- Public functions --------------------------------------------------- */

/* Operands and their channels. */
static bool fits(const char *name, const wk_conv_args *a, int dims, bool transposed)
{
    wk_tensor *x = a->x, *w = a->weight, *bias = a->bias;
    int64_t    groups = a->groups ? a->groups : 1;
    char       s[160], t[160];
    if (dims < 1 || dims > 3 || wk_rank(w) != dims + 2 ||
        (wk_rank(x) != dims + 2 && wk_rank(x) != dims + 1))
        wk_fail(WK_ERR_SHAPE, "%s: x %s and weight %s do not have %d spatial dimensions", name,
                wk_show(x, s), wk_show(w, t), dims);
    if (!wk_ok())
        return false;
    int64_t channels = wk_dim(x, -dims - 1), inputs = wk_dim(w, transposed ? 0 : 1);
    if (groups < 1 || wk_dim(w, 0) % groups || channels != (transposed ? inputs : inputs * groups))
        wk_fail(WK_ERR_SHAPE, "%s: x %s does not fit weight %s in %lld groups", name, wk_show(x, s),
                wk_show(w, t), (long long)groups);
    int64_t results = transposed ? wk_dim(w, 1) * groups : wk_dim(w, 0);
    if (bias && (wk_rank(bias) != 1 || wk_dim(bias, 0) != results))
        wk_fail(WK_ERR_SHAPE, "%s: bias %s does not fit weight %s", name, wk_show(bias, s),
                wk_show(w, t));
    if (!wk_dtypes[x->dtype].is_float || !wk_dtypes[w->dtype].is_float)
        wk_fail(WK_ERR_DTYPE, "%s: x %s and weight %s must be of float dtypes", name, wk_show(x, s),
                wk_show(w, t));
    return wk_ok();
}

/* The options and the size of the result. */
static bool arrange(const char *name, const wk_conv_args *a, int dims, bool transposed,
                    wk_options *opt, wk_shape *shape)
{
    int64_t  x[3], k[3], padding[3], before[3], after[3], extra[3];
    int64_t *stride = opt->window.stride, *dilation = opt->window.dilation;
    char     s[160], t[160];
    if (!window_sizes(name, a->x->shape, dims, x) ||
        !window_sizes(name, a->weight->shape, dims, k) ||
        !window_numbers(name, "stride", a->stride, dims, 1, 1, stride) ||
        !window_numbers(name, "dilation", a->dilation, dims, 1, 1, dilation) ||
        !window_numbers(name, "padding", a->padding, dims, 0, 0, padding) ||
        !window_numbers(name, "before", a->before, dims, 0, -WINDOW_LIMIT, before) ||
        !window_numbers(name, "after", a->after, dims, 0, -WINDOW_LIMIT, after) ||
        !window_numbers(name, "output_padding", a->output_padding, dims, 0, 0, extra))
        return false;
    opt->window.groups = a->groups ? a->groups : 1;
    for (int i = 0; i < 3; i++) {
        int64_t reach = dilation[i] * (k[i] - 1) + 1, size;
        before[i] += padding[i] + (a->same ? (reach - 1) / 2 : 0);
        after[i] += padding[i] + (a->same ? reach - 1 - (reach - 1) / 2 : 0);
        opt->window.before[i] = before[i];
        if (a->same && (stride[i] != 1 || transposed))
            wk_fail(WK_ERR_ARGUMENT, "%s: padding for the same size needs a stride of 1", name);
        if (extra[i] >= wk_max_i64(stride[i], dilation[i]) || (extra[i] && !transposed))
            wk_fail(WK_ERR_ARGUMENT, "%s: an output padding of %lld with a stride of %lld", name,
                    (long long)extra[i], (long long)stride[i]);
        int64_t room = x[i] + before[i] + after[i] - reach;
        size = transposed ? (x[i] - 1) * stride[i] + reach - before[i] - after[i] + extra[i]
               : room < 0 ? -1
                          : room / stride[i] + 1;
        if (k[i] < 1 || size < (transposed ? 0 : 1))
            wk_fail(WK_ERR_SHAPE, "%s: nothing is left of x %s with weight %s", name,
                    wk_show(a->x, s), wk_show(a->weight, t));
        if (i >= 3 - dims)
            shape->dim[shape->rank++] = size;
    }
    return wk_ok();
}

static wk_tensor *convolve(const wk_conv_args *given, bool transposed)
{
    wk_conv_args a = *given;
    char         name[32];
    wk_options   opt = { 0 };
    int          dims = a.dims ? a.dims : wk_rank(a.weight) - 2;
    snprintf(name, sizeof name, a.dims ? "%s%dd" : "%s", transposed ? "conv_transpose" : "conv",
             dims);
    if (!wk_usable(name, 1, a.x) || !wk_usable(name, 2, a.weight) ||
        (a.bias && !wk_usable(name, 3, a.bias)) || !fits(name, &a, dims, transposed))
        return NULL;
    wk_scope scope = wk_mark();
    bool     alone = wk_rank(a.x) == dims + 1;
    a.x = window_batch(name, a.x, dims);
    int64_t  groups = a.groups ? a.groups : 1;
    wk_shape shape = { 2, { wk_dim(a.x, 0), wk_dim(a.weight, 0) } };
    if (transposed)
        shape.dim[1] = wk_dim(a.weight, 1) * groups;
    wk_tensor *y = NULL;
    if (a.x && arrange(name, &a, dims, transposed, &opt, &shape))
        y = wk_run(&(wk_call){ .op = transposed ? &wk_op_conv_transpose : &wk_op_conv,
                               WK_IN(a.x, a.weight, a.bias),
                               .opt = opt,
                               .shape = shape });
    return wk_yield(scope, alone && y ? wk_squeeze(y, 0) : y);
}

wk_tensor *wk_conv_with(const wk_conv_args *args) { return convolve(args, false); }
wk_tensor *wk_conv_transpose_with(const wk_conv_args *args) { return convolve(args, true); }
