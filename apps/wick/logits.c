// SPDX-License-Identifier: MIT OR Apache-2.0
/* logits.c - wick logits: the numbers behind the choice of the next token. */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Indices of the k largest, the largest first: k is small. */
static int64_t largest(const float *x, int64_t n, int64_t k, int64_t *index)
{
    int64_t found = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t at = found;
        while (at > 0 && x[index[at - 1]] < x[i])
            at--;
        if (at == k)
            continue;
        int64_t last = found < k ? found++ : k - 1;
        memmove(index + at + 1, index + at, (size_t)(last - at) * sizeof *index);
        index[at] = i;
    }
    return found;
}

static void print_json(const settings *s, const wk_tokens *tokens, const float *x, int64_t rows,
                       int64_t vocab, int64_t k)
{
    int64_t *index = malloc((size_t)k * sizeof *index);
    printf("{\"tokens\": [");
    for (size_t i = 0; i < tokens->count; i++)
        printf("%s%d", i ? ", " : "", (int)tokens->id[i]);
    printf("], \"logits\": [");
    for (int64_t r = 0; r < rows; r++, x += vocab) {
        printf("%s", r ? ",\n" : "");
        if (given(s, "top") && index) {
            int64_t n = largest(x, vocab, k, index);
            for (int64_t i = 0; i < n; i++)
                printf("%s[%lld, %.9g]", i ? ", " : "[", (long long)index[i], (double)x[index[i]]);
        } else {
            for (int64_t i = 0; i < vocab; i++)
                printf("%s%.9g", i ? ", " : "[", (double)x[i]);
        }
        putchar(']');
    }
    printf("]}\n");
    free(index);
}

static void print_rows(wk_model *m, const wk_tokens *tokens, const float *x, int64_t rows,
                       int64_t vocab, int64_t k)
{
    int64_t            *index = malloc((size_t)k * sizeof *index);
    const wk_tokenizer *t = wk_model_tokenizer(m);
    wk_clear(); /* ids say enough, if there is none */
    for (int64_t r = 0; index && r < rows; r++, x += vocab) {
        if (rows > 1)
            printf("after token %lld, %d:\n", (long long)r, (int)tokens->id[r]);
        int64_t n = largest(x, vocab, k, index);
        for (int64_t i = 0; i < n; i++) {
            const char *piece = t ? wk_tokenizer_piece(t, (int32_t)index[i]) : NULL;
            printf("%8lld  %12.6f  %s\n", (long long)index[i], (double)x[index[i]],
                   piece ? piece : "");
        }
    }
    free(index);
}

int logits_verb(settings *s)
{
    wk_tokens tokens = { 0 };
    float    *x = NULL;
    if (s->places < 1 || s->places > 2 || (s->places == 2) == (s->tokens != NULL))
        return usage("logits: a model, and a text or --tokens");
    wk_model *m = open_model(s, s->place[0]);
    if (m && prompt_tokens(s, m, s->place[1], &tokens)) {
        int64_t     vocab = wk_model_describe(m).vocab, n = (int64_t)tokens.count;
        int64_t     rows = s->all ? n : 1, k = s->top > 0 ? s->top : 10;
        wk_session *session = wk_session_new(m);
        wk_tensor  *logits = s->all ? wk_session_all_logits(session, tokens.id, n)
                                    : wk_session_sync(session, tokens.id, n);
        x = logits ? malloc((size_t)(rows * vocab) * sizeof *x) : NULL;
        if (logits && !x)
            wk_fail(WK_ERR_MEMORY, "no memory for %lld logits", (long long)(rows * vocab));
        if (x && wk_to_f32(logits, x)) {
            k = k < vocab ? k : vocab;
            if (s->json)
                print_json(s, &tokens, x, rows, vocab, k);
            else
                print_rows(m, &tokens, x, rows, vocab, k);
        }
        wk_session_free(session);
    }
    free(x);
    wk_tokens_free(&tokens);
    wk_model_free(m);
    return finish();
}
