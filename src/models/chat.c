// SPDX-License-Identifier: MIT OR Apache-2.0
/* chat.c - how conversations become tokens for models that were taught with the usual marks.
 *
 * A model's marks are known by the special tokens of its vocabulary.  What people wrote is
 * plain text here: it cannot forge a mark. */
#include "models.h"

#include <stdio.h>

enum { SYSTEM, USER, ASSISTANT, ROLES };

typedef struct {
    const char *mark;         /* is in the vocabulary */
    const char *begin[ROLES]; /* before what is said */
    const char *end[ROLES];   /* behind it */
} chat_format;

#define ALL(text)                                                                                  \
    {                                                                                              \
        text, text, text                                                                           \
    }

static const chat_format formats[] = {
    { "<|im_start|>",
      { "<|im_start|>system\n", "<|im_start|>user\n", "<|im_start|>assistant\n" },
      ALL("<|im_end|>\n") },
    { "<|start_header_id|>",
      { "<|start_header_id|>system<|end_header_id|>\n\n",
        "<|start_header_id|>user<|end_header_id|>\n\n",
        "<|start_header_id|>assistant<|end_header_id|>\n\n" },
      ALL("<|eot_id|>") },
    { "<start_of_turn>",
      { "<start_of_turn>user\n", "<start_of_turn>user\n", "<start_of_turn>model\n" },
      ALL("<end_of_turn>\n") },
    { "<|end|>", { "<|system|>\n", "<|user|>\n", "<|assistant|>\n" }, ALL("<|end|>\n") },
    { "[INST]", { "[INST] ", "[INST] ", "" }, { "[/INST]", "[/INST]", "</s>" } },
    { NULL, { "", "User: ", "Assistant: " }, ALL("\n") }, /* of no model: plain words */
};

static const chat_format *format_of(const wk_tokenizer *t)
{
    const chat_format *f = formats;
    while (f->mark && wk_tokenizer_find(t, f->mark) < 0)
        f++;
    return f;
}

/* Which role it is, by the names that data sets use for them. */
static int role_of(wk_str name)
{
    static const char *const names[ROLES][3] = { { "system", "developer", NULL },
                                                 { "user", "human", NULL },
                                                 { "assistant", "gpt", "model" } };
    for (int r = 0; r < ROLES; r++)
        for (int i = 0; i < 3 && names[r][i]; i++)
            if (wk_str_is(name, names[r][i]))
                return r;
    return -1;
}

bool wk_chat_add(wk_tokens *out, const wk_tokenizer *t, wk_str role, wk_str text, size_t *learned)
{
    const chat_format *f = format_of(t);
    int                r = role_of(role);
    if (wk_ok() && r < 0)
        wk_fail(WK_ERR_FORMAT, "role \"%.*s\": system, user or assistant are known",
                (int)wk_min_i64((int64_t)role.size, 40), role.at);
    if (!wk_ok())
        return false;
    wk_encode(out, t, f->begin[r], .no_special = true);
    *learned = out->count;
    if (text.size)
        wk_encode(out, t, text.at, text.size, .no_special = true, .plain = true);
    wk_encode(out, t, f->end[r], .no_special = true);
    if (r != ASSISTANT)
        *learned = out->count;
    return wk_ok();
}
