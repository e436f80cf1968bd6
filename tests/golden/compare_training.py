# SPDX-License-Identifier: MIT OR Apache-2.0
"""Models and adapters that wick trains, opened by transformers and peft: the same tokens and
logits.  (AutoTokenizer would take Qwen2's own class for a qwen2, whatever the file says, and
with it another splitter.)

    python3 tests/golden/compare_training.py build/wick     (needs torch, transformers, peft)
"""

import json
import os
import subprocess
import sys
import tempfile

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

WICK = os.path.abspath(sys.argv[1])
TEXT = "One day, number 3 met number 10."
VOCAB = 400


def wick(*args):
    return subprocess.run([WICK, *args], check=True, capture_output=True, text=True).stdout


def logits(folder, ids):
    tokens = ",".join(str(i) for i in ids)
    out = wick("logits", folder, "--tokens", tokens, "--all", "--top", str(VOCAB), "--json")
    table = torch.zeros(len(ids), VOCAB)
    for row, found in zip(table, json.loads(out)["logits"]):
        for token, value in found:
            row[token] = value
    return table


def compare(name, model, tokenizer, folder, ours):
    ids = tokenizer(TEXT)["input_ids"]
    same = ids == json.loads(wick("tokenize", folder, TEXT, "--json"))
    with torch.no_grad():
        want = model.eval()(torch.tensor([ids])).logits[0]
    error = float((logits(ours, ids) - want).norm() / want.norm())
    print(f"{name}: tokens {'the same' if same else 'OTHERS'}, relative error {error:.1e}")
    return same and error < 1e-5


good = True
with tempfile.TemporaryDirectory() as work:
    with open(f"{work}/text.txt", "w", encoding="utf-8") as f:
        for i in range(200):
            f.write(f"One day, number {i} met number {i + 7}. They were friends.\n")
    shape = "--layers 2 --width 64 --ctx 64 --steps 30 --vocab".split() + [str(VOCAB)]
    for kind in ("llama", "mistral", "qwen2", "qwen3"):
        base = f"{work}/{kind}"
        wick("train", f"{work}/text.txt", "-o", base, "--type", kind, *shape, "-q")
        for folder in (base, f"{base}/checkpoint-24"):
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
            tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
            good &= compare(folder[len(work) + 1 :], model, tokenizer, folder, folder)
        tune = ["finetune", base, f"{work}/text.txt"] + "--lora 4 --lr 1e-2 --steps 20".split()
        wick(*tune, "--ctx", "64", "-o", f"{work}/a-{kind}", "-q")
        wick(*tune, "--ctx", "64", "-o", f"{work}/m-{kind}", "--merge", "-q")
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        model = PeftModel.from_pretrained(model, f"{work}/a-{kind}")
        good &= compare(f"{kind} with an adapter", model, tokenizer, base, f"{work}/m-{kind}")
sys.exit(not good)
