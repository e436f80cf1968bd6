# SPDX-License-Identifier: MIT OR Apache-2.0
"""Sets PyTorch's scaled_dot_product_attention beside build/bench/attention.

    python3 bench/peers_attention.py [text] [rounds]     (needs torch)

For each case whose name has the text in it, both take turns; a line has the medians of
the rounds and how many times faster wick is.
"""

import re
import statistics
import subprocess
import sys
import time

import torch

wish = sys.argv[1] if len(sys.argv) > 1 else ""
rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
LINE = re.compile(r"(\S+) (\d+)/(\d+) heads (\d+)x(\d+)x(\d+) (\w+) (\d+) +([\d.]+) ms")
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def median_of(run, seconds=0.25):
    run()
    times, end = [], time.perf_counter() + seconds
    while len(times) < 4 or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def torch_ms(dtype, h, g, t, s, d, causal, threads):
    torch.set_num_threads(threads)
    q = torch.randn(1, h, t, d).to(DTYPES[dtype])
    k, v = (torch.randn(1, g, s, d).to(DTYPES[dtype]) for _ in "kv")
    with torch.no_grad():
        return median_of(
            lambda: torch.nn.functional.scaled_dot_product_attention(
                q, k, v, is_causal=causal, enable_gqa=h != g
            )
        )


ours, theirs = {}, {}
for _ in range(rounds):
    table = subprocess.run(["build/bench/attention", wish], stdout=subprocess.PIPE, text=True)
    for line in table.stdout.splitlines():
        dtype, h, g, t, s, d, how, threads, ms = LINE.match(line).groups()
        case = (dtype, int(h), int(g), int(t), int(s), int(d), how == "causal", int(threads))
        if dtype not in DTYPES:
            continue
        ours.setdefault(case, []).append(float(ms))
        theirs.setdefault(case, []).append(torch_ms(*case))
print(f"{'case':44} {'wick ms':>9} {'torch ms':>9} {'ratio':>6}")
for case in ours:
    dtype, h, g, t, s, d, causal, threads = case
    name = f"{dtype} {h}/{g} heads {t}x{s}x{d} {'causal' if causal else 'full'} {threads}"
    a, b = statistics.median(ours[case]), statistics.median(theirs[case])
    print(f"{name:44} {a:9.3f} {b:9.3f} {b / a:6.2f}")
