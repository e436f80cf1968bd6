// SPDX-License-Identifier: MIT OR Apache-2.0
/* imatrix.c - importance matrices of models: for each linear layer, sums of the squares of what
 * its columns are multiplied with, over windows of texts.
 *
 * Windows, names and the file are those of llama.cpp's llama-imatrix: windows side by side, the
 * token that begins a text at the head of each, what is left over not used; every token counts.
 * The matrix behind the last norm has no entry, as it has none there. */
#include "models.h"

#include <wick/convert.h>
#include <wick/io.h>

#include <math.h>
#include <stdio.h>

enum { WINDOW = 512 };

typedef struct {
    const wk_imatrix_args *a;
    const wk_decoder      *d;
    int64_t                size;   /* of a window */
    int64_t                window; /* windows seen */
    int64_t                least;  /* tokens of the longest text */
    double               **sum;    /* of each projection [layers, WK_PROJECTIONS]; NULL: shared */
    float                 *row;    /* of as many numbers as the widest input has */
    wk_progress            progress;
} run;

static int64_t inputs(const wk_decoder *d, int which)
{
    return which == WK_O ? d->c.heads * d->c.head_dim : which == WK_DOWN ? d->c.ffn : d->c.width;
}

/* Which projection's input it shares. */
static int seen_as(int which) { return which < WK_O ? WK_Q : which == WK_UP ? WK_GATE : which; }

static void name_of(int64_t layer, int which, const char *end, wk_buf *out)
{
    char at[64];
    snprintf(at, sizeof at, wk_gguf_names.layer, (int)layer);
    wk_buf_printf(out, "%s.%s.weight%s", at, wk_gguf_names.projection[which], end);
}

/* ---- Sums ---------------------------------------------------------------- */

static void see(int layer, int which, wk_tensor *x, void *user)
{
    run     *r = user;
    double  *sum = r->sum[layer * WK_PROJECTIONS + which];
    int64_t  n = inputs(r->d, which);
    wk_scope scope = wk_mark();
    if (wk_to_f32(wk_sum(wk_square(x), .over = WK_AXES(0)), r->row))
        for (int64_t i = 0; i < n; i++)
            sum[i] += (double)r->row[i];
    wk_sweep(scope);
    for (int64_t i = 0; i < n && wk_ok(); i++)
        if (!isfinite(r->row[i])) {
            wk_buf name = { 0 };
            name_of(layer, which, "", &name);
            wk_fail(WK_ERR_ARGUMENT, "imatrix: what goes into %s is not finite", name.data);
            wk_buf_free(&name);
        }
}

/* Windows of a text, as far as they are wanted. */
static bool take_text(run *r, const wk_tokens *text, int32_t begin)
{
    int64_t       *ids = wk_alloc_array((size_t)r->size, sizeof *ids);
    const wk_watch watch = { see, r };
    for (int64_t at = 0; ids && at + r->size <= (int64_t)text->count; at += r->size) {
        if (!wk_ok() || (r->a->chunks > 0 && r->window >= r->a->chunks))
            break;
        for (int64_t i = 0; i < r->size; i++)
            ids[i] = i || begin < 0 ? text->id[at + i] : begin;
        wk_scope scope = wk_mark();
        if (wk_decoder_watch(r->d, wk_from_i64(WK_SHAPE(1, r->size), ids), &watch))
            r->window++;
        wk_sweep(scope);
        wk_progress_at(&r->progress, (double)r->window);
    }
    wk_free(ids);
    return wk_ok();
}

/* ---- Texts --------------------------------------------------------------- */

typedef struct {
    wk_tokens tokens;
    int32_t   begin;
} cut_text;

static bool read_text(run *r, const char *path, cut_text *t)
{
    wk_file *f = wk_file_open(path);
    if (f)
        wk_text_to_cut(r->a->model, f->size ? f->data : "", f->size, &t->tokens, &t->begin);
    wk_file_release(f);
    r->least = wk_max_i64(r->least, (int64_t)t->tokens.count);
    return wk_ok();
}

static bool read_and_see(run *r)
{
    int     n = 0, read = 0;
    int64_t windows = 0;
    while (r->a->texts[n])
        n++;
    cut_text *text = wk_alloc_array((size_t)n, sizeof *text);
    for (; text && read < n && wk_ok(); read++)
        if (read_text(r, r->a->texts[read], &text[read]))
            windows += (int64_t)text[read].tokens.count / r->size;
    if (wk_ok() && !windows)
        wk_fail(WK_ERR_ARGUMENT, "imatrix: the longest text has %lld tokens, a window has %lld",
                (long long)r->least, (long long)r->size);
    if (r->a->chunks > 0)
        windows = wk_min_i64(windows, r->a->chunks);
    wk_progress_start(&r->progress, "measuring", (double)windows);
    for (int i = 0; i < n && wk_ok(); i++)
        take_text(r, &text[i].tokens, text[i].begin);
    wk_progress_end(&r->progress);
    for (int i = 0; text && i < read; i++)
        wk_tokens_free(&text[i].tokens);
    wk_free(text);
    return wk_ok();
}

/* ---- Writing ------------------------------------------------------------- */

static wk_tensor *tensor_of(const run *r, const double *sum, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        r->row[i] = (float)sum[i];
    return wk_from_f32(WK_SHAPE(n), r->row);
}

/* Layer by layer, sums and counts in turns. */
static bool list(const run *r, char **name, wk_tensor **tensor)
{
    wk_tensor *rows = wk_full_of(WK_F32, WK_SHAPE(1), (double)(r->window * r->size));
    for (int64_t layer = 0, i = 0; layer < r->d->c.layers; layer++)
        for (int k = 0; k < WK_PROJECTIONS && wk_ok(); k++, i += 2) {
            double *sum = r->sum[layer * WK_PROJECTIONS + k];
            wk_buf  text[2] = { { 0 }, { 0 } };
            name_of(layer, k, ".in_sum2", &text[0]);
            name_of(layer, k, ".counts", &text[1]);
            name[i] = text[0].data;
            name[i + 1] = text[1].data;
            tensor[i] = sum ? tensor_of(r, sum, inputs(r->d, k)) : tensor[i - 2 * (k - seen_as(k))];
            tensor[i + 1] = rows;
        }
    return wk_ok();
}

static bool write(const run *r)
{
    size_t      count = (size_t)r->d->c.layers * WK_PROJECTIONS * 2;
    int64_t     texts = 0;
    wk_scope    scope = wk_mark();
    char      **name = wk_alloc_array(count, sizeof *name);
    wk_tensor **tensor = wk_alloc_array(count, sizeof *tensor);
    while (r->a->texts[texts])
        texts++;
    const wk_gguf_value values[] = {
        { "general.type", .text = "imatrix" },
        { "imatrix.datasets", .count = texts, .texts = r->a->texts },
        { "imatrix.chunk_count", "u32", .integer = r->window },
        { "imatrix.chunk_size", "u32", .integer = r->size },
    };
    if (name && tensor && list(r, name, tensor))
        wk_gguf_save(r->a->to, (int)count, (const char *const *)name, tensor, WK_COUNT(values),
                     values);
    for (size_t i = 0; name && i < count; i++)
        wk_free(name[i]);
    wk_free(name);
    wk_free(tensor);
    wk_sweep(scope);
    return wk_ok();
}

/* ---- All of it ----------------------------------------------------------- */

static bool prepare(run *r)
{
    const wk_imatrix_args *a = r->a;
    if (!a->model || !a->texts || !a->texts[0] || !a->to) {
        wk_fail(WK_ERR_ARGUMENT, "imatrix: a model, a text and a file for the result are needed");
        return false;
    }
    r->d = wk_model_decoder(a->model);
    const wk_decoder_config *c = &r->d->c;
    r->size = a->context > 0 ? a->context : wk_min_i64(WINDOW, c->context);
    int64_t most = wk_max_i64(inputs(r->d, WK_O), wk_max_i64(c->ffn, c->width));
    r->row = wk_alloc_array((size_t)most, sizeof *r->row);
    r->sum = wk_alloc_array((size_t)c->layers * WK_PROJECTIONS, sizeof *r->sum);
    for (int64_t i = 0; r->sum && i < c->layers * WK_PROJECTIONS && wk_ok(); i++) {
        int which = (int)(i % WK_PROJECTIONS);
        if (which == seen_as(which))
            r->sum[i] = wk_alloc_array((size_t)inputs(r->d, which), sizeof **r->sum);
    }
    return wk_ok();
}

bool wk_imatrix_measure_with(const wk_imatrix_args *a)
{
    run r = { .a = a };
    if (wk_ok() && prepare(&r))
        read_and_see(&r);
    bool cut = wk_error() == WK_ERR_INTERRUPTED && r.window;
    if (cut) /* what was seen is saved */
        wk_clear();
    if (wk_ok() && write(&r) && cut)
        wk_fail(WK_ERR_INTERRUPTED, "imatrix: interrupted after window %lld", (long long)r.window);
    if (a->windows)
        *a->windows = r.window;
    for (int64_t i = 0; r.sum && i < r.d->c.layers * WK_PROJECTIONS; i++)
        wk_free(r.sum[i]);
    wk_free(r.sum);
    wk_free(r.row);
    return wk_ok();
}
