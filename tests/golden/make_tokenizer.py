# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes tests/golden/tokenizer: what Hugging Face's tokenizers does, step by step and in whole.

    python3 tests/golden/make_tokenizer.py [SHARED]          (needs tokenizers)

steps.json      normalizers, pre-tokenizers and decoders alone, on texts of all kinds
NAME.json       small tokenizers, trained here; NAME.ids.json: texts, ids and decoded texts
real.json       random texts and checksums of their ids for the vocabularies in SHARED, with
                the head of each tokenizer.json; made only where SHARED is given
"""

import json
import os
import sys
import zlib

from tokenizers import AddedToken, Regex, Tokenizer, models, trainers
from tokenizers import decoders as D
from tokenizers import normalizers as N
from tokenizers import pre_tokenizers as P
from tokenizers import processors as T

import make_tokenizers as real
import random_text

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tokenizer")

TEXTS = [
    "",
    "Hello, world!",
    "The quick  brown   fox jumped's over 12345 lazy-dogs.",
    " leading",
    "tail  ",
    "a",
    " ",
    "\n",
    "  \n\n  x\t\ty \r\n z",
    "don't we'll I'VE He'S they\u017f'\u017f it's's",
    "na\u00efve caf\u00e9 e\u0301 \u00c5 \u212b \ufb01n \u2460 \u00bd \u2167 \u00b2",
    "\u0130stanbul \u01c5 STRASSE \u00df",
    "\u4f60\u597d\u4e16\u754c\u3002\u3053\u3093\u306b\u3061\u306f \u30ab\u30bf\u30ab\u30ca",
    "\uc548\ub155 \u1112\u1161\u11ab\u1100\u1173\u11af",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 \u0663\u0664\u0665",
    "\u0939\u093f\u0928\u094d\u0926\u0940 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
    "\U0001f469\u200d\U0001f4bb\U0001f600 \U0001f1e9\U0001f1ea \U0001d400\U00020000",
    "\u0315\u0300\u05ae\u0300 a\u0315\u0300b \u1e69 \u0f73\u0f71",
    "\x00\x01\x1c\x7f\x85\xa0\xad\u200b\u200d\u2028\ufeff\ufffd",
    "tab\tand\x0bvt\x0cff\u3000wide\u2003em\u180emvs",
    '$100.00 + 50% = \u20ac5 <tag attr="x"/> a_b::c #!/bin',
    "f(x)=x**2;//comment\n/* more */\r\n\r\n//",
    "1234567 89 3.14 1,000 0x1F",
    "CamelCaseHTTPServer iPhone McDONALD'S XMLHttp\u00c9a",
    "\u2581under \u2581\u2581score \u2581",
    "the-final--countdown---",
    "--",
    "</s><s> </s> x<s>y <unk>",
    "<0x41><0xC3><0xA9>",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
    "abababababababababababababababababababababababababababababababababababababababababab",
    "  the of and to in  that",
    "YES yes Yes[MASK] [MASK]  word[MASK]word  <|a|><|a|>> <|ab|> <| end",
    "it was the best of times, it was the worst of times",
    "ABC\u4e00def\u4e8c\u4e8cGHI \u02b0x \u0301y",
    "one\ntwo\n\nthree\n\n\n",
    "a\u00a0b c\u202fd",
]
SHORT = [t for t in TEXTS if 0 < len(t) < 32]

CORPUS = [
    "It was the best of times, it was the worst of times, it was the age of wisdom.",
    "The quick brown fox jumps over the lazy dog. The dog didn't care; it's used to that.",
    "Hello world, hello there! 1234567890 12 34 56 100 2000 and 3.14159.",
    "Once upon a time there was a little girl who lived in a village near the forest.",
    'def main():\n    print("Hello")\n    return 0\n\nif x == 1:\n\tpass\n',
    "caf\u00e9 na\u00efve r\u00e9sum\u00e9 \u00fcber stra\u00dfe \u4f60\u597d \u4e16\u754c "
    "\u041f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440",
    "to be, or not to be: that is the question. we'll see, they've said, I'm done.",
]


def name_of(spec):
    return json.loads(spec.__getstate__().decode()) if not isinstance(spec, dict) else spec


def save(name, value):
    path = os.path.join(HERE, name)
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        json.dump(value, f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")
    print(f"{os.path.getsize(path):8d} {name}")


# ---- Steps -------------------------------------------------------------------

NORMALIZERS = [
    N.NFC(),
    N.NFD(),
    N.NFKC(),
    N.NFKD(),
    N.Lowercase(),
    N.Strip(),
    N.Strip(left=False),
    N.StripAccents(),
    N.Nmt(),
    N.Prepend("\u2581"),
    N.Replace(" ", "\u2581"),
    N.Replace("--", "-"),
    N.Replace(Regex(r"\s+"), " "),
    N.Replace(Regex(r"(?i)[aeiou]{2,}"), "<>"),
    N.Replace(Regex(r"x*"), "."),
    N.ByteLevel(),
    N.BertNormalizer(),
    N.BertNormalizer(lowercase=False),
    N.BertNormalizer(clean_text=False, strip_accents=False),
    N.BertNormalizer(handle_chinese_chars=False, strip_accents=True, lowercase=False),
    N.Sequence([N.NFD(), N.StripAccents(), N.Sequence([N.Lowercase()])]),
    N.Sequence([]),
]

BEHAVIORS = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
REGEXES = [  # of real models, and of the corners of the dialect
    r"\p{N}{1,3}",
    r"[^\n]+|[\n]+",
    r"[0-9][0-9][0-9]",
    r" ?[^(\s|[.,!?…。，、।۔،])]+",
    r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*"
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+",
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿ]+",
    r"\s+$",
    r"^.",
    r"\w+",
    r"\W+",
    r"\b",
    r"\bt\w*\b",
    r"\d{1,3}(?=(?:\d{3})*\b)",
    r"(?=(\d{3})+(?!\d))",
    r"a{2,3}+",
    r"a{,2}b|\{x\}",
    r"[[:punct:]]+|[[:alpha:]]+",
    r"[^[:space:]\p{^L}]+",
    r"[a-c[x-z]]+|[^a[^b]]",
    r"\h{2}",
    r"[\h&&[^a-c]]+",
    r"[\S&&\D]+",
    r"\x41|\u0301|\x{1F600}|\t\v",
    r"a(?i)b|c",
    r"(?<n>ab)+?",
    r"\p{Hiragana}+|\P{L}",
    r"[]a]+",
    r"[a\-z]|[\]\[]",
    r"(?m:x.y)|(?i)THE",
]
STRINGS = ["-", " ", "a", "--", "\u2581"]


def pre_tokenizers():
    out = [
        P.BertPreTokenizer(),
        P.ByteLevel(),
        P.ByteLevel(add_prefix_space=False),
        P.ByteLevel(add_prefix_space=False, use_regex=False),
        P.CharDelimiterSplit("-"),
        P.Digits(),
        P.Digits(True),
        P.FixedLength(3),
        P.FixedLength(),
        P.Whitespace(),
        P.WhitespaceSplit(),
    ]
    out += [
        P.Metaspace(prepend_scheme=s, split=b)
        for s in ("always", "first", "never")
        for b in (True, False)
    ]
    out += [P.Punctuation(b) for b in BEHAVIORS]
    out += [P.Split(s, b, invert=i) for s in ("-", " ") for b in BEHAVIORS for i in (False, True)]
    out += [P.Split(Regex(r), "isolated") for r in REGEXES]
    out += [P.Split(Regex(r"\d|[.,]"), b, invert=i) for b in BEHAVIORS for i in (False, True)]
    out += [
        P.Split(Regex(r), "isolated")
        for r in (real.LLAMA3, real.QWEN2, real.O200K, real.TEKKEN, real.QWEN35)
    ]
    out += [P.Split(Regex(real.O200K), "removed", invert=True)]
    out += [P.Sequence([P.Split(Regex(r), "isolated") for r in real.DEEPSEEK_V3])]
    out += [
        P.Sequence(
            [
                P.Punctuation("contiguous"),
                P.ByteLevel(add_prefix_space=False),
                P.Digits(),
                P.Split(Regex("[0-9][0-9][0-9]"), "isolated"),
            ]
        )
    ]
    out += [
        P.Sequence([P.WhitespaceSplit(), P.Metaspace(prepend_scheme="first")]),
        P.Sequence([P.Digits(True), P.ByteLevel(add_prefix_space=True)]),
    ]
    return out


DECODERS = [
    D.ByteLevel(),
    D.ByteFallback(),
    D.Fuse(),
    D.Metaspace(),
    D.Metaspace(prepend_scheme="never"),
    D.BPEDecoder(),
    D.WordPiece(),
    D.WordPiece(prefix="", cleanup=False),
    D.WordPiece(cleanup=False),
    D.Strip(" ", 1, 0),
    D.Strip("a", 0, 2),
    D.Strip("a", 2, 1),
    D.Replace("\u2581", " "),
    D.Replace("aba", "x"),
    D.Replace(Regex("[ab]+"), "-"),
    D.Sequence([D.Replace("\u2581", " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)]),
    D.Sequence([D.Fuse(), D.Replace("aba", "x")]),
    D.Sequence([D.Fuse(), D.Strip("a", 1, 3)]),
    D.Sequence([D.ByteLevel(), D.Replace("\u00e9", "e")]),
    D.Sequence([D.ByteFallback(), D.ByteFallback(), D.Metaspace()]),
    D.Sequence([D.Fuse(), D.Replace(Regex("a+"), "")]),
    D.Sequence([]),
]
TOKENS = [
    [],
    ["Hello", "\u0120world", "!"],
    ["\u2581Hello", "\u2581\u2581wor", "ld\u2581"],
    ["hello</w>", "wor", "ld</w>"],
    ["Hel", "##lo", ",", "do", "not", "n't", "'", "s", ".", "a . b"],
    ["<0xE4>", "<0xBD>", "<0xA0>", "<0x41>", "x"],
    ["<0xE4>", "<0xBD>", "x", "<0xC3>", "<0xA9>", "<0xFF>"],
    ["<0x0A>", "<0xc3>", "<0xA9>", "<0xGG>", "<0x4>"],
    ["\u00c3", "\u00a9", "\u00f0\u0141\u013a\u0122", "\u00ff", "\u00e4\u00bd", "x"],
    ["\u4f60", "\u0120a"],
    ["\u00c3", "\u4f60", "\u00a9"],
    [" a", " b"],
    ["  x", "xbaaa", "bcab"],
    ["ab", "ababa", "b", "abaaba", "caba"],
    ["aab", "aa", "ba", "ca"],
    ["\u2581", "\u2581a"],
    ["\u00e1", "\u00e1\u0142", "\u00ed\u0142\u0122x", "\u00f4\u0131"],
]


def steps():
    strings = {}  # all outputs, each once; rows hold their numbers

    def number(s):
        return strings.setdefault(s, len(strings))

    def decode(d, tokens):
        try:
            return number(d.decode(tokens))
        except BaseException:  # the reference panics
            return None

    def row(spec, out):
        return {"spec": name_of(spec), "out": out}

    save(
        "steps.json",
        {
            "texts": TEXTS + CORPUS,
            "short": SHORT,
            "tokens": TOKENS,
            "normalizers": [
                row(n, [number(n.normalize_str(t)) for t in TEXTS]) for n in NORMALIZERS
            ],
            "pre_tokenizers": [
                row(p, [number("\u241f".join(x for x, _ in p.pre_tokenize_str(t))) for t in SHORT])
                for p in pre_tokenizers()
            ],
            "decoders": [row(d, [decode(d, t) for t in TOKENS]) for d in DECODERS],
            "strings": list(strings),
        },
    )


# ---- Small tokenizers --------------------------------------------------------


def trained(model, trainer, normalizer=None, pre=None):
    t = Tokenizer(model)
    if normalizer:
        t.normalizer = normalizer
    if pre:
        t.pre_tokenizer = pre
    t.train_from_iterator(CORPUS, trainer)
    return t


def bpe(size, alphabet=(), special=(), **options):
    return trainers.BpeTrainer(
        vocab_size=size,
        show_progress=False,
        initial_alphabet=list(alphabet),
        special_tokens=list(special),
        **options,
    )


def gpt2():
    t = trained(
        models.BPE(),
        bpe(340, P.ByteLevel.alphabet(), ["<|endoftext|>"]),
        None,
        P.ByteLevel(add_prefix_space=False),
    )
    t.post_processor, t.decoder = T.ByteLevel(trim_offsets=False), D.ByteLevel()
    return t


def llama3():
    pre = P.Sequence(
        [
            P.Split(Regex(real.LLAMA3), "isolated"),
            P.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    t = trained(models.BPE(ignore_merges=True), bpe(330, P.ByteLevel.alphabet()), None, pre)
    doc = json.loads(t.to_str())
    doc["model"]["vocab"]["\u0120unreachable"] = len(doc["model"]["vocab"])
    doc["model"]["vocab"]["Hello"] = len(doc["model"]["vocab"])
    t = Tokenizer.from_str(json.dumps(doc))
    t.add_special_tokens(["<s>", "</s>"])
    t.add_tokens(
        [
            AddedToken("[MASK]", lstrip=True, special=True),
            AddedToken("<|a|>", rstrip=True, normalized=False),
            AddedToken("<|ab|>", normalized=False),
            AddedToken("yes", single_word=True, normalized=False),
            AddedToken("<|a|>>", normalized=False),
            AddedToken("  ", normalized=False),
        ]
    )
    t.post_processor = T.Sequence(
        [
            T.ByteLevel(trim_offsets=False),
            T.TemplateProcessing(
                single="<s> $A </s>",
                pair="<s> $A </s> $B",
                special_tokens=[(x, t.token_to_id(x)) for x in ("<s>", "</s>")],
            ),
        ]
    )
    t.decoder = D.ByteLevel()
    return t


def llama2(byte_fallback=True, fuse=True, missing=(), prepend=True):
    """Byte fallback; missing bytes make it incomplete."""
    special = ["<unk>", "<s>", "</s>"] + [
        f"<0x{i:02X}>" for i in range(256) if byte_fallback and i not in missing
    ]
    normalizer = N.Sequence(
        [N.Prepend("\u2581"), N.Replace(" ", "\u2581")] if prepend else [N.Replace(" ", "\u2581")]
    )
    t = trained(
        models.BPE(unk_token="<unk>", fuse_unk=fuse, byte_fallback=byte_fallback),
        bpe(len(special) + 150, [], special),
        normalizer,
        None if prepend else P.Split(" ", "merged_with_previous"),
    )
    doc = json.loads(t.to_str())
    doc["added_tokens"] = [x for x in doc["added_tokens"] if not x["content"].startswith("<0x")]
    t = Tokenizer.from_str(json.dumps(doc))
    t.post_processor = T.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    t.decoder = D.Sequence(
        [D.Replace("\u2581", " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)]
    )
    return t


def clip():
    normalizer = N.Sequence([N.NFC(), N.Replace(Regex(r"\s+"), " "), N.Lowercase()])
    pre = P.Sequence(
        [
            P.Split(
                Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"),
                "removed",
                invert=True,
            ),
            P.ByteLevel(add_prefix_space=False),
        ]
    )
    t = trained(
        models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"),
        bpe(
            420,
            P.ByteLevel.alphabet(),
            ["<|startoftext|>", "<|endoftext|>"],
            end_of_word_suffix="</w>",
        ),
        normalizer,
        pre,
    )
    t.post_processor = T.RobertaProcessing(
        ("<|endoftext|>", 1), ("<|startoftext|>", 0), False, False
    )
    t.decoder = D.BPEDecoder("</w>")
    return t


def prefixed():
    t = trained(
        models.BPE(unk_token="[UNK]", continuing_subword_prefix="##"),
        bpe(180, [], ["[UNK]"], continuing_subword_prefix="##"),
        N.BertNormalizer(),
        P.BertPreTokenizer(),
    )
    t.add_tokens(
        [
            AddedToken("YES", normalized=True),
            AddedToken("it was", normalized=True, lstrip=True, rstrip=True),
            AddedToken("the", normalized=True, single_word=True),
        ]
    )
    t.decoder = D.WordPiece()
    return t


def bert():
    t = trained(
        models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=20),
        trainers.WordPieceTrainer(
            vocab_size=200,
            show_progress=False,
            special_tokens=["[UNK]", "[CLS]", "[SEP]", "[MASK]"],
        ),
        N.BertNormalizer(),
        P.BertPreTokenizer(),
    )
    t.post_processor, t.decoder = T.BertProcessing(("[SEP]", 2), ("[CLS]", 1)), D.WordPiece()
    return t


def levels():
    t = trained(
        models.WordLevel(unk_token="<unk>"),
        trainers.WordLevelTrainer(show_progress=False, special_tokens=["<unk>", "<s>"]),
        N.Lowercase(),
        P.Whitespace(),
    )
    t.post_processor = T.TemplateProcessing(
        single="<s>:0 $A:0 <s>:1 $A:1", pair="$A $B", special_tokens=[("<s>", 1)]
    )
    return t


def metaspace():
    t = trained(
        models.BPE(unk_token="<unk>", fuse_unk=True),
        bpe(160, [], ["<unk>", "</s>"]),
        N.Sequence([N.Nmt(), N.NFKC()]),
        P.Metaspace(prepend_scheme="first"),
    )
    t.decoder = D.Metaspace(prepend_scheme="first")
    return t


def old_merges(t):
    """The same with merges as "a b", as files had them."""
    doc = json.loads(t.to_str())
    doc["model"]["merges"] = ["#version: 0.2"] + [" ".join(m) for m in doc["model"]["merges"]]
    del doc["model"]["type"], doc["model"]["ignore_merges"]
    doc["model"]["continuing_subword_prefix"] = doc["model"]["end_of_word_suffix"] = ""
    return Tokenizer.from_str(json.dumps(doc)), doc


MODELS = {
    "llama3": llama3,
    "llama2": llama2,
    "gemma": lambda: llama2(prepend=False),
    "unknown": lambda: llama2(False, False),
    "fused": lambda: llama2(False, True),
    "half": lambda: llama2(True, True, range(128, 256)),
    "clip": clip,
    "prefixed": prefixed,
    "bert": bert,
    "levels": levels,
    "metaspace": metaspace,
}


def cases(t):
    """For each text ids with special tokens, without (null: the same), with special tokens taken
    for plain text (null: the same), and decoded without and with special tokens (null: the text).
    """
    rows = []
    for text in TEXTS + CORPUS:
        special, ids = t.encode(text).ids, t.encode(text, add_special_tokens=False).ids
        t.encode_special_tokens = True
        plain = t.encode(text, add_special_tokens=False).ids
        t.encode_special_tokens = False
        decoded = [t.decode(special, skip) for skip in (True, False)]
        rows.append(
            [special, None if ids == special else ids, None if plain == ids else plain]
            + [None if d == text else d for d in decoded]
        )
    return rows


def small():
    for name, make in MODELS.items():
        t = make()
        save(name + ".json", json.loads(t.to_str()))
        save(name + ".ids.json", cases(t))
    t, doc = old_merges(gpt2())
    save("gpt2.json", doc)
    save("gpt2.ids.json", cases(t))


# ---- Real vocabularies -------------------------------------------------------


def checksum(ids):
    return zlib.crc32(b"".join(i.to_bytes(4, "little") for i in ids))


def large(shared):
    with open(os.path.join(shared, "corpora", "shakespeare.txt"), encoding="utf-8") as f:
        words = sorted(set(f.read().split()))[::7]
    docs = {name: make(shared) for name, make in real.MAKERS.items()}
    added = [
        "<|endoftext|>",
        "</s>",
        "<s>",
        "[SEP]",
        "<|end|>",
        "<|begin_of_text|>",
        "<|im_start|>",
    ]
    newer = random_text.newer_characters()
    texts = [
        t.decode("utf-8")
        for t in random_text.texts("real", 400, words, added, newer.__contains__)
        if random_text.valid(t) and len(t) < 150
    ][:200]
    out = {"texts": texts, "tokenizers": {}}
    for name, doc in docs.items():
        t = Tokenizer.from_str(json.dumps(doc))
        head = dict(
            doc, model={k: v for k, v in doc["model"].items() if k not in ("vocab", "merges")}
        )
        out["tokenizers"][name] = {"head": head, "ids": [checksum(t.encode(x).ids) for x in texts]}
    save("real.json", out)


if __name__ == "__main__":
    os.makedirs(HERE, exist_ok=True)
    steps()
    small()
    if len(sys.argv) > 1:
        large(sys.argv[1])
