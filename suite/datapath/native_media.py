"""
The media plane whose packets pass in C; its twin in Python is ``media``.

The core reads the sockets and forwards RTP. RTCP, STUN, DTLS and what has to go by a relay of
somebody else come here, as events.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.interfaces import IReactorTime

from b2bua.media_plane import Address, TransportEvent
from b2bua.settings import MediaSettings
from suite.datapath.choice import DataPlaneUnavailable
from suite.datapath.media_ends import MediaEnds
from suite.datapath.native_core import MISSED, OTHER, PUT, RTCP, TRACE, NativeCore
from suite.datapath.native_end import NativeEnd, NativePlainEnd, first_numbers
from suite.datapath.native_srtp import missing_reason
from suite.datapath.native_web import NativeWebEnd, NativeWebSocket, NativeWebTransport
from suite.datapath.web_plane import WebTransports


class NativeMediaPlane(MediaEnds[NativePlainEnd | NativeWebEnd, NativeWebTransport]):
    """
    The media plane of ``b2bua.media_plane`` with native code; see MediaEnds for ``more``.

    The core may be shared with a relay. Making one raises DataPlaneUnavailable where C cannot
    encrypt media, as ``native_srtp.missing_reason`` tells.
    """

    kind = "native"

    def __init__(
        self,
        core: NativeCore,
        clock: IReactorTime,
        settings: MediaSettings,
        randbelow: Callable[[int], int] = secrets.randbelow,
        **more: Any,
    ) -> None:
        missing = missing_reason()
        if missing:
            raise DataPlaneUnavailable(missing)
        super().__init__(clock, settings, randbelow, **more)
        self.core = core
        self._by_handle: dict[int, NativeEnd] = {}
        self._transport_of: dict[int, NativeWebTransport] = {}
        self._web_sockets: dict[int, tuple[NativeWebTransport, NativeWebSocket]] = {}
        core.join(
            {
                RTCP: self._control_came,
                OTHER: self._other_came,
                MISSED: self._missed,
                TRACE: self._traced,
                PUT: self._put,
            }
        )

    @property
    def budget_exhausted(self) -> int:
        """Wake-ups that left packets for the next one."""
        return self.core.core.budget_exhausted

    def shut_down(self) -> None:
        """Close every end; the plane is not used again."""
        super().shut_down()
        self.core.leave()

    # The way of packets

    def _make_end(
        self, sockets: tuple[socket.socket, socket.socket], name: bytes
    ) -> NativePlainEnd:
        first = first_numbers(self._randbelow)
        try:
            end = NativePlainEnd(self.core.core, sockets, first, self.seconds, name)
        except OSError:
            for sock in sockets:
                sock.close()
            raise
        self._by_handle[end.native.handle] = end
        return end

    def _make_web_end(self, transport: NativeWebTransport, name: bytes) -> NativeWebEnd:
        end = NativeWebEnd(transport, first_numbers(self._randbelow), self.seconds, name)
        self._by_handle[end.native.handle] = end
        return end

    def _close_end(self, end: NativePlainEnd | NativeWebEnd) -> None:
        del self._by_handle[end.native.handle]
        end.close()

    def _make_transport(
        self, web: WebTransports, tell: Callable[[TransportEvent], None], *, controlling: bool
    ) -> NativeWebTransport:
        core = self.core.core
        transport = web.open(
            partial(NativeWebSocket, core=core),
            partial(NativeWebTransport, core=core, hand_out=self.core.hand_out),
            tell,
            controlling=controlling,
        )
        self._transport_of[transport.native.handle] = transport
        for sock in transport.sockets:
            self._web_sockets[sock.native.handle] = transport, sock
        return transport

    def _close_transport(self, transport: NativeWebTransport) -> None:
        del self._transport_of[transport.native.handle]
        for sock in transport.sockets:
            del self._web_sockets[sock.native.handle]
            sock.close()

    # What C tells. Whatever it is about may be closed by now.

    def _control_came(self, owner: int, more: int, source: Address | None, data: bytes) -> None:
        end = self._by_handle.get(owner)
        if isinstance(end, NativePlainEnd) and source is not None:
            end.control_came(more, source, data)
        elif owner in self._transport_of:
            self._transport_of[owner].receive_control(data, self.seconds())

    def _other_came(self, owner: int, more: int, source: Address | None, data: bytes) -> None:
        found = self._web_sockets.get(owner)
        if found is not None and source is not None:
            transport, sock = found
            transport.receive_other(data, sock, source)

    def _missed(self, owner: int, more: int, source: Address | None, data: bytes) -> None:
        if owner in self._by_handle:
            self._by_handle[owner].missed(more, data)

    def _traced(self, owner: int, more: int, source: Address | None, data: bytes) -> None:
        if owner in self._by_handle:
            self._by_handle[owner].traced(more, data)

    def _put(self, owner: int, more: int, source: Address | None, data: bytes) -> None:
        if owner in self._transport_of:
            self._transport_of[owner].put_relayed(data)
