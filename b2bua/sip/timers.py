"""
How long SIP transactions wait (RFC 3261, section 17 and table 4; RFC 6026; RFC 4320).

``Timers`` holds the values, ``Deadlines`` the order in which they come. Nothing here knows the
time: the caller passes ``now``, in seconds of a clock that never goes back.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)

_SHORTEST_TIMER_D = 32.0


@dataclass(frozen=True, slots=True)
class Timers:
    """The base values, and what the RFC derives from them. A timer of 0 fires at once."""

    t1: float = 0.5
    """The estimate of a round trip."""
    t2: float = 4.0
    """The longest interval between two copies of a request, other than INVITE, or of a response."""
    t4: float = 5.0
    """How long a message may stay in the network."""
    failover: float | None = 4.0
    """
    After how much silence a client transaction says that it is unanswered. Much shorter than
    timers B and F, and it ends nothing: another server may be tried while this one may still
    answer.
    """
    trying: float = 0.2
    """How long the user may leave an INVITE without a response before 100 goes out."""

    def __post_init__(self) -> None:
        if min(self.t1, self.t2, self.t4) <= 0:
            # Timers A, E and G would fire for ever in one moment.
            raise ValueError("T1, T2 and T4 are longer than 0")

    @property
    def transaction(self) -> float:
        """Timers B, F, H, L and M, and the wait for the end of a cancelled INVITE: 64*T1."""
        return 64 * self.t1

    @property
    def next_failure(self) -> float:
        """Timer D over datagrams: how long copies of a refusal of an INVITE may still come."""
        return max(_SHORTEST_TIMER_D, self.transaction)

    @property
    def slow_non_invite(self) -> float:
        """
        When a request other than INVITE without a response gets 100 (RFC 4320, section 4.1).

        That is when the sender's Timer E has grown to T2: an earlier 100 would only slow down
        its retransmissions.
        """
        elapsed, interval = 0.0, self.t1
        while interval < self.t2:
            elapsed += interval
            interval *= 2
        return elapsed


def earliest(*times: float | None) -> float | None:
    """The first of these moments, if there is one."""
    first: float | None = None
    for time in times:
        if time is not None and (first is None or time < first):
            first = time
    return first


class Deadlines(Generic[_Key]):
    """
    One moment per key, and which comes first.

    The heap is corrected lazily: an entry that no longer holds is skipped when it comes up, and
    the heap is built anew before such entries outnumber the others too far.
    """

    def __init__(self) -> None:
        self._when: dict[_Key, float] = {}
        self._heap: list[tuple[float, int, _Key]] = []
        self._pushed = 0

    def __len__(self) -> int:
        return len(self._when)

    def set(self, key: _Key, when: float | None) -> None:
        """Have ``key`` come up at ``when``, and no more at any other time; never, for None."""
        if when is None:
            self._when.pop(key, None)
        elif self._when.get(key) != when:
            self._when[key] = when
            self._push(key, when)
        if len(self._heap) > 4 * len(self._when) + 64:
            self._rebuild()

    def next(self) -> float | None:
        """The first moment of all, if there is one."""
        self._drop_outdated()
        return self._heap[0][0] if self._heap else None

    def take_due(self, now: float) -> list[_Key]:
        """The keys whose moment has come, in order. They have none after this."""
        due = []
        while (first := self.next()) is not None and first <= now:
            key = heapq.heappop(self._heap)[2]
            del self._when[key]
            due.append(key)
        return due

    def _push(self, key: _Key, when: float) -> None:
        # The count decides between equal moments: first set, first served; keys need no order.
        self._pushed += 1
        heapq.heappush(self._heap, (when, self._pushed, key))

    def _drop_outdated(self) -> None:
        while self._heap and self._when.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)

    def _rebuild(self) -> None:
        self._heap = []
        for key, when in self._when.items():
            self._push(key, when)
