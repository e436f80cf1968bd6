// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_fault.c - whatever the library does, each of its allocations is made to fail.
 *
 * A scenario runs from nothing to a number, again and again, and in each round another
 * allocation fails: that is an error or goes unnoticed, leaks nothing, and right after it
 * the scenario gives the same number as ever.  Long scenarios are sampled; all their
 * allocations fail with WICK_FAULTS=all. */
#include "test.h"

#include "../src/base/base.h"

#include <wick/wick.h>

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SAMPLES = 150 };

static bool try_all(void)
{
    const char *wish = getenv("WICK_FAULTS");
    return wish && !strcmp(wish, "all");
}

typedef double (*scenario_fn)(void);

/* One run between two counts of what is alive. */
static double run_clean(const char *name, scenario_fn scenario, long fail_after, long *left)
{
    wk_scope scope = wk_mark();
    wk_device_trim(wk_default_device());
    wk_scratch_free();
    long   before = wk_live_allocs();
    size_t alive = wk_live_tensors();
    wk_seed(1);
    wk_fail_alloc_after(fail_after);
    double x = scenario();
    *left = wk_fail_alloc_after(-1);
    CHECK_MSG(wk_ok() || wk_error() == WK_ERR_MEMORY, "%s: allocation %ld", name, fail_after);
    bool good = wk_ok();
    wk_clear();
    wk_sweep(scope);
    wk_device_trim(wk_default_device());
    wk_scratch_free();
    CHECK_MSG(wk_live_allocs() == before, "%s: %ld blocks are lost after allocation %ld", name,
              wk_live_allocs() - before, fail_after);
    CHECK_MSG(wk_live_tensors() == alive, "%s: %zu tensors are alive after allocation %ld", name,
              wk_live_tensors() - alive, fail_after);
    return good ? x : NAN;
}

static void sweep(const char *name, scenario_fn scenario)
{
    int  threads = wk_threads();
    long left, total, failed = 0;
    wk_set_threads(1); /* the count must be the same each time */
    scenario();        /* makes what is made once */
    wk_sweep(0);
    double want = run_clean(name, scenario, LONG_MAX, &left);
    total = LONG_MAX - left;
    CHECK_MSG(want == want && total > 0, "%s: %ld allocations, result %g", name, total, want);
    long step = try_all() || total <= SAMPLES ? 1 : (total + SAMPLES - 1) / SAMPLES;
    for (long n = 0; n < total; n += step) {
        double x = run_clean(name, scenario, n, &left);
        CHECK_MSG(left < 0, "%s: allocation %ld of %ld was not reached", name, n, total);
        CHECK_MSG(x != x || x == want, "%s: allocation %ld: %g is not %g", name, n, x, want);
        failed += x != x;
        x = run_clean(name, scenario, LONG_MAX, &left);
        CHECK_MSG(x == want, "%s: %g, not %g, after allocation %ld failed", name, x, want, n);
    }
    CHECK_MSG(failed > 0, "%s: no failure was noticed", name);
    wk_set_threads(threads);
}

/* ---- A model folder ----------------------------------------------------- */

static char folder[1024];

static void copy_into_folder(const char *from, const char *name)
{
    char     to[1200];
    wk_file *f = wk_file_open(from);
    snprintf(to, sizeof to, "%s/%s", folder, name);
    CHECK(f && wk_write_file(to, f->data, f->size));
    wk_file_release(f);
}

static void make_folder(void)
{
    static const char generation[] = "{\"do_sample\": true, \"temperature\": 0.8, \"top_k\": 20,"
                                     "\"repetition_penalty\": 1.1, \"eos_token_id\": [2, 3]}";
    char              path[1200];
    test_temporary("model", folder);
    mkdir(folder, 0777);
    copy_into_folder("tests/golden/models/llama/config.json", "config.json");
    copy_into_folder("tests/golden/models/llama/model.safetensors", "model.safetensors");
    copy_into_folder("tests/golden/models/tokenizer.json", "tokenizer.json");
    snprintf(path, sizeof path, "%s/generation_config.json", folder);
    CHECK(wk_write_file(path, generation, sizeof generation - 1));
}

static double checksum(wk_tensor *x) { return wk_item(wk_sum(wk_abs(wk_cast(x, WK_F64)))); }

/* ---- Opening, generating ------------------------------------------------ */

static double open_model(void)
{
    wk_model     *m = wk_model_open(folder);
    wk_model_info info = wk_model_describe(m);
    wk_model_free(m);
    return (double)info.parameters;
}

static double open_as_bf16(void)
{
    wk_model     *m = wk_model_open(folder, .dtype = WK_BF16);
    wk_model_info info = wk_model_describe(m);
    wk_model_free(m);
    return (double)info.bytes;
}

static bool add_text(const char *text, void *user)
{
    for (double *sum = user; *text; text++)
        *sum = *sum * 31 + *text;
    return true;
}

static double generate(void)
{
    double    sum = 0;
    wk_model *m = wk_model_open(folder);
    wk_generate(m, "ab", .max_tokens = 5, .on_text = add_text, .user = &sum, .ignore_end = true,
                .sampling = { .temperature = 1, .top_p = 0.9, .repeat_penalty = 1.1, .seed = 3 },
                .stop = (const char *[]){ "zzzz", NULL });
    wk_model_free(m);
    return sum;
}

static double guess(void)
{
    double    sum = 0;
    wk_model *m = wk_model_open(folder), *draft = wk_model_open(folder);
    wk_generate(m, "abab", .max_tokens = 7, .on_text = add_text, .user = &sum, .ignore_end = true,
                .lookup = true, .draft = draft, .sampling = { .temperature = 1, .seed = 3 });
    wk_model_free(draft);
    wk_model_free(m);
    return sum;
}

TEST(allocations_of_opening_a_model)
{
    make_folder();
    sweep("open", open_model);
    sweep("open as bf16", open_as_bf16);
}

TEST(allocations_of_generating)
{
    make_folder();
    sweep("generate", generate);
    sweep("guess", guess);
}

/* ---- Sessions ----------------------------------------------------------- */

static wk_model *shared; /* opened outside of the sweep */

static double batch(void)
{
    int32_t         tokens[] = { 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
    wk_session     *a = wk_session_new(shared), *b = wk_session_new(shared, .chunk = 3);
    wk_session_step steps[] = { { a, tokens + 2, 3 }, { b, tokens + 5, 1 } };
    double          sum = checksum(wk_session_sync(a, tokens, 4));
    sum += checksum(wk_session_sync(b, tokens, 8));
    sum += a && b ? checksum(wk_session_batch(steps, 2)) : 0;
    sum += checksum(wk_session_push(a, 9));
    sum += checksum(wk_session_all_logits(b, tokens, 2));
    wk_session *f = wk_session_fork(a);
    sum += checksum(wk_session_push_all(f, tokens, 9));
    wk_session_free(f);
    wk_session_free(a);
    wk_session_free(b);
    return sum;
}

TEST(allocations_of_sessions)
{
    make_folder();
    shared = wk_model_open(folder);
    sweep("sessions", batch);
    wk_model_free(shared);
}

/* A session that could not go on stands where it stood, and can go on later. */
TEST(sessions_survive_failures)
{
    enum { LONG = 300 };
    int32_t tokens[LONG];
    long    left = -1;
    make_folder();
    shared = wk_model_open(folder);
    for (int i = 0; i < LONG; i++)
        tokens[i] = 3 + i % 17;
    wk_session *s = wk_session_new(shared, .context = 2 * LONG, .chunk = 64);
    double      want = checksum(wk_session_sync(s, tokens, LONG));
    wk_session_free(s);
    for (long n = 0; left < 0; n += try_all() ? 1 : 7) {
        wk_session     *a = wk_session_new(shared, .context = 2 * LONG, .chunk = 64);
        wk_session     *b = wk_session_new(shared, .context = 2 * LONG);
        wk_session_step steps[] = { { a, tokens + 5, LONG - 10 }, { b, tokens, 256 } };
        wk_scope        scope = wk_mark();
        wk_session_sync(a, tokens, 5);
        wk_fail_alloc_after(n);
        wk_session_batch(steps, 2);
        left = wk_fail_alloc_after(-1);
        bool done = wk_ok();
        wk_clear();
        CHECK_INT(wk_session_length(a), done ? LONG - 5 : 5); /* all of them went on, or none */
        CHECK_INT(wk_session_length(b), done ? 256 : 0);

        wk_fail_alloc_after(n);
        wk_session_sync(a, tokens, LONG);
        wk_fail_alloc_after(-1);
        wk_clear();
        double got = checksum(wk_session_sync(a, tokens, LONG));
        CHECK_MSG(fabs(got - want) <= 1e-4 * want, "allocation %ld: %g is not %g", n, got, want);
        got = checksum(wk_session_sync(b, tokens, LONG));
        CHECK_MSG(fabs(got - want) <= 1e-4 * want, "allocation %ld: %g is not %g", n, got, want);
        wk_session_free(a);
        wk_session_free(b);
        wk_sweep(scope);
    }
    wk_model_free(shared);
}

/* ---- Training ----------------------------------------------------------- */

static const char tiny[] = "{\"model_type\": \"llama\", \"hidden_size\": 8, \"vocab_size\": 11,"
                           "\"intermediate_size\": 12, \"num_hidden_layers\": 1,"
                           "\"num_attention_heads\": 2, \"num_key_value_heads\": 1,"
                           "\"tie_word_embeddings\": true}";

static double train(void)
{
    int64_t   text[2][6] = { { 1, 2, 3, 4, 5, 6 }, { 6, 5, 4, 3, 2, 1 } };
    wk_model *m = wk_model_open(NULL, .config = tiny, .train = true);
    wk_optim *opt = m ? wk_adamw_new(wk_model_store(m), .lr = 1e-2, .decay = 0.01) : NULL;
    double    sum = 0;
    for (int step = 0; step < 2 && wk_ok(); step++) {
        wk_scope   s = wk_mark();
        wk_tensor *all = wk_from_i64(WK_SHAPE(2, 6), text[0]);
        wk_tensor *logits = wk_model_logits(m, wk_narrow(all, 1, 0, 5));
        wk_tensor *loss = wk_cross_entropy(logits, wk_narrow(all, 1, 1, 5));
        wk_backward(loss);
        if (m)
            sum += wk_item(loss) + wk_clip_grad_norm(wk_model_store(m), 1);
        wk_step(opt);
        wk_sweep(s);
    }
    wk_optim_free(opt);
    wk_model_free(m);
    return sum;
}

TEST(allocations_of_training) { sweep("train", train); }

/* A strided convolution, one of single channels and a Winograd one, there and back. */
static double convolve(void)
{
    double sum = 0;
    for (int i = 0; i < 2 && wk_ok(); i++) {
        wk_scope   s = wk_mark();
        wk_dtype   dtype = i ? WK_BF16 : WK_F32;
        wk_tensor *x = wk_track(wk_randn_of(dtype, WK_SHAPE(2, 16, 13, 12)));
        wk_tensor *a = wk_track(wk_randn_of(dtype, WK_SHAPE(16, 1, 3, 3)));
        wk_tensor *b = wk_track(wk_randn_of(dtype, WK_SHAPE(16, 16, 3, 3)));
        wk_tensor *y = wk_conv2d(x, a, .padding = WK_SHAPE(1), .groups = 16);
        y = wk_conv2d(y, b, .padding = WK_SHAPE(1));
        y = wk_conv2d(y, b, .padding = WK_SHAPE(1), .stride = WK_SHAPE(2));
        wk_tensor *loss = wk_mean(wk_mul(y, y));
        wk_backward(loss);
        if (wk_ok())
            sum += wk_item(loss) + wk_item(wk_mean(wk_abs(wk_grad(x))));
        wk_sweep(s);
    }
    return sum;
}

TEST(allocations_of_convolution) { sweep("convolve", convolve); }

/* An optimiser whose step failed does the next one. */
TEST(optimisers_survive_failures)
{
    long left = -1;
    for (long n = 0; left < 0; n++) {
        wk_scope   scope = wk_mark();
        wk_store  *store = wk_store_new();
        wk_tensor *w =
            wk_param(wk_root(store), "w", WK_SHAPE(3), (wk_init){ .kind = WK_INIT_ONES });
        wk_tensor *b =
            wk_param(wk_root(store), "b", WK_SHAPE(2), (wk_init){ .kind = WK_INIT_ONES });
        wk_optim *opt = wk_adamw_new(store, .lr = 0.1);
        for (int step = 0; step < 3; step++) {
            wk_backward(wk_add(wk_sum(wk_square(w)), wk_sum(wk_square(b))));
            if (step == 0)
                wk_fail_alloc_after(n);
            wk_step(opt);
            if (step == 0) {
                left = wk_fail_alloc_after(-1);
                wk_clear();
            }
            CHECK_MSG(wk_ok(), "step %d after allocation %ld failed", step, n);
        }
        CHECK(wk_item(wk_max(wk_cat(0, w, b))) < 0.85);
        wk_optim_free(opt);
        wk_store_free(store);
        wk_sweep(scope);
    }
}

/* ---- Files -------------------------------------------------------------- */

static double save_and_open(void)
{
    char              path[1100];
    static const char long_name[] = "a name that is longer than most names of tensors are, by far";
    snprintf(path, sizeof path, "%s/saved.safetensors", folder);
    wk_tensor *x = wk_arange(WK_F32, 0, 12, 1), *y = wk_permute(wk_reshape(x, 3, 4), 1, 0);
    wk_tensor *list[] = { x, y, wk_cast(y, WK_BF16) };
    wk_safetensors_save(path, 3, (const char *[]){ "x", "y\n", long_name }, list,
                        (const char *[]){ "key", "value", NULL });
    wk_archive *a = wk_archive_open(path);
    double      sum = checksum(wk_archive_get(a, "x")) + checksum(wk_archive_get(a, "y\n"));
    sum += checksum(wk_archive_get(a, long_name));
    wk_archive_free(a);
    a = wk_archive_open("tests/golden/io/sharded");
    sum += checksum(wk_archive_get(a, "a"));
    wk_archive_free(a);
    return sum;
}

static double save_model(void)
{
    char path[1100];
    snprintf(path, sizeof path, "%s/again", folder);
    wk_model *m = wk_model_open(folder);
    wk_model_save(m, path);
    wk_model_free(m);
    m = wk_model_open(path);
    double sum = (double)wk_model_describe(m).parameters;
    wk_model_free(m);
    return sum;
}

TEST(allocations_of_files)
{
    make_folder();
    sweep("safetensors", save_and_open);
    sweep("save a model", save_model);
}

static double measure(void)
{
    static const char *const texts[] = { "tests/golden/models/imatrix/text.txt", NULL };
    char                     path[1200];
    double                   sum = 0;
    wk_model                *m = wk_model_open("tests/golden/models/llama.gguf");
    snprintf(path, sizeof path, "%s/imatrix.gguf", folder);
    if (m && wk_imatrix_measure(m, texts, path, 64, 2)) {
        wk_archive *a = wk_archive_open(path);
        if (a)
            sum = wk_item(wk_sum(wk_archive_get(a, "blk.1.ffn_down.weight.in_sum2")));
        wk_archive_free(a);
    }
    wk_model_free(m);
    return sum;
}

TEST(allocations_of_importance)
{
    make_folder();
    sweep("importance", measure);
}

/* ---- Tokenizers --------------------------------------------------------- */

static const char *tokenizer_path;

static double tokenize(void)
{
    static const char text[] = "Hello world, the  1234 caf\xC3\xA9s!\n <s> \xF0\x9F\x98\x80"
                               "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    wk_tokenizer     *t = wk_tokenizer_open(tokenizer_path);
    wk_tokens         ids = { 0 };
    double            sum = 0;
    if (t)
        wk_encode(&ids, t, text);
    for (size_t i = 0; i < ids.count; i++)
        sum = fmod(sum * 31 + ids.id[i], 1e9);
    char           *all = wk_decode(t, ids.id, ids.count, false);
    wk_detokenizer *d = wk_detokenizer_new(t, true);
    for (size_t i = 0; d && i < ids.count; i++) {
        const char *s = wk_detokenizer_push(d, ids.id[i]);
        sum += s ? (double)strlen(s) : 0;
    }
    sum += all ? (double)strlen(all) : 0;
    free(all);
    wk_detokenizer_free(d);
    wk_tokens_free(&ids);
    wk_tokenizer_free(t);
    return sum;
}

TEST(allocations_of_tokenizers)
{
    static const char *const names[] = {
        "gpt2.json",      "llama2.json",       "llama3.json",    "gemma.json",
        "clip.json",      "bert.json",         "metaspace.json", "levels.json",
        "gguf/t5.gguf",   "gguf/unigram.json", "gguf/spm.gguf",  "gguf/bpe.gguf",
        "gguf/bert.gguf", "../ggml/ggjt2.bin",
    };
    for (size_t i = 0; i < WK_COUNT(names); i++) {
        char path[100];
        snprintf(path, sizeof path, "tests/golden/tokenizer/%s", names[i]);
        tokenizer_path = path;
        tokenize(); /* does this build have what it needs? */
        bool lacks = !wk_ok() && strstr(wk_message(), "was built without");
        if (lacks)
            wk_clear();
        else
            sweep(names[i], tokenize);
    }
}

/* ---- Conversations ------------------------------------------------------- */

static double chat(void)
{
    static const char text[] =
        "{% macro f(a, b=2) %}{{ a ~ b }}{% endmacro %}{{ bos_token }}{% set ns = namespace(n=0) %}"
        "{% for m in messages if m.role is string %}{% set ns.n = ns.n + loop.index %}"
        "<|im_start|>{{ m.role | upper }}{{ m.content.split('l') | map('trim') | sort | join('-') "
        "}}{{ f(ns.n, b=m | tojson(indent=1)) }}{{ '%5s|%r' % (m.role, m) }}{{ m.items() | list "
        "}}{{ dict(a=1) }}<|im_end|>{% endfor %}{{ strftime_now('x') }}{{ 'a\\u00e9'[::-1] }}";
    static const char messages[] = "[{\"role\": \"user\", \"content\": \"hel\\u00e9lo\"},"
                                   "{\"role\": \"assistant\", \"content\": \"the world\"}]";
    static const char config_text[] =
        "{\"bos_token\": {\"content\": \"<s>\"}, \"chat_template\": [{\"name\": \"default\", "
        "\"template\": \"x\"}]}";
    char      path[1200];
    wk_tokens ids = { 0 };
    double    sum = 0;
    for (int named = 0; named < 2 && wk_ok(); named++) {
        snprintf(path, sizeof path, "%s/chat_template.jinja", folder);
        if (named)
            remove(path);
        else
            wk_write_file(path, text, sizeof text - 1);
        snprintf(path, sizeof path, "%s/tokenizer_config.json", folder);
        wk_write_file(path, config_text, sizeof config_text - 1);
        wk_model *m = wk_model_open(folder);
        if (m)
            wk_chat_tokens(&ids, .model = m, .messages = messages, .options = "{\"x\": 1}");
        wk_model_free(m);
    }
    for (size_t i = 0; i < ids.count; i++)
        sum = fmod(sum * 31 + ids.id[i], 1e9);
    wk_tokens_free(&ids);
    return sum;
}

TEST(allocations_of_conversations)
{
    make_folder();
    copy_into_folder("tests/golden/templates/bytes.json", "tokenizer.json");
    sweep("chat", chat);
}

/* A tokenizer that could not encode or decode a text can do it later. */
TEST(tokenizers_survive_failures)
{
    static const char text[] = "Hello world, the quick brown fox 1234 times";
    wk_tokenizer     *t = wk_tokenizer_open("tests/golden/tokenizer/llama2.json");
    wk_tokens         want = { 0 };
    long              left = -1;
    CHECK(wk_encode(&want, t, text));
    for (long n = 0; left < 0; n++) {
        wk_tokens ids = { 0 };
        wk_tokens_add(&ids, 7);
        wk_fail_alloc_after(n);
        bool  done = wk_encode(&ids, t, text);
        char *lost = wk_decode(t, want.id, want.count, false);
        left = wk_fail_alloc_after(-1);
        wk_clear();
        CHECK_INT(ids.count, done ? want.count + 1 : 1); /* all of the text, or nothing */
        free(lost);
        ids.count = 0;
        CHECK(wk_encode(&ids, t, text));
        CHECK(ids.count == want.count && !memcmp(ids.id, want.id, want.count * sizeof *ids.id));
        char *decoded = wk_decode(t, ids.id, ids.count, false);
        CHECK_STR(decoded, text);
        free(decoded);
        wk_tokens_free(&ids);
    }
    wk_tokens_free(&want);
    wk_tokenizer_free(t);
}
