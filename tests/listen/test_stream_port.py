"""The transport that writes at once, over a pair of sockets of this process."""

from __future__ import annotations

import socket

from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from suite import stream_port
from suite.stream_port import UNSENT_LOW_WATER, PromptServer, StreamPort, prepare
from tests.listen.streams import Recording


class Readiness(Clock):
    """A reactor that only remembers what waits for which readiness."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[object] = set()
        self.writers: set[object] = set()

    def addReader(self, reader: object) -> None:
        """Remember it."""
        self.readers.add(reader)

    def addWriter(self, writer: object) -> None:
        """Remember it."""
        self.writers.add(writer)

    def removeReader(self, reader: object) -> None:
        """Forget it."""
        self.readers.discard(reader)

    def removeWriter(self, writer: object) -> None:
        """Forget it."""
        self.writers.discard(writer)


class Pausing:
    """A producer that counts what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        """Note it."""
        self.told.append("pause")

    def resumeProducing(self) -> None:
        """Note it."""
        self.told.append("resume")

    def stopProducing(self) -> None:
        """Note it."""
        self.told.append("stop")


class PromptServerTests(SynchronousTestCase):
    """``PromptServer.write``."""

    def setUp(self) -> None:
        """Connect a transport to a socket that the test reads."""
        ours, self.peer = socket.socketpair()
        self.addCleanup(self.peer.close)
        self.peer.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.addCleanup(ours.close)
        self.reactor = Readiness()
        self.protocol = Recording("server")
        self.server = PromptServer(
            ours,
            self.protocol,
            ("192.0.2.1", 1),
            None,
            1,
            self.reactor,  # type: ignore[arg-type]
        )
        self.protocol.makeConnection(self.server)
        self.now = 1.0
        self.patch(stream_port, "perf_counter", lambda: self.now)

    def read(self) -> bytes:
        """What has arrived at the peer."""
        try:
            return self.peer.recv(2**20)
        except BlockingIOError:
            return b""

    def test_at_once(self) -> None:
        """A small write has arrived when ``write`` returns, and nothing waits for readiness."""
        self.server.write(b"one")
        self.assertEqual(self.read(), b"one")
        self.assertEqual(self.reactor.writers, set())

    def test_burst(self) -> None:
        """The first write of a burst leaves at once, the rest together in the next turn."""
        for number in range(5):
            self.server.write(b"%d" % number)
            self.now += 0.00019
        self.assertEqual(self.read(), b"0")
        self.assertEqual(self.reactor.writers, {self.server})
        self.assertIsNone(self.server.doWrite())
        self.assertEqual(self.read(), b"1234")
        self.assertEqual(self.reactor.writers, set())
        self.now += 0.0002
        self.server.write(b"next")
        self.assertEqual(self.read(), b"next")

    def test_order(self) -> None:
        """A write after a pause does not overtake what still waits."""
        self.server.write(b"1")
        self.server.write(b"2")
        self.now += 1
        self.server.write(b"3")
        self.assertEqual(self.read(), b"1")
        self.assertIsNone(self.server.doWrite())
        self.assertEqual(self.read(), b"23")

    def test_pause(self) -> None:
        """A producer is paused when more than 8 KiB wait, not before."""
        producer = Pausing()
        self.server.registerProducer(producer, True)
        self.server.write(b"at once")
        self.server.write(bytes(8192))
        self.assertEqual(producer.told, [])
        self.server.write(b"x")
        self.assertEqual(producer.told, ["pause"])

    def test_rest_waits(self) -> None:
        """What the kernel does not take waits, pauses the producer, and keeps its order."""
        producer = Pausing()
        self.server.registerProducer(producer, True)
        sent = bytes(range(256)) * 4096
        self.server.write(sent)
        self.server.write(b"last")
        self.assertEqual(producer.told[0], "pause")
        self.assertEqual(self.reactor.writers, {self.server})
        arrived = self.read()
        while self.reactor.writers:
            self.assertIsNone(self.server.doWrite())
            arrived += self.read()
        arrived += self.read()
        self.assertEqual(arrived, sent + b"last")
        self.assertEqual(producer.told[-1], "resume")
        self.now += 1
        self.server.write(b"next")
        self.assertEqual(self.read(), b"next")

    def test_error(self) -> None:
        """A peer that is gone is found out by the reactor, not in the middle of a write."""
        self.peer.close()
        self.server.write(b"one")
        self.assertEqual(self.protocol.lost, [])
        self.assertEqual(self.reactor.writers, {self.server})
        self.assertIsInstance(self.server.doWrite(), ConnectionLost)
        self.server.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(len(self.protocol.lost), 1)
        self.server.write(b"two")

    def test_close_after_write(self) -> None:
        """``loseConnection`` sends what waits, and nothing that is written after it is lost."""
        self.server.write(b"one")
        self.server.loseConnection()
        self.assertEqual(self.reactor.writers, {self.server})
        self.assertEqual(self.read(), b"one")
        self.assertIsNotNone(self.server.doWrite())


class OptionTests(SynchronousTestCase):
    """Socket options."""

    def test_accepted_connection(self) -> None:
        """Small writes leave at once, the kernel's queue is short, a dead peer is noticed."""
        accepted = socket.socket()
        self.addCleanup(accepted.close)

        class Transport:
            def getHandle(self) -> socket.socket:
                return accepted

        prepare(Transport())
        for level, option, value in (
            (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
            (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_LOW_WATER),
            (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 120_000),
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        ):
            self.assertEqual(accepted.getsockopt(level, option), value)

    def test_ipv6_only(self) -> None:
        """A port on IPv6 leaves IPv4 alone."""
        port = StreamPort(0, Factory(), 1, "::1", Readiness())  # type: ignore[arg-type]
        listening = port.createInternetSocket()
        self.addCleanup(listening.close)
        self.assertEqual(listening.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY), 1)
