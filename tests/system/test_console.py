"""The JSON API of the MDS, and the console that a browser shows of it."""
import json
import re
import shutil
import urllib.error
import urllib.request

from harness import Cluster, Failure, expect, run, wait_until

VIEWS = ["copysets", "operators", "status", "topology", "volumes"]


def get(address, path):
    with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def view(address, name):
    return json.loads(get(address, f"/api/v1/{name}")[1])


def rendered(address):
    """The page as a browser has made it after its scripts have asked once."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if not browser:
        raise Failure("no chromium: ./dev setup installs it")
    return run([browser, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000",
                "--dump-dom", f"http://{address}/"], timeout=60).stdout


def text_of(dom, element_id):
    found = re.search(rf'id="{element_id}"[^>]*>(.*?)</', dom, re.S)
    return found.group(1) if found else ""


def test_views_and_the_page_they_feed():
    """Every view is JSON, traffic is counted, and Chromium shows health, servers and volumes."""
    with Cluster() as cluster:
        address = cluster.processes()["mds"]["http"]
        cluster.wait_healthy()
        for name in VIEWS:
            expect(isinstance(view(address, name), dict), f"{name} is an object")
        try:
            get(address, "/api/v1/nothing")
            raise Failure("an unknown view was answered")
        except urllib.error.HTTPError as refused:
            expect(refused.code == 404, f"an unknown view: {refused.code}")

        cluster.cairn("bench", "--rw", "randwrite", "--bs", "4k", "--depth", "4", "--seconds", "4")
        wait_until(lambda: sum(c["traffic"]["writes_per_s"]
                               for c in view(address, "status")["chunkservers"]) > 0,
                   "the writes of the last seconds are counted", timeout=10, every=0.1)

        content_type, page = get(address, "/")
        expect(content_type.startswith("text/html"), content_type)
        expect("http://" not in page.replace("http://www.w3.org/2000/svg", "") and
               "https://" not in page, "the page loads nothing from elsewhere")
        dom = rendered(address)
        expect(text_of(dom, "health") == "ok", f"health: {text_of(dom, 'health')}")
        expect("3 chunkservers" in text_of(dom, "summary"), text_of(dom, "summary"))
        for shown in ["chunkserver-1", "chunkserver-3", "demo"]:
            expect(shown in dom, f"{shown} is on the page")


def test_a_standby_says_who_is_active():
    """Of three MDS two stand by: their views answer 503 and name the active one's address."""
    with Cluster("--mds", "3") as cluster:
        cluster.wait_healthy()
        answers = {}
        for name, process in cluster.processes().items():
            if not name.startswith("mds"):
                continue
            try:
                get(process["http"], "/api/v1/status")
                answers[name] = 200
            except urllib.error.HTTPError as refused:
                answers[name] = refused.code
                why = json.loads(refused.read())["error"]
                expect("not the active one; that is at" in why, why)
        expect(sorted(answers.values()) == [200, 503, 503], str(answers))
