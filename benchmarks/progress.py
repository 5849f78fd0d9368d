"""A table is measured row by row: what is shown meanwhile, and what becomes of a row that fails."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from benchmarks.figures import Row
from benchmarks.load import LoadFailed
from benchmarks.servers import ServerDidNotStart


@dataclass(slots=True, kw_only=True)
class Progress:
    """When a table was begun, and how long it may take."""

    limit: float
    """Rows that would begin later than this many seconds after the start are not run."""
    began: float = field(default_factory=time.monotonic)
    plots: dict[str, str] = field(default_factory=dict)
    """SVG that belongs to the table, by name."""
    stopped: threading.Event = field(default_factory=threading.Event)
    """Set when whatever is still running in another thread shall end."""

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self.began

    def pause(self, seconds: float) -> None:
        """Wait. Raises LoadFailed as soon as the whole run is to end."""
        if self.stopped.wait(max(0.0, seconds)):
            raise LoadFailed("the run was ended")

    def say(self, text: str) -> None:
        """Show progress."""
        print(f"[{self.seconds:4.0f} s] {text}", file=sys.stderr, flush=True)


P = TypeVar("P", bound=Progress)


def measure(
    bench: P, benchmarks: Mapping[str, Callable[[P], Iterator[Row]]], names: Sequence[str]
) -> list[Row]:
    """The rows of the named benchmarks; what fails or comes too late has a row that says so."""
    rows: list[Row] = []
    for name in names:
        if bench.seconds > bench.limit:
            rows.append(Row(name=name, figure="not run", note="the time for the whole run was up"))
            continue
        bench.say(name)
        try:
            rows.extend(benchmarks[name](bench))
        except (LoadFailed, ServerDidNotStart) as failure:
            rows.append(Row(name=name, figure="failed", note=str(failure).replace("|", "/")))
            bench.say(f"  failed: {failure}")
    return rows
