// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_quant.c - blocks of quantized numbers, against what llama.cpp makes of them:
 * tests/golden/core/quants.safetensors, made by make_quants.py. */
#include "../test.h"

#include "../../src/core/core.h"
#include "../../src/core/quant.h"
#include <wick/io.h>

#include <math.h>
#include <stdio.h>

static const char PATH[] = "tests/golden/core/quants.safetensors";

static const wk_tensor *get(const wk_archive *a, const char *way, const wk_quant *t,
                            const char *end)
{
    char name[64];
    snprintf(name, sizeof name, "%s/%s%s", way, t->name, end);
    return wk_archive_find(a, name) < 0 ? NULL : wk_archive_get(a, name);
}

TEST(blocks_load_as_in_llama_cpp)
{
    wk_archive *a = wk_archive_open(PATH);
    for (int i = 0; i < WK_QUANT_COUNT; i++) {
        const wk_quant  *t = &wk_quants[i];
        const wk_tensor *x = get(a, "load", t, ""), *y = get(a, "load", t, ".f32");
        if (!CHECK_MSG(x && y, "%s: not in %s", t->name, PATH))
            continue;
        int64_t count = wk_elements(x->shape) / t->bytes, n = wk_elements(y->shape);
        char    odd[4096 + 1]; /* blocks at an odd address */
        float   row[1024];
        CHECK_INT(n, count * t->block);
        memcpy(odd + 1, wk_at_host(x), (size_t)(count * t->bytes));
        t->load(row, odd + 1, n);
        int64_t j = 0;
        while (j < n && !memcmp(&row[j], &wk_f32(y)[j], sizeof *row))
            j++;
        CHECK_MSG(j == n, "%s: number %d is %.9g, not %.9g", t->name, (int)j, (double)row[j % n],
                  (double)wk_f32(y)[j % n]);
    }
    wk_archive_free(a);
}

/* No pattern of bytes is outside: under the sanitizers, this is what is looked for.  A
 * block says the same alone and after another, and nothing behind it changes. */
TEST(any_bytes_are_a_block)
{
    uint32_t state = 1;
    for (int round = 0; round < 300; round++)
        for (int i = 0; i < WK_QUANT_COUNT; i++) {
            const wk_quant *t = &wk_quants[i];
            uint8_t         b[2 * WK_QUANT_MAX_BYTES];
            float           both[2 * WK_QUANT_MAX_BLOCK + 1], one[WK_QUANT_MAX_BLOCK];
            for (int j = 0; j < 2 * t->bytes; j++) {
                state = state * 1664525 + 1013904223;
                b[j] = (uint8_t)(round == 0 ? 255 : round == 1 ? 0 : state >> 24);
            }
            both[2 * t->block] = 77;
            t->load(both, b, 2 * t->block);
            t->load(one, b + t->bytes, t->block);
            CHECK_MSG(!memcmp(one, both + t->block, (size_t)t->block * sizeof *one), "%s", t->name);
            CHECK_NEAR(both[2 * t->block], 77, 0);
        }
}
