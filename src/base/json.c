// SPDX-License-Identifier: MIT OR Apache-2.0
/* json.c - a strict pull reader for JSON (RFC 8259).
 *
 * It builds nothing: the caller asks for what must come next and gets slices of
 * the text.  The whole text is checked to be UTF-8 once, when it is opened. */
#include "base.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#if defined __APPLE__
#include <xlocale.h>
#endif

enum { MAX_DEPTH = 512, MAX_NUMBER = 400 };

void wk_json_fail(wk_json *j, const char *format, ...)
{
    if (!wk_ok())
        return;
    long        line = 1;
    const char *row = j->start;
    for (const char *p = j->start; p < j->at; p++)
        if (*p == '\n')
            line++, row = p + 1;
    char    what[256];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    wk_fail(WK_ERR_FORMAT, "%s:%ld:%ld: %s", j->file, line, (long)(j->at - row) + 1, what);
}

static void skip_space(wk_json *j)
{
    while (j->at < j->end && (*j->at == ' ' || *j->at == '\n' || *j->at == '\r' || *j->at == '\t'))
        j->at++;
}

/* Step over white space and then c, if it is there. */
static bool take(wk_json *j, char c)
{
    skip_space(j);
    if (j->at == j->end || *j->at != c)
        return false;
    j->at++;
    return true;
}

bool wk_json_open(wk_json *j, const char *file, const char *data, size_t size)
{
    data = data ? data : "";
    *j = (wk_json){ .file = file, .start = data, .at = data, .end = data + size };
    if (!wk_ok())
        j->at = j->end; /* nothing will be read */
    else if (!wk_utf8_valid(data, size))
        wk_fail(WK_ERR_FORMAT, "%s: not UTF-8 text", file);
    return wk_ok();
}

bool wk_json_close(wk_json *j)
{
    if (wk_ok()) {
        skip_space(j);
        if (j->depth || j->at != j->end)
            wk_json_fail(j, "text after the end of the JSON value");
    }
    wk_buf_free(&j->text);
    return wk_ok();
}

wk_json_kind wk_json_peek(wk_json *j)
{
    if (!wk_ok())
        return WK_JSON_NOTHING;
    skip_space(j);
    switch (j->at < j->end ? *j->at : '\0') {
    case '{':
        return WK_JSON_OBJECT;
    case '[':
        return WK_JSON_ARRAY;
    case '"':
        return WK_JSON_STRING;
    case 't':
    case 'f':
        return WK_JSON_BOOL;
    case 'n':
        return WK_JSON_NULL;
    case '\0':
    case '}':
    case ']':
    case ',':
    case ':':
        return WK_JSON_NOTHING;
    default:
        return WK_JSON_NUMBER;
    }
}

/* ---- Containers --------------------------------------------------------- */

static bool enter(wk_json *j, char bracket, const char *what)
{
    if (!wk_ok())
        return false;
    if (!take(j, bracket))
        wk_json_fail(j, "expected %s", what);
    else if (++j->depth > MAX_DEPTH)
        wk_json_fail(j, "nested deeper than %d", MAX_DEPTH);
    j->fresh = true;
    return wk_ok();
}

/* Is there another element before the closing bracket? */
static bool more(wk_json *j, char bracket)
{
    if (!wk_ok())
        return false;
    if (take(j, bracket)) {
        j->depth--;
        j->fresh = false;
        return false;
    }
    if (!j->fresh && !take(j, ',')) {
        wk_json_fail(j, "expected ',' or '%c'", bracket);
        return false;
    }
    j->fresh = false;
    return true;
}

bool wk_json_object(wk_json *j) { return enter(j, '{', "an object"); }
bool wk_json_array(wk_json *j) { return enter(j, '[', "an array"); }

bool wk_json_key(wk_json *j, wk_str *key)
{
    if (!more(j, '}'))
        return false;
    *key = wk_json_string(j);
    if (wk_ok() && !take(j, ':'))
        wk_json_fail(j, "expected ':'");
    return wk_ok();
}

bool wk_json_item(wk_json *j)
{
    if (!more(j, ']'))
        return false;
    if (wk_json_peek(j) == WK_JSON_NOTHING)
        wk_json_fail(j, "expected a value");
    return wk_ok();
}

/* ---- Strings ------------------------------------------------------------ */

/* The four hexadecimal digits of \uXXXX, or -1. */
static int32_t hex4(wk_json *j)
{
    int32_t c = 0;
    for (int i = 0; i < 4; i++, j->at++) {
        int x = j->at < j->end ? *j->at : 0, low = x | 32;
        if (x >= '0' && x <= '9')
            c = c * 16 + x - '0';
        else if (low >= 'a' && low <= 'f')
            c = c * 16 + low - 'a' + 10;
        else
            return -1;
    }
    return c;
}

static void escape(wk_json *j)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char              c = j->at < j->end ? *j->at++ : '\0';
    const char       *p = c ? strchr(from, c) : NULL;
    if (p) {
        wk_buf_char(&j->text, to[p - from]);
        return;
    }
    int32_t code = c == 'u' ? hex4(j) : -1;
    if (code >= 0xD800 && code < 0xDC00 && j->end - j->at >= 6 && j->at[0] == '\\' &&
        j->at[1] == 'u') {
        j->at += 2;
        int32_t low = hex4(j);
        code = low >= 0xDC00 && low < 0xE000 ? 0x10000 + (code - 0xD800) * 1024 + low - 0xDC00 : -1;
    }
    if (code < 0 || (code >= 0xD800 && code < 0xE000))
        wk_json_fail(j, "invalid escape in a string");
    else
        wk_buf_utf8(&j->text, (uint32_t)code);
}

wk_str wk_json_string(wk_json *j)
{
    wk_str none = { "", 0 };
    if (!wk_ok())
        return none;
    if (!take(j, '"')) {
        wk_json_fail(j, "expected a string");
        return none;
    }
    const char *start = j->at;
    bool        escaped = false;
    for (;;) {
        const char *run = j->at;
        while (j->at < j->end && *j->at != '"' && *j->at != '\\' && (unsigned char)*j->at >= 32)
            j->at++;
        if (j->at == j->end || (unsigned char)*j->at < 32) {
            wk_json_fail(j, j->at == j->end ? "a string does not end"
                                            : "control character in a string");
            return none;
        }
        if (*j->at == '"' && !escaped)
            return (wk_str){ start, (size_t)(j->at++ - start) };
        if (!escaped)
            wk_buf_clear(&j->text);
        escaped = true;
        wk_buf_add(&j->text, run, (size_t)(j->at - run));
        if (*j->at++ == '"')
            return wk_ok() ? wk_buf_view(&j->text) : none;
        escape(j);
        if (!wk_ok())
            return none;
    }
}

/* ---- Numbers and words -------------------------------------------------- */

static bool digits(wk_json *j)
{
    const char *start = j->at;
    while (j->at < j->end && *j->at >= '0' && *j->at <= '9')
        j->at++;
    return j->at > start;
}

/* Step over a number, checking its grammar.  *integer: it has neither . nor e. */
static wk_str number(wk_json *j, bool *integer)
{
    skip_space(j);
    const char *start = j->at;
    *integer = true;
    if (j->at < j->end && *j->at == '-')
        j->at++;
    bool zero = j->at < j->end && *j->at == '0';
    bool good = digits(j) && !(zero && j->at - start > 1 + (*start == '-'));
    if (good && j->at < j->end && *j->at == '.') {
        j->at++;
        *integer = false;
        good = digits(j);
    }
    if (good && j->at < j->end && (*j->at | 32) == 'e') {
        j->at++;
        *integer = false;
        if (j->at < j->end && (*j->at == '+' || *j->at == '-'))
            j->at++;
        good = digits(j);
    }
    if (!good || j->at - start > MAX_NUMBER) {
        j->at = start;
        wk_json_fail(j, "expected a number");
    }
    return (wk_str){ start, (size_t)(j->at - start) };
}

static double to_double(wk_str s)
{
    static _Atomic(locale_t) plain; /* the program's locale may write 1,5 */
    locale_t                 c = plain;
    if (!c) {
        locale_t made = newlocale(LC_ALL_MASK, "C", (locale_t)0);
        if (!atomic_compare_exchange_strong(&plain, &c, made))
            freelocale(made);
        else
            c = made;
    }
    char text[MAX_NUMBER + 1];
    memcpy(text, s.at, s.size);
    text[s.size] = '\0';
    return strtod_l(text, NULL, c);
}

double wk_json_number(wk_json *j)
{
    if (!wk_ok())
        return 0;
    bool   integer;
    wk_str s = number(j, &integer);
    if (!wk_ok())
        return 0;
    double x = to_double(s);
    if (isinf(x))
        wk_json_fail(j, "a number out of range");
    return x;
}

int64_t wk_json_int(wk_json *j)
{
    if (!wk_ok())
        return 0;
    bool    integer;
    wk_str  s = number(j, &integer);
    int64_t x = 0;
    if (!wk_ok())
        return 0;
    if (!integer) {
        double d = to_double(s);
        if (d != floor(d) || fabs(d) > 0x1p53)
            wk_json_fail(j, "expected an integer");
        return wk_ok() ? (int64_t)d : 0;
    }
    bool negative = s.at[0] == '-';
    for (size_t i = negative; i < s.size; i++)
        if (__builtin_mul_overflow(x, 10, &x) ||
            __builtin_add_overflow(x, negative ? '0' - s.at[i] : s.at[i] - '0', &x)) {
            wk_json_fail(j, "an integer out of range");
            return 0;
        }
    return x;
}

static bool word(wk_json *j, const char *text)
{
    size_t n = strlen(text);
    skip_space(j);
    if ((size_t)(j->end - j->at) < n || memcmp(j->at, text, n))
        return false;
    j->at += n;
    return true;
}

bool wk_json_bool(wk_json *j)
{
    if (!wk_ok())
        return false;
    bool yes = word(j, "true");
    if (!yes && !word(j, "false"))
        wk_json_fail(j, "expected true or false");
    return yes;
}

bool wk_json_null(wk_json *j) { return wk_ok() && word(j, "null"); }

/* Iterative, so that no text can exhaust the stack. */
void wk_json_skip(wk_json *j)
{
    char   open[MAX_DEPTH + 1];
    int    depth = 0;
    bool   integer;
    wk_str key;
    do {
        switch (wk_json_peek(j)) {
        case WK_JSON_OBJECT:
            if (wk_json_object(j))
                open[depth++] = '{';
            break;
        case WK_JSON_ARRAY:
            if (wk_json_array(j))
                open[depth++] = '[';
            break;
        case WK_JSON_STRING:
            wk_json_string(j);
            break;
        case WK_JSON_NUMBER:
            number(j, &integer);
            break;
        case WK_JSON_BOOL:
            wk_json_bool(j);
            break;
        case WK_JSON_NULL:
            if (!wk_json_null(j))
                wk_json_fail(j, "expected a value");
            break;
        case WK_JSON_NOTHING:
            wk_json_fail(j, "expected a value");
            break;
        }
        while (depth && wk_ok() &&
               !(open[depth - 1] == '{' ? wk_json_key(j, &key) : wk_json_item(j)))
            depth--;
    } while (depth && wk_ok());
}

wk_str wk_json_raw(wk_json *j)
{
    wk_json_peek(j); /* steps over white space */
    const char *start = j->at;
    wk_json_skip(j);
    return (wk_str){ start, (size_t)(j->at - start) };
}
