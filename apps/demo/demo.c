// SPDX-License-Identifier: MIT OR Apache-2.0
/* demo.c - trains a tiny Llama in a few seconds, on stories that it makes up, and writes
 * it as a Hugging Face folder: demo FOLDER
 *
 * It stands in for a model of ours until there is one, and shows all of training in one
 * file: data, a tokenizer by characters, the loop, the files. */
#include <wick/wick.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 16, CONTEXT = 96, STEPS = 400, TEXT = 200000, WARM_UP = 20 };

/* The characters that stories are made of; token 0 stands between stories. */
static const char alphabet[] = "\n !\",.?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
enum { VOCAB = sizeof alphabet };

/* ---- Stories ------------------------------------------------------------ */

static uint64_t dice = 1;

static const char *one_of(const char *const *words)
{
    int n = 0;
    while (words[n])
        n++;
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return words[(dice >> 33) % (uint64_t)n];
}
#define ONE_OF(...) one_of((const char *const[]){ __VA_ARGS__, NULL })

static size_t story(char *out, size_t room)
{
    bool        girl = *ONE_OF("g", "b") == 'g';
    const char *name = girl ? ONE_OF("Lily", "Anna", "Mia") : ONE_OF("Tom", "Ben", "Max");
    const char *who = girl ? "She" : "He";
    const char *animal = ONE_OF("cat", "dog", "bird", "fox", "frog");
    const char *look = ONE_OF("big", "small", "red", "happy", "sad");
    const char *place = ONE_OF("park", "garden", "house", "river");
    const char *verb = ONE_OF("saw", "found", "met");
    const char *how = !strcmp(look, "sad") ? "The %s was lost. %s helped the %s."
                                           : ONE_OF("The %s was nice. %s liked the %s.",
                                                    "The %s said hello. %s played with the %s.");
    char        middle[160];
    snprintf(middle, sizeof middle, how, animal, name, animal);
    int n = snprintf(out, room, "One day, %s went to the %s. %s %s a %s %s. %s %s\n", name, place,
                     who, verb, look, animal, middle,
                     ONE_OF("They were happy. The end.", "Then it was time to go home.",
                            "They were good friends."));
    return (size_t)n < room ? (size_t)n : room;
}

/* Stories one after the other, as tokens. */
static void write_text(int64_t *token)
{
    char   text[400];
    size_t at = 0;
    while (at < TEXT) {
        size_t n = story(text, sizeof text);
        token[at++] = 0;
        for (size_t i = 0; i < n && at < TEXT; i++)
            token[at++] = strchr(alphabet, text[i]) - alphabet + 1;
    }
}

/* ---- Files -------------------------------------------------------------- */

static const char config[] = "{\n"
                             " \"architectures\": [\"LlamaForCausalLM\"],\n"
                             " \"model_type\": \"llama\",\n"
                             " \"hidden_act\": \"silu\",\n"
                             " \"hidden_size\": 64,\n"
                             " \"intermediate_size\": 176,\n"
                             " \"num_hidden_layers\": 3,\n"
                             " \"num_attention_heads\": 4,\n"
                             " \"num_key_value_heads\": 2,\n"
                             " \"max_position_embeddings\": 256,\n"
                             " \"vocab_size\": 60,\n"
                             " \"rms_norm_eps\": 1e-05,\n"
                             " \"rope_theta\": 10000.0,\n"
                             " \"tie_word_embeddings\": true,\n"
                             " \"bos_token_id\": 0,\n"
                             " \"eos_token_id\": 0\n"
                             "}\n";
_Static_assert(VOCAB == 60, "config.json says how many tokens there are");

/* Byte-level BPE without merges: every character is a token. */
static bool write_tokenizer(const char *folder)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    FILE *f = fopen(path, "w");
    if (!f)
        return false;
    fprintf(
        f, "{\n \"version\": \"1.0\",\n \"added_tokens\": [{\"id\": 0, \"content\": \"<s>\", "
           "\"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
           "\"normalized\": false, \"special\": true}],\n \"normalizer\": null,\n"
           " \"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, "
           "\"trim_offsets\": true, \"use_regex\": false},\n"
           " \"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": "
           "[{\"SpecialToken\": {\"id\": \"<s>\", \"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", "
           "\"type_id\": 0}}], \"pair\": [], \"special_tokens\": {\"<s>\": {\"id\": \"<s>\", "
           "\"ids\": [0], \"tokens\": [\"<s>\"]}}},\n"
           " \"decoder\": {\"type\": \"ByteLevel\"},\n"
           " \"model\": {\"type\": \"BPE\", \"vocab\": {\"<s>\": 0");
    for (int i = 0; alphabet[i]; i++) {
        char c[3] = { alphabet[i], 0, 0 };
        if (c[0] == ' ') /* byte-level names of what cannot be seen */
            strcpy(c, "\xC4\xA0");
        else if (c[0] == '\n')
            strcpy(c, "\xC4\x8A");
        fprintf(f, ", \"%s%s\": %d", c[0] == '"' ? "\\" : "", c, i + 1);
    }
    fprintf(f, "}, \"merges\": []}\n}\n");
    return fclose(f) == 0;
}

/* ---- Training ----------------------------------------------------------- */

/* Rows of CONTEXT + 1 tokens from places in the text: [BATCH, CONTEXT + 1] */
static wk_tensor *batch(const int64_t *text)
{
    static int64_t rows[BATCH][CONTEXT + 1];
    for (int b = 0; b < BATCH; b++) {
        dice = dice * 6364136223846793005u + 1442695040888963407u;
        memcpy(rows[b], text + (dice >> 33) % (TEXT - CONTEXT - 1), sizeof rows[b]);
    }
    return wk_from_i64(WK_SHAPE(BATCH, CONTEXT + 1), rows[0]);
}

/* Up in a straight line, then down along a cosine. */
static double rate(int step)
{
    double t = (double)(step - WARM_UP) / (STEPS - WARM_UP);
    return 6e-3 * (step < WARM_UP ? (step + 1.0) / WARM_UP : 0.05 + 0.475 * (1 + cos(3.14159 * t)));
}

static void train(wk_model *m, const int64_t *text)
{
    wk_store *params = wk_model_store(m);
    wk_optim *opt = wk_adamw_new(params, .decay = 0.01, .beta2 = 0.99);
    double    average = 0;
    for (int step = 0; step < STEPS && wk_ok() && !wk_interrupted(); step++) {
        wk_scope   s = wk_mark();
        wk_tensor *x = batch(text);
        wk_tensor *loss = wk_cross_entropy(wk_model_logits(m, wk_narrow(x, 1, 0, CONTEXT)),
                                           wk_narrow(x, 1, 1, CONTEXT));
        wk_backward(loss);
        wk_clip_grad_norm(params, 1);
        wk_set_lr(opt, rate(step));
        wk_step(opt);
        average = step ? 0.9 * average + 0.1 * wk_item(loss) : wk_item(loss);
        if (step % 50 == 49 || step == 0)
            fprintf(stderr, "step %3d of %d, loss %.3f\n", step + 1, STEPS, average);
        wk_sweep(s);
    }
    wk_optim_free(opt);
}

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : "demo";
    int64_t    *text = malloc(TEXT * sizeof *text);
    if (!text)
        return 1;
    write_text(text);
    wk_seed(1);
    wk_model *m = wk_model_open(NULL, .config = config, .train = true);
    fprintf(stderr, "training a model of %lld parameters\n",
            (long long)wk_model_describe(m).parameters);
    train(m, text);
    if (wk_model_save(m, folder) && !write_tokenizer(folder))
        wk_fail(WK_ERR_IO, "%s: cannot write tokenizer.json", folder);
    wk_model_free(m);
    free(text);
    return wk_finish();
}
