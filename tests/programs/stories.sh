# SPDX-License-Identifier: MIT OR Apache-2.0
# Text from a real trained Llama, exactly as published.
set -eu
wick="$run $build/wick"
model=${WICK_SHARED:-../shared}/models/stories260K
if [ ! -d "$model" ]; then
    echo "skipped: ../shared is not here"
    exit 0
fi
$wick run "$model" --temperature 0 -n 199 < /dev/null > "$temporary/text" 2> "$temporary/talk"
$wick run "$model" --temperature 0 -n 199 --ids -q < /dev/null > "$temporary/ids"
sed -n 's/^"text": "\(.*\)"$/\1/p' "$model/expected.json" | sed 's/\\"/"/g; s/\\n/\
/g' > "$temporary/expected"
printf '%s' "$(cat "$temporary/expected")" | cmp - "$temporary/text"
sed -n '/"ids"/,/\]/p' "$model/expected.json" | grep -o '[0-9][0-9]*' | tail -n +2 | tr '\n' ' ' |
    sed 's/ $//' > "$temporary/expected"
printf '\n' >> "$temporary/expected"
cmp "$temporary/expected" "$temporary/ids"
grep -q 'answer 199 tokens' "$temporary/talk"
echo "Once upon a time" | $wick run "$model" --temperature 0 -n 5 --echo -q > "$temporary/echoed"
test "$(head -c 16 "$temporary/echoed")" = "Once upon a time"
$wick tokenize "$model" "Once upon a time" > "$temporary/tokens"
test "$($wick detokenize "$model" $(cat "$temporary/tokens"))" = "Once upon a time"
$run "$build/examples/05_generate" "$model" > "$temporary/example"
printf '%s\n' "Once upon a time, there was a little girl named Lily." > "$temporary/expected"
head -c 53 "$temporary/example" | cmp -n 53 - "$temporary/expected"
