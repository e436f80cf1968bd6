// SPDX-License-Identifier: MIT OR Apache-2.0
/* perplexity.c - how well a model predicts a text: e to the mean of -log p(token).
 *
 * Two ways to cut a text that is longer than a context.  Without a stride: windows side by
 * side, the token that begins a text at the head of each, and only the second half counts, as
 * llama.cpp's llama-perplexity has it, so that every token has seen at least half a window.
 * With one: windows that begin a stride apart, and what the one before has not counted counts,
 * as in "Perplexity of fixed-length models" of transformers' documentation.  Its code weighs
 * windows by one token too few; here every token weighs the same. */
#include "models.h"

#include <math.h>

enum { WINDOW = 512, HEAD = 512, ROWS = 64 }; /* ROWS: tokens whose logits exist at a time */

typedef struct {
    const wk_perplexity_args *a;
    wk_perplexity_state       now;
    wk_session               *session;
    wk_tokens                 text;
    int32_t                  *window;
    int64_t                   size;  /* of a window */
    int32_t                   begin; /* the token at its head, or -1 */
    double                    sum, squares;
} run;

/* The logits behind tokens from .. to - 1 of the window say what the next ones cost. */
static bool count(run *r, int64_t from, int64_t to)
{
    int64_t n = to - from, next[ROWS];
    float   cost[ROWS];
    for (int64_t i = 0; i < n; i++)
        next[i] = r->window[from + i + 1];
    wk_scope   scope = wk_mark();
    wk_tensor *logits = wk_session_all_logits(r->session, r->window + from, n); // [n, vocab]
    wk_tensor *loss =
        wk_cross_entropy(logits, wk_from_i64(WK_SHAPE(n), next), .reduction = WK_EACH);
    bool good = loss && wk_to_f32(loss, cost);
    for (int64_t i = 0; good && i < n; i++) {
        r->sum += (double)cost[i];
        r->squares += (double)cost[i] * (double)cost[i];
    }
    wk_sweep(scope);
    return good;
}

/* Tokens at .. at + length - 1 of the text, of which those from first on count. */
static bool compute(run *r, int64_t at, int64_t length, int64_t first)
{
    memcpy(r->window, r->text.id + at, (size_t)length * sizeof *r->window);
    if (r->begin >= 0 && !r->a->stride)
        r->window[0] = r->begin;
    wk_session_rewind(r->session, 0);
    for (int64_t i = 0, n; i < first - 1 && wk_ok() && !wk_interrupted(); i += n) {
        wk_scope scope = wk_mark();
        n = wk_min_i64(HEAD, first - 1 - i);
        wk_session_batch(&(wk_session_step){ r->session, r->window + i, n }, 1);
        wk_sweep(scope);
    }
    for (int64_t i = first - 1; i < length - 1 && wk_ok() && !wk_interrupted(); i += ROWS)
        count(r, i, wk_min_i64(i + ROWS, length - 1));
    if (wk_interrupted())
        wk_fail(WK_ERR_INTERRUPTED, "perplexity: interrupted");
    return wk_ok();
}

static bool tell(run *r, int64_t counted, double start)
{
    wk_perplexity_state *now = &r->now;
    double               n = (double)(now->tokens += counted), mean = r->sum / n;
    now->windows++;
    now->computed = wk_session_computed(r->session);
    now->seconds = wk_now() - start;
    now->loss = mean;
    now->loss_error = n > 1 ? sqrt(fmax(r->squares / n - mean * mean, 0) / (n - 1)) : 0;
    now->perplexity = exp(mean);
    now->perplexity_error = now->perplexity * now->loss_error;
    return !r->a->on_window || r->a->on_window(now, r->a->user);
}

bool wk_text_to_cut(wk_model *m, const char *text, size_t size, wk_tokens *out, int32_t *begin)
{
    wk_tokens           nothing = { 0 };
    const wk_tokenizer *t = wk_model_tokenizer(m);
    *begin = -1;
    if (t && wk_encode(out, t, text, size, .plain = true) && wk_encode(&nothing, t, ""))
        if (nothing.count && out->count && nothing.id[0] == out->id[0])
            *begin = nothing.id[0];
    wk_tokens_free(&nothing);
    return wk_ok();
}

static bool read_text(run *r)
{
    const wk_perplexity_args *a = r->a;
    r->begin = -1;
    for (int64_t i = 0; !a->text && i < a->token_count && wk_ok(); i++)
        wk_tokens_add(&r->text, a->tokens[i]);
    return a->text ? wk_text_to_cut(a->model, a->text, a->size, &r->text, &r->begin) : wk_ok();
}

static bool prepare(run *r)
{
    const wk_perplexity_args *a = r->a;
    if (!a->model || (!a->text && !a->tokens)) {
        wk_fail(WK_ERR_ARGUMENT, "perplexity: no model, or no text");
        return false;
    }
    if (!read_text(r))
        return false;
    int64_t most = wk_model_describe(a->model).context;
    r->size = a->context > 0 ? a->context : wk_min_i64(WINDOW, most);
    if (r->size < 4 || a->stride < 0 || a->stride >= r->size)
        wk_fail(WK_ERR_ARGUMENT, "perplexity: windows of %lld tokens, %lld apart",
                (long long)r->size, (long long)a->stride);
    else if ((int64_t)r->text.count < (a->stride ? 2 : r->size))
        wk_fail(WK_ERR_ARGUMENT, "perplexity: the text has %lld tokens, a window has %lld",
                (long long)r->text.count, (long long)r->size);
    if (!wk_ok())
        return false;
    r->window = wk_alloc_array((size_t)r->size, sizeof *r->window);
    r->session = wk_session_new(a->model, .context = r->size);
    return wk_ok();
}

bool wk_perplexity_with(const wk_perplexity_args *a)
{
    run    r = { .a = a };
    bool   good = wk_ok() && prepare(&r);
    double start = wk_now();
    if (good && !a->stride) {
        int64_t first = r.size / 2 + 1;
        r.now.of = (int64_t)r.text.count / r.size;
        for (int64_t i = 0; i < r.now.of; i++)
            if (!compute(&r, i * r.size, r.size, first) || !tell(&r, r.size - first, start))
                break;
    } else if (good) {
        int64_t all = (int64_t)r.text.count, rest = wk_max_i64(all - r.size, 0), done = 1;
        r.now.of = 1 + (rest + a->stride - 1) / a->stride;
        for (int64_t at = 0; done < all; at += a->stride) {
            int64_t end = wk_min_i64(at + r.size, all);
            if (!compute(&r, at, end - at, done - at) || !tell(&r, end - done, start))
                break;
            done = end;
        }
    }
    if (a->result)
        *a->result = r.now;
    wk_session_free(r.session);
    wk_tokens_free(&r.text);
    wk_free(r.window);
    return wk_ok();
}
