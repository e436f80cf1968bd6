// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_loader.c - batches: each example once in an epoch, in an order that can be gone on with
 * from anywhere; errors of the thread; ends at any moment. */
#include "test.h"

#include <wick/wick.h>

#include <stdlib.h>
#include <string.h>

static bool load(void *user, const int64_t *index, int64_t n, wk_tensor **out)
{
    const int64_t *bad = user;
    for (int64_t i = 0; bad && i < n; i++)
        if (index[i] == *bad)
            wk_fail(WK_ERR_IO, "example %d is damaged", (int)index[i]);
    out[0] = wk_from_i64(WK_SHAPE(n), index);
    out[1] = wk_scale(wk_cast(out[0], WK_F32), 2);
    return wk_ok();
}

static void count_epoch(wk_loader *l, int64_t count, bool whole, int64_t *order)
{
    char      *seen = calloc((size_t)count, 1);
    int64_t    n = 0;
    wk_tensor *out[WK_LOADER_TENSORS];
    for (int64_t b = 0; b < wk_loader_epoch(l); b++) {
        wk_scope scope = wk_mark();
        CHECK(wk_loader_next(l, out));
        for (int64_t i = 0; i < wk_count(out[0]); i++) {
            int64_t at = (int64_t)wk_item(wk_narrow(out[0], 0, i, 1));
            CHECK(at >= 0 && at < count && !seen[at]);
            CHECK(wk_item(wk_narrow(out[1], 0, i, 1)) == 2 * (double)at);
            seen[at] = 1;
            order[n++] = at;
        }
        wk_sweep(scope);
    }
    CHECK_INT(n, whole ? count / 4 * 4 : count);
    free(seen);
}

TEST(every_example_comes_once_in_an_epoch)
{
    static const int64_t counts[] = { 4, 5, 16, 17, 64, 100, 257 };
    int64_t              one[257], two[257], again[257];
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (int whole = 0; whole < 2; whole++) {
            int64_t    n = counts[i];
            wk_loader *l = wk_loader_new(n, .batch = 4, .seed = 7, .whole = whole, .load = load);
            count_epoch(l, n, whole, one);
            count_epoch(l, n, whole, two);
            CHECK(n < 16 || memcmp(one, two, (size_t)n / 4 * 4 * sizeof *one)); /* another order */
            wk_loader *second = wk_loader_new(n, .batch = 4, .seed = 7, .whole = whole,
                                              .load = load, .start = wk_loader_epoch(l));
            count_epoch(second, n, whole, again);
            CHECK(!memcmp(two, again, (size_t)n / 4 * 4 * sizeof *two));
            wk_loader_free(second);
            wk_loader_free(l);
        }
}

/* Places of the first example over many seeds: as often one as another. */
TEST(orders_are_even)
{
    enum { COUNT = 10, SEEDS = 2000 };
    int        times[COUNT] = { 0 };
    wk_tensor *out[WK_LOADER_TENSORS];
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        wk_scope   scope = wk_mark();
        wk_loader *l = wk_loader_new(COUNT, .seed = seed, .load = load);
        if (wk_loader_next(l, out))
            times[(int)wk_item(out[0])]++;
        wk_loader_free(l);
        wk_sweep(scope);
    }
    double chi = 0, mean = SEEDS / (double)COUNT;
    for (int i = 0; i < COUNT; i++)
        chi += (times[i] - mean) * (times[i] - mean) / mean;
    CHECK_MSG(chi < 27.9, "chi squared of 9 degrees: %g", chi); /* p = 0.001 */
}

TEST(in_order_and_with_an_end)
{
    int64_t    order[10];
    wk_tensor *out[WK_LOADER_TENSORS];
    wk_loader *l = wk_loader_new(10, .batch = 4, .in_order = true, .epochs = 1, .load = load);
    CHECK_INT(wk_loader_epoch(l), 3);
    count_epoch(l, 10, false, order);
    for (int i = 0; i < 10; i++)
        CHECK_INT(order[i], i);
    CHECK(!wk_loader_next(l, out) && wk_ok());
    CHECK(!wk_loader_next(l, out) && wk_ok());
    wk_loader_free(l);
}

TEST(errors_of_the_thread)
{
    int64_t    bad = 9;
    wk_tensor *out[WK_LOADER_TENSORS];
    wk_scope   scope = wk_mark();
    wk_loader *l = wk_loader_new(100, .batch = 4, .in_order = true, .load = load, .user = &bad);
    CHECK(wk_loader_next(l, out) && wk_loader_next(l, out));
    CHECK(!wk_loader_next(l, out));
    CHECK_ERROR("example 9 is damaged");
    wk_loader_free(l);
    CHECK(!wk_loader_new(0, .load = load));
    CHECK_ERROR("0 examples");
    CHECK(!wk_loader_new(5));
    CHECK_ERROR("no function");
    for (int i = 0; i < 50; i++) /* freed while the thread is at work */
        wk_loader_free(wk_loader_new(1000, .batch = 100, .ahead = 3, .load = load));
    wk_sweep(scope);
}
