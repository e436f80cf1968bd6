// SPDX-License-Identifier: MIT OR Apache-2.0
/* added.c - added tokens: texts that are one token wherever they occur, such as
 * <|im_start|>, cut out of the text before anything else happens to it.
 *
 * Where several match the longest counts.  They are kept in the order of their bytes:
 * a match narrows the range of those that begin like the text, byte by byte. */
#include "text.h"

#include <stdlib.h>

/* ---- Reading ------------------------------------------------------------ */

static void read_token(wk_tokenizer *t, wk_json *j)
{
    wk_added_token x = { .id = -1, .normalized = true };
    wk_str         key;
    for (wk_json_object(j); wk_json_key(j, &key);) {
        if (wk_str_is(key, "content"))
            x.content = wk_text_keep(t, wk_json_string(j));
        else if (wk_str_is(key, "id"))
            x.id = (int32_t)wk_min_i64(wk_max_i64(wk_json_int(j), -1), INT32_MAX);
        else if (wk_str_is(key, "single_word"))
            x.single_word = wk_json_bool(j);
        else if (wk_str_is(key, "lstrip"))
            x.lstrip = wk_json_bool(j);
        else if (wk_str_is(key, "rstrip"))
            x.rstrip = wk_json_bool(j);
        else if (wk_str_is(key, "normalized"))
            x.normalized = wk_json_bool(j);
        else if (wk_str_is(key, "special"))
            x.special = wk_json_bool(j);
        else
            wk_json_fail(j, "added_tokens: unknown option \"%.*s\"",
                         (int)wk_min_i64((int64_t)key.size, 60), key.at);
    }
    if (!x.content.at)
        wk_json_fail(j, "added_tokens: \"content\" is missing");
    if (wk_ok() && x.content.size &&
        wk_reserve(&t->added.at, &t->added.room, t->added.count + 1, sizeof x))
        t->added.at[t->added.count++] = x;
}

bool wk_added_read(wk_tokenizer *t, wk_json *j)
{
    if (t->added.count)
        wk_json_fail(j, "a second \"added_tokens\"");
    else if (!wk_json_null(j))
        for (wk_json_array(j); wk_json_item(j);)
            read_token(t, j);
    return wk_ok();
}

/* ---- Ids ---------------------------------------------------------------- */

/* An id is that of the model, or else the next one behind it: what the file says is
 * not asked.  Of equal tokens the last counts; special once is special for good. */
static bool give_ids(wk_tokenizer *t)
{
    wk_added *a = &t->added;
    wk_map    seen = { 0 };
    size_t    n = 0;
    int32_t   next = (int32_t)t->vocab.count;
    for (size_t i = 0; i < a->count && wk_ok(); i++) {
        wk_added_token x = a->at[i];
        int32_t        wish = x.id;
        int64_t        at = (int64_t)n;
        if (wk_map_get(&seen, x.content, &at)) {
            x.special |= a->at[at].special;
            x.id = a->at[at].id;
        } else {
            x.id = wk_vocab_find(&t->vocab, x.content);
            x.id = x.id < 0 ? next++ : x.id;
            n++;
        }
        if (wish != x.id)
            wk_say(WK_LOG_WARN, "%s: added token \"%.60s\" gets the id %d, not %d", t->name,
                   x.content.at, (int)x.id, (int)wish);
        a->at[at] = x;
        wk_map_put(&seen, x.content, at);
        if ((size_t)x.id >= t->size)
            t->size = (size_t)x.id + 1;
    }
    a->count = n;
    wk_map_free(&seen);
    return wk_ok();
}

const wk_added_token *wk_added_get(const wk_tokenizer *t, int32_t id)
{
    if (id < 0 || (size_t)id >= t->size || t->added.by_id[id] < 0)
        return NULL;
    return &t->added.at[t->added.by_id[id]];
}

/* ---- Sets --------------------------------------------------------------- */

static int by_text(const void *left, const void *right)
{
    const wk_added_token *a = left, *b = right;
    size_t                n = a->matched.size < b->matched.size ? a->matched.size : b->matched.size;
    int                   order = memcmp(a->matched.at, b->matched.at, n);
    if (!order)
        order = (a->matched.size > b->matched.size) - (a->matched.size < b->matched.size);
    return order ? order : (a->id > b->id) - (a->id < b->id);
}

/* What the normalizers make of the tokens that are matched behind them. */
static bool normalize(wk_tokenizer *t)
{
    wk_text_work work = { 0 };
    wk_buf       buf[2] = { { 0 } };
    for (size_t i = 0; i < t->added.count && wk_ok(); i++) {
        wk_added_token *x = &t->added.at[i];
        x->matched = x->content;
        if (x->normalized)
            x->matched = wk_text_normalize(&t->normalizers, &work, buf, x->content);
        if (x->matched.at != x->content.at)
            x->matched = wk_text_keep(t, x->matched);
    }
    wk_text_work_free(&work);
    wk_buf_free(&buf[0]);
    wk_buf_free(&buf[1]);
    return wk_ok();
}

static bool build(wk_added *a, wk_added_set *set, bool normalized)
{
    int firsts = 0;
    set->token = wk_alloc_array(a->count + 1, sizeof *set->token);
    for (size_t i = 0; set->token && i < a->count; i++) {
        wk_str s = a->at[i].matched;
        bool   known = set->count && wk_str_eq(a->at[set->token[set->count - 1]].matched, s);
        if (a->at[i].normalized != normalized || !s.size || known)
            continue;
        uint8_t start = (uint8_t)s.at[0];
        firsts += !set->starts[start];
        set->starts[start] = true;
        set->only = firsts == 1 ? start : -1;
        set->token[set->count++] = (uint32_t)i;
    }
    return set->token != NULL;
}

bool wk_added_finish(wk_tokenizer *t)
{
    wk_added *a = &t->added;
    t->size = t->vocab.size;
    if (!give_ids(t) || !normalize(t))
        return false;
    if (a->count)
        qsort(a->at, a->count, sizeof *a->at, by_text);
    a->by_id = wk_alloc_array(t->size, sizeof *a->by_id);
    for (size_t i = 0; a->by_id && i < t->size; i++)
        a->by_id[i] = -1;
    for (size_t i = 0; a->by_id && i < a->count; i++)
        a->by_id[a->at[i].id] = (int32_t)i;
    return a->by_id && build(a, &a->raw, false) && build(a, &a->normal, true);
}

void wk_added_free(wk_added *a)
{
    wk_free(a->at);
    wk_free(a->by_id);
    wk_free(a->raw.token);
    wk_free(a->normal.token);
    *a = (wk_added){ 0 };
}

/* ---- Matching ----------------------------------------------------------- */

/* Of the tokens from low to high, which agree in depth bytes: the first whose next byte
 * is byte or more. */
static size_t bound(const wk_added *a, const wk_added_set *set, size_t low, size_t high,
                    size_t depth, unsigned byte)
{
    while (low < high) {
        size_t middle = (low + high) / 2;
        wk_str s = a->at[set->token[middle]].matched;
        if (s.size == depth || (uint8_t)s.at[depth] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The longest token that text begins with, or NULL. */
static const wk_added_token *match(const wk_added *a, const wk_added_set *set, wk_str text)
{
    size_t                low = 0, high = set->count;
    const wk_added_token *best = NULL;
    for (size_t depth = 0; low < high; depth++) {
        const wk_added_token *x = &a->at[set->token[low]];
        if (x->matched.size == depth)
            best = x;
        if (depth == text.size)
            break;
        unsigned byte = (uint8_t)text.at[depth];
        low = bound(a, set, low, high, depth, byte);
        high = bound(a, set, low, high, depth, byte + 1);
    }
    return best;
}

/* The next match at *at or after it; *at is where. */
static const wk_added_token *next_match(const wk_added *a, const wk_added_set *set, wk_str text,
                                        size_t *at)
{
    for (const char *p = text.at + *at, *end = text.at + text.size; p < end; p++) {
        if (set->only >= 0) {
            p = memchr(p, set->only, (size_t)(end - p));
            if (!p)
                return NULL;
        } else if (!set->starts[(uint8_t)*p]) {
            continue;
        }
        const wk_added_token *x = match(a, set, (wk_str){ p, (size_t)(end - p) });
        if (x) {
            *at = (size_t)(p - text.at);
            return x;
        }
    }
    return NULL;
}

/* Where the character before at starts; its code point is *c. */
static size_t step_back(wk_str text, size_t at, uint32_t *c)
{
    do
        at--;
    while (at && (text.at[at] & 0xC0) == 0x80);
    const char *p = text.at + at;
    *c = wk_utf8_next(&p, text.at + text.size, NULL);
    return at;
}

/* Is there no word character on either side? */
static bool stands_alone(wk_str text, size_t start, size_t end)
{
    uint32_t    c;
    const char *p = text.at + end;
    if (start && (step_back(text, start, &c), wk_is_word(c)))
        return false;
    return end == text.size || !wk_is_word(wk_utf8_next(&p, text.at + text.size, NULL));
}

bool wk_added_may(const wk_encoder *e, const wk_added_token *x, int origin)
{
    return origin == WK_TEMPLATES ||
           !(x->special || (origin == WK_WRITTEN && strstr(e->control, x->content.at)));
}

/* Must these bytes of a chat stay text? */
static bool is_guarded(const wk_encoder *e, const wk_added_set *set, const wk_added_token *x,
                       const char *at, size_t size)
{
    bool may = wk_added_may(e, x, e->part);
    for (size_t i = 0; may && set == &e->t->added.raw && i < size; i++)
        may = wk_added_may(e, x, e->origin[at + i - e->base]);
    return !may;
}

size_t wk_special_end(const wk_tokenizer *t, wk_str text, size_t from)
{
    const char *first = NULL;
    size_t      size = 0;
    for (size_t i = 0; i < t->added.count; i++) {
        wk_str      s = t->added.at[i].content;
        const char *at = t->added.at[i].special && from < text.size
                             ? memmem(text.at + from, text.size - from, s.at, s.size)
                             : NULL;
        if (at && (!first || at < first || (at == first && s.size > size)))
            first = at, size = s.size;
    }
    return first ? (size_t)(first - text.at) + size : SIZE_MAX;
}

bool wk_added_cut(wk_encoder *e, const wk_added_set *set, wk_str text, bool first,
                  wk_segment_fn part)
{
    const wk_added       *a = &e->t->added;
    const wk_added_token *x;
    size_t                done = 0, at = 0;
    uint32_t              c;
    while (set->count && (x = next_match(a, set, text, &at))) {
        size_t start = at, end = at + x->matched.size;
        at = end;
        if ((e->plain && x->special) || (x->single_word && !stands_alone(text, start, end)))
            continue;
        if (e->origin && is_guarded(e, set, x, text.at + start, end - start)) {
            at = start + 1; /* one of the template may begin inside */
            continue;
        }
        for (size_t p = start; x->lstrip && start > done; start = p)
            if (p = step_back(text, start, &c), !wk_is_space(c))
                break;
        for (const char *p = text.at + end; x->rstrip && end < text.size;
             end = (size_t)(p - text.at))
            if (!wk_is_space(wk_utf8_next(&p, text.at + text.size, NULL)))
                break;
        if (done < start &&
            !part(e, NULL, (wk_str){ text.at + done, start - done }, first && !done))
            return false;
        if (!part(e, x, (wk_str){ 0 }, false))
            return false;
        done = end;
    }
    return done >= text.size ||
           part(e, NULL, (wk_str){ text.at + done, text.size - done }, first && !done);
}
