// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_quantized.c - tensors of quantized dtypes: what operations make of them is what they
 * make of their numbers, which tests/core/test_quant.c checks against llama.cpp. */
#include "../test.h"

#include "../../src/core/core.h"
#include "../../src/core/quant.h"
#include <wick/wick.h>

#include <math.h>
#include <stdlib.h>

enum { ROWS = 37, IN = 512 };

/* Numbers, quantized: [ROWS, IN]. */
static wk_tensor *quantized(wk_dtype dtype)
{
    return wk_cast(wk_scale(wk_randn(ROWS, IN), 0.3), dtype);
}

static double largest_difference(wk_tensor *a, wk_tensor *b)
{
    return wk_item(wk_max(wk_abs(wk_sub(a, b))));
}

static bool is_quantized(wk_dtype d) { return wk_dtype_block(d) > 1; }

/* Can it be made without an importance matrix? */
static bool is_made(wk_dtype d) { return !wk_quants[d - WK_Q4_0].needs_importance; }

TEST(quantized_dtypes_by_name)
{
    int count = 0;
    for (int d = WK_DEFAULT + 1; d < WK_DTYPE_COUNT; d++) {
        CHECK_INT(wk_dtype_find(wk_dtype_name((wk_dtype)d)), d);
        count += is_quantized((wk_dtype)d);
    }
    CHECK_INT(count, WK_QUANT_COUNT);
    CHECK_INT(wk_dtype_find("q4_k"), WK_Q4_K);
    CHECK_INT(wk_dtype_find("mxfp4"), WK_MXFP4);
    CHECK_INT(wk_dtype_size(WK_Q8_0), 34);
    CHECK_INT(wk_dtype_block(WK_Q8_0), 32);
    CHECK_INT(wk_dtype_block(WK_BF16), 1);
    CHECK_INT(wk_dtype_promote(WK_Q4_0, WK_Q4_0), WK_F32);
    CHECK_INT(wk_dtype_promote(WK_Q4_0, WK_F64), WK_F64);
    CHECK_INT(wk_dtype_promote(WK_BF16, WK_Q6_K), WK_F32);
}

TEST(quantized_tensors_are_what_their_blocks_are)
{
    wk_seed(1);
    for (int d = WK_Q4_0; d < WK_DTYPE_COUNT; d++) {
        const wk_quant *t = &wk_quants[d - WK_Q4_0];
        wk_scope        scope = wk_mark();
        wk_tensor      *x = wk_randn(ROWS, IN);
        if (!is_made((wk_dtype)d)) {
            CHECK(!wk_cast(x, (wk_dtype)d));
            CHECK_ERROR("importance");
            wk_sweep(scope);
            continue;
        }
        wk_tensor *q = wk_cast(x, (wk_dtype)d);
        CHECK_INT(wk_bytes(q), (int64_t)ROWS * IN / t->block * t->bytes);
        char  *blocks = malloc(wk_bytes(q));
        float *row = malloc(ROWS * IN * sizeof *row), *back = malloc(ROWS * IN * sizeof *row);
        t->store(blocks, wk_f32(x), ROWS * IN, NULL);
        CHECK_MSG(!memcmp(blocks, wk_data(q), wk_bytes(q)), "%s", t->name);
        t->load(row, blocks, ROWS * IN);
        wk_to_f32(q, back);
        CHECK_MSG(!memcmp(row, back, ROWS * IN * sizeof *row), "%s", t->name);
        wk_tensor *wide = wk_cast(q, WK_F64), *half = wk_cast(q, WK_F16);
        CHECK_NEAR(largest_difference(wide, wk_cast(q, WK_F32)), 0, 0);
        CHECK_NEAR(largest_difference(half, wk_cast(wk_cast(q, WK_F32), WK_F16)), 0, 0);
        CHECK(wk_read(q, (wk_dtype)d, blocks) && !memcmp(blocks, wk_data(q), wk_bytes(q)));
        wk_tensor *copy = wk_from((wk_dtype)d, WK_SHAPE(ROWS, IN), blocks);
        CHECK(wk_dtype_of(wk_copy(copy)) == (wk_dtype)d);
        CHECK_NEAR(largest_difference(wk_copy(copy), q), 0, 0);
        free(blocks);
        free(row);
        free(back);
        wk_sweep(scope);
    }
}

TEST(operations_read_quantized_operands_as_f32)
{
    wk_seed(2);
    wk_scope   scope = wk_mark();
    wk_tensor *q = quantized(WK_Q5_K), *f = wk_cast(q, WK_F32);
    wk_tensor *x = wk_randn(ROWS, IN);
    CHECK_INT(wk_dtype_of(wk_add(q, x)), WK_F32);
    CHECK_NEAR(largest_difference(wk_add(q, x), wk_add(f, x)), 0, 0);
    CHECK_NEAR(largest_difference(wk_silu(q), wk_silu(f)), 0, 0);
    CHECK_NEAR(largest_difference(wk_sum(q), wk_sum(f)), 0, 0);
    CHECK_NEAR(largest_difference(wk_matmul(x, wk_transpose(q, 0, 1)),
                                  wk_matmul(x, wk_transpose(f, 0, 1))),
               0, 0);
    wk_tensor *many[20];
    for (int i = 0; i < 20; i++)
        many[i] = i % 2 ? q : x;
    CHECK_INT(wk_dim(wk_cat_of(0, many, 20), 0), 20 * ROWS);
    CHECK_INT(wk_dtype_of(wk_cat_of(0, many, 20)), WK_F32);
    wk_tensor *into = wk_zeros(ROWS, IN);
    wk_assign(into, q);
    CHECK_NEAR(largest_difference(into, f), 0, 0);
    wk_sweep(scope);
}

TEST(views_keep_whole_rows_quantized)
{
    wk_seed(3);
    wk_scope   scope = wk_mark();
    wk_tensor *q = quantized(WK_Q4_K), *f = wk_cast(q, WK_F32);
    struct {
        wk_tensor *of_q, *of_f;
        bool       stays;
    } views[] = {
        { wk_narrow(q, 0, 5, 9), wk_narrow(f, 0, 5, 9), true },
        { wk_narrow(q, 1, 256, 256), wk_narrow(f, 1, 256, 256), true },
        { wk_narrow(q, 1, 128, 256), wk_narrow(f, 1, 128, 256), false },
        { wk_unsqueeze(q, 0), wk_unsqueeze(f, 0), true },
        { wk_unsqueeze(q, -1), wk_unsqueeze(f, -1), false },
        { wk_reshape(q, ROWS, 2, IN / 2), wk_reshape(f, ROWS, 2, IN / 2), true },
        { wk_reshape(q, ROWS, 4, IN / 4), wk_reshape(f, ROWS, 4, IN / 4), false },
        { wk_reshape(q, -1), wk_reshape(f, -1), true },
        { wk_transpose(q, 0, 1), wk_transpose(f, 0, 1), false },
        { wk_permute(wk_reshape(q, 37, 2, 256), 1, 0, 2),
          wk_permute(wk_reshape(f, 37, 2, 256), 1, 0, 2), true },
        { wk_flip(q, 1), wk_flip(f, 1), false },
        { wk_flip(q, 0), wk_flip(f, 0), true },
    };
    for (size_t i = 0; i < WK_COUNT(views); i++) {
        bool stays = wk_dtype_of(views[i].of_q) == WK_Q4_K;
        CHECK_MSG(stays == views[i].stays, "view %d", (int)i);
        CHECK_NEAR(largest_difference(views[i].of_q, views[i].of_f), 0, 0);
        CHECK_NEAR(largest_difference(wk_copy(views[i].of_q), views[i].of_f), 0, 0);
    }
    wk_sweep(scope);
}

/* Relative to the largest result. */
static double off(wk_tensor *y, wk_tensor *exact)
{
    return largest_difference(y, exact) / wk_item(wk_max(wk_abs(exact)));
}

TEST(layers_take_quantized_weights)
{
    wk_seed(4);
    for (int d = WK_Q4_0; d < WK_DTYPE_COUNT; d++) {
        if (!is_made((wk_dtype)d))
            continue;
        for (int64_t m = 1; m <= 40; m = m * 3 + test_stride(10)) {
            wk_scope   scope = wk_mark();
            wk_tensor *w = quantized((wk_dtype)d), *up = quantized((wk_dtype)d);
            wk_tensor *f = wk_cast(w, WK_F64), *x = wk_randn(m, IN), *add = wk_randn(m, ROWS);
            wk_tensor *bias = wk_randn(ROWS), *wide = wk_cast(x, WK_F64);
            wk_layer   p = { w, bias }, exact = { f, wk_cast(bias, WK_F64) };
            wk_layer   q = { up, NULL }, exact_up = { wk_cast(up, WK_F64), NULL };
            wk_tensor *y = wk_linear(wide, exact);
            CHECK_MSG(off(wk_linear(x, p), y) < 2e-2, "%s", wk_dtype_name((wk_dtype)d));
            CHECK_MSG(off(wk_linear_add(x, p, add), wk_add(y, add)) < 2e-2, "%s",
                      wk_dtype_name((wk_dtype)d));
            y = wk_glu(y, wk_linear(wide, exact_up), WK_ACT_SILU);
            CHECK_MSG(off(wk_linear_glu(x, p, q, WK_ACT_SILU), y) < 2e-2, "%s",
                      wk_dtype_name((wk_dtype)d));
            wk_sweep(scope);
        }
    }
}

TEST(embeddings_of_quantized_rows)
{
    wk_seed(5);
    wk_scope      scope = wk_mark();
    wk_tensor    *w = quantized(WK_Q6_K);
    const int64_t ids[] = { 36, 0, 5, 5 };
    wk_tensor    *i = wk_from_i64(WK_SHAPE(2, 2), ids), *y = wk_embedding(i, w);
    CHECK_INT(wk_dtype_of(y), WK_F32);
    CHECK_NEAR(largest_difference(y, wk_embedding(i, wk_cast(w, WK_F32))), 0, 0);
    wk_sweep(scope);
}

/* As a cache is written and read. */
TEST(rows_are_written_into_quantized_tensors)
{
    wk_seed(7);
    wk_scope   scope = wk_mark();
    wk_tensor *cache = wk_cast(wk_zeros(1, 2, 9, 64), WK_Q8_0), *f = wk_zeros(1, 2, 9, 64);
    wk_tensor *x = wk_randn(1, 2, 3, 64), *one = wk_randn(64);
    wk_write(cache, x, 2, 4);
    wk_write(f, x, 2, 4);
    CHECK_NEAR(largest_difference(cache, wk_cast(f, WK_Q8_0)), 0, 0);
    wk_tensor *grown = wk_cast(wk_zeros(1, 2, 20, 64), WK_Q8_0);
    wk_write(grown, wk_narrow(cache, 2, 0, 7), 2, 0);
    CHECK_NEAR(largest_difference(wk_narrow(grown, 2, 0, 7), wk_narrow(cache, 2, 0, 7)), 0, 0);
    wk_assign(cache, one); // [64] to every row
    CHECK_NEAR(largest_difference(wk_narrow(cache, 2, 8, 1), wk_cast(one, WK_Q8_0)), 0, 0);
    wk_tensor *plain = wk_zeros(1, 2, 20, 64);
    wk_assign(plain, grown);
    CHECK_NEAR(largest_difference(plain, grown), 0, 0);
    wk_sweep(scope);
}

TEST(attention_reads_quantized_keys_and_values)
{
    wk_seed(8);
    for (int d = WK_Q4_0; d < WK_DTYPE_COUNT; d += test_stride(5)) {
        int64_t width = wk_dtype_block((wk_dtype)d) > 64 ? 256 : 64;
        for (int64_t t = 1; t <= 40 && is_made((wk_dtype)d); t += 39) {
            wk_scope   scope = wk_mark();
            wk_tensor *q = wk_randn(1, 4, t, width);
            wk_tensor *k = wk_cast(wk_randn(1, 2, 301, width), (wk_dtype)d);
            wk_tensor *v = wk_cast(wk_randn(1, 2, 301, width), (wk_dtype)d);
            wk_tensor *y =
                wk_attention(q, wk_narrow(k, 2, 0, 300), wk_narrow(v, 2, 0, 300), .causal = true);
            wk_tensor *z = wk_attention(q, wk_cast(wk_narrow(k, 2, 0, 300), WK_F32),
                                        wk_cast(wk_narrow(v, 2, 0, 300), WK_F32), .causal = true);
            CHECK_MSG(off(y, z) < 1e-5, "%s: off by %g", wk_dtype_name((wk_dtype)d), off(y, z));
            wk_sweep(scope);
        }
    }
}

TEST(gradients_pass_through_quantized_weights)
{
    wk_seed(6);
    wk_scope   scope = wk_mark();
    wk_tensor *w = quantized(WK_Q8_0), *f = wk_cast(w, WK_F32), *x = wk_track(wk_randn(3, IN));
    wk_backward(wk_sum(wk_linear(x, (wk_layer){ w, NULL })));
    wk_tensor *g = wk_matmul(wk_ones(3, ROWS), f);
    CHECK_NEAR(off(wk_grad(x), g), 0, 1e-6);
    CHECK(!wk_track(w));
    CHECK_ERROR("is quantized");
    wk_sweep(scope);
}

TEST(what_quantized_tensors_refuse)
{
    wk_scope   scope = wk_mark();
    wk_tensor *q = quantized(WK_Q4_0), *x = wk_zeros(ROWS, IN);
    CHECK(!wk_accumulate(q, x));
    CHECK_ERROR("quantized: nothing changes it in place");
    CHECK(!wk_empty_of(WK_Q4_0, WK_SHAPE(4, 33)));
    CHECK_ERROR("the last dimension of [4, 33] is not made of blocks of 32");
    CHECK(!wk_empty_of(WK_Q4_0, WK_SCALAR));
    CHECK_ERROR("is not made of blocks");
    CHECK(!wk_cast(wk_zeros(4, 128), WK_Q4_K));
    CHECK_ERROR("blocks of 256");
    char        path[1024];
    const char *name = "w";
    CHECK(!wk_safetensors_save(test_temporary("q.safetensors", path), .names = &name, .tensors = &q,
                               .count = 1));
    CHECK_ERROR("quantized to q4_0, which safetensors files do not have");
    CHECK(wk_gguf_save(test_temporary("q.gguf", path), .names = &name, .tensors = &q, .count = 1));
    wk_archive *a = wk_archive_open(path);
    wk_tensor  *y = wk_archive_get(a, "w");
    CHECK_INT(wk_dtype_of(y), WK_Q4_0);
    CHECK_NEAR(largest_difference(y, q), 0, 0);
    wk_archive_free(a);
    wk_sweep(scope);
}
