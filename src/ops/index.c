// SPDX-License-Identifier: MIT OR Apache-2.0
/* index.c - elements chosen by index: gather, scatter, index_select, embedding.
 *
 * Everything works on lines along one axis, which do not touch each other: threads
 * share them out, and sums along a line are made in the order of the index. */
#include "../core/core.h"

static bool is_index(const wk_call *c, const wk_tensor *index)
{
    char text[160];
    if (!wk_dtypes[index->dtype].is_float && index->dtype != WK_BOOL)
        return true;
    wk_fail(WK_ERR_DTYPE, "%s: the index %s must be of integers", c->op->name,
            wk_show(index, text));
    return false;
}

/* The index at element at, between 0 and size; else an error and -1. */
static int64_t index_at(const wk_call *c, const wk_tensor *index, int64_t at, int64_t size)
{
    int64_t i = wk_load_index(index, at);
    if (i >= 0 && i < size)
        return i;
    wk_fail(WK_ERR_ARGUMENT, "%s: index %lld is not between 0 and %lld", c->op->name, (long long)i,
            (long long)size - 1);
    return -1;
}

/* to = from, or to += from, of one element */
static void put(wk_tensor *to, int64_t at, const wk_tensor *from, int64_t from_at, bool add)
{
    const wk_dtype_info *d = &wk_dtypes[to->dtype];
    char                *p = (char *)wk_at_host(to) + at * (int64_t)d->size;
    const char          *q = (char *)wk_at_host(from) + from_at * (int64_t)d->size;
    if (!add) {
        memcpy(p, q, d->size);
    } else if (d->is_float) {
        double a, b;
        d->load[WK_AS_F64](&a, p, 1, 1);
        d->load[WK_AS_F64](&b, q, 1, 1);
        a += b;
        d->store[WK_AS_F64](p, &a, 1, 1);
    } else {
        int64_t a, b;
        d->load[WK_AS_I64](&a, p, 1, 1);
        d->load[WK_AS_I64](&b, q, 1, 1);
        a = (int64_t)((uint64_t)a + (uint64_t)b);
        d->store[WK_AS_I64](p, &a, 1, 1);
    }
}

/* Zeros that take no memory. */
static wk_tensor *nothing_like(const wk_tensor *x)
{
    wk_tensor *zero = wk_to_device(wk_zeros_of(x->dtype, WK_SCALAR), x->storage->device);
    return wk_expand_to(zero, x->shape);
}

/* ---- gather, scatter, scatter_add --------------------------------------- */

/* Offset in t of line number line of the index: all its axes but the one. */
static int64_t line_at(const wk_tensor *t, wk_shape index, int axis, int64_t line)
{
    int64_t at = 0;
    for (int i = index.rank - 1; i >= 0; i--)
        if (i != axis) {
            at += line % index.dim[i] * t->stride[i];
            line /= index.dim[i];
        }
    return at;
}

static bool reaches(const wk_call *c, const wk_tensor *x, int but_axis)
{
    const wk_tensor *index = c->in[1];
    char             a[160], b[160];
    bool             fits = x->shape.rank == index->shape.rank;
    for (int i = 0; fits && i < x->shape.rank; i++)
        fits = i == but_axis || index->shape.dim[i] <= x->shape.dim[i];
    if (!fits)
        wk_fail(WK_ERR_SHAPE, "%s: the index %s reaches beyond %s", c->op->name, wk_show(index, a),
                wk_show(x, b));
    return fits;
}

static bool gather_infer(wk_call *c)
{
    int axis = wk_axis("gather", c->in[0]->shape, c->opt.mode.axis);
    if (axis < 0 || !is_index(c, c->in[1]) || !reaches(c, c->in[0], axis))
        return false;
    c->opt.mode.axis = axis;
    c->shape = c->in[1]->shape;
    c->dtype = c->in[0]->dtype;
    return true;
}

static void gather_lines(void *ctx, int64_t begin, int64_t end)
{
    const wk_call   *c = ctx;
    const wk_tensor *x = c->in[0], *index = c->in[1];
    int              axis = c->opt.mode.axis;
    for (int64_t line = begin; line < end; line++) {
        int64_t px = line_at(x, index->shape, axis, line);
        int64_t pi = line_at(index, index->shape, axis, line);
        int64_t po = line_at(c->out, index->shape, axis, line);
        for (int64_t k = 0; k < index->shape.dim[axis]; k++) {
            int64_t i = index_at(c, index, pi + k * index->stride[axis], x->shape.dim[axis]);
            if (i < 0)
                return;
            put(c->out, po + k * c->out->stride[axis], x, px + i * x->stride[axis], false);
        }
    }
}

static bool by_lines(const wk_call *c, wk_range_fn fn)
{
    int64_t n = c->in[1]->shape.dim[c->opt.mode.axis], count = wk_count(c->in[1]);
    if (count)
        wk_parallel(count / n, 4096 / n + 1, fn, (void *)c);
    return wk_ok();
}

static bool gather_compute(const wk_call *c) { return by_lines(c, gather_lines); }

static void gather_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    dx[0] = wk_scatter_add(nothing_like(c->in[0]), c->opt.mode.axis, c->in[1], dy);
}

const wk_op wk_op_gather = {
    .name = "gather",
    .id = WK_OP_gather,
    .required = 2,
    .strided = WK_ALL_OPERANDS,
    .infer = gather_infer,
    .compute = gather_compute,
    .backward = gather_backward,
};

static bool scatter_infer(wk_call *c)
{
    char a[160], b[160];
    int  axis = wk_axis(c->op->name, c->in[0]->shape, c->opt.mode.axis);
    if (axis < 0 || !is_index(c, c->in[1]) || !reaches(c, c->in[0], axis) ||
        !reaches(c, c->in[2], -1))
        return false;
    if (c->in[0]->dtype != c->in[2]->dtype)
        wk_fail(WK_ERR_DTYPE, "%s: from %s into %s", c->op->name, wk_show(c->in[2], b),
                wk_show(c->in[0], a));
    c->opt.mode.axis = axis;
    return wk_ok() && wk_infer_same(c);
}

static void scatter_lines(void *ctx, int64_t begin, int64_t end)
{
    const wk_call   *c = ctx;
    const wk_tensor *index = c->in[1], *source = c->in[2];
    int              axis = c->opt.mode.axis;
    for (int64_t line = begin; line < end; line++) {
        int64_t pi = line_at(index, index->shape, axis, line);
        int64_t ps = line_at(source, index->shape, axis, line);
        int64_t po = line_at(c->out, index->shape, axis, line);
        for (int64_t k = 0; k < index->shape.dim[axis]; k++) {
            int64_t i = index_at(c, index, pi + k * index->stride[axis], c->out->shape.dim[axis]);
            if (i < 0)
                return;
            put(c->out, po + i * c->out->stride[axis], source, ps + k * source->stride[axis],
                c->op->id == WK_OP_scatter_add);
        }
    }
}

static bool scatter_compute(const wk_call *c)
{
    return wk_copy_host(c->out, c->in[0]) && by_lines(c, scatter_lines);
}

/* The part of source that the index covers, which alone was used. */
static void source_grad(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    wk_tensor *index = c->in[1], *source = c->in[2];
    if (!wk_wants_grad(source))
        return;
    wk_tensor *d = wk_gather(dy, c->opt.mode.axis, index);
    for (int i = 0; i < source->shape.rank; i++)
        d = wk_pad(d, i, 0, source->shape.dim[i] - index->shape.dim[i], 0);
    dx[2] = d;
}

static void scatter_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    if (wk_wants_grad(c->in[0])) {
        wk_tensor *zero = wk_pool(wk_tensor_new(c->device, dy->dtype, c->in[1]->shape));
        dx[0] = wk_scatter(dy, c->opt.mode.axis, c->in[1], wk_fill(zero, 0));
    }
    source_grad(c, dy, dx);
}

static void scatter_add_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    dx[0] = dy;
    source_grad(c, dy, dx);
}

#define SCATTER(name_)                                                                             \
    const wk_op wk_op_##name_ = {                                                                  \
        .name = #name_,                                                                            \
        .id = WK_OP_##name_,                                                                       \
        .required = 3,                                                                             \
        .strided = WK_ALL_OPERANDS,                                                                \
        .infer = scatter_infer,                                                                    \
        .compute = scatter_compute,                                                                \
        .backward = name_##_backward,                                                              \
    };                                                                                             \
    wk_tensor *wk_##name_(wk_tensor *x, int axis, wk_tensor *index, wk_tensor *source)             \
    {                                                                                              \
        return WK_RUN(name_, WK_IN(x, index, source), .opt.mode.axis = axis);                      \
    }
SCATTER(scatter)
SCATTER(scatter_add)

wk_tensor *wk_gather(wk_tensor *x, int axis, wk_tensor *index)
{
    return WK_RUN(gather, WK_IN(x, index), .opt.mode.axis = axis);
}

/* ---- index_select, index_add -------------------------------------------- */

/* Dense tensors are [outer, axis, inner]: whole runs of inner are moved. */
static int64_t inner_of(const wk_tensor *x, int axis)
{
    int64_t inner = 1;
    for (int i = axis + 1; i < x->shape.rank; i++)
        inner *= x->shape.dim[i];
    return inner;
}

static bool select_infer(wk_call *c)
{
    char text[160];
    int  axis = wk_axis(c->op->name, c->in[0]->shape, c->opt.mode.axis);
    if (axis < 0 || !is_index(c, c->in[1]))
        return false;
    if (wk_rank(c->in[1]) != 1)
        wk_fail(WK_ERR_SHAPE, "%s: the index %s is not a list", c->op->name,
                wk_show(c->in[1], text));
    c->opt.mode.axis = axis;
    c->shape = c->in[0]->shape;
    c->shape.dim[axis] = wk_dim(c->in[1], 0);
    c->dtype = c->in[0]->dtype;
    return wk_ok();
}

static void select_runs(void *ctx, int64_t begin, int64_t end)
{
    const wk_call   *c = ctx;
    const wk_tensor *x = c->in[0];
    int              axis = c->opt.mode.axis;
    int64_t          n = wk_dim(c->in[1], 0), inner = inner_of(x, axis), size = x->shape.dim[axis];
    size_t           bytes = (size_t)inner * wk_dtypes[x->dtype].size;
    for (int64_t r = begin; r < end; r++) {
        int64_t i = index_at(c, c->in[1], r % n, size);
        if (i < 0)
            return;
        memcpy((char *)wk_at_host(c->out) + (size_t)r * bytes,
               (char *)wk_at_host(x) + (size_t)(r / n * size + i) * bytes, bytes);
    }
}

static bool select_compute(const wk_call *c)
{
    int64_t inner = inner_of(c->in[0], c->opt.mode.axis);
    wk_parallel(wk_count(c->out) / inner, 16384 / inner + 1, select_runs, (void *)c);
    return wk_ok();
}

static void select_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    dx[0] = wk_index_add(nothing_like(c->in[0]), c->opt.mode.axis, c->in[1], dy);
}

const wk_op wk_op_index_select = {
    .name = "index_select",
    .id = WK_OP_index_select,
    .required = 2,
    .infer = select_infer,
    .compute = select_compute,
    .backward = select_backward,
};

wk_tensor *wk_index_select(wk_tensor *x, int axis, wk_tensor *index)
{
    return WK_RUN(index_select, WK_IN(x, index), .opt.mode.axis = axis);
}

static bool index_add_infer(wk_call *c)
{
    char     a[160], b[160];
    wk_shape shape = c->in[0]->shape;
    if (!select_infer(c))
        return false;
    if (!wk_same_shape(c->in[2]->shape, c->shape) || c->in[2]->dtype != c->in[0]->dtype)
        wk_fail(WK_ERR_SHAPE, "index_add: the source %s is not %s %s", wk_show(c->in[2], a),
                wk_show_shape(c->shape, b), wk_dtype_name(c->in[0]->dtype));
    c->shape = shape;
    return wk_ok();
}

static void index_add_runs(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *c = ctx;
    int            axis = c->opt.mode.axis;
    int64_t        n = wk_dim(c->in[1], 0), inner = inner_of(c->in[0], axis);
    int64_t        size = c->shape.dim[axis];
    for (int64_t p = begin; p < end; p++) { /* a position in outer x inner */
        int64_t outer = p / inner, at = p % inner;
        for (int64_t k = 0; k < n; k++) {
            int64_t i = index_at(c, c->in[1], k, size);
            if (i < 0)
                return;
            put(c->out, (outer * size + i) * inner + at, c->in[2], (outer * n + k) * inner + at,
                true);
        }
    }
}

static bool index_add_compute(const wk_call *c)
{
    int64_t n = wk_dim(c->in[1], 0), size = c->shape.dim[c->opt.mode.axis];
    if (wk_copy_host(c->out, c->in[0]) && n && size)
        wk_parallel(wk_count(c->out) / size, 4096 / n + 1, index_add_runs, (void *)c);
    return wk_ok();
}

static void index_add_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    dx[0] = dy;
    if (wk_wants_grad(c->in[2]))
        dx[2] = wk_index_select(dy, c->opt.mode.axis, c->in[1]);
}

const wk_op wk_op_index_add = {
    .name = "index_add",
    .id = WK_OP_index_add,
    .required = 3,
    .strided = 1,
    .infer = index_add_infer,
    .compute = index_add_compute,
    .backward = index_add_backward,
};

wk_tensor *wk_index_add(wk_tensor *x, int axis, wk_tensor *index, wk_tensor *source)
{
    return WK_RUN(index_add, WK_IN(x, index, source), .opt.mode.axis = axis);
}

/* ---- embedding ---------------------------------------------------------- */

static bool embedding_infer(wk_call *c)
{
    char text[160];
    if (!is_index(c, c->in[0]))
        return false;
    if (wk_rank(c->in[1]) != 2 || wk_rank(c->in[0]) == WK_MAX_RANK)
        wk_fail(WK_ERR_SHAPE, "embedding: %s is not [v, c]", wk_show(c->in[1], text));
    c->shape = c->in[0]->shape;
    c->shape.dim[c->shape.rank++] = wk_dim(c->in[1], 1);
    c->dtype = wk_is_quantized(c->in[1]) ? WK_F32 : c->in[1]->dtype;
    return wk_ok();
}

static void embedding_rows(void *ctx, int64_t begin, int64_t end)
{
    const wk_call   *c = ctx;
    const wk_tensor *weight = c->in[1];
    int64_t          n = wk_dim(weight, 1), bytes = wk_bytes_at(weight->dtype, n);
    for (int64_t r = begin; r < end; r++) {
        int64_t i = index_at(c, c->in[0], r, wk_dim(weight, 0));
        if (i < 0)
            return;
        const char *from = (char *)wk_at_host(weight) + i * bytes;
        if (wk_is_quantized(weight))
            wk_dtypes[weight->dtype].load[WK_AS_F32](wk_f32(c->out) + r * n, from, n, 1);
        else
            memcpy((char *)wk_at_host(c->out) + r * bytes, from, (size_t)bytes);
    }
}

static bool embedding_compute(const wk_call *c)
{
    wk_parallel(wk_count(c->in[0]), 16384 / wk_dim(c->in[1], 1) + 1, embedding_rows, (void *)c);
    return wk_ok();
}

static void embedding_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    int64_t    n = wk_count(c->in[0]);
    wk_tensor *ids = wk_reshape(c->in[0], n), *rows = wk_reshape(dy, n, wk_dim(dy, -1));
    dx[1] = wk_index_add(nothing_like(c->in[1]), 0, ids, rows);
}

const wk_op wk_op_embedding = {
    .name = "embedding",
    .id = WK_OP_embedding,
    .required = 2,
    .blocks = 2,
    .infer = embedding_infer,
    .compute = embedding_compute,
    .backward = embedding_backward,
};

wk_tensor *wk_embedding(wk_tensor *ids, wk_tensor *weight)
{
    return WK_RUN(embedding, WK_IN(ids, weight));
}
