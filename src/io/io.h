// SPDX-License-Identifier: MIT OR Apache-2.0
/* io.h - what an archive is made of, for the readers of its formats. */
#ifndef WK_IO_H
#define WK_IO_H

#include "../core/core.h"
#include <wick/io.h>

typedef struct {
    char       *name;
    const char *dtype_name; /* as the file calls it */
    wk_dtype    dtype;      /* WK_DEFAULT: known to the format, but not to this library */
    wk_shape    shape;
    wk_file    *file; /* counted */
    const char *data; /* in file; of any alignment */
    size_t      bytes;
    bool        big_endian;
} wk_entry;

typedef struct { /* how a value of metadata is stored */
    const char  *name;
    wk_meta_type type;
    uint8_t      bytes; /* of an element; 0: a text */
    bool         is_signed;
} wk_meta_kind;

enum { WK_KIND_U32 = 4, WK_KIND_I32, WK_KIND_F32, WK_KIND_BOOL, WK_KIND_TEXT, WK_KIND_LIST };
extern const wk_meta_kind wk_meta_kinds[13]; /* by GGUF's number */

typedef struct { /* a value of metadata, or a list of them */
    char               *key;
    const wk_meta_kind *kind;
    wk_file            *file;  /* counted; NULL: it is in no file as it is */
    const char         *data;  /* in file, or in text: the elements */
    char               *text;  /* of a single text: a copy, terminated; else what owns data */
    uint32_t           *place; /* of a list of texts: where in data the length of each is */
    int64_t             count;
    size_t              size;  /* of text */
    uint8_t             width; /* bytes of the length of a text */
    bool                list, big_endian;
} wk_meta_value;

struct wk_archive {
    char     *path;
    wk_entry *entry;
    size_t    count, room;
    wk_map    index; /* name -> entry */

    wk_meta_value *value;
    size_t         value_count, value_room;
    wk_map         value_index; /* key -> value */
};

/* Append an entry; copies name, counts file.  A name that is there already is an error. */
bool wk_archive_add(wk_archive *a, wk_str name, wk_entry entry);

/* The entries from first on, sorted by where they are: wk_free() it. */
wk_entry *wk_archive_sorted(const wk_archive *a, size_t first);

/* Append a value; copies key, counts file, takes over text and place, also where it fails.
 * Of several files of an archive the first that has a key gives its value. */
bool    wk_archive_add_value(wk_archive *a, wk_str key, wk_meta_value value);
bool    wk_archive_add_metadata(wk_archive *a, wk_str key, wk_str value);
void    wk_archive_free_metadata(wk_archive *a);
wk_meta wk_meta_value_at(const wk_meta_value *m, int64_t i);

void wk_write_elements(wk_writer *w, wk_tensor *x);

/* A tensor made for its turn is of this dtype and shape; else an error. */
bool wk_is_announced(const wk_tensor *x, const char *name, wk_dtype dtype, wk_shape shape);

uint64_t wk_load_uint(const char *p, size_t bytes, bool big_endian);

bool wk_safetensors_is(const wk_file *f);
bool wk_safetensors_read(wk_archive *a, wk_file *f);

typedef struct { /* of tensors, in GGUF files */
    const char *name;
    uint16_t    id, block, bytes; /* bytes of a block of elements; block 0: not to be read */
    wk_dtype    dtype;
} wk_gguf_type;

const wk_gguf_type *wk_gguf_type_by_id(uint64_t id);
const wk_gguf_type *wk_gguf_type_of(wk_dtype dtype); /* NULL: the format has none */

bool wk_gguf_is(const wk_file *f);
bool wk_gguf_read(wk_archive *a, wk_file *f); /* and the other parts, if it is split */

/* How many parts a file of this name says it is one of, 0 if it does not say; which: 0 .. */
int wk_gguf_parts(const char *path, int *which);

bool wk_ggml_is(const wk_file *f);
bool wk_ggml_read(wk_archive *a, wk_file *f);

#endif
