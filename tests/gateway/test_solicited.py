"""An INVITE without an offer: the page is asked for one."""

from __future__ import annotations

from b2bua.sip.headers import parse_name_addr
from b2bua.sip.hop import BROWSER, Hop
from b2bua.sip.outputs import Send
from b2bua.sip.transactions import TransactionTable
from b2bua.sip.uri import parse_uri
from b2bua.sip.usage_events import (
    AnswerReceived,
    Established,
    Invitation,
    OfferReceived,
    Profile,
    UsageEvent,
)
from b2bua.sip.user_agent import UserAgent
from tests.b2bua.browsers import web_sdp
from tests.gateway.pages import PageCase
from tests.gateway.stage import BROWSER_HOST, roap
from tests.sip.exchanges import counted


class SolicitedTests(PageCase):
    """Another B2BUA in the place of ours, which always offers."""

    def setUp(self) -> None:
        """Make its user agent, at the session's hop."""
        super().setUp()
        session = self.stage.gateway.sessions.find(self.page.sid)
        assert session is not None
        self.hop = Hop(BROWSER, BROWSER_HOST, 0, session.number)
        self.events: list[UsageEvent] = []
        token = counted("other")
        self.agent = UserAgent(
            TransactionTable(lambda hop: "192.0.2.1:5066", token),
            sent_by=lambda hop: "192.0.2.1:5066",
            token=token,
            contact=lambda hop: parse_name_addr("<sip:192.0.2.1:5066>"),
            route=lambda uri, hop: hop,
            random_below=lambda bound: 0,
            profile=Profile(session_expires=0),
        )
        self.invitation = Invitation(
            parse_uri("sip:w1@gateway.invalid:5060"),
            parse_name_addr("<sip:5000@sip.example.com>"),
            parse_name_addr("<sip:1001@sip.example.com>"),
        )

    def move(self) -> None:
        """Carry messages between the two until there are none."""
        now, gateway = self.stage.now, self.stage.gateway
        moved = True
        while moved:
            moved = False
            for output in self.agent.take_outputs():
                moved = True
                if isinstance(output, Send):
                    gateway.receive(output.message, output.hop, now)
                elif isinstance(output, UsageEvent):
                    self.events.append(output)
            for sent in gateway.agent.take_outputs():
                moved = True
                self.agent.receive(sent.message, sent.hop, now)
        self.stage.settle()

    def last(self, kind: type[UsageEvent]) -> UsageEvent:
        """The latest event of a kind."""
        return next(event for event in reversed(self.events) if isinstance(event, kind))

    def page_offers(self) -> None:
        """The page offers."""
        session = self.stage.gateway.sessions.find(self.page.sid)
        assert session is not None
        self.page.seq += 1
        text = (
            'RSMP {"messageType":"OFFER","offererSessionId":103,"answererSessionId":null,'
            f'"seq":{self.page.seq},"sdp":"'
            + web_sdp(version=self.page.seq).decode().replace("\r\n", "\\r\\n")
            + '"}'
        )
        self.stage.gateway.post(session, "5000", text, self.stage.now)
        self.move()

    def page_confirms(self, answer: dict[str, object]) -> None:
        """The page says OK."""
        self.page.reply("5000", "OK", answer)

    def test_call_and_change(self) -> None:
        """INVITE, the page's OFFER in the 200, the answer in the ACK; and so again in the call."""
        usage = self.agent.invite(self.invitation, self.hop, self.stage.now)
        self.move()
        self.assertEqual("INVITE", self.page.next())
        self.assertEqual("5000", self.page.peer)
        self.page_offers()
        self.assertIsInstance(self.last(Established), Established)
        offered = self.last(OfferReceived)
        assert isinstance(offered, OfferReceived)
        self.assertIn(b"m=audio", offered.message.body)
        usage.accept(web_sdp(setup="active", ufrag="ours"), self.stage.now)
        self.move()
        answer = roap(self.page.next())
        self.assertEqual(("ANSWER", 1), (answer["messageType"], answer["seq"]))
        self.page_confirms(answer)
        usage.modify(None, self.stage.now)
        self.move()
        self.assertEqual("INVITE", self.page.next())
        self.page_offers()
        usage.accept(web_sdp(setup="active", ufrag="ours", version=2), self.stage.now)
        self.move()
        answer = roap(self.page.next())
        self.assertEqual(("ANSWER", 2), (answer["messageType"], answer["seq"]))
        self.assertFalse(any(isinstance(event, AnswerReceived) for event in self.events))

    def test_rings(self) -> None:
        """180 goes out when the INVITE has left for the page."""
        self.agent.invite(self.invitation, self.hop, self.stage.now)
        self.move()
        before = self.stage.core.ignored["no-transaction"]
        self.page.next()
        # The stage gives it to the core, which has not asked for it.
        self.assertEqual(before + 1, self.stage.core.ignored["no-transaction"])
