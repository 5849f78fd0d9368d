"""
The transports of browsers whose media pass in C: what ICE and DTLS have found is told to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from b2bua.media_plane import SrtpKeys, StreamTerms, TransportEvent
from b2bua.net.ice_candidates import Address
from b2bua.net.srtp import SrtpSession
from suite.datapath._native import Core, End, MediaSocket, Transport
from suite.datapath.media_end import CONTROL_COST, MediaEnd
from suite.datapath.native_end import REASONS, NativeEnd, by_reason
from suite.datapath.native_srtp import session, ways
from suite.datapath.sockets import udp_socket
from suite.datapath.web_socket import BUFFER
from suite.datapath.web_transport import WebTerms, WebTransport


class NativeWebSocket:
    """A socket of a transport, as ICE uses it; the C core reads it."""

    __slots__ = ("address", "native", "preference", "valid")

    kind = "host"

    def __init__(self, address: Address, preference: int, core: Core) -> None:
        """Bind. Raises OSError."""
        self.address = address
        self.preference = preference
        self.valid: set[Address] = set()
        with udp_socket(address, BUFFER) as sock:
            self.native = MediaSocket(core, sock.fileno())
            sock.detach()

    def send(self, data: bytes, target: Address) -> None:
        """Send a datagram, or lose it: the kernel may refuse, as the network may."""
        self.native.put(data, target)

    def put(self, data: bytes, target: Address) -> None:
        """Send a datagram. Raises OSError."""
        if not self.native.put(data, target):
            raise OSError("the kernel does not take it")

    def close(self) -> None:
        """Close it; nobody reads it any more."""
        self.native.close()


class NativeWebEnd(NativeEnd):
    """An end whose packets its transport encrypts, decrypts, and shows the way."""

    __slots__ = ("transport",)

    def __init__(
        self,
        transport: NativeWebTransport,
        first: tuple[int, int, int],
        seconds: Callable[[], float],
        name: bytes,
    ) -> None:
        super().__init__(End.on(transport.native, first), seconds, name)
        self.transport = transport

    def apply(self, terms: StreamTerms) -> None:
        """Take over what holds from now on; see b2bua.media_plane.StreamTerms."""
        super().apply(terms)
        self.transport.sort_numbers()

    def put_control(self, datagram: bytes) -> bool:
        """Send RTCP; tell whether it left."""
        return self.transport.send_control(datagram)


class NativeWebTransport(WebTransport):
    """A transport whose media pass in C."""

    def __init__(
        self,
        sockets: Sequence[NativeWebSocket],
        terms: WebTerms,
        tell: Callable[[TransportEvent], None],
        *,
        controlling: bool,
        core: Core,
        hand_out: Callable[[], None],
    ) -> None:
        """``hand_out`` is called when C has told something outside of a wake-up."""
        self.sockets = sockets
        self.native = Transport(core)
        self._hand_out = hand_out
        super().__init__(sockets, terms, tell, controlling=controlling)
        for sock in sockets:
            sock.native.give_to(self.native)

    def add(self, end: MediaEnd) -> None:
        """An end is opened."""
        super().add(end)
        self.sort_numbers()

    def sort_numbers(self) -> None:
        """Take note of which payload types are whose."""
        ends = [end for end in self.ends if isinstance(end, NativeEnd)]
        numbers = {number: end.native for end in ends for number in end.rates}
        self.native.set_ends([end.native for end in ends], numbers)

    @property
    def dropped(self) -> dict[str, int]:
        """What came while there was no end to count it."""
        return by_reason(self.native.dropped)

    def count_dropped(self, reason: str) -> None:
        """Count it here."""
        self.native.drop(REASONS.index(reason))

    def way_changed(self) -> None:
        """Where media go may be another place, or keys may be others."""
        base = self._base
        out = base.native if isinstance(base, NativeWebSocket) else None
        self.native.set_keys(None if self._srtp is None else ways(self._srtp))
        self.native.set_way(out, self._target)

    def peers_changed(self) -> None:
        """Whose media may come in may be others."""
        for sock in self.sockets:
            sock.native.set_valid(sorted(sock.valid))

    def make_session(self, keys: SrtpKeys, before: SrtpSession | None) -> SrtpSession:
        """Begin with keys."""
        return session(keys, before)

    def receive_media(self, data: bytes, now: float) -> int:
        """Take what came in by a relay."""
        self.native.arrived(data, now)
        self._hand_out()
        return CONTROL_COST

    def put_relayed(self, data: bytes) -> None:
        """Send a packet of media from a base that is no socket of ours."""
        if self._base is not None and self._target is not None:
            self._base.put(data, self._target)
