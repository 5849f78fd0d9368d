"""
One end of a bridge: its two sockets, whom it hears, what it forwards and what it says itself.

The functions marked *per packet* are what ``benchmarks/rtp.py`` measures.
"""

from __future__ import annotations

import socket
from typing import Protocol

from b2bua.media_plane import StreamCounters, StreamTerms
from b2bua.rtp.errors import MalformedRtp
from b2bua.rtp.latch import Latch, Source, usable
from b2bua.rtp.packet import HEADER, HEADER_SIZE, MARKER, PADDING, VERSION_2, payload_start
from b2bua.rtp.reports import Reports, translate
from b2bua.rtp.rtcp import Feedback, Goodbye, RtcpPacket, is_rtcp, parse_compound
from b2bua.rtp.stream import IncomingStream, OutgoingStream

PACKETS_PER_SOCKET = 32
"""Read from one socket before the others get their turn."""
CONTROL_COST = 8
"""What reading one datagram of RTCP takes from the budget of a wake-up, in packets."""
MOST_PER_SECOND = 2000
"""
Packets of one end that go on in a second; video has a few hundred. Two ends, or an echo, that are
told each other's address for that of the peer's would else send one packet round for ever.
"""
DEFAULT_RATE = 8000
SHORTEST = 8
"""Bytes of the least RTCP that says anything."""


class Surroundings(Protocol):
    """What all ends of a plane have in common."""

    share: int
    buffer: bytearray
    view: memoryview

    def seconds(self) -> float:
        """Return the time, which only grows."""


class MediaEnd:
    """
    The state of one end, and its RTP socket as the plane polls it.

    ``peer`` is the joined end; an echo is its own.
    """

    __slots__ = (
        "_around",
        "_receive_into",
        "_second",
        "_send",
        "_taken",
        "control",
        "dropped",
        "forwarded",
        "incoming",
        "last_received",
        "latch",
        "mux",
        "outgoing",
        "peer",
        "rates",
        "received_bytes",
        "received_packets",
        "reports",
        "sent_bytes",
        "sock",
        "terms",
        "types",
    )

    def __init__(
        self,
        sock: socket.socket,
        control: socket.socket,
        around: Surroundings,
        outgoing: OutgoingStream,
        name: bytes,
    ) -> None:
        self.sock = sock
        self.control = ControlSocket(control, self, around)
        self.peer: MediaEnd | None = None
        self.latch = Latch()
        self.incoming = IncomingStream()
        self.outgoing = outgoing
        self.reports = Reports(name, self.incoming, outgoing)
        self.terms = StreamTerms()
        self.types: dict[int, int] = {}
        """From the payload types of this end to those of the other; empty while held."""
        self.rates: dict[int, int] = {}
        self.mux = False
        self.received_packets = self.received_bytes = self.sent_bytes = 0
        self.forwarded = 0
        """Packets of the joined end that went out here."""
        self.last_received: float | None = None
        self.dropped: dict[str, int] = {}
        self._around = around
        self._second = 0.0
        """When the second ends in which ``_taken`` packets came."""
        self._taken = 0
        self._receive_into = sock.recvfrom_into
        self._send = sock.sendto

    @property
    def is_ipv6(self) -> bool:
        """Whether its sockets reach IPv6 peers."""
        return self.sock.family == socket.AF_INET6

    def apply(self, terms: StreamTerms) -> None:
        """Take over what holds from now on; see b2bua.media_plane.StreamTerms."""
        if not all(0 <= number <= 127 for pair in terms.payload_types.items() for number in pair):
            raise ValueError("a payload type is a number from 0 to 127")
        self.terms = terms
        own = self.sock.getsockname()[0]
        self.latch.aim(usable(terms.remote, own))
        self.control.latch.aim(usable(terms.remote_rtcp, own))
        self.mux = terms.rtcp_mux
        self.types = dict(terms.payload_types) if terms.receives else {}
        self.rates = {number: rate for number, rate in terms.clock_rates.items() if rate > 0}

    # Receiving

    def receive(self) -> int:
        """Per packet: what the peer sent goes out at the joined end."""
        around, latch = self._around, self.latch
        buffer, now = around.buffer, around.seconds()
        most = min(PACKETS_PER_SOCKET, around.share)
        taken = self.taken(now)
        spent = 0
        while spent < most:
            try:
                size, source = self._receive_into(buffer)
            except OSError:
                break
            spent += 1
            if taken + spent > MOST_PER_SECOND:
                self.drop("flood")
                continue
            if self.mux and size >= SHORTEST and is_rtcp(buffer[1]):
                self.receive_control(bytes(around.view[:size]), latch.hears(source), now)
                spent += CONTROL_COST - 1
                continue
            plain = buffer[0] == VERSION_2 and size >= HEADER_SIZE
            start = HEADER_SIZE if plain else payload_start(buffer, size)
            if start < 0:
                self.drop("malformed")
            elif source != latch.source and not latch.lock(source):
                self.drop("source")
            else:
                self._received(start, size, now)
        self._taken = taken + spent
        return spent or 1

    def taken(self, now: float) -> int:
        """Say how many packets came in this second."""
        if now >= self._second:
            self._second = now + 1.0
            self._taken = 0
        return self._taken

    def _received(self, start: int, size: int, now: float) -> None:
        """Per packet: take note of it, and let the joined end send it."""
        buffer = self._around.buffer
        first, second, sequence, timestamp, ssrc = HEADER.unpack_from(buffer)
        number = second & 0x7F
        rate = self.rates.get(number, DEFAULT_RATE)
        self.received_packets += 1
        self.received_bytes += size
        self.last_received = now
        self.incoming.receive(ssrc, sequence, timestamp, now, rate)
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

    def receive_control(self, data: bytes, heard: bool, now: float) -> bool:
        """Take a datagram of the peer's RTCP; feedback goes on. Tell whether it was one."""
        if not heard:
            self.drop("source")
            return False
        try:
            packets = parse_compound(data)
        except MalformedRtp:
            self.drop("malformed")
            return False
        feedback = self.reports.read(packets, now)
        if feedback and self.peer is not None:
            self.peer.pass_on(feedback, self.outgoing, now)
        return True

    def pass_on(self, feedback: list[Feedback], stream: OutgoingStream, now: float) -> None:
        """Send feedback on ``stream``, which our peer feeds, to our peer."""
        ours = self.outgoing.ssrc
        translated = [found for item in feedback if (found := translate(item, stream, ours))]
        if translated:
            self.send_control(now, *translated)

    def report_errors(self) -> None:
        """Nobody asks for errors; reading the state clears it."""
        self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def drop(self, reason: str) -> None:
        """Count a packet that went nowhere, by one of the words of StreamCounters."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

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
        return True

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
        control = self.control
        target = self.latch.target if self.mux else control.latch.target
        if target is None:
            return
        sock = self.sock if self.mux else control.sock
        try:
            sock.sendto(self.reports.compound(now, *more), target)
        except OSError:
            return
        control.sent += 1

    def say_goodbye(self, now: float) -> None:
        """Send BYE, unless nobody ever heard of us (RFC 3550, section 6.3.7)."""
        if self.control.sent or self.reports.packets:
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


class ControlSocket:
    """The RTCP socket of an end."""

    __slots__ = ("_around", "_end", "latch", "sent", "sock")

    def __init__(self, sock: socket.socket, end: MediaEnd, around: Surroundings) -> None:
        self.sock = sock
        self.latch = Latch()
        self.sent = 0
        """Datagrams of RTCP that left the end, on whichever port."""
        self._end = end
        self._around = around

    def receive(self) -> int:
        """Read what the peer says."""
        around = self._around
        most = min(PACKETS_PER_SOCKET, around.share)
        spent = 0
        while spent < most:
            try:
                size, source = self.sock.recvfrom_into(around.buffer)
            except OSError:
                return spent or 1
            spent += CONTROL_COST
            self._take(bytes(around.view[:size]), source)
        return spent

    def _take(self, data: bytes, source: Source) -> None:
        if self._end.receive_control(data, self.latch.hears(source), self._around.seconds()):
            self.latch.lock(source)

    def report_errors(self) -> None:
        """Nobody asks for errors; reading the state clears it."""
        self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
