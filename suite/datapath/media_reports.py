"""
When each end says its RTCP: one delayed call for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

GRAIN = 0.2
"""
Seconds by which a report may be late, so that many are said in one go.

Each goes out after two to six seconds anyway (RFC 3550, section 6.3), and one alone costs as much
as several packets: Python's own code is out of the cache by then.
"""


class ReportTimer:
    """
    Calls ``report`` with a handle, and again after ``delay()`` seconds while it returns True.

    A handle that is gone stays in the queue until its time has come, a few seconds.
    """

    _log = Logger(namespace="datapath")

    def __init__(
        self, clock: IReactorTime, report: Callable[[int], bool], delay: Callable[[], float]
    ) -> None:
        self._clock = clock
        self._report = report
        self._delay = delay
        self._due: list[tuple[float, int]] = []
        self._call: IDelayedCall | None = None
        self._fires = 0.0

    def __len__(self) -> int:
        return len(self._due)

    def add(self, handle: int, delay: float) -> None:
        """Let a handle report after ``delay`` seconds for the first time."""
        heappush(self._due, (self._clock.seconds() + delay, handle))
        self._arm()

    def clear(self) -> None:
        """Nobody reports any more."""
        self._due.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _arm(self) -> None:
        if not self._due:
            return
        due = self._due[0][0]
        if self._call is None:
            self._fires = max(due, self._clock.seconds() + GRAIN)
            self._call = self._clock.callLater(self._fires - self._clock.seconds(), self._fire)
        elif due + GRAIN < self._fires:
            self._call.cancel()
            self._call = None
            self._arm()

    def _fire(self) -> None:
        self._call = None
        now = self._clock.seconds()
        while self._due and self._due[0][0] <= now:
            _, handle = heappop(self._due)
            if self._says(handle):
                heappush(self._due, (now + self._delay(), handle))
        self._arm()

    def _says(self, handle: int) -> bool:
        try:
            return self._report(handle)
        except Exception:
            # The others are still to be heard.
            self._log.failure("a report met a fault of ours and was left out")
            return True
