"""
TCP listeners: one port for TURN, TURN over TLS, HTTPS and HTTP, told apart by the first bytes.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IAddress, IProtocol, IReactorFDSet, IReactorTime
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol

from suite.admission import Admission
from suite.incoming import ALPN_HTTP, ALPN_TURN, IncomingStream, Served, WebSip, canonical
from suite.settings import TcpListen
from suite.stream_port import StreamPort, stream_port
from suite.tls import TlsContexts
from turn.five_tuple import Address, FiveTuple


class StreamListener:
    """
    One TCP listening address and the connections that came by it.

    ``turn`` makes the relay's protocol for a client, ``web`` an HTTP channel (its argument: is it
    inside TLS); None is not served. ``sip`` is served where the pages are. ``limits`` is shared by
    all listeners of the process.
    """

    def __init__(
        self,
        listen: TcpListen,
        *,
        turn: Callable[[FiveTuple], IProtocol] | None,
        web: Callable[[bool], IProtocol] | None,
        tls: TlsContexts | None,
        clock: IReactorTime,
        limits: Admission,
        reactor: IReactorFDSet,
        sip: WebSip | None = None,
    ) -> None:
        self._listen = listen
        self._reactor = reactor
        self._bound: StreamPort | None = None
        turn = turn if listen.turn else None
        web = web if listen.web else None
        self.factory = IncomingStreams(
            Served(
                listen=listen,
                turn=turn,
                web=web,
                sip=sip if web is not None else None,
                tls=_tls_factory(
                    tls, turn is not None and listen.secures_turn, web is not None, clock
                ),
                admission=limits,
                clock=clock,
            )
        )

    def start(self) -> None:
        """Bind and listen; raises twisted.internet.error.CannotListenError."""
        host, port = self._listen.address
        bound = stream_port(host, port, self.factory, self._reactor)
        bound.startListening()
        self._bound = bound

    def stop(self) -> Deferred[None]:
        """
        Close the port, and every connection that serves nobody yet; the others stay.

        The Deferred fires when the address is free.
        """
        for stream in list(self.factory.streams):
            if not stream.is_served:
                stream.disconnect()
        bound, self._bound = self._bound, None
        if bound is None:
            return maybeDeferred(lambda: None)
        return maybeDeferred(bound.stopListening)

    def disconnect(self) -> None:
        """Close every connection that is left, but SIP's: it still has to end its calls."""
        for stream in list(self.factory.streams):
            if not stream.is_sip:
                stream.disconnect()

    @property
    def port(self) -> int:
        """The port number that is bound, also where the settings say 0."""
        return self.address[1]

    @property
    def address(self) -> Address:
        """The address that is bound, or is to be."""
        host, port = self._listen.address
        return host, port if self._bound is None else int(self._bound.getHost().port)


class IncomingStreams(Factory):
    """Makes the protocol of each connection, unless there are too many strangers."""

    noisy = False

    def __init__(self, served: Served) -> None:
        self._served = served
        self.streams: set[IncomingStream] = set()

    def buildProtocol(self, addr: IAddress | None) -> IncomingStream | None:
        """Admit a connection; None makes Twisted close it at once."""
        admission = self._served.admission
        if not admission.admits(canonical(addr)[0] if addr else ""):
            admission.refused["too many connections"] += 1
            return None
        return IncomingStream(self._served, self.streams)


class _NoFactory(Factory):
    """Twisted's TLS asks for a factory of what is inside; ours is made by the stream itself."""


def _tls_factory(
    contexts: TlsContexts | None, turn: bool, web: bool, clock: IReactorTime
) -> TLSMemoryBIOFactory | None:
    if contexts is None:
        return None
    protocols = (ALPN_TURN if turn else ()) + ((ALPN_HTTP,) if web else ())
    factory = TLSMemoryBIOFactory(contexts.offering(protocols), False, _NoFactory(), clock)
    # Twisted's default gathers small writes for a turn of the reactor: latency for every packet.
    factory.protocol = TLSMemoryBIOProtocol
    return factory
