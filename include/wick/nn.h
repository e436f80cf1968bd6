// SPDX-License-Identifier: MIT OR Apache-2.0
/* wick/nn.h - parameters, layers, optimisers.
 *
 *     wk_store *params = wk_store_new();
 *     mlp       net    = mlp_new(wk_root(params));
 *     wk_optim *opt    = wk_adamw_new(params, .lr = 1e-3, .decay = 0.01);
 *     ...
 *         wk_backward(loss);
 *         wk_step(opt);
 *
 * A store owns named parameters.  A model is a plain struct of borrowed tensors, made
 * by a function that asks for each by its name: the same function creates a model and
 * loads one, depending on what kind of store it is given. */
#ifndef WICK_NN_H
#define WICK_NN_H

#include <wick/ops.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Stores ------------------------------------------------------------- */

typedef struct wk_store wk_store;

/* Empty: parameters are made when they are asked for, and tracked. */
WK_API wk_store *wk_store_new(void);

/* Of the floats that are made from now on; WK_DEFAULT is f32. */
WK_API void wk_store_set_dtype(wk_store *s, wk_dtype dtype);

/* From files, as wk_archive_open() takes them: parameters are those of the file, mapped;
 * one that is missing is an error.  dtype converts floats; WK_DEFAULT leaves them. */
typedef struct {
    const char *path;
    wk_dtype    dtype;
    wk_device  *device; /* default: this thread's */
    int         end_;   /* set by the macro, so that partial lists do not warn */
} wk_store_args;

WK_API wk_store *wk_store_open_with(const wk_store_args *args);
#define wk_store_open(...) wk_store_open_with(&(wk_store_args){ __VA_ARGS__, .end_ = 0 })

WK_API void wk_store_free(wk_store *s); /* the parameters too */

WK_API int        wk_store_count(const wk_store *s);
WK_API wk_tensor *wk_store_at(const wk_store *s, int i); /* in the order they were asked for */
WK_API wk_tensor *wk_store_find(const wk_store *s, const char *name); /* NULL: not there */
WK_API int64_t    wk_store_elements(const wk_store *s);               /* of all parameters */

/* Keep x in place of the parameter of that name.  Structs that hold the old one must
 * be made to hold this one. */
WK_API wk_tensor *wk_store_replace(wk_store *s, const char *name, wk_tensor *x);

/* Ask for gradients of every float parameter, or stop asking. */
WK_API void wk_store_track(wk_store *s, bool on);

/* Tensor number i of the file that nobody asked for, NULL at the end. */
WK_API const char *wk_store_unused(const wk_store *s, int i);

WK_API bool wk_store_save(const wk_store *s, const char *path); /* as safetensors */

/* ---- Places in a store: like directories -------------------------------- */

typedef struct {
    wk_store *store;
    char      path[200]; /* "model.layers.0" */
} wk_vars;

WK_API wk_vars wk_root(wk_store *s);
WK_API wk_vars wk_at(wk_vars at, const char *format, ...) WK_PRINTF(2, 3);

/* How a new parameter begins. */
typedef struct {
    enum { WK_INIT_ZEROS, WK_INIT_ONES, WK_INIT_UNIFORM, WK_INIT_NORMAL } kind;
    double spread; /* uniform in -spread .. spread; normal with this standard deviation */
} wk_init;

/* The parameter of that name: of the file, or made. */
WK_API wk_tensor *wk_param(wk_vars at, const char *name, wk_shape shape, wk_init init);
WK_API bool       wk_has(wk_vars at, const char *name); /* it was made, or is in the file */

/* ---- Layers: parameters by their usual names, begun as PyTorch begins them - */

WK_API wk_layer   wk_linear_new(wk_vars at, int64_t in, int64_t out); /* weight, bias */
WK_API wk_layer   wk_linear_new_unbiased(wk_vars at, int64_t in, int64_t out);
WK_API wk_tensor *wk_embedding_new(wk_vars at, int64_t count, int64_t width);
WK_API wk_tensor *wk_rms_norm_new(wk_vars at, int64_t width);
WK_API wk_layer   wk_layer_norm_new(wk_vars at, int64_t width);

/* ---- Optimisers --------------------------------------------------------- */

typedef struct wk_optim wk_optim;

typedef struct {
    wk_store *store;
    double    lr;       /* default 1e-3 */
    double    momentum; /* SGD */
    bool      nesterov;
    double    beta1, beta2, eps; /* Adam; default 0.9, 0.999, 1e-8 */
    double    decay;             /* weight decay: of SGD in the gradient, of AdamW apart */
    int       end_;              /* set by the macro, so that partial lists do not warn */
} wk_optim_args;

WK_API wk_optim *wk_sgd_new_with(const wk_optim_args *args);
WK_API wk_optim *wk_adamw_new_with(const wk_optim_args *args); /* Loshchilov and Hutter, 2019 */
#define wk_sgd_new(...)   wk_sgd_new_with(&(wk_optim_args){ __VA_ARGS__, .end_ = 0 })
#define wk_adamw_new(...) wk_adamw_new_with(&(wk_optim_args){ __VA_ARGS__, .end_ = 0 })
WK_API void wk_optim_free(wk_optim *o);
WK_API void wk_set_lr(wk_optim *o, double lr);
WK_API bool wk_step(wk_optim *o); /* update the parameters, forget their gradients */

/* Scale all gradients so that their joint 2-norm is at most limit; returns what it was. */
WK_API double wk_clip_grad_norm(wk_store *s, double limit);

#ifdef __cplusplus
}
#endif
#endif
