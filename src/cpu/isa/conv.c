// SPDX-License-Identifier: MIT OR Apache-2.0
/* conv.c - convolution and its transpose as products of matrices, and their fields.
 *
 * y [o, places] = w [o, c k] x the windows of x [c k, places].  The windows are never
 * written down: a panel of them is gathered in the form that the engine reads, a part of
 * c k at a time, when its turn comes.  The transpose with a stride is a convolution with
 * some of the kernel's elements for each position of the result modulo the stride. */
#include "conv.h"

enum { MOST_NR = CONV_MOST_NR, PANELS = 4, KC = 512, ALIGN = 64 };

static size_t aligned(size_t n) { return (n + ALIGN - 1) / ALIGN * ALIGN; }

/* ---- What a call is about ----------------------------------------------- */

static void sizes_of(const wk_tensor *x, int64_t n[3], int64_t *count)
{
    *count = 1;
    for (int i = 0; i < 3; i++) {
        n[i] = i < 5 - x->shape.rank ? 1 : x->shape.dim[x->shape.rank - 3 + i];
        *count *= n[i];
    }
}

/* n elements, stride apart. */
static inline void take_every(char *to, const char *from, int64_t n, int64_t stride, size_t size)
{
    int64_t i = 0;
    if (size == 4 && stride == 2) { /* the last ones overlap */
        float       *t = (float *)(void *)to;
        const float *s = (const float *)(const void *)from;
        for (; i + VF <= n; i += VF)
            vstore(t + i, vload_even(s + 2 * i, VF));
        if (i < n && n > VF)
            vstore(t + n - VF, vload_even(s + 2 * (n - VF), VF));
        else if (i < n)
            vstore_part(t, vload_even(s, n), n);
        return;
    }
    if (size == 2 && stride == 2) /* two are a word, but what is behind the last is not read */
        for (int64_t left; i + 1 < n; i += left) {
            left = wk_min_i64(VF, n - 1 - i);
            vnarrow_part((uint16_t *)(void *)to + i,
                         (vu)vload_part((const float *)(const void *)from + i, left), left);
        }
    for (; i < n; i++)
        if (size == 4)
            ((uint32_t *)(void *)to)[i] = ((const uint32_t *)(const void *)from)[i * stride];
        else
            ((uint16_t *)(void *)to)[i] = ((const uint16_t *)(const void *)from)[i * stride];
}

typedef struct {
    const conv *v;
    char       *to;
} sampling;

static void sample_planes(void *ctx, int64_t begin, int64_t end)
{
    const sampling *s = ctx;
    const conv     *v = s->v;
    size_t          size = wk_dtypes[v->xt->dtype].size;
    const char     *from = wk_at_host(v->xt);
    char           *to = s->to + (size_t)(begin * v->ny) * size;
    for (int64_t plane = begin; plane < end; plane++)
        for (int64_t i = 0; i < v->y[0]; i++)
            for (int64_t j = 0; j < v->y[1]; j++, to += (size_t)v->y[2] * size) {
                int64_t row = (plane * v->x[0] + i * v->stride[0]) * v->x[1] + j * v->stride[1];
                take_every(to, from + (size_t)(row * v->x[2]) * size, v->y[2], v->stride[2], size);
            }
}

/* Every element that a 1 x 1 kernel with a stride reads, as a tensor of its own. */
static bool subsample(conv *v)
{
    int      rank = v->xt->shape.rank;
    wk_shape shape = v->xt->shape;
    for (int i = 3; i > 5 - rank; i--)
        shape.dim[rank - 4 + i] = v->y[i - 1];
    wk_tensor *some = wk_pool(wk_tensor_new(wk_cpu_device(), v->xt->dtype, shape));
    if (!some)
        return false;
    wk_parallel(wk_dim(some, 0) * wk_dim(some, 1), 8192 / v->ny + 1, sample_planes,
                &(sampling){ v, wk_at_host(some) });
    v->xt = some;
    v->nx = v->ny;
    memcpy(v->x, v->y, sizeof v->x);
    for (int i = 0; i < 3; i++)
        v->stride[i] = 1;
    return true;
}

bool conv_read(conv *v, const wk_call *c)
{
    int id = c->op->id;
    v->xt = id == WK_OP_conv_transpose ? c->out : c->in[0];
    v->wt = id == WK_OP_conv_weight ? c->out : c->in[1];
    v->yt = id == WK_OP_conv ? c->out : c->in[id == WK_OP_conv_weight];
    memcpy(v->stride, c->opt.window.stride, sizeof v->stride);
    memcpy(v->dilation, c->opt.window.dilation, sizeof v->dilation);
    memcpy(v->before, c->opt.window.before, sizeof v->before);
    sizes_of(v->xt, v->x, &v->nx);
    sizes_of(v->wt, v->k, &v->nk);
    sizes_of(v->yt, v->y, &v->ny);
    v->b = wk_dim(v->xt, 0);
    v->groups = c->opt.window.groups;
    v->c_of = wk_dim(v->wt, 1);
    v->o_of = wk_dim(v->wt, 0) / v->groups;
    bool fits = is_plain_float(v->xt->dtype) && is_plain_float(v->wt->dtype) &&
                is_plain_float(v->yt->dtype) && v->nx && v->ny && v->b && v->c_of && v->o_of;
    bool skips = id != WK_OP_conv_transpose && v->nk == 1;
    for (int i = 0; i < 3; i++)
        skips &= v->before[i] == 0 && (v->y[i] - 1) * v->stride[i] < v->x[i];
    skips &= v->stride[0] * v->stride[1] * v->stride[2] > 1;
    return fits && (!skips || subsample(v));
}

/* ---- Fields ------------------------------------------------------------- */

typedef struct {
    const field *f;
    const char  *from;
    char        *to;
} padding;

/* count floats with zeros between them; one more zero may be written. */
static inline void spread(float *to, const float *from, int64_t count, int64_t apart)
{
    int64_t i = 0;
    if (apart == 2 && count >= VF)
        for (int64_t next = 0; i < count; i = next) { /* the last ones overlap */
            next = i + VF;
            i = wk_min_i64(i, count - VF);
            vstore(to + 2 * i, vzip_low(vload(from + i), vset(0)));
            vstore(to + 2 * i + VF, vzip_high(vload(from + i), vset(0)));
        }
    for (; i < count; i++)
        to[i * apart] = from[i];
}

/* count elements of a row, the first one at u >= border of the field's row. */
static inline void put_row(const field *f, char *to, int64_t u, const char *from, int64_t count)
{
    size_t size = wk_dtypes[f->dtype].size;
    if (f->gap[2]) /* of f32, as all that is laid out later */
        spread((float *)(void *)to + u, (const float *)(const void *)from, count, f->gap[2] + 1);
    else if (f->split == 1)
        memcpy(to + (size_t)u * size, from, (size_t)count * size);
    else
        for (int64_t i = 0; i < wk_min_i64(f->split, count); i++) /* what goes to the same row */
            take_every(to + (size_t)((u + i) % f->split * f->width + (u + i) / f->split) * size,
                       from + (size_t)i * size, divide_up(count - i, f->split), f->split, size);
}

/* A row of the image, converted where the field is of another type. */
static void convert_row(const field *f, char *to, const char *from, int64_t count)
{
    enum { SOME = 16 * VF };
    float   row[SOME];
    int64_t u = f->border[2];
    if (f->dtype == f->from) {
        put_row(f, to, u, from, count);
        return;
    }
    for (int64_t at = 0, n; at < count; at += n, from += 2 * n) {
        n = wk_min_i64(SOME, count - at);
        int64_t i = 0;
        for (; f->from == WK_BF16 && i + VF <= n; i += VF)
            vstore(row + i, vload_bf16((const uint16_t *)(const void *)from + i));
        wk_dtypes[f->from].load[WK_AS_F32](row + i, from + 2 * i, n - i, 1);
        put_row(f, to, u + at * (f->gap[2] + 1), (const char *)row, n);
    }
}

static void pad_planes(void *ctx, int64_t begin, int64_t end)
{
    const padding *p = ctx;
    const field   *f = p->f;
    const int64_t *n = f->n;
    size_t         size = wk_dtypes[f->dtype].size, from_size = wk_dtypes[f->from].size;
    int64_t        row = f->width * f->split;
    int64_t        count = wk_min_i64(n[2], divide_up(f->size[2] - f->border[2], f->gap[2] + 1));
    for (int64_t plane = begin; plane < end; plane++) {
        const char *from = p->from + (size_t)(plane * n[0] * n[1] * n[2]) * from_size;
        char       *to = p->to + (size_t)(plane * f->plane) * size;
        memset(to, 0, (size_t)f->plane * size);
        for (int64_t a = 0; a < n[0]; a++)
            for (int64_t b = 0; b < n[1]; b++, from += (size_t)n[2] * from_size) {
                int64_t i = f->border[0] + a * (f->gap[0] + 1);
                int64_t j = f->border[1] + b * (f->gap[1] + 1);
                if (i < f->size[0] && j < f->size[1])
                    convert_row(f, to + (size_t)((i * f->size[1] + j) * row) * size, from, count);
            }
    }
}

bool conv_field(field *f, const wk_tensor *from, const int64_t n[3])
{
    bool as_it_is = f->split == 1 && f->dtype == from->dtype;
    f->from = from->dtype;
    f->data = wk_at_host(from);
    for (int i = 0; i < 3; i++)
        as_it_is &= !f->border[i] && !f->gap[i] && f->size[i] <= n[i];
    if (as_it_is)
        memcpy(f->size, n, sizeof f->size);
    f->width = divide_up(f->size[2], f->split);
    f->plane = f->size[0] * f->size[1] * f->width * f->split;
    f->later &= !as_it_is;
    memcpy(f->n, n, sizeof f->n);
    if (as_it_is || f->later)
        return true;
    int64_t    planes = wk_dim(from, 0) * wk_dim(from, 1);
    wk_tensor *room = wk_pool(wk_tensor_new(wk_cpu_device(), f->dtype, WK_SHAPE(planes, f->plane)));
    if (!room)
        return false;
    padding p = { f, f->data, wk_at_host(room) };
    wk_parallel(planes, 8192 / f->plane + 1, pad_planes, &p);
    f->data = p.to;
    return wk_ok();
}

const float *conv_plane(const field *f, int64_t plane, float *room)
{
    const char *data = f->data;
    if (!f->later)
        return (const float *)(const void *)data + plane * f->plane;
    data += (size_t)(plane * f->n[0] * f->n[1] * f->n[2]) * wk_dtypes[f->from].size;
    pad_planes(&(padding){ f, data, (char *)room }, 0, 1);
    return room;
}

bool conv_field_of_x(field *f, const conv *v)
{
    f->split = v->stride[2];
    for (int i = 0; i < 3; i++) {
        f->border[i] = wk_max_i64(v->before[i], 0);
        f->size[i] = (v->y[i] - 1) * v->stride[i] + (v->k[i] - 1) * v->dilation[i] + 1 +
                     f->border[i] - v->before[i];
    }
    return conv_field(f, v->xt, v->x);
}

int64_t conv_offset(const field *f, const conv *v, const int64_t k[3])
{
    int64_t at[3];
    for (int i = 0; i < 3; i++)
        at[i] = k[i] * v->dilation[i] + f->border[i] - v->before[i];
    return field_at(f, at[0], at[1], at[2]);
}

/* ---- A product ---------------------------------------------------------- */

typedef struct {
    const wk_engine *e;
    field            f;
    int64_t          b, groups, m, c; /* images, groups; rows of weights, channels read */
    int64_t          taps, *offset;   /* elements of the kernel: where they lie in the field */
    conv_places      at;
    wk_tensor       *out;
    const float     *bias;
    bool             depthwise, taps_first;
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

int conv_runs(const conv_places *p, int64_t j, int cols, conv_run runs[CONV_MOST_NR])
{
    int n = 0;
    for (int lane = 0, count; lane < cols; lane += count, j += count) {
        int64_t image = j / p->count, at = j % p->count, w = at % p->grid[2];
        int64_t h = at / p->grid[2] % p->grid[1], d = at / p->grid[2] / p->grid[1];
        count = (int)wk_min_i64(p->grid[2] - w, cols - lane);
        runs[n++] =
            (conv_run){ lane, count, image * p->image_from + d * p->from[0] + h * p->from[1] + w,
                        image * p->image_to + p->to_first + d * p->to[0] + h * p->to[1] +
                            w * p->to[2] };
    }
    return n;
}

/* ---- Gathering ---------------------------------------------------------- */

/* k rows of one run that is as wide as a panel. */
static void gather_whole(const field *f, char *to, int width, const int64_t *row, int64_t k,
                         int64_t from)
{
    size_t size = wk_dtypes[f->dtype].size, bytes = (size_t)width * size;
    for (int64_t i = 0; i < k; i++, to += bytes) {
        const char *at = f->data + (size_t)(row[i] + from) * size;
        for (size_t b = 0; b < bytes; b += VBYTES)
            memcpy(to + b, at + b, VBYTES);
    }
}

#if defined      __AVX512F__
typedef uint32_t lane_mask;
static lane_mask mask_of(uint32_t mask) { return mask; }
#define LOAD32(v, mask, p) (vi) _mm512_mask_loadu_epi32((__m512i)(v), (__mmask16)(mask), p)
#define LOAD16(v, mask, p) (vi) _mm512_mask_loadu_epi16((__m512i)(v), mask, p)
#elif defined __AVX2__
typedef __m256i  lane_mask; /* the highest bit of each lane counts */
static lane_mask mask_of(uint32_t mask)
{
    return _mm256_sllv_epi32(_mm256_set1_epi32((int)mask),
                             _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24));
}
#define LOAD32(v, mask, p) ((v) | (vi)_mm256_maskload_epi32((const int *)(p), mask))
#endif

#if defined __AVX2__
typedef struct {
    int       vector;
    bool      first, last; /* of those that make up the vector */
    int64_t   from;        /* where lane 0 would be */
    lane_mask mask;
} part;

static int parts_of(const conv_run *runs, int n, int lanes, part *parts)
{
    int count = 0;
    for (int i = 0; i < n; i++)
        for (int lane = runs[i].lane, end = lane + runs[i].count; lane < end;) {
            int vector = lane / lanes,
                stop = (vector + 1) * lanes < end ? (vector + 1) * lanes : end;
            uint32_t mask = (uint32_t)(((1ull << (stop - lane)) - 1) << lane % lanes);
            bool     first = !count || parts[count - 1].vector != vector;
            if (count)
                parts[count - 1].last = first;
            parts[count++] = (part){ vector, first, true,
                                     runs[i].from + vector * lanes - runs[i].lane, mask_of(mask) };
            lane = stop;
        }
    return count;
}

#define GATHER(name, T, load)                                                                      \
    static void name(T *to, int width, const T *from, const int64_t *row, int64_t k,               \
                     const part *parts, int count)                                                 \
    {                                                                                              \
        for (int64_t i = 0; i < k; i++, to += width) {                                             \
            const T *base = from + row[i];                                                         \
            vi       v = { 0 };                                                                    \
            for (int s = 0; s < count; s++) {                                                      \
                v = load(parts[s].first ? (vi){ 0 } : v, parts[s].mask, base + parts[s].from);     \
                if (parts[s].last)                                                                 \
                    memcpy(to + parts[s].vector * (int)(VBYTES / sizeof(T)), &v, VBYTES);          \
            }                                                                                      \
        }                                                                                          \
    }
GATHER(gather32, uint32_t, LOAD32)
#if defined __AVX512F__
GATHER(gather16, uint16_t, LOAD16)
#endif

void conv_gather(const field *f, void *to, int width, const int64_t *row, int64_t k,
                 const conv_run *runs, int n)
{
    if (n == 1 && runs[0].count == width) {
        gather_whole(f, to, width, row, k, runs[0].from);
        return;
    }
    part parts[2 * MOST_NR];
    bool wide = f->dtype == WK_F32;
    int  count = parts_of(runs, n, wide ? VF : 2 * VF, parts);
    if (wide)
        gather32(to, width, (const uint32_t *)(const void *)f->data, row, k, parts, count);
#if defined __AVX512F__
    else
        gather16(to, width, (const uint16_t *)(const void *)f->data, row, k, parts, count);
#endif
}
#else
void conv_gather(const field *f, void *to, int width, const int64_t *row, int64_t k,
                 const conv_run *runs, int n)
{
    if (n == 1 && runs[0].count == width) {
        gather_whole(f, to, width, row, k, runs[0].from);
        return;
    }
    size_t size = wk_dtypes[f->dtype].size;
    int    used = runs[n - 1].lane + runs[n - 1].count;
    for (int64_t i = 0; i < k; i++) {
        char *at = (char *)to + (size_t)(i * width) * size;
        for (int s = 0; s < n; s++)
            memcpy(at + (size_t)runs[s].lane * size,
                   f->data + (size_t)(row[i] + runs[s].from) * size, (size_t)runs[s].count * size);
        memset(at + (size_t)used * size, 0, (size_t)(width - used) * size);
    }
}
#endif

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

/* Fetch where results will go, while they are still computed. */
static void expect(const product *p, int64_t group, int64_t i, int rows, const conv_run *runs,
                   int n)
{
    int64_t size = (int64_t)wk_dtypes[p->out->dtype].size;
    char   *to = (char *)wk_at_host(p->out) + (group * p->m + i) * p->plane * size;
    for (int r = 0; r < rows; r++, to += p->plane * size)
        for (int s = 0; s < n; s++)
            __builtin_prefetch(to + runs[s].to * size, 1);
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
            conv_gather(&p->f, direct ? panel + i * e->nr * 4 : w->room, e->nr, p->row + at + i,
                        rows, w->runs[j], w->n[j]);
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
                if (last)
                    expect(p, w->group, i * e->mr, t.rows, w->results[j], w->joined[j]);
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
 * matrix: each result is the sum of its taps, some vectors of neighbours at a time. */
INLINE void sum_vectors(const product *p, const float *x, char *to, const float *tap, vf bias,
                        int vectors, int64_t n)
{
    vf sum[4];
    UNROLLED
    for (int v = 0; v < vectors; v++)
        sum[v] = bias;
    for (int64_t t = 0; t < p->taps; t++) {
        const float *at = x + p->offset[t];
        UNROLLED
        for (int v = 0; v < vectors; v++)
            sum[v] = vfma(vset(tap[t]), n == VF ? vload(at + v * VF) : vload_part(at, n), sum[v]);
    }
    UNROLLED
    for (int v = 0; v < vectors; v++)
        conv_put(to + (size_t)(v * VF) * wk_dtypes[p->out->dtype].size, p->out->dtype, sum[v], n,
                 1);
}

static void sum_row(const product *p, const float *x, char *to, const float *tap, vf bias)
{
    const int64_t n = p->at.grid[2], size = (int64_t)wk_dtypes[p->out->dtype].size;
    int64_t       i = 0;
    for (; i + 4 * VF <= n; i += 4 * VF)
        sum_vectors(p, x + i, to + i * size, tap, bias, 4, VF);
    for (; i + VF <= n; i += VF)
        sum_vectors(p, x + i, to + i * size, tap, bias, 1, VF);
    if (i < n && n > VF) /* some once more */
        sum_vectors(p, x + n - VF, to + (n - VF) * size, tap, bias, 1, VF);
    else if (i < n)
        sum_vectors(p, x, to, tap, bias, 1, n);
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
        for (int64_t i = 0; i < at->grid[0]; i++)
            for (int64_t j = 0; j < at->grid[1]; j++, to += at->grid[2] * size)
                sum_row(p, x + i * at->from[0] + j * at->from[1], to, tap, bias);
    }
}

/* Rows that follow each other without a gap are one. */
static void join_axes(conv_places *p)
{
    for (int i = 1; i >= 0; i--)
        if (p->grid[i] == 1 ||
            (p->from[i] == (i == 1 ? p->grid[2] : p->from[1] * p->grid[1]) &&
             p->to[i] == p->to[i + 1] * p->grid[i + 1] && (i == 1 || p->grid[1] == 1))) {
            p->grid[2] *= p->grid[i];
            p->grid[i] = 1;
        }
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
        join_axes(&p->at);
        p->at.count = p->at.grid[0] * p->at.grid[1] * p->at.grid[2];
        p->at.image_from = p->groups * p->c * p->f.plane;
        p->at.image_to = wk_count(p->out) / wk_dim(p->out, 0);
        p->plane = p->at.image_to / wk_dim(p->out, 1);
        if (p->depthwise) {
            wk_parallel(p->b * p->groups, 16384 / (p->at.count * p->taps) + 1, sum_planes, p);
            return wk_ok();
        }
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
    p->depthwise = p->f.later = conv_is_depthwise(v);
    p->e = engine_for(v->wt->dtype == WK_BF16, v->o_of, v->b * v->ny);
    p->f.dtype = p->depthwise ? WK_F32 : conv_dtype(p->e, v->xt);
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
    bool done = run_products(p, 1);
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
    int64_t    columns = v->o_of * p->taps;
    wk_tensor *room = wk_pool(
        wk_tensor_new(wk_cpu_device(), v->wt->dtype, WK_SHAPE(v->groups * v->c_of, columns)));
    if (!room)
        return false;
    weights w = { v, place, p->taps, wk_at_host(room) };
    if (p->taps)
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
    bool    all, done = true;
    product p = { .out = c->out }, *phases = NULL;
    int64_t n[3], r[3], *offset = NULL, count = 0;
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
    phases = wk_alloc_array((size_t)(n[0] * n[1] * n[2]), sizeof *phases);
    offset = wk_alloc_array((size_t)v.nk * 2, sizeof *offset); /* each tap is in one phase */
    done = phases && offset && field_of_y(&p.f, &v, &all);
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
