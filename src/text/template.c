// SPDX-License-Identifier: MIT OR Apache-2.0
/* template.c - renders chat templates: walks the nodes of one, over values read from JSON.
 *
 * A template comes with a model from anywhere, so it is given limits, not trust: steps,
 * depth and memory.  It sees nothing but its variables. */
#include "template.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    MOST_STEPS = 20000000, /* about a second; a chat of 1,000 messages takes some 100,000 */
    MOST_DEPTH = 600,      /* of nodes and values in each other: 0.3 MB of stack */
    MOST_BYTES = 64 << 20, /* of values, and so of output; and 32 for each byte of JSON */
    BLOCK = 16 << 10,
};

/* ---- Memory ------------------------------------------------------------- */

struct wk_arena_block {
    struct wk_arena_block *next;
    size_t                 size, used;
};

void *wk_arena_take(wk_arena *a, size_t bytes)
{
    const size_t head = (sizeof *a->block + 15) & ~(size_t)15;
    if (!wk_ok())
        return NULL;
    if (bytes > PTRDIFF_MAX / 2 || (a->limit && bytes > a->limit - a->used)) {
        wk_fail(WK_ERR_MEMORY, "a template takes more than %zu MiB", a->limit >> 20);
        return NULL;
    }
    bytes = (bytes + 15) & ~(size_t)15;
    if (!a->block || bytes > a->block->size - a->block->used) {
        size_t                 size = bytes > BLOCK / 4 ? bytes : BLOCK;
        struct wk_arena_block *b = wk_alloc(head + size), *first = a->block;
        if (!b)
            return NULL;
        b->size = size;
        bool own = first && size == bytes; /* the one in use has room yet */
        b->next = own ? first->next : first;
        if (own)
            first->next = b;
        else
            a->block = b;
        if (own) {
            b->used = bytes;
            a->used += bytes;
            return (char *)b + head;
        }
    }
    void *p = (char *)a->block + head + a->block->used;
    a->block->used += bytes;
    a->used = a->limit && a->used + bytes > a->limit ? a->limit : a->used + bytes;
    return p;
}

void wk_arena_free(wk_arena *a)
{
    for (struct wk_arena_block *b = a->block, *next; b; b = next) {
        next = b->next;
        wk_free(b);
    }
    *a = (wk_arena){ 0 };
}

/* ---- Errors, limits ----------------------------------------------------- */

wk_value wk_run_fail(wk_run *r, const char *format, ...)
{
    char    what[400];
    va_list args;
    va_start(args, format);
    if (wk_ok()) {
        vsnprintf(what, sizeof what, format, args);
        wk_fail(WK_ERR_FORMAT, "%s:%d: %s", r->t->name, r->line, what);
    }
    va_end(args);
    return wk_value_missing(NULL);
}

bool wk_run_spend(wk_run *r, uint64_t steps)
{
    if (r->steps < steps)
        wk_run_fail(r, "takes too long");
    r->steps -= r->steps < steps ? r->steps : steps;
    return wk_ok();
}

bool wk_run_enter(wk_run *r)
{
    if (r->depth >= MOST_DEPTH)
        wk_run_fail(r, "nested too deep");
    if (!wk_run_spend(r, 1))
        return false;
    r->depth++;
    return true;
}

void wk_run_leave(wk_run *r) { r->depth--; }

/* ---- Output ------------------------------------------------------------- */

void wk_out_add(wk_run *r, wk_out *o, const char *at, size_t size, const uint8_t *origin)
{
    if (!wk_ok() || !size)
        return;
    if (size > o->room - o->size) {
        size_t room = 2 * o->room + size + 32;
        char  *more = wk_arena_take(&r->arena, 2 * room);
        if (!more)
            return;
        if (o->size) {
            memcpy(more, o->at, o->size);
            memcpy(more + room, o->at + o->room, o->size);
        }
        o->at = more;
        o->room = room;
    }
    memcpy(o->at + o->size, at, size);
    if (origin)
        memcpy(o->at + o->room + o->size, origin, size);
    o->origins |= origin != NULL;
    o->size += size;
}

void wk_out_str(wk_run *r, wk_out *o, const char *s) { wk_out_add(r, o, s, strlen(s), NULL); }

void wk_out_text(wk_run *r, wk_out *o, const wk_text *s)
{
    wk_out_add(r, o, s->at, s->size, s->origin);
}

wk_value wk_out_end(wk_run *r, wk_out *o)
{
    return wk_value_text(r, o->at ? o->at : "", o->size,
                         o->origins ? (const uint8_t *)o->at + o->room : NULL);
}

/* ---- Names -------------------------------------------------------------- */

struct wk_var {
    const wk_text *name;
    wk_value       value;
    struct wk_var *next;
};

struct wk_macro {
    const wk_node *node;
    wk_frame      *frame; /* what it sees */
};

static bool set(wk_run *r, wk_frame *f, const wk_text *name, wk_value v)
{
    for (struct wk_var *x = f->var; x; x = x->next)
        if (x->name == name)
            return x->value = v, wk_ok();
    struct wk_var *x = wk_arena_take(&r->arena, sizeof *x);
    if (!x)
        return false;
    *x = (struct wk_var){ name, v, f->var };
    f->var = x;
    return wk_ok();
}

static wk_value get(wk_run *r, const wk_frame *f, const wk_text *name)
{
    for (; f; f = f->up)
        for (const struct wk_var *x = f->var; x && wk_run_spend(r, 1); x = x->next)
            if (x->name == name)
                return x->value;
    wk_value  key = { .kind = WK_TEXT, .text = name };
    wk_value *v = wk_ok() ? wk_dict_get(r, r->variables, key) : NULL;
    if (v)
        return *v;
    const wk_builtin *b = wk_builtin_find((wk_str){ name->at, name->size }, WK_GLOBAL);
    struct wk_method *m = b ? wk_arena_take(&r->arena, sizeof *m) : NULL;
    if (!m)
        return wk_value_missing(name);
    m->builtin = b;
    return (wk_value){ .kind = WK_METHOD, .method = m };
}

/* ---- Expressions -------------------------------------------------------- */

static wk_value eval(wk_run *r, wk_frame *f, const wk_node *n);
static bool     run(wk_run *r, wk_frame *f, const wk_node *list);

static wk_args arguments(wk_run *r, wk_frame *f, const wk_node *n)
{
    wk_value at = wk_list_new(r, 0, WK_PLAIN_LIST), named = wk_value_none();
    for (; n && wk_ok(); n = n->next) {
        wk_value v = eval(r, f, n->a);
        if (n->op == '*') {
            const wk_list *more = wk_value_items(r, v);
            for (size_t i = 0; more && i < more->count; i++)
                wk_list_add(r, at.list, more->at[i]);
            continue;
        }
        if (n->op != 'D' && !n->name) {
            wk_list_add(r, at.list, v);
            continue;
        }
        named = named.kind ? named : wk_dict_new(r);
        named = named.kind == WK_NONE ? wk_dict_new(r) : named;
        if (n->op == 'D' && v.kind != WK_DICT)
            wk_run_fail(r, "what stands behind ** must be a mapping");
        for (size_t i = 0; n->op == 'D' && wk_ok() && i < v.dict->count; i++)
            wk_dict_put(r, named.dict, v.dict->at[2 * i], v.dict->at[2 * i + 1]);
        if (n->name && wk_ok())
            wk_dict_put(r, named.dict, (wk_value){ .kind = WK_TEXT, .text = n->name }, v);
    }
    if (!wk_ok())
        return (wk_args){ 0 };
    return (wk_args){ at.list->at, at.list->count, named.kind == WK_DICT ? named.dict : NULL };
}

/* What statements write, as a string. */
static wk_value capture(wk_run *r, wk_frame *f, const wk_node *list)
{
    wk_out  own = { 0 };
    wk_out *before = r->out;
    r->out = &own;
    run(r, f, list);
    r->out = before;
    return wk_out_end(r, &own);
}

static wk_value call_macro(wk_run *r, const struct wk_macro *m, const wk_args *a)
{
    wk_frame *f = wk_arena_take(&r->arena, sizeof *f);
    size_t    i = 0, named = 0;
    if (!f)
        return wk_value_missing(NULL);
    f->up = m->frame;
    for (const wk_node *p = m->node->a; p && wk_ok(); p = p->next, i++) {
        wk_value  key = { .kind = WK_TEXT, .text = p->name };
        wk_value *x = a->named ? wk_dict_get(r, a->named, key) : NULL;
        named += x != NULL;
        if (x && i < a->count)
            return wk_run_fail(r, "macro %.*s: an argument is given twice",
                               (int)m->node->name->size, m->node->name->at);
        set(r, f, p->name,
            i < a->count ? a->at[i]
            : x          ? *x
            : p->a       ? eval(r, f, p->a)
                         : wk_value_missing(p->name));
    }
    if (a->count > i || (a->named && a->named->count > named))
        return wk_run_fail(r, "macro %.*s takes not more than %zu arguments",
                           (int)m->node->name->size, m->node->name->at, i);
    int      line = r->line;
    wk_value v = capture(r, f, m->node->list);
    r->line = line;
    r->leave = 0;
    return v;
}

wk_value wk_run_call(wk_run *r, wk_value callee, const wk_args *a)
{
    const unsigned methods = WK_OF_TEXT | WK_OF_LIST | WK_OF_DICT | WK_OF_LOOP;
    wk_value       v = wk_value_missing(NULL);
    if (!wk_run_enter(r))
        return v;
    if (callee.kind == WK_MACRO)
        v = call_macro(r, callee.macro, a);
    else if (callee.kind == WK_METHOD)
        v = callee.method->builtin->fn(
            r, callee.method->builtin->places & methods ? callee.method->self : callee, a);
    else if (callee.kind == WK_UNDEFINED && callee.text)
        wk_run_fail(r, "'%.*s' is undefined", (int)wk_min_i64((int64_t)callee.text->size, 100),
                    callee.text->at);
    else
        wk_run_fail(r, "'%s' object is not callable", wk_kind_name(callee));
    wk_run_leave(r);
    return v;
}

static wk_value filtered(wk_run *r, wk_frame *f, const wk_node *n, wk_value self)
{
    wk_args a = arguments(r, f, n->list);
    r->line = n->line;
    if ((n->builtin->places & WK_AS_TEXT) && wk_ok())
        self = wk_value_str(r, self);
    return wk_ok() ? n->builtin->fn(r, self, &a) : self;
}

static wk_value compare(wk_run *r, wk_frame *f, const wk_node *n)
{
    wk_value a = eval(r, f, n->a);
    bool     good = true;
    for (const wk_node *x = n->list; x && good && wk_ok(); x = x->next) {
        wk_value b = eval(r, f, x->b);
        int      op = x->op;
        r->line = n->line;
        if (!wk_ok())
            break;
        if (op == WK_OP_EQ || op == WK_OP_NE)
            good = wk_values_equal(r, a, b) == (op == WK_OP_EQ);
        else if (op == WK_OP_IN || op == WK_OP_NOT_IN)
            good = wk_value_in(r, a, b) == (op == WK_OP_IN);
        else {
            int order = wk_values_order(r, a, b);
            good = op == '<'        ? order < 0
                   : op == '>'      ? order > 0
                   : op == WK_OP_LE ? order <= 0
                                    : order >= 0;
        }
        a = b;
    }
    return wk_value_truth(good);
}

static wk_value unary(wk_run *r, int op, wk_value v)
{
    double x;
    if (op == WK_OP_NOT)
        return wk_value_truth(!wk_is_true(v));
    if (wk_ok() && !wk_as_number(v, &x))
        return wk_run_fail(r, "operator %c of '%s'", op, wk_kind_name(v));
    return wk_value_binary(r, '*', v, wk_value_int(op == '-' ? -1 : 1));
}

static wk_value make(wk_run *r, wk_frame *f, const wk_node *n)
{
    bool     dict = n->kind == WK_N_DICT;
    wk_value v = dict ? wk_dict_new(r) : wk_list_new(r, 0, n->flag ? WK_TUPLE : WK_PLAIN_LIST);
    for (const wk_node *x = n->list; x && wk_ok(); x = x->next) {
        wk_value item = eval(r, f, x);
        if (!dict)
            wk_list_add(r, v.list, item);
        else if (wk_ok())
            x = x->next, wk_dict_put(r, v.dict, item, eval(r, f, x));
    }
    return v;
}

static wk_value slice(wk_run *r, wk_frame *f, const wk_node *n, wk_value v)
{
    wk_value part[3] = { eval(r, f, n->list), eval(r, f, n->list->next),
                         eval(r, f, n->list->next->next) };
    return wk_ok() ? wk_value_slice(r, v, part) : v;
}

static wk_value eval_now(wk_run *r, wk_frame *f, const wk_node *n)
{
    wk_value v = n->a && n->kind != WK_N_IF_ELSE && n->kind != WK_N_COMPARE ? eval(r, f, n->a)
                                                                            : wk_value_none();
    wk_value b;
    if (!wk_ok())
        return v;
    r->line = n->line;
    switch (n->kind) {
    case WK_N_CONST:
        return n->value;
    case WK_N_NAME:
        return get(r, f, n->name);
    case WK_N_LIST:
    case WK_N_DICT:
        return make(r, f, n);
    case WK_N_ATTR:
        return wk_value_attr(r, v, (wk_value){ .kind = WK_TEXT, .text = n->name });
    case WK_N_ITEM:
        b = eval(r, f, n->b);
        return wk_ok() ? wk_value_item(r, v, b) : b;
    case WK_N_SLICE:
        return slice(r, f, n, v);
    case WK_N_CALL: {
        wk_args a = arguments(r, f, n->list);
        r->line = n->line;
        return wk_ok() ? wk_run_call(r, v, &a) : v;
    }
    case WK_N_FILTER:
        return filtered(r, f, n, v);
    case WK_N_TEST:
        v = filtered(r, f, n, v);
        return wk_value_truth(wk_is_true(v) != n->flag);
    case WK_N_UNARY:
        return unary(r, n->op, v);
    case WK_N_BINARY:
        if (n->op == WK_OP_AND || n->op == WK_OP_OR)
            return wk_is_true(v) == (n->op == WK_OP_OR) ? v : eval(r, f, n->b);
        b = eval(r, f, n->b);
        r->line = n->line;
        return wk_ok() ? wk_value_binary(r, n->op, v, b) : b;
    case WK_N_COMPARE:
        return compare(r, f, n);
    default: /* WK_N_IF_ELSE */
        b = eval(r, f, n->b);
        return wk_is_true(b) ? eval(r, f, n->a) : n->c ? eval(r, f, n->c) : wk_value_missing(NULL);
    }
}

static wk_value eval(wk_run *r, wk_frame *f, const wk_node *n)
{
    wk_value v = wk_value_missing(NULL);
    if (wk_run_enter(r)) {
        v = eval_now(r, f, n);
        wk_run_leave(r);
    }
    return v;
}

/* ---- Statements --------------------------------------------------------- */

/* Names, tuples of them, and attributes of namespaces. */
static bool assign(wk_run *r, wk_frame *f, const wk_node *target, wk_value v)
{
    if (!wk_ok())
        return false;
    if (target->kind == WK_N_NAME)
        return set(r, f, target->name, v);
    if (target->kind == WK_N_ATTR) {
        wk_value space = eval(r, f, target->a);
        if (wk_ok() && (space.kind != WK_DICT || !space.dict->namespace_))
            wk_run_fail(r, "cannot assign attribute on non-namespace object");
        return wk_ok() &&
               wk_dict_put(r, space.dict, (wk_value){ .kind = WK_TEXT, .text = target->name }, v);
    }
    const wk_list *l = wk_value_items(r, v);
    size_t         i = 0;
    for (const wk_node *x = target->list; x && l; x = x->next, i++)
        if (i < l->count)
            assign(r, f, x, l->at[i]);
    if (l && i != l->count)
        wk_run_fail(r, "%zu values to unpack, not %zu", l->count, i);
    return wk_ok();
}

static wk_frame *frame_new(wk_run *r, wk_frame *up)
{
    wk_frame *f = wk_arena_take(&r->arena, sizeof *f);
    if (f)
        f->up = up;
    return f;
}

/* The elements that pass the condition of a loop. */
static const wk_list *chosen(wk_run *r, wk_frame *f, const wk_node *n, const wk_list *all)
{
    wk_value l = wk_list_new(r, 0, WK_PLAIN_LIST);
    for (size_t i = 0; wk_ok() && i < all->count; i++) {
        wk_frame *own = frame_new(r, f);
        if (own && assign(r, own, n->a, all->at[i]) && wk_is_true(eval(r, own, n->c)))
            wk_list_add(r, l.list, all->at[i]);
    }
    return wk_ok() ? l.list : NULL;
}

static bool run_for(wk_run *r, wk_frame *f, const wk_node *n)
{
    wk_value       in = eval(r, f, n->b);
    const wk_list *l = wk_ok() ? wk_value_items(r, in) : NULL;
    if (l && n->c)
        l = chosen(r, f, n, l);
    if (l && !l->count)
        return run(r, f, n->d);
    struct wk_loop *loop = l ? wk_arena_take(&r->arena, sizeof *loop) : NULL;
    if (!loop)
        return false;
    loop->list = l;
    for (size_t i = 0; i < l->count && wk_run_spend(r, 1); i++) {
        wk_frame *own = frame_new(r, f); /* what is set in a loop stays in its round */
        loop->at = i;
        if (own)
            set(r, own, r->t->loop, (wk_value){ .kind = WK_LOOP, .loop = loop });
        if (own && assign(r, own, n->a, l->at[i]))
            run(r, own, n->list);
        int leave = r->leave;
        r->leave = 0;
        if (leave == WK_N_BREAK)
            break;
    }
    return wk_ok();
}

static bool run_set(wk_run *r, wk_frame *f, const wk_node *n)
{
    wk_value v;
    if (n->flag) { /* a block */
        wk_frame *own = frame_new(r, f);
        v = own ? capture(r, own, n->list) : wk_value_missing(NULL);
        for (const wk_node *x = n->b; x && wk_ok(); x = x->next)
            v = filtered(r, f, x, v);
    } else {
        v = eval(r, f, n->b);
    }
    return assign(r, f, n->a, v);
}

static bool run_with(wk_run *r, wk_frame *f, const wk_node *n)
{
    wk_frame *own = frame_new(r, f);
    for (const wk_node *x = n->b; own && x && wk_ok(); x = x->next)
        assign(r, own, x->a, eval(r, f, x->b));
    return own && wk_ok() && run(r, own, n->list);
}

static bool run_one(wk_run *r, wk_frame *f, const wk_node *n)
{
    wk_value         v;
    struct wk_macro *m;
    r->line = n->line;
    switch (n->kind) {
    case WK_N_OUTPUT:
        v = eval(r, f, n->a);
        if (wk_ok())
            wk_out_value(r, r->out, v);
        break;
    case WK_N_IF:
        v = n->a ? eval(r, f, n->a) : wk_value_truth(true);
        if (wk_ok())
            run(r, f, wk_is_true(v) ? n->list : n->c);
        break;
    case WK_N_FOR:
        return run_for(r, f, n);
    case WK_N_SET:
        return run_set(r, f, n);
    case WK_N_MACRO:
        m = wk_arena_take(&r->arena, sizeof *m);
        if (m) {
            *m = (struct wk_macro){ n, f };
            set(r, f, n->name, (wk_value){ .kind = WK_MACRO, .macro = m });
        }
        break;
    case WK_N_FILTERED: {
        wk_frame *own = frame_new(r, f);
        v = own ? capture(r, own, n->list) : wk_value_missing(NULL);
        for (const wk_node *x = n->b; x && wk_ok(); x = x->next)
            v = filtered(r, f, x, v);
        if (wk_ok())
            wk_out_value(r, r->out, v);
    } break;
    case WK_N_WITH:
        return run_with(r, f, n);
    case WK_N_BLOCK: {
        wk_frame *own = frame_new(r, f);
        return own && run(r, own, n->list);
    }
    default:
        r->leave = n->kind;
    }
    return wk_ok();
}

static bool run(wk_run *r, wk_frame *f, const wk_node *list)
{
    for (const wk_node *n = list; n && !r->leave && wk_run_enter(r); n = n->next) {
        run_one(r, f, n);
        wk_run_leave(r);
    }
    return wk_ok();
}

/* ---- Variables ---------------------------------------------------------- */

typedef struct {
    wk_run  *r;
    wk_json *j;
    size_t   size;                   /* no string is longer */
    uint8_t *all[WK_ANSWERED_2 + 1]; /* an origin, so many times */
} reader;

static const uint8_t *origins(reader *d, int origin)
{
    if (origin && !d->all[origin]) {
        d->all[origin] = wk_arena_take(&d->r->arena, d->size);
        if (d->all[origin])
            memset(d->all[origin], origin, d->size);
    }
    return origin ? d->all[origin] : NULL;
}

static wk_value read_text(reader *d, wk_str s, int origin)
{
    const uint8_t *from = origins(d, origin);
    bool           lasts = s.at >= d->j->start && s.at <= d->j->end;
    char          *copy = lasts || !wk_ok() ? NULL : wk_arena_take(&d->r->arena, s.size + 1);
    if (copy)
        memcpy(copy, s.at, s.size);
    return wk_value_text(d->r, copy ? copy : s.at, s.size, from);
}

static wk_value read_number(wk_json *j)
{
    const char *p = j->at;
    size_t      n = 0; /* wk_json_peek() stepped over white space */
    while (p + n < j->end && ((p[n] >= '0' && p[n] <= '9') || p[n] == '-'))
        n++;
    bool real = n > 18 || (p + n < j->end && strchr(".eE", p[n]) && p[n]);
    return real ? wk_value_real(wk_json_number(j)) : wk_value_int(wk_json_int(j));
}

static wk_value read_value(reader *d, int origin)
{
    wk_json *j = d->j;
    wk_str   key;
    wk_value v = wk_value_none();
    switch (wk_json_peek(j)) {
    case WK_JSON_OBJECT:
        v = wk_dict_new(d->r);
        for (wk_json_object(j); wk_json_key(j, &key);) {
            wk_value name = read_text(d, key, origin);
            wk_dict_put(d->r, v.dict, name, read_value(d, origin));
        }
        break;
    case WK_JSON_ARRAY:
        v = wk_list_new(d->r, 0, WK_PLAIN_LIST);
        for (wk_json_array(j); wk_json_item(j);)
            wk_list_add(d->r, v.list, read_value(d, origin));
        break;
    case WK_JSON_STRING:
        return read_text(d, wk_json_string(j), origin);
    case WK_JSON_NUMBER:
        return read_number(j);
    case WK_JSON_BOOL:
        return wk_value_truth(wk_json_bool(j));
    default:
        if (!wk_json_null(j))
            wk_json_fail(j, "expected a value");
    }
    return v;
}

/* What an assistant said is its own. */
static void give_origin(reader *d, wk_value v, int origin)
{
    size_t count = v.kind == WK_DICT ? 2 * v.dict->count : v.kind == WK_LIST ? v.list->count : 0;
    for (size_t i = 0; i < count && wk_ok(); i++)
        give_origin(d, v.kind == WK_DICT ? v.dict->at[i] : v.list->at[i], origin);
    if (v.kind == WK_TEXT)
        ((wk_text *)v.text)->origin = origins(d, origin);
}

static void read_messages(reader *d, wk_value v)
{
    bool second = false;
    for (size_t i = 0; v.kind == WK_LIST && i < v.list->count && wk_ok(); i++) {
        wk_value  m = v.list->at[i];
        wk_value *role = m.kind == WK_DICT ? wk_dict_find(d->r, m.dict, "role") : NULL;
        if (!role || role->kind != WK_TEXT ||
            !wk_str_is((wk_str){ role->text->at, role->text->size }, "assistant"))
            continue;
        give_origin(d, m, second ? WK_ANSWERED_2 : WK_ANSWERED);
        second = !second;
        give_origin(d, *role, WK_WRITTEN); /* a template may print it: it is no answer */
    }
}

static wk_value read_variables(reader *d)
{
    wk_str   key;
    wk_value v = wk_dict_new(d->r);
    for (wk_json_object(d->j); wk_json_key(d->j, &key);) {
        bool     ours = wk_str_ends(key, "_token");
        bool     messages = wk_str_is(key, "messages");
        wk_value name = read_text(d, key, WK_WRITTEN);
        wk_value x = read_value(d, ours ? 0 : WK_WRITTEN);
        if (messages && wk_ok())
            read_messages(d, x);
        wk_dict_put(d->r, v.dict, name, x);
    }
    return v;
}

/* ---- Templates ---------------------------------------------------------- */

wk_template *wk_template_parse(const char *name, const char *text, size_t size)
{
    wk_template *t = wk_ok() ? wk_alloc(sizeof *t) : NULL;
    if (!t)
        return NULL;
    t->name = wk_str_copy(wk_str_of(name ? name : "template"));
    t->source = wk_str_copy((wk_str){ text, size });
    if (wk_ok() && !wk_utf8_valid(text, size))
        wk_fail(WK_ERR_FORMAT, "%s: not UTF-8 text", t->name);
    if (wk_ok())
        t->body = wk_template_nodes(t, size);
    if (wk_ok())
        return t;
    wk_template_free(t);
    return NULL;
}

void wk_template_free(wk_template *t)
{
    if (!t)
        return;
    wk_arena_free(&t->arena);
    wk_free(t->source);
    wk_free(t->name);
    wk_free(t);
}

/* Text and origins, one behind the other in one block that is the caller's. */
static char *result(wk_run *r, const wk_template_args *a)
{
    size_t n = r->out->size;
    char  *text = wk_ok() ? malloc(2 * n + 2) : NULL;
    if (!text) {
        if (wk_ok())
            wk_fail(WK_ERR_MEMORY, "%s: out of memory", r->t->name);
        return NULL;
    }
    if (n) {
        memcpy(text, r->out->at, n);
        memcpy(text + n + 1, r->out->at + r->out->room, n);
    }
    text[n] = text[2 * n + 1] = '\0';
    if (a->length)
        *a->length = n;
    if (a->origins)
        *a->origins = (const uint8_t *)text + n + 1;
    return text;
}

char *wk_template_render_with(const wk_template_args *a)
{
    if (wk_ok() && (!a->template_ || (!a->json && a->size)))
        wk_fail(WK_ERR_ARGUMENT, "render: the template or its variables are NULL");
    if (!wk_ok())
        return NULL;
    const char *json = a->json ? a->json : "{}";
    wk_json     j;
    wk_out      out = { 0 };
    wk_frame    frame = { 0 };
    size_t      size = a->json && a->size ? a->size : strlen(json);
    wk_run r = { .t = a->template_, .steps = MOST_STEPS, .line = 1, .out = &out, .now = a->now };
    reader d = { &r, &j, size + 1, { 0 } };
    r.arena.limit = MOST_BYTES + 32 * size;
    if (wk_json_open(&j, "variables", json, size)) {
        wk_value v = read_variables(&d);
        r.variables = wk_ok() ? v.dict : NULL;
    }
    if (!wk_json_close(&j))
        r.variables = NULL;
    wk_context("%s", r.t->name);
    if (r.variables)
        run(&r, &frame, r.t->body);
    if (wk_error() == WK_ERR_MEMORY)
        wk_context("%s:%d", r.t->name, r.line);
    char *text = result(&r, a);
    if (!wk_ok())
        free(text);
    wk_arena_free(&r.arena);
    return wk_ok() ? text : NULL;
}
