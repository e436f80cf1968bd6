// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_models.c - decoders against what transformers computed from the same tiny random
 * checkpoints (tests/golden/make_models.py), and against themselves: a cache must give
 * what the whole text gives, a batch what its parts give. */
#include "test.h"

#include "../src/base/base.h"

#include <wick/wick.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { ANSWER = 12, PROMPT = 9 };

typedef struct {
    char    name[64], weights[64];
    int32_t answer[ANSWER];
} golden_case;

static bool next_case(FILE *f, golden_case *c)
{
    if (fscanf(f, "%63s %63s", c->name, c->weights) != 2)
        return false;
    for (int i = 0; i < ANSWER; i++)
        if (fscanf(f, "%d", &c->answer[i]) != 1)
            return false;
    return true;
}

static void copy_file(const char *from, const char *to)
{
    char  buffer[4096];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    for (size_t n; in && out && (n = fread(buffer, 1, sizeof buffer, in));)
        CHECK(fwrite(buffer, 1, n, out) == n);
    CHECK_MSG(in && out, "cannot copy %s", from);
    if (in)
        fclose(in);
    if (out)
        fclose(out);
}

/* config.json of the case and the weights it shares, in one folder. */
static const char *assemble(const golden_case *c, char folder[1024])
{
    char from[300], to[1200];
    test_temporary(c->name, folder);
    mkdir(folder, 0777);
    snprintf(from, sizeof from, "tests/golden/models/%s/config.json", c->name);
    snprintf(to, sizeof to, "%s/config.json", folder);
    copy_file(from, to);
    snprintf(from, sizeof from, "tests/golden/models/%s/model.safetensors", c->weights);
    snprintf(to, sizeof to, "%s/model.safetensors", folder);
    copy_file(from, to);
    return folder;
}

/* The largest difference over the largest magnitude. */
static double relative_error(wk_tensor *a, wk_tensor *b)
{
    double far = wk_item(wk_max(wk_abs(wk_sub(a, b))));
    return far / wk_item(wk_max(wk_abs(b)));
}

typedef void (*case_fn)(const golden_case *c, const char *folder, wk_tensor *ids,
                        wk_tensor *logits);

static void each_case(case_fn fn)
{
    FILE       *f = fopen("tests/golden/models/cases.txt", "r");
    golden_case c;
    int         n = 0;
    while (f && next_case(f, &c)) {
        char     folder[1024], path[1200];
        wk_scope scope = wk_mark();
        assemble(&c, folder);
        snprintf(path, sizeof path, "tests/golden/models/%s/golden.safetensors", c.name);
        wk_archive *a = wk_archive_open(path);
        fn(&c, folder, wk_archive_get(a, "ids"), wk_archive_get(a, "logits"));
        CHECK_MSG(wk_ok(), "%s", c.name);
        wk_clear();
        wk_archive_free(a);
        wk_sweep(scope);
        n++;
    }
    if (f)
        fclose(f);
    CHECK(n >= 17);
}

/* ---- Against transformers ----------------------------------------------- */

static void compare_logits(const golden_case *c, const char *folder, wk_tensor *ids,
                           wk_tensor *want)
{
    wk_model *m = wk_model_open(folder);
    double    error = relative_error(wk_model_logits(m, ids), want);
    CHECK_MSG(error < 1e-4, "%s: off by %g", c->name, error);
    wk_model_free(m);
}

TEST(logits_are_those_of_transformers) { each_case(compare_logits); }

/* With weights of bf16 as close to the same in f32 as transformers is, which computes all
 * of it in bf16. */
static void compare_rounded(const golden_case *c, const char *folder, wk_tensor *ids,
                            wk_tensor *want)
{
    char path[300];
    if (strcmp(c->name, c->weights))
        return;
    snprintf(path, sizeof path, "tests/golden/models/%s/golden.safetensors", c->name);
    wk_archive *a = wk_archive_open(path);
    wk_model   *m = wk_model_open(folder, .dtype = WK_BF16);
    wk_tensor  *got = wk_model_logits(m, wk_narrow(ids, 0, 0, 1));
    wk_tensor  *exact = wk_archive_get(a, "logits_bf16");
    double      error = relative_error(got, exact);
    double      bound = 1.5 * wk_item(wk_archive_get(a, "error_bf16"));
    CHECK_MSG(error < bound, "%s: off by %g", c->name, error);
    CHECK(relative_error(got, wk_narrow(want, 0, 0, 1)) > 1e-3); /* they were rounded */
    CHECK_INT(wk_model_describe(m).dtype, WK_BF16);

    int64_t all[80];
    int32_t row[40];
    wk_to_i64(ids, all);
    for (int i = 0; i < 40; i++)
        row[i] = (int32_t)all[i];
    wk_session *s = wk_session_new(m, .chunk = 16); /* with a cache of bf16 */
    error = relative_error(wk_session_sync(s, row, 40), wk_select(wk_select(exact, 0, 0), 0, 39));
    CHECK_MSG(error < bound, "%s: cached off by %g", c->name, error);
    wk_session_free(s);
    wk_model_free(m);
    wk_archive_free(a);
}

TEST(weights_of_bf16_cost_no_more_than_in_transformers) { each_case(compare_rounded); }

static void compare_answer(const golden_case *c, const char *folder, wk_tensor *ids,
                           wk_tensor *want)
{
    int64_t all[80];
    int32_t prompt[PROMPT];
    (void)want;
    wk_to_i64(ids, all);
    for (int i = 0; i < PROMPT; i++)
        prompt[i] = (int32_t)all[i];
    wk_model   *m = wk_model_open(folder);
    wk_session *s = wk_session_new(m);
    wk_tensor  *logits = wk_session_sync(s, prompt, PROMPT);
    for (int i = 0; i < ANSWER && wk_ok(); i++) {
        int32_t token = (int32_t)wk_item_i64(wk_argmax(logits));
        CHECK_MSG(token == c->answer[i], "%s: token %d is %d, not %d", c->name, i, token,
                  c->answer[i]);
        logits = wk_session_push(s, token);
    }
    wk_session_free(s);
    wk_model_free(m);
}

TEST(greedy_answers_are_those_of_transformers) { each_case(compare_answer); }

/* ---- Against itself ----------------------------------------------------- */

static void compare_cached(const golden_case *c, const char *folder, wk_tensor *ids,
                           wk_tensor *want)
{
    int64_t all[80];
    int32_t row[2][40];
    if (!strcmp(c->name, "llama_dynamic"))
        return; /* its frequencies change with the length: old keys stay as they were */
    wk_to_i64(ids, all);
    for (int i = 0; i < 80; i++)
        row[i / 40][i % 40] = (int32_t)all[i];
    wk_model   *m = wk_model_open(folder);
    wk_session *a = wk_session_new(m), *b = wk_session_new(m, .chunk = 7);

    wk_session_sync(a, row[0], 20);
    wk_tensor *got = wk_session_sync(a, row[0], 40); /* in two parts, the first is kept */
    CHECK_NEAR(relative_error(got, wk_select(wk_select(want, 0, 0), 0, 39)), 0, 1e-4);
    CHECK_INT(wk_session_length(a), 40);

    wk_session_sync(b, row[1], 17); /* in chunks of 7 */
    got = wk_session_all_logits(b, row[1] + 17, 6);
    CHECK_NEAR(relative_error(got, wk_narrow(wk_select(want, 0, 1), 0, 17, 6)), 0, 1e-4);

    /* both at once, with different lengths and different counts */
    wk_session_rewind(a, 30);
    wk_session_step steps[] = { { a, row[0] + 30, 3 }, { b, row[1] + 23, 1 } };
    got = wk_session_batch(steps, 2);
    wk_tensor *parts = wk_stack(0, wk_select(wk_select(want, 0, 0), 0, 32),
                                wk_select(wk_select(want, 0, 1), 0, 23));
    CHECK_NEAR(relative_error(got, parts), 0, 1e-4);
    /* another beginning: only what is common stays */
    row[0][5] = 7;
    wk_session_sync(a, row[0], 12);
    wk_session *fresh = wk_session_new(m);
    CHECK_NEAR(relative_error(wk_session_sync(a, row[0], 12), wk_session_sync(fresh, row[0], 12)),
               0, 1e-5);
    wk_session_free(fresh);
    wk_session_free(a);
    wk_session_free(b);
    wk_model_free(m);
}

TEST(cached_steps_and_batches_equal_the_whole) { each_case(compare_cached); }

TEST(context_is_a_limit)
{
    golden_case c = { .name = "llama", .weights = "llama" };
    char        folder[1024];
    int32_t     tokens[70] = { 1 };
    wk_model   *m = wk_model_open(assemble(&c, folder));
    wk_session *s = wk_session_new(m), *wide = wk_session_new(m, .context = 80);
    wk_session_sync(s, tokens, 64);
    CHECK(wk_ok());
    wk_session_push(s, 1);
    CHECK_ERROR("65 tokens do not fit into the context of 64");
    CHECK(wk_session_sync(wide, tokens, 70) != NULL);
    wk_session_free(s);
    wk_session_free(wide);
    wk_model_free(m);
}

/* ---- Training, saving --------------------------------------------------- */

TEST(a_model_trains_and_saves)
{
    static const char config[] =
        "{\"model_type\": \"llama\", \"hidden_size\": 16, \"vocab_size\": 20,"
        "\"intermediate_size\": 24, \"num_hidden_layers\": 2,"
        "\"num_attention_heads\": 4, \"num_key_value_heads\": 2,"
        "\"tie_word_embeddings\": true}";
    char      folder[1024];
    wk_model *m = wk_model_open(NULL, .config = config, .train = true);
    wk_optim *opt = wk_adamw_new(wk_model_store(m), .lr = 1e-2);
    int64_t   text[2][9];
    for (int i = 0; i < 18; i++)
        text[i / 9][i % 9] = (i * 7 + i / 9) % 20;
    wk_tensor *all = wk_from_i64(WK_SHAPE(2, 9), text[0]);
    wk_tensor *x = wk_narrow(all, 1, 0, 8), *y = wk_narrow(all, 1, 1, 8);
    double     first = 0, last = 0;
    for (int step = 0; step < 60 && wk_ok(); step++) {
        wk_scope   s = wk_mark();
        wk_tensor *loss = wk_cross_entropy(wk_model_logits(m, x), y);
        last = wk_item(loss);
        first = step ? first : last;
        wk_backward(loss);
        wk_step(opt);
        wk_sweep(s);
    }
    CHECK_NEAR(first, log(20), 0.5);
    CHECK(last < 0.1);
    wk_tensor *before = wk_copy(wk_detach(wk_model_logits(m, x)));
    CHECK(wk_model_save(m, test_temporary("saved", folder)));
    wk_optim_free(opt);
    wk_model_free(m);
    m = wk_model_open(folder);
    CHECK_NEAR(relative_error(wk_model_logits(m, x), before), 0, 1e-5);
    wk_model_free(m);
}

/* ---- What is refused ---------------------------------------------------- */

static void check_config(const char *changes, const char *error)
{
    char config[600];
    snprintf(config, sizeof config,
             "{\"hidden_size\": 16, \"vocab_size\": 20, \"intermediate_size\": 24,"
             "\"num_hidden_layers\": 1, \"num_attention_heads\": 4%s%s}",
             *changes ? ", " : "", changes);
    wk_model *m = wk_model_open(NULL, .config = config);
    if (error)
        CHECK_ERROR(error);
    CHECK(wk_ok());
    wk_model_free(m);
}

TEST(configs_that_are_not_understood)
{
#define LLAMA "\"model_type\": \"llama\""
    check_config(LLAMA, NULL);
    check_config("", "model_type \"\" is not known");
    check_config("\"model_type\": \"mamba\"", "model_type \"mamba\" is not known");
    check_config(LLAMA ", \"attn_logit_softcapping\": 50.0",
                 "attn_logit_softcapping is not understood");
    check_config(LLAMA ", \"attn_logit_softcapping\": null, \"clip_qkv\": false", NULL);
    check_config(LLAMA ", \"residual_multiplier\": 0.22", "residual_multiplier is not understood");
    check_config(LLAMA ", \"quantization_config\": {\"bits\": 4}", "quantization_config.bits");
    check_config(LLAMA ", \"rope_scaling\": {\"type\": \"spiral\", \"factor\": 2}",
                 "rope scaling: spiral");
    check_config(LLAMA ", \"rope_scaling\": {\"type\": \"linear\"}", "no usable factor");
    check_config(LLAMA ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2, \"new\": 1}",
                 "rope_scaling.new is not understood");
    check_config(LLAMA ", \"hidden_act\": \"xielu\"", "unknown hidden_act xielu");
    check_config(LLAMA ", \"num_key_value_heads\": 3", "4 heads for 3");
    check_config(LLAMA ", \"num_hidden_layers\": -1", "num_hidden_layers is -1");
    check_config(LLAMA ", \"hidden_size\": \"16\"", "hidden_size is not a number");
    check_config(LLAMA ", \"rope_theta\": 0", "rope_theta 0");
    check_config(LLAMA ", \"sliding_window\": 4", "sliding_window is not understood");
    check_config(LLAMA ", \"layer_types\": [\"full_attention\"]", NULL);
    check_config(LLAMA ", \"layer_types\": [\"sliding_attention\"]", "which llama has not");
#undef LLAMA
}

TEST(weights_that_do_not_fit)
{
    golden_case c = { .name = "llama_mha_tied_bias", .weights = "llama" };
    char        folder[1024];
    wk_model_open(assemble(&c, folder));
    CHECK_ERROR("model.layers.0.self_attn.k_proj.weight [8, 16] f32 should be [16, 16]");
    c = (golden_case){ .name = "llama", .weights = "llama_mha_tied_bias" };
    wk_model_open(assemble(&c, folder));
    CHECK_ERROR("self_attn.k_proj.weight");
    wk_model_open("tests/golden/nn");
    CHECK_ERROR("there is no model.safetensors in this folder, and no GGUF file");
    wk_model_open("tests/golden/nothing");
    CHECK_ERROR("tests/golden/nothing: no such file or folder");
}

/* ---- Faults ------------------------------------------------------------- */

static bool ignore_text(const char *text, void *user)
{
    (void)user;
    return text != NULL;
}

/* Open and generate, with each allocation failing in turn. */
TEST(every_allocation_of_open_and_generate_may_fail)
{
    golden_case c = { .name = "llama", .weights = "llama" };
    char        folder[1024], to[1200];
    assemble(&c, folder);
    snprintf(to, sizeof to, "%s/tokenizer.json", folder);
    copy_file("tests/golden/models/tokenizer.json", to);
    for (long n = -1;; n++) { /* the first round makes what is made once */
        wk_scope scope = wk_mark();
        wk_device_trim(wk_default_device());
        long before = wk_live_allocs();
        wk_fail_alloc_after(n);
        wk_model *m = wk_model_open(folder);
        wk_generate(m, "ab", .max_tokens = 4, .on_text = ignore_text, .ignore_end = true,
                    .sampling = { .temperature = 1, .top_p = 0.9, .repeat_penalty = 1.1 },
                    .stop = (const char *[]){ "zz", NULL });
        wk_fail_alloc_after(-1);
        bool done = wk_ok() && n >= 0;
        CHECK_MSG(wk_ok() || wk_error() == WK_ERR_MEMORY, "allocation %ld", n);
        wk_clear();
        wk_sweep(scope);
        wk_model_free(m);
        wk_device_trim(wk_default_device());
        CHECK_MSG(n < 0 || wk_live_allocs() <= before, "leak of %ld after %ld allocations",
                  wk_live_allocs() - before, n);
        if (done)
            break;
    }
}
