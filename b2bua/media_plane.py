"""
What calls need of whoever moves their RTP and RTCP (RFC 3550).

A media plane owns one pair of sockets per leg and medium: RTP on an even port, RTCP on the next.
Two ends that are joined form a bridge: what one receives the other one sends, as a stream of its
own, with its own SSRC, numbers and times, so that the legs of a call have no packet in common.
Nothing is decided here: whom an end believes, what it sends and under which numbers is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

Address = tuple[str, int]


class MediaPortsExhausted(Exception):
    """No pair of ports is free, or none can be bound; the text names the range and the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamTerms:
    """
    What holds for one end from now on.

    ``remote`` is the address of the peer's SDP; None while it is not known, and where it was
    0.0.0.0. What is no number, of the other family or multicast is as good as None. An end sends
    there until the first packet that came *from that host* shows the port the peer really sends
    from; then it is locked to that source. A change of ``remote`` unlocks.
    """

    remote: Address | None = None
    remote_rtcp: Address | None = None
    """Where RTCP goes; None: nowhere, unless ``rtcp_mux``."""
    rtcp_mux: bool = False
    sends: bool = True
    """By SDP we may send: sendrecv or sendonly of ours."""
    receives: bool = True
    """What the peer sends may pass; otherwise it is counted and dropped."""
    payload_types: Mapping[int, int] = field(default_factory=dict)
    """From the number that this end receives to the number that the joined end sends. What is not
    listed is dropped."""
    clock_rates: Mapping[int, int] = field(default_factory=dict)
    """Ticks per second, by the numbers that this end receives; for RTCP and jitter."""
    silence: int | None = None
    """
    The number under which silence is sent from now on until the joined end brings something: 0
    (PCMU) or 8 (PCMA), or 13 for comfort noise; ten minutes at most. The first packet goes out at
    once, the next four 20 ms apart (comfort noise: 200 ms), and from then on one each 200 ms. None
    sends nothing of its own. Servers that latch need to hear us first.
    """


@dataclass(frozen=True, slots=True)
class StreamCounters:
    """What an end has moved so far, and what its peer reported last (RFC 3550, section 6.4)."""

    received_packets: int = 0
    received_bytes: int = 0
    sent_packets: int = 0
    sent_bytes: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    """
    Packets that went nowhere, by a fixed word. Of received ones: malformed, source (not the
    peer's), payload-type, held (``receives``, or ``sends`` of the joined end), nowhere (no joined
    end, or it has no address yet), late (older than what the joined end sends now), refused (by
    the kernel). Of RTCP: malformed and source.
    """
    lost: int = 0
    """Missing in what was received."""
    jitter: float = 0.0
    """Seconds, of what was received."""
    last_received: float | None = None
    """When the last RTP packet came; None before the first."""
    source: Address | None = None
    """Where the peer's packets come from, once locked."""
    reported_lost: int | None = None
    """Missing in what was sent, by the peer's last report; None before the first."""
    reported_jitter: float | None = None
    """Seconds, of what was sent, by the peer's last report."""
    round_trip: float | None = None
    """Seconds, by the peer's last report; None before it has seen one of ours."""


class MediaPlane(Protocol):
    """
    Moves packets between ends.

    Handles are small integers that are never reused while the plane lives. Every method returns
    at once. An end that is closed leaves the one it was joined to joined to nothing.
    """

    def open(self) -> int:
        """Bind a pair of ports. Raises MediaPortsExhausted."""

    def local(self, end: int) -> Address:
        """Host and RTP port to put into SDP; RTCP is on the port after it."""

    def set_terms(self, end: int, terms: StreamTerms) -> None:
        """Replace what holds for an end; its streams, locks and counters go on where they can."""

    def join(self, first: int, second: int) -> None:
        """Bridge two ends, or an end with itself: that is an echo."""

    def counters(self, end: int) -> StreamCounters:
        """What this end has moved so far."""

    def close(self, end: int) -> StreamCounters:
        """Say RTCP BYE, close both sockets, and let the ports rest."""

    @property
    def free_pairs(self) -> int:
        """Pairs of ports that nobody holds."""
