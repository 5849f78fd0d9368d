"""The SIP Server works a page by NOTIFY: the page acts itself, or is acted for."""

from __future__ import annotations

from b2bua.call_control import FOLLOWS_WITHIN
from b2bua.call_events import CallHeld
from b2bua.sip.message import Response
from b2bua.sip.usage_events import Established, OfferReceived
from tests.b2bua.browsers import web_sdp
from tests.b2bua.network import sdp
from tests.gateway.pages import PageCase
from tests.gateway.stage import roap


class TalkHoldTests(PageCase):
    """NOTIFY talk and hold for a page in a call, and for one that rings."""

    def notify(self, event: str) -> int:
        """The SIP Server sends it; how it is answered."""
        self.called.notify(event, self.stage.now, dialog=self.called.sessions()[0].dialog)
        self.stage.settle()
        return next(
            message.status
            for _, to, message in reversed(self.stage.trace)
            if to == self.server.hop.host
            and isinstance(message, Response)
            and message.cseq.method == "NOTIFY"
        )

    def act(self, direction: str) -> None:
        """The page does as it was told; the SIP Server's side accepts."""
        self.page.offer(self.page.peer, web_sdp(direction=direction, version=self.page.seq + 2))
        self.page.reply(self.page.peer, "OK", roap(self.page.next()))
        self.accept()

    def accept(self) -> None:
        """The SIP Server's side accepts what it is offered."""
        answer = sdp(version=int(self.stage.now))
        self.server.last(OfferReceived).usage.accept(answer, self.stage.now)
        self.stage.settle()

    def held(self) -> list[tuple[str, bool]]:
        """Who has held, and retrieved."""
        return [(event.by, event.held) for event in self.stage.told(CallHeld)]

    def test_talk_answers(self) -> None:
        """A ringing page is told to accept, and its ANSWER is the 200."""
        self.called, offer = self.rung()
        self.assertEqual(200, self.notify("talk"))
        self.assertEqual("EVENT-TALK", self.page.next())
        self.assertEqual("5000", self.page.peer)
        self.take(offer)
        self.assertTrue(self.server.has(Established))

    def test_not_heard_of(self) -> None:
        """A page that no poll has told of the call cannot accept it: 480."""
        self.called = self.server.call("1001", sdp())
        self.stage.advance(0.3)
        self.assertEqual([], self.server.seen("NOTIFY"))
        self.assertNotIn(180, self.statuses())

    def test_hold_and_talk(self) -> None:
        """A page in a call holds and retrieves by itself, once it is told."""
        self.called = self.up()
        self.assertEqual(200, self.notify("hold"))
        self.assertEqual("EVENT-HOLD", self.page.next())
        self.assertEqual([], self.held())
        self.act("inactive")
        self.assertEqual([("browser", True)], self.held())
        self.stage.advance(FOLLOWS_WITHIN + 1)
        self.assertEqual([("browser", True)], self.held())
        self.assertEqual(200, self.notify("talk"))
        self.assertEqual("EVENT-TALK", self.page.next())
        self.act("sendrecv")
        self.stage.advance(FOLLOWS_WITHIN + 1)
        self.assertEqual([("browser", True), ("browser", False)], self.held())

    def test_not_followed(self) -> None:
        """When it does not follow in time the call is held over its head, and retrieved so."""
        self.called = self.up()
        self.notify("hold")
        self.assertEqual("EVENT-HOLD", self.page.next())
        self.stage.advance(FOLLOWS_WITHIN - 0.1)
        self.assertEqual([], self.held())
        self.assertIsNone(self.page.poll())
        self.stage.advance(0.2)
        self.assertEqual([("server", True)], self.held())
        text = self.page.got()
        assert text is not None
        offer = roap(text)
        self.assertIn("a=sendonly", offer["sdp"])
        self.take(offer, sdp=web_sdp(setup="active", direction="recvonly", version=2).decode())
        self.assertEqual("OK", roap(self.page.next())["messageType"])
        self.accept()
        self.assertEqual(200, self.notify("talk"))
        self.assertEqual([("server", True), ("server", False)], self.held())
        self.assertEqual("OFFER", roap(self.page.next())["messageType"])

    def test_last_word(self) -> None:
        """A talk while the page is about to hold waits, and is what counts in the end."""
        self.called = self.up()
        self.notify("hold")
        self.assertEqual(200, self.notify("talk"))
        self.assertEqual("EVENT-HOLD", self.page.next())
        self.act("inactive")
        self.assertEqual("EVENT-TALK", self.page.next())
        self.act("sendrecv")
        self.assertEqual([("browser", True), ("browser", False)], self.held())

    def test_copy(self) -> None:
        """Another hold while the page is about to hold says nothing new."""
        self.called = self.up()
        self.notify("hold")
        self.notify("hold")
        self.assertEqual("EVENT-HOLD", self.page.next())
        self.assertIsNone(self.page.poll())
        self.stage.advance(FOLLOWS_WITHIN + 0.1)
        self.assertEqual([("server", True)], self.held())

    def test_met(self) -> None:
        """A talk of a call that is not held is 200, and the page hears nothing."""
        self.called = self.up()
        self.assertEqual(200, self.notify("talk"))
        self.assertIsNone(self.page.poll())

    def test_end(self) -> None:
        """A call that ends meanwhile leaves nothing behind."""
        self.called = self.up()
        self.notify("hold")
        self.page.post("2002", "BYE")
        self.stage.advance(40)
        self.assertTrue(self.stage.is_clean())
