# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes tests/golden/core/quants.safetensors: blocks and rows as llama.cpp has them.

    python3 tests/golden/make_quants.py libggml-base.so       (needs numpy, safetensors)

The library comes from llama.cpp: cmake -DBUILD_SHARED_LIBS=ON -DGGML_NATIVE=OFF, then
the target ggml-base.  For each type q4_0 ...:

    load/q4_0           blocks of random bytes, with scales that are in use
    load/q4_0.f32       the numbers in them
    store/q4_0          the rows of "rows", [rows, bytes]
    store/q4_0.weighed  the same with "importance" as importance matrix, where it is used
"""

import ctypes
import os
import sys

import numpy as np
from safetensors.numpy import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
random = np.random.default_rng(20)
library = ctypes.CDLL(sys.argv[1])

# name: number in files, numbers and bytes of a block, where f16 scales are, weighed
TYPES = dict(
    q4_0=(2, 32, 18, [0], True),
    q8_0=(8, 32, 34, [0], False),
    q4_K=(12, 256, 144, [0, 2], True),
    q6_K=(14, 256, 210, [208], True),
    q5_K=(13, 256, 176, [0, 2], True),
    q5_0=(6, 32, 22, [0], True),
    q4_1=(3, 32, 20, [0, 2], True),
    q5_1=(7, 32, 24, [0, 2], True),
    q2_K=(10, 256, 84, [80, 82], True),
    q3_K=(11, 256, 110, [108], True),
    iq4_nl=(20, 32, 18, [0], True),
    iq4_xs=(23, 256, 136, [0], True),
    mxfp4=(39, 32, 17, [], False),
    nvfp4=(40, 64, 36, [], False),
    iq3_s=(21, 256, 110, [0], True),
    iq3_xxs=(18, 256, 98, [0], True),
    iq2_s=(22, 256, 82, [0], True),
    iq2_xs=(17, 256, 74, [0], True),
    iq2_xxs=(16, 256, 66, [0], True),
    iq1_m=(29, 256, 56, [], True),
    iq1_s=(19, 256, 50, [0], True),
    tq1_0=(34, 256, 54, [52], False),
    tq2_0=(35, 256, 66, [64], False),
    q1_0=(41, 128, 18, [0], False),
    q2_0=(42, 64, 18, [0], False),
    q8_1=(9, 32, 36, [0], False),
    q8_K=(15, 256, 292, [], False),
)
NEED = ("iq2_xxs", "iq2_xs", "iq1_s")  # refused without an importance matrix


def pointer(array):
    return ctypes.c_void_p(array.ctypes.data)


def scales(count):
    """f16 numbers of both signs, of many sizes."""
    x = 2.0 ** random.uniform(-12, -2, count) * random.choice([-1, 1], count)
    return x.astype(np.float16)


def blocks_of(name, size, at, count):
    b = random.integers(0, 256, (count, size), dtype=np.uint8)
    for p in at:
        b[:, p : p + 2] = scales(count)[:, None].view(np.uint8)
    if name == "mxfp4":
        b[:, 0] = random.integers(100, 140, count)
        b[:3, 0] = 0, 1, 254
    if name == "q8_K":
        b[:, :4] = random.standard_normal(count).astype(np.float32)[:, None].view(np.uint8)
    if name == "iq1_m":
        h = scales(count).view(np.uint16)
        for i in range(4):
            b[:, 49 + 2 * i] = b[:, 49 + 2 * i] & 15 | (h >> 4 * i & 15).astype(np.uint8) << 4
    return b


def load(name, blocks, block):
    if name == "q8_1":  # has no decoder there
        d = np.ascontiguousarray(blocks[:, :2]).view(np.float16).astype(np.float32)
        return (d * blocks[:, 4:].view(np.int8).astype(np.float32)).reshape(-1)
    row = np.zeros(len(blocks) * block, np.float32)
    getattr(library, "dequantize_row_" + name)(
        pointer(blocks), pointer(row), ctypes.c_int64(row.size)
    )
    return row


def store(name, rows, block, size, importance):
    out = np.zeros((len(rows), rows.shape[1] // block * size), np.uint8)
    count, n = (ctypes.c_int64(x) for x in rows.shape)
    if name in ("q8_1", "q8_K"):
        getattr(library, f"quantize_row_{name}_ref")(
            pointer(rows), pointer(out), ctypes.c_int64(rows.size)
        )
    else:
        weights = None if importance is None else pointer(importance)
        getattr(library, "quantize_" + name)(pointer(rows), pointer(out), count, n, weights)
    return out


def rows_of(n):
    """Rows as weights are, and as they should not be."""
    normal = random.standard_normal(n) * 0.02
    outliers = random.standard_normal(n) * 0.02
    outliers[:: n // 12] *= 30
    positive = random.uniform(0.5, 1.5, n)
    patches = random.standard_normal(n)
    patches[: n // 4] = 0
    patches[n // 4 : n // 4 + 32] = 0.7
    patches[n // 4 + 32 : n // 4 + 64] = -0.3
    patches[n // 2 : n // 2 + 128] = -np.abs(patches[n // 2 : n // 2 + 128])
    steps = random.integers(-2, 3, n) / 4
    small = random.standard_normal(n) * 1e-9
    large = random.standard_normal(n) * 3e3
    return np.array([normal, outliers, positive, patches, steps, small, large], np.float32)


rows = rows_of(512)
importance = random.uniform(0, 2, 512).astype(np.float32) ** 2
importance[40:48] = 0
tensors = {"rows": rows, "importance": importance}
for name, (number, block, size, at, weighed) in TYPES.items():
    library.ggml_quantize_init(number)
    key = name.lower()
    blocks = blocks_of(name, size, at, max(2, 256 // block))
    tensors["load/" + key] = blocks.reshape(-1)
    tensors["load/" + key + ".f32"] = load(name, blocks, block)
    if name not in NEED:
        tensors["store/" + key] = store(name, rows, block, size, None)
    if weighed:
        tensors["store/" + key + ".weighed"] = store(name, rows, block, size, importance)
save_file(tensors, os.path.join(HERE, "core", "quants.safetensors"))
