"""Topology as an administrator sees it, with real processes."""
import json
import tempfile

from harness import Cluster, expect, wait_until


def test_the_commands_of_topology():
    """Every command of topology and scheduling: what it prints, and its errors."""
    cluster = Cluster("--chunkservers", "3", "--copysets-per-chunkserver", "4")
    try:
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write('[[zone]]\nname = "attic"\n[[server]]\nname = "s9"\nzone = "attic"\n'
                       '[[chunkserver]]\nid = 1\ntags = ["ssd"]\n'
                       '[[pool]]\nname = "fast"\ntags = ["ssd"]\n')
            file.flush()

            def apply(*flags, check=True):
                return cluster.cairn("topology", "apply", file.name, *flags, check=check)

            expect("add pool fast: tags ssd" in apply("--dry-run").stdout, "the plan is shown")
            refused = apply(check=False)
            expect(refused.returncode != 0 and "--yes" in refused.stderr, refused.stderr)
            expect("done: 4 steps" in apply("--yes").stdout, "it is carried out")
            expect("is as" in apply("--yes").stdout, "a second time there is nothing to do")
        pools = json.loads(cluster.cairn("pool", "list", "--json").stdout)
        expect([p["name"] for p in pools] == ["default", "fast"], str(pools))
        expect(pools[1]["chunkservers"] == 1, str(pools))
        zones = json.loads(cluster.cairn("zone", "list", "--json").stdout)
        expect(len(zones) == 4, str(zones))
        expect("s9" in cluster.cairn("server", "list").stdout, "the server is listed")
        for command in (["pool", "remove", "fast"], ["server", "remove", "s9", "--zone", "attic"],
                        ["zone", "remove", "attic"]):
            cluster.cairn(*command)
        for command, words in ((["chunkserver", "remove", "1"], "drain it first"),
                               (["chunkserver", "drain", "77"], "no chunkserver 77"),
                               (["zone", "add", "a b"], "letters, digits"),
                               (["zone", "drain", "attic"], "no chunkserver is there"),
                               (["pool", "set", "nowhere"], "no pool 'nowhere'"),
                               (["operator", "cancel", "999"], "no operator 999"),
                               (["copyset", "show", "999"], "no copyset 999")):
            done = cluster.cairn(*command, check=False)
            expect(done.returncode != 0 and words in done.stderr, f"{command}: {done.stderr}")
        for command in ("pool", "zone", "server", "chunkserver", "operator", "topology"):
            expect("Subcommands" in cluster.cairn(command, "--help").stdout, command)
    finally:
        cluster.close()


def test_a_second_pool_serves_its_volumes():
    """A pool is added to a running cluster, its copysets are planned, and a volume of it works."""
    cluster = Cluster("--chunkservers", "3", "--copysets-per-chunkserver", "4")
    try:
        cluster.cairn("pool", "add", "fast", "--tags", "ssd", "--copysets-per-chunkserver", "5")
        expect(cluster.status()["health"] == "degraded", "the pool waits for its chunkservers")
        cluster.cairn("chunkserver", "set", "1", "2", "3", "--tags", "ssd,new")

        def pool():
            pools = json.loads(cluster.cairn("pool", "list", "--json").stdout)
            return next(p for p in pools if p["name"] == "fast")

        wait_until(lambda: pool()["copysets"] == 5, "its copysets are planned")
        cluster.wait_healthy()
        expect(pool()["chunkservers"] == 3, str(pool()))
        cluster.cairn("volume", "create", "quick", "--size", "1G", "--pool", "fast")
        before = {c["copyset"] for c in cluster.copysets() if c["copyset"] <= 4}
        bench = json.loads(cluster.cairn("bench", "--volume", "quick", "--rw", "randwrite",
                                         "--depth", "4", "--seconds", "2", "--json").stdout)
        expect(bench["errors"] == 0 and bench["iops"] > 10, str(bench))

        def chunks(copyset):
            shown = json.loads(cluster.cairn("copyset", "show", str(copyset), "--json").stdout)
            return shown["pool"], shown["chunks_count"]

        def are_told():
            told = [chunks(c["copyset"]) for c in cluster.copysets()]
            return sum(count for name, count in told if name == "fast") > 0 and told

        told = wait_until(are_told, "its copysets hold chunks")
        expect(sum(count for name, count in told if name == "default") == 0, str(told))
        expect(len(before) == 4, str(before))
        for command, words in ((["chunkserver", "set", "1", "--tags", ""], "drain it first"),
                               (["pool", "set", "fast", "--copysets-per-chunkserver", "9"],
                                "are placed"),
                               (["pool", "remove", "fast"], "quick")):
            done = cluster.cairn(*command, check=False)
            expect(done.returncode != 0 and words in done.stderr, f"{command}: {done.stderr}")
        cluster.verify_replicas()
    finally:
        cluster.close()
