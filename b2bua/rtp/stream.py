"""
What a stream of RTP packets looks like to its receiver, and how one is made of others.

``IncomingStream`` measures a source as its receiver must report it (RFC 3550, appendices A.1, A.3
and A.8). ``OutgoingStream`` numbers what an end sends: one source of ours, whose sequence numbers
and timestamps go on over whatever feeds it, be it one source after another or our own silence.
Losses and disorder of the source stay visible; what we left out ourselves does not.

The functions marked *per packet* are what ``benchmarks/rtp.py`` measures.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from b2bua.rtp.packet import MARKER
from b2bua.rtp.rtcp import ReportBlock

MAX_DROPOUT: Final = 3000
"""A step forward that is larger is another beginning (RFC 3550, appendix A.1)."""
MAX_MISORDER: Final = 100
"""So many numbers behind the highest is late; farther behind is another beginning."""
FRAME: Final = 0.02
"""Seconds by which a timestamp advances at least when another source takes over."""
VIDEO_RATE: Final = 90000
"""With it the marker ends a picture; with other rates it begins a talkspurt (RFC 3551)."""

NOBODY: Final = -1
OURSELVES: Final = -2
PAUSE: Final = 1.0
"""Seconds after which what we make ourselves begins anew."""

_LATE: Final = 0x10000 - MAX_MISORDER
_16: Final = 0xFFFF
_32: Final = 0xFFFFFFFF


class IncomingStream:
    """The packets of one source after another; counts of a source begin with its first packet."""

    __slots__ = (
        "_arrived",
        "_base",
        "_expected_before",
        "_highest",
        "_jitter",
        "_lost_before",
        "_received",
        "_received_before",
        "_timestamp",
        "rate",
        "ssrc",
    )

    def __init__(self) -> None:
        self.ssrc = -1
        """The source; -1 before the first packet."""
        self.rate = 8000
        self._lost_before = 0
        self._highest = self._base = self._received = 0
        self._expected_before = self._received_before = 0
        self._timestamp = -1
        self._arrived = self._jitter = 0.0

    @property
    def lost(self) -> int:
        """Packets missing, of all sources so far."""
        return self._lost_before + max(0, self._lost())

    @property
    def jitter(self) -> float:
        """Interarrival jitter in seconds."""
        return self._jitter / self.rate

    def receive(self, ssrc: int, sequence: int, timestamp: int, now: float, rate: int) -> None:
        """Per packet: take note of it."""
        step = (sequence - self._highest) & _16
        if ssrc != self.ssrc or MAX_DROPOUT <= step < _LATE:
            self._begin(ssrc, sequence)
        elif step < MAX_DROPOUT:
            self._highest += step
        self._received += 1
        if timestamp != self._timestamp:
            # Packets of one picture, or of one key press, have a common timestamp, and waited
            # for each other at their source: only the first of them tells of the network.
            if rate == self.rate and self._timestamp >= 0:
                # The difference of timestamps is signed and wraps; arrivals are seconds.
                sent = (timestamp - self._timestamp + 0x80000000 & _32) - 0x80000000
                apart = (now - self._arrived) * rate - sent
                self._jitter += ((apart if apart >= 0 else -apart) - self._jitter) / 16
            self.rate = rate
            self._timestamp = timestamp
            self._arrived = now

    def report(self, last_report: int = 0, delay: int = 0) -> ReportBlock | None:
        """Tell how the source is received since the report before; None before its first packet."""
        if self.ssrc < 0:
            return None
        expected = self._highest - self._base + 1
        expected_now = expected - self._expected_before
        lost_now = expected_now - (self._received - self._received_before)
        self._expected_before, self._received_before = expected, self._received
        fraction = (lost_now << 8) // expected_now if expected_now > 0 and lost_now > 0 else 0
        return ReportBlock(
            ssrc=self.ssrc,
            fraction_lost=min(255, fraction),
            lost=max(-0x800000, min(0x7FFFFF, self._lost())),
            highest=self._highest & _32,
            jitter=min(_32, int(self._jitter)),
            last_report=last_report,
            delay=delay,
        )

    def _lost(self) -> int:
        return self._highest - self._base + 1 - self._received if self.ssrc >= 0 else 0

    def _begin(self, ssrc: int, sequence: int) -> None:
        self._lost_before = self.lost
        self.ssrc = ssrc
        self._highest = self._base = sequence
        self._received = self._expected_before = self._received_before = 0
        self._timestamp = -1
        self._jitter = 0.0


class OutgoingStream:
    """
    The one source that an end sends as; ``randbelow`` chooses SSRC and first numbers.

    ``take`` gives the numbers under which a packet of another source goes out, ``make`` those of a
    packet of our own; ``skip`` is told of packets that are left out.
    """

    __slots__ = (
        "_highest",
        "_sequence_shift",
        "_span",
        "_timestamp_shift",
        "at",
        "octets",
        "packets",
        "rate",
        "sequence",
        "source",
        "ssrc",
        "timestamp",
    )

    def __init__(self, randbelow: Callable[[int], int]) -> None:
        self.ssrc = randbelow(1 << 32)
        self.source = NOBODY
        """The SSRC of whoever feeds this stream; below zero while it is nobody, or ourselves."""
        self.sequence = randbelow(1 << 16)
        """Of the newest packet."""
        self.timestamp = randbelow(1 << 32)
        self.at: float | None = None
        """When the newest packet went out; None before the first."""
        self.packets = 0
        """Those that were sent; whoever sends counts."""
        self.octets = 0
        """Their payload, without padding."""
        self.rate = 8000
        # In-coming number and timestamp plus these are the out-going ones. The newest packet of
        # the source is ``_highest``, and this many numbers before it have the same shift.
        self._highest = self._span = 0
        self._sequence_shift = self._timestamp_shift = 0

    def take(
        self, source: int, sequence: int, timestamp: int, now: float, rate: int
    ) -> tuple[int, int, int] | None:
        """
        Per packet: return marker bit to add, sequence number and timestamp.

        None where the packet is older than what this stream was made of lately: its number has
        been used.
        """
        if source != self.source:
            return self._anchor(source, sequence, timestamp, now, rate)
        step = (sequence - self._highest) & _16
        if step < MAX_DROPOUT:
            self._highest = sequence
            self._span += step
            self.sequence = number = (sequence + self._sequence_shift) & _16
            self.timestamp = moment = (timestamp + self._timestamp_shift) & _32
            self.at = now
            self.rate = rate
            return 0, number, moment
        if step < _LATE:
            return self._anchor(source, sequence, timestamp, now, rate)
        if 0x10000 - step > self._span:
            return None
        return (
            0,
            (sequence + self._sequence_shift) & _16,
            (timestamp + self._timestamp_shift) & _32,
        )

    def skip(self, source: int, sequence: int) -> None:
        """Leave a packet of the source out, so that its number does not look lost."""
        step = (sequence - self._highest) & _16
        if source == self.source and 0 < step < MAX_DROPOUT:
            # A packet from before that comes late has no number left.
            self._highest = (self._highest + step) & _16
            self._sequence_shift -= step
            self._span = 0

    def make(self, advance: int, now: float, rate: int) -> tuple[int, int, int]:
        """
        Return marker bit, sequence number and timestamp of a packet of our own.

        It lies ``advance`` ticks after the one before, if that was ours too, and not long ago.
        """
        begins = self.source != OURSELVES or self.at is None or now - self.at > PAUSE
        self._next(self._elapsed(now, rate) if begins else advance, now, rate)
        self.source = OURSELVES
        return MARKER if begins else 0, self.sequence, self.timestamp

    def interrupt(self) -> None:
        """What feeds this stream will be another source, even if its SSRC is the same."""
        self.source = NOBODY

    def source_sequence(self, sequence: int) -> int | None:
        """Return the number that the source gave to a packet of ours; None if it is long past."""
        if self.source < 0 or (self.sequence - sequence) & _16 > self._span:
            return None
        return (sequence - self._sequence_shift) & _16

    def timestamp_at(self, now: float) -> int:
        """Return the timestamp that a packet sampled now would have, for a sender report."""
        passed = 0.0 if self.at is None else now - self.at
        return (self.timestamp + int(passed * self.rate)) & _32

    def _anchor(
        self, source: int, sequence: int, timestamp: int, now: float, rate: int
    ) -> tuple[int, int, int]:
        self._next(self._elapsed(now, rate), now, rate)
        self.source = source
        self._highest = sequence
        self._span = 0
        self._sequence_shift = self.sequence - sequence
        self._timestamp_shift = self.timestamp - timestamp
        return 0 if rate == VIDEO_RATE else MARKER, self.sequence, self.timestamp

    def _next(self, advance: int, now: float, rate: int) -> None:
        self.sequence = (self.sequence + 1) & _16
        self.timestamp = (self.timestamp + advance) & _32
        self.at = now
        self.rate = rate

    def _elapsed(self, now: float, rate: int) -> int:
        return 0 if self.at is None else round(max(FRAME, now - self.at) * rate)
