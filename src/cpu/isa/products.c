// SPDX-License-Identifier: MIT OR Apache-2.0
/* products.c - matmul, linear and linear_glu: which road their numbers take. */
#include "../quants.h"
#include "../shared.h"
#include "matrix.h"

/* In a layer the weight's dtype decides how products are made, in matmul the wider one, or the
 * flag of a layer's gradient; small products are not worth the packs of a matrix unit. */
static const wk_engine *engine_for(bool bf16, int64_t m, int64_t n)
{
    const wk_cpu_isa *isa = wk_cpu_current();
    const wk_engine  *e = bf16 && isa->bf16 ? isa->bf16 : isa->f32;
    return m >= e->least && n >= e->least ? e : &WK_ISA(engine);
}

static void multiply(const wk_gemm *g, int threads)
{
    if (WK_ISA(gemm_few_rows)(g, threads))
        return;
    if (g->engine != &WK_ISA(engine) || !WK_ISA(gemm_direct)(g, threads))
        WK_ISA(gemm)(g, threads);
}

/* ---- matmul ------------------------------------------------------------- */

typedef struct {
    const wk_call *c;
    wk_gemm        g; /* the first product of the batch */
} batch;

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

static const void *move(const void *data, int64_t elements, wk_dtype dtype)
{
    return (const char *)data + elements * (int64_t)wk_dtypes[dtype].size;
}

static void multiply_one(const batch *b, int64_t index, int threads)
{
    const wk_call   *c = b->c;
    const wk_tensor *x = c->in[0], *y = c->in[1];
    wk_gemm          g = b->g;
    g.a.data = move(g.a.data, matrix_at(x, c->shape, index), x->dtype);
    g.b[0].data = move(g.b[0].data, matrix_at(y, c->shape, index), y->dtype);
    g.out.data = move(g.out.data, index * g.m * g.n, c->dtype);
    multiply(&g, threads);
}

static void multiply_some(void *ctx, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i++)
        multiply_one(ctx, i, 1);
}

/* Is every matrix of x right behind the one before, so that all are one tall matrix? */
static bool is_tall(const wk_tensor *x, wk_shape out)
{
    int64_t next = wk_dim(x, -2) * x->stride[x->shape.rank - 2];
    if (x->shape.rank != out.rank)
        return false;
    for (int i = x->shape.rank - 3; i >= 0; i--) {
        if (x->shape.dim[i] != 1 && x->stride[i] != next)
            return false;
        if (x->shape.dim[i] != out.dim[i])
            return false;
        next *= x->shape.dim[i];
    }
    return true;
}

bool WK_ISA(matmul)(const wk_call *c)
{
    const wk_tensor *x = c->in[0], *y = c->in[1];
    int              rx = x->shape.rank, ry = y->shape.rank;
    if (!is_plain_float(c->dtype) || !wk_dim(x, -1))
        return false;
    batch b = { .c = c };
    b.g = (wk_gemm){
        .m = wk_dim(x, -2),
        .n = wk_dim(y, -1),
        .k = wk_dim(x, -1),
        .a = { wk_at_host(x), x->dtype, x->stride[rx - 2], x->stride[rx - 1] },
        .b = { { wk_at_host(y), y->dtype, y->stride[ry - 1], y->stride[ry - 2] } },
        .out = { wk_at_host(c->out), c->dtype, wk_dim(y, -1), 1 },
    };
    int64_t matrices = wk_count(c->out) / (b.g.m * b.g.n);
    if (matrices > 1 && wk_count(y) == b.g.n * b.g.k && is_tall(x, c->shape)) {
        b.g.m *= matrices;
        matrices = 1;
    }
    b.g.engine = engine_for(c->dtype == WK_BF16 || c->opt.mode.flag, b.g.m, b.g.n);
    int64_t size = b.g.m * b.g.n * b.g.k;
    if (matrices >= 4 * wk_threads() || size < 64 * 64 * 64)
        wk_parallel(matrices, 64 * 64 * 64 / (size + 1) + 1, multiply_some, &b);
    else
        for (int64_t i = 0; wk_ok() && i < matrices; i++)
            multiply_one(&b, i, wk_threads());
    return wk_ok();
}

/* ---- linear ------------------------------------------------------------- */

/* The bias as f32, in room if it is not. */
static const float *read_bias(const wk_tensor *bias, float *room)
{
    if (!bias)
        return NULL;
    if (bias->dtype == WK_F32)
        return wk_f32(bias);
    wk_dtypes[bias->dtype].load[WK_AS_F32](room, wk_at_host(bias), wk_dim(bias, 0), 1);
    return room;
}

static wk_mat rows_of(const wk_tensor *x)
{
    return (wk_mat){ wk_at_host(x), x->dtype, wk_dim(x, -1), 1 };
}

/* A weight of blocks is read to f32, so many rows at a time. */
typedef struct {
    const wk_mat *from;
    float        *to;
    int64_t       k;
} reading;

static void read_rows(void *ctx, int64_t begin, int64_t end)
{
    const reading *r = ctx;
    wk_dtypes[r->from->dtype].load[WK_AS_F32](
        r->to + begin * r->k, wk_mat_at(*r->from, begin, 0).data, (end - begin) * r->k, 1);
}

static void multiply_blocks(const wk_gemm *g)
{
    enum { PIECE = 1 << 18 }; /* f32 in the second-level caches */
    int     sides = g->b[1].data ? 2 : 1;
    int64_t rows = wk_min_i64(wk_max_i64(PIECE / g->k / 64, 1) * 64, g->n);
    float  *room = wk_alloc_array((size_t)(rows * sides), (size_t)g->k * sizeof *room);
    for (int64_t j = 0; room && j < g->n; j += rows) {
        wk_gemm part = *g;
        part.n = wk_min_i64(rows, g->n - j);
        part.out = wk_mat_at(g->out, 0, j);
        if (g->add.data)
            part.add = wk_mat_at(g->add, 0, j);
        for (int s = 0; s < sides; s++) {
            wk_mat from = wk_mat_at(g->b[s], j, 0);
            float *to = room + s * rows * g->k;
            wk_parallel(part.n, 16384 / g->k + 1, read_rows, &(reading){ &from, to, g->k });
            part.b[s] = (wk_mat){ to, WK_F32, g->k, 1 };
            part.bias[s] = g->bias[s] ? g->bias[s] + j : NULL;
        }
        multiply(&part, wk_threads());
    }
    wk_free(room);
}

/* May these weights of a file wait for being packed?  To read rows of blocks costs a third of what
 * packing them does: the first prompt is done sooner so if it is short.  Few rows want panels, and
 * so do tiles. */
static bool may_wait(const wk_call *c, int at, int sides, int64_t m)
{
    enum { MOST = 256 };
    const wk_engine *tiles = wk_cpu_current()->blocks;
    bool             waits = m > WK_FEW_ROWS && m <= (tiles ? 2 * tiles->least : MOST);
    for (int i = 0; waits && i < sides; i++) {
        const wk_tensor *w = c->in[at + 2 * i];
        waits =
            w->packing && !wk_packed_data(w, false) && !atomic_exchange(&w->storage->used, true);
    }
    return waits;
}

/* Weight and bias are in[at] and in[at + 1], for a gated unit another two behind them; the
 * result's columns begin at first.  room: as large as the biases, or NULL where they are f32. */
static wk_gemm product(const wk_call *c, int at, int sides, int64_t first, float *room)
{
    const wk_tensor *x = c->in[0], *w = c->in[at];
    wk_gemm          g = { .n = wk_dim(w, 0), .k = wk_dim(x, -1), .a = rows_of(x) };
    g.m = wk_count(x) / g.k;
    g.engine = engine_for(w->dtype == WK_BF16, g.m, g.n);
    g.out = wk_mat_at(rows_of(c->out), 0, first);
    g.waits = may_wait(c, at, sides, g.m);
    g.panels = w->packing && !g.waits;
    for (int i = 0; i < sides; i++) {
        g.b[i] = rows_of(c->in[at + 2 * i]);
        if (g.panels) {
            g.b[i].data = wk_packed_data(c->in[at + 2 * i], true);
            g.b[i].row = (g.k + 31) / 32 * 32;
        }
        g.bias[i] = read_bias(c->in[at + 1 + 2 * i], room ? room + i * g.n : NULL);
    }
    return g;
}

/* Room for biases of other dtypes than f32, of n numbers in all; false: no memory. */
static bool bias_room(const wk_call *c, int biases, int64_t n, float **room)
{
    bool wide = false;
    for (int i = 0; i < biases; i++)
        wide |= c->in[2 + 2 * i] && c->in[2 + 2 * i]->dtype != WK_F32;
    *room = wide ? wk_alloc_array((size_t)n, sizeof **room) : NULL;
    return !wide || *room;
}

/* The engine for panels of blocks where there are enough rows, or NULL. */
static const wk_engine *tiles_for(const wk_gemm *g)
{
    const wk_engine *tiles = wk_cpu_current()->blocks;
    return tiles && g->panels && g->m >= tiles->least ? tiles : NULL;
}

/* Are there products of bytes for it as it lies? */
static bool has_bytes(const wk_gemm *g)
{
    return wk_dtypes[g->b[0].dtype].block &&
           (g->panels || g->waits || wk_quant_stays(wk_cpu_current()->quant, g->b[0].dtype));
}

static void multiply_layer(wk_gemm *g)
{
    const wk_engine *tiles = tiles_for(g);
    if (!wk_dtypes[g->b[0].dtype].block) {
        multiply(g, wk_threads());
    } else if (tiles) {
        g->engine = tiles;
        WK_ISA(gemm)(g, wk_threads());
    } else if (has_bytes(g)) {
        WK_ISA(gemm_quant)(g, 1, wk_threads());
    } else {
        multiply_blocks(g);
    }
}

static void multiply_layers(wk_gemm *g, int count)
{
    bool together = count > 1;
    if (!wk_ok()) /* there was no memory for panels */
        return;
    for (int i = 0; i < count; i++)
        together &= has_bytes(&g[i]) && !tiles_for(&g[i]);
    if (together)
        WK_ISA(gemm_quant)(g, count, wk_threads());
    else
        for (int i = 0; i < count; i++)
            multiply_layer(&g[i]);
}

static bool linear(const wk_call *c, int sides, const wk_tensor *add)
{
    float *room;
    if (!is_plain_float(c->dtype) || !wk_dim(c->in[0], -1) ||
        !bias_room(c, sides, sides * wk_dim(c->out, -1), &room))
        return false;
    wk_gemm g = product(c, 1, sides, 0, room);
    if (add)
        g.add = rows_of(add);
    g.act = sides > 1 ? c->opt.mode.act : WK_ACT_NONE;
    multiply_layers(&g, 1);
    wk_free(room);
    return wk_ok();
}

bool WK_ISA(linear)(const wk_call *c) { return linear(c, 1, c->count > 3 ? c->in[3] : NULL); }

bool WK_ISA(linear_glu)(const wk_call *c)
{
    const wk_tensor *gate = c->in[1], *up = c->in[3];
    return gate->dtype == up->dtype && gate->packing == up->packing && linear(c, 2, NULL);
}

bool WK_ISA(linear_cat)(const wk_call *c)
{
    wk_gemm g[WK_MOST_LAYERS];
    float  *room;
    int     count = c->count / 2;
    if (!is_plain_float(c->dtype) || !wk_dim(c->in[0], -1) ||
        !bias_room(c, count, wk_dim(c->out, -1), &room))
        return false;
    int64_t first = 0;
    for (int i = 0; i < count; i++, first += g[i - 1].n)
        g[i] = product(c, 1 + 2 * i, 1, first, room ? room + first : NULL);
    multiply_layers(g, count);
    wk_free(room);
    return wk_ok();
}
