"""
Telephone-events whose clock differs from leg to leg (RFC 4733, section 2.3).

What is longer than a duration can say comes in segments (section 2.5.1.3), which end elsewhere by
another clock: those of the source are put together again, and the event is cut anew.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

LONGEST: Final = 0xFFFF
_END: Final = 0x80
_DURATION: Final = Struct("!H")
_AT: Final = 2
_SIZE: Final = 4
"""Event, flags and volume, and two bytes of duration."""
_MOST: Final = 1 << 31
"""Ticks of one event; a day and more of any clock there is."""
_32: Final = 0xFFFFFFFF


def rescale(buffer: bytearray, start: int, size: int, rates: tuple[int, int]) -> None:
    """Convert the durations in a payload from ticks of the first rate to those of the second."""
    here, there = rates
    for at in range(start + _AT, size - _SIZE + _AT + 1, _SIZE):
        duration = _duration(buffer, at - _AT)
        _DURATION.pack_into(buffer, at, min(LONGEST, duration * there // here))


def _duration(buffer: bytearray, start: int) -> int:
    return buffer[start + _AT] << 8 | buffer[start + _AT + 1]


class NamedEvent:
    """The newest event that an end receives."""

    __slots__ = ("_at", "_before", "_began", "_code", "_is_over", "_segment", "_source")

    def __init__(self) -> None:
        self._source = self._code = -1
        self._began = self._at = 0
        """Timestamps of the event, and of the source's newest segment of it."""
        self._before = 0
        """Ticks of the source's segments before that one."""
        self._segment = 0
        """How many of ours are complete."""
        self._is_over = False

    def convert(
        self,
        buffer: bytearray,
        start: int,
        size: int,
        source: tuple[int, int, bool],
        rates: tuple[int, int],
    ) -> int:
        """
        Convert the durations in a payload; return what to add to the packet's timestamp.

        ``source``: SSRC, timestamp and marker as the packet came.
        """
        if not _SIZE <= size - start < 2 * _SIZE:
            # Several events in one packet are short ones, one after the other.
            rescale(buffer, start, size, rates)
            return 0
        code, flags, duration = buffer[start], buffer[start + 1], _duration(buffer, start)
        self._follow(source, code)
        here, there = rates
        duration = (self._before + duration) * there // here
        reached = max(0, duration - 1) // LONGEST
        shown = reached
        if reached > self._segment and not flags & _END:
            # That a segment had the longest duration is said before the next one begins.
            shown = self._segment
        self._segment = max(self._segment, reached)
        self._is_over = self._is_over or flags & _END != 0
        _DURATION.pack_into(buffer, start + _AT, min(LONGEST, duration - shown * LONGEST))
        return (shown * LONGEST - (self._at - self._began)) & _32

    def _follow(self, source: tuple[int, int, bool], code: int) -> None:
        """See whether a packet is of the same segment, of the next one, or of another event."""
        ssrc, timestamp, is_first = source
        ahead = (timestamp - self._at) & _32
        if (ssrc, code) == (self._source, self._code):
            if not ahead:
                return
            # A source may begin a segment with its next packet, which is not at once.
            is_next = LONGEST <= ahead < 2 * LONGEST and not (is_first or self._is_over)
            if is_next and self._before < _MOST:
                self._at = timestamp
                self._before += LONGEST
                return
        self._source, self._code = ssrc, code
        self._began = self._at = timestamp
        self._before = self._segment = 0
        self._is_over = False
