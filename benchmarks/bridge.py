"""
Every row of the table of bridges, and how it is measured.

rtpload plays both endpoints of each call. For costs it shares one core with the bridge and sends
in ticks of a millisecond: no waking up across cores, which is dear and the same for everybody. Ours
and rtpengine take turns (A B A B), and a cost is the median of the quotients of neighbours. For the
highest number of calls the bridge has a core to itself.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from benchmarks import plot
from benchmarks.bridge_servers import Bridge, Start
from benchmarks.figures import Goal, Row, number, paired_ratio
from benchmarks.load import HERE, LoadFailed, Record, background, probe
from benchmarks.progress import Progress
from benchmarks.sdes import AES_CM, CLEAR, GCM
from benchmarks.servers import NATIVE

NATIVE_COST = Goal(0.80, 0.65)
TWIN = Goal(3.0, 2.0)
"""What a packet may cost in pure Python, in parts of what it costs rtpengine."""
STALL = Goal(20, 5)
RATE = 10_000
"""Packets a second where their cost is measured, however many calls they belong to."""
CALLS = 100
PACKETS_PER_CALL = 100
"""A second, both ways together: one each 20 ms."""
FASTEST_CALL = 2000
"""Packets a second of one call, both ways together; an end with more than 2,000 is a loop to us."""
MOST_LOSS = 0.001
LEAST_SENT = 0.98
STEP = 1.2
MOST = 1000
"""Calls; with more the generator's own core is full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How long and how often everything is measured."""

    repetitions: int
    seconds: float
    growth: tuple[int, ...]
    """How many calls there are, from few to many."""
    growth_repetitions: int
    stall_seconds: float
    limit: float
    """Seconds; see ``Progress``."""


FULL = Extent(
    repetitions=5,
    seconds=4.0,
    growth=(1, 50, 250, 1000),
    growth_repetitions=3,
    stall_seconds=10.0,
    limit=900,
)
QUICK = Extent(
    repetitions=2,
    seconds=2.0,
    growth=(1, 50, 250, 1000),
    growth_repetitions=1,
    stall_seconds=4.0,
    limit=300,
)


@dataclass(slots=True, kw_only=True)
class BridgeBench(Progress):
    """
    One run of the table.

    ``starts`` are ours and the peer; ``twin`` is ours with its data plane in pure Python.
    """

    starts: tuple[Start, Start]
    twin: Start
    extent: Extent
    plane: str = ""
    """Which data plane the first of ``starts`` runs."""
    load_cpu: int = 1


Benchmark = Callable[[BridgeBench], Iterator[Row]]


@dataclass(frozen=True, slots=True)
class Load:
    """What rtpload saw."""

    loss: float
    sent: float
    """Of what was to be sent; less than all where the generator's own core is full."""
    delays: tuple[float, float, float]
    """p50, p99 and p99.9 of the way through the bridge, microseconds."""
    cost: float
    """CPU microseconds of the bridge for each packet."""
    resident_kb: float


def command(bridge: Bridge, rate: int, seconds: float, cpu: int) -> list[str]:
    """How rtpload is told to send packets of every call."""
    told = [str(HERE / "rtpload"), "-f", str(bridge.calls), "-c", str(cpu), "-q", "1000"]
    told += ["-r", str(rate), "-d", str(seconds)]
    return [*told, "-p", ",".join(map(str, bridge.pids()))]


def load(bridge: Bridge, rate: int, seconds: float, cpu: int) -> Load:
    """Packets of every call for so long. Raises LoadFailed where one came out wrong."""
    told, limit = command(bridge, rate, seconds, cpu), seconds + 30
    done = subprocess.run(told, capture_output=True, text=True, timeout=limit, check=False)
    if done.returncode:
        raise LoadFailed(f"rtpload: {done.stderr.strip()}")
    return checked(bridge.name, rate, done.stdout)


def checked(name: str, rate: int, output: str) -> Load:
    """What rtpload printed, if every packet that came out was right. Raises LoadFailed."""
    found = json.loads(output)
    if found["bad"] or found["undecryptable"]:
        raise LoadFailed(
            f"{name}: {found['bad']} packets came out wrong, "
            f"{found['undecryptable']} could not be decrypted"
        )
    p50, p99, p999 = found["lat_us"]
    sent = (found["sent_a"] + found["sent_b"]) / (rate * found["secs"])
    return Load(found["loss"], sent, (p50, p99, p999), found["cpu_us_per_pkt"], found["rss_kb"])


Runs = tuple[list[Load], list[Load]]
"""What was seen of both bridges, ours first."""


def rate_of(calls: int) -> int:
    """Packets a second where cost is measured: the same for all but the fewest calls."""
    return min(RATE, FASTEST_CALL * calls)


def alternate(
    bench: BridgeBench,
    starts: tuple[Start, Start],
    suite: str,
    calls: int = CALLS,
    repetitions: int = 0,
) -> Runs:
    """The runs of both bridges, A B A B, each time with fresh ones."""
    runs: Runs = ([], [])
    for _ in range(repetitions or bench.extent.repetitions):
        for start, mine in zip(starts, runs, strict=True):
            with start(calls, suite) as bridge:
                mine.append(load(bridge, rate_of(calls), bench.extent.seconds, cpu=0))
                said = f"{bridge.name}, {calls} calls: {mine[-1].cost:.2f} us/packet"
                bench.say(f"  {said}, {mine[-1].loss:.2%} lost")
    return runs


def costs(name: str, suite: str) -> Benchmark:
    """What one packet takes of the CPU, and how long it stays."""

    def measure(bench: BridgeBench) -> Iterator[Row]:
        twin = name.startswith("twin")
        starts = (bench.twin, bench.starts[1]) if twin else bench.starts
        runs = alternate(bench, starts, suite)
        lost = max(run.loss for side in runs for run in side)
        if lost > MOST_LOSS:
            raise LoadFailed(f"{lost:.2%} of the packets of one run were lost")
        goal = NATIVE_COST if bench.plane == NATIVE and not twin else TWIN
        note = f"{CALLS} calls, {RATE} packets/s of 172 bytes, one core; {suite or 'no SRTP'}"
        yield replace(cost_row(name, runs), goal=goal, note=note)
        yield delay_row(f"{name}-delay", runs)

    return measure


def cost_row(name: str, runs: Runs) -> Row:
    """CPU per packet, ours over rtpengine's."""
    ours, theirs = ([run.cost for run in side] for side in runs)
    return Row(
        name=name,
        figure="CPU per packet, ours/rtpengine",
        measured=paired_ratio(ours, theirs),
        ours=f"{number(statistics.median(ours))} us",
        peer=f"{number(statistics.median(theirs))} us",
        facts=facts(runs),
    )


def facts(runs: Runs) -> dict[str, list[float]]:
    """The figures behind a row, for programs."""
    found = {}
    for who, side in zip(("ours", "peer"), runs, strict=True):
        found[f"{who}_us"] = [run.cost for run in side]
        found[f"{who}_delay_ms"] = delays(side)
        found[f"{who}_loss"] = [run.loss for run in side]
    return found


def delay_row(name: str, runs: Runs) -> Row:
    """How long a packet stays."""
    ours, theirs = (" / ".join(map(number, delays(side))) + " ms" for side in runs)
    return Row(
        name=name,
        figure="added delay p99, ms",
        measured=delays(runs[0])[1],
        ours=ours,
        peer=theirs,
        note="p50 / p99 / p99.9, the same runs; packets come in ticks of 1 ms",
    )


def delays(runs: list[Load]) -> list[float]:
    """p50, p99 and p99.9 in milliseconds."""
    return [statistics.median(run.delays[at] for run in runs) / 1000 for at in range(3)]


# --- growth -------------------------------------------------------------------------------------


def growth(bench: BridgeBench) -> Iterator[Row]:
    """Up to 10,000 packets a second in all, of few calls and of many; one endpoint is encrypted."""
    extent = bench.extent
    sides: tuple[list[float], list[float]] = ([], [])
    for calls in extent.growth:
        runs = alternate(bench, bench.starts, AES_CM, calls, extent.growth_repetitions)
        for side, mine in zip(runs, sides, strict=True):
            mine.append(statistics.median(run.cost for run in side))
        yield growth_row(calls, runs)
    bench.plots["growth"] = plot.lines(
        {"ours": sides[0], "rtpengine": sides[1]},
        extent.growth,
        title="CPU us per packet by calls, RTP to SRTP, up to 10,000 packets/s in all",
        across="calls",
    )
    ours, theirs = (f"{number(side[0])} to {number(side[-1])} us" for side in sides)
    yield Row(
        name="growth",
        figure=f"CPU per packet with {extent.growth[-1]} calls, over that with {extent.growth[0]}",
        measured=sides[0][-1] / sides[0][0],
        ours=ours,
        peer=theirs,
        note=f"rtpengine {number(sides[1][-1] / sides[1][0])}",
    )


def growth_row(calls: int, runs: Runs) -> Row:
    """The cost and the delay with one number of calls."""
    row = cost_row(f"growth-{calls}", runs)
    ours, theirs = (" / ".join(map(number, delays(side))) + " ms" for side in runs)
    lost = " and ".join(f"{max(run.loss for run in side):.2%}" for side in runs)
    offered = f"RTP to SRTP, {rate_of(calls)} packets/s, {lost} lost"
    note = f"{offered}; added delay {ours}, rtpengine {theirs}"
    return replace(row, figure=f"CPU per packet, {calls} calls, ours/rtpengine", note=note)


# --- stalls -------------------------------------------------------------------------------------


def stall(bench: BridgeBench) -> Iterator[Row]:
    """How long the bridge keeps whoever asks its control port, beside the packets of its calls."""
    found = [stalled(bench, start) for start in bench.starts]
    texts = [" / ".join(number(each[name]) for name in PROBED) + " ms" for each in found]
    late = max(each["late_ms"] for each in found)
    yield Row(
        name="bridge-stall",
        figure="answer p99 under load, ms",
        goal=STALL,
        measured=found[0]["p99_ms"],
        ours=texts[0],
        peer=texts[1],
        note=f"p50 / p99 / max; {CALLS} calls, {RATE} packets/s, SRTP; ours is asked a Binding by "
        f"its reactor, rtpengine a ping; probe late by up to {number(late)} ms",
    )


PROBED = ("p50_ms", "p99_ms", "max_ms")


def stalled(bench: BridgeBench, start: Start) -> Record:
    """The probe of one bridge."""
    seconds, cpu = bench.extent.stall_seconds, bench.load_cpu
    with start(CALLS, AES_CM) as bridge:
        with background(command(bridge, RATE, seconds + 1, cpu)) as process:
            time.sleep(1.5)  # rtpload's own warm-up second
            found = probe(bridge.control_port, seconds, cpu, bridge.ask)
            output, errors = process.communicate(timeout=seconds + 30)
        if process.returncode:
            raise LoadFailed(f"rtpload: {errors.strip()}")
        checked(bridge.name, RATE, output)
    bench.say(f"  {bridge.name}: p99 {found['p99_ms']:.1f} ms")
    return found


# --- the most calls -----------------------------------------------------------------------------


def most_calls(bench: BridgeBench) -> Iterator[Row]:
    """The most calls at once, one endpoint of each encrypted, with next to no loss."""
    (ours, load_of_ours), (theirs, load_of_theirs) = (_most(bench, start) for start in bench.starts)
    yield Row(
        name="calls",
        figure="audio calls at once on one core, loss <= 0.1 %",
        measured=float(ours),
        ours=f"p99 {number(load_of_ours.delays[1] / 1000)} ms",
        peer=f"{theirs}, p99 {number(load_of_theirs.delays[1] / 1000)} ms",
        note=f"RTP to SRTP, {PACKETS_PER_CALL} packets/s each; steps of {STEP:g}, up to {MOST}",
    )


def _most(bench: BridgeBench, start: Start) -> tuple[int, Load]:
    """How many calls one bridge carries, and how."""
    calls, best = CALLS, (0, Load(1.0, 0.0, (0, 0, 0), 0, 0))
    while calls <= MOST:
        rate = calls * PACKETS_PER_CALL
        with start(calls, AES_CM) as bridge:
            found = load(bridge, rate, bench.extent.seconds, bench.load_cpu)
            if found.loss > MOST_LOSS:
                found = load(bridge, rate, bench.extent.seconds, bench.load_cpu)
            bench.say(
                f"  {bridge.name}, {calls} calls: {found.loss:.2%} lost, {found.sent:.0%} sent"
            )
        if found.loss > MOST_LOSS or found.sent < LEAST_SENT:
            break
        best = calls, found
        calls = int(calls * STEP)
    return best


BENCHMARKS: Mapping[str, Benchmark] = {
    "rtp-rtp": costs("rtp-rtp", CLEAR),
    "rtp-srtp": costs("rtp-srtp", AES_CM),
    "rtp-gcm": costs("rtp-gcm", GCM),
    "twin-rtp-srtp": costs("twin-rtp-srtp", AES_CM),
    "bridge-growth": growth,
    "bridge-stall": stall,
    "bridge-calls": most_calls,
}
