// SPDX-License-Identifier: MIT OR Apache-2.0
/* Any bytes as a chat template, and behind a NUL as its variables: an error that names it, or
 * UTF-8 text of which each byte has an origin. */
#include "base/base.h"
#include <wick/wick.h>

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char variables[] =
        "{\"bos_token\": \"<s>\", \"n\": -7, \"f\": 2.5, \"nil\": null, \"t\": true, \"s\": \" a "
        "\\u00e9,\\n b\", \"l\": [3, \"x\", [1]], \"d\": {\"k\": {\"a\": 1}}, \"messages\": ["
        "{\"role\": \"user\", \"content\": \"Hi\"}, {\"role\": \"assistant\", \"content\": "
        "\"Yo\"}]}";
    const char    *text = (const char *)data;
    const char    *end = size ? memchr(text, '\0', size) : NULL;
    size_t         length = end ? (size_t)(end - text) : size, n = 0;
    const uint8_t *origins = NULL;
    wk_set_log_level(0);
    wk_template *t = wk_template_parse("fuzz.jinja", text, length);
    check(t ? wk_ok() : !wk_ok() && strstr(wk_message(), "fuzz.jinja"));
    wk_clear();
    for (int own = 0; t && own < 2; own++) {
        if (own && length + 1 >= size)
            break;
        char *out = own ? wk_template_render(t, end + 1, size - length - 1, .length = &n,
                                             .origins = &origins)
                        : wk_template_render(t, variables, .length = &n, .origins = &origins);
        check(out ? wk_ok() : !wk_ok() && strstr(wk_message(), "fuzz.jinja"));
        wk_clear();
        check(!out || wk_utf8_valid(out, n));
        for (size_t i = 0; out && i < n; i++)
            check(origins[i] <= WK_ANSWERED_2);
        free(out);
    }
    wk_template_free(t);
    check(wk_live_allocs() == 0);
    return 0;
}
