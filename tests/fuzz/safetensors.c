// SPDX-License-Identifier: MIT OR Apache-2.0
/* Any bytes as a safetensors file: an error, or tensors that can be read to their end. */
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
        snprintf(path, sizeof path, "/dev/shm/wick-fuzz-%d.safetensors", (int)getpid());
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f))
        abort();
    wk_archive *a = wk_archive_open(path);
    if (!a && (wk_ok() || !strstr(wk_message(), path)))
        abort(); /* the error must name the file */
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
