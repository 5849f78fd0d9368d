"""
Keeps the parts of the suite running, each apart from the others.

A part is a Unit. One that cannot start (its port is busy, it raises, it does not answer in time)
never stops another: it is tried again after 1, 2, 4 ... 30 seconds for as long as the suite runs.
A unit's life:

                START             SUCCEEDED
    IDLE ------------> STARTING -----------> RUNNING
                        ^    | FAILED           |
                  RETRY |    v                  | STOP
                        WAITING                 v
                           | STOP           STOPPING ----> STOPPED
                           +--------------------------------^  (SUCCEEDED, FAILED, STOP)

Units of a later stage start when every unit of the stage before has had its first try, and stop
before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from typing import NoReturn, Protocol

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from suite.unit import Health, Unit

START_TIMEOUT = 10.0
FIRST_DELAY = 1.0
LONGEST_DELAY = 30.0

Action = Callable[[], Deferred[None] | None]


class State(IntEnum):
    """Where a unit is in its life."""

    IDLE = 0
    STARTING = 1
    RUNNING = 2
    WAITING = 3
    STOPPING = 4
    STOPPED = 5


class Input(IntEnum):
    """What happens to a unit."""

    START = 0
    SUCCEEDED = 1
    FAILED = 2
    RETRY = 3
    STOP = 4


class Observer(Protocol):
    """Is told what becomes of the units, to write it into the log."""

    def started(self, unit: Unit, tries: int) -> None:
        """The unit runs, after so many tries."""

    def failed(self, unit: Unit, failure: Failure, tries: int, delay: float) -> None:
        """The unit did not start; it is tried again after ``delay`` seconds."""

    def stop_failed(self, unit: Unit, failure: Failure) -> None:
        """The unit did not stop: it raised, or it was abandoned (a TimeoutError)."""


class Supervised:
    """One unit and its life."""

    def __init__(
        self,
        unit: Unit,
        clock: IReactorTime,
        observer: Observer,
        jitter: Callable[[], float],
    ) -> None:
        self.unit = unit
        self.state = State.IDLE
        self.fault = ""
        """Why the last try failed; empty while it runs."""
        self.error: BaseException | None = None
        """The same as an exception."""
        self.first_try: Deferred[None] = Deferred()
        """Fires when the unit runs or its first try has failed."""
        self._clock = clock
        self._observer = observer
        self._jitter = jitter
        self._tries = 0
        self._retry: IDelayedCall | None = None
        self._pending: Deferred[None] | None = None

    def start(self) -> None:
        """Start the unit, and go on trying until it runs or is stopped."""
        self._input(Input.START)

    def stop(self, timeout: float) -> Deferred[None]:
        """Stop the unit; fires within ``timeout`` seconds whatever the unit does."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self._input(Input.STOP)
        self._settle()
        if self.state is State.STOPPED:
            return succeed(None)
        if self._pending is not None:
            # Still starting: what comes of it no longer matters.
            self._pending.cancel()
        stopped = self._attempt(self.unit.stop, timeout)
        return stopped.addCallbacks(self._stopped, self._not_stopped)

    def health(self) -> Health:
        """The unit's own word while it runs, otherwise why it does not."""
        if self.state is not State.RUNNING:
            return Health(False, self.fault or self.state.name.lower())
        try:
            return self.unit.health()
        except Exception as error:
            return Health(False, f"{type(error).__name__}: {error}")

    def _attempt(self, action: Action, timeout: float) -> Deferred[None]:
        def begin() -> Deferred[None]:
            return action() or succeed(None)

        return maybeDeferred(begin).addTimeout(timeout, self._clock, _too_long)

    def _input(self, what: Input) -> None:
        next_state = _TABLE[self.state].get(what)
        if next_state is None:
            raise AssertionError(f"{self.unit.name}: {what.name} in {self.state.name}")
        entered = next_state is not self.state
        self.state = next_state
        if entered and next_state is State.STARTING:
            self._try()

    def _try(self) -> None:
        self._tries += 1
        self._pending = self._attempt(self.unit.start, START_TIMEOUT)
        self._pending.addCallbacks(self._started, self._not_started)

    def _started(self, _: None) -> None:
        self._pending = None
        self._input(Input.SUCCEEDED)
        if self.state is State.RUNNING:
            self.fault, self.error = "", None
            self._observer.started(self.unit, self._tries)
            self._settle()

    def _not_started(self, failure: Failure) -> Deferred[None] | None:
        self._pending = None
        if self.state is not State.STARTING:
            return None
        self.fault, self.error = failure.getErrorMessage(), failure.value
        released = self._attempt(self.unit.stop, START_TIMEOUT)
        released.addErrback(self._not_released)
        return released.addCallback(lambda _: self._wait(failure))

    def _not_released(self, failure: Failure) -> None:
        self._observer.stop_failed(self.unit, failure)

    def _wait(self, failure: Failure) -> None:
        self._input(Input.FAILED)
        if self.state is not State.WAITING:
            return
        doubled = FIRST_DELAY * 2 ** min(self._tries - 1, 10)
        delay = min(LONGEST_DELAY, doubled) * self._jitter()
        self._retry = self._clock.callLater(delay, self._again)
        self._observer.failed(self.unit, failure, self._tries, delay)
        self._settle()

    def _again(self) -> None:
        self._retry = None
        self._input(Input.RETRY)

    def _settle(self) -> None:
        if not self.first_try.called:
            self.first_try.callback(None)

    def _stopped(self, _: None) -> None:
        self._input(Input.SUCCEEDED)

    def _not_stopped(self, failure: Failure) -> None:
        self._input(Input.FAILED)
        self._observer.stop_failed(self.unit, failure)


# What is not in the table cannot happen: timers are cancelled and Deferreds fire once.
_TABLE: dict[State, dict[Input, State]] = {
    State.IDLE: {Input.START: State.STARTING, Input.STOP: State.STOPPED},
    State.STARTING: {
        Input.SUCCEEDED: State.RUNNING,
        Input.FAILED: State.WAITING,
        Input.STOP: State.STOPPING,
    },
    State.RUNNING: {Input.STOP: State.STOPPING},
    State.WAITING: {Input.RETRY: State.STARTING, Input.STOP: State.STOPPED},
    # A start that comes to its end during the stop, and the stop itself.
    State.STOPPING: {
        Input.SUCCEEDED: State.STOPPED,
        Input.FAILED: State.STOPPED,
        Input.STOP: State.STOPPING,
    },
    State.STOPPED: {
        Input.SUCCEEDED: State.STOPPED,
        Input.FAILED: State.STOPPED,
        Input.STOP: State.STOPPED,
    },
}


class Supervisor:
    """All units, in stages."""

    def __init__(
        self,
        stages: Sequence[Sequence[Unit]],
        *,
        clock: IReactorTime,
        observer: Observer,
        jitter: Callable[[], float],
    ) -> None:
        """``jitter`` gives a factor for each delay, around 1, so that restarts spread."""
        self._clock = clock
        self._stages = [
            [Supervised(unit, clock, observer, jitter) for unit in stage] for stage in stages
        ]
        self._abandoned: Deferred[None] = Deferred()
        self.draining = False
        """True from the moment that it was told to stop."""

    @property
    def units(self) -> list[Supervised]:
        """All of them, in the order in which they start."""
        return [supervised for stage in self._stages for supervised in stage]

    @property
    def ready(self) -> bool:
        """Whether every required unit is well and nothing is being stopped."""
        needed = [supervised for supervised in self.units if supervised.unit.required]
        return not self.draining and all(supervised.health().ok for supervised in needed)

    def start(self) -> Deferred[None]:
        """Start everything; fires when every unit has had its first try."""
        done = succeed(None)
        for stage in self._stages:
            done.addCallback(self._start_stage, stage)
        return done

    def stop(self, timeout: float) -> Deferred[None]:
        """
        Stop everything, the last stage first; fires within ``timeout`` seconds.

        A stage gets half of the time that is left, so that one that hangs leaves some for the
        others.
        """
        self.draining = True
        until = self._clock.seconds() + timeout
        done = succeed(None)
        for index in reversed(range(len(self._stages))):
            done.addCallback(self._stop_stage, index, until)
        return _first_of(done, self._abandoned)

    def abandon(self) -> None:
        """Wait for nothing any more: a ``stop`` under way fires at once."""
        if not self._abandoned.called:
            self._abandoned.callback(None)

    def _start_stage(self, _: object, stage: Sequence[Supervised]) -> Deferred[None] | None:
        if self.draining:
            return None
        for supervised in stage:
            supervised.start()
        return _all(supervised.first_try for supervised in stage)

    def _stop_stage(self, _: object, index: int, until: float) -> Deferred[None]:
        left = max(0.0, until - self._clock.seconds())
        share = left / 2 if index else left
        return _all(supervised.stop(share) for supervised in self._stages[index])


def _too_long(_: object, timeout: float) -> NoReturn:
    raise TimeoutError(f"took longer than {timeout:g} s")


def _all(waits: Iterable[Deferred[None]]) -> Deferred[None]:
    return DeferredList(list(waits)).addCallback(lambda _: None)


def _first_of(one: Deferred[None], other: Deferred[None]) -> Deferred[None]:
    first: Deferred[None] = Deferred()

    def fire(_: object) -> None:
        if not first.called:
            first.callback(None)

    one.addCallback(fire)
    other.addCallback(fire)
    return first
