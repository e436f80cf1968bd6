# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes tests/golden/io/quantized.txt: what llama-quantize makes of small random models.

    PYTHONPATH=LLAMA_CPP/gguf-py python3 tests/golden/make_quantize.py LLAMA_QUANTIZE

A line for each: model, type, with an importance matrix or not, general.file_type, FNV-1a of the
bytes of all tensors, and their types, layer by layer.  The models are not kept:
tests/io/test_quantize.c makes the same ones by the same arithmetic.  Few rows are enough, as
llama-quantize does not look at how many there are.
"""

import os
import subprocess
import sys
import tempfile

import gguf
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
PLAIN = """q4_0 q4_1 q5_0 q5_1 q8_0 q2_k q3_k_s q3_k_m q3_k_l q4_k_s q4_k_m q5_k_s q5_k_m q6_k
iq3_s iq3_m iq4_nl iq4_xs tq1_0 tq2_0 q1_0 q2_0 f16 bf16 f32 mxfp4_moe""".split()
WEIGHED = """q4_0 q4_1 q5_0 q5_1 q2_k q2_k_s q3_k_m q4_k_s q4_k_m q5_k_m q6_k iq1_s iq1_m iq2_xxs
iq2_xs iq2_s iq2_m iq3_xxs iq3_xs iq3_s iq3_m iq4_nl iq4_xs""".split()
"""name: architecture, layers, width, heads, heads of keys, experts, has output.weight"""
MODELS = {
    "plain": ("llama", 16, 256, 4, 2, 0, True),
    "shared": ("qwen2", 9, 256, 4, 1, 0, False),
    "experts": ("llama", 8, 256, 4, 2, 8, True),
    "large": ("llama", 80, 256, 4, 2, 0, True),
    "narrow": ("llama", 2, 96, 4, 2, 0, True),
    "odd": ("llama", 1, 40, 4, 2, 0, False),
}
SOME = {
    "large": ["q3_k_m", "q4_k_m"],
    "narrow": PLAIN[:18],
    "odd": ["q4_k_m", "q8_0", "iq4_nl"],
}


def numbers(seed, count):
    i = np.arange(count, dtype=np.uint64)
    x = (i + np.uint64(seed << 32)) * np.uint64(6364136223846793005)
    x ^= x >> np.uint64(29)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(32)
    return sum((x >> np.uint64(8 * k) & np.uint64(255)).astype(np.int64) for k in range(4)) - 510


def tensors(model):
    _, layers, width, _, _, experts, head = MODELS[model]
    yield "token_embd.weight", (4, width)
    yield "output_norm.weight", (width,)
    if head:
        yield "output.weight", (4, width)
    for i in range(layers):
        yield f"blk.{i}.attn_norm.weight", (width,)
        for name in ["attn_q", "attn_k", "attn_v", "attn_output"]:
            yield f"blk.{i}.{name}.weight", (2, width)
        if experts:
            yield f"blk.{i}.ffn_gate_inp.weight", (experts, width)
        for name in ["ffn_gate", "ffn_up", "ffn_down"]:
            stacked = (experts, 2, width) if experts else (2, width)
            yield f"blk.{i}.{name}{'_exps' if experts else ''}.weight", stacked


def write_model(model, path):
    arch, layers, width, heads, kv, experts, _ = MODELS[model]
    w = gguf.GGUFWriter(path, arch)
    w.add_block_count(layers)
    w.add_context_length(64)
    w.add_embedding_length(width)
    w.add_feed_forward_length(width)
    w.add_head_count(heads)
    w.add_head_count_kv(kv)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_vocab_size(4)
    if experts:
        w.add_expert_count(experts)
        w.add_expert_used_count(2)
    for seed, (name, shape) in enumerate(tensors(model)):
        x = numbers(seed, int(np.prod(shape)))
        w.add_tensor(name, (x / 4096).astype(np.float32).reshape(shape))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def write_imatrix(model, path):
    w = gguf.GGUFWriter(path, "")
    w.kv_data[0].clear()
    w.add_string("general.type", "imatrix")
    w.add_array("imatrix.datasets", ["text.txt"])
    w.add_uint32("imatrix.chunk_count", 3)
    w.add_uint32("imatrix.chunk_size", 32)
    for seed, (name, shape) in enumerate(tensors(model)):
        if len(shape) < 2 or "inp" in name or name == "token_embd.weight":
            continue
        matrices = shape[0] if len(shape) > 2 else 1
        x = (numbers(1000 + seed, matrices * shape[-1]) + 511) / 64
        w.add_tensor(name + ".in_sum2", x.astype(np.float32).reshape(matrices, shape[-1]))
        w.add_tensor(name + ".counts", np.full((matrices, 1), 8, np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def fnv(h, data):
    for b in data.tobytes():
        h = (h ^ b) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return h


def describe(path):
    r = gguf.GGUFReader(path)
    h, types = 0xCBF29CE484222325, []
    by_layer = lambda t: (int(t.name.split(".")[1]) if t.name[:4] == "blk." else -1, t.name)
    for t in sorted(r.tensors, key=by_layer):
        h = fnv(h, t.data)
        name = t.tensor_type.name.lower()
        if types and types[-1][0] == name:
            types[-1][1] += 1
        else:
            types.append([name, 1])
    number = int(r.fields["general.file_type"].parts[-1][0])
    runs = " ".join(name if n == 1 else f"{name}*{n}" for name, n in types)
    return f"{number} {h:016x} {runs}"


def main():
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out.gguf")
        for model in MODELS:
            path = os.path.join(folder, model + ".gguf")
            matrix = os.path.join(folder, "imatrix.gguf")
            write_model(model, path)
            write_imatrix(model, matrix)
            some = SOME.get(model, PLAIN)
            weighed = [] if model in SOME else WEIGHED
            for kind, extra in [(k, 0) for k in some] + [(k, 1) for k in weighed]:
                more = ["--imatrix", matrix] if extra else []
                command = [sys.argv[1], *more, path, out, kind, "1"]
                done = subprocess.run(command, stdout=-1, stderr=-2)
                if done.returncode:
                    lines.append(f"{model} {kind} {extra} refused")
                    print(lines[-1], done.stdout.decode()[-300:])
                else:
                    lines.append(f"{model} {kind} {extra} {describe(out)}")
    with open(os.path.join(HERE, "io", "quantized.txt"), "w") as f:
        f.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
