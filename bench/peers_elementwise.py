# SPDX-License-Identifier: MIT OR Apache-2.0
"""bench/elementwise.c in PyTorch, with 2 threads: python bench/peers_elementwise.py

The lines have the same names and columns."""
import statistics
import time

import torch
import torch.nn.functional as F

RUNS, BATCH = 41, 200
torch.set_num_threads(2)


class Inputs:
    def __init__(self, rows, columns):
        self.x = torch.randn(rows, columns)
        self.y = torch.randn(rows, columns).abs() + 0.1
        self.half = self.x.bfloat16()
        self.turned = torch.randn(columns, rows).T
        self.target = torch.zeros(rows, dtype=torch.int64)


OPERATIONS = [  # name, tensors read and written, function
    ("add", 3, lambda i: i.x + i.y),
    ("mul", 3, lambda i: i.x * i.y),
    ("relu", 2, lambda i: i.x.relu()),
    ("exp", 2, lambda i: i.x.exp()),
    ("log", 2, lambda i: i.y.log()),
    ("sin", 2, lambda i: i.x.sin()),
    ("tanh", 2, lambda i: i.x.tanh()),
    ("sigmoid", 2, lambda i: i.x.sigmoid()),
    ("silu", 2, lambda i: F.silu(i.x)),
    ("gelu", 2, lambda i: F.gelu(i.x)),
    ("pow", 2, lambda i: i.y.pow(1.7)),
    ("silu_mul", 3, lambda i: F.silu(i.x) * i.y),
    ("add_bf16", 1.5, lambda i: i.half + i.half),
    ("gelu_bf16", 1, lambda i: F.gelu(i.half)),
    ("to_bf16", 1.5, lambda i: i.x.bfloat16()),
    ("from_bf16", 1.5, lambda i: i.half.float()),
    ("copy", 2, lambda i: i.x.clone()),
    ("transpose", 2, lambda i: i.turned.contiguous()),
    ("zeros", 1, lambda i: torch.zeros_like(i.x)),
    ("sum", 1, lambda i: i.x.sum()),
    ("sum_rows", 1, lambda i: i.x.sum(-1)),
    ("sum_columns", 1, lambda i: i.x.sum(0)),
    ("max_rows", 1, lambda i: i.x.amax(-1)),
    ("argmax_rows", 1, lambda i: i.x.argmax(-1)),
    ("var_rows", 1, lambda i: i.x.var(-1)),
    ("logsumexp", 1, lambda i: i.x.logsumexp(-1)),
    ("cross_entropy", 1, lambda i: F.cross_entropy(i.x, i.target)),
]


def seconds(run, inputs, batch):
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        for _ in range(batch):
            run(inputs)
        times.append((time.perf_counter() - start) / batch)
    return statistics.median(times)


with torch.no_grad():
    large, tiny = Inputs(512, 4096), Inputs(4, 4)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"{'':14} {'ms':>9} {'GB/s':>9} {'tiny us':>9}")
    for name, tensors, run in OPERATIONS:
        t = seconds(run, large, 3)
        small = seconds(run, tiny, BATCH)
        bandwidth = 1e-9 * tensors * 512 * 4096 * 4 / t
        print(f"{name:14} {1e3 * t:9.3f} {bandwidth:9.1f} {1e6 * small:9.2f}")
