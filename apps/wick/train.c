// SPDX-License-Identifier: MIT OR Apache-2.0
/* train.c - wick train: a new model from text; wick finetune: more for one there is. */
#include "cli.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_CONFIG = 1 << 20 };

/* ---- What is shown ------------------------------------------------------- */

static bool show(const wk_train_state *t, void *user)
{
    const settings *s = user;
    bool            live = isatty(STDERR_FILENO), measured = !isnan(t->validation);
    double          left = (double)(t->steps - t->step) * t->seconds / (double)t->run;
    if (s->json) {
        printf("{\"step\": %lld, \"loss\": %.9g, \"lr\": %.9g, \"norm\": %.9g, ",
               (long long)t->step, t->loss, t->lr, t->norm);
        if (measured)
            printf("\"validation\": %.9g, ", t->validation);
        printf("\"tokens_per_second\": %.6g}\n", t->tokens_per_s);
        return !fflush(stdout);
    }
    if (s->quiet || !(measured || live))
        return true;
    fprintf(stderr, "%sstep %lld/%lld  loss %.4f", live ? "\r\033[K" : "", (long long)t->step,
            (long long)t->steps, t->loss);
    if (measured)
        fprintf(stderr, "  validation %.4f", t->validation);
    fprintf(stderr, "  %.0f tokens/s", t->tokens_per_s);
    if (left >= 1)
        fprintf(stderr, "  %.0f min %.0f s left", floor(left / 60), fmod(left, 60));
    if (measured)
        fputc('\n', stderr);
    return true;
}

/* ---- What both do -------------------------------------------------------- */

static const struct {
    const char *name;
    wk_optim *(*make)(const wk_optim_args *args);
} optimizers[] = { { "adamw", wk_adamw_new_with },
                   { "adam", wk_adam_new_with },
                   { "sgd", wk_sgd_new_with },
                   { "lion", wk_lion_new_with } };

static const char *const schedules[] = {
    [WK_LR_CONSTANT] = "constant",
    [WK_LR_LINEAR] = "linear",
    [WK_LR_COSINE] = "cosine",
    [WK_LR_WSD] = "wsd",
};

static bool choose(const settings *s, wk_train_args *a)
{
    const char *optimizer = s->optimizer ? s->optimizer : "adamw";
    const char *schedule = s->schedule ? s->schedule : "cosine";
    bool        known = false;
    for (size_t i = 0; i < sizeof optimizers / sizeof *optimizers; i++)
        if (!strcmp(optimizer, optimizers[i].name))
            a->optim = optimizers[i].make;
    for (int i = 0; i < (int)(sizeof schedules / sizeof *schedules); i++)
        if (schedules[i] && !strcmp(schedule, schedules[i])) {
            a->schedule.kind = i;
            known = true;
        }
    if (wk_ok() && !a->optim)
        wk_fail(WK_ERR_ARGUMENT, "there is no optimizer %s: adamw, adam, sgd, lion", optimizer);
    if (wk_ok() && !known)
        wk_fail(WK_ERR_ARGUMENT, "there is no schedule %s: constant, linear, cosine, wsd",
                schedule);
    a->schedule.steps = a->steps;
    a->schedule.warmup = given(s, "warmup") ? s->warmup : a->steps / 50;
    a->schedule.floor = 0.1;
    return wk_ok();
}

/* The tokens of a text are kept beside the result. */
static wk_examples *open_examples(const settings *s, wk_model *m, const char *const *files,
                                  const char *cache)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", s->output, cache);
    mkdir(s->output, 0777); /* where it fails, writing the tokens says so */
    return wk_examples_open(m, files, .context = s->context, .stride = s->stride, .cache = path);
}

static void train(const settings *s, wk_model *m, wk_lora *lora, const char *const *files,
                  const char *checkpoint, double lr)
{
    const char   *validation[] = { s->validation, NULL };
    wk_examples  *examples = open_examples(s, m, files, "tokens.bin");
    wk_examples  *held = s->validation ? open_examples(s, m, validation, "validation.bin") : NULL;
    wk_train_args a = { .model = m,
                        .lora = lora,
                        .examples = examples,
                        .validation = held,
                        .held_out =
                            given(s, "held-out") && s->held_out == 0 ? WK_NONE : s->held_out,
                        .folder = s->output,
                        .resume = checkpoint,
                        .batch = s->batch ? s->batch : 8,
                        .accumulate = s->accumulate ? s->accumulate : 1,
                        .clip = given(s, "clip") && s->clip == 0 ? WK_NONE : s->clip,
                        .dropout = s->dropout,
                        .recompute = s->recompute,
                        .seed = (uint64_t)s->seed,
                        .validate_every = s->validate_every,
                        .save_every = s->save_every,
                        .keep = s->keep,
                        .on_step = show,
                        .user = (void *)s };
    double        share = s->validation ? 1 : 1 - (given(s, "held-out") ? s->held_out : 0.05);
    double        rows = (double)wk_examples_count(examples) * share;
    double        epochs = s->epochs > 0 ? s->epochs : 1;
    a.steps =
        s->steps > 0 ? s->steps : (int64_t)ceil(epochs * rows / (double)(a.batch * a.accumulate));
    a.optim_args.lr = s->lr > 0 ? s->lr : lr;
    a.optim_args.decay = given(s, "decay") && s->decay == 0 ? WK_NONE : s->decay;
    if (choose(s, &a))
        wk_train_with(&a);
    wk_examples_free(held);
    wk_examples_free(examples);
}

static void say_parameters(const settings *s, const wk_model *m, wk_lora *lora)
{
    int64_t count = lora ? wk_store_elements(wk_lora_store(lora)) : wk_model_describe(m).parameters;
    if (m && !s->quiet)
        fprintf(stderr, "wick: %lld parameters of %s %s learn\n", (long long)count,
                wk_dtype_name(wk_model_describe(m).dtype), lora ? "an adapter" : "a model");
}

/* All of a file, free() it. */
static char *read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    char *text = f ? calloc(1, MOST_CONFIG + 1) : NULL;
    if (!text || fread(text, 1, MOST_CONFIG, f) == 0)
        wk_fail(WK_ERR_IO, "%s: cannot be read", path);
    if (f)
        fclose(f);
    return text;
}

/* ---- wick train ---------------------------------------------------------- */

static int64_t or (int64_t x, int64_t otherwise) { return x > 0 ? x : otherwise; }

static const struct {
    const char *type, *class;
} types[] = { { "llama", "LlamaForCausalLM" },
              { "mistral", "MistralForCausalLM" },
              { "qwen2", "Qwen2ForCausalLM" },
              { "qwen3", "Qwen3ForCausalLM" } };

/* The text of a config.json for what the options say. */
static bool write_config(const settings *s, const wk_tokenizer *t, char *out, size_t room)
{
    const char *type = s->type ? s->type : "llama", *class = NULL;
    int64_t     width = or (s->width, 256), heads = or (s->heads, width / 64 > 4 ? width / 64 : 4);
    int64_t     end = wk_tokenizer_find(t, "<|endoftext|>");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(type, types[i].type))
            class = types[i].class;
    if (wk_ok() && !class)
        wk_fail(WK_ERR_ARGUMENT, "there is no type %s: llama, mistral, qwen2, qwen3", type);
    if (!wk_ok())
        return false;
    const struct {
        const char *key;
        int64_t     value;
    } number[] = {
        { "vocab_size", wk_tokenizer_size(t) },
        { "hidden_size", width },
        { "intermediate_size", or (s->ffn, (width * 8 / 3 + 31) / 32 * 32) },
        { "num_hidden_layers", or (s->layers, 6) },
        { "num_attention_heads", heads },
        { "num_key_value_heads", or (s->kv_heads, heads / 2) },
        { "head_dim", width / heads },
        { "max_position_embeddings", or (s->context, 512) },
        { "bos_token_id", end },
        { "eos_token_id", end },
    };
    int n = snprintf(out, room, "{\n  \"architectures\": [\"%s\"],\n  \"model_type\": \"%s\",\n",
                     class, type);
    for (size_t i = 0; i < sizeof number / sizeof *number; i++)
        n += snprintf(out + n, room - (size_t)n, "  \"%s\": %lld,\n", number[i].key,
                      (long long)number[i].value);
    snprintf(out + n, room - (size_t)n,
             "  \"hidden_act\": \"silu\",\n  \"rms_norm_eps\": 1e-05,\n"
             "  \"rope_theta\": 10000.0,\n  \"sliding_window\": null,\n"
             "  \"tie_word_embeddings\": %s,\n  \"torch_dtype\": \"%s\"\n}\n",
             s->untied ? "false" : "true",
             s->dtype && !strcmp(s->dtype, "bf16") ? "bfloat16" : "float32");
    return true;
}

static wk_model *make_model(const settings *s)
{
    char          config[2048], *text = NULL;
    const char   *folder = s->tokenizer ? s->tokenizer : s->output;
    wk_tokenizer *t = NULL;
    if (!s->tokenizer)
        wk_tokenizer_train((const char *const *)s->place, .folder = s->output,
                           .vocab = (int32_t) or (s->vocab, 4096));
    if (s->config)
        text = read_file(s->config);
    else if ((t = wk_tokenizer_open(folder)))
        write_config(s, t, config, sizeof config);
    wk_tokenizer_free(t);
    wk_seed((uint64_t)s->seed);
    wk_model *m = wk_model_open(folder, .config = text ? text : config, .dtype = dtype_of(s),
                                .lenient = s->lenient, .train = true);
    free(text);
    if (m && wk_tokenizer_size(wk_model_tokenizer(m)) > wk_model_describe(m).vocab)
        wk_fail(WK_ERR_ARGUMENT, "the tokenizer has %d tokens, and the model a vocab_size of %lld",
                (int)wk_tokenizer_size(wk_model_tokenizer(m)),
                (long long)wk_model_describe(m).vocab);
    return m;
}

int train_verb(settings *s)
{
    if (!s->places || !s->output)
        return usage("train: files of text, and -o FOLDER for the model");
    char     *checkpoint = s->resume ? wk_train_latest(s->output) : NULL;
    wk_model *m = checkpoint ? wk_model_open(checkpoint, .train = true, .lenient = s->lenient)
                             : make_model(s);
    if (wk_ok())
        say_parameters(s, m, NULL);
    if (wk_ok())
        train(s, m, NULL, s->place, checkpoint, 1e-3);
    wk_model_free(m);
    free(checkpoint);
    return finish();
}

/* ---- wick finetune ------------------------------------------------------- */

int finetune_verb(settings *s)
{
    if (s->places < 2 || !s->output)
        return usage("finetune: a model, files of text or lines of JSON, and -o FOLDER");
    bool        adapter = s->rank > 0;
    char       *checkpoint = s->resume ? wk_train_latest(s->output) : NULL;
    const char *path = checkpoint && !adapter ? checkpoint : s->place[0];
    wk_model   *m = wk_model_open(path, .dtype = dtype_of(s), .lenient = s->lenient, .train = true);
    wk_lora    *lora = NULL;
    wk_seed((uint64_t)s->seed);
    if (m && adapter)
        lora = checkpoint
                   ? wk_lora_open(m, checkpoint)
                   : wk_lora_new(m, .rank = s->rank, .alpha = s->alpha, .targets = s->targets);
    if (wk_ok())
        say_parameters(s, m, lora);
    if (wk_ok())
        train(s, m, lora, s->place + 1, checkpoint, adapter ? 2e-4 : 2e-5);
    if (wk_ok() && s->merge && wk_lora_merge(lora))
        wk_model_save(m, s->output);
    wk_lora_free(lora);
    wk_model_free(m);
    free(checkpoint);
    return finish();
}
