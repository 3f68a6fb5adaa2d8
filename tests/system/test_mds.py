"""Several MDS: the active one is lost and another takes over; dumps of the metadata."""
import json
import os
import pathlib
import tempfile
import time

from harness import CAIRN, Background, Cluster, expect, run, wait_until


class Failovers:
    """Processes are killed one after the other, while a bench writes and volumes are created."""

    def __init__(self, cluster, seconds):
        self.cluster = cluster
        self.volumes = 0
        self.longest = 0.0
        self.bench = Background([CAIRN, "bench", "--dir", cluster.dir, "--rw", "randwrite",
                                 "--depth", "4", "--seconds", str(seconds), "--json"])

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.bench.stop()

    def kill(self, victim):
        """For 3 s each volume has to be created; how long the first took is the failover."""
        self.cluster.kill(victim)
        killed_at, first = time.monotonic(), None
        while time.monotonic() < killed_at + 3:
            self.cluster.cairn("volume", "create", f"v{self.volumes}", "--size", "1G")
            self.volumes += 1
            first = first or time.monotonic() - killed_at
        self.longest = max(self.longest, first)
        print(f"    {victim} killed: a volume was created after {first:.2f} s")

    def check(self):
        """No client saw an error, no failover was long, and nothing is lost."""
        expect(self.longest <= 5, f"a failover took {self.longest:.1f} s")
        out = self.bench.finish(60)
        expect(json.loads(out[out.index("{"):])["errors"] == 0, out)
        names = self.cluster.cairn("volume", "list", "--json").stdout
        for i in range(self.volumes):
            expect(f'"v{i}"' in names, f"volume v{i} is lost")
        self.cluster.wait_healthy()
        wait_until(lambda: all(m["state"] == "online" for m in self.cluster.status()["mds"]),
                   "all MDS take part again")
        print(f"    longest failover {self.longest:.2f} s; {self.volumes} volumes, none lost")


def test_the_active_mds_is_killed():
    """kill -9 of the active MDS, three times, under volume creation and a bench: no client error."""
    with Cluster("--mds", "3", "--copysets-per-chunkserver", "10") as cluster:
        expect(len(cluster.status()["mds"]) == 3, "three MDS are shown")
        with Failovers(cluster, seconds=25) as failovers:
            for _ in range(3):
                victim = cluster.active_mds()
                failovers.kill(victim)
                expect(cluster.active_mds() != victim, "another one is active")
                cluster.up_lenient()
            failovers.check()


def test_a_dump_is_loaded_into_a_new_group():
    """dump beside a running MDS; a rotten dump is refused; a load gives the same dump again."""
    with Cluster("--mds", "3", "--copysets-per-chunkserver", "5") as cluster, \
            tempfile.TemporaryDirectory() as work:
        cluster.cairn("volume", "create", "precious", "--size", "1G")
        data = os.path.join(cluster.dir, cluster.active_mds())
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


def test_rare_heartbeats_serve_a_cluster_as_well():
    """Heartbeats every few seconds, as large clusters have them: it comes up and stays healthy."""
    with Cluster("--copysets-per-chunkserver", "5", "--mds-flags",
                 "--heartbeat-ms 10000 --unstable-after-ms 30000 --offline-after-ms 60000",
                 "--chunkserver-flags", "--heartbeat-ms 6000") as cluster:
        cluster.wait_healthy(60)
        time.sleep(12)
        status = cluster.status()
        expect(status["health"] == "ok", f"{status['problems']}")
        cluster.cairn("volume", "create", "v", "--size", "1G")
