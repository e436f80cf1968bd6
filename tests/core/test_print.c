// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_print.c - tensors as text, as PyTorch prints them: tests/golden/core/print.txt. */
#include "../test.h"

#include "../../src/core/core.h"

#include <stdio.h>
#include <stdlib.h>

/* "0.5*40" is 0, 0.5, 1 ...; anything else are the numbers themselves. */
static int64_t read_numbers(const char *s, double *out)
{
    int64_t n = 0;
    char   *end;
    for (double a = strtod(s, &end); end != s; a = strtod(s, &end)) {
        s = end;
        long count = *s == '*' ? strtol(s + 1, &end, 10) : 0;
        for (long i = 0; i < count; i++)
            out[n++] = a * (double)i;
        if (count)
            s = end;
        else
            out[n++] = a;
    }
    return n;
}

/* The tensor and options of a line like "f32 2x3 precision=2 : 1 2 3 4 5 6". */
static void read_case(char *line, wk_print_args *args)
{
    static double numbers[2048];
    char         *colon = strchr(line, ':'), *word, *state;
    wk_dtype      dtype = WK_DEFAULT;
    wk_shape      shape = WK_SCALAR;
    *args = (wk_print_args){ 0 };
    *colon = '\0';
    read_numbers(colon + 1, numbers);
    for (word = strtok_r(line, " ", &state); word; word = strtok_r(NULL, " ", &state)) {
        char *value = strchr(word, '=');
        int   n = value ? atoi(value + 1) : 0;
        if (!dtype)
            dtype = wk_dtype_find(word);
        else if (!strncmp(word, "precision", 9))
            args->precision = n;
        else if (!strncmp(word, "threshold", 9))
            args->threshold = n;
        else if (!strncmp(word, "edgeitems", 9))
            args->edge_items = n;
        else if (!strncmp(word, "linewidth", 9))
            args->line_width = n;
        else if (!strncmp(word, "sci_mode", 8))
            args->scientific = true;
        else
            for (char *end = word - 1; *(end + 1) && end[0] != ' '; word = end + 1) {
                shape.dim[shape.rank++] = strtol(word, &end, 10);
                if (!*end)
                    break;
            }
    }
    args->x = wk_cast(wk_from(WK_F64, shape, numbers), dtype);
}

TEST(tensors_print_as_in_pytorch)
{
    wk_file *f = wk_file_open("tests/golden/core/print.txt");
    char    *text = f ? wk_str_copy((wk_str){ f->data, f->size }) : NULL, *at = text;
    int      count = 0;
    while (at && *at) { /* "= case \n text \n", the text itself of one or more lines */
        char *head = at + 2, *body = strchr(at, '\n') + 1, *end = strstr(body, "\n= ");
        body[-1] = '\0';
        at = end ? end + 1 : body + strlen(body);
        at[-1] = '\0';
        char          title[256];
        wk_print_args args;
        snprintf(title, sizeof title, "%s", head);
        read_case(head, &args);
        char *got = wk_format_with(&args);
        CHECK_MSG(got && !strcmp(got, body), "%s:\n%s\n-- and PyTorch:\n%s", title,
                  got ? got : "NULL", body);
        free(got);
        wk_sweep(0);
        count++;
    }
    CHECK(count >= 55);
    wk_free(text);
    wk_file_release(f);
}

TEST(views_and_history_print_as_their_elements)
{
    wk_tensor *x = wk_track(wk_reshape(wk_arange(WK_F32, 0, 6, 1), 2, 3));
    char      *text = wk_format(wk_transpose(x, 0, 1));
    CHECK_STR(text, "tensor([[0., 3.],\n        [1., 4.],\n        [2., 5.]])");
    free(text);
    CHECK(wk_format(NULL) == NULL);
    CHECK_ERROR("NULL");
}
