"""What the system tests share: a cluster of real processes, real clients, and ways to hurt them.

Every process that a test starts is ended by its id; traffic stays on loopback and Unix sockets.
"""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CAIRN = os.environ.get("CAIRN_BINARY", str(ROOT / "build/release/src/cli/cairn"))


class Failure(Exception):
    """A test's expectation that did not hold."""


def expect(condition, what):
    if not condition:
        raise Failure(what)


def run(command, timeout=120, check=True, **kwargs):
    """Runs a command to its end; returns what it printed and how it ended."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False,
                          **kwargs)
    if check and done.returncode != 0:
        raise Failure(f"{' '.join(map(str, command))} ended with {done.returncode}:\n"
                      f"{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done


def wait_until(condition, what, timeout=30.0, every=0.1):
    """Polls until `condition` gives something true, and returns that."""
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        value = condition()
        if value:
            return value
        time.sleep(every)
    raise Failure(f"not within {timeout} s: {what}")


def free_port():
    """Of loopback; whoever needs it binds it soon."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cluster:
    """A development cluster in a folder of its own; ended and removed by close()."""

    def __init__(self, *flags, parent=None, folder=None):
        """In a new folder (below `parent`), or in `folder`, which is there."""
        self.dir = folder or tempfile.mkdtemp(prefix="cairn-test-", dir=parent)
        self.flags = flags
        try:
            self.up()
        except Failure:
            self.close(keep=True)  # the logs tell why
            raise

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.close(keep=failure[0] is not None)

    def cairn(self, *arguments, **kwargs):
        return run([CAIRN, *arguments, "--dir", self.dir], **kwargs)

    def up(self):
        began = time.monotonic()
        out = self.cairn("dev", "up", *self.flags).stdout
        self.up_seconds = time.monotonic() - began
        self.uri = next(line[5:] for line in out.splitlines() if line.startswith("NBD: "))
        return out

    def start(self, *names):
        """Starts these processes, whatever state the others are in."""
        self.cairn("dev", "up", *self.flags, *names)

    def up_lenient(self, *more):
        """Starts what is stopped; a cluster that stays degraded will do."""
        self.cairn("dev", "up", *self.flags, *more, check=False)

    def processes(self):
        out = self.cairn("dev", "status", "--json", check=False).stdout
        return {p["name"]: p for p in json.loads(out)["processes"]}

    def signal(self, name, number):
        pid = self.processes()[name]["pid"]
        expect(pid > 0, f"{name} is not running")
        os.kill(pid, number)

    def kill(self, name):
        """kill -9, and waits until the process is gone."""
        self.signal(name, signal.SIGKILL)
        wait_until(lambda: not self.processes()[name]["running"], f"{name} is gone")

    def status(self):
        return json.loads(self.cairn("status", "--json").stdout)

    def has_etcd(self):
        return "etcd-1" in self.processes()

    def active_mds(self):
        """The name of the process of the MDS that serves."""
        active = [m["address"] for m in self.status()["mds"] if m["active"]]
        expect(len(active) == 1, f"one MDS is active: {active}")
        return next(n for n, p in self.processes().items() if p["address"] == active[0])

    def copysets(self):
        return json.loads(self.cairn("copyset", "list", "--json").stdout)

    def chunkservers(self):
        return json.loads(self.cairn("chunkserver", "list", "--json").stdout)

    def id_of(self, name):
        """The number that the cluster knows a chunkserver by, from its process's name."""
        address = self.processes()[name]["address"]
        return next(c["id"] for c in self.chunkservers() if c["address"] == address)

    def members(self):
        """Of each copyset: the ids of its chunkservers."""
        return {c["copyset"]: {m["id"] for m in c["members"]} for c in self.copysets()}

    def wait_without(self, gone, timeout=120):
        """Until no copyset has a member on `gone`, and each has three others."""
        def is_so():
            return all(gone not in m and len(m) == 3 for m in self.members().values())
        try:
            wait_until(is_so, f"no replica is left on chunkserver {gone}", timeout, every=0.5)
            self.wait_settled()
        except Failure as failure:
            raise Failure(f"{failure}\n{self.explain()}") from failure

    def wait_even_leaders(self, timeout=60, without=()):
        """Until those that may lead lead equally many, but for one."""
        def is_so():
            leaders = [c["leaders"] for c in self.chunkservers()
                       if c["id"] not in without and c["service"] == "read-write"
                       and c["state"] == "online"]
            return max(leaders) - min(leaders) <= 1
        try:
            wait_until(is_so, "leaders are even", timeout, every=0.5)
        except Failure as failure:
            raise Failure(f"{failure}\n{self.explain()}") from failure

    def explain(self):
        """What the schedulers are doing, for a failure's report."""
        return (self.cairn("status", check=False).stdout +
                self.cairn("operator", "list", "--ended", check=False).stdout[:6000])

    def leader_of_most(self):
        """The name of the chunkserver that leads most copysets."""
        leaders = {c["id"]: (c["leaders"], c["address"]) for c in self.status()["chunkservers"]}
        address = max(leaders.values())[1]
        return next(name for name, p in self.processes().items() if p["address"] == address)

    def wait_healthy(self, timeout=40):
        wait_until(lambda: self.status()["health"] == "ok", "health is ok", timeout)

    def wait_settled(self, timeout=180):
        """Until no replica and no leader is on its way anywhere: what the schedulers do is done."""
        wait_until(lambda: not self.operators(), "nothing is under way", timeout, every=1)

    def operators(self):
        return json.loads(self.cairn("operator", "list", "--json").stdout)["operators"]

    def verify_replicas(self):
        """All replicas of all chunks hold the same, each block matching its checksum."""
        done = self.cairn("copyset", "verify", "--read-data", "--json", check=False, timeout=300)
        expect(done.returncode == 0, f"replicas differ: {done.stdout[-3000:]}{done.stderr}")
        return json.loads(done.stdout)

    def log(self, name):
        return (pathlib.Path(self.dir) / f"{name}.log").read_text(errors="replace")

    def close(self, keep=False):
        self.cairn("dev", "down", check=False, timeout=120)
        if not keep:
            shutil.rmtree(self.dir, ignore_errors=True)


class Background:
    """A client that runs while the test does something else."""

    def __init__(self, command, **kwargs):
        self.command = command
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True, **kwargs)

    def finish(self, timeout):
        try:
            out, _ = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, _ = self.process.communicate()
            raise Failure(f"{self.command[0]} did not end in {timeout} s:\n{out[-2000:]}")
        expect(self.process.returncode == 0,
               f"{self.command[0]} ended with {self.process.returncode}:\n{out[-3000:]}")
        return out

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def end(self, timeout=15):
        """Asks it to end, as an operator does, and waits until it has put its things in order."""
        if self.process.poll() is None:
            self.process.terminate()
        self.finish(timeout)
