"""
Our DNs at the SIP Server: registered, refreshed, retried, unregistered (RFC 3261, section 10.2).

Without the detours, which are in the table at the end::

    sign-in     turn             2xx               time             turn
     QUEUED ---------> REGISTERING -> REGISTERED ------> REFRESH_DUE ---> REFRESHING
                       ^   |           |  ^  ^                              |   |
     REGISTER_DUE -----+   | failure   |  |  +----------- 2xx, or failure --+   | binding ended
          ^  ^             v           |  |                                     v
          |  +--------- BACKOFF        |  +-- 2xx ---------------------- REGISTERING
          |  time, new server          | sign-out
          |                            v       turn
          +------ sign-in ------- UNREGISTER_DUE ---> UNREGISTERING --> gone

REGISTERED, REFRESH_DUE and REFRESHING have a binding. A sign-out while a REGISTER is out waits for
its answer (WITHDRAWING), and so does a sign-in for that of an un-REGISTER (RETURNING), since RFC
3261 forbids a second one beside the first. The first silence of a server is answered by another
attempt at once, which goes to the server that is in use by then; only the second one backs off.

A switch to another server makes nothing happen by itself: the servers share their bindings, so
each DN goes on with its refresh, and they stay as spread as they were. Everything that is sent
waits for its turn at one pace, whatever made it due: a restart, a lost server, a flood of sign-ins.

The caller sends each ``Register``, to the active server, with credentials if its digest client has
a nonce, and tells what came of it: ``answered``, ``challenged`` or ``unanswered``, after it has
told the ``ServerPool`` and passed on what the pool made of it. No socket, no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from b2bua.pace import Pace
from b2bua.registration_schedule import Priority, Schedule
from b2bua.registration_states import BOUND, Input, Registration, State, is_late, is_out
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
from b2bua.sip.timers import earliest

UNANSWERED = Answer(408)
UNAVAILABLE = Answer(503)
PERMANENT = frozenset({401, 403, 404, 407, 410, 604})
"""Asking again changes nothing, and wrong credentials time and again lock an account."""
_OK, _REDIRECTION = 200, 300
_INTERVAL_TOO_BRIEF = 423
_MOST_ROUNDS = 3
"""Challenges and 423 in a row: a 423, a challenge, and a nonce that was stale at once."""


Effect = Callable[["Registrations", Registration, Answer, float], None]


class Registrations:
    """
    All DNs and the schedule over them.

    ``random`` gives numbers from 0 to below 1; ``call_ids`` a new Call-ID each. After each call,
    outputs are to be taken. One DN has one registration, however often it signs in: whose session
    that is, is for the caller to decide.
    """

    def __init__(
        self,
        random: Callable[[], float],
        call_ids: Callable[[], str],
        terms: Terms | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._random = random
        self._call_ids = call_ids
        self._terms = terms or Terms()
        self._schedule: Schedule[Registration] = Schedule(pace or Pace())
        self._registrations: dict[str, Registration] = {}
        self._counts = [0] * len(State)
        self._outputs: list[Output] = []
        self._suspended = False
        self._epoch = 0
        # Failed by a server, and waiting: the next server is their chance.
        self._unserved: dict[Registration, None] = {}
        self._closes_at: float | None = None

    def __len__(self) -> int:
        """How many DNs are signed in, or are still being signed out."""
        return len(self._registrations)

    @property
    def bound(self) -> int:
        """How many have a binding, as far as the answers say."""
        return sum(self._counts[state] for state in BOUND)

    def bound_dns(self) -> Iterator[str]:
        """The DNs that have a binding, as far as the answers say."""
        return (dn for dn, each in self._registrations.items() if each.state in BOUND)

    def state(self, dn: str) -> State:
        """Where the DN stands."""
        registration = self._registrations.get(dn)
        return registration.state if registration else State.UNREGISTERED

    # From browsers and the operator.

    def sign_in(self, dn: str, now: float) -> None:
        """Register ``dn``, and keep it registered. That it matches the list was checked before."""
        if self._closes_at is not None:
            self._outputs.append(Refused(dn, UNAVAILABLE.status))
            return
        registration = self._registrations.get(dn)
        if registration is None:
            registration = Registration(dn, self._call_ids(), self._terms.expires)
            self._registrations[dn] = registration
            self._counts[State.UNREGISTERED] += 1
        self._apply(registration, Input.SIGN_IN, UNAVAILABLE, now)
        if self._suspended and registration.state not in BOUND:
            self._outputs.append(Delayed(dn, UNAVAILABLE.status))
        self._give_turns(now)

    def sign_out(self, dn: str, now: float) -> None:
        """Unregister ``dn``, if it is known."""
        registration = self._registrations.get(dn)
        if registration:
            self._apply(registration, Input.SIGN_OUT, UNANSWERED, now)
            self._give_turns(now)

    def shut_down(self, now: float, limit: float) -> None:
        """
        Unregister all, at the usual pace and no longer than ``limit``; ``Closed`` ends it.

        Those for whom the time is too short stay bound until their bindings expire.
        """
        self._closes_at = now + limit
        for registration in list(self._registrations.values()):
            self._apply(registration, Input.SIGN_OUT, UNANSWERED, now)
        self._give_turns(now)
        self._close_if_done(now)

    # From the pool of servers.

    def suspend(self) -> None:
        """Send nothing: all servers are down."""
        self._suspended = True

    def server_changed(self, now: float) -> None:
        """Another server is in use, or one is again: go on, first with those that it lets wait."""
        self._suspended = False
        self._epoch += 1
        unserved, self._unserved = self._unserved, {}
        for registration in unserved:
            self._apply(registration, Input.SERVER_CHANGED, UNANSWERED, now)
        self._give_turns(now)

    # From the network.

    def answered(self, register: Register, answer: Answer, now: float) -> None:
        """Take a final response; a challenge only if it cannot be answered."""
        registration = self._registrations.get(register.dn)
        if registration is None or register.call_id != registration.call_id:
            return
        succeeded = _OK <= answer.status < _REDIRECTION
        if not is_out(registration, register):
            if succeeded and is_late(registration, register) and answer.expires:
                self._apply(registration, Input.LATE, answer, now)
            return
        if answer.status == UNAVAILABLE.status:
            found = self._judge_failure(registration, register, answer)
        else:
            found = self._judge(registration, register, answer)
        self._apply(registration, found, answer, now)
        self._give_turns(now)

    def challenged(self, register: Register, now: float) -> None:
        """Take a 401 or 407 that the next ``Register`` can answer."""
        registration = self._registrations.get(register.dn)
        if registration and is_out(registration, register):
            self._apply(registration, self._again(registration), Answer(401), now)
            self._give_turns(now)

    def unanswered(self, register: Register, now: float) -> None:
        """Take the silence of the failover time, or a transport error; a 2xx may still follow."""
        registration = self._registrations.get(register.dn)
        if registration and is_out(registration, register):
            found = self._judge_failure(registration, register, UNANSWERED)
            self._apply(registration, found, UNANSWERED, now)
            self._give_turns(now)

    # Time.

    def next_timeout(self) -> float | None:
        """When ``handle_timeout`` is due, if at all."""
        turn = None if self._suspended else self._schedule.next_turn()
        return earliest(self._closes_at, self._schedule.next_alarm(), turn)

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        while registration := self._schedule.take_awake(now):
            ended = registration.state is not State.BACKOFF and now >= registration.expires_at
            found = Input.EXPIRED if ended else Input.ALARM
            self._apply(registration, found, UNANSWERED, now)
        self._give_turns(now)
        self._close_if_done(now)

    def take_outputs(self) -> list[Output]:
        """Give what has come up since the last call."""
        outputs, self._outputs = self._outputs, []
        return outputs

    # The machine.

    def _apply(self, registration: Registration, found: Input, answer: Answer, now: float) -> None:
        effect, following = TABLE[registration.state][found]
        self._counts[registration.state] -= 1
        self._counts[following] += 1
        registration.state = following
        effect(self, registration, answer, now)

    def _give_turns(self, now: float) -> None:
        while not self._suspended and (registration := self._schedule.take_turn(now)):
            self._apply(registration, Input.TURN, UNANSWERED, now)

    def _close_if_done(self, now: float) -> None:
        if self._closes_at is None or (self._registrations and now < self._closes_at):
            return
        abandoned = len(self._registrations)
        for registration in list(self._registrations.values()):
            self._remove(registration)
        self._closes_at = None
        self._outputs.append(Closed(abandoned))

    def _judge(self, registration: Registration, register: Register, answer: Answer) -> Input:
        if _OK <= answer.status < _REDIRECTION:
            # A registrar that grants nothing has not bound us, whatever it calls that.
            bound = answer.expires > 0 or register.expires == 0
            return Input.GRANTED if bound else self._fail(registration)
        wanted = answer.min_expires
        if (
            answer.status == _INTERVAL_TOO_BRIEF
            and register.expires < wanted <= self._terms.longest_expires
        ):
            registration.expires = wanted
            return self._again(registration)
        return Input.REFUSED if answer.status in PERMANENT else self._fail(registration)

    def _judge_failure(
        self, registration: Registration, register: Register, answer: Answer
    ) -> Input:
        first = not registration.failures and not answer.retry_after
        moved = register.epoch != self._epoch
        found = self._fail(registration)
        return Input.RETRY if first or moved or self._suspended else found

    def _again(self, registration: Registration) -> Input:
        registration.rounds += 1
        return Input.AGAIN if registration.rounds <= _MOST_ROUNDS else self._fail(registration)

    def _fail(self, registration: Registration) -> Input:
        registration.failures += 1
        registration.rounds = 0
        return Input.FAILED

    # Effects. The state is the next one already.

    def _nothing(self, registration: Registration, answer: Answer, now: float) -> None:
        pass

    def _queue(self, registration: Registration, answer: Answer, now: float) -> None:
        self._schedule.line_up(registration, Priority.SIGN_IN)

    def _return(self, registration: Registration, answer: Answer, now: float) -> None:
        registration.since = registration.cseq + 1
        registration.expires_at = 0.0
        registration.failures = 0
        self._schedule.wake(registration, None)
        self._schedule.line_up(registration, Priority.SIGN_IN)

    def _send(self, registration: Registration, answer: Answer, now: float) -> None:
        leaving = registration.state is State.UNREGISTERING
        registration.cseq += 1
        self._outputs.append(
            Register(
                registration.dn,
                registration.call_id,
                registration.cseq,
                0 if leaving else registration.expires,
                self._epoch,
            )
        )
        bound = registration.state is State.REFRESHING
        self._schedule.wake(registration, registration.expires_at if bound else None)

    def _bind(self, registration: Registration, answer: Answer, now: float) -> None:
        # Never longer than asked: what is asked for is what pinholes in firewalls live.
        granted = min(answer.expires, registration.expires)
        registration.expires_at = now + granted
        registration.resumes_at = now + self._terms.refresh_after(granted, self._random())
        registration.failures = registration.rounds = 0
        self._unserved.pop(registration, None)
        self._schedule.leave(registration)
        self._schedule.wake(registration, registration.resumes_at)

    def _announce(self, registration: Registration, answer: Answer, now: float) -> None:
        self._bind(registration, answer, now)
        self._tell(registration, answer, now)

    def _tell(self, registration: Registration, answer: Answer, now: float) -> None:
        self._outputs.append(Registered(registration.dn))

    def _extend(self, registration: Registration, answer: Answer, now: float) -> None:
        registration.expires_at = now + min(answer.expires, registration.expires)
        self._schedule.wake(registration, registration.expires_at)

    def _announce_early(self, registration: Registration, answer: Answer, now: float) -> None:
        self._extend(registration, answer, now)
        self._tell(registration, answer, now)

    def _line_up(self, registration: Registration, answer: Answer, now: float) -> None:
        self._unserved.pop(registration, None)
        self._schedule.wake(registration, None)
        priority = Priority.REFRESH if registration.expires_at else Priority.SIGN_IN
        self._schedule.line_up(registration, priority, registration.expires_at)

    def _line_up_late(self, registration: Registration, answer: Answer, now: float) -> None:
        self._outputs.append(Delayed(registration.dn, answer.status))
        self._line_up(registration, answer, now)

    def _line_up_again(self, registration: Registration, answer: Answer, now: float) -> None:
        self._schedule.line_up(registration, Priority.AGAIN)

    def _line_up_refresh(self, registration: Registration, answer: Answer, now: float) -> None:
        self._unserved.pop(registration, None)
        urgent_at = registration.expires_at - self._terms.room
        urgent = now >= urgent_at
        priority = Priority.EXPIRING if urgent else Priority.REFRESH
        self._schedule.line_up(registration, priority, registration.expires_at)
        self._schedule.wake(registration, registration.expires_at if urgent else urgent_at)

    def _back_off(self, registration: Registration, answer: Answer, now: float) -> None:
        self._outputs.append(Delayed(registration.dn, answer.status))
        self._plan_retry(registration, answer, now)
        self._schedule.wake(registration, registration.resumes_at)

    def _rest(self, registration: Registration, answer: Answer, now: float) -> None:
        self._plan_retry(registration, answer, now)
        alarm = min(registration.resumes_at, registration.expires_at)
        self._schedule.wake(registration, alarm)

    def _plan_retry(self, registration: Registration, answer: Answer, now: float) -> None:
        wait = self._terms.back_off(registration.failures, answer.retry_after, self._random())
        registration.resumes_at = now + wait
        if answer.status in (UNANSWERED.status, UNAVAILABLE.status):
            self._unserved[registration] = None

    def _lose(self, registration: Registration, answer: Answer, now: float) -> None:
        self._outputs.append(Expired(registration.dn))
        if registration.state is State.REGISTER_DUE:
            self._line_up(registration, answer, now)
        elif registration.state is State.BACKOFF:
            self._schedule.wake(registration, registration.resumes_at)

    def _leave(self, registration: Registration, answer: Answer, now: float) -> None:
        self._unserved.pop(registration, None)
        self._schedule.line_up(registration, Priority.REST)
        # Past the end of the binding there is nothing to take back. There may be a binding that
        # nobody told us of: a REGISTER went out and was not answered.
        if registration.expires_at <= now:
            registration.expires_at = now + registration.expires
        self._schedule.wake(registration, registration.expires_at)

    def _leave_again(self, registration: Registration, answer: Answer, now: float) -> None:
        self._leave(registration, answer, now)
        self._schedule.line_up(registration, Priority.AGAIN)

    def _leave_unsure(self, registration: Registration, answer: Answer, now: float) -> None:
        # The REGISTER that was out may have made a binding, whatever became of its answer.
        registration.expires_at = now + registration.expires
        self._leave(registration, answer, now)

    def _withdraw(self, registration: Registration, answer: Answer, now: float) -> None:
        self._schedule.wake(registration, None)

    def _forget(self, registration: Registration, answer: Answer, now: float) -> None:
        self._remove(registration)
        self._outputs.append(Unregistered(registration.dn))

    def _refuse(self, registration: Registration, answer: Answer, now: float) -> None:
        self._remove(registration)
        self._outputs.append(Refused(registration.dn, answer.status))

    def _remove(self, registration: Registration) -> None:
        self._schedule.wake(registration, None)
        self._schedule.leave(registration)
        self._unserved.pop(registration, None)
        self._counts[registration.state] -= 1
        del self._registrations[registration.dn]


_R = Registrations

TABLE: Mapping[State, Mapping[Input, tuple[Effect, State]]] = {
    State.UNREGISTERED: {
        Input.SIGN_IN: (_R._queue, State.QUEUED),
    },
    State.QUEUED: {
        Input.SIGN_IN: (_R._nothing, State.QUEUED),
        Input.SIGN_OUT: (_R._forget, State.UNREGISTERED),
        Input.TURN: (_R._send, State.REGISTERING),
    },
    State.REGISTERING: {
        Input.SIGN_IN: (_R._nothing, State.REGISTERING),
        Input.SIGN_OUT: (_R._withdraw, State.WITHDRAWING),
        Input.GRANTED: (_R._announce, State.REGISTERED),
        Input.LATE: (_R._announce_early, State.REFRESHING),
        Input.AGAIN: (_R._line_up_again, State.REGISTER_DUE),
        Input.RETRY: (_R._line_up_late, State.REGISTER_DUE),
        Input.FAILED: (_R._back_off, State.BACKOFF),
        Input.REFUSED: (_R._refuse, State.UNREGISTERED),
    },
    State.REGISTER_DUE: {
        Input.SIGN_IN: (_R._nothing, State.REGISTER_DUE),
        Input.SIGN_OUT: (_R._leave, State.UNREGISTER_DUE),
        Input.TURN: (_R._send, State.REGISTERING),
        Input.LATE: (_R._announce, State.REGISTERED),
    },
    State.BACKOFF: {
        Input.SIGN_IN: (_R._nothing, State.BACKOFF),
        Input.SIGN_OUT: (_R._leave, State.UNREGISTER_DUE),
        Input.ALARM: (_R._line_up, State.REGISTER_DUE),
        Input.SERVER_CHANGED: (_R._line_up, State.REGISTER_DUE),
        Input.LATE: (_R._announce, State.REGISTERED),
    },
    State.REGISTERED: {
        Input.SIGN_IN: (_R._tell, State.REGISTERED),
        Input.SIGN_OUT: (_R._leave, State.UNREGISTER_DUE),
        Input.ALARM: (_R._line_up_refresh, State.REFRESH_DUE),
        Input.EXPIRED: (_R._lose, State.BACKOFF),
        Input.SERVER_CHANGED: (_R._line_up_refresh, State.REFRESH_DUE),
        Input.LATE: (_R._bind, State.REGISTERED),
    },
    State.REFRESH_DUE: {
        Input.SIGN_IN: (_R._tell, State.REFRESH_DUE),
        Input.SIGN_OUT: (_R._leave, State.UNREGISTER_DUE),
        Input.TURN: (_R._send, State.REFRESHING),
        Input.ALARM: (_R._line_up_refresh, State.REFRESH_DUE),
        Input.EXPIRED: (_R._lose, State.REGISTER_DUE),
        Input.LATE: (_R._bind, State.REGISTERED),
    },
    State.REFRESHING: {
        Input.SIGN_IN: (_R._tell, State.REFRESHING),
        Input.SIGN_OUT: (_R._withdraw, State.WITHDRAWING),
        Input.EXPIRED: (_R._lose, State.REGISTERING),
        Input.GRANTED: (_R._bind, State.REGISTERED),
        Input.LATE: (_R._extend, State.REFRESHING),
        Input.AGAIN: (_R._line_up_again, State.REFRESH_DUE),
        Input.RETRY: (_R._line_up_refresh, State.REFRESH_DUE),
        Input.FAILED: (_R._rest, State.REGISTERED),
        Input.REFUSED: (_R._refuse, State.UNREGISTERED),
    },
    State.UNREGISTER_DUE: {
        Input.SIGN_IN: (_R._return, State.REGISTER_DUE),
        Input.SIGN_OUT: (_R._nothing, State.UNREGISTER_DUE),
        Input.TURN: (_R._send, State.UNREGISTERING),
        Input.EXPIRED: (_R._forget, State.UNREGISTERED),
        Input.LATE: (_R._nothing, State.UNREGISTER_DUE),
    },
    State.UNREGISTERING: {
        Input.SIGN_IN: (_R._nothing, State.RETURNING),
        Input.SIGN_OUT: (_R._nothing, State.UNREGISTERING),
        Input.GRANTED: (_R._forget, State.UNREGISTERED),
        Input.LATE: (_R._nothing, State.UNREGISTERING),
        Input.AGAIN: (_R._leave_again, State.UNREGISTER_DUE),
        Input.RETRY: (_R._leave, State.UNREGISTER_DUE),
        Input.FAILED: (_R._forget, State.UNREGISTERED),
        Input.REFUSED: (_R._forget, State.UNREGISTERED),
    },
    State.WITHDRAWING: {
        Input.SIGN_IN: (_R._nothing, State.REGISTERING),
        Input.SIGN_OUT: (_R._nothing, State.WITHDRAWING),
        Input.GRANTED: (_R._leave_unsure, State.UNREGISTER_DUE),
        Input.LATE: (_R._nothing, State.WITHDRAWING),
        Input.AGAIN: (_R._leave_again, State.UNREGISTER_DUE),
        Input.RETRY: (_R._leave_unsure, State.UNREGISTER_DUE),
        Input.FAILED: (_R._leave_unsure, State.UNREGISTER_DUE),
        Input.REFUSED: (_R._forget, State.UNREGISTERED),
    },
    State.RETURNING: {
        Input.SIGN_IN: (_R._nothing, State.RETURNING),
        Input.SIGN_OUT: (_R._nothing, State.UNREGISTERING),
        Input.GRANTED: (_R._return, State.REGISTER_DUE),
        Input.LATE: (_R._nothing, State.RETURNING),
        Input.AGAIN: (_R._return, State.REGISTER_DUE),
        Input.RETRY: (_R._return, State.REGISTER_DUE),
        Input.FAILED: (_R._return, State.REGISTER_DUE),
        Input.REFUSED: (_R._return, State.REGISTER_DUE),
    },
}
"""
Every pair that can come up. Answers come up only where one is awaited, turns where one is waited
for, alarms where one is set; a sign-out of what is unknown never gets here.
"""
