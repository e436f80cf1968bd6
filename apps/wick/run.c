// SPDX-License-Identifier: MIT OR Apache-2.0
/* run.c - wick run: a prompt in, its continuation out. */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static bool show_text(const char *text, void *user)
{
    (void)user;
    fputs(text, stdout);
    return !fflush(stdout); /* nobody reads any more: stop */
}

static bool show_id(int32_t id, void *user)
{
    bool *first = user;
    printf("%s%d", *first ? "" : " ", (int)id);
    *first = false;
    return !fflush(stdout);
}

wk_sampler_args sampling_of(const settings *s, const wk_model *m)
{
    wk_sampler_args a = wk_model_sampling(m);
    if (given(s, "temperature") || a.temperature == 0) {
        bool asked = given(s, "temperature");
        a.top_k = 0;
        a.temperature = asked ? s->temperature : 0.8;
        a.top_p = 0.95;
    }
    a.top_k = given(s, "top-k") ? (int32_t)(s->top_k < INT32_MAX ? s->top_k : INT32_MAX) : a.top_k;
    a.top_p = given(s, "top-p") ? s->top_p : a.top_p;
    a.min_p = given(s, "min-p") ? s->min_p : a.min_p;
    a.repeat_penalty = given(s, "repeat-penalty") ? s->repeat_penalty : a.repeat_penalty;
    a.presence_penalty = s->presence_penalty;
    a.frequency_penalty = s->frequency_penalty;
    a.seed = given(s, "seed") ? (uint64_t)s->seed : (uint64_t)time(NULL) ^ (uint64_t)getpid() << 32;
    return a;
}

/* Is something being piped in? */
static bool stdin_has_text(void)
{
    struct stat info;
    return !fstat(STDIN_FILENO, &info) && (S_ISFIFO(info.st_mode) || S_ISREG(info.st_mode));
}

void report(const wk_generate_stats *t)
{
    double prompt = t->prompt_seconds > 0 ? (double)t->prompt_tokens / t->prompt_seconds : 0;
    double rate = t->new_seconds > 0 ? (double)t->new_tokens / t->new_seconds : 0;
    fprintf(stderr, "wick: prompt %lld tokens, %.1f tokens/s; answer %lld tokens, %.1f tokens/s",
            (long long)t->prompt_tokens, prompt, (long long)t->new_tokens, rate);
    if (t->drafted)
        fprintf(stderr, "; guessed %lld, %lld right (%.0f %%)", (long long)t->drafted,
                (long long)t->accepted, 100 * (double)t->accepted / (double)t->drafted);
    fputc('\n', stderr);
}

static void generate(const settings *s, wk_model *m, wk_model *draft, const wk_tokens *prompt)
{
    bool              first = true;
    wk_generate_stats stats = { 0 };
    wk_generate(m, .tokens = prompt->id, .token_count = (int64_t)prompt->count,
                .max_tokens = s->max_tokens, .context = s->context, .sampling = sampling_of(s, m),
                .stop = s->stop, .draft = draft, .lookup = s->lookup,
                .draft_tokens = s->draft_tokens, .on_text = s->ids ? NULL : show_text,
                .on_token = s->ids ? show_id : NULL, .user = &first, .stats = &stats);
    if (isatty(STDOUT_FILENO) || s->ids)
        putchar('\n');
    if (wk_ok() && !s->quiet)
        report(&stats);
}

/* A lone argument with blanks in it that is no file is a prompt for our own model. */
static bool is_text(const char *argument)
{
    return strchr(argument, ' ') && access(argument, F_OK);
}

int run_verb(settings *s)
{
    if (s->places > 2)
        return usage("run: a model and a prompt, not %d arguments (quote the prompt)", s->places);
    bool        only_text = s->places == 1 && is_text(s->place[0]);
    const char *text = s->places > 1 || only_text ? s->place[s->places - 1] : NULL;
    char       *piped = NULL;
    wk_tokens   prompt = { 0 };
    wk_model   *m = open_model(s, s->places && !only_text ? s->place[0] : NULL);
    wk_lora    *lora = m && s->adapter ? wk_lora_open(m, s->adapter) : NULL;
    wk_lora_merge(lora);
    if (m && wk_ok() && !s->tokens && (text ? !strcmp(text, "-") : stdin_has_text()))
        text = piped = read_stdin();
    wk_model *draft = m && s->draft ? open_model(s, s->draft) : NULL;
    if (m && prompt_tokens(s, m, text ? text : "", &prompt)) {
        if (s->echo && text && !s->ids)
            fputs(text, stdout);
        generate(s, m, draft, &prompt);
    }
    wk_tokens_free(&prompt);
    wk_lora_free(lora);
    wk_model_free(draft);
    wk_model_free(m);
    free(piped);
    return finish();
}
