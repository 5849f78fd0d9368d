"""Tests of b2bua.origins."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.origins import Origins
from suite.option_kinds import BadValue
from suite.option_kinds_gateway import DOMAIN


class OriginTests(SynchronousTestCase):
    """Which pages may come in."""

    def assert_allows(self, pattern: str, yes: str, no: str) -> None:
        """Each origin of ``yes`` is allowed, none of ``no`` is."""
        origins = Origins([pattern])
        self.assertEqual([each for each in yes.split() if not origins.allows(each)], [])
        self.assertEqual([each for each in no.split() if origins.allows(each)], [])

    def test_any_scheme(self) -> None:
        """Either scheme, of one host and port."""
        self.assert_allows(
            "*://sub.foo.com:8080",
            "http://sub.foo.com:8080 https://sub.foo.com:8080 HTTPS://SUB.foo.com:8080",
            "http://sub.foo.com http://foo.com:8080 http://sub.foo.com:8081 ftp://sub.foo.com:8080",
        )

    def test_sub_domains(self) -> None:
        """Every sub-domain, but neither the domain itself nor one that only ends alike."""
        self.assert_allows(
            "https://*.foo.com:8090",
            "https://a.foo.com:8090 https://a.b.foo.com:8090",
            "https://foo.com:8090 https://badfoo.com:8090 http://a.foo.com:8090 "
            "https://a.foo.com.evil.example:8090",
        )

    def test_star_without_dot(self) -> None:
        """The domain itself as well, whole labels only, at any port."""
        self.assert_allows(
            "*foo.com:*",
            "https://foo.com http://foo.com:1 https://a.foo.com:9",
            "https://badfoo.com https://foo.com.evil.example",
        )

    def test_port_left_out(self) -> None:
        """The scheme's own port, or 80."""
        self.assert_allows(
            "foo.com",
            "http://foo.com https://foo.com https://foo.com:443 https://foo.com:80",
            "http://foo.com:443 https://foo.com:8443",
        )

    def test_any_host(self) -> None:
        """A star for the host is every host: of one scheme and its port, or of any."""
        self.assert_allows(
            "https://*",
            "https://a.example https://[::1]",
            "http://a.example https://a.example:8443",
        )
        self.assert_allows("*://*:*", "http://a.example:1 https://10.0.0.1", "ftp://a.example null")

    def test_addresses(self) -> None:
        """An IPv6 address stands in brackets, as browsers write it."""
        self.assert_allows("https://[::1]:8443", "https://[::1]:8443", "https://[::2]:8443")
        self.assert_allows("10.0.0.1:*", "http://10.0.0.1:8080", "http://10.0.0.11:8080")

    def test_no_page_at_all(self) -> None:
        """Who names no origin is no browser, and the list is not about it."""
        self.assertTrue(Origins(["foo.com"]).allows(""))

    def test_what_is_no_origin(self) -> None:
        """Sandboxed pages and malformed origins are on no list."""
        origins = Origins(["*"])
        for text in ("null", "foo.com", "https://", "https://a/b", "https://a@b", "https://a:b"):
            self.assertFalse(origins.allows(text), text)
        self.assertTrue(origins.allows("https://anything.example"))

    def test_odd_hosts(self) -> None:
        """A host has letters, digits, dots and dashes; what else a page could say is nobody's."""
        origins = Origins(["https://*.foo.com:*", "*foo.com:*", "*"])
        for sign in "\\%;'\"<{|`^~!$&*(+=\t \n,@/?#":
            self.assertFalse(origins.allows(f"https://evil.example{sign}.foo.com"), sign)
        for host in (".foo.com", "..foo.com", "a..foo.com", "", "[::1].foo.com"):
            self.assertFalse(origins.allows(f"https://{host}"), host)

    def test_no_list(self) -> None:
        """An empty list allows everybody."""
        self.assertTrue(Origins([]).allows("null"))

    @given(st.text("htps*:/.a-[]0", max_size=14), st.text("htps*:/.a-[]0", max_size=14))
    def test_all_that_the_option_takes(self, pattern: str, origin: str) -> None:
        """Every domain that domain-whitelist accepts is a pattern."""
        try:
            text = DOMAIN.parse(pattern)
        except BadValue:
            return
        self.assertIn(Origins([text]).allows(origin), (True, False))
