#!/usr/bin/env python3
"""A cluster heals and balances itself through everything at once, under fio with verification.

Six chunkservers, each on a file system of its own, and three MDS. One after the other: a chunkserver
is added, one drained and removed, one killed for good with the active MDS right behind it, one
stopped and continued, one disk filled up, and 100 random blocks of one disk flipped. A client writes
and verifies all the time. It has to see no error; afterwards every copyset has three identical
replicas in different zones, leaders are within one, and copysets within 5 % of each chunkserver's
share by capacity. With --meta-store etcd the metadata is in three etcd, whose leader is killed, too.

Wants root, for loop mounts. Usage: heal.py [--dir PARENT] [--copysets-per-chunkserver N]
       [--meta-store etcd] [--keep]
"""
import argparse
import contextlib
import json
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/system"))
from harness import Background, Cluster, Failure, expect, run, wait_until  # noqa: E402
from test_etcd import etcd_leader  # noqa: E402
from test_rot import chunk_files, rot  # noqa: E402

CHUNKSERVERS = 7  # the seventh is added later
DISK_MB = 4096
MDS_FLAGS = ("--unstable-after-ms 3000 --offline-after-ms 8000 --leader-rest-ms 3000 "
             "--copies-per-chunkserver 4")
CHUNKSERVER_FLAGS = "--wal-max 512M --snapshot-log 16M --retained-log 16M --space-reserve 256M"
PATTERN_BYTES = 512 << 20  # the volume's second half, which fio leaves alone
LOAD_SECONDS = 45


class Disks:
    """A small file system for each chunkserver, mounted where its folder will be."""

    def __init__(self, home):
        self.home = pathlib.Path(home)
        self.mounted = []

    def mount(self, name):
        image, folder = self.home / f"{name}.image", self.home / "cluster" / name
        folder.mkdir(parents=True)
        with image.open("wb") as file:
            file.truncate(DISK_MB << 20)
        run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0", "-m", "0", str(image)])
        run(["mount", "-o", "loop", str(image), str(folder)])
        self.mounted.append(folder)

    def unmount(self):
        while self.mounted:
            run(["umount", str(self.mounted[-1])], timeout=60)
            self.mounted.pop()


@contextlib.contextmanager
def a_cluster(flags):
    home = tempfile.mkdtemp(prefix="cairn-heal-", dir=flags.dir)
    disks = Disks(home)
    cluster = None
    failed = True
    try:
        for number in range(1, CHUNKSERVERS + 1):
            disks.mount(f"chunkserver-{number}")
        cluster = Cluster("--mds", "3", "--copysets-per-chunkserver",
                          str(flags.copysets_per_chunkserver), "--mds-flags", MDS_FLAGS,
                          "--chunkserver-flags", CHUNKSERVER_FLAGS, "--meta-store",
                          flags.meta_store, "--chunkservers",
                          str(CHUNKSERVERS - 1), folder=f"{home}/cluster")
        yield cluster
        failed = False
    finally:
        if cluster:
            cluster.close(keep=True)
        if failed or flags.keep:
            print(f"kept: {home}; unmount what is below it when you are done")
        else:
            disks.unmount()
            shutil.rmtree(home)


class Load:
    """fio runs, one after the other, until it is told to end: random writes, each read back."""

    def __init__(self, cluster, work):
        self.cluster, self.work = cluster, work
        self.is_ending = False
        self.failure = None
        self.operations = self.rounds = 0
        self.longest_ms = 0.0
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        while not self.is_ending and not self.failure:
            fio = Background(["fio", "--name=load", "--ioengine=nbd", f"--uri={self.cluster.uri}",
                              "--rw=randwrite", "--bs=4k", "--iodepth=8", "--rate_iops=400",
                              f"--size={PATTERN_BYTES}", "--time_based",
                              f"--runtime={LOAD_SECONDS}", "--verify=crc32c", "--verify_fatal=1",
                              "--do_verify=1", "--verify_backlog=1000", "--randrepeat=0",
                              "--output-format=json"], cwd=self.work)
            try:
                out = fio.finish(timeout=LOAD_SECONDS + 240)
                self._count(json.loads(out[out.index("{"):]))
            except Exception as failure:
                self.failure = failure

    def _count(self, result):
        job = result["jobs"][0]
        expect(job["error"] == 0, f"fio: {job['error']}")
        self.rounds += 1
        for kind in ("write", "read"):
            self.operations += job[kind]["total_ios"]
            self.longest_ms = max(self.longest_ms, job[kind]["clat_ns"]["max"] / 1e6)

    def check(self):
        expect(not self.failure, f"the client: {self.failure}")

    def end(self):
        self.is_ending = True
        self.thread.join()


class Story:
    """What is done to the cluster, step by step, each told with how long it took."""

    def __init__(self, cluster, load):
        self.cluster, self.load = cluster, load

    def step(self, what, do):
        began = time.monotonic()
        do()
        self.load.check()
        print(f"  {what} ({time.monotonic() - began:.1f} s)", flush=True)

    def settled(self):
        """Nothing is under way, nothing is left to do, and it stays so for some rounds."""
        quiet_since = None

        def is_so():
            nonlocal quiet_since
            self.load.check()
            if self.cluster.operators() or not self.is_balanced():
                quiet_since = None
                return False
            quiet_since = quiet_since or time.monotonic()
            return time.monotonic() - quiet_since > 4
        try:
            wait_until(is_so, "the cluster is settled and balanced", 400, every=1)
        except Failure as failure:
            raise Failure(f"{failure}\n{self.imbalance()}\n{self.cluster.explain()}") from failure

    def usable(self):
        return [c for c in self.cluster.chunkservers()
                if c["service"] == "read-write" and c["state"] == "online"]

    def imbalance(self):
        """In words; empty: leaders are within one, copysets within 5 % of each one's share."""
        usable = self.usable()
        leaders = [c["leaders"] for c in usable]
        if max(leaders) - min(leaders) > 1:
            return f"leaders: {leaders}"
        replicas = sum(len(m) for m in self.cluster.members().values())
        capacity = sum(c["capacity_bytes"] for c in usable)
        for one in usable:
            share = replicas * one["capacity_bytes"] / capacity
            if abs(one["copysets"] - share) > max(1, 0.05 * share) + 1e-6:
                return f"chunkserver {one['id']} has {one['copysets']} replicas, its share is {share}"
        return ""

    def is_balanced(self):
        return self.imbalance() == ""

    def add(self):
        self.cluster.flags = (*self.cluster.flags[:-1], str(CHUNKSERVERS))
        self.cluster.up()
        self.settled()

    def drain(self, name):
        number = self.cluster.id_of(name)
        self.cluster.cairn("chunkserver", "drain", str(number))
        self.cluster.wait_without(number, timeout=300)
        self.cluster.cairn("chunkserver", "remove", str(number))
        self.cluster.signal(name, signal.SIGTERM)

    def lose_with_the_mds(self, name):
        number = self.cluster.id_of(name)
        self.cluster.kill(name)
        active = self.cluster.active_mds()
        time.sleep(10)  # recovery has begun
        self.cluster.kill(active)
        self.cluster.wait_without(number, timeout=300)
        self.cluster.start(active)
        self.settled()

    def lose_etcds_leader(self):
        leader = etcd_leader(self.cluster)
        self.cluster.kill(leader)
        time.sleep(10)
        self.cluster.start(leader)
        self.settled()

    def stop_and_continue(self, name, seconds):
        self.cluster.signal(name, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            self.cluster.signal(name, signal.SIGCONT)
        self.settled()

    def fill(self, name):
        folder = pathlib.Path(self.cluster.processes()[name]["dir"])
        number = self.cluster.id_of(name)
        filler = folder / "filler"
        with filler.open("wb") as file:
            left = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
            os.posix_fallocate(file.fileno(), 0, left - (1 << 20))
        wait_until(lambda: any(f"chunkserver {number} " in p and "is full" in p
                               for p in self.cluster.status()["problems"]), "it is said to be full")
        time.sleep(20)
        self.load.check()
        filler.unlink()
        wait_until(lambda: not any("is full" in p for p in self.cluster.status()["problems"]),
                   "it is no longer said to be full")
        self.settled()

    def corrupt(self, name):
        rot(chunk_files(self.cluster, name), 100, seed=4)
        scan = ScanOfAll(self.cluster)
        wait_until(scan.is_done, "every copyset was scanned", timeout=300, every=1)
        print(f"    {scan.rotten} rotten blocks were left to the scan")
        expect(scan.undecided == 0, "a sound copy of each")


class ScanOfAll:
    """Scans every copyset; one that changes its leader meanwhile is asked for again."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.left = {c["copyset"] for c in cluster.copysets()}
        self.rotten = self.undecided = 0
        cluster.cairn("scan", "start")

    def is_done(self):
        scans = json.loads(self.cluster.cairn("scan", "status", "--json").stdout)
        under_way = {s["copyset"] for s in scans if s["state"] in ("running", "waiting")}
        for scan in scans:
            if (scan["copyset"] in self.left - under_way and scan["state"] == "done" and
                    scan["finished_at"] >= self.began and scan["absent_replicas"] == 0):
                self.left.remove(scan["copyset"])
                self.rotten += scan["rotten_blocks"]
                self.undecided += scan["undecided_blocks"]
        if not under_way:
            for copyset in self.left:
                self.cluster.cairn("scan", "start", "--copyset", str(copyset), check=False)
        return not self.left


def pattern(cluster, command):
    for at in range(PATTERN_BYTES, 2 * PATTERN_BYTES, 64 << 20):
        out = run(["qemu-io", "-f", "raw", "-c", f"{command} -P 7 {at} 64M", cluster.uri],
                  timeout=300)
        expect("failed" not in out.stdout + out.stderr, out.stdout[-2000:] + out.stderr[-2000:])


def check_zones(cluster):
    zone_of = {c["id"]: c["zone"] for c in cluster.chunkservers()}
    for copyset, members in cluster.members().items():
        expect(len(members) == 3 and len({zone_of[m] for m in members}) == 3,
               f"copyset {copyset} is on {members}")


def tell_the_story(cluster, load):
    story = Story(cluster, load)
    story.step("a seventh chunkserver is added", story.add)
    story.step("chunkserver-2 is drained and removed", lambda: story.drain("chunkserver-2"))
    story.step("chunkserver-3 is killed for good, and the active MDS",
               lambda: story.lose_with_the_mds("chunkserver-3"))
    if cluster.has_etcd():
        story.step("etcd's leader is killed", story.lose_etcds_leader)
    story.step("chunkserver-4 is stopped for 5 s", lambda: story.stop_and_continue(
        "chunkserver-4", 5))
    story.step("chunkserver-4 is stopped for 20 s, and given up meanwhile",
               lambda: story.stop_and_continue("chunkserver-4", 20))
    story.step("chunkserver-5's disk is filled", lambda: story.fill("chunkserver-5"))
    story.step("100 blocks of chunkserver-6 are corrupted", lambda: story.corrupt("chunkserver-6"))
    story.settled()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dir", help="where everything is made: 20 GB of a real disk")
    parser.add_argument("--copysets-per-chunkserver", type=int, default=100)
    parser.add_argument("--meta-store", choices=("embedded", "etcd"), default="embedded")
    parser.add_argument("--keep", action="store_true", help="leave the cluster's files there")
    flags = parser.parse_args()
    began = time.monotonic()
    with a_cluster(flags) as cluster, tempfile.TemporaryDirectory() as work:
        pattern(cluster, "write")
        load = Load(cluster, work)
        try:
            tell_the_story(cluster, load)
        finally:
            load.end()
        load.check()
        print(f"  the client: {load.operations} operations in {load.rounds} runs of fio, none "
              f"failed, the longest took {load.longest_ms:.0f} ms")
        pattern(cluster, "read")
        check_zones(cluster)
        verified = cluster.verify_replicas()
        expect(verified["identical"] == verified["copysets"], str(verified))
    print(f"heal: passed ({time.monotonic() - began:.0f} s)")


if __name__ == "__main__":
    main()
