// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_reductions.c - the reductions of each instruction set, over every choice of axes,
 * against the portable kernels, which take the same numbers as doubles. */
#include "test.h"

#include "../src/cpu/cpu.h"
#include <wick/wick.h>

#include <math.h>

static const struct {
    const char *name;
    wk_tensor *(*f)(const wk_reduce_args *args);
    double p, bound; /* error, relative to the largest magnitude and to the result */
} cases[] = {
    { "sum", wk_sum_with, 0, 3e-7 },
    { "mean", wk_mean_with, 0, 3e-7 },
    { "var", wk_var_with, 0, 3e-7 },
    { "std", wk_std_with, 0, 3e-7 },
    { "min", wk_min_with, 0, 0 },
    { "max", wk_max_with, 0, 0 },
    { "prod", wk_prod_with, 0, 1.2e-7 },
    { "any", wk_any_with, 0, 0 },
    { "all", wk_all_with, 0, 0 },
    { "logsumexp", wk_logsumexp_with, 0, 3e-7 },
    { "norm 1", wk_norm_with, 1, 3e-7 },
    { "norm 2", wk_norm_with, 2, 3e-7 },
    { "norm inf", wk_norm_with, INFINITY, 0 },
    { "argmin", wk_argmin_with, 0, 0 },
    { "argmax", wk_argmax_with, 0, 0 },
};

static bool is_index(size_t i)
{
    return cases[i].f == wk_argmin_with || cases[i].f == wk_argmax_with;
}

static void for_each_isa(void (*test)(const char *isa))
{
    wk_device_name(wk_default_device());
    const wk_cpu_isa *isas[8], *before = wk_cpu_current();
    int               n = wk_cpu_list(isas, 8);
    for (int i = 0; i < n; i++) {
        wk_cpu_use(isas[i]);
        test(isas[i]->name);
    }
    wk_cpu_use(before);
}

/* The result may only differ by the rounding of sums of so many magnitudes. */
static void compare(size_t i, wk_tensor *x, wk_shape over, const char *isa)
{
    wk_reduce_args a = { .x = x, .over = over, .p = cases[i].p };
    wk_reduce_args b = { .x = wk_cast(x, WK_F64), .over = over, .p = cases[i].p };
    char           shape[160], axes[160];
    uint64_t       before = wk_fallbacks();
    wk_tensor     *got = cases[i].f(&a);
    CHECK(wk_fallbacks() == before || !wk_is_contiguous(x));
    wk_tensor *want = wk_cast(cases[i].f(&b), WK_F64);
    if (wk_dtype_of(x) != WK_F32 && wk_dtype_is_float(wk_dtype_of(got)))
        want = wk_cast(wk_cast(want, wk_dtype_of(x)), WK_F64);
    wk_tensor *error = wk_abs(wk_sub(wk_cast(got, WK_F64), want));
    wk_tensor *scale = wk_abs(want);
    if (cases[i].f == wk_sum_with || cases[i].f == wk_mean_with) {
        b.x = wk_abs(b.x); /* what was added up */
        scale = cases[i].f(&b);
    }
    if (cases[i].f == wk_logsumexp_with)
        scale = wk_add_scalar(scale, 1);
    double bound = cases[i].bound + (wk_dtype_of(x) == WK_BF16  ? 0x1p-7
                                     : wk_dtype_of(x) == WK_F16 ? 0x1p-10
                                                                : 0) *
                                        (cases[i].bound > 0);
    double over_by = wk_item(wk_max(wk_sub(error, wk_add_scalar(wk_scale(scale, bound), 1e-30))));
    CHECK_MSG(over_by <= 0, "%s of %s %s over %s: error %g", cases[i].name, isa, wk_show(x, shape),
              wk_show_shape(over, axes), over_by);
}

static void check_axes(size_t i, wk_tensor *x, const char *isa)
{
    for (int set = 1; set < 1 << wk_rank(x); set++) {
        wk_shape over = { 0 };
        wk_scope s = wk_mark();
        for (int axis = 0; axis < wk_rank(x); axis++)
            if (set >> axis & 1)
                over.dim[over.rank++] = axis;
        if (!is_index(i) || over.rank == 1 || over.rank == wk_rank(x))
            compare(i, x, over, isa);
        wk_sweep(s);
    }
}

static void check_isa(const char *isa)
{
    for (int64_t n = 1; n <= 70; n += n < 34 ? 1 : 9)
        for (size_t i = 0; i < WK_COUNT(cases); i++) {
            wk_scope s = wk_mark();
            bool     var = cases[i].f == wk_var_with || cases[i].f == wk_std_with;
            check_axes(i, wk_randn(var ? 2 : 1, 3, n + var), isa);
            if (n % 8 == 1)
                check_axes(i, wk_transpose(wk_randn(4, n + 1, 2, 3), 0, 2), isa);
            if (n == 33 && !is_index(i)) {
                check_axes(i, wk_cast(wk_randn(5, n), WK_BF16), isa);
                check_axes(i, wk_cast(wk_randn(5, n), WK_F16), isa);
            }
            wk_sweep(s);
        }
    for (size_t i = 0; i < WK_COUNT(cases); i++) { /* many blocks, many parts */
        wk_scope s = wk_mark();
        double   span = cases[i].f == wk_prod_with ? 0.01 : 1;
        check_axes(i, wk_add_scalar(wk_scale(wk_randn(3, 9001), span), 1), isa);
        check_axes(i, wk_add_scalar(wk_scale(wk_randn(700, 37), span), 1), isa);
        check_axes(i, wk_add_scalar(wk_scale(wk_randn(2, 300, 300), span), 1), isa);
        wk_sweep(s);
    }
}

TEST(reductions_of_each_instruction_set_agree_with_doubles) { for_each_isa(check_isa); }

static double of(size_t i, const float *x, int64_t n)
{
    wk_scope       s = wk_mark();
    wk_reduce_args a = { .x = wk_from_f32(WK_SHAPE(n), x), .p = cases[i].p };
    double         y = wk_item(cases[i].f(&a));
    a.x = wk_cast(a.x, WK_F64);
    double want = (double)(float)wk_item(cases[i].f(&a));
    wk_sweep(s);
    CHECK_MSG(y == want || (isnan(y) && isnan(want)) || fabs(y - want) < 1e-6 * fabs(want),
              "%s: %g is not %g", cases[i].name, y, want);
    return y;
}

static void check_specials(const char *isa)
{
    static const float specials[] = { NAN, INFINITY, -INFINITY, 0, 1e30f, 1e-30f, -0.0f };
    (void)isa;
    for (size_t i = 0; i < WK_COUNT(cases); i++)
        for (size_t k = 0; k < WK_COUNT(specials); k++)
            for (int at = 0; at < 40; at += 3) {
                float x[40];
                for (int j = 0; j < 40; j++)
                    x[j] = k < 5 ? (float)(j % 5) - 2 : specials[k];
                x[at] = specials[k];
                of(i, x, 40);
                x[(at + 17) % 40] = specials[k]; /* a tie, or a second NaN */
                of(i, x, 40);
                for (int j = 0; j < 40; j++)
                    x[j] = specials[k];
                of(i, x, 1 + at);
            }
}

TEST(reductions_of_what_is_not_finite) { for_each_isa(check_specials); }

TEST(reductions_do_not_depend_on_threads)
{
    wk_tensor *x[] = { wk_randn(100001), wk_randn(3, 50000), wk_randn(40000, 5),
                       wk_randn(3, 300, 301) };
    int        before = wk_threads();
    for (size_t i = 0; i < WK_COUNT(cases); i++)
        for (size_t k = 0; k < WK_COUNT(x); k++)
            for (int axis = 0; axis < wk_rank(x[k]); axis++) {
                wk_scope       s = wk_mark();
                wk_reduce_args a = { .x = x[k], .over = WK_AXES(axis), .p = cases[i].p };
                wk_set_threads(1);
                wk_tensor *one = cases[i].f(&a);
                wk_set_threads(3);
                CHECK(wk_item(wk_all(wk_eq(one, cases[i].f(&a)))) == 1);
                wk_sweep(s);
            }
    wk_set_threads(before);
}
