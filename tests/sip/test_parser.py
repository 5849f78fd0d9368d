"""Tests of the parser: framing of datagrams, refusals, and what they leave for an answer."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.errors import PARSE_FAULTS, ParseError
from b2bua.sip.message import Message, Request, Response
from b2bua.sip.parser import MAX_BODY, MAX_HEAD, MAX_HEADERS, parse_datagram
from tests.sip import strategies

COMMON = (
    b"Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n"
    b"Call-ID: c\r\nCSeq: 1 OPTIONS\r\n"
)
OPTIONS = b"OPTIONS sip:b@h SIP/2.0\r\n" + COMMON

LAZY: list[Callable[[Message], object]] = [
    lambda m: m.vias,
    lambda m: m.content_type,
    lambda m: m.content_disposition,
    lambda m: m.expires,
    lambda m: m.min_expires,
    lambda m: m.session_expires,
    lambda m: m.min_se,
    lambda m: m.retry_after,
    lambda m: m.rseq,
    lambda m: m.rack,
    lambda m: m.event,
    lambda m: m.subscription_state,
    lambda m: m.replaces,
    lambda m: m.refer_to,
    lambda m: m.reasons,
    lambda m: m.tokens("Supported"),
    lambda m: m.via.rport,
    lambda m: [contact.q for contact in m.contacts],
]


def options(extra: bytes = b"", body: bytes = b"") -> bytes:
    """An OPTIONS with more header fields."""
    return OPTIONS + extra + b"\r\n" + body


class DatagramTests(SynchronousTestCase):
    """One datagram is one message (RFC 3261, section 18.3)."""

    def refused(self, data: bytes) -> tuple[int | None, str]:
        """The status and the reason for which the datagram is refused."""
        error = self.assertRaises(ParseError, parse_datagram, data)
        self.assertEqual(error.status is None, error.request is None)
        return error.status, error.reason

    def test_request(self) -> None:
        """Method, URI, header fields and body."""
        message = parse_datagram(options(b"l: 3\r\n", b"abc"))
        assert isinstance(message, Request)
        self.assertEqual((message.method, str(message.uri)), ("OPTIONS", "sip:b@h"))
        self.assertEqual((message.get("Content-Length"), message.body), ("3", b"abc"))

    def test_response(self) -> None:
        """Status and reason; the version may be in any case."""
        message = parse_datagram(b"sip/2.0 404 Not  Found \r\n" + COMMON + b"\r\n")
        assert isinstance(message, Response)
        self.assertEqual((message.status, message.reason), (404, "Not  Found "))
        short = parse_datagram(b"SIP/2.0 100\r\n" + COMMON + b"\r\n")
        assert isinstance(short, Response)
        self.assertEqual((short.status, short.reason), (100, ""))

    def test_body(self) -> None:
        """What is beyond Content-Length is dropped; without it, the body is the rest."""
        self.assertEqual(parse_datagram(options(b"l: 2\r\n", b"abc")).body, b"ab")
        self.assertEqual(parse_datagram(options(b"", b"abc")).body, b"abc")
        self.assertEqual(self.refused(options(b"l: 4\r\n", b"abc")), (400, "truncated"))

    def test_leading_line_ends(self) -> None:
        """Line ends before a message are skipped; alone, they are a keep-alive to drop."""
        self.assertEqual(parse_datagram(b"\r\n\r\n" + options()).call_id, "c")
        self.assertEqual(self.refused(b"\r\n\r\n"), (None, "empty"))
        self.assertEqual(self.refused(b""), (None, "empty"))

    def test_content_length(self) -> None:
        """A length is a few digits, once; whatever else might be read as one is refused."""
        for value in (b"-1", b"+1", b"five", b"", b"1 2", b"0x1", b"1,1", b"1" * 11, b"\xd9\xa1"):
            with self.subTest(value):
                self.assertEqual(
                    self.refused(options(b"Content-Length: " + value + b"\r\n")), (400, "length")
                )
        twice = b"Content-Length: 0\r\nl: 0\r\n"
        self.assertEqual(self.refused(options(twice)), (400, "duplicate"))
        huge = b"l: %d\r\n" % (MAX_BODY + 1)
        self.assertEqual(self.refused(options(huge)), (513, "body-size"))
        self.assertEqual(self.refused(options(b"", bytes(MAX_BODY + 1))), (513, "body-size"))
        self.assertEqual(len(parse_datagram(options(b"", bytes(MAX_BODY))).body), MAX_BODY)

    def test_line_ends(self) -> None:
        """CR and LF alone end a line for some readers only: such a message is dropped."""
        for extra in (
            b"Z: a\rb\r\n",
            b"Z: a\nb\r\n",
            b"Z: a\n\r\n",
            b"Z: a\r\r\n",
            b"Z: a\n\r\nY: b\r\n",
        ):
            with self.subTest(extra):
                self.assertEqual(self.refused(options(extra)), (None, "line-end"))
        self.assertEqual(self.refused(options().replace(b"\r\n", b"\n")), (None, "line-end"))
        self.assertEqual(self.refused(OPTIONS), (400, "line-end"))

    def test_controls(self) -> None:
        """NUL and its like are refused, but for quoted pairs in a quoted string."""
        for control in (b"\0", b"\x0b", b"\x1f", b"\x7f"):
            with self.subTest(control):
                self.assertEqual(
                    self.refused(options(b"Z: a" + control + b"\r\n")), (None, "control")
                )
                self.assertEqual(
                    self.refused(options(b'Z: "\\\\' + control + b'"\r\n')), (None, "control")
                )
                parse_datagram(options(b'Z: "\\' + control + b'"\r\n'))
        self.assertEqual(parse_datagram(options(b"Z: a\tb\r\n")).get("Z"), "a\tb")

    def test_encoding(self) -> None:
        """Text is UTF-8, and is kept."""
        self.assertEqual(
            parse_datagram(options("Z: é\u2028\x85b\r\n".encode())).get("z"), "é\u2028\x85b"
        )
        self.assertEqual(self.refused(options(b"Z: \xe9\r\n")), (400, "encoding"))
        self.assertEqual(self.refused(options(b"Z: \xc0\x80\r\n")), (400, "encoding"))

    def test_folds(self) -> None:
        """A folded value is one line; a folded start line is none."""
        message = parse_datagram(options(b"Subject: a\r\n b\r\n\t\r\n c\r\nZ:\r\n d\r\n"))
        self.assertEqual((message.get("Subject"), message.get("Z")), ("a b  c", "d"))
        folded = options().replace(b" SIP/2.0\r\n", b"\r\n SIP/2.0\r\n", 1)
        self.assertEqual(self.refused(folded), (None, "start-line"))

    def test_names(self) -> None:
        """White space before the colon is allowed, in the name it is not."""
        self.assertEqual(parse_datagram(options(b"sUBJECT \t: a\r\n")).get("Subject"), "a")
        for line in (
            b"Z y: a",
            b": a",
            b"Z",
            b"Z\xc3\xa9: b",
            b"Z(: a",
            b"Z\r\n:y",
        ):
            with self.subTest(line):
                self.assertEqual(self.refused(options(line + b"\r\n")), (400, "header"))

    def test_start_line(self) -> None:
        """Three parts with one space between them, or it is none."""
        for line in (
            *(b"OPTIONS", b"OPTIONS sip:h", b"OPTIONS  sip:h SIP/2.0", b"OPTIONS sip:h SIP/2.0 "),
            *(b"OPTIONS sip:h HTTP/1.1", b"OPTIONS sip:h SIP/2", b"OPTIONS sip:a b SIP/2.0"),
        ):
            with self.subTest(line):
                self.assertEqual(
                    self.refused(line + b"\r\n" + COMMON + b"\r\n"), (400, "start-line")
                )
        for version in (b"SIP/3.0", b"SIP/2.1", b"sip/1.0"):
            line = b"OPTIONS sip:h " + version + b"\r\n"
            self.assertEqual(self.refused(line + COMMON + b"\r\n"), (505, "version"))
        for uri in (b"<sip:h>", b"sip:", b"sip:h?a=b", b"h"):
            line = b"OPTIONS " + uri + b" SIP/2.0\r\n"
            self.assertEqual(self.refused(line + COMMON + b"\r\n"), (400, "uri"))

    def test_needed(self) -> None:
        """What every message has must be there, once, and readable."""
        for name in (b"From", b"To", b"Call-ID", b"CSeq"):
            line = next(line for line in COMMON.split(b"\r\n") if line.startswith(name))
            self.assertEqual(self.refused(options().replace(line + b"\r\n", b"")), (400, "missing"))
            self.assertEqual(self.refused(options(line + b"\r\n")), (400, "duplicate"))
            self.assertEqual(
                self.refused(options().replace(line, name + b": ")), (400, VALUES[name])
            )
        no_via = b"OPTIONS sip:b@h SIP/2.0\r\n" + COMMON.partition(b"\r\n")[2] + b"\r\n"
        self.assertEqual(self.refused(no_via), (None, "missing"))
        self.assertEqual(
            self.refused(options(b"Max-Forwards: 1\r\nMAX-FORWARDS: 2\r\n")), (400, "duplicate")
        )
        self.assertEqual(self.refused(options().replace(b"1 OPTIONS", b"1 BYE")), (400, "mismatch"))

    def test_routing(self) -> None:
        """Contact, Route, Record-Route and Max-Forwards are readable; others are not looked at."""
        for line in (
            *(b"Contact: <sip:a", b"m: *, <sip:a>", b"Route: sip:a?b=c", b"Record-Route: ,"),
            *(b"Max-Forwards: 256", b"Max-Forwards: -1", b"Contact: <sip:a>,,<sip:b>"),
        ):
            with self.subTest(line):
                status, reason = self.refused(options(line + b"\r\n"))
                self.assertEqual(status, 400)
                self.assertIn(reason, ("value", "uri"))
        message = parse_datagram(options(b"Session-Expires: x\r\n"))
        self.assertRaises(ParseError, lambda: message.session_expires)

    def test_too_long(self) -> None:
        """A head beyond its limit is answered from what stands before it."""
        room = MAX_HEAD - len(OPTIONS) - len(b"Z: \r\n\r\n")
        parse_datagram(options(b"Z: " + b"a" * room + b"\r\n"))
        self.assertEqual(
            self.refused(options(b"Z: " + b"a" * (room + 1) + b"\r\n")), (513, "head-size")
        )
        self.assertEqual(self.refused(b"OPTIONS " + b"a" * MAX_HEAD), (None, "head-size"))

    def test_too_many(self) -> None:
        """The header fields are counted before they are read."""
        more = MAX_HEADERS - COMMON.count(b"\r\n")
        parse_datagram(options(b"Z: a\r\n" * more))
        self.assertEqual(self.refused(options(b"Z: a\r\n" * (more + 1))), (513, "head-count"))

    def test_never_answered(self) -> None:
        """Neither a response nor an ACK is answered, whatever is wrong with it."""
        response = b"SIP/2.0 200 OK\r\n" + COMMON
        self.assertEqual(self.refused(response + b"To: x\r\n\r\n"), (None, "duplicate"))
        self.assertEqual(self.refused(response + b"l: -1\r\n\r\n"), (None, "length"))
        self.assertEqual(self.refused(b"SIP/2.0 99 x\r\n" + COMMON + b"\r\n"), (None, "start-line"))
        self.assertEqual(
            self.refused(b"SIP/7.0 200 x\r\n" + COMMON + b"\r\n"), (None, "start-line")
        )
        ack = options(b"l: -1\r\n").replace(b"OPTIONS", b"ACK")
        self.assertEqual(self.refused(ack), (None, "length"))


VALUES = {b"From": "uri", b"To": "uri", b"Call-ID": "value", b"CSeq": "value"}


class AnyBytesTests(SynchronousTestCase):
    """Nothing but ParseError ever comes out of bytes."""

    def read(self, data: bytes) -> Message | None:
        """The message, if it is one; the error must be one of the declared ones."""
        try:
            return parse_datagram(data)
        except ParseError as error:
            self.assertIn(error.reason, PARSE_FAULTS)
            if error.request is not None:
                assert error.status is not None
                answer = error.request.response(error.status, to_tag="t")
                self.assertTrue(answer.get_rows("Via"))
                answer.render()
            return None

    @given(st.binary(max_size=200) | st.binary(max_size=80).map(OPTIONS.__add__))
    def test_arbitrary(self, data: bytes) -> None:
        """Any bytes, and any bytes behind a good beginning."""
        self.read(data)

    @given(strategies.mutated())
    def test_mutated(self, data: bytes) -> None:
        """Messages with pieces missing, repeated or put in; what is accepted is a message."""
        message = self.read(data)
        if message is None:
            return
        again = parse_datagram(message.render())
        self.assertEqual(again.start_line, message.start_line)
        self.assertEqual(again.body, message.body)
        rest = [pair for pair in message.headers if pair[0] != "Content-Length"]
        self.assertEqual([pair for pair in again.headers if pair[0] != "Content-Length"], rest)
        for needed in (
            "via",
            "from_",
            "to",
            "call_id",
            "cseq",
            "max_forwards",
            "contacts",
            "route",
        ):
            getattr(message, needed)
        for read in LAZY:
            try:
                read(message)
            except ParseError as error:
                self.assertIn(error.reason, PARSE_FAULTS)
