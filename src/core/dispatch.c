// SPDX-License-Identifier: MIT OR Apache-2.0
/* dispatch.c - the one road every operation takes.
 *
 *   check the operands  ->  infer the result  ->  allocate it
 *                       ->  run the best kernel  ->  record it for the gradient
 *
 * All policy lives here: errors, devices, dense copies, fallbacks, gradients, tracing. */
#include "core.h"

#include <stdio.h>
#include <stdlib.h>

enum { FEW = 16 }; /* operands; more than that only cat has */

/* ---- Tracing ------------------------------------------------------------ */

enum { TRACE_FALLBACK = 1, TRACE_OPS = 2 };

static atomic_uint_fast64_t fallbacks;

uint64_t wk_fallbacks(void) { return atomic_load(&fallbacks); }

/* WICK_TRACE=fallback,ops */
static int tracing(void)
{
    static atomic_int known = -1;
    int               t = atomic_load_explicit(&known, memory_order_relaxed);
    if (t < 0) {
        const char *wish = getenv("WICK_TRACE");
        t = !wish ? 0
                  : (strstr(wish, "fallback") ? TRACE_FALLBACK : 0) |
                        (strstr(wish, "ops") ? TRACE_OPS : 0);
        atomic_store(&known, t);
    }
    return t;
}

static void trace(const wk_call *c, const char *what, double seconds)
{
    char text[160];
    fprintf(stderr, "wick: %s %s", c->op->name, what);
    if (seconds >= 0)
        fprintf(stderr, " %.1f us", 1e6 * seconds);
    for (int i = 0; i < c->count && i < FEW; i++)
        fprintf(stderr, "%s%s", i ? ", " : "  ", c->in[i] ? wk_show(c->in[i], text) : "-");
    fprintf(stderr, "\n");
}

/* ---- Operands ----------------------------------------------------------- */

bool wk_usable(const char *what, int operand, const wk_tensor *x)
{
    if (!x)
        wk_fail(WK_ERR_ARGUMENT, "%s: operand %d is NULL", what, operand);
    else if (!wk_tensor_live(x))
        wk_fail(WK_ERR_ARGUMENT, "%s: operand %d was released: keep it with wk_keep()", what,
                operand);
    return wk_ok();
}

static bool check_operands(wk_call *c)
{
    c->device = NULL;
    for (int i = 0; i < c->count || i < c->op->required; i++) {
        wk_tensor *x = i < c->count ? c->in[i] : NULL;
        if ((x || i < c->op->required) && !wk_usable(c->op->name, i + 1, x))
            return false;
        if (x && c->device && x->storage->device != c->device)
            wk_fail(WK_ERR_DEVICE, "%s: operands on %s and on %s", c->op->name, c->device->name,
                    x->storage->device->name);
        else if (x)
            c->device = x->storage->device;
    }
    if (!c->device)
        c->device = wk_default_device();
    return wk_ok() && c->device;
}

static bool has_bit(unsigned mask, int i) { return mask >> (i < 31 ? i : 31) & 1; }

/* The call as a kernel wants it: dense and unpacked but for the operands it names. */
static bool prepare(wk_call *c, unsigned strided, unsigned packed)
{
    for (int i = 0; i < c->count; i++) {
        wk_tensor *x = c->in[i];
        if (!x || (x->packing ? has_bit(packed, i) : has_bit(strided, i) || wk_is_contiguous(x)))
            continue;
        if (i == 0 && c->op->flags & WK_OP_IN_PLACE)
            continue; /* kernels that write in place take any strides there */
        c->in[i] = wk_dense(x);
    }
    return wk_ok();
}

/* ---- The portable kernel for a device that has none ---------------------- */

/* The elements of x's storage that lie between its first and its last. */
static int64_t span_of(const wk_tensor *x, int64_t *first)
{
    int64_t low = x->offset, high = x->offset;
    for (int i = 0; i < x->shape.rank; i++) {
        int64_t reach = (x->shape.dim[i] - 1) * x->stride[i];
        *(reach < 0 ? &low : &high) += reach;
    }
    *first = low;
    return wk_count(x) ? high - low + 1 : 0;
}

/* x in host memory, with the strides it has. */
static wk_tensor *to_host(wk_tensor *x)
{
    if (x->packing)
        x = wk_dense(x);
    if (!x)
        return NULL;
    int64_t    first, n = span_of(x, &first);
    wk_device *d = x->storage->device;
    wk_tensor *span = wk_pool(wk_tensor_new(wk_cpu_device(), x->dtype, WK_SHAPE(n)));
    wk_tensor *y = span ? wk_pool(wk_tensor_view(span)) : NULL;
    if (!y || (n && !d->backend->download(d, span->storage->data, x->storage->data,
                                          (size_t)wk_bytes_at(x->dtype, first), wk_bytes(span))))
        return NULL;
    y->shape = x->shape;
    y->offset = x->offset - first;
    memcpy(y->stride, x->stride, sizeof y->stride);
    return y;
}

/* All that to_host() brought, back to where it came from. */
static bool from_host(const wk_tensor *x, const wk_tensor *y)
{
    int64_t    first, n = span_of(x, &first);
    wk_device *d = x->storage->device;
    return d->backend->upload(d, x->storage->data, (size_t)wk_bytes_at(x->dtype, first),
                              y->storage->data, (size_t)wk_bytes_at(x->dtype, n));
}

static bool run_on_host(const wk_call *c)
{
    wk_tensor *in[FEW];
    wk_call    h = *c;
    h.device = wk_cpu_device();
    h.in = c->count <= FEW ? in : wk_alloc_array((size_t)c->count, sizeof *in);
    for (int i = 0; wk_ok() && i < c->count; i++)
        h.in[i] = c->in[i] ? to_host(c->in[i]) : NULL;
    bool in_place = c->op->flags & WK_OP_IN_PLACE;
    h.out = !wk_ok()   ? NULL
            : in_place ? h.in[0]
                       : wk_pool(wk_tensor_new(h.device, c->dtype, c->shape));
    bool done = h.out && prepare(&h, c->op->strided, c->op->packed) && c->op->compute(&h) &&
                from_host(c->out, h.out);
    if (h.in != in)
        wk_free(h.in);
    return done && wk_ok();
}

/* ---- Kernels ------------------------------------------------------------ */

static bool run_kernel(const wk_call *c)
{
    wk_tensor       *in[FEW];
    wk_call          k = *c;
    const wk_device *d = c->device;
    const wk_kernel *kernel = d->backend->kernel((wk_device *)d, c->op->id);
    k.in = c->count <= FEW ? in : wk_alloc_array((size_t)c->count, sizeof *in);
    if (!k.in)
        return false;
    for (int i = 0; i < c->count; i++)
        k.in[i] = c->in[i];
    bool done =
        kernel && kernel->run && prepare(&k, kernel->strided, kernel->packed) && kernel->run(&k);
    if (!done && wk_ok() && d->backend->host && c->op->host)
        done = prepare(&k, c->op->strided, c->op->packed) && c->op->host(&k);
    if (!done && wk_ok()) {
        atomic_fetch_add_explicit(&fallbacks, 1, memory_order_relaxed);
        if (tracing() & TRACE_FALLBACK)
            trace(c, "falls back to the portable kernel", -1);
        done = d->backend->host ? prepare(&k, c->op->strided, c->op->packed) && c->op->compute(&k)
                                : run_on_host(c);
    }
    if (k.in != in)
        wk_free(k.in);
    return done && wk_ok();
}

static bool check_in_place(const wk_call *c)
{
    char text[160];
    for (int i = 0; wk_recording && i < c->count; i++)
        if (c->in[i] && (c->in[i]->tracked || c->in[i]->node)) {
            wk_fail(WK_ERR_ARGUMENT,
                    "%s in place: %s is part of a gradient's graph: use wk_no_grad()", c->op->name,
                    wk_show(c->in[i], text));
            return false;
        }
    return true;
}

static wk_tensor *make_result(const wk_call *c)
{
    if (c->op->flags & WK_OP_IN_PLACE)
        return check_in_place(c) ? c->in[0] : NULL;
    if (c->op->flags & WK_OP_VIEW) {
        wk_tensor *x = wk_pool(wk_tensor_view(c->in[0]));
        if (x)
            x->shape = c->shape;
        return x;
    }
    return wk_pool(wk_tensor_new(c->device, c->dtype, c->shape));
}

/* ---- Quantized operands ------------------------------------------------- */

/* Does x, of blocks, have its rows whole, one element behind another? */
static bool has_whole_rows(const wk_tensor *x)
{
    int     last = x->shape.rank - 1;
    int64_t block = wk_dtypes[x->dtype].block;
    bool    whole = last >= 0 && x->stride[last] == 1 && x->shape.dim[last] % block == 0 &&
                 x->offset % block == 0;
    for (int i = 0; i < last && whole; i++)
        whole = x->shape.dim[i] == 1 || x->stride[i] % block == 0;
    return whole;
}

/* Views keep what is quantized as it is, if its rows stay whole. */
static bool view_is_whole(const wk_call *c)
{
    wk_call    v = *c;
    wk_scope   scope = wk_mark();
    wk_tensor *y = c->op->infer(&v) ? wk_pool(wk_tensor_view(v.in[0])) : NULL;
    bool       whole = false;
    if (y) {
        y->shape = v.shape;
        v.out = y;
        whole = v.op->compute(&v) && has_whole_rows(y);
    }
    wk_sweep(scope);
    return whole;
}

/* Is there an operand that the operation does not take quantized? */
static bool wants_f32(const wk_call *c)
{
    bool wants = false;
    for (int i = 0; i < c->count && !wants; i++)
        wants = c->in[i] && wk_is_quantized(c->in[i]) && !has_bit(c->op->blocks, i);
    return wants && !(c->op->flags & WK_OP_VIEW && view_is_whole(c)) && wk_ok();
}

static wk_tensor *run_as_f32(const wk_call *c)
{
    char       text[160];
    wk_tensor *few[FEW], **in = few;
    wk_scope   scope = wk_mark();
    wk_call    f = *c;
    if (c->op->flags & WK_OP_IN_PLACE && wk_is_quantized(c->in[0]) && !has_bit(c->op->blocks, 0))
        wk_fail(WK_ERR_DTYPE, "%s: %s is quantized: nothing changes it in place", c->op->name,
                wk_show(c->in[0], text));
    if (c->count > FEW)
        in = wk_alloc_array((size_t)c->count, sizeof *in);
    for (int i = 0; in && i < c->count; i++)
        in[i] = c->in[i] && wk_is_quantized(c->in[i]) && !has_bit(c->op->blocks, i)
                    ? wk_cast(c->in[i], WK_F32)
                    : c->in[i];
    f.in = in;
    wk_tensor *y = wk_ok() ? wk_run(&f) : NULL;
    if (in != few)
        wk_free(in);
    return c->op->flags & WK_OP_IN_PLACE ? (wk_sweep(scope), y) : wk_yield(scope, y);
}

/* ---- The road ----------------------------------------------------------- */

wk_tensor *wk_run(wk_call *c)
{
    if (!wk_ok() || !check_operands(c))
        return NULL;
    if (wants_f32(c))
        return run_as_f32(c);
    wk_scope   scope = wk_mark();
    wk_tensor *unpacked = NULL;
    if ((c->op->flags & WK_OP_VIEW) && c->in[0]->packing) {
        unpacked = wk_dense(c->in[0]);
        c->in = &unpacked;
    }
    if (!wk_ok() || !c->op->infer(c) || !wk_ok() || !(c->out = make_result(c))) {
        wk_sweep(scope);
        return NULL;
    }
    double start = tracing() & TRACE_OPS ? wk_now() : 0;
    bool   done = wk_count(c->out) == 0 && !(c->op->flags & WK_OP_VIEW);
    if (!done)
        done = c->op->flags & (WK_OP_VIEW | WK_OP_DIRECT) ? c->op->compute(c) : run_kernel(c);
    if (done && tracing() & TRACE_OPS)
        trace(c, "took", wk_now() - start);
    if (done && c->op->flags & WK_OP_IN_PLACE)
        wk_touched(c->out);
    else if (done && wk_needs_record(c))
        wk_record(c);
    if (c->op->flags & WK_OP_IN_PLACE) {
        wk_sweep(scope);
        return wk_ok() ? c->out : NULL;
    }
    return wk_yield(scope, wk_ok() ? c->out : NULL);
}

/* ---- Common shape rules ------------------------------------------------- */

bool wk_infer_same(wk_call *c)
{
    c->shape = c->in[0]->shape;
    c->dtype = c->in[0]->dtype;
    return true;
}

bool wk_infer_broadcast(wk_call *c)
{
    char     a[160], b[160];
    wk_dtype scalar =
        WK_DEFAULT; /* operands of rank 0 only count where they are of a higher kind */
    c->shape = WK_SCALAR;
    c->dtype = WK_DEFAULT;
    for (int i = 0; i < c->count; i++) {
        wk_tensor *x = c->in[i];
        wk_dtype  *d = x->shape.rank ? &c->dtype : &scalar;
        *d = *d ? wk_dtype_promote(*d, x->dtype) : x->dtype;
        if (!wk_broadcast(c->shape, x->shape, &c->shape)) {
            wk_fail(WK_ERR_SHAPE, "%s: %s and %s do not broadcast", c->op->name,
                    wk_show(c->in[0], a), wk_show(x, b));
            return false;
        }
    }
    if (c->dtype == WK_DEFAULT)
        c->dtype = scalar;
    else if (scalar &&
             (c->dtype == WK_BOOL || wk_dtypes[scalar].is_float > wk_dtypes[c->dtype].is_float))
        c->dtype = scalar;
    return true;
}
