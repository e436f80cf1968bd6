// SPDX-License-Identifier: MIT OR Apache-2.0
/* template.h - chat templates, the subset of Jinja that models use, as its files share it.
 *
 * A template is parsed once into nodes (template_parse.c).  Rendering walks them
 * (template.c) over values (template_value.c); filters, tests, methods and functions are
 * rows of one table (template_builtins.c).  All values of a rendering lie in one arena,
 * which is freed at its end.  Every byte of a string has an origin, which goes with it
 * through slices, joins and the rest: so it is known which bytes of the output the template
 * wrote, and which came from a message, whatever the template did to it. */
#ifndef WK_SRC_TEMPLATE_H
#define WK_SRC_TEMPLATE_H

#include "text.h"

/* ---- Memory ------------------------------------------------------------- */

typedef struct {
    struct wk_arena_block *block;
    size_t                 used, limit; /* bytes; 0: no limit */
} wk_arena;

void *wk_arena_take(wk_arena *a, size_t bytes); /* zeroed */
void  wk_arena_free(wk_arena *a);

/* ---- Values ------------------------------------------------------------- */

typedef struct wk_run   wk_run;
typedef struct wk_value wk_value;

typedef enum {
    WK_UNDEFINED,
    WK_NONE,
    WK_TRUTH,
    WK_INTEGER,
    WK_REAL,
    WK_TEXT,
    WK_LIST,
    WK_DICT,
    WK_LOOP,
    WK_MACRO,
    WK_METHOD, /* a row of the table of builtins, with what it was taken from */
} wk_kind;

typedef struct {
    const char    *at; /* UTF-8 */
    size_t         size;
    const uint8_t *origin; /* of each byte, wk_origin; NULL: all are the template's */
} wk_text;

typedef enum { WK_PLAIN_LIST, WK_TUPLE, WK_LAZY } wk_list_form; /* lazy: Python's generators */

typedef struct {
    wk_value    *at;
    size_t       count, room;
    wk_list_form form;
} wk_list;

typedef struct {  /* keeps the order of its keys */
    wk_value *at; /* key, value, key, value ... */
    size_t    count, room;
    uint32_t *slot; /* a hash table of places + 1, once there are several */
    size_t    slots;
    bool      namespace_;
} wk_dict;

struct wk_value {
    wk_kind kind;
    union {
        bool                    truth;
        int64_t                 integer;
        double                  real;
        const wk_text          *text; /* undefined: what is not there, or NULL */
        wk_list                *list;
        wk_dict                *dict;
        struct wk_loop         *loop;
        const struct wk_macro  *macro;
        const struct wk_method *method;
    };
};

struct wk_loop {
    const wk_list *list;
    size_t         at;
    wk_value       changed;
};

typedef struct { /* what a call is given */
    wk_value *at;
    size_t    count;
    wk_dict  *named; /* NULL: nothing */
} wk_args;

typedef wk_value (*wk_builtin_fn)(wk_run *r, wk_value self, const wk_args *a);

enum { /* where a builtin is found */
       WK_FILTER = 1,
       WK_TEST = 2,
       WK_GLOBAL = 4,
       WK_OF_TEXT = 8, /* methods */
       WK_OF_LIST = 16,
       WK_OF_DICT = 32,
       WK_OF_LOOP = 64,
       WK_AS_TEXT = 128, /* self is made a string first */
};

typedef struct {
    const char   *name;
    unsigned      places;
    wk_builtin_fn fn;
} wk_builtin;

struct wk_method {
    const wk_builtin *builtin;
    wk_value          self;
    wk_text           separator; /* of a joiner */
    bool              used;
};

/* NULL: there is none of that name in these places. */
const wk_builtin *wk_builtin_find(wk_str name, unsigned places);
const wk_builtin *wk_builtin_in(const wk_builtin *of, size_t count, wk_str name, unsigned places);
const wk_builtin *wk_text_builtin_find(wk_str name, unsigned places); /* template_strings.c */

/* Argument number i, or that of a name (NULL: it has none); is undefined where there is none. */
wk_value wk_arg(wk_run *r, const wk_args *a, size_t i, const char *name);
bool     wk_arg_truth(wk_run *r, const wk_args *a, size_t i, const char *name);
int64_t  wk_arg_int(wk_run *r, const wk_args *a, size_t i, const char *name, int64_t otherwise);
/* A string, or otherwise; NULL is an error. */
const wk_text *wk_arg_text(wk_run *r, const wk_args *a, size_t i, const char *name,
                           const wk_text *otherwise);

enum { WK_CASE_LOWER, WK_CASE_UPPER, WK_CASE_CAPITAL, WK_CASE_TITLE, WK_CASE_WORDS };
wk_value wk_text_recase(wk_run *r, const wk_text *s, int how);
wk_value wk_text_trim(wk_run *r, wk_value self, const wk_args *a);

/* ---- Nodes -------------------------------------------------------------- */

typedef enum {
    WK_N_CONST, /* expressions */
    WK_N_NAME,
    WK_N_LIST,
    WK_N_DICT, /* list: key, value, ... */
    WK_N_ATTR, /* a.name */
    WK_N_ITEM,
    WK_N_SLICE, /* list: three, of which any may be NULL */
    WK_N_CALL,
    WK_N_FILTER,
    WK_N_TEST,
    WK_N_ARG, /* of a call: a, with a name or stars */
    WK_N_UNARY,
    WK_N_BINARY,
    WK_N_COMPARE, /* a, then list of WK_N_BINARY with b */
    WK_N_IF_ELSE, /* a if b else c */

    WK_N_OUTPUT, /* statements */
    WK_N_IF,     /* a, list, c */
    WK_N_FOR,    /* a in b if c: list, d */
    WK_N_SET,    /* a = b, or with flag a = list through filters b */
    WK_N_MACRO,  /* a: arguments, list */
    WK_N_BLOCK,
    WK_N_FILTERED, /* list through filters b */
    WK_N_WITH,     /* b: sets, list */
    WK_N_BREAK,
    WK_N_CONTINUE,
} wk_node_kind;

/* Operators, one character each. */
enum {
    WK_OP_EQ = 'E',
    WK_OP_NE = 'N',
    WK_OP_LE = 'l',
    WK_OP_GE = 'g',
    WK_OP_IN = 'i',
    WK_OP_NOT_IN = 'n',
    WK_OP_AND = 'a',
    WK_OP_OR = 'o',
    WK_OP_NOT = '!',
    WK_OP_FLOOR = 'f',
    WK_OP_POWER = 'p',
};

typedef struct wk_node wk_node;
struct wk_node {
    uint8_t           kind, op;
    bool              flag; /* a tuple; a test that is negated */
    int32_t           line;
    wk_node          *a, *b, *c, *d, *list, *next;
    const wk_text    *name; /* equal names are one pointer */
    const wk_builtin *builtin;
    wk_value          value;
};

struct wk_template {
    char          *name, *source;
    wk_arena       arena;
    wk_node       *body;
    const wk_text *loop; /* the name "loop" */
};

wk_node *wk_template_nodes(wk_template *t, size_t size); /* template_parse.c */

/* ---- Rendering ---------------------------------------------------------- */

typedef struct wk_frame { /* of names that are set */
    struct wk_var   *var;
    struct wk_frame *up;
} wk_frame;

struct wk_run {
    const wk_template *t;
    wk_arena           arena;
    const wk_dict     *variables;
    struct wk_out     *out;
    int64_t            now;
    uint64_t           steps;
    int                depth, line;
    int                leave; /* WK_N_BREAK or WK_N_CONTINUE is on its way to the loop */
};

typedef struct wk_out { /* a string that grows: bytes, and their origins behind them */
    char  *at;
    size_t size, room;
    bool   origins; /* one is not 0 */
} wk_out;

wk_value wk_run_fail(wk_run *r, const char *format, ...) WK_PRINTF(2, 3); /* is undefined */
bool     wk_run_spend(wk_run *r, uint64_t steps);
bool     wk_run_enter(wk_run *r); /* one level deeper, for what calls itself */
void     wk_run_leave(wk_run *r);
wk_value wk_run_call(wk_run *r, wk_value callee, const wk_args *a);

void     wk_out_add(wk_run *r, wk_out *o, const char *at, size_t size, const uint8_t *origin);
void     wk_out_str(wk_run *r, wk_out *o, const char *s);
void     wk_out_text(wk_run *r, wk_out *o, const wk_text *s);
void     wk_out_value(wk_run *r, wk_out *o, wk_value v); /* as str() has it */
wk_value wk_out_end(wk_run *r, wk_out *o);

/* ---- Working with values (template_value.c) ------------------------------ */

wk_value  wk_value_truth(bool x);
wk_value  wk_value_int(int64_t x);
wk_value  wk_value_real(double x);
wk_value  wk_value_none(void);
wk_value  wk_value_text(wk_run *r, const char *at, size_t size, const uint8_t *origin);
wk_value  wk_value_part(wk_run *r, const wk_text *s, size_t from, size_t to);
wk_value  wk_value_missing(const wk_text *name);
wk_value  wk_list_new(wk_run *r, size_t room, wk_list_form form);
wk_value  wk_dict_new(wk_run *r);
bool      wk_list_add(wk_run *r, wk_list *l, wk_value x);
bool      wk_dict_put(wk_run *r, wk_dict *d, wk_value key, wk_value x);
/* NULL: it is not there. */
wk_value *wk_dict_get(wk_run *r, const wk_dict *d, wk_value key);
wk_value *wk_dict_find(wk_run *r, const wk_dict *d, const char *key);

const char    *wk_kind_name(wk_value v); /* "str" */
bool           wk_is_true(wk_value v);
bool           wk_as_number(wk_value v, double *x); /* truths are numbers, too */
bool           wk_values_equal(wk_run *r, wk_value a, wk_value b);
int            wk_values_order(wk_run *r, wk_value a, wk_value b); /* -1, 0, 1; or an error */
wk_value       wk_value_str(wk_run *r, wk_value v);                /* as str() has it */
size_t         wk_text_chars(const wk_text *s);
const wk_list *wk_value_items(wk_run *r, wk_value v); /* what for goes over, or an error */
wk_value       wk_value_attr(wk_run *r, wk_value v, wk_value name);
wk_value       wk_value_item(wk_run *r, wk_value v, wk_value key);
wk_value       wk_value_slice(wk_run *r, wk_value v, const wk_value part[3]);
wk_value       wk_value_binary(wk_run *r, int op, wk_value a, wk_value b);
bool           wk_value_in(wk_run *r, wk_value x, wk_value in);

typedef struct {
    int64_t indent; /* -1: one line */
    bool    ascii, sort;
    wk_text comma, colon;
} wk_json_style;

void     wk_value_json(wk_run *r, wk_out *o, wk_value v, const wk_json_style *style, int depth);
wk_value wk_value_read(wk_run *r, wk_json *j, int origin);
wk_value wk_value_format(wk_run *r, const wk_text *format, wk_value values); /* "%s" % x */

#endif
