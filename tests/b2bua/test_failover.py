"""Tests of many registrations with a pair of servers that fail in many ways."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from b2bua.pace import Pace
from b2bua.registration import Registrations
from b2bua.registration_terms import (
    Answer,
    Closed,
    Delayed,
    Expired,
    Refused,
    Register,
    Unregistered,
)
from b2bua.upstreams import AllDown, Recovered, Switched
from tests.b2bua.pair import FAILOVER, Mode, Pair, closed, numbers

OK = Answer(200, expires=140)


class ShutDownTests(SynchronousTestCase):
    """The end."""

    def test_all_unregistered(self) -> None:
        """All are unregistered at the usual pace, then the end is told."""
        pair = Pair()
        pair.sign_in(*numbers(200))
        pair.run(10.0)
        begin = pair.now
        pair.shut_down(10.0)
        pair.run(20.0)
        self.assertEqual(closed(pair), Closed(0))
        self.assertEqual(len(pair.tell(Unregistered)), 200)
        self.assertEqual(pair.bound(), set())
        self.assertTrue(pair.most_in_a_second(begin) <= 50)

    def test_time_limit(self) -> None:
        """When time is up, the rest is left to expire; then nothing is sent any more."""
        pair = Pair()
        pair.sign_in(*numbers(1000))
        pair.run(30.0)
        pair.shut_down(10.0)
        pair.run(10.0)
        end = closed(pair)
        assert end is not None
        self.assertTrue(480 <= end.abandoned <= 520, end)
        amount = len(pair.sent)
        pair.run(200.0)
        self.assertEqual(len(pair.sent), amount)
        self.assertEqual(len(pair.registrations), 0)

    def test_no_sign_in(self) -> None:
        """Whoever signs in during the shut-down is refused."""
        pair = Pair()
        pair.sign_in("1")
        pair.run(1.0)
        pair.shut_down(10.0)
        pair.sign_in("1", "2")
        self.assertEqual(pair.tell(Refused), [Refused("1", 503), Refused("2", 503)])

    def test_nobody_there(self) -> None:
        """With nobody signed in it is over at once; while all servers are down, in time."""
        pair = Pair()
        pair.shut_down(10.0)
        self.assertEqual(closed(pair), Closed(0))
        pair = Pair(servers=1)
        pair.sign_in("1")
        pair.run(1.0)
        pair.modes[0] = Mode.SILENT
        pair.run(60.0)
        pair.shut_down(10.0)
        pair.run(10.0)
        self.assertEqual(closed(pair), Closed(1))


class FailoverTests(SynchronousTestCase):
    """A pair of servers, one of which fails, or both."""

    def test_silent_primary(self) -> None:
        """
        The primary stops in the middle of a REGISTER: the DN is bound by the other one within
        6 s, with the same Call-ID and the next CSeq.
        """
        pair = Pair()
        pair.run(5.0)
        pair.modes[0] = Mode.SILENT
        pair.sign_in("7001")
        pair.run(6.0)
        self.assertEqual(len(pair.times_of(Switched)), 1)
        self.assertEqual(pair.bound(), {"7001"})
        (_, first, one), (_, second, two) = pair.sent
        self.assertEqual((first, second), (0, 1))
        self.assertEqual((one.call_id, one.cseq + 1), (two.call_id, two.cseq))

    def test_silent_primary_under_load(self) -> None:
        """With a thousand DNs it is one switch, and nobody is registered anew because of it."""
        pair = Pair(2)
        pair.sign_in(*numbers(1000))
        pair.run(300.0)
        died, before = pair.now, len(pair.sent)
        pair.modes[0] = Mode.SILENT
        pair.run(10.0)
        self.assertEqual(len(pair.times_of(Switched)), 1)
        last = {register.dn: when for when, _, register in pair.sent[:before]}
        for when, _, register in pair.sent[before:]:
            since = when - last[register.dn]
            self.assertTrue(since >= 77.0 or FAILOVER <= since <= FAILOVER + 1.0, since)
            last[register.dn] = when
        pair.run(300.0)
        self.assertEqual(pair.tell(Expired), [])
        self.assertTrue(pair.most_in_a_second(died) <= 50)

    def test_closed_port(self) -> None:
        """A refused packet makes the switch within half a second."""
        pair = Pair()
        pair.run(5.0)
        pair.modes[0] = Mode.CLOSED
        pair.sign_in("7001")
        pair.run(0.5)
        self.assertEqual(pair.bound(), {"7001"})

    def test_overloaded_primary(self) -> None:
        """503 makes the switch."""
        pair = Pair()
        pair.run(5.0)
        pair.modes[0] = Mode.BUSY
        pair.sign_in("7001")
        pair.run(0.5)
        self.assertEqual(pair.bound(), {"7001"})

    def test_flapping(self) -> None:
        """
        The servers take turns in being dead, ten times in a minute: at most one switch in 4 s,
        at most two REGISTERs of a DN between two of them, nobody expires, and 10 s after the
        last change everybody is bound.
        """
        for seed in range(3):
            pair = Pair(seed)
            pair.sign_in(*numbers(300))
            pair.run(150.0)
            for number in range(10):
                pair.modes[number % 2] = Mode.SILENT
                pair.modes[1 - number % 2] = Mode.UP
                pair.sign_in(*numbers(5, 5000 + 5 * number))
                pair.run(6.0)
            pair.run(4.0)
            self.assertEqual(len(pair.bound()), 350)
            self.assertEqual(pair.tell(Expired), [])
            self.assertTrue(3 <= len(pair.changes) <= 15, len(pair.changes))
            switches = pair.times_of(Switched)
            for earlier, later in pairwise(switches):
                self.assertTrue(later - earlier >= FAILOVER)
            for counted in list(pair.between.values())[1:]:
                self.assertTrue(max(counted.values()) <= 2, counted.most_common(1))

    def test_both_down(self) -> None:
        """
        Both are dead for ten minutes, then one is back: a sign-in meanwhile is told within 5 s,
        nothing is sent meanwhile but probes, and all of a thousand DNs are bound again within
        30 s at no more than 50 REGISTERs in any second.
        """
        for mode in (Mode.SILENT, Mode.CLOSED):
            for seed in range(3):
                self.assert_recovers(Pair(seed), mode)

    def assert_recovers(self, pair: Pair, mode: Mode) -> None:
        """All are back in time after both were down."""
        names = numbers(1000)
        pair.sign_in(*names)
        pair.run(200.0)
        pair.modes = [mode, mode]
        pair.run(300.0)
        self.assertEqual(pair.bound(), set())
        self.assertEqual(len(pair.tell(Expired)), 1000)
        begin, sent = pair.now, len(pair.sent)
        pair.sign_in("7777")
        pair.run(300.0)
        self.assertEqual(pair.told[-1], (begin, Delayed("7777", 503)))
        self.assertEqual(len(pair.sent), sent)
        pair.modes[1] = Mode.UP
        back = pair.now
        pair.run(30.0)
        self.assertEqual(pair.bound(), {*names, "7777"})
        self.assertTrue(pair.most_in_a_second(back) <= 50)
        self.assertEqual(len(pair.times_of(Recovered)), 1)
        self.assertEqual(len(pair.times_of(AllDown)), 1)

    def test_new_sign_ins_do_not_starve_refreshes(self) -> None:
        """Three thousand sign-ins at once, for a minute: none of a thousand DNs expires."""
        pair = Pair(4)
        pair.sign_in(*numbers(1000))
        pair.run(200.0)
        pair.sign_in(*numbers(3000, 10000))
        pair.run(200.0)
        self.assertEqual(pair.tell(Expired), [])
        self.assertEqual(len(pair.bound()), 4000)

    def test_no_storm_after_restart(self) -> None:
        """
        A thousand browsers sign in at once: 20 s at the pace, each DN challenged once, and when
        the refreshes come they stay well below the pace.
        """
        pair = Pair(5)
        pair.sign_in(*numbers(1000))
        pair.run(25.0)
        self.assertEqual(len(pair.bound()), 1000)
        self.assertTrue(pair.most_in_a_second() <= 50)
        quiet = pair.now
        pair.run(1000.0)
        self.assertTrue(pair.most_in_a_second(quiet) <= 45, pair.most_in_a_second(quiet))
        self.assertTrue(pair.most_in_a_second(quiet + 500) <= 30)

    def test_challenges_count(self) -> None:
        """Answers to challenges go out at the same pace, before everything else."""
        pair = Pair(6)
        pair.challenging = True
        pair.sign_in(*numbers(500))
        pair.run(22.0)
        self.assertEqual(len(pair.bound()), 500)
        self.assertTrue(pair.most_in_a_second() <= 50)
        half = [when for when, _, register in pair.sent if register.cseq == 2]
        self.assertTrue(half[0] < pair.sent[0][0] + 1.0)

    def test_short_grant(self) -> None:
        """A registrar that grants 20 s gets refreshes in time, also over a switch."""
        pair = Pair(7)
        pair.expires = 20
        pair.sign_in(*numbers(100))
        pair.run(60.0)
        pair.modes[0] = Mode.SILENT
        pair.run(120.0)
        self.assertEqual(pair.tell(Expired), [])
        self.assertEqual(len(pair.bound()), 100)

    def test_memory(self) -> None:
        """5,000 registered DNs take no more than 800 bytes each."""
        ids = Random(1)
        registrations = Registrations(Random(1).random, lambda: f"{ids.getrandbits(128):032x}")
        names = numbers(5000, 100_000)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before = tracemalloc.get_traced_memory()[0]
        now = 100.0
        for dn in names:
            registrations.sign_in(dn, now)
        while registrations.bound < 5000:
            for output in registrations.take_outputs():
                if isinstance(output, Register):
                    registrations.answered(output, OK, now)
            now = registrations.next_timeout() or now
            registrations.handle_timeout(now)
        registrations.take_outputs()
        each = (tracemalloc.get_traced_memory()[0] - before) / 5000
        self.assertTrue(each <= 800, each)


class PairModel(RuleBasedStateMachine):
    """Browsers come and go, servers die and return, as they like."""

    @initialize(seed=st.integers(0, 999), amount=st.sampled_from([3, 40]))
    def start(self, seed: int, amount: int) -> None:
        self.pair = Pair(seed, pace=Pace(20, 5))
        self.wanted = set(numbers(amount))
        self.pair.sign_in(*numbers(amount))
        self.pair.run(10.0)

    @rule(dn=st.sampled_from(numbers(6)))
    def sign_in(self, dn: str) -> None:
        self.pair.sign_in(dn)
        self.wanted.add(dn)

    @rule(dn=st.sampled_from(numbers(6)))
    def sign_out(self, dn: str) -> None:
        self.pair.sign_out(dn)
        self.wanted.discard(dn)

    @rule(seconds=st.sampled_from([0.01, 0.05, 1.0, 4.5, 30.0, 130.0]))
    def wait(self, seconds: float) -> None:
        self.pair.run(seconds)

    @rule(number=st.integers(0, 1), mode=st.sampled_from(Mode))
    def change(self, number: int, mode: Mode) -> None:
        self.pair.modes[number] = mode

    @rule(challenging=st.booleans(), expires=st.sampled_from([30, 140]))
    def change_registrar(self, challenging: bool, expires: int) -> None:
        self.pair.challenging, self.pair.expires = challenging, expires

    @rule()
    def calm(self) -> None:
        """With both servers well, everybody is bound in due time, and nobody else is."""
        self.pair.modes = [Mode.UP, Mode.UP]
        self.pair.run(75.0)
        assert self.pair.bound() >= self.wanted
        self.pair.run(140.0)
        assert self.pair.bound() == self.wanted
        assert self.pair.registrations.bound == len(self.wanted) == len(self.pair.registrations)

    @invariant()
    def paced(self) -> None:
        if hasattr(self, "pair"):
            assert self.pair.most_in_a_second() <= 20
            switches = self.pair.times_of(Switched)
            assert all(b - a >= FAILOVER for a, b in pairwise(switches))


class NeverExpires(RuleBasedStateMachine):
    """A thousand DNs, and always one server that answers; which one changes now and then."""

    @initialize(seed=st.integers(0, 999))
    def start(self, seed: int) -> None:
        self.pair = Pair(seed)
        self.pair.sign_in(*numbers(1000))
        self.pair.run(30.0)

    @rule(
        alive=st.integers(0, 1),
        mode=st.sampled_from([Mode.SILENT, Mode.CLOSED, Mode.BUSY]),
        seconds=st.floats(30.0, 90.0),
    )
    def fail_over(self, alive: int, mode: Mode, seconds: float) -> None:
        self.pair.modes[alive], self.pair.modes[1 - alive] = Mode.UP, mode
        self.pair.run(seconds)

    @invariant()
    def bound(self) -> None:
        if hasattr(self, "pair"):
            assert not self.pair.tell(Expired)
            assert len(self.pair.bound()) == 1000
            assert self.pair.most_in_a_second(self.pair.now - 100.0) <= 50


def of_the_usual(part: float, steps: int) -> settings:
    """So many steps, and a part of the examples that the profile has: these are long ones."""
    examples = int(settings.default.max_examples / part)
    return settings(max_examples=examples, stateful_step_count=steps)


class ModelTests(SynchronousTestCase):
    """Registrations under any sequence of events."""

    def test_any_sequence(self) -> None:
        """
        The pace holds, CSeqs grow, nothing is sent while all servers are down, switches are 4 s
        apart, and when the servers are well again the books of both sides agree.
        """
        run_state_machine_as_test(PairModel, settings=of_the_usual(10 / 3, 30))

    def test_never_expires(self) -> None:
        """None of a thousand DNs ever expires while one of the servers answers."""
        run_state_machine_as_test(NeverExpires, settings=of_the_usual(25, 8))
