// SPDX-License-Identifier: MIT OR Apache-2.0
/* inspect.c - wick inspect: metadata and tensors of a file, or one tensor. */
#include "cli.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void print_shape(wk_shape s)
{
    putchar('[');
    for (int i = 0; i < s.rank; i++)
        printf("%s%lld", i ? ", " : "", (long long)s.dim[i]);
    putchar(']');
}

static int64_t elements(wk_shape s)
{
    int64_t n = 1;
    for (int i = 0; i < s.rank; i++)
        n *= s.dim[i];
    return n;
}

enum { SHOWN_BYTES = 200, SHOWN_ELEMENTS = 8 };

/* All of it, or what is enough to see what it is. */
static void print_meta(wk_meta m, bool all)
{
    size_t begin = m.size > SHOWN_BYTES && !all ? SHOWN_BYTES : m.size;
    if (m.type == WK_META_INTEGER) {
        printf("%lld", (long long)m.integer);
    } else if (m.type == WK_META_NUMBER && !isfinite(m.number)) {
        printf("\"%g\"", m.number);
    } else if (m.type == WK_META_NUMBER) {
        printf("%.*g", !all ? 7 : (double)(float)m.number == m.number ? 9 : 17, m.number);
    } else if (m.type == WK_META_BOOL) {
        printf(m.integer ? "true" : "false");
    } else {
        while (begin < m.size && begin && ((unsigned char)m.text[begin] & 0xC0) == 0x80)
            begin--; /* not within a character */
        json_text(m.text, begin);
        if (begin < m.size)
            printf("... %zu bytes", m.size);
    }
}

static void print_value(const wk_archive *a, const char *key, bool all)
{
    wk_meta m = wk_archive_meta(a, key, 0);
    if (!m.list) {
        print_meta(m, all);
        return;
    }
    putchar('[');
    for (int64_t i = 0; i < m.count && (all || i < SHOWN_ELEMENTS); i++) {
        printf("%s", i ? ", " : "");
        print_meta(wk_archive_meta(a, key, i), all);
    }
    if (m.count > SHOWN_ELEMENTS && !all)
        printf(", ... %lld in all", (long long)m.count);
    putchar(']');
}

static void print_json(const wk_archive *a)
{
    const char *key;
    printf("{\"metadata\": {");
    for (int i = 0; (key = wk_archive_metadata_key(a, i)); i++) {
        printf("%s", i ? ",\n" : "\n");
        json_string(key);
        printf(": ");
        print_value(a, key, true);
    }
    printf("}, \"tensors\": [");
    for (int i = 0; i < wk_archive_count(a); i++) {
        printf("%s{\"name\": ", i ? ",\n" : "\n");
        json_string(wk_archive_name(a, i));
        printf(", \"dtype\": \"%s\", \"shape\": ", wk_archive_dtype(a, i));
        print_shape(wk_archive_shape(a, i));
        putchar('}');
    }
    printf("\n]}\n");
}

static void print_list(const wk_archive *a)
{
    int64_t     all = 0;
    int         width = 4;
    const char *key;
    for (int i = 0; (key = wk_archive_metadata_key(a, i)); i++) {
        printf("%s: ", key);
        print_value(a, key, false);
        putchar('\n');
    }
    for (int i = 0; i < wk_archive_count(a); i++)
        width =
            (int)strlen(wk_archive_name(a, i)) > width ? (int)strlen(wk_archive_name(a, i)) : width;
    for (int i = 0; i < wk_archive_count(a); i++) {
        printf("%-*s  %-8s ", width, wk_archive_name(a, i), wk_archive_dtype(a, i));
        print_shape(wk_archive_shape(a, i));
        putchar('\n');
        all += elements(wk_archive_shape(a, i));
    }
    printf("%d tensors, %lld elements\n", wk_archive_count(a), (long long)all);
}

int inspect_verb(settings *s)
{
    if (s->places < 1 || s->places > 2)
        return usage("inspect: a file, and perhaps the name of a tensor in it");
    wk_archive *a = wk_archive_open(s->place[0]);
    if (a && s->places == 2)
        wk_print(wk_archive_get(a, s->place[1]));
    else if (a && s->json)
        print_json(a);
    else if (a)
        print_list(a);
    wk_archive_free(a);
    return finish();
}
