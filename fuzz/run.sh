#!/usr/bin/env bash
# Builds and runs the fuzzers: fuzz/run.sh [NAME] [SECONDS], all of them for 60 s each unless told.
# The corpus of NAME grows in build/fuzz/corpus/NAME; an input that fails is kept in
# build/fuzz/failures/ and run again by: build/fuzz/fuzz/NAME_fuzz FILE
set -euo pipefail
cd "$(dirname "$0")/.."

names=()
seconds=60
for argument in "$@"; do
  if [[ "$argument" =~ ^[0-9]+$ ]]; then seconds="$argument"; else names+=("${argument%_fuzz}"); fi
done
if [ ${#names[@]} = 0 ]; then
  for source in fuzz/*_fuzz.cc; do names+=("$(basename "$source" _fuzz.cc)"); done
fi

targets=()
for name in "${names[@]}"; do
  if [ ! -f "fuzz/${name}_fuzz.cc" ]; then
    echo "fuzz: there is no fuzz/${name}_fuzz.cc" >&2
    exit 2
  fi
  targets+=("${name}_fuzz")
  if [ -f "fuzz/${name}_seeds.cc" ]; then targets+=("${name}_seeds"); fi
done
./dev build --preset fuzz "${targets[@]}"

mkdir -p build/fuzz/failures
for name in "${names[@]}"; do
  corpus="build/fuzz/corpus/$name"
  mkdir -p "$corpus"
  if [ -x "build/fuzz/fuzz/${name}_seeds" ]; then "build/fuzz/fuzz/${name}_seeds" "$corpus"; fi
  echo "fuzz: $name for $seconds s, $(find "$corpus" -type f | wc -l) inputs to start from"
  "build/fuzz/fuzz/${name}_fuzz" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
    -max_len=65536 -print_final_stats=1 -verbosity=0 -artifact_prefix="build/fuzz/failures/$name-" \
    "$corpus"
done
