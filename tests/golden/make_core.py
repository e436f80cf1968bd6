# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes tests/golden/core/*.txt, mostly with PyTorch.

    python3 tests/golden/make_core.py          (needs torch)

print.txt: for each tensor a line "= dtype shape options : numbers", then how PyTorch prints
it; names of dtypes are ours.  Numbers "a*b" are b numbers 0, a, 2 a ...
philox.txt: seed, counter and the four words of Philox 4x32-10, from an implementation that
is held against the vectors published with it.
dtypes.txt: hashes (FNV-1a, 64 bits) of what PyTorch makes of all 65536 or 256 values of a
small dtype as f32, and of 2^20 f32 in each small dtype; NaNs are all counted as one.
"""

import os

import torch

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "core")
NAMES = dict(f32=torch.float32, f64=torch.float64, f16=torch.float16, bf16=torch.bfloat16,
             i64=torch.int64, i32=torch.int32, i16=torch.int16, i8=torch.int8, u8=torch.uint8,
             bool=torch.bool, f8_e4m3=torch.float8_e4m3fn, f8_e5m2=torch.float8_e5m2)
OURS = {str(t): n for n, t in NAMES.items()}

PRINTS = """
f32 3 : 1 2 3
f32 3 : 1.5 2.25 -3
f32  : 3.14159
f32  : 2
f32 1 : -0.0
f32 0 :
f32 2x0 :
f64 0x3x2 :
i64 0 :
f32 2x3 : 1 2 3 4 5 6
f32 2x3 : 0.1 0.02 0.003 100 20 3
f32 2x2 : 0.00001 1 2 3
f32 2x2 : 1e9 1 2 3
f32 4 : 100000 1 2 3
f32 4 : 1000000000 1 2 3
f32 3 : 1000.5 0.5 2
f32 3 : 1001.5 0.5 2
f32 4 : nan 1 2 inf
f32 4 : nan 1.5 -inf inf
f32 2 : nan nan
f32 3 : inf inf -inf
f32 3 : 0 0 0
f32 3 : 0 0 0.5
f32 3 : 1e-10 2e-10 -3e-10
f32 3 : 1e20 1e-20 0
f32 2 : 123456.789 0.001
f32 2 : 12345678 1
f32 2 : 200000000 300000000
f32 2 : 90000000 100000000
f32 2 : 0.00009 0.0002
f32 2 : 0.0001 0.0002
f32 2 : 1 1000
f32 2 : 1.5 1500
f32 2 : 1.5 1500.5
f64 3 : 1e-300 1e300 0
f32 2 : 2.5e9 2.5e9
f32 2x2x2 : 1 2 3 4 5 6 7 8
f32 2x1x2x2 : 1 2 3 4 5 6 7 8.5
f32 30 : 1*30
f32 30 : 0.37*30
f32 1001 : 1*1001
f32 1000 : 1*1000
f32 40x40 : 0.5*1600
f32 2x600 : 1*1200
f32 11x10x10 : 1*1100
i64 11x10x10 : 1*1100
f64 3 : 1 2 3
f64 2 : 0.1 1e-7
f16 3 : 1 2.5 3
bf16 3 : 1 2.5 3
bf16 2 : 1e10 3
i64 4 : 1 -20 300 4
i32 2x2 : 1 -20 300 4
i16 3 : 1 2 3
i8 3 : 1 -2 3
u8 3 : 1 2 255
i64  : 7
bool 3 : 1 0 1
bool  : 1
bool 2x2 : 1 0 0 1
i64 25 : 1000*25
f32 3 precision=2 : 1.234 5.678 9
f32 3 precision=8 : 1.234 5.678 9
f32 12 threshold=10 : 1*12
f32 12 threshold=10 edgeitems=2 : 1*12
f32 12 linewidth=30 : 1*12
f32 3 sci_mode=True : 1 2.5 300
f64 30 linewidth=60 : 0.37*30
i32 30 linewidth=60 : 3*30
"""


def numbers(text):
    out = []
    for word in text.split():
        a, _, b = word.partition("*")
        out += [float(a) * i for i in range(int(b))] if b else [float(a)]
    return out


def show(line):
    head, _, values = line.partition(":")
    name, *rest = head.split()
    options = dict(w.split("=") for w in rest if "=" in w)
    shape = [int(n) for w in rest if "=" not in w for n in w.split("x")]
    x = torch.tensor(numbers(values), dtype=torch.float64).reshape(shape).to(NAMES[name])
    torch.set_printoptions(profile="default")
    torch.set_printoptions(**{k: eval(v) for k, v in options.items()})
    text = repr(x)
    for theirs, ours in OURS.items():
        text = text.replace("dtype=" + theirs, "dtype=" + ours)
    return "= %s\n%s\n" % (" ".join(line.split()), text)


def fnv(data, mask):
    """Of 32-bit words; numpy would overflow silently, which is what is wanted."""
    h = 0xCBF29CE484222325
    for word in data:
        h = ((h ^ (word & mask)) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return h


def bits(x):
    x = torch.where(torch.isnan(x), torch.tensor(float("nan")), x)
    return fnv(x.view(torch.int32).tolist(), 0xFFFFFFFF)


def samples():
    """2^20 f32: a stride through all of them, so every exponent, sign and rounding."""
    u = (torch.arange(1 << 20) * 4093 + 17) & 0xFFFFFFFF
    u = torch.where(u >= 1 << 31, u - (1 << 32), u).to(torch.int32)
    return u.view(torch.float32)


def halves(dtype, kind):
    """Numbers half way between neighbours, where ties must go to even, and beside."""
    x = torch.arange(1 << (8 * dtype.itemsize)).to(kind).view(dtype).float()
    x = x[torch.isfinite(x)].sort().values
    middle = ((x[:-1].double() + x[1:].double()) / 2).float()
    inf = torch.tensor(float("inf"))
    return torch.cat([middle, torch.nextafter(middle, inf), torch.nextafter(middle, -inf)])


def philox(key, x):
    """Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011, figure 4."""
    key, x = list(key), list(x)
    for _ in range(10):
        a, b = x[0] * 0xD2511F53, x[2] * 0xCD9E8D57
        x = [b >> 32 ^ x[1] ^ key[0], b & 0xFFFFFFFF, a >> 32 ^ x[3] ^ key[1], a & 0xFFFFFFFF]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return x


PUBLISHED = """
00000000 00000000 00000000 00000000 00000000 00000000 6627e8d5 e169c58d bc57ac4c 9b00dbd8
ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff 408f276d 41c83b0e a20bc7c6 6d5451fd
243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0 d16cfe09 94fdcceb 5001e420 24126ea1
"""


def philox_lines():
    for line in PUBLISHED.strip().splitlines():
        words = [int(w, 16) for w in line.split()]
        assert philox(words[4:6], words[:4]) == words[6:]
    full = (1 << 64) - 1
    for seed, counter in ((0, 0), (0, 1), (1, 0), (full, full), (42, 1 << 32), (1 << 40, 12345),
                          (0x299F31D0A4093822, 0x85A308D3243F6A88)):
        words = philox((seed & 0xFFFFFFFF, seed >> 32), (counter & 0xFFFFFFFF, counter >> 32, 0, 0))
        yield "%016x %016x %s\n" % (seed, counter, " ".join("%08x" % w for w in words))


def main():
    os.makedirs(HERE, exist_ok=True)
    with open(os.path.join(HERE, "print.txt"), "w") as f:
        f.writelines(show(line) for line in PRINTS.strip().splitlines())
    with open(os.path.join(HERE, "philox.txt"), "w") as f:
        f.writelines(philox_lines())
    with open(os.path.join(HERE, "dtypes.txt"), "w") as f:
        for name in ("f16", "bf16", "f8_e4m3", "f8_e5m2"):
            dtype = NAMES[name]
            wide = dtype.itemsize == 2
            kind, count = (torch.int16, 1 << 16) if wide else (torch.uint8, 1 << 8)
            every = torch.arange(count).to(kind).view(dtype).float()
            x = samples()
            f.write("%s decode %d %016x\n" % (name, count, bits(every)))
            f.write("%s round %d %016x\n" % (name, len(x), bits(x.to(dtype).float())))
            h = halves(dtype, kind)
            f.write("%s halves %d %016x\n" % (name, len(h), bits(h.to(dtype).float())))


main()
