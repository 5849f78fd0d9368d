"""How much work strangers may cause: so much in a second, and as much at once."""

from __future__ import annotations


class Budget:
    """What is left of it, which grows with time."""

    __slots__ = ("_at", "_left", "_most", "_rate")

    def __init__(self, rate: float, most: float | None = None) -> None:
        """``most``: at once; None: what a second gives."""
        self._rate = rate
        self._most = rate if most is None else most
        self._left = self._most
        self._at = float("-inf")

    def take(self, cost: float, now: float) -> bool:
        """Take that much, if it is left."""
        if now > self._at:
            passed = now - self._at
            self._left = min(self._most, self._left + passed * self._rate)
            self._at = now
        if cost > self._left:
            return False
        self._left -= cost
        return True
