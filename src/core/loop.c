// SPDX-License-Identifier: MIT OR Apache-2.0
/* loop.c - the element-wise engine, and copies between any two layouts.
 *
 * The operands' common shape is reduced to as few dimensions as their strides allow.
 * The last one is cut into chunks that stay in the first-level cache; a chunk of each
 * operand is handed to the row function as it lies, or through a small buffer where
 * its dtype or stride asks for that. */
#include "core.h"

enum { MOST = 5, CHUNK = 512, LONG = 4096, GRAIN = 16384, TILE = 32 };

/* ---- The plan ----------------------------------------------------------- */

typedef struct {
    int            count; /* tensors: the result first, then the operands */
    int            rank;
    int64_t        dim[WK_MAX_RANK];
    int64_t        stride[MOST][WK_MAX_RANK];
    char          *data[MOST];
    size_t         size[MOST];
    wk_dtype       dtype[MOST];
    int64_t        inner, chunks; /* length of the last dimension, and pieces of it ... */
    int64_t        chunk;         /* ... of this length */
    wk_as          as;
    wk_row_fn      fn;
    const wk_call *call;
} plan;

static void add_tensor(plan *p, const wk_tensor *x, wk_shape shape)
{
    int at = p->count++, skip = shape.rank - x->shape.rank;
    for (int i = 0; i < shape.rank; i++)
        p->stride[at][i] = i < skip || x->shape.dim[i - skip] == 1 ? 0 : x->stride[i - skip];
    p->data[at] = wk_at_host(x);
    p->size[at] = wk_dtypes[x->dtype].size;
    p->dtype[at] = x->dtype;
}

/* May dimension i be joined with the one after it? */
static bool joins(const plan *p, int i, int next)
{
    for (int t = 0; t < p->count; t++)
        if (p->stride[t][i] != p->stride[t][next] * p->dim[next])
            return false;
    return true;
}

static void simplify(plan *p, wk_shape shape)
{
    int n = 0; /* dimensions so far, of which the last may still take in what comes */
    for (int i = 0; i < shape.rank; i++) {
        if (shape.dim[i] == 1)
            continue;
        p->dim[n] = shape.dim[i];
        for (int t = 0; t < p->count; t++)
            p->stride[t][n] = p->stride[t][i];
        if (n && joins(p, n - 1, n)) {
            p->dim[n - 1] *= p->dim[n];
            for (int t = 0; t < p->count; t++)
                p->stride[t][n - 1] = p->stride[t][n];
        } else {
            n++;
        }
    }
    if (n == 0) {
        p->dim[n++] = 1;
        for (int t = 0; t < p->count; t++)
            p->stride[t][0] = 0;
    }
    p->rank = n;
    p->inner = p->dim[n - 1];
}

static bool is_direct(const plan *p, int t)
{
    static const wk_dtype native[] = { WK_F32, WK_F64, WK_I64 };
    return p->dtype[t] == native[p->as] && (p->stride[t][p->rank - 1] == 1 || p->inner == 1);
}

/* Where chunk number index begins in each tensor; returns its length. */
static int64_t locate(const plan *p, int64_t index, char *at[MOST])
{
    int64_t start = index % p->chunks * p->chunk, outer = index / p->chunks;
    int64_t offset[MOST];
    for (int t = 0; t < p->count; t++)
        offset[t] = start * p->stride[t][p->rank - 1];
    for (int i = p->rank - 2; i >= 0; i--) {
        int64_t k = outer % p->dim[i];
        outer /= p->dim[i];
        for (int t = 0; t < p->count; t++)
            offset[t] += k * p->stride[t][i];
    }
    for (int t = 0; t < p->count; t++)
        at[t] = p->data[t] + offset[t] * (int64_t)p->size[t];
    return wk_min_i64(p->chunk, p->inner - start);
}

static void run(plan *p, wk_range_fn fn)
{
    p->chunk = LONG; /* what takes no buffer may be longer */
    for (int t = 0; t < p->count; t++)
        if (!is_direct(p, t))
            p->chunk = CHUNK;
    p->chunks = (p->inner + p->chunk - 1) / p->chunk;
    int64_t pieces = p->chunks, length = wk_min_i64(p->inner, p->chunk);
    for (int i = 0; i < p->rank - 1; i++)
        pieces *= p->dim[i];
    wk_parallel(pieces, GRAIN / length + 1, fn, p);
}

/* ---- Element-wise functions --------------------------------------------- */

static void loop_pieces(void *ctx, int64_t begin, int64_t end)
{
    const plan *p = ctx;
    double      buffer[MOST][CHUNK]; /* doubles, or anything no larger */
    char       *at[MOST];
    void       *row[MOST];
    for (int64_t index = begin; index < end; index++) {
        int64_t n = locate(p, index, at);
        for (int t = 0; t < p->count; t++) {
            row[t] = is_direct(p, t) ? (void *)at[t] : buffer[t];
            if (t && row[t] == buffer[t])
                wk_dtypes[p->dtype[t]].load[p->as](row[t], at[t], n, p->stride[t][p->rank - 1]);
        }
        p->fn(p->call, n, row[0], row + 1);
        if (row[0] == buffer[0])
            wk_dtypes[p->dtype[0]].store[p->as](at[0], row[0], n, p->stride[0][p->rank - 1]);
    }
}

bool wk_loop(const wk_call *c, wk_as as, wk_row_fn fn)
{
    plan p = { .as = as, .fn = fn, .call = c };
    add_tensor(&p, c->out, c->out->shape);
    for (int i = 0; i < c->count; i++)
        add_tensor(&p, c->in[i], c->out->shape);
    if (wk_count(c->out) == 0)
        return true;
    simplify(&p, c->out->shape);
    run(&p, loop_pieces);
    return wk_ok();
}

/* ---- Copies ------------------------------------------------------------- */

/* n rows of m elements; all in the first-level cache, so the order does not matter */
static void copy_tile(char *dst, const int64_t d[2], const char *src, const int64_t s[2],
                      size_t size, int64_t n, int64_t m)
{
#define COPY(T)                                                                                    \
    for (int64_t i = 0; i < n; i++)                                                                \
        for (int64_t k = 0; k < m; k++)                                                            \
    ((T *)(void *)dst)[i * d[0] + k * d[1]] = ((const T *)(const void *)src)[i * s[0] + k * s[1]]
    switch (size) {
    case 1:
        COPY(uint8_t);
        break;
    case 2:
        COPY(uint16_t);
        break;
    case 4:
        COPY(uint32_t);
        break;
    case 8:
        COPY(uint64_t);
        break;
    }
#undef COPY
}

static void copy_strided(char *dst, int64_t d, const char *src, int64_t s, size_t size, int64_t n)
{
    copy_tile(dst, (int64_t[]){ 0, d }, src, (int64_t[]){ 0, s }, size, 1, n);
}

/* The dimension in which the elements of the source are neighbours, if it is not the
 * last one: then rows would touch a cache line for each element. */
static int across(const plan *p)
{
    int last = p->rank - 1;
    for (int i = 0; i < last; i++)
        if (p->dtype[0] == p->dtype[1] && p->stride[1][i] == 1 && p->stride[1][last] != 1 &&
            p->dim[i] > 4 && p->dim[last] > 4)
            return i;
    return -1;
}

/* Tiles of the last dimension and the second last, which is the one across. */
static void transpose_pieces(void *ctx, int64_t begin, int64_t end)
{
    const plan *p = ctx;
    int         r = p->rank - 2;
    int64_t     n = p->dim[r], m = p->dim[r + 1];
    int64_t     rows = (n + TILE - 1) / TILE, columns = (m + TILE - 1) / TILE;
    for (int64_t index = begin; index < end; index++) {
        int64_t i = index / columns % rows * TILE, k = index % columns * TILE;
        int64_t outer = index / columns / rows, d = 0, s = 0;
        for (int a = r - 1; a >= 0; outer /= p->dim[a--]) {
            d += outer % p->dim[a] * p->stride[0][a];
            s += outer % p->dim[a] * p->stride[1][a];
        }
        d += i * p->stride[0][r] + k * p->stride[0][r + 1];
        s += i * p->stride[1][r] + k * p->stride[1][r + 1];
        copy_tile(p->data[0] + d * (int64_t)p->size[0], &p->stride[0][r],
                  p->data[1] + s * (int64_t)p->size[1], &p->stride[1][r], p->size[0],
                  wk_min_i64(TILE, n - i), wk_min_i64(TILE, m - k));
    }
}

static void transpose(plan *p, int axis)
{
    int64_t tiles = 1;
    for (; axis < p->rank - 2; axis++) /* any order of the others will do */
        for (int t = -1; t < p->count; t++) {
            int64_t *at = t < 0 ? p->dim : p->stride[t], x = at[axis];
            at[axis] = at[axis + 1];
            at[axis + 1] = x;
        }
    for (int i = 0; i < p->rank; i++)
        tiles *= i < p->rank - 2 ? p->dim[i] : (p->dim[i] + TILE - 1) / TILE;
    wk_parallel(tiles, GRAIN / (TILE * TILE), transpose_pieces, p);
}

static void copy_pieces(void *ctx, int64_t begin, int64_t end)
{
    const plan *p = ctx;
    double      buffer[CHUNK];
    char       *at[MOST];
    int64_t     d = p->stride[0][p->rank - 1], s = p->stride[1][p->rank - 1];
    for (int64_t index = begin; index < end; index++) {
        int64_t n = locate(p, index, at);
        if (p->dtype[0] == p->dtype[1] && d == 1 && s == 1) {
            memcpy(at[0], at[1], (size_t)n * p->size[0]);
        } else if (p->dtype[0] == p->dtype[1]) {
            copy_strided(at[0], d, at[1], s, p->size[0], n);
        } else if (is_direct(p, 0)) {
            wk_dtypes[p->dtype[1]].load[p->as](at[0], at[1], n, s);
        } else if (is_direct(p, 1)) {
            wk_dtypes[p->dtype[0]].store[p->as](at[0], at[1], n, d);
        } else {
            wk_dtypes[p->dtype[1]].load[p->as](buffer, at[1], n, s);
            wk_dtypes[p->dtype[0]].store[p->as](at[0], buffer, n, d);
        }
    }
}

/* A row along the last dimension: whole where it is copied, or through f32. */
static void copy_rows_of_blocks(void *ctx, int64_t begin, int64_t end)
{
    wk_tensor *const *job = ctx, *dst = job[0], *src = job[1];
    const wk_shape   *s = &dst->shape;
    int               last = s->rank - 1;
    int64_t           n = s->dim[last];
    bool              same = dst->dtype == src->dtype;
    float            *row = same ? NULL : wk_scratch((size_t)n * sizeof *row);
    for (int64_t r = begin; r < end && (same || row); r++) {
        int64_t to = 0, from = 0, index = r;
        for (int i = last - 1; i >= 0; index /= s->dim[i--]) {
            to += index % s->dim[i] * dst->stride[i];
            from += index % s->dim[i] * src->stride[i];
        }
        char *y = (char *)wk_at_host(dst) + wk_bytes_at(dst->dtype, to);
        char *x = (char *)wk_at_host(src) + wk_bytes_at(src->dtype, from);
        if (same) {
            memcpy(y, x, (size_t)wk_bytes_at(src->dtype, n));
            continue;
        }
        wk_dtypes[src->dtype].load[WK_AS_F32](row, x, n, src->stride[last]);
        wk_dtypes[dst->dtype].store[WK_AS_F32](y, row, n, dst->stride[last]);
    }
}

bool wk_copy_host(wk_tensor *dst, const wk_tensor *src)
{
    if (wk_is_quantized(dst) || wk_is_quantized(src)) {
        int64_t n = wk_max_i64(wk_dim(dst, -1), 1);
        wk_parallel(wk_count(dst) / n, GRAIN / n + 1, copy_rows_of_blocks,
                    (wk_tensor *[]){ dst, (wk_tensor *)src });
        return wk_ok();
    }
    plan p = { .as = wk_dtypes[src->dtype].as };
    if (dst->dtype == WK_F64 && p.as == WK_AS_F32)
        p.as = WK_AS_F64;
    if (p.as == WK_AS_I64 && wk_dtypes[src->dtype].size == 1 && wk_dtypes[dst->dtype].is_float)
        p.as = wk_dtypes[dst->dtype].as;
    add_tensor(&p, dst, dst->shape);
    add_tensor(&p, src, dst->shape);
    if (wk_count(dst) == 0)
        return true;
    simplify(&p, dst->shape);
    int axis = across(&p);
    if (axis >= 0)
        transpose(&p, axis);
    else
        run(&p, copy_pieces);
    return wk_ok();
}
