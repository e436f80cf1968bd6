// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_order.c - what order.def cannot say: operands that do not fit, draws by their
 * frequencies, long lines against a sort of the C library. */
#include "test.h"

#include <wick/wick.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FAILS(call, ...)                                                                           \
    do {                                                                                           \
        (void)(call);                                                                              \
        CHECK_ERROR(__VA_ARGS__);                                                                  \
    } while (0)

TEST(operands_that_do_not_fit)
{
    wk_scope   scope = wk_mark();
    wk_tensor *v = wk_ones(3), *m = wk_ones(2, 3), *t = wk_ones(2, 3, 4), *out[2];
    FAILS(wk_sort(m, 2, false), "argsort");
    FAILS(wk_topk(m, 4), "argsort: 4 of 3 elements");
    FAILS(wk_topk(m, -1), "topk: -1");
    FAILS(wk_kthvalue(m, 1, 0), "kthvalue: number 0");
    FAILS(wk_kthvalue(m, 1, 4), "4 of 3");
    FAILS(wk_searchsorted(m, t, false), "searchsorted: [2, 3, 4] f32 in [2, 3] f32");
    FAILS(wk_searchsorted(m, wk_ones(3, 3), false), "searchsorted");
    FAILS(wk_cumsum(m, -3), "cumsum");
    FAILS(wk_masked_select(m, wk_ones(2)), "masked_select: [2, 3] f32 and [2] f32");
    FAILS(wk_bincount(wk_from_i64(WK_SHAPE(2), (int64_t[]){ 1, -1 })), "-1 is not between");
    FAILS(wk_bincount(v), "must be of integers");
    FAILS(wk_one_hot(wk_from_i64(WK_SHAPE(1), (int64_t[]){ 3 }), 3), "3 is not between 0 and 2");
    FAILS(wk_one_hot(wk_from_i64(WK_SHAPE(1), (int64_t[]){ 0 }), 0), "0 classes");
    FAILS(wk_histc(v, 0, 0, 1), "0 bins");
    FAILS(wk_histc(v, 3, 1, NAN), "histc");
    FAILS(wk_multinomial(wk_full_of(WK_F32, WK_SHAPE(3), -1), 1, true), "negative weight");
    FAILS(wk_multinomial(wk_zeros(3), 1, true), "or none");
    FAILS(wk_multinomial(wk_full_of(WK_F32, WK_SHAPE(3), NAN), 1, true), "multinomial");
    FAILS(wk_multinomial(v, 4, false), "4 of [3] f32");
    FAILS(wk_multinomial(t, 1, true), "multinomial");
    FAILS(wk_outer(v, m), "outer: [3] f32 and [2, 3] f32");
    FAILS(wk_dot(v, wk_ones(2)), "matmul");
    FAILS(wk_bmm(t, wk_ones(3, 4, 2)), "different batches");
    FAILS(wk_tensordot(m, m, 1), "tensordot: [2, 3] f32 and [2, 3] f32 over 1 axes");
    FAILS(wk_tensordot(m, m, 3), "tensordot");
    FAILS(wk_tril(v, 0), "tril: [3] f32 has no rows");
    FAILS(wk_diag(t, 0), "diag");
    FAILS(wk_diag(m, 4), "diag");
    FAILS(wk_trace(v), "trace");
    FAILS(wk_meshgrid_of((wk_tensor *[]){ v, m }, 2, false, out), "meshgrid: [2, 3]");
    FAILS(wk_meshgrid_of(NULL, 0, false, out), "meshgrid: 0");
    wk_sweep(scope);
}

TEST(equations_that_are_none)
{
    wk_scope   scope = wk_mark();
    wk_tensor *m = wk_ones(2, 3);
    FAILS(wk_einsum("ij,jk->ik", m), "more terms than operands");
    FAILS(wk_einsum("ij", m, m), "fewer terms than operands");
    FAILS(wk_einsum("ijk->k", m), "more labels than axes");
    FAILS(wk_einsum("i->i", m), "labels");
    FAILS(wk_einsum("ij->ik", m), "a label of the result is in no operand");
    FAILS(wk_einsum("ij->ii", m), "twice in the result");
    FAILS(wk_einsum("ii", m), "two sizes");
    FAILS(wk_einsum("ij,ij->ij", m, wk_ones(2, 2)), "two sizes");
    FAILS(wk_einsum("i1->i", m), "are understood");
    FAILS(wk_einsum("ij-i", m), "behind -");
    FAILS(wk_einsum("ij->i->j", m), "einsum");
    FAILS(wk_einsum("....ij", m), "einsum");
    FAILS(wk_einsum("", m), "labels and axes");
    FAILS(wk_einsum_of(NULL, &m, 1), "no equation");
    FAILS(wk_einsum_of("i", NULL, 0), "0 operands");
    FAILS(wk_einsum("abcdefgh,ijklmnop->abcdefghijklmnop", wk_ones(1, 1, 1, 1, 1, 1, 1, 1),
                    wk_ones(1, 1, 1, 1, 1, 1, 1, 1)),
          "einsum");
    wk_sweep(scope);
}

/* Frequencies of draws by weights 1 : 2 : 0 : 5. */
TEST(draws_follow_their_weights)
{
    enum { DRAWS = 40000 };
    static const float weight[4] = { 1, 2, 0, 5 };
    wk_scope           scope = wk_mark();
    wk_seed(21);
    wk_tensor *w = wk_from_f32(WK_SHAPE(4), weight), *index = wk_multinomial(w, DRAWS, true);
    wk_tensor *n = wk_bincount(index, .least = 4);
    for (int i = 0; i < 4; i++) {
        double p = (double)weight[i] / 8, times = wk_item(wk_narrow(n, 0, i, 1));
        CHECK_NEAR(times, DRAWS * p, 4 * sqrt(DRAWS * p * (1 - p)) + 1e-9);
    }
    /* Without replacement: the first by its weight, and never the same twice. */
    w = wk_expand(w, DRAWS / 10, 4);
    index = wk_multinomial(w, 3, false);
    n = wk_bincount(wk_narrow(index, 1, 0, 1), .least = 4);
    CHECK_NEAR(wk_item(wk_narrow(n, 0, 3, 1)), DRAWS / 10 * 5.0 / 8, 4 * sqrt(DRAWS / 10 * 0.24));
    CHECK(wk_item(wk_max(wk_bincount(wk_reshape(index, -1)))) <= DRAWS / 10);
    wk_tensor *ones = wk_bernoulli(wk_full_of(WK_F32, WK_SHAPE(DRAWS), 0.3));
    CHECK_NEAR(wk_item(wk_mean(ones)), 0.3, 4 * sqrt(0.21 / DRAWS));
    wk_sweep(scope);
}

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

TEST(long_lines_are_sorted)
{
    enum { COUNT = 100003 };
    wk_scope   scope = wk_mark();
    float     *want = malloc(COUNT * sizeof *want);
    wk_tensor *x = wk_randn(COUNT);
    wk_to_f32(x, want);
    qsort(want, COUNT, sizeof *want, by_size);
    CHECK(!memcmp(want, wk_data(wk_sort(x, 0, false).values), COUNT * sizeof *want));
    wk_tensor *top = wk_topk(x, 1000).values;
    bool       same = true;
    for (int i = 0; i < 1000; i++)
        same &= ((float *)wk_data(top))[i] == want[COUNT - 1 - i];
    CHECK(same);
    CHECK(wk_item(wk_median(x, 0).values) == (double)want[COUNT / 2]);
    free(want);
    wk_sweep(scope);
}
