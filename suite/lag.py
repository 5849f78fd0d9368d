"""
How late the reactor is: a call that asks for itself again and looks at the clock.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

INTERVAL = 0.02
_WINDOW = 5.0


class LagWatch:
    """Measures while it runs; tells each measurement to ``observe`` and keeps the worst."""

    def __init__(self, clock: IReactorTime, observe: Callable[[float], object]) -> None:
        self._clock = clock
        self._observe = observe
        self._next: IDelayedCall | None = None
        self._due = 0.0
        self._window_ends = 0.0
        self._worst = 0.0
        self._worst_before = 0.0

    @property
    def worst(self) -> float:
        """The longest delay of the last five to ten seconds."""
        overdue = self._clock.seconds() - self._due if self._next is not None else 0.0
        return max(self._worst, self._worst_before, overdue)

    def start(self) -> None:
        """Begin to measure."""
        self._window_ends = self._clock.seconds() + _WINDOW
        self._schedule()

    def stop(self) -> None:
        """Measure no more."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _schedule(self) -> None:
        self._due = self._clock.seconds() + INTERVAL
        self._next = self._clock.callLater(INTERVAL, self._measure)

    def _measure(self) -> None:
        now = self._clock.seconds()
        late = max(0.0, now - self._due)
        if now >= self._window_ends:
            self._window_ends = now + _WINDOW
            self._worst_before, self._worst = self._worst, 0.0
        self._worst = max(self._worst, late)
        self._observe(late)
        self._schedule()
