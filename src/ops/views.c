// SPDX-License-Identifier: MIT OR Apache-2.0
/* views.c - other shapes on the same elements: reshape, permute, expand, slice, flip.
 *
 * infer() says the new shape, compute() sets strides and offset; no data is moved,
 * but for a reshape that strides cannot express, which copies first. */
#include "../core/core.h"

#define VIEW(name_)                                                                                \
    const wk_op wk_op_##name_ = {                                                                  \
        .name = #name_,                                                                            \
        .id = WK_OP_##name_,                                                                       \
        .required = 1,                                                                             \
        .flags = WK_OP_VIEW,                                                                       \
        .strided = WK_ALL_OPERANDS,                                                                \
        .infer = name_##_infer,                                                                    \
        .compute = name_##_compute,                                                                \
        .backward = name_##_backward,                                                              \
    };

/* ---- reshape ------------------------------------------------------------ */

/* Strides that show x in another shape, if there are such. */
static bool strides_for(const wk_tensor *x, wk_shape shape, int64_t stride[WK_MAX_RANK])
{
    int from = 0, to = 0, rank = x->shape.rank;
    if (wk_elements(shape) == 0) {
        wk_dense_strides(shape, stride);
        return true;
    }
    while (to < shape.rank) { /* the shortest groups of dimensions with equal products */
        int     first = from, start = to;
        int64_t old = 1, new = shape.dim[to++];
        while (old != new || (from < rank && x->shape.dim[from] == 1)) {
            if (old < new || old == new)
                old *= x->shape.dim[from++];
            else
                new *= shape.dim[to++];
        }
        int64_t last = -1; /* the group must be contiguous within itself */
        for (int i = from - 1; i >= first; i--) {
            if (x->shape.dim[i] == 1)
                continue;
            if (last >= 0 && x->stride[i] != last)
                return false;
            last = x->stride[i] * x->shape.dim[i];
        }
        int64_t step = 1;
        for (int i = from - 1; i >= first; i--)
            if (x->shape.dim[i] != 1) {
                step = x->stride[i];
                break;
            }
        while (to < shape.rank && shape.dim[to] == 1)
            to++;
        for (int i = to - 1; i >= start; i--) {
            stride[i] = step;
            step *= shape.dim[i];
        }
    }
    return true;
}

static bool reshape_infer(wk_call *c)
{
    wk_shape s = c->opt.shape;
    int      hole = -1;
    int64_t  known = 1, count = wk_count(c->in[0]);
    char     a[160], b[160];
    for (int i = 0; i < s.rank; i++)
        if (s.dim[i] == -1 && hole < 0)
            hole = i;
        else
            known *= s.dim[i] >= 0 && known <= INT64_MAX / 16 / (s.dim[i] + 1) ? s.dim[i] : -1;
    if (hole >= 0)
        s.dim[hole] = known > 0 && count % known == 0 ? count / known : -1;
    if (s.rank > WK_MAX_RANK || known < 0 || (hole >= 0 && s.dim[hole] < 0) ||
        wk_elements(s) != count) {
        wk_fail(WK_ERR_SHAPE, "reshape: %s has not the shape %s", wk_show(c->in[0], a),
                wk_show_shape(c->opt.shape, b));
        return false;
    }
    c->shape = s;
    c->dtype = c->in[0]->dtype;
    return true;
}

static bool reshape_compute(const wk_call *c)
{
    if (strides_for(c->in[0], c->shape, c->out->stride))
        return true;
    wk_fail(WK_ERR_ARGUMENT, "reshape: the strides do not allow it");
    return false;
}

static void reshape_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    dx[0] = wk_reshape_to(dy, c->in[0]->shape);
}
VIEW(reshape)

wk_tensor *wk_reshape_to(wk_tensor *x, wk_shape shape)
{
    if (!wk_usable("reshape", 1, x))
        return NULL;
    wk_scope scope = wk_mark();
    wk_call  try = { .op = &wk_op_reshape, WK_IN(x), .opt.shape = shape };
    int64_t  stride[WK_MAX_RANK];
    if (reshape_infer(&try) && !strides_for(x, try.shape, stride))
        x = wk_copy(x);
    return wk_yield(scope, WK_RUN(reshape, WK_IN(x), .opt.shape = shape));
}

/* ---- permute ------------------------------------------------------------ */

static bool permute_infer(wk_call *c)
{
    const wk_tensor *x = c->in[0];
    wk_shape        *order = &c->opt.shape;
    bool             all[WK_MAX_RANK];
    char             a[160], b[160];
    if (order->rank != x->shape.rank) {
        wk_fail(WK_ERR_SHAPE, "permute: %s is not an order of the axes of %s",
                wk_show_shape(*order, a), wk_show(x, b));
        return false;
    }
    if (!wk_axis_set("permute", x->shape, *order, all))
        return false;
    c->shape.rank = x->shape.rank;
    for (int i = 0; i < order->rank; i++) {
        order->dim[i] += order->dim[i] < 0 ? order->rank : 0;
        c->shape.dim[i] = x->shape.dim[order->dim[i]];
    }
    c->dtype = x->dtype;
    return true;
}

static bool permute_compute(const wk_call *c)
{
    for (int i = 0; i < c->shape.rank; i++)
        c->out->stride[i] = c->in[0]->stride[c->opt.shape.dim[i]];
    return true;
}

static void permute_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    wk_shape back = { .rank = c->shape.rank };
    for (int i = 0; i < back.rank; i++)
        back.dim[c->opt.shape.dim[i]] = i;
    dx[0] = wk_permute_by(dy, back);
}
VIEW(permute)

wk_tensor *wk_permute_by(wk_tensor *x, wk_shape order)
{
    return WK_RUN(permute, WK_IN(x), .opt.shape = order);
}

wk_tensor *wk_transpose(wk_tensor *x, int axis, int other)
{
    if (!wk_usable("transpose", 1, x))
        return NULL;
    wk_shape order = { .rank = x->shape.rank };
    int      i = wk_axis("transpose", x->shape, axis), j = wk_axis("transpose", x->shape, other);
    if (i < 0 || j < 0)
        return NULL;
    for (int k = 0; k < order.rank; k++)
        order.dim[k] = k == i ? j : k == j ? i : k;
    return wk_permute_by(x, order);
}

/* ---- expand ------------------------------------------------------------- */

static bool expand_infer(wk_call *c)
{
    const wk_tensor *x = c->in[0];
    wk_shape         s = c->opt.shape;
    int              extra = s.rank - x->shape.rank;
    char             a[160], b[160];
    bool             fits = extra >= 0 && s.rank <= WK_MAX_RANK;
    for (int i = 0; fits && i < s.rank; i++) {
        int64_t old = i < extra ? 1 : x->shape.dim[i - extra];
        if (s.dim[i] == -1 && i >= extra)
            s.dim[i] = old;
        fits = s.dim[i] >= 0 && (old == 1 || old == s.dim[i]);
    }
    if (!fits) {
        wk_fail(WK_ERR_SHAPE, "expand: %s does not broadcast to %s", wk_show(x, a),
                wk_show_shape(c->opt.shape, b));
        return false;
    }
    c->shape = s;
    c->dtype = x->dtype;
    return wk_shape_valid("expand", s);
}

static bool expand_compute(const wk_call *c)
{
    const wk_tensor *x = c->in[0];
    int              extra = c->shape.rank - x->shape.rank;
    for (int i = 0; i < c->shape.rank; i++)
        c->out->stride[i] = i < extra || x->shape.dim[i - extra] == 1 ? 0 : x->stride[i - extra];
    return true;
}

static void expand_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    dx[0] = wk_sum_to(dy, c->in[0]->shape);
}
VIEW(expand)

wk_tensor *wk_expand_to(wk_tensor *x, wk_shape shape)
{
    return WK_RUN(expand, WK_IN(x), .opt.shape = shape);
}

/* ---- slice, and its gradient -------------------------------------------- */

static bool slice_infer(wk_call *c)
{
    const wk_tensor *x = c->in[0];
    int              axis = wk_axis("slice", x->shape, c->opt.slice.axis);
    int64_t          start = c->opt.slice.start, n = c->opt.slice.count, step = c->opt.slice.step;
    char             text[160];
    if (axis < 0)
        return false;
    int64_t size = x->shape.dim[axis], last = n <= size ? start + (n - 1) * step : size;
    if (n < 0 || n > size || start < 0 || start > size ||
        (n && (start >= size || last < 0 || last >= size))) {
        wk_fail(WK_ERR_ARGUMENT, "slice: %lld elements from %lld on along axis %d of %s",
                (long long)n, (long long)start, axis, wk_show(x, text));
        return false;
    }
    c->opt.slice.axis = axis;
    c->shape = x->shape;
    c->shape.dim[axis] = n;
    c->dtype = x->dtype;
    return true;
}

static bool slice_compute(const wk_call *c)
{
    int axis = c->opt.slice.axis;
    c->out->offset += c->opt.slice.start * c->in[0]->stride[axis];
    c->out->stride[axis] *= c->opt.slice.step;
    return true;
}

static wk_tensor *unslice(const wk_call *c, wk_tensor *dy, int64_t size)
{
    wk_options o = c->opt;
    return WK_RUN(unslice, WK_IN(dy), .opt = o, .shape = { 1, { size } });
}

static void slice_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    dx[0] = unslice(c, dy, c->in[0]->shape.dim[c->opt.slice.axis]);
}
VIEW(slice)

/* Zeros of the size that the call came with, and the operand where it was cut out. */
static bool unslice_infer(wk_call *c)
{
    int64_t size = c->shape.dim[0];
    c->shape = c->in[0]->shape;
    c->shape.dim[c->opt.slice.axis] = size;
    c->dtype = c->in[0]->dtype;
    return true;
}

static bool unslice_compute(const wk_call *c)
{
    bool before = wk_no_grad(true);
    wk_fill(c->out, 0);
    wk_tensor *place = WK_RUN(slice, WK_IN(c->out), .opt = c->opt);
    wk_assign(place, c->in[0]);
    wk_no_grad(before);
    return wk_ok();
}

static void unslice_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    dx[0] = WK_RUN(slice, WK_IN(dy), .opt = c->opt);
}

const wk_op wk_op_unslice = {
    .name = "unslice",
    .id = WK_OP_unslice,
    .required = 1,
    .flags = WK_OP_DIRECT, /* made of operations that know the device */
    .strided = WK_ALL_OPERANDS,
    .infer = unslice_infer,
    .compute = unslice_compute,
    .backward = unslice_backward,
};

wk_tensor *wk_narrow(wk_tensor *x, int axis, int64_t start, int64_t count)
{
    if (!wk_usable("narrow", 1, x))
        return NULL;
    return WK_RUN(slice, WK_IN(x), .opt.slice = { axis, start, count, 1 });
}

wk_tensor *wk_slice(wk_tensor *x, int axis, int64_t start, int64_t stop, int64_t step)
{
    if (!wk_usable("slice", 1, x))
        return NULL;
    int at = wk_axis("slice", x->shape, axis);
    if (at < 0 || step == 0) {
        wk_fail(WK_ERR_ARGUMENT, "slice: the step is 0");
        return NULL;
    }
    /* As Python: negative ends count from the end, and ends beyond it are cut. */
    int64_t size = x->shape.dim[at], low = step < 0 ? -1 : 0, high = step < 0 ? size - 1 : size;
    start = wk_min_i64(wk_max_i64(start < 0 ? start + size : start, low), high);
    stop =
        stop == INT64_MIN ? low : wk_min_i64(wk_max_i64(stop < 0 ? stop + size : stop, low), high);
    step = wk_min_i64(wk_max_i64(step, -size - 1), size + 1); /* longer ones take one element too */
    int64_t count = step > 0 ? (stop - start + step - 1) / step : (start - stop - step - 1) / -step;
    count = wk_max_i64(count, 0);
    return WK_RUN(slice, WK_IN(x), .opt.slice = { at, count ? start : 0, count, step });
}

wk_tensor *wk_select(wk_tensor *x, int axis, int64_t index)
{
    char text[160];
    int  at = wk_usable("select", 1, x) ? wk_axis("select", x->shape, axis) : -1;
    if (at < 0)
        return NULL;
    int64_t size = x->shape.dim[at], i = index < 0 ? index + size : index;
    if (i < 0 || i >= size) {
        wk_fail(WK_ERR_ARGUMENT, "select: there is no index %lld in axis %d of %s",
                (long long)index, at, wk_show(x, text));
        return NULL;
    }
    wk_scope scope = wk_mark();
    return wk_yield(scope, wk_squeeze(wk_narrow(x, at, i, 1), at));
}

int wk_split(wk_tensor *x, int axis, int64_t size, wk_tensor **out, int room)
{
    int at = wk_usable("split", 1, x) ? wk_axis("split", x->shape, axis) : -1, n = 0;
    if (at < 0)
        return 0;
    int64_t length = x->shape.dim[at];
    if (size <= 0 || (length + size - 1) / size > room) {
        wk_fail(WK_ERR_ARGUMENT, "split: %lld in pieces of %lld, into %d places", (long long)length,
                (long long)size, room);
        return 0;
    }
    for (int64_t i = 0; i < length; i += size)
        out[n++] = wk_narrow(x, at, i, wk_min_i64(size, length - i));
    return wk_ok() ? n : 0;
}

/* ---- flip --------------------------------------------------------------- */

static bool flip_infer(wk_call *c)
{
    bool in[WK_MAX_RANK];
    return wk_axis_set("flip", c->in[0]->shape, c->opt.shape, in) && wk_infer_same(c);
}

static bool flip_compute(const wk_call *c)
{
    bool in[WK_MAX_RANK];
    wk_axis_set("flip", c->shape, c->opt.shape, in);
    for (int i = 0; i < c->shape.rank; i++)
        if (in[i] && c->shape.dim[i] > 0) {
            c->out->offset += (c->shape.dim[i] - 1) * c->out->stride[i];
            c->out->stride[i] = -c->out->stride[i];
        }
    return true;
}

static void flip_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    dx[0] = wk_flip_over(dy, c->opt.shape);
}
VIEW(flip)

wk_tensor *wk_flip_over(wk_tensor *x, wk_shape axes)
{
    return WK_RUN(flip, WK_IN(x), .opt.shape = axes);
}

/* ---- Made of these ------------------------------------------------------ */

wk_tensor *wk_squeeze(wk_tensor *x, int axis)
{
    char text[160];
    int  at = wk_usable("squeeze", 1, x) ? wk_axis("squeeze", x->shape, axis) : -1;
    if (at < 0)
        return NULL;
    wk_shape s = { .rank = x->shape.rank - 1 };
    for (int i = 0; i < s.rank; i++)
        s.dim[i] = x->shape.dim[i < at ? i : i + 1];
    if (x->shape.dim[at] != 1) {
        wk_fail(WK_ERR_SHAPE, "squeeze: axis %d of %s is not 1", at, wk_show(x, text));
        return NULL;
    }
    return wk_reshape_to(x, s);
}

wk_tensor *wk_unsqueeze(wk_tensor *x, int axis)
{
    char text[160];
    if (!wk_usable("unsqueeze", 1, x))
        return NULL;
    int at = axis < 0 ? axis + x->shape.rank + 1 : axis;
    if (at < 0 || at > x->shape.rank || x->shape.rank == WK_MAX_RANK) {
        wk_fail(WK_ERR_ARGUMENT, "unsqueeze: no new axis %d in %s", axis, wk_show(x, text));
        return NULL;
    }
    wk_shape s = { .rank = x->shape.rank + 1 };
    for (int i = 0; i < s.rank; i++)
        s.dim[i] = i == at ? 1 : x->shape.dim[i < at ? i : i - 1];
    return wk_reshape_to(x, s);
}

wk_tensor *wk_flatten(wk_tensor *x, int from, int to)
{
    if (!wk_usable("flatten", 1, x))
        return NULL;
    if (x->shape.rank == 0)
        return wk_reshape(x, 1);
    int i = wk_axis("flatten", x->shape, from), j = wk_axis("flatten", x->shape, to);
    if (i < 0 || j < 0)
        return NULL;
    if (i > j) {
        wk_fail(WK_ERR_ARGUMENT, "flatten: from axis %d to axis %d", from, to);
        return NULL;
    }
    wk_shape s = { .rank = x->shape.rank - (j - i) };
    for (int k = 0; k < s.rank; k++)
        s.dim[k] = x->shape.dim[k <= i ? k : k + j - i];
    for (int k = i + 1; k <= j; k++)
        s.dim[i] *= x->shape.dim[k];
    return wk_reshape_to(x, s);
}

/* With both axes last and flat, the diagonal is every (columns + 1)st element. */
wk_tensor *wk_diagonal(wk_tensor *x, int axis, int other)
{
    int i = wk_usable("diagonal", 1, x) ? wk_axis("diagonal", x->shape, axis) : -1;
    int j = i >= 0 ? wk_axis("diagonal", x->shape, other) : -1;
    if (i < 0 || j < 0)
        return NULL;
    if (i == j) {
        wk_fail(WK_ERR_ARGUMENT, "diagonal: of axis %d with itself", i);
        return NULL;
    }
    wk_scope scope = wk_mark();
    wk_shape order = { .rank = x->shape.rank }, flat = { .rank = x->shape.rank - 1 };
    int      n = 0;
    for (int k = 0; k < order.rank; k++)
        if (k != i && k != j) {
            flat.dim[n] = x->shape.dim[k];
            order.dim[n++] = k;
        }
    int64_t rows = x->shape.dim[i], columns = x->shape.dim[j], length = wk_min_i64(rows, columns);
    order.dim[n] = i;
    order.dim[n + 1] = j;
    flat.dim[n] = rows * columns;
    x = wk_reshape_to(wk_permute_by(x, order), flat);
    return wk_yield(scope, WK_RUN(slice, WK_IN(x), .opt.slice = { n, 0, length, columns + 1 }));
}
