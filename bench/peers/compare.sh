#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# compare.sh MODEL.gguf ROUNDS PROMPT ANSWER LLAMA_BENCH [LLAMA_BENCH ..]
#
# `wick bench` and each llama-bench on the same file, in turns, on two threads, and before and
# behind each of them how fast memory is read; then the medians of the rounds, in tokens per second,
# and those of ratios of wick to each within rounds.  Only rounds with the same memory for all
# count, its readings within a seventh of the least, as long as there is one: on a virtual machine
# two processors are at times moved behind one link to memory, which then decides who is faster.  A
# name such as "PATH/llama-bench -rtr 1" has its options.
set -eu
model=$1 rounds=$2 prompt=$3 answer=$4
shift 4
out=$(mktemp)
trap 'rm -f "$out"' EXIT
memory() {
    build/bench/memory 1024 | awk -v round=$i '/^2/ { print round, "memory", $3 }' >> "$out"
}
i=0
while [ $i -lt "$rounds" ]; do
    i=$((i + 1))
    memory
    build/wick bench "$model" -p "$prompt" -n "$answer" -r 1 --threads 2 -q |
        awk -v round=$i '/tokens\/s/ { print round, $1, 0, $4 }' >> "$out"
    peer=0
    for bench; do
        peer=$((peer + 1))
        memory
        $bench -m "$model" -p "$prompt" -n "$answer" -t 2 -r 1 2> /dev/null |
            awk -F'|' -v key="$i" -v peer=$peer '
                /pp[0-9]/ { print key, "prompt", peer, $(NF - 1) + 0 }
                /tg[0-9]/ { print key, "generate", peer, $(NF - 1) + 0 }' >> "$out"
    done
    memory
done
awk -v peers=$# -v rounds="$rounds" '
function median(of, count,   i, j, t) {
    for (i = 2; i <= count; i++)
        for (j = i; j > 1 && of[j - 1] > of[j]; j--) {
            t = of[j]; of[j] = of[j - 1]; of[j - 1] = t
        }
    return count % 2 ? of[(count + 1) / 2] : (of[count / 2] + of[count / 2 + 1]) / 2
}
$2 == "memory" {
    if (!($1 in least) || $3 < least[$1]) least[$1] = $3
    if ($3 > most[$1]) most[$1] = $3
    next
}
{ value[$2, $3, $1] = $4 }
END {
    for (i = 1; i <= rounds; i++)
        if (most[i] <= least[i] * 8 / 7)
            used[++n] = i
    even = n
    for (i = 1; !even && i <= rounds; i++)
        used[++n] = i
    split("prompt generate", what, " ")
    for (k = 1; k <= 2; k++) {
        for (i = 1; i <= n; i++)
            a[i] = value[what[k], 0, used[i]]
        printf "%-9s wick %8.2f", what[k], median(a, n)
        for (p = 1; p <= peers; p++) {
            for (i = 1; i <= n; i++) {
                b[i] = value[what[k], p, used[i]]
                c[i] = b[i] ? value[what[k], 0, used[i]] / b[i] : 0
            }
            printf "  peer %d %8.2f  ratio %.2f", p, median(b, n), median(c, n)
        }
        printf "\n"
    }
    for (i = 1; i <= n; i++) {
        a[i] = least[used[i]]
        b[i] = most[used[i]]
    }
    printf "memory    %.1f to %.1f GB/s, %d of %d rounds even\n", median(a, n), median(b, n), even,
        rounds
}' "$out"
