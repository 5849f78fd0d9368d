"""
RTP packets (RFC 3550, section 5.1): header, contributing sources, extension, padding.

The bridge reads the twelve fixed bytes with ``HEADER`` and asks ``payload_start`` only where the
first byte says that there is more; ``parse`` and ``build`` are for everybody else.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from b2bua.rtp.errors import MalformedRtp, RtpFault

HEADER: Final = struct.Struct("!BBHII")
"""First byte, marker and payload type, sequence number, timestamp, SSRC."""
HEADER_SIZE: Final = HEADER.size
VERSION_2: Final = 0x80
"""The first byte of a packet without padding, extension and contributing sources."""
PADDING: Final = 0x20
EXTENSION: Final = 0x10
MARKER: Final = 0x80

_EXTENSION_HEADER: Final = struct.Struct("!HH")

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """One RTP packet; ``padding`` counts its bytes, the counting one included."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes = b""
    marker: bool = False
    contributors: tuple[int, ...] = ()
    extension: tuple[int, bytes] | None = None
    """What its sixteen bits say ("defined by profile"), and a multiple of four bytes."""
    padding: int = 0


def payload_start(data: Buffer, size: int) -> int:
    """
    Return where the payload of ``data[:size]`` begins; padding at its end is checked too.

    A packet that is none gives a number below zero: the index of a fault, see ``fault``. That
    costs less than an exception, and junk comes in floods.
    """
    if size < HEADER_SIZE:
        return _SHORT
    first = data[0]
    if first & 0xC0 != VERSION_2:
        return _VERSION
    start = HEADER_SIZE + 4 * (first & 0x0F)
    if start > size:
        return _CSRC
    if first & EXTENSION:
        if start + 4 > size:
            return _EXTENSION
        start += 4 + 4 * (data[start + 2] << 8 | data[start + 3])
        if start > size:
            return _EXTENSION
    if first & PADDING and not 1 <= data[size - 1] <= size - start:
        return _PADDING
    return start


def fault(start: int) -> RtpFault:
    """Return what a number below zero of ``payload_start`` means."""
    return _FAULTS[-start - 1]


_SHORT, _VERSION, _CSRC, _EXTENSION, _PADDING = range(-1, -6, -1)
_FAULTS: Final[tuple[RtpFault, ...]] = ("short", "version", "csrc", "extension", "padding")


def parse(data: bytes) -> Packet:
    """Read one packet. Raises MalformedRtp."""
    start = payload_start(data, len(data))
    if start < 0:
        raise MalformedRtp(fault(start))
    first, second, sequence, timestamp, ssrc = HEADER.unpack_from(data)
    padding = data[-1] if first & PADDING else 0
    count = first & 0x0F
    extension = None
    if first & EXTENSION:
        at = HEADER_SIZE + 4 * count
        extension = (_EXTENSION_HEADER.unpack_from(data, at)[0], data[at + 4 : start])
    return Packet(
        payload_type=second & 0x7F,
        marker=second & MARKER != 0,
        sequence=sequence,
        timestamp=timestamp,
        ssrc=ssrc,
        contributors=struct.unpack_from(f"!{count}I", data, HEADER_SIZE),
        extension=extension,
        payload=data[start : len(data) - padding],
        padding=padding,
    )


def build(packet: Packet) -> bytes:
    """Write one packet. Raises ValueError for what has no place in one."""
    if len(packet.contributors) > 15 or not 0 <= packet.padding <= 255:
        raise ValueError("at most 15 contributing sources and 255 bytes of padding")
    first = VERSION_2 | len(packet.contributors)
    first |= PADDING if packet.padding else 0
    first |= EXTENSION if packet.extension is not None else 0
    second = packet.payload_type | (MARKER if packet.marker else 0)
    head = HEADER.pack(first, second, packet.sequence, packet.timestamp, packet.ssrc)
    sources = struct.pack(f"!{len(packet.contributors)}I", *packet.contributors)
    padding = bytes(packet.padding - 1) + bytes([packet.padding]) if packet.padding else b""
    return head + sources + _extension(packet.extension) + packet.payload + padding


def _extension(extension: tuple[int, bytes] | None) -> bytes:
    if extension is None:
        return b""
    profile, data = extension
    if len(data) % 4:
        raise ValueError("a header extension has a multiple of four bytes")
    return _EXTENSION_HEADER.pack(profile, len(data) // 4) + data
