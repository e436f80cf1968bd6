// SPDX-License-Identifier: MIT OR Apache-2.0
/* word_models.c - WordLevel, which knows whole words, and WordPiece, which takes the
 * longest piece it knows from the front of a word, again and again. */
#include "text.h"

static bool prepare(wk_tokenizer *t)
{
    wk_model *m = &t->model;
    if (m->has_merges)
        wk_fail(WK_ERR_FORMAT, "%s: model %s has no merges", t->name, m->kind->name);
    else if (!m->unk_token.at)
        wk_fail(WK_ERR_FORMAT, "%s: model %s: \"unk_token\" is missing", t->name, m->kind->name);
    return wk_ok();
}

static bool unknown(wk_encoder *e)
{
    const wk_model *m = &e->t->model;
    if (m->unk_id < 0) {
        wk_fail(WK_ERR_FORMAT, "%s: model %s: unk_token \"%.60s\" is not in the vocabulary",
                e->t->name, m->kind->name, m->unk_token.at);
        return false;
    }
    return wk_tokens_add(e->out, m->unk_id);
}

/* ---- WordLevel ---------------------------------------------------------- */

static bool encode_level(wk_encoder *e, wk_str word)
{
    int32_t id = wk_vocab_find(&e->t->vocab, word);
    return id >= 0 ? wk_tokens_add(e->out, id) : unknown(e);
}

const wk_model_kind wk_word_level = { "WordLevel", prepare, encode_level };

/* ---- WordPiece ---------------------------------------------------------- */

/* The longest piece at at that may stand behind the prefix; *taken: its bytes of the
 * word.  No piece is longer than the vocabulary's longest. */
static int32_t longest(wk_encoder *e, const char *at, const char *end, bool first, size_t *taken)
{
    const wk_vocab *v = &e->t->vocab;
    size_t          prefix = first ? 0 : e->t->model.prefix.size, n = (size_t)(end - at);
    if (v->longest < prefix)
        return -1;
    n = n < v->longest - prefix ? n : v->longest - prefix;
    wk_buf_clear(&e->word);
    if (!first)
        wk_buf_str(&e->word, e->t->model.prefix);
    wk_buf_add(&e->word, at, n);
    for (; n && wk_ok(); n--) {
        int32_t id = wk_vocab_find(v, (wk_str){ e->word.data, prefix + n });
        *taken = n;
        if (id >= 0)
            return id;
    }
    return -1;
}

static bool encode_piece(wk_encoder *e, wk_str word)
{
    const char *end = word.at + word.size;
    int64_t     chars = 0, most = e->t->model.max_chars < 0 ? 100 : e->t->model.max_chars;
    size_t      before = e->out->count, taken;
    for (size_t i = 0; i < word.size; i++)
        chars += (word.at[i] & 0xC0) != 0x80;
    if (chars > most)
        return unknown(e);
    for (const char *p = word.at; p < end; p += taken) {
        int32_t id = longest(e, p, end, p == word.at, &taken);
        if (id < 0) {
            e->out->count = before;
            return wk_ok() && unknown(e);
        }
        if (!wk_tokens_add(e->out, id))
            return false;
    }
    return true;
}

const wk_model_kind wk_word_piece = { "WordPiece", prepare, encode_piece };
