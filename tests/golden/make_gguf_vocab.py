# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes tests/golden/tokenizer/gguf: vocabularies in GGUF files, and what is expected of them.

    python3 tests/golden/make_gguf_vocab.py     (needs tokenizers, sentencepiece, gguf)

NAME.gguf is written by gguf-py with the keys that llama.cpp reads.  NAME.ids.json has the rows of
make_tokenizer.py: they come from a pipeline of tokenizers for the same vocabulary, which is
compared here with sentencepiece where it made the vocabulary.  unigram.json is the pipeline of t5.
"""

import io
import json
import os

import sentencepiece
from gguf import GGUFWriter, TokenType
from tokenizers import AddedToken, Regex, Tokenizer, models
from tokenizers import decoders as D
from tokenizers import normalizers as N
from tokenizers import pre_tokenizers as P
from tokenizers import processors as T

import make_tokenizer as M

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tokenizer", "gguf")
MARK = "\u2581"
RULES = [("\ufb01", "fi"), ("e\u0301", "\u00e9"), ("\u2460", "1"), ("\u3000", " "), ("\u00ad", "")]
KINDS = dict(unknown=2, control=3, user=4, unused=5, byte=6)


def path(name):
    return os.path.join(HERE, name)


def write(name, model, tokens, types, scores=None, merges=None, **values):
    w = GGUFWriter(path(name + ".gguf"), "test")
    w.add_tokenizer_model(model)
    w.add_token_list(tokens)
    w.add_token_types([TokenType(x) for x in types])
    if scores:
        w.add_token_scores(scores)
    if merges is not None:
        w.add_token_merges(merges)
    for key, value in values.items():
        key = "tokenizer.ggml." + key
        if isinstance(value, bool):
            w.add_bool(key, value)
        elif isinstance(value, int):
            w.add_uint32(key, value)
        elif isinstance(value, str):
            w.add_string(key, value)
        else:
            w.add_array(key, value)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.close()


def save(name, value):
    with open(path(name), "w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=True, separators=(",", ":"))
        f.write("\n")


def template(t, before, after):
    names = [x for x in before + after]
    single = " ".join(before + ["$A"] + after)
    return T.TemplateProcessing(
        single=single, special_tokens=[(x, t.token_to_id(x)) for x in names]
    )


# ---- SentencePiece ------------------------------------------------------------


def fields(data):
    """The fields of a protobuf message: number and bytes or integer."""
    at = 0

    def varint():
        nonlocal at
        x = shift = 0
        while True:
            byte = data[at]
            at += 1
            x |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return x

    while at < len(data):
        key = varint()
        if key & 7 == 2:
            size = varint()
            yield key >> 3, data[at : at + size]
            at += size
        elif key & 7 == 0:
            yield key >> 3, varint()
        else:
            size = 4 if key & 7 == 5 else 8
            yield key >> 3, data[at : at + size]
            at += size


def train(kind, size, **options):
    rules = path("rules.tsv")
    with open(rules, "w", encoding="utf-8") as f:
        for a, b in RULES:
            f.write("\t".join(" ".join(f"{ord(c):X}" for c in x) for x in (a, b)) + "\n")
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([x for text in M.CORPUS * 3 for x in text.split("\n") if x]),
        model_writer=out,
        model_type=kind,
        vocab_size=size,
        character_coverage=1.0,
        normalization_rule_tsv=rules if kind == "unigram" else "",
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )
    os.remove(rules)
    data = out.getvalue()
    return sentencepiece.SentencePieceProcessor(model_proto=data), data


def kind_of(sp, i, user):
    return (
        KINDS["unknown"] if sp.is_unknown(i)
        else KINDS["control"] if sp.is_control(i)
        else KINDS["byte"] if sp.is_byte(i)
        else KINDS["unused"] if sp.is_unused(i)
        else KINDS["user"] if sp.id_to_piece(i) in user
        else 1
    )  # fmt: skip


def same_as(sp, t, texts):
    special = ("<s>", "</s>", "<unk>", "<|", "<0x", MARK)
    for text in texts:
        if any(x in text for x in special) or "000" in text:
            continue  # sentencepiece adds scores as floats, which decides between 0 00 and 00 0
        a, b = sp.encode(text), t.encode(text, add_special_tokens=False).ids
        assert a == b, (text, sp.encode(text, out_type=str), [t.id_to_token(i) for i in b])


def merges_of(tokens, scores, types):
    """Each piece of two others: the order of SentencePiece is that of the scores."""
    rank = {x: s for x, s, k in zip(tokens, scores, types) if k == 1}
    found = []
    for x, s in rank.items():
        for i in range(1, len(x)):
            if x[:i] in rank and x[i:] in rank:
                found.append((-s, len(found), x[:i], x[i:]))
    return [(a, b) for _, _, a, b in sorted(found)]


def spm():
    user = ["<|a|>", "  "]
    sp, _ = train(
        "bpe",
        430,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
    )
    size = sp.vocab_size()
    tokens = [sp.id_to_piece(i) for i in range(size)] + user
    scores = [sp.get_score(i) for i in range(size)] + [-1000.0] * len(user)
    types = [kind_of(sp, i, user) for i in range(size)] + [KINDS["user"]] * len(user)
    t = Tokenizer(
        models.BPE(
            {x: i for i, x in enumerate(tokens)},
            merges_of(tokens, scores, types),
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    t.normalizer = N.Sequence([N.Prepend(MARK), N.Replace(" ", MARK)])
    t.decoder = D.Sequence(
        [D.Replace(MARK, " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)]
    )
    same_as(sp, t, M.TEXTS + M.CORPUS)
    t.add_special_tokens(["<unk>", "<s>", "</s>"])
    t.add_tokens([AddedToken(x, normalized=False) for x in user])
    t.post_processor = template(t, ["<s>"], [])
    write("spm", "llama", tokens, types, scores, bos_token_id=1, eos_token_id=2,
          unknown_token_id=0)  # fmt: skip
    save("spm.ids.json", M.cases(t))


def t5():
    sp, data = train("unigram", 150, pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    charsmap = b""
    for number, value in fields(data):
        if number == 3:
            charsmap = dict(fields(value)).get(2, b"")
    size = sp.vocab_size()
    tokens = [sp.id_to_piece(i) for i in range(size)]
    scores = [sp.get_score(i) for i in range(size)]
    types = [kind_of(sp, i, []) for i in range(size)]
    t = Tokenizer(models.Unigram(list(zip(tokens, scores)), unk_id=2, byte_fallback=False))
    blanks = [N.Replace(Regex(" {2,}"), " "), N.Replace(Regex(r"\A +| +\z"), "")]
    t.normalizer = N.Sequence(
        [N.Precompiled(charsmap)] + blanks + [N.Prepend(MARK), N.Replace(" ", MARK)]
    )
    t.decoder = D.Sequence(
        [D.Replace(MARK, " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)]
    )
    same_as(sp, t, M.TEXTS + M.CORPUS)
    t.add_special_tokens(["<pad>", "</s>", "<unk>"])
    t.post_processor = template(t, [], ["</s>"])
    write("t5", "t5", tokens, types, scores, eos_token_id=1, unknown_token_id=2,
          padding_token_id=0, add_space_prefix=True, remove_extra_whitespaces=True,
          precompiled_charsmap=list(charsmap))  # fmt: skip
    save("unigram.json", json.loads(t.to_str()))
    rows = M.cases(t)
    save("unigram.ids.json", rows)
    for text, row in zip(M.TEXTS + M.CORPUS, rows):
        if "</s>" in text:  # no control token for sentencepiece, where it is plain text
            row[2] = sp.encode(text)
    save("t5.ids.json", rows)
    print(len(charsmap), "bytes of charsmap")


# ---- The others ---------------------------------------------------------------


def bpe():
    t = M.llama3()
    doc = json.loads(t.to_str())
    vocab = doc["model"]["vocab"]
    tokens = sorted(vocab, key=vocab.get)
    types = [1] * len(tokens)
    t.post_processor = T.ByteLevel(trim_offsets=False)
    plain = json.loads(t.to_str())
    added = [("<s>", 3), ("</s>", 3), ("<|a|>", 4), ("<|ab|>", 4), ("<|a|>>", 4), ("  ", 4)]
    plain["added_tokens"] = []
    plain["model"]["vocab"] = {x: i for i, x in enumerate(tokens)}
    t = Tokenizer.from_str(json.dumps(plain))
    tokens += [x for x, _ in added]
    types += [k for _, k in added]
    for x, kind in added:
        token = AddedToken(x, normalized=False, special=kind == 3)
        t.add_special_tokens([token]) if kind == 3 else t.add_tokens([token])
    found = [t.id_to_token(i) for i in range(len(tokens))]
    assert found == tokens, (found[-9:], tokens[-9:])
    t.post_processor = template(t, ["<s>"], ["</s>"])
    merges = [" ".join(m) for m in doc["model"]["merges"]]
    write("bpe", "gpt2", tokens, types, None, merges, pre="llama-bpe",
          bos_token_id=tokens.index("<s>"), eos_token_id=tokens.index("</s>"),
          add_eos_token=True)  # fmt: skip
    save("bpe.ids.json", M.cases(t))


def bert():
    t = Tokenizer.from_file(path("../bert.json"))  # training gives another one each time
    doc = json.loads(t.to_str())
    doc["model"]["max_input_chars_per_word"] = 100
    t = Tokenizer.from_str(json.dumps(doc))
    vocab = doc["model"]["vocab"]
    tokens = sorted(vocab, key=vocab.get)
    special = {"[UNK]": 2, "[CLS]": 3, "[SEP]": 3, "[MASK]": 3}
    types = [special.get(x, 1) for x in tokens]
    marked = [
        x if x in special else x[2:] if x.startswith("##") else MARK + x for x in tokens
    ]
    write("bert", "bert", marked, types, cls_token_id=1, seperator_token_id=2,
          unknown_token_id=0)  # fmt: skip
    save("bert.ids.json", M.cases(t))


if __name__ == "__main__":
    os.makedirs(HERE, exist_ok=True)
    spm()
    t5()
    bpe()
    bert()
