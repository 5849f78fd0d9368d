"""Tests of suite.reactor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from suite.reactor import MillisecondReactor


class MillisecondLoop(asyncio.SelectorEventLoop):
    """A loop with rigged time that rounds as uvloop does; nothing of it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.wanted: tuple[float, Callable[[], object]] | None = None
        self.wake_ups = 0

    def time(self) -> float:
        return int(self.now * 1000) / 1000

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[[], object], *args: object, **more: object
    ) -> asyncio.Handle:
        self.wanted = (self.time() + round((when - self.time()) * 1000) / 1000, callback)
        return asyncio.Handle(lambda: None, (), self)

    def run_to(self, end: float) -> None:
        """Let every timer fire until ``end``; a turn takes a hundredth of a millisecond."""
        while self.wanted is not None and self.wanted[0] <= end:
            when, callback = self.wanted
            self.wanted = None
            self.now = max(self.now + 0.00001, when)
            self.wake_ups += 1
            callback()
        self.now = end


class MillisecondReactorTests(SynchronousTestCase):
    """Delayed calls over a loop that counts in whole milliseconds."""

    def setUp(self) -> None:
        self.loop = MillisecondLoop()
        self.reactor = MillisecondReactor(self.loop)
        self.reactor.seconds = lambda: self.loop.now  # type: ignore[method-assign]
        self.addCleanup(self.loop.close)

    def test_one_wake_up_for_each_moment(self) -> None:
        """A call is due when the loop wakes up for it: nobody waits for the rest in a spin."""
        fired: list[float] = []
        moments = [0.0104 + 0.0307 * number for number in range(100)]
        for moment in moments:
            self.reactor.callLater(moment, lambda: fired.append(self.loop.now))
        self.loop.run_to(1005.0)
        self.assertEqual(len(fired), 100)
        self.assertLessEqual(self.loop.wake_ups, 101)
        late = [at - 1000.0 - moment for at, moment in zip(fired, moments, strict=True)]
        self.assertTrue(min(late) >= 0 and max(late) < 0.0021, (min(late), max(late)))

    def test_at_once(self) -> None:
        """What is to come in the next turn is not put off."""
        self.reactor.callLater(0, lambda: None)
        self.assertEqual(self.reactor.timeout(), 0)
