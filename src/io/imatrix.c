// SPDX-License-Identifier: MIT OR Apache-2.0
/* imatrix.c - importance matrices: what the columns of weights are multiplied with, as the
 * mean of squares.
 *
 * A GGUF file has for each weight NAME a tensor NAME.in_sum2 [matrices, columns] of sums and
 * NAME.counts [matrices, 1] of how many rows were summed.  The older kind is
 *
 *     i32 count | entries: i32 size | name | i32 calls | i32 count | f32 means * calls
 *     perhaps: i32 chunks | i32 size | name of the text */
#include "io.h"
#include "quantize.h"

#include <math.h>

/* An entry that owns its memory; count numbers, not yet set. */
static wk_importance *add(wk_imatrix *m, wk_str name, int64_t count)
{
    if (!wk_ok() || !wk_reserve(&m->entry, &m->room, m->count + 1, sizeof *m->entry))
        return NULL;
    wk_importance *e = &m->entry[m->count++];
    *e = (wk_importance){ .name = wk_str_copy(name), .count = count };
    e->mean = e->name ? wk_alloc_array((size_t)count, sizeof *e->mean) : NULL;
    if (!e->mean || !wk_map_put(&m->index, wk_str_of(e->name), (int64_t)m->count - 1))
        return NULL;
    return e;
}

static void check(const wk_importance *e, const char *path)
{
    for (int64_t i = 0; i < e->count && wk_ok(); i++)
        if (!isfinite(e->mean[i]))
            wk_fail(WK_ERR_FORMAT, "%s: %s has an importance that is not finite", path, e->name);
}

/* ---- GGUF ---------------------------------------------------------------- */

/* Sums of several matrices, each divided by its own count: none were seen, all count alike. */
static void divide(wk_importance *e, const float *count, int64_t matrices)
{
    int64_t columns = e->count / matrices;
    for (int64_t k = 0; k < matrices; k++)
        for (int64_t i = 0; i < columns; i++) {
            float *x = &e->mean[k * columns + i], n = (float)lroundf(count[k]);
            *x = n > 0 ? *x / n : 1;
        }
}

static void take_entry(wk_imatrix *m, const wk_archive *a, const char *path, wk_str name)
{
    wk_buf     other = { 0 };
    wk_scope   scope = wk_mark();
    wk_tensor *sums = NULL, *counts = NULL;
    wk_buf_printf(&other, "%.*s.in_sum2", (int)name.size, name.at);
    sums = wk_archive_get(a, other.data);
    wk_buf_clear(&other);
    wk_buf_printf(&other, "%.*s.counts", (int)name.size, name.at);
    counts = wk_archive_get(a, other.data);
    wk_importance *e = wk_ok() ? add(m, name, wk_count(sums)) : NULL;
    float         *count = e ? wk_alloc_array((size_t)wk_count(counts), sizeof *count) : NULL;
    if (count && (wk_count(counts) < 1 || e->count % wk_count(counts)))
        wk_fail(WK_ERR_FORMAT, "%s: %s has %lld sums and %lld counts", path, e->name,
                (long long)e->count, (long long)wk_count(counts));
    if (count && wk_ok() && wk_to_f32(sums, e->mean) && wk_to_f32(counts, count)) {
        divide(e, count, wk_count(counts));
        check(e, path);
    }
    wk_free(count);
    wk_buf_free(&other);
    wk_sweep(scope);
}

static void read_gguf(wk_imatrix *m, const char *path)
{
    static const char end[] = ".in_sum2";
    wk_archive       *a = wk_archive_open(path);
    for (int i = 0; wk_ok() && i < wk_archive_count(a); i++) {
        wk_str name = wk_str_of(wk_archive_name(a, i));
        if (wk_str_ends(name, end))
            take_entry(m, a, path, (wk_str){ name.at, name.size - (sizeof end - 1) });
    }
    wk_meta text = wk_archive_meta(a, "imatrix.datasets", 0);
    m->chunks = wk_archive_meta(a, "imatrix.chunk_count", 0).integer;
    if (wk_ok() && text.type == WK_META_TEXT)
        m->text = wk_str_copy((wk_str){ text.text, text.size });
    if (wk_ok() && !m->count)
        wk_fail(WK_ERR_FORMAT, "%s: not an importance matrix", path);
    wk_archive_free(a);
}

/* ---- The older kind ------------------------------------------------------ */

typedef struct {
    const char *path, *at, *end;
} cursor;

static bool has(const cursor *c, uint64_t bytes)
{
    if (wk_ok() && bytes > (uint64_t)(c->end - c->at))
        wk_fail(WK_ERR_FORMAT, "%s: not an importance matrix, or cut off", c->path);
    return wk_ok();
}

/* A number that is not negative. */
static int64_t take(cursor *c)
{
    if (!has(c, 4))
        return 0;
    uint64_t n = wk_load_uint(c->at, 4, false);
    c->at += 4;
    if (n > INT32_MAX)
        wk_fail(WK_ERR_FORMAT, "%s: not an importance matrix", c->path);
    return wk_ok() ? (int64_t)n : 0;
}

static wk_str take_text(cursor *c)
{
    int64_t n = take(c);
    if (!has(c, (uint64_t)n))
        return WK_STR("");
    c->at += n;
    return (wk_str){ c->at - n, (size_t)n };
}

static void read_entry(wk_imatrix *m, cursor *c)
{
    wk_str  name = take_text(c);
    int64_t calls = take(c), count = take(c);
    if (!has(c, (uint64_t)count * 4))
        return;
    if (!count || !name.size || memchr(name.at, '\0', name.size)) {
        wk_fail(WK_ERR_FORMAT, "%s: not an importance matrix", c->path);
        return;
    }
    wk_importance *e = add(m, name, count);
    for (int64_t i = 0; e && i < count; i++, c->at += 4) {
        uint32_t bits = (uint32_t)wk_load_uint(c->at, 4, false);
        memcpy(&e->mean[i], &bits, sizeof bits);
        e->mean[i] /= calls > 0 ? (float)calls : 1;
    }
    if (e)
        check(e, c->path);
}

static void read_old(wk_imatrix *m, const wk_file *f)
{
    cursor  c = { f->path, f->data, f->data + f->size };
    int64_t count = take(&c);
    if (wk_ok() && !count)
        wk_fail(WK_ERR_FORMAT, "%s: not an importance matrix", f->path);
    for (int64_t i = 0; i < count && wk_ok(); i++)
        read_entry(m, &c);
    if (wk_ok() && c.end - c.at >= 8) {
        m->chunks = take(&c);
        wk_str text = take_text(&c);
        m->text = wk_ok() && text.size ? wk_str_copy(text) : NULL;
    }
}

/* ---- Both ---------------------------------------------------------------- */

bool wk_imatrix_read(wk_imatrix *m, const char *path)
{
    *m = (wk_imatrix){ 0 };
    wk_file *f = wk_file_open(path);
    if (f && wk_gguf_is(f))
        read_gguf(m, path);
    else if (f)
        read_old(m, f);
    wk_file_release(f);
    return wk_ok();
}

const wk_importance *wk_imatrix_find(const wk_imatrix *m, const char *name)
{
    int64_t i;
    return wk_map_get(&m->index, wk_str_of(name), &i) ? &m->entry[i] : NULL;
}

void wk_imatrix_free(wk_imatrix *m)
{
    for (size_t i = 0; i < m->count; i++) {
        wk_free(m->entry[i].name);
        wk_free(m->entry[i].mean);
    }
    wk_free(m->entry);
    wk_map_free(&m->index);
    wk_free(m->text);
}
