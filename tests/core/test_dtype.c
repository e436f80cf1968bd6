// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_dtype.c - conversions of the small floats against PyTorch: every value, and 2^20
 * f32 as well as all ties rounded to nearest even; and the edges of the integers. */
#include "../test.h"

#include "../../src/cpu/cpu.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* FNV-1a over the words of floats; NaNs are all one. */
static uint64_t hash_of(const float *x, int64_t n)
{
    uint64_t h = 0xCBF29CE484222325u;
    for (int64_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, &x[i], sizeof u);
        h = (h ^ (isnan(x[i]) ? 0x7FC00000u : u)) * 0x100000001B3u;
    }
    return h;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* All values of a dtype as f32. */
static int64_t every_value(wk_dtype dtype, float *out)
{
    const wk_dtype_info *d = &wk_dtypes[dtype];
    int64_t              n = d->size == 2 ? 1 << 16 : 1 << 8;
    for (int64_t i = 0; i < n; i++) {
        uint16_t wide = (uint16_t)i;
        uint8_t  narrow = (uint8_t)i;
        d->load[WK_AS_F32](&out[i], d->size == 2 ? (void *)&wide : (void *)&narrow, 1, 1);
    }
    return n;
}

/* Half way between neighbours, and next to that. */
static int64_t all_halves(wk_dtype dtype, float *out)
{
    static float x[1 << 16];
    int64_t      all = every_value(dtype, x), n = 0;
    for (int64_t i = 0; i < all; i++)
        if (isfinite(x[i]))
            x[n++] = x[i];
    qsort(x, (size_t)n--, sizeof *x, by_value);
    for (int64_t i = 0; i < n; i++) {
        out[i] = (float)(((double)x[i] + (double)x[i + 1]) / 2);
        out[i + n] = nextafterf(out[i], INFINITY);
        out[i + 2 * n] = nextafterf(out[i], -INFINITY);
    }
    return 3 * n;
}

static void round_trip(wk_dtype dtype, float *x, int64_t n, int64_t stride)
{
    const wk_dtype_info *d = &wk_dtypes[dtype];
    char                *small = calloc((size_t)(n * stride), d->size);
    d->store[WK_AS_F32](small, x, n, stride);
    d->load[WK_AS_F32](x, small, n, stride);
    free(small);
}

static uint64_t hash_for(wk_dtype dtype, const char *what, int64_t stride, int64_t *n)
{
    static float x[1 << 20];
    if (!strcmp(what, "decode")) {
        *n = every_value(dtype, x);
    } else {
        *n = strcmp(what, "round") ? all_halves(dtype, x) : 1 << 20;
        for (uint32_t i = 0; !strcmp(what, "round") && i < 1 << 20; i++) {
            uint32_t u = i * 4093u + 17;
            memcpy(&x[i], &u, sizeof u);
        }
        round_trip(dtype, x, *n, stride);
    }
    return hash_of(x, *n);
}

TEST(small_floats_are_those_of_pytorch)
{
    char              name[16], what[16];
    int64_t           count, n;
    uint64_t          want;
    const wk_cpu_isa *isas[8], *before;
    int               lines = 0;
    FILE             *f = fopen("tests/golden/core/dtypes.txt", "r");
    wk_default_device();
    before = wk_cpu_current();
    int have = wk_cpu_list(isas, 8);
    while (CHECK(f != NULL) &&
           fscanf(f, "%15s %15s %" SCNd64 " %" SCNx64, name, what, &count, &want) == 4) {
        for (int i = 0; i < have; i++)
            for (int64_t stride = 1; stride <= 3; stride += 2) {
                isas[i]->install_rows();
                uint64_t got = hash_for(wk_dtype_find(name), what, stride, &n);
                CHECK_INT(n, count);
                CHECK_MSG(got == want, "%s, %s, %s, stride %d", name, what, isas[i]->name,
                          (int)stride);
            }
        lines++;
    }
    CHECK_INT(lines, 12);
    wk_cpu_use(before);
    if (f)
        fclose(f);
}

/* By definition, not by PyTorch: (-1)^s 2^(e - bias) (1 + m / 2^mantissa). */
TEST(f16_is_what_ieee_754_says)
{
    static float x[1 << 16];
    every_value(WK_F16, x);
    for (int i = 0; i < 1 << 16; i++) {
        int    e = i >> 10 & 31, m = i & 1023;
        double value = e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
        value = e == 31 ? (m ? NAN : INFINITY) : value;
        value = i >> 15 ? -value : value;
        if (!CHECK_MSG((isnan(value) && isnan(x[i])) ||
                           ((double)x[i] == value && !signbit(x[i]) == !signbit(value)),
                       "0x%04x is %g, not %g", i, (double)x[i], value))
            return;
    }
}

/* Loads and stores of doubles and integers agree with those of f32 where both are exact. */
TEST(rows_of_all_types_agree)
{
    for (int t = WK_DEFAULT + 1; t < WK_Q4_0; t++) {
        const wk_dtype_info *d = &wk_dtypes[t];
        double               f64[5] = { 0, 1, 2, 96, 8 }, back64[5];
        float                f32[5] = { 0, 1, 2, 96, 8 }, back32[5];
        int64_t              i64[5] = { 0, 1, 2, 96, 8 }, back[5];
        char                 a[80] = { 0 }, b[80] = { 0 }, c[80] = { 0 };
        CHECK_INT(wk_dtype_find(d->name), t);
        CHECK_INT((int64_t)wk_dtype_size((wk_dtype)t), (int64_t)d->size);
        d->store[WK_AS_F64](a, f64, 5, 2);
        d->store[WK_AS_F32](b, f32, 5, 2);
        d->store[WK_AS_I64](c, i64, 5, 2);
        CHECK_MSG(!memcmp(a, b, 80) && !memcmp(a, c, 80), "%s", d->name);
        d->load[WK_AS_F64](back64, a, 5, 2);
        d->load[WK_AS_F32](back32, a, 5, 2);
        d->load[WK_AS_I64](back, a, 5, 2);
        for (int i = 0; i < 5; i++) {
            int64_t want = t == WK_BOOL ? i64[i] != 0 : i64[i];
            CHECK_MSG(back[i] == want && (int64_t)back32[i] == want && (int64_t)back64[i] == want,
                      "%s %d", d->name, (int)want);
        }
    }
    CHECK_INT(wk_dtype_find("f128"), WK_DEFAULT);
    CHECK_INT(wk_dtype_find(NULL), WK_DEFAULT);
    CHECK_INT((int64_t)wk_dtype_size((wk_dtype)77), 0);
}

/* Out of range a cast still gives some number, always the same. */
TEST(casts_of_what_does_not_fit_are_defined)
{
    double  x[] = { NAN, INFINITY, -INFINITY, 1e300, -1e300, 0x1p63, -0x1p63, 1e10 };
    int64_t got[8];
    CHECK(wk_to_i64(wk_from(WK_F64, WK_SHAPE(8), x), got));
    CHECK(got[0] == 0 && got[1] == INT64_MAX && got[2] == INT64_MIN && got[3] == INT64_MAX);
    CHECK(got[4] == INT64_MIN && got[5] == INT64_MAX && got[6] == INT64_MIN);
    CHECK(got[7] == 10000000000);
    wk_tensor *big = wk_from_i64(WK_SHAPE(2), (int64_t[]){ INT64_MAX, (1 << 24) + 1 });
    CHECK_INT(wk_item_i64(wk_select(wk_cast(wk_cast(big, WK_F64), WK_I64), 0, 1)), 16777217);
    CHECK_INT(wk_item_i64(wk_select(wk_add_scalar(big, -1), 0, 0)), INT64_MAX - 1);
}
