"""The gateway's addresses among the pages, whether it runs or not."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web import server
from twisted.web.resource import IResource, Resource

from b2bua.net.web_access import Access
from b2bua.settings import GatewaySettings
from suite.http_deadline import HttpDeadline
from suite.web.connections import PageChannel
from suite.web.gateway_pages import NAMES, GatewayDoor
from suite.web.ice_servers import IceServers
from suite.web.site import build_gateway_root, build_site, site_of
from tests.web.test_site import Answer


class Echo(Resource):
    """Says its name, the rest of the path and the body."""

    def __init__(self, name: bytes) -> None:
        super().__init__()
        self._name = name

    isLeaf = True

    def render(self, request: server.Request) -> bytes:
        """Answer at once."""
        body = request.content.read() if request.content else b""
        return b"%s %s %s" % (self._name, b"/".join(request.postpath or []), body)


class Held(Resource):
    """A poll: answered when the test says so."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[server.Request] = []

    def render(self, request: server.Request) -> int:
        """Answer later."""
        self.requests.append(request)
        return server.NOT_DONE_YET


class Gateway:
    """One that may be down."""

    def __init__(self) -> None:
        self.held = Held()
        self.is_up = True

    def pages(self) -> Mapping[bytes, IResource] | None:
        """Its addresses."""
        if not self.is_up:
            return None
        pages: dict[bytes, IResource] = {name: Echo(name) for name in NAMES}
        return {**pages, b"wait": self.held}


def no_offer(host: str) -> IceServers:
    """The check page is not asked."""
    raise AssertionError(host)


class GatewayPagesTestCase(SynchronousTestCase):
    """A gateway beside the pages, and connections that are strings."""

    def setUp(self) -> None:
        """Serve a gateway beside the pages."""
        self.clock = Clock()
        self.gateway = Gateway()
        self.site = build_site(no_offer, self.clock, gateway=GatewayDoor(self.gateway.pages))

    def rules(self, *origins: str) -> None:
        """Have pages of these origins use it."""
        door = GatewayDoor(self.gateway.pages, access=Access(GatewaySettings(), origins))
        self.site = build_site(no_offer, self.clock, gateway=door)

    def connect(self) -> tuple[PageChannel, StringTransport]:
        """Open a connection."""
        channel = self.site.buildProtocol(None)
        transport = StringTransport()
        channel.makeConnection(transport)
        assert isinstance(channel, PageChannel)
        return channel, transport

    def ask(self, words: str, body: str = "", more: str = "") -> Answer:
        """One request and its answer."""
        channel, transport = self.connect()
        head = f"{words} HTTP/1.1\r\nHost: a\r\n{more}"
        head += f"Content-Length: {len(body)}\r\n" if body else ""
        channel.dataReceived(f"{head}\r\n{body}".encode())
        return Answer(transport.value())


class GatewayPagesTests(GatewayPagesTestCase):
    """What stands at /sign_in and the others."""

    def test_asked_each_time(self) -> None:
        """Each address is the gateway's own, with whatever stands behind it."""
        self.assertEqual(b"sign_in  ", self.ask("GET /sign_in?1001").body)
        self.assertEqual(b"message  BYE", self.ask("POST /message?from=1&to=2", "BYE").body)
        self.assertEqual(b"ping  ", self.ask("GET /ping").body)

    def test_down(self) -> None:
        """While it is down all of them are 503, whoever asks and however."""
        self.gateway.is_up = False
        for name in NAMES:
            for method in ("GET", "HEAD", "OPTIONS", "POST"):
                answer = self.ask(f"{method} /{name.decode()}")
                self.assertEqual((503, "5"), (answer.code, answer.headers["retry-after"]), name)
                self.assertNotIn("server", answer.headers)
        self.gateway.is_up = True
        self.assertEqual(200, self.ask("GET /sign_in?1001").code)

    def test_down_for_pages(self) -> None:
        """Pages that may use it can read that, as far as the rules for it say so; others cannot."""
        self.gateway.is_up = False
        for listed, origin, allowed in (
            ((), "https://a.example", "https://a.example"),
            (("https://*.foo.com",), "https://a.foo.com", "https://a.foo.com"),
            (("https://*.foo.com",), "https://a.example", None),
        ):
            self.rules(*listed)
            more = f"Origin: {origin}\r\n"
            for name in NAMES:
                answer = self.ask(f"GET /{name.decode()}", more=more)
                expected = "*" if name == b"ping" else allowed
                found = answer.headers.get("access-control-allow-origin")
                self.assertEqual((503, expected), (answer.code, found), name)
            credentials = self.ask("GET /wait", more=more).headers.get(
                "access-control-allow-credentials"
            )
            self.assertEqual("true" if allowed else None, credentials)

    def test_preflight_while_down(self) -> None:
        """A browser that asks before it sends a request is let send it, and reads that answer."""
        self.gateway.is_up = False
        self.rules("https://*.foo.com")
        asked = "Access-Control-Request-Method: POST\r\n"
        answer = self.ask("OPTIONS /message", more=f"Origin: https://a.foo.com\r\n{asked}")
        self.assertEqual(204, answer.code)
        self.assertEqual("https://a.foo.com", answer.headers["access-control-allow-origin"])
        self.assertEqual("POST", answer.headers["access-control-allow-methods"])
        answer = self.ask("OPTIONS /message", more=f"Origin: https://evil.example\r\n{asked}")
        self.assertEqual(503, answer.code)
        self.assertNotIn("access-control-allow-origin", answer.headers)

    def test_pages_stay(self) -> None:
        """The pages are there beside it, whether it runs or not."""
        self.gateway.is_up = False
        self.assertEqual(200, self.ask("GET /").code)

    def test_alone(self) -> None:
        """Where the pages are off there is nothing else."""
        self.site = site_of(build_gateway_root(GatewayDoor(self.gateway.pages)), self.clock)
        self.assertEqual(200, self.ask("GET /sign_in?1001").code)
        for path in ("/", "/static/check.js", "/api/ice-servers", "/lab"):
            self.assertEqual(404, self.ask(f"GET {path}").code, path)

    def test_without(self) -> None:
        """Where there is no gateway only /ping is there, the pages' own."""
        self.site = build_site(no_offer, self.clock)
        self.assertEqual(b"up", self.ask("GET /ping").body)
        self.assertEqual(404, self.ask("GET /sign_in?1001").code)


class DeadlineTests(GatewayPagesTestCase):
    """How long a connection may last; see suite.http_deadline."""

    def setUp(self) -> None:
        """Give each connection a minute."""
        super().setUp()
        self.ended: list[str] = []

    def connect(self) -> tuple[PageChannel, StringTransport]:
        """Open a connection whose time is counted."""
        channel, transport = super().connect()
        channel.deadline = HttpDeadline(
            self.clock,
            60,
            too_late=lambda: self.ended.append("too late"),
            close=lambda: self.ended.append("close"),
            signed_in=lambda: self.ended.append("signed in"),
        )
        channel.deadline.start()
        return channel, transport

    def test_stranger(self) -> None:
        """A stranger's time does not begin again, whatever it asks for."""
        channel, _ = self.connect()
        for _ in range(5):
            self.clock.advance(11)
            channel.dataReceived(b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual([], self.ended)
        self.clock.advance(5)
        self.assertEqual(["too late"], self.ended)

    def test_half_a_request(self) -> None:
        """Nor is a body waited for that comes drop by drop."""
        channel, _ = self.connect()
        channel.dataReceived(b"POST /message HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n")
        for _ in range(59):
            self.clock.advance(1)
            channel.dataReceived(b"x")
        self.clock.advance(1)
        self.assertEqual(["too late"], self.ended)

    def test_poll(self) -> None:
        """A poll may be held longer; the time begins again with its answer."""
        channel, _ = self.connect()
        channel.dataReceived(b"GET /wait?id=1 HTTP/1.1\r\nHost: a\r\n\r\n")
        self.clock.advance(119)
        self.assertEqual(["signed in"], self.ended)
        [request] = self.gateway.held.requests
        request.write(b"BYE")
        request.finish()
        self.clock.advance(29)
        channel.dataReceived(b"GET /wait?id=1 HTTP/1.1\r\nHost: a\r\n\r\n")
        self.clock.advance(119)
        self.assertEqual(["signed in"], self.ended)

    def test_answer_first(self) -> None:
        """A request that is here whole is answered before the connection ends."""
        self.site = build_site(
            no_offer, self.clock, gateway=GatewayDoor(lambda: {b"sign_in": self.gateway.held})
        )
        channel, transport = self.connect()
        channel.dataReceived(b"GET /sign_in?1001 HTTP/1.1\r\nHost: a\r\n\r\n")
        self.clock.advance(61)
        self.assertEqual([], self.ended)
        [request] = self.gateway.held.requests
        request.finish()
        self.assertEqual(["close", "signed in"], self.ended)
        self.assertEqual(200, Answer(transport.value()).code)

    def test_sign_in_that_waits(self) -> None:
        """Who is signed in later is no stranger from then on, and who is refused stays one."""
        for status, told in ((200, ["signed in"]), (403, [])):
            self.setUp()
            self.site = build_site(
                no_offer, self.clock, gateway=GatewayDoor(lambda: {b"sign_in": self.gateway.held})
            )
            channel, _ = self.connect()
            channel.dataReceived(b"GET /sign_in?1001 HTTP/1.1\r\nHost: a\r\n\r\n")
            [request] = self.gateway.held.requests
            request.setResponseCode(status)
            self.assertEqual([], self.ended)
            request.finish()
            self.assertEqual(told, self.ended)

    def test_lost(self) -> None:
        """A connection that is gone is not ended again."""
        channel, _ = self.connect()
        assert channel.deadline is not None
        channel.deadline.stop()
        self.clock.advance(100)
        self.assertEqual([], self.ended)
