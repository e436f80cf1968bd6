// SPDX-License-Identifier: MIT OR Apache-2.0
/* Any bytes as a GGUF file: an error, or values and tensors that can be read to their end. */
#include <wick/wick.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char path[64];
    if (!*path)
        snprintf(path, sizeof path, "/dev/shm/wick-fuzz-%d.gguf", (int)getpid());
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f))
        abort();
    wk_archive *a = wk_archive_open(path);
    if (!a && (wk_ok() || !strstr(wk_message(), path)))
        abort(); /* the error must name the file */
    const char      *key;
    volatile uint8_t read = 0;
    for (int i = 0; (key = wk_archive_metadata_key(a, i)); i++)
        for (int64_t k = 0, n = wk_archive_meta(a, key, 0).count; k < n; k++) {
            wk_meta m = wk_archive_meta(a, key, k);
            for (size_t c = 0; c < m.size; c++)
                read = (uint8_t)(read + (uint8_t)m.text[c]);
        }
    for (int i = 0; i < wk_archive_count(a); i++) {
        wk_scope   s = wk_mark();
        wk_tensor *x = wk_archive_get(a, wk_archive_name(a, i));
        wk_sum(x);
        wk_clear();
        wk_sweep(s);
    }
    wk_clear();
    wk_archive_free(a);
    unlink(path);
    return 0;
}
