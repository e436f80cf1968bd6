# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes tests/golden/models/perplexity.txt: what transformers says of a text's perplexity.

    python3 tests/golden/make_perplexity.py SHARED        (needs torch, transformers)

SHARED holds models/stories260K and corpora/tinystories.txt, of which the first 5,000 bytes
are taken.  A line each: window, stride (0: windows side by side, <s> at the head of each, the
second half counts), tokens that count, mean of -log p(token), its standard error.
"""

import os
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

shared = sys.argv[1]
folder = os.path.join(shared, "models/stories260K")
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
tokenizer = AutoTokenizer.from_pretrained(folder)
with open(os.path.join(shared, "corpora/tinystories.txt"), "rb") as f:
    text = f.read(5000).decode()
ids = tokenizer(text, split_special_tokens=True)["input_ids"]


def costs(window, first):
    """-log p of tokens first .. of the window"""
    x = torch.tensor([window])
    with torch.no_grad():
        logp = model(x).logits[0].double().log_softmax(-1)
    return [-logp[i - 1, window[i]].item() for i in range(first, len(window))]


def evaluate(size, stride):
    all_costs, done = [], 1
    if stride == 0:
        for at in range(0, len(ids) - size + 1, size):
            window = [tokenizer.bos_token_id] + ids[at + 1 : at + size]
            all_costs += costs(window, size // 2 + 1)
    else:
        for at in range(0, len(ids), stride):
            end = min(at + size, len(ids))
            all_costs += costs(ids[at:end], done - at)
            done = end
            if done == len(ids):
                break
    x = torch.tensor(all_costs, dtype=torch.float64)
    n = len(all_costs)
    error = ((x.square().mean() - x.mean().square()) / (n - 1)).sqrt()
    return f"{size} {stride} {n} {x.mean().item():.9f} {error.item():.9f}\n"


here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(here, "models/perplexity.txt"), "w") as f:
    for size, stride in ((512, 0), (128, 0), (512, 256), (100, 30)):
        f.write(evaluate(size, stride))
