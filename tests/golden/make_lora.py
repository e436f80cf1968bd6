# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes tests/golden/lora: adapters of peft for tests/golden/models/llama, the logits that peft
gives with them, and the relative error of these when the adapter is merged into weights of
bf16, and all is computed in it.

    python3 tests/golden/make_lora.py            (needs torch, transformers, peft)
    python3 tests/golden/make_lora.py FOLDER     compares: FOLDER is an adapter for that model with
                                                 ids [b, t] and logits in golden.safetensors
"""

import os
import shutil
import sys

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
BASE = os.path.join(HERE, "models", "llama")

CASES = {
    "some": dict(r=3, lora_alpha=7, target_modules=["q_proj", "v_proj", "gate_proj", "down_proj"]),
    "all": dict(r=4, lora_alpha=6, target_modules="all-linear", use_rslora=True),
}


def base():
    return AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32).eval()


def make(name, options):
    torch.manual_seed(len(name))
    model = get_peft_model(base(), LoraConfig(task_type="CAUSAL_LM", **options)).eval()
    for key, p in model.named_parameters():
        if "lora_" in key:
            torch.nn.init.normal_(p, std=0.3)
    folder = os.path.join(HERE, "lora", name)
    shutil.rmtree(folder, ignore_errors=True)
    model.peft_config["default"].base_model_name_or_path = "llama"
    model.save_pretrained(folder)
    os.remove(os.path.join(folder, "README.md"))
    ids = torch.randint(0, 48, (2, 9))
    with torch.no_grad():
        logits = model(ids).logits
        for p in model.base_model.model.parameters():
            if p.ndim == 2 and not p.requires_grad:
                p.copy_(p.bfloat16())
        merged = model.merge_and_unload()
        rounded = (merged.bfloat16()(ids).logits - logits).abs().max() / logits.abs().max()
    golden = {"ids": ids, "logits": logits, "rounded": rounded}
    save_file(golden, os.path.join(folder, "golden.safetensors"))


def compare(folder):
    golden = load_file(os.path.join(folder, "golden.safetensors"))
    model = PeftModel.from_pretrained(base(), folder).eval()
    with torch.no_grad():
        logits = model(golden["ids"]).logits
    error = (logits - golden["logits"]).norm() / logits.norm()
    print(f"relative error {error:.2e}")
    sys.exit(not error < 1e-5)


if len(sys.argv) > 1:
    compare(sys.argv[1])
for name, options in CASES.items():
    make(name, options)
