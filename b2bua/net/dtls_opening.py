"""
A DTLS handshake until the peer is known: which of what comes in is its own, and what is to be done.

Whoever can send in the peer's name can say anything here, and the peer's own words are among it.
So nothing replaces anything, nothing is refused but by time, and all of it is bounded.
``dtls_answering`` and ``dtls_calling`` are the two roles.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final

from OpenSSL import SSL

from b2bua.net.dtls_attempt import Attempt
from b2bua.net.dtls_flights import Reader
from b2bua.net.dtls_identity import DtlsIdentity
from b2bua.net.dtls_messages import Inbox
from b2bua.net.dtls_records import (
    ALERT,
    CHANGE_CIPHER_SPEC,
    HANDSHAKE,
    Message,
    Record,
    read_fragments,
)
from b2bua.net.dtls_signatures import Fingerprints, Signatures

PATIENCE: Final = 1.0
"""Seconds that what is doubtful waits for something better."""
BELIEVED_AFTER: Final = 5.0
"""Seconds after which the same fault is believed when it is all that still comes."""
_SOONEST: Final = 0.01
"""Seconds after which OpenSSL is asked again when its clock says that it is not time yet."""
_MOST_EARLY: Final = 8
"""Encrypted records that wait for the flight before them."""
_MOST_FRAGMENTS: Final = 16
"""Of one record; what is longer than a datagram comes in several records."""
_ALERTS: Final = {
    0: "close notify",
    10: "unexpected message",
    40: "handshake failure",
    42: "bad certificate",
    43: "unsupported certificate",
    46: "certificate unknown",
    47: "illegal parameter",
    50: "decode error",
    51: "decrypt error",
    70: "protocol version",
    71: "insufficient security",
    80: "internal error",
}


@dataclass(frozen=True, slots=True)
class Held:
    """What is done at a moment if nothing better comes."""

    at: float
    attempt: Attempt
    messages: tuple[Message, ...]
    is_request: bool = False
    """A HelloVerifyRequest, rather than a flight."""


class Opening(ABC):
    """
    What comes before the keys.

    After each call ``chosen`` is the attempt whose peer is known, ``verdict`` says why it is all
    over, and ``take_datagrams`` has what is to be sent.
    """

    chosen: Attempt | None
    """The one that has the peer's flight; it is done when both have finished."""
    verdict: str
    """Why this has failed for good; "" while it has not."""
    hint: str
    """What went wrong last, in words for a log, by whomever."""

    def __init__(self, identity: DtlsIdentity, peer: Fingerprints, mtu: int) -> None:
        self.chosen = None
        self.verdict = ""
        self.hint = ""
        self._identity = identity
        self._mtu = mtu
        self._reader = Reader(peer, Signatures())
        self._inbox = Inbox()
        self._arrival = 0
        self._early: deque[bytes] = deque(maxlen=_MOST_EARLY)
        self._datagrams: list[bytes] = []
        self._held: Held | None = None
        self._doubted_at: float | None = None
        self._again_at: float | None = None

    @abstractmethod
    def start(self, now: float) -> None:
        """Begin: a client says hello, a server waits for that."""

    def receive(self, records: Iterable[Record], now: float) -> int:
        """Take the records of a datagram; returns how many cannot be the peer's."""
        self._reader.signatures.renew(now)
        self._arrival += 1
        dropped = sum(not self._take(record, now) for record in records)
        if self.chosen is None and not self.verdict:
            self._look(now)
        self._schedule(now)
        return dropped

    def take_datagrams(self) -> list[bytes]:
        """Take what is to be sent."""
        taken, self._datagrams = self._datagrams, []
        return taken

    def next_timeout(self) -> float | None:
        """When to call ``handle_timeout``; None: not at all."""
        moments = (self._again_at, None if self._held is None else self._held.at)
        return min((at for at in moments if at is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        """Send again what was not answered, and settle for what is doubtful."""
        held = self._held
        if held is not None and now >= held.at:
            self._held = None
            self._settle_for(held, now)
        for attempt in list(self._attempts()):
            try:
                attempt.handle_timeout()
            except SSL.Error as error:
                self._broke(attempt, error, now)
            self._datagrams += attempt.drain()
        self._schedule(now)

    # What the roles do

    @abstractmethod
    def _look(self, now: float) -> None:
        """See what can be made of the messages that are there."""

    @abstractmethod
    def _expected(self) -> Collection[tuple[int, int]]:
        """Kinds and numbers of the peer's messages."""

    @abstractmethod
    def _attempts(self) -> Iterable[Attempt]:
        """Those that go on."""

    @abstractmethod
    def _broke(self, attempt: Attempt, error: SSL.Error, now: float) -> None:
        """OpenSSL gave up."""

    def _settle_for(self, held: Held, now: float) -> None:
        self._choose(held.attempt, held.messages, now)

    # What they have in common

    def _take(self, record: Record, now: float) -> bool:
        if record.epoch == 1:
            if self.chosen is None:
                self._early.append(record.data)
            else:
                self._decrypt(self.chosen, (record.data,), now)
        elif record.epoch == 0 and record.kind == HANDSHAKE:
            return self._keep(record)
        elif record.epoch == 0 and record.kind == ALERT:
            self._note_alert(record.body)
            return False
        else:
            # That this comes is known from the flight: OpenSSL is told then.
            return not record.epoch and record.kind == CHANGE_CIPHER_SPEC
        return True

    def _keep(self, record: Record) -> bool:
        expected = self._expected()
        fragments = islice(read_fragments(record.body), _MOST_FRAGMENTS)
        plausible = [each for each in fragments if (each.kind, each.sequence) in expected]
        if self.chosen is None:
            for fragment in plausible:
                self._inbox.add(fragment, self._arrival)
        return bool(plausible)

    def _note_alert(self, body: bytes) -> None:
        # Anybody can have sent it, so it is worth words only, and those are not the last ones.
        if len(body) == 2:
            name = _ALERTS.get(body[1], f"number {body[1]}")
            self.hint = self.hint or f"somebody said in the clear: {name}"

    def _hold(self, held: Held) -> None:
        if self._held is None or (self._held.is_request and not held.is_request):
            self._held = held

    def _choose(self, attempt: Attempt, flight: tuple[Message, ...], now: float) -> None:
        """Take this flight for the peer's; there is no way back but to begin anew."""
        self.chosen, self._held = attempt, None
        early, self._early = self._early, deque(maxlen=_MOST_EARLY)
        try:
            attempt.take(flight)
            attempt.turn()
        except SSL.Error as error:
            self._broke(attempt, error, now)
        self._datagrams += attempt.drain()
        if self.chosen is attempt:
            self._decrypt(attempt, early, now)

    def _decrypt(self, attempt: Attempt, records: Iterable[bytes], now: float) -> None:
        try:
            for record in records:
                attempt.receive(record)
        except SSL.Error as error:
            self._broke(attempt, error, now)
        self._datagrams += attempt.drain()

    def _doubt(self, why: str, now: float, last_words: list[bytes]) -> None:
        """Note a fault that may be the peer's; believe it if nothing else has come for long."""
        self.hint = why
        if self._doubted_at is None:
            self._doubted_at = now
        elif now - self._doubted_at >= BELIEVED_AFTER:
            self.verdict = why
            self._datagrams += last_words

    def _schedule(self, now: float) -> None:
        waits = [left for each in self._attempts() if (left := each.timeout()) is not None]
        self._again_at = now + max(min(waits), _SOONEST) if waits else None


def words(error: SSL.Error) -> str:
    """The first of what OpenSSL says, which is the nearest to the cause."""
    reasons = error.args[0] if error.args else ()
    said = [entry[-1] for entry in reasons if entry[-1]] if isinstance(reasons, list) else []
    return f"OpenSSL gave up: {said[0] if said else type(error).__name__}"
