#!/usr/bin/env python3
"""Holds the includes to the layers of docs/architecture.md and keeps its table true.

Usage: check_layers.py          fails on a forbidden include, a cycle, or a stale table
       check_layers.py --write  rewrites the table
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
ARCHITECTURE = ROOT / "docs/architecture.md"
BEGIN, END = "<!-- layers: begin -->", "<!-- layers: end -->"

# Folder -> (layer, what it may include on its own layer, what lives there). A folder may include
# every folder of a lower layer; on its own layer only what is named here.
LAYERS = {
    "base": (0, [], "Result, ids, units, buffers, checksums, logging, metrics: no I/O, no clock"),
    "wire": (1, [], "messages (protobuf) and disk structures with their codecs"),
    "io": (1, [], "Task, and the interfaces Clock, Disk, Network, Executor"),
    "io/real": (2, ["io"], "the interfaces on Asio and io_uring; the only folder with system calls"),
    "raft": (2, [], "the pure Raft core"),
    "placement": (2, [], "pure planners: topology and loads in, plan out"),
    "rpc": (3, [], "framed calls: protobuf header and raw attachment, deadlines, authentication"),
    "store/wal": (3, [], "the shared write-ahead log"),
    "store/pool": (3, [], "the chunk file pool"),
    "store/chunk": (3, ["store/pool"], "the chunk store, in place"),
    "store/kv": (3, [], "the metadata store and its RocksDB adapter"),
    "store/etcd": (3, ["store/kv"], "the metadata store in etcd, by gRPC"),
    "multiraft": (4, [], "hosts many Raft groups: log batches, transport, timers, snapshots, apply"),
    "client": (5, [], "routing cache, retries, the block interface"),
    "chunkserver": (7, [], "the server that owns one disk"),
    "kv": (7, [], "the replicated store: a Raft group on local stores"),
    "mds": (7, [], "the metadata server"),
    "gateway/nbd": (7, [], "NBD turned into client calls"),
    "gateway/http": (7, [], "HTTP for people, Prometheus and health checks"),
    "cli": (8, [], "the subcommands: build objects, inject, run"),
}
# Not every lower folder is open to all: the core stays pure, io/real is known to its users alone.
ONLY = {
    "wire": {"base"},
    "io": {"base"},
    "raft": {"base", "wire"},
    "placement": {"base", "wire"},
}
REAL_IO_USERS = {"cli", "io/real"}
LIBRARIES = {
    r"rocksdb/": {"store/kv"},
    r"grpc": {"store/etcd"},
    r"boost/": {"io/real", "gateway/http"},
    r"liburing": {"io/real"},
    r"spdlog/": {"io/real"},
    r"openssl/": {"rpc"},
    r"CLI/": {"cli"},
    r"isa-l": {"base"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')


def folder_of(path):
    """The longest known folder that a path (relative to src/) lies in."""
    parts = pathlib.PurePosixPath(path).parts[:-1]
    for count in range(len(parts), 0, -1):
        name = "/".join(parts[:count])
        if name in LAYERS:
            return name
    return None


def may_include(user, used):
    if user == used:
        return True
    if used == "io/real":
        return user in REAL_IO_USERS
    if user in ONLY:
        return used in ONLY[user]
    user_layer, same_layer, _ = LAYERS[user]
    return LAYERS[used][0] < user_layer or used in same_layer


def check():
    errors = []
    edges = {name: set() for name in LAYERS}
    for path in sorted((ROOT / "src").rglob("*")):
        if path.suffix not in (".h", ".cc"):
            continue
        relative = path.relative_to(ROOT / "src").as_posix()
        user = folder_of(relative)
        if user is None:
            errors.append(f"src/{relative}: lies in no folder that tools/check_layers.py knows")
            continue
        is_test = path.name.endswith(("_test.cc", "_test.h"))
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            target = match.group(2)
            where = f"src/{relative}:{number}"
            for pattern, users in LIBRARIES.items():
                if re.match(pattern, target) and user not in users:
                    errors.append(f"{where}: <{target}> belongs to {', '.join(sorted(users))}")
            if match.group(1) == "<":
                continue
            if target.startswith(("sim/", "tests/", "bench/")) or target.endswith("_test.h"):
                if not is_test:
                    errors.append(f"{where}: only tests include {target}")
                continue
            used = folder_of(target)
            if used is None:
                errors.append(f"{where}: \"{target}\" is in no known folder (write the path from src/)")
                continue
            if is_test:
                continue  # a test may build what it needs; it ships nowhere
            if not may_include(user, used):
                errors.append(f"{where}: {user} (layer {LAYERS[user][0]}) may not include "
                              f"{used} (layer {LAYERS[used][0]})")
            if used != user:
                edges[user].add(used)
    errors += cycles(edges)
    return errors, edges


def cycles(edges):
    state, found = {}, []

    def visit(node, trail):
        state[node] = "open"
        for target in sorted(edges[node]):
            if state.get(target) == "open":
                found.append("include cycle: " + " -> ".join(trail + [node, target]))
            elif target not in state:
                visit(target, trail + [node])
        state[node] = "done"

    for node in edges:
        if node not in state:
            visit(node, [])
    return found


def table(edges):
    rows = ["| layer | folder | what lives there | includes |", "|---|---|---|---|"]
    for name, (layer, _, what) in LAYERS.items():
        used = ", ".join(f"`{u}`" for u in sorted(edges[name])) or "—"
        rows.append(f"| {layer} | `src/{name}/` | {what} | {used} |")
    return "\n".join(rows)


def main():
    errors, edges = check()
    text = ARCHITECTURE.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    fresh = before + BEGIN + "\n" + table(edges) + "\n" + END + after
    if "--write" in sys.argv:
        ARCHITECTURE.write_text(fresh)
    elif fresh != text:
        errors.append("docs/architecture.md: the table of layers is stale; run tools/check_layers.py --write")
    for line in errors:
        print(line)
    sys.exit(1 if errors else 0)


if __name__ == "__main__":
    main()
