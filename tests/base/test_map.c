// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_map.c - maps with many keys, equal hashes and odd keys. */
#include "test.h"

#include "../src/base/base.h"

#include <stdio.h>
#include <stdlib.h>

TEST(a_map_of_100000_keys)
{
    enum { N = 100000, LONG = 16 };
    char  *keys = malloc(N * (size_t)LONG);
    wk_map m = { 0 };
    CHECK(!wk_map_get(&m, WK_STR("nothing"), NULL));
    for (int i = 0; i < N; i++) {
        snprintf(keys + i * LONG, LONG, "key%d", i);
        CHECK(wk_map_put(&m, wk_str_of(keys + i * LONG), i));
    }
    CHECK_INT(m.count, N);
    for (int i = 0; i < N; i += 2) /* replaced, not added */
        CHECK(wk_map_put(&m, wk_str_of(keys + i * LONG), -i));
    CHECK_INT(m.count, N);
    for (int i = 0; i < N; i++) {
        int64_t value = 1 << 30;
        char    other[LONG];
        if (!wk_map_get(&m, wk_str_of(keys + i * LONG), &value) || value != (i % 2 ? i : -i))
            CHECK_MSG(false, "key%d gives %lld", i, (long long)value);
        snprintf(other, sizeof other, "kez%d", i);
        if (wk_map_get(&m, wk_str_of(other), NULL))
            CHECK_MSG(false, "%s is not there, but found", other);
    }
    wk_map_free(&m);
    CHECK(!m.slot && !m.count);
    free(keys);
}

TEST(keys_may_be_empty_or_have_zeros)
{
    wk_map  m = { 0 };
    int64_t value;
    CHECK(wk_map_put(&m, (wk_str){ "a\0b", 3 }, 1));
    CHECK(wk_map_put(&m, (wk_str){ "a\0c", 3 }, 2));
    CHECK(wk_map_put(&m, (wk_str){ "a", 1 }, 3));
    CHECK(!wk_map_get(&m, WK_STR(""), &value));
    CHECK(wk_map_put(&m, (wk_str){ NULL, 0 }, 4));
    CHECK_INT(m.count, 4);
    CHECK(wk_map_get(&m, WK_STR(""), &value) && value == 4);
    CHECK(wk_map_get(&m, (wk_str){ "a\0b", 3 }, &value) && value == 1);
    CHECK(wk_map_get(&m, (wk_str){ "a\0c", 3 }, &value) && value == 2);
    CHECK(wk_map_get(&m, (wk_str){ "a", 1 }, &value) && value == 3);
    wk_map_free(&m);
}

/* Keys that begin at the same slot of a small table are told apart by their text. */
TEST(keys_that_collide)
{
    enum { N = 40, MASK = 1023 };
    char   keys[N][16];
    wk_map m = { 0 };
    CHECK(wk_map_reserve(&m, 700)); /* 1024 slots */
    CHECK_INT(m.room, MASK + 1);
    for (int n = 0, i = 0; n < N; i++) {
        int size = snprintf(keys[n], sizeof keys[n], "%d", i);
        if ((wk_hash(keys[n], (size_t)size) & MASK) == MASK) /* at the end: they wrap around */
            CHECK(wk_map_put(&m, wk_str_of(keys[n]), n)), n++;
    }
    for (int n = 0; n < N; n++) {
        int64_t value = -1;
        CHECK(wk_map_get(&m, wk_str_of(keys[n]), &value));
        CHECK_INT(value, n);
    }
    CHECK_INT(m.room, MASK + 1);
    wk_map_free(&m);
}

/* Few collisions for keys that differ little: the low bits are what counts. */
TEST(hashes_spread)
{
    enum { N = 4096 };
    static unsigned char seen[N];
    int                  used = 0;
    for (int i = 0; i < N; i++) {
        char     key[24];
        int      size = snprintf(key, sizeof key, "model.layers.%d", i);
        uint64_t at = wk_hash(key, (size_t)size) % N;
        used += !seen[at];
        seen[at] = 1;
    }
    CHECK_NEAR(used, N * (1 - 0.36788), 200); /* 1 - 1/e of them, for random ones */
}

TEST(a_map_that_cannot_grow_keeps_what_it_has)
{
    wk_map m = { 0 };
    char   keys[13][16];
    for (int i = 0; i < 12; i++) {
        snprintf(keys[i], sizeof keys[i], "%d", i);
        wk_map_put(&m, wk_str_of(keys[i]), i);
    }
    wk_fail_alloc_after(0);
    CHECK(!wk_map_put(&m, WK_STR("one more"), 12));
    wk_fail_alloc_after(-1);
    CHECK_ERROR("cannot allocate");
    for (int i = 0; i < 12; i++) {
        int64_t value = -1;
        CHECK(wk_map_get(&m, wk_str_of(keys[i]), &value) && value == i);
    }
    CHECK(!wk_map_get(&m, WK_STR("one more"), NULL));
    wk_map_free(&m);
}
