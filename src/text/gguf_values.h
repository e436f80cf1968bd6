// SPDX-License-Identifier: MIT OR Apache-2.0
/* gguf_values.h - metadata of GGUF files: types of tokens; values to be written, and a tokenizer
 * as such, for converters of models. */
#ifndef WK_GGUF_VALUES_H
#define WK_GGUF_VALUES_H

#include "../base/base.h"

#include <wick/io.h>

enum { /* tokenizer.ggml.token_type */
       WK_TOKEN_NORMAL = 1,
       WK_TOKEN_UNKNOWN,
       WK_TOKEN_CONTROL,
       WK_TOKEN_USER_DEFINED,
       WK_TOKEN_UNUSED,
       WK_TOKEN_BYTE
};

/* Values of metadata, which own their keys and texts. */
typedef struct {
    wk_gguf_value *at;
    size_t         count, room;
} wk_values;

void wk_values_text(wk_values *v, const char *key, wk_str text);
void wk_values_int(wk_values *v, const char *key, const char *type, int64_t x);
void wk_values_number(wk_values *v, const char *key, double x);
void wk_values_free(wk_values *v);

/* tokenizer.ggml.*: what the tokenizer.json in folder says, of so many tokens; false: it cannot
 * be said that way, and nothing was added. */
bool wk_vocabulary_values(wk_values *v, const char *folder, int64_t vocab);

#endif
