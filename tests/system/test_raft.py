"""`cairn raft`: members and leaders changed by hand, under load."""
import contextlib
import json
import pathlib
import subprocess
import time

from harness import CAIRN, Background, Cluster, expect, wait_until


@contextlib.contextmanager
def a_further_chunkserver(cluster, name):
    """A chunkserver that `cairn dev` does not know; ended by its id."""
    state = json.loads(cluster.cairn("dev", "status", "--json", check=False).stdout)
    mds = next(p["address"] for p in state["processes"] if p["name"].startswith("mds"))
    known = {c["id"] for c in cluster.status()["chunkservers"]}  # before it can be among them
    log = (pathlib.Path(cluster.dir) / f"{name}.log").open("w")
    process = subprocess.Popen(
        [CAIRN, "chunkserver", "--data", f"{cluster.dir}/{name}", "--mds", mds, "--key-file",
         state["key_file"], "--zone", f"zone-{name}", "--server", name, "--pool-ready-min", "4",
         "--pool-ready-target", "8", "--space-reserve", "64M"],
        stdout=log, stderr=log)
    try:
        yield wait_until(lambda: next((c["id"] for c in cluster.status()["chunkservers"]
                                       if c["id"] not in known), None),
                         f"{name} has registered")
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


def raft(cluster, *arguments):
    """A change may meet one of the schedulers': then it is tried again, as the message says."""
    for _ in range(60):
        done = cluster.cairn("raft", *map(str, arguments), "--json", check=False)
        if done.returncode == 0:
            return json.loads(done.stdout)
        expect("under way" in done.stderr or "not finished" in done.stderr, done.stderr)
        time.sleep(0.5)
    expect(False, f"raft {arguments}: {done.stderr}")


def test_replicas_move_under_load():
    """A fourth chunkserver; replicas, a leader's too, move to it under load; all agree afterwards."""
    with Cluster() as cluster, a_further_chunkserver(cluster, "extra") as extra:
        load = Background([CAIRN, "bench", "--dir", cluster.dir, "--rw", "randwrite", "--depth",
                           "16", "--seconds", "30", "--json"])
        try:
            time.sleep(3)
            for number, copyset in enumerate(cluster.copysets()[:4]):
                leader = raft(cluster, "leader", copyset["copyset"])["leader"]
                members = [m["id"] for m in copyset["members"]]
                if extra in members:
                    continue  # the schedulers were first
                goes = leader if number % 2 else next(m for m in members if m != leader)
                wanted = sorted([extra, *(m for m in members if m != goes)])
                raft(cluster, "change-peers", copyset["copyset"], ",".join(map(str, wanted)))
                status = raft(cluster, "status", copyset["copyset"])
                expect(any(r["is_leader"] for r in status) or goes == leader, status)
            out = json.loads(load.finish(timeout=90))
        finally:
            load.stop()
        expect(out["errors"] == 0, out)
        print(f"    {out['iops']:.0f} IOPS meanwhile, the longest took {out['max_us'] / 1e3:.0f} ms")
        cluster.wait_settled()  # the schedulers spread replicas over the new one as well
        cluster.verify_replicas()


def test_each_command():
    """add-peer, transfer, remove-peer, snapshot, leader, status, and what they refuse."""
    with Cluster() as cluster, a_further_chunkserver(cluster, "extra") as extra:
        copyset = cluster.copysets()[0]["copyset"]
        added = raft(cluster, "add-peer", copyset, extra)
        expect(extra in added["members"], added)
        moved = raft(cluster, "transfer", copyset, extra)
        expect(extra in moved["members"], moved)
        expect(raft(cluster, "leader", copyset)["leader"] == extra, "it was handed the leadership")
        cluster.cairn("raft", "snapshot", str(copyset))
        rows = raft(cluster, "status", copyset)
        expect(all(r["chunks_missing"] == 0 for r in rows if r["is_leader"]), rows)
        expect("MISSING" in cluster.cairn("raft", "status", str(copyset)).stdout, "is a column")
        removed = raft(cluster, "remove-peer", copyset, extra)
        expect(extra not in removed["members"], removed)
        done = cluster.cairn("raft", "reset-peers", str(copyset), "--on", "1", check=False)
        expect(done.returncode != 0 and "--accept-loss" in done.stderr, done.stderr)
        done = cluster.cairn("raft", "leader", "99999", check=False)
        expect(done.returncode != 0 and "cairn copyset list" in done.stderr, done.stderr)
        done = cluster.cairn("raft", "transfer", str(copyset), "99", check=False)
        expect(done.returncode != 0, "there is no chunkserver 99")
        for command in ("add-peer", "remove-peer", "change-peers", "reset-peers", "transfer",
                        "leader", "snapshot", "status"):
            expect("COPYSET" in cluster.cairn("raft", command, "--help").stdout, command)
