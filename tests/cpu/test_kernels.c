// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_kernels.c - the element-wise kernels of every instruction set against the
 * portable ones, which take the same numbers as doubles.
 *
 * Floats are taken from the whole range, by their bits, and from where the definitions
 * say that the tests should look. */
#include "../test.h"
#include "portable.h"

#include <math.h>
#include <string.h>

enum { SPECIALS = 18, BY_BITS = 12000, IN_RANGE = 2000, VALUES = SPECIALS + BY_BITS + IN_RANGE };

static const float specials[SPECIALS] = { 0,
                                          -0.0f,
                                          1,
                                          -1,
                                          2,
                                          -2,
                                          0.5f,
                                          -0.5f,
                                          3,
                                          -3,
                                          INFINITY,
                                          -INFINITY,
                                          NAN,
                                          0x1p-149f,
                                          -0x1p-149f,
                                          0x1.fffffep127f,
                                          -0x1.fffffep127f,
                                          0x1p-126f };

static void fill_values(float *x, double low, double high, uint32_t seed)
{
    memcpy(x, specials, sizeof specials);
    for (uint32_t i = 0; i < BY_BITS; i++) {
        uint32_t bits = (i + 1) * 2654435761u ^ seed;
        memcpy(&x[SPECIALS + i], &bits, sizeof bits);
    }
    for (int i = 0; i < IN_RANGE; i++)
        x[SPECIALS + BY_BITS + i] = (float)(low + (high - low) * i / IN_RANGE);
}

/* ---- How exact functions are ------------------------------------------------ */

/* 4 units in the last place everywhere; but some formulas subtract numbers of the size
 * of scale or of |x|, or multiply what is subnormal (a small scale), or have squares
 * that overflow beyond most, or an argument of exp() whose rounding counts. */
static const struct {
    const char *name;
    double      bound, scale, x_scale, least, most;
} exceptions[] = {
    { "logit", 4, 1, 0, 0, INFINITY },
    { "logit_d1", 4, 0, 0, 0, 1e15 },
    { "atan_d1", 4, 0, 0, 0, 1e15 },
    { "asinh_d1", 4, 0, 0, 0, 1e15 },
    { "acosh_d1", 4, 0, 0, 1.2, 1e15 },
    { "atanh_d1", 4, 0, 0, 0, 0.9 },
    { "asin_d1", 4, 0, 0, 0, 0.9 },
    { "acos_d1", 4, 0, 0, 0, 0.9 },
    { "tanh_d1", 4, 1, 0, 0, INFINITY },
    { "softcap_d1", 4, 1, 0, 0, INFINITY },
    { "softsign_d1", 4, 0, 0, 0, 1e15 },
    { "sinc", 4, 1, 0, 0, 1e30 },
    { "sinc_d1", 8, 4, 0, 0.2, 1e6 },
    { "erf_d1", 90, 0, 0, 0, INFINITY },
    { "erfc_d1", 90, 0, 0, 0, INFINITY },
    { "erfc", 6, 0, 0, 0, INFINITY },
    { "silu", 4, 0x1p-119, 0, 0, INFINITY },
    { "silu_d1", 4, 0.25, 0, 0, INFINITY },
    { "mish", 6, 0x1p-119, 0, 0, INFINITY },
    { "mish_d1", 10, 0.25, 0, 0, INFINITY },
    { "gelu", 6, 0x1p-122, 0, 0, INFINITY },
    { "gelu_d1", 6, 0.25, 0, 0, INFINITY },
    { "gelu_tanh", 128, 0x1p-119, 0, 0, INFINITY },
    { "gelu_tanh_d1", 8, 0.25, 0, 0, 1e12 },
    { "quick_gelu", 128, 0x1p-119, 0, 0, INFINITY },
    { "quick_gelu_d1", 8, 0.25, 0, 0, 1e30 },
    { "tanhshrink", 4, 0, 1, 0, INFINITY },
    { "tanhshrink_d1", 6, 0, 0, 0, INFINITY },
    { "hardsigmoid", 4, 1, 0, 0, INFINITY },
    { "hardswish", 4, 3, 0, 0, INFINITY },
    { "hardswish_d1", 4, 1, 0, 0, INFINITY },
    { "logaddexp", 4, 0, 1, 0, INFINITY },
};

static double error_in(const char *name, double x, double got, double want, double *bound)
{
    *bound = 4;
    for (size_t i = 0; i < WK_COUNT(exceptions); i++) {
        if (strcmp(name, exceptions[i].name))
            continue;
        *bound = exceptions[i].bound;
        if (isfinite(x) && (fabs(x) < exceptions[i].least || fabs(x) > exceptions[i].most))
            return 0;
        return ulps(got, want, fmax(exceptions[i].scale, fabs(x) * exceptions[i].x_scale));
    }
    return ulps(got, want, 0);
}

static wk_tensor *call(const wk_op *op, double a, double b, wk_tensor **in, int count)
{
    return wk_run(&(wk_call){ .op = op, .in = in, .count = count, .opt.number = { a, b } });
}

/* The same with the operands as doubles, for which there are only portable kernels. */
static wk_tensor *call_f64(const wk_op *op, double a, double b, wk_tensor **in, int count)
{
    wk_tensor *wide[3];
    for (int i = 0; i < count; i++)
        wide[i] = wk_cast(in[i], WK_F64);
    return call(op, a, b, wide, count);
}

static void compare(const char *isa, const wk_op *op, wk_tensor *x, wk_tensor *got, wk_tensor *want)
{
    static double xs[VALUES], g[VALUES], w[VALUES];
    double        worst = 0, bound = 0, e;
    int           at = 0;
    wk_read(x, WK_F64, xs);
    wk_read(got, WK_F64, g);
    wk_read(want, WK_F64, w);
    for (int i = 0; i < wk_count(x); i++)
        if ((e = error_in(op->name, xs[i], g[i], w[i], &bound)) > worst)
            worst = e, at = i;
    CHECK_MSG(worst <= bound, "%s on %s: %.9g gives %.9g, not %.9g: %.2f units", op->name, isa,
              xs[at], g[at], w[at], worst);
    for (int i = 0; i < wk_count(x); i++)
        if (!CHECK_MSG(w[i] != 0 || g[i] != 0 || signbit(g[i]) == signbit(w[i]),
                       "%s on %s: %.9g gives %g, not %g", op->name, isa, xs[i], g[i], w[i]))
            return;
}

/* ---- Functions -------------------------------------------------------------- */

static const struct {
    const wk_op *op, *d1;
    double       low, high, a, b;
} functions[] = {
#define UNARY(name, ints, low, high, ...)     SCALAR2(name, ints, low, high, 0, 0, )
#define SCALAR(name, ints, low, high, a, ...) SCALAR2(name, ints, low, high, a, 0, )
#define SCALAR2(name, ints, low, high, a, b, ...)                                                  \
    { &wk_op_##name, &wk_op_##name##_d1, low, high, a, b },
#include <wick/unary.def>
};

static void unary_on(const char *isa)
{
    static float x[VALUES];
    for (size_t k = 0; k < WK_COUNT(functions); k++) {
        double   a = functions[k].a, b = functions[k].b;
        wk_scope scope = wk_mark();
        fill_values(x, functions[k].low, functions[k].high, 0);
        wk_tensor *in[3] = { wk_from_f32(WK_SHAPE(VALUES), x) };
        wk_tensor *want = call_f64(functions[k].op, a, b, in, 1);
        compare(isa, functions[k].op, in[0], call(functions[k].op, a, b, in, 1), want);
        in[1] = wk_cast(want, WK_F32);
        in[2] = wk_full_like(in[0], -1);
        want = call_f64(functions[k].d1, a, b, in, 3);
        compare(isa, functions[k].d1, in[0], call(functions[k].d1, a, b, in, 3), want);
        wk_sweep(scope);
    }
}

TEST(unary_functions_are_exact_on_the_whole_range) { each_isa(unary_on); }

static const wk_op *const pairs[] = {
#define BINARY(name, ints, ...) ints##_PAIR(name)
#define KEEP_PAIR(name)         &wk_op_##name,
#define FLOAT_PAIR(name)        &wk_op_##name,
#define TRUTH_PAIR(name)        &wk_op_##name,
#define INTEGER_PAIR(name)
#include <wick/binary.def>
};

/* Random pairs of all sizes, pairs of moderate numbers, and each special with each. */
static void binary_on(const char *isa)
{
    static float a[VALUES], b[VALUES];
    fill_values(a, -3, 3, 0x5bd1e995);
    fill_values(b, 3, -2.5, 0x3c6ef372);
    for (int i = 0; i < SPECIALS * SPECIALS; i++) {
        a[SPECIALS + i] = specials[i / SPECIALS];
        b[SPECIALS + i] = specials[i % SPECIALS];
    }
    for (size_t k = 0; k < WK_COUNT(pairs); k++) {
        wk_scope   scope = wk_mark();
        wk_tensor *in[] = { wk_from_f32(WK_SHAPE(VALUES), a), wk_from_f32(WK_SHAPE(VALUES), b) };
        compare(isa, pairs[k], wk_maximum(wk_abs(in[0]), wk_abs(in[1])),
                call(pairs[k], 0, 0, in, 2), call_f64(pairs[k], 0, 0, in, 2));
        wk_sweep(scope);
    }
}

TEST(binary_functions_are_exact_on_the_whole_range) { each_isa(binary_on); }

/* ---- Lengths, layouts, dtypes ------------------------------------------------ */

static const struct {
    wk_dtype dtype;
    double   unit; /* of the last place, for numbers about 1 */
} dtypes[] = {
    { WK_F32, 0x1p-23 }, { WK_BF16, 0x1p-7 }, { WK_F16, 0x1p-10 }, { WK_F8_E4M3, 0x1p-3 }
};

typedef enum { DENSE, SPACED, CROSSED, ROW, COLUMN, LAYOUTS } layout;

/* A tensor [3, n], or one that broadcasts to that. */
static wk_tensor *operand(wk_dtype dtype, int64_t n, layout how)
{
    switch (how) {
    case SPACED:
        return wk_slice(wk_cast(wk_randn(3, 2 * n), dtype), 1, 0, 2 * n, 2);
    case CROSSED:
        return wk_transpose(wk_cast(wk_randn(n, 3), dtype), 0, 1);
    case ROW:
        return wk_cast(wk_randn(n), dtype);
    case COLUMN:
        return wk_cast(wk_randn(3, 1), dtype);
    default:
        return wk_cast(wk_randn(3, n), dtype);
    }
}

static wk_tensor *element_wise(int which, wk_tensor *x, wk_tensor *y, wk_tensor *z)
{
    switch (which) {
    case 0:
        return wk_add(x, y);
    case 1:
        return wk_gelu(x);
    case 2:
        return wk_where(wk_gt(x, y), z, y);
    case 3:
        return wk_clamp(x, -0.5, 0.75);
    case 4:
        return wk_run(&(wk_call){ .op = &wk_op_silu_d1, WK_IN(x, y, z) });
    case 5:
        return wk_accumulate(wk_copy(wk_add(x, y)), z);
    default:
        return wk_glu(x, y, (wk_act)(which - 6));
    }
}

enum { WAYS = 11 };

/* One case with the kernels in use and with the portable ones. */
static void one_layout(const char *isa, int which, size_t d, int64_t n, layout how)
{
    const wk_cpu_isa *before = wk_cpu_current();
    wk_scope          scope = wk_mark();
    layout            mine = which == 1 || which == 3 || which == 4 ? how % ROW : how;
    wk_tensor        *x = operand(dtypes[d].dtype, n, mine);
    wk_tensor        *y = operand(dtypes[d].dtype, n, which == 4 ? mine : (how + 1) % LAYOUTS);
    wk_tensor        *z = operand(dtypes[d].dtype, n, DENSE);
    wk_tensor        *got = element_wise(which, x, y, z);
    use_portable();
    wk_tensor *want = element_wise(which, x, y, z);
    double     g[3 * 70], w[3 * 70];
    wk_read(got, WK_F64, g);
    wk_read(want, WK_F64, w);
    use_isa(before);
    CHECK(wk_count(got) == wk_count(want) && wk_dtype_of(got) == wk_dtype_of(want));
    for (int64_t i = 0; i < wk_count(want); i++)
        if (!CHECK_MSG(fabs(g[i] - w[i]) <= 4 * dtypes[d].unit * fmax(fabs(w[i]), 0.25),
                       "%s, operation %d of %s, [3, %lld], layout %d: %g is not %g", isa, which,
                       wk_dtype_name(dtypes[d].dtype), (long long)n, (int)how, g[i], w[i]))
            break;
    wk_sweep(scope);
}

static void layouts_on(const char *isa)
{
    for (int which = 0; which < WAYS; which++)
        for (size_t d = 0; d < WK_COUNT(dtypes); d++)
            for (int64_t n = 0; n <= 70; n += n < 36 ? 1 : 3)
                one_layout(isa, which, d, n, (layout)((n + which) % LAYOUTS));
}

TEST(all_lengths_and_layouts) { each_isa(layouts_on); }

/* ---- Rows --------------------------------------------------------------------- */

/* All bit patterns of f16 and bf16 to f32 and back, and what lies between them. */
static void rows_on(const char *isa)
{
    static const wk_dtype halves[] = { WK_F16, WK_BF16 };
    static uint16_t       bits[1 << 16], back[1 << 16], want[1 << 16];
    static float          row[1 << 16], exact[1 << 16];
    const wk_cpu_isa     *before = wk_cpu_current();
    for (int k = 0; k < 2; k++) {
        wk_dtype_info fast = wk_dtypes[halves[k]];
        use_portable();
        wk_dtype_info plain = wk_dtypes[halves[k]];
        use_isa(before);
        for (int i = 0; i < 1 << 16; i++)
            bits[i] = (uint16_t)i;
        fast.load[WK_AS_F32](row, bits, (1 << 16) - 3, 1);
        plain.load[WK_AS_F32](exact, bits, (1 << 16) - 3, 1);
        for (int i = 0; i < (1 << 16) - 3; i++)
            CHECK_MSG(row[i] == exact[i] || (row[i] != row[i] && exact[i] != exact[i]),
                      "%s: %s %04x is %g, not %g", isa, fast.name, (unsigned)i, (double)row[i],
                      (double)exact[i]);
        for (uint32_t i = 0; i < 1 << 16; i++) { /* ties, and just beside them */
            uint32_t u = i << 16 | (uint32_t[]){ 0x8000, 0x7FFF, 0x8001, 0x1000 }[i / 7 % 4];
            memcpy(&row[i], &u, sizeof u);
        }
        fast.store[WK_AS_F32](back, row, (1 << 16) - 5, 1);
        plain.store[WK_AS_F32](want, row, (1 << 16) - 5, 1);
        for (int i = 0; i < (1 << 16) - 5; i++)
            CHECK_MSG(back[i] == want[i] || row[i] != row[i], "%s: %s of %.9g is %04x, not %04x",
                      isa, fast.name, (double)row[i], back[i], want[i]);
    }
}

TEST(rows_of_halves) { each_isa(rows_on); }
