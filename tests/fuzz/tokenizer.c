// SPDX-License-Identifier: MIT OR Apache-2.0
/* Any bytes as a tokenizer.json: an error that names the file, or a tokenizer that can
 * encode what it is given and decode what it made, at once and token by token. */
#include "tokens.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wk_set_log_level(0);
    wk_tokenizer *t = wk_tokenizer_parse("fuzz.json", (const char *)data, size);
    check(t ? wk_ok() : !wk_ok() && strstr(wk_message(), "fuzz.json"));
    wk_clear();
    if (t)
        use(t, data, size, INT32_MAX); /* a post-processor may add ids */
    wk_tokenizer_free(t);
    check(wk_live_allocs() == 0);
    return 0;
}
