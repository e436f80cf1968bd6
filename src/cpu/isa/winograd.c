// SPDX-License-Identifier: MIT OR Apache-2.0
/* winograd.c - convolution with 3 x 3 kernels of stride 1 in fewer multiplications.
 *
 * A tile of 2 x 2 results comes from 4 x 4 elements of the image in 16 multiplications for
 * each channel, where the plain sum takes 36: F(2 x 2, 3 x 3) of Lavin and Gray, "Fast
 * algorithms for convolutional neural networks", 2015.  Its error in f32 is no larger than
 * that of the plain sum.  The 16 are products of matrices, u [o, c] x v [c, tiles], and a
 * thread goes through all of them for some tiles at a time, so that what it transforms
 * stays in its cache.  A tile with an infinity in it is NaN as a whole. */
#include "conv.h"

#include "../simd.h"

enum {
    T = 16,             /* elements of a transformed tile */
    LEAST = 16,         /* channels on both sides, for which it pays */
    TOGETHER = 8,       /* channels gathered at a time */
    PANELS = 2,         /* of tiles in a piece of work, if they fit into */
    MOST_V = 512 << 10, /* bytes: half a second-level cache */
    MOST_K = 512        /* channels in one product */
};

typedef struct { /* [b, size[0], size[1], size[2], c], from [b, c, n[0], n[1], n[2]] */
    const float *from;
    float       *data;
    int64_t      n[3], size[3], border[3], c;
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
    bool             turned;
    int64_t          offset[T]; /* of a tile's elements in the field */
    int64_t          down, panels, together, kc;
    float           *u; /* [groups][down][T][c][mr] */

    channels_last image, gradient; /* of the gradient for the kernels, as all that follows */
    int64_t       wide;            /* panels of channels of the image */
    int64_t       split[2];        /* parts of wide, and of down */
    float        *sums;            /* [groups][down][T][wide][mr][nr] */
} winograd;

static int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* ---- The kernels: U = G g G^T ---------------------------------------------- */

/* Kernels of k channels from c on, for rows of a panel: to [T][k mr + VF].  Lanes are rows;
 * what a vector has too many is overwritten by the next. */
static void transform_some(const winograd *p, const float *w, int64_t rows, int64_t k, float *to)
{
    const int64_t mr = p->e->mr, apart = k * mr + VF;
    for (int64_t c = 0; c < k; c++, w += p->w_c)
        for (int64_t r = 0; r < mr; r += VF) {
            float g[9][VF] = { { 0 } };
            vf    u[4][3];
            for (int l = 0; l < VF && r + l < rows; l++)
                for (int t = 0; t < 9; t++)
                    g[t][l] = w[(r + l) * p->w_m + (p->turned ? 8 - t : t)];
#pragma GCC unroll 3
            for (int s = 0; s < 3; s++) {
                vf g0 = vload(g[s]), g1 = vload(g[3 + s]) * 0.5f, g2 = vload(g[6 + s]);
                u[0][s] = g0;
                u[1][s] = (g0 + g2) * 0.5f + g1;
                u[2][s] = (g0 + g2) * 0.5f - g1;
                u[3][s] = g2;
            }
            float *at = to + c * mr + r;
#pragma GCC unroll 4
            for (int s = 0; s < 4; s++, at += 4 * apart) {
                vf sum = (u[s][0] + u[s][2]) * 0.5f, half = u[s][1] * 0.5f;
                vstore(at, u[s][0]);
                vstore(at + apart, sum + half);
                vstore(at + 2 * apart, sum - half);
                vstore(at + 3 * apart, u[s][2]);
            }
        }
}

static void transform_kernels(void *ctx, int64_t begin, int64_t end)
{
    enum { SOME = 16 }; /* channels: what they make stays in the first-level cache */
    const winograd *p = ctx;
    const int64_t   mr = p->e->mr;
    float          *room = wk_scratch((size_t)(T * (SOME * mr + VF)) * sizeof *room);
    for (int64_t panel = begin; room && panel < end; panel++) {
        int64_t      group = panel / p->down, i = panel % p->down * mr;
        const float *w = wk_f32(p->w) + group * p->w_group + i * p->w_m;
        for (int64_t c = 0; c < p->c; c += SOME) {
            int64_t k = wk_min_i64(SOME, p->c - c);
            transform_some(p, w + c * p->w_c, wk_min_i64(mr, p->m - i), k, room);
            for (int64_t t = 0; t < T; t++)
                memcpy(p->u + ((panel * T + t) * p->c + c) * mr, room + t * (k * mr + VF),
                       (size_t)(k * mr) * sizeof *room);
        }
    }
}

/* ---- The image: V = B^T d B -------------------------------------------------- */

/* d: 4 x 4, down and right elements apart -> v: [T], apart elements each; of nr lanes. */
INLINE void transform_tiles(const float *d, int64_t down, int64_t right, float *v, int64_t apart,
                            int64_t nr)
{
    for (int64_t l = 0; l < nr; l += VF) {
        vf w[4][4];
#pragma GCC unroll 4
        for (int s = 0; s < 4; s++) {
            vf d0 = vload(d + s * right + l), d1 = vload(d + down + s * right + l);
            vf d2 = vload(d + 2 * down + s * right + l), d3 = vload(d + 3 * down + s * right + l);
            w[0][s] = d0 - d2;
            w[1][s] = d1 + d2;
            w[2][s] = d2 - d1;
            w[3][s] = d1 - d3;
        }
#pragma GCC unroll 4
        for (int r = 0; r < 4; r++) {
            vstore(v + (4 * r + 0) * apart + l, w[r][0] - w[r][2]);
            vstore(v + (4 * r + 1) * apart + l, w[r][1] + w[r][2]);
            vstore(v + (4 * r + 2) * apart + l, w[r][2] - w[r][1]);
            vstore(v + (4 * r + 3) * apart + l, w[r][1] - w[r][3]);
        }
    }
}

/* Channels at .. at + k of a group, for the tiles of a panel: to [T][channels][tiles], apart
 * and channel elements each. */
static void transform_panel(const winograd *p, int64_t group, int64_t at, int64_t k,
                            const conv_run *runs, int n, float *room, float *v, int64_t apart,
                            int64_t channel)
{
    const int64_t nr = p->e->nr;
    int64_t       row[TOGETHER * T];
    for (int64_t c = 0; c < k; c += TOGETHER) {
        int64_t some = wk_min_i64(TOGETHER, k - c);
        for (int64_t i = 0; i < some * T; i++)
            row[i] = (group * p->c + at + c + i / T) * p->f.plane + p->offset[i % T];
        conv_gather(&p->f, room, (int)nr, row, some * T, runs, n);
        for (int64_t i = 0; i < some; i++)
            transform_tiles(room + i * T * nr, 4 * nr, nr, v + (c + i) * channel, apart, nr);
    }
}

/* ---- The result: Y = A^T M A --------------------------------------------------- */

/* The two rows of results of a row of tiles, for one channel: line[2][2 * nr]. */
INLINE void transform_back(const float *sums, int64_t apart, int64_t nr, float bias, float *line)
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
            vstore(line + i * 2 * nr + 2 * l, vzip_low(y0, y1));
            vstore(line + i * 2 * nr + 2 * l + VF, vzip_high(y0, y1));
        }
    }
}

static void copy(float *to, const float *from, int64_t n)
{
    for (int64_t l = 0; l < n; l += VF)
        vstore_part(to + l, vload_part(from + l, wk_min_i64(VF, n - l)), wk_min_i64(VF, n - l));
}

/* rows channels from i on, at the tiles from j on. */
static void finish(const winograd *p, int64_t group, int64_t i, int rows, int64_t j,
                   const conv_run *runs, int n, const float *sums)
{
    const int64_t nr = p->e->nr, apart = p->e->mr * nr, plane = p->y[0] * p->y[1] * p->y[2];
    float         line[4 * CONV_MOST_NR];
    for (int r = 0; r < rows; r++) {
        int64_t channel = group * p->m + i + r;
        transform_back(sums + r * nr, apart, nr, p->bias ? p->bias[channel] : 0, line);
        for (int s = 0; s < n; s++) {
            float  *to = wk_f32(p->out) + channel * plane + runs[s].to;
            int64_t at = (j + runs[s].lane) % p->tiles.count, w = at % p->tiles.grid[2];
            int64_t h = at / p->tiles.grid[2] % p->tiles.grid[1];
            int64_t count = wk_min_i64(2 * runs[s].count, p->y[2] - 2 * w);
            copy(to, line + 2 * runs[s].lane, count);
            if (2 * h + 1 < p->y[1])
                copy(to + p->y[2], line + 2 * nr + 2 * runs[s].lane, count);
        }
    }
}

/* ---- Work ---------------------------------------------------------------------- */

typedef struct { /* some panels of tiles of one group */
    int64_t  group, panel;
    int      panels, n[PANELS];
    conv_run runs[PANELS][CONV_MOST_NR];
    float   *room, *v, *sums;
} piece;

static void multiply_piece(const winograd *p, const piece *w)
{
    const wk_engine *e = p->e;
    const int64_t    tile = e->mr * e->nr, all = T * tile, v_panel = T * p->kc * e->nr;
    for (int64_t at = 0; at < p->c; at += p->kc) {
        int64_t k = wk_min_i64(p->kc, p->c - at);
        for (int j = 0; j < w->panels; j++)
            transform_panel(p, w->group, at, k, w->runs[j], w->n[j], w->room, w->v + j * v_panel,
                            p->kc * e->nr, e->nr);
        for (int64_t i = 0; i < p->down; i++) {
            const float *u = p->u + (w->group * p->down + i) * T * p->c * e->mr;
            int          rows = (int)wk_min_i64(e->mr, p->m - i * e->mr);
            float       *sums = w->sums + (p->kc < p->c ? i * w->panels * all : 0);
            for (int x = 0; x < T; x++)
                for (int j = 0; j < w->panels; j++)
                    e->kernel(&(wk_gemm_tile){ .rows = rows,
                                               .cols = e->nr,
                                               .k = k,
                                               .a = u + (x * p->c + at) * e->mr,
                                               .b = w->v + j * v_panel + x * p->kc * e->nr,
                                               .c = sums + j * all + x * tile,
                                               .ldc = e->nr,
                                               .add = at > 0 });
            for (int j = 0; j < w->panels && at + k == p->c; j++)
                finish(p, w->group, i * e->mr, rows, (w->panel + j) * e->nr, w->runs[j], w->n[j],
                       sums + j * all);
        }
    }
}

static void multiply_pieces(void *ctx, int64_t begin, int64_t end)
{
    const winograd *p = ctx;
    const int64_t   nr = p->e->nr, pieces = divide_up(p->panels, p->together);
    const int64_t   sums = (p->kc < p->c ? p->down : 1) * T * p->e->mr * nr * p->together;
    const int64_t   v = T * p->kc * nr * p->together;
    piece           w;
    w.v = wk_scratch((size_t)(v + sums + TOGETHER * T * nr) * sizeof(float));
    w.sums = w.v + v;
    w.room = w.sums + sums;
    for (int64_t item = begin; w.v && item < end; item++) {
        w.group = item / pieces;
        w.panel = item % pieces * p->together;
        w.panels = (int)wk_min_i64(p->together, p->panels - w.panel);
        for (int j = 0; j < w.panels; j++) {
            int64_t first = (w.panel + j) * nr;
            w.n[j] = conv_runs(&p->tiles, first, (int)wk_min_i64(nr, p->b * p->tiles.count - first),
                               w.runs[j]);
        }
        multiply_piece(p, &w);
    }
}

/* ---- Arrangement ---------------------------------------------------------------- */

/* A conv_transpose of stride 1 is a conv of y with kernels turned around. */
static bool arrange(winograd *p, const conv *v, const wk_call *c)
{
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
    return fits && p->from->dtype == WK_F32 && p->w->dtype == WK_F32 && p->out->dtype == WK_F32;
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
    p->f.split = 2;
    if (!conv_field(&p->f, p->from, p->n))
        return false;
    for (int i = 0; i < T; i++)
        p->offset[i] = field_at(&p->f, 0, i / 4 + p->f.border[1] - p->before[1],
                                i % 4 + p->f.border[2] - p->before[2]);
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
    winograd p = { .e = wk_cpu_current()->f32, .bias = bias };
    if (p.e != &WK_ISA(engine) || !arrange(&p, v, c))
        return false;
    p.panels = divide_up(p.b * p.y[0] * divide_up(p.y[1], 2) * divide_up(p.y[2], 2), p.e->nr);
    if (p.panels < 2 || !arrange_tiles(&p))
        return false;
    p.down = divide_up(p.m, p.e->mr);
    p.kc = divide_up(p.c, divide_up(p.c, MOST_K));
    bool two = PANELS * T * p.kc * p.e->nr * (int64_t)sizeof(float) <= MOST_V;
    p.together = two && p.panels * p.groups >= 4 * PANELS * wk_threads() ? PANELS : 1;
    wk_tensor *u = wk_pool(
        wk_tensor_new(wk_cpu_device(), WK_F32, WK_SHAPE(p.groups * p.down, T * p.c * p.e->mr)));
    if (!u)
        return false;
    p.u = wk_f32(u);
    wk_parallel(p.groups * p.down, 4096 / (p.c * p.e->mr) + 1, transform_kernels, &p);
    wk_parallel(p.groups * divide_up(p.panels, p.together), 1, multiply_pieces, &p);
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
    const int64_t       *n = f->n, c = f->c, plane = n[0] * n[1] * n[2];
    const int64_t        blocks = divide_up(c, VF), width = f->size[2];
    int64_t              count = wk_max_i64(0, wk_min_i64(n[2], width - f->border[2]));
    for (int64_t item = begin; item < end; item++) {
        int64_t row = item / blocks, k = item % blocks * VF, lanes = wk_min_i64(VF, c - k);
        int64_t i = row / f->size[1] % f->size[0] - f->border[0];
        int64_t j = row % f->size[1] - f->border[1], image = row / f->size[1] / f->size[0];
        float  *to = f->data + row * width * c + k;
        bool    inside = i >= 0 && i < n[0] && j >= 0 && j < n[1];
        int64_t first = inside ? f->border[2] : width, last = inside ? first + count : width;
        for (int64_t w = 0; w < width; w = w + 1 == first ? last : w + 1)
            vstore_part(to + w * c, vset(0), lanes);
        const float *from = f->from + (image * c + k) * plane + (i * n[1] + j) * n[2];
        for (int64_t w = 0; first + w < last; w += VF) {
            int64_t left = wk_min_i64(VF, count - w);
            vf      r[VF] = { { 0 } };
            for (int64_t l = 0; l < lanes; l++) {
                const float *at = from + l * plane + w;
                __builtin_prefetch(at + 4 * VF);
                r[l] = left == VF ? vload(at) : vload_part(at, left);
            }
            vtranspose(r);
            for (int64_t l = 0; l < left; l++)
                vstore_part(to + (first + w + l) * c, r[l], lanes);
        }
    }
}

/* x with zeros around it, its channels last; more floats may be read behind it. */
static bool turn(channels_last *f, const wk_tensor *x, const int64_t n[3], int64_t more)
{
    f->c = wk_dim(x, 1);
    int64_t    count = wk_dim(x, 0) * f->size[0] * f->size[1] * f->size[2] * f->c;
    wk_tensor *room = wk_pool(wk_tensor_new(wk_cpu_device(), WK_F32, WK_SHAPE(count + more)));
    if (!room)
        return false;
    f->data = wk_f32(room);
    f->from = wk_f32(x);
    memcpy(f->n, n, sizeof f->n);
    memset(f->data + count, 0, (size_t)more * sizeof *f->data);
    channels_last rows = *f;
    if (f->size[2] == n[2] && f->size[1] == n[1] && !f->border[1] && !f->border[2]) {
        rows.size[2] = rows.n[2] = n[1] * n[2]; /* a plane is a row */
        rows.size[1] = rows.n[1] = 1;
    }
    int64_t items = count / (rows.size[2] * f->c) * divide_up(f->c, VF);
    wk_parallel(items, 8192 / (rows.size[2] * VF) + 1, turn_rows, &rows);
    return true;
}

/* dy: 2 x 2, down and right elements apart -> m: [T], apart elements each. */
INLINE void transform_gradient(const float *dy, int64_t down, int64_t right, float *m,
                               int64_t apart, int64_t nr)
{
    for (int64_t l = 0; l < nr; l += VF) {
        vf t[4][2];
#pragma GCC unroll 2
        for (int s = 0; s < 2; s++) {
            vf y0 = vload(dy + s * right + l), y1 = vload(dy + down + s * right + l);
            t[0][s] = y0;
            t[1][s] = y0 + y1;
            t[2][s] = y0 - y1;
            t[3][s] = -y1;
        }
#pragma GCC unroll 4
        for (int r = 0; r < 4; r++) {
            vstore(m + (4 * r + 0) * apart + l, t[r][0]);
            vstore(m + (4 * r + 1) * apart + l, t[r][0] + t[r][1]);
            vstore(m + (4 * r + 2) * apart + l, t[r][0] - t[r][1]);
            vstore(m + (4 * r + 3) * apart + l, -t[r][1]);
        }
    }
}

enum { MOST_TILES = 128 }; /* in one product */

typedef struct { /* what a thread works with: some tiles, and its channels of the image */
    int64_t group, wide[2], down[2], tiles;
    int64_t at[2][MOST_TILES]; /* where they begin in the image, and in the gradient */
    float  *a, *b;             /* transformed */
} share;

/* What a vector has too many is overwritten by the next. */
static int64_t apart_a(const winograd *p) { return p->together * p->e->mr + VF; }
static int64_t apart_b(const winograd *p) { return p->together * p->e->nr + VF; }

static void multiply_share(const winograd *p, share *w, bool add)
{
    const wk_engine     *e = p->e;
    const channels_last *x = &p->image, *y = &p->gradient;
    const int64_t        nr = e->nr, mr = e->mr;
    for (int64_t j = w->wide[0]; j < w->wide[1]; j++)
        for (int64_t t = 0; t < w->tiles; t++)
            transform_tiles(x->data + w->at[0][t] + w->group * p->c + j * nr, x->size[2] * x->c,
                            x->c, w->b + (j - w->wide[0]) * T * apart_b(p) + t * nr, apart_b(p),
                            nr);
    for (int64_t i = w->down[0]; i < w->down[1]; i++) {
        for (int64_t t = 0; t < w->tiles; t++)
            transform_gradient(y->data + w->at[1][t] + w->group * p->m + i * mr, y->size[2] * y->c,
                               y->c, w->a + t * mr, apart_a(p), mr);
        for (int k = 0; k < T; k++)
            for (int64_t j = w->wide[0]; j < w->wide[1]; j++) {
                int64_t tile = ((w->group * p->down + i) * T + k) * p->wide + j;
                e->kernel(&(wk_gemm_tile){ .rows = (int)wk_min_i64(mr, p->m - i * mr),
                                           .cols = (int)wk_min_i64(nr, p->c - j * nr),
                                           .k = w->tiles,
                                           .a = w->a + k * apart_a(p),
                                           .b = w->b + ((j - w->wide[0]) * T + k) * apart_b(p),
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
    multiply_share(p, w, first > 0);
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
    const winograd *p = ctx;
    const int64_t   mr = p->e->mr, nr = p->e->nr, tile = mr * nr;
    for (int64_t at = begin; at < end; at++) {
        int64_t i = at / p->wide % p->down, j = at % p->wide, group = at / p->wide / p->down;
        for (int64_t r = 0; r < wk_min_i64(mr, p->m - i * mr); r++)
            for (int64_t l = 0; l < nr && j * nr + l < p->c; l += VF) {
                const float *sums =
                    p->sums + (group * p->down + i) * T * p->wide * tile + j * tile + r * nr + l;
                float *to = wk_f32(p->w) + group * p->w_group + (i * mr + r) * p->w_m +
                            (j * nr + l) * p->w_c;
                float w[9][VF];
                vf    u[3][4];
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
                for (int64_t c = 0; c < wk_min_i64(VF, p->c - j * nr - l); c++)
                    for (int t = 0; t < 9; t++)
                        to[c * 9 + t] = w[t][c];
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
    winograd p = { .e = wk_cpu_current()->f32 };
    if (p.e != &WK_ISA(engine) || !arrange(&p, v, c) || v->yt->dtype != WK_F32)
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
