"""Calls of pages: offers and answers both ways, and what goes wrong with them."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from b2bua.call_events import CallEnded, CallHeld
from b2bua.gateway.call import ANSWER_WITHIN, OK_WITHIN, TABLE
from b2bua.gateway.roap_states import IGNORED, RoapInput, RoapState
from b2bua.settings import PhoneSettings
from b2bua.sip.invite_client import InviteClientUsage
from b2bua.sip.usage_events import (
    Ended,
    Established,
    InDialogRequest,
    OfferReceived,
)
from tests.b2bua.browsers import web_sdp
from tests.b2bua.network import sdp
from tests.gateway.stage import Answer, BrowserPage, Stage, roap


class PageCase(SynchronousTestCase):
    """A page that has signed in as 1001."""

    users: dict[str, str] = {}

    def setUp(self) -> None:
        """Sign it in."""
        self.stage = Stage(**({"phones": PhoneSettings(users=self.users)} if self.users else {}))
        self.server = self.stage.a
        self.page = BrowserPage(self.stage)
        self.page.sign_in()

    def up(self) -> Any:
        """A call of the page that is answered; the usage of the SIP Server's side."""
        self.page.offer("2002")
        called = self.server.called
        called.answer(self.stage.now, sdp())
        self.stage.settle()
        self.page.reply("2002", "OK", roap(self.page.next()))
        return called

    def rung(self, body: bytes | None = None) -> tuple[InviteClientUsage, dict[str, Any]]:
        """A call of the SIP Server, and the OFFER that rings the page."""
        usage = self.server.call("1001", sdp() if body is None else body)
        return usage, roap(self.page.next())

    def take(self, offer: dict[str, Any], **more: object) -> Answer:
        """Answer an OFFER."""
        body = web_sdp(setup="active").decode()
        more = {"sdp": body, "Candidates": [], **more}
        return self.page.reply(self.page.peer, "ANSWER", offer, **more)

    def answered(self) -> InviteClientUsage:
        """A call of the SIP Server that the page has answered."""
        usage, offer = self.rung()
        self.take(offer)
        self.assertEqual("OK", roap(self.page.next())["messageType"])
        return usage

    def statuses(self) -> list[int]:
        """What the SIP Server's INVITE was answered."""
        return [
            message.status
            for _, to, message in self.stage.trace
            if to == self.server.hop.host and hasattr(message, "status")
        ]


class TableTests(SynchronousTestCase):
    """States and inputs."""

    def test_complete(self) -> None:
        """Each pair has an effect, or a reason for having none, and never both."""
        for state in RoapState:
            both = [*TABLE[state], *IGNORED[state]]
            self.assertEqual(sorted(RoapInput), sorted(both), state)


class CallingTests(PageCase):
    """The page calls."""

    def test_early_media(self) -> None:
        """An answer in 183 is given to the page at once, and the 200 is not given again."""
        self.page.offer("2002")
        called = self.server.called
        called.ring(183, self.stage.now, sdp())
        self.stage.settle()
        answer = roap(self.page.next())
        self.assertEqual("ANSWER", answer["messageType"])
        self.page.reply("2002", "OK", answer)
        called.answer(self.stage.now, sdp())
        self.stage.settle()
        self.assertIsNone(self.page.poll())
        self.assertTrue(self.server.has(Established))

    def test_refused(self) -> None:
        """Busy and declined are a BYE; for want of common media there is an ERROR before it."""
        for status, error in ((486, ""), (603, ""), (480, ""), (488, "FAILED"), (404, "REFUSED")):
            self.page.offer("2002", seq=status)
            self.server.called.reject(status, self.stage.now)
            self.stage.settle()
            text = self.page.next()
            if error:
                found = roap(text)
                self.assertEqual(("ERROR", error), (found["messageType"], found["errorType"]))
                self.assertEqual((103, status), (found["offererSessionId"], found["seq"]))
                self.assertNotIn("OFFER", text)
                self.assertGreater(text.index("ERROR"), 0)
                text = self.page.next()
            self.assertEqual("BYE", text, status)
            self.assertEqual("2002", self.page.peer)

    def test_given_up(self) -> None:
        """A BYE before the answer cancels; no word comes back."""
        self.page.offer("2002")
        self.stage.advance(0.3)
        self.page.post("2002", "BYE")
        self.assertTrue(self.server.seen("CANCEL"))
        self.assertIsNone(self.page.poll())
        self.stage.advance(40)
        self.assertTrue(self.stage.is_clean())

    def test_copies(self) -> None:
        """A copy of an OFFER is 200 and makes no second call; so is one of an OK."""
        self.page.offer("2002", seq=1)
        self.assertEqual(200, self.page.offer("2002", seq=1).code)
        self.assertEqual(1, len(self.server.seen("INVITE")))
        self.server.called.answer(self.stage.now, sdp())
        self.stage.settle()
        answer = roap(self.page.next())
        for _ in range(2):
            self.assertEqual(200, self.page.reply("2002", "OK", answer).code)
        self.assertEqual(200, self.page.offer("2002", seq=1).code)
        self.assertIsNone(self.page.poll())

    def test_copy_after_the_end(self) -> None:
        """A copy of the OFFER of a call that was refused calls nobody; the next OFFER does."""
        self.page.offer("2002", seq=1)
        self.server.called.reject(486, self.stage.now)
        self.stage.settle()
        self.page.offer("2002", seq=1)
        self.assertEqual(1, len(self.server.seen("INVITE")))
        self.assertEqual("BYE", self.page.next())
        self.page.offer("2002", seq=1)
        self.assertEqual(2, len(self.server.seen("INVITE")))

    def test_own_id(self) -> None:
        """The page's own session id is as good as self."""
        self.page.offer(self.page.sid)
        self.assertEqual("ANSWER", roap(self.page.next())["messageType"])
        self.assertEqual(self.page.sid, self.page.peer)
        self.assertEqual([], self.server.seen("INVITE"))

    def test_number(self) -> None:
        """A plus sign is a plus sign, also where it stands in a query."""
        self.page.offer("+4989123")
        self.assertEqual("+4989123", self.server.seen("INVITE")[0].uri.user_text)
        self.server.called.reject(486, self.stage.now)
        self.stage.settle()
        self.assertEqual("BYE", self.page.next())
        self.assertEqual("+4989123", self.page.peer)
        self.page.offer("%2B4989124")
        self.assertEqual("+4989124", self.server.seen("INVITE")[1].uri.user_text)

    def test_number_with_escapes(self) -> None:
        """A name that cannot stand in a query as it is comes back escaped, and is known so."""
        self.page.offer("%2355")
        self.assertEqual("#55", self.server.seen("INVITE")[0].uri.user_text)
        self.server.called.answer(self.stage.now, sdp())
        self.stage.settle()
        self.page.next()
        self.assertEqual("%2355", self.page.peer)
        self.page.post("%2355", "BYE")
        self.assertTrue(self.server.has(Ended))
        self.page.offer("%2356")
        self.stage.advance(0.3)
        self.page.post("%252356", "BYE")
        self.assertTrue(self.server.seen("CANCEL"))

    def test_no_number(self) -> None:
        """What is no number is refused with a word, and nobody is called."""
        for peer in ("", "%0d%0aX", "a%20b", "x" * 65, "%3Csip:a@b%3E", "%ff"):
            self.assertEqual(200, self.page.offer(peer).code)
            self.assertEqual("ERROR", roap(self.page.next())["messageType"], peer)
            self.assertEqual("BYE", self.page.next())
        self.assertEqual([], self.server.seen("INVITE"))

    def test_two_pages_with_one_id(self) -> None:
        """Session ids of pages are the same for all of them; calls are told apart all the same."""
        other = BrowserPage(self.stage)
        other.sign_in("1002")
        self.page.offer("2002")
        first = self.server.called
        other.offer("2002")
        second = self.server.called
        self.assertIsNot(first, second)
        second.answer(self.stage.now, sdp())
        self.stage.settle()
        self.assertIsNone(self.page.poll())
        self.assertEqual("ANSWER", roap(other.next())["messageType"])

    def test_several(self) -> None:
        """A page that says that it can have two calls is told of each by its name."""
        self.page.offer("2002")
        first = self.server.called
        self.page.offer("2003", multipleCalls=True)
        second = self.server.called
        second.answer(self.stage.now, sdp())
        self.stage.settle()
        self.page.next()
        self.assertEqual("2003", self.page.peer)
        first.reject(486, self.stage.now)
        self.stage.settle()
        self.assertEqual("BYE", self.page.next())
        self.assertEqual("2002", self.page.peer)

    def test_lost_goodbye(self) -> None:
        """Any other page that calls anew has ended the call before, whose BYE was lost."""
        self.up()
        self.page.offer("2003", seq=1)
        self.assertTrue(self.server.has(Ended))
        self.assertEqual("2003", self.server.seen("INVITE")[-1].uri.user_text)
        self.assertIsNone(self.page.poll())

    def test_shutdown(self) -> None:
        """SHUTDOWN ends a call, and is confirmed."""
        self.up()
        self.page.post("2002", 'RSMP {"messageType":"SHUTDOWN","seq":2,"offererSessionId":103}')
        found = roap(self.page.next())
        self.assertEqual(("OK", 103, 2), (found["messageType"], found["offererSessionId"], 2))
        self.assertTrue(self.server.has(Ended))

    def test_answer_not_usable(self) -> None:
        """A page that cannot use the answer says ERROR: the call ends."""
        self.page.offer("2002")
        self.server.called.answer(self.stage.now, sdp())
        self.stage.settle()
        answer = roap(self.page.next())
        self.page.reply("2002", "ERROR", answer, errorType="FAILED")
        self.assertTrue(self.server.has(Ended))
        self.assertEqual("BYE", self.page.next())

    def test_no_route(self) -> None:
        """When no SIP Server answers the page hears that it failed."""
        self.server.works = self.stage.b.works = False
        self.page.offer("2002")
        self.stage.advance(50)
        self.assertEqual("FAILED", roap(self.page.next())["errorType"])
        self.assertEqual("BYE", self.page.next())


class CalledTests(PageCase):
    """The page is called."""

    def test_rings_when_told(self) -> None:
        """The caller hears 180 when the OFFER is on its way, not before."""
        self.server.call("1001", sdp())
        self.assertNotIn(180, self.statuses())
        self.page.next()
        self.assertIn(180, self.statuses())

    def test_offer(self) -> None:
        """The OFFER has a number, ids, a tie breaker, its candidates and the caller's data."""
        self.server.call("1001", sdp(), headers=(("X-genesys-queue", "gold"),))
        text = self.page.next()
        self.assertTrue(text.startswith("SDP"))
        found = roap(text)
        self.assertEqual((1, None), (found["seq"], found["answererSessionId"]))
        self.assertIsInstance(found["offererSessionId"], int)
        self.assertTrue(1 <= found["tiebreaker"] <= 429496723)
        self.assertTrue(found["Candidates"][0]["candidate"].startswith("candidate:1 1 udp"))
        self.assertEqual("0", found["Candidates"][0]["sdpMid"])
        self.assertEqual([{"key": "queue", "value": "gold"}], found["attacheddata"])

    def test_answered(self) -> None:
        """The ANSWER is the 200, its ACK is OK with the numbers of the offer."""
        usage, offer = self.rung()
        self.take(offer)
        self.assertEqual("ESTABLISHED", usage.state.name)
        ok = roap(self.page.next())
        self.assertEqual("OK", ok["messageType"])
        for key in ("offererSessionId", "seq"):
            self.assertEqual(offer[key], ok[key])
        self.assertEqual(103, ok["answererSessionId"])
        usage.bye(self.stage.now)
        self.stage.settle()
        self.assertEqual("BYE", self.page.next())

    def test_declined(self) -> None:
        """A BYE while it rings is 603, and no BYE comes back."""
        self.rung()
        self.page.post("5000", "BYE")
        self.assertIn(603, self.statuses())
        self.assertIsNone(self.page.poll())

    def test_refused(self) -> None:
        """An ERROR is 488."""
        _, offer = self.rung()
        self.page.reply("5000", "ERROR", offer, errorType="REFUSED")
        self.assertIn(488, self.statuses())

    def test_cancelled(self) -> None:
        """A caller who gives up is a BYE; a page that has not heard of the call hears nothing."""
        usage, _ = self.rung()
        usage.cancel(self.stage.now)
        self.stage.settle()
        self.assertEqual("BYE", self.page.next())
        usage = self.server.call("1001", sdp())
        self.stage.advance(0.3)
        usage.cancel(self.stage.now)
        self.stage.settle()
        self.assertIsNone(self.page.poll())

    def test_busy(self) -> None:
        """A page in a call is busy: the old one would take an OFFER of another for its own."""
        self.up()
        self.server.call("1001", sdp())
        self.assertIn(486, self.statuses())
        self.assertIsNone(self.page.poll())

    def test_several(self) -> None:
        """One that says that it can have several rings, under another name."""
        _, offer = self.rung()
        self.take(offer, multipleCalls=True)
        self.page.next()
        self.server.call("1001", sdp())
        self.assertTrue(self.page.next().startswith("SDP"))
        self.assertEqual("5000~2", self.page.peer)
        self.page.post("5000~2", "BYE")
        self.assertIn(603, self.statuses())

    def test_all_ring(self) -> None:
        """All sessions of a DN ring; the first to answer has the call, the others hear BYE."""
        other = BrowserPage(self.stage)
        other.sign_in()
        _, offer = self.rung()
        self.assertTrue(other.next().startswith("SDP"))
        self.take(offer)
        self.assertEqual("BYE", other.next())
        self.assertEqual("OK", roap(self.page.next())["messageType"])

    def test_odd_caller(self) -> None:
        """A caller's name is a word that may stand in a query."""
        self.server.call("1001", sdp(), caller="a%26b%23c")
        self.page.next()
        self.assertEqual("a_b_c", self.page.peer)

    def test_offerless(self) -> None:
        """A call without an offer rings with ours all the same."""
        usage, offer = self.rung(b"")
        self.take(offer)
        self.assertTrue(self.server.has(OfferReceived))
        usage.accept(sdp(), self.stage.now)
        self.stage.settle()
        self.assertEqual("OK", roap(self.page.next())["messageType"])

    def test_stale_answer(self) -> None:
        """An ANSWER to an offer that is not out is 200 and nothing else."""
        _, offer = self.rung()
        self.take({**offer, "seq": 9})
        self.assertNotIn(200, self.statuses()[-1:])
        self.take(offer)
        self.assertEqual("OK", roap(self.page.next())["messageType"])

    def test_call_each_other(self) -> None:
        """A page that calls the one that rings it wants to have its own call."""
        self.rung()
        self.page.offer("5000")
        self.assertIn(486, self.statuses())
        self.assertEqual("5000", self.server.seen("INVITE")[-1].uri.user_text)


class ChangeTests(PageCase):
    """Offers while a call lasts."""

    def test_hold(self) -> None:
        """A page holds by an OFFER that is inactive, and is answered so; then it resumes."""
        self.up()
        for direction, held in (("inactive", True), ("sendrecv", False)):
            self.page.offer("2002", web_sdp(direction=direction, version=self.page.seq + 2))
            self.assertEqual(held, self.stage.told(CallHeld)[-1].held)
            answer = roap(self.page.next())
            self.assertEqual(self.page.seq, answer["seq"])
            self.assertIn(f"a={direction}", answer["sdp"])
            self.page.reply("2002", "OK", answer)
            self.server.last(OfferReceived).usage.accept(sdp(version=held + 2), self.stage.now)
            self.stage.settle()

    def hold_by_server(self) -> dict[str, Any]:
        """The SIP Server's side holds the page: the OFFER of that."""
        self.usage.modify(lambda: sdp(direction="sendonly", version=2), self.stage.now)
        self.stage.settle()
        found = roap(self.page.next())
        self.assertEqual("OFFER", found["messageType"])
        return found

    def test_held(self) -> None:
        """The page is held by an OFFER; its ANSWER has its OK."""
        self.usage = self.answered()
        offer = self.hold_by_server()
        self.assertEqual(2, offer["seq"])
        self.assertNotIn("attacheddata", offer)
        self.assertIn("a=sendonly", offer["sdp"])
        self.take(offer, sdp=web_sdp(setup="active", direction="recvonly", version=2).decode())
        ok = roap(self.page.next())
        self.assertEqual(("OK", 2), (ok["messageType"], ok["seq"]))
        self.assertIsNone(self.page.poll())

    def test_glare(self) -> None:
        """The page's OFFER wins over ours, which comes again when it is answered."""
        self.usage = self.answered()
        self.hold_by_server()
        self.page.offer("5000", web_sdp(version=2))
        answer = roap(self.page.next())
        self.assertEqual("ANSWER", answer["messageType"])
        self.page.reply("5000", "OK", answer)
        self.stage.advance(5)
        again = roap(self.page.next())
        self.assertEqual("OFFER", again["messageType"])
        self.assertIn("a=sendonly", again["sdp"])

    def test_glare_before_delivery(self) -> None:
        """An OFFER of ours that no poll has brought yet is taken back."""
        self.usage = self.answered()
        self.usage.modify(lambda: sdp(direction="sendonly", version=2), self.stage.now)
        self.stage.settle()
        self.page.offer("5000", web_sdp(version=2))
        self.assertEqual("ANSWER", roap(self.page.next())["messageType"])

    def test_glare_of_the_draft(self) -> None:
        """Who follows the draft loses by its lower tie breaker, and answers ours."""
        self.usage = self.answered()
        ours = self.hold_by_server()
        self.page.offer("5000", web_sdp(version=2), tieBreaker=ours["tieBreaker"] - 1)
        self.assertEqual("CONFLICT", roap(self.page.next())["errorType"])
        self.take(ours, sdp=web_sdp(setup="active", direction="recvonly", version=2).decode())
        self.assertEqual("OK", roap(self.page.next())["messageType"])

    def test_glare_won_by_the_draft(self) -> None:
        """With a higher one it wins."""
        self.usage = self.answered()
        ours = self.hold_by_server()
        self.page.offer("5000", web_sdp(version=2), tieBreaker=ours["tieBreaker"] + 1)
        self.assertEqual("ANSWER", roap(self.page.next())["messageType"])

    def test_double_conflict(self) -> None:
        """With equal ones both try again, and ours has another."""
        self.usage = self.answered()
        ours = self.hold_by_server()
        self.page.offer("5000", web_sdp(version=2), tieBreaker=ours["tieBreaker"])
        self.assertEqual("DOUBLECONFLICT", roap(self.page.next())["errorType"])
        self.stage.advance(5)
        again = roap(self.page.next())
        self.assertEqual("OFFER", again["messageType"])
        self.assertNotEqual(ours["tieBreaker"], again["tieBreaker"])

    def test_not_noticed(self) -> None:
        """A page that does not answer an OFFER in a call is offered it anew."""
        self.usage = self.answered()
        first = self.hold_by_server()
        self.stage.advance(ANSWER_WITHIN + 5)
        again = roap(self.page.next())
        self.assertEqual("OFFER", again["messageType"])
        self.assertGreater(again["seq"], first["seq"])

    def test_offer_before_ok(self) -> None:
        """An offer of the B2BUA waits for the page's OK, or for five seconds."""
        for is_lost in (False, True):
            self.setUp()
            self.page.offer("2002")
            called = self.server.called
            called.answer(self.stage.now, sdp())
            self.stage.settle()
            answer = roap(self.page.next())
            called.modify(lambda: sdp(direction="sendonly", version=2), self.stage.now)
            self.stage.settle()
            self.assertIsNone(self.page.poll())
            if is_lost:
                self.stage.advance(OK_WITHIN)
            else:
                self.page.reply("2002", "OK", answer)
            found = self.page.got()
            assert found is not None
            self.assertEqual("OFFER", roap(found)["messageType"])

    def test_change_refused(self) -> None:
        """A change that is refused is an ERROR, and the call goes on."""
        self.up()
        self.page.offer("2002", web_sdp(codecs="63", version=2).replace(b"a=rtpmap:111", b"a=x:"))
        found = roap(self.page.next())
        self.assertEqual("ERROR", found["messageType"])
        self.assertFalse(self.server.has(Ended))
        self.assertEqual([], self.stage.told(CallEnded))

    def test_page_refuses(self) -> None:
        """A page that refuses a change is 488 to whoever wanted it."""
        self.usage = self.answered()
        offer = self.hold_by_server()
        self.page.reply("5000", "ERROR", offer, errorType="REFUSED")
        self.assertIsNone(self.page.poll())
        self.assertFalse(self.server.has(Ended))

    def test_asked_for_an_offer(self) -> None:
        """What the SIP Server's side asks for by a re-INVITE without an offer it gets."""
        self.usage = self.answered()
        self.usage.modify(None, self.stage.now)
        self.stage.settle()
        self.assertTrue(self.server.has(OfferReceived))

    def test_renewed_connection(self) -> None:
        """A page with a new connection begins its numbers anew: that is no copy."""
        self.up()
        body = web_sdp(version=1, ufrag="renewed").replace(b"o=- 4711", b"o=- 4712")
        self.page.offer("2002", body, seq=1)
        self.assertEqual("ANSWER", roap(self.page.next())["messageType"])


class GatheringTests(PageCase):
    """Candidates that are known later."""

    def setUp(self) -> None:
        """Know them when the test says so."""
        super().setUp()
        self.stage.gathering = []

    def gathered(self, *candidates: str) -> None:
        """All are known."""
        waiting, self.stage.gathering = self.stage.gathering or [], []
        for _, then in waiting:
            then(candidates)
        self.stage.settle()

    def test_answer_waits(self) -> None:
        """An ANSWER waits for them, and has them."""
        self.page.offer("2002")
        called = self.server.called
        called.answer(self.stage.now, sdp())
        self.stage.settle()
        self.assertIsNone(self.page.poll())
        late = "2 1 udp 1694498815 198.51.100.1 40000 typ srflx raddr 0.0.0.0 rport 0"
        self.gathered(late)
        text = self.page.got()
        assert text is not None
        found = roap(text)
        self.assertIn(f"a=candidate:{late}", found["sdp"])
        self.assertIn(f"candidate:{late}", [entry["candidate"] for entry in found["Candidates"]])

    def test_order(self) -> None:
        """What comes up behind it waits with it."""
        self.page.offer("2002")
        called = self.server.called
        called.answer(self.stage.now, sdp())
        self.stage.settle()
        called.notify("hold", self.stage.now)
        self.stage.settle()
        self.assertIsNone(self.page.poll())
        self.gathered()
        text = self.page.got()
        assert text is not None
        self.assertEqual("ANSWER", roap(text)["messageType"])
        self.assertEqual("EVENT-HOLD", self.page.next())

    def test_end_meanwhile(self) -> None:
        """When the call ends meanwhile, only its end leaves; of a call unheard of nothing does."""
        self.page.offer("2002")
        called = self.server.called
        called.answer(self.stage.now, sdp())
        self.stage.settle()
        called.bye(self.stage.now)
        self.stage.settle()
        self.gathered()
        self.assertEqual("BYE", self.page.next())
        usage = self.server.call("1001", sdp())
        self.stage.advance(0.3)
        usage.cancel(self.stage.now)
        self.stage.settle()
        self.gathered()
        self.assertIsNone(self.page.poll())


class DataTests(PageCase):
    """INFO, numbers, and the SIP Server that works the page."""

    def test_info_map(self) -> None:
        """INFO-MAP is attached data for the SIP Server."""
        self.up()
        self.page.post("2002", "INFO-MAP color=red&n=a%20b")
        info = self.server.seen("INFO")[-1]
        self.assertEqual("application/x-www-form-urlencoded", info.get("Content-Type"))
        self.assertEqual(b"color=red&n=a%20b", info.body)

    def test_info_peer(self) -> None:
        """INFO-PEER goes to the peer as it is, and comes from it so."""
        called = self.up()
        self.page.post("2002", "INFO-PEER text=a+b%26c")
        info = self.server.seen("INFO")[-1]
        self.assertEqual("application/octet-stream", info.get("Content-Type"))
        self.assertEqual(b"text=a+b%26c", info.body)
        self.server.last(InDialogRequest).usage.respond(
            self.server.last(InDialogRequest).transaction, 200, self.stage.now
        )
        called.info([("Content-Type", "application/octet-stream")], b"k=%41+", self.stage.now)
        self.stage.settle()
        self.assertEqual("INFO-PEER k=%41+", self.page.next())
        self.assertEqual("2002", self.page.peer)

    def test_large_info(self) -> None:
        """Data have their bounds on every leg."""
        called = self.up()
        self.assertEqual(413, self.page.post("2002", "INFO-PEER " + "x" * 8193).code)
        body = b"x" * 8193
        called.info([("Content-Type", "application/octet-stream")], body, self.stage.now)
        self.stage.settle()
        self.assertIn(413, self.statuses())
        self.assertIsNone(self.page.poll())

    def test_stats(self) -> None:
        """GET-STATS brings the numbers of the call's media."""
        self.up()
        self.stage.advance(2)
        self.page.post("2002", "GET-STATS")
        text = self.page.next()
        self.assertTrue(text.startswith("PUT-STATS"))
        found = json.loads(text[9:])
        self.assertEqual(1_700_000_000_500, found["timestamp"])
        self.assertGreaterEqual(found["duration"], 2000)
        self.assertEqual({"packets": 0, "bytes": 0, "lost": 0, "jitter": 0}, found["audio"]["rx"])
        self.assertLessEqual({"rtt", "rtt_max", "rtt_average", "tx"}, set(found["audio"]))

    def test_unknown_peer(self) -> None:
        """What is about a call that is over is 200 and nothing else."""
        for text in ("BYE", "INFO-PEER a=b", "GET-STATS", 'RSMP {"messageType":"OK","seq":1}'):
            self.assertEqual(200, self.page.post("2002", text).code)
        self.assertIsNone(self.page.poll())


class InjectionTests(PageCase):
    """What a page attaches never is more than that."""

    def test_attached(self) -> None:
        """Each pair is one header field or none; the call is made in any case."""
        nasty: list[tuple[object, object]] = [
            ("a\r\nVia", "x"),
            ("a", "x\r\nRoute: <sip:evil.example>"),
            ("b", "x\nX-Evil: 1"),
            ("c", "x\0y"),
            ("d: e", "f"),
            ("", "x"),
            ("k" * 65, "x"),
            ("f", "y" * 1025),
            ("CallUUID", "1"),
            ("g", "\x7f"),
            ("h", "%0d%0aX-Evil: 1"),
            ("ok", "caf\u00e9 %"),
        ]
        self.page.offer("2002", attacheddata=[{"key": k, "value": v} for k, v in nasty])
        invite = self.server.seen("INVITE")[-1]
        found = {n: v for n, v in invite.headers if n.lower().startswith("x-")}
        self.assertEqual({"X-genesys-service_type", "X-genesys-h", "X-genesys-ok"}, set(found))
        self.assertEqual("caf%C3%A9 %25", found["X-genesys-ok"])
        self.assertEqual("%250d%250aX-Evil: 1", found["X-genesys-h"])
        plain = BrowserPage(self.stage)
        plain.sign_in("1002")
        plain.offer("2002")
        others = len(self.server.seen("INVITE")[-1].headers)
        self.assertEqual(others + 2, len(invite.headers))

    def test_too_much(self) -> None:
        """Of too much data the first goes on."""
        listed = [{"key": f"k{i}", "value": "v" * 900} for i in range(20)]
        self.page.offer("2002", attacheddata=listed)
        invite = self.server.seen("INVITE")[-1]
        kept = [n for n, _ in invite.headers if n.startswith("X-genesys-k")]
        self.assertTrue(1 <= len(kept) <= 4, kept)

    def test_info(self) -> None:
        """INFO-MAP with what may not go on goes nowhere, and the call stays."""
        self.up()
        for body in ("a%0d%0a=b", "a=%00", "%=1", "a=%ff"):
            self.assertEqual(200, self.page.post("2002", f"INFO-MAP {body}").code)
        self.assertEqual([], self.server.seen("INFO"))
        self.assertFalse(self.server.has(Ended))

    def test_user(self) -> None:
        """A name that would be more than a name does not sign in."""
        for user in ("a%0d%0aVia:x", "%3Csip:a@b%3E", "a%20b", "", "x" * 65, "%22", "%ff"):
            self.assertEqual(400, self.page.ask("GET", f"/sign_in?{user}").code, user)
