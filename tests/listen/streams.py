"""What the listeners' tests share: a transport, a relay and pages that record, a TLS client."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from ipaddress import ip_network
from pathlib import Path

from OpenSSL import SSL
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from suite.admission import Admission, ListenLimits
from suite.announced import twisted_address
from suite.certificate import OwnCertificate
from suite.incoming import IncomingStream, WebSip
from suite.listen import StreamListener
from suite.settings import TcpListen
from suite.tls import TlsContexts
from turn.five_tuple import Address, FiveTuple

BINDING = bytes.fromhex("000100002112a442") + b"transaction!"
SERVER = ("192.0.2.1", 3478)
CLIENT = ("198.51.100.7", 40000)
GET = b"GET /check HTTP/1.1\r\nHost: relay.example:3478\r\n\r\n"
PROXIES = (ip_network("203.0.113.0/24"),)


@cache
def own_certificate() -> OwnCertificate:
    """A certificate on disk, made once for all tests of the process."""
    folder = tempfile.mkdtemp(prefix="listen-test-")
    atexit.register(shutil.rmtree, folder)
    own = OwnCertificate(Path(folder), ("192.0.2.1",))
    own.ensure(datetime.now(UTC))
    return own


class Wire(StringTransport):
    """A transport whose end is told to its protocol when the test lets time pass."""

    def __init__(self, protocol: IProtocol, client: Address, clock: Clock) -> None:
        super().__init__(
            hostAddress=IPv4Address("TCP", *SERVER), peerAddress=twisted_address(client)
        )
        self._protocol: IProtocol | None = protocol
        self._clock = clock
        self.aborted = False

    def loseConnection(self) -> None:
        """Close; nothing is left to flush in memory."""
        super().loseConnection()
        self._clock.callLater(0, self.end, Failure(ConnectionDone()))

    def abortConnection(self) -> None:
        """Close at once."""
        self.aborted = True
        self.disconnected = True
        self._clock.callLater(0, self.end, Failure(ConnectionAborted()))

    def end(self, reason: Failure = connectionDone) -> None:
        """The connection is gone, told once."""
        protocol, self._protocol = self._protocol, None
        self.connected = False
        if protocol is not None:
            if self.producer is not None:
                self.producer.stopProducing()
            protocol.connectionLost(reason)

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Twisted's HTTP channel asks for it; there is no socket."""

    @property
    def is_closed(self) -> bool:
        """Whether either kind of close was asked for."""
        return bool(self.disconnecting or self.disconnected)


class Recording(Protocol):
    """A protocol that keeps what it is given."""

    def __init__(self, subject: object) -> None:
        self.subject = subject
        self.received = b""
        self.lost: list[Failure] = []

    def dataReceived(self, data: bytes) -> None:
        """Keep the bytes."""
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Keep the reason."""
        self.lost.append(reason)


class Setting:
    """A listener in memory with a relay and pages that record."""

    def __init__(
        self,
        listen: TcpListen | None = None,
        *,
        limits: ListenLimits | None = None,
        turn: bool = True,
        web: bool = True,
        tls: bool = True,
        make_turn: Callable[[FiveTuple], IProtocol] | None = None,
        make_web: Callable[[bool], IProtocol] | None = None,
        sip: WebSip | None = None,
    ) -> None:
        self.clock = Clock()
        self.admission = Admission(limits or ListenLimits(), self.clock)
        self.relayed: list[Recording] = []
        self.pages: list[Recording] = []
        self.contexts = TlsContexts(own_certificate().settings) if tls else None
        self.listener = StreamListener(
            listen or TcpListen(address=SERVER, web=True),
            turn=(make_turn or self._make_turn) if turn else None,
            web=(make_web or self._make_web) if web else None,
            tls=self.contexts,
            clock=self.clock,
            limits=self.admission,
            reactor=None,  # type: ignore[arg-type]
            sip=sip,
        )

    def _make_turn(self, five_tuple: FiveTuple) -> IProtocol:
        self.relayed.append(Recording(five_tuple))
        return self.relayed[-1]

    def _make_web(self, is_secure: bool) -> IProtocol:
        self.pages.append(Recording(is_secure))
        return self.pages[-1]

    def connect(self, client: Address = CLIENT) -> tuple[IncomingStream, Wire]:
        """Accept one connection."""
        stream = self.listener.factory.buildProtocol(twisted_address(client))
        assert stream is not None
        wire = Wire(stream, client, self.clock)
        stream.makeConnection(wire)
        return stream, wire


class TlsClient:
    """A TLS client in memory, pumped by hand against one accepted connection."""

    def __init__(
        self,
        stream: IncomingStream,
        wire: Wire,
        *,
        alpn: list[bytes] | None = None,
        maximum: int | None = None,
        ciphers: bytes | None = None,
    ) -> None:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        if alpn:
            context.set_alpn_protos(alpn)
        if maximum is not None:
            context.set_min_proto_version(SSL.TLS1_VERSION)
            context.set_max_proto_version(maximum)
        if ciphers is not None:
            context.set_cipher_list(ciphers)
        self.connection = SSL.Connection(context, None)
        self.connection.set_connect_state()
        self.received = b""
        self._stream = stream
        self._wire = wire

    def handshake(self) -> None:
        """Run the handshake to its end; raises SSL.Error if the server refuses it."""
        for _ in range(6):
            try:
                self.connection.do_handshake()
            except SSL.WantReadError:
                self.pump()
                continue
            self.pump()
            return
        raise AssertionError("the handshake does not end")

    def flight(self) -> bytes:
        """What the client has to say next."""
        try:
            return self.connection.bio_read(2**16)
        except SSL.WantReadError:
            return b""

    def pump(self) -> None:
        """Carry bytes both ways once."""
        data = self.flight()
        if data:
            self._stream.dataReceived(data)
        data = self._wire.value()
        self._wire.clear()
        if data:
            self.connection.bio_write(data)

    def send(self, data: bytes) -> None:
        """Send application data and take what comes back."""
        self.connection.send(data)
        self.pump()
        self.receive()

    def receive(self) -> None:
        """Decrypt what has come."""
        self.pump()
        while True:
            try:
                self.received += self.connection.recv(2**16)
            except (SSL.WantReadError, SSL.ZeroReturnError):
                return
