"""
Which messages of a handshake are the peer's: those that its certificate has signed (RFC 5246).

DTLS authenticates nothing before the last message, but the peer's certificate is known by its
fingerprint in SDP, and what it signs is bound to our random number or to all that was said
(ServerKeyExchange, CertificateVerify). So a flight is looked at as a whole before OpenSSL gets any
of it. Not signed, and told by when it came: what a ServerHello says beside its random number, and
a CertificateRequest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final

from b2bua.net.dtls_attempt import Attempt
from b2bua.net.dtls_messages import Inbox, Received
from b2bua.net.dtls_records import (
    CERTIFICATE,
    CERTIFICATE_REQUEST,
    CERTIFICATE_VERIFY,
    CLIENT_KEY_EXCHANGE,
    SERVER_HELLO,
    SERVER_HELLO_DONE,
    SERVER_KEY_EXCHANGE,
    Message,
)
from b2bua.net.dtls_signatures import Fingerprints, Signatures

_NAMED_CURVE: Final = 3


@dataclass(frozen=True, slots=True)
class Flight:
    """Messages that belong together."""

    messages: tuple[Message, ...]
    is_sure: bool
    """Signed by the certificate of the SDP; otherwise by another one, or not at all."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Finds the flights of one peer."""

    peer: Fingerprints
    signatures: Signatures

    def client_flight(
        self, inbox: Inbox, attempts: Iterable[Attempt]
    ) -> tuple[Attempt, Flight] | None:
        """Find the answer to the ServerHelloDone of one of our attempts."""
        doubtful = None
        choices = product(
            self._certificates(inbox, 1),
            inbox.choices(CLIENT_KEY_EXCHANGE, 2),
            inbox.choices(CERTIFICATE_VERIFY, 3),
        )
        for (shown, exchange, verify), attempt in product(choices, attempts):
            messages = (shown.message, exchange.message, verify.message)
            signed = attempt.said + shown.message.encoded + exchange.message.encoded
            own = leaf(shown.message.body)
            if self.signatures.has_signed(own, verify.message.body, signed):
                flight = Flight(messages, is_sure=self.peer.has(own))
                if flight.is_sure:
                    return attempt, flight
                doubtful = doubtful or (attempt, flight)
        return doubtful

    def server_flight(
        self, inbox: Inbox, first: int, random: bytes, *, is_signed: bool
    ) -> Flight | None:
        """
        Find the answer to our ClientHello, from ServerHello, which has number ``first``, on.

        ``is_signed``: whether there must be a ServerKeyExchange of ECDHE, by what we offer.
        """
        doubtful = None
        for begin in product(
            inbox.choices(SERVER_HELLO, first),
            self._certificates(inbox, first + 1),
            inbox.choices(SERVER_KEY_EXCHANGE, first + 2),
        ):
            if not self._is_signed(random, begin):
                continue
            for flight in _endings(inbox, begin, self.peer.has(leaf(begin[1].message.body))):
                if flight.is_sure:
                    return flight
                doubtful = doubtful or flight
        return doubtful or (None if is_signed else self._unsigned(inbox, first))

    def _certificates(self, inbox: Inbox, sequence: int) -> list[Received]:
        """Give those of the SDP, and of others the newest: nobody is to make much work."""
        shown = [each for each in inbox.choices(CERTIFICATE, sequence) if leaf(each.message.body)]
        known = [each for each in shown if self.peer.has(leaf(each.message.body))]
        return known + [each for each in shown if each not in known][:1]

    def _is_signed(self, random: bytes, begin: tuple[Received, ...]) -> bool:
        hello, shown, exchange = (each.message.body for each in begin)
        params, signature = _cut(exchange)
        return bool(params) and self.signatures.has_signed(
            leaf(shown), signature, random + hello[2:34] + params
        )

    def _unsigned(self, inbox: Inbox, first: int) -> Flight | None:
        """Find one of a cipher without ServerKeyExchange, or with one that is not of ECDHE."""
        begin = [inbox.choices(SERVER_HELLO, first), self._certificates(inbox, first + 1)]
        for exchanges in (inbox.choices(SERVER_KEY_EXCHANGE, first + 2), None):
            for chosen in product(*begin, *([] if exchanges is None else [exchanges])):
                for flight in _endings(inbox, chosen, is_known=False):
                    return flight
        return None


def leaf(certificate: bytes) -> bytes:
    """Return the first certificate of such a message, the peer's own; b"" if there is none."""
    length = int.from_bytes(certificate[3:6], "big")
    return certificate[6 : 6 + length] if 6 + length <= len(certificate) else b""


def _endings(inbox: Inbox, begin: tuple[Received, ...], is_known: bool) -> Iterator[Flight]:
    """Give what may come after a ServerKeyExchange, what came nearest to it first."""
    at, arrival = begin[-1].message.sequence + 1, begin[-1].arrival
    messages = tuple(each.message for each in begin)
    requests = inbox.choices(CERTIFICATE_REQUEST, at)
    requests.sort(key=lambda each: abs(each.arrival - arrival))
    for request in requests:
        for done in inbox.choices(SERVER_HELLO_DONE, at + 1):
            yield Flight((*messages, request.message, done.message), is_known)
    # Who asks for no certificate does not care whom it talks to: browsers always do.
    for done in inbox.choices(SERVER_HELLO_DONE, at):
        yield Flight((*messages, done.message), is_sure=False)


def _cut(exchange: bytes) -> tuple[bytes, bytes]:
    """Cut a ServerKeyExchange of ECDHE (RFC 8422, section 5.4): parameters, and signature."""
    if len(exchange) < 4 or exchange[0] != _NAMED_CURVE:
        return b"", b""
    end = 4 + exchange[3]
    return exchange[:end], exchange[end:]
