// SPDX-License-Identifier: MIT OR Apache-2.0
/* wick/tensor.h - tensors: what they are, how they are made, read, kept and dropped. */
#ifndef WICK_TENSOR_H
#define WICK_TENSOR_H

#include <wick/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Types of elements -------------------------------------------------- */

typedef enum {
    WK_DEFAULT, /* "as it is", or f32 where something new is made */
    WK_F32,
    WK_F64,
    WK_F16,
    WK_BF16,
    WK_F8_E4M3, /* the "fn" variety: no infinities, largest 448 */
    WK_F8_E5M2,
    WK_I64,
    WK_I32,
    WK_I16,
    WK_I8,
    WK_U8,
    WK_U32,
    WK_BOOL, /* a byte, 0 or 1 */

    /* Quantized: along the last dimension numbers lie in blocks, as in GGUF files, and are
     * small integers times a scale.  Any operation reads them, as f32; layers and embeddings
     * as they are.  Nothing is computed in them: wk_cast() makes them. */
    WK_Q4_0,
    WK_Q8_0,
    WK_Q4_K,
    WK_Q6_K,
    WK_Q5_K,
    WK_Q5_0,
    WK_Q4_1,
    WK_Q5_1,
    WK_Q2_K,
    WK_Q3_K,
    WK_IQ4_NL,
    WK_IQ4_XS,
    WK_MXFP4,
    WK_NVFP4,
    WK_IQ3_S,
    WK_IQ3_XXS,
    WK_IQ2_S,
    WK_IQ2_XS,
    WK_IQ2_XXS,
    WK_IQ1_M,
    WK_IQ1_S,
    WK_TQ1_0,
    WK_TQ2_0,
    WK_Q1_0,
    WK_Q2_0,
    WK_Q8_1,
    WK_Q8_K,
    WK_NF4, /* of bitsandbytes; GGUF files do not have it */
    WK_DTYPE_COUNT
} wk_dtype;

WK_API const char *wk_dtype_name(wk_dtype dtype);   /* "f32" */
WK_API wk_dtype    wk_dtype_find(const char *name); /* WK_DEFAULT if there is none */
WK_API size_t      wk_dtype_size(wk_dtype dtype);   /* bytes of an element, or of a block */
WK_API int64_t     wk_dtype_block(wk_dtype dtype);  /* elements of a block; 1: not quantized */
WK_API bool        wk_dtype_is_float(wk_dtype dtype);

/* The dtype that results from combining two, as in PyTorch: a float wins over an
 * integer, the wider over the narrower, f16 with bf16 gives f32, and quantized counts as f32. */
WK_API wk_dtype wk_dtype_promote(wk_dtype a, wk_dtype b);

/* ---- Shapes ------------------------------------------------------------- */

#define WK_MAX_RANK 8

typedef struct {
    int     rank;
    int64_t dim[WK_MAX_RANK];
} wk_shape;

#define WK_SHAPE(...)                                                                              \
    ((wk_shape){ (int)(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), { __VA_ARGS__ } })
#define WK_SCALAR ((wk_shape){ 0, { 0 } }) /* rank 0: one element */

/* A list of axes, negative ones counted from the end: WK_AXES(0, -1). */
#define WK_AXES(...) WK_SHAPE(__VA_ARGS__)

/* ---- Devices ------------------------------------------------------------ */

/* A device is a memory and a queue of work that is done in order.  Two devices of
 * the same GPU ("cuda:0" opened twice) are two queues. */
typedef struct wk_device wk_device;

WK_API wk_device  *wk_device_open(const char *name); /* "cpu", "cuda", "cuda:1"; NULL: an error */
WK_API wk_device  *wk_best_device(void);             /* a GPU if there is one, or else the CPU */
WK_API const char *wk_device_name(const wk_device *device);
WK_API const char *wk_device_detail(const wk_device *device); /* "avx512", or a GPU's name */
WK_API const char *wk_device_options(
    const wk_device *device);                              /* all it could be: "base avx2 avx512" */
WK_API bool       wk_device_sync(wk_device *device);       /* wait; raises what failed meanwhile */
WK_API size_t     wk_device_used(const wk_device *device); /* bytes that tensors occupy */
WK_API void       wk_device_trim(wk_device *device);       /* give back memory kept for reuse */
WK_API wk_device *wk_default_device(void);                 /* of this thread; at first the CPU */
WK_API void       wk_set_default_device(wk_device *device);

/* ---- Tensors ------------------------------------------------------------ */

/* A strided view of some storage.  Reference-counted; safe to share between threads
 * that only read it. */
typedef struct wk_tensor wk_tensor;

/* Creation.  dtype WK_DEFAULT is f32.  The short forms take dimensions:
 * wk_zeros(2, 3).  All are made on the thread's default device. */
WK_API wk_tensor *wk_empty_of(wk_dtype dtype, wk_shape shape); /* not initialised */
WK_API wk_tensor *wk_zeros_of(wk_dtype dtype, wk_shape shape);
WK_API wk_tensor *wk_ones_of(wk_dtype dtype, wk_shape shape);
WK_API wk_tensor *wk_full_of(wk_dtype dtype, wk_shape shape, double value);
WK_API wk_tensor *wk_full_like(const wk_tensor *x, double value);
WK_API wk_tensor *wk_scalar(double value); /* f32, rank 0 */
WK_API wk_tensor *wk_arange(wk_dtype dtype, double start, double end, double step);
WK_API wk_tensor *wk_linspace(wk_dtype dtype, double start, double end, int64_t count);
WK_API wk_tensor *wk_logspace(wk_dtype dtype, double start, double end, int64_t count, double base);
WK_API wk_tensor *wk_eye(wk_dtype dtype, int64_t n);
WK_API wk_tensor *wk_from(wk_dtype dtype, wk_shape shape, const void *data); /* a copy */
WK_API wk_tensor *wk_from_f32(wk_shape shape, const float *data);
WK_API wk_tensor *wk_from_i64(wk_shape shape, const int64_t *data);

#define wk_zeros(...) wk_zeros_of(WK_F32, WK_SHAPE(__VA_ARGS__))
#define wk_ones(...)  wk_ones_of(WK_F32, WK_SHAPE(__VA_ARGS__))
#define wk_randn(...) wk_randn_of(WK_F32, WK_SHAPE(__VA_ARGS__))
#define wk_rand(...)  wk_rand_of(WK_F32, WK_SHAPE(__VA_ARGS__))

/* Random numbers come from a counter (Philox 4x32-10) that belongs to the thread:
 * the same seed gives the same tensors, on every device and with any number of
 * threads. */
WK_API void wk_seed(uint64_t seed);

typedef struct { /* where the thread's numbers stand: to go on from there another time */
    uint64_t seed, counter;
} wk_random;

WK_API wk_random  wk_random_state(void);
WK_API void       wk_random_restore(wk_random state);
WK_API wk_tensor *wk_rand_of(wk_dtype dtype, wk_shape shape);  /* uniform, [0, 1) */
WK_API wk_tensor *wk_randn_of(wk_dtype dtype, wk_shape shape); /* normal, mean 0, variance 1 */
WK_API wk_tensor *wk_randint_of(wk_shape shape, int64_t low, int64_t high); /* i64, [low, high) */
WK_API wk_tensor *wk_randperm(int64_t n); /* i64: 0 .. n - 1, shuffled */

/* Queries.  All of them accept NULL, and answer 0. */
WK_API int         wk_rank(const wk_tensor *x);
WK_API int64_t     wk_dim(const wk_tensor *x, int axis); /* axis -1 is the last */
WK_API int64_t     wk_count(const wk_tensor *x);         /* of elements */
WK_API wk_shape    wk_shape_of(const wk_tensor *x);
WK_API wk_dtype    wk_dtype_of(const wk_tensor *x);
WK_API wk_device  *wk_device_of(const wk_tensor *x);
WK_API const char *wk_name(const wk_tensor *x);  /* "" if it has none */
WK_API size_t      wk_bytes(const wk_tensor *x); /* that its elements take */
WK_API bool        wk_is_contiguous(const wk_tensor *x);

/* Reading.  These wait for the device. */
WK_API double  wk_item(wk_tensor *x);                         /* of one element; NaN on error */
WK_API int64_t wk_item_i64(wk_tensor *x);                     /* of one element; 0 on error */
WK_API bool wk_read(wk_tensor *x, wk_dtype dtype, void *out); /* wk_count(x) elements, converted */
WK_API bool wk_to_f32(wk_tensor *x, float *out);
WK_API bool wk_to_i64(wk_tensor *x, int64_t *out);

/* The elements themselves, of a contiguous tensor in host memory; else NULL and an error. */
WK_API void *wk_data(wk_tensor *x);

/* Printing, laid out as PyTorch does. */
typedef struct {
    wk_tensor *x;
    int        precision;  /* digits after the point; default 4 */
    int        threshold;  /* more elements than this are summarised; default 1000 */
    int        edge_items; /* how many at each end then; default 3 */
    int        line_width; /* default 80 */
    bool       full;       /* never summarise */
    bool       scientific; /* always; by default where it is shorter */
    int        end_;       /* set by the macro, so that partial lists do not warn */
} wk_print_args;

WK_API void  wk_print(wk_tensor *x);                    /* to stdout */
WK_API char *wk_format_with(const wk_print_args *args); /* free() it */
#define wk_format(...) wk_format_with(&(wk_print_args){ __VA_ARGS__, .end_ = 0 })

/* ---- Lifetime ----------------------------------------------------------- */

typedef size_t wk_scope;

WK_API wk_scope   wk_mark(void);
WK_API void       wk_sweep(wk_scope scope);               /* release all made since the mark ... */
WK_API wk_tensor *wk_yield(wk_scope scope, wk_tensor *x); /* ... but x, which moves outside */
WK_API void       wk_yield_all(wk_scope scope, wk_tensor **x, int count);

WK_API wk_tensor *wk_keep(wk_tensor *x); /* outlive every sweep, until dropped; returns x */
WK_API void       wk_drop(wk_tensor *x); /* what was kept; NULL is fine */
WK_API void       wk_set(wk_tensor **slot, wk_tensor *x); /* keep x in *slot, drop what was there */

WK_API size_t wk_live_tensors(void); /* in the whole process: for tests of leaks */

/* ---- Gradients ---------------------------------------------------------- */

/* Ask for the gradient of a tensor that was not computed from others: returns x.
 * The parameters of a wk_store have it already. */
WK_API wk_tensor *wk_track(wk_tensor *x);

/* Add the gradient of loss (one element) to wk_grad() of every tracked tensor that
 * it was computed from.  The graph is freed with the loss, by wk_sweep(). */
WK_API void wk_backward(wk_tensor *loss);

/* The same, recording the gradients' own computation: second derivatives. */
WK_API void wk_backward_recorded(wk_tensor *loss);

WK_API wk_tensor *wk_grad(const wk_tensor *x);                /* NULL if there is none */
WK_API void       wk_set_grad(wk_tensor *x, wk_tensor *grad); /* NULL forgets it */
WK_API wk_tensor *wk_detach(wk_tensor *x);                    /* the same data, without history */

/* While on, this thread records nothing.  Returns what it was before:
 *     bool before = wk_no_grad(true); ...; wk_no_grad(before); */
WK_API bool wk_no_grad(bool on);

#ifdef __cplusplus
}
#endif
#endif
