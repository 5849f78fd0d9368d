"""Tests of b2bua.attached_data."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.attached_data import (
    MAX_FIELDS,
    MAX_HEAD,
    MAX_KEY,
    MAX_TOTAL,
    MAX_VALUE,
    AttachedDataError,
    Reading,
    check_pairs,
    from_form,
    from_headers,
    is_attached,
    is_form,
    to_form,
    to_headers,
)
from b2bua.sip.grammar import is_token
from b2bua.sip.message import Request
from b2bua.sip.parser import parse_datagram

NEEDED = [
    ("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1"),
    ("From", "<sip:a@example.com>;tag=1"),
    ("To", "<sip:b@example.com>"),
    ("Call-ID", "1"),
    ("CSeq", "1 INVITE"),
]

keys = st.text(st.sampled_from("abcXYZ019-.!%*_+`'~"), min_size=1, max_size=54).filter(
    lambda key: key.lower() != "calluuid"
)
values = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=[*map(chr, range(32)), "\x7f"])
    | st.sampled_from('%+& =;,"\\<>%41é\x85\u2028'),
    max_size=60,
)
data = st.lists(st.tuples(keys, values), max_size=8)
form_keys = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=[*map(chr, range(32)), "\x7f"])
    | st.sampled_from('%+& =;:,"\\<>%41é\x85\u2028'),
    min_size=1,
    max_size=MAX_KEY // 4,
)
injections = st.text(
    st.sampled_from("ab%+&=: \r\n\t\0\x1f\x7f\x85é\ud800\udc80" + "0123456789ADad"), max_size=40
)


def over_the_wire(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Send header fields in an INVITE, and return those that come out of the parser."""
    sent = Request("INVITE", "sip:b@example.com", [*NEEDED, *headers])
    received = parse_datagram(sent.render())
    return received.headers[len(NEEDED) : -1]


class RoundTripTests(SynchronousTestCase):
    """What is attached on one side is what arrives on the other."""

    @given(st.lists(st.tuples(keys | form_keys, values), max_size=8))
    def test_form(self, pairs: list[tuple[str, str]]) -> None:
        """The body of an INFO gives back the same pairs in the same order."""
        self.assertEqual(from_form(to_form(pairs)), tuple(pairs))

    @given(data)
    def test_headers(self, pairs: list[tuple[str, str]]) -> None:
        """So do header fields, through a message and its parser; there is one for each pair."""
        try:
            headers = to_headers(pairs)
        except AttachedDataError as fault:
            self.assertEqual(fault.reason, "size")
            return
        received = over_the_wire(headers)
        self.assertEqual(len(received), len(pairs))
        self.assertEqual(from_headers(received), Reading(tuple(pairs)))

    @given(st.lists(st.tuples(injections, injections), max_size=4))
    def test_injection(self, pairs: list[tuple[str, str]]) -> None:
        """Whatever somebody attaches, it is refused or becomes exactly its own header fields."""
        try:
            headers = to_headers(pairs)
        except AttachedDataError:
            self.assertFalse(all(map(self.harmless, pairs)))
            return
        self.assertEqual(from_headers(over_the_wire(headers)), Reading(tuple(pairs)))

    def harmless(self, pair: tuple[str, str]) -> bool:
        """Whether there is no reason to refuse a short pair."""
        key, value = pair
        clean = all(0x20 <= ord(c) != 0x7F and not 0xD800 <= ord(c) < 0xE000 for c in value)
        return bool(is_token(key)) and clean

    @given(st.lists(st.tuples(injections, injections), max_size=4))
    def test_injection_into_forms(self, pairs: list[tuple[str, str]]) -> None:
        """Whatever keys and values are, a form is made of them alone, and one line; or none is."""
        try:
            form = to_form(pairs)
        except AttachedDataError:
            texts = [text for pair in pairs for text in pair]
            dirty = any(re.search("[\0-\x1f\x7f\ud800-\udfff]", text) for text in texts)
            self.assertTrue(dirty or not all(0 < len(key.encode()) <= MAX_KEY for key, _ in pairs))
            return
        self.assertRegex(form, rb"\A[A-Za-z0-9_.~%&=-]*\Z")
        self.assertEqual(from_form(form), tuple(pairs))

    @given(st.binary(max_size=80) | injections.map(lambda t: t.encode(errors="replace")))
    def test_any_body(self, body: bytes) -> None:
        """Any bytes are read or refused, and what is read can be sent on."""
        try:
            pairs = from_form(body)
        except AttachedDataError:
            return
        self.assertEqual(from_form(to_form(pairs)), pairs)

    @given(st.lists(st.tuples(injections.map("X-Genesys-".__add__), injections), max_size=4))
    def test_any_headers(self, headers: list[tuple[str, str]]) -> None:
        """Any header fields are read or refused one by one, and what is read can be sent on."""
        reading = from_headers(headers)
        self.assertEqual(len(reading.pairs) + len(reading.refused), len(headers))
        self.assertEqual(check_pairs(reading.pairs), reading.pairs)


class FormTests(SynchronousTestCase):
    """Bodies of INFO."""

    def test_spaces_and_plus(self) -> None:
        """A space may come as plus or %20, and is sent as %20; a plus is always escaped."""
        self.assertEqual(from_form(b"a=1+2%202%2B1"), (("a", "1 2 2+1"),))
        self.assertEqual(to_form([("a", "1 2+3")]), b"a=1%202%2B3")

    def test_repeated_keys(self) -> None:
        """A key may come again; nothing is merged."""
        pairs = (("a", "1"), ("b", "2"), ("a", "3"), ("a", "3"))
        self.assertEqual(from_form(b"a=1&b=2&a=3&a=3"), pairs)
        self.assertEqual(to_form(pairs), b"a=1&b=2&a=3&a=3")

    def test_decoded_once(self) -> None:
        """What looks like an escape after decoding is text."""
        self.assertEqual(from_form(b"a=%250d%250a"), (("a", "%0d%0a"),))

    def test_liberal(self) -> None:
        """Empty parts, a missing equals sign, raw UTF-8 and a last line end do no harm."""
        read = from_form("&a&b=&c=ü=&&\r\n".encode())
        self.assertEqual(read, (("a", ""), ("b", ""), ("c", "ü=")))
        self.assertEqual(from_form(b""), ())

    def test_refused(self) -> None:
        """One bad pair spoils the body, and the reason has a status."""
        for body, reason, status in (
            (b"a=1&b=%0d%0aVia:", "control", 400),
            (b"a=%00", "control", 400),
            (b"a=%7F", "control", 400),
            (b"a=\t", "control", 400),
            (b"a=x\r\nVia: y\r\n", "control", 400),
            (b"a=%E9", "encoding", 400),
            (b"a=\xe9", "encoding", 400),
            (b"a=%", "escape", 400),
            (b"a=100%&b=1", "escape", 400),
            (b"%zz=1", "escape", 400),
            (b"=1", "key", 400),
            (b"a%0d%0aVia:=1", "control", 400),
            (b"a%00=1", "control", 400),
            (b"%7f=1", "control", 400),
            (b"a\r\nVia: y=1", "control", 400),
            (b"%C3=1", "encoding", 400),
            (b"%ED%A0%80=1", "encoding", 400),
            (b"k" * (MAX_KEY + 1) + b"=1", "key", 400),
            (b"%C3%A9" * (MAX_KEY // 2) + b"k=1", "key", 400),
            (b"a=" + b"x" * (MAX_VALUE + 1), "value", 400),
            (b"&" * (4 * MAX_TOTAL + 1), "size", 413),
            (b"&".join([b"a=" + b"x" * 1024] * 8), "size", 413),
        ):
            fault = self.assertRaises(AttachedDataError, from_form, body)
            self.assertEqual((fault.reason, fault.status), (reason, status), body[:20])

    def test_any_key(self) -> None:
        """A key need not be fit for a header field's name, which is refused as one."""
        for body, key, again in (
            (b"Key+1=a", "Key 1", b"Key%201=a"),
            (b"%c3%bc=a", "ü", b"%C3%BC=a"),
            ("ü=a".encode(), "ü", b"%C3%BC=a"),
            (b"a:b%3d%26%25=a", "a:b=&%", b"a%3Ab%3D%26%25=a"),
            (b"CallUUID=a", "CallUUID", b"CallUUID=a"),
            (b"k" * MAX_KEY + b"=a", "k" * MAX_KEY, b"k" * MAX_KEY + b"=a"),
        ):
            pairs = from_form(body)
            self.assertEqual(((key, "a"),), pairs)
            self.assertEqual(again, to_form(pairs))
            fault = self.assertRaises(AttachedDataError, to_headers, pairs)
            self.assertEqual("key", fault.reason)

    def test_limits(self) -> None:
        """What just fits is taken; lengths are those of the bytes without escapes."""
        pairs = [("k" * 54, "é" * (MAX_VALUE // 2))] + [("key", "x" * 1024)] * 6
        pairs.append(("z", "x" * (MAX_TOTAL - 54 - 1024 - 6 * 1027 - 1)))
        self.assertEqual(from_form(to_form(pairs)), tuple(pairs))
        pairs[-1] = ("z", pairs[-1][1] + "x")
        self.assertRaises(AttachedDataError, check_pairs, pairs)

    def test_content_type(self) -> None:
        """Only forms are attached data."""
        self.assertTrue(is_form("application/x-www-form-urlencoded"))
        self.assertTrue(is_form("Application/X-WWW-Form-URLencoded; charset=UTF-8"))
        for other in (None, "", "application/dtmf-relay", "x-www-form-urlencoded"):
            self.assertFalse(is_form(other))


class HeaderTests(SynchronousTestCase):
    """Header fields of INVITE."""

    def test_plain_text_stays(self) -> None:
        """Text is sent as it is; only what could be misread is escaped."""
        headers = to_headers([("Name", 'Smith, "J" <x>; a=b+c'), ("b", " 5% ü "), ("c", "  ")])
        self.assertEqual(
            headers,
            [
                ("X-genesys-Name", 'Smith, "J" <x>; a=b+c'),
                ("X-genesys-b", "%205%25 %C3%BC%20"),
                ("X-genesys-c", "%20%20"),
            ],
        )

    def test_names(self) -> None:
        """The prefix is found in any case, the key keeps its case."""
        reading = from_headers([("x-Genesys-Case_Id", "7"), ("X-Genesys", "no"), ("X-a", "no")])
        self.assertEqual(reading, Reading((("Case_Id", "7"),)))

    def test_call_uuid(self) -> None:
        """The server's call identifier is neither read nor written as attached data."""
        self.assertFalse(is_attached("X-Genesys-CallUUID"))
        self.assertEqual(from_headers([("X-Genesys-CallUUID", "4BOK")]), Reading())
        fault = self.assertRaises(AttachedDataError, to_headers, [("calluuid", "forged")])
        self.assertEqual(fault.reason, "key")

    def test_values(self) -> None:
        """Escapes are decoded once, a plus is a plus, a percent sign may stand alone."""
        for sent, meant in (("1+2", "1+2"), ("50%", "50%"), ("%2541", "%41"), ("%e2%82%ac", "€")):
            self.assertEqual(from_headers([("X-genesys-a", sent)]).pairs, (("a", meant),))

    def test_refused_one_by_one(self) -> None:
        """A pair that is refused takes no other with it, and is told."""
        reading = from_headers(
            [
                ("X-genesys-a", "1%0D%0A"),
                ("X-genesys-b", "2"),
                ("X-genesys-", "3"),
                ("X-genesys-c", "%FF"),
                ("X-genesys-d", "x" * 1025),
                *[("X-genesys-e", "x" * 1024)] * 8,
                ("X-genesys-f", "6"),
            ]
        )
        self.assertEqual(reading.refused, ("control", "key", "encoding", "value", "size"))
        self.assertEqual([key for key, _ in reading.pairs], ["b", *"eeeeeee", "f"])

    def test_size(self) -> None:
        """Header fields leave room in the head for all others."""
        self.assertEqual(len(to_headers([("a", "")] * MAX_FIELDS)), MAX_FIELDS)
        self.assertRaises(AttachedDataError, to_headers, [("a", "")] * (MAX_FIELDS + 1))
        line = len("X-genesys-a: \r\n")
        fits = [("a", "x" * 1000)] * 4
        fits[0] = ("a", "x" * (MAX_HEAD - 3 * (line + 1000) - line - 76))
        self.assertEqual(len(to_headers([*fits, ("a", "x" * (76 - line))])), 5)
        fault = self.assertRaises(AttachedDataError, to_headers, [*fits, ("a", "x" * (77 - line))])
        self.assertEqual(fault.reason, "size")


class ServiceTypeTests(SynchronousTestCase):
    """The option reporting-service-type."""

    def test_sent(self) -> None:
        """It goes with every call, once, whatever a browser attaches under its key."""
        expected = [("X-genesys-service_type", "WebRTC"), ("X-genesys-a", "1")]
        self.assertEqual(to_headers([("a", "1")], "WebRTC"), expected)
        forged = [("Service_Type", "x"), ("a", "1"), ("service_type", "y")]
        self.assertEqual(to_headers(forged, "WebRTC"), expected)

    def test_disabled(self) -> None:
        """ "none" sends none, and then a browser's own is data like any other."""
        for option in ("none", "None", ""):
            self.assertEqual(to_headers([], option), [])
            pairs = to_headers([("service_type", "x")], option)
            self.assertEqual(pairs, [("X-genesys-service_type", "x")])

    def test_checked(self) -> None:
        """A configured value obeys the same rules."""
        self.assertRaises(AttachedDataError, to_headers, [], "Web\r\nRTC")
