"""
The transports of one browser's leg: which medium is on which, and what both sides say of them.

Slots of a bundle share the transport of the slot that led it first; any other slot has one of its
own. Each transport keeps what the peer said of it last, so that only news are told the plane.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from b2bua.media_plane import (
    LocalTransport,
    RemoteTransport,
    SrtpKeys,
    StreamCounters,
    TransportEvent,
    WebMediaPlane,
)
from b2bua.sdp.attributes import Crypto, Setup
from b2bua.sdp.crypto import Random, answer_crypto, offer_crypto
from b2bua.sdp.webrtc import PeerTransport, answering_setup


class Transport:
    """One transport of ours. ``remote`` is what the plane was told of the peer last."""

    __slots__ = ("_lines", "_met", "handle", "remote")

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self.remote: RemoteTransport | None = None
        self._lines: tuple[Crypto, ...] = ()
        """Our keys of SDES, as they were said last."""
        self._met: tuple[Crypto, ...] = ()
        """Those of the peer that they answer; empty where they were offered."""

    def offered_lines(self, random: Random) -> tuple[Crypto, ...]:
        """Return our lines of SDES for an offer: while they are in use those that we have."""
        if not self._lines:
            self._lines = offer_crypto(random)
        return self._lines

    def answered_lines(self, peer: PeerTransport, random: Random) -> tuple[Crypto, ...]:
        """Return our line of SDES for an answer: a new one only where the peer's are new."""
        if not self._lines or self._met != peer.cryptos:
            answered = answer_crypto(peer.cryptos, random)
            self._lines = () if answered is None else answered[:1]
            self._met = peer.cryptos
        return self._lines

    def is_restarted_by(self, peer: PeerTransport) -> bool:
        """Whether the peer names credentials that are both new (RFC 8839, section 4.4.1.1.1)."""
        known, ice = self.remote, peer.ice
        if known is None or ice is None:
            return False
        return ice.ufrag != known.ufrag and ice.pwd != known.password

    def setup_for(self, peer: PeerTransport) -> Setup:
        """Return our DTLS role in an answer to what the peer offers."""
        known = self.remote
        stands = known is not None and known.fingerprints == peer.fingerprints
        begun = known.begins_handshake if known is not None and stands else None
        return answering_setup(peer.setup, is_begun_by_peer=begun)


class WebTransports:
    """Those of one leg. ``tell`` is called when media of any of them are lost, or found again."""

    def __init__(self, plane: WebMediaPlane) -> None:
        self.tell: Callable[[TransportEvent], None] = lambda event: None
        self._plane = plane
        self._own: dict[int, Transport] = {}
        self._leader: int | None = None
        """The slot whose transport the bundle uses, once there is a bundle."""
        self._ends: dict[str, tuple[int, str, Transport]] = {}
        self._moved: dict[str, StreamCounters] = {}
        """What ends have moved that were given up for others."""
        self._lost: set[Transport] = set()

    def of(self, slot: int, *, leader: int | None = None, controlling: bool) -> Transport:
        """
        Return the transport of a slot, opened if need be; MediaPortsExhausted.

        ``leader`` is the slot that leads the bundle which this one is in, None where it is in none.
        """
        if leader is not None:
            self._leader = slot = leader if self._leader is None else self._leader
        if slot not in self._own:
            self._own[slot] = self._opened(controlling)
        return self._own[slot]

    def has_handle(self, handle: int) -> bool:
        """Whether one of them has this name in the plane."""
        return any(transport.handle == handle for transport in self._own.values())

    def has(self, slot: int) -> bool:
        """Whether a slot has a transport beside that of a bundle that another one leads."""
        return slot in self._own

    def _opened(self, controlling: bool) -> Transport:
        made: list[Transport] = []

        def told(event: TransportEvent) -> None:
            self._heard(made[0], event)

        made.append(Transport(self._plane.open_transport(told, controlling=controlling)))
        return made[0]

    def _heard(self, transport: Transport, event: TransportEvent) -> None:
        if transport not in self._own.values():
            return
        if event is TransportEvent.LOST:
            self._lost.add(transport)
        else:
            self._lost.discard(transport)
        if event is not TransportEvent.CONNECTED or not self._lost:
            self.tell(event)

    def describe(self, transport: Transport) -> LocalTransport:
        """Say what our description has of it."""
        return self._plane.describe_transport(transport.handle)

    def restart(self, transport: Transport) -> None:
        """Take new credentials of our own."""
        self._plane.restart(transport.handle)

    def restart_lost(self) -> bool:
        """Take new credentials where media are lost, for an offer; whether there were any."""
        for transport in self._lost:
            self.restart(transport)
        return bool(self._lost)

    def place(self, kind: str, mid: str, transport: Transport) -> int:
        """
        Return the end of a kind, in this slot and on this transport, and nowhere else any more.

        Each ``mid`` has a source of its own: Firefox goes on taking a source that has moved for
        that of the slot where it was.
        """
        known = self._ends.get(kind)
        if known is not None and known[1:] == (mid, transport):
            return known[0]
        if known is not None:
            self._moved[kind] = self.counted(kind, self._plane.close(known[0]))
        end = self._plane.open_on(transport.handle)
        self._ends[kind] = end, mid, transport
        return end

    def counted(self, kind: str, counters: StreamCounters) -> StreamCounters:
        """Return what the ends of a kind have moved, of which these counters are the latest's."""
        before = self._moved.get(kind)
        return counters if before is None else counters.after(before)

    def connect(
        self,
        transport: Transport,
        peer: PeerTransport,
        *,
        begins_handshake: bool,
        keys: SrtpKeys | None,
    ) -> None:
        """Tell the plane what the peer says, where it is news. It has ICE credentials."""
        known, ice = transport.remote, peer.ice
        if ice is None:
            raise ValueError("a peer without ICE credentials")
        if keys is None and not peer.fingerprints:
            raise ValueError("media of a browser in the clear")
        if known is not None and not transport.is_restarted_by(peer):
            # One of the two alone is no restart, and nothing that checks could be made with.
            ufrag, password = known.ufrag, known.password
        else:
            ufrag, password = ice.ufrag, ice.pwd
        remote = RemoteTransport(
            ufrag=ufrag,
            password=password,
            candidates=peer.candidates,
            is_lite=peer.is_lite,
            fingerprints=peer.fingerprints if keys is None else (),
            begins_handshake=begins_handshake,
            keys=keys,
        )
        if remote != known:
            transport.remote = remote
            self._plane.set_remote(transport.handle, remote)

    def keep(self, used: Iterable[Transport]) -> None:
        """Give back those that nobody uses: neither these, nor one that an end is on."""
        kept = {*used, *(transport for _, _, transport in self._ends.values())}
        for slot, transport in list(self._own.items()):
            if transport not in kept:
                del self._own[slot]
                self._lost.discard(transport)
                self._plane.close_transport(transport.handle)

    def close(self) -> None:
        """Give all of them back; their ends are closed."""
        self._ends.clear()
        self._lost.clear()
        own, self._own = self._own, {}
        for transport in own.values():
            self._plane.close_transport(transport.handle)
