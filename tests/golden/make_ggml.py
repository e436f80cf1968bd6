# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes tests/golden/ggml: random LLaMAs as llama.cpp wrote them before GGUF, and what its
converter makes of them.

    python3 tests/golden/make_ggml.py LLAMA_CPP           (needs numpy)

Written by what convert_llama_ggml_to_gguf.py of LLAMA_CPP says of the format.
"""

import os
import runpy
import struct
import sys

import numpy as np

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ggml")
sys.path.insert(0, os.path.join(sys.argv[1], "gguf-py"))
import gguf
from gguf import GGMLQuantizationType as Type
from gguf import quants

PIECES = [" ", "e", "t", "a", "o", "n", "h", "s", "r", "d", "l", "th", " th", " the", "he", "nd"]
PIECES += [" a", "and", " and", "in", "é", "", "er", "ll", "llo", "  ", " hello", "hello"]


def tokens(with_bytes):
    yield b"<unk>", 0.0
    yield b"<s>", 0.0
    yield b"</s>", 0.0
    for i in range(256 if with_bytes else 0):
        yield bytes([i]), 0.0
    for i, piece in enumerate(PIECES):
        yield piece.encode(), -1.5 * i if len(piece) > 1 else -100.0 - i


def write(name, magic, version, width, heads, kv_heads, ffn, layers, types, file_type, with_bytes):
    rng = np.random.default_rng(len(name) + width)
    vocab = list(tokens(with_bytes))
    kv = width // heads * kv_heads
    shapes = {"tok_embeddings": (len(vocab), width), "norm": (width,)}
    shapes["output"] = (len(vocab), width)
    for i in range(layers):
        at = f"layers.{i}."
        for k, rows in zip("qkvo", (width, kv, kv, width)):
            shapes[f"{at}attention.w{k}"] = (rows, width)
        shapes[at + "attention_norm"] = shapes[at + "ffn_norm"] = (width,)
        shapes[at + "feed_forward.w1"] = shapes[at + "feed_forward.w3"] = (ffn, width)
        shapes[at + "feed_forward.w2"] = (width, ffn)
    with open(os.path.join(HERE, name), "wb") as f:
        f.write(magic + (struct.pack("<I", version) if version else b""))
        numbers = (len(vocab), width, 32, heads, layers, width // heads, file_type)
        f.write(struct.pack("<7I", *numbers))
        for piece, score in vocab:
            f.write(struct.pack("<I", len(piece)) + piece)
            if version:
                f.write(struct.pack("<f", score))
        for i, (tensor, shape) in enumerate(shapes.items()):
            kind = types[i % len(types)] if len(shape) > 1 else Type.F32
            scale = 1 if len(shape) == 1 else shape[-1] ** -0.5
            x = (rng.standard_normal(shape) * scale).astype(np.float32)
            full = (tensor + ".weight").encode()
            f.write(struct.pack("<3I", len(shape), len(full), kind))
            f.write(struct.pack(f"<{len(shape)}I", *reversed(shape)) + full)
            if magic == b"tjgg":
                f.write(b"\0" * (-f.tell() % 32))
            f.write(quants.quantize(x, kind).tobytes())


def add_tensor(self, name, tensor, raw_shape=None, raw_dtype=None):
    """The converter gives elements where today's GGUFWriter wants the bytes of a row."""
    raw_shape = quants.quant_shape_to_byte_shape(raw_shape, raw_dtype)
    add_bytes(self, name, tensor, raw_shape=raw_shape, raw_dtype=raw_dtype)


add_bytes = gguf.GGUFWriter.add_tensor
gguf.GGUFWriter.add_tensor = add_tensor


def main():
    os.makedirs(HERE, exist_ok=True)
    T = Type
    mixed = [T.Q8_0, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.F16, T.F32]
    write("ggjt3.bin", b"tjgg", 3, 32, 4, 4, 64, 1, mixed, 2, True)
    write("ggjt2.bin", b"tjgg", 2, 32, 4, 2, 32, 1, [T.Q5_0, T.Q5_1], 8, False)
    write("ggmf.bin", b"fmgg", 1, 12, 2, 2, 20, 2, [T.F16], 1, True)
    write("ggml.bin", b"lmgg", 0, 8, 2, 2, 12, 2, [T.F32, T.F16], 0, False)
    converter = os.path.join(sys.argv[1], "convert_llama_ggml_to_gguf.py")
    for name, gqa in ("ggjt3", 1), ("ggjt2", 2), ("ggmf", 1), ("ggml", 1):
        paths = [os.path.join(HERE, name + end) for end in (".bin", ".gguf")]
        sys.argv = [converter, "--input", paths[0], "--output", paths[1], "--gqa", str(gqa)]
        runpy.run_path(converter, run_name="__main__")
        print(name, *map(os.path.getsize, paths))


main()
