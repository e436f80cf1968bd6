// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_gguf_models.c - decoders from GGUF files that llama.cpp's converter made of the tiny
 * checkpoints (tests/golden/make_gguf_models.py), against what transformers says of those. */
#include "../test.h"

#include "../../src/base/base.h"
#include <wick/wick.h>

#include <stdio.h>
#include <stdlib.h>

static double relative_error(wk_tensor *a, wk_tensor *b)
{
    return wk_item(wk_max(wk_abs(wk_sub(a, b)))) / wk_item(wk_max(wk_abs(b)));
}

TEST(logits_of_gguf_files_are_those_of_transformers)
{
    static const char *const names[] = { "llama",      "llama_mha_tied_bias", "llama_linear",
                                         "llama_yarn", "llama_llama3",        "qwen2",
                                         "qwen3" };
    for (size_t i = 0; i < WK_COUNT(names); i++) {
        char     path[200];
        wk_scope scope = wk_mark();
        snprintf(path, sizeof path, "tests/golden/models/%s/golden.safetensors", names[i]);
        wk_archive *a = wk_archive_open(path);
        snprintf(path, sizeof path, "tests/golden/models/%s.gguf", names[i]);
        wk_model *m = wk_model_open(path);
        CHECK_MSG(m, "%s: %s", names[i], wk_message());
        double error = relative_error(wk_model_logits(m, wk_archive_get(a, "ids")),
                                      wk_archive_get(a, "logits"));
        CHECK_MSG(error < 1e-4, "%s: off by %g", names[i], error);
        CHECK(wk_model_is_end(m, 2) && !wk_model_is_end(m, 1));
        wk_clear();
        wk_model_free(m);
        wk_archive_free(a);
        wk_sweep(scope);
    }
}

/* A file with one value changed or added, as another. */
static const char *changed(const char *from, wk_gguf_value value, char path[1024])
{
    wk_scope    scope = wk_mark();
    wk_archive *a = wk_archive_open(from);
    int         n = wk_archive_count(a);
    const char *names[64];
    wk_tensor  *tensors[64];
    for (int i = 0; i < n && i < 64; i++) {
        names[i] = wk_archive_name(a, i);
        tensors[i] = wk_archive_get(a, names[i]);
    }
    CHECK(n < 64 && wk_gguf_save(test_temporary("changed.gguf", path), n, names, tensors, 1, &value,
                                 .like = a));
    wk_archive_free(a);
    wk_sweep(scope);
    return path;
}

TEST(gguf_models_that_are_refused)
{
    static const char qwen[] = "tests/golden/models/qwen3.gguf";
    const struct {
        wk_gguf_value value;
        const char   *error;
    } cases[] = {
        { { "general.architecture", .text = "perceiver" }, "\"perceiver\" is not known" },
        { { "qwen3.expert_count", "u32", .integer = 8 }, "qwen3.expert_count is not understood" },
        { { "qwen3.attention.value_length", "u32", .integer = 4 },
          "value_length 4 is not the length of keys" },
        { { "qwen3.attention.head_count", "u32", .integer = 3 }, "3 heads" },
        { { "qwen3.block_count", "u32", .integer = 3 }, "blk.2.attn_norm.weight" },
        { { "qwen3.block_count", "u32", .integer = 4000000000 },
          "num_hidden_layers is 4000000000" },
        { { "qwen3.embedding_length", "u32", .integer = 24 }, "token_embd.weight" },
        { { "qwen3.rope.scaling.type", .text = "spiral" }, "unknown kind of rope scaling: spiral" },
    };
    char path[1024];
    for (size_t i = 0; i < WK_COUNT(cases); i++) {
        CHECK(!wk_model_open(changed(qwen, cases[i].value, path)));
        CHECK_ERROR(cases[i].error);
    }
    const int64_t heads[] = { 4, 2 };
    wk_gguf_value list = { "qwen3.attention.head_count", "u32", .count = 2, .integers = heads };
    CHECK(!wk_model_open(changed(qwen, list, path)));
    CHECK_ERROR("differs from layer to layer");
    CHECK(wk_gguf_save(test_temporary("empty.gguf", path)));
    CHECK(!wk_model_open(path));
    CHECK_ERROR("empty.gguf: there is no general.architecture");
    CHECK(!wk_model_open("tests/golden/models/nothing.gguf"));
    CHECK_ERROR("no such file or folder");
}

TEST(gguf_files_run_alone)
{
    wk_tokens ids = { 0 };
    wk_model *m = wk_model_open("tests/golden/models/qwen3.gguf");
    CHECK(wk_encode(&ids, wk_model_tokenizer(m), "abcABC"));
    CHECK(ids.count == 5 && ids.id[0] == 47 && ids.id[1] == 5 && ids.id[4] == 31);
    CHECK(wk_model_tokenizer(m) == wk_model_tokenizer(m));
    char *text = wk_decode(wk_model_tokenizer(m), ids.id, ids.count, false);
    CHECK_STR(text, "abcABC");
    free(text);
    wk_tokens_free(&ids);
    wk_model_free(m);
}

/* As many heads in each layer, but in a list, is the same; so are no experts. */
TEST(gguf_values_that_change_nothing)
{
    const int64_t heads[] = { 4, 4 };
    wk_gguf_value list = { "qwen3.attention.head_count", "u32", .count = 2, .integers = heads };
    wk_gguf_value none = { "qwen3.expert_count", "u32", .integer = 0 };
    char          path[1024];
    wk_model     *m = wk_model_open(changed("tests/golden/models/qwen3.gguf", list, path));
    CHECK_INT(wk_model_describe(m).heads, 4);
    wk_model_free(m);
    m = wk_model_open(changed("tests/golden/models/qwen3.gguf", none, path));
    CHECK_INT(wk_model_describe(m).layers, 2);
    wk_model_free(m);
}

/* Keys and values in few bits: what is kept is what makes the difference. */
TEST(sessions_keep_keys_and_values_in_any_dtype)
{
    static const char config[] =
        "{\"model_type\": \"llama\", \"hidden_size\": 128, \"num_hidden_layers\": 2,"
        "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"intermediate_size\": 96,"
        "\"vocab_size\": 64, \"max_position_embeddings\": 512}";
    static const struct {
        wk_dtype dtype;
        double   most;
    } caches[] = { { WK_F32, 1e-5 }, { WK_F16, 1e-3 }, { WK_BF16, 8e-3 }, { WK_Q8_0, 1e-2 } };
    int32_t ids[300];
    for (int i = 0; i < 300; i++)
        ids[i] = i * 7 % 64;
    for (size_t i = 0; i < WK_COUNT(caches); i++) {
        wk_scope scope = wk_mark();
        wk_seed(9);
        wk_model   *m = wk_model_open(NULL, .config = config, .cache = caches[i].dtype);
        wk_tensor  *x = wk_reshape(wk_cast(wk_from(WK_I32, WK_SHAPE(300), ids), WK_I64), 1, 300);
        wk_tensor  *want = wk_narrow(wk_model_logits(m, x), 1, 299, 1);
        wk_session *s = wk_session_new(m);
        wk_session_sync(s, ids, 299);
        double error = relative_error(wk_session_push(s, ids[299]), want);
        CHECK_MSG(error < caches[i].most, "%s: off by %g", wk_dtype_name(caches[i].dtype), error);
        wk_session *copy = wk_session_fork(s);
        wk_tensor  *a = wk_session_push(s, 5), *b = wk_session_push(copy, 5);
        CHECK(wk_item(wk_max(wk_abs(wk_sub(a, b)))) == 0);
        wk_session_free(copy);
        wk_session_free(s);
        wk_model_free(m);
        wk_sweep(scope);
    }
    CHECK(!wk_model_open(NULL, .config = config, .cache = WK_Q4_K));
    CHECK_ERROR("keys and values of 32 numbers cannot be kept in q4_k");
    CHECK(!wk_model_open(NULL, .config = config, .cache = WK_I8));
    CHECK_ERROR("cannot be kept in i8");
}
