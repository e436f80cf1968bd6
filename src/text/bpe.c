// SPDX-License-Identifier: MIT OR Apache-2.0
/* bpe.c - byte pair encoding: a word starts as its characters, and the pair of
 * neighbours that comes first in the list of merges is joined, until none is left.
 *
 * Short words are an array that is searched for the best pair; long ones, up to a
 * whole document, a linked list with a heap of pairs.  Of equal pairs the leftmost
 * comes first.  Where the model works on bytes, words arrive as bytes and a table of
 * 256 ids starts them.
 *
 * Of SentencePiece there is no list of merges: two pieces are joined where the vocabulary
 * has what they make, the best score first. */
#include "text.h"

enum { SHORT = 48 };

static const uint32_t NONE = UINT32_MAX; /* the rank of a pair that cannot be joined */
static const uint64_t FREE = UINT64_MAX;

/* ---- Merges ------------------------------------------------------------- */

/* The place of a pair, or the free one where it would go. */
static wk_merge *find(const wk_model *m, uint64_t pair)
{
    for (size_t i = wk_hash(&pair, sizeof pair) & (m->slots - 1);; i = (i + 1) & (m->slots - 1))
        if (m->merge[i].pair == pair || m->merge[i].pair == FREE)
            return &m->merge[i];
}

uint32_t wk_bpe_rank(float score)
{
    uint32_t bits;
    score += 0.0f; /* -0 becomes 0 */
    memcpy(&bits, &score, sizeof bits);
    return bits >> 31 ? bits : INT32_MAX - bits;
}

static uint32_t rank_of_joined(wk_encoder *e, int32_t left, int32_t right, int32_t *id)
{
    const wk_model *m = &e->t->model;
    const wk_vocab *v = &e->t->vocab;
    wk_str          l = wk_vocab_piece(v, left), r = wk_vocab_piece(v, right);
    *id = -1;
    if (m->rank[left] == NONE || m->rank[right] == NONE || l.size > v->longest - r.size)
        return NONE;
    wk_buf_clear(&e->word);
    wk_buf_str(&e->word, l);
    wk_buf_str(&e->word, r);
    if (wk_ok())
        *id = wk_vocab_find(v, wk_buf_view(&e->word));
    return *id < 0 ? NONE : m->rank[*id];
}

static uint32_t rank_of(wk_encoder *e, int32_t left, int32_t right, int32_t *id)
{
    const wk_model *m = &e->t->model;
    if (m->rank)
        return rank_of_joined(e, left, right, id);
    const wk_merge *found = find(m, (uint64_t)left << 32 | (uint32_t)right);
    *id = found->id;
    return found->rank;
}

static bool make_room(wk_model *m, size_t count)
{
    size_t slots = m->slots ? m->slots : 1024, before = m->slots;
    while (slots < 2 * count)
        slots *= 2;
    if (slots == before)
        return true;
    wk_merge *old = m->merge, *merge = wk_alloc_array(slots, sizeof *merge);
    if (!merge)
        return false;
    for (size_t i = 0; i < slots; i++)
        merge[i] = (wk_merge){ .pair = FREE, .rank = NONE };
    m->merge = merge;
    m->slots = slots;
    for (size_t i = 0; i < before; i++)
        if (old[i].pair != FREE)
            *find(m, old[i].pair) = old[i];
    wk_free(old);
    return true;
}

static int32_t must_find(wk_tokenizer *t, wk_str piece)
{
    int32_t id = wk_vocab_find(&t->vocab, piece);
    if (id < 0)
        wk_fail(WK_ERR_FORMAT, "\"%.*s\" of a merge is not in the vocabulary",
                (int)wk_min_i64((int64_t)piece.size, 60), piece.at);
    return id;
}

/* The later of equal merges counts. */
bool wk_bpe_add_merge(wk_tokenizer *t, wk_buf *joined, size_t left_size)
{
    wk_model *m = &t->model;
    size_t    prefix = m->prefix.size, right_size = joined->size - left_size;
    if (!wk_ok())
        return false;
    int32_t left = must_find(t, (wk_str){ joined->data, left_size });
    int32_t right = must_find(t, (wk_str){ joined->data + left_size, right_size });
    if (right_size < prefix)
        wk_fail(WK_ERR_FORMAT, "the right side of a merge is shorter than the prefix");
    if (!wk_ok())
        return false;
    memmove(joined->data + left_size, joined->data + left_size + prefix, right_size - prefix);
    wk_str  whole = { joined->data, joined->size - prefix };
    int32_t id = m->last_merged + 1; /* where trainers put it */
    if (!wk_str_eq(wk_vocab_piece(&t->vocab, id), whole))
        id = must_find(t, whole);
    m->last_merged = id;
    if (!wk_ok() || !make_room(m, m->merges + 1))
        return false;
    uint64_t pair = (uint64_t)left << 32 | (uint32_t)right;
    *find(m, pair) = (wk_merge){ pair, (uint32_t)m->merges, id };
    m->merges++;
    return true;
}

bool wk_bpe_merge_room(wk_tokenizer *t, size_t count) { return make_room(&t->model, count); }

bool wk_bpe_read_merges(wk_tokenizer *t, wk_json *j)
{
    wk_buf joined = { 0 };
    make_room(&t->model, t->vocab.count);
    for (wk_json_array(j); wk_json_item(j);) {
        size_t left_size = 0;
        wk_buf_clear(&joined);
        if (wk_json_peek(j) == WK_JSON_STRING) { /* "left right" */
            wk_str      s = wk_json_string(j);
            const char *blank = s.size ? memchr(s.at, ' ', s.size) : NULL;
            if (wk_str_starts(s, "#version"))
                continue;
            if (!blank || memchr(blank + 1, ' ', (size_t)(s.at + s.size - blank - 1))) {
                wk_json_fail(j, "model BPE: a merge must be two pieces with a blank between");
                break;
            }
            left_size = (size_t)(blank - s.at);
            wk_buf_add(&joined, s.at, left_size);
            wk_buf_add(&joined, blank + 1, s.size - left_size - 1);
        } else { /* ["left", "right"] */
            int n = 0;
            for (wk_json_array(j); wk_json_item(j); n++) {
                left_size = n == 1 ? joined.size : left_size;
                wk_buf_str(&joined, wk_json_string(j));
            }
            if (n != 2)
                wk_json_fail(j, "model BPE: a merge must be two pieces");
        }
        if (wk_ok() && !wk_bpe_add_merge(t, &joined, left_size))
            wk_context("%s: model BPE", t->name);
    }
    wk_buf_free(&joined);
    return wk_ok();
}

/* ---- Loading ------------------------------------------------------------ */

/* Does no merge join something with a U+2581 behind it?  Then long texts can be cut
 * there, and the parts are words as good as any. */
static bool can_cut(const wk_tokenizer *t)
{
    static const wk_str mark = { "\xE2\x96\x81", 3 };
    const wk_model     *m = &t->model;
    if (m->prefix.at || m->suffix.at || m->ignore_merges || wk_vocab_find(&t->vocab, mark) < 0)
        return false;
    for (size_t i = 0; m->rank && i < t->vocab.size; i++)
        if (m->rank[i] != NONE && !wk_piece_can_cut(wk_vocab_piece(&t->vocab, (int32_t)i)))
            return false;
    for (size_t i = 0; i < m->slots; i++)
        if (m->merge[i].pair != FREE) {
            wk_str left = wk_vocab_piece(&t->vocab, (int32_t)(m->merge[i].pair >> 32));
            wk_str right = wk_vocab_piece(&t->vocab, (int32_t)m->merge[i].pair);
            if (wk_str_starts(right, mark.at) &&
                (left.size < 3 || memcmp(left.at + left.size - 3, mark.at, 3)))
                return false;
        }
    return true;
}

static bool prepare(wk_tokenizer *t)
{
    wk_model *m = &t->model;
    if (!m->has_merges && !m->rank) {
        wk_fail(WK_ERR_FORMAT, "%s: model BPE: \"merges\" is missing", t->name);
        return false;
    }
    bool all = true;
    wk_model_find_bytes(t);
    for (int i = 0; i < 256; i++) {
        char s[4];
        int  n = wk_utf8_put(s, wk_byte_to_char((uint8_t)i));
        m->byte_id[i] = wk_vocab_find(&t->vocab, (wk_str){ s, (size_t)n });
        all &= m->byte_id[i] >= 0;
    }
    const wk_steps *pre = &t->pre_tokenizers;
    m->raw = all && !m->prefix.at && !m->suffix.at && pre->count &&
             !strcmp(pre->at[pre->count - 1].kind->name, "ByteLevel");
    m->cut = !m->raw && can_cut(t);
    return true;
}

/* ---- Joining ------------------------------------------------------------ */

/* In place; returns how many symbols are left. */
static size_t join_short(wk_encoder *e, int32_t *symbol, size_t n)
{
    uint32_t rank[SHORT];
    int32_t  id[SHORT];
    for (size_t i = 0; i + 1 < n; i++)
        rank[i] = rank_of(e, symbol[i], symbol[i + 1], &id[i]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            best = rank[i] < rank[best] ? i : best;
        if (rank[best] == NONE)
            break;
        symbol[best] = id[best];
        n--;
        for (size_t i = best + 1; i < n; i++) {
            symbol[i] = symbol[i + 1];
            rank[i - 1] = rank[i];
            id[i - 1] = id[i];
        }
        if (best + 1 < n)
            rank[best] = rank_of(e, symbol[best], symbol[best + 1], &id[best]);
        if (best)
            rank[best - 1] = rank_of(e, symbol[best - 1], symbol[best], &id[best - 1]);
    }
    return n;
}

static bool heap_push(wk_bpe_work *w, uint64_t x)
{
    if (!wk_reserve(&w->heap, &w->heap_room, w->heaped + 1, sizeof *w->heap))
        return false;
    size_t i = w->heaped++;
    for (; i && w->heap[(i - 1) / 2] > x; i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = x;
    return true;
}

static uint64_t heap_pop(wk_bpe_work *w)
{
    uint64_t top = w->heap[0], last = w->heap[--w->heaped];
    size_t   i = 0;
    for (size_t child; (child = 2 * i + 1) < w->heaped; i = child) {
        if (child + 1 < w->heaped && w->heap[child + 1] < w->heap[child])
            child++;
        if (w->heap[child] >= last)
            break;
        w->heap[i] = w->heap[child];
    }
    w->heap[i] = last;
    return top;
}

/* Look at the pair that begins at symbol i. */
static bool new_pair(wk_encoder *e, uint32_t i)
{
    wk_bpe_work *w = &e->bpe;
    w->rank[i] =
        w->next[i] == NONE ? NONE : rank_of(e, w->symbol[i], w->symbol[w->next[i]], &w->pair_id[i]);
    return w->rank[i] == NONE || heap_push(w, (uint64_t)w->rank[i] << 32 | i);
}

/* An entry of the heap counts as long as the pair at its place has its rank. */
static bool join_long(wk_encoder *e, size_t *count)
{
    wk_bpe_work *w = &e->bpe;
    size_t       n = *count;
    if (!wk_reserve(&w->pair_id, &w->pair_room, n, sizeof *w->pair_id) ||
        !wk_reserve(&w->rank, &w->rank_room, n, sizeof *w->rank) ||
        !wk_reserve(&w->previous, &w->previous_room, n, sizeof *w->previous) ||
        !wk_reserve(&w->next, &w->next_room, n, sizeof *w->next))
        return false;
    w->heaped = 0;
    for (uint32_t i = 0; i < n; i++) {
        w->previous[i] = i ? i - 1 : NONE;
        w->next[i] = i + 1 < n ? i + 1 : NONE;
    }
    for (uint32_t i = 0; i < n; i++)
        if (!new_pair(e, i))
            return false;
    while (w->heaped) {
        uint64_t top = heap_pop(w);
        uint32_t i = (uint32_t)top, gone = w->next[i];
        if (w->rank[i] != top >> 32)
            continue;
        w->symbol[i] = w->pair_id[i];
        w->rank[gone] = NONE;
        w->next[i] = w->next[gone];
        if (w->next[i] != NONE)
            w->previous[w->next[i]] = i;
        if ((w->previous[i] != NONE && !new_pair(e, w->previous[i])) || !new_pair(e, i))
            return false;
    }
    *count = 0;
    for (uint32_t i = 0; i != NONE; i = w->next[i])
        w->symbol[(*count)++] = w->symbol[i];
    return true;
}

/* ---- Words -------------------------------------------------------------- */

static bool add_symbol(wk_bpe_work *w, size_t *n, int32_t id)
{
    if (!wk_reserve(&w->symbol, &w->symbol_room, *n + 1, sizeof *w->symbol))
        return false;
    w->symbol[(*n)++] = id;
    return true;
}

/* A character that is not in the vocabulary, as bytes. */
static bool fall_back(const wk_model *m, wk_bpe_work *w, size_t *n, wk_str s)
{
    for (size_t i = 0; i < s.size; i++)
        if (m->fallback_id[(uint8_t)s.at[i]] < 0)
            return false;
    for (size_t i = 0; i < s.size; i++)
        add_symbol(w, n, m->fallback_id[(uint8_t)s.at[i]]);
    return true;
}

/* The characters of a word.  Unknown ones wait, to be fused with others: what falls
 * back to bytes overtakes them, as it does in the reference. */
static size_t start_chars(wk_encoder *e, wk_str word)
{
    const wk_model *m = &e->t->model;
    wk_bpe_work    *w = &e->bpe;
    const char     *end = word.at + word.size, *q = word.at;
    size_t          n = 0;
    bool            unknown = false;
    for (const char *p = q; p < end && wk_ok(); p = q) {
        wk_utf8_next(&q, end, NULL);
        wk_str s = { p, (size_t)(q - p) };
        if ((m->prefix.at && p > word.at) || (m->suffix.at && q == end)) {
            wk_buf_clear(&e->word);
            wk_buf_str(&e->word, p > word.at ? m->prefix : WK_STR(""));
            wk_buf_str(&e->word, s);
            wk_buf_str(&e->word, q == end ? m->suffix : WK_STR(""));
            s = wk_buf_view(&e->word);
        }
        int32_t id = wk_vocab_find(&e->t->vocab, s);
        if (id >= 0) {
            if (unknown)
                add_symbol(w, &n, m->unk_id);
            unknown = false;
            add_symbol(w, &n, id);
        } else if (!(m->byte_fallback && fall_back(m, w, &n, s)) && m->unk_token.at) {
            if (m->unk_id < 0)
                wk_fail(WK_ERR_FORMAT,
                        "%s: model BPE: unk_token \"%.60s\" is not in the vocabulary", e->t->name,
                        m->unk_token.at);
            if (unknown && !m->fuse_unk)
                add_symbol(w, &n, m->unk_id);
            unknown = true;
        }
    }
    if (unknown)
        add_symbol(w, &n, m->unk_id);
    return n;
}

static bool encode(wk_encoder *e, wk_str word)
{
    const wk_model *m = &e->t->model;
    wk_bpe_work    *w = &e->bpe;
    if (m->ignore_merges) {
        wk_str whole = word;
        if (m->raw) {
            wk_buf_clear(&e->word);
            wk_bytes_to_chars(word, &e->word);
            whole = wk_buf_view(&e->word);
        }
        int32_t id = wk_ok() ? wk_vocab_find(&e->t->vocab, whole) : -1;
        if (id >= 0)
            return wk_tokens_add(e->out, id);
    }
    size_t n = word.size;
    if (!m->raw)
        n = start_chars(e, word);
    else if (wk_reserve(&w->symbol, &w->symbol_room, n, sizeof *w->symbol))
        for (size_t i = 0; i < n; i++)
            w->symbol[i] = m->byte_id[(uint8_t)word.at[i]];
    if (!wk_ok() || (n > SHORT && !join_long(e, &n)))
        return false;
    if (n && n <= SHORT)
        n = join_short(e, w->symbol, n);
    if (!wk_reserve(&e->out->id, &e->out->room, e->out->count + n, sizeof *e->out->id))
        return false;
    if (n)
        memcpy(e->out->id + e->out->count, w->symbol, n * sizeof *w->symbol);
    e->out->count += n;
    return true;
}

const wk_model_kind wk_bpe = { "BPE", prepare, encode };
