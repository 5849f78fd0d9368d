"""
The client's side of a DTLS handshake until the peer is known.

The peer's certificate signs our random number and its own, and the parameters of the key exchange.
Not signed, and told by when it came: what its ServerHello says beside that number, and the
CertificateRequest, without which nobody is a peer here: both sides are known by their certificates
(RFC 5763, section 5). The same holds for ciphers by which a server signs nothing, and for DHE.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import product
from typing import Final

from OpenSSL import SSL

from b2bua.net.dtls_handshake import Handshake, leaf, soonest, words
from b2bua.net.dtls_identity import DtlsIdentity
from b2bua.net.dtls_messages import Received
from b2bua.net.dtls_openssl import Attempt
from b2bua.net.dtls_records import (
    CERTIFICATE,
    CERTIFICATE_REQUEST,
    HELLO_VERIFY_REQUEST,
    SERVER_HELLO,
    SERVER_HELLO_DONE,
    SERVER_KEY_EXCHANGE,
    Message,
    Record,
)
from b2bua.net.dtls_signatures import Fingerprints

COOKIE_PATIENCE: Final = 2.0
"""
Seconds that a HelloVerifyRequest waits for a ServerHello: anybody can make one up, and a peer that
has sent its flight ends the handshake when a second hello comes. No browser asks for a cookie.
"""
PATIENCE: Final = 0.5
"""Seconds that a CertificateRequest from before its flight waits for one that follows it."""
_NAMED_CURVE: Final = 3


class ClientHandshake(Handshake):
    """Says hello, and finds the peer's answer."""

    def __init__(self, identity: DtlsIdentity, peer: Fingerprints, mtu: int) -> None:
        super().__init__(identity, peer, mtu)
        self._attempt = Attempt(identity, mtu, self._numbers)
        self._has_begun = False
        self._signed: tuple[Received, ...] = ()
        """ServerHello, Certificate, ServerKeyExchange, once they are known to be the peer's."""
        self._settle_at: float | None = None
        self._again_at: float | None = None

    def start(self, now: float) -> None:
        """Say hello."""
        if not self._has_begun:
            self._has_begun = True
            try:
                self._datagrams += self._attempt.call()
            except SSL.Error as error:
                # The operator's ciphers may be none that this role can offer.
                self.verdict = words(error)
            self._again_at = soonest(self._attempt, now)

    def receive(self, records: Iterable[Record], now: float) -> int:
        """Take the records of a datagram; returns how many cannot be the peer's."""
        dropped = super().receive(records, now)
        self._again_at = soonest(self._attempt, now)
        return dropped

    def next_timeout(self) -> float | None:
        """When to call ``handle_timeout``; None: not at all."""
        moments = (super().next_timeout(), self._settle_at, self._again_at)
        return min((at for at in moments if at is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        """Send again what was not answered, and settle for what is doubtful."""
        if self._settle_at is not None and now >= self._settle_at:
            self._settle_at = None
            self._settle()
        super().handle_timeout(now)
        if self._again_at is not None and now >= self._again_at and not self.verdict:
            try:
                self._attempt.handle_timeout()
            except SSL.Error as error:
                self.verdict = words(error)
            self._datagrams += self._attempt.drain()
        self._again_at = soonest(self._attempt, now)

    @property
    def _has_asked(self) -> bool:
        return self._has_begun

    def _expected(self) -> Collection[tuple[int, int]]:
        if not self._has_begun:
            return ()
        first = self._attempt.first
        numbered = {
            (SERVER_HELLO, first),
            (CERTIFICATE, first + 1),
            (SERVER_KEY_EXCHANGE, first + 2),
            (CERTIFICATE_REQUEST, first + 3),
            (SERVER_HELLO_DONE, first + 4),
        }
        return numbered if first else numbered | {(HELLO_VERIFY_REQUEST, 0)}

    def _look(self, now: float) -> None:
        if not self._signed:
            self._find_signed(now)
        requests = self._inbox.choices(CERTIFICATE_REQUEST, self._attempt.first + 3)
        if not self._signed:
            if self._settle_at is None and self._asked_to_verify():
                # If the hello was lost, its answer is still to come.
                self._settle_at = now + COOKIE_PATIENCE
                self._datagrams += self._attempt.repeat()
            return
        following = [each for each in requests if each.arrival >= self._signed[-1].arrival]
        if following:
            self._end_with(following[-1])
        elif requests and self._settle_at is None:
            self._settle_at = now + PATIENCE

    def _asked_to_verify(self) -> list[Received]:
        """Return what OpenSSL, which would end the handshake for another one, takes as such."""
        asked = self._inbox.choices(HELLO_VERIFY_REQUEST, 0)
        return [each for each in asked if _is_request(each.message.body)]

    def _find_signed(self, now: float) -> None:
        first = self._attempt.first
        hellos = self._inbox.choices(SERVER_HELLO, first)
        shown = self._inbox.choices(CERTIFICATE, first + 1)
        exchanges = self._inbox.choices(SERVER_KEY_EXCHANGE, first + 2)
        by_peer = [each for each in shown if self._signatures.is_named(leaf(each.message.body))]
        # What is beside the peer's own certificate is not signed: where there is nothing, as with
        # browsers, the fingerprint says it all.
        by_peer.sort(key=lambda each: not _is_alone(each.message.body))
        for certificate in (*by_peer, *[each for each in shown if each not in by_peer][:1]):
            for hello, exchange in product(hellos, exchanges):
                found = (hello, certificate, exchange)
                if not self._is_signed(found):
                    continue
                if certificate in by_peer:
                    self._signed, self._settle_at, self._doubt = found, None, None
                    return
                self._meet_stranger(now)

    def _is_signed(self, begin: tuple[Received, ...]) -> bool:
        numbers = tuple(each.number for each in begin)
        if all(each.arrival != self._arrival for each in begin) or not self._is_new(numbers):
            return False
        hello, shown, exchange = (each.message.body for each in begin)
        params, signature = _cut(exchange)
        signed = self._attempt.random + hello[2:34] + params
        if not params:
            return False
        found = self._signatures.has_signed(leaf(shown), signature, signed)
        if found is None:
            self._tried.discard(numbers)
        return bool(found)

    def _end_with(self, request: Received) -> None:
        done = Message(SERVER_HELLO_DONE, request.message.sequence + 1, b"")
        self._settle_at = None
        self._choose(self._attempt, [*(each.message for each in (*self._signed, request)), done])

    def _settle(self) -> None:
        if self._signed:
            requests = self._inbox.choices(CERTIFICATE_REQUEST, self._attempt.first + 3)
            self._end_with(requests[0])
            return
        asked = self._asked_to_verify()
        self._inbox.forget(HELLO_VERIFY_REQUEST, 0)
        if self._inbox.choices(SERVER_HELLO, 0):
            # A server that asks for no cookie would take one amiss.
            self._inbox.forget(SERVER_HELLO, 0)
            return
        if not asked:
            return
        try:
            self._attempt.verify(asked[0].message)
        except SSL.Error as error:
            self.verdict = words(error)
        self._datagrams += self._attempt.drain()


def _cut(exchange: bytes) -> tuple[bytes, bytes]:
    """Cut a ServerKeyExchange of ECDHE (RFC 8422, section 5.4): parameters, and signature."""
    if len(exchange) < 4 or exchange[0] != _NAMED_CURVE:
        return b"", b""
    end = 4 + exchange[3]
    return exchange[:end], exchange[end:]


def _is_alone(certificate: bytes) -> bool:
    """Whether such a message has one certificate, and nothing else."""
    shown = leaf(certificate)
    lengths = (len(shown) + 3).to_bytes(3, "big") + len(shown).to_bytes(3, "big")
    return certificate == lengths + shown


def _is_request(body: bytes) -> bool:
    """Whether it is a HelloVerifyRequest: version, and length of a cookie that it has."""
    return len(body) > 2 and body[:1] == b"\xfe" and body[2] == len(body) - 3
