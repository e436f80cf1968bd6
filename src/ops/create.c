// SPDX-License-Identifier: MIT OR Apache-2.0
/* create.c - new tensors: constants, sequences, random numbers, copies of data. */
#include "../core/core.h"

#include <math.h>

/* A call without operands: infer() finds shape and dtype already set. */
static bool infer_given(wk_call *c)
{
    size_t bytes;
    return wk_bytes_of(c->dtype, c->shape, &bytes);
}

static wk_dtype or_f32(wk_dtype dtype) { return dtype == WK_DEFAULT ? WK_F32 : dtype; }

/* ---- Constants ---------------------------------------------------------- */

static void fill_row(const wk_call *c, int64_t n, void *out, void *const *in)
{
    double *r = out;
    (void)in;
    for (int64_t i = 0; i < n; i++)
        r[i] = c->opt.number[0];
}

typedef struct {
    char  *data;
    size_t size, head; /* bytes, of which the first head are filled */
} filling;

static void fill_pieces(void *ctx, int64_t begin, int64_t end)
{
    const filling *f = ctx;
    for (int64_t i = begin; i < end; i++) {
        size_t at = (size_t)(i + 1) * f->head, rest = f->size - at;
        memcpy(f->data + at, f->data, rest < f->head ? rest : f->head);
    }
}

static bool fill_compute(const wk_call *c)
{
    wk_call fill = *c;
    fill.count = 0; /* what was there does not matter */
    if (!wk_is_contiguous(c->out))
        return wk_loop(&fill, WK_AS_F64, fill_row);
    /* one element, a block of copies of it, copies of the block */
    size_t  size = wk_dtypes[c->dtype].size, block = (size_t)1 << 15;
    filling f = { .data = wk_at_host(c->out), .size = (size_t)wk_count(c->out) * size };
    wk_store_f64(c->out, 0, c->opt.number, 1, 1);
    for (f.head = size; f.head < f.size && f.head < block; f.head *= 2)
        memcpy(f.data + f.head, f.data, f.head < f.size - f.head ? f.head : f.size - f.head);
    if (f.head < f.size)
        wk_parallel((int64_t)((f.size - 1) / f.head), 8, fill_pieces, &f);
    return wk_ok();
}

const wk_op wk_op_fill = {
    .name = "fill",
    .id = WK_OP_fill,
    .required = 1,
    .flags = WK_OP_IN_PLACE,
    .strided = WK_ALL_OPERANDS,
    .infer = wk_infer_same,
    .compute = fill_compute,
};

wk_tensor *wk_fill(wk_tensor *dst, double value)
{
    return WK_RUN(fill, WK_IN(dst), .opt.number = { value });
}

wk_tensor *wk_empty_of(wk_dtype dtype, wk_shape shape)
{
    return wk_ok() ? wk_pool(wk_tensor_new(wk_default_device(), or_f32(dtype), shape)) : NULL;
}

wk_tensor *wk_full_of(wk_dtype dtype, wk_shape shape, double value)
{
    return wk_fill(wk_empty_of(dtype, shape), value);
}

wk_tensor *wk_zeros_of(wk_dtype dtype, wk_shape shape) { return wk_full_of(dtype, shape, 0); }
wk_tensor *wk_ones_of(wk_dtype dtype, wk_shape shape) { return wk_full_of(dtype, shape, 1); }
wk_tensor *wk_scalar(double value) { return wk_full_of(WK_F32, WK_SCALAR, value); }

wk_tensor *wk_full_like(const wk_tensor *x, double value)
{
    if (!wk_usable("full_like", 1, x))
        return NULL;
    return wk_fill(wk_pool(wk_tensor_new(x->storage->device, x->dtype, x->shape)), value);
}

/* ---- Sequences ---------------------------------------------------------- */

static bool arange_compute(const wk_call *c)
{
    double start = c->opt.number[0], step = c->opt.number[1];
    for (int64_t i = 0; i < wk_count(c->out); i++) {
        double value = start + (double)i * step;
        wk_store_f64(c->out, i, &value, 1, 1);
    }
    return true;
}

const wk_op wk_op_arange = {
    .name = "arange",
    .id = WK_OP_arange,
    .infer = infer_given,
    .compute = arange_compute,
};

wk_tensor *wk_arange(wk_dtype dtype, double start, double end, double step)
{
    double count = ceil((end - start) / step);
    if (wk_ok() && (!isfinite(count) || count > 0x1p40))
        wk_fail(WK_ERR_ARGUMENT, "arange: from %g to %g in steps of %g", start, end, step);
    return WK_RUN(arange, .dtype = or_f32(dtype), .shape = WK_SHAPE(count > 0 ? (int64_t)count : 0),
                  .opt.number = { start, step });
}

wk_tensor *wk_linspace(wk_dtype dtype, double start, double end, int64_t count)
{
    double step = count > 1 ? (end - start) / (double)(count - 1) : 0;
    return WK_RUN(arange, .dtype = or_f32(dtype), .shape = WK_SHAPE(count),
                  .opt.number = { start, step });
}

wk_tensor *wk_eye(wk_dtype dtype, int64_t n)
{
    wk_scope   scope = wk_mark();
    wk_tensor *x = wk_zeros_of(dtype, WK_SHAPE(n, n));
    if (x && n > 0) /* every n + 1st element is on the diagonal */
        wk_fill(wk_slice(wk_reshape(x, n * n), 0, 0, n * n, n + 1), 1);
    return wk_yield(scope, wk_ok() ? x : NULL);
}

/* ---- Copies of the caller's data ---------------------------------------- */

wk_tensor *wk_from(wk_dtype dtype, wk_shape shape, const void *data)
{
    wk_tensor *x = wk_empty_of(dtype, shape);
    if (!x)
        return NULL;
    if (!data && wk_count(x)) {
        wk_fail(WK_ERR_ARGUMENT, "from: the data is NULL");
        return NULL;
    }
    wk_device *d = x->storage->device;
    d->backend->upload(d, x->storage->data, 0, data, wk_bytes(x));
    return wk_ok() ? x : NULL;
}

wk_tensor *wk_from_f32(wk_shape shape, const float *data) { return wk_from(WK_F32, shape, data); }
wk_tensor *wk_from_i64(wk_shape shape, const int64_t *data) { return wk_from(WK_I64, shape, data); }

/* ---- Random numbers ----------------------------------------------------- */

enum { PIECE = 4096 }; /* a multiple of four: a counter gives four words */

static void random_pieces(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *c = ctx;
    uint64_t       seed = c->opt.random.seed, first = c->opt.random.counter;
    double         row[PIECE];
    uint32_t       word[4];
    uint64_t       range = (uint64_t)c->opt.random.high - (uint64_t)c->opt.random.low;
    for (int64_t i = begin; i < end; i++) {
        if (i % 4 == 0 || i == begin)
            wk_philox(seed, first + (uint64_t)i / 4, word);
        uint32_t w = word[i % 4];
        if (c->op->id == WK_OP_rand)
            row[i - begin] = (double)wk_uniform(w);
        else if (c->op->id == WK_OP_randn)
            row[i - begin] = (double)wk_normal(w);
        else /* Lemire's multiplication, "Fast random integer generation", 2019 */
            row[i - begin] =
                (double)(c->opt.random.low + (int64_t)((w * (range & UINT32_MAX)) >> 32));
    }
    wk_store_f64(c->out, begin, row, end - begin, 1);
}

static bool random_compute(const wk_call *c)
{
    wk_parallel(wk_count(c->out), PIECE, random_pieces, (void *)c);
    return true;
}

#define RANDOM(name_)                                                                              \
    const wk_op wk_op_##name_ = {                                                                  \
        .name = #name_,                                                                            \
        .id = WK_OP_##name_,                                                                       \
        .infer = infer_given,                                                                      \
        .compute = random_compute,                                                                 \
    };
RANDOM(rand)
RANDOM(randn)
RANDOM(randint)

static wk_tensor *draw(const wk_op *op, wk_dtype dtype, wk_shape shape, int64_t low, int64_t high)
{
    wk_call c = { .op = op, .dtype = or_f32(dtype), .shape = shape };
    if (!wk_ok() || !infer_given(&c))
        return NULL;
    wk_draw(((uint64_t)wk_elements(shape) + 3) / 4, &c.opt.random.seed, &c.opt.random.counter);
    c.opt.random.low = low;
    c.opt.random.high = high;
    return wk_run(&c);
}

wk_tensor *wk_rand_of(wk_dtype dtype, wk_shape shape)
{
    return draw(&wk_op_rand, dtype, shape, 0, 0);
}
wk_tensor *wk_randn_of(wk_dtype dtype, wk_shape shape)
{
    return draw(&wk_op_randn, dtype, shape, 0, 0);
}

wk_tensor *wk_randint_of(wk_shape shape, int64_t low, int64_t high)
{
    if (wk_ok() && (high <= low || (uint64_t)high - (uint64_t)low > UINT32_MAX))
        wk_fail(WK_ERR_ARGUMENT, "randint: no range from %lld to %lld", (long long)low,
                (long long)high);
    return draw(&wk_op_randint, WK_I64, shape, low, high);
}

wk_tensor *wk_randperm(int64_t n)
{
    int64_t *order = wk_ok() && n >= 0 ? wk_alloc_array((size_t)n, sizeof *order) : NULL;
    uint64_t seed, counter;
    uint32_t word[4];
    if (!order) {
        wk_fail(WK_ERR_ARGUMENT, "randperm: of %lld", (long long)n);
        return NULL;
    }
    wk_draw((uint64_t)n, &seed, &counter);
    for (int64_t i = 0; i < n; i++) { /* Fisher and Yates, inside out */
        wk_philox(seed, counter + (uint64_t)i, word);
        int64_t j = (int64_t)((((uint64_t)word[0] << 32 | word[1]) >> 1) % (uint64_t)(i + 1));
        order[i] = order[j];
        order[j] = i;
    }
    wk_tensor *x = wk_from_i64(WK_SHAPE(n), order);
    wk_free(order);
    return x;
}
