"""What Prometheus and Grafana are given: the servers' metrics, the alerts, the dashboard."""
import json
import re
import shutil
import urllib.request

from harness import ROOT, Cluster, Failure, expect, run

PROMETHEUS = ROOT / "packaging" / "prometheus"
DASHBOARD = ROOT / "packaging" / "grafana" / "cairn.json"


def promtool(*arguments, **kwargs):
    tool = shutil.which("promtool")
    if not tool:
        raise Failure("no promtool: ./dev setup installs it")
    return run([tool, *arguments], check=False, **kwargs)


def names_in(expressions):
    """The metrics that expressions ask for, a histogram's by its own name."""
    names = set(re.findall(r"\bcairn_\w+", " ".join(expressions)))
    return {re.sub(r"_bucket$", "", name) for name in names}


def test_metrics_are_as_prometheus_wants_them():
    """promtool finds no fault with any server; alerts and dashboard ask for nothing unknown."""
    known = set()
    with Cluster("--mds", "3") as cluster:
        run(["qemu-io", "-f", "raw", "-c", "write -P 9 0 64k", cluster.uri])
        for name, process in cluster.processes().items():
            with urllib.request.urlopen(f"http://{process['http']}/metrics", timeout=10) as answer:
                text = answer.read().decode()
            checked = promtool("check", "metrics", input=text)
            expect(checked.returncode == 0 and not checked.stderr.strip(),
                   f"{name}: {checked.stdout}{checked.stderr}")
            known |= set(re.findall(r"^# TYPE (\w+)", text, re.M))
    rules = (PROMETHEUS / "cairn-alerts.yml").read_text()
    panels = json.loads(DASHBOARD.read_text())["panels"]
    dashboard = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    unknown = names_in([rules, *dashboard]) - known
    expect(not unknown, f"no server has {sorted(unknown)}")


def test_alerts_fire_when_they_should():
    """The alerts' own tests, and the example of a configuration."""
    for arguments in (["check", "config", "prometheus.yml"], ["test", "rules", "cairn-alerts.test.yml"]):
        done = promtool(*arguments, cwd=PROMETHEUS)
        expect(done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}")
