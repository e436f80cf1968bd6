// SPDX-License-Identifier: MIT OR Apache-2.0
/* index.c - kernels that move elements by index: gather, scatter, sums by index.
 *
 * They are bound by memory, and the same for every instruction set.  Where an index is
 * out of range they decline, and the portable kernel says which. */
#include "shared.h"

enum { PIECE = 256, STRIP = 64, GRAIN = 16384 };

/* ---- gather, scatter, scatter_add: lines along one axis -------------------- */

typedef struct {
    const wk_call   *c;
    wk_tensor       *to;
    const wk_tensor *from;
    bool             gathers, adds;
    atomic_bool      bad; /* an index is out of range */
} lines;

/* Offset in t of a line of the index: of all its axes but the one. */
static int64_t line_at(const wk_tensor *t, wk_shape index, int axis, int64_t line)
{
    int64_t at = 0;
    for (int i = index.rank - 1; i >= 0 && line; i--)
        if (i != axis) {
            at += line % index.dim[i] * t->stride[i];
            line /= index.dim[i];
        }
    return at;
}

/* to[i d] = from[k s], or the other way round */
#define MOVE(T, put)                                                                               \
    for (int64_t k = 0; k < n; k++) {                                                              \
        T       *to = (T *)(void *)out + (l->gathers ? k : index[k]) * d;                          \
        const T *from = (const T *)(const void *)in + (l->gathers ? index[k] : k) * s;             \
        *to put *from;                                                                             \
    }                                                                                              \
    break;

static void move(const lines *l, char *out, int64_t d, const char *in, int64_t s,
                 const int64_t *index, int64_t n)
{
    switch (l->adds ? 0 : wk_dtypes[l->to->dtype].size) {
    case 0:
        MOVE(float, +=)
    case 1:
        MOVE(uint8_t, =)
    case 2:
        MOVE(uint16_t, =)
    case 4:
        MOVE(uint32_t, =)
    case 8:
        MOVE(uint64_t, =)
    }
}

static void move_lines(void *ctx, int64_t begin, int64_t end)
{
    lines           *l = ctx;
    const wk_tensor *x = l->c->in[1];
    int              axis = l->c->opt.mode.axis;
    int64_t          index[PIECE], d = l->to->stride[axis], s = l->from->stride[axis];
    int64_t          size = (l->gathers ? l->from : l->to)->shape.dim[axis];
    int64_t          length = x->shape.dim[axis], bytes = (int64_t)wk_dtypes[l->to->dtype].size;
    for (int64_t line = begin; line < end; line++) {
        char   *to = (char *)wk_at_host(l->to) + line_at(l->to, x->shape, axis, line) * bytes;
        char   *from = (char *)wk_at_host(l->from) + line_at(l->from, x->shape, axis, line) * bytes;
        int64_t at = line_at(x, x->shape, axis, line);
        for (int64_t k = 0; k < length; k += PIECE) {
            int64_t n = wk_min_i64(PIECE, length - k);
            bool    bad = false;
            wk_load_indices(index, x, at + k * x->stride[axis], n, x->stride[axis]);
            for (int64_t i = 0; i < n; i++)
                bad |= (uint64_t)index[i] >= (uint64_t)size;
            if (bad) {
                atomic_store(&l->bad, true);
                return;
            }
            move(l, to + (l->gathers ? k * d * bytes : 0), d,
                 from + (l->gathers ? 0 : k * s * bytes), s, index, n);
        }
    }
}

static bool by_lines(lines *l)
{
    const wk_tensor *index = l->c->in[1];
    int64_t          n = index->shape.dim[l->c->opt.mode.axis], count = wk_count(index);
    if (count)
        wk_parallel(count / n, GRAIN / 4 / n + 1, move_lines, l);
    return !l->bad;
}

bool wk_cpu_gather(const wk_call *c)
{
    return by_lines(&(lines){ .c = c, .to = c->out, .from = c->in[0], .gathers = true });
}

bool wk_cpu_scatter(const wk_call *c)
{
    bool adds = c->op->id == WK_OP_scatter_add;
    if (adds && c->out->dtype != WK_F32)
        return false;
    return wk_copy_host(c->out, c->in[0]) &&
           by_lines(&(lines){ .c = c, .to = c->out, .from = c->in[2], .adds = adds });
}

/* ---- index_add: rows of the source added to rows of the result -------------- */

typedef struct {
    const wk_call *c;
    const int64_t *index;
    int64_t        n, size, inner, strips;
} sums;

/* A strip of columns at a time, so that each sum is made by one thread, in order. */
static void add_strips(void *ctx, int64_t begin, int64_t end)
{
    const sums *a = ctx;
    for (int64_t piece = begin; piece < end; piece++) {
        int64_t outer = piece / a->strips, first = piece % a->strips * STRIP;
        int64_t width = wk_min_i64(STRIP, a->inner - first);
        float  *to = wk_f32(a->c->out) + outer * a->size * a->inner + first;
        float  *from = wk_f32(a->c->in[2]) + outer * a->n * a->inner + first;
        for (int64_t k = 0; k < a->n; k++) {
            float       *t = to + a->index[k] * a->inner;
            const float *s = from + k * a->inner;
            if (width == STRIP)
                for (int i = 0; i < STRIP; i++)
                    t[i] += s[i];
            else
                for (int64_t i = 0; i < width; i++)
                    t[i] += s[i];
        }
    }
}

bool wk_cpu_index_add(const wk_call *c)
{
    int     axis = c->opt.mode.axis;
    sums    a = { .c = c, .n = wk_dim(c->in[1], 0), .size = c->shape.dim[axis], .inner = 1 };
    int64_t outer = 1;
    for (int i = 0; i < c->shape.rank; i++)
        *(i < axis ? &outer : &a.inner) *= i == axis ? 1 : c->shape.dim[i];
    if (c->out->dtype != WK_F32 || !wk_copy_host(c->out, c->in[0]))
        return false;
    int64_t *index = wk_alloc_array((size_t)a.n + 1, sizeof *index);
    if (!index)
        return false;
    wk_load_indices(index, c->in[1], 0, a.n, 1);
    bool bad = false;
    for (int64_t k = 0; k < a.n; k++)
        bad |= (uint64_t)index[k] >= (uint64_t)a.size;
    a.index = index;
    a.strips = (a.inner + STRIP - 1) / STRIP;
    if (!bad)
        wk_parallel(outer * a.strips, GRAIN / (a.n * wk_min_i64(a.inner, STRIP) + 1) + 1,
                    add_strips, &a);
    wk_free(index);
    return !bad;
}
