"""
The client's side of a DTLS handshake until the peer is known.

There is one hello of ours, and the peer's flight signs its random number. Where that flight turns
out to be spoiled nevertheless, another hello begins anew, once a second: a server that has gone on
does not take it, but then nothing is lost.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from OpenSSL import SSL

from b2bua.net.dtls_attempt import Attempt
from b2bua.net.dtls_identity import DtlsIdentity
from b2bua.net.dtls_messages import Inbox
from b2bua.net.dtls_opening import PATIENCE, Held, Opening, words
from b2bua.net.dtls_records import (
    CERTIFICATE,
    CERTIFICATE_REQUEST,
    HELLO_VERIFY_REQUEST,
    SERVER_HELLO,
    SERVER_HELLO_DONE,
    SERVER_KEY_EXCHANGE,
)
from b2bua.net.dtls_signatures import Fingerprints


class Calling(Opening):
    """Says hello, and finds the peer's answer."""

    def __init__(self, identity: DtlsIdentity, peer: Fingerprints, mtu: int) -> None:
        super().__init__(identity, peer, mtu)
        self._attempt: Attempt | None = None
        self._anew_at: float | None = None

    def start(self, now: float) -> None:
        """Say hello."""
        if self._attempt is None:
            self._begin()
            self._schedule(now)

    def next_timeout(self) -> float | None:
        """When to call ``handle_timeout``; None: not at all."""
        moments = (super().next_timeout(), self._anew_at)
        return min((at for at in moments if at is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        """Say hello anew, if the last try failed."""
        if self._anew_at is not None and now >= self._anew_at:
            self._begin()
        super().handle_timeout(now)

    def _begin(self) -> None:
        self._anew_at = None
        self._inbox = Inbox()
        self._attempt = Attempt(self._identity, self._mtu)
        self._datagrams += self._attempt.call()

    def _expected(self) -> Collection[tuple[int, int]]:
        first = 0 if self._attempt is None else self._attempt.first
        # Where a cipher has no ServerKeyExchange, what follows comes one sooner.
        shown = [(SERVER_HELLO, 0), (CERTIFICATE, 1), (SERVER_KEY_EXCHANGE, 2)]
        ending = [(CERTIFICATE_REQUEST, 2), (CERTIFICATE_REQUEST, 3)]
        done = [(SERVER_HELLO_DONE, number) for number in (2, 3, 4)]
        numbered = {(kind, first + number) for kind, number in shown + ending + done}
        return numbered if first else numbered | {(HELLO_VERIFY_REQUEST, 0)}

    def _attempts(self) -> Iterable[Attempt]:
        return [] if self._attempt is None else [self._attempt]

    def _look(self, now: float) -> None:
        attempt = self._attempt
        if attempt is None:
            return
        flight = self._reader.server_flight(
            self._inbox, attempt.first, attempt.random, is_signed=attempt.is_signed
        )
        if flight is not None and flight.is_sure:
            self._choose(attempt, flight.messages, now)
        elif flight is not None:
            self._hold(Held(now + PATIENCE, attempt, flight.messages))
        elif not attempt.first:
            for choice in self._inbox.choices(HELLO_VERIFY_REQUEST, 0)[:1]:
                held = Held(now + PATIENCE, attempt, (choice.message,), is_request=True)
                self._hold(held)

    def _settle_for(self, held: Held, now: float) -> None:
        if held.is_request:
            self._repeat_hello(held, now)
        else:
            super()._settle_for(held, now)

    def _repeat_hello(self, held: Held, now: float) -> None:
        """Say hello with the cookie: a server that asks for none would take that amiss."""
        asks = not self._inbox.choices(SERVER_HELLO, 0)
        self._inbox.forget(HELLO_VERIFY_REQUEST, 0)
        self._inbox.forget(SERVER_HELLO, 0)
        if not asks:
            return
        try:
            held.attempt.verify(held.messages[0])
        except SSL.Error as error:
            self._broke(held.attempt, error, now)
        self._datagrams += held.attempt.drain()

    def _broke(self, attempt: Attempt, error: SSL.Error, now: float) -> None:
        self.chosen = self._attempt = self._held = None
        self._anew_at = now + PATIENCE
        self._doubt(words(error), now, attempt.drain())
