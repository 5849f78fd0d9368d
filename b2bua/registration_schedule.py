"""
The schedule over all registrations: when each one wakes, and whose turn it is to send.

Two heaps, corrected lazily: an entry that no longer holds is dropped when it comes up, and a heap
in which such entries prevail is built anew. So each operation is O(log n), amortised.
"""

from __future__ import annotations

import heapq
from enum import IntEnum
from itertools import count
from typing import Generic, TypeVar

from b2bua.pace import Pace

_SPARE = 64


class Priority(IntEnum):
    """Who goes first when the pace is too slow for all."""

    AGAIN = 0
    """The answer to a challenge, whose nonce ages, or to 423: half the work is done."""
    EXPIRING = 1
    """Bindings that end so soon that there is just time for a silence and one more attempt."""
    SIGN_IN = 2
    """Somebody waits in front of a browser."""
    REFRESH = 3
    """The other bindings, those that ended already included: what ends first goes first."""
    REST = 4
    """Sign-outs: they end by themselves if need be."""


class Scheduled:
    """What the schedule keeps in each registration; 0: no such entry."""

    __slots__ = ("alarm", "turn")

    def __init__(self) -> None:
        self.alarm = 0
        self.turn = 0


_Registration = TypeVar("_Registration", bound=Scheduled)


class Schedule(Generic[_Registration]):
    """Alarms and turns; each registration has at most one of each."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._serial = count(1)
        self._alarms: list[tuple[float, int, _Registration]] = []
        self._turns: list[tuple[Priority, float, int, _Registration]] = []
        self._alarms_set = 0
        self._turns_waiting = 0

    def wake(self, registration: _Registration, when: float | None) -> None:
        """Have it come up at ``when`` and no more at any other time; never, for None."""
        self._alarms_set += (when is not None) - (registration.alarm > 0)
        registration.alarm = 0
        if when is not None:
            registration.alarm = next(self._serial)
            heapq.heappush(self._alarms, (when, registration.alarm, registration))
        if len(self._alarms) > 2 * self._alarms_set + _SPARE:
            self._alarms = [entry for entry in self._alarms if entry[2].alarm == entry[1]]
            heapq.heapify(self._alarms)

    def line_up(self, registration: _Registration, priority: Priority, before: float = 0.0) -> None:
        """Let it wait for its turn, among its like in the order of ``before``."""
        self._turns_waiting += not registration.turn
        registration.turn = next(self._serial)
        heapq.heappush(self._turns, (priority, before, registration.turn, registration))
        self._tidy_turns()

    def leave(self, registration: _Registration) -> None:
        """Let it wait no more."""
        self._turns_waiting -= registration.turn > 0
        registration.turn = 0
        self._tidy_turns()

    def take_awake(self, now: float) -> _Registration | None:
        """Give one whose alarm is due, the earliest first; it has none after this."""
        while self._alarms and self._alarms[0][0] <= now:
            _, serial, registration = heapq.heappop(self._alarms)
            if registration.alarm == serial:
                registration.alarm = 0
                self._alarms_set -= 1
                return registration
        return None

    def take_turn(self, now: float) -> _Registration | None:
        """Give the one whose turn it is, if the pace lets anybody go."""
        self._drop_past_turns()
        if not self._turns or not self._pace.take(now):
            return None
        registration = heapq.heappop(self._turns)[3]
        registration.turn = 0
        self._turns_waiting -= 1
        return registration

    def next_alarm(self) -> float | None:
        """When the earliest alarm is due."""
        while self._alarms and self._alarms[0][2].alarm != self._alarms[0][1]:
            heapq.heappop(self._alarms)
        return self._alarms[0][0] if self._alarms else None

    def next_turn(self) -> float | None:
        """When the next one may go; None if nobody waits."""
        self._drop_past_turns()
        return self._pace.ready_at() if self._turns else None

    def _drop_past_turns(self) -> None:
        while self._turns and self._turns[0][3].turn != self._turns[0][2]:
            heapq.heappop(self._turns)

    def _tidy_turns(self) -> None:
        if len(self._turns) > 2 * self._turns_waiting + _SPARE:
            self._turns = [entry for entry in self._turns if entry[3].turn == entry[2]]
            heapq.heapify(self._turns)
