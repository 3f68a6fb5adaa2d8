#!/usr/bin/env bash
# Formatting, layers, headers that compile alone; with --tidy also clang-tidy (slow).
set -euo pipefail
cd "$(dirname "$0")/.."

tidy=0
[ "${1:-}" = "--tidy" ] && tidy=1
failed=0

mapfile -t sources < <(git ls-files --cached --others --exclude-standard -- '*.h' '*.cc')
echo "lint: formatting of ${#sources[@]} files"
clang-format-19 --dry-run --Werror "${sources[@]}" || failed=1

echo "lint: layers"
python3 tools/check_layers.py || failed=1
python3 tools/check_pitfalls.py || failed=1

echo "lint: size of files"
for file in "${sources[@]}"; do
  lines=$(wc -l <"$file")
  case "$file" in *_test.cc | tests/* | sim/*) limit=1200 ;; *) limit=800 ;; esac
  if [ "$lines" -gt "$limit" ]; then
    echo "$file: $lines lines, more than $limit: split it by idea"
    failed=1
  fi
done

# The build's own flags, without the precompiled header: that would hide a missing include.
echo "lint: headers compile alone"
[ -f build/release/build.ninja ] || cmake --preset release >/dev/null
./dev build cairn_proto >/dev/null
check_header() {
  clang++-19 -std=c++20 -fsyntax-only -Wall -Wextra -Werror -Wno-missing-field-initializers -D_GLIBCXX_ASSERTIONS -Isrc -I. \
    -isystem build/release/proto -x c++ -include "$1" /dev/null || echo "does not compile alone: $1"
}
export -f check_header
alone=$(git ls-files --cached --others --exclude-standard -- 'src/*.h' 'sim/*.h' 'bench/*.h' |
  xargs -P 2 -I{} bash -c 'check_header {}' 2>&1)
if [ -n "$alone" ]; then
  echo "$alone"
  failed=1
fi

if [ "$tidy" = 1 ]; then
  echo "lint: clang-tidy"
  git ls-files -- 'src/*.cc' | grep -v _test.cc |
    xargs -P 2 -n 4 clang-tidy-19 -p build/release --quiet --warnings-as-errors='*' || failed=1
fi
[ "$failed" = 0 ] && echo "lint: clean"
exit "$failed"
