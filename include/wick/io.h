// SPDX-License-Identifier: MIT OR Apache-2.0
/* wick/io.h - named tensors and their metadata in files. */
#ifndef WICK_IO_H
#define WICK_IO_H

#include <wick/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An archive is a file of named tensors, or several files that belong together.  It is
 * checked from end to end when it is opened, and mapped: getting a tensor reads nothing
 * and copies nothing, and the tensor outlives the archive.
 *
 * path is a .safetensors file, a .safetensors.index.json file, a .gguf file (any part of a
 * split one opens all), a LLaMA from before GGUF (it seems to be the GGUF file that it would be
 * today), or a folder that holds model.safetensors, model.safetensors.index.json or else a single
 * .gguf. */
typedef struct wk_archive wk_archive;

WK_API wk_archive *wk_archive_open(const char *path);
WK_API void        wk_archive_free(wk_archive *a);

/* Is it GGUF, or a LLaMA from before, by its first bytes? */
WK_API bool wk_archive_is_gguf(const char *path);

WK_API const char *wk_archive_path(const wk_archive *a); /* as it was opened */
WK_API int         wk_archive_count(const wk_archive *a);
WK_API const char *wk_archive_name(const wk_archive *a, int i);  /* in the order of the file */
WK_API const char *wk_archive_dtype(const wk_archive *a, int i); /* as the file calls it */
WK_API wk_shape    wk_archive_shape(const wk_archive *a, int i);
WK_API int         wk_archive_find(const wk_archive *a, const char *name); /* -1: not there */

/* On the CPU.  A tensor that is not there, or of a dtype that has no wk_dtype, is an
 * error.  Writing to the tensor does not change the file. */
WK_API wk_tensor *wk_archive_get(const wk_archive *a, const char *name);

/* Metadata: a value or a list of values under a key.  Safetensors files have texts alone. */
typedef enum {
    WK_META_NONE, /* no such key, or no such element */
    WK_META_INTEGER,
    WK_META_NUMBER,
    WK_META_BOOL,
    WK_META_TEXT
} wk_meta_type;

typedef struct {
    wk_meta_type type;
    bool         list;
    int64_t      count;   /* of the list's elements; else 1 */
    int64_t      integer; /* of INTEGER (what is above INT64_MAX becomes it) and BOOL (0 or 1) */
    double       number;  /* of INTEGER and NUMBER */
    const char  *text;    /* of TEXT: size bytes that need not be UTF-8 nor end in NUL; they */
    size_t       size;    /* live as long as the archive */
} wk_meta;

/* Element i of the list under key; i is 0 where it is no list.  Takes the same time for every i. */
WK_API wk_meta wk_archive_meta(const wk_archive *a, const char *key, int64_t i);

/* Key number i, in the order of the file, NULL at the end; and the text stored under a key,
 * NULL if there is none. */
WK_API const char *wk_archive_metadata_key(const wk_archive *a, int i);
WK_API const char *wk_archive_metadata(const wk_archive *a, const char *key);

/* Write a safetensors file.  An existing file is replaced only when all is written. */
typedef struct {
    const char        *path;
    int                count;
    const char *const *names;
    wk_tensor *const  *tensors;
    const char *const *metadata; /* key, value, key, value ..., NULL; or NULL */
    const wk_dtype    *dtypes;   /* instead of tensors, where they do not fit into memory: */
    const wk_shape    *shapes;   /* what each will be, and who makes it when its turn comes; */
    wk_tensor *(*tensor)(int i, void *user); /* what that leaves in the pool is swept */
    void *user;
    int   end_; /* set by the macro, so that partial lists do not warn */
} wk_safetensors_args;

WK_API bool wk_safetensors_save_with(const wk_safetensors_args *args);
#define wk_safetensors_save(...)                                                                   \
    wk_safetensors_save_with(&(wk_safetensors_args){ __VA_ARGS__, .end_ = 0 })

/* Write a GGUF file of version 3, in the same way.  A scalar becomes a vector of one element;
 * tensors have at most 4 dimensions, and elements. */
typedef struct { /* a value of metadata, or a list */
    const char    *key;
    const char    *type;    /* "u8", "i8" .. "u64", "i64", "f32", "f64", "bool", "text" (default) */
    int64_t        integer; /* the value: of an integer or a bool */
    double         number;
    const char    *text;
    int64_t        count;    /* of a list, which has its elements in one of these */
    const int64_t *integers; /* bools, too */
    const double  *numbers;
    const char *const *texts;
    const size_t      *sizes; /* bytes of each text; NULL: they end in NUL */
} wk_gguf_value;

typedef struct {
    const char          *path;
    int                  count;
    const char *const   *names;
    wk_tensor *const    *tensors;
    int                  value_count;
    const wk_gguf_value *values;
    const wk_archive    *like;   /* its metadata is copied where values does not have the key */
    const wk_dtype      *dtypes; /* instead of tensors: as of a safetensors file */
    const wk_shape      *shapes;
    wk_tensor *(*tensor)(int i, void *user);
    void *user;
    int   end_; /* set by the macro, so that partial lists do not warn */
} wk_gguf_args;

WK_API bool wk_gguf_save_with(const wk_gguf_args *args);
#define wk_gguf_save(...) wk_gguf_save_with(&(wk_gguf_args){ __VA_ARGS__, .end_ = 0 })

#ifdef __cplusplus
}
#endif
#endif
