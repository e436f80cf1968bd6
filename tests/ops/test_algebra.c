// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_algebra.c - what the table of cases cannot say: factors put together again, larger
 * and degenerate matrices, transforms against their definition, running statistics. */
#include "../test.h"

#include <wick/ops.h>
#include <wick/tensor.h>

#include <math.h>
#include <stdlib.h>

static wk_tensor *random_of(int64_t m, int64_t n) { return wk_randn_of(WK_F64, WK_SHAPE(m, n)); }
static wk_tensor *turned(wk_tensor *x) { return wk_transpose(x, -2, -1); }

static double distance(wk_tensor *a, wk_tensor *b)
{
    return wk_count(a) ? wk_item(wk_max(wk_abs(wk_sub(a, b)))) : 0;
}

static void check_orthonormal(wk_tensor *columns, double bound)
{
    wk_tensor *eye = wk_eye(WK_F64, wk_dim(columns, -1));
    CHECK(distance(wk_matmul(turned(columns), columns), eye) < bound);
}

static void check_svd(wk_tensor *a)
{
    wk_svd_factors f = wk_svd(a);
    check_orthonormal(f.u, 1e-12);
    check_orthonormal(turned(f.vt), 1e-12);
    double scale = wk_item(wk_max(wk_abs(a))) + 1e-300;
    CHECK(distance(wk_matmul(wk_mul(f.u, wk_unsqueeze(f.s, -2)), f.vt), a) < 1e-13 * scale * 64);
    int64_t k = wk_dim(f.s, 0);
    CHECK(wk_item(wk_all(wk_ge(wk_narrow(f.s, 0, 0, k - 1), wk_narrow(f.s, 0, 1, k - 1)))) == 1);
    CHECK(wk_item(wk_min(f.s)) >= 0);
}

TEST(svd_of_large_and_degenerate_matrices)
{
    wk_seed(3);
    check_svd(random_of(70, 70));
    check_svd(random_of(90, 31));
    check_svd(random_of(20, 65));
    check_svd(wk_matmul(random_of(40, 5), random_of(5, 30))); /* of rank 5 */
    check_svd(wk_zeros_of(WK_F64, WK_SHAPE(6, 4)));
    check_svd(wk_ones_of(WK_F64, WK_SHAPE(4, 6)));
    check_svd(wk_eye(WK_F64, 7)); /* all values the same */
    check_svd(wk_scale(random_of(12, 9), 1e200));
    check_svd(wk_scale(random_of(12, 9), 1e-200));
}

TEST(eigenvalues_of_large_and_degenerate_matrices)
{
    wk_seed(4);
    wk_tensor *x = random_of(80, 80), *eye = wk_eye(WK_F64, 9);
    wk_tensor *of[] = { wk_add(x, turned(x)), wk_matmul(random_of(30, 2), random_of(2, 30)), eye,
                        wk_zeros_of(WK_F64, WK_SHAPE(5, 5)) };
    of[1] = wk_matmul(of[1], turned(of[1]));
    for (int i = 0; i < 4; i++) {
        wk_eigen   e = wk_eigh(of[i]);
        wk_tensor *scaled = wk_mul(e.vectors, wk_unsqueeze(e.values, -2));
        check_orthonormal(e.vectors, 1e-12);
        CHECK(distance(wk_matmul(of[i], e.vectors), scaled) < 1e-11);
    }
}

TEST(factors_put_together_are_the_matrix)
{
    static const int64_t sizes[][2] = { { 60, 60 }, { 75, 20 }, { 20, 75 }, { 1, 5 }, { 5, 1 } };
    wk_seed(5);
    for (int i = 0; i < 5; i++) {
        wk_tensor    *a = random_of(sizes[i][0], sizes[i][1]);
        wk_lu_factors lu = wk_lu(a);
        wk_qr_factors qr = wk_qr(a);
        CHECK(distance(wk_matmul(lu.p, wk_matmul(lu.l, lu.u)), a) < 1e-12);
        CHECK(wk_item(wk_max(wk_abs(lu.l))) <= 1); /* that is what pivots are for */
        CHECK(distance(wk_matmul(qr.q, qr.r), a) < 1e-12);
        check_orthonormal(qr.q, 1e-12);
    }
    wk_tensor *a = random_of(60, 60), *spd = wk_matmul(a, turned(a)), *l = wk_cholesky(spd);
    CHECK(distance(wk_matmul(l, turned(l)), spd) < 1e-11);
    CHECK(distance(wk_matmul(a, wk_inverse(a)), wk_eye(WK_F64, 60)) < 1e-9);
    CHECK(distance(wk_matmul(a, wk_solve(a, spd)), spd) < 1e-9);
    wk_tensor *wide = random_of(6, 9), *p = wk_pinv(wide);
    CHECK(distance(wk_matmul(wide, p), wk_eye(WK_F64, 6)) < 1e-12);
}

/* y_k = sum_j x_j exp(-2 pi i j k / n), term by term. */
static double off_by(int64_t n, const double *x, const double *y)
{
    double most = 0;
    for (int64_t k = 0; k < n; k++) {
        double re = 0, im = 0;
        for (int64_t j = 0; j < n; j++) {
            double t = 2 * 3.14159265358979323846 * (double)(j * k % n) / (double)n;
            re += x[2 * j] * cos(t) + x[2 * j + 1] * sin(t);
            im += x[2 * j + 1] * cos(t) - x[2 * j] * sin(t);
        }
        most = fmax(most, hypot(re - y[2 * k], im - y[2 * k + 1]));
    }
    return most;
}

TEST(transforms_of_every_length)
{
    wk_seed(6);
    for (int64_t n = 1; n < 260; n++) {
        wk_scope   scope = wk_mark();
        wk_tensor *x = wk_randn_of(WK_F64, WK_SHAPE(n, 2)), *y = wk_fft(x);
        CHECK_MSG(off_by(n, wk_data(x), wk_data(y)) < 1e-11, "length %lld", (long long)n);
        CHECK(distance(wk_ifft(y), x) < 1e-12);
        wk_tensor *r = wk_randn_of(WK_F64, WK_SHAPE(3, n)), *h = wk_rfft(r);
        CHECK(distance(wk_irfft(h, n), r) < 1e-12);
        wk_tensor *zero = wk_zeros_of(WK_F64, WK_SHAPE(3, n)),
                  *full = wk_fft(wk_stack(-1, r, zero));
        CHECK(distance(h, wk_narrow(full, -2, 0, n / 2 + 1)) < 1e-11);
        wk_sweep(scope);
    }
    wk_tensor *x = wk_randn_of(WK_F64, WK_SHAPE(44101, 2)); /* 11 19 211 */
    CHECK(distance(wk_ifft(wk_fft(x)), x) < 1e-12);
}

TEST(istft_gives_back_what_stft_took_apart)
{
    wk_seed(7);
    wk_tensor *x = wk_randn_of(WK_F64, WK_SHAPE(2, 400));
    wk_tensor *w = wk_add_scalar(wk_rand_of(WK_F64, WK_SHAPE(30)), 0.5);
    wk_tensor *y = wk_stft(x, 50, .hop = 10, .window = w, .win_length = 30);
    CHECK(distance(wk_istft(y, 50, .hop = 10, .window = w, .win_length = 30), x) < 1e-12);
    y = wk_stft(x, 50, .hop = 10, .window = w, .win_length = 30, .two_sided = true);
    CHECK(distance(wk_istft(y, 50, .hop = 10, .window = w, .win_length = 30, .two_sided = true,
                            .length = 400),
                   x) < 1e-12);
}

TEST(running_statistics_move)
{
    static const double numbers[] = { 1, 2, 3, 4, 5, 9 };
    wk_tensor          *x = wk_from(WK_F64, WK_SHAPE(3, 2), numbers);
    wk_tensor          *mean = wk_zeros(2), *var = wk_ones(2);
    wk_batch_norm(x, .running_mean = mean, .running_var = var, .training = true);
    CHECK_NEAR(wk_item(wk_select(mean, 0, 0)), 0.3, 1e-6); /* 0.9 0 + 0.1 3 */
    CHECK_NEAR(wk_item(wk_select(mean, 0, 1)), 0.5, 1e-6);
    CHECK_NEAR(wk_item(wk_select(var, 0, 0)), 1.3, 1e-6); /* 0.9 1 + 0.1 4, unbiased */
    CHECK_NEAR(wk_item(wk_select(var, 0, 1)), 2.2, 1e-6);
    wk_batch_norm(x, .running_mean = mean, .training = true, .momentum = 1);
    CHECK_NEAR(wk_item(wk_select(mean, 0, 1)), 5, 1e-6);
    wk_tensor *y = wk_batch_norm(x, .running_mean = mean, .running_var = var);
    CHECK_NEAR(wk_item(wk_select(wk_select(y, 0, 2), 0, 1)), 4 / sqrt(2.2 + 1e-5), 1e-6);
    CHECK_NEAR(wk_item(wk_select(mean, 0, 1)), 5, 1e-6); /* stays */
}
