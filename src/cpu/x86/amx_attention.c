// SPDX-License-Identifier: MIT OR Apache-2.0
/* amx_attention.c - attention to keys and values of bf16, on tiles and without the matrix
 * of scores.
 *
 * Keys and values are packed once, as the right sides of products.  Then 32 rows, the
 * queries of all heads that share a group, walk over the keys they see, KEYS at a time:
 * scores are a product, 2^(score - largest) is the left side of the next one, and its sums
 * are scaled down when the largest score grows (Dao et al., 2022).  The left sides are
 * bf16 where queries are; those of f32 keep its accuracy through x3. */
#include "amx.h"

#include "../simd.h"

enum { ROWS = WK_TILE_SIDE, KEYS = 256, WIDEST = 256, TILE = WK_TILE_BYTES };
enum { Q, K, V, MASK, SLOPES };

typedef struct {
    const wk_call   *c;
    const wk_engine *engine;
    int64_t          b, h, g, t, s, d, e, share;
    int64_t          blocks, steps;        /* of 32 rows in a group, of 32 keys */
    float            factor;               /* from products to exponents of 2 */
    char            *keys, *values;        /* packed, of each group after another */
    size_t           key_size, value_size; /* of a group */
} attention;

/* Row i of head or group n of batch b. */
static wk_mat rows_at(const wk_tensor *x, int64_t b, int64_t n, int64_t i)
{
    wk_mat m = { wk_at_host(x), x->dtype, x->stride[2], 1 };
    return wk_mat_at(m, 0, b * x->stride[0] + n * x->stride[1] + i * x->stride[2]);
}

/* ---- Packing ------------------------------------------------------------ */

/* Pieces of KEYS keys: keys are columns over d; values are columns over keys. */
static void pack_pieces(void *ctx, int64_t begin, int64_t end)
{
    const attention *a = ctx;
    int64_t          pieces = (a->s + KEYS - 1) / KEYS;
    for (int64_t i = begin; i < end; i++) {
        int64_t group = i / pieces, first = i % pieces * KEYS;
        int64_t count = wk_min_i64(KEYS, a->s - first);
        char   *keys = a->keys + (size_t)group * a->key_size + first * a->d * 2;
        char   *values = a->values + (size_t)group * a->value_size + first / 32 * TILE;
        for (int64_t j = 0; j < count; j += 32) {
            wk_mat k = rows_at(a->c->in[K], group / a->g, group % a->g, first + j);
            wk_amx_pack_pairs(keys + j * a->d * 2, &k, wk_min_i64(32, count - j), a->d, a->d * 32);
        }
        for (int64_t j = 0; j < a->e; j += 32) {
            wk_mat v = rows_at(a->c->in[V], group / a->g, group % a->g, first), x = v;
            x.row = v.col, x.col = v.row;
            x = wk_mat_at(x, j, 0);
            wk_amx_pack_pairs(values + j / 16 * a->steps * TILE, &x, 32, count, a->steps * TILE);
        }
    }
}

/* ---- 32 rows ------------------------------------------------------------ */

typedef struct {
    int64_t b, group, first, count; /* rows of the group: query row / share */
    float  *scores, *sums;          /* [32][KEYS], [32][e] */
    char   *q, *weights;            /* left sides */
    char   *rows;                   /* [32][d] of q's dtype */
    float   top[ROWS], sum[ROWS];
} block;

static void sight(const attention *a, int64_t i, int64_t *begin, int64_t *end)
{
    int64_t now = a->s - a->t + i, window = a->c->opt.attention.window;
    *end = a->c->opt.attention.causal ? wk_max_i64(0, wk_min_i64(a->s, now + 1)) : a->s;
    *begin = window > 0 ? wk_min_i64(wk_max_i64(0, now + 1 - window), *end) : 0;
}

/* Scores of row r with n keys from first on become weights; what was summed is scaled. */
static void soften(const attention *a, block *x, int r, int64_t first, int64_t n)
{
    float  *s = x->scores + (int64_t)r * KEYS, *sums = x->sums + r * a->e;
    int64_t from, end;
    sight(a, (x->first + r) / a->share, &from, &end);
    for (int64_t j = 0; j < wk_min_i64(from - first, n); j++)
        s[j] = -INFINITY;
    for (int64_t j = wk_max_i64(end - first, 0); j < n; j++)
        s[j] = -INFINITY;
    vf top = vset(-INFINITY), sum = vset(0), factor = vset(a->factor);
    for (int64_t j = 0; j < n; j += VF)
        top = vmax(top, vload(s + j));
    float most = vlargest(top) * a->factor, old = x->top[r];
    most = most > old ? most : old;
    vf base = vset(most == -INFINITY ? 0 : -most);
    for (int64_t j = 0; j < n; j += VF) {
        vf e = vfma(vload(s + j), factor, base);
        e = vselect(e < -100, vset(0), vexp2(e)); /* what x3 takes without ado */
        sum += e;
        vstore(s + j, e);
    }
    float keep = most > old ? exp2f(old - most) : 1;
    x->sum[r] = x->sum[r] * keep + vsum(sum);
    x->top[r] = most;
    for (int64_t j = 0; keep != 1 && j < a->e; j += VF)
        vstore(sums + j, vload(sums + j) * keep);
}

static void take_rows(const attention *a, block *x)
{
    wk_dtype dtype = a->c->in[Q]->dtype;
    int64_t  row_size = a->d * (int64_t)wk_dtypes[dtype].size;
    for (int64_t r = 0; r < x->count; r++) {
        int64_t row = x->first + r, head = x->group % a->g * a->share + row % a->share;
        wk_mat  q = rows_at(a->c->in[Q], x->b, head, row / a->share);
        memcpy(x->rows + r * row_size, q.data, (size_t)row_size);
        x->top[r] = -INFINITY, x->sum[r] = 0;
    }
    a->engine->pack_a(x->q, &(wk_mat){ x->rows, dtype, a->d, 1 }, x->count, a->d);
    memset(x->sums, 0, (size_t)(ROWS * a->e) * sizeof *x->sums);
}

/* The rows meet n keys from first on; both are multiples of 32. */
static void meet(const attention *a, block *x, int64_t first, int64_t n)
{
    wk_gemm_tile t = { .rows = (int)x->count, .cols = 32, .a = x->q };
    t.b = a->keys + (size_t)x->group * a->key_size + first * a->d * 2;
    t.k = a->d, t.group = a->d * 32;
    t.c = x->scores, t.ldc = KEYS;
    for (int64_t j = 0; j < n; j += 32) {
        a->engine->kernel(&t);
        t.b = (const char *)t.b + a->d * 64;
        t.c += 32;
    }
    for (int r = 0; r < x->count; r++)
        soften(a, x, r, first, n);
    a->engine->pack_a(x->weights, &(wk_mat){ x->scores, WK_F32, KEYS, 1 }, x->count, n);
    t.a = x->weights, t.k = n, t.add = true;
    t.b = a->values + (size_t)x->group * a->value_size + first / 32 * TILE;
    t.group = a->steps * TILE;
    t.c = x->sums, t.ldc = a->e;
    for (int64_t j = 0; j < a->e; j += 32) {
        a->engine->kernel(&t);
        t.b = (const char *)t.b + 2 * t.group;
        t.c += 32;
    }
}

/* Rows divided by their sums, to their places; who saw nothing gets zeros. */
static void finish(const attention *a, const block *x)
{
    wk_tensor *out = a->c->out;
    for (int64_t r = 0; r < x->count; r++) {
        int64_t row = x->first + r, head = x->group % a->g * a->share + row % a->share;
        int64_t at = ((x->b * a->h + head) * a->t + row / a->share) * a->e;
        float  *sums = x->sums + r * a->e, part = x->sum[r] == 0 ? 0 : 1 / x->sum[r];
        for (int64_t j = 0; j < a->e; j += VF) {
            vf y = vload(sums + j) * part;
            if (out->dtype == WK_F32)
                vstore(wk_f32(out) + at + j, y);
            else
                vstore_bf16((uint16_t *)wk_at_host(out) + at + j, y);
        }
    }
}

static void do_blocks(void *ctx, int64_t begin, int64_t end)
{
    const attention *a = ctx;
    int64_t          floats = ROWS * (KEYS + a->e + a->d) * (int64_t)sizeof(float);
    int64_t          left = ROWS * a->engine->a_size;
    char            *room = wk_scratch((size_t)(floats + left * (KEYS + a->d)));
    if (!room)
        return;
    a->engine->begin();
    for (int64_t i = begin; i < end; i++) {
        int64_t n = a->blocks - 1 - i % a->blocks, from, to, unused; /* the last ones see most */
        block   x = { .group = i / a->blocks, .first = n * ROWS, .scores = (float *)(void *)room };
        x.b = x.group / a->g;
        x.count = wk_min_i64(ROWS, a->t * a->share - x.first);
        x.sums = x.scores + ROWS * KEYS;
        x.rows = (char *)(x.sums + ROWS * a->e);
        x.q = room + floats;
        x.weights = x.q + left * a->d;
        take_rows(a, &x);
        sight(a, x.first / a->share, &from, &unused);
        sight(a, (x.first + x.count - 1) / a->share, &unused, &to);
        to = (to + 31) / 32 * 32;
        for (int64_t j = from / 32 * 32; j < to; j += KEYS)
            meet(a, &x, j, wk_min_i64(KEYS, to - j));
        finish(a, &x);
    }
    a->engine->end();
}

/* ---- The kernel --------------------------------------------------------- */

static bool fits(const wk_tensor *x, wk_dtype dtype)
{
    int64_t width = wk_dim(x, 3);
    return x->dtype == dtype && x->stride[3] == 1 && width % 32 == 0 && width <= WIDEST && width;
}

bool wk_amx_attention(const wk_call *c)
{
    const wk_tensor *q = c->in[Q], *k = c->in[K], *v = c->in[V];
    double           scale = c->opt.attention.scale;
    if ((!fits(q, WK_F32) && !fits(q, WK_BF16)) || !fits(k, WK_BF16) || !fits(v, WK_BF16) ||
        c->in[MASK] || c->in[SLOPES] || scale < 0 || c->opt.attention.softcap != 0 ||
        !wk_count(c->out) || !wk_dim(k, 2))
        return false;
    attention a = { .c = c,
                    .engine = q->dtype == WK_BF16 ? &wk_amx_bf16 : &wk_amx_x3,
                    .b = wk_dim(q, 0),
                    .h = wk_dim(q, 1),
                    .g = wk_dim(k, 1),
                    .t = wk_dim(q, 2),
                    .s = wk_dim(k, 2),
                    .d = wk_dim(q, 3),
                    .e = wk_dim(v, 3) };
    a.share = a.h / a.g;
    if (a.t * a.share < ROWS)
        return false;
    a.factor = (float)((scale != 0 ? scale : 1 / sqrt((double)a.d)) * 1.4426950408889634);
    a.blocks = (a.t * a.share + ROWS - 1) / ROWS;
    a.steps = (a.s + 31) / 32;
    a.key_size = (size_t)(a.steps * 32 * a.d) * 2;
    a.value_size = (size_t)(a.steps * 32 * a.e) * 2;
    size_t groups = (size_t)(a.b * a.g), bytes = groups * (a.key_size + a.value_size);
    if (!(a.keys = wk_alloc_pages(bytes)))
        return false;
    a.values = a.keys + groups * a.key_size;
    wk_parallel((int64_t)groups * ((a.s + KEYS - 1) / KEYS), 1, pack_pieces, &a);
    if (wk_ok())
        wk_parallel((int64_t)groups * a.blocks, 1, do_blocks, &a);
    wk_free_pages(a.keys, bytes);
    return wk_ok();
}
