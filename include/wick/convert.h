// SPDX-License-Identifier: MIT OR Apache-2.0
/* wick/convert.h - models from one kind of file to another, and into fewer bits.
 *
 *     wk_quantize("Qwen3-0.6B", "qwen3.gguf", "q4_k_m");
 *     return wk_finish();
 */
#ifndef WICK_CONVERT_H
#define WICK_CONVERT_H

#include <wick/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What was done with a tensor. */
typedef struct {
    const char *name;
    wk_shape    shape;
    wk_dtype    from, to;
    size_t      bytes_before, bytes;
    int         number, count; /* 1 .. count */
    bool        fallback;      /* its rows do not fit the type it should have had */
    bool        weighed;       /* by an importance matrix */
} wk_quantize_step;

/* A GGUF file of fewer bits.  Tensors are taken one after the other: memory is needed for one
 * result.  A file there is replaced only when all is written.
 *
 * type is a mix of llama.cpp ("q4_k_m", "iq3_xs" ...: attention's values, the last matrix and
 * some layers get more bits than the rest), or a dtype.  Vectors, norms and what is small stay
 * as they are.  Rows that are not whole blocks get the nearest type that fits, or f16. */
typedef struct {
    const char *from; /* a GGUF file, one of safetensors, or a folder with config.json */
    const char *to;
    const char *type;    /* NULL: only copy */
    const char *imatrix; /* a file of llama.cpp's imatrix, GGUF or the older kind; NULL: none */
    const char *const *overrides;      /* "PATTERN=TYPE" ..., NULL; the first that fits counts */
    const char        *output_type;    /* of output.weight; NULL: as type says */
    const char        *embedding_type; /* of token_embd.weight */
    bool               pure;           /* all tensors the same type */
    bool               requantize;     /* tensors that are quantized already, too */
    void (*on_tensor)(const wk_quantize_step *step, void *user);
    void *user;
    int   end_; /* set by the macro, so that partial lists do not warn */
} wk_quantize_args;

WK_API bool wk_quantize_with(const wk_quantize_args *args);
#define wk_quantize(...) wk_quantize_with(&(wk_quantize_args){ __VA_ARGS__, .end_ = 0 })

/* What the columns of a model's weights count, for wk_quantize(): the squares of what they are
 * multiplied with, summed over texts, as a GGUF file like llama-imatrix's.  A text is cut into
 * windows side by side; what is left over, or is shorter than a window, is not used.
 * wk_interrupt() ends it after a window: what was seen by then is written. */
typedef struct {
    wk_model          *model;
    const char *const *texts; /* files, NULL */
    const char        *to;    /* a file there is replaced when all is written */
    int64_t  context;         /* tokens of a window; default 512, or the model's if that is less */
    int64_t  chunks;          /* at most so many windows; default: all there are */
    int64_t *windows;         /* is filled in: how many there were */
    int      end_;            /* set by the macro, so that partial lists do not warn */
} wk_imatrix_args;

WK_API bool wk_imatrix_measure_with(const wk_imatrix_args *args);
#define wk_imatrix_measure(...)                                                                    \
    wk_imatrix_measure_with(&(wk_imatrix_args){ __VA_ARGS__, .end_ = 0 })

/* From a GGUF file, one of safetensors or a folder with config.json to what the name of the
 * result says: .gguf, .safetensors (the tensors alone, and texts of metadata), or a folder as
 * transformers has it.  Between folders and GGUF files names change, and the order of rows that
 * rope turns; quantized weights become bf16 where they cannot stay. */
typedef struct {
    const char *from, *to;
    wk_dtype    dtype; /* of matrices; default: as they are */
    void (*on_tensor)(const wk_quantize_step *step, void *user); /* on the way to GGUF */
    void *user;
    int   end_; /* set by the macro, so that partial lists do not warn */
} wk_convert_args;

WK_API bool wk_convert_with(const wk_convert_args *args);
#define wk_convert(...) wk_convert_with(&(wk_convert_args){ __VA_ARGS__, .end_ = 0 })

#ifdef __cplusplus
}
#endif
#endif
