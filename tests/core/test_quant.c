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
        if (t->gguf < 0)
            continue;
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

static double error_of(const wk_quant *t, const uint8_t *blocks, const float *row, int64_t n)
{
    float  loaded[512];
    double sum = 0;
    t->load(loaded, blocks, n);
    for (int64_t i = 0; i < n; i++)
        sum += pow((double)loaded[i] - (double)row[i], 2);
    return sum;
}

/* llama.cpp loses its place in a block of iq3_s after a group of zeros, which row 3 has:
 * there the numbers need only be nearer. */
static void check_store(const wk_archive *a, const wk_quant *t, const char *end)
{
    const wk_tensor *rows = wk_archive_get(a, "rows"), *w = wk_archive_get(a, "importance");
    const wk_tensor *want = get(a, "store", t, end);
    if (!want)
        return;
    int64_t count = rows->shape.dim[0], n = rows->shape.dim[1], bytes = n / t->block * t->bytes;
    for (int64_t r = 0; r < count; r++) {
        uint8_t        b[1024];
        const float   *row = wk_f32(rows) + r * n;
        const uint8_t *y = (uint8_t *)wk_at_host(want) + r * bytes;
        int64_t        j = 0;
        CHECK(t->store(b + 1, row, n, *end ? wk_f32(w) : NULL));
        while (j < bytes && b[1 + j] == y[j])
            j++;
        if (r == 3 && t == &wk_quants[WK_QUANT_iq3_s])
            CHECK(error_of(t, b + 1, row, n) < error_of(t, y, row, n) / 4);
        else
            CHECK_MSG(j == bytes, "%s%s: row %d: byte %d of block %d is %02x, not %02x", t->name,
                      end, (int)r, (int)(j % t->bytes), (int)(j / t->bytes), b[1 + j % bytes],
                      y[j % bytes]);
    }
}

TEST(rows_become_the_blocks_of_llama_cpp)
{
    wk_archive *a = wk_archive_open(PATH);
    for (int i = 0; i < WK_QUANT_COUNT; i++) {
        const wk_quant *t = &wk_quants[i];
        if (t->gguf < 0 || i % test_stride(3))
            continue;
        CHECK_MSG(t->needs_importance ? !!get(a, "store", t, ".weighed") : !!get(a, "store", t, ""),
                  "%s: not in %s", t->name, PATH);
        check_store(a, t, "");
        check_store(a, t, ".weighed");
    }
    wk_archive_free(a);
}

/* Its values are those of bitsandbytes to 0.0029 of the largest; it gives back what it holds. */
TEST(nf4_has_the_quantiles_of_the_normal_distribution)
{
    static const double levels[16] = { -1,
                                       -0.6961928009986877,
                                       -0.5250730514526367,
                                       -0.39491748809814453,
                                       -0.28444138169288635,
                                       -0.18477343022823334,
                                       -0.09105003625154495,
                                       0,
                                       0.07958029955625534,
                                       0.16093020141124725,
                                       0.24611230194568634,
                                       0.33791524171829224,
                                       0.44070982933044434,
                                       0.5626170039176941,
                                       0.7229568362236023,
                                       1 };
    float               row[32], back[32];
    uint8_t             b[18], again[18];
    for (int i = 0; i < 32; i++)
        row[i] = (float)levels[i % 16] * 0.75f;
    CHECK(wk_nf4_store(b, row, 32, NULL));
    wk_nf4_load(back, b, 32);
    for (int i = 0; i < 32; i++)
        CHECK_NEAR(back[i], row[i], 0.75 * 0.0031); /* and the scale is an f16 */
    CHECK(wk_nf4_store(again, back, 32, NULL));
    CHECK(!memcmp(b + 2, again + 2, 16));
}

TEST(some_blocks_need_an_importance_matrix)
{
    float   row[256] = { 1 };
    uint8_t b[256];
    CHECK(!wk_iq2_xs_store(b, row, 256, NULL));
    CHECK_ERROR("iq2_xs: needs an importance matrix");
}

/* Numbers that cannot be kept do not upset what is around them. */
TEST(any_numbers_are_stored)
{
    static const float odd[] = { NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 1e-45f, -1e-40f, 0 };
    float              row[2 * WK_QUANT_MAX_BLOCK], weight[2 * WK_QUANT_MAX_BLOCK];
    for (int i = 0; i < 2 * WK_QUANT_MAX_BLOCK; i++)
        weight[i] = i % 7 ? 1 : i % 3 ? 0 : 1e30f;
    for (int round = 0; round < (int)WK_COUNT(odd) * 2; round++)
        for (int k = 0; k < WK_QUANT_COUNT; k++) {
            const wk_quant *t = &wk_quants[k];
            uint8_t         b[2 * WK_QUANT_MAX_BYTES + 1], alone[WK_QUANT_MAX_BYTES];
            int             n = t->block;
            for (int i = 0; i < 2 * n; i++)
                row[i] = i >= n                    ? (float)(i % 17) - 8
                         : i % (round % 2 ? 5 : 1) ? 1
                                                   : odd[round / 2];
            b[2 * t->bytes] = 77;
            CHECK(t->store(b, row, 2 * n, weight));
            CHECK_INT(b[2 * t->bytes], 77);
            CHECK(t->store(b, row, 2 * n, t->needs_importance ? weight : NULL));
            CHECK(t->store(alone, row + n, n, t->needs_importance ? weight + n : NULL));
            CHECK_MSG(!memcmp(b + t->bytes, alone, (size_t)t->bytes), "%s", t->name);
        }
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
