"""A real port on loopback: binding, a reader that stalls, a flood of half-open connections."""

from __future__ import annotations

import socket
import ssl
from typing import ClassVar, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorFDSet, IReactorTime
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from suite.admission import Admission, ListenLimits
from suite.listen import StreamListener
from suite.settings import TcpListen
from suite.tls import TlsContexts
from tests.listen.streams import BINDING, own_certificate
from tests.listen.test_stream import Service, channel_data
from turn.five_tuple import Address, FiveTuple
from turn.net.stream import StreamClient, StreamLimits

CLOCK = cast(IReactorTime, reactor)
TIMEOUT = 20


class PortTestCase(TestCase):
    """A listener on loopback whose relay keeps its streams."""

    timeout: ClassVar[int] = 60

    def start(self, address: Address = ("127.0.0.1", 0)) -> StreamListener:
        """Listen until the end of the test."""
        self.clients: list[StreamClient] = []
        self.service = Service()
        self.admission = Admission(ListenLimits(handshake_timeout=1.0, identify_timeout=1.0), CLOCK)
        listener = StreamListener(
            TcpListen(address=address),
            turn=self.client,
            web=None,
            tls=TlsContexts(own_certificate().settings),
            clock=CLOCK,
            limits=self.admission,
            reactor=cast(IReactorFDSet, reactor),
        )
        listener.start()
        self.addCleanup(self.stop, listener)
        return listener

    def client(self, five_tuple: FiveTuple) -> StreamClient:
        """Make the relay's protocol."""
        self.clients.append(StreamClient(five_tuple, self.service, CLOCK, StreamLimits()))
        return self.clients[-1]

    @inlineCallbacks
    def stop(self, listener: StreamListener) -> object:
        """Free the port and end what is left."""
        yield listener.stop()
        listener.disconnect()
        while listener.factory.streams:
            yield pause(0.01)


def pause(seconds: float) -> Deferred[None]:
    """Let the reactor work."""
    return deferLater(CLOCK, seconds, lambda: None)


class BindTests(PortTestCase):
    """Binding."""

    @inlineCallbacks
    def test_port_in_use(self) -> object:
        """A port that is taken is an error that names it; after ``stop`` it is free."""
        first = self.start()
        self.assertRaises(CannotListenError, self.start, ("127.0.0.1", first.port))
        yield first.stop()
        self.start(("127.0.0.1", first.port))

    def test_both_families(self) -> None:
        """IPv4 and IPv6 can have the same port, each with its own listener."""
        first = self.start(("0.0.0.0", 0))
        self.assertEqual(self.start(("::", first.port)).port, first.port)


class StalledReaderTests(PortTestCase):
    """A client that never reads."""

    @inlineCallbacks
    def test_media_is_dropped(self) -> object:
        """Ten megabytes for a reader that stalls are dropped and not kept, in TCP and in TLS."""
        port = self.start().port
        for secure in (False, True):
            stalled = yield deferToThread(connect, port, secure)
            self.addCleanup(stalled.close)
            while not self.clients:
                yield pause(0.01)
            client = self.clients.pop()
            client.set_authenticated()
            frame = channel_data(bytes(1000))
            for _ in range(100):
                for _ in range(100):
                    client.send_media(frame)
                yield pause(0)
            self.assertGreater(client.media_dropped, 5000)
            self.assertLessEqual(client._media_bytes, 256 * 1024)
            self.assertLess(len(client._media), 300)


class HalfOpenTests(PortTestCase):
    """Connections that say nothing, or not enough."""

    @inlineCallbacks
    def test_flood(self) -> object:
        """Two hundred of them keep nobody out and are gone when their time is over."""
        port = self.start().port
        flood = yield deferToThread(half_open, port, 200)
        for half in flood:
            self.addCleanup(half.close)
        good = yield deferToThread(connect, port, True)
        self.addCleanup(good.close)
        while not self.clients:
            yield pause(0.01)
        yield pause(1.5)
        self.assertEqual(self.admission.strangers, 1)
        self.assertEqual(self.admission.handshakes, 0)
        self.assertEqual(sum(self.admission.refused.values()), 200)


def connect(port: int, secure: bool) -> socket.socket:
    """Connect and send one request, then leave the socket alone."""
    stream = socket.create_connection(("127.0.0.1", port), TIMEOUT)
    if secure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(own_certificate().settings.certificate.parent / "ca.pem")
        stream = context.wrap_socket(stream, server_hostname="localhost")
    stream.sendall(BINDING)
    return stream


def half_open(port: int, count: int) -> list[socket.socket]:
    """Open connections that send nothing, or the beginning of a TLS record."""
    streams = [socket.create_connection(("127.0.0.1", port), TIMEOUT) for _ in range(count)]
    for stream in streams[::2]:
        stream.sendall(b"\x16\x03\x01\x01")
    return streams
