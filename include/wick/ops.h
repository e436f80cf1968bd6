// SPDX-License-Identifier: MIT OR Apache-2.0
/* wick/ops.h - operations on tensors.
 *
 * All return a new tensor in the thread's pool, or NULL and an error.  Operands
 * broadcast as in PyTorch; an axis may be negative, counted from the end.  Shapes
 * are written [b, t, c]; "[..]" is any number of leading dimensions.
 *
 * What takes options is a macro that fills a struct by name,
 *     wk_sum(x, .over = WK_AXES(0), .keep = true)
 * and calls the function ..._with, which C++ and other languages call themselves. */
#ifndef WICK_OPS_H
#define WICK_OPS_H

#include <wick/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Element by element ------------------------------------------------- */

/* wk_exp(x), wk_relu(x), wk_elu(x, alpha), wk_clamp(x, min, max) ...: the files say what. */
#define UNARY(name, ...)   WK_API wk_tensor *wk_##name(wk_tensor *x);
#define SCALAR(name, ...)  WK_API wk_tensor *wk_##name(wk_tensor *x, double a);
#define SCALAR2(name, ...) WK_API wk_tensor *wk_##name(wk_tensor *x, double a, double b);
#include <wick/unary.def>
#define BINARY(name, ...) WK_API wk_tensor *wk_##name(wk_tensor *a, wk_tensor *b);
#include <wick/binary.def>

WK_API wk_tensor *wk_where(wk_tensor *condition, wk_tensor *yes, wk_tensor *no);
WK_API wk_tensor *wk_masked_fill(wk_tensor *x, wk_tensor *mask, double value);
WK_API wk_tensor *wk_lerp(wk_tensor *a, wk_tensor *b, double weight); /* a + weight (b - a) */
WK_API wk_tensor *wk_cast(wk_tensor *x, wk_dtype dtype); /* x itself, if it has that dtype */
WK_API wk_tensor *wk_copy(wk_tensor *x);                 /* always a new, contiguous tensor */
WK_API wk_tensor *wk_contiguous(wk_tensor *x);           /* x itself, if it is contiguous */
WK_API wk_tensor *wk_to_device(wk_tensor *x, wk_device *device);

/* The gated linear units of transformers: act(gate) * up, in one pass. */
typedef enum { WK_ACT_NONE, WK_ACT_SILU, WK_ACT_GELU, WK_ACT_GELU_TANH, WK_ACT_RELU } wk_act;
WK_API wk_tensor *wk_glu(wk_tensor *gate, wk_tensor *up, wk_act act);
#define wk_swiglu(gate, up) wk_glu((gate), (up), WK_ACT_SILU)
#define wk_geglu(gate, up)  wk_glu((gate), (up), WK_ACT_GELU)

/* ---- Reductions --------------------------------------------------------- */

typedef struct {
    wk_tensor *x;
    wk_shape   over;   /* which axes; default all */
    bool       keep;   /* leave them in the shape, with length 1 */
    bool       biased; /* var, std: divide by n instead of n - 1 */
    double     p;      /* norm: which; default 2; INFINITY is the largest magnitude */
    int        end_;   /* set by the macro, so that partial lists do not warn */
} wk_reduce_args;

WK_API wk_tensor *wk_sum_with(const wk_reduce_args *args);
WK_API wk_tensor *wk_mean_with(const wk_reduce_args *args);
WK_API wk_tensor *wk_var_with(const wk_reduce_args *args);
WK_API wk_tensor *wk_std_with(const wk_reduce_args *args);
WK_API wk_tensor *wk_min_with(const wk_reduce_args *args); /* gradient: shared by ties */
WK_API wk_tensor *wk_max_with(const wk_reduce_args *args);
WK_API wk_tensor *wk_prod_with(const wk_reduce_args *args);
WK_API wk_tensor *wk_any_with(const wk_reduce_args *args); /* bool */
WK_API wk_tensor *wk_all_with(const wk_reduce_args *args);
WK_API wk_tensor *wk_logsumexp_with(const wk_reduce_args *args);
WK_API wk_tensor *wk_norm_with(const wk_reduce_args *args);
WK_API wk_tensor *wk_argmin_with(
    const wk_reduce_args *args); /* i64, of the first; one axis or all */
WK_API wk_tensor *wk_argmax_with(const wk_reduce_args *args);
#define WK_REDUCE(...)    (&(wk_reduce_args){ __VA_ARGS__, .end_ = 0 })
#define wk_sum(...)       wk_sum_with(WK_REDUCE(__VA_ARGS__))
#define wk_mean(...)      wk_mean_with(WK_REDUCE(__VA_ARGS__))
#define wk_var(...)       wk_var_with(WK_REDUCE(__VA_ARGS__))
#define wk_std(...)       wk_std_with(WK_REDUCE(__VA_ARGS__))
#define wk_min(...)       wk_min_with(WK_REDUCE(__VA_ARGS__))
#define wk_max(...)       wk_max_with(WK_REDUCE(__VA_ARGS__))
#define wk_prod(...)      wk_prod_with(WK_REDUCE(__VA_ARGS__))
#define wk_any(...)       wk_any_with(WK_REDUCE(__VA_ARGS__))
#define wk_all(...)       wk_all_with(WK_REDUCE(__VA_ARGS__))
#define wk_logsumexp(...) wk_logsumexp_with(WK_REDUCE(__VA_ARGS__))
#define wk_norm(...)      wk_norm_with(WK_REDUCE(__VA_ARGS__))
#define wk_argmin(...)    wk_argmin_with(WK_REDUCE(__VA_ARGS__))
#define wk_argmax(...)    wk_argmax_with(WK_REDUCE(__VA_ARGS__))

WK_API wk_tensor *wk_sum_to(wk_tensor *x, wk_shape shape); /* undo a broadcast from shape */
WK_API wk_tensor *wk_softmax(wk_tensor *x, int axis);
WK_API wk_tensor *wk_log_softmax(wk_tensor *x, int axis);

/* ---- Products ----------------------------------------------------------- */

/* [.., m, k] x [.., k, n] -> [.., m, n]; the leading dimensions broadcast.  A vector
 * on the left is [1, k], on the right [k, 1], and that dimension is then dropped. */
WK_API wk_tensor *wk_matmul(wk_tensor *a, wk_tensor *b);

/* The parameters of a layer.  They belong to the wk_store they came from, so models
 * are plain structs of layers: copy them, never free them. */
typedef struct {
    wk_tensor *weight, *bias; /* bias may be NULL */
} wk_layer;

/* x [.., in], weight [out, in] of any dtype, bias [out] -> [.., out], in x's dtype */
WK_API wk_tensor *wk_linear(wk_tensor *x, wk_layer p);

/* The same plus y [.., out]: the residual connection, without a pass of its own. */
WK_API wk_tensor *wk_linear_add(wk_tensor *x, wk_layer p, wk_tensor *y);

/* act(x gate^T) * (x up^T): the first half of a gated MLP as one operation. */
WK_API wk_tensor *wk_linear_glu(wk_tensor *x, wk_layer gate, wk_layer up, wk_act act);

/* The outputs of several layers side by side, [.., out_0 + out_1 + ..]: queries, keys and values
 * of one x as one operation.  At most 8 layers. */
WK_API wk_tensor *wk_linear_cat(wk_tensor *x, const wk_layer *layers, int count);

/* Products by name.  add..: beta x + alpha a b; kron of two matrices; tensordot over the last
 * axes of a and the first of b. */
WK_API wk_tensor *wk_outer(wk_tensor *a, wk_tensor *b); /* [m], [n] -> [m, n] */
WK_API wk_tensor *wk_dot(wk_tensor *a, wk_tensor *b);   /* [n], [n] -> [] */
WK_API wk_tensor *wk_mv(wk_tensor *a, wk_tensor *x);    /* [m, n], [n] -> [m] */
WK_API wk_tensor *wk_bmm(wk_tensor *a, wk_tensor *b);   /* [b, m, k], [b, k, n] */
WK_API wk_tensor *wk_addmm(wk_tensor *x, wk_tensor *a, wk_tensor *b, double beta, double alpha);
WK_API wk_tensor *wk_baddbmm(wk_tensor *x, wk_tensor *a, wk_tensor *b, double beta, double alpha);
WK_API wk_tensor *wk_addcmul(wk_tensor *x, wk_tensor *a, wk_tensor *b, double value);
WK_API wk_tensor *wk_addcdiv(wk_tensor *x, wk_tensor *a, wk_tensor *b, double value);
WK_API wk_tensor *wk_kron(wk_tensor *a, wk_tensor *b);
WK_API wk_tensor *wk_tensordot(wk_tensor *a, wk_tensor *b, int axes);

/* Sums of products: wk_einsum("bik,bkj->bij", a, b).  Letters are axes; repeated in one term
 * they are its diagonal; "..." are axes that broadcast; without "->" the result has the
 * letters that come once, in alphabetical order.  At most 16 operands. */
WK_API wk_tensor *wk_einsum_of(const char *equation, wk_tensor **x, int count);
#define wk_einsum(equation, ...) wk_einsum_of((equation), WK_LIST(__VA_ARGS__))

/* The weight in the layout that the device multiplies fastest, for wk_linear* and
 * wk_embedding alone; every other operation unpacks it.  It may be weight itself.  A weight in
 * a file is rearranged when a product first needs it so: do not write to it meanwhile. */
WK_API wk_tensor *wk_pack(wk_tensor *weight);

/* ---- Views: no data is moved, where strides can say it ------------------ */

WK_API wk_tensor *wk_reshape_to(wk_tensor *x, wk_shape shape); /* one dimension may be -1 */
WK_API wk_tensor *wk_permute_by(wk_tensor *x, wk_shape order);
WK_API wk_tensor *wk_expand_to(wk_tensor *x, wk_shape shape); /* broadcast; -1 keeps a dimension */
WK_API wk_tensor *wk_transpose(wk_tensor *x, int axis, int other);
WK_API wk_tensor *wk_narrow(wk_tensor *x, int axis, int64_t start, int64_t count);
WK_API wk_tensor *wk_slice(wk_tensor *x, int axis, int64_t start, int64_t stop, int64_t step);
WK_API wk_tensor *wk_select(wk_tensor *x, int axis, int64_t index); /* drops the axis */
WK_API wk_tensor *wk_squeeze(wk_tensor *x, int axis);
WK_API wk_tensor *wk_unsqueeze(wk_tensor *x, int axis);
WK_API wk_tensor *wk_flatten(wk_tensor *x, int from, int to);
WK_API wk_tensor *wk_flip_over(wk_tensor *x, wk_shape axes);
WK_API wk_tensor *wk_diagonal(wk_tensor *x, int axis, int other); /* goes to the end */

/* Zeros above, or below, a diagonal: 0 is the main one, 1 that above it. */
WK_API wk_tensor *wk_tril(wk_tensor *x, int64_t diagonal);
WK_API wk_tensor *wk_triu(wk_tensor *x, int64_t diagonal);
WK_API wk_tensor *wk_diag(wk_tensor *x, int64_t offset);       /* [n] -> [n, n], and back */
WK_API wk_tensor *wk_diag_embed(wk_tensor *x, int64_t offset); /* [.., n] -> [.., n, n] */
WK_API wk_tensor *wk_trace(wk_tensor *x);

/* Vectors as the axes of a grid, a tensor [n0, n1, ..] for each; xy: the first two axes are
 * in the other order.  Returns count, or 0 and an error. */
WK_API int wk_meshgrid_of(wk_tensor **x, int count, bool xy, wk_tensor **out);

WK_API wk_tensor *wk_nan_to_num(wk_tensor *x, double nan, double above, double below);

/* Pieces of size along the axis, the last one maybe shorter, into out; how many. */
WK_API int wk_split(wk_tensor *x, int axis, int64_t size, wk_tensor **out, int room);

#define wk_reshape(x, ...) wk_reshape_to((x), WK_SHAPE(__VA_ARGS__))
#define wk_permute(x, ...) wk_permute_by((x), WK_SHAPE(__VA_ARGS__))
#define wk_expand(x, ...)  wk_expand_to((x), WK_SHAPE(__VA_ARGS__))
#define wk_flip(x, ...)    wk_flip_over((x), WK_AXES(__VA_ARGS__))

/* ---- Putting together --------------------------------------------------- */

WK_API wk_tensor *wk_cat_of(int axis, wk_tensor **x, int count);
WK_API wk_tensor *wk_stack_of(int axis, wk_tensor **x, int count); /* along a new axis */
#define WK_LIST(...)        (wk_tensor *[]){ __VA_ARGS__ }, WK_LENGTH(__VA_ARGS__)
#define WK_LENGTH(...)      ((int)(sizeof((wk_tensor *[]){ __VA_ARGS__ }) / sizeof(wk_tensor *)))
#define wk_cat(axis, ...)   wk_cat_of((axis), WK_LIST(__VA_ARGS__))
#define wk_stack(axis, ...) wk_stack_of((axis), WK_LIST(__VA_ARGS__))

typedef enum { WK_PAD_CONSTANT, WK_PAD_REFLECT, WK_PAD_REPLICATE, WK_PAD_CIRCULAR } wk_pad_mode;

/* before and after are lengths along the axis; negative ones cut. */
WK_API wk_tensor *wk_pad(wk_tensor *x, int axis, int64_t before, int64_t after, double value);
WK_API wk_tensor *wk_pad_by(wk_tensor *x, int axis, int64_t before, int64_t after,
                            wk_pad_mode mode);
WK_API wk_tensor *wk_repeat_by(wk_tensor *x, wk_shape times); /* as torch.tile */
WK_API wk_tensor *wk_repeat_interleave(wk_tensor *x, int axis, int64_t times);
WK_API wk_tensor *wk_roll(wk_tensor *x, int axis, int64_t shift);
#define wk_repeat(x, ...) wk_repeat_by((x), WK_SHAPE(__VA_ARGS__))

/* ---- Indexing.  Index tensors are of an integer dtype. ------------------ */

WK_API wk_tensor *wk_gather(wk_tensor *x, int axis, wk_tensor *index);
WK_API wk_tensor *wk_scatter(wk_tensor *x, int axis, wk_tensor *index, wk_tensor *source);
WK_API wk_tensor *wk_scatter_add(wk_tensor *x, int axis, wk_tensor *index, wk_tensor *source);
WK_API wk_tensor *wk_index_select(wk_tensor *x, int axis, wk_tensor *index); /* index [n] */
WK_API wk_tensor *wk_index_add(wk_tensor *x, int axis, wk_tensor *index, wk_tensor *source);

/* ids [..], weight [v, c] of any dtype -> [.., c], f32 if the weight is quantized */
WK_API wk_tensor *wk_embedding(wk_tensor *ids, wk_tensor *weight);

/* ---- Normalisation ------------------------------------------------------ */

/* x [.., c] times 1 / sqrt(mean(x^2) + eps) times weight [c] (NULL: 1) */
WK_API wk_tensor *wk_rms_norm(wk_tensor *x, wk_tensor *weight, double eps);

/* (x - mean) / sqrt(var + eps) over the last dimension; weight and bias [c] or NULL */
WK_API wk_tensor *wk_layer_norm(wk_tensor *x, wk_layer p, double eps);

/* The same over groups of channels and all that follows: x [b, c, ..], weight, bias [c] */
WK_API wk_tensor *wk_group_norm(wk_tensor *x, int64_t groups, wk_layer p, double eps);

/* ---- Attention ---------------------------------------------------------- */

/* Rotate x [.., t, d] by angles whose cos and sin are [t, n/2], n <= d: the first n of
 * each d numbers turn, in pairs (i, i + n/2), or (2i, 2i + 1) with pairs.
 * Su et al., RoFormer, 2021. */
WK_API wk_tensor *wk_rope(wk_tensor *x, wk_tensor *cos, wk_tensor *sin, bool pairs);

/* softmax(q k^T scale + mask) v, never forming the matrix of scores.
 * Dao, FlashAttention-2, 2023. */
typedef struct {
    wk_tensor *q;       /* [b, h, t, d] */
    wk_tensor *k;       /* [b, g, s, d], h a multiple of g: each g serves h / g queries */
    wk_tensor *v;       /* [b, g, s, e] */
    wk_tensor *mask;    /* added to the scores, or bool: true is seen; broadcasts to [b, h, t, s] */
    wk_tensor *slopes;  /* ALiBi: [h], times the key's distance before the query */
    bool       causal;  /* query i sees keys up to s - t + i */
    int64_t    window;  /* ... and of those only the last so many; 0: all */
    double     scale;   /* default 1 / sqrt(d) */
    double     softcap; /* scores become cap tanh(score / cap); 0: they do not */
    int        end_;    /* set by the macro, so that partial lists do not warn */
} wk_attention_args;

WK_API wk_tensor *wk_attention_with(const wk_attention_args *args); /* [b, h, t, e] */
#define wk_attention(...) wk_attention_with(&(wk_attention_args){ __VA_ARGS__, .end_ = 0 })

/* ---- Losses: more are in wick/nn.h ---------------------------------------- */

typedef enum {
    WK_MEAN, /* what each element, or row, costs: the mean of it ... */
    WK_SUM,
    WK_EACH,      /* ... or nothing is done with it */
    WK_BATCH_MEAN /* the sum over the length of the first axis */
} wk_reduction;

typedef struct {
    wk_tensor   *logits;       /* [.., v] */
    wk_tensor   *target;       /* [..], integers: the right classes; or probabilities [.., v] */
    bool         ignore;       /* rows whose target is ... */
    int64_t      ignore_index; /* ... this do not count (PyTorch's default is -100) */
    double       label_smoothing;
    wk_tensor   *weight; /* [v], of the classes; the mean is then over the rows' weights */
    wk_reduction reduction;
    int          end_; /* set by the macro, so that partial lists do not warn */
} wk_cross_entropy_args;

/* The mean over rows of -log softmax(logits)[target], and of -logits[target] where they
 * are log-probabilities already. */
WK_API wk_tensor *wk_cross_entropy_with(const wk_cross_entropy_args *args);
WK_API wk_tensor *wk_nll_loss_with(const wk_cross_entropy_args *args);
#define wk_cross_entropy(...)                                                                      \
    wk_cross_entropy_with(&(wk_cross_entropy_args){ __VA_ARGS__, .end_ = 0 })
#define wk_nll_loss(...) wk_nll_loss_with(&(wk_cross_entropy_args){ __VA_ARGS__, .end_ = 0 })

/* ---- Convolution, pooling, resampling ------------------------------------ */

/* Of images [b, c, ..], or [c, ..], with one to three spatial dimensions: (d,) (h,) w.
 * Options about these are shapes: WK_SHAPE(2, 1) for h and w, WK_SHAPE(2) for all. */
typedef struct {
    wk_tensor *x;
    wk_tensor *weight;         /* [o, c / groups, ..]; of the transpose [c, o / groups, ..] */
    wk_tensor *bias;           /* [o] or NULL */
    wk_shape   stride;         /* default 1 */
    wk_shape   padding;        /* zeros on both sides; default 0 */
    wk_shape   dilation;       /* default 1 */
    wk_shape   before, after;  /* more zeros, or fewer, on one side */
    wk_shape   output_padding; /* transpose: what the result is longer at its end */
    int64_t    groups;         /* default 1 */
    bool       same;           /* as many zeros as keep the size; the stride is 1 */
    int        dims;           /* spatial dimensions; default what weight has */
    int        end_;           /* set by the macro, so that partial lists do not warn */
} wk_conv_args;

WK_API wk_tensor *wk_conv_with(const wk_conv_args *args); /* [b, o, ..], in x's dtype */
WK_API wk_tensor *wk_conv_transpose_with(const wk_conv_args *args);
#define wk_conv(...)             wk_conv_with(&(wk_conv_args){ __VA_ARGS__, .end_ = 0 })
#define wk_conv1d(...)           wk_conv(__VA_ARGS__, .dims = 1)
#define wk_conv2d(...)           wk_conv(__VA_ARGS__, .dims = 2)
#define wk_conv3d(...)           wk_conv(__VA_ARGS__, .dims = 3)
#define wk_conv_transpose(...)   wk_conv_transpose_with(&(wk_conv_args){ __VA_ARGS__, .end_ = 0 })
#define wk_conv_transpose1d(...) wk_conv_transpose(__VA_ARGS__, .dims = 1)
#define wk_conv_transpose2d(...) wk_conv_transpose(__VA_ARGS__, .dims = 2)
#define wk_conv_transpose3d(...) wk_conv_transpose(__VA_ARGS__, .dims = 3)

typedef struct {
    wk_tensor *x;
    wk_shape   size;            /* of a window */
    wk_shape   stride;          /* default size */
    wk_shape   padding;         /* on both sides, at most half of size; default 0 */
    wk_shape   dilation;        /* of max_pool; default 1 */
    bool       ceil_mode;       /* windows may reach beyond the end */
    bool       exclude_padding; /* avg_pool divides by the elements of x in the window ... */
    int64_t    divisor;         /* ... or by this number */
    double     p;               /* of lp_pool; default 2 */
    int        dims;            /* spatial dimensions; default what size has */
    int        end_;            /* set by the macro, so that partial lists do not warn */
} wk_pool_args;

WK_API wk_tensor *wk_max_pool_with(const wk_pool_args *args); /* gradient: to the first of ties */
WK_API wk_tensor *wk_max_pool_indices_with(const wk_pool_args *args); /* i64, in each image */
WK_API wk_tensor *wk_avg_pool_with(const wk_pool_args *args);
WK_API wk_tensor *wk_lp_pool_with(const wk_pool_args *args); /* (sum of x^p)^(1/p) */
#define WK_POOL(...)             (&(wk_pool_args){ __VA_ARGS__, .end_ = 0 })
#define wk_max_pool(...)         wk_max_pool_with(WK_POOL(__VA_ARGS__))
#define wk_max_pool1d(...)       wk_max_pool(__VA_ARGS__, .dims = 1)
#define wk_max_pool2d(...)       wk_max_pool(__VA_ARGS__, .dims = 2)
#define wk_max_pool3d(...)       wk_max_pool(__VA_ARGS__, .dims = 3)
#define wk_max_pool_indices(...) wk_max_pool_indices_with(WK_POOL(__VA_ARGS__))
#define wk_avg_pool(...)         wk_avg_pool_with(WK_POOL(__VA_ARGS__))
#define wk_avg_pool1d(...)       wk_avg_pool(__VA_ARGS__, .dims = 1)
#define wk_avg_pool2d(...)       wk_avg_pool(__VA_ARGS__, .dims = 2)
#define wk_avg_pool3d(...)       wk_avg_pool(__VA_ARGS__, .dims = 3)
#define wk_lp_pool(...)          wk_lp_pool_with(WK_POOL(__VA_ARGS__))
#define wk_lp_pool1d(...)        wk_lp_pool(__VA_ARGS__, .dims = 1)
#define wk_lp_pool2d(...)        wk_lp_pool(__VA_ARGS__, .dims = 2)
#define wk_lp_pool3d(...)        wk_lp_pool(__VA_ARGS__, .dims = 3)

/* size [d, h, w], [h, w] or [w] windows that divide x evenly; -1: as many as elements */
WK_API wk_tensor *wk_adaptive_avg_pool(wk_tensor *x, wk_shape size);
WK_API wk_tensor *wk_adaptive_max_pool(wk_tensor *x, wk_shape size);

/* Windows as columns, and columns added up where their windows lie. */
typedef struct {
    wk_tensor *x;      /* unfold: [b, c, ..] -> [b, c k, windows]; fold: the other way */
    wk_shape   size;   /* of a window, with k elements */
    wk_shape   stride; /* default 1 */
    wk_shape   padding, dilation;
    wk_shape   output; /* fold: the image's spatial dimensions */
    int        end_;   /* set by the macro, so that partial lists do not warn */
} wk_fold_args;

WK_API wk_tensor *wk_unfold_with(const wk_fold_args *args);
WK_API wk_tensor *wk_fold_with(const wk_fold_args *args);
#define wk_unfold(...) wk_unfold_with(&(wk_fold_args){ __VA_ARGS__, .end_ = 0 })
#define wk_fold(...)   wk_fold_with(&(wk_fold_args){ __VA_ARGS__, .end_ = 0 })

/* linear is bilinear or trilinear where there are so many dimensions, and so on */
typedef enum { WK_NEAREST, WK_NEAREST_EXACT, WK_LINEAR, WK_CUBIC, WK_AREA } wk_interpolation;

typedef struct {
    wk_tensor       *x;    /* [b, c, ..] */
    wk_shape         size; /* of the spatial dimensions, or else ... */
    double           scale;
    wk_interpolation mode;          /* default nearest */
    bool             align_corners; /* the outermost elements stay where they are */
    int              end_;          /* set by the macro, so that partial lists do not warn */
} wk_interpolate_args;

WK_API wk_tensor *wk_interpolate_with(const wk_interpolate_args *args);
#define wk_interpolate(...) wk_interpolate_with(&(wk_interpolate_args){ __VA_ARGS__, .end_ = 0 })

/* [.., c f f, h, w] -> [.., c, h f, w f], and back */
WK_API wk_tensor *wk_pixel_shuffle(wk_tensor *x, int64_t factor);
WK_API wk_tensor *wk_pixel_unshuffle(wk_tensor *x, int64_t factor);

typedef struct {
    wk_tensor  *x;       /* [b, c, ..] */
    wk_tensor  *grid;    /* [b, .., places], each (x, y, z), (x, y) or x: -1 .. 1 is the image */
    wk_pad_mode padding; /* beyond it: zeros, WK_PAD_REPLICATE its border, or WK_PAD_REFLECT */
    bool        nearest; /* or linear between neighbours */
    bool        align_corners; /* -1 and 1 are the outermost elements, not their outer edges */
    int         end_;          /* set by the macro, so that partial lists do not warn */
} wk_grid_sample_args;

WK_API wk_tensor *wk_grid_sample_with(const wk_grid_sample_args *args);
#define wk_grid_sample(...) wk_grid_sample_with(&(wk_grid_sample_args){ __VA_ARGS__, .end_ = 0 })

/* ---- Sorting, scans, sets, drawing --------------------------------------- */

/* Along an axis; NaN is the largest, equal elements stay in their order. */
typedef struct {
    wk_tensor *values, *indices; /* indices i64; values have gradients */
} wk_ordered;

WK_API wk_ordered wk_sort(wk_tensor *x, int axis, bool descending);
WK_API wk_tensor *wk_argsort(wk_tensor *x, int axis, bool descending);
WK_API wk_ordered wk_kthvalue(wk_tensor *x, int axis, int64_t k); /* smallest, k from 1 on */
WK_API wk_ordered wk_median(wk_tensor *x, int axis);              /* of two the lower one */

/* The count largest, the largest first; or the smallest. */
typedef struct {
    wk_tensor *x;
    int64_t    count;
    wk_shape   over; /* WK_AXES(axis), default the last one */
    bool       smallest;
    int        end_; /* set by the macro, so that partial lists do not warn */
} wk_topk_args;

WK_API wk_ordered wk_topk_with(const wk_topk_args *args);
#define wk_topk(...) wk_topk_with(&(wk_topk_args){ __VA_ARGS__, .end_ = 0 })

/* Where x would stand in a sorted vector, or row by row in sorted [.., n]: before its equals,
 * or right of them.  i64 of the shape of x. */
WK_API wk_tensor *wk_searchsorted(wk_tensor *sorted, wk_tensor *x, bool right);

WK_API wk_tensor *wk_cumsum(wk_tensor *x, int axis);
WK_API wk_tensor *wk_cumprod(wk_tensor *x, int axis);
WK_API wk_ordered wk_cummax(wk_tensor *x, int axis); /* indices of the last of equals */
WK_API wk_ordered wk_cummin(wk_tensor *x, int axis);

/* How many there are is found out by looking: these wait for the device. */
WK_API wk_tensor *wk_nonzero(wk_tensor *x); /* i64 [n, rank] */
WK_API wk_tensor *wk_masked_select(wk_tensor *x, wk_tensor *mask);

typedef struct {
    wk_tensor *values;           /* each once, sorted */
    wk_tensor *inverse, *counts; /* where each element of x went; how many went there */
} wk_unique_result;

WK_API wk_unique_result wk_unique(wk_tensor *x);

/* How often each of 0, 1, .. comes in x, or the sum of its weights. */
typedef struct {
    wk_tensor *x;
    wk_tensor *weight; /* of the shape of x */
    int64_t    least;  /* counts that are given at least, though they are 0 */
    int        end_;   /* set by the macro, so that partial lists do not warn */
} wk_bincount_args;

WK_API wk_tensor *wk_bincount_with(const wk_bincount_args *args);
#define wk_bincount(...) wk_bincount_with(&(wk_bincount_args){ __VA_ARGS__, .end_ = 0 })
WK_API wk_tensor *wk_histc(wk_tensor *x, int64_t bins, double low, double high);
WK_API wk_tensor *wk_one_hot(wk_tensor *ids, int64_t classes); /* i64 [.., classes] */

/* Draw: 1 with probability p, else 0; count indices by the weights [n] or [b, n]. */
WK_API wk_tensor *wk_bernoulli(wk_tensor *p);
WK_API wk_tensor *wk_multinomial(wk_tensor *weights, int64_t count, bool replace);

/* Each element is 0 with probability p, and else x / (1 - p): for training. */
WK_API wk_tensor *wk_dropout(wk_tensor *x, double p);

/* ---- Linear algebra, Fourier, batch norms -------------------------------- */

/* Matrices are the last two dimensions, the others a batch.  All is computed in f64 and
 * rounded at the end; gradients are as in PyTorch.  A matrix that is singular, or not
 * positive definite, is an error that says which one of the batch. */
WK_API wk_tensor *wk_inverse(wk_tensor *a);  /* [.., n, n] -> [.., n, n] */
WK_API wk_tensor *wk_det(wk_tensor *a);      /* [.., n, n] -> [..]; of a singular one 0 */
WK_API wk_tensor *wk_cholesky(wk_tensor *a); /* L with L L^T = a; reads the lower triangle */
WK_API wk_tensor *wk_pinv(wk_tensor *a);     /* [.., m, n] -> [.., n, m], from the SVD */

/* x with a x = b: a [.., n, n], b [.., n, r], or b [.., n], and the same x */
WK_API wk_tensor *wk_solve(wk_tensor *a, wk_tensor *b);

/* x [.., n, r] with the least |a x - b|: a [.., m, n] of rank n <= m, b [.., m, r] */
WK_API wk_tensor *wk_lstsq(wk_tensor *a, wk_tensor *b);

typedef struct {
    wk_tensor *a, *b; /* [.., n, n], of which the lower triangle counts; [.., n, r] */
    bool       upper; /* the upper one does */
    bool       unit;  /* with ones on the diagonal, whatever is there */
    int        end_;  /* set by the macro, so that partial lists do not warn */
} wk_triangular_args;

WK_API wk_tensor *wk_solve_triangular_with(const wk_triangular_args *args);
#define wk_solve_triangular(...)                                                                   \
    wk_solve_triangular_with(&(wk_triangular_args){ __VA_ARGS__, .end_ = 0 })

/* Factors of a [.., m, n], with k = min(m, n); all are NULL after an error. */
typedef struct {
    wk_tensor *sign, *log; /* of the determinant and its magnitude: [..] */
} wk_signed_log;
typedef struct {
    wk_tensor *p, *l, *u; /* a = p l u: [.., m, m] [.., m, k] [.., k, n] */
} wk_lu_factors;
typedef struct {
    wk_tensor *q, *r; /* a = q r: [.., m, k] [.., k, n] */
} wk_qr_factors;
typedef struct {
    wk_tensor *u, *s, *vt; /* a = u diag(s) vt: [.., m, k] [.., k], descending; [.., k, n] */
} wk_svd_factors;
typedef struct {
    wk_tensor *values, *vectors; /* [.., n], ascending; [.., n, n], in columns */
} wk_eigen;

WK_API wk_signed_log  wk_slogdet(wk_tensor *a); /* [.., n, n] */
WK_API wk_lu_factors  wk_lu(wk_tensor *a);
WK_API wk_qr_factors  wk_qr(wk_tensor *a);
WK_API wk_svd_factors wk_svd(wk_tensor *a);
WK_API wk_eigen       wk_eigh(wk_tensor *a); /* symmetric [.., n, n]; reads the lower triangle */

/* Complex numbers are a last dimension of 2, as of torch.view_as_real.  Transforms go over
 * the dimension before, of any length: n log n also where n is prime. */
WK_API wk_tensor *wk_fft(wk_tensor *x);              /* [.., n, 2] -> [.., n, 2] */
WK_API wk_tensor *wk_ifft(wk_tensor *x);             /* the same backwards, divided by n */
WK_API wk_tensor *wk_rfft(wk_tensor *x);             /* real [.., n] -> [.., n / 2 + 1, 2] */
WK_API wk_tensor *wk_irfft(wk_tensor *x, int64_t n); /* [.., n / 2 + 1, 2] -> real [.., n] */

/* Pieces of size elements, hop apart: [.., t] -> [.., f, size]; and such pieces added up
 * where they came from: [.., f, size] -> [.., (f - 1) hop + size] */
WK_API wk_tensor *wk_frames(wk_tensor *x, int64_t size, int64_t hop);
WK_API wk_tensor *wk_overlap_add(wk_tensor *x, int64_t hop);

/* wk_stft: x [.., t] -> [.., n_fft / 2 + 1, frames, 2]; wk_istft: the way back.  As in
 * PyTorch: frames are centred, x reflected at its ends for that. */
typedef struct {
    wk_tensor *x;
    int64_t    n_fft;
    int64_t    hop;         /* default n_fft / 4 */
    int64_t    win_length;  /* default n_fft; shorter ones are centred in it */
    wk_tensor *window;      /* [win_length]; default ones */
    bool       not_centred; /* the first frame starts at x[0] */
    bool       pad_zeros;   /* wk_stft: zeros at the ends */
    bool       normalized;  /* divide by sqrt(n_fft) */
    bool       two_sided;   /* all n_fft frequencies */
    int64_t    length;      /* wk_istft: of the result; default what the frames give */
    int        end_;        /* set by the macro, so that partial lists do not warn */
} wk_stft_args;

WK_API wk_tensor *wk_stft_with(const wk_stft_args *args);
WK_API wk_tensor *wk_istft_with(const wk_stft_args *args);
#define wk_stft(...)  wk_stft_with(&(wk_stft_args){ __VA_ARGS__, .end_ = 0 })
#define wk_istft(...) wk_istft_with(&(wk_stft_args){ __VA_ARGS__, .end_ = 0 })

/* (x - mean) / sqrt(var + eps) weight + bias for each channel of x [b, c, ..]; the rest
 * are [c].  In training mean and var are x's own, and the running ones, where given, move
 * towards them in place; otherwise they are the running ones. */
typedef struct {
    wk_tensor *x, *weight, *bias;          /* weight and bias may be NULL */
    wk_tensor *running_mean, *running_var; /* in training they may be NULL */
    bool       training;
    double     momentum; /* how far they move; default 0.1 */
    double     eps;      /* default 1e-5 */
    int        end_;     /* set by the macro, so that partial lists do not warn */
} wk_batch_norm_args;

WK_API wk_tensor *wk_batch_norm_with(const wk_batch_norm_args *args);
#define wk_batch_norm(...) wk_batch_norm_with(&(wk_batch_norm_args){ __VA_ARGS__, .end_ = 0 })

/* The same for each channel of each example by itself: x [b, c, ..], weight, bias [c] */
WK_API wk_tensor *wk_instance_norm(wk_tensor *x, wk_layer p, double eps);

/* x / max(|x|_p, eps) along the axis */
WK_API wk_tensor *wk_normalize(wk_tensor *x, double p, int axis, double eps);

/* g v / |v|, the norm over all axes but this one, along which g lies */
WK_API wk_tensor *wk_weight_norm(wk_tensor *v, wk_tensor *g, int axis);

/* a b / (max(|a|, eps) max(|b|, eps)), summed along the axis */
WK_API wk_tensor *wk_cosine_similarity(wk_tensor *a, wk_tensor *b, int axis, double eps);

/* |a - b + eps|_p over the last dimension */
WK_API wk_tensor *wk_pairwise_distance(wk_tensor *a, wk_tensor *b, double p, double eps);

/* |a_i - b_j|_p: a [.., m, d], b [.., n, d] -> [.., m, n] */
WK_API wk_tensor *wk_cdist(wk_tensor *a, wk_tensor *b, double p);

/* Graves et al., "Connectionist temporal classification", 2006: -log of the probability
 * that log_probs [t, n, c] say the targets. */
typedef struct {
    wk_tensor   *log_probs;      /* [t, n, c] */
    wk_tensor   *targets;        /* [n, s], or all one after the other: [sum] */
    wk_tensor   *input_lengths;  /* [n] */
    wk_tensor   *target_lengths; /* [n] */
    int64_t      blank;          /* which class is no label */
    wk_reduction reduction;      /* MEAN: of each over its target's length; EACH: [n] */
    bool         zero_infinity;  /* targets too long for their input cost nothing */
    int          end_;           /* set by the macro, so that partial lists do not warn */
} wk_ctc_loss_args;

WK_API wk_tensor *wk_ctc_loss_with(const wk_ctc_loss_args *args);
#define wk_ctc_loss(...) wk_ctc_loss_with(&(wk_ctc_loss_args){ __VA_ARGS__, .end_ = 0 })

/* ---- In place: these change dst and return it; nothing is recorded ------ */

WK_API wk_tensor *wk_write(wk_tensor *dst, wk_tensor *src, int axis, int64_t start);
WK_API wk_tensor *wk_assign(wk_tensor *dst, wk_tensor *src); /* src broadcasts */
WK_API wk_tensor *wk_fill(wk_tensor *dst, double value);
WK_API wk_tensor *wk_accumulate(wk_tensor *dst, wk_tensor *src); /* dst += src */

/* ---- Operations of your own ---------------------------------------------- */

enum { WK_CUSTOM_OPERANDS = 8 };

/* forward computes the result; nothing in it is recorded.  backward gets the operands, the
 * result y and its gradient dy, and sets dx[i] to the gradient of operand i, or leaves it
 * NULL; written in operations, it has derivatives itself.  user must live as long as y's
 * gradient may be asked for. */
typedef struct {
    wk_tensor *in[WK_CUSTOM_OPERANDS];
    wk_tensor *(*forward)(wk_tensor *const *in, void *user);
    void (*backward)(wk_tensor *const *in, wk_tensor *y, wk_tensor *dy, wk_tensor **dx, void *user);
    void *user;
    int   count; /* of operands; default: up to the first NULL */
    int   end_;  /* set by the macro, so that partial lists do not warn */
} wk_custom_args;

WK_API wk_tensor *wk_custom_with(const wk_custom_args *args);
#define wk_custom(...) wk_custom_with(&(wk_custom_args){ __VA_ARGS__, .end_ = 0 })

/* run(in), remembering nothing of what is computed within: it is computed again when its
 * gradient is needed, with the same random numbers (Chen et al., "Training deep nets with
 * sublinear memory cost", 2016).  Parameters that run uses get their gradients as always. */
typedef struct {
    wk_tensor *in[WK_CUSTOM_OPERANDS]; /* at most 7 */
    wk_tensor *(*run)(wk_tensor *const *in, void *user);
    void *user;  /* lives as long as the graph */
    int   count; /* of operands; default: up to the first NULL */
    int   end_;  /* set by the macro, so that partial lists do not warn */
} wk_checkpoint_args;

WK_API wk_tensor *wk_checkpoint_with(const wk_checkpoint_args *args);
#define wk_checkpoint(...) wk_checkpoint_with(&(wk_checkpoint_args){ __VA_ARGS__, .end_ = 0 })

#ifdef __cplusplus
}
#endif
#endif
