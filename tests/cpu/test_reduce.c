// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_reduce.c - reductions, cross entropy, copies and fills of every instruction set
 * against the portable kernels, which compute in doubles. */
#include "../test.h"
#include "portable.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Reductions --------------------------------------------------------------- */

typedef enum {
    NORMAL,
    TIES,
    SHIFTED,
    HUGE_ONES,
    TINY,
    ZEROS,
    WITH_NAN,
    INFINITE,
    CONTENTS
} content;

static wk_tensor *numbers(content what, int64_t n)
{
    float *x = malloc((size_t)(n + 1) * sizeof *x);
    wk_to_f32(wk_randn(n), x);
    for (int64_t i = 0; i < n; i++)
        switch (what) {
        case TIES:
            x[i] = rintf(x[i]);
            break;
        case SHIFTED:
            x[i] += 1000;
            break;
        case HUGE_ONES:
            x[i] *= 0x1p125f;
            break;
        case TINY:
            x[i] *= 0x1p-130f;
            break;
        case ZEROS:
            x[i] = 0;
            break;
        case WITH_NAN:
            x[i] = i % 61 == 5 ? NAN : x[i];
            break;
        case INFINITE:
            x[i] = i % 5 == 1 ? -INFINITY : i % 97 == 7 ? INFINITY : x[i];
            break;
        default:
            break;
        }
    wk_tensor *t = wk_from_f32(WK_SHAPE(n), x);
    free(x);
    return t;
}

static const struct {
    const char *name;
    wk_tensor *(*run)(const wk_reduce_args *args);
    double p;
} reductions[] = {
    { "sum", wk_sum_with, 0 },       { "mean", wk_mean_with, 0 },
    { "var", wk_var_with, 0 },       { "std", wk_std_with, 0 },
    { "min", wk_min_with, 0 },       { "max", wk_max_with, 0 },
    { "argmin", wk_argmin_with, 0 }, { "argmax", wk_argmax_with, 0 },
    { "norm", wk_norm_with, 1 },     { "norm", wk_norm_with, 2 },
    { "norm", wk_norm_with, 3 },     { "norm", wk_norm_with, INFINITY },
    { "lse", wk_logsumexp_with, 0 },
};

static wk_tensor *reduce(size_t which, wk_tensor *x, wk_shape axes)
{
    return reductions[which].run(
        &(wk_reduce_args){ .x = x, .over = axes, .p = reductions[which].p });
}

/* The result is that of doubles but for 16 units in the last place, which are those of
 * the summed magnitudes for sums, and of 1 for logsumexp. */
static void check_reduction(const char *isa, size_t which, content what, wk_tensor *x,
                            wk_shape axes)
{
    wk_scope   scope = wk_mark();
    char       text[160];
    double     bound = x->dtype == WK_BF16 ? 0x1p15 + 16 : 16; /* half a unit of bf16 */
    wk_tensor *got = reduce(which, x, axes), *want = reduce(which, wk_cast(x, WK_F64), axes);
    wk_tensor *size = reduce(0, wk_abs(wk_cast(x, WK_F64)), axes);
    int64_t    n = wk_count(want);
    double    *g = calloc((size_t)n * 3 + 1, sizeof *g), *w = g + n, *s = w + n;
    wk_read(got, WK_F64, g);
    wk_read(want, WK_F64, w);
    wk_read(size, WK_F64, s);
    CHECK(wk_count(got) == n);
    for (int64_t i = 0; i < n; i++) {
        double slack = reductions[which].run == wk_logsumexp_with ? 1
                       : which == 0                               ? s[i]
                       : which == 1 ? s[i] / (double)wk_count(x) * (double)n
                                    : 0;
        bool   good = ulps(g[i], w[i], slack) <= bound || g[i] == w[i];
        if (!CHECK_MSG(good, "%s: %s (%g) of kind %d over axis %d of %s: %.9g is not %.9g", isa,
                       reductions[which].name, reductions[which].p, (int)what,
                       axes.rank ? (int)axes.dim[0] : -1, wk_show(x, text), g[i], w[i]))
            break;
    }
    free(g);
    wk_sweep(scope);
}

static void reductions_on(const char *isa)
{
    static const int64_t lengths[] = { 1,  2,  3,  7,  8,  15, 16,  17,  31,   32,   33,   63,
                                       64, 65, 66, 67, 68, 69, 127, 128, 4095, 4097, 70001 };
    for (size_t which = 0; which < WK_COUNT(reductions); which++)
        for (content what = 0; what < CONTENTS; what++)
            for (size_t k = 0; k < WK_COUNT(lengths); k += (size_t)test_stride(4)) {
                wk_scope scope = wk_mark();
                int64_t  n = lengths[k];
                if (n > 9999 && what != NORMAL && what != WITH_NAN)
                    continue;
                wk_tensor *x = numbers(what, 3 * n);
                check_reduction(isa, which, what, wk_narrow(x, 0, 0, n), WK_AXES(0));
                check_reduction(isa, which, what, wk_reshape(x, 3, n), WK_AXES(-1));
                check_reduction(isa, which, what, wk_reshape(x, 3, n), WK_AXES(0));
                check_reduction(isa, which, what, wk_reshape(x, n, 3), WK_AXES(0));
                wk_sweep(scope);
            }
}

TEST(reductions_of_all_lengths_and_contents) { each_isa(reductions_on); }

static void layouts_on(const char *isa)
{
    for (size_t which = 0; which < WK_COUNT(reductions); which++) {
        wk_scope   scope = wk_mark();
        wk_tensor *x = wk_randn(5, 7, 19), *tall = wk_randn(1100, 600), *y;
        for (int64_t axis = 0; axis < 3; axis++) {
            check_reduction(isa, which, NORMAL, x, WK_AXES(axis));
            check_reduction(isa, which, NORMAL, wk_permute(x, 2, 0, 1), WK_AXES(axis));
            check_reduction(isa, which, NORMAL, wk_slice(x, 2, 1, 18, 3), WK_AXES(axis));
            check_reduction(isa, which, NORMAL, wk_cast(x, WK_BF16), WK_AXES(axis));
        }
        check_reduction(isa, which, NORMAL, tall, WK_AXES(0));
        check_reduction(isa, which, NORMAL, wk_transpose(tall, 0, 1), WK_AXES(0));
        check_reduction(isa, which, NORMAL, tall, (wk_shape){ 0 });
        y = wk_expand(wk_randn(9, 1), 9, 12);
        check_reduction(isa, which, NORMAL, y, WK_AXES(1));
        if (strncmp(reductions[which].name, "arg", 3)) {
            check_reduction(isa, which, NORMAL, x, WK_AXES(0, 1));
            check_reduction(isa, which, NORMAL, x, WK_AXES(1, 2));
            check_reduction(isa, which, NORMAL, x, WK_AXES(0, 2));
        }
        wk_sweep(scope);
    }
}

TEST(reductions_of_all_layouts) { each_isa(layouts_on); }

TEST(reductions_do_not_depend_on_the_number_of_threads)
{
    int before = wk_threads();
    for (size_t which = 0; which < WK_COUNT(reductions); which++)
        for (int axis = -1; axis < 2; axis++) {
            wk_scope   scope = wk_mark();
            wk_tensor *x = wk_randn(700, 900), *y[2];
            wk_shape   axes = axis < 0 ? WK_SCALAR : WK_AXES(axis);
            for (int i = 0; i < 2; i++) {
                wk_set_threads(i ? 3 : 1);
                y[i] = reduce(which, x, axes);
            }
            CHECK_MSG(wk_item(wk_all(wk_eq(y[0], y[1]))) == 1, "%s over %d", reductions[which].name,
                      axis);
            wk_sweep(scope);
        }
    wk_set_threads(before);
}

/* ---- Cross entropy ---------------------------------------------------------------- */

static wk_tensor *loss_of(wk_tensor *logits, wk_tensor *target, double smoothing)
{
    return wk_cross_entropy(logits, target, .label_smoothing = smoothing, .ignore = true,
                            .ignore_index = -1);
}

static void check_loss(const char *isa, int64_t rows, int64_t v, wk_dtype dtype, double smoothing)
{
    wk_scope   scope = wk_mark();
    int64_t    target[8];
    double     bound = dtype == WK_F32 ? 2e-6 : 1e-2, y[2], most = 0;
    double    *g = calloc((size_t)(rows * v), 2 * sizeof *g), *w = g + rows * v;
    wk_tensor *x[2] = { wk_cast(wk_scale(wk_randn(rows, v), 5), dtype), NULL };
    for (int64_t r = 0; r < rows; r++)
        target[r] = r == 1 ? -1 : (r * 7919) % v;
    wk_tensor *t = wk_from_i64(WK_SHAPE(rows), target);
    x[1] = wk_cast(x[0], WK_F64);
    for (int i = 0; i < 2; i++) {
        wk_track(x[i]);
        wk_tensor *loss = loss_of(x[i], t, smoothing);
        wk_backward(loss);
        y[i] = wk_item(loss);
        wk_read(wk_grad(x[i]), WK_F64, i ? w : g);
    }
    CHECK_MSG(fabs(y[0] - y[1]) <= bound * fmax(1, y[1]), "%s: [%lld, %lld] of %s: %.9g, not %.9g",
              isa, (long long)rows, (long long)v, wk_dtype_name(dtype), y[0], y[1]);
    for (int64_t i = 0; i < rows * v; i++)
        most = fmax(most, fabs(g[i] - w[i]));
    CHECK_MSG(most <= bound, "%s: the gradient of [%lld, %lld] of %s is off by %g", isa,
              (long long)rows, (long long)v, wk_dtype_name(dtype), most);
    free(g);
    wk_sweep(scope);
}

static void losses_on(const char *isa)
{
    static const int64_t classes[] = { 1, 2, 7, 15, 16, 17, 100, 4096, 4097, 9001 };
    for (size_t i = 0; i < WK_COUNT(classes); i++) {
        check_loss(isa, 6, classes[i], WK_F32, 0);
        check_loss(isa, 3, classes[i], WK_F32, 0.1);
        check_loss(isa, 6, classes[i], WK_BF16, 0.1);
    }
    wk_tensor *x = wk_randn(2, 5);
    loss_of(x, wk_from_i64(WK_SHAPE(2), (int64_t[]){ 1, 5 }), 0);
    CHECK_ERROR("class 5 is not between 0 and 4");
}

TEST(cross_entropy_in_f32) { each_isa(losses_on); }

/* ---- Copies, casts, fills ------------------------------------------------------------ */

/* Element (i, j, k) of a [40, 33, 37] tensor, however it was turned, holds its number. */
static void check_turned(wk_dtype dtype, int a, int b, int c)
{
    static const int64_t dim[] = { 40, 33, 37 }, stride[] = { 33 * 37, 37, 1 };
    static int64_t       value[40 * 33 * 37];
    wk_scope             scope = wk_mark();
    wk_tensor           *x = wk_cast(wk_arange(WK_I64, 0, 40 * 33 * 37, 1), dtype);
    wk_tensor           *y = wk_copy(wk_permute(wk_reshape(x, 40, 33, 37), a, b, c));
    int64_t              n = 0, mask = wk_dtype_size(dtype) == 1 ? 0xFF : 0xFFFF;
    CHECK(wk_is_contiguous(y));
    wk_to_i64(y, value);
    for (int64_t i = 0; i < dim[a]; i++)
        for (int64_t j = 0; j < dim[b]; j++)
            for (int64_t k = 0; k < dim[c]; k++, n++) {
                int64_t want = i * stride[a] + j * stride[b] + k * stride[c];
                if (!CHECK_MSG((value[n] & mask) == (want & mask), "%s turned %d %d %d: %lld",
                               wk_dtype_name(dtype), a, b, c, (long long)n))
                    return;
            }
    wk_sweep(scope);
}

TEST(copies_of_turned_tensors)
{
    static const wk_dtype sizes[] = { WK_U8, WK_I16, WK_I32, WK_I64 };
    for (size_t i = 0; i < WK_COUNT(sizes); i++)
        for (int a = 0; a < 3; a++)
            for (int b = 0; b < 3; b++)
                if (a != b)
                    check_turned(sizes[i], a, b, 3 - a - b);
}

static void casts_on(const char *isa)
{
    const wk_cpu_isa *before = wk_cpu_current();
    for (wk_dtype from = WK_F32; from < WK_Q4_0; from++)
        for (wk_dtype to = WK_F32; to < WK_Q4_0; to++) {
            wk_scope   scope = wk_mark();
            double     g[70], w[70];
            wk_tensor *x = wk_cast(wk_abs(wk_scale(wk_randn(70), 9)), from);
            wk_tensor *got = wk_cast(x, to);
            use_portable();
            wk_read(wk_cast(x, to), WK_F64, w);
            use_isa(before);
            wk_read(got, WK_F64, g);
            CHECK_MSG(!memcmp(g, w, sizeof g), "%s: from %s to %s", isa, wk_dtype_name(from),
                      wk_dtype_name(to));
            wk_sweep(scope);
        }
}

TEST(casts_between_all_dtypes) { each_isa(casts_on); }

TEST(fills_of_all_lengths)
{
    static double x[100005];
    for (wk_dtype dtype = WK_F32; dtype < WK_Q4_0; dtype++)
        for (int64_t n = 1; n <= 100003; n = n < 20 ? n + 1 : n * 9 / 2) {
            wk_scope   scope = wk_mark();
            wk_tensor *t = wk_full_of(dtype, WK_SHAPE(n + 2), 0);
            bool       good = true;
            wk_fill(wk_narrow(t, 0, 1, n), 1);
            wk_read(t, WK_F64, x);
            for (int64_t i = 0; i < n; i++)
                good &= x[i + 1] == 1;
            CHECK_MSG(good && x[0] == 0 && x[n + 1] == 0, "%lld of %s", (long long)n,
                      wk_dtype_name(dtype));
            wk_sweep(scope);
        }
}
