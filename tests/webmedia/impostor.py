"""Somebody with a certificate of his own, who reads all and is faster than the peer."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from b2bua.net.dtls_records import (
    CERTIFICATE,
    CERTIFICATE_VERIFY,
    CLIENT_KEY_EXCHANGE,
    HANDSHAKE,
    Message,
    fragments_in,
    write_record,
)

_NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "impostor")])


class Impostor:
    """A client as good as the peer, but for whose certificate it is."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(
            _NAME, _NAME, self._key.public_key(), 7, now, now + timedelta(1)
        )
        self._certificate = builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.DER)

    def flight(self, said: Iterable[bytes]) -> bytes:
        """
        Give what answers the server's flight as well as the peer's own does.

        ``said``: the datagrams of both sides from a second hello to the server's flight, or more
        before that.
        """
        length = len(self._certificate)
        body = (length + 3).to_bytes(3, "big") + length.to_bytes(3, "big") + self._certificate
        certificate = Message(CERTIFICATE, 2, body)
        exchange = Message(CLIENT_KEY_EXCHANGE, 3, b"\x20" + b"k" * 32)
        # The first hello and the request for a cookie do not count.
        counted = [each for each in joined(said) if each.sequence]
        spoken = b"".join(each.encoded for each in (*counted, certificate, exchange))
        signature = self._key.sign(spoken, ec.ECDSA(hashes.SHA256()))
        signed = b"\x04\x03" + len(signature).to_bytes(2, "big") + signature
        flight = (certificate, exchange, Message(CERTIFICATE_VERIFY, 4, signed))
        return b"".join(write_record(HANDSHAKE, 7, each.encoded) for each in flight)


def joined(datagrams: Iterable[bytes]) -> list[Message]:
    """The whole messages in the clear; their pieces come in order, and may come again."""
    bodies: dict[tuple[int, int], bytes] = {}
    for each in fragments_in(datagrams):
        body = bodies.get((each.kind, each.sequence), b"")
        bodies[each.kind, each.sequence] = body[: each.offset] + each.body
    return [Message(kind, sequence, body) for (kind, sequence), body in bodies.items()]
