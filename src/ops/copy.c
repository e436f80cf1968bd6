// SPDX-License-Identifier: MIT OR Apache-2.0
/* copy.c - copies: dense, to another dtype, to another device; and writes in place. */
#include "../core/core.h"

/* ---- copy, cast --------------------------------------------------------- */

static bool copy_compute(const wk_call *c)
{
    return c->in[0]->packing && !c->in[0]->storage->file ? c->in[0]->packing->unpack(c)
                                                         : wk_copy_host(c->out, c->in[0]);
}

static void copy_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    (void)c;
    dx[0] = dy;
}

const wk_op wk_op_copy = {
    .name = "copy",
    .id = WK_OP_copy,
    .required = 1,
    .strided = WK_ALL_OPERANDS,
    .packed = WK_ALL_OPERANDS,
    .blocks = WK_ALL_OPERANDS,
    .infer = wk_infer_same,
    .compute = copy_compute,
    .backward = copy_backward,
};

static bool cast_infer(wk_call *c)
{
    size_t bytes;
    c->shape = c->in[0]->shape;
    c->dtype = c->opt.dtype;
    return wk_bytes_of(c->dtype, c->shape, &bytes);
}

static void cast_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    dx[0] = wk_cast(dy, c->in[0]->dtype);
}

const wk_op wk_op_cast = {
    .name = "cast",
    .id = WK_OP_cast,
    .required = 1,
    .strided = WK_ALL_OPERANDS,
    .blocks = WK_ALL_OPERANDS,
    .infer = cast_infer,
    .compute = copy_compute,
    .backward = cast_backward,
};

wk_tensor *wk_copy(wk_tensor *x) { return WK_RUN(copy, WK_IN(x)); }

wk_tensor *wk_contiguous(wk_tensor *x)
{
    if (!wk_usable("contiguous", 1, x))
        return NULL;
    return wk_is_contiguous(x) && !x->packing ? x : wk_copy(x);
}

wk_tensor *wk_cast(wk_tensor *x, wk_dtype dtype)
{
    if (!wk_usable("cast", 1, x))
        return NULL;
    if (dtype == WK_DEFAULT || x->dtype == dtype)
        return x;
    return WK_RUN(cast, WK_IN(x), .opt.dtype = dtype);
}

/* ---- To another device -------------------------------------------------- */

static bool transfer_infer(wk_call *c)
{
    c->device = c->opt.device;
    return wk_infer_same(c);
}

/* Through host memory, which one of the two usually is. */
static bool transfer_compute(const wk_call *c)
{
    wk_tensor *x = wk_dense(c->in[0]);
    if (!x)
        return false;
    wk_device *from = x->storage->device, *to = c->device;
    size_t     bytes = wk_bytes(x), at = (size_t)wk_bytes_at(x->dtype, x->offset);
    if (from->backend->host)
        return to->backend->upload(to, c->out->storage->data, 0, wk_at_host(x), bytes);
    if (to->backend->host)
        return from->backend->download(from, c->out->storage->data, x->storage->data, at, bytes);
    void *host = wk_alloc(bytes);
    bool  done = host && from->backend->download(from, host, x->storage->data, at, bytes) &&
                to->backend->upload(to, c->out->storage->data, 0, host, bytes) &&
                to->backend->sync(to);
    wk_free(host);
    return done;
}

static void transfer_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    dx[0] = wk_to_device(dy, c->in[0]->storage->device);
}

const wk_op wk_op_transfer = {
    .name = "to_device",
    .id = WK_OP_transfer,
    .required = 1,
    .flags = WK_OP_DIRECT,
    .strided = WK_ALL_OPERANDS,
    .blocks = WK_ALL_OPERANDS,
    .infer = transfer_infer,
    .compute = transfer_compute,
    .backward = transfer_backward,
};

wk_tensor *wk_to_device(wk_tensor *x, wk_device *device)
{
    if (wk_ok() && !device)
        wk_fail(WK_ERR_ARGUMENT, "to_device: the device is NULL");
    if (!wk_usable("to_device", 1, x))
        return NULL;
    if (x->storage->device == device)
        return x;
    return WK_RUN(transfer, WK_IN(x), .opt.device = device);
}

/* ---- In place ----------------------------------------------------------- */

static bool assign_infer(wk_call *c)
{
    wk_shape shape;
    char     d[160], s[160];
    if (wk_broadcast(c->in[0]->shape, c->in[1]->shape, &shape) &&
        wk_same_shape(shape, c->in[0]->shape))
        return wk_infer_same(c);
    wk_fail(WK_ERR_SHAPE, "%s: %s does not fit into %s", c->op->name, wk_show(c->in[1], s),
            wk_show(c->in[0], d));
    return false;
}

static bool assign_compute(const wk_call *c) { return wk_copy_host(c->out, c->in[1]); }

static void accumulate_row(const wk_call *c, int64_t n, void *out, void *const *in)
{
    const double *a = in[0], *b = in[1];
    double       *r = out;
    (void)c;
    for (int64_t i = 0; i < n; i++)
        r[i] = a[i] + b[i];
}

static bool accumulate_compute(const wk_call *c) { return wk_loop(c, WK_AS_F64, accumulate_row); }

const wk_op wk_op_assign = {
    .name = "assign",
    .id = WK_OP_assign,
    .required = 2,
    .flags = WK_OP_IN_PLACE,
    .strided = WK_ALL_OPERANDS,
    .blocks = WK_ALL_OPERANDS,
    .infer = assign_infer,
    .compute = assign_compute,
};

const wk_op wk_op_accumulate = {
    .name = "accumulate",
    .id = WK_OP_accumulate,
    .required = 2,
    .flags = WK_OP_IN_PLACE,
    .strided = WK_ALL_OPERANDS,
    .infer = assign_infer,
    .compute = accumulate_compute,
};

wk_tensor *wk_assign(wk_tensor *dst, wk_tensor *src)
{
    if (!wk_usable("assign", 1, dst) || !wk_usable("assign", 2, src))
        return NULL;
    wk_scope scope = wk_mark();
    bool     blocks = wk_is_quantized(dst) || wk_is_quantized(src);
    if (blocks && !wk_same_shape(dst->shape, src->shape)) /* whose rows are not repeated */
        src = wk_expand_to(src, dst->shape);
    WK_RUN(assign, WK_IN(dst, src));
    wk_sweep(scope);
    return wk_ok() ? dst : NULL;
}

wk_tensor *wk_accumulate(wk_tensor *dst, wk_tensor *src)
{
    return WK_RUN(accumulate, WK_IN(dst, src));
}

wk_tensor *wk_write(wk_tensor *dst, wk_tensor *src, int axis, int64_t start)
{
    char d[160], s[160];
    if (!wk_usable("write", 1, dst) || !wk_usable("write", 2, src))
        return NULL;
    wk_scope scope = wk_mark();
    int      at = wk_axis("write", dst->shape, axis);
    if (wk_rank(src) != wk_rank(dst))
        wk_fail(WK_ERR_SHAPE, "write: %s does not fit into %s", wk_show(src, s), wk_show(dst, d));
    bool before = wk_no_grad(!(wk_wants_grad(dst) || wk_wants_grad(src)) || !wk_recording);
    wk_assign(wk_narrow(dst, at, start, wk_dim(src, at)), src);
    wk_no_grad(before);
    wk_sweep(scope);
    return wk_ok() ? dst : NULL;
}
