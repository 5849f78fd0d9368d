"""Tests of b2bua.sip.timers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.timers import Deadlines, Timers


class TimersTests(SynchronousTestCase):
    """The values of RFC 3261, table 4."""

    def test_defaults(self) -> None:
        """With T1 of half a second, transactions last 32 s, and refusals are awaited as long."""
        timers = Timers()
        self.assertEqual((timers.t1, timers.t2, timers.t4), (0.5, 4, 5))
        self.assertEqual(timers.transaction, 32)
        self.assertEqual(timers.next_failure, 32)

    def test_timer_d_is_never_short(self) -> None:
        """Timer D is at least 32 seconds, however short T1 is, and grows with it."""
        self.assertEqual(Timers(t1=0.1).next_failure, 32)
        self.assertEqual(Timers(t1=1).next_failure, 64)

    def test_slow_non_invite(self) -> None:
        """100 to a request that is no INVITE waits until Timer E has grown to T2."""
        self.assertEqual(Timers().slow_non_invite, 0.5 + 1 + 2)
        self.assertEqual(Timers(t1=4, t2=4).slow_non_invite, 0)

    def test_nonsense(self) -> None:
        """A base value of 0 is refused: copies would go out without end."""
        for values in ({"t1": 0.0}, {"t2": 0.0}, {"t4": -1.0}):
            self.assertRaises(ValueError, Timers, **values)


class DeadlinesTests(SynchronousTestCase):
    """One moment per key, in order."""

    def test_order(self) -> None:
        """Keys come up in the order of their moments; equal moments in the order of setting."""
        deadlines: Deadlines[str] = Deadlines()
        for key, when in (("late", 3.0), ("first", 1.0), ("second", 1.0)):
            deadlines.set(key, when)
        self.assertEqual(deadlines.next(), 1.0)
        self.assertEqual(deadlines.take_due(2.0), ["first", "second"])
        self.assertEqual(deadlines.take_due(2.0), [])
        self.assertEqual(deadlines.next(), 3.0)

    def test_moved(self) -> None:
        """A key that was moved comes up once, at its new moment, be that later or earlier."""
        deadlines: Deadlines[str] = Deadlines()
        deadlines.set("a", 1.0)
        deadlines.set("a", 5.0)
        self.assertEqual(deadlines.take_due(1.0), [])
        deadlines.set("a", 1.0)
        self.assertEqual(deadlines.take_due(9.0), ["a"])
        self.assertIsNone(deadlines.next())

    def test_removed(self) -> None:
        """A key without a moment does not come up, and takes no room."""
        deadlines: Deadlines[str] = Deadlines()
        deadlines.set("a", 1.0)
        deadlines.set("a", None)
        self.assertEqual((deadlines.next(), len(deadlines)), (None, 0))

    def test_memory(self) -> None:
        """Moving a key ever and again keeps a bounded heap."""
        deadlines: Deadlines[str] = Deadlines()
        for moment in range(10_000):
            deadlines.set("a", float(moment))
        self.assertLess(len(deadlines._heap), 100)
        self.assertEqual(deadlines.take_due(1e9), ["a"])

    @given(
        st.lists(
            st.tuples(
                st.integers(0, 5), st.none() | st.integers(0, 9).map(float), st.integers(0, 9)
            )
        )
    )
    def test_like_a_plain_table(self, steps: list[tuple[int, float | None, int]]) -> None:
        """Whatever is set and taken, it is what a plain dictionary would say."""
        deadlines: Deadlines[int] = Deadlines()
        plain: dict[int, float] = {}
        for key, when, now in steps:
            deadlines.set(key, when)
            plain.pop(key, None)
            if when is not None:
                plain[key] = when
            self.assertEqual(deadlines.next(), min(plain.values(), default=None))
            due = {key for key, when in plain.items() if when <= now}
            taken = deadlines.take_due(now)
            self.assertEqual((set(taken), len(taken)), (due, len(due)))
            for key in due:
                del plain[key]
