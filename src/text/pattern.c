// SPDX-License-Identifier: MIT OR Apache-2.0
/* pattern.c - what a step looks for in a text: a literal, one of the common patterns,
 * a regular expression, or a kind of character.  And the characters of byte-level
 * vocabularies. */
#include "text.h"

/* ---- Matches ------------------------------------------------------------ */

static bool next_literal(const wk_step *s, wk_text_work *w, wk_str text, size_t from,
                         wk_span *found)
{
    (void)w;
    const char *p = memmem(text.at + from, text.size - from, s->pattern.at, s->pattern.size);
    if (p)
        *found = (wk_span){ (size_t)(p - text.at), (size_t)(p - text.at) + s->pattern.size, true };
    return p != NULL;
}

static bool next_scan(const wk_step *s, wk_text_work *w, wk_str text, size_t from, wk_span *found)
{
    (void)w;
    const char *end = text.at + text.size;
    for (const char *p = text.at + from; p < end; wk_utf8_next(&p, end, NULL)) {
        size_t n = wk_scan_match(s->scan, p, end), start = (size_t)(p - text.at);
        if (n) {
            *found = (wk_span){ start, start + n, true };
            return true;
        }
    }
    return false;
}

static bool next_regex(const wk_step *s, wk_text_work *w, wk_str text, size_t from, wk_span *found)
{
    if (wk_regex_next(s->regex, w, text, from, found))
        return true;
    wk_context("%s: %s %s", s->file, s->role, s->kind->name);
    return false;
}

bool wk_next_char(const wk_step *s, wk_text_work *w, wk_str text, size_t from, wk_span *found)
{
    (void)w;
    const char *end = text.at + text.size, *q = text.at + from;
    for (const char *p = q; p < end; p = q)
        if (s->is(wk_utf8_next(&q, end, NULL))) {
            *found = (wk_span){ (size_t)(p - text.at), (size_t)(q - text.at), true };
            return true;
        }
    return false;
}

bool wk_search_next(const wk_step *s, wk_text_work *w, wk_str text, wk_search *at, wk_span *found)
{
    while (text.size && at->from <= text.size && s->next(s, w, text, at->from, found)) {
        if (found->start < found->end || !at->matched || found->end != at->done) {
            at->from = at->done = found->end;
            at->matched = true;
            return true;
        }
        /* Nothing, right behind a match, does not count. */
        const char *p = text.at + at->from;
        if (at->from++ < text.size) {
            wk_utf8_next(&p, text.at + text.size, NULL);
            at->from = (size_t)(p - text.at);
        }
    }
    return false;
}

bool wk_text_replace(const wk_step *s, wk_text_work *w, wk_str text, wk_buf *out)
{
    wk_search at = { 0 };
    wk_span   x;
    size_t    done = 0;
    uint64_t  budget = wk_text_budget(text.size);
    for (; wk_search_next(s, w, text, &at, &x); done = x.end) {
        const char *p = text.at;
        if (!wk_text_spend(&budget, s->content.size, s->file))
            break;
        wk_buf_add(out, text.at + done, x.start - done);
        wk_buf_str(out, s->content);
        /* What is put in belongs to the last of the characters that it replaces. */
        if (s->content.size)
            wk_utf8_next(&p, p + text.size, NULL);
        w->cut_front |= x.start == 0 && x.end > (size_t)(p - text.at);
    }
    if (!at.matched)
        return false;
    wk_buf_add(out, text.at + done, text.size - done);
    return true;
}

/* A regular expression that is nothing but text. */
static bool is_literal(wk_str pattern)
{
    for (size_t i = 0; i < pattern.size; i++)
        if (!pattern.at[i] || strchr("\\^$.|?*+()[]{}", pattern.at[i]))
            return false;
    return true;
}

bool wk_step_pattern(wk_step *s)
{
    if (!s->pattern.size)
        wk_step_fail(s, WK_ERR_UNSUPPORTED, "an empty pattern is not supported");
    else if (!s->pattern_is_regex || is_literal(s->pattern))
        s->next = next_literal;
    else if ((s->scan = wk_scan_find(s->pattern)))
        s->next = next_scan;
    else if ((s->regex = wk_regex_new(s->pattern)))
        s->next = next_regex;
    else
        wk_context("%s: %s %s", s->file, s->role, s->kind->name);
    return wk_ok();
}

bool wk_step_char(wk_step *s, const char *option)
{
    const char *p = s->content.at;
    if (s->content.size)
        wk_utf8_next(&p, p + s->content.size, NULL);
    if (!s->content.size || p != s->content.at + s->content.size)
        wk_step_fail(s, WK_ERR_FORMAT, "\"%s\" must be one character", option);
    s->pattern = s->content;
    return wk_ok() && wk_step_pattern(s);
}

/* ---- Bytes as characters ------------------------------------------------ */

/* Printable bytes stand for themselves, the other 68 for U+0100 and up. */
static bool printable(unsigned byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD);
}

uint32_t wk_byte_to_char(uint8_t byte)
{
    if (printable(byte))
        return byte;
    return byte <= ' ' ? 0x100u + byte : byte < 0xAD ? 0x100u + 33 + byte - 0x7F : 0x143;
}

int wk_char_to_byte(uint32_t c)
{
    if (c < 0x100)
        return printable(c) ? (int)c : -1;
    if (c > 0x143)
        return -1;
    return (int)(c <= 0x120 ? c - 0x100 : c < 0x143 ? c - 0x121 + 0x7F : 0xAD);
}

void wk_bytes_to_chars(wk_str bytes, wk_buf *out)
{
    for (size_t i = 0; i < bytes.size; i++)
        wk_buf_utf8(out, wk_byte_to_char((uint8_t)bytes.at[i]));
}
