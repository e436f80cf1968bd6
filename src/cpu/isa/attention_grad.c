// SPDX-License-Identifier: MIT OR Apache-2.0
/* attention_grad.c - the gradient of attention, recomputing the probabilities.
 *
 * With p the probabilities of a row, dp = dy v^T and mean = sum(p dp) = dy . y:
 *
 *     ds = p (dp - mean) scale       dq = ds k       dk = ds^T q       dv = p^T dy
 *
 * A thread takes a group of keys and all heads that look at it, so that it alone adds
 * to the group's dk and dv.  Each block of queries walks over its keys twice: for its
 * sums, as in attention.c, and for the gradients (Dao, 2023). */
#include "attention.h"

typedef struct {
    const attention *a;
    block            x;
    int64_t          wide;               /* d, in whole vectors; e is a->padded */
    float           *dk, *dv;            /* [s, wide], [s, padded]: of the group */
    float           *dq, *q, *dy;        /* [rows, wide], [rows, wide], [rows, padded] */
    float           *key, *value;        /* [KEYS, wide], panels of values */
    float           *dp, *tanhs;         /* [rows, LINE] */
    float           *part, *mean, *ones; /* [rows]: 1 / sum; ... */
} group;

static double scale_of(const attention *a)
{
    double scale = a->c->opt.attention.scale;
    return scale != 0 ? scale : 1 / sqrt((double)a->d);
}

/* ---- Probabilities and their gradient ----------------------------------- */

/* A row of scores becomes p, and dp becomes ds; all of the block's keys, 0 where hidden. */
static void row_grad(group *z, int64_t row, int64_t first, int64_t keys, int64_t begin, int64_t end)
{
    float  *p = z->x.scores + row * LINE, *dp = z->dp + row * LINE;
    float  *tanhs = z->a->cap != 0 ? z->tanhs + row * LINE : NULL;
    int64_t from = begin < end ? begin / VF * VF : 0, last = begin < end ? round_up(end, VF) : 0;
    if (last) {
        float factor = block_row(&z->x, row, first, begin, end, tanhs);
        float base = z->x.top[row] == -INFINITY ? 0 : z->x.top[row], scale = (float)scale_of(z->a);
        for (int64_t j = from; j < last; j += VF) {
            vf e = vexp2(vfma(vload(p + j), vset(factor), vset(-base))) * z->part[row];
            vf ds = e * (vload(dp + j) - z->mean[row]) * scale;
            if (tanhs)
                ds = ds * (1.0f - vload(tanhs + j) * vload(tanhs + j));
            vstore(p + j, e);
            vstore(dp + j, vselect(e == 0, vset(0), ds)); /* dp is not set where all is hidden */
        }
    }
    for (int64_t j = 0; j < round_up(keys, VF); j++)
        if (j < from || j >= last)
            p[j] = dp[j] = 0;
}

/* 1 / sum and the mean of dp over p, from the sums of a block. */
static void prepare_rows(group *z)
{
    const attention *a = z->a;
    for (int64_t r = 0; r < z->x.rows; r++) {
        plane dy = plane_of(a->c->in[DY], z->x.b, head_of(&z->x, r));
        plane q = plane_of(a->c->in[Q], z->x.b, head_of(&z->x, r));
        pack_rows(z->dy + r * a->padded, a->padded, dy, query_of(&z->x, r), 1);
        pack_rows(z->q + r * z->wide, z->wide, q, query_of(&z->x, r), 1);
        vf sum = vset(0);
        for (int64_t k = r * a->padded; k < (r + 1) * a->padded; k += VF)
            sum += vload(z->dy + k) * vload(z->x.y + k);
        z->part[r] = z->x.sum[r] == 0 ? 0 : 1 / z->x.sum[r];
        z->mean[r] = vsum(sum) * z->part[r];
    }
    memset(z->dq, 0, (size_t)(z->x.rows * z->wide) * sizeof *z->dq);
}

/* ---- A block of queries and a block of keys ----------------------------- */

/* Rows from row on, of which the first n keys from j on see the earliest. */
static int64_t first_row(const group *z, int64_t j)
{
    const attention *a = z->a;
    int64_t          query = a->c->opt.attention.causal ? j - (a->s - a->t) : 0;
    return wk_min_i64(wk_max_i64(query - z->x.first, 0) * a->share, z->x.rows);
}

static void keys_grad(group *z, int64_t first, int64_t keys)
{
    int64_t padded = z->a->padded, n;
    for (int64_t j = 0; j < keys; j += n) {
        n = strip_of(keys - j);
        int64_t r = first_row(z, first + j), rows = z->x.rows - r;
        multiply((product){ z->x.scores + r * LINE + j, 1, LINE, z->dy + r * padded, padded, rows,
                            z->dv + (first + j) * padded, padded, z->ones, 0, 0 },
                 n, padded);
        multiply((product){ z->dp + r * LINE + j, 1, LINE, z->q + r * z->wide, z->wide, rows,
                            z->dk + (first + j) * z->wide, z->wide, z->ones, 0, 0 },
                 n, z->wide);
    }
}

static void meet(group *z, int64_t first, int64_t keys)
{
    const attention *a = z->a;
    block           *x = &z->x;
    int64_t          begin, end, n;
    pack_panels(x->k, plane_of(a->c->in[K], x->b, x->g), first, keys, x->work);
    pack_panels(z->value, plane_of(a->c->in[V], x->b, x->g), first, keys, x->work);
    pack_rows(z->key, z->wide, plane_of(a->c->in[K], x->b, x->g), first, keys);
    block_scores(x, first, keys);
    for (int64_t col = 0; col < keys; col += NR)
        for (int64_t r = 0; r < x->rows; r += n) {
            n = strip_of(x->rows - r);
            if (!block_sees(x, r, n, first, keys, &begin, &end) || end <= col || begin >= col + NR)
                continue;
            multiply((product){ z->dy + r * a->padded, a->padded, 1, z->value + col * a->e, NR,
                                a->e, z->dp + r * LINE + col, LINE, NULL, 0, 0 },
                     n, wk_min_i64(NR, round_up(end - col, VF)));
        }
    for (int64_t r = 0; r < x->rows; r += n) {
        n = strip_of(x->rows - r);
        bool some = block_sees(x, r, n, first, keys, &begin, &end);
        for (int64_t i = r; i < r + n; i++)
            row_grad(z, i, first, keys, begin, end);
        if (some)
            multiply((product){ z->dp + r * LINE + begin, LINE, 1, z->key + begin * z->wide,
                                z->wide, end - begin, z->dq + r * z->wide, z->wide, z->ones, 0, 0 },
                     n, z->wide);
    }
    keys_grad(z, first, keys);
}

/* ---- All blocks --------------------------------------------------------- */

/* n rows of width numbers, padded apart, to element at of the result. */
static void store_rows(wk_tensor *out, int64_t at, const float *from, int64_t n, int64_t width,
                       int64_t padded)
{
    const wk_dtype_info *d = &wk_dtypes[out->dtype];
    char                *to = (char *)wk_at_host(out) + at * (int64_t)d->size;
    for (int64_t i = 0; i < n; i++, from += padded, to += width * (int64_t)d->size)
        d->store[WK_AS_F32](to, from, width, 1);
}

static void block_grad(group *z)
{
    const attention *a = z->a;
    block           *x = &z->x;
    int64_t          begin, end;
    block_walk(x, 0, a->s);
    prepare_rows(z);
    x->q = z->q, x->q_row = z->wide;
    for (int64_t first = 0; first < a->s; first += KEYS) {
        int64_t keys = wk_min_i64(KEYS, a->s - first);
        if (block_sees(x, 0, x->rows, first, keys, &begin, &end))
            meet(z, first, keys);
    }
    for (int64_t r = 0; r < x->rows; r++) {
        int64_t at = ((x->b * a->h + head_of(x, r)) * a->t + query_of(x, r)) * a->d;
        store_rows(a->c->out, at, z->dq + r * z->wide, 1, a->d, z->wide);
    }
}

/* Cuts the room of a group from that of its block on; how much it takes. */
static size_t group_open(group *z, float *room)
{
    const attention *a = z->a;
    int64_t          rows = a->queries * a->share, wide = z->wide;
    struct {
        float **at;
        int64_t size;
    } all[] = {
        { &z->dk, a->s * wide },    { &z->dv, a->s * a->padded }, { &z->dq, rows * wide },
        { &z->q, rows * wide },     { &z->dy, rows * a->padded }, { &z->key, KEYS * wide },
        { &z->value, KEYS * a->e }, { &z->dp, rows * LINE },      { &z->tanhs, rows * LINE },
        { &z->part, rows },         { &z->mean, rows },           { &z->ones, MR },
    };
    size_t used = block_room(a);
    for (size_t i = 0; i < WK_COUNT(all); i++) {
        if (room)
            *all[i].at = room + used;
        used += (size_t)round_up(all[i].size, VF);
    }
    return used;
}

static void groups_grad(void *ctx, int64_t begin, int64_t end)
{
    const attention *a = ctx;
    group            z = { .a = a, .wide = round_up(a->d, VF) };
    float           *room = wk_scratch(group_open(&z, NULL) * sizeof *room);
    int64_t          at = wk_count(a->c->in[Q]);
    if (!room)
        return;
    group_open(&z, room);
    for (int i = 0; i < MR; i++)
        z.ones[i] = 1;
    for (int64_t i = begin; i < end; i++) {
        memset(z.dk, 0, (size_t)(a->s * z.wide) * sizeof *z.dk);
        memset(z.dv, 0, (size_t)(a->s * a->padded) * sizeof *z.dv);
        for (int64_t n = 0; n < a->blocks; n++) {
            z.x = block_open(a, i * a->blocks + n, room);
            block_grad(&z);
        }
        store_rows(a->c->out, at + i * a->s * a->d, z.dk, a->s, a->d, z.wide);
        store_rows(a->c->out, at + wk_count(a->c->in[K]) + i * a->s * a->e, z.dv, a->s, a->e,
                   a->padded);
    }
}

bool WK_ISA(attention_grad)(const wk_call *c)
{
    attention a;
    if (!attention_open(&a, c) || c->in[DY]->dtype == WK_F64)
        return false;
    a.pairs = false; /* gradients are computed in f32 */
    wk_parallel(a.b * a.g, 1, groups_grad, &a);
    return wk_ok();
}
