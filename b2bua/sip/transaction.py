"""
What the four machines of RFC 3261, section 17 have in common: states, inputs, a table, timers.

A ``Machine`` is a table that reads like the RFC's figure: in this state, on that input, this
effect, then that state. Each pair of a state and an input stands in the table or, with the reason,
among those that are ignored or refused; a gap is found when the module is imported. Timers belong
to states: whatever does not run in the next state is stopped on the way there, so that no timer
outlives its reason.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Generic, TypeVar

from b2bua.sip.hop import Hop
from b2bua.sip.message import Request, Response
from b2bua.sip.outputs import Output, Send, Terminated, TimedOut, TransportFailed
from b2bua.sip.timers import Timers


class State(IntEnum):
    """The states of all four machines; each uses some of them."""

    __hash__ = int.__hash__  # an Enum's own is a Python function, and these are keys of tables

    CALLING = 0
    WITHDRAWN = 1
    """An INVITE that is to be cancelled and cannot be yet: there has been no response."""
    TRYING = 2
    PROCEEDING = 3
    CANCELLED = 4
    """An INVITE whose CANCEL went out; its final response is still to come."""
    COMPLETED = 5
    CONFIRMED = 6
    ACCEPTED = 7
    """An INVITE that a 2xx has answered (RFC 6026)."""
    TERMINATED = 8


class Input(IntEnum):
    """What can happen to a transaction. Responses come from the network or from the user."""

    __hash__ = int.__hash__

    REQUEST = 0
    """Another copy of the request."""
    ACK = 1
    PROVISIONAL = 2
    SUCCESS = 3
    """A 2xx to an INVITE."""
    FAILURE = 4
    """Any other final response to an INVITE."""
    FINAL = 5
    """A final response to a request that is no INVITE."""
    CANCEL = 6
    """The user gives up an INVITE."""
    TRANSPORT_ERROR = 7
    TIMER_A = 8
    TIMER_B = 9
    TIMER_D = 10
    TIMER_E = 11
    TIMER_F = 12
    TIMER_G = 13
    TIMER_H = 14
    TIMER_I = 15
    TIMER_J = 16
    TIMER_K = 17
    TIMER_L = 18
    TIMER_M = 19
    TIMER_100 = 20
    """The user has not answered yet, and the peer should hear that the request arrived."""
    TIMER_SILENCE = 21
    """Nothing has come from the server: time to think of another one."""
    TIMER_CANCEL = 22
    """The cancelled INVITE should have ended long ago (RFC 3261, section 9.1)."""
    TIMER_USER = 23
    """The peer waits no longer for what the user never gave."""

    @property
    def is_timer(self) -> bool:
        """Whether it comes from the clock, and only in states where this timer runs."""
        return self >= Input.TIMER_A


def _is_timer(given: Input) -> bool:
    return given.is_timer


_T = TypeVar("_T", bound="Transaction")

Effect = Callable[[_T, float], None]
Table = Mapping[State, Mapping[Input, tuple[Effect[_T], State]]]
Reasons = Mapping[State, Mapping[Input, str]]


class OutOfPlace(Exception):
    """A response of ours that the transaction's state has no place for: a fault of the user."""


class Machine(Generic[_T]):
    """One figure of the RFC, complete: no pair of a state and an input is left open."""

    def __init__(self, table: Table[_T], ignored: Reasons, refused: Reasons | None = None) -> None:
        self.table = table
        self.ignored = ignored
        self.refused = refused or {}
        self.inputs = frozenset(given for row in table.values() for given in row)
        for state in table:
            self._check_row(state)
        self._running = {state: frozenset(filter(_is_timer, table[state])) for state in table}

    def _check_row(self, state: State) -> None:
        decided = [
            given
            for rows in (self.table, self.ignored, self.refused)
            for given in rows.get(state, {})
        ]
        # A timer that does not run in a state cannot fire there, so it needs no decision.
        needed = {given for given in self.inputs if not given.is_timer}
        missing = needed - set(decided)
        if missing or len(decided) != len(set(decided)):
            raise ValueError(f"{state.name}: {sorted(missing)} missing, or decided twice")

    def running(self, state: State) -> frozenset[Input]:
        """The timers that may run in a state: those the table says something about."""
        return self._running[state]

    def step(self, transaction: _T, given: Input, now: float) -> None:
        """Take one input: have its effect, then be in the next state."""
        row = self.table[transaction.state].get(given)
        if row is not None:
            effect, state = row
            effect(transaction, now)
            if state is not transaction.state:
                transaction.enter(state, self.running(state))
        elif (refusal := self.refused.get(transaction.state, {}).get(given)) is not None:
            raise OutOfPlace(refusal)


class Transaction(ABC):
    """One transaction: its request, the hop it runs over, its state and its running timers."""

    __slots__ = ("_outputs", "_running", "hop", "request", "state", "timers")

    def __init__(self, request: Request, hop: Hop, timers: Timers, state: State) -> None:
        self.request = request
        self.hop = hop
        self.timers = timers
        self.state = state
        self._running: dict[Input, float] = {}
        self._outputs: list[Output] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.request.method} {self.state.name}>"

    @property
    def is_terminated(self) -> bool:
        """Whether the transaction is over."""
        return self.state is State.TERMINATED

    def next_timeout(self) -> float | None:
        """When to call ``handle_timeout``, if ever."""
        return min(self._running.values(), default=None)

    def handle_timeout(self, now: float) -> None:
        """Let the timers fire that are due, in the order of their moments."""
        while self._running:
            timer = min(self._running, key=self._running.__getitem__)
            if self._running[timer] > now:
                break
            del self._running[timer]
            self._take(timer, now)

    def transport_failed(self, now: float) -> None:
        """Note that a message of this transaction could not be sent, or its connection broke."""
        self._take(Input.TRANSPORT_ERROR, now)

    def take_outputs(self) -> list[Output]:
        """Give what is to be sent and told, in order, once."""
        outputs, self._outputs = self._outputs, []
        return outputs

    def break_off(self) -> None:
        """Be over at once, after a fault of ours; whoever waits for its end has waited enough."""
        self._outputs = [TimedOut(self)] if self.state < State.COMPLETED else []
        self.enter(State.TERMINATED, frozenset())

    def enter(self, state: State, running: frozenset[Input]) -> None:
        """Go to a state in which no timers but these may run; ``Machine`` decides when."""
        self.state = state
        for timer in self._running.keys() - running:
            del self._running[timer]
        if state is State.TERMINATED:
            self._outputs.append(Terminated(self))

    @abstractmethod
    def _take(self, given: Input, now: float) -> None:
        """Let the machine's table do what it says of this input."""

    def _start(self, timer: Input, seconds: float, now: float) -> None:
        self._running[timer] = now + seconds

    def _send(self, message: Request | Response) -> None:
        self._outputs.append(Send(message, self.hop, self))

    # Effects that several machines share.

    def _nothing(self, now: float) -> None:  # noqa: B027  # an effect, complete as it is
        """Only the state changes."""

    def _time_out(self, now: float) -> None:
        self._outputs.append(TimedOut(self))

    def _report_failure(self, now: float) -> None:
        self._outputs.append(TransportFailed(self))
