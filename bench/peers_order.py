# SPDX-License-Identifier: MIT OR Apache-2.0
"""What bench/order.c measures, by PyTorch on two threads: milliseconds, medians of 9."""

import statistics
import time

import torch
import torch.nn.functional as F

torch.set_num_threads(2)
x = torch.randn(1000000), torch.randn(32, 50000), torch.randn(1000, 10000)
for name, fn in {
    "sort 1e6": lambda: torch.sort(x[0]),
    "unique 1e6": lambda: torch.unique(x[0], return_inverse=True, return_counts=True),
    "topk 50 of 32 x 50000": lambda: torch.topk(x[1], 50),
    "cumsum 1000 x 10000": lambda: torch.cumsum(x[2], 1),
    "dropout 1000 x 10000": lambda: F.dropout(x[2], 0.1),
}.items():
    sample = []
    for _ in range(9):
        start = time.perf_counter()
        fn()
        sample.append(1e3 * (time.perf_counter() - start))
    print(f"{name:24} {statistics.median(sample):8.2f}")
