"""
One TURN stream over a pair of real sockets, by hand: whoever moves its bytes, Twisted or the core.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from collections.abc import Callable
from typing import Protocol as Seam
from typing import cast

from OpenSSL import SSL
from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from suite.stream_port import PromptServer
from suite.tls import TlsContexts
from tests.listen.streams import CLIENT, SERVER, own_certificate
from turn.data_plane import ClientPath
from turn.five_tuple import FiveTuple, Transport
from turn.net.stream import StreamClient, StreamLimits, StreamTotals, TurnStream

LIMITS = StreamLimits()


class Reader(Seam):
    """What a reactor reads and writes."""

    def fileno(self) -> int:
        """The descriptor."""

    def doRead(self) -> object:
        """Read; what is returned ends it."""

    def doWrite(self) -> object:
        """Write; what is returned ends it."""

    def connectionLost(self, reason: Failure) -> None:
        """It is over."""


class Loop(Clock):
    """A reactor that turns when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Reader] = set()
        self.writers: set[Reader] = set()

    def addReader(self, reader: Reader) -> None:
        """Read it from now on."""
        self.readers.add(reader)

    def addWriter(self, writer: Reader) -> None:
        """Write it from now on."""
        self.writers.add(writer)

    def removeReader(self, reader: Reader) -> None:
        """Let it be."""
        self.readers.discard(reader)

    def removeWriter(self, writer: Reader) -> None:
        """Let it be."""
        self.writers.discard(writer)

    def turn(self) -> None:
        """Do what can be done at once, a few times over."""
        for _ in range(6):
            self.advance(0)
            for kind, ready in (("doRead", self.readers), ("doWrite", self.writers)):
                for one in list(ready):
                    self._attend(one, kind)
        self.advance(0)

    def _attend(self, one: Reader, kind: str) -> None:
        number = one.fileno()
        if number < 0:
            return
        lists = ([number], []) if kind == "doRead" else ([], [number])
        if not any(select.select(*lists, [], 0)):
            return
        why = getattr(one, kind)()
        if isinstance(why, Exception):
            self.removeReader(one)
            self.removeWriter(one)
            one.connectionLost(Failure(why))


class Service:
    """A relay that records."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.ends: list[str] = []
        self.answer: Callable[[bytes, ClientPath], None] | None = None

    def control(self, message: bytes, path: ClientPath) -> None:
        """Keep a message."""
        self.heard.append(("control", message))
        if self.answer is not None:
            self.answer(message, path)

    def media(self, path: ClientPath, frame: bytes) -> None:
        """Keep a frame."""
        self.heard.append(("media", frame))

    def disconnected(self, path: ClientPath, reason: str) -> None:
        """Keep the reason."""
        self.ends.append(reason)


Make = Callable[[FiveTuple, Service, StreamTotals], TurnStream]


def by_twisted(loop: Loop) -> Make:
    """Streams whose bytes Twisted moves."""
    return lambda five_tuple, service, totals: StreamClient(
        five_tuple, service, loop, LIMITS, totals
    )


def by_core(loop: Loop) -> Make:
    """Streams whose bytes the core moves; media without a flow comes to the service."""
    from suite.datapath.native_core import NativeCore
    from suite.datapath.native_stream import NativeStreams

    core = NativeCore(loop, loop.seconds)  # type: ignore[arg-type]
    return NativeStreams(core, loop, LIMITS, media_to_python=True).client


class Outer(Protocol):
    """Stands for the listener: what is behind it gets the bytes, and a TLS layer its handshake."""

    def __init__(self, inner: IProtocol) -> None:
        self._inner = inner
        self.lost: list[Failure] = []

    def connectionMade(self) -> None:
        """Pass it on."""
        assert self.transport is not None
        self._inner.makeConnection(self.transport)

    def dataReceived(self, data: bytes) -> None:
        """Pass them on."""
        self._inner.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Keep the reason and pass it on."""
        self.lost.append(reason)
        self._inner.connectionLost(reason)


class Connected:
    """A client's socket, the stream at the other end, and a relay that records."""

    def __init__(self, make: Callable[[Loop], Make], tls: int | None = None) -> None:
        self.loop = Loop()
        self.service = Service()
        self.totals = StreamTotals()
        ours, self.peer = pair()
        transport = Transport.TCP if tls is None else Transport.TLS
        self.stream = make(self.loop)(
            FiveTuple(transport, CLIENT, SERVER), self.service, self.totals
        )
        self._tls = None if tls is None else _client_of(tls)
        inner: IProtocol = self.stream
        if tls is not None:
            inner = _tls_around(self.stream, self.loop)
        self.outer = Outer(inner)
        self.server = PromptServer(
            ours,
            self.outer,
            ("192.0.2.1", 1),
            None,
            1,
            self.loop,  # type: ignore[arg-type]
        )
        self.outer.makeConnection(self.server)
        self.server.startReading()
        self.received = b""
        self.is_at_end = False
        if self._tls is not None:
            self._shake_hands(self._tls)
        self.read()

    def _shake_hands(self, client: SSL.Connection) -> None:
        for _ in range(10):
            try:
                client.do_handshake()
            except SSL.WantReadError:
                self._flush()
                self.loop.turn()
                self._take()
                continue
            self._flush()
            return
        raise AssertionError("the handshake does not end")

    def _flush(self) -> None:
        assert self._tls is not None
        while True:
            try:
                records = self._tls.bio_read(2**16)
            except SSL.WantReadError:
                return
            self.peer.sendall(records)

    def _take(self) -> bytes:
        taken = b""
        while True:
            try:
                data = self.peer.recv(2**16)
            except BlockingIOError:
                break
            except ConnectionResetError:
                self.is_at_end = True
                break
            if not data:
                self.is_at_end = True
                break
            taken += data
        if self._tls is not None and taken:
            self._tls.bio_write(taken)
        return taken

    def send(self, data: bytes) -> None:
        """Let the client say something and the stream hear it."""
        if self._tls is None:
            self.peer.sendall(data)
        else:
            self._tls.sendall(data)
            self._flush()
        self.loop.turn()

    def send_raw(self, data: bytes) -> None:
        """Put bytes on the wire as they are."""
        self.peer.sendall(data)
        self.loop.turn()

    def read(self) -> bytes:
        """What has reached the client since the last time."""
        found = b""
        while True:
            self.loop.turn()
            taken = self._take()
            if self._tls is None:
                found += taken
            else:
                found += self._decrypted()
            if not taken:
                self.received += found
                return found

    def _decrypted(self) -> bytes:
        assert self._tls is not None
        found = b""
        while True:
            try:
                found += self._tls.recv(2**16)
            except SSL.WantReadError:
                return found
            except SSL.ZeroReturnError:
                self.is_at_end = True
                self._say_goodbye()
                return found

    def _say_goodbye(self) -> None:
        assert self._tls is not None
        with contextlib.suppress(SSL.Error, OSError):
            self._tls.shutdown()
            self._flush()
        self.loop.turn()

    def ended(self) -> list[str]:
        """Let the client read to the end; why the stream has ended."""
        self.read()
        return self.service.ends

    @property
    def tls(self) -> SSL.Connection:
        """The client's TLS."""
        assert self._tls is not None
        return self._tls

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.loop.advance(seconds)
        self.loop.turn()

    def hang_up(self) -> None:
        """Close in order."""
        if self._tls is not None:
            self._tls.shutdown()
            self._flush()
            self.loop.turn()
            self._take()
        self.peer.close()
        self.loop.turn()

    def reset(self) -> None:
        """Close with a reset."""
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.peer.close()
        self.loop.turn()

    def end(self) -> None:
        """Close whatever is open."""
        self.peer.close()
        self.stream.close("server stopped")
        self.advance(0)
        self.advance(6)


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection on loopback with small buffers."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        listening.bind(("127.0.0.1", 0))
        listening.listen(1)
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        client.connect(listening.getsockname())
        ours, _ = listening.accept()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    ours.setblocking(False)
    client.setblocking(False)
    return ours, client


def _client_of(version: int) -> SSL.Connection:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    connection = SSL.Connection(context, None)
    connection.set_connect_state()
    return connection


def _tls_around(stream: TurnStream, loop: Loop) -> IProtocol:
    contexts = TlsContexts(own_certificate().settings)
    factory = TLSMemoryBIOFactory(contexts.offering(()), False, _Inner(stream), loop)
    return cast(IProtocol, factory.buildProtocol(None))


class _Inner:
    """Twisted's TLS asks for a factory of what is inside."""

    noisy = False

    def __init__(self, stream: TurnStream) -> None:
        self._stream = stream

    def buildProtocol(self, address: object) -> TurnStream:
        """There is one."""
        return self._stream

    def doStart(self) -> None:
        """Nothing to do."""

    def doStop(self) -> None:
        """Nothing to do."""
