"""Tests of turn.relay_ports."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from itertools import pairwise
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from tests import fewer
from turn.relay_ports import NoPorts, RelayPorts


def ports(first: int, last: int, seed: int = 1) -> RelayPorts:
    return RelayPorts(first, last, Random(seed).randrange)


class RelayPortsTests(SynchronousTestCase):
    """Ports are handed out once, at random, and come back."""

    def test_each_port_once(self) -> None:
        """Every port of the range is given exactly once, then there are none."""
        relay = ports(50000, 50099)
        self.assertEqual(relay.free, 100)
        taken = [relay.take(0) for _ in range(100)]
        self.assertEqual(sorted(taken), list(range(50000, 50100)))
        self.assertEqual(relay.free, 0)
        for take in (relay.take, relay.take_even, relay.take_pair):
            self.assertRaises(NoPorts, take, 0)

    def test_whole_number_space(self) -> None:
        """The widest range works to its last port."""
        relay = ports(1, 65535)
        self.assertEqual(len({relay.take(0) for _ in range(65535)}), 65535)
        self.assertEqual(relay.free, 0)

    def test_ranges(self) -> None:
        """What is no range of ports is refused."""
        for first, last in ((0, 10), (10, 9), (1, 65536)):
            self.assertRaises(ValueError, ports, first, last)

    def test_contains(self) -> None:
        """A port is in the range or not, taken or free."""
        relay = ports(50000, 50001)
        relay.take(0)
        self.assertEqual([port in relay for port in range(49999, 50003)], [0, 1, 1, 0])

    def test_even(self) -> None:
        """Even ports only; the odd ones stay and are found by others."""
        relay = ports(50001, 50010)
        evens = [relay.take_even(0) for _ in range(5)]
        self.assertEqual(sorted(evens), [50002, 50004, 50006, 50008, 50010])
        self.assertRaises(NoPorts, relay.take_even, 0)
        self.assertEqual(relay.free, 5)

    def test_pair(self) -> None:
        """A pair is an even port and the next one; both are taken."""
        relay = ports(50001, 50006)
        pairs = sorted(relay.take_pair(0) for _ in range(2))
        self.assertEqual(pairs, [50002, 50004])
        self.assertRaises(NoPorts, relay.take_pair, 0)
        self.assertEqual(sorted(relay.take(0) for _ in range(2)), [50001, 50006])

    def test_broken_pair(self) -> None:
        """An even port whose neighbour is taken is no pair."""
        relay = ports(50000, 50001)
        relay.take(0)
        self.assertRaises(NoPorts, relay.take_pair, 0)

    def test_rest(self) -> None:
        """A port that came back is not given again within its rest while there are others."""
        relay = ports(50000, 50009)
        port = relay.take(0)
        relay.give_back(port, 10)
        given = {relay.take(129.9) for _ in range(9)}
        self.assertNotIn(port, given)
        self.assertEqual(relay.take(130), port)

    def test_longest_rested(self) -> None:
        """If all ports rest, the one that has rested longest is given."""
        relay = ports(50000, 50003)
        taken = [relay.take(0) for _ in range(4)]
        for now, port in enumerate(taken):
            relay.give_back(port, now)
        self.assertEqual(relay.free, 4)
        self.assertEqual([relay.take(5) for _ in range(4)], taken)

    def test_longest_rested_even(self) -> None:
        """The same holds for even ports."""
        relay = ports(50000, 50005)
        for _ in range(6):
            relay.take(0)
        for now, port in enumerate((50004, 50001, 50000, 50003, 50002, 50005)):
            relay.give_back(port, now)
        self.assertEqual([relay.take_even(9) for _ in range(3)], [50004, 50000, 50002])

    def test_longest_rested_pair(self) -> None:
        """Of pairs that rest, the one that was complete first is given."""
        relay = ports(50000, 50009)
        for _ in range(5):
            relay.take_pair(0)
        given = (50008, 50004, 50000, 50002, 50006, 50003, 50007, 50001, 50005)
        for now, port in enumerate(given):
            relay.give_back(port, now)
        pairs = [relay.take_pair(9) for _ in range(4)]
        self.assertEqual(pairs, [50002, 50006, 50000, 50004])
        self.assertRaises(NoPorts, relay.take_pair, 9)

    def test_busy_port(self) -> None:
        """A withdrawn port is not given before its rest is over, even if nothing else is left."""
        relay = ports(50000, 50001)
        tried = []
        while relay.free:
            port = relay.take(10)
            tried.append(port)
            relay.withdraw(port)
        self.assertEqual(sorted(tried), [50000, 50001])
        self.assertRaises(NoPorts, relay.take, 129)
        self.assertRaises(NoPorts, relay.take_pair, 129)
        self.assertEqual(relay.take_pair(130), 50000)

    def test_withdraw_a_free_port(self) -> None:
        """A port that was not taken can be withdrawn too; one outside the range cannot."""
        relay = ports(50000, 50001)
        relay.withdraw(50000)
        self.assertEqual(relay.take(1), 50001)
        self.assertRaises(NoPorts, relay.take, 2)
        self.assertRaises(ValueError, relay.withdraw, 49999)

    def test_give_back_twice(self) -> None:
        """Giving back what is not out is an error, and changes nothing."""
        relay = ports(50000, 50009)
        port = relay.take(0)
        relay.give_back(port, 1)
        self.assertRaises(ValueError, relay.give_back, port, 2)
        self.assertRaises(ValueError, relay.give_back, 49999, 2)
        self.assertEqual(relay.free, 10)

    def test_spread(self) -> None:
        """First ports are spread evenly (chi-square with 99 degrees of freedom, p = 0.001)."""
        counted = Counter(
            relay.take(0) // 10
            for seed in range(400)
            for relay in [ports(50000, 50999, seed)]
            for _ in range(25)
        )
        chi_square = sum((counted[part] - 100) ** 2 / 100 for part in range(5000, 5100))
        self.assertLess(chi_square, 149)

    def test_order_is_random(self) -> None:
        """Neighbours seldom follow each other."""
        relay = ports(49152, 65535)
        taken = [relay.take(0) for _ in range(10_000)]
        steps = sum(abs(one - following) == 1 for one, following in pairwise(taken))
        self.assertLess(steps, 20)

    def test_many_cycles(self) -> None:
        """Ten thousand cycles over every path lose nothing."""
        relay = ports(50000, 50019)
        for cycle in range(10_000):
            now = cycle / 50
            path = cycle % 4
            if path == 0:
                relay.give_back(relay.take(now), now)
            elif path == 1:
                relay.give_back(relay.take_even(now), now)
            elif path == 2:
                pair = relay.take_pair(now)
                relay.give_back(pair + 1, now)
                relay.give_back(pair, now)
            elif relay.free > 10:
                relay.withdraw(relay.take(now))
        relay.give_back(relay.take(1000), 1000)
        self.assertEqual(relay.free, 20)

    def test_memory(self) -> None:
        """The default range costs well under a megabyte, all ports taken or all at rest."""
        tracemalloc.start()
        try:
            relay = ports(49152, 65535)
            fresh, _ = tracemalloc.get_traced_memory()
            for port in [relay.take(0) for _ in range(16384)]:
                relay.give_back(port, 1)
            resting, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertLess(fresh, 400_000)
        self.assertLess(resting, 4_500_000)


class RelayPortsMachine(RuleBasedStateMachine):
    """Any sequence of calls keeps the promises."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.relay = ports(50001, 50010)
        self.out: list[int] = []
        self.resting: dict[int, float] = {}
        self.withdrawn: dict[int, float] = {}

    def _left(self) -> set[int]:
        away = {port for port, until in self.withdrawn.items() if until > self.now}
        return set(range(50001, 50011)) - set(self.out) - away

    def _ready(self) -> set[int]:
        return {port for port in self._left() if self.resting.get(port, 0) <= self.now}

    def _took(self, *given: int) -> None:
        for port in given:
            assert port in self._left()
            self.out.append(port)
        self._count()

    def _count(self) -> None:
        assert self.relay.free == len(self._left())

    @rule()
    def take(self) -> None:
        ready, left = self._ready(), self._left()
        try:
            port = self.relay.take(self.now)
        except NoPorts:
            assert not left
            return
        assert port in ready or not ready
        self._took(port)

    @rule()
    def take_even(self) -> None:
        ready = {port for port in self._ready() if port % 2 == 0}
        left = {port for port in self._left() if port % 2 == 0}
        try:
            port = self.relay.take_even(self.now)
        except NoPorts:
            assert not left
            return
        assert port % 2 == 0
        assert port in ready or not ready
        self._took(port)

    @rule()
    def take_pair(self) -> None:
        ready, left = self._ready(), self._left()
        try:
            port = self.relay.take_pair(self.now)
        except NoPorts:
            assert not any(port % 2 == 0 and port + 1 in left for port in left)
            return
        whole = {even for even in ready if even % 2 == 0 and even + 1 in ready}
        assert port % 2 == 0
        assert port in whole or not whole
        self._took(port, port + 1)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        port = data.draw(st.sampled_from(self.out))
        self.out.remove(port)
        self.relay.give_back(port, self.now)
        self.resting[port] = self.now + 120
        self._count()

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        port = data.draw(st.sampled_from(self.out))
        self.out.remove(port)
        # The rest counts from the last call, which the owner has just made.
        self.relay.give_back(port, self.now)
        self.relay.withdraw(port)
        self.withdrawn[port] = self.now + 120
        self.resting.pop(port, None)
        self._count()

    @rule(seconds=st.floats(0, 100))
    def wait(self, seconds: float) -> None:
        self.now += seconds


class RelayPortsSequenceTests(SynchronousTestCase):
    """Whatever is called in whatever order."""

    @pytest.mark.hypothesis
    def test_any_sequence(self) -> None:
        """No port is given twice, none is lost, and rest is kept while something else is left."""
        run_state_machine_as_test(
            RelayPortsMachine,
            settings=settings(fewer(3), stateful_step_count=40),
        )
