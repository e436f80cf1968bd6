// SPDX-License-Identifier: MIT OR Apache-2.0
/* cat.c - tensors put together: cat, stack, pad, repeat, roll. */
#include "../core/core.h"

/* ---- cat ---------------------------------------------------------------- */

static bool cat_infer(wk_call *c)
{
    char a[160], b[160];
    int  axis = wk_axis("cat", c->in[0]->shape, c->opt.mode.axis);
    if (axis < 0)
        return false;
    c->opt.mode.axis = axis;
    c->shape = c->in[0]->shape;
    c->dtype = c->in[0]->dtype;
    for (int i = 1; i < c->count; i++) {
        wk_shape s = c->in[i]->shape, t = c->shape;
        if (s.rank == t.rank)
            t.dim[axis] = s.dim[axis];
        if (!wk_same_shape(s, t)) {
            wk_fail(WK_ERR_SHAPE, "cat: %s does not fit %s along axis %d", wk_show(c->in[i], b),
                    wk_show(c->in[0], a), axis);
            return false;
        }
        c->shape.dim[axis] += s.dim[axis];
        c->dtype = wk_dtype_promote(c->dtype, c->in[i]->dtype);
    }
    return true;
}

static bool cat_compute(const wk_call *c)
{
    bool    before = wk_no_grad(true);
    int64_t at = 0;
    for (int i = 0; i < c->count; i++) {
        wk_write(c->out, c->in[i], c->opt.mode.axis, at);
        at += wk_dim(c->in[i], c->opt.mode.axis);
    }
    wk_no_grad(before);
    return wk_ok();
}

static void cat_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    int64_t at = 0;
    for (int i = 0; i < c->count; i++) {
        int64_t n = wk_dim(c->in[i], c->opt.mode.axis);
        dx[i] = wk_wants_grad(c->in[i]) ? wk_narrow(dy, c->opt.mode.axis, at, n) : NULL;
        at += n;
    }
}

const wk_op wk_op_cat = {
    .name = "cat",
    .id = WK_OP_cat,
    .required = 1,
    .flags = WK_OP_DIRECT, /* made of operations that know the device */
    .strided = WK_ALL_OPERANDS,
    .infer = cat_infer,
    .compute = cat_compute,
    .backward = cat_backward,
};

wk_tensor *wk_cat_of(int axis, wk_tensor **x, int count)
{
    for (int i = 0; i < count; i++)
        if (!wk_usable("cat", i + 1, x[i]))
            return NULL;
    return wk_run(&(wk_call){ .op = &wk_op_cat, .in = x, .count = count, .opt.mode.axis = axis });
}

wk_tensor *wk_stack_of(int axis, wk_tensor **x, int count)
{
    for (int i = 0; i < count; i++)
        if (!wk_usable("stack", i + 1, x[i]))
            return NULL;
    wk_scope    scope = wk_mark();
    wk_tensor **slices = wk_ok() ? wk_alloc_array((size_t)count, sizeof *slices) : NULL;
    if (slices && count && axis < 0)
        axis += wk_rank(x[0]) + 1;
    for (int i = 0; slices && i < count; i++)
        slices[i] = wk_unsqueeze(x[i], axis);
    wk_tensor *y = slices ? wk_cat_of(axis, slices, count) : NULL;
    wk_free(slices);
    return wk_yield(scope, y);
}

/* ---- pad ---------------------------------------------------------------- */

static bool pad_infer(wk_call *c)
{
    char text[160];
    int  axis = wk_axis("pad", c->in[0]->shape, (int64_t)c->opt.number[0]);
    if (axis < 0)
        return false;
    c->opt.number[0] = axis;
    c->dtype = c->in[0]->dtype;
    c->shape.dim[axis] += c->in[0]->shape.dim[axis];
    for (int i = 0; i < c->in[0]->shape.rank; i++)
        c->shape.dim[i] = i == axis ? c->shape.dim[i] : c->in[0]->shape.dim[i];
    c->shape.rank = c->in[0]->shape.rank;
    if (c->shape.dim[axis] < 0)
        wk_fail(WK_ERR_SHAPE, "pad: nothing is left of axis %d of %s", axis,
                wk_show(c->in[0], text));
    return wk_ok() && wk_shape_valid("pad", c->shape);
}

/* number: axis, elements before, the value; what comes after is in the shape */
static bool pad_compute(const wk_call *c)
{
    bool     recorded = wk_no_grad(true);
    wk_scope scope = wk_mark();
    int      axis = (int)c->opt.number[0];
    int64_t  before = (int64_t)c->opt.number[1], size = wk_dim(c->in[0], axis);
    int64_t  from = wk_max_i64(0, -before); /* the first and last element that stay */
    int64_t  to = wk_min_i64(size, wk_dim(c->out, axis) - before);
    wk_fill(c->out, c->opt.number[2]);
    if (to > from)
        wk_write(c->out, wk_narrow(c->in[0], axis, from, to - from), axis, from + before);
    wk_sweep(scope);
    wk_no_grad(recorded);
    return wk_ok();
}

static void pad_backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    int     axis = (int)c->opt.number[0];
    int64_t before = (int64_t)c->opt.number[1];
    int64_t after = wk_dim(c->out, axis) - wk_dim(c->in[0], axis) - before;
    dx[0] = wk_pad(dy, axis, -before, -after, 0);
}

const wk_op wk_op_pad = {
    .name = "pad",
    .id = WK_OP_pad,
    .required = 1,
    .flags = WK_OP_DIRECT, /* made of operations that know the device */
    .strided = WK_ALL_OPERANDS,
    .infer = pad_infer,
    .compute = pad_compute,
    .backward = pad_backward,
};

static bool is_too_far(int64_t n) { return n > (int64_t)1 << 48 || n < -((int64_t)1 << 48); }

wk_tensor *wk_pad(wk_tensor *x, int axis, int64_t before, int64_t after, double value)
{
    wk_call c = { .op = &wk_op_pad, WK_IN(x), .opt.number = { axis, (double)before, value } };
    int     at = wk_usable("pad", 1, x) ? wk_axis("pad", x->shape, axis) : -1;
    if (at >= 0 && (is_too_far(before) || is_too_far(after)))
        wk_fail(WK_ERR_ARGUMENT, "pad: %lld and %lld elements", (long long)before,
                (long long)after);
    else if (at >= 0)
        c.shape.dim[at] = before + after;
    return wk_run(&c);
}

/* The other modes say which element to repeat: an index. */
wk_tensor *wk_pad_by(wk_tensor *x, int axis, int64_t before, int64_t after, wk_pad_mode mode)
{
    if (mode == WK_PAD_CONSTANT)
        return wk_pad(x, axis, before, after, 0);
    int at = wk_usable("pad", 1, x) ? wk_axis("pad", x->shape, axis) : -1;
    if (at < 0)
        return NULL;
    int64_t n = x->shape.dim[at];
    int64_t limit = mode == WK_PAD_REFLECT ? n - 1 : mode == WK_PAD_CIRCULAR ? n : INT64_MAX;
    char    text[160];
    if (before < 0 || after < 0 || before > limit || after > limit || n == 0 ||
        is_too_far(before) || is_too_far(after)) {
        wk_fail(WK_ERR_ARGUMENT, "pad: %lld and %lld elements at axis %d of %s", (long long)before,
                (long long)after, at, wk_show(x, text));
        return NULL;
    }
    int64_t  size = n + before + after;
    int64_t *index = wk_alloc_array((size_t)size, sizeof *index);
    for (int64_t i = 0; index && i < size; i++) {
        int64_t k = i - before;
        if (mode == WK_PAD_REFLECT)
            index[i] = k < 0 ? -k : k >= n ? 2 * (n - 1) - k : k;
        else if (mode == WK_PAD_REPLICATE)
            index[i] = wk_min_i64(wk_max_i64(k, 0), n - 1);
        else
            index[i] = (k + n) % n;
    }
    wk_scope   scope = wk_mark();
    wk_tensor *which = index ? wk_from_i64(WK_SHAPE(size), index) : NULL;
    wk_free(index);
    which = which ? wk_to_device(which, x->storage->device) : NULL;
    return wk_yield(scope, wk_index_select(x, at, which));
}

/* ---- repeat, roll ------------------------------------------------------- */

/* [a, b] tiled [m, n] is [1, a, 1, b] expanded to [m, a, n, b]. */
wk_tensor *wk_repeat_by(wk_tensor *x, wk_shape times)
{
    if (!wk_usable("repeat", 1, x))
        return NULL;
    wk_scope scope = wk_mark();
    int      rank = times.rank > x->shape.rank ? times.rank : x->shape.rank;
    wk_shape apart = { 0 }, wide = { 0 }, joined = { .rank = rank };
    for (int i = 0; i < rank && rank <= WK_MAX_RANK; i++) {
        int64_t n = i < rank - x->shape.rank ? 1 : x->shape.dim[i - rank + x->shape.rank];
        int64_t t = i < rank - times.rank ? 1 : times.dim[i - rank + times.rank];
        if (t < 0)
            wk_fail(WK_ERR_ARGUMENT, "repeat: %lld times", (long long)t);
        joined.dim[i] = n * t;
        if (t != 1 && apart.rank < WK_MAX_RANK) {
            apart.dim[apart.rank++] = 1;
            wide.dim[wide.rank++] = t;
        }
        if (apart.rank == WK_MAX_RANK) {
            wk_fail(WK_ERR_UNSUPPORTED, "repeat: along too many axes at once");
            return NULL;
        }
        apart.dim[apart.rank++] = n;
        wide.dim[wide.rank++] = n;
    }
    if (rank > WK_MAX_RANK || !wk_ok() || !wk_shape_valid("repeat", joined))
        return NULL;
    x = wk_expand_to(wk_reshape_to(x, apart), wide);
    return wk_yield(scope, wk_contiguous(wk_reshape_to(x, joined)));
}

wk_tensor *wk_repeat_interleave(wk_tensor *x, int axis, int64_t times)
{
    int at =
        wk_usable("repeat_interleave", 1, x) ? wk_axis("repeat_interleave", x->shape, axis) : -1;
    if (at < 0)
        return NULL;
    wk_scope scope = wk_mark();
    wk_shape joined = x->shape;
    if (times < 0)
        wk_fail(WK_ERR_ARGUMENT, "repeat_interleave: %lld times", (long long)times);
    wk_tensor *y = wk_unsqueeze(x, at + 1);
    wk_shape   wide = wk_shape_of(y);
    wide.dim[at + 1] = times;
    joined.dim[at] *= times;
    return wk_yield(scope, wk_reshape_to(wk_expand_to(y, wide), joined));
}

wk_tensor *wk_roll(wk_tensor *x, int axis, int64_t shift)
{
    int at = wk_usable("roll", 1, x) ? wk_axis("roll", x->shape, axis) : -1;
    if (at < 0)
        return NULL;
    int64_t n = x->shape.dim[at];
    shift = n ? (shift % n + n) % n : 0;
    if (shift == 0)
        return wk_copy(x);
    wk_scope scope = wk_mark();
    return wk_yield(scope,
                    wk_cat(at, wk_narrow(x, at, n - shift, shift), wk_narrow(x, at, 0, n - shift)));
}
