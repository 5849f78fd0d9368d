"""
The rows of calls and registrations in their order.

Costs are taken one after the other, with the CPU to themselves. Memory, vanished callers and the
failover are mostly waiting, and none of their figures is a time of the CPU: they run side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from benchmarks import failover, registering, sip, vanishing
from benchmarks.figures import Row
from benchmarks.progress import measure
from benchmarks.sip import SipBench

Benchmark = Callable[[SipBench], Iterator[Row]]

COSTS: Mapping[str, Benchmark] = {
    "call-cpu": sip.costs,
    "call-rate": sip.highest_rate,
    "register-phone": registering.phones,
    "register-server": registering.refreshes,
}
LANES: Sequence[Mapping[str, Benchmark]] = (
    {"call-memory": sip.memory, "vanished": vanishing.vanished},
    {"register-memory": registering.memory, "abandoned": vanishing.abandoned},
    {"failover": failover.failover},
)
BENCHMARKS: Mapping[str, Benchmark] = {
    **COSTS,
    **{name: benchmark for lane in LANES for name, benchmark in lane.items()},
}


def rows(bench: SipBench, names: Sequence[str]) -> list[Row]:
    """The rows of the named benchmarks."""
    found = measure(bench, COSTS, [name for name in names if name in COSTS])
    lanes = [[name for name in names if name in lane] for lane in LANES]
    with ThreadPoolExecutor(len(LANES)) as pool:
        try:
            running = [pool.submit(measure, bench, BENCHMARKS, lane) for lane in lanes]
            return found + [row for lane in running for row in lane.result()]
        finally:
            bench.stopped.set()
