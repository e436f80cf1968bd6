// SPDX-License-Identifier: MIT OR Apache-2.0
/* session.c - one timeline of a model: the tokens so far, and their keys and values.
 *
 * The caches grow by doubling, so that a short text in a model with a long context
 * takes little memory. */
#include "models.h"

#include <stdlib.h>

enum {
    FIRST_ROOM = 256,
    CHUNK = 512,
    ROWS = 8 /* tokens that read the weights together and are computed as if each came alone */
};

struct wk_session {
    const wk_model   *model;
    const wk_decoder *d;
    wk_tokens         tokens; /* what the caches hold */
    wk_kv            *kv;     /* [layers] */
    int64_t           room, context, chunk;
    int64_t           computed; /* tokens in all */
    int class;                  /* of rope frequencies, that the keys were turned with */
    bool (*on_progress)(int64_t done, int64_t total, void *user);
    void *user;
};

wk_session *wk_session_new_with(const wk_session_args *a)
{
    if (wk_ok() && !a->model)
        wk_fail(WK_ERR_ARGUMENT, "a session without a model");
    wk_session *s = wk_ok() ? wk_alloc(sizeof *s) : NULL;
    if (!s)
        return NULL;
    s->model = a->model;
    s->d = wk_model_decoder(a->model);
    s->context = a->context > 0 ? a->context : s->d->c.context;
    s->chunk = a->chunk > 0 ? a->chunk : CHUNK;
    s->on_progress = a->on_progress;
    s->user = a->user;
    s->kv = wk_alloc_array((size_t)s->d->c.layers, sizeof *s->kv);
    if (s->kv)
        return s;
    wk_session_free(s);
    return NULL;
}

void wk_session_free(wk_session *s)
{
    if (!s)
        return;
    for (int64_t i = 0; s->kv && i < s->d->c.layers; i++) {
        wk_drop(s->kv[i].k);
        wk_drop(s->kv[i].v);
    }
    wk_free(s->kv);
    wk_tokens_free(&s->tokens);
    wk_free(s);
}

int64_t wk_session_length(const wk_session *s) { return s ? (int64_t)s->tokens.count : 0; }
int64_t wk_session_computed(const wk_session *s) { return s ? s->computed : 0; }

bool wk_session_rewind(wk_session *s, int64_t length)
{
    if (!wk_ok() || !s)
        return false;
    if (length < 0 || length > wk_session_length(s)) {
        wk_fail(WK_ERR_ARGUMENT, "session: rewind from %lld to %lld tokens",
                (long long)wk_session_length(s), (long long)length);
        return false;
    }
    s->tokens.count = (size_t)length;
    return true;
}

/* ---- Room --------------------------------------------------------------- */

static void grow_cache(wk_session *s, wk_tensor **cache, int64_t room)
{
    const wk_decoder_config *c = &s->d->c;
    wk_tensor *grown = wk_empty_of(s->d->cache, WK_SHAPE(1, c->kv_heads, room, c->head_dim));
    if (*cache && s->tokens.count)
        wk_write(grown, wk_narrow(*cache, 2, 0, wk_session_length(s)), 2, 0);
    if (wk_ok())
        wk_set(cache, grown);
}

/* For so many tokens: what is done when all is computed cannot fail. */
static bool reserve(wk_session *s, int64_t length)
{
    if (length > s->context) {
        wk_fail(WK_ERR_ARGUMENT, "session: %lld tokens do not fit into the context of %lld",
                (long long)length, (long long)s->context);
        return false;
    }
    if (!wk_reserve(&s->tokens.id, &s->tokens.room, (size_t)length, sizeof *s->tokens.id))
        return false;
    if (length <= s->room)
        return wk_ok();
    wk_scope scope = wk_mark();
    int64_t  room = s->room ? s->room : FIRST_ROOM;
    while (room < length)
        room *= 2;
    room = wk_min_i64(room, s->context);
    for (int64_t i = 0; i < s->d->c.layers && wk_ok(); i++) {
        grow_cache(s, &s->kv[i].k, room);
        grow_cache(s, &s->kv[i].v, room);
    }
    wk_sweep(scope);
    if (wk_ok())
        s->room = room;
    return wk_ok();
}

/* ---- Steps -------------------------------------------------------------- */

/* The session now holds these tokens too. */
static void append(wk_session *s, const int32_t *tokens, int64_t count)
{
    memcpy(s->tokens.id + s->tokens.count, tokens, (size_t)count * sizeof *tokens);
    s->tokens.count += (size_t)count;
    s->computed += count;
}

/* Keys must be turned with the frequencies of a text of this length: if they were not,
 * compute them anew, as transformers does. */
static bool settle(wk_session *s, int64_t length)
{
    int class = wk_rope_class(&s->d->c.rope, length);
    int64_t count = class != s->class ? wk_session_length(s) : 0;
    for (int64_t at = 0; at < count && wk_ok(); at += s->chunk) {
        wk_scope   scope = wk_mark();
        wk_segment part = { s->tokens.id + at, wk_min_i64(s->chunk, count - at), at, length,
                            s->kv };
        wk_decoder_step(s->d, &part, 1, false);
        s->computed += part.count;
        wk_sweep(scope);
    }
    s->class = wk_ok() ? class : -1; /* some of the keys may be of either */
    return wk_ok();
}

/* length: of the texts when all of a prompt is there; 0: now */
static wk_tensor *step(const wk_session_step *steps, int n, bool all, int64_t length)
{
    wk_segment few[8], *segment = few;
    if (n > (int)WK_COUNT(few))
        segment = wk_alloc_array((size_t)n, sizeof *segment);
    for (int i = 0; wk_ok() && i < n; i++) {
        wk_session *s = steps[i].session;
        if (!s || !steps[i].tokens || steps[i].count < 1 || s->d != steps[0].session->d) {
            wk_fail(WK_ERR_ARGUMENT, "session: step %d is empty, or of another model", i);
            break;
        }
        int64_t position = wk_session_length(s), end = length ? length : position + steps[i].count;
        if (reserve(s, position + steps[i].count) && settle(s, end))
            segment[i] = (wk_segment){ steps[i].tokens, steps[i].count, position, end, s->kv };
    }
    wk_tensor *logits =
        wk_ok() && n > 0 ? wk_decoder_step(steps[0].session->d, segment, n, all) : NULL;
    for (int i = 0; logits && i < n; i++)
        append(steps[i].session, steps[i].tokens, steps[i].count);
    if (segment != few)
        wk_free(segment);
    return wk_ok() ? logits : NULL;
}

wk_tensor *wk_session_batch(const wk_session_step *steps, int n)
{
    if (wk_ok() && (!steps || n < 1))
        wk_fail(WK_ERR_ARGUMENT, "session: a batch of nothing");
    for (int i = 0; wk_ok() && i < n; i++)
        for (int k = 0; k < i; k++)
            if (steps[k].session == steps[i].session)
                wk_fail(WK_ERR_ARGUMENT, "session: the same one twice in a batch");
    return wk_ok() ? step(steps, n, false, 0) : NULL;
}

wk_tensor *wk_session_all_logits(wk_session *s, const int32_t *tokens, int64_t count)
{
    return wk_ok() ? step(&(wk_session_step){ s, tokens, count }, 1, true, 0) : NULL;
}

/* Each token is a segment of its own over the one cache, so that attention, frequencies and
 * sums are those of a token that comes alone. */
static wk_tensor *step_singly(wk_session *s, const int32_t *tokens, int64_t count)
{
    wk_segment segment[ROWS];
    int64_t    position = wk_session_length(s);
    if (!reserve(s, position + count) || !settle(s, position + 1))
        return NULL;
    for (int64_t i = 0; i < count; i++)
        segment[i] = (wk_segment){ tokens + i, 1, position + i, position + i + 1, s->kv };
    wk_tensor *logits = wk_decoder_step(s->d, segment, (int)count, false);
    if (logits)
        append(s, tokens, count);
    return logits;
}

int64_t wk_session_alike(const wk_session *s, int64_t count)
{
    const wk_rope_config *r = &s->d->c.rope;
    int64_t               position = wk_session_length(s), n = 1;
    while (n < count && wk_rope_class(r, position + n + 1) == wk_rope_class(r, position + 1))
        n++;
    return wk_min_i64(n, count);
}

wk_tensor *wk_session_push_all(wk_session *s, const int32_t *tokens, int64_t count)
{
    if (wk_ok() && (!s || !tokens || count < 1))
        wk_fail(WK_ERR_ARGUMENT, "session: there is no token to push");
    if (!wk_ok() || !reserve(s, wk_session_length(s) + count))
        return NULL;
    wk_scope   scope = wk_mark();
    wk_tensor *logits = NULL;
    for (int64_t at = 0, n; at < count && wk_ok(); at += n) {
        n = wk_session_alike(s, wk_min_i64(ROWS, count - at));
        wk_tensor *part = step_singly(s, tokens + at, n); // [n, vocab]
        if (n == count)
            logits = part;
        else if (!logits && part)
            logits = wk_empty_of(WK_F32, WK_SHAPE(count, wk_dim(part, 1)));
        if (n < count)
            wk_write(logits, part, 0, at);
    }
    return wk_yield(scope, wk_ok() ? logits : NULL);
}

wk_tensor *wk_session_push(wk_session *s, int32_t token)
{
    if (!wk_ok())
        return NULL;
    wk_scope   scope = wk_mark();
    wk_tensor *logits = step(&(wk_session_step){ s, &token, 1 }, 1, false, 0);
    return wk_yield(scope, logits ? wk_reshape(logits, -1) : NULL);
}

wk_tensor *wk_session_sync(wk_session *s, const int32_t *tokens, int64_t count)
{
    if (wk_ok() && (!s || !tokens || count < 1))
        wk_fail(WK_ERR_ARGUMENT, "session: there must be a token to begin with");
    if (!wk_ok())
        return NULL;
    int64_t same = 0;
    while (same < count - 1 && same < wk_session_length(s) && s->tokens.id[same] == tokens[same])
        same++; /* the last one is always computed: its logits are wanted */
    wk_session_rewind(s, same);

    wk_progress progress;
    wk_scope    scope = wk_mark();
    wk_tensor  *logits = NULL;
    wk_progress_start(&progress, "prompt", (double)count);
    for (int64_t at = same; at < count && wk_ok(); at += s->chunk) {
        int64_t n = wk_min_i64(s->chunk, count - at);
        wk_sweep(scope);
        logits = step(&(wk_session_step){ s, tokens + at, n }, 1, false, count);
        wk_progress_at(&progress, (double)(at + n));
        if (wk_ok() && s->on_progress && !s->on_progress(at + n, count, s->user))
            wk_fail(WK_ERR_INTERRUPTED, "prompt: stopped after %lld of %lld tokens",
                    (long long)(at + n), (long long)count);
    }
    wk_progress_end(&progress);
    return wk_yield(scope, wk_ok() ? wk_reshape(logits, -1) : NULL);
}

/* ---- Copies ------------------------------------------------------------- */

wk_session *wk_session_fork(const wk_session *s)
{
    if (wk_ok() && !s)
        wk_fail(WK_ERR_ARGUMENT, "session: a copy of NULL");
    if (!wk_ok())
        return NULL;
    int64_t     length = wk_session_length(s);
    wk_session *f = wk_session_new(s->model, .context = s->context, .chunk = s->chunk,
                                   .on_progress = s->on_progress, .user = s->user);
    wk_scope    scope = wk_mark();
    if (f && length > 0 && reserve(f, length)) {
        for (int64_t i = 0; i < s->d->c.layers && wk_ok(); i++) {
            wk_write(f->kv[i].k, wk_narrow(s->kv[i].k, 2, 0, length), 2, 0);
            wk_write(f->kv[i].v, wk_narrow(s->kv[i].v, 2, 0, length), 2, 0);
        }
        append(f, s->tokens.id, length);
        f->class = s->class;
        f->computed = 0;
    }
    wk_sweep(scope);
    if (wk_ok())
        return f;
    wk_session_free(f);
    return NULL;
}
