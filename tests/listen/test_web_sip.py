"""SIP over WebSocket on the ports of the pages."""

from __future__ import annotations

from twisted.internet.testing import MemoryReactor
from twisted.trial.unittest import SynchronousTestCase
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, RejectConnection, Request, TextMessage

from b2bua.net.stream import SipStream
from b2bua.net.transport import Access, EventLoop, SipTransports
from b2bua.origins import Origins
from suite.demultiplex import requests_path
from suite.incoming import WebSip
from suite.plain_http import UNAVAILABLE
from suite.settings import TcpListen
from tests.listen.streams import CLIENT, GET, PROXIES, SERVER, Setting, TlsClient
from tests.sipnet.wires import RecordingCore, request

LOOPBACK = ("127.0.0.1", 50000)
SIP = request("WSS").render()
PAGE = "https://pages.example"


class Stage:
    """A listener in memory whose WebSockets go to SIP transports that record."""

    def __init__(self, *, listen: TcpListen | None = None, web: bool = True) -> None:
        self.is_serving = True
        self.asked: list[tuple[str, str, int]] = []
        self.core = RecordingCore()
        self.setting = Setting(listen, web=web, sip=WebSip(b"/sip", self._accept))
        self.clock, self.admission = self.setting.clock, self.setting.admission
        reactor = MemoryReactor()
        self.transports = SipTransports(
            (),
            EventLoop(reactor, reactor, self.clock),
            self.core,
            access=Access(allows_origin=Origins((f"{PAGE}:443",)).allows, web_socket_path="/sip"),
        )
        self.transports.start()

    def _accept(self, transport: str, host: str, port: int) -> SipStream | None:
        self.asked.append((transport, host, port))
        return self.transports.accept(transport, host, port) if self.is_serving else None


class Browser:
    """A page's WebSocket, over TLS or from this machine without."""

    def __init__(
        self, stage: Stage, *, secure: bool = True, client: tuple[str, int] = CLIENT
    ) -> None:
        self.stream, self.wire = stage.setting.connect(client)
        self.socket = WSConnection(ConnectionType.CLIENT)
        self.tls: TlsClient | None = None
        if secure:
            self.tls = TlsClient(self.stream, self.wire, alpn=[b"http/1.1"])
            self.tls.handshake()

    def open(
        self, path: str = "/sip", *, origin: str = PAGE, subprotocol: str = "sip", cut: int = 0
    ) -> object:
        """Shake hands, in two pieces where ``cut`` is given, and give the answer."""
        head = self.socket.send(
            Request(
                host="relay.example",
                target=path,
                subprotocols=[subprotocol],
                extra_headers=[(b"Origin", origin.encode())],
            )
        )
        if cut:
            self.send(head[:cut])
        self.send(head[cut:])
        return next(iter(self.events()), None)

    def send(self, data: bytes) -> None:
        """Bytes to the server."""
        if self.tls is None:
            self.stream.dataReceived(data)
        else:
            self.tls.send(data)

    def received(self) -> bytes:
        """Bytes from the server since the last look."""
        if self.tls is None:
            data = self.wire.value()
            self.wire.clear()
            return data
        self.tls.receive()
        data, self.tls.received = self.tls.received, b""
        return data

    def events(self) -> list[object]:
        """What they are as WebSocket."""
        data = self.received()
        if data:
            self.socket.receive_data(data)
        return list(self.socket.events())


class WebSipTests(SynchronousTestCase):
    """A WebSocket at the path of SIP is SIP's, and everything else the pages'."""

    def test_over_tls(self) -> None:
        """A WebSocket over TLS carries SIP both ways, wherever its head is cut."""
        for cut in range(40):
            stage = Stage()
            browser = Browser(stage)
            self.assertIsInstance(browser.open(cut=cut), AcceptConnection)
            browser.send(browser.socket.send(TextMessage(SIP.decode())))
            message, hop = stage.core.messages[0]
            self.assertEqual((hop.transport, hop.host, hop.port), ("WSS", *CLIENT))
            stage.transports.send(message.response(200), hop)  # type: ignore[union-attr]
            [answer] = browser.events()
            self.assertTrue(str(getattr(answer, "data", "")).startswith("SIP/2.0 200 "))
            self.assertEqual(stage.setting.pages, [])
        self.assertEqual(stage.admission.identified, {"SIP over WebSocket": 1})

    def test_without_tls(self) -> None:
        """This machine needs no TLS; everybody else is sent to where it is."""
        stage = Stage()
        browser = Browser(stage, secure=False, client=LOOPBACK)
        self.assertIsInstance(browser.open(), AcceptConnection)
        self.assertEqual(stage.asked, [("WS", *LOOPBACK)])
        other = Browser(stage, secure=False)
        answer = other.open()
        self.assertIsInstance(answer, RejectConnection)
        self.assertEqual(getattr(answer, "status_code", 0), 301)
        self.assertEqual(len(stage.asked), 1)

    def test_pages(self) -> None:
        """Other paths and methods reach the pages as they were sent."""
        for data in (
            GET,
            b"GET /sipping HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /sip/x HTTP/1.1\r\nHost: a\r\n\r\n",
            b"POST /sip HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            b"GET  /sip HTTP/1.1\r\n\r\n",
        ):
            stage = Stage()
            browser = Browser(stage)
            for index in range(len(data)):
                browser.send(data[index : index + 1])
            self.assertEqual(stage.setting.pages[0].received, data)
            self.assertEqual(stage.asked, [])
            self.assertEqual(stage.admission.identified, {"HTTPS": 1})

    def test_no_pages(self) -> None:
        """Where a listener has no pages, it has no SIP either."""
        stage = Stage(web=False)
        browser = Browser(stage, secure=False, client=LOOPBACK)
        self.assertEqual(getattr(browser.open(), "status_code", 0), 400)
        self.assertEqual(stage.asked, [])

    def test_refusals(self) -> None:
        """A foreign page, another subprotocol and a request that is no WebSocket are refused."""
        for told, status in (
            ({"origin": "https://elsewhere.example"}, 403),
            ({"subprotocol": "chat"}, 400),
        ):
            answer = Browser(Stage()).open(**told)  # type: ignore[arg-type]
            self.assertEqual(getattr(answer, "status_code", 0), status)
        browser = Browser(Stage())
        browser.send(b"GET /sip HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertTrue(browser.received().startswith(b"HTTP/1.1 4"))

    def test_not_running(self) -> None:
        """While SIP serves nobody, the answer is 503, over TLS as without."""
        for secure, client in ((True, CLIENT), (False, LOOPBACK)):
            stage = Stage()
            stage.is_serving = False
            browser = Browser(stage, secure=secure, client=client)
            self.assertEqual(getattr(browser.open(), "status_code", 0), 503)
            self.assertEqual(stage.admission.refused, {"SIP is not served": 1})
        head, _, body = UNAVAILABLE.partition(b"\r\n\r\n")
        self.assertIn(b"Content-Length: %d\r\n" % len(body), head)

    def test_behind_a_proxy(self) -> None:
        """The client is the one that a PROXY header names."""
        listen = TcpListen(address=SERVER, web=True, proxy_from=PROXIES)
        stage = Stage(listen=listen)
        stream, wire = stage.setting.connect(("203.0.113.5", 5000))
        stream.dataReceived(b"PROXY TCP4 198.51.100.9 192.0.2.1 4321 3478\r\n")
        client = TlsClient(stream, wire)
        client.handshake()
        client.send(b"GET /sip?x HTTP/1.1\r\n")
        self.assertEqual(stage.asked, [("WSS", "198.51.100.9", 4321)])

    def test_books(self) -> None:
        """A stream is a stranger's until SIP knows who it is, and is told of its end."""
        stage = Stage()
        known, unknown = Browser(stage), Browser(stage)
        for browser in (known, unknown):
            browser.open()
            browser.send(browser.socket.send(TextMessage(SIP.decode())))
        self.assertEqual(stage.admission.strangers, 2)
        hops = [hop for _, hop in stage.core.messages]
        stage.transports.authenticated(hops[0])
        self.assertEqual((stage.admission.strangers, stage.transports.flows.strangers), (1, 1))
        for browser in (known, unknown):
            browser.wire.end()
        stage.clock.advance(0)
        self.assertEqual((stage.admission.strangers, len(stage.transports.flows)), (0, 0))
        self.assertEqual(stage.core.gone, hops)

    def test_deadlines(self) -> None:
        """A slow path, a slow head and a stranger's silence all end."""
        stage = Stage()
        path, head, silent = (Browser(stage) for _ in range(3))
        path.send(b"GET /si")
        head.send(b"GET /sip HTTP/1.1\r\n")
        silent.open()
        stage.clock.advance(9.9)
        self.assertFalse(path.wire.is_closed or head.wire.is_closed or silent.wire.is_closed)
        stage.clock.advance(0.2)
        self.assertTrue(path.wire.aborted and head.wire.aborted)
        self.assertEqual(stage.admission.refused, {"HTTP head not finished in time": 1})
        # From 30 s on, and then some for a good-bye that nobody answers.
        stage.clock.advance(20)
        stage.clock.advance(5)
        self.assertTrue(silent.wire.is_closed)

    def test_lives_on(self) -> None:
        """What is up stays up beyond the time of a page, and beyond the end of its listener."""
        stage = Stage()
        browser = Browser(stage)
        browser.open()
        browser.send(browser.socket.send(TextMessage(SIP.decode())))
        stage.transports.authenticated(stage.core.messages[0][1])
        stage.clock.advance(600)
        stage.setting.listener.stop()
        stage.setting.listener.disconnect()
        self.assertFalse(browser.wire.is_closed)
        stage.transports.stop()
        stage.clock.advance(5)
        self.assertTrue(browser.wire.is_closed)


class PathTests(SynchronousTestCase):
    """``requests_path`` needs no more than one byte after the path."""

    def test_every_beginning(self) -> None:
        """It waits while the path may still come, and no longer."""
        whole = b"GET /sip HTTP/1.1"
        for size in range(len(whole)):
            expected = None if size < 9 else True
            self.assertIs(requests_path(whole[:size], b"/sip"), expected)
        for other in (b"GET /", b"GET /sap"):
            self.assertIs(requests_path(other + b"x", b"/sip"), False)
        self.assertIs(requests_path(b"GET /sip?a", b"/sip"), True)
