// SPDX-License-Identifier: MIT OR Apache-2.0
/* quantization.c - what config.json says under quantization_config.
 *
 * Most of it says how the file was made, or repeats what the shapes of tensors say. */
#include "models.h"

#include <stdio.h>

#define IN "quantization_config."

typedef struct {
    const char         *name;
    wk_quantized_method method;
    bool (*read)(wk_quantization *q, wk_conf *c);
    const char *accepted[24]; /* keys that are fine, whatever they say: prefixes */
} method;

static bool refuse(wk_conf *c, const char *key, const char *value)
{
    if (wk_ok())
        wk_fail(WK_ERR_UNSUPPORTED, "%s: %s is \"%s\", which is not supported", wk_conf_file(c),
                key, value);
    return false;
}

/* The text under key, if it is there, must be one of these: "a b". */
static bool one_of(wk_conf *c, const char *key, const char *values)
{
    const char *text = wk_conf_text(c, key, NULL);
    size_t      n = text ? strlen(text) : 0;
    for (const char *p = values; text && *p; p += *p == ' ') {
        size_t length = strcspn(p, " ");
        if (length == n && !memcmp(p, text, n))
            return true;
        p += length;
    }
    return text ? refuse(c, key, text) : wk_ok();
}

/* [outputs, inputs] that share a scale. */
static bool read_block(wk_quantization *q, wk_conf *c, const char *key)
{
    char member[100];
    for (int i = 0; i < 2; i++) {
        snprintf(member, sizeof member, "%s.%d", key, i);
        if (wk_conf_has(c, member))
            q->block[i] = wk_conf_size(c, member, 1);
    }
    return wk_ok();
}

static bool read_fp8(wk_quantization *q, wk_conf *c)
{
    return one_of(c, IN "fmt", "e4m3 e5m2") && read_block(q, c, IN "weight_block_size");
}

static bool read_gptq(wk_quantization *q, wk_conf *c)
{
    const char *format =
        wk_conf_text(c, IN "checkpoint_format", wk_conf_text(c, IN "format", "gptq"));
    int64_t group = wk_conf_int(c, IN "group_size", -1);
    q->zero_less = strcmp(format, "gptq_v2") != 0;
    q->group = group > 0 && group < INT32_MAX ? group : 0;
    return one_of(c, IN "checkpoint_format", "gptq gptq_v2") &&
           one_of(c, IN "format", "gptq gptq_v2") && one_of(c, IN "pack_dtype", "int32");
}

static bool read_awq(wk_quantization *q, wk_conf *c)
{
    (void)q;
    return one_of(c, IN "version", "gemm GEMM");
}

static bool read_compressed(wk_quantization *q, wk_conf *c)
{
    static const char formats[] =
        "dense int-quantized float-quantized naive-quantized pack-quantized mixed-precision "
        "mxfp4-pack-quantized nvfp4-pack-quantized mxfp8-quantized";
    char key[100];
    if (!one_of(c, IN "format", formats) || !one_of(c, IN "sparsity_config.format", "dense"))
        return false;
    for (int i = 0; wk_ok() && i < 64; i++) { /* layers of different kinds */
        snprintf(key, sizeof key, IN "config_groups.group_%d.weights.num_bits", i);
        int64_t bits = wk_conf_int(c, key, 0);
        if (bits > 0 && bits <= 8)
            q->bits |= 1u << bits;
        snprintf(key, sizeof key, IN "config_groups.group_%d.format", i);
        one_of(c, key, formats);
        snprintf(key, sizeof key, IN "config_groups.group_%d.weights.block_structure", i);
        read_block(q, c, key);
    }
    return wk_ok();
}

static const method methods[] = {
    { "fp8",
      WK_QUANTIZED_FP8,
      read_fp8,
      { "activation_scheme", "modules_to_not_convert", "ignored_layers", "dequantize", "scale_fmt",
        "kv_cache_scheme" } },
    { "fbgemm_fp8",
      WK_QUANTIZED_FP8,
      read_fp8,
      { "activation_scale_ub", "modules_to_not_convert" } },
    { "gptq",
      WK_QUANTIZED_GPTQ,
      read_gptq,
      { "bits",
        "desc_act",
        "sym",
        "static_groups",
        "damp_percent",
        "damp_auto_increment",
        "true_sequential",
        "model_name_or_path",
        "model_file_base_name",
        "meta",
        "lm_head",
        "dynamic",
        "dataset",
        "tokenizer",
        "block_name_to_quantize",
        "model_seqlen",
        "batch_size",
        "max_input",
        "exllama_config",
        "modules_in_block",
        "backend" } },
    { "awq",
      WK_QUANTIZED_AWQ,
      read_awq,
      { "bits", "w_bit", "group_size", "q_group_size", "zero_point", "modules_to_not_convert",
        "backend", "exllama_config", "fuse_max_seq_len", "modules_to_fuse" } },
    { "bitsandbytes",
      WK_QUANTIZED_BNB,
      NULL,
      { "load_in_", "bnb_4bit_", "llm_int8_", "_load_in_" } },
    { "compressed-tensors",
      WK_QUANTIZED_COMPRESSED,
      read_compressed,
      { "config_groups", "ignore", "quantization_status", "global_compression_ratio", "version",
        "kv_cache_scheme", "sparsity_config", "run_compressed" } },
};

bool wk_quantization_read(wk_quantization *q, wk_conf *c)
{
    const char *name = wk_conf_text(c, IN "quant_method", NULL);
    *q = (wk_quantization){ 0 };
    if (!name)
        return wk_ok();
    for (size_t i = 0; i < WK_COUNT(methods); i++) {
        const method *m = &methods[i];
        if (strcmp(name, m->name))
            continue;
        q->method = m->method;
        for (int k = 0; m->accepted[k]; k++) {
            char key[100];
            snprintf(key, sizeof key, IN "%s", m->accepted[k]);
            wk_conf_accept(c, key);
        }
        return !m->read || m->read(q, c);
    }
    return refuse(c, IN "quant_method", name);
}
