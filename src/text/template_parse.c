// SPDX-License-Identifier: MIT OR Apache-2.0
/* template_parse.c - chat templates from text to nodes.
 *
 * As Jinja reads them with trim_blocks and lstrip_blocks: the line break behind a block or
 * comment goes, and the blanks before one that begins a line; - takes all white space on its
 * side, + keeps it. */
#include "template.h"

#include <stdio.h>
#include <stdlib.h>

enum { MOST_NESTED = 150 }; /* blocks and brackets in each other: they are parsed recursively */

enum { /* tokens; operators are their own character or WK_OP_ */
       T_BLOCK_END = 1,
       T_PRINT_END,
       T_NAME,
       T_STRING,
       T_INTEGER,
       T_REAL,
};

typedef struct {
    int    kind, line;
    wk_str text;
} token;

typedef struct {
    wk_template *t;
    const char  *at, *end, *counted;
    int          line; /* of counted */
    bool         line_starts;
    int          depth, brackets, loops;
    token        now;
    wk_map       names;
    wk_node    **named; /* by their place in names: a node that has the name */
    size_t       named_room;
} parser;

static void *fail(parser *p, const char *format, ...)
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

static wk_node *node_new(parser *p, int kind)
{
    wk_node *n = wk_arena_take(&p->t->arena, sizeof *n);
    if (!n)
        return fail(p, "out of memory");
    n->kind = (uint8_t)kind;
    n->line = p->now.line;
    return n;
}

static const wk_text *text_new(parser *p, const char *at, size_t size)
{
    wk_text *s = wk_arena_take(&p->t->arena, sizeof *s);
    if (s)
        *s = (wk_text){ at, size, NULL };
    return s;
}

static wk_node *const_new(parser *p, wk_value v)
{
    wk_node *n = node_new(p, WK_N_CONST);
    if (n)
        n->value = v;
    return n;
}

/* The one text of a name. */
static const wk_text *name_of(parser *p, wk_str s)
{
    int64_t at = (int64_t)p->names.count;
    if (wk_map_get(&p->names, s, &at))
        return p->named[at]->name;
    wk_node *n = node_new(p, WK_N_NAME);
    if (!n || !wk_reserve(&p->named, &p->named_room, (size_t)at + 1, sizeof *p->named) ||
        !wk_map_put(&p->names, s, at))
        return NULL;
    p->named[at] = n;
    return n->name = text_new(p, s.at, s.size);
}

/* ---- Data --------------------------------------------------------------- */

static bool is_blank(uint32_t c) { return wk_is_space(c) || (c >= 0x1C && c < 0x20); }

static const char *skip_blanks(const char *p, const char *end)
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

static int line_at(parser *p, const char *at)
{
    for (; p->counted < at; p->counted++)
        p->line += *p->counted == '\n';
    return p->line;
}

/* Behind a tag that ends with close, like -%}; trim: a line break goes with it. */
static void end_tag(parser *p, const char *at, char sign, bool trim)
{
    p->at = at;
    if (sign == '-')
        p->at = skip_blanks(at, p->end);
    else if (trim && sign != '+' && at < p->end && *at == '\n')
        p->at++;
    p->line_starts = p->at[-1] == '\n';
}

/* What stands before a tag whose sign and kind these are. */
static wk_str before_tag(parser *p, const char *from, const char *tag, char kind, char sign)
{
    if (sign == '-') {
        tag = back_over_blanks(from, tag);
    } else if (sign != '+' && kind != '{') {
        const char *row = tag;
        while (row > from && row[-1] != '\n')
            row--;
        if ((row > from || p->line_starts) && skip_blanks(row, tag) == tag)
            tag = row;
    }
    return (wk_str){ from, (size_t)(tag - from) };
}

/* Is this {% word %}, with signs?  *end and *sign are then of its end. */
static bool is_word_tag(parser *p, const char *at, const char *word, const char **end, char *sign)
{
    size_t n = strlen(word);
    if (p->end - at < 2 || at[0] != '{' || at[1] != '%')
        return false;
    at += 2 + (at + 2 < p->end && (at[2] == '-' || at[2] == '+'));
    at = skip_blanks(at, p->end);
    if ((size_t)(p->end - at) < n || memcmp(at, word, n))
        return false;
    at = skip_blanks(at + n, p->end);
    *sign = at < p->end && (*at == '-' || *at == '+') ? *at++ : '\0';
    *end = at + 2;
    return p->end - at >= 2 && at[0] == '%' && at[1] == '}';
}

static wk_str raw(parser *p)
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
        fail(p, "{%% raw %%} does not end");
    return (wk_str){ "", 0 };
}

static void comment(parser *p, const char *at)
{
    at += at < p->end && (*at == '-' || *at == '+');
    const char *end = memmem(at, (size_t)(p->end - at), "#}", 2);
    p->now.line = line_at(p, at);
    if (!end)
        fail(p, "a comment does not end");
    else
        end_tag(p, end + 2, end > at ? end[-1] : '\0', true);
}

/* The text up to the next tag that is not a comment; *kind is its second character, 0 at
 * the end.  For a raw block its content is the text, and *kind is 'r'. */
static wk_str data(parser *p, char *kind)
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

static size_t name_size(const char *at, const char *end)
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

static int number(parser *p, const char *at, size_t *size)
{
    const char *q = digits(at, p->end), *end = p->end;
    bool        real = false;
    if (*at == '0' && at + 1 < end && strchr("xXoObB", at[1]) && at[1]) {
        *size = name_size(at, end);
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
static bool at_end(parser *p, const char *at)
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

static void next(parser *p)
{
    const char *at = skip_blanks(p->at, p->end);
    size_t      size = 0;
    if (!wk_ok() || at == p->end) {
        fail(p, "the template ends inside a tag");
        return;
    }
    p->now = (token){ 0, line_at(p, at), { at, 0 } };
    if (at_end(p, at))
        return;
    if (*at >= '0' && *at <= '9') {
        p->now.kind = number(p, at, &size);
    } else if (*at == '\'' || *at == '"') {
        const char *q = at + 1;
        while (q < p->end && *q != *at)
            q += 1 + (*q == '\\');
        if (q >= p->end) {
            fail(p, "a string does not end");
            return;
        }
        p->now.kind = T_STRING;
        size = (size_t)(q - at) + 1;
    } else if ((size = name_size(at, p->end))) {
        p->now.kind = T_NAME;
    } else {
        p->now.kind = operator_at(at, (size_t)(p->end - at), &size);
    }
    if (!p->now.kind) {
        fail(p, "unexpected character '%.*s'", 1, at);
        return;
    }
    p->brackets += p->now.kind == '(' || p->now.kind == '[' || p->now.kind == '{';
    p->brackets -= p->now.kind == ')' || p->now.kind == ']' || p->now.kind == '}';
    if (p->brackets < 0)
        fail(p, "unexpected '%c'", p->now.kind);
    p->now.text.size = size;
    p->at = p->at == p->end ? p->end : at + size;
}

static bool is_name(const parser *p, const char *word)
{
    return p->now.kind == T_NAME && wk_str_is(p->now.text, word);
}

static bool take_name(parser *p, const char *word)
{
    bool there = is_name(p, word);
    if (there)
        next(p);
    return there;
}

static bool take(parser *p, int kind)
{
    bool there = p->now.kind == kind;
    if (there)
        next(p);
    return there;
}

static void unexpected(parser *p, const char *wanted)
{
    static const char *const ends[] = { "", "'%}'", "'}}'" };
    int                      kind = p->now.kind;
    if (kind == T_BLOCK_END || kind == T_PRINT_END)
        fail(p, "expected %s, not %s", wanted, ends[kind]);
    else
        fail(p, "expected %s, not '%.*s'", wanted, (int)wk_min_i64((int64_t)p->now.text.size, 40),
             p->now.text.at);
}

static void expect(parser *p, int kind, const char *what)
{
    if (!take(p, kind))
        unexpected(p, what);
}

static const wk_text *expect_name(parser *p)
{
    if (p->now.kind != T_NAME)
        return unexpected(p, "a name"), NULL;
    const wk_text *name = name_of(p, p->now.text);
    next(p);
    return name;
}

/* ---- Literals ----------------------------------------------------------- */

static int64_t integer(parser *p)
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
            fail(p, "not an integer that fits");
            return 0;
        }
    }
    return x;
}

static double real(parser *p)
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
static const char *escape(parser *p, const char *at, const char *end, wk_buf *out)
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
            return fail(p, "a string with a broken escape"), end;
        code = code * (octal ? 8 : 16) + (uint32_t)digit;
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
        return fail(p, "a string with a broken escape"), end;
    wk_buf_utf8(out, code);
    return at;
}

/* Strings that stand next to each other are one. */
static wk_node *string(parser *p)
{
    wk_buf   out = { 0 };
    wk_node *n = node_new(p, WK_N_CONST);
    while (p->now.kind == T_STRING) {
        const char *at = p->now.text.at + 1, *end = at + p->now.text.size - 2;
        while (at < end && wk_ok()) {
            const char *back = memchr(at, '\\', (size_t)(end - at));
            wk_buf_add(&out, at, (size_t)((back ? back : end) - at));
            at = back ? escape(p, back + 1, end, &out) : end;
        }
        next(p);
    }
    char *copy = wk_ok() ? wk_arena_take(&p->t->arena, out.size + 1) : NULL;
    if (copy && out.size)
        memcpy(copy, out.data, out.size);
    if (copy && n)
        n->value = (wk_value){ .kind = WK_TEXT, .text = text_new(p, copy, out.size) };
    wk_buf_free(&out);
    return wk_ok() ? n : NULL;
}

/* ---- Expressions -------------------------------------------------------- */

static wk_node *expression(parser *p);
static wk_node *binary(parser *p, int level);
static wk_node *primary(parser *p);
static wk_node *postfix(parser *p, wk_node *n);

/* Append to a list whose last link is *end. */
static void append(wk_node ***end, wk_node *n)
{
    if (n) {
        **end = n;
        *end = &n->next;
    }
}

static bool deeper(parser *p)
{
    if (++p->depth > MOST_NESTED)
        fail(p, "nested too deep");
    return wk_ok();
}

static bool at_tuple_end(const parser *p)
{
    return p->now.kind == ')' || p->now.kind <= T_PRINT_END || is_name(p, "in") ||
           p->now.kind == '=';
}

/* One expression, or several with commas, which are a tuple. */
static wk_node *tuple(parser *p, wk_node *(*element)(parser *p), bool in_parentheses)
{
    wk_node *list = NULL, **end = &list;
    wk_node *n = node_new(p, WK_N_LIST);
    bool     many = false;
    while (wk_ok() && !at_tuple_end(p)) {
        append(&end, element(p));
        if (!take(p, ','))
            break;
        many = true;
    }
    if (!many && (list || !wk_ok()))
        return list;
    if (!many && !in_parentheses)
        return unexpected(p, "an expression"), NULL;
    if (n) {
        n->flag = true;
        n->list = list;
    }
    return n;
}

static wk_node *or_level(parser *p) { return binary(p, 0); }

static wk_node *call_arguments(parser *p)
{
    wk_node *list = NULL, **end = &list;
    bool     named = false;
    expect(p, '(', "'('");
    while (wk_ok() && p->now.kind != ')') {
        wk_node *n = node_new(p, WK_N_ARG);
        if (!n)
            break;
        n->op = p->now.kind == '*' ? '*' : p->now.kind == WK_OP_POWER ? 'D' : 0;
        if (n->op)
            next(p);
        const char *after = skip_blanks(p->at, p->end);
        bool is_named = !n->op && p->now.kind == T_NAME && p->end - after > 1 && after[0] == '=' &&
                        after[1] != '=';
        if (is_named) {
            n->name = expect_name(p);
            next(p);
        } else if (named && !n->op) {
            fail(p, "a positional argument behind a named one");
        }
        named |= is_named || n->op == 'D';
        n->a = expression(p);
        append(&end, n);
        if (!take(p, ',') && p->now.kind != ')')
            unexpected(p, "',' or ')'");
    }
    expect(p, ')', "')'");
    return list;
}

static wk_node *slice(parser *p, wk_node *of)
{
    wk_node *part[3] = { 0 }, *n;
    int      i = 0;
    bool     is_slice = false;
    for (; wk_ok() && p->now.kind != ']' && i < 3; i++) {
        if (p->now.kind != ':')
            part[i] = expression(p);
        if (!take(p, ':'))
            break;
        is_slice = true;
    }
    expect(p, ']', "']'");
    n = node_new(p, is_slice ? WK_N_SLICE : WK_N_ITEM);
    if (n && !is_slice && !part[0])
        return unexpected(p, "an index"), NULL;
    if (!n || !wk_ok())
        return NULL;
    n->a = of;
    n->b = part[0];
    wk_node **end = &n->list;
    for (i = 0; is_slice && i < 3; i++)
        append(&end, part[i] ? part[i] : const_new(p, wk_value_none()));
    return n;
}

static wk_node *postfix(parser *p, wk_node *n)
{
    while (wk_ok() && (p->now.kind == '.' || p->now.kind == '[' || p->now.kind == '(')) {
        wk_node *x;
        if (p->now.kind == '(') {
            x = node_new(p, WK_N_CALL);
            if (x) {
                x->a = n;
                x->list = call_arguments(p);
            }
        } else if (take(p, '[')) {
            x = slice(p, n);
        } else {
            next(p);
            bool index = p->now.kind == T_INTEGER;
            x = node_new(p, index ? WK_N_ITEM : WK_N_ATTR);
            if (x && index) {
                x->b = const_new(p, wk_value_int(integer(p)));
                next(p);
            } else if (x) {
                x->name = expect_name(p);
            }
            if (x)
                x->a = n;
        }
        n = x;
    }
    return n;
}

static wk_node *dict(parser *p)
{
    wk_node *n = node_new(p, WK_N_DICT), **end = n ? &n->list : NULL;
    next(p);
    while (wk_ok() && p->now.kind != '}') {
        append(&end, expression(p));
        expect(p, ':', "':'");
        append(&end, wk_ok() ? expression(p) : NULL);
        if (!take(p, ',') && p->now.kind != '}')
            unexpected(p, "',' or '}'");
    }
    expect(p, '}', "'}'");
    return n;
}

static wk_node *list(parser *p)
{
    wk_node *n = node_new(p, WK_N_LIST), **end = n ? &n->list : NULL;
    next(p);
    while (wk_ok() && p->now.kind != ']') {
        append(&end, expression(p));
        if (!take(p, ',') && p->now.kind != ']')
            unexpected(p, "',' or ']'");
    }
    expect(p, ']', "']'");
    return n;
}

static wk_node *name_or_word(parser *p)
{
    static const struct {
        const char *word;
        int8_t      truth; /* -1: none */
    } words[] = { { "true", 1 },  { "True", 1 },  { "false", 0 },
                  { "False", 0 }, { "none", -1 }, { "None", -1 } };
    for (size_t i = 0; i < WK_COUNT(words); i++)
        if (take_name(p, words[i].word))
            return const_new(p,
                             words[i].truth < 0 ? wk_value_none() : wk_value_truth(words[i].truth));
    wk_node *n = node_new(p, WK_N_NAME);
    if (n)
        n->name = expect_name(p);
    return n;
}

static wk_node *primary(parser *p)
{
    wk_node *n = NULL;
    switch (p->now.kind) {
    case T_NAME:
        return name_or_word(p);
    case T_STRING:
        return string(p);
    case T_INTEGER:
        n = const_new(p, wk_value_int(integer(p)));
        next(p);
        return n;
    case T_REAL:
        n = const_new(p, wk_value_real(real(p)));
        next(p);
        return n;
    case '(':
        next(p);
        n = tuple(p, expression, true);
        expect(p, ')', "')'");
        return n;
    case '[':
        return list(p);
    case '{':
        return dict(p);
    default:
        return unexpected(p, "an expression"), NULL;
    }
}

/* A filter of what comes before, or with NULL of a block. */
static wk_node *filter(parser *p, wk_node *of)
{
    wk_node *n = node_new(p, WK_N_FILTER);
    wk_str   name = p->now.text;
    if (!n || !expect_name(p))
        return NULL;
    n->a = of;
    n->builtin = wk_builtin_find(name, WK_FILTER);
    if (!n->builtin)
        return fail(p, "there is no filter '%.*s'", (int)wk_min_i64((int64_t)name.size, 40),
                    name.at);
    if (p->now.kind == '(')
        n->list = call_arguments(p);
    return n;
}

static wk_node *test(parser *p, wk_node *of)
{
    wk_node *n = node_new(p, WK_N_TEST);
    if (!n)
        return NULL;
    n->a = of;
    n->flag = take_name(p, "not");
    wk_str name = p->now.text;
    if (!expect_name(p))
        return NULL;
    n->builtin = wk_builtin_find(name, WK_TEST);
    if (!n->builtin)
        return fail(p, "there is no test '%.*s'", (int)wk_min_i64((int64_t)name.size, 40), name.at);
    int  kind = p->now.kind;
    bool word = is_name(p, "else") || is_name(p, "or") || is_name(p, "and");
    if (kind == '(') {
        n->list = call_arguments(p);
    } else if ((kind >= T_NAME && kind <= T_REAL && !word) || kind == '[' || kind == '{') {
        if (is_name(p, "is"))
            return fail(p, "tests cannot be chained with is");
        n->list = node_new(p, WK_N_ARG);
        if (n->list)
            n->list->a = postfix(p, primary(p));
    }
    return n;
}

static wk_node *unary(parser *p, bool filters)
{
    wk_node *n = NULL;
    if (!deeper(p))
        return NULL;
    if (p->now.kind == '-' || p->now.kind == '+') {
        n = node_new(p, WK_N_UNARY);
        if (n) {
            n->op = (uint8_t)p->now.kind;
            next(p);
            n->a = unary(p, false);
        }
    } else {
        n = primary(p);
    }
    n = postfix(p, n);
    while (filters && wk_ok()) {
        if (take(p, '|'))
            n = filter(p, n);
        else if (take_name(p, "is"))
            n = test(p, n);
        else if (p->now.kind == '(')
            n = postfix(p, n);
        else
            break;
    }
    p->depth--;
    return n;
}

enum { OR, AND, NOT, COMPARE, SUM, JOIN, PRODUCT, POWER, UNARY };

/* Is there an operator of this level?  Steps over it. */
static int operator_of(parser *p, int level)
{
    static const char *const of[UNARY] = {
        [COMPARE] = "<>ENlg", [SUM] = "+-", [JOIN] = "~", [PRODUCT] = "*/%f", [POWER] = "p"
    };
    int kind = p->now.kind;
    if (level == OR || level == AND)
        return take_name(p, level == OR ? "or" : "and") ? (level == OR ? WK_OP_OR : WK_OP_AND) : 0;
    if (of[level] && kind > T_REAL && strchr(of[level], kind))
        return next(p), kind;
    if (level == COMPARE && take_name(p, "in"))
        return WK_OP_IN;
    const char *after = skip_blanks(p->at, p->end);
    if (level == COMPARE && is_name(p, "not") && name_size(after, p->end) == 2 &&
        !memcmp(after, "in", 2))
        return next(p), next(p), WK_OP_NOT_IN;
    return 0;
}

static wk_node *binary(parser *p, int level)
{
    if (level == UNARY)
        return unary(p, true);
    if (level == NOT && is_name(p, "not")) {
        wk_node *n = node_new(p, WK_N_UNARY);
        next(p);
        if (n && deeper(p)) {
            n->op = WK_OP_NOT;
            n->a = binary(p, NOT);
            p->depth--;
        }
        return n;
    }
    wk_node *n = binary(p, level + 1), **end = NULL;
    int      op;
    while (wk_ok() && n && level != NOT && (op = operator_of(p, level))) {
        wk_node *x = node_new(p, WK_N_BINARY);
        if (!x)
            return NULL;
        x->op = (uint8_t)op;
        x->b = binary(p, level + 1);
        if (level == COMPARE && !end) {
            wk_node *all = node_new(p, WK_N_COMPARE);
            if (!all)
                return NULL;
            all->a = n;
            end = &all->list;
            n = all;
        }
        if (level == COMPARE) {
            append(&end, x);
        } else {
            x->a = n;
            n = x;
        }
    }
    return n;
}

static wk_node *expression(parser *p)
{
    wk_node *n = NULL;
    if (!deeper(p))
        return NULL;
    n = binary(p, OR);
    while (wk_ok() && take_name(p, "if")) {
        wk_node *x = node_new(p, WK_N_IF_ELSE);
        if (!x)
            break;
        x->a = n;
        x->b = binary(p, OR);
        if (take_name(p, "else"))
            x->c = expression(p);
        n = x;
    }
    p->depth--;
    return n;
}

/* ---- Statements --------------------------------------------------------- */

/* What can be assigned to: a name, an attribute of a namespace, a tuple of them. */
static wk_node *target(parser *p)
{
    if (take(p, '(')) {
        wk_node *n = deeper(p) ? tuple(p, target, true) : NULL;
        p->depth--;
        expect(p, ')', "')'");
        return n;
    }
    wk_node *n = name_or_word(p);
    if (n && n->kind != WK_N_NAME)
        return fail(p, "cannot assign to a word of the language");
    if (n && wk_ok() && take(p, '.')) {
        wk_node *x = node_new(p, WK_N_ATTR);
        if (x) {
            x->a = n;
            x->name = expect_name(p);
        }
        n = x;
    }
    return n;
}

static wk_node *body(parser *p, const char *ends);

/* The end of a tag whose word was just seen. */
static void end_of_block(parser *p)
{
    next(p);
    if (p->now.kind != T_BLOCK_END)
        unexpected(p, "'%}'");
}

static void block_for(parser *p, wk_node *n)
{
    n->a = tuple(p, target, false);
    if (!take_name(p, "in"))
        unexpected(p, "'in'");
    n->b = wk_ok() ? tuple(p, or_level, false) : NULL;
    if (take_name(p, "if"))
        n->c = expression(p);
    if (is_name(p, "recursive"))
        fail(p, "recursive loops are not supported");
    p->loops++;
    n->list = body(p, "else endfor");
    p->loops--;
    if (is_name(p, "else")) {
        next(p);
        n->d = body(p, "endfor");
    }
}

static void block_if(parser *p, wk_node *n)
{
    n->a = tuple(p, or_level, false);
    n->list = body(p, "elif else endif");
    while (wk_ok() && !is_name(p, "endif")) {
        bool     condition = is_name(p, "elif");
        wk_node *x = node_new(p, WK_N_IF);
        next(p);
        if (!x)
            break;
        x->a = condition ? tuple(p, or_level, false) : NULL;
        x->list = body(p, condition ? "elif else endif" : "endif");
        n->c = x;
        n = x;
    }
}

static wk_node *filters(parser *p)
{
    wk_node *list_of = NULL, **end = &list_of;
    do
        append(&end, filter(p, NULL));
    while (wk_ok() && take(p, '|'));
    return list_of;
}

static void block_set(parser *p, wk_node *n)
{
    n->a = tuple(p, target, false);
    if (take(p, '=')) {
        n->b = tuple(p, expression, false);
        return;
    }
    n->flag = true;
    if (take(p, '|'))
        n->b = filters(p);
    n->list = body(p, "endset");
}

static void block_macro(parser *p, wk_node *n)
{
    wk_node **end = &n->a;
    int       loops = p->loops;
    bool      defaults = false;
    n->name = expect_name(p);
    expect(p, '(', "'('");
    while (wk_ok() && p->now.kind != ')') {
        wk_node *x = node_new(p, WK_N_ARG);
        if (!x)
            return;
        x->name = expect_name(p);
        if (take(p, '='))
            x->a = expression(p), defaults = true;
        else if (defaults)
            fail(p, "an argument without a default behind one that has it");
        append(&end, x);
        if (!take(p, ',') && p->now.kind != ')')
            unexpected(p, "',' or ')'");
    }
    expect(p, ')', "')'");
    p->loops = 0;
    n->list = body(p, "endmacro");
    p->loops = loops;
}

static void block_filter(parser *p, wk_node *n)
{
    n->b = filters(p);
    n->list = body(p, "endfilter");
}

static void block_with(parser *p, wk_node *n)
{
    wk_node **end = &n->b;
    while (wk_ok() && p->now.kind != T_BLOCK_END) {
        wk_node *x = node_new(p, WK_N_SET);
        if (!x)
            return;
        x->a = target(p);
        expect(p, '=', "'='");
        x->b = wk_ok() ? expression(p) : NULL;
        append(&end, x);
        if (!take(p, ',') && p->now.kind != T_BLOCK_END)
            unexpected(p, "',' or '%}'");
    }
    n->list = body(p, "endwith");
}

static void block_generation(parser *p, wk_node *n) { n->list = body(p, "endgeneration"); }

static void block_leave(parser *p, wk_node *n)
{
    (void)n;
    if (!p->loops)
        fail(p, "break or continue outside of a loop");
}

static wk_node *block(parser *p)
{
    static const struct {
        const char *name;
        int         kind;
        void (*parse)(parser *p, wk_node *n);
        bool ends; /* with a tag of its own: the end of that comes next */
    } kinds[] = {
        { "for", WK_N_FOR, block_for, true },
        { "if", WK_N_IF, block_if, true },
        { "set", WK_N_SET, block_set, false },
        { "macro", WK_N_MACRO, block_macro, true },
        { "filter", WK_N_FILTERED, block_filter, true },
        { "with", WK_N_WITH, block_with, true },
        { "generation", WK_N_BLOCK, block_generation, true },
        { "break", WK_N_BREAK, block_leave, false },
        { "continue", WK_N_CONTINUE, block_leave, false },
    };
    wk_str name = p->now.text;
    for (size_t i = 0; p->now.kind == T_NAME && i < WK_COUNT(kinds); i++)
        if (wk_str_is(name, kinds[i].name)) {
            wk_node *n = node_new(p, kinds[i].kind);
            next(p);
            if (!n || !wk_ok())
                return NULL;
            kinds[i].parse(p, n);
            if (kinds[i].ends || (n->kind == WK_N_SET && n->flag))
                end_of_block(p);
            else if (p->now.kind != T_BLOCK_END)
                unexpected(p, "'%}'");
            return n;
        }
    return fail(p, "unknown tag '%.*s'", (int)wk_min_i64((int64_t)name.size, 40), name.at);
}

static bool is_one_of(const parser *p, const char *words)
{
    wk_str s = p->now.text;
    for (const char *at = words; p->now.kind == T_NAME && (at = strstr(at, " ")); at++)
        if (!strncmp(at + 1, s.at, s.size) && (at[1 + s.size] == ' ' || !at[1 + s.size]))
            return true;
    return false;
}

static wk_node *output(parser *p, wk_str text)
{
    wk_node *n = text.size ? node_new(p, WK_N_OUTPUT) : NULL;
    if (n)
        n->a = const_new(p, (wk_value){ .kind = WK_TEXT, .text = text_new(p, text.at, text.size) });
    return n;
}

/* Statements behind the tag that ends here, up to a tag with one of these words; that is then
 * the token that comes.  NULL: up to the end of the template. */
static wk_node *statements(parser *p, const char *ends)
{
    wk_node *list_of = NULL, **end = &list_of;
    char     kind;
    while (wk_ok()) {
        append(&end, output(p, data(p, &kind)));
        if (!wk_ok() || (!kind && !ends))
            break;
        if (!kind)
            return fail(p, "the template ends, but it should go on with%s", ends);
        if (kind == 'r')
            append(&end, output(p, raw(p)));
        if (kind == 'r' || kind == '#')
            continue;
        next(p);
        if (kind == '{') {
            wk_node *n = node_new(p, WK_N_OUTPUT);
            if (n)
                n->a = tuple(p, expression, false);
            append(&end, n);
            if (wk_ok() && p->now.kind != T_PRINT_END)
                unexpected(p, "'}}'");
        } else if (ends && is_one_of(p, ends)) {
            break;
        } else {
            append(&end, block(p));
        }
    }
    return wk_ok() ? list_of : NULL;
}

static wk_node *body(parser *p, const char *ends)
{
    char     words[40];
    wk_node *n = NULL;
    if (wk_ok() && p->now.kind != T_BLOCK_END)
        unexpected(p, "'%}'");
    snprintf(words, sizeof words, " %s", ends);
    if (wk_ok() && deeper(p)) {
        n = statements(p, words);
        p->depth--;
    }
    return n;
}

/* Line breaks are \n; one at the end of the template is none. */
static size_t normalize(char *s, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        bool pair = s[i] == '\r' && i + 1 < size && s[i + 1] == '\n';
        if (!pair)
            s[n++] = s[i] == '\r' ? '\n' : s[i];
    }
    return n && s[n - 1] == '\n' ? n - 1 : n;
}

wk_node *wk_template_nodes(wk_template *t, size_t size)
{
    parser p = { .t = t, .at = t->source, .counted = t->source, .line = 1, .line_starts = true };
    p.end = t->source + normalize(t->source, size);
    p.now.line = 1;
    t->loop = name_of(&p, WK_STR("loop"));
    wk_node *n = wk_ok() ? statements(&p, NULL) : NULL;
    wk_map_free(&p.names);
    wk_free(p.named);
    return n;
}
