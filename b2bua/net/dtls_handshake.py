"""
A DTLS handshake until the peer is known: which of what comes in is its own, and what is to be done.

Whoever can send in the peer's name can say anything here, and the peer's own words are among it.
But its certificate is known by the fingerprint in SDP, and what that signs is bound to our random
number (ServerKeyExchange) or to all that was said (CertificateVerify). So a flight is looked at as
a whole, and OpenSSL gets it when the right certificate has signed it. All else is words, and time:
what may mean that the peer has given up is believed when nothing better follows.
``dtls_server`` and ``dtls_client`` are the two roles.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import count, islice
from typing import Final

from OpenSSL import SSL

from b2bua.net.dtls_identity import DtlsIdentity
from b2bua.net.dtls_messages import Inbox
from b2bua.net.dtls_openssl import Attempt
from b2bua.net.dtls_records import (
    ALERT,
    CHANGE_CIPHER_SPEC,
    HANDSHAKE,
    Fragment,
    Message,
    Record,
    read_fragments,
    write_record,
)
from b2bua.net.dtls_signatures import Fingerprints, Signatures

REFUSED_SECONDS: Final = 5.0
"""
How much longer to wait for something better once a fault may be the peer's. Of an alert in the
clear, too, which anybody can have sent (RFC 9147, section 4.5.2): a peer that has goes on.
"""
WRONG_CERTIFICATE: Final = "the peer's certificate is not that of its fingerprint"

_NO_FINGERPRINT: Final = "the peer's SDP has no fingerprint of sha-256 or better"
_BAD_CERTIFICATE: Final = b"\x02\x2a"
_SOONEST: Final = 0.01
"""Seconds after which OpenSSL is asked again when its clock says that it is not time yet."""
_MOST_EARLY: Final = 8
"""Encrypted records that wait for the flight before them, each some 60 bytes."""
_LONGEST_EARLY: Final = 256
"""Bytes of one of them."""
_MOST_FRAGMENTS: Final = 16
"""Of one datagram; those of handshakes have five."""
_MOST_TRIED: Final = 1024
"""Sets of messages that are known to be wrong."""
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
    90: "user canceled",
}
"""Those that a browser may end a handshake with, by number (RFC 5246, section 7.2)."""


@dataclass(frozen=True, slots=True)
class _Doubt:
    """What ends the handshake at a moment, if nothing better comes."""

    until: float
    why: str
    is_alert: bool
    last_words: tuple[bytes, ...] = ()


class Handshake(ABC):
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
    """What went wrong, in words for a log, by whomever; an alert is told if nothing else is."""

    def __init__(self, identity: DtlsIdentity, peer: Fingerprints, mtu: int) -> None:
        self.chosen = None
        self.verdict = ""
        self.hint = ""
        self._identity = identity
        self._mtu = mtu
        self._numbers = count()
        self._signatures = Signatures(peer)
        self._stranger = WRONG_CERTIFICATE if peer else _NO_FINGERPRINT
        self._tried: set[tuple[int, ...]] = set()
        self._inbox = Inbox()
        self._arrival = 0
        self._early: deque[bytes] = deque(maxlen=_MOST_EARLY)
        self._datagrams: list[bytes] = []
        self._doubt: _Doubt | None = None

    @abstractmethod
    def start(self, now: float) -> None:
        """Begin: a client says hello, a server waits for that."""

    def receive(self, records: Iterable[Record], now: float) -> int:
        """Take the records of a datagram; returns how many cannot be the peer's."""
        expected = self._expected()
        fragments: list[Fragment] = []
        dropped = 0
        for record in records:
            before = len(fragments)
            if record.epoch == 0 and record.kind == HANDSHAKE:
                found = islice(read_fragments(record.body), _MOST_FRAGMENTS - before)
                fragments += [each for each in found if (each.kind, each.sequence) in expected]
                dropped += len(fragments) == before
            else:
                dropped += not self._take(record, now)
        if fragments:
            self._live()
        if fragments and self.chosen is None and not self.verdict:
            self._signatures.renew(now)
            self._arrival = self._inbox.take(fragments)
            self._look(now)
        return dropped

    def take_datagrams(self) -> list[bytes]:
        """Take what is to be sent."""
        taken, self._datagrams = self._datagrams, []
        return taken

    def next_timeout(self) -> float | None:
        """When to call ``handle_timeout``; None: not at all."""
        return None if self._doubt is None else self._doubt.until

    def handle_timeout(self, now: float) -> None:
        """Send again what was not answered, or believe what is doubtful."""
        if self._doubt is not None and now >= self._doubt.until:
            self.verdict = self._doubt.why
            self._datagrams += self._doubt.last_words

    # What the roles do

    @abstractmethod
    def _look(self, now: float) -> None:
        """See what can be made of the messages that are there, some of which have just come."""

    @abstractmethod
    def _expected(self) -> Collection[tuple[int, int]]:
        """Kinds and numbers of the peer's messages."""

    @property
    @abstractmethod
    def _has_asked(self) -> bool:
        """Whether the peer has something to refuse."""

    # What they have in common

    def _take(self, record: Record, now: float) -> bool:
        if record.epoch == 1:
            self._live()
            if self.chosen is not None:
                self._decrypt(self.chosen, (record.data,))
            elif len(record.data) <= _LONGEST_EARLY:
                self._early.append(record.data)
            return True
        if record.epoch == 0 and record.kind == ALERT:
            self._note_alert(record.body, now)
        # That a ChangeCipherSpec comes is known from the flight: OpenSSL is told then.
        return record.epoch == 0 and record.kind == CHANGE_CIPHER_SPEC

    def _note_alert(self, body: bytes, now: float) -> None:
        name = _ALERTS.get(body[1]) if len(body) == 2 else None
        why = "the peer ended the handshake" + (f": {name}" if name else "")
        self.hint = self.hint or why
        if self._doubt is None and self._has_asked:
            self._doubt = _Doubt(now + REFUSED_SECONDS, why, is_alert=True)

    def _live(self) -> None:
        """Note that the peer, or somebody, goes on: whoever ends a handshake does not."""
        if self._doubt is not None and self._doubt.is_alert:
            self._doubt = None

    def _suspect(self, why: str, now: float, last_words: list[bytes]) -> None:
        """Note a fault that may be the peer's."""
        self.hint = why
        if self._doubt is None or self._doubt.is_alert:
            self._doubt = _Doubt(now + REFUSED_SECONDS, why, False, tuple(last_words))

    def _meet_stranger(self, now: float) -> None:
        """Note that another certificate has signed what it takes to have read us."""
        self._suspect(
            self._stranger, now, [write_record(ALERT, next(self._numbers), _BAD_CERTIFICATE)]
        )

    def _is_new(self, numbers: tuple[int, ...]) -> bool:
        """Whether this was not tried yet; it is from now on."""
        if numbers in self._tried:
            return False
        if len(self._tried) >= _MOST_TRIED:
            self._tried.clear()
        self._tried.add(numbers)
        return True

    def _choose(self, attempt: Attempt, flight: Iterable[Message]) -> None:
        """Take this flight for the peer's; there is no way back."""
        self.chosen, self._doubt = attempt, None
        self._inbox = Inbox()
        early, self._early = self._early, deque(maxlen=_MOST_EARLY)
        try:
            attempt.take(flight)
            attempt.turn()
        except SSL.Error as error:
            self.verdict = words(error)
        self._datagrams += attempt.drain()
        if not self.verdict:
            self._decrypt(attempt, early)

    def _decrypt(self, attempt: Attempt, records: Iterable[bytes]) -> None:
        try:
            for record in records:
                attempt.receive(record)
        except SSL.Error as error:
            # Only what the peer has encrypted raises this.
            self.verdict = words(error)
        self._datagrams += attempt.drain()


def leaf(certificate: bytes) -> bytes:
    """Return the first certificate of such a message, the peer's own; b"" if there is none."""
    length = int.from_bytes(certificate[3:6], "big")
    return certificate[6 : 6 + length] if 6 + length <= len(certificate) else b""


def soonest(attempt: Attempt, now: float) -> float | None:
    """When OpenSSL wants to be asked again."""
    left = attempt.timeout()
    return None if left is None else now + max(left, _SOONEST)


def words(error: SSL.Error) -> str:
    """The first of what OpenSSL says, which is the nearest to the cause."""
    reasons = error.args[0] if error.args else ()
    said = [entry[-1] for entry in reasons if entry[-1]] if isinstance(reasons, list) else []
    return f"OpenSSL gave up: {said[0] if said else type(error).__name__}"
