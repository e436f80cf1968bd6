// SPDX-License-Identifier: MIT OR Apache-2.0
/* 07 - A language model of characters: a tiny Llama learns stories that this program makes up,
 * and tells one.
 *
 * A token is a character, so no tokenizer is needed.  wk_train() and `wick train` do all this
 * for real texts; here is what is in them. */
#include <wick/wick.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 16, CONTEXT = 64, STEPS = 200, TEXT = 100000 };

/* The characters; token 0 stands between stories. */
static const char alphabet[] = " ,.ABDEFHIJKLMNOPRSTWabcdefghijklmnopqrstuvwxyz";
enum { VOCAB = sizeof alphabet };
_Static_assert(VOCAB == 48, "the configuration says how many tokens there are");

static const char config[] =
    "{\"model_type\": \"llama\", \"vocab_size\": 48, \"hidden_size\": 64, \"num_hidden_layers\": 2,"
    "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"intermediate_size\": 160,"
    "\"max_position_embeddings\": 128, \"rms_norm_eps\": 1e-5, \"tie_word_embeddings\": true}";

/* ---- Stories ------------------------------------------------------------- */

static const char *one_of(const char *const *words)
{
    int n = 0;
    while (words[n])
        n++;
    return words[rand() % n];
}
#define ONE_OF(...) one_of((const char *const[]){ __VA_ARGS__, NULL })

static void write_text(int64_t *token)
{
    char story[200];
    for (int at = 0; at < TEXT;) {
        bool        girl = rand() % 2;
        const char *name = girl ? ONE_OF("Lily", "Anna", "Mia") : ONE_OF("Tom", "Ben", "Max");
        const char *animal = ONE_OF("cat", "dog", "bird", "frog");
        snprintf(story, sizeof story, "One day, %s went to the %s. %s saw a %s %s. The %s was %s.",
                 name, ONE_OF("park", "garden", "river"), girl ? "She" : "He",
                 ONE_OF("big", "small", "red"), animal, animal, ONE_OF("happy", "sad", "nice"));
        token[at++] = 0;
        for (const char *p = story; *p && at < TEXT; p++)
            token[at++] = strchr(alphabet, *p) - alphabet + 1;
    }
}

/* ---- Learning and telling ------------------------------------------------ */

/* Rows of CONTEXT + 1 tokens from anywhere in the text: [BATCH, CONTEXT + 1] */
static wk_tensor *batch(const int64_t *text)
{
    static int64_t rows[BATCH][CONTEXT + 1];
    for (int b = 0; b < BATCH; b++)
        memcpy(rows[b], text + rand() % (TEXT - CONTEXT - 1), sizeof rows[b]);
    return wk_from_i64(WK_SHAPE(BATCH, CONTEXT + 1), rows[0]);
}

static double learn(wk_model *m, const int64_t *text)
{
    wk_store   *params = wk_model_store(m);
    wk_optim   *opt = wk_adamw_new(params, .beta2 = 0.99);
    wk_schedule plan = { WK_LR_COSINE, .warmup = 20, .steps = STEPS, .floor = 0.1 };
    double      cost = 0;
    for (int step = 0; step < STEPS && wk_ok(); step++) {
        wk_scope   s = wk_mark();
        wk_tensor *x = batch(text);
        wk_tensor *logits = wk_model_logits(m, wk_narrow(x, 1, 0, CONTEXT));
        wk_tensor *loss = wk_cross_entropy(logits, wk_narrow(x, 1, 1, CONTEXT));
        wk_backward(loss);
        wk_clip_grad_norm(params, 1);
        wk_set_lr(opt, 8e-3 * wk_schedule_at(&plan, step));
        wk_step(opt);
        cost = wk_item(loss);
        wk_sweep(s);
    }
    wk_optim_free(opt);
    return cost;
}

/* The likeliest story from a beginning on. */
static void tell(wk_model *m, const char *begin, char *out, size_t room)
{
    wk_session *session = wk_session_new(m);
    size_t      n = 0, given = strlen(begin);
    int32_t     token = 0;
    do {
        wk_scope   s = wk_mark();
        wk_tensor *logits = wk_session_push(session, token);
        token = (int32_t)wk_item_i64(wk_argmax(logits, .over = WK_AXES(0)));
        if (n < given)
            token = (int32_t)(strchr(alphabet, begin[n]) - alphabet + 1);
        out[n++] = token ? alphabet[token - 1] : '\0';
        wk_sweep(s);
    } while (token && n + 1 < room && wk_ok());
    out[n] = '\0';
    wk_session_free(session);
}

int main(void)
{
    static int64_t text[TEXT];
    char           story[120] = "";
    write_text(text);
    wk_seed(1);
    wk_model *m = wk_model_open(NULL, .config = config, .train = true);
    double    cost = m ? learn(m, text) : 0;
    printf("a character costs %s half a nat\n", cost < 0.5 ? "less than" : "more than");
    if (m)
        tell(m, "One day, Anna", story, sizeof story);
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "%s\n", story);
    printf("%s\n", strstr(story, ". She saw a ") ? "Anna is she" : "what is Anna?");
    wk_model_free(m);
    return wk_finish();
}
