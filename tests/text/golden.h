// SPDX-License-Identifier: MIT OR Apache-2.0
/* golden.h - reading tests/golden/tokenizer, which tests/golden/make_tokenizer.py made. */
#ifndef TEST_TEXT_GOLDEN_H
#define TEST_TEXT_GOLDEN_H

#include "../src/text/text.h"

typedef struct { /* growing list of texts */
    wk_str *at;  /* each terminated, too */
    size_t  count, room;
} strings;

wk_file *golden_open(const char *name, wk_json *j);
void     golden_close(wk_file *f, wk_json *j);

void   strings_read(strings *s, wk_json *j);
void   strings_free(strings *s);
char  *json_text(wk_json *j); /* the text of the value that comes next; wk_free() it */
size_t ints_read(wk_json *j, int32_t *out, size_t room); /* null: SIZE_MAX */

wk_tokenizer *parse_text(const char *format, ...) WK_PRINTF(1, 2);
/* The pending error is that an optional library is not in this build: clears it. */
bool          golden_lacks_library(void);

bool same_ids(const wk_tokens *tokens, const int32_t *ids, size_t count);

#endif
