"""
Each test many times over: `make flake`. Prints how often each passed, the unsteady first.

A test that passes nineteen times of twenty tells of a fault, in it or in what it tests.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import xml.etree.ElementTree as xml
from collections import Counter
from pathlib import Path


def run_once(targets: list[str], keep: Path) -> dict[str, bool | None]:
    """
    One run of pytest: whether each test passed, None where it was skipped.

    Its report is kept only if something failed.
    """
    command = [sys.executable, "-m", "pytest", f"--junit-xml={keep}", *targets]
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)
    outcomes = {_name(case): _outcome(case) for case in xml.parse(keep).iter("testcase")}
    if False not in outcomes.values():
        keep.unlink()
    return outcomes


def _name(case: xml.Element) -> str:
    return f"{case.get('classname')}.{case.get('name')}"


def _outcome(case: xml.Element) -> bool | None:
    results = {child.tag for child in case}
    if "skipped" in results:
        return None
    return not results & {"failure", "error"}


def main() -> int:
    """Not 0 unless every test passed every time."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--times", type=int, default=20)
    options.add_argument("targets", nargs="+")
    arguments = options.parse_args()
    reports = Path(".cache", "repeat")
    reports.mkdir(parents=True, exist_ok=True)
    passed: Counter[str] = Counter()
    run: Counter[str] = Counter()
    for number in range(1, arguments.times + 1):
        report = reports / f"run-{number}.xml"
        outcomes = run_once(arguments.targets, report)
        passed.update(name for name, outcome in outcomes.items() if outcome)
        run.update(name for name, outcome in outcomes.items() if outcome is not None)
        bad = sorted(name for name, outcome in outcomes.items() if outcome is False)
        told = f"{' '.join(bad)}; see {report}" if bad else ""
        print(f"run {number}: {len(bad)} failed {told}", flush=True)
    print(f"\n{'passed':>9}  test")
    for name in sorted(run, key=lambda name: (passed[name] - run[name], name)):
        print(f"{passed[name]:4}/{run[name]:<4}  {name}")
    return 0 if run and passed == run else 1


if __name__ == "__main__":
    sys.exit(main())
