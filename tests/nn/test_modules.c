// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_modules.c - modules against PyTorch's (tests/golden/make_modules.py): the names of
 * their parameters, what they give, and all gradients; on every instruction set. */
#include "test.h"

#include "../src/cpu/cpu.h"
#include <wick/wick.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char PATH[] = "tests/golden/nn/modules.safetensors";

enum { MOST = 8 }; /* tensors that a module is given, or gives */

typedef struct {
    const char *name;
    void (*run)(wk_vars at, wk_tensor **in, wk_tensor **out); /* fills out up to a NULL */
} module;

/* ---- The modules -------------------------------------------------------- */

static void recurrent(const wk_rnn *m, wk_tensor **in, wk_tensor **out)
{
    wk_rnn_state s = { in[1], in[2] };
    out[0] = wk_rnn_forward(m, in[0], .state = &s);
    out[1] = s.h;
    out[2] = s.c;
}

#define RECURRENT(name_, kind, ...)                                                                \
    static void name_(wk_vars at, wk_tensor **in, wk_tensor **out)                                 \
    {                                                                                              \
        wk_rnn m = wk_##kind##_new(at, __VA_ARGS__);                                               \
        recurrent(&m, in, out);                                                                    \
    }
RECURRENT(rnn, rnn, 3, 4)
RECURRENT(rnn_relu, rnn, 3, 4, .relu = true, .unbiased = true, .bidirectional = true)
RECURRENT(lstm, lstm, 3, 5, .layers = 2, .bidirectional = true)
RECURRENT(lstm_first, lstm, 4, 3, .batch_first = true)
RECURRENT(lstm_alone, lstm, 3, 4, .unbiased = true)
RECURRENT(lstm_proj, lstm, 3, 5, .layers = 2, .bidirectional = true, .proj = 2)
RECURRENT(lstm_wide, lstm, 5, 19, .bidirectional = true)
RECURRENT(gru, gru, 3, 5, .layers = 2, .bidirectional = true)
RECURRENT(gru_first, gru, 4, 3, .batch_first = true, .unbiased = true)
RECURRENT(gru_wide, gru, 3, 18)

static void embedding(wk_vars at, wk_tensor **in, wk_tensor **out)
{
    out[0] = wk_embedding_padded(in[0], wk_embedding_new_padded(at, 7, 3, 2), 2);
}

static void group_norm(wk_vars at, wk_tensor **in, wk_tensor **out)
{
    out[0] = wk_group_norm(in[0], 3, wk_group_norm_new(at, 6), 1e-5);
}

static void instance_norm(wk_vars at, wk_tensor **in, wk_tensor **out)
{
    out[0] = wk_instance_norm(in[0], wk_instance_norm_new(at, 3), 1e-5);
}

static void batch_norm(wk_vars at, wk_tensor **in, wk_tensor **out)
{
    wk_batch_norm_layer m = wk_batch_norm_new(at, 3);
    wk_fill(m.running_mean, 0); /* as it was before the first of two runs */
    wk_fill(m.running_var, 1);
    wk_fill(m.num_batches_tracked, 0);
    out[0] = wk_batch_norm_forward(&m, in[0], .train = true);
    out[1] = m.running_mean;
    out[2] = m.running_var;
    out[3] = wk_cast(m.num_batches_tracked, WK_F32);
}

static void batch_norm_still(wk_vars at, wk_tensor **in, wk_tensor **out)
{
    wk_batch_norm_layer m = wk_batch_norm_new(at, 4);
    m.eps = 0.01;
    out[0] = wk_batch_norm_forward(&m, in[0]);
}

#define CONV(name_, new, forward, ...)                                                             \
    static void name_(wk_vars at, wk_tensor **in, wk_tensor **out)                                 \
    {                                                                                              \
        wk_conv_args m = new (at, __VA_ARGS__);                                                    \
        out[0] = forward(&m, in[0]);                                                               \
    }
CONV(conv1d, wk_conv_new, wk_conv_forward, 4, 6, WK_SHAPE(3), .stride = WK_SHAPE(2),
     .padding = WK_SHAPE(1), .groups = 2)
CONV(conv2d, wk_conv_new, wk_conv_forward, 3, 4, WK_SHAPE(3, 2), .same = true, .unbiased = true)
CONV(conv3d, wk_conv_new, wk_conv_forward, 2, 3, WK_SHAPE(2, 2, 2), .dilation = WK_SHAPE(1, 2, 1))
CONV(conv_transpose2d, wk_conv_transpose_new, wk_conv_transpose_forward, 4, 2, WK_SHAPE(3, 3),
     .stride = WK_SHAPE(2, 2), .output_padding = WK_SHAPE(1, 1), .groups = 2)

static void sequential(wk_vars at, wk_tensor **in, wk_tensor **out)
{
    wk_block net[] = {
        { .conv = wk_conv_new(wk_at(at, "0"), 2, 3, WK_SHAPE(3)), .call = wk_relu },
        { .linear = wk_linear_new(wk_at(at, "2"), 5, 4),
          .norm = wk_layer_norm_new(wk_at(at, "3"), 4),
          .call = wk_tanh,
          .dropout = 0.5 },
        { .linear = wk_linear_new(wk_at(at, "6"), 4, 2) },
    };
    out[0] = wk_sequential(in[0], net, 3);
}

#define MULTIHEAD(name_, unbiased_, ...)                                                           \
    static void name_(wk_vars at, wk_tensor **in, wk_tensor **out)                                 \
    {                                                                                              \
        wk_multihead m = wk_multihead_new(at, 6, 2, .unbiased = unbiased_, .dropout = 0.5);        \
        out[0] = wk_multihead_forward(&m, in[0], __VA_ARGS__);                                     \
    }
MULTIHEAD(multihead, false, .train = false)
MULTIHEAD(multihead_masks, true, .mask = in[1], .padding = in[2])
MULTIHEAD(multihead_added, false, .mask = in[1], .padding = in[2])
MULTIHEAD(multihead_cross, false, in[1])
MULTIHEAD(multihead_three, false, in[1], in[2])

static void encoder(wk_vars at, wk_tensor **in, wk_tensor **out)
{
    wk_transformer l = wk_encoder_layer_new(at, 6, 2, 10, .dropout = 0.5);
    out[0] = wk_transformer_forward(&l, in[0], .padding = in[1]);
}

static void encoder_first(wk_vars at, wk_tensor **in, wk_tensor **out)
{
    wk_transformer l = wk_encoder_layer_new(at, 6, 3, 8, wk_gelu, .norm_first = true, .eps = 0.01,
                                            .unbiased = true);
    out[0] = wk_transformer_forward(&l, in[0], .causal = true, .train = true);
}

static void decoder(wk_vars at, wk_tensor **in, wk_tensor **out)
{
    wk_transformer l = wk_decoder_layer_new(at, 6, 2, 10);
    out[0] = wk_transformer_forward(&l, in[0], in[1], .causal = true, .train = true);
}

static void decoder_first(wk_vars at, wk_tensor **in, wk_tensor **out)
{
    wk_transformer l = wk_decoder_layer_new(at, 6, 2, 8, .norm_first = true);
    out[0] = wk_transformer_forward(&l, in[0], in[1], .memory_padding = in[2]);
}

#define MODULE(name)                                                                               \
    {                                                                                              \
#name, name                                                                                \
    }
static const module modules[] = {
    MODULE(rnn),
    MODULE(rnn_relu),
    MODULE(lstm),
    MODULE(lstm_first),
    MODULE(lstm_alone),
    MODULE(lstm_proj),
    MODULE(lstm_wide),
    MODULE(gru),
    MODULE(gru_first),
    MODULE(gru_wide),
    MODULE(embedding),
    MODULE(group_norm),
    MODULE(conv1d),
    MODULE(instance_norm),
    MODULE(batch_norm),
    MODULE(batch_norm_still),
    MODULE(conv2d),
    MODULE(conv3d),
    MODULE(conv_transpose2d),
    MODULE(sequential),
    MODULE(multihead),
    MODULE(multihead_masks),
    MODULE(multihead_added),
    MODULE(multihead_cross),
    MODULE(multihead_three),
    MODULE(encoder),
    MODULE(encoder_first),
    MODULE(decoder),
    MODULE(decoder_first),
};

/* ---- Comparing ---------------------------------------------------------- */

static void compare(const wk_archive *a, const char *key, wk_tensor *got, double bound)
{
    wk_scope   scope = wk_mark();
    wk_tensor *want = wk_archive_get(a, key);
    if (!CHECK_MSG(got && want && wk_ok(), "%s", key)) {
        wk_clear();
        wk_sweep(scope);
        return;
    }
    wk_shape g = wk_shape_of(got), w = wk_shape_of(want);
    bool     same = g.rank == w.rank;
    for (int i = 0; same && i < g.rank; i++)
        same = g.dim[i] == w.dim[i];
    if (CHECK_MSG(same, "%s has another shape", key)) {
        double most = fmax(1, wk_item(wk_max(wk_abs(want))));
        double far = wk_item(wk_max(wk_abs(wk_sub(wk_cast(wk_detach(got), WK_F64), want))));
        CHECK_MSG(far <= bound * most, "%s is off by %g of %g", key, far, most);
    }
    wk_sweep(scope);
}

/* in.NAME.0 ... of the archive; floats of the dtype, tracked. */
static int inputs_of(const wk_archive *a, const char *name, wk_dtype dtype, wk_tensor **in)
{
    char key[96];
    int  n = 0;
    for (;
         n < MOST && snprintf(key, sizeof key, "in.%s.%d", name, n) && wk_archive_find(a, key) >= 0;
         n++) {
        in[n] = wk_archive_get(a, key);
        if (wk_dtype_is_float(wk_dtype_of(in[n])))
            in[n] = wk_track(wk_copy(wk_cast(in[n], dtype)));
    }
    return n;
}

static void check(const module *m, wk_dtype dtype, double bound)
{
    char        key[128];
    size_t      n = strlen(m->name);
    wk_archive *a = wk_archive_open(PATH);
    wk_store   *s = wk_store_open(PATH, dtype);
    wk_tensor  *in[MOST] = { NULL }, *out[MOST + 1] = { NULL }, *loss = NULL;
    int         inputs = inputs_of(a, m->name, dtype, in);
    m->run(wk_at(wk_root(s), "%s", m->name), in, out); /* makes the parameters; untracked */
    wk_store_track(s, true);
    m->run(wk_at(wk_root(s), "%s", m->name), in, out);
    for (int i = 0; out[i]; i++) {
        wk_tensor *half = wk_scale(wk_sum(wk_square(out[i])), 0.5);
        loss = loss ? wk_add(loss, half) : half;
        snprintf(key, sizeof key, "out.%s.%d", m->name, i);
        compare(a, key, out[i], bound);
    }
    wk_backward(loss);
    for (int i = 0; i < inputs; i++)
        if (snprintf(key, sizeof key, "grad.in.%s.%d", m->name, i) && wk_archive_find(a, key) >= 0)
            compare(a, key, wk_grad(in[i]), 10 * bound);
    for (int i = 0; i < wk_archive_count(a); i++) {
        const char *name = wk_archive_name(a, i);
        if (strncmp(name, m->name, n) || name[n] != '.')
            continue;
        wk_tensor *p = wk_store_find(s, name);
        snprintf(key, sizeof key, "grad.%s", name);
        if (CHECK_MSG(p, "%s has no parameter %s", m->name, name) && wk_archive_find(a, key) >= 0)
            compare(a, key, wk_grad(p), 10 * bound);
    }
    if (!wk_ok())
        CHECK_MSG(false, "%s", m->name), wk_clear();
    wk_archive_free(a);
    wk_store_free(s);
}

static void check_all(wk_dtype dtype, double bound)
{
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
        wk_scope scope = wk_mark();
        check(&modules[i], dtype, bound);
        wk_sweep(scope);
    }
}

TEST(modules_are_those_of_pytorch) { check_all(WK_F64, 1e-12); }

TEST(modules_are_those_of_pytorch_in_f32)
{
    const wk_cpu_isa *isas[8], *before = wk_cpu_current();
    int               n = wk_cpu_list(isas, 8);
    for (int i = 0; i < n; i++) {
        wk_cpu_use(isas[i]);
        check_all(WK_F32, 2e-6);
    }
    wk_cpu_use(before);
}

/* ---- Recurrent layers of sizes that fill vectors, panels and threads ------ */

/* The gradients of all parameters, of x and of the state, as one list. */
static wk_tensor *all_gradients(int kind, int64_t t, int64_t b, int64_t h)
{
    wk_tensor *list[16];
    int        n = 0;
    wk_store  *s = wk_store_new();
    wk_vars    at = wk_root(s);
    wk_seed(3);
    wk_rnn       m = kind == WK_LSTM  ? wk_lstm_new(at, 9, h, .bidirectional = true)
                     : kind == WK_GRU ? wk_gru_new(at, 9, h, .bidirectional = true)
                                      : wk_rnn_new(at, 9, h, .bidirectional = true, .relu = kind);
    wk_tensor   *x = wk_track(wk_randn(t, b, 9)), *start = wk_track(wk_randn(2, b, h));
    wk_rnn_state state = { start, kind == WK_LSTM ? start : NULL };
    wk_tensor   *y = wk_rnn_forward(&m, x, .state = &state);
    wk_backward(wk_add(wk_mean(wk_square(y)), wk_sum(wk_square(state.h))));
    list[n++] = wk_flatten(wk_detach(y), 0, -1);
    list[n++] = wk_flatten(wk_grad(x), 0, -1);
    list[n++] = wk_flatten(wk_grad(start), 0, -1);
    for (int i = 0; i < wk_store_count(s); i++)
        list[n++] = wk_flatten(wk_grad(wk_store_at(s, i)), 0, -1);
    wk_tensor *all = wk_cat_of(0, list, n);
    wk_store_free(s);
    return all;
}

static double distance(wk_tensor *a, wk_tensor *b)
{
    return wk_item(wk_max(wk_abs(wk_sub(a, b)))) / fmax(1, wk_item(wk_max(wk_abs(b))));
}

TEST(recurrent_kernels_are_the_portable_ones)
{
    static const int64_t   sizes[][3] = { { 3, 50, 70 }, { 2, 1, 33 }, { 1, 7, 64 }, { 4, 97, 5 } };
    static const wk_kernel none[WK_OP_LISTED + 1];
    const wk_cpu_isa      *before = wk_cpu_current(), *isas[8];
    const wk_cpu_isa       portable = { .name = "portable",
                                        .level = WK_LEVEL_none,
                                        .kernels = none,
                                        .install_rows = before->install_rows };
    int                    count = wk_cpu_list(isas, 8), threads = wk_threads();
    for (int kind = WK_RNN_TANH; kind <= WK_GRU; kind++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            wk_scope scope = wk_mark();
            wk_cpu_use(&portable);
            wk_tensor *want = all_gradients(kind, sizes[i][0], sizes[i][1], sizes[i][2]);
            for (int k = 0; k < count; k++) {
                wk_cpu_use(isas[k]);
                wk_tensor *got = all_gradients(kind, sizes[i][0], sizes[i][1], sizes[i][2]);
                wk_set_threads(1);
                wk_tensor *alone = all_gradients(kind, sizes[i][0], sizes[i][1], sizes[i][2]);
                wk_set_threads(threads);
                CHECK_MSG(distance(got, want) < 1e-5, "%s, kind %d, sizes %zu: %g", isas[k]->name,
                          kind, i, distance(got, want));
                CHECK_MSG(distance(got, alone) == 0, "%s, kind %d, sizes %zu: threads matter",
                          isas[k]->name, kind, i);
            }
            wk_cpu_use(before);
            wk_sweep(scope);
        }
}

/* A state goes on where another call ended. */
TEST(recurrent_layers_go_on)
{
    wk_store    *s = wk_store_new();
    wk_rnn       m = wk_gru_new(wk_root(s), 3, 4, .layers = 2);
    wk_tensor   *x = wk_randn(5, 2, 3);
    wk_rnn_state a = { NULL, NULL }, b = { NULL, NULL };
    wk_tensor   *whole = wk_rnn_forward(&m, x, .state = &a);
    wk_rnn_forward(&m, wk_narrow(x, 0, 0, 3), .state = &b);
    wk_tensor *rest = wk_rnn_forward(&m, wk_narrow(x, 0, 3, 2), .state = &b);
    CHECK_NEAR(distance(wk_detach(rest), wk_detach(wk_narrow(whole, 0, 3, 2))), 0, 1e-6);
    CHECK_NEAR(distance(wk_detach(a.h), wk_detach(b.h)), 0, 1e-6);
    wk_store_free(s);
}

/* ---- Training ------------------------------------------------------------- */

TEST(dropout_of_modules_is_for_training)
{
    wk_store      *s = wk_store_new();
    wk_vars        at = wk_root(s);
    wk_rnn         rnn = wk_lstm_new(wk_at(at, "a"), 3, 50, .layers = 2, .dropout = 0.5);
    wk_multihead   m = wk_multihead_new(wk_at(at, "b"), 8, 2, .dropout = 0.5);
    wk_transformer l = wk_encoder_layer_new(wk_at(at, "c"), 8, 2, 16, .dropout = 0.5);
    wk_block       block = { .linear = wk_linear_new(wk_at(at, "d"), 8, 64), .dropout = 0.75 };
    wk_tensor     *x = wk_randn(4, 5, 8), *y = wk_randn(6, 2, 3);
    wk_no_grad(true);
    for (int k = 0; k < 2; k++) {
        bool train = k;
        CHECK((distance(wk_rnn_forward(&rnn, y, .train = train), wk_rnn_forward(&rnn, y)) > 0) ==
              train);
        CHECK((distance(wk_multihead_forward(&m, x, .train = train), wk_multihead_forward(&m, x)) >
               0) == train);
        CHECK((distance(wk_transformer_forward(&l, x, .train = train),
                        wk_transformer_forward(&l, x)) > 0) == train);
    }
    wk_tensor *z = wk_sequential(x, &block, 1, .train = true), *whole = wk_linear(x, block.linear);
    wk_tensor *zero = wk_eq(z, wk_scalar(0)); /* the rest is four times as much */
    CHECK_NEAR(wk_item(wk_mean(wk_cast(zero, WK_F32))), 0.75, 0.06);
    wk_tensor *far = wk_sub(wk_where(zero, wk_scalar(0), wk_scale(whole, 4)), z);
    CHECK_NEAR(wk_item(wk_max(wk_abs(far))), 0, 1e-6);
    CHECK_NEAR(distance(wk_sequential(x, &block, 1), whole), 0, 0);
    block.dropout = 1; /* nothing is left */
    CHECK_NEAR(wk_item(wk_max(wk_abs(wk_sequential(x, &block, 1, .train = true)))), 0, 0);
    wk_no_grad(false);
    wk_store_free(s);
}

/* The same weights, by the fused kernel and step by step: dropout of almost nothing. */
TEST(attention_with_dropout_is_attention)
{
    wk_store    *s = wk_store_new();
    wk_multihead m = wk_multihead_new(wk_root(s), 6, 3, .dropout = 1e-9);
    wk_tensor   *x = wk_randn(2, 5, 6), *seen = wk_gt(wk_randn(2, 1, 5, 5), wk_scalar(-1));
    wk_tensor   *bias = wk_randn(5, 5);
    wk_no_grad(true);
    seen = wk_logical_or(seen, wk_cast(wk_eye(WK_F32, 5), WK_BOOL)); /* all see themselves */
    for (int i = 0; i < 4; i++) {
        wk_tensor *mask = i & 1 ? bias : seen;
        wk_tensor *a = wk_multihead_forward(&m, x, .mask = mask, .causal = i & 2);
        wk_tensor *b = wk_multihead_forward(&m, x, .mask = mask, .causal = i & 2, .train = true);
        CHECK_NEAR(distance(a, b), 0, 1e-6);
    }
    wk_no_grad(false);
    wk_store_free(s);
}

/* ---- What does not fit ---------------------------------------------------- */

TEST(modules_say_what_does_not_fit)
{
    wk_store    *s = wk_store_new();
    wk_vars      at = wk_root(s);
    wk_rnn       m = wk_lstm_new(wk_at(at, "a"), 3, 4);
    wk_rnn_state state = { wk_zeros(1, 3, 4), NULL };
    wk_rnn_forward(&m, wk_zeros(5, 2, 4));
    CHECK_ERROR("rnn: x [5, 2, 4] f32 is not steps of 3 inputs");
    wk_rnn_forward(&m, wk_zeros(0, 2, 3));
    CHECK_ERROR("rnn: x [0, 2, 3] f32 is not steps of 3 inputs");
    wk_rnn_forward(&m, wk_zeros(5, 2, 3), .state = &state);
    CHECK_ERROR("rnn: the state [1, 3, 4] f32 should be [1, 2, 4]");
    wk_rnn_forward(&m, NULL);
    CHECK_ERROR("rnn: operand 1 is NULL");
    wk_gru_new(at, 3, 4, .proj = 2);
    CHECK_ERROR("rnn: only an LSTM has a projection");
    wk_lstm_new(at, 3, 4, .layers = 17);
    CHECK_ERROR("rnn: 3 inputs, 4 hidden, 17 layers");
    wk_multihead h = wk_multihead_new(wk_at(at, "b"), 6, 2);
    wk_multihead_forward(&h, wk_zeros(2, 3, 4));
    CHECK_ERROR("multihead: [2, 3, 4] f32 does not fit b.in_proj_weight [18, 6] f32");
    wk_multihead_forward(&h, wk_zeros(2, 3, 6), .padding = wk_zeros(2, 4));
    CHECK_ERROR("multihead: the padding [2, 4] f32 should be [2, 3] bool");
    wk_multihead_new(at, 7, 2);
    CHECK_ERROR("multihead: 7 numbers for 2 heads");
    wk_transformer l = wk_decoder_layer_new(wk_at(at, "c"), 6, 2, 8);
    wk_transformer_forward(&l, wk_zeros(2, 3, 6));
    CHECK_ERROR("transformer: operand 2 is NULL");
    wk_conv_new(at, 3, 4, WK_SHAPE(3), .groups = 2);
    CHECK_ERROR("conv: 3 to 4 channels in 2 groups");
    CHECK_INT(wk_store_count(s), 4 + 4 + 18);
    wk_store_free(s);
}
