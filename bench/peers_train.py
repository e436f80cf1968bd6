# SPDX-License-Identifier: MIT OR Apache-2.0
"""What bench/train.c measures, by PyTorch on two threads.

    python3 bench/peers_train.py gpt2|llama f32|bf16 [BATCH LENGTH [STEPS]]
    python3 bench/peers_train.py all            both programs in turns, as in docs/performance.md

bf16 is torch.autocast over f32 weights, whose gradients and steps are f32.
"""

import statistics
import subprocess
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

torch.set_num_threads(2)


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc, self.out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = self.qkv(self.ln1(x)).view(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        h = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(h.transpose(1, 2).reshape(b, t, c))
        return x + self.out(F.gelu(self.fc(self.ln2(x)), approximate="tanh"))


class Gpt2(nn.Module):
    vocab = 50257

    def __init__(self):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(self.vocab, 768), nn.Embedding(1024, 768)
        self.wte.weight.data.mul_(0.02)
        self.wpe.weight.data.mul_(0.02)
        self.blocks = nn.ModuleList(Block(768, 12) for _ in range(12))
        self.norm = nn.LayerNorm(768)

    def forward(self, ids):
        x = self.wte(ids) + self.wpe.weight[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.wte.weight)


class LlamaBlock(nn.Module):
    def __init__(self, width, heads, ffn):
        super().__init__()
        self.heads = heads
        self.n1, self.n2 = nn.RMSNorm(width, 1e-5), nn.RMSNorm(width, 1e-5)
        self.q, self.k, self.v, self.o = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.gate, self.up = (nn.Linear(width, ffn, bias=False) for _ in range(2))
        self.down = nn.Linear(ffn, width, bias=False)

    def forward(self, x, cos, sin):
        b, t, c = x.shape
        h = self.n1(x)
        q, k, v = (
            f(h).view(b, t, self.heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v)
        )
        q, k = (y * cos + torch.cat((-y[..., 32:], y[..., :32]), -1) * sin for y in (q, k))
        h = F.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v, is_causal=True)
        x = x + self.o(h.transpose(1, 2).reshape(b, t, c))
        h = self.n2(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Llama(nn.Module):
    vocab = 8192

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(self.vocab, 512)
        self.embed.weight.data.mul_(0.02)
        self.blocks = nn.ModuleList(LlamaBlock(512, 8, 1376) for _ in range(8))
        self.norm = nn.RMSNorm(512, 1e-5)
        angle = torch.outer(torch.arange(1024.0), 10000.0 ** (-torch.arange(0, 64, 2) / 64))
        self.cos, self.sin = angle.cos().repeat(1, 2), angle.sin().repeat(1, 2)

    def forward(self, ids):
        x, t = self.embed(ids), ids.shape[1]
        for block in self.blocks:
            x = block(x, self.cos[:t], self.sin[:t])
        return F.linear(self.norm(x), self.embed.weight)


def run(kind, dtype, b=4, t=64, steps=7):
    torch.manual_seed(1)
    net = {"gpt2": Gpt2, "llama": Llama}[kind]()
    opt = torch.optim.AdamW(net.parameters(), lr=3e-4, weight_decay=0.1, fused=True)
    ids, sample = torch.randint(0, net.vocab, (b, t + 1)), []
    for i in range(-2, steps):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"):
            logits = net(ids[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        opt.step()
        opt.zero_grad(set_to_none=True)
        if i >= 0:
            sample.append(time.perf_counter() - start)
    with open("/proc/self/status") as f:
        peak = [float(line.split()[1]) / 1024 for line in f if line.startswith("VmHWM")][0]
    ms = 1e3 * statistics.median(sample)
    print(f"{kind} {dtype} {b} x {t}: {ms:8.1f} ms, {b * t / ms * 1e3:7.0f} tokens/s, "
          f"peak {peak:6.0f} MB, loss {loss.item():.4f}")


CASES = ["gpt2 f32 4 64", "gpt2 f32 8 128", "llama f32 8 256", "gpt2 bf16 4 64", "gpt2 bf16 8 128",
         "llama bf16 8 256"]

if sys.argv[1] == "all":
    for case in CASES:
        for _ in range(2):
            for program in (["build/bench/train"], [sys.executable, __file__]):
                print(program[-1].split("/")[-1], end=": ", flush=True)
                subprocess.check_call(program + case.split() + ["5"])
else:
    run(sys.argv[1], sys.argv[2], *(int(a) for a in sys.argv[3:]))
