# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes tests/golden/models: tiny random checkpoints and what transformers says of them.

    python3 tests/golden/make_models.py          (needs torch, transformers, safetensors)

Every case is a folder with config.json and golden.safetensors, which holds token ids
[b, t] and logits [b, t, vocab] in f32; for the first row also with the weights rounded to
bf16, and the relative error of transformers when it computes all of that in bf16.  A line
in cases.txt names the case, the folder whose model.safetensors it uses, and the tokens of
a greedy answer to its first row.  Rope scalings change no weights, so they share those of
llama.
"""

import json
import os
import sys

import torch
import transformers
from safetensors.torch import save_file

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "models")

BASE = dict(
    vocab_size=48,
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    rms_norm_eps=1e-5,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
    tie_word_embeddings=False,
)

LINEAR = dict(rope_type="linear", factor=2.5)
DYNAMIC = dict(rope_type="dynamic", factor=2.0)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=16)
LONG = dict(
    rope_type="longrope",
    original_max_position_embeddings=16,
    short_factor=[1.0, 1.5],
    long_factor=[2.0, 5.0],
)

LLAMA3 = dict(
    rope_type="llama3",
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=24,
)
MSCALE = dict(YARN, mscale=0.7, mscale_all_dim=0.9, beta_fast=8.0, beta_slow=2.0, truncate=False)
BIASED = dict(attention_bias=True, mlp_bias=True)
WINDOW = dict(use_sliding_window=True, max_window_layers=1)

# name: (class, weights of which case, changes, old-style config file)
CASES = {
    "llama": ("Llama", "llama", {}, False),
    "llama_mha_tied_bias": (
        "Llama",
        None,
        dict(BIASED, num_key_value_heads=4, tie_word_embeddings=True),
        False,
    ),
    "llama_head_dim": ("Llama", None, dict(head_dim=12, hidden_act="gelu"), False),
    "llama_theta": ("Llama", "llama", dict(rope_theta=500000.0), True),
    "llama_linear": ("Llama", "llama", dict(rope_scaling=LINEAR), True),
    "llama_dynamic": (
        "Llama",
        "llama",
        dict(rope_scaling=DYNAMIC, max_position_embeddings=24),
        False,
    ),
    "llama_yarn": ("Llama", "llama", dict(rope_scaling=YARN), False),
    "llama_yarn_mscale": ("Llama", "llama", dict(rope_scaling=MSCALE), False),
    "llama_yarn_factor": (
        "Llama",
        "llama",
        dict(rope_scaling=dict(YARN, attention_factor=1.3)),
        True,
    ),
    "llama_longrope": ("Llama", "llama", dict(rope_scaling=LONG), False),
    "llama_llama3": ("Llama", "llama", dict(rope_scaling=LLAMA3, rope_theta=100.0), True),
    "mistral": ("Mistral", None, dict(sliding_window=7), False),
    "mistral_full": ("Mistral", "mistral", dict(sliding_window=None), False),
    "qwen2": ("Qwen2", None, {}, False),
    "qwen2_tied_window": (
        "Qwen2",
        None,
        dict(WINDOW, sliding_window=5, tie_word_embeddings=True),
        False,
    ),
    "qwen3": ("Qwen3", None, dict(head_dim=8), False),
    "qwen3_window_bias": (
        "Qwen3",
        None,
        dict(WINDOW, sliding_window=6, head_dim=8, attention_bias=True),
        False,
    ),
}


def randomise(model):
    for name, p in model.named_parameters():
        if name.endswith("norm.weight"):
            p.data = 1 + 0.2 * torch.randn_like(p)
        else:
            p.data = 0.25 * torch.randn_like(p)


def old_style(config, changes):
    """As files before transformers 5: rope_theta and rope_scaling side by side."""
    config.pop("rope_parameters", None)
    config["rope_theta"] = changes.get("rope_theta", 10000.0)
    scaling = changes.get("rope_scaling")
    if scaling:
        config["rope_scaling"] = {
            ("type" if k == "rope_type" and scaling[k] == "linear" else k): v
            for k, v in scaling.items()
        }
    return config


def make(name, family, weights, changes, old, states, lines):
    torch.manual_seed(len(states) + 1)
    config_class = getattr(transformers, family + "Config")
    config = config_class(**dict(BASE, **changes))
    model = getattr(transformers, family + "ForCausalLM")(config).float().eval()
    model.set_attn_implementation("eager")
    if weights and weights in states:
        model.load_state_dict(states[weights])
    else:
        randomise(model)
        if weights is None or weights == name:
            states[name] = {k: v.clone() for k, v in model.state_dict().items()}
    folder = os.path.join(HERE, name)
    os.makedirs(folder, exist_ok=True)
    if weights is None or weights == name:
        state = {
            k: v.contiguous()
            for k, v in model.state_dict().items()
            if not (config.tie_word_embeddings and k == "lm_head.weight")
        }
        save_file(state, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    text = json.loads(config.to_json_string(use_diff=False))
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(old_style(text, changes) if old else text, f, indent=1)
    ids = torch.randint(3, BASE["vocab_size"], (2, 40))
    with torch.no_grad():
        logits = model(ids).logits
        answer, end = [], ids[:1, :9]
        for _ in range(12):
            token = model(end).logits[0, -1].argmax()
            answer.append(int(token))
            end = torch.cat([end, token.reshape(1, 1)], 1)
    golden = {"ids": ids.int(), "logits": logits.contiguous()}
    if weights is None or weights == name:  # computed in f32 with weights rounded to bf16
        for p in model.parameters():
            p.data = p.data.bfloat16().float()
        with torch.no_grad():
            exact = golden["logits_bf16"] = model(ids[:1]).logits.contiguous()
            half = model.bfloat16()(ids[:1]).logits.float()  # how far bf16 takes transformers
        golden["error_bf16"] = ((half - exact).abs().max() / exact.abs().max()).reshape(1)
    save_file(golden, os.path.join(folder, "golden.safetensors"))
    lines.append(" ".join([name, weights or name] + [str(i) for i in answer]))


def tokenizer():
    """Every character a token, byte-level, for all of these models."""
    chars = "\n !,.?abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN"[:45]
    vocab = {"<pad>": 0, "<s>": 1, "</s>": 2}
    for c in chars:
        vocab[{" ": "\u0120", "\n": "\u010a"}.get(c, c)] = len(vocab)
    flags = dict(single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
    text = dict(
        version="1.0",
        truncation=None,
        padding=None,
        normalizer=None,
        post_processor=None,
        added_tokens=[dict(id=vocab[t], content=t, **flags) for t in list(vocab)[:3]],
        pre_tokenizer=dict(
            type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True
        ),
        decoder=dict(type="ByteLevel"),
        model=dict(
            type="BPE",
            dropout=None,
            unk_token=None,
            fuse_unk=False,
            continuing_subword_prefix=None,
            end_of_word_suffix=None,
            byte_fallback=False,
            ignore_merges=False,
            vocab=vocab,
            merges=[],
        ),
    )
    with open(os.path.join(HERE, "tokenizer.json"), "w") as f:
        json.dump(text, f, ensure_ascii=False, indent=0)


def main():
    states, lines = {}, []
    print("torch", torch.__version__, "transformers", transformers.__version__, file=sys.stderr)
    for name, case in CASES.items():
        make(name, *case, states, lines)
    with open(os.path.join(HERE, "cases.txt"), "w") as f:
        f.write("\n".join(lines) + "\n")
    tokenizer()


main()
