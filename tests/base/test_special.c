// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_special.c - inverse circular functions against those of libm. */
#include "test.h"

#include "../src/base/base.h"

#include <float.h>
#include <math.h>

static void same(double a, double b)
{
    CHECK_NEAR(a, b, 1e-15 * fabs(b));
    CHECK(isnan(a) || signbit(a) == signbit(b));
}

TEST(inverse_circular_functions)
{
    for (int i = -1000; i <= 1000; i++) {
        double x = i / 1000.0, small = x * 0x1p-30;
        same(wk_asin_f64(x), asin(x));
        same(wk_asin_f64(small), asin(small));
        same(wk_acos_f64(x), acos(x));
        same(wk_acos_f64(small), acos(small));
    }
    CHECK(isnan(wk_asin_f64(1.5)) && isnan(wk_acos_f64(-1.5)) && isnan(wk_acos_f64(NAN)));
    same(wk_asin_f64(-0.0), -0.0);
    static const double some[] = { 0,   -0.0,  1,      -1,       0.3,      -7,
                                   1e9, -1e-9, 1e-320, -DBL_MAX, INFINITY, -INFINITY };
    for (size_t i = 0; i < WK_COUNT(some); i++) {
        for (size_t k = 0; k < WK_COUNT(some); k++)
            same(wk_atan2_f64(some[i], some[k]), atan2(some[i], some[k]));
        CHECK(isnan(wk_atan2_f64(some[i], NAN)) && isnan(wk_atan2_f64(NAN, some[i])));
    }
}
