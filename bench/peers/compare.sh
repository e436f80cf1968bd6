#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# compare.sh LLAMA_BENCH MODEL.gguf SHAPE DTYPE [ROUNDS [PROMPT [ANSWER]]]
#
# `wick bench --synthetic SHAPE` and llama-bench on a file of make_gguf.py, in turns, on two
# threads; then the medians of the rounds, in tokens per second, and their ratios.
set -eu
bench=$1 model=$2 shape=$3 dtype=$4 rounds=${5:-3} prompt=${6:-512} answer=${7:-64}
out=$(mktemp)
trap 'rm -f "$out"' EXIT
i=0
while [ $i -lt "$rounds" ]; do
    build/wick bench --synthetic "$shape" --dtype "$dtype" -p "$prompt" -n "$answer" -r 1 \
        --threads 2 -q | awk '/tokens\/s/ { print "wick", $1, $4 }' >> "$out"
    "$bench" -m "$model" -p "$prompt" -n "$answer" -t 2 -r 1 2> /dev/null |
        awk -F'|' '/pp[0-9]/ { print "llama.cpp prompt", $8 + 0 }
                   /tg[0-9]/ { print "llama.cpp generate", $8 + 0 }' >> "$out"
    i=$((i + 1))
done
sort -k1,2 -k3n "$out" | awk '
{ key = $1 " " $2; value[key, n[key]++] = $3 }
END {
    split("prompt generate", what, " ")
    for (i = 1; i <= 2; i++) {
        a = value["wick " what[i], int(n["wick " what[i]] / 2)]
        b = value["llama.cpp " what[i], int(n["llama.cpp " what[i]] / 2)]
        printf "%-9s wick %8.2f  llama.cpp %8.2f  ratio %.2f\n", what[i], a, b, a / b
    }
}'
