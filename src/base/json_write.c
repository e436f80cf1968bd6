// SPDX-License-Identifier: MIT OR Apache-2.0
/* json_write.c - writes JSON into a buffer; commas and indentation come by themselves. */
#include "base.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void new_line(wk_json_writer *w)
{
    if (!w->indent)
        return;
    wk_buf_char(w->out, '\n');
    for (int i = 0; i < w->indent * w->depth; i++)
        wk_buf_char(w->out, ' ');
}

/* What stands between the value before and the one to come. */
static void separate(wk_json_writer *w)
{
    if (!w->after_key && w->depth) {
        if (!w->fresh)
            wk_buf_add(w->out, w->indent ? "," : ", ", w->indent ? 1 : 2);
        new_line(w);
    }
    w->fresh = w->after_key = false;
}

void wk_json_begin(wk_json_writer *w, char bracket)
{
    separate(w);
    wk_buf_char(w->out, bracket);
    w->depth++;
    w->fresh = true;
}

void wk_json_end(wk_json_writer *w, char bracket)
{
    w->depth--;
    if (!w->fresh)
        new_line(w);
    wk_buf_char(w->out, bracket);
    w->fresh = false;
}

static void quoted(wk_buf *out, wk_str s)
{
    wk_buf_char(out, '"');
    for (const char *p = s.at, *end = s.at + s.size; p < end;) {
        unsigned char c = (unsigned char)*p;
        const char   *short_form = c ? strchr("\"\\\n\r\t", c) : NULL;
        if (short_form) {
            const char *names = "\"\\nrt";
            wk_buf_char(out, '\\');
            wk_buf_char(out, names[short_form - "\"\\\n\r\t"]);
            p++;
        } else if (c < 32 || c == 127) {
            wk_buf_printf(out, "\\u%04x", c);
            p++;
        } else {
            wk_buf_utf8(out, wk_utf8_next(&p, end, NULL)); /* never writes what is not UTF-8 */
        }
    }
    wk_buf_char(out, '"');
}

void wk_json_put_str(wk_json_writer *w, wk_str s)
{
    separate(w);
    quoted(w->out, s);
}

void wk_json_put_key(wk_json_writer *w, const char *key)
{
    separate(w);
    quoted(w->out, wk_str_of(key));
    wk_buf_add(w->out, ": ", 2);
    w->after_key = true;
}

void wk_json_put_number(wk_json_writer *w, double x)
{
    char text[40];
    separate(w);
    if (!isfinite(x)) { /* JSON has no word for it */
        wk_buf_add(w->out, "null", 4);
        return;
    }
    for (int precision = 6; precision <= 17; precision++) {
        snprintf(text, sizeof text, "%.*g", precision, x);
        if (strtod(text, NULL) == x)
            break;
    }
    char *comma = strchr(text, ','); /* the program's locale may write 1,5 */
    if (comma)
        *comma = '.';
    wk_buf_add(w->out, text, strlen(text));
}

void wk_json_put_int(wk_json_writer *w, int64_t x)
{
    separate(w);
    wk_buf_printf(w->out, "%lld", (long long)x);
}

void wk_json_put_bool(wk_json_writer *w, bool x)
{
    separate(w);
    wk_buf_str(w->out, x ? WK_STR("true") : WK_STR("false"));
}

void wk_json_put_null(wk_json_writer *w)
{
    separate(w);
    wk_buf_add(w->out, "null", 4);
}
