# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes tests/golden/tokenizer/bpe.txt: the merges that Hugging Face's BpeTrainer learns from
LICENSE-APACHE, a line each, and checksums of those it learns from ../shared/corpora.

    python3 tests/golden/make_bpe.py             (needs tokenizers)
"""

import json
import os

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CORPORA = [
    ("tinystories", 512),
    ("tinystories", 8000),
    ("shakespeare", 4096),
    ("shakespeare", 20000),
]


def merges(path, vocab, minimum=0):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        min_frequency=minimum,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    t.train_from_iterator([text], trainer)
    found = json.loads(t.to_str())["model"]["merges"]
    return [m if isinstance(m, str) else " ".join(m) for m in found]


def fnv(lines):
    h = 0xCBF29CE484222325
    for byte in "".join(line + "\n" for line in lines).encode():
        h = (h ^ byte) * 0x100000001B3 & (1 << 64) - 1
    return h


with open(os.path.join(HERE, "tokenizer", "bpe.txt"), "w", encoding="utf-8") as out:
    for name, vocab in CORPORA:
        path = os.path.join(ROOT, "..", "shared", "corpora", name + ".txt")
        found = merges(path, vocab)
        print(f"{name} {vocab} {len(found)} {fnv(found):016x}", file=out)
    print("", file=out)
    for merge in merges(os.path.join(ROOT, "LICENSE-APACHE"), 900, 3):
        print(merge, file=out)
