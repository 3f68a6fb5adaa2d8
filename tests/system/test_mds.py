"""Several MDS: the active one is lost and another takes over; dumps of the metadata."""
import json
import os
import pathlib
import tempfile
import time

from harness import CAIRN, Background, Cluster, expect, run, wait_until


def status_of(cluster):
    return json.loads(cluster.cairn("status", "--json").stdout)


def active_of(cluster):
    active = [m for m in status_of(cluster)["mds"] if m["active"]]
    expect(len(active) == 1, f"one MDS is active: {active}")
    return "mds-" + active[0]["id"]


def test_the_active_mds_is_killed():
    """kill -9 of the active MDS, three times, under volume creation and a bench: no client error."""
    with Cluster("--mds", "3", "--copysets-per-chunkserver", "10") as cluster:
        expect(len(status_of(cluster)["mds"]) == 3, "three MDS are shown")
        bench = Background([CAIRN, "bench", "--dir", cluster.dir, "--rw", "randwrite", "--depth", "4",
                            "--seconds", "25", "--json"])
        try:
            longest, made = 0.0, 0
            for _ in range(3):
                victim = active_of(cluster)
                cluster.kill(victim)
                killed_at, first = time.monotonic(), None
                # Each of these has to end well, whoever it meets; the first tells the failover.
                while time.monotonic() < killed_at + 3:
                    cluster.cairn("volume", "create", f"v{made}", "--size", "1G")
                    made += 1
                    first = first or time.monotonic() - killed_at
                longest = max(longest, first)
                print(f"    {victim} killed: a volume was created after {first:.2f} s")
                expect(active_of(cluster) != victim, "another one is active")
                cluster.up_lenient()
            expect(longest <= 5, f"the failover took {longest:.1f} s")
            out = bench.finish(60)
        finally:
            bench.stop()
        result = json.loads(out[out.index("{"):])
        expect(result["errors"] == 0, out)
        names = cluster.cairn("volume", "list", "--json").stdout
        for i in range(made):
            expect(f'"v{i}"' in names, f"volume v{i} is lost")
        wait_until(lambda: status_of(cluster)["health"] == "ok", "the cluster is healthy")
        wait_until(lambda: all(m["state"] == "online" for m in status_of(cluster)["mds"]),
                   "all MDS take part again")
        print(f"    longest failover {longest:.2f} s; {made} volumes, none lost")


def test_a_dump_is_loaded_into_a_new_group():
    """dump beside a running MDS; a rotten dump is refused; a load gives the same dump again."""
    with Cluster("--mds", "3", "--copysets-per-chunkserver", "5") as cluster, \
            tempfile.TemporaryDirectory() as work:
        cluster.cairn("volume", "create", "precious", "--size", "1G")
        data = os.path.join(cluster.dir, active_of(cluster))
        first, second = os.path.join(work, "first"), os.path.join(work, "second")
        run([CAIRN, "meta", "dump", "--data", data, first])
        fresh = os.path.join(work, "fresh")
        run([CAIRN, "meta", "load", "--data", fresh, "--member", first])
        run([CAIRN, "meta", "dump", "--data", fresh, second])
        dumped = pathlib.Path(first).read_bytes()
        expect(dumped == pathlib.Path(second).read_bytes(), "the same dump comes back")
        expect(b"precious" in dumped, "the volume is in it")
        out = run([CAIRN, "inspect", "meta", fresh]).stdout
        expect("volume_name/precious" in out, out)
        refused = run([CAIRN, "meta", "load", "--data", fresh, "--member", first], check=False)
        expect(refused.returncode != 0 and "holds metadata" in refused.stderr, refused.stderr)
        rotten = bytearray(dumped)
        rotten[len(rotten) // 2] ^= 1
        pathlib.Path(first).write_bytes(rotten)
        refused = run([CAIRN, "meta", "load", "--data", os.path.join(work, "other"), first],
                      check=False)
        expect(refused.returncode != 0, "a rotten dump is refused")
