// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_ggml.c - LLaMAs in files from before GGUF against what llama.cpp's converter makes of the
 * same files (tests/golden/make_ggml.py); and files that are cut off, changed or too old. */
#include "test.h"

#include "../src/base/base.h"
#include <wick/wick.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define GOLDEN "tests/golden/ggml/"

static const char *const names[] = { "ggjt3", "ggjt2", "ggmf", "ggml" };

static void check_values(const wk_archive *a, const wk_archive *b)
{
    const char *key;
    for (int i = 0; (key = wk_archive_metadata_key(b, i)); i++) {
        wk_meta x = wk_archive_meta(a, key, 0), y = wk_archive_meta(b, key, 0);
        if (!strcmp(key, "general.name") || !strcmp(key, "general.description"))
            continue;
        CHECK_MSG(x.type == y.type && x.list == y.list && x.count == y.count, "%s", key);
        for (int64_t k = 0; k < y.count && wk_ok(); k++) {
            x = wk_archive_meta(a, key, k);
            y = wk_archive_meta(b, key, k);
            CHECK_MSG(x.integer == y.integer && x.number == y.number && x.size == y.size &&
                          (!y.size || !memcmp(x.text, y.text, y.size)),
                      "%s: %d", key, (int)k);
        }
    }
}

static void check_tensors(const wk_archive *a, const wk_archive *b)
{
    CHECK_INT(wk_archive_count(a), wk_archive_count(b));
    for (int i = 0; i < wk_archive_count(b) && wk_ok(); i++) {
        const char *name = wk_archive_name(b, i);
        wk_tensor  *x = wk_archive_get(a, name), *y = wk_archive_get(b, name);
        CHECK_MSG(wk_dtype_of(x) == wk_dtype_of(y) && wk_bytes(x) == wk_bytes(y) &&
                      wk_dim(x, 0) == wk_dim(y, 0) && !memcmp(wk_data(x), wk_data(y), wk_bytes(y)),
                  "%s", name);
    }
}

static void check_same(const char *path, const char *golden)
{
    wk_scope    scope = wk_mark();
    wk_archive *a = wk_archive_open(path), *b = wk_archive_open(golden);
    CHECK_MSG(a && b, "%s", wk_message());
    check_values(a, b);
    check_tensors(a, b);
    wk_archive_free(a);
    wk_archive_free(b);
    wk_sweep(scope);
}

/* Ids of a text, and what the model says of them, end to end. */
static wk_tensor *logits(const char *path, wk_tokens *ids)
{
    wk_model *m = wk_model_open(path);
    CHECK_MSG(wk_encode(ids, wk_model_tokenizer(m), "the hello and \xC3\xA9 z"), "%s",
              wk_message());
    wk_session *s = wk_session_new(m);
    wk_tensor  *y = wk_session_sync(s, ids->id, (int64_t)ids->count);
    wk_session_free(s);
    wk_model_free(m);
    return y;
}

TEST(files_before_gguf_are_what_the_converter_makes)
{
    for (size_t i = 0; i < WK_COUNT(names); i++) {
        char      old[100], new[100], path[1024];
        wk_scope  scope = wk_mark();
        wk_tokens a = { 0 }, b = { 0 };
        snprintf(old, sizeof old, GOLDEN "%s.bin", names[i]);
        snprintf(new, sizeof new, GOLDEN "%s.gguf", names[i]);
        check_same(old, new);
        wk_tensor *x = logits(old, &a), *y = logits(new, &b);
        CHECK(a.count == b.count && !memcmp(a.id, b.id, a.count * sizeof *a.id));
        CHECK(wk_bytes(x) == wk_bytes(y) && !memcmp(wk_data(x), wk_data(y), wk_bytes(y)));
        CHECK_MSG(wk_convert(old, test_temporary("new.gguf", path)), "%s", wk_message());
        check_same(path, new);
        wk_tokens_free(&a);
        wk_tokens_free(&b);
        wk_sweep(scope);
    }
}

TEST(tokens_before_gguf)
{
    wk_tokens     ids = { 0 };
    wk_tokenizer *t = wk_tokenizer_open(GOLDEN "ggjt3.bin");
    CHECK(wk_encode(&ids, t, "hello \xC3\xA9 Z"));
    char *text = t ? wk_decode(t, ids.id, ids.count, false) : NULL;
    CHECK_STR(text, "hello \xC3\xA9 Z");
    CHECK(ids.count > 2 && ids.id[0] == 1 && ids.id[1] == 285);
    free(text);
    wk_tokens_free(&ids);
    wk_tokenizer_free(t);
}

/* ---- Files that are no such files ----------------------------------------- */

static wk_buf read_all(const char *path)
{
    wk_buf   b = { 0 };
    wk_file *f = wk_file_open(path);
    if (f)
        wk_buf_add(&b, f->data, f->size);
    wk_file_release(f);
    return b;
}

static bool opens(const char *path, const char *data, size_t size)
{
    wk_scope scope = wk_mark();
    FILE    *f = fopen(path, "wb"); /* wk_write_file() would wait for the disk, each time */
    CHECK(f && fwrite(data, 1, size, f) == size && !fclose(f));
    wk_archive *a = wk_archive_open(path);
    bool        good = a != NULL;
    for (int i = 0; i < wk_archive_count(a); i++) {
        wk_sum(wk_archive_get(a, wk_archive_name(a, i)));
        wk_clear();
    }
    CHECK_MSG(good || strstr(wk_message(), path), "%s", wk_message());
    wk_archive_free(a);
    wk_sweep(scope);
    return good;
}

TEST(files_before_gguf_cut_off_or_changed)
{
    for (size_t n = 0; n < WK_COUNT(names); n++) {
        char path[1024], old[100];
        int  good = 0;
        snprintf(old, sizeof old, GOLDEN "%s.bin", names[n]);
        wk_buf b = read_all(old);
        test_temporary("cut.bin", path);
        for (size_t i = 0; i < b.size; i += i < 300 ? 1 : 37) {
            good += opens(path, b.data, i);
            wk_clear();
        }
        CHECK_MSG(good <= 12, "%s: %d", names[n], good); /* between tensors, or before them */
        for (size_t i = 0; i < b.size; i += i < 300 ? 1 : 37) {
            char c = b.data[i];
            b.data[i] = (char)(c ^ 0xFF);
            opens(path, b.data, b.size);
            b.data[i] = c;
            wk_clear();
        }
        wk_buf_free(&b);
    }
}

typedef struct {
    size_t      at; /* of a number of 4 bytes */
    uint32_t    value;
    const char *error;
} change;

static void check_refused(const char *name, const change *list, size_t count)
{
    char   path[1024];
    wk_buf whole = read_all(name);
    test_temporary("changed.bin", path);
    for (size_t i = 0; i < count; i++) {
        wk_buf b = { 0 };
        wk_buf_add(&b, whole.data, whole.size);
        for (size_t k = 0; k < 4; k++)
            b.data[list[i].at + k] = (char)(list[i].value >> 8 * k);
        CHECK_MSG(!opens(path, b.data, b.size), "%s", list[i].error);
        CHECK_ERROR(list[i].error);
        wk_buf_free(&b);
    }
    wk_buf_free(&whole);
}

/* Where a name is in a file; its tensor is described by the 5 numbers before, if it has 2 dims. */
static size_t find(const char *path, const char *name)
{
    wk_buf b = read_all(path);
    size_t n = strlen(name), at = 0;
    while (at + n < b.size && memcmp(b.data + at, name, n))
        at++;
    CHECK_MSG(at + n < b.size, "%s", name);
    wk_buf_free(&b);
    return at;
}

TEST(files_before_gguf_that_are_refused)
{
    static const char v3[] = GOLDEN "ggjt3.bin", v2[] = GOLDEN "ggjt2.bin";
    size_t            q = find(v3, "layers.0.attention.wq.weight");
    size_t            embed = find(v3, "tok_embeddings.weight");
    const change      of_v3[] = {
             { 4, 4, "ggjt version 4" },
             { 4, 0, "ggjt version 0" },
             { 4, 2, "tok_embeddings.weight: Q8_0 was laid out otherwise before ggjt version 3" },
             { 4, 1, "tok_embeddings.weight: Q8_0 was laid out otherwise before ggjt version 3" },
             { 8, 2, "2 tokens do not fit into the file" },
             { 8, UINT32_MAX, "4294967295 tokens do not fit into the file" },
             { 12, 33, "not a LLaMA" },
             { 12, 0, "not a LLaMA" },
             { 20, 0, "not a LLaMA" },
             { 20, UINT32_MAX, "not a LLaMA" },
             { 24, 0, "not a LLaMA" },
             { 24, 100000, "100000 layers" },
             { 28, UINT32_MAX, "not a LLaMA" },
             { 36, UINT32_MAX, "a name or token of 4294967295 bytes" },
             { q - 20, 0, "a tensor of rank 0" },
             { q - 20, 3, "a tensor of rank 3" },
             { q - 16, UINT32_MAX, "a name or token of 4294967295 bytes" },
             { q - 16, 27, "layers.0.attention.wq.weigh is no tensor of LLaMA" },
             { q - 12, 4, "type Q4_2 is no longer in use" },
             { q - 12, 77, "unknown type 77" },
             { q - 8, 33, "blk.0.attn_q.weight: 32 rows of 33 elements" },
             { q - 8, 0, "blk.0.attn_q.weight: 32 rows of 0 elements" },
             { q - 4, 0, "blk.0.attn_q.weight: 0 rows" },
             { q - 4, UINT32_MAX, "ends before what it says it holds" },
             { q + 19, 0x772E6B77, "there are two tensors blk.0.attn_k.weight" },
             { embed, 0x78787878, "xxxxembeddings.weight is no tensor of LLaMA" },
    };
    const change of_v2[] = {
        { 4, 1, "tok_embeddings.weight: Q5_0 was laid out otherwise before ggjt version 2" },
        { 12, 64, "not a LLaMA" },
    };
    check_refused(v3, of_v3, WK_COUNT(of_v3));
    check_refused(v2, of_v2, WK_COUNT(of_v2));
}

TEST(files_before_gguf_that_end_behind_a_strange_rank)
{
    static const char v3[] = GOLDEN "ggjt3.bin";
    char              path[1024];
    size_t            at = find(v3, "layers.0.attention.wq.weight") - 20;
    wk_buf            b = read_all(v3);
    memset(b.data + at, 'a', 4);
    CHECK(!opens(test_temporary("short.bin", path), b.data, at + 4));
    CHECK_ERROR("ends before what it says it holds");
    wk_buf_free(&b);
}

/* A larger model was several files, each with some of the columns. */
TEST(parts_before_gguf)
{
    char   path[1024];
    wk_buf b = read_all(GOLDEN "ggjt2.bin");
    b.data[12] = 64; /* width, for as many heads of 16 */
    b.data[28] = 16;
    CHECK(!opens(test_temporary("part.bin", path), b.data, b.size));
    CHECK_ERROR("one of several parts: join them first");
    wk_buf_free(&b);
}

/* ---- Folders ------------------------------------------------------------- */

static void copy(const char *from, const char *folder, const char *name)
{
    char   path[1200];
    wk_buf b = read_all(from);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    CHECK_MSG(wk_write_file(path, b.data, b.size), "%s", from);
    wk_buf_free(&b);
}

static int64_t layers_of(const char *path)
{
    wk_model           *m = wk_model_open(path);
    int64_t             layers = m ? wk_model_describe(m).layers : 0;
    const wk_tokenizer *t = m ? wk_model_tokenizer(m) : NULL;
    CHECK_MSG(t != NULL, "%s", wk_message());
    wk_model_free(m);
    return layers;
}

TEST(folders_with_one_gguf_file)
{
    char      folder[1024], out[1024];
    wk_tokens ids = { 0 };
    mkdir(test_temporary("gguf", folder), 0777);
    CHECK(!wk_tokenizer_open(folder));
    CHECK_ERROR("tokenizer.json");
    copy("tests/golden/models/qwen3.gguf", folder, "some.gguf");
    wk_tokenizer *t = wk_tokenizer_open(folder);
    CHECK(wk_encode(&ids, t, "abcABC") && ids.count == 5 && ids.id[0] == 47);
    wk_tokens_free(&ids);
    wk_tokenizer_free(t);
    CHECK_INT(layers_of(folder), 2);
    CHECK(wk_quantize(folder, test_temporary("q.gguf", out), "bf16"));
    copy("tests/golden/models/qwen3/config.json", folder, "config.json"); /* as on the Hub */
    CHECK_INT(layers_of(folder), 2);
    CHECK(wk_quantize(folder, out, "bf16"));
    CHECK_INT(layers_of(out), 2);
    copy("tests/golden/models/llama.gguf", folder, "other.gguf");
    CHECK(!wk_model_open(folder));
    CHECK_ERROR("there are 2 GGUF files in this folder: name one");
    CHECK(!wk_tokenizer_open(folder));
    CHECK_ERROR("there are 2 GGUF files in this folder: name one");
    copy("tests/golden/models/qwen3/model.safetensors", folder, "model.safetensors");
    wk_model *m = wk_model_open(folder); /* what transformers reads comes first */
    CHECK(m && wk_store_find(wk_model_store(m), "model.embed_tokens.weight"));
    wk_model_free(m);
}
