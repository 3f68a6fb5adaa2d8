#!/usr/bin/env python3
"""Checks that every test which docs/raft-pitfalls.md names is there.

The document promises a test for each pitfall; a test that is renamed or removed must not leave the
promise behind.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "raft-pitfalls.md"
NAMED = re.compile(r"`(\w+)\.(\w+|\*)` \(([\w/]+_test\.cc)\)")
PITFALLS = 30


def main() -> int:
    problems = []
    lines_seen = set()
    table = DOCUMENT.read_text().split("\n## ")[0]
    for line in table.splitlines():
        row = re.match(r"\| (\d+) \|", line)
        if not row:
            continue
        lines_seen.add(int(row.group(1)))
        named = NAMED.findall(line)
        if not named:
            problems.append(f"pitfall {row.group(1)} names no test")
        for suite, test, file in named:
            path = ROOT / file
            wanted = rf"TEST(_F)?\(\s*{suite},\s*" + ("" if test == "*" else rf"{test}\)")
            if not path.exists() or not re.search(wanted, path.read_text()):
                problems.append(f"{file} has no test {suite}.{test}")
    for number in range(1, PITFALLS + 1):
        if number not in lines_seen:
            problems.append(f"pitfall {number} is missing")
    for problem in problems:
        print(f"docs/raft-pitfalls.md: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
