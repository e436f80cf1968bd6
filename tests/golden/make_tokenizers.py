# SPDX-License-Identifier: MIT OR Apache-2.0
"""Rebuild tokenizer.json files from the vocabulary-only GGUF files in shared/tokenizers.

Usage: make_tokenizers.py --shared DIR --out DIR [NAME ...]

DIR is the project's shared folder; one OUT/NAME.json is written per tokenizer below (all of them
without NAME).
Only the Python standard library is used, and the output is the same on every run.

  gpt-2              byte-level BPE, the GPT-2 pre-tokenizer (merges as "a b" strings, the old form)
  falcon             byte-level BPE; Punctuation, ByteLevel, Digits, Split in sequence (merges as
                     [a, b] pairs)
  llama-spm          byte-fallback BPE, the Llama 2 pipeline; merges derived from the scores
  phi-3              as llama-spm, with added tokens behind the vocabulary, most of which strip to
                     their right
  bert-bge           BertNormalizer, BertPreTokenizer, WordPiece, [CLS] A [SEP]
  gpt-2-llama3       the GPT-2 vocabulary behind the Llama 3 split, with ignore_merges and a bos
                     template
  gpt-2-qwen2        ... behind NFC and the Qwen2 split (no bos, as in Qwen2)
  gpt-2-o200k        ... behind the o200k split, written as Removed + invert; bos template
  gpt-2-deepseek-v3  ... behind the three DeepSeek-V3 splits; bos template
  gpt-2-tekken       ... behind the Tekken split
  gpt-2-qwen35       ... behind the Qwen 3.5 split

The gpt-2-* files belong to no published model: they give the pre-tokenizers of today's models a
vocabulary.
Expected ids (shared/tokenizers/NAME.inp and NAME.out, without special tokens) exist for the first
five.
"""

import argparse
import json
import os
import struct

# Regexes exactly as tokenizer.json files carry them.
CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + SPACES
QWEN2 = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + SPACES
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
O200K = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?" + UPPER + "*" + LOWER + "+" + CONTRACTION + "?",
        r"[^\r\n\p{L}\p{N}]?" + UPPER + "+" + LOWER + "*" + CONTRACTION + "?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        SPACES,
    ]
)
DEEPSEEK_V3 = [
    r"\p{N}{1,3}",
    "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|" + SPACES,
]

QWEN35 = QWEN2.replace(r"\p{L}+|", r"[\p{L}\p{M}]+|").replace(
    r"[^\s\p{L}\p{N}]", r"[^\s\p{L}\p{M}\p{N}]"
)
TEKKEN = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?" + UPPER + "*" + LOWER + "+",
        r"[^\r\n\p{L}\p{N}]?" + UPPER + "+" + LOWER + "*",
        r"\p{N}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        SPACES,
    ]
)

# GGUF token types
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)


def read_gguf(path):
    """Return the key/value pairs of a GGUF file (version 2 or 3, little-endian) as a dict."""
    with open(path, "rb") as f:
        data = f.read()
    scalars = {
        0: "B",
        1: "b",
        2: "H",
        3: "h",
        4: "I",
        5: "i",
        6: "f",
        7: "?",
        10: "Q",
        11: "q",
        12: "d",
    }
    pos = 0

    def take(fmt):
        nonlocal pos
        values = struct.unpack_from("<" + fmt, data, pos)
        pos += struct.calcsize("<" + fmt)
        return values

    def string():
        nonlocal pos
        (size,) = take("Q")
        pos += size
        return data[pos - size : pos].decode("utf-8")

    def value(kind):
        if kind == 8:
            return string()
        if kind == 9:
            item, count = take("IQ")
            if item in (8, 9):
                return [value(item) for _ in range(count)]
            return list(take(f"{count}{scalars[item]}"))
        return take(scalars[kind])[0]

    magic, version, _, pairs = take("4sIQQ")
    if magic != b"GGUF" or version not in (2, 3):
        raise ValueError(f"{path}: not a GGUF file of version 2 or 3")
    out = {}
    for _ in range(pairs):
        key = string()
        (kind,) = take("I")
        out[key] = value(kind)
    return out


def read_vocab(shared, name):
    """Return (tokens, types, merges or None, scores or None) of shared/tokenizers/NAME.gguf."""
    kv = read_gguf(os.path.join(shared, "tokenizers", name + ".gguf"))
    get = lambda key: kv.get("tokenizer.ggml." + key)
    tokens = get("tokens")
    if len(set(tokens)) != len(tokens):
        raise ValueError(f"{name}: a token occurs twice")
    return tokens, get("token_type"), get("merges"), get("scores")


def added(id, content, special=True, rstrip=False, normalized=False):
    return {
        "id": id,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": rstrip,
        "normalized": normalized,
        "special": special,
    }


def document(
    model, added_tokens, normalizer=None, pre_tokenizer=None, post_processor=None, decoder=None
):
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added_tokens,
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": post_processor,
        "decoder": decoder,
        "model": model,
    }


def bpe(vocab, merges, unk=None, byte_fallback=False, ignore_merges=False):
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": unk,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": unk is not None,
        "byte_fallback": byte_fallback,
        "ignore_merges": ignore_merges,
        "vocab": vocab,
        "merges": merges,
    }


def sequence(kind, items):
    return {"type": "Sequence", kind: items}


def byte_level(use_regex, trim_offsets=True):
    return {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": trim_offsets,
        "use_regex": use_regex,
    }


def split(regex, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior, "invert": invert}


def template(single, pair, special):
    """A TemplateProcessing; items are ("A" or "B" or a special token, type id), special is
    {token: id}."""

    def item(name, type_id):
        kind = "Sequence" if name in ("A", "B") else "SpecialToken"
        return {kind: {"id": name, "type_id": type_id}}

    return {
        "type": "TemplateProcessing",
        "single": [item(*i) for i in single],
        "pair": [item(*i) for i in pair],
        "special_tokens": {t: {"id": t, "ids": [i], "tokens": [t]} for t, i in special.items()},
    }


def bos_template(bos, id):
    return template([(bos, 0), ("A", 0)], [(bos, 0), ("A", 0), (bos, 1), ("B", 1)], {bos: id})


def derive_merges(tokens, types, scores):
    """Merges of a SentencePiece BPE vocabulary: every way to cut a token into two tokens, the
    best score first.

    Ties are broken as Hugging Face's converter breaks them: the longer left part, the longer
    right part, then
    the order of the vocabulary. Only normal and user-defined tokens take part: SentencePiece
    never builds a
    control or byte token from text.
    """
    usable = {t for t, kind in zip(tokens, types) if kind in (NORMAL, USER_DEFINED)}
    merges = []
    for token, score in zip(tokens, scores):
        if token in usable:
            for cut in range(1, len(token)):
                left, right = token[:cut], token[cut:]
                if left in usable and right in usable:
                    merges.append((-score, -len(left), -len(right), left, right))
    merges.sort(key=lambda m: m[:3])
    return [list(m[3:]) for m in merges]


def gpt2(shared):
    tokens, types, merges, _ = read_vocab(shared, "gpt-2")
    vocab = {t: i for i, t in enumerate(tokens)}
    return document(
        bpe(vocab, merges),
        [added(i, t) for i, t in enumerate(tokens) if types[i] == CONTROL],
        pre_tokenizer=byte_level(True),
        post_processor=byte_level(True, False),
        decoder=byte_level(True),
    )


def gpt2_variant(shared, splits, extra=(), bos=None, normalizer=None, ignore_merges=False):
    """The GPT-2 vocabulary behind other splits; extra special tokens (bos among them) take the
    ids behind it."""
    tokens, types, merges, _ = read_vocab(shared, "gpt-2")
    special = [(i, t) for i, t in enumerate(tokens) if types[i] == CONTROL]
    special += [(len(tokens) + i, t) for i, t in enumerate(extra)]
    post = byte_level(False, False)
    if bos:
        bos_id = next(i for i, t in special if t == bos)
        post = sequence("processors", [byte_level(True, False), bos_template(bos, bos_id)])
    return document(
        bpe(
            {t: i for i, t in enumerate(tokens)},
            [m.split(" ") for m in merges],
            ignore_merges=ignore_merges,
        ),
        [added(i, t) for i, t in special],
        normalizer=normalizer,
        post_processor=post,
        pre_tokenizer=sequence("pretokenizers", splits + [byte_level(False)]),
        decoder=byte_level(True),
    )


def gpt2_llama3(shared):
    return gpt2_variant(
        shared,
        [split(LLAMA3)],
        ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"],
        "<|begin_of_text|>",
        ignore_merges=True,
    )


def gpt2_qwen2(shared):
    return gpt2_variant(
        shared, [split(QWEN2)], ["<|im_start|>", "<|im_end|>"], normalizer={"type": "NFC"}
    )


def gpt2_o200k(shared):
    return gpt2_variant(
        shared,
        [split(O200K, "Removed", True)],
        ["<|startoftext|>", "<|return|>"],
        "<|startoftext|>",
    )


def gpt2_deepseek_v3(shared):
    bos, eos = (
        "<\uff5cbegin\u2581of\u2581sentence\uff5c>",
        "<\uff5cend\u2581of\u2581sentence\uff5c>",
    )
    return gpt2_variant(
        shared,
        [split(r) for r in DEEPSEEK_V3],
        [bos, eos],
        bos,
        normalizer=sequence("normalizers", []),
    )


def gpt2_tekken(shared):
    return gpt2_variant(shared, [split(TEKKEN)], ["<s>", "</s>"], "<s>", ignore_merges=True)


def gpt2_qwen35(shared):
    return gpt2_variant(shared, [split(QWEN35)], ["<|im_start|>"], normalizer={"type": "NFC"})


def falcon(shared):
    tokens, types, merges, _ = read_vocab(shared, "falcon")
    pre = sequence(
        "pretokenizers",
        [
            {"type": "Punctuation", "behavior": "Contiguous"},
            byte_level(True),
            {"type": "Digits", "individual_digits": False},
            split("[0-9][0-9][0-9]"),
        ],
    )
    return document(
        bpe({t: i for i, t in enumerate(tokens)}, [m.split(" ") for m in merges]),
        [added(i, t) for i, t in enumerate(tokens) if types[i] == CONTROL],
        pre_tokenizer=pre,
        post_processor=byte_level(True, False),
        decoder=byte_level(True),
    )


def sentencepiece_bpe(shared, name, vocab_size, added_tokens):
    """The Llama 2 pipeline: the whole text, with every space as "▁", is one word of a byte-
    fallback BPE."""
    tokens, types, _, scores = (
        column and column[:vocab_size] for column in read_vocab(shared, name)
    )
    normalizer = sequence(
        "normalizers",
        [
            {"type": "Prepend", "prepend": "\u2581"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
        ],
    )
    decoder = sequence(
        "decoders",
        [
            {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ],
    )
    model = bpe(
        {t: i for i, t in enumerate(tokens)}, derive_merges(tokens, types, scores), "<unk>", True
    )
    return document(
        model,
        added_tokens,
        normalizer=normalizer,
        post_processor=bos_template("<s>", 1),
        decoder=decoder,
    )


def llama_spm(shared):
    return sentencepiece_bpe(
        shared, "llama-spm", 32000, [added(i, t) for i, t in enumerate(["<unk>", "<s>", "</s>"])]
    )


def phi3(shared):
    """Phi-3: the Llama 2 vocabulary (32000) and 11 added tokens; the GGUF's "[PAD...]" entries
    only fill it up."""
    tokens, types, _, _ = read_vocab(shared, "phi-3")
    extra = [added(0, "<unk>"), added(1, "<s>"), added(2, "</s>", special=False, rstrip=True)]
    for i in range(32000, len(tokens)):
        if types[i] == CONTROL:
            extra.append(added(i, tokens[i], rstrip=tokens[i] != "<|endoftext|>"))
    return sentencepiece_bpe(shared, "phi-3", 32000, extra)


def bert(shared):
    """The GGUF marks word starts with "▁"; WordPiece marks continuations with "##" instead."""
    tokens, types, _, _ = read_vocab(shared, "bert-bge")
    vocab = {}
    for i, t in enumerate(tokens):
        word = t if types[i] == CONTROL else t[1:] if t.startswith("\u2581") else "##" + t
        vocab[word] = i
    if len(vocab) != len(tokens):
        raise ValueError("bert-bge: two tokens became one")
    special = {t: vocab[t] for t in ("[CLS]", "[SEP]")}
    post = template(
        [("[CLS]", 0), ("A", 0), ("[SEP]", 0)],
        [("[CLS]", 0), ("A", 0), ("[SEP]", 0), ("B", 1), ("[SEP]", 1)],
        special,
    )
    model = {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": vocab,
    }
    return document(
        model,
        [added(i, t) for i, t in enumerate(tokens) if types[i] == CONTROL],
        normalizer={
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        pre_tokenizer={"type": "BertPreTokenizer"},
        post_processor=post,
        decoder={"type": "WordPiece", "prefix": "##", "cleanup": True},
    )


MAKERS = {
    "gpt-2": gpt2,
    "falcon": falcon,
    "llama-spm": llama_spm,
    "phi-3": phi3,
    "bert-bge": bert,
    "gpt-2-llama3": gpt2_llama3,
    "gpt-2-qwen2": gpt2_qwen2,
    "gpt-2-o200k": gpt2_o200k,
    "gpt-2-deepseek-v3": gpt2_deepseek_v3,
    "gpt-2-tekken": gpt2_tekken,
    "gpt-2-qwen35": gpt2_qwen35,
}


def main():
    parser = argparse.ArgumentParser(
        description="Rebuild tokenizer.json files from shared/tokenizers/*.gguf."
    )
    parser.add_argument(
        "--shared", required=True, metavar="DIR", help="the project's shared folder"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for NAME.json files")
    parser.add_argument("names", nargs="*", metavar="NAME", help="one of: " + " ".join(MAKERS))
    args = parser.parse_args()
    unknown = [n for n in args.names if n not in MAKERS]
    if unknown:
        parser.error("unknown name: " + " ".join(unknown))
    os.makedirs(args.out, exist_ok=True)
    for name in args.names or MAKERS:
        path = os.path.join(args.out, name + ".json")
        with open(path, "w", encoding="utf-8", newline="\n") as f:
            json.dump(MAKERS[name](args.shared), f, ensure_ascii=False, separators=(",", ":"))
            f.write("\n")
        print(path)


if __name__ == "__main__":
    main()
