"""
Every row of the table of calls, and how it is measured.

SIPp plays both ends on one CPU, the server under test has another one to itself. Ours and Sippy's
b2bua_simple take turns (A B A B), and a cost is the median of the quotients of neighbours. A run
counts only if each of its calls was set up, acknowledged and ended on both legs.
"""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks import sipp
from benchmarks.figures import Goal, Row, number, paired_ratio
from benchmarks.load import LoadFailed
from benchmarks.progress import Progress
from benchmarks.sip_servers import SipServer, Start
from benchmarks.sipp import Outcome

COST = Goal(0.60, 0.35)
RATE = Goal(300, 450, at_least=True)
RATE_RATIO = Goal(0.6, 1.0, at_least=True)
DELAY = Goal(20, 10)

CALLER = ("127.0.0.2", 60020)
CALL_RATE = 100.0
"""Calls per second at which costs are taken: both servers have rest at it."""
FIRST_RATE = 150.0
STEP = 1.2
HIGHEST_RATE = 900.0
"""Near it SIPp's own core is full."""
LINGER = 36.0
"""Seconds until every timer of a call that has ended is over (64*T1, and a little)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How long and how often everything is measured."""

    repetitions: int
    seconds: float
    held: int
    linger: float
    dns: int
    """Registered at a time."""
    expires: int
    """Seconds that a DN is registered for."""
    outage: float
    """Seconds that are watched after a SIP Server has stopped."""
    abandoned: int
    """Callers that vanish in memory, and that SIPp plays."""
    vanished: int
    limit: float
    """Seconds; see ``Progress``."""


FULL = Extent(
    repetitions=5,
    seconds=4.0,
    held=1000,
    linger=LINGER,
    dns=1000,
    expires=140,
    outage=160.0,
    abandoned=10_000,
    vanished=300,
    limit=700,
)
QUICK = Extent(
    repetitions=2,
    seconds=2.0,
    held=200,
    linger=0.0,
    dns=200,
    expires=40,
    outage=45.0,
    abandoned=1000,
    vanished=50,
    limit=200,
)


@dataclass(slots=True, kw_only=True)
class SipBench(Progress):
    """One run of the table: the two servers' starters and how much is to be done."""

    starts: tuple[Start, ...]
    extent: Extent
    load_cpu: int = 1

    def pair(self, stack: ExitStack) -> tuple[SipServer, SipServer]:
        """Both servers, fresh, with whom they call, until ``stack`` is closed."""
        first, second = (stack.enter_context(self.fresh(start)) for start in self.starts)
        return first, second

    @contextlib.contextmanager
    def fresh(self, start: Start) -> Iterator[SipServer]:
        """One server with whom it calls, who has answered a call of it already."""
        with start() as server, sipp.callee(server.callee, self.load_cpu):
            for _ in range(20):
                if call(self, server, 10.0, 0.5).outcome.is_clean:
                    break
            checked(server, call(self, server, 50.0, 1.0))
            yield server


@dataclass(frozen=True, slots=True)
class Run:
    """Calls through one server, and what they took of it."""

    outcome: Outcome
    cpu_ms: float
    """CPU time of the server per call."""


Benchmark = Callable[[SipBench], Iterator[Row]]


def call(bench: SipBench, server: SipServer, rate: float, seconds: float) -> Run:
    """Calls for so long, and the CPU time of the server from the first INVITE to the last BYE."""
    number_of_calls = max(1, round(rate * seconds))
    before = server.cpu_ms()
    outcome = sipp.calls(server.address, CALLER, rate, number_of_calls, cpu=bench.load_cpu)
    return Run(outcome, (server.cpu_ms() - before) / number_of_calls)


def checked(server: SipServer, run: Run) -> Run:
    """The run, if it was clean; a server that leaves calls undone looks cheaper than it is."""
    outcome = run.outcome
    if not outcome.is_clean:
        reason = next(iter(outcome.errors.splitlines()[1:]), "no error was noted")
        raise LoadFailed(
            f"{server.name}: {outcome.failed} of {outcome.calls} calls failed, "
            f"{outcome.retransmissions} retransmissions at {outcome.offered:g}/s: {reason}"
        )
    return run


# --- cost ----------------------------------------------------------------------------------------


def costs(bench: SipBench) -> Iterator[Row]:
    """What one call takes, and how long its caller waits."""
    extent = bench.extent
    runs: tuple[list[Run], list[Run]] = ([], [])
    with ExitStack() as stack:
        servers = bench.pair(stack)
        before = [server.cpu_ms() for server in servers]
        for _ in range(extent.repetitions):
            for server, mine in zip(servers, runs, strict=True):
                mine.append(checked(server, call(bench, server, CALL_RATE, extent.seconds)))
                bench.say(f"  {server.name}: {mine[-1].cpu_ms:.2f} ms/call")
        yield cost_row(runs)
        yield delay_row(runs)
        if extent.linger:
            bench.pause(extent.linger)
            spent = [server.cpu_ms() - was for server, was in zip(servers, before, strict=True)]
            yield whole_row(spent, sum(run.outcome.calls for run in runs[0]))


def cost_row(runs: tuple[list[Run], list[Run]]) -> Row:
    """CPU per call, ours over Sippy's."""
    ours, theirs = ([run.cpu_ms for run in side] for side in runs)
    return Row(
        name="call-cpu",
        figure="CPU per call, ours/sippy",
        goal=COST,
        measured=paired_ratio(ours, theirs),
        ours=f"{number(statistics.median(ours))} ms",
        peer=f"{number(statistics.median(theirs))} ms",
        note=f"{CALL_RATE:g} calls/s",
    )


def whole_row(spent: list[float], calls: int) -> Row:
    """The same, and everything that a server still does for a call after its end."""
    ours, theirs = (each / calls for each in spent)
    return Row(
        name="call-cpu-whole",
        figure="CPU per call with all its timers, ours/sippy",
        goal=COST,
        measured=paired_ratio([ours], [theirs]),
        ours=f"{number(ours)} ms",
        peer=f"{number(theirs)} ms",
        note=f"{calls} calls each, {LINGER:g} s after the last, idle time included",
    )


def delay_row(runs: tuple[list[Run], list[Run]]) -> Row:
    """From INVITE to 200, by SIPp's clock, which ticks every 4 ms."""

    def median(side: list[Run], fraction: float) -> float:
        return statistics.median(run.outcome.delay(fraction) for run in side)

    texts = [
        " / ".join(number(median(side, fraction)) for fraction in (0.5, 0.99, 1.0)) + " ms"
        for side in runs
    ]
    return Row(
        name="call-delay",
        figure="INVITE to 200 p99, ms",
        goal=DELAY,
        measured=median(runs[0], 0.99),
        ours=texts[0],
        peer=texts[1],
        note=f"p50 / p99 / max at {CALL_RATE:g} calls/s; SIPp's clock ticks every 4 ms",
    )


# --- rate ----------------------------------------------------------------------------------------


def highest_rate(bench: SipBench) -> Iterator[Row]:
    """The most calls a second of which none fails; a rate that fails is tried twice."""
    found: list[Run] = []
    for start in bench.starts:
        with bench.fresh(start) as server:
            best, rate = call(bench, server, 50.0, 1.0), FIRST_RATE
            while rate <= HIGHEST_RATE:
                run = call(bench, server, rate, bench.extent.seconds)
                if not run.outcome.is_clean:
                    run = call(bench, server, rate, bench.extent.seconds)
                bench.say(
                    f"  {server.name} at {rate:.0f}/s: {run.outcome.failed} failed, "
                    f"{run.outcome.retransmissions} retransmissions, {run.cpu_ms:.2f} ms/call"
                )
                if not run.outcome.is_clean:
                    break
                best, rate = run, rate * STEP
            found.append(checked(server, best))
    yield rate_row(found)
    yield Row(
        name="call-rate-ratio",
        figure="highest clean rate, ours/sippy",
        goal=RATE_RATIO,
        measured=found[0].outcome.offered / found[1].outcome.offered,
        ours=f"{found[0].cpu_ms:.2f} ms/call",
        peer=f"{found[1].cpu_ms:.2f} ms/call",
        note=f"CPU at that rate, {bench.extent.seconds:g} s",
    )


def rate_row(found: list[Run]) -> Row:
    """Calls per second of one core."""
    ours, theirs = (run.outcome for run in found)
    return Row(
        name="call-rate",
        figure="highest clean calls/s on one core",
        goal=RATE,
        measured=ours.offered,
        ours=f"p99 {number(ours.delay(0.99))} ms",
        peer=f"{theirs.offered:.0f}/s, p99 {number(theirs.delay(0.99))} ms",
        note=f"no call failed, at most 1 retransmission in 200 calls; steps of {STEP:g}",
    )


# --- memory --------------------------------------------------------------------------------------


def memory(bench: SipBench) -> Iterator[Row]:
    """Resident memory of a call that stands, each time in a fresh server."""
    held = bench.extent.held
    each: list[float] = []
    for start in bench.starts:
        with bench.fresh(start) as server:
            before = server.resident_kb()
            each.append((most_resident(bench, server, held) - before) / held)
            bench.say(f"  {server.name}: {each[-1]:.1f} kB")
    yield Row(
        name="call-memory",
        figure="resident memory per call, kB",
        measured=each[0],
        ours=f"{number(each[0])} kB",
        peer=f"{number(each[1])} kB",
        note=f"{held} calls that stand at once, ours with 4 media sockets each",
    )


def most_resident(bench: SipBench, server: SipServer, held: int) -> int:
    """The most memory that a server has while so many calls stand."""
    found: list[Outcome] = []
    hold = held / CALL_RATE + 2

    def generate() -> None:
        address = server.address
        outcome = sipp.calls(address, CALLER, CALL_RATE, held, hold=hold, cpu=bench.load_cpu)
        found.append(outcome)

    load = threading.Thread(target=generate)
    load.start()
    most = 0
    while load.is_alive():
        most = max(most, server.resident_kb())
        time.sleep(0.2)
    load.join()
    if not found or found[0].failed:
        raise LoadFailed(f"{server.name}: not all of {held} calls stood")
    return most
