"""The four directions of a medium (RFC 3264, section 5.1) and what becomes of two of them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Direction(StrEnum):
    """Which way media of one m= line flow, as the side sees it that writes the attribute."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @classmethod
    def of(cls, *, sends: bool, receives: bool) -> Direction:
        """Return the attribute of a side that does the one, the other, both or neither."""
        return _DIRECTIONS[sends, receives]

    @property
    def sends(self) -> bool:
        """The writer of the attribute sends."""
        return self in (Direction.SENDRECV, Direction.SENDONLY)

    @property
    def receives(self) -> bool:
        """The writer of the attribute takes what is sent to it."""
        return self in (Direction.SENDRECV, Direction.RECVONLY)

    @property
    def reversed(self) -> Direction:
        """The same flow as the other side sees it."""
        return Direction.of(sends=self.receives, receives=self.sends)

    def within(self, other: Direction) -> Direction:
        """Return what is left where both must agree to each way."""
        return Direction.of(
            sends=self.sends and other.sends, receives=self.receives and other.receives
        )


_DIRECTIONS: Final = {
    (True, True): Direction.SENDRECV,
    (True, False): Direction.SENDONLY,
    (False, True): Direction.RECVONLY,
    (False, False): Direction.INACTIVE,
}
