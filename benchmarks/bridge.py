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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from benchmarks.bridge_servers import Bridge, Start
from benchmarks.figures import Goal, Row, number, paired_ratio
from benchmarks.load import HERE, LoadFailed
from benchmarks.progress import Progress

COST = Goal(3.0, 2.0)
"""Of the data plane without native code."""
CALLS = 100
PACKETS_PER_CALL = 100
"""A second, both ways together: one each 20 ms."""
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
    limit: float
    """Seconds; see ``Progress``."""


FULL = Extent(repetitions=5, seconds=4.0, limit=300)
QUICK = Extent(repetitions=2, seconds=2.0, limit=100)


@dataclass(slots=True, kw_only=True)
class BridgeBench(Progress):
    """One run of the table: the two bridges' starters and how much is to be done."""

    starts: tuple[Start, Start]
    extent: Extent
    load_cpu: int = 1


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


def load(bridge: Bridge, calls: int, seconds: float, cpu: int, tick: int = 1000) -> Load:
    """Packets of every call for so long. Raises LoadFailed where one came out wrong."""
    command = [str(HERE / "rtpload"), "-f", str(bridge.calls), "-c", str(cpu), "-q", str(tick)]
    command += ["-r", str(calls * PACKETS_PER_CALL), "-d", str(seconds)]
    command += ["-p", ",".join(map(str, bridge.pids()))]
    limit = seconds + 30
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    if done.returncode:
        raise LoadFailed(f"rtpload: {done.stderr.strip()}")
    found = json.loads(done.stdout)
    if found["bad"] or found["undecryptable"]:
        raise LoadFailed(
            f"{bridge.name}: {found['bad']} packets came out wrong, "
            f"{found['undecryptable']} could not be decrypted"
        )
    p50, p99, p999 = found["lat_us"]
    sent = (found["sent_a"] + found["sent_b"]) / (calls * PACKETS_PER_CALL * found["secs"])
    return Load(found["loss"], sent, (p50, p99, p999), found["cpu_us_per_pkt"], found["rss_kb"])


def costs(bench: BridgeBench, secure: bool) -> Iterator[Row]:
    """What one packet takes of the CPU, and how long it stays."""
    runs: tuple[list[Load], list[Load]] = ([], [])
    for _ in range(bench.extent.repetitions):
        for start, mine in zip(bench.starts, runs, strict=True):
            with start(CALLS, secure) as bridge:
                mine.append(load(bridge, CALLS, bench.extent.seconds, cpu=0))
                bench.say(f"  {bridge.name}: {mine[-1].cost:.2f} us/packet")
                if mine[-1].loss > MOST_LOSS:
                    raise LoadFailed(f"{bridge.name} lost {mine[-1].loss:.2%}")
    name = "rtp-srtp" if secure else "rtp-rtp"
    ours, theirs = ([run.cost for run in side] for side in runs)
    yield Row(
        name=name,
        figure="CPU per packet, ours/rtpengine",
        goal=COST,
        measured=paired_ratio(ours, theirs),
        ours=f"{number(statistics.median(ours))} us",
        peer=f"{number(statistics.median(theirs))} us",
        note=f"{CALLS} calls, {CALLS * PACKETS_PER_CALL} packets/s of 172 bytes, one core",
    )
    yield Row(
        name=f"{name}-delay",
        figure="added delay p99, ms",
        measured=statistics.median(run.delays[1] for run in runs[0]) / 1000,
        ours=_delays(runs[0]),
        peer=_delays(runs[1]),
        note="p50 / p99 / p99.9, the same runs; packets come in ticks of 1 ms",
    )


def _delays(runs: list[Load]) -> str:
    medians = (statistics.median(run.delays[at] for run in runs) / 1000 for at in range(3))
    return " / ".join(number(each) for each in medians) + " ms"


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
        with start(calls, True) as bridge:
            found = load(bridge, calls, bench.extent.seconds, bench.load_cpu)
            if found.loss > MOST_LOSS:
                found = load(bridge, calls, bench.extent.seconds, bench.load_cpu)
            bench.say(
                f"  {bridge.name}, {calls} calls: {found.loss:.2%} lost, {found.sent:.0%} sent"
            )
        if found.loss > MOST_LOSS or found.sent < LEAST_SENT:
            break
        best = calls, found
        calls = int(calls * STEP)
    return best


Benchmark = Callable[[BridgeBench], Iterator[Row]]
BENCHMARKS: Mapping[str, Benchmark] = {
    "bridge-plain": lambda bench: costs(bench, False),
    "bridge-srtp": lambda bench: costs(bench, True),
    "bridge-calls": most_calls,
}
