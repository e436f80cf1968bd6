// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_trajectories.c - a Llama, a convolutional network and an LSTM, trained for 50 steps by
 * each optimiser and each schedule, against PyTorch (tests/golden/make_trajectories.py). */
#include "test.h"

#include "../src/base/base.h"

#include <wick/wick.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { STEPS = 50 };

static wk_tensor *wave(wk_shape shape, double speed, double phase)
{
    int64_t n = 1;
    for (int i = 0; i < shape.rank; i++)
        n *= shape.dim[i];
    wk_tensor *x = wk_add_scalar(wk_scale(wk_arange(WK_F64, 0, (double)n, 1), speed), phase);
    return wk_reshape_to(wk_cast(wk_sin(x), WK_F32), shape);
}

/* Norms about 1, biases small, matrices by their inputs. */
static void begin(wk_store *s)
{
    bool before = wk_no_grad(true);
    for (int i = 0; i < wk_store_count(s); i++) {
        wk_tensor  *p = wk_store_at(s, i);
        const char *name = wk_name(p);
        int         sum = 0;
        if (strstr(name, "running") || strstr(name, "num_batches"))
            continue;
        for (const char *c = name; *c; c++)
            sum += *c;
        wk_tensor *x = wave(wk_shape_of(p), 0.7, sum % 97);
        if (wk_rank(p) > 1)
            x = wk_scale(x, 1 / sqrt((double)(wk_count(p) / wk_dim(p, 0))));
        else
            x = wk_add_scalar(wk_scale(x, 0.1), strstr(name, "norm") && strstr(name, "weight"));
        wk_assign(p, x);
    }
    wk_no_grad(before);
}

/* ---- The networks -------------------------------------------------------- */

typedef struct {
    wk_store           *s;
    wk_model           *llama;
    wk_conv_args        conv;
    wk_batch_norm_layer norm;
    wk_layer            fc;
    wk_rnn              rnn;
} net;

static const char llama_config[] =
    "{\"model_type\": \"llama\", \"vocab_size\": 20, \"hidden_size\": 16,"
    "\"num_hidden_layers\": 2, \"num_attention_heads\": 2, \"num_key_value_heads\": 1,"
    "\"intermediate_size\": 24, \"rms_norm_eps\": 1e-5, \"max_position_embeddings\": 32}";

static void llama_new(net *n)
{
    n->llama = wk_model_open(NULL, .train = true, .config = llama_config);
    n->s = wk_model_store(n->llama);
}

static wk_tensor *llama_loss(const net *n, int step)
{
    int64_t ids[30];
    for (int i = 0; i < 30; i++)
        ids[i] = (i * 7 + step * 3) % 20;
    wk_tensor *x = wk_from_i64(WK_SHAPE(3, 10), ids);
    return wk_cross_entropy(wk_model_logits(n->llama, wk_narrow(x, 1, 0, 9)),
                            wk_narrow(x, 1, 1, 9));
}

static wk_tensor *classes(int count)
{
    int64_t y[6];
    for (int i = 0; i < 6; i++)
        y[i] = i % count;
    return wk_from_i64(WK_SHAPE(6), y);
}

static void cnn_new(net *n)
{
    n->s = wk_store_new();
    wk_vars at = wk_root(n->s);
    n->conv = wk_conv_new(wk_at(at, "conv"), 1, 4, WK_SHAPE(3, 3), .padding = WK_SHAPE(1));
    n->norm = wk_batch_norm_new(wk_at(at, "norm"), 4);
    n->fc = wk_linear_new(wk_at(at, "fc"), 4 * 4 * 4, 5);
}

static wk_tensor *cnn_loss(const net *n, int step)
{
    wk_tensor *h = wk_conv_forward(&n->conv, wave(WK_SHAPE(6, 1, 8, 8), 0.91, step % 3));
    h = wk_relu(wk_batch_norm_forward(&n->norm, h, .train = true));
    h = wk_reshape(wk_max_pool2d(h, .size = WK_SHAPE(2)), 6, -1);
    return wk_cross_entropy(wk_linear(h, n->fc), classes(5));
}

static void lstm_new(net *n)
{
    n->s = wk_store_new();
    wk_vars at = wk_root(n->s);
    n->rnn = wk_lstm_new(wk_at(at, "rnn"), 6, 8);
    n->fc = wk_linear_new(wk_at(at, "fc"), 8, 3);
}

static wk_tensor *lstm_loss(const net *n, int step)
{
    wk_tensor *y =
        wk_rnn_forward(&n->rnn, wk_transpose(wave(WK_SHAPE(6, 5, 6), 0.91, step % 3), 0, 1));
    return wk_cross_entropy(wk_linear(wk_reshape(wk_narrow(y, 0, 4, 1), 6, 8), n->fc), classes(3));
}

static const struct {
    const char *name;
    void (*make)(net *n);
    wk_tensor *(*loss)(const net *n, int step);
} nets[] = { { "llama", llama_new, llama_loss },
             { "cnn", cnn_new, cnn_loss },
             { "lstm", lstm_new, lstm_loss } };

/* ---- Training ------------------------------------------------------------ */

typedef struct {
    const char *name;
    wk_optim *(*optim)(const wk_optim_args *args);
    wk_optim_args args;
    wk_schedule   plan;
} run;

static void follow(wk_archive *golden, int kind, const run *r)
{
    char     key[80];
    double   want[STEPS] = { 0 }, worst = 0;
    net      n = { 0 };
    wk_scope scope = wk_mark();
    nets[kind].make(&n);
    begin(n.s);
    wk_optim_args args = r->args;
    args.store = n.s;
    wk_optim *o = r->optim(&args);
    snprintf(key, sizeof key, "loss.%s.%s", nets[kind].name, r->name);
    wk_read(wk_archive_get(golden, key), WK_F64, want);
    for (int step = 0; step < STEPS && wk_ok(); step++) {
        wk_scope   inner = wk_mark();
        wk_tensor *loss = nets[kind].loss(&n, step);
        wk_backward(loss);
        wk_set_lr(o, args.lr * wk_schedule_at(&r->plan, step));
        wk_step(o);
        worst = fmax(worst, fabs(wk_item(wk_detach(loss)) - want[step]) / want[step]);
        wk_sweep(inner);
    }
    CHECK_MSG(wk_ok() && worst <= 1e-4, "%s: %g apart %s", key, worst, wk_message());
    wk_optim_free(o);
    if (n.llama)
        wk_model_free(n.llama);
    else
        wk_store_free(n.s);
    wk_sweep(scope);
}

static const run runs[] = {
    { "sgd", wk_sgd_new_with, { .lr = 0.05 }, { 0 } },
    { "momentum", wk_sgd_new_with, { .lr = 0.02, .momentum = 0.9 }, { 0 } },
    { "nesterov", wk_sgd_new_with, { .lr = 0.02, .momentum = 0.9, .nesterov = true }, { 0 } },
    { "adam", wk_adam_new_with, { .lr = 2e-3 }, { 0 } },
    { "adamw", wk_adamw_new_with, { .lr = 2e-3, .decay = 0.1 }, { 0 } },
    { "amsgrad", wk_adamw_new_with, { .lr = 2e-3, .decay = 0.1, .amsgrad = true }, { 0 } },
    { "adamax", wk_adamax_new_with, { .lr = 2e-3 }, { 0 } },
    { "nadam", wk_nadam_new_with, { .lr = 2e-3 }, { 0 } },
    { "radam", wk_radam_new_with, { .lr = 2e-3 }, { 0 } },
    { "rmsprop", wk_rmsprop_new_with, { .lr = 1e-3 }, { 0 } },
    { "adagrad", wk_adagrad_new_with, { .lr = 1e-2 }, { 0 } },
    { "adadelta", wk_adadelta_new_with, { .lr = 0.5 }, { 0 } },
    { "adafactor", wk_adafactor_new_with, { .lr = 1e-2 }, { 0 } },
    { "lion", wk_lion_new_with, { .lr = 3e-4, .decay = 0.1 }, { 0 } },
    { "muon", wk_muon_new_with, { .lr = 5e-3 }, { 0 } },
#define ADAMW                                                                                      \
    wk_adamw_new_with, { .lr = 2e-3, .decay = 0.1 }
    { "cosine", ADAMW, { .kind = WK_LR_COSINE, .steps = STEPS, .floor = 0.1 } },
    { "linear", ADAMW, { .kind = WK_LR_LINEAR, .steps = STEPS, .floor = 0.25 } },
    { "steps", ADAMW, { .kind = WK_LR_STEPS, .gamma = 0.5, .every = 7 } },
    { "exponential", ADAMW, { .kind = WK_LR_EXPONENTIAL, .gamma = 0.95 } },
    { "one_cycle", ADAMW, { .kind = WK_LR_ONE_CYCLE, .steps = STEPS } },
    { "warmup", ADAMW, { .kind = WK_LR_CONSTANT, .warmup = 10 } },
    { "wsd", ADAMW, { .kind = WK_LR_WSD, .steps = STEPS, .fall = 0.1 } },
};

static void follow_all(int kind)
{
    wk_archive *golden = wk_archive_open("tests/golden/nn/trajectories.safetensors");
    for (size_t i = 0; i < WK_COUNT(runs); i += (size_t)test_stride(4))
        follow(golden, kind, &runs[i]);
    wk_archive_free(golden);
}

TEST(llamas_follow_pytorch) { follow_all(0); }
TEST(convolutional_networks_follow_pytorch) { follow_all(1); }
TEST(lstms_follow_pytorch) { follow_all(2); }

/* ---- Long runs, narrow weights -------------------------------------------- */

static double learn(net *n, wk_optim *o, int from, int to)
{
    double last = 0;
    for (int step = from; step < to && wk_ok(); step++) {
        wk_scope   scope = wk_mark();
        wk_tensor *loss = llama_loss(n, step);
        wk_backward(loss);
        wk_clip_grad_norm(n->s, 1);
        wk_step(o);
        last = wk_item(wk_detach(loss));
        wk_sweep(scope);
    }
    return last;
}

static long resident(void)
{
    long  total = 0, pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%ld %ld", &total, &pages) != 2)
        pages = 0;
    if (f)
        fclose(f);
    return pages;
}

/* The address sanitizer holds back freed memory, 256 MB of it, and grows until it has them. */
#if defined __SANITIZE_ADDRESS__
enum { HOLDS_BACK = true };
#else
enum { HOLDS_BACK = false };
#endif

TEST(a_thousand_steps_need_no_more_than_a_hundred)
{
    net n = { 0 };
    llama_new(&n);
    begin(n.s);
    wk_optim *o = wk_adamw_new(n.s, .lr = 1e-3);
    const int first = HOLDS_BACK ? 1000 : 100;
    learn(&n, o, 0, first);
    size_t tensors = wk_live_tensors();
    long   blocks = wk_live_allocs(), pages = resident();
    double loss = learn(&n, o, first, first + 900);
    CHECK_INT((int64_t)wk_live_tensors(), (int64_t)tensors);
    CHECK_INT(wk_live_allocs(), blocks);
    CHECK_MSG(resident() <= pages + 64, "%ld pages, then %ld", pages, resident());
    CHECK_MSG(loss < 0.1, "%g", loss);
    wk_optim_free(o);
    wk_model_free(n.llama);
}

/* Weights and products in bf16, steps on copies in f32: the losses are f32's but for bf16's
 * grain of 1/256. */
TEST(narrow_llamas_learn_as_wide_ones)
{
    double      want[STEPS];
    wk_archive *golden = wk_archive_open("tests/golden/nn/trajectories.safetensors");
    wk_read(wk_archive_get(golden, "loss.llama.adamw"), WK_F64, want);
    net n = { .llama =
                  wk_model_open(NULL, .train = true, .dtype = WK_BF16, .config = llama_config) };
    n.s = wk_model_store(n.llama);
    begin(n.s);
    wk_optim *o = wk_adamw_new(n.s, .lr = 2e-3, .decay = 0.1);
    for (int step = 0; step < STEPS && wk_ok(); step++) {
        wk_scope   scope = wk_mark();
        wk_tensor *loss = llama_loss(&n, step);
        wk_backward(loss);
        wk_step(o);
        double got = wk_item(wk_detach(loss));
        CHECK_MSG(fabs(got - want[step]) < 0.02 * want[step], "step %d: %g, not %g", step, got,
                  want[step]);
        wk_sweep(scope);
    }
    wk_optim_free(o);
    wk_model_free(n.llama);
    wk_archive_free(golden);
}
