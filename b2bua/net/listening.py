"""
Where SIP is taken in, and what is shown to peers for it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from twisted.internet import tcp
from twisted.internet.abstract import isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IReactorTCP,
    IReactorTime,
)
from twisted.internet.protocol import ServerFactory
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol

from b2bua.net.stream import SipStream
from b2bua.net.tls import ServerTls
from b2bua.sip.uri import host_port

_BACKLOG = 128
SECURE = frozenset({"TLS", "WSS"})
WEB = frozenset({"WS", "WSS"})

Accept = Callable[[str, str, int], SipStream | None]
"""Takes transport, host and port of a new connection; None refuses it."""


@dataclass(frozen=True, slots=True)
class SipListen:
    """
    One address that SIP is taken in at.

    ``advertised`` is the host that peers are told instead, where it differs.
    """

    transport: str
    """UDP, TCP, TLS, WS or WSS."""
    host: str
    port: int
    advertised: str = ""

    def __post_init__(self) -> None:
        """Refuse what no peer could answer to."""
        if self.host in ("0.0.0.0", "::") and not self.advertised:
            raise ValueError(f"{self.host} is no address to be reached at: advertise another")

    def sent_by(self, port: int) -> str:
        """What a Via shows, when this port was bound."""
        return host_port(self.advertised or self.host, port)


class StreamListener:
    """
    One TCP port and what comes by it; ``tls`` is None where that is not secured.
    """

    def __init__(
        self, listen: SipListen, accept: Accept, tls: ServerTls | None, clock: IReactorTime
    ) -> None:
        self._listen = listen
        self._factory: ServerFactory = Incoming(accept, listen.transport)
        self._bound: IListeningPort | None = None
        if tls is not None:
            secured = TLSMemoryBIOFactory(tls, False, self._factory, clock)
            # Twisted's default gathers small writes for a turn of the reactor.
            secured.protocol = TLSMemoryBIOProtocol
            self._factory = cast(ServerFactory, secured)

    def start(self, reactor: IReactorTCP) -> None:
        """Bind and listen; raises CannotListenError."""
        host, port = self._listen.host, self._listen.port
        if isIPv6Address(host):
            bound = SixPort(port, self._factory, _BACKLOG, host, reactor)
            bound.startListening()
            self._bound = bound
        else:
            self._bound = reactor.listenTCP(port, self._factory, _BACKLOG, host)

    @property
    def port(self) -> int:
        """The port that is bound."""
        host = None if self._bound is None else self._bound.getHost()
        return host.port if isinstance(host, IPv4Address | IPv6Address) else self._listen.port

    def stop(self) -> Deferred[object]:
        """Close the port, not the connections; fires when it is free."""
        bound, self._bound = self._bound, None
        return maybeDeferred(lambda: bound.stopListening() if bound is not None else None)


class SixPort(tcp.Port):
    """A port for IPv6 only: IPv4 has another one, and its own way to write addresses."""

    def createInternetSocket(self) -> socket.socket:
        """Make the socket."""
        listening = cast(socket.socket, super().createInternetSocket())
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        return listening


class Incoming(ServerFactory):
    """Makes the stream of each connection to one address; ``accept`` may refuse."""

    noisy = False

    def __init__(self, accept: Accept, transport: str) -> None:
        self._accept = accept
        self._transport = transport

    def buildProtocol(self, addr: IAddress | None) -> SipStream | None:
        """Take a connection; None makes Twisted close it at once."""
        where = cast(IPv4Address | IPv6Address, addr)
        return self._accept(self._transport, where.host, where.port)
