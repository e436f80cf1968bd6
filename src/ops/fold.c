// SPDX-License-Identifier: MIT OR Apache-2.0
/* fold.c - the windows of images as columns, and back: unfold (im2col), fold (col2im).
 *
 * Each is the other's gradient.  x is [b, c, ..], its columns [b, c k, windows], where k
 * counts the elements of a window. */
#include "window.h"

typedef struct {
    double *x, *columns; /* of one image */
    int64_t ny;
} planes;

static void take(void *ctx, int64_t tap, int64_t x, int64_t y, int64_t n, int64_t stride)
{
    planes *p = ctx;
    for (int64_t i = 0; i < n; i++)
        p->columns[tap * p->ny + y + i] = p->x[x + i * stride];
}

static void give(void *ctx, int64_t tap, int64_t x, int64_t y, int64_t n, int64_t stride)
{
    planes *p = ctx;
    for (int64_t i = 0; i < n; i++)
        p->x[x + i * stride] += p->columns[tap * p->ny + y + i];
}

/* How the images lie under the windows: sizes are in the options, as is how many. */
static window arrange(const wk_call *c)
{
    wk_shape x = c->op->id == WK_OP_fold ? c->shape : c->in[0]->shape;
    wk_shape k = { 3, { 0 } }, y = k;
    int      dims = x.rank - 2;
    memcpy(k.dim, c->opt.window.size, sizeof c->opt.window.size);
    window w = window_of(&c->opt, x, k, y);
    for (int i = 0; i < 3; i++) {
        int64_t reach = w.dilation[i] * (w.k[i] - 1) + 1;
        w.y[i] = i < 3 - dims ? 1 : (w.x[i] + 2 * w.before[i] - reach) / w.stride[i] + 1;
    }
    return w;
}

static void images(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *c = ctx;
    window         w = arrange(c);
    bool           fold = c->op->id == WK_OP_fold;
    int64_t        nx = window_count(w.x), ny = window_count(w.y), nc = window_count(w.k) * ny;
    double        *x = wk_scratch((size_t)(nx + nc) * sizeof *x), *columns = x + nx;
    planes         p = { x, columns, ny };
    for (int64_t i = begin; x && i < end; i++) {
        memset(fold ? x : columns, 0, (size_t)(fold ? nx : nc) * sizeof *x);
        if (fold) {
            wk_load_f64(columns, c->in[0], i * nc, nc, 1);
            window_runs(&w, give, &p);
            wk_store_f64(c->out, i * nx, x, nx, 1);
        } else {
            wk_load_f64(x, c->in[0], i * nx, nx, 1);
            window_runs(&w, take, &p);
            wk_store_f64(c->out, i * nc, columns, nc, 1);
        }
    }
}

static bool compute(const wk_call *c)
{
    const wk_tensor *x = c->op->id == WK_OP_fold ? c->out : c->in[0];
    int64_t          number = wk_dim(x, 0) * wk_dim(x, 1);
    wk_parallel(number, 4096 / (wk_count(c->out) / number) + 1, images, (void *)c);
    return wk_ok();
}

/* The shape is in the call already. */
static bool infer(wk_call *c)
{
    c->dtype = c->in[0]->dtype;
    return wk_shape_valid(c->op->name, c->shape);
}

static void unfold_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    dx[0] = WK_RUN(fold, WK_IN(dy), .opt = c->opt, .shape = c->in[0]->shape);
}

static void fold_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    dx[0] = WK_RUN(unfold, WK_IN(dy), .opt = c->opt, .shape = c->in[0]->shape);
}

#define FOLD(name_)                                                                                \
    const wk_op wk_op_##name_ = {                                                                  \
        .name = #name_,                                                                            \
        .id = WK_OP_##name_,                                                                       \
        .required = 1,                                                                             \
        .infer = infer,                                                                            \
        .compute = compute,                                                                        \
        .backward = name_##_backward,                                                              \
    };
FOLD(unfold)
FOLD(fold)

/* ---- Public functions --------------------------------------------------- */

/* The options, the elements of a window, and how many windows an image [.., x] has. */
static bool count(const char *name, const wk_fold_args *a, int dims, const int64_t x[3],
                  wk_options *o, int64_t *elements, int64_t *windows)
{
    char s[160], t[160];
    *elements = *windows = 1;
    if (!window_numbers(name, "size", a->size, dims, 1, 1, o->window.size) ||
        !window_numbers(name, "stride", a->stride, dims, 1, 1, o->window.stride) ||
        !window_numbers(name, "dilation", a->dilation, dims, 1, 1, o->window.dilation) ||
        !window_numbers(name, "padding", a->padding, dims, 0, 0, o->window.before))
        return false;
    for (int i = 0; i < 3; i++) {
        int64_t reach = o->window.dilation[i] * (o->window.size[i] - 1) + 1;
        int64_t room = x[i] + 2 * o->window.before[i] - reach;
        *elements *= o->window.size[i];
        *windows *= room < 0 ? 0 : room / o->window.stride[i] + 1;
        if (*windows < 1 || *elements >= WINDOW_LIMIT || *windows >= WINDOW_LIMIT) {
            wk_fail(WK_ERR_SHAPE, "%s: %s in windows %s", name,
                    a->output.rank ? wk_show_shape(a->output, s) : wk_show(a->x, s),
                    wk_show_shape(a->size, t));
            return false;
        }
    }
    return true;
}

wk_tensor *wk_unfold_with(const wk_fold_args *a)
{
    wk_options o = { 0 };
    int64_t    x[3], elements, windows;
    int        dims = wk_rank(a->x) - 2;
    wk_scope   scope = wk_mark();
    if (!wk_usable("unfold", 1, a->x) || !window_batch("unfold", a->x, dims) ||
        !window_sizes("unfold", a->x->shape, dims, x) ||
        !count("unfold", a, dims, x, &o, &elements, &windows))
        return wk_yield(scope, NULL);
    wk_shape shape = WK_SHAPE(wk_dim(a->x, 0), wk_dim(a->x, 1) * elements, windows);
    return WK_RUN(unfold, WK_IN(a->x), .opt = o, .shape = shape);
}

wk_tensor *wk_fold_with(const wk_fold_args *a)
{
    wk_options o = { 0 };
    int64_t    x[3] = { 1, 1, 1 }, elements, windows;
    int        dims = a->output.rank;
    char       s[160], t[160];
    if (!wk_usable("fold", 1, a->x))
        return NULL;
    if (dims < 1 || dims > 3 || wk_rank(a->x) != 3) {
        wk_fail(WK_ERR_SHAPE, "fold: x %s is not [b, c, windows] of an image %s", wk_show(a->x, s),
                wk_show_shape(a->output, t));
        return NULL;
    }
    if (!window_sizes("fold", a->output, dims, x) ||
        !count("fold", a, dims, x, &o, &elements, &windows))
        return NULL;
    if (wk_dim(a->x, 1) % elements || wk_dim(a->x, 2) != windows) {
        wk_fail(WK_ERR_SHAPE, "fold: x %s is not [b, c * %lld, %lld]", wk_show(a->x, s),
                (long long)elements, (long long)windows);
        return NULL;
    }
    wk_shape shape = { 2, { wk_dim(a->x, 0), wk_dim(a->x, 1) / elements } };
    for (int i = 0; i < dims; i++)
        shape.dim[shape.rank++] = a->output.dim[i];
    return WK_RUN(fold, WK_IN(a->x), .opt = o, .shape = shape);
}
