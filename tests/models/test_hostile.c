// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_hostile.c - model folders that are damaged or lie: an error that names the file
 * and what is wrong with it.  And one model in the hands of several threads. */
#include "test.h"

#include "../src/base/base.h"

#include <wick/wick.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LLAMA "tests/golden/models/llama/"

static char folder[1024];

static void put(const char *name, const void *data, size_t size)
{
    char path[1200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb"); /* wk_write_file() waits for the disk */
    CHECK(f && fwrite(data, 1, size, f) == size && !fclose(f));
}

static void copy(const char *from, const char *name)
{
    wk_file *f = wk_file_open(from);
    if (f)
        put(name, f->data, f->size);
    wk_file_release(f);
    CHECK(wk_ok());
}

static void make_folder(void)
{
    test_temporary("model", folder);
    mkdir(folder, 0777);
    copy(LLAMA "config.json", "config.json");
    copy(LLAMA "model.safetensors", "model.safetensors");
}

/* Whatever was opened must compute. */
static void use(wk_model *m)
{
    static const int32_t tokens[] = { 3, 4, 5 };
    wk_scope             scope = wk_mark();
    wk_sampler_args      sampling = wk_model_sampling(m);
    if (m)
        wk_generate(m, .tokens = tokens, .token_count = 3, .max_tokens = 2, .sampling = sampling);
    wk_clear();
    wk_model_free(m);
    wk_sweep(scope);
}

/* ---- config.json -------------------------------------------------------- */

/* The config of the tiny Llama with "key": value in place of what it has. */
static void with_value(const char *key, const char *value, const char *error)
{
    wk_buf   b = { 0 };
    wk_file *f = wk_file_open(LLAMA "config.json");
    wk_json  j;
    wk_str   name;
    wk_buf_printf(&b, "{%s%s%s%s", *key ? "\"" : "", key, *key ? "\": " : "", value);
    wk_json_open(&j, f->path, f->data, f->size);
    for (wk_json_object(&j); wk_json_key(&j, &name);) {
        bool        same = wk_str_is(name, key);
        wk_buf      kept = { 0 };
        const char *start;
        wk_buf_str(&kept, name);
        wk_json_peek(&j);
        start = j.at;
        wk_json_skip(&j);
        if (!same)
            wk_buf_printf(&b, "%s\"%s\": %.*s", b.size > 1 ? ", " : "", kept.data,
                          (int)(j.at - start), start);
        wk_buf_free(&kept);
    }
    wk_json_close(&j);
    wk_buf_char(&b, '}');
    wk_file_release(f);
    put("config.json", b.data, b.size);
    wk_model *m = wk_model_open(folder);
    if (error) {
        CHECK_MSG(!m, "accepted: %s: %s", key, value);
        CHECK_MSG(m || strstr(wk_message(), "config.json") || strstr(wk_message(), "model."),
                  "no file in: %s", wk_message());
        CHECK_ERROR(error);
    } else {
        CHECK_MSG(m != NULL, "refused: %s: %s", key, value);
    }
    wk_clear();
    wk_model_free(m);
    wk_buf_free(&b);
}

TEST(sizes_that_cannot_be)
{
    static const char *const sizes[] = { "hidden_size",
                                         "num_hidden_layers",
                                         "num_attention_heads",
                                         "num_key_value_heads",
                                         "intermediate_size",
                                         "vocab_size",
                                         "head_dim",
                                         "max_position_embeddings" };
    static const char *const values[] = { "0",      "-1",    "0.5",
                                          "\"16\"", "true",  "[16]",
                                          "1e18",   "1e300", "9223372036854775807",
                                          "-1e-300" };
    make_folder();
    with_value("hidden_act", "\"silu\"", NULL);
    for (size_t i = 0; i < WK_COUNT(sizes); i++) {
        for (size_t k = 0; k < WK_COUNT(values); k++)
            with_value(sizes[i], values[k], ""); /* which error it is depends */
        if (strcmp(sizes[i], "max_position_embeddings"))
            with_value(sizes[i], "2147483647", "");
    }
    with_value("hidden_size", "null", "hidden_size is missing");
    with_value("hidden_size", "\"16\"", "config.json: hidden_size is not a number");
    with_value("hidden_size", "0.5", "config.json: hidden_size is not an integer");
    with_value("vocab_size", "-3", "config.json: vocab_size is -3");
    with_value("num_key_value_heads", "3", "heads for 3");
    with_value("num_hidden_layers", "10001", "10001 layers");
    with_value("vocab_size", "1000", "embed_tokens.weight");
}

TEST(numbers_that_change_the_mathematics)
{
    make_folder();
    with_value("rms_norm_eps", "-1", "rms_norm_eps is -1");
    with_value("rms_norm_eps", "1e300", "rms_norm_eps is 1e+300");
    with_value("rms_norm_eps", "\"small\"", "rms_norm_eps is not a number");
    with_value("partial_rotary_factor", "1e300", "partial_rotary_factor is 1e+300");
    with_value("partial_rotary_factor", "-0.5", "partial_rotary_factor is -0.5");
    with_value("partial_rotary_factor", "0", "partial_rotary_factor is 0");
    with_value("rope_parameters", "{\"rope_theta\": -1}", "rope_theta -1");
    with_value("rope_parameters", "{\"rope_theta\": 0}", "rope_theta 0");
    with_value("rope_scaling", "{\"rope_type\": \"linear\", \"factor\": 0}", "no usable factor");
    with_value("rope_scaling", "{\"rope_type\": \"linear\", \"factor\": -2}", "no usable factor");
    with_value("rope_scaling", "{\"rope_type\": \"longrope\", \"factor\": 2}", "short_factor");
    with_value("rope_scaling",
               "{\"rope_type\": \"longrope\", \"short_factor\": [1], \"long_factor\": [1]}",
               "has not");
    with_value("rope_scaling", "{\"rope_type\": [], \"factor\": 2}", "");
    with_value("rope_scaling", "{\"rope_type\": \"spiral\"}", "spiral");
    with_value("attention_multiplier", "0.5", "attention_multiplier is not understood");
    with_value("model_type", "7", "model_type is not a text");
    with_value("model_type", "\"\"", "is not known");
    with_value("tie_word_embeddings", "1", "tie_word_embeddings is not true or false");
    with_value("eos_token_id", "1099511627776", "eos_token_id is 1099511627776");
    with_value("eos_token_id", "[1, \"x\"]", "eos_token_id.1 is not a number");
    with_value("eos_token_id", "null", NULL);
    with_value("", "\"hidden_size\": 16", "hidden_size"); /* twice */
}

static void damaged(const char *name, const char *text, size_t stride)
{
    size_t n = strlen(text);
    char  *bytes = malloc(n);
    memcpy(bytes, text, n);
    for (size_t size = 0; size < n; size++) {
        put(name, bytes, size);
        wk_model *m = wk_model_open(folder);
        CHECK_MSG(!m && strstr(wk_message(), name), "%d bytes of %s: %s", (int)size, name,
                  wk_message());
        wk_clear();
        wk_model_free(m);
    }
    for (size_t bit = 0; bit < 8 * n; bit += stride) {
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        put(name, bytes, n);
        use(wk_model_open(folder));
        bytes[bit / 8] ^= (char)(1 << bit % 8);
    }
    put(name, bytes, n);
    free(bytes);
}

TEST(damaged_configs_do_no_harm)
{
    make_folder();
    damaged(
        "config.json",
        "{\"model_type\":\"llama\",\"hidden_size\":16,\"vocab_size\":32,\"num_hidden_layers\":2,"
        "\"intermediate_size\":24,\"num_attention_heads\":4,\"num_key_value_heads\":2}",
        3);
    make_folder();
    damaged("generation_config.json",
            "{\"do_sample\":true,\"temperature\":0.5,\"top_k\":5,\"eos_token_id\":[2,3]}", 13);
}

TEST(generation_configs_that_lie)
{
    static const char *const bad[][2] = {
        { "[]", "expected an object" },
        { "{\"eos_token_id\": \"x\"}", "eos_token_id is not a number" },
        { "{\"do_sample\": true, \"top_k\": 1e10}", "top_k is 10000000000" },
        { "{\"do_sample\": true, \"temperature\": \"hot\"}", "temperature is not a number" },
        { "{\"do_sample\": 1}", "do_sample is not true or false" },
        { "{\"repetition_penalty\": []}", NULL }, /* says nothing: the list is empty */
    };
    make_folder();
    for (size_t i = 0; i < WK_COUNT(bad); i++) {
        put("generation_config.json", bad[i][0], strlen(bad[i][0]));
        wk_model *m = wk_model_open(folder);
        if (bad[i][1]) {
            CHECK(!m && strstr(wk_message(), "generation_config.json"));
            CHECK_ERROR(bad[i][1]);
        } else {
            CHECK(m != NULL);
        }
        wk_model_free(m);
    }
    /* More ends than there is room for: the first ones count. */
    static const char many[] = "{\"eos_token_id\": [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}";
    put("generation_config.json", many, sizeof many - 1);
    wk_model *m = wk_model_open(folder);
    CHECK(wk_model_is_end(m, 16));
    wk_model_free(m);
}

/* ---- Threads ------------------------------------------------------------ */

typedef struct {
    wk_model *model;
    int32_t   first, answer[12];
    int       count;
    bool      good;
} reader;

static bool note(int32_t id, void *user)
{
    reader *r = user;
    if (r->count < 12)
        r->answer[r->count++] = id;
    return true;
}

static bool ignore(const char *text, void *user) { return (void)user, text != NULL; }

static void *read_on(void *arg)
{
    reader *r = arg;
    r->count = 0;
    wk_generate(r->model, .tokens = (int32_t[]){ r->first, 4, 5 }, .token_count = 3,
                .max_tokens = 12, .ignore_end = true, .on_token = note, .on_text = ignore,
                .user = r);
    r->good = wk_ok() && r->count == 12;
    wk_clear();
    return NULL;
}

/* Four threads, each with a session of its own, answer as one alone. */
TEST(threads_share_a_model)
{
    enum { THREADS = 4, ROUNDS = 5 };
    reader    alone[THREADS], together[THREADS];
    pthread_t thread[THREADS];
    make_folder();
    copy("tests/golden/models/tokenizer.json", "tokenizer.json");
    wk_model *m = wk_model_open(folder);
    for (int i = 0; i < THREADS; i++) {
        alone[i] = together[i] = (reader){ .model = m, .first = 3 + i };
        read_on(&alone[i]);
        CHECK(alone[i].good);
    }
    wk_model_free(m);
    for (int round = 0; round < ROUNDS; round++) {
        m = wk_model_open(folder); /* its tokenizer is opened by whoever is first */
        for (int i = 0; i < THREADS; i++) {
            together[i].model = m;
            CHECK(!pthread_create(&thread[i], NULL, read_on, &together[i]));
        }
        for (int i = 0; i < THREADS; i++) {
            pthread_join(thread[i], NULL);
            CHECK(together[i].good);
            CHECK_MSG(!memcmp(together[i].answer, alone[i].answer, sizeof alone[i].answer),
                      "thread %d answers otherwise among others", i);
        }
        wk_model_free(m);
    }
}
