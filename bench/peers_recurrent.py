# SPDX-License-Identifier: MIT OR Apache-2.0
"""PyTorch beside build/bench/recurrent, in turns: medians of ROUNDS rounds.

    python3 bench/peers_recurrent.py [threads] [text]          (needs torch)
"""

import os
import statistics
import subprocess
import sys
import time

import torch

ROUNDS = 3
threads = int(sys.argv[1]) if len(sys.argv) > 1 else 2
wanted = sys.argv[2] if len(sys.argv) > 2 else ""
torch.set_num_threads(threads)
CASES = [("lstm", torch.nn.LSTM, 64, 32, 256), ("gru", torch.nn.GRU, 64, 32, 256),
         ("rnn", torch.nn.RNN, 64, 32, 256), ("lstm small", torch.nn.LSTM, 32, 16, 64),
         ("lstm large", torch.nn.LSTM, 32, 64, 512), ("lstm one", torch.nn.LSTM, 64, 1, 256)]


def median(run):
    times, end = [], time.perf_counter() + 0.5
    while len(times) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def torch_times(kind, t, b, h):
    m, x = kind(h, h), torch.randn(t, b, h, requires_grad=True)

    def both():
        m(x)[0].sum().backward()
        m.zero_grad(set_to_none=True)
        x.grad = None

    with torch.no_grad():
        forward = median(lambda: m(x))
    return forward, median(both)


found = {}
for _ in range(ROUNDS):
    for name, kind, t, b, h in CASES:
        if wanted in name:
            found.setdefault(name, []).append(torch_times(kind, t, b, h))
    lines = subprocess.run(["build/bench/recurrent"] + ([wanted] if wanted else []),
                           env=dict(os.environ, WICK_THREADS=str(threads)), text=True,
                           capture_output=True, check=True).stdout
    for line in lines.splitlines():
        word = line[11:].split()
        found.setdefault(line[:11].strip() + "/wick", []).append((float(word[6]), float(word[9])))
for name, *_ in CASES:
    if name in found:
        a = [statistics.median(v) for v in zip(*found[name])]
        b = [statistics.median(v) for v in zip(*found[name + "/wick"])]
        print("%-11s torch %8.3f %8.3f   wick %8.3f %8.3f   ratio %5.2f %5.2f" %
              (name, *a, *b, a[0] / b[0], a[1] / b[1]))
