#!/usr/bin/env bash
# Cairn's NBD server against nbdkit with a C plugin, both with a backend that does nothing, side by
# side in one run: 4 KiB requests on one connection over a Unix socket (docs/adr/0004-nbd.md).
# usage: bench/nbd_bench.sh [SECONDS [ROUNDS]]     one JSON object a line
set -euo pipefail
cd "$(dirname "$0")/.."
seconds="${1:-2}"
rounds="${2:-3}"
bin="build/release/bench"

work=$(mktemp -d)
servers=()
cleanup() {
  for pid in "${servers[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

await_socket() {
  for _ in $(seq 500); do
    [ -S "$1" ] && return 0
    sleep 0.01
  done
  echo "no server at $1" >&2
  return 1
}

"$bin/nbd_null" "$work/cairn" &
servers+=($!)
cairn=$!
nbdkit -f -t 1 -U "$work/nbdkit-1" "$bin/libnbdkit_null_plugin.so" &
servers+=($!)
nbdkit_1=$!
nbdkit -f -t 16 -U "$work/nbdkit-16" "$bin/libnbdkit_null_plugin.so" &
servers+=($!)
nbdkit_16=$!
for socket in cairn nbdkit-1 nbdkit-16; do await_socket "$work/$socket"; done

for _ in $(seq "$rounds"); do
  for rw in read write; do
    for depth in 1 32 128; do
      "$bin/nbd_load" "$work/cairn" "$cairn" "$rw" "$depth" "$seconds" cairn
      "$bin/nbd_load" "$work/nbdkit-1" "$nbdkit_1" "$rw" "$depth" "$seconds" nbdkit-1-thread
      "$bin/nbd_load" "$work/nbdkit-16" "$nbdkit_16" "$rw" "$depth" "$seconds" nbdkit-16-threads
    done
  done
done
