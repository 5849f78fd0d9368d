"""
The ends of a browser's transport in Python: its packets are those with their payload types.

The functions marked *per packet* are what ``benchmarks/rtp.py`` measures.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence

from b2bua.media_plane import SrtpKeys, StreamTerms, TransportEvent
from b2bua.net.srtp import SrtpSession
from b2bua.rtp.latch import Latch, Source
from b2bua.rtp.packet import HEADER_SIZE, VERSION_2, payload_start
from b2bua.rtp.rtcp import is_rtcp
from b2bua.rtp.stream import OutgoingStream
from suite.datapath.media_end import CONTROL_COST, why_sealed
from suite.datapath.twin_end import Surroundings, TwinEnd
from suite.datapath.web_socket import WebSocket
from suite.datapath.web_transport import WebTerms, WebTransport


class WebEnd(TwinEnd):
    """An end whose packets its transport encrypts, decrypts, and shows the way."""

    __slots__ = ("transport",)

    def __init__(
        self,
        transport: TwinWebTransport,
        around: Surroundings,
        outgoing: OutgoingStream,
        name: bytes,
    ) -> None:
        super().__init__(around, outgoing, name)
        self.transport = transport
        self.latch = transport.route

    def apply(self, terms: StreamTerms) -> None:
        """Take over what holds from now on; see b2bua.media_plane.StreamTerms."""
        super().apply(terms)
        self.transport.sort_numbers()

    @property
    def can_control(self) -> bool:
        """Whether RTCP has anywhere to go."""
        return self.latch.target is not None

    def put_control(self, datagram: bytes) -> bool:
        """Send RTCP; tell whether it left."""
        return self.transport.send_control(datagram)

    def takes(self, size: int) -> bool:
        """Per packet: tell whether it is not too long to be encrypted."""
        return self.transport.takes(size)

    def seal(self, packet: bytes | memoryview) -> bytes:
        """Per packet: encrypt it. Raises OSError."""
        return self.transport.seal(packet)

    def put(self, data: bytes, target: Source) -> None:
        """Per packet: send what was encrypted. Raises OSError."""
        self.transport.put(data, target)


class TwinWebTransport(WebTransport):
    """A transport whose media pass here."""

    ends: list[WebEnd]  # type: ignore[assignment]  # no others are added

    def __init__(
        self,
        sockets: Sequence[WebSocket],
        terms: WebTerms,
        tell: Callable[[TransportEvent], None],
        *,
        controlling: bool,
        around: Surroundings,
    ) -> None:
        self.sockets = sockets
        self.route = Latch()
        """Where media go, of all its ends."""
        self._around = around
        self._by_number: dict[int, WebEnd] = {}
        self._dropped: dict[str, int] = {}
        super().__init__(sockets, terms, tell, controlling=controlling)
        for sock in sockets:
            sock.give_to(self)

    @property
    def dropped(self) -> dict[str, int]:
        """What came while there was no end to count it."""
        return self._dropped

    def count_dropped(self, reason: str) -> None:
        """Count it here."""
        self._dropped[reason] = self._dropped.get(reason, 0) + 1

    def sort_numbers(self) -> None:
        """Take note of which payload types are whose."""
        self._by_number = {number: end for end in self.ends for number in end.rates}

    def way_changed(self) -> None:
        """Where media go may be another place."""
        self.route.source = self.route.target = self._target

    def peers_changed(self) -> None:
        """The sockets look that up for each packet."""

    def make_session(self, keys: SrtpKeys, before: SrtpSession | None) -> SrtpSession:
        """Begin with keys."""
        return SrtpSession(keys, before)

    def receive_media(self, data: bytes, now: float) -> int:
        """Per packet: decrypt it, and give it to the end that it is for."""
        srtp = self._srtp
        if is_rtcp(data[1]):
            self.receive_control(data, now)
            return CONTROL_COST
        end = self._by_number.get(data[1] & 0x7F)
        plain = None if srtp is None else srtp.unprotect(data)
        if end is None:
            self.drop(why_sealed(len(data)) if plain is None else "payload-type")
            return 1
        if plain is None:
            end.drop(why_sealed(len(data)))
            return 1
        size = len(plain)
        self._around.buffer[:size] = plain
        is_plain = plain[0] == VERSION_2 and size >= HEADER_SIZE
        start = HEADER_SIZE if is_plain else payload_start(plain, size)
        if start < 0:
            end.drop("malformed")
        else:
            end.received(start, size, now)
        return 1

    def takes(self, size: int) -> bool:
        """Per packet: tell whether it is not too long to be encrypted."""
        return self._srtp is None or size <= self._srtp.longest

    def seal(self, packet: bytes | memoryview) -> bytes:
        """Per packet: encrypt it. Raises OSError."""
        data = None if self._srtp is None else self._srtp.protect(bytes(packet))
        if data is None:
            raise OSError(errno.EMSGSIZE, "no packet for SRTP")
        return data

    def put(self, data: bytes, target: Source) -> None:
        """Per packet: send what was encrypted, from the selected base. Raises OSError."""
        if self._base is None:
            raise OSError(errno.ENOTCONN, "nowhere to send")
        self._base.put(data, (target[0], target[1]))
