"""Tests of b2bua.registration, with one DN."""

from __future__ import annotations

from itertools import count
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from b2bua.registration import TABLE, Registrations
from b2bua.registration_states import BOUND, OUT, Input, State
from b2bua.registration_terms import (
    Answer,
    Delayed,
    Expired,
    Output,
    Refused,
    Register,
    Registered,
    Terms,
    Unregistered,
)

OK = Answer(200, expires=140)
SILENCE = Answer(0)
"""Stands for no answer at all, in tests that go through several outcomes."""


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
