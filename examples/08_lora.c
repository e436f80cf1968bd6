// SPDX-License-Identifier: MIT OR Apache-2.0
/* 08 - LoRA: a model learns something new beside its weights, and the weights can have it or not.
 *
 *     08_lora [MODEL]      any folder; by default the model that comes with wick, apps/demo
 *
 * `wick finetune MODEL chats.jsonl --lora 16` does this for files of text and conversations. */
#include <wick/wick.h>

#include <stdio.h>

enum { STEPS = 40, MOST = 64 };

static const char lesson[] = "One day, Lily learned that the moon is made of green cheese.";

static wk_tensor *loss_of(wk_model *m, wk_tensor *ids)
{
    int64_t    n = wk_dim(ids, 1) - 1;
    wk_tensor *logits = wk_model_logits(m, wk_narrow(ids, 1, 0, n));
    return wk_cross_entropy(logits, wk_narrow(ids, 1, 1, n));
}

static double measured(wk_model *m, wk_tensor *ids)
{
    bool     before = wk_no_grad(true);
    wk_scope s = wk_mark();
    double   loss = wk_item(loss_of(m, ids));
    wk_sweep(s);
    wk_no_grad(before);
    return loss;
}

static const char *compared(double a, double b)
{
    return a < 0.5 * b ? "much less" : a < b * 1.001 && a > b * 0.999 ? "the same" : "other";
}

/* The tokens of the lesson: [1, n] */
static wk_tensor *tokens(wk_model *m)
{
    wk_tokens list = { 0 };
    int64_t   id[MOST], n = 0;
    wk_encode(&list, wk_model_tokenizer(m), lesson);
    for (; n < (int64_t)list.count && n < MOST; n++)
        id[n] = list.id[n];
    wk_tokens_free(&list);
    return wk_from_i64(WK_SHAPE(1, n), id);
}

int main(int argc, char **argv)
{
    wk_model *m = argc > 1 ? wk_model_open(argv[1], .dtype = WK_F32, .train = true) : NULL;
    if (!m) {
        wk_clear(); /* the argument may be anything */
        m = wk_model_open("apps/demo", .dtype = WK_F32, .train = true);
    }
    wk_tensor *ids = tokens(m);
    double     first = measured(m, ids);

    wk_seed(1);
    wk_lora  *lora = wk_lora_new(m, .rank = 8, .targets = "q_proj,v_proj,down_proj");
    wk_optim *opt = wk_adamw_new(wk_lora_store(lora), .lr = 1e-2, .decay = WK_NONE);
    printf("a new adapter changes nothing: the loss is %s\n", compared(measured(m, ids), first));
    for (int step = 0; step < STEPS && wk_ok(); step++) {
        wk_scope s = wk_mark();
        wk_backward(loss_of(m, ids));
        wk_step(opt);
        wk_sweep(s);
    }
    double learned = measured(m, ids);
    printf("with what it learned: %s\n", compared(learned, first));
    wk_lora_merge(lora);
    printf("merged into the weights: %s as that\n", compared(measured(m, ids), learned));
    wk_lora_unmerge(lora);
    wk_lora_free(lora);
    printf("without it again: %s as at first\n", compared(measured(m, ids), first));

    wk_optim_free(opt);
    wk_model_free(m);
    return wk_finish();
}
