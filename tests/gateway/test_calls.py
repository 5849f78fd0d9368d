"""Calls of pages, both ways, and what goes wrong with them."""

from __future__ import annotations

from b2bua.sip.usage_events import (
    Ended,
    Established,
    OfferReceived,
)
from tests.b2bua.network import sdp
from tests.gateway.pages import PageCase
from tests.gateway.stage import BrowserPage, roap


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
