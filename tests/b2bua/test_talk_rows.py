"""NOTIFY talk and hold on the wire, in each state that a leg to a server can be in."""

from __future__ import annotations

from b2bua.sip.message import Request
from b2bua.sip.parser import parse_datagram
from b2bua.sip.usage_events import Invited
from tests.b2bua.network import OURS, PHONE, SERVER_A, Peer, described, sdp
from tests.b2bua.test_server_dialogs import WireCase


class RowTests(WireCase):
    """One test for each row that needs a call; the whole table is tested by itself."""

    def status(self, event: str, sequence: int) -> int:
        """Send a NOTIFY in the server's call; give the status."""
        headers = (("Event", event), ("Subscription-State", "active"))
        answer = self.wire.within("NOTIFY", sequence, headers=headers)
        return answer.status if answer else 0

    def within_ours(self, invite: Request, event: str, tag: str, sequence: int) -> int:
        """Send a NOTIFY in the dialog of a call of ours; give the status."""
        lines = [
            f"NOTIFY {invite.contact.uri if invite.contact else ''} SIP/2.0",
            f"Via: SIP/2.0/UDP {SERVER_A};branch=z9hG4bKn{sequence}",
            "Max-Forwards: 70",
            # As such servers write it: without brackets, so the tag belongs to the field.
            f"From: sip:5555@{SERVER_A};tag={tag}",
            f"To: {invite.get('From')}",
            f"Call-ID: {invite.call_id}",
            f"CSeq: {sequence} NOTIFY",
            f"Event: {event}",
            "Subscription-State: active",
            "Content-Length: 0",
        ]
        self.wire.send(parse_datagram("\r\n".join([*lines, "", ""]).encode()))
        found = [m for m in self.wire.answers("NOTIFY") if m.cseq.number == sequence]
        return found[-1].status if found else 0

    def test_our_call_rings(self) -> None:
        """In a call of ours that rings both are 200 and do nothing."""
        invite = self.placed()
        self.wire.respond(invite, 180, "one")
        before = len(self.wire.asked("INVITE"))
        for sequence, event in enumerate(("talk", "hold"), 1):
            self.assertEqual(self.within_ours(invite, event, "one", sequence), 200)
        self.network.advance(1)
        self.assertEqual(len(self.wire.asked("INVITE")), before)
        self.assertEqual(self.within_ours(invite, "talk", "nobody", 3), 481)

    def test_our_call_is_held(self) -> None:
        """Who has called makes no difference once the call is up."""
        invite = self.placed()
        self.wire.respond(invite, 200, "one", sdp())
        self.assertEqual(self.within_ours(invite, "hold", "one", 1), 200)
        offer = described(self.wire.asked("INVITE")[-1])
        self.assertEqual(str(offer.direction_of(offer.media[0])), "sendonly")

    def test_hold_while_ringing(self) -> None:
        """A call that rings cannot be held: 200, and no effect, not even later."""
        self.wire.invite(sdp())
        self.phone.called.ring(180, self.now)
        self.settle()
        self.assertEqual(self.status("hold", 2), 200)
        self.phone.called.answer(self.now, sdp(PHONE, 5000))
        self.settle()
        self.wire.acknowledge()
        self.assertEqual(self.wire.asked("INVITE"), [])

    def test_hold_before_ack(self) -> None:
        """A hold that comes before the ACK is carried out after it."""
        self.wire.invite(sdp())
        self.phone.called.answer(self.now, sdp(PHONE, 5000))
        self.settle()
        self.assertEqual(self.status("hold", 2), 200)
        self.assertEqual(self.wire.asked("INVITE"), [])
        self.wire.acknowledge()
        offer = described(self.wire.asked("INVITE")[-1])
        self.assertEqual(str(offer.direction_of(offer.media[0])), "sendonly")

    def test_hold_while_they_hold(self) -> None:
        """On top of the server's own hold it is inactive."""
        self.up()
        self.wire.within("INVITE", 2, sdp(direction="sendonly", version=2))
        self.wire.acknowledge(2)
        self.assertEqual(self.status("hold", 3), 200)
        offer = described(self.wire.asked("INVITE")[-1])
        self.assertEqual(str(offer.direction_of(offer.media[0])), "inactive")

    def test_last_intent_counts(self) -> None:
        """Hold and talk while a re-INVITE is open: only the last is carried out."""
        self.up()
        self.assertEqual(self.status("hold", 2), 200)
        ours = self.wire.asked("INVITE")[-1]
        for sequence, event in enumerate(("talk", "hold", "talk"), 3):
            self.assertEqual(self.status(event, sequence), 200)
        self.wire.respond(ours, 200, "theirs", sdp(direction="recvonly", version=2))
        offers = [described(invite) for invite in self.wire.asked("INVITE")]
        directions = [str(offer.direction_of(offer.media[0])) for offer in offers]
        self.assertEqual(directions, ["sendonly", "sendrecv"])

    def test_glare(self) -> None:
        """491 to our hold: it is sent again after a while, with a number of its own."""
        self.up()
        self.status("hold", 2)
        first = self.wire.asked("INVITE")[-1]
        self.wire.respond(first, 491, "theirs")
        self.network.advance(4.1)
        again = self.wire.asked("INVITE")[-1]
        self.assertGreater(again.cseq.number, first.cseq.number)
        self.assertEqual(again.body, first.body)

    def test_call_that_ends(self) -> None:
        """Once the call is over it is 481."""
        self.up()
        self.phone.called.bye(self.now)
        self.settle()
        self.assertEqual(self.status("talk", 2), 481)


class LoopTests(WireCase):
    """A call that comes back."""

    def test_same_call(self) -> None:
        """Our own INVITE, sent back for the same number, is 482."""
        invite = self.placed()
        back = Request("INVITE", f"sip:5555@{OURS}:5066", invite.headers, invite.body)
        back.replace("Max-Forwards", str(int(invite.get("Max-Forwards") or 0) - 1))
        back.prepend("Via", f"SIP/2.0/UDP {SERVER_A};branch=z9hG4bKproxy")
        self.wire.send(back)
        self.assertEqual(self.wire.answers("INVITE")[-1].status, 482)
        self.assertEqual(len(self.network.core.calls), 1)

    def test_call_between_two_phones(self) -> None:
        """What a phone calls comes back for another phone of ours, by the same URI: no loop."""
        other = Peer(self.network, "1002", "198.51.100.8", None)
        self.network.peers[other.hop.host] = other
        self.assertEqual(other.register("1002").status, 200)
        self.phone.call("1002", sdp(PHONE, 5000), caller="1001")
        invite = self.wire.asked("INVITE")[-1]
        back = Request("INVITE", f"sip:1002@{OURS}:5066", invite.headers, invite.body)
        back.prepend("Via", f"SIP/2.0/UDP {SERVER_A};branch=z9hG4bKproxy")
        self.wire.send(back)
        self.assertTrue(other.has(Invited))

    def test_last_hop(self) -> None:
        """Every turn costs one of Max-Forwards, and the last is 483."""
        first = self.wire.request("INVITE", body=sdp())
        first.replace("Max-Forwards", "1")
        self.wire.send(first)
        onward = self.last_to(PHONE, "INVITE")
        assert isinstance(onward, Request)
        self.assertEqual(onward.max_forwards, 0)
        last = self.wire.request("INVITE", call_id="other", body=sdp())
        last.replace("Max-Forwards", "0")
        self.wire.send(last)
        self.assertEqual(self.wire.answers("INVITE")[-1].status, 483)
