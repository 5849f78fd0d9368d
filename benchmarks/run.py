"""
The relay's benchmarks: one table, ours beside Debian's coTURN.

    python benchmarks/run.py [--quick] [--only NAME ...] [--against-itself]

The table is printed and kept in results/relay.md and relay.json (results/relay-partial.* for
anything but the whole run against coTURN). Exit status 1: a goal was missed or a row failed.
Everything runs on loopback, where permitted in a network namespace of its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import functools
import json
import os
import platform
import signal
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks import load, servers
from benchmarks.figures import Row, Verdict, table
from benchmarks.relay import BENCHMARKS, FULL, QUICK, Bench, measure

RESULTS = Path(__file__).resolve().parent / "results"
INSIDE = "RELAY_BENCH_NAMESPACE"
BAD = (Verdict.MISSED, Verdict.FAILED)


def enter_namespace() -> bool:
    """Begin again in a network namespace of our own; False where that is not permitted."""
    if INSIDE in os.environ:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return True
    for unshare in (["unshare", "-n"], ["unshare", "-r", "-n"]):
        permitted = subprocess.run(
            [*unshare, "ip", "link", "set", "lo", "up"], capture_output=True, check=False
        )
        if permitted.returncode == 0:
            again = [*unshare, sys.executable, *sys.argv]
            os.execvpe(again[0], again, {**os.environ, INSIDE: "1"})
    return False


def package(name: str) -> str:
    """The version of an installed package, or a word for its absence."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def circumstances(data_plane: str, namespace: bool) -> dict[str, str]:
    """What the figures depend on, without naming the machine."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "kernel": f"{platform.system()} {platform.release()}",
        "CPUs": str(os.cpu_count()),
        "network": "namespace" if namespace else "loopback of the machine",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "uvloop": package("uvloop"),
        "twisted": package("twisted"),
        "coturn": servers.coturn_version(),
        "data plane": data_plane,
    }


def our_data_plane(start: servers.Start) -> str:
    """Start our server once and ask which data plane it runs."""
    with start() as server:
        return servers.data_plane(server)


def keep(name: str, rows: list[Row], about: dict[str, str], extent: str) -> Path:
    """Write the table for people and the rows for programs."""
    RESULTS.mkdir(exist_ok=True)
    facts = ", ".join(f"{key} {value}" for key, value in about.items())
    path = RESULTS / f"{name}.md"
    path.write_text(f"# The relay beside coTURN\n\n{extent}. {facts}.\n\n{table(rows)}")
    found = [{**dataclasses.asdict(row), "verdict": row.verdict.value} for row in rows]
    document = {"circumstances": about, "extent": extent, "rows": found}
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    return path


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="the relay's benchmarks, beside coTURN")
    parser.add_argument("--quick", action="store_true", help="under 3 minutes, rougher")
    parser.add_argument(
        "--only",
        action="append",
        choices=list(BENCHMARKS),
        metavar="NAME",
        help="one benchmark of: " + ", ".join(BENCHMARKS),
    )
    parser.add_argument(
        "--against-itself",
        action="store_true",
        help="coTURN on both sides: shows the noise of this machine",
    )
    return parser.parse_args()


def main() -> int:
    """Measure, print, keep; the exit status says whether every goal was reached."""
    chosen = options()
    load.build()
    namespace = enter_namespace()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers end with us
    second = servers.coturn
    first = servers.ours
    if chosen.against_itself:
        first = functools.partial(servers.coturn, port=44478, tls_port=46349, first_port=20000)
    try:
        plane = our_data_plane(first)
    except servers.ServerDidNotStart as failure:
        print(f"our server did not start: {failure}", file=sys.stderr)
        return 2
    extent = QUICK if chosen.quick else FULL
    bench = Bench(
        (first, second),
        extent,
        native="native" in plane.lower(),
        load_cpu=min(1, (os.cpu_count() or 1) - 1),
    )
    rows = measure(bench, chosen.only or list(BENCHMARKS))
    whole = not (chosen.quick or chosen.only or chosen.against_itself)
    print(table(rows))
    path = keep(
        "relay" if whole else "relay-partial",
        rows,
        circumstances(plane, namespace),
        f"{'Quick' if chosen.quick else 'Full'} run, {extent.repetitions} repetitions",
    )
    print(f"kept in {path.relative_to(RESULTS.parents[1])}", file=sys.stderr)
    return int(any(row.verdict in BAD for row in rows))


if __name__ == "__main__":
    sys.exit(main())
