// SPDX-License-Identifier: MIT OR Apache-2.0
/* Any bytes as a GGUF file with a vocabulary: an error that names the file, or a tokenizer that
 * can encode what it is given and decode what it made, at once and token by token.  Seeds are
 * in tests/golden/tokenizer/gguf. */
#include "tokens.h"

#include <stdio.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char path[64];
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
    if (t)
        use(t, data, size, wk_tokenizer_size(t));
    wk_tokenizer_free(t);
    check(wk_live_allocs() == 0);
    return 0;
}
