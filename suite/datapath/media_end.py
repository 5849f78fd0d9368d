"""
One end of a bridge: what it receives, what it forwards and what it says itself.

How its packets come and go is another's: ``media_plain`` has ends with sockets of their own,
``web_end`` those that share the transport of a browser. The functions marked *per packet* are what
``benchmarks/rtp.py`` measures.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Protocol

from b2bua.media_plane import StreamCounters, StreamTerms
from b2bua.rtp.event import rescale
from b2bua.rtp.kept import Kept
from b2bua.rtp.latch import Latch, Source
from b2bua.rtp.missing import Missing
from b2bua.rtp.packet import HEADER, HEADER_SIZE, MARKER, PADDING, VERSION_2
from b2bua.rtp.reports import (
    Reports,
    lost_packets,
    missed_packets,
    picture_loss,
    translate,
)
from b2bua.rtp.rtcp import PSFB, Feedback, Goodbye, RtcpPacket
from b2bua.rtp.stream import VIDEO_RATE, IncomingStream, OutgoingStream
from suite.datapath.media_trace import EndTrace

PACKETS_PER_SOCKET = 32
"""Read from one socket before the others get their turn."""
CONTROL_COST = 8
"""What reading one datagram of RTCP takes from the budget of a wake-up, in packets."""
MOST_PER_SECOND = 2000
"""
Packets of one end that go on in a second; video has a few hundred. Two ends, or an echo, that are
told each other's address for that of the peer's would else send one packet round for ever.
"""
PICTURE_PAUSE = 0.25
"""Seconds between two requests for a whole picture: it costs its source as much as many others."""
DEFAULT_RATE = 8000
SHORTEST = 8
"""Bytes of the least RTCP that says anything."""

Send = Callable[[bytes | memoryview, Source], object]
"""Sends a packet to a target; raises OSError."""


class Surroundings(Protocol):
    """What all ends of a plane have in common."""

    share: int
    buffer: bytearray
    view: memoryview

    def seconds(self) -> float:
        """Return the time, which only grows."""


class MediaEnd(ABC):
    """
    What all ends have: streams, counters, terms.

    ``peer`` is the joined end; an echo is its own.
    """

    __slots__ = (
        "_around",
        "_asked",
        "_events",
        "_kept",
        "_missing",
        "_second",
        "_send",
        "_taken",
        "control_sent",
        "dropped",
        "forwarded",
        "incoming",
        "last_received",
        "latch",
        "name",
        "outgoing",
        "peer",
        "rates",
        "received_bytes",
        "received_packets",
        "reports",
        "sent_bytes",
        "terms",
        "trace",
        "types",
    )

    def __init__(self, around: Surroundings, outgoing: OutgoingStream, name: bytes) -> None:
        self.peer: MediaEnd | None = None
        self.latch = Latch()
        self.incoming = IncomingStream()
        self.outgoing = outgoing
        self.name = name
        self.reports = Reports(name, self.incoming, outgoing)
        self.terms = StreamTerms()
        self.types: dict[int, int] = {}
        """From the payload types of this end to those of the other; empty while held."""
        self.rates: dict[int, int] = {}
        self.received_packets = self.received_bytes = self.sent_bytes = 0
        self.forwarded = 0
        """Packets of the joined end that went out here."""
        self.control_sent = 0
        """Datagrams of RTCP that left."""
        self.last_received: float | None = None
        self.dropped: dict[str, int] = {}
        self.trace: EndTrace | None = None
        """Writes packets down, where somebody reads that."""
        self._around = around
        self._asked: float | None = None
        """When the peer was asked for a whole picture last."""
        self._events: dict[int, tuple[int, int]] = {}
        self._missing: Missing | None = None
        self._kept: Kept | None = None
        """What may be sent again; only of video, whose peers ask for it."""
        self._second = 0.0
        """When the second ends in which ``_taken`` packets came."""
        self._taken = 0
        self._send: Send = self._send_sealed

    def apply(self, terms: StreamTerms) -> None:
        """Take over what holds from now on; see b2bua.media_plane.StreamTerms."""
        if not all(0 <= number <= 127 for pair in terms.payload_types.items() for number in pair):
            raise ValueError("a payload type is a number from 0 to 127")
        self.terms = terms
        self.types = dict(terms.payload_types) if terms.receives else {}
        self.rates = {number: rate for number, rate in terms.clock_rates.items() if rate > 0}
        self._events = {
            number: rates for number, rates in terms.event_rates.items() if min(rates) > 0
        }
        if terms.nack_interval is None or not terms.takes_feedback:
            self._missing = None
        elif self._missing is None:
            self._missing = Missing(terms.nack_interval)
        if not terms.takes_feedback or VIDEO_RATE not in self.rates.values():
            self._kept = None
        elif self._kept is None:
            self._kept = Kept()
        self._send = self._choose_send()

    # Receiving

    def taken(self, now: float) -> int:
        """Say how many packets came in this second."""
        if now >= self._second:
            self._second = now + 1.0
            self._taken = 0
        return self._taken

    def received(self, start: int, size: int, now: float) -> None:
        """Per packet: take note of it, and let the joined end send it."""
        buffer = self._around.buffer
        first, second, sequence, timestamp, ssrc = HEADER.unpack_from(buffer)
        number = second & 0x7F
        rate = self.rates.get(number, DEFAULT_RATE)
        self.received_packets += 1
        self.received_bytes += size
        self.last_received = now
        self.incoming.receive(ssrc, sequence, timestamp, now, rate)
        if self.trace is not None:
            self.trace.rtp("in", self._around.view[:size])
        if self._missing is not None:
            self._miss(self._missing, ssrc, sequence, now)
        mapped, peer = self.types.get(number), self.peer
        target = None if peer is None else peer.latch.target
        if mapped is None or peer is None or target is None or not peer.terms.sends:
            self._withhold(ssrc, sequence)
            return
        numbers = peer.outgoing.take(ssrc, sequence, timestamp, now, rate)
        if numbers is None:
            self.drop("late")
            return
        mark, sequence, timestamp = numbers
        # The new header stands right before the payload: what contributing sources and
        # extensions tell is between the peer and us.
        begin = start - HEADER_SIZE
        HEADER.pack_into(
            buffer,
            begin,
            VERSION_2 | first & PADDING,
            mapped | second & MARKER | mark,
            sequence,
            timestamp,
            peer.outgoing.ssrc,
        )
        padding = buffer[size - 1] if first & PADDING else 0
        if number in self._events:
            rescale(buffer, start, size, self._events[number])
        peer.forwarded += 1
        if not peer.send(self._around.view[begin:size], target, size - start - padding):
            self.drop("refused")

    def _withhold(self, ssrc: int, sequence: int) -> None:
        """Count a packet that does not go on, without a gap in what the joined end sends."""
        peer = self.peer
        if not self.terms.receives or (peer is not None and not peer.terms.sends):
            self.drop("held")
        elif peer is None or peer.latch.target is None:
            self.drop("nowhere")
        else:
            self.drop("payload-type")
        if peer is not None:
            peer.outgoing.skip(ssrc, sequence)

    def heard_reports(self, packets: Iterable[RtcpPacket], now: float) -> None:
        """Take what the peer says in its RTCP; feedback goes on."""
        feedback = self.reports.read(packets, now)
        if self._kept is not None:
            feedback = [left for item in feedback if (left := self._resend(item, now)) is not None]
        if feedback and self.peer is not None:
            self.peer.pass_on(feedback, self.outgoing, now)

    def _resend(self, feedback: Feedback, now: float) -> Feedback | None:
        """Send again what the peer misses and is still here; return what is for the source."""
        missed = missed_packets(feedback, self.outgoing.ssrc)
        kept, target = self._kept, self.latch.target
        if missed is None or kept is None or target is None:
            return feedback
        for sequence in missed:
            packet = kept.again(sequence, now)
            if packet is not None:
                self._put_again(packet, target)
        gone = [sequence for sequence in missed if not kept.has(sequence)]
        return lost_packets(feedback.sender, feedback.media, gone) if gone else None

    def _put_again(self, packet: bytes, target: Source) -> None:
        try:
            self.put(packet, target)
        except OSError:
            self.drop("refused")

    def pass_on(self, feedback: list[Feedback], stream: OutgoingStream, now: float) -> None:
        """Send feedback on ``stream``, which our peer feeds, to our peer."""
        if not self.terms.takes_feedback:
            return
        ours = self.outgoing.ssrc
        translated = [found for item in feedback if (found := translate(item, stream, ours))]
        if any(item.kind == PSFB for item in translated) and not self._may_ask(now):
            translated = [item for item in translated if item.kind != PSFB]
        if translated:
            self.send_control(now, *translated)

    def _may_ask(self, now: float) -> bool:
        """Whether it is time to ask for a whole picture; if so, take it as asked for."""
        if self._asked is not None and now - self._asked < PICTURE_PAUSE:
            return False
        self._asked = now
        return True

    def ask_for_picture(self, now: float, since: float) -> None:
        """Ask the peer for a whole picture, if it takes that and has sent any ``since``."""
        latest = self.last_received
        wanted = latest is not None and latest >= since and self.terms.takes_feedback
        if wanted and self._may_ask(now):
            self.send_control(now, picture_loss(self.outgoing.ssrc, self.incoming.ssrc))

    def _miss(self, missing: Missing, ssrc: int, sequence: int, now: float) -> None:
        """Per packet, where NACKs of our own are wanted: ask for what is missing, now and then."""
        lost = missing.receive(ssrc, sequence, now)
        if lost:
            self.send_control(now, lost_packets(self.outgoing.ssrc, ssrc, lost))

    def drop(self, reason: str) -> None:
        """Count a packet that went nowhere, by one of the words of StreamCounters."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
        if self.trace is not None:
            self.trace.dropped(reason)

    # Sending

    def send(self, packet: bytes | memoryview, target: Source, octets: int) -> bool:
        """Per packet: send to the peer; tell whether the kernel took it."""
        try:
            self._send(packet, target)
        except OSError:
            return False
        reports = self.reports
        reports.packets += 1
        reports.octets += octets
        self.sent_bytes += len(packet)
        if self.trace is not None:
            self.trace.rtp("out", packet)
        return True

    def _choose_send(self) -> Send:
        """Return the shortest way that does all that has to be done."""
        return self._send_sealed if self._kept is None else self._send_kept

    def _send_sealed(self, packet: bytes | memoryview, target: Source) -> None:
        """Per packet, where packets are encrypted."""
        self.put(self.seal(packet), target)

    def _send_kept(self, packet: bytes | memoryview, target: Source) -> None:
        """Per packet of video."""
        assert self._kept is not None
        data = self.seal(packet)
        self._kept.keep(packet[2] << 8 | packet[3], data)
        self.put(data, target)

    @abstractmethod
    def seal(self, packet: bytes | memoryview) -> bytes:
        """Return a packet as it goes over the wire. Raises OSError for what cannot."""

    @abstractmethod
    def put(self, data: bytes, target: Source) -> object:
        """Send what was sealed. Raises OSError."""

    def send_own(self, number: int, payload: bytes, advance: int, now: float, rate: int) -> None:
        """Send a packet of our own, if this end may send and knows where to."""
        target = self.latch.target
        if target is None or not self.terms.sends:
            return
        mark, sequence, timestamp = self.outgoing.make(advance, now, rate)
        head = HEADER.pack(VERSION_2, number | mark, sequence, timestamp, self.outgoing.ssrc)
        self.send(head + payload, target, len(payload))

    def send_control(self, now: float, *more: RtcpPacket) -> None:
        """Send our report, and ``more`` with it, if it is known where to."""
        if not self.can_control:
            return
        datagram = self.reports.compound(now, *more)
        if self.put_control(datagram):
            self.control_sent += 1
            if self.trace is not None:
                self.trace.rtcp("out", datagram)

    @property
    @abstractmethod
    def can_control(self) -> bool:
        """Whether RTCP has anywhere to go."""

    @abstractmethod
    def put_control(self, datagram: bytes) -> bool:
        """Send RTCP; tell whether it left."""

    def say_goodbye(self, now: float) -> None:
        """Send BYE, unless nobody ever heard of us (RFC 3550, section 6.3.7)."""
        if self.control_sent or self.reports.packets:
            self.send_control(now, Goodbye(sources=(self.outgoing.ssrc,)))

    def counters(self) -> StreamCounters:
        """What this end has moved so far."""
        source = self.latch.source
        return StreamCounters(
            received_packets=self.received_packets,
            received_bytes=self.received_bytes,
            sent_packets=self.reports.packets,
            sent_bytes=self.sent_bytes,
            dropped=dict(self.dropped),
            lost=self.incoming.lost,
            jitter=self.incoming.jitter,
            last_received=self.last_received,
            source=None if source is None else (source[0], source[1]),
            reported_lost=self.reports.lost,
            reported_jitter=self.reports.jitter,
            round_trip=self.reports.round_trip,
        )
