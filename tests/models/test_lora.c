// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_lora.c - adapters against what peft computed with its own (tests/golden/make_lora.py):
 * applied, merged, taken off again; trained; saved; damaged. */
#include "test.h"

#include "../src/base/base.h"

#include <wick/wick.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char base[] = "tests/golden/models/llama";

/* The greatest difference, over the greatest value. */
static double apart(wk_tensor *a, wk_tensor *b)
{
    return wk_item(wk_max(wk_abs(wk_sub(a, b)))) / wk_item(wk_max(wk_abs(b)));
}

static bool same_bits(wk_tensor *a, wk_tensor *b)
{
    return wk_item(wk_sum(wk_cast(wk_ne(a, b), WK_F32))) == 0;
}

static wk_tensor *golden(const char *folder, const char *name)
{
    char path[300];
    snprintf(path, sizeof path, "%s/golden.safetensors", folder);
    wk_archive *a = wk_archive_open(path);
    wk_tensor  *x = wk_archive_get(a, name);
    wk_archive_free(a);
    return x;
}

/* The first row's logits by way of a session: [t, vocab] */
static wk_tensor *cached(wk_model *m, wk_tensor *ids)
{
    int32_t     token[64];
    int64_t     t = wk_dim(ids, 1);
    wk_session *s = wk_session_new(m);
    for (int64_t i = 0; i < t; i++)
        token[i] = (int32_t)wk_item(wk_narrow(wk_narrow(ids, 0, 0, 1), 1, i, 1));
    wk_tensor *logits = wk_session_all_logits(s, token, t);
    wk_session_free(s);
    return logits;
}

static void compare(const char *folder, wk_dtype dtype, bool train)
{
    /* in bf16 what rounding costs peft */
    double     bound = dtype == WK_F32 ? 1e-5 : 1.2 * wk_item(golden(folder, "rounded"));
    wk_model  *m = wk_model_open(base, .dtype = dtype, .train = train);
    wk_tensor *ids = golden(folder, "ids"), *want = golden(folder, "logits");
    wk_tensor *plain = wk_model_logits(m, ids);
    wk_lora   *l = wk_lora_open(m, folder);
    wk_tensor *got = wk_model_logits(m, ids);
    CHECK_MSG(wk_ok(), "%s", wk_message());
    CHECK(apart(plain, want) > 0.01);
    CHECK_MSG(apart(got, want) < bound, "%s: %g", folder, apart(got, want));
    wk_tensor *first = wk_reshape(wk_narrow(want, 0, 0, 1), wk_dim(want, 1), -1);
    CHECK(apart(cached(m, ids), first) < bound);
    CHECK(wk_lora_merge(l) && wk_lora_merge(l)); /* the second time there is nothing to do */
    CHECK_MSG(apart(wk_model_logits(m, ids), want) < bound, "%s: merged, %g", folder,
              apart(wk_model_logits(m, ids), want));
    CHECK(apart(cached(m, ids), first) < bound);
    CHECK(wk_lora_unmerge(l));
    CHECK(same_bits(wk_model_logits(m, ids), got));
    wk_lora_merge(l);
    wk_lora_unmerge(l);
    wk_lora_free(l);
    CHECK(apart(wk_model_logits(m, ids), plain) < 1e-6); /* the kernels may be others now */
    wk_model_free(m);
}

TEST(adapters_of_peft)
{
    static const char *const folders[] = { "tests/golden/lora/some", "tests/golden/lora/all" };
    for (int i = 0; i < 2; i++) {
        wk_scope scope = wk_mark();
        compare(folders[i], WK_F32, false);
        compare(folders[i], WK_F32, true);
        compare(folders[i], WK_BF16, false); /* packed */
        wk_sweep(scope);
    }
}

static wk_tensor *loss_of(wk_model *m, wk_tensor *ids)
{
    int64_t t = wk_dim(ids, 1);
    return wk_cross_entropy(wk_model_logits(m, wk_narrow(ids, 1, 0, t - 1)),
                            wk_narrow(ids, 1, 1, t - 1));
}

TEST(an_adapter_learns_and_the_model_does_not)
{
    char       path[1024];
    wk_scope   scope = wk_mark();
    wk_model  *m = wk_model_open(base, .train = true);
    wk_tensor *ids = golden("tests/golden/lora/some", "ids");
    wk_tensor *plain = wk_model_logits(m, ids), *weight = NULL;
    wk_lora   *l = wk_lora_new(m, .rank = 4, .targets = "q_proj,mlp.down_proj");
    weight = wk_copy(wk_store_find(wk_model_store(m), "model.layers.1.mlp.down_proj.weight"));
    CHECK(same_bits(wk_model_logits(m, ids), plain)); /* B is zero */
    CHECK_INT(wk_store_count(wk_lora_store(l)), 2 * 2 * 2);
    CHECK(wk_store_find(wk_lora_store(l),
                        "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"));
    wk_optim *o = wk_adamw_new(wk_lora_store(l), .lr = 1e-2);
    double    begin = wk_item(loss_of(m, ids)), end = 0;
    for (int i = 0; i < 30; i++) {
        wk_scope   inner = wk_mark();
        wk_tensor *loss = loss_of(m, ids);
        wk_backward(loss);
        wk_step(o);
        end = wk_item(loss);
        wk_sweep(inner);
    }
    CHECK_MSG(end < 0.7 * begin, "%g, %g", begin, end);
    CHECK(!wk_grad(wk_store_find(wk_model_store(m), "model.layers.1.mlp.down_proj.weight")));
    CHECK(
        same_bits(wk_store_find(wk_model_store(m), "model.layers.1.mlp.down_proj.weight"), weight));
    wk_tensor *learned = wk_model_logits(m, ids);
    CHECK(wk_lora_save(l, test_temporary("adapter", path)));
    wk_optim_free(o);
    wk_lora_free(l);
    CHECK((l = wk_lora_open(m, path)) != NULL);
    CHECK(same_bits(wk_model_logits(m, ids), learned));
    wk_lora_free(l);
    wk_model_free(m);
    wk_sweep(scope);
}

/* The configuration of "some" with one piece of text for another. */
static const char *altered(const char *from, const char *to, char folder[1024])
{
    char     config[4096] = "", path[1200];
    wk_file *f = wk_file_open("tests/golden/lora/some/adapter_config.json");
    wk_file *w = wk_file_open("tests/golden/lora/some/adapter_model.safetensors");
    memcpy(config, f->data, f->size);
    char *at = strstr(config, from);
    CHECK_MSG(at && strlen(from) == strlen(to), "%s", from);
    if (at)
        memcpy(at, to, strlen(to));
    wk_make_folder(test_temporary("altered", folder));
    snprintf(path, sizeof path, "%s/adapter_config.json", folder);
    wk_write_file(path, config, strlen(config));
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", folder);
    wk_write_file(path, w->data, w->size);
    wk_file_release(f);
    wk_file_release(w);
    return folder;
}

TEST(adapters_that_do_not_fit)
{
    char      folder[1024];
    wk_model *m = wk_model_open(base, .train = true);
    CHECK(!wk_lora_open(m, altered("\"r\": 3", "\"r\": 5", folder)));
    CHECK_ERROR("lora_A.weight");
    CHECK(!wk_lora_open(m, altered("\"use_dora\": false", "\"use_dora\": true ", folder)));
    CHECK_ERROR("use_dora is not understood");
    CHECK(!wk_lora_open(m, altered("\"LORA\"", "\"IA3-\"", folder)));
    CHECK_ERROR("an adapter of type IA3-");
    CHECK(!wk_lora_open(m, "tests/golden/lora"));
    CHECK_ERROR("adapter_config.json");
    CHECK(!wk_lora_new(m, .targets = "nothing_proj"));
    CHECK_ERROR("no linear layer is called nothing_proj");
    CHECK(!wk_lora_new(m, .rank = -1));
    CHECK_ERROR("a rank of -1");
    CHECK(!wk_lora_new(NULL));
    CHECK_ERROR("no model");
    wk_lora *l = wk_lora_new(m);
    CHECK(!wk_lora_new(m));
    CHECK_ERROR("has an adapter already");
    wk_lora_free(l);
    wk_model_free(m);
    m = wk_model_open("tests/golden/models/llama_head_dim"); /* o_proj has other sizes */
    CHECK(!wk_lora_open(m, "tests/golden/lora/all"));
    CHECK_ERROR("lora_");
    wk_model_free(m);
}
