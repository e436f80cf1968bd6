// SPDX-License-Identifier: MIT OR Apache-2.0
/* order.c - sorting, the largest of a line, places in sorted lines.
 *
 * The operations give indices; values are gathered by them, and have their gradients from
 * that.  A number is sorted by a key, an unsigned integer of the same order in which NaN is
 * the largest, as in PyTorch: digit by digit, from the last, skipping digits that are all
 * the same (those of f32 numbers beyond their mantissa are).  So equal ones stay in order. */
#include "../core/core.h"

typedef struct {
    uint64_t key;
    int64_t  index;
} item;

/* ---- Keys ---------------------------------------------------------------- */

static uint64_t key_of(double x)
{
    uint64_t bits;
    if (x != x)
        return UINT64_MAX;
    x += 0; /* -0 is 0 */
    memcpy(&bits, &x, sizeof bits);
    return bits >> 63 ? ~bits : bits | 1ull << 63;
}

enum { ROW = 512 };

/* The keys of a line of n elements, with their places; flipped: the largest first. */
static void load(const wk_tensor *x, int64_t at, int64_t n, int64_t stride, bool flipped, item *out)
{
    const wk_dtype_info *d = &wk_dtypes[x->dtype];
    double               number[ROW];
    int64_t              integer[ROW];
    for (int64_t i = 0; i < n; i += ROW) {
        int64_t     m = wk_min_i64(n - i, ROW);
        const char *from = (char *)wk_at_host(x) + (at + i * stride) * (int64_t)d->size;
        if (d->is_float)
            d->load[WK_AS_F64](number, from, m, stride);
        else
            d->load[WK_AS_I64](integer, from, m, stride);
        for (int64_t k = 0; k < m; k++) {
            uint64_t key = d->is_float ? key_of(number[k]) : (uint64_t)integer[k] ^ 1ull << 63;
            out[i + k] = (item){ flipped ? ~key : key, i + k };
        }
    }
}

/* ---- Sorting ------------------------------------------------------------- */

static void insert_sort(item *x, int64_t n)
{
    for (int64_t i = 1; i < n; i++) {
        item    it = x[i];
        int64_t k = i;
        for (; k > 0 && x[k - 1].key > it.key; k--)
            x[k] = x[k - 1];
        x[k] = it;
    }
}

/* x or room, whichever holds the sorted items. */
static item *sort(item *x, item *room, int64_t n)
{
    enum { DIGITS = 8, VALUES = 256, FEW = 48 };
    int64_t count[DIGITS][VALUES] = { { 0 } };
    if (n <= FEW) {
        insert_sort(x, n);
        return x;
    }
    for (int64_t i = 0; i < n; i++)
        for (int d = 0; d < DIGITS; d++)
            count[d][x[i].key >> 8 * d & 255]++;
    for (int d = 0; d < DIGITS; d++) {
        int64_t at = 0;
        if (count[d][x[0].key >> 8 * d & 255] == n)
            continue;
        for (int v = 0; v < VALUES; v++) {
            int64_t times = count[d][v];
            count[d][v] = at;
            at += times;
        }
        for (int64_t i = 0; i < n; i++)
            room[count[d][x[i].key >> 8 * d & 255]++] = x[i];
        item *swap = x;
        x = room;
        room = swap;
    }
    return x;
}

/* ---- argsort, topk ------------------------------------------------------- */

/* Sift the item at the root of a heap, whose root is the largest, down to its place. */
static void sift(item *heap, int64_t n, int64_t i)
{
    item it = heap[i];
    for (int64_t child; (child = 2 * i + 1) < n; i = child) {
        child += child + 1 < n && heap[child + 1].key > heap[child].key;
        if (heap[child].key <= it.key)
            break;
        heap[i] = heap[child];
    }
    heap[i] = it;
}

/* The k items of least keys come first. */
static void choose(item *x, int64_t n, int64_t k)
{
    for (int64_t i = k / 2; i-- > 0;)
        sift(x, k, i);
    for (int64_t i = k; i < n; i++)
        if (x[i].key < x[0].key) {
            x[0] = x[i];
            sift(x, k, 0);
        }
    for (int64_t i = k - 1; i > 0; i--) { /* and in their order */
        item top = x[0];
        x[0] = x[i];
        x[i] = top;
        sift(x, i, 0);
    }
}

static void lines(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *c = ctx;
    int            axis = c->opt.order.axis;
    int64_t        n = c->in[0]->shape.dim[axis], k = c->opt.order.count;
    int64_t        step = c->in[0]->stride[axis];
    item          *x = wk_scratch(2 * (size_t)n * sizeof *x + ROW * sizeof(int64_t));
    for (int64_t i = begin; x && i < end; i++) {
        item    *sorted = x;
        int64_t *out = wk_at_host(c->out);
        load(c->in[0], i / step * step * n + i % step, n, step, c->opt.order.descending, x);
        if (k < n / 8)
            choose(x, n, k);
        else
            sorted = sort(x, x + n, n);
        out += i / step * step * k + i % step;
        for (int64_t m = 0; m < k; m++)
            out[m * step] = sorted[m].index;
    }
}

static bool infer(wk_call *c)
{
    wk_shape shape = c->in[0]->shape;
    int      axis = wk_axis(c->op->name, shape, c->opt.order.axis);
    if (axis < 0)
        return false;
    if (c->opt.order.count < 0)
        c->opt.order.count = shape.dim[axis];
    if (c->opt.order.count > shape.dim[axis]) {
        wk_fail(WK_ERR_ARGUMENT, "%s: %lld of %lld elements", c->op->name,
                (long long)c->opt.order.count, (long long)shape.dim[axis]);
        return false;
    }
    c->opt.order.axis = axis;
    c->shape = shape;
    c->shape.dim[axis] = c->opt.order.count;
    c->dtype = WK_I64;
    return true;
}

static bool compute(const wk_call *c)
{
    int64_t n = c->in[0]->shape.dim[c->opt.order.axis];
    wk_parallel(wk_count(c->in[0]) / n, 1024 / n + 1, lines, (void *)c);
    return wk_ok();
}

const wk_op wk_op_argsort = {
    .name = "argsort",
    .id = WK_OP_argsort,
    .required = 1,
    .flags = WK_OP_NO_HISTORY,
    .infer = infer,
    .compute = compute,
};

/* Numbers of rank 0 are lines of one element. */
static wk_tensor *first_of(wk_tensor *x, int axis, int64_t count, bool descending)
{
    return WK_RUN(argsort, WK_IN(x), .opt.order = { axis, count, descending });
}

wk_tensor *wk_argsort(wk_tensor *x, int axis, bool descending)
{
    return first_of(x, axis, -1, descending);
}

/* The first of the sorted elements, for what: which is to say so of an x that is not there. */
static wk_ordered ordered(const char *what, wk_tensor *x, int axis, int64_t count, bool descending)
{
    if (!wk_usable(what, 1, x))
        return (wk_ordered){ 0 };
    wk_tensor *indices = first_of(x, axis, count, descending);
    return (wk_ordered){ wk_gather(x, axis, indices), indices };
}

wk_ordered wk_sort(wk_tensor *x, int axis, bool descending)
{
    return ordered("sort", x, axis, -1, descending);
}

wk_ordered wk_topk_with(const wk_topk_args *a)
{
    int axis = a->over.rank ? (int)a->over.dim[0] : -1;
    if (wk_ok() && a->count < 0)
        wk_fail(WK_ERR_ARGUMENT, "topk: %lld elements", (long long)a->count);
    return ordered("topk", a->x, axis, a->count, !a->smallest);
}

/* The k-th smallest, k from 1 on, without its axis. */
static wk_ordered kth(const char *what, wk_tensor *x, int axis, int64_t k)
{
    if (wk_ok() && k < 1)
        wk_fail(WK_ERR_ARGUMENT, "%s: number %lld", what, (long long)k);
    wk_ordered first = ordered(what, x, axis, k, false);
    return (wk_ordered){ wk_select(first.values, axis, k - 1),
                         wk_select(first.indices, axis, k - 1) };
}

wk_ordered wk_kthvalue(wk_tensor *x, int axis, int64_t k) { return kth("kthvalue", x, axis, k); }

wk_ordered wk_median(wk_tensor *x, int axis)
{
    int64_t n = wk_dim(x, axis);
    return kth("median", x, axis, n > 0 ? (n - 1) / 2 + 1 : 1);
}

/* ---- searchsorted -------------------------------------------------------- */

static void search_rows(void *ctx, int64_t begin, int64_t end)
{
    const wk_call   *c = ctx;
    const wk_tensor *sorted = c->in[0], *x = c->in[1];
    int64_t          n = sorted->shape.dim[sorted->shape.rank - 1];
    int64_t          width = x->shape.rank ? x->shape.dim[x->shape.rank - 1] : 1;
    int64_t         *out = wk_at_host(c->out);
    for (int64_t i = begin; i < end; i++) {
        double  v, w;
        int64_t base = sorted->shape.rank > 1 ? i / width * n : 0, low = 0, high = n;
        wk_load_f64(&v, x, i, 1, 1);
        while (low < high) { /* sorted[low - 1] < v <= sorted[low], or <= and < to the right */
            int64_t middle = low + (high - low) / 2;
            wk_load_f64(&w, sorted, base + middle, 1, 1);
            if (c->opt.mode.flag ? key_of(w) <= key_of(v) : key_of(w) < key_of(v))
                low = middle + 1;
            else
                high = middle;
        }
        out[i] = low;
    }
}

static bool search_infer(wk_call *c)
{
    wk_shape s = c->in[0]->shape, x = c->in[1]->shape;
    char     a[160], b[160];
    bool     fits = s.rank == 1 || (s.rank > 1 && s.rank == x.rank);
    for (int i = 0; fits && s.rank > 1 && i + 1 < s.rank; i++)
        fits = s.dim[i] == x.dim[i];
    if (!fits) {
        wk_fail(WK_ERR_SHAPE, "searchsorted: %s in %s", wk_show(c->in[1], a), wk_show(c->in[0], b));
        return false;
    }
    c->shape = x;
    c->dtype = WK_I64;
    return true;
}

static bool search_compute(const wk_call *c)
{
    wk_parallel(wk_count(c->out), 4096, search_rows, (void *)c);
    return wk_ok();
}

const wk_op wk_op_searchsorted = {
    .name = "searchsorted",
    .id = WK_OP_searchsorted,
    .required = 2,
    .flags = WK_OP_NO_HISTORY,
    .infer = search_infer,
    .compute = search_compute,
};

wk_tensor *wk_searchsorted(wk_tensor *sorted, wk_tensor *x, bool right)
{
    return WK_RUN(searchsorted, WK_IN(sorted, x), .opt.mode.flag = right);
}
