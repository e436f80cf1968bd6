// SPDX-License-Identifier: MIT OR Apache-2.0
/* wick/nn.h - parameters and layers; optimisers are in wick/optim.h.
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

/* The files that parameters come from, with their metadata; NULL: there are none. */
typedef struct wk_archive wk_archive;
WK_API const wk_archive  *wk_store_archive(const wk_store *s);

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

/* How a new parameter begins.  Others than these four have functions that say them. */
typedef struct wk_init wk_init;
struct wk_init {
    enum { WK_INIT_ZEROS, WK_INIT_ONES, WK_INIT_UNIFORM, WK_INIT_NORMAL } kind;
    double spread; /* uniform in -spread .. spread; normal with this standard deviation */
    wk_tensor *(*make)(wk_shape shape, const wk_init *how); /* instead: yours, or one below */
    double number[4];                                       /* of make */
};

/* The parameter of that name: of the file, or made. */
WK_API wk_tensor *wk_param(wk_vars at, const char *name, wk_shape shape, wk_init init);

/* The same for what is saved and loaded with the parameters, but is none: it has no gradient. */
WK_API wk_tensor *wk_buffer(wk_vars at, const char *name, wk_shape shape, wk_init init);

WK_API bool wk_has(wk_vars at, const char *name); /* it was made, or is in the file */

/* ---- Initialisation, as torch.nn.init ------------------------------------ */

WK_API wk_init wk_init_constant(double value);
WK_API wk_init wk_init_uniform(double low, double high);
WK_API wk_init wk_init_normal(double mean, double std);
WK_API wk_init wk_init_trunc_normal(double mean, double std, double low, double high);

/* By the inputs and outputs of each unit, in = dim(1) and out = dim(0) times what follows:
 * uniform within gain sqrt(6 / (in + out)), or normal with gain sqrt(2 / (in + out)) (Glorot
 * and Bengio, 2010); or within gain sqrt(3 / n), and with gain / sqrt(n) (He et al., 2015). */
typedef enum { WK_FAN_IN, WK_FAN_OUT } wk_fan;

WK_API wk_init wk_init_xavier_uniform(double gain);
WK_API wk_init wk_init_xavier_normal(double gain);
WK_API wk_init wk_init_kaiming_uniform(wk_fan n, double gain);
WK_API wk_init wk_init_kaiming_normal(wk_fan n, double gain);

/* Rows, or if there are more of them columns, at right angles and of length gain: Saxe et
 * al., 2014.  What follows the first dimension counts as one. */
WK_API wk_init wk_init_orthogonal(double gain);
WK_API wk_init wk_init_eye(void);
WK_API wk_init wk_init_dirac(int64_t groups);            /* a convolution that changes nothing */
WK_API wk_init wk_init_sparse(double zeros, double std); /* that share of each column is 0 */

#define WK_GAIN_TANH (5.0 / 3) /* torch.nn.init.calculate_gain() */
#define WK_GAIN_RELU 1.4142135623730951
#define WK_GAIN_SELU 0.75
WK_API double wk_gain_leaky_relu(double slope);

WK_API wk_tensor *wk_init_new(wk_shape shape, wk_init how); /* f32 */
WK_API wk_tensor *wk_init_again(wk_tensor *x, wk_init how); /* begin x anew, in place */

/* ---- Layers: parameters by their usual names, begun as PyTorch begins them - */

WK_API wk_layer   wk_linear_new(wk_vars at, int64_t in, int64_t out); /* weight, bias */
WK_API wk_layer   wk_linear_new_unbiased(wk_vars at, int64_t in, int64_t out);
WK_API wk_tensor *wk_embedding_new(wk_vars at, int64_t count, int64_t width);
WK_API wk_tensor *wk_rms_norm_new(wk_vars at, int64_t width);
WK_API wk_layer   wk_layer_norm_new(wk_vars at, int64_t width);
WK_API wk_layer   wk_group_norm_new(wk_vars at, int64_t channels);

WK_API wk_layer wk_instance_norm_new(wk_vars at, int64_t channels);

/* Batch norm also has buffers, which move while training: running_mean, running_var [c], and
 * num_batches_tracked [].  eps and momentum may be changed in the struct. */
typedef struct {
    wk_tensor *weight, *bias, *running_mean, *running_var, *num_batches_tracked;
    double     eps, momentum; /* 1e-5, 0.1 */
} wk_batch_norm_layer;

typedef struct {
    const wk_batch_norm_layer *m;
    wk_tensor                 *x;     /* [b, c, ..] */
    bool                       train; /* by the statistics of x, and move those that are kept */
    int                        end_;  /* set by the macro, so that partial lists do not warn */
} wk_batch_norm_forward_args;

WK_API wk_batch_norm_layer wk_batch_norm_new(wk_vars at, int64_t channels);
WK_API wk_tensor          *wk_batch_norm_forward_with(const wk_batch_norm_forward_args *args);
#define wk_batch_norm_forward(...)                                                                 \
    wk_batch_norm_forward_with(&(wk_batch_norm_forward_args){ __VA_ARGS__, .end_ = 0 })

/* With a row that stands for nothing: it begins as zeros, and has no gradient. */
WK_API wk_tensor *wk_embedding_new_padded(wk_vars at, int64_t count, int64_t width,
                                          int64_t padding);
WK_API wk_tensor *wk_embedding_padded(wk_tensor *ids, wk_tensor *weight, int64_t padding);

/* A convolution is what wk_conv() takes, but for x. */
typedef struct {
    wk_vars  at;
    int64_t  in, out; /* channels */
    wk_shape kernel;  /* its rank is the number of spatial dimensions */
    wk_shape stride, padding, dilation, output_padding; /* as in wk_conv_args */
    int64_t  groups;
    bool     same, unbiased;
    int      end_; /* set by the macro, so that partial lists do not warn */
} wk_conv_new_args;

WK_API wk_conv_args wk_conv_new_with(const wk_conv_new_args *args);
WK_API wk_conv_args wk_conv_transpose_new_with(const wk_conv_new_args *args);
#define wk_conv_new(...) wk_conv_new_with(&(wk_conv_new_args){ __VA_ARGS__, .end_ = 0 })
#define wk_conv_transpose_new(...)                                                                 \
    wk_conv_transpose_new_with(&(wk_conv_new_args){ __VA_ARGS__, .end_ = 0 })
WK_API wk_tensor *wk_conv_forward(const wk_conv_args *m, wk_tensor *x);
WK_API wk_tensor *wk_conv_transpose_forward(const wk_conv_args *m, wk_tensor *x);

/* Layers one after the other.  Of a block that is done which is there, in this order. */
typedef struct {
    wk_layer            linear;
    wk_conv_args        conv;
    wk_batch_norm_layer batch_norm;
    wk_layer            norm;         /* over the last dimension, eps 1e-5 */
    wk_tensor *(*call)(wk_tensor *x); /* wk_relu, or yours */
    double dropout;
} wk_block;

typedef struct {
    wk_tensor      *x;
    const wk_block *blocks;
    int             count;
    bool            train; /* with dropout */
    int             end_;  /* set by the macro, so that partial lists do not warn */
} wk_sequential_args;

WK_API wk_tensor *wk_sequential_with(const wk_sequential_args *args);
#define wk_sequential(...) wk_sequential_with(&(wk_sequential_args){ __VA_ARGS__, .end_ = 0 })

/* ---- Recurrent layers ---------------------------------------------------- */

typedef enum { WK_RNN_TANH, WK_RNN_RELU, WK_LSTM, WK_GRU } wk_rnn_kind;

enum { WK_RNN_LAYERS = 16 }; /* at most */

typedef struct {
    wk_tensor *weight_ih, *weight_hh; /* [gates hidden, in], [gates hidden, hidden] */
    wk_tensor *bias_ih, *bias_hh;     /* [gates hidden]; NULL where unbiased */
    wk_tensor *weight_hr;             /* [proj, hidden]; NULL where nothing is projected */
} wk_rnn_cell;

typedef struct {
    wk_rnn_kind kind;
    int         layers;
    bool        bidirectional, batch_first;
    double      dropout;
    wk_rnn_cell cell[2 * WK_RNN_LAYERS]; /* layer by layer, the reverse one second */
} wk_rnn;

typedef struct {
    wk_vars at;
    int64_t in, hidden;
    int     layers; /* default 1 */
    bool    bidirectional;
    bool    batch_first; /* x is [b, t, in], not [t, b, in] */
    bool    unbiased;
    bool    relu;    /* of wk_rnn_new: not tanh */
    double  dropout; /* of what a layer gives to the next one, while training */
    int64_t proj;    /* of wk_lstm_new: the size that h is projected to; 0: it is not */
    int     end_;    /* set by the macro, so that partial lists do not warn */
} wk_rnn_args;

WK_API wk_rnn wk_rnn_new_with(const wk_rnn_args *args); /* weight_ih_l0, weight_hh_l0 .. */
WK_API wk_rnn wk_lstm_new_with(const wk_rnn_args *args);
WK_API wk_rnn wk_gru_new_with(const wk_rnn_args *args);
#define wk_rnn_new(...)  wk_rnn_new_with(&(wk_rnn_args){ __VA_ARGS__, .end_ = 0 })
#define wk_lstm_new(...) wk_lstm_new_with(&(wk_rnn_args){ __VA_ARGS__, .end_ = 0 })
#define wk_gru_new(...)  wk_gru_new_with(&(wk_rnn_args){ __VA_ARGS__, .end_ = 0 })

/* The state between steps: [layers directions, b, hidden].  NULL stands for zeros. */
typedef struct {
    wk_tensor *h, *c; /* c of an LSTM alone */
} wk_rnn_state;

typedef struct {
    const wk_rnn *rnn;
    wk_tensor    *x;     /* [t, b, in], or [t, in] without a batch */
    wk_rnn_state *state; /* where it begins, and then where it ended; NULL: zeros */
    bool          train; /* with dropout */
    int           end_;  /* set by the macro, so that partial lists do not warn */
} wk_rnn_forward_args;

/* [t, b, directions hidden]: the last layer's h at each step.  Once differentiable. */
WK_API wk_tensor *wk_rnn_forward_with(const wk_rnn_forward_args *args);
#define wk_rnn_forward(...) wk_rnn_forward_with(&(wk_rnn_forward_args){ __VA_ARGS__, .end_ = 0 })

/* ---- Transformers --------------------------------------------------------- */

/* Vaswani et al., 2017; parameters as in torch.nn.MultiheadAttention. */
typedef struct {
    wk_tensor *in_proj_weight, *in_proj_bias; /* [3 c, c], [3 c]: of q, k and v */
    wk_layer   out_proj;
    int64_t    heads;
    double     dropout; /* of the weights of the sum, while training */
} wk_multihead;

typedef struct {
    wk_vars at;
    int64_t width, heads;
    double  dropout;
    bool    unbiased;
    int     end_; /* set by the macro, so that partial lists do not warn */
} wk_multihead_args;

WK_API wk_multihead wk_multihead_new_with(const wk_multihead_args *args);
#define wk_multihead_new(...) wk_multihead_new_with(&(wk_multihead_args){ __VA_ARGS__, .end_ = 0 })

typedef struct {
    const wk_multihead *m;
    wk_tensor          *query;       /* [b, t, c] */
    wk_tensor          *key, *value; /* [b, s, c]; default query, and key */
    wk_tensor          *mask;    /* as of wk_attention: bool, true is seen (not as in PyTorch) */
    wk_tensor          *padding; /* [b, s] bool: true where there is a key */
    bool                causal, train;
    int                 end_; /* set by the macro, so that partial lists do not warn */
} wk_multihead_forward_args;

WK_API wk_tensor *wk_multihead_forward_with(const wk_multihead_forward_args *args); /* [b, t, c] */
#define wk_multihead_forward(...)                                                                  \
    wk_multihead_forward_with(&(wk_multihead_forward_args){ __VA_ARGS__, .end_ = 0 })

/* Layers as torch.nn.TransformerEncoderLayer and ...DecoderLayer, [b, t, c]. */
typedef struct {
    wk_multihead self_attn, multihead_attn; /* the latter of a decoder: it looks at the memory */
    wk_layer     linear1, linear2, norm1, norm2, norm3;
    double       dropout, eps;
    bool         norm_first;
    wk_tensor *(*activation)(wk_tensor *x);
} wk_transformer;

typedef struct {
    wk_vars at;
    int64_t width, heads;
    int64_t inner;                          /* default 2048 */
    wk_tensor *(*activation)(wk_tensor *x); /* default wk_relu */
    double dropout;                         /* PyTorch's default is 0.1 */
    double eps;                             /* default 1e-5 */
    bool   norm_first, unbiased;
    int    end_; /* set by the macro, so that partial lists do not warn */
} wk_transformer_args;

WK_API wk_transformer wk_encoder_layer_new_with(const wk_transformer_args *args);
WK_API wk_transformer wk_decoder_layer_new_with(const wk_transformer_args *args);
#define wk_encoder_layer_new(...)                                                                  \
    wk_encoder_layer_new_with(&(wk_transformer_args){ __VA_ARGS__, .end_ = 0 })
#define wk_decoder_layer_new(...)                                                                  \
    wk_decoder_layer_new_with(&(wk_transformer_args){ __VA_ARGS__, .end_ = 0 })

typedef struct {
    const wk_transformer *layer;
    wk_tensor            *x;                            /* [b, t, c] */
    wk_tensor            *memory;                       /* [b, s, c], of a decoder */
    wk_tensor            *mask, *padding;               /* of x, as of wk_multihead_forward() */
    wk_tensor            *memory_mask, *memory_padding; /* of the memory */
    bool                  causal, train;
    int                   end_; /* set by the macro, so that partial lists do not warn */
} wk_transformer_forward_args;

WK_API wk_tensor *wk_transformer_forward_with(const wk_transformer_forward_args *args);
#define wk_transformer_forward(...)                                                                \
    wk_transformer_forward_with(&(wk_transformer_forward_args){ __VA_ARGS__, .end_ = 0 })

/* ---- Losses --------------------------------------------------------------- */

/* Of x and what it should be, y, of one shape.  Halves are computed in f32, and give f32. */
typedef struct {
    wk_tensor   *x, *y;
    wk_reduction reduction;
    wk_tensor   *weight;      /* of each element; broadcasts.  It does not count in the mean */
    wk_tensor   *pos_weight;  /* bce_logits: what y is worth where it is 1; broadcasts */
    wk_tensor   *var;         /* gaussian_nll: the variances, of x's shape or [.., 1] */
    double       beta;        /* smooth_l1: quadratic up to here; default 1 */
    double       delta;       /* huber: quadratic up to here; default 1 */
    double       margin;      /* hinge_embedding; default 1 */
    double       alpha;       /* focal: what y = 1 is worth; default 0.25, negative: no weights */
    double       gamma;       /* focal: how much less easy ones count; default 2 */
    double       eps;         /* poisson_nll: default 1e-8; gaussian_nll: default 1e-6 */
    bool         log_target;  /* kl: y are logarithms as well */
    bool         plain_input; /* poisson_nll: x are rates, not their logarithms */
    bool         full;        /* poisson_nll, gaussian_nll: with the terms of y alone */
    int          end_;        /* set by the macro, so that partial lists do not warn */
} wk_loss_args;

WK_API wk_tensor *wk_mse_loss_with(const wk_loss_args *args); /* (x - y)^2 */
WK_API wk_tensor *wk_l1_loss_with(const wk_loss_args *args);  /* |x - y| */
WK_API wk_tensor *wk_smooth_l1_loss_with(const wk_loss_args *args);
WK_API wk_tensor *wk_huber_loss_with(const wk_loss_args *args); /* delta times smooth_l1 */
WK_API wk_tensor *wk_bce_loss_with(const wk_loss_args *args);   /* x: probabilities of y = 1 */
WK_API wk_tensor *wk_bce_logits_loss_with(const wk_loss_args *args);
WK_API wk_tensor *wk_focal_loss_with(const wk_loss_args *args); /* of logits: Lin et al., 2017 */
WK_API wk_tensor *wk_kl_loss_with(const wk_loss_args *args);    /* x: log-probabilities */
WK_API wk_tensor *wk_poisson_nll_loss_with(const wk_loss_args *args);
WK_API wk_tensor *wk_gaussian_nll_loss_with(const wk_loss_args *args);
WK_API wk_tensor *wk_hinge_embedding_loss_with(const wk_loss_args *args); /* y: 1 or -1 */
WK_API wk_tensor *wk_soft_margin_loss_with(const wk_loss_args *args);     /* y: 1 or -1 */
#define WK_LOSS(...)                 (&(wk_loss_args){ __VA_ARGS__, .end_ = 0 })
#define wk_mse_loss(...)             wk_mse_loss_with(WK_LOSS(__VA_ARGS__))
#define wk_l1_loss(...)              wk_l1_loss_with(WK_LOSS(__VA_ARGS__))
#define wk_smooth_l1_loss(...)       wk_smooth_l1_loss_with(WK_LOSS(__VA_ARGS__))
#define wk_huber_loss(...)           wk_huber_loss_with(WK_LOSS(__VA_ARGS__))
#define wk_bce_loss(...)             wk_bce_loss_with(WK_LOSS(__VA_ARGS__))
#define wk_bce_logits_loss(...)      wk_bce_logits_loss_with(WK_LOSS(__VA_ARGS__))
#define wk_focal_loss(...)           wk_focal_loss_with(WK_LOSS(__VA_ARGS__))
#define wk_kl_loss(...)              wk_kl_loss_with(WK_LOSS(__VA_ARGS__))
#define wk_poisson_nll_loss(...)     wk_poisson_nll_loss_with(WK_LOSS(__VA_ARGS__))
#define wk_gaussian_nll_loss(...)    wk_gaussian_nll_loss_with(WK_LOSS(__VA_ARGS__))
#define wk_hinge_embedding_loss(...) wk_hinge_embedding_loss_with(WK_LOSS(__VA_ARGS__))
#define wk_soft_margin_loss(...)     wk_soft_margin_loss_with(WK_LOSS(__VA_ARGS__))

/* Of two or three things that should be near each other, or far. */
typedef struct {
    wk_tensor   *a, *b; /* [.., c]; of margin_ranking the ranks [..] */
    wk_tensor   *y;     /* [..]: 1 or -1; of triplet the far one [.., c] */
    wk_reduction reduction;
    double       margin; /* triplet: default 1 */
    double       p;      /* triplet: of the distance; default 2 */
    bool         swap;   /* triplet: far from b, if that is nearer than a */
    int          end_;   /* set by the macro, so that partial lists do not warn */
} wk_margin_args;

WK_API wk_tensor *wk_cosine_embedding_loss_with(const wk_margin_args *args);
WK_API wk_tensor *wk_margin_ranking_loss_with(const wk_margin_args *args); /* y = 1: a is more */
WK_API wk_tensor *wk_triplet_margin_loss_with(const wk_margin_args *args); /* a: the anchor */
#define WK_MARGIN(...)                (&(wk_margin_args){ __VA_ARGS__, .end_ = 0 })
#define wk_cosine_embedding_loss(...) wk_cosine_embedding_loss_with(WK_MARGIN(__VA_ARGS__))
#define wk_margin_ranking_loss(...)   wk_margin_ranking_loss_with(WK_MARGIN(__VA_ARGS__))
#define wk_triplet_margin_loss(...)   wk_triplet_margin_loss_with(WK_MARGIN(__VA_ARGS__))

#ifdef __cplusplus
}
#endif
#endif
