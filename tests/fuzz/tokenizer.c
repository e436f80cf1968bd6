// SPDX-License-Identifier: MIT OR Apache-2.0
/* Any bytes as a tokenizer.json: an error that names the file, or a tokenizer that can
 * encode what it is given and decode what it made, at once and token by token. */
#include "base/base.h"
#include <wick/wick.h>

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        abort();
}

static void round_trip(const wk_tokenizer *t, const char *text, size_t size)
{
    wk_tokens ids = { 0 };
    wk_encode(&ids, t, text, size);
    wk_clear(); /* an unknown word without an unk token is an error */
    for (size_t i = 0; i < ids.count; i++)
        check(ids.id[i] >= 0); /* a post-processor may add ids that are not in the vocabulary */
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = " Hello, w\xC3\xB6rld's 1234  \n\n<s>\xF0\x9F\x98\x80 \xFF\xC3 "
                               "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    wk_set_log_level(0);
    wk_tokenizer *t = wk_tokenizer_parse("fuzz.json", (const char *)data, size);
    check(t ? wk_ok() : !wk_ok() && strstr(wk_message(), "fuzz.json"));
    wk_clear();
    if (t) {
        round_trip(t, text, sizeof text - 1);
        round_trip(t, (const char *)data, size < 400 ? size : 400);
        for (int32_t id = -1; id <= wk_tokenizer_size(t) && id < 300; id++) {
            const char *piece = wk_tokenizer_piece(t, id);
            if (piece)
                wk_tokenizer_find(t, piece);
        }
    }
    wk_tokenizer_free(t);
    check(wk_live_allocs() == 0);
    return 0;
}
