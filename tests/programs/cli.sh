# SPDX-License-Identifier: MIT OR Apache-2.0
# The command line as a user meets it: output, exit codes, help.
set -eu
wick="$run $build/wick"
model=$temporary/model
mkdir -p "$model"
cp tests/golden/models/llama/config.json tests/golden/models/llama/model.safetensors "$model"

code() { # EXPECTED COMMAND...
    want=$1
    shift
    got=0
    "$@" > "$temporary/stdout" 2> "$temporary/stderr" < /dev/null || got=$?
    if [ "$got" != "$want" ]; then
        echo "exit code $got, not $want: $*"
        cat "$temporary/stderr"
        exit 1
    fi
}
says() { # TEXT STREAM
    grep -q -e "$1" "$temporary/$2" && return
    echo "no \"$1\" on $2:"
    cat "$temporary/$2"
    exit 1
}
silent() { # STREAM
    [ -s "$temporary/$1" ] || return 0
    echo "$1 should be empty:"
    cat "$temporary/$1"
    exit 1
}

code 0 $wick --version
says '^wick [0-9]' stdout
code 0 $wick --help
says 'wick tokenize' stdout
code 2 $wick
code 2 $wick frobnicate
says 'wick help' stderr
code 2 $wick run "$model" --temperatur 0
says 'no option --temperatur' stderr
code 2 $wick run "$model" -n
says 'needs a value' stderr
code 2 $wick run "$model" -n many
code 2 $wick logits
for verb in run chat train finetune tokenizer logits tokenize detokenize inspect quantize convert \
    imatrix perplexity bench doctor completion help; do
    code 0 $wick help $verb
    says 'Examples:' stdout
    code 0 $wick $verb --help
done
code 0 $wick help man
says '^.TH WICK 1' stdout
for shell in bash zsh fish; do
    code 0 $wick completion $shell
    says tokenize stdout
done
code 2 $wick completion tcsh

code 1 $wick run "$temporary/nothing" hello
says "nothing: no such file or folder" stderr
silent stdout
code 0 $wick run -n 5 # the model that comes with wick
says '[A-Za-z]' stdout
cp "$build/wick" "$temporary/alone" # and where that is not
code 1 $run "$temporary/alone" run
says 'no model is given' stderr
code 1 $wick inspect "$model/config.json"
says 'config.json' stderr

code 0 $wick inspect "$model/model.safetensors"
says 'model.norm.weight *F32 *\[16\]' stdout
says '21 tensors' stdout
code 0 $wick inspect "$model/model.safetensors" --json
says '"name": "model.norm.weight", "dtype": "F32", "shape": \[16\]' stdout
code 0 $wick inspect "$model/model.safetensors" model.norm.weight
says '^tensor(\[' stdout
code 0 $wick inspect tests/golden/gguf/types.gguf
says '^l.text: \["", "one", "\\ufffd\\u0000\\ufffd", "four"\]$' stdout
says '^Q4_0  *Q4_0  *\[2, 64\]$' stdout
code 0 $wick inspect tests/golden/gguf/split --json
says '"split.count": 3,' stdout
says '"name": "t5", "dtype": "F32", "shape": \[3, 2\]' stdout
code 0 $wick tokenize tests/golden/tokenizer/gguf/spm.gguf "the dog" --pieces
says '^1	<s>$' stdout
code 0 $wick detokenize tests/golden/tokenizer/gguf/spm.gguf $($wick tokenize \
    tests/golden/tokenizer/gguf/spm.gguf "the dog")
says '^the dog$' stdout
code 1 $wick tokenize tests/golden/gguf/types.gguf "the dog"
says 'types.gguf: tokenizer.ggml.model: is missing' stderr
code 1 $wick inspect tests/golden/gguf/types.gguf Q4_1
says 'there is no tensor Q4_1' stderr

code 0 $wick logits "$model" --tokens 3,4,5 --top 3
[ "$(wc -l < "$temporary/stdout")" = 3 ] || { echo "not 3 lines"; exit 1; }
code 0 $wick logits "$model" --tokens 3,4,5 --all --json
says '{"tokens": \[3, 4, 5\], "logits": \[\[' stdout
code 1 $wick logits "$model" --tokens 3,x
code 1 $wick logits "$model" --tokens 3,1000
says '1000' stderr

# Ids need no tokenizer; the answer is the one transformers gives.
set -- $(grep '^llama ' tests/golden/models/cases.txt)
code 0 $wick run "$model" --tokens 3 --ids -n 5 --temperature 0 --quiet
silent stderr
[ "$(wc -w < "$temporary/stdout")" = 5 ] || { echo "not 5 ids"; exit 1; }
code 0 $wick run "$model" --tokens 3 --ids -n 5 --seed 7 -q
cp "$temporary/stdout" "$temporary/first"
code 0 $wick run "$model" --tokens 3 --ids -n 5 --seed 7
cmp "$temporary/stdout" "$temporary/first"
says 'answer 5 tokens' stderr

# With guesses the same, and what they were worth; a file of text and what it costs.
code 0 $wick run "Lily had a ball. Lily had a" -n 60 --seed 3 -q
cp "$temporary/stdout" "$temporary/first"
code 0 $wick run "Lily had a ball. Lily had a" -n 60 --seed 3 --lookup --draft-tokens 5
cmp "$temporary/stdout" "$temporary/first"
says '; guessed [0-9]*, [0-9]* right' stderr
code 0 $wick run "Lily had a ball. Lily had a" -n 60 --seed 3 --draft apps/demo
cmp "$temporary/stdout" "$temporary/first"
code 1 $wick run "Lily had" -n 3 --lookup --draft-tokens 99
says 'draft: 99 tokens at once' stderr
code 1 $wick run "$model" --tokens 3,4 --ids -n 3 --draft apps/demo
says 'a vocabulary of 2048' stderr
code 2 $wick perplexity
code 0 $wick perplexity README.md --ctx 64 --json
says '^{"perplexity": [0-9.]*, "perplexity_error": ' stdout
silent stderr
code 0 $wick perplexity README.md --ctx 64 --stride 32
says '^perplexity [0-9.]* +- [0-9.]* ' stdout
says 'tokens/s' stderr
code 1 $wick perplexity "$temporary/nothing"
says 'nothing: No such file' stderr
code 1 $wick perplexity - # an empty text
says 'the text has 1 tokens, a window has 256' stderr
code 0 $wick bench apps/demo -p 8 -n 30 -r 1 --lookup
says '^guessed ' stdout

code 0 $wick bench "$model" -p 8 -n 4 -r 2 --json
says '"prompt": {"tokens": 8' stdout
code 0 $wick bench --synthetic llama-tiny -p 4 -n 2 -r 1 --dtype f32 --threads 1
says '1 threads' stdout
code 0 $wick bench --synthetic llama-tiny -p 0 -n 4 -r 1 --batch 3 --json
says '"generate": {"tokens": 4' stdout
code 1 $wick bench --synthetic llama-9t
code 0 $wick doctor
says '^wick ' stdout
code 0 $wick doctor --json
says '"threads": ' stdout

# Into fewer bits, and other files.
code 2 $wick quantize tests/golden/models/llama.gguf
code 0 $wick quantize tests/golden/models/llama.gguf "$temporary/q.gguf" --type bf16 --json
says '"name": "blk.0.attn_q.weight", "from": "f32", "to": "bf16"' stdout
says 'bits per weight' stderr
code 0 $wick quantize "$model" "$temporary/q.gguf" --type f16 --tensor-type attn_q=bf16 -v
says 'blk.0.attn_q.weight  *f32  *-> bf16' stderr
silent stdout
code 0 $wick run "$temporary/q.gguf" --tokens 3 --ids -n 5 -q
code 2 $wick imatrix "$model"
text=tests/golden/models/imatrix/text.txt
code 0 $wick imatrix tests/golden/models/llama.gguf $text --ctx 32 -o "$temporary/imatrix.gguf"
says 'imatrix.gguf: 6 windows$' stderr
code 0 $wick quantize tests/golden/models/llama.gguf "$temporary/q3.gguf" --type q4_k_m \
    --imatrix "$temporary/imatrix.gguf"
code 1 $wick imatrix tests/golden/models/llama.gguf $text --ctx 300
says 'has 200 tokens, a window has 300' stderr
code 1 $wick quantize "$model" "$temporary/none/q.gguf"
says 'none/q.gguf' stderr
code 1 $wick quantize "$model" "$temporary/q2.gguf" --type q9
says 'there is no type q9' stderr
code 0 $wick convert "$model" "$temporary/there.gguf"
code 0 $wick convert "$temporary/there.gguf" "$temporary/back"
code 0 $wick run "$temporary/back" --tokens 3 --ids -n 5 -q --temperature 0
cp "$temporary/stdout" "$temporary/first"
code 0 $wick run "$model" --tokens 3 --ids -n 5 -q --temperature 0
cmp "$temporary/stdout" "$temporary/first"
code 0 $wick convert "$temporary/q.gguf" "$temporary/q.safetensors" --dtype f32
code 0 $wick inspect "$temporary/q.safetensors"
says 'blk.0.attn_q.weight  *F32' stdout
code 1 $wick convert "$model" "$temporary/x.npz"
for left in "$temporary"/*.part "$temporary/q2.gguf" "$temporary/x.npz"; do
    [ ! -e "$left" ] || { echo "left behind: $left"; exit 1; }
done

# ---- Hostile use ------------------------------------------------------------

# A text that does not end by itself, for what must end it.
mkdir -p "$temporary/endless"
cp "$model/model.safetensors" "$temporary/endless"
sed 's/"eos_token_id": [0-9]*/"eos_token_id": null/' "$model/config.json" \
    > "$temporary/endless/config.json"
endless="$wick run $temporary/endless --tokens 3 --ids --ctx 1000000 -n 900000 -q"

# Nobody reads: it ends at once, by a signal or, where that is ignored, by an error.
timeout 60 $endless 2> "$temporary/stderr" | head -c 1 > "$temporary/stdout"
[ "$(wc -c < "$temporary/stdout")" = 1 ] || { echo "head got nothing"; exit 1; }
silent stderr
(
    trap '' PIPE
    got=0
    timeout 60 $endless 2> "$temporary/stderr" || got=$?
    echo "$got" > "$temporary/code"
) | head -c 1 > /dev/null
[ "$(cat "$temporary/code")" = 1 ] || { echo "not 1: $(cat "$temporary/code")"; exit 1; }
says 'cannot write to stdout' stderr
if [ -w /dev/full ]; then
    for arguments in --version --help 'help man' doctor "run $model --tokens 3 --ids -n 5 -q"; do
        got=0
        $wick $arguments > /dev/full 2> "$temporary/stderr" || got=$?
        [ "$got" = 1 ] || { echo "exit code $got with a full disk: $arguments"; exit 1; }
        says 'cannot write to stdout' stderr
    done
fi

# Ctrl-C: what was made is there, and the exit code says so.
interrupted() { # SIGNAL
    rm -f "$temporary/stdout"
    $endless > "$temporary/stdout" 2> "$temporary/stderr" &
    pid=$!
    tries=0
    while [ ! -s "$temporary/stdout" ] && [ $tries -lt 300 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    kill -s "$1" $pid
    got=0
    wait $pid || got=$?
    [ "$got" = 130 ] || { echo "exit code $got after SIG$1"; exit 1; }
    tail -c 1 "$temporary/stdout" | od -c | grep -q '\\n' || { echo "not flushed"; exit 1; }
    silent stderr
}
interrupted INT
interrupted TERM
cp tests/golden/models/tokenizer.json "$model"
mkfifo "$temporary/fifo"
for arguments in "tokenize $model -" "run $model -"; do # while it waits for input, too
    $wick $arguments < "$temporary/fifo" > "$temporary/stdout" 2> "$temporary/stderr" &
    pid=$!
    exec 9> "$temporary/fifo"
    sleep 0.3
    kill -s INT $pid
    got=0
    wait $pid || got=$?
    exec 9>&-
    [ "$got" = 130 ] || { echo "exit code $got after SIGINT: $arguments"; exit 1; }
    silent stdout
done

# What is no model, no file, no number.
bad=$temporary/bad
mkdir -p "$bad/config.json"
cp "$model/model.safetensors" "$bad"
code 1 $wick run "$bad" --tokens 3
says 'config.json: not a file' stderr
rmdir "$bad/config.json"
echo '{"model_type": ' > "$bad/config.json"
code 1 $wick run "$bad" --tokens 3
says 'config.json:2:1: ' stderr
cp "$model/config.json" "$bad"
head -c 100000 /dev/urandom > "$bad/model.safetensors"
code 1 $wick run "$bad" --tokens 3
says 'model.safetensors: ' stderr
silent stdout
head -c 3000 "$model/model.safetensors" > "$bad/model.safetensors"
code 1 $wick run "$bad" --tokens 3
says 'model.safetensors' stderr
cp "$model/model.safetensors" "$bad"
head -c 1000 "$model/tokenizer.json" > "$bad/tokenizer.json"
code 1 $wick run "$bad" hello
says 'tokenizer.json:' stderr
silent stdout
for file in "$temporary" /dev/null "$temporary/fifo" build/wick "$temporary/none" ''; do
    code 1 timeout 60 $wick inspect "$file"
    code 1 timeout 60 $wick tokenize "$file/none" hello
    silent stdout
done
if [ "$(id -u)" != 0 ]; then
    chmod 0 "$bad/config.json"
    code 1 $wick run "$bad" --tokens 3
    says 'Permission denied' stderr
fi
got=0
$wick tokenize "$model" - < / > "$temporary/stdout" 2> "$temporary/stderr" || got=$?
[ "$got" = 1 ] || { echo "exit code $got for a folder as stdin"; exit 1; }
says 'cannot read stdin' stderr

for ids in '' ',' '1,,2' ',1' 1.5 -1 0x10 99999999999999999999 2147483648 '1;2' one; do
    code 1 $wick run "$model" --tokens "$ids" -n 1
    silent stdout
done
code 2 $wick run "$model" --tokens 3 --top-k 1e300
code 1 $wick run "$model" --tokens 3 -n 2 --temperature nan
code 1 $wick run "$model" --tokens 3 --dtype f99
code 1 $wick run "$model" --tokens 3 --device cuda:99
long=3
i=0
while [ $i -lt 7 ]; do
    long=$long,$long
    i=$((i + 1))
done
code 1 $wick run "$model" --tokens "$long" -n 1
says '128 tokens do not fit into the context of 64' stderr
silent stdout
code 0 $wick run "$model" --tokens "$long" --ctx 200 -n 1 --ids -q
head -c 300000 /dev/zero | tr '\0' 'a' > "$temporary/long"
got=0
timeout 60 $wick run "$model" - < "$temporary/long" > "$temporary/stdout" \
    2> "$temporary/stderr" || got=$?
[ "$got" = 1 ] || { echo "exit code $got for a very long prompt"; exit 1; }
says 'do not fit into the context of 64' stderr

# Nothing but data on stdout, and no colours anywhere.
for colour in '' 1; do
    NO_COLOR=$colour code 0 $wick run "$model" --tokens 3 --ids -n 3 --seed 1
    if grep -q "$(printf '\033')" "$temporary/stdout" "$temporary/stderr"; then
        echo "colours"
        exit 1
    fi
    [ "$(wc -w < "$temporary/stdout")" = 3 ] || { echo "more than data"; exit 1; }
done
