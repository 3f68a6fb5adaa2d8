"""Who has a volume, with real processes."""
import json
import os
import random
import struct
import threading
import time

from harness import CAIRN, Background, Cluster, expect, run, wait_until
from nbd_client import NbdClient, Refused

ROUNDS = int(os.environ.get("CAIRN_FENCE_ROUNDS", "6"))
BLOCK = 4096
# Over several chunks, and so over several copysets.
OFFSETS = [i * (16 << 20) + i * BLOCK for i in range(8)]


def fails_with(command, word):
    done = run(command, check=False)
    expect(done.returncode != 0 and word in done.stderr, f"{command}: {done.stdout}{done.stderr}")


class Party:
    """A gateway of its own and a writer behind it."""

    def __init__(self, cluster, number):
        self.number = number
        self.path = f"{cluster.dir}/fence{number}.sock"
        self.gateway = Background([CAIRN, "nbd", "demo", "--force", "--listen",
                                   f"unix:{self.path}", "--dir", cluster.dir])
        wait_until(lambda: os.path.exists(self.path), "the gateway listens")
        self.connection = None
        self.writer = None
        self.sequence = 0
        self.done = []  # when each acknowledged write began
        self.end = ""

    def take(self):
        """Opens the volume anew; when it returns, it is this party's alone."""
        if self.connection:
            self.connection.close()
        self.connection = NbdClient(self.path, "demo")
        return time.monotonic()

    def read_all(self):
        """(party, sequence) of each block; a block holds one stamp all over."""
        stamps = []
        for offset in OFFSETS:
            data = self.connection.read(offset, BLOCK)
            expect(data == data[:16] * (BLOCK // 16), f"the block at {offset} is torn")
            stamps.append(struct.unpack(">QQ", data[:16]))
        return stamps

    def begin_writing(self):
        self.done, self.end = [], ""
        self.writer = threading.Thread(target=self._write)
        self.writer.start()

    def _write(self):
        while True:
            self.sequence += 1
            stamp = struct.pack(">QQ", self.number, self.sequence)
            began = time.monotonic()
            try:
                self.connection.write(random.choice(OFFSETS), stamp * (BLOCK // 16))
            except Refused as refused:
                self.end = str(refused)
                return
            self.done.append(began)

    def close(self):
        if self.connection:
            self.connection.close()
        if self.writer:
            self.writer.join()
        self.gateway.stop()


def test_a_fenced_gateway_writes_nothing_more():
    """Two gateways take a volume from each other; nothing of the first comes after the second."""
    cluster = Cluster()
    parties = []
    try:
        parties = [Party(cluster, 1), Party(cluster, 2)]
        for number in range(ROUNDS):
            owner, former = parties[number % 2], parties[1 - number % 2]
            opened_at = owner.take()
            first = owner.read_all()
            for _ in range(3):
                time.sleep(0.02)
                later = owner.read_all()
                expect(later == first, f"round {number}: {first} became {later}")
            if former.writer:
                former.writer.join(30)
                expect(not former.writer.is_alive(), f"round {number}: the former owner goes on")
                expect(former.end == "error 1", f"round {number}: it ended with {former.end}")
                late = [t - opened_at for t in former.done if t > opened_at]
                expect(not late, f"round {number}: writes began {late} s after the open")
                expect(former.done, f"round {number}: the former owner wrote nothing")
            owner.begin_writing()
            time.sleep(0.1)
    finally:
        for party in parties:
            party.close()
        cluster.close()


def test_a_volume_that_is_open_is_refused_by_name_and_given_after_its_close():
    """bench and nbd refuse, say who has the volume, wait for its close, and take it by --force."""
    cluster = Cluster()
    try:
        holder = NbdClient(cluster.uri.split("socket=")[1], "demo")
        there = ["--dir", cluster.dir]
        bench = [CAIRN, "bench", "--seconds", "1", "--range", "4M", *there]
        fails_with(bench, "nbd.sock")
        holder.write(0, b"x" * BLOCK)  # nothing happened to the holder
        out = json.loads(run([*bench, "--force", "--json"]).stdout)
        expect(out["errors"] == 0, out)
        try:
            holder.write(0, b"x" * BLOCK)
            expect(False, "the former holder could write")
        except Refused as refused:
            expect(str(refused) == "error 1", refused)
        holder.close()
        holder = NbdClient(cluster.uri.split("socket=")[1], "demo")
        holder.write(0, b"y" * BLOCK)
        holder.close()
        run(bench)
    finally:
        cluster.close()
