#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Write src/text/unicode.inc: general categories, normalisation and lower case as small tables.

A table maps a code point to a small number.  It is cut into blocks of 256 code points; a block
is a list of runs (first low byte, value), and equal lists are stored once.  A list ends where the
next one begins, which is where a first low byte of 0 comes again.

Needs Unicode 16, the version of the regular expressions in Hugging Face's tokenizers: Python 3.14,
or the package unicodedata2 in its version 16.
"""

import sys

try:
    import unicodedata2 as unicodedata
except ImportError:
    import unicodedata

VERSION = "16.0.0"
LAST_BLOCK = 0x323  # planes 0 to 3 in blocks; what lies above is a handful of ranges
CATEGORIES = (
    "Cn Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp " "Cc Cf Co Cs"
).split()
EVEN_UPPER, ODD_UPPER = len(CATEGORIES), len(CATEGORIES) + 1  # Lu and Ll in turn
FORMS = ("NFC", "NFD", "NFKC", "NFKD")

# Python 3.11 to 3.13 know the case pairs of Unicode 14 to 15.1; these came with Unicode 16.
NEW_LOWER = {
    0x1C89: 0x1C8A,
    0xA7CB: 0x264,
    0xA7CC: 0xA7CD,
    0xA7DA: 0xA7DB,
    0xA7DC: 0x19B,
    **{c: c + 0x20 for c in range(0x10D50, 0x10D66)},
}


def category(c):
    return CATEGORIES.index(unicodedata.category(chr(c)))


def second_parts():
    """The characters that a composition may join to the one before them."""
    seconds = set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))  # parts of Hangul syllables
    for c in range(0x110000):
        parts = unicodedata.decomposition(chr(c)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            whole = "".join(chr(int(p, 16)) for p in parts)
            if unicodedata.normalize("NFC", whole) == chr(c):
                seconds.add(int(parts[1], 16))
    return seconds


SECONDS = second_parts()


def unsafe(c):
    """Bit f: c may change, or change its surroundings, when text is brought to FORMS[f]."""
    if 0xD800 <= c < 0xE000:
        return 0
    bits = 0
    for f, form in enumerate(FORMS):
        changes = unicodedata.normalize(form, chr(c)) != chr(c)
        joins = "C" in form[2:] and c in SECONDS
        if changes or joins or unicodedata.combining(chr(c)):
            bits |= 1 << f
    return bits


def alternate(values, base):
    """Mark stretches where upper and lower case letters take turns."""
    upper, lower = CATEGORIES.index("Lu"), CATEGORIES.index("Ll")
    i = 0
    while i < len(values):
        j = i
        while (
            j < len(values)
            and values[j] in (upper, lower)
            and (j == i or values[j] != values[j - 1])
        ):
            j += 1
        if j - i >= 4:
            even = (values[i] == upper) == ((base + i) % 2 == 0)
            values[i:j] = [EVEN_UPPER if even else ODD_UPPER] * (j - i)
        i = max(j, i + 1)
    return values


def table(name, value, mark=lambda values, base: values):
    index, runs, known = [], [], {}
    for block in range(LAST_BLOCK + 1):
        base = block << 8
        values = mark([value(base + i) for i in range(256)], base)
        cuts = tuple((i, v) for i, v in enumerate(values) if i == 0 or v != values[i - 1])
        if cuts not in known:
            known[cuts] = len(runs)
            runs += cuts
        index.append(known[cuts])
    tail, c = [], (LAST_BLOCK + 1) << 8
    while c < 0x110000:
        first, v = c, value(c)
        while c < 0x110000 and value(c) == v:
            c += 1
        if v:
            tail.append((first, c - 1, v))
    array(f"static const uint16_t {name}_index[{len(index)}]", index)
    array(
        f"static const uint8_t {name}_runs[{len(runs) + 1}][2]",
        ["{ %d, %d }" % r for r in runs + [(0, 0)]],
    )
    if tail:
        array(
            f"static const tail_range {name}_tail[{len(tail)}]",
            ["{ 0x%X, 0x%X, %d }" % t for t in tail],
        )


def array(head, items, sign=" = "):
    print(f"{head}{sign}{{")
    line = "   "
    for item in items:
        word = f" {item},"
        if len(line) + len(word) > 100:
            print(line)
            line = "   "
        line += word
    print(line + "\n};\n")


def lower_ranges():
    """(first, last, step, difference): U+0130 is left out, it becomes two characters."""
    pairs = {
        c: ord(chr(c).lower())
        for c in range(0x110000)
        if len(chr(c).lower()) == 1 and chr(c).lower() != chr(c)
    }
    pairs.update(NEW_LOWER)
    ranges = []
    for c, low in sorted(pairs.items()):
        difference = low - c
        if ranges:
            first, last, step, d = ranges[-1]
            if d == difference and c - last in ((1, 2) if first == last else (step,)):
                ranges[-1] = (first, c, c - last, d)
                continue
        ranges.append((c, c, 1, difference))
    return ranges


def main():
    if unicodedata.unidata_version != VERSION:
        sys.exit(f"this needs Unicode {VERSION}, not {unicodedata.unidata_version}")
    print("// SPDX-License-Identifier: MIT OR Apache-2.0")
    print(
        f"/* unicode.inc - made by tools/make_unicode.py from Unicode {VERSION}; not edited. */\n"
    )
    array("enum", [c.upper() for c in CATEGORIES] + ["EVEN_UPPER", "ODD_UPPER"], " ")
    table("category", category, alternate)
    table("unsafe", unsafe)
    ranges = lower_ranges()
    array(
        f"static const lower_range lower[{len(ranges)}]",
        ["{ 0x%X, 0x%X, %d, %d }" % r for r in ranges],
    )


main()
