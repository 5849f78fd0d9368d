"""
Cutting a stream into STUN messages and ChannelData (RFC 8489, section 6.2.2; RFC 8656, 12.5).

A stream has no marks between frames, so a frame that cannot be one ends it. Classic STUN is not
told from junk without the cookie, and does not exist over streams here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from turn.stun.attributes import COOKIE
from turn.stun.errors import FramingError, FramingFault

MAX_FRAME: Final = 20 + 0xFFFC
"""The longest frame there is: a STUN message. The longest ChannelData has 4 + 65,536 bytes."""


class FrameReader:
    """
    Keeps the frame that has begun, never more than MAX_FRAME bytes, and gives whole ones.

    After a FramingError nothing more is read; every further ``feed`` raises it again.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._wanted = 0
        self._fault: FramingFault | None = None

    @property
    def pending(self) -> bool:
        """Whether a frame has begun and is not whole yet."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """
        Take what the stream gave and return the frames that are whole now, without padding.

        Raises FramingError, which carries the frames before the fault.
        """
        if self._fault is not None:
            raise FramingError(self._fault, [])
        if not self._buffer:
            return self._cut(data)
        self._buffer += data
        if len(self._buffer) < self._wanted:
            return []
        whole = bytes(self._buffer)
        self._buffer.clear()
        return self._cut(whole)

    def _cut(self, data: bytes) -> list[bytes]:
        frames: list[bytes] = []
        offset, size = 0, len(data)
        while offset < size:
            fault = _fault(data[offset : offset + 8])
            if fault is not None:
                self._fault = fault
                raise FramingError(fault, frames)
            frame, padded = _measure(data[offset : offset + 4])
            if offset + padded > size:
                self._buffer += data[offset:]
                # A head that is not whole yet is looked at again with every byte.
                self._wanted = padded if size - offset >= 8 else 0
                break
            frames.append(data[offset : offset + frame])
            offset += padded
        return frames


def _fault(head: bytes) -> FramingFault | None:
    """Say as early as can be known why no frame begins with ``head``."""
    if head[0] > 0x7F:
        return "bits"
    if head[0] > 0x3F:
        return None
    if len(head) > 3 and head[3] & 3:
        return "length"
    return None if COOKIE.startswith(head[4:]) else "cookie"


def _measure(head: bytes) -> tuple[int, int]:
    """Return the length of the frame that begins so, and what it takes of the stream."""
    if len(head) < 4:
        return 4, 4
    length = head[2] << 8 | head[3]
    if head[0] > 0x3F:
        return 4 + length, 4 + (length + 3 & ~3)
    return 20 + length, 20 + length


def padded_frames(frames: bytes) -> Iterator[bytes]:
    """Part whole frames, each with its padding, that were joined."""
    offset = 0
    while offset < len(frames):
        _, padded = _measure(frames[offset : offset + 4])
        yield frames[offset : offset + padded]
        offset += padded
