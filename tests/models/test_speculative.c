// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_speculative.c - with a draft the answer is what it is without: several tokens at once
 * give the bits of one by one; and what sessions keep, copy and stop at. */
#include "test.h"

#include "../src/base/base.h"

#include <wick/wick.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 400, ROWS = 19 };

/* ---- Bits --------------------------------------------------------------- */

static void compare_rows(wk_dtype dtype, int64_t k, int64_t n, bool pack)
{
    wk_scope   scope = wk_mark();
    wk_tensor *w = wk_cast(wk_randn(n, k), dtype), *v = wk_cast(wk_randn(n, k), dtype);
    wk_layer   a = { pack ? wk_pack(w) : w, NULL }, b = { pack ? wk_pack(v) : v, NULL };
    for (int64_t m = 2; m <= 8; m++) {
        wk_tensor *x = wk_randn(m, k), *y = wk_linear(x, a);
        wk_tensor *z = wk_linear_glu(x, a, b, WK_ACT_SILU);
        for (int64_t i = 0; i < m; i++) {
            wk_tensor *row = wk_narrow(x, 0, i, 1);
            double one = wk_item(wk_max(wk_abs(wk_sub(wk_linear(row, a), wk_narrow(y, 0, i, 1)))));
            double two = wk_item(wk_max(
                wk_abs(wk_sub(wk_linear_glu(row, a, b, WK_ACT_SILU), wk_narrow(z, 0, i, 1)))));
            CHECK_MSG(one == 0 && two == 0, "%s, %lld x %lld: row %lld of %lld off by %g, %g",
                      wk_dtype_name(dtype), (long long)n, (long long)k, (long long)i, (long long)m,
                      one, two);
        }
    }
    wk_sweep(scope);
}

TEST(a_row_does_not_depend_on_how_many_there_are)
{
    static const wk_dtype dtypes[] = { WK_F32, WK_BF16, WK_F16 },
                          blocks[] = { WK_Q4_0, WK_Q8_0, WK_Q4_K, WK_Q6_K };
    for (size_t i = 0; i < WK_COUNT(dtypes); i++)
        for (int pack = 0; pack < 2; pack++) {
            compare_rows(dtypes[i], 160, 70, pack);
            compare_rows(dtypes[i], 7, 5, pack);
            compare_rows(dtypes[i], 4099, 19, pack);
        }
    for (size_t i = 0; i < WK_COUNT(blocks); i++)
        for (int pack = 0; pack < 2; pack++)
            compare_rows(blocks[i], 512, 40, pack);
}

static void compare_pushes(const char *folder, wk_dtype dtype)
{
    int32_t   tokens[ROWS + 8];
    wk_model *m = wk_model_open(folder, .dtype = dtype);
    int64_t   vocab = wk_model_describe(m).vocab;
    for (int i = 0; i < ROWS + 8; i++)
        tokens[i] = (int32_t)((i * 37 + 5) % vocab);
    wk_scope    scope = wk_mark();
    wk_session *a = wk_session_new(m), *b = wk_session_new(m);
    wk_session_sync(a, tokens, 8);
    wk_session_sync(b, tokens, 8);
    wk_session_push_all(b, tokens, 5); /* and forgotten */
    wk_session_rewind(b, 8);
    wk_tensor *all = wk_session_push_all(b, tokens + 8, ROWS); // [rows, vocab]
    for (int i = 0; i < ROWS && wk_ok(); i++) {
        wk_tensor *one = wk_session_push(a, tokens[8 + i]);
        double     far = wk_item(wk_max(wk_abs(wk_sub(one, wk_select(all, 0, i)))));
        CHECK_MSG(far == 0, "%s %s: row %d off by %g", folder, wk_dtype_name(dtype), i, far);
    }
    CHECK_INT(wk_session_length(b), 8 + ROWS);
    wk_session_free(a);
    wk_session_free(b);
    wk_sweep(scope);
    wk_model_free(m);
}

TEST(tokens_at_once_are_bit_for_bit_those_one_by_one)
{
    compare_pushes("apps/demo", WK_DEFAULT);
    compare_pushes("apps/demo", WK_F32);
    compare_pushes("tests/golden/models/llama", WK_BF16);
    compare_pushes("tests/golden/models/llama", WK_F16);
}

/* ---- Answers ------------------------------------------------------------ */

typedef struct {
    int32_t id[MOST];
    int     count;
    wk_buf  text;
} answer;

static bool on_token(int32_t id, void *user)
{
    answer *a = user;
    a->id[a->count++] = id;
    return a->count < MOST;
}

static bool on_text(const char *text, void *user)
{
    wk_buf_str(&((answer *)user)->text, wk_str_of(text));
    return wk_ok();
}

/* Generate with and without guesses.  Returns how many were right. */
static int64_t compare(const wk_generate_args *args)
{
    answer            plain = { .count = 0 }, drafted = { .count = 0 };
    wk_generate_stats stats[2] = { { 0 }, { 0 } };
    wk_generate_args  a = *args;
    a.on_token = on_token, a.on_text = on_text;
    a.draft = NULL, a.lookup = false, a.user = &plain, a.stats = &stats[0];
    CHECK(wk_generate_with(&a));
    a.draft = args->draft, a.lookup = args->lookup, a.user = &drafted, a.stats = &stats[1];
    CHECK(wk_generate_with(&a));
    CHECK_INT(drafted.count, plain.count);
    CHECK(!memcmp(drafted.id, plain.id, sizeof plain.id));
    CHECK_STR(drafted.text.data ? drafted.text.data : "", plain.text.data ? plain.text.data : "");
    CHECK_INT(stats[1].new_tokens, stats[0].new_tokens);
    CHECK(stats[1].stopped == stats[0].stopped);
    CHECK_INT(stats[0].drafted, 0);
    CHECK(stats[1].accepted <= stats[1].drafted && stats[1].accepted <= stats[1].new_tokens);
    wk_buf_free(&plain.text);
    wk_buf_free(&drafted.text);
    return stats[1].accepted;
}

static void compare_answers(wk_model *m, wk_model *draft, const char *prompt, int64_t tokens)
{
    static const wk_sampler_args kinds[] = {
        { .temperature = 0 },
        { .temperature = 0.7, .top_k = 20, .seed = 5 },
        { .temperature = 1, .top_p = 0.9, .repeat_penalty = 1.1, .penalty_last = 40, .seed = 77 },
        { .temperature = 0, .frequency_penalty = 0.1, .presence_penalty = 0.2 },
    };
    int64_t right = 0;
    tokens /= test_stride(6);
    for (size_t i = 0; i < WK_COUNT(kinds); i++)
        right += compare(&(wk_generate_args){ .model = m,
                                              .prompt = prompt,
                                              .max_tokens = tokens,
                                              .draft = draft,
                                              .lookup = !draft || i == 1,
                                              .draft_tokens = i == 2 ? 12 : 0,
                                              .sampling = kinds[i],
                                              .ignore_end = i != 1 });
    CHECK_MSG(right > 0, "only %lld guesses were right", (long long)right);
}

static const char prompt[] = "Lily had a red ball. Lily liked the red ball. Tom saw Lily and ";

TEST(answers_are_the_same_with_a_draft)
{
    wk_model *m = wk_model_open("apps/demo"), *f32 = wk_model_open("apps/demo", .dtype = WK_F32);
    compare_answers(m, NULL, prompt, 180);
    compare_answers(m, f32, prompt, 180); /* a draft that is nearly always right */
    compare_answers(f32, m, prompt, 100);
    /* what ends it ends it where it would */
    static const char *const stop[] = { "the", ".\n", NULL };
    compare(&(wk_generate_args){
        .model = m, .prompt = prompt, .max_tokens = 90, .draft = f32, .stop = stop });
    compare(&(wk_generate_args){
        .model = m, .prompt = prompt, .context = 60, .lookup = true, .ignore_end = true });
    for (int n = 1; n < 10; n += test_stride(4))
        compare(&(wk_generate_args){ .model = m,
                                     .prompt = prompt,
                                     .max_tokens = n,
                                     .draft = f32,
                                     .draft_tokens = 31,
                                     .ignore_end = true });
    wk_model_free(m);
    wk_model_free(f32);
}

TEST(answers_of_a_trained_model_are_the_same)
{
    char        path[1024];
    const char *folder = test_shared("models/stories260K", path);
    char        corpus[1024], text[300];
    wk_model   *m = folder ? wk_model_open(folder) : NULL;
    FILE *f = m && test_shared("corpora/tinystories.txt", corpus) ? fopen(corpus, "rb") : NULL;
    for (int i = 0; f && i < 3; i++) {
        size_t n = fread(text, 1, sizeof text - 1, f);
        text[n] = '\0';
        compare_answers(m, NULL, text, 200);
    }
    if (f)
        fclose(f);
    wk_model_free(m);
}

/* Frequencies that change with the length, and where they change. */
TEST(drafts_and_rope_scalings)
{
    static const char *const scalings[] = {
        "\"rope_type\": \"longrope\", \"original_max_position_embeddings\": 16,"
        "\"short_factor\": [1.0, 1.5], \"long_factor\": [2.0, 5.0]",
        "\"rope_type\": \"dynamic\", \"factor\": 2.0",
    };
    for (size_t i = 0; i < WK_COUNT(scalings); i++) {
        char config[700];
        snprintf(config, sizeof config,
                 "{\"model_type\": \"llama\", \"hidden_size\": 16, \"vocab_size\": 20,"
                 "\"intermediate_size\": 24, \"num_hidden_layers\": 2, \"num_attention_heads\": 4,"
                 "\"max_position_embeddings\": 32, \"rope_scaling\": {%s}}",
                 scalings[i]);
        wk_model *m = wk_model_open(NULL, .config = config);
        int32_t   tokens[] = { 3, 4, 5, 3, 4 };
        for (int seed = 0; seed < 4; seed++) {
            answer           plain = { .count = 0 }, drafted = { .count = 0 };
            wk_generate_args a = { .model = m,
                                   .tokens = tokens,
                                   .token_count = 5,
                                   .context = 90,
                                   .max_tokens = 80,
                                   .on_token = on_token,
                                   .user = &plain,
                                   .sampling = { .temperature = seed * 0.3, .seed = seed } };
            wk_generate_with(&a);
            a.user = &drafted, a.draft = m, a.lookup = seed % 2;
            wk_generate_with(&a);
            CHECK_INT(plain.count, 80);
            CHECK(!memcmp(plain.id, drafted.id, sizeof plain.id));
        }
        wk_model_free(m);
    }
}

TEST(drafts_that_do_not_fit)
{
    static const char config[] = "{\"model_type\": \"llama\", \"hidden_size\": 8, \"vocab_size\":"
                                 "11, \"intermediate_size\": 12, \"num_hidden_layers\": 1,"
                                 "\"num_attention_heads\": 2}";
    int32_t           tokens[] = { 1, 2 };
    wk_model *m = wk_model_open("apps/demo"), *other = wk_model_open(NULL, .config = config);
    wk_generate(m, .tokens = tokens, .token_count = 2, .draft = other, .max_tokens = 1);
    CHECK_ERROR("draft: a vocabulary of 11, but the model's has 2048");
    wk_generate(m, .tokens = tokens, .token_count = 2, .lookup = true, .draft_tokens = 32);
    CHECK_ERROR("draft: 32 tokens at once; at least 1, at most 31");
    wk_model_free(other);
    char path[1024];
    if (test_shared("models/stories260K", path)) {
        other = wk_model_open(path);
        wk_generate(m, "One day", .draft = other, .max_tokens = 1);
        CHECK_ERROR("draft: a tokenizer of 512 tokens, but the model's has 2048");
        wk_model_free(other);
    }
    wk_model_free(m);
}

/* ---- Sessions ----------------------------------------------------------- */

TEST(sessions_compute_only_what_is_new)
{
    int32_t   tokens[60];
    wk_model *m = wk_model_open("apps/demo");
    for (int i = 0; i < 60; i++)
        tokens[i] = 3 + i * 7;
    wk_scope    scope = wk_mark();
    wk_session *s = wk_session_new(m, .chunk = 16);
    wk_session_sync(s, tokens, 40);
    CHECK_INT(wk_session_computed(s), 40);
    wk_session_sync(s, tokens, 60);
    CHECK_INT(wk_session_computed(s), 60);
    wk_session_sync(s, tokens, 60); /* the last one: its logits are wanted */
    CHECK_INT(wk_session_computed(s), 61);
    wk_session_sync(s, tokens, 30);
    CHECK_INT(wk_session_computed(s), 62);
    CHECK_INT(wk_session_length(s), 30);
    tokens[20] = 9;
    wk_session_sync(s, tokens, 60);
    CHECK_INT(wk_session_computed(s), 102);

    wk_session *f = wk_session_fork(s), *e = wk_session_fork(f);
    CHECK_INT(wk_session_length(f), 60);
    CHECK_INT(wk_session_computed(f), 0);
    wk_session_push(f, 100); /* each goes its own way */
    wk_session_rewind(s, 10);
    wk_session_push(s, 200);
    wk_tensor *a = wk_session_push(e, 50), *b = NULL;
    wk_session_rewind(f, 60);
    b = wk_session_push(f, 50);
    CHECK(a && b && wk_item(wk_max(wk_abs(wk_sub(a, b)))) == 0);
    wk_session_free(s);
    wk_session_free(f);
    wk_session_free(e);
    wk_sweep(scope);
    wk_session_fork(NULL);
    CHECK_ERROR("a copy of NULL");
    wk_model_free(m);
}

static bool stop_at_32(int64_t done, int64_t total, void *user)
{
    CHECK_INT(total, 60);
    ++*(int *)user;
    return done < 32;
}

TEST(a_prompt_can_be_stopped_between_chunks)
{
    int32_t     tokens[60] = { 0 };
    int         calls = 0;
    wk_model   *m = wk_model_open("apps/demo");
    wk_session *s = wk_session_new(m, .chunk = 16, .on_progress = stop_at_32, .user = &calls);
    CHECK(!wk_session_sync(s, tokens, 60));
    CHECK_INT(wk_error(), WK_ERR_INTERRUPTED);
    CHECK_ERROR("stopped after 32 of 60 tokens");
    CHECK_INT(calls, 2);
    CHECK_INT(wk_session_length(s), 32);
    wk_session_free(s);
    wk_model_free(m);
}

/* ---- Perplexity --------------------------------------------------------- */

TEST(perplexity_is_that_of_transformers)
{
    char        path[1024], corpus[1024];
    const char *folder = test_shared("models/stories260K", path);
    if (!folder || !test_shared("corpora/tinystories.txt", corpus))
        return;
    wk_model *m = wk_model_open(folder);
    wk_file  *text = wk_file_open(corpus);
    FILE     *f = fopen("tests/golden/models/perplexity.txt", "r");
    long      window, stride, tokens;
    double    loss, error;
    int       n = 0;
    while (f && fscanf(f, "%ld %ld %ld %lf %lf", &window, &stride, &tokens, &loss, &error) == 5) {
        wk_perplexity_state r;
        wk_perplexity(m, text->data, 5000, .context = window, .stride = stride, .result = &r);
        CHECK_INT(r.tokens, tokens);
        CHECK_INT(r.windows, r.of);
        CHECK_NEAR(r.loss, loss, 1e-5);
        CHECK_NEAR(r.loss_error, error, 1e-5);
        CHECK_NEAR(r.perplexity, exp(loss), 1e-4 * exp(loss));
        n++;
    }
    CHECK_INT(n, 4);
    if (f)
        fclose(f);
    wk_file_release(text);
    wk_model_free(m);
}

TEST(perplexity_of_too_little)
{
    int32_t   tokens[10] = { 1, 2, 3 };
    wk_model *m = wk_model_open("apps/demo");
    wk_perplexity(m, .tokens = tokens, .token_count = 10);
    CHECK_ERROR("the text has 10 tokens, a window has 256");
    wk_perplexity(m, .tokens = tokens, .token_count = 10, .context = 8, .stride = 8);
    CHECK_ERROR("windows of 8 tokens, 8 apart");
    wk_perplexity(m, .tokens = tokens, .token_count = 1, .context = 8, .stride = 2);
    CHECK_ERROR("the text has 1 tokens");
    wk_perplexity(m);
    CHECK_ERROR("no model, or no text");
    wk_model_free(m);
}
