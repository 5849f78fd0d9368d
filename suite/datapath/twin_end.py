"""
One end of a bridge in Python: what it receives, what it forwards, what it sends.

How its packets come and go is another's: ``media_plain`` has ends with sockets of their own,
``web_end`` those that share the transport of a browser. The functions marked *per packet* are what
``benchmarks/rtp.py`` measures.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Protocol

from b2bua.media_plane import StreamCounters, StreamTerms
from b2bua.rtp.event import NamedEvent
from b2bua.rtp.kept import Kept
from b2bua.rtp.latch import Latch, Source
from b2bua.rtp.missing import Missing
from b2bua.rtp.packet import HEADER, HEADER_SIZE, MARKER, PADDING, VERSION_2
from b2bua.rtp.stream import IncomingStream, OutgoingStream
from suite.datapath.media_end import DEFAULT_RATE, MOST_PER_SECOND, MediaEnd

_32 = 0xFFFFFFFF

Send = Callable[[bytes | memoryview, Source], object]
"""Sends a packet to a target; raises OSError."""


class Surroundings(Protocol):
    """What all ends of a plane have in common."""

    share: int
    buffer: bytearray
    view: memoryview

    def seconds(self) -> float:
        """Return the time, which only grows."""


class Pace:
    """How many came in this second."""

    __slots__ = ("_second", "_taken")

    def __init__(self) -> None:
        self._second = 0.0
        """When it ends."""
        self._taken = 0

    def is_over(self, now: float, most: int) -> bool:
        """Per packet: tell whether ``most`` came in this second; else one more did."""
        if now >= self._second:
            self._second = now + 1.0
            self._taken = 0
        if self._taken >= most:
            return True
        self._taken += 1
        return False


class TwinEnd(MediaEnd):
    """An end whose packets pass here."""

    __slots__ = (
        "_around",
        "_event",
        "_events",
        "_missing",
        "_pace",
        "_send",
        "dropped",
        "forwarded",
        "last_received",
        "latch",
        "received_bytes",
        "received_packets",
        "sent_bytes",
        "types",
    )

    forwarded: int
    incoming: IncomingStream
    last_received: float | None
    outgoing: OutgoingStream
    peer: TwinEnd | None
    _kept: Kept | None

    def __init__(self, around: Surroundings, outgoing: OutgoingStream, name: bytes) -> None:
        super().__init__(IncomingStream(), outgoing, name)
        self.latch = Latch()
        self.types: dict[int, int] = {}
        """From the payload types of this end to those of the other; empty while held."""
        self.received_packets = self.received_bytes = self.sent_bytes = 0
        self.forwarded = 0
        """Packets of the joined end that went out here."""
        self.last_received = None
        self.dropped: dict[str, int] = {}
        self._around = around
        self._event = NamedEvent()
        self._events: dict[int, tuple[int, int]] = {}
        self._missing: Missing | None = None
        self._pace = Pace()
        self._send: Send = self._send_sealed

    def apply(self, terms: StreamTerms) -> None:
        """Take over what holds from now on; see b2bua.media_plane.StreamTerms."""
        super().apply(terms)
        self.types = dict(terms.payload_types) if terms.receives else {}
        self._events = self.event_rates
        if self.asks_after is None:
            self._missing = None
        elif self._missing is None:
            self._missing = Missing(self.asks_after)
        if not self.keeps:
            self._kept = None
        elif self._kept is None:
            self._kept = Kept()
        self._send = self._choose_send()

    # Receiving

    def received(self, start: int, size: int, now: float) -> None:
        """
        Per packet: take note of it, and let the joined end send it.

        It is the peer's, believed and in the clear: nobody else uses up what an end takes.
        """
        if self._pace.is_over(now, MOST_PER_SECOND):
            self.drop("flood")
            return
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
        mark, sequence, moved = numbers
        padding = buffer[size - 1] if first & PADDING else 0
        if number in self._events:
            came = ssrc, timestamp, second & MARKER != 0
            moved += self._event.convert(buffer, start, size - padding, came, self._events[number])
        # The new header stands right before the payload: what contributing sources and
        # extensions tell is between the peer and us.
        begin = start - HEADER_SIZE
        if not peer.takes(size - begin):
            self.drop("too-long")
            return
        HEADER.pack_into(
            buffer,
            begin,
            VERSION_2 | first & PADDING,
            mapped | second & MARKER | mark,
            sequence,
            moved & _32,
            peer.outgoing.ssrc,
        )
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

    def _miss(self, missing: Missing, ssrc: int, sequence: int, now: float) -> None:
        """Per packet, where NACKs of our own are wanted: ask for what is missing, now and then."""
        lost = missing.receive(ssrc, sequence, now)
        if lost:
            self.ask_for_lost(ssrc, lost, now)

    def want(self, ssrc: int, sequence: int) -> None:
        """Ask the peer for a packet with the next ones that are missing."""
        if self._missing is not None:
            self._missing.want(ssrc, sequence)

    def count_dropped(self, reason: str) -> None:
        """Count a packet that went nowhere, by one of the words of StreamCounters."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    # Sending

    def send(self, packet: bytes | memoryview, target: Source, octets: int) -> bool:
        """Per packet: send to the peer; tell whether the kernel took it."""
        try:
            self._send(packet, target)
        except OSError:
            return False
        stream = self.outgoing
        stream.packets += 1
        stream.octets += octets
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
    def takes(self, size: int) -> bool:
        """Per packet: tell whether it is not too long to be encrypted."""

    @abstractmethod
    def seal(self, packet: bytes | memoryview) -> bytes:
        """Return a packet as it goes over the wire. Raises OSError for what cannot."""

    @abstractmethod
    def put(self, data: bytes, target: Source) -> object:
        """Send what was sealed. Raises OSError."""

    @property
    def can_send(self) -> bool:
        """Whether packets have anywhere to go."""
        return self.latch.target is not None

    def put_again(self, packet: bytes) -> bool:
        """Send what went over the wire once; tell whether it left."""
        target = self.latch.target
        if target is None:
            return False
        try:
            self.put(packet, target)
        except OSError:
            return False
        return True

    def send_own(self, number: int, payload: bytes, advance: int, now: float, rate: int) -> None:
        """Send a packet of our own, if this end may send and knows where to."""
        target = self.latch.target
        if target is None or not self.terms.sends:
            return
        mark, sequence, timestamp = self.outgoing.make(advance, now, rate)
        head = HEADER.pack(VERSION_2, number | mark, sequence, timestamp, self.outgoing.ssrc)
        self.send(head + payload, target, len(payload))

    def counters(self) -> StreamCounters:
        """What this end has moved so far."""
        source = self.latch.source
        return StreamCounters(
            received_packets=self.received_packets,
            received_bytes=self.received_bytes,
            sent_packets=self.outgoing.packets,
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
