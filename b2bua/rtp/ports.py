"""
Ports of media: single ones, and pairs, even for RTP and the odd one above it for RTCP (RFC 3550,
section 11).

They are handed out in random order. One that was given back rests, since packets of its last
call may still come, unless nothing else is left; then the longest rested one serves. One that
another program holds is put aside for as long, whatever is left. No socket here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class NoPorts(Exception):
    """No port is left."""


class Ports:
    """
    The ports from ``first`` to ``last``.

    Every one that was taken comes back by exactly one ``give_back`` or ``withdraw``; another one
    is an error of the caller. ``now`` never goes back.
    """

    def __init__(self, first: int, last: int, randbelow: Callable[[int], int], rest: float) -> None:
        if not 1 <= first <= last <= 0xFFFF:
            raise ValueError(f"no port range: {first}-{last}")
        self._randbelow = randbelow
        self._rest = rest
        self._ready = self._among(first, last)
        self._resting: deque[tuple[float, int]] = deque()
        self._withdrawn: deque[tuple[float, int]] = deque()
        self._taken: set[int] = set()

    def free(self, now: float) -> int:
        """Return how many can be taken, those at rest included."""
        self._advance(now)
        return len(self._ready) + len(self._resting)

    def take(self, now: float) -> int:
        """Take one. Raises NoPorts."""
        self._advance(now)
        if self._ready:
            port = self._any_ready()
        elif self._resting:
            _, port = self._resting.popleft()
        else:
            raise NoPorts
        self._taken.add(port)
        return port

    def give_back(self, port: int, now: float) -> None:
        """Let one rest that was taken."""
        self._release(port)
        self._resting.append((now + self._rest, port))

    def withdraw(self, port: int, now: float) -> None:
        """Put one aside that was taken and could not be bound."""
        self._release(port)
        self._withdrawn.append((now + self._rest, port))

    def _among(self, first: int, last: int) -> list[int]:
        return list(range(first, last + 1))

    def _any_ready(self) -> int:
        ready = self._ready
        at = self._randbelow(len(ready))
        ready[at], ready[-1] = ready[-1], ready[at]
        return ready.pop()

    def _release(self, port: int) -> None:
        if port not in self._taken:
            raise ValueError(f"port {port} was not taken")
        self._taken.remove(port)

    def _advance(self, now: float) -> None:
        for queue in (self._resting, self._withdrawn):
            while queue and queue[0][0] <= now:
                self._ready.append(queue.popleft()[1])


class PortPairs(Ports):
    """The pairs that lie wholly between ``first`` and ``last``, named by their even port."""

    def _among(self, first: int, last: int) -> list[int]:
        return list(range(first + (first & 1), last, 2))
