"""
The server's side of a DTLS handshake until the peer is known.

A hello is asked to come again with a cookie (RFC 6347, section 4.2.1), which only somebody can who
reads what we send. Browsers' transports do without as a rule, since ICE has shown where the peer
is. But a flight in answer to somebody else's hello ends the handshake of the peer, who takes it for
his own; for the same reason there is no second answer. The peer's certificate signs all that was
said, so its next flight says whether the hello was its own.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from itertools import product
from typing import Final

from OpenSSL import SSL

from b2bua.net.dtls_budget import Budget
from b2bua.net.dtls_handshake import Handshake, leaf, words
from b2bua.net.dtls_identity import DtlsIdentity
from b2bua.net.dtls_messages import Received
from b2bua.net.dtls_openssl import Attempt
from b2bua.net.dtls_records import (
    CERTIFICATE,
    CERTIFICATE_VERIFY,
    CLIENT_HELLO,
    CLIENT_KEY_EXCHANGE,
    HANDSHAKE,
    HELLO_VERIFY_REQUEST,
    Message,
    write_record,
)
from b2bua.net.dtls_signatures import Fingerprints

HELLOS_A_SECOND: Final = 4
"""With a cookie, that OpenSSL gets, or that are answered again."""
AGAIN_SECONDS: Final = 1.0
"""After which an answer is sent again, and twice as long after that (RFC 6347, section 4.2.4.1)."""

_NO_CERTIFICATE: Final = b"\0\0\0"
_DTLS_1_0: Final = b"\xfe\xff"
"""In a HelloVerifyRequest, whatever version will be spoken (RFC 6347, section 4.2.1)."""
_EXPECTED: Final = frozenset(
    {
        (CLIENT_HELLO, 0),
        (CLIENT_HELLO, 1),
        (CERTIFICATE, 2),
        (CLIENT_KEY_EXCHANGE, 3),
        (CERTIFICATE_VERIFY, 4),
    }
)


class ServerHandshake(Handshake):
    """Waits for a hello, answers it, and finds out whose the answer to that is."""

    def __init__(self, identity: DtlsIdentity, peer: Fingerprints, mtu: int) -> None:
        super().__init__(identity, peer, mtu)
        self._cookie = secrets.token_bytes(16)
        self._hellos = Budget(HELLOS_A_SECOND)
        self._heard = b""
        self._doubtful = b""
        self._attempt: Attempt | None = None
        """What answers the hello that was heard."""
        self._again_at = 0.0
        self._wait = AGAIN_SECONDS

    def start(self, now: float) -> None:
        """Wait for a hello."""

    def next_timeout(self) -> float | None:
        """When to call ``handle_timeout``; None: not at all."""
        moments = (super().next_timeout(), self._again_at if self._waiting else None)
        return min((at for at in moments if at is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        """Send again what was not answered, or believe what is doubtful."""
        super().handle_timeout(now)
        # A client that has a part of a flight may say nothing more: NSS stops its timer then.
        if self._waiting is not None and now >= self._again_at and not self.verdict:
            self._wait *= 2
            self._repeat(self._waiting, now)

    @property
    def _has_asked(self) -> bool:
        return self._attempt is not None

    @property
    def _waiting(self) -> Attempt | None:
        return self._attempt if self.chosen is None else None

    def _expected(self) -> Collection[tuple[int, int]]:
        return _EXPECTED

    def _look(self, now: float) -> None:
        if self._new_hellos(0):
            self._ask_for_cookie()
        for hello in self._new_hellos(1):
            # One with another cookie is not asked again: BoringSSL takes no second request.
            if _cookie_of(hello.body) == self._cookie:
                self._hear(hello, now)
        self._find_flight(now)

    # Hellos

    def _new_hellos(self, sequence: int) -> list[Message]:
        found = self._inbox.choices(CLIENT_HELLO, sequence)
        return [each.message for each in found if each.arrival == self._arrival]

    def _ask_for_cookie(self) -> None:
        body = _DTLS_1_0 + bytes((len(self._cookie),)) + self._cookie
        request = Message(HELLO_VERIFY_REQUEST, 0, body)
        self._datagrams.append(write_record(HANDSHAKE, next(self._numbers), request.encoded))

    def _hear(self, hello: Message, now: float) -> None:
        if self._attempt is None:
            if self._is_peers(hello) and self._hellos.take(1, now):
                self._answer(hello, now)
        elif hello.body == self._heard and self._hellos.take(1, now):
            self._repeat(self._attempt, now)

    def _is_peers(self, hello: Message) -> bool:
        """
        Whether it is a first hello come again, but for its cookie, or has come twice itself.

        Somebody who reads nothing can have put another end to the peer's beginning.
        """
        firsts = [each.message.body for each in self._inbox.choices(CLIENT_HELLO, 0)]
        if _without_cookie(hello.body) in firsts:
            return True
        doubtful, self._doubtful = self._doubtful, hello.body
        return doubtful == hello.body

    def _answer(self, hello: Message, now: float) -> None:
        attempt = Attempt(self._identity, self._mtu, self._numbers)
        try:
            self._datagrams += attempt.answer(hello)
        except SSL.Error as error:
            # Its alert would end the peer's handshake if this was not the peer's hello.
            self._suspect(words(error), now, attempt.drain())
            return
        self._attempt, self._heard, self._doubt = attempt, hello.body, None
        self._again_at = now + self._wait

    def _repeat(self, attempt: Attempt, now: float) -> None:
        self._datagrams += attempt.repeat()
        self._again_at = now + self._wait

    # The answer to ours

    def _find_flight(self, now: float) -> None:
        shown = self._inbox.choices(CERTIFICATE, 2)
        if self._attempt is None or not shown:
            return
        if shown[0].message.body == _NO_CERTIFICATE:
            # Anybody can say that, at any time, so it never ends anything.
            self.hint = "the peer shows no certificate"
        exchanges = self._inbox.choices(CLIENT_KEY_EXCHANGE, 3)
        verifies = self._inbox.choices(CERTIFICATE_VERIFY, 4)
        by_peer = [each for each in shown if self._signatures.is_named(leaf(each.message.body))]
        for certificate in (*by_peer, *[each for each in shown if each not in by_peer][:1]):
            is_named = certificate in by_peer
            for exchange, verify in product(exchanges, verifies):
                found = (certificate, exchange, verify)
                if not self._has_signed(found, self._attempt.said):
                    continue
                if is_named:
                    self._choose(self._attempt, [each.message for each in found])
                    return
                self._meet_stranger(now)

    def _has_signed(self, flight: tuple[Received, ...], said: bytes) -> bool:
        numbers = tuple(each.number for each in flight)
        if all(each.arrival != self._arrival for each in flight) or not self._is_new(numbers):
            return False
        certificate, exchange, verify = (each.message for each in flight)
        signed = said + certificate.encoded + exchange.encoded
        found = self._signatures.has_signed(leaf(certificate.body), verify.body, signed)
        if found is None:
            self._tried.discard(numbers)
        return bool(found)


def _cookie_of(hello: bytes) -> bytes:
    begin, end = _place_of_cookie(hello)
    return hello[begin:end]


def _without_cookie(hello: bytes) -> bytes:
    begin, end = _place_of_cookie(hello)
    return hello[: max(begin - 1, 0)] + b"\0" + hello[end:]


def _place_of_cookie(hello: bytes) -> tuple[int, int]:
    """Where the cookie of a ClientHello is, after version, random number and session."""
    at = 35 + hello[34] if len(hello) > 34 else len(hello)
    length = hello[at] if at < len(hello) else 0
    return at + 1, at + 1 + length
