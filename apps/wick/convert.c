// SPDX-License-Identifier: MIT OR Apache-2.0
/* convert.c - wick quantize, imatrix and convert: models into fewer bits, and other files. */
#include "cli.h"

#include <stdio.h>

typedef struct {
    const settings *s;
    double          before, after, elements;
    int             shown, fallbacks;
} tally;

static void show(const wk_quantize_step *t, void *user)
{
    tally *r = user;
    double elements = 1;
    for (int i = 0; i < t->shape.rank; i++)
        elements *= (double)t->shape.dim[i];
    r->before += (double)t->bytes_before;
    r->after += (double)t->bytes;
    r->elements += elements;
    r->fallbacks += t->fallback;
    if (r->s->json) {
        printf("%s{\"name\": ", r->shown++ ? ",\n" : "{\"tensors\": [\n");
        json_string(t->name);
        printf(", \"from\": \"%s\", \"to\": \"%s\", \"bytes_before\": %zu, \"bytes\": %zu, "
               "\"fallback\": %s, \"weighed\": %s}",
               wk_dtype_name(t->from), wk_dtype_name(t->to), t->bytes_before, t->bytes,
               t->fallback ? "true" : "false", t->weighed ? "true" : "false");
    }
    if (r->s->verbose)
        fprintf(stderr, "[%*d/%d] %-40s %-7s -> %-7s %10.3f MB -> %10.3f MB%s\n",
                t->count > 999 ? 4 : 3, t->number, t->count, t->name, wk_dtype_name(t->from),
                wk_dtype_name(t->to), (double)t->bytes_before * 1e-6, (double)t->bytes * 1e-6,
                t->fallback ? " (its rows do not fit)" : "");
}

static void summarize(const tally *r, const char *path)
{
    double elements = r->elements > 0 ? r->elements : 1;
    if (r->s->json)
        printf("%s], \"bytes_before\": %.0f, \"bytes\": %.0f, \"bits_per_weight\": %.4f}\n",
               r->shown ? "\n" : "{\"tensors\": [", r->before, r->after, r->after * 8 / elements);
    if (r->s->quiet)
        return;
    if (r->fallbacks)
        fprintf(stderr, "wick: the rows of %d tensors do not fit the type they should have had\n",
                r->fallbacks);
    fprintf(stderr, "wick: %s: %.1f MB -> %.1f MB, %.2f -> %.2f bits per weight\n", path,
            r->before * 1e-6, r->after * 1e-6, r->before * 8 / elements, r->after * 8 / elements);
}

int quantize_verb(settings *s)
{
    if (s->places != 2)
        return usage("quantize: a model, and a file for the result");
    tally r = { .s = s };
    if (wk_quantize(s->place[0], s->place[1], s->type ? s->type : "q4_k_m", s->imatrix,
                    s->tensor_type, s->output_tensor_type, s->token_embedding_type, s->pure,
                    s->requantize, show, &r))
        summarize(&r, s->place[1]);
    return finish();
}

int convert_verb(settings *s)
{
    if (s->places != 2)
        return usage("convert: what, and a .gguf, a .safetensors or a folder for the result");
    tally r = { .s = s };
    if (wk_convert(s->place[0], s->place[1], dtype_of(s), show, &r) && r.elements > 0)
        summarize(&r, s->place[1]);
    return finish();
}

int imatrix_verb(settings *s)
{
    if (s->places < 2)
        return usage("imatrix: a model, and files of text");
    const char *to = s->output ? s->output : "imatrix.gguf";
    int64_t     windows = 0;
    wk_model   *m = open_model(s, s->place[0]);
    if (m) /* behind the last place there is a NULL */
        wk_imatrix_measure(m, s->place + 1, to, s->context, s->chunks, &windows);
    if (windows && !s->quiet && (wk_ok() || wk_error() == WK_ERR_INTERRUPTED))
        fprintf(stderr, "wick: %s: %lld windows\n", to, (long long)windows);
    wk_model_free(m);
    return finish();
}
