// SPDX-License-Identifier: MIT OR Apache-2.0
/* perplexity.c - wick perplexity: how well a model predicts a text. */
#include "cli.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *read_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    long  end = f && !fseek(f, 0, SEEK_END) ? ftell(f) : -1;
    char *text = end >= 0 && end < LONG_MAX ? malloc((size_t)end + 1) : NULL;
    if (text) {
        rewind(f);
        *size = fread(text, 1, (size_t)end, f);
        text[*size] = '\0';
    }
    if (!text || ferror(f))
        wk_fail(WK_ERR_IO, "%s: %s", path, strerror(errno));
    if (f)
        fclose(f);
    return text;
}

/* The value so far, on one line that is drawn again. */
static bool show(const wk_perplexity_state *now, void *user)
{
    double *drawn = user;
    if (*drawn < 0 || now->seconds - *drawn < 0.1)
        return true;
    *drawn = now->seconds;
    fprintf(stderr, "\rwindow %lld of %lld, perplexity %.4f, %.0f s left \033[K",
            (long long)now->windows, (long long)now->of, now->perplexity,
            now->seconds / (double)now->windows * (double)(now->of - now->windows));
    fflush(stderr);
    return true;
}

static void print(const settings *s, const wk_perplexity_state *r)
{
    double rate = r->seconds > 0 ? (double)r->computed / r->seconds : 0;
    if (s->json)
        printf("{\"perplexity\": %.9g, \"perplexity_error\": %.6g, \"loss\": %.9g, "
               "\"loss_error\": %.6g, \"tokens\": %lld, \"windows\": %lld, "
               "\"per_second\": %.6g}\n",
               r->perplexity, r->perplexity_error, r->loss, r->loss_error, (long long)r->tokens,
               (long long)r->windows, rate);
    else
        printf("perplexity %.4f +- %.4f  (%.5f nats a token, %lld tokens in %lld windows)\n",
               r->perplexity, r->perplexity_error, r->loss, (long long)r->tokens,
               (long long)r->windows);
    if (!s->json && !s->quiet)
        fprintf(stderr, "wick: %lld tokens, %.1f tokens/s\n", (long long)r->computed, rate);
}

int perplexity_verb(settings *s)
{
    if (s->places < 1 || s->places > 2)
        return usage("perplexity: a model and a file of text");
    const char         *path = s->place[s->places - 1];
    double              drawn = !s->quiet && isatty(STDERR_FILENO) ? 0 : -1;
    wk_perplexity_state result = { 0 };
    size_t              size = 0;
    wk_model           *m = open_model(s, s->places > 1 ? s->place[0] : NULL);
    char               *text = m ? strcmp(path, "-") ? read_file(path, &size) : read_stdin() : NULL;
    if (text && wk_ok()) {
        wk_perplexity(m, .text = text, .size = size, .context = s->context, .stride = s->stride,
                      .on_window = show, .user = &drawn, .result = &result);
        if (drawn > 0)
            fputs("\r\033[K", stderr);
        if (wk_ok())
            print(s, &result);
    }
    free(text);
    wk_model_free(m);
    return finish();
}
