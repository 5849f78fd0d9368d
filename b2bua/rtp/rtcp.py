"""
RTCP packets and the datagrams that carry several of them (RFC 3550, section 6).

Read are SR, RR, SDES (only CNAME), BYE and feedback (RFC 4585, section 6.1); APP, extended reports
and types unknown are stepped over. A datagram may begin with feedback alone (RFC 5506). What is
read of one datagram is bounded.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from b2bua.rtp.errors import MalformedRtp

SR, RR, SDES, BYE, APP, RTPFB, PSFB, XR = range(200, 208)
GENERIC_NACK: Final = 1
"""Format of RTPFB: packets that were lost (RFC 4585, section 6.2.1)."""
PICTURE_LOSS: Final = 1
"""Format of PSFB: a picture was lost (section 6.3.1)."""
FULL_INTRA: Final = 4
"""Format of PSFB: a whole picture is wanted (RFC 5104, section 4.3.1)."""

LARGEST_DATAGRAM: Final = 2048
"""Bytes; what is longer would have been fragmented, and nobody does that."""
MOST_PACKETS: Final = 32
MOST_BLOCKS: Final = 31
_CNAME: Final = 1

_HEADER: Final = struct.Struct("!BBH")
_SSRC: Final = struct.Struct("!I")
_SENDER: Final = struct.Struct("!IQIII")
_BLOCK: Final = struct.Struct("!IIIIII")
_FEEDBACK: Final = struct.Struct("!II")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportBlock:
    """How one source is received (section 6.4.1)."""

    ssrc: int
    fraction_lost: int = 0
    """Of 256, since the report before."""
    lost: int = 0
    """Since the beginning; below zero where duplicates outnumber the lost."""
    highest: int = 0
    """The highest sequence number, with its cycles above the low 16 bits."""
    jitter: int = 0
    last_report: int = 0
    """The middle 32 bits of the time in the source's last SR; 0 before the first."""
    delay: int = 0
    """Since that SR came, in 1/65536 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderReport:
    """What a source has sent, and how it receives others."""

    ssrc: int
    time: int
    """NTP time, 32 bits of seconds and 32 of their fraction."""
    timestamp: int
    packets: int
    octets: int
    blocks: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverReport:
    """How somebody who sends nothing receives others."""

    ssrc: int
    blocks: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDescription:
    """The canonical name of a source."""

    ssrc: int
    name: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Goodbye:
    """Sources that are no more."""

    sources: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """Feedback of a receiver to the source ``media``; ``kind`` is RTPFB or PSFB."""

    kind: int
    format: int
    sender: int
    media: int
    control: bytes = b""
    """The control information, a multiple of four bytes."""


RtcpPacket = SenderReport | ReceiverReport | SourceDescription | Goodbye | Feedback


def is_rtcp(second: int) -> bool:
    """Whether the second byte of a datagram on a shared port tells RTCP (RFC 5761, section 4)."""
    return 192 <= second <= 223


def parse_compound(data: bytes) -> list[RtcpPacket]:
    """Read every packet of a datagram that means something to us. Raises MalformedRtp."""
    if len(data) > LARGEST_DATAGRAM:
        raise MalformedRtp("size")
    found: list[RtcpPacket] = []
    at = packets = 0
    while at < len(data):
        packets += 1
        if packets > MOST_PACKETS:
            raise MalformedRtp("count")
        count, kind, body, end = _packet(data, at)
        if at == 0 and not SR <= kind <= XR:
            raise MalformedRtp("type")
        if kind in _READERS:
            found += _READERS[kind](count, body)
        at = end
    if not packets:
        raise MalformedRtp("short")
    return found


def _packet(data: bytes, at: int) -> tuple[int, int, bytes, int]:
    """Return count or format, type, body without padding, and the end of the packet."""
    if at + 4 > len(data):
        raise MalformedRtp("short")
    first, kind, words = _HEADER.unpack_from(data, at)
    if first & 0xC0 != 0x80:
        raise MalformedRtp("version")
    end = at + 4 + 4 * words
    if end > len(data):
        raise MalformedRtp("length")
    body = data[at + 4 : end]
    if first & 0x20:
        # Only the last packet of a datagram may be padded.
        if end != len(data) or not body or not 4 <= body[-1] <= len(body) or body[-1] % 4:
            raise MalformedRtp("padding")
        body = body[: -body[-1]]
    return first & 0x1F, kind, body, end


def _read_sender(count: int, body: bytes) -> list[RtcpPacket]:
    if len(body) < _SENDER.size:
        raise MalformedRtp("length")
    ssrc, time, timestamp, packets, octets = _SENDER.unpack_from(body)
    blocks = _read_blocks(count, body, _SENDER.size)
    report = SenderReport(
        ssrc=ssrc, time=time, timestamp=timestamp, packets=packets, octets=octets, blocks=blocks
    )
    return [report]


def _read_receiver(count: int, body: bytes) -> list[RtcpPacket]:
    if len(body) < _SSRC.size:
        raise MalformedRtp("length")
    (ssrc,) = _SSRC.unpack_from(body)
    return [ReceiverReport(ssrc=ssrc, blocks=_read_blocks(count, body, _SSRC.size))]


def _read_blocks(count: int, body: bytes, at: int) -> tuple[ReportBlock, ...]:
    if at + count * _BLOCK.size > len(body):
        raise MalformedRtp("length")
    return tuple(_read_block(body, at + index * _BLOCK.size) for index in range(count))


def _read_block(body: bytes, at: int) -> ReportBlock:
    ssrc, losses, highest, jitter, last_report, delay = _BLOCK.unpack_from(body, at)
    lost = losses & 0xFFFFFF
    return ReportBlock(
        ssrc=ssrc,
        fraction_lost=losses >> 24,
        lost=lost - 0x1000000 if lost & 0x800000 else lost,
        highest=highest,
        jitter=jitter,
        last_report=last_report,
        delay=delay,
    )


def _read_descriptions(count: int, body: bytes) -> list[RtcpPacket]:
    found: list[RtcpPacket] = []
    at = 0
    for _ in range(count):
        if at + 4 > len(body):
            raise MalformedRtp("length")
        (ssrc,) = _SSRC.unpack_from(body, at)
        name, at = _read_items(body, at + 4)
        if name is not None:
            found.append(SourceDescription(ssrc=ssrc, name=name))
    return found


def _read_items(body: bytes, at: int) -> tuple[bytes | None, int]:
    """Return the CNAME of a chunk, and where the next chunk begins."""
    name = None
    while True:
        if at >= len(body):
            raise MalformedRtp("text")
        kind = body[at]
        if kind == 0:
            # A chunk ends with one to four zero bytes, on a boundary of four.
            return name, (at & ~3) + 4
        if at + 2 > len(body) or at + 2 + body[at + 1] > len(body):
            raise MalformedRtp("text")
        end = at + 2 + body[at + 1]
        if kind == _CNAME:
            name = body[at + 2 : end]
        at = end


def _read_goodbye(count: int, body: bytes) -> list[RtcpPacket]:
    if 4 * count > len(body):
        raise MalformedRtp("length")
    return [Goodbye(sources=struct.unpack_from(f"!{count}I", body))]


def _read_rtp_feedback(count: int, body: bytes) -> list[RtcpPacket]:
    return [_read_feedback(RTPFB, count, body)]


def _read_payload_feedback(count: int, body: bytes) -> list[RtcpPacket]:
    return [_read_feedback(PSFB, count, body)]


def _read_feedback(kind: int, format: int, body: bytes) -> Feedback:
    if len(body) < _FEEDBACK.size:
        raise MalformedRtp("length")
    sender, media = _FEEDBACK.unpack_from(body)
    control = body[_FEEDBACK.size :]
    return Feedback(kind=kind, format=format, sender=sender, media=media, control=control)


_READERS: Final[dict[int, Callable[[int, bytes], list[RtcpPacket]]]] = {
    SR: _read_sender,
    RR: _read_receiver,
    SDES: _read_descriptions,
    BYE: _read_goodbye,
    RTPFB: _read_rtp_feedback,
    PSFB: _read_payload_feedback,
}


def build_compound(packets: Iterable[RtcpPacket]) -> bytes:
    """Write packets one after the other. Raises ValueError for what has no place in them."""
    return b"".join(map(_build, packets))


def _build(packet: RtcpPacket) -> bytes:
    match packet:
        case SenderReport():
            body = _SENDER.pack(
                packet.ssrc, packet.time, packet.timestamp, packet.packets, packet.octets
            )
            return _framed(SR, len(packet.blocks), body + _blocks(packet.blocks))
        case ReceiverReport():
            body = _SSRC.pack(packet.ssrc) + _blocks(packet.blocks)
            return _framed(RR, len(packet.blocks), body)
        case SourceDescription():
            item = bytes([_CNAME, len(packet.name)]) + packet.name
            ending = bytes(4 - len(item) % 4)
            return _framed(SDES, 1, _SSRC.pack(packet.ssrc) + item + ending)
        case Goodbye():
            body = struct.pack(f"!{len(packet.sources)}I", *packet.sources)
            return _framed(BYE, len(packet.sources), body)
        case Feedback():
            body = _FEEDBACK.pack(packet.sender, packet.media) + packet.control
            return _framed(packet.kind, packet.format, body)


def _framed(kind: int, count: int, body: bytes) -> bytes:
    if count > MOST_BLOCKS or len(body) % 4:
        raise ValueError("at most 31 of a kind, and whole words")
    return _HEADER.pack(0x80 | count, kind, len(body) // 4) + body


def _blocks(blocks: tuple[ReportBlock, ...]) -> bytes:
    return b"".join(
        _BLOCK.pack(
            block.ssrc,
            block.fraction_lost << 24 | block.lost & 0xFFFFFF,
            block.highest,
            block.jitter,
            block.last_report,
            block.delay,
        )
        for block in blocks
    )
