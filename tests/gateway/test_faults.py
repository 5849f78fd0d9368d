"""Faults of our own in the call of one page."""

from __future__ import annotations

from typing import NoReturn

from b2bua.call_events import Fault, SignedOut
from b2bua.gateway import agent as gateway_agent
from b2bua.gateway.call import Call
from b2bua.gateway.session import Session
from b2bua.sip.message import Request
from b2bua.sip.usage_events import Ended
from tests.b2bua.browsers import web_sdp
from tests.b2bua.network import sdp
from tests.gateway.pages import PageCase
from tests.gateway.stage import BrowserPage, roap


class Injected(Exception):
    """Nobody has foreseen this one."""


def _fail(*given: object) -> NoReturn:
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
        self.assertEqual(fault.call, "of page w1")
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

    def test_fault_as_a_session_ends(self) -> None:
        """Its poll has been missing for too long: the session ends, and so do all its calls."""
        called = self.up()
        self.call_of("2002").forget = _fail  # type: ignore[method-assign]
        self.stage.advance(600)
        assert self.stage.gateway is not None
        self.assertEqual(list(self.stage.gateway.sessions), [])
        self.assertEqual(len(self.stage.gateway.sessions.deadlines), 0)
        self.assertEqual(len(self.stage.told(SignedOut)), 2)
        self.assertEqual([event.usage for event in self.ends()], [called])
        self.assertEqual(len(self.stage.core.calls), 0)

    def test_fault_behind_the_calls_of_a_session(self) -> None:
        """What goes wrong in none of its calls does not keep a session either."""
        assert self.stage.gateway is not None
        self.stage.gateway.agent.registers.stop = _fail  # type: ignore[method-assign]
        self.stage.advance(600)
        self.assertEqual(list(self.stage.gateway.sessions), [])
        self.assertEqual([fault.call for fault in self.stage.told(Fault)], ["", ""])

    def test_fault_as_a_silent_call_ends(self) -> None:
        """Of the calls of a page that is gone the other one ends all the same."""
        session = self.call_of_two()
        self.call_of("2002").end = _fail  # type: ignore[method-assign]
        assert self.stage.gateway is not None
        self.patch(gateway_agent, "have_ceased", lambda *given: True)
        ended = self.stage.gateway.agent.hang_up_silent(session, 0.0, self.stage.now)
        self.stage.settle()
        self.assertEqual(ended, 2)
        self.assertEqual(session.calls, {})
        self.assertEqual(len(self.ends()), 2)

    def call_of_two(self) -> Session:
        """The session of the first page, which holds two calls."""
        session = self.session()
        session.holds_several = True
        for peer in ("2002", "2003"):
            self.page.offer(peer)
            self.server.called.answer(self.stage.now, sdp())
            self.stage.settle()
        self.assertEqual(list(session.calls), ["2002", "2003"])
        return session

    def session(self) -> Session:
        """The session of the first page."""
        assert self.stage.gateway is not None
        return next(s for s in self.stage.gateway.sessions if s.sid == self.page.sid)

    def test_fault_as_a_page_is_rung(self) -> None:
        """The caller hears 500, and the page is free for the next one."""
        real = gateway_agent.from_headers
        self.patch(gateway_agent, "from_headers", _fail)
        self.server.call("1001", sdp())
        self.assertEqual(self.session().calls, {})
        self.patch(gateway_agent, "from_headers", real)
        self.server.call("1001", sdp())
        self.assertIn("OFFER", self.page.next())
        self.assertEqual(self.statuses()[-1], 180)
        self.assertNotIn(486, self.statuses())
        self.assertEqual([fault.call for fault in self.stage.told(Fault)], ["of page w1"])

    def test_refreshes_of_one_moment(self) -> None:
        """Both pages' DNs are due: one is refreshed, the other tried again half a minute later."""
        assert self.stage.gateway is not None
        registers = self.stage.gateway.agent.registers
        first, second = self.stage.gateway.sessions
        real = registers._request

        def request(session: Session) -> Request:
            return _fail() if session is first else real(session)

        self.patch(registers, "_request", request)
        due = self.stage.now + 3600
        registers.handle_timeout(due)
        self.assertEqual((first.register_sequence, second.register_sequence), (1, 2))
        self.assertEqual(len(self.stage.told(Fault)), 1)
        self.patch(registers, "_request", real)
        registers.handle_timeout(due + 31)
        self.assertEqual(first.register_sequence, 2)
