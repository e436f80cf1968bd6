// SPDX-License-Identifier: MIT OR Apache-2.0
/* conv.c - convolution and its transpose as products of matrices.
 *
 * y [o, places] = w [o, c k] x the windows of x [c k, places].  The windows are never
 * written down: a panel of them is gathered in the form that the engine reads, a part of
 * c k at a time, when its turn comes.  The transpose with a stride is a convolution with
 * some of the kernel's elements for each position of the result modulo the stride. */
#include "conv.h"

enum { MOST_NR = CONV_MOST_NR, PANELS = 4, KC = 512, ALIGN = 64 };

static size_t aligned(size_t n) { return (n + ALIGN - 1) / ALIGN * ALIGN; }

/* ---- A product ---------------------------------------------------------- */

typedef struct {
    const wk_engine *e;
    field            f;
    int64_t          b, groups, m, c; /* images, groups; rows of weights, channels read */
    int64_t          taps, *offset;   /* elements of the kernel: where they lie in the field */
    conv_places      at;
    wk_tensor       *out;
    const float     *bias;
    bool             taps_first;
    wk_mat           a; /* [groups m, c taps], or [groups m, taps c] */

    int64_t  plane;               /* of a channel of the result */
    int64_t *row;                 /* [k] of the windows: where they begin in the field */
    int64_t  k, kc, panels, down; /* panels of places; of rows */
    size_t   a_panel, b_panel, room, sums;
    char    *packed;
} product;

static void pack_panels(void *ctx, int64_t begin, int64_t end)
{
    const product   *p = ctx;
    const wk_engine *e = p->e;
    for (int64_t panel = begin; panel < end; panel++) {
        int64_t i = panel % p->down * e->mr, rows = wk_min_i64(e->mr, p->m - i);
        char   *to = p->packed + (size_t)panel * p->a_panel;
        for (int64_t at = 0; at < p->k; at += p->kc) {
            wk_mat x = wk_mat_at(p->a, panel / p->down * p->m + i, at);
            e->pack_a(to + at * e->mr * e->a_size, &x, rows, wk_min_i64(p->kc, p->k - at));
        }
    }
}

/* ---- Results ------------------------------------------------------------ */

void conv_put_part(void *to, wk_dtype dtype, vf x, int64_t n, int64_t apart)
{
    float row[VF];
    if (dtype == WK_F32 && apart == 1) {
        vstore_part(to, x, n);
        return;
    }
    if (dtype == WK_BF16 && apart == 1) {
        vnarrow_part(to, vround_bf16(x), n);
        return;
    }
#if defined __AVX512F__
    uint32_t live = 0x55555555u & (uint32_t)((1ull << 2 * n) - 1);
    if (dtype == WK_BF16 && apart == 2) {
        _mm512_mask_storeu_epi16(to, live, (__m512i)vround_bf16(x));
        return;
    }
    if (dtype == WK_F32 && apart == 2) {
        _mm512_mask_storeu_ps(to, (__mmask16)live, (__m512)vzip_low(x, x));
        _mm512_mask_storeu_ps((float *)to + VF, (__mmask16)(live >> 16), (__m512)vzip_high(x, x));
        return;
    }
#endif
    vstore(row, x);
    if (dtype == WK_F32)
        for (int64_t l = 0; l < n; l++)
            ((float *)to)[l * apart] = row[l];
    else
        wk_dtypes[dtype].store[WK_AS_F32](to, row, n, apart);
}

static void finish(const product *p, int64_t group, int64_t i, int rows, const conv_run *runs,
                   int n, const float *sums)
{
    int64_t size = (int64_t)wk_dtypes[p->out->dtype].size, apart = p->at.to[2];
    for (int r = 0; r < rows; r++, sums += p->e->nr) {
        int64_t channel = group * p->m + i + r;
        vf      bias = vset(p->bias ? p->bias[channel] : 0);
        for (int s = 0; s < n; s++) {
            char        *to = (char *)wk_at_host(p->out) + (channel * p->plane + runs[s].to) * size;
            const float *from = sums + runs[s].lane;
            int64_t      left = runs[s].count;
            for (; left >= VF; left -= VF, from += VF, to += VF * apart * size)
                conv_put(to, p->out->dtype, vload(from) + bias, VF, apart);
            if (left)
                conv_put(to, p->out->dtype, vload_part(from, left) + bias, left, apart);
        }
    }
}

/* Runs whose results lie side by side are one; how many are left. */
static int join_runs(conv_run *to, const conv_run *runs, int n, int64_t apart)
{
    int joined = 0;
    for (int s = 0; s < n; s++)
        if (joined && runs[s].to == to[joined - 1].to + to[joined - 1].count * apart)
            to[joined - 1].count += runs[s].count;
        else
            to[joined++] = runs[s];
    return joined;
}

/* ---- Work --------------------------------------------------------------- */

typedef struct { /* a block of places, of one group */
    int64_t  group, j, cols[PANELS];
    int      panels, n[PANELS], joined[PANELS];
    conv_run runs[PANELS][MOST_NR], results[PANELS][MOST_NR];
    char    *room, *b;
    float   *sums;
} block;

/* The windows' rows at .. at + k of all panels, some at a time: what lies side by side is read
 * together. */
static void gather_block(const product *p, const block *w, int64_t at, int64_t k)
{
    const wk_engine *e = p->e;
    const bool       direct = e == &WK_ISA(engine);
    const int64_t    some = direct ? 32 : k;
    for (int64_t i = 0; i < k; i += some)
        for (int j = 0; j < w->panels; j++) {
            char   *panel = w->b + (size_t)j * p->b_panel;
            wk_mat  x = { w->room, p->f.dtype, 1, e->nr };
            int64_t rows = wk_min_i64(some, k - i);
            conv_gather(&p->f, direct ? panel + i * e->nr * e->b_size : w->room, e->nr,
                        p->row + at + i, rows, w->runs[j], w->n[j]);
            if (!direct)
                e->pack_b(panel, &x, w->cols[j], k);
        }
}

static void multiply_block(const product *p, const block *w)
{
    const wk_engine *e = p->e;
    const int64_t    tile = e->mr * e->nr;
    for (int64_t at = 0; at < p->k; at += p->kc) {
        int64_t k = wk_min_i64(p->kc, p->k - at), kp = divide_up(k, e->kr) * e->kr;
        bool    last = at + p->kc >= p->k;
        gather_block(p, w, at, k);
        for (int64_t i = 0; i < p->down; i++) {
            wk_gemm_tile t = { .k = kp, .ldc = e->nr, .add = at > 0, .group = kp * 32 };
            t.rows = (int)wk_min_i64(e->mr, p->m - i * e->mr);
            t.a =
                p->packed + (size_t)(w->group * p->down + i) * p->a_panel + at * e->mr * e->a_size;
            for (int j = 0; j < w->panels; j++) {
                t.b = w->b + (size_t)j * p->b_panel;
                t.cols = (int)w->cols[j];
                t.next = j + 1 < w->panels ? t.a : (const char *)t.a + p->a_panel;
                t.c = w->sums + (p->k > p->kc ? (i * PANELS + j) * tile : 0);
                e->kernel(&t);
                if (last)
                    finish(p, w->group, i * e->mr, t.rows, w->results[j], w->joined[j], t.c);
            }
        }
    }
}

typedef struct { /* products of the same images, block by block: what one reads the next finds */
    const product *p;
    int64_t        count, blocks;
    size_t         room;
} products;

static void find_runs(const product *p, block *w, int64_t panel)
{
    int     n = w->panels++;
    int64_t j = panel * p->e->nr;
    w->cols[n] = wk_min_i64(p->e->nr, p->b * p->at.count - j);
    w->n[n] = conv_runs(&p->at, j, (int)w->cols[n], w->runs[n]);
    w->joined[n] = join_runs(w->results[n], w->runs[n], w->n[n], p->at.to[2]);
    for (int s = 0; s < w->n[n]; s++)
        w->runs[n][s].from += w->group * p->c * p->f.plane;
}

static void multiply_blocks(void *ctx, int64_t begin, int64_t end)
{
    const products  *all = ctx;
    const wk_engine *e = all->p->e;
    block            w;
    w.room = wk_scratch(all->room);
    if (!w.room)
        return;
    if (e->begin)
        e->begin();
    for (int64_t item = begin; item < end; item++) {
        const product *p = &all->p[item % all->count];
        int64_t        at = item / all->count % all->blocks;
        w.group = item / all->count / all->blocks;
        w.b = w.room + p->room;
        w.sums = (float *)(void *)(w.b + PANELS * p->b_panel);
        w.panels = 0;
        for (int64_t panel = at * p->panels / all->blocks;
             panel < (at + 1) * p->panels / all->blocks; panel++)
            find_runs(p, &w, panel);
        multiply_block(p, &w);
    }
    if (e->end)
        e->end();
}

/* ---- One channel at a time ----------------------------------------------- */

/* Where groups read one channel and make one, there is nothing to share between rows of a
 * matrix: each result is the sum of its taps, some vectors of results at a time.  The last
 * ones of a row overlap; whole: rows are not shorter than a vector. */
INLINE void sum_plane(const product *p, const float *x, char *to, const float *tap, vf bias,
                      bool whole)
{
    enum { AT_ONCE = 4 };
    const conv_places *at = &p->at;
    const wk_dtype     dtype = p->out->dtype;
    const int64_t      width = at->grid[2], n = whole ? VF : width;
    int64_t            i = 0, j = 0, w = 0;
    while (i < at->grid[0]) {
        const float *from[AT_ONCE] = { x };
        char        *y[AT_ONCE] = { to };
        vf           sum[AT_ONCE];
        UNROLLED
        for (int v = 0; v < AT_ONCE; v++) {
            sum[v] = bias;
            from[v] = i < at->grid[0] ? x + i * at->from[0] + j * at->from[1] + w : from[0];
            y[v] = i < at->grid[0] ? to + (size_t)w * wk_dtypes[dtype].size : y[0];
            if (w + n < width) {
                w = wk_min_i64(w + n, width - n);
                continue;
            }
            to += (size_t)width * wk_dtypes[dtype].size;
            w = 0;
            i += j + 1 == at->grid[1];
            j = j + 1 == at->grid[1] ? 0 : j + 1;
        }
        for (int64_t t = 0; t < p->taps; t++) {
            UNROLLED
            for (int v = 0; v < AT_ONCE; v++) {
                const float *f = from[v] + p->offset[t];
                sum[v] = vfma(vset(tap[t]), whole ? vload(f) : vload_part(f, n), sum[v]);
            }
        }
        UNROLLED
        for (int v = 0; v < AT_ONCE; v++)
            conv_put(y[v], dtype, sum[v], n, 1);
    }
}

static void sum_planes(void *ctx, int64_t begin, int64_t end)
{
    const product       *p = ctx;
    const conv_places   *at = &p->at;
    const wk_dtype_info *d = &wk_dtypes[p->a.dtype];
    float               *tap = wk_scratch((size_t)(p->taps + p->f.plane + 1) * sizeof *tap);
    for (int64_t item = begin; tap && item < end; item++) {
        int64_t      group = item % p->groups, size = (int64_t)wk_dtypes[p->out->dtype].size;
        const float *x = conv_plane(&p->f, item, tap + p->taps);
        char        *to = (char *)wk_at_host(p->out) + item * at->count * size;
        vf           bias = vset(p->bias ? p->bias[group] : 0);
        d->load[WK_AS_F32](tap, wk_mat_at(p->a, group, 0).data, p->taps, 1);
        if (at->grid[2] >= VF)
            sum_plane(p, x, to, tap, bias, true);
        else
            sum_plane(p, x, to, tap, bias, false);
    }
}

/* Rows of places that follow each other without a gap are one; how many there are, and how far it
 * is to the next image. */
static void arrange(product *p)
{
    conv_places *at = &p->at;
    for (int i = 1; i >= 0; i--)
        if (at->grid[i] == 1 ||
            (at->from[i] == (i == 1 ? at->grid[2] : at->from[1] * at->grid[1]) &&
             at->to[i] == at->to[i + 1] * at->grid[i + 1] && (i == 1 || at->grid[1] == 1))) {
            at->grid[2] *= at->grid[i];
            at->grid[i] = 1;
        }
    at->count = at->grid[0] * at->grid[1] * at->grid[2];
    at->image_from = p->groups * p->c * p->f.plane;
    at->image_to = wk_count(p->out) / wk_dim(p->out, 0);
    p->plane = at->image_to / wk_dim(p->out, 1);
}

/* What a product needs: its weights in panels, and where its windows' elements lie. */
static bool prepare(product *p)
{
    const wk_engine *e = p->e;
    p->k = p->c * p->taps;
    p->kc = divide_up(p->k, divide_up(p->k, wk_min_i64(KC, e->kc)));
    p->kc = divide_up(p->kc, e->kr) * e->kr;
    p->down = divide_up(p->m, e->mr);
    p->panels = divide_up(p->b * p->at.count, e->nr);
    p->a_panel = aligned((size_t)(divide_up(p->k, e->kr) * e->kr * e->mr * e->a_size));
    p->b_panel = aligned((size_t)(p->kc * e->nr * e->b_size));
    p->room = aligned((size_t)(p->kc * e->nr) * wk_dtypes[p->f.dtype].size);
    p->sums =
        (size_t)(e->mr * e->nr) * sizeof(float) * (size_t)(p->k > p->kc ? p->down * PANELS : 1);
    int64_t    size = p->groups * p->down * (int64_t)p->a_panel;
    wk_tensor *packed = wk_pool(wk_tensor_new(wk_cpu_device(), WK_U8, WK_SHAPE(size)));
    wk_tensor *row = wk_pool(wk_tensor_new(wk_cpu_device(), WK_I64, WK_SHAPE(p->k)));
    if (!packed || !row)
        return false;
    p->packed = wk_at_host(packed);
    p->row = wk_at_host(row);
    for (int64_t i = 0; i < p->k; i++) {
        int64_t c = p->taps_first ? i % p->c : i / p->taps;
        int64_t t = p->taps_first ? i / p->c : i % p->taps;
        p->row[i] = c * p->f.plane + p->offset[t];
    }
    wk_parallel(p->groups * p->down, 65536 / (int64_t)p->a_panel + 1, pack_panels, p);
    return true;
}

static bool run_products(product *p, int64_t count)
{
    products all = { p, count, 1, 0 };
    for (int64_t i = 0; i < count; i++, p++) {
        if (!prepare(p))
            return false;
        size_t  room = p->room + PANELS * p->b_panel + p->sums;
        int64_t blocks = divide_up(p->panels, PANELS), least = 4 * wk_threads();
        if (blocks * p->groups < least)
            blocks = wk_min_i64(p->panels, divide_up(least, p->groups));
        all.blocks = wk_max_i64(all.blocks, blocks);
        all.room = all.room < room ? room : all.room;
    }
    wk_parallel(all.p->groups * all.blocks * count, count, multiply_blocks, &all);
    return wk_ok();
}

static const wk_engine *engine_for(bool bf16, int64_t m, int64_t n)
{
    const wk_cpu_isa *isa = wk_cpu_current();
    const wk_engine  *e = bf16 && isa->bf16 ? isa->bf16 : isa->f32;
    return m >= e->least && n >= e->least && e->nr <= MOST_NR ? e : &WK_ISA(engine);
}

/* The bias in f32, or NULL. */
static bool read_bias(const wk_tensor *bias, const float **out)
{
    *out = NULL;
    if (!bias)
        return true;
    wk_tensor *room = wk_pool(wk_tensor_new(wk_cpu_device(), WK_F32, bias->shape));
    if (room)
        wk_dtypes[bias->dtype].load[WK_AS_F32](wk_f32(room), wk_at_host(bias), wk_dim(bias, 0), 1);
    *out = room ? wk_f32(room) : NULL;
    return room != NULL;
}

/* ---- conv --------------------------------------------------------------- */

/* turned: with the kernel's elements in opposite order. */
static bool convolve(const conv *v, product *p, bool turned)
{
    const bool single = conv_is_depthwise(v);
    p->f.later = single;
    p->e = engine_for(v->wt->dtype == WK_BF16, v->o_of, v->b * v->ny);
    p->f.dtype = single ? WK_F32 : conv_dtype(p->e, v->xt);
    p->offset = wk_alloc_array((size_t)v->nk, sizeof *p->offset);
    if (!p->offset || !conv_field_of_x(&p->f, v)) {
        wk_free(p->offset);
        return false;
    }
    for (int64_t i = 0; i < v->k[0]; i++)
        for (int64_t j = 0; j < v->k[1]; j++)
            for (int64_t k = 0; k < v->k[2]; k++, p->taps++)
                p->offset[turned ? v->nk - 1 - p->taps : p->taps] =
                    conv_offset(&p->f, v, (int64_t[]){ i, j, k });
    p->b = v->b;
    p->groups = v->groups;
    p->m = v->o_of;
    p->c = v->c_of;
    memcpy(p->at.grid, v->y, sizeof p->at.grid);
    p->at.from[0] = field_at(&p->f, v->stride[0], 0, 0);
    p->at.from[1] = field_at(&p->f, 0, v->stride[1], 0);
    p->at.to[0] = v->y[1] * v->y[2];
    p->at.to[1] = v->y[2];
    p->at.to[2] = 1;
    p->a = (wk_mat){ wk_at_host(v->wt), v->wt->dtype, v->c_of * v->nk, 1 };
    arrange(p);
    if (single)
        wk_parallel(p->b * p->groups, 16384 / (p->at.count * p->taps) + 1, sum_planes, p);
    bool done = single ? wk_ok() : run_products(p, 1);
    wk_free(p->offset);
    return done;
}

bool WK_ISA(conv)(const wk_call *c)
{
    conv    v;
    product p = { .out = c->out };
    if (!conv_read(&v, c) || !read_bias(c->in[2], &p.bias))
        return false;
    if (conv_winograd(&v, c, p.bias) || !wk_ok())
        return wk_ok();
    return convolve(&v, &p, false);
}

/* ---- conv_transpose ----------------------------------------------------- */

typedef struct { /* along one axis, the elements k that reach positions r modulo the stride */
    int64_t first, step, count; /* k = first, first + step ... */
} phase;

static phase phase_of(const conv *v, int axis, int64_t r)
{
    int64_t s = v->stride[axis], d = v->dilation[axis], at = r + v->before[axis];
    phase   p = { 0 };
    for (int64_t k = 0; k < v->k[axis] && p.step == 0; k++)
        if ((at - k * d) % s == 0) {
            p.step = p.count++ ? k - p.first : 0;
            p.first = p.count == 1 ? k : p.first;
        }
    if (p.step)
        p.count = (v->k[axis] - 1 - p.first) / p.step + 1;
    return p;
}

/* Where in y the element k of position r of x comes from, for the first x. */
static int64_t shift_of(const conv *v, int axis, int64_t r, int64_t k)
{
    return (r + v->before[axis] - k * v->dilation[axis]) / v->stride[axis];
}

/* The field of y, wide enough for all phases; false in *all: some have no elements. */
static bool field_of_y(field *f, const conv *v, bool *all)
{
    *all = true;
    f->split = 1;
    for (int i = 0; i < 3; i++) {
        int64_t low = 0, high = 0;
        for (int64_t r = 0; r < wk_min_i64(v->stride[i], v->x[i]); r++) {
            phase p = phase_of(v, i, r);
            *all &= p.count > 0;
            if (!p.count)
                continue;
            int64_t last = shift_of(v, i, r, p.first + (p.count - 1) * p.step);
            low = wk_min_i64(low, last);
            high = wk_max_i64(high, shift_of(v, i, r, p.first) + (v->x[i] - 1 - r) / v->stride[i]);
        }
        f->border[i] = -low;
        f->size[i] = high + 1 - low;
    }
    return conv_field(f, v->yt, v->y);
}

typedef struct {
    const conv    *v;
    const int64_t *place; /* of each element of the kernel among the taps, or -1 */
    int64_t        taps;
    char          *to; /* [groups c, taps o] */
} weights;

enum {
    CHANNELS = 32, /* whose weights are turned together */
    AHEAD = 256    /* bytes, asked for */
};

/* The elements x0 .. x1 of rows [c nk] of a group, for VF channels of y at a time. */
INLINE void turn_elements(const weights *w, int64_t g, int64_t x0, int64_t x1, bool wide)
{
    const conv *v = w->v;
    for (int64_t o = 0; o < v->o_of; o += VF)
        for (int64_t x = x0; x < x1; x += VF) {
            int64_t     n = wk_min_i64(VF, x1 - x), lanes = wk_min_i64(VF, v->o_of - o);
            int64_t     apart = v->c_of * v->nk * (wide ? 4 : 2);
            const char *from =
                (const char *)wk_at_host(v->wt) + (g * v->o_of + o) * apart + x * (wide ? 4 : 2);
            vf r[VF];
            for (int l = 0; l < VF; l++, from += apart) {
                __builtin_prefetch(from + AHEAD);
                r[l] = l >= lanes ? vset(0)
                       : wide     ? vload_part((const void *)from, n)
                                  : (vf)vwiden_part((const void *)from, n);
            }
            vtranspose(r);
            for (int64_t i = 0; i < n; i++) {
                int64_t c = (x + i) / v->nk, t = w->place[(x + i) % v->nk];
                char   *to =
                    w->to + (((g * v->c_of + c) * w->taps + t) * v->o_of + o) * (wide ? 4 : 2);
                if (t >= 0 && wide)
                    vstore_part((void *)to, r[i], lanes);
                else if (t >= 0)
                    vnarrow_part((void *)to, (vu)r[i], lanes);
            }
        }
}

static void turn_weights(void *ctx, int64_t begin, int64_t end)
{
    const weights *w = ctx;
    const conv    *v = w->v;
    int64_t        blocks = divide_up(v->c_of, CHANNELS);
    for (int64_t item = begin; item < end; item++) {
        int64_t c0 = item % blocks * CHANNELS, c1 = wk_min_i64(c0 + CHANNELS, v->c_of);
        if (v->wt->dtype == WK_F32)
            turn_elements(w, item / blocks, c0 * v->nk, c1 * v->nk, true);
        else
            turn_elements(w, item / blocks, c0 * v->nk, c1 * v->nk, false);
    }
}

/* The results at positions r[] modulo the stride; where their taps go. */
static bool prepare_phase(product *p, const conv *v, const int64_t r[3], int64_t *place)
{
    phase a = phase_of(v, 0, r[0]), b = phase_of(v, 1, r[1]), c = phase_of(v, 2, r[2]);
    for (int64_t i = 0; i < v->nk; i++)
        place[i] = -1;
    for (int64_t i = 0; i < a.count; i++)
        for (int64_t j = 0; j < b.count; j++)
            for (int64_t l = 0; l < c.count; l++) {
                int64_t k[] = { a.first + i * a.step, b.first + j * b.step, c.first + l * c.step };
                int64_t at[3];
                for (int x = 0; x < 3; x++)
                    at[x] = shift_of(v, x, r[x], k[x]) + p->f.border[x];
                place[(k[0] * v->k[1] + k[1]) * v->k[2] + k[2]] = p->taps;
                p->offset[p->taps++] = field_at(&p->f, at[0], at[1], at[2]);
            }
    if (!p->taps)
        return true;
    int64_t    columns = v->o_of * p->taps;
    wk_tensor *room = wk_pool(
        wk_tensor_new(wk_cpu_device(), v->wt->dtype, WK_SHAPE(v->groups * v->c_of, columns)));
    if (!room)
        return false;
    weights w = { v, place, p->taps, wk_at_host(room) };
    wk_parallel(v->groups * divide_up(v->c_of, CHANNELS), 4096 / columns + 1, turn_weights, &w);
    for (int x = 0; x < 3; x++)
        p->at.grid[x] = divide_up(v->x[x] - r[x], v->stride[x]);
    p->at.from[0] = field_at(&p->f, 1, 0, 0);
    p->at.from[1] = field_at(&p->f, 0, 1, 0);
    p->at.to[0] = v->stride[0] * v->x[1] * v->x[2];
    p->at.to[1] = v->stride[1] * v->x[2];
    p->at.to[2] = v->stride[2];
    p->at.to_first = (r[0] * v->x[1] + r[1]) * v->x[2] + r[2];
    p->a = (wk_mat){ w.to, v->wt->dtype, columns, 1 };
    arrange(p);
    return true;
}

static void fill_planes(void *ctx, int64_t begin, int64_t end)
{
    const product       *p = ctx;
    const wk_dtype_info *d = &wk_dtypes[p->out->dtype];
    int64_t channels = wk_dim(p->out, 1), plane = wk_count(p->out) / wk_dim(p->out, 0) / channels;
    for (int64_t i = begin; i < end; i++) {
        char *to = (char *)wk_at_host(p->out) + (size_t)(i * plane) * d->size;
        float value = p->bias ? p->bias[i % channels] : 0;
        float row[64];
        for (size_t k = 0; k < WK_COUNT(row); k++)
            row[k] = value;
        for (int64_t k = 0; k < plane; k += (int64_t)WK_COUNT(row))
            d->store[WK_AS_F32](to + (size_t)k * d->size, row,
                                wk_min_i64((int64_t)WK_COUNT(row), plane - k), 1);
    }
}

/* Of single channels: a conv of stride 1 of y with gaps, to keep rows of results together. */
static bool transpose_channels(conv *v, product *p)
{
    v->xt = v->yt;
    for (int i = 0; i < 3; i++) {
        int64_t n = v->x[i];
        v->x[i] = v->y[i];
        v->y[i] = n;
        v->before[i] = (v->k[i] - 1) * v->dilation[i] - v->before[i];
        p->f.gap[i] = v->stride[i] - 1;
        v->stride[i] = 1;
    }
    v->ny = v->nx;
    return convolve(v, p, true);
}

bool WK_ISA(conv_transpose)(const wk_call *c)
{
    conv    v;
    bool    all;
    product p = { .out = c->out };
    int64_t n[3], r[3], count = 0;
    if (!conv_read(&v, c) || !read_bias(c->in[2], &p.bias))
        return false;
    if (conv_is_depthwise(&v))
        return transpose_channels(&v, &p);
    if (conv_winograd(&v, c, p.bias) || !wk_ok())
        return wk_ok();
    p.e = engine_for(v.wt->dtype == WK_BF16, v.c_of, v.b * v.nx);
    p.f.dtype = conv_dtype(p.e, v.yt);
    p.b = v.b;
    p.groups = v.groups;
    p.m = v.c_of;
    p.c = v.o_of;
    p.taps_first = true;
    for (int i = 0; i < 3; i++)
        n[i] = wk_min_i64(v.stride[i], v.x[i]);
    /* each tap is in one phase; phases without any are forgotten */
    product *phases = wk_alloc_array((size_t)v.nk + 1, sizeof *phases);
    int64_t *offset = wk_alloc_array((size_t)v.nk * 2, sizeof *offset);
    bool     done = phases && offset && field_of_y(&p.f, &v, &all);
    if (done && !all)
        wk_parallel(v.b * wk_dim(p.out, 1), 4096 / v.nx + 1, fill_planes, &p);
    p.offset = offset;
    for (r[0] = 0; done && r[0] < n[0]; r[0]++)
        for (r[1] = 0; done && r[1] < n[1]; r[1]++)
            for (r[2] = 0; done && r[2] < n[2]; r[2]++) {
                phases[count] = p;
                done = prepare_phase(&phases[count], &v, r, offset + v.nk);
                p.offset += phases[count].taps;
                count += phases[count].taps > 0;
            }
    done = done && (!count || run_products(phases, count));
    wk_free(phases);
    wk_free(offset);
    return done && wk_ok();
}
