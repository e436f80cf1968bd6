# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes tests/golden/models/*.gguf: tiny checkpoints of make_models.py as llama.cpp's own
converter writes them.  What transformers says of them is in the folders of the same name.

    python3 tests/golden/make_gguf_models.py LLAMA_CPP     (needs torch, transformers,
    tokenizers, gguf)

LLAMA_CPP is a checkout of llama.cpp, for its convert_hf_to_gguf.py.  That knows pre-tokenizers
by a hash of what they do, but not this one, which is GPT-2's.
"""

import json
import os
import runpy
import shutil
import sys
import tempfile

import tokenizers

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "models")
CASES = [
    "llama",
    "llama_mha_tied_bias",
    "llama_linear",
    "llama_yarn",
    "llama_llama3",
    "qwen2",
    "qwen3",
]


def tokenizer():
    """Letters, as many as the vocabulary has room for, and two of them together."""
    vocab = {"<|endoftext|>": 0, "<s>": 1, "</s>": 2}
    for c in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQR":
        vocab[c] = len(vocab)
    vocab["ab"] = len(vocab)
    t = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocab, merges=[("a", "b")]))
    t.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = tokenizers.decoders.ByteLevel()
    t.add_special_tokens(["<|endoftext|>", "<s>", "</s>"])
    return t


def main():
    converter = os.path.join(sys.argv[1], "convert_hf_to_gguf.py")
    sys.path.insert(0, sys.argv[1])
    from conversion import base

    base.TextModel.get_vocab_base_pre = lambda self, tokenizer: "gpt-2"
    weights = dict(line.split()[:2] for line in open(os.path.join(HERE, "cases.txt")))
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            config = json.load(open(os.path.join(HERE, case, "config.json")))
            config["architectures"] = [config["model_type"].capitalize() + "ForCausalLM"]
            json.dump(config, open(os.path.join(folder, "config.json"), "w"))
            shutil.copy(os.path.join(HERE, weights[case], "model.safetensors"), folder)
            tokenizer().save(os.path.join(folder, "tokenizer.json"))
            plain = {"tokenizer_class": "PreTrainedTokenizerFast"}
            json.dump(plain, open(os.path.join(folder, "tokenizer_config.json"), "w"))
            out = os.path.join(HERE, case + ".gguf")
            sys.argv = [converter, folder, "--outtype", "f32", "--outfile", out]
            runpy.run_path(converter, run_name="__main__")
            print(case, os.path.getsize(out))


main()
