// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_init.c - how parameters begin: moments and bounds, angles, places, seeds. */
#include "test.h"

#include <wick/wick.h>

#include <math.h>
#include <string.h>

static double number(wk_tensor *x) { return wk_item(wk_cast(x, WK_F64)); }

/* Mean and standard deviation are as they should be, to five standard errors of n numbers,
 * and all lie between low and high. */
static void check(const char *name, wk_init how, double mean, double std, double low, double high)
{
    wk_scope   scope = wk_mark();
    double     n = 60 * 50 * 9;
    wk_tensor *x = wk_cast(wk_init_new(WK_SHAPE(60, 50, 3, 3), how), WK_F64);
    CHECK_MSG(fabs(number(wk_mean(x)) - mean) <= 5 * std / sqrt(n), "%s: mean %g, not %g", name,
              number(wk_mean(x)), mean);
    CHECK_MSG(fabs(number(wk_std(x)) - std) <= 5 * std / sqrt(n), "%s: std %g, not %g", name,
              number(wk_std(x)), std);
    CHECK_MSG(number(wk_min(x)) >= low && number(wk_max(x)) <= high, "%s: from %g to %g", name,
              number(wk_min(x)), number(wk_max(x)));
    wk_sweep(scope);
}

TEST(initial_values_have_their_moments_and_bounds)
{
    double in = 50 * 9, out = 60 * 9, both = sqrt(2 / (in + out)), r = sqrt(3);
    check("constant", wk_init_constant(-2.5), -2.5, 0, -2.5, -2.5);
    check("uniform", wk_init_uniform(1, 4), 2.5, 3 / sqrt(12), 1, 4);
    check("normal", wk_init_normal(3, 0.5), 3, 0.5, 0, 6);
    /* of the standard normal between -1 and 2: mean 0.2296, standard deviation 0.7225 */
    check("trunc_normal", wk_init_trunc_normal(1, 2, -1, 5), 1 + 2 * 0.229637, 2 * 0.722469, -1, 5);
    check("xavier_uniform", wk_init_xavier_uniform(3), 0, 3 * both, -3 * r * both, 3 * r * both);
    check("xavier_normal", wk_init_xavier_normal(1), 0, both, -6 * both, 6 * both);
    check("kaiming_uniform", wk_init_kaiming_uniform(WK_FAN_IN, 1), 0, 1 / sqrt(in), -r / sqrt(in),
          r / sqrt(in));
    check("kaiming_normal", wk_init_kaiming_normal(WK_FAN_OUT, WK_GAIN_RELU), 0, sqrt(2 / out),
          -6 * sqrt(2 / out), 6 * sqrt(2 / out));
    CHECK_NEAR(wk_gain_leaky_relu(0.5), 1.2649110640673518, 1e-15);
}

/* x times its transpose, the shorter way round, is the unit matrix times gain^2. */
static void check_angles(wk_shape shape, double gain)
{
    wk_scope   scope = wk_mark();
    wk_tensor *x = wk_cast(wk_init_new(shape, wk_init_orthogonal(gain)), WK_F64);
    wk_tensor *m = shape.rank > 2 ? wk_flatten(x, 1, -1) : x;
    if (wk_dim(m, 0) > wk_dim(m, 1))
        m = wk_transpose(m, 0, 1);
    wk_tensor *unit = wk_scale(wk_eye(WK_F64, wk_dim(m, 0)), gain * gain);
    wk_tensor *far = wk_sub(wk_matmul(m, wk_transpose(m, 0, 1)), unit);
    CHECK_INT(wk_dim(x, 0), shape.dim[0]);
    CHECK_NEAR(number(wk_max(wk_abs(far))), 0, 1e-6 * gain * gain);
    wk_sweep(scope);
}

TEST(orthogonal_weights_are_orthogonal)
{
    check_angles(WK_SHAPE(5, 5), 1);
    check_angles(WK_SHAPE(70, 33), 2);
    check_angles(WK_SHAPE(33, 70), WK_GAIN_TANH);
    check_angles(WK_SHAPE(6, 4, 3), 1);
    check_angles(WK_SHAPE(1, 9), 1);
    /* no direction is preferred: the mean of many is nothing */
    wk_tensor *sum = wk_zeros(3, 3);
    for (int i = 0; i < 400; i++)
        wk_accumulate(sum, wk_init_new(WK_SHAPE(3, 3), wk_init_orthogonal(1)));
    CHECK(number(wk_max(wk_abs(sum))) < 5 * sqrt(400.0 / 3));
}

TEST(unit_and_sparse_weights)
{
    wk_tensor *eye = wk_init_new(WK_SHAPE(3, 5), wk_init_eye());
    CHECK_NEAR(number(wk_sum(eye)), 3, 0);
    CHECK_NEAR(number(wk_sum(wk_diagonal(eye, 0, 1))), 3, 0);

    /* a convolution that changes nothing, in two groups */
    wk_tensor *x = wk_randn(2, 4, 6), *w = wk_init_new(WK_SHAPE(4, 2, 3), wk_init_dirac(2));
    wk_tensor *y = wk_conv1d(x, w, .padding = WK_SHAPE(1), .groups = 2);
    CHECK_NEAR(number(wk_max(wk_abs(wk_sub(x, y)))), 0, 0);
    w = wk_init_new(WK_SHAPE(6, 4, 3, 5), wk_init_dirac(1));
    CHECK_NEAR(number(wk_sum(w)), 4, 0);

    wk_tensor *s = wk_init_new(WK_SHAPE(40, 30), wk_init_sparse(0.31, 0.1));
    wk_tensor *zeros = wk_sum(wk_cast(wk_eq(s, wk_scalar(0)), WK_F32), .over = WK_AXES(0));
    CHECK_NEAR(number(wk_min(zeros)), 13, 0); /* 12.4, rounded up */
    CHECK_NEAR(number(wk_max(zeros)), 13, 0);
    CHECK_NEAR(number(wk_std(s)), 0.1 * sqrt(1 - 13.0 / 40), 0.01);
    wk_init_new(WK_SHAPE(4), wk_init_orthogonal(1));
    CHECK_ERROR("init: [4] is no matrix");
    wk_init_new(WK_SHAPE(4), wk_init_xavier_normal(1));
    CHECK_ERROR("init: [4] has no inputs and outputs");
    wk_init_new(WK_SHAPE(4, 3), wk_init_dirac(3));
    CHECK_ERROR("init: [4, 3] has no diagonal in 3 groups");
}

TEST(a_seed_decides_all_initial_values)
{
    const wk_init all[] = {
        wk_init_uniform(0, 1),
        wk_init_normal(0, 1),
        wk_init_trunc_normal(0, 1, -2, 2),
        wk_init_xavier_uniform(1),
        wk_init_orthogonal(1),
        wk_init_sparse(0.5, 1),
        { .kind = WK_INIT_UNIFORM, .spread = 1 },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        wk_tensor *x[3];
        int        threads = wk_threads();
        for (int k = 0; k < 3; k++) {
            wk_seed(k == 2 ? 8 : 7);
            wk_set_threads(k == 1 ? 1 : threads);
            x[k] = wk_init_new(WK_SHAPE(40, 30), all[i]);
        }
        wk_set_threads(threads);
        CHECK_MSG(number(wk_max(wk_abs(wk_sub(x[0], x[1])))) == 0, "initialiser %zu", i);
        CHECK_MSG(number(wk_max(wk_abs(wk_sub(x[0], x[2])))) > 0, "initialiser %zu", i);
    }
    wk_store  *s = wk_store_new();
    wk_tensor *w = wk_param(wk_root(s), "w", WK_SHAPE(4, 6), wk_init_orthogonal(2));
    CHECK_NEAR(number(wk_norm(wk_select(wk_detach(w), 0, 3))), 2, 1e-6);
    CHECK(wk_init_again(w, wk_init_constant(3)) == w);
    CHECK_NEAR(number(wk_mean(wk_detach(w))), 3, 0);
    wk_store_free(s);
}
