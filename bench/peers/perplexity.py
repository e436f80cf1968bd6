# SPDX-License-Identifier: MIT OR Apache-2.0
"""Perplexity of quantized models: llama.cpp's llama-perplexity and `wick perplexity` on the same
files, text and windows, for each type that llama-quantize makes; those of the fewest bits with
an importance matrix that `wick imatrix` makes of the same text.

    python3 bench/peers/perplexity.py LLAMA_BIN TEXT MODEL[:WINDOW] ...

LLAMA_BIN is the folder of llama-quantize and llama-perplexity; MODEL a folder or GGUF file of f32
or bf16, WINDOW the tokens of a window, 256 if it is not said.  WICK is the program, build/wick if
it is not set; TYPES in the environment are others than these.
"""

import json
import os
import re
import subprocess
import sys
import tempfile

TYPES = """f32 bf16 f16 q8_0 q6_k q5_k_m q5_k_s q5_1 q5_0 q4_k_m q4_k_s q4_1 q4_0 iq4_nl iq4_xs
q3_k_l q3_k_m q3_k_s iq3_m iq3_s q2_k tq2_0 tq1_0 q2_0 q1_0 mxfp4_moe
iq3_xs iq3_xxs q2_k_s iq2_m iq2_s iq2_xs iq2_xxs iq1_m iq1_s"""
WEIGHED = TYPES.split()[-9:]


def run(*command, may_fail=False):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    text = (done.stdout + done.stderr).decode(errors="replace")
    if done.returncode and may_fail:
        return None
    if done.returncode:
        sys.exit(f"{' '.join(command)}:\n{text[-2000:]}")
    return text if "llama" in command[0] else done.stdout.decode()


def main():
    peer, text = sys.argv[1:3]
    wick = os.environ.get("WICK", "build/wick")
    tool = lambda name: os.path.join(peer, "llama-" + name)
    for model in sys.argv[3:]:
        path, window = model.split(":") if ":" in model else (model, "256")
        print(f"\n{os.path.basename(path)}, windows of {window}\n")
        print("| type | llama.cpp | wick | ratio |\n|---|---|---|---|")
        with tempfile.TemporaryDirectory() as folder:
            plain, out, matrix = (
                os.path.join(folder, n + ".gguf") for n in ("plain", "out", "matrix")
            )
            run(wick, "convert", path, plain, "--dtype", "f32", "-q")
            run(wick, "imatrix", plain, text, "-o", matrix, "--ctx", window, "-q")
            for kind in os.environ.get("TYPES", TYPES).split():
                more = ["--imatrix", matrix] if kind in WEIGHED else []
                if not run(tool("quantize"), *more, plain, out, kind, "1", may_fail=True):
                    print(f"| {kind} | its rows do not fit | | |")
                    continue
                for _ in range(50):  # it may end before its last line is out
                    said = run(tool("perplexity"), "-m", out, "-f", text, "-c", window, "-t", "1")
                    theirs = re.search(r"PPL = ([\d.naif]+) \+/-", said)
                    if theirs:
                        break
                chunks = re.search(r"perplexity over (\d+) chunks", said)
                options = ["--ctx", window, "--json", "-q", "--threads", "1"]
                own = json.loads(run(wick, "perplexity", out, text, *options))
                if not theirs or int(chunks.group(1)) != own["windows"]:
                    sys.exit(f"{kind}: {own['windows']} windows are not the same:\n{said[-2000:]}")
                a, b = float(theirs.group(1)), own["perplexity"]
                print(f"| {kind} | {a:.4f} | {b:.4f} | {b / a:.4f} |", flush=True)


main()
