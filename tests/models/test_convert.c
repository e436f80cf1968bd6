// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_convert.c - folders to GGUF files and back: against transformers' logits, against the
 * files of llama.cpp's converter, and bit for bit against where they came from. */
#include "test.h"

#include "../src/base/base.h"
#include "../src/text/gguf_values.h"
#include <wick/wick.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MODELS "tests/golden/models/"

static const struct {
    const char *name, *weights;
    bool        reference; /* there is a file of llama.cpp's converter */
} cases[] = {
    { "llama", "llama", true },           { "llama_mha_tied_bias", "llama_mha_tied_bias", true },
    { "llama_theta", "llama", false },    { "llama_linear", "llama", true },
    { "llama_yarn", "llama", true },      { "llama_llama3", "llama", true },
    { "mistral_full", "mistral", false }, { "qwen2", "qwen2", true },
    { "qwen3", "qwen3", true },
};

static void copy_file(const char *from, const char *folder, const char *name)
{
    char     to[1200];
    wk_file *f = wk_file_open(from);
    snprintf(to, sizeof to, "%s/%s", folder, name);
    CHECK_MSG(f && wk_write_file(to, f->data, f->size), "%s", from);
    wk_file_release(f);
}

static const char *assemble(const char *name, const char *weights, char folder[1024])
{
    char from[300];
    mkdir(test_temporary(name, folder), 0777);
    snprintf(from, sizeof from, MODELS "%s/config.json", name);
    copy_file(from, folder, "config.json");
    snprintf(from, sizeof from, MODELS "%s/model.safetensors", weights);
    copy_file(from, folder, "model.safetensors");
    copy_file(MODELS "tokenizer.json", folder, "tokenizer.json");
    return folder;
}

static void check_logits(const char *path, const char *name)
{
    char golden[300];
    snprintf(golden, sizeof golden, MODELS "%s/golden.safetensors", name);
    wk_archive *a = wk_archive_open(golden);
    wk_model   *m = wk_model_open(path);
    wk_tensor  *want = wk_archive_get(a, "logits");
    wk_tensor  *got = wk_model_logits(m, wk_archive_get(a, "ids"));
    double      error = wk_item(wk_max(wk_abs(wk_sub(got, want)))) / wk_item(wk_max(wk_abs(want)));
    CHECK_MSG(error < 1e-4, "%s: off by %g", name, error);
    wk_model_free(m);
    wk_archive_free(a);
}

/* Every tensor of a is in b, with the same bits. */
static void check_same(const char *a_path, const char *b_path)
{
    wk_archive *a = wk_archive_open(a_path), *b = wk_archive_open(b_path);
    for (int i = 0; wk_ok() && i < wk_archive_count(a); i++) {
        wk_tensor *x = wk_archive_get(a, wk_archive_name(a, i));
        wk_tensor *y = wk_archive_get(b, wk_archive_name(a, i));
        bool       near = !strcmp(wk_archive_name(a, i), "rope_freqs.weight");
        CHECK_MSG(x && y && wk_bytes(x) == wk_bytes(y), "%s", wk_archive_name(a, i));
        if (near) /* the reference rounds frequencies to f32 before */
            CHECK(wk_item(wk_max(wk_abs(wk_sub(x, y)))) < 1e-5);
        else
            CHECK_MSG(x && y && !memcmp(wk_data(x), wk_data(y), wk_bytes(x)), "%s",
                      wk_archive_name(a, i));
    }
    CHECK_INT(wk_archive_count(a), wk_archive_count(b));
    wk_archive_free(a);
    wk_archive_free(b);
}

/* What the reference says of the architecture, ours does. */
static void check_values(const char *reference, const char *path)
{
    wk_archive *a = wk_archive_open(reference), *b = wk_archive_open(path);
    const char *key;
    for (int i = 0; (key = wk_archive_metadata_key(a, i)); i++) {
        wk_meta x = wk_archive_meta(a, key, 0), y = wk_archive_meta(b, key, 0);
        if (!strcmp(key, "general.size_label") || !strncmp(key, "tokenizer.ggml.", 15))
            continue;
        CHECK_MSG(x.type == y.type && x.number == y.number &&
                      (x.type != WK_META_TEXT || !strcmp(x.text, y.text)),
                  "%s: %s is %g, not %g", path, key, y.number, x.number);
    }
    wk_archive_free(a);
    wk_archive_free(b);
}

TEST(folders_to_gguf_and_back)
{
    for (size_t i = 0; i < WK_COUNT(cases) && wk_ok(); i++) {
        char     folder[1024], file[1024], back[1024], one[1200], two[1200], name[100];
        wk_scope scope = wk_mark();
        assemble(cases[i].name, cases[i].weights, folder);
        snprintf(name, sizeof name, "%s.gguf", cases[i].name);
        test_temporary(name, file);
        CHECK_MSG(wk_convert(folder, file), "%s: %s", cases[i].name, wk_message());
        check_logits(file, cases[i].name);
        snprintf(one, sizeof one, MODELS "%s.gguf", cases[i].name);
        if (cases[i].reference) {
            check_same(one, file);
            check_values(one, file);
        }
        snprintf(name, sizeof name, "%s.back", cases[i].name);
        CHECK(wk_convert(file, test_temporary(name, back)));
        snprintf(one, sizeof one, "%s/model.safetensors", folder);
        snprintf(two, sizeof two, "%s/model.safetensors", back);
        check_same(one, two);
        check_logits(back, cases[i].name);
        snprintf(two, sizeof two, "%s/tokenizer.json", back);
        CHECK(wk_path_is_file(two));
        CHECK_MSG(wk_ok(), "%s", cases[i].name);
        wk_sweep(scope);
    }
}

TEST(what_a_gguf_file_cannot_say)
{
    static const char *const bad[] = { "llama_dynamic", "llama_longrope", "llama_yarn_mscale" };
    char                     folder[1024], file[1024];
    test_temporary("out.gguf", file);
    for (size_t i = 0; i < WK_COUNT(bad); i++) {
        CHECK(!wk_convert(assemble(bad[i], "llama", folder), file));
        CHECK_ERROR("rope scaling cannot be said");
        CHECK(!wk_path_is_file(file));
    }
    CHECK(!wk_convert(assemble("llama_head_dim", "llama_head_dim", folder), file));
    CHECK_ERROR("hidden_act cannot be said");
    CHECK(!wk_convert(MODELS "llama.gguf", "out.npz"));
    CHECK_ERROR("GGUF files, safetensors files and folders are written");
    CHECK(!wk_convert(MODELS "llama.gguf", "x.gguf", WK_Q4_0));
    CHECK_ERROR("q4_0 is quantized");
    CHECK(!wk_convert("tests/golden/gguf/types.gguf", folder));
    CHECK_ERROR("\"test\" is not known");
}

/* Through blocks: close to what they hold, in the order that transformers has. */
TEST(quantized_models_back_to_folders)
{
    char     file[1024], folder[1024], path[1200];
    wk_scope scope = wk_mark();
    CHECK(wk_quantize(MODELS "llama.gguf", test_temporary("q.gguf", file), "f16",
                      .overrides = (const char *[]){ "attn_q=bf16", NULL }));
    CHECK(wk_convert(file, test_temporary("q", folder), WK_F32));
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    wk_archive *a = wk_archive_open(path);
    wk_archive *b = wk_archive_open(MODELS "llama/model.safetensors");
    for (int i = 0; i < wk_archive_count(b); i++) {
        const char *name = wk_archive_name(b, i);
        CHECK_STR(wk_archive_dtype(a, wk_archive_find(a, name)), "F32");
        CHECK_MSG(wk_item(wk_max(
                      wk_abs(wk_sub(wk_archive_get(a, name), wk_archive_get(b, name))))) < 0.01,
                  "%s", name);
    }
    wk_archive_free(a);
    wk_archive_free(b);
    wk_sweep(scope);
}

/* The order of rows that rope turns is undone without a change to the blocks: a folder of f32
 * gives the very numbers that the quantized file has. */
TEST(blocks_keep_their_numbers_where_rows_move)
{
    static const char config[] =
        "{\"model_type\": \"llama\", \"hidden_size\": 64, \"num_hidden_layers\": 1,"
        "\"num_attention_heads\": 2, \"num_key_value_heads\": 1, \"intermediate_size\": 96,"
        "\"vocab_size\": 32, \"max_position_embeddings\": 64}";
    char      folder[1024], file[1024], back[1024];
    wk_scope  scope = wk_mark();
    wk_model *m = wk_model_open(NULL, .config = config);
    CHECK(wk_model_save(m, test_temporary("whole", folder)));
    wk_model_free(m);
    CHECK(wk_quantize(folder, test_temporary("q.gguf", file), "q8_0", .pure = true));
    CHECK(wk_convert(file, test_temporary("back", back), WK_F32));
    wk_tensor *ids = wk_randint_of(WK_SHAPE(2, 20), 0, 32), *y[2];
    for (int i = 0; i < 2; i++) {
        m = wk_model_open(i ? back : file, .train = true); /* no panels: sums are in f32 */
        y[i] = wk_model_logits(m, ids);
        CHECK(m && y[i]);
        wk_tensor *q = wk_store_find(wk_model_store(m), i ? "model.layers.0.self_attn.q_proj.weight"
                                                          : "blk.0.attn_q.weight");
        CHECK_INT(wk_dtype_of(q), i ? WK_F32 : WK_Q8_0);
        wk_keep(y[i]);
        wk_model_free(m);
    }
    CHECK(wk_item(wk_max(wk_abs(wk_sub(y[0], y[1])))) <= 1e-5 * wk_item(wk_max(wk_abs(y[1]))));
    wk_drop(y[0]), wk_drop(y[1]);
    wk_sweep(scope);
}

TEST(models_of_gguf_files_are_saved_as_folders)
{
    char      folder[1024];
    wk_model *m = wk_model_open(MODELS "llama.gguf");
    CHECK(wk_model_save(m, test_temporary("saved", folder)));
    wk_model_free(m);
    check_logits(folder, "llama");
    m = wk_model_open(MODELS "qwen3/model.safetensors"); /* no model */
    CHECK(!m);
    wk_clear();
}

TEST(tensors_between_safetensors_and_gguf)
{
    char one[1024], two[1024];
    CHECK(wk_convert(MODELS "qwen2/model.safetensors", test_temporary("t.gguf", one)));
    CHECK(wk_convert(one, test_temporary("t.safetensors", two)));
    check_same(MODELS "qwen2/model.safetensors", two);
    CHECK(wk_convert(one, two, WK_BF16));
    wk_archive *a = wk_archive_open(two);
    CHECK_STR(wk_archive_dtype(a, wk_archive_find(a, "lm_head.weight")), "BF16");
    wk_archive_free(a);
}

/* The tokens of a real folder are the same by tokenizer.json and by tokenizer.ggml.*. */
TEST(vocabulary_of_a_folder_in_a_gguf_file)
{
    static const char *const texts[] = { "One day, Lily went to the park.", " two  blanks ",
                                         "caf\xC3\xA9 \xF0\x9F\x99\x82\n\ttabs", "" };
    char                     folder[1024], file[1024];
    wk_values                v = { 0 };
    if (!test_shared("models/stories260K", folder))
        return;
    CHECK(wk_vocabulary_values(&v, folder, 512));
    CHECK(wk_gguf_save(test_temporary("vocab.gguf", file), .value_count = (int)v.count,
                       .values = v.at));
    wk_values_free(&v);
    wk_tokenizer *a = wk_tokenizer_open(folder), *b = wk_tokenizer_open(file);
    for (size_t i = 0; i < WK_COUNT(texts); i++) {
        wk_tokens x = { 0 }, y = { 0 };
        CHECK(wk_encode(&x, a, texts[i], .no_special = true));
        CHECK(wk_encode(&y, b, texts[i], .no_special = true));
        CHECK_MSG(x.count == y.count && (!x.count || !memcmp(x.id, y.id, x.count * sizeof *x.id)),
                  "%s", texts[i]);
        wk_tokens_free(&x);
        wk_tokens_free(&y);
    }
    wk_tokenizer_free(a);
    wk_tokenizer_free(b);
}

TEST(vocabularies_that_gguf_does_not_say)
{
    static const char *const bad[] = {
        "{\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\", 0]]}}",
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": [\"\"]}}",
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 9}, \"merges\": []}}",
        "{\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"x\"}}, \"model\": "
        "{\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": []}}",
        "{\"added_tokens\": [{\"id\": -1, \"content\": \"\"}], \"model\": {\"type\": \"BPE\", "
        "\"byte_fallback\": true, \"vocab\": {\"a\": 0}, \"merges\": [[\"a\", \"a\"]]}}",
        "{\"model\": 3}",
        "{\"model\": {\"vocab\": {\"a\": \"b\"}}}",
    };
    char folder[1024], path[1200];
    mkdir(test_temporary("vocabulary", folder), 0777);
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    for (size_t i = 0; i < WK_COUNT(bad); i++) {
        wk_values v = { 0 };
        CHECK(wk_write_file(path, bad[i], strlen(bad[i])));
        CHECK_MSG(!wk_vocabulary_values(&v, folder, 4), "%s", bad[i]);
        CHECK_INT(v.count, 0);
        wk_clear();
        wk_values_free(&v);
    }
}
