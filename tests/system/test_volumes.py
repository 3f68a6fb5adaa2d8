"""What happens to volumes as a whole, under real clients: growth, names, the recycle bin."""
import contextlib
import json
import os
import pathlib
import random
import signal
import threading
import time
import urllib.request

from harness import CAIRN, Background, Cluster, expect, run, wait_until
from nbd_client import NbdClient, Refused

MIB = 1 << 20


@contextlib.contextmanager
def environment(**variables):
    """Variables that processes which start meanwhile get."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def gateway(cluster, *volumes):
    """An NBD server of these volumes, which closes them at the end; gives its socket's path."""
    path = f"{cluster.dir}/gateway-{volumes[0].replace('/', '-')}.sock"
    served = Background([CAIRN, "nbd", *volumes, "--listen", f"unix:{path}", "--dir", cluster.dir])
    try:
        wait_until(lambda: os.path.exists(path), "the gateway listens")
        yield path
        served.end()
    finally:
        served.stop()


def asked(cluster, *words):
    return json.loads(cluster.cairn("volume", *words, "--json").stdout)


def refused(cluster, word, *words):
    done = cluster.cairn("volume", *words, check=False)
    expect(done.returncode != 0 and word in done.stderr,
           f"{words} is refused with '{word}': {done.stdout}{done.stderr}")


def chunks_count(cluster):
    """The chunk files of all replicas, as they lie on the disks."""
    return len(list(pathlib.Path(cluster.dir).glob("chunkserver-*/copysets/*/chunk-*")))


def chunks_of_copysets(cluster):
    """Of each copyset: how many chunks one of its replicas has, the one that has most."""
    counts = {}
    for folder in pathlib.Path(cluster.dir).glob("chunkserver-*/copysets/*"):
        count = len(list(folder.glob("chunk-*")))
        counts[folder.name] = max(counts.get(folder.name, 0), count)
    return counts


def ready_files(cluster):
    """Of each chunkserver: how many chunk files its pool has ready, by its own metrics."""
    counts = {}
    for name, process in cluster.processes().items():
        if name.startswith("chunkserver"):
            with urllib.request.urlopen(f"http://{process['http']}/metrics", timeout=10) as answer:
                lines = answer.read().decode().splitlines()
            counts[name] = next(int(line.split()[1]) for line in lines
                                if line.startswith("cairn_pool_ready_files"))
    return counts


def qemu_io(uri, *commands):
    """Runs these commands one after the other, each of which has to succeed."""
    words = [word for command in commands for word in ("-c", command)]
    done = run(["qemu-io", "-f", "raw", *words, uri], timeout=300)
    expect("failed" not in done.stdout + done.stderr, f"{commands}: {done.stdout}{done.stderr}")


class Writer(threading.Thread):
    """Writes and reads back until it is stopped; the first thing that goes wrong ends it."""

    def __init__(self, path, volume, range_bytes):
        super().__init__()
        self.client = NbdClient(path, volume)
        self.range_bytes = range_bytes
        self.rounds, self.failure, self.is_stopping = 0, None, False
        self.start()

    def run(self):
        dice = random.Random(7)
        try:
            while not self.is_stopping:
                offset = dice.randrange(self.range_bytes // 4096) * 4096
                data = dice.randbytes(4096)
                self.client.write(offset, data)
                expect(self.client.read(offset, 4096) == data, f"other data at {offset}")
                self.rounds += 1
        except Exception as failure:  # pylint: disable=broad-except
            self.failure = failure

    def finish(self):
        self.is_stopping = True
        self.join(60)
        self.client.close()
        expect(self.failure is None, f"a writer failed: {self.failure}")
        expect(self.rounds > 0, "the writer did nothing")
        return self.rounds


def test_a_volume_grows_and_changes_its_name_under_load():
    """extend and rename while a client writes: it sees no error; who connects anew sees both."""
    with Cluster("--copysets-per-chunkserver", "10") as cluster:
        cluster.cairn("volume", "create", "team/a", "--size", "64M", "--owner", "the team")
        cluster.cairn("volume", "create", "team/b", "--size", "64M")
        with gateway(cluster, "team/a", "team/b") as path:
            writer = Writer(path, "team/a", 64 * MIB)
            time.sleep(0.5)
            cluster.cairn("volume", "extend", "team/a", "--size", "3G")
            refused(cluster, "cannot shrink", "extend", "team/a", "--size", "1G")
            second = NbdClient(path, "team/a")
            expect(second.size_bytes == 3 << 30, f"{second.size_bytes} bytes are shown")
            second.write((3 << 30) - 4096, b"e" * 4096)
            second.close()
            refused(cluster, "exists already", "rename", "team/a", "team/b")
            cluster.cairn("volume", "rename", "team/b", "old/b")
            cluster.cairn("volume", "rename", "team/a", "team/b")
            third = NbdClient(path, "team/b")
            expect(third.read((3 << 30) - 4096, 4096) == b"e" * 4096, "it is the same volume")
            time.sleep(0.5)
            sessions = asked(cluster, "sessions")
            expect([s["volume"] for s in sessions["sessions"]] == ["team/b"], f"{sessions}")
            expect(sessions["sessions"][0]["mode"] == "exclusive", f"{sessions}")
            third.close()
            print(f"    {writer.finish()} rounds of a writer meanwhile")
        info = asked(cluster, "stat", "team/b")
        expect(info["owner"] == "the team" and info["size_bytes"] == 3 << 30, f"{info}")
        rows = asked(cluster, "list")
        expect([r.get("folder", r.get("name")) for r in rows] == ["old", "team", "demo"], f"{rows}")
        expect([r["name"] for r in asked(cluster, "list", "team")] == ["team/b"], "one folder")
        cluster.verify_replicas()


def test_a_deleted_volume_comes_back_whole():
    """delete, restore: the data is intact, whoever had it open is out, names do not collide."""
    with Cluster("--copysets-per-chunkserver", "10") as cluster:
        cluster.cairn("volume", "create", "v", "--size", "1G")
        data = {offset: random.randbytes(MIB) for offset in range(0, 256 * MIB, 24 * MIB)}
        with gateway(cluster, "v") as path:
            holder = NbdClient(path, "v")
            for offset, block in data.items():
                holder.write(offset, block)
            refused(cluster, "--force", "delete", "v")
            expect(holder.read(0, MIB) == data[0], "a refused deletion changes nothing")
            cluster.cairn("volume", "delete", "v", "--force")
            with contextlib.suppress(Refused):
                for _ in range(100):  # until its session hears of it
                    holder.write(512 * MIB, b"l" * 4096)
                    time.sleep(0.1)
                expect(False, "a deleted volume is written")
            holder.close()
        cluster.cairn("volume", "create", "v", "--size", "64M")
        refused(cluster, "--as", "restore", "v")
        deleted = asked(cluster, "list", "--deleted")
        expect([d["name"] for d in deleted] == ["v"] and deleted[0]["expires"], f"{deleted}")
        cluster.cairn("volume", "restore", "v", "--as", "back/v")
        expect(asked(cluster, "list", "--deleted") == [], "the bin is empty")
        with gateway(cluster, "back/v") as path:
            client = NbdClient(path, "back/v")
            for offset, block in data.items():
                expect(client.read(offset, MIB) == block, f"the data at {offset} is intact")
            client.close()
        cluster.verify_replicas()


def test_expiry_frees_the_chunks():
    """A volume whose time in the bin is over, and one that is purged, give their chunks back."""
    with environment(CAIRN_DELETED_VOLUME_KEEP_S="4"), \
            Cluster("--copysets-per-chunkserver", "10") as cluster:
        empty = chunks_count(cluster)
        for name in ("expires", "purged", "now"):
            cluster.cairn("volume", "create", name, "--size", "1G")
            with gateway(cluster, name) as path:
                client = NbdClient(path, name)
                for chunk in range(8):
                    client.write(chunk * 16 * MIB, b"x" * 4096)
                client.close()
        full = wait_until(lambda: chunks_count(cluster) >= empty + 3 * 24 and chunks_count(cluster),
                          "every replica has its chunks")
        cluster.cairn("volume", "delete", "now", "--now")
        wait_until(lambda: chunks_count(cluster) == full - 24, "the first's chunks are gone")
        cluster.cairn("volume", "delete", "purged")
        cluster.cairn("volume", "purge", "purged")
        wait_until(lambda: chunks_count(cluster) == full - 48, "the second's chunks are gone")
        began = time.monotonic()
        cluster.cairn("volume", "delete", "expires")
        expect(len(asked(cluster, "list", "--deleted")) == 1, "it is in the bin")
        wait_until(lambda: chunks_count(cluster) == empty, "the third's chunks are gone")
        took = time.monotonic() - began
        expect(took >= 4, f"it was gone after {took:.1f} s already")
        print(f"    {full - empty} chunk files given back; the bin was empty after {took:.1f} s")
        refused(cluster, "recycle bin", "restore", "expires")


def test_stripes_hold_what_was_written():
    """A striped volume under fio, qemu-io and nbdcopy; it lies in several copysets; it grows."""
    with Cluster("--copysets-per-chunkserver", "10") as cluster:
        refused(cluster, "divides a chunk", "create", "odd", "--size", "1G", "--stripe-unit", "48K",
                "--stripe-count", "4")
        cluster.cairn("volume", "create", "s", "--size", "1G", "--stripe-unit", "64K",
                      "--stripe-count", "4")
        cluster.cairn("volume", "create", "plain", "--size", "2G")
        before = chunks_of_copysets(cluster)
        with gateway(cluster, "s", "plain") as path:
            striped, plain = (f"nbd+unix:///{name}?socket={path}" for name in ("s", "plain"))
            qemu_io(striped, "write -P 7 64k 64k", "read -P 7 64k 64k", "read -P 0 0 64k",
                    "read -P 0 128k 64k", "write -P 9 60k 200k", "read -P 9 60k 200k",
                    "read -P 0 0 60k", "discard 0 1M", "read -P 0 0 1M", "write -P 5 0 256k")
            spread = {copyset: count - before.get(copyset, 0)
                      for copyset, count in chunks_of_copysets(cluster).items()}
            expect(sum(spread.values()) == 4 and sum(map(bool, spread.values())) > 1,
                   f"256 KiB lie in the four chunks of a set, and these in copysets: {spread}")
            run(["fio", "--name=v", "--ioengine=nbd", f"--uri={striped}", "--rw=randwrite",
                 "--bsrange=4k-512k", "--bs_unaligned=0", "--size=192M", "--offset=8M",
                 "--iodepth=16", "--verify=crc32c", "--verify_fatal=1", "--do_verify=1",
                 "--verify_state_save=0"],
                cwd=cluster.dir, timeout=300)
            cluster.cairn("volume", "extend", "s", "--size", "2G")
            run(["nbdcopy", striped, plain], timeout=300)
        cluster.cairn("volume", "rename", "s", "t")
        info = asked(cluster, "stat", "t")
        expect((info["stripe_unit_bytes"], info["stripe_count"]) == (65536, 4), f"{info}")
        with gateway(cluster, "t", "plain") as path:
            striped, plain = (f"nbd+unix:///{name}?socket={path}" for name in ("t", "plain"))
            qemu_io(striped, "write -P 3 2047M 1M", "read -P 3 2047M 1M", "read -P 5 0 256k")
            qemu_io(plain, "write -P 3 2047M 1M")
            run(["qemu-img", "compare", "-f", "raw", "-F", "raw", striped, plain], timeout=300)
        cluster.verify_replicas()


def test_a_discard_gives_chunks_back():
    """A trim of whole chunks frees their files on every replica; what is used shrinks."""
    with Cluster("--copysets-per-chunkserver", "10") as cluster:
        cluster.cairn("volume", "create", "v", "--size", "1G")
        cluster.cairn("volume", "create", "s", "--size", "1G", "--stripe-unit", "1M",
                      "--stripe-count", "4")

        def holds(chunks):
            return lambda: chunks_count(cluster) == before + 3 * chunks

        def used(volume):
            return asked(cluster, "stat", volume)["used_bytes"] // (16 * MIB)

        before = chunks_count(cluster)
        ready = wait_until(lambda: len(set(ready_files(cluster).values())) == 1
                           and ready_files(cluster), "the pools are filled")
        with gateway(cluster, "v", "s") as path:
            v, s = (f"nbd+unix:///{name}?socket={path}" for name in ("v", "s"))
            expect(used("v") == 0, "nothing is used")
            qemu_io(v, "write -P 1 0 64M")
            wait_until(holds(4), "four chunks on three disks")
            expect(used("v") == 4 and used("s") == 0, "four chunks are used")
            # Two whole ones, and a piece at each side that is kept as a chunk.
            qemu_io(v, "discard 12M 40M", "read -P 1 0 12M", "read -P 0 12M 40M",
                    "read -P 1 52M 12M")
            wait_until(holds(2), "two chunks are given back")
            expect(used("v") == 2, "two chunks are used")
            qemu_io(v, "discard 12M 40M", "write -P 3 20M 4k", "read -P 3 20M 4k",
                    "read -P 0 12M 8M", "write -z -u 16M 16M", "read -P 0 16M 16M",
                    "write -P 4 16M 64k")
            wait_until(holds(3), "zeroes that may unmap discard, and a write makes it anew")
            qemu_io(s, "write -P 2 0 64M")
            wait_until(holds(7), "a set of four")
            expect(used("s") == 4, "four chunks are used")
            qemu_io(s, "discard 0 64M", "read -P 0 0 64M")
            wait_until(holds(3), "the whole set is given back")
            qemu_io(v, "discard 0 64M", "read -P 0 0 64M")
            wait_until(holds(0), "nothing is left")
            expect(used("v") == 0 and used("s") == 0, "nothing is used")
        wait_until(lambda: ready_files(cluster) == ready, "the pools have their files again")
        cluster.verify_replicas()


def test_discards_and_a_server_that_dies():
    """Writes and trims of whole chunks at once, while a chunkserver is killed and comes back."""
    with Cluster("--copysets-per-chunkserver", "10") as cluster:
        cluster.cairn("volume", "create", "v", "--size", "1G")
        with gateway(cluster, "v") as path:
            load = Background(["fio", "--name=trim", "--ioengine=nbd",
                               f"--uri=nbd+unix:///v?socket={path}", "--rw=randtrimwrite",
                               "--bs=16M", "--size=256M", "--iodepth=4", "--time_based",
                               "--runtime=12"], cwd=cluster.dir)
            try:
                time.sleep(3)
                cluster.kill("chunkserver-2")
                time.sleep(3)
                cluster.up_lenient()
                load.finish(120)
            finally:
                load.stop()
            qemu_io(f"nbd+unix:///v?socket={path}", "write -P 6 0 48M", "discard 16M 16M",
                    "read -P 6 0 16M", "read -P 0 16M 16M", "read -P 6 32M 16M")
        cluster.wait_healthy()
        wait_until(lambda: cluster.cairn("copyset", "verify", check=False).returncode == 0,
                   "all replicas have applied the same", timeout=60, every=1)
        cluster.verify_replicas()


def test_what_is_used_is_not_known_while_a_majority_hangs():
    """stat tells the rest soon, and why one number is missing."""
    with Cluster("--copysets-per-chunkserver", "10") as cluster:
        cluster.cairn("bench", "--rw", "write", "--seconds", "1")
        used = asked(cluster, "stat", "demo")["used_bytes"]
        expect(used and used % (16 * MIB) == 0, f"{used} bytes are used")
        hanging = ("chunkserver-1", "chunkserver-2")
        try:
            for name in hanging:
                cluster.signal(name, signal.SIGSTOP)
            began = time.monotonic()
            done = cluster.cairn("volume", "stat", "demo", "--json")
            took = time.monotonic() - began
        finally:
            for name in hanging:
                cluster.signal(name, signal.SIGCONT)
        info = json.loads(done.stdout)
        expect(info["used_bytes"] is None and info["size_bytes"] == 1 << 30, f"{info}")
        expect("copyset" in done.stderr, done.stderr)
        expect(took < 9.5, f"that took {took:.1f} s")
        cluster.wait_healthy()
        # Of a copyset that elects its leader just now it is not known for another moment.
        known = wait_until(lambda: asked(cluster, "stat", "demo")["used_bytes"], "known again", 20)
        expect(known == used, f"{known} bytes are used, {used} before")
