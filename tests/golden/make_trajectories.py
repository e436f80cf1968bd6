# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes tests/golden/nn/trajectories.safetensors: losses of PyTorch over 50 steps.

    python3 tests/golden/make_trajectories.py     (needs torch, transformers, safetensors)

Three small networks, a Llama, a convolutional network and an LSTM, each with every optimiser
and every schedule: loss.NET.NAME [50], in f64.  Nothing else is stored: weights and batches
follow from formulas, wave() here and in tests/nn/test_trajectories.c.
"""

import os

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from make_optim import Lion, newton_schulz
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nn")
STEPS = 50
torch.optim._muon._zeropower_via_newtonschulz = newton_schulz


def wave(shape, speed, phase):
    i = np.arange(int(np.prod(shape)), dtype=np.float64)
    return torch.from_numpy(np.sin(speed * i + phase)).reshape(shape)


def begin(net):
    """Weights by their names: norms about 1, biases small, matrices by their inputs."""
    for name, p in net.named_parameters():
        x = wave(p.shape, 0.7, sum(name.encode()) % 97)
        if p.ndim > 1:
            x = x / np.sqrt(p[0].numel())
        else:
            x = (1 if "norm" in name and "weight" in name else 0) + 0.1 * x
        p.data = x
    return net.double()


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4 * 4 * 4, 5)

    def loss(self, step):
        x = wave((6, 1, 8, 8), 0.91, step % 3)
        h = F.max_pool2d(F.relu(self.norm(self.conv(x))), 2)
        return F.cross_entropy(self.fc(h.flatten(1)), torch.arange(6) % 5)


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(6, 8, batch_first=True)
        self.fc = nn.Linear(8, 3)

    def loss(self, step):
        x = wave((6, 5, 6), 0.91, step % 3)
        return F.cross_entropy(self.fc(self.rnn(x)[0][:, -1]), torch.arange(6) % 3)


class Llama(nn.Module):
    def __init__(self):
        super().__init__()
        config = LlamaConfig(
            vocab_size=20,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            intermediate_size=24,
            max_position_embeddings=32,
            rms_norm_eps=1e-5,
        )
        self.of = LlamaForCausalLM(config)

    def named_parameters(self, *args, **options):
        for name, p in self.of.named_parameters(*args, **options):
            yield name, p

    def loss(self, step):
        ids = ((torch.arange(30) * 7 + step * 3) % 20).reshape(3, 10)
        logits = self.of(ids).logits[:, :-1]
        return F.cross_entropy(logits.reshape(-1, 20), ids[:, 1:].reshape(-1))


O = torch.optim


class Muon:
    def __init__(self, params, lr):
        matrices = [p for p in params if p.ndim == 2]
        rest = [p for p in params if p.ndim != 2]
        self.of = [O.Muon(matrices, lr=lr), O.AdamW(rest, lr=lr, weight_decay=0.1)]

    def zero_grad(self):
        for o in self.of:
            o.zero_grad()

    def step(self):
        for o in self.of:
            o.step()


OPTIMISERS = {
    "sgd": lambda p: O.SGD(p, lr=0.05),
    "momentum": lambda p: O.SGD(p, lr=0.02, momentum=0.9),
    "nesterov": lambda p: O.SGD(p, lr=0.02, momentum=0.9, nesterov=True),
    "adam": lambda p: O.Adam(p, lr=2e-3),
    "adamw": lambda p: O.AdamW(p, lr=2e-3, weight_decay=0.1),
    "amsgrad": lambda p: O.AdamW(p, lr=2e-3, weight_decay=0.1, amsgrad=True),
    "adamax": lambda p: O.Adamax(p, lr=2e-3),
    "nadam": lambda p: O.NAdam(p, lr=2e-3),
    "radam": lambda p: O.RAdam(p, lr=2e-3),
    "rmsprop": lambda p: O.RMSprop(p, lr=1e-3),
    "adagrad": lambda p: O.Adagrad(p, lr=1e-2),
    "adadelta": lambda p: O.Adadelta(p, lr=0.5),
    "adafactor": lambda p: O.Adafactor(p, lr=1e-2),
    "lion": lambda p: Lion(p, lr=3e-4, betas=(0.9, 0.99), weight_decay=0.1),
    "muon": lambda p: Muon(p, lr=5e-3),
}
L = O.lr_scheduler
SCHEDULES = {
    "cosine": lambda o: L.CosineAnnealingLR(o, STEPS, eta_min=2e-4),
    "linear": lambda o: L.LinearLR(o, 1.0, 0.25, STEPS),
    "steps": lambda o: L.StepLR(o, 7, 0.5),
    "exponential": lambda o: L.ExponentialLR(o, 0.95),
    "one_cycle": lambda o: L.OneCycleLR(o, 2e-3, total_steps=STEPS, cycle_momentum=False),
    "warmup": lambda o: L.LambdaLR(o, lambda t: t / 10 if t < 10 else 1.0),
    "wsd": lambda o: L.LambdaLR(o, lambda t: 1.0 if t < 45 else (STEPS - t) / 5),
}


def train(kind, make, schedule=None):
    torch.manual_seed(0)
    net = begin(kind())
    optimiser, losses = make([p for _, p in net.named_parameters()]), []
    plan = schedule(optimiser) if schedule else None
    for step in range(STEPS):
        optimiser.zero_grad()
        loss = net.loss(step)
        loss.backward()
        optimiser.step()
        if plan:
            plan.step()
        losses.append(loss.item())
    return torch.tensor(losses, dtype=torch.float64)


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    out = {}
    for kind in (Llama, Cnn, Lstm):
        net = kind.__name__.lower()
        for name, make in OPTIMISERS.items():
            out[f"loss.{net}.{name}"] = train(kind, make)
        for name, plan in SCHEDULES.items():
            out[f"loss.{net}.{name}"] = train(kind, OPTIMISERS["adamw"], plan)
        first, last = out[f"loss.{net}.adamw"][[0, -1]]
        print(net, float(first), float(last))
    save_file(out, os.path.join(HERE, "trajectories.safetensors"))
