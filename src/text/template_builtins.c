// SPDX-License-Identifier: MIT OR Apache-2.0
/* template_builtins.c - filters, tests, methods and functions of chat templates: one table,
 * whose rows say where a name is known. */
#include "template.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- Arguments ---------------------------------------------------------- */

/* Number i, or by name (NULL: it has none); is undefined where it is not given. */
wk_value wk_arg(wk_run *r, const wk_args *a, size_t i, const char *name)
{
    wk_value *x = name && a->named ? wk_dict_find(r, a->named, name) : NULL;
    return i < a->count ? a->at[i] : x ? *x : wk_value_missing(NULL);
}

bool wk_arg_truth(wk_run *r, const wk_args *a, size_t i, const char *name)
{
    return wk_is_true(wk_arg(r, a, i, name));
}

int64_t wk_arg_int(wk_run *r, const wk_args *a, size_t i, const char *name, int64_t otherwise)
{
    wk_value v = wk_arg(r, a, i, name);
    if (v.kind == WK_UNDEFINED || v.kind == WK_NONE)
        return otherwise;
    if (v.kind != WK_INTEGER && v.kind != WK_TRUTH)
        wk_run_fail(r, "expected an integer, not '%s'", wk_kind_name(v));
    return v.kind == WK_TRUTH ? v.truth : v.kind == WK_INTEGER ? v.integer : 0;
}

/* A string, or otherwise; NULL is an error. */
const wk_text *wk_arg_text(wk_run *r, const wk_args *a, size_t i, const char *name,
                           const wk_text *otherwise)
{
    wk_value v = wk_arg(r, a, i, name);
    if (v.kind == WK_TEXT)
        return v.text;
    if ((v.kind != WK_UNDEFINED && v.kind != WK_NONE) || !otherwise)
        wk_run_fail(r, "expected a string, not '%s'", wk_kind_name(v));
    return otherwise;
}

static wk_value text_of(const wk_text *s) { return (wk_value){ .kind = WK_TEXT, .text = s }; }

static wk_str str_of(const wk_text *s) { return (wk_str){ s->at, s->size }; }

#define IS(name, condition)                                                                        \
    static wk_value name(wk_run *r, wk_value self, const wk_args *a)                               \
    {                                                                                              \
        (void)r, (void)a;                                                                          \
        return wk_value_truth(condition);                                                          \
    }

/* ---- Numbers ------------------------------------------------------------ */

static wk_value to_int(wk_run *r, wk_value self, const wk_args *a)
{
    wk_value otherwise = wk_arg(r, a, 0, "default");
    int64_t  base = wk_arg_int(r, a, 1, "base", 10);
    double   x = 0;
    bool     good = wk_as_number(self, &x);
    if (self.kind == WK_INTEGER)
        return self;
    if (self.kind == WK_TEXT) {
        char           text[64];
        wk_value       cut = wk_text_trim(r, self, &(wk_args){ 0 });
        const wk_text *s = wk_ok() ? cut.text : NULL;
        char          *end = text;
        bool           fits = s && s->size && s->size < sizeof text && base >= 2 && base <= 36;
        if (fits) {
            memcpy(text, s->at, s->size);
            text[s->size] = '\0';
            long long whole = strtoll(text, &end, (int)base);
            if (end != text && !*end)
                return wk_value_int(whole);
            x = strtod(text, &end); /* int("3.7") is no number, but the filter tries floats */
        }
        good = fits && end != text && !*end && strspn(text, "+-.0123456789eE") == s->size;
    }
    good = good && isfinite(x) && fabs(x) < 0x1p63;
    return good                             ? wk_value_int((int64_t)x)
           : otherwise.kind == WK_UNDEFINED ? wk_value_int(0)
                                            : otherwise;
}

static wk_value to_float(wk_run *r, wk_value self, const wk_args *a)
{
    wk_value otherwise = wk_arg(r, a, 0, "default");
    double   x = 0;
    bool     good = wk_as_number(self, &x);
    if (self.kind == WK_TEXT) {
        char           text[64], *end = text;
        wk_value       cut = wk_text_trim(r, self, &(wk_args){ 0 });
        const wk_text *s = wk_ok() ? cut.text : NULL;
        if (s && s->size && s->size < sizeof text) {
            memcpy(text, s->at, s->size);
            text[s->size] = '\0';
            x = strtod(text, &end);
            good = !*end && strspn(text, "+-.0123456789eE") == s->size;
        }
    }
    return good ? wk_value_real(x) : otherwise.kind == WK_UNDEFINED ? wk_value_real(0) : otherwise;
}

static wk_value absolute(wk_run *r, wk_value self, const wk_args *a)
{
    double x;
    (void)a;
    if (!wk_as_number(self, &x))
        return wk_run_fail(r, "abs of '%s'", wk_kind_name(self));
    return self.kind == WK_REAL ? wk_value_real(fabs(x))
           : x < 0              ? wk_value_binary(r, '-', wk_value_int(0), self)
                                : wk_value_binary(r, '+', wk_value_int(0), self);
}

static wk_value to_round(wk_run *r, wk_value self, const wk_args *a)
{
    static const wk_text common = { "common", 6, NULL };
    int64_t              digits = wk_arg_int(r, a, 0, "precision", 0);
    const wk_text       *how = wk_arg_text(r, a, 1, "method", &common);
    double               x, scale = pow(10, (double)digits);
    char                 text[400];
    if (!wk_as_number(self, &x) || digits > 15 || digits < -15)
        return wk_run_fail(r, "round of '%s'", wk_kind_name(self));
    if (how && wk_str_is(str_of(how), "ceil"))
        return wk_value_real(ceil(x * scale) / scale);
    if (how && wk_str_is(str_of(how), "floor"))
        return wk_value_real(floor(x * scale) / scale);
    if (!how || !wk_str_is(str_of(how), "common"))
        return wk_run_fail(r, "round: method must be common, ceil or floor");
    if (digits < 0 || !isfinite(x))
        return wk_value_real(nearbyint(x * scale) / scale);
    snprintf(text, sizeof text, "%.*f", (int)digits, x); /* decimal, half to even, as Python */
    x = strtod(text, NULL);
    return self.kind == WK_REAL ? wk_value_real(x) : self;
}

static wk_value range(wk_run *r, wk_value self, const wk_args *a)
{
    enum { MOST = 100000 }; /* as in Jinja's sandbox */
    int64_t  from = a->count > 1 ? wk_arg_int(r, a, 0, NULL, 0) : 0;
    int64_t  to = wk_arg_int(r, a, a->count > 1, NULL, 0), step = wk_arg_int(r, a, 2, NULL, 1);
    wk_value l = wk_list_new(r, 0, WK_PLAIN_LIST);
    (void)self;
    if (wk_ok() && (!step || a->count < 1))
        return wk_run_fail(r, "range: no end, or a step of zero");
    for (int64_t i = from; wk_ok() && (step > 0 ? i < to : i > to);) {
        if (l.list->count == MOST)
            return wk_run_fail(r, "range has more than %d elements", MOST);
        wk_list_add(r, l.list, wk_value_int(i));
        if (__builtin_add_overflow(i, step, &i))
            break;
    }
    return l;
}

/* ---- Lists and dicts ---------------------------------------------------- */

static wk_value length(wk_run *r, wk_value self, const wk_args *a)
{
    (void)a;
    if (self.kind == WK_TEXT)
        return wk_value_int((int64_t)wk_text_chars(self.text));
    if (self.kind == WK_LIST && self.list->form != WK_LAZY)
        return wk_value_int((int64_t)self.list->count);
    if (self.kind == WK_DICT && !self.dict->namespace_)
        return wk_value_int((int64_t)self.dict->count);
    if (self.kind == WK_UNDEFINED)
        return wk_value_int(0);
    return wk_run_fail(r, "object of type '%s' has no len()", wk_kind_name(self));
}

static wk_value first(wk_run *r, wk_value self, const wk_args *a)
{
    const wk_list *l = wk_value_items(r, self);
    (void)a;
    return l && l->count ? l->at[0] : wk_value_missing(NULL);
}

static wk_value last(wk_run *r, wk_value self, const wk_args *a)
{
    const wk_list *l = wk_value_items(r, self);
    (void)a;
    if (self.kind == WK_LIST && self.list->form == WK_LAZY)
        return wk_run_fail(r, "'generator' object is not reversible");
    return l && l->count ? l->at[l->count - 1] : wk_value_missing(NULL);
}

static wk_value copied(wk_run *r, const wk_list *from, wk_list_form form)
{
    wk_value l = wk_list_new(r, from ? from->count : 0, form);
    for (size_t i = 0; from && i < from->count && wk_ok(); i++)
        wk_list_add(r, l.list, from->at[i]);
    return l;
}

static wk_value to_list(wk_run *r, wk_value self, const wk_args *a)
{
    (void)a;
    return copied(r, wk_value_items(r, self), WK_PLAIN_LIST);
}

static wk_value reverse(wk_run *r, wk_value self, const wk_args *a)
{
    const wk_list *l = wk_value_items(r, self);
    wk_value       out = wk_list_new(r, 0, WK_LAZY);
    wk_out         text = { 0 };
    (void)a;
    for (size_t i = l ? l->count : 0; i-- > 0 && wk_ok();)
        if (self.kind == WK_TEXT)
            wk_out_text(r, &text, l->at[i].text);
        else
            wk_list_add(r, out.list, l->at[i]);
    return self.kind == WK_TEXT ? wk_out_end(r, &text) : out;
}

/* "a.b.0" of v; all of v where there is no path; otherwise stands for what is undefined. */
static wk_value at_path(wk_run *r, wk_value v, wk_value path, wk_value otherwise)
{
    if (path.kind == WK_INTEGER)
        return wk_value_item(r, v, path);
    for (size_t from = 0, to; path.kind == WK_TEXT && from <= path.text->size && wk_ok();
         from = to + 1) {
        const char *s = path.text->at + from;
        for (to = from; to < path.text->size && path.text->at[to] != '.'; to++)
            ;
        bool     number = to > from && to - from < 10 && strspn(s, "0123456789") >= to - from;
        wk_value key =
            number ? wk_value_int(strtol(s, NULL, 10)) : wk_value_part(r, path.text, from, to);
        v = wk_ok() ? wk_value_item(r, v, key) : v;
        v = v.kind == WK_UNDEFINED && wk_ok() ? otherwise : v;
    }
    return v;
}

static wk_value join(wk_run *r, wk_value self, const wk_args *a)
{
    static const wk_text nothing = { "", 0, NULL };
    wk_value             between = wk_arg(r, a, 0, "d"), path = wk_arg(r, a, 1, "attribute");
    const wk_list       *l = wk_value_items(r, self);
    wk_out               out = { 0 };
    if (between.kind == WK_UNDEFINED)
        between = text_of(&nothing);
    for (size_t i = 0; l && i < l->count && wk_run_spend(r, 1); i++) {
        if (i)
            wk_out_value(r, &out, between);
        wk_out_value(r, &out, at_path(r, l->at[i], path, wk_value_missing(NULL)));
    }
    return wk_out_end(r, &out);
}

static wk_value join_method(wk_run *r, wk_value self, const wk_args *a)
{
    wk_value       l = wk_arg(r, a, 0, NULL);
    const wk_list *items = wk_value_items(r, l);
    for (size_t i = 0; items && i < items->count; i++)
        if (items->at[i].kind != WK_TEXT)
            return wk_run_fail(r, "join: a '%s' is no string", wk_kind_name(items->at[i]));
    return wk_ok() ? join(r, l, &(wk_args){ &self, 1, NULL }) : l;
}

static wk_value items(wk_run *r, wk_value self, const wk_args *a)
{
    wk_value l = wk_list_new(r, 0, WK_PLAIN_LIST);
    (void)a;
    if (self.kind != WK_DICT && self.kind != WK_UNDEFINED)
        return wk_run_fail(r, "Can only get item pairs from a mapping.");
    for (size_t i = 0; self.kind == WK_DICT && i < self.dict->count && wk_ok(); i++) {
        wk_value pair = wk_list_new(r, 2, WK_TUPLE);
        wk_list_add(r, pair.list, self.dict->at[2 * i]);
        wk_list_add(r, pair.list, self.dict->at[2 * i + 1]);
        wk_list_add(r, l.list, pair);
    }
    return l;
}

static wk_value values(wk_run *r, wk_value self, const wk_args *a)
{
    wk_value l = wk_list_new(r, 0, WK_PLAIN_LIST);
    (void)a;
    for (size_t i = 0; i < self.dict->count && wk_ok(); i++)
        wk_list_add(r, l.list, self.dict->at[2 * i + 1]);
    return l;
}

static wk_value get(wk_run *r, wk_value self, const wk_args *a)
{
    wk_value *x = wk_dict_get(r, self.dict, wk_arg(r, a, 0, NULL));
    return x ? *x : a->count > 1 ? a->at[1] : wk_value_none();
}

static wk_value append(wk_run *r, wk_value self, const wk_args *a)
{
    wk_list_add(r, self.list, wk_arg(r, a, 0, NULL));
    return wk_value_none();
}

static wk_value pop(wk_run *r, wk_value self, const wk_args *a)
{
    wk_list *l = self.list;
    int64_t  i = wk_arg_int(r, a, 0, NULL, -1);
    i += i < 0 ? (int64_t)l->count : 0;
    if (i < 0 || i >= (int64_t)l->count)
        return wk_run_fail(r, "pop index out of range");
    wk_value v = l->at[i];
    for (l->count--; i < (int64_t)l->count; i++)
        l->at[i] = l->at[i + 1];
    return v;
}

static wk_value index_of(wk_run *r, wk_value self, const wk_args *a)
{
    wk_value what = wk_arg(r, a, 0, NULL);
    for (size_t i = 0; i < self.list->count && wk_run_spend(r, 1); i++)
        if (wk_values_equal(r, self.list->at[i], what))
            return wk_value_int((int64_t)i);
    return wk_run_fail(r, "it is not in the list");
}

static wk_value count_of(wk_run *r, wk_value self, const wk_args *a)
{
    int64_t n = 0;
    for (size_t i = 0; i < self.list->count && wk_run_spend(r, 1); i++)
        n += wk_values_equal(r, self.list->at[i], wk_arg(r, a, 0, NULL));
    return wk_value_int(n);
}

static wk_value refuse(wk_run *r, wk_value self, const wk_args *a)
{
    (void)a;
    return wk_run_fail(r, "a template may not change a '%s' this way", wk_kind_name(self));
}

/* ---- Sorting ------------------------------------------------------------ */

typedef struct {
    wk_value key, x;
} keyed;

/* Merges runs of growing length: stable, and no element is moved to an unknown depth. */
static void sort_keyed(wk_run *r, keyed *at, keyed *other, size_t count, bool down)
{
    for (size_t width = 1; width < count && wk_ok(); width *= 2) {
        for (size_t low = 0; low < count; low += 2 * width) {
            size_t middle = low + width < count ? low + width : count;
            size_t high = low + 2 * width < count ? low + 2 * width : count;
            for (size_t i = low, k = middle, n = low; n < high && wk_run_spend(r, 1); n++) {
                bool left = i < middle;
                if (left && k < high) {
                    int order = wk_values_order(r, at[i].key, at[k].key);
                    left = down ? order >= 0 : order <= 0;
                }
                other[n] = left ? at[i++] : at[k++];
            }
        }
        memcpy(at, other, count * sizeof *at);
    }
}

static wk_value folded(wk_run *r, wk_value v, bool case_matters)
{
    return v.kind == WK_TEXT && !case_matters ? wk_text_recase(r, v.text, WK_CASE_LOWER) : v;
}

static keyed *keyed_of(wk_run *r, const wk_list *l, wk_value path, bool case_matters)
{
    keyed *k = l ? wk_arena_take(&r->arena, 2 * l->count * sizeof *k) : NULL;
    for (size_t i = 0; k && i < l->count && wk_ok(); i++)
        k[i] = (keyed){ folded(r, at_path(r, l->at[i], path, wk_value_missing(NULL)), case_matters),
                        l->at[i] };
    return wk_ok() ? k : NULL;
}

static wk_value uncovered(wk_run *r, const keyed *k, size_t count)
{
    wk_value out = wk_list_new(r, count, WK_PLAIN_LIST);
    for (size_t i = 0; k && i < count && wk_ok(); i++)
        wk_list_add(r, out.list, k[i].x);
    return out;
}

static wk_value sort(wk_run *r, wk_value self, const wk_args *a)
{
    const wk_list *l = wk_value_items(r, self);
    keyed         *k =
        keyed_of(r, l, wk_arg(r, a, 2, "attribute"), wk_arg_truth(r, a, 1, "case_sensitive"));
    if (k)
        sort_keyed(r, k, k + l->count, l->count, wk_arg_truth(r, a, 0, "reverse"));
    return uncovered(r, k, k ? l->count : 0);
}

static wk_value dictsort(wk_run *r, wk_value self, const wk_args *a)
{
    wk_value by = wk_arg(r, a, 1, "by");
    bool     value = by.kind == WK_TEXT && wk_str_is(str_of(by.text), "value");
    if (self.kind != WK_DICT)
        return wk_run_fail(r, "dictsort of '%s'", wk_kind_name(self));
    wk_value l = items(r, self, a);
    keyed   *k =
        wk_ok() ? keyed_of(r, l.list, wk_value_int(value), wk_arg_truth(r, a, 0, "case_sensitive"))
                  : NULL;
    if (k)
        sort_keyed(r, k, k + l.list->count, l.list->count, wk_arg_truth(r, a, 2, "reverse"));
    return uncovered(r, k, k ? l.list->count : 0);
}

static wk_value unique(wk_run *r, wk_value self, const wk_args *a)
{
    const wk_list *l = wk_value_items(r, self);
    keyed         *k =
        keyed_of(r, l, wk_arg(r, a, 1, "attribute"), wk_arg_truth(r, a, 0, "case_sensitive"));
    wk_value seen = wk_dict_new(r), out = wk_list_new(r, 0, WK_LAZY);
    for (size_t i = 0; k && i < l->count && wk_ok(); i++)
        if (!wk_dict_get(r, seen.dict, k[i].key)) {
            wk_dict_put(r, seen.dict, k[i].key, wk_value_none());
            wk_list_add(r, out.list, k[i].x);
        }
    return out;
}

static wk_value extreme(wk_run *r, wk_value self, const wk_args *a, int sign)
{
    const wk_list *l = wk_value_items(r, self);
    keyed         *k =
        keyed_of(r, l, wk_arg(r, a, 1, "attribute"), wk_arg_truth(r, a, 0, "case_sensitive"));
    size_t best = 0;
    for (size_t i = 1; k && i < l->count && wk_run_spend(r, 1); i++)
        if (wk_values_order(r, k[i].key, k[best].key) == sign)
            best = i;
    return k && l->count ? l->at[best] : wk_value_missing(NULL);
}

static wk_value least(wk_run *r, wk_value self, const wk_args *a)
{
    return extreme(r, self, a, -1);
}

static wk_value greatest(wk_run *r, wk_value self, const wk_args *a)
{
    return extreme(r, self, a, 1);
}

static wk_value sum(wk_run *r, wk_value self, const wk_args *a)
{
    wk_value       x = wk_arg(r, a, 1, "start"), path = wk_arg(r, a, 0, "attribute");
    const wk_list *l = wk_value_items(r, self);
    x = x.kind == WK_UNDEFINED ? wk_value_int(0) : x;
    for (size_t i = 0; l && i < l->count && wk_run_spend(r, 1); i++)
        x = wk_value_binary(r, '+', x, at_path(r, l->at[i], path, wk_value_missing(NULL)));
    return x;
}

static wk_value batch(wk_run *r, wk_value self, const wk_args *a)
{
    const wk_list *l = wk_value_items(r, self);
    int64_t        n = wk_arg_int(r, a, 0, "linecount", 0);
    wk_value fill = wk_arg(r, a, 1, "fill_with"), out = wk_list_new(r, 0, WK_LAZY), row = { 0 };
    if (wk_ok() && n < 1)
        return wk_run_fail(r, "batch of %lld", (long long)n);
    for (size_t i = 0; l && i < l->count && wk_ok(); i++) {
        if (i % (size_t)n == 0)
            row = wk_list_new(r, 0, WK_PLAIN_LIST), wk_list_add(r, out.list, row);
        wk_list_add(r, row.list, l->at[i]);
    }
    while (wk_ok() && row.kind && fill.kind > WK_NONE && (int64_t)row.list->count < n)
        wk_list_add(r, row.list, fill);
    return out;
}

/* ---- map, select and their kin ------------------------------------------ */

static wk_value map(wk_run *r, wk_value self, const wk_args *a)
{
    wk_value       path = wk_arg(r, a, SIZE_MAX, "attribute"), name = wk_arg(r, a, 0, NULL);
    wk_value       otherwise = wk_arg(r, a, SIZE_MAX, "default"), out = wk_list_new(r, 0, WK_LAZY);
    const wk_list *l = wk_value_items(r, self);
    const wk_builtin *b =
        name.kind == WK_TEXT ? wk_builtin_find(str_of(name.text), WK_FILTER) : NULL;
    if (wk_ok() && !b && path.kind == WK_UNDEFINED)
        return wk_run_fail(r, "map: no filter and no attribute");
    wk_args rest = { b ? a->at + 1 : NULL, b ? a->count - 1 : 0, a->named };
    for (size_t i = 0; l && i < l->count && wk_run_enter(r); i++) {
        wk_value x = l->at[i];
        if (b)
            x = b->fn(r, b->places & WK_AS_TEXT ? wk_value_str(r, x) : x, &rest);
        else
            x = at_path(r, x, path, otherwise);
        wk_list_add(r, out.list, x);
        wk_run_leave(r);
    }
    return out;
}

static wk_value choose(wk_run *r, wk_value self, const wk_args *a, bool attribute, bool want)
{
    size_t            skip = attribute;
    wk_value          out = wk_list_new(r, 0, WK_LAZY), name = wk_arg(r, a, skip, NULL);
    const wk_list    *l = wk_value_items(r, self);
    const wk_builtin *b = name.kind == WK_TEXT ? wk_builtin_find(str_of(name.text), WK_TEST) : NULL;
    if (wk_ok() && ((a->count > skip && !b) || a->count < skip))
        return wk_run_fail(r, "select: there is no such test");
    wk_args rest = { b ? a->at + skip + 1 : NULL, b ? a->count - skip - 1 : 0, a->named };
    for (size_t i = 0; l && i < l->count && wk_run_enter(r); i++) {
        wk_value x = attribute ? at_path(r, l->at[i], a->at[0], wk_value_missing(NULL)) : l->at[i];
        x = b && wk_ok() ? b->fn(r, x, &rest) : x;
        if (wk_is_true(x) == want)
            wk_list_add(r, out.list, l->at[i]);
        wk_run_leave(r);
    }
    return out;
}

#define CHOOSE(name, attribute, want)                                                              \
    static wk_value name(wk_run *r, wk_value self, const wk_args *a)                               \
    {                                                                                              \
        return choose(r, self, a, attribute, want);                                                \
    }
CHOOSE(select_, false, true)
CHOOSE(reject, false, false)
CHOOSE(selectattr, true, true)
CHOOSE(rejectattr, true, false)

/* ---- Other filters ------------------------------------------------------ */

static wk_value default_(wk_run *r, wk_value self, const wk_args *a)
{
    static const wk_text nothing = { "", 0, NULL };
    wk_value             otherwise = wk_arg(r, a, 0, "default_value");
    bool                 missing =
        self.kind == WK_UNDEFINED || (wk_arg_truth(r, a, 1, "boolean") && !wk_is_true(self));
    return !missing ? self : otherwise.kind == WK_UNDEFINED ? text_of(&nothing) : otherwise;
}

static wk_value same(wk_run *r, wk_value self, const wk_args *a)
{
    (void)r, (void)a;
    return self;
}

static wk_value tojson(wk_run *r, wk_value self, const wk_args *a)
{
    wk_value      separators = wk_arg(r, a, 2, "separators");
    int64_t       wide = wk_arg_int(r, a, 1, "indent", -1);
    wk_json_style style = { .indent = wide < -1 ? 0 : wk_min_i64(wide, 100),
                            .ascii = wk_arg_truth(r, a, 0, "ensure_ascii"),
                            .sort = wk_arg_truth(r, a, 3, "sort_keys"),
                            .comma = { ", ", wide < 0 ? 2 : 1, NULL },
                            .colon = { ": ", 2, NULL } };
    if (separators.kind == WK_LIST && separators.list->count == 2 &&
        separators.list->at[0].kind == WK_TEXT && separators.list->at[1].kind == WK_TEXT) {
        style.comma = *separators.list->at[0].text;
        style.colon = *separators.list->at[1].text;
    }
    wk_out out = { 0 };
    wk_value_json(r, &out, self, &style, 0);
    return wk_out_end(r, &out);
}

/* ---- Functions ---------------------------------------------------------- */

static wk_value raise_exception(wk_run *r, wk_value self, const wk_args *a)
{
    wk_value s = wk_value_str(r, wk_arg(r, a, 0, "message"));
    (void)self;
    return wk_ok() ? wk_run_fail(r, "%.*s", (int)wk_min_i64((int64_t)s.text->size, 390), s.text->at)
                   : s;
}

static wk_value strftime_now(wk_run *r, wk_value self, const wk_args *a)
{
    char           text[500], *format = NULL;
    const wk_text *s = wk_arg_text(r, a, 0, "format", NULL);
    time_t         now = r->now ? (time_t)r->now : time(NULL);
    struct tm      t;
    (void)self;
    if (s && s->size < 200 && !memchr(s->at, '\0', s->size))
        format = wk_arena_take(&r->arena, s->size + 1);
    if (!format || !localtime_r(&now, &t))
        return wk_run_fail(r, "strftime_now: not a format of a date");
    memcpy(format, s->at, s->size);
    size_t n = strftime(text, sizeof text, format, &t);
    if (!wk_utf8_valid(text, n))
        return wk_run_fail(r, "strftime_now: the locale is not UTF-8");
    wk_out out = { 0 };
    wk_out_add(r, &out, text, n, NULL);
    return wk_out_end(r, &out);
}

static wk_value dict_of(wk_run *r, const wk_args *a)
{
    wk_value d = wk_dict_new(r), from = wk_arg(r, a, 0, NULL);
    if (from.kind == WK_DICT)
        for (size_t i = 0; i < from.dict->count && wk_ok(); i++)
            wk_dict_put(r, d.dict, from.dict->at[2 * i], from.dict->at[2 * i + 1]);
    const wk_list *l =
        from.kind > WK_UNDEFINED && from.kind != WK_DICT ? wk_value_items(r, from) : NULL;
    for (size_t i = 0; l && i < l->count && wk_ok(); i++) {
        const wk_list *pair = wk_value_items(r, l->at[i]);
        if (pair && pair->count == 2)
            wk_dict_put(r, d.dict, pair->at[0], pair->at[1]);
        else
            wk_run_fail(r, "dict: an element is no pair");
    }
    for (size_t i = 0; a->named && i < a->named->count && wk_ok(); i++)
        wk_dict_put(r, d.dict, a->named->at[2 * i], a->named->at[2 * i + 1]);
    return d;
}

static wk_value dict(wk_run *r, wk_value self, const wk_args *a)
{
    (void)self;
    return dict_of(r, a);
}

static wk_value copy(wk_run *r, wk_value self, const wk_args *a)
{
    (void)a;
    return dict_of(r, &(wk_args){ &self, 1, NULL });
}

static wk_value namespace(wk_run *r, wk_value self, const wk_args *a)
{
    wk_value d = dict_of(r, a);
    (void)self;
    if (wk_ok())
        d.dict->namespace_ = true;
    return d;
}

static wk_value join_on(wk_run *r, wk_value self, const wk_args *a)
{
    static const wk_text nothing = { "", 0, NULL };
    struct wk_method    *m = (struct wk_method *)self.method;
    bool                 again = m->used;
    (void)r, (void)a;
    m->used = true;
    return text_of(again ? &m->separator : &nothing);
}

static wk_value joiner(wk_run *r, wk_value self, const wk_args *a)
{
    static const wk_builtin on = { "joiner", 0, join_on };
    static const wk_text    comma = { ", ", 2, NULL };
    struct wk_method       *m = wk_arena_take(&r->arena, sizeof *m);
    const wk_text          *between = wk_arg_text(r, a, 0, "sep", &comma);
    (void)self;
    if (!m || !between)
        return wk_value_missing(NULL);
    m->builtin = &on;
    m->separator = *between;
    return (wk_value){ .kind = WK_METHOD, .method = m };
}

static wk_value cycle(wk_run *r, wk_value self, const wk_args *a)
{
    return a->count ? a->at[self.loop->at % a->count]
                    : wk_run_fail(r, "no items for cycling given");
}

static wk_value changed(wk_run *r, wk_value self, const wk_args *a)
{
    wk_value now = copied(r, &(wk_list){ a->at, a->count, a->count, WK_TUPLE }, WK_TUPLE);
    bool is = self.loop->changed.kind != WK_LIST || !wk_values_equal(r, self.loop->changed, now);
    self.loop->changed = now;
    return wk_value_truth(is);
}

/* ---- Tests -------------------------------------------------------------- */

static double number_of(wk_value v)
{
    double x;
    return wk_as_number(v, &x) ? x : NAN;
}

IS(is_defined, self.kind != WK_UNDEFINED)
IS(is_undefined, self.kind == WK_UNDEFINED)
IS(is_none, self.kind == WK_NONE)
IS(is_string, self.kind == WK_TEXT)
IS(is_mapping, self.kind == WK_DICT && !self.dict->namespace_)
IS(is_sequence, self.kind == WK_TEXT || self.kind == WK_UNDEFINED ||
                    (self.kind == WK_LIST && self.list->form != WK_LAZY) ||
                    (self.kind == WK_DICT && !self.dict->namespace_))
IS(is_iterable, self.kind == WK_TEXT || self.kind == WK_LIST || self.kind == WK_UNDEFINED ||
                    (self.kind == WK_DICT && !self.dict->namespace_))
IS(is_number, number_of(self) == number_of(self))
IS(is_integer, self.kind == WK_INTEGER)
IS(is_float, self.kind == WK_REAL)
IS(is_boolean, self.kind == WK_TRUTH)
IS(is_true, self.kind == WK_TRUTH && self.truth)
IS(is_false, self.kind == WK_TRUTH && !self.truth)
IS(is_callable, self.kind == WK_MACRO || self.kind == WK_METHOD)
IS(is_in, wk_value_in(r, self, wk_arg(r, a, 0, NULL)))
IS(is_eq, wk_values_equal(r, self, wk_arg(r, a, 0, NULL)))
IS(is_ne, !wk_values_equal(r, self, wk_arg(r, a, 0, NULL)))
IS(is_lt, wk_values_order(r, self, wk_arg(r, a, 0, NULL)) < 0)
IS(is_le, wk_values_order(r, self, wk_arg(r, a, 0, NULL)) <= 0)
IS(is_gt, wk_values_order(r, self, wk_arg(r, a, 0, NULL)) > 0)
IS(is_ge, wk_values_order(r, self, wk_arg(r, a, 0, NULL)) >= 0)
IS(is_odd, number_of(wk_value_binary(r, '%', self, wk_value_int(2))) == 1)
IS(is_even, number_of(wk_value_binary(r, '%', self, wk_value_int(2))) == 0)
IS(is_divisible, number_of(wk_value_binary(r, '%', self, wk_arg(r, a, 0, "num"))) == 0)
IS(is_sameas,
   self.kind == wk_arg(r, a, 0, NULL).kind && wk_values_equal(r, self, wk_arg(r, a, 0, NULL)))
IS(is_filter, self.kind == WK_TEXT && wk_builtin_find(str_of(self.text), WK_FILTER))
IS(is_test, self.kind == WK_TEXT && wk_builtin_find(str_of(self.text), WK_TEST))

/* ---- The table ---------------------------------------------------------- */

enum { CHANGES = WK_OF_LIST | WK_OF_DICT };

static const wk_builtin table[] = {
    { "int", WK_FILTER, to_int },
    { "float", WK_FILTER, to_float },
    { "abs", WK_FILTER, absolute },
    { "round", WK_FILTER, to_round },
    { "string", WK_FILTER | WK_AS_TEXT, same },
    { "safe", WK_FILTER, same },

    { "length", WK_FILTER, length },
    { "count", WK_FILTER, length },
    { "count", WK_OF_LIST, count_of },
    { "first", WK_FILTER, first },
    { "last", WK_FILTER, last },
    { "list", WK_FILTER, to_list },
    { "reverse", WK_FILTER, reverse },
    { "join", WK_FILTER, join },
    { "join", WK_OF_TEXT, join_method },
    { "items", WK_FILTER | WK_OF_DICT, items },
    { "keys", WK_OF_DICT, to_list },
    { "values", WK_OF_DICT, values },
    { "get", WK_OF_DICT, get },
    { "copy", WK_OF_DICT, copy },
    { "append", WK_OF_LIST, append },
    { "pop", WK_OF_LIST, pop },
    { "index", WK_OF_LIST, index_of },
    { "pop", WK_OF_DICT, refuse },
    { "popitem", WK_OF_DICT, refuse },
    { "setdefault", WK_OF_DICT, refuse },
    { "update", WK_OF_DICT, refuse },
    { "clear", CHANGES, refuse },
    { "extend", WK_OF_LIST, refuse },
    { "insert", WK_OF_LIST, refuse },
    { "remove", WK_OF_LIST, refuse },
    { "reverse", WK_OF_LIST, refuse },
    { "sort", WK_OF_LIST, refuse },
    { "sort", WK_FILTER, sort },
    { "dictsort", WK_FILTER, dictsort },
    { "unique", WK_FILTER, unique },
    { "min", WK_FILTER, least },
    { "max", WK_FILTER, greatest },
    { "sum", WK_FILTER, sum },
    { "batch", WK_FILTER, batch },
    { "map", WK_FILTER, map },
    { "select", WK_FILTER, select_ },
    { "reject", WK_FILTER, reject },
    { "selectattr", WK_FILTER, selectattr },
    { "rejectattr", WK_FILTER, rejectattr },
    { "default", WK_FILTER, default_ },
    { "d", WK_FILTER, default_ },
    { "tojson", WK_FILTER, tojson },

    { "raise_exception", WK_GLOBAL, raise_exception },
    { "strftime_now", WK_GLOBAL, strftime_now },
    { "range", WK_GLOBAL, range },
    { "dict", WK_GLOBAL, dict },
    { "namespace", WK_GLOBAL, namespace },
    { "joiner", WK_GLOBAL, joiner },
    { "cycle", WK_OF_LOOP, cycle },
    { "changed", WK_OF_LOOP, changed },

    { "defined", WK_TEST, is_defined },
    { "undefined", WK_TEST, is_undefined },
    { "none", WK_TEST, is_none },
    { "string", WK_TEST, is_string },
    { "mapping", WK_TEST, is_mapping },
    { "sequence", WK_TEST, is_sequence },
    { "iterable", WK_TEST, is_iterable },
    { "number", WK_TEST, is_number },
    { "integer", WK_TEST, is_integer },
    { "float", WK_TEST, is_float },
    { "boolean", WK_TEST, is_boolean },
    { "true", WK_TEST, is_true },
    { "false", WK_TEST, is_false },
    { "callable", WK_TEST, is_callable },
    { "in", WK_TEST, is_in },
    { "eq", WK_TEST, is_eq },
    { "==", WK_TEST, is_eq },
    { "equalto", WK_TEST, is_eq },
    { "ne", WK_TEST, is_ne },
    { "!=", WK_TEST, is_ne },
    { "lt", WK_TEST, is_lt },
    { "<", WK_TEST, is_lt },
    { "lessthan", WK_TEST, is_lt },
    { "le", WK_TEST, is_le },
    { "<=", WK_TEST, is_le },
    { "gt", WK_TEST, is_gt },
    { ">", WK_TEST, is_gt },
    { "greaterthan", WK_TEST, is_gt },
    { "ge", WK_TEST, is_ge },
    { ">=", WK_TEST, is_ge },
    { "odd", WK_TEST, is_odd },
    { "even", WK_TEST, is_even },
    { "divisibleby", WK_TEST, is_divisible },
    { "sameas", WK_TEST, is_sameas },
    { "filter", WK_TEST, is_filter },
    { "test", WK_TEST, is_test },
};

const wk_builtin *wk_builtin_in(const wk_builtin *of, size_t count, wk_str name, unsigned places)
{
    for (size_t i = 0; i < count; i++)
        if ((of[i].places & places) && wk_str_is(name, of[i].name))
            return &of[i];
    return NULL;
}

const wk_builtin *wk_builtin_find(wk_str name, unsigned places)
{
    const wk_builtin *b = wk_builtin_in(table, WK_COUNT(table), name, places);
    return b ? b : wk_text_builtin_find(name, places);
}
