# SPDX-License-Identifier: MIT OR Apache-2.0
"""A Llama with random weights as a GGUF file for llama-bench, of the shapes that
`wick bench --synthetic` knows.

    PYTHONPATH=LLAMA_CPP/gguf-py python3 bench/peers/make_gguf.py OUT.gguf llama-1.1b bf16
"""
import sys

import gguf
import numpy as np

SHAPES = {  # width, layers, heads, kv heads, ffn, vocab, tied embeddings
    "llama-1.1b": (2048, 22, 32, 4, 5632, 32000, False),
    "llama-135m": (576, 30, 9, 3, 1536, 49152, True),
    "llama-3b": (3072, 28, 24, 8, 8192, 128256, True),
}
path, shape, dtype = sys.argv[1:4]
width, layers, heads, kv_heads, ffn, vocab, tied = SHAPES[shape]
kinds = {
    "bf16": gguf.GGMLQuantizationType.BF16,
    "f16": gguf.GGMLQuantizationType.F16,
    "f32": gguf.GGMLQuantizationType.F32,
}
head_dim = width // heads
rng = np.random.default_rng(1)
w = gguf.GGUFWriter(path, "llama")
w.add_block_count(layers)
w.add_context_length(2048)
w.add_embedding_length(width)
w.add_feed_forward_length(ffn)
w.add_head_count(heads)
w.add_head_count_kv(kv_heads)
w.add_rope_dimension_count(head_dim)
w.add_layer_norm_rms_eps(1e-5)
w.add_vocab_size(vocab)
w.add_tokenizer_model("llama")
pieces = [f"<0x{i - 3:02X}>" if 3 <= i < 259 else f"piece{i}" for i in range(vocab)]
pieces[:3] = ["<unk>", "<s>", "</s>"]
w.add_token_list(pieces)
w.add_token_scores([0.0] * vocab)
w.add_token_types([2, 3, 3] + [6] * 256 + [1] * (vocab - 259))


def matrix(name, *dims):
    x = rng.standard_normal(dims, dtype=np.float32) * 0.02
    data = gguf.quants.quantize(x, kinds[dtype])
    w.add_tensor(name, data, raw_dtype=kinds[dtype])


def norm(name):
    w.add_tensor(name, np.ones(width, dtype=np.float32))


matrix("token_embd.weight", vocab, width)
for i in range(layers):
    norm(f"blk.{i}.attn_norm.weight")
    matrix(f"blk.{i}.attn_q.weight", width, width)
    matrix(f"blk.{i}.attn_k.weight", kv_heads * head_dim, width)
    matrix(f"blk.{i}.attn_v.weight", kv_heads * head_dim, width)
    matrix(f"blk.{i}.attn_output.weight", width, width)
    norm(f"blk.{i}.ffn_norm.weight")
    matrix(f"blk.{i}.ffn_gate.weight", ffn, width)
    matrix(f"blk.{i}.ffn_up.weight", ffn, width)
    matrix(f"blk.{i}.ffn_down.weight", width, ffn)
norm("output_norm.weight")
if not tied:
    matrix("output.weight", vocab, width)
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()
