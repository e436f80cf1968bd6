// SPDX-License-Identifier: MIT OR Apache-2.0
/* template_value.c - the values of chat templates: Python's strings, numbers, lists and
 * dicts, their operators, how they print and how they are written as JSON. */
#include "template.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Making ------------------------------------------------------------- */

wk_value wk_value_none(void) { return (wk_value){ .kind = WK_NONE }; }
wk_value wk_value_truth(bool x) { return (wk_value){ .kind = WK_TRUTH, .truth = x }; }
wk_value wk_value_int(int64_t x) { return (wk_value){ .kind = WK_INTEGER, .integer = x }; }
wk_value wk_value_real(double x) { return (wk_value){ .kind = WK_REAL, .real = x }; }
wk_value wk_value_missing(const wk_text *name) { return (wk_value){ .text = name }; }

wk_value wk_value_text(wk_run *r, const char *at, size_t size, const uint8_t *origin)
{
    wk_text *s = wk_arena_take(&r->arena, sizeof *s);
    if (!s)
        return wk_value_missing(NULL);
    *s = (wk_text){ at, size, origin };
    return (wk_value){ .kind = WK_TEXT, .text = s };
}

wk_value wk_value_part(wk_run *r, const wk_text *s, size_t from, size_t to)
{
    return wk_value_text(r, s->at + from, to - from, s->origin ? s->origin + from : NULL);
}

wk_value wk_list_new(wk_run *r, size_t room, wk_list_form form)
{
    wk_list *l = wk_arena_take(&r->arena, sizeof *l);
    if (l && room)
        l->at = wk_arena_take(&r->arena, room * sizeof *l->at);
    if (!l || (room && !l->at))
        return wk_value_missing(NULL);
    l->room = room;
    l->form = form;
    return (wk_value){ .kind = WK_LIST, .list = l };
}

wk_value wk_dict_new(wk_run *r)
{
    wk_dict *d = wk_arena_take(&r->arena, sizeof *d);
    return d ? (wk_value){ .kind = WK_DICT, .dict = d } : wk_value_missing(NULL);
}

/* Room for n more values behind count; the old ones stay where they are until the end. */
static bool grow(wk_run *r, wk_value **at, size_t count, size_t *room, size_t n)
{
    if (!wk_ok())
        return false;
    if (count + n <= *room)
        return true;
    size_t    more = 2 * *room + n + 2;
    wk_value *bigger = wk_arena_take(&r->arena, more * sizeof *bigger);
    if (!bigger)
        return false;
    if (count)
        memcpy(bigger, *at, count * sizeof *bigger);
    *at = bigger;
    *room = more;
    return true;
}

bool wk_list_add(wk_run *r, wk_list *l, wk_value x)
{
    if (!l || !grow(r, &l->at, l->count, &l->room, 1))
        return false;
    l->at[l->count++] = x;
    return true;
}

/* ---- Dicts -------------------------------------------------------------- */

enum { HASH_FROM = 8 }; /* fewer keys are compared one by one */

static uint64_t hash(wk_run *r, wk_value key)
{
    double x;
    if (key.kind == WK_TEXT)
        return wk_hash(key.text->at, key.text->size);
    if (wk_as_number(key, &x))
        return wk_hash(&(double){ x + 0.0 }, sizeof x);
    uint64_t h = (uint64_t)key.kind;
    bool     fixed = key.kind == WK_LIST && key.list->form == WK_TUPLE;
    if ((key.kind == WK_LIST && !fixed) || key.kind == WK_DICT)
        wk_run_fail(r, "unhashable type: '%s'", wk_kind_name(key));
    for (size_t i = 0; fixed && wk_run_enter(r) && i < key.list->count; i++) {
        h = h * 31 + hash(r, key.list->at[i]);
        wk_run_leave(r);
    }
    return h;
}

/* Where the key is, or a free slot. */
static uint32_t *find_slot(wk_run *r, const wk_dict *d, wk_value key)
{
    size_t i = hash(r, key) & (d->slots - 1);
    while (d->slot[i] && wk_run_spend(r, 1) &&
           !wk_values_equal(r, d->at[2 * (d->slot[i] - 1)], key))
        i = (i + 1) & (d->slots - 1);
    return &d->slot[i];
}

wk_value *wk_dict_get(wk_run *r, const wk_dict *d, wk_value key)
{
    if (d->slots) {
        uint32_t place = *find_slot(r, d, key);
        return place && wk_ok() ? &d->at[2 * place - 1] : NULL;
    }
    hash(r, key); /* an error for what is no key */
    for (size_t i = 0; i < d->count && wk_ok(); i++)
        if (wk_values_equal(r, d->at[2 * i], key))
            return &d->at[2 * i + 1];
    return NULL;
}

wk_value *wk_dict_find(wk_run *r, const wk_dict *d, const char *key)
{
    wk_text s = { key, strlen(key), NULL };
    return d ? wk_dict_get(r, d, (wk_value){ .kind = WK_TEXT, .text = &s }) : NULL;
}

static void rehash(wk_run *r, wk_dict *d)
{
    size_t slots = 4 * d->count;
    while (slots & (slots - 1))
        slots &= slots - 1;
    d->slot = wk_arena_take(&r->arena, slots * sizeof *d->slot);
    d->slots = d->slot ? slots : 0;
    for (size_t i = 0; d->slot && i < d->count; i++)
        *find_slot(r, d, d->at[2 * i]) = (uint32_t)i + 1;
}

bool wk_dict_put(wk_run *r, wk_dict *d, wk_value key, wk_value x)
{
    wk_value *known = d && wk_ok() ? wk_dict_get(r, d, key) : NULL;
    if (known)
        *known = x;
    if (known || !d || !wk_ok() || !grow(r, &d->at, 2 * d->count, &d->room, 2))
        return known && wk_ok();
    d->at[2 * d->count] = key;
    d->at[2 * d->count++ + 1] = x;
    if (d->count >= HASH_FROM && d->count * 2 > d->slots)
        rehash(r, d);
    else if (d->slots)
        *find_slot(r, d, key) = (uint32_t)d->count;
    return wk_ok();
}

/* ---- What they are ------------------------------------------------------ */

const char *wk_kind_name(wk_value v)
{
    static const char *const names[] = { "undefined", "NoneType", "bool", "int",   "float", "str",
                                         "list",      "dict",     "loop", "macro", "method" };
    static const char *const forms[] = { "list", "tuple", "generator" };
    return v.kind == WK_LIST ? forms[v.list->form] : names[v.kind];
}

bool wk_is_true(wk_value v)
{
    switch (v.kind) {
    case WK_UNDEFINED:
    case WK_NONE:
        return false;
    case WK_TRUTH:
        return v.truth;
    case WK_INTEGER:
        return v.integer != 0;
    case WK_REAL:
        return v.real != 0;
    case WK_TEXT:
        return v.text->size > 0;
    case WK_LIST:
        return v.list->count > 0 || v.list->form == WK_LAZY;
    case WK_DICT:
        return v.dict->count > 0 || v.dict->namespace_;
    default:
        return true;
    }
}

bool wk_as_number(wk_value v, double *x)
{
    *x = v.kind == WK_TRUTH     ? v.truth
         : v.kind == WK_INTEGER ? (double)v.integer
         : v.kind == WK_REAL    ? v.real
                                : 0;
    return v.kind == WK_TRUTH || v.kind == WK_INTEGER || v.kind == WK_REAL;
}

static bool as_integer(wk_value v, int64_t *x)
{
    *x = v.kind == WK_TRUTH ? v.truth : v.kind == WK_INTEGER ? v.integer : 0;
    return v.kind == WK_TRUTH || v.kind == WK_INTEGER;
}

static bool texts_equal(wk_run *r, const wk_text *a, const wk_text *b)
{
    return a->size == b->size && wk_run_spend(r, a->size / 64) &&
           (a->size == 0 || !memcmp(a->at, b->at, a->size));
}

bool wk_values_equal(wk_run *r, wk_value a, wk_value b)
{
    double  x, y;
    int64_t i, k;
    if (as_integer(a, &i) && as_integer(b, &k))
        return i == k;
    if (wk_as_number(a, &x) && wk_as_number(b, &y))
        return x == y;
    if (a.kind != b.kind || !wk_run_enter(r))
        return false;
    bool same = true;
    if (a.kind == WK_TEXT) {
        same = texts_equal(r, a.text, b.text);
    } else if (a.kind == WK_LIST) {
        same = a.list->count == b.list->count && a.list->form == b.list->form;
        for (size_t n = 0; same && n < a.list->count; n++)
            same = wk_values_equal(r, a.list->at[n], b.list->at[n]);
    } else if (a.kind == WK_DICT) {
        same = a.dict->count == b.dict->count;
        for (size_t n = 0; same && n < a.dict->count; n++) {
            wk_value *other = wk_dict_get(r, b.dict, a.dict->at[2 * n]);
            same = other && wk_values_equal(r, a.dict->at[2 * n + 1], *other);
        }
    } else if (a.kind > WK_DICT) {
        same = a.loop == b.loop;
    }
    wk_run_leave(r);
    return same && wk_ok();
}

int wk_values_order(wk_run *r, wk_value a, wk_value b)
{
    double  x, y;
    int64_t i, k;
    if (as_integer(a, &i) && as_integer(b, &k))
        return (i > k) - (i < k);
    if (wk_as_number(a, &x) && wk_as_number(b, &y))
        return (x > y) - (x < y);
    if (a.kind == WK_TEXT && b.kind == WK_TEXT) {
        size_t n = a.text->size < b.text->size ? a.text->size : b.text->size;
        int    order = wk_run_spend(r, n / 64) && n ? memcmp(a.text->at, b.text->at, n) : 0;
        return order ? order : (a.text->size > b.text->size) - (a.text->size < b.text->size);
    }
    if (a.kind == WK_LIST && b.kind == WK_LIST && a.list->form == b.list->form) {
        int order = 0;
        for (size_t n = 0; !order && n < a.list->count && n < b.list->count; n++)
            if (wk_run_enter(r)) {
                order = wk_values_order(r, a.list->at[n], b.list->at[n]);
                wk_run_leave(r);
            }
        return order ? order : (a.list->count > b.list->count) - (a.list->count < b.list->count);
    }
    wk_run_fail(r, "'<' between '%s' and '%s'", wk_kind_name(a), wk_kind_name(b));
    return 0;
}

size_t wk_text_chars(const wk_text *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->size; i++)
        n += (s->at[i] & 0xC0) != 0x80;
    return n;
}

const wk_list *wk_value_items(wk_run *r, wk_value v)
{
    if (v.kind == WK_LIST)
        return v.list;
    wk_value l = wk_list_new(r, v.kind == WK_DICT ? v.dict->count : 0, WK_PLAIN_LIST);
    if (v.kind == WK_TEXT)
        for (size_t i = 0, to; i < v.text->size && wk_ok(); i = to) {
            for (to = i + 1; to < v.text->size && (v.text->at[to] & 0xC0) == 0x80; to++)
                ;
            wk_list_add(r, l.list, wk_value_part(r, v.text, i, to));
        }
    else if (v.kind == WK_DICT)
        for (size_t i = 0; i < v.dict->count && wk_ok(); i++)
            wk_list_add(r, l.list, v.dict->at[2 * i]);
    else if (v.kind != WK_UNDEFINED)
        wk_run_fail(r, "'%s' object is not iterable", wk_kind_name(v));
    return wk_ok() ? l.list : NULL;
}

/* ---- Attributes, items, slices ------------------------------------------ */

static wk_value loop_attr(const struct wk_loop *l, wk_str name)
{
    enum { FIRST = 7, LAST, PREVIOUS, NEXT };
    static const char *const names[] = { "index",  "index0",   "revindex", "revindex0",
                                         "length", "depth",    "depth0",   "first",
                                         "last",   "previtem", "nextitem" };
    int64_t                  at = (int64_t)l->at, n = (int64_t)l->list->count;
    int64_t                  numbers[] = { at + 1, at, n - at, n - at - 1, n, 1, 0 };
    int                      i = 0;
    while (i < (int)WK_COUNT(names) && !wk_str_is(name, names[i]))
        i++;
    if (i < FIRST)
        return wk_value_int(numbers[i]);
    if (i == FIRST || i == LAST)
        return wk_value_truth(at == (i == FIRST ? 0 : n - 1));
    at += i == PREVIOUS ? -1 : 1;
    return i <= NEXT && at >= 0 && at < n ? l->list->at[at] : wk_value_missing(NULL);
}

static wk_value method_of(wk_run *r, wk_value v, wk_str name)
{
    unsigned          place = v.kind == WK_TEXT                          ? WK_OF_TEXT
                              : v.kind == WK_LIST                        ? WK_OF_LIST
                              : v.kind == WK_DICT && !v.dict->namespace_ ? WK_OF_DICT
                              : v.kind == WK_LOOP                        ? WK_OF_LOOP
                                                                         : 0;
    const wk_builtin *b = place ? wk_builtin_find(name, place) : NULL;
    struct wk_method *m = b ? wk_arena_take(&r->arena, sizeof *m) : NULL;
    if (!m)
        return wk_value_missing(NULL);
    m->builtin = b;
    m->self = v;
    return (wk_value){ .kind = WK_METHOD, .method = m };
}

static bool defined(wk_run *r, wk_value v)
{
    const wk_text *what = v.text;
    if (wk_ok() && v.kind == WK_UNDEFINED)
        wk_run_fail(r, "'%.*s' is undefined", what ? (int)wk_min_i64((int64_t)what->size, 100) : 1,
                    what ? what->at : "?");
    return wk_ok();
}

/* v.name: methods come before the keys of a dict. */
wk_value wk_value_attr(wk_run *r, wk_value v, wk_value name)
{
    wk_str s = { name.text->at, name.text->size };
    if (!defined(r, v))
        return v;
    wk_value  method = method_of(r, v, s);
    wk_value *x = v.kind == WK_DICT && !method.kind ? wk_dict_get(r, v.dict, name) : NULL;
    if (v.kind == WK_LOOP && !method.kind)
        return loop_attr(v.loop, s);
    return method.kind ? method : x ? *x : wk_value_missing(name.text);
}

/* Where character n of s begins; from the end, if it is negative.  SIZE_MAX: there is none. */
static size_t char_at(const wk_text *s, int64_t n)
{
    size_t i = n < 0 ? s->size : 0;
    while (n < 0 && i > 0)
        n += (s->at[--i] & 0xC0) != 0x80;
    while (n > 0 && i < s->size) {
        i++;
        n -= i == s->size || (s->at[i] & 0xC0) != 0x80;
    }
    return n == 0 && i < s->size ? i : SIZE_MAX;
}

/* v[key]: the keys of a dict come before methods. */
wk_value wk_value_item(wk_run *r, wk_value v, wk_value key)
{
    int64_t i;
    if (!defined(r, v))
        return v;
    if (v.kind == WK_DICT && !v.dict->namespace_) {
        wk_value *x = wk_dict_get(r, v.dict, key);
        if (x)
            return *x;
    } else if (v.kind == WK_LIST && v.list->form != WK_LAZY && as_integer(key, &i)) {
        i += i < 0 ? (int64_t)v.list->count : 0;
        return i >= 0 && i < (int64_t)v.list->count ? v.list->at[i] : wk_value_missing(NULL);
    } else if (v.kind == WK_TEXT && as_integer(key, &i)) {
        size_t from = wk_run_spend(r, v.text->size / 64) ? char_at(v.text, i) : SIZE_MAX;
        size_t to = from + 1;
        while (from != SIZE_MAX && to < v.text->size && (v.text->at[to] & 0xC0) == 0x80)
            to++;
        return from == SIZE_MAX ? wk_value_missing(NULL) : wk_value_part(r, v.text, from, to);
    }
    if (key.kind != WK_TEXT)
        return wk_value_missing(NULL);
    return v.kind == WK_DICT && !v.dict->namespace_
               ? (key.text->size ? method_of(r, v, (wk_str){ key.text->at, key.text->size })
                                 : wk_value_missing(key.text))
               : wk_value_attr(r, v, key);
}

static int64_t clamp(int64_t x, int64_t low, int64_t high)
{
    return x < low ? low : x > high ? high : x;
}

wk_value wk_value_slice(wk_run *r, wk_value v, const wk_value part[3])
{
    if (!defined(r, v) || (v.kind != WK_TEXT && v.kind != WK_LIST))
        return wk_value_missing(NULL);
    if (v.kind == WK_LIST && v.list->form == WK_LAZY)
        return wk_value_missing(NULL);
    int64_t number[3] = { 0 };
    for (int i = 0; i < 3; i++)
        if (part[i].kind != WK_NONE && !as_integer(part[i], &number[i]))
            return wk_value_missing(NULL);
    int64_t step = part[2].kind == WK_NONE ? 1 : number[2];
    if (step == 0)
        return wk_run_fail(r, "slice step cannot be zero");
    const wk_list *l = wk_value_items(r, v);
    int64_t        n = l ? (int64_t)l->count : 0, low = step < 0 ? -1 : 0, high = n + low;
    int64_t        from = step < 0 ? high : low, to = step < 0 ? low : high;
    if (part[0].kind != WK_NONE)
        from = clamp(number[0] + (number[0] < 0 ? n : 0), low, high);
    if (part[1].kind != WK_NONE)
        to = clamp(number[1] + (number[1] < 0 ? n : 0), low, high);
    step = clamp(step, -n - 1, n + 1);
    wk_value out = wk_list_new(r, 0, l ? l->form : WK_PLAIN_LIST);
    wk_out   text = { 0 };
    for (int64_t i = from; wk_ok() && (step < 0 ? i > to : i < to); i += step)
        if (v.kind == WK_LIST)
            wk_list_add(r, out.list, l->at[i]);
        else
            wk_out_text(r, &text, l->at[i].text);
    return v.kind == WK_LIST ? out : wk_out_end(r, &text);
}

/* ---- Operators ---------------------------------------------------------- */

static wk_value repeat(wk_run *r, wk_value v, int64_t times)
{
    wk_value l = wk_list_new(r, 0, v.kind == WK_LIST ? v.list->form : WK_PLAIN_LIST);
    wk_out   out = { 0 };
    size_t   size = v.kind == WK_TEXT ? v.text->size : v.list->count;
    for (int64_t i = 0; size && i < times && wk_run_spend(r, 1); i++)
        if (v.kind == WK_TEXT)
            wk_out_text(r, &out, v.text);
        else
            for (size_t k = 0; k < size; k++)
                wk_list_add(r, l.list, v.list->at[k]);
    return v.kind == WK_TEXT ? wk_out_end(r, &out) : l;
}

static wk_value join(wk_run *r, wk_value a, wk_value b)
{
    if (a.kind == WK_TEXT) {
        wk_out out = { 0 };
        wk_out_text(r, &out, a.text);
        wk_out_text(r, &out, b.text);
        return wk_out_end(r, &out);
    }
    wk_value l = wk_list_new(r, a.list->count + b.list->count, a.list->form);
    for (size_t i = 0; i < a.list->count; i++)
        wk_list_add(r, l.list, a.list->at[i]);
    for (size_t i = 0; i < b.list->count; i++)
        wk_list_add(r, l.list, b.list->at[i]);
    return l;
}

static bool raise(int64_t a, int64_t b, int64_t *x)
{
    bool over = false;
    for (*x = 1; b > 0 && !over && a != 1 && *x != 0; b--) {
        if (a == -1)
            return *x = b % 2 ? -1 : 1, true;
        over = __builtin_mul_overflow(*x, a, x);
    }
    return !over;
}

static wk_value integers(wk_run *r, int op, int64_t a, int64_t b)
{
    int64_t x = 0;
    bool    good = true;
    switch (op) {
    case '+':
        good = !__builtin_add_overflow(a, b, &x);
        break;
    case '-':
        good = !__builtin_sub_overflow(a, b, &x);
        break;
    case '*':
        good = !__builtin_mul_overflow(a, b, &x);
        break;
    case WK_OP_POWER:
        good = raise(a, b, &x);
        break;
    case '%':
        x = b == -1 ? 0 : a % b;
        x += x && (x < 0) != (b < 0) ? b : 0;
        break;
    default: /* rounds down */
        good = !(a == INT64_MIN && b == -1);
        x = good ? a / b - (a % b && (a < 0) != (b < 0)) : 0;
    }
    return good ? wk_value_int(x) : wk_run_fail(r, "an integer is out of range");
}

static wk_value reals(int op, double x, double y)
{
    return wk_value_real(op == '+'           ? x + y
                         : op == '-'         ? x - y
                         : op == '*'         ? x * y
                         : op == '/'         ? x / y
                         : op == '%'         ? wk_modulo_f64(x, y)
                         : op == WK_OP_FLOOR ? wk_floordiv_f64(x, y)
                                             : pow(x, y));
}

wk_value wk_value_binary(wk_run *r, int op, wk_value a, wk_value b)
{
    int64_t i, k;
    double  x, y;
    if (op == '~') {
        wk_out out = { 0 };
        wk_out_value(r, &out, a);
        wk_out_value(r, &out, b);
        return wk_out_end(r, &out);
    }
    if (op == '%' && a.kind == WK_TEXT)
        return wk_value_format(r, a.text, b);
    if (!defined(r, a) || !defined(r, b))
        return wk_value_missing(NULL);
    bool a_row = a.kind == WK_TEXT || a.kind == WK_LIST;
    bool b_row = b.kind == WK_TEXT || b.kind == WK_LIST;
    if (op == '+' && a_row && a.kind == b.kind &&
        (a.kind == WK_TEXT || (a.list->form == b.list->form && a.list->form != WK_LAZY)))
        return join(r, a, b);
    if (op == '*' && a_row && as_integer(b, &k))
        return repeat(r, a, k);
    if (op == '*' && b_row && as_integer(a, &k))
        return repeat(r, b, k);
    if (!wk_as_number(a, &x) || !wk_as_number(b, &y))
        return wk_run_fail(r, "operator %s between '%s' and '%s'",
                           op == WK_OP_FLOOR   ? "//"
                           : op == WK_OP_POWER ? "**"
                                               : (char[]){ (char)op, 0 },
                           wk_kind_name(a), wk_kind_name(b));
    bool divides = op == '/' || op == '%' || op == WK_OP_FLOOR;
    if (y == 0 && (divides || (op == WK_OP_POWER && x == 0 && y < 0)))
        return wk_run_fail(r, "division by zero");
    bool whole =
        as_integer(a, &i) && as_integer(b, &k) && op != '/' && !(op == WK_OP_POWER && k < 0);
    return whole ? integers(r, op, i, k) : reals(op, x, y);
}

bool wk_value_in(wk_run *r, wk_value x, wk_value in)
{
    if (in.kind == WK_TEXT && x.kind == WK_TEXT)
        return wk_run_spend(r, in.text->size / 64) &&
               (x.text->size == 0 ||
                memmem(in.text->at, in.text->size, x.text->at, x.text->size) != NULL);
    if (in.kind == WK_DICT && !in.dict->namespace_)
        return wk_dict_get(r, in.dict, x) != NULL;
    if (in.kind == WK_UNDEFINED)
        return false;
    if (in.kind != WK_LIST)
        wk_run_fail(r, "'%s' in '%s'", wk_kind_name(x), wk_kind_name(in));
    for (size_t i = 0; in.kind == WK_LIST && i < in.list->count && wk_run_spend(r, 1); i++)
        if (wk_values_equal(r, x, in.list->at[i]))
            return true;
    return false;
}

/* ---- Printing ----------------------------------------------------------- */

static void put_real(wk_run *r, wk_out *o, double x, bool json)
{
    char text[400];
    int  digits = 1;
    if (!isfinite(x)) {
        const char *word = isnan(x) ? (json ? "NaN" : "nan") : json ? "Infinity" : "inf";
        wk_out_str(r, o, x < 0 ? "-" : "");
        wk_out_str(r, o, word);
        return;
    }
    while (snprintf(text, sizeof text, "%.*e", digits - 1, x), digits < 17 && atof(text) != x)
        digits++;
    const char *e = strchr(text, 'e');
    int         power = e ? atoi(e + 1) : 0;
    if (power >= -4 && power < 16)
        snprintf(text, sizeof text, "%.*f", digits - 1 > power ? digits - 1 - power : 1, x);
    char *comma = strchr(text, ','); /* the program's locale may write 1,5 */
    if (comma)
        *comma = '.';
    wk_out_str(r, o, text);
}

static void put_printf(wk_run *r, wk_out *o, const char *format, long long x)
{
    char text[40];
    snprintf(text, sizeof text, format, x);
    wk_out_str(r, o, text);
}

/* A string as repr() has it. */
static void put_repr(wk_run *r, wk_out *o, const wk_text *s)
{
    bool single = s->size && memchr(s->at, '\'', s->size);
    char quote = single && !memchr(s->at, '"', s->size) ? '"' : '\'';
    wk_out_add(r, o, &quote, 1, NULL);
    for (const char *p = s->at, *end = p + s->size, *from = p; p < end && wk_ok(); from = p) {
        uint32_t    c = wk_utf8_next(&p, end, NULL);
        const char *found = c < 128 && c ? strchr("\\\n\r\t'\"", (char)c) : NULL;
        if (found && (c == (uint32_t)quote || (c != '\'' && c != '"'))) {
            char names[] = "\\nrt'\"";
            char escape[2] = { '\\', names[found - "\\\n\r\t'\""] };
            escape[1] = c == '\n' ? 'n' : c == '\r' ? 'r' : c == '\t' ? 't' : (char)c;
            wk_out_add(r, o, escape, 2, NULL);
        } else if (c < 32 || c == 127 || (c > 127 && (wk_is_control(c) || wk_is_space(c)))) {
            put_printf(r, o, c < 0x100 ? "\\x%02llx" : c < 0x10000 ? "\\u%04llx" : "\\U%08llx", c);
        } else {
            wk_out_add(r, o, from, (size_t)(p - from), s->origin ? s->origin + (from - s->at) : 0);
        }
    }
    wk_out_add(r, o, &quote, 1, NULL);
}

static void put_value(wk_run *r, wk_out *o, wk_value v, bool inside);

static void put_container(wk_run *r, wk_out *o, wk_value v)
{
    bool   dict = v.kind == WK_DICT, tuple = !dict && v.list->form == WK_TUPLE;
    size_t count = dict ? v.dict->count : v.list->count;
    wk_out_str(r, o, dict ? "{" : tuple ? "(" : "[");
    for (size_t i = 0; i < count && wk_run_spend(r, 1); i++) {
        wk_out_str(r, o, i ? ", " : "");
        put_value(r, o, dict ? v.dict->at[2 * i] : v.list->at[i], true);
        if (dict) {
            wk_out_str(r, o, ": ");
            put_value(r, o, v.dict->at[2 * i + 1], true);
        }
    }
    wk_out_str(r, o, dict ? "}" : tuple ? (count == 1 ? ",)" : ")") : "]");
}

static void put_value(wk_run *r, wk_out *o, wk_value v, bool inside)
{
    if (!wk_run_enter(r))
        return;
    switch (v.kind) {
    case WK_UNDEFINED:
        wk_out_str(r, o, inside ? "Undefined" : "");
        break;
    case WK_NONE:
        wk_out_str(r, o, "None");
        break;
    case WK_TRUTH:
        wk_out_str(r, o, v.truth ? "True" : "False");
        break;
    case WK_INTEGER:
        put_printf(r, o, "%lld", v.integer);
        break;
    case WK_REAL:
        put_real(r, o, v.real, false);
        break;
    case WK_TEXT:
        if (inside)
            put_repr(r, o, v.text);
        else
            wk_out_text(r, o, v.text);
        break;
    case WK_LIST:
    case WK_DICT:
        put_container(r, o, v);
        break;
    default:
        wk_out_str(r, o, "<");
        wk_out_str(r, o, wk_kind_name(v));
        wk_out_str(r, o, ">");
    }
    wk_run_leave(r);
}

void wk_out_value(wk_run *r, wk_out *o, wk_value v) { put_value(r, o, v, false); }

wk_value wk_value_str(wk_run *r, wk_value v)
{
    wk_out out = { 0 };
    if (v.kind == WK_TEXT)
        return v;
    wk_out_value(r, &out, v);
    return wk_out_end(r, &out);
}

/* What stands between % and the letter; a value as text. */
typedef struct {
    bool    left, zero, plus;
    int64_t width, precision;
} spec;

static void put_formatted(wk_run *r, wk_out *o, const spec *f, char letter, wk_value v)
{
    wk_out out = { 0 };
    double x = 0;
    char   text[400];
    if (letter == 's' || letter == 'r') {
        put_value(r, &out, v, letter == 'r');
        if (f->precision >= 0) {
            wk_value all = wk_out_end(r, &out),
                     part[3] = { wk_value_none(), wk_value_none(), wk_value_none() };
            part[1] = wk_value_int(f->precision);
            out = (wk_out){ 0 };
            all = wk_ok() ? wk_value_slice(r, all, part) : all;
            wk_out_value(r, &out, all);
        }
    } else if (!wk_as_number(v, &x) || !isfinite(x) || (letter != 'f' && fabs(x) >= 0x1p63) ||
               (letter == 'f' && fabs(x) > 1e200)) {
        wk_run_fail(r, "%%%c of a '%s'", letter, wk_kind_name(v));
    } else {
        bool whole = letter != 'f';
        int  digits = f->precision < 0 ? 6 : (int)wk_min_i64(f->precision, 100);
        int  n = x >= 0 && f->plus ? snprintf(text, sizeof text, "+") : 0;
        int  most = (int)sizeof text - n;
        if (!whole)
            snprintf(text + n, (size_t)most, "%.*f", digits, x);
        else
            snprintf(text + n, (size_t)most, letter == 'x' ? "%llx" : "%lld",
                     v.kind == WK_INTEGER ? (long long)v.integer : (long long)x);
        wk_out_str(r, &out, text);
    }
    wk_value s = wk_out_end(r, &out);
    if (!wk_ok())
        return;
    int64_t pad = f->width - (int64_t)wk_text_chars(s.text);
    bool    zeros = f->zero && !f->left && letter != 's' && letter != 'r';
    size_t  sign = zeros && s.text->size && strchr("+-", s.text->at[0]);
    wk_out_add(r, o, s.text->at, sign, NULL);
    for (int64_t i = 0; !f->left && i < pad; i++)
        wk_out_str(r, o, zeros ? "0" : " ");
    wk_out_add(r, o, s.text->at + sign, s.text->size - sign,
               s.text->origin ? s.text->origin + sign : NULL);
    for (int64_t i = 0; f->left && i < pad; i++)
        wk_out_str(r, o, " ");
}

wk_value wk_value_format(wk_run *r, const wk_text *s, wk_value values)
{
    enum { WIDEST = 1000 };
    bool   many = values.kind == WK_LIST && values.list->form == WK_TUPLE;
    size_t used = 0, count = many ? values.list->count : 1;
    wk_out out = { 0 };
    for (size_t i = 0, from = 0; i < s->size && wk_ok(); from = i) {
        const char *percent = memchr(s->at + i, '%', s->size - i);
        i = percent ? (size_t)(percent - s->at) : s->size;
        wk_out_add(r, &out, s->at + from, i - from, s->origin ? s->origin + from : NULL);
        if (!percent)
            break;
        spec     f = { .precision = -1 };
        wk_value v = { 0 };
        bool     by_name = ++i < s->size && s->at[i] == '(';
        if (by_name) {
            const char *end = memchr(s->at + i, ')', s->size - i);
            size_t      to = end ? (size_t)(end - s->at) : s->size;
            wk_value    key = wk_value_part(r, s, i + 1 < to ? i + 1 : to, to);
            wk_value *x = values.kind == WK_DICT && wk_ok() ? wk_dict_get(r, values.dict, key) : 0;
            v = x ? *x : wk_run_fail(r, "format needs a mapping with its names");
            i = end ? to + 1 : to;
        }
        for (; i < s->size && strchr("-0+ #", s->at[i]) && s->at[i]; i++)
            f.left |= s->at[i] == '-', f.zero |= s->at[i] == '0', f.plus |= s->at[i] == '+';
        for (; i < s->size && s->at[i] >= '0' && s->at[i] <= '9' && f.width < WIDEST; i++)
            f.width = f.width * 10 + s->at[i] - '0';
        if (i < s->size && s->at[i] == '.')
            for (f.precision = 0, i++;
                 i < s->size && s->at[i] >= '0' && s->at[i] <= '9' && f.precision < WIDEST; i++)
                f.precision = f.precision * 10 + s->at[i] - '0';
        char letter = i < s->size ? s->at[i++] : '\0';
        letter = letter == 'i' ? 'd' : letter;
        if (letter == '%') {
            wk_out_str(r, &out, "%");
            continue;
        }
        if (!letter || !strchr("sdfrx", letter))
            return wk_run_fail(r, "unsupported format character");
        if (!by_name && used >= count)
            return wk_run_fail(r, "not enough arguments for format string");
        if (!by_name)
            v = many ? values.list->at[used] : values, used++;
        put_formatted(r, &out, &f, letter, v);
    }
    if (wk_ok() && used < count && values.kind != WK_DICT)
        wk_run_fail(r, "not all arguments converted during string formatting");
    return wk_out_end(r, &out);
}

/* ---- JSON --------------------------------------------------------------- */

static void json_text(wk_run *r, wk_out *o, const wk_text *s, bool ascii)
{
    wk_out_str(r, o, "\"");
    for (const char *p = s->at, *end = p + s->size, *from = p; p < end && wk_ok(); from = p) {
        uint32_t          c = wk_utf8_next(&p, end, NULL);
        const uint8_t    *origin = s->origin ? s->origin + (from - s->at) : NULL;
        static const char special[] = "\"\\\n\r\t\b\f", names[] = "\"\\nrtbf";
        const char       *found = c && c < 128 ? strchr(special, (char)c) : NULL;
        if (found)
            wk_out_add(r, o, (char[]){ '\\', names[found - special] }, 2, NULL);
        else if (ascii && c > 0xFFFF)
            put_printf(r, o, "\\u%04llx", 0xD7C0 + (c >> 10)),
                put_printf(r, o, "\\u%04llx", 0xDC00 + (c & 1023));
        else if (c < 32 || (ascii && c > 126))
            put_printf(r, o, "\\u%04llx", c);
        else
            wk_out_add(r, o, from, (size_t)(p - from), origin);
    }
    wk_out_str(r, o, "\"");
}

static void new_line(wk_run *r, wk_out *o, const wk_json_style *style, int depth)
{
    if (style->indent < 0)
        return;
    wk_out_str(r, o, "\n");
    for (int64_t i = 0; i < style->indent * depth && wk_ok(); i++)
        wk_out_str(r, o, " ");
}

static wk_value sorted_keys(wk_run *r, const wk_dict *d)
{
    wk_value keys = wk_value_missing(NULL);
    wk_args  none = { 0 };
    keys.kind = WK_DICT;
    keys.dict = (wk_dict *)d;
    return wk_builtin_find(WK_STR("sort"), WK_FILTER)->fn(r, keys, &none);
}

static void json_members(wk_run *r, wk_out *o, wk_value v, const wk_json_style *style, int depth)
{
    bool     dict = v.kind == WK_DICT;
    size_t   count = dict ? v.dict->count : v.list->count;
    wk_value keys = dict && style->sort ? sorted_keys(r, v.dict) : wk_value_none();
    wk_out_str(r, o, dict ? "{" : "[");
    for (size_t i = 0; i < count && wk_run_spend(r, 1); i++) {
        if (i)
            wk_out_text(r, o, &style->comma);
        new_line(r, o, style, depth + 1);
        if (dict) {
            wk_value key = keys.kind == WK_LIST ? keys.list->at[i] : v.dict->at[2 * i];
            wk_out   name = { 0 };
            if (key.kind != WK_TEXT) /* numbers are keys as they print */
                wk_value_json(r, &name, key, style, depth);
            if (key.kind == WK_LIST)
                wk_run_fail(r, "tojson: keys must be strings");
            json_text(r, o,
                      key.kind == WK_TEXT ? key.text
                                          : &(wk_text){ name.at ? name.at : "", name.size, NULL },
                      style->ascii);
            wk_out_text(r, o, &style->colon);
            wk_value *x = wk_dict_get(r, v.dict, key);
            wk_value_json(r, o, x ? *x : wk_value_none(), style, depth + 1);
        } else {
            wk_value_json(r, o, v.list->at[i], style, depth + 1);
        }
    }
    if (count)
        new_line(r, o, style, depth);
    wk_out_str(r, o, dict ? "}" : "]");
}

void wk_value_json(wk_run *r, wk_out *o, wk_value v, const wk_json_style *style, int depth)
{
    if (!wk_run_enter(r))
        return;
    if (v.kind == WK_TEXT)
        json_text(r, o, v.text, style->ascii);
    else if ((v.kind == WK_LIST && v.list->form != WK_LAZY) ||
             (v.kind == WK_DICT && !v.dict->namespace_))
        json_members(r, o, v, style, depth);
    else if (v.kind == WK_NONE)
        wk_out_str(r, o, "null");
    else if (v.kind == WK_TRUTH)
        wk_out_str(r, o, v.truth ? "true" : "false");
    else if (v.kind == WK_REAL)
        put_real(r, o, v.real, true);
    else if (v.kind == WK_INTEGER)
        put_value(r, o, v, false);
    else
        wk_run_fail(r, "tojson: an object of type '%s' is not JSON serializable", wk_kind_name(v));
    wk_run_leave(r);
}
