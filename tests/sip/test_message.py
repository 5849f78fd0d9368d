"""Tests of requests and responses: header fields, typed values and bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.errors import InvalidHeader, ParseError
from b2bua.sip.headers import CSeq, NameAddr, Via
from b2bua.sip.message import Message, Request, Response
from b2bua.sip.parser import parse_datagram
from b2bua.sip.reasons import REASONS
from b2bua.sip.uri import parse_uri
from tests.sip import strategies


def invite() -> Request:
    """An INVITE as a user agent would build it."""
    return Request(
        "INVITE",
        "sip:7001@10.0.0.2",
        [
            ("v", Via("UDP", "10.0.0.1", 5060).with_parameter("branch", "z9hG4bK1")),
            ("Max-Forwards", 70),
            ("from", NameAddr("A, B", parse_uri("sip:a@h")).with_tag("1")),
            ("To", NameAddr("", parse_uri("sip:7001@10.0.0.2"))),
            ("CALL-ID", "c1"),
            ("CSeq", CSeq(1, "INVITE")),
        ],
    )


class HeaderFieldTests(SynchronousTestCase):
    """Header fields keep their order; names are found in any spelling."""

    def test_names(self) -> None:
        """Known names take their long form; others keep theirs and are found in any case."""
        message = Request(
            "A", "sip:h", [("f", "x"), ("WWW-authenticate", "y"), ("X-Genesys-a", "z")]
        )
        names = [name for name, _ in message.headers]
        self.assertEqual(names, ["From", "WWW-Authenticate", "X-Genesys-a"])
        self.assertEqual((message.get("FROM"), message.get("x-genesys-A")), ("x", "z"))
        self.assertIsNone(message.get("To"))
        self.assertIsNone(message.get("x-other"))
        self.assertTrue(message.has("f"))
        self.assertFalse(message.has("t"))

    def test_lists(self) -> None:
        """Lists are split over rows and commas; other header fields are not."""
        message = Request(
            "A",
            "sip:h",
            [("k", "timer, 100rel"), ("Supported", "uui"), ("Allow", ""), ("Subject", "a, b")],
        )
        self.assertEqual(message.get_all("Supported"), ["timer", "100rel", "uui"])
        self.assertEqual(message.get_rows("Supported"), ["timer, 100rel", "uui"])
        self.assertEqual(message.get_all("Allow"), [])
        self.assertEqual(message.get_all("Subject"), ["a, b"])
        self.assertEqual(message.tokens("Supported"), {"timer", "100rel", "uui"})

    def test_changes(self) -> None:
        """Adding, prepending, replacing and removing keep the order of the rest."""
        message = Request("A", "sip:h", [("Via", "1"), ("X-a", "2"), ("Via", "3"), ("To", "4")])
        message.prepend("v", "0")
        message.add("x-A", "5")
        self.assertEqual(message.get_rows("Via"), ["0", "1", "3"])
        message.replace("Via", "6", "7")
        self.assertEqual(
            message.headers, [("Via", "6"), ("Via", "7"), ("X-a", "2"), ("To", "4"), ("x-A", "5")]
        )
        message.remove("X-A")
        self.assertEqual(message.headers, [("Via", "6"), ("Via", "7"), ("To", "4")])
        message.prepend("Route", "<sip:r;lr>")
        message.replace("Subject", "s")
        self.assertEqual(
            [message.headers[0], message.headers[-1]], [("Route", "<sip:r;lr>"), ("Subject", "s")]
        )


class TypedValueTests(SynchronousTestCase):
    """Typed values are read when asked for, and read anew after a change."""

    def test_common(self) -> None:
        """What every request has."""
        message = invite()
        self.assertEqual((message.via.branch, message.vias), ("z9hG4bK1", [message.via]))
        self.assertEqual((message.from_.display, message.from_.tag), ("A, B", "1"))
        self.assertEqual((message.to.tag, message.call_id), ("", "c1"))
        self.assertEqual((message.cseq, message.max_forwards), (CSeq(1, "INVITE"), 70))

    def test_absent(self) -> None:
        """What is not there is None or an empty list; what must be there raises."""
        message = Request("A", "sip:h")
        for value in (
            *(message.max_forwards, message.contact, message.content_type, message.expires),
            *(message.session_expires, message.min_se, message.retry_after, message.rseq),
            *(message.rack, message.event, message.subscription_state, message.replaces),
            *(message.refer_to, message.min_expires, message.content_disposition),
        ):
            self.assertIsNone(value)
        for values in (message.contacts, message.route, message.record_route, message.reasons):
            self.assertEqual(values, [])
        for name in ("via", "from_", "to", "call_id", "cseq"):
            error = self.assertRaises(ParseError, getattr, message, name)
            self.assertEqual(error.reason, "missing")

    def test_present(self) -> None:
        """Every other typed value is read from its header field."""
        message = Request(
            "A",
            "sip:h",
            [
                ("Contact", "<sip:a>;expires=5, <sip:b>"),
                ("Route", "<sip:r1;lr>"),
                ("Route", "<sip:r2;lr>, <sip:r3>"),
                ("Record-Route", "<sip:rr>"),
                ("c", "application/sdp"),
                ("Content-Disposition", "session;handling=optional"),
                ("Expires", "140"),
                ("Min-Expires", "60"),
                ("x", "1800;refresher=uas"),
                ("Min-SE", "90"),
                ("Retry-After", "5 (busy)"),
                ("RSeq", "7"),
                ("RAck", "7 1 INVITE"),
                ("o", "talk"),
                ("Subscription-State", "active"),
                ("Replaces", "c;to-tag=1;from-tag=2"),
                ("r", "<sip:t>"),
                ("Reason", 'SIP;cause=200;text="Call completed elsewhere", Q.850;cause=16'),
            ],
        )
        self.assertEqual([contact.expires for contact in message.contacts], [5, None])
        self.assertEqual(message.contact, message.contacts[0])
        self.assertEqual(
            [str(hop.uri) for hop in message.route], ["sip:r1;lr", "sip:r2;lr", "sip:r3"]
        )
        self.assertEqual(len(message.record_route), 1)
        self.assertEqual(str(message.content_type), "application/sdp")
        self.assertEqual(str(message.content_disposition), "session;handling=optional")
        self.assertEqual((message.expires, message.min_expires), (140, 60))
        self.assertEqual(str(message.session_expires), "1800;refresher=uas")
        self.assertEqual((str(message.min_se), str(message.retry_after)), ("90", "5"))
        self.assertEqual((message.rseq, str(message.rack)), (7, "7 1 INVITE"))
        self.assertEqual((str(message.event), str(message.subscription_state)), ("talk", "active"))
        self.assertEqual(str(message.replaces), "c;to-tag=1;from-tag=2")
        self.assertEqual(str(message.refer_to), "<sip:t>")
        self.assertEqual([reason.parameters["cause"] for reason in message.reasons], ["200", "16"])

    def test_wildcard(self) -> None:
        """A Contact of "*" is no address, and stands alone."""
        message = Request("REGISTER", "sip:h", [("m", "*")])
        self.assertTrue(message.contact_is_wildcard)
        self.assertEqual((message.contacts, message.contact), ([], None))
        message.add("Contact", "<sip:a>")
        self.assertFalse(message.contact_is_wildcard)
        self.assertRaises(ParseError, lambda: message.contacts)

    def test_bad_expires(self) -> None:
        """An Expires that is no number counts as missing (RFC 3261, section 10.2.1.1)."""
        self.assertIsNone(Request("A", "sip:h", [("Expires", "soon")]).expires)

    def test_changed(self) -> None:
        """A change of the header field is seen, and a list that was given is the caller's."""
        message = invite()
        message.vias.clear()
        self.assertEqual(len(message.vias), 1)
        message.prepend("Via", Via("TCP", "10.0.0.9", None))
        self.assertEqual((message.via.transport, len(message.vias)), ("TCP", 2))
        message.replace("To", "<sip:b>;tag=2")
        self.assertEqual(message.to.tag, "2")
        message.remove("CSeq")
        self.assertRaises(ParseError, lambda: message.cseq)


class RenderTests(SynchronousTestCase):
    """Bytes are those of exactly one message, whatever the values are."""

    def test_bytes(self) -> None:
        """Names are long, values as they are, and Content-Length comes last if it is new."""
        self.assertEqual(
            invite().render(),
            b"INVITE sip:7001@10.0.0.2 SIP/2.0\r\n"
            b"Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK1\r\n"
            b"Max-Forwards: 70\r\n"
            b'From: "A, B" <sip:a@h>;tag=1\r\n'
            b"To: <sip:7001@10.0.0.2>\r\n"
            b"Call-ID: c1\r\n"
            b"CSeq: 1 INVITE\r\n"
            b"Content-Length: 0\r\n\r\n",
        )

    def test_content_length(self) -> None:
        """Content-Length is the body's, once, where the first one stood."""
        message = Response(
            200, headers=[("l", "9"), ("To", "x"), ("Content-Length", "8")], body=b"abc"
        )
        self.assertEqual(
            message.render(), b"SIP/2.0 200 OK\r\nContent-Length: 3\r\nTo: x\r\n\r\nabc"
        )

    def test_injection(self) -> None:
        """A line end or a control character in any part is refused, not printed."""
        for value in ("a\r\nVia: x", "a\nb", "a\rb", "a\0b", "\x0b", "a\x7f", "\ud800"):
            with self.subTest(value):
                self.assertRaises(InvalidHeader, Request("A", "sip:h", [("To", value)]).render)
                self.assertRaises(InvalidHeader, Request("A", "sip:h", [("X-" + value, "")]).render)
                self.assertRaises(InvalidHeader, Request("A" + value, "sip:h").render)
                self.assertRaises(InvalidHeader, Response(200, value).render)
        for name in ("", "a b", "a:b", "\u00e9"):
            self.assertRaises(InvalidHeader, Request("A", "sip:h", [(name, "")]).render)
        for status in (99, 700):
            self.assertRaises(InvalidHeader, Response(status).render)
        self.assertRaises(ParseError, Request, "A", "sip:h SIP/2.0\r\nX: y")

    @given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=12)), max_size=4))
    def test_any_headers(self, pairs: list[tuple[str, str]]) -> None:
        """Whatever is put in comes out as the same header fields, or nothing comes out."""
        message = invite()
        for name, value in pairs:
            message.add(name, value)
        try:
            data = message.render()
        except InvalidHeader:
            return
        head = data.partition(b"\r\n\r\n")[0].decode().split("\r\n")
        added = [f"{name}: {value}" for name, value in message.headers if name != "Content-Length"]
        self.assertEqual(
            [line for line in head[1:] if not line.startswith("Content-Length:")], added
        )

    @given(strategies.messages)
    def test_round_trip(self, message: Message) -> None:
        """A message that is printed reads as itself."""
        again = parse_datagram(message.render())
        self.assertEqual(again.start_line, message.start_line)
        self.assertEqual(again.headers[:-1], message.headers)
        self.assertEqual(again.headers[-1], ("Content-Length", str(len(message.body))))
        self.assertEqual(again.body, message.body)
        self.assertEqual((again.from_, again.to), (message.from_, message.to))
        self.assertEqual((again.vias, again.contacts), (message.vias, message.contacts))


class ResponseTests(SynchronousTestCase):
    """Responses are built from their request by RFC 3261, section 8.2.6."""

    def test_copies(self) -> None:
        """Via, From, To, Call-ID and CSeq are copied byte by byte; To gets its tag."""
        request = invite()
        request.prepend("Via", "SIP/2.0/TCP  p.example ;branch=z9hG4bK0")
        response = request.response(180, headers=[("Allow-Events", "talk, hold")], to_tag="t9")
        self.assertEqual((response.status, response.reason), (180, "Ringing"))
        self.assertEqual(response.get_rows("Via"), request.get_rows("Via"))
        for name in ("From", "Call-ID", "CSeq"):
            self.assertEqual(response.get(name), request.get(name))
        self.assertEqual(response.get("To"), "<sip:7001@10.0.0.2>;tag=t9")
        self.assertEqual(response.get("Allow-Events"), "talk, hold")
        self.assertEqual(response.to.tag, "t9")

    def test_tag_kept(self) -> None:
        """A To that has a tag keeps it."""
        request = invite()
        request.replace("To", "sip:b@h;tag=old")
        self.assertEqual(request.response(200, to_tag="new").get("To"), "sip:b@h;tag=old")

    def test_trying(self) -> None:
        """A 100 copies the Timestamp and adds no tag."""
        request = invite()
        request.add("Timestamp", "54")
        trying = request.response(100)
        self.assertEqual((trying.get("Timestamp"), trying.to.tag), ("54", ""))
        self.assertIsNone(request.response(200).get("Timestamp"))

    def test_broken_request(self) -> None:
        """What the request lacks or garbles is left out or copied; nothing is copied twice."""
        request = invite()
        request.remove("Call-ID")
        request.replace("To", '"x <sip:b>', "<sip:c>")
        response = request.response(400, to_tag="t")
        self.assertEqual(response.get_rows("To"), ['"x <sip:b>'])
        self.assertFalse(response.has("Call-ID"))
        request.remove("To")
        self.assertFalse(request.response(400, to_tag="t").has("To"))

    def test_classes(self) -> None:
        """1xx is provisional, 2xx a success; each known status has a reason."""
        self.assertEqual(
            [Response(s).is_provisional for s in (183, 200, 486)], [True, False, False]
        )
        self.assertEqual([Response(s).is_success for s in (183, 202, 300)], [False, True, False])
        self.assertEqual((Response(299).reason, Response(200, "Fine").reason), ("", "Fine"))
        self.assertTrue(all(100 <= status < 700 and phrase for status, phrase in REASONS.items()))
