// SPDX-License-Identifier: MIT OR Apache-2.0
/* attention.c - attention without the matrix of scores.
 *
 * A block of queries walks over the keys it sees, a block of KEYS at a time, and keeps
 * for each row the largest score, the sum of 2^(score - largest) and the values weighted
 * so; when the largest one grows, what was summed is scaled down (Dao et al., 2022).
 * Where queries are few the keys are cut into chunks, as s alone says, whose sums are
 * merged in order: no result depends on the number of threads. */
#include "attention.h"

enum { CHUNK = 512, FEW_BLOCKS = 64 };

typedef struct {
    attention a;
    int64_t   blocks;       /* of queries, for one group */
    int64_t   parts, chunk; /* of keys, for one block */
    int64_t   padded;       /* e, in whole vectors */
    float    *partial;      /* sums of each block and part, if there is more than one */
    bool      plain;        /* scores are products times a factor */
} job;

typedef struct {
    const job   *j;
    int64_t      b, g, first, rows; /* the first query, and rows of all heads */
    float       *y, *top, *sum;     /* [rows, padded], [rows], [rows] */
    const float *q, *v;             /* rows q_row and v_row apart */
    int64_t      q_row, v_row;
    float       *k, *scores, *keep;      /* panels, [rows, KEYS], [rows] */
    float       *q_room, *v_room, *work; /* for packed rows; for what is in between */
} block;

static size_t sums_size(const job *j)
{
    return (size_t)(j->a.queries * j->a.share * (j->padded + 2));
}

static void point_sums(block *x, float *at)
{
    x->y = at;
    x->top = at + x->rows * x->j->padded;
    x->sum = x->top + x->rows;
}

static int64_t query_of(const block *x, int64_t row) { return x->first + row / x->j->a.share; }
static int64_t head_of(const block *x, int64_t row)
{
    return x->g * x->j->a.share + row % x->j->a.share;
}

/* ---- A block of queries and a block of keys ----------------------------- */

/* What n rows see of the keys from first on: begin .. end, counted from there. */
static bool sees(const block *x, int64_t row, int64_t n, int64_t first, int64_t keys,
                 int64_t *begin, int64_t *end)
{
    int64_t unused;
    WK_ISA(attention_sight)(&x->j->a, query_of(x, row), begin, &unused);
    WK_ISA(attention_sight)(&x->j->a, query_of(x, row + n - 1), &unused, end);
    *begin = wk_max_i64(*begin - first, 0);
    *end = wk_min_i64(*end - first, keys);
    return *begin < *end;
}

/* Scores of a row become 2^(score - top): those of keys begin .. end of the block, which
 * row's strip sees. */
static void soften(block *x, int64_t row, int64_t first, int64_t begin, int64_t end)
{
    const attention *a = &x->j->a;
    float           *p = x->scores + row * KEYS, factor = a->factor;
    int64_t          from, to, last = round_up(end, VF), i = query_of(x, row);
    begin = begin / VF * VF;
    if (!x->j->plain) {
        score_row at = { x->b, head_of(x, row), i, first + begin, end - begin };
        WK_ISA(attention_scores)(a, at, p + begin, NULL, x->work);
        factor = 1;
    }
    sees(x, row, 1, first, end, &from, &to);
    for (int64_t j = begin; j < wk_min_i64(from, last); j++)
        p[j] = -INFINITY;
    for (int64_t j = wk_max_i64(to, begin); j < last; j++)
        p[j] = -INFINITY;
    vf top = vset(-INFINITY), sum = vset(0);
    for (int64_t j = begin; j < last; j += VF)
        top = vmax(top, vload(p + j));
    float most = vlargest(top) * factor, old = x->top[row];
    most = most > old ? most : old;
    float base = most == -INFINITY ? 0 : most;
    for (int64_t j = begin; j < last; j += VF) {
        vf e = vexp2(vfma(vload(p + j), vset(factor), vset(-base)));
        sum += e;
        vstore(p + j, e);
    }
    x->keep[row] = most > old ? exp2f(old - base) : 1;
    x->sum[row] = x->sum[row] * x->keep[row] + vsum(sum);
    x->top[row] = most;
}

static void meet(block *x, int64_t first, int64_t keys)
{
    const attention *a = &x->j->a;
    int64_t          begin, end, n, d = a->d, padded = x->j->padded;
    for (int64_t col = 0; col < keys; col += NR)
        for (int64_t r = 0; r < x->rows; r += n) {
            n = strip_of(x->rows - r);
            if (!sees(x, r, n, first, keys, &begin, &end) || end <= col || begin >= col + NR)
                continue;
            WK_ISA(product)
            (&(product){ x->q + r * x->q_row, x->q_row, 1, x->k + col * d, NR, d,
                         x->scores + r * KEYS + col, KEYS, NULL },
             n, wk_min_i64(NR, round_up(end - col, VF)));
        }
    for (int64_t r = 0; r < x->rows; r += n) {
        n = strip_of(x->rows - r);
        if (sees(x, r, n, first, keys, &begin, &end))
            for (int64_t i = r; i < r + n; i++)
                soften(x, i, first, begin, end);
    }
    for (int64_t col = 0; col < padded; col += NR)
        for (int64_t r = 0; r < x->rows; r += n) {
            n = strip_of(x->rows - r);
            if (!sees(x, r, n, first, keys, &begin, &end))
                continue;
            WK_ISA(product)
            (&(product){ x->scores + r * KEYS + begin, KEYS, 1, x->v + begin * x->v_row + col,
                         x->v_row, end - begin, x->y + r * padded + col, padded, x->keep + r },
             n, wk_min_i64(NR, padded - col));
        }
}

/* ---- A block of queries ------------------------------------------------- */

/* Rows divided by their sums, to their places; who saw nothing gets zeros. */
static void finish(block *x)
{
    wk_tensor           *out = x->j->a.c->out;
    const wk_dtype_info *d = &wk_dtypes[out->dtype];
    const attention     *a = &x->j->a;
    bool                 f32 = out->dtype == WK_F32;
    for (int64_t r = 0; r < x->rows; r++) {
        float  *y = x->y + r * x->j->padded;
        float   part = x->sum[r] == 0 ? 0 : 1 / x->sum[r];
        int64_t at = ((x->b * a->h + head_of(x, r)) * a->t + query_of(x, r)) * a->e, k = 0;
        for (float *to = f32 ? wk_f32(out) + at : y; k + VF <= a->e; k += VF)
            vstore(to + k, vload(y + k) * part);
        if (k < a->e)
            vstore(y + k, vload(y + k) * part);
        if (f32)
            memcpy(wk_f32(out) + at + k, y + k, (size_t)(a->e - k) * sizeof *y);
        else
            d->store[WK_AS_F32]((char *)wk_at_host(out) + at * (int64_t)d->size, y, a->e, 1);
    }
}

/* Block number i of all: which rows it has. */
static block block_of(const job *j, int64_t i)
{
    const attention *a = &j->a;
    int64_t          n = j->blocks - 1 - i % j->blocks; /* the last ones see most */
    i /= j->blocks;
    block x = { .j = j, .b = i / a->g, .g = i % a->g, .first = n * a->queries };
    x.rows = wk_min_i64(a->queries, a->t - x.first) * a->share;
    return x;
}

static void take_queries(block *x)
{
    const attention *a = &x->j->a;
    plane            q = WK_ISA(attention_plane)(a->c->in[Q], x->b, head_of(x, 0));
    x->q = a->share == 1 ? WK_ISA(rows_in_place)(q, x->first, &x->q_row) : NULL;
    if (!x->q) {
        x->q = x->q_room, x->q_row = a->d;
        for (int64_t r = 0; r < x->rows; r++) {
            q = WK_ISA(attention_plane)(a->c->in[Q], x->b, head_of(x, r));
            WK_ISA(pack_rows)(x->q_room + r * a->d, a->d, q, query_of(x, r), 1);
        }
    }
    memset(x->y, 0, (size_t)(x->rows * x->j->padded) * sizeof *x->y);
    for (int64_t r = 0; r < x->rows; r++)
        x->top[r] = -INFINITY, x->sum[r] = 0;
}

static void walk(block *x, int64_t from, int64_t to)
{
    const attention *a = &x->j->a;
    plane            k = WK_ISA(attention_plane)(a->c->in[K], x->b, x->g);
    plane            v = WK_ISA(attention_plane)(a->c->in[V], x->b, x->g);
    int64_t          begin, end;
    take_queries(x);
    for (int64_t first = from; first < to; first += KEYS) {
        int64_t keys = wk_min_i64(KEYS, to - first);
        if (!sees(x, 0, x->rows, first, keys, &begin, &end))
            continue;
        WK_ISA(pack_panels)(x->k, k, first, keys, x->work);
        x->v = WK_ISA(rows_in_place)(v, first, &x->v_row);
        if (!x->v) {
            x->v = x->v_room, x->v_row = x->j->padded;
            WK_ISA(pack_rows)(x->v_room, x->v_row, v, first, keys);
        }
        meet(x, first, keys);
    }
}

static void do_blocks(void *ctx, int64_t begin, int64_t end)
{
    const job       *j = ctx;
    const attention *a = &j->a;
    int64_t          most = a->queries * a->share, work = wk_max_i64(KEYS, VF * a->d);
    size_t           sums = (size_t)round_up((int64_t)sums_size(j), VF);
    size_t           need = (size_t)(KEYS * (a->d + j->padded) + most * (a->d + KEYS + 1) + work);
    float           *room = wk_scratch((sums + need) * sizeof *room);
    for (int64_t i = begin; room && i < end; i++) {
        block   x = block_of(j, i / j->parts);
        int64_t from = i % j->parts * j->chunk;
        x.k = room + sums;
        x.v_room = x.k + KEYS * a->d;
        x.scores = x.v_room + KEYS * j->padded;
        x.q_room = x.scores + most * KEYS;
        x.keep = x.q_room + most * a->d;
        x.work = x.keep + most;
        point_sums(&x, j->partial ? j->partial + (size_t)i * sums_size(j) : room);
        walk(&x, from, wk_min_i64(from + j->chunk, a->s));
        if (!j->partial)
            finish(&x);
    }
}

/* ---- Merging ------------------------------------------------------------ */

static void merge_blocks(void *ctx, int64_t begin, int64_t end)
{
    const job *j = ctx;
    for (int64_t i = begin; i < end; i++) {
        block x = block_of(j, i), part = x;
        point_sums(&x, j->partial + (size_t)(i * j->parts) * sums_size(j));
        for (int64_t p = 1; p < j->parts; p++) {
            point_sums(&part, j->partial + (size_t)(i * j->parts + p) * sums_size(j));
            for (int64_t r = 0; r < x.rows; r++) {
                float most = part.top[r] > x.top[r] ? part.top[r] : x.top[r];
                float base = most == -INFINITY ? 0 : most;
                float old = exp2f(x.top[r] - base), new = exp2f(part.top[r] - base);
                for (int64_t k = r * j->padded; k < (r + 1) * j->padded; k += VF)
                    vstore(x.y + k, vload(x.y + k) * old + vload(part.y + k) * new);
                x.sum[r] = x.sum[r] * old + part.sum[r] * new;
                x.top[r] = most;
            }
        }
        finish(&x);
    }
}

bool WK_ISA(attention)(const wk_call *c)
{
    job j = { .parts = 1 };
    if (!WK_ISA(attention_open)(&j.a, c))
        return false;
    j.padded = round_up(j.a.e, VF);
    j.blocks = (j.a.t + j.a.queries - 1) / j.a.queries;
    j.plain = !c->in[MASK] && !c->in[SLOPES] && j.a.cap == 0 && j.a.factor > 0;
    j.chunk = j.a.s;
    int64_t all = j.a.b * j.a.g * j.blocks;
    if (j.blocks == 1 && all < FEW_BLOCKS && j.a.s > CHUNK) {
        j.chunk = CHUNK;
        j.parts = (j.a.s + CHUNK - 1) / CHUNK;
        size_t bytes = (size_t)(all * j.parts) * sums_size(&j) * sizeof(float);
        if (!(j.partial = wk_alloc_pages(bytes)))
            return false;
        wk_parallel(all * j.parts, 1, do_blocks, &j);
        if (wk_ok())
            wk_parallel(all, 1, merge_blocks, &j);
        wk_free_pages(j.partial, bytes);
        return wk_ok();
    }
    wk_parallel(all, 1, do_blocks, &j);
    return wk_ok();
}
