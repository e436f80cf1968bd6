# SPDX-License-Identifier: MIT OR Apache-2.0
"""The step of bench/optim.c in PyTorch, fused and not: python bench/peers_optim.py [MILLIONS]"""
import statistics
import sys
import time

import torch

n = int(sys.argv[1]) if len(sys.argv) > 1 else 124
WAYS = ({"fused": True}, {"foreach": True})
RULES = {"adamw": (torch.optim.AdamW, 28, {}), "sgd": (torch.optim.SGD, 20, {"momentum": 0.9})}
for name, way in [(name, way) for name in RULES for way in WAYS]:
    rule, size, options = RULES[name]  # size: bytes read and written for a parameter
    p = torch.ones(n, 1000000, requires_grad=True)
    optimiser = rule([p], lr=1e-3, weight_decay=0.1, **way, **options)
    samples = []
    for i in range(10):
        p.grad = torch.full_like(p, 0.01)
        start = time.perf_counter()
        optimiser.step()
        samples.append(time.perf_counter() - start)
    took = statistics.median(samples[1:])
    print("%-6s %d M parameters, %d threads  %8.2f ms  %6.1f GB/s  %s"
          % (name, n, torch.get_num_threads(), 1e3 * took, n * size * 1e-3 / took, next(iter(way))))
