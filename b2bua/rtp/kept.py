"""
Packets that were sent lately, as they went over the wire, for a peer that misses some of them
(RFC 4585, section 6.2.1).

They are not made again from what they were: SRTP would meet the same number twice.
"""

from __future__ import annotations

from typing import Final

SIZE: Final = 256
"""Packets; about a second of a fast picture."""
LONGEST: Final = 1500
"""Bytes of a packet that is kept; all that SRTP takes are, and all that Ethernet has."""
SPACING: Final = 0.1
"""Seconds before the same packet is sent again once more: the first one may be under way."""
_MASK: Final = SIZE - 1


class Kept:
    """The newest packets of a stream, by their numbers."""

    __slots__ = ("_again", "_numbers", "_packets")

    def __init__(self) -> None:
        self._numbers = [-1] * SIZE
        self._packets = [b""] * SIZE
        self._again = [0.0] * SIZE

    def keep(self, sequence: int, packet: bytes) -> None:
        """Per packet: it takes the place of an old one, even if it is too long to be kept."""
        at = sequence & _MASK
        fits = len(packet) <= LONGEST
        self._numbers[at] = sequence if fits else -1
        self._packets[at] = packet if fits else b""
        self._again[at] = 0.0

    def has(self, sequence: int) -> bool:
        """Whether it is still here."""
        return self._numbers[sequence & _MASK] == sequence

    def again(self, sequence: int, now: float) -> bytes | None:
        """Return it, if it is time to send it again."""
        at = sequence & _MASK
        if self._numbers[at] != sequence or now < self._again[at]:
            return None
        self._again[at] = now + SPACING
        return self._packets[at]
