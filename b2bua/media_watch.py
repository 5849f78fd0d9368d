"""
What becomes of browsers' media, and for which legs a call has to end.

A transport that failed will never carry anything. One that is lost may come back, by a restart of
the browser for example: it is waited for a while.
"""

from __future__ import annotations

from collections.abc import Callable

from b2bua.leg import Leg
from b2bua.media_plane import TransportEvent
from b2bua.sip.timers import Deadlines

PATIENCE = 15.0
"""Seconds that lost media may take to come back."""


class MediaWatch:
    """
    Keeps what is told, at whatever moment, until it is asked what is due.

    ``wake`` is called when there is something: it must not come back at once.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._told: list[tuple[Leg, TransportEvent]] = []
        self._lost: Deadlines[Leg] = Deadlines()

    def __len__(self) -> int:
        return len(self._told) + len(self._lost)

    def tell(self, leg: Leg, event: TransportEvent) -> None:
        """Keep what became of a leg's media."""
        self._told.append((leg, event))
        self._wake()

    def forget(self, leg: Leg) -> None:
        """A leg is over."""
        self._lost.set(leg, None)
        self._told = [(other, event) for other, event in self._told if other is not leg]

    def next_timeout(self) -> float | None:
        """When to call ``take_due``; a moment long gone stands for now."""
        return 0.0 if self._told else self._lost.next()

    def take_due(self, now: float) -> list[tuple[Leg, str]]:
        """The legs whose calls end now, each with a fixed word for why."""
        told, self._told = self._told, []
        failed = []
        for leg, event in told:
            if event is TransportEvent.FAILED:
                failed.append((leg, "media-failed"))
            self._lost.set(leg, now + PATIENCE if event is TransportEvent.LOST else None)
        return failed + [(leg, "media-lost") for leg in self._lost.take_due(now)]
