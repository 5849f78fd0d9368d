"""Tests of b2bua.source_budget."""

from __future__ import annotations

from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from b2bua.source_budget import SourceBudget, source_of
from tests.strategies import hosts


class SourceBudgetTests(SynchronousTestCase):
    """How long a source is listened to."""

    def setUp(self) -> None:
        self.budget = SourceBudget(3, 60.0, b"key")

    def charge(self, *times: float, source: str = "a", points: int = 1) -> None:
        for now in times:
            self.budget.charge(source, now, points)

    def test_spent(self) -> None:
        """The last point silences a source for a whole window; others are not concerned."""
        self.charge(0, 10)
        self.assertFalse(self.budget.is_spent("a", 20))
        self.charge(30)
        self.assertTrue(self.budget.is_spent("a", 30))
        self.assertTrue(self.budget.is_spent("a", 89))
        self.assertFalse(self.budget.is_spent("a", 90))
        self.assertFalse(self.budget.is_spent("b", 30))

    def test_window(self) -> None:
        """What was charged before the window does not count."""
        self.charge(0, 1, 61)
        self.charge(62)
        self.assertFalse(self.budget.is_spent("a", 62))

    def test_silence_is_not_prolonged(self) -> None:
        """More points during the silence do not make it longer."""
        self.charge(0, points=10)
        self.charge(30, points=10)
        self.assertFalse(self.budget.is_spent("a", 60))

    def test_refund(self) -> None:
        """What is given back may be spent again, but never more than was charged."""
        self.charge(0, 0, 0)
        self.budget.refund("a")
        self.assertFalse(self.budget.is_spent("a", 1))
        self.budget.refund("a", 100)
        self.charge(1, 1)
        self.assertFalse(self.budget.is_spent("a", 1))
        self.charge(1)
        self.assertTrue(self.budget.is_spent("a", 1))

    def test_clock_goes_back(self) -> None:
        """A clock that goes back silences nobody."""
        self.charge(1000, points=3)
        self.assertFalse(self.budget.is_spent("a", 10))

    def test_fixed_size(self) -> None:
        """It has as many cells after 100,000 sources as before."""
        budget = SourceBudget(3, 60.0, b"key", cells=64)
        for number in range(100_000):
            budget.charge(str(number), 0)
        self.assertEqual(len(budget), 64)

    def test_sources(self) -> None:
        """IPv4 counts as it is, in IPv6 clothes too; IPv6 counts by its /64."""
        self.assertEqual(source_of("192.0.2.1"), "192.0.2.1")
        self.assertEqual(source_of("::ffff:192.0.2.1"), "192.0.2.1")
        self.assertEqual(source_of("2001:db8::1"), source_of("2001:db8:0:0:ffff::2"))
        self.assertNotEqual(source_of("2001:db8::1"), source_of("2001:db8:0:1::1"))
        self.assertEqual(source_of("fe80::1%eth0"), source_of("fe80::2%eth0"))

    @given(hosts)
    def test_any_host(self, host: str) -> None:
        """Every address has a source."""
        self.assertTrue(source_of(host))
