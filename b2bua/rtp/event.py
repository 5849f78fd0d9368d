"""
Telephone-events whose clock differs from leg to leg (RFC 4733, section 2.3).
"""

from __future__ import annotations

from struct import Struct
from typing import Final

_DURATION: Final = Struct("!H")
_AT: Final = 2
_SIZE: Final = 4
"""Event, flags and volume, and two bytes of duration."""
_LONGEST: Final = 0xFFFF


def rescale(buffer: bytearray, start: int, size: int, rates: tuple[int, int]) -> None:
    """Convert the durations in a payload from ticks of the first rate to those of the second."""
    here, there = rates
    for at in range(start + _AT, size - _SIZE + _AT + 1, _SIZE):
        (duration,) = _DURATION.unpack_from(buffer, at)
        _DURATION.pack_into(buffer, at, min(_LONGEST, duration * there // here))
