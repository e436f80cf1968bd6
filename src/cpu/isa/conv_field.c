// SPDX-License-Identifier: MIT OR Apache-2.0
/* conv_field.c - what a call of a convolution is about, the images that its kernels read (fields),
 * and places in them. */
#include "conv.h"

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
INLINE void take_every(char *to, const char *from, int64_t n, int64_t stride, size_t size)
{
    int64_t i = 0;
    if (size == 4 && stride <= 2) { /* the last ones overlap */
        float       *t = (float *)(void *)to;
        const float *s = (const float *)(const void *)from;
        for (; i + VF <= n; i += VF)
            vstore(t + i, stride == 1 ? vload(s + i) : vload_even(s + 2 * i, VF));
        if (i < n && n > VF)
            vstore(t + n - VF, stride == 1 ? vload(s + n - VF) : vload_even(s + 2 * (n - VF), VF));
        else if (i < n)
            vstore_part(t, stride == 1 ? vload_part(s, n) : vload_even(s, n), n);
        return;
    }
    if (size == 2 && stride == 2) /* two are a word, but what is behind the last is not read */
        for (int64_t left; i + 1 < n; i += left) {
            left = wk_min_i64(VF, n - 1 - i);
            vnarrow_part((uint16_t *)(void *)to + i,
                         (vu)vload_part((const float *)(const void *)from + i, left), left);
        }
    if (stride == 1) {
        memcpy(to, from, (size_t)n * size);
        return;
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
INLINE void put_row(const field *f, char *to, int64_t u, const char *from, int64_t count,
                    int64_t split)
{
    size_t size = f->dtype == WK_F32 ? 4 : 2;
    if (f->gap[2]) /* of f32, as all that is laid out later */
        spread((float *)(void *)to + u, (const float *)(const void *)from, count, f->gap[2] + 1);
    else
        for (int64_t i = 0; i < wk_min_i64(split, count); i++) /* what goes to the same row */
            take_every(to + (size_t)((u + i) % split * f->width + (u + i) / split) * size,
                       from + (size_t)i * size, divide_up(count - i, split), split, size);
}

/* A row of the image, converted where the field is of another type. */
INLINE void convert_row(const field *f, char *to, const char *from, int64_t count, int64_t split)
{
    enum { SOME = 16 * VF };
    float row[SOME];
    if (f->dtype == f->from) {
        put_row(f, to, f->border[2], from, count, split);
        return;
    }
    for (int64_t at = 0, n; at < count; at += n, from += 2 * n) {
        n = wk_min_i64(SOME, count - at);
        int64_t i = 0;
        for (; f->from == WK_BF16 && i + VF <= n; i += VF)
            vstore(row + i, vload_bf16((const uint16_t *)(const void *)from + i));
        if (i < n)
            wk_dtypes[f->from].load[WK_AS_F32](row + i, from + 2 * i, n - i, 1);
        put_row(f, to, f->border[2] + at * (f->gap[2] + 1), (const char *)row, n, split);
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
                char   *line = to + (size_t)((i * f->size[1] + j) * row) * size;
                if (i >= f->size[0] || j >= f->size[1])
                    continue;
                if (f->split == 1) /* constants, for loops without divisions */
                    convert_row(f, line, from, count, 1);
                else if (f->split == 2)
                    convert_row(f, line, from, count, 2);
                else
                    convert_row(f, line, from, count, f->split);
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

/* ---- Places, and gathering ------------------------------------------------ */

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

enum { AHEAD = 8 }; /* channels: what they give is fetched */

/* k rows of one run that is as wide as a panel. */
static void gather_whole(const field *f, char *to, int width, const int64_t *row, int64_t k,
                         int64_t from)
{
    size_t size = wk_dtypes[f->dtype].size, bytes = (size_t)width * size;
    size_t ahead = (size_t)f->plane * AHEAD * size;
    for (int64_t i = 0; i < k; i++, to += bytes) {
        const char *at = f->data + (size_t)(row[i] + from) * size;
        for (size_t b = 0; b < bytes; b += VBYTES) {
            __builtin_prefetch(at + b + ahead);
            memcpy(to + b, at + b, VBYTES);
        }
    }
}

#ifdef __AVX512F__
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
                     int64_t ahead, const part *parts, int count)                                  \
    {                                                                                              \
        for (int64_t i = 0; i < k; i++, to += width) {                                             \
            const T *base = from + row[i];                                                         \
            vi       v = { 0 };                                                                    \
            for (int s = 0; s < count; s++) {                                                      \
                __builtin_prefetch(base + parts[s].from + ahead);                                  \
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

static void gather_parts(const field *f, void *to, int width, const int64_t *row, int64_t k,
                         const conv_run *runs, int n)
{
    part    parts[2 * CONV_MOST_NR];
    bool    wide = f->dtype == WK_F32;
    int     count = parts_of(runs, n, wide ? VF : 2 * VF, parts);
    int64_t ahead = f->plane * AHEAD;
    if (wide)
        gather32(to, width, (const uint32_t *)(const void *)f->data, row, k, ahead, parts, count);
#if defined __AVX512F__
    else
        gather16(to, width, (const uint16_t *)(const void *)f->data, row, k, ahead, parts, count);
#endif
}
#else
static void gather_parts(const field *f, void *to, int width, const int64_t *row, int64_t k,
                         const conv_run *runs, int n)
{
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

void conv_gather(const field *f, void *to, int width, const int64_t *row, int64_t k,
                 const conv_run *runs, int n)
{
    if (n == 1 && runs[0].count == width)
        gather_whole(f, to, width, row, k, runs[0].from);
    else
        gather_parts(f, to, width, row, k, runs, n);
}
