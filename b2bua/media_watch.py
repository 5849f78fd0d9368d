"""
What becomes of browsers' media, and for which legs a call has to end.

A transport that failed will never carry anything. One that is lost may come back: the browser is
offered a restart of ICE, for it may have changed networks, and that is waited for a while.
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
        """When something is to be taken; a moment long gone stands for now."""
        return 0.0 if self._told else self._lost.next()

    def take_told(self, now: float) -> list[tuple[Leg, TransportEvent]]:
        """What was told of legs, in order, once; what is lost is waited for from now on."""
        told, self._told = self._told, []
        for leg, event in told:
            self._lost.set(leg, now + PATIENCE if event is TransportEvent.LOST else None)
        return told

    def take_due(self, now: float) -> list[Leg]:
        """The legs whose media have been lost for too long."""
        return self._lost.take_due(now)
