# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes tests/golden/models/imatrix: a text, and what llama-imatrix makes of it with some of the
tiny models of make_gguf_models.py.

    PYTHONPATH=LLAMA_CPP/gguf-py python3 tests/golden/make_imatrix.py LLAMA_IMATRIX

A file for each: the model, tokens of a window, windows (0: all), 1 if a text begins with <s>,
which the models do not ask for by themselves.
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile

import gguf

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "models")
CASES = [("llama", 32, 0, 0), ("llama_llama3", 16, 3, 1), ("qwen2", 20, 0, 1), ("qwen3", 64, 0, 0)]


def with_begin(path, out):
    """The same file, but texts begin with the token 1."""
    r = gguf.GGUFReader(path)
    w = gguf.GGUFWriter(out, r.fields["general.architecture"].contents())
    for f in r.fields.values():
        if f.name.startswith("GGUF.") or f.name == "general.architecture":
            continue
        kind, sub = f.types[0], f.types[1] if f.types[0] == gguf.GGUFValueType.ARRAY else None
        if "add_bos" not in f.name:
            w.add_key_value(f.name, f.contents(), kind, sub_type=sub)
    w.add_add_bos_token(True)
    for t in r.tensors:
        w.add_tensor(t.name, t.data)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def main():
    out = os.path.join(HERE, "imatrix")
    os.makedirs(out, exist_ok=True)
    random.seed(4)
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQR"
    os.chdir(out)
    with open("text.txt", "w") as f:
        f.write("".join(random.choice(letters) for _ in range(200)))
    for model, size, windows, begin in CASES:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.gguf")
            source = os.path.join(HERE, model + ".gguf")
            (with_begin if begin else shutil.copy)(source, path)
            name = f"{model}-{size}-{windows}-{begin}.gguf"
            command = [sys.argv[1], "-m", path, "-f", "text.txt", "-o", name, "-c", str(size)]
            command += ["-b", str(size), "-ctk", "f32", "-ctv", "f32", "-fa", "off", "-t", "1"]
            command += ["--chunks", str(windows)] if windows else []
            subprocess.run(command, check=True, stdout=-1, stderr=-2)
            print(name, os.path.getsize(name))


main()
