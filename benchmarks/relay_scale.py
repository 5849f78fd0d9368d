"""
How much one core carries, what an allocation takes, and how the cost grows with their number.

The highest rate is looked for with the server alone on CPU 0 and the generator on another; it needs
a machine that does nothing else, since one stall of either core is a loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

from benchmarks import plot
from benchmarks.figures import Row, number, paired_ratio
from benchmarks.load import LoadFailed, Record, Traffic, search
from benchmarks.relay_bench import (
    ALLOCATION_CPU,
    ALLOCATION_MEMORY,
    ALLOCATION_RATE,
    HIGHEST_RATE,
    Bench,
    Benchmark,
    pair,
    run,
)
from benchmarks.relay_costs import (
    Runs,
    alternate,
    facts,
    medians,
    milliseconds,
    notes,
    ratio_row,
    round_trips,
)
from benchmarks.servers import Server

LOWEST, HIGHEST = 16_000, 250_000
"""Packets a second that a search offers."""
RELAYED_TWICE = 2
"""How often each packet offered is relayed: to the peer and back."""
MOST_SKIPPED = 0.02
GENERATOR_FULL = 0.95
"""Of its core."""
SEARCH_TICK = 200
"""Microseconds; in ticks of a millisecond a high rate would come in blows."""


# --- the highest rate ---------------------------------------------------------------------------


def max_rate(bench: Bench) -> Iterator[Row]:
    """The most that one core relays with at most 0.1 % loss."""
    extent = bench.extent
    rates: tuple[list[float], list[float]] = ([], [])
    bounded = False
    with ExitStack() as stack:
        servers = pair(stack, bench.starts)
        for _ in range(extent.search_repetitions):
            for server, mine in zip(servers, rates, strict=True):
                found, by_generator = highest(bench, server)
                mine.append(found)
                bounded = bounded or (by_generator and server is servers[0])
    note = f"172 B, 200 clients, median of {extent.search_repetitions} searches, steps of 6 %"
    if bounded:
        note += "; ours is at least this: the generator's core was full"
    ours, theirs = (sorted(side)[len(side) // 2] for side in rates)
    yield Row(
        name="max-rate",
        figure="relayed/s on one core at <= 0.1 % loss, ours/coturn",
        goal=HIGHEST_RATE,
        measured=paired_ratio(*rates),
        ours=f"{ours:.0f} /s",
        peer=f"{theirs:.0f} /s",
        note=note,
        facts={"ours_pps": rates[0], "peer_pps": rates[1]},
    )


def highest(bench: Bench, server: Server) -> tuple[float, bool]:
    """Packets relayed a second, and whether it was the generator that could not do more."""
    traffic = Traffic(cpu=bench.load_cpu, seconds=bench.extent.search_seconds, tick=SEARCH_TICK)
    trials, found = search(server, traffic, LOWEST, HIGHEST)
    if not found:
        raise LoadFailed(f"{server.name} loses packets even at {LOWEST} a second")
    bench.say(f"  max-rate {server.name}: {found:.0f} relayed/s")
    return found, limited_by_generator(trials, found)


def limited_by_generator(trials: list[Record], found: float) -> bool:
    """Whether in the trial next above what was found the generator had no time left."""
    above = [each for each in trials if each["rate"] * RELAYED_TWICE > found * 1.001]
    if not above:
        return True  # of what may be offered at most, all was carried
    first = min(above, key=lambda each: each["rate"])
    skipped = first["skipped"] > MOST_SKIPPED * (first["skipped"] + first["offered"])
    return skipped or first["self_us_per_pkt"] * first["relayed_pps"] / 1e6 > GENERATOR_FULL


# --- allocations --------------------------------------------------------------------------------


def allocations(bench: Bench) -> Iterator[Row]:
    """Allocate with the full challenge, as fast as the shared core gives."""
    traffic = Traffic(mode="alloc", clients=bench.extent.allocations, options=("-W", "64"))
    setups: Runs = ([], [])
    with ExitStack() as stack:
        servers = pair(stack, bench.starts)
        for _ in range(bench.extent.repetitions):
            for server, mine in zip(servers, setups, strict=True):
                mine.append(run(server, traffic)["setup"])
                bench.say(f"  alloc {server.name}: {mine[-1]['allocs_per_s']:.0f}/s")
    cost = ratio_row("alloc-cpu", "CPU per allocation, ours/coturn", setups, "alloc_cpu_us", "us")
    yield replace(cost, goal=ALLOCATION_CPU, note="401 and Allocate")
    figure = "allocations per second, ours/coturn"
    rate = ratio_row("alloc-rate", figure, setups, "allocs_per_s", "/s")
    note = "64 outstanding, generator on the same core"
    yield replace(rate, goal=ALLOCATION_RATE, note=note)


def memory(name: str) -> Benchmark:
    """Resident memory of an idle allocation, each time in a fresh server."""

    def measure(bench: Bench) -> Iterator[Row]:
        traffic = Traffic(mode="idle", clients=bench.extent.idle, seconds=0.2)
        setups: Runs = ([], [])
        for _ in range(bench.extent.memory_repetitions):
            for start, mine in zip(bench.sides(name), setups, strict=True):
                with start() as server:
                    mine.append(run(server, traffic)["setup"])
                bench.say(f"  {name} {server.name}: {mine[-1]['rss_kb_per_alloc']:.1f} kB")
        figure = "resident memory per idle allocation, ours/coturn"
        row = ratio_row(name, figure, setups, "rss_kb_per_alloc", "kB")
        note = f"{traffic.clients} allocations in a fresh server"
        yield replace(row, goal=ALLOCATION_MEMORY, note=note)

    return measure


# --- growth -------------------------------------------------------------------------------------


def growth(bench: Bench) -> Iterator[Row]:
    """The same 20,000 relayed packets a second, from few allocations and from many."""
    costs: tuple[list[float], list[float]] = ([], [])
    for count in bench.extent.growth:
        traffic = Traffic(clients=count, seconds=min(2.0, bench.extent.seconds))
        with ExitStack() as stack:
            servers = pair(stack, bench.starts)
            name = f"growth-{count}"
            runs = alternate(bench, name, servers, traffic, bench.extent.growth_repetitions)
        for side, mine in zip(runs, costs, strict=True):
            mine.append(medians(side, "cpu_us_per_pkt"))
        yield growth_row(name, traffic, runs)
    yield growth_summary(bench, costs)


def growth_row(name: str, traffic: Traffic, runs: Runs) -> Row:
    """The cost and the delay with one number of allocations."""
    figure = f"CPU per relayed packet, {traffic.clients} allocations, ours/coturn"
    row = ratio_row(name, figure, runs, "cpu_us_per_pkt", "us")
    ours, theirs = (milliseconds(round_trips(side)) for side in runs)
    trips = f"round trip {ours}, coturn {theirs}"
    return replace(row, note="; ".join([*notes(traffic, runs), trips]), facts=facts(runs))


def growth_summary(bench: Bench, costs: tuple[list[float], list[float]]) -> Row:
    """How much dearer a packet is among many; the plot of it goes to the table's."""
    counts = bench.extent.growth
    bench.plots["growth"] = plot.lines(
        {"ours": costs[0], "coturn": costs[1]},
        counts,
        title="CPU us per relayed packet by allocations, 20,000 packets/s in all",
        across="allocations",
    )
    ours, theirs = (f"{number(side[0])} to {number(side[-1])} us" for side in costs)
    return Row(
        name="growth",
        figure=f"CPU per packet with {counts[-1]} allocations, over that with {counts[0]}",
        measured=costs[0][-1] / costs[0][0],
        ours=ours,
        peer=theirs,
        note=f"coturn {number(costs[1][-1] / costs[1][0])}",
    )


SCALE: dict[str, Benchmark] = {
    "max-rate": max_rate,
    "allocations": allocations,
    "alloc-memory": memory("alloc-memory"),
    "shared-memory": memory("shared-memory"),
    "growth": growth,
}
