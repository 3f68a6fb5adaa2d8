"""The cluster heals and balances itself: real processes, a client's load throughout."""
import signal
import tempfile
import time

from harness import Background, Cluster, expect

# Of the MDS: a lost chunkserver is given up soon, so that a test need not wait for it.
IMPATIENT = "--unstable-after-ms 2000 --offline-after-ms 5000 --leader-rest-ms 2000"


def verified_load(cluster, work, seconds):
    return Background(["fio", "--name=load", "--ioengine=nbd", f"--uri={cluster.uri}",
                       "--rw=randwrite", "--bs=4k", "--iodepth=4", "--size=64M", "--time_based",
                       f"--runtime={seconds}", "--rate_iops=300", "--verify=crc32c",
                       "--verify_fatal=1", "--do_verify=1"], cwd=work)


def test_a_lost_chunkserver_is_replaced_and_another_drained():
    """One of five killed for good, another drained, under fio: replicas made anew, no error."""
    with Cluster("--chunkservers", "5", "--copysets-per-chunkserver", "12", "--mds-flags",
                 IMPATIENT) as cluster, tempfile.TemporaryDirectory() as work:
        load = verified_load(cluster, work, 30)
        try:
            time.sleep(3)
            lost = cluster.id_of("chunkserver-2")
            cluster.kill("chunkserver-2")
            began = time.monotonic()
            cluster.wait_without(lost)
            print(f"    healed {time.monotonic() - began:.1f} s after the kill "
                  "(5 s of them until it is given up)")
            drained = cluster.id_of("chunkserver-4")
            cluster.cairn("chunkserver", "drain", str(drained))
            began = time.monotonic()
            cluster.wait_without(drained)
            print(f"    drained in {time.monotonic() - began:.1f} s")
            cluster.cairn("chunkserver", "remove", str(drained))
            cluster.signal("chunkserver-4", signal.SIGTERM)
            expect(all(c["id"] != drained for c in cluster.chunkservers()), "it is still listed")
            out = load.finish(timeout=120)
        finally:
            load.stop()
        expect("err= 0" in out, out)
        cluster.wait_even_leaders()
        cluster.verify_replicas()
