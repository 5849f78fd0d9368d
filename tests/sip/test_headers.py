"""Tests of typed header field values and of the grammar below them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from time import process_time

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip import headers
from b2bua.sip.errors import InvalidHeader, ParseError
from b2bua.sip.grammar import Parameters, parse_number, quote, split_list, unquote
from b2bua.sip.headers import NameAddr, Via
from b2bua.sip.uri import SipUri
from tests.sip import strategies

PARSERS: list[Callable[[str], object]] = [
    headers.parse_via,
    headers.parse_name_addr,
    headers.parse_cseq,
    headers.parse_call_id,
    headers.parse_rack,
    headers.parse_media_type,
    headers.parse_word,
    headers.parse_seconds,
    headers.parse_replaces,
    headers.parse_challenge,
    headers.parse_credentials,
    headers.parse_token,
    split_list,
    parse_number,
]


class GrammarTests(SynchronousTestCase):
    """Lists, quoted strings and parameters are read where two readers cannot disagree."""

    def test_split_list(self) -> None:
        """Commas in quoted strings and angle brackets separate nothing."""
        self.assertEqual(split_list("a"), ["a"])
        self.assertEqual(split_list("a , b,c"), ["a", "b", "c"])
        self.assertEqual(
            split_list('"x, \\" y" <sip:a,b@h>;q=1 , <sip:c>'),
            ['"x, \\" y" <sip:a,b@h>;q=1', "<sip:c>"],
        )

    def test_split_refused(self) -> None:
        """Empty elements, and quotes or brackets that do not end, are refused."""
        for text in ("a,", ",a", "a,,b", ",", '"a, b', "<a, b", '"a\\", b', "a, <b"):
            with self.subTest(text):
                self.assertRaises(ParseError, split_list, text)

    @given(strategies.texts)
    def test_quote(self, text: str) -> None:
        """Any text without line ends comes back out of its quotes."""
        self.assertEqual(unquote(quote(text)), text)

    def test_quote_line_end(self) -> None:
        """A line end cannot be quoted."""
        self.assertRaises(InvalidHeader, quote, "a\r\nb")
        self.assertRaises(InvalidHeader, quote, "\n")

    def test_parameters(self) -> None:
        """Names are found whatever their case was; a flag is there with no value."""
        found = headers.parse_name_addr('<sip:a> ; Tag = x1;LR;text="a\\"b"').parameters
        self.assertEqual(dict(found), {"tag": "x1", "lr": "", "text": '"a\\"b"'})
        self.assertEqual(found.text("text"), 'a"b')
        self.assertIsNone(found.text("none"))
        self.assertEqual(str(found), ';tag=x1;lr;text="a\\"b"')
        self.assertEqual(found.without("LR"), {"tag": "x1", "text": '"a\\"b"'})
        self.assertEqual(found.with_value("TAG", "y")["tag"], "y")

    def test_parameters_compare(self) -> None:
        """Order does not matter to equality, nor to the hash that goes with it."""
        one, other = Parameters({"A": "1", "b": ""}), Parameters({"b": "", "a": "1"})
        self.assertEqual(one, other)
        self.assertEqual(hash(one), hash(other))
        self.assertNotEqual(one, Parameters({"a": "1"}))

    def test_number(self) -> None:
        """A number is decimal digits within its limit, leading zeros or not."""
        self.assertEqual(parse_number("007"), 7)
        self.assertEqual(parse_number("4294967295"), 4294967295)
        for text in ("", "-1", "+1", " 1", "1_0", "4294967296", "9" * 30, "\u0661"):
            with self.subTest(text):
                self.assertRaises(ParseError, parse_number, text)

    @given(
        st.sampled_from(PARSERS),
        st.text(max_size=40) | st.text('a1;=,<>"\\ :/@[]*sip', max_size=30),
    )
    def test_any_text(self, parse: Callable[[str], object], text: str) -> None:
        """Every reader takes any text, or raises ParseError and nothing else."""
        try:
            parse(text)
        except ParseError as error:
            self.assertTrue(error.reason)

    def test_time_is_linear(self) -> None:
        """Many thousand characters of one kind take no time, whatever stands around them."""
        for filler in (
            " ",
            "a",
            ";",
            "<",
            '"',
            "\\",
            ",",
            "a ",
            "; ",
            ";a",
            '""',
            "<a",
            "a=",
            "/ ",
        ):
            text = filler * (32000 // len(filler))
            for whole in (text, "a" + text, text + "\0", "sip:" + text, '"' + text, "1 " + text):
                for parse in PARSERS:
                    # Looking back at every step takes half a second and more.
                    self.assertLess(cpu_seconds(parse, whole), 0.2, (parse, whole[:9]))


def cpu_seconds(parse: Callable[[str], object], text: str) -> float:
    """What one reading of the text costs, whether it is taken or refused."""
    begun = process_time()
    with contextlib.suppress(ParseError):
        parse(text)
    return process_time() - begun


class NameAddrTests(SynchronousTestCase):
    """From, To, Contact and Route, with and without angle brackets."""

    def test_bare(self) -> None:
        """Without angle brackets the tag is the header field's, as Genesys sends it."""
        address = headers.parse_name_addr("sip:7001@10.0.0.1:5060;tag=8F2A-11")
        self.assertEqual(address.tag, "8F2A-11")
        assert isinstance(address.uri, SipUri)
        self.assertEqual(len(address.uri.parameters), 0)
        self.assertEqual(str(address), "<sip:7001@10.0.0.1:5060>;tag=8F2A-11")

    def test_enclosed(self) -> None:
        """Inside the brackets parameters are the URI's, behind them the header field's."""
        address = headers.parse_name_addr('"A \\"B\\" \u00e9" <sip:a@h;user=phone>;tag=1')
        self.assertEqual(address.display, 'A "B" \u00e9')
        assert isinstance(address.uri, SipUri)
        self.assertEqual(address.uri.parameters["user"], "phone")
        self.assertEqual(dict(address.parameters), {"tag": "1"})
        self.assertEqual(str(address), '"A \\"B\\" \u00e9" <sip:a@h;user=phone>;tag=1')

    def test_words(self) -> None:
        """A display name may be words without quotes, in any alphabet."""
        self.assertEqual(headers.parse_name_addr("A. Bell <sip:a@h>").display, "A. Bell")
        self.assertEqual(
            headers.parse_name_addr("Jos\u00e9 (Sales)<sip:a@h>").display, "Jos\u00e9 (Sales)"
        )
        self.assertEqual(headers.parse_name_addr("<sip:a@h>").display, "")

    def test_refused(self) -> None:
        """Quotes out of balance, a second address and separators in the name are refused."""
        for text in (
            *("", "<>", '"A <sip:a@h>', 'A" <sip:a@h>', "A, B <sip:a@h>", "<sip:a@h", "sip:a@h>"),
            *("< sip:a@h >", "<sip:a@h> x", "<sip:a@h>;;", "<sip:a@h>;tag=1;tag=2", "<sip:a@h>x=1"),
            *(
                "sip:a@h?b=c",
                "sip:a,b@h",
                "<sip:a@h> <sip:b@h>",
                "<sip:a@h>;x=",
                "<sip:a@h>;x=\u00e9",
            ),
            *('"A" sip:a@h', "sip:a@h;x=a b", "<sip:a@h>;x=a<", "a\\b <sip:h>", "*"),
        ):
            with self.subTest(text):
                self.assertRaises(ParseError, headers.parse_name_addr, text)

    def test_contact(self) -> None:
        """A Contact's expires is a number or nothing; its q is checked."""
        self.assertEqual(headers.parse_name_addr("<sip:h>;expires=140").expires, 140)
        self.assertIsNone(headers.parse_name_addr("<sip:h>;expires=soon").expires)
        self.assertIsNone(headers.parse_name_addr("<sip:h>").expires)
        self.assertEqual(headers.parse_name_addr("<sip:h>;q=0.7").q, 0.7)
        self.assertEqual(headers.parse_name_addr("<sip:h>").q, 1.0)
        address = headers.parse_name_addr("<sip:h>;q=1.1")
        self.assertRaises(ParseError, lambda: address.q)

    def test_injection(self) -> None:
        """What would end the URI or the line cannot be printed or set."""
        address = headers.parse_name_addr("<sip:h>")
        self.assertRaises(InvalidHeader, address.with_tag, "a;b=c")
        self.assertRaises(InvalidHeader, address.with_tag, "a\r\nb")
        breaking = NameAddr("", SipUri("sip", "a>;tag=1", None, "h"))
        self.assertRaises(InvalidHeader, str, breaking)
        self.assertRaises(InvalidHeader, str, NameAddr("a\r\nVia: x", address.uri))

    @given(strategies.name_addrs)
    def test_round_trip(self, address: NameAddr) -> None:
        """An address that is printed reads as itself."""
        self.assertEqual(headers.parse_name_addr(str(address)), address)


class ViaTests(SynchronousTestCase):
    """One hop, as RFC 3261, RFC 3581 and RFC 5118 have it."""

    def test_parts(self) -> None:
        """Transport, sent-by and the parameters that say where answers go."""
        via = headers.parse_via(
            "SIP/2.0/udp Host.Example:5070;branch=z9hG4bKa;received=192.0.2.1;rport=5071"
        )
        self.assertEqual((via.transport, via.host, via.port), ("UDP", "host.example", 5070))
        self.assertEqual((via.branch, via.has_cookie), ("z9hG4bKa", True))
        self.assertEqual((via.received, via.rport, via.wants_rport), ("192.0.2.1", 5071, True))
        self.assertEqual(via.sent_by, "host.example:5070")

    def test_rport_asked(self) -> None:
        """An rport without value asks for one, which is filled in by a copy."""
        via = headers.parse_via("SIP/2.0/UDP h;rport;branch=1")
        self.assertEqual((via.wants_rport, via.rport, via.received), (True, None, ""))
        filled = via.with_parameter("received", "2001:db8::1").with_parameter("rport", "9")
        self.assertEqual(str(filled), "SIP/2.0/UDP h;rport=9;branch=1;received=2001:db8::1")
        self.assertEqual(filled.rport, 9)

    def test_white_space(self) -> None:
        """White space may stand around every separator."""
        via = headers.parse_via("SIP / 2.0 / UDP first.example.com: 4000 ;ttl=16 ; branch = 1")
        self.assertEqual(str(via), "SIP/2.0/UDP first.example.com:4000;ttl=16;branch=1")

    def test_refused(self) -> None:
        """A hop without host, transport or order is refused."""
        for text in (
            *(
                "",
                "SIP/2.0/UDP",
                "SIP/2.0 h",
                "SIP/2.0/UDP h:x",
                "SIP/2.0/UDP h:0",
                "HTTP/2.0/UDP h",
            ),
            *("SIP/2.0/UDP h;;branch=1", "SIP/2.0/UDP h;branch=1;BRANCH=2", "SIP/2.0/UDP [::g]"),
            *("SIP/2.0/UDP h x", "SIP/2.0/UDP h:5060:5061", "SIP/2.0/UDP 2001:db8::1"),
        ):
            with self.subTest(text):
                self.assertRaises(ParseError, headers.parse_via, text)

    @given(strategies.vias)
    def test_round_trip(self, via: Via) -> None:
        """A hop that is printed reads as itself."""
        self.assertEqual(headers.parse_via(str(via)), via)


class OtherValueTests(SynchronousTestCase):
    """The smaller header fields."""

    def test_cseq(self) -> None:
        """31 bits and a method, no more."""
        self.assertEqual(str(headers.parse_cseq("0009  INVITE")), "9 INVITE")
        self.assertEqual(headers.parse_cseq("2147483647 A").number, 0x7FFFFFFF)
        for text in ("2147483648 A", "1", "A 1", "1 A B", "-1 A", "1\nA", "1 A\n"):
            with self.subTest(text):
                self.assertRaises(ParseError, headers.parse_cseq, text)

    def test_rack(self) -> None:
        """Two numbers and a method."""
        self.assertEqual(str(headers.parse_rack("776656 1 INVITE")), "776656 1 INVITE")
        self.assertRaises(ParseError, headers.parse_rack, "1 INVITE")

    def test_media_type(self) -> None:
        """Type and subtype in lower case, with parameters."""
        media_type = headers.parse_media_type('Multipart / Mixed ;boundary="a b"')
        self.assertEqual(media_type.essence, "multipart/mixed")
        self.assertEqual(media_type.parameters.text("boundary"), "a b")
        self.assertEqual(str(media_type), 'multipart/mixed;boundary="a b"')
        self.assertRaises(ParseError, headers.parse_media_type, "text")

    def test_word(self) -> None:
        """A token with parameters: an event package, a reason."""
        reason = headers.parse_word('Q.850 ;cause=16;text="Normal call clearing"')
        self.assertEqual((reason.value, reason.parameters["cause"]), ("Q.850", "16"))
        self.assertEqual(reason.parameters.text("text"), "Normal call clearing")
        self.assertEqual(str(headers.parse_word("active;expires=60")), "active;expires=60")

    def test_seconds(self) -> None:
        """A time with its parameters; a comment is dropped."""
        timer = headers.parse_seconds("1800;refresher=UAC")
        self.assertEqual((timer.seconds, timer.refresher), (1800, "uac"))
        retry = headers.parse_seconds("120 (I'm in a meeting);duration=3600")
        self.assertEqual((retry.seconds, str(retry)), (120, "120;duration=3600"))
        self.assertEqual(retry.refresher, "")

    def test_replaces(self) -> None:
        """A dialog to replace needs both tags."""
        replaces = headers.parse_replaces("98732@h;from-tag=r33;to-tag=a55 ;early-only")
        self.assertEqual((replaces.call_id, replaces.to_tag), ("98732@h", "a55"))
        self.assertEqual((replaces.from_tag, replaces.early_only), ("r33", True))
        self.assertEqual(headers.parse_replaces(str(replaces)), replaces)
        self.assertRaises(ParseError, headers.parse_replaces, "98732@h;from-tag=r33")

    def test_challenge(self) -> None:
        """A comma in a quoted realm separates nothing; printing keeps quotes as they came."""
        text = (
            'Digest realm="a, b", nonce="n=1", algorithm=SHA-256, qop="auth,auth-int", stale=FALSE'
        )
        challenge = headers.parse_challenge(text)
        self.assertEqual(challenge.scheme, "Digest")
        self.assertEqual(
            (challenge.text("realm"), challenge.text("qop")), ("a, b", "auth,auth-int")
        )
        self.assertEqual((challenge.text("algorithm"), challenge.text("opaque")), ("SHA-256", None))
        self.assertEqual(str(challenge), text)
        for broken in (
            "Digest",
            "Digest realm",
            'Digest realm="a',
            'Digest a="1",a="2"',
            "Digest a=1,",
        ):
            with self.subTest(broken):
                self.assertRaises(ParseError, headers.parse_challenge, broken)
