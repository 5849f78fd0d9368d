"""What one run of the relay's table is: its servers, its extent, and the goals of its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

from benchmarks.figures import Goal, Row
from benchmarks.load import Record, Traffic, turnload
from benchmarks.progress import Progress
from benchmarks.servers import NATIVE, Server, Start

TWIN = Goal(3.0, 2.0)
"""What a packet may cost in pure Python, in parts of what it costs coTURN."""
NATIVE_COST = {
    "udp-172": Goal(0.95, 0.80),
    "udp-1200": Goal(0.95, 0.80),
    "shared-172": Goal(0.55, 0.42),
    "shared-1200": Goal(0.55, 0.42),
    "trains": Goal(0.50, 0.35),
    "trains-40k": Goal(0.50, 0.35),
    "indications": Goal(0.95, 0.80),
    "tcp": Goal(0.90, 0.65),
    "tls": Goal(1.30, 0.90),
}
"""And what it may cost in native code."""
HIGHEST_RATE = Goal(1.15, 1.5, at_least=True)
DELAY = Goal(20, 5)
LOSS = Goal(0.1, 0.01)
ALLOCATION_CPU = Goal(2.0, 1.0)
ALLOCATION_RATE = Goal(0.5, 1.0, at_least=True)
ALLOCATION_MEMORY = Goal(0.5, 0.25)
STALL = Goal(20, 5)
STALL_IN_GARBAGE = Goal(50, 20)
GROWTH = Goal(20, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How long and how often everything is measured."""

    repetitions: int
    seconds: float
    allocations: int
    idle: int
    memory_repetitions: int
    stall_seconds: float
    search_repetitions: int
    search_seconds: float
    growth: tuple[int, ...]
    """How many allocations there are, from few to many."""
    growth_repetitions: int
    limit: float
    """Seconds; see ``Progress``."""


FULL = Extent(
    repetitions=5,
    seconds=3.0,
    allocations=3000,
    idle=2000,
    memory_repetitions=3,
    stall_seconds=10.0,
    search_repetitions=3,
    search_seconds=1.5,
    growth=(10, 200, 1000, 5000),
    growth_repetitions=3,
    limit=1200,
)
QUICK = Extent(
    repetitions=2,
    seconds=1.2,
    allocations=1000,
    idle=500,
    memory_repetitions=1,
    stall_seconds=4.0,
    search_repetitions=1,
    search_seconds=0.7,
    growth=(10, 200, 1000, 5000),
    growth_repetitions=1,
    limit=400,
)


@dataclass(slots=True, kw_only=True)
class Bench(Progress):
    """
    One run of the table.

    ``starts`` are ours and the peer, both with a relay socket for each allocation. ``shared`` is
    ours with shared relay ports, ``twin`` ours with its data plane in pure Python, ``bare`` what
    is no relay.
    """

    starts: tuple[Start, Start]
    shared: Start
    twin: Start
    bare: Start
    extent: Extent
    plane: str = ""
    """Which data plane ``starts`` and ``shared`` run, in the words of the start log."""
    load_cpu: int = 1

    def cost_goal(self, name: str) -> Goal:
        """What a relayed packet may cost, in parts of what it costs coTURN."""
        return NATIVE_COST[name] if self.plane == NATIVE else TWIN

    def sides(self, name: str) -> tuple[Start, Start]:
        """Ours, as the benchmark of this name wants it, and the peer as it always is."""
        ours, peer = self.starts
        if name.startswith("shared"):
            ours = self.shared
        if name.startswith("twin"):
            ours = self.twin
        return ours, peer


Benchmark = Callable[[Bench], Iterator[Row]]


def pair(stack: ExitStack, starts: tuple[Start, Start]) -> tuple[Server, Server]:
    """Both servers, fresh, until ``stack`` is closed."""
    first, second = starts
    return stack.enter_context(first()), stack.enter_context(second())


def told(server: Server, traffic: Traffic) -> Traffic:
    """The traffic as turnload must be told of it, and is to be judged, for this server."""
    return replace(traffic, shares_ports=server.shares_ports)


def run(server: Server, traffic: Traffic) -> dict[str, Record]:
    """Run the traffic against one of the servers."""
    return turnload(server, told(server, traffic))
