// SPDX-License-Identifier: MIT OR Apache-2.0
/* quants.c - the driver of products with quantized weights: see quants.h.
 *
 * Threads round rows of x to bytes and then take pieces of the result.  For a piece
 * with many rows a part of each panel is unpacked once (packed just before, if the weight still
 * waits for that), and met with all rows of the piece; with few rows a thread reads panels one
 * after another as one stream.  Weights that stay rows are read 16 at a time, like a panel. */
#include "../quants.h"
#include "matrix.h"

enum {
    SIDE = WK_SIDE,
    FEW = WK_ROW_FEW, /* rows for which nothing is unpacked */
    STEP = 16,        /* units of a panel that are unpacked together */
    BLOCK_ROWS = 256, /* rows of a piece */
    STREAM = 1 << 20  /* bytes of weight in a piece of few rows */
};

enum { ROUND, MULTIPLY, STAGES };

typedef struct plan plan;

struct plan {
    const wk_gemm          *g;
    const wk_quant_kernels *kernels;
    const wk_quant_rows    *rows;
    wk_quant_job            j;
    int                     sides;
    int64_t                 units;
    int64_t                 panels, groups; /* of columns; of rows */
    int64_t                 down, across;   /* groups and panels of a piece */
    int64_t                 panel_bytes, chunk_bytes;
    int64_t                 x_words; /* of a group of rows */
    uint32_t               *x;
    const plan             *lender; /* a plan before with the same x; or NULL */
    char                   *room;   /* each thread's */
    size_t                  room_size;
    int64_t                 items[STAGES];
};

typedef struct {
    plan     *p;
    int64_t   items[STAGES]; /* of all */
    wk_stages stages;
} plans;

/* ---- x ------------------------------------------------------------------ */

static void quantize_group(const plan *p, int64_t group, float *room)
{
    const wk_gemm *g = p->g;
    int            rows = p->j.rows;
    uint32_t      *x = p->x + group * p->x_words;
    if ((group + 1) * rows > g->m)
        memset(x, 0, (size_t)p->x_words * sizeof *x);
    for (int64_t i = 0; i < rows && group * rows + i < g->m; i++) {
        const float *row = wk_mat_at(g->a, group * rows + i, 0).data;
        if (g->a.dtype != WK_F32 || g->a.col != 1) {
            wk_dtypes[g->a.dtype].load[WK_AS_F32](room, row, g->k, g->a.col);
            row = room;
        }
        if (p->j.expand && p->j.few)
            p->rows->quantize(&p->j, row, p->units, x + i * WK_ROW_RECORD);
        else
            p->kernels->quantize(&p->j, row, p->units,
                                 x + i * (p->j.records ? wk_quant_record(&p->j) : 1));
    }
    if (p->kernels->zip && !p->j.few)
        p->kernels->zip(x, p->units, wk_quant_record(&p->j) * rows, rows);
}

/* ---- Few rows ----------------------------------------------------------- */

static int64_t outputs(const plan *p, int64_t panel)
{
    return wk_min_i64(WK_PANEL, p->g->n - panel * WK_PANEL);
}

/* Where a panel begins, or as many rows. */
static const char *panel_at(const plan *p, int side, int64_t panel)
{
    return (const char *)p->g->b[side].data + panel * p->panel_bytes;
}

static void few_rows(const plan *p, int64_t begin, int64_t end)
{
    const wk_gemm  *g = p->g;
    int             numbers = p->j.layout->numbers;
    wk_quant_few_fn few = g->m > 1 ? p->kernels->few[numbers] : p->kernels->one[numbers];
    float           sums[2][FEW * SIDE];
    for (int64_t at = begin; at < end; at += SIDE / WK_PANEL) {
        int64_t n = wk_min_i64(SIDE / WK_PANEL, end - at);
        for (int s = 0; s < p->sides; s++)
            for (int64_t i = 0; i < n; i++) {
                const char *w = panel_at(p, s, at + i);
                if (p->j.expand)
                    p->rows->few(&p->j, w, outputs(p, at + i), p->x, sums[s] + i * WK_PANEL);
                else
                    few(&p->j, w, p->x, sums[s] + i * WK_PANEL);
            }
        WK_ISA(gemm_finish)
        (g, 0, at * WK_PANEL, (int)g->m, (int)wk_min_i64(n * WK_PANEL, g->n - at * WK_PANEL),
         sums[0], p->sides > 1 ? sums[1] : NULL, SIDE);
    }
}

/* ---- Tiles -------------------------------------------------------------- */

typedef struct {
    char  *quads;
    float *scale, *offset, *sums;
    char  *chunk; /* of a weight that waits */
} room;

static room room_of(const plan *p, int thread)
{
    room r = { .quads = p->room + (size_t)thread * p->room_size };
    r.scale = (float *)(void *)(r.quads + STEP * WK_QUADS * 2 * WK_QUAD_BYTES);
    r.offset = r.scale + STEP * 2 * 2 * WK_PANEL;
    r.sums = r.offset + STEP * 2 * 2 * WK_PANEL;
    r.chunk = (char *)(r.sums + p->sides * p->down * p->j.rows * SIDE);
    return r;
}

static size_t size_of_room(const plan *p)
{
    size_t sums = (size_t)(p->sides * p->down * p->j.rows * SIDE);
    return STEP * WK_QUADS * 2 * WK_QUAD_BYTES + (8 * STEP * WK_PANEL + sums) * sizeof(float) +
           (size_t)(p->g->waits ? p->chunk_bytes : 0);
}

/* Units of a panel as bytes, with their scales, beside those of another panel. */
static void unpack(const plan *p, int side, int64_t panel, int64_t unit, int64_t units,
                   const room *r, int beside)
{
    const wk_quant_layout *l = p->j.layout;
    const int64_t          in_chunk = WK_CHUNK / WK_UNIT, groups = p->j.bits->parts;
    const char            *w = panel_at(p, side, panel);
    float                  scale[2][WK_CHUNK_GROUPS * WK_PANEL];
    for (int64_t u = 0; u < units; u += in_chunk) {
        int64_t     n = wk_min_i64(in_chunk, units - u), blocks = n * WK_UNIT / p->j.type->block;
        int64_t     first = (unit + u) / in_chunk * p->chunk_bytes;
        const char *at = p->g->waits ? r->chunk : w + first;
        if (p->g->waits)
            wk_quants_pack_chunk(p->g->b[side].dtype, w + first / WK_PANEL,
                                 p->panel_bytes / WK_PANEL, outputs(p, panel), n * WK_UNIT,
                                 r->chunk);
        else
            for (int64_t i = 0; i < p->chunk_bytes; i += 64) /* what is unpacked next */
                __builtin_prefetch(at + STEP / in_chunk * p->chunk_bytes + i, 0, 2);
        p->kernels->scales[l->scales]((const uint8_t *)at, blocks, scale[0], scale[1]);
        for (int64_t i = 0; i < n * groups; i++) {
            int64_t to = ((u * groups + i) * 2 + beside) * WK_PANEL;
            memcpy(r->scale + to, scale[0] + i * WK_PANEL, WK_PANEL * sizeof(float));
            if (p->j.bits->least)
                memcpy(r->offset + to, scale[1] + i * WK_PANEL, WK_PANEL * sizeof(float));
        }
        p->kernels->unpack[l->numbers](&p->j, at + blocks * wk_quant_head(l), n,
                                       r->quads + (u * WK_QUADS * 2 + beside) * WK_QUAD_BYTES);
    }
}

/* Groups of rows i .. i_end with up to four panels from j on; of an odd number the last
 * one counts twice. */
static void tiles(const plan *p, int64_t i, int64_t i_end, int64_t j, int64_t panels, int side,
                  const room *r)
{
    int64_t pairs = (panels + 1) / 2, rows = p->j.rows;
    int64_t record = wk_quant_record(&p->j) * rows;
    float  *sums = r->sums + side * p->down * rows * SIDE;
    for (int64_t unit = 0; unit < p->units; unit += STEP)
        for (int64_t pair = 0; pair < pairs; pair++) {
            int64_t units = wk_min_i64(STEP, p->units - unit);
            for (int beside = 0; beside < 2; beside++) {
                int64_t panel = j + wk_min_i64(2 * pair + beside, panels - 1);
                if (p->j.expand)
                    p->kernels->rows->unpack(&p->j, panel_at(p, side, panel), outputs(p, panel),
                                             unit, units, r->quads + beside * WK_QUAD_BYTES,
                                             r->scale + beside * WK_PANEL);
                else
                    unpack(p, side, panel, unit, units, r, beside);
            }
            if (p->kernels->zip)
                p->kernels->zip((uint32_t *)(void *)r->quads, units, WK_QUADS * 2 * WK_PANEL,
                                2 * WK_PANEL);
            wk_quant_tile t = { .w = r->quads,
                                .scale = r->scale,
                                .offset = p->j.bits->least ? r->offset : NULL,
                                .units = units,
                                .rows = p->j.rows,
                                .parts = p->j.bits->parts,
                                .fit = wk_quant_fit(*p->j.bits),
                                .add = unit > 0 };
            for (int64_t group = i; group < i_end; group++) {
                t.x = p->x + group * p->x_words + unit * record;
                t.c = sums + (group - i) * rows * SIDE + pair * 2 * WK_PANEL;
                p->kernels->tile(&t);
            }
        }
}

static void piece(const plan *p, int64_t i, int64_t i_end, int64_t begin, int64_t end,
                  const room *r)
{
    const wk_gemm *g = p->g;
    int64_t        row = i * p->j.rows;
    int            rows = (int)(wk_min_i64(i_end * p->j.rows, g->m) - row);
    for (int64_t j = begin; j < end; j += SIDE / WK_PANEL) {
        int64_t panels = wk_min_i64(SIDE / WK_PANEL, end - j);
        int64_t col = j * WK_PANEL;
        for (int s = 0; s < p->sides; s++)
            tiles(p, i, i_end, j, panels, s, r);
        WK_ISA(gemm_finish)
        (g, row, col, rows, (int)wk_min_i64(panels * WK_PANEL, g->n - col), r->sums,
         p->sides > 1 ? r->sums + p->down * p->j.rows * SIDE : NULL, SIDE);
    }
}

/* ---- The driver --------------------------------------------------------- */

/* Pieces of nearly the same size. */
static void take_piece(const plan *p, int64_t item, const room *r)
{
    int64_t across = divide_up(p->panels, p->across);
    int64_t i = item / across * p->down, j = item % across;
    int64_t begin = j * p->panels / across, end = (j + 1) * p->panels / across;
    if (p->j.few)
        few_rows(p, begin, end);
    else
        piece(p, i, wk_min_i64(i + p->down, p->groups), begin, end, r);
}

static void work(void *ctx, int thread, int threads)
{
    plans   *all = ctx;
    wk_stage stage = wk_stage_first(&all->stages);
    int64_t  item;
    (void)threads;
    for (int s = 0; s < STAGES; s++)
        while ((item = wk_stage_take(&stage, all->items[s])) >= 0) {
            const plan *p = all->p;
            for (; item >= p->items[s]; p++)
                item -= p->items[s];
            room r = room_of(p, thread);
            if (s == ROUND)
                quantize_group(p, item, (float *)(void *)r.quads);
            else
                take_piece(p, item, &r);
        }
}

/* How rows and columns are shared out. */
static void shape_work(plan *p, int threads)
{
    int64_t m = p->g->m;
    p->j.records = p->j.few || p->kernels->records;
    if (p->j.records) /* nearly the same number for all */
        p->j.rows = (int)divide_up(m, divide_up(m, WK_TILE_RECORDS));
    else
        p->j.rows = divide_up(m, 4) * 4 < divide_up(m, WK_TILE) * WK_TILE && m <= 16 ? 4 : WK_TILE;
    p->groups = divide_up(m, p->j.rows);
    p->down = wk_min_i64(BLOCK_ROWS / p->j.rows, p->groups);
    p->across = SIDE / WK_PANEL;
    if (p->groups == 1) { /* long streams, as many for each thread */
        int64_t share = divide_up(p->panels, threads);
        int64_t stream = wk_max_i64(STREAM / (p->panel_bytes * p->sides), 1);
        p->across = divide_up(share, divide_up(share, stream));
    }
}

static void prepare(plan *p, const wk_gemm *g)
{
    static const wk_quant_bits bits_of_rows[] = { { .low = 7, .parts = 1 },
                                                  { .low = 7, .parts = 2 } };
    *p = (plan){ .g = g, .kernels = wk_cpu_current()->quant };
    wk_quant_job *j = &p->j;
    int           type = g->b[0].dtype - WK_Q4_0;
    j->few = g->m <= FEW;
    j->type = &wk_quants[type];
    j->layout = &wk_quant_layouts[type];
    j->bits = &wk_quant_bits_of[j->layout->numbers];
    j->k = g->k;
    if (!g->panels && !g->waits) {
        p->rows = wk_quant_rows_of(p->kernels);
        j->expand = p->rows->expand[type] ? p->rows->expand[type] : p->kernels->rows->expand[type];
        j->points = j->type->grid ? wk_quant_points(j->type->grid - 1) : NULL;
        j->bits = &bits_of_rows[j->type->group < WK_UNIT];
    }
    int bias = j->few ? p->kernels->bias : p->kernels->tile_bias;
    j->zero = j->expand ? WK_ROW_ZERO : !wk_quant_fit(*j->bits) ? bias : j->type->zero;
    for (int i = 0; i < 16 && j->bits->table; i++)
        j->values[i] = (int8_t)(j->type->values[i] ^ (p->kernels->bias ? 0x80 : 0));
    p->sides = g->b[1].data ? 2 : 1;
#if defined __x86_64__
    j->ask = __builtin_cpu_is("intel");
#endif
    p->units = g->k / WK_UNIT;
    p->panels = divide_up(g->n, WK_PANEL);
    p->panel_bytes = g->k / j->type->block * j->type->bytes * WK_PANEL;
    p->chunk_bytes = WK_CHUNK / j->type->block * j->type->bytes * WK_PANEL;
}

static size_t round_up(size_t bytes) { return (bytes + 63) / 64 * 64; }

/* Do both read the same records of x? */
static bool are_alike(const plan *p, const plan *q)
{
    return p->j.bits->parts == q->j.bits->parts && p->j.bits->least == q->j.bits->least &&
           p->j.zero == q->j.zero && !p->j.expand == !q->j.expand;
}

void WK_ISA(gemm_quant)(const wk_gemm *g, int count, int threads)
{
    plan   p[WK_MOST_LAYERS];
    plans  all = { .p = p };
    size_t x_bytes[WK_MOST_LAYERS], all_bytes = 0, most = (size_t)g->k * sizeof(float);
    for (int i = 0; i < count; i++) {
        prepare(&p[i], g + i);
        shape_work(&p[i], threads);
        p[i].x_words = p[i].units * wk_quant_record(&p[i].j) * p[i].j.rows;
        for (int k = 0; k < i && !p[i].lender; k++)
            p[i].lender = are_alike(&p[i], &p[k]) ? &p[k] : NULL;
        x_bytes[i] = p[i].lender ? 0 : round_up((size_t)(p[i].groups * p[i].x_words) * 4);
        all_bytes += x_bytes[i];
        /* One row is rounded by the caller, at once. */
        p[i].items[ROUND] = g->m > 1 && !p[i].lender ? p[i].groups : 0;
        p[i].items[MULTIPLY] =
            divide_up(p[i].panels, p[i].across) * divide_up(p[i].groups, p[i].down);
        for (int s = 0; s < STAGES; s++)
            all.items[s] += p[i].items[s];
        size_t size = g->m > 1 ? size_of_room(&p[i]) : 0;
        most = size > most ? size : most;
    }
    most = round_up(most);
    char *memory = wk_scratch(all_bytes + (size_t)threads * most), *rooms = memory;
    if (!memory)
        return;
    rooms += all_bytes;
    for (int i = 0; i < count; memory += x_bytes[i++]) {
        p[i].room = rooms, p[i].room_size = most;
        p[i].x = p[i].lender ? p[i].lender->x : (uint32_t *)(void *)memory;
        if (g->m == 1 && !p[i].lender)
            quantize_group(&p[i], 0, (float *)(void *)rooms);
    }
    wk_team_run(threads, work, &all);
}
