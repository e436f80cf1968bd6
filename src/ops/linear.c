// SPDX-License-Identifier: MIT OR Apache-2.0
/* linear.c - y = x w^T + bias + add: [.., in] -> [.., out], w: [out, in]
 *
 * The weight may be of any dtype, or packed by a backend: there are no quantized
 * layers, only weights.  linear_glu is two of them with their product, act(gate) * up,
 * so that a gated MLP does not write what it would read again at once.  linear_cat is
 * several with the same x, which is prepared once. */
#include "../core/core.h"

/* x's last dimension must meet the weight's, and the rest have the weight's length. */
static bool fits(const wk_call *c, const wk_tensor *w, const wk_tensor *bias)
{
    const wk_tensor *x = c->in[0];
    char             s[160], t[160], u[160];
    if (wk_rank(x) < 1 || wk_rank(w) != 2 || wk_dim(x, -1) != wk_dim(w, -1))
        wk_fail(WK_ERR_SHAPE, "%s: x %s does not fit %s", c->op->name, wk_show(x, s),
                wk_show(w, t));
    else if (bias && (wk_rank(bias) != 1 || wk_dim(bias, 0) != wk_dim(w, 0)))
        wk_fail(WK_ERR_SHAPE, "%s: bias %s does not fit %s", c->op->name, wk_show(bias, u),
                wk_show(w, t));
    else if (!wk_dtypes[x->dtype].is_float)
        wk_fail(WK_ERR_DTYPE, "%s: x %s must be of a float dtype", c->op->name, wk_show(x, s));
    return wk_ok();
}

static bool infer(wk_call *c)
{
    const wk_tensor *x = c->in[0], *w = c->in[1], *add = c->count > 3 ? c->in[3] : NULL;
    char             s[160], t[160];
    if (!fits(c, w, c->in[2]))
        return false;
    c->shape = x->shape;
    c->shape.dim[x->shape.rank - 1] = wk_dim(w, 0);
    c->dtype = x->dtype;
    if (add && !wk_same_shape(add->shape, c->shape))
        wk_fail(WK_ERR_SHAPE, "linear: y %s is not of the result's shape %s", wk_show(add, s),
                wk_show_shape(c->shape, t));
    return wk_ok();
}

/* ---- The portable kernel ------------------------------------------------ */

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static void columns(void *ctx, int64_t begin, int64_t end)
{
    const wk_call   *c = ctx;
    const wk_tensor *x = c->in[0], *w = c->in[1], *bias = c->in[2];
    const wk_tensor *add = c->count > 3 ? c->in[3] : NULL;
    int64_t          in = wk_dim(w, 1), out = wk_dim(w, 0), rows = wk_count(c->out) / out;
    double          *row = wk_scratch((size_t)in * 2 * sizeof *row), *weight = row + in;
    for (int64_t o = begin; row && o < end; o++) {
        wk_load_f64(weight, w, o * in, in, 1);
        for (int64_t r = 0; r < rows; r++) {
            double b = 0, y = 0;
            if (bias)
                wk_load_f64(&b, bias, o, 1, 1);
            if (add)
                wk_load_f64(&y, add, r * out + o, 1, 1);
            wk_load_f64(row, x, r * in, in, 1);
            y += dot(row, weight, in) + b;
            wk_store_f64(c->out, r * out + o, &y, 1, 1);
        }
    }
}

static bool compute(const wk_call *c)
{
    int64_t in = wk_dim(c->in[1], 1), out = wk_dim(c->in[1], 0);
    wk_parallel(out, 16384 / (in * (wk_count(c->out) / out) + 1) + 1, columns, (void *)c);
    return true;
}

/* [.., n] as [rows, n], also where n or rows is 0 */
static wk_tensor *as_rows(wk_tensor *x)
{
    return wk_rank(x) > 1 ? wk_flatten(x, 0, -2) : wk_unsqueeze(x, 0);
}

/* A product of a gradient, computed as the layer was: by a weight in bf16 with its grain. */
static wk_tensor *product(wk_tensor *a, wk_tensor *b, const wk_tensor *w)
{
    if (w->dtype != WK_BF16 || wk_rank(a) < 2)
        return wk_matmul(a, b);
    return WK_RUN(matmul, WK_IN(a, b), .opt.mode.flag = true);
}

static void backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    wk_tensor *x = c->in[0], *w = c->in[1];
    wk_tensor *g = as_rows(dy); // [rows, out]
    if (wk_wants_grad(x))
        dx[0] = product(dy, w, w);
    if (wk_wants_grad(w)) // [out, rows] x [rows, in]
        dx[1] = product(wk_transpose(g, 0, 1), as_rows(x), w);
    if (wk_wants_grad(c->in[2]))
        dx[2] = wk_sum(g, .over = WK_AXES(0));
    if (c->count > 3)
        dx[3] = dy;
}

const wk_op wk_op_linear = {
    .name = "linear",
    .id = WK_OP_linear,
    .required = 2,
    .blocks = 2,
    .infer = infer,
    .compute = compute,
    .backward = backward,
};

wk_tensor *wk_linear(wk_tensor *x, wk_layer p)
{
    return WK_RUN(linear, WK_IN(x, p.weight, p.bias));
}

wk_tensor *wk_linear_add(wk_tensor *x, wk_layer p, wk_tensor *y)
{
    if (!y)
        wk_fail(WK_ERR_ARGUMENT, "linear_add: y is NULL");
    return WK_RUN(linear, WK_IN(x, p.weight, p.bias, y));
}

wk_tensor *wk_pack(wk_tensor *weight)
{
    if (!wk_usable("pack", 1, weight))
        return NULL;
    const wk_backend *b = weight->storage->device->backend;
    bool              stays = !b->pack || weight->packing || wk_rank(weight) != 2 ||
                 (wk_wants_grad(weight) && wk_recording);
    return stays ? weight : b->pack(weight);
}

/* ---- linear_glu --------------------------------------------------------- */

enum { X, GATE, GATE_BIAS, UP, UP_BIAS };

static bool glu_infer(wk_call *c)
{
    char s[160], t[160];
    if (!fits(c, c->in[GATE], c->in[GATE_BIAS]) || !fits(c, c->in[UP], c->in[UP_BIAS]))
        return false;
    if (wk_dim(c->in[GATE], 0) != wk_dim(c->in[UP], 0))
        wk_fail(WK_ERR_SHAPE, "linear_glu: gate %s and up %s differ", wk_show(c->in[GATE], s),
                wk_show(c->in[UP], t));
    c->shape = c->in[X]->shape;
    c->shape.dim[c->shape.rank - 1] = wk_dim(c->in[UP], 0);
    c->dtype = c->in[X]->dtype;
    return wk_ok();
}

static wk_tensor *composed(wk_tensor *x, wk_layer gate, wk_layer up, wk_act act)
{
    wk_scope scope = wk_mark();
    return wk_yield(scope, wk_glu(wk_linear(x, gate), wk_linear(x, up), act));
}

static bool glu_compute(const wk_call *c)
{
    bool       before = wk_no_grad(true);
    wk_scope   scope = wk_mark();
    wk_tensor *y = composed(c->in[X], (wk_layer){ c->in[GATE], c->in[GATE_BIAS] },
                            (wk_layer){ c->in[UP], c->in[UP_BIAS] }, c->opt.mode.act);
    wk_assign(c->out, y);
    wk_sweep(scope);
    wk_no_grad(before);
    return wk_ok();
}

const wk_op wk_op_linear_glu = {
    .name = "linear_glu",
    .id = WK_OP_linear_glu,
    .required = 2,
    .strided = WK_ALL_OPERANDS,
    .packed = WK_ALL_OPERANDS,
    .blocks = 1 << GATE | 1 << UP,
    .infer = glu_infer,
    .compute = glu_compute,
};

/* With a gradient to come the parts are needed, so they are computed one by one. */
wk_tensor *wk_linear_glu(wk_tensor *x, wk_layer gate, wk_layer up, wk_act act)
{
    wk_tensor *in[] = { x, gate.weight, gate.bias, up.weight, up.bias };
    for (int i = 0; i < 5; i++)
        if ((in[i] || i == X || i == GATE || i == UP) && !wk_usable("linear_glu", i + 1, in[i]))
            return NULL;
    bool wanted = wk_wants_grad(x) || wk_wants_grad(gate.weight) || wk_wants_grad(gate.bias) ||
                  wk_wants_grad(up.weight) || wk_wants_grad(up.bias);
    if (wk_recording && wanted)
        return composed(x, gate, up, act);
    return WK_RUN(linear_glu, .in = in, .count = 5, .opt.mode.act = act);
}

/* ---- linear_cat --------------------------------------------------------- */

enum { OPERANDS = 1 + 2 * WK_MOST_LAYERS };

static bool cat_infer(wk_call *c)
{
    int64_t n = 0;
    for (int i = 1; i < c->count; i += 2) {
        if (!fits(c, c->in[i], c->in[i + 1]))
            return false;
        n += wk_dim(c->in[i], 0);
    }
    c->shape = c->in[X]->shape;
    c->shape.dim[c->shape.rank - 1] = n;
    c->dtype = c->in[X]->dtype;
    return true;
}

static wk_tensor *side_by_side(wk_tensor *const *in, int count)
{
    wk_scope   scope = wk_mark();
    wk_tensor *y[WK_MOST_LAYERS] = { 0 };
    for (int i = 1; i < count; i += 2)
        y[i / 2] = wk_linear(in[X], (wk_layer){ in[i], in[i + 1] });
    return wk_yield(scope, wk_ok() ? wk_cat_of(-1, y, count / 2) : NULL);
}

static bool cat_compute(const wk_call *c)
{
    bool     before = wk_no_grad(true);
    wk_scope scope = wk_mark();
    wk_assign(c->out, side_by_side(c->in, c->count));
    wk_sweep(scope);
    wk_no_grad(before);
    return wk_ok();
}

const wk_op wk_op_linear_cat = {
    .name = "linear_cat",
    .id = WK_OP_linear_cat,
    .required = 2,
    .strided = WK_ALL_OPERANDS,
    .packed = WK_ALL_OPERANDS,
    .blocks = WK_ALL_OPERANDS & ~1u,
    .infer = cat_infer,
    .compute = cat_compute,
};

/* With a gradient to come the parts are what has one. */
wk_tensor *wk_linear_cat(wk_tensor *x, const wk_layer *layers, int count)
{
    wk_tensor *in[OPERANDS] = { x };
    bool       wanted = false;
    if (wk_ok() && (count < 1 || count > WK_MOST_LAYERS || !layers))
        wk_fail(WK_ERR_ARGUMENT, "linear_cat: %d layers, but it takes 1 to %d", count,
                WK_MOST_LAYERS);
    for (int i = 0; wk_ok() && i < count; i++)
        in[1 + 2 * i] = layers[i].weight, in[2 + 2 * i] = layers[i].bias;
    for (int i = 0; wk_ok() && i < 1 + 2 * count; i++) {
        bool may_be_null = i && i % 2 == 0; /* a bias */
        if ((in[i] || !may_be_null) && !wk_usable("linear_cat", i + 1, in[i]))
            return NULL;
        wanted |= wk_wants_grad(in[i]);
    }
    if (!wk_ok())
        return NULL;
    return wk_recording && wanted ? side_by_side(in, 1 + 2 * count)
                                  : WK_RUN(linear_cat, .in = in, .count = 1 + 2 * count);
}
