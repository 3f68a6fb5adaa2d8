#!/usr/bin/env bash
# Everything that CI runs. Ends with the number of steps that passed and failed.
set -uo pipefail
cd "$(dirname "$0")/.."

./dev setup || exit 1

passed=0
failed=0
step() {
  local name="$1" began=$SECONDS
  shift
  printf '\n=== %s\n' "$name"
  if "$@"; then
    passed=$((passed + 1))
    printf '=== %s: passed (%d s)\n' "$name" $((SECONDS - began))
  else
    failed=$((failed + 1))
    printf '=== %s: FAILED (%d s)\n' "$name" $((SECONDS - began))
  fi
}

step "build" ./dev build
step "lint" ./dev lint
step "unit tests" ./dev test
step "Raft scenarios" ./dev scenarios tests/scenarios
step "simulation" ./dev sim --seeds "${CAIRN_CHECK_SEEDS:-200}"
step "the library installed, and the example on it" tests/install_test.sh
step "simulation of Raft groups" ./dev sim --profile raft --seeds "${CAIRN_CHECK_RAFT_SEEDS:-300}"
step "simulation of Raft cores" ./dev sim --profile core --seeds "${CAIRN_CHECK_CORE_SEEDS:-500}"
step "simulation of healing" ./dev sim --profile heal --seeds "${CAIRN_CHECK_HEAL_SEEDS:-40}"
step "simulation of fences" ./dev sim --profile fence --seeds "${CAIRN_CHECK_FENCE_SEEDS:-20}"
step "real processes and clients" ./dev system

echo
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
