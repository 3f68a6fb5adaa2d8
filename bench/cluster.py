#!/usr/bin/env python3
"""The cluster against its floor: what the native client gets, as ratios to what the machine gives.

Brings up a development cluster of its own, measures floor and cluster in turn several times in the
same minutes (these machines are noisy), and reports medians of the rounds. Ends with 1 if a gate
does not hold. Usage: cluster.py [--rounds N] [--seconds S] [--dir PARENT] [--json]
"""
import argparse
import json
import os
import pathlib
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/system"))
from harness import Cluster, run  # noqa: E402

FLOOR = ROOT / "build/release/bench/cairn_bench_floor"


def measure_floor(directory, seconds):
    out = run([str(FLOOR), "--dir", directory, "--seconds", str(seconds), "--json"]).stdout
    return json.loads(out)


def bench(cluster, pattern, depth, seconds):
    out = cluster.cairn("bench", "--rw", pattern, "--bs", "4k", "--depth", str(depth),
                        "--seconds", str(seconds), "--json", timeout=seconds + 120).stdout
    result = json.loads(out)
    if result["errors"]:
        sys.exit(f"bench {pattern}: {result['errors']} errors: {result.get('first_error')}")
    return result


def cpu_ticks(cluster):
    total = 0
    for process in cluster.processes().values():
        fields = pathlib.Path(f"/proc/{process['pid']}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total


def idle_share(cluster, seconds):
    """CPU of all processes while nobody uses the cluster, as a share of one core."""
    before = cpu_ticks(cluster)
    time.sleep(seconds)
    return (cpu_ticks(cluster) - before) / os.sysconf("SC_CLK_TCK") / seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--dir", help="where the cluster's folder is made (a real disk)")
    parser.add_argument("--json", action="store_true")
    flags = parser.parse_args()
    cluster = Cluster(parent=flags.dir)
    rounds = []
    try:
        time.sleep(5)
        idle = idle_share(cluster, 20)
        bench(cluster, "randwrite", 32, 2)  # chunk files, connections, caches
        for _ in range(flags.rounds):
            floor = measure_floor(cluster.dir, 2)
            write_1 = bench(cluster, "randwrite", 1, flags.seconds)
            read_1 = bench(cluster, "randread", 1, flags.seconds)
            write_128 = bench(cluster, "randwrite", 128, flags.seconds)
            after = measure_floor(cluster.dir, 2)
            floor_write = statistics.mean([floor["floor3_us"], after["floor3_us"]])
            floor_read = statistics.mean([floor["read_floor_us"], after["read_floor_us"]])
            rounds.append({
                "floor_write_us": floor_write, "floor_read_us": floor_read,
                "write_p50_us": write_1["p50_us"], "read_p50_us": read_1["p50_us"],
                "write_ratio": write_1["p50_us"] / floor_write,
                "read_ratio": read_1["p50_us"] / floor_read,
                "writes_per_s": write_128["iops"], "write_cpu_us": write_128["cpu_us_per_op"],
            })
    finally:
        cluster.close()

    def median(key):
        return statistics.median(r[key] for r in rounds)

    gates = [
        ("4 KiB random write, depth 1, p50 / floor", median("write_ratio"), "<=", 1.6),
        ("4 KiB random read, depth 1, p50 / floor", median("read_ratio"), "<=", 1.5),
        ("4 KiB random write, depth 128, writes/s", median("writes_per_s"), ">=", 25000),
        ("CPU of a write at depth 128, us, all processes", median("write_cpu_us"), "<=", 80),
        ("idle cluster, share of one core", idle, "<", 0.02),
    ]
    held = True
    report = []
    for name, value, sign, bound in gates:
        holds = value >= bound if sign == ">=" else value <= bound
        held &= holds
        report.append({"gate": name, "value": value, "bound": f"{sign} {bound}", "holds": holds})
    if flags.json:
        print(json.dumps({"rounds": rounds, "gates": report}))
    else:
        for r in rounds:
            print("round: " + ", ".join(f"{k} {v:.2f}" for k, v in r.items()))
        for g in report:
            print(f"{'ok  ' if g['holds'] else 'MISS'} {g['gate']}: {g['value']:.3f} ({g['bound']})")
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
