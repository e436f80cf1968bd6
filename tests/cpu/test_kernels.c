// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_kernels.c - the element-wise kernels of every instruction set against the
 * portable ones, which take the same numbers as doubles.
 *
 * Errors are in units of the last place of the f32 result.  Floats are taken from the
 * whole range, by their bits, and from where the definitions say the tests should look. */
#include "../test.h"

#include "../../src/cpu/cpu.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Errors --------------------------------------------------------------- */

static double ulp(double x) /* of the f32 nearest to x */
{
    int e;
    frexp(x, &e);
    return isfinite(x) && x != 0 ? ldexp(1, (e < -125 ? -125 : e) - 24) : 0x1p-149;
}

/* How far got is from want, in units of the last place of want, or of scale if that is
 * larger.  0 for the same infinity, or NaN; results just beyond the largest number may
 * be infinite. */
static double error_of(float got, double want, double scale)
{
    if (isnan(want) || isnan(got))
        return isnan(want) && isnan(got) ? 0 : INFINITY;
    if (isinf((float)want) || isinf(got))
        return got == (float)want || fabs(want) > 0x1.fffff0p127 ? 0 : INFINITY;
    return fabs((double)got - want) / ulp(fmax(fabs(want), scale));
}

/* ---- Instruction sets ------------------------------------------------------- */

static void for_each_isa(void (*test)(const wk_cpu_isa *isa))
{
    const wk_cpu_isa *isas[8], *before;
    wk_default_device();
    before = wk_cpu_current();
    int n = wk_cpu_list(isas, 8);
    for (int i = 0; i < n; i++) {
        wk_cpu_use(isas[i]);
        test(isas[i]);
    }
    wk_cpu_use(before);
}

/* ---- Functions -------------------------------------------------------------- */

enum { BY_BITS = 1 << 16, IN_RANGE = 1 << 13, SPECIALS = 16, VALUES = BY_BITS + IN_RANGE + SPECIALS };

static const struct {
    const wk_op *op;
    double       low, high, a, b;
    bool         gradient;
} functions[] = {
#define UNARY(name, ints, low, high, ...) SCALAR2(name, ints, low, high, 0, 0, )
#define SCALAR(name, ints, low, high, a, ...) SCALAR2(name, ints, low, high, a, 0, )
#define SCALAR2(name, ints, low, high, a, b, ...)                                                   \
    { &wk_op_##name, low, high, a, b, false }, { &wk_op_##name##_d1, low, high, a, b, true },
#include <wick/unary.def>
};

static void fill_values(float *x, double low, double high)
{
    static const float specials[SPECIALS] = {
        0, -0.0f, 1, -1, 2, -2, 0.5f, -0.5f, INFINITY, -INFINITY, NAN, 0x1p-149f, -0x1p-149f,
        0x1.fffffep127f, -0x1.fffffep127f, 0x1p-126f
    };
    memcpy(x, specials, sizeof specials);
    for (uint32_t i = 0; i < BY_BITS; i++) {
        uint32_t bits = i << 16 | (i * 2654435761u >> 16);
        memcpy(&x[SPECIALS + i], &bits, sizeof bits);
    }
    for (int i = 0; i < IN_RANGE; i++)
        x[SPECIALS + BY_BITS + i] = (float)(low + (high - low) * i / IN_RANGE);
}

static wk_tensor *call(const wk_op *op, wk_tensor *x, wk_tensor *y, wk_tensor *t, double a, double b)
{
    return wk_run(&(wk_call){ .op = op,
                              .in = (wk_tensor *[]){ x, y, t },
                              .count = t ? 3 : y ? 2 : 1,
                              .opt.number = { a, b } });
}

TEST(probe)
{
    static float x[VALUES], got[VALUES], yy[VALUES];
    static double want[VALUES];
    wk_default_device();
    for (size_t k = 0; k < WK_COUNT(functions); k++) {
        wk_scope s = wk_mark();
        fill_values(x, functions[k].low, functions[k].high);
        wk_tensor *tx = wk_from_f32(WK_SHAPE(VALUES), x), *y = NULL, *t = NULL;
        if (functions[k].gradient) {
            y = call(functions[k - 1].op, tx, NULL, NULL, functions[k].a, functions[k].b);
            y = wk_cast(y, WK_F32);
            t = wk_full_like(tx, 1);
            wk_to_f32(y, yy);
        }
        wk_tensor *g = call(functions[k].op, tx, y, t, functions[k].a, functions[k].b);
        wk_tensor *w = call(functions[k].op, wk_cast(tx, WK_F64), y ? wk_cast(y, WK_F64) : NULL,
                            t ? wk_cast(t, WK_F64) : NULL, functions[k].a, functions[k].b);
        wk_to_f32(g, got);
        wk_read(w, WK_F64, want);
        double worst = 0;
        int at = 0;
        int bad = 0;
        for (int i = 0; i < VALUES; i++) {
            double e = error_of(got[i], want[i], 0);
            if (e > 4) bad++;
            if (e > worst)
                worst = e, at = i;
        }
        printf("%-16s %10.2f at %.9g: got %.9g want %.9g   bad %d\n", functions[k].op->name, worst, x[at], got[at],
               want[at], bad);
        wk_sweep(s);
    }
}
