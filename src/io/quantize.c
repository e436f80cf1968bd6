// SPDX-License-Identifier: MIT OR Apache-2.0
/* quantize.c - a GGUF file of fewer bits: what each tensor becomes is decided first, as the
 * descriptions stand before the elements; then tensors are taken, turned and written one by
 * one, the rows of each by all threads. */
#include "quantize.h"
#include "../core/quant.h"
#include "io.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { GRAIN = 32 * 512 }; /* elements that a thread takes at once */

typedef struct {
    const wk_gguf_args     *in;
    const wk_quantize_args *how;
    wk_mix                  mix;
    wk_mix_state            state;
    wk_imatrix              imatrix;
    wk_dtype                output, embedding;
    const char            **name;  /* of each tensor, in the order of the new file */
    int                    *place; /* in the order of in */
    wk_dtype               *dtype;
    wk_shape               *shape;
    bool                   *fallback;
    wk_progress             progress;
    double                  bytes; /* done */
} draft;

/* ---- What is said of the model ------------------------------------------- */

static wk_meta value_of(const draft *d, const char *key)
{
    for (int i = 0; i < d->in->value_count; i++) {
        const wk_gguf_value *v = &d->in->values[i];
        if (!strcmp(v->key, key) && !v->texts && !v->numbers)
            return (wk_meta){ .type = v->text ? WK_META_TEXT : WK_META_INTEGER,
                              .text = v->text,
                              .integer = v->integers ? v->integers[0] : v->integer };
    }
    return wk_archive_meta(d->in->like, key, 0);
}

static int64_t number_of(const draft *d, const char *key)
{
    char full[200];
    snprintf(full, sizeof full, "%s.%s", d->state.architecture, key);
    return value_of(d, full).integer;
}

static void read_state(draft *d)
{
    wk_mix_state *s = &d->state;
    wk_meta       architecture = value_of(d, "general.architecture");
    s->architecture = architecture.type == WK_META_TEXT ? architecture.text : "";
    s->layers = number_of(d, "block_count");
    s->heads = number_of(d, "attention.head_count");
    s->kv_heads = number_of(d, "attention.head_count_kv");
    s->experts = number_of(d, "expert_count");
    s->kv_heads = s->kv_heads > 0 ? s->kv_heads : s->heads;
    s->weighed = d->how->imatrix;
    s->tied = true;
    for (int i = 0; i < d->in->count; i++) {
        s->values += wk_mix_is_value(d->in->names[i]);
        s->tied &= strcmp(d->in->names[i], "output.weight") != 0;
    }
}

/* ---- What each tensor becomes -------------------------------------------- */

static wk_dtype dtype_named(const char *name)
{
    char   lower[40];
    size_t n = 0;
    for (; name[n] && n + 1 < sizeof lower; n++)
        lower[n] = (char)(name[n] >= 'A' && name[n] <= 'Z' ? name[n] + 32 : name[n]);
    lower[n] = '\0';
    wk_dtype dtype = wk_dtype_find(lower);
    if (wk_ok() && (!wk_dtype_is_float(dtype) || !wk_gguf_type_of(dtype)))
        wk_fail(WK_ERR_ARGUMENT, "there is no type %s to quantize to", name);
    return dtype;
}

/* "PATTERN=TYPE" for this name; WK_DEFAULT: none of them. */
static wk_dtype override(const draft *d, const char *name)
{
    for (int i = 0; wk_ok() && d->how->overrides && d->how->overrides[i]; i++) {
        const char *text = d->how->overrides[i], *equals = strrchr(text, '=');
        char *pattern = equals ? wk_str_copy((wk_str){ text, (size_t)(equals - text) }) : NULL;
        bool  found = pattern && wk_pattern_in(pattern, name);
        wk_free(pattern);
        if (wk_ok() && (!equals || equals == text))
            wk_fail(WK_ERR_ARGUMENT, "%s: expected NAME=TYPE", text);
        wk_dtype dtype = wk_ok() ? dtype_named(equals + 1) : WK_DEFAULT;
        if (found)
            return dtype;
    }
    return WK_DEFAULT;
}

static wk_dtype choose(draft *d, const char *name, wk_shape shape, wk_dtype from, bool *fallback)
{
    const wk_quantize_args *how = d->how;
    if (!wk_dtype_is_float(from) || !wk_mix_may(name, shape))
        return from == WK_F64 ? WK_F32 : from;
    wk_dtype named = override(d, name);
    if (d->embedding && wk_mix_is_embedding(name) &&
        (!named || strcmp(name, "per_layer_token_embd.weight")))
        return d->embedding;
    if (d->output && !strcmp(name, "output.weight"))
        return d->output;
    wk_dtype dtype = named ? named : how->type ? d->mix.dtype : from == WK_F64 ? WK_F32 : from;
    bool     mixed = how->type && wk_dtype_block(d->mix.dtype) > 1;
    if (mixed && !named && !how->pure) {
        bool head = d->output && d->state.tied && wk_mix_is_embedding(name);
        dtype = head ? d->output : wk_mix_type(&d->mix, &d->state, name, shape);
    }
    wk_dtype fits = wk_mix_fitting(dtype, shape.dim[shape.rank - 1]);
    *fallback = fits != dtype;
    return fits;
}

static bool needs_importance(const draft *d, const char *name, wk_dtype dtype)
{
    bool low = dtype == WK_IQ3_XXS || dtype == WK_IQ2_XXS || dtype == WK_IQ2_XS ||
               dtype == WK_IQ2_S || dtype == WK_IQ1_M || dtype == WK_IQ1_S ||
               (dtype == WK_Q2_K && d->how->type && !strcmp(d->mix.name, "q2_k_s"));
    return low && !wk_mix_is_embedding(name) && strcmp(name, "output.weight");
}

/* The importance of a tensor's columns, NULL if there is none. */
static const float *importance_of(const draft *d, const char *name, wk_shape shape)
{
    const wk_importance *e = wk_imatrix_find(&d->imatrix, name);
    int64_t              matrices = shape.rank > 2 ? shape.dim[shape.rank - 3] : 1;
    int64_t              columns = shape.rank ? shape.dim[shape.rank - 1] : 1;
    if (!e || e->count == columns * matrices)
        return e ? e->mean : NULL;
    if (wk_ok() && !wk_mix_is_embedding(name))
        wk_fail(WK_ERR_SHAPE, "%s: %s has %lld columns in the importance matrix, not %lld",
                d->how->imatrix, name, (long long)e->count, (long long)(columns * matrices));
    return NULL;
}

static bool check(const draft *d, int i)
{
    const char *name = d->name[i];
    wk_dtype    from = d->in->dtypes[d->place[i]], to = d->dtype[i];
    if (!wk_ok() || from == to)
        return wk_ok();
    const float *importance = importance_of(d, name, d->shape[i]);
    if (wk_ok() && wk_dtype_block(from) > 1 && !d->how->requantize)
        wk_fail(WK_ERR_ARGUMENT,
                "%s is %s already, and would lose more than it gains (--requantize does it)", name,
                wk_dtype_name(from));
    else if (wk_ok() && !importance && needs_importance(d, name, to))
        wk_fail(WK_ERR_ARGUMENT, "%s would be %s, which needs an importance matrix%s", name,
                wk_dtype_name(to), d->how->imatrix ? ": this one has none for it" : " (--imatrix)");
    return wk_ok();
}

static int by_name(const void *a, const void *b)
{
    return wk_mix_order(*(const char *const *)a, *(const char *const *)b);
}

/* In the order of the layers. */
static bool plan(draft *d)
{
    size_t n = (size_t)d->in->count;
    wk_map index = { 0 };
    d->name = wk_alloc_array(n, sizeof *d->name);
    d->place = wk_alloc_array(n, sizeof *d->place);
    d->dtype = wk_alloc_array(n, sizeof *d->dtype);
    d->shape = wk_alloc_array(n, sizeof *d->shape);
    d->fallback = wk_alloc_array(n, sizeof *d->fallback);
    for (size_t i = 0; wk_ok() && i < n; i++) {
        d->name[i] = d->in->names[i];
        wk_map_put(&index, wk_str_of(d->name[i]), (int64_t)i);
    }
    if (wk_ok() && n)
        qsort(d->name, n, sizeof *d->name, by_name);
    for (size_t i = 0; wk_ok() && i < n; i++) {
        int64_t at = 0;
        wk_map_get(&index, wk_str_of(d->name[i]), &at);
        d->place[i] = (int)at;
        d->shape[i] = d->in->shapes[at];
        d->dtype[i] = choose(d, d->name[i], d->shape[i], d->in->dtypes[at], &d->fallback[i]);
        check(d, (int)i);
    }
    wk_map_free(&index);
    return wk_ok();
}

/* ---- Rows ---------------------------------------------------------------- */

typedef struct {
    const char  *in, *name;
    char        *out;
    int64_t      width, of_matrix; /* rows that share importance */
    wk_dtype     from, to;
    const float *importance;
} rows;

static bool all_finite(const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

static void turn_rows(void *ctx, int64_t begin, int64_t end)
{
    const rows     *r = ctx;
    int64_t         n = r->width, in = wk_bytes_at(r->from, n), out = wk_bytes_at(r->to, n);
    bool            blocks = wk_dtypes[r->to].block;
    const wk_quant *quant = blocks ? &wk_quants[r->to - WK_Q4_0] : NULL;
    float          *room = r->from == WK_F32 ? NULL : wk_scratch((size_t)n * sizeof *room);
    if (wk_interrupted())
        wk_fail(WK_ERR_INTERRUPTED, "interrupted");
    for (int64_t i = begin; i < end && wk_ok(); i++) {
        const float *row = room ? room : (const float *)(const void *)(r->in + i * in);
        if (room)
            wk_dtypes[r->from].load[WK_AS_F32](room, r->in + i * in, n, 1);
        if (blocks && !all_finite(row, n))
            wk_fail(WK_ERR_ARGUMENT, "%s has numbers that are not finite", r->name);
        else if (blocks)
            quant->store(r->out + i * out, row, n,
                         r->importance ? r->importance + i / r->of_matrix * n : NULL);
        else
            wk_dtypes[r->to].store[WK_AS_F32](r->out + i * out, row, n, 1);
    }
}

static wk_tensor *turn(const draft *d, int i, wk_tensor *x)
{
    wk_tensor *y = wk_pool(wk_tensor_new(wk_cpu_device(), d->dtype[i], x->shape));
    int        rank = x->shape.rank;
    if (!y)
        return NULL;
    rows r = { .in = wk_at_host(x),
               .name = d->name[i],
               .out = wk_at_host(y),
               .width = rank ? x->shape.dim[rank - 1] : 1,
               .of_matrix = rank > 1 ? x->shape.dim[rank - 2] : 1,
               .from = x->dtype,
               .to = y->dtype,
               .importance = importance_of(d, d->name[i], x->shape) };
    if (r.width > 0)
        wk_parallel(wk_count(x) / r.width, wk_max_i64(1, GRAIN / r.width), turn_rows, &r);
    return wk_ok() ? y : NULL;
}

/* ---- Writing ------------------------------------------------------------- */

static wk_tensor *next_tensor(int i, void *user)
{
    draft     *d = user;
    wk_tensor *x = wk_dense(d->in->tensor(d->place[i], d->in->user));
    wk_tensor *y = x && x->dtype != d->dtype[i] ? turn(d, i, x) : x;
    if (!y)
        return NULL;
    wk_quantize_step step = { .name = d->name[i],
                              .shape = x->shape,
                              .from = x->dtype,
                              .to = y->dtype,
                              .bytes_before = wk_bytes(x),
                              .bytes = wk_bytes(y),
                              .number = i + 1,
                              .count = d->in->count,
                              .fallback = d->fallback[i],
                              .weighed = x != y && importance_of(d, d->name[i], x->shape) };
    if (d->how->on_tensor)
        d->how->on_tensor(&step, d->how->user);
    if (x != y && x->storage->file) /* it is not needed in memory any more */
        wk_file_unread(wk_at_host(x), wk_bytes(x));
    d->bytes += (double)step.bytes_before;
    return wk_progress_at(&d->progress, d->bytes) ? y : NULL;
}

static bool write(draft *d)
{
    enum { OWN = 6 };
    int            n = 0, more = d->in->value_count;
    wk_gguf_value *values = wk_alloc_array((size_t)(more + OWN), sizeof *values);
    double         all = 0;
    if (!values)
        return false;
    if (d->how->type) {
        values[n++] = (wk_gguf_value){ "general.quantization_version", "u32", .integer = 2 };
        if (d->mix.file_type >= 0)
            values[n++] =
                (wk_gguf_value){ "general.file_type", "u32", .integer = d->mix.file_type };
    }
    if (d->how->imatrix) {
        values[n++] = (wk_gguf_value){ "quantize.imatrix.file", .text = d->how->imatrix };
        if (d->imatrix.text)
            values[n++] = (wk_gguf_value){ "quantize.imatrix.dataset", .text = d->imatrix.text };
        values[n++] = (wk_gguf_value){ "quantize.imatrix.entries_count", "u32",
                                       .integer = (int64_t)d->imatrix.count };
        if (d->imatrix.chunks > 0)
            values[n++] = (wk_gguf_value){ "quantize.imatrix.chunks_count", "u32",
                                           .integer = d->imatrix.chunks };
    }
    for (int i = 0; i < more; i++)
        if (!d->how->type || (strcmp(d->in->values[i].key, "general.file_type") &&
                              strcmp(d->in->values[i].key, "general.quantization_version")))
            values[n++] = d->in->values[i];
    for (int i = 0; i < d->in->count; i++)
        all += (double)wk_bytes_at(d->in->dtypes[i], wk_elements(d->in->shapes[i]));
    wk_progress_start(&d->progress, "quantizing", all);
    wk_gguf_save(d->how->to, d->in->count, d->name, .dtypes = d->dtype, .shapes = d->shape,
                 .tensor = next_tensor, .user = d, .value_count = n, .values = values,
                 .like = d->in->like);
    wk_progress_end(&d->progress);
    wk_free(values);
    return wk_ok();
}

bool wk_quantize_tensors(const wk_gguf_args *in, const wk_quantize_args *how)
{
    draft d = { .in = in, .how = how };
    if (wk_ok() && how->type && !wk_mix_find(how->type, &d.mix))
        wk_fail(WK_ERR_ARGUMENT, "there is no type %s to quantize to", how->type);
    if (wk_ok() && how->type && !wk_gguf_type_of(d.mix.dtype))
        wk_fail(WK_ERR_ARGUMENT, "GGUF files do not have %s", how->type);
    if (wk_ok() && how->output_type)
        d.output = dtype_named(how->output_type);
    if (wk_ok() && how->embedding_type)
        d.embedding = dtype_named(how->embedding_type);
    if (wk_ok() && how->imatrix)
        wk_imatrix_read(&d.imatrix, how->imatrix);
    if (wk_ok()) {
        read_state(&d);
        if (plan(&d))
            write(&d);
    }
    wk_imatrix_free(&d.imatrix);
    wk_free(d.name);
    wk_free(d.place);
    wk_free(d.dtype);
    wk_free(d.shape);
    wk_free(d.fallback);
    return wk_ok();
}
