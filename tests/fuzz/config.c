// SPDX-License-Identifier: MIT OR Apache-2.0
/* Any bytes as config.json, and what follows a NUL as generation_config.json, beside the
 * weights of a tiny Llama: an error that names the file, or a model that computes.  Run
 * it in the root of the source tree. */
#include <wick/wick.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[64];

static void write_part(const char *name, const void *data, size_t size)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f))
        abort();
}

static void set_up(void)
{
    char target[1024], path[128];
    wk_set_log_level(0);
    wk_set_threads(1);
    snprintf(folder, sizeof folder, "/dev/shm/wick-fuzz-%d", (int)getpid());
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    mkdir(folder, 0777);
    unlink(path);
    if (!realpath("tests/golden/models/llama/model.safetensors", target) || symlink(target, path))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int32_t tokens[] = { 1, 2, 3 };
    if (!*folder)
        set_up();
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    size_t         first = end ? (size_t)(end - data) : size;
    write_part("config.json", data, first);
    write_part("generation_config.json", end ? (const char *)end + 1 : "{}",
               end ? size - first - 1 : 2);
    wk_model *m = wk_model_open(folder, .lenient = size & 1);
    if (!m && (wk_ok() || (!strstr(wk_message(), folder) && !strstr(wk_message(), "model."))))
        abort(); /* the error names a file or a weight */
    wk_clear();
    wk_sampler_args sampling = wk_model_sampling(m);
    if (m) {
        wk_scope s = wk_mark();
        wk_generate(m, .tokens = tokens, .token_count = 3, .max_tokens = 2, .ignore_end = true,
                    .sampling = sampling);
        wk_clear();
        wk_sweep(s);
    }
    wk_model_free(m);
    if (wk_live_tensors() != 0)
        abort();
    return 0;
}
