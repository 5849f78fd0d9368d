"""
A part of the reactor that can be frozen: sockets stay open, and nobody reads from them.

What arrives meanwhile waits in the kernel, as with a process that got SIGSTOP, and is answered
late or not at all: what no longer fits into a socket's buffer is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from twisted.internet import tcp
from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IListeningPort,
    IReactorFDSet,
    IReactorTCP,
    IReadDescriptor,
    ITCPTransport,
    IWriteDescriptor,
)
from twisted.internet.protocol import ClientFactory, Factory, P, Protocol, ServerFactory
from zope.interface import implementer


@implementer(IReactorFDSet)
class FreezableReaders:
    """The readers of one server; the rest of the reactor goes on."""

    def __init__(self, reactor: IReactorFDSet) -> None:
        self._reactor = reactor
        self._readers: dict[IReadDescriptor, None] = {}
        self._is_frozen = False

    def freeze(self) -> None:
        """Read nothing."""
        self._is_frozen = True
        for reader in self._readers:
            self._reactor.removeReader(reader)

    def thaw(self) -> None:
        """Read again, what has waited first."""
        self._is_frozen = False
        for reader in self._readers:
            self._reactor.addReader(reader)

    def addReader(self, reader: IReadDescriptor) -> None:
        """Watch a descriptor, now or after the thaw."""
        self._readers[reader] = None
        if not self._is_frozen:
            self._reactor.addReader(reader)

    def removeReader(self, reader: IReadDescriptor) -> None:
        """Watch it no more."""
        if self._readers.pop(reader, reader) is None and not self._is_frozen:
            self._reactor.removeReader(reader)

    def addWriter(self, writer: IWriteDescriptor) -> None:
        """Watch for room."""
        self._reactor.addWriter(writer)

    def removeWriter(self, writer: IWriteDescriptor) -> None:
        """Watch it no more."""
        self._reactor.removeWriter(writer)

    def removeAll(self) -> list[IReadDescriptor | IWriteDescriptor]:
        """Watch nothing any more; gives what was watched."""
        readers = list(self._readers)
        for reader in readers:
            self.removeReader(reader)
        return list(readers)

    def getReaders(self) -> list[IReadDescriptor]:
        """What is watched, or will be."""
        return list(self._readers)

    def getWriters(self) -> list[IWriteDescriptor]:
        """Every writer of the reactor."""
        return list(self._reactor.getWriters())


@implementer(IReactorTCP)
class FreezablePorts:
    """TCP ports that can stop to accept, and that can reset what connects to them."""

    def __init__(self, reactor: IReactorTCP) -> None:
        self._reactor = reactor
        self._ports: list[tcp.Port] = []
        self.resets = False
        """Whether each connection is reset as soon as it is there."""

    def freeze(self) -> None:
        """Leave connections in the kernel's queue."""
        for port in self._ports:
            port.stopReading()

    def thaw(self) -> None:
        """Take them."""
        for port in self._ports:
            if port.connected:
                port.startReading()

    def listenTCP(
        self, port: int, factory: ServerFactory, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        """Listen."""
        guarded = _Guarded(factory, lambda: self.resets)
        made = self._reactor.listenTCP(port, guarded, backlog, interface)
        self._ports = [*(p for p in self._ports if p.connected), cast(tcp.Port, made)]
        return made

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: ClientFactory[P],
        timeout: float = 30.0,
        bindAddress: tuple[str, int] | None = None,
    ) -> IConnector:
        """Connect."""
        return self._reactor.connectTCP(host, port, factory, timeout, bindAddress)


class _Guarded(ServerFactory):
    """Hands connections on, or resets them."""

    noisy = False

    def __init__(self, inner: Factory, resets: Callable[[], bool]) -> None:
        self._inner = inner
        self._resets = resets

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """Make the protocol of a connection."""
        return _Reset() if self._resets() else cast(Protocol, self._inner.buildProtocol(addr))


class _Reset(Protocol):
    """A connection that is reset at once."""

    def connectionMade(self) -> None:
        """Reset it."""
        cast(ITCPTransport, self.transport).abortConnection()
