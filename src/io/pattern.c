// SPDX-License-Identifier: MIT OR Apache-2.0
/* pattern.c - regular expressions for names of tensors, by trying: short patterns for short
 * texts, without a library. */
#include "quantize.h"

enum { MOST = 1000, MOST_STEPS = 1000000 };

typedef struct {
    const char *text;
    int         steps;
} matcher;

typedef struct rest rest;
struct rest { /* what is to match behind a piece: the pattern at .. end, then next */
    const char *at, *end;
    const rest *next;
    const char *piece, *from; /* of a repeated piece: itself, and where its last round began */
};

static bool choices(matcher *m, const char *p, const char *end, const char *s, const rest *next);
static bool finish(matcher *m, const char *s, const rest *k);

/* ---- Pieces -------------------------------------------------------------- */

static const char *skip_set(const char *p, const char *end)
{
    p++;
    p += p < end && *p == '^';
    p += p < end && *p == ']'; /* as the first one it is a character of the set */
    while (p < end && *p != ']')
        p += 1 + (*p == '\\' && p + 1 < end);
    return p < end ? p + 1 : end;
}

/* Where the piece at p ends. */
static const char *skip(const char *p, const char *end)
{
    if (*p == '\\')
        return p + 1 < end ? p + 2 : end;
    if (*p == '[')
        return skip_set(p, end);
    if (*p != '(')
        return p + 1;
    for (p++; p < end && *p != ')';)
        p = skip(p, end);
    return p < end ? p + 1 : end;
}

static bool escaped(char kind, char c)
{
    bool digit = c >= '0' && c <= '9';
    bool word = digit || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    return kind == 'd' ? digit : kind == 'w' ? word : c == kind;
}

static bool in_set(const char *p, const char *end, char c)
{
    bool negated = p + 1 < end && p[1] == '^', found = false, first = true;
    for (p += 1 + negated; p < end - 1; p++, first = false) {
        if (*p == ']' && !first)
            break;
        if (*p == '\\' && p + 1 < end - 1)
            found |= escaped(*++p, c);
        else if (p + 2 < end - 1 && p[1] == '-')
            found |= c >= *p && c <= p[2], p += 2;
        else
            found |= c == *p;
    }
    return found != negated;
}

/* The piece p .. end once, then what follows. */
static bool once(matcher *m, const char *p, const char *end, const char *s, const rest *next)
{
    if (*p == '(')
        return choices(m, p + 1, end[-1] == ')' && end > p + 1 ? end - 1 : end, s, next);
    bool one = *p == '.'                    ? true
               : *p == '['                  ? in_set(p, end, *s)
               : *p == '\\' && end == p + 2 ? escaped(p[1], *s)
                                            : *p == *s;
    return *s && one && finish(m, s + 1, next);
}

/* ---- Pieces one after the other ------------------------------------------ */

static bool sequence(matcher *m, const char *p, const char *end, const char *s, const rest *next)
{
    if (p == end)
        return finish(m, s, next);
    if (*p == '^' || *p == '$')
        return (*p == '^' ? s == m->text : !*s) && sequence(m, p + 1, end, s, next);
    const char *after = skip(p, end);
    char        times = after < end ? *after : '\0';
    bool        many = times == '*' || times == '+';
    const char *behind = after + (many || times == '?');
    rest        more = { behind, end, next, many ? p : NULL, s };
    return once(m, p, after, s, &more) ||
           (times != '+' && behind > after && sequence(m, behind, end, s, next));
}

static bool finish(matcher *m, const char *s, const rest *k)
{
    if (!k) /* a part of the text is enough */
        return true;
    if (++m->steps > MOST_STEPS)
        return false;
    if (k->piece && s != k->from) { /* another round */
        rest again = *k;
        again.from = s;
        if (once(m, k->piece, skip(k->piece, k->end), s, &again))
            return true;
    }
    return sequence(m, k->at, k->end, s, k->next);
}

static bool choices(matcher *m, const char *p, const char *end, const char *s, const rest *next)
{
    for (;; p++) {
        const char *bar = p;
        while (bar < end && *bar != '|')
            bar = skip(bar, end);
        if (sequence(m, p, bar, s, next))
            return true;
        if (bar >= end)
            return false;
        p = bar;
    }
}

bool wk_pattern_in(const char *pattern, const char *text)
{
    const char *end = pattern + strlen(pattern);
    matcher     m = { text, 0 };
    if (end - pattern > MOST || strlen(text) > MOST)
        return false;
    for (const char *s = text;; s++) {
        if (choices(&m, pattern, end, s, NULL))
            return true;
        if (!*s || m.steps > MOST_STEPS)
            return false;
    }
}
