# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes tests/golden/gguf: GGUF files as the reference library writes them.

    python3 tests/golden/make_gguf.py          (needs numpy, gguf)

types.gguf has a value of every kind and tensors of every plain type, each with a twin
name.f64; types-be.gguf is the same, big-endian; split/ holds six tensors in three parts.
"""

import os

import numpy as np
from gguf import GGMLQuantizationType, GGUFEndian, GGUFReader, GGUFValueType, GGUFWriter, quants

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "gguf")
os.makedirs(os.path.join(HERE, "split"), exist_ok=True)


def finish(w):
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def add_values(w):
    w.add_uint8("v.u8", 200)
    w.add_int8("v.i8", -100)
    w.add_uint16("v.u16", 60000)
    w.add_int16("v.i16", -30000)
    w.add_uint32("v.u32", 4000000000)
    w.add_int32("v.i32", -2000000000)
    w.add_float32("v.f32", 0.1)
    w.add_bool("v.true", True)
    w.add_bool("v.false", False)
    w.add_string("v.text", 'a "quoted" é')
    w.add_key_value("v.empty", "", GGUFValueType.STRING)
    w.add_uint64("v.u64", 2**64 - 1)
    w.add_int64("v.i64", -(2**62) - 1)
    w.add_float64("v.f64", -1e300)
    w.add_array("l.text", ["", "one", b"\xff\x00\xfe", "four"])
    w.add_array("l.i32", [3, -1, 2**30])
    w.add_array("l.f32", [0.5, -0.25])
    w.add_array("l.bool", [True, False, True])
    w.add_key_value("l.u16", [1, 65535], GGUFValueType.ARRAY, sub_type=GGUFValueType.UINT16)


def add_tensors(w, big):
    values = np.array([[0.0, -0.0, 1.0, -1.5], [2.25, 3.1415927, 0.3, -65504.0]])
    whole = np.array([[0, 1, 2, 3], [100, -7, 1, -128]])

    def add(name, x, raw=None):
        w.add_tensor(name, x, raw_dtype=raw)

    for name, dtype in dict(F32="f4", F16="f2", F64="f8").items():
        x = values.astype(dtype)
        add(name, x)
        add(name + ".f64", x.astype("f8"))
    for name, dtype in dict(I8="i1", I16="i2", I32="i4", I64="i8").items():
        x = whole.astype(dtype)
        add(name, x)
        add(name + ".f64", x.astype("f8"))
    if not big:
        bf16 = quants.quantize(values.astype("f4"), GGMLQuantizationType.BF16)
        add("BF16", bf16, GGMLQuantizationType.BF16)
        add("BF16.f64", quants.dequantize(bf16, GGMLQuantizationType.BF16).astype("f8"))
        rows = np.linspace(-1, 1, 128, dtype="f4").reshape(2, 64)
        add("Q8_0", quants.quantize(rows, GGMLQuantizationType.Q8_0), GGMLQuantizationType.Q8_0)
        add("Q4_0", quants.quantize(rows, GGMLQuantizationType.Q4_0), GGMLQuantizationType.Q4_0)
    add("four", np.arange(24, dtype="f4").reshape(2, 3, 4, 1))


def make(name, endian, big):
    w = GGUFWriter(os.path.join(HERE, name), "test", endianess=endian)
    add_values(w)
    add_tensors(w, big)
    finish(w)


make("types.gguf", GGUFEndian.LITTLE, False)
make("types-be.gguf", GGUFEndian.BIG, True)

w = GGUFWriter(os.path.join(HERE, "split", "six.gguf"), "test", split_max_tensors=2)
for i in range(6):
    w.add_tensor(f"t{i}", np.full((3, 2), float(i), dtype="f4"))
finish(w)

for name in "types.gguf", "types-be.gguf":
    r = GGUFReader(os.path.join(HERE, name))
    for t in r.tensors:
        print(name, t.name, t.tensor_type.name, list(t.shape), t.data.reshape(-1)[:3])
