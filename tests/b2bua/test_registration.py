"""Tests of b2bua.registration: one DN and many, and a pair of servers that fail in many ways."""

from __future__ import annotations

import tracemalloc
from itertools import count, pairwise
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
from b2bua.registration import TABLE, Registrations
from b2bua.registration_schedule import Priority, Schedule, Scheduled
from b2bua.registration_states import BOUND, OUT, Input, State
from b2bua.registration_terms import (
    Answer,
    Closed,
    Delayed,
    Expired,
    Output,
    Refused,
    Register,
    Registered,
    Terms,
    Unregistered,
)
from b2bua.upstreams import AllDown, Recovered, Switched
from tests.b2bua.pair import FAILOVER, Mode, Pair, closed, numbers

OK = Answer(200, expires=140)
SILENCE = Answer(0)
"""Stands for no answer at all, in tests that go through several outcomes."""


class PaceTests(SynchronousTestCase):
    """How fast REGISTERs may go out."""

    def test_burst_and_rate(self) -> None:
        """20 at once, then one each 20 ms, until the second is full."""
        pace = Pace(50, 20)
        self.assertEqual(sum(pace.take(10.0) for _ in range(100)), 20)
        self.assertTrue(10.019 < pace.ready_at() < 10.021)
        self.assertEqual(sum(pace.take(10.0 + n / 1000) for n in range(1000)), 30)
        self.assertEqual(pace.ready_at(), 11.0)

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


class TermsTests(SynchronousTestCase):
    """The intervals."""

    def test_refresh(self) -> None:
        """55 to 85 % of what was granted; earlier where a silence and a retry need more room."""
        for granted, failover, earliest, latest in (
            (140, 4.0, 77.0, 119.0),
            (140, 32.0, 49.18, 76.0),
            (60, 4.0, 33.0, 51.0),
            (3600, 4.0, 1980.0, 3060.0),
            (10, 4.0, 1.62, 2.5),
            (1, 4.0, 0.16, 0.25),
        ):
            terms = Terms(failover=failover)
            found = [round(terms.refresh_after(granted, draw), 2) for draw in (0.0, 1.0)]
            self.assertEqual(found, [earliest, latest])

    def test_back_off(self) -> None:
        """From 4 s, doubled to 60 s at most, between half and whole; Retry-After is kept."""
        terms = Terms()
        wholes = [terms.back_off(failures, 0.0, 1.0) for failures in (1, 2, 3, 4, 5, 99)]
        self.assertEqual(wholes, [4.0, 8.0, 16.0, 32.0, 60.0, 60.0])
        self.assertEqual(terms.back_off(1, 0.0, 0.0), 2.0)
        self.assertEqual(terms.back_off(1, 33.0, 0.5), 33.0)
        self.assertEqual(terms.back_off(1, 1e9, 0.5), 60.0)


class TableTests(SynchronousTestCase):
    """The table of states and inputs."""

    def test_complete(self) -> None:
        """Each pair that can come up stands in it, and no other."""
        waiting = {State.QUEUED, State.REGISTER_DUE, State.REFRESH_DUE, State.UNREGISTER_DUE}
        known = set(State) - {State.UNREGISTERED}
        expected = {
            Input.SIGN_IN: set(State),
            Input.SIGN_OUT: known,
            Input.TURN: waiting,
            Input.ALARM: {State.REGISTERED, State.REFRESH_DUE, State.BACKOFF},
            Input.EXPIRED: BOUND | {State.UNREGISTER_DUE},
            Input.SERVER_CHANGED: {State.REGISTERED, State.BACKOFF},
            Input.LATE: known - {State.QUEUED},
        }
        for found in Input:
            states = {state for state in State if found in TABLE[state]}
            self.assertEqual(states, expected.get(found, OUT), found)


class OneTestCase(SynchronousTestCase):
    """One DN, at time 100, that has just signed in."""

    def setUp(self) -> None:
        ids = count(1)
        self.registrations = Registrations(Random(2).random, lambda: f"call-{next(ids)}")
        self.now = 100.0
        self.registrations.sign_in("7001", self.now)
        self.register = self.sent()

    def outputs(self) -> list[Output]:
        return self.registrations.take_outputs()

    def sent(self) -> Register:
        """The REGISTER that is the only output."""
        (output,) = self.outputs()
        assert isinstance(output, Register)
        return output

    def answer(self, *answers: Answer) -> list[Output]:
        """Give these outcomes one after the other; give what was told, REGISTERs apart."""
        told: list[Output] = []
        for answer in answers:
            if answer is SILENCE:
                self.registrations.unanswered(self.register, self.now)
            elif answer.status == 401:
                self.registrations.challenged(self.register, self.now)
            else:
                self.registrations.answered(self.register, answer, self.now)
            told += self.sort(self.outputs())
        return told

    def sort(self, outputs: list[Output]) -> list[Output]:
        """Take a REGISTER as the one that is out now, and give the rest."""
        for output in outputs:
            if isinstance(output, Register):
                self.register = output
        return [output for output in outputs if not isinstance(output, Register)]

    def wait(self) -> list[Output]:
        """Let the next moment come at which something is due."""
        due = self.registrations.next_timeout()
        assert due is not None and due > self.now
        self.now = due
        self.registrations.handle_timeout(self.now)
        return self.sort(self.outputs())

    def state(self) -> State:
        return self.registrations.state("7001")


class LifeCycleTests(OneTestCase):
    """Sign-in, refresh, sign-out."""

    def test_sign_in(self) -> None:
        """A REGISTER goes out at once and asks for 140 s; the answer is told."""
        self.assertEqual(self.register, Register("7001", "call-1", 1, 140, 0))
        self.assertEqual(self.state(), State.REGISTERING)
        self.assertEqual(self.answer(OK), [Registered("7001")])
        self.assertEqual(self.state(), State.REGISTERED)
        self.assertEqual((self.registrations.bound, len(self.registrations)), (1, 1))

    def test_refresh(self) -> None:
        """It is refreshed between 55 and 85 % of what was granted; same Call-ID, next CSeq."""
        self.answer(OK)
        for cseq in (2, 3, 4):
            before = self.now
            self.assertEqual(self.wait(), [])
            self.assertTrue(77.0 <= self.now - before <= 119.0)
            self.assertEqual(self.register, Register("7001", "call-1", cseq, 140, 0))
            self.assertEqual(self.answer(OK), [])

    def test_granted(self) -> None:
        """What was granted counts if it is less than what was asked for; more is not used."""
        for granted, earliest, latest in ((60, 33.0, 51.0), (3600, 77.0, 119.0)):
            self.answer(Answer(200, expires=granted))
            before = self.now
            self.wait()
            self.assertTrue(earliest <= self.now - before <= latest)

    def test_nothing_granted(self) -> None:
        """A 200 that grants nothing is a failure."""
        self.assertEqual(self.answer(Answer(200)), [Delayed("7001", 200)])
        self.assertEqual(self.state(), State.BACKOFF)

    def test_sign_out(self) -> None:
        """A sign-out asks for 0 s, and the DN is forgotten with the answer."""
        self.answer(OK)
        self.registrations.sign_out("7001", self.now)
        self.assertEqual(self.sort(self.outputs()), [])
        self.assertEqual(self.register, Register("7001", "call-1", 2, 0, 0))
        self.assertEqual(self.answer(Answer(200)), [Unregistered("7001")])
        self.assertEqual(len(self.registrations), 0)
        self.assertIsNone(self.registrations.next_timeout())

    def test_no_zombie(self) -> None:
        """After a sign-out nothing is sent again, whatever still arrives."""
        self.answer(OK)
        self.wait()
        refresh = self.register
        self.registrations.sign_out("7001", self.now)
        self.assertEqual(self.outputs(), [], "a second REGISTER beside the first")
        self.assertEqual(self.answer(OK), [])
        self.assertEqual(self.register.expires, 0)
        self.assertEqual(self.answer(Answer(200)), [Unregistered("7001")])
        self.registrations.answered(refresh, OK, self.now)
        self.registrations.unanswered(refresh, self.now)
        self.registrations.challenged(refresh, self.now)
        self.assertEqual(self.outputs(), [])
        self.assertEqual(self.state(), State.UNREGISTERED)

    def test_sign_out_of_unknown(self) -> None:
        """A sign-out of a DN that is not signed in is nothing."""
        self.registrations.sign_out("1", self.now)
        self.assertEqual(self.outputs(), [])

    def test_return(self) -> None:
        """A sign-in while the sign-out is under way waits for it: same Call-ID, next CSeq."""
        self.answer(OK)
        self.registrations.sign_out("7001", self.now)
        self.sort(self.outputs())
        self.registrations.sign_in("7001", self.now)
        self.assertEqual(self.outputs(), [])
        self.assertEqual(self.answer(Answer(200)), [])
        self.assertEqual(self.register, Register("7001", "call-1", 3, 140, 0))
        self.assertEqual(self.answer(OK), [Registered("7001")])

    def test_changes_of_mind(self) -> None:
        """Signing in and out while a REGISTER is out sends nothing before its answer."""
        for _ in range(3):
            self.registrations.sign_out("7001", self.now)
            self.assertEqual(self.state(), State.WITHDRAWING)
            self.registrations.sign_in("7001", self.now)
            self.assertEqual(self.state(), State.REGISTERING)
        self.assertEqual(self.outputs(), [])
        self.assertEqual(self.answer(OK), [Registered("7001")])

    def test_second_sign_in(self) -> None:
        """Who signs in with a DN that is registered is told so at once."""
        self.answer(OK)
        self.registrations.sign_in("7001", self.now)
        self.assertEqual(self.outputs(), [Registered("7001")])

    def test_sign_out_unanswered(self) -> None:
        """An unanswered sign-out is tried once more, then given up: the binding ends by itself."""
        self.answer(OK)
        self.registrations.sign_out("7001", self.now)
        self.sort(self.outputs())
        self.assertEqual(self.answer(SILENCE), [])
        self.assertEqual(self.register.cseq, 3)
        self.assertEqual(self.answer(SILENCE), [Unregistered("7001")])


class AnswerTests(OneTestCase):
    """What the registrar may say."""

    def test_challenge(self) -> None:
        """The answer to a challenge is the next REGISTER; only so many are answered in a row."""
        for cseq in (2, 3, 4):
            self.assertEqual(self.answer(Answer(401)), [])
            self.assertEqual(self.register, Register("7001", "call-1", cseq, 140, 0))
        self.assertEqual(self.answer(Answer(401)), [Delayed("7001", 401)])
        self.assertEqual(self.state(), State.BACKOFF)

    def test_challenged_refresh(self) -> None:
        """A challenge during a refresh does not unbind; the count starts anew each time."""
        self.answer(OK)
        for cseq in (4, 7, 10):
            self.wait()
            self.assertEqual(self.answer(Answer(401), Answer(401), OK), [])
            self.assertEqual(self.state(), State.REGISTERED)
            self.assertEqual(self.register.cseq, cseq)

    def test_challenged_sign_out(self) -> None:
        """A sign-out may be challenged too."""
        self.answer(OK)
        self.registrations.sign_out("7001", self.now)
        self.sort(self.outputs())
        self.answer(Answer(401))
        self.assertEqual((self.register.cseq, self.register.expires), (3, 0))

    def test_interval_too_brief(self) -> None:
        """After 423 the interval it wants is asked for, then and later."""
        self.answer(Answer(423, min_expires=300))
        self.assertEqual((self.register.cseq, self.register.expires), (2, 300))
        self.answer(Answer(200, expires=300))
        before = self.now
        self.wait()
        self.assertTrue(165.0 <= self.now - before <= 255.0)
        self.assertEqual(self.register.expires, 300)

    def test_senseless_423(self) -> None:
        """A 423 that wants nothing more, or a year, or ever more, is a failure like any other."""
        for least in (0, 140, 31536000):
            self.setUp()
            self.assertEqual(self.answer(Answer(423, min_expires=least)), [Delayed("7001", 423)])
        self.setUp()
        answers = [Answer(423, min_expires=least) for least in (200, 201, 202, 203)]
        self.assertEqual(self.answer(*answers), [Delayed("7001", 423)])

    def test_refused(self) -> None:
        """403, 404 and the like are told, and nothing is tried again."""
        for status in (401, 403, 404, 407, 410, 604):
            self.setUp()
            self.registrations.answered(self.register, Answer(status), self.now)
            self.assertEqual(self.outputs(), [Refused("7001", status)])
            self.assertIsNone(self.registrations.next_timeout())
            self.registrations.sign_in("7001", self.now)
            self.assertEqual(self.sent().cseq, 1)

    def test_refused_refresh(self) -> None:
        """The same when a refresh is refused."""
        self.answer(OK)
        self.wait()
        self.assertEqual(self.answer(Answer(403)), [Refused("7001", 403)])
        self.assertEqual(self.registrations.bound, 0)

    def test_failures(self) -> None:
        """Other refusals are tried again, later and later."""
        self.assertEqual(self.answer(Answer(500)), [Delayed("7001", 500)])
        waits = []
        for _ in range(8):
            before = self.now
            self.wait()
            waits.append(self.now - before)
            self.answer(Answer(500))
        for wait, longest in zip(waits, (4, 8, 16, 32, 60, 60, 60, 60), strict=True):
            self.assertTrue(longest / 2 <= wait <= longest, waits)
        self.wait()
        self.assertEqual(self.answer(OK), [Registered("7001")])

    def test_retry_after(self) -> None:
        """Retry-After is kept, for a minute at most."""
        for said, kept in ((30.0, 30.0), (7200.0, 60.0)):
            self.setUp()
            self.answer(Answer(503, retry_after=said))
            before = self.now
            self.wait()
            self.assertEqual(self.now - before, kept)

    def test_failed_refresh(self) -> None:
        """A refresh that fails leaves the binding; it is tried again before that ends."""
        self.answer(OK)
        self.wait()
        self.assertEqual(self.answer(Answer(500)), [])
        self.assertEqual(self.state(), State.REGISTERED)
        before = self.now
        self.wait()
        self.assertTrue(2.0 <= self.now - before <= 4.0)

    def test_expiry(self) -> None:
        """A binding that ends before a refresh succeeds is told once, and tried on."""
        self.answer(OK)
        bound_at, told = self.now, []
        while self.now < bound_at + 300.0:
            told += [(self.now, output) for output in self.wait()]
            if self.state() in OUT:
                self.answer(Answer(500))
        self.assertEqual(
            [(when, out) for when, out in told if isinstance(out, Expired)],
            [(bound_at + 140.0, Expired("7001"))],
        )
        self.assertEqual(self.registrations.bound, 0)

    def test_expiry_while_out(self) -> None:
        """A binding may end while its refresh is out; its success is then told."""
        self.answer(OK)
        self.wait()
        self.assertEqual(self.wait(), [Expired("7001")])
        self.assertEqual(self.state(), State.REGISTERING)
        self.assertEqual(self.answer(OK), [Registered("7001")])

    def test_stopped_process(self) -> None:
        """If the process was stopped for an hour, what expired is registered anew."""
        self.answer(OK)
        self.now += 3600.0
        self.registrations.handle_timeout(self.now)
        self.assertEqual(self.sort(self.outputs()), [Expired("7001")])
        self.assertEqual(self.state(), State.REGISTERING)
        self.assertEqual(self.register.cseq, 2)

    def test_foreign_answers(self) -> None:
        """Answers to other REGISTERs, and second answers, are nothing."""
        other = Register("7002", "call-1", 1, 140, 0)
        self.registrations.answered(other, OK, self.now)
        self.registrations.answered(Register("7001", "call-9", 1, 140, 0), OK, self.now)
        self.registrations.unanswered(Register("7001", "call-1", 9, 140, 0), self.now)
        self.assertEqual(self.outputs(), [])
        first = self.register
        self.answer(OK)
        for answer in (OK, Answer(403), Answer(500)):
            self.registrations.answered(first, answer, self.now)
        self.assertEqual(self.outputs(), [])
        self.assertEqual(self.state(), State.REGISTERED)


class SilenceTests(OneTestCase):
    """When a server does not answer."""

    def test_first_and_second(self) -> None:
        """The first silence is answered by another attempt at once, the second by a back-off."""
        self.assertEqual(self.answer(SILENCE), [Delayed("7001", 408)])
        self.assertEqual(self.register, Register("7001", "call-1", 2, 140, 0))
        self.assertEqual(self.answer(SILENCE), [Delayed("7001", 408)])
        self.assertEqual(self.state(), State.BACKOFF)

    def test_server_changed(self) -> None:
        """Who waits because of a server goes on when another one is in use."""
        self.answer(SILENCE, SILENCE)
        self.registrations.server_changed(self.now)
        self.assertEqual(self.sort(self.outputs()), [])
        self.assertEqual(self.register.cseq, 3)

    def test_server_changed_later(self) -> None:
        """Who goes on by the clock before that is left alone then, bound or not."""
        self.answer(SILENCE, SILENCE)
        self.wait()
        self.registrations.server_changed(self.now)
        self.assertEqual(self.outputs(), [])
        self.answer(OK)
        self.wait()
        self.answer(SILENCE, SILENCE)
        self.assertEqual(self.state(), State.REGISTERED)
        self.wait()
        self.registrations.server_changed(self.now)
        self.assertEqual(self.outputs(), [])
        self.assertEqual(self.state(), State.REFRESHING)

    def test_other_failures_wait_on(self) -> None:
        """Who waits for another reason does not."""
        self.answer(Answer(500))
        self.registrations.server_changed(self.now)
        self.assertEqual(self.outputs(), [])

    def test_switch_in_the_meantime(self) -> None:
        """A silence of a server that is not in use any more is always followed by an attempt."""
        self.answer(SILENCE)
        self.registrations.server_changed(self.now)
        self.answer(SILENCE)
        self.assertEqual(self.register.cseq, 3)
        self.assertEqual(self.register.epoch, 1)

    def test_suspended(self) -> None:
        """While there is no server nothing is sent, and who signs in is told at once."""
        self.registrations.suspend()
        self.answer(SILENCE)
        self.registrations.sign_in("7002", self.now)
        self.assertEqual(self.outputs(), [Delayed("7002", 503)])
        self.assertIsNone(self.registrations.next_timeout())
        self.registrations.server_changed(self.now)
        sent = [output.dn for output in self.outputs() if isinstance(output, Register)]
        self.assertEqual(sent, ["7001", "7002"])

    def test_no_back_off_while_suspended(self) -> None:
        """Who fails while all servers are down waits for a server, not for a time."""
        self.answer(SILENCE)
        self.registrations.suspend()
        self.answer(SILENCE)
        self.assertEqual(self.state(), State.REGISTER_DUE)

    def test_late_success_after_another(self) -> None:
        """A late 2xx changes nothing when a later REGISTER has succeeded."""
        slow = self.register
        self.answer(SILENCE, OK)
        due = self.registrations.next_timeout()
        self.registrations.answered(slow, OK, self.now + 30.0)
        self.assertEqual(self.registrations.next_timeout(), due)

    def test_late_success(self) -> None:
        """A 2xx that comes after its REGISTER was taken for lost still counts."""
        slow = self.register
        self.answer(SILENCE, SILENCE)
        self.now += 1.0
        self.registrations.answered(slow, OK, self.now)
        self.assertEqual(self.outputs(), [Registered("7001")])
        self.assertEqual(self.state(), State.REGISTERED)
        before = self.now
        self.wait()
        self.assertTrue(77.0 <= self.now - before <= 119.0)

    def test_late_success_beside_a_retry(self) -> None:
        """If the next REGISTER is out by then, its answer is still waited for."""
        slow = self.register
        self.answer(SILENCE)
        self.registrations.answered(slow, OK, self.now)
        self.assertEqual(self.outputs(), [Registered("7001")])
        self.assertEqual(self.state(), State.REFRESHING)
        self.assertEqual(self.answer(OK), [])
        self.assertEqual(self.state(), State.REGISTERED)

    def test_late_success_of_an_earlier_sign_in(self) -> None:
        """It says nothing about a later sign-in, though the Call-ID is the same."""
        slow = self.register
        self.answer(SILENCE)
        self.registrations.sign_out("7001", self.now)
        self.answer(OK)
        self.registrations.sign_in("7001", self.now)
        self.answer(Answer(200))
        self.answer(SILENCE)
        self.registrations.answered(slow, OK, self.now)
        self.assertEqual(self.outputs(), [])
        self.assertEqual(self.registrations.bound, 0)


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
        self.wanted: set[str] = set(numbers(amount))
        self.pair.sign_in(*self.wanted)
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
