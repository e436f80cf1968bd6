// SPDX-License-Identifier: MIT OR Apache-2.0
/* regex_translate.c - patterns in Oniguruma's dialect, which tokenizer.json has, as
 * patterns for PCRE2.
 *
 * Most of it is the same.  What is not, is rewritten: \s \w \b \h by explicit classes,
 * X{n,m}+ (a repeated repeat, not a possessive one), scripts, free-standing options,
 * and classes with classes or && in them.  What is not known to mean the same in both
 * is refused; nothing is passed on unread. */
#include "text.h"

#define SPACE_SET                                                                                  \
    "\\t-\\r\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}"   \
    "\\x{3000}"
#define WORD_SET                                                                                   \
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}"                    \
    "\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}"
#define WORD_OUTSIDE                                                                               \
    WORD_SET "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}" /* numbers: only outside of [] */
#define HEX_SET "0-9A-Fa-f"

enum { MAX_GROUPS = 100, MAX_CLASSES = 20 };

typedef struct {
    size_t start;   /* of the group in out */
    int    options; /* free-standing options, each a group that must be closed, too */
} group;

typedef struct {
    const char *at, *end;
    wk_str      pattern;
    wk_buf     *out;
    size_t      atom; /* where the last thing that can be repeated starts in out */
    group       open[MAX_GROUPS];
    int         groups, classes;
} translator;

typedef struct { /* of characters */
    wk_buf text;
    bool   simple;  /* text goes between [ and ]; else it is an expression */
    bool   negated; /* only if simple */
} set;

static void refuse(translator *t, const char *what)
{
    wk_fail(WK_ERR_UNSUPPORTED, "regular expression \"%.160s\": %s is not supported", t->pattern.at,
            what);
    t->at = t->end;
}

static char peek(const translator *t, ptrdiff_t ahead)
{
    return t->end - t->at > ahead ? t->at[ahead] : '\0';
}

static bool starts(const translator *t, const char *text)
{
    return wk_str_starts((wk_str){ t->at, (size_t)(t->end - t->at) }, text);
}

static void put(wk_buf *out, const char *text) { wk_buf_str(out, wk_str_of(text)); }

/* A character that means itself, inside and outside of classes. */
static void put_literal(wk_buf *out, uint32_t c)
{
    if (c >= 128 || (c >= '0' && c <= '9') || (c | 32) - 'a' < 26)
        wk_buf_utf8(out, c);
    else
        wk_buf_printf(out, "\\x{%x}", (unsigned)c);
}

/* ---- Escapes ------------------------------------------------------------ */

/* Up to most hexadecimal digits. */
static uint32_t hex(translator *t, int most)
{
    uint32_t c = 0;
    int      n = 0;
    for (; n < most && t->at < t->end; n++, t->at++) {
        char x = *t->at;
        if (x >= '0' && x <= '9')
            c = c << 4 | (uint32_t)(x - '0');
        else if ((x | 32) >= 'a' && (x | 32) <= 'f')
            c = c << 4 | (uint32_t)((x | 32) - 'a' + 10);
        else
            break;
    }
    if (!n || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
        refuse(t, "a code point like this");
    return c;
}

/* The character that an escape stands for; the backslash was read. */
static uint32_t escaped_char(translator *t)
{
    static const char letter[] = "nrtfaev", meaning[] = "\n\r\t\f\a\x1B\v";
    char              what[] = "\\ ", c = peek(t, 0);
    const char       *p = c ? strchr(letter, c) : NULL;
    if (p) {
        t->at++;
        return (uint32_t)meaning[p - letter];
    }
    if (c == 'x' && peek(t, 1) == '{') {
        t->at += 2;
        uint32_t code = hex(t, 8);
        if (peek(t, 0) != '}')
            refuse(t, "\\x{ without an end");
        else
            t->at++;
        return code;
    }
    if (c == 'x' || c == 'u') {
        t->at++;
        uint32_t code = hex(t, c == 'x' ? 2 : 4);
        if (c == 'x' && code > 127)
            refuse(t, "a byte that is not ASCII");
        return code;
    }
    if (t->at == t->end || (c >= '0' && c <= '9') || (unsigned)((c | 32) - 'a') < 26) {
        what[1] = c;
        refuse(t, what);
        return 0;
    }
    return wk_utf8_next(&t->at, t->end, NULL);
}

/* \p{...}, in a class or not: to out.  The p or P was not read yet. */
static void property(translator *t, wk_buf *out)
{
    static const char *const same[] = { "Alphabetic", "Alpha",       "Lowercase",
                                        "Uppercase",  "White_Space", "Any" };
    static const char *const categories[][2] = {
        { "Letter", "L" },
        { "Mark", "M" },
        { "Number", "N" },
        { "Punctuation", "P" },
        { "Symbol", "S" },
        { "Separator", "Z" },
        { "Uppercase_Letter", "Lu" },
        { "Lowercase_Letter", "Ll" },
        { "Decimal_Number", "Nd" },
    };
    bool        inverted = *t->at++ == 'P';
    const char *close = t->at < t->end ? memchr(t->at, '}', (size_t)(t->end - t->at)) : NULL;
    if (peek(t, 0) != '{' || !close) {
        refuse(t, "\\p without {}");
        return;
    }
    t->at++;
    if (*t->at == '^') {
        inverted = !inverted;
        t->at++;
    }
    wk_str name = { t->at, (size_t)(close - t->at) };
    t->at = close + 1;
    for (size_t i = 0; i < name.size; i++)
        if (name.at[i] != '_' && (unsigned)((name.at[i] | 32) - 'a') >= 26) {
            refuse(t, "a property like this");
            return;
        }
    const char *kind = "sc:"; /* a script; PCRE2 would include what scripts share */
    if (name.size > 0 && name.size < 3 && strchr("CLMNPSZ", name.at[0]))
        kind = "";
    for (size_t i = 0; i < WK_COUNT(same); i++)
        if (wk_str_is(name, same[i]))
            kind = "";
    for (size_t i = 0; i < WK_COUNT(categories); i++)
        if (wk_str_is(name, categories[i][0])) {
            name = wk_str_of(categories[i][1]);
            kind = "";
        }
    wk_buf_printf(out, "\\%c{%s%.*s}", inverted ? 'P' : 'p', kind, (int)name.size, name.at);
}

/* The set of \s \w \h in any case, or NULL. */
static const char *shorthand(char c)
{
    switch (c | 32) {
    case 's':
        return SPACE_SET;
    case 'w':
        return WORD_SET;
    case 'h':
        return HEX_SET;
    default:
        return NULL;
    }
}

/* ---- Classes ------------------------------------------------------------ */

static void render(wk_buf *out, const set *s)
{
    if (s->simple)
        wk_buf_printf(out, s->negated ? "[^%.*s]" : "[%.*s]", (int)s->text.size, s->text.data);
    else
        wk_buf_str(out, wk_buf_view(&s->text));
}

/* [:alpha:] in a class */
static void posix_class(translator *t, wk_buf *items)
{
    static const char *const classes[][2] = {
        { "[:alpha:]", "\\p{Alphabetic}" },
        { "[:digit:]", "\\p{Nd}" },
        { "[:alnum:]", "\\p{Alphabetic}\\p{Nd}" },
        { "[:upper:]", "\\p{Uppercase}" },
        { "[:lower:]", "\\p{Lowercase}" },
        { "[:space:]", SPACE_SET },
        { "[:punct:]", "\\p{P}\\p{S}" },
        { "[:cntrl:]", "\\p{Cc}" },
        { "[:xdigit:]", HEX_SET },
        { "[:word:]", WORD_SET },
    };
    for (size_t i = 0; i < WK_COUNT(classes); i++)
        if (starts(t, classes[i][0])) {
            t->at += strlen(classes[i][0]);
            put(items, classes[i][1]);
            return;
        }
    refuse(t, "a POSIX class like this");
}

/* A character or a range. */
static void class_range(translator *t, wk_buf *items)
{
    uint32_t ends[2];
    int      n = 0;
    do {
        if (n)
            t->at++; /* the hyphen */
        if (*t->at != '\\') {
            ends[n++] = wk_utf8_next(&t->at, t->end, NULL);
            continue;
        }
        t->at++;
        ends[n++] = peek(t, 0) == 'b' ? (t->at++, (uint32_t)'\b') : escaped_char(t);
    } while (n == 1 && peek(t, 0) == '-' && t->end - t->at > 1 && !strchr("][", t->at[1]));
    put_literal(items, ends[0]);
    if (n == 2) {
        wk_buf_char(items, '-');
        put_literal(items, ends[1]);
    }
}

static set class_(translator *t);

/* What stands between [ && and ]: items, and alternatives that are no items. */
static set class_part(translator *t)
{
    wk_buf items = { 0 }, others = { 0 };
    for (bool first = true; t->at < t->end && (first || *t->at != ']') && !starts(t, "&&");
         first = false) {
        char        c = *t->at, e = c == '\\' ? peek(t, 1) : '\0';
        const char *known = e ? shorthand(e) : NULL;
        if (starts(t, "[:")) {
            posix_class(t, &items);
        } else if (c == '[') {
            set inner = class_(t);
            if (inner.simple && !inner.negated) {
                wk_buf_str(&items, wk_buf_view(&inner.text));
            } else {
                wk_buf_char(&others, '|');
                render(&others, &inner);
            }
            wk_buf_free(&inner.text);
        } else if (known) {
            t->at += 2;
            if (e & 32)
                put(&items, known);
            else
                wk_buf_printf(&others, "|[^%s]", known);
        } else if (e == 'p' || e == 'P') {
            t->at++;
            property(t, &items);
        } else if (e == 'd' || e == 'D') {
            t->at += 2;
            put(&items, e == 'd' ? "\\p{Nd}" : "\\P{Nd}");
        } else {
            class_range(t, &items);
        }
    }
    set s = { .text = items, .simple = true };
    if (!items.size && !others.size)
        refuse(t, "an empty class");
    if (others.size) {
        wk_buf all = { 0 };
        put(&all, "(?:");
        if (items.size)
            render(&all, &s);
        wk_buf_add(&all, others.data + !items.size, others.size - !items.size);
        put(&all, ")");
        wk_buf_free(&items);
        s = (set){ .text = all };
    }
    wk_buf_free(&others);
    return s;
}

/* [...] */
static set class_(translator *t)
{
    if (++t->classes > MAX_CLASSES)
        refuse(t, "nesting classes so deeply");
    bool negated = false;
    if (t->at < t->end)
        t->at++;
    if (peek(t, 0) == '^') {
        negated = true;
        t->at++;
    }
    set s = class_part(t);
    while (starts(t, "&&")) {
        t->at += 2;
        set    next = class_part(t);
        wk_buf both = { 0 };
        put(&both, "(?:(?=");
        render(&both, &s);
        put(&both, ")");
        render(&both, &next);
        put(&both, ")");
        wk_buf_free(&s.text);
        wk_buf_free(&next.text);
        s = (set){ .text = both };
    }
    if (peek(t, 0) == ']')
        t->at++;
    else
        refuse(t, "a class without an end");
    if (negated && !s.simple) {
        wk_buf none = { 0 };
        put(&none, "(?:(?!");
        render(&none, &s);
        put(&none, ")[\\x{0}-\\x{10ffff}])");
        wk_buf_free(&s.text);
        s = (set){ .text = none };
    } else {
        s.negated = negated;
    }
    t->classes--;
    return s;
}

/* ---- Groups and repeats ------------------------------------------------- */

static void open_group(translator *t, const char *text)
{
    if (t->groups == MAX_GROUPS) {
        refuse(t, "nesting groups so deeply");
        return;
    }
    t->open[t->groups++] = (group){ .start = t->out->size };
    put(t->out, text);
}

/* (?i) and (?i:...); Oniguruma's m is PCRE2's s. */
static void group_options(translator *t)
{
    wk_buf text = { 0 };
    for (t->at += 2, put(&text, "(?"); t->at < t->end && strchr("im-", *t->at); t->at++)
        wk_buf_char(&text, *t->at == 'm' ? 's' : *t->at);
    char c = peek(t, 0);
    wk_buf_char(&text, ':');
    if (!wk_ok() || (c != ':' && c != ')')) {
        refuse(t, "a group like this");
    } else if (c == ':') {
        open_group(t, text.data);
        t->at++;
    } else { /* it holds to the end of the group around it, over all alternatives */
        put(t->out, text.data);
        t->open[t->groups - 1].options++;
        t->at++;
    }
    wk_buf_free(&text);
}

static void open_any(translator *t)
{
    static const char *const same[] = { "(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!" };
    for (size_t i = 0; i < WK_COUNT(same); i++)
        if (starts(t, same[i])) {
            open_group(t, same[i]);
            t->at += strlen(same[i]);
            return;
        }
    if (!starts(t, "(?")) {
        open_group(t, "(?:");
        t->at++;
    } else if (starts(t, "(?<")) { /* its name is of no use without references */
        const char *close = memchr(t->at, '>', (size_t)(t->end - t->at));
        open_group(t, "(?:");
        if (close)
            t->at = close + 1;
        else
            refuse(t, "a group without an end of its name");
    } else {
        group_options(t);
    }
}

static void close_group(translator *t)
{
    if (t->groups == 1) {
        refuse(t, "a closing parenthesis alone");
        return;
    }
    group g = t->open[--t->groups];
    for (int i = 0; i <= g.options; i++)
        wk_buf_char(t->out, ')');
    t->atom = g.start;
    t->at++;
}

/* {n,m} and what follows; anything else that starts with { is a character. */
static void interval(translator *t)
{
    const char *p = t->at + 1, *low = p, *high;
    while (p < t->end && *p >= '0' && *p <= '9')
        p++;
    int  low_size = (int)(p - low), high_size = low_size;
    bool comma = p < t->end && *p == ',';
    high = comma ? ++p : low;
    while (comma && p < t->end && *p >= '0' && *p <= '9')
        p++;
    high_size = comma ? (int)(p - high) : low_size;
    if (p == t->end || *p != '}' || (!low_size && !high_size)) {
        t->atom = t->out->size;
        put_literal(t->out, '{');
        t->at++;
        return;
    }
    t->at = p + 1;
    wk_buf_printf(t->out, "{%.*s%s%.*s}", low_size ? low_size : 1, low_size ? low : "0",
                  comma ? "," : "", comma ? high_size : 0, high);
    if (peek(t, 0) == '?' && !comma) {
        refuse(t, "{n}?");
    } else if (peek(t, 0) == '+') { /* not possessive: (?:X{n,m})+ */
        size_t n = t->out->size - t->atom;
        put(t->out, "(?:)");
        if (wk_ok()) {
            char *at = t->out->data + t->atom;
            memmove(at + 3, at, n);
            memcpy(at, "(?:", 3);
        }
    }
}

static void escape(translator *t)
{
    const char *known = shorthand(peek(t, 1));
    char        c = peek(t, 1);
    t->atom = t->out->size;
    t->at++;
    if (known) {
        wk_buf_printf(t->out, c & 32 ? "[%s]" : "[^%s]", (c | 32) == 'w' ? WORD_OUTSIDE : known);
        t->at++;
    } else if (c == 'b' || c == 'B') {
        const char *word = "[" WORD_OUTSIDE "]";
        const char *same = c == 'b' ? "!" : "=", *other = c == 'b' ? "=" : "!";
        wk_buf_printf(t->out, "(?:(?<=%s)(?%s%s)|(?<!%s)(?%s%s))", word, same, word, word, other,
                      word);
        t->at++;
    } else if (c == 'd' || c == 'D') {
        put(t->out, c == 'd' ? "\\p{Nd}" : "\\P{Nd}");
        t->at++;
    } else if (c == 'p' || c == 'P') {
        property(t, t->out);
    } else if (c && strchr("AzZR", c)) {
        wk_buf_printf(t->out, "\\%c", c);
        t->at++;
    } else {
        put_literal(t->out, escaped_char(t));
    }
}

bool wk_regex_translate(wk_str pattern, wk_buf *out)
{
    translator t = { .at = pattern.at,
                     .end = pattern.at + pattern.size,
                     .pattern = pattern,
                     .out = out,
                     .groups = 1 };
    while (t.at < t.end && wk_ok()) {
        char c = *t.at;
        if (c == '\\') {
            escape(&t);
        } else if (c == '[') {
            t.atom = out->size;
            set s = class_(&t);
            if (wk_ok())
                render(out, &s);
            wk_buf_free(&s.text);
        } else if (c == '(') {
            open_any(&t);
        } else if (c == ')') {
            close_group(&t);
        } else if (c == '{') {
            interval(&t);
        } else if (strchr("^$.|?*+", c) && c) {
            if (!strchr("?*+", c))
                t.atom = out->size;
            wk_buf_char(out, c);
            t.at++;
        } else {
            t.atom = out->size;
            put_literal(out, wk_utf8_next(&t.at, t.end, NULL));
        }
    }
    if (t.groups != 1)
        refuse(&t, "a group without an end");
    for (int i = 0; i < t.open[0].options; i++)
        wk_buf_char(out, ')');
    return wk_ok();
}
