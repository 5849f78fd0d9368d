"""Polls: held, answered, lost, replaced, and many of them at once."""

from __future__ import annotations

import gc
import tracemalloc

from b2bua.net.web import CLOSED_WITHIN, FLUSHED_AFTER
from b2bua.settings import GatewaySettings
from tests.b2bua.network import sdp
from tests.gateway.pages import PageCase
from tests.gateway.stage import ORIGIN, Answer, BrowserPage, Stage, Wire, roap


class PollTests(PageCase):
    """One message for each."""

    def wait(self) -> Wire:
        """A poll on a connection of its own."""
        wire = Wire(self.stage)
        wire.send("GET", f"/wait?id={self.page.sid}", Origin=ORIGIN)
        return wire

    def ring(self) -> None:
        """The SIP Server calls."""
        self.server.call("1001", sdp())

    def test_brings_one(self) -> None:
        """An answer has one message, its peer in Pragma, and what pages of other sites need."""
        wire = self.wait()
        self.assertIsNone(wire.take())
        self.ring()
        answer = wire.take()
        assert answer is not None
        self.assertEqual((200, "5000"), (answer.code, answer.headers["pragma"]))
        self.assertTrue(answer.text.startswith("SDP"))
        self.assertEqual(ORIGIN, answer.headers["access-control-allow-origin"])
        self.assertEqual("text/plain; charset=utf-8", answer.headers["content-type"])

    def test_lost_before(self) -> None:
        """A message that comes up after the connection broke waits for the next poll."""
        self.wait().drop()
        self.ring()
        answer = self.wait().take()
        assert answer is not None
        self.assertTrue(answer.text.startswith("SDP"))

    def test_lost_in_doubt(self) -> None:
        """One whose connection broke before its bytes can have left comes again."""
        wire = self.wait()
        self.ring()
        # The heads differ when a second begins between the two.
        first = Answer(wire.transport.value())
        wire.drop()
        again = Answer(self.wait().transport.value())
        self.assertEqual((first.code, first.text), (again.code, again.text))
        self.assertNotIn(180, self.statuses())

    def test_lost_with_the_answer(self) -> None:
        """One that the kernel has does not come again, though its connection breaks at once."""
        for unsent, again in ((b"", False), (b"rest", True)):
            self.setUp()
            wire = self.wait()
            wire.transport.dataBuffer = unsent
            wire.transport.offset = wire.transport._tempDataLen = 0
            self.ring()
            wire.drop()
            self.assertEqual(again, self.wait().take() is not None)

    def test_socket_that_takes_nothing(self) -> None:
        """Whoever reads no answer is looked at ever more seldom, and loses the connection."""
        wire = self.wait()
        wire.transport.dataBuffer, wire.transport.offset = b"rest", 0
        wire.transport._tempDataLen = 0
        self.ring()
        (poll,) = self.stage.web._answered.values()
        looks = 0
        for _ in range(3000):
            before = poll.delayed
            self.stage.advance(0.01)
            looks += poll.delayed is not before
        self.assertFalse(wire.transport.disconnected)
        self.assertLess(looks, 50)
        self.stage.advance(2)
        self.assertTrue(wire.transport.disconnected)
        wire.drop()
        self.assertEqual({}, self.stage.web._answered)
        self.assertIsNotNone(self.wait().take())

    def test_close_that_takes_for_ever(self) -> None:
        """A connection that we close ends, whatever its client has to say of that."""
        old = self.wait()
        self.wait()
        self.assertTrue(old.is_closed)
        self.assertFalse(old.transport.disconnected)
        self.stage.advance(CLOSED_WITHIN)
        self.assertTrue(old.transport.disconnected)

    def test_slow_socket(self) -> None:
        """What the kernel does not take for long is in doubt for long."""
        wire = self.wait()
        wire.transport.dataBuffer, wire.transport.offset = b"rest", 0
        wire.transport._tempDataLen = 0
        self.ring()
        self.stage.advance(1)
        self.assertNotIn(180, self.statuses())
        wire.transport.dataBuffer = b""
        self.stage.advance(1)
        self.assertIn(180, self.statuses())

    def test_lost_after(self) -> None:
        """One that has left does not, though its connection breaks then."""
        wire = self.wait()
        self.ring()
        self.stage.clock.advance(FLUSHED_AFTER)
        wire.drop()
        self.assertIsNone(self.wait().take())
        self.assertIn(180, self.statuses())

    def test_next_while_in_doubt(self) -> None:
        """While one is in doubt the next is not brought: it might come before it."""
        wire = self.wait()
        self.ring()
        self.stage.core.calls.hang_up_all(self.stage.now)
        self.stage.core.handle_timeout(self.stage.now)
        self.stage.settle()
        newer = self.wait()
        self.assertEqual(b"", newer.transport.value())
        wire.take()
        self.stage.advance(0.5)
        answer = newer.take()
        assert answer is not None
        self.assertEqual("BYE", answer.text)

    def test_newer(self) -> None:
        """A newer poll takes the older one's place, which is closed without an answer."""
        older, newer = self.wait(), self.wait()
        self.assertTrue(older.is_closed)
        self.assertEqual(b"", older.transport.value())
        older.drop()
        self.ring()
        self.assertIsNotNone(newer.take())

    def test_aborted(self) -> None:
        """Pages that give a poll up and poll anew lose nothing, however often."""
        for _ in range(50):
            self.wait().drop()
        self.assertEqual(0, self.stage.web.polls)
        self.ring()
        self.assertIsNotNone(self.wait().take())

    def test_same_connection(self) -> None:
        """Polls follow each other on one connection."""
        self.ring()
        offer = roap(self.page.next())
        self.take(offer)
        self.assertEqual("OK", roap(self.page.next())["messageType"])
        self.assertIsNone(self.page.poll())
        self.assertFalse(self.page.polls.is_closed)

    def test_vouched(self) -> None:
        """The connection of a poll is its user's once the SIP Server has the DN registered."""
        self.server.works = self.stage.b.works = False
        for user, expected in (("1002", ["1002"]), ("anon", [])):
            page = BrowserPage(self.stage)
            self.assertEqual(200, page.sign_in(user).code)
            told: list[str] = []
            page.polls.protocol.vouch_for = told.append
            self.assertIsNone(page.poll())
            self.assertEqual([], told)
            self.server.works = True
            self.stage.advance(40)
            self.assertEqual(expected, told)

    def test_vouched_from_the_start(self) -> None:
        """So is each that its session comes by after that."""
        wire = Wire(self.stage)
        told: list[str] = []
        wire.protocol.vouch_for = told.append
        wire.send("POST", f"/message?from={self.page.sid}&to=2002", "BYE")
        self.assertEqual(["1001"], told)

    def test_dead_page(self) -> None:
        """A page that polls no more, and has a call for it, is told of nothing twice."""
        self.ring()
        self.page.next()
        self.assertIsNone(self.page.poll())


class ManyTests(PageCase):
    """A contact centre behind one address."""

    def test_many(self) -> None:
        """Two thousand polls are held; none costs more than a few kilobytes beside its socket."""
        stage = Stage(GatewaySettings(anonymous_calls_per_minute=10_000))
        pages = []
        gc.collect()
        tracemalloc.start()
        try:
            for number in range(2000):
                page = BrowserPage(stage)
                assert stage.gateway is not None
                session = stage.gateway.sign_in(f"anon{number}", "", page.host, stage.now)
                page.sid = session.sid
                page.polls.send("GET", f"/wait?id={page.sid}")
                pages.append(page)
            gc.collect()
            used, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertEqual(2000, stage.web.polls)
        # Two connections of strings each are among it.
        self.assertLess(used / 2000, 40_000)
        pages[1234].offer("self")
        answer = pages[1234].got()
        assert answer is not None
        self.assertEqual("ANSWER", roap(answer)["messageType"])
        self.assertEqual(1999, stage.web.polls)
