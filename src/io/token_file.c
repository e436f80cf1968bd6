// SPDX-License-Identifier: MIT OR Apache-2.0
/* token_file.c - long texts as token ids: a header, 2 or 4 bytes for each, and their number.
 *
 * The header says what the ids were made from, as a hash of the texts and the vocabulary, so
 * that a file is made once and found again.  Documents are encoded on all threads, some
 * megabytes of text at a time, and written in their order. */
#include "../base/base.h"

#include <wick/data.h>

enum { ROUND = 8 << 20 }; /* bytes of text that are encoded at once */

typedef struct {
    char     magic[8];
    uint32_t width, vocab; /* bytes of an id; ids are below */
    uint64_t source;
} header;

static const char magic[8] = "wicktok1";
_Static_assert(sizeof(header) == 24, "the header has no gaps");

struct wk_token_file {
    header      head;
    uint64_t    count;
    const void *ids;
    wk_file    *file; /* that holds them ... */
    wk_buf      own;  /* ... or this does */
};

/* ---- Reading ------------------------------------------------------------- */

wk_token_file *wk_token_file_open(const char *path)
{
    wk_file       *f = wk_ok() ? wk_file_open(path) : NULL;
    wk_token_file *t = f ? wk_alloc(sizeof *t) : NULL;
    if (!t) {
        wk_file_release(f);
        return NULL;
    }
    t->file = f;
    const header *h = &t->head;
    size_t        most = sizeof *h + sizeof t->count; /* bytes beside the ids */
    if (f->size >= most) {
        memcpy(&t->head, f->data, sizeof t->head);
        memcpy(&t->count, f->data + f->size - sizeof t->count, sizeof t->count);
    }
    if (f->size < most || memcmp(h->magic, magic, sizeof magic))
        wk_fail(WK_ERR_FORMAT, "%s: not a file of tokens", path);
    else if ((h->width != 2 && h->width != 4) || h->vocab > INT32_MAX ||
             t->count != (f->size - most) / h->width || (f->size - most) % h->width)
        wk_fail(WK_ERR_FORMAT, "%s: %llu tokens of %u bytes do not fill a file of %zu", path,
                (unsigned long long)t->count, h->width, f->size);
    t->ids = f->data + sizeof *h;
    if (wk_ok())
        return t;
    wk_token_file_free(t);
    return NULL;
}

void wk_token_file_free(wk_token_file *f)
{
    if (!f)
        return;
    wk_file_release(f->file);
    wk_buf_free(&f->own);
    wk_free(f);
}

int64_t wk_token_file_count(const wk_token_file *f) { return f ? (int64_t)f->count : 0; }
int32_t wk_token_file_vocab(const wk_token_file *f) { return f ? (int32_t)f->head.vocab : 0; }

bool wk_token_file_get(const wk_token_file *f, int64_t first, int64_t count, int64_t *out)
{
    int64_t have = wk_token_file_count(f);
    if (wk_ok() && (first < 0 || count < 0 || first > have || count > have - first))
        wk_fail(WK_ERR_ARGUMENT, "tokens %lld and %lld more, of %lld", (long long)first,
                (long long)count, (long long)have);
    for (int64_t i = 0; wk_ok() && i < count; i++) {
        out[i] = f->head.width == 2 ? ((const uint16_t *)f->ids)[first + i]
                                    : ((const uint32_t *)f->ids)[first + i];
        if (out[i] >= f->head.vocab)
            wk_fail(WK_ERR_FORMAT, "token %lld is %lld, of a vocabulary of %u",
                    (long long)(first + i), (long long)out[i], f->head.vocab);
    }
    return wk_ok();
}

/* ---- Making -------------------------------------------------------------- */

typedef struct { /* a document */
    wk_str              text;
    const wk_tokenizer *tokenizer;
    wk_tokens           ids;
    wk_error_state      error;
} document;

typedef struct {
    const wk_token_file_args *a;
    header                    head;
    uint64_t                  ids;
    wk_writer                *writer; /* where ids go ... */
    wk_buf                   *own;    /* ... or this */
    document                 *documents;
    size_t                    count, room, bytes; /* of the documents that wait */
    wk_progress               progress;
    double                    done;
} maker;

static void encode(void *ctx, int64_t begin, int64_t end)
{
    for (document *d = (document *)ctx + begin; d < (document *)ctx + end; d++) {
        if (d->text.size)
            wk_encode(&d->ids, d->tokenizer, d->text.at, d->text.size, .no_special = true);
        wk_error_take(&d->error);
    }
}

static bool put(maker *m, const void *data, size_t size)
{
    if (m->writer)
        return wk_writer_add(m->writer, data, size);
    wk_buf_add(m->own, data, size);
    return wk_ok();
}

static bool put_ids(maker *m, wk_tokens *ids)
{
    for (size_t i = 0; m->head.width == 2 && i < ids->count; i++)
        ((uint16_t *)ids->id)[i] = (uint16_t)ids->id[i]; /* never ahead of what is read */
    m->ids += ids->count;
    return !ids->count || put(m, ids->id, ids->count * m->head.width);
}

/* The documents that wait, encoded and written. */
static bool flush(maker *m)
{
    wk_parallel((int64_t)m->count, 1, encode, m->documents);
    for (size_t i = 0; i < m->count; i++) {
        document *d = &m->documents[i];
        wk_error_raise(&d->error);
        if (wk_ok() && m->a->ends)
            wk_tokens_add(&d->ids, m->a->end);
        if (wk_ok())
            put_ids(m, &d->ids);
        wk_tokens_free(&d->ids);
    }
    m->done += (double)m->bytes;
    m->count = m->bytes = 0;
    return wk_progress_at(&m->progress, m->done);
}

static bool add_document(maker *m, wk_str text)
{
    if (!wk_reserve(&m->documents, &m->room, m->count + 1, sizeof *m->documents))
        return false;
    m->documents[m->count++] = (document){ .text = text, .tokenizer = m->a->tokenizer };
    m->bytes += text.size;
    return m->bytes < ROUND || flush(m);
}

static bool add_file(maker *m, const wk_file *f)
{
    const char *separator = m->a->separator ? m->a->separator : "<|endoftext|>";
    size_t      length = strlen(separator);
    for (const char *at = f->data, *end = at + f->size; wk_ok() && at < end;) {
        const char *stop = length ? memmem(at, (size_t)(end - at), separator, length) : NULL;
        add_document(m, (wk_str){ at, (size_t)((stop ? stop : end) - at) });
        at = stop ? stop + length : end;
    }
    return flush(m);
}

/* What the ids follow from. */
static uint64_t source_of(const wk_token_file_args *a, wk_file *const *file, size_t files)
{
    uint64_t h = wk_hash(&a->end, sizeof a->end) + a->ends;
    for (int32_t i = 0; i < wk_tokenizer_size(a->tokenizer); i++) {
        const char *piece = wk_tokenizer_piece(a->tokenizer, i);
        h = h * 0x9e3779b97f4a7c15 + (piece ? wk_hash(piece, strlen(piece)) : 1);
    }
    for (size_t i = 0; i < files; i++)
        h = h * 0x9e3779b97f4a7c15 + wk_hash(file[i]->data, file[i]->size);
    return a->separator ? h + wk_hash(a->separator, strlen(a->separator)) : h;
}

/* The file at path, if it is what would be made. */
static wk_token_file *find(const char *path, uint64_t source)
{
    if (!path || !wk_path_is_file(path))
        return NULL;
    wk_token_file *t = wk_token_file_open(path);
    if (t && t->head.source == source)
        return t;
    wk_token_file_free(t);
    wk_clear(); /* a damaged one is made anew */
    return NULL;
}

static bool write_all(maker *m, wk_file *const *file, size_t files)
{
    double total = 0;
    for (size_t i = 0; i < files; i++)
        total += (double)file[i]->size;
    wk_progress_start(&m->progress, "tokens", total);
    put(m, &m->head, sizeof m->head);
    for (size_t i = 0; wk_ok() && i < files; i++)
        add_file(m, file[i]);
    put(m, &m->ids, sizeof m->ids);
    wk_progress_end(&m->progress);
    wk_free(m->documents);
    return wk_ok();
}

static wk_token_file *make(const wk_token_file_args *a, uint64_t source, wk_file *const *file,
                           size_t files)
{
    wk_token_file *t = wk_alloc(sizeof *t);
    uint32_t       vocab = (uint32_t)wk_tokenizer_size(a->tokenizer);
    maker          m = { .a = a, .own = t ? &t->own : NULL };
    m.head = (header){ .width = vocab <= 1 << 16 ? 2 : 4, .vocab = vocab, .source = source };
    memcpy(m.head.magic, magic, sizeof magic);
    m.writer = t && a->path ? wk_writer_open(a->path) : NULL;
    if (t && wk_ok())
        write_all(&m, file, files);
    if (m.writer)
        wk_writer_close(m.writer);
    if (t && wk_ok() && !a->path) {
        t->head = m.head;
        t->count = m.ids;
        t->ids = t->own.data + sizeof m.head;
        return t;
    }
    wk_token_file_free(t);
    return wk_ok() && a->path ? wk_token_file_open(a->path) : NULL;
}

wk_token_file *wk_token_file_new_with(const wk_token_file_args *a)
{
    wk_file      **file = NULL;
    wk_token_file *t = NULL;
    size_t         files = 0, room = 0;
    if (wk_ok() && (!a->tokenizer || !a->files || !a->files[0]))
        wk_fail(WK_ERR_ARGUMENT, "tokens: %s", a->tokenizer ? "no files" : "no tokenizer");
    for (; wk_ok() && a->files[files]; files++)
        if (!wk_reserve(&file, &room, files + 1, sizeof *file) ||
            !(file[files] = wk_file_open(a->files[files])))
            break;
    if (wk_ok()) {
        uint64_t source = source_of(a, file, files);
        t = find(a->path, source);
        t = t || !wk_ok() ? t : make(a, source, file, files);
    }
    for (size_t i = 0; i < files; i++)
        wk_file_release(file[i]);
    wk_free(file);
    return t;
}
