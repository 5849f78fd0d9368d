"""
ChannelData messages (RFC 8656, section 12.4): four bytes of header and the payload.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from turn.stun.errors import MalformedMessage

HEADER: Final = Struct("!HH")
"""Channel number and length of the payload."""


def pack(number: int, payload: bytes, *, padded: bool) -> bytes:
    """Return a ChannelData message, ``padded`` to a multiple of four if it goes over a stream."""
    length = len(payload)
    if padded and length & 3:
        return HEADER.pack(number, length) + payload + bytes(-length & 3)
    return HEADER.pack(number, length) + payload


def unpack(data: bytes) -> tuple[int, bytes]:
    """
    Return channel number and payload of a datagram or frame; what follows the payload is ignored.

    Raises MalformedMessage if the payload is longer than what is there.
    """
    if len(data) < 4:
        raise MalformedMessage("short")
    number, length = HEADER.unpack_from(data)
    if length + 4 > len(data):
        raise MalformedMessage("length")
    return number, data[4 : 4 + length]
