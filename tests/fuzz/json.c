// SPDX-License-Identifier: MIT OR Apache-2.0
/* Any bytes as JSON: an error that names the file, or a value that comes back the same
 * when it is written and read again. */
#include "base/base.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void copy_value(wk_json *j, wk_json_writer *w) /* the reader limits the depth */
{
    wk_str key;
    switch (wk_json_peek(j)) {
    case WK_JSON_OBJECT:
        wk_json_begin(w, '{');
        for (wk_json_object(j); wk_json_key(j, &key);) {
            char *copy = wk_str_copy(key);
            wk_json_put_key(w, copy);
            wk_free(copy);
            copy_value(j, w);
        }
        wk_json_end(w, '}');
        break;
    case WK_JSON_ARRAY:
        wk_json_begin(w, '[');
        for (wk_json_array(j); wk_json_item(j);)
            copy_value(j, w);
        wk_json_end(w, ']');
        break;
    case WK_JSON_STRING:
        wk_json_put_str(w, wk_json_string(j));
        break;
    case WK_JSON_NUMBER:
        wk_json_put_number(w, wk_json_number(j));
        break;
    case WK_JSON_BOOL:
        wk_json_put_bool(w, wk_json_bool(j));
        break;
    case WK_JSON_NULL:
    case WK_JSON_NOTHING:
        if (!wk_json_null(j))
            wk_json_fail(j, "expected a value");
        wk_json_put_null(w);
    }
}

static bool rewrite(const char *name, const char *data, size_t size, int indent, wk_buf *out)
{
    wk_json        j;
    wk_json_writer w = { .out = out, .indent = indent };
    wk_json_open(&j, name, data, size);
    copy_value(&j, &w);
    return wk_json_close(&j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wk_buf  once = { 0 }, twice = { 0 };
    wk_json j;
    char   *text = malloc(size ? size : 1); /* its end is watched */
    if (!text)
        abort();
    memcpy(text, data, size);

    wk_json_open(&j, "fuzz.json", text, size);
    wk_json_skip(&j);
    bool skipped = wk_json_close(&j);
    if (!skipped && strncmp(wk_message(), "fuzz.json:", 10))
        abort();
    wk_clear();

    int  indent = (int)(size & 2);
    bool good = rewrite("fuzz.json", text, size, indent, &once);
    if (good && !skipped)
        abort(); /* skipping is as strict; only reading refuses numbers out of range */
    wk_clear();
    if (good && (!rewrite("again.json", once.data, once.size, indent, &twice) ||
                 twice.size != once.size || memcmp(twice.data, once.data, once.size)))
        abort();
    wk_buf_free(&once);
    wk_buf_free(&twice);
    free(text);
    if (wk_live_allocs() != 0)
        abort();
    return 0;
}
