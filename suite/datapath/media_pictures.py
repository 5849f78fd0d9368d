"""
Ends whose peer is asked for a whole picture again and again, so that whoever joins sees one soon.
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from suite.datapath.media_end import MediaEnd


class PictureTimer:
    """One delayed call for each such end; an end that receives nothing asks for nothing."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._intervals: dict[MediaEnd, float] = {}
        self._calls: dict[MediaEnd, IDelayedCall] = {}

    def __len__(self) -> int:
        return len(self._calls)

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

    def _plan(self, end: MediaEnd, interval: float) -> None:
        now = self._clock.seconds()
        self._calls[end] = self._clock.callLater(interval, self._ask, end, interval, now)

    def _ask(self, end: MediaEnd, interval: float, since: float) -> None:
        self._plan(end, interval)
        end.ask_for_picture(self._clock.seconds(), since)
