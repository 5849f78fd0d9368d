"""Every row of the relay's table, in its order."""

from __future__ import annotations

from benchmarks.relay_bench import Benchmark
from benchmarks.relay_costs import COSTS
from benchmarks.relay_scale import SCALE
from benchmarks.relay_stalls import STALLS

BENCHMARKS: dict[str, Benchmark] = {**COSTS, **SCALE, **STALLS}
