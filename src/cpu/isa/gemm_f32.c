// SPDX-License-Identifier: MIT OR Apache-2.0
/* gemm_f32.c - the engine for sums of f32 products, and products of moderate size that
 * read their operands as they lie.
 *
 * A tile of C stays in registers: for each step of k one vector or two of B's row meet
 * each element of A's column.  There is a micro-kernel for each number of rows, so that
 * edges cost what they are; it takes A and B with any distances between rows and
 * steps, so that the same code serves panels and matrices. */
#include "matrix.h"

#include "../simd.h"

#if defined __AVX512F__
enum { MR = 14, KC = 1024, LATE = 0 };
#elif defined __aarch64__
enum { MR = 12, KC = 512, LATE = 0 };
#else
enum { MR = 6, KC = 320, LATE = 1032 };
#endif
enum { NR = 2 * VF, LINE = 32 }; /* LINE: steps of k that are packed together */

/* ---- The micro-kernel --------------------------------------------------- */

/* Element r of A's column is at a + r * a_row, and the next column a_col further on. */
INLINE void tile(int rows, int width, const float *a, int64_t a_row, int64_t a_col, const float *b,
                 int64_t b_col, int64_t k, float *c, int64_t ldc, bool add, const char *next)
{
    vf sum[MR][2];
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
        sum[r][0] = sum[r][1] = vset(0);
    for (int64_t p = 0; p < k; p++, a += a_col, b += b_col) {
        __builtin_prefetch(next + p * (MR * 4));
        vf b0 = vload(b), b1 = width > 1 ? vload(b + VF) : b0;
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) {
            vf x = vset(a[r * a_row]);
            sum[r][0] = vfma(x, b0, sum[r][0]);
            if (width > 1)
                sum[r][1] = vfma(x, b1, sum[r][1]);
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < width; v++) {
            float *to = c + r * ldc + v * VF;
            vstore(to, add ? vload(to) + sum[r][v] : sum[r][v]);
        }
}

typedef void (*tile_fn)(const float *a, int64_t a_row, int64_t a_col, const float *b, int64_t b_col,
                        int64_t k, float *c, int64_t ldc, bool add, const char *next);

#define TILE(rows, width)                                                                          \
    static void tile_##rows##_##width(const float *a, int64_t a_row, int64_t a_col,                \
                                      const float *b, int64_t b_col, int64_t k, float *c,          \
                                      int64_t ldc, bool add, const char *next)                     \
    {                                                                                              \
        tile(rows, width, a, a_row, a_col, b, b_col, k, c, ldc, add, next);                        \
    }
#define TILES(rows) TILE(rows, 1) TILE(rows, 2)
#define NAMES(rows)                                                                                \
    {                                                                                              \
        tile_##rows##_1, tile_##rows##_2                                                           \
    }
TILES(1)
TILES(2)
TILES(3)
TILES(4)
TILES(5)
TILES(6)
#if defined __AVX512F__ || defined __aarch64__
TILES(7)
TILES(8)
TILES(9)
TILES(10)
TILES(11)
TILES(12)
#endif
#if defined __AVX512F__
TILES(13)
TILES(14)
#endif

static const tile_fn tiles[MR][2] = {
    NAMES(1),  NAMES(2),  NAMES(3), NAMES(4),  NAMES(5),  NAMES(6),
#if defined __AVX512F__ || defined __aarch64__
    NAMES(7),  NAMES(8),  NAMES(9), NAMES(10), NAMES(11), NAMES(12),
#endif
#if defined __AVX512F__
    NAMES(13), NAMES(14),
#endif
};

static void kernel(const wk_gemm_tile *t)
{
    tiles[t->rows - 1][t->cols > VF](t->a, 1, MR, t->b, NR, t->k, t->c, t->ldc, t->add,
                                     t->next ? t->next : t->a);
}

/* ---- Packing ------------------------------------------------------------ */

/* n elements from p on; the other lanes are 0. */
INLINE vf load(const void *p, wk_dtype dtype, int64_t n)
{
    float row[VF] = { 0 };
    if (n == VF) {
        if (dtype == WK_F32)
            return vload(p);
        if (dtype == WK_BF16)
            return vload_bf16(p);
        if (dtype == WK_F16)
            return vload_f16(p);
    }
    wk_dtypes[dtype].load[WK_AS_F32](row, p, n, 1);
    return vload(row);
}

INLINE void store(float *p, vf x, int n)
{
    if (n >= VF)
        vstore(p, x);
    else
        vstore_part(p, x, n);
}

/* Where the elements of a step lie side by side already. */
INLINE void pack_steps(float *panel, int width, const wk_mat *x, int64_t count, int64_t k)
{
    const char *ahead = wk_mat_at(*x, 0, 16).data;
    int64_t     step = x->col * (int64_t)wk_dtypes[x->dtype].size;
    for (int64_t p = 0; p < k; p++, ahead += step)
        for (int r = 0; r < width; r += VF) {
            __builtin_prefetch(ahead + r * 4);
            int64_t n = count - r > VF ? VF : count - r > 0 ? count - r : 0;
            vf      v = n ? load(wk_mat_at(*x, r, p).data, x->dtype, n) : vset(0);
            store(panel + p * width + r, v, width - r);
        }
}

INLINE void load_rows(vf v[VF], int n, const char *from, int64_t row, wk_dtype dtype)
{
    UNROLLED
    for (int i = 0; i < VF; i++)
        v[i] = load(from + (i < n ? i : 0) * row, dtype, VF);
}

/* VF steps of n rows, at most VF: element r of step i to to + i * width + r. */
static __attribute__((noinline)) void turn(float *to, int width, int n, const wk_mat *from)
{
    const int64_t row = from->row * (int64_t)wk_dtypes[from->dtype].size;
    vf            v[VF];
    if (from->dtype == WK_F32)
        load_rows(v, n, from->data, row, WK_F32);
    else if (from->dtype == WK_BF16)
        load_rows(v, n, from->data, row, WK_BF16);
    else
        load_rows(v, n, from->data, row, WK_F16);
    vtranspose(v);
    UNROLLED
    for (int i = 0; i < VF; i++)
        store(to + i * width, v[i], n);
}

/* The same at an edge, of the rows and steps that are there, and of any dtype. */
static __attribute__((noinline)) void turn_rest(float *to, int width, int n, const wk_mat *from,
                                                int64_t rows, int64_t steps)
{
    float v[VF][VF] = { { 0 } };
    for (int64_t i = 0; i < rows; i++)
        wk_dtypes[from->dtype].load[WK_AS_F32](v[i], wk_mat_at(*from, i, 0).data, steps, from->col);
    for (int64_t p = 0; p < steps; p++)
        for (int i = 0; i < n; i++)
            to[p * width + i] = v[i][p];
}

/* A few rows at a time, whole lines of the cache of each: rows are often a power of 2 apart. */
INLINE void pack_rows(float *panel, int width, const wk_mat *x, int64_t count, int64_t k)
{
    const int64_t size = (int64_t)wk_dtypes[x->dtype].size, row = x->row * size;
    for (int64_t line = 0; line < k; line += LINE)
        for (int r = 0; r < width; r += VF) {
            int64_t rows = wk_min_i64(count - r, VF);
            wk_mat  from = wk_mat_at(*x, r, line);
            for (int64_t i = 0; i < rows; i++)
                __builtin_prefetch((const char *)from.data + i * row + LINE * size);
            for (int64_t p = line; p < wk_min_i64(line + LINE, k); p += VF) {
                float *to = panel + p * width + r;
                int    n = width - r < VF ? width - r : VF;
                if (rows >= n && k - p >= VF && x->col == 1 && is_plain_float(x->dtype))
                    turn(to, width, n, &from);
                else
                    turn_rest(to, width, n, &from, rows, wk_min_i64(VF, k - p));
                from = wk_mat_at(from, 0, VF);
            }
        }
}

INLINE void pack(float *panel, int width, const wk_mat *x, int64_t count, int64_t k)
{
    if (x->row == 1 && x->col != 1)
        pack_steps(panel, width, x, count, k);
    else
        pack_rows(panel, width, x, count, k);
}

static void pack_a(void *panel, const wk_mat *x, int64_t count, int64_t k)
{
    pack(panel, MR, x, count, k);
}

static void pack_b(void *panel, const wk_mat *x, int64_t count, int64_t k)
{
    pack(panel, NR, x, count, k);
}

const wk_engine WK_ISA(engine) = {
    .name = WK_TEXT2(ISA),
    .mr = MR,
    .nr = NR,
    .kr = 1,
    .a_size = sizeof(float),
    .b_size = sizeof(float),
    .kc = KC,
    .mc = 4 * MR,
    .nc = 4 * NR,
    .late = LATE,
    .pack_a = pack_a,
    .pack_b = pack_b,
    .kernel = kernel,
};

/* ---- Products without packing ------------------------------------------- */

enum {
    DIRECT_K = 1024,         /* the longest sum */
    DIRECT_A = 512 << 10,    /* bytes of A: half a second-level cache */
    DIRECT_ROWS = 16,        /* tiles in a piece of work */
    DIRECT_ALONE = 64 * 8192 /* multiplications that one thread does sooner than two */
};

typedef struct {
    const wk_gemm *g;
    int64_t        rows, down; /* in a piece; pieces on top of each other */
    bool           lies;       /* B's rows can be read as they lie */
} direct;

static void direct_piece(const direct *d, int64_t i, int64_t i_end, int64_t j, float *room)
{
    const wk_gemm *g = d->g;
    int            cols = (int)wk_min_i64(NR, g->n - j);
    wk_mat         b = wk_mat_at(g->b[0], j, 0);
    float         *sums = room, *panel = room + MR * NR;
    const bool     plain = cols == NR && WK_ISA(gemm_is_plain)(g);
    if (!d->lies || cols < NR) {
        pack_b(panel, &b, cols, g->k);
        b = (wk_mat){ panel, WK_F32, 1, NR };
    }
    for (int64_t rows; i < i_end; i += rows) {
        wk_mat a = wk_mat_at(g->a, i, 0);
        rows = wk_min_i64(MR, i_end - i);
        tiles[rows - 1][cols > VF](a.data, a.row, a.col, b.data, b.col, g->k,
                                   plain ? (float *)wk_mat_at(g->out, i, j).data : sums,
                                   plain ? g->out.row : NR, false, a.data);
        if (!plain)
            WK_ISA(gemm_finish)(g, i, j, (int)rows, cols, sums, NULL, NR);
    }
}

static void direct_pieces(void *ctx, int64_t begin, int64_t end)
{
    const direct *d = ctx;
    float        *room = wk_scratch((size_t)((MR + d->g->k) * NR) * sizeof *room);
    for (int64_t piece = begin; room && piece < end; piece++) {
        int64_t i = piece % d->down * d->rows;
        direct_piece(d, i, wk_min_i64(i + d->rows, d->g->m), piece / d->down * NR, room);
    }
}

bool WK_ISA(gemm_direct)(const wk_gemm *g, int threads)
{
    direct d = { .g = g, .lies = g->b[0].dtype == WK_F32 && g->b[0].row == 1 };
    if (g->a.dtype != WK_F32 || g->b[1].data || g->panels || g->k > DIRECT_K ||
        g->m * g->k > DIRECT_A / (int64_t)sizeof(float) ||
        (g->a.row % 512 == 0 && g->m > 8)) /* rows that share the lines of a cache */
        return false;
    bool    alone = threads == 1 || g->m * g->n * g->k < DIRECT_ALONE;
    int64_t panels = (g->n + NR - 1) / NR, most = (g->m + MR - 1) / MR;
    int64_t tiles_each = alone || panels >= 4 * threads ? most : wk_min_i64(most, DIRECT_ROWS);
    if (!alone && d.lies)
        tiles_each = wk_min_i64(most, 2);
    d.rows = tiles_each * MR;
    d.down = (g->m + d.rows - 1) / d.rows;
    wk_parallel(d.down * panels, alone ? d.down * panels : 1, direct_pieces, &d);
    return true;
}
