// SPDX-License-Identifier: MIT OR Apache-2.0
/* gguf_write.c - GGUF files, version 3: all that stands before the elements is made in
 * memory, then the tensors follow one by one. */
#include "io.h"

enum { ALIGNMENT = 32, MOST_RANK = 4 };

typedef struct {
    const wk_gguf_args *args;
    wk_buf              out;
    wk_map              names; /* keys; then names of tensors */
    uint64_t            values;
} draft;

static bool refuse(const draft *d, const char *what, const char *name)
{
    wk_fail(WK_ERR_ARGUMENT, "%s: %s: %s", d->args->path, name ? name : "NULL", what);
    return false;
}

static void put(draft *d, uint64_t u, size_t bytes)
{
    char b[8];
    for (size_t i = 0; i < bytes; i++)
        b[i] = (char)(u >> 8 * i);
    wk_buf_add(&d->out, b, bytes);
}

static void put_text(draft *d, wk_str s)
{
    put(d, s.size, 8);
    wk_buf_str(&d->out, s);
}

/* A key or a name: what the reader would not take is not written. */
static bool put_name(draft *d, const char *name)
{
    wk_str s = wk_str_of(name ? name : "");
    if (!wk_ok())
        return false;
    if (!s.size || s.size > 65535 || !wk_utf8_valid(s.at, s.size))
        return refuse(d, "not a name", name);
    if (wk_map_get(&d->names, s, NULL))
        return refuse(d, "is there twice", name);
    put_text(d, s);
    return wk_map_put(&d->names, s, 0);
}

/* ---- Values ------------------------------------------------------------- */

static size_t kind_of(const draft *d, const wk_gguf_value *v)
{
    const char *name = v->type ? v->type : v->text || v->texts ? "text" : "";
    for (size_t i = 0; i < WK_COUNT(wk_meta_kinds); i++)
        if (i != WK_KIND_LIST && !strcmp(name, wk_meta_kinds[i].name))
            return i;
    refuse(d, "a value of no known type", v->key);
    return WK_KIND_LIST;
}

static bool in_range(const wk_meta_kind *k, int64_t x)
{
    int bits = 8 * k->bytes - k->is_signed;
    return bits >= 63 ? k->is_signed || x >= 0
                      : x < INT64_C(1) << bits && x >= (k->is_signed ? -(INT64_C(1) << bits) : 0);
}

static void put_number(draft *d, const wk_meta_kind *k, double x)
{
    float    f = (float)x;
    uint64_t wide;
    uint32_t narrow;
    memcpy(&wide, &x, sizeof wide);
    memcpy(&narrow, &f, sizeof narrow);
    put(d, k->bytes == 4 ? narrow : wide, k->bytes);
}

static bool put_element(draft *d, const wk_gguf_value *v, const wk_meta_kind *k, int64_t i)
{
    if (k->type == WK_META_TEXT) {
        const char *text = v->texts ? v->texts[i] : v->text;
        if (!text)
            return refuse(d, "a text is NULL", v->key);
        put_text(d, v->sizes ? (wk_str){ text, v->sizes[i] } : wk_str_of(text));
    } else if (k->type == WK_META_NUMBER) {
        put_number(d, k, v->numbers ? v->numbers[i] : v->number);
    } else {
        int64_t x = v->integers ? v->integers[i] : v->integer;
        if (k->type == WK_META_BOOL)
            x = x != 0;
        if (!in_range(k, x))
            return refuse(d, "a number that its type does not hold", v->key);
        put(d, (uint64_t)x, k->bytes);
    }
    return wk_ok();
}

static bool put_value(draft *d, const wk_gguf_value *v)
{
    size_t kind = kind_of(d, v);
    if (!put_name(d, v->key))
        return false;
    const wk_meta_kind *k = &wk_meta_kinds[kind];
    bool                list = v->integers || v->numbers || v->texts;
    const void         *elements = k->type == WK_META_TEXT     ? (const void *)v->texts
                                   : k->type == WK_META_NUMBER ? (const void *)v->numbers
                                                               : v->integers;
    if (v->count < 0 || (list && !elements) || (!list && v->count))
        return refuse(d, "a list without elements of its type", v->key);
    if (list) {
        put(d, WK_KIND_LIST, 4);
        put(d, kind, 4);
        put(d, (uint64_t)v->count, 8);
    } else {
        put(d, kind, 4);
    }
    for (int64_t i = 0, n = list ? v->count : 1; i < n && wk_ok(); i++)
        put_element(d, v, k, i);
    d->values++;
    return wk_ok();
}

/* A value of another archive as it is, whatever the byte order there. */
static void put_copy(draft *d, const wk_meta_value *m)
{
    size_t kind = (size_t)(m->kind - wk_meta_kinds);
    put_name(d, m->key);
    if (m->list) {
        put(d, WK_KIND_LIST, 4);
        put(d, kind, 4);
        put(d, (uint64_t)m->count, 8);
    } else {
        put(d, kind, 4);
    }
    for (int64_t i = 0; i < m->count && wk_ok(); i++) {
        size_t n = m->kind->bytes;
        if (m->kind->type == WK_META_TEXT) {
            wk_meta v = wk_meta_value_at(m, i);
            put_text(d, (wk_str){ v.text, v.size });
        } else {
            put(d, wk_load_uint(m->data + (size_t)i * n, n, m->big_endian), n);
        }
    }
    d->values++;
}

static void put_values(draft *d)
{
    const wk_archive *like = d->args->like;
    for (int i = 0; i < d->args->value_count && wk_ok(); i++)
        put_value(d, &d->args->values[i]);
    for (size_t i = 0; like && i < like->value_count && wk_ok(); i++) {
        const wk_meta_value *m = &like->value[i];
        wk_str               key = wk_str_of(m->key);
        bool own = wk_str_starts(key, "split.") || wk_str_is(key, "general.alignment");
        if (!own && !wk_map_get(&d->names, key, NULL))
            put_copy(d, m);
    }
}

/* ---- Tensors ------------------------------------------------------------ */

static uint64_t padded(uint64_t n) { return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

static bool put_tensor(draft *d, int i, uint64_t *at)
{
    const wk_gguf_args *a = d->args;
    const char         *name = a->names[i];
    if (a->tensors && !a->tensors[i])
        return refuse(d, "the tensor is NULL", name);
    wk_shape            shape = a->tensors ? a->tensors[i]->shape : a->shapes[i];
    wk_dtype            dtype = a->tensors ? a->tensors[i]->dtype : a->dtypes[i];
    const wk_gguf_type *type = wk_gguf_type_of(dtype);
    int                 rank = shape.rank;
    size_t              bytes;
    if (!type)
        return refuse(d, "GGUF has no such dtype", name);
    if (rank > MOST_RANK || !wk_elements(shape))
        return refuse(d, rank > MOST_RANK ? "more than 4 dimensions" : "no elements", name);
    if (!wk_bytes_of(dtype, shape, &bytes))
        return false;
    put_name(d, name);
    put(d, rank ? (uint64_t)rank : 1, 4);
    for (int k = rank - 1; k >= 0; k--)
        put(d, (uint64_t)shape.dim[k], 8);
    if (!rank)
        put(d, 1, 8);
    put(d, type->id, 4);
    put(d, *at, 8);
    *at = padded(*at + bytes);
    return wk_ok();
}

static void put_all(draft *d)
{
    const wk_gguf_args *a = d->args;
    uint64_t            at = 0;
    wk_buf_str(&d->out, WK_STR("GGUF"));
    put(d, 3, 4);
    put(d, (uint64_t)a->count, 8);
    size_t values = d->out.size;
    put(d, 0, 8);
    put_values(d);
    wk_map_free(&d->names);
    for (int i = 0; i < a->count && wk_ok(); i++)
        put_tensor(d, i, &at);
    wk_map_free(&d->names);
    while (wk_ok() && d->out.size % ALIGNMENT)
        wk_buf_char(&d->out, '\0');
    for (size_t i = 0; wk_ok() && i < 8; i++)
        d->out.data[values + i] = (char)(d->values >> 8 * i);
}

bool wk_gguf_save_with(const wk_gguf_args *a)
{
    static const char zeros[ALIGNMENT];
    draft             d = { .args = a };
    if (!wk_ok())
        return false;
    if (!a->path || a->count < 0)
        wk_fail(WK_ERR_ARGUMENT, "a GGUF file without a name");
    else
        put_all(&d);
    wk_writer *w = wk_ok() ? wk_writer_open(a->path) : NULL;
    wk_writer_add(w, d.out.data, d.out.size);
    wk_buf_free(&d.out);
    for (int i = 0; w && i < a->count && wk_ok(); i++) {
        wk_scope   scope = wk_mark();
        wk_tensor *x = a->tensors ? a->tensors[i] : a->tensor(i, a->user);
        size_t     bytes = wk_bytes(x);
        if (a->tensors || wk_is_announced(x, a->names[i], a->dtypes[i], a->shapes[i]))
            wk_write_elements(w, x);
        wk_writer_add(w, zeros, padded(bytes) - bytes);
        wk_sweep(scope);
    }
    if (w)
        wk_writer_close(w);
    return wk_ok();
}
