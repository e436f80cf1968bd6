// SPDX-License-Identifier: MIT OR Apache-2.0
/* gemm.c - the driver of matrix products: blocks, packing, pieces of work, and what
 * becomes of the sums.  See gemm.h.
 *
 * A block of A and a block of B, with all of k, are packed by all threads.  Then threads
 * take pieces of C, mc x nc, and see each through from its first step of k to its last
 * and on to out; sums wait in tiles of the thread's own.  Whoever finds no piece left
 * packs the next block of B meanwhile, so that threads wait once for each block.
 *
 * Or each part of B is packed by who needs it, just before: where an engine unpacks what it
 * needs, and with so few rows of A that all of them are one piece.  Such a part never leaves
 * the nearest cache, and what comes next is fetched meanwhile. */
#include "matrix.h"

#include "../simd.h"

enum {
    BLOCK_A = 16 << 20,    /* bytes of packed A ... */
    BLOCK_B = 4 << 20,     /* ... and B, of which there are two */
    MOST_K = 16384,        /* longer sums are made in several rounds */
    MOST_IN_PANEL = 32768, /* nr * kc of any engine */
    LINE = 32,             /* elements of 16 bits in a line of the cache; of whole kr */
    CHUNK = 16,            /* steps of several panels that are packed in turns */
    ALIGN = 64
};

/* ---- From sums to results ----------------------------------------------- */

/* n <= VF elements at p; the other lanes are 0. */
static inline vf load(const void *p, wk_dtype dtype, int64_t n)
{
    float row[VF] = { 0 };
    if (dtype == WK_F32)
        return n == VF ? vload(p) : vload_part(p, n);
    if (dtype == WK_BF16 && n == VF)
        return vload_bf16(p);
    if (dtype == WK_F16 && n == VF)
        return vload_f16(p);
    wk_dtypes[dtype].load[WK_AS_F32](row, p, n, 1);
    return vload(row);
}

static inline void store(void *p, wk_dtype dtype, vf x, int64_t n)
{
    float row[VF];
    if (dtype == WK_F32) {
        if (n == VF)
            vstore(p, x);
        else
            vstore_part(p, x, n);
    } else if (dtype == WK_BF16 && n == VF) {
        vstore_bf16(p, x);
    } else if (dtype == WK_F16 && n == VF) {
        vstore_f16(p, x);
    } else {
        vstore(row, x);
        wk_dtypes[dtype].store[WK_AS_F32](p, row, n, 1);
    }
}

static inline vf activate(wk_act act, vf x)
{
    switch (act) {
    case WK_ACT_NONE:
        break;
    case WK_ACT_SILU:
        return x / (1.0f + vexp(-x));
    case WK_ACT_GELU:
        for (int i = 0; i < VF; i++)
            x[i] *= 0.5f * erfcf(-0.70710678f * x[i]);
        return x;
    case WK_ACT_GELU_TANH:
        return x / (1.0f + vexp(-1.59576912f * x * (1.0f + 0.044715f * x * x)));
    case WK_ACT_RELU:
        return vmax(vset(0), x);
    }
    return x;
}

/* Row i of the result, count columns from j on, from its sums. */
static void finish_row(const wk_gemm *g, int64_t i, int64_t j, int64_t count, const float *sum,
                       const float *sum2)
{
    char *out = (char *)wk_mat_at(g->out, i, j).data;
    char *add = g->add.data ? (char *)wk_mat_at(g->add, i, j).data : NULL;
    for (int64_t c = 0; c < count; c += VF) {
        int64_t n = wk_min_i64(VF, count - c);
        vf      x = vload(sum + c);
        if (g->bias[0])
            x += load(g->bias[0] + j + c, WK_F32, n);
        if (sum2) {
            vf y = vload(sum2 + c);
            if (g->bias[1])
                y += load(g->bias[1] + j + c, WK_F32, n);
            x = activate(g->act, x) * y;
        }
        if (add)
            x += load(add + c * (int64_t)wk_dtypes[g->add.dtype].size, g->add.dtype, n);
        store(out + c * (int64_t)wk_dtypes[g->out.dtype].size, g->out.dtype, x, n);
    }
}

void WK_ISA(gemm_finish)(const wk_gemm *g, int64_t i, int64_t j, int rows, int cols,
                         const float *sum, const float *sum2, int64_t ld)
{
    for (int r = 0; r < rows; r++)
        finish_row(g, i + r, j, cols, sum + r * ld, sum2 ? sum2 + r * ld : NULL);
}

/* Are the sums the result? */
bool WK_ISA(gemm_is_plain)(const wk_gemm *g)
{
    return g->out.dtype == WK_F32 && !g->bias[0] && !g->add.data && !g->b[1].data;
}

/* ---- The plan ----------------------------------------------------------- */

typedef struct {
    const wk_gemm   *g;
    const wk_engine *e;
    int              sides;  /* Bs */
    bool             packs;  /* B is packed beforehand */
    bool             late;   /* B is packed as it is needed, for all rows */
    int64_t          parts;  /* panels of which a step is packed, or unpacked, together; or 0 */
    int64_t          kp, kc; /* k rounded up, and a step of it */
    int64_t          mb, nb; /* panels in a block ... */
    int64_t          mc, nc; /* ... and in a piece */
    size_t           a_panel, b_panel;
    char            *a, *b[2]; /* B twice: one is read, one is packed; sides after one another */
    char            *sums;     /* of each thread, and behind them its parts of B */
    size_t           sums_size, part_at, b_part;
    wk_stages        stages;
} plan;

static bool in_rows(const wk_gemm *g) { return g->b[0].col == 1; }

static void shape_work(plan *p, int threads)
{
    const wk_gemm   *g = p->g;
    const wk_engine *e = p->e;
    int64_t          mt = divide_up(g->m, e->mr), nt = divide_up(g->n, e->nr);
    p->kp = divide_up(g->k, e->kr) * e->kr;
    p->kc = divide_up(p->kp, divide_up(p->kp, e->kc));
    p->kc = wk_min_i64(divide_up(p->kc, LINE) * LINE, p->kp);
    p->a_panel = (size_t)p->kp * (size_t)(e->mr * e->a_size);
    p->b_panel = (size_t)p->kp * (size_t)(e->nr * e->b_size);
    p->a_panel = (p->a_panel + ALIGN - 1) / ALIGN * ALIGN;
    p->b_panel = (p->b_panel + ALIGN - 1) / ALIGN * ALIGN;
    p->mc = p->late ? mt : wk_min_i64(e->mc / e->mr, mt);
    p->nc = wk_min_i64(wk_max_i64(e->nc / e->nr / p->sides, 1), nt);
    int64_t room_a = wk_max_i64(BLOCK_A / (int64_t)p->a_panel, p->mc);
    int64_t room_b = (BLOCK_B + threads * (BLOCK_B / 8)) / ((int64_t)p->b_panel * p->sides);
    p->mb = divide_up(mt, divide_up(mt, room_a));
    p->nb = !p->packs ? nt : divide_up(nt, divide_up(nt, wk_max_i64(room_b, p->nc)));
    /* enough pieces for all threads to end at about the same time */
    const int64_t least = p->late ? mt : 1; /* of mc */
    while (divide_up(p->mb, p->mc) * divide_up(p->nb, p->nc) < 4 * threads &&
           (p->mc > least || p->nc > 1))
        if (p->nc > 1 && (p->mc <= least || p->nc * e->nr >= p->mc * e->mr))
            p->nc = divide_up(p->nc, 2);
        else
            p->mc = divide_up(p->mc, 2);
    p->sums_size = (size_t)(p->mc * p->nc * p->sides) * (size_t)(e->mr * e->nr) * sizeof(float);
    p->part_at = p->sums_size = (p->sums_size + ALIGN - 1) / ALIGN * ALIGN;
    p->parts = e->unpack ? 1 : !p->late ? 0 : in_rows(g) ? 1 : p->nc;
    p->b_part = ((size_t)(p->kc * e->nr * e->b_size) + ALIGN - 1) / ALIGN * ALIGN;
    p->sums_size += (size_t)(p->parts * p->sides) * p->b_part;
}

/* ---- Packing ------------------------------------------------------------ */

static void pack_a(const plan *p, int64_t panel, char *to)
{
    const wk_gemm   *g = p->g;
    const wk_engine *e = p->e;
    int64_t          i = panel * e->mr, rows = wk_min_i64(e->mr, g->m - i);
    for (int64_t at = 0; at < p->kp; at += p->kc) {
        wk_mat x = wk_mat_at(g->a, i, at);
        e->pack_a(to + at * e->mr * e->a_size, &x, rows, wk_min_i64(p->kc, g->k - at));
    }
}

/* A part of B in panels as the engine's own pack can read it: rows of bf16, of whole pairs, in
 * room.  at is a multiple of 2. */
static wk_mat read_panels(const wk_mat *b, int64_t j, int64_t cols, int64_t at, int64_t k,
                          uint32_t *room)
{
    int64_t pairs = divide_up(k, 2);
    for (int64_t c = 0, n; c < cols; c += n) {
        int64_t         beside = (j + c) % 16; /* in the panel */
        const uint32_t *from =
            (const uint32_t *)b->data + (j + c - beside) * b->row / 2 + at / 2 * 16 + beside;
        n = wk_min_i64(16 - beside, cols - c);
        for (int64_t first = 0, end; first < pairs; first = end) { /* a line of each row */
            end = wk_min_i64(first + 16, pairs);
            for (int64_t i = 0; i < n; i++)
                for (int64_t p = first; p < end; p++)
                    room[(c + i) * pairs + p] = from[p * 16 + i];
        }
    }
    return (wk_mat){ room, WK_BF16, pairs * 2, 1 };
}

/* k steps, or up to the end, of a panel of B. */
static void pack_b(const plan *p, int64_t panel, int side, int64_t at, int64_t k, char *to)
{
    const wk_gemm   *g = p->g;
    const wk_engine *e = p->e;
    uint32_t         room[MOST_IN_PANEL / 2];
    int64_t          j = panel * e->nr, cols = wk_min_i64(e->nr, g->n - j);
    k = wk_min_i64(k, g->k - at);
    wk_mat x =
        g->panels ? read_panels(&g->b[side], j, cols, at, k, room) : wk_mat_at(g->b[side], j, at);
    e->pack_b(to, &x, cols, k);
}

/* k steps of count panels of B.  Where columns lie beside each other, all panels go on together,
 * as every step is a row elsewhere in memory. */
static void pack_parts(const plan *p, int64_t panel, int64_t count, int side, int64_t at, int64_t k,
                       char *to)
{
    const wk_engine *e = p->e;
    const int64_t    chunk = in_rows(p->g) ? k : CHUNK, step = e->nr * e->b_size;
    if (e->unpack)
        e->unpack(to, p->g, side, panel, at, k);
    else
        for (int64_t done = 0; done < k; done += chunk)
            for (int64_t j = 0; j < count; j++)
                pack_b(p, panel + j, side, at + done, wk_min_i64(chunk, k - done),
                       to + (size_t)j * p->b_part + done * step);
}

/* ---- Pieces ------------------------------------------------------------- */

/* The panels that a piece is about: i .. i_end of A, j .. j_end of B; both counted from
 * the first of their block, which begins at a0, b0. */
typedef struct {
    int64_t a0, b0, i, i_end, j, j_end;
    char   *b; /* packed block */
    float  *sums;
} piece;

static const char *panel_of_b(const plan *p, const piece *w, int64_t j, int side, int64_t at,
                              int64_t k, int64_t *group)
{
    const wk_engine *e = p->e;
    const wk_mat    *b = &p->g->b[side];
    if (p->parts) {
        const int64_t which = (j - w->j) % p->parts;
        char         *to = (char *)w->sums + p->part_at + (size_t)(side * p->parts) * p->b_part;
        *group = k * 32;
        if (which == 0)
            pack_parts(p, w->b0 + j, wk_min_i64(p->parts, w->j_end - j), side, at, k, to);
        return to + (size_t)which * p->b_part;
    }
    if (!p->packs) { /* groups of 16 columns, all of their k after one another */
        *group = b->row * 32;
        return (const char *)b->data + (w->b0 + j) * (e->nr / 16) * *group + at * 32;
    }
    *group = k * 32;
    return w->b + (size_t)(side * p->nb + j) * p->b_panel + at * e->nr * e->b_size;
}

/* Fetch a share of the rows of B that are packed after step at of panel j: what row i of a piece's
 * panels has to do with it.  (Always inlined, as GCC leaves out calls of a function that only
 * fetches.) */
INLINE void expect_part(const plan *p, const piece *w, int64_t j, int side, int64_t at, int64_t i)
{
    const wk_gemm *g = p->g;
    if (++side == p->sides)
        side = 0, j++;
    if (j == w->j_end)
        j = w->j, at += p->kc;
    if (at >= g->k)
        return;
    int64_t       col = (w->b0 + j) * p->e->nr, k = wk_min_i64(p->kc, g->k - at);
    wk_mat        b = wk_mat_at(g->b[side], col, at);
    const int64_t size = (int64_t)wk_dtypes[b.dtype].size, n = w->i_end - w->i;
    int64_t       lines = (k * size + 63) / 64, count = lines * wk_min_i64(p->e->nr, g->n - col);
    for (int64_t line = count * i / n; line < count * (i + 1) / n; line++)
        __builtin_prefetch((const char *)b.data + line / lines * b.row * size + line % lines * 64,
                           0, 2);
}

/* Fetch where results will go, while they are still computed. */
INLINE void expect(const wk_gemm *g, int64_t i, int64_t j, int rows, int cols)
{
    const char *out = wk_mat_at(g->out, i, j).data;
    int64_t     size = (int64_t)wk_dtypes[g->out.dtype].size;
    for (int r = 0; r < rows; r++, out += g->out.row * size)
        for (int64_t at = 0; at < cols * size; at += 64)
            __builtin_prefetch(out + at, 1);
}

static void compute(const plan *p, const piece *w)
{
    const wk_gemm   *g = p->g;
    const wk_engine *e = p->e;
    const int64_t    mt = w->i_end - w->i, tile = e->mr * e->nr;
    const bool       direct = WK_ISA(gemm_is_plain)(g) && !(p->late && p->kp > p->kc);
    for (int64_t at = 0; at < p->kp; at += p->kc)
        for (int64_t j = w->j; j < w->j_end; j++)
            for (int side = 0; side < p->sides; side++) {
                int64_t      col = (w->b0 + j) * e->nr;
                wk_gemm_tile t = { .k = wk_min_i64(p->kc, p->kp - at),
                                   .cols = (int)wk_min_i64(e->nr, g->n - col),
                                   .add = at > 0 };
                t.b = panel_of_b(p, w, j, side, at, t.k, &t.group);
                for (int64_t i = w->i; i < w->i_end; i++) {
                    int64_t row = (w->a0 + i) * e->mr;
                    float *sums = w->sums + (((j - w->j) * p->sides + side) * mt + i - w->i) * tile;
                    t.rows = (int)wk_min_i64(e->mr, g->m - row);
                    t.a = p->a + (size_t)i * p->a_panel + at * e->mr * e->a_size;
                    t.next = i + 1 < w->i_end ? (const char *)t.a + p->a_panel : NULL;
                    bool in_place = direct && t.rows == e->mr && t.cols == e->nr;
                    t.c = in_place ? (float *)wk_mat_at(g->out, row, col).data : sums;
                    t.ldc = in_place ? g->out.row : e->nr;
                    if (at + p->kc >= p->kp)
                        expect(g, row, col, t.rows, t.cols);
                    if (p->late && in_rows(g))
                        expect_part(p, w, j, side, at, i - w->i);
                    e->kernel(&t);
                    if (!in_place && at + p->kc >= p->kp && side == p->sides - 1)
                        WK_ISA(gemm_finish)
                    (g, row, col, t.rows, t.cols, side ? sums - mt * tile : sums,
                     side ? sums : NULL, e->nr);
                }
            }
}

/* ---- Stages ------------------------------------------------------------- */

typedef struct {
    plan    *p;
    int      thread;
    wk_stage stage;
} worker;

static void pack_b_item(const plan *p, int64_t b0, int64_t item, char *to)
{
    int     side = (int)(item % p->sides);
    int64_t panel = item / p->sides;
    to += (size_t)(side * p->nb + panel) * p->b_panel;
    for (int64_t at = 0; at < p->kp; at += p->kc)
        pack_b(p, b0 + panel, side, at, p->kc, to + at * p->e->nr * p->e->b_size);
}

/* The block of A from panel a0 on, and the first one of B. */
static void pack_stage(worker *w, int64_t a0, int64_t a_count)
{
    plan   *p = w->p;
    int64_t item, nt = divide_up(p->g->n, p->e->nr);
    bool    have_b = !p->packs || (a0 > 0 && p->nb >= nt);
    int64_t b_items = have_b ? 0 : wk_min_i64(p->nb, nt) * p->sides;
    while ((item = wk_stage_take(&w->stage, a_count + b_items)) >= 0)
        if (item < a_count)
            pack_a(p, a0 + item, p->a + (size_t)item * p->a_panel);
        else
            pack_b_item(p, 0, item - a_count, p->b[0]);
}

/* The products of two blocks, and the packing of the next block of B. */
static void compute_stage(worker *w, int64_t a0, int64_t a_count, int64_t b0, int turn)
{
    plan   *p = w->p;
    int64_t item, nt = divide_up(p->g->n, p->e->nr), after = b0 + p->nb;
    int64_t b_count = wk_min_i64(p->nb, nt - b0), more = wk_min_i64(p->nb, nt - after) * p->sides;
    int64_t down = divide_up(a_count, p->mc), across = divide_up(b_count, p->nc);
    int64_t pieces = down * across, items = pieces + (p->packs ? wk_max_i64(more, 0) : 0);
    while ((item = wk_stage_take(&w->stage, items)) >= 0) {
        if (item >= pieces) {
            pack_b_item(p, after, item - pieces, p->b[turn ^ 1]);
            continue;
        }
        int64_t i = item / across * p->mc, j = item % across * p->nc;
        void   *sums = p->sums + (size_t)w->thread * p->sums_size;
        compute(p, &(piece){ a0, b0, i, wk_min_i64(i + p->mc, a_count), j,
                             wk_min_i64(j + p->nc, b_count), p->b[turn], sums });
    }
}

static void work(void *ctx, int thread, int threads)
{
    plan            *p = ctx;
    worker           w = { .p = p, .thread = thread, .stage = wk_stage_first(&p->stages) };
    const wk_engine *e = p->e;
    int64_t          mt = divide_up(p->g->m, e->mr), nt = divide_up(p->g->n, e->nr);
    (void)threads;
    if (e->begin)
        e->begin();
    for (int64_t a0 = 0; a0 < mt; a0 += p->mb) {
        int64_t a_count = wk_min_i64(p->mb, mt - a0);
        int     turn = 0;
        pack_stage(&w, a0, a_count);
        for (int64_t b0 = 0; b0 < nt; b0 += p->nb, turn ^= 1)
            compute_stage(&w, a0, a_count, b0, turn);
    }
    if (e->end)
        e->end();
}

static void product(const wk_gemm *g, int threads)
{
    plan p = { .g = g, .e = g->engine, .sides = g->b[1].data ? 2 : 1 };
    p.late = g->m <= g->engine->late && !g->panels;
    p.packs = !p.late && !g->engine->unpack && !(g->panels && g->engine->pairs);
    shape_work(&p, threads);
    size_t size_a = (size_t)p.mb * p.a_panel;
    size_t size_b = p.packs ? (size_t)(p.nb * p.sides) * p.b_panel : 0;
    bool   twice = p.nb * p.e->nr < g->n;
    p.a = wk_scratch(size_a + size_b * (twice ? 2 : 1) + (size_t)threads * p.sums_size);
    if (!p.a)
        return;
    p.b[0] = p.a + size_a;
    p.b[1] = twice ? p.b[0] + size_b : p.b[0];
    p.sums = p.b[1] + size_b;
    wk_team_run(threads, work, &p);
}

void WK_ISA(gemm)(const wk_gemm *g, int threads)
{
    if (g->k <= MOST_K || g->b[1].data) {
        product(g, threads);
        return;
    }
    wk_gemm part = *g;
    bool    in_place = g->out.dtype == WK_F32;
    size_t  bytes = (size_t)(g->m * g->n) * sizeof(float);
    float  *sums = in_place ? NULL : wk_alloc_pages(bytes);
    if (!in_place && !sums)
        return;
    if (sums)
        part.out = (wk_mat){ sums, WK_F32, g->n, 1 };
    for (int64_t at = 0; wk_ok() && at < g->k; at += MOST_K) {
        part.k = wk_min_i64(MOST_K, g->k - at);
        part.a = wk_mat_at(g->a, 0, at);
        if (g->panels)
            part.b[0].data = (const char *)g->b[0].data + wk_bytes_at(g->b[0].dtype, at) * 16;
        else
            part.b[0] = wk_mat_at(g->b[0], 0, at);
        if (at > 0)
            part.add = part.out, part.bias[0] = NULL;
        if (at + MOST_K >= g->k)
            part.out = g->out;
        product(&part, threads);
    }
    wk_free_pages(sums, bytes);
}
