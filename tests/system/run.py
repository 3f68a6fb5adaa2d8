#!/usr/bin/env python3
"""Runs the system tests: run.py [NAME ...]; a NAME selects tests whose name contains it."""
import importlib
import pathlib
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))


def tests():
    for path in sorted(HERE.glob("test_*.py")):
        module = importlib.import_module(path.stem)
        for name, value in vars(module).items():
            if name.startswith("test_") and callable(value):
                yield f"{path.stem[5:]}.{name[5:]}", value


def main():
    wanted = sys.argv[1:]
    passed = failed = 0
    for name, test in tests():
        if wanted and not any(w in name for w in wanted):
            continue
        print(f"--- {name}: {(test.__doc__ or '').strip().splitlines()[0]}", flush=True)
        began = time.monotonic()
        try:
            test()
            passed += 1
            print(f"    passed ({time.monotonic() - began:.1f} s)", flush=True)
        except Exception:
            failed += 1
            traceback.print_exc(file=sys.stdout)
            print(f"    FAILED ({time.monotonic() - began:.1f} s)", flush=True)
    print(f"system: {passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
