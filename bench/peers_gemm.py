#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The cases of bench/gemm.c in PyTorch, and f32 matmul in NumPy too.

    OMP_NUM_THREADS=2 python bench/peers_gemm.py matmul:f32:512x512x512 linear:bf16:1x4096x4096
"""
import sys
import time

import numpy
import torch
import torch.nn.functional as F

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
SAMPLES, SAMPLE_TIME, COLD_BYTES, FEW_ROWS, BATCH = 15, 0.05, 400e6, 8, 12


def measure(run):
    turn, repeat = 0, 1
    while True:
        start = time.perf_counter()
        for _ in range(repeat):
            run(turn)
            turn += 1
        took = time.perf_counter() - start
        if took > SAMPLE_TIME / 4:
            break
        repeat *= 2
    repeat = int(repeat * SAMPLE_TIME / took) + 1
    samples = []
    for _ in range(SAMPLES):
        start = time.perf_counter()
        for _ in range(repeat):
            run(turn)
            turn += 1
        samples.append((time.perf_counter() - start) / repeat)
    return sorted(samples)[SAMPLES // 2]


def report(case, peer, t, flops, read):
    rate = f" {read / t * 1e-9:10.1f}" if read else ""
    print(f"{case:34} {peer:6} {1e6 * t:12.2f} {flops / t * 1e-9:12.1f}{rate}", flush=True)


def case(text):
    op, dtype, size = text.split(":")
    m, n, k = map(int, size.split("x"))
    dtype = dtype.split("*")[-1]  # PyTorch does not mix them
    d = DTYPES[dtype]
    weight_bytes = n * k * torch.finfo(d).bits / 8
    count = min(64, int(COLD_BYTES / weight_bytes) + 1) if m <= FEW_ROWS else 1
    if op == "glu":
        count = max(count, 2)
    sides = {"glu": 2, "bmm": BATCH}.get(op, 1)
    batch = (BATCH,) if op == "bmm" else ()
    shape = (n, k) if op in ("linear", "glu") else (*batch, k, n)
    x = torch.randn(*batch, m, k, dtype=d)
    w = [torch.randn(*shape, dtype=d) for _ in range(count)]
    flops = 2 * m * n * k * sides
    read = weight_bytes * sides if m <= FEW_ROWS else 0
    run = {
        "linear": lambda i: F.linear(x, w[i % count]),
        "glu": lambda i: F.silu(F.linear(x, w[i % count])) * F.linear(x, w[(i + 1) % count]),
    }.get(op, lambda i: torch.matmul(x, w[i % count]))
    report(text, "torch", measure(run), flops, read)
    if dtype == "f32" and op in ("matmul", "bmm", "linear"):
        a, b = x.numpy(), [v.numpy().T if op == "linear" else v.numpy() for v in w]
        report(text, "numpy", measure(lambda i: numpy.matmul(a, b[i % count])), flops, read)


with torch.inference_mode():
    for text in sys.argv[1:]:
        case(text)
