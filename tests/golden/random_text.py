# SPDX-License-Identifier: MIT OR Apache-2.0
"""Random texts that are hard on tokenizers: bytes, not always valid UTF-8."""

import random
import unicodedata

CATEGORIES = {}
for c in range(0x110000):
    CATEGORIES.setdefault(unicodedata.category(chr(c)), []).append(c)
del CATEGORIES["Cs"]
BLOCKS = [
    (0x20, 0x7F),
    (0xA0, 0x250),
    (0x300, 0x370),
    (0x370, 0x530),
    (0x590, 0x700),
    (0x900, 0xE00),
    (0x1100, 0x1200),
    (0x1E00, 0x2000),
    (0x2000, 0x2070),
    (0x2580, 0x25A0),
    (0x3040, 0x3100),
    (0x4E00, 0x5000),
    (0xAC00, 0xAD00),
    (0xFB00, 0xFE00),
    (0xFF00, 0xFFF0),
    (0x1D400, 0x1D800),
    (0x1F300, 0x1F700),
    (0x20000, 0x20100),
]
SPACES = " \t\n\r\v\f\x85\xa0\u1680\u180e\u2000\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"
CONTRACTIONS = [
    "'s",
    "'T",
    "'re",
    "'VE",
    "'m",
    "'ll",
    "'d",
    "'\u017f",
    "\u2019s",
    "'",
    "''",
    "'L",
    "don't",
    "I'LL",
]
ODD = [
    "e\u0301",
    "\u1100\u1161\u11a8",
    "\u0130",
    "\u00df",
    "\ufb01",
    "\u01c5",
    "\u2581",
    "\u2581\u2581",
    "\ufffd",
    "\U0001f469\u200d\U0001f4bb",
    "\U0001f1e9\U0001f1ea",
    "<0x41>",
    "<unk>",
    "\u0e33",
    "\u0344",
    "\u212b",
    "\u0f73\u0f71",
    "\u05d0\u05b7",
    "\x00",
    "\x7f",
    "\xad",
    "\u200b",
    "\u0300" * 5,
    "\u0315\u0300\u05ae",
    "\uac00\u11a8",
    "#",
    "##ing",
]


def word(rng, words):
    w = rng.choice(words)
    how = rng.random()
    if how < 0.1:
        return w.upper()
    if how < 0.2:
        return w.capitalize()
    if how < 0.25:
        return w[: rng.randrange(len(w) + 1)]
    if how < 0.3:
        i = rng.randrange(len(w) + 1)
        return (
            w[:i]
            + chr(rng.choice(CATEGORIES[rng.choice(["Mn", "Lu", "Ll", "Lm", "Nd", "Po"])]))
            + w[i:]
        )
    return w


def piece(rng, words, added):
    how = rng.randrange(12)
    if how < 3:
        return word(rng, words)
    if how == 3:
        return "".join(
            chr(rng.choice(CATEGORIES[rng.choice(list(CATEGORIES))]))
            for _ in range(rng.randrange(1, 6))
        )
    if how == 4:
        low, high = rng.choice(BLOCKS)
        return "".join(chr(rng.randrange(low, high)) for _ in range(rng.randrange(1, 8)))
    if how == 5:
        return rng.choice(SPACES) * rng.choice([1, 1, 1, 2, 3, 4, 7, 20])
    if how == 6:
        return "".join(rng.choice(SPACES[:6]) for _ in range(rng.randrange(1, 6)))
    if how == 7:
        return rng.choice(
            [
                str(rng.randrange(10 ** rng.randrange(1, 9))),
                "\u00bd",
                "\u2167",
                "\u0663\u0664",
                "\u4e00",
                "1.5e-3",
            ]
        )
    if how == 8:
        return rng.choice(CONTRACTIONS)
    if how == 9:
        return "".join(
            rng.choice("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") for _ in range(rng.randrange(1, 5))
        )
    if how == 10:
        return rng.choice(ODD)
    return (
        rng.choice(added)
        if added and rng.random() < 0.7
        else rng.choice("aAe \n_") * rng.randrange(1, 70)
    )


def texts(seed, count, words, added=(), bad=lambda c: False):
    """count byte strings; characters for which bad() holds do not occur."""
    rng = random.Random(seed)
    for _ in range(count):
        parts = []
        for _ in range(rng.choice([1, 1, 2, 3, 5, 8, 13, 40])):
            parts.append(piece(rng, words, list(added)))
            if rng.random() < 0.5:
                parts.append(" ")
        text = "".join(c for c in "".join(parts) if not bad(c)).encode("utf-8")
        if rng.random() < 0.15 and text:
            at = rng.randrange(len(text))
            text = rng.choice(
                [
                    text[:at],
                    text[:at] + bytes([rng.randrange(128, 256)]) + text[at:],
                    text[:at] + text[at + 1 :],
                ]
            )
        yield text


def as_text(data):
    """Bytes as the text that wick sees: U+FFFD for each byte that is no part of a character."""
    out, i = [], 0
    while i < len(data):
        for n in (1, 2, 3, 4):
            try:
                out.append(data[i : i + n].decode("utf-8"))
                i += n
                break
            except UnicodeDecodeError:
                pass
        else:
            out.append("\ufffd")
            i += 1
    return "".join(out)


def valid(data):
    try:
        return bool(data.decode("utf-8") or True)
    except UnicodeDecodeError:
        return False


def newer_characters():
    """Characters that mean something else to the reference, whose tables are of several versions
    of Unicode: 16 for regular expressions, older than 9 for categories, about 12 for normal forms.
    """
    from tokenizers import Regex, normalizers, pre_tokenizers

    cut = pre_tokenizers.Punctuation()
    bert = normalizers.BertNormalizer(handle_chinese_chars=False, lowercase=False)
    strip = normalizers.BertNormalizer(
        clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False
    )
    forms = [(name, getattr(normalizers, name)()) for name in ("NFC", "NFD", "NFKC", "NFKD")]
    unassigned = normalizers.Replace(Regex(r"\p{Cn}"), "")
    newer = set()
    for c in map(chr, range(128, 0x110000)):
        category = unicodedata.category(c)
        if category == "Cs":
            continue
        punctuation = len(cut.pre_tokenize_str("a" + c + "b")) == 3
        control = bert.normalize_str("a" + c + "b") == "ab"
        nonspacing = strip.normalize_str("a" + c + "b") == "ab"
        if (
            punctuation != (category[0] == "P")
            or nonspacing != (category == "Mn")
            or control != (category in ("Cc", "Cf", "Co") or c == "\ufffd")
            or (unassigned.normalize_str(c) == "") != (category == "Cn")
            or any(
                f.normalize_str(t) != unicodedata.normalize(name, t)
                for name, f in forms
                for t in (c, "\u0315" + c)
            )
        ):
            newer.add(c)
    return newer
