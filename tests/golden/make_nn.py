# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes tests/golden/nn/optimisers.safetensors: what PyTorch's optimisers do.

    python3 tests/golden/make_nn.py          (needs torch, safetensors)

A small regression, x [8, 3] to y [8, 2] through weight and bias, from weight0 and bias0;
weight.NAME [6, 2, 3] and bias.NAME [6, 2] are the parameters after each of 6 steps.
"""

import os

import torch
from safetensors.torch import save_file

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nn")
torch.manual_seed(5)
x, y = torch.randn(8, 3), torch.randn(8, 2)
weight0, bias0 = torch.randn(2, 3), torch.randn(2)
out = dict(x=x, y=y, weight0=weight0, bias0=bias0)

OPTIMISERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.02),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8, nesterov=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.1),
    "adamw_betas": lambda p: torch.optim.AdamW(
        p, lr=0.05, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.0
    ),
}
for name, make in OPTIMISERS.items():
    weight, bias = weight0.clone().requires_grad_(), bias0.clone().requires_grad_()
    optimiser = make([weight, bias])
    weights, biases = [], []
    for step in range(6):
        optimiser.zero_grad()
        ((torch.nn.functional.linear(x, weight, bias) - y) ** 2).mean().backward()
        if name == "sgd":
            torch.nn.utils.clip_grad_norm_([weight, bias], 1.0)
        optimiser.step()
        weights.append(weight.detach().clone())
        biases.append(bias.detach().clone())
    out["weight." + name] = torch.stack(weights)
    out["bias." + name] = torch.stack(biases)
save_file(out, os.path.join(HERE, "optimisers.safetensors"))
