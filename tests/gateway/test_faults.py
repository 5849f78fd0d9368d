"""Faults of our own in the call of one page."""

from __future__ import annotations

from b2bua.call_events import Fault
from b2bua.gateway.call import Call
from b2bua.sip.usage_events import Ended
from tests.b2bua.browsers import web_sdp
from tests.b2bua.network import sdp
from tests.gateway.pages import PageCase
from tests.gateway.stage import BrowserPage, roap


class Injected(Exception):
    """Nobody has foreseen this one."""


def _fail(*given: object) -> None:
    raise Injected


class PageFaultTests(PageCase):
    """Two pages have calls; something goes wrong in that of the first."""

    def setUp(self) -> None:
        super().setUp()
        self.stage.expects_faults = True
        self.other = BrowserPage(self.stage)
        self.other.sign_in("1002")

    def call_of(self, peer: str) -> Call:
        """The gateway's call with a peer."""
        gateway = self.stage.gateway
        assert gateway is not None
        return next(s.calls[peer] for s in gateway.sessions if peer in s.calls)

    def test_fault_as_the_call_is_answered(self) -> None:
        """Its page and the SIP Server hear that it is over; the other page's call is answered."""
        self.page.offer("2002")
        called = self.server.called
        self.other.offer("2003")
        others = self.server.called
        self.call_of("2002").answer = _fail  # type: ignore[method-assign]
        called.answer(self.stage.now, sdp())
        others.answer(self.stage.now, sdp())
        self.stage.settle()
        self.assertIn("BYE", self.page.next())
        self.assertEqual([event.usage for event in self.ends()], [called])
        self.assertEqual("ANSWER", roap(self.other.next())["messageType"])
        (fault,) = self.stage.told(Fault)
        self.assertIsInstance(fault.error, Injected)
        self.assertEqual(len(self.stage.core.calls), 1)

    def test_fault_as_a_page_posts(self) -> None:
        """The page hears of the end by its poll; what it has posted was taken."""
        called = self.up()
        self.call_of("2002").take = _fail  # type: ignore[method-assign]
        self.assertEqual(200, self.page.offer("2002", web_sdp(version=2)).code)
        self.assertIn("BYE", self.page.next())
        self.assertEqual([event.usage for event in self.ends()], [called])
        self.assertEqual(len(self.stage.told(Fault)), 1)
        self.assertEqual(len(self.stage.core.calls), 0)
        self.assertEqual(self.stage.plane.open_ends, set())

    def ends(self) -> list[Ended]:
        """The ends that the SIP Server's side has been told."""
        return [event for event in self.server.events if isinstance(event, Ended)]

    def test_timers_of_one_moment(self) -> None:
        """Neither page confirms its ANSWER: the other call's timer fires all the same."""
        for page, peer in ((self.page, "2002"), (self.other, "2003")):
            page.offer(peer)
            self.server.called.answer(self.stage.now, sdp())
            self.stage.settle()
        first, second = self.call_of("2002"), self.call_of("2003")
        first.deadline = second.deadline
        assert self.stage.gateway is not None
        for call in (first, second):
            self.stage.gateway.agent._settle(call)
        first.handle_timeout = _fail  # type: ignore[method-assign]
        self.stage.advance(6)
        self.assertIsNone(second.deadline)
        self.assertEqual(len(self.stage.told(Fault)), 1)
        self.assertEqual(len(self.ends()), 1)
