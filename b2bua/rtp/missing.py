"""
What a receiver of video misses, and when it says so (RFC 4585, section 6.2.1).
"""

from __future__ import annotations

from typing import Final

MOST: Final = 64
"""Packets asked for at once; where more are missing only a new picture helps."""
_STEP: Final = 1000
"""A step forward that is larger is another beginning."""
_LATE: Final = 0x10000 - 1000


class Missing:
    """
    The gaps of one source's numbers; each of them is asked for once, and again if it is ``wanted``.

    ``interval``: seconds between two requests at least.
    """

    __slots__ = ("_asked", "_highest", "_interval", "_numbers", "_ssrc")

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._ssrc = -1
        self._highest = 0
        self._asked: float | None = None
        self._numbers: dict[int, None] = {}
        """In the order of their loss, not yet asked for."""

    def receive(self, ssrc: int, sequence: int, now: float) -> list[int]:
        """Per packet: return the numbers to ask for now; most often none."""
        step = (sequence - self._highest) & 0xFFFF
        if ssrc != self._ssrc or _STEP <= step < _LATE:
            self._ssrc, self._highest = ssrc, sequence
            self._numbers.clear()
            return []
        if step >= _LATE:
            self._numbers.pop(sequence, None)
            return []
        if step > 1:
            self._lose(step - 1)
        if step:
            self._highest = sequence
        if not self._numbers:
            return []
        if self._asked is not None and now - self._asked < self._interval:
            return []
        self._asked = now
        asked = list(self._numbers)
        self._numbers.clear()
        return asked

    def want(self, ssrc: int, sequence: int) -> None:
        """Ask for a packet of lately, with the next packet that may bring a request."""
        if ssrc == self._ssrc and 0 < (self._highest - sequence) & 0xFFFF < _STEP:
            self._numbers[sequence] = None
            self._bound()

    def _lose(self, count: int) -> None:
        for step in range(max(1, count - MOST + 1), count + 1):
            self._numbers[(self._highest + step) & 0xFFFF] = None
        self._bound()

    def _bound(self) -> None:
        while len(self._numbers) > MOST:
            # The oldest are no use any more when they come.
            del self._numbers[next(iter(self._numbers))]
