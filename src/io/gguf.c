// SPDX-License-Identifier: MIT OR Apache-2.0
/* gguf.c - the file format of llama.cpp: typed metadata, descriptions of tensors, elements.
 *
 *     "GGUF" | u32 version | tensor count | value count
 *     values:  key | u32 kind | value;  of a list: u32 kind of its elements | count | elements
 *     tensors: name | u32 rank | dimensions, last first | u32 type | u64 offset
 *     padding | elements of each tensor, at multiples of general.alignment
 *
 * Counts and the lengths of texts are u64, in version 1 u32.  A file may be big-endian as a
 * whole: then the version's low half seems to be zero.  Nothing that the file says is believed
 * before it was compared with what is there. */
#include "io.h"

#include <stdio.h>

static const uint64_t MOST_BYTES = 1 << 30; /* of a text, a list */
static const uint64_t MOST_NAME = 65535;
static const uint64_t MOST_ALIGNMENT = 1 << 20;
enum { MOST_RANK = 4 };

static const wk_gguf_type types[] = {
    { "F32", 0, 1, 4, WK_F32 },
    { "F16", 1, 1, 2, WK_F16 },
    { "Q4_0", 2, 32, 18, WK_Q4_0 },
    { "Q4_1", 3, 32, 20, WK_Q4_1 },
    { "Q5_0", 6, 32, 22, WK_Q5_0 },
    { "Q5_1", 7, 32, 24, WK_Q5_1 },
    { "Q8_0", 8, 32, 34, WK_Q8_0 },
    { "Q8_1", 9, 32, 36, WK_Q8_1 },
    { "Q2_K", 10, 256, 84, WK_Q2_K },
    { "Q3_K", 11, 256, 110, WK_Q3_K },
    { "Q4_K", 12, 256, 144, WK_Q4_K },
    { "Q5_K", 13, 256, 176, WK_Q5_K },
    { "Q6_K", 14, 256, 210, WK_Q6_K },
    { "Q8_K", 15, 256, 292, WK_Q8_K },
    { "IQ2_XXS", 16, 256, 66, WK_IQ2_XXS },
    { "IQ2_XS", 17, 256, 74, WK_IQ2_XS },
    { "IQ3_XXS", 18, 256, 98, WK_IQ3_XXS },
    { "IQ1_S", 19, 256, 50, WK_IQ1_S },
    { "IQ4_NL", 20, 32, 18, WK_IQ4_NL },
    { "IQ3_S", 21, 256, 110, WK_IQ3_S },
    { "IQ2_S", 22, 256, 82, WK_IQ2_S },
    { "IQ4_XS", 23, 256, 136, WK_IQ4_XS },
    { "I8", 24, 1, 1, WK_I8 },
    { "I16", 25, 1, 2, WK_I16 },
    { "I32", 26, 1, 4, WK_I32 },
    { "I64", 27, 1, 8, WK_I64 },
    { "F64", 28, 1, 8, WK_F64 },
    { "IQ1_M", 29, 256, 56, WK_IQ1_M },
    { "BF16", 30, 1, 2, WK_BF16 },
    { "TQ1_0", 34, 256, 54, WK_TQ1_0 },
    { "TQ2_0", 35, 256, 66, WK_TQ2_0 },
    { "MXFP4", 39, 32, 17, WK_MXFP4 },
    { "NVFP4", 40, 64, 36, WK_NVFP4 },
    { "Q1_0", 41, 128, 18, WK_Q1_0 },
    { "Q2_0", 42, 64, 18, WK_Q2_0 },
};

/* Types that are refused, by name: block 0.  Those from 97 on are of ik_llama.cpp alone. */
static const wk_gguf_type refused[] = {
    { .name = "Q4_2", .id = 4 },        { .name = "Q4_3", .id = 5 },
    { .name = "Q4_0_4_4", .id = 31 },   { .name = "Q4_0_4_8", .id = 32 },
    { .name = "Q4_0_8_8", .id = 33 },   { .name = "IQ4_NL_4_4 or I2_S", .id = 36 },
    { .name = "IQ4_NL_4_8", .id = 37 }, { .name = "IQ4_NL_8_8", .id = 38 },
    { .name = "Q8_0_X4", .id = 97 },    { .name = "Q8_1_X4", .id = 98 },
    { .name = "Q8_2_X4", .id = 99 },    { .name = "Q6_0", .id = 133 },
    { .name = "IQ1_BN", .id = 134 },    { .name = "IQ2_BN", .id = 135 },
    { .name = "Q8_K64", .id = 136 },    { .name = "IQ2_K", .id = 137 },
    { .name = "IQ3_K", .id = 138 },     { .name = "IQ4_K", .id = 139 },
    { .name = "IQ5_K", .id = 140 },     { .name = "IQ6_K", .id = 141 },
    { .name = "IQ2_TN", .id = 142 },    { .name = "IQ1_TN", .id = 143 },
    { .name = "IQ4_KS", .id = 144 },    { .name = "IQ2_KS", .id = 145 },
    { .name = "IQ4_KSS", .id = 146 },   { .name = "Q8_K16", .id = 147 },
    { .name = "Q8_K32", .id = 148 },    { .name = "Q8_KR8", .id = 149 },
    { .name = "Q8_K128", .id = 150 },   { .name = "Q8_KV", .id = 151 },
    { .name = "IQ5_KS", .id = 152 },    { .name = "IQ2_KT", .id = 153 },
    { .name = "IQ3_KT", .id = 154 },    { .name = "IQ4_KT", .id = 155 },
    { .name = "IQ3_KS", .id = 156 },    { .name = "IQ2_KL", .id = 157 },
    { .name = "IQ1_KT", .id = 158 },    { .name = "Q4_0_R8", .id = 202 },
    { .name = "Q5_0_R4", .id = 206 },   { .name = "Q8_0_R8", .id = 208 },
    { .name = "Q2_K_R4", .id = 210 },   { .name = "Q3_K_R4", .id = 211 },
    { .name = "Q4_K_R4", .id = 212 },   { .name = "Q5_K_R4", .id = 213 },
    { .name = "Q6_K_R4", .id = 214 },   { .name = "IQ2_XXS_R4", .id = 216 },
    { .name = "IQ2_XS_R4", .id = 217 }, { .name = "IQ3_XXS_R4", .id = 218 },
    { .name = "IQ1_S_R4", .id = 219 },  { .name = "IQ4_NL_R4", .id = 220 },
    { .name = "IQ3_S_R4", .id = 221 },  { .name = "IQ2_S_R4", .id = 222 },
    { .name = "IQ4_XS_R8", .id = 223 }, { .name = "IQ1_M_R4", .id = 229 },
    { .name = "BF16_R16", .id = 230 },  { .name = "Q6_0_R4", .id = 233 },
    { .name = "IQ2_BN_R4", .id = 335 }, { .name = "IQ2_K_R4", .id = 337 },
    { .name = "IQ3_K_R4", .id = 338 },  { .name = "IQ4_K_R4", .id = 339 },
    { .name = "IQ5_K_R4", .id = 340 },  { .name = "IQ4_KS_R4", .id = 344 },
    { .name = "IQ5_KS_R4", .id = 352 }, { .name = "Q8_KV_R8", .id = 398 },
    { .name = "Q8_K_R8", .id = 399 },
};

const wk_gguf_type *wk_gguf_type_by_id(uint64_t id)
{
    for (size_t i = 0; i < WK_COUNT(types); i++)
        if (types[i].id == id)
            return &types[i];
    for (size_t i = 0; i < WK_COUNT(refused); i++)
        if (refused[i].id == id)
            return &refused[i];
    return NULL;
}

const wk_gguf_type *wk_gguf_type_of(wk_dtype dtype)
{
    for (size_t i = 0; i < WK_COUNT(types); i++)
        if (types[i].dtype == dtype && dtype != WK_DEFAULT)
            return &types[i];
    return NULL;
}

/* ---- The cursor --------------------------------------------------------- */

typedef struct {
    wk_archive *archive;
    wk_file    *file;
    const char *at, *end;
    bool        big_endian;
    uint8_t     width; /* bytes of counts and lengths */
    uint64_t    alignment;
    int64_t     part, parts, whole; /* split.no, split.count, split.tensors.count; -1: not said */
    wk_map      keys;               /* of this file */
} reader;

static uint64_t left(const reader *r) { return (uint64_t)(r->end - r->at); }

static bool has(const reader *r, uint64_t bytes)
{
    return wk_ok() &&
           (bytes <= left(r) || wk_file_refuse(r->file, "ends before what it says it holds"));
}

static uint64_t take(reader *r, size_t bytes)
{
    if (!has(r, bytes))
        return 0;
    r->at += bytes;
    return wk_load_uint(r->at - bytes, bytes, r->big_endian);
}

static wk_str take_text(reader *r)
{
    uint64_t n = take(r, r->width);
    if (wk_ok() && n > MOST_BYTES)
        wk_file_refuse(r->file, "a text of %llu bytes", (unsigned long long)n);
    if (!has(r, n))
        return WK_STR("");
    r->at += n;
    return (wk_str){ r->at - n, n };
}

/* A key, or the name of a tensor: used as a C string, and printed. */
static wk_str take_name(reader *r, const char *what)
{
    wk_str s = take_text(r);
    if (wk_ok() && (s.size == 0 || s.size > MOST_NAME))
        wk_file_refuse(r->file, "%s of %llu bytes", what, (unsigned long long)s.size);
    else if (wk_ok() && (memchr(s.at, '\0', s.size) || !wk_utf8_valid(s.at, s.size)))
        wk_file_refuse(r->file, "%s that is not UTF-8 or has a NUL in it", what);
    return s;
}

#define TEXT(s) (int)wk_min_i64((int64_t)(s).size, 100), (s).at

/* ---- Values ------------------------------------------------------------- */

static const struct {
    const char  *key;
    wk_meta_type type;
    bool         list;
} known[] = {
    { "general.architecture", WK_META_TEXT, false },
    { "general.alignment", WK_META_INTEGER, false },
    { "general.file_type", WK_META_INTEGER, false },
    { "general.quantization_version", WK_META_INTEGER, false },
    { "split.no", WK_META_INTEGER, false },
    { "split.count", WK_META_INTEGER, false },
    { "split.tensors.count", WK_META_INTEGER, false },
    { "tokenizer.ggml.model", WK_META_TEXT, false },
    { "tokenizer.ggml.pre", WK_META_TEXT, false },
    { "tokenizer.ggml.tokens", WK_META_TEXT, true },
    { "tokenizer.ggml.scores", WK_META_NUMBER, true },
    { "tokenizer.ggml.token_type", WK_META_INTEGER, true },
    { "tokenizer.ggml.token_type_count", WK_META_INTEGER, false },
    { "tokenizer.ggml.merges", WK_META_TEXT, true },
    { "tokenizer.ggml.precompiled_charsmap", WK_META_INTEGER, true },
    { "tokenizer.ggml.add_bos_token", WK_META_BOOL, false },
    { "tokenizer.ggml.add_eos_token", WK_META_BOOL, false },
    { "tokenizer.ggml.add_sep_token", WK_META_BOOL, false },
    { "tokenizer.ggml.add_space_prefix", WK_META_BOOL, false },
    { "tokenizer.ggml.remove_extra_whitespaces", WK_META_BOOL, false },
    { "tokenizer.huggingface.json", WK_META_TEXT, false },
    { "tokenizer.chat_template", WK_META_TEXT, false },
};

static bool is_token_id(wk_str key)
{
    return key.size > 24 && wk_str_starts(key, "tokenizer.ggml.") && wk_str_ends(key, "_token_id");
}

static bool fits_key(const reader *r, wk_str key, const wk_meta_value *m)
{
    bool good = !is_token_id(key) || (m->kind->type == WK_META_INTEGER && !m->list);
    for (size_t i = 0; i < WK_COUNT(known); i++)
        if (wk_str_is(key, known[i].key))
            good = m->kind->type == known[i].type && m->list == known[i].list;
    return good || wk_file_refuse(r->file, "%.*s must not be %s%s", TEXT(key),
                                  m->list ? "a list of " : "", m->kind->name);
}

/* Where each text of a list begins, so that element i is found at once. */
static bool read_places(reader *r, wk_meta_value *m)
{
    m->place = wk_alloc_array((size_t)m->count, sizeof *m->place);
    for (int64_t i = 0; i < m->count && wk_ok(); i++) {
        uint64_t place = (uint64_t)(r->at - m->data);
        if (place > MOST_BYTES)
            return wk_file_refuse(r->file, "a list of more than %llu bytes",
                                  (unsigned long long)MOST_BYTES);
        m->place[i] = (uint32_t)place;
        take_text(r);
    }
    return wk_ok();
}

static const wk_meta_kind *take_kind(reader *r, wk_str key)
{
    uint64_t kind = take(r, 4);
    if (wk_ok() && kind >= WK_COUNT(wk_meta_kinds))
        wk_file_refuse(r->file, "%.*s: a value of unknown kind %llu", TEXT(key),
                       (unsigned long long)kind);
    return wk_ok() ? &wk_meta_kinds[kind] : NULL;
}

static bool read_elements(reader *r, wk_str key, wk_meta_value *m)
{
    size_t least = m->kind->type == WK_META_TEXT ? r->width : m->kind->bytes;
    m->data = r->at;
    if ((uint64_t)m->count > left(r) / least)
        return wk_file_refuse(r->file, "%.*s: its value does not fit into the file", TEXT(key));
    if (m->kind->type == WK_META_TEXT)
        return read_places(r, m);
    r->at += (size_t)m->count * least;
    if (m->kind->type == WK_META_BOOL)
        for (const char *p = m->data; p < r->at; p++)
            if (*p != 0 && *p != 1)
                return wk_file_refuse(r->file, "%.*s: a bool is %d", TEXT(key), *p);
    return true;
}

static bool read_content(reader *r, wk_str key, wk_meta_value *m)
{
    if (!m->list && m->kind->type == WK_META_TEXT) {
        wk_str s = take_text(r);
        m->size = s.size;
        m->text = wk_ok() ? wk_str_copy(s) : NULL;
        return wk_ok();
    }
    if (m->list) {
        uint64_t count = take(r, r->width);
        if (wk_ok() && count > MOST_BYTES)
            return wk_file_refuse(r->file, "%.*s: a list of %llu elements", TEXT(key),
                                  (unsigned long long)count);
        m->count = (int64_t)count;
    }
    return wk_ok() && read_elements(r, key, m);
}

/* What the reader itself needs of the values; the archive has them of the first part alone. */
static bool note(reader *r, wk_str key, const wk_meta_value *m)
{
    if (wk_str_is(key, "split.no"))
        r->part = wk_meta_value_at(m, 0).integer;
    else if (wk_str_is(key, "split.count"))
        r->parts = wk_meta_value_at(m, 0).integer;
    else if (wk_str_is(key, "split.tensors.count"))
        r->whole = wk_meta_value_at(m, 0).integer;
    else if (wk_str_is(key, "general.alignment")) {
        r->alignment = (uint64_t)wk_meta_value_at(m, 0).integer;
        if (!r->alignment || r->alignment & (r->alignment - 1) || r->alignment > MOST_ALIGNMENT)
            return wk_file_refuse(r->file, "an alignment of %lld", (long long)r->alignment);
    }
    return true;
}

static void read_value(reader *r)
{
    wk_str              key = take_name(r, "a key");
    const wk_meta_kind *kind = wk_ok() ? take_kind(r, key) : NULL;
    wk_meta_value       m = { .kind = kind,
                              .file = r->file,
                              .count = 1,
                              .width = r->width,
                              .list = kind == &wk_meta_kinds[WK_KIND_LIST],
                              .big_endian = r->big_endian };
    if (m.list)
        m.kind = take_kind(r, key);
    if (!wk_ok())
        return;
    if (m.kind == &wk_meta_kinds[WK_KIND_LIST])
        wk_file_refuse(r->file, "%.*s: a list of lists", TEXT(key));
    else if (wk_map_get(&r->keys, key, NULL))
        wk_file_refuse(r->file, "there are two values of %.*s", TEXT(key));
    else if (fits_key(r, key, &m) && read_content(r, key, &m) && note(r, key, &m) &&
             wk_map_put(&r->keys, key, 0)) {
        wk_archive_add_value(r->archive, key, m);
        return;
    }
    wk_free(m.text);
    wk_free(m.place);
}

/* ---- Tensors ------------------------------------------------------------ */

typedef struct {
    wk_str   name;
    wk_entry entry;
    uint64_t offset;
} described;

static bool take_shape(reader *r, described *t)
{
    uint64_t rank = take(r, 4);
    if (wk_ok() && (rank < 1 || rank > MOST_RANK))
        return wk_file_refuse(r->file, "%.*s: a tensor of rank %llu", TEXT(t->name),
                              (unsigned long long)rank);
    t->entry.shape.rank = (int)rank;
    for (int i = t->entry.shape.rank - 1; i >= 0; i--) {
        uint64_t dim = take(r, r->width);
        if (wk_ok() && (dim == 0 || dim > INT64_MAX))
            return wk_file_refuse(r->file, "%.*s: a dimension of %lld", TEXT(t->name),
                                  (long long)dim);
        t->entry.shape.dim[i] = (int64_t)dim;
    }
    return wk_ok();
}

/* How many bytes the elements take. */
static bool measure(const reader *r, described *t, const wk_gguf_type *type)
{
    const wk_shape *s = &t->entry.shape;
    size_t          n = (size_t)s->dim[s->rank - 1];
    if (n % type->block)
        return wk_file_refuse(r->file, "%.*s: rows of %zu elements are not blocks of %d",
                              TEXT(t->name), n, type->block);
    bool fits = !wk_mul_overflows(n / type->block, type->bytes, &n);
    for (int i = 0; i < s->rank - 1 && fits; i++)
        fits = !wk_mul_overflows(n, (size_t)s->dim[i], &n);
    t->entry.bytes = n;
    return (fits && n <= INT64_MAX) ||
           wk_file_refuse(r->file, "%.*s: its size overflows", TEXT(t->name));
}

static bool take_tensor(reader *r, described *t)
{
    *t = (described){ .entry.file = r->file, .entry.big_endian = r->big_endian };
    t->name = take_name(r, "the name of a tensor");
    if (!wk_ok() || !take_shape(r, t))
        return false;
    uint64_t id = take(r, 4);
    t->offset = take(r, 8);
    const wk_gguf_type *type = wk_gguf_type_by_id(id);
    if (wk_ok() && !type)
        return wk_file_refuse(r->file, "%.*s: unknown type %llu", TEXT(t->name),
                              (unsigned long long)id);
    if (wk_ok() && !type->block) {
        wk_fail(WK_ERR_UNSUPPORTED, "%s: %.*s: type %s %s", r->file->path, TEXT(t->name),
                type->name, id < 97 ? "is no longer in use" : "is ik_llama.cpp's own");
        return false;
    }
    if (!wk_ok())
        return false;
    t->entry.dtype_name = type->name;
    t->entry.dtype = type->block > 1 && r->big_endian ? WK_DEFAULT : type->dtype;
    return measure(r, t, type);
}

static bool place_tensor(reader *r, described *t, const char *data)
{
    uint64_t room = (uint64_t)(r->end - data);
    if (t->offset % r->alignment)
        return wk_file_refuse(r->file, "%.*s: its offset %llu is not aligned", TEXT(t->name),
                              (unsigned long long)t->offset);
    if (t->offset > room || t->entry.bytes > room - t->offset)
        return wk_file_refuse(r->file, "%.*s: lies outside of the file", TEXT(t->name));
    t->entry.data = data + t->offset;
    return wk_archive_add(r->archive, t->name, t->entry);
}

static bool are_apart(const reader *r, size_t first)
{
    size_t    n = r->archive->count - first;
    wk_entry *e = wk_archive_sorted(r->archive, first);
    for (size_t i = 1; e && i < n && wk_ok(); i++)
        if (e[i].data < e[i - 1].data + e[i - 1].bytes)
            wk_file_refuse(r->file, "%s and %s overlap", e[i - 1].name, e[i].name);
    wk_free(e);
    return wk_ok();
}

/* First to see where the elements begin, then to place each. */
static bool read_tensors(reader *r, uint64_t count)
{
    const char *start = r->at;
    size_t      first = r->archive->count;
    described   t;
    if (count > left(r) / (r->width + 1 + 4 + r->width + 4 + 8))
        return wk_file_refuse(r->file, "%llu tensors do not fit into the file",
                              (unsigned long long)count);
    for (uint64_t i = 0; i < count && wk_ok(); i++)
        take_tensor(r, &t);
    uint64_t padding = -(uint64_t)(r->at - r->file->data) & (r->alignment - 1);
    if (!count || !has(r, padding))
        return wk_ok();
    const char *data = r->at + padding;
    r->at = start;
    for (uint64_t i = 0; i < count && wk_ok(); i++)
        if (take_tensor(r, &t))
            place_tensor(r, &t, data);
    return wk_ok() && are_apart(r, first);
}

/* ---- Files -------------------------------------------------------------- */

bool wk_gguf_is(const wk_file *f) { return f->size >= 4 && !memcmp(f->data, "GGUF", 4); }

static bool read_file(reader *r)
{
    take(r, 4);
    r->big_endian = has(r, 4) && !(wk_load_uint(r->at, 4, false) & 0xFFFF);
    uint64_t version = take(r, 4);
    if (wk_ok() && (version < 1 || version > 3))
        return wk_file_refuse(r->file, "GGUF version %llu", (unsigned long long)version);
    r->width = version == 1 ? 4 : 8;
    uint64_t tensors = take(r, r->width), values = take(r, r->width);
    if (wk_ok() && values > left(r) / (r->width + 1 + 4 + 1))
        return wk_file_refuse(r->file, "%llu values do not fit into the file",
                              (unsigned long long)values);
    for (uint64_t i = 0; i < values && wk_ok(); i++)
        read_value(r);
    return wk_ok() && read_tensors(r, tensors);
}

/* What the tokens of a vocabulary are said to be must fit their number. */
static bool check_vocabulary(const wk_archive *a, const char *path)
{
    static const char *const of_tokens[] = { "tokenizer.ggml.scores", "tokenizer.ggml.token_type" };
    int64_t                  tokens = wk_archive_meta(a, "tokenizer.ggml.tokens", 0).count;
    const char              *key;
    for (size_t i = 0; i < WK_COUNT(of_tokens); i++) {
        wk_meta m = wk_archive_meta(a, of_tokens[i], 0);
        if (m.list && m.count != tokens)
            wk_fail(WK_ERR_FORMAT, "%s: %s has %lld elements for %lld tokens", path, of_tokens[i],
                    (long long)m.count, (long long)tokens);
    }
    for (int i = 0; tokens && (key = wk_archive_metadata_key(a, i)); i++) {
        wk_meta m = wk_archive_meta(a, key, 0);
        if (is_token_id(wk_str_of(key)) && (m.integer < 0 || m.integer >= tokens))
            wk_fail(WK_ERR_FORMAT, "%s: %s is %lld, but there are %lld tokens", path, key,
                    (long long)m.integer, (long long)tokens);
    }
    return wk_ok();
}

/* -00001-of-00002.gguf at the end of a path; 0: not the name of a part. */
int wk_gguf_parts(const char *path, int *which)
{
    static const char like[] = "-#####-of-#####.gguf";
    size_t            n = strlen(path), tail = sizeof like - 1;
    int               number[2] = { 0, 0 };
    if (n < tail)
        return 0;
    for (size_t i = 0; i < tail; i++) {
        char c = path[n - tail + i];
        if (like[i] == '#' ? c < '0' || c > '9' : c != like[i])
            return 0;
        if (like[i] == '#')
            number[i > 6] = number[i > 6] * 10 + (c - '0');
    }
    *which = number[0] - 1;
    return number[0] >= 1 && number[0] <= number[1] ? number[1] : 0;
}

/* Part i of so many; f is the file that was asked for. */
static bool read_part(wk_archive *a, wk_file *f, int i, int parts)
{
    int    which = 0;
    wk_buf path = { 0 };
    bool   own = !parts || (wk_gguf_parts(f->path, &which) && which == i);
    reader r = { .archive = a, .alignment = 32, .part = -1, .parts = -1, .whole = -1 };
    if (!own)
        wk_buf_printf(&path, "%.*s%05d-of-%05d.gguf", (int)strlen(f->path) - 19, f->path, i + 1,
                      parts);
    r.file = own ? wk_file_retain(f) : wk_file_open(path.data);
    wk_buf_free(&path);
    if (r.file && !wk_gguf_is(r.file))
        wk_file_refuse(r.file, "not a GGUF file");
    if (wk_ok()) {
        r.at = r.file->data;
        r.end = r.at + r.file->size;
        read_file(&r);
    }
    if (wk_ok() && parts ? r.parts != parts && (parts > 1 || r.parts >= 0) : r.parts > 1)
        wk_file_refuse(r.file, "its name does not end as that of a part of %lld",
                       (long long)r.parts);
    else if (wk_ok() && parts > 1 && r.part != i)
        wk_file_refuse(r.file, "it is part %lld by what it says, %d by its name", (long long)r.part,
                       i);
    else if (wk_ok() && i + 1 >= parts && r.whole >= 0 && (uint64_t)r.whole != a->count)
        wk_file_refuse(r.file, "there are %zu tensors, not %lld", a->count, (long long)r.whole);
    wk_map_free(&r.keys);
    wk_file_release(r.file);
    return wk_ok();
}

bool wk_gguf_read(wk_archive *a, wk_file *f)
{
    int which, parts = wk_gguf_parts(f->path, &which);
    for (int i = 0; i < (parts ? parts : 1) && wk_ok(); i++)
        read_part(a, f, i, parts);
    return wk_ok() && check_vocabulary(a, f->path);
}
