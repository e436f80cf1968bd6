# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes tests/golden/nn/training.safetensors: what PyTorch's optimisers and schedules do.

    python3 tests/golden/make_optim.py          (needs torch, safetensors)

A classifier of x [24, 6] in 5 classes y: linear, layer norm, tanh, linear; its parameters as
they begin, and for each optimiser the losses of 50 steps, loss.NAME [50].  For each schedule
the factors of 60 steps, factor.NAME [60].
"""

import os

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nn")
STEPS = 50
torch.manual_seed(11)
x, y = torch.randn(24, 6), torch.randint(0, 5, (24,))
first = {
    "a.weight": torch.randn(16, 6) / 2,
    "a.bias": torch.randn(16) / 4,
    "n.weight": torch.rand(16) + 0.5,
    "n.bias": torch.randn(16) / 4,
    "b.weight": torch.randn(5, 16) / 3,
    "b.bias": torch.randn(5) / 4,
}
out = {"x": x, "y": y, **first}


class Lion(torch.optim.Optimizer):
    """Chen et al., Symbolic Discovery of Optimization Algorithms, 2023, program 1."""

    def __init__(self, params, lr, betas, weight_decay):
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                beta1, beta2 = group["betas"]
                update = (beta1 * m + (1 - beta1) * p.grad).sign()
                p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(group["lr"] * update)
                m.mul_(beta2).add_(p.grad, alpha=1 - beta2)


O = torch.optim


def newton_schulz(grad, coefficients, steps, eps):
    """torch.optim's own, in f32 and not in bf16: the loss is compared to 1e-4."""
    a, b, c = coefficients
    x = grad.T if grad.size(0) > grad.size(1) else grad
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        s = x @ x.T
        x = torch.addmm(x, torch.addmm(s, s, s, beta=b, alpha=c), x, beta=a)
    return x.T if grad.size(0) > grad.size(1) else x


torch.optim._muon._zeropower_via_newtonschulz = newton_schulz


class Muon:
    """Muon for matrices but those that are named, AdamW for the rest."""

    def __init__(self, params, **options):
        matrices = [p for p in params[:-2] if p.ndim == 2]
        rest = [p for p in params if not any(p is m for m in matrices)]
        lr, decay = options["lr"], options.get("weight_decay", 0.1)
        self.of = [O.Muon(matrices, **options), O.AdamW(rest, lr=lr, weight_decay=decay)]

    def zero_grad(self):
        for o in self.of:
            o.zero_grad()

    def step(self):
        for o in self.of:
            o.step()


OPTIMISERS = {
    "sgd": lambda p: O.SGD(p, lr=0.1),
    "momentum": lambda p: O.SGD(p, lr=0.1, momentum=0.9, dampening=0.1, weight_decay=0.02),
    "nesterov": lambda p: O.SGD(p, lr=0.1, momentum=0.8, nesterov=True),
    "adam": lambda p: O.Adam(p, lr=0.02, weight_decay=0.03),
    "adam_amsgrad": lambda p: O.Adam(p, lr=0.02, amsgrad=True),
    "adamw": lambda p: O.AdamW(p, lr=0.02, weight_decay=0.1, betas=(0.8, 0.95), eps=1e-6),
    "adamw_amsgrad": lambda p: O.AdamW(p, lr=0.02, weight_decay=0.1, amsgrad=True),
    "adamax": lambda p: O.Adamax(p, lr=0.02, weight_decay=0.03),
    "nadam": lambda p: O.NAdam(p, lr=0.01, weight_decay=0.03),
    "radam": lambda p: O.RAdam(p, lr=0.02, weight_decay=0.03),
    "rmsprop": lambda p: O.RMSprop(p, lr=0.01, weight_decay=0.03),
    "rmsprop_centered": lambda p: O.RMSprop(p, lr=0.005, centered=True, momentum=0.6, alpha=0.9),
    "adagrad": lambda p: O.Adagrad(p, lr=0.05, lr_decay=0.01, weight_decay=0.03),
    "adadelta": lambda p: O.Adadelta(p, lr=1.0, weight_decay=0.03),
    "adafactor": lambda p: O.Adafactor(p, lr=0.02, weight_decay=0.03),
    "adafactor_small": lambda p: O.Adafactor(p, lr=0.02, beta2_decay=-0.6, eps=(1e-4, 0.05), d=1.5),
    "muon": lambda p: Muon(p, lr=0.02),
    "muon_rms": lambda p: Muon(
        p, lr=0.02, weight_decay=0.05, momentum=0.8, adjust_lr_fn="match_rms_adamw"
    ),
    "lion": lambda p: Lion(p, lr=0.005, betas=(0.9, 0.99), weight_decay=0.1),
}


def train(make):
    p = {k: v.clone().requires_grad_() for k, v in first.items()}
    optimiser, losses = make(list(p.values())), []
    for _ in range(STEPS):
        optimiser.zero_grad()
        h = F.linear(x, p["a.weight"], p["a.bias"])
        h = torch.tanh(F.layer_norm(h, (16,), p["n.weight"], p["n.bias"]))
        loss = F.cross_entropy(F.linear(h, p["b.weight"], p["b.bias"]), y)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return torch.tensor(losses, dtype=torch.float64)


L = torch.optim.lr_scheduler
SCHEDULES = {
    "cosine": lambda o: L.CosineAnnealingLR(o, 60, eta_min=0.1),
    "linear": lambda o: L.LinearLR(o, 1.0, 0.25, 60),
    "steps": lambda o: L.StepLR(o, 7, 0.5),
    "exponential": lambda o: L.ExponentialLR(o, 0.9),
    "one_cycle": lambda o: L.OneCycleLR(o, 1.0, total_steps=60),
}

if __name__ == "__main__":
    for name, make in OPTIMISERS.items():
        out["loss." + name] = train(make)
    for name, make in SCHEDULES.items():
        optimiser = O.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        schedule, factors = make(optimiser), []
        for _ in range(60):
            factors.append(optimiser.param_groups[0]["lr"])
            optimiser.step()
            schedule.step()
        out["factor." + name] = torch.tensor(factors, dtype=torch.float64)
    save_file(out, os.path.join(HERE, "training.safetensors"))
