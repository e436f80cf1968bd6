// SPDX-License-Identifier: MIT OR Apache-2.0
/* metadata.c - the metadata of an archive: values that stay in the file, as it has them,
 * and are decoded when they are asked for. */
#include "io.h"

const wk_meta_kind wk_meta_kinds[13] = {
    { "u8", WK_META_INTEGER, 1, false },  { "i8", WK_META_INTEGER, 1, true },
    { "u16", WK_META_INTEGER, 2, false }, { "i16", WK_META_INTEGER, 2, true },
    { "u32", WK_META_INTEGER, 4, false }, { "i32", WK_META_INTEGER, 4, true },
    { "f32", WK_META_NUMBER, 4, true },   { "bool", WK_META_BOOL, 1, false },
    { "text", WK_META_TEXT, 0, false },   { "list", WK_META_NONE, 0, false },
    { "u64", WK_META_INTEGER, 8, false }, { "i64", WK_META_INTEGER, 8, true },
    { "f64", WK_META_NUMBER, 8, true },
};

uint64_t wk_load_uint(const char *p, size_t bytes, bool big_endian)
{
    const unsigned char *b = (const unsigned char *)p;
    uint64_t             u = 0;
    for (size_t i = 0; i < bytes; i++)
        u = u << 8 | b[big_endian ? i : bytes - 1 - i];
    return u;
}

/* ---- Adding ------------------------------------------------------------- */

static void free_value(wk_meta_value *m)
{
    wk_free(m->key);
    wk_free(m->text);
    wk_free(m->place);
    wk_file_release(m->file);
}

bool wk_archive_add_value(wk_archive *a, wk_str key, wk_meta_value m)
{
    wk_file_retain(m.file);
    if (wk_ok() && !wk_map_get(&a->value_index, key, NULL) && (m.key = wk_str_copy(key)) &&
        wk_reserve(&a->value, &a->value_room, a->value_count + 1, sizeof m) &&
        wk_map_put(&a->value_index, (wk_str){ m.key, key.size }, (int64_t)a->value_count))
        a->value[a->value_count++] = m;
    else
        free_value(&m);
    return wk_ok();
}

bool wk_archive_add_metadata(wk_archive *a, wk_str key, wk_str value)
{
    return wk_archive_add_value(a, key,
                                (wk_meta_value){ .kind = &wk_meta_kinds[WK_KIND_TEXT],
                                                 .text = wk_str_copy(value),
                                                 .size = value.size,
                                                 .count = 1 });
}

void wk_archive_free_metadata(wk_archive *a)
{
    for (size_t i = 0; i < a->value_count; i++)
        free_value(&a->value[i]);
    wk_free(a->value);
    wk_map_free(&a->value_index);
}

/* ---- Looking up --------------------------------------------------------- */

static const wk_meta_value *find(const wk_archive *a, const char *key)
{
    int64_t i;
    return a && key && wk_map_get(&a->value_index, wk_str_of(key), &i) ? &a->value[i] : NULL;
}

static void decode_text(const wk_meta_value *m, int64_t i, wk_meta *v)
{
    const char *at = m->list ? m->data + m->place[i] : NULL;
    v->text = m->list ? at + m->width : m->text;
    v->size = m->list ? (size_t)wk_load_uint(at, m->width, m->big_endian) : m->size;
}

static void decode_number(const wk_meta_value *m, int64_t i, wk_meta *v)
{
    size_t   n = m->kind->bytes;
    uint64_t u = wk_load_uint(m->data + (size_t)i * n, n, m->big_endian);
    float    f;
    if (m->kind->type == WK_META_NUMBER && n == 4) {
        uint32_t bits = (uint32_t)u;
        memcpy(&f, &bits, sizeof f);
        v->number = (double)f;
    } else if (m->kind->type == WK_META_NUMBER) {
        memcpy(&v->number, &u, sizeof u);
    } else if (m->kind->is_signed) {
        uint64_t sign = UINT64_C(1) << (8 * n - 1);
        v->integer = (int64_t)((u ^ sign) - sign);
        v->number = (double)v->integer;
    } else {
        v->integer = u > INT64_MAX ? INT64_MAX : (int64_t)u;
        v->number = (double)u;
    }
}

wk_meta wk_meta_value_at(const wk_meta_value *m, int64_t i)
{
    wk_meta v = { .list = m->list, .count = m->count };
    if (i < 0 || i >= v.count)
        return v;
    v.type = m->kind->type;
    if (v.type == WK_META_TEXT)
        decode_text(m, i, &v);
    else
        decode_number(m, i, &v);
    return v;
}

wk_meta wk_archive_meta(const wk_archive *a, const char *key, int64_t i)
{
    const wk_meta_value *m = find(a, key);
    return m ? wk_meta_value_at(m, i) : (wk_meta){ 0 };
}

const char *wk_archive_metadata_key(const wk_archive *a, int i)
{
    return a && i >= 0 && (size_t)i < a->value_count ? a->value[i].key : NULL;
}

const char *wk_archive_metadata(const wk_archive *a, const char *key)
{
    const wk_meta_value *m = find(a, key);
    return m ? m->text : NULL;
}
