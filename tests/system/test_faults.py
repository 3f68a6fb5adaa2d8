"""Crashes under load: nothing acknowledged is lost, and clients see no error."""
import json
import os
import pathlib
import re
import tempfile
import time

from harness import Background, Cluster, expect, run

ROUNDS = int(os.environ.get("CAIRN_KILL_ROUNDS", "3"))


def longest_gap_ms(work, name):
    """From fio's log of completed operations, the longest time without one. In milliseconds.

    Reads count as well: after each pass over its file fio reads everything back."""
    times = []
    for path in pathlib.Path(work).glob(f"{name}_lat*.log"):
        for line in path.read_text().splitlines():
            fields = line.split(",")
            if len(fields) >= 3:
                times.append(int(fields[0]))
    times.sort()
    expect(len(times) > 1000, f"fio logged {len(times)} operations only")
    return max(b - a for a, b in zip(times, times[1:]))


def test_kill_9_of_leaders_under_fio_with_verify():
    """Chunkservers killed and restarted in turn under fio: no error, gap <= 3 s, replicas equal."""
    with Cluster() as cluster, tempfile.TemporaryDirectory() as work:
        seconds = ROUNDS * 12 + 10
        fio = Background(["fio", "--name=load", "--ioengine=nbd", f"--uri={cluster.uri}",
                          "--rw=randwrite", "--bs=4k", "--iodepth=16", "--size=256M",
                          "--time_based", f"--runtime={seconds}", "--verify=crc32c",
                          "--verify_fatal=1", "--do_verify=1", f"--write_lat_log={work}/load",
                          "--log_avg_msec=0"], cwd=work)
        try:
            time.sleep(4)
            victim = cluster.leader_of_most()
            for _ in range(ROUNDS):
                cluster.kill(victim)
                time.sleep(5)
                cluster.up()
                time.sleep(4)
                number = int(re.search(r"\d+$", victim).group())
                victim = f"chunkserver-{number % 3 + 1}"
            out = fio.finish(timeout=seconds + 180)
        finally:
            fio.stop()
        expect("err= 0" in out, out)
        gap = longest_gap_ms(work, "load")
        print(f"    longest gap without a completed operation: {gap} ms")
        expect(gap <= 3000, f"{gap} ms without a completed operation")
        cluster.verify_replicas()


def write_numbered(cluster, work, acknowledged):
    """A client that writes numbered blocks one after the other and notes each when it is done."""
    script = f'''
import subprocess, sys
io = subprocess.Popen(["qemu-io", "-f", "raw", {cluster.uri!r}], stdin=subprocess.PIPE,
                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1)
with open({acknowledged!r}, "w") as done:
    for i in range(1, 100000):
        io.stdin.write(f"write -P {{i % 255 + 1}} {{i * 8192 % 268435456}} 8192\\n")
        io.stdin.flush()
        while True:
            line = io.stdout.readline()
            if not line or "failed" in line:
                sys.exit(0)
            if line.startswith(("wrote", "qemu-io> wrote")):
                break
        done.write(f"{{i}}\\n")
        done.flush()
'''
    path = pathlib.Path(work) / "writer.py"
    path.write_text(script)
    return Background(["python3", str(path)])


def test_all_killed_at_once():
    """The MDS and all chunkservers killed with -9 under writes: every acknowledged one is there."""
    with Cluster() as cluster, tempfile.TemporaryDirectory() as work:
        acknowledged = str(pathlib.Path(work) / "acknowledged")
        writer = write_numbered(cluster, work, acknowledged)
        try:
            time.sleep(6)
            names = ["chunkserver-1", "chunkserver-2", "chunkserver-3", "mds"]
            processes = cluster.processes()
            for name in names:
                os.kill(processes[name]["pid"], 9)
            time.sleep(1)
        finally:
            writer.stop()
        cluster.kill("nbd")
        cluster.up()
        numbers = [int(n) for n in pathlib.Path(acknowledged).read_text().split()]
        expect(len(numbers) > 100, f"only {len(numbers)} writes were acknowledged")
        # The one under way when the writer ended may have been carried out: skip its place.
        last = numbers[-1]
        final = {}
        for i in numbers:
            final[i * 8192 % 268435456] = i
        final.pop((last + 1) * 8192 % 268435456, None)
        command = ["qemu-io", "-f", "raw"]
        for offset, i in sorted(final.items()):
            command += ["-c", f"read -P {i % 255 + 1} {offset} 8192"]
        for begin in range(3, len(command), 2000):
            out = run([*command[:3], *command[begin:begin + 2000], cluster.uri], timeout=300)
            expect("verification failed" not in out.stdout, out.stdout[-2000:])
        print(f"    {len(numbers)} acknowledged writes are there")
        cluster.wait_healthy()
        cluster.verify_replicas()


def test_a_paused_leader_is_replaced():
    """SIGSTOP of the chunkserver that leads most: writes go on; it comes back and agrees."""
    with Cluster() as cluster:
        victim = cluster.leader_of_most()
        cluster.signal(victim, 19)
        try:
            began = time.monotonic()
            bench = cluster.cairn("bench", "--rw", "randwrite", "--depth", "8", "--seconds", "8",
                                  "--json", check=False)
            result = json.loads(bench.stdout)
            expect(result["errors"] == 0, bench.stdout)
            expect(result["iops"] > 10, bench.stdout)
            print(f"    {time.monotonic() - began:.1f} s, longest {result['max_us'] / 1e6:.2f} s")
        finally:
            cluster.signal(victim, 18)
        cluster.wait_healthy()
        cluster.verify_replicas()
