// SPDX-License-Identifier: MIT OR Apache-2.0
/* decoders.c - ids back to text, token by token.
 *
 * The decoders of a tokenizer.json are defined on the list of all tokens.  Here each
 * is a station that takes a token in chunks and passes chunks on as soon as they are
 * certain, so that one implementation serves streams and whole texts, and they cannot
 * differ.  Chunks are whole characters; "ends" marks the last chunk of a token. */
#include "text.h"

#include <stdlib.h>

typedef struct {   /* what a station remembers; the numbers mean what it wants */
    wk_buf  token; /* the beginning of a token that must be seen as a whole */
    wk_buf  held;  /* output that is not certain yet */
    int64_t tokens, count;
    bool    done;
} station;

struct wk_detokenizer {
    const wk_tokenizer *t;
    bool                keep_special;
    int64_t             tokens;
    uint64_t            budget;
    wk_text_work        work;
    wk_buf              out;
    station             at[];
};

static void pass(wk_detokenizer *d, size_t step, wk_str text, bool ends)
{
    const wk_steps *steps = &d->t->decoders;
    if (!wk_ok() || (!text.size && !ends) || !wk_text_spend(&d->budget, text.size, d->t->name))
        return;
    if (step < steps->count) {
        steps->at[step].kind->decode(d, step, text, ends);
        return;
    }
    /* What comes out is a C string: NUL is shown as what cannot be shown. */
    for (const char *p = text.at, *end = p + text.size, *q; p < end; p = q) {
        q = memchr(p, '\0', (size_t)(end - p));
        wk_buf_add(&d->out, p, (size_t)((q ? q : end) - p));
        if (q)
            wk_buf_utf8(&d->out, 0xFFFD);
        q = q ? q + 1 : end;
    }
}

static const wk_step *step_of(const wk_detokenizer *d, size_t step)
{
    return &d->t->decoders.at[step];
}

/* Collect chunks to a token.  True: it is whole, in *text. */
static bool collect(station *s, wk_str *text, bool ends)
{
    if (ends && !s->token.size)
        return true;
    wk_buf_str(&s->token, *text);
    *text = wk_buf_view(&s->token);
    return ends && wk_ok();
}

#define DECODER(name)     static void name(wk_detokenizer *d, size_t step, wk_str text, bool ends)
#define DECODER_END(name) static void name(wk_detokenizer *d, size_t step)

/* ---- Bytes -------------------------------------------------------------- */

/* The first bytes of text as UTF-8: how many belong together.  *state: 1 a character,
 * 0 they cannot become one, -1 they could, but the text ends. */
static size_t utf8_unit(wk_str text, int *state)
{
    const uint8_t *p = (const uint8_t *)text.at;
    size_t         need = p[0] < 0x80 ? 1 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
    uint8_t        low = 0x80, high = 0xBF; /* of the second byte */
    *state = 0;
    if ((p[0] >= 0x80 && p[0] < 0xC2) || p[0] > 0xF4)
        return 1;
    if (p[0] == 0xE0)
        low = 0xA0;
    if (p[0] == 0xED)
        high = 0x9F;
    if (p[0] == 0xF0)
        low = 0x90;
    if (p[0] == 0xF4)
        high = 0x8F;
    for (size_t i = 1; i < need; i++) {
        if (i == text.size) {
            *state = -1;
            return i;
        }
        if (p[i] < low || p[i] > high)
            return i;
        low = 0x80, high = 0xBF;
    }
    *state = 1;
    return need;
}

/* Pass on the characters in bytes, U+FFFD for what is none.  Returns how many bytes at
 * the end may be the beginning of one. */
static size_t pass_utf8(wk_detokenizer *d, size_t step, wk_str bytes)
{
    size_t start = 0, at = 0;
    int    state = 1;
    while (at < bytes.size && state >= 0) {
        size_t n = utf8_unit((wk_str){ bytes.at + at, bytes.size - at }, &state);
        if (state != 1)
            pass(d, step, (wk_str){ bytes.at + start, at - start }, false);
        if (state == 0)
            pass(d, step, WK_STR("\xEF\xBF\xBD"), false);
        at += state < 0 ? 0 : n;
        start = state == 1 ? start : at;
    }
    pass(d, step, (wk_str){ bytes.at + start, at - start }, false);
    return bytes.size - at;
}

/* A token whose characters all stand for bytes is those bytes; the tokens become one. */
DECODER(byte_level)
{
    station *s = &d->at[step];
    if (!collect(s, &text, ends))
        return;
    size_t      before = s->held.size;
    const char *end = text.at + text.size;
    for (const char *p = text.at; p < end;) {
        int byte = wk_char_to_byte(wk_utf8_next(&p, end, NULL));
        if (byte < 0) {
            s->held.size = before;
            wk_buf_str(&s->held, text);
            break;
        }
        wk_buf_char(&s->held, (char)byte);
    }
    wk_buf_clear(&s->token);
    size_t left = pass_utf8(d, step + 1, wk_buf_view(&s->held));
    if (left && wk_ok())
        memmove(s->held.data, s->held.data + s->held.size - left, left);
    s->held.size = left;
}

DECODER_END(byte_level_end)
{
    if (d->at[step].held.size)
        pass(d, step + 1, WK_STR("\xEF\xBF\xBD"), false);
    pass(d, step + 1, WK_STR(""), true);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

/* A run of "<0x41>" is a text, if it is valid as a whole. */
DECODER_END(byte_fallback_end)
{
    station *s = &d->at[step];
    size_t   n = s->held.size;
    if (n && wk_utf8_valid(s->held.data, n))
        pass(d, step + 1, wk_buf_view(&s->held), true);
    else
        for (size_t i = 0; i < n; i++)
            pass(d, step + 1, WK_STR("\xEF\xBF\xBD"), true);
    wk_buf_clear(&s->held);
}

DECODER(byte_fallback)
{
    station *s = &d->at[step];
    if (!collect(s, &text, ends))
        return;
    int high = -1, low = -1;
    if (text.size == 6 && wk_str_starts(text, "<0x") && text.at[5] == '>') {
        high = hex_digit(text.at[3]);
        low = hex_digit(text.at[4]);
    }
    if (high >= 0 && low >= 0) {
        wk_buf_char(&s->held, (char)(high << 4 | low));
    } else {
        byte_fallback_end(d, step);
        pass(d, step + 1, text, true);
    }
    wk_buf_clear(&s->token);
}

/* ---- Text --------------------------------------------------------------- */

DECODER(fuse)
{
    (void)ends;
    pass(d, step + 1, text, false);
}

DECODER_END(fuse_end) { pass(d, step + 1, WK_STR(""), true); }

/* How many bytes at the end of text may be the beginning of pattern. */
static size_t begun(wk_str text, wk_str pattern)
{
    size_t n = text.size < pattern.size - 1 ? text.size : pattern.size - 1;
    while (n && memcmp(text.at + text.size - n, pattern.at, n))
        n--;
    return n;
}

DECODER(replace)
{
    const wk_step *r = step_of(d, step);
    station       *s = &d->at[step];
    if (r->pattern_is_regex && !collect(s, &text, ends))
        return;
    if (s->held.size) {
        wk_buf_str(&s->held, text);
        text = wk_buf_view(&s->held);
    }
    wk_search at = { 0 };
    wk_span   x;
    size_t    done = 0;
    for (; wk_search_next(r, &d->work, text, &at, &x); done = x.end) {
        pass(d, step + 1, (wk_str){ text.at + done, x.start - done }, false);
        pass(d, step + 1, r->content, false);
    }
    wk_str left = { text.at + done, text.size - done };
    size_t hold = ends ? 0 : begun(left, r->pattern);
    pass(d, step + 1, (wk_str){ left.at, left.size - hold }, ends);
    if (hold || s->held.size) {
        wk_buf rest = { 0 };
        wk_buf_add(&rest, left.at + left.size - hold, hold);
        wk_buf_free(&s->held);
        s->held = rest;
    }
    wk_buf_clear(&s->token);
}

static bool begins(const char *p, const char *end, wk_str with)
{
    return (size_t)(end - p) >= with.size && !memcmp(p, with.at, with.size);
}

/* Leave out up to start characters in front of a token and stop behind it.  What may
 * have to be left out waits. */
DECODER(strip)
{
    const wk_step *r = step_of(d, step);
    station       *s = &d->at[step];
    const char    *p = text.at, *end = p + text.size, *tail = end;
    while (!s->done && p < end) {
        s->done = s->count == r->start || !begins(p, end, r->content);
        s->count += !s->done;
        p += s->done ? 0 : r->content.size;
    }
    while ((size_t)(tail - p) >= r->content.size &&
           begins(tail - r->content.size, tail, r->content))
        tail -= r->content.size;
    if (tail > p)
        for (; s->tokens; s->tokens--) /* what waited is not at the end */
            pass(d, step + 1, r->content, false);
    pass(d, step + 1, (wk_str){ p, (size_t)(tail - p) }, false);
    for (s->tokens += (end - tail) / (ptrdiff_t)r->content.size; s->tokens > r->stop; s->tokens--)
        pass(d, step + 1, r->content, false);
    if (!ends)
        return;
    pass(d, step + 1, WK_STR(""), true);
    s->count = s->tokens = 0;
    s->done = false;
}

/* In the first token the marks of spaces are left out. */
DECODER(metaspace)
{
    const wk_step *r = step_of(d, step);
    station       *s = &d->at[step];
    wk_str         space = s->tokens == 0 && r->scheme != WK_NEVER ? WK_STR("") : WK_STR(" ");
    wk_search      at = { 0 };
    wk_span        x;
    size_t         done = 0;
    for (; wk_search_next(r, &d->work, text, &at, &x); done = x.end) {
        pass(d, step + 1, (wk_str){ text.at + done, x.start - done }, false);
        pass(d, step + 1, space, false);
    }
    pass(d, step + 1, (wk_str){ text.at + done, text.size - done }, ends);
    s->tokens += ends;
}

/* ---- Words -------------------------------------------------------------- */

static void replace_all(wk_buf *out, wk_str text, wk_str from, wk_str to)
{
    const char *end = text.at + text.size;
    for (const char *p = text.at, *q; p < end; p = q) {
        q = memmem(p, (size_t)(end - p), from.at, from.size);
        wk_buf_add(out, p, (size_t)((q ? q : end) - p));
        if (q)
            wk_buf_str(out, to);
        q = q ? q + from.size : end;
    }
}

/* The suffix that ends a word becomes a blank, but not at the end of the text: the
 * last token waits. */
static void pass_word(wk_detokenizer *d, size_t step, wk_str blank)
{
    wk_buf out = { 0 };
    replace_all(&out, wk_buf_view(&d->at[step].held), step_of(d, step)->content, blank);
    pass(d, step + 1, wk_buf_view(&out), true);
    wk_buf_free(&out);
    wk_buf_clear(&d->at[step].held);
}

DECODER(bpe)
{
    station *s = &d->at[step];
    if (!collect(s, &text, ends))
        return;
    if (s->tokens++)
        pass_word(d, step, WK_STR(" "));
    wk_buf_str(&s->held, text);
    wk_buf_clear(&s->token);
}

DECODER_END(bpe_end)
{
    if (d->at[step].tokens)
        pass_word(d, step, WK_STR(""));
}

DECODER(word_piece)
{
    static const char *const tidy[][2] = {
        { " .", "." },   { " ?", "?" },     { " !", "!" },     { " ,", "," },
        { " ' ", "'" },  { " n't", "n't" }, { " 'm", "'m" },   { " do not", " don't" },
        { " 's", "'s" }, { " 've", "'ve" }, { " 're", "'re" },
    };
    const wk_step *r = step_of(d, step);
    station       *s = &d->at[step];
    if (!collect(s, &text, ends))
        return;
    wk_buf out = { 0 };
    if (s->tokens++ && !begins(text.at, text.at + text.size, r->prefix))
        wk_buf_char(&out, ' ');
    else if (s->tokens > 1)
        text = (wk_str){ text.at + r->prefix.size, text.size - r->prefix.size };
    wk_buf_str(&out, text);
    for (size_t i = 0; r->cleanup && i < WK_COUNT(tidy); i++) {
        wk_buf_clear(&s->held);
        replace_all(&s->held, wk_buf_view(&out), wk_str_of(tidy[i][0]), wk_str_of(tidy[i][1]));
        wk_buf other = out;
        out = s->held;
        s->held = other;
    }
    pass(d, step + 1, wk_buf_view(&out), true);
    wk_buf_free(&out);
    wk_buf_clear(&s->token);
}

/* ---- The table ---------------------------------------------------------- */

static bool prepare_strip(wk_step *s)
{
    if (s->start < 0 || s->stop < 0)
        wk_step_fail(s, WK_ERR_FORMAT, "\"start\" and \"stop\" must not be negative");
    return wk_step_char(s, "content");
}

static bool prepare_metaspace(wk_step *s) { return wk_step_char(s, "replacement"); }

static bool prepare_bpe(wk_step *s)
{
    if (!s->content.size)
        wk_step_fail(s, WK_ERR_UNSUPPORTED, "an empty suffix is not supported");
    return wk_ok();
}

static const wk_step_kind kinds[] = {
    { "BPEDecoder", "suffix!", prepare_bpe, .decode = bpe, .decode_end = bpe_end },
    { "ByteFallback", "", .decode = byte_fallback, .decode_end = byte_fallback_end },
    { "ByteLevel", "add_prefix_space trim_offsets use_regex", .decode = byte_level,
      .decode_end = byte_level_end },
    { "Fuse", "", .decode = fuse, .decode_end = fuse_end },
    { "Metaspace", "replacement! prepend_scheme split add_prefix_space str_rep", prepare_metaspace,
      .decode = metaspace },
    { "Replace", "pattern! content!", wk_step_pattern, .decode = replace },
    { "Strip", "content! start! stop!", prepare_strip, .decode = strip },
    { "WordPiece", "prefix! cleanup!", .decode = word_piece },
};

const wk_step_table wk_detokenizers = { "decoder", "decoders", kinds, WK_COUNT(kinds) };

/* ---- Decoding ----------------------------------------------------------- */

wk_detokenizer *wk_detokenizer_new(const wk_tokenizer *t, bool keep_special)
{
    if (!wk_ok())
        return NULL;
    if (!t) {
        wk_fail(WK_ERR_ARGUMENT, "decode: the tokenizer is NULL");
        return NULL;
    }
    wk_detokenizer *d = wk_alloc(sizeof *d + t->decoders.count * sizeof *d->at);
    if (d) {
        d->t = t;
        d->keep_special = keep_special;
    }
    return d;
}

void wk_detokenizer_free(wk_detokenizer *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->t->decoders.count; i++) {
        wk_buf_free(&d->at[i].token);
        wk_buf_free(&d->at[i].held);
    }
    wk_text_work_free(&d->work);
    wk_buf_free(&d->out);
    wk_free(d);
}

/* Ids that have no piece are passed over: models have more ids than tokenizers. */
static void push(wk_detokenizer *d, int32_t id)
{
    const wk_added_token *x = wk_added_get(d->t, id);
    wk_str                text = x ? x->matched : wk_vocab_piece(&d->t->vocab, id);
    if (!text.at || (x && x->special && !d->keep_special))
        return;
    d->budget += wk_text_budget(text.size);
    if (d->tokens++ && !d->t->has_decoder)
        pass(d, 0, WK_STR(" "), false);
    pass(d, 0, text, true);
}

/* Let go of all that is held, from the first station on; then all is as new. */
static void end(wk_detokenizer *d)
{
    d->budget += wk_text_budget(0);
    for (size_t i = 0; i < d->t->decoders.count; i++) {
        if (d->t->decoders.at[i].kind->decode_end)
            d->t->decoders.at[i].kind->decode_end(d, i);
        station *s = &d->at[i];
        wk_buf_clear(&s->token);
        wk_buf_clear(&s->held);
        s->tokens = s->count = 0;
        s->done = false;
    }
    d->tokens = 0;
}

static const char *shown(const wk_detokenizer *d)
{
    return wk_ok() ? wk_buf_view(&d->out).at : NULL;
}

const char *wk_detokenizer_push(wk_detokenizer *d, int32_t id)
{
    if (!d || !wk_ok())
        return NULL;
    wk_buf_clear(&d->out);
    push(d, id);
    return shown(d);
}

const char *wk_detokenizer_end(wk_detokenizer *d)
{
    if (!d || !wk_ok())
        return NULL;
    wk_buf_clear(&d->out);
    end(d);
    return shown(d);
}

char *wk_decode(const wk_tokenizer *t, const int32_t *ids, size_t count, bool keep_special)
{
    wk_detokenizer *d = wk_detokenizer_new(t, keep_special);
    char           *text = NULL;
    if (d && count && !ids)
        wk_fail(WK_ERR_ARGUMENT, "decode: the ids are NULL");
    for (size_t i = 0; d && i < count && wk_ok(); i++)
        push(d, ids[i]);
    if (d && wk_ok())
        end(d);
    if (d && wk_ok() && wk_alloc_may(d->out.size + 1)) {
        text = malloc(d->out.size + 1); /* the caller will free() it */
        if (text)
            memcpy(text, wk_buf_view(&d->out).at, d->out.size + 1);
        else
            wk_fail(WK_ERR_MEMORY, "cannot allocate %zu bytes", d->out.size + 1);
    }
    wk_detokenizer_free(d);
    return text;
}
