"""A page that has signed in, for tests of its calls."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from b2bua.settings import PhoneSettings
from b2bua.sip.invite_client import InviteClientUsage
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
