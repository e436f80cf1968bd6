# SPDX-License-Identifier: MIT OR Apache-2.0
"""Compares build/libwick.so with Hugging Face's tokenizers on random texts, and on all characters.

    python3 tests/golden/compare_tokenizers.py SHARED [COUNT [NAME ...]]

Takes the tokenizers of make_tokenizers.py, made from SHARED, and the small ones beside this, and
for each COUNT texts (10,000) of random_text.py: ids, ids with special tokens taken for plain text,
and decoded text with and without special tokens.
Characters that the reference's older tables take for something else are left out, and counted.
"""

import ctypes as C
import glob
import json
import os
import sys

from tokenizers import Tokenizer

import make_tokenizers
import random_text

HERE = os.path.dirname(os.path.abspath(__file__))
LIBRARY = os.path.join(HERE, "../../build/libwick.so")


class Tokens(C.Structure):
    _fields_ = [("id", C.POINTER(C.c_int32)), ("count", C.c_size_t), ("room", C.c_size_t)]


class Args(C.Structure):
    _fields_ = [
        ("tokenizer", C.c_void_p),
        ("text", C.c_char_p),
        ("size", C.c_size_t),
        ("no_special", C.c_bool),
        ("plain", C.c_bool),
        ("end", C.c_int),
    ]


wick = C.CDLL(LIBRARY)
libc = C.CDLL(None)
wick.wk_tokenizer_parse.restype = C.c_void_p
wick.wk_tokenizer_parse.argtypes = [C.c_char_p, C.c_char_p, C.c_size_t]
wick.wk_tokenizer_free.argtypes = [C.c_void_p]
wick.wk_encode_with.argtypes = [C.POINTER(Tokens), C.POINTER(Args)]
wick.wk_encode_with.restype = C.c_bool
wick.wk_decode.argtypes = [C.c_void_p, C.POINTER(C.c_int32), C.c_size_t, C.c_bool]
wick.wk_decode.restype = C.c_void_p
wick.wk_message.restype = C.c_char_p
wick.wk_tokens_free.argtypes = [C.POINTER(Tokens)]
libc.free.argtypes = [C.c_void_p]


def check():
    message = wick.wk_message().decode("utf-8", "replace")
    if message:
        sys.exit(message)


class Wick:
    def __init__(self, text):
        data = text.encode("utf-8")
        self.handle = wick.wk_tokenizer_parse(b"tokenizer.json", data, len(data))
        check()

    def encode(self, data, special=True, plain=False):
        out = Tokens()
        wick.wk_encode_with(
            C.byref(out), C.byref(Args(self.handle, data, len(data), not special, plain, 0))
        )
        check()
        ids = out.id[: out.count]
        wick.wk_tokens_free(C.byref(out))
        return ids

    def decode(self, ids, keep_special):
        array = (C.c_int32 * max(1, len(ids)))(*ids)
        at = wick.wk_decode(self.handle, array, len(ids), keep_special)
        check()
        text = C.string_at(at).decode("utf-8")
        libc.free(at)
        return text

    def __del__(self):
        wick.wk_tokenizer_free(self.handle)


def compare(name, document, count, words, bad):
    theirs, ours = Tokenizer.from_str(document), Wick(document)
    added = [t.content for t in theirs.get_added_tokens_decoder().values()]
    wrong = {"ids": 0, "plain ids": 0, "texts": 0}
    for data in random_text.texts(name, count, words, added, bad.__contains__):
        text = random_text.as_text(data)
        ids = theirs.encode(text).ids
        theirs.encode_special_tokens = True
        plain = theirs.encode(text, add_special_tokens=False).ids
        theirs.encode_special_tokens = False
        found = []
        if data and ours.encode(data) != ids:
            found.append("ids")
        if data and ours.encode(data, False, True) != plain:
            found.append("plain ids")
        if any(
            ours.decode(ids, keep) != theirs.decode(ids, not keep).replace("\0", "\ufffd")
            for keep in (True, False)
        ):
            found.append("texts")
        for what in found:
            wrong[what] += 1
            if wrong[what] <= 3:
                print(f"  {name}: {what} of {text!r}")
    print(f"{name}: {count} texts, different: {wrong}", flush=True)
    return sum(wrong.values())


def main():
    shared, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 10000
    with open(os.path.join(shared, "corpora", "shakespeare.txt"), encoding="utf-8") as f:
        words = sorted(set(f.read().split()))[::3]
    newer = random_text.newer_characters()
    print(f"{len(newer)} characters left out")
    wrong = 0
    documents = {
        name: lambda make=make: json.dumps(make(shared))
        for name, make in make_tokenizers.MAKERS.items()
    }
    for path in sorted(glob.glob(os.path.join(HERE, "tokenizer", "*.ids.json"))):
        path = path.replace(".ids.json", ".json")
        documents["small " + os.path.basename(path)[:-5]] = open(path, encoding="utf-8").read
    for name, document in documents.items():
        if len(sys.argv) < 4 or name in sys.argv[3:]:
            wrong += compare(name, document(), count, words, newer)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
