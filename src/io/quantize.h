// SPDX-License-Identifier: MIT OR Apache-2.0
/* quantize.h - how tensors get fewer bits on their way into a GGUF file: for converters. */
#ifndef WK_QUANTIZE_H
#define WK_QUANTIZE_H

#include "../base/base.h"
#include <wick/convert.h>
#include <wick/io.h>

/* ---- Which tensor gets which type (mixes.c) ------------------------------ */

/* A kind of file, as llama.cpp names them: a type for most tensors, and rules for others. */
typedef struct {
    const char *name;      /* "q4_k_m" */
    int         file_type; /* general.file_type; -1: there is no number for it */
    wk_dtype    dtype;     /* of most tensors */
    uint64_t    bit;       /* in the rules */
} wk_mix;

bool wk_mix_find(const char *name, wk_mix *mix); /* upper or lower case; false: there is none */

typedef struct { /* what the rules look at beyond names and shapes */
    const char *architecture;
    int64_t     layers, heads, kv_heads, experts;
    bool        weighed; /* there is an importance matrix */
    bool        tied;    /* no output.weight: the embeddings are it */
    int64_t     values;  /* tensors that make the values of attention */
    int64_t     seen[4]; /* of them, of ffn_down, ffn_gate, ffn_up, so far: 0 at first */
} wk_mix_state;

/* The type of a tensor of a mix, before it is clear that its rows fit.  To be asked in the
 * order of wk_mix_order(), as rules count. */
wk_dtype wk_mix_type(const wk_mix *mix, wk_mix_state *s, const char *name, wk_shape shape);

/* What rows of that width can have instead, if they do not fit. */
wk_dtype wk_mix_fitting(wk_dtype dtype, int64_t width);

bool wk_mix_may(const char *name, wk_shape shape); /* get fewer bits */
bool wk_mix_is_embedding(const char *name);
bool wk_mix_is_value(const char *name);
int  wk_mix_order(const char *a, const char *b); /* by layer, then by name */

/* ---- Importance matrices (imatrix.c) ------------------------------------- */

typedef struct {
    char   *name; /* of the tensor */
    float  *mean; /* of the square of what each of its columns is multiplied with */
    int64_t count;
} wk_importance;

typedef struct { /* {0} is empty */
    wk_importance *entry;
    size_t         count, room;
    wk_map         index; /* name -> entry */
    int64_t        chunks;
    char          *text; /* that it was made of; or NULL */
} wk_imatrix;

bool                 wk_imatrix_read(wk_imatrix *m, const char *path);
const wk_importance *wk_imatrix_find(const wk_imatrix *m, const char *name);
void                 wk_imatrix_free(wk_imatrix *m);

/* ---- Patterns (pattern.c) ------------------------------------------------ */

/* Does some part of text match a regular expression of . * + ? | ( ) [ ] ^ $ \ ?  Brackets
 * that do not close match nothing. */
bool wk_pattern_in(const char *pattern, const char *text);

/* ---- Writing (quantize.c) ------------------------------------------------ */

/* tensors says what there is: with dtypes and shapes as they are, and tensor() to get one. */
bool wk_quantize_tensors(const wk_gguf_args *tensors, const wk_quantize_args *how);

#endif
