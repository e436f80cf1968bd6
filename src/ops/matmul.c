// SPDX-License-Identifier: MIT OR Apache-2.0
/* matmul.c - [.., m, k] x [.., k, n] -> [.., m, n]
 *
 * The leading dimensions are the batch, and broadcast.  With opt.mode.flag factors may be
 * rounded to bf16, whatever they are. */
#include "../core/core.h"

static bool infer(wk_call *c)
{
    const wk_tensor *a = c->in[0], *b = c->in[1];
    wk_shape         x = a->shape, y = b->shape, batch;
    char             s[160], t[160];
    x.rank -= 2;
    y.rank -= 2;
    if (x.rank < 0 || y.rank < 0 || wk_dim(a, -1) != wk_dim(b, -2) || !wk_broadcast(x, y, &batch)) {
        wk_fail(WK_ERR_SHAPE, "matmul: %s x %s do not fit", wk_show(a, s), wk_show(b, t));
        return false;
    }
    c->shape = batch;
    c->shape.dim[c->shape.rank++] = wk_dim(a, -2);
    c->shape.dim[c->shape.rank++] = wk_dim(b, -1);
    c->dtype = wk_dtype_promote(a->dtype, b->dtype);
    if (c->dtype == WK_BOOL)
        c->dtype = WK_I64;
    return true;
}

/* ---- The portable kernel: a row of the result at a time, in doubles ----- */

/* Where matrix number index of a batch of the result's shape begins in x. */
static int64_t matrix_at(const wk_tensor *x, wk_shape out, int64_t index)
{
    int64_t at = 0;
    int     extra = out.rank - x->shape.rank;
    for (int i = out.rank - 3; i >= 0; i--) {
        int64_t k = index % out.dim[i];
        index /= out.dim[i];
        if (i >= extra && x->shape.dim[i - extra] != 1)
            at += k * x->stride[i - extra];
    }
    return at;
}

static void rows_f64(void *ctx, int64_t begin, int64_t end)
{
    const wk_call   *c = ctx;
    const wk_tensor *a = c->in[0], *b = c->in[1];
    int              ra = a->shape.rank, rb = b->shape.rank;
    int64_t          m = wk_dim(c->out, -2), n = wk_dim(c->out, -1), k = wk_dim(a, -1);
    double          *left = wk_scratch((size_t)(k + 2 * n) * sizeof *left), *right = left + k,
           *sum = right + n;
    for (int64_t r = begin; left && r < end; r++) {
        int64_t pa = matrix_at(a, c->shape, r / m) + r % m * a->stride[ra - 2];
        int64_t pb = matrix_at(b, c->shape, r / m);
        wk_load_f64(left, a, pa, k, a->stride[ra - 1]);
        for (int64_t j = 0; j < n; j++)
            sum[j] = 0;
        for (int64_t p = 0; p < k; p++) {
            wk_load_f64(right, b, pb + p * b->stride[rb - 2], n, b->stride[rb - 1]);
            for (int64_t j = 0; j < n; j++)
                sum[j] += left[p] * right[j];
        }
        wk_store_f64(c->out, r * n, sum, n, 1);
    }
}

__attribute__((no_sanitize("signed-integer-overflow"))) static void rows_i64(void   *ctx,
                                                                             int64_t begin,
                                                                             int64_t end)
{
    const wk_call       *c = ctx;
    const wk_tensor     *a = c->in[0], *b = c->in[1];
    int                  ra = a->shape.rank, rb = b->shape.rank;
    int64_t              m = wk_dim(c->out, -2), n = wk_dim(c->out, -1), k = wk_dim(a, -1);
    const wk_dtype_info *d = &wk_dtypes[c->dtype];
    for (int64_t i = begin * n; i < end * n; i++) {
        int64_t r = i / n, j = i % n, sum = 0;
        int64_t pa = matrix_at(a, c->shape, r / m) + r % m * a->stride[ra - 2];
        int64_t pb = matrix_at(b, c->shape, r / m) + j * b->stride[rb - 1];
        for (int64_t p = 0; p < k; p++)
            sum += wk_load_index(a, pa + p * a->stride[ra - 1]) *
                   wk_load_index(b, pb + p * b->stride[rb - 2]);
        d->store[WK_AS_I64]((char *)wk_at_host(c->out) + i * (int64_t)d->size, &sum, 1, 1);
    }
}

static bool compute(const wk_call *c)
{
    int64_t n = wk_dim(c->out, -1), k = wk_dim(c->in[0], -1);
    wk_parallel(wk_count(c->out) / n, 16384 / (n * (k + 1)) + 1,
                wk_dtypes[c->dtype].is_float ? rows_f64 : rows_i64, (void *)c);
    return true;
}

/* ---- Gradient ----------------------------------------------------------- */

static void backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    wk_tensor *a = c->in[0], *b = c->in[1];
    dx[0] = wk_wants_grad(a) ? wk_matmul(dy, wk_transpose(b, -1, -2)) : NULL;
    if (!wk_wants_grad(b))
        return;
    if (wk_rank(b) == 2) { /* the batch is just more rows */
        wk_tensor *rows = wk_flatten(a, 0, -2);
        dx[1] = wk_matmul(wk_transpose(rows, 0, 1), wk_flatten(dy, 0, -2));
    } else {
        dx[1] = wk_matmul(wk_transpose(a, -1, -2), dy);
    }
}

const wk_op wk_op_matmul = {
    .name = "matmul",
    .id = WK_OP_matmul,
    .required = 2,
    .strided = WK_ALL_OPERANDS,
    .infer = infer,
    .compute = compute,
    .backward = backward,
};

wk_tensor *wk_matmul(wk_tensor *a, wk_tensor *b)
{
    if (!wk_usable("matmul", 1, a) || !wk_usable("matmul", 2, b))
        return NULL;
    if (wk_rank(a) != 1 && wk_rank(b) != 1)
        return WK_RUN(matmul, WK_IN(a, b));
    wk_scope   scope = wk_mark();
    bool       left = wk_rank(a) == 1, right = wk_rank(b) == 1;
    wk_tensor *y = wk_matmul(left ? wk_unsqueeze(a, 0) : a, right ? wk_unsqueeze(b, 1) : b);
    y = right ? wk_squeeze(y, -1) : y;
    return wk_yield(scope, left ? wk_squeeze(y, right ? -1 : -2) : y);
}
