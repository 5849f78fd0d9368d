"""
How fast something may go out: never more than so many in any second, and few of them at once.
"""

from __future__ import annotations

from collections import deque
from math import inf

_SECOND = 1.0
_SPAN = 1.06
"""
Seconds that the strict limit is kept for: a second, and what sending may take on a busy machine.
On the wire the first of some that were let go together may be so much later than it was decided.
"""


class Pace:
    """
    A token bucket of ``rate`` per second that holds ``burst``, and beside it a strict limit.

    A bucket alone lets ``rate`` and ``burst`` together pass in the first second. Here the second
    that follows any moment has at most ``rate``, so that the figure can be promised to the peer.
    """

    def __init__(self, rate: int = 50, burst: int = 20) -> None:
        if not 1 <= burst <= rate:
            raise ValueError(f"no pace: {rate} per second, {burst} at once")
        self._interval = _SECOND / rate
        self._tolerance = (burst - 1) * self._interval
        self._full_at = -inf
        """When the bucket will be full again, if nothing is taken before."""
        self._last = deque([-inf] * rate, maxlen=rate)

    def ready_at(self) -> float:
        """When the next one may go; that moment may be over long ago."""
        return max(self._full_at - self._tolerance, self._last[0] + _SPAN)

    def take(self, now: float) -> bool:
        """Whether one may go now; it is counted if so."""
        if now < self.ready_at():
            return False
        self._full_at = max(self._full_at, now) + self._interval
        self._last.append(now)
        return True
