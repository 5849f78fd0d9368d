"""Tests of turn.budget."""

from __future__ import annotations

import tracemalloc
from ipaddress import IPv6Address

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from turn.budget import SourceBudget

KEY = b"k" * 16


class SourceBudgetTests(SynchronousTestCase):
    """A source gets so many replies in a second, and no more."""

    def test_eleventh(self) -> None:
        """Of eleven requests within a second ten are answered, however they are spread."""
        for step in (0.0, 0.01, 0.09):
            budget = SourceBudget(10, KEY)
            answers = [budget.take("192.0.2.1", 5 + step * n) for n in range(11)]
            self.assertEqual(answers, [True] * 10 + [False], step)

    def test_next_second(self) -> None:
        """When the second is over there are ten more; requests in vain do not prolong it."""
        budget = SourceBudget(10, KEY)
        for n in range(100):
            budget.take("192.0.2.1", 5 + n / 101)
        answers = [budget.take("192.0.2.1", 6.0) for _ in range(11)]
        self.assertEqual(answers, [True] * 10 + [False])

    def test_long_run(self) -> None:
        """A source that never stops asking gets the rate, not more."""
        budget = SourceBudget(10, KEY)
        answered = sum(budget.take("192.0.2.1", n / 64) for n in range(64 * 60))
        self.assertEqual(answered, 10 * 60)

    def test_sources_are_apart(self) -> None:
        """One source's flood leaves another's budget alone."""
        budget = SourceBudget(1, KEY)
        self.assertTrue(budget.take("192.0.2.1", 0))
        self.assertFalse(budget.take("192.0.2.1", 0))
        self.assertTrue(budget.take("192.0.2.2", 0))

    def test_refund(self) -> None:
        """A reply that is given back can be had again; giving back too much gains nothing."""
        budget = SourceBudget(2, KEY)
        budget.take("192.0.2.1", 0)
        for _ in range(5):
            budget.refund("192.0.2.1")
        self.assertEqual([budget.take("192.0.2.1", 0) for _ in range(3)], [True, True, False])

    def test_unlimited(self) -> None:
        """With rate 0 every reply passes."""
        budget = SourceBudget(0, KEY)
        self.assertTrue(all(budget.take("192.0.2.1", 0) for _ in range(1000)))
        budget.refund("192.0.2.1")

    def test_clock_set_back(self) -> None:
        """A clock that goes back silences nobody."""
        budget = SourceBudget(1, KEY)
        budget.take("192.0.2.1", 1000)
        self.assertTrue(budget.take("192.0.2.1", 10))

    @given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
    def test_ipv6_by_network(self, network: int, one: int, other: int) -> None:
        """All addresses of a /64 share one budget, whatever their text looks like."""
        budget = SourceBudget(1, KEY, cells=2**16)
        self.assertTrue(budget.take(str(IPv6Address(network << 64 | one)), 0))
        self.assertFalse(budget.take(str(IPv6Address(network << 64 | other)), 0))

    def test_ipv6_networks_are_apart(self) -> None:
        """Neighbouring /64 networks have budgets of their own."""
        budget = SourceBudget(1, KEY)
        hosts = ["2001:db8::1", "2001:db8:0:1::1", "2001:db8:1::1", "2001:db9::1", "::1"]
        self.assertTrue(all(budget.take(host, 0) for host in hosts))

    def test_dotted_ipv6(self) -> None:
        """An address that ends in a dotted quad belongs to the same /64 as its other spelling."""
        budget = SourceBudget(1, KEY)
        self.assertTrue(budget.take("64:ff9b::192.0.2.1", 0))
        self.assertFalse(budget.take("64:ff9b::c000:201", 0))
        self.assertTrue(budget.take("1::2:3:4:5:192.0.2.1", 0))
        self.assertFalse(budget.take("1:0:2:3:4:5:c000:201", 0))

    def test_key_moves_collisions(self) -> None:
        """Which sources share a cell depends on the key."""

        def partners(key: bytes) -> set[str]:
            budget = SourceBudget(1, key, cells=8)
            budget.take("192.0.2.1", 0)
            return {host for n in range(64) if not budget.take(host := f"198.51.100.{n}", 0)}

        self.assertNotEqual(partners(b"a" * 16), partners(b"b" * 16))

    def test_memory_is_fixed(self) -> None:
        """A hundred thousand sources leave nothing behind."""
        budget = SourceBudget(10, KEY)
        hosts = [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(100_000)]
        tracemalloc.start()
        try:
            for host in hosts:
                budget.take(host, 0)
            current, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertLess(current, 4096)
