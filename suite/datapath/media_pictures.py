"""
When peers are asked for a whole picture: again and again, so that whoever joins sees one soon, and
later than somebody wanted one, where that was too early.
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from suite.datapath.media_end import MediaEnd


class PictureTimer:
    """
    One delayed call for each such end, and for each request that waits.

    An end that receives nothing does not ask again and again.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._intervals: dict[MediaEnd, float] = {}
        self._calls: dict[MediaEnd, IDelayedCall] = {}
        self._waiting: dict[MediaEnd, IDelayedCall] = {}

    def __len__(self) -> int:
        return len(self._calls) + len(self._waiting)

    def set(self, end: MediaEnd, interval: float | None) -> None:
        """Ask that often from now on; None: not at all."""
        if interval == self._intervals.get(end):
            return
        call = self._calls.pop(end, None)
        if call is not None:
            call.cancel()
        self._intervals.pop(end, None)
        if interval is not None:
            self._intervals[end] = interval
            self._plan(end, interval)

    def wait(self, end: MediaEnd, until: float) -> None:
        """Ask then if it is wanted still."""
        if end not in self._waiting:
            delay = until - self._clock.seconds()
            self._waiting[end] = self._clock.callLater(max(0.0, delay), self._waited, end)

    def forget(self, end: MediaEnd) -> None:
        """An end is closed."""
        self.set(end, None)
        call = self._waiting.pop(end, None)
        if call is not None:
            call.cancel()

    def _waited(self, end: MediaEnd) -> None:
        del self._waiting[end]
        end.ask_if_wanted(self._clock.seconds())

    def _plan(self, end: MediaEnd, interval: float) -> None:
        now = self._clock.seconds()
        self._calls[end] = self._clock.callLater(interval, self._ask, end, interval, now)

    def _ask(self, end: MediaEnd, interval: float, since: float) -> None:
        self._plan(end, interval)
        latest = end.last_received
        if latest is not None and latest >= since:
            end.ask_for_picture(self._clock.seconds())
