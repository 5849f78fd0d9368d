"""Tests of b2bua.header_policy."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.header_policy import (
    ATTACHED,
    CARRIED,
    RESPONSE,
    Carried,
    TooManyHops,
    Trust,
    carry,
    is_loop,
    next_max_forwards,
    own_branches,
)
from b2bua.sip.header_names import KNOWN
from b2bua.sip.in_dialog import KNOWN_METHODS
from b2bua.sip.message import Message, Request, Response
from b2bua.sip.parser import parse_datagram
from b2bua.sip.uri import Uri, parse_uri

INSIDE = Trust(source=True, target=True)
OUTWARDS = Trust(source=True, target=False)
INWARDS = Trust(source=False, target=True)

SAMPLES = {
    "P-Asserted-Identity": "<sip:a@example.com>",
    "Privacy": "none",
    "User-to-User": "56a390f3d2b7310023a2;encoding=hex",
    "Reason": 'SIP;cause=200;text="Call completed elsewhere"',
    "P-Early-Media": "sendonly",
    "Diversion": "<sip:x@example.com>;reason=unconditional",
    "History-Info": "<sip:y@example.com>;index=1",
}


def message(kind: str, *headers: tuple[str, str]) -> Message:
    """Make a request of this method, or a response."""
    if kind == RESPONSE:
        return Response(180, headers=headers)
    return Request(kind, "sip:b@example.com", headers)


class CarryTests(SynchronousTestCase):
    """What goes on from one leg to the other."""

    def test_each_message(self) -> None:
        """Each header field of the table goes on in its messages and in no others."""
        expected = {
            "INVITE": {*SAMPLES} - {"Reason"},
            "UPDATE": {"P-Asserted-Identity", "Privacy", "P-Early-Media"},
            "BYE": {"User-to-User", "Reason"},
            "CANCEL": {"Reason"},
            RESPONSE: {*SAMPLES} - {"Reason", "Diversion"},
        }
        self.assertEqual(set(SAMPLES), set(CARRIED))
        for kind in {*KNOWN_METHODS, RESPONSE}:
            carried = carry(message(kind, *SAMPLES.items()), INSIDE)
            self.assertEqual({name for name, _ in carried.headers}, expected.get(kind, set()))
            self.assertEqual(carried.unreadable, ())
            for name, value in carried.headers:
                self.assertEqual(value, SAMPLES[name])

    def test_everything_else_is_new(self) -> None:
        """No other header field goes on, known or not, whatever its value."""
        others = [(name, "x") for name in KNOWN - set(CARRIED)] + [("X-Other", "x")]
        for kind in {*KNOWN_METHODS, RESPONSE}:
            self.assertEqual(carry(message(kind, *others), INSIDE), Carried())

    def test_lists(self) -> None:
        """Elements keep their order, whether in one row or in several."""
        invite = message(
            "INVITE",
            ("History-Info", "<sip:a@example.com>;index=1, <sip:b@example.com?Reason=x%2Cy>"),
            ("history-info", "<sip:c@example.com>;index=2"),
            ("User-to-User", 'aa;encoding=hex,"b,c"'),
        )
        self.assertEqual(
            carry(invite, INSIDE).headers,
            (
                ("User-to-User", "aa;encoding=hex"),
                ("User-to-User", '"b,c"'),
                ("History-Info", "<sip:a@example.com>;index=1"),
                ("History-Info", "<sip:b@example.com?Reason=x%2Cy>"),
                ("History-Info", "<sip:c@example.com>;index=2"),
            ),
        )

    def test_unreadable(self) -> None:
        """What cannot be read is left out whole and told; the rest goes on."""
        broken = {
            "P-Asserted-Identity": "<sip:a@example.com>, <",
            "Privacy": "id;;",
            "User-to-User": '"open',
            "P-Early-Media": "send only",
            "Diversion": "<sip:x@example.com>;reason=a;reason=b",
            "History-Info": ",",
        }
        for name, value in broken.items():
            others = {other: SAMPLES[other] for other in broken if other != name}
            carried = carry(message("INVITE", (name, value), *others.items()), INSIDE)
            self.assertEqual(carried.unreadable, (name,))
            self.assertEqual({name for name, _ in carried.headers}, set(others))
        self.assertEqual(carry(message("BYE", ("Reason", "")), INSIDE).unreadable, ("Reason",))

    def test_no_injection(self) -> None:
        """What was carried comes out of a parser as the same header fields."""
        invite = message("INVITE", *SAMPLES.items(), ("X-genesys-a", "x%0d%0aVia: y"))
        carried = carry(invite, INSIDE)
        self.assertEqual(carried.unreadable, ("control",))
        needed = [
            ("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1"),
            ("From", "<sip:a@example.com>;tag=1"),
            ("To", "<sip:b@example.com>"),
            ("Call-ID", "1"),
            ("CSeq", "1 INVITE"),
        ]
        sent = Request("INVITE", "sip:b@example.com", [*needed, *carried.headers])
        received = parse_datagram(sent.render())
        self.assertEqual(tuple(received.headers[5:-1]), carried.headers)


class TrustTests(SynchronousTestCase):
    """Identity, privacy and the trust domain (RFC 3325, RFC 3323)."""

    def names(self, trust: Trust, *headers: tuple[str, str]) -> list[str]:
        """Return the names of what goes on from an INVITE."""
        return [name for name, _ in carry(message("INVITE", *headers), trust).headers]

    def test_asserted_identity(self) -> None:
        """Only a trusted peer asserts; outside it is shown unless privacy is asked for."""
        identity = ("P-Asserted-Identity", "<sip:a@example.com>")
        for trust, privacy, passes in (
            (INSIDE, None, True),
            (INSIDE, "id", True),
            (INWARDS, None, False),
            (INWARDS, "none", False),
            (OUTWARDS, None, True),
            (OUTWARDS, "id", False),
            (OUTWARDS, "None", True),
            (OUTWARDS, "none;id", False),
            (OUTWARDS, "no privacy", False),
            (Trust(), "none", False),
        ):
            headers = [identity] + ([("Privacy", privacy)] if privacy else [])
            found = self.names(trust, *headers)
            self.assertEqual("P-Asserted-Identity" in found, passes, (trust, privacy))

    def test_history(self) -> None:
        """History leaves the domain unless somebody asked for privacy."""
        history = ("History-Info", "<sip:y@example.com>;index=1")
        for privacy, passes in (
            ("none", True),
            ("id", True),
            ("history", False),
            ("header;id", False),
            ("Session", False),
            ("not readable", False),
        ):
            found = self.names(OUTWARDS, history, ("Privacy", privacy))
            self.assertEqual("History-Info" in found, passes, privacy)
            self.assertIn("History-Info", self.names(INSIDE, history, ("Privacy", privacy)))

    def test_diversion(self) -> None:
        """Each one who diverted has a privacy of their own."""
        listed = '<sip:a@example.com>;privacy=full, <sip:b@example.com>;privacy="OFF"'
        carried = carry(message("INVITE", ("Diversion", listed)), OUTWARDS)
        expected = ("Diversion", '<sip:b@example.com>;privacy="OFF"')
        self.assertEqual(carried.headers, (expected,))
        self.assertEqual(self.names(INSIDE, ("Diversion", listed)), ["Diversion"] * 2)


class AttachedTests(SynchronousTestCase):
    """Attached data in header fields."""

    def test_rebuilt(self) -> None:
        """It goes on in INVITE only, built anew; the call identifier stays on its leg."""
        headers = [("x-genesys-a", "1%2c2"), ("X-Genesys-CallUUID", "4BOK")]
        for kind in {*KNOWN_METHODS, RESPONSE}:
            expected = (("X-genesys-a", "1,2"),) if kind in ATTACHED else ()
            self.assertEqual(carry(message(kind, *headers), INSIDE).headers, expected)

    def test_too_much(self) -> None:
        """Of more than fits into a message, the first go on and the rest are told."""
        headers = [("X-genesys-a", "x" * 1000)] * 6
        carried = carry(message("INVITE", *headers), INSIDE)
        self.assertEqual(carried.headers, tuple(headers[:4]))
        self.assertEqual(carried.unreadable, ("size", "size"))

    def test_growth(self) -> None:
        """Values grow when they are escaped, and it is the escaped ones that have to fit."""
        headers = [("X-genesys-a", "é" * 512), ("X-genesys-b", "\u20ac" * 341)]
        carried = carry(message("INVITE", *headers), INSIDE)
        self.assertEqual([name for name, _ in carried.headers], ["X-genesys-a"])
        self.assertEqual(carried.unreadable, ("size",))


class MaxForwardsTests(SynchronousTestCase):
    """The hops that are left (RFC 7332)."""

    def test_decremented(self) -> None:
        """The other leg gets one less; a request that was never counted starts at 70."""
        for given, expected in (("70", 69), ("255", 254), ("1", 0), (None, 70)):
            headers = [("Max-Forwards", given)] if given else []
            self.assertEqual(next_max_forwards(message_request(*headers)), expected)

    def test_no_hop_left(self) -> None:
        """At 0 it ends with 483, and so does any loop through us."""
        fault = self.assertRaises(
            TooManyHops, next_max_forwards, message_request(("Max-Forwards", "0"))
        )
        self.assertEqual(fault.status, 483)
        hops, rounds = 70, 0
        with self.assertRaises(TooManyHops):
            while True:
                hops = next_max_forwards(message_request(("Max-Forwards", str(hops))))
                rounds += 1
        self.assertEqual(rounds, 70)


def message_request(*headers: tuple[str, str]) -> Request:
    """Make an INVITE."""
    return Request("INVITE", "sip:b@example.com", headers)


class LoopTests(SynchronousTestCase):
    """Calls that come back."""

    VIAS = (
        (
            "Via",
            "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKp, SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa",
        ),
        ("Via", "SIP/2.0/TLS [2001:DB8::1];branch=z9hG4bKb"),
        ("Via", "SIP/2.0/UDP 192.0.2.1:5060;branch=old"),
        ("Via", "SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bKc"),
    )
    OURS = frozenset({"192.0.2.1:5060", "[2001:db8::1]"})

    def test_own_branches(self) -> None:
        """Ours are those Vias with our address, port and a branch such as we make."""
        branches = own_branches(message_request(*self.VIAS), self.OURS)
        self.assertEqual(branches, ("z9hG4bKa", "z9hG4bKb"))
        self.assertEqual(own_branches(message_request(), self.OURS), ())

    def test_loop(self) -> None:
        """It is a loop if a request for the same had led to the one that came back."""
        origins: dict[str, Uri] = {"z9hG4bKb": parse_uri("sip:b@EXAMPLE.com")}
        request = message_request(*self.VIAS)
        self.assertTrue(is_loop(request, self.OURS, origins.get))
        self.assertFalse(is_loop(request, {"192.0.2.1:5060"}, origins.get))

    def test_spiral(self) -> None:
        """A call of one of our users to another comes back through a proxy and goes on."""
        request = message_request(*self.VIAS)
        elsewhere = {"z9hG4bKa": parse_uri("sip:c@example.com")}
        self.assertFalse(is_loop(request, self.OURS, elsewhere.get))
        self.assertFalse(is_loop(request, self.OURS, {}.get))
