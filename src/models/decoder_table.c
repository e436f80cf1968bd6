// SPDX-License-Identifier: MIT OR Apache-2.0
/* decoder_table.c - the decoder-only language models, a row each.
 *
 * Numbers come from config.json; the presence of weights gives structure: qwen2's biases
 * and qwen3's norms of q and k are there because the files have them, or the row says so
 * where there is no file. */
#include "models.h"

const wk_decoder_names wk_llama_names = {
    .embed = "model.embed_tokens",
    .layer = "model.layers.%d",
    .norm = "model.norm",
    .head = "lm_head",
    .attn_in = "input_layernorm",
    .mlp_in = "post_attention_layernorm",
    .q_norm = "self_attn.q_norm",
    .k_norm = "self_attn.k_norm",
    .projection = { [WK_Q] = "self_attn.q_proj",
                    [WK_K] = "self_attn.k_proj",
                    [WK_V] = "self_attn.v_proj",
                    [WK_O] = "self_attn.o_proj",
                    [WK_GATE] = "mlp.gate_proj",
                    [WK_UP] = "mlp.up_proj",
                    [WK_DOWN] = "mlp.down_proj" },
};

/* Of GGUF files, whatever the architecture. */
const wk_decoder_names wk_gguf_names = {
    .embed = "token_embd",
    .layer = "blk.%d",
    .norm = "output_norm",
    .head = "output",
    .attn_in = "attn_norm",
    .mlp_in = "ffn_norm",
    .q_norm = "attn_q_norm",
    .k_norm = "attn_k_norm",
    .projection = { [WK_Q] = "attn_q",
                    [WK_K] = "attn_k",
                    [WK_V] = "attn_v",
                    [WK_O] = "attn_output",
                    [WK_GATE] = "ffn_gate",
                    [WK_UP] = "ffn_up",
                    [WK_DOWN] = "ffn_down" },
};

static const wk_decoder_row rows[] = {
    { .type = "llama", .pairs = true },
    { .type = "mistral", .window = WK_WINDOW_ALL },
    { .type = "qwen2", .window = WK_WINDOW_BY_FLAG, .qkv_bias = true },
    { .type = "qwen3", .window = WK_WINDOW_BY_FLAG, .head_dim = 128, .qk_norm = true },
};

const wk_decoder_row *wk_decoder_find(const char *type)
{
    for (size_t i = 0; i < WK_COUNT(rows); i++)
        if (!strcmp(type, rows[i].type))
            return &rows[i];
    return NULL;
}
