"""Tests of RFC 4475's and RFC 5118's torture messages, over datagrams and streams."""

from __future__ import annotations

from typing import NamedTuple

from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.errors import ParseError, StreamError
from b2bua.sip.headers import NameAddr
from b2bua.sip.message import Message, Request, Response
from b2bua.sip.parser import parse_datagram
from b2bua.sip.stream import StreamFramer
from b2bua.sip.uri import AbsoluteUri, SipUri
from tests.sip import torture

ACCEPTED = "accepted"
DROPPED = "dropped"
WAITS = "waits"
"""The stream's message is not whole: nothing is given."""
CLOSED = "closed"
"""The stream cannot be read any further."""


class Expected(NamedTuple):
    """What becomes of a message: accepted, dropped, or the status and the reason for it."""

    datagram: str | tuple[int, str]
    stream: str | tuple[int, str] | None = None
    """Where it is not the same."""


OK = Expected(ACCEPTED)
BAD = Expected((400, "value"))

RFC4475 = {
    # 3.1.1, valid messages
    "wsinv": OK,
    "intmeth": OK,
    "esc01": OK,
    "escnull": OK,
    "esc02": OK,
    "lwsdisp": OK,
    "longreq": OK,
    "dblreq": OK,
    "semiuri": OK,
    "transports": OK,
    "mpart01": OK,
    "unreason": OK,
    "noreason": OK,
    # 3.1.2, invalid messages
    "badinv01": BAD,
    "clerr": Expected((400, "truncated"), WAITS),
    "ncl": Expected((400, "length"), CLOSED),
    "scalar02": BAD,
    "scalarlg": Expected(DROPPED),
    "quotbal": BAD,
    "ltgtruri": Expected((400, "uri")),
    "lwsruri": Expected((400, "start-line")),
    "lwsstart": Expected((400, "start-line")),
    "trws": Expected((400, "start-line")),
    "escruri": Expected((400, "uri")),
    # Nobody here reads Date; the RFC wants it to pass then.
    "baddate": OK,
    "regbadct": BAD,
    "badaspec": Expected((400, "uri")),
    "baddn": BAD,
    "badvers": Expected((505, "version")),
    "mismatch01": Expected((400, "mismatch")),
    # 501 would do as well; the RFC allows both.
    "mismatch02": Expected((400, "mismatch")),
    "bigcode": Expected(DROPPED),
    # 3.2, the transaction layer: no id behind the cookie is the old way to match
    "badbranch": OK,
    # 3.3, the application: 416, 416, 200, 420, 415, 401, 200, 483 and 406 are not the parser's
    "insuf": Expected((400, "missing")),
    "unkscm": OK,
    "novelsc": OK,
    "unksm2": OK,
    "bext01": OK,
    "invut": OK,
    "regaut01": OK,
    "multi01": Expected((400, "duplicate")),
    "mcl01": Expected((400, "duplicate"), CLOSED),
    "bcast": OK,
    "zeromf": OK,
    "cparam01": OK,
    "cparam02": OK,
    "regescrt": OK,
    "sdp01": OK,
    # 3.4, RFC 2543: legal without Content-Length, which a stream cannot do without
    "inv2543": Expected(ACCEPTED, CLOSED),
}

RFC5118 = {
    "ipv6-good": OK,
    "ipv6-bad": Expected((400, "uri")),
    "port-ambiguous": OK,
    "port-unambiguous": OK,
    "via-received-param-with-delim": OK,
    "via-received-param-no-delim": OK,
    "ipv6-in-sdp": OK,
    "mult-ip-in-header": OK,
    "mult-ip-in-sdp": OK,
    "ipv4-mapped-ipv6": OK,
    "ipv6-bug-abnf-3-colons": OK,
    "ipv6-correct-abnf-2-colons": OK,
}

MESSAGES = [
    (rfc, name, expected)
    for rfc, table in (("rfc4475", RFC4475), ("rfc5118", RFC5118))
    for name, expected in table.items()
]


def fate(error: ParseError) -> str | tuple[int, str]:
    """What the error asks for, in the words of the tables."""
    return DROPPED if error.status is None else (error.status, error.reason)


def read(name: str, rfc: str = "rfc4475") -> Message:
    """The message as a datagram brings it."""
    return parse_datagram(torture.read(rfc, name))


def request(name: str, rfc: str = "rfc4475") -> Request:
    """The same, which is a request."""
    message = read(name, rfc)
    assert isinstance(message, Request)
    return message


def sip(address: NameAddr) -> SipUri:
    """The address's URI, which is a SIP URI."""
    assert isinstance(address.uri, SipUri)
    return address.uri


def stream(chunks: list[bytes]) -> tuple[list[object], bool]:
    """What a stream gives for these chunks, in comparable form, and whether some waits."""
    framer = StreamFramer()
    seen: list[object] = []
    for chunk in chunks:
        try:
            items = framer.feed(chunk)
        except StreamError as error:
            items = [*error.items, error.fault]
            seen += [shown(item) for item in items] + [CLOSED]
            break
        seen += [shown(item) for item in items]
    return seen, framer.pending


def shown(item: object) -> object:
    """An item of a stream in comparable form."""
    if isinstance(item, Message):
        return (item.start_line, item.headers, item.body)
    return fate(item) if isinstance(item, ParseError) else item


class TortureTests(SynchronousTestCase):
    """Every message of both RFCs has the outcome that the RFC asks for."""

    def test_all_there(self) -> None:
        """Each message has a file, and each file its row: 49 of RFC 4475, 12 of RFC 5118."""
        self.assertEqual(torture.names("rfc4475"), set(RFC4475))
        self.assertEqual(torture.names("rfc5118"), set(RFC5118))
        self.assertEqual((len(RFC4475), len(RFC5118)), (49, 12))

    def test_datagram(self) -> None:
        """In a datagram, each is accepted, answered or dropped as the table has it."""
        for rfc, name, expected in MESSAGES:
            with self.subTest(name):
                try:
                    read(name, rfc)
                    outcome: str | tuple[int, str] = ACCEPTED
                except ParseError as error:
                    outcome = fate(error)
                self.assertEqual(outcome, expected.datagram)

    def test_stream(self) -> None:
        """Over a stream it is the same, but for lengths: those are waited for or end it."""
        for rfc, name, expected in MESSAGES:
            with self.subTest(name):
                seen, pending = stream([torture.read(rfc, name)])
                wanted = expected.stream or expected.datagram
                if wanted == WAITS:
                    self.assertEqual((seen, pending), ([], True))
                elif wanted == CLOSED:
                    self.assertEqual(seen[1:], [CLOSED])
                elif wanted == ACCEPTED:
                    self.assertEqual(seen[0], shown(read(name, rfc)))
                else:
                    self.assertEqual(seen[0], wanted)

    def test_split_everywhere(self) -> None:
        """Where the stream is cut into two does not matter, nor does byte by byte."""
        for rfc, name, _ in MESSAGES:
            data = torture.read(rfc, name)
            whole = stream([data])
            with self.subTest(name):
                self.assertEqual(stream([data[i : i + 1] for i in range(len(data))]), whole)
                for at in range(len(data)):
                    self.assertEqual(stream([data[:at], data[at:]]), whole)

    def test_rendered(self) -> None:
        """What was accepted is the same message once it is printed and read again."""
        for rfc, name, expected in MESSAGES:
            if expected.datagram != ACCEPTED:
                continue
            with self.subTest(name):
                message = read(name, rfc)
                again = parse_datagram(message.render())
                self.assertEqual(again.start_line, message.start_line)
                self.assertEqual(again.body, message.body)
                length = ("Content-Length", str(len(message.body)))
                headers = [pair for pair in message.headers if pair[0] != "Content-Length"]
                self.assertEqual([pair for pair in again.headers if pair != length], headers)

    def test_answerable(self) -> None:
        """Each request that is to be answered leaves what the answer copies."""
        for rfc, name, expected in MESSAGES:
            if not isinstance(expected.datagram, tuple):
                continue
            with self.subTest(name):
                error = self.assertRaises(ParseError, read, name, rfc)
                assert error.request is not None
                answer = error.request.response(expected.datagram[0], to_tag="t0")
                self.assertEqual(answer.get_rows("Via"), error.request.get_rows("Via"))
                self.assertIn(b"SIP/2.0 %d " % expected.datagram[0], answer.render())


class TortuousValueTests(SynchronousTestCase):
    """What the valid messages say is read as their RFC explains it."""

    def test_wsinv(self) -> None:
        """Folds, white space around separators, compact forms and odd case change nothing."""
        message = request("wsinv")
        self.assertEqual(message.to.tag, "1918181833n")
        self.assertEqual(message.from_.display, 'J Rosenberg \\"')
        self.assertEqual(message.from_.tag, "98asjd8")
        self.assertEqual((message.max_forwards, str(message.cseq)), (68, "9 INVITE"))
        self.assertEqual(
            [str(via) for via in message.vias],
            [
                "SIP/2.0/UDP 192.0.2.2;branch=390skdjuw",
                "SIP/2.0/TCP spindle.example.com;branch=z9hG4bK9ikj8",
                "SIP/2.0/UDP 192.168.255.111;branch=z9hG4bK30239",
            ],
        )
        self.assertEqual(message.get("Subject"), "")
        self.assertEqual(
            message.get("newfangledheader"), "newfangled value continued newfangled value"
        )
        self.assertEqual(message.get("UnknownHeaderWithUnusualValue"), ";;,,;;,;")
        self.assertEqual(sip(message.route[0]).parameters["unknown-no-value"], "")
        self.assertTrue(sip(message.route[0]).loose)
        contact = message.contacts[0]
        self.assertEqual(contact.display, 'Quoted string ""')
        self.assertEqual(
            dict(contact.parameters), {"newparam": "newvalue", "secondparam": "", "q": "0.33"}
        )
        self.assertEqual(contact.q, 0.33)

    def test_intmeth(self) -> None:
        """Every character that the grammar allows is allowed, NUL in a quoted pair too."""
        message = request("intmeth")
        self.assertEqual(message.method, "!interesting-Method0123456789_*+`.%indeed'~")
        assert isinstance(message.uri, SipUri)
        self.assertEqual(message.uri.user, "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*")
        self.assertEqual(message.uri.password, "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)")
        self.assertEqual(message.to.display, "BEL:\x07 NUL:\x00 DEL:\x7f")
        self.assertEqual(message.from_.display, "token1~` token2'+_ token3*%!.-")
        self.assertEqual(message.from_.parameters.text("fromparam''~+*_!.-%"), "работающий")
        self.assertEqual(message.call_id, "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{")
        self.assertEqual(message.get("extensionHeader-!.%*+_`'~"), "\ufeff大停電")

    def test_escapes(self) -> None:
        """Escapes mean their character once, and only where the grammar has escapes."""
        message = request("esc01")
        assert isinstance(message.uri, SipUri)
        self.assertEqual(message.uri.user_text, "sips:user@example.com")
        self.assertEqual(sip(message.to).user_text, "user")
        self.assertEqual(sip(message.from_).user_text, "I have spaces")
        contact = sip(message.contacts[0])
        self.assertEqual(contact.parameters["n%61me"], "v%61lue%25%34%31")
        self.assertEqual(
            [sip(contact).user_text for contact in request("escnull").contacts], ["\0", "\0\0"]
        )
        unescaped = request("esc02")
        self.assertEqual(unescaped.method, "RE%47IST%45R")
        self.assertEqual(unescaped.to.display, "%Z%45")
        self.assertEqual(len(unescaped.contacts), 2)

    def test_lists_and_lengths(self) -> None:
        """Many and long values, and a display name without white space before its URI."""
        self.assertEqual(request("lwsdisp").from_.display, "caller")
        long = request("longreq")
        self.assertEqual(len(long.vias), 34)
        self.assertFalse(long.vias[-1].has_cookie)
        self.assertEqual(long.vias[-1].received, "192.0.2.5")
        self.assertEqual(sip(long.to).port, 6000)
        self.assertEqual(len(request("semiuri").get_all("Accept")), 6)
        uri = request("semiuri").uri
        assert isinstance(uri, SipUri)
        self.assertEqual(uri.user_text, "user;par=u@example.net")
        transports = [via.transport for via in request("transports").vias]
        self.assertEqual(transports, ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"])

    def test_bodies(self) -> None:
        """A body is its bytes, NUL too; what follows it in a datagram is dropped."""
        self.assertEqual(len(request("mpart01").body), 553)
        self.assertEqual(request("mpart01").body.count(b"\0"), 2)
        media_type = request("mpart01").content_type
        assert media_type is not None
        self.assertEqual(media_type.parameters["boundary"], "7a9cbec02ceef655")
        self.assertEqual(request("dblreq").body, b"")
        seen, _ = stream([torture.read("rfc4475", "dblreq")])
        # Over a stream it is two requests, and the rest of the second one's body is not SIP.
        self.assertEqual(len([item for item in seen if isinstance(item, tuple)]), 2)

    def test_reasons(self) -> None:
        """A reason phrase may be any text, or none."""
        unusual, none = read("unreason"), read("noreason")
        assert isinstance(unusual, Response)
        assert isinstance(none, Response)
        self.assertEqual(unusual.reason, "= 2**3 * 5**2 но сто девяносто девять - простое")
        self.assertEqual((none.status, none.reason), (100, ""))

    def test_parameters_of_contact(self) -> None:
        """Without angle brackets, parameters are the header field's; with them, the URI's."""
        bare, enclosed = request("cparam01").contacts[0], request("cparam02").contacts[0]
        self.assertEqual(bare.parameters.get("unknownparam"), "")
        self.assertNotIn("unknownparam", sip(bare).parameters)
        self.assertIn("unknownparam", sip(enclosed).parameters)
        self.assertEqual(
            sip(request("regescrt").contacts[0]).headers, (("Route", "%3Csip:sip.example.com%3E"),)
        )

    def test_schemes(self) -> None:
        """URIs of unknown schemes are kept as they are, for the application to refuse."""
        uri = request("unkscm").uri
        self.assertEqual(uri, AbsoluteUri("nobodyknowsthisscheme", "totallyopaquecontent"))
        self.assertEqual(request("novelsc").uri, AbsoluteUri("soap.beep", "//192.0.2.103:3002"))
        self.assertEqual(str(request("unksm2").from_.uri), "http://www.example.com")

    def test_rfc2543(self) -> None:
        """Without tag, branch and Max-Forwards a request is an old one, not a broken one."""
        message = request("inv2543")
        self.assertEqual((message.via.branch, message.from_.tag), ("", ""))
        self.assertIsNone(message.max_forwards)
        self.assertEqual(len(message.body), 105)
        self.assertFalse(request("badbranch").via.has_cookie)

    def test_ipv6(self) -> None:
        """IPv6 addresses are read with or without a port, brackets or a third colon."""
        self.assertEqual(str(request("ipv6-good", "rfc5118").uri), "sip:[2001:db8::10]")
        ambiguous = request("port-ambiguous", "rfc5118").uri
        assert isinstance(ambiguous, SipUri)
        self.assertEqual((ambiguous.host, ambiguous.port), ("2001:db8::10:5070", None))
        unambiguous = request("port-unambiguous", "rfc5118").uri
        assert isinstance(unambiguous, SipUri)
        self.assertEqual((unambiguous.host, unambiguous.port), ("2001:db8::10", 5070))
        for name in ("via-received-param-with-delim", "via-received-param-no-delim"):
            self.assertEqual(request(name, "rfc5118").via.received, "2001:db8::9:255")
        hops = [via.sent_by for via in request("mult-ip-in-header", "rfc5118").vias]
        self.assertEqual(hops, ["[2001:db8::9:1]:6050", "192.0.2.1", "[2001:db8::9:255]"])
        mapped = request("ipv4-mapped-ipv6", "rfc5118").via
        self.assertEqual((mapped.host, mapped.port), ("::ffff:192.0.2.10", 19823))
        two, three = (
            request(f"ipv6-{name}-colons", "rfc5118").uri
            for name in ("correct-abnf-2", "bug-abnf-3")
        )
        self.assertEqual(two, three)
