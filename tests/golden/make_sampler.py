# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes tests/golden/tokenizer/sampler.json: what transformers leaves to sample from.

    python3 tests/golden/make_sampler.py          (needs torch, transformers)

Rows of [options, seen tokens, logits, kept ids, their probabilities]; the penalties that
transformers does not have are applied as vLLM and the OpenAI API define them.
"""

import json
import os
import random

import torch
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

HERE = os.path.dirname(os.path.abspath(__file__))
OPTIONS = [
    {"temperature": 1.0},
    {"temperature": 0.7},
    {"temperature": 1.0, "top_k": 1},
    {"temperature": 1.3, "top_k": 5},
    {"temperature": 1.0, "top_k": 1000},
    {"temperature": 1.0, "top_p": 0.9},
    {"temperature": 0.5, "top_p": 0.3},
    {"temperature": 2.0, "top_p": 0.999},
    {"temperature": 1.0, "min_p": 0.1},
    {"temperature": 0.8, "top_k": 8, "top_p": 0.7},
    {"temperature": 0.8, "top_k": 9, "min_p": 0.2},
    {"temperature": 1.5, "top_k": 10, "top_p": 0.8, "min_p": 0.05},
    {"temperature": 1.0, "top_p": 0.95, "min_p": 0.02, "repeat_penalty": 1.3},
    {"temperature": 0.9, "top_k": 6, "repeat_penalty": 0.8},
    {"temperature": 1.0, "top_k": 7, "presence_penalty": 0.6, "frequency_penalty": 0.4},
    {"temperature": 1.1, "repeat_penalty": 1.1, "presence_penalty": -0.5, "penalty_last": 3},
]


def run(options, seen, logits):
    x = torch.tensor([logits], dtype=torch.float32)
    seen = seen[-options.get("penalty_last", 0) :]
    if "repeat_penalty" in options and seen:
        ids = torch.tensor([seen])
        x = RepetitionPenaltyLogitsProcessor(options["repeat_penalty"])(ids, x)
    for i in set(seen):
        x[0, i] -= options.get("frequency_penalty", 0) * seen.count(i) + options.get(
            "presence_penalty", 0
        )
    for name, warper in [
        ("temperature", TemperatureLogitsWarper),
        ("top_k", TopKLogitsWarper),
        ("top_p", TopPLogitsWarper),
        ("min_p", MinPLogitsWarper),
    ]:
        if name in options:
            value = options[name]
            x = warper(min(value, len(logits)) if name == "top_k" else value)(None, x)
    p = torch.softmax(x.double(), -1)[0]
    kept = [i for i in range(len(logits)) if x[0, i] > -float("inf")]
    return kept, [round(float(p[i]), 7) for i in kept]


def main():
    rng = random.Random(1)
    rows = []
    for options in OPTIONS:
        for count in (1, 12, 40):
            logits = [round(rng.gauss(0, 2.5), 3) for _ in range(count)]
            if count == 12:
                logits[3] = logits[7]  # a tie
            seen = [rng.randrange(count) for _ in range(5)]
            rows.append([options, seen, logits, *run(options, seen, logits)])
    path = os.path.join(HERE, "tokenizer", "sampler.json")
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        json.dump(rows, f, separators=(",", ":"))
        f.write("\n")
    print(os.path.getsize(path), path)


main()
