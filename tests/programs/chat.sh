# SPDX-License-Identifier: MIT OR Apache-2.0
# wick chat as a script meets it, and Ctrl-C.
set -eu
wick="$run $build/wick"
model=$temporary/chat
mkdir -p "$model"
cp apps/demo/* "$model"
cat > "$model/chat_template.jinja" << 'EOF'
{{ bos_token }}{% for m in messages %}
{{ m.content | trim }}
{% endfor %}
EOF
says() { # TEXT FILE
    grep -q -e "$1" "$2" && return
    echo "no \"$1\" in $2:"
    cat "$2"
    exit 1
}
talk() { # ARGUMENTS: stdin to chat
    $wick chat "$model" --temperature 0 -n 12 "$@" > "$temporary/out" 2> "$temporary/err"
}

# What is said before is part of the prompt; a conversation is saved and begun anew.
printf 'One day,\n\n  \nThe dog\\\nand the cat\n/save %s\n/reset\n/save %s\nOne day,\n' \
    "$temporary/a.json" "$temporary/b.json" | talk
[ ! -s "$temporary/err" ] || { cat "$temporary/err"; exit 1; }
says '"role": "user", "content": "The dog.u000aand the cat"' "$temporary/a.json"
[ "$(grep -c '"role": "assistant"' "$temporary/a.json")" = 2 ]
says '^\[\]$' "$temporary/b.json"
mv "$temporary/out" "$temporary/long"
printf 'One day,\n' | talk --lookup
size=$(wc -c < "$temporary/out")
head -c "$size" "$temporary/long" | cmp - "$temporary/out"
tail -c "$size" "$temporary/long" | cmp - "$temporary/out"

# Instructions, commands.
printf '/save %s\n/system Be\n/save %s\n/exit\nnot reached\n' "$temporary/b.json" \
    "$temporary/c.json" | talk --system 'Once'
says '"system", "content": "Once"' "$temporary/b.json"
says '"system", "content": "Be"' "$temporary/c.json"
[ ! -s "$temporary/out" ]
printf '/help\n/nonsense\n/save %s/none/x\n' "$temporary" | talk
says '/system TEXT' "$temporary/err"
says 'No such file' "$temporary/err"

# A script is told what goes wrong.
echo "{{ raise_exception('not today') }}" > "$model/chat_template.jinja"
got=0
echo hello | talk || got=$?
[ "$got" = 1 ]
says 'chat_template.jinja:1: not today' "$temporary/err"
[ ! -s "$temporary/out" ]

# Ctrl-C stops an answer, not the program.
echo '{{ messages[-1].content }}' > "$model/chat_template.jinja"
sed 's/"eos_token_id": *[0-9]*/"eos_token_id": null/' apps/demo/config.json > "$model/config.json"
rm -f "$model/generation_config.json"
mkfifo "$temporary/chat.fifo"
$wick chat "$model" --ctx 1000000 -q < "$temporary/chat.fifo" > "$temporary/out" \
    2> "$temporary/err" &
pid=$!
exec 8> "$temporary/chat.fifo"
echo 'One day,' >&8
tries=0
while [ "$(wc -c < "$temporary/out")" -lt 40 ] && [ $tries -lt 300 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
kill -s INT $pid
tries=0
while ! tail -c 1 "$temporary/out" | od -c | grep -q '\\n' && [ $tries -lt 300 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
echo "/save $temporary/d.json" >&8
exec 8>&-
got=0
wait $pid || got=$?
[ "$got" = 0 ] || { echo "exit code $got"; cat "$temporary/err"; exit 1; }
says '"role": "assistant"' "$temporary/d.json"
