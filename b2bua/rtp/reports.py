"""
The RTCP of one end: what it says of itself, and what its peer says of it (RFC 3550, section 6).

An end has two participants, itself and its peer, so the interval is the least one (section 6.2)
and nobody has to be counted. Feedback for a source that is only forwarded is translated, so that
it reaches that source (RFC 4585, RFC 5104).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from b2bua.rtp.rtcp import (
    FULL_INTRA,
    GENERIC_NACK,
    PICTURE_LOSS,
    PSFB,
    RTPFB,
    Feedback,
    ReceiverReport,
    ReportBlock,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    build_compound,
)

INTERVAL: Final = 5.0
_COMPENSATION: Final = 1.21828
"""e - 3/2: what the randomised interval is divided by (section 6.3.1)."""
_SHORT: Final = 1 << 32
_LOST: Final = struct.Struct("!HH")
_INTRA: Final = struct.Struct("!II")


class Incoming(Protocol):
    """What is received of a source after another, see b2bua.rtp.stream.IncomingStream."""

    @property
    def ssrc(self) -> int: ...
    @property
    def lost(self) -> int: ...
    @property
    def jitter(self) -> float: ...
    def report(self, last_report: int = 0, delay: int = 0) -> ReportBlock | None: ...


class Outgoing(Protocol):
    """What an end sends, see b2bua.rtp.stream.OutgoingStream."""

    @property
    def ssrc(self) -> int: ...
    @property
    def source(self) -> int: ...
    @property
    def at(self) -> float | None: ...
    @property
    def rate(self) -> int: ...
    @property
    def packets(self) -> int: ...
    @property
    def octets(self) -> int: ...
    def interrupt(self) -> None: ...
    def source_sequence(self, sequence: int) -> int | None: ...
    def timestamp_at(self, now: float) -> int: ...


def interval(randbelow: Callable[[int], int], first: bool = False) -> float:
    """Return the seconds until the next report; until the first it is half as long."""
    least = INTERVAL / 2 if first else INTERVAL
    return least * (0.5 + randbelow(1 << 16) / (1 << 16)) / _COMPENSATION


class Reports:
    """Says and reads the RTCP of one end; ``name`` is its CNAME."""

    def __init__(self, name: bytes, incoming: Incoming, outgoing: Outgoing) -> None:
        self.lost: int | None = None
        """Of our packets, as the peer said last."""
        self.jitter: float | None = None
        """Seconds, as the peer said last."""
        self.round_trip: float | None = None
        """Seconds to the peer and back, by its last report."""
        self._name = name
        self._incoming = incoming
        self._outgoing = outgoing
        self._sent_before = (0, 0)
        # The peer's last sender report: of which source, its time, when it came.
        self._heard: tuple[int, int, float] | None = None

    def compound(self, now: float, *more: RtcpPacket) -> bytes:
        """Return a report and our name, and ``more`` after them."""
        is_sender, last_report, delay = self.opening(now)
        outgoing = self._outgoing
        block = self._incoming.report(last_report, delay)
        blocks = () if block is None else (block,)
        report: RtcpPacket = ReceiverReport(ssrc=outgoing.ssrc, blocks=blocks)
        if is_sender:
            report = SenderReport(
                ssrc=outgoing.ssrc,
                time=_ntp(now),
                timestamp=outgoing.timestamp_at(now),
                packets=outgoing.packets % _SHORT,
                octets=outgoing.octets % _SHORT,
                blocks=blocks,
            )
        name = SourceDescription(ssrc=outgoing.ssrc, name=self._name)
        return build_compound((report, name, *more))

    def opening(self, now: float) -> tuple[bool, int, int]:
        """
        Begin a report: whether we are a sender, and what tells the peer of its own last report.

        Whoever sent since the report before the last is a sender (section 6.4).
        """
        packets = self._outgoing.packets
        is_sender = packets != self._sent_before[0]
        self._sent_before = (self._sent_before[1], packets)
        return is_sender, *self._last_heard(now)

    def read(self, packets: Iterable[RtcpPacket], now: float) -> list[Feedback]:
        """Take what the peer says of this end, and its source; return the feedback in it."""
        feedback: list[Feedback] = []
        for packet in packets:
            if isinstance(packet, Feedback):
                feedback.append(packet)
            elif isinstance(packet, SenderReport | ReceiverReport):
                for block in packet.blocks:
                    if block.ssrc == self._outgoing.ssrc:
                        self._reported(block, now)
                if isinstance(packet, SenderReport) and self._incoming.ssrc in (packet.ssrc, -1):
                    self._heard = (packet.ssrc, packet.time >> 16 & 0xFFFFFFFF, now)
        return feedback

    def _reported(self, block: ReportBlock, now: float) -> None:
        self.lost = block.lost
        self.jitter = block.jitter / self._outgoing.rate
        if block.last_report:
            passed = ((_ntp(now) >> 16) - block.last_report - block.delay) & 0xFFFFFFFF
            # A peer may say nonsense: a trip of hours is none.
            self.round_trip = passed / 65536 if passed < 1 << 24 else None

    def _last_heard(self, now: float) -> tuple[int, int]:
        if self._heard is None or self._heard[0] != self._incoming.ssrc:
            return 0, 0
        return self._heard[1], min(0xFFFFFFFF, int((now - self._heard[2]) * 65536))


def picture_loss(sender: int, media: int) -> Feedback:
    """Return a request for a whole picture (RFC 4585, section 6.3.1)."""
    return Feedback(kind=PSFB, format=PICTURE_LOSS, sender=sender, media=media)


def lost_packets(sender: int, media: int, numbers: Sequence[int]) -> Feedback:
    """Return a request for packets, given in the order of their loss (section 6.2.1)."""
    control = b""
    at = 0
    while at < len(numbers):
        first, more = numbers[at], 0
        at += 1
        while at < len(numbers) and 0 < (behind := (numbers[at] - first) & 0xFFFF) <= 16:
            more |= 1 << (behind - 1)
            at += 1
        control += _LOST.pack(first, more)
    return Feedback(kind=RTPFB, format=GENERIC_NACK, sender=sender, media=media, control=control)


def missed_packets(feedback: Feedback, ssrc: int) -> list[int] | None:
    """Return the numbers of ours that the peer misses; None for feedback of another kind."""
    if (feedback.kind, feedback.format) != (RTPFB, GENERIC_NACK) or feedback.media != ssrc:
        return None
    numbers: list[int] = []
    for first, more in _LOST.iter_unpack(feedback.control):
        numbers.append(first)
        numbers += [(first + step) & 0xFFFF for step in range(1, 17) if more >> (step - 1) & 1]
    return numbers


def translate(feedback: Feedback, stream: Outgoing, sender: int) -> Feedback | None:
    """
    Return feedback on a forwarded stream as feedback on the source that feeds it.

    ``sender`` is who we are toward that source. None where the feedback is of a kind that only
    its receiver can use, is not on this stream, or on packets that are long past.
    """
    if stream.source < 0:
        return None
    kind = (feedback.kind, feedback.format)
    control: bytes | None = None
    if kind == (PSFB, FULL_INTRA):
        control = _intra(feedback.control, stream)
    elif feedback.media == stream.ssrc and kind == (PSFB, PICTURE_LOSS):
        control = b""
    elif feedback.media == stream.ssrc and kind == (RTPFB, GENERIC_NACK):
        control = _lost(feedback.control, stream)
    if control is None:
        return None
    # FIR names its source in each entry, and none in its header (RFC 5104, section 4.3.1.2).
    media = 0 if kind == (PSFB, FULL_INTRA) else stream.source
    return Feedback(
        kind=feedback.kind, format=feedback.format, sender=sender, media=media, control=control
    )


def _lost(control: bytes, stream: Outgoing) -> bytes | None:
    """Lost packets, by the numbers that their source knows."""
    found = b""
    for first, more in _LOST.iter_unpack(control):
        sequence = stream.source_sequence(first)
        if sequence is not None:
            found += _LOST.pack(sequence, more)
    return found or None


def _intra(control: bytes, stream: Outgoing) -> bytes | None:
    """The request for a whole picture of this stream, among those for others."""
    if len(control) % _INTRA.size:
        return None
    for ssrc, number in _INTRA.iter_unpack(control):
        if ssrc == stream.ssrc:
            return _INTRA.pack(stream.source, number)
    return None


def _ntp(now: float) -> int:
    """
    Seconds of the clock that never jumps, as NTP time.

    A participant may count elapsed time (section 4); what matters is that all our ends agree.
    """
    return int(now * _SHORT) & 0xFFFFFFFFFFFFFFFF
