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
} wk_entry;

struct wk_archive {
    char     *path;
    wk_entry *entry;
    size_t    count, room;
    wk_map    index;    /* name -> entry */
    char    **metadata; /* key, value, key, value ... */
    size_t    metadata_count, metadata_room;
};

/* Append an entry; copies name, counts file.  A name that is there already is an error. */
bool wk_archive_add(wk_archive *a, wk_str name, wk_entry entry);
bool wk_archive_add_metadata(wk_archive *a, wk_str key, wk_str value);

bool wk_safetensors_is(const wk_file *f);
bool wk_safetensors_read(wk_archive *a, wk_file *f);

#endif
