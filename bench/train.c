// SPDX-License-Identifier: MIT OR Apache-2.0
/* train.c - a training step: forward, loss, backward, clipping, AdamW.
 *
 *   build/bench/train gpt2|llama f32|bf16 [BATCH LENGTH [STEPS]]
 *
 * prints the median of the steps in ms, tokens per second, and the peak of resident memory.
 * Beside PyTorch: python3 bench/peers_train.py */
#include "clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- GPT-2, 124 M: Radford et al., 2019 ----------------------------------- */

enum { WIDTH = 768, HEADS = 12, LAYERS = 12, VOCAB = 50257, PLACES = 1024 };

typedef struct {
    wk_layer ln1, qkv, proj, ln2, fc, out;
} gpt2_block;

typedef struct {
    wk_tensor *wte, *wpe;
    gpt2_block block[LAYERS];
    wk_layer   norm;
} gpt2;

static gpt2 gpt2_new(wk_vars at)
{
    gpt2 m = { .wte = wk_embedding_new(wk_at(at, "wte"), VOCAB, WIDTH),
               .wpe = wk_embedding_new(wk_at(at, "wpe"), PLACES, WIDTH),
               .norm = wk_layer_norm_new(wk_at(at, "ln_f"), WIDTH) };
    bool before = wk_no_grad(true);
    wk_assign(m.wte, wk_scale(m.wte, 0.02));
    wk_assign(m.wpe, wk_scale(m.wpe, 0.02));
    wk_no_grad(before);
    for (int i = 0; i < LAYERS; i++) {
        wk_vars h = wk_at(at, "h.%d", i);
        m.block[i] = (gpt2_block){
            .ln1 = wk_layer_norm_new(wk_at(h, "ln_1"), WIDTH),
            .qkv = wk_linear_new(wk_at(h, "attn.c_attn"), WIDTH, 3 * WIDTH),
            .proj = wk_linear_new(wk_at(h, "attn.c_proj"), WIDTH, WIDTH),
            .ln2 = wk_layer_norm_new(wk_at(h, "ln_2"), WIDTH),
            .fc = wk_linear_new(wk_at(h, "mlp.c_fc"), WIDTH, 4 * WIDTH),
            .out = wk_linear_new(wk_at(h, "mlp.c_proj"), 4 * WIDTH, WIDTH),
        };
    }
    return m;
}

/* ids [b, t] -> logits [b t, vocab] */
static wk_tensor *gpt2_logits(const gpt2 *m, wk_tensor *ids)
{
    int64_t    b = wk_dim(ids, 0), t = wk_dim(ids, 1);
    wk_tensor *x = wk_add(wk_embedding(ids, m->wte), wk_narrow(m->wpe, 0, 0, t));
    x = wk_cast(wk_reshape(x, b * t, WIDTH), WK_F32);
    for (int i = 0; i < LAYERS; i++) {
        const gpt2_block *l = &m->block[i];
        wk_tensor        *h = wk_linear(wk_layer_norm(x, l->ln1, 1e-5), l->qkv), *part[3];
        h = wk_permute(wk_reshape(h, b, t, 3, HEADS, WIDTH / HEADS), 2, 0, 3, 1, 4);
        for (int k = 0; k < 3; k++)
            part[k] = wk_select(h, 0, k); // [b, h, t, d]
        h = wk_permute(wk_attention(part[0], part[1], part[2], .causal = true), 0, 2, 1, 3);
        x = wk_linear_add(wk_reshape(h, b * t, WIDTH), l->proj, x);
        h = wk_gelu_tanh(wk_linear(wk_layer_norm(x, l->ln2, 1e-5), l->fc));
        x = wk_linear_add(h, l->out, x);
    }
    return wk_linear(wk_layer_norm(x, m->norm, 1e-5), (wk_layer){ m->wte, NULL });
}

/* ---- A Llama of 30 M ----------------------------------------------------- */

static const char llama_config[] =
    "{\"model_type\": \"llama\", \"vocab_size\": 8192, \"hidden_size\": 512,"
    "\"num_hidden_layers\": 8, \"num_attention_heads\": 8, \"num_key_value_heads\": 8,"
    "\"intermediate_size\": 1376, \"max_position_embeddings\": 1024, \"rms_norm_eps\": 1e-5,"
    "\"tie_word_embeddings\": true}";

/* ---- Steps --------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double peak_megabytes(void)
{
    char   line[200];
    double kilobytes = 0;
    FILE  *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %lf", &kilobytes) == 1)
            break;
    if (f)
        fclose(f);
    return kilobytes / 1024;
}

int main(int argc, char **argv)
{
    enum { MOST = 200 };
    bool      llama = argc > 1 && !strcmp(argv[1], "llama");
    wk_dtype  dtype = argc > 2 ? wk_dtype_find(argv[2]) : WK_F32;
    int64_t   b = argc > 4 ? atoll(argv[3]) : 4, t = argc > 4 ? atoll(argv[4]) : 64;
    int       steps = argc > 5 ? atoi(argv[5]) : 7;
    double    sample[MOST], loss = 0;
    gpt2      net = { .wte = NULL };
    wk_model *m = NULL;
    wk_store *s = NULL;
    if (argc < 2 || b < 1 || t < 1 || steps < 1 || steps > MOST || dtype == WK_DEFAULT) {
        fprintf(stderr, "train gpt2|llama f32|bf16 [BATCH LENGTH [STEPS]]\n");
        return 2;
    }
    wk_seed(1);
    if (llama) {
        m = wk_model_open(NULL, .config = llama_config, .dtype = dtype, .train = true);
        s = wk_model_store(m);
    } else {
        s = wk_store_new();
        wk_store_set_dtype(s, dtype);
        net = gpt2_new(wk_root(s));
    }
    int64_t    vocab = llama ? 8192 : VOCAB;
    wk_optim  *opt = wk_adamw_new(s, .lr = 3e-4, .decay = 0.1);
    wk_tensor *ids = wk_randint_of(WK_SHAPE(b, t + 1), 0, vocab);
    for (int i = -2; i < steps && wk_ok(); i++) {
        wk_scope   scope = wk_mark();
        double     start = now();
        wk_tensor *x = wk_narrow(ids, 1, 0, t), *y = wk_narrow(ids, 1, 1, t);
        wk_tensor *logits = llama ? wk_model_logits(m, x) : gpt2_logits(&net, x);
        wk_tensor *cost = wk_cross_entropy(wk_reshape(logits, -1, vocab), wk_reshape(y, -1));
        wk_backward(cost);
        loss = wk_item(wk_detach(cost));
        wk_sweep(scope); /* the graph is not needed any more */
        wk_clip_grad_norm(s, 1);
        wk_step(opt);
        if (i >= 0)
            sample[i] = now() - start;
    }
    qsort(sample, (size_t)steps, sizeof *sample, by_size);
    double median = sample[steps / 2];
    printf("%s %s %lld x %lld: %8.1f ms, %7.0f tokens/s, peak %6.0f MB, loss %.4f\n", argv[1],
           wk_dtype_name(dtype), (long long)b, (long long)t, 1e3 * median, (double)(b * t) / median,
           peak_megabytes(), loss);
    wk_optim_free(opt);
    if (m)
        wk_model_free(m);
    else
        wk_store_free(s);
    return wk_finish();
}
