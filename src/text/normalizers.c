// SPDX-License-Identifier: MIT OR Apache-2.0
/* normalizers.c - what is done to a text before it is cut into words.
 *
 * Each normalizer either says that nothing changes, or writes the new text. */
#include "text.h"

wk_str wk_text_normalize(const wk_steps *steps, wk_text_work *w, wk_buf buf[2], wk_str text)
{
    int      next = 0;
    uint64_t budget = wk_text_budget(text.size);
    w->cut_front = false;
    for (size_t i = 0;
         i < steps->count && wk_text_spend(&budget, text.size, steps->at[i].file) && wk_ok(); i++) {
        wk_buf *out = &buf[next];
        wk_buf_clear(out);
        if (steps->at[i].kind->normalize(&steps->at[i], w, text, out)) {
            text = wk_buf_view(out);
            next = !next;
        }
    }
    return text;
}

/* ---- Character by character --------------------------------------------- */

enum { DROP = 0x110000 };

/* Append what map makes of each character. */
static bool map_chars(uint32_t (*map)(uint32_t), wk_text_work *w, wk_str text, wk_buf *out)
{
    const char *end = text.at + text.size;
    for (const char *p = text.at; p < end;) {
        uint32_t c = map(wk_utf8_next(&p, end, NULL));
        w->cut_front |= c == DROP && !out->size;
        if (c != DROP)
            wk_buf_utf8(out, c);
    }
    return true;
}

static uint32_t without_marks(uint32_t c) { return wk_is_mark(c) ? DROP : c; }

static uint32_t nmt(uint32_t c)
{
    static const uint32_t drop[][2] = { { 1, 8 },       { 0xB, 0xB },   { 0xE, 0x1F },
                                        { 0x7F, 0x7F }, { 0x8F, 0x8F }, { 0x9F, 0x9F } };
    static const uint32_t blank[][2] = { { 9, 0xD },         { 0x1680, 0x1680 }, { 0x200B, 0x200F },
                                         { 0x2028, 0x2029 }, { 0x2581, 0x2581 }, { 0xFEFF, 0xFEFF },
                                         { 0xFFFD, 0xFFFD } };
    for (size_t i = 0; i < WK_COUNT(drop); i++)
        if (c >= drop[i][0] && c <= drop[i][1])
            return DROP;
    for (size_t i = 0; i < WK_COUNT(blank); i++)
        if (c >= blank[i][0] && c <= blank[i][1])
            return ' ';
    return c;
}

static uint32_t clean(uint32_t c)
{
    if (c == '\t' || c == '\n' || c == '\r')
        return ' ';
    if (!c || c == 0xFFFD || wk_is_control(c))
        return DROP;
    return wk_is_space(c) ? ' ' : c;
}

static bool is_chinese(uint32_t c)
{
    /* 2B920 is what the reference has; the block begins at 2B820. */
    static const uint32_t range[][2] = { { 0x4E00, 0x9FFF },   { 0x3400, 0x4DBF },
                                         { 0x20000, 0x2A6DF }, { 0x2A700, 0x2B73F },
                                         { 0x2B740, 0x2B81F }, { 0x2B920, 0x2CEAF },
                                         { 0xF900, 0xFAFF },   { 0x2F800, 0x2FA1F } };
    for (size_t i = 0; i < WK_COUNT(range); i++)
        if (c >= range[i][0] && c <= range[i][1])
            return true;
    return false;
}

/* ---- Normalizers -------------------------------------------------------- */

#define NORMALIZER(name)                                                                           \
    static bool name(const wk_step *s, wk_text_work *w, wk_str text, wk_buf *out)

static void add_lower(wk_buf *out, uint32_t c)
{
    wk_buf_utf8(out, c == 0x130 ? 'i' : wk_char_lower(c));
    if (c == 0x130) /* I with a dot */
        wk_buf_utf8(out, 0x307);
}

NORMALIZER(lowercase)
{
    (void)s, (void)w;
    const char *end = text.at + text.size;
    for (const char *p = text.at; p < end;)
        add_lower(out, wk_utf8_next(&p, end, NULL));
    return true;
}

/* The first half of BertNormalizer: no control characters, blanks around Chinese ones. */
static void clean_bert(const wk_step *s, wk_text_work *w, wk_str text, wk_buf *out)
{
    const char *end = text.at + text.size;
    for (const char *p = text.at; p < end;) {
        uint32_t c = wk_utf8_next(&p, end, NULL);
        c = s->clean_text ? clean(c) : c;
        bool blanks = s->handle_chinese_chars && is_chinese(c);
        w->cut_front |= c == DROP && !out->size;
        if (blanks)
            wk_buf_char(out, ' ');
        if (c != DROP)
            wk_buf_utf8(out, c);
        if (blanks)
            wk_buf_char(out, ' ');
    }
}

NORMALIZER(bert)
{
    bool   strip = wk_step_given(s, "strip_accents") ? s->strip_accents : s->lowercase;
    wk_buf cleaned = { 0 }, decomposed = { 0 };
    clean_bert(s, w, text, &cleaned);
    text = wk_buf_view(&cleaned);
    if (strip && wk_to_form(WK_NFD, text, &decomposed))
        text = wk_buf_view(&decomposed);
    const char *end = text.at + text.size;
    for (const char *p = text.at; p < end;) {
        uint32_t c = wk_utf8_next(&p, end, NULL);
        if (strip && wk_is_nonspacing(c)) {
            w->cut_front |= !out->size;
            continue;
        }
        if (s->lowercase)
            add_lower(out, c);
        else
            wk_buf_utf8(out, c);
    }
    wk_buf_free(&cleaned);
    wk_buf_free(&decomposed);
    return true;
}

NORMALIZER(nfc) { return (void)s, (void)w, wk_to_form(WK_NFC, text, out); }
NORMALIZER(nfd) { return (void)s, (void)w, wk_to_form(WK_NFD, text, out); }
NORMALIZER(nfkc) { return (void)s, (void)w, wk_to_form(WK_NFKC, text, out); }
NORMALIZER(nfkd) { return (void)s, (void)w, wk_to_form(WK_NFKD, text, out); }
NORMALIZER(nmt_clean) { return (void)s, map_chars(nmt, w, text, out); }
NORMALIZER(strip_accents) { return (void)s, map_chars(without_marks, w, text, out); }

NORMALIZER(byte_level)
{
    (void)s, (void)w;
    wk_bytes_to_chars(text, out);
    return true;
}

NORMALIZER(prepend)
{
    (void)w;
    if (!text.size)
        return false;
    wk_buf_str(out, s->content);
    wk_buf_str(out, text);
    return true;
}

NORMALIZER(strip)
{
    const char *start = text.at, *end = start + text.size, *p = start;
    while (s->strip_left && p < end && wk_is_space(wk_utf8_next(&p, end, NULL)))
        start = p;
    while (s->strip_right && end > start) {
        for (p = end - 1; p > start && (*p & 0xC0) == 0x80;)
            p--;
        const char *q = p;
        if (!wk_is_space(wk_utf8_next(&q, end, NULL)))
            break;
        end = p;
    }
    w->cut_front |= start > text.at;
    wk_buf_add(out, start, (size_t)(end - start));
    return true;
}

static const wk_step_kind kinds[] = {
    { "BertNormalizer", "clean_text! handle_chinese_chars! strip_accents lowercase!",
      .normalize = bert },
    { "ByteLevel", "", .normalize = byte_level },
    { "Lowercase", "", .normalize = lowercase },
    { "NFC", "", .normalize = nfc },
    { "NFD", "", .normalize = nfd },
    { "NFKC", "", .normalize = nfkc },
    { "NFKD", "", .normalize = nfkd },
    { "Nmt", "", .normalize = nmt_clean },
    { "Precompiled", "precompiled_charsmap!", wk_charsmap_prepare,
      .normalize = wk_charsmap_normalize },
    { "Prepend", "prepend!", .normalize = prepend },
    { "Replace", "pattern! content!", wk_step_pattern, .normalize = wk_text_replace },
    { "Strip", "strip_left! strip_right!", .normalize = strip },
    { "StripAccents", "", .normalize = strip_accents },
};

const wk_step_table wk_normalizers = { "normalizer", "normalizers", kinds, WK_COUNT(kinds) };
