// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_dropout.c - what dropout keeps: as much as it should, the same in both directions. */
#include "test.h"

#include <wick/wick.h>

#include <math.h>

TEST(as_much_is_kept_as_should_be)
{
    enum { COUNT = 200000 };
    static const double ps[] = { 0, 0.1, 0.5, 0.93, 1 };
    wk_scope            scope = wk_mark();
    wk_seed(11);
    for (size_t i = 0; i < sizeof ps / sizeof *ps; i++) {
        double     p = ps[i], spread = sqrt(p * (1 - p) / COUNT);
        wk_tensor *y = wk_dropout(wk_full_of(WK_F32, WK_SHAPE(COUNT), 1), p);
        wk_tensor *kept = wk_cast(wk_ne(y, wk_scalar(0)), WK_F32);
        double     share = wk_item(wk_mean(kept));
        CHECK_NEAR(share, 1 - p, 4 * spread + 1e-12);
        CHECK_NEAR(wk_item(wk_max(y)), p < 1 ? 1 / (1 - p) : 0, 1e-5);
        /* neighbours know nothing of each other */
        double both = wk_item(
            wk_mean(wk_mul(wk_narrow(kept, 0, 1, COUNT - 1), wk_narrow(kept, 0, 0, COUNT - 1))));
        CHECK_NEAR(both, (1 - p) * (1 - p), 8 * spread + 1e-12);
    }
    wk_sweep(scope);
}

TEST(the_gradient_goes_where_the_value_went)
{
    wk_scope scope = wk_mark();
    for (int k = 0; k < 2; k++) {
        wk_dtype   dtype = k ? WK_F64 : WK_F32;
        wk_tensor *x = wk_track(wk_add_scalar(wk_rand_of(dtype, WK_SHAPE(37, 301)), 1));
        wk_tensor *view = wk_permute(x, 1, 0);
        wk_tensor *y = wk_dropout(view, 0.4);
        wk_backward(wk_sum(y));
        /* y = x m and dx = m, for whatever mask there was */
        wk_tensor *m = wk_permute(wk_grad(x), 1, 0);
        CHECK(wk_item(wk_max(wk_abs(wk_sub(y, wk_mul(view, m))))) < 1e-6);
        CHECK(wk_item(wk_sum(wk_cast(wk_eq(m, wk_scalar(0)), WK_F32))) > 4000);
        CHECK(wk_item(wk_any(wk_ne(wk_eq(y, wk_scalar(0)), wk_eq(m, wk_scalar(0))))) == 0);
    }
    wk_sweep(scope);
}

TEST(the_same_seed_drops_the_same)
{
    wk_scope   scope = wk_mark();
    wk_tensor *x = wk_full_of(WK_F32, WK_SHAPE(1000), 3), *y[4];
    for (int i = 0; i < 4; i++) {
        if (i != 1)
            wk_seed(i < 3 ? 5 : 6);
        wk_set_threads(1 + i % 2);
        y[i] = wk_dropout(x, 0.5);
    }
    CHECK(wk_item(wk_any(wk_ne(y[0], y[2]))) == 0);
    CHECK(wk_item(wk_any(wk_ne(y[0], y[1]))) != 0);
    CHECK(wk_item(wk_any(wk_ne(y[0], y[3]))) != 0);
    CHECK(!wk_dropout(x, 1.5));
    CHECK_ERROR("dropout: a probability of 1.5");
    CHECK(!wk_dropout(x, NAN));
    CHECK_ERROR("dropout");
    wk_sweep(scope);
}
