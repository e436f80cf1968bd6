// SPDX-License-Identifier: MIT OR Apache-2.0
/* stft.c - spectra of overlapping frames: frames, overlap_add, stft, istft.
 *
 * Allen and Rabiner, "A unified approach to short-time Fourier analysis and synthesis",
 * 1977.  frames and overlap_add are each other's gradient. */
#include "../core/core.h"

#include <math.h>

/* ---- frames and overlap_add ----------------------------------------------- */

static bool frames_infer(wk_call *c)
{
    char    s[160];
    int64_t size = c->opt.shape.dim[0], hop = c->opt.shape.dim[1], n = wk_dim(c->in[0], -1);
    if (size <= 0 || hop <= 0 || wk_rank(c->in[0]) < 1 || size > n) {
        wk_fail(WK_ERR_SHAPE, "frames: %s has no frames of %lld, %lld apart", wk_show(c->in[0], s),
                (long long)size, (long long)hop);
        return false;
    }
    wk_infer_same(c);
    if (c->shape.rank < WK_MAX_RANK)
        c->shape.dim[c->shape.rank] = size;
    c->shape.dim[c->shape.rank++ - 1] = (n - size) / hop + 1;
    return wk_shape_valid("frames", c->shape);
}

static void frames_rows(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *c = ctx;
    int64_t        size = wk_dim(c->out, -1), count = wk_dim(c->out, -2);
    int64_t        hop = c->opt.shape.dim[1], n = wk_dim(c->in[0], -1);
    double        *row = wk_scratch((size_t)size * sizeof *row);
    for (int64_t r = begin; row && r < end; r++) {
        wk_load_f64(row, c->in[0], r / count * n + r % count * hop, size, 1);
        wk_store_f64(c->out, r * size, row, size, 1);
    }
}

static bool frames_compute(const wk_call *c)
{
    int64_t size = wk_dim(c->out, -1);
    wk_parallel(wk_count(c->out) / size, 8192 / size + 1, frames_rows, (void *)c);
    return wk_ok();
}

static void frames_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    dx[0] = wk_overlap_add(dy, c->opt.shape.dim[1]);
    if (dx[0])
        dx[0] = wk_pad(dx[0], -1, 0, wk_dim(c->in[0], -1) - wk_dim(dx[0], -1), 0);
}

const wk_op wk_op_frames = {
    .name = "frames",
    .id = WK_OP_frames,
    .required = 1,
    .infer = frames_infer,
    .compute = frames_compute,
    .backward = frames_backward,
};

static bool overlap_infer(wk_call *c)
{
    char    s[160];
    int64_t hop = c->opt.shape.dim[1], count = wk_dim(c->in[0], -2);
    if (hop <= 0 || wk_rank(c->in[0]) < 2 || count <= 0 || wk_dim(c->in[0], -1) == 0 ||
        hop > (int64_t)1 << 40 || count > (int64_t)1 << 20 << 20) {
        wk_fail(WK_ERR_SHAPE, "overlap_add: %s is not frames, %lld apart", wk_show(c->in[0], s),
                (long long)hop);
        return false;
    }
    wk_infer_same(c);
    c->shape.rank--;
    if (count > INT64_MAX / 4 / hop)
        c->shape.dim[c->shape.rank - 1] = INT64_MAX / 4; /* is refused */
    else
        c->shape.dim[c->shape.rank - 1] = (count - 1) * hop + wk_dim(c->in[0], -1);
    return wk_shape_valid("overlap_add", c->shape);
}

static void overlap_rows(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *c = ctx;
    int64_t        size = wk_dim(c->in[0], -1), count = wk_dim(c->in[0], -2);
    int64_t        hop = c->opt.shape.dim[1], n = wk_dim(c->out, -1);
    double        *sum = wk_scratch((size_t)(n + size) * sizeof *sum), *row = sum + n;
    for (int64_t r = begin; sum && r < end; r++) {
        memset(sum, 0, (size_t)n * sizeof *sum);
        for (int64_t f = 0; f < count; f++) {
            wk_load_f64(row, c->in[0], (r * count + f) * size, size, 1);
            for (int64_t i = 0; i < size; i++)
                sum[f * hop + i] += row[i];
        }
        wk_store_f64(c->out, r * n, sum, n, 1);
    }
}

static bool overlap_compute(const wk_call *c)
{
    int64_t n = wk_dim(c->out, -1);
    wk_parallel(wk_count(c->out) / n, 8192 / n + 1, overlap_rows, (void *)c);
    return wk_ok();
}

static void overlap_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    dx[0] = wk_frames(dy, wk_dim(c->in[0], -1), c->opt.shape.dim[1]);
}

const wk_op wk_op_overlap_add = {
    .name = "overlap_add",
    .id = WK_OP_overlap_add,
    .required = 1,
    .infer = overlap_infer,
    .compute = overlap_compute,
    .backward = overlap_backward,
};

wk_tensor *wk_frames(wk_tensor *x, int64_t size, int64_t hop)
{
    return WK_RUN(frames, WK_IN(x), .opt.shape = WK_SHAPE(size, hop));
}

wk_tensor *wk_overlap_add(wk_tensor *x, int64_t hop)
{
    return WK_RUN(overlap_add, WK_IN(x), .opt.shape = WK_SHAPE(0, hop));
}

/* ---- stft and istft --------------------------------------------------------- */

typedef struct {
    int64_t    n, hop;
    wk_tensor *window; /* [n], or NULL */
} framing;

static bool framing_of(const char *what, const wk_stft_args *a, framing *f)
{
    char    s[160];
    int64_t n = a->n_fft, wide = a->win_length ? a->win_length : n;
    *f = (framing){ n, a->hop ? a->hop : n / 4, a->window };
    if (n <= 0 || n > (int64_t)1 << 40 || f->hop <= 0 || wide <= 0 || wide > n)
        wk_fail(WK_ERR_ARGUMENT, "%s: n_fft %lld, hop %lld, win_length %lld", what, (long long)n,
                (long long)f->hop, (long long)wide);
    else if (a->window && (!wk_usable(what, 2, a->window) || wk_rank(a->window) != 1 ||
                           wk_dim(a->window, 0) != wide))
        wk_fail(WK_ERR_SHAPE, "%s: window %s is not [%lld]", what, wk_show(a->window, s),
                (long long)wide);
    else if (wide < n) {
        wk_tensor *w = a->window ? a->window : wk_full_of(wk_dtype_of(a->x), WK_SHAPE(wide), 1);
        w = w ? wk_to_device(w, wk_device_of(a->x)) : NULL;
        f->window = wk_pad(w, 0, (n - wide) / 2, n - wide - (n - wide) / 2, 0);
    }
    return wk_ok();
}

/* x with n elements more at both ends.  (By an index, as wk_pad_by() does, it takes longer
 * than all the transforms.) */
static wk_tensor *reflected(wk_tensor *x, int64_t n)
{
    char    s[160];
    int64_t t = wk_dim(x, -1);
    if (n >= t) {
        wk_fail(WK_ERR_SHAPE, "stft: %lld elements more at both ends of %s", (long long)n,
                wk_show(x, s));
        return NULL;
    }
    wk_tensor *before = wk_flip(wk_narrow(x, -1, 1, n), -1);
    wk_tensor *after = wk_flip(wk_narrow(x, -1, t - 1 - n, n), -1);
    return wk_cat(-1, before, x, after);
}

wk_tensor *wk_stft_with(const wk_stft_args *a)
{
    framing    f;
    wk_scope   scope = wk_mark();
    wk_tensor *x = a->x;
    if (!wk_usable("stft", 1, x) || !framing_of("stft", a, &f))
        return NULL;
    if (!a->not_centred)
        x = a->pad_zeros ? wk_pad(x, -1, f.n / 2, f.n / 2, 0) : reflected(x, f.n / 2);
    x = wk_frames(x, f.n, f.hop);
    if (f.window)
        x = wk_mul(x, f.window);
    if (a->two_sided) {
        wk_tensor *zero = x ? wk_scale(x, 0) : NULL;
        x = zero ? wk_fft(wk_stack(-1, x, zero)) : NULL;
    } else {
        x = wk_rfft(x);
    }
    if (a->normalized)
        x = wk_scale(x, 1 / sqrt((double)f.n));
    wk_context("stft");
    return wk_yield(scope, wk_transpose(x, -3, -2)); // [.., frequencies, frames, 2]
}

/* What the squared windows of count frames add up to. */
static wk_tensor *envelope(const wk_stft_args *a, const framing *f, int64_t count)
{
    wk_tensor *w = f->window ? f->window
                             : wk_to_device(wk_full_of(wk_dtype_of(a->x), WK_SHAPE(f->n), 1),
                                            wk_device_of(a->x));
    return wk_overlap_add(wk_expand(wk_square(w), count, f->n), f->hop);
}

wk_tensor *wk_istft_with(const wk_stft_args *a)
{
    char       s[160];
    framing    f;
    wk_scope   scope = wk_mark();
    wk_tensor *x = a->x;
    if (!wk_usable("istft", 1, x) || !framing_of("istft", a, &f))
        return NULL;
    if (wk_rank(x) < 3 || wk_dim(x, -3) != (a->two_sided ? f.n : f.n / 2 + 1) || a->length < 0) {
        wk_fail(WK_ERR_SHAPE, "istft: %s is not of n_fft %lld", wk_show(x, s), (long long)f.n);
        return NULL;
    }
    x = wk_transpose(x, -3, -2); // [.., frames, frequencies, 2]
    x = wk_irfft(wk_narrow(x, -2, 0, f.n / 2 + 1), f.n);
    if (a->normalized)
        x = wk_scale(x, sqrt((double)f.n));
    wk_tensor *weight = envelope(a, &f, wk_dim(a->x, -2));
    x = wk_overlap_add(f.window ? wk_mul(x, f.window) : x, f.hop);
    int64_t from = a->not_centred ? 0 : f.n / 2, all = wk_dim(x, -1);
    int64_t to = a->length ? wk_min_i64(all, from + a->length) : all - from;
    x = wk_narrow(x, -1, from, to - from);
    weight = wk_narrow(weight, -1, from, to - from);
    wk_tensor *low = weight && to > from ? wk_min(wk_detach(wk_abs(weight))) : NULL;
    if (low && wk_item(low) < 1e-11)
        wk_fail(WK_ERR_ARGUMENT, "istft: the windows leave out some elements");
    x = wk_div(x, weight);
    if (x && a->length > to - from)
        x = wk_pad(x, -1, 0, a->length - (to - from), 0);
    wk_context("istft");
    return wk_yield(scope, x);
}
