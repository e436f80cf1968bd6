// SPDX-License-Identifier: MIT OR Apache-2.0
/* reduce.c - sums, means, extremes and the like in f32.
 *
 * The elements behind one number of the result are n, step apart.  They are cut into
 * blocks: each is folded on vectors and becomes a partial, and the partials are put
 * together in doubles, in order.  Where the elements of a row of results are neighbours
 * (sums over leading axes), a block is a tile of such columns, folded side by side. */
#include "fold.h"

#include <stdlib.h>

enum { COLUMNS = WK_COLUMNS, TALL = 64, GROUP = 65536 };

typedef struct { /* of some of the elements behind a number */
    double  f, g;
    int64_t n, at;
} partial;

typedef struct {
    const wk_call   *c;
    const wk_folds  *by;
    const wk_tensor *x;
    fold_kind        kind;
    int64_t          n, step; /* elements behind one number */
    int              kept;    /* dimensions of the result, without the columns */
    int64_t          dim[WK_MAX_RANK], stride[WK_MAX_RANK];
    int64_t          outer, columns;   /* numbers in these, and side by side */
    int64_t          block, per_group; /* elements of a block, blocks of a group */
    int64_t          tiles, groups;
    partial         *part; /* [outer][columns][groups], if there is more than one group */
} job;

/* ---- Partials ------------------------------------------------------------ */

/* The first NaN stays, or else the first of the largest. */
static void merge(fold_kind kind, partial *s, const partial *t)
{
    if (s->n == 0) {
        *s = *t;
        return;
    }
    if (fold_is_extreme(kind)) {
        if (!(t->f <= s->f) && s->f == s->f)
            s->f = t->f, s->at = t->at;
    } else if (kind == FOLD_EXP) {
        log_sum_merge(&s->f, &s->g, t->f, t->g);
    } else if (kind == FOLD_SPREAD) { /* Chan, Golub and LeVeque, 1979 */
        double d = t->f - s->f, all = (double)(s->n + t->n);
        s->f += d * (double)t->n / all;
        s->g += t->g + d * d * (double)s->n * ((double)t->n / all);
    } else {
        s->f += t->f;
    }
    s->n += t->n;
}

static double finish(const job *j, const partial *s)
{
    const wk_call *c = j->c;
    double         n = (double)s->n;
    switch (c->op->id) {
    case WK_OP_mean:
        return s->f / n;
    case WK_OP_var:
        return s->g / (n - !c->opt.reduce.biased);
    case WK_OP_std:
        return sqrt(s->g / (n - !c->opt.reduce.biased));
    case WK_OP_min:
        return -s->f;
    case WK_OP_any:
        return s->f < n;
    case WK_OP_all:
        return s->f == 0;
    case WK_OP_logsumexp:
        return s->f + log(s->g);
    case WK_OP_norm:
        return j->kind == FOLD_SQUARE ? sqrt(s->f) : s->f;
    default:
        return s->f;
    }
}

/* What f32 cannot hold: squares of large or small numbers, sums out of its range. */
static bool is_doubtful(fold_kind kind, double sum)
{
    bool squares = kind == FOLD_SQUARE || kind == FOLD_SPREAD;
    return !(fabs(sum) < 1e38) || (squares && sum < 1e-28);
}

/* The same block in doubles. */
static partial in_doubles(const job *j, int64_t at, int64_t n)
{
    enum { SOME = 64 };
    partial s = { .n = n };
    double  row[SOME];
    for (int64_t i = 0; i < n; i++) {
        if (i % SOME == 0)
            wk_load_f64(row, j->x, at + i * j->step, wk_min_i64(SOME, n - i), j->step);
        double x = row[i % SOME], d = x - s.f;
        if (j->kind == FOLD_SPREAD) /* Welford, 1962 */
            s.f += d / (double)(i + 1), s.g += d * (x - s.f);
        else
            s.f += j->kind == FOLD_SQUARE ? x * x : j->kind == FOLD_ABS ? fabs(x) : x;
    }
    return s;
}

/* ---- Rows ---------------------------------------------------------------- */

static int64_t first_of(const float *x, int64_t n, float value)
{
    int64_t i = 0;
    while (i < n && x[i] != value && (value == value || x[i] == x[i]))
        i++;
    return i;
}

static partial extreme_of(const job *j, const float *x, int64_t n, double so_far)
{
    partial s = { .n = n };
    s.f = j->by->fold(j->kind, x, n, 0);
    if (isnan(j->by->fold(FOLD_ABS, x, n, 0))) /* sums see it */
        s.f = NAN;
    if (j->c->dtype == WK_I64 && !(s.f <= so_far))
        s.at = first_of(x, n, (float)(j->kind == FOLD_MIN ? -s.f : s.f));
    return s;
}

/* Of n numbers with the mean near + d / n: the sum of their squared distances to it, g
 * being that to near.  0 where almost nothing is left. */
static double spread_of(double g, double d, double n)
{
    double rest = g - d * d / n;
    return rest > 1e-4 * g ? rest : 0;
}

static partial row_spread(const job *j, const float *x, int64_t n)
{
    float  near = (float)(j->by->fold(FOLD_SUM, x, n, 0) / (double)n);
    double d = j->by->fold(FOLD_OFFSET, x, n, near), m = (double)n;
    double g = j->by->fold(FOLD_SPREAD, x, n, near);
    return (partial){ .f = (double)near + d / m, .g = spread_of(g, d, m), .n = n };
}

/* A block of a row, x being its elements; so_far: the extreme of those before. */
static partial row_block(const job *j, const float *x, int64_t at, int64_t n, double so_far)
{
    partial s = { .n = n };
    double  sum;
    if (fold_is_extreme(j->kind))
        return extreme_of(j, x, n, so_far);
    if (j->kind == FOLD_EXP) {
        s.f = -INFINITY;
        log_sum_block(j->by, x, n, &s.f, &s.g);
        return s;
    }
    if (j->kind == FOLD_SPREAD) {
        s = row_spread(j, x, n);
        sum = s.g;
    } else {
        s.f = sum = j->by->fold(j->kind, x, n, 0);
    }
    return is_doubtful(j->kind, sum) ? in_doubles(j, at, n) : s;
}

/* n elements from element at on, step apart, as floats: where they lie, or in room. */
static const float *read_row(const job *j, int64_t at, int64_t n, int64_t step, float *room)
{
    const wk_dtype_info *d = &wk_dtypes[j->x->dtype];
    const char          *p = (char *)wk_at_host(j->x) + at * (int64_t)d->size;
    if (j->x->dtype == WK_F32 && step == 1)
        return (const float *)(const void *)p;
    d->load[WK_AS_F32](room, p, n, step);
    return room;
}

static partial row_group(const job *j, int64_t base, int64_t group)
{
    float   room[WK_BLOCK];
    partial s = { .n = 0 };
    for (int64_t b = group * j->per_group; b < (group + 1) * j->per_group; b++) {
        int64_t start = b * j->block, n = wk_min_i64(j->block, j->n - start);
        if (n <= 0)
            break;
        int64_t at = base + start * j->step;
        partial t = row_block(j, read_row(j, at, n, j->step, room), at, n, s.n ? s.f : NAN);
        t.at += start;
        merge(j->kind, &s, &t);
    }
    return s;
}

/* ---- Columns ------------------------------------------------------------- */

static void sweep(const job *j, fold_kind kind, fold_columns *t, int64_t at, int64_t n, int64_t m)
{
    float room[COLUMNS];
    for (int i = 0; i < COLUMNS; i++) {
        t->sum[i] = fold_is_extreme(kind) ? -INFINITY : 0;
        t->at[i] = 0;
    }
    for (int32_t r = 0; r < n; r++)
        j->by->row(kind, t, read_row(j, at + r * j->step, m, 1, room), m, r);
}

/* A block of n rows of m columns: their partials into s. */
static void column_block(const job *j, fold_columns *t, int64_t at, int64_t n, int64_t m,
                         partial *s)
{
    if (j->kind == FOLD_SPREAD || j->kind == FOLD_EXP) {
        sweep(j, j->kind == FOLD_EXP ? FOLD_MAX : FOLD_SUM, t, at, n, m);
        for (int64_t i = 0; i < m; i++) {
            float x = t->sum[i];
            t->shift[i] = j->kind == FOLD_EXP ? (isinf(x) || x != x ? 0 : x) : x / (float)n;
            s[i] = (partial){ .f = (double)(x == x ? x : 0), .n = n };
        }
    }
    if (j->kind == FOLD_SPREAD) {
        sweep(j, FOLD_OFFSET, t, at, n, m);
        for (int64_t i = 0; i < m; i++)
            s[i].f = (double)t->sum[i];
    }
    sweep(j, j->kind, t, at, n, m);
    for (int64_t i = 0; i < m; i++) {
        double sum = (double)t->sum[i], d = s[i].f;
        if (j->kind == FOLD_SPREAD)
            sum = spread_of(sum, d, (double)n);
        if (fold_is_extreme(j->kind)) {
            s[i] = (partial){ .f = sum, .n = n, .at = t->at[i] };
        } else if (j->kind == FOLD_EXP) {
            s[i].g = isinf(s[i].f) && sum == sum ? s[i].f > 0 : sum;
        } else if (is_doubtful(j->kind, sum)) {
            s[i] = in_doubles(j, at + i, n);
        } else if (j->kind == FOLD_SPREAD) {
            s[i].f = (double)t->shift[i] + d / (double)n;
            s[i].g = sum;
        } else {
            s[i] = (partial){ .f = sum, .n = n };
        }
    }
}

static void column_group(const job *j, int64_t base, int64_t m, int64_t group, partial *s)
{
    fold_columns t = { .shift = { 0 } };
    partial      block[COLUMNS];
    for (int64_t b = group * j->per_group; b < (group + 1) * j->per_group; b++) {
        int64_t start = b * j->block, n = wk_min_i64(j->block, j->n - start);
        if (n <= 0)
            break;
        column_block(j, &t, base + start * j->step, n, m, block);
        for (int64_t i = 0; i < m; i++) {
            block[i].at += start;
            merge(j->kind, &s[i], &block[i]);
        }
    }
}

/* ---- The whole ----------------------------------------------------------- */

static void store(const job *j, int64_t at, const partial *s, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        double f = finish(j, &s[i]);
        if (j->c->dtype == WK_I64)
            ((int64_t *)wk_at_host(j->c->out))[at + i] = s[i].at;
        else
            wk_store_f64(j->c->out, at + i, &f, 1, 1);
    }
}

/* Pieces are numbered by outer number, tile of columns, group of blocks. */
static void pieces(void *ctx, int64_t begin, int64_t end)
{
    const job *j = ctx;
    for (int64_t piece = begin; piece < end; piece++) {
        partial s[COLUMNS];
        int64_t group = piece % j->groups, rest = piece / j->groups;
        int64_t column = rest % j->tiles * COLUMNS, m = wk_min_i64(COLUMNS, j->columns - column);
        int64_t number = rest / j->tiles * j->columns + column, base = column;
        for (int64_t i = j->kept - 1, o = rest / j->tiles; i >= 0; o /= j->dim[i--])
            base += o % j->dim[i] * j->stride[i];
        memset(s, 0, (size_t)m * sizeof *s);
        if (j->columns > 1)
            column_group(j, base, m, group, s);
        else
            s[0] = row_group(j, base, group);
        if (!j->part)
            store(j, number, s, m);
        for (int64_t i = 0; j->part && i < m; i++)
            j->part[(number + i) * j->groups + group] = s[i];
    }
}

static void totals(void *ctx, int64_t begin, int64_t end)
{
    const job *j = ctx;
    for (int64_t i = begin; i < end; i++) {
        partial *s = &j->part[i * j->groups];
        for (int64_t k = 1; k < j->groups; k++)
            merge(j->kind, s, &s[k]);
        store(j, i, s, 1);
    }
}

static int kind_of(const wk_call *c)
{
    double p = c->opt.reduce.p;
    switch (c->op->id) {
    case WK_OP_sum:
    case WK_OP_mean:
        return FOLD_SUM;
    case WK_OP_var:
    case WK_OP_std:
        return FOLD_SPREAD;
    case WK_OP_max:
    case WK_OP_argmax:
        return FOLD_MAX;
    case WK_OP_min:
    case WK_OP_argmin:
        return FOLD_MIN;
    case WK_OP_logsumexp:
        return FOLD_EXP;
    case WK_OP_any:
    case WK_OP_all:
        return FOLD_ZEROS;
    case WK_OP_norm:
        return p == 2 ? FOLD_SQUARE : p == 1 ? FOLD_ABS : p == INFINITY ? FOLD_MOST : -1;
    default:
        return -1;
    }
}

/* Sorts the dimensions into those kept and those reduced, which must be as good as one. */
static bool plan(job *j)
{
    const wk_tensor *x = j->x;
    bool             gone[WK_MAX_RANK];
    wk_axis_set(j->c->op->name, x->shape, j->c->opt.reduce.axes, gone);
    for (int i = 0; i < x->shape.rank; i++) {
        int64_t dim = x->shape.dim[i], stride = x->stride[i];
        if (dim == 1)
            continue;
        if (gone[i]) {
            if (j->n > 1 && j->step != stride * dim)
                return false;
            j->n *= dim;
            j->step = stride;
        } else if (j->kept && j->stride[j->kept - 1] == stride * dim) {
            j->dim[j->kept - 1] *= dim;
            j->stride[j->kept - 1] = stride;
        } else {
            j->dim[j->kept] = dim;
            j->stride[j->kept++] = stride;
        }
    }
    if (j->step != 1 && j->kept && j->stride[j->kept - 1] == 1)
        j->columns = j->dim[--j->kept];
    for (int i = 0; i < j->kept; i++)
        j->outer *= j->dim[i];
    return true;
}

/* Dimensions that are not as good as one: first brought side by side, in their order. */
static bool reduce_moved(const wk_call *c, const wk_folds *folds)
{
    wk_call  d = *c;
    wk_shape order = { 0 }, *axes = &d.opt.reduce.axes;
    int      rank = wk_rank(c->in[0]);
    bool     gone[WK_MAX_RANK], recorded = wk_no_grad(true);
    wk_scope scope = wk_mark();
    wk_axis_set(c->op->name, c->in[0]->shape, *axes, gone);
    axes->rank = 0;
    for (int last = 0; last < 2; last++)
        for (int i = 0; i < rank; i++)
            if (gone[i] == last) {
                if (last)
                    axes->dim[axes->rank++] = order.rank;
                order.dim[order.rank++] = i;
            }
    wk_tensor *x = wk_contiguous(wk_permute_by(c->in[0], order));
    d.in = &x;
    bool done = x && wk_cpu_reduce(&d, folds);
    wk_sweep(scope);
    wk_no_grad(recorded);
    return done;
}

static bool can_read(const wk_call *c, const wk_tensor *x)
{
    bool truth = c->dtype == WK_BOOL && wk_dtypes[x->dtype].size == 1;
    return (truth || wk_dtypes[x->dtype].as == WK_AS_F32) && wk_count(x) > 0;
}

bool wk_cpu_reduce(const wk_call *c, const wk_folds *folds)
{
    job j = { .c = c, .by = folds, .x = c->in[0], .n = 1, .step = 1, .outer = 1, .columns = 1 };
    int kind = kind_of(c);
    if (kind < 0 || !can_read(c, j.x))
        return false;
    if (!plan(&j))
        return reduce_moved(c, folds);
    j.kind = (fold_kind)kind;
    int64_t width = wk_min_i64(COLUMNS, j.columns);
    j.block = j.columns > 1 ? TALL : WK_BLOCK;
    j.per_group = wk_max_i64(1, GROUP / (j.block * width));
    j.tiles = (j.columns + COLUMNS - 1) / COLUMNS;
    j.groups = (j.n + j.block * j.per_group - 1) / (j.block * j.per_group);
    if (j.groups > 1) {
        j.part = wk_alloc_array((size_t)(j.outer * j.columns * j.groups), sizeof *j.part);
        if (!j.part)
            return false;
    }
    int64_t work = wk_min_i64(j.n, j.block * j.per_group) * width; /* of a piece */
    wk_parallel(j.outer * j.tiles * j.groups, 16384 / work + 1, pieces, &j);
    if (j.part)
        wk_parallel(j.outer * j.columns, 4096 / j.groups + 1, totals, &j);
    wk_free(j.part);
    return wk_ok();
}
