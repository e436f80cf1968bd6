// SPDX-License-Identifier: MIT OR Apache-2.0
/* str.c - borrowed strings, growing buffers, UTF-8. */
#include "base.h"

#include <stdio.h>

wk_str wk_str_of(const char *s) { return (wk_str){ s, s ? strlen(s) : 0 }; }

bool wk_str_eq(wk_str a, wk_str b)
{
    return a.size == b.size && (a.size == 0 || !memcmp(a.at, b.at, a.size));
}

bool wk_str_is(wk_str a, const char *b) { return wk_str_eq(a, wk_str_of(b)); }

bool wk_str_starts(wk_str a, const char *prefix)
{
    size_t n = strlen(prefix);
    return a.size >= n && !memcmp(a.at, prefix, n);
}

bool wk_str_ends(wk_str a, const char *suffix)
{
    size_t n = strlen(suffix);
    return a.size >= n && (!n || !memcmp(a.at + a.size - n, suffix, n));
}

char *wk_str_copy(wk_str s)
{
    char *copy = wk_alloc(s.size + 1);
    if (copy && s.size)
        memcpy(copy, s.at, s.size);
    return copy;
}

/* ---- Buffers ------------------------------------------------------------ */

void wk_buf_add(wk_buf *b, const void *data, size_t size)
{
    if (!wk_ok() || !wk_reserve(&b->data, &b->room, b->size + size + 1, 1))
        return;
    if (size)
        memcpy(b->data + b->size, data, size);
    b->size += size;
    b->data[b->size] = '\0';
}

void wk_buf_str(wk_buf *b, wk_str s) { wk_buf_add(b, s.at, s.size); }
void wk_buf_char(wk_buf *b, char c) { wk_buf_add(b, &c, 1); }

void wk_buf_vprintf(wk_buf *b, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (n < 0 || !wk_ok() || !wk_reserve(&b->data, &b->room, b->size + (size_t)n + 1, 1))
        return;
    vsnprintf(b->data + b->size, (size_t)n + 1, format, args);
    b->size += (size_t)n;
}

void wk_buf_printf(wk_buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    wk_buf_vprintf(b, format, args);
    va_end(args);
}

void wk_buf_utf8(wk_buf *b, uint32_t code)
{
    char s[4];
    wk_buf_add(b, s, (size_t)wk_utf8_put(s, code));
}

void wk_buf_clear(wk_buf *b)
{
    b->size = 0;
    if (b->data)
        b->data[0] = '\0';
}

void wk_buf_free(wk_buf *b)
{
    wk_free(b->data);
    *b = (wk_buf){ 0 };
}

wk_str wk_buf_view(const wk_buf *b) { return (wk_str){ b->data ? b->data : "", b->size }; }

/* ---- UTF-8 -------------------------------------------------------------- */

int wk_utf8_put(char out[4], uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 63));
        out[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 63));
    out[2] = (char)(0x80 | (c >> 6 & 63));
    out[3] = (char)(0x80 | (c & 63));
    return 4;
}

uint32_t wk_utf8_next(const char **at, const char *end, bool *valid)
{
    const unsigned char *s = (const unsigned char *)*at;
    ptrdiff_t            left = end - *at;
    uint32_t             c = s[0], least;
    int                  n;
    if (valid)
        *valid = true;
    if (c < 0x80) {
        ++*at;
        return c;
    }
    if (c >= 0xC2 && c < 0xE0)
        n = 1, c &= 31, least = 0x80;
    else if (c >= 0xE0 && c < 0xF0)
        n = 2, c &= 15, least = 0x800;
    else if (c >= 0xF0 && c < 0xF5)
        n = 3, c &= 7, least = 0x10000;
    else
        goto invalid;
    if (left <= n)
        goto invalid;
    for (int i = 1; i <= n; i++) {
        if ((s[i] & 0xC0) != 0x80)
            goto invalid;
        c = c << 6 | (s[i] & 63);
    }
    if (c < least || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
        goto invalid;
    *at += n + 1;
    return c;

invalid:
    if (valid)
        *valid = false;
    ++*at;
    return 0xFFFD;
}

bool wk_utf8_valid(const char *s, size_t size)
{
    const char *end = s + size;
    while (s < end) {
        uint64_t word;
        if (end - s >= 8 && (memcpy(&word, s, 8), !(word & 0x8080808080808080u))) {
            s += 8;
            continue;
        }
        bool valid;
        wk_utf8_next(&s, end, &valid);
        if (!valid)
            return false;
    }
    return true;
}
