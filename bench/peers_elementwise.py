#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The operations of bench/elementwise.c in PyTorch.

    OMP_NUM_THREADS=2 python bench/peers_elementwise.py add softmax

With output of bench/elementwise.c as standard input and --ratios as first argument, each
line also says how many times as long PyTorch takes.
"""
import sys
import time

import torch
import torch.nn.functional as F

SAMPLES, SAMPLE_TIME = 15, 0.02

OPERATIONS = {
    "add": (3, lambda o: o.x + o.y),
    "add_row": (2, lambda o: o.x + o.p),
    "add_bf16": (1.5, lambda o: o.half + o.half),
    "where": (4, lambda o: torch.where(o.mask, o.x, o.y)),
    "exp": (2, lambda o: torch.exp(o.x)),
    "log1p": (2, lambda o: torch.log1p(o.y)),
    "tanh": (2, lambda o: torch.tanh(o.x)),
    "sin": (2, lambda o: torch.sin(o.x)),
    "pow_scalar": (2, lambda o: torch.pow(o.y, 1.7)),
    "gelu": (2, lambda o: F.gelu(o.x)),
    "silu_mul": (3, lambda o: F.silu(o.x) * o.y),
    "copy": (2, lambda o: o.x.clone()),
    "transpose": (2, lambda o: o.x.t().contiguous()),
    "to_bf16": (1.5, lambda o: o.x.to(torch.bfloat16)),
    "fill": (1, lambda o: o.z.fill_(0.5)),
    "sum": (1, lambda o: o.x.sum()),
    "sum_last": (1, lambda o: o.x.sum(-1)),
    "sum_first": (1, lambda o: o.x.sum(0)),
    "var_last": (1, lambda o: o.x.var(-1)),
    "max_last": (1, lambda o: o.x.amax(-1)),
    "argmax_last": (1, lambda o: o.x.argmax(-1)),
    "softmax": (2, lambda o: o.x.softmax(-1)),
    "softmax_first": (2, lambda o: o.x.softmax(0)),
    "log_softmax": (2, lambda o: o.x.log_softmax(-1)),
    "layer_norm": (2, lambda o: F.layer_norm(o.x, o.p.shape, o.p, o.p, 1e-5)),
    "rms_norm": (2, lambda o: F.rms_norm(o.x, o.p.shape, o.p, 1e-5)),
    "cross_entropy": (1, lambda o: F.cross_entropy(o.x, o.ids)),
    "embedding": (2, lambda o: F.embedding(o.ids, o.x)),
    "index_add": (3, lambda o: o.x.index_add(0, o.ids, o.y)),
    "rand": (1, lambda o: torch.rand(o.x.shape)),
    "randn": (1, lambda o: torch.randn(o.x.shape)),
}


class Operands:
    def __init__(self, m, n):
        self.x, self.y, self.p = torch.randn(m, n), torch.rand(m, n), torch.rand(n)
        self.z = torch.empty(m, n)
        self.ids = torch.randint(min(m, n), (m,))
        self.half, self.mask = self.x.to(torch.bfloat16), self.x != 0


def measure(run, operands):
    repeat = 1
    while True:
        start = time.perf_counter()
        for _ in range(repeat):
            run(operands)
        took = time.perf_counter() - start
        if took > SAMPLE_TIME / 4:
            break
        repeat *= 2
    repeat = int(repeat * SAMPLE_TIME / took) + 1
    samples = []
    for _ in range(SAMPLES):
        start = time.perf_counter()
        for _ in range(repeat):
            run(operands)
        samples.append((time.perf_counter() - start) / repeat)
    return sorted(samples)[SAMPLES // 2]


def main():
    names, wick = sys.argv[1:], {}
    if names[:1] == ["--ratios"]:
        names = names[1:]
        for line in sys.stdin:
            word = line.split()
            if len(word) > 3 and word[2] == "wick":
                wick[word[0], word[1]] = float(word[3])
    torch.set_grad_enabled(False)
    for m, n in (512, 4096), (4096, 4096), (1, 1), (1, 10), (1, 100), (1, 1000):
        operands, size = Operands(m, n), f"{m}x{n}"
        for name, (numbers, run) in OPERATIONS.items():
            if names and name not in names or wick and (name, size) not in wick:
                continue
            t = measure(run, operands)
            rate = numbers * 4 * m * n / t * 1e-9
            line = f"{name:14} {m:5}x{n:<5} torch {1e6 * t:12.2f}"
            line += f" {rate:8.1f}" if m > 1 else " " * 9
            if wick:
                line += f" {1e6 * t / wick[name, size]:6.2f}x"
            print(line, flush=True)


main()
