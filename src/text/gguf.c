// SPDX-License-Identifier: MIT OR Apache-2.0
/* gguf.c - a tokenizer from the metadata of a GGUF file.
 *
 * The keys are those of llama.cpp, and so are the values where a key is missing.  What they
 * say is turned into the steps that a tokenizer.json would have for the same model:
 *
 *     llama  SentencePiece's BPE: pairs are joined by the scores of what they make
 *     gpt2   byte-level BPE with merges; tokenizer.ggml.pre names how words are cut
 *     bert   WordPiece; the file marks beginnings of words, "##" is put back here
 *     t5     SentencePiece's Unigram, with its normalisation */
#include "gguf_values.h"
#include "text.h"

#include <wick/io.h>

#include <math.h>
#include <stdio.h>

#define KEY(name) "tokenizer.ggml." name
#define MARK      WK_STR("\xE2\x96\x81") /* U+2581 */
#define BLANK     WK_STR(" ")

typedef struct builder builder;
typedef struct {
    const char *name; /* tokenizer.ggml.model */
    bool (*build)(builder *b);
    int  bos, eos, unk; /* ids where the file has none, -1: none */
    bool add_bos, add_eos, prefix;
} family;

struct builder {
    const wk_archive *a;
    wk_tokenizer     *t;
    const family     *family;
    int32_t           size;
    uint8_t          *type; /* by id */
    int32_t           unk;
    bool              prefix, add_bos;
};

/* ---- Values ------------------------------------------------------------- */

static void fail(const builder *b, const char *key, const char *format, ...) WK_PRINTF(3, 4);
static void fail(const builder *b, const char *key, const char *format, ...)
{
    char    what[300];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (wk_ok())
        wk_fail(WK_ERR_FORMAT, "%s: %s%s%s", b->t->name, key, *key ? ": " : "", what);
}

/* The value under key, which must be of this type if it is there. */
static wk_meta get(const builder *b, const char *key, wk_meta_type type, bool list)
{
    wk_meta m = wk_archive_meta(b->a, key, 0);
    bool    is = m.type == type || (list && !m.count);
    if (m.type != WK_META_NONE && (!is || m.list != list))
        fail(b, key, "a value of another type was expected");
    return m;
}

static bool get_flag(const builder *b, const char *key, bool otherwise)
{
    wk_meta m = get(b, key, WK_META_BOOL, false);
    return m.type == WK_META_BOOL ? m.integer : otherwise;
}

/* -1: the file does not say. */
static int32_t get_id(const builder *b, const char *key, int otherwise)
{
    wk_meta m = get(b, key, WK_META_INTEGER, false);
    if (m.type == WK_META_NONE)
        return otherwise < b->size ? otherwise : -1;
    if (m.integer < 0 || m.integer >= b->size)
        fail(b, key, "%lld, but there are %d tokens", (long long)m.integer, (int)b->size);
    return (int32_t)wk_min_i64(m.integer, b->size - 1);
}

/* How many numbers there are for the tokens, which must be one for each or none. */
static bool per_token(const builder *b, const char *key, wk_meta_type type)
{
    wk_meta m = get(b, key, type, true);
    if (m.list && m.count != b->size)
        fail(b, key, "%lld elements for %d tokens", (long long)m.count, (int)b->size);
    return m.list && wk_ok();
}

static float get_score(const builder *b, int32_t id)
{
    double x = wk_archive_meta(b->a, KEY("scores"), id).number;
    if (!isfinite(x))
        fail(b, KEY("scores"), "that of token %d is %g", (int)id, x);
    return (float)x;
}

/* ---- Tokens ------------------------------------------------------------- */

static bool read_types(builder *b)
{
    b->type = wk_alloc_array((size_t)b->size, 1);
    bool given = b->type && per_token(b, KEY("token_type"), WK_META_INTEGER);
    for (int32_t i = 0; b->type && i < b->size; i++) {
        int64_t type =
            given ? wk_archive_meta(b->a, KEY("token_type"), i).integer : WK_TOKEN_NORMAL;
        b->type[i] =
            (uint8_t)(type >= WK_TOKEN_NORMAL && type <= WK_TOKEN_BYTE ? type : WK_TOKEN_NORMAL);
    }
    static const char *const special[] = { KEY("bos_token_id"),     KEY("eos_token_id"),
                                           KEY("eot_token_id"),     KEY("eom_token_id"),
                                           KEY("cls_token_id"),     KEY("mask_token_id"),
                                           KEY("padding_token_id"), KEY("seperator_token_id") };
    for (size_t i = 0; !given && i < WK_COUNT(special) && wk_ok(); i++) {
        int32_t id = get_id(b, special[i], -1);
        if (id >= 0)
            b->type[id] = WK_TOKEN_CONTROL;
    }
    return wk_ok();
}

/* Of bert: the beginning of a word has a mark, and what goes on has none. */
static wk_str with_hashes(wk_str piece, wk_buf *buf)
{
    if (piece.size > 3 && wk_str_starts(piece, MARK.at))
        return (wk_str){ piece.at + 3, piece.size - 3 };
    wk_buf_clear(buf);
    wk_buf_str(buf, WK_STR("##"));
    wk_buf_str(buf, piece);
    return wk_buf_view(buf);
}

static void read_token(builder *b, int32_t id, bool hashes, wk_buf *buf)
{
    wk_meta m = wk_archive_meta(b->a, KEY("tokens"), id);
    wk_str  piece = { m.text, m.size };
    if (!wk_utf8_valid(piece.at, piece.size))
        fail(b, KEY("tokens"), "that of id %d is not UTF-8", (int)id);
    wk_buf_clear(buf);
    if (!piece.size) { /* llama.cpp's name for it */
        wk_buf_printf(buf, "[EMPTY_%d]", (int)id);
        piece = wk_buf_view(buf);
    } else if (hashes && (b->type[id] == WK_TOKEN_NORMAL || b->type[id] == WK_TOKEN_UNUSED)) {
        piece = with_hashes(piece, buf);
    }
    int32_t twin = wk_vocab_find(&b->t->vocab, piece);
    if (twin >= 0)
        fail(b, KEY("tokens"), "\"%.*s\" has the ids %d and %d",
             (int)wk_min_i64((int64_t)piece.size, 60), piece.at, (int)twin, (int)id);
    if (wk_ok() && !wk_vocab_add(&b->t->vocab, piece, id))
        wk_context("%s: %s", b->t->name, KEY("tokens"));
}

static bool read_tokens(builder *b, bool hashes)
{
    wk_buf  buf = { 0 };
    wk_meta m = get(b, KEY("tokens"), WK_META_TEXT, true);
    if (!m.list)
        fail(b, KEY("tokens"), "is missing");
    else if (m.count < 1 || m.count > INT32_MAX)
        fail(b, KEY("tokens"), "%lld of them", (long long)m.count);
    b->size = wk_ok() ? (int32_t)m.count : 0;
    if (wk_ok() && read_types(b))
        for (int32_t i = 0; i < b->size && wk_ok(); i++)
            read_token(b, i, hashes, &buf);
    wk_buf_free(&buf);
    return wk_ok();
}

/* ---- Special tokens ----------------------------------------------------- */

static bool has_text(const builder *b, const char *key, const char *const *words)
{
    wk_meta m = wk_archive_meta(b->a, key, 0);
    for (; m.type == WK_META_TEXT && !m.list && *words; words++) {
        size_t n = strlen(*words);
        for (size_t i = 0; i + n <= m.size; i++) {
            size_t k = 0;
            while (k < n && (m.text[i + k] | 32) == ((*words)[k] | 32))
                k++;
            if (k == n)
                return true;
        }
    }
    return false;
}

/* What no key says: blanks that some models' special tokens take from around them. */
static void strip_around(const builder *b, wk_added_token *x)
{
    static const char *const phi[] = { "phi-3", "phi3", NULL };
    static const char *const pre[] = { "jina-v2-de", "jina-v2-es", "jina-v2-code", NULL };
    static const char *const architecture[] = { "nomic-bert-moe", "jina-bert-v3", NULL };
    static const char *const modern[] = { "modern-bert", NULL };
    bool                     mask = wk_str_is(x->content, "<mask>");
    if (mask && (has_text(b, KEY("pre"), pre) || has_text(b, "general.architecture", architecture)))
        x->lstrip = true;
    else if (wk_str_is(x->content, "[MASK]") && has_text(b, "general.name", modern))
        x->lstrip = true;
    else if (has_text(b, "general.name", phi))
        x->rstrip = !wk_str_is(x->content, "<unk>") && !wk_str_is(x->content, "<s>") &&
                    !wk_str_is(x->content, "<|endoftext|>");
}

static bool add_special(builder *b)
{
    wk_added *a = &b->t->added;
    for (int32_t i = 0; i < b->size && wk_ok(); i++) {
        int type = b->type[i];
        if (type != WK_TOKEN_CONTROL && type != WK_TOKEN_UNKNOWN && type != WK_TOKEN_USER_DEFINED)
            continue;
        wk_added_token x = { .content = wk_vocab_piece(&b->t->vocab, i),
                             .id = i,
                             .special = type != WK_TOKEN_USER_DEFINED };
        strip_around(b, &x);
        if (wk_reserve(&a->at, &a->room, a->count + 1, sizeof x))
            a->at[a->count++] = x;
    }
    return wk_ok();
}

/* The token that a text begins or ends with, if it does. */
static void add_end(builder *b, const char *flag, bool otherwise, const char *key, int id)
{
    if (!get_flag(b, flag, otherwise))
        return;
    id = get_id(b, key, id);
    if (id < 0)
        fail(b, flag, "there is no %s to add", key);
    wk_post_add(&b->t->post, id);
}

static bool add_ends(builder *b)
{
    bool hashes = !strcmp(b->family->name, "bert");
    int  bos = get_id(b, KEY("cls_token_id"), b->family->bos);
    b->t->post.given = true;
    add_end(b, KEY("add_bos_token"), b->add_bos, KEY("bos_token_id"),
            hashes ? bos : b->family->bos);
    wk_post_add(&b->t->post, WK_SEQUENCE);
    if (hashes)
        add_end(b, KEY("add_sep_token"), true, KEY("seperator_token_id"), b->family->eos);
    else
        add_end(b, KEY("add_eos_token"), b->family->add_eos, KEY("eos_token_id"), b->family->eos);
    return wk_ok();
}

/* ---- Steps -------------------------------------------------------------- */

static bool normalizer(builder *b, const char *type, const wk_step *s)
{
    return wk_steps_add(&b->t->normalizers, &wk_normalizers, b->t->name, type, s);
}

static bool pre_tokenizer(builder *b, const char *type, const wk_step *s)
{
    return wk_steps_add(&b->t->pre_tokenizers, &wk_pre_tokenizers, b->t->name, type, s);
}

static bool decoder(builder *b, const char *type, const wk_step *s)
{
    b->t->has_decoder = true;
    return wk_steps_add(&b->t->decoders, &wk_detokenizers, b->t->name, type, s);
}

/* Blanks become marks, and one more stands in front; and back. */
static bool mark_blanks(builder *b)
{
    if (b->prefix)
        normalizer(b, "Prepend", &(wk_step){ .content = MARK });
    normalizer(b, "Replace", &(wk_step){ .pattern = BLANK, .content = MARK });
    decoder(b, "Replace", &(wk_step){ .pattern = MARK, .content = BLANK });
    decoder(b, "ByteFallback", &(wk_step){ 0 });
    decoder(b, "Fuse", &(wk_step){ 0 });
    return !b->prefix || decoder(b, "Strip", &(wk_step){ .content = BLANK, .start = 1 });
}

static void set_unknown(builder *b, bool falls_back)
{
    wk_model *m = &b->t->model;
    m->unk_id = b->unk = get_id(b, KEY("unknown_token_id"), b->family->unk);
    if (b->unk >= 0)
        m->unk_token = wk_vocab_piece(&b->t->vocab, b->unk);
    m->fuse_unk = true;
    m->byte_fallback = falls_back;
}

/* ---- Families ----------------------------------------------------------- */

/* What SentencePiece's models have alike: tokens, each with a score, and bytes to fall back to. */
static bool read_scored(builder *b)
{
    if (!read_tokens(b, false))
        return false;
    if (!per_token(b, KEY("scores"), WK_META_NUMBER))
        fail(b, KEY("scores"), "is missing");
    set_unknown(b, true);
    return wk_ok();
}

static bool build_llama(builder *b)
{
    wk_model *m = &b->t->model;
    if (!read_scored(b))
        return false;
    m->kind = &wk_bpe;
    m->rank = wk_alloc_array((size_t)b->size, sizeof *m->rank);
    for (int32_t i = 0; m->rank && i < b->size && wk_ok(); i++) {
        bool joined = b->type[i] == WK_TOKEN_NORMAL || b->type[i] == WK_TOKEN_USER_DEFINED ||
                      b->type[i] == WK_TOKEN_UNUSED;
        float score = get_score(b, i);
        m->rank[i] = joined && i != b->unk ? wk_bpe_rank(score) : UINT32_MAX;
    }
    return wk_ok() && mark_blanks(b);
}

static bool read_merges(builder *b)
{
    wk_buf  joined = { 0 };
    wk_meta m = get(b, KEY("merges"), WK_META_TEXT, true);
    if (!m.list)
        fail(b, KEY("merges"), "is missing");
    b->t->model.has_merges = true;
    wk_bpe_merge_room(b->t, (size_t)m.count);
    for (int64_t i = 0; i < m.count && wk_ok(); i++) {
        wk_meta     x = wk_archive_meta(b->a, KEY("merges"), i);
        const char *blank = x.size > 2 ? memchr(x.text + 1, ' ', x.size - 1) : NULL;
        if (!blank) {
            fail(b, KEY("merges"), "number %lld is not two pieces with a blank between",
                 (long long)i);
            break;
        }
        size_t left = (size_t)(blank - x.text);
        wk_buf_clear(&joined);
        wk_buf_add(&joined, x.text, left);
        wk_buf_add(&joined, blank + 1, x.size - left - 1);
        if (wk_ok() && !wk_bpe_add_merge(b->t, &joined, left))
            wk_context("%s: %s", b->t->name, KEY("merges"));
    }
    wk_buf_free(&joined);
    return wk_ok();
}

static bool cut_words(builder *b, const wk_pre *pre)
{
    for (size_t i = 0; i < WK_COUNT(pre->split) && pre->split[i] && wk_ok(); i++)
        pre_tokenizer(b, "Split",
                      &(wk_step){ .pattern = wk_str_of(pre->split[i]),
                                  .pattern_is_regex = true,
                                  .behavior = WK_ISOLATED });
    if (!(pre->flags & WK_PRE_CHARS)) {
        pre_tokenizer(b, "ByteLevel", &(wk_step){ 0 });
        return decoder(b, "ByteLevel", &(wk_step){ 0 });
    }
    if (!pre->split[0])
        pre_tokenizer(b, "WhitespaceSplit", &(wk_step){ 0 });
    if (!pre->split[0] && get_flag(b, KEY("normalizer.lowercase"), false))
        normalizer(b, "Lowercase", &(wk_step){ 0 });
    return !(pre->flags & WK_PRE_MARKS) || mark_blanks(b);
}

static bool build_merges(builder *b)
{
    bool          own = strcmp(b->family->name, "gpt2"); /* the family is its own way to cut */
    wk_meta       m = get(b, KEY("pre"), WK_META_TEXT, false);
    wk_str        name = own                      ? wk_str_of(b->family->name)
                         : m.type == WK_META_TEXT ? (wk_str){ m.text, m.size }
                                                  : WK_STR("default");
    const wk_pre *pre = wk_pre_find(name);
    if (!pre)
        fail(b, KEY("pre"), "\"%.*s\" is not known", (int)wk_min_i64((int64_t)name.size, 60),
             name.at);
    if (!wk_ok() || !read_tokens(b, false))
        return false;
    b->t->model.kind = &wk_bpe;
    b->t->model.ignore_merges = pre->flags & WK_PRE_WHOLE;
    b->add_bos = pre->flags & WK_PRE_BOS;
    if (pre->flags & WK_PRE_CHARS)
        set_unknown(b, true);
    return read_merges(b) && cut_words(b, pre);
}

static bool build_bert(builder *b)
{
    if (!read_tokens(b, true))
        return false;
    bool lower = get_flag(b, KEY("normalizer.lowercase"), true);
    bool strip = get_flag(b, KEY("normalizer.strip_accents"), lower);
    set_unknown(b, false);
    if (b->unk < 0)
        fail(b, KEY("unknown_token_id"), "is missing");
    b->t->model.kind = &wk_word_piece;
    b->t->model.prefix = WK_STR("##");
    b->t->model.max_chars = -1;
    normalizer(b, "BertNormalizer",
               &(wk_step){ .clean_text = true,
                           .handle_chinese_chars = true,
                           .lowercase = lower,
                           .strip_accents = strip });
    pre_tokenizer(b, "BertPreTokenizer", &(wk_step){ 0 });
    return decoder(b, "WordPiece", &(wk_step){ .prefix = WK_STR("##"), .cleanup = true });
}

/* The bytes of the charsmap, which the file has as numbers. */
static wk_str read_charsmap(builder *b)
{
    wk_meta m = get(b, KEY("precompiled_charsmap"), WK_META_INTEGER, true);
    wk_buf  bytes = { 0 };
    for (int64_t i = 0; m.list && i < m.count && wk_ok(); i++) {
        int64_t x = wk_archive_meta(b->a, KEY("precompiled_charsmap"), i).integer;
        if (x < INT8_MIN || x > UINT8_MAX)
            fail(b, KEY("precompiled_charsmap"), "%lld is not a byte", (long long)x);
        wk_buf_char(&bytes, (char)x);
    }
    wk_str kept = wk_text_keep(b->t, wk_buf_view(&bytes));
    wk_buf_free(&bytes);
    return kept;
}

static bool build_t5(builder *b)
{
    wk_model *m = &b->t->model;
    if (!read_scored(b))
        return false;
    m->kind = &wk_unigram;
    m->score = wk_alloc_array((size_t)b->size, sizeof *m->score);
    m->scores = (size_t)b->size;
    for (int32_t i = 0; m->score && i < b->size && wk_ok(); i++) {
        float score = get_score(b, i);
        bool  sought = b->type[i] == WK_TOKEN_NORMAL || b->type[i] == WK_TOKEN_UNUSED;
        m->score[i] = b->type[i] == WK_TOKEN_USER_DEFINED ? 0 : sought ? score : (double)NAN;
    }
    wk_str map = read_charsmap(b);
    if (map.size && !normalizer(b, "Precompiled", &(wk_step){ .content = map, .longest = true }))
        wk_context("%s", KEY("precompiled_charsmap"));
    if (get_flag(b, KEY("remove_extra_whitespaces"), false))
        normalizer(b, NULL, &(wk_step){ .kind = &wk_merge_blanks });
    return wk_ok() && mark_blanks(b);
}

static const family families[] = {
    { "llama", build_llama, 1, 2, 0, true, false, true },
    { "gpt2", build_merges, -1, -1, -1, false, false, false },
    { "gemma4", build_merges, -1, -1, -1, true, false, false },
    { "whitespace", build_merges, -1, -1, -1, false, false, false },
    { "bert", build_bert, 101, 102, 100, true, false, false },
    { "t5", build_t5, -1, 1, 2, false, true, false },
};

/* ---- Public ------------------------------------------------------------- */

static bool build(builder *b)
{
    wk_meta m = get(b, KEY("model"), WK_META_TEXT, false);
    if (m.type == WK_META_NONE)
        fail(b, KEY("model"), "is missing: there is no tokenizer in this file");
    for (size_t i = 0; i < WK_COUNT(families) && wk_ok(); i++)
        if (wk_str_is((wk_str){ m.text, m.size }, families[i].name))
            b->family = &families[i];
    if (wk_ok() && !b->family)
        wk_fail(WK_ERR_UNSUPPORTED, "%s: %s \"%.*s\" is not supported", b->t->name, KEY("model"),
                (int)wk_min_i64((int64_t)m.size, 60), m.text);
    if (!wk_ok())
        return false;
    b->add_bos = b->family->add_bos;
    b->prefix = get_flag(b, KEY("add_space_prefix"), b->family->prefix);
    return b->family->build(b) && add_special(b) && add_ends(b) && wk_tokenizer_finish(b->t);
}

wk_tokenizer *wk_tokenizer_from_archive(const wk_archive *a)
{
    if (wk_ok() && !a)
        wk_fail(WK_ERR_ARGUMENT, "tokenizer: the archive is NULL");
    if (!wk_ok())
        return NULL;
    const char *path = wk_archive_path(a);
    wk_meta     json = wk_archive_meta(a, "tokenizer.huggingface.json", 0);
    if (wk_archive_meta(a, KEY("model"), 0).type == WK_META_NONE && json.type == WK_META_TEXT)
        return wk_tokenizer_parse(path, json.text, json.size);
    builder b = { .a = a, .t = wk_alloc(sizeof *b.t) };
    if (b.t && (b.t->name = wk_str_copy(wk_str_of(path))) && build(&b)) {
        wk_free(b.type);
        return b.t;
    }
    wk_free(b.type);
    wk_tokenizer_free(b.t);
    return NULL;
}
