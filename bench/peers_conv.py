#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The cases of bench/conv.c in PyTorch.

    OMP_NUM_THREADS=2 python bench/peers_conv.py conv:f32:8x64x56x56:64x3x3:1:1:1

With --turns build/bench/conv it runs both in turns, case by case, and prints ratios.  With
OMP_NUM_THREADS=1 both are on one thread, and what counts is processor time."""
import os
import subprocess
import sys
import time

import torch
import torch.nn.functional as F

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
SAMPLES, SAMPLE_TIME = 9, 0.04
THREADS = torch.get_num_threads()
now = time.perf_counter if THREADS > 1 else time.process_time


def measure(run):
    run()
    repeat = 1
    while True:
        start = now()
        for _ in range(repeat):
            run()
        took = now() - start
        if took > SAMPLE_TIME / 4:
            break
        repeat *= 2
    repeat = int(repeat * SAMPLE_TIME / took) + 1
    samples = []
    for _ in range(SAMPLES):
        start = now()
        for _ in range(repeat):
            run()
        samples.append((now() - start) / repeat)
    return sorted(samples)[SAMPLES // 2]


def case(text):
    op, dtype, size, kernel, *rest = text.split(":")
    x = torch.randn(*map(int, size.split("x")), dtype=DTYPES[dtype], requires_grad=True)
    kernel, rest = list(map(int, kernel.split("x"))), list(map(int, rest))
    w = None
    if op == "conv":
        o, kh, kw = kernel
        stride, padding, groups = rest
        w = torch.randn(o, x.shape[1] // groups, kh, kw, dtype=x.dtype, requires_grad=True)
        forward = lambda: F.conv2d(x, w, None, stride, padding, 1, groups)
    else:
        forward = lambda: F.max_pool2d(x, kernel, *rest)
    dy = torch.randn_like(forward()).detach()

    def there():
        with torch.no_grad():
            forward()

    def back():
        (forward() * dy).sum().backward()
        x.grad = None
        if w is not None:
            w.grad = None

    return measure(there) * 1e6, measure(back) * 1e6


def turns(program, cases):
    head = ("wick", "torch", "ratio", "and back", "torch", "ratio")
    print(f"{'case':42} " + " ".join(f"{h:>10}" for h in head))
    env = dict(os.environ, WICK_THREADS=str(THREADS))
    for text in cases:
        ours = []
        peers = []
        for _ in range(3):
            out = subprocess.check_output([program, text], text=True, env=env)
            words = out.splitlines()[-1].split()
            ours.append((float(words[1]), float(words[3])))
            peers.append(case(text))
        a, b = (sorted(v[i] for v in ours)[1] for i in (0, 1))
        c, d = (sorted(v[i] for v in peers)[1] for i in (0, 1))
        row = (a, c, c / a, b, d, d / b)
        print(f"{text:42} " + " ".join(f"{v:10.2f}" for v in row), flush=True)


if sys.argv[1] == "--turns":
    turns(sys.argv[2], sys.argv[3:])
else:
    for text in sys.argv[1:]:
        print(f"{text:42} {'%12.1f %12.1f' % case(text)}", flush=True)
