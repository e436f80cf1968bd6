# SPDX-License-Identifier: MIT OR Apache-2.0
# Training on the command line: a tokenizer, a model, runs that are killed again and again,
# an adapter; and the model that comes with wick.
set -eu
wick="$run $build/wick"
work=$temporary/training
mkdir "$work"
i=0
while [ $i -lt 120 ]; do
    echo "One day, number $i met number $((i + 7)). They were $((i % 3 + 1)) friends."
    i=$((i + 1))
done > "$work/text.txt"

fail() {
    echo "$*"
    exit 1
}

$wick tokenizer train "$work/text.txt" -o "$work/tokens" --vocab 320 -q
[ "$($wick tokenize "$work/tokens" 'One day' --no-special | wc -w)" -le 3 ] || fail "tokenizer"

flags="--tokenizer $work/tokens --layers 1 --width 32 --heads 2 --kv-heads 1 --ctx 32 --batch 4
    --dropout 0.1 --steps 60 --save-every 1 --validate-every 20 --threads 1 -q"
# shellcheck disable=SC2086
train() { $wick train "$work/text.txt" $flags -o "$@"; }

train "$work/whole"
for file in config.json model.safetensors tokenizer.json log.jsonl checkpoint-60 checkpoint-59; do
    [ -e "$work/whole/$file" ] || fail "no $file"
done
[ ! -e "$work/whole/checkpoint-58" ] || fail "more checkpoints than two"
grep -q '"step": 60, .*"validation": ' "$work/whole/log.jsonl" || fail "no validation"
train "$work/whole" 2> "$work/talk" && fail "an earlier run was written over"
grep -q 'checkpoints of an earlier run' "$work/talk" || fail "$(cat "$work/talk")"
$wick run "$work/whole" "One day," -n 5 -q --temperature 0 < /dev/null > "$work/said"
[ -s "$work/said" ] || fail "it says nothing"

# Killed at any moment: the newest checkpoint opens, and the run that goes on from there ends
# as the one that was never stopped.
kills=50
[ -z "${WICK_SLOW:-}" ] || kills=2
seed=7 killed=0
while [ $killed -lt $kills ]; do
    # The program itself, so that it is what is killed.
    # shellcheck disable=SC2086
    $wick train "$work/text.txt" $flags -o "$work/pieces" --resume > /dev/null 2>&1 &
    seed=$(((seed * 1103515245 + 12345) % 2147483648))
    sleep "0.0$((seed / 65536 % 9 + 1))"
    if ! kill -9 $! 2> /dev/null; then
        wait $! || fail "it failed by itself"
        rm -rf "$work/pieces" # it was done: from the beginning
    else
        wait $! || true
    fi
    killed=$((killed + 1))
    for folder in "$work"/pieces/checkpoint-*; do
        [ -d "$folder" ] || continue
        $wick logits "$folder" --tokens 1,2 --top 1 -q > /dev/null || fail "$folder is damaged"
        $wick inspect "$folder/optimizer.safetensors" > /dev/null || fail "$folder is damaged"
    done
done
train "$work/pieces" --resume
cmp "$work/whole/model.safetensors" "$work/pieces/model.safetensors"
cmp "$work/whole/log.jsonl" "$work/pieces/log.jsonl"

# Ctrl-C saves.
$wick train "$work/text.txt" -o "$work/stopped" --layers 1 --width 64 --vocab 300 --ctx 64 \
    --steps 100000 -q 2> "$work/talk" &
while [ ! -e "$work/stopped/tokens.bin" ]; do sleep 0.1; done
kill -INT $!
code=0
wait $! || code=$?
[ $code = 130 ] || fail "exit code $code"
ls -d "$work"/stopped/checkpoint-* > /dev/null

# Adapters: of conversations, used as they are, merged.
echo '{"messages": [{"role": "user", "content": "1?"}, {"role": "assistant", "content": "2"}]}' \
    > "$work/chat.jsonl"
tune="$wick finetune $work/whole $work/chat.jsonl --ctx 32 --steps 3 --held-out 0 -q"
$tune -o "$work/adapter" --lora 4 --json > "$work/steps"
[ "$(grep -c '"loss": ' "$work/steps")" = 3 ] || fail "steps"
[ -e "$work/adapter/adapter_config.json" ] || fail "no adapter"
$wick run "$work/whole" "One" --adapter "$work/adapter" -n 5 --temperature 0 -q \
    < /dev/null > "$work/a"
$tune -o "$work/merged" --lora 4 --merge
$wick run "$work/merged" "One" -n 5 --temperature 0 -q < /dev/null > "$work/b"
cmp "$work/a" "$work/b"
$tune -o "$work/full"
[ -e "$work/full/model.safetensors" ] || fail "no model"

for type in mistral qwen2 qwen3; do
    $wick train "$work/text.txt" -o "$work/$type" --type $type --tokenizer "$work/tokens" \
        --layers 1 --width 32 --ctx 32 --steps 2 --dtype bf16 -q
    $wick logits "$work/$type" --tokens 1,2 -q > /dev/null
done
$wick inspect "$work/qwen3/model.safetensors" | grep -q q_norm
$wick inspect "$work/qwen2/model.safetensors" | grep -q q_proj.bias
code=0
$wick train -o "$work/x" 2> "$work/talk" || code=$?
[ $code = 2 ] || fail "exit code $code"
code=0
$wick train "$work/nothing.txt" -o "$work/x" -q 2> "$work/talk" || code=$?
[ $code = 1 ] || fail "exit code $code"
grep -q nothing.txt "$work/talk"

# The model that comes with wick: words of children's stories.
$wick run "One day, a little" --echo -n 60 --temperature 0 -q < /dev/null > "$work/story"
grep -q '^One day, a little [a-z]* ' "$work/story" || fail "$(cat "$work/story")"
[ "$(grep -o -w -E 'the|was|and|a|to|her|she|he|they' "$work/story" | wc -l)" -gt 12 ] ||
    fail "$(cat "$work/story")"
