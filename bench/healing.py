#!/usr/bin/env python3
"""What healing costs and how fast it is, with real processes, as ratios within one run.

  slow      one chunkserver's disk takes 100 ms longer for every flush: clients' p99 to healthy
  catch_up  a chunkserver is away for a minute: bytes copied at its return to bytes changed
  rebuild   a lost chunkserver's replicas are made anew: to the disk's write bandwidth, nobody
            writing and limits raised; and clients' p99 meanwhile to before, with default limits

Usage: healing.py [--dir PARENT] [--seconds S] [--gib N] [NAME ...]. Ends with 1 if a gate does not
hold.
"""
import argparse
import json
import pathlib
import signal
import statistics
import sys
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/system"))
from harness import Cluster, expect, run, wait_until  # noqa: E402

NEVER_GIVEN_UP = ("--mds-flags", "--unstable-after-ms 3000 --offline-after-ms 3600000 "
                  "--leader-rest-ms 2000")


def bench(cluster, seconds, depth=8, rate=None):
    out = cluster.cairn("bench", "--rw", "randwrite", "--bs", "4k", "--depth", str(depth),
                        "--seconds", str(seconds), "--json", timeout=seconds + 120).stdout
    result = json.loads(out)
    expect(result["errors"] == 0, f"{result['errors']} errors: {result.get('first_error')}")
    return result


def fill(cluster, gib):
    """Writes the volume once, from its beginning."""
    run(["fio", "--name=fill", "--ioengine=nbd", f"--uri={cluster.uri}", "--rw=write", "--bs=1M",
         "--iodepth=4", f"--size={gib}G"], timeout=600)


def metric(cluster, name, key):
    address = cluster.processes()[name]["http"]
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(key + " "):
                return float(line.split()[1])
    raise KeyError(key)


def restart(cluster, name, *flags):
    cluster.signal(name, signal.SIGTERM)
    wait_until(lambda: not cluster.processes()[name]["running"], f"{name} has ended")
    cluster.start(*flags, name)
    wait_until(lambda: cluster.status()["copysets_without_leader"] == 0 and all(
        c["state"] == "online" for c in cluster.status()["chunkservers"]), "all are up", 60)


def slow(flags):
    """The same process in turn with a fast and a slow disk; the medians of the rounds' p99."""
    healthy, slowed = [], []
    with Cluster(*NEVER_GIVEN_UP, parent=flags.dir) as cluster:
        fill(cluster, 1)
        for _ in range(2):
            restart(cluster, "chunkserver-3")
            time.sleep(8)
            healthy.append(bench(cluster, flags.seconds))
            restart(cluster, "chunkserver-3", "--chunkserver-flags", "--inject-flush-delay-ms 100")
            number = cluster.id_of("chunkserver-3")
            wait_until(lambda: any(f"chunkserver {number} is slow" in p
                                   for p in cluster.status()["problems"]), "it is found slow", 60)
            wait_until(lambda: next(c for c in cluster.chunkservers() if c["id"] == number)
                       ["leaders"] == 0, "it leads nothing", 60)
            slowed.append(bench(cluster, flags.seconds))
    for key in ("p50_us", "p99_us", "iops"):
        print(f"  {key}: healthy {[round(r[key]) for r in healthy]}, with a slow follower "
              f"{[round(r[key]) for r in slowed]}")
    ratio = (statistics.median(r["p99_us"] for r in slowed) /
             statistics.median(r["p99_us"] for r in healthy))
    return [("a follower slowed by 100 ms a flush: p99 / healthy", ratio, "<=", 1.5)]


def catch_up(flags):
    """Random writes, no block twice, while one is away; what it fetches when it is back."""
    with Cluster(*NEVER_GIVEN_UP, "--chunkserver-flags", "--snapshot-log 1M --retained-log 1M",
                 parent=flags.dir) as cluster:
        fill(cluster, 1)
        cluster.wait_healthy()
        cluster.verify_replicas()
        cluster.signal("chunkserver-2", signal.SIGTERM)
        with tempfile.TemporaryDirectory() as work:
            out = run(["fio", "--name=change", "--ioengine=nbd", f"--uri={cluster.uri}",
                       "--rw=randwrite", "--bs=4k", "--iodepth=8", "--size=1G",
                       f"--runtime={flags.away}", "--time_based", "--rate_iops=3000",
                       "--output-format=json"], cwd=work, timeout=flags.away + 60).stdout
        changed = json.loads(out[out.index("{"):])["jobs"][0]["write"]["io_bytes"]
        expect(changed < 1 << 30, "blocks were written twice")
        cluster.start("chunkserver-2")
        began = time.monotonic()
        cluster.wait_healthy(120)
        cluster.verify_replicas()
        took = time.monotonic() - began
        copied = metric(cluster, "chunkserver-2", "cairn_chunkserver_fetched_bytes_total")
    print(f"  {changed / 2**20:.0f} MiB changed, {copied / 2**20:.0f} MiB fetched, verified equal "
          f"{took:.1f} s after the start")
    expect(copied > 0, "the log reached: nothing was copied")
    return [("catch-up after a stop: bytes copied / changed", copied / changed, "<=", 1.2)]


def disk_bytes_per_s(directory):
    out = run(["fio", "--name=disk", f"--directory={directory}", "--ioengine=libaio", "--rw=write",
               "--bs=1M", "--iodepth=8", "--direct=1", "--size=2G", "--end_fsync=1",
               "--output-format=json"], timeout=300).stdout
    for path in pathlib.Path(directory).glob("disk.*"):
        path.unlink()
    return json.loads(out[out.index("{"):])["jobs"][0]["write"]["bw_bytes"]


def chunk_bytes(cluster, name):
    folder = pathlib.Path(cluster.processes()[name]["dir"])
    return sum(p.stat().st_blocks * 512 for p in folder.glob("copysets/*/chunk-*"))


class Rebuild:
    """Kills a chunkserver and times from the first copy to the last."""

    def __init__(self, cluster, name):
        self.cluster, self.name = cluster, name
        self.bytes = chunk_bytes(cluster, name)
        self.lost = cluster.id_of(name)

    def begin(self):
        self.cluster.kill(self.name)
        wait_until(lambda: self.cluster.operators(), "copies begin", 60)
        self.began = time.monotonic()

    def is_over(self):
        return all(self.lost not in m and len(m) == 3 for m in self.cluster.members().values())

    def finish(self):
        wait_until(self.is_over, "all replicas are made anew", 900, every=0.2)
        self.seconds = time.monotonic() - self.began


def rebuild_cluster(flags, mds_flags="", chunkserver_flags=()):
    # A third of the volume's replicas are on each of four: so each of them holds --gib.
    gib = flags.gib * 4 / 3
    return gib, Cluster("--chunkservers", "4", "--volume-size", f"{int(gib) + 1}G", "--mds-flags",
                        "--unstable-after-ms 2000 --offline-after-ms 4000 " + mds_flags,
                        *chunkserver_flags, parent=flags.dir)


def rebuild_idle(flags):
    gib, cluster = rebuild_cluster(flags, "--copies-per-chunkserver 200 --copies-per-server 200",
                                   ("--chunkserver-flags", "--fetch-rate 0"))
    with cluster:
        fill(cluster, int(gib))
        cluster.wait_healthy()
        before = disk_bytes_per_s(cluster.dir)
        rebuild = Rebuild(cluster, "chunkserver-4")
        rebuild.begin()
        rebuild.finish()
        after = disk_bytes_per_s(cluster.dir)
    disk = statistics.mean([before, after])
    rate = rebuild.bytes / rebuild.seconds
    print(f"  idle: {rebuild.bytes / 2**30:.2f} GiB in {rebuild.seconds:.1f} s, "
          f"{rate / 2**20:.0f} MiB/s; the disk writes {before / 2**20:.0f} and "
          f"{after / 2**20:.0f} MiB/s")
    return [("rebuild when idle / the disk's write bandwidth", rate / disk, ">=", 0.5)]


def rebuild_loaded(flags):
    gib, cluster = rebuild_cluster(flags)
    with cluster:
        fill(cluster, int(gib))
        cluster.wait_healthy()
        healthy = bench(cluster, flags.seconds)
        rebuild = Rebuild(cluster, "chunkserver-4")
        rebuild.begin()
        finishing = threading.Thread(target=rebuild.finish)
        finishing.start()
        meanwhile = []
        while finishing.is_alive():
            meanwhile.append(bench(cluster, 3))
        finishing.join()
    for key in ("p50_us", "p99_us", "iops"):
        print(f"  {key}: healthy {healthy[key]:.0f}, during the rebuild of {rebuild.seconds:.0f} s "
              f"{[round(r[key]) for r in meanwhile]}")
    ratio = statistics.median(r["p99_us"] for r in meanwhile) / healthy["p99_us"]
    return [("during a rebuild with default limits: p99 / healthy", ratio, "<=", 2.0)]


PARTS = {"slow": [slow], "catch_up": [catch_up], "rebuild": [rebuild_idle, rebuild_loaded]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="slow, catch_up, rebuild")
    parser.add_argument("--dir", help="where the clusters' folders are made (a real disk)")
    parser.add_argument("--seconds", type=int, default=10, help="of each measurement of latency")
    parser.add_argument("--away", type=int, default=60, help="seconds, of catch_up")
    parser.add_argument("--gib", type=float, default=4, help="on each chunkserver, of rebuild")
    flags = parser.parse_args()
    held = True
    for name in flags.names or PARTS:
        for part in PARTS[name]:
            for what, value, sign, bound in part(flags):
                holds = value >= bound if sign == ">=" else value <= bound
                held &= holds
                print(f"{'ok  ' if holds else 'MISS'} {what}: {value:.3f} ({sign} {bound})",
                      flush=True)
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
