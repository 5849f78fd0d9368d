"""The HTTP interface: origins, cookies, networks, sizes."""

from __future__ import annotations

from ipaddress import ip_network

from twisted.trial.unittest import SynchronousTestCase

from b2bua.settings import GatewaySettings
from tests.gateway.stage import BROWSER_HOST, Answer, BrowserPage, Stage, Wire

PATHS = ("/sign_in?1001", "/wait?id=x", "/message?from=x&to=y", "/sign_out?id=x")


class HttpCase(SynchronousTestCase):
    """A stage, and requests as a test wants them."""

    def build(self, *origins: str, **changes: object) -> None:
        """Make it."""
        self.stage = Stage(
            GatewaySettings(**changes),  # type: ignore[arg-type]
            allowed_origins=origins,
        )

    def ask(
        self,
        path: str,
        method: str = "",
        body: str = "",
        host: str = BROWSER_HOST,
        **headers: str,
    ) -> Answer:
        """Ask, by whatever method the path has."""
        wire = Wire(self.stage, host)
        wire.send(method or ("POST" if "message" in path else "GET"), path, body, **headers)
        answer = wire.take()
        assert answer is not None, path
        return answer


class CorsTests(HttpCase):
    """Which pages may use it."""

    def test_no_list(self) -> None:
        """Without a list every origin is echoed, with credentials, in errors too."""
        self.build()
        for path in PATHS:
            answer = self.ask(path, Origin="https://any.example")
            headers = answer.headers
            self.assertEqual("https://any.example", headers["access-control-allow-origin"], path)
            self.assertEqual("true", headers["access-control-allow-credentials"])
            self.assertEqual("Origin", headers["vary"])

    def test_no_origin(self) -> None:
        """Without an origin, or with none that could be echoed, anybody may read it."""
        self.build()
        for origin in ({}, {"Origin": "null"}, {"Origin": "x" * 600}):
            headers = self.ask("/sign_in?1001", **origin).headers
            self.assertEqual("*", headers["access-control-allow-origin"])
            self.assertNotIn("access-control-allow-credentials", headers)

    def test_list(self) -> None:
        """With one, those on it are echoed, and all others are 403 without a word to read."""
        self.build("https://*.foo.com")
        for path in PATHS:
            answer = self.ask(path, Origin="https://a.foo.com")
            self.assertNotEqual(403, answer.code)
            self.assertEqual("https://a.foo.com", answer.headers["access-control-allow-origin"])
            for origin in ("https://foo.com", "https://afoo.com", "http://a.foo.com", "null", ""):
                headers = {"Origin": origin} if origin else {}
                answer = self.ask(path, **headers)
                self.assertEqual(403, answer.code, (path, origin))
                self.assertNotIn("access-control-allow-origin", answer.headers)
        self.assertEqual(1, len(list(self.stage.gateway.sessions)))

    def test_same_origin(self) -> None:
        """Pages of this very host pass; what another site's page says of itself does not."""
        self.build("https://*.foo.com")
        for host in ("192.0.2.1:8086", "[2001:db8::1]:8086", "localhost:8086"):
            answer = self.ask("/sign_in?1001", Origin=f"http://{host}", Host=host)
            self.assertEqual(200, answer.code, host)
        own = "http://gateway.example.com:8086"
        self.assertEqual(200, self.ask("/sign_in?1001", Sec_Fetch_Site="same-origin").code)
        for site in ("cross-site", "same-site", "none"):
            headers = {"Sec_Fetch_Site": site, "Origin": own}
            self.assertEqual(403, self.ask("/sign_in?1001", **headers).code)
        https = "https://gateway.example.com:8086"
        self.assertEqual(403, self.ask("/sign_in?1001", Origin=https).code)

    def test_same_origin_without_a_word(self) -> None:
        """Over plain HTTP a browser's GET says where its page is, if anything."""
        self.build("https://*.foo.com")
        host = "192.0.2.1:8086"
        for page in (f"http://{host}/phone", f"http://{host}/"):
            answer = self.ask("/sign_in?1001", Host=host, Referer=page)
            self.assertEqual(200, answer.code, page)
            sid = answer.text.splitlines()[0].partition("=")[2]
            self.assertEqual(200, self.ask(f"/sign_out?id={sid}", Host=host, Referer=page).code)
        for page in (
            *(
                "http://192.0.2.1/",
                "http://192.0.2.1:80861/",
                "http://192.0.2.1:8086.evil.example/",
            ),
            *("https://192.0.2.1:8086/", "http://evil.example/?http://192.0.2.1:8086/", host, ""),
        ):
            self.assertEqual(403, self.ask("/sign_in?1001", Host=host, Referer=page).code, page)
        own = {"Host": host, "Referer": f"http://{host}/phone"}
        self.assertEqual(403, self.ask("/sign_in?1001").code)
        self.assertEqual(403, self.ask("/sign_in?1001", Origin="null", **own).code)
        self.assertEqual(403, self.ask("/sign_in?1001", Origin="http://evil.example", **own).code)
        self.assertEqual(403, self.ask("/sign_in?1001", Sec_Fetch_Site="cross-site", **own).code)
        self.assertEqual(403, self.ask("/sign_in", "POST", "1001", **own).code)

    def test_name_of_a_stranger(self) -> None:
        """A name that was made to lead here is not ours; over HTTPS its certificate says so."""
        self.build("https://*.foo.com", proxies=(ip_network(f"{BROWSER_HOST}/32"),))
        name = "gateway.example.com:8086"
        self.assertEqual(403, self.ask("/sign_in?1001", Origin=f"http://{name}").code)
        self.assertEqual(403, self.ask("/sign_in?1001", Referer=f"http://{name}/phone").code)
        secure = {"Origin": f"https://{name}", "X_Forwarded_Proto": "https"}
        self.assertEqual(200, self.ask("/sign_in?1001", **secure).code)

    def test_ping(self) -> None:
        """Ping is for everybody."""
        self.build("https://*.foo.com")
        answer = self.ask("/ping")
        self.assertEqual((200, "up"), (answer.code, answer.text))
        answer = self.ask("/ping", Origin="https://evil.example")
        self.assertEqual("*", answer.headers["access-control-allow-origin"])
        answer = self.ask("/ping", "HEAD")
        self.assertEqual(
            (200, "2", ""), (answer.code, answer.headers["content-length"], answer.text)
        )

    def test_preflight(self) -> None:
        """A browser that asks first is told methods and header fields."""
        self.build("https://*.foo.com")
        asked = {"Access_Control_Request_Method": "POST", "Origin": "https://a.foo.com"}
        answer = self.ask("/message?from=1&to=2", "OPTIONS", **asked)
        self.assertEqual(204, answer.code)
        self.assertEqual("POST", answer.headers["access-control-allow-methods"])
        self.assertIn("content-type", answer.headers["access-control-allow-headers"])
        self.assertEqual("https://a.foo.com", answer.headers["access-control-allow-origin"])
        evil = {**asked, "Origin": "https://evil.example"}
        self.assertEqual(403, self.ask("/message?from=1&to=2", "OPTIONS", **evil).code)


class AnswerTests(HttpCase):
    """What every answer says."""

    def test_headers(self) -> None:
        """Plain text, not to be guessed at, not to be kept; the server has no name."""
        self.build()
        for path in (*PATHS, "/ping"):
            headers = self.ask(path).headers
            self.assertEqual("text/plain; charset=utf-8", headers["content-type"])
            self.assertEqual("nosniff", headers["x-content-type-options"])
            self.assertEqual("no-store", headers["cache-control"])
            self.assertNotIn("server", headers)

    def test_methods(self) -> None:
        """Other methods are 405, with those that may be."""
        self.build()
        for path, method in (("/wait?id=x", "POST"), ("/message?from=x&to=y", "GET")):
            answer = self.ask(path, method)
            self.assertEqual(405, answer.code)
            self.assertIn("OPTIONS", answer.headers["allow"])

    def test_below(self) -> None:
        """There is nothing below these addresses."""
        self.build()
        self.assertEqual(404, self.ask("/sign_in/1001").code)

    def test_unknown_session(self) -> None:
        """An unknown session is 404, which its page may read."""
        self.build()
        answer = self.ask("/wait?id=" + "0" * 32, Origin="https://a.example")
        self.assertEqual(404, answer.code)
        self.assertIn("access-control-allow-origin", answer.headers)

    def test_errors_can_be_read(self) -> None:
        """Whatever is wrong with a request, a page that may ask can read what."""
        self.build("https://*.foo.com")
        mine = {"Origin": "https://a.foo.com"}
        for code, path, method, body in (
            (400, "/sign_in?%20", "GET", ""),
            (404, "/sign_in/1001", "GET", ""),
            (404, "/message?from=1&to=2", "POST", "BYE"),
            (405, "/wait?id=x", "POST", ""),
            (405, "/message?from=x", "DELETE", ""),
            (413, "/sign_in", "POST", "1001:" + "x" * 2000),
            (413, "/message?from=x", "POST", "x" * 70_000),
        ):
            answer = self.ask(path, method, body, **mine)
            self.assertEqual(code, answer.code, path)
            self.assertEqual(mine["Origin"], answer.headers["access-control-allow-origin"], path)

    def test_sizes(self) -> None:
        """A body that is too long is 413, which its page may read as well."""
        self.build()
        page = BrowserPage(self.stage)
        page.sign_in()
        for size in (64 * 1024 + 1, 70_000, 1_000_000):
            answer = page.post("2002", "x" * size)
            self.assertEqual(413, answer.code)
            self.assertIn("access-control-allow-origin", answer.headers)
        self.assertEqual(413, self.ask("/sign_in", "POST", "1001:" + "x" * 2000).code)

    def test_malformed(self) -> None:
        """What cannot be understood is 400, and nothing of it comes back."""
        self.build()
        page = BrowserPage(self.stage)
        page.sign_in()
        for body in ("", "<script>", 'RSMP {"messageType":"X"}'):
            answer = page.post("2002", body)
            self.assertEqual(400, answer.code)
            self.assertNotIn("script", answer.text)
        wire = Wire(self.stage)
        wire.send("POST", f"/message?from={page.sid}&to=1", b"\xff\xfe")
        answer = wire.take()
        assert answer is not None
        self.assertEqual(400, answer.code)

    def test_fields_that_are_no_text(self) -> None:
        """A header field may have any bytes; they are no page's origin, and nobody's fault."""
        self.build("app.example.com")
        for name in (b"Origin", b"Sec-Fetch-Site", b"Host", b"X-Forwarded-For", b"Cookie"):
            wire = Wire(self.stage)
            field = name + b": \xff\xfe"
            wire.protocol.dataReceived(b"GET /sign_in?1001 HTTP/1.1\r\n" + field + b"\r\n\r\n")
            answer = wire.take()
            assert answer is not None
            self.assertEqual(403, answer.code, name)

    def test_length_beyond_numbers(self) -> None:
        """A length of thousands of digits is a bad request."""
        self.build()
        for digits, closes in ((20, False), (100, True), (5000, True)):
            wire = Wire(self.stage)
            length = b"0" * (digits - 1) + b"1"
            wire.protocol.dataReceived(
                b"POST /sign_in HTTP/1.1\r\nContent-Length: " + length + b"\r\n\r\n"
            )
            self.assertEqual(closes, wire.transport.value().startswith(b"HTTP/1.1 400"), digits)
            self.assertEqual(closes, wire.is_closed, digits)

    def test_said_to_be_a_form(self) -> None:
        """A body that is said to be a form is read as it is."""
        self.build()
        page = BrowserPage(self.stage)
        kind = "application/x-www-form-urlencoded; charset=UTF-8"
        answer = page.ask("POST", "/sign_in", "1001:a+b%26c", Content_Type=kind)
        self.assertEqual(200, answer.code)
        self.assertEqual("a+b%26c", self.stage.core._password_of("1001"))


class CookieTests(HttpCase):
    """Whose request it is."""

    def sign_in(self, **headers: str) -> tuple[str, str]:
        """Sign in; the session, and the cookie as it is set."""
        answer = self.ask("/sign_in?1001", **headers)
        return answer.text.splitlines()[0].partition("=")[2], answer.headers["set-cookie"]

    def test_attributes(self) -> None:
        """Over HTTPS pages of other sites may send it, over HTTP only those of this one."""
        self.build(proxies=(ip_network(f"{BROWSER_HOST}/32"),))
        sid, cookie = self.sign_in()
        self.assertEqual(f"sid={sid}; Path=/; HttpOnly; SameSite=Lax", cookie)
        sid, cookie = self.sign_in(X_Forwarded_Proto="https")
        self.assertEqual(f"sid={sid}; Path=/; HttpOnly; SameSite=None; Secure", cookie)

    def test_cookie_alone(self) -> None:
        """It will do by itself."""
        self.build()
        sid, _ = self.sign_in()
        answer = self.ask("/message?to=2002", body="BYE", Cookie=f"a=b; sid={sid}")
        self.assertEqual(200, answer.code)

    def test_cookie_of_another_site(self) -> None:
        """Without a list a page of another site has to know the session, not only its cookie."""
        self.build()
        sid, _ = self.sign_in()
        for told in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "https://evil.example", "Sec_Fetch_Site": "cross-site"},
            {"Sec_Fetch_Site": "cross-site"},
        ):
            answer = self.ask("/message?to=2002", body="BYE", Cookie=f"sid={sid}", **told)
            self.assertEqual(404, answer.code, told)
            answer = self.ask(f"/message?from={sid}&to=2002", body="BYE", **told)
            self.assertEqual(200, answer.code, told)
        own = {"Origin": "http://gateway.example.com:8086"}
        answer = self.ask("/message?to=2002", body="BYE", Cookie=f"sid={sid}", **own)
        self.assertEqual(200, answer.code)

    def test_url_first(self) -> None:
        """Two tabs share a cookie: the URL says which one asks."""
        self.build()
        first, _ = self.sign_in()
        second, _ = self.sign_in()
        self.ask(f"/sign_out?id={first}", Cookie=f"sid={second}")
        self.assertIsNone(self.stage.gateway.sessions.find(first))
        self.assertIsNotNone(self.stage.gateway.sessions.find(second))
        self.assertEqual(404, self.ask(f"/wait?id={first}", Cookie=f"sid={second}").code)

    def test_cookie_only(self) -> None:
        """Where the URL does not count only the cookie does."""
        self.build(sid_from_url=False)
        sid, _ = self.sign_in()
        self.assertEqual(404, self.ask(f"/message?from={sid}&to=1", body="BYE").code)
        cookie = f"sid={sid}"
        self.assertEqual(200, self.ask("/message?from=x&to=1", body="BYE", Cookie=cookie).code)


class AddressTests(HttpCase):
    """Where clients are."""

    def host_of(self, **headers: str) -> str:
        """What the host of a client is taken for."""
        self.ask("/sign_in?1001", **headers)
        return list(self.stage.gateway.sessions)[-1].host

    def test_networks(self) -> None:
        """Clients elsewhere are 403, for ping too."""
        self.build(networks=(ip_network("10.0.0.0/8"),))
        for path in (*PATHS, "/ping"):
            self.assertEqual(403, self.ask(path).code)
            self.assertNotEqual(403, self.ask(path, host="10.1.2.3").code)
            self.assertNotEqual(403, self.ask(path, host="::ffff:10.1.2.3").code)

    def test_not_from_a_proxy(self) -> None:
        """What somebody says of itself is not believed."""
        self.build()
        self.assertEqual(BROWSER_HOST, self.host_of(X_Forwarded_For="10.1.2.3"))

    def test_proxies(self) -> None:
        """A proxy is believed about who is before it, and so is the proxy before that."""
        self.build(proxies=(ip_network(f"{BROWSER_HOST}/32"), ip_network("10.0.0.0/8")))
        for said, host in (
            ("198.51.100.1", "198.51.100.1"),
            ("6.6.6.6, 198.51.100.1", "198.51.100.1"),
            ("6.6.6.6, 198.51.100.1, 10.0.0.1", "198.51.100.1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("198.51.100.1:4711", "198.51.100.1"),
            ("nonsense", BROWSER_HOST),
            ("198.51.100.1, nonsense", BROWSER_HOST),
        ):
            self.assertEqual(host, self.host_of(X_Forwarded_For=said), said)


class ConnectionTests(HttpCase):
    """Connections of those who have signed in."""

    def test_as_often_as_it_likes(self) -> None:
        """A page's connection is not closed after so many requests, a stranger's is."""
        self.build()
        page = BrowserPage(self.stage)
        page.sign_in()
        for path, codes in ((f"/message?from={page.sid}&to=1", 200), ("/message?from=x&to=1", 404)):
            wire = Wire(self.stage)
            answers = 0
            for _ in range(100):
                if wire.is_closed:
                    break
                wire.send("POST", path, "BYE")
                answer = wire.take()
                assert answer is not None
                self.assertEqual(codes, answer.code)
                answers += 1
            self.assertEqual(100 if codes == 200 else 30, answers)
