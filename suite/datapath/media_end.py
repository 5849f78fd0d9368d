"""
One end of a bridge: what holds for it, what it says itself, and what its peer says.

What becomes of its packets is another's: ``twin_end`` has them in Python, ``native_end`` in C. The
same in both is told here: feedback, reports, requests for pictures.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from b2bua.media_plane import StreamCounters, StreamTerms
from b2bua.net.srtp import LONGEST_SRTP, SrtpSession
from b2bua.rtp.errors import MalformedRtp
from b2bua.rtp.pictures import PictureRequests
from b2bua.rtp.reports import (
    Incoming,
    Outgoing,
    Reports,
    lost_packets,
    missed_packets,
    picture_loss,
    translate,
)
from b2bua.rtp.rtcp import PSFB, RTPFB, Feedback, Goodbye, RtcpPacket, parse_compound
from b2bua.rtp.stream import VIDEO_RATE
from suite.datapath.media_trace import EndTrace

PACKETS_PER_SOCKET = 32
"""Read from one socket before the others get their turn."""
CONTROL_COST = 8
"""What reading one datagram of RTCP takes from the budget of a wake-up, in packets."""
MOST_PER_SECOND = 2000
"""
Packets of one end that go on in a second; video has a few hundred. Two ends, or an echo, that are
told each other's address for that of the peer's would else send one packet round for ever.

Only the peer's count: those of its source, in SRTP the authentic ones. Strangers use up nothing.
"""
MOST_CONTROL = MOST_PER_SECOND // CONTROL_COST
"""Datagrams of RTCP that are read of one RTP port in a second."""
DEFAULT_RATE = 8000
SHORTEST = 8
"""Bytes of the least RTCP that says anything."""


class KeptPackets(Protocol):
    """What may be sent again, see b2bua.rtp.kept.Kept."""

    def has(self, sequence: int) -> bool: ...
    def again(self, sequence: int, now: float) -> bytes | None: ...


def why_sealed(size: int) -> str:
    """Why a packet of so many bytes could not be decrypted, by a word of StreamCounters."""
    return "too-long" if size > LONGEST_SRTP else "srtp"


class MediaEnd(ABC):
    """
    What all ends have: terms, reports, feedback.

    ``peer`` is the joined end; an echo is its own.
    """

    __slots__ = (
        "_kept",
        "_pictures",
        "ask_later",
        "control_sent",
        "incoming",
        "name",
        "outgoing",
        "peer",
        "rates",
        "reports",
        "terms",
        "trace",
    )

    def __init__(self, incoming: Incoming, outgoing: Outgoing, name: bytes) -> None:
        self.peer: MediaEnd | None = None
        self.incoming = incoming
        self.outgoing = outgoing
        self.name = name
        self.reports = Reports(name, incoming, outgoing)
        self.terms = StreamTerms()
        self.rates: dict[int, int] = {}
        self.control_sent = 0
        """Datagrams of RTCP that left."""
        self.trace: EndTrace | None = None
        """Writes packets down, where somebody reads that."""
        self._pictures = PictureRequests()
        self.ask_later: Callable[[MediaEnd, float], None] = lambda end, at: None
        """Has ``ask_if_wanted`` called then."""
        self._kept: KeptPackets | None = None
        """What may be sent again; only of video, whose peers ask for it."""

    # What holds

    def apply(self, terms: StreamTerms) -> None:
        """Take over what holds from now on; see b2bua.media_plane.StreamTerms."""
        if not all(0 <= number <= 127 for pair in terms.payload_types.items() for number in pair):
            raise ValueError("a payload type is a number from 0 to 127")
        self.terms = terms
        self.rates = {number: rate for number, rate in terms.clock_rates.items() if rate > 0}
        self._pictures.space(terms.picture_spacing if terms.takes_feedback else None)

    @property
    def event_rates(self) -> dict[int, tuple[int, int]]:
        """Of telephone-events whose durations are converted."""
        found = self.terms.event_rates.items()
        return {number: rates for number, rates in found if min(rates) > 0}

    @property
    def asks_after(self) -> float | None:
        """Seconds between two NACKs of our own; None: none."""
        return self.terms.nack_interval if self._takes_nacks else None

    @property
    def _takes_nacks(self) -> bool:
        return self.terms.takes_feedback and self.terms.takes_nacks

    @property
    def keeps(self) -> bool:
        """Whether what is sent may be asked for again."""
        return self.terms.takes_feedback and VIDEO_RATE in self.rates.values()

    def join(self, other: MediaEnd) -> None:
        """Bridge two ends that are joined to nothing."""
        self.peer, other.peer = other, self
        self.outgoing.interrupt()
        other.outgoing.interrupt()

    def part(self) -> None:
        """Be joined to nothing."""
        if self.peer is not None:
            for end in (self, self.peer):
                end._pictures.forget()
            self.peer.peer = None
            self.peer = None

    # What packets have come to

    @property
    @abstractmethod
    def forwarded(self) -> int:
        """Packets of the joined end that went out here."""

    @property
    @abstractmethod
    def last_received(self) -> float | None:
        """When the last packet came."""

    @property
    @abstractmethod
    def can_send(self) -> bool:
        """Whether packets have anywhere to go."""

    @abstractmethod
    def count_dropped(self, reason: str) -> None:
        """Count a packet that went nowhere, by one of the words of StreamCounters."""

    @abstractmethod
    def put_again(self, packet: bytes) -> bool:
        """Send what went over the wire once; tell whether it left."""

    @abstractmethod
    def send_own(self, number: int, payload: bytes, advance: int, now: float, rate: int) -> None:
        """Send a packet of our own, if this end may send and knows where to."""

    def begin_trace(self, trace: EndTrace | None) -> None:
        """Write packets down from now on, if somebody reads that."""
        self.trace = trace

    def drop(self, reason: str) -> None:
        """Count a packet that went nowhere, and write it down."""
        self.count_dropped(reason)
        if self.trace is not None:
            self.trace.dropped(reason)

    # What the peer says

    def read_control(self, data: bytes, srtp: SrtpSession | None, now: float) -> bool:
        """Take a datagram of the peer's RTCP. Tell whether it was one."""
        plain = data if srtp is None else srtp.unprotect_rtcp(data)
        if plain is None:
            self.drop(why_sealed(len(data)))
            return False
        try:
            packets = parse_compound(plain)
        except MalformedRtp:
            self.drop("malformed")
            return False
        if self.trace is not None:
            self.trace.rtcp("in", plain)
        self.heard_reports(packets, now)
        return True

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
        kept = self._kept
        if missed is None or kept is None or not self.can_send:
            return feedback
        for sequence in missed:
            packet = kept.again(sequence, now)
            if packet is not None and not self.put_again(packet):
                self.drop("refused")
        gone = [sequence for sequence in missed if not kept.has(sequence)]
        return lost_packets(feedback.sender, feedback.media, gone) if gone else None

    def pass_on(self, feedback: list[Feedback], stream: Outgoing, now: float) -> None:
        """Send feedback on ``stream``, which our peer feeds, to our peer."""
        ours = self.outgoing.ssrc
        translated = [found for item in feedback if (found := translate(item, stream, ours))]
        passed = [item for item in translated if item.kind == RTPFB and self._passes_nack(item)]
        # One request serves all of the same moment.
        picture = next((item for item in translated if item.kind == PSFB), None)
        if picture is not None and self._may_ask(now):
            passed.append(picture)
        if passed:
            self.send_control(now, *passed)

    def _passes_nack(self, nack: Feedback) -> bool:
        """Whether a NACK for our peer goes on as it is."""
        if self.asks_after is None:
            return self._takes_nacks
        for sequence in missed_packets(nack, nack.media) or ():
            self.want(nack.media, sequence)
        return False

    def _may_ask(self, now: float) -> bool:
        """Whether to ask for a whole picture now; if not, it may be asked for later."""
        if not self.can_control:
            return False
        may = self._pictures.ask(now)
        due = self._pictures.due(now)
        if due is not None:
            self.ask_later(self, due)
        return may

    def ask_for_picture(self, now: float) -> None:
        """Ask the peer for a whole picture, now or as soon as it may be asked."""
        if self.incoming.ssrc >= 0 and self._may_ask(now):
            self.send_control(now, picture_loss(self.outgoing.ssrc, self.incoming.ssrc))

    def ask_if_wanted(self, now: float) -> None:
        """Ask for a whole picture that somebody wanted too early, unless it was asked for since."""
        if self._pictures.due(now) is not None:
            self.ask_for_picture(now)

    @abstractmethod
    def want(self, ssrc: int, sequence: int) -> None:
        """Ask the peer for a packet with the next ones that are missing."""

    def ask_for_lost(self, ssrc: int, lost: Sequence[int], now: float) -> None:
        """Ask the peer for packets of a source that are missing."""
        self.send_control(now, lost_packets(self.outgoing.ssrc, ssrc, lost))

    # What we say

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
        if self.control_sent or self.outgoing.packets:
            self.send_control(now, Goodbye(sources=(self.outgoing.ssrc,)))

    @abstractmethod
    def counters(self) -> StreamCounters:
        """What this end has moved so far."""
