#!/usr/bin/env bash
# Runs the benchmarks: all, or those named: floor, runtime, rpc, wal, raft_core, raft,
# planner, mds, nbd, cluster, gaps, healing.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=build/release/bench
work=$(mktemp -d -p "${CAIRN_BENCH_DIR:-$PWD/build}")
trap 'rm -rf "$work"' EXIT

names=("$@")
[ ${#names[@]} -gt 0 ] || names=(floor runtime rpc wal raft_core raft planner mds nbd cluster gaps healing)
for name in "${names[@]}"; do
  echo "=== $name"
  case "$name" in
    floor) "$bin/cairn_bench_floor" --dir "$work" ;;
    runtime) "$bin/cairn_bench_runtime" "$work" ;;
    rpc) "$bin/cairn_bench_rpc" ;;
    wal) "$bin/cairn_bench_wal" --dir "$work" ;;
    raft_core) "$bin/cairn_bench_raft_core" ;;
    raft) "$bin/cairn_bench_raft" --dir "$work" ;;
    planner) "$bin/cairn_bench_planner" ;;
    mds) "$bin/cairn_bench_mds" ;;
    nbd) bench/nbd_bench.sh ;;
    cluster) bench/cluster.py --dir "$work" ;;
    gaps) bench/gaps.py --dir "$work" ;;
    healing) bench/healing.py --dir "$work" ;;
    *)
      echo "bench: no benchmark is called $name" >&2
      exit 2
      ;;
  esac
done
