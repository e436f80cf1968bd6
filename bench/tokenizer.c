// SPDX-License-Identifier: MIT OR Apache-2.0
/* tokenizer.c - how fast a tokenizer loads, encodes and decodes, on one thread.
 *
 *   build/bench/tokenizer tokenizer.json text.txt [seconds]
 *
 * Medians over repeated runs: the text as a whole, and in pieces of 8,000 bytes as a
 * server would get them. */
#include "clock.h"

#include <wick/text.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS = 1000, PIECE = 8000 };

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static char *read_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    char *text = NULL;
    if (f && !fseek(f, 0, SEEK_END) && (*size = (size_t)ftell(f)) && !fseek(f, 0, SEEK_SET) &&
        (text = malloc(*size + 1)) && fread(text, 1, *size, f) == *size)
        text[*size] = '\0';
    if (f)
        fclose(f);
    if (!text)
        fprintf(stderr, "cannot read %s\n", path);
    return text;
}

typedef struct {
    const char         *path, *text;
    size_t              size, piece;
    const wk_tokenizer *t;
    wk_tokens           tokens;
} job;

static void load(job *j) { wk_tokenizer_free(wk_tokenizer_open(j->path)); }

static void encode(job *j)
{
    j->tokens.count = 0;
    for (size_t at = 0; at < j->size; at += j->piece) {
        size_t left = j->size - at;
        wk_encode(&j->tokens, j->t, j->text + at, left < j->piece ? left : j->piece,
                  .no_special = true);
    }
}

static void decode(job *j) { free(wk_decode(j->t, j->tokens.id, j->tokens.count, true)); }

/* The median time of a run, of as many as fit into the seconds. */
static double median(void (*run)(job *), job *j, double seconds)
{
    static double time[RUNS];
    int           n = 0;
    run(j);
    for (double end = now() + seconds; n < RUNS && (n < 3 || now() < end); n++) {
        double start = now();
        run(j);
        time[n] = now() - start;
    }
    qsort(time, (size_t)n, sizeof *time, by_value);
    return time[n / 2];
}

static void report(const char *what, const job *j, double time)
{
    double count = (double)j->tokens.count;
    printf("%-22s %8.2f ms  %7.1f MB/s  %7.2f M tokens/s  %6.1f ns/token  %5.2f ns/byte\n", what,
           1e3 * time, (double)j->size / time / 1e6, count / time / 1e6, 1e9 * time / count,
           1e9 * time / (double)j->size);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: tokenizer tokenizer.json text.txt [seconds]\n");
        return 2;
    }
    double seconds = argc > 3 ? atof(argv[3]) : 2;
    job    j = { .path = argv[1] };
    char  *text = read_file(argv[2], &j.size);
    if (!text)
        return 1;
    wk_tokenizer *t = wk_tokenizer_open(argv[1]);
    if (!t)
        return wk_finish();
    j.text = text;
    j.t = t;
    printf("%s, %s (%zu bytes)\n", argv[1], argv[2], j.size);
    printf("%-22s %8.2f ms\n", "load", 1e3 * median(load, &j, seconds / 2));
    j.piece = j.size;
    double whole = median(encode, &j, seconds);
    report("encode, as a whole", &j, whole);
    report("decode", &j, median(decode, &j, seconds / 2));
    j.piece = PIECE;
    double pieces = median(encode, &j, seconds);
    report("encode, in pieces", &j, pieces);
    wk_tokens_free(&j.tokens);
    wk_tokenizer_free(t);
    free(text);
    return wk_finish();
}
