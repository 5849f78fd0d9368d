"""
What calls need of whoever moves their RTP and RTCP (RFC 3550).

A media plane owns one pair of sockets per leg and medium: RTP on an even port, RTCP on the next.
Two ends that are joined form a bridge: what one receives the other one sends, as a stream of its
own, with its own SSRC, numbers and times, so that the legs of a call have no packet in common.
Nothing is decided here: whom an end believes, what it sends and under which numbers is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Protocol, runtime_checkable

Address = tuple[str, int]


class MediaPortsExhausted(Exception):
    """No pair of ports is free, or none can be bound; the text names the range and the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SrtpKeys:
    """Keys of SRTP and SRTCP (RFC 3711, RFC 7714) for both ways, each with its salt behind it."""

    profile: str
    """As RFC 4568 names it: AES_CM_128_HMAC_SHA1_80, AES_CM_128_HMAC_SHA1_32, AEAD_AES_128_GCM or
    AEAD_AES_256_GCM (RFC 7714)."""
    sends: bytes = field(repr=False)
    """What we send is encrypted with it."""
    receives: bytes = field(repr=False)


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
    event_rates: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    """Of telephone-events (RFC 4733) whose clock differs on the joined end, by the numbers that
    this end receives: its ticks per second here and there. Their durations are converted, and
    what is then too long for one is cut into segments."""
    keys: SrtpKeys | None = None
    """Encrypts the media of an end with sockets of its own (SDES, RFC 4568); other keys than
    before begin anew. What is not authentic is counted as ``srtp``. None: in the clear."""
    takes_feedback: bool = True
    """Whether the peer may be sent NACK, PLI and FIR (RFC 4585, RFC 5104)."""
    picture_spacing: float | None = 0.25
    """Least seconds between two requests for a whole picture (PLI, FIR), whoever wants it: it costs
    its source as much as many others. What comes too early is sent as one PLI when that time is
    over. None: the peer is sent none."""
    picture_interval: float | None = None
    """Seconds after which the peer is asked for a whole picture (PLI) again and again; None: only
    when the joined end's peer asks."""
    takes_nacks: bool = True
    """Whether the peer may be sent NACK among other feedback."""
    nack_interval: float | None = None
    """Least seconds between two NACKs for what is missing here; what the joined end's peer misses
    is asked for with it. None: nothing is missed here, and its NACKs are passed on at once."""


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
    the kernel, or no packet for SRTP), too-long (for SRTP of this end or the joined one), flood
    (more of the peer's than anybody needs), srtp (not authentic, replayed, or before there are
    keys). Of RTCP: malformed, source, flood, srtp and too-long. Of DTLS: malformed, which is all
    that belongs to no handshake, and source.
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

    def after(self, before: StreamCounters) -> StreamCounters:
        """Return what both ends have moved, of which this one took the place of the other."""
        dropped = Counter(before.dropped) + Counter(self.dropped)
        return replace(
            self,
            received_packets=before.received_packets + self.received_packets,
            received_bytes=before.received_bytes + self.received_bytes,
            sent_packets=before.sent_packets + self.sent_packets,
            sent_bytes=before.sent_bytes + self.sent_bytes,
            dropped=dict(dropped),
            lost=before.lost + self.lost,
        )


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

    def ask_for_picture(self, end: int) -> None:
        """Ask the peer of an end for a whole picture, as its terms space that."""

    def counters(self, end: int) -> StreamCounters:
        """What this end has moved so far."""

    def close(self, end: int) -> StreamCounters:
        """Say RTCP BYE, close both sockets, and let the ports rest."""

    @property
    def free_pairs(self) -> int:
        """Pairs of ports that nobody holds."""


# Browsers: ends that share a transport with ICE and DTLS.


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTransport:
    """What SDP says of a transport of ours."""

    ufrag: str
    password: str = field(repr=False)
    candidates: tuple[str, ...]
    """Values of a=candidate without the name (RFC 8839): those that are known at once, which are
    the addresses of this machine. Reflexive and relayed ones follow, see ``when_gathered``."""
    default: Address
    """For c= and m=: one of the candidates."""
    fingerprint: tuple[str, str] = ("", "")
    """Hash function and colon-separated upper-case hexadecimal of our certificate (RFC 8122)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteTransport:
    """What the peer's SDP says of its side of a transport."""

    ufrag: str
    password: str = field(repr=False)
    candidates: tuple[str, ...] = ()
    """As in ``LocalTransport``; those that lead nowhere, or are not allowed, are passed over."""
    is_lite: bool = False
    fingerprints: tuple[tuple[str, str], ...] = ()
    """Any of them may be that of the peer's certificate. None: ``keys`` are used, without DTLS."""
    begins_handshake: bool = True
    """Whether the peer is the DTLS client: a=setup:active (RFC 5763). Of no meaning where the
    association stands already."""
    keys: SrtpKeys | None = None


class TransportEvent(Enum):
    """What becomes of a transport."""

    CONNECTED = "connected"
    """Media can flow, for the first time or again."""
    LOST = "lost"
    """The peer's consent has expired (RFC 7675): nothing is sent until a restart revives it."""
    FAILED = "failed"
    """It was never connected, or the handshake failed: it never will be."""


@runtime_checkable
class WebMediaPlane(MediaPlane, Protocol):
    """
    A media plane with transports for browsers: ICE (RFC 8445), DTLS-SRTP (RFC 5764), one port.

    Ends on a transport have handles like others. Of their terms, addresses, ``rtcp_mux`` and
    ``keys`` mean nothing. A packet goes to the end whose ``clock_rates`` list its number; ends
    of one transport have no number in common.
    """

    def open_transport(self, tell: Callable[[TransportEvent], None], *, controlling: bool) -> int:
        """
        Bind a port on each address for browsers, and begin to gather.

        ``controlling``: we made the offer (RFC 8445, section 6.1.1). ``tell`` is never called from
        within a method. Raises MediaPortsExhausted.
        """

    def describe_transport(self, transport: int) -> LocalTransport:
        """Say what our SDP has of it."""

    def set_remote(self, transport: int, remote: RemoteTransport) -> None:
        """
        Take what the peer says; the first time this begins checks and handshake.

        The same credentials again add candidates. Others are an ICE restart of the peer: media
        go on over the old pair until the new one is there, and the DTLS association stays, unless
        the fingerprints are others.
        """

    def restart(self, transport: int) -> None:
        """Take new credentials of our own, because a peer restarts, or to revive what is lost."""

    def close_transport(self, transport: int) -> None:
        """Give the ports back; its ends must be closed before."""

    def open_on(self, transport: int) -> int:
        """Open an end on it; one for audio, one for video."""

    def source_of(self, end: int) -> tuple[int, str]:
        """SSRC and CNAME of what this end sends, for a=ssrc (RFC 5576)."""

    def when_gathered(self, ufrag: str, then: Callable[[tuple[str, ...]], None]) -> None:
        """
        Call with the candidates that are not in ``describe_transport``'s, when they are known.

        At once where there are none to wait for, or no transport has this ``ufrag``; after a
        second at the latest, with what there is.
        """
