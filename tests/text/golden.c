// SPDX-License-Identifier: MIT OR Apache-2.0
/* golden.c - see golden.h. */
#include "golden.h"
#include "test.h"

#include <stdio.h>

wk_file *golden_open(const char *name, wk_json *j)
{
    char path[256];
    snprintf(path, sizeof path, "tests/golden/tokenizer/%s", name);
    wk_file *f = wk_file_open(path);
    wk_json_open(j, name, f ? f->data : NULL, f ? f->size : 0);
    return f;
}

void golden_close(wk_file *f, wk_json *j)
{
    wk_json_close(j);
    wk_file_release(f);
}

void strings_read(strings *s, wk_json *j)
{
    for (wk_json_array(j); wk_json_item(j);)
        if (wk_reserve(&s->at, &s->room, s->count + 1, sizeof *s->at)) {
            wk_str x = wk_json_string(j);
            s->at[s->count++] = (wk_str){ wk_str_copy(x), x.size };
        }
}

void strings_free(strings *s)
{
    for (size_t i = 0; i < s->count; i++)
        wk_free((char *)s->at[i].at);
    wk_free(s->at);
    *s = (strings){ 0 };
}

char *json_text(wk_json *j)
{
    wk_json_peek(j);
    const char *start = j->at;
    wk_json_skip(j);
    return wk_str_copy((wk_str){ start, (size_t)(j->at - start) });
}

size_t ints_read(wk_json *j, int32_t *out, size_t room)
{
    size_t n = 0;
    if (wk_json_null(j))
        return SIZE_MAX;
    for (wk_json_array(j); wk_json_item(j);) {
        int64_t x = wk_json_null(j) ? -1 : wk_json_int(j);
        if (n < room)
            out[n++] = (int32_t)x;
    }
    return n;
}

wk_tokenizer *parse_text(const char *format, ...)
{
    wk_buf  b = { 0 };
    va_list args;
    va_start(args, format);
    wk_buf_vprintf(&b, format, args);
    va_end(args);
    wk_tokenizer *t = wk_tokenizer_parse("test.json", b.data, b.size);
    wk_buf_free(&b);
    return t;
}

bool same_ids(const wk_tokens *tokens, const int32_t *ids, size_t count)
{
    return tokens->count == count && (!count || !memcmp(tokens->id, ids, count * sizeof *ids));
}

bool golden_lacks_library(void)
{
    bool all = true;
    for (int i = 0; wk_features(i); i++)
        all &= wk_features(i)->present;
    bool lacks = !all && wk_error() == WK_ERR_UNSUPPORTED && strstr(wk_message(), "built without");
    if (lacks)
        wk_clear();
    return lacks;
}
