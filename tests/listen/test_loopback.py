"""A real port on loopback: binding, a reader that stalls, a flood of half-open connections."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
from ipaddress import IPv4Network, ip_network
from typing import ClassVar, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorFDSet, IReactorTime
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from suite.admission import Admission, ListenLimits
from suite.datapath.choice import missing_reason
from suite.listen import StreamListener
from suite.settings import TcpListen
from suite.tls import TlsContexts
from tests.listen.streams import BINDING, own_certificate
from tests.listen.test_stream import Service, channel_data
from tests.programs import require_program
from turn.five_tuple import Address, FiveTuple
from turn.net.stream import StreamClient, StreamLimits, StreamTotals, TurnStream

ANSWER = bytes.fromhex("010100002112a442") + b"transaction!"
CLOCK = cast(IReactorTime, reactor)
TIMEOUT = 20


class PortTestCase(TestCase):
    """A listener on loopback whose relay keeps its streams."""

    timeout: ClassVar[int] = 60

    def start(
        self, address: Address = ("127.0.0.1", 0), proxy_from: tuple[IPv4Network, ...] = ()
    ) -> StreamListener:
        """Listen until the end of the test."""
        self.clients: list[TurnStream] = []
        self.service = Service()
        self.admission = Admission(ListenLimits(handshake_timeout=1.0, identify_timeout=1.0), CLOCK)
        listener = StreamListener(
            TcpListen(address=address, proxy_from=proxy_from),
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

    def client(self, five_tuple: FiveTuple) -> TurnStream:
        """Make the relay's protocol."""
        self.clients.append(self.make(five_tuple))
        return self.clients[-1]

    def make(self, five_tuple: FiveTuple) -> TurnStream:
        """Let Twisted move the bytes."""
        return StreamClient(five_tuple, self.service, CLOCK, StreamLimits())

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
            frames, size = client.media_waiting
            self.assertLessEqual(size, 256 * 1024)
            self.assertLess(frames, 300)


class OnCore(PortTestCase):
    """The same with bytes that the native core moves."""

    skip = missing_reason() or None

    def make(self, five_tuple: FiveTuple) -> TurnStream:
        """Let the core move the bytes."""
        from suite.datapath.native_core import NativeCore
        from suite.datapath.native_stream import NativeStreams

        core = NativeCore(cast(IReactorFDSet, reactor), CLOCK.seconds)
        streams = NativeStreams(core, CLOCK, media_to_python=True)
        self.assertEqual(streams.tls_words, "native")
        return streams.client(five_tuple, self.service, StreamTotals())


class NativeStalledReaderTests(OnCore, StalledReaderTests):
    """A client that never reads, and the core."""


class ConversationTests(PortTestCase):
    """A client from its first byte to the end of the listener."""

    @inlineCallbacks
    def test_books(self) -> object:
        """It is a stranger until its allocation, and off the books when it is disconnected."""
        listener = self.start()
        for secure in (False, True):
            client = yield deferToThread(connect, listener.port, secure)
            self.addCleanup(client.close)
            while not self.service.heard:
                yield pause(0.01)
            stream = self.clients.pop()
            self.assertEqual(self.service.heard.pop(), ("control", BINDING))
            self.assertEqual(self.admission.strangers, 1)
            stream.set_authenticated()
            self.assertEqual(self.admission.strangers, 0)
            stream.send_control(ANSWER)
            stream.send_media(channel_data(b"four"))
            answer = yield deferToThread(client.recv, 4096)
            while len(answer) < 28:
                answer += yield deferToThread(client.recv, 4096)
            self.assertEqual(answer, ANSWER + channel_data(b"four"))
            listener.disconnect()
            while listener.factory.streams:
                yield pause(0.01)
            self.assertEqual(self.service.ends.pop(), "connection lost")
            self.assertEqual(self.admission.strangers, 0)

    @inlineCallbacks
    def test_announced_by_a_proxy(self) -> object:
        """The client is whom the proxy names; frames behind its header in one write are heard."""
        port = self.start(proxy_from=(ip_network("127.0.0.0/8"),)).port
        client = yield deferToThread(socket.create_connection, ("127.0.0.1", port), TIMEOUT)
        self.addCleanup(client.close)
        header = b"PROXY TCP4 198.51.100.7 192.0.2.99 40000 443\r\n"
        client.sendall(header + BINDING + channel_data(b"four") + BINDING[:5])
        while len(self.service.heard) < 2:
            yield pause(0.01)
        client.sendall(BINDING[5:])
        while len(self.service.heard) < 3:
            yield pause(0.01)
        kinds = [kind for kind, _ in self.service.heard]
        self.assertEqual(kinds, ["control", "media", "control"])
        self.assertEqual(self.clients[0].five_tuple.client, ("198.51.100.7", 40000))


class NativeConversationTests(OnCore, ConversationTests):
    """The same, and the core moves the bytes."""


class KeyUpdateTests(PortTestCase):
    """Peers that change their keys in the middle (RFC 8446, section 4.6.3)."""

    @inlineCallbacks
    def test_both_ways(self) -> object:
        """New keys of the client, and those that it asks us for, lose nothing either way."""
        program = require_program("openssl")
        port = self.start().port
        client = yield deferToThread(begin_s_client, program, port)
        self.addCleanup(end_s_client, client)
        for number, command in enumerate((b"", b"k\n", b"K\n"), 1):
            client.stdin.write(command)
            client.stdin.flush()
            yield pause(0.3 if command else 0)
            client.stdin.write(BINDING)
            client.stdin.flush()
            while len(self.service.heard) < number:
                yield pause(0.01)
            self.clients[0].send_control(ANSWER)
            yield deferToThread(read_until, client, ANSWER)
        self.assertEqual(self.service.heard, [("control", BINDING)] * 3)


class NativeKeyUpdateTests(OnCore, KeyUpdateTests):
    """The same, and the core reads and writes."""


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
        while self.admission.strangers > 1 or self.admission.handshakes:
            yield pause(0.01)
        self.assertEqual(sum(self.admission.refused.values()), 200)


def begin_s_client(program: str, port: int) -> subprocess.Popen[bytes]:
    """OpenSSL's own client, whose lines K and k are commands to change keys."""
    return subprocess.Popen(
        [program, "s_client", "-tls1_3", "-connect", f"127.0.0.1:{port}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def end_s_client(client: subprocess.Popen[bytes]) -> None:
    """End the process and its pipes."""
    client.kill()
    client.communicate()


def read_until(client: subprocess.Popen[bytes], wanted: bytes) -> None:
    """Read what the client prints up to these bytes."""
    assert client.stdout is not None
    seen = b""
    while wanted not in seen:
        data = os.read(client.stdout.fileno(), 4096)
        if not data:
            raise AssertionError(f"the client ended: {seen!r}")
        seen += data


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
