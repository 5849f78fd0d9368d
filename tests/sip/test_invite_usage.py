"""Tests of b2bua.sip.invite_usage and its two sides: how sessions begin and end."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.message import Request, Response
from b2bua.sip.transaction import OutOfPlace
from b2bua.sip.usage_events import Cause, Ended, Profile, Progress
from b2bua.sip.usage_states import Exchange, UsageState
from tests.sip.usages import ANSWER, OFFER, Wire

RELIABLE = ("Require", "100rel")


class CallTests(SynchronousTestCase):
    """A call from its INVITE to its BYE."""

    def test_whole_call(self) -> None:
        """INVITE, 180, 200, ACK, BYE, 200: both sides are told, and nothing is left."""
        wire = Wire()
        alice = wire.invite()
        bob = wire.invited()
        self.assertEqual(wire.looked(), [])
        bob.ring(180, 0)
        bob.answer(0, ANSWER)
        self.assertEqual(wire.run(), ["b 180 INVITE", "b 200 INVITE", "a ACK"])
        self.assertEqual(wire.alice.told(), ["Progress", "Established", "AnswerReceived"])
        self.assertEqual(wire.bob.told(), ["Invited", "Established"])
        alice.bye(0)
        self.assertEqual(wire.run(), ["a BYE", "b 200 BYE"])
        self.assertEqual(wire.bob.last(Ended).cause, Cause.REMOTE)
        self.assertEqual(wire.alice.last(Ended).cause, Cause.LOCAL)
        wire.wait(40)
        self.assertTrue(wire.alice.is_clean and wire.bob.is_clean)

    def test_same_tag(self) -> None:
        """Every response above 100 has the same To tag, and the 2xx our Contact and Allow."""
        wire = Wire()
        wire.invite()
        bob = wire.invited()
        bob.ring(180, 0)
        bob.ring(183, 0, ANSWER)
        bob.answer(0, ANSWER)
        wire.run()
        responses = [m for m in wire.messages if isinstance(m, Response)]
        self.assertEqual(len({m.to.tag for m in responses}), 1)
        self.assertIn("UPDATE", responses[-1].get("Allow") or "")
        self.assertIsNotNone(responses[-1].contact)

    def test_offerless(self) -> None:
        """Without an offer the 200 has it, and the ACK waits for the answer, however long."""
        wire = Wire()
        alice = wire.invite(b"")
        bob = wire.invited()
        bob.answer(0, OFFER)
        self.assertEqual(wire.run(), ["a INVITE", "b 200 INVITE"][1:])
        self.assertEqual(wire.alice.told(), ["Established", "OfferReceived"])
        self.assertNotIn("a ACK", wire.wait(20))
        alice.accept(ANSWER, wire.now)
        self.assertEqual(wire.run(), ["a ACK"])
        self.assertEqual(wire.bob.told(), ["Invited", "Established", "AnswerReceived"])
        self.assertEqual(wire.wait(100), [])

    def test_no_answer_in_ack(self) -> None:
        """An ACK without the answer that it owes ends the session by BYE."""
        wire = Wire()
        alice = wire.invite(b"")
        wire.invited().answer(0, OFFER)
        wire.run()
        alice.accept(b"", 0)
        self.assertEqual(wire.run(), ["a ACK", "b BYE", "a 200 BYE"])
        self.assertEqual(wire.bob.last(Ended).cause, Cause.NO_ANSWER)

    def test_no_answer_in_success(self) -> None:
        """A 2xx without an answer is acknowledged, and the session ended."""
        wire = Wire()
        wire.invite()
        bob = wire.invited()
        bob.sessions()[0].exchange = Exchange.DONE
        bob.answer(0)
        self.assertEqual(wire.run(), ["b 200 INVITE", "a ACK", "a BYE", "b 200 BYE"])
        self.assertEqual(wire.alice.last(Ended).cause, Cause.NO_ANSWER)

    def test_refused(self) -> None:
        """A refusal ends both sides, with its status."""
        wire = Wire()
        wire.invite()
        wire.invited().reject(486, 0)
        wire.run()
        self.assertEqual(wire.alice.last(Ended).status, 486)
        self.assertEqual(wire.alice.last(Ended).cause, Cause.REFUSED)
        wire.wait(40)
        self.assertTrue(wire.alice.is_clean and wire.bob.is_clean)

    def test_silence(self) -> None:
        """Where nothing answers, that is told after 4 s, and the end after 32 s."""
        wire = Wire()
        wire.invite()
        wire.loses = lambda text: True
        wire.wait(5)
        self.assertEqual(wire.alice.told(), ["Unheard"])
        wire.wait(28)
        self.assertEqual(wire.alice.last(Ended).status, 408)
        self.assertTrue(wire.alice.is_clean)


class SuccessTests(SynchronousTestCase):
    """The 2xx and its ACK are the usage's (RFC 3261, sections 13.2.2.4 and 13.3.1.4)."""

    def test_repeated(self) -> None:
        """The 2xx is repeated from T1 to T2 over UDP and TCP alike, then BYE after 64*T1."""
        for transport in ("UDP", "TCP"):
            wire = Wire(transport=transport)
            wire.invite()
            bob = wire.invited()
            wire.loses = lambda text: text == "a ACK" or text.startswith("b 200")
            bob.answer(0, ANSWER)
            wire.run()
            moments = []
            while wire.now < 31.5:
                moments += [wire.now for _ in wire.wait(0.5).count("b 200 INVITE") * [0]]
            self.assertEqual(moments, [0.5, 1.5, 3.5, *(7.5 + 4 * n for n in range(7))])
            self.assertIn("b BYE", wire.wait(1))
            self.assertEqual(wire.bob.last(Ended).cause, Cause.NO_ACK)
            wire.loses = lambda text: False
            wire.wait(100)
            self.assertTrue(wire.alice.is_clean and wire.bob.is_clean, transport)

    def test_ack_again(self) -> None:
        """Each copy of the 2xx gets the same ACK again."""
        wire = Wire()
        wire.invite()
        bob = wire.invited()
        bob.answer(0, ANSWER)
        lost = iter([True, True, False])
        wire.loses = lambda text: text == "a ACK" and next(lost)
        wire.run()
        self.assertEqual(wire.wait(10).count("a ACK"), 2)
        acks = [m for m in wire.messages if isinstance(m, Request) and m.method == "ACK"]
        self.assertEqual(len({ack.via.branch for ack in acks}), 1)
        self.assertEqual(bob.state, UsageState.ESTABLISHED)

    def test_no_bye_before_ack(self) -> None:
        """Whoever was called and hangs up before the ACK waits for it with the BYE."""
        wire = Wire()
        wire.invite()
        bob = wire.invited()
        wire.loses = lambda text: text == "a ACK"
        bob.answer(0, ANSWER)
        wire.run()
        bob.bye(0)
        self.assertNotIn("b BYE", wire.wait(3))
        wire.loses = lambda text: False
        self.assertIn("b BYE", wire.wait(5))
        self.assertEqual(wire.alice.last(Ended).cause, Cause.REMOTE)

    def test_bye_before_ack(self) -> None:
        """A BYE of the caller that overtakes its ACK ends the session at once."""
        wire = Wire()
        alice = wire.invite()
        bob = wire.invited()
        wire.loses = lambda text: text == "a ACK"
        bob.answer(0, ANSWER)
        wire.run()
        alice.bye(0)
        self.assertEqual(wire.run(), ["a BYE", "b 200 BYE"])
        self.assertEqual(wire.bob.told()[-1], "Ended")
        self.assertNotIn("b 200 INVITE", wire.wait(40))
        self.assertTrue(wire.bob.is_clean)


class CancelTests(SynchronousTestCase):
    """An INVITE that is given up (RFC 3261, section 9; RFC 5407, section 3.1)."""

    def test_cancelled(self) -> None:
        """CANCEL gets 200, the INVITE 487, and both sides end."""
        wire = Wire()
        alice = wire.invite()
        wire.invited().ring(180, 0)
        wire.run()
        alice.cancel(0, [("Reason", 'SIP;cause=200;text="elsewhere"')])
        expected = ["a CANCEL", "b 200 CANCEL", "b 487 INVITE", "a ACK"]
        self.assertEqual(wire.run(), expected)
        self.assertEqual(wire.alice.last(Ended).cause, Cause.CANCELLED)
        self.assertEqual(wire.bob.last(Ended).cause, Cause.CANCELLED)
        wire.wait(40)
        self.assertTrue(wire.alice.is_clean and wire.bob.is_clean)

    def test_before_any_response(self) -> None:
        """Nothing is cancelled before a response has come."""
        wire = Wire()
        alice = wire.invite()
        alice.cancel(0)
        self.assertEqual(wire.looked(), ["a INVITE"])
        wire.invited().ring(180, 0)
        self.assertIn("a CANCEL", wire.run())
        self.assertEqual(wire.bob.last(Ended).cause, Cause.CANCELLED)

    def test_crosses_success(self) -> None:
        """A 200 that crosses with CANCEL gets ACK and BYE; each side hears of one end."""
        wire = Wire()
        alice = wire.invite()
        bob = wire.invited()
        bob.ring(180, 0)
        wire.run()
        bob.answer(0, ANSWER)
        wire.collect(wire.bob)
        alice.cancel(0)
        trace = wire.run()
        self.assertEqual(trace[:2], ["b 200 INVITE", "a CANCEL"])
        self.assertEqual([t for t in trace if t in ("a ACK", "a BYE")], ["a ACK", "a BYE"])
        self.assertEqual(wire.alice.told().count("Ended"), 1)
        self.assertEqual(wire.bob.told().count("Ended"), 1)
        wire.wait(70)
        self.assertTrue(wire.alice.is_clean and wire.bob.is_clean)

    def test_after_success(self) -> None:
        """To cancel what is answered is to hang up."""
        wire = Wire()
        alice, _ = wire.call()
        wire.looked()
        alice.cancel(0)
        self.assertEqual(wire.run(), ["a BYE", "b 200 BYE"])

    def test_out_of_place(self) -> None:
        """Commands that a state has no place for say so; hanging up twice is nothing."""
        wire = Wire()
        alice, bob = wire.call()
        alice.bye(0)
        alice.bye(0)
        wire.run()
        self.assertRaises(OutOfPlace, alice.modify, lambda: OFFER, 0)
        self.assertRaises(OutOfPlace, bob.answer, 0, ANSWER)
        self.assertRaises(OutOfPlace, bob.ring, 180, 0)
        self.assertEqual(wire.alice.told(), ["Ended"])


class ByeTests(SynchronousTestCase):
    """Ends that meet something else (RFC 5407, sections 3.2 and 3.3)."""

    def test_crossing(self) -> None:
        """Two BYEs that cross are both answered, and each side hears of one end."""
        wire = Wire()
        alice, bob = wire.call()
        wire.looked()
        alice.bye(0)
        bob.bye(0)
        self.assertEqual(wire.run(), ["a BYE", "b BYE", "b 200 BYE", "a 200 BYE"])
        self.assertEqual((wire.alice.told(), wire.bob.told()), (["Ended"], ["Ended"]))
        wire.wait(40)
        self.assertTrue(wire.alice.is_clean and wire.bob.is_clean)

    def test_during_reinvite(self) -> None:
        """A BYE while a re-INVITE is open gets 200, the re-INVITE 487."""
        wire = Wire()
        alice, bob = wire.call()
        bob.modify(lambda: OFFER, 0)
        wire.run()
        bob.bye(0)
        self.assertEqual(wire.run()[:1], ["b BYE"])
        wire.wait(70)
        self.assertTrue(wire.alice.is_clean and wire.bob.is_clean)
        self.assertEqual(alice.state, UsageState.ENDED)

    def test_crosses_reinvite(self) -> None:
        """A re-INVITE that crosses with BYE is refused, and the session ends once."""
        wire = Wire()
        alice, bob = wire.call()
        wire.looked()
        alice.bye(0)
        bob.modify(lambda: OFFER, 0)
        wire.run()
        wire.wait(70)
        self.assertEqual((wire.alice.told(), wire.bob.told()), (["Ended"], ["Ended"]))
        self.assertTrue(wire.alice.is_clean and wire.bob.is_clean)

    def test_silent_peer(self) -> None:
        """A BYE without any answer ends after 64*T1, and leaves nothing."""
        wire = Wire()
        alice, _ = wire.call()
        wire.loses = lambda text: True
        alice.bye(0)
        wire.wait(33)
        self.assertTrue(wire.alice.is_clean)

    def test_early_bye_of_caller(self) -> None:
        """A BYE on the early dialog of a caller gets 200, and the INVITE 487."""
        wire = Wire()
        alice = wire.invite()
        wire.invited().ring(180, 0)
        wire.run()
        (session,) = alice.sessions()
        alice.send_bye_in(session, alice._prack_done, 0)
        self.assertEqual(wire.run(), ["a BYE", "b 200 BYE", "b 487 INVITE", "a ACK"])
        self.assertEqual(wire.bob.last(Ended).cause, Cause.REMOTE)


class ReliableTests(SynchronousTestCase):
    """Reliable provisional responses (RFC 3262)."""

    def test_acknowledged(self) -> None:
        """A reliable 183 with the answer gets PRACK, and the 200 has no body."""
        wire = Wire()
        wire.invite()
        bob = wire.invited()
        bob.ring(183, 0, ANSWER, reliable=True)
        self.assertEqual(wire.run(), ["b 183 INVITE", "a PRACK", "b 200 PRACK"])
        self.assertTrue(wire.alice.last(Progress).is_answer)
        bob.answer(0)
        self.assertEqual(wire.run(), ["b 200 INVITE", "a ACK"])
        self.assertEqual(wire.alice.told(), ["Progress", "Established"])

    def test_success_waits(self) -> None:
        """The 2xx waits for the PRACK of a 183 with a body."""
        wire = Wire()
        wire.invite()
        bob = wire.invited()
        bob.ring(183, 0, ANSWER, reliable=True)
        bob.answer(0)
        self.assertEqual(wire.looked(), ["b 183 INVITE"])
        self.assertEqual(wire.run()[:3], ["a PRACK", "b 200 PRACK", "b 200 INVITE"])

    def test_repeated_in_order(self) -> None:
        """What is lost comes again; the next one waits for its PRACK; a copy is dropped."""
        wire = Wire()
        wire.invite(OFFER, RELIABLE)
        bob = wire.invited()
        wire.loses = lambda text: text == "a PRACK"
        bob.ring(180, 0)
        bob.ring(183, 0)
        trace = wire.run() + wire.wait(3)
        self.assertNotIn("b 183 INVITE", trace)
        self.assertEqual(trace.count("b 180 INVITE"), 3)
        wire.loses = lambda text: False
        self.assertIn("b 183 INVITE", wire.wait(10))
        self.assertEqual(wire.alice.told(), ["Progress", "Progress"])

    def test_never_acknowledged(self) -> None:
        """Without PRACK in 64*T1 the INVITE is refused with 504."""
        wire = Wire()
        wire.invite()
        bob = wire.invited()
        bob.ring(183, 0, ANSWER, reliable=True)
        wire.loses = lambda text: text == "a PRACK"
        self.assertIn("b 504 INVITE", wire.wait(33))
        self.assertEqual(wire.bob.last(Ended).cause, Cause.NO_PRACK)

    def test_offer_in_provisional(self) -> None:
        """Without an offer in the INVITE a reliable 183 has it, and the PRACK the answer."""
        wire = Wire()
        alice = wire.invite(b"")
        bob = wire.invited()
        self.assertRaises(OutOfPlace, bob.ring, 183, 0, OFFER)
        bob.ring(183, 0, OFFER, reliable=True)
        self.assertEqual(wire.run(), ["b 183 INVITE"])
        progress = wire.alice.last(Progress)
        self.assertTrue(progress.is_offer)
        alice.accept(ANSWER, 0, progress.dialog)
        bob.answer(0)
        wire.run()
        self.assertEqual(wire.bob.told(), ["Invited", "AnswerReceived", "Established"])

    def test_unknown_to_peer(self) -> None:
        """Toward a peer that does not know 100rel nothing is reliable; required, it gets 420."""
        plain = Profile(supported=())
        wire = Wire(alice=plain)
        wire.invite()
        bob = wire.invited()
        self.assertRaises(OutOfPlace, bob.ring, 183, 0, ANSWER, reliable=True)
        wire = Wire(bob=plain)
        wire.invite(OFFER, RELIABLE)
        self.assertIn("b 420 INVITE", wire.run())
        self.assertEqual(wire.bob.told(), [])

    def test_wrong_number(self) -> None:
        """A PRACK that acknowledges nothing gets 481, and ends nothing."""
        wire = Wire()
        alice = wire.invite()
        wire.invited().ring(180, 0)
        wire.run()
        (session,) = alice.sessions()
        prack = session.dialog.request("PRACK", [("RAck", "7 1 INVITE")])
        alice.ask(session, prack, alice._prack_done, 0)
        self.assertEqual(wire.run(), ["a PRACK", "b 481 PRACK"])
        self.assertEqual(wire.bob.told(), ["Invited"])
