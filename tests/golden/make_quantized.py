# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes tests/golden/quantized: tiny random Llamas in the formats of quantized checkpoints.

    python3 tests/golden/make_quantized.py       (needs torch, transformers, safetensors,
    compressed-tensors 0.20, bitsandbytes 0.50 and the file awq/utils/packing_utils.py of
    autoawq 0.2.7 somewhere on the path)

Every case is a folder with config.json, model.safetensors and golden.safetensors: token ids
[b, t], logits [b, t, vocab] of transformers with the weights that the reference of the format
gives, in f32, and some rows of those weights: "NAME" has rows 0, 1 and the last of NAME.weight.

The reference is: compressed-tensors' own compress() and decompress(), except for group order
(actorder), which that no longer makes; bitsandbytes' quantize and dequantize; autoawq's
dequantize_gemm(); transformers' convert_moe_packed_tensors() for the experts of gpt-oss.  For
GPTQ and FP8 it is the definition: numbers are drawn, and packed as AutoGPTQ's QuantLinear.pack()
does; FP8 is weight.float() times scales repeated over blocks, as in DeepSeek-V3's
inference/kernel.py, weight_dequant().
"""

import importlib.util
import json
import os
import sys

import numpy as np
import torch
import transformers
from safetensors.torch import save_file

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "quantized")
BASE = dict(
    vocab_size=32,
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=1,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    rms_norm_eps=1e-5,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
    tie_word_embeddings=False,
)


# ---- FP8 ---------------------------------------------------------------------


def fp8(scale_name, rows, columns):
    """One scale for each block of rows x columns; 0: for all."""

    def quantize(name, w):
        n, k = w.shape
        r, c = rows or n, columns or k
        scale = torch.zeros(-(-n // r), -(-k // c))
        for i in range(scale.shape[0]):
            for j in range(scale.shape[1]):
                scale[i, j] = w[i * r : (i + 1) * r, j * c : (j + 1) * c].abs().max() / 448
        full = scale.repeat_interleave(r, 0)[:n].repeat_interleave(c, 1)[:, :k]
        q = (w / full).to(torch.float8_e4m3fn)
        out = {"weight": q, scale_name: scale if rows or columns else scale.reshape(())}
        if not rows:
            out["input_scale"] = torch.tensor(0.01)
        return out, q.float() * full

    return quantize


# ---- GPTQ and AWQ ------------------------------------------------------------


def pack_bits(q, bits):
    """[rows, n] -> [rows, n * bits / 32] i32: bits one after another in little-endian words."""
    b = (q.numpy().astype(np.uint64)[:, :, None] >> np.arange(bits, dtype=np.uint64)) & 1
    b = b.reshape(q.shape[0], -1).astype(np.uint8)
    b = np.pad(b, ((0, 0), (0, -b.shape[1] % 32)))
    return torch.from_numpy(np.packbits(b, axis=1, bitorder="little").view(np.int32).copy())


def integers(w, bits, group, symmetric, group_of=None):
    """Numbers [n, k], zeros and scales [n, groups] of the columns' groups."""
    n, k = w.shape
    group_of = torch.arange(k) // group if group_of is None else group_of
    groups, top = int(group_of.max()) + 1, 2**bits - 1
    q, zero = torch.zeros(n, k, dtype=torch.int64), torch.zeros(n, groups, dtype=torch.int64)
    scale = torch.zeros(n, groups)
    for g in range(groups):
        x = w[:, group_of == g]
        low, high = x.min(1).values.clamp(max=0), x.max(1).values.clamp(min=0)
        if symmetric:
            high = torch.maximum(high, -low)
            low = -high
        s = ((high - low) / top).half().float()
        z = torch.full((n,), 2 ** (bits - 1)) if symmetric else (-low / s).round().clamp(1, top)
        q[:, group_of == g] = (x / s[:, None] + z[:, None]).round().clamp(0, top).long()
        zero[:, g], scale[:, g] = z.long(), s
    return q, zero, scale, (q - zero[:, group_of]) * scale[:, group_of]


def gptq(recipe, less=1):
    def quantize(name, w):
        bits, group, symmetric, shuffled = recipe(name)
        group = group or w.shape[1]
        order = torch.arange(w.shape[1]) // group
        if shuffled:
            order = order[torch.randperm(len(order))]
        q, zero, scale, back = integers(w, bits, group, symmetric, order)
        out = {
            "qweight": pack_bits(q, bits).T.contiguous(),
            "qzeros": pack_bits((zero - less).T, bits),
            "scales": scale.T.half().contiguous(),
            "g_idx": order.int(),
        }
        return out, back

    return quantize


def awq(name, w):
    path = importlib.util.find_spec("awq").submodule_search_locations[0]
    path = os.path.join(path, "utils", "packing_utils.py")
    spec = importlib.util.spec_from_file_location("packing_utils", path)
    utils = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(utils)
    q, zero, scale, back = integers(w, 4, 32, False)

    def pack(x):  # [rows, out]: numbers 0 2 4 6 1 3 5 7 from the low bits up
        return pack_bits(x.reshape(x.shape[0], -1, 8)[:, :, utils.AWQ_ORDER].flatten(1), 4)

    out = {
        "qweight": pack(q.T),
        "qzeros": pack(zero.T),
        "scales": scale.T.half().contiguous(),
    }
    theirs = utils.dequantize_gemm(out["qweight"], out["qzeros"], scale.T.contiguous(), 4, 32)
    assert torch.equal(theirs.T, back)
    return out, theirs.T


# ---- compressed-tensors ------------------------------------------------------


def scheme_of(weights):
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    return QuantizationScheme(targets=["Linear"], weights=QuantizationArgs(**weights))


def nvfp4_in_f32(out, scheme, rounded):
    from compressed_tensors.compressors.nvfp4.helpers import unpack_fp4_from_uint8
    from compressed_tensors.quantization.lifecycle.forward import dequantize

    n, k = rounded.shape
    back = dequantize(
        x_q=unpack_fp4_from_uint8(out["weight_packed"], n, k).float(),
        scale=out["weight_scale"].float(),
        args=scheme.weights,
        global_scale=out["weight_global_scale"],
        dtype=torch.float32,
    )
    assert (back - rounded).abs().max() <= rounded.abs().max() * 2**-7
    return back


def compressed(form, choose):
    """choose(name): arguments of the weight's QuantizationArgs."""

    def quantize(name, w):
        from compressed_tensors.compressors.base import BaseCompressor
        from compressed_tensors.quantization.utils import calculate_qparams

        scheme = scheme_of(choose(name))
        a = scheme.weights
        group = a.group_size or w.shape[1]
        state = {"weight": w}
        if a.strategy == "block":
            r, c = a.block_structure
            pad = torch.nn.functional.pad(w, (0, -w.shape[1] % c, 0, -w.shape[0] % r))
            parts = pad.reshape(pad.shape[0] // r, r, -1, c).transpose(1, 2).flatten(2)
        elif a.strategy == "tensor":
            parts = w.reshape(1, -1)
        else:
            parts = w.reshape(w.shape[0], -1, group)
        low, high = parts.min(-1).values, parts.max(-1).values
        if a.strategy == "tensor_group":  # nvfp4
            state["weight_global_scale"] = (448 * 6 / w.abs().max()).reshape(1)
            most = torch.maximum(high, -low) / 6 * state["weight_global_scale"]
            state["weight_scale"] = most.to(torch.float8_e4m3fn).float()
        elif form.startswith("mxfp4"):
            most = torch.maximum(high, -low)
            state["weight_scale"] = 2.0 ** (torch.floor(torch.log2(most)) - 2)
        else:
            state["weight_scale"], zero = calculate_qparams(low, high, a)
            if form == "int-quantized":
                state["weight_scale"] = state["weight_scale"].bfloat16().float()
            if not a.symmetric:
                state["weight_zero_point"] = zero.to(torch.int8)
        compressor = BaseCompressor.get_value_from_registry(form)
        out = compressor.compress(dict(state), scheme)
        back = compressor.decompress(dict(out), scheme)["weight"].float()
        if a.strategy == "tensor_group":  # that is rounded to bf16
            back = nvfp4_in_f32(out, scheme, back)
        return {k: v.contiguous() for k, v in out.items()}, back

    return quantize


def by_group_order(name, w):
    """pack-quantized with actorder: the definition."""
    from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32

    group_of = (torch.arange(w.shape[1]) // 32)[torch.randperm(w.shape[1])]
    q, zero, scale, back = integers(w, 4, 32, False, group_of)
    out = {
        "weight_packed": pack_to_int32((q - 8).to(torch.int8), 4),
        "weight_zero_point": pack_to_int32((zero - 8).to(torch.int8), 4, packed_dim=0),
        "weight_scale": scale.half(),
        "weight_g_idx": group_of.int(),
        "weight_shape": torch.tensor(w.shape),
    }
    return out, back


def ct_config(form, *groups):
    import compressed_tensors

    names = [["Linear"]] if len(groups) == 1 else [[r"re:.*self_attn.*"], [r"re:.*mlp.*"]]
    config = {}
    for i, g in enumerate(groups):
        args = scheme_of(g).weights.model_dump(mode="json")
        config["group_%d" % i] = dict(
            format=None, input_activations=None, output_activations=None, targets=names[i],
            weights=args,
        )
    return dict(
        config_groups=config,
        format=form,
        global_compression_ratio=None,
        ignore=["lm_head"],
        kv_cache_scheme=None,
        quant_method="compressed-tensors",
        quantization_status="compressed",
        sparsity_config={},
        transform_config={},
        version=compressed_tensors.__version__,
    )


# ---- bitsandbytes ------------------------------------------------------------


def bnb_4bit(kind, nested):
    def quantize(name, w):
        import bitsandbytes as bnb

        q, state = bnb.functional.quantize_4bit(w, quant_type=kind, compress_statistics=nested)
        out = {"weight": q}
        for k, v in state.as_dict(packed=True).items():
            out["weight." + k] = v
        # In rows of whole blocks: others bitsandbytes 0.50 reads wrongly on the CPU, though it
        # writes them rightly (its error is then larger than a block's largest number).
        state.shape = torch.Size((w.numel() // 64, 64))
        back = bnb.functional.dequantize_4bit(q, state).float().reshape(w.shape)
        assert (back - w).abs().max() < w.abs().max() / 4
        return out, back

    return quantize


def bnb_int8(name, w):
    import bitsandbytes as bnb

    q, most, _ = bnb.functional.int8_vectorwise_quant(w.half())
    out = {"weight": q, "SCB": most, "weight_format": torch.tensor(0, dtype=torch.uint8)}
    return out, bnb.functional.int8_vectorwise_dequant(q, most).float()


def bnb_config(**more):
    return dict(
        _load_in_4bit="load_in_4bit" in more, _load_in_8bit="load_in_8bit" in more,
        bnb_4bit_compute_dtype="float32", bnb_4bit_quant_storage="uint8",
        llm_int8_enable_fp32_cpu_offload=False, llm_int8_has_fp16_weight=False,
        llm_int8_skip_modules=None, llm_int8_threshold=6.0, quant_method="bitsandbytes", **more,
    )


# ---- All ---------------------------------------------------------------------


def attention(name):
    return "self_attn" in name


def gptq_recipe(name):
    return {
        "q_proj": (2, 64, True, False),
        "k_proj": (2, 32, False, False),
        "v_proj": (3, 32, False, False),
        "o_proj": (3, 0, True, False),
        "gate_proj": (8, 0, True, False),
        "up_proj": (8, 32, True, True),
        "down_proj": (8, 64, False, False),
    }[name.split(".")[-1]]


def gptq_config(**more):
    return dict(
        bits=4, group_size=32, damp_percent=0.1, desc_act=False, static_groups=False, sym=True,
        true_sequential=True, model_name_or_path=None, model_file_base_name="model",
        quant_method="gptq", meta=dict(quantizer=["gptqmodel:2.0.0"], mse=0.0), pack_dtype="int32",
    ) | more


INT4 = dict(num_bits=4, type="int", symmetric=True, strategy="group", group_size=32)
INT8 = dict(num_bits=8, type="int", symmetric=True, strategy="channel")
INT3 = dict(num_bits=3, type="int", symmetric=False, strategy="group", group_size=32)
INT8Z = dict(num_bits=8, type="int", symmetric=False, strategy="channel")
FLOAT = dict(num_bits=8, type="float", symmetric=True, strategy="channel")
BLOCKS = dict(num_bits=8, type="float", symmetric=True, strategy="block", block_structure=[64, 64])
FP4 = dict(num_bits=4, type="float", symmetric=True, strategy="group", group_size=32)
NVFP4 = dict(num_bits=4, type="float", symmetric=True, strategy="tensor_group", group_size=16)
FP8 = dict(quant_method="fp8", fmt="e4m3", modules_to_not_convert=["lm_head"])


def cases():
    """name: (how a layer is quantized, quantization_config, changes of the model)"""
    return {
        "fp8_block": (
            fp8("weight_scale_inv", 128, 128),
            dict(FP8, activation_scheme="dynamic", weight_block_size=[128, 128]),
            dict(intermediate_size=160),
        ),
        "fp8_tensor": (fp8("weight_scale", 0, 0), dict(FP8, activation_scheme="static"), {}),
        "ct_float": (
            compressed("float-quantized", lambda n: FLOAT),
            ct_config("float-quantized", FLOAT),
            {},
        ),
        "ct_block": (
            compressed("float-quantized", lambda n: BLOCKS),
            ct_config("float-quantized", BLOCKS),
            dict(intermediate_size=96),
        ),
        "ct_int8": (
            compressed("int-quantized", lambda n: INT8 if attention(n) else INT8Z),
            ct_config("int-quantized", INT8, INT8Z),
            {},
        ),
        "ct_packed": (
            compressed("pack-quantized", lambda n: INT4 if attention(n) else INT3),
            ct_config("pack-quantized", INT4, INT3),
            {},
        ),
        "ct_packed_8": (
            compressed("pack-quantized", lambda n: INT8),
            ct_config("pack-quantized", INT8),
            {},
        ),
        "ct_order": (by_group_order, ct_config("pack-quantized", dict(INT4, symmetric=False)), {}),
        "ct_mxfp4": (
            compressed("mxfp4-pack-quantized", lambda n: FP4),
            ct_config("mxfp4-pack-quantized", FP4),
            {},
        ),
        "ct_nvfp4": (
            compressed("nvfp4-pack-quantized", lambda n: NVFP4),
            ct_config("nvfp4-pack-quantized", NVFP4),
            {},
        ),
        "gptq": (
            gptq(lambda n: (4, 32, True, False)),
            gptq_config(checkpoint_format="gptq"),
            {},
        ),
        "gptq_order": (
            gptq(lambda n: (4, 32, False, True)),
            gptq_config(desc_act=True, sym=False),
            {},
        ),
        "gptq_bits": (gptq(gptq_recipe, 0), gptq_config(checkpoint_format="gptq_v2"), {}),
        "awq": (
            awq,
            dict(
                quant_method="awq", bits=4, group_size=32, zero_point=True, version="gemm",
                modules_to_not_convert=None,
            ),
            {},
        ),
        "bnb_nf4": (
            bnb_4bit("nf4", False),
            bnb_config(load_in_4bit=True, bnb_4bit_quant_type="nf4"),
            {},
        ),
        "bnb_nf4_nested": (
            bnb_4bit("nf4", True),
            bnb_config(
                load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True
            ),
            dict(intermediate_size=96),
        ),
        "bnb_fp4": (
            bnb_4bit("fp4", False),
            bnb_config(load_in_4bit=True, bnb_4bit_quant_type="fp4"),
            dict(intermediate_size=96),
        ),
        "bnb_int8": (bnb_int8, bnb_config(load_in_8bit=True), {}),
    }


def make(name, quantize, config, changes):
    torch.manual_seed(sum(map(ord, name)))
    c = transformers.LlamaConfig(**dict(BASE, **changes))
    model = transformers.LlamaForCausalLM(c).eval()
    folder = os.path.join(HERE, name)
    os.makedirs(folder, exist_ok=True)
    out, golden = {}, {}
    with torch.no_grad():
        for p in model.parameters():
            spread = 0.05 if p.dim() == 1 else 0.12
            p.copy_((torch.randn_like(p) * spread + (p.dim() == 1)).bfloat16().float())
        for key, module in model.named_modules():
            if isinstance(module, torch.nn.Linear) and key != "lm_head":
                parts, back = quantize(key, module.weight.detach().clone())
                module.weight.copy_(back)
                golden[key] = back[[0, 1, -1]].contiguous().clone()
                for k, v in parts.items():
                    out[key + "." + k] = v
        for key in ["model.embed_tokens", "model.norm", "lm_head"]:
            out[key + ".weight"] = model.get_submodule(key).weight.bfloat16()
        for key in ["input_layernorm", "post_attention_layernorm"]:
            key = "model.layers.0.%s.weight" % key
            out[key] = model.get_parameter(key).bfloat16()
        ids = torch.randint(3, c.vocab_size, (2, 7))
        golden["ids"], golden["logits"] = ids, model(ids).logits
    save_file(out, os.path.join(folder, "model.safetensors"), {"format": "pt"})
    save_file(golden, os.path.join(folder, "golden.safetensors"))
    text = dict(model_type="llama", **dict(BASE, **changes), quantization_config=config)
    json.dump(text, open(os.path.join(folder, "config.json"), "w"), indent=1)
    print(name, os.path.getsize(os.path.join(folder, "model.safetensors")))


def make_experts():
    """Blocks and scales as gpt-oss has them: [experts, out, in / 32, 16]."""
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    blocks = torch.randint(0, 256, (2, 5, 3, 16), dtype=torch.uint8)
    scales = torch.randint(110, 130, (2, 5, 3), dtype=torch.uint8)
    y = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32).transpose(1, 2)
    save_file(
        dict(blocks=blocks, scales=scales, weight=y.contiguous()),
        os.path.join(HERE, "experts.safetensors"),
    )


def main():
    os.makedirs(HERE, exist_ok=True)
    for name, case in cases().items():
        if len(sys.argv) < 2 or name in sys.argv[1:]:
            make(name, *case)
    torch.manual_seed(0)
    make_experts()


main()
