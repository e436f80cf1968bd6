# SPDX-License-Identifier: MIT OR Apache-2.0
"""The step of bench/optim.c in PyTorch, fused and not: python bench/peers_optim.py [MILLIONS]"""
import statistics
import sys
import time

import torch

n = int(sys.argv[1]) if len(sys.argv) > 1 else 124
for options in ({"fused": True}, {"foreach": True}):
    p = torch.ones(n, 1000000, requires_grad=True)
    optimiser = torch.optim.AdamW([p], lr=1e-3, weight_decay=0.1, **options)
    samples = []
    for i in range(10):
        p.grad = torch.full_like(p, 0.01)
        start = time.perf_counter()
        optimiser.step()
        samples.append(time.perf_counter() - start)
    took = statistics.median(samples[1:])
    print("adamw  %d M parameters, %d threads  %8.2f ms  %6.1f GB/s  %s"
          % (n, torch.get_num_threads(), 1e3 * took, n * 28e-3 / took, next(iter(options))))
