"""The demo volume through unmodified NBD clients."""
import os
import pathlib
import subprocess
import tempfile

from harness import Cluster, expect, run, wait_until

FIO_SECONDS = int(os.environ.get("CAIRN_FIO_SECONDS", "20"))


def test_up_is_ready_in_ten_seconds_and_names_the_export():
    """dev up, nbdinfo, dev status, dev down, up again on the same data."""
    with Cluster() as cluster:
        expect(cluster.up_seconds < 10, f"dev up took {cluster.up_seconds:.1f} s")
        expect(cluster.uri.startswith("nbd+unix:///"), cluster.uri)
        info = run(["nbdinfo", cluster.uri]).stdout
        expect("export-size: 1073741824" in info, info)
        run(["qemu-io", "-f", "raw", "-c", "write -P 3 0 64k", cluster.uri])
        cluster.cairn("dev", "down")
        expect(not any(p["running"] for p in cluster.processes().values()), "all have ended")
        cluster.up()
        run(["qemu-io", "-f", "raw", "-c", "read -P 3 0 64k", cluster.uri])


def test_qemu_io_patterns():
    """Aligned and unaligned writes, zeroes, discards, flushes, verified."""
    with Cluster() as cluster:
        script = [
            "write -P 0x11 0 1M", "read -P 0x11 0 1M",
            "write -P 0x22 512 1024", "read -P 0x11 0 512", "read -P 0x22 512 1024",
            "read -P 0x11 1536 4096",
            "write -P 0x33 16776960 1024", "read -P 0x33 16776960 1024",  # across two chunks
            "write -z 8192 4096", "read -P 0 8192 4096", "read -P 0x11 12288 4096",
            "write -z -u 100000 50000", "read -P 0 100000 50000", "read -P 0x11 150000 1000",
            "discard 0 64k", "flush", "write -f -P 0x44 1073737728 4096",
            "read -P 0x44 1073737728 4096",
        ]
        command = ["qemu-io", "-f", "raw"]
        for line in script:
            command += ["-c", line]
        out = run([*command, cluster.uri]).stdout
        expect("Pattern verification failed" not in out, out)


def test_nbdcopy_in_and_out():
    """256 MiB of random bytes in and out again, compared."""
    with Cluster() as cluster, tempfile.TemporaryDirectory() as work:
        source = pathlib.Path(work) / "in"
        with source.open("wb") as file:
            for _ in range(256):
                file.write(os.urandom(1 << 20))
        run(["nbdcopy", str(source), cluster.uri], timeout=300)
        back = subprocess.Popen(["nbdcopy", cluster.uri, "-"], stdout=subprocess.PIPE)
        compared = run(["cmp", "-n", str(256 << 20), str(source), "-"], stdin=back.stdout,
                       timeout=300, check=False)
        back.stdout.close()
        back.wait()
        expect(compared.returncode == 0, compared.stdout + compared.stderr)
        cluster.verify_replicas()


def test_fio_with_verify():
    """fio's nbd engine, random writes, each read back and checked."""
    with Cluster() as cluster:
        out = run(["fio", "--name=verify", "--ioengine=nbd", f"--uri={cluster.uri}",
                   "--rw=randwrite", "--bs=4k", "--iodepth=32", "--size=512M",
                   "--time_based", f"--runtime={FIO_SECONDS}", "--verify=crc32c",
                   "--verify_fatal=1", "--do_verify=1", "--verify_state_save=0"],
                  timeout=FIO_SECONDS + 180).stdout
        expect("err= 0" in out, out)
        cluster.verify_replicas()


def test_ext4_over_nbdfuse_and_a_loop_mount():
    """mkfs, a tree of files, e2fsck, and the files again after a remount."""
    with Cluster() as cluster, tempfile.TemporaryDirectory() as work:
        image = pathlib.Path(work) / "fuse"
        mount = pathlib.Path(work) / "mnt"
        image.mkdir()
        mount.mkdir()
        fuse = subprocess.Popen(["nbdfuse", str(image), cluster.uri])
        try:
            disk = image / "nbd"
            wait_until(disk.exists, "nbdfuse shows the export")
            run(["mkfs.ext4", "-q", "-F", str(disk)], timeout=300)
            run(["mount", "-o", "loop", str(disk), str(mount)])
            try:
                run(["cp", "-r", "/usr/include/linux", str(mount / "tree")], timeout=300)
                run(["sync", "-f", str(mount)], timeout=300)
                run(["diff", "-r", "/usr/include/linux", str(mount / "tree")], timeout=300)
            finally:
                run(["umount", str(mount)], timeout=300)
            run(["e2fsck", "-fn", str(disk)], timeout=300)
            run(["mount", "-o", "loop,ro", str(disk), str(mount)])
            try:
                run(["diff", "-r", "/usr/include/linux", str(mount / "tree")], timeout=300)
            finally:
                run(["umount", str(mount)], timeout=300)
        finally:
            run(["fusermount3", "-u", str(image)], check=False)
            fuse.wait(timeout=60)
        cluster.verify_replicas()
