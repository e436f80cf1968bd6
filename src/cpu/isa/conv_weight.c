// SPDX-License-Identifier: MIT OR Apache-2.0
/* conv_weight.c - the gradient of convolution for its weight as a product of matrices.
 *
 * w [o, c k] = y [o, places] x the windows of x [places, c k], over all images.  y is
 * packed for some images at a time; each thread gathers the windows for its own columns
 * of w and goes through these images' places with them, so that the order of a sum does
 * not depend on the threads. */
#include "conv.h"

enum { MOST_NR = 64, PANELS = 4, KC = 256, ALIGN = 64, PACKED = 32 << 20 };

typedef struct {
    const wk_engine *e;
    const conv      *v;
    field            f, g; /* of x; of y, for single channels */
    int64_t         *offset;
    int64_t          grid[2], from[2];  /* rows of places, and from one to the next */
    int64_t          width, kc, chunks; /* of a row; places that go together; of an image */
    int64_t          columns, panels, blocks, down;
    int64_t          together, apart; /* small images in a sum, and their places, rounded up */
    int64_t          image, images;   /* now packed: from image on */
    size_t           a_panel, b_panel;
    char            *packed;
    float           *sums;
} product;

static size_t aligned(size_t n) { return (n + ALIGN - 1) / ALIGN * ALIGN; }

/* How many steps the images that are packed take, and the images in one. */
static int64_t steps(const product *p) { return divide_up(p->images, p->together) * p->chunks; }
static int64_t images_in(const product *p, int64_t step)
{
    return wk_min_i64(p->together, p->images - step / p->chunks * p->together);
}

/* Places of a step. */
static int64_t places_in(const product *p, int64_t step)
{
    return p->together > 1 ? images_in(p, step) * p->apart
                           : wk_min_i64(p->kc, p->v->ny - step % p->chunks * p->kc);
}

/* y as panels [groups][steps][down]. */
static void pack_panels(void *ctx, int64_t begin, int64_t end)
{
    const product   *p = ctx;
    const conv      *v = p->v;
    const wk_engine *e = p->e;
    size_t           size = wk_dtypes[v->yt->dtype].size;
    char            *room = p->together > 1 ? wk_scratch((size_t)(e->mr * p->kc) * size) : NULL;
    if (p->together > 1 && !room)
        return;
    for (int64_t at = begin; at < end; at++) {
        int64_t i = at % p->down * e->mr, step = at / p->down % steps(p);
        int64_t group = at / p->down / steps(p), rows = wk_min_i64(e->mr, v->o_of - i);
        int64_t image = p->image + step / p->chunks * p->together;
        wk_mat  y = { wk_at_host(v->yt), v->yt->dtype, v->ny, 1 };
        y = wk_mat_at(y, (image * v->groups + group) * v->o_of + i, step % p->chunks * p->kc);
        if (p->together > 1) {
            wk_mat all = { room, v->yt->dtype, p->kc, 1 };
            memset(room, 0, (size_t)(rows * p->kc) * size);
            for (int64_t b = 0; b < images_in(p, step); b++)
                for (int64_t r = 0; r < rows; r++)
                    memcpy(room + (size_t)(r * p->kc + b * p->apart) * size,
                           wk_mat_at(y, b * v->groups * v->o_of + r, 0).data, (size_t)v->ny * size);
            y = all;
        }
        e->pack_a(p->packed + (size_t)at * p->a_panel, &y, rows, places_in(p, step));
    }
}

/* count elements, and no more */
static inline void copy_run(char *to, const char *from, int64_t count, bool wide)
{
    if (!wide) {
        memcpy(to, from, (size_t)count * 2);
        return;
    }
    float       *t = (float *)(void *)to;
    const float *s = (const float *)(const void *)from;
    int64_t      i = 0;
    for (; i + VF <= count; i += VF)
        vstore(t + i, vload(s + i));
    if (i < count)
        vstore_part(t + i, vload_part(s + i, count - i), count - i);
}

/* k places from place on, of column c of the windows. */
static void gather_column(const product *p, int64_t image, int64_t group, int64_t c, int64_t place,
                          int64_t k, char *to)
{
    const conv *v = p->v;
    bool        wide = p->f.dtype == WK_F32;
    int64_t     at =
        ((image * v->groups + group) * v->c_of + c / v->nk) * p->f.plane + p->offset[c % v->nk];
    for (int64_t done = 0, count; done < k; done += count) {
        int64_t row = (place + done) / p->width, w = (place + done) % p->width;
        int64_t from = row / p->grid[1] * p->from[0] + row % p->grid[1] * p->from[1] + w;
        count = wk_min_i64(p->width - w, k - done);
        copy_run(to + (size_t)done * (wide ? 4 : 2),
                 p->f.data + (size_t)(at + from) * (wide ? 4 : 2), count, wide);
    }
}

/* The places of a step, of the windows' elements first .. first + cols, as a panel. */
static void gather(const product *p, int64_t step, int64_t group, int64_t first, int64_t cols,
                   char *room, void *panel)
{
    const conv *v = p->v;
    size_t      size = p->f.dtype == WK_F32 ? 4 : 2;
    int64_t     image = p->image + step / p->chunks * p->together;
    int64_t     place = step % p->chunks * p->kc, k = places_in(p, step);
    wk_mat      x = { room, p->f.dtype, p->kc, 1 };
    if (p->together == 1 && v->nk == 1 && p->grid[0] * p->grid[1] == 1) { /* as it lies */
        int64_t channel = (image * v->groups + group) * v->c_of;
        x.row = p->f.plane;
        x.data = p->f.data + (size_t)((channel + first) * p->f.plane + p->offset[0] + place) * size;
    } else if (p->together == 1) {
        for (int64_t c = 0; c < cols; c++)
            gather_column(p, image, group, first + c, place, k, room + (size_t)(c * p->kc) * size);
    } else {
        memset(room, 0, (size_t)(cols * p->kc) * size);
        for (int64_t c = 0; c < cols; c++)
            for (int64_t b = 0; b < images_in(p, step); b++)
                gather_column(p, image + b, group, first + c, 0, v->ny,
                              room + (size_t)(c * p->kc + b * p->apart) * size);
    }
    p->e->pack_b(panel, &x, cols, k);
}

/* Columns of w of one group: panels from .. to, through all images that are packed. */
static void multiply_block(const product *p, int64_t group, int64_t from, int64_t to, char *room)
{
    const conv      *v = p->v;
    const wk_engine *e = p->e;
    char            *b = room + aligned((size_t)(p->kc * e->nr) * 4);
    for (int64_t step = 0; step < steps(p); step++) {
        int64_t kp = divide_up(places_in(p, step), e->kr) * e->kr;
        for (int64_t j = from; j < to; j++)
            gather(p, step, group, j * e->nr, wk_min_i64(e->nr, p->columns - j * e->nr), room,
                   b + (size_t)(j - from) * p->b_panel);
        for (int64_t i = 0; i < p->down; i++)
            for (int64_t j = from; j < to; j++) {
                int64_t      panel = (group * steps(p) + step) * p->down + i;
                int64_t      tile = (group * p->panels + j) * p->down + i;
                wk_gemm_tile t = { .k = kp, .ldc = e->nr, .group = kp * 32 };
                t.rows = (int)wk_min_i64(e->mr, v->o_of - i * e->mr);
                t.cols = (int)wk_min_i64(e->nr, p->columns - j * e->nr);
                t.a = p->packed + (size_t)panel * p->a_panel;
                t.b = b + (size_t)(j - from) * p->b_panel;
                t.c = p->sums + tile * e->mr * e->nr;
                t.add = p->image > 0 || step > 0;
                t.next = j + 1 < to ? t.a : (const char *)t.a + p->a_panel;
                e->kernel(&t);
            }
    }
}

static void multiply_blocks(void *ctx, int64_t begin, int64_t end)
{
    const product   *p = ctx;
    const wk_engine *e = p->e;
    char            *room = wk_scratch(aligned((size_t)(p->kc * e->nr) * 4) + PANELS * p->b_panel);
    if (!room)
        return;
    if (e->begin)
        e->begin();
    for (int64_t item = begin; item < end; item++) {
        int64_t block = item % p->blocks;
        multiply_block(p, item / p->blocks, block * p->panels / p->blocks,
                       (block + 1) * p->panels / p->blocks, room);
    }
    if (e->end)
        e->end();
}

static void store_rows(void *ctx, int64_t begin, int64_t end)
{
    const product       *p = ctx;
    const conv          *v = p->v;
    const wk_engine     *e = p->e;
    const wk_dtype_info *d = &wk_dtypes[v->wt->dtype];
    for (int64_t o = begin; o < end; o++)
        for (int64_t j = 0; j < p->panels; j++) {
            int64_t tile = (o / v->o_of * p->panels + j) * p->down + o % v->o_of / e->mr;
            float  *sums = p->sums + (tile * e->mr + o % v->o_of % e->mr) * e->nr;
            char   *to = (char *)wk_at_host(v->wt) + (size_t)(o * p->columns + j * e->nr) * d->size;
            int64_t count = wk_min_i64(e->nr, p->columns - j * e->nr);
            for (int64_t l = 0; l < count; l += VF)
                conv_put(to + (size_t)l * d->size, v->wt->dtype, vload(sums + l),
                         wk_min_i64(VF, count - l), 1);
        }
}

static void arrange(product *p)
{
    const conv      *v = p->v;
    const wk_engine *e = p->e;
    p->grid[0] = v->y[0];
    p->grid[1] = v->y[1];
    p->width = v->y[2];
    p->from[0] = field_at(&p->f, v->stride[0], 0, 0);
    p->from[1] = field_at(&p->f, 0, v->stride[1], 0);
    if (p->from[1] == p->width && (v->y[0] == 1 || p->from[0] == p->width * v->y[1])) {
        p->width = v->ny;
        p->grid[0] = p->grid[1] = 1;
    }
    p->kc = divide_up(v->ny, divide_up(v->ny, wk_min_i64(KC, e->kc)));
    p->kc = divide_up(p->kc, e->kr) * e->kr;
    p->chunks = divide_up(v->ny, p->kc);
    p->apart = divide_up(v->ny, e->kr) * e->kr;
    p->together = wk_max_i64(1, wk_min_i64(v->b, wk_min_i64(KC, e->kc) / p->apart));
    if (p->together > 1)
        p->kc = p->together * p->apart;
    p->columns = v->c_of * v->nk;
    p->panels = divide_up(p->columns, e->nr);
    p->blocks = divide_up(p->panels, PANELS);
    if (p->blocks * v->groups < 4 * wk_threads())
        p->blocks = wk_min_i64(p->panels, divide_up(4 * wk_threads(), v->groups));
    p->down = divide_up(v->o_of, e->mr);
    p->a_panel = aligned((size_t)(p->kc * e->mr * e->a_size));
    p->b_panel = aligned((size_t)(p->kc * e->nr * e->b_size));
}

static bool run_product(product *p)
{
    const conv *v = p->v;
    int64_t     each = v->groups * p->chunks * p->down; /* panels of images together */
    int64_t     most = wk_max_i64(1, PACKED / (each * (int64_t)p->a_panel)) * p->together;
    int64_t     tiles = v->groups * p->panels * p->down * p->e->mr * p->e->nr;
    most = wk_min_i64(most, v->b);
    wk_tensor *packed =
        wk_pool(wk_tensor_new(wk_cpu_device(), WK_U8,
                              WK_SHAPE(divide_up(most, p->together) * each, (int64_t)p->a_panel)));
    wk_tensor *sums = wk_pool(wk_tensor_new(wk_cpu_device(), WK_F32, WK_SHAPE(tiles)));
    if (!packed || !sums)
        return false;
    p->packed = wk_at_host(packed);
    p->sums = wk_f32(sums);
    for (p->image = 0; p->image < v->b && wk_ok(); p->image += p->images) {
        p->images = wk_min_i64(most, v->b - p->image);
        wk_parallel(v->groups * steps(p) * p->down, 65536 / (int64_t)p->a_panel + 1, pack_panels,
                    p);
        wk_parallel(v->groups * p->blocks, 1, multiply_blocks, p);
    }
    wk_parallel(v->groups * v->o_of, 8192 / p->columns + 1, store_rows, p);
    return wk_ok();
}

/* ---- One channel at a time ----------------------------------------------- */

enum { TAPS = 9 }; /* whose sums stay in registers */

/* Add what a plane of dy makes of the taps at offset to their sums. */
static void add_plane(const product *p, const float *x, const float *dy, const int64_t offset[TAPS],
                      vf all[TAPS])
{
    vf sum[TAPS];
    memcpy(sum, all, sizeof sum);
    for (int64_t row = 0; row < p->grid[0] * p->grid[1]; row++, dy += p->width) {
        const float *from = x + row / p->grid[1] * p->from[0] + row % p->grid[1] * p->from[1];
        for (int64_t i = 0; i < p->width; i += VF) {
            int64_t left = wk_min_i64(VF, p->width - i);
            vf      g = left == VF ? vload(dy + i) : vload_part(dy + i, left);
            UNROLLED
            for (int t = 0; t < TAPS; t++) {
                const float *at = from + offset[t] + i;
                sum[t] = vfma(g, left == VF ? vload(at) : vload_part(at, left), sum[t]);
            }
        }
    }
    memcpy(all, sum, sizeof sum);
}

/* Groups of one channel that make one: each tap's gradient is a sum over all images. */
static void sum_channels(void *ctx, int64_t begin, int64_t end)
{
    const product       *p = ctx;
    const conv          *v = p->v;
    const wk_dtype_info *d = &wk_dtypes[v->wt->dtype];
    float               *room = wk_scratch((size_t)(p->f.plane + p->g.plane) * sizeof *room);
    for (int64_t group = begin; room && group < end; group++)
        for (int64_t first = 0; first < v->nk; first += TAPS) {
            int64_t offset[TAPS];
            vf      sum[TAPS];
            float   total[TAPS];
            for (int t = 0; t < TAPS; t++) { /* the last one fills up */
                offset[t] = p->offset[wk_min_i64(first + t, v->nk - 1)];
                sum[t] = vset(0);
            }
            for (int64_t b = 0; b < v->b; b++) {
                int64_t      plane = b * v->groups + group;
                const float *x = conv_plane(&p->f, plane, room);
                const float *dy = conv_plane(&p->g, plane, room + p->f.plane);
                add_plane(p, x, dy, offset, sum);
            }
            for (int t = 0; t < TAPS; t++)
                total[t] = vsum(sum[t]);
            d->store[WK_AS_F32]((char *)wk_at_host(v->wt) +
                                    (size_t)(group * v->nk + first) * d->size,
                                total, wk_min_i64(TAPS, v->nk - first), 1);
        }
}

bool WK_ISA(conv_weight)(const wk_call *c)
{
    const wk_cpu_isa *isa = wk_cpu_current();
    conv              v;
    product           p = { .v = &v };
    if (!conv_read(&v, c))
        return false;
    if (conv_winograd_weight(&v, c))
        return true;
    if (!wk_ok())
        return false;
    p.e = v.xt->dtype == WK_BF16 && v.yt->dtype == WK_BF16 && isa->bf16 ? isa->bf16 : isa->f32;
    if (v.o_of < p.e->least || v.c_of * v.nk < p.e->least || p.e->nr > MOST_NR)
        p.e = &WK_ISA(engine);
    bool single = conv_is_depthwise(&v);
    p.f.later = single && v.nk <= TAPS;
    p.f.dtype = single ? WK_F32 : conv_dtype(p.e, v.xt);
    p.g = (field){ .dtype = WK_F32, .split = 1, .later = p.f.later };
    memcpy(p.g.size, v.y, sizeof p.g.size);
    p.offset = wk_alloc_array((size_t)v.nk, sizeof *p.offset);
    if (!p.offset || !conv_field_of_x(&p.f, &v) || (single && !conv_field(&p.g, v.yt, v.y))) {
        wk_free(p.offset);
        return false;
    }
    int64_t at = 0;
    for (int64_t i = 0; i < v.k[0]; i++)
        for (int64_t j = 0; j < v.k[1]; j++)
            for (int64_t k = 0; k < v.k[2]; k++)
                p.offset[at++] = conv_offset(&p.f, &v, (int64_t[]){ i, j, k });
    arrange(&p);
    bool done = true;
    if (single)
        wk_parallel(v.groups, 65536 / (v.b * v.ny * v.nk) + 1, sum_channels, &p);
    else
        done = run_product(&p);
    wk_free(p.offset);
    return done;
}
