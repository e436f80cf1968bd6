// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_imatrix.c - importance matrices of tiny models against llama-imatrix's
 * (tests/golden/make_imatrix.py), and quantizing with them. */
#include "test.h"

#include "../src/base/base.h"
#include <wick/wick.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define GOLDEN "tests/golden/models/"

static const char *const texts[] = { GOLDEN "imatrix/text.txt", NULL };

/* A GGUF model whose texts begin with <s>; a tensor of NaN in it, or NULL. */
static void change(const char *from, const char *to, const char *spoiled)
{
    static const wk_gguf_value begin = { "tokenizer.ggml.add_bos_token", "bool", .integer = 1 };
    wk_tensor                 *tensors[64];
    const char                *names[64];
    wk_archive                *a = wk_archive_open(from);
    int                        n = wk_archive_count(a);
    for (int i = 0; i < n && i < 64; i++) {
        tensors[i] = wk_archive_get(a, names[i] = wk_archive_name(a, i));
        if (spoiled && !strcmp(names[i], spoiled))
            tensors[i] = wk_full_like(tensors[i], 0.0 / 0.0);
    }
    CHECK(n < 64 && wk_gguf_save(to, n, names, tensors, 1, &begin, .like = a));
    wk_archive_free(a);
}

static void check_same(const char *path, const char *golden)
{
    static const char *const keys[] = { "imatrix.chunk_count", "imatrix.chunk_size" };
    wk_archive              *a = wk_archive_open(path), *b = wk_archive_open(golden);
    CHECK_STR(wk_archive_metadata(a, "general.type"), "imatrix");
    CHECK_STR(wk_archive_meta(a, "imatrix.datasets", 0).list ? "a list" : "", "a list");
    for (size_t i = 0; i < WK_COUNT(keys); i++)
        CHECK_INT(wk_archive_meta(a, keys[i], 0).integer, wk_archive_meta(b, keys[i], 0).integer);
    CHECK(wk_archive_count(b) > 20);
    CHECK_INT(wk_archive_count(a), wk_archive_count(b));
    for (int i = 0; i < wk_archive_count(b) && wk_ok(); i++) {
        const char *name = wk_archive_name(b, i);
        wk_tensor  *x = wk_archive_get(a, name), *want = wk_archive_get(b, name);
        wk_tensor  *off = wk_div(wk_abs(wk_sub(x, want)), want);
        CHECK_MSG(wk_rank(x) == wk_rank(want), "%s", name);
        CHECK_MSG(wk_item(wk_max(off)) < 2e-5, "%s: %s", golden, name);
    }
    wk_archive_free(a);
    wk_archive_free(b);
}

TEST(importance_as_by_llama_imatrix)
{
    static const struct {
        const char *name;
        int64_t     size, chunks;
        bool        begins;
    } cases[] = {
        { "llama", 32, 0, false },
        { "llama_llama3", 16, 3, true },
        { "qwen2", 20, 0, true },
        { "qwen3", 0, 0, false }, /* the model's context, which is 64 */
    };
    char path[1024], model[1024], golden[200];
    for (size_t i = 0; i < WK_COUNT(cases); i++) {
        wk_scope scope = wk_mark();
        int64_t  windows = 0, size = cases[i].size;
        snprintf(model, sizeof model, GOLDEN "%s.gguf", cases[i].name);
        if (cases[i].begins) {
            char from[1024];
            memcpy(from, model, sizeof from);
            change(from, test_temporary("begins.gguf", model), NULL);
        }
        snprintf(golden, sizeof golden, GOLDEN "imatrix/%s-%d-%d-%d.gguf", cases[i].name,
                 size ? (int)size : 64, (int)cases[i].chunks, cases[i].begins);
        wk_model *m = wk_model_open(model);
        CHECK_MSG(wk_imatrix_measure(m, texts, test_temporary("imatrix.gguf", path), size,
                                     cases[i].chunks, &windows),
                  "%s", wk_message());
        CHECK_INT(windows, cases[i].chunks ? cases[i].chunks : 200 / (size ? size : 64));
        check_same(path, golden);
        wk_model_free(m);
        wk_sweep(scope);
    }
}

TEST(importance_that_cannot_be_measured)
{
    static const char *const none[] = { GOLDEN "imatrix/nothing.txt", NULL };
    char                     path[1024], other[1100];
    wk_model                *m = wk_model_open(GOLDEN "llama.gguf");
    test_temporary("imatrix.gguf", path);
    CHECK(!wk_imatrix_measure(m, texts, path, 201));
    CHECK_ERROR("the longest text has 200 tokens, a window has 201");
    CHECK(!wk_imatrix_measure(m, none, path));
    CHECK_ERROR("nothing.txt");
    CHECK(!wk_imatrix_measure(m, none + 1, path));
    CHECK_ERROR("a model, a text and a file");
    CHECK(!wk_imatrix_measure(NULL, texts, path));
    CHECK_ERROR("a model, a text and a file");
    snprintf(other, sizeof other, "%s/none/x.gguf", path);
    CHECK(!wk_imatrix_measure(m, texts, other, 32));
    CHECK_ERROR("none/x.gguf");
    CHECK(wk_write_file(test_temporary("empty.txt", other), "", 0));
    CHECK(!wk_imatrix_measure(m, (const char *const[]){ other, NULL }, path));
    CHECK_ERROR("has 0 tokens");
    wk_model_free(m);
    CHECK(!fopen(path, "r"));
}

/* What was seen by then is there, and is all that was seen of whole windows. */
TEST(importance_that_is_interrupted)
{
    char      path[1024];
    int64_t   windows = 0;
    wk_model *m = wk_model_open(GOLDEN "llama.gguf");
    wk_interrupt();
    CHECK(!wk_imatrix_measure(m, texts, test_temporary("imatrix.gguf", path), 32,
                              .windows = &windows));
    wk_resume();
    CHECK(wk_error() == WK_ERR_INTERRUPTED);
    CHECK_ERROR("interrupted after window 1");
    CHECK_INT(windows, 1);
    wk_archive *a = wk_archive_open(path);
    CHECK_INT(wk_archive_meta(a, "imatrix.chunk_count", 0).integer, 1);
    CHECK(wk_item(wk_archive_get(a, "blk.1.ffn_down.weight.counts")) == 32);
    wk_archive_free(a);
    wk_model_free(m);
}

TEST(importance_of_what_is_not_finite)
{
    char path[1024], model[1024];
    change(GOLDEN "llama.gguf", test_temporary("nan.gguf", model), "blk.1.ffn_norm.weight");
    wk_model *m = wk_model_open(model);
    CHECK(!wk_imatrix_measure(m, texts, test_temporary("imatrix.gguf", path), 32));
    CHECK_ERROR("what goes into blk.1.ffn_gate.weight is not finite");
    wk_model_free(m);
    CHECK(!fopen(path, "r"));
}

static int weighed;

static void count(const wk_quantize_step *step, void *user)
{
    (void)user;
    weighed += step->weighed;
}

/* Types of so few bits that they need one, in a model whose rows are whole blocks. */
TEST(quantizing_with_what_was_measured)
{
    static const char config[] =
        "{\"model_type\": \"llama\", \"hidden_size\": 256, \"num_hidden_layers\": 2,"
        "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"intermediate_size\": 256,"
        "\"vocab_size\": 48, \"max_position_embeddings\": 64}";
    static const char *const types[] = { "iq1_s", "iq1_m",  "iq2_xxs", "iq2_xs",
                                         "iq2_s", "q2_k_s", "iq3_xxs", "q4_k_m" };
    char                     folder[1024], path[1100], matrix[1024], out[1024];
    wk_seed(3);
    wk_model *m = wk_model_open(NULL, .config = config);
    wk_file  *f = wk_file_open(GOLDEN "tokenizer.json");
    mkdir(test_temporary("folder", folder), 0777);
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    CHECK(wk_model_save(m, folder) && wk_write_file(path, f->data, f->size));
    wk_file_release(f);
    wk_model_free(m);
    m = wk_model_open(folder);
    CHECK_MSG(wk_imatrix_measure(m, texts, test_temporary("imatrix.gguf", matrix), 50), "%s",
              wk_message());
    wk_model_free(m);
    test_temporary("out.gguf", out);
    CHECK(!wk_quantize(folder, out, "iq2_xxs"));
    CHECK_ERROR("needs an importance matrix");
    for (size_t i = 0; i < WK_COUNT(types); i++) {
        wk_scope scope = wk_mark();
        weighed = 0;
        CHECK_MSG(wk_quantize(folder, out, types[i], matrix, .on_tensor = count), "%s: %s",
                  types[i], wk_message());
        CHECK_INT(weighed, 14);
        m = wk_model_open(out);
        wk_session *s = wk_session_new(m);
        wk_tensor  *y = wk_session_push(s, 5);
        CHECK_MSG(wk_item(wk_all(wk_isfinite(y))) == 1, "%s", types[i]);
        wk_session_free(s);
        wk_model_free(m);
        wk_sweep(scope);
    }
}
