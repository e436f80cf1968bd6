// SPDX-License-Identifier: MIT OR Apache-2.0
/* archive.c - files of named tensors: found, opened by format, looked up by name. */
#include "io.h"

#include <stdlib.h>

static const struct {
    const char *name;
    bool (*is)(const wk_file *f);
    bool (*read)(wk_archive *a, wk_file *f);
} formats[] = {
    { "safetensors", wk_safetensors_is, wk_safetensors_read },
    { "GGUF", wk_gguf_is, wk_gguf_read },
    { "ggml", wk_ggml_is, wk_ggml_read },
};

/* ---- Entries ------------------------------------------------------------ */

bool wk_archive_add(wk_archive *a, wk_str name, wk_entry entry)
{
    if (wk_map_get(&a->index, name, NULL)) {
        wk_fail(WK_ERR_FORMAT, "%s: there are two tensors %.*s", entry.file->path,
                (int)wk_min_i64((int64_t)name.size, 200), name.at);
        return false;
    }
    entry.name =
        wk_reserve(&a->entry, &a->room, a->count + 1, sizeof *a->entry) ? wk_str_copy(name) : NULL;
    if (!entry.name)
        return false;
    if (!wk_map_put(&a->index, (wk_str){ entry.name, name.size }, (int64_t)a->count)) {
        wk_free(entry.name);
        return false;
    }
    wk_file_retain(entry.file);
    a->entry[a->count++] = entry;
    return true;
}

static int by_place(const void *a, const void *b)
{
    const wk_entry *x = a, *y = b;
    if (x->data != y->data)
        return x->data < y->data ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

wk_entry *wk_archive_sorted(const wk_archive *a, size_t first)
{
    size_t    n = a->count - first;
    wk_entry *e = wk_alloc_array(n, sizeof *e);
    if (e && n) {
        memcpy(e, a->entry + first, n * sizeof *e);
        qsort(e, n, sizeof *e, by_place);
    }
    return e;
}

/* ---- Opening ------------------------------------------------------------ */

bool wk_archive_is_gguf(const char *path)
{
    wk_file *f = wk_file_open(path);
    bool     is = f && (wk_gguf_is(f) || wk_ggml_is(f));
    wk_file_release(f);
    return is;
}

static bool read_file(wk_archive *a, const char *path)
{
    wk_file *f = wk_file_open(path);
    if (!f)
        return false;
    size_t i = 0;
    while (i < WK_COUNT(formats) && !formats[i].is(f))
        i++;
    if (i < WK_COUNT(formats))
        formats[i].read(a, f);
    else
        wk_fail(WK_ERR_FORMAT, "%s: not a safetensors file, and not GGUF", path);
    wk_file_release(f);
    return wk_ok();
}

/* A shard is named by another file: it must not lead out of the folder. */
static bool is_plain_name(wk_str name)
{
    return name.size > 0 && name.size < 256 && !memchr(name.at, '/', name.size) &&
           !memchr(name.at, '\\', name.size) && !memchr(name.at, '\0', name.size) &&
           !wk_str_is(name, "..") && !wk_str_is(name, ".");
}

typedef struct {
    char *tensor, *shard;
} place;

/* {"weight_map": {tensor: shard, ...}} */
static place *read_weight_map(const wk_file *f, size_t *count)
{
    place  *list = NULL;
    size_t  room = 0;
    wk_json j;
    wk_str  key;
    bool    found = false;
    wk_json_open(&j, f->path, f->data, f->size);
    for (wk_json_object(&j); wk_json_key(&j, &key);) {
        if (found || !wk_str_is(key, "weight_map")) {
            wk_json_skip(&j);
            continue;
        }
        found = true;
        for (wk_json_object(&j);
             wk_json_key(&j, &key) && wk_reserve(&list, &room, *count + 1, sizeof *list);) {
            place *p = &list[(*count)++];
            p->tensor = wk_str_copy(key);
            wk_str shard = wk_json_string(&j);
            p->shard = wk_str_copy(shard);
            if (wk_ok() && !is_plain_name(shard))
                wk_json_fail(&j, "%s: not a file name: %s", p->tensor, p->shard);
        }
    }
    wk_json_close(&j);
    if (wk_ok() && !found)
        wk_fail(WK_ERR_FORMAT, "%s: there is no weight_map", f->path);
    return list;
}

/* Open each shard once, then see that every tensor is where the map says. */
static bool read_index(wk_archive *a, const wk_file *f, const char *folder)
{
    size_t count = 0;
    place *list = read_weight_map(f, &count);
    wk_map opened = { 0 };
    for (size_t i = 0; i < count && wk_ok(); i++) {
        if (wk_map_get(&opened, wk_str_of(list[i].shard), NULL))
            continue;
        char *path = wk_path_join(folder, list[i].shard);
        if (path && read_file(a, path))
            wk_map_put(&opened, wk_str_of(list[i].shard), 1);
        wk_free(path);
    }
    for (size_t i = 0; i < count && wk_ok(); i++) {
        int         at = wk_archive_find(a, list[i].tensor);
        const char *path = at < 0 ? "" : a->entry[at].file->path, *slash = strrchr(path, '/');
        if (strcmp(slash ? slash + 1 : path, list[i].shard))
            wk_fail(WK_ERR_FORMAT, "%s: %s is not in %s", f->path, list[i].tensor, list[i].shard);
    }
    for (size_t i = 0; i < count; i++) {
        wk_free(list[i].tensor);
        wk_free(list[i].shard);
    }
    wk_free(list);
    wk_map_free(&opened);
    return wk_ok();
}

static bool open_index(wk_archive *a, const char *path)
{
    const char *slash = strrchr(path, '/');
    char       *folder = slash ? wk_str_copy((wk_str){ path, (size_t)(slash - path) + 1 })
                               : wk_str_copy(WK_STR("./"));
    wk_file    *f = folder ? wk_file_open(path) : NULL;
    if (f)
        read_index(a, f, folder);
    wk_file_release(f);
    wk_free(folder);
    return wk_ok();
}

/* A folder of one GGUF file, or of the parts of one. */
static bool open_only_gguf(wk_archive *a, const char *path)
{
    char *first = NULL;
    int   which, count = wk_folder_count(path, ".gguf", &first);
    char *file = first ? wk_path_join(path, first) : NULL;
    if (wk_ok() && !count)
        wk_fail(WK_ERR_IO, "%s: there is no model.safetensors in this folder, and no GGUF file",
                path);
    else if (wk_ok() && count != 1 && count != wk_gguf_parts(first, &which))
        wk_fail(WK_ERR_IO, "%s: there are %d GGUF files in this folder: name one", path, count);
    else if (wk_ok())
        read_file(a, file);
    wk_free(first);
    wk_free(file);
    return wk_ok();
}

static bool open_folder(wk_archive *a, const char *path)
{
    char *whole = wk_path_join(path, "model.safetensors");
    char *index = wk_path_join(path, "model.safetensors.index.json");
    if (wk_ok() && wk_path_is_file(whole))
        read_file(a, whole);
    else if (wk_ok() && wk_path_is_file(index))
        open_index(a, index);
    else if (wk_ok())
        open_only_gguf(a, path);
    wk_free(whole);
    wk_free(index);
    return wk_ok();
}

wk_archive *wk_archive_open(const char *path)
{
    wk_archive *a = wk_ok() ? wk_alloc(sizeof *a) : NULL;
    if (!a)
        return NULL;
    if (!path)
        wk_fail(WK_ERR_ARGUMENT, "an archive without a name");
    else if ((a->path = wk_str_copy(wk_str_of(path)))) {
        if (wk_path_is_folder(path))
            open_folder(a, path);
        else if (wk_str_ends(wk_str_of(path), ".index.json"))
            open_index(a, path);
        else
            read_file(a, path);
    }
    if (wk_ok())
        return a;
    wk_archive_free(a);
    return NULL;
}

void wk_archive_free(wk_archive *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->count; i++) {
        wk_file_release(a->entry[i].file);
        wk_free(a->entry[i].name);
    }
    wk_archive_free_metadata(a);
    wk_free(a->entry);
    wk_map_free(&a->index);
    wk_free(a->path);
    wk_free(a);
}

/* ---- Looking up --------------------------------------------------------- */

static const wk_entry *entry_at(const wk_archive *a, int i)
{
    return a && i >= 0 && (size_t)i < a->count ? &a->entry[i] : NULL;
}

const char *wk_archive_path(const wk_archive *a) { return a ? a->path : NULL; }
int         wk_archive_count(const wk_archive *a) { return a ? (int)a->count : 0; }

const char *wk_archive_name(const wk_archive *a, int i)
{
    const wk_entry *e = entry_at(a, i);
    return e ? e->name : "";
}

const char *wk_archive_dtype(const wk_archive *a, int i)
{
    const wk_entry *e = entry_at(a, i);
    return e ? e->dtype_name : "";
}

wk_shape wk_archive_shape(const wk_archive *a, int i)
{
    const wk_entry *e = entry_at(a, i);
    return e ? e->shape : WK_SCALAR;
}

int wk_archive_find(const wk_archive *a, const char *name)
{
    int64_t i;
    return a && name && wk_map_get(&a->index, wk_str_of(name), &i) ? (int)i : -1;
}

/* Big-endian elements into ours. */
static void turn_around(char *p, size_t count, size_t size)
{
    for (; count--; p += size)
        for (size_t i = 0; i < size / 2; i++) {
            char c = p[i];
            p[i] = p[size - 1 - i];
            p[size - 1 - i] = c;
        }
}

wk_tensor *wk_archive_get(const wk_archive *a, const char *name)
{
    if (!wk_ok() || !a)
        return NULL;
    const wk_entry *e = entry_at(a, wk_archive_find(a, name));
    if (!e) {
        wk_fail(WK_ERR_ARGUMENT, "%s: there is no tensor %s", a->path, name ? name : "NULL");
        return NULL;
    }
    if (e->dtype == WK_DEFAULT) {
        wk_fail(WK_ERR_UNSUPPORTED, "%s: %s is of dtype %s", a->path, e->name, e->dtype_name);
        return NULL;
    }
    wk_tensor *x;
    size_t     size = wk_dtypes[e->dtype].size;
    bool       fits = wk_dtypes[e->dtype].block || (uintptr_t)e->data % size == 0;
    if (fits && !e->big_endian) {
        x = wk_pool(wk_tensor_map(e->dtype, e->shape, e->file, e->data));
    } else { /* the format does not promise alignment */
        x = wk_pool(wk_tensor_new(wk_cpu_device(), e->dtype, e->shape));
        if (x && e->bytes)
            memcpy(wk_at_host(x), e->data, e->bytes);
        if (x && e->big_endian)
            turn_around(wk_at_host(x), e->bytes / size, size);
    }
    return x && wk_set_name(x, e->name) ? x : NULL;
}
