#!/usr/bin/env bash
# The unit tests and 100 seeds of the simulation under ASan+UBSan and under TSan.
set -euo pipefail
cd "$(dirname "$0")/.."
export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1
export UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS="halt_on_error=1 suppressions=$PWD/tests/sanitizers/tsan.supp"
for preset in asan tsan; do
  echo "=== $preset"
  ./dev build --preset "$preset"
  ctest --test-dir "build/$preset" --output-on-failure -j2
  "build/$preset/sim/cluster/cairn_sim" --seeds "${1:-100}"
done
echo "sanitize: clean"
