"""
Each test many times over: `make flake`. Prints how often each passed, the unsteady first.

A test that passes nineteen times of twenty tells of a fault, in it or in what it tests.

Several jobs at once, each in a network namespace of its own since the scenarios want the same
ports, end sooner, and they press on each other as a busy machine does.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import time
import xml.etree.ElementTree as xml
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

REPORTS = Path(".cache", "repeat")
# Root is needed for a network namespace; loopback is down in a new one.
OWN_NETWORK = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


@dataclass
class Tally:
    """How often each test ran and passed."""

    run: Counter[str] = field(default_factory=Counter)
    passed: Counter[str] = field(default_factory=Counter)

    def add(self, outcomes: dict[str, bool | None]) -> None:
        """Count one run: whether each test passed, None where it was skipped."""
        self.run.update(name for name, outcome in outcomes.items() if outcome is not None)
        self.passed.update(name for name, outcome in outcomes.items() if outcome)

    def __str__(self) -> str:
        """One line a test, those that failed most first."""
        names = sorted(self.run, key=lambda name: (self.passed[name] - self.run[name], name))
        lines = [f"{self.passed[name]:4}/{self.run[name]:<4}  {name}" for name in names]
        return "\n".join([f"{'passed':>9}  test", *lines])


def run_once(targets: list[str], keep: Path, around: list[str]) -> dict[str, bool | None]:
    """
    One run of pytest: whether each test passed, None where it was skipped.

    Its report and what it printed are kept only if something failed. A run that ends without
    a report counts as one failed test by the name of its targets.
    """
    printed = keep.with_suffix(".txt")
    pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--junit-xml={keep}"]
    keep.unlink(missing_ok=True)
    with printed.open("w") as output:
        subprocess.run(
            [*around, *pytest, *targets],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if not keep.exists():
        return {" ".join(targets): False}
    outcomes = {_name(case): _outcome(case) for case in xml.parse(keep).iter("testcase")}
    if False not in outcomes.values():
        keep.unlink()
        printed.unlink()
    return outcomes


def _name(case: xml.Element) -> str:
    return f"{case.get('classname')}.{case.get('name')}"


def _outcome(case: xml.Element) -> bool | None:
    results = {child.tag for child in case}
    if "skipped" in results:
        return None
    return not results & {"failure", "error"}


def report_of(target: str, number: int) -> Path:
    """Where the report of one run goes: called after the whole target, for files share names."""
    return REPORTS / f"{'-'.join(Path(target).parts)}-{number}.xml"


def repeat(targets: list[str], times: int, jobs: int) -> Tally:
    """
    All targets so many times, each target of each time as one run of pytest.

    `jobs`: how many runs at once; the main network is used only where there is one.
    """
    tally = Tally()
    around = OWN_NETWORK if jobs > 1 else []

    def one(number: int, target: str) -> dict[str, bool | None]:
        began = time.monotonic()
        keep = report_of(target, number)
        outcomes = run_once([target], keep, around)
        bad = sorted(name for name, outcome in outcomes.items() if outcome is False)
        took = time.monotonic() - began
        load = Path("/proc/loadavg").read_text().split()[0]
        told = f"{len(bad)} failed {' '.join(bad)}; see {keep}" if bad else f"{len(outcomes)} ran"
        print(f"{target} {number}/{times}: {told} ({took:.0f} s, load {load})", flush=True)
        return outcomes

    with ThreadPoolExecutor(jobs) as pool:
        runs = itertools.product(range(1, times + 1), targets)
        for ended in [pool.submit(one, number, target) for number, target in runs]:
            tally.add(ended.result())
    return tally


def main() -> int:
    """Not 0 unless every test passed every time."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--times", type=int, default=20)
    options.add_argument("--jobs", type=int, default=1)
    options.add_argument("targets", nargs="+")
    arguments = options.parse_args()
    REPORTS.mkdir(parents=True, exist_ok=True)
    tally = repeat(arguments.targets, arguments.times, arguments.jobs)
    print(f"\n{tally}")
    return 0 if tally.run and tally.passed == tally.run else 1


if __name__ == "__main__":
    sys.exit(main())
