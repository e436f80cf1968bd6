// SPDX-License-Identifier: MIT OR Apache-2.0
/* template_scan.c - the text of a chat template as data and tokens.
 *
 * As Jinja reads them with trim_blocks and lstrip_blocks: the line break behind a block or
 * comment goes, and the blanks before one that begins a line; - takes all white space on its
 * side, + keeps it. */
#include "template_scan.h"

#include <stdio.h>

void *wk_parser_fail(wk_parser *p, const char *format, ...)
{
    char    what[200];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (wk_ok())
        wk_fail(WK_ERR_FORMAT, "%s:%d: %s", p->t->name, p->now.line, what);
    p->at = p->end; /* nothing more is read */
    p->now.kind = 0;
    return NULL;
}

const wk_text *wk_parser_text(wk_parser *p, const char *at, size_t size)
{
    wk_text *s = wk_arena_take(&p->t->arena, sizeof *s);
    if (s)
        *s = (wk_text){ at, size, NULL };
    return s;
}

/* ---- Data --------------------------------------------------------------- */

static bool is_blank(uint32_t c) { return wk_is_space(c) || (c >= 0x1C && c < 0x20); }

const char *wk_parser_skip(const char *p, const char *end)
{
    for (const char *next = p; p < end && is_blank(wk_utf8_next(&next, end, NULL));)
        p = next;
    return p;
}

/* Where the white space that ends at end begins. */
static const char *back_over_blanks(const char *from, const char *end)
{
    for (const char *last; end > from; end = last) {
        for (last = end - 1; last > from && (*last & 0xC0) == 0x80; last--)
            ;
        const char *next = last;
        if (!is_blank(wk_utf8_next(&next, end, NULL)))
            break;
    }
    return end;
}

static int line_at(wk_parser *p, const char *at)
{
    for (; p->counted < at; p->counted++)
        p->line += *p->counted == '\n';
    return p->line;
}

/* Behind a tag that ends with close, like -%}; trim: a line break goes with it. */
static void end_tag(wk_parser *p, const char *at, char sign, bool trim)
{
    p->at = at;
    if (sign == '-')
        p->at = wk_parser_skip(at, p->end);
    else if (trim && sign != '+' && at < p->end && *at == '\n')
        p->at++;
    p->line_starts = p->at[-1] == '\n';
}

/* What stands before a tag whose sign and kind these are. */
static wk_str before_tag(wk_parser *p, const char *from, const char *tag, char kind, char sign)
{
    if (sign == '-') {
        tag = back_over_blanks(from, tag);
    } else if (sign != '+' && kind != '{') {
        const char *row = tag;
        while (row > from && row[-1] != '\n')
            row--;
        if ((row > from || p->line_starts) && wk_parser_skip(row, tag) == tag)
            tag = row;
    }
    return (wk_str){ from, (size_t)(tag - from) };
}

/* Is this {% word %}, with signs?  *end and *sign are then of its end. */
static bool is_word_tag(wk_parser *p, const char *at, const char *word, const char **end,
                        char *sign)
{
    size_t n = strlen(word);
    if (p->end - at < 2 || at[0] != '{' || at[1] != '%')
        return false;
    at += 2 + (at + 2 < p->end && (at[2] == '-' || at[2] == '+'));
    at = wk_parser_skip(at, p->end);
    if ((size_t)(p->end - at) < n || memcmp(at, word, n))
        return false;
    at = wk_parser_skip(at + n, p->end);
    *sign = at < p->end && (*at == '-' || *at == '+') ? *at++ : '\0';
    *end = at + 2;
    return p->end - at >= 2 && at[0] == '%' && at[1] == '}';
}

wk_str wk_parser_raw(wk_parser *p)
{
    for (const char *from = p->at, *at = from, *end; at < p->end; at++) {
        char sign;
        if (*at == '{' && is_word_tag(p, at, "endraw", &end, &sign)) {
            p->line_starts = false;
            wk_str text = before_tag(p, from, at, '%', at[2]);
            end_tag(p, end, sign, true);
            return text;
        }
    }
    if (p->at < p->end)
        wk_parser_fail(p, "{%% raw %%} does not end");
    return (wk_str){ "", 0 };
}

static void comment(wk_parser *p, const char *at)
{
    at += at < p->end && (*at == '-' || *at == '+');
    const char *end = memmem(at, (size_t)(p->end - at), "#}", 2);
    p->now.line = line_at(p, at);
    if (!end)
        wk_parser_fail(p, "a comment does not end");
    else
        end_tag(p, end + 2, end > at ? end[-1] : '\0', true);
}

/* The text up to the next tag that is not a comment; *kind is its second character, 0 at
 * the end.  For a raw block its content is the text, and *kind is 'r'. */
wk_str wk_parser_data(wk_parser *p, char *kind)
{
    const char *from = p->at, *at = from;
    char        sign = '\0';
    while (p->end - at >= 2 && !(at[0] == '{' && (at[1] == '{' || at[1] == '%' || at[1] == '#')))
        at++;
    if (p->end - at < 2) {
        p->at = p->end;
        *kind = '\0';
        return (wk_str){ from, (size_t)(p->end - from) };
    }
    const char *end;
    *kind = at[1];
    p->now.line = line_at(p, at);
    if (p->end - at > 2)
        sign = at[2];
    wk_str text = before_tag(p, from, at, *kind, sign);
    p->line_starts = false;
    if (*kind == '#') {
        comment(p, at + 2);
    } else if (*kind == '%' && is_word_tag(p, at, "raw", &end, &sign) && sign != '+') {
        *kind = 'r';
        end_tag(p, end, sign, false);
    } else {
        p->at = at + 2 + (sign == '-' || sign == '+');
    }
    return text;
}

/* ---- Tokens ------------------------------------------------------------- */

size_t wk_parser_name_size(const char *at, const char *end)
{
    const char *p = at;
    for (const char *next = p; p < end; p = next) {
        uint32_t c = wk_utf8_next(&next, end, NULL);
        if (!(c < 128 ? (c | 32) - 'a' < 26u || c - '0' < 10u || c == '_' : wk_is_word(c)))
            break;
    }
    return (size_t)(p - at);
}

static const char *digits(const char *p, const char *end)
{
    while (p < end && ((*p >= '0' && *p <= '9') || (*p == '_' && p + 1 < end && p[1] != '_')))
        p++;
    return p;
}

static int number(wk_parser *p, const char *at, size_t *size)
{
    const char *q = digits(at, p->end), *end = p->end;
    bool        real = false;
    if (*at == '0' && at + 1 < end && strchr("xXoObB", at[1]) && at[1]) {
        *size = wk_parser_name_size(at, end);
        return T_INTEGER;
    }
    if (q + 1 < end && *q == '.' && q[1] >= '0' && q[1] <= '9')
        real = true, q = digits(q + 1, end);
    if (q < end && (*q | 32) == 'e') {
        const char *e = q + 1 + (q + 1 < end && (q[1] == '+' || q[1] == '-'));
        if (e < end && *e >= '0' && *e <= '9')
            real = true, q = digits(e, end);
    }
    *size = (size_t)(q - at);
    return real ? T_REAL : T_INTEGER;
}

static int operator_at(const char *p, size_t left, size_t *size)
{
    static const char two[] = "==E!=N<=l>=g//f**p";
    *size = 2;
    for (const char *o = two; left > 1 && *o; o += 3)
        if (p[0] == o[0] && p[1] == o[1])
            return o[2];
    *size = 1;
    return strchr("+-*/%~[](){}<>=.:|,;", *p) && *p ? *p : 0;
}

/* The end of the tag, if it is here. */
static bool at_end(wk_parser *p, const char *at)
{
    char   sign = at < p->end && (*at == '-' || *at == '+') ? *at : '\0';
    size_t n = sign != '\0';
    if (p->brackets || (size_t)(p->end - at) < n + 2 || at[n + 1] != '}' ||
        (at[n] != '%' && at[n] != '}') || (at[n] == '}' && sign == '+'))
        return false;
    p->now.kind = at[n] == '%' ? T_BLOCK_END : T_PRINT_END;
    end_tag(p, at + n + 2, sign, at[n] == '%');
    return true;
}

void wk_parser_next(wk_parser *p)
{
    const char *at = wk_parser_skip(p->at, p->end);
    size_t      size = 0;
    if (!wk_ok() || at == p->end) {
        wk_parser_fail(p, "the template ends inside a tag");
        return;
    }
    p->now = (wk_token){ 0, line_at(p, at), { at, 0 } };
    if (at_end(p, at))
        return;
    if (*at >= '0' && *at <= '9') {
        p->now.kind = number(p, at, &size);
    } else if (*at == '\'' || *at == '"') {
        const char *q = at + 1;
        while (q < p->end && *q != *at)
            q += 1 + (*q == '\\');
        if (q >= p->end) {
            wk_parser_fail(p, "a string does not end");
            return;
        }
        p->now.kind = T_STRING;
        size = (size_t)(q - at) + 1;
    } else if ((size = wk_parser_name_size(at, p->end))) {
        p->now.kind = T_NAME;
    } else {
        p->now.kind = operator_at(at, (size_t)(p->end - at), &size);
    }
    if (!p->now.kind) {
        wk_parser_fail(p, "unexpected character '%.*s'", 1, at);
        return;
    }
    p->brackets += p->now.kind == '(' || p->now.kind == '[' || p->now.kind == '{';
    p->brackets -= p->now.kind == ')' || p->now.kind == ']' || p->now.kind == '}';
    if (p->brackets < 0)
        wk_parser_fail(p, "unexpected '%c'", p->now.kind);
    p->now.text.size = size;
    p->at = p->at == p->end ? p->end : at + size;
}

/* ---- Literals ----------------------------------------------------------- */

int64_t wk_parser_integer(wk_parser *p)
{
    wk_str  s = p->now.text;
    int     base = 10;
    size_t  i = 0;
    int64_t x = 0;
    if (s.size > 1 && s.at[0] == '0' && !(s.at[1] >= '0' && s.at[1] <= '9') && s.at[1] != '_') {
        base = (s.at[1] | 32) == 'x' ? 16 : (s.at[1] | 32) == 'o' ? 8 : 2;
        i = 2;
    }
    for (; i < s.size; i++) {
        int c = s.at[i], digit = c <= '9' ? c - '0' : (c | 32) - 'a' + 10;
        if (c == '_')
            continue;
        if (digit < 0 || digit >= base || __builtin_mul_overflow(x, base, &x) ||
            __builtin_add_overflow(x, digit, &x)) {
            wk_parser_fail(p, "not an integer that fits");
            return 0;
        }
    }
    return x;
}

double wk_parser_real(wk_parser *p)
{
    char    text[100];
    size_t  n = 0;
    wk_json j;
    for (size_t i = 0; i < p->now.text.size && n < sizeof text; i++) {
        char c = p->now.text.at[i];
        bool leading = n == 0 && c == '0' && i + 1 < p->now.text.size &&
                       p->now.text.at[i + 1] >= '0' && p->now.text.at[i + 1] <= '9';
        if (c != '_' && !leading)
            text[n++] = c;
    }
    wk_json_open(&j, p->t->name, text, n);
    double x = wk_json_number(&j);
    wk_json_close(&j);
    return x;
}

/* An escape behind a backslash, as Python has them. */
static const char *escape(wk_parser *p, const char *at, const char *end, wk_buf *out)
{
    static const char names[] = "ntrabfv\\'\"", values[] = "\n\t\r\a\b\f\v\\'\"";
    const char       *found = *at ? strchr(names, *at) : NULL;
    int               digits_of = *at == 'x' ? 2 : *at == 'u' ? 4 : *at == 'U' ? 8 : 0;
    bool              octal = *at >= '0' && *at < '8';
    uint32_t          code = 0;
    if (found) {
        wk_buf_char(out, values[found - names]);
        return at + 1;
    }
    if (*at == '\n')
        return at + 1;
    if (!digits_of && !octal) {
        wk_buf_char(out, '\\');
        return at;
    }
    at += !octal;
    for (int i = 0; i < (octal ? 3 : digits_of); i++, at++) {
        int c = at < end ? *at : 0;
        int digit = c >= '0' && c <= '9'                 ? c - '0'
                    : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                         : 99;
        if (octal && digit > 7)
            break;
        if (digit > 15)
            return wk_parser_fail(p, "a string with a broken escape"), end;
        code = code * (octal ? 8 : 16) + (uint32_t)digit;
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
        return wk_parser_fail(p, "a string with a broken escape"), end;
    wk_buf_utf8(out, code);
    return at;
}

/* Strings that stand next to each other are one. */
const wk_text *wk_parser_string(wk_parser *p)
{
    wk_buf out = { 0 };
    while (p->now.kind == T_STRING) {
        const char *at = p->now.text.at + 1, *end = at + p->now.text.size - 2;
        while (at < end && wk_ok()) {
            const char *back = memchr(at, '\\', (size_t)(end - at));
            wk_buf_add(&out, at, (size_t)((back ? back : end) - at));
            at = back ? escape(p, back + 1, end, &out) : end;
        }
        wk_parser_next(p);
    }
    char *copy = wk_ok() ? wk_arena_take(&p->t->arena, out.size + 1) : NULL;
    if (copy && out.size)
        memcpy(copy, out.data, out.size);
    const wk_text *s = copy ? wk_parser_text(p, copy, out.size) : NULL;
    wk_buf_free(&out);
    return s;
}
