// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_alloc.c - sizes that overflow, memory that runs out, blocks that are counted. */
#include "test.h"

#include "../src/base/base.h"

#include <pthread.h>

static bool all_zero(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i])
            return false;
    return true;
}

TEST(products_are_checked)
{
    static const struct {
        size_t a, b;
        bool   over;
    } cases[] = {
        { 0, SIZE_MAX, false },
        { SIZE_MAX, 0, false },
        { 1, SIZE_MAX, false },
        { 2, SIZE_MAX / 2, false },
        { 2, SIZE_MAX / 2 + 1, true },
        { SIZE_MAX / 3 + 1, 3, true },
        { (size_t)1 << 32, (size_t)1 << 32, true }, /* wraps to 0 */
        { SIZE_MAX, SIZE_MAX, true },
    };
    for (size_t i = 0; i < WK_COUNT(cases); i++) {
        size_t product;
        CHECK_INT(wk_mul_overflows(cases[i].a, cases[i].b, &product), cases[i].over);
        if (!cases[i].over)
            CHECK(product == cases[i].a * cases[i].b);
    }
}

TEST(memory_is_zeroed_and_counted)
{
    long  before = wk_live_allocs();
    char *a = wk_alloc(1000), *b = wk_alloc_array(30, 8), *none = wk_alloc(0);
    CHECK(a && b && none);
    CHECK(all_zero(a, 1000) && all_zero(b, 240));
    CHECK_INT(wk_live_allocs(), before + 3);
    a[999] = 7;
    a = wk_realloc(a, 2000, 1);
    CHECK(a && a[999] == 7);
    CHECK_INT(wk_live_allocs(), before + 3);
    wk_free(a);
    wk_free(b);
    wk_free(none);
    wk_free(NULL);
    CHECK_INT(wk_live_allocs(), before);
}

TEST(too_much_memory_is_an_error)
{
    long before = wk_live_allocs();
    CHECK(wk_alloc(SIZE_MAX / 4) == NULL);
    CHECK_INT(wk_error(), WK_ERR_MEMORY);
    CHECK_ERROR("cannot allocate");
    CHECK(wk_alloc_array(SIZE_MAX / 2, 3) == NULL);
    CHECK_INT(wk_error(), WK_ERR_MEMORY);
    CHECK_ERROR("items of 3 bytes");
    CHECK(wk_alloc_pages(SIZE_MAX) == NULL);
    CHECK_ERROR("cannot allocate");
    CHECK(wk_alloc_pages(SIZE_MAX / 4) == NULL);
    CHECK_ERROR("cannot allocate");
    CHECK(wk_scratch(SIZE_MAX) == NULL);
    CHECK_ERROR("cannot allocate");
    CHECK(wk_scratch(SIZE_MAX / 4) == NULL);
    CHECK_ERROR("cannot allocate");

    char *p = wk_alloc(4);
    if (CHECK(p != NULL)) { /* what cannot grow stays as it is */
        p[3] = 3;
        CHECK(wk_realloc(p, SIZE_MAX / 2, 4) == NULL);
        CHECK_ERROR("cannot allocate");
        CHECK(wk_realloc(p, SIZE_MAX / 4, 1) == NULL);
        CHECK_ERROR("cannot allocate");
        CHECK_INT(p[3], 3);
    }
    wk_free(p);
    wk_scratch_free();
    CHECK_INT(wk_live_allocs(), before);
}

TEST(pages_are_aligned_and_large_ones_whole)
{
    static const size_t sizes[] = {
        0, 1, 64, 100, 4097, (2 << 20) - 1, 2 << 20, (6 << 20) + 12345
    };
    long before = wk_live_allocs();
    for (size_t i = 0; i < WK_COUNT(sizes); i++) {
        char *p = wk_alloc_pages(sizes[i]);
        if (!CHECK(p != NULL))
            continue;
        CHECK((uintptr_t)p % 64 == 0);
        if (sizes[i] >= 2 << 20)
            CHECK((uintptr_t)p % (2 << 20) == 0);
        memset(p, 1, sizes[i]);
        wk_free_pages(p, sizes[i]);
    }
    CHECK_INT(wk_live_allocs(), before);
}

static void *use_scratch(void *arg)
{
    char *p = wk_scratch(1 << 16);
    if (p)
        memset(p, 5, 1 << 16);
    *(char **)arg = p;
    return NULL;
}

TEST(scratch_is_of_a_thread_and_goes_with_it)
{
    pthread_t thread;
    wk_scratch_free();
    long  before = wk_live_allocs();
    char *mine = wk_scratch(100), *theirs = NULL;
    CHECK((uintptr_t)mine % 64 == 0);
    memset(mine, 1, 100);
    CHECK(wk_scratch(50) == mine); /* it is big enough */
    CHECK(!pthread_create(&thread, NULL, use_scratch, &theirs));
    pthread_join(thread, NULL);
    CHECK(theirs && theirs != mine);
    CHECK_INT(mine[99], 1);
    CHECK_INT(wk_live_allocs(), before + 1);
    char *large = wk_scratch(5 << 20);
    memset(large, 2, 5 << 20);
    CHECK((uintptr_t)large % 64 == 0);
    wk_scratch_free();
    wk_scratch_free();
    CHECK_INT(wk_live_allocs(), before);
}

TEST(the_nth_allocation_fails)
{
    for (long n = 0; n < 4; n++) {
        void *got[4];
        wk_fail_alloc_after(n);
        for (int i = 0; i < 4; i++) {
            got[i] = wk_alloc(8);
            CHECK_INT(got[i] == NULL, i == n); /* and only that one */
            wk_clear();
        }
        for (int i = 0; i < 4; i++)
            wk_free(got[i]);
    }
    wk_fail_alloc_after(-1);
    void *p = wk_alloc(8);
    CHECK(p != NULL);
    wk_free(p);
}

TEST(arrays_grow)
{
    int64_t *list = NULL;
    size_t   room = 0;
    for (size_t n = 0; n < 1000; n++) {
        if (!CHECK(wk_reserve(&list, &room, n + 1, sizeof *list)))
            break;
        CHECK(room > n);
        list[n] = (int64_t)n * 3;
    }
    for (size_t n = 0; n < 1000; n++)
        CHECK(list[n] == (int64_t)n * 3);
    size_t   had = room;
    int64_t *same = list;
    CHECK(!wk_reserve(&list, &room, SIZE_MAX / 2, sizeof *list));
    CHECK_ERROR("cannot allocate");
    CHECK(list == same && room == had);
    wk_free(list);
}
