"""
The media plane in pure Python: the twin of the native one, with the same behaviour.

All sockets sit in one epoll descriptor, with a budget for each wake-up: ``polled``. What happens
to a packet is in ``twin_end``.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.interfaces import IReactorFDSet, IReactorTime

from b2bua.media_plane import TransportEvent
from b2bua.rtp.stream import OutgoingStream
from b2bua.settings import MediaSettings
from suite.datapath.media_ends import MediaEnds
from suite.datapath.media_plain import PlainEnd
from suite.datapath.polled import PolledSockets
from suite.datapath.web_end import TwinWebTransport, WebEnd
from suite.datapath.web_plane import WebTransports
from suite.datapath.web_socket import WebSocket

LARGEST_DATAGRAM = 65535


class TwinMediaPlane(MediaEnds[PlainEnd | WebEnd, TwinWebTransport], PolledSockets):
    """The media plane of ``b2bua.media_plane`` without native code; see MediaEnds for ``more``."""

    kind = "pure Python"

    def __init__(
        self,
        reactor: IReactorFDSet,
        clock: IReactorTime,
        settings: MediaSettings,
        randbelow: Callable[[int], int] = secrets.randbelow,
        **more: Any,
    ) -> None:
        MediaEnds.__init__(self, clock, settings, randbelow, **more)
        PolledSockets.__init__(self, reactor)
        self.buffer = bytearray(LARGEST_DATAGRAM)
        self.view = memoryview(self.buffer)

    def shut_down(self) -> None:
        """Close every end; the plane is not used again."""
        MediaEnds.shut_down(self)
        PolledSockets.shut_down(self)

    def _make_end(self, sockets: tuple[socket.socket, socket.socket], name: bytes) -> PlainEnd:
        end = PlainEnd(*sockets, self, OutgoingStream(self._randbelow), name)
        self._watch(end)
        self._watch(end.control)
        return end

    def _make_web_end(self, transport: TwinWebTransport, name: bytes) -> WebEnd:
        return WebEnd(transport, self, OutgoingStream(self._randbelow), name)

    def _close_end(self, end: PlainEnd | WebEnd) -> None:
        if isinstance(end, PlainEnd):
            self._forget(end)
            self._forget(end.control)

    def _make_transport(
        self, web: WebTransports, tell: Callable[[TransportEvent], None], *, controlling: bool
    ) -> TwinWebTransport:
        transport = web.open(
            partial(WebSocket, around=self),
            partial(TwinWebTransport, around=self),
            tell,
            controlling=controlling,
        )
        for sock in transport.sockets:
            self._watch(sock)
        return transport

    def _close_transport(self, transport: TwinWebTransport) -> None:
        for sock in transport.sockets:
            self._forget(sock)
