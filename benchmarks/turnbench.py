"""
A matrix of traffic over servers that already run, for questions the table does not answer.

    python benchmarks/turnbench.py --server coturn=3478:5349:PID --server ours=4478:6349:PID \\
        --legs udp,tcp,tls --sizes 172,1200 --clients 10,200,1000 --rate 10000 --repetitions 3

Every cell is measured on all servers in turn, A B A B; ``ratio`` is the median over repetitions
of a server's CPU by the first server's. ``--search LOW,HIGH`` looks for the highest offered rate
with at most 0.1 % loss instead. Further turnload options go behind ``--``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks import load
from benchmarks.figures import paired_ratio
from benchmarks.servers import HOST, descendants

CELL_LIMIT = 600
HEADINGS = (
    "server", "leg", "clients", "size", "CPU us/packet", "ratio", "loss", "RTT p50 us",
    "p99", "p99.9", "switches/packet", "kB/allocation",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Running:
    """A server that somebody else started: name=port:tls-port:pid."""

    name: str
    port: int
    tls_port: int
    pid: int

    @classmethod
    def parse(cls, text: str) -> Running:
        """Read the option's value; ValueError where it has another form."""
        name, _, rest = text.partition("=")
        port, tls_port, pid = map(int, rest.split(":"))
        return cls(name, port, tls_port, pid)


@dataclass(frozen=True, slots=True)
class Cell:
    """One kind of traffic."""

    leg: str
    clients: str
    size: str

    def measure(self, server: Running, chosen: argparse.Namespace) -> dict[str, load.Record]:
        """Run turnload once; the last record of every kind."""
        port = server.tls_port if self.leg == "tls" else server.port
        pids = ",".join(map(str, descendants(server.pid)))
        command = [str(load.HERE / "turnload"), "-H", HOST, "-P", str(port), "-p", pids]
        command += ["-u", chosen.user, "-w", chosen.password, "-t", self.leg, "-m", chosen.mode]
        command += ["-n", self.clients, "-s", self.size, "-d", chosen.seconds, "-c", chosen.cpu]
        command += ["-q", chosen.tick, *(["-S", chosen.search] if chosen.search else [])]
        command += ["-r", chosen.rate, "-l", server.name, *chosen.turnload]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=CELL_LIMIT)
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        if chosen.keep:
            with chosen.keep.open("a") as sink:
                sink.writelines(json.dumps(json.loads(line)) + "\n" for line in lines)
        return dict(load.figures(line) for line in lines)


def print_row(cells: list[str]) -> None:
    """One line of the table, at once."""
    print("| " + " | ".join(cells) + " |", flush=True)


def print_costs(cell: Cell, runs: dict[str, list[dict[str, load.Record]]]) -> None:
    """One row a server: cost, ratio to the first server, loss and delay."""
    costs = {name: [r["run"]["cpu_us_per_pkt"] for r in found] for name, found in runs.items()}
    first = next(iter(costs.values()))
    for name, found in runs.items():
        row = [name, cell.leg, cell.clients, cell.size]
        row += [f"{median(costs[name]):.2f}", f"{paired_ratio(costs[name], first):.2f}"]
        marks = ("loss", "rtt_us_p50", "rtt_us_p99", "rtt_us_p999", "ctxsw_per_pkt")
        row += [f"{median(r['run'][mark] for r in found):.4g}" for mark in marks]
        print_row([*row, f"{found[0]['setup']['rss_kb_per_alloc']:.1f}"])


def print_highest(cell: Cell, runs: dict[str, list[dict[str, load.Record]]]) -> None:
    """One row a server: the highest rate without loss."""
    for name, found in runs.items():
        highest = median(r["max"]["max_relayed_pps"] for r in found)
        print_row([name, cell.leg, cell.clients, cell.size, f"{highest:.0f} relayed/s"])


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="traffic matrix over running TURN servers")
    parser.add_argument("--server", action="append", required=True, type=Running.parse)
    for name, default in {
        "legs": "udp", "sizes": "172,1200", "clients": "10,200,1000", "rate": "10000",
        "seconds": "4", "mode": "echo", "cpu": "0", "tick": "1000", "user": "user",
        "password": "pass",
    }.items():  # fmt: skip
        parser.add_argument(f"--{name}", default=default, help=f"({default})")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--search", help="LOW,HIGH offered packets/s")
    parser.add_argument("--keep", type=Path, help="append turnload's records to this file")
    parser.add_argument("turnload", nargs="*", help="further options of turnload, behind --")
    return parser.parse_args()


def main() -> None:
    """Measure every cell on every server in turn."""
    chosen = options()
    load.build()
    headings = [*HEADINGS[:4], "highest"] if chosen.search else [*HEADINGS]
    print_row(headings)
    print_row(["---"] * len(headings))
    matrix = (chosen.legs.split(","), chosen.clients.split(","), chosen.sizes.split(","))
    for cell in itertools.starmap(Cell, itertools.product(*matrix)):
        runs: dict[str, list[dict[str, load.Record]]] = {s.name: [] for s in chosen.server}
        for _, server in itertools.product(range(chosen.repetitions), chosen.server):
            runs[server.name].append(cell.measure(server, chosen))
        (print_highest if chosen.search else print_costs)(cell, runs)


if __name__ == "__main__":
    main()
