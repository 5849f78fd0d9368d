"""Tests of b2bua.rtp.ports."""

from __future__ import annotations

from random import Random

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from twisted.trial.unittest import SynchronousTestCase

from b2bua.rtp.ports import NoPorts, PortPairs


class PortPairsTests(SynchronousTestCase):
    """Pairs of a range."""

    def pairs(self, first: int, last: int, seed: int = 1) -> PortPairs:
        return PortPairs(first, last, Random(seed).randrange, rest=30.0)

    def test_even_and_odd(self) -> None:
        """A pair is an even port and the one above it, both inside the range."""
        for first, last, expected in [
            (9000, 9003, {9000, 9002}),
            (9001, 9004, {9002}),
            (9000, 9000, set()),
            (65534, 65535, {65534}),
        ]:
            pairs = self.pairs(first, last)
            self.assertEqual(pairs.free(0.0), len(expected))
            self.assertEqual({pairs.take(0.0) for _ in expected}, expected)
            self.assertRaises(NoPorts, pairs.take, 0.0)

    def test_wrong_ranges(self) -> None:
        """A range that is none is refused."""
        for first, last in [(0, 10), (10, 9), (1, 65536)]:
            self.assertRaises(ValueError, self.pairs, first, last)

    def test_random_order(self) -> None:
        """The order is that of the random numbers."""
        orders = set()
        for seed in range(5):
            pairs = self.pairs(9000, 9099, seed)
            orders.add(tuple(pairs.take(0.0) for _ in range(50)))
        self.assertEqual(len(orders), 5)

    def test_rest(self) -> None:
        """A pair that was given back is not used before its time while there are others."""
        pairs = self.pairs(9000, 9003)
        first = pairs.take(0.0)
        pairs.give_back(first, 1.0)
        self.assertEqual(pairs.free(1.0), 2)
        second = pairs.take(2.0)
        self.assertNotEqual(second, first)
        pairs.give_back(second, 5.0)
        self.assertEqual(pairs.take(31.0), first)

    def test_longest_rested(self) -> None:
        """With nothing else left the longest rested pair serves."""
        pairs = self.pairs(9000, 9005)
        taken = [pairs.take(0.0) for _ in range(3)]
        for moment, port in enumerate(taken):
            pairs.give_back(port, float(moment))
        self.assertEqual([pairs.take(3.0) for _ in range(3)], taken)

    def test_withdrawn(self) -> None:
        """A pair of another program is not tried again before its time, whatever is left."""
        pairs = self.pairs(9000, 9001)
        pairs.withdraw(pairs.take(0.0), 0.0)
        self.assertEqual(pairs.free(29.0), 0)
        self.assertRaises(NoPorts, pairs.take, 29.0)
        self.assertEqual(pairs.take(30.0), 9000)

    def test_not_taken(self) -> None:
        """Giving back what is not out is a fault of the caller."""
        pairs = self.pairs(9000, 9003)
        port = pairs.take(0.0)
        pairs.give_back(port, 0.0)
        for wrong in (port, 9001, 8000):
            self.assertRaises(ValueError, pairs.give_back, wrong, 0.0)
            self.assertRaises(ValueError, pairs.withdraw, wrong, 0.0)


class PortPairsMachine(RuleBasedStateMachine):
    """Any order of taking and giving back, beside a model that is a set."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.out: set[int] = set()
        self.given: dict[int, float] = {}
        self.pairs = PortPairs(9000, 9009, Random(7).randrange, rest=30.0)

    @rule(passed=st.floats(0, 40))
    def wait(self, passed: float) -> None:
        self.now += passed

    @precondition(lambda self: len(self.out) < 5)
    @rule()
    def take(self) -> None:
        port = self.pairs.take(self.now)
        rested = {p: at for p, at in self.given.items() if p not in self.out and at > self.now - 30}
        if port in rested:
            assert len(rested) + len(self.out) == 5, "others were left"
            assert rested[port] == min(rested.values())
        assert port not in self.out
        assert port % 2 == 0
        self.out.add(port)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        port = data.draw(st.sampled_from(sorted(self.out)))
        self.out.remove(port)
        self.given[port] = self.now
        self.pairs.give_back(port, self.now)

    @invariant()
    def none_is_lost(self) -> None:
        assert self.pairs.free(self.now) + len(self.out) == 5


PortPairsMachineTests = PortPairsMachine.TestCase
