# SPDX-License-Identifier: MIT OR Apache-2.0
"""What bench/mnist.c measures, by PyTorch on two threads."""

import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

torch.set_num_threads(2)
net = nn.Sequential(
    nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
    nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Linear(128, 10),
)
opt = torch.optim.AdamW(net.parameters(), fused=True)
x, y = torch.rand(64, 1, 28, 28), torch.randint(0, 10, (64,))
steps = int(sys.argv[1]) if len(sys.argv) > 1 else 100
for i in range(-5, steps):
    if i == 0:
        start = time.perf_counter()
    F.cross_entropy(net(x), y).backward()
    opt.step()
    opt.zero_grad(set_to_none=True)
ms = 1e3 * (time.perf_counter() - start) / steps
print(f"{ms:.2f} ms a step, {ms * 937 / 1e3:.1f} s an epoch")
