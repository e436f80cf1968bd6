#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# compare.sh MODEL.gguf ROUNDS PROMPT ANSWER LLAMA_BENCH [LLAMA_BENCH ..]
#
# `wick bench` and each llama-bench on the same file, in turns, on two threads, and before each of
# them how fast memory is read; then the medians of the rounds, in tokens per second, and those of
# wick's ratios to each within rounds.  A name such as "PATH/llama-bench -rtr 1" has its options.
set -eu
model=$1 rounds=$2 prompt=$3 answer=$4
shift 4
out=$(mktemp)
trap 'rm -f "$out"' EXIT
memory() {
    build/bench/memory 1024 | awk '/^2/ { print "memory", $3 }' >> "$out"
}
i=0
while [ $i -lt "$rounds" ]; do
    memory
    build/wick bench "$model" -p "$prompt" -n "$answer" -r 1 --threads 2 -q |
        awk '/tokens\/s/ { print "0", $1, $4 }' >> "$out"
    peer=0
    for bench; do
        peer=$((peer + 1))
        memory
        $bench -m "$model" -p "$prompt" -n "$answer" -t 2 -r 1 2> /dev/null |
            awk -F'|' -v peer=$peer '/pp[0-9]/ { print peer, "prompt", $(NF - 1) + 0 }
                                     /tg[0-9]/ { print peer, "generate", $(NF - 1) + 0 }' >> "$out"
    done
    i=$((i + 1))
done
awk -v peers=$# '
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
        rounds = n[0, what[k]]
        for (i = 1; i <= rounds; i++)
            a[i] = value[0, what[k], i]
        printf "%-9s wick %8.2f", what[k], median(a, rounds)
        for (p = 1; p <= peers; p++) {
            for (i = 1; i <= rounds; i++) {
                b[i] = value[p, what[k], i]
                c[i] = value[0, what[k], i] / b[i]
            }
            printf "  peer %d %8.2f  ratio %.2f", p, median(b, rounds), median(c, rounds)
        }
        printf "\n"
    }
    printf "memory    %.1f GB/s\n", median(rate, rates)
}' "$out"
