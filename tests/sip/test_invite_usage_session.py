"""Tests of b2bua.sip.session, session_timer, glare and in_dialog: what happens inside a call."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.glare import backoff
from b2bua.sip.headers import parse_name_addr
from b2bua.sip.in_turn import MOST
from b2bua.sip.invite_usage import InviteUsage
from b2bua.sip.message import Message, Request, Response
from b2bua.sip.transaction import OutOfPlace
from b2bua.sip.usage_events import (
    AnswerReceived,
    Cause,
    Ended,
    InDialogRequest,
    ModificationFailed,
    NotOffered,
    OfferReceived,
    Profile,
    RequestAnswered,
)
from b2bua.sip.usage_states import UsageState
from tests.sip.usages import ANSWER, OFFER, Wire, accept_all

NEW = b"v=0 new"
QUIET = Profile(session_expires=0)


def last(wire: Wire, method: str) -> Message:
    """The latest request of a method."""
    return [m for m in wire.messages if isinstance(m, Request) and m.method == method][-1]


def ask(wire: Wire, usage: InviteUsage, method: str, *headers: tuple[str, str]) -> list[str]:
    """Have a usage send any request inside its dialog; give what went over the wire."""
    (session,) = usage.sessions()
    request = session.dialog.request(method, headers)
    usage.ask(session, request, lambda *of: None, wire.now)
    return wire.run()


class ModificationTests(SynchronousTestCase):
    """Re-INVITE and UPDATE (RFC 3261, section 14; RFC 3311; RFC 6141)."""

    def test_both_ways(self) -> None:
        """Either side changes the session by re-INVITE; the sequence numbers are its own."""
        wire = Wire()
        alice, bob = wire.call()
        wire.looked()
        for usage, asked, side in ((alice, bob, wire.alice), (bob, alice, wire.bob)):
            usage.modify(lambda: NEW, 0)
            wire.run()
            asked.accept(ANSWER, 0)
            wire.run()
            self.assertEqual(side.told(), ["AnswerReceived", "Modified"])
            self.assertEqual(wire.other(side).told(), ["OfferReceived", "Modified"])

    def test_offer_that_cannot_be_made(self) -> None:
        """It is a change that failed: nothing is sent, and the next change goes out."""

        def none() -> bytes:
            raise NotOffered(500)

        wire = Wire()
        alice, _ = wire.call()
        wire.looked()
        alice.modify(none, 0)
        self.assertEqual(wire.run(), [])
        failed = wire.alice.last(ModificationFailed)
        self.assertEqual((failed.status, failed.is_ours), (500, True))
        alice.modify(lambda: NEW, 0)
        wire.run()
        self.assertEqual(wire.bob.last(OfferReceived).message.body, NEW)

    def test_offer_that_cannot_be_made_again(self) -> None:
        """Nor is one sent again after glare that can be made no more."""
        offers = iter([NEW])

        def once() -> bytes:
            for offer in offers:
                return offer
            raise NotOffered(488)

        wire = Wire()
        alice, bob = wire.call()
        alice.modify(once, 0)
        bob.modify(lambda: NEW, 0)
        wire.run()
        accept_all(wire)
        wire.wait(5, hold=True)
        self.assertEqual(wire.alice.last(ModificationFailed).status, 488)

    def test_offerless(self) -> None:
        """A re-INVITE without offer asks for one; the ACK brings the answer."""
        wire = Wire()
        alice, bob = wire.call()
        alice.modify(None, 0)
        wire.run()
        self.assertEqual(wire.bob.told(), ["OfferRequested"])
        bob.accept(NEW, 0)
        wire.run()
        self.assertEqual(wire.alice.last(OfferReceived).message.body, NEW)
        alice.accept(ANSWER, 0)
        wire.run()
        self.assertEqual(wire.bob.told(), ["AnswerReceived", "Modified"])

    def test_refused(self) -> None:
        """A refused change leaves session and target as they were, and another may follow."""
        wire = Wire()
        alice, bob = wire.call()
        (session,) = bob.sessions()
        target = session.dialog.remote_target
        wire.alice.agent.contact = lambda hop: parse_name_addr("<sip:a@moved.example.com>")
        alice.modify(lambda: NEW, 0)
        wire.run()
        bob.refuse(488, 0)
        wire.run()
        self.assertEqual(wire.alice.last(ModificationFailed).status, 488)
        self.assertEqual(session.dialog.remote_target, target)
        self.assertEqual(alice.state, UsageState.ESTABLISHED)
        alice.modify(lambda: NEW, 0)
        wire.run()
        bob.accept(ANSWER, 0)
        wire.run()
        self.assertEqual(str(session.dialog.remote_target), "sip:a@moved.example.com")

    def test_glare(self) -> None:
        """Of two that cross each gets 491; both wait by whose call it is, and both come through."""
        wire = Wire()
        alice, bob = wire.call()
        wire.looked()
        alice.modify(lambda: NEW, 0)
        bob.modify(lambda: NEW, 0)
        trace = wire.run()
        self.assertEqual(sorted(t for t in trace if "491" in t), ["a 491 INVITE", "b 491 INVITE"])
        self.assertEqual(wire.wait(0.1)[:1], ["b INVITE"])
        accept_all(wire)
        wire.wait(3)
        accept_all(wire)
        self.assertEqual(alice.sessions()[0].description, NEW)
        self.assertEqual(bob.sessions()[0].description, ANSWER)

    def test_backoff(self) -> None:
        """The owner of the Call-ID waits 2.1 to 4 s, the other up to 2 s."""
        owner = [backoff(lambda n, r=r: r % n, owns_call_id=True) for r in range(400)]  # type: ignore[misc]
        other = [backoff(lambda n, r=r: r % n, owns_call_id=False) for r in range(400)]  # type: ignore[misc]
        self.assertEqual((min(owner), max(owner)), (2.1, 4.0))
        self.assertEqual((min(other), max(other)), (0.0, 2.0))

    def test_glare_for_ever(self) -> None:
        """Where each try crosses, the owner of the change hears it in the end."""
        wire = Wire()
        alice, bob = wire.call()
        bob.modify(lambda: NEW, 0)
        for _ in range(6):
            self.assertNotIn("ModificationFailed", wire.bob.told())
            wire.run()
            alice.refuse(491, wire.now)
            wire.wait(2.1)
        self.assertEqual(wire.bob.last(ModificationFailed).status, 491)
        self.assertEqual(wire.wait(10), [])

    def test_overlapping(self) -> None:
        """A second re-INVITE while the first has no answer gets 500 with Retry-After."""
        wire = Wire()
        alice, _ = wire.call()
        alice.modify(lambda: NEW, 0)
        wire.run()
        self.assertIn("b 500 INVITE", ask(wire, alice, "INVITE"))
        refusal = [m for m in wire.messages if isinstance(m, Response) and m.status == 500][-1]
        self.assertIsNotNone(refusal.retry_after)

    def test_queued(self) -> None:
        """What is wanted while the peer is at it waits, and is made when it is sent."""
        wire = Wire()
        alice, bob = wire.call()
        wire.looked()
        bob.modify(lambda: OFFER, 0)
        wire.run()
        made: list[bytes] = []
        alice.modify(lambda: made.append(NEW) or NEW, 0)  # type: ignore[func-returns-value]
        self.assertEqual((wire.looked(), made), ([], []))
        alice.accept(ANSWER, 0)
        self.assertIn("a INVITE", wire.run())
        self.assertEqual(made, [NEW])

    def test_lost_ack(self) -> None:
        """The 2xx to a re-INVITE is repeated too, and without its ACK the session ends."""
        wire = Wire()
        alice, bob = wire.call()
        wire.looked()
        alice.modify(lambda: NEW, 0)
        wire.run()
        wire.loses = lambda text: text == "a ACK"
        bob.accept(ANSWER, 0)
        trace = wire.wait(33)
        self.assertEqual(trace.count("b 200 INVITE"), 11)
        self.assertIn("b BYE", trace)
        self.assertEqual(wire.bob.last(Ended).cause, Cause.NO_ACK)

    def test_reinvite_overtakes_ack(self) -> None:
        """A re-INVITE before the ACK of the first INVITE is taken (RFC 5407, section 3.1.4)."""
        wire = Wire()
        alice = wire.invite()
        bob = wire.invited()
        bob.answer(0, ANSWER)
        wire.loses = lambda text: text == "a ACK"
        wire.run()
        alice.modify(lambda: NEW, 0)
        wire.run()
        self.assertEqual(wire.bob.told(), ["Invited", "Established", "OfferReceived"])
        bob.accept(ANSWER, 0)
        wire.loses = lambda text: False
        wire.run()
        self.assertEqual(wire.alice.told()[-2:], ["AnswerReceived", "Modified"])

    def test_cancelled_reinvite(self) -> None:
        """A re-INVITE that is cancelled gets 487, and the session stands."""
        wire = Wire()
        alice, bob = wire.call()
        alice.modify(lambda: NEW, 0)
        wire.run()
        wire.wait(0.3)
        (transaction,) = [t for t in alice._asked if t.request.method == "INVITE"]
        wire.alice.table.cancel(transaction, wire.now)  # type: ignore[arg-type]
        wire.run()
        self.assertEqual(wire.alice.last(ModificationFailed).status, 487)
        self.assertEqual(wire.bob.last(ModificationFailed).status, 487)
        self.assertEqual(bob.state, UsageState.ESTABLISHED)

    def test_open_for_ever(self) -> None:
        """A re-INVITE whose final response was lost is cancelled, and then the session ended."""
        wire = Wire(QUIET, QUIET)
        alice, bob = wire.call()
        alice.modify(lambda: NEW, 0)
        wire.run()
        wire.wait(0.3)
        wire.loses = lambda text: text.startswith("b ")
        bob.refuse(488, wire.now)
        wire.wait(40)
        wire.loses = lambda text: False
        self.assertIn("a CANCEL", wire.wait(150))
        wire.wait(33)
        self.assertEqual(wire.alice.last(Ended).cause, Cause.SILENT)
        self.assertEqual(wire.bob.last(Ended).cause, Cause.REMOTE)

    def test_early_update(self) -> None:
        """Before the 2xx a change goes by UPDATE, once offer and answer are through."""
        wire = Wire()
        alice = wire.invite()
        bob = wire.invited()
        bob.modify(lambda: NEW, 0)
        self.assertEqual(wire.looked(), [])
        bob.ring(183, 0, ANSWER, reliable=True)
        trace = wire.run()
        self.assertIn("b UPDATE", trace)
        alice.accept(ANSWER, 0, alice.sessions()[0].dialog)
        wire.run()
        bob.answer(0)
        wire.run()
        told = ["Invited", "AnswerReceived", "Modified", "Established"]
        self.assertEqual(wire.bob.told(), told)

    def test_unknown_or_silent(self) -> None:
        """481 and silence inside the dialog end the session."""
        for status, cause in ((481, Cause.GONE), (0, Cause.SILENT)):
            wire = Wire()
            alice, bob = wire.call()
            if status:
                wire.bob.agent.remove_dialog(bob.dialog)
            else:
                wire.loses = lambda text: text.startswith("a INFO")
            alice.info([("Content-Type", "text/plain")], b"x", 0)
            wire.wait(33)
            self.assertEqual(wire.alice.last(Ended).cause, cause)
            self.assertEqual(wire.alice.last(RequestAnswered).status, status or 408)


class InDialogTests(SynchronousTestCase):
    """Requests that change nothing."""

    def test_answered_here(self) -> None:
        """Each method has its answer, and none ends the call."""
        wire = Wire(bob=Profile(allow_events=("talk", "hold")))
        alice, bob = wire.call()
        expected = {
            "OPTIONS": 200,
            "REFER": 603,
            "SUBSCRIBE": 489,
            "NOTIFY": 489,
            "MESSAGE": 405,
            "PUBLISH": 405,
            "FROB": 501,
            "PRACK": 481,
        }
        for method, status in expected.items():
            self.assertIn(f"b {status} {method}", ask(wire, alice, method), method)
        self.assertEqual(wire.bob.told(), [])
        self.assertEqual(bob.state, UsageState.ESTABLISHED)
        options = [m for m in wire.messages if label_is(m, 200, "OPTIONS")][-1]
        self.assertEqual(options.get("Allow-Events"), "talk, hold")
        self.assertIn("INVITE", options.get("Allow") or "")

    def test_handed_up(self) -> None:
        """NOTIFY talk, in the early dialog too, and INFO are for whoever runs the call."""
        wire = Wire(bob=Profile(allow_events=("talk",)))
        alice = wire.invite()
        bob = wire.invited()
        bob.ring(180, 0)
        wire.run()
        self.assertIn("b 481 NOTIFY", wire_notify_elsewhere(wire))
        (session,) = alice.sessions()
        notify = session.dialog.request("NOTIFY", [("Event", "talk")])
        alice.ask(session, notify, lambda *of: None, 0)
        wire.run()
        event = wire.bob.last(InDialogRequest)
        bob.respond(event.transaction, 200, 0)
        bob.answer(0, ANSWER)
        self.assertEqual(wire.run()[:2], ["b 200 NOTIFY", "b 200 INVITE"])
        alice.info([("Content-Type", "application/x-www-form-urlencoded")], b"a=1", 0)
        wire.run()
        self.assertEqual(wire.bob.last(InDialogRequest).transaction.request.body, b"a=1")
        self.assertIn("b 469 INFO", ask(wire, alice, "INFO", ("Info-Package", "none")))

    def test_lower_number(self) -> None:
        """A request with a number that has been is refused with 500."""
        wire = Wire()
        alice, _ = wire.call()
        alice.sessions()[0].dialog.local_sequence = 0
        self.assertIn("b 500 OPTIONS", ask(wire, alice, "OPTIONS"))

    def test_garbled(self) -> None:
        """A header field that cannot be read gets 400, and changes nothing."""
        wire = Wire()
        alice, bob = wire.call()
        self.assertIn("b 400 UPDATE", ask(wire, alice, "UPDATE", ("Session-Expires", "soon")))
        self.assertEqual(bob.state, UsageState.ESTABLISHED)


def label_is(message: Message, status: int, method: str) -> bool:
    return (
        isinstance(message, Response) and message.status == status and message.cseq.method == method
    )


def wire_notify_elsewhere(wire: Wire) -> list[str]:
    """A NOTIFY in a dialog that is not there."""
    stray = Request(
        "NOTIFY",
        "sip:b@b.example.com",
        [
            ("Via", "SIP/2.0/UDP a.example.com:5060;branch=z9hG4bKstray"),
            ("Max-Forwards", 70),
            ("From", "<sip:a@a.example.com>;tag=nobody"),
            ("To", "<sip:b@b.example.com>;tag=nowhere"),
            ("Call-ID", "none"),
            ("CSeq", "1 NOTIFY"),
            ("Event", "talk"),
        ],
    )
    wire.bob.agent.receive(stray, wire.alice.hop, wire.now)
    return wire.run()


class InTurnTests(SynchronousTestCase):
    """Data are neither lost nor change places where UDP loses a packet."""

    def setUp(self) -> None:
        """A call; ``heard`` is what the callee was sent by INFO."""
        self.wire = Wire()
        self.alice, self.bob = self.wire.call()
        self.wire.looked()
        self.heard: list[bytes] = []

    def lose_first(self, text: str) -> None:
        """Lose the next message of a kind."""
        left = [True]
        self.wire.loses = lambda sent: sent == text and bool(left) and left.pop()

    def say(self, *bodies: bytes) -> None:
        """Send INFO after INFO."""
        for body in bodies:
            self.alice.info([("Content-Type", "text/plain")], body, self.wire.now)

    def wait(self, seconds: float) -> list[str]:
        """Let time pass; the callee takes what comes."""
        trace: list[str] = []
        for _ in range(round(10 * seconds)):
            trace += self.wire.wait(0.1)
            events, self.wire.bob.events = self.wire.bob.events, []
            for event in events:
                if isinstance(event, InDialogRequest):
                    self.heard.append(event.transaction.request.body)
                    self.bob.respond(event.transaction, 200, self.wire.now)
                elif isinstance(event, OfferReceived):
                    self.bob.accept(ANSWER, self.wire.now)
            trace += self.wire.run()
        return trace

    def statuses(self) -> list[int]:
        """How INFOs fared."""
        return [e.status for e in self.wire.alice.events if isinstance(e, RequestAnswered)]

    def test_lost_packet(self) -> None:
        """What is said later waits for what was said before, and all of it arrives."""
        self.lose_first("a INFO")
        self.say(b"1", b"2", b"3")
        self.assertNotIn("b 500 INFO", self.wait(2))
        self.assertEqual([b"1", b"2", b"3"], self.heard)
        self.assertEqual([200] * 3, self.statuses())

    def test_behind_a_change(self) -> None:
        """So it does behind a re-INVITE, until that has shown to be there."""
        self.lose_first("a INVITE")
        self.alice.modify(lambda: NEW, self.wire.now)
        self.say(b"1")
        self.assertNotIn("b 500 INVITE", self.wait(2))
        self.assertEqual([b"1"], self.heard)

    def test_while_a_change_is_considered(self) -> None:
        """A provisional response is enough: nobody waits for a user."""
        self.alice.modify(lambda: NEW, self.wire.now)
        self.wire.run()
        self.wire.wait(0.3)
        self.say(b"1")
        self.assertIn("a INFO", self.wire.run())

    def test_overtaken(self) -> None:
        """What a change has overtaken is said again, once it was refused for that."""
        self.lose_first("a INFO")
        self.say(b"1", b"2")
        self.alice.modify(lambda: NEW, self.wire.now)
        self.assertIn("b 500 INFO", self.wait(3))
        self.assertEqual([b"1", b"2"], self.heard)
        self.assertEqual([200, 200], self.statuses())

    def test_refused(self) -> None:
        """A peer that refuses for a reason of its own is not asked again."""
        self.say(b"1")
        self.wire.run()
        event = self.wire.bob.last(InDialogRequest)
        self.bob.respond(event.transaction, 500, self.wire.now)
        self.wire.wait(2)
        self.assertEqual([500], self.statuses())

    def test_too_many(self) -> None:
        """As many as may wait do; one more has no place."""
        self.say(*[b"x"] * (MOST + 1))
        self.assertRaises(OutOfPlace, self.say, b"y")
        self.wait(7)
        self.assertEqual(MOST + 1, len(self.heard))

    def test_end(self) -> None:
        """What has not been said when the call ends never is, and nothing is left of it."""
        self.lose_first("a INFO")
        self.say(b"1", b"2")
        self.alice.bye(self.wire.now)
        self.wire.wait(70)
        self.assertEqual([], [e for e in self.wire.bob.events if isinstance(e, InDialogRequest)])
        self.assertTrue(self.wire.alice.is_clean)

    def test_streams(self) -> None:
        """A connection keeps the order: nothing waits."""
        self.wire = Wire(transport="TCP")
        self.alice, self.bob = self.wire.call()
        self.wire.looked()
        self.say(b"1", b"2")
        self.assertEqual(["a INFO", "a INFO"], self.wire.looked())


class SessionTimerTests(SynchronousTestCase):
    """RFC 4028."""

    def test_refreshed(self) -> None:
        """The caller refreshes by UPDATE without a body at half the interval, for hours."""
        wire = Wire()
        alice, bob = wire.call()
        wire.looked()
        self.assertEqual((alice.timer.interval, alice.timer.we_refresh), (1800, True))
        self.assertEqual(wire.wait(901), ["a UPDATE", "b 200 UPDATE"])
        self.assertEqual(wire.wait(3600), ["a UPDATE", "b 200 UPDATE"] * 4)
        self.assertEqual(bob.state, UsageState.ESTABLISHED)
        self.assertEqual((wire.alice.told(), wire.bob.told()), ([], []))

    def test_refreshed_by_reinvite(self) -> None:
        """Without UPDATE it is a re-INVITE that says the same as before."""
        wire = Wire(bob=Profile(allow=("INVITE", "ACK", "BYE", "CANCEL")))
        wire.call()
        wire.looked()
        self.assertEqual(wire.wait(901)[:1], ["a INVITE"])
        self.assertEqual(last(wire, "INVITE").body, OFFER)

    def test_roles_stay(self) -> None:
        """A re-INVITE of the side that does not refresh leaves the roles as they are."""
        wire = Wire()
        alice, bob = wire.call()
        bob.modify(lambda: NEW, 0)
        wire.run()
        self.assertEqual(last(wire, "INVITE").get("Session-Expires"), "1800;refresher=uas")
        alice.accept(ANSWER, 0)
        wire.run()
        self.assertEqual((alice.timer.we_refresh, bob.timer.we_refresh), (True, False))

    def test_expires(self) -> None:
        """Without a refresh both sides end the session a little before the interval does."""
        wire = Wire()
        wire.call()
        wire.looked()
        wire.loses = lambda text: text.startswith("a ")
        self.assertNotIn("b BYE", wire.wait(1767))
        self.assertIn("b BYE", wire.wait(2))
        self.assertEqual(wire.bob.last(Ended).cause, Cause.EXPIRED)

    def test_too_small(self) -> None:
        """422 makes the INVITE go out again with the longer interval and the next number."""
        wire = Wire(Profile(session_expires=90), Profile(min_se=300))
        alice = wire.invite()
        bob = wire.invited()
        self.assertEqual(wire.bob.told(), ["Invited"])
        again = last(wire, "INVITE")
        self.assertEqual((again.get("Session-Expires"), again.get("Min-SE")), ("300", "300"))
        self.assertEqual(again.cseq.number, 2)
        bob.answer(0, ANSWER)
        wire.run()
        self.assertEqual(alice.timer.interval, 300)

    def test_off(self) -> None:
        """Where neither side asks for it nothing expires."""
        wire = Wire(QUIET, QUIET)
        alice, _ = wire.call()
        self.assertEqual(wire.wait(90_000)[2:], [])
        self.assertEqual(alice.state, UsageState.ESTABLISHED)

    def test_peer_without(self) -> None:
        """Toward a peer that does not know session timers there is none."""
        plain = Profile(supported=())
        for profiles in ((plain, None), (None, plain)):
            wire = Wire(*profiles)
            alice, bob = wire.call()
            self.assertEqual((alice.timer.interval, bob.timer.interval), (0, 0))


class AnswerOrderTests(SynchronousTestCase):
    """Where an answer is told."""

    def test_once(self) -> None:
        """The answer in the 2xx is told once, after the session is."""
        wire = Wire()
        wire.invite()
        wire.invited().answer(0, ANSWER)
        wire.run()
        self.assertEqual(wire.alice.last(AnswerReceived).message.body, ANSWER)
