# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes tests/golden/io: safetensors files as the reference library writes them.

    python3 tests/golden/make_io.py          (needs torch, safetensors)

types.safetensors holds the same numbers in every dtype, each with a twin name.f64 that
holds what PyTorch reads back; sharded/ is a model in two files with an index;
unaligned.safetensors has a header whose length is odd.
"""

import json
import os
import struct

import torch
from safetensors.torch import save, save_file

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "io")
os.makedirs(os.path.join(HERE, "sharded"), exist_ok=True)

values = torch.tensor(
    [
        [0.0, -0.0, 1.0, -1.5, 2.25, 3.1415927, 100.0],
        [0.3, 1e-3, 1e-6, 447.0, -65504.0, 1e5, -7.75],
    ],
    dtype=torch.float64,
)
floats = dict(
    F64=torch.float64,
    F32=torch.float32,
    F16=torch.float16,
    BF16=torch.bfloat16,
    F8_E4M3=torch.float8_e4m3fn,
    F8_E5M2=torch.float8_e5m2,
)
integers = dict(
    I64=torch.int64,
    I32=torch.int32,
    I16=torch.int16,
    I8=torch.int8,
    U8=torch.uint8,
    U32=torch.uint32,
    BOOL=torch.bool,
)
tensors = {}
for name, dtype in floats.items():
    tensors[name] = values.to(torch.float32).to(dtype) if dtype != torch.float64 else values
    tensors[name + ".f64"] = tensors[name].to(torch.float64).clone()
whole = torch.tensor([[0, 1, 2, 3], [100, 7, 1, 0]])
for name, dtype in integers.items():
    t = whole if name in ("U8", "U32", "BOOL") else whole * torch.tensor([1, -1, 1, -1])
    tensors[name] = t.to(dtype)
    tensors[name + ".f64"] = tensors[name].to(torch.float64).clone()
tensors["I64.large"] = torch.tensor([2**62 + 1, -(2**62) - 1])
tensors["scalar"] = torch.tensor(2.5)
tensors["empty"] = torch.zeros(3, 0, 2)
save_file(
    tensors,
    os.path.join(HERE, "types.safetensors"),
    metadata={"format": "pt", "quote": 'a "quoted" é', "empty": ""},
)

folder = os.path.join(HERE, "sharded")
one = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4)}
two = {"c": torch.full((2, 2), 7.0)}
save_file(one, os.path.join(folder, "model-00001-of-00002.safetensors"))
save_file(two, os.path.join(folder, "model-00002-of-00002.safetensors"))
index = {
    "metadata": {"total_size": 56},
    "weight_map": {
        "a": "model-00001-of-00002.safetensors",
        "b": "model-00001-of-00002.safetensors",
        "c": "model-00002-of-00002.safetensors",
    },
}
with open(os.path.join(folder, "model.safetensors.index.json"), "w") as f:
    json.dump(index, f, indent=1)

data = save({"x": torch.tensor([1.5, -2.5, 3.25])})
length = struct.unpack("<Q", data[:8])[0]
header = data[8 : 8 + length].rstrip() + b" "
header += b"" if len(header) % 2 else b" "
with open(os.path.join(HERE, "unaligned.safetensors"), "wb") as f:
    f.write(struct.pack("<Q", len(header)) + header + data[8 + length :])
