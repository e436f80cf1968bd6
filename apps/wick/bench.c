// SPDX-License-Identifier: MIT OR Apache-2.0
/* bench.c - wick bench: prompt and generation speed, as medians of repeats.
 *
 * As llama-bench does it: a prompt of p tokens into an empty session, and n tokens one
 * by one from an empty session, without choosing among them; with --batch as many of each
 * of several sessions, whose next tokens are computed together.  With --lookup or --draft also
 * the likeliest n tokens behind a prompt that repeats itself, with guesses and without. */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_REPEATS = 100, MOST_TEXTS = 256 };

static const struct {
    const char *name, *config;
} shapes[] = {
#define LLAMA(width, layers, heads, kv, ffn, vocab, tied)                                          \
    "{\"model_type\": \"llama\", \"hidden_size\": " #width ", \"num_hidden_layers\": " #layers     \
    ", \"num_attention_heads\": " #heads ", \"num_key_value_heads\": " #kv                         \
    ", \"intermediate_size\": " #ffn ", \"vocab_size\": " #vocab                                   \
    ", \"max_position_embeddings\": 4096, \"tie_word_embeddings\": " #tied "}"
    { "llama-135m", LLAMA(576, 30, 9, 3, 1536, 49152, true) },
    { "llama-1.1b", LLAMA(2048, 22, 32, 4, 5632, 32000, false) },
    { "llama-3b", LLAMA(3072, 28, 24, 8, 8192, 128256, true) },
    { "llama-tiny", LLAMA(64, 5, 8, 4, 172, 512, true) },
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct {
    const char *what;
    int64_t     tokens;
    double      rate[MOST_REPEATS]; /* tokens per second, sorted */
    int         repeats;
} result;

static double time_prompt(wk_model *m, const int32_t *tokens, int64_t count)
{
    wk_session *session = wk_session_new(m, .context = count + 1);
    wk_scope    scope = wk_mark();
    double      start = now();
    wk_session_sync(session, tokens, count);
    wk_device_sync(wk_default_device());
    double seconds = now() - start;
    wk_sweep(scope);
    wk_session_free(session);
    return seconds;
}

static int texts = 1; /* at once */

static double time_answer(wk_model *m, const int32_t *tokens, int64_t count)
{
    wk_session_step step[MOST_TEXTS] = { 0 };
    for (int k = 0; k < texts; k++)
        step[k] =
            (wk_session_step){ .session = wk_session_new(m, .context = count + 1), .count = 1 };
    double start = now();
    for (int64_t i = 0; i < count && wk_ok() && !wk_interrupted(); i++) {
        wk_scope scope = wk_mark();
        for (int k = 0; k < texts; k++)
            step[k].tokens = &tokens[(i + k) % count];
        wk_session_batch(step, texts);
        wk_sweep(scope);
    }
    wk_device_sync(wk_default_device());
    double seconds = now() - start;
    for (int k = 0; k < texts; k++)
        wk_session_free(step[k].session);
    return seconds / texts; /* of one text's tokens */
}

/* What guesses, if anything does. */
static wk_generate_args guesses;

static double time_text(wk_model *m, const int32_t *tokens, int64_t count, bool guess)
{
    enum { PERIOD = 24, REPEATED = 5 };
    int32_t           prompt[PERIOD * REPEATED];
    wk_generate_stats stats = { 0 };
    for (int i = 0; i < PERIOD * REPEATED; i++)
        prompt[i] = tokens[i % (count < PERIOD ? count : PERIOD)];
    wk_generate_args a = guess ? guesses : (wk_generate_args){ 0 };
    a.model = m, a.tokens = prompt, a.token_count = PERIOD * REPEATED;
    a.max_tokens = count, a.context = count + PERIOD * REPEATED, a.ignore_end = true;
    a.stats = &stats;
    wk_generate_with(&a);
    return stats.new_seconds > 0 ? stats.new_seconds : 1e-9;
}

static double time_plain(wk_model *m, const int32_t *tokens, int64_t count)
{
    return time_text(m, tokens, count, false);
}

static double time_guessed(wk_model *m, const int32_t *tokens, int64_t count)
{
    return time_text(m, tokens, count, true);
}

static void measure(result *r, wk_model *m, const int32_t *tokens,
                    double (*fn)(wk_model *m, const int32_t *tokens, int64_t count))
{
    if (r->tokens <= 0)
        return;
    for (int i = 0; i < 2; i++) /* warm up: pages, threads, clocks; weights are packed then */
        fn(m, tokens, r->tokens < 16 ? r->tokens : 16);
    for (int i = 0; i < r->repeats && wk_ok(); i++) {
        r->rate[i] = (double)r->tokens / fn(m, tokens, r->tokens);
        if (wk_interrupted())
            wk_fail(WK_ERR_INTERRUPTED, "interrupted");
    }
    qsort(r->rate, (size_t)r->repeats, sizeof r->rate[0], by_size);
}

static void print(const settings *s, wk_model *m, const result *r, int count)
{
    wk_model_info info = wk_model_describe(m);
    const char   *isa = wk_device_detail(wk_default_device());
    if (s->json) {
        printf("{\"type\": \"%s\", \"dtype\": \"%s\", \"parameters\": %lld, \"bytes\": %lld, "
               "\"threads\": %d, \"cpu\": \"%s\"",
               info.type, wk_dtype_name(info.dtype), (long long)info.parameters,
               (long long)info.bytes, wk_threads(), isa);
        for (int i = 0; i < count; i++)
            if (r[i].tokens > 0)
                printf(", \"%s\": {\"tokens\": %lld, \"per_second\": %.6g, \"least\": %.6g, "
                       "\"most\": %.6g}",
                       r[i].what, (long long)r[i].tokens, r[i].rate[r[i].repeats / 2], r[i].rate[0],
                       r[i].rate[r[i].repeats - 1]);
        printf("}\n");
        return;
    }
    printf("%s %s, %.1f M parameters, %.0f MB, %d threads, %s\n", info.type,
           wk_dtype_name(info.dtype), (double)info.parameters * 1e-6, (double)info.bytes * 1e-6,
           wk_threads(), isa);
    for (int i = 0; i < count; i++)
        if (r[i].tokens > 0)
            printf("%-8s %5lld tokens  %10.2f tokens/s  (%.2f to %.2f of %d)\n", r[i].what,
                   (long long)r[i].tokens, r[i].rate[r[i].repeats / 2], r[i].rate[0],
                   r[i].rate[r[i].repeats - 1], r[i].repeats);
}

static wk_model *open_synthetic(const settings *s)
{
    wk_dtype dtype = s->dtype ? wk_dtype_find(s->dtype) : WK_BF16;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        if (!strcmp(s->synthetic, shapes[i].name))
            return wk_model_open(NULL, .config = shapes[i].config, .dtype = dtype,
                                 .cache = cache_of(s));
    wk_fail(WK_ERR_ARGUMENT, "there is no shape %s: llama-135m, llama-1.1b, llama-3b, llama-tiny",
            s->synthetic);
    return NULL;
}

int bench_verb(settings *s)
{
    if (s->places > 1 || (s->places == 1) == (s->synthetic != NULL))
        return usage("bench: a model, or --synthetic SHAPE");
    texts = given(s, "batch") ? (int)(s->batch < 1            ? 1
                                      : s->batch < MOST_TEXTS ? s->batch
                                                              : MOST_TEXTS)
                              : 1;
    int    repeats = s->repeats > 0 && s->repeats < MOST_REPEATS ? (int)s->repeats : 5;
    result results[] = {
        { "prompt", given(s, "prompt") ? s->prompt_length : 512, { 0 }, repeats },
        { "generate", given(s, "max-tokens") ? s->max_tokens : 128, { 0 }, repeats },
        { "repeat", 0, { 0 }, repeats },
        { "guessed", 0, { 0 }, repeats },
    };
    if (s->lookup || s->draft)
        results[2].tokens = results[3].tokens = results[1].tokens;
    int64_t   most = results[0].tokens > results[1].tokens ? results[0].tokens : results[1].tokens;
    wk_model *m = s->synthetic ? open_synthetic(s) : open_model(s, s->place[0]);
    guesses = (wk_generate_args){ .lookup = s->lookup, .draft_tokens = s->draft_tokens };
    guesses.draft = m && s->draft ? open_model(s, s->draft) : NULL;
    int32_t *tokens = malloc((size_t)(most > 0 ? most : 1) * sizeof *tokens);
    for (int64_t i = 0; tokens && m && i < most; i++)
        tokens[i] = (int32_t)((i * 7919 + 13) % wk_model_describe(m).vocab);
    if (m && tokens) {
        measure(&results[0], m, tokens, time_prompt);
        measure(&results[1], m, tokens, time_answer);
        measure(&results[2], m, tokens, time_plain);
        measure(&results[3], m, tokens, time_guessed);
        if (wk_ok())
            print(s, m, results, 4);
    }
    free(tokens);
    wk_model_free(guesses.draft);
    wk_model_free(m);
    return finish();
}
