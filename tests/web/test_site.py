"""The pages as bytes over a connection."""

import json
import re

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from suite.web import connections
from suite.web.connections import MAX_BODY
from suite.web.credentials import Credential, CredentialKind
from suite.web.ice_servers import IceServer, IceServers
from suite.web.site import build_site, requested_host, static_files


class Answer:
    """A response taken apart."""

    def __init__(self, data: bytes) -> None:
        head, _, self.body = data.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        self.code = int(status.split()[1]) if status else None
        self.headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
        }


class SiteTestCase(SynchronousTestCase):
    """A site, and connections to it that are strings."""

    def setUp(self) -> None:
        """Serve the pages with an offer that names the host it was asked for."""
        self.clock = Clock()
        self.hosts: list[str] = []
        self.site = build_site(self.offer, self.clock)

    def offer(self, host: str) -> IceServers:
        """Offer one relay."""
        self.hosts.append(host)
        server = IceServer(f"turn:{host}:443?transport=udp", Credential("1:check", "p"))
        return IceServers((server,), CredentialKind.TEMPORARY, 600)

    def connect(self) -> tuple[connections.server.Site, StringTransport]:
        """Open a connection."""
        protocol = self.site.buildProtocol(None)
        transport = StringTransport()
        protocol.makeConnection(transport)
        return protocol, transport

    def request(
        self,
        path: str,
        method: str = "GET",
        host: str = "turn.example.net",
        body: str = "",
        **headers: str,
    ) -> Answer:
        """Send one request and read its answer."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        protocol, transport = self.connect()
        protocol.dataReceived(("\r\n".join(lines) + "\r\n\r\n" + body).encode("latin-1"))
        return Answer(transport.value())


class PagesTests(SiteTestCase):
    """What is served."""

    def test_a_connection_has_so_many_requests(self) -> None:
        """The last answer says that it is the last, and what was pipelined behind is dropped."""
        protocol, transport = self.connect()
        protocol.dataReceived(b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n" * 100)
        answers = transport.value().split(b"HTTP/1.1 200 OK\r\n")[1:]
        closing = [b"connection: close" in answer.lower() for answer in answers]
        self.assertEqual(closing, [False] * (connections.MAX_REQUESTS - 1) + [True])
        self.assertTrue(transport.disconnecting)

    def test_page(self) -> None:
        """``/`` is the check page."""
        answer = self.request("/")
        self.assertEqual(answer.code, 200)
        self.assertEqual(answer.headers["content-type"], "text/html; charset=utf-8")
        self.assertIn(b"<title>TURN check</title>", answer.body)

    def test_every_reference_is_served(self) -> None:
        """Whatever the page and its modules name is there, and nothing is on another host."""
        pages = [self.request(path).body.decode() for path in ("/", "/phone")]
        pages += [
            self.request(f"/static/{name}").body.decode()
            for name in static_files()
            if name.endswith((".js", ".mjs", ".css"))
        ]
        references = set()
        for text in pages:
            references |= set(re.findall(r'(?:src|href)="([^"]+)"', text))
            references |= set(re.findall(r'from "(/[^"]+)"', text))
            references |= {f"/static{name}" for name in re.findall(r'from "\.(/[^"]+)"', text)}
        self.assertLess({"/static/page.js", "/static/phone.mjs", "/jsapi/grtc.mjs"}, references)
        for reference in references:
            self.assertEqual(self.request(reference).code, 200, reference)

    def test_no_inline_script_or_style(self) -> None:
        """The page has nothing that its own policy would forbid."""
        for path in ("/", "/phone"):
            text = self.request(path).body.decode()
            self.assertNotRegex(text, r"<script(?![^>]*\ssrc=)")
            self.assertNotRegex(text, r"<style|\sstyle=|\son[a-z]+=|javascript:")

    def test_phone(self) -> None:
        """Only the phone's page may use microphone and camera, and may talk to other gateways."""
        headers = self.request("/phone").headers
        self.assertIn("camera=(self), microphone=(self)", headers["permissions-policy"])
        self.assertEqual("same-origin", headers["referrer-policy"])
        policy = headers["content-security-policy"]
        self.assertIn("connect-src 'self' http: https:;", policy)
        self.assertIn("default-src 'none'; script-src 'self'; style-src 'self'", policy)
        self.assertIn("camera=()", self.request("/").headers["permissions-policy"])

    def test_library(self) -> None:
        """Applications of every site may load the library, and keep it for a while."""
        types = {"grtc.js": "text/javascript", "grtc.mjs": "text/javascript", "grtc.d.ts": "text/"}
        for name, kind in types.items():
            answer = self.request(f"/jsapi/{name}")
            self.assertEqual(answer.code, 200)
            self.assertTrue(answer.headers["content-type"].startswith(kind), name)
            self.assertEqual(answer.headers["access-control-allow-origin"], "*")
            self.assertEqual(answer.headers["cross-origin-resource-policy"], "cross-origin")
            self.assertEqual(answer.headers["cache-control"], "public, max-age=3600")
            etag = answer.headers["etag"]
            self.assertEqual(self.request(f"/jsapi/{name}", If_None_Match=etag).code, 304)
        self.assertNotIn("access-control-allow-origin", self.request("/phone").headers)

    def test_ping(self) -> None:
        """``/ping`` says up."""
        answer = self.request("/ping")
        self.assertEqual((answer.code, answer.body), (200, b"up"))
        self.assertEqual(answer.headers["cache-control"], "no-store")

    def test_missing(self) -> None:
        """Any other address is 404 and repeats nothing of the request."""
        for path in (
            "/x<script>",
            "/static",
            "/static/",
            "/static/../site.py",
            "/static/%2e%2e/site.py",
            "/static/page.js/x",
            "/index.html",
            "/api",
            "/ping/x",
        ):
            answer = self.request(path)
            self.assertEqual(answer.code, 404, path)
            self.assertEqual(answer.body, b"There is no such page here.\n")

    def test_other_methods(self) -> None:
        """Only GET and HEAD are taken; the answer says so."""
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"):
            for path in ("/", "/ping", "/api/ice-servers", "/nowhere"):
                answer = self.request(path, method)
                self.assertEqual(answer.code, 405, (method, path))
                self.assertEqual(answer.headers["allow"], "GET, HEAD")

    def test_head(self) -> None:
        """HEAD has the headers of GET, the length too, and no body."""
        whole, head = self.request("/static/page.css"), self.request("/static/page.css", "HEAD")
        self.assertEqual(head.code, 200)
        self.assertEqual(head.body, b"")
        self.assertEqual(head.headers["content-length"], str(len(whole.body)))

    def test_unchanged(self) -> None:
        """A browser that has a file is told that it has not changed."""
        etag = self.request("/").headers["etag"]
        answer = self.request("/", If_None_Match=etag)
        self.assertEqual((answer.code, answer.body), (304, b""))

    def test_query_is_ignored(self) -> None:
        """A query does not change which page is served."""
        self.assertEqual(self.request("/?a=<b>").code, 200)


class SecurityTests(SiteTestCase):
    """What every answer says to the browser, and what no request gets."""

    def test_headers(self) -> None:
        """Every answer has the policy, whatever its code; none names the software."""
        for path, method in (("/", "GET"), ("/no", "GET"), ("/", "POST"), ("/ping", "HEAD")):
            headers = self.request(path, method).headers
            policy = headers["content-security-policy"]
            self.assertTrue(policy.startswith("default-src 'none'; script-src 'self';"))
            self.assertIn("frame-ancestors 'none'", policy)
            self.assertNotIn("unsafe", policy)
            self.assertEqual(headers["x-content-type-options"], "nosniff")
            self.assertEqual(headers["referrer-policy"], "no-referrer")
            self.assertIn("cache-control", headers)
            self.assertNotIn("server", headers)

    def test_large_body(self) -> None:
        """A body over the limit is answered before it is here whole, and ends the connection."""
        protocol, transport = self.connect()
        head = f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {100 * MAX_BODY}\r\n\r\n"
        protocol.dataReceived(head.encode() + b"x" * MAX_BODY)
        self.assertEqual(b"", transport.value())
        protocol.dataReceived(b"x")
        answer = Answer(transport.value())
        self.assertEqual((413, "close"), (answer.code, answer.headers["connection"]))
        self.assertTrue(transport.disconnecting)
        protocol.dataReceived(b"x" * MAX_BODY + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(1, transport.value().count(b"HTTP/1.1"))

    def test_large_chunks(self) -> None:
        """The same holds of a body whose length nobody has said."""
        protocol, transport = self.connect()
        protocol.dataReceived(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            protocol.dataReceived(b"8000\r\n" + b"x" * 0x8000 + b"\r\n")
        self.assertEqual(413, Answer(transport.value()).code)
        self.assertTrue(transport.disconnecting)

    def test_slow_head(self) -> None:
        """A head has ten seconds, however steadily its bytes drip."""
        protocol, transport = self.connect()
        for byte in b"GET / HTTP":
            self.assertFalse(transport.disconnecting)
            protocol.dataReceived(bytes([byte]))
            self.clock.advance(1.0)
        self.assertTrue(transport.disconnecting)

    def test_slow_body(self) -> None:
        """A body has fifteen."""
        protocol, transport = self.connect()
        protocol.dataReceived(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n")
        for _ in range(15):
            self.assertFalse(transport.disconnecting)
            protocol.dataReceived(b"x")
            self.clock.advance(1.0)
        self.assertTrue(transport.disconnecting)

    def test_body_within_limit(self) -> None:
        """A body within the limit is read and answered, so that the client learns why."""
        self.assertEqual(self.request("/", "POST", body="x" * MAX_BODY).code, 405)

    def test_silent_client(self) -> None:
        """A client that says nothing for half a minute is let go."""
        _, transport = self.connect()
        self.clock.advance(connections.IDLE_TIMEOUT - 1)
        self.assertFalse(transport.disconnecting)
        self.clock.advance(1)
        self.assertTrue(transport.disconnecting)

    def test_no_clock_of_its_own(self) -> None:
        """A site that serves nobody has nothing to do."""
        self.site.doStart()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.site.doStop()

    def test_nothing_is_logged(self) -> None:
        """A request leaves no line with its query in the log."""
        from twisted.python import log

        seen: list[object] = []
        log.addObserver(seen.append)
        self.addCleanup(log.removeObserver, seen.append)
        self.site.doStart()
        self.request("/?password=secret")
        self.site.doStop()
        self.assertNotIn("secret", repr(seen))


class IceServersPageTests(SiteTestCase):
    """``/api/ice-servers``."""

    def test_answer(self) -> None:
        """The relay is named as the browser named the page, and the answer is not kept."""
        answer = self.request("/api/ice-servers", host="turn.example.net:8443")
        self.assertEqual(answer.code, 200)
        self.assertEqual(answer.headers["content-type"], "application/json")
        self.assertEqual(answer.headers["cache-control"], "no-store")
        self.assertEqual(
            json.loads(answer.body),
            {
                "iceServers": [
                    {
                        "urls": "turn:turn.example.net:443?transport=udp",
                        "username": "1:check",
                        "credential": "p",
                    }
                ],
                "credentials": "temporary",
                "lifetime": 600,
            },
        )

    def test_other_site(self) -> None:
        """A page of another site gets no credential."""
        for value in ("cross-site", "same-site"):
            answer = self.request("/api/ice-servers", Sec_Fetch_Site=value)
            self.assertEqual(answer.code, 403)
        self.assertEqual(self.hosts, [])

    def test_own_page(self) -> None:
        """Our own page and a person typing the address do."""
        for value in ("same-origin", "none"):
            self.assertEqual(self.request("/api/ice-servers", Sec_Fetch_Site=value).code, 200)

    def test_bad_host(self) -> None:
        """A Host that is no host name is refused, and is not repeated."""
        answer = self.request("/api/ice-servers", host="a<b>")
        self.assertEqual(answer.code, 400)
        self.assertNotIn(b"<", answer.body)
        self.assertEqual(self.hosts, [])


class RequestedHostTests(SynchronousTestCase):
    """The host in a Host header."""

    def test_hosts(self) -> None:
        """Names, IPv4 and IPv6 addresses, with and without port."""
        for header, host in {
            "turn.example.net": "turn.example.net",
            "turn.example.net:443": "turn.example.net",
            "localhost:1": "localhost",
            "192.0.2.1:8443": "192.0.2.1",
            "[2001:DB8:0:0::1]:443": "2001:db8::1",
            "[::1]": "::1",
            "my_host": "my_host",
        }.items():
            self.assertEqual(requested_host(header), host)

    def test_not_hosts(self) -> None:
        """Whatever would not be safe in a URL is none."""
        for header in (
            *(None, "", ":443", "a b", "a/b", "a?b", "a@b", "a#b", "é", "a\r\nb", "[::g]", "[]"),
            *("::1", "a:b", "a:123456", "x" * 254, "-a", "[fe80::1%25eth0]", 'a"b', "%41"),
        ):
            self.assertIsNone(requested_host(header), header)
