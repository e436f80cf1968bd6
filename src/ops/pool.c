// SPDX-License-Identifier: MIT OR Apache-2.0
/* pool.c - the largest element or the mean of windows: max_pool, avg_pool, and the
 * adaptive ones, whose windows divide the image evenly.
 *
 * Where elements are equal, the first one is the largest and gets the gradient. */
#include "window.h"

#include <math.h>
#include <stdio.h>

/* ---- Windows ------------------------------------------------------------ */

typedef struct { /* along one axis: elements first, first + step .. before end */
    int64_t first, end, step, count;
} span;

/* Window i of size n images and y windows; count is what a mean divides by. */
static span span_of(const wk_options *o, int axis, int64_t i, int64_t n, int64_t y)
{
    if (o->window.adaptive) {
        int64_t first = i * n / y, end = ((i + 1) * n + y - 1) / y;
        return (span){ first, end, 1, end - first };
    }
    int64_t step = o->window.dilation[axis],
            at = i * o->window.stride[axis] - o->window.before[axis];
    int64_t end = at + (o->window.size[axis] - 1) * step + 1;
    int64_t first = at < 0 ? at + (step - 1 - at) / step * step : at;
    int64_t padded = wk_min_i64(end, n + o->window.before[axis]) - at;
    end = wk_min_i64(end, n);
    return (span){ first, end, step, o->window.exclude ? end - first : padded };
}

typedef struct {
    int64_t x[3], y[3], nx, ny; /* sizes of images and of their results */
} sizes;

static sizes sizes_of(wk_shape x, wk_shape y)
{
    sizes s;
    for (int i = 0; i < 3; i++) {
        bool there = i >= 3 - (x.rank - 2);
        s.x[i] = there ? x.dim[x.rank - 3 + i] : 1;
        s.y[i] = there ? y.dim[y.rank - 3 + i] : 1;
    }
    s.nx = window_count(s.x);
    s.ny = window_count(s.y);
    return s;
}

/* The three spans of window number at. */
static void spans_of(const wk_options *o, const sizes *s, int64_t at, span out[3])
{
    for (int i = 2; i >= 0; at /= s->y[i--])
        out[i] = span_of(o, i, at % s->y[i], s->x[i], s->y[i]);
}

/* ---- Portable kernels ---------------------------------------------------- */

/* Where the largest element of a window is; -1 if it is empty.  Of NaNs it is the last. */
static int64_t largest(const double *x, const sizes *s, const span w[3])
{
    int64_t best = -1;
    for (int64_t i = w[0].first; i < w[0].end; i += w[0].step)
        for (int64_t j = w[1].first; j < w[1].end; j += w[1].step)
            for (int64_t k = w[2].first; k < w[2].end; k += w[2].step) {
                int64_t at = (i * s->x[1] + j) * s->x[2] + k;
                if (best < 0 || x[at] > x[best] || x[at] != x[at])
                    best = at;
            }
    return best;
}

typedef struct {
    const double *x;
    double       *best; /* of each window so far ... */
    int64_t      *at;   /* ... and where it is */
} maxima;

static void take_larger(void *ctx, int64_t tap, int64_t x, int64_t y, int64_t n, int64_t stride)
{
    const maxima *m = ctx;
    (void)tap;
    for (int64_t i = 0; i < n; i++, x += stride, y++) {
        double value = m->x[x];
        bool   take =
            m->at[y] < 0 || !(value <= m->best[y] || m->best[y] != m->best[y]) || value != value;
        m->best[y] = take ? value : m->best[y];
        m->at[y] = take ? x : m->at[y];
    }
}

/* The same of all windows at once, element by element of the kernel. */
static void find_largest(const wk_options *o, const sizes *s, maxima *m)
{
    if (o->window.adaptive) {
        for (int64_t i = 0; i < s->ny; i++) {
            span w[3];
            spans_of(o, s, i, w);
            m->at[i] = largest(m->x, s, w);
        }
        return;
    }
    window w = { .x = { s->x[0], s->x[1], s->x[2] }, .y = { s->y[0], s->y[1], s->y[2] } };
    for (int i = 0; i < 3; i++) {
        w.k[i] = o->window.size[i];
        w.stride[i] = o->window.stride[i];
        w.dilation[i] = o->window.dilation[i];
        w.before[i] = o->window.before[i];
    }
    for (int64_t i = 0; i < s->ny; i++)
        m->at[i] = -1;
    window_runs(&w, take_larger, m);
}

static double sum_of(const double *x, const sizes *s, const span w[3])
{
    double sum = 0;
    for (int64_t i = w[0].first; i < w[0].end; i++)
        for (int64_t j = w[1].first; j < w[1].end; j++)
            for (int64_t k = w[2].first; k < w[2].end; k++)
                sum += x[(i * s->x[1] + j) * s->x[2] + k];
    return sum;
}

static void add_to(double *x, const sizes *s, const span w[3], double value)
{
    for (int64_t i = w[0].first; i < w[0].end; i++)
        for (int64_t j = w[1].first; j < w[1].end; j++)
            for (int64_t k = w[2].first; k < w[2].end; k++)
                x[(i * s->x[1] + j) * s->x[2] + k] += value;
}

static double divisor_of(const wk_options *o, const span w[3])
{
    return o->window.divisor != 0 ? o->window.divisor
                                  : (double)(w[0].count * w[1].count * w[2].count);
}

/* Images to their means: avg_pool. */
static void mean_planes(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *c = ctx;
    sizes          s = sizes_of(c->in[0]->shape, c->shape);
    double        *x = wk_scratch((size_t)(s.nx + s.ny) * sizeof *x), *y = x + s.nx;
    for (int64_t plane = begin; x && plane < end; plane++) {
        wk_load_f64(x, c->in[0], plane * s.nx, s.nx, 1);
        for (int64_t i = 0; i < s.ny; i++) {
            span w[3];
            spans_of(&c->opt, &s, i, w);
            y[i] = sum_of(x, &s, w) / divisor_of(&c->opt, w);
        }
        wk_store_f64(c->out, plane * s.ny, y, s.ny, 1);
    }
}

/* Gradients of these: avg_pool_grad. */
static void spread_planes(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *c = ctx;
    sizes          s = sizes_of(c->shape, c->in[0]->shape);
    double        *dx = wk_scratch((size_t)(s.nx + s.ny) * sizeof *dx), *g = dx + s.nx;
    for (int64_t plane = begin; dx && plane < end; plane++) {
        wk_load_f64(g, c->in[0], plane * s.ny, s.ny, 1);
        memset(dx, 0, (size_t)s.nx * sizeof *dx);
        for (int64_t i = 0; i < s.ny; i++) {
            span w[3];
            spans_of(&c->opt, &s, i, w);
            add_to(dx, &s, w, g[i] / divisor_of(&c->opt, w));
        }
        wk_store_f64(c->out, plane * s.nx, dx, s.nx, 1);
    }
}

/* max_pool, max_pool_indices and max_pool_grad: where the largest elements are decides. */
static void max_planes(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *c = ctx;
    bool           grad = c->op->id == WK_OP_max_pool_grad;
    sizes          s = sizes_of(c->in[0]->shape, grad ? c->in[1]->shape : c->shape);
    double        *x = wk_scratch((size_t)(2 * s.nx + 3 * s.ny) * sizeof *x);
    double        *y = x + s.nx, *dx = y + s.ny;
    maxima         m = { x, dx + s.nx, (int64_t *)(void *)(dx + s.nx + s.ny) };
    for (int64_t plane = begin; x && plane < end; plane++) {
        wk_load_f64(x, c->in[0], plane * s.nx, s.nx, 1);
        find_largest(&c->opt, &s, &m);
        if (!grad) {
            for (int64_t i = 0; i < s.ny; i++)
                if (c->op->id == WK_OP_max_pool)
                    y[i] = m.at[i] < 0 ? -INFINITY : x[m.at[i]];
                else
                    y[i] = (double)wk_max_i64(m.at[i], 0);
            wk_store_f64(c->out, plane * s.ny, y, s.ny, 1);
            continue;
        }
        wk_load_f64(y, c->in[1], plane * s.ny, s.ny, 1);
        memset(dx, 0, (size_t)s.nx * sizeof *dx);
        for (int64_t i = 0; i < s.ny; i++)
            if (m.at[i] >= 0)
                dx[m.at[i]] += y[i];
        wk_store_f64(c->out, plane * s.nx, dx, s.nx, 1);
    }
}

static bool by_planes(const wk_call *c, wk_range_fn fn)
{
    int64_t planes = wk_dim(c->out, 0) * wk_dim(c->out, 1);
    wk_parallel(planes, 4096 / (wk_count(c->out) / planes) + 1, fn, (void *)c);
    return wk_ok();
}

static bool max_compute(const wk_call *c) { return by_planes(c, max_planes); }
static bool mean_compute(const wk_call *c) { return by_planes(c, mean_planes); }
static bool spread_compute(const wk_call *c) { return by_planes(c, spread_planes); }

/* ---- Operations --------------------------------------------------------- */

/* The shape is in the call already: see pool(). */
static bool infer(wk_call *c)
{
    c->dtype = c->op->id == WK_OP_max_pool_indices ? WK_I64 : c->in[0]->dtype;
    return wk_shape_valid(c->op->name, c->shape);
}

static void max_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    wk_tensor *x = c->in[0];
    dx[0] = WK_RUN(max_pool_grad, WK_IN(x, dy), .opt = c->opt, .shape = x->shape);
}

static void max_grad_backward(const wk_call *c, wk_tensor *g, wk_tensor **dx)
{
    wk_tensor *x = c->in[0], *dy = c->in[1];
    wk_tensor *at = WK_RUN(max_pool_indices, WK_IN(x), .opt = c->opt, .shape = dy->shape);
    g = wk_gather(wk_flatten(g, 2, -1), 2, wk_flatten(at, 2, -1));
    dx[1] = wk_reshape_to(g, dy->shape);
}

static void avg_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    dx[0] = WK_RUN(avg_pool_grad, WK_IN(dy), .opt = c->opt, .shape = c->in[0]->shape);
}

static void avg_grad_backward(const wk_call *c, wk_tensor *g, wk_tensor **dx)
{
    dx[0] = WK_RUN(avg_pool, WK_IN(g), .opt = c->opt, .shape = c->in[0]->shape);
}

#define POOL(name_, required_, flags_, compute_, host_, backward_)                                 \
    const wk_op wk_op_##name_ = {                                                                  \
        .name = #name_,                                                                            \
        .id = WK_OP_##name_,                                                                       \
        .required = required_,                                                                     \
        .flags = flags_,                                                                           \
        .infer = infer,                                                                            \
        .compute = compute_,                                                                       \
        .host = host_,                                                                             \
        .backward = backward_,                                                                     \
    };
POOL(max_pool, 1, 0, max_compute, wk_host_max_pool, max_backward)
POOL(max_pool_indices, 1, WK_OP_NO_HISTORY, max_compute, NULL, NULL)
POOL(max_pool_grad, 2, 0, max_compute, wk_host_max_pool, max_grad_backward)
POOL(avg_pool, 1, 0, mean_compute, NULL, avg_backward)
POOL(avg_pool_grad, 1, 0, spread_compute, NULL, avg_grad_backward)

/* ---- Public functions --------------------------------------------------- */

/* How many windows of an axis; with ceil_mode also those that reach beyond its end. */
static int64_t windows_of(const wk_options *o, int axis, int64_t n, int64_t after, bool ceil_mode)
{
    int64_t stride = o->window.stride[axis], before = o->window.before[axis];
    int64_t reach = o->window.dilation[axis] * (o->window.size[axis] - 1) + 1;
    int64_t room = n + before + after - reach + (ceil_mode ? stride - 1 : 0);
    int64_t y = room < 0 ? 0 : room / stride + 1;
    return y - (ceil_mode && y > 0 && (y - 1) * stride >= n + before);
}

static bool arrange(const char *name, const wk_pool_args *a, int dims, wk_options *o,
                    wk_shape *shape)
{
    int64_t  x[3];
    wk_shape steps = a->stride.rank ? a->stride : a->size;
    char     s[160], t[160];
    if (!window_sizes(name, a->x->shape, dims, x) ||
        !window_numbers(name, "size", a->size, dims, 1, 1, o->window.size) ||
        !window_numbers(name, "stride", steps, dims, 1, 1, o->window.stride) ||
        !window_numbers(name, "dilation", a->dilation, dims, 1, 1, o->window.dilation) ||
        !window_numbers(name, "padding", a->padding, dims, 0, 0, o->window.before))
        return false;
    for (int i = 0; i < 3; i++) {
        int64_t before = o->window.before[i];
        int64_t reach = o->window.dilation[i] * (o->window.size[i] - 1) + 1;
        int64_t y = windows_of(o, i, x[i], before, a->ceil_mode);
        if (2 * before > reach)
            wk_fail(WK_ERR_ARGUMENT, "%s: padding %s is more than half of size %s", name,
                    wk_show_shape(a->padding, s), wk_show_shape(a->size, t));
        if (y < 1)
            wk_fail(WK_ERR_SHAPE, "%s: x %s is smaller than a window %s", name, wk_show(a->x, s),
                    wk_show_shape(a->size, t));
        if (i >= 3 - dims)
            shape->dim[shape->rank++] = y;
    }
    return wk_ok();
}

/* x as a batch, if it is one of floats with so many spatial dimensions. */
static wk_tensor *images(const char *name, wk_tensor *x, int dims)
{
    char text[160];
    if (!wk_usable(name, 1, x) || !(x = window_batch(name, x, dims)))
        return NULL;
    if (!wk_dtypes[x->dtype].is_float)
        wk_fail(WK_ERR_DTYPE, "%s: x %s must be of a float dtype", name, wk_show(x, text));
    return wk_ok() ? x : NULL;
}

static wk_tensor *pool(const wk_op *op, const wk_pool_args *given)
{
    wk_pool_args a = *given;
    wk_options   o = { .window = { .exclude = a.exclude_padding, .divisor = (double)a.divisor } };
    int          dims = a.dims ? a.dims : a.size.rank;
    char         name[32];
    snprintf(name, sizeof name, a.dims ? "%s%dd" : "%s", op->name, dims);
    wk_scope scope = wk_mark();
    if (a.divisor < 0 || (!a.size.rank && wk_ok()))
        wk_fail(WK_ERR_ARGUMENT, "%s: the windows have no size", name);
    a.x = images(name, given->x, dims);
    wk_shape   shape = { 2, { wk_dim(a.x, 0), wk_dim(a.x, 1) } };
    wk_tensor *y = NULL;
    if (a.x && arrange(name, &a, dims, &o, &shape))
        y = wk_run(&(wk_call){ .op = op, WK_IN(a.x), .opt = o, .shape = shape });
    return wk_yield(scope, y && a.x != given->x ? wk_squeeze(y, 0) : y);
}

wk_tensor *wk_max_pool_with(const wk_pool_args *args) { return pool(&wk_op_max_pool, args); }
wk_tensor *wk_avg_pool_with(const wk_pool_args *args) { return pool(&wk_op_avg_pool, args); }

wk_tensor *wk_max_pool_indices_with(const wk_pool_args *args)
{
    return pool(&wk_op_max_pool_indices, args);
}

/* The mean of powers is their sum but for the number of elements. */
wk_tensor *wk_lp_pool_with(const wk_pool_args *args)
{
    double   p = args->p != 0 ? args->p : 2, count = 1;
    wk_scope scope = wk_mark();
    if (!wk_usable("lp_pool", 1, args->x))
        return NULL;
    int          dims = args->dims ? args->dims : args->size.rank;
    wk_pool_args a = *args;
    a.x = wk_pow_scalar(args->x, p);
    for (int i = 0; i < dims; i++)
        count *= (double)args->size.dim[args->size.rank == 1 ? 0 : i];
    wk_tensor *mean = wk_avg_pool_with(&a);
    wk_context("lp_pool");
    return wk_yield(scope, wk_pow_scalar(wk_scale(mean, count), 1 / p));
}

/* A size of -1 is that of the image. */
static wk_tensor *adapt(const wk_op *op, const char *name, wk_tensor *given, wk_shape size)
{
    wk_options o = { .window = { .adaptive = true } };
    wk_scope   scope = wk_mark();
    char       s[160], t[160];
    int64_t    n[3];
    wk_tensor *x = images(name, given, size.rank), *y = NULL;
    wk_shape   shape = { 2, { wk_dim(x, 0), wk_dim(x, 1) } };
    if (!x || !window_sizes(name, x->shape, size.rank, n))
        return wk_yield(scope, NULL);
    for (int i = 0; i < size.rank; i++) {
        int64_t y_size = size.dim[i] == -1 ? x->shape.dim[2 + i] : size.dim[i];
        if (y_size < 1 || y_size >= WINDOW_LIMIT || x->shape.dim[2 + i] < 1)
            wk_fail(WK_ERR_SHAPE, "%s: x %s in %s windows", name, wk_show(x, s),
                    wk_show_shape(size, t));
        shape.dim[shape.rank++] = y_size;
    }
    if (wk_ok())
        y = wk_run(&(wk_call){ .op = op, WK_IN(x), .opt = o, .shape = shape });
    return wk_yield(scope, y && x != given ? wk_squeeze(y, 0) : y);
}

wk_tensor *wk_adaptive_avg_pool(wk_tensor *x, wk_shape size)
{
    return adapt(&wk_op_avg_pool, "adaptive_avg_pool", x, size);
}

wk_tensor *wk_adaptive_max_pool(wk_tensor *x, wk_shape size)
{
    return adapt(&wk_op_max_pool, "adaptive_max_pool", x, size);
}
