"""Offers while a call lasts, glare, and candidates that are known later."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from b2bua.call_events import CallEnded, CallHeld
from b2bua.gateway.call import ANSWER_WITHIN, OK_WITHIN, TABLE
from b2bua.gateway.roap_states import IGNORED, RoapInput, RoapState
from b2bua.sdp.description import parse
from b2bua.sip.usage_events import (
    Ended,
    OfferReceived,
)
from tests.b2bua.browsers import web_sdp
from tests.b2bua.network import sdp
from tests.gateway.pages import PageCase
from tests.gateway.stage import roap


class TableTests(SynchronousTestCase):
    """States and inputs."""

    def test_complete(self) -> None:
        """Each pair has an effect, or a reason for having none, and never both."""
        for state in RoapState:
            both = [*TABLE[state], *IGNORED[state]]
            self.assertEqual(sorted(RoapInput), sorted(both), state)


class ChangeTests(PageCase):
    """Offers while a call lasts."""

    def test_second_medium_without_a_transport(self) -> None:
        """A second audio that leaves the bundle and names no transport is refused."""
        self.page.offer("self", web_sdp("audio", "audio"))
        self.page.reply("self", "OK", roap(self.page.next()))
        head, first, second = web_sdp("audio", "audio", version=2).decode().split("m=audio")
        bare = [
            line
            for line in second.split("\r\n")
            if not line.startswith(("a=ice", "a=fingerprint", "a=setup"))
        ]
        head = head.replace("BUNDLE 0 1", "BUNDLE 0")
        body = "m=audio".join([head, first, "\r\n".join(bare)])
        self.assertEqual(200, self.page.offer("self", body.encode()).code)
        answer = roap(self.page.next())
        self.assertEqual("ANSWER", answer["messageType"])
        ports = [int(line.split()[1]) for line in answer["sdp"].split("\r\n") if "m=" in line]
        self.assertEqual([True, False], [port > 0 for port in ports])

    def test_long_names_of_descriptions(self) -> None:
        """By what copies are recognised is bounded, however long a page makes it."""
        self.up()
        body = web_sdp(version=2).decode()
        origin = next(line for line in body.split("\r\n") if line.startswith("o="))
        user, _, rest = origin.split(" ", 2)
        self.page.offer("2002", body.replace(origin, f"{user} {'7' * 50_000} {rest}").encode())
        (call,) = next(iter(self.stage.gateway.sessions)).calls.values()
        self.assertLess(max(len(origin) for *_, origin in call.seen), 100)

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

    def test_video_without_ports(self) -> None:
        """
        A page adds video while no pair of ports is free: it is refused, and audio goes on.

        A hold that it posts afterwards is served.
        """
        self.up()
        self.stage.plane._pairs = len(self.stage.plane.open_ends)
        self.assertEqual(200, self.page.offer("2002", web_sdp("audio", "video", version=2)).code)
        answer = roap(self.page.next())
        self.assertEqual("ANSWER", answer["messageType"])
        audio, video = parse(answer["sdp"].encode()).media
        self.assertTrue(audio.port)
        self.assertTrue(video.rejected)
        self.assertFalse(self.server.has(OfferReceived))
        self.page.reply("2002", "OK", answer)
        hold = web_sdp("audio", "video", version=3, direction="inactive")
        self.assertEqual(200, self.page.offer("2002", hold).code)
        self.assertTrue(self.stage.told(CallHeld)[-1].held)
        self.assertIn("a=inactive", roap(self.page.next())["sdp"])

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

    def test_crosses_goodbye(self) -> None:
        """An OFFER that crosses the page's BYE is no new call: a BYE follows it."""
        self.usage = self.answered()
        self.hold_by_server()
        self.page.post("5000", "BYE")
        self.assertEqual("BYE", self.page.next())
        self.assertIsNone(self.page.poll())

    def test_unseen_at_goodbye(self) -> None:
        """One that has not left stays, and nothing follows."""
        self.usage = self.answered()
        self.usage.modify(lambda: sdp(direction="sendonly", version=2), self.stage.now)
        self.stage.settle()
        self.page.post("5000", "BYE")
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
