"""
Every row of the relay's table, and how it is measured.

Costs are taken in one regime only: server and generator share CPU 0 and packets come every
millisecond, so that no wake-up of another core is in the figure. The two servers take turns
(A B A B) and a cost is the median of the quotients of neighbours; absolute microseconds move with
the machine. Stalls are taken with the server alone on CPU 0 and all generators on another.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks.figures import Goal, Row, number, paired_ratio
from benchmarks.load import LoadFailed, Record, Traffic, flood, probe, relaying, turnload
from benchmarks.progress import Progress
from benchmarks.servers import Server, Start

BUSY_LIMIT = 85.0
"""Percent of the shared core; above it a relay batches and looks cheaper than it is."""
LOSS_LIMIT = 0.001
LOWEST_RATE = 1_250

# A relay in pure Python is judged by what it may cost; the native one by what coTURN costs.
PURE = Goal(3.0, 2.0)
NATIVE = {
    "udp-172": Goal(0.90, 0.75),
    "udp-1200": Goal(0.90, 0.75),
    "indications": Goal(0.90, 0.75),
    "tcp": Goal(0.85, 0.65),
    "tls": Goal(0.95, 0.80),
    "trains": Goal(0.50, 0.35),
}
DELAY = Goal(20, 5)
LOSS = Goal(0.1, 0.01)
ALLOCATION_CPU = Goal(2.0, 1.0)
ALLOCATION_RATE = Goal(0.5, 1.0, at_least=True)
ALLOCATION_MEMORY = Goal(0.5, 0.25)
STALL = Goal(50, 20)
GROWTH = Goal(20, 5)

TRAFFIC = {
    "udp-172": Traffic(size=172),
    "udp-1200": Traffic(size=1200),
    "indications": Traffic(options=("-i",)),
    "tcp": Traffic(leg="tcp"),
    "tls": Traffic(leg="tls"),
    "trains": Traffic(mode="up", size=1200, options=("-T", "8")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How long and how often everything is measured."""

    repetitions: int
    seconds: float
    allocations: int
    idle: int
    memory_repetitions: int
    stall_seconds: float
    limit: float
    """Seconds; see ``Progress``."""


FULL = Extent(
    repetitions=5,
    seconds=3.0,
    allocations=3000,
    idle=2000,
    memory_repetitions=3,
    stall_seconds=10.0,
    limit=640,
)
QUICK = Extent(
    repetitions=2,
    seconds=1.2,
    allocations=1000,
    idle=500,
    memory_repetitions=1,
    stall_seconds=4.0,
    limit=150,
)


@dataclass(slots=True, kw_only=True)
class Bench(Progress):
    """One run of the table: the two servers' starters and how much is to be done."""

    starts: tuple[Start, Start]
    extent: Extent
    native: bool = False
    load_cpu: int = 1

    def cost_goal(self, name: str) -> Goal:
        """What a relayed packet may cost, in parts of what it costs coTURN."""
        return NATIVE[name] if self.native else PURE

    def pair(self, stack: ExitStack) -> tuple[Server, Server]:
        """Both servers, fresh, until ``stack`` is closed."""
        first, second = self.starts
        return stack.enter_context(first()), stack.enter_context(second())


Benchmark = Callable[[Bench], Iterator[Row]]


# --- cost of a relayed packet -------------------------------------------------------------------


def relayed(name: str) -> Benchmark:
    """The cost of one kind of traffic, and for the gate cell its delay."""

    def measure(bench: Bench) -> Iterator[Row]:
        with ExitStack() as stack:
            servers = bench.pair(stack)
            traffic = bearable(bench, servers[0], TRAFFIC[name])
            runs = alternate(bench, name, servers, traffic)
        yield cost_row(bench, name, traffic, runs)
        if name == "udp-172":
            yield delay_row(traffic, runs)

    return measure


def busy(run: Record) -> float:
    """Percent of the shared core that server and generator took together."""
    return run["cpu_pct"] + run["self_us_per_pkt"] * run["relayed_pps"] / 1e4


def saturated(run: Record) -> bool:
    """Whether the core, or the server, could not keep up."""
    return busy(run) > BUSY_LIMIT or run["loss"] > LOSS_LIMIT or run["tcp_full"] > 0


def bearable(bench: Bench, server: Server, traffic: Traffic) -> Traffic:
    """The traffic at the highest rate, halved from its own, that leaves the core some rest."""
    rate = traffic.rate
    while saturated(turnload(server, traffic.at(rate, 0.8))["run"]) and rate > LOWEST_RATE:
        rate //= 2
        bench.say(f"  too much for one core, trying {rate} packets/s")
    return traffic.at(rate, bench.extent.seconds)


def alternate(
    bench: Bench, name: str, servers: tuple[Server, Server], traffic: Traffic
) -> tuple[list[Record], list[Record]]:
    """The runs of both servers, A B A B."""
    runs: tuple[list[Record], list[Record]] = ([], [])
    for repetition in range(bench.extent.repetitions):
        for server, mine in zip(servers, runs, strict=True):
            mine.append(turnload(server, traffic)["run"])
            cost = mine[-1]["cpu_us_per_pkt"]
            bench.say(f"  {name} {repetition + 1} {server.name}: {cost:.1f} us/packet")
    return runs


def medians(runs: list[Record], name: str) -> float:
    """The median of one figure."""
    return statistics.median(run[name] for run in runs)


def cost_row(
    bench: Bench, name: str, traffic: Traffic, runs: tuple[list[Record], list[Record]]
) -> Row:
    """CPU per relayed packet, ours over coTURN's."""
    ours, theirs = ([run["cpu_us_per_pkt"] for run in side] for side in runs)
    notes = [f"{traffic.rate} offered/s"]
    if any(saturated(run) for side in runs for run in side):
        worst = max(run["loss"] for side in runs for run in side)
        notes.append(f"SATURATED, loss up to {worst:.2%}")
    return Row(
        name=name,
        figure="CPU per relayed packet, ours/coturn",
        goal=bench.cost_goal(name),
        measured=paired_ratio(ours, theirs),
        ours=f"{number(statistics.median(ours))} us",
        peer=f"{number(statistics.median(theirs))} us",
        note=", ".join(notes),
    )


def delay_row(traffic: Traffic, runs: tuple[list[Record], list[Record]]) -> Row:
    """Round trip through the relay and back."""

    def text(side: list[Record]) -> str:
        names = ("rtt_us_p50", "rtt_us_p99", "rtt_us_p999")
        return " / ".join(number(medians(side, name) / 1000) for name in names) + " ms"

    return Row(
        name="delay",
        figure="round trip p99, ms",
        goal=DELAY,
        measured=medians(runs[0], "rtt_us_p99") / 1000,
        ours=text(runs[0]),
        peer=text(runs[1]),
        note=f"p50 / p99 / p99.9 at {traffic.rate} offered/s",
    )


# --- allocations --------------------------------------------------------------------------------


def allocations(bench: Bench) -> Iterator[Row]:
    """Allocate with the full challenge, as fast as the shared core gives."""
    traffic = Traffic(mode="alloc", clients=bench.extent.allocations, options=("-W", "64"))
    setups: tuple[list[Record], list[Record]] = ([], [])
    with ExitStack() as stack:
        servers = bench.pair(stack)
        for _ in range(bench.extent.repetitions):
            for server, mine in zip(servers, setups, strict=True):
                mine.append(turnload(server, traffic)["setup"])
                bench.say(f"  alloc {server.name}: {mine[-1]['allocs_per_s']:.0f}/s")
    yield ratio_row(
        "alloc-cpu",
        "CPU per allocation, ours/coturn",
        ALLOCATION_CPU,
        setups,
        "alloc_cpu_us",
        "us",
        "401 and Allocate",
    )
    yield ratio_row(
        "alloc-rate",
        "allocations per second, ours/coturn",
        ALLOCATION_RATE,
        setups,
        "allocs_per_s",
        "/s",
        "64 outstanding, generator on the same core",
    )


def memory(bench: Bench) -> Iterator[Row]:
    """Resident memory of an idle allocation, each time in a fresh server."""
    traffic = Traffic(mode="idle", clients=bench.extent.idle, seconds=0.2)
    setups: tuple[list[Record], list[Record]] = ([], [])
    for _ in range(bench.extent.memory_repetitions):
        for start, mine in zip(bench.starts, setups, strict=True):
            with start() as server:
                mine.append(turnload(server, traffic)["setup"])
            bench.say(f"  memory {server.name}: {mine[-1]['rss_kb_per_alloc']:.1f} kB")
    note = f"{traffic.clients} allocations in a fresh server"
    yield ratio_row(
        "alloc-memory",
        "resident memory per idle allocation, ours/coturn",
        ALLOCATION_MEMORY,
        setups,
        "rss_kb_per_alloc",
        "kB",
        note,
    )


def ratio_row(
    name: str,
    figure: str,
    goal: Goal,
    sides: tuple[list[Record], list[Record]],
    field_name: str,
    unit: str,
    note: str,
) -> Row:
    """The quotient of one figure of both servers."""
    ours, theirs = ([run[field_name] for run in side] for side in sides)
    return Row(
        name=name,
        figure=figure,
        goal=goal,
        measured=paired_ratio(ours, theirs),
        ours=f"{number(statistics.median(ours))} {unit}",
        peer=f"{number(statistics.median(theirs))} {unit}",
        note=note,
    )


# --- stalls -------------------------------------------------------------------------------------


def stall_text(found: Record) -> str:
    """p50, p99 and maximum of one probe."""
    trips = " / ".join(number(found[name]) for name in ("p50_ms", "p99_ms", "max_ms"))
    lost = f", {found['lost']:.0f} lost" if found["lost"] else ""
    return f"{trips} ms{lost}"


def stall_row(name: str, figure: str, probes: list[Record], note: str) -> Row:
    """How long a Binding waits for its answer."""
    late = max(found["late_ms"] for found in probes)
    return Row(
        name=name,
        figure=f"Binding p99 {figure}, ms",
        goal=STALL,
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
            probes.append(probe(server, bench.extent.stall_seconds, bench.load_cpu))
            bench.say(f"  at rest {server.name}: {stall_text(probes[-1])}")
    yield stall_row("stall-rest", "at rest", probes, "50 Hz")


def stall_under_load(bench: Bench) -> Iterator[Row]:
    """The probe beside 20,000 relayed packets a second."""
    seconds = bench.extent.stall_seconds
    traffic = Traffic(cpu=bench.load_cpu, seconds=seconds + 1)
    probes: list[Record] = []
    runs: list[Record] = []
    for start in bench.starts:
        run: Record = {}
        with start() as server:
            with relaying(server, traffic, run):
                probes.append(probe(server, seconds, bench.load_cpu))
            bench.say(f"  under load {server.name}: {stall_text(probes[-1])}")
        runs.append(run)
    relayed_pps = " and ".join(f"{run['relayed_pps']:.0f}" for run in runs)
    yield stall_row("stall-load", "under load", probes, f"{relayed_pps} relayed/s")
    yield Row(
        name="loss",
        figure="lost of 20000 relayed/s, percent",
        goal=LOSS,
        measured=100 * runs[0]["loss"],
        ours=f"{runs[0]['cpu_pct']:.0f} % of a core",
        peer=f"{runs[1]['cpu_pct']:.0f} % of a core",
        note=f"coturn lost {runs[1]['loss']:.3%}",
    )


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
                probes.append(probe(server, seconds - 0.5, bench.load_cpu))
            grown.append(server.resident_kb() - before)
            after = probe(server, 1.0, bench.load_cpu)
        bench.say(f"  garbage {server.name}: {stall_text(probes[-1])}")
        if after["lost"]:
            raise LoadFailed(f"{server.name} lost {after['lost']:.0f} Bindings after the flood")
        floods.append(sent)
    rates = " and ".join(f"{sent['pps']:.0f}" for sent in floods)
    yield stall_row("stall-garbage", "under garbage", probes, f"{rates} packets/s")
    yield Row(
        name="garbage-memory",
        figure="resident memory grown by the flood, MB",
        goal=GROWTH,
        measured=grown[0] / 1024,
        ours=f"{number(grown[0] / 1024)} MB",
        peer=f"{number(grown[1] / 1024)} MB",
        note=" and ".join(f"{sent['answers']:.0f}" for sent in floods) + " answers sent to it",
    )


BENCHMARKS: dict[str, Benchmark] = {
    **{name: relayed(name) for name in TRAFFIC},
    "allocations": allocations,
    "memory": memory,
    "stall-rest": stall_at_rest,
    "stall-load": stall_under_load,
    "stall-garbage": stall_under_garbage,
}
