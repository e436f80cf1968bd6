// SPDX-License-Identifier: MIT OR Apache-2.0
/* template_scan.h - what the parser of chat templates reads from. */
#ifndef WK_SRC_TEMPLATE_SCAN_H
#define WK_SRC_TEMPLATE_SCAN_H

#include "template.h"

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
} wk_token;

typedef struct {
    wk_template *t;
    const char  *at, *end, *counted;
    int          line; /* of counted */
    bool         line_starts;
    int          depth, brackets, loops;
    wk_token     now;
    wk_map       names;
    wk_node    **named; /* by their place in names: a node that has the name */
    size_t       named_room;
} wk_parser;

void *wk_parser_fail(wk_parser *p, const char *format, ...) WK_PRINTF(2, 3); /* is NULL */

/* The text up to the next tag that is not a comment; *kind is its second character, 0 at the
 * end.  Before a raw block *kind is 'r': then comes its content. */
wk_str wk_parser_data(wk_parser *p, char *kind);
wk_str wk_parser_raw(wk_parser *p);

void           wk_parser_next(wk_parser *p);    /* the next token of a tag is now */
int64_t        wk_parser_integer(wk_parser *p); /* the value of the token that is now */
double         wk_parser_real(wk_parser *p);
const wk_text *wk_parser_string(wk_parser *p); /* of all strings that come now */

const wk_text *wk_parser_text(wk_parser *p, const char *at, size_t size);
const char    *wk_parser_skip(const char *at, const char *end); /* over white space */
size_t         wk_parser_name_size(const char *at, const char *end);

#endif
