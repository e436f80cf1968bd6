// SPDX-License-Identifier: MIT OR Apache-2.0
/* fft.c - discrete Fourier transforms of any length; complex numbers are a dimension of 2.
 *
 * Stockham's sorted passes, one for each factor 4, 2, 3, 5 .. of the length, on rows of
 * doubles; a length with a large prime factor becomes a convolution of a power of two
 * (Bluestein, 1970).  Two rows of real numbers travel as one of complex ones.  Every
 * transform is linear, and the gradient of one is another. */
#include "../core/core.h"

#include <math.h>

static const double TURN = 6.283185307179586;

enum { FACTORS = 64, LARGEST = 13 }; /* larger primes than this go by convolution */

typedef struct {
    double re, im;
} pair;

typedef struct fft_plan {
    int64_t n;
    int     count, factor[FACTORS];
    pair   *root; /* exp(-2 pi i k / n), for k < n */
    /* For lengths with large prime factors: */
    int64_t wide; /* the power of two, 0 where there is none */
    pair   *wide_root, *chirp, *filter;
} fft_plan;

static pair times(pair a, pair b)
{
    return (pair){ a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re };
}
static pair plus(pair a, pair b) { return (pair){ a.re + b.re, a.im + b.im }; }
static pair minus(pair a, pair b) { return (pair){ a.re - b.re, a.im - b.im }; }

/* ---- Passes ------------------------------------------------------------- */

/* A pass takes apart transforms of length r m, s of them side by side, into those of
 * length m: y[q + s (r p + k)] = w^(p k) sum_j x[q + s (p + m j)] exp(-2 pi i j k / r). */
typedef struct {
    const pair *x, *root;
    pair       *y;
    int64_t     n, m, s;
} pass;

static void pass_2(const pass *t)
{
    for (int64_t p = 0; p < t->m; p++) {
        const pair *x = t->x + t->s * p, *x1 = x + t->s * t->m;
        pair       *y = t->y + t->s * 2 * p, *y1 = y + t->s, w = t->root[p * t->s];
        for (int64_t q = 0; q < t->s; q++) {
            pair a = x[q], b = x1[q];
            y[q] = plus(a, b);
            y1[q] = times(w, minus(a, b));
        }
    }
}

static void pass_4(const pass *t)
{
    for (int64_t p = 0; p < t->m; p++) {
        const pair *x = t->x + t->s * p;
        pair       *y = t->y + t->s * 4 * p;
        int64_t     s = t->s, apart = s * t->m;
        pair        w1 = t->root[p * s], w2 = t->root[2 * p * s], w3 = t->root[3 * p * s];
        for (int64_t q = 0; q < s; q++) {
            pair a = plus(x[q], x[q + 2 * apart]), b = minus(x[q], x[q + 2 * apart]);
            pair c = plus(x[q + apart], x[q + 3 * apart]);
            pair d = minus(x[q + apart], x[q + 3 * apart]);
            y[q] = plus(a, c);
            y[q + s] = times(w1, (pair){ b.re + d.im, b.im - d.re });
            y[q + 2 * s] = times(w2, minus(a, c));
            y[q + 3 * s] = times(w3, (pair){ b.re - d.im, b.im + d.re });
        }
    }
}

static void pass_any(const pass *t, int r)
{
    for (int64_t p = 0; p < t->m; p++)
        for (int k = 0; k < r; k++) {
            pair *y = t->y + t->s * (r * p + k), w = t->root[p * k * t->s];
            memset(y, 0, (size_t)t->s * sizeof *y);
            for (int j = 0; j < r; j++) {
                const pair *x = t->x + t->s * (p + t->m * j);
                pair        v = times(w, t->root[(int64_t)j * k % r * (t->n / r)]);
                for (int64_t q = 0; q < t->s; q++)
                    y[q] = plus(y[q], times(v, x[q]));
            }
        }
}

/* x, by way of other, both n long; forwards.  Where the result is, x or other. */
static pair *run_passes(const int *factor, int count, const pair *root, int64_t n, pair *x,
                        pair *other)
{
    int64_t m = n, s = 1;
    for (int i = 0; i < count; i++) {
        m /= factor[i];
        pass t = { x, root, other, n, m, s };
        if (factor[i] == 4)
            pass_4(&t);
        else if (factor[i] == 2)
            pass_2(&t);
        else
            pass_any(&t, factor[i]);
        s *= factor[i];
        pair *swap = x;
        x = other;
        other = swap;
    }
    return x;
}

/* ---- Plans -------------------------------------------------------------- */

/* Into factor[], 4 first; what is left above LARGEST. */
static int64_t factorize(int64_t n, int *factor, int *count)
{
    *count = 0;
    for (int f = 4; f <= LARGEST; f = f == 4 ? 2 : f == 2 ? 3 : f + 2)
        for (; n % f == 0 && n > 1; n /= f)
            factor[(*count)++] = f;
    return n;
}

static pair *roots(int64_t n, int64_t count, bool squares)
{
    pair *w = wk_alloc_array((size_t)count, sizeof *w);
    for (int64_t k = 0, at = 0; w && k < count; k++) {
        w[k] = (pair){ cos(TURN * (double)at / (double)n), -sin(TURN * (double)at / (double)n) };
        at = (at + (squares ? 2 * k + 1 : 1)) % n; /* k^2 or k, modulo n */
    }
    return w;
}

static void plan_free(fft_plan *p)
{
    wk_free(p->root);
    wk_free(p->wide_root);
    wk_free(p->chirp);
    wk_free(p->filter);
}

/* j k is (j^2 + k^2 - (k - j)^2) / 2, so with chirp[k] = exp(-pi i k^2 / n) a transform is a
 * convolution with its conjugate, whose own transform is the filter. */
static bool plan_wide(fft_plan *p)
{
    for (p->wide = 1; p->wide < 2 * p->n - 1;)
        p->wide *= 2;
    int64_t n = p->n, wide = p->wide;
    pair   *f = wk_alloc_array((size_t)wide * 2, sizeof *f);
    factorize(wide, p->factor, &p->count);
    p->chirp = roots(2 * n, n, true);
    p->wide_root = roots(wide, wide, false);
    p->filter = wk_alloc_array((size_t)wide, sizeof *p->filter);
    if (wk_ok()) {
        for (int64_t k = 0; k < n; k++) {
            pair c = { p->chirp[k].re, -p->chirp[k].im };
            f[k] = f[(wide - k) % wide] = c;
        }
        pair *y = run_passes(p->factor, p->count, p->wide_root, wide, f, f + wide);
        memcpy(p->filter, y, (size_t)wide * sizeof *y);
    }
    wk_free(f);
    return wk_ok();
}

static bool plan_open(fft_plan *p, int64_t n)
{
    *p = (fft_plan){ .n = n };
    if (factorize(n, p->factor, &p->count) > 1)
        return plan_wide(p);
    p->root = roots(n, n, false);
    return p->root != NULL;
}

/* Complex numbers that transform() needs: x, the first n of them, and room. */
static int64_t room_for(const fft_plan *p) { return p->wide ? p->n + 2 * p->wide : 2 * p->n; }

static pair *convolve(const fft_plan *p, pair *x)
{
    int64_t n = p->n, wide = p->wide;
    pair   *a = x + n, *b = a + wide;
    memset(a, 0, (size_t)wide * sizeof *a);
    for (int64_t k = 0; k < n; k++)
        a[k] = times(x[k], p->chirp[k]);
    pair *y = run_passes(p->factor, p->count, p->wide_root, wide, a, b);
    for (int64_t k = 0; k < wide; k++) {
        y[k] = times(y[k], p->filter[k]);
        y[k].im = -y[k].im; /* backwards is forwards between two conjugations */
    }
    y = run_passes(p->factor, p->count, p->wide_root, wide, y, y == a ? b : a);
    for (int64_t k = 0; k < n; k++) {
        pair c = { y[k].re / (double)wide, -y[k].im / (double)wide };
        x[k] = times(c, p->chirp[k]);
    }
    return x;
}

/* x [n] forwards or backwards, not divided; where it is then, with room for n. */
static pair *transform(const fft_plan *p, pair *x, bool inverse)
{
    for (int64_t k = 0; inverse && k < p->n; k++)
        x[k].im = -x[k].im;
    pair *y =
        p->wide ? convolve(p, x) : run_passes(p->factor, p->count, p->root, p->n, x, x + p->n);
    for (int64_t k = 0; inverse && k < p->n; k++)
        y[k].im = -y[k].im;
    return y;
}

/* ---- Kernels ------------------------------------------------------------- */

typedef struct {
    const wk_call *c;
    fft_plan       plan;
    int64_t        rows;
} work;

/* opt.number: whether backwards, a factor */
static void complex_rows(void *ctx, int64_t begin, int64_t end)
{
    const work    *w = ctx;
    const wk_call *c = w->c;
    int64_t        n = w->plan.n;
    pair          *x = wk_scratch((size_t)room_for(&w->plan) * sizeof *x);
    for (int64_t r = begin; x && r < end; r++) {
        wk_load_f64(&x->re, c->in[0], r * n * 2, n * 2, 1);
        pair *y = transform(&w->plan, x, c->opt.number[0] != 0);
        for (int64_t k = 0; k < n && c->opt.number[1] != 1; k++)
            y[k] = (pair){ y[k].re * c->opt.number[1], y[k].im * c->opt.number[1] };
        wk_store_f64(c->out, r * n * 2, &y->re, n * 2, 1);
    }
}

/* opt.number: the length n, a factor, another for frequencies that stand for two.  Rows a
 * and b are a + i b, and their transforms z: A_k = (z_k + conj z_-k) / 2, B_k / i the rest. */
static void to_half(void *ctx, int64_t begin, int64_t end)
{
    const work    *w = ctx;
    const wk_call *c = w->c;
    int64_t        n = w->plan.n, half = n / 2 + 1;
    pair          *x = wk_scratch((size_t)(room_for(&w->plan) + 2 * half + n) * sizeof *x);
    pair          *a = x + room_for(&w->plan), *b = a + half;
    double        *row = x ? &b[half].re : NULL;
    for (int64_t p = begin; x && p < end; p++) {
        bool two = 2 * p + 1 < w->rows;
        wk_load_f64(row, c->in[0], 2 * p * n, two ? 2 * n : n, 1);
        for (int64_t k = 0; k < n; k++)
            x[k] = (pair){ row[k], two ? row[n + k] : 0 };
        pair *z = transform(&w->plan, x, false);
        for (int64_t k = 0; k < half; k++) {
            pair   y = z[k], u = z[k ? n - k : 0];
            double f = c->opt.number[1] / 2 * (k && 2 * k != n ? c->opt.number[2] : 1);
            a[k] = (pair){ f * (y.re + u.re), f * (y.im - u.im) };
            b[k] = (pair){ f * (y.im + u.im), f * (u.re - y.re) };
        }
        wk_store_f64(c->out, 2 * p * half * 2, &a->re, (two ? 4 : 2) * half, 1);
    }
}

/* The same backwards: z = A + i B over all frequencies, of which A_-k = conj A_k. */
static void from_half(void *ctx, int64_t begin, int64_t end)
{
    const work    *w = ctx;
    const wk_call *c = w->c;
    int64_t        n = w->plan.n, half = n / 2 + 1;
    pair          *x = wk_scratch((size_t)(room_for(&w->plan) + 2 * half + n) * sizeof *x);
    pair          *a = x + room_for(&w->plan), *b = a + half;
    double        *row = x ? &b[half].re : NULL;
    for (int64_t p = begin; x && p < end; p++) {
        bool two = 2 * p + 1 < w->rows;
        memset(b, 0, (size_t)half * sizeof *b);
        wk_load_f64(&a->re, c->in[0], 2 * p * half * 2, (two ? 4 : 2) * half, 1);
        a[0].im = b[0].im = 0;
        if (n % 2 == 0)
            a[half - 1].im = b[half - 1].im = 0;
        for (int64_t k = 0; k < half; k++) {
            double f = c->opt.number[1] * (k && 2 * k != n ? c->opt.number[2] / 2 : 1);
            x[k] = (pair){ f * (a[k].re - b[k].im), f * (a[k].im + b[k].re) };
            if (k)
                x[n - k] = (pair){ f * (a[k].re + b[k].im), f * (b[k].re - a[k].im) };
        }
        pair *z = transform(&w->plan, x, true);
        for (int64_t k = 0; k < n; k++) {
            row[k] = z[k].re;
            row[n + k] = z[k].im;
        }
        wk_store_f64(c->out, 2 * p * n, row, two ? 2 * n : n, 1);
    }
}

static bool compute_fft(const wk_call *c)
{
    bool    real = c->op->id != WK_OP_fft;
    int64_t n = real ? (int64_t)c->opt.number[0] : wk_dim(c->out, -2);
    work    w = { .c = c };
    w.rows = wk_count(c->out) / (c->op->id == WK_OP_irfft ? n : real ? 2 * (n / 2 + 1) : 2 * n);
    wk_range_fn fn = !real ? complex_rows : c->op->id == WK_OP_rfft ? to_half : from_half;
    if (plan_open(&w.plan, n))
        wk_parallel(real ? (w.rows + 1) / 2 : w.rows, 4096 / n + 1, fn, &w);
    plan_free(&w.plan);
    return wk_ok();
}

/* ---- Operations ----------------------------------------------------------- */

/* At least rank dimensions of floats, the last of 2 if complex, of a length that is not 0. */
static bool check(const wk_call *c, bool complex)
{
    char             s[160];
    const wk_tensor *x = c->in[0];
    int              rank = complex ? 2 : 1;
    if (wk_rank(x) < rank || (complex && wk_dim(x, -1) != 2) || wk_dim(x, -rank) == 0 ||
        !wk_dtypes[x->dtype].is_float)
        wk_fail(WK_ERR_SHAPE, "%s: %s must be rows of %s floats", c->op->name, wk_show(x, s),
                complex ? "complex numbers [.., 2] of" : "real");
    return wk_ok() && wk_infer_same((wk_call *)c);
}

static bool infer_fft(wk_call *c) { return check(c, true); }

static bool infer_rfft(wk_call *c)
{
    if (!check(c, false) || c->shape.rank == WK_MAX_RANK)
        return wk_shape_valid("rfft", (wk_shape){ .rank = c->shape.rank + 1 });
    int64_t n = wk_dim(c->in[0], -1);
    c->opt.number[0] = (double)n;
    c->shape.dim[c->shape.rank - 1] = n / 2 + 1;
    c->shape.dim[c->shape.rank++] = 2;
    return true;
}

static bool infer_irfft(wk_call *c)
{
    char    s[160];
    int64_t n = (int64_t)c->opt.number[0];
    if (!check(c, true))
        return false;
    if (n <= 0 || wk_dim(c->in[0], -2) != n / 2 + 1)
        wk_fail(WK_ERR_SHAPE, "irfft: %s is not half of a transform of length %lld",
                wk_show(c->in[0], s), (long long)n);
    c->shape.rank--;
    c->shape.dim[c->shape.rank - 1] = n;
    return wk_ok();
}

static void fft_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    dx[0] = WK_RUN(fft, WK_IN(dy), .opt.number = { c->opt.number[0] == 0, c->opt.number[1] });
}

static void rfft_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    dx[0] = WK_RUN(irfft, WK_IN(dy), .opt = c->opt);
}

static void irfft_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    dx[0] = WK_RUN(rfft, WK_IN(dy), .opt = c->opt);
}

#define TRANSFORM(name_)                                                                           \
    const wk_op wk_op_##name_ = {                                                                  \
        .name = #name_,                                                                            \
        .id = WK_OP_##name_,                                                                       \
        .required = 1,                                                                             \
        .infer = infer_##name_,                                                                    \
        .compute = compute_fft,                                                                    \
        .backward = name_##_backward,                                                              \
    };

TRANSFORM(fft)
TRANSFORM(rfft)
TRANSFORM(irfft)

wk_tensor *wk_fft(wk_tensor *x) { return WK_RUN(fft, WK_IN(x), .opt.number = { 0, 1 }); }

wk_tensor *wk_ifft(wk_tensor *x)
{
    if (!wk_usable("ifft", 1, x))
        return NULL;
    return WK_RUN(fft, WK_IN(x), .opt.number = { 1, 1 / (double)wk_max_i64(wk_dim(x, -2), 1) });
}

wk_tensor *wk_rfft(wk_tensor *x) { return WK_RUN(rfft, WK_IN(x), .opt.number = { 0, 1, 1 }); }

wk_tensor *wk_irfft(wk_tensor *x, int64_t n)
{
    return WK_RUN(irfft, WK_IN(x), .opt.number = { (double)n, 1 / (double)n, 2 });
}
