"""Blocks that rot on a disk: never served, mended when they are read, and by a scan."""
import json
import pathlib
import random

from harness import Cluster, expect, run, wait_until

BLOCK = 4096
WRITTEN_BYTES = 32 << 20


def layout(file_bytes):
    """Chunk size and where its data begins: docs/formats/chunk.md."""
    for bits in range(16, 31):
        chunk_bytes = 1 << bits
        slot_bytes = BLOCK + -(-(chunk_bytes // 1024) // BLOCK) * BLOCK
        data_offset = -(-2 * slot_bytes // 65536) * 65536
        if data_offset + chunk_bytes == file_bytes:
            return chunk_bytes, data_offset
    raise AssertionError(f"no chunk file has {file_bytes} bytes")


def rot(files, blocks_count, seed):
    """Flips a bit in so many blocks that hold data, behind the server's back."""
    rng = random.Random(seed)
    done = 0
    for _ in range(100 * blocks_count):
        path = rng.choice(files)
        chunk_bytes, data_offset = layout(path.stat().st_size)
        offset = data_offset + rng.randrange(chunk_bytes // BLOCK) * BLOCK
        with open(path, "r+b") as file:
            file.seek(offset)
            block = bytearray(file.read(BLOCK))
            if block.count(7) != BLOCK:
                continue  # never written, or rotten already
            block[rng.randrange(BLOCK)] ^= 1 << rng.randrange(8)
            file.seek(offset)
            file.write(block)
        done += 1
        if done == blocks_count:
            return
    raise AssertionError(f"only {done} blocks with data were found")


def chunk_files(cluster, name):
    files = sorted(pathlib.Path(cluster.dir).glob(f"**/{name}/**/copysets/*/chunk-*"))
    expect(files, f"{name} has chunk files")
    return files


def io(cluster, command):
    out = run(["qemu-io", "-f", "raw", "-c", f"{command} -P 7 0 {WRITTEN_BYTES}", cluster.uri],
              timeout=120)
    expect("failed" not in out.stdout + out.stderr, out.stdout[-2000:] + out.stderr[-2000:])


def test_rotten_blocks_are_mended():
    """100 blocks rot on each of two disks: reads answer right, and a scan mends what they left."""
    cluster = Cluster()
    try:
        io(cluster, "write")
        cluster.wait_healthy()
        cluster.verify_replicas()
        # Two disks: a chunk's leader, from which reads come, is on one of them at most, so that
        # some are left to the scan whoever leads.
        rot(chunk_files(cluster, "chunkserver-1"), 100, seed=1)
        rot(chunk_files(cluster, "chunkserver-2"), 100, seed=2)
        done = cluster.cairn("copyset", "verify", "--read-data", check=False)
        expect(done.returncode != 0, "verify sees the rot")
        io(cluster, "read")

        cluster.cairn("scan", "start")

        def scans():
            return json.loads(cluster.cairn("scan", "status", "--json").stdout)

        wait_until(lambda: scans() and all(s["state"] == "done" for s in scans()),
                   "every copyset was scanned", timeout=120, every=0.5)
        found = sum(s["rotten_blocks"] for s in scans())
        expect(0 < found <= 200, f"{found} rotten blocks were left to the scan")
        expect(sum(s["undecided_blocks"] for s in scans()) == 0, "a sound copy of each")
        print(f"    {200 - found} mended by reads, {found} by the scan")
        cluster.verify_replicas()
    finally:
        cluster.close()
