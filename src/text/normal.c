// SPDX-License-Identifier: MIT OR Apache-2.0
/* normal.c - the four normal forms of Unicode.
 *
 * Most text is in normal form already, and a look at each character proves it: none
 * of them is "unsafe".  Only the stretches around unsafe characters are worked on,
 * with the mappings of utf8proc; without it they are an error.  The order of marks is
 * made here, because utf8proc takes quadratic time over it. */
#include "text.h"

static bool is_safe(wk_form form, uint32_t c) { return !(wk_char_unsafe(c) >> form & 1); }

#ifdef WICK_UTF8PROC

#include <stdlib.h>
#include <utf8proc.h>

typedef struct {
    int32_t *code;
    size_t   count, room;
} codes;

static int mark_class(int32_t c) { return utf8proc_get_property(c)->combining_class; }

static bool add_decomposed(codes *out, uint32_t c, utf8proc_option_t options)
{
    enum { LONGEST = 32 }; /* U+FDFA becomes 18 */
    int boundary = 0;
    if (!wk_reserve(&out->code, &out->room, out->count + LONGEST, sizeof *out->code))
        return false;
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)c, out->code + out->count,
                                                 LONGEST, options, &boundary);
    if (n < 0 || n > LONGEST) {
        wk_fail(WK_ERR_UNSUPPORTED, "cannot decompose U+%04X", (unsigned)c);
        return false;
    }
    out->count += (size_t)n;
    return true;
}

/* Bring marks into the order of their classes: a stable merge sort. */
static void sort_marks(int32_t *code, int32_t *spare, size_t count)
{
    if (count < 2)
        return;
    size_t half = count / 2, i = 0, j = half;
    sort_marks(code, spare, half);
    sort_marks(code + half, spare, count - half);
    memcpy(spare, code, count * sizeof *code);
    for (size_t n = 0; n < count; n++)
        if (j == count || (i < half && mark_class(spare[i]) <= mark_class(spare[j])))
            code[n] = spare[i++];
        else
            code[n] = spare[j++];
}

static bool order_marks(codes *c)
{
    int32_t *spare = NULL;
    for (size_t i = 0, end; i < c->count && wk_ok(); i = end + 1) {
        for (end = i; end < c->count && mark_class(c->code[end]);)
            end++;
        if (end - i > 1 && (spare || (spare = wk_alloc_array(c->count, sizeof *spare))))
            sort_marks(c->code + i, spare, end - i);
    }
    wk_free(spare);
    return wk_ok();
}

static void convert(wk_form form, wk_str text, wk_buf *out)
{
    bool  compat = form == WK_NFKC || form == WK_NFKD;
    codes c = { 0 };
    int   options = UTF8PROC_DECOMPOSE | (compat ? UTF8PROC_COMPAT : 0);
    for (const char *p = text.at, *end = p + text.size; p < end && wk_ok();)
        add_decomposed(&c, wk_utf8_next(&p, end, NULL), (utf8proc_option_t)options);
    if (wk_ok() && order_marks(&c)) {
        utf8proc_ssize_t n = (utf8proc_ssize_t)c.count;
        if (form == WK_NFC || form == WK_NFKC)
            n = utf8proc_normalize_utf32(c.code, n, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
        for (utf8proc_ssize_t i = 0; i < n; i++)
            wk_buf_utf8(out, (uint32_t)c.code[i]);
    }
    wk_free(c.code);
}

#else

static void convert(wk_form form, wk_str text, wk_buf *out)
{
    static const char *const names[] = { "NFC", "NFD", "NFKC", "NFKD" };
    (void)text, (void)out;
    wk_fail(WK_ERR_UNSUPPORTED,
            "%s: this text is not in normal form, and wick was built without utf8proc "
            "(make WITH_UTF8PROC=1)",
            names[form]);
}

#endif

/* The first unsafe character at or after p, or end. */
static const char *find(wk_form form, bool safe, const char *p, const char *end,
                        const char **before)
{
    for (const char *q = p; p < end; p = q) {
        while (!safe && end - p > 1 && !((p[0] | p[1]) & 0x80))
            p++; /* ASCII */
        q = p;
        if (is_safe(form, wk_utf8_next(&q, end, NULL)) == safe)
            return p;
        *before = p;
    }
    return end;
}

bool wk_to_form(wk_form form, wk_str text, wk_buf *out)
{
    const char *end = text.at + text.size, *done = text.at, *before = done;
    const char *bad = find(form, false, text.at, end, &before);
    if (bad == end)
        return false;
    while (bad < end && wk_ok()) {
        /* What is before it may be composed with it. */
        const char *start = before > done ? before : done, *unused;
        const char *stop = find(form, true, bad, end, &unused);
        wk_buf_add(out, done, (size_t)(start - done));
        convert(form, (wk_str){ start, (size_t)(stop - start) }, out);
        done = before = stop;
        bad = find(form, false, stop, end, &before);
    }
    wk_buf_add(out, done, (size_t)(end - done));
    return true;
}
