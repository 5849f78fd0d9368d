"""How calls reach phones: by the numbers they registered, over the way that they named."""

from __future__ import annotations

from b2bua.call_events import DnRegistered
from b2bua.dial_numbers import parse_dial_numbers
from b2bua.parties import number_of
from b2bua.sip.usage_events import Invited
from tests.b2bua.network import OURS, PHONE, SERVER_A, Ended, Established, Peer, sdp
from tests.b2bua.test_calls import CallCase


class NumberTests(CallCase):
    """DNs as sip-register has them, through REGISTER and calls."""

    def setUp(self) -> None:
        self.phones: dict[str, Peer] = {}
        self.build(registered=parse_dial_numbers("+4930*,003000-003009,1001"))

    def sign_in(self, *numbers: str) -> None:
        """Register a phone for each of these numbers."""
        for at, number in enumerate(numbers, 20):
            phone = Peer(self.network, number, f"198.51.100.{at}", None)
            self.network.peers[phone.hop.host] = phone
            self.phones[number] = phone
            self.assertEqual(phone.register(number).status, 200, number)
        self.network.advance(2)

    def registered(self) -> set[str]:
        """The numbers that the server was asked to register."""
        return {number_of(request.to.uri) for request in self.a.seen("REGISTER")}

    def test_plus_and_leading_zeros(self) -> None:
        """+4930* and 003000-003009 are taken as they stand, and nothing that only looks alike."""
        self.sign_in("+493012", "003005", "3005", "493012")
        self.assertEqual(self.registered(), {"+493012", "003005", "1001"})
        self.assertEqual({event.dn for event in self.network.told(DnRegistered)}, self.registered())

    def test_calls_for_them(self) -> None:
        """A call for such a number reaches the phone, however its plus sign is written."""
        self.sign_in("+493012", "003005")
        for called in ("+493012", "%2B493012", "003005"):
            phone = self.phones[called.replace("%2B", "+")]
            before = len(phone.seen("INVITE"))
            usage = self.a.call(called, sdp())
            self.assertEqual(len(phone.seen("INVITE")), before + 1, called)
            usage.cancel(self.now)
            self.settle()
        self.a.call("3005", sdp())
        self.assertEqual(self.final(self.a), 404)

    def test_calls_from_them(self) -> None:
        """The server sees the number as the phone has it."""
        self.sign_in("+493012")
        self.phones["+493012"].call("+15551234", sdp(PHONE, 5000), caller="+493012")
        invite = self.a.last(Invited).request
        self.assertIn("sip:+493012@", str(invite.from_))
        self.assertEqual(str(invite.uri), f"sip:+15551234@{SERVER_A}")


class WayTests(CallCase):
    """Proxies before a phone (RFC 3327)."""

    def test_path(self) -> None:
        """The Path of a registration is the Route of calls for it, in its order."""
        path = ("Path", "<sip:203.0.113.1;lr>, <sip:203.0.113.2;lr>")
        answer = self.phone.register("1001", headers=(path, ("Supported", "path")))
        self.assertEqual(answer.status, 200)
        self.a.call("1001", sdp())
        invite = self.phone.last(Invited).request
        routes = [str(route) for route in invite.route]
        self.assertEqual(routes, ["<sip:203.0.113.1;lr>", "<sip:203.0.113.2;lr>"])
        self.assertEqual(str(invite.uri), f"sip:1001@{PHONE}:5060")

    def test_flow(self) -> None:
        """The call goes where the REGISTER came from, whatever the Contact names."""
        contact = ("Contact", "<sip:1001@10.9.9.9:5099>")
        self.phone.ask("REGISTER", f"sip:{OURS}:5066", (contact, ("Expires", "3600")))
        self.a.call("1001", sdp())
        uris = {str(request.uri) for request in self.phone.seen("INVITE")}
        self.assertIn("sip:1001@10.9.9.9:5099", uris)


class ForkTests(CallCase):
    """Several phones of one DN."""

    def setUp(self) -> None:
        super().setUp()
        self.desk = Peer(self.network, "1001", "198.51.100.8", None)
        self.network.peers[self.desk.hop.host] = self.desk
        self.assertEqual(self.desk.register("1001").status, 200)

    def test_both_answer(self) -> None:
        """Of two 200s at once the first has the call; the other has its ACK and a BYE."""
        usage = self.a.call("1001", sdp())
        self.phone.called.answer(self.now, sdp(PHONE, 5000))
        self.desk.called.answer(self.now, sdp("198.51.100.8", 6000))
        self.settle()
        self.network.advance(1)
        self.assertEqual(len(self.network.core.calls), 1)
        up = [peer for peer in (self.phone, self.desk) if not peer.has(Ended)]
        self.assertEqual(len(up), 1)
        self.assertTrue(self.a.has(Established))
        usage.bye(self.now)
        self.settle()
        self.assert_clean()

    def test_both_play_early_media(self) -> None:
        """While several ring, nobody's early media is passed on, and the answer is the winner's."""
        usage = self.a.call("1001", sdp())
        self.phone.called.ring(183, self.now, sdp(PHONE, 5000))
        self.desk.called.ring(183, self.now, sdp("198.51.100.8", 6000))
        self.settle()
        self.assertEqual(self.last_to(SERVER_A, "183 INVITE").body, b"")
        self.desk.called.answer(self.now, sdp("198.51.100.8", 6000))
        self.settle()
        remotes = {terms.remote for terms in self.network.plane.terms.values()}
        self.assertIn(("198.51.100.8", 6000), remotes)
        usage.bye(self.now)
        self.settle()
        self.assert_clean()

    def test_declined_everywhere(self) -> None:
        """603 of one phone stops the others: its user has declined wherever they are."""
        self.a.call("1001", sdp())
        for phone in (self.phone, self.desk):
            phone.called.ring(180, self.now)
        self.settle()
        self.desk.called.reject(603, self.now)
        self.settle()
        self.assertEqual(self.final(self.a), 603)
        self.assertTrue(self.phone.has(Ended))
        self.assert_clean()
