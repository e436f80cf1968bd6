# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes tests/golden/ops/ops.safetensors: what PyTorch gives for the cases of
tests/ops/all.def and of include/wick/unary.def and binary.def.

    python3 tests/golden/make_ops.py          (needs torch, safetensors)

For case "sum.3": sum.3 is the result, in f64 where its inputs are floats, and sum.3/0
the gradient of sum(y dy) for operand 0, with dy from a hash of the place (tests/ops/cases.c
has the same).  The metadata has inputs and expression of each case, so that a table that
has changed since is noticed.  promote.txt has what PyTorch makes of pairs of
dtypes: of two tensors, and of the first one's tensor and the second one's of rank 0.
"""

import json
import math
import os
import re

import torch
import torch.nn.functional as F
from torch import view_as_complex, view_as_real
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SPECIAL = "0,-0,1,-1,0.5,inf,-inf,nan"
PAIRS = "0,-0,1,-1,2,inf,-inf,nan"
INTEGER = ("bitwise_and", "bitwise_or", "bitwise_xor", "shift_left", "shift_right")


# ---- The tables -------------------------------------------------------------


def macros(path, names):
    """The uses of macros in a file: (name, arguments), split as the preprocessor does."""
    text = open(os.path.join(ROOT, path)).read()
    for part in re.findall(r'^#include "(.*)"', text, flags=re.M):
        text += open(os.path.join(ROOT, os.path.dirname(path), part)).read()
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    for found in re.finditer(r"^(%s)\(" % "|".join(names), text, flags=re.M):
        at, depth, quoted, arguments = found.end(), 1, False, [""]
        while depth:
            c = text[at]
            if c == '"' and text[at - 1] != "\\":
                quoted = not quoted
            if not quoted:
                depth += (c == "(") - (c == ")")
            if c == "," and depth == 1 and not quoted:
                arguments.append("")
            elif depth:
                arguments[-1] += c
            at += 1
        yield found.group(1), [" ".join(a.split()) for a in arguments]


def cases():
    """(name, inputs, expression, range, a, b, differentiable)"""
    element = {}
    for _, (name, inputs, *torch_) in macros("tests/ops/all.def", ["ELEMENT"]):
        element[name] = (inputs.strip('"'), ", ".join(torch_))
    for kind, args in macros("include/wick/unary.def", ["UNARY", "SCALAR", "SCALAR2"]):
        name, ints, low, high = args[:4]
        numbers = [float(v) for v in args[4 : 4 + ("UNARY", "SCALAR", "SCALAR2").index(kind)]]
        a, b = (numbers + [0.0, 0.0])[:2]
        plain = "torch.%s(x[0]%s)" % (name, ", a"[: 3 * (len(numbers) > 0)] +
                                      ", b"[: 3 * (len(numbers) > 1)])
        torch_ = element.get(name, ("", plain))[1]
        span, smooth = (float(low), float(high)), ints != "TRUTH"
        inputs = ["e3x5", "v=" + SPECIAL, "n3x4", "e", "e2x0"]
        for i, (spec, d) in enumerate(zip(inputs, [smooth, False, False, smooth, False])):
            yield "%s.%d" % (name, i), spec, torch_, span, a, b, d
    for _, (name, ints, *_) in macros("include/wick/binary.def", ["BINARY"]):
        usual = "n3x4 n4" if name in INTEGER else "f3x4 f4"
        spec, torch_ = element.get(name, ("", "torch.%s(x[0], x[1])" % name))
        smooth = ints in ("KEEP", "FLOAT")
        inputs = [(spec or usual, smooth)]
        inputs += [("v8x1=%s v8=%s" % (PAIRS, PAIRS), False)] if name not in INTEGER else []
        inputs += [("n3x4 k=1,-2,3,-1", False)]
        inputs += [("p p3x1x2", smooth)] if name not in INTEGER else []
        for i, (spec, d) in enumerate(inputs):
            yield "%s.%d" % (name, i), spec, torch_, None, 0.0, 0.0, d
    op, number, gradient = None, 0, "NO"
    for kind, args in macros("tests/ops/all.def", ["OPERATION", "CASE", "PLAIN", "WIDE"]):
        if kind == "OPERATION":
            op, number, gradient = args[0], 0, args[1]
        elif kind == "CASE":
            name = "%s.%d" % (op, number)
            yield name, args[0].strip('"'), ", ".join(args[2:]), None, 0, 0, gradient != "NO"
        number += kind != "OPERATION"


# ---- Operands ---------------------------------------------------------------


def hashed(i, k):
    h = (i * 0x9E3779B1 + k * 0x85EBCA77 + 0x165667B1) & 0xFFFFFFFF
    h = ((h ^ h >> 15) * 0x2C1B3C6D) & 0xFFFFFFFF
    h = ((h ^ h >> 12) * 0x297A2D39) & 0xFFFFFFFF
    return (h ^ h >> 15) / 4294967296.0


def value(kind, i, k, classes, low, high):
    u = hashed(i, k)
    if kind == "b":
        return u >= 0.4
    if kind == "n":
        return math.floor(u * 7) - 3
    if kind == "i":
        return math.floor(u * classes)
    if kind == "s":
        return math.floor(u * 4) - 1
    unit = 32 if max(abs(low), abs(high)) <= 4 else 8
    return (2 * math.floor((low + (high - low) * u) * unit) + 1) / (2 * unit)


def operand(spec, k, span):
    kind, shape, _, classes, _, listed = re.fullmatch(
        r"(\w)([\dx]*)(%(\d+))?(=(.*))?", spec).groups()
    shape = [int(n) for n in shape.split("x")] if shape else []
    dtype = torch.bool if kind == "b" else torch.int64 if kind in "nik" else torch.float64
    if listed:
        values = [float(v) if kind == "v" else int(v) for v in listed.split(",")]
        return torch.tensor(values, dtype=dtype).reshape(shape or [-1])
    low, high = (0.3, 3) if kind == "p" else span if kind == "e" else (-3, 3)
    values = [value(kind, i, k, int(classes or 0), low, high) for i in range(math.prod(shape))]
    return torch.tensor(values, dtype=dtype).reshape(shape)


# ---- Oracles that PyTorch has no function for -------------------------------


def off(x):
    return x + 9 * torch.eye(x.shape[-2], x.shape[-1], dtype=torch.float64)


def spd(x):
    return x @ x.mT + torch.eye(x.shape[-2], dtype=torch.float64)


def rope(x, half, pairs):
    i, j = torch.arange(x.shape[-2]).double(), torch.arange(half).double()
    angle = 0.7 * i[:, None] - 0.3 * j
    turn, rest = x[..., : 2 * half], x[..., 2 * half :]
    if pairs:
        z = torch.view_as_complex(turn.unflatten(-1, (half, 2)).contiguous())
        turn = torch.view_as_real(z * torch.polar(torch.ones_like(angle), angle)).flatten(-2)
    else:
        a, b = turn.chunk(2, -1)
        cos, sin = torch.cos(angle), torch.sin(angle)
        turn = torch.cat([turn * torch.cat([cos, cos], -1),], -1) + torch.cat([-b, a], -1) * (
            torch.cat([sin, sin], -1))
    return torch.cat([turn, rest], -1)


def attention(q, k, v, mask=None, slopes=None, causal=False, window=0, softcap=0.0):
    """Scores as a matrix; a query that sees nothing gives zeros."""
    t, s, share = q.shape[2], k.shape[2], q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(share, 1), v.repeat_interleave(share, 1)
    scores = q @ k.mT / math.sqrt(q.shape[3])
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    now, key = torch.arange(t)[:, None] + (s - t), torch.arange(s)
    if slopes is not None:
        scores = scores + slopes[:, None, None] * (key - now).double()
    seen = torch.ones(t, s, dtype=torch.bool)
    if causal:
        seen = seen & (key <= now)
    if window:
        seen = seen & (key > now - window)
    if mask is not None and mask.dtype == torch.bool:
        seen = seen & mask
    elif mask is not None:
        scores = scores + mask
    blind = ~seen.any(-1, keepdim=True)
    p = torch.softmax(scores.masked_fill(~seen & ~blind, float("-inf")), -1)
    return p.masked_fill(blind, 0) @ v


def focal_loss(x, y, alpha, gamma):
    """As torchvision.ops.sigmoid_focal_loss."""
    p = torch.sigmoid(x)
    each = F.binary_cross_entropy_with_logits(x, y, reduction="none")
    each = each * (1 - (p * y + (1 - p) * (1 - y))) ** gamma
    return each * (alpha * y + (1 - alpha) * (1 - y)) if alpha >= 0 else each


# ---- Running ----------------------------------------------------------------


def run(out, meta, name, inputs, expression, span, a, b, smooth):
    x = [operand(s, k, span) for k, s in enumerate(inputs.split())]
    smooth = smooth and any(v.is_floating_point() for v in x)
    for v in x:
        v.requires_grad_(smooth and v.is_floating_point())
    meta[name] = inputs + " | " + expression
    try:
        y = eval(expression, globals(), {"x": x, "a": a, "b": b})
    except (RuntimeError, NotImplementedError, ZeroDivisionError, TypeError) as e:
        if not inputs.startswith("n"):
            raise
        print("%s: no oracle: %s" % (name, str(e).split("\n")[0][:70]))
        meta[name] += " | none"
        return
    out[name] = y.detach().clone().contiguous()
    if smooth and y.requires_grad:
        dy = [value("f", i, 77, 0, -3, 3) for i in range(y.numel())]
        try:
            (y * torch.tensor(dy, dtype=torch.float64).reshape(y.shape)).sum().backward()
        except RuntimeError as e:
            print("%s: no gradient: %s" % (name, e))
        for k, v in enumerate(x):
            if v.grad is not None:
                out["%s/%d" % (name, k)] = v.grad.contiguous()


def promotions(out):
    names = dict(f32="float32", f64="float64", f16="float16", bf16="bfloat16",
                 f8_e4m3="float8_e4m3fn", f8_e5m2="float8_e5m2", i64="int64", i32="int32",
                 i16="int16", i8="int8", u8="uint8", u32="uint32", bool="bool")
    rows = []
    for a in names:
        for b in names:
            x = torch.empty(1, dtype=getattr(torch, names[a]))
            y = torch.empty((), dtype=getattr(torch, names[b]))
            try:
                both = [torch.promote_types(x.dtype, y.dtype), torch.result_type(x, y)]
            except RuntimeError:
                continue
            found = [n for t in both for n in names if getattr(torch, names[n]) == t]
            rows.append("%s %s %s\n" % (a, b, " ".join(found)) if len(found) == 2 else "")
    open(os.path.join(HERE, "ops", "promote.txt"), "w").writelines(rows)


def sort_header(path):
    """The same file each time: metadata come in any order."""
    data = open(path, "rb").read()
    size = int.from_bytes(data[:8], "little")
    text = json.dumps(json.loads(data[8 : 8 + size]), sort_keys=True, separators=(",", ":"))
    head = text.encode() + b" " * (-len(text.encode()) % 8)
    with open(path, "wb") as f:
        f.write(len(head).to_bytes(8, "little") + head + data[8 + size :])


def main():
    out, meta = {}, {}
    for case in cases():
        run(out, meta, *case)
    os.makedirs(os.path.join(HERE, "ops"), exist_ok=True)
    path = os.path.join(HERE, "ops", "ops.safetensors")
    save_file(out, path, meta)
    sort_header(path)
    promotions(out)
    print("%d cases, %d tensors" % (len(meta), len(out)))


main()
