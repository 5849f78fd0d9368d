"""
How long the relay keeps anybody waiting: a Binding at 50 Hz from a process of its own.

The server has CPU 0 to itself here, all generators and the probe are on another.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.figures import Goal, Row, number
from benchmarks.load import LoadFailed, Record, Traffic, flood, probe, relaying
from benchmarks.relay_bench import (
    GROWTH,
    LOSS,
    STALL,
    STALL_IN_GARBAGE,
    Bench,
    Benchmark,
    told,
)
from benchmarks.servers import Start


def stall_text(found: Record) -> str:
    """p50, p99 and maximum of one probe."""
    trips = " / ".join(number(found[name]) for name in ("p50_ms", "p99_ms", "max_ms"))
    lost = f", {found['lost']:.0f} lost" if found["lost"] else ""
    return f"{trips} ms{lost}"


def stall_row(name: str, figure: str, goal: Goal, probes: list[Record], note: str) -> Row:
    """How long a Binding waits for its answer."""
    late = max(found["late_ms"] for found in probes)
    return Row(
        name=name,
        figure=f"Binding p99 {figure}, ms",
        goal=goal,
        measured=probes[0]["p99_ms"],
        ours=stall_text(probes[0]),
        peer=stall_text(probes[1]),
        note=f"p50 / p99 / max; {note}; probe late by up to {number(late)} ms",
    )


def stall_at_rest(bench: Bench) -> Iterator[Row]:
    """The probe alone."""
    probes = []
    for start in bench.starts:
        with start() as server:
            probes.append(probe(server.port, bench.extent.stall_seconds, bench.load_cpu))
            bench.say(f"  at rest {server.name}: {stall_text(probes[-1])}")
    yield stall_row("stall-rest", "at rest", STALL, probes, "50 Hz")


def beside(
    bench: Bench, starts: tuple[Start, Start], traffic: Traffic
) -> tuple[list[Record], list[Record]]:
    """The probe beside traffic, of ours and of the peer; and what became of the traffic."""
    probes: list[Record] = []
    runs: list[Record] = []
    for start in starts:
        found: Record = {}
        with start() as server:
            with relaying(server, told(server, traffic), found):
                probes.append(probe(server.port, traffic.seconds - 1, bench.load_cpu))
            bench.say(f"  under load {server.name}: {stall_text(probes[-1])}")
        runs.append(found)
    return probes, runs


def stall_under_load(bench: Bench) -> Iterator[Row]:
    """The probe beside 20,000 relayed packets a second."""
    traffic = Traffic(cpu=bench.load_cpu, seconds=bench.extent.stall_seconds + 1)
    probes, runs = beside(bench, bench.starts, traffic)
    yield stall_row("stall-load", "under load", STALL, probes, relayed_note(runs))
    yield Row(
        name="loss",
        figure="lost of 20000 relayed/s, percent",
        goal=LOSS,
        measured=100 * runs[0]["loss"],
        ours=f"{runs[0]['cpu_pct']:.0f} % of a core",
        peer=f"{runs[1]['cpu_pct']:.0f} % of a core",
        note=f"coturn lost {runs[1]['loss']:.3%}",
    )


def stall_with_shared_ports(bench: Bench) -> Iterator[Row]:
    """The same where ours shares its relay ports."""
    seconds = bench.extent.stall_seconds + 1
    traffic = Traffic(cpu=bench.load_cpu, seconds=seconds, options=("-B",))
    probes, runs = beside(bench, bench.sides("shared"), traffic)
    yield stall_row("stall-shared", "under load, shared ports", STALL, probes, relayed_note(runs))


def stall_with_many(bench: Bench) -> Iterator[Row]:
    """The same with as many allocations as there ever are."""
    most = bench.extent.growth[-1]
    seconds = bench.extent.stall_seconds + 1
    traffic = Traffic(cpu=bench.load_cpu, seconds=seconds, clients=most)
    probes, runs = beside(bench, bench.starts, traffic)
    note = f"{most} allocations, {relayed_note(runs)}"
    yield stall_row("stall-many", "under load of many", STALL, probes, note)


def relayed_note(runs: list[Record]) -> str:
    """How much was relayed."""
    return " and ".join(f"{found['relayed_pps']:.0f}" for found in runs) + " relayed/s"


def stall_under_garbage(bench: Bench) -> Iterator[Row]:
    """The probe beside 50,000 packets a second that mean nothing."""
    seconds = bench.extent.stall_seconds
    probes: list[Record] = []
    floods: list[Record] = []
    grown: list[int] = []
    for start in bench.starts:
        sent: Record = {}
        with start() as server:
            before = server.resident_kb()
            with flood(server, 50_000, seconds, bench.load_cpu, sent):
                probes.append(probe(server.port, seconds - 0.5, bench.load_cpu))
            grown.append(server.resident_kb() - before)
            after = probe(server.port, 1.0, bench.load_cpu)
        bench.say(f"  garbage {server.name}: {stall_text(probes[-1])}")
        if after["lost"]:
            raise LoadFailed(f"{server.name} lost {after['lost']:.0f} Bindings after the flood")
        floods.append(sent)
    rates = " and ".join(f"{sent['pps']:.0f}" for sent in floods)
    yield stall_row(
        "stall-garbage", "under garbage", STALL_IN_GARBAGE, probes, f"{rates} packets/s"
    )
    yield Row(
        name="garbage-memory",
        figure="resident memory grown by the flood, MB",
        goal=GROWTH,
        measured=grown[0] / 1024,
        ours=f"{number(grown[0] / 1024)} MB",
        peer=f"{number(grown[1] / 1024)} MB",
        note=" and ".join(f"{sent['answers']:.0f}" for sent in floods) + " answers sent to it",
    )


STALLS: dict[str, Benchmark] = {
    "stall-rest": stall_at_rest,
    "stall-load": stall_under_load,
    "stall-shared": stall_with_shared_ports,
    "stall-many": stall_with_many,
    "stall-garbage": stall_under_garbage,
}
