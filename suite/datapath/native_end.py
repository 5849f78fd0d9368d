"""
One end of a bridge whose packets pass in C; what it says and hears by RTCP is Python's.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final

from b2bua.media_plane import SrtpKeys, StreamCounters, StreamTerms
from b2bua.net.srtp import SrtpSession
from b2bua.rtp.latch import Address, usable
from b2bua.rtp.reports import Reports
from b2bua.rtp.rtcp import ReportBlock, RtcpPacket, build_compound
from suite.datapath._native import Core, End
from suite.datapath.media_end import MediaEnd
from suite.datapath.media_trace import MORE, EndTrace
from suite.datapath.native_srtp import session, ways

REASONS: Final = (
    "malformed",
    "source",
    "payload-type",
    "held",
    "nowhere",
    "late",
    "refused",
    "flood",
    "srtp",
    "too-long",
)
"""Why packets went nowhere, in the order of dp_drop."""
_NUMBERS: Final = {reason: number for number, reason in enumerate(REASONS)}
_MOST: Final = (1 << 32) - 1
_ON_CONTROL: Final = 1
_SCOPE_AT: Final = 32
_WENT_IN, _WENT_OUT = range(2)
_NEVER: Final = float("inf")


def first_numbers(randbelow: Callable[[int], int]) -> tuple[int, int, int]:
    """SSRC, sequence number and timestamp of a stream that begins."""
    return randbelow(1 << 32), randbelow(1 << 16), randbelow(1 << 32)


def by_reason(counts: list[int]) -> dict[str, int]:
    """Counts of C, by the words of StreamCounters."""
    return {reason: count for reason, count in zip(REASONS, counts, strict=True) if count}


class _Incoming:
    """What comes in, as reports want it."""

    def __init__(self, end: End) -> None:
        self._end = end

    @property
    def ssrc(self) -> int:
        return self._end.incoming_ssrc

    @property
    def lost(self) -> int:
        return self._end.lost

    @property
    def jitter(self) -> float:
        return self._end.jitter

    def report(self, last_report: int = 0, delay: int = 0) -> ReportBlock | None:
        found = self._end.report()
        if found is None:
            return None
        ssrc, fraction, lost, highest, jitter = found
        return ReportBlock(
            ssrc=ssrc,
            fraction_lost=fraction,
            lost=max(-0x800000, min(0x7FFFFF, lost)),
            highest=highest,
            jitter=jitter,
            last_report=last_report,
            delay=delay,
        )


class _Outgoing:
    """What goes out, as reports want it."""

    def __init__(self, end: End) -> None:
        self._end = end

    @property
    def ssrc(self) -> int:
        return self._end.ssrc

    @property
    def source(self) -> int:
        return self._end.outgoing_source

    @property
    def at(self) -> float | None:
        return self._end.sent_at

    @property
    def rate(self) -> int:
        return self._end.rate

    @property
    def packets(self) -> int:
        return self._end.sent_packets

    @property
    def octets(self) -> int:
        return self._end.sent_payload

    def interrupt(self) -> None:
        self._end.interrupt()

    def source_sequence(self, sequence: int) -> int | None:
        return self._end.source_sequence(sequence)

    def timestamp_at(self, now: float) -> int:
        return self._end.timestamp_at(now)


class _Reports(Reports):
    """Those of an end in C, which also writes them: there are many every second."""

    def __init__(self, name: bytes, end: End) -> None:
        super().__init__(name, _Incoming(end), _Outgoing(end))
        self._end = end

    def compound(self, now: float, *more: RtcpPacket) -> bytes:
        """Return a report and our name, and ``more`` after them."""
        own = self._end.compound(now, self._name, *self.opening(now))
        return own + build_compound(more) if more else own


class NativeEnd(MediaEnd):
    """An end whose packets pass in C."""

    __slots__ = ("native", "seconds")

    def __init__(self, native: End, seconds: Callable[[], float], name: bytes) -> None:
        super().__init__(_Incoming(native), _Outgoing(native), name)
        self.reports = _Reports(name, native)
        self.native = native
        self.seconds = seconds

    def apply(self, terms: StreamTerms) -> None:
        """Take over what holds from now on; see b2bua.media_plane.StreamTerms."""
        super().apply(terms)
        native = self.native
        rates = {number: min(rate, _MOST) for number, rate in self.rates.items()}
        events = {
            number: (min(here, _MOST), min(there, _MOST))
            for number, (here, there) in self.event_rates.items()
        }
        native.set_types(dict(terms.payload_types), rates, events)
        native.set_ways(terms.sends, terms.receives, terms.rtcp_mux)
        native.set_missing(self.asks_after)
        native.set_kept(self.keeps)
        self._kept = native if self.keeps else None

    def join(self, other: MediaEnd) -> None:
        """Bridge two ends that are joined to nothing."""
        assert isinstance(other, NativeEnd)
        super().join(other)
        self.native.join(other.native)

    def part(self) -> None:
        """Be joined to nothing."""
        super().part()
        self.native.part()

    def close(self) -> None:
        """It is not used any more."""
        self.native.close()

    # What packets have come to

    @property
    def forwarded(self) -> int:
        """Packets of the joined end that went out here."""
        return self.native.forwarded

    @property
    def last_received(self) -> float | None:
        """When the last packet came."""
        return self.native.last_received

    @property
    def can_send(self) -> bool:
        """Whether packets have anywhere to go."""
        return self.native.can_send

    @property
    def can_control(self) -> bool:
        """Whether RTCP has anywhere to go."""
        return self.native.can_control

    def count_dropped(self, reason: str) -> None:
        """Count a packet that went nowhere, by one of the words of StreamCounters."""
        self.native.drop(_NUMBERS[reason])

    def counters(self) -> StreamCounters:
        """What this end has moved so far."""
        native = self.native
        packets, octets = native.received
        return StreamCounters(
            received_packets=packets,
            received_bytes=octets,
            sent_packets=native.sent_packets,
            sent_bytes=native.sent_bytes,
            dropped=by_reason(native.dropped),
            lost=native.lost,
            jitter=native.jitter,
            last_received=native.last_received,
            source=native.source,
            reported_lost=self.reports.lost,
            reported_jitter=self.reports.jitter,
            round_trip=self.reports.round_trip,
        )

    # What it sends

    def put_again(self, packet: bytes) -> bool:
        """Send what went over the wire once; tell whether it left."""
        return self.native.put(packet)

    def send_own(self, number: int, payload: bytes, advance: int, now: float, rate: int) -> None:
        """Send a packet of our own, if this end may send and knows where to."""
        self.native.send_own(number, payload, advance, now, rate)

    def want(self, ssrc: int, sequence: int) -> None:
        """Ask the peer for a packet with the next ones that are missing."""
        self.native.want(ssrc, sequence)

    # What C tells

    def missed(self, ssrc: int, data: bytes) -> None:
        """Packets of a source are missing; their numbers have the machine's order of bytes."""
        self.ask_for_lost(ssrc, memoryview(data).cast("H").tolist(), self.seconds())

    def begin_trace(self, trace: EndTrace | None) -> None:
        """Write packets down from now on, if somebody reads that."""
        super().begin_trace(trace)
        if trace is not None:
            self._trace_on(trace)

    def traced(self, more: int, head: bytes) -> None:
        """Something became of a packet."""
        trace, went, rest = self.trace, more & 0xFF, more >> 8
        if trace is None:
            return
        if went in (_WENT_IN, _WENT_OUT):
            trace.rtp("in" if went == _WENT_IN else "out", head, rest)
            self._trace_on(trace)
        else:
            trace.dropped(REASONS[rest])

    def _trace_on(self, trace: EndTrace) -> None:
        self.native.trace(trace.level >= MORE, trace.due("in"), trace.due("out"))


class NativePlainEnd(NativeEnd):
    """An end with sockets of its own, in the clear or as SRTP by keys of SDP."""

    __slots__ = ("_host", "_keys", "_srtp")

    def __init__(
        self,
        core: Core,
        sockets: tuple[socket.socket, socket.socket],
        first: tuple[int, int, int],
        seconds: Callable[[], float],
        name: bytes,
    ) -> None:
        """The sockets are ours from now on. Raises OSError."""
        rtp, control = sockets
        self._host: str = rtp.getsockname()[0]
        self._keys: SrtpKeys | None = None
        self._srtp: SrtpSession | None = None
        native = End.open(core, rtp.fileno(), control.fileno(), first)
        rtp.detach()
        control.detach()
        super().__init__(native, seconds, name)

    def apply(self, terms: StreamTerms) -> None:
        """Take over what holds from now on; see b2bua.media_plane.StreamTerms."""
        if terms.keys != self._keys:
            self._keys = terms.keys
            self._srtp = None if terms.keys is None else session(terms.keys, self._srtp)
            self.native.set_keys(None if self._srtp is None else ways(self._srtp))
            # What went out before, perhaps in the clear, does not go out again.
            self.native.set_kept(False)
        super().apply(terms)
        own = self._host
        self.native.aim(usable(terms.remote, own), usable(terms.remote_rtcp, own), self.seconds())

    def put_control(self, datagram: bytes) -> bool:
        """Send RTCP; tell whether it left."""
        data = datagram if self._srtp is None else self._srtp.protect_rtcp(datagram)
        return data is not None and self.native.put_control(data)

    def control_came(self, more: int, source: Address, data: bytes) -> None:
        """Take RTCP of the peer, as it came."""
        now = self.seconds()
        if self.read_control(data, self._srtp, now) and more & _ON_CONTROL:
            self.native.lock_control(source, more >> _SCOPE_AT, now)
