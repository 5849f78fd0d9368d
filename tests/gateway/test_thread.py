"""A page signs in, calls, is called and hangs up, by HTTP alone."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.call_events import CallAnswered, CallEnded, SignedIn
from b2bua.sip.usage_events import Ended, Established
from tests.b2bua.browsers import web_sdp
from tests.b2bua.network import sdp
from tests.gateway.stage import BrowserPage, Stage, roap


class ThreadTests(SynchronousTestCase):
    """From the first request to the last."""

    def setUp(self) -> None:
        """Sign a page in."""
        self.stage = Stage()
        self.page = BrowserPage(self.stage)
        answer = self.page.sign_in()
        self.assertEqual(answer.code, 200)
        self.assertRegex(answer.text, r"^sid=[0-9a-f]{32}\nrings=yes\n$")

    def test_sign_in(self) -> None:
        """A DN that signs in is registered with the SIP Server, and no more when it signs out."""
        self.assertEqual(len(self.stage.told(SignedIn)), 1)
        self.assertEqual(self.stage.a.seen("REGISTER")[-1].to.uri.user, "1001")
        self.assertEqual(self.page.ask("GET", f"/sign_out?id={self.page.sid}").code, 200)
        self.assertEqual(self.stage.a.seen("REGISTER")[-1].expires, 0)

    def test_self(self) -> None:
        """A call to self is answered at once, and ended by BYE."""
        self.assertEqual(self.page.offer("self").code, 200)
        answer = roap(self.page.next())
        self.assertEqual(answer["messageType"], "ANSWER")
        self.assertEqual((answer["offererSessionId"], answer["seq"]), (103, 1))
        self.assertEqual(self.page.peer, "self")
        self.page.reply("self", "OK", answer)
        self.assertEqual(len(self.stage.told(CallAnswered)), 1)
        self.page.post("self", "BYE")
        self.assertEqual(len(self.stage.told(CallEnded)), 1)
        self.assertIsNone(self.page.poll())

    def test_call(self) -> None:
        """A call to a number goes to the SIP Server; its hang-up is a BYE."""
        self.page.offer("2002", attacheddata=[{"key": "queue", "value": "gold"}])
        called = self.stage.a.called
        invite = self.stage.a.seen("INVITE")[-1]
        self.assertEqual(invite.get("X-genesys-queue"), "gold")
        self.assertEqual(invite.get("X-genesys-service_type"), "WebRTC")
        self.assertIsNone(self.page.poll())
        called.answer(self.stage.now, sdp())
        self.stage.settle()
        answer = self.page.got()
        assert answer is not None
        self.page.reply("2002", "OK", roap(answer))
        self.assertIsNone(self.page.poll())
        called.bye(self.stage.now)
        self.stage.settle()
        self.assertEqual(self.page.got(), "BYE")
        self.assertEqual(self.page.peer, "2002")
        self.stage.advance(40)
        self.assertTrue(self.stage.is_clean())

    def test_called(self) -> None:
        """A call of the SIP Server rings the page, which answers."""
        self.assertIsNone(self.page.poll())
        usage = self.stage.a.call("1001", sdp())
        text = self.page.got()
        assert text is not None
        self.assertTrue(text.startswith("SDP"))
        offer = roap(text)
        self.assertEqual(self.page.peer, "5000")
        self.page.reply(
            "5000", "ANSWER", offer, sdp=web_sdp(setup="active").decode(), Candidates=[]
        )
        self.assertTrue(self.stage.a.has(Established))
        self.assertEqual(roap(self.page.next())["messageType"], "OK")
        self.page.post("5000", "BYE")
        self.assertTrue(self.stage.a.has(Ended))
        self.assertEqual(usage.state.name, "ENDED")
