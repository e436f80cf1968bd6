#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# compare.sh LLAMA_BENCH MODEL.gguf SHAPE DTYPE [ROUNDS [PROMPT [ANSWER]]]
#
# `wick bench --synthetic SHAPE` and llama-bench on a file of make_gguf.py, in turns, on two
# threads, and before each of them how fast memory is read; then the medians of the rounds, in
# tokens per second, and those of the ratios within rounds.
set -eu
bench=$1 model=$2 shape=$3 dtype=$4 rounds=${5:-3} prompt=${6:-512} answer=${7:-64}
out=$(mktemp)
trap 'rm -f "$out"' EXIT
memory() {
    build/bench/memory 1024 | awk '/^2/ { print "memory", $3 }' >> "$out"
}
i=0
while [ $i -lt "$rounds" ]; do
    memory
    build/wick bench --synthetic "$shape" --dtype "$dtype" -p "$prompt" -n "$answer" -r 1 \
        --threads 2 -q | awk '/tokens\/s/ { print "wick", $1, $4 }' >> "$out"
    memory
    "$bench" -m "$model" -p "$prompt" -n "$answer" -t 2 -r 1 2> /dev/null |
        awk -F'|' '/pp[0-9]/ { print "llama.cpp prompt", $8 + 0 }
                   /tg[0-9]/ { print "llama.cpp generate", $8 + 0 }' >> "$out"
    i=$((i + 1))
done
awk '
function median(of, count,   i, j, t) {
    for (i = 2; i <= count; i++)
        for (j = i; j > 1 && of[j - 1] > of[j]; j--) {
            t = of[j]; of[j] = of[j - 1]; of[j - 1] = t
        }
    return count % 2 ? of[(count + 1) / 2] : (of[count / 2] + of[count / 2 + 1]) / 2
}
$1 == "memory" { rate[++rates] = $2; next }
{ value[$1, $2, ++n[$1, $2]] = $3 }
END {
    split("prompt generate", what, " ")
    for (k = 1; k <= 2; k++) {
        rounds = n["wick", what[k]]
        for (i = 1; i <= rounds; i++) {
            a[i] = value["wick", what[k], i]
            b[i] = value["llama.cpp", what[k], i]
            c[i] = a[i] / b[i]
        }
        printf "%-9s wick %8.2f  llama.cpp %8.2f  ratio %.2f\n", what[k], median(a, rounds),
               median(b, rounds), median(c, rounds)
    }
    printf "memory    %.1f GB/s\n", median(rate, rates)
}' "$out"
