#!/bin/sh
# The main job, step by step, on text that is already here: the source of this Python's standard library.
# Usage: examples/demo.sh path/to/nanochat OUTPUT_DIR   (`make demo` does this)
set -eu

nanochat=$1
out=$2
runs=$out/runs
run=$runs/stdlib
started=$(date +%s)

step() {
    printf '\n== %s\n' "$1"
    shift
    printf '$ nanochat'
    printf ' %s' "$@"
    printf '\n'
    "$nanochat" "$@"
}

mkdir -p "$runs"
if [ -e "$run" ]; then
    kept=$run-$(date +%Y%m%d-%H%M%S)
    echo "Keeping the earlier run as $kept"
    mv "$run" "$kept"
fi

step "1/5 Text to tokens: a byte-level BPE tokenizer of 4096 tokens, trained on the standard library" \
    prepare-data --source python_stdlib --vocab-size 4096 --output "$out/data"

step "2/5 Train tiny-cpu (3.7 million parameters) with ternary weights" \
    train tiny-cpu --run stdlib --runs-dir "$runs" --set "data.source.path=$out/data/tokens.bin" \
    --set train.steps=600 --set eval.every=100

step "3/5 Held-out bits per byte, beside what gzip and xz reach on the same bytes" \
    eval "$run" --tasks bpb --data "$out/data"

step "4/5 Export to GGUF, and read it back" \
    export "$run" --to gguf --output "$out/stdlib.gguf" --check

step "5/5 A completion, from the GGUF file" \
    generate "$out/stdlib.gguf" --prompt "def read_lines(path):
" --max-tokens 80 --temperature 0.7 --top-k 40 --seed 1

minutes=$((($(date +%s) - started + 30) / 60))
cat <<END

Done in about $minutes minutes. What was made, in $out/:
  data/                tokenizer.json, tokens.bin, val.bin and what they came from (data.json)
  runs/stdlib/         the run: metrics.jsonl, status.json, checkpoints/best, checkpoints/final
  stdlib.gguf          the model, in 2-bit blocks; stock llama.cpp runs it as it is

Try next:
  $nanochat generate $out/stdlib.gguf --prompt "import os"
  $nanochat plan nano-125m                   what a bigger model needs
  $nanochat train tiny-cpu --run longer --runs-dir $runs --set train.steps=5000 --set data.source.path=$out/data/tokens.bin
  $nanochat components list                  every part a TOML file can name
END
