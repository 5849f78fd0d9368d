"""What the transports' tests share: a core that records, connections in memory, messages."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import IProtocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactor, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from b2bua.net.limits import TransportLimits
from b2bua.net.listening import SipListen
from b2bua.net.stream import SipStream
from b2bua.net.transport import Access, EventLoop, Outgoing, SipTransports
from b2bua.sip.hop import Hop
from b2bua.sip.message import Message, Request

SERVER = ("192.0.2.10", 5060)
PHONE = ("198.51.100.7", 40000)


def request(
    transport: str = "UDP",
    method: str = "OPTIONS",
    *,
    branch: str = "z9hG4bKb1",
    sent_by: str = "192.0.2.1:5066",
    body: bytes = b"",
) -> Request:
    """A request as a core would send it, or a peer."""
    return Request(
        method,
        "sip:1001@192.0.2.10",
        [
            ("Via", f"SIP/2.0/{transport} {sent_by};branch={branch};rport"),
            ("Max-Forwards", "70"),
            ("From", "<sip:1000@192.0.2.1>;tag=a"),
            ("To", "<sip:1001@192.0.2.10>"),
            ("Call-ID", "c1"),
            ("CSeq", f"1 {method}"),
        ],
        body,
    )


def temporary_folder(test: SynchronousTestCase) -> Path:
    """A folder that is gone after the test."""
    folder = tempfile.mkdtemp(prefix="sipnet-test-")
    test.addCleanup(shutil.rmtree, folder)
    return Path(folder)


class RecordingCore:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[tuple[Message, Hop]] = []
        self.failures: list[tuple[Hop, str]] = []
        self.gone: list[Hop] = []
        self.then: Callable[[Message, Hop], None] = lambda message, hop: None

    def received(self, message: Message, hop: Hop) -> None:
        """Keep a message, and do what the test wants done."""
        self.messages.append((message, hop))
        self.then(message, hop)

    def closed(self, hop: Hop) -> None:
        """Take it that a connection is gone."""
        self.gone.append(hop)

    def failed(self, hop: Hop, reason: str) -> None:
        """Keep a failure."""
        self.failures.append((hop, reason))


class Wire(StringTransport):
    """A connection in memory whose end is told when the test lets time pass."""

    def __init__(self, protocol: IProtocol, clock: Clock) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", *PHONE))
        self._protocol: IProtocol | None = protocol
        self._clock = clock
        self.aborted = False

    def loseConnection(self) -> None:
        """Close after what was written."""
        super().loseConnection()
        self._clock.callLater(0, self.end, Failure(ConnectionDone()))

    def abortConnection(self) -> None:
        """Close at once."""
        self.aborted = True
        self._clock.callLater(0, self.end, Failure(ConnectionAborted()))

    def end(self, reason: Failure) -> None:
        """The connection is gone, told once."""
        protocol, self._protocol = self._protocol, None
        self.connected = False
        if protocol is not None:
            protocol.connectionLost(reason)

    def take(self) -> bytes:
        """What was written since the last look."""
        written: bytes = self.value()
        self.clear()
        return written


class DatagramSocket:
    """A UDP socket in memory: what is queued in ``arriving`` can be read."""

    def __init__(self) -> None:
        self.arriving: list[tuple[bytes, tuple[str, int]] | OSError] = []
        self.errors: list[tuple[int, tuple[str, int]]] = []
        self.sending: list[OSError] = []
        self.sent: list[tuple[bytes, tuple[str, int]]] = []
        self.is_closed = False

    def getsockname(self) -> tuple[str, int]:
        """Where it is bound."""
        return ("192.0.2.1", 5066)

    def fileno(self) -> int:
        """No descriptor."""
        return -1

    def close(self) -> None:
        """Close it."""
        self.is_closed = True

    def sendto(self, data: bytes, address: tuple[str, int]) -> int:
        """Send, or fail as the test wants it."""
        if self.sending:
            raise self.sending.pop(0)
        self.sent.append((data, address))
        return len(data)

    def recvfrom_into(self, buffer: bytearray) -> tuple[int, tuple[str, int]]:
        """Give the next datagram."""
        if not self.arriving:
            raise BlockingIOError
        first = self.arriving.pop(0)
        if isinstance(first, OSError):
            raise first
        data, source = first
        buffer[: len(data)] = data
        return len(data), source

    def has_reports(self) -> bool:
        """Whether a packet did not arrive."""
        return bool(self.errors)

    def take_reports(self) -> list[tuple[int, tuple[str, int]]]:
        """Give the reports about packets that did not arrive."""
        reports, self.errors = self.errors, []
        return reports


class Setting:
    """Transports in memory with a core that records."""

    def __init__(
        self,
        *,
        limits: TransportLimits | None = None,
        access: Access | None = None,
        outgoing: Outgoing | None = None,
        listens: tuple[SipListen, ...] = (SipListen("TCP", "192.0.2.1", 5066),),
    ) -> None:
        self.clock = Clock()
        self.reactor = MemoryReactor()
        self.core = RecordingCore()
        self.transports = SipTransports(
            listens,
            EventLoop(self.reactor, self.reactor, self.clock),
            self.core,
            limits=limits,
            access=access,
            outgoing=outgoing,
        )
        self.transports.start()

    def accept(self, transport: str = "TCP", host: str = PHONE[0]) -> tuple[SipStream, Wire]:
        """A connection that somebody opened to us."""
        stream = self.transports.accept(transport, host, PHONE[1])
        assert stream is not None, "refused"
        return stream, self.attach(stream)

    def attach(self, stream: SipStream) -> Wire:
        """Give a stream its connection."""
        wire = Wire(stream, self.clock)
        stream.makeConnection(wire)
        return wire

    def connect(self, at: int = -1) -> Wire:
        """Let a connection of ours come about."""
        factory = self.reactor.tcpClients[at][2]
        return self.attach(factory.buildProtocol(None))

    def refuse(self, at: int = -1, reason: Exception | None = None) -> None:
        """Let a connection of ours fail."""
        factory = self.reactor.tcpClients[at][2]
        factory.clientConnectionFailed(None, Failure(reason or ConnectionRefusedError()))

    def turn(self) -> None:
        """Let what is due now happen."""
        self.clock.advance(0)
