"""
What a relayed packet costs, and how long it stays.

Costs are taken in one regime only: server and generator share CPU 0 and packets come every
millisecond, so that no wake-up of another core is in the figure. The two servers take turns
(A B A B) and a cost is the median of the quotients of neighbours; absolute microseconds move with
the machine.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

from benchmarks.figures import Row, number, paired_ratio
from benchmarks.load import LoadFailed, Record, Traffic
from benchmarks.relay_bench import DELAY, TWIN, Bench, Benchmark, pair, run
from benchmarks.servers import NATIVE, Server, stream_plane

BUSY_LIMIT = 85.0
"""Percent of the shared core; above it a relay batches and looks cheaper than it is."""
LOSS_LIMIT = 0.001
LOWEST_RATE = 1_250

TRAFFIC = {
    "udp-172": Traffic(size=172),
    "udp-1200": Traffic(size=1200),
    "shared-172": Traffic(size=172, options=("-B",)),
    "shared-1200": Traffic(size=1200, options=("-B",)),
    "trains": Traffic(mode="up", size=1200, options=("-T", "8")),
    "trains-40k": Traffic(mode="up", size=1200, options=("-T", "8"), rate=40_000),
    "indications": Traffic(options=("-i",)),
    "tcp": Traffic(leg="tcp"),
    "tls": Traffic(leg="tls"),
    "twin-172": Traffic(size=172),
}
WITH_DELAY = ("udp-172", "shared-172")
"""Whose delay has a row of its own; of the others it is in the file."""
TLS_SUITES = {
    0x1301: "TLS 1.3 AES-128-GCM",
    0x1302: "TLS 1.3 AES-256-GCM",
    0x1303: "TLS 1.3 ChaCha20-Poly1305",
    0xC02F: "TLS 1.2 AES-128-GCM",
    0xC030: "TLS 1.2 AES-256-GCM",
    0xCCA8: "TLS 1.2 ChaCha20-Poly1305",
}


def relayed(name: str) -> Benchmark:
    """The cost of one kind of traffic, and for the plainest kinds its delay."""

    def measure(bench: Bench) -> Iterator[Row]:
        with ExitStack() as stack:
            servers = pair(stack, bench.sides(name))
            insist_on_stream(bench, servers[0], TRAFFIC[name].leg)
            traffic = bearable(bench, servers[0], TRAFFIC[name])
            runs = alternate(bench, name, servers, traffic, bench.extent.repetitions)
        yield cost_row(bench, name, traffic, runs)
        if name in WITH_DELAY:
            yield delay_row(name.replace("-172", "-delay"), traffic, runs)

    return measure


def insist_on_stream(bench: Bench, server: Server, leg: str) -> None:
    """Raises LoadFailed where a stream of the native plane's row is not the native plane's."""
    if bench.plane != NATIVE or leg == "udp":
        return
    moved_by = stream_plane(server, leg)
    if moved_by != NATIVE:
        raise LoadFailed(f"no native row: TURN over {leg.upper()} is moved by: {moved_by}")


def busy(found: Record) -> float:
    """Percent of the shared core that server and generator took together."""
    return found["cpu_pct"] + found["self_us_per_pkt"] * found["relayed_pps"] / 1e4


def saturated(found: Record) -> bool:
    """Whether the core, or the server, could not keep up."""
    return busy(found) > BUSY_LIMIT or found["loss"] > LOSS_LIMIT or found["tcp_full"] > 0


def bearable(bench: Bench, server: Server, traffic: Traffic) -> Traffic:
    """The traffic at the highest rate, halved from its own, that leaves the core some rest."""
    rate = traffic.rate
    while saturated(run(server, traffic.at(rate, 0.8))["run"]) and rate > LOWEST_RATE:
        rate //= 2
        bench.say(f"  too much for one core, trying {rate} packets/s")
    return traffic.at(rate, bench.extent.seconds)


Runs = tuple[list[Record], list[Record]]
"""What was seen of both servers, ours first."""


def alternate(
    bench: Bench, name: str, servers: tuple[Server, Server], traffic: Traffic, repetitions: int
) -> Runs:
    """The runs of both servers, A B A B."""
    runs: Runs = ([], [])
    for repetition in range(repetitions):
        for server, mine in zip(servers, runs, strict=True):
            records = run(server, traffic)
            mine.append({**records["setup"], **records["run"]})
            cost = mine[-1]["cpu_us_per_pkt"]
            bench.say(f"  {name} {repetition + 1} {server.name}: {cost:.1f} us/packet")
    return runs


def medians(runs: list[Record], name: str) -> float:
    """The median of one figure."""
    return statistics.median(found[name] for found in runs)


def round_trips(side: list[Record]) -> list[float]:
    """p50, p99 and p99.9, in milliseconds; one way where nothing comes back."""
    way = "rtt_us" if medians(side, "down_rcvd") else "ow_us"
    return [medians(side, f"{way}_{mark}") / 1000 for mark in ("p50", "p99", "p999")]


def facts(runs: Runs) -> dict[str, list[float]]:
    """The figures behind a row, for programs."""
    found = {}
    for who, side in zip(("ours", "peer"), runs, strict=True):
        found[f"{who}_us"] = [each["cpu_us_per_pkt"] for each in side]
        found[f"{who}_delay_ms"] = [round(each, 4) for each in round_trips(side)]
        found[f"{who}_loss"] = [each["loss"] for each in side]
    return found


def cost_row(bench: Bench, name: str, traffic: Traffic, runs: Runs) -> Row:
    """CPU per relayed packet, ours over coTURN's."""
    row = ratio_row(name, "CPU per relayed packet, ours/coturn", runs, "cpu_us_per_pkt", "us")
    goal = TWIN if name.startswith("twin") else bench.cost_goal(name)
    return replace(row, goal=goal, note=", ".join(notes(traffic, runs)), facts=facts(runs))


def notes(traffic: Traffic, runs: Runs) -> list[str]:
    """What must be known beside a cost."""
    found = [f"{traffic.rate} offered/s"]
    ports = [side[-1]["relay_ports"] for side in runs]
    if ports[0] < traffic.clients:
        found.append(f"{ports[0]:.0f} and {ports[1]:.0f} relay ports")
    if traffic.leg == "tls":
        suites = [round(side[-1]["tls_suite"]) for side in runs]
        found.append(" and ".join(TLS_SUITES.get(each, f"suite {each:04x}") for each in suites))
    if any(saturated(each) for side in runs for each in side):
        worst = max(each["loss"] for side in runs for each in side)
        found.append(f"SATURATED, loss up to {worst:.2%}")
    return found


def milliseconds(values: list[float]) -> str:
    """Some of them, behind one another."""
    return " / ".join(map(number, values)) + " ms"


def delay_row(name: str, traffic: Traffic, runs: Runs) -> Row:
    """Round trip through the relay and back."""
    return Row(
        name=name,
        figure="round trip p99, ms",
        goal=DELAY,
        measured=medians(runs[0], "rtt_us_p99") / 1000,
        ours=milliseconds(round_trips(runs[0])),
        peer=milliseconds(round_trips(runs[1])),
        note=f"p50 / p99 / p99.9 at {traffic.rate} offered/s",
    )


def ratio_row(name: str, figure: str, sides: Runs, field: str, unit: str) -> Row:
    """The quotient of one figure of both servers."""
    ours, theirs = ([each[field] for each in side] for side in sides)
    return Row(
        name=name,
        figure=figure,
        measured=paired_ratio(ours, theirs),
        ours=f"{number(statistics.median(ours))} {unit}",
        peer=f"{number(statistics.median(theirs))} {unit}",
    )


def bare(bench: Bench) -> Iterator[Row]:
    """What the kernel alone costs where ports are shared: nobody's packet is cheaper than this."""
    with ExitStack() as stack:
        servers = pair(stack, (bench.bare, bench.starts[1]))
        traffic = TRAFFIC["shared-172"].at(TRAFFIC["shared-172"].rate, bench.extent.seconds)
        runs = alternate(bench, "bare", servers, traffic, bench.extent.repetitions)
    figure = "CPU per relayed packet, a bare loop/coturn"
    row = ratio_row("bare-172", figure, runs, "cpu_us_per_pkt", "us")
    note = "traffic of shared-172; one port, nothing checked or counted, batches of 64"
    yield replace(row, note=note, facts=facts(runs))


COSTS: dict[str, Benchmark] = {name: relayed(name) for name in TRAFFIC} | {"bare-172": bare}
