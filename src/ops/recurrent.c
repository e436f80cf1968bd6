// SPDX-License-Identifier: MIT OR Apache-2.0
/* recurrent.c - a layer of an RNN, LSTM or GRU in one direction, all steps as one operation:
 *
 *     x [t, b, g h]  what the inputs give to the g gates
 *     weight [g h, h], bias [g h] or NULL  of the last state
 *     h, c [b, h] or NULL  the state to begin with    ->    [planes, t, b, h], see cells.h
 *
 * Without .keep only those planes are there that are states.  The gradient is one list of
 * numbers, which views cut up: of w [t, b, g h], of x's last gate where that differs
 * (GRU) [t, b, h], of h and of c [b, h]. */
#include "../core/core.h"

#include <math.h>

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
#define REAL           double
#define K(x)           ((double)(x))
#define TANH(x)        tanh(x)
#define SIG(x)         sigmoid(x)
#define POSITIVE(x, y) ((x) > 0 ? (y) : 0)
#include "../core/cells.h"

enum { X, WEIGHT, BIAS, H, C }; /* operands; of the gradient the first are others: */
enum { PLANES, DY = 5 };

/* ---- Shapes ------------------------------------------------------------- */

static bool is_state(const wk_tensor *x, int64_t b, int64_t h)
{
    return !x || (wk_rank(x) == 2 && wk_dim(x, 0) == b && wk_dim(x, 1) == h);
}

static bool infer(wk_call *c)
{
    const wk_tensor *x = c->in[X], *w = c->in[WEIGHT], *bias = c->in[BIAS];
    int              kind = c->opt.recurrent.kind, gates = cell_gates(kind);
    int64_t          h = wk_dim(w, 1);
    char             s[160], t[160];
    if (wk_rank(x) != 3 || wk_rank(w) != 2 || wk_dim(w, 0) != gates * h ||
        wk_dim(x, 2) != gates * h || wk_dim(x, 0) == 0 ||
        (bias && (wk_rank(bias) != 1 || wk_dim(bias, 0) != gates * h)))
        wk_fail(WK_ERR_SHAPE, "recurrent: x %s does not fit %s", wk_show(x, s), wk_show(w, t));
    for (int i = H; i <= C; i++)
        if (!is_state(c->in[i], wk_dim(x, 1), h))
            wk_fail(WK_ERR_SHAPE, "recurrent: the state %s does not fit x %s and %s",
                    wk_show(c->in[i], s), wk_show(x, t), wk_name(w));
    int states = kind == WK_LSTM ? 2 : 1;
    c->shape =
        WK_SHAPE(c->opt.recurrent.keep ? cell_planes(kind) : states, wk_dim(x, 0), wk_dim(x, 1), h);
    c->dtype = x->dtype;
    return wk_ok();
}

/* ---- Forward ------------------------------------------------------------ */

/* Row i of a matrix of n columns, zeros where there is no matrix. */
static void row(double *to, const wk_tensor *x, int64_t i, int64_t n)
{
    if (x)
        wk_load_f64(to, x, i * n, n, 1);
    else
        memset(to, 0, (size_t)n * sizeof *to);
}

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* The steps of some sequences of the batch. */
static void sequences(void *ctx, int64_t begin, int64_t end)
{
    const wk_call *c = ctx;
    int64_t        steps = wk_dim(c->in[X], 0), batch = wk_dim(c->in[X], 1), n = wk_dim(c->out, 3);
    int            kind = c->opt.recurrent.kind, gates = cell_gates(kind);
    int            planes = (int)wk_dim(c->out, 0);
    double        *h = wk_scratch((size_t)((3 + 3 * gates + planes) * n) * sizeof *h);
    double        *cell = h + n, *weight = cell + n, *bias = weight + n, *x = bias + gates * n;
    double        *w = x + gates * n, *out = w + gates * n;
    for (int64_t b = begin; h && b < end; b++) {
        row(h, c->in[H], b, n);
        row(cell, c->in[C], b, n);
        row(bias, c->in[BIAS], 0, gates * n);
        for (int64_t s = 0; s < steps; s++) {
            int64_t at = (c->opt.recurrent.reverse ? steps - 1 - s : s) * batch + b;
            row(x, c->in[X], at, gates * n);
            for (int64_t i = 0; i < gates * n; i++) {
                row(weight, c->in[WEIGHT], i, n);
                w[i] = bias[i] + dot(weight, h, n);
            }
            for (int64_t u = 0; u < n; u++) {
                double xs[CELL_GATES], ws[CELL_GATES], plane[CELL_PLANES] = { 0 };
                for (int g = 0; g < gates; g++)
                    xs[g] = x[g * n + u], ws[g] = w[g * n + u];
                cell_forward(kind, xs, ws, h[u], cell[u], plane);
                for (int k = 0; k < planes; k++)
                    out[k * n + u] = plane[k];
                h[u] = plane[0], cell[u] = plane[1];
            }
            for (int k = 0; k < planes; k++)
                wk_store_f64(c->out, (k * steps * batch + at) * n, out + k * n, n, 1);
        }
    }
}

static bool compute(const wk_call *c)
{
    wk_parallel(wk_dim(c->in[X], 1), 1, sequences, (void *)c);
    return wk_ok();
}

/* ---- The gradient ------------------------------------------------------- */

/* operands: planes, weight, NULL, h, c, the gradient of the planes */
static bool grad_infer(wk_call *c)
{
    const wk_tensor *y = c->in[PLANES];
    int              kind = c->opt.recurrent.kind;
    int64_t          b = wk_dim(y, 2), h = wk_dim(y, 3), rows = wk_dim(y, 1) * b;
    int64_t          gates = cell_gates(kind) + (kind == WK_GRU);
    c->shape = WK_SHAPE((rows * gates + 2 * b) * h);
    c->dtype = y->dtype;
    return true;
}

/* In one sequence: from s steps back the gradient of its gates, and of the state before. */
static void step_back(const wk_call *c, int64_t b, int64_t s, double *room)
{
    const wk_tensor *y = c->in[PLANES];
    int64_t          steps = wk_dim(y, 1), batch = wk_dim(y, 2), n = wk_dim(y, 3);
    int              kind = c->opt.recurrent.kind, gates = cell_gates(kind);
    int              planes = cell_planes(kind), way = c->opt.recurrent.reverse ? -1 : 1;
    int64_t          t = way > 0 ? s : steps - 1 - s, at = t * batch + b, all = steps * batch;
    double *dh = room, *dc = dh + n, *h = dc + n, *cell = h + n, *dx = cell + n, *d = dx + n;
    double *plane = d + n, *dw = plane + planes * n, *weight = dw + gates * n;
    for (int k = 0; k < planes; k++)
        row(plane + k * n, y, k * all + at, n);
    row(h, s ? y : c->in[H], s ? at - way * batch : b, n);
    row(cell, s && kind == WK_LSTM ? y : c->in[C], s ? all + at - way * batch : b, n);
    for (int k = 0; k <= (kind == WK_LSTM); k++) {
        row(d, c->in[DY], k * all + at, n);
        for (int64_t u = 0; u < n; u++)
            (k ? dc : dh)[u] += d[u];
    }
    for (int64_t u = 0; u < n; u++) {
        double p[CELL_PLANES], w[CELL_GATES] = { 0 };
        for (int k = 0; k < planes; k++)
            p[k] = plane[k * n + u];
        cell_backward(kind, p, h[u], cell[u], &dh[u], &dc[u], w, &dx[u]);
        for (int g = 0; g < gates; g++)
            dw[g * n + u] = w[g];
    }
    for (int64_t i = 0; i < gates * n; i++) {
        row(weight, c->in[WEIGHT], i, n);
        for (int64_t u = 0; u < n; u++)
            dh[u] += dw[i] * weight[u];
    }
    wk_store_f64(c->out, at * gates * n, dw, gates * n, 1);
    if (kind == WK_GRU)
        wk_store_f64(c->out, all * gates * n + at * n, dx, n, 1);
}

static void sequences_back(void *ctx, int64_t begin, int64_t end)
{
    const wk_call   *c = ctx;
    const wk_tensor *y = c->in[PLANES];
    int64_t batch = wk_dim(y, 2), n = wk_dim(y, 3), after = wk_count(c->out) - 2 * batch * n;
    double *room = wk_scratch((size_t)((7 + CELL_PLANES + CELL_GATES) * n) * sizeof *room);
    for (int64_t b = begin; room && b < end; b++) {
        memset(room, 0, (size_t)(2 * n) * sizeof *room);
        for (int64_t s = wk_dim(y, 1) - 1; s >= 0; s--)
            step_back(c, b, s, room);
        wk_store_f64(c->out, after + b * n, room, n, 1);
        wk_store_f64(c->out, after + (batch + b) * n, room + n, n, 1);
    }
}

static bool grad_compute(const wk_call *c)
{
    wk_parallel(wk_dim(c->in[PLANES], 2), 1, sequences_back, (void *)c);
    return wk_ok();
}

const wk_op wk_op_recurrent_grad = {
    .name = "recurrent_grad",
    .id = WK_OP_recurrent_grad,
    .required = 2,
    .infer = grad_infer,
    .compute = grad_compute,
    .host = wk_host_recurrent_grad,
};

/* ---- Putting it together ------------------------------------------------- */

static wk_tensor *part(wk_tensor *list, int64_t *at, wk_shape shape)
{
    int64_t n = wk_elements(shape);
    *at += n;
    return wk_reshape_to(wk_narrow(list, 0, *at - n, n), shape);
}

/* The gates' gradient d [t, b, g h] times the state before each step. */
static wk_tensor *weight_grad(const wk_call *c, wk_tensor *d, wk_tensor *y)
{
    bool       reverse = c->opt.recurrent.reverse;
    int64_t    steps = wk_dim(y, 0);
    wk_tensor *after = wk_narrow(d, 0, !reverse, steps - 1), *sum = NULL;
    wk_tensor *before = wk_narrow(y, 0, reverse, steps - 1);
    if (steps > 1)
        sum = wk_matmul(wk_transpose(wk_flatten(after, 0, 1), 0, 1), wk_flatten(before, 0, 1));
    if (c->in[H]) {
        wk_tensor *first = wk_select(d, 0, reverse ? steps - 1 : 0); // [b, g h]
        wk_tensor *start = wk_matmul(wk_transpose(first, 0, 1), c->in[H]);
        sum = sum ? wk_add(sum, start) : start;
    }
    return sum ? sum : wk_full_like(c->in[WEIGHT], 0);
}

static void backward(const wk_call *c, wk_tensor *dy, wk_tensor **dx)
{
    wk_tensor *y = c->out;
    int        kind = c->opt.recurrent.kind;
    int64_t    t = wk_dim(y, 1), b = wk_dim(y, 2), h = wk_dim(y, 3), at = 0;
    int64_t    wide = cell_gates(kind) * h;
    wk_tensor *list = WK_RUN(recurrent_grad, WK_IN(y, c->in[WEIGHT], NULL, c->in[H], c->in[C], dy),
                             .opt = c->opt);
    wk_tensor *d = part(list, &at, WK_SHAPE(t, b, wide));
    dx[X] = d;
    if (kind == WK_GRU)
        dx[X] = wk_cat(2, wk_narrow(d, 2, 0, 2 * h), part(list, &at, WK_SHAPE(t, b, h)));
    if (wk_wants_grad(c->in[WEIGHT]))
        dx[WEIGHT] = weight_grad(c, d, wk_select(y, 0, 0));
    if (wk_wants_grad(c->in[BIAS]))
        dx[BIAS] = wk_sum(d, .over = WK_AXES(0, 1));
    dx[H] = part(list, &at, WK_SHAPE(b, h));
    dx[C] = part(list, &at, WK_SHAPE(b, h));
}

const wk_op wk_op_recurrent = {
    .name = "recurrent",
    .id = WK_OP_recurrent,
    .required = 2,
    .infer = infer,
    .compute = compute,
    .host = wk_host_recurrent,
    .backward = backward,
};
