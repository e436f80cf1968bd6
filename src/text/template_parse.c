// SPDX-License-Identifier: MIT OR Apache-2.0
/* template_parse.c - chat templates from tokens to nodes, by recursive descent. */
#include "template_scan.h"

#include <stdio.h>

enum { MOST_NESTED = 150 }; /* blocks and brackets in each other: they are parsed recursively */

static wk_node *node_new(wk_parser *p, int kind)
{
    wk_node *n = wk_arena_take(&p->t->arena, sizeof *n);
    if (!n)
        return wk_parser_fail(p, "out of memory");
    n->kind = (uint8_t)kind;
    n->line = p->now.line;
    return n;
}

static wk_node *const_new(wk_parser *p, wk_value v)
{
    wk_node *n = node_new(p, WK_N_CONST);
    if (n)
        n->value = v;
    return n;
}

/* The one text of a name. */
static const wk_text *name_of(wk_parser *p, wk_str s)
{
    int64_t at = (int64_t)p->names.count;
    if (wk_map_get(&p->names, s, &at))
        return p->named[at]->name;
    wk_node *n = node_new(p, WK_N_NAME);
    if (!n || !wk_reserve(&p->named, &p->named_room, (size_t)at + 1, sizeof *p->named) ||
        !wk_map_put(&p->names, s, at))
        return NULL;
    p->named[at] = n;
    return n->name = wk_parser_text(p, s.at, s.size);
}

/* ---- Tokens ------------------------------------------------------------- */

static bool is_name(const wk_parser *p, const char *word)
{
    return p->now.kind == T_NAME && wk_str_is(p->now.text, word);
}

static bool take_name(wk_parser *p, const char *word)
{
    bool there = is_name(p, word);
    if (there)
        wk_parser_next(p);
    return there;
}

static bool take(wk_parser *p, int kind)
{
    bool there = p->now.kind == kind;
    if (there)
        wk_parser_next(p);
    return there;
}

static void unexpected(wk_parser *p, const char *wanted)
{
    static const char *const ends[] = { "", "'%}'", "'}}'" };
    int                      kind = p->now.kind;
    if (kind == T_BLOCK_END || kind == T_PRINT_END)
        wk_parser_fail(p, "expected %s, not %s", wanted, ends[kind]);
    else
        wk_parser_fail(p, "expected %s, not '%.*s'", wanted,
                       (int)wk_min_i64((int64_t)p->now.text.size, 40), p->now.text.at);
}

static void expect(wk_parser *p, int kind, const char *what)
{
    if (!take(p, kind))
        unexpected(p, what);
}

static const wk_text *expect_name(wk_parser *p)
{
    if (p->now.kind != T_NAME)
        return unexpected(p, "a name"), NULL;
    const wk_text *name = name_of(p, p->now.text);
    wk_parser_next(p);
    return name;
}

/* ---- Expressions -------------------------------------------------------- */

static wk_node *expression(wk_parser *p);
static wk_node *binary(wk_parser *p, int level);
static wk_node *primary(wk_parser *p);
static wk_node *postfix(wk_parser *p, wk_node *n);

/* Append to a list whose last link is *end. */
static void append(wk_node ***end, wk_node *n)
{
    if (n) {
        **end = n;
        *end = &n->next;
    }
}

static bool deeper(wk_parser *p)
{
    if (++p->depth > MOST_NESTED)
        wk_parser_fail(p, "nested too deep");
    return wk_ok();
}

static bool at_tuple_end(const wk_parser *p)
{
    return p->now.kind == ')' || p->now.kind <= T_PRINT_END || is_name(p, "in") ||
           p->now.kind == '=';
}

/* One expression, or several with commas, which are a tuple. */
static wk_node *tuple(wk_parser *p, wk_node *(*element)(wk_parser *p), bool in_parentheses)
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

static wk_node *or_level(wk_parser *p) { return binary(p, 0); }

static wk_node *call_arguments(wk_parser *p)
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
            wk_parser_next(p);
        const char *after = wk_parser_skip(p->at, p->end);
        bool is_named = !n->op && p->now.kind == T_NAME && p->end - after > 1 && after[0] == '=' &&
                        after[1] != '=';
        if (is_named) {
            n->name = expect_name(p);
            wk_parser_next(p);
        } else if (named && !n->op) {
            wk_parser_fail(p, "a positional argument behind a named one");
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

static wk_node *slice(wk_parser *p, wk_node *of)
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

static wk_node *postfix(wk_parser *p, wk_node *n)
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
            wk_parser_next(p);
            bool index = p->now.kind == T_INTEGER;
            x = node_new(p, index ? WK_N_ITEM : WK_N_ATTR);
            if (x && index) {
                x->b = const_new(p, wk_value_int(wk_parser_integer(p)));
                wk_parser_next(p);
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

static wk_node *dict(wk_parser *p)
{
    wk_node *n = node_new(p, WK_N_DICT), **end = n ? &n->list : NULL;
    wk_parser_next(p);
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

static wk_node *list(wk_parser *p)
{
    wk_node *n = node_new(p, WK_N_LIST), **end = n ? &n->list : NULL;
    wk_parser_next(p);
    while (wk_ok() && p->now.kind != ']') {
        append(&end, expression(p));
        if (!take(p, ',') && p->now.kind != ']')
            unexpected(p, "',' or ']'");
    }
    expect(p, ']', "']'");
    return n;
}

static wk_node *name_or_word(wk_parser *p)
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

static wk_node *primary(wk_parser *p)
{
    wk_node *n = NULL;
    switch (p->now.kind) {
    case T_NAME:
        return name_or_word(p);
    case T_STRING:
        n = const_new(p, wk_value_none());
        if (n)
            n->value = (wk_value){ .kind = WK_TEXT, .text = wk_parser_string(p) };
        return wk_ok() ? n : NULL;
    case T_INTEGER:
        n = const_new(p, wk_value_int(wk_parser_integer(p)));
        wk_parser_next(p);
        return n;
    case T_REAL:
        n = const_new(p, wk_value_real(wk_parser_real(p)));
        wk_parser_next(p);
        return n;
    case '(':
        wk_parser_next(p);
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
static wk_node *filter(wk_parser *p, wk_node *of)
{
    wk_node *n = node_new(p, WK_N_FILTER);
    wk_str   name = p->now.text;
    if (!n || !expect_name(p))
        return NULL;
    n->a = of;
    n->builtin = wk_builtin_find(name, WK_FILTER);
    if (!n->builtin)
        return wk_parser_fail(p, "there is no filter '%.*s'",
                              (int)wk_min_i64((int64_t)name.size, 40), name.at);
    if (p->now.kind == '(')
        n->list = call_arguments(p);
    return n;
}

static wk_node *test(wk_parser *p, wk_node *of)
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
        return wk_parser_fail(p, "there is no test '%.*s'", (int)wk_min_i64((int64_t)name.size, 40),
                              name.at);
    int  kind = p->now.kind;
    bool word = is_name(p, "else") || is_name(p, "or") || is_name(p, "and");
    if (kind == '(') {
        n->list = call_arguments(p);
    } else if ((kind >= T_NAME && kind <= T_REAL && !word) || kind == '[' || kind == '{') {
        if (is_name(p, "is"))
            return wk_parser_fail(p, "tests cannot be chained with is");
        n->list = node_new(p, WK_N_ARG);
        if (n->list)
            n->list->a = postfix(p, primary(p));
    }
    return n;
}

static wk_node *unary(wk_parser *p, bool filters)
{
    wk_node *n = NULL;
    if (!deeper(p))
        return NULL;
    if (p->now.kind == '-' || p->now.kind == '+') {
        n = node_new(p, WK_N_UNARY);
        if (n) {
            n->op = (uint8_t)p->now.kind;
            wk_parser_next(p);
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
static int operator_of(wk_parser *p, int level)
{
    static const char *const of[UNARY] = {
        [COMPARE] = "<>ENlg", [SUM] = "+-", [JOIN] = "~", [PRODUCT] = "*/%f", [POWER] = "p"
    };
    int kind = p->now.kind;
    if (level == OR || level == AND)
        return take_name(p, level == OR ? "or" : "and") ? (level == OR ? WK_OP_OR : WK_OP_AND) : 0;
    if (of[level] && kind > T_REAL && strchr(of[level], kind))
        return wk_parser_next(p), kind;
    if (level == COMPARE && take_name(p, "in"))
        return WK_OP_IN;
    const char *after = wk_parser_skip(p->at, p->end);
    if (level == COMPARE && is_name(p, "not") && wk_parser_name_size(after, p->end) == 2 &&
        !memcmp(after, "in", 2))
        return wk_parser_next(p), wk_parser_next(p), WK_OP_NOT_IN;
    return 0;
}

static wk_node *binary(wk_parser *p, int level)
{
    if (level == UNARY)
        return unary(p, true);
    if (level == NOT && is_name(p, "not")) {
        wk_node *n = node_new(p, WK_N_UNARY);
        wk_parser_next(p);
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

static wk_node *expression(wk_parser *p)
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
static wk_node *target(wk_parser *p)
{
    if (take(p, '(')) {
        wk_node *n = deeper(p) ? tuple(p, target, true) : NULL;
        p->depth--;
        expect(p, ')', "')'");
        return n;
    }
    wk_node *n = name_or_word(p);
    if (n && n->kind != WK_N_NAME)
        return wk_parser_fail(p, "cannot assign to a word of the language");
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

static wk_node *body(wk_parser *p, const char *ends);

/* The end of a tag whose word was just seen. */
static void end_of_block(wk_parser *p)
{
    wk_parser_next(p);
    if (p->now.kind != T_BLOCK_END)
        unexpected(p, "'%}'");
}

static void block_for(wk_parser *p, wk_node *n)
{
    n->a = tuple(p, target, false);
    if (!take_name(p, "in"))
        unexpected(p, "'in'");
    n->b = wk_ok() ? tuple(p, or_level, false) : NULL;
    if (take_name(p, "if"))
        n->c = expression(p);
    if (is_name(p, "recursive"))
        wk_parser_fail(p, "recursive loops are not supported");
    p->loops++;
    n->list = body(p, "else endfor");
    p->loops--;
    if (is_name(p, "else")) {
        wk_parser_next(p);
        n->d = body(p, "endfor");
    }
}

static void block_if(wk_parser *p, wk_node *n)
{
    n->a = tuple(p, or_level, false);
    n->list = body(p, "elif else endif");
    while (wk_ok() && !is_name(p, "endif")) {
        bool     condition = is_name(p, "elif");
        wk_node *x = node_new(p, WK_N_IF);
        wk_parser_next(p);
        if (!x)
            break;
        x->a = condition ? tuple(p, or_level, false) : NULL;
        x->list = body(p, condition ? "elif else endif" : "endif");
        n->c = x;
        n = x;
    }
}

static wk_node *filters(wk_parser *p)
{
    wk_node *list_of = NULL, **end = &list_of;
    do
        append(&end, filter(p, NULL));
    while (wk_ok() && take(p, '|'));
    return list_of;
}

static void block_set(wk_parser *p, wk_node *n)
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

static void block_macro(wk_parser *p, wk_node *n)
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
            wk_parser_fail(p, "an argument without a default behind one that has it");
        append(&end, x);
        if (!take(p, ',') && p->now.kind != ')')
            unexpected(p, "',' or ')'");
    }
    expect(p, ')', "')'");
    p->loops = 0;
    n->list = body(p, "endmacro");
    p->loops = loops;
}

static void block_filter(wk_parser *p, wk_node *n)
{
    n->b = filters(p);
    n->list = body(p, "endfilter");
}

static void block_with(wk_parser *p, wk_node *n)
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

static void block_generation(wk_parser *p, wk_node *n) { n->list = body(p, "endgeneration"); }

static void block_leave(wk_parser *p, wk_node *n)
{
    (void)n;
    if (!p->loops)
        wk_parser_fail(p, "break or continue outside of a loop");
}

static wk_node *block(wk_parser *p)
{
    static const struct {
        const char *name;
        int         kind;
        void (*parse)(wk_parser *p, wk_node *n);
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
            wk_parser_next(p);
            if (!n || !wk_ok())
                return NULL;
            kinds[i].parse(p, n);
            if (kinds[i].ends || (n->kind == WK_N_SET && n->flag))
                end_of_block(p);
            else if (p->now.kind != T_BLOCK_END)
                unexpected(p, "'%}'");
            return n;
        }
    return wk_parser_fail(p, "unknown tag '%.*s'", (int)wk_min_i64((int64_t)name.size, 40),
                          name.at);
}

static bool is_one_of(const wk_parser *p, const char *words)
{
    wk_str s = p->now.text;
    for (const char *at = words; p->now.kind == T_NAME && (at = strstr(at, " ")); at++)
        if (!strncmp(at + 1, s.at, s.size) && (at[1 + s.size] == ' ' || !at[1 + s.size]))
            return true;
    return false;
}

static wk_node *output(wk_parser *p, wk_str text)
{
    wk_node *n = text.size ? node_new(p, WK_N_OUTPUT) : NULL;
    if (n)
        n->a = const_new(
            p, (wk_value){ .kind = WK_TEXT, .text = wk_parser_text(p, text.at, text.size) });
    return n;
}

/* Statements behind the tag that ends here, up to a tag with one of these words; that is then
 * the token that comes.  NULL: up to the end of the template. */
static wk_node *statements(wk_parser *p, const char *ends)
{
    wk_node *list_of = NULL, **end = &list_of;
    char     kind;
    while (wk_ok()) {
        append(&end, output(p, wk_parser_data(p, &kind)));
        if (!wk_ok() || (!kind && !ends))
            break;
        if (!kind)
            return wk_parser_fail(p, "the template ends, but it should go on with%s", ends);
        if (kind == 'r')
            append(&end, output(p, wk_parser_raw(p)));
        if (kind == 'r' || kind == '#')
            continue;
        wk_parser_next(p);
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

static wk_node *body(wk_parser *p, const char *ends)
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
    wk_parser p = { .t = t, .at = t->source, .counted = t->source, .line = 1, .line_starts = true };
    p.end = t->source + normalize(t->source, size);
    p.now.line = 1;
    t->loop = name_of(&p, WK_STR("loop"));
    wk_node *n = wk_ok() ? statements(&p, NULL) : NULL;
    wk_map_free(&p.names);
    wk_free(p.named);
    return n;
}
