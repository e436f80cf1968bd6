// SPDX-License-Identifier: MIT OR Apache-2.0
/* attention.c - attention without the matrix of scores.
 *
 * A block of queries walks over the keys it sees, a block of KEYS at a time, and keeps
 * for each row the largest score, the sum of 2^(score - largest) and the values weighted
 * so; when the largest one grows, what was summed is scaled down (Dao et al., 2022).
 * Where queries are few the keys are cut into chunks, as s alone says, whose sums are
 * merged in order: no result depends on the number of threads. */
#include "attention.h"

enum { CHUNK = 512, PARTS = 8, FEW_BLOCKS = 64, FEW_ROWS = 16 };

/* ---- A block of queries ------------------------------------------------- */

static size_t sums_room(const attention *a)
{
    return (size_t)round_up(a->queries * a->share * (a->padded + 2), VF);
}

static int64_t work_room(const attention *a)
{
    return wk_max_i64(KEYS, VF * wk_max_i64(a->d, a->e));
}

size_t block_room(const attention *a)
{
    int64_t rows = a->queries * a->share;
    return sums_room(a) + (size_t)(KEYS * (a->d + a->padded) + rows * (a->d + LINE + 1)) +
           (size_t)work_room(a);
}

void block_sums(block *x, float *at)
{
    x->y = at;
    x->top = at + x->rows * x->a->padded;
    x->sum = x->top + x->rows;
}

block block_open(const attention *a, int64_t i, float *room)
{
    int64_t n = a->blocks - 1 - i % a->blocks; /* the last ones may see most: they go first */
    int64_t most = a->queries * a->share;
    i /= a->blocks;
    block x = { .a = a, .b = i / a->g, .g = i % a->g, .first = n * a->queries };
    x.rows = wk_min_i64(a->queries, a->t - x.first) * a->share;
    block_sums(&x, room);
    x.k = room + sums_room(a);
    x.v_room = x.k + KEYS * a->d;
    x.scores = x.v_room + KEYS * a->padded;
    x.q_room = x.scores + most * LINE;
    x.keep = x.q_room + most * a->d;
    x.work = x.keep + most;
    return x;
}

static void take_queries(block *x)
{
    const attention *a = x->a;
    plane            q = plane_of(a->c->in[Q], x->b, head_of(x, 0));
    x->q = a->share == 1 && !a->pairs ? attention_rows_in(q, x->first, &x->q_row) : NULL;
    if (!x->q) {
        x->q = x->q_room, x->q_row = a->pairs ? a->d / 2 : a->d;
        for (int64_t r = 0; r < x->rows; r++) {
            q = plane_of(a->c->in[Q], x->b, head_of(x, r));
            pack_rows(a->pairs ? x->work : x->q_room + r * a->d, a->d, q, query_of(x, r), 1);
            if (a->pairs)
                wk_dtypes[WK_BF16].store[WK_AS_F32](x->q_room + r * x->q_row, x->work, a->d, 1);
        }
    }
    memset(x->y, 0, (size_t)(x->rows * a->padded) * sizeof *x->y);
    for (int64_t r = 0; r < x->rows; r++)
        x->top[r] = -INFINITY, x->sum[r] = 0;
}

static void take_keys(block *x, int64_t first, int64_t keys)
{
    const attention *a = x->a;
    plane            v = plane_of(a->c->in[V], x->b, x->g);
    if (a->pairs) {
        x->v = x->v_room, x->v_row = a->padded;
        pack_panels_pairs(x->k, plane_of(a->c->in[K], x->b, x->g), first, keys, x->work);
        pack_rows_pairs(x->v_room, x->v_row, v, first, keys);
        return;
    }
    pack_panels(x->k, plane_of(a->c->in[K], x->b, x->g), first, keys, x->work);
    x->v = attention_rows_in(v, first, &x->v_row);
    if (!x->v) {
        x->v = x->v_room, x->v_row = a->padded;
        pack_rows(x->v_room, x->v_row, v, first, keys);
    }
}

/* ---- It meets a block of keys ------------------------------------------- */

bool block_sees(const block *x, int64_t row, int64_t n, int64_t first, int64_t keys, int64_t *begin,
                int64_t *end)
{
    int64_t unused;
    attention_sight(x->a, query_of(x, row), begin, &unused);
    attention_sight(x->a, query_of(x, row + n - 1), &unused, end);
    *begin = wk_max_i64(*begin - first, 0);
    *end = wk_min_i64(*end - first, keys);
    return *begin < *end;
}

/* Few queries are done with keys sooner than memory brings the next ones: the products
 * of a block call for them, a share with each of calls x depth steps. */
typedef struct {
    uintptr_t at;
    int64_t   pace;
} ahead;

static ahead look_ahead(const block *x, const wk_tensor *rows, int64_t first, int64_t calls,
                        int64_t depth)
{
    int64_t size = wk_bytes_at(rows->dtype, rows->shape.dim[3]);
    int64_t n = wk_min_i64(KEYS, x->to - first);
    if (x->rows > FEW_ROWS || n <= 0 || rows->stride[2] != rows->shape.dim[3])
        return (ahead){ 0, 0 };
    const char *at = wk_at_host(rows);
    at += wk_bytes_at(rows->dtype, plane_of(rows, x->b, x->g).at);
    for (int64_t r = 0, strips = calls; (r += strip_of(x->rows - r)) < x->rows;)
        calls += strips;
    return (ahead){ (uintptr_t)(at + first * size), round_up(n * size / (calls * depth), 64) };
}

static void call(block *x, product p, ahead *next, int64_t rows, int64_t cols)
{
    p.ahead = next->at, p.pace = next->pace;
    next->at += (uintptr_t)(p.pace * p.depth);
    (x->a->pairs ? multiply_pairs : multiply)(p, rows, cols);
}

void block_scores(block *x, int64_t first, int64_t keys)
{
    int64_t begin, end, n, d = x->a->pairs ? x->a->d / 2 : x->a->d;
    ahead   next = look_ahead(x, x->a->c->in[K], first + keys, (keys + NR - 1) / NR, d);
    for (int64_t col = 0; col < keys; col += NR) /* a panel stays near while rows go by */
        for (int64_t r = 0; r < x->rows; r += n) {
            n = strip_of(x->rows - r);
            if (!block_sees(x, r, n, first, keys, &begin, &end) || end <= col || begin >= col + NR)
                continue;
            product p = { .a = x->q + r * x->q_row,
                          .row = x->q_row,
                          .step = 1,
                          .b = x->k + col * d,
                          .ldb = NR,
                          .depth = d,
                          .c = x->scores + r * LINE + col,
                          .ldc = LINE };
            call(x, p, &next, n, wk_min_i64(NR, round_up(end - col, VF)));
        }
}

float block_row(block *x, int64_t row, int64_t first, int64_t begin, int64_t end, float *tanhs)
{
    const attention *a = x->a;
    float           *p = x->scores + row * LINE;
    int64_t          from, to, last = round_up(end, VF);
    begin = begin / VF * VF;
    if (!a->plain) {
        score_row at = { x->b, head_of(x, row), query_of(x, row), first + begin, end - begin };
        attention_scores(a, at, p + begin, tanhs ? tanhs + begin : NULL, x->work);
    }
    block_sees(x, row, 1, first, end, &from, &to);
    for (int64_t j = begin; j < wk_min_i64(from, last); j++)
        p[j] = -INFINITY;
    for (int64_t j = wk_max_i64(to, begin); j < last; j++)
        p[j] = -INFINITY;
    return a->plain ? a->factor : 1;
}

/* Scores of a row become 2^(score - top): those of keys begin .. end, which its strip sees. */
static void soften(block *x, int64_t row, int64_t first, int64_t begin, int64_t end)
{
    float   factor = block_row(x, row, first, begin, end, NULL), *p = x->scores + row * LINE;
    int64_t from = begin / VF * VF;
    vf      top = vset(-INFINITY), sum = vset(0);
    for (int64_t j = from; j < end; j += VF)
        top = vmax(top, vload(p + j));
    float most = vlargest(top) * factor, old = x->top[row];
    most = most > old ? most : old;
    float base = most == -INFINITY ? 0 : most;
    for (int64_t j = from; j < end; j += VF) {
        vf e = vexp2(vfma(vload(p + j), vset(factor), vset(-base)));
        sum += e;
        if (x->a->pairs)
            vstore_pairs((uint16_t *)(void *)p + j, e); /* behind what is still to be read */
        else
            vstore(p + j, e);
    }
    x->keep[row] = most > old ? exp2f(old - base) : 1;
    x->sum[row] = x->sum[row] * x->keep[row] + vsum(sum);
    x->top[row] = most;
}

static void meet(block *x, int64_t first, int64_t keys)
{
    int64_t begin, end, n, padded = x->a->padded;
    block_scores(x, first, keys);
    for (int64_t r = 0; r < x->rows; r += n) {
        n = strip_of(x->rows - r);
        if (block_sees(x, r, n, first, keys, &begin, &end))
            for (int64_t i = r; i < r + n; i++)
                soften(x, i, first, begin, end);
    }
    ahead next = look_ahead(x, x->a->c->in[V], first + keys, (padded + NR - 1) / NR,
                            x->a->pairs ? keys / 2 + 1 : keys);
    for (int64_t col = 0; col < padded; col += NR)
        for (int64_t r = 0; r < x->rows; r += n) {
            n = strip_of(x->rows - r);
            if (!block_sees(x, r, n, first, keys, &begin, &end))
                continue;
            product p = { .a = x->scores + r * LINE + begin,
                          .row = LINE,
                          .step = 1,
                          .b = x->v + begin * x->v_row + col,
                          .ldb = x->v_row,
                          .depth = end - begin,
                          .c = x->y + r * padded + col,
                          .ldc = padded,
                          .keep = x->keep + r };
            if (x->a->pairs) {
                p.a = x->scores + r * LINE + begin / 2;
                p.b = x->v + begin / 2 * x->v_row + col;
                p.depth = (end + 1) / 2 - begin / 2;
            }
            call(x, p, &next, n, wk_min_i64(NR, padded - col));
        }
}

void block_walk(block *x, int64_t from, int64_t to)
{
    int64_t begin, end;
    x->to = to;
    take_queries(x);
    for (int64_t first = from; first < to; first += KEYS) {
        int64_t keys = wk_min_i64(KEYS, to - first);
        if (!block_sees(x, 0, x->rows, first, keys, &begin, &end))
            continue;
        take_keys(x, first, keys);
        meet(x, first, keys);
    }
}

/* ---- All blocks --------------------------------------------------------- */

typedef struct {
    attention a;
    int64_t   parts, chunk; /* of keys, for one block */
    float    *sums;         /* of each block and part, if there is more than one */
} job;

/* Rows divided by their sums, to their places; who saw nothing gets zeros. */
static void finish(block *x)
{
    const attention     *a = x->a;
    wk_tensor           *out = a->c->out;
    const wk_dtype_info *d = &wk_dtypes[out->dtype];
    bool                 f32 = out->dtype == WK_F32;
    for (int64_t r = 0; r < x->rows; r++) {
        float  *y = x->y + r * a->padded;
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

static void do_blocks(void *ctx, int64_t begin, int64_t end)
{
    const job *j = ctx;
    float     *room = wk_scratch(block_room(&j->a) * sizeof *room);
    for (int64_t i = begin; room && i < end; i++) {
        block   x = block_open(&j->a, i / j->parts, room);
        int64_t from = i % j->parts * j->chunk;
        if (j->sums)
            block_sums(&x, j->sums + (size_t)i * sums_room(&j->a));
        block_walk(&x, from, wk_min_i64(from + j->chunk, j->a.s));
        if (!j->sums)
            finish(&x);
    }
}

static void add_sums(block *x, const block *part)
{
    for (int64_t r = 0; r < x->rows; r++) {
        int64_t at = r * x->a->padded;
        float   most = part->top[r] > x->top[r] ? part->top[r] : x->top[r];
        float   base = most == -INFINITY ? 0 : most;
        float   old = exp2f(x->top[r] - base), new = exp2f(part->top[r] - base);
        for (int64_t k = at; k < at + x->a->padded; k += VF)
            vstore(x->y + k, vload(x->y + k) * old + vload(part->y + k) * new);
        x->sum[r] = x->sum[r] * old + part->sum[r] * new;
        x->top[r] = most;
    }
}

static void merge_blocks(void *ctx, int64_t begin, int64_t end)
{
    const job *j = ctx;
    size_t     size = sums_room(&j->a);
    for (int64_t i = begin; i < end; i++) {
        float *sums = j->sums + (size_t)(i * j->parts) * size;
        block  x = block_open(&j->a, i, sums), part = x;
        for (int64_t p = 1; p < j->parts; p++) {
            block_sums(&part, sums + (size_t)p * size);
            add_sums(&x, &part);
        }
        finish(&x);
    }
}

bool WK_ISA(attention)(const wk_call *c)
{
    job j = { .parts = 1 };
    if (!attention_open(&j.a, c))
        return false;
    int64_t all = j.a.b * j.a.g * j.a.blocks;
    j.chunk = j.a.s;
    if (j.a.blocks > 1 || all >= FEW_BLOCKS || j.a.s <= CHUNK) {
        wk_parallel(all, 1, do_blocks, &j);
        return wk_ok();
    }
    j.chunk = wk_max_i64(CHUNK, round_up(j.a.s / PARTS, KEYS));
    j.parts = (j.a.s + j.chunk - 1) / j.chunk;
    size_t bytes = (size_t)(all * j.parts) * sums_room(&j.a) * sizeof(float);
    if (!(j.sums = wk_alloc_pages(bytes)))
        return false;
    wk_parallel(all * j.parts, 1, do_blocks, &j);
    if (wk_ok())
        wk_parallel(all, 1, merge_blocks, &j);
    wk_free_pages(j.sums, bytes);
    return wk_ok();
}
