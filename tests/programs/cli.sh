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
for verb in run logits tokenize detokenize inspect bench doctor completion help; do
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
says "nothing: no such folder" stderr
silent stdout
code 1 $wick run
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

code 0 $wick bench "$model" -p 8 -n 4 -r 2 --json
says '"prompt": {"tokens": 8' stdout
code 0 $wick bench --synthetic llama-tiny -p 4 -n 2 -r 1 --dtype f32 --threads 1
says '1 threads' stdout
code 1 $wick bench --synthetic llama-9t
code 0 $wick doctor
says '^wick ' stdout
code 0 $wick doctor --json
says '"threads": ' stdout
