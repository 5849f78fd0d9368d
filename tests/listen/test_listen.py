"""Accepted connections, from the first byte to the protocol that serves them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from ipaddress import ip_network
from typing import cast

from OpenSSL import SSL
from twisted.internet.interfaces import IProtocol, IReactorTime
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from suite.admission import Admission, ListenLimits
from suite.plain_http import BAD_REQUEST, https_location
from suite.settings import TcpListen
from suite.web import site as pages
from tests.listen.streams import (
    BINDING,
    CLIENT,
    GET,
    PROXIES,
    SERVER,
    Setting,
    TlsClient,
    Wire,
)
from turn.data_plane import ClientPath
from turn.five_tuple import FiveTuple, Transport
from turn.net.stream import StreamClient, StreamLimits

LOOPBACK = ("127.0.0.1", 50000)
V2_START = b"\r\n\r\n\x00\r\nQUIT\n"


class PlainTests(SynchronousTestCase):
    """Connections without TLS."""

    def test_stun(self) -> None:
        """A STUN message goes to the relay with all that was read before it was known."""
        setting = Setting()
        stream, wire = setting.connect()
        for byte in BINDING[:9]:
            stream.dataReceived(bytes([byte]))
        stream.dataReceived(BINDING[9:])
        relayed = setting.relayed[0]
        self.assertEqual(relayed.received, BINDING)
        self.assertEqual(relayed.subject, FiveTuple(Transport.TCP, CLIENT, SERVER))
        self.assertIs(relayed.transport, wire)
        wire.end()
        self.assertEqual(len(relayed.lost), 1)

    def test_mapped_and_scoped_addresses(self) -> None:
        """An IPv4-mapped client is IPv4, and a link-local one loses its zone."""
        for text, host in (("::ffff:198.51.100.7", "198.51.100.7"), ("fe80::1%eth0", "fe80::1")):
            setting = Setting()
            stream, _ = setting.connect((text, 40000))
            stream.dataReceived(BINDING)
            self.assertEqual(setting.relayed[0].subject.client, (host, 40000))

    def test_every_other_first_byte_is_closed(self) -> None:
        """Bytes that nothing here speaks are closed at once and counted."""
        setting = Setting()
        for first in range(0x40, 0x100):
            stream, wire = setting.connect()
            stream.dataReceived(bytes([first]) + b"\x00" * 20)
            self.assertTrue(wire.aborted, hex(first))
        self.assertEqual(setting.admission.refused, {"unknown protocol": 0xC0})
        self.assertEqual((setting.relayed, setting.pages), ([], []))
        setting.clock.advance(0)
        self.assertEqual(setting.admission.strangers, 0)

    def test_nothing_after_a_refusal(self) -> None:
        """What comes after a refusal reaches nobody."""
        setting = Setting()
        stream, _ = setting.connect()
        stream.dataReceived(b"\xff")
        stream.dataReceived(BINDING)
        self.assertEqual(setting.relayed, [])

    def test_not_served(self) -> None:
        """STUN without a relay, STUN where only TLS is, and TLS without a certificate close."""
        tls_only = TcpListen(address=SERVER, plain=False)
        for setting, data, reason in (
            (Setting(turn=False), BINDING, "STUN is not served"),
            (Setting(tls_only), BINDING, "STUN is not served"),
            (Setting(TcpListen(address=SERVER, turn=False)), BINDING, "STUN is not served"),
            (Setting(tls=False), b"\x16\x03\x01", "TLS is not served"),
            (Setting(TcpListen(address=SERVER, tls=False)), b"\x16", "TLS is not served"),
        ):
            stream, wire = setting.connect()
            stream.dataReceived(data)
            self.assertTrue(wire.aborted)
            self.assertEqual(setting.admission.refused, {reason: 1})

    def test_silence_is_closed(self) -> None:
        """A stream that does not say what it is ends after five seconds, drip or no drip."""
        setting = Setting()
        _, silent = setting.connect()
        stream, dripping = setting.connect()
        for byte in BINDING[:4]:
            setting.clock.advance(1)
            stream.dataReceived(bytes([byte]))
        self.assertFalse(silent.is_closed or dripping.is_closed)
        setting.clock.advance(1)
        self.assertTrue(silent.aborted and dripping.aborted)
        self.assertEqual(setting.admission.refused, {"not identified in time": 2})


class Page(Resource):
    """A page that remembers who asked."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[bool, str]] = []

    def render_GET(self, request: Request) -> bytes:
        """Answer, and keep whether TLS was there and who the client is."""
        self.seen.append((request.isSecure(), request.getClientAddress().host))
        return b"page"


class HttpTests(SynchronousTestCase):
    """HTTP, inside TLS and outside."""

    def test_loopback_is_served(self) -> None:
        """This machine's own clients get the pages without TLS."""
        for client in (LOOPBACK, ("::1", 50000), ("::ffff:127.0.0.1", 50000)):
            setting = Setting()
            stream, _ = setting.connect(client)
            stream.dataReceived(GET)
            self.assertEqual(setting.pages[0].received, GET)
            self.assertIs(setting.pages[0].subject, False)

    def test_others_are_redirected(self) -> None:
        """Everybody else is sent to the same path over TLS."""
        setting = Setting()
        stream, wire = setting.connect()
        stream.dataReceived(GET[:20])
        self.assertEqual(wire.value(), b"")
        stream.dataReceived(GET[20:])
        self.assertTrue(wire.value().startswith(b"HTTP/1.1 301 "))
        self.assertIn(b"\r\nLocation: https://relay.example:3478/check\r\n", wire.value())
        self.assertTrue(wire.disconnecting)
        self.assertEqual(setting.pages, [])

    def test_no_pages(self) -> None:
        """A port without pages answers one fixed sentence, also inside TLS and on loopback."""
        setting = Setting(web=False)
        for client in (CLIENT, LOOPBACK):
            stream, wire = setting.connect(client)
            stream.dataReceived(GET)
            self.assertEqual(wire.value(), BAD_REQUEST)
            self.assertTrue(wire.disconnecting)
        stream, wire = setting.connect()
        client = TlsClient(stream, wire)
        client.handshake()
        client.send(GET)
        self.assertEqual(client.received, BAD_REQUEST)

    def test_fixed_answer_is_well_formed(self) -> None:
        """The length in the fixed answer is that of its body."""
        head, _, body = BAD_REQUEST.partition(b"\r\n\r\n")
        self.assertIn(b"Content-Length: %d" % len(body), head)

    def test_slow_head_is_closed(self) -> None:
        """A head that comes byte by byte ends after ten seconds, a finished one stays."""
        setting = Setting()
        slow, slow_wire = setting.connect(LOOPBACK)
        quick, quick_wire = setting.connect(LOOPBACK)
        slow.dataReceived(GET[:6])
        quick.dataReceived(GET[:6])
        quick.dataReceived(GET[6:-1])
        quick.dataReceived(GET[-1:])
        for index in range(9):
            setting.clock.advance(1)
            slow.dataReceived(GET[6 + index : 7 + index])
        self.assertFalse(slow_wire.is_closed)
        setting.clock.advance(1)
        self.assertTrue(slow_wire.aborted)
        self.assertFalse(quick_wire.is_closed)
        self.assertEqual(setting.admission.refused, {"HTTP head not finished in time": 1})

    def test_http_has_an_end(self) -> None:
        """Whatever still drips in after the first head, the connection ends after a minute."""
        setting = Setting()
        stream, wire = setting.connect(LOOPBACK)
        stream.dataReceived(GET)
        for _ in range(59):
            setting.clock.advance(1)
            stream.dataReceived(b"G")
        self.assertFalse(wire.is_closed)
        setting.clock.advance(1)
        self.assertTrue(wire.aborted)

    def test_twisted_web(self) -> None:
        """A real site behind the listener answers over TLS and knows that it is secure."""
        page = Page()
        site = Site(page, reactor=Clock())
        setting = Setting(make_web=lambda is_secure: site.buildProtocol(None))
        stream, wire = setting.connect()
        client = TlsClient(stream, wire, alpn=[b"h2", b"http/1.1"])
        client.handshake()
        client.send(GET)
        self.assertTrue(client.received.startswith(b"HTTP/1.1 200 OK\r\n"))
        self.assertTrue(client.received.endswith(b"page"))
        self.assertEqual(page.seen, [(True, CLIENT[0])])
        wire.end()


class PlainHttpTests(SynchronousTestCase):
    """Listeners that serve HTTP without TLS to everybody, in their own way."""

    def test_pages(self) -> None:
        """Where a proxy has the certificate, pages are served to everybody over plain HTTP."""
        listen = TcpListen(address=SERVER, web=True, plain_http=True, tls=False, turn=False)
        setting = Setting(listen)
        stream, _ = setting.connect()
        stream.dataReceived(GET)
        [page] = setting.pages
        self.assertEqual((page.subject, page.received), (False, GET))

    def test_nothing_else(self) -> None:
        """Neither TLS nor STUN is served there."""
        listen = TcpListen(
            address=SERVER, web=True, plain_http=True, tls=False, turn=False, plain=False
        )
        for first in (BINDING, b"\x16\x03\x01\x00\x05hello"):
            stream, wire = Setting(listen).connect()
            stream.dataReceived(first)
            self.assertTrue(wire.is_closed)

    def test_redirect(self) -> None:
        """The port that redirects leads to HTTPS whatever port the client named, and no further."""
        listen = TcpListen(address=SERVER, tls=False, plain=False, turn=False, redirect_to=8443)
        setting = Setting(listen)
        for client in (CLIENT, ("127.0.0.1", 5)):
            stream, wire = setting.connect(client)
            stream.dataReceived(b"GET /phone?a HTTP/1.1\r\nHost: relay.example:80\r\n\r\n")
            self.assertIn(b"Location: https://relay.example:8443/phone?a\r\n", wire.value())
        self.assertEqual(setting.pages, [])


class HttpsLocationTests(SynchronousTestCase):
    """``https_location`` repeats nothing that could leave the Location header."""

    def test_host(self) -> None:
        """The client's own port is kept, else ours is named; IPv6 keeps its brackets."""
        for host, location in (
            (b"relay.example", b"https://relay.example:3478/a?b"),
            (b"relay.example:80", b"https://relay.example:80/a?b"),
            (b"[2001:db8::1]:99", b"https://[2001:db8::1]:99/a?b"),
        ):
            head = b"GET /a?b HTTP/1.1\r\nhost: " + host
            self.assertEqual(https_location(head, 3478), location)

    def test_always(self) -> None:
        """A port that is meant for all replaces the client's; 443 goes without saying."""
        head = b"GET /a HTTP/1.1\r\nhost: relay.example:80"
        for port, location in (
            (443, b"https://relay.example/a"),
            (8443, b"https://relay.example:8443/a"),
        ):
            self.assertEqual(https_location(head, port, always=True), location)

    def test_refused(self) -> None:
        """No host, two hosts, a host that is none and a target that is no path get no redirect."""
        for head in (
            b"GET / HTTP/1.1",
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b",
            b"GET / HTTP/1.1\r\nHost: a/b",
            b"GET / HTTP/1.1\r\nHost: a b",
            b"GET / HTTP/1.1\r\nHost: user@a",
            b"GET / HTTP/1.1\r\nHost: a\nX: y",
            b"GET http://x/ HTTP/1.1\r\nHost: a",
            b"GET /\x00 HTTP/1.1\r\nHost: a",
            b"GET /",
        ):
            self.assertIsNone(https_location(head, 1), head)


class TlsStreamTests(SynchronousTestCase):
    """Connections with TLS."""

    def test_turn_without_alpn(self) -> None:
        """A client that offers no ALPN is known by its first decrypted bytes."""
        setting = Setting()
        stream, wire = setting.connect()
        client = TlsClient(stream, wire)
        client.handshake()
        client.send(BINDING[:3])
        client.send(BINDING[3:])
        relayed = setting.relayed[0]
        self.assertEqual(relayed.received, BINDING)
        self.assertEqual(relayed.subject, FiveTuple(Transport.TLS, CLIENT, SERVER))
        relayed.transport.write(b"answer")
        client.receive()
        self.assertEqual(client.received, b"answer")
        wire.end()
        self.assertEqual(len(relayed.lost), 1)

    def test_alpn(self) -> None:
        """What is agreed on decides, before a byte is sent; h2 is never agreed on."""
        for offered, agreed, is_relay in (
            ([b"stun.turn"], b"stun.turn", True),
            ([b"stun.nat-discovery"], b"stun.nat-discovery", True),
            ([b"h2", b"http/1.1"], b"http/1.1", False),
        ):
            setting = Setting()
            client = TlsClient(*setting.connect(), alpn=offered)
            client.handshake()
            self.assertEqual(client.connection.get_alpn_proto_negotiated(), agreed)
            self.assertEqual((len(setting.relayed), len(setting.pages)), (is_relay, not is_relay))

    def test_unknown_alpn(self) -> None:
        """An unknown protocol breaks nothing: none is agreed on and the bytes decide."""
        for offered in ([b"h2"], [b"acme-tls/1"], [b"webrtc", b"c-webrtc"]):
            setting = Setting()
            client = TlsClient(*setting.connect(), alpn=offered)
            client.handshake()
            self.assertEqual(client.connection.get_alpn_proto_negotiated(), b"")
            client.send(BINDING)
            self.assertEqual(setting.relayed[0].received, BINDING)

    def test_alpn_of_what_is_not_served(self) -> None:
        """A listener agrees only to what it serves."""
        setting = Setting(web=False)
        client = TlsClient(*setting.connect(), alpn=[b"http/1.1"])
        client.handshake()
        self.assertEqual(client.connection.get_alpn_proto_negotiated(), b"")

    def test_tls_for_pages_only(self) -> None:
        """Where TLS is for the pages only, the relay is neither agreed on nor served inside it."""
        listen = TcpListen(address=SERVER, web=True, turn_over_tls=False)
        setting = Setting(listen)
        client = TlsClient(*setting.connect(), alpn=[b"stun.turn"])
        client.handshake()
        self.assertEqual(client.connection.get_alpn_proto_negotiated(), b"")
        client.connection.send(BINDING)
        client.pump()
        self.assertEqual(setting.admission.refused, {"STUN is not served": 1})
        self.assertEqual(setting.relayed, [])
        stream, _ = setting.connect()
        stream.dataReceived(BINDING)
        self.assertEqual(len(setting.relayed), 1)

    def test_every_first_byte_inside(self) -> None:
        """Inside TLS, too, only STUN and HTTP are served; TLS in TLS is not."""
        for first in (0x16, 0x40, 0x50, 0x80, 0xFF):
            setting = Setting()
            stream, wire = setting.connect()
            client = TlsClient(stream, wire)
            client.handshake()
            client.connection.send(bytes([first]) + b"\x00" * 8)
            client.connection.send(BINDING)
            client.pump()
            self.assertTrue(wire.aborted)
            self.assertEqual(setting.admission.refused, {"unknown protocol": 1})
            self.assertEqual(setting.relayed, [])

    def test_relay_says_goodbye(self) -> None:
        """A stream that the relay closes ends with what was written and TLS's close_notify."""
        five_tuple = FiveTuple(Transport.TLS, CLIENT, SERVER)
        relay = StreamClient(five_tuple, Service(), Clock(), StreamLimits())
        stream, wire = Setting(make_turn=lambda five_tuple: relay).connect()
        client = TlsClient(stream, wire)
        client.handshake()
        client.send(BINDING)
        relay.send_control(b"last")
        relay.close("server stopped")
        client.receive()
        self.assertEqual(client.received, b"last")
        self.assertEqual(client.connection.get_shutdown(), SSL.RECEIVED_SHUTDOWN)
        wire.end()

    def test_hello_in_single_bytes(self) -> None:
        """A ClientHello cut anywhere is a ClientHello, and costs no handshake until it is whole."""
        setting = Setting()
        stream, wire = setting.connect()
        client = TlsClient(stream, wire)
        self.assertRaises(SSL.WantReadError, client.connection.do_handshake)
        hello = client.flight()
        for byte in hello[:-1]:
            stream.dataReceived(bytes([byte]))
        self.assertEqual((setting.admission.handshakes, wire.value()), (0, b""))
        stream.dataReceived(hello[-1:])
        self.assertEqual(setting.admission.handshakes, 1)
        client.handshake()
        client.send(BINDING)
        self.assertEqual(setting.relayed[0].received, BINDING)
        self.assertEqual(setting.admission.handshakes, 0)

    def test_handshake_deadline(self) -> None:
        """Ten seconds after the accept a handshake that is not finished ends."""
        setting = Setting()
        partial, partial_wire = setting.connect()
        stream, wire = setting.connect()
        setting.clock.advance(4)
        partial.dataReceived(b"\x16\x03\x01")
        client = TlsClient(stream, wire)
        self.assertRaises(SSL.WantReadError, client.connection.do_handshake)
        stream.dataReceived(client.flight())
        setting.clock.advance(5.9)
        self.assertFalse(partial_wire.is_closed or wire.is_closed)
        setting.clock.advance(0.2)
        self.assertTrue(partial_wire.aborted and wire.aborted)
        setting.clock.advance(0)
        self.assertEqual(setting.admission.refused, {"TLS handshake not finished in time": 2})
        self.assertEqual((setting.admission.handshakes, setting.admission.strangers), (0, 0))

    def test_silence_after_the_handshake(self) -> None:
        """The five seconds for the first bytes begin when TLS is up."""
        setting = Setting()
        stream, wire = setting.connect()
        setting.clock.advance(4)
        TlsClient(stream, wire).handshake()
        setting.clock.advance(4.9)
        self.assertFalse(wire.is_closed)
        setting.clock.advance(0.2)
        self.assertTrue(wire.aborted)
        self.assertEqual(setting.admission.refused, {"not identified in time": 1})

    def test_failed_handshake(self) -> None:
        """A hello that is none gets an alert, is closed and counted."""
        setting = Setting()
        stream, wire = setting.connect()
        stream.dataReceived(b"\x16\x03\x01\x00\x05hello")
        self.assertEqual(wire.value()[:1], b"\x15")
        setting.clock.advance(0)
        self.assertEqual(setting.admission.refused, {"TLS handshake failed": 1})
        self.assertEqual((setting.admission.handshakes, setting.admission.strangers), (0, 0))

    def test_no_record(self) -> None:
        """0x16 without a TLS version after it is closed without an answer."""
        setting = Setting()
        stream, wire = setting.connect()
        stream.dataReceived(b"\x16\x00")
        self.assertTrue(wire.aborted)
        self.assertEqual(wire.value(), b"")
        self.assertEqual(setting.admission.refused, {"not TLS": 1})


class ProxyTests(SynchronousTestCase):
    """Listeners behind proxies."""

    def setUp(self) -> None:
        """Make a listener that takes PROXY headers from one network."""
        self.setting = Setting(TcpListen(address=SERVER, web=True, proxy_from=PROXIES))
        self.proxy = ("203.0.113.9", 7777)

    def test_announced_client(self) -> None:
        """The relay sees the announced client, with the header cut anywhere."""
        header = b"PROXY TCP4 198.51.100.7 192.0.2.99 40000 443\r\n"
        for size in range(1, len(header) + 4):
            stream, _ = self.setting.connect(self.proxy)
            data = header + BINDING
            stream.dataReceived(data[:size])
            stream.dataReceived(data[size:])
            relayed = self.setting.relayed.pop()
            self.assertEqual(relayed.received, BINDING)
            self.assertEqual(relayed.subject, FiveTuple(Transport.TCP, CLIENT, SERVER))
            self.assertEqual(relayed.transport.getPeer().host, CLIENT[0])

    def test_tls_behind_a_proxy(self) -> None:
        """TLS may follow the header; the pages see the announced client."""
        body = bytes([198, 51, 100, 7, 192, 0, 2, 99]) + struct.pack("!HH", 40000, 443)
        stream, wire = self.setting.connect(self.proxy)
        stream.dataReceived(V2_START + struct.pack("!BBH", 0x21, 0x11, 12) + body)
        client = TlsClient(stream, wire, alpn=[b"http/1.1"])
        client.handshake()
        self.assertEqual(self.setting.pages[0].transport.getPeer().host, CLIENT[0])
        client.send(GET)
        self.assertEqual(self.setting.pages[0].received, GET)

    def test_local_keeps_the_address(self) -> None:
        """LOCAL and UNKNOWN speak for the proxy itself."""
        for header in (V2_START + b"\x20\x00\x00\x00", b"PROXY UNKNOWN\r\n"):
            stream, _ = self.setting.connect(self.proxy)
            stream.dataReceived(header + BINDING)
            self.assertEqual(self.setting.relayed.pop().subject.client, self.proxy)

    def test_loopback_cannot_be_reached_through_a_proxy(self) -> None:
        """A proxy on this machine does not make its clients local ones."""
        setting = Setting(
            TcpListen(address=SERVER, web=True, proxy_from=(ip_network("127.0.0.0/8"),))
        )
        stream, wire = setting.connect(LOOPBACK)
        stream.dataReceived(b"PROXY TCP4 198.51.100.7 192.0.2.99 40000 80\r\n" + GET)
        self.assertIn(b" 301 ", wire.value())

    def test_announced_client_that_takes_all(self) -> None:
        """One client behind the proxy gets half of the places, and leaves the others to others."""
        setting = Setting(
            TcpListen(address=SERVER, web=True, proxy_from=PROXIES),
            limits=ListenLimits(max_connections=20),
        )
        header = "PROXY TCP4 {} 192.0.2.99 40000 443\r\n"
        for host, admitted in (("198.51.100.7", 11), ("198.51.100.8", 5)):
            before = setting.admission.refused["too many connections"]
            for _ in range(20):
                stream, _ = setting.connect(self.proxy)
                stream.dataReceived(header.format(host).encode())
            refused = setting.admission.refused["too many connections"] - before
            self.assertEqual(admitted, 20 - refused, host)

    def test_without_a_valid_header(self) -> None:
        """A named source that sends something else is closed; one that is silent, too."""
        for data in (BINDING, GET, b"\x16\x03\x01", b"PROXY TCP9 "[:11] + b"x\r\n"):
            stream, wire = self.setting.connect(self.proxy)
            stream.dataReceived(data)
            self.assertTrue(wire.aborted, data)
        _, wire = self.setting.connect(self.proxy)
        self.setting.clock.advance(5)
        self.assertTrue(wire.aborted)
        self.assertEqual(
            self.setting.admission.refused, {"bad PROXY header": 4, "no PROXY header in time": 1}
        )

    def test_other_sources(self) -> None:
        """Anybody else is closed before a byte is read."""
        stream, wire = self.setting.connect()
        self.assertTrue(wire.aborted)
        stream.dataReceived(b"PROXY TCP4 198.51.100.7 192.0.2.99 40000 443\r\n" + BINDING)
        self.assertEqual(self.setting.relayed, [])
        self.assertEqual(self.setting.admission.refused, {"not from a proxy": 1})


class Turns:
    """A clock whose delayed calls run turn by turn."""

    def __init__(self) -> None:
        self._calls: list[Callable[[], None]] = []

    def callLater(self, delay: float, call: Callable[[], None]) -> None:
        """Keep a call for the next turn."""
        self._calls.append(call)

    def turn(self) -> bool:
        """Run what was there when the turn began; False if that was nothing."""
        calls, self._calls = self._calls, []
        for call in calls:
            call()
        return bool(calls)


class Service:
    """A relay that does nothing."""

    def control(self, message: bytes, path: ClientPath) -> None:
        """Ignore a message."""

    def media(self, path: ClientPath, frame: bytes) -> None:
        """Ignore a frame."""

    def disconnected(self, path: ClientPath, reason: str) -> None:
        """Ignore the end."""


class AdmissionTests(SynchronousTestCase):
    """How many strangers are let in."""

    def test_cap(self) -> None:
        """Above the cap new connections are turned away until one has gone."""
        setting = Setting(limits=ListenLimits(max_connections=2))
        _, wire = setting.connect()
        setting.connect()
        self.assertIsNone(setting.listener.factory.buildProtocol(None))
        self.assertEqual(setting.admission.refused, {"too many connections": 1})
        wire.end()
        setting.connect()

    def test_one_source_leaves_room_for_others(self) -> None:
        """A source holds no more than it leaves free; the /64 of IPv6 is one source."""
        for flood, other in ((CLIENT[0], "203.0.113.1"), ("2001:db8::1", "2001:db8:0:1::1")):
            setting = Setting(limits=ListenLimits(max_connections=10))
            for port in range(20):
                if setting.admission.admits(flood):
                    setting.connect((flood, 1024 + port))
            self.assertEqual(setting.admission.strangers, 6)
            _, wire = setting.connect((other, 4000))
            self.assertFalse(setting.admission.admits(flood))
            wire.end()
        self.assertFalse(setting.admission.admits("2001:db8::2"))

    def test_clients_of_a_proxy_count_by_themselves(self) -> None:
        """Once its header is here, a stream counts for its client and not for the proxy."""
        limits = ListenLimits(max_connections=10)
        setting = Setting(TcpListen(address=SERVER, proxy_from=PROXIES), limits=limits)
        for host in range(9):
            stream, _ = setting.connect(("203.0.113.9", 1024 + host))
            stream.dataReceived(b"PROXY TCP4 198.51.100.%d 192.0.2.99 40000 443\r\n" % host)
        self.assertEqual(setting.admission.strangers, 9)
        self.assertTrue(setting.admission.admits("203.0.113.9"))

    def test_authenticated_streams_do_not_count(self) -> None:
        """A stream with an allocation makes room, and takes it again when that has ended."""
        clients: list[StreamClient] = []

        def make(five_tuple: FiveTuple) -> StreamClient:
            clients.append(StreamClient(five_tuple, Service(), Clock(), StreamLimits()))
            return clients[-1]

        setting = Setting(limits=ListenLimits(max_connections=1), make_turn=make)
        for tls in (False, True):
            stream, wire = setting.connect()
            if tls:
                client = TlsClient(stream, wire)
                client.handshake()
                client.send(BINDING)
            else:
                stream.dataReceived(BINDING)
            clients[-1].set_authenticated()
            self.assertTrue(setting.admission.admits(CLIENT[0]))
            clients[-1].allocation_ended()
            self.assertFalse(setting.admission.admits(CLIENT[0]))
            clients[-1].set_authenticated()
            wire.end()
            self.assertEqual(setting.admission.strangers, 0)

    def test_strangers_of_one_address(self) -> None:
        """Only so many connections of one address ask for pages before somebody signs in."""
        limits = ListenLimits(http_strangers=2, proxies=PROXIES)
        setting = Setting(TcpListen(address=SERVER, web=True, plain_http=True), limits=limits)
        streams = []
        for port in range(3):
            stream, wire = setting.connect((CLIENT[0], 1024 + port))
            stream.dataReceived(GET)
            streams.append((stream, wire))
        self.assertEqual([False, False, True], [wire.aborted for _, wire in streams])
        self.assertEqual(setting.admission.refused, {"too many HTTP connections of one address": 1})
        streams[0][0]._signed_in()
        setting.connect((CLIENT[0], 2000))[0].dataReceived(GET)
        self.assertEqual(3, len(setting.pages))
        streams[1][1].end()
        setting.connect((CLIENT[0], 2001))[0].dataReceived(GET)
        for port in range(5):
            setting.connect(("203.0.113.9", 3000 + port))[0].dataReceived(GET)
        self.assertEqual(9, len(setting.pages))

    def clients(self, setting: Setting, many: int, user: str = "") -> list[Wire]:
        """Connections of one address that sign in; those that are let in."""
        mine = []
        for port in range(many):
            stream, wire = setting.connect((CLIENT[0], 1024 + port))
            stream.dataReceived(GET)
            if not wire.aborted:
                stream._signed_in()
                if user:
                    assert stream._standing is not None
                    stream._standing.vouched(user)
                mine.append(wire)
        return mine

    def test_users_of_one_address(self) -> None:
        """Users who have proved to be ones get all of them, so many each."""
        limits = ListenLimits(http_clients=20, http_of_user=4)
        setting = Setting(TcpListen(address=SERVER, web=True, plain_http=True), limits=limits)
        held = [self.clients(setting, 4, f"100{number}") for number in range(4)]
        self.assertEqual([4] * 4, [len(each) for each in held])
        # One more of a user counts for the address, as do those who may be anybody.
        more = self.clients(setting, 9, "1000")
        self.assertEqual(3, len(more))
        for wire in (wire for each in (*held, more) for wire in each):
            wire.end()
        self.assertEqual(11, len(self.clients(setting, 20)))

    def test_idle_gives_way(self) -> None:
        """An idle connection is closed for the next of its address, one in use is not."""
        clock = Clock()
        site = pages.site_of(pages.Page(), clock)
        setting = Setting(
            TcpListen(address=SERVER, web=True, plain_http=True),
            limits=ListenLimits(http_strangers=3),
            make_web=lambda _: cast(IProtocol, site.buildProtocol(None)),
        )
        opened = [setting.connect((CLIENT[0], 1024 + port)) for port in range(5)]
        wires = [wire for _, wire in opened]
        opened[0][0].dataReceived(GET[:-4])
        for stream, _ in opened[1:3]:
            stream.dataReceived(GET)
        self.assertEqual([False] * 3, [wire.is_closed for wire in wires[:3]])
        opened[3][0].dataReceived(GET)
        self.assertEqual([False, True, False, False], [wire.is_closed for wire in wires[:4]])
        self.assertFalse(wires[1].aborted)
        other, _ = setting.connect(("203.0.113.9", 3000))
        other.dataReceived(GET)
        self.assertFalse(wires[2].is_closed)
        opened[2][0].dataReceived(GET[:-4])
        opened[3][0].dataReceived(GET[:-4])
        opened[4][0].dataReceived(GET)
        self.assertEqual([False, False, True], [wires[at].is_closed for at in (2, 3, 4)])
        self.assertTrue(wires[4].aborted)

    def test_clients_of_one_address(self) -> None:
        """Of who has signed in and may be anybody one address gets half, and leaves others some."""
        limits = ListenLimits(http_clients=8, http_strangers=50)
        setting = Setting(TcpListen(address=SERVER, web=True, plain_http=True), limits=limits)
        mine = self.clients(setting, 8)
        self.assertEqual(5, len(mine))
        other, wire = setting.connect(("203.0.113.9", 3000))
        other.dataReceived(GET)
        self.assertFalse(wire.aborted)
        for each in mine:
            each.end()
        stream, wire = setting.connect((CLIENT[0], 2000))
        stream.dataReceived(GET)
        self.assertFalse(wire.aborted)

    def test_handshakes_take_turns(self) -> None:
        """No more handshakes than the limit begin in one turn of the reactor, in order."""
        clock = Turns()
        admission = Admission(ListenLimits(handshakes_per_turn=2), cast(IReactorTime, clock))
        begun: list[int] = []
        for number in range(5):
            admission.begin_handshake(lambda number=number: begun.append(number))
        self.assertEqual(begun, [0, 1])
        clock.turn()
        self.assertEqual(begun, [0, 1, 2, 3])
        clock.turn()
        self.assertEqual(begun, [0, 1, 2, 3, 4])
        clock.turn()
        self.assertFalse(clock.turn())

    def test_waiting_handshake(self) -> None:
        """A handshake that had to wait comes to its end; one whose client left is forgotten."""
        setting = Setting(limits=ListenLimits(handshakes_per_turn=1))
        clients = [TlsClient(*setting.connect()) for _ in range(3)]
        for client in clients:
            self.assertRaises(SSL.WantReadError, client.connection.do_handshake)
            client.pump()
        self.assertEqual([bool(client._wire.value()) for client in clients], [False] * 3)
        clients[1]._wire.end()
        for _ in range(3):
            setting.clock.advance(0)
        clients[2].handshake()
        clients[2].send(BINDING)
        self.assertEqual(setting.relayed[0].received, BINDING)
        self.assertEqual(clients[1]._wire.value(), b"")

    def test_half_open_handshakes(self) -> None:
        """Only so many handshakes are under way at a time."""
        setting = Setting(limits=ListenLimits(max_handshakes=1))
        wires = []
        for _ in range(2):
            stream, wire = setting.connect()
            client = TlsClient(stream, wire)
            self.assertRaises(SSL.WantReadError, client.connection.do_handshake)
            stream.dataReceived(client.flight())
            wires.append(wire)
        self.assertEqual([wire.aborted for wire in wires], [False, True])
        self.assertEqual(setting.admission.refused, {"too many TLS handshakes": 1})

    def test_half_open_handshakes_of_one_source(self) -> None:
        """Whoever never finishes its handshakes leaves room for another's."""
        setting = Setting(limits=ListenLimits(max_handshakes=9))
        for port in range(9):
            stream, wire = setting.connect((CLIENT[0], 1024 + port))
            client = TlsClient(stream, wire)
            self.assertRaises(SSL.WantReadError, client.connection.do_handshake)
            stream.dataReceived(client.flight())
            setting.clock.advance(0)
        self.assertEqual(setting.admission.handshakes, 5)
        stream, wire = setting.connect(("203.0.113.1", 4000))
        client = TlsClient(stream, wire)
        client.handshake()
        client.send(BINDING)
        self.assertEqual(setting.relayed[0].received, BINDING)


class StopTests(SynchronousTestCase):
    """The end of a listener."""

    def test_stop_and_disconnect(self) -> None:
        """``stop`` closes who is served by nobody yet, ``disconnect`` everybody."""
        setting = Setting()
        _, unknown = setting.connect()
        stream, relayed = setting.connect()
        stream.dataReceived(BINDING)
        self.successResultOf(setting.listener.stop())
        self.assertEqual((unknown.aborted, relayed.aborted), (True, False))
        setting.listener.disconnect()
        self.assertTrue(relayed.aborted)
        setting.clock.advance(0)
        self.assertEqual(setting.clock.getDelayedCalls(), [])
        self.assertEqual(setting.listener.factory.streams, set())
