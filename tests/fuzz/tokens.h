// SPDX-License-Identifier: MIT OR Apache-2.0
/* tokens.h - what any tokenizer must be able to do, whatever it was read from. */
#ifndef FUZZ_TOKENS_H
#define FUZZ_TOKENS_H

#include "base/base.h"
#include <wick/wick.h>

#include <stdlib.h>

static void check(bool good)
{
    if (!good)
        abort();
}

static void round_trip(const wk_tokenizer *t, const char *text, size_t size, bool plain,
                       int32_t below)
{
    wk_tokens ids = { 0 };
    wk_encode(&ids, t, text, size, .plain = plain);
    wk_clear(); /* an unknown word without an unk token is an error */
    for (size_t i = 0; i < ids.count; i++)
        check(ids.id[i] >= 0 && ids.id[i] < below);
    char           *whole = wk_decode(t, ids.id, ids.count, true);
    wk_detokenizer *d = wk_detokenizer_new(t, true);
    wk_buf          parts = { 0 };
    for (size_t i = 0; i < ids.count; i++) {
        const char *part = wk_detokenizer_push(d, ids.id[i]);
        check(!part || wk_utf8_valid(part, strlen(part)));
        wk_buf_str(&parts, wk_str_of(part));
    }
    wk_buf_str(&parts, wk_str_of(wk_detokenizer_end(d)));
    if (wk_ok())
        check(whole && wk_str_is(wk_buf_view(&parts), whole));
    wk_clear();
    free(whole);
    wk_detokenizer_free(d);
    wk_buf_free(&parts);
    wk_tokens_free(&ids);
}

/* Some text, and the first bytes of what the tokenizer was made of; then its pieces.
 * All ids are below a number. */
static void use(const wk_tokenizer *t, const uint8_t *data, size_t size, int32_t below)
{
    static const char text[] = " Hello, w\xC3\xB6rld's 1234  \n\n<s>\xF0\x9F\x98\x80 \xFF\xC3 "
                               "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    round_trip(t, text, sizeof text - 1, false, below);
    round_trip(t, (const char *)data, size < 400 ? size : 400, true, below);
    round_trip(t, (const char *)data, size < 400 ? size : 400, false, below);
    for (int32_t id = -1; id <= wk_tokenizer_size(t) && id < 300; id++) {
        const char *piece = wk_tokenizer_piece(t, id);
        if (piece)
            wk_tokenizer_find(t, piece);
    }
}

#endif
