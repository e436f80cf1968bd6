// SPDX-License-Identifier: MIT OR Apache-2.0
/* loss.c - cross entropy and its gradient, row by row in f32. */
#include "fold.h"

typedef struct {
    const wk_call  *c;
    const wk_folds *by;
    int64_t         n; /* classes */
    double         *loss;
    double          share; /* of a row in the gradient of the loss */
} job;

static bool is_ignored(const wk_call *c, int64_t class)
{
    return c->opt.loss.ignore && class == c->opt.loss.ignore_index;
}

/* A row of logits: where it lies, or in scratch memory. */
static const float *read_row(const job *j, int64_t r, float *room)
{
    const wk_tensor     *x = j->c->in[0];
    const wk_dtype_info *d = &wk_dtypes[x->dtype];
    const char          *at = (char *)wk_at_host(x) + r * j->n * (int64_t)d->size;
    if (x->dtype == WK_F32)
        return (const float *)(const void *)at;
    d->load[WK_AS_F32](room, at, j->n, 1);
    return room;
}

typedef struct {
    double top, sum;   /* the largest x, and the sum of e^(x - top) */
    double log, total; /* log(sum of e^x), and the sum of x, which only smoothing needs */
} row_sums;

static row_sums sums_of(const wk_folds *by, const float *x, int64_t n, bool total)
{
    row_sums s = { .top = -INFINITY };
    for (int64_t i = 0; i < n; i += WK_BLOCK) {
        int64_t m = wk_min_i64(WK_BLOCK, n - i);
        log_sum_block(by, x + i, m, &s.top, &s.sum);
        s.total += total ? by->fold(FOLD_SUM, x + i, m, 0) : 0;
    }
    s.log = s.top + log(s.sum);
    return s;
}

static bool check_class(int64_t class, int64_t n)
{
    if (class >= 0 && class < n)
        return true;
    wk_fail(WK_ERR_ARGUMENT, "cross_entropy: class %lld is not between 0 and %lld",
            (long long)class, (long long)n - 1);
    return false;
}

static void rows(void *ctx, int64_t begin, int64_t end)
{
    const job *j = ctx;
    double     e = j->c->opt.loss.label_smoothing;
    float     *room = wk_scratch((size_t)j->n * sizeof *room);
    for (int64_t r = begin; room && r < end; r++) {
        int64_t class = wk_load_index(j->c->in[1], r);
        j->loss[r] = 0;
        if (is_ignored(j->c, class))
            continue;
        if (!check_class(class, j->n))
            return;
        const float *x = read_row(j, r, room);
        row_sums     s = sums_of(j->by, x, j->n, e != 0);
        j->loss[r] = (1 - e) * (s.log - (double)x[class]);
        if (e != 0)
            j->loss[r] += e * (s.log - s.total / (double)j->n);
    }
}

static int64_t counted(const wk_call *c)
{
    int64_t count = wk_count(c->in[1]), n = 0;
    for (int64_t r = 0; r < count; r++)
        n += !is_ignored(c, wk_load_index(c->in[1], r));
    return n;
}

static bool is_f32_work(const wk_tensor *x) { return wk_dtypes[x->dtype].as == WK_AS_F32; }

bool wk_cpu_cross_entropy(const wk_call *c, const wk_folds *folds)
{
    job     j = { .c = c, .by = folds, .n = wk_dim(c->in[0], -1) };
    int64_t count = wk_count(c->in[1]);
    double  loss = 0;
    if (!is_f32_work(c->in[0]) || !(j.loss = wk_alloc_array((size_t)count + 1, sizeof(double))))
        return false;
    wk_parallel(count, 8192 / j.n + 1, rows, &j);
    for (int64_t r = 0; r < count; r++)
        loss += j.loss[r];
    wk_free(j.loss);
    loss /= (double)counted(c);
    wk_store_f64(c->out, 0, &loss, 1, 1);
    return wk_ok();
}

static void grad_rows(void *ctx, int64_t begin, int64_t end)
{
    const job           *j = ctx;
    wk_tensor           *y = j->c->out;
    const wk_dtype_info *d = &wk_dtypes[y->dtype];
    double               e = j->c->opt.loss.label_smoothing, even = e / (double)j->n * j->share;
    float               *room = wk_scratch((size_t)j->n * sizeof *room);
    for (int64_t r = begin; room && r < end; r++) {
        int64_t class = wk_load_index(j->c->in[1], r);
        const float *x = read_row(j, r, room);
        float       *out = y->dtype == WK_F32 ? wk_f32(y) + r * j->n : room;
        if (is_ignored(j->c, class)) {
            memset(out, 0, (size_t)j->n * sizeof *out);
        } else if (check_class(class, j->n)) {
            row_sums s = sums_of(j->by, x, j->n, false);
            double   right = (exp((double)x[class] - s.log) - (1 - e)) * j->share - even;
            j->by->softmax(out, x, j->n, (float)s.top, (float)(j->share / s.sum), (float)even);
            out[class] = (float)right;
        } else {
            return;
        }
        if (out == room)
            d->store[WK_AS_F32]((char *)wk_at_host(y) + r * j->n * (int64_t)d->size, out, j->n, 1);
    }
}

bool wk_cpu_cross_entropy_grad(const wk_call *c, const wk_folds *folds)
{
    job    j = { .c = c, .by = folds, .n = wk_dim(c->in[0], -1) };
    double dy;
    if (!is_f32_work(c->in[0]))
        return false;
    wk_load_f64(&dy, c->in[2], 0, 1, 1);
    j.share = dy / (double)counted(c);
    wk_parallel(wk_count(c->in[1]), 8192 / j.n + 1, grad_rows, &j);
    return wk_ok();
}
