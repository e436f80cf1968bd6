// SPDX-License-Identifier: MIT OR Apache-2.0
/* template_strings.c - what chat templates do with strings: filters, methods, tests. */
#include "template.h"

#include <stdlib.h>

static wk_value text_of(const wk_text *s) { return (wk_value){ .kind = WK_TEXT, .text = s }; }

/* ---- Strings ------------------------------------------------------------ */

static uint32_t upper(uint32_t c)
{
    static const int16_t away[] = { 32, 1,    80, 48, 38, 37,   63,  64,  8,   26,
                                    16, -121, 40, 59, -7, -130, 217, 205, 206, 219 };
    if (c < 128)
        return c >= 'a' && c <= 'z' ? c - 32 : c;
    if (c == 0xB5)
        return 0x39C;
    for (size_t i = 0; i < WK_COUNT(away); i++)
        if (wk_char_lower(c) == c && c - (uint32_t)away[i] != c &&
            wk_char_lower(c - (uint32_t)away[i]) == c)
            return c - (uint32_t)away[i];
    return c;
}

wk_value wk_text_recase(wk_run *r, const wk_text *s, int how)
{
    wk_out out = { 0 };
    bool   first = true;
    for (const char *p = s->at, *end = p + s->size, *from = p; p < end && wk_ok(); from = p) {
        char     text[4];
        uint32_t c = wk_utf8_next(&p, end, NULL);
        uint8_t  origin[4] = { 0 };
        bool     letter = wk_char_class(c) & (WK_UPPER | WK_LOWER);
        bool     up = how == WK_CASE_UPPER || (how != WK_CASE_LOWER && first);
        uint32_t cased = up ? upper(c) : wk_char_lower(c);
        size_t   n = (size_t)wk_utf8_put(text, cased);
        if (s->origin)
            memset(origin, s->origin[from - s->at], 4);
        if (up && c == 0xDF) /* has no capital of its own */
            wk_out_add(r, &out, how == WK_CASE_UPPER ? "SS" : "Ss", 2, s->origin ? origin : NULL);
        else
            wk_out_add(r, &out, text, n, s->origin ? origin : NULL);
        if (how ==
            WK_CASE_TITLE) /* str.title(): behind all that is no letter; the filter: behind these */
            first = !letter;
        else
            first = how == WK_CASE_WORDS &&
                    (wk_is_space(c) || (c < 128 && c && strchr("-({[<", (char)c)));
    }
    return wk_out_end(r, &out);
}

#define RECASE(name, how)                                                                          \
    static wk_value name(wk_run *r, wk_value self, const wk_args *a)                               \
    {                                                                                              \
        (void)a;                                                                                   \
        return wk_text_recase(r, self.text, how);                                                  \
    }
RECASE(to_lower, WK_CASE_LOWER)
RECASE(to_upper, WK_CASE_UPPER)
RECASE(capitalize, WK_CASE_CAPITAL)
RECASE(title_method, WK_CASE_TITLE)
RECASE(title_filter, WK_CASE_WORDS)

/* Is the character at from to to among these, or white space where they are NULL? */
static bool among(const wk_text *s, size_t from, size_t to, const wk_text *set)
{
    const char *p = s->at + from;
    if (set)
        return memmem(set->at, set->size, p, to - from) != NULL;
    uint32_t c = wk_utf8_next(&p, s->at + to, NULL);
    return wk_is_space(c) || (c >= 0x1C && c < 0x20);
}

static wk_value strip(wk_run *r, wk_value self, const wk_args *a, bool left, bool right)
{
    static const wk_text white = { "", 0, NULL };
    const wk_text       *s = self.text, *set = wk_arg_text(r, a, 0, "chars", &white);
    size_t               from = 0, to = s->size, n;
    set = set == &white ? NULL : set;
    for (; left && from < to && wk_run_spend(r, 1); from = n) {
        for (n = from + 1; n < to && (s->at[n] & 0xC0) == 0x80; n++)
            ;
        if (!among(s, from, n, set))
            break;
    }
    for (; right && from < to && wk_run_spend(r, 1); to = n) {
        for (n = to - 1; n > from && (s->at[n] & 0xC0) == 0x80; n--)
            ;
        if (!among(s, n, to, set))
            break;
    }
    return wk_value_part(r, s, from, to);
}

wk_value wk_text_trim(wk_run *r, wk_value self, const wk_args *a)
{
    return strip(r, self, a, true, true);
}

static wk_value lstrip(wk_run *r, wk_value self, const wk_args *a)
{
    return strip(r, self, a, true, false);
}

static wk_value rstrip(wk_run *r, wk_value self, const wk_args *a)
{
    return strip(r, self, a, false, true);
}

/* Where what is found at or after from; SIZE_MAX: nowhere. */
static size_t find_in(wk_run *r, const wk_text *s, size_t from, const wk_text *what)
{
    if (!wk_run_spend(r, 1) || what->size > s->size - from)
        return SIZE_MAX;
    const char *p =
        what->size ? memmem(s->at + from, s->size - from, what->at, what->size) : s->at + from;
    wk_run_spend(r, (p ? (size_t)(p - s->at) - from : s->size - from) / 64);
    return p ? (size_t)(p - s->at) : SIZE_MAX;
}

/* At white space, any number of it. */
static void split_words(wk_run *r, const wk_text *s, int64_t most, wk_list *l)
{
    size_t from = 0, to, n;
    for (; wk_ok(); from = to, most--) {
        for (; from < s->size; from = n) {
            for (n = from + 1; n < s->size && (s->at[n] & 0xC0) == 0x80; n++)
                ;
            if (!among(s, from, n, NULL))
                break;
        }
        if (from == s->size)
            return;
        for (to = from; to < s->size && most != 0; to = n) {
            for (n = to + 1; n < s->size && (s->at[n] & 0xC0) == 0x80; n++)
                ;
            if (among(s, to, n, NULL))
                break;
        }
        if (most == 0) { /* the rest, but for what is behind it */
            wk_args  none = { 0 };
            wk_value rest = wk_value_part(r, s, from, s->size);
            wk_list_add(r, l, wk_ok() ? rstrip(r, rest, &none) : rest);
            return;
        }
        wk_list_add(r, l, wk_value_part(r, s, from, to));
    }
}

static wk_value split(wk_run *r, wk_value self, const wk_args *a)
{
    static const wk_text white = { "", 0, NULL };
    const wk_text       *s = self.text, *at = wk_arg_text(r, a, 0, "sep", &white);
    int64_t              most = wk_arg_int(r, a, 1, "maxsplit", -1);
    wk_value             l = wk_list_new(r, 0, WK_PLAIN_LIST);
    if (!wk_ok())
        return l;
    if (at == &white) {
        split_words(r, s, most, l.list);
        return l;
    }
    if (!at->size)
        return wk_run_fail(r, "empty separator");
    size_t from = 0, to;
    for (; most != 0 && (to = find_in(r, s, from, at)) != SIZE_MAX; from = to + at->size, most--)
        wk_list_add(r, l.list, wk_value_part(r, s, from, to));
    wk_list_add(r, l.list, wk_value_part(r, s, from, s->size));
    return l;
}

static wk_value rsplit(wk_run *r, wk_value self, const wk_args *a)
{
    const wk_text *at = wk_arg_text(r, a, 0, "sep", NULL);
    int64_t        most = wk_arg_int(r, a, 1, "maxsplit", -1);
    wk_value       l = split(r, self, &(wk_args){ a->at, wk_ok() && a->count ? 1 : 0, a->named });
    if (!wk_ok() || most < 0 || (int64_t)l.list->count <= most + 1)
        return l;
    size_t first = l.list->count - (size_t)most, size = 0;
    for (size_t i = 0; i < first; i++)
        size += l.list->at[i].text->size + (i ? at->size : 0);
    l.list->at[first - 1] = wk_value_part(r, self.text, 0, size);
    l.list->at += first - 1;
    l.list->count -= first - 1;
    return l;
}

static wk_value splitlines(wk_run *r, wk_value self, const wk_args *a)
{
    const wk_text *s = self.text;
    bool           keep = wk_arg_truth(r, a, 0, "keepends");
    wk_value       l = wk_list_new(r, 0, WK_PLAIN_LIST);
    for (size_t from = 0, to; from < s->size && wk_ok(); from = to) {
        for (to = from; to < s->size && s->at[to] != '\n' && s->at[to] != '\r'; to++)
            ;
        size_t end = to;
        if (to < s->size)
            to += 1 + (s->at[to] == '\r' && to + 1 < s->size && s->at[to + 1] == '\n');
        wk_list_add(r, l.list, wk_value_part(r, s, from, keep ? to : end));
    }
    return l;
}

static bool matches(const wk_text *s, const wk_text *part, bool at_end)
{
    return part->size <= s->size &&
           (!part->size ||
            !memcmp(s->at + (at_end ? s->size - part->size : 0), part->at, part->size));
}

static wk_value at_edge(wk_run *r, wk_value self, const wk_args *a, bool end)
{
    wk_value v = wk_arg(r, a, 0, NULL);
    bool     many = v.kind == WK_LIST && v.list->form == WK_TUPLE;
    for (size_t i = 0; many && i < v.list->count && wk_run_spend(r, 1); i++)
        if (v.list->at[i].kind == WK_TEXT && matches(self.text, v.list->at[i].text, end))
            return wk_value_truth(true);
    const wk_text *part = many ? NULL : wk_arg_text(r, a, 0, NULL, NULL);
    return wk_value_truth(part && matches(self.text, part, end));
}

static wk_value startswith(wk_run *r, wk_value self, const wk_args *a)
{
    return at_edge(r, self, a, false);
}

static wk_value endswith(wk_run *r, wk_value self, const wk_args *a)
{
    return at_edge(r, self, a, true);
}

static wk_value removed(wk_run *r, wk_value self, const wk_args *a, bool end)
{
    const wk_text *s = self.text, *part = wk_arg_text(r, a, 0, NULL, NULL);
    if (!part || !matches(s, part, end))
        return self;
    return wk_value_part(r, s, end ? 0 : part->size, end ? s->size - part->size : s->size);
}

static wk_value removeprefix(wk_run *r, wk_value self, const wk_args *a)
{
    return removed(r, self, a, false);
}

static wk_value removesuffix(wk_run *r, wk_value self, const wk_args *a)
{
    return removed(r, self, a, true);
}

static wk_value find(wk_run *r, wk_value self, const wk_args *a)
{
    const wk_text *what = wk_arg_text(r, a, 0, NULL, NULL);
    size_t         at = what ? find_in(r, self.text, 0, what) : SIZE_MAX;
    wk_text        before = { self.text->at, at, NULL };
    return wk_value_int(at == SIZE_MAX ? -1 : (int64_t)wk_text_chars(&before));
}

static wk_value count(wk_run *r, wk_value self, const wk_args *a)
{
    const wk_text *part = wk_arg_text(r, a, 0, NULL, NULL);
    int64_t        n = 0;
    for (size_t at = 0; part && part->size; at += part->size, n++)
        if ((at = find_in(r, self.text, at, part)) == SIZE_MAX)
            break;
    return wk_value_int(part && !part->size ? (int64_t)wk_text_chars(self.text) + 1 : n);
}

static wk_value replace(wk_run *r, wk_value self, const wk_args *a)
{
    const wk_text *s = self.text, *old = wk_arg_text(r, a, 0, "old", NULL);
    const wk_text *new = wk_arg_text(r, a, 1, "new", NULL);
    int64_t most = wk_arg_int(r, a, 2, "count", -1);
    wk_out  out = { 0 };
    size_t  from = 0, to;
    if (!wk_ok())
        return self;
    if (!old->size) { /* between all characters */
        const wk_list *l = wk_value_items(r, self);
        for (size_t i = 0; l && i <= l->count && wk_ok(); i++) {
            if (most != 0)
                wk_out_text(r, &out, new), most--;
            if (i < l->count)
                wk_out_text(r, &out, l->at[i].text);
        }
        return wk_out_end(r, &out);
    }
    for (; most != 0 && (to = find_in(r, s, from, old)) != SIZE_MAX;
         from = to + old->size, most--) {
        wk_out_add(r, &out, s->at + from, to - from, s->origin ? s->origin + from : NULL);
        wk_out_text(r, &out, new);
    }
    wk_out_add(r, &out, s->at + from, s->size - from, s->origin ? s->origin + from : NULL);
    return wk_out_end(r, &out);
}

/* Fields without a format of their own: {}, {0}, {name}. */
static wk_value format_method(wk_run *r, wk_value self, const wk_args *a)
{
    const wk_text *s = self.text;
    wk_out         out = { 0 };
    size_t         used = 0;
    for (size_t i = 0; i < s->size && wk_run_spend(r, 1); i++) {
        char   c = s->at[i];
        size_t to = i + 1;
        if ((c == '{' || c == '}') && to < s->size && s->at[to] == c) {
            wk_out_add(r, &out, &c, 1, NULL);
            i++;
        } else if (c == '{') {
            for (; to < s->size && s->at[to] != '}'; to++)
                ;
            wk_text   name = { s->at + i + 1, to - i - 1, NULL };
            char     *end = NULL;
            size_t    n = name.size ? (size_t)strtoul(name.at, &end, 10) : used++;
            bool      number = !name.size || (end == s->at + to && name.at[0] != '-');
            wk_value  v = number && n < a->count ? a->at[n] : wk_value_missing(NULL);
            wk_value *x = !number && a->named ? wk_dict_get(r, a->named, text_of(&name)) : NULL;
            if (to == s->size || (!x && !(number && n < a->count)))
                return wk_run_fail(r, "a format field that is not given or not supported");
            wk_out_value(r, &out, x ? *x : v);
            i = to;
        } else if (c == '}') {
            return wk_run_fail(r, "single '}' in a format");
        } else {
            wk_out_add(r, &out, &c, 1, s->origin ? s->origin + i : NULL);
        }
    }
    return wk_out_end(r, &out);
}

static wk_value format_filter(wk_run *r, wk_value self, const wk_args *a)
{
    wk_value v = wk_list_new(r, 0, WK_TUPLE);
    for (size_t i = 0; i < a->count; i++)
        wk_list_add(r, v.list, a->at[i]);
    if (a->named)
        v = (wk_value){ .kind = WK_DICT, .dict = a->named };
    return wk_ok() ? wk_value_format(r, self.text, v) : v;
}

static wk_value indent(wk_run *r, wk_value self, const wk_args *a)
{
    wk_value       width = wk_arg(r, a, 0, "width");
    int64_t        n = width.kind == WK_TEXT ? 1 : wk_arg_int(r, a, 0, "width", 4);
    const wk_text  space = { " ", 1, NULL }, *with = width.kind == WK_TEXT ? width.text : &space;
    bool           first = wk_arg_truth(r, a, 1, "first"), blank = wk_arg_truth(r, a, 2, "blank");
    const wk_text *s = self.text;
    wk_out         out = { 0 };
    for (size_t from = 0, to; from < s->size && wk_run_spend(r, 1); from = to, first = true) {
        for (to = from; to < s->size && s->at[to] != '\n'; to++)
            ;
        for (int64_t i = 0; i < n && first && (blank || to > from || !from) && wk_ok(); i++)
            wk_out_text(r, &out, with);
        to += to < s->size;
        wk_out_add(r, &out, s->at + from, to - from, s->origin ? s->origin + from : NULL);
    }
    return wk_out_end(r, &out);
}

#define IS(name, condition)                                                                        \
    static wk_value name(wk_run *r, wk_value self, const wk_args *a)                               \
    {                                                                                              \
        (void)r, (void)a;                                                                          \
        return wk_value_truth(condition);                                                          \
    }

static bool all_of(const wk_text *s, unsigned classes)
{
    for (const char *p = s->at, *end = p + s->size; p < end;)
        if (!(wk_char_class(wk_utf8_next(&p, end, NULL)) & classes))
            return false;
    return s->size > 0;
}

static bool cased(const wk_text *s, unsigned with, unsigned without)
{
    bool any = false;
    for (const char *p = s->at, *end = p + s->size; p < end;) {
        unsigned c = wk_char_class(wk_utf8_next(&p, end, NULL));
        any |= (c & with) != 0;
        if (c & without)
            return false;
    }
    return any;
}

IS(all_digit, all_of(self.text, WK_NUMBER))
IS(all_alpha, all_of(self.text, WK_LETTERS))
IS(all_alnum, all_of(self.text, WK_LETTERS | WK_NUMBER))
IS(all_space, all_of(self.text, WK_SPACES))

IS(is_lower, self.kind == WK_TEXT && cased(self.text, WK_LOWER, WK_UPPER))
IS(is_upper, self.kind == WK_TEXT && cased(self.text, WK_UPPER, WK_LOWER))

/* ---- The table ---------------------------------------------------------- */

enum {
    TEXT_FILTER = WK_FILTER | WK_AS_TEXT,
    TEXT_BOTH = WK_FILTER | WK_OF_TEXT | WK_AS_TEXT,
};

static const wk_builtin table[] = {
    { "upper", TEXT_BOTH, to_upper },
    { "lower", TEXT_BOTH, to_lower },
    { "capitalize", TEXT_BOTH, capitalize },
    { "title", TEXT_FILTER, title_filter },
    { "title", WK_OF_TEXT, title_method },
    { "trim", TEXT_FILTER, wk_text_trim },
    { "strip", WK_OF_TEXT, wk_text_trim },
    { "lstrip", WK_OF_TEXT, lstrip },
    { "rstrip", WK_OF_TEXT, rstrip },
    { "split", WK_OF_TEXT, split },
    { "rsplit", WK_OF_TEXT, rsplit },
    { "splitlines", WK_OF_TEXT, splitlines },
    { "startswith", WK_OF_TEXT, startswith },
    { "endswith", WK_OF_TEXT, endswith },
    { "removeprefix", WK_OF_TEXT, removeprefix },
    { "removesuffix", WK_OF_TEXT, removesuffix },
    { "find", WK_OF_TEXT, find },
    { "replace", TEXT_BOTH, replace },
    { "format", WK_OF_TEXT, format_method },
    { "format", TEXT_FILTER, format_filter },
    { "isdigit", WK_OF_TEXT, all_digit },
    { "isnumeric", WK_OF_TEXT, all_digit },
    { "isalpha", WK_OF_TEXT, all_alpha },
    { "isalnum", WK_OF_TEXT, all_alnum },
    { "isspace", WK_OF_TEXT, all_space },
    { "islower", WK_OF_TEXT, is_lower },
    { "isupper", WK_OF_TEXT, is_upper },
    { "indent", TEXT_FILTER, indent },
    { "lower", WK_TEST, is_lower },
    { "upper", WK_TEST, is_upper },
    { "count", WK_OF_TEXT, count },
};

const wk_builtin *wk_text_builtin_find(wk_str name, unsigned places)
{
    return wk_builtin_in(table, WK_COUNT(table), name, places);
}
