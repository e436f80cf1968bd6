# SPDX-License-Identifier: MIT OR Apache-2.0
"""The tokens of conversations as transformers has them, and which of them are the assistant's.

Writes into tests/golden/templates: tokenizers (those of tests/golden/tokenizer with marks of
conversations added) and tokens.json.

    python tests/golden/make_chats.py
"""
import json
import os
import pathlib

os.environ["HF_HUB_OFFLINE"] = "1"
from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerFast

HERE = pathlib.Path(__file__).parent
OUT = HERE / "templates"

CHATML = """{{ bos_token }}{% for m in messages %}
{{- '<|im_start|>' + m['role'] + '\\n' }}
{%- if m.role == 'assistant' %}{% generation %}{{ m.content | trim }}<|im_end|>{% endgeneration %}
{%- else %}{{ m.content | trim }}<|im_end|>{% endif %}
{{ '\\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
INST = """{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}
{{- '[INST] ' + m.content + ' [/INST]' }}{% elif m.role == 'assistant' %}{% generation %}
{{- ' ' + m.content + '</s>' }}{% endgeneration %}{% endif %}{% endfor %}"""

CHATS = [
    [("user", "Hello world")],
    [("system", "Be kind."), ("user", "  Hello, the world?\n"), ("assistant", "the end.")],
    [("user", "a"), ("assistant", "bc"), ("user", "\nthe\n\nworld "), ("assistant", " Hello  the")],
    [("user", "<think>x</think>"), ("assistant", "<think>hm</think>the"), ("user", "é 🙂 1234")],
]


def tokenizer(source, name, normalized):
    t = Tokenizer.from_file(str(HERE / "tokenizer" / source))
    t.add_special_tokens([AddedToken(x, special=True, normalized=normalized)
                          for x in ("<|im_start|>", "<|im_end|>", "<s>", "</s>")])
    t.add_tokens([AddedToken(x, normalized=False) for x in ("<think>", "</think>")])
    t.save(str(OUT / name), pretty=False)
    return PreTrainedTokenizerFast(tokenizer_file=str(OUT / name), bos_token="<s>",
                                   eos_token="</s>")


def main():
    rows = []
    for source, name, normalized in [("gpt2.json", "bytes.json", False),
                                     ("llama2.json", "pieces.json", False),
                                     ("llama2.json", "normalized.json", True)]:
        t = tokenizer(source, name, normalized)
        for template in (CHATML, INST) if not normalized else ():
            for chat in CHATS:
                messages = [{"role": r, "content": c} for r, c in chat]
                complete = chat[-1][0] == "assistant"
                made = t.apply_chat_template(
                    messages, chat_template=template, tokenize=True, return_dict=True,
                    add_generation_prompt=not complete, return_assistant_tokens_mask=True)
                rows.append({"tokenizer": name, "template": template, "complete": complete,
                             "messages": json.dumps(messages, ensure_ascii=False),
                             "ids": made["input_ids"], "mask": made["assistant_masks"]})
    with open(OUT / "tokens.json", "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(r, ensure_ascii=False) for r in rows) + "\n]\n")
    print(len(rows), "conversations")


if __name__ == "__main__":
    main()
