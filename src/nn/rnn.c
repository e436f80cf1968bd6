// SPDX-License-Identifier: MIT OR Apache-2.0
/* rnn.c - recurrent layers: RNN, LSTM and GRU, in several layers and both directions.
 *
 * What the inputs give to the gates is one product for all steps.  What follows, one
 * operation takes through all steps (ops/recurrent.c). */
#include "nn.h"

/* ---- Parameters --------------------------------------------------------- */

static int gates_of(wk_rnn_kind kind) { return kind == WK_LSTM ? 4 : kind == WK_GRU ? 3 : 1; }

static wk_tensor *param(const wk_rnn_args *a, const char *name, int layer, bool reverse,
                        wk_shape shape)
{
    wk_vars at = wk_at(a->at, "%s_l%d%s", name, layer, reverse ? "_reverse" : "");
    size_t  root = strlen(a->at.path);
    return wk_param(a->at, at.path + root + (root > 0), shape, wk_init_within(a->hidden));
}

static wk_rnn_cell cell_new(const wk_rnn_args *a, int gates, int layer, bool reverse)
{
    int64_t out = a->proj ? a->proj : a->hidden, wide = gates * a->hidden;
    int64_t in = layer ? out * (a->bidirectional ? 2 : 1) : a->in;
    return (wk_rnn_cell){
        .weight_ih = param(a, "weight_ih", layer, reverse, WK_SHAPE(wide, in)),
        .weight_hh = param(a, "weight_hh", layer, reverse, WK_SHAPE(wide, out)),
        .bias_ih = a->unbiased ? NULL : param(a, "bias_ih", layer, reverse, WK_SHAPE(wide)),
        .bias_hh = a->unbiased ? NULL : param(a, "bias_hh", layer, reverse, WK_SHAPE(wide)),
        .weight_hr =
            a->proj ? param(a, "weight_hr", layer, reverse, WK_SHAPE(out, a->hidden)) : NULL,
    };
}

static wk_rnn make(const wk_rnn_args *a, wk_rnn_kind kind)
{
    wk_rnn m = { .kind = kind,
                 .layers = a->layers ? a->layers : 1,
                 .bidirectional = a->bidirectional,
                 .batch_first = a->batch_first,
                 .dropout = a->dropout };
    if (m.layers < 0 || m.layers > WK_RNN_LAYERS || a->hidden <= 0 || a->in <= 0 || a->proj < 0)
        wk_fail(WK_ERR_ARGUMENT, "rnn: %lld inputs, %lld hidden, %d layers", (long long)a->in,
                (long long)a->hidden, m.layers);
    else if (a->proj && kind != WK_LSTM)
        wk_fail(WK_ERR_ARGUMENT, "rnn: only an LSTM has a projection");
    for (int i = 0; wk_ok() && i < m.layers; i++)
        for (int k = 0; k <= m.bidirectional; k++)
            m.cell[i * (1 + m.bidirectional) + k] = cell_new(a, gates_of(kind), i, k);
    return m;
}

wk_rnn wk_rnn_new_with(const wk_rnn_args *a)
{
    return make(a, a->relu ? WK_RNN_RELU : WK_RNN_TANH);
}

wk_rnn wk_lstm_new_with(const wk_rnn_args *a) { return make(a, WK_LSTM); }
wk_rnn wk_gru_new_with(const wk_rnn_args *a) { return make(a, WK_GRU); }

/* ---- Running ------------------------------------------------------------ */

static wk_tensor *wide(wk_tensor *x)
{
    return x && wk_dtypes[x->dtype].size < 4 ? wk_cast(x, WK_F32) : x;
}

/* h of a projected LSTM is R m, with m what the cell puts out.  So the gates get (W R) m,
 * and in the first step, where there is no m, W h. */
static wk_tensor *project_start(wk_tensor *x, const wk_rnn_cell *p, wk_tensor *h, bool reverse)
{
    int64_t    t = wk_dim(x, 0), rest = t - 1;
    wk_tensor *first = wk_narrow(x, 0, reverse ? rest : 0, 1);
    wk_tensor *others = wk_narrow(x, 0, !reverse, rest);
    first = wk_add(first, wk_linear(h, (wk_layer){ p->weight_hh, NULL }));
    return reverse ? wk_cat(0, others, first) : wk_cat(0, first, others);
}

/* One direction of a layer: x [t, b, in] -> [t, b, hidden], and the state it ends in. */
static wk_tensor *run(const wk_rnn *m, const wk_rnn_cell *p, wk_tensor *x, bool reverse,
                      wk_rnn_state *s)
{
    wk_dtype   dtype = wk_dtype_of(x);
    wk_layer   input = { p->weight_ih, p->bias_ih };
    wk_tensor *bias = p->bias_hh;
    if (m->kind != WK_GRU && bias) { /* whose last gate multiplies one of the two */
        input.bias = wk_add(input.bias, bias);
        bias = NULL;
    }
    wk_tensor *gates = wk_linear(wide(x), input); // [t, b, gates hidden]
    wk_tensor *weight = wide(p->weight_hh), *h = wide(s->h), *c = wide(s->c);
    if (p->weight_hr) {
        gates = h ? project_start(gates, p, h, reverse) : gates;
        weight = wk_matmul(weight, wide(p->weight_hr)); // [4 hidden, hidden]
        h = NULL;
    }
    wk_tensor *in[] = { gates, weight, wide(bias), h, c };
    bool       keep = false;
    for (int i = 0; i < 5; i++)
        keep |= wk_recording && wk_wants_grad(in[i]);
    wk_tensor *planes = WK_RUN(recurrent, .in = in, .count = 5,
                               .opt.recurrent = { m->kind, reverse, keep }); // [planes, t, b, h]
    wk_tensor *y = wk_select(planes, 0, 0);
    if (p->weight_hr)
        y = wk_linear(y, (wk_layer){ p->weight_hr, NULL });
    int64_t end = reverse ? 0 : wk_dim(x, 0) - 1;
    y = wk_cast(y, dtype);
    s->h = wk_select(y, 0, end);
    s->c = m->kind == WK_LSTM ? wk_cast(wk_select(wk_select(planes, 0, 1), 0, end), dtype) : NULL;
    return y;
}

/* All layers: state [layers directions, b, hidden] is replaced by the one at the end. */
static wk_tensor *run_layers(const wk_rnn_forward_args *a, wk_tensor *x, wk_rnn_state *state)
{
    const wk_rnn *m = a->rnn;
    wk_tensor    *h[2 * WK_RNN_LAYERS], *c[2 * WK_RNN_LAYERS], *y[2];
    int           ways = 1 + m->bidirectional, n = 0;
    for (int i = 0; i < m->layers && wk_ok(); i++) {
        if (i > 0)
            x = wk_drop_out(x, m->dropout, a->train);
        for (int k = 0; k < ways; k++, n++) {
            wk_rnn_state s = { state->h ? wk_select(state->h, 0, n) : NULL,
                               state->c ? wk_select(state->c, 0, n) : NULL };
            y[k] = run(m, &m->cell[n], x, k, &s);
            h[n] = s.h, c[n] = s.c;
        }
        x = ways > 1 ? wk_cat_of(-1, y, ways) : y[0];
    }
    if (a->state && wk_ok())
        *state = (wk_rnn_state){ wk_stack_of(0, h, n),
                                 m->kind == WK_LSTM ? wk_stack_of(0, c, n) : NULL };
    return x;
}

/* The states and x are there and of the right shapes. */
static bool fits(const wk_rnn_forward_args *a, int64_t batch)
{
    char          s[160], t[160];
    const wk_rnn *m = a->rnn;
    int           rank = wk_rank(a->x), all = m->layers * (1 + m->bidirectional);
    int64_t       in = wk_dim(m->cell[0].weight_ih, 1);
    if ((rank != 2 && rank != 3) || wk_dim(a->x, -1) != in ||
        wk_dim(a->x, rank == 3 && m->batch_first) == 0)
        wk_fail(WK_ERR_SHAPE, "rnn: x %s is not steps of %lld inputs", wk_show(a->x, s),
                (long long)in);
    wk_tensor *state[] = { a->state ? a->state->h : NULL, a->state ? a->state->c : NULL };
    for (int i = 0; i < 2 && wk_ok(); i++) {
        const wk_rnn_cell *p = &m->cell[0];
        int64_t            wide = i || !p->weight_hr ? wk_dim(p->weight_hh, 0) / gates_of(m->kind)
                                                     : wk_dim(p->weight_hr, 0);
        wk_shape           want = rank == 3 ? WK_SHAPE(all, batch, wide) : WK_SHAPE(all, wide);
        if (state[i] &&
            (!wk_usable("rnn", 2 + i, state[i]) || !wk_same_shape(state[i]->shape, want)))
            wk_fail(WK_ERR_SHAPE, "rnn: the state %s should be %s", wk_show(state[i], s),
                    wk_show_shape(want, t));
    }
    return wk_ok();
}

wk_tensor *wk_rnn_forward_with(const wk_rnn_forward_args *a)
{
    const wk_rnn *m = a->rnn;
    if (!wk_ok() || !wk_usable("rnn", 1, a->x) || !fits(a, wk_dim(a->x, !m->batch_first)))
        return NULL;
    wk_scope     scope = wk_mark();
    bool         alone = wk_rank(a->x) == 2, flip = m->batch_first && !alone;
    wk_rnn_state state = a->state ? *a->state : (wk_rnn_state){ NULL, NULL };
    wk_tensor   *x = alone ? wk_unsqueeze(a->x, 1) : flip ? wk_transpose(a->x, 0, 1) : a->x;
    if (alone) {
        state.h = state.h ? wk_unsqueeze(state.h, 1) : NULL;
        state.c = state.c ? wk_unsqueeze(state.c, 1) : NULL;
    }
    wk_tensor *y = run_layers(a, x, &state); // [t, b, directions hidden]
    y = alone ? wk_squeeze(y, 1) : flip ? wk_transpose(y, 0, 1) : y;
    if (alone && a->state) {
        state.h = wk_squeeze(state.h, 1);
        state.c = state.c ? wk_squeeze(state.c, 1) : NULL;
    }
    wk_tensor *all[] = { y, a->state ? state.h : NULL, a->state ? state.c : NULL };
    wk_yield_all(scope, all, 3);
    if (a->state && wk_ok())
        *a->state = (wk_rnn_state){ all[1], all[2] };
    return wk_ok() ? all[0] : NULL;
}
