"""
Connections that we open: from which address and port, over TLS or not, and once at a time.
"""

from __future__ import annotations

from typing import cast

from twisted.internet.error import ConnectBindError, ConnectionRefusedError, TimeoutError
from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IReactorTCP,
    IReactorTime,
)
from twisted.internet.protocol import ClientFactory
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure

from b2bua.net.stream import SipStream
from b2bua.net.tls import ServerAt


class LocalPorts:
    """
    Where our connections come from: an address, "" for any, and a range of ports or any port.

    Ports are taken in turn, so that one which has just been used rests for long.
    """

    def __init__(self, first: int = 0, last: int = 0) -> None:
        if not 0 <= first <= last <= 65535 or (first == 0) != (last == 0):
            raise ValueError(f"no range of ports: {first}-{last}")
        self._first = first
        self._count = last - first + 1
        self._next = 0

    def __len__(self) -> int:
        """How many ports there are to try."""
        return self._count

    def take(self) -> int:
        """Give the next port; 0 leaves it to the system."""
        port = self._first + self._next
        self._next = (self._next + 1) % self._count
        return port


class Opening(ClientFactory):
    """
    One connection that is being opened, and the stream it will be.

    A local port that is taken is passed over; the stream hears of everything else.
    """

    noisy = False

    def __init__(
        self,
        stream: SipStream,
        reactor: IReactorTCP,
        clock: IReactorTime,
        *,
        local_host: str,
        ports: LocalPorts,
        timeout: float,
        server: ServerAt | None,
    ) -> None:
        self._stream = stream
        self._reactor = reactor
        self._clock = clock
        self._local_host = local_host
        self._ports = ports
        self._timeout = timeout
        self._server = server
        self._attempts = 0
        self._connector: IConnector | None = None

    def start(self) -> None:
        """Try to connect, from the next local port."""
        self._attempts += 1
        port = self._ports.take()
        bind = (self._local_host, port) if self._local_host or port else None
        hop = self._stream.hop
        factory: ClientFactory = self
        if self._server is not None:
            secured = TLSMemoryBIOFactory(self._server, True, self, self._clock)
            # Twisted's default gathers small writes for a turn of the reactor.
            secured.protocol = TLSMemoryBIOProtocol
            factory = cast(ClientFactory, secured)
        self._connector = self._reactor.connectTCP(
            hop.host, hop.port, factory, timeout=self._timeout, bindAddress=bind
        )

    def stop(self) -> None:
        """Give it up; the stream hears of that too."""
        if self._connector is not None:
            self._connector.disconnect()

    def buildProtocol(self, addr: IAddress | None) -> SipStream:
        """The connection is there."""
        return self._stream

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """There is no connection: another local port may help, or nothing does."""
        if reason.check(ConnectBindError) and self._attempts < len(self._ports):
            self.start()
        elif reason.check(ConnectBindError):
            self._stream.fail_to_open("no local port free")
        elif reason.check(ConnectionRefusedError):
            self._stream.fail_to_open("connection refused")
        elif reason.check(TimeoutError):
            self._stream.fail_to_open("connection timed out")
        else:
            self._stream.fail_to_open("connection failed")
