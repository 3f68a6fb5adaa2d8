"""Wrong and hostile input: a clear error each time, and the rest goes on serving."""
import contextlib
import json
import os
import pathlib
import random
import re
import socket
import struct
import tempfile
import urllib.error
import urllib.request

from harness import CAIRN, Cluster, expect, run


def expect_serving(cluster):
    """A write and a read of the demo volume go well."""
    run(["qemu-io", "-f", "raw", "-c", "write -P 9 0 64k", "-c", "read -P 9 0 64k", cluster.uri])


def fails_with(command, *words):
    done = run(command, check=False)
    expect(done.returncode != 0, f"{command} should fail: {done.stdout}")
    for word in words:
        expect(word in done.stderr, f"{command} should say {word!r}, not: {done.stderr}")
    return done.stderr


def test_unknown_volumes_and_bad_flags():
    """The tools name what is wrong and what to do."""
    with Cluster() as cluster:
        there = ["--dir", cluster.dir]
        fails_with([CAIRN, "volume", "stat", "nosuch", *there], "nosuch")
        fails_with([CAIRN, "volume", "create", "bad", "--size", "x", *there], "no size")
        fails_with([CAIRN, "volume", "create", "demo", "--size", "1G", *there], "demo")
        fails_with([CAIRN, "nbd", "nosuch", "--listen", "unix:/tmp/none.sock", *there], "nosuch")
        fails_with([CAIRN, "status", "--dir", "/nonexistent"], "cairn dev up")
        fails_with([CAIRN, "frobnicate"])
        info = run(["nbdinfo", cluster.uri.replace("/demo?", "/nosuch?")], check=False)
        expect(info.returncode != 0, "an unknown export is refused")
        expect_serving(cluster)


def test_a_wrong_cluster_key():
    """A client with another key is told so; nobody else notices."""
    with Cluster() as cluster, tempfile.TemporaryDirectory() as work:
        key = pathlib.Path(work) / "key"
        key.write_text("0123456789abcdef0123456789abcdef\n")
        mds = cluster.processes()["mds"]["address"]
        fails_with([CAIRN, "volume", "list", "--mds", mds, "--key-file", str(key)], "key")
        expect_serving(cluster)


def send(address, data):
    """Sends bytes to a port and reads until the other end closes."""
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as peer:
        peer.settimeout(10)
        with contextlib.suppress(ConnectionError):
            peer.sendall(data)
            while peer.recv(4096):
                pass


def test_garbage_and_huge_frames_on_every_port():
    """Random bytes, HTTP, a frame with a huge length: the connection is closed, serving goes on."""
    with Cluster() as cluster:
        processes = cluster.processes()
        for name in ("mds", "chunkserver-1", "chunkserver-2", "chunkserver-3"):
            address = processes[name]["address"]
            send(address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + b"\0" * 200)
            send(address, os.urandom(65536))
            send(address, b"\xff" * 256)
            # Whatever the magic is: every length field at its greatest.
            send(address, struct.pack("<16I", *([0x7fffffff] * 16)))
        path = cluster.uri.split("socket=")[1]
        for data in (os.urandom(4096), b"\0" * 64, struct.pack(">I", 3) + b"IHAVEOPT" +
                     struct.pack(">II", 7, 0xffffffff) + b"x" * 64):
            with socket.socket(socket.AF_UNIX) as peer:
                peer.settimeout(10)
                peer.connect(path)
                with contextlib.suppress(ConnectionError):
                    peer.sendall(data)
                    peer.shutdown(socket.SHUT_WR)
                    while peer.recv(4096):
                        pass
        expect(all(p["running"] for p in cluster.processes().values()), "everything still runs")
        expect_serving(cluster)


def test_a_truncated_segment_of_the_log():
    """Half of a replica's newest log segment is gone: the volume is whole, replicas agree again."""
    with Cluster() as cluster:
        cluster.cairn("bench", "--rw", "randwrite", "--depth", "16", "--seconds", "2",
                      "--range", "64M", "--json")
        cluster.kill("chunkserver-2")
        segments = sorted((pathlib.Path(cluster.dir) / "chunkserver-2/wal").glob("segment_*"))
        expect(segments, "there are segments")
        victim = max(segments, key=lambda p: p.name)
        os.truncate(victim, victim.stat().st_size // 2 // 4096 * 4096)
        cluster.up_lenient()
        expect_serving(cluster)
        log = cluster.log("chunkserver-2")
        cluster.wait_healthy(120)  # what is out of service there was made anew
        cluster.verify_replicas()
        print(f"    the server says: {[l for l in log.splitlines() if ' warn ' in l or ' error ' in l][-2:]}")


def flip_data_bits(directory):
    """Flips a bit in the middle of every chunk file's written data; returns how many files."""
    count = 0
    for path in pathlib.Path(directory).glob("copysets/*/chunk-*"):
        with path.open("r+b") as file:
            file.seek(64 * 1024)
            data = bytearray(file.read(64 * 1024))
            at = next((i for i, b in enumerate(data) if b), None)
            if at is None:
                continue
            data[at] ^= 1
            file.seek(64 * 1024 + at)
            file.write(data[at:at + 1])
            count += 1
    return count


def test_a_flipped_bit_in_a_chunk_file():
    """Rotten blocks are found and named; never served as data."""
    with Cluster() as cluster:
        run(["qemu-io", "-f", "raw", "-c", "write -P 0x77 0 16M", cluster.uri])
        cluster.verify_replicas()  # by now all replicas have applied it
        # Under the running server: a restart would replay the log over it.
        flipped = flip_data_bits(pathlib.Path(cluster.dir) / "chunkserver-1")
        expect(flipped >= 1, "a chunk file has data in it")
        done = cluster.cairn("copyset", "verify", "--read-data", "--json", check=False)
        findings = json.loads(done.stdout)["findings"]
        expect(any("rotten" in f["what"] for f in findings), f"the flip is found: {done.stdout}")
        # Whoever leads: the right bytes or an error, never others.
        out = run(["qemu-io", "-f", "raw", "-c", "read -P 0x77 0 64k", cluster.uri], check=False)
        expect("Pattern verification failed" not in out.stdout, out.stdout)
        run(["qemu-io", "-f", "raw", "-c", "write -P 9 512M 64k", "-c", "read -P 9 512M 64k",
             cluster.uri])


@contextlib.contextmanager
def a_small_file_system(megabytes):
    with tempfile.TemporaryDirectory() as work:
        image = pathlib.Path(work) / "image"
        mount = pathlib.Path(work) / "mnt"
        mount.mkdir()
        with image.open("wb") as file:
            file.truncate(megabytes << 20)
        run(["mkfs.ext4", "-q", "-F", str(image)])
        run(["mount", "-o", "loop", str(image), str(mount)])
        try:
            yield str(mount)
        finally:
            run(["umount", str(mount)], timeout=60)


def test_a_full_disk():
    """Writes that need room are refused with ENOSPC; reads and overwrites go on."""
    with a_small_file_system(2600) as mount, \
            Cluster("--space-reserve", "512M", parent=mount) as cluster:
        expect_serving(cluster)
        out = run(["qemu-io", "-f", "raw", "-c", "write -P 5 0 1000M", cluster.uri], check=False,
                  timeout=300)
        text = out.stdout + out.stderr
        expect(re.search(r"No space left", text), f"the volume does not fit: {text}")
        expect(all(p["running"] for p in cluster.processes().values()), "everything still runs")
        expect_serving(cluster)
        cluster.cairn("volume", "list")


def test_metrics_and_health():
    """Every process answers /metrics and /healthz; noise on that port harms nobody."""
    with Cluster() as cluster:
        for process in cluster.processes().values():
            base = "http://" + process["http"]
            with urllib.request.urlopen(base + "/healthz", timeout=5) as answer:
                expect(json.load(answer) == {"healthy": True}, process["name"])
            with urllib.request.urlopen(base + "/metrics", timeout=5) as answer:
                text = answer.read().decode()
            names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
            expect("process_resident_memory_bytes" in names, text)
            expect(any(name.startswith("cairn_") for name in names), text)
            host, port = process["http"].split(":")
            for noise in (random.randbytes(4096), b"GET " + b"/" * 100_000):
                with socket.create_connection((host, int(port)), timeout=5) as connection:
                    connection.sendall(noise)
            try:
                urllib.request.urlopen(base + "/nothing", timeout=5)
                raise AssertionError("an unknown path was served")
            except urllib.error.HTTPError as error:
                expect(error.code == 404 and b"/metrics" in error.read(), "404 names the paths")
        cluster.cairn("bench", "--rw", "randwrite", "--depth", "8", "--seconds", "1", "--json")


def test_help_everywhere():
    """--help of every subcommand, and JSON from every listing."""
    top = run([CAIRN, "--help"]).stdout
    expect("dev" in top and "volume" in top, top)
    for words in (["dev", "up"], ["dev", "status"], ["dev", "down"], ["volume", "create"],
                  ["volume", "list"], ["volume", "stat"], ["volume", "delete"], ["nbd"],
                  ["status"], ["bench"], ["mds"], ["chunkserver"], ["copyset", "list"],
                  ["copyset", "verify"], ["inspect", "wal"], ["inspect", "chunk"],
                  ["inspect", "pool"], ["inspect", "meta"]):
        text = run([CAIRN, *words, "--help"]).stdout
        expect(len(text) > 80, f"{words}: {text}")
    with Cluster() as cluster:
        json.loads(cluster.cairn("volume", "list", "--json").stdout)
        json.loads(cluster.cairn("volume", "stat", "demo", "--json").stdout)
        json.loads(cluster.cairn("status", "--json").stdout)
        json.loads(cluster.cairn("copyset", "list", "--json").stdout)
        json.loads(run([CAIRN, "dev", "status", "--dir", cluster.dir, "--json"]).stdout)
        result = json.loads(cluster.cairn("bench", "--rw", "randrw", "--depth", "4", "--seconds",
                                          "1", "--range", "16M", "--json").stdout)
        for key in ("iops", "mbps", "p50_us", "p99_us", "p999_us", "cpu_us_per_op", "errors"):
            expect(key in result, f"bench --json has {key}")
        expect(result["errors"] == 0, str(result))
