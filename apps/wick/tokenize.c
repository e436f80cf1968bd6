// SPDX-License-Identifier: MIT OR Apache-2.0
/* tokenize.c - wick tokenize and wick detokenize. */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_tokens(const settings *s, const wk_tokenizer *t, const wk_tokens *tokens)
{
    if (s->json)
        putchar('[');
    for (size_t i = 0; i < tokens->count; i++) {
        int32_t     id = tokens->id[i];
        const char *piece = wk_tokenizer_piece(t, id);
        if (s->json && s->pieces) {
            printf("%s{\"id\": %d, \"piece\": ", i ? ", " : "", (int)id);
            json_string(piece ? piece : "");
            putchar('}');
        } else if (s->pieces) {
            printf("%d\t%s\n", (int)id, piece ? piece : "");
        } else {
            printf("%s%d", !i ? "" : s->json ? ", " : " ", (int)id);
        }
    }
    printf("%s", s->json ? "]\n" : s->pieces ? "" : "\n");
}

int tokenize_verb(settings *s)
{
    if (s->places != 2)
        return usage("tokenize: a model or tokenizer.json, and a text (- is stdin)");
    bool          from_stdin = !strcmp(s->place[1], "-");
    char         *piped = from_stdin ? read_stdin() : NULL;
    wk_tokenizer *t = wk_tokenizer_open(s->place[0]);
    wk_tokens     tokens = { 0 };
    if (t && wk_encode(&tokens, t, from_stdin ? piped : s->place[1], .no_special = s->no_special))
        print_tokens(s, t, &tokens);
    wk_tokens_free(&tokens);
    wk_tokenizer_free(t);
    free(piped);
    return finish();
}

int detokenize_verb(settings *s)
{
    if (s->places < 1)
        return usage("detokenize: a model or tokenizer.json, and ids");
    wk_tokenizer *t = wk_tokenizer_open(s->place[0]);
    wk_tokens     tokens = { 0 };
    for (int i = 1; t && i < s->places && wk_ok(); i++) {
        char *end;
        long  id = strtol(s->place[i], &end, 10);
        if (*end || end == s->place[i] || id < 0 || id >= wk_tokenizer_size(t))
            wk_fail(WK_ERR_ARGUMENT, "%s is not a token id below %d", s->place[i],
                    (int)wk_tokenizer_size(t));
        wk_tokens_add(&tokens, (int32_t)id);
    }
    char *text = t && wk_ok() ? wk_decode(t, tokens.id, tokens.count, s->keep_special) : NULL;
    if (text)
        puts(text);
    free(text);
    wk_tokens_free(&tokens);
    wk_tokenizer_free(t);
    return finish();
}

int tokenizer_verb(settings *s)
{
    if (s->places < 2 || strcmp(s->place[0], "train") || !s->output)
        return usage("tokenizer: train, files of text, and -o FOLDER");
    wk_tokenizer_train(
        s->place + 1, .folder = s->output, .vocab = (int32_t)(s->vocab > 0 ? s->vocab : 4096),
        .min_frequency = s->min_frequency, .specials = s->special[0] ? s->special : NULL);
    return finish();
}
