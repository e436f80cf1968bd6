// SPDX-License-Identifier: MIT OR Apache-2.0
/* chat.h - tokens of what a chat template made, for the models. */
#ifndef WK_SRC_TEXT_CHAT_H
#define WK_SRC_TEXT_CHAT_H

#include "../base/base.h"

#include <wick/text.h>

/* Append the tokens of what a chat template made.  Where a byte has an origin that is not the
 * template (wk_origin), no special token is made of it; and of what people wrote no added
 * token that stands in control, the text of the template.  first: it begins the input. */
typedef struct {
    wk_str         text;
    const uint8_t *origin; /* of each byte */
    const char    *control;
    bool           first;
} wk_chat_text;

bool wk_encode_chat(wk_tokens *out, const wk_tokenizer *t, const wk_chat_text *chat);

/* Where the first special token in text ends, at or after from; SIZE_MAX: there is none. */
size_t wk_special_end(const wk_tokenizer *t, wk_str text, size_t from);

#endif
