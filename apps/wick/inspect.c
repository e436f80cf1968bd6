// SPDX-License-Identifier: MIT OR Apache-2.0
/* inspect.c - wick inspect: metadata and tensors of a file, or one tensor. */
#include "cli.h"

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

static void print_json(const wk_archive *a)
{
    printf("{\"metadata\": {");
    for (int i = 0; wk_archive_metadata_key(a, i); i++) {
        printf("%s", i ? ", " : "");
        json_string(wk_archive_metadata_key(a, i));
        printf(": ");
        json_string(wk_archive_metadata(a, wk_archive_metadata_key(a, i)));
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
    int64_t all = 0;
    int     width = 4;
    for (int i = 0; wk_archive_metadata_key(a, i); i++)
        printf("%s: %s\n", wk_archive_metadata_key(a, i),
               wk_archive_metadata(a, wk_archive_metadata_key(a, i)));
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
