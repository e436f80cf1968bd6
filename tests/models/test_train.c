// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_train.c - what is learned from which lines and windows; the loop: it learns, equal
 * batches make equal steps, and a run that was stopped ends as one that was not. */
#include "test.h"

#include "../src/base/base.h"
#include "../src/core/core.h"
#include "../src/models/models.h"

#include <wick/wick.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char config[] =
    "{\"model_type\": \"qwen3\", \"hidden_size\": 32, \"num_hidden_layers\": 2, \"head_dim\": 8,"
    "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"intermediate_size\": 48,"
    "\"vocab_size\": 300, \"max_position_embeddings\": 128, \"tie_word_embeddings\": true,"
    "\"eos_token_id\": 0, \"rms_norm_eps\": 1e-6}";

static char folder[1024], text[1200], lines[1200];

/* A tokenizer, a text of two documents, and lines of JSON. */
static wk_model *prepare(void)
{
    wk_buf b = { 0 };
    test_temporary("train", folder);
    wk_make_folder(folder);
    snprintf(text, sizeof text, "%s/text.txt", folder);
    snprintf(lines, sizeof lines, "%s/lines.jsonl", folder);
    for (int i = 0; i < 60; i++)
        wk_buf_printf(&b, "%s %d and %d make %d.\n", i == 30 ? "<|endoftext|>" : "So", i, i + 1,
                      2 * i + 1);
    wk_write_file(text, b.data, b.size);
    wk_buf_free(&b);
    static const char json[] =
        "{\"messages\": [{\"role\": \"system\", \"content\": \"Be short.\"},"
        " {\"content\": \"2 and 3?\", \"role\": \"user\"},"
        " {\"role\": \"assistant\", \"content\": \"5\"}, {\"role\": \"user\", \"content\": \"4?\"},"
        " {\"role\": \"assistant\", \"content\": \"4.\"}], \"id\": [1, {\"a\": 2}]}\n"
        "   \r\n"
        "{\"prompt\": \"1 and 1 \", \"completion\": \"make 2.\"}\r\n"
        "{\"text\": \"So it is.\"}";
    wk_write_file(lines, json, sizeof json - 1);
    wk_tokenizer_train((const char *[]){ text, NULL }, folder, .vocab = 300,
                       .specials =
                           (const char *[]){ "<|endoftext|>", "<|im_start|>", "<|im_end|>", NULL });
    return wk_model_open(folder, .config = config, .train = true);
}

/* The text of the ids of row i, or of its targets with "_" for what is not learned. */
static char *shown(wk_model *m, const wk_examples *e, int64_t i, bool targets)
{
    wk_tensor *out[2];
    wk_tokens  ids = { 0 };
    wk_scope   scope = wk_mark();
    if (wk_examples_get(e, &i, 1, out))
        for (int64_t k = 0; k < wk_count(out[0]); k++) {
            int32_t id = (int32_t)wk_item(wk_narrow(out[targets], 1, k, 1));
            wk_tokens_add(&ids, id < 0 ? wk_tokenizer_find(wk_model_tokenizer(m), "_") : id);
        }
    char *s = wk_decode(wk_model_tokenizer(m), ids.id, ids.count, true);
    wk_tokens_free(&ids);
    wk_sweep(scope);
    return s;
}

static void check_row(wk_model *m, const wk_examples *e, int64_t i, const char *ids,
                      const char *targets)
{
    char *a = shown(m, e, i, false), *b = shown(m, e, i, true);
    CHECK_STR(a, ids);
    char *to = b; /* a run of _ becomes one */
    for (char *p = b; p && *p; p++)
        if (*p != '_' || to == b || to[-1] != '_')
            *to++ = *p;
    if (b)
        *to = 0;
    CHECK_STR(b, targets);
    free(a);
    free(b);
}

TEST(what_is_learned_of_a_line)
{
    wk_model    *m = prepare();
    wk_examples *e = wk_examples_open(m, (const char *[]){ lines, NULL }, .context = 120);
    CHECK_INT(wk_examples_count(e), 3);
    check_row(m, e, 0,
              "<|endoftext|><|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user\n2 and 3?"
              "<|im_end|>\n<|im_start|>assistant\n5<|im_end|>\n<|im_start|>user\n4?<|im_end|>\n"
              "<|im_start|>assistant\n4.<|im_end|>",
              "_5<|im_end|>\n_4.<|im_end|>\n");
    check_row(m, e, 1, "<|endoftext|>1 and 1 make 2.", "_make 2.<|endoftext|>");
    check_row(m, e, 2, "<|endoftext|>So it is.", "So it is.<|endoftext|>");
    wk_tensor *out[2];
    wk_scope   scope = wk_mark();
    CHECK(wk_examples_get(e, (const int64_t[]){ 2, 0 }, 2, out)); /* the shorter one is filled up */
    CHECK_INT(wk_dim(out[0], 0), 2);
    CHECK_INT((int64_t)wk_item(wk_narrow(wk_narrow(out[1], 0, 0, 1), 1, -1 + wk_dim(out[1], 1), 1)),
              -100);
    CHECK(!wk_examples_get(e, (const int64_t[]){ 3 }, 1, out));
    CHECK_ERROR("no row 3");
    wk_sweep(scope);
    wk_examples_free(e);
    e = wk_examples_open(m, (const char *[]){ lines, NULL }, .context = 8); /* cut: two are left */
    CHECK_INT(wk_examples_count(e), 2);
    wk_examples_free(e);
    wk_model_free(m);
}

TEST(windows_of_a_text)
{
    wk_model           *m = prepare();
    const wk_tokenizer *t = wk_model_tokenizer(m);
    wk_tokens           all = { 0 };
    wk_file            *f = wk_file_open(text);
    wk_encode(&all, t, f->data, f->size, .no_special = true);
    wk_tokens_add(&all, 0);
    wk_examples *e =
        wk_examples_open(m, (const char *[]){ text, NULL }, .context = 16, .stride = 5);
    CHECK_INT(wk_examples_count(e), ((int64_t)all.count - 17) / 5 + 1);
    for (int64_t i = 0; i < wk_examples_count(e); i++) {
        wk_scope   scope = wk_mark();
        wk_tensor *out[2];
        CHECK(wk_examples_get(e, &i, 1, out));
        for (int64_t k = 0; k < 16; k++) {
            CHECK_INT((int64_t)wk_item(wk_narrow(out[0], 1, k, 1)), all.id[i * 5 + k]);
            CHECK_INT((int64_t)wk_item(wk_narrow(out[1], 1, k, 1)), all.id[i * 5 + k + 1]);
        }
        wk_sweep(scope);
    }
    wk_examples_free(e);
    wk_tokens_free(&all);
    wk_file_release(f);
    wk_model_free(m);
}

static void damaged(wk_model *m, const char *json, const char *error)
{
    wk_write_file(lines, json, strlen(json));
    CHECK(!wk_examples_open(m, (const char *[]){ lines, NULL }));
    CHECK_ERROR(error);
}

TEST(examples_that_are_none)
{
    wk_model *m = prepare();
    CHECK(!wk_examples_open(m, (const char *[]){ lines, text, NULL }));
    CHECK_ERROR("do not go together");
    CHECK(!wk_examples_open(m, (const char *[]){ text, NULL }, .context = 200));
    CHECK_ERROR("examples of 200 tokens for a model of 128");
    CHECK(!wk_examples_open(m, (const char *[]){ NULL }));
    CHECK_ERROR("no files");
    damaged(m, "{\"text\": \"a b c\"}\n{\"text\": \"a}\n", "line 2");
    damaged(m, "{\"text\": 5}\n", "line 1");
    damaged(m, "{\"name\": \"x\"}\n", "no \"messages\"");
    damaged(m, "{\"messages\": [{\"role\": \"king\", \"content\": \"x\"}]}", "role \"king\"");
    damaged(m, "[]", "line 1");
    damaged(m, "\n\n", "not one example");
    wk_model_free(m);
}

/* ---- The loop ------------------------------------------------------------ */

static bool stop_at(const wk_train_state *s, void *user) { return s->step != *(int64_t *)user; }

typedef struct {
    wk_dtype    dtype;
    int64_t     stop, batch, accumulate; /* stop: 0 is never */
    bool        lora;
    const char *name;
    double      dropout;
    bool        recompute;
} plan;

static char *file_of(const plan *p, const char *name, size_t *size)
{
    char path[2400];
    snprintf(path, sizeof path, "%s/%s/%s", folder, p->name, name);
    wk_file *f = wk_file_open(path);
    char    *data = f ? malloc(f->size + 1) : NULL;
    if (data) {
        memcpy(data, f->data, f->size);
        data[ *size = f->size] = 0;
    }
    wk_file_release(f);
    return data;
}

/* Train, going on from what an earlier call left behind. */
static bool train(const plan *p)
{
    char out[1200];
    snprintf(out, sizeof out, "%s/%s", folder, p->name);
    char *latest = wk_train_latest(out);
    bool  again = latest && !p->lora;
    wk_seed(5);
    wk_model    *m = wk_model_open(again ? latest : folder, .config = again ? NULL : config,
                                .dtype = p->dtype, .train = true);
    wk_lora     *l = !p->lora ? NULL : latest ? wk_lora_open(m, latest) : wk_lora_new(m, .rank = 2);
    wk_examples *e =
        wk_examples_open(m, (const char *[]){ text, NULL }, .context = 16, .stride = 4);
    wk_train(m, l, e, .folder = out, .resume = latest, .steps = 12, .batch = p->batch,
             .accumulate = p->accumulate, .optim_args.lr = 1e-2, .validate_every = 3,
             .save_every = 5, .seed = 3, .dropout = p->dropout, .recompute = p->recompute,
             .on_step = stop_at, .user = (void *)&p->stop);
    wk_examples_free(e);
    wk_lora_free(l);
    wk_model_free(m);
    free(latest);
    return wk_ok();
}

static void check_same(const plan *a, const plan *b, const char *name)
{
    size_t n = 0, k = 0;
    char  *x = file_of(a, name, &n), *y = file_of(b, name, &k);
    CHECK_MSG(x && y && n == k && !memcmp(x, y, n), "%s of %s is not that of %s", name, b->name,
              a->name);
    free(x);
    free(y);
}

static void remove_all(const char *name)
{
    char command[1300];
    snprintf(command, sizeof command, "rm -rf '%s/%s'", folder, name);
    CHECK(system(command) == 0);
}

TEST(a_run_that_was_stopped_ends_as_one_that_was_not)
{
    static const struct {
        wk_dtype dtype;
        bool     lora;
    } kinds[] = { { WK_F32, false }, { WK_BF16, false }, { WK_F32, true } };
    for (int k = 0; k < 3; k++) {
        wk_model_free(prepare());
        remove_all("whole"), remove_all("pieces");
        plan whole = { kinds[k].dtype, 0, 4, 2, kinds[k].lora, "whole", 0.1, false },
             pieces = whole;
        pieces.name = "pieces";
        CHECK_MSG(train(&whole), "%s", wk_message());
        for (int i = 0; i < 3; i++) {
            static const int64_t stops[] = { 1, 7, 0 };
            pieces.stop = stops[i];
            CHECK_MSG(train(&pieces), "%s", wk_message());
        }
        check_same(&whole, &pieces, whole.lora ? "adapter_model.safetensors" : "model.safetensors");
        check_same(&whole, &pieces, "log.jsonl");
        check_same(&whole, &pieces, "checkpoint-12/optimizer.safetensors");
        size_t size;
        char  *log = file_of(&whole, "log.jsonl", &size), *last = strstr(log, "\"step\": 12");
        CHECK(last && strstr(last, "\"validation\": "));
        CHECK(atof(strstr(log, "\"loss\": ") + 8) > 5.5); /* ln 300 */
        CHECK(whole.lora || atof(strstr(last, "\"loss\": ") + 8) < 4.5);
        free(log);
    }
}

TEST(accumulated_batches_are_one_larger_batch)
{
    wk_model_free(prepare());
    remove_all("one"), remove_all("four");
    plan one = { WK_F32, 0, 8, 1, false, "one", 0, false },
         four = { WK_F32, 0, 2, 4, false, "four", 0, false };
    CHECK(train(&one) && train(&four));
    size_t size;
    char  *a = file_of(&one, "log.jsonl", &size), *b = file_of(&four, "log.jsonl", &size);
    double x = atof(strstr(strstr(a, "\"step\": 3,"), "\"loss\": ") + 8);
    double y = atof(strstr(strstr(b, "\"step\": 3,"), "\"loss\": ") + 8);
    CHECK_NEAR(x, y, 1e-4 * x);
    free(a);
    free(b);
}

/* Bytes in use when all of a forward pass is done that a gradient needs. */
static size_t kept_for_gradient(wk_model *m, wk_tensor *ids, bool recompute, wk_tensor **grad)
{
    wk_scope   scope = wk_mark();
    wk_tensor *w = wk_store_at(wk_model_store(m), 1);
    size_t     before = wk_device_used(wk_cpu_device());
    wk_tensor *loss = wk_sum(wk_decoder_logits(wk_model_decoder(m), ids, 0, recompute));
    size_t     kept = wk_device_used(wk_cpu_device()) - before;
    wk_backward(loss);
    *grad = wk_keep(wk_grad(w));
    for (int i = 0; i < wk_store_count(wk_model_store(m)); i++)
        wk_set_grad(wk_store_at(wk_model_store(m), i), NULL);
    wk_sweep(scope);
    return kept;
}

TEST(layers_computed_again_take_less_memory)
{
    wk_seed(3);
    wk_model  *m = wk_model_open(.config = config, .train = true);
    wk_tensor *ids = wk_randint_of(WK_SHAPE(2, 128), 0, 300), *a, *b;
    size_t     whole = kept_for_gradient(m, ids, false, &a);
    size_t     again = kept_for_gradient(m, ids, true, &b);
    size_t     logits = 2 * 128 * 300 * 4, state = 2 * 128 * 32 * 4;
    CHECK_MSG(again < 2 * logits + 8 * state, "%zu", again);
    CHECK_MSG(whole > again + 2 * 14 * state, "%zu and %zu", whole, again);
    CHECK(wk_item(wk_max(wk_abs(wk_sub(a, b)))) <= 1e-5 * wk_item(wk_max(wk_abs(a))));
    wk_drop(a), wk_drop(b);
    wk_sweep(0);
    wk_model_free(m);
    wk_model_free(prepare());
    remove_all("one"), remove_all("four");
    plan one = { WK_F32, 0, 4, 1, false, "one", 0.1, false }, two = one;
    two.name = "four", two.recompute = true;
    CHECK(train(&one) && train(&two));
    check_same(&one, &two, "log.jsonl");
    check_same(&one, &two, "model.safetensors");
}

TEST(runs_that_cannot_be)
{
    wk_model_free(prepare());
    remove_all("one");
    plan one = { WK_F32, 7, 4, 1, false, "one", 0, false }, other = one;
    CHECK(train(&one));
    other.batch = 2;
    CHECK(!train(&other));
    CHECK_ERROR("this run had batch 4, not 2");
    wk_model    *m = wk_model_open(folder, .config = config, .train = true);
    wk_examples *e = wk_examples_open(m, (const char *[]){ text, NULL }, .context = 16);
    char         out[1200];
    snprintf(out, sizeof out, "%s/one", folder);
    CHECK(!wk_train(m, NULL, e, .folder = out, .steps = 5));
    CHECK_ERROR("has checkpoints of an earlier run");
    CHECK(!wk_train(m, NULL, NULL, .folder = out, .steps = 5));
    CHECK_ERROR("examples are missing");
    CHECK(!wk_train(m, NULL, e, .folder = out));
    CHECK_ERROR("0 steps");
    CHECK(wk_train_latest(folder) == NULL && wk_ok());
    wk_interrupt();
    remove_all("one");
    CHECK(!wk_train(m, NULL, e, .folder = out, .steps = 5));
    wk_resume();
    CHECK_ERROR("interrupted at step 1 of 5; checkpoint-1 is saved");
    char *latest = wk_train_latest(out);
    CHECK(latest && strstr(latest, "checkpoint-1"));
    free(latest);
    wk_examples_free(e);
    wk_model_free(m);
}
