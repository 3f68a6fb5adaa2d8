"""The metadata in etcd: failovers of the MDS and of etcd itself, and dumps between the stores."""
import json
import os
import pathlib
import tempfile
import urllib.request

from harness import CAIRN, Background, Cluster, expect, free_port, run, wait_until
from test_mds import Failovers

ON_ETCD = ("--meta-store", "etcd", "--copysets-per-chunkserver", "10")


def etcds(cluster):
    """Name and address of each member that runs."""
    return {n: p["address"] for n, p in cluster.processes().items()
            if n.startswith("etcd-") and p["running"]}


def etcd_leader(cluster):
    """The name of the member that leads, as its own interface tells."""
    for name, address in etcds(cluster).items():
        request = urllib.request.Request(f"http://{address}/v3/maintenance/status", data=b"{}")
        with urllib.request.urlopen(request, timeout=5) as reply:
            told = json.load(reply)
        if told["header"]["member_id"] == told["leader"]:
            return name
    raise AssertionError("no etcd leads")


def endpoints(cluster):
    return ",".join(etcds(cluster).values())


def test_the_active_mds_and_etcds_leader_are_killed():
    """kill -9 of either, in turn, under volume creation and a bench: no client error."""
    with Cluster("--mds", "3", *ON_ETCD) as cluster:
        expect(len(cluster.status()["mds"]) == 3 and len(etcds(cluster)) == 3, "three of each")
        with Failovers(cluster, seconds=40) as failovers:
            for _ in range(2):
                victim = cluster.active_mds()
                failovers.kill(victim)
                expect(cluster.active_mds() != victim, "another one is active")
                cluster.up_lenient()
                failovers.kill(etcd_leader(cluster))
                cluster.up_lenient()
            failovers.check()


def test_a_cluster_on_one_etcd_is_stopped_and_started():
    """One MDS on one etcd; after dev down and up everything is there."""
    with Cluster(*ON_ETCD) as cluster:
        expect(list(etcds(cluster)) == ["etcd-1"], "one etcd for one MDS")
        run(["qemu-io", "-f", "raw", "-c", "write -P 5 0 1M", cluster.uri])
        cluster.cairn("dev", "down")
        expect(not etcds(cluster), "etcd is stopped, too")
        cluster.up()
        out = run(["qemu-io", "-f", "raw", "-c", "read -P 5 0 1M", cluster.uri])
        expect("verification failed" not in out.stdout + out.stderr, out.stdout + out.stderr)


def test_a_dump_goes_from_etcd_to_a_folder_and_back():
    """The same bytes come back from each; what is in use is not loaded into."""
    with Cluster(*ON_ETCD) as cluster, tempfile.TemporaryDirectory() as work:
        cluster.cairn("volume", "create", "precious", "--size", "1G")
        etcd = ("--etcd-endpoints", endpoints(cluster))
        dumps = [os.path.join(work, name) for name in ("etcd", "folder", "etcd-again")]
        folder = os.path.join(work, "folder-of-an-mds")
        refused = run([CAIRN, "meta", "load", *etcd, "--etcd-prefix", "other", dumps[0]],
                      check=False)
        expect(refused.returncode != 0 and dumps[0] in refused.stderr, refused.stderr)
        run([CAIRN, "meta", "dump", *etcd, dumps[0]])
        expect(b"precious" in pathlib.Path(dumps[0]).read_bytes(), "the volume is in the dump")
        run([CAIRN, "meta", "load", "--data", folder, dumps[0]])
        run([CAIRN, "meta", "dump", "--data", folder, dumps[1]])
        run([CAIRN, "meta", "load", *etcd, "--etcd-prefix", "other", dumps[1]])
        run([CAIRN, "meta", "dump", *etcd, "--etcd-prefix", "other", dumps[2]])
        first, *others = (pathlib.Path(dump).read_bytes() for dump in dumps)
        expect(all(other == first for other in others), "each dump is the same")
        refused = run([CAIRN, "meta", "load", *etcd, "--etcd-prefix", "other", dumps[0]],
                      check=False)
        expect(refused.returncode != 0 and "holds metadata" in refused.stderr, refused.stderr)
        refused = run([CAIRN, "meta", "load", *etcd, dumps[0]], check=False)
        expect(refused.returncode != 0 and "an MDS is active" in refused.stderr, refused.stderr)


class SecuredEtcd:
    """One etcd that talks by TLS alone, and only to who shows its own certificate."""

    def __init__(self, work):
        self.work = work
        self.own = self.certificate("own")
        client, peer = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self.endpoint = "https://" + client
        self.process = Background(
            ["etcd", "--name=one", f"--data-dir={work}/data", "--max-txn-ops=140000",
             "--max-request-bytes=33554432", f"--listen-client-urls={self.endpoint}",
             f"--advertise-client-urls={self.endpoint}", f"--listen-peer-urls=http://{peer}",
             f"--initial-advertise-peer-urls=http://{peer}", f"--initial-cluster=one=http://{peer}",
             f"--cert-file={self.own}.pem", f"--key-file={self.own}.key", "--client-cert-auth",
             f"--trusted-ca-file={self.own}.pem", "--logger=zap", f"--log-outputs={work}/log"])

    def certificate(self, name):
        """Signed by itself: it is authority, server and client in one."""
        path = f"{self.work}/{name}"
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext",
             "subjectAltName=IP:127.0.0.1", "-keyout", f"{path}.key", "-out", f"{path}.pem"])
        return path

    def flags(self, authority, client=None):
        shown = ["--etcd-cert", f"{client}.pem", "--etcd-key", f"{client}.key"] if client else []
        return ["--etcd-endpoints", self.endpoint, "--etcd-ca", f"{authority}.pem", *shown]


def test_etcd_by_tls_and_with_a_clients_certificate():
    """A load, an MDS and a dump by TLS; without the certificate, or with another one, nothing."""
    with Cluster("--copysets-per-chunkserver", "5") as cluster, \
            tempfile.TemporaryDirectory() as work:
        dumps = [f"{work}/before", f"{work}/after"]
        run([CAIRN, "meta", "dump", "--data", f"{cluster.dir}/mds", dumps[0]])
        etcd = SecuredEtcd(work)
        try:
            own = etcd.flags(etcd.own, etcd.own)
            def loads():
                return run([CAIRN, "meta", "load", *own, dumps[0]], check=False).returncode == 0
            wait_until(loads, "etcd is up and takes the load", 20, every=0.5)
            run([CAIRN, "meta", "dump", *own, dumps[1]])
            first, second = (pathlib.Path(dump).read_bytes() for dump in dumps)
            expect(first == second, "the dump is what was loaded")

            other = etcd.certificate("other")
            for flags in (etcd.flags(etcd.own), etcd.flags(etcd.own, other),
                          etcd.flags(other, etcd.own)):
                refused = run([CAIRN, "meta", "dump", *flags, f"{work}/none"], check=False)
                expect(refused.returncode != 0 and etcd.endpoint[8:] in refused.stderr,
                       f"{flags}: {refused.stderr}")
            expect(not os.path.exists(f"{work}/none"), "nothing was read")

            address, key = f"127.0.0.1:{free_port()}", f"{cluster.dir}/cluster.key"
            mds = Background([CAIRN, "mds", "--meta-store", "etcd", *own, "--key-file", key,
                              "--listen", address])
            def volumes():
                done = run([CAIRN, "volume", "list", "--json", "--mds", address, "--key-file", key],
                           check=False)
                return done.returncode == 0 and done.stdout
            try:
                listed = wait_until(volumes, "the MDS serves", 20, every=0.5)
                expect("demo" in listed, listed)
            finally:
                mds.end()
        finally:
            etcd.process.stop()


def test_bad_flags_are_refused_with_what_to_do():
    """Flags of an MDS and of a dump that do not go together, or name no etcd."""
    def refusal(*arguments):
        done = run([CAIRN, *arguments], check=False)
        expect(done.returncode != 0, f"{arguments}: {done.stdout}")
        return done.stderr + done.stdout
    with tempfile.TemporaryDirectory() as work:
        key = os.path.join(work, "key")
        pathlib.Path(key).write_text("00" * 32 + "\n")
        mds = ("mds", "--key-file", key, "--meta-store", "etcd")
        expect("--etcd-endpoints" in refusal(*mds), "endpoints are needed")
        expect("--data" in refusal("mds", "--key-file", key), "a folder is needed")
        told = refusal(*mds, "--etcd-endpoints", "https://127.0.0.1:1")
        expect("--etcd-ca" in told, told)
        told = refusal(*mds, "--etcd-endpoints", "127.0.0.1:1", "--etcd-ca", key)
        expect("PEM" in told, told)
        told = refusal(*mds, "--etcd-endpoints", "127.0.0.1")
        expect("HOST:PORT" in told, told)
        told = refusal(*mds, "--etcd-endpoints", "127.0.0.1:1", "--etcd-prefix", "a/")
        expect("prefix" in told, told)
        told = refusal(*mds, "--etcd-endpoints", "127.0.0.1:1", "--listen", "127.0.0.1:0")
        expect("--advertise" in told, told)
        told = refusal(*mds, "--etcd-endpoints", "127.0.0.1:1", "--peers", "1=127.0.0.1:2")
        expect("--peers" in told, told)
        told = refusal("meta", "dump", os.path.join(work, "dump"))
        expect("--etcd-endpoints" in told, told)
