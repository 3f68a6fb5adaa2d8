#!/usr/bin/env bash
# Installs the Raft library into a folder of its own, builds the example against it as a stranger
# would, by CMake and by pkg-config, and does what the example's README says.
# Usage: tests/install_test.sh. Wants what ./dev build has built; takes about half a minute.
set -euo pipefail
cd "$(dirname "$0")/.."

./dev build cairn_raft cairn_multiraft cairn_io_real
work=$(mktemp -d -p "$PWD/build" install-test-XXXXXX)
cleanup() {
  # Those that this script started; some are dead already.
  for pid in $(jobs -p); do kill -9 "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

echo "install: into $work/prefix"
cmake --install build/release --component raft --prefix "$work/prefix" >/dev/null

echo "install: every header compiles from there alone"
export PKG_CONFIG_PATH="$work/prefix/lib/pkgconfig"
flags=$(pkg-config --cflags cairn-multiraft)
(cd "$work/prefix/include/cairn" && find . -name '*.h' ! -name '*.pb.h' ! -path './io/real/*') |
  sed 's|^\./\(.*\)|#include "\1"|' >"$work/all.cc"
# shellcheck disable=SC2086
clang++-19 -fsyntax-only $flags "$work/all.cc"

echo "install: a program on the pure core, by pkg-config"
cat >"$work/core.cc" <<'PROGRAM'
#include <cstdio>
#include "raft/quorum/majority.h"
#include "raft/raw_node.h"
int main() {
  cairn::raft::Config config;
  config.election_tick = 0;  // not sound: the library says so
  auto node = cairn::raft::RawNode::create(config);
  std::printf("%s\n", node.ok() ? "made" : node.error().message().c_str());
  return node.ok() ? 1 : 0;
}
PROGRAM
# shellcheck disable=SC2046
clang++-19 "$work/core.cc" $(pkg-config --cflags --libs cairn-raft) -o "$work/core"
"$work/core"

echo "install: the example, by CMake"
cp -r examples/counter "$work/counter"
cd "$work/counter"
cmake -S . -B build -G Ninja -DCMAKE_CXX_COMPILER=clang++-19 -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
cmake --build build >/dev/null

echo "install: what the example's README says"
# The shell blocks of "Run", with "# prints X" turned into a check.
sed -n '/^## Run/,/^## What/p' README.md | sed -n '/^```sh/,/^```/p' | grep -v '^```' |
  sed -E 's/^(build\/counter .*[^ ]) +# prints (.*)$/expect \2 \1/' >run.sh
expect() {
  local wanted="$1" got
  shift
  got=$("$@") || { echo "install: '$*' failed" >&2; return 1; }
  if [ "$got" != "$wanted" ]; then
    echo "install: '$*' printed '$got', not '$wanted'" >&2
    return 1
  fi
  echo "  $* -> $got"
}
grep -c '^expect' run.sh | grep -qx 5 || { echo "install: the README's checks were not found" >&2; exit 1; }
# shellcheck disable=SC1091
. ./run.sh 2>servers.log || { cat servers.log >&2; exit 1; }
echo "install: passed"
