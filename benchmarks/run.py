"""
The benchmarks: the relay beside Debian's coturn, calls beside Sippy's B2BUA, bridges beside
Debian's rtpengine, and what browsers cost.

    python benchmarks/run.py [--quick] [--only NAME ...] [--against-itself]

Each table is printed and kept in results/ (relay.md and relay.json, and so on; a name with -partial
for anything but the whole run against the peer). Exit status 1: a goal was missed or a
row failed. Everything runs on loopback, where permitted in a network namespace of its own.
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
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks import (
    bridge,
    bridge_servers,
    browsers,
    load,
    page,
    relay,
    relay_bench,
    servers,
    sip,
    sip_rows,
    sip_servers,
    sipp,
)
from benchmarks.figures import BAD, Row, table
from benchmarks.progress import measure

RESULTS = Path(__file__).resolve().parent / "results"
INSIDE = "BENCH_NAMESPACE"
BUSY = os.getloadavg()[0]
"""How many processes wanted a CPU before anything was begun here; should be near 0."""
LOAD_CPU = min(1, (os.cpu_count() or 1) - 1)


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


def circumstances(namespace: bool, **more: str) -> dict[str, str]:
    """What the figures depend on, without naming the machine."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "kernel": f"{platform.system()} {platform.release()}",
        "CPUs": str(os.cpu_count()),
        "load before": f"{BUSY:.1f}",
        "network": "namespace" if namespace else "loopback of the machine",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "uvloop": package("uvloop"),
        "twisted": package("twisted"),
        **more,
    }


@dataclass(frozen=True, slots=True)
class Table:
    """One table that was measured."""

    name: str
    title: str
    peer: str
    rows: list[Row]
    about: dict[str, str]
    extent: str
    plots: Mapping[str, str] = field(default_factory=dict)

    def keep(self, command: str) -> Path:
        """Write the table for people and the rows for programs."""
        RESULTS.mkdir(exist_ok=True)
        facts = ", ".join(f"{key} {value}" for key, value in self.about.items())
        head = f"# {self.title}\n\n{self.extent}. {facts}. Made by `{command}`.\n\n"
        path = RESULTS / f"{self.name}.md"
        path.write_text(head + table(self.rows, self.peer) + self._keep_plots())
        found = [{**dataclasses.asdict(row), "verdict": row.verdict.value} for row in self.rows]
        document = {"circumstances": self.about, "extent": self.extent, "rows": found}
        (RESULTS / f"{self.name}.json").write_text(json.dumps(document, indent=1) + "\n")
        return path

    def _keep_plots(self) -> str:
        """Write the plots, and give what shows them in the table for people."""
        shown = ""
        for name, svg in self.plots.items():
            file = f"{self.name}.{name}.svg"
            (RESULTS / file).write_text(svg)
            shown += f"\n![{name}]({file})\n"
        return shown


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="the relay, calls and bridges beside their peers")
    parser.add_argument("--quick", action="store_true", help="a quarter of the time, rougher")
    names = [
        *relay.BENCHMARKS,
        *sip_rows.BENCHMARKS,
        *bridge.BENCHMARKS,
        *browsers.BENCHMARKS,
    ]
    parser.add_argument(
        "--only",
        action="append",
        choices=["relay", "sip", "bridge", "browser", *names],
        metavar="NAME",
        help="one table (relay, sip, bridge, browser), or one benchmark of: " + ", ".join(names),
    )
    parser.add_argument(
        "--against-itself",
        action="store_true",
        help="the peer on both sides: shows the noise of this machine",
    )
    return parser.parse_args()


def chosen_names(only: list[str] | None, name: str, all_names: list[str]) -> list[str]:
    """The benchmarks of one table that are asked for."""
    if only is None or name in only:
        return all_names
    return [each for each in all_names if each in only]


def asked_plane() -> str:
    """The data plane that the environment asks for; empty where ours is to choose."""
    return os.environ.get(servers.PLANE_VARIABLE, "")


def certain(plane: str) -> str:
    """The data plane that is measured. Raises ServerDidNotStart where that cannot be told."""
    if plane not in (servers.NATIVE, servers.PYTHON):
        raise servers.ServerDidNotStart(f"no telling which data plane it runs: {plane}")
    if plane == servers.NATIVE and servers.is_stale():
        raise servers.ServerDidNotStart(
            "the native data plane is older than its sources: python setup.py build_ext --inplace"
        )
    return plane


def relay_plane(chosen: argparse.Namespace) -> str:
    """The data plane that the relay's rows measure. Raises ServerDidNotStart."""
    if chosen.against_itself:
        return ""
    with servers.ours(plane=asked_plane()) as server:
        return certain(servers.data_plane(server))


def relay_table(chosen: argparse.Namespace, names: list[str], namespace: bool) -> Table:
    """Measure the relay beside coTURN. Raises ServerDidNotStart."""
    load.build()
    plane = relay_plane(chosen)
    itself = functools.partial(servers.coturn, port=44478, tls_port=46349, first_port=20000)
    ours = functools.partial(servers.ours, plane=plane)
    twin = functools.partial(servers.ours, plane=servers.PYTHON)
    extent = relay_bench.QUICK if chosen.quick else relay_bench.FULL
    bench = relay_bench.Bench(
        starts=(itself if chosen.against_itself else ours, servers.coturn),
        shared=itself if chosen.against_itself else functools.partial(ours, shares_ports=True),
        twin=itself if chosen.against_itself else twin,
        bare=itself if chosen.against_itself else servers.bare,
        extent=extent,
        plane=plane,
        load_cpu=LOAD_CPU,
        limit=extent.limit,
    )
    rows = measure(bench, relay.BENCHMARKS, names)
    more = {"coturn": servers.coturn_version(), "data plane": plane or "none of ours"}
    about = circumstances(namespace, **more)
    title = "The relay beside coTURN"
    lasted = _extent(chosen, extent.repetitions)
    return Table("relay", title, "coturn", rows, about, lasted, bench.plots)


def sip_table(chosen: argparse.Namespace, names: list[str], namespace: bool) -> Table:
    """Measure calls beside Sippy."""
    first: sip_servers.Start = sip_servers.ours
    if chosen.against_itself:
        first = functools.partial(sip_servers.sippy, port=60260, callee=("127.0.0.12", 60290))
    extent = sip.QUICK if chosen.quick else sip.FULL
    bench = sip.SipBench(
        starts=(first, sip_servers.sippy), extent=extent, load_cpu=LOAD_CPU, limit=extent.limit
    )
    rows = sip_rows.rows(bench, names)
    more = {"sippy": sip_servers.sippy_version(), "sipp": sipp.version()}
    about = circumstances(namespace, **more)
    title = "Calls beside Sippy's b2bua_simple"
    lasted = _extent(chosen, extent.repetitions)
    return Table("sip", title, "sippy", rows, about, lasted, bench.plots)


def bridge_table(chosen: argparse.Namespace, names: list[str], namespace: bool) -> Table:
    """Measure bridges beside rtpengine. Raises ServerDidNotStart."""
    load.build()
    plane, ours = "", bridge_servers.rtpengine
    if not chosen.against_itself:
        with bridge_servers.ours(1, False, plane=asked_plane()) as server:
            plane = certain(server.plane)
        ours = functools.partial(bridge_servers.ours, plane=plane)
    twin = functools.partial(bridge_servers.ours, plane=servers.PYTHON)
    extent = bridge.QUICK if chosen.quick else bridge.FULL
    bench = bridge.BridgeBench(
        starts=(ours, bridge_servers.rtpengine),
        twin=bridge_servers.rtpengine if chosen.against_itself else twin,
        extent=extent,
        plane=plane,
        load_cpu=LOAD_CPU,
        limit=extent.limit,
    )
    rows = measure(bench, bridge.BENCHMARKS, names)
    more = {"rtpengine": bridge_servers.rtpengine_version()}
    about = circumstances(namespace, **more, **{"data plane": plane or "none of ours"})
    title = "Bridges beside rtpengine"
    lasted = _extent(chosen, extent.repetitions)
    return Table("bridge", title, "rtpengine", rows, about, lasted, bench.plots)


def browser_table(chosen: argparse.Namespace, names: list[str], namespace: bool) -> Table:
    """Measure what browsers cost; there is nobody beside us."""
    extent = browsers.QUICK if chosen.quick else browsers.FULL
    bench = browsers.BrowserBench(
        start=browsers.gateway, extent=extent, load_cpu=LOAD_CPU, limit=extent.limit
    )
    rows = measure(bench, browsers.BENCHMARKS, names)
    about = circumstances(namespace, aiortc=package("aiortc"))
    return Table("browser", "Calls of browsers", "-", rows, about, _extent(chosen, 1))


def _extent(chosen: argparse.Namespace, repetitions: int) -> str:
    return f"{'Quick' if chosen.quick else 'Full'} run, {repetitions} repetitions"


def main() -> int:
    """Measure, print, keep; the exit status says whether every goal was reached."""
    chosen = options()
    namespace = enter_namespace()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers end with us
    failed = 0
    for name, all_names, make in (
        ("relay", list(relay.BENCHMARKS), relay_table),
        ("sip", list(sip_rows.BENCHMARKS), sip_table),
        ("bridge", list(bridge.BENCHMARKS), bridge_table),
        ("browser", list(browsers.BENCHMARKS), browser_table),
    ):
        names = chosen_names(chosen.only, name, all_names)
        if not names:
            continue
        try:
            made = make(chosen, names, namespace)
        except servers.ServerDidNotStart as failure:
            print(f"{name}: the server did not start: {failure}", file=sys.stderr)
            failed = 2
            continue
        whole = names == all_names and not (chosen.quick or chosen.against_itself)
        if not whole:
            made = dataclasses.replace(made, name=f"{name}-partial")
        print(table(made.rows, made.peer))
        command = " ".join(["python", "benchmarks/run.py", *sys.argv[1:]])
        path = made.keep("make bench" if whole else command)
        print(f"kept in {path.relative_to(RESULTS.parents[1])}", file=sys.stderr)
        if whole:
            page.fill()
        failed = failed or int(any(row.verdict in BAD for row in made.rows))
    return failed


if __name__ == "__main__":
    sys.exit(main())
