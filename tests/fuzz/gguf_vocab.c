// SPDX-License-Identifier: MIT OR Apache-2.0
/* Any bytes as a GGUF file with a vocabulary: an error that names the file, or a tokenizer that
 * can encode what it is given and decode what it made, at once and token by token.  Seeds are
 * in tests/golden/tokenizer/gguf. */
#include "base/base.h"
#include <wick/wick.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        abort();
}

static void round_trip(const wk_tokenizer *t, const char *text, size_t size, bool plain)
{
    wk_tokens ids = { 0 };
    wk_encode(&ids, t, text, size, .plain = plain);
    wk_clear(); /* what is in no piece can be an error */
    for (size_t i = 0; i < ids.count; i++)
        check(ids.id[i] >= 0 && ids.id[i] < wk_tokenizer_size(t));
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
                               "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    static char       path[64];
    if (!*path)
        snprintf(path, sizeof path, "/dev/shm/wick-fuzz-vocab-%d.gguf", (int)getpid());
    wk_set_log_level(0);
    FILE *f = fopen(path, "wb");
    check(f && fwrite(data, 1, size, f) == size && !fclose(f));
    wk_archive   *a = wk_archive_open(path);
    wk_tokenizer *t = wk_tokenizer_from_archive(a);
    wk_archive_free(a); /* the tokenizer keeps nothing of it */
    unlink(path);
    check(t ? wk_ok() : !wk_ok() && strstr(wk_message(), path));
    wk_clear();
    if (t) {
        round_trip(t, text, sizeof text - 1, false);
        round_trip(t, (const char *)data, size < 400 ? size : 400, true);
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
