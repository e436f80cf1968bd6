// SPDX-License-Identifier: MIT OR Apache-2.0
/* draft.c - guesses of the next tokens, for speculative decoding.
 *
 * Two sources: the text itself, which often repeats names, code and what it was asked about
 * ("prompt lookup decoding", Saxena, 2023), and the likeliest tokens of a smaller model.
 * Guesses are checked in generate.c; a bad one costs time and nothing else.
 *
 * At most 7 tokens by default: with the one before them they are 8 rows, which products read
 * the weights for once.  A draft is as long as the last one was right, and one more; twice as
 * long when all of it was. */
#include "models.h"

enum { DEFAULT_MOST = 7, SHORTEST = 2, LONGEST = 16 }; /* the last, in tokens of an ending */

/* ---- Looking up --------------------------------------------------------- */

/* What followed where the text had the longest ending that it has now; of equals the last.
 * Where it ends before the draft does, it goes round: a text that repeats goes on so. */
static int64_t look_up(const wk_tokens *text, int64_t most, int32_t *guess)
{
    const int32_t *id = text->id;
    int64_t        n = (int64_t)text->count, best = SHORTEST - 1, from = n;
    for (int64_t end = n - 1; end > best && best < LONGEST; end--) {
        int64_t same = 0;
        while (same < LONGEST && same < end && id[end - 1 - same] == id[n - 1 - same])
            same++;
        if (same > best)
            best = same, from = end;
    }
    for (int64_t i = 0; from < n && i < most; i++)
        guess[i] = from + i < n ? id[from + i] : guess[from + i - n];
    return from < n ? most : 0;
}

/* ---- A smaller model ---------------------------------------------------- */

static int64_t predict(wk_draft *d, const wk_tokens *text, int64_t most, int32_t *guess)
{
    int64_t n = 0, room = d->context - (int64_t)text->count;
    if (room < 0)
        return 0;
    most = wk_min_i64(most, room + 1); /* the last guess need not be computed upon */
    wk_scope   scope = wk_mark();
    wk_tensor *logits = wk_session_sync(d->session, text->id, (int64_t)text->count);
    while (logits) {
        int64_t id = wk_item_i64(wk_argmax(logits));
        if (!wk_ok() || id >= d->vocab)
            break;
        guess[n++] = (int32_t)id;
        wk_sweep(scope);
        logits = n < most ? wk_session_push(d->session, (int32_t)id) : NULL;
    }
    wk_sweep(scope);
    return wk_ok() ? n : 0;
}

/* Guesses make sense where ids mean the same. */
static bool check_tokens(wk_model *a, wk_model *b)
{
    const wk_tokenizer *t = wk_model_tokenizer(a), *u = wk_model_tokenizer(b);
    int32_t             n = wk_ok() ? wk_tokenizer_size(t) : 0;
    if (wk_ok() && n != wk_tokenizer_size(u))
        wk_fail(WK_ERR_ARGUMENT, "draft: a tokenizer of %d tokens, but the model's has %d",
                (int)wk_tokenizer_size(u), (int)n);
    for (int32_t i = 0; i < n && wk_ok(); i++) {
        const char *x = wk_tokenizer_piece(t, i), *y = wk_tokenizer_piece(u, i);
        if ((x || y) && (!x || !y || strcmp(x, y)))
            wk_fail(WK_ERR_ARGUMENT, "draft: token %d is \"%s\", but the model's is \"%s\"", (int)i,
                    y ? y : "", x ? x : "");
    }
    return wk_ok();
}

/* ---- A draft ------------------------------------------------------------ */

bool wk_draft_open(wk_draft *d, const wk_generate_args *a)
{
    *d = (wk_draft){ .lookup = a->lookup, .vocab = wk_model_describe(a->model).vocab };
    if (!wk_ok() || (!a->lookup && !a->draft))
        return wk_ok();
    d->most = d->next = a->draft_tokens ? a->draft_tokens : DEFAULT_MOST;
    if (d->most < 1 || d->most > WK_MOST_DRAFT)
        wk_fail(WK_ERR_ARGUMENT, "draft: %lld tokens at once; at least 1, at most %d",
                (long long)d->most, WK_MOST_DRAFT);
    if (!wk_ok() || !a->draft)
        return wk_ok();
    wk_model_info info = wk_model_describe(a->draft);
    bool          has_tokenizers = wk_model_path(a->model) && wk_model_path(a->draft);
    if (has_tokenizers && (a->prompt || a->on_text))
        check_tokens(a->model, a->draft);
    else if (info.vocab != d->vocab)
        wk_fail(WK_ERR_ARGUMENT, "draft: a vocabulary of %lld, but the model's has %lld",
                (long long)info.vocab, (long long)d->vocab);
    d->context = info.context;
    d->session = wk_session_new(a->draft);
    return wk_ok();
}

void wk_draft_close(wk_draft *d) { wk_session_free(d->session); }

int64_t wk_draft_guess(wk_draft *d, const wk_tokens *text, int64_t limit,
                       int32_t guess[WK_MOST_DRAFT])
{
    int64_t most = wk_min_i64(d->next, limit);
    if (most < 1 || !wk_ok())
        return 0;
    int64_t n = d->lookup ? look_up(text, most, guess) : 0;
    return n || !d->session ? n : predict(d, text, most, guess);
}

void wk_draft_learn(wk_draft *d, int64_t guessed, int64_t right)
{
    if (guessed > 0)
        d->next =
            wk_min_i64(right < guessed ? right + 1 : 2 * wk_max_i64(guessed, d->next), d->most);
}
