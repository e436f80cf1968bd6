// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_random.c - Philox against published vectors; uniform and normal numbers against
 * what their distributions say; the same numbers for a seed on any number of threads. */
#include "../test.h"

#include "../../src/core/core.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

TEST(philox_gives_the_published_words)
{
    uint64_t seed, counter;
    uint32_t w[4], got[4];
    int      lines = 0;
    FILE    *f = fopen("tests/golden/core/philox.txt", "r");
    while (CHECK(f != NULL) &&
           fscanf(f, "%" SCNx64 " %" SCNx64 " %" SCNx32 " %" SCNx32 " %" SCNx32 " %" SCNx32, &seed,
                  &counter, &w[0], &w[1], &w[2], &w[3]) == 6) {
        wk_philox(seed, counter, got);
        CHECK_MSG(!memcmp(w, got, sizeof w), "seed %" PRIx64 " counter %" PRIx64, seed, counter);
        lines++;
    }
    CHECK_INT(lines, 7);
    if (f)
        fclose(f);
}

enum { N = 1 << 20 };

/* Mean, variance, skew and kurtosis within five standard errors, and the counts of
 * tenths, which cdf() says should be equal, by chi square. */
static void check_distribution(wk_tensor *x, double mean, double variance, double kurtosis,
                               double (*cdf)(double))
{
    double *v = calloc(N, sizeof *v), m1 = 0, m2 = 0, m3 = 0, m4 = 0, chi = 0;
    int     bin[10] = { 0 };
    CHECK(wk_read(x, WK_F64, v));
    for (int i = 0; i < N; i++) {
        double d = (v[i] - mean) / sqrt(variance);
        m1 += d / N, m2 += d * d / N, m3 += d * d * d / N, m4 += d * d * d * d / N;
        int b = (int)(cdf(v[i]) * 10);
        bin[b < 0 ? 0 : b > 9 ? 9 : b]++;
    }
    for (int i = 0; i < 10; i++)
        chi += (bin[i] - N / 10.0) * (bin[i] - N / 10.0) / (N / 10.0);
    double error = 5 / sqrt(N);
    CHECK_NEAR(m1, 0, error);
    CHECK_NEAR(m2, 1, error * sqrt(kurtosis - 1));
    CHECK_NEAR(m3, 0, error * 4);
    CHECK_NEAR(m4, kurtosis, error * 10);
    CHECK_MSG(chi < 33.7, "chi square is %g", chi); /* exceeded once in 10000 times */
    free(v);
}

static double uniform_cdf(double x) { return x; }
static double normal_cdf(double x) { return 0.5 * erfc(-x / sqrt(2)); }

TEST(uniform_numbers_are_uniform)
{
    check_distribution(wk_rand(N), 0.5, 1. / 12, 1.8, uniform_cdf);
    CHECK_NEAR((double)wk_uniform(0), 0, 0);
    CHECK_NEAR((double)wk_uniform(UINT32_MAX), 1 - 0x1p-24, 0);
    wk_tensor *x = wk_rand(N);
    CHECK(wk_item(wk_min(x)) >= 0 && wk_item(wk_max(x)) < 1);
}

TEST(normal_numbers_are_normal)
{
    check_distribution(wk_randn(N), 0, 1, 3, normal_cdf);
    for (int i = 0; i < 31; i++) /* quantiles out to the far tail, to a relative 1e-5 */
        for (uint32_t step = 0; step < 7; step++) {
            uint32_t tail = (1u << i) + (uint32_t)(((uint64_t)step << i) / 7);
            double   p = (tail + 0.5) * 0x1p-32, z = (double)wk_normal(tail);
            double   got = 0.5 * erfc(-z / sqrt(2));
            CHECK_MSG(fabs(got / p - 1) < 2e-5, "the quantile of %g is %g", p, z);
            CHECK(wk_normal(tail | 0x80000000u) == -wk_normal(tail));
        }
    CHECK(isfinite(wk_normal(0)) && (double)wk_normal(0) < -6);
}

TEST(a_seed_gives_the_same_numbers_on_any_number_of_threads)
{
    int        before = wk_threads();
    wk_tensor *x[2][3];
    for (int i = 0; i < 2; i++) {
        wk_set_threads(i ? 3 : 1);
        wk_seed(123);
        x[i][0] = wk_randn(3, 10001);
        x[i][1] = wk_rand_of(WK_F16, WK_SHAPE(7));
        x[i][2] = wk_randint_of(WK_SHAPE(20000), -5, 17);
    }
    for (int k = 0; k < 3; k++)
        CHECK_NEAR(wk_item(wk_all(wk_eq(x[0][k], x[1][k]))), 1, 0);
    CHECK_INT(wk_item_i64(wk_min(x[0][2])), -5);
    CHECK_INT(wk_item_i64(wk_max(x[0][2])), 16);
    CHECK_NEAR(wk_item(wk_all(wk_eq(wk_randn(100), wk_randn(100)))), 0, 0);
    wk_set_threads(before);
}

/* Six numbers take two counters of four words: the next tensor begins with the third. */
TEST(tensors_of_a_seed_follow_each_other)
{
    uint32_t word[4];
    float    x[5];
    wk_seed(77);
    wk_rand(6);
    CHECK(wk_to_f32(wk_rand(5), x));
    for (uint64_t i = 0; i < 5; i++) {
        wk_philox(77, 2 + i / 4, word);
        CHECK(x[i] == wk_uniform(word[i % 4]));
    }
    CHECK(wk_to_f32(wk_randn(1), x));
    wk_philox(77, 4, word);
    CHECK(x[0] == wk_normal(word[0]));
}

TEST(integers_and_permutations_are_even)
{
    int64_t count[7] = { 0 }, *v = calloc(N, sizeof *v);
    double  chi = 0;
    wk_to_i64(wk_randint_of(WK_SHAPE(N), 0, 7), v);
    for (int i = 0; i < N; i++)
        count[v[i]]++;
    for (int i = 0; i < 7; i++)
        chi += pow((double)count[i] - N / 7., 2) / (N / 7.);
    CHECK_MSG(chi < 27.9, "chi square is %g", chi);
    int first[6] = { 0 };
    for (int i = 0; i < 6000; i++) { /* each of the six orders of three */
        wk_scope scope = wk_mark();
        wk_to_i64(wk_randperm(3), v);
        CHECK(v[0] + v[1] + v[2] == 3 && v[0] != v[1] && v[1] != v[2]);
        first[v[0] * 2 + (v[1] > v[2])]++;
        wk_sweep(scope);
    }
    for (int i = 0; i < 6; i++)
        CHECK_NEAR(first[i], 1000, 5 * 28.9);
    CHECK_INT(wk_count(wk_randperm(0)), 0);
    free(v);
}
