"""
The server's side of a DTLS handshake until the peer is known.

Whatever hello comes is answered, each by an attempt of its own, since nothing tells the peer's from
another one. The peer's certificate signs all that was said, so its next flight says which was its.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from OpenSSL import SSL

from b2bua.net.dtls_attempt import Attempt
from b2bua.net.dtls_identity import DtlsIdentity
from b2bua.net.dtls_opening import PATIENCE, Held, Opening, words
from b2bua.net.dtls_records import (
    CERTIFICATE,
    CERTIFICATE_VERIFY,
    CLIENT_HELLO,
    CLIENT_KEY_EXCHANGE,
    Message,
)
from b2bua.net.dtls_signatures import Fingerprints

MOST_HELLOS: Final = 8
"""That are answered side by side; each has some 60 KB."""
HELLO_SECONDS: Final = 3.0
"""For which one keeps its place when there are more."""

_NO_CERTIFICATE: Final = b"\0\0\0"
_EXPECTED: Final = frozenset(
    {(CLIENT_HELLO, 0), (CERTIFICATE, 1), (CLIENT_KEY_EXCHANGE, 2), (CERTIFICATE_VERIFY, 3)}
)


@dataclass(slots=True)
class _Hello:
    at: float
    attempt: Attempt | None
    """None: OpenSSL refused it."""
    fault: str = ""
    last_words: list[bytes] = field(default_factory=list)


class Answering(Opening):
    """Waits for a hello, answers each, and finds out whose the answer to that is."""

    def __init__(self, identity: DtlsIdentity, peer: Fingerprints, mtu: int) -> None:
        super().__init__(identity, peer, mtu)
        self._hellos: dict[bytes, _Hello] = {}

    def start(self, now: float) -> None:
        """Wait for a hello."""

    def _expected(self) -> Collection[tuple[int, int]]:
        return _EXPECTED

    def _attempts(self) -> Iterable[Attempt]:
        if self.chosen is not None:
            return [self.chosen]
        return [each.attempt for each in self._hellos.values() if each.attempt is not None]

    def _look(self, now: float) -> None:
        for choice in self._inbox.choices(CLIENT_HELLO, 0):
            if choice.arrival == self._arrival:
                self._hear(choice.message, now)
        found = self._reader.client_flight(self._inbox, self._attempts())
        if found is not None and found[1].is_sure:
            self._choose(found[0], found[1].messages, now)
            return
        if found is not None:
            self._hold(Held(now + PATIENCE, found[0], found[1].messages))
        for choice in self._inbox.choices(CERTIFICATE, 1):
            # Anybody can say that, at any time, so it never ends anything by itself.
            if choice.message.body == _NO_CERTIFICATE:
                self.hint = "the peer shows no certificate"

    def _hear(self, message: Message, now: float) -> None:
        hello = self._hellos.get(message.body)
        if hello is None:
            if not self._has_place(now):
                return
            hello = self._hellos[message.body] = self._answer(message, now)
        # Where another hello was good enough, this one says nothing of the peer.
        if hello.attempt is None and not self._attempts():
            self._doubt(hello.fault, now, hello.last_words)

    def _has_place(self, now: float) -> bool:
        if len(self._hellos) < MOST_HELLOS:
            return True
        oldest = next(iter(self._hellos))
        if now < self._hellos[oldest].at + HELLO_SECONDS:
            return False
        gone = self._hellos.pop(oldest)
        if self._held is not None and self._held.attempt is gone.attempt:
            self._held = None
        return True

    def _answer(self, message: Message, now: float) -> _Hello:
        attempt = Attempt(self._identity, self._mtu)
        try:
            self._datagrams += attempt.answer(message)
        except SSL.Error as error:
            # Its alert would end the peer's handshake if this was not the peer's hello.
            return _Hello(now, None, words(error), attempt.drain())
        return _Hello(now, attempt)

    def _broke(self, attempt: Attempt, error: SSL.Error, now: float) -> None:
        if attempt is self.chosen:
            # The peer has signed all that it said, or encrypted it.
            self.verdict = words(error)
            return
        for hello in self._hellos.values():
            if hello.attempt is attempt:
                hello.attempt, hello.fault = None, words(error)
