"""Tests of URIs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.errors import InvalidHeader, ParseError
from b2bua.sip.uri import AbsoluteUri, SipUri, TelUri, Uri, escape_user, parse_uri
from tests.sip import strategies


def sip(text: str) -> SipUri:
    """The text as a SIP URI."""
    uri = parse_uri(text)
    assert isinstance(uri, SipUri)
    return uri


class SipUriTests(SynchronousTestCase):
    """SIP and SIPS URIs are taken apart and put together by RFC 3261, section 19.1."""

    def test_parts(self) -> None:
        """Every part of a URI is found, names in lower case and values as they came."""
        uri = sip(
            "SIPS:alice:secret%20@Atlanta.COM:5061;Transport=TCP;LR;x=a%3bb?Subject=A&Priority="
        )
        self.assertEqual((uri.scheme, uri.user, uri.password), ("sips", "alice", "secret%20"))
        self.assertEqual((uri.host, uri.port), ("atlanta.com", 5061))
        self.assertEqual(dict(uri.parameters), {"transport": "TCP", "lr": "", "x": "a%3bb"})
        self.assertEqual(uri.headers, (("Subject", "A"), ("Priority", "")))
        self.assertEqual((uri.transport, uri.loose), ("TCP", True))

    def test_host_alone(self) -> None:
        """A host is enough; there is no user and no port then."""
        uri = sip("sip:10.0.0.1")
        self.assertEqual((uri.user, uri.password, uri.host, uri.port), ("", None, "10.0.0.1", None))

    def test_ipv6(self) -> None:
        """An IPv6 host loses its brackets, takes its shortest form, and is printed with them."""
        uri = sip("sip:u@[2001:0DB8::0:1]:5070")
        self.assertEqual((uri.host, uri.port), ("2001:db8::1", 5070))
        self.assertEqual(str(uri), "sip:u@[2001:db8::1]:5070")

    def test_separators_in_user(self) -> None:
        """The user may hold what ends other parts; phones send "#" without its escape."""
        self.assertEqual(sip("sip:a;b?c/d=e,f@h").user, "a;b?c/d=e,f")
        self.assertEqual(sip("sip:*31#123@h;user=phone").user, "*31#123")

    def test_escapes(self) -> None:
        """The user's text is without escapes, and any text can be made a user."""
        self.assertEqual(sip("sip:%2B1%20a@h").user_text, "+1 a")
        self.assertEqual(sip(f"sip:{escape_user('a@b c>')}@h").user_text, "a@b c>")

    def test_refused(self) -> None:
        """What is no URI is refused, with a fixed word."""
        for text in (
            *("", "sip", "sip:", "sip:@h", "sip:a@", "sip:a b@h", "sip:a@h b", "sip:a@b@h"),
            *("sip:h:", "sip:h:0", "sip:h:65536", "sip:h:5060x", "sip:[::1", "sip:[1:2]"),
            *("sip:[:::1]:", "sip:h;", "sip:h;;a", "sip:h;=a", "sip:h;a=1;A=2", "sip:h?"),
            *("sip:h?a", "sip:h?=b", "sip:a%zz@h", "sip:a%4@h", "<sip:h>", "sip:h>", 'sip:"a"@h'),
            *("sip:h\r\n", "sip:h\n", "sip:\u00e9@h", "tel:", "tel:x", "1a:b", "http:", "im:a b"),
        ):
            with self.subTest(text):
                error = self.assertRaises(ParseError, parse_uri, text)
                self.assertIn(error.reason, ("uri", "value", "duplicate"))

    def test_changes(self) -> None:
        """A parameter is added, replaced or taken away in a copy; what breaks out is refused."""
        uri = sip("sip:h;lr;transport=udp")
        self.assertEqual(str(uri.with_parameter("Transport", "tcp")), "sip:h;lr;transport=tcp")
        self.assertEqual(str(uri.without_parameter("LR")), "sip:h;transport=udp")
        self.assertEqual(str(uri), "sip:h;lr;transport=udp")
        for value in ("a;b", "a b", "a\r\nb", "a>", 'a"'):
            self.assertRaises(InvalidHeader, uri.with_parameter, "x", value)
        self.assertRaises(InvalidHeader, uri.with_parameter, "a;b")

    @given(strategies.uris)
    def test_round_trip(self, uri: Uri) -> None:
        """A URI that is printed reads as itself."""
        self.assertEqual(parse_uri(str(uri)), uri)

    @given(
        st.text(max_size=40) | st.text("sip:@;=?&[]%.a1\r\n <>\"'", max_size=30).map("sip:".__add__)
    )
    def test_any_text(self, text: str) -> None:
        """Any text is read or refused, and what is read is printed as what reads the same."""
        try:
            uri = parse_uri(text)
        except ParseError:
            return
        self.assertEqual(parse_uri(str(uri)), uri)
        self.assertFalse(set(str(uri)) & set(' \t\r\n<>"'))


class MatchingTests(SynchronousTestCase):
    """Two URIs mean the same by the rules and examples of RFC 3261, section 19.1.4."""

    def test_same(self) -> None:
        """The pairs that the RFC calls equivalent are."""
        for one, other in (
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
        ):
            with self.subTest(one):
                self.assertTrue(sip(one).matches(sip(other)))
                self.assertTrue(sip(other).matches(sip(one)))

    def test_different(self) -> None:
        """The pairs that the RFC calls different are."""
        for one, other in (
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
            ("sip:a@h", "sips:a@h"),
            ("sip:a@h;user=phone", "sip:a@h"),
        ):
            with self.subTest(one):
                self.assertFalse(sip(one).matches(sip(other)))
                self.assertFalse(sip(other).matches(sip(one)))

    def test_other_schemes(self) -> None:
        """A number is its digits, another URI its text, and no scheme matches another."""
        number = parse_uri("tel:+1-201-555-0123")
        assert isinstance(number, TelUri)
        self.assertEqual(number.digits, "+12015550123")
        self.assertTrue(number.matches(parse_uri("TEL:+12015550123")))
        self.assertFalse(number.matches(parse_uri("tel:+12015550123;ext=1")))
        self.assertFalse(number.matches(sip("sip:+12015550123@h")))
        self.assertFalse(sip("sip:h").matches(number))
        web = parse_uri("http://a/b")
        self.assertEqual(web, AbsoluteUri("http", "//a/b"))
        self.assertTrue(web.matches(parse_uri("HTTP://a/b")))
        self.assertFalse(web.matches(number))
