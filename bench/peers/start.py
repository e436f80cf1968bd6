# SPDX-License-Identifier: MIT OR Apache-2.0
"""Seconds from the start of programs to the first byte they print and to their end, and their
largest resident memory: medians of rounds in turns.

    python3 bench/peers/start.py ROUNDS 'build/wick run FILE.gguf "TEXT" -n 1 -q' \\
        'LLAMA_SIMPLE -m FILE.gguf -n 1 "TEXT"'

llama.cpp's examples/simple prints a prompt's text together with the first new token.
"""

import os
import shlex
import statistics
import subprocess
import sys
import time


def run(command):
    start = time.monotonic()
    p = subprocess.Popen(shlex.split(command), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    os.read(p.stdout.fileno(), 1)
    first = time.monotonic() - start
    while os.read(p.stdout.fileno(), 65536):
        pass
    _, status, usage = os.wait4(p.pid, 0)
    if status:
        sys.exit(f"{command}: ended with {status}")
    return first, time.monotonic() - start, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime


rounds, commands = int(sys.argv[1]), sys.argv[2:]
results = [[] for _ in commands]
for _ in range(rounds):
    for result, command in zip(results, commands):
        result.append(run(command))
for result, command in zip(results, commands):
    first, end, memory, cpu = (statistics.median(column) for column in zip(*result))
    print(f"{first:8.3f} s  {end:8.3f} s  {cpu:8.3f} s of CPU  {memory:8.0f} MiB  {command[:100]}")
if len(commands) > 1:
    ratio = statistics.median(b[0] / a[0] for a, b in zip(results[0], results[1]))
    print(f"first byte: the second takes {ratio:.2f} times as long")
