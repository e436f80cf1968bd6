// SPDX-License-Identifier: MIT OR Apache-2.0
/* safetensors.c - the file format of Hugging Face: a header of JSON, then the elements.
 *
 *     u64 n (little-endian) | n bytes of JSON | data to the end of the file
 *
 * Header: {"name": {"dtype": "BF16", "shape": [..], "data_offsets": [begin, end]}, ...,
 * "__metadata__": {"key": "text"}}.  As the reference does, we insist that the tensors
 * fill the data exactly, without holes and without overlap. */
#include "io.h"

static const uint64_t MOST_HEADER = 100000000;

static const struct {
    const char *name;
    unsigned    bits;
    wk_dtype    dtype;
} dtypes[] = {
    { "BOOL", 8, WK_BOOL },
    { "U8", 8, WK_U8 },
    { "I8", 8, WK_I8 },
    { "F8_E5M2", 8, WK_F8_E5M2 },
    { "F8_E4M3", 8, WK_F8_E4M3 },
    { "F8_E8M0", 8, WK_DEFAULT },
    { "F8_E4M3FNUZ", 8, WK_DEFAULT },
    { "F8_E5M2FNUZ", 8, WK_DEFAULT },
    { "I16", 16, WK_I16 },
    { "U16", 16, WK_DEFAULT },
    { "F16", 16, WK_F16 },
    { "BF16", 16, WK_BF16 },
    { "I32", 32, WK_I32 },
    { "U32", 32, WK_U32 },
    { "F32", 32, WK_F32 },
    { "C64", 64, WK_DEFAULT },
    { "F64", 64, WK_F64 },
    { "I64", 64, WK_I64 },
    { "U64", 64, WK_DEFAULT },
    { "F4", 4, WK_DEFAULT },
    { "F6_E2M3", 6, WK_DEFAULT },
    { "F6_E3M2", 6, WK_DEFAULT },
};

bool wk_safetensors_is(const wk_file *f)
{
    return f->size >= 9 && f->data[8] == '{' && wk_load_uint(f->data, 8, false) <= MOST_HEADER;
}

/* ---- Reading ------------------------------------------------------------ */

typedef struct {
    wk_json  json;
    uint64_t data_size;
    wk_str   name;
} reader;

static uint64_t offset(reader *r)
{
    int64_t x = wk_json_int(&r->json);
    if (x < 0 || (uint64_t)x > r->data_size)
        wk_json_fail(&r->json, "%.*s: an offset outside of the file", (int)r->name.size,
                     r->name.at);
    return (uint64_t)x;
}

static void read_dtype(reader *r, wk_entry *e, unsigned *bits)
{
    wk_str text = wk_json_string(&r->json);
    for (size_t i = 0; i < WK_COUNT(dtypes); i++)
        if (wk_str_is(text, dtypes[i].name)) {
            e->dtype_name = dtypes[i].name;
            e->dtype = dtypes[i].dtype;
            *bits = dtypes[i].bits;
            return;
        }
    wk_json_fail(&r->json, "%.*s: unknown dtype %.*s", (int)r->name.size, r->name.at,
                 (int)wk_min_i64(40, (int64_t)text.size), text.at);
}

static void read_shape(reader *r, wk_entry *e)
{
    e->shape.rank = 0;
    for (wk_json_array(&r->json); wk_json_item(&r->json);) {
        int64_t dim = wk_json_int(&r->json);
        if (dim < 0 || e->shape.rank == WK_MAX_RANK) {
            wk_json_fail(&r->json, "%.*s: a shape with %s", (int)r->name.size, r->name.at,
                         dim < 0 ? "a negative dimension" : "too many dimensions");
            return;
        }
        e->shape.dim[e->shape.rank++] = dim;
    }
}

/* Does the shape take just these bytes? */
static bool size_fits(const wk_entry *e, unsigned bits, uint64_t bytes)
{
    size_t n = 1;
    for (int i = 0; i < e->shape.rank; i++)
        if (wk_mul_overflows(n, (size_t)e->shape.dim[i], &n))
            return false;
    return !wk_mul_overflows(n, bits, &n) && n % 8 == 0 && n / 8 == bytes;
}

static bool read_tensor(reader *r, wk_entry *e, uint64_t range[2])
{
    wk_str   key;
    unsigned bits = 0, seen = 0;
    for (wk_json_object(&r->json); wk_json_key(&r->json, &key);) {
        unsigned which = wk_str_is(key, "dtype")          ? 1
                         : wk_str_is(key, "shape")        ? 2
                         : wk_str_is(key, "data_offsets") ? 4
                                                          : 0;
        if (!which || seen & which) {
            wk_json_fail(&r->json, "%.*s: %s key %.*s", (int)r->name.size, r->name.at,
                         which ? "a second" : "unknown", (int)key.size, key.at);
            return false;
        }
        seen |= which;
        if (which == 1) {
            read_dtype(r, e, &bits);
        } else if (which == 2) {
            read_shape(r, e);
        } else {
            int n = 0;
            for (wk_json_array(&r->json); wk_json_item(&r->json); n++)
                range[n & 1] = offset(r);
            if (n != 2)
                wk_json_fail(&r->json, "%.*s: data_offsets are not two", (int)r->name.size,
                             r->name.at);
        }
    }
    if (wk_ok() && seen != 7)
        wk_json_fail(&r->json, "%.*s: dtype, shape or data_offsets are missing", (int)r->name.size,
                     r->name.at);
    if (wk_ok() && (range[0] > range[1] || !size_fits(e, bits, range[1] - range[0])))
        wk_json_fail(&r->json, "%.*s: the shape does not take %lld bytes", (int)r->name.size,
                     r->name.at, (long long)(range[1] - range[0]));
    return wk_ok();
}

static void read_metadata(reader *r, wk_archive *a)
{
    wk_str key;
    for (wk_json_object(&r->json); wk_json_key(&r->json, &key);) {
        char *copy = wk_str_copy(key); /* the value may use the same buffer */
        if (copy)
            wk_archive_add_metadata(a, wk_str_of(copy), wk_json_string(&r->json));
        wk_free(copy);
    }
}

/* Each tensor begins where the last one ends. */
static bool fills_data(const wk_archive *a, size_t first, const wk_file *f, const char *data)
{
    size_t    n = a->count - first;
    wk_entry *e = wk_archive_sorted(a, first);
    if (!e)
        return false;
    for (size_t i = 0; i < n && wk_ok(); i++) {
        if (e[i].data != data)
            wk_fail(WK_ERR_FORMAT, "%s: %s begins at byte %lld of the data, not at %lld", f->path,
                    e[i].name, (long long)(e[i].data - f->data), (long long)(data - f->data));
        data = e[i].data + e[i].bytes;
    }
    wk_free(e);
    if (wk_ok() && data != f->data + f->size)
        wk_fail(WK_ERR_FORMAT, "%s: %lld bytes behind the last tensor", f->path,
                (long long)(f->data + f->size - data));
    return wk_ok();
}

bool wk_safetensors_read(wk_archive *a, wk_file *f)
{
    uint64_t n = wk_load_uint(f->data, 8, false), range[2] = { 0, 0 };
    size_t   first = a->count;
    if (n > f->size - 8) {
        wk_fail(WK_ERR_FORMAT, "%s: the header of %llu bytes does not fit into the file", f->path,
                (unsigned long long)n);
        return false;
    }
    const char *data = f->data + 8 + n;
    reader      r = { .data_size = f->size - 8 - n };
    bool        metadata = false;
    wk_str      key;
    wk_json_open(&r.json, f->path, f->data + 8, n);
    for (wk_json_object(&r.json); wk_json_key(&r.json, &key);) {
        wk_entry e = { .file = f };
        char    *name = wk_str_copy(key);
        r.name = wk_str_of(name);
        if (name && strlen(name) != key.size) {
            wk_json_fail(&r.json, "a name with a NUL in it");
        } else if (name && wk_str_is(key, "__metadata__") && !metadata) {
            metadata = true;
            read_metadata(&r, a);
        } else if (name && read_tensor(&r, &e, range)) {
            e.data = data + range[0];
            e.bytes = range[1] - range[0];
            wk_archive_add(a, r.name, e);
        }
        wk_free(name);
    }
    wk_json_close(&r.json);
    return wk_ok() && fills_data(a, first, f, data);
}

/* ---- Writing ------------------------------------------------------------ */

static void write_header(wk_buf *out, const wk_safetensors_args *a)
{
    wk_json_writer w = { .out = out };
    uint64_t       at = 0;
    wk_json_begin(&w, '{');
    if (a->metadata && a->metadata[0]) {
        wk_json_put_key(&w, "__metadata__");
        wk_json_begin(&w, '{');
        for (int i = 0; a->metadata[i] && a->metadata[i + 1]; i += 2) {
            wk_json_put_key(&w, a->metadata[i]);
            wk_json_put_str(&w, wk_str_of(a->metadata[i + 1]));
        }
        wk_json_end(&w, '}');
    }
    for (int i = 0; i < a->count && wk_ok(); i++) {
        wk_shape shape = a->tensors ? a->tensors[i]->shape : a->shapes[i];
        wk_dtype dtype = a->tensors ? a->tensors[i]->dtype : a->dtypes[i];
        size_t   bytes = 0;
        if (dtype > WK_BOOL)
            wk_fail(WK_ERR_DTYPE, "%s: %s is quantized to %s, which safetensors files do not have",
                    a->path, a->names[i], wk_dtype_name(dtype));
        if (!wk_bytes_of(dtype, shape, &bytes))
            return;
        wk_json_put_key(&w, a->names[i]);
        wk_json_begin(&w, '{');
        wk_json_put_key(&w, "dtype");
        wk_json_put_str(&w, wk_str_of(wk_dtypes[dtype].safe));
        wk_json_put_key(&w, "shape");
        wk_json_begin(&w, '[');
        for (int k = 0; k < shape.rank; k++)
            wk_json_put_int(&w, shape.dim[k]);
        wk_json_end(&w, ']');
        wk_json_put_key(&w, "data_offsets");
        wk_json_begin(&w, '[');
        wk_json_put_int(&w, (int64_t)at);
        wk_json_put_int(&w, (int64_t)(at += bytes));
        wk_json_end(&w, ']');
        wk_json_end(&w, '}');
    }
    wk_json_end(&w, '}');
    while (wk_ok() && out->size % 8) /* so that the data is aligned */
        wk_buf_char(out, ' ');
}

bool wk_is_announced(const wk_tensor *x, const char *name, wk_dtype dtype, wk_shape shape)
{
    if (wk_ok() && (!x || x->dtype != dtype || !wk_same_shape(x->shape, shape)))
        wk_fail(WK_ERR_ARGUMENT, "%s is not made as it was announced", name);
    return wk_ok();
}

void wk_write_elements(wk_writer *w, wk_tensor *x)
{
    size_t   bytes = wk_bytes(x);
    wk_scope scope = wk_mark();
    x = wk_dense(x);
    if (x && x->storage->device->backend->host) {
        wk_writer_add(w, wk_at_host(x), bytes);
    } else if (x) {
        void *host = wk_alloc(bytes);
        if (host && wk_read(x, x->dtype, host))
            wk_writer_add(w, host, bytes);
        wk_free(host);
    }
    wk_sweep(scope);
}

bool wk_safetensors_save_with(const wk_safetensors_args *a)
{
    wk_buf header = { 0 };
    if (!wk_ok())
        return false;
    for (int i = 0; i < a->count; i++)
        if (!a->names[i] || (a->tensors && !a->tensors[i]))
            wk_fail(WK_ERR_ARGUMENT, "%s: tensor %d of %d is NULL", a->path, i + 1, a->count);
    if (wk_ok())
        write_header(&header, a);
    wk_writer *w = wk_ok() ? wk_writer_open(a->path) : NULL;
    if (w) {
        char size[8];
        for (int i = 0; i < 8; i++)
            size[i] = (char)(header.size >> 8 * i);
        wk_writer_add(w, size, 8);
        wk_writer_add(w, header.data, header.size);
        for (int i = 0; i < a->count && wk_ok(); i++) {
            wk_scope   scope = wk_mark();
            wk_tensor *x = a->tensors ? a->tensors[i] : a->tensor(i, a->user);
            if (a->tensors || wk_is_announced(x, a->names[i], a->dtypes[i], a->shapes[i]))
                wk_write_elements(w, x);
            wk_sweep(scope);
        }
        wk_writer_close(w);
    }
    wk_buf_free(&header);
    return wk_ok();
}
