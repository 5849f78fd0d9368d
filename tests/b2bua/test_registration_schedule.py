"""Tests of b2bua.pace and b2bua.registration_schedule."""

from __future__ import annotations

import tracemalloc
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from b2bua.pace import Pace
from b2bua.registration_schedule import Priority, Schedule, Scheduled


class PaceTests(SynchronousTestCase):
    """How fast REGISTERs may go out."""

    def test_burst_and_rate(self) -> None:
        """20 at once, then one each 20 ms, until the second is full."""
        pace = Pace(50, 20)
        self.assertEqual(sum(pace.take(10.0) for _ in range(100)), 20)
        self.assertTrue(10.019 < pace.ready_at() < 10.021)
        self.assertEqual(sum(pace.take(10.0 + n / 1000) for n in range(1000)), 30)
        self.assertEqual(pace.ready_at(), 11.06)

    def test_a_burst_takes_time(self) -> None:
        """Though the first burst is sent late, and the next one at once, a second has the rate."""
        pace, now, sent = Pace(50, 20), 0.0, []
        while len(sent) < 300:
            now = max(now, pace.ready_at())
            late = 0.05 if len(sent) % 50 < 20 and len(sent) < 50 else 0.0
            sent += [now + late] if pace.take(now) else []
        sent.sort()
        for first, later in zip(sent, sent[50:], strict=False):
            self.assertTrue(later >= first + 1.0)

    def test_any_second(self) -> None:
        """No second ever has more than the rate, whenever somebody asks; none is wasted."""
        random = Random(4)
        for rate, burst in ((50, 20), (7, 7), (1, 1), (1000, 1)):
            pace, now, taken = Pace(rate, burst), 0.0, []
            while now < 20.0:
                now = max(now, pace.ready_at()) + random.choice([0.0, 0.0, 0.0, 0.3 / rate])
                taken += [now] if pace.take(now) else []
            for first, later in zip(taken, taken[rate:], strict=False):
                self.assertTrue(later >= first + 1.0)
            self.assertTrue(len(taken) > 20 * rate * 0.85)

    def test_refused(self) -> None:
        """What is no pace is refused."""
        for rate, burst in ((0, 0), (50, 0), (10, 20)):
            self.assertRaises(ValueError, Pace, rate, burst)


class ScheduleTests(SynchronousTestCase):
    """Alarms and turns."""

    def setUp(self) -> None:
        self.schedule: Schedule[Scheduled] = Schedule(Pace(1000, 1000))
        self.items = [Scheduled() for _ in range(6)]

    def test_alarms(self) -> None:
        """They come up in order, at the time that was set last, and once."""
        for number, item in enumerate(self.items):
            self.schedule.wake(item, 10.0 - number)
        self.schedule.wake(self.items[5], 8.5)
        self.schedule.wake(self.items[4], None)
        self.assertEqual(self.schedule.next_alarm(), 7.0)
        found = [self.schedule.take_awake(9.0) for _ in range(4)]
        self.assertEqual(found, [self.items[3], self.items[2], self.items[5], self.items[1]])
        self.assertIsNone(self.schedule.take_awake(9.5))
        self.assertEqual(self.schedule.next_alarm(), 10.0)

    def test_turns(self) -> None:
        """By priority, then by what ends first, then first come, first served."""
        a, b, c, d, e, f = self.items
        self.schedule.line_up(a, Priority.REST)
        self.schedule.line_up(b, Priority.REFRESH, 70.0)
        self.schedule.line_up(c, Priority.REFRESH, 60.0)
        self.schedule.line_up(d, Priority.SIGN_IN)
        self.schedule.line_up(e, Priority.SIGN_IN)
        self.schedule.line_up(f, Priority.REST)
        self.schedule.line_up(f, Priority.AGAIN)
        self.schedule.leave(e)
        found = [self.schedule.take_turn(5.0) for _ in range(6)]
        self.assertEqual(found, [f, d, c, b, a, None])
        self.assertIsNone(self.schedule.next_turn())

    def test_no_growth(self) -> None:
        """Changing one's mind a hundred thousand times leaves no trace in memory."""
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for number in range(100_000):
            item = self.items[number % 6]
            self.schedule.wake(item, 1e6 + number)
            self.schedule.line_up(item, Priority.SIGN_IN)
            if number % 2:
                self.schedule.leave(item)
        self.assertTrue(tracemalloc.get_traced_memory()[0] < 60_000)
