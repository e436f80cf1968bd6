// SPDX-License-Identifier: MIT OR Apache-2.0
/* unigram.c - Unigram models: of all ways to cut a word into pieces, the one whose scores,
 * which are logarithms of probabilities, have the greatest sum (Viterbi; Kudo 2018,
 * arXiv:1804.10959, as SentencePiece does it).
 *
 * Pieces that may begin at a character are looked up length by length.  How far that has to
 * go is in a table, by a hash of the first four bytes. */
#include "text.h"

#include <math.h>

enum { REACH_BITS = 16, LONGEST = 1023, KEY = 4 };

static const double UNKNOWN = 10; /* so much worse than the worst piece is a character in none */

/* ---- Loading ------------------------------------------------------------ */

bool wk_unigram_read_vocab(wk_tokenizer *t, wk_json *j)
{
    size_t room = 0, count = 0;
    if (t->model.score || t->vocab.size)
        wk_json_fail(j, "model: a second \"vocab\"");
    for (wk_json_array(j); wk_json_item(j);) {
        int n = 0;
        if (!wk_reserve(&t->model.score, &room, count + 1, sizeof *t->model.score))
            break;
        t->model.score[count] = 0;
        for (wk_json_array(j); wk_json_item(j); n++)
            if (n == 0 && !wk_vocab_add(&t->vocab, wk_json_string(j), (int64_t)count))
                wk_context("%s: model", t->name);
            else if (n == 1)
                t->model.score[count] = wk_json_number(j);
            else if (n)
                wk_json_skip(j);
        if (n != 2)
            wk_json_fail(j, "model Unigram: a row must be a piece and its score");
        t->model.scores = ++count;
    }
    return wk_ok();
}

static uint32_t key_of(const char *at)
{
    uint32_t x;
    memcpy(&x, at, KEY);
    return x * 0x9E3779B1u >> (32 - REACH_BITS);
}

static bool prepare(wk_tokenizer *t)
{
    wk_model *m = &t->model;
    double    least = INFINITY;
    if (!m->score || m->scores != t->vocab.size || m->has_merges) {
        wk_fail(WK_ERR_FORMAT, "%s: model Unigram: each piece must have a score, and no merges",
                t->name);
        return false;
    }
    wk_model_find_bytes(t);
    m->reach = wk_alloc_array((size_t)1 << REACH_BITS, sizeof *m->reach);
    m->cut = wk_vocab_find(&t->vocab, WK_STR("\xE2\x96\x81")) >= 0;
    for (size_t i = 0; m->reach && i < t->vocab.size; i++) {
        wk_str piece = wk_vocab_piece(&t->vocab, (int32_t)i);
        if (!piece.at || isnan(m->score[i]))
            continue;
        if (piece.size > LONGEST)
            wk_fail(WK_ERR_UNSUPPORTED, "%s: model Unigram: piece %zu has %zu bytes, more than %d",
                    t->name, i, piece.size, LONGEST);
        else if (!(fabs(m->score[i]) < 1e30)) /* sums of them must be finite */
            wk_fail(WK_ERR_FORMAT, "%s: model Unigram: piece %zu has the score %g", t->name, i,
                    m->score[i]);
        if (!wk_ok())
            return false;
        if (piece.size >= KEY && piece.size > m->reach[key_of(piece.at)])
            m->reach[key_of(piece.at)] = (uint16_t)piece.size;
        least = fmin(least, m->score[i]);
        m->cut &= wk_piece_can_cut(piece);
    }
    m->unk_score = (least < INFINITY ? least : 0) - UNKNOWN;
    if (m->unk_id >= 0 && !wk_vocab_piece(&t->vocab, m->unk_id).at)
        wk_fail(WK_ERR_FORMAT, "%s: model Unigram: unk_id %d is not in the vocabulary", t->name,
                (int)m->unk_id);
    return wk_ok();
}

/* ---- Encoding ----------------------------------------------------------- */

/* A way to byte end, by a piece that begins at byte start. */
static void offer(wk_bpe_work *w, size_t start, size_t end, double score, int32_t id)
{
    double sum = w->score[start] + score;
    if (sum > w->score[end]) {
        w->score[end] = sum;
        w->previous[end] = (uint32_t)start;
        w->symbol[end] = id;
    }
}

/* All pieces that begin at byte at. */
static size_t offer_pieces(wk_encoder *e, wk_str word, size_t at)
{
    const wk_model *m = &e->t->model;
    size_t          most = word.size - at, one = 0;
    if (most >= KEY) {
        size_t reach = m->reach[key_of(word.at + at)];
        reach = reach < KEY ? KEY : reach;
        most = reach < most ? reach : most;
    }
    bool single = false;
    for (size_t n = 1; n <= most || !one; n++) {
        if (at + n < word.size && (word.at[at + n] & 0xC0) == 0x80)
            continue; /* within a character */
        int32_t id = wk_vocab_find(&e->t->vocab, (wk_str){ word.at + at, n });
        bool    good = id >= 0 && !isnan(m->score[id]);
        if (good)
            offer(&e->bpe, at, at + n, m->score[id], id);
        single |= good && !one;
        one = one ? one : n;
    }
    if (!single)
        offer(&e->bpe, at, at + one, m->unk_score, -1);
    return one;
}

/* What is in no piece is one unknown token, or its bytes. */
static bool add_unknown(wk_encoder *e, wk_str text)
{
    const wk_model *m = &e->t->model;
    bool            bytes = m->byte_fallback;
    for (size_t i = 0; bytes && i < text.size; i++)
        bytes = m->fallback_id[(uint8_t)text.at[i]] >= 0;
    for (size_t i = 0; bytes && i < text.size; i++)
        wk_tokens_add(e->out, m->fallback_id[(uint8_t)text.at[i]]);
    if (!bytes && m->unk_id >= 0)
        return wk_tokens_add(e->out, m->unk_id);
    if (!bytes)
        wk_fail(WK_ERR_FORMAT, "%s: model Unigram: \"%.*s\" is in no piece, and there is no unk_id",
                e->t->name, (int)wk_min_i64((int64_t)text.size, 60), text.at);
    return wk_ok();
}

static bool encode(wk_encoder *e, wk_str word)
{
    wk_bpe_work *w = &e->bpe;
    size_t       n = word.size + 1;
    if (!wk_reserve(&w->score, &w->score_room, n, sizeof *w->score) ||
        !wk_reserve(&w->symbol, &w->symbol_room, n, sizeof *w->symbol) ||
        !wk_reserve(&w->previous, &w->previous_room, n, sizeof *w->previous) ||
        !wk_reserve(&w->next, &w->next_room, n, sizeof *w->next))
        return false;
    for (size_t i = 1; i < n; i++)
        w->score[i] = -INFINITY;
    w->score[0] = 0;
    for (size_t at = 0; at < word.size;)
        at += offer_pieces(e, word, at);
    for (uint32_t to = (uint32_t)word.size; to; to = w->previous[to])
        w->next[w->previous[to]] = to;
    for (size_t at = 0, end; at < word.size; at = end) {
        end = w->next[at];
        if (w->symbol[end] >= 0) {
            if (!wk_tokens_add(e->out, w->symbol[end]))
                return false;
            continue;
        }
        while (end < word.size && w->symbol[w->next[end]] < 0)
            end = w->next[end];
        if (!add_unknown(e, (wk_str){ word.at + at, end - at }))
            return false;
    }
    return true;
}

const wk_model_kind wk_unigram = { "Unigram", prepare, encode };
