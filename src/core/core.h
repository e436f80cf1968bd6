// SPDX-License-Identifier: MIT OR Apache-2.0
/* core.h - what operations and backends see of the core.
 *
 * An operation is a wk_op.  One application of it is a wk_call: it travels the road
 * in dispatch.c, is the argument of the kernel, and becomes the node of the graph. */
#ifndef WK_CORE_H
#define WK_CORE_H

#include "../base/base.h"
#include <wick/ops.h>
#include <wick/tensor.h>

/* ---- The list of operations --------------------------------------------- */

enum {
#define OP(name) WK_OP_##name,
#include "../ops/ops.def"
#undef OP
    WK_OP_LISTED,
    WK_OP_LAST_LISTED = WK_OP_LISTED - 1,
#define UNARY(name, ...)   WK_OP_##name, WK_OP_##name##_d1, WK_OP_##name##_d2,
#define SCALAR(name, ...)  WK_OP_##name, WK_OP_##name##_d1, WK_OP_##name##_d2,
#define SCALAR2(name, ...) WK_OP_##name, WK_OP_##name##_d1, WK_OP_##name##_d2,
#include <wick/unary.def>
#define BINARY(name, ...) WK_OP_##name,
#include <wick/binary.def>
    WK_OP_COUNT
};

typedef struct wk_op      wk_op;
typedef struct wk_call    wk_call;
typedef struct wk_node    wk_node;
typedef struct wk_storage wk_storage;

/* ---- Dtypes (dtype.c) --------------------------------------------------- */

/* Kernels compute in one of these; a dtype says how to get there and back. */
typedef enum { WK_AS_F32, WK_AS_F64, WK_AS_I64, WK_AS_COUNT } wk_as;

/* n elements, stride elements apart, from or to a dense row of the computing type.
 * Also valid in place, where both sides have elements of the same size. */
typedef void (*wk_load_fn)(void *row, const void *elements, int64_t n, int64_t stride);
typedef void (*wk_store_fn)(void *elements, const void *row, int64_t n, int64_t stride);

typedef struct {
    const char *name; /* "bf16" */
    const char *safe; /* in safetensors files: "BF16" */
    size_t      size; /* bytes of an element, or of a block of them */
    bool        is_float;
    int         rank; /* the higher one wins a promotion */
    wk_as       as;   /* the smallest type that holds every value: where kernels compute */
    wk_load_fn  load[WK_AS_COUNT];
    wk_store_fn store[WK_AS_COUNT];
    int16_t     block; /* elements of a block; 0: not quantized.  Then load() is there for f32
                          and f64, of whole blocks that lie together, and store() for f32 */
} wk_dtype_info;

/* Not const: the CPU backend puts faster rows in when it starts. */
extern wk_dtype_info wk_dtypes[WK_DTYPE_COUNT];

/* Bytes of n elements: whole blocks. */
static inline int64_t wk_bytes_at(wk_dtype dtype, int64_t n)
{
    const wk_dtype_info *d = &wk_dtypes[dtype];
    return (d->block ? n / d->block : n) * (int64_t)d->size;
}

static inline size_t wk_as_size(wk_as as) { return as == WK_AS_F32 ? 4 : 8; }
wk_as                wk_as_wider(wk_as a, wk_as b);

/* ---- Tensors (tensor.c) ------------------------------------------------- */

struct wk_storage {
    atomic_int  refs;
    atomic_uint version; /* counts changes in place */
    wk_device  *device;
    size_t      bytes, room; /* in use, and there */
    void       *data;        /* an address, or what the device knows memory by */
    wk_file    *file;        /* data lies in this mapping, or else belongs to the device */
    wk_storage *next;        /* while it waits for reuse */

    /* of a weight in a file: as a backend has rearranged it, and was it multiplied before? */
    _Atomic(wk_storage *) packed;
    atomic_bool           used;
};

/* How a backend rearranges a weight.  Kernels that know it read it as it is.  Of a weight in a
 * file the storage's data stays as it was, and what is packed comes beside it when needed. */
typedef struct {
    const char *name;
    wk_shape (*room)(const wk_tensor *w); /* for elements of its dtype */
    void (*fill)(const wk_tensor *w, void *to);
    bool (*unpack)(const wk_call *c); /* in[0] packed -> out dense */
} wk_packing;

struct wk_tensor {
    uint32_t          magic; /* says that the tensor is alive */
    atomic_int        refs;
    wk_dtype          dtype;
    bool              tracked; /* its gradient is wanted */
    wk_shape          shape;
    int64_t           stride[WK_MAX_RANK]; /* in elements */
    int64_t           offset;
    wk_storage       *storage;
    const wk_packing *packing; /* NULL: elements lie where the strides say */
    wk_node          *node;    /* how it was computed, if a gradient may be asked */
    wk_tensor        *grad;
    char             *name;
};

wk_tensor  *wk_tensor_new(wk_device *device, wk_dtype dtype, wk_shape shape); /* not in the pool */
wk_tensor  *wk_tensor_view(const wk_tensor *x); /* another tensor on the same elements */
wk_tensor  *wk_tensor_map(wk_dtype dtype, wk_shape shape, wk_file *file, const void *data);
wk_storage *wk_storage_new(wk_device *device, size_t bytes);
void        wk_storage_release(wk_storage *s);
void        wk_retain(wk_tensor *x);
void        wk_release(wk_tensor *x);
bool        wk_tensor_live(const wk_tensor *x);
bool        wk_set_name(wk_tensor *x, const char *name);
bool        wk_bytes_of(wk_dtype dtype, wk_shape shape, size_t *bytes); /* checked */
void        wk_dense_strides(wk_shape shape, int64_t stride[WK_MAX_RANK]);
wk_tensor  *wk_dense(wk_tensor *x);   /* contiguous and unpacked, unrecorded */
void        wk_touched(wk_tensor *x); /* x was changed in place */

/* The first element of a tensor in host memory. */
static inline void *wk_at_host(const wk_tensor *x)
{
    return (char *)x->storage->data + wk_bytes_at(x->dtype, x->offset);
}
static inline bool   wk_is_quantized(const wk_tensor *x) { return wk_dtypes[x->dtype].block; }
static inline float *wk_f32(const wk_tensor *x) { return wk_at_host(x); }

/* n elements of a tensor in host memory, from element at on (counted in its storage,
 * from its own first one), stride apart, as doubles; and back. */
static inline void wk_load_f64(double *row, const wk_tensor *x, int64_t at, int64_t n,
                               int64_t stride)
{
    const wk_dtype_info *d = &wk_dtypes[x->dtype];
    d->load[WK_AS_F64](row, (char *)wk_at_host(x) + wk_bytes_at(x->dtype, at), n, stride);
}
static inline void wk_store_f64(wk_tensor *x, int64_t at, const double *row, int64_t n,
                                int64_t stride)
{
    const wk_dtype_info *d = &wk_dtypes[x->dtype];
    d->store[WK_AS_F64]((char *)wk_at_host(x) + at * (int64_t)d->size, row, n, stride);
}
static inline int64_t wk_load_index(const wk_tensor *x, int64_t at)
{
    const wk_dtype_info *d = &wk_dtypes[x->dtype];
    int64_t              i;
    d->load[WK_AS_I64](&i, (char *)wk_at_host(x) + at * (int64_t)d->size, 1, 1);
    return i;
}

/* ---- Shapes (shape.c) --------------------------------------------------- */

int64_t     wk_elements(wk_shape s);
bool        wk_same_shape(wk_shape a, wk_shape b);
bool        wk_broadcast(wk_shape a, wk_shape b, wk_shape *out);
bool        wk_shape_valid(const char *what, wk_shape s); /* rank, signs and product in range */
int         wk_axis(const char *what, wk_shape s, int64_t axis); /* 0 .. rank-1; -1 and an error */
bool        wk_axis_set(const char *what, wk_shape s, wk_shape axes, bool in[WK_MAX_RANK]);
const char *wk_show_shape(wk_shape s, char buf[160]);   /* "[2, 3]" */
const char *wk_show(const wk_tensor *x, char buf[160]); /* "fc1.weight [128, 784] bf16" */

/* ---- Calls -------------------------------------------------------------- */

typedef union { /* each operation reads one of these */
    double number[3];
    struct {
        int     axis;
        int64_t start, count, step;
    } slice;
    struct {
        int     axis;
        int64_t count; /* of a line; -1: all of it */
        bool    descending;
    } order;
    wk_shape shape;
    struct {
        wk_shape axes;
        bool     keep, biased;
        double   p;
    } reduce;
    struct {
        int    axis;
        wk_act act;
        bool   flag;
    } mode;
    struct {
        bool    causal;
        int64_t window;
        double  scale, softcap;
    } attention;
    struct {
        bool    ignore;
        int64_t ignore_index;
        double  label_smoothing;
    } loss;
    struct {
        int64_t groups;
        double  eps;
    } norm;
    struct {
        int  kind; /* wk_rnn_kind */
        bool reverse, keep;
    } recurrent;
    struct {
        uint64_t seed, counter;
        int64_t  low, high;
        double   probability;
    } random;
    struct {
        void (*backward)(wk_tensor *const *in, wk_tensor *y, wk_tensor *dy, wk_tensor **dx,
                         void *user);
        wk_tensor *(*run)(wk_tensor *const *in, void *user);
        void     *user;
        int       count;
        wk_random random;
    } custom;
    struct { /* over the last three dimensions: see ops/window.h */
        int64_t stride[3], dilation[3], before[3], groups;
        int64_t size[3]; /* pooling, as all that follows */
        bool    adaptive, exclude;
        double  divisor;
    } window;
    struct {
        int    axis, mode;
        bool   align, transposed;
        double scale;
    } resample;
    struct { /* see ops/adam.c */
        double rate, beta1, beta2, eps, size, keep, decay;
    } adam;
    struct {
        double rate, decay, momentum, keep, fresh; /* keep: momentum, or 0 in the first step */
        bool   nesterov;
    } sgd;
    wk_device *device;
    wk_dtype   dtype;
} wk_options;

/* A step of Adam in one pass: p, and in place m, v and (or NULL) the largest v so far. */
bool wk_adam(wk_tensor *p, wk_tensor *g, wk_tensor *const state[3], const wk_options *opt);

enum { WK_MOST_LAYERS = 8 }; /* of linear_cat */

/* The same of SGD: p, and in place m, which may be NULL. */
bool wk_sgd(wk_tensor *p, wk_tensor *g, wk_tensor *m, const wk_options *opt);

struct wk_call {
    const wk_op *op;
    wk_tensor  **in; /* optional operands may be NULL */
    int          count;
    wk_options   opt;
    wk_shape     shape; /* of the result: set by op->infer ... */
    wk_dtype     dtype; /* ... as is its dtype */
    wk_device   *device;
    wk_tensor   *out;
};

/* Bits say for which operands; bit 31 is for all from the 31st on. */
#define WK_ALL_OPERANDS 0xFFFFFFFFu

enum {
    WK_OP_VIEW = 1,       /* compute() sets the strides of out and moves no data */
    WK_OP_IN_PLACE = 2,   /* out is in[0] */
    WK_OP_NO_HISTORY = 4, /* the result has no gradient, and that is no mistake */
    WK_OP_DIRECT = 8      /* compute() runs as it is, whatever the device */
};

/* An operation.  infer() checks the operands and sets shape and dtype; compute() is
 * the portable kernel, which backends override; backward() turns the gradient of the
 * result into those of the operands, written in public operations. */
/* Rows of n elements, all in the computing type and dense. */
typedef void (*wk_row_fn)(const wk_call *c, int64_t n, void *out, void *const *in);

struct wk_op {
    const char *name;
    int         id;
    int         required; /* operands that must be there; the rest may be NULL */
    int         flags;
    unsigned    strided; /* operands that compute() takes with any strides ... */
    unsigned    packed;  /* ... and in a backend's packing */
    unsigned    blocks;  /* operands that are taken quantized; others are read to f32 before */
    bool (*infer)(wk_call *c);
    bool (*compute)(const wk_call *c); /* false only after an error */
    bool (*host)(const wk_call *c);    /* see wk_host_... below; may be NULL */
    void (*backward)(const wk_call *c, wk_tensor *dy, wk_tensor **dx);

    /* Of functions element by element, named here so that a program has only those it uses. */
    wk_row_fn    row, integer_row; /* in doubles; in integers, where those are kept */
    const wk_op *derivative;
};

/* A backend's kernel.  run() may decline by returning false without an error. */
typedef struct {
    bool (*run)(const wk_call *c);
    unsigned strided; /* operands taken with any strides */
    unsigned packed;  /* operands taken in the backend's own packing */
} wk_kernel;

#define OP(name) extern const wk_op wk_op_##name;
#include "../ops/ops.def"
#undef OP
#define UNARY(name, ...)   extern const wk_op wk_op_##name, wk_op_##name##_d1, wk_op_##name##_d2;
#define SCALAR(name, ...)  UNARY(name, )
#define SCALAR2(name, ...) UNARY(name, )
#include <wick/unary.def>
#define BINARY(name, ...) extern const wk_op wk_op_##name;
#include <wick/binary.def>

/* Kernels of the CPU for operations that few programs use: an operation's descriptor
 * names its own, as host, so that the linker drops the two together.  It takes the
 * operands as compute() does, where memory has addresses and the backend's table has no
 * kernel, and may decline.  src/cpu/host.c picks the one of the instruction set in use. */
#define HOST(name) bool wk_host_##name(const wk_call *c);
#include "host.def"
#undef HOST

/* dispatch.c: the one road.  WK_RUN(matmul, WK_IN(a, b), .opt.number = { 1 }) */
wk_tensor *wk_run(wk_call *c);
#define WK_RUN(name, ...) wk_run(&(wk_call){ .op = &wk_op_##name, __VA_ARGS__ })
#define WK_IN(...)        .in = (wk_tensor *[]){ __VA_ARGS__ }, .count = WK_LENGTH(__VA_ARGS__)
bool     wk_usable(const char *what, int operand,
                   const wk_tensor *x); /* there and alive, or an error */
uint64_t wk_fallbacks(void);            /* calls for which a backend had no kernel, so far */

/* What many infer()s are. */
bool wk_infer_same(wk_call *c);      /* shape and dtype of the first operand */
bool wk_infer_broadcast(wk_call *c); /* all operands broadcast, their dtypes promote */

/* ---- Graph (autograd.c) ------------------------------------------------- */

struct wk_node {
    int        pending; /* during wk_backward(): uses not yet seen */
    bool       visited;
    wk_node   *next; /* work list */
    atomic_int refs;
    wk_tensor *grad;
    wk_call    call;    /* holds a reference to each operand; out is not set */
    wk_tensor *result;  /* the result without its node, for backward() */
    unsigned  *version; /* of the operands' storage, and the result's, when recorded */
};

extern _Thread_local bool wk_recording;
bool                      wk_wants_grad(const wk_tensor *x); /* directly or through others */
bool                      wk_needs_record(const wk_call *c);
void                      wk_record(const wk_call *c);
void                      wk_node_release(wk_node *n);

/* ---- Pool (pool.c) ------------------------------------------------------ */

wk_tensor *wk_pool(wk_tensor *x); /* hand one reference to this thread's pool; NULL passes */

/* ---- Devices (device.c, storage.c) ---------------------------------------- */

/* What a backend is.  A device runs copies and kernels in the order they were given,
 * and may run them later: an error then surfaces in sync() or download().  Memory
 * that is freed may be given out again at once, as what follows is queued behind. */
typedef struct {
    const char *name;   /* "cuda" */
    bool        host;   /* memory has addresses here: portable kernels run on it as it is */
    int (*count)(void); /* how many devices there are */
    bool (*open)(wk_device *d);
    void (*close)(wk_device *d);
    void *(*alloc)(wk_device *d, size_t bytes);
    void (*release)(wk_device *d, void *memory, size_t bytes);
    bool (*upload)(wk_device *d, void *memory, size_t at, const void *from, size_t bytes);
    bool (*download)(wk_device *d, void *to, const void *memory, size_t at,
                     size_t bytes); /* waits */
    bool (*sync)(wk_device *d);
    const wk_kernel *(*kernel)(wk_device *d, int op); /* NULL or without run: none */
    const char *(*detail)(const wk_device *d);  /* for people: which instructions, which GPU */
    const char *(*options)(const wk_device *d); /* what else detail might be; may be NULL */
    wk_tensor *(*pack)(wk_tensor *weight);      /* see wk_pack(); NULL: weights stay as they are */
} wk_backend;

typedef struct wk_cache wk_cache;

struct wk_device {
    const wk_backend *backend;
    int               index;
    char              name[32];
    wk_cache         *cache;
    void             *state; /* the backend's */
    atomic_size_t     used;
    wk_device        *next;
};

wk_device *wk_cpu_device(void);
bool       wk_backend_add(const wk_backend *backend); /* one that is not built in */
void       wk_backend_remove(const wk_backend *backend);

wk_cache *wk_cache_new(void);
void      wk_cache_free(wk_device *d);

/* ---- The element-wise engine (loop.c) ----------------------------------- */

/* Feed every row of the broadcast operands through fn, on all threads. */
bool wk_loop(const wk_call *c, wk_as as, wk_row_fn fn);

/* Copy src into dst, of the same shape; dtypes and strides may differ.  Host only. */
bool wk_copy_host(wk_tensor *dst, const wk_tensor *src);

/* ---- Random numbers (random.c) ------------------------------------------ */

/* Four words for a counter: Philox 4x32-10 of Salmon et al., SC 2011. */
void  wk_philox(uint64_t seed, uint64_t counter, uint32_t out[4]);
float wk_uniform(uint32_t word); /* [0, 1), 24 bits */
float wk_normal(uint32_t word);  /* the same bits on every device: see random.c */
/* Take count counters from this thread's generator. */
void  wk_draw(uint64_t count, uint64_t *seed, uint64_t *counter);

#endif
