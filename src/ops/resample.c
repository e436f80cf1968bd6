// SPDX-License-Identifier: MIT OR Apache-2.0
/* resample.c - images in another size: interpolate, and pixel_shuffle, which makes
 * channels of pixels and back.
 *
 * Interpolation goes one axis after another.  Along an axis each new element is a
 * weighted sum of up to four old ones; with transposed set, the operation hands gradients
 * back by the same weights, so that it is its own gradient. */
#include "../core/core.h"

#include <math.h>

enum { MOST = 4 };

/* Keys, "Cubic convolution interpolation", 1981, with a = -0.75 as everywhere. */
static void cubic_weights(double t, double w[MOST])
{
    const double a = -0.75;
    double       d[MOST] = { 1 + t, t, 1 - t, 2 - t };
    for (int i = 0; i < MOST; i++)
        w[i] = i == 0 || i == 3 ? ((a * d[i] - 5 * a) * d[i] + 8 * a) * d[i] - 4 * a
                                : ((a + 2) * d[i] - (a + 3)) * d[i] * d[i] + 1;
}

/* The elements of n that new element i of m is made of, and their weights. */
static int taps_of(const wk_options *o, int64_t i, int64_t n, int64_t m, int64_t at[MOST],
                   double w[MOST])
{
    double scale = o->resample.scale > 0 ? 1 / o->resample.scale : (double)n / (double)m;
    w[0] = 1;
    if (o->resample.mode == WK_NEAREST || o->resample.mode == WK_NEAREST_EXACT) {
        /* in floats, so that elements between two fall to the same side as elsewhere */
        float where = (float)i + (o->resample.mode == WK_NEAREST ? 0.0f : 0.5f);
        at[0] = wk_min_i64((int64_t)floorf(where * (float)scale), n - 1);
        return 1;
    }
    double x = (double)i * (m > 1 ? (double)(n - 1) / (double)(m - 1) : 0);
    if (!o->resample.align)
        x = scale * ((double)i + 0.5) - 0.5;
    if (o->resample.mode == WK_LINEAR && x < 0)
        x = 0;
    double  t = x - floor(x);
    int64_t first = (int64_t)floor(x);
    if (o->resample.mode == WK_LINEAR) {
        at[0] = wk_min_i64(first, n - 1);
        at[1] = wk_min_i64(first + 1, n - 1);
        w[0] = 1 - t;
        w[1] = t;
        return 2;
    }
    cubic_weights(t, w);
    for (int k = 0; k < MOST; k++)
        at[k] = wk_max_i64(0, wk_min_i64(first - 1 + k, n - 1));
    return MOST;
}

/* x is [outer, n, inner], y [outer, m, inner]; in reverse y gives x. */
static void slices(void *ctx, int64_t begin, int64_t end)
{
    const wk_call   *c = ctx;
    bool             back = c->opt.resample.transposed;
    int              axis = c->opt.resample.axis;
    const wk_tensor *from = c->in[0];
    int64_t          n = wk_dim(back ? c->out : from, axis), m = wk_dim(back ? from : c->out, axis);
    int64_t          inner = 1, at[MOST];
    for (int i = axis + 1; i < from->shape.rank; i++)
        inner *= from->shape.dim[i];
    double *x = wk_scratch((size_t)((n + m) * inner) * sizeof *x), *y = x + n * inner, w[MOST];
    for (int64_t s = begin; x && s < end; s++) {
        double *result = back ? x : y;
        int64_t size = (back ? n : m) * inner, given = (back ? m : n) * inner;
        wk_load_f64(back ? y : x, from, s * given, given, 1);
        memset(result, 0, (size_t)size * sizeof *result);
        for (int64_t i = 0; i < m; i++) {
            int taps = taps_of(&c->opt, i, n, m, at, w);
            for (int t = 0; t < taps; t++)
                for (int64_t k = 0; k < inner; k++)
                    if (back)
                        x[at[t] * inner + k] += w[t] * y[i * inner + k];
                    else
                        y[i * inner + k] += w[t] * x[at[t] * inner + k];
        }
        wk_store_f64(c->out, s * size, result, size, 1);
    }
}

static bool compute(const wk_call *c)
{
    int64_t outer = 1;
    for (int i = 0; i < c->opt.resample.axis; i++)
        outer *= c->shape.dim[i];
    wk_parallel(outer, 4096 / (wk_count(c->out) / outer) + 1, slices, (void *)c);
    return wk_ok();
}

/* The shape is in the call already. */
static bool infer(wk_call *c)
{
    c->dtype = c->in[0]->dtype;
    return wk_shape_valid("interpolate", c->shape);
}

static void backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    wk_options o = c->opt;
    o.resample.transposed = !o.resample.transposed;
    dx[0] = WK_RUN(interpolate, WK_IN(dy), .opt = o, .shape = c->in[0]->shape);
}

const wk_op wk_op_interpolate = {
    .name = "interpolate",
    .id = WK_OP_interpolate,
    .required = 1,
    .infer = infer,
    .compute = compute,
    .backward = backward,
};

wk_tensor *wk_interpolate_with(const wk_interpolate_args *a)
{
    wk_tensor *x = a->x;
    wk_shape   size = a->size;
    int        dims = wk_rank(x) - 2;
    char       s[160], t[160];
    if (!wk_usable("interpolate", 1, x))
        return NULL;
    if (dims < 1 || dims > 3 || !wk_dtypes[x->dtype].is_float || (int)a->mode < WK_NEAREST ||
        a->mode > WK_AREA) {
        wk_fail(WK_ERR_SHAPE, "interpolate: x %s is not [b, c, ..] of floats, or mode %d is none",
                wk_show(x, s), (int)a->mode);
        return NULL;
    }
    for (int i = 0; !a->size.rank && a->scale > 0 && i < dims; i++) {
        double n = floor((double)x->shape.dim[2 + i] * a->scale);
        size.dim[size.rank++] = n < 1e9 ? (int64_t)n : 0;
    }
    bool fits = size.rank == dims;
    for (int i = 0; fits && i < dims; i++)
        fits = size.dim[i] > 0 && size.dim[i] < 1 << 30 && x->shape.dim[2 + i] > 0;
    if (!fits) {
        wk_fail(WK_ERR_SHAPE, "interpolate: x %s to %s", wk_show(x, s), wk_show_shape(size, t));
        return NULL;
    }
    if (a->mode == WK_AREA)
        return wk_adaptive_avg_pool(x, size);
    wk_scope scope = wk_mark();
    for (int i = 0; x && i < dims; i++) {
        wk_options o = { .resample = { .axis = 2 + i,
                                       .mode = (int)a->mode,
                                       .align = a->align_corners,
                                       .scale = a->size.rank ? 0 : a->scale } };
        wk_shape   shape = x->shape;
        shape.dim[2 + i] = size.dim[i];
        x = WK_RUN(interpolate, WK_IN(x), .opt = o, .shape = shape);
    }
    return wk_yield(scope, x);
}

/* ---- Pixels and channels ------------------------------------------------ */

/* x as [n, c, h, w] split by factor: n is what comes before. */
static bool split(const char *name, wk_tensor *x, int64_t factor, bool to_pixels, wk_shape *s)
{
    char text[160];
    if (!wk_usable(name, 1, x))
        return false;
    int     r = wk_rank(x);
    int64_t f = factor;
    bool    good = r >= 3 && f > 0 && f < 1 << 15;
    good = good && (to_pixels ? wk_dim(x, -3) % (f * f) == 0
                              : wk_dim(x, -2) % f == 0 && wk_dim(x, -1) % f == 0);
    if (!good) {
        wk_fail(WK_ERR_SHAPE, "%s: x %s does not divide by %lld", name, wk_show(x, text),
                (long long)f);
        return false;
    }
    *s = (wk_shape){ 6, { 1 } };
    for (int i = 0; i < r - 3; i++)
        s->dim[0] *= x->shape.dim[i];
    int64_t c = wk_dim(x, -3), h = wk_dim(x, -2), w = wk_dim(x, -1);
    int64_t shuffled[] = { c / f / f, f, f, h, w }, plain[] = { c, h / f, f, w / f, f };
    memcpy(s->dim + 1, to_pixels ? shuffled : plain, sizeof plain);
    return true;
}

wk_tensor *wk_pixel_shuffle(wk_tensor *x, int64_t factor)
{
    wk_shape s, out;
    if (!split("pixel_shuffle", x, factor, true, &s))
        return NULL;
    wk_scope scope = wk_mark();
    out = x->shape;
    out.dim[out.rank - 3] = s.dim[1];
    out.dim[out.rank - 2] *= factor;
    out.dim[out.rank - 1] *= factor;
    x = wk_permute(wk_reshape_to(x, s), 0, 1, 4, 2, 5, 3); // [n, c, h, f, w, f]
    return wk_yield(scope, wk_reshape_to(x, out));
}

wk_tensor *wk_pixel_unshuffle(wk_tensor *x, int64_t factor)
{
    wk_shape s, out;
    if (!split("pixel_unshuffle", x, factor, false, &s))
        return NULL;
    wk_scope scope = wk_mark();
    out = x->shape;
    out.dim[out.rank - 3] *= factor * factor;
    out.dim[out.rank - 2] = s.dim[2];
    out.dim[out.rank - 1] = s.dim[4];
    x = wk_permute(wk_reshape_to(x, s), 0, 1, 3, 5, 2, 4); // [n, c, f, f, h, w]
    return wk_yield(scope, wk_reshape_to(x, out));
}
