"""
What user agents send again by themselves, and provisional responses made reliable (RFC 3262).

A transaction repeats neither the 2xx of an INVITE (RFC 3261, section 13.3.1.4) nor a reliable
1xx: whoever gave it does, over every transport, until ACK or PRACK comes.
"""

from __future__ import annotations

from b2bua.sip.headers import RAck
from b2bua.sip.message import Response
from b2bua.sip.server_transaction import ServerTransaction
from b2bua.sip.timers import Timers

RSEQ_RANGE = 2**31 - 1
"""The first number is from 1 to this (RFC 3262, section 3)."""


class Repetition:
    """A response that is sent again after T1, then ever more slowly, until 64*T1 are over."""

    __slots__ = ("_end", "_interval", "_longest", "_next", "response", "transaction")

    def __init__(
        self,
        transaction: ServerTransaction,
        response: Response,
        timers: Timers,
        now: float,
        longest: float | None = None,
    ) -> None:
        self.transaction = transaction
        self.response = response
        self._interval = timers.t1
        self._longest = longest
        self._next = now + timers.t1
        self._end = now + timers.transaction

    def next_timeout(self) -> float:
        """When to ask ``is_over``, and to send the response again if it is not."""
        return min(self._next, self._end)

    def is_over(self, now: float) -> bool:
        """Whether the time has run out; if not, note that the response goes out now."""
        if now >= self._end:
            return True
        self._interval *= 2
        if self._longest is not None:
            self._interval = min(self._interval, self._longest)
        self._next = now + self._interval
        return False


class ReliableSender:
    """
    The reliable provisional responses to one INVITE, one after the other.

    The next goes out when the one before it is acknowledged, so they arrive in order.
    """

    __slots__ = ("_next", "_overtaken", "_waiting", "open")

    def __init__(self, first: int) -> None:
        self._next = first
        self._waiting: list[tuple[ServerTransaction, Response]] = []
        self._overtaken: Response | None = None
        self.open: Repetition | None = None
        """The response that no PRACK has acknowledged yet."""

    @property
    def holds_success(self) -> bool:
        """Whether a 2xx has to wait: for the PRACK of a session description."""
        open_ = self.open
        bodies = [response.body for _, response in self._waiting]
        return any(bodies) or (open_ is not None and bool(open_.response.body))

    def add(self, transaction: ServerTransaction, response: Response) -> None:
        """Number a response, to be sent in its turn."""
        response.add("RSeq", self._next)
        self._next += 1
        self._waiting.append((transaction, response))

    def take_next(self, timers: Timers, now: float) -> Repetition | None:
        """The response to send now, if none is open and one is waiting."""
        if self.open is not None or not self._waiting:
            return None
        transaction, response = self._waiting.pop(0)
        self.open = Repetition(transaction, response, timers, now)
        return self.open

    def acknowledge(self, rack: RAck | None) -> Response | None:
        """
        The response that a PRACK acknowledges, which is open no more; None if there is none.

        A PRACK may come after the 2xx has gone out (RFC 3262, section 3).
        """
        response = self._overtaken if self.open is None else self.open.response
        if response is None or rack is None:
            return None
        cseq = response.cseq
        if (rack.rseq, rack.cseq, rack.method) != (response.rseq, cseq.number, cseq.method):
            return None
        self.open = self._overtaken = None
        return response

    def stop(self) -> None:
        """Repeat nothing more: the INVITE has its final response."""
        if self.open is not None:
            self._overtaken = self.open.response
        self.open = None
        self._waiting.clear()


class ReliableReceiver:
    """Which reliable provisional response of a dialog comes next."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: int | None = None

    def take(self, rseq: int) -> bool:
        """
        Whether this one is new and in order, so that it gets a PRACK.

        A copy, or one before whose predecessor came, is dropped: it will be sent again.
        """
        if self._last is not None and rseq != self._last + 1:
            return False
        self._last = rseq
        return True
