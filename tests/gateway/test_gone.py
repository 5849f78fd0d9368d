"""Pages that are gone without a word: whoever they talked to is told soon, and nobody too soon."""

from __future__ import annotations

from b2bua.call_events import CallEnded, PageGone
from b2bua.gateway.gateway import GONE_AFTER
from b2bua.media_plane import StreamCounters, TransportEvent
from b2bua.media_watch import PAUSE
from b2bua.sip.usage_events import Ended
from tests.b2bua.web_plane import FakeWebPlane
from tests.gateway.pages import PageCase
from tests.gateway.stage import Wire


class GonePageTests(PageCase):
    """A call stands; the page's poll breaks, and its media cease or not."""

    def setUp(self) -> None:
        """Have a call, and a poll that is held."""
        super().setUp()
        self.up()
        self.assertIsNone(self.page.poll())
        self.hear()

    def hear(self) -> None:
        """A packet of the page comes."""
        self.plane.count = StreamCounters(received_packets=1, last_received=self.stage.now)

    @property
    def plane(self) -> FakeWebPlane:
        """The media plane."""
        assert isinstance(self.stage.plane, FakeWebPlane)
        return self.stage.plane

    def break_poll(self) -> None:
        """The page's connection is closed."""
        self.page.polls.drop()
        self.page.polls = Wire(self.stage)

    def pass_time(self, seconds: int, *, hears: bool) -> None:
        """Let it pass second by second."""
        for _ in range(seconds):
            if hears:
                self.hear()
            self.stage.advance(1)

    def become(self, event: TransportEvent) -> None:
        """Let the plane tell something of the browser's transport."""
        self.plane.only.tell(event)
        self.stage.core.handle_timeout(self.stage.now)
        self.stage.settle()

    def ended(self) -> bool:
        """Whether the SIP Server has been told."""
        return self.server.has(Ended)

    def test_crash(self) -> None:
        """Poll and media end together: twelve seconds later the call does, which a page reads."""
        self.break_poll()
        self.pass_time(int(GONE_AFTER) - 1, hears=False)
        self.assertFalse(self.ended())
        self.pass_time(2, hears=False)
        self.assertTrue(self.ended())
        [gone] = self.stage.told(PageGone)
        self.assertEqual(("1001", 1), (gone.user, gone.calls))
        self.assertEqual("BYE", self.page.poll())

    def test_asks_again(self) -> None:
        """A page that asks again, however slowly, is there, also with its network gone after."""
        self.break_poll()
        self.pass_time(11, hears=False)
        self.assertIsNone(self.page.poll())
        self.pass_time(60, hears=False)
        self.assertFalse(self.ended())

    def test_posts(self) -> None:
        """So is one that posts."""
        self.break_poll()
        self.pass_time(11, hears=False)
        self.page.post("2002", "GET-STATS")
        self.pass_time(20, hears=False)
        self.assertFalse(self.ended())

    def test_media_flow(self) -> None:
        """Nobody is hung up for whose voice still comes, though a proxy has lost its poll."""
        self.break_poll()
        self.pass_time(50, hears=True)
        self.assertFalse(self.ended())
        self.assertEqual([], self.stage.told(PageGone))

    def test_hold(self) -> None:
        """Media that ceased long before say nothing: the loss of consent ends the call."""
        self.pass_time(30, hears=False)
        self.break_poll()
        self.pass_time(28, hears=False)
        self.assertFalse(self.ended())
        self.become(TransportEvent.LOST)
        self.pass_time(int(PAUSE) + 1, hears=False)
        self.assertTrue(self.ended())
        self.assertEqual("page-gone", self.stage.told(CallEnded)[-1].cause)

    def test_lost_with_a_poll(self) -> None:
        """A page that is there is offered another way for its media."""
        self.become(TransportEvent.LOST)
        self.pass_time(5, hears=False)
        self.assertFalse(self.ended())

    def test_network_of_the_page(self) -> None:
        """Media that cease while the poll's connection stands are waited for as ever."""
        self.pass_time(40, hears=False)
        self.assertFalse(self.ended())

    def test_nothing_is_left(self) -> None:
        """Signed out while it is looked for."""
        self.break_poll()
        self.page.ask("GET", f"/sign_out?id={self.page.sid}")
        self.stage.advance(60)
        self.assertEqual([], self.stage.told(PageGone))
        self.assertTrue(self.stage.is_clean())
