# SPDX-License-Identifier: MIT OR Apache-2.0
"""Writes src/core/normal.inc, the table of wk_normal() in src/core/random.c.

For a word whose low 31 bits are v, with z leading zeros among them, the number drawn
is that of the tail (v + 1/2) / 2^32.  Each power of two of v is cut into 8 segments,
and on each a cubic in t = 0 .. 1 meets the inverse distribution and its slope at
both ends.

    python3 tools/make_normal.py > src/core/normal.inc        (needs mpmath)
"""

import mpmath as mp

mp.mp.dps = 40


def upper(p):
    """x such that a normal number is larger with probability p"""
    return mp.sqrt(2) * mp.erfinv(1 - 2 * p)


def slope(x):
    return -mp.sqrt(2 * mp.pi) * mp.exp(x * x / 2)


for zeros in range(32):
    for segment in range(8):
        if zeros == 31:
            print("{%.9gf, 0, 0, 0}," % upper(mp.mpf(1) / 2**33))
            continue
        size = mp.mpf(2) ** (30 - zeros)
        begin = (size + segment * size / 8 + mp.mpf(1) / 2) / 2**32
        end = (size + (segment + 1) * size / 8 + mp.mpf(1) / 2) / 2**32
        x0, x1 = upper(begin), upper(end)
        d0, d1 = slope(x0) * (end - begin), slope(x1) * (end - begin)
        row = [x0, d0, 3 * (x1 - x0) - 2 * d0 - d1, 2 * (x0 - x1) + d0 + d1]
        print("{" + ", ".join("%.9ef" % v for v in row) + "},")
