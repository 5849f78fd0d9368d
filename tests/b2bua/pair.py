"""
A pair of SIP Servers that share their bindings, and a shell around the pool and the registrations.

Everything happens at a time that the test sets; ten minutes of a thousand DNs take a second.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from itertools import count
from random import Random

from b2bua.pace import Pace
from b2bua.registration import Registrations
from b2bua.registration_terms import Answer, Closed, Register, Terms
from b2bua.registration_terms import Output as RegistrationOutput
from b2bua.upstreams import (
    AllDown,
    PoolTimes,
    Probe,
    Reason,
    Recovered,
    Sent,
    Server,
    ServerPool,
    Switched,
)
from b2bua.upstreams import Output as PoolOutput

LATENCY = 0.02
FAILOVER = 4.0


class Mode(Enum):
    """How a server behaves."""

    UP = "answers"
    SILENT = "is stopped: nothing comes back"
    CLOSED = "its port is closed: ICMP, or RST"
    BUSY = "answers 503 to all"


@dataclass
class Binding:
    """What both registrars know of a DN."""

    call_id: str
    cseq: int
    until: float


class Pair:
    """The simulation: two servers, the pool, the registrations, and the time."""

    def __init__(
        self,
        seed: int = 1,
        *,
        servers: int = 2,
        times: PoolTimes | None = None,
        terms: Terms | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.now = 1000.0
        self.random = Random(seed)
        self.modes = [Mode.UP] * servers
        self.challenging = False
        self.expires = 140
        addresses = [Server(f"192.0.2.{number + 1}") for number in range(servers)]
        self.pool = ServerPool(addresses, self.random.random, self.now, times=times)
        ids = count(1)
        self.registrations = Registrations(
            self.random.random, lambda: f"{next(ids):032x}", terms, pace
        )
        self.bindings: dict[str, Binding] = {}
        self.sent: list[tuple[float, int, Register]] = []
        self.pool_outputs: list[tuple[float, PoolOutput]] = []
        self.told: list[tuple[float, RegistrationOutput]] = []
        self.changes: list[float] = []
        """When another server came into use, or one did again."""
        self.between: dict[int, Counter[str]] = defaultdict(Counter)
        """How many REGISTERs each DN sent between two changes."""
        self._nonces: set[tuple[int, str]] = set()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = count()

    # What a test does.

    def sign_in(self, *dns: str) -> None:
        for dn in dns:
            self.registrations.sign_in(dn, self.now)
        self.pump()

    def sign_out(self, *dns: str) -> None:
        for dn in dns:
            self.registrations.sign_out(dn, self.now)
        self.pump()

    def shut_down(self, limit: float) -> None:
        self.registrations.shut_down(self.now, limit)
        self.pump()

    def run(self, seconds: float) -> None:
        """Let time pass, stopping wherever something is due."""
        end = self.now + seconds
        while (due := self._next()) <= end:
            self.now = max(self.now, due)
            self._step()
        self.now = end

    def bound(self) -> set[str]:
        """The DNs that can be called now, by the registrars' books."""
        return {dn for dn, binding in self.bindings.items() if binding.until > self.now}

    def tell(self, kind: type[RegistrationOutput]) -> list[RegistrationOutput]:
        """What was told of one kind."""
        return [output for _, output in self.told if isinstance(output, kind)]

    def times_of(self, *kinds: type[PoolOutput]) -> list[float]:
        """When the pool told one of these."""
        return [when for when, output in self.pool_outputs if isinstance(output, kinds)]

    def most_in_a_second(self, since: float = 0.0) -> int:
        """The most REGISTERs that any second had."""
        moments = [when for when, _, _ in self.sent if when >= since]
        most = first = 0
        for last, moment in enumerate(moments):
            while moments[first] <= moment - 1.0:
                first += 1
            most = max(most, last - first + 1)
        return most

    # The shell.

    def pump(self) -> None:
        """Carry out what both want, until neither wants anything."""
        while True:
            for output in (pool_outputs := self.pool.take_outputs()):
                self._follow(output)
            for told in (outputs := self.registrations.take_outputs()):
                if isinstance(told, Register):
                    self._register(told)
                else:
                    self.told.append((self.now, told))
            if not pool_outputs and not outputs:
                return

    def _next(self) -> float:
        moments = [self.pool.next_timeout(), self.registrations.next_timeout()]
        moments += [self._events[0][0]] if self._events else []
        return min(moment for moment in moments if moment is not None)

    def _step(self) -> None:
        if self._events and self._events[0][0] <= self.now:
            heapq.heappop(self._events)[2]()
        else:
            self.pool.handle_timeout(self.now)
            self.pump()
            self.registrations.handle_timeout(self.now)
        self.pump()

    def _later(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._serial), event))

    def _follow(self, output: PoolOutput) -> None:
        self.pool_outputs.append((self.now, output))
        match output:
            case Probe(sent):
                self._exchange(sent, lambda: 200, lambda status: None, lambda: None)
            case AllDown():
                self.registrations.suspend()
            case Switched() | Recovered():
                self.changes.append(self.now)
                self.registrations.server_changed(self.now)

    def _register(self, register: Register) -> None:
        sent = self.pool.send(self.now)
        assert sent is not None, "a REGISTER while all servers are down"
        self.sent.append((self.now, sent.server, register))
        self.between[len(self.changes)][register.dn] += 1

        # What the registrar grants is settled when the request arrives, not with the answer.
        granted = 0

        def serve() -> int:
            nonlocal granted
            granted = self.expires
            return self._bind(sent.server, register)

        def tell(status: int) -> None:
            if status == 401:
                self.registrations.challenged(register, self.now)
            else:
                answer = Answer(status, expires=register.expires and granted)
                self.registrations.answered(register, answer, self.now)

        self._exchange(
            sent,
            serve,
            tell,
            lambda: self.registrations.unanswered(register, self.now),
        )

    def _exchange(
        self,
        sent: Sent,
        served: Callable[[], int],
        answered: Callable[[int], None],
        unanswered: Callable[[], None],
    ) -> None:
        """One request: it arrives or not, and its answer does."""

        def arrive() -> None:
            mode = self.modes[sent.server]
            if mode is Mode.UP:
                status = served()
                self._later(LATENCY, lambda: answer(status))
            elif mode is Mode.BUSY:
                self._later(LATENCY, lambda: answer(503))
            elif mode is Mode.CLOSED:
                self._later(LATENCY, lambda: fail(Reason.TRANSPORT))
            else:
                self._later(FAILOVER - LATENCY, lambda: fail(Reason.UNANSWERED))

        def answer(status: int) -> None:
            if status == 503:
                self.pool.failed(sent, Reason.UNAVAILABLE, self.now)
            else:
                self.pool.answered(sent, self.now)
            self.pump()
            answered(status)

        def fail(reason: Reason) -> None:
            self.pool.failed(sent, reason, self.now)
            self.pump()
            unanswered()

        self._later(LATENCY, arrive)

    # The registrars.

    def _bind(self, server: int, register: Register) -> int:
        if self.challenging and (server, register.dn) not in self._nonces:
            self._nonces.add((server, register.dn))
            return 401
        known = self.bindings.get(register.dn)
        if known and known.call_id == register.call_id:
            assert register.cseq > known.cseq, "a CSeq that did not grow"
        granted = register.expires and self.expires
        self.bindings[register.dn] = Binding(
            register.call_id, register.cseq, self.now + granted if granted else 0.0
        )
        return 200


def numbers(amount: int, first: int = 1000) -> list[str]:
    """So many DNs."""
    return [str(first + number) for number in range(amount)]


def closed(pair: Pair) -> Closed | None:
    """The end of the shut-down, if it was told."""
    found = [output for _, output in pair.told if isinstance(output, Closed)]
    return found[0] if found else None
