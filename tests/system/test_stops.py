"""SIGTERM: leaderships are handed over first, and no client sees an error."""
import json
import signal
import time
import urllib.request

from harness import CAIRN, Background, Cluster, expect, wait_until


def serves(cluster, name):
    """Its health check says that the start is over."""
    address = cluster.processes()[name]["http"]
    try:
        with urllib.request.urlopen(f"http://{address}/healthz", timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False


def test_each_chunkserver_is_stopped_and_started_under_load():
    """SIGTERM to each in turn under bench: ends within 10 s, no error, serves again within 10 s."""
    with Cluster() as cluster:
        load = Background([CAIRN, "bench", "--dir", cluster.dir, "--rw", "randwrite", "--depth",
                           "16", "--seconds", "45", "--json"])
        try:
            time.sleep(4)
            for name in ("chunkserver-1", "chunkserver-2", "chunkserver-3"):
                began = time.monotonic()
                cluster.signal(name, signal.SIGTERM)
                wait_until(lambda n=name: not cluster.processes()[n]["running"],
                           f"{name} has ended", timeout=10)
                stopped = time.monotonic() - began
                began = time.monotonic()
                cluster.up()
                wait_until(lambda n=name: serves(cluster, n), f"{name} serves", timeout=10)
                print(f"    {name}: stopped in {stopped:.1f} s, serves again after "
                      f"{time.monotonic() - began:.1f} s")
                time.sleep(2)
            out = json.loads(load.finish(timeout=120))
        finally:
            load.stop()
        expect(out["errors"] == 0, out)
        print(f"    the longest operation took {out['max_us'] / 1e3:.0f} ms")
        expect(out["max_us"] <= 3e6, out)
        cluster.wait_healthy()
        cluster.verify_replicas()
