// SPDX-License-Identifier: MIT OR Apache-2.0
/* quantized.h - linear layers that safetensors files have quantized, each format in its own
 * way, as weights of a dtype that operations know. */
#ifndef WK_QUANTIZED_H
#define WK_QUANTIZED_H

#include <wick/nn.h>

/* What config.json says about it.  Which layers are quantized, with how many numbers to a
 * scale, is what their tensors say. */
typedef enum {
    WK_QUANTIZED_NOT,
    WK_QUANTIZED_FP8,  /* weight f8_e4m3; weight_scale_inv or weight_scale */
    WK_QUANTIZED_GPTQ, /* qweight, qzeros, scales, g_idx */
    WK_QUANTIZED_AWQ,  /* qweight, qzeros, scales */
    WK_QUANTIZED_BNB,  /* weight, weight.absmax ..; SCB */
    WK_QUANTIZED_COMPRESSED,
} wk_quantized_method;

typedef struct {
    wk_quantized_method method;
    int                 zero_less; /* gptq: zeros are stored less this */
    int64_t             group;     /* gptq without g_idx: inputs that share a scale; 0: all */
    unsigned            bits;      /* compressed: bit n is set if some layers have n bits */
    int64_t             block[2];  /* fp8: outputs and inputs that share a scale; 0: not so */
} wk_quantization;

/* If the file has the linear layer at that place quantized, make it the parameter "weight".
 *
 * Where inputs that are not neighbours share a scale (desc_act), the weight's columns may be
 * in another order: *order is then what to take of the input, an i64 index of [in], and the
 * parameter "order"; else NULL.  order NULL: the columns stay, in a wider dtype.
 *
 * The weight is what the file says, exactly, but for scales, which become f16 where the dtype
 * has such; nf4 (see quant.h); and what becomes bf16 or f16, for want of a dtype, in rounding. */
bool wk_quantized_load(const wk_quantization *q, wk_vars at, int64_t in, int64_t out,
                       wk_tensor **order);

/* The experts of a file of gpt-oss: blocks [.., in / 32, 16] u8 and scales [.., in / 32] u8
 * are [.., in] mxfp4, with the same bits. */
wk_tensor *wk_mxfp4_of(wk_tensor *blocks, wk_tensor *scales);

#endif
