// SPDX-License-Identifier: MIT OR Apache-2.0
/* winograd.c - convolution with 3 x 3 kernels of stride 1 in fewer multiplications.
 *
 * A tile of 2 x 2 results comes from 4 x 4 elements of the image in 16 multiplications for
 * each channel, where the plain sum takes 36: F(2 x 2, 3 x 3) of Lavin and Gray, "Fast
 * algorithms for convolutional neural networks", 2015.  Its error in f32 is no larger than
 * that of the plain sum.  The 16 are products of matrices, u [o, c] x v [c, tiles], and a
 * thread goes through all of them for some tiles at a time, so that what it transforms
 * stays in its cache.  A tile with an infinity in it is NaN as a whole.
 *
 * In bf16 the transforms are made in f32 and rounded to bf16, in pairs of channels, for an
 * engine that multiplies pairs and sums in f32: sums of up to four numbers of 8 bits are
 * rounded once more, an error of about twice that of a result's own rounding. */
#include "conv.h"

enum {
    T = 16,             /* elements of a transformed tile */
    LEAST = 16,         /* channels on both sides, for which it pays */
    TOGETHER = 8,       /* channels gathered at a time */
    PANELS = 2,         /* of tiles in a piece of work, if they fit into */
    MOST_V = 512 << 10, /* bytes: half a second-level cache */
    MOST_K = 512        /* channels in one product */
};

typedef struct { /* [b, size[0], size[1], size[2], c], from [b, c, n[0], n[1], n[2]] */
    const char *from;
    char       *data;
    bool        halves; /* bf16, else f32 */
    int64_t     n[3], size[3], border[3], c;
} channels_last;

typedef struct {
    const wk_engine *e;
    const wk_tensor *from, *w;
    wk_tensor       *out;
    const float     *bias;
    field            f;
    conv_places      tiles;
    int64_t          groups, m, c, b;       /* channels of a group in the result and in the image */
    int64_t          n[3], y[3], before[3]; /* sizes of the image and the result */
    int64_t          w_m, w_c, w_group;     /* from one 3 x 3 kernel to the next */
    bool             turned, pairs;         /* pairs of bf16: a word is of two channels or tiles */
    int64_t          offset[T]; /* of a tile's elements in the field, or pairs of them */
    int64_t          down, panels, together, parts, kc;
    float           *u; /* [groups][down][T][words][mr] */
    float           *v; /* [groups][panels][T][words][nr], where they come first */

    channels_last image, gradient; /* of the gradient for the kernels, as all that follows */
    int64_t       wide;            /* panels of channels of the image */
    int64_t       split[2];        /* parts of wide, and of down */
    float        *sums;            /* [groups][down][T][wide][mr][nr] */
} winograd;

/* Words of k numbers in an operand of a product. */
static int64_t words(const winograd *p, int64_t k) { return p->pairs ? (k + 1) / 2 : k; }

/* ---- Numbers and vectors ------------------------------------------------------ */

#if defined __AVX512F__
enum { PAIRS = 1 };
#else /* no engine for them */
enum { PAIRS = 0 };
#endif

/* n lanes from element i on. */
INLINE vf load(const char *p, int64_t i, bool halves, int64_t n)
{
    p += i * (halves ? 2 : 4);
    return halves    ? (vf)(vwiden_part((const void *)p, n) << 16)
           : n == VF ? vload((const void *)p)
                     : vload_part((const void *)p, n);
}

INLINE void store(char *p, int64_t i, bool halves, vf a, int64_t n)
{
    p += i * (halves ? 2 : 4);
    if (halves)
        vnarrow_part((void *)p, (vu)a >> 16, n);
    else
        vstore_part((void *)p, a, n);
}

/* What was transformed, of one channel or tile, or of the two that make a pair. */
INLINE void put(float *to, int64_t apart, vf d[2][T], bool pairs)
{
    UNROLLED
    for (int t = 0; t < T; t++)
        vstore(to + t * apart, pairs ? vpairs(d[0][t], d[1][t]) : d[0][t]);
}

/* ---- The kernels: U = G g G^T ---------------------------------------------- */

/* Elements of VF kernels, rows of which there are. */
INLINE void load_kernels(const char *w, int64_t apart, int64_t ahead, int64_t rows, bool halves,
                         vf g[])
{
#if defined __AVX512F__
    for (int l = 0; l < VF; l++) {
        g[l] = l < rows ? load(w, l * apart, halves, 9) : vset(0);
        __builtin_prefetch(w + (l * apart + ahead) * (halves ? 2 : 4));
    }
    vtranspose(g);
#else
    for (int t = 0; t < 9; t++)
        for (int l = 0; l < VF; l++)
            g[t][l] = l < rows ? ((const float *)(const void *)w)[l * apart + t] : 0;
    (void)halves, (void)ahead;
#endif
}

/* Kernels of k channels, for rows of a panel: to [T][k mr + VF].  Lanes are rows; what a
 * vector has too many is overwritten by the next.  Turned around, a kernel has its first
 * and last transformed rows and columns exchanged. */
static void transform_some(const winograd *p, const char *w, int64_t rows, int64_t k, bool halves,
                           float *to)
{
    const int64_t mr = p->e->mr, apart = k * mr + VF, last = p->turned ? 0 : 3, first = 3 - last;
    const int64_t order[4] = { first, 1, 2, last };
    for (int64_t c = 0; c < k; c++, w += p->w_c * (halves ? 2 : 4))
        for (int64_t r = 0; r < mr; r += VF) {
            vf g[VF > 9 ? VF : 9], u[4][3];
            load_kernels(w + r * p->w_m * (halves ? 2 : 4), p->w_m, 8 * p->w_c, rows - r, halves,
                         g);
#pragma GCC unroll 3
            for (int s = 0; s < 3; s++) {
                vf g0 = g[s], g1 = g[3 + s] * 0.5f, g2 = g[6 + s];
                u[0][s] = g0;
                u[1][s] = (g0 + g2) * 0.5f + g1;
                u[2][s] = (g0 + g2) * 0.5f - g1;
                u[3][s] = g2;
            }
#pragma GCC unroll 4
            for (int s = 0; s < 4; s++) {
                float *at = to + 4 * order[s] * apart + c * mr + r;
                vf     sum = (u[s][0] + u[s][2]) * 0.5f, half = u[s][1] * 0.5f;
                vstore(at + first * apart, u[s][0]);
                vstore(at + apart, sum + half);
                vstore(at + 2 * apart, sum - half);
                vstore(at + last * apart, u[s][2]);
            }
        }
}

/* Two rows of from after each other, as one of pairs. */
static void pair_rows(float *to, const float *from, int64_t mr, int64_t k)
{
    for (int64_t c = 0; c < k; c += 2, to += mr, from += 2 * mr)
        for (int64_t r = 0; r < mr; r += VF) {
            vf pair = vpairs(vload(from + r), c + 1 < k ? vload(from + mr + r) : vset(0));
            if (c + 2 < k)
                vstore(to + r, pair);
            else
                vstore_part(to + r, pair, wk_min_i64(VF, mr - r));
        }
}

enum { SOME = 16 }; /* channels of kernels: what they make stays in the first-level cache */
static int64_t room_for_kernels(const winograd *p) { return T * (SOME * p->e->mr + VF); }

/* Those of a panel of rows: to [T][words][mr]. */
static void transform_kernels(const winograd *p, int64_t panel, float *room, float *u)
{
    const int64_t mr = p->e->mr;
    int64_t     group = panel / p->down, i = panel % p->down * mr, rows = wk_min_i64(mr, p->m - i);
    const char *w = wk_at_host(p->w);
    for (int64_t c = 0; c < p->c; c += SOME) {
        int64_t k = wk_min_i64(SOME, p->c - c), at = group * p->w_group + i * p->w_m + c * p->w_c;
        transform_some(p, w + at * (p->pairs ? 2 : 4), rows, k, PAIRS && p->pairs, room);
        for (int64_t t = 0; t < T; t++) {
            float *to = u + (t * words(p, p->c) + words(p, c)) * mr,
                  *from = room + t * (k * mr + VF);
            if (PAIRS && p->pairs)
                pair_rows(to, from, mr, k);
            else
                memcpy(to, from, (size_t)(k * mr) * sizeof *room);
        }
    }
}

static void transform_all_kernels(void *ctx, int64_t begin, int64_t end)
{
    const winograd *p = ctx;
    float          *room = wk_scratch((size_t)room_for_kernels(p) * sizeof *room);
    for (int64_t panel = begin; room && panel < end; panel++)
        transform_kernels(p, panel, room, p->u + panel * T * words(p, p->c) * p->e->mr);
}

/* ---- The image: V = B^T d B -------------------------------------------------- */

INLINE void transform_tile(vf d[T])
{
    UNROLLED
    for (int s = 0; s < 4; s++) {
        vf d0 = d[s], d1 = d[4 + s], d2 = d[8 + s], d3 = d[12 + s];
        d[s] = d0 - d2;
        d[4 + s] = d1 + d2;
        d[8 + s] = d2 - d1;
        d[12 + s] = d1 - d3;
    }
    UNROLLED
    for (int r = 0; r < 4; r++) {
        vf w0 = d[4 * r], w1 = d[4 * r + 1], w2 = d[4 * r + 2], w3 = d[4 * r + 3];
        d[4 * r] = w0 - w2;
        d[4 * r + 1] = w1 + w2;
        d[4 * r + 2] = w2 - w1;
        d[4 * r + 3] = w1 - w3;
    }
}

/* Tiles of one channel: [T][nr], or of pairs of neighbours [T / 2][nr]. */
INLINE void take_tile(vf d[T], const float *room, int64_t nr, bool pairs)
{
    UNROLLED
    for (int t = 0; t < T; t++) {
        vu x = (vu)vload(room + (pairs ? t / 2 : t) * nr);
        d[t] = (vf)(!pairs ? x : t % 2 ? x & 0xFFFF0000u : x << 16);
    }
    transform_tile(d);
}

/* A row of a product's operand: the tiles of a channel, or of two, as they were gathered. */
INLINE void transform_row(const float *room, int64_t nr, bool pairs, float *v, int64_t apart,
                          int64_t lane)
{
    for (int64_t l = 0; l < nr; l += VF) {
        vf d[2][T];
        take_tile(d[0], room + l, nr, pairs);
        if (pairs)
            take_tile(d[1], room + T / 2 * nr + l, nr, pairs);
        put(v + l * lane, apart, d, pairs);
    }
}

/* Channels at .. at + k of a group, for the tiles of a panel: to [T][words][tiles], or to
 * [T][tiles / VF][words][VF] of pairs; without a second channel the first stands for it, as
 * the kernels are zeros. */
INLINE void transform_panel(const winograd *p, int64_t group, int64_t at, int64_t k, bool pairs,
                            const conv_run *runs, int n, float *room, float *v)
{
    const int64_t nr = p->e->nr, most = words(p, p->kc), each = pairs ? T / 2 : T;
    int64_t       row[TOGETHER * T];
    for (int64_t c = 0; c < k; c += TOGETHER) {
        int64_t some = wk_min_i64(TOGETHER, k - c);
        some += pairs ? some % 2 : 0;
        for (int64_t i = 0; i < some * each; i++)
            row[i] = (group * p->c + at + wk_min_i64(c + i / each, k - 1)) * p->f.plane +
                     p->offset[i % each];
        conv_gather(&p->f, room, (int)nr, row, some * each, runs, n);
        for (int64_t i = 0; i < some; i += pairs ? 2 : 1) /* of words, with pairs */
            transform_row(room + i * each * nr, nr, pairs, v + words(p, c + i) * (pairs ? VF : nr),
                          most * nr, pairs ? most : 1);
    }
}

/* ---- The result: Y = A^T M A --------------------------------------------------- */

/* The two rows of results of a row of tiles, for one channel: line[2][2 * nr], f32 or bf16. */
INLINE void transform_back(const float *sums, int64_t apart, int64_t nr, float bias, bool halves,
                           float *line)
{
    for (int64_t l = 0; l < nr; l += VF) {
        vf t[2][4], b = vset(bias);
#pragma GCC unroll 4
        for (int s = 0; s < 4; s++) {
            vf m0 = vload(sums + s * apart + l), m1 = vload(sums + (4 + s) * apart + l);
            vf m2 = vload(sums + (8 + s) * apart + l), m3 = vload(sums + (12 + s) * apart + l);
            t[0][s] = m0 + m1 + m2;
            t[1][s] = m1 - m2 - m3;
        }
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) {
            vf y0 = t[i][0] + t[i][1] + t[i][2] + b, y1 = t[i][1] - t[i][2] - t[i][3] + b;
            if (halves) {
                vstore(line + i * nr + l, vpairs(y0, y1));
                continue;
            }
            vstore(line + i * 2 * nr + 2 * l, vzip_low(y0, y1));
            vstore(line + i * 2 * nr + 2 * l + VF, vzip_high(y0, y1));
        }
    }
}

static void copy(char *to, const float *from, int64_t n, bool halves)
{
    int64_t some = halves ? n / 2 : n;
    for (int64_t l = 0; l < some; l += VF) {
        int64_t left = wk_min_i64(VF, some - l);
        vstore_part((void *)(to + l * 4), vload_part(from + l, left), left);
    }
    if (halves && n % 2)
        memcpy(to + 4 * some, from + some, 2);
}

/* rows channels from i on, at the tiles from j on. */
INLINE void finish_as(const winograd *p, int64_t group, int64_t i, int rows, int64_t j, bool halves,
                      const conv_run *runs, int n, const float *sums)
{
    const int64_t nr = p->e->nr, apart = p->e->mr * nr, plane = p->y[0] * p->y[1] * p->y[2];
    const int64_t size = halves ? 2 : 4;
    float         line[4 * CONV_MOST_NR];
    for (int r = 0; r < rows; r++) {
        int64_t channel = group * p->m + i + r;
        transform_back(sums + r * nr, apart, nr, p->bias ? p->bias[channel] : 0, halves, line);
        for (int s = 0; s < n; s++) {
            char   *to = (char *)wk_at_host(p->out) + (channel * plane + runs[s].to) * size;
            int64_t at = (j + runs[s].lane) % p->tiles.count, w = at % p->tiles.grid[2];
            int64_t h = at / p->tiles.grid[2] % p->tiles.grid[1];
            int64_t count = wk_min_i64(2 * runs[s].count, p->y[2] - 2 * w);
            float  *from = line + runs[s].lane * size / 2;
            copy(to, from, count, halves);
            if (2 * h + 1 < p->y[1])
                copy(to + p->y[2] * size, from + nr * size / 2, count, halves);
        }
    }
}

static void finish(const winograd *p, int64_t group, int64_t i, int rows, int64_t j,
                   const conv_run *runs, int n, const float *sums)
{
    if (PAIRS && p->pairs)
        finish_as(p, group, i, rows, j, true, runs, n, sums);
    else
        finish_as(p, group, i, rows, j, false, runs, n, sums);
}

/* ---- Work ---------------------------------------------------------------------- */

typedef struct { /* some panels of tiles of one group, and a part of the results' channels */
    int64_t  group, panel, down[2];
    int      panels, n[PANELS];
    conv_run runs[PANELS][CONV_MOST_NR];
    float   *room, *v, *sums;
} piece;

static void find_runs(const winograd *p, piece *w)
{
    for (int j = 0; j < w->panels; j++) {
        int64_t nr = p->e->nr, first = (w->panel + j) * nr;
        w->n[j] = conv_runs(&p->tiles, first, (int)wk_min_i64(nr, p->b * p->tiles.count - first),
                            w->runs[j]);
    }
}

static void transform_piece(const winograd *p, const piece *w, int64_t at, int64_t k)
{
    for (int j = 0; j < w->panels; j++) {
        float *v = w->v + j * T * words(p, p->kc) * p->e->nr;
        if (PAIRS && p->pairs)
            transform_panel(p, w->group, at, k, true, w->runs[j], w->n[j], w->room, v);
        else
            transform_panel(p, w->group, at, k, false, w->runs[j], w->n[j], w->room, v);
    }
}

/* The i-th panel of rows, whose kernels are u, with channels at .. at + k of a piece. */
static void multiply_rows(const winograd *p, const piece *w, int64_t i, const float *u, int64_t at,
                          int64_t k, float *sums)
{
    const wk_engine *e = p->e;
    const int64_t    tile = e->mr * e->nr, v_part = words(p, p->kc) * e->nr;
    const int64_t    u_part = words(p, p->c) * e->mr;
    int              rows = (int)wk_min_i64(e->mr, p->m - i * e->mr);
    u += words(p, at) * e->mr;
    for (int x = 0; x < T; x++, u += u_part)
        for (int j = 0; j < w->panels; j++)
            e->kernel(&(wk_gemm_tile){ .rows = rows,
                                       .cols = e->nr,
                                       .k = words(p, k) * e->kr,
                                       .a = u,
                                       .b = w->v + (j * T + x) * v_part,
                                       .group = words(p, p->kc) * 64,
                                       .c = sums + (j * T + x) * tile,
                                       .ldc = e->nr,
                                       .add = at > 0,
                                       .next = u + u_part });
    for (int j = 0; j < w->panels && at + k == p->c; j++)
        finish(p, w->group, i * e->mr, rows, (w->panel + j) * e->nr, w->runs[j], w->n[j],
               sums + j * T * tile);
}

static void multiply_piece(const winograd *p, const piece *w)
{
    const int64_t all = w->panels * T * p->e->mr * p->e->nr;
    for (int64_t at = 0; at < p->c; at += p->kc) {
        int64_t k = wk_min_i64(p->kc, p->c - at);
        transform_piece(p, w, at, k);
        for (int64_t i = w->down[0]; i < w->down[1]; i++)
            multiply_rows(p, w, i, p->u + (w->group * p->down + i) * T * words(p, p->c) * p->e->mr,
                          at, k, w->sums + (p->kc < p->c ? (i - w->down[0]) * all : 0));
    }
}

static void multiply_pieces(void *ctx, int64_t begin, int64_t end)
{
    const winograd *p = ctx;
    const int64_t   nr = p->e->nr, pieces = divide_up(p->panels, p->together);
    const int64_t   most = p->kc < p->c ? divide_up(p->down, p->parts) : 1;
    const int64_t   sums = most * T * p->e->mr * nr * p->together;
    const int64_t   v = T * words(p, p->kc) * nr * p->together;
    piece           w;
    w.v = wk_scratch((size_t)(v + sums + TOGETHER * T * nr) * sizeof(float));
    w.sums = w.v + v;
    w.room = w.sums + sums;
    for (int64_t item = begin; w.v && item < end; item++) {
        w.group = item / p->parts / pieces;
        w.panel = item / p->parts % pieces * p->together;
        w.panels = (int)wk_min_i64(p->together, p->panels - w.panel);
        for (int s = 0; s < 2; s++)
            w.down[s] = (item % p->parts + s) * p->down / p->parts;
        find_runs(p, &w);
        multiply_piece(p, &w);
    }
}

/* With few tiles and many channels: first all tiles, of which there is less than of kernels ... */
static void transform_panels(void *ctx, int64_t begin, int64_t end)
{
    const winograd *p = ctx;
    piece           w = { .panels = 1 };
    w.room = wk_scratch((size_t)(TOGETHER * T * p->e->nr) * sizeof(float));
    for (int64_t item = begin; w.room && item < end; item++) {
        w.group = item / p->panels;
        w.panel = item % p->panels;
        w.v = p->v + item * T * words(p, p->c) * p->e->nr;
        find_runs(p, &w);
        transform_piece(p, &w, 0, p->c);
    }
}

/* ... then a panel of kernels at a time, which never leaves the cache. */
static void multiply_panels(void *ctx, int64_t begin, int64_t end)
{
    const winograd *p = ctx;
    const int64_t   each = T * words(p, p->c), u = each * p->e->mr + VF;
    const int64_t   sums = T * p->e->mr * p->e->nr;
    piece           w = { .panels = 1 };
    w.sums = wk_scratch((size_t)(sums + u + room_for_kernels(p)) * sizeof(float));
    w.room = w.sums + sums;
    for (int64_t item = begin; w.sums && item < end; item++) {
        transform_kernels(p, item, w.room + u, w.room);
        w.group = item / p->down;
        for (w.panel = 0; w.panel < p->panels; w.panel++) {
            w.v = p->v + (w.group * p->panels + w.panel) * each * p->e->nr;
            find_runs(p, &w);
            multiply_rows(p, &w, item % p->down, w.room, 0, p->c, w.sums);
        }
    }
}

/* ---- Arrangement ---------------------------------------------------------------- */

/* A conv_transpose of stride 1 is a conv of y with kernels turned around. */
static bool arrange(winograd *p, const conv *v, const wk_call *c)
{
    const wk_cpu_isa *isa = wk_cpu_current();
    wk_dtype          dtype = v->xt->dtype;
    p->pairs = PAIRS && dtype == WK_BF16 && isa->bf16 && isa->bf16->kr == 2;
    p->e = p->pairs ? isa->bf16 : isa->f32;
    p->turned = c->op->id == WK_OP_conv_transpose;
    p->from = p->turned ? v->yt : v->xt;
    p->w = v->wt;
    p->out = c->out;
    p->b = v->b;
    p->groups = v->groups;
    p->m = p->turned ? v->c_of : v->o_of;
    p->c = p->turned ? v->o_of : v->c_of;
    p->w_m = p->turned ? 9 : 9 * v->c_of;
    p->w_c = p->turned ? 9 * v->c_of : 9;
    p->w_group = 9 * v->o_of * v->c_of;
    memcpy(p->n, p->turned ? v->y : v->x, sizeof p->n);
    memcpy(p->y, p->turned ? v->x : v->y, sizeof p->y);
    bool fits = v->k[0] == 1 && v->k[1] == 3 && v->k[2] == 3 && v->before[0] == 0 &&
                v->x[0] == v->y[0] && p->m >= LEAST && p->c >= LEAST;
    for (int i = 0; i < 3; i++) {
        p->before[i] = p->turned ? v->k[i] - 1 - v->before[i] : v->before[i];
        fits &= v->stride[i] == 1 && v->dilation[i] == 1;
    }
    fits &= p->pairs ? p->before[2] >= 0 : p->e == &WK_ISA(engine) && dtype == WK_F32;
    return fits && v->wt->dtype == dtype && v->yt->dtype == dtype;
}

/* The tiles, and how large an image is that has all of theirs. */
static void arrange_grid(winograd *p)
{
    conv_places *t = &p->tiles;
    *t = (conv_places){ .grid = { p->y[0], divide_up(p->y[1], 2), divide_up(p->y[2], 2) } };
    t->count = t->grid[0] * t->grid[1] * t->grid[2];
    for (int i = 0; i < 3; i++) {
        p->f.border[i] = wk_max_i64(p->before[i], 0);
        p->f.size[i] = (i ? 2 * t->grid[i] + 2 : t->grid[i]) + p->f.border[i] - p->before[i];
    }
}

static bool arrange_tiles(winograd *p)
{
    conv_places *t = &p->tiles;
    arrange_grid(p);
    p->f.split = p->pairs ? 1 : 2;
    p->f.dtype = p->from->dtype;
    if (p->pairs && p->f.size[2] <= p->n[2])
        p->f.size[2] = p->n[2] + p->n[2] % 2;
    if (!conv_field(&p->f, p->from, p->n))
        return false;
    if (p->pairs) { /* two neighbours of a row are a word */
        p->f.dtype = WK_F32;
        p->f.size[2] /= 2;
        p->f.width /= 2;
        p->f.plane /= 2;
    }
    int64_t each = p->pairs ? 2 : 4;
    for (int i = 0; i < 4 * each; i++)
        p->offset[i] = field_at(&p->f, 0, i / each + p->f.border[1] - p->before[1],
                                i % each + p->f.border[2] - p->before[2]);
    t->from[0] = field_at(&p->f, 1, 0, 0);
    t->from[1] = field_at(&p->f, 0, 2, 0);
    t->to[0] = p->y[1] * p->y[2];
    t->to[1] = 2 * p->y[2];
    t->to[2] = 2;
    t->image_from = p->groups * p->c * p->f.plane;
    t->image_to = wk_count(p->out) / p->b;
    return true;
}

bool conv_winograd(const conv *v, const wk_call *c, const float *bias)
{
    winograd p = { .bias = bias };
    if (!arrange(&p, v, c))
        return false;
    p.panels = divide_up(p.b * p.y[0] * divide_up(p.y[1], 2) * divide_up(p.y[2], 2), p.e->nr);
    if (p.panels < 2 || !arrange_tiles(&p))
        return false;
    p.down = divide_up(p.m, p.e->mr);
    p.kc = divide_up(p.c, divide_up(p.c, MOST_K));
    p.kc += p.pairs ? p.kc % 2 : 0;
    bool few = p.kc >= p.c && p.panels * p.e->nr < p.m;
    bool two = PANELS * T * words(&p, p.kc) * p.e->nr * (int64_t)sizeof(float) <= MOST_V;
    p.together = two && p.panels * p.groups >= 4 * PANELS * wk_threads() ? PANELS : 1;
    int64_t pieces = p.groups * divide_up(p.panels, p.together);
    int64_t rows = p.groups * p.down, each = T * words(&p, p.c);
    p.parts = wk_max_i64(divide_up(4 * wk_threads(), pieces), pieces < 8 * wk_threads() ? 2 : 1);
    p.parts = wk_min_i64(p.parts, divide_up(p.down, 4));
    wk_tensor *room = wk_pool(wk_tensor_new(wk_cpu_device(), WK_F32,
                                            few ? WK_SHAPE(p.groups * p.panels, each * p.e->nr)
                                                : WK_SHAPE(rows, each * p.e->mr)));
    if (!room)
        return false;
    p.u = p.v = wk_f32(room);
    if (few) {
        wk_parallel(p.groups * p.panels, 1, transform_panels, &p);
        wk_parallel(rows, 1, multiply_panels, &p);
    } else {
        wk_parallel(rows, 4096 / (p.c * p.e->mr) + 1, transform_all_kernels, &p);
        wk_parallel(pieces * p.parts, 1, multiply_pieces, &p);
    }
    return wk_ok();
}

/* ---- The gradient for the kernels --------------------------------------------------
 *
 * The sum over all images and tiles of products of the transformed image with what makes
 * 16 numbers of 2 x 2 gradients, G^T (sum of (A dY A^T) (B^T d B)) G: the steps above, each
 * turned around.  Each thread has channels of its own and takes the tiles in order.  Here
 * lanes are channels, which therefore lie side by side: a transformed tile is a row of what
 * the engine reads. */

/* VF channels of a row. */
static void turn_rows(void *ctx, int64_t begin, int64_t end)
{
    const channels_last *f = ctx;
    const bool           halves = PAIRS && f->halves;
    const int64_t       *n = f->n, c = f->c, plane = n[0] * n[1] * n[2];
    const int64_t        blocks = divide_up(c, VF), width = f->size[2];
    int64_t              count = wk_max_i64(0, wk_min_i64(n[2], width - f->border[2]));
    for (int64_t item = begin; item < end; item++) {
        int64_t row = item / blocks, k = item % blocks * VF, lanes = wk_min_i64(VF, c - k);
        int64_t i = row / f->size[1] % f->size[0] - f->border[0];
        int64_t j = row % f->size[1] - f->border[1], image = row / f->size[1] / f->size[0];
        char   *to = f->data + (row * width * c + k) * (halves ? 2 : 4);
        bool    inside = i >= 0 && i < n[0] && j >= 0 && j < n[1];
        int64_t first = inside ? f->border[2] : width, last = inside ? first + count : width;
        for (int64_t w = 0; w < width; w = w + 1 == first ? last : w + 1)
            store(to, w * c, halves, vset(0), lanes);
        int64_t from = (image * c + k) * plane + (i * n[1] + j) * n[2];
        for (int64_t w = 0; first + w < last; w += VF) {
            int64_t left = wk_min_i64(VF, count - w);
            vf      r[VF] = { { 0 } };
            for (int64_t l = 0; l < lanes; l++) {
                __builtin_prefetch(f->from + (from + l * plane + w + 4 * VF) * (halves ? 2 : 4));
                r[l] = load(f->from, from + l * plane + w, halves, left);
            }
            vtranspose(r);
            for (int64_t l = 0; l < left; l++)
                store(to, (first + w + l) * c, halves, r[l], lanes);
        }
    }
}

/* x with zeros around it, its channels last; more numbers may be read behind it. */
static bool turn(channels_last *f, const wk_tensor *x, const int64_t n[3], int64_t more)
{
    f->c = wk_dim(x, 1);
    int64_t    count = wk_dim(x, 0) * f->size[0] * f->size[1] * f->size[2] * f->c;
    wk_tensor *room = wk_pool(wk_tensor_new(wk_cpu_device(), x->dtype, WK_SHAPE(count + more)));
    size_t     size = wk_dtypes[x->dtype].size;
    if (!room)
        return false;
    f->halves = x->dtype == WK_BF16;
    f->data = wk_at_host(room);
    f->from = wk_at_host(x);
    memcpy(f->n, n, sizeof f->n);
    memset(f->data + (size_t)count * size, 0, (size_t)more * size);
    channels_last rows = *f;
    if (f->size[2] == n[2] && f->size[1] == n[1] && !f->border[1] && !f->border[2]) {
        rows.size[2] = rows.n[2] = n[1] * n[2]; /* a plane is a row */
        rows.size[1] = rows.n[1] = 1;
    }
    int64_t items = count / (rows.size[2] * f->c) * divide_up(f->c, VF);
    wk_parallel(items, 8192 / (rows.size[2] * VF) + 1, turn_rows, &rows);
    return true;
}

/* d[4 r + s]: 2 x 2 gradients -> A dY A^T. */
INLINE void transform_gradient(vf d[T])
{
    vf t[4][2];
#pragma GCC unroll 2
    for (int s = 0; s < 2; s++) {
        vf y0 = d[s], y1 = d[4 + s];
        t[0][s] = y0;
        t[1][s] = y0 + y1;
        t[2][s] = y0 - y1;
        t[3][s] = -y1;
    }
#pragma GCC unroll 4
    for (int r = 0; r < 4; r++) {
        d[4 * r] = t[r][0];
        d[4 * r + 1] = t[r][0] + t[r][1];
        d[4 * r + 2] = t[r][0] - t[r][1];
        d[4 * r + 3] = -t[r][1];
    }
}

enum { MOST_TILES = 128 }; /* in one product */

typedef struct { /* what a thread works with: some tiles, and its channels of the image */
    int64_t group, wide[2], down[2], tiles;
    int64_t at[2][MOST_TILES]; /* where they begin in the image, and in the gradient */
    float  *a, *b;             /* transformed */
} share;

/* What a vector has too many is overwritten by the next. */
static int64_t apart_a(const winograd *p) { return words(p, p->together) * p->e->mr + VF; }
static int64_t apart_b(const winograd *p) { return words(p, p->together) * p->e->nr + VF; }

/* A tile, or its gradient, of VF channels. */
INLINE void take_channels(vf d[T], const channels_last *f, int64_t at, bool is_gradient,
                          bool halves)
{
    const int64_t right = f->c, down = f->size[2] * right;
    const int     side = is_gradient ? 2 : 4;
    UNROLLED
    for (int i = 0; i < side * side; i++)
        d[i / side * 4 + i % side] =
            load(f->data, at + i / side * down + i % side * right, halves, VF);
    if (is_gradient)
        transform_gradient(d);
    else
        transform_tile(d);
}

/* width channels from c on of all tiles, or of pairs of them: to [T][words][width]; of the
 * image in pairs to [T][width / VF][words][VF], as its engine reads them.  Where a second
 * tile is missing, its gradient is 0. */
INLINE void transform_share(const winograd *p, const share *w, bool is_gradient, bool pairs,
                            int64_t c, int64_t width, float *to, int64_t apart)
{
    const channels_last *f = is_gradient ? &p->gradient : &p->image;
    const int64_t       *at = w->at[is_gradient], most = words(p, p->together);
    for (int64_t t = 0; t < w->tiles; t += pairs ? 2 : 1)
        for (int64_t l = 0; l < width; l += VF) {
            int64_t row = words(p, t);
            vf      d[2][T];
            take_channels(d[0], f, at[t] + c + l, is_gradient, pairs);
            if (pairs)
                take_channels(d[1], f, at[t + 1 < w->tiles ? t + 1 : t] + c + l, is_gradient,
                              pairs);
            if (pairs && is_gradient && t + 1 == w->tiles)
                for (int i = 0; i < T; i++)
                    d[1][i] = vset(0);
            put(to + (pairs && !is_gradient ? l * most + row * VF : row * width + l), apart, d,
                pairs);
        }
}

INLINE void multiply_share(const winograd *p, share *w, bool pairs, bool add)
{
    const wk_engine *e = p->e;
    const int64_t    nr = e->nr, mr = e->mr;
    for (int64_t j = w->wide[0]; j < w->wide[1]; j++)
        transform_share(p, w, false, pairs, w->group * p->c + j * nr, nr,
                        w->b + (j - w->wide[0]) * T * apart_b(p), apart_b(p));
    for (int64_t i = w->down[0]; i < w->down[1]; i++) {
        transform_share(p, w, true, pairs, w->group * p->m + i * mr, mr, w->a, apart_a(p));
        for (int k = 0; k < T; k++)
            for (int64_t j = w->wide[0]; j < w->wide[1]; j++) {
                int64_t tile = ((w->group * p->down + i) * T + k) * p->wide + j;
                e->kernel(&(wk_gemm_tile){ .rows = (int)wk_min_i64(mr, p->m - i * mr),
                                           .cols = (int)wk_min_i64(nr, p->c - j * nr),
                                           .k = words(p, w->tiles) * e->kr,
                                           .a = w->a + k * apart_a(p),
                                           .b = w->b + ((j - w->wide[0]) * T + k) * apart_b(p),
                                           .group = words(p, p->together) * 64,
                                           .c = p->sums + tile * mr * nr,
                                           .ldc = nr,
                                           .add = add });
            }
    }
}

/* Tiles from first on. */
static void add_tiles(const winograd *p, share *w, int64_t first)
{
    const int64_t *grid = p->tiles.grid, *before = p->before;
    w->tiles = wk_min_i64(p->together, p->b * p->tiles.count - first);
    for (int64_t t = 0; t < w->tiles; t++) {
        int64_t at = first + t, right = at % grid[2] * 2, down = at / grid[2] % grid[1] * 2;
        for (int i = 0; i < 2; i++) {
            const channels_last *f = i ? &p->gradient : &p->image;
            int64_t              u = i ? 0 : f->border[1] - before[1];
            int64_t              v = i ? 0 : f->border[2] - before[2];
            int64_t              row = at / grid[2] / grid[1] * f->size[1] + down + u;
            w->at[i][t] = (row * f->size[2] + right + v) * f->c;
        }
    }
    if (PAIRS && p->pairs)
        multiply_share(p, w, true, first > 0);
    else
        multiply_share(p, w, false, first > 0);
}

static void add_shares(void *ctx, int64_t begin, int64_t end)
{
    const winograd *p = ctx;
    const int64_t   most = divide_up(p->wide, p->split[0]), a = T * apart_a(p);
    share           w;
    w.a = wk_scratch((size_t)(a + most * T * apart_b(p)) * sizeof(float));
    w.b = w.a + a;
    for (int64_t item = begin; w.a && item < end; item++) {
        int64_t i = item / p->split[0] % p->split[1], j = item % p->split[0];
        w.group = item / p->split[0] / p->split[1];
        for (int s = 0; s < 2; s++) {
            w.wide[s] = (j + s) * p->wide / p->split[0];
            w.down[s] = (i + s) * p->down / p->split[1];
        }
        for (int64_t at = 0; at < p->b * p->tiles.count; at += p->together)
            add_tiles(p, &w, at);
    }
}

/* G^T M G of some panels of rows, to where the gradient lies. */
static void store_kernels(void *ctx, int64_t begin, int64_t end)
{
    const winograd      *p = ctx;
    const wk_dtype_info *d = &wk_dtypes[p->w->dtype];
    const int64_t        mr = p->e->mr, nr = p->e->nr, tile = mr * nr;
    for (int64_t at = begin; at < end; at++) {
        int64_t i = at / p->wide % p->down, j = at % p->wide, group = at / p->wide / p->down;
        for (int64_t r = 0; r < wk_min_i64(mr, p->m - i * mr); r++)
            for (int64_t l = 0; l < nr && j * nr + l < p->c; l += VF) {
                const float *sums =
                    p->sums + (group * p->down + i) * T * p->wide * tile + j * tile + r * nr + l;
                int64_t at_w = group * p->w_group + (i * mr + r) * p->w_m + (j * nr + l) * p->w_c;
                float   w[9][VF];
                vf      u[3][4];
                for (int s = 0; s < 4; s++) {
                    vf m[4];
                    for (int t = 0; t < 4; t++)
                        m[t] = vload(sums + (4 * t + s) * p->wide * tile);
                    u[0][s] = m[0] + (m[1] + m[2]) * 0.5f;
                    u[1][s] = (m[1] - m[2]) * 0.5f;
                    u[2][s] = (m[1] + m[2]) * 0.5f + m[3];
                }
                for (int s = 0; s < 3; s++) {
                    vstore(w[3 * s], u[s][0] + (u[s][1] + u[s][2]) * 0.5f);
                    vstore(w[3 * s + 1], (u[s][1] - u[s][2]) * 0.5f);
                    vstore(w[3 * s + 2], (u[s][1] + u[s][2]) * 0.5f + u[s][3]);
                }
                float turned[9 * VF];
                for (int c = 0; c < VF; c++)
                    for (int t = 0; t < 9; t++)
                        turned[c * 9 + t] = w[t][c];
                d->store[WK_AS_F32]((char *)wk_at_host(p->w) + (size_t)at_w * d->size, turned,
                                    9 * wk_min_i64(VF, p->c - j * nr - l), 1);
            }
    }
}

/* The image and the gradient as tiles read them. */
static bool arrange_gradient(winograd *p, const conv *v)
{
    int64_t more = 2 * p->e->nr + 2 * p->e->mr; /* lanes without channels */
    arrange_grid(p);
    for (int i = 0; i < 3; i++) {
        p->image.border[i] = wk_max_i64(p->before[i], 0);
        p->image.size[i] = p->f.size[i];
        p->gradient.size[i] = (i ? 2 : 1) * p->tiles.grid[i];
    }
    return turn(&p->image, v->xt, v->x, more) && turn(&p->gradient, v->yt, v->y, more);
}

bool conv_winograd_weight(const conv *v, const wk_call *c)
{
    winograd p = { .bias = NULL };
    if (!arrange(&p, v, c))
        return false;
    const int64_t mr = p.e->mr, nr = p.e->nr, each = divide_up(wk_threads(), p.groups);
    p.down = divide_up(p.m, mr);
    p.wide = divide_up(p.c, nr);
    p.split[0] = wk_min_i64(p.wide, each);
    p.split[1] = wk_min_i64(p.down, divide_up(each, p.split[0]));
    if (!arrange_gradient(&p, v))
        return false;
    int64_t bytes = T * p.wide * nr * (int64_t)sizeof(float); /* of a tile, whatever the threads */
    for (p.together = 32; 2 * p.together <= MOST_TILES && 2 * p.together * bytes <= MOST_V;)
        p.together *= 2;
    wk_tensor *sums = wk_pool(
        wk_tensor_new(wk_cpu_device(), WK_F32, WK_SHAPE(p.groups * p.down * T, p.wide * mr * nr)));
    if (!sums)
        return false;
    p.sums = wk_f32(sums);
    wk_parallel(p.groups * p.split[0] * p.split[1], 1, add_shares, &p);
    wk_parallel(p.groups * p.down * p.wide, 4096 / (mr * nr) + 1, store_kernels, &p);
    return wk_ok();
}
