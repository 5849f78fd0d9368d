"""Tests of what is read of a handshake before OpenSSL gets it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.net.dtls_flights import leaf
from b2bua.net.dtls_messages import MOST_CHOICES, Inbox
from b2bua.net.dtls_records import (
    CERTIFICATE,
    HANDSHAKE,
    Fragment,
    Message,
    fragments_in,
    read_fragments,
    read_records,
    write_record,
)
from b2bua.net.dtls_signatures import CHECKS_A_SECOND, Fingerprints, Signatures

BODY = bytes(range(200)) * 2


def cut(body: bytes, *ends: int) -> list[Fragment]:
    """Pieces of a message, which end there."""
    begins = (0, *ends)
    return [
        Fragment(CERTIFICATE, 1, len(body), begin, body[begin:end])
        for begin, end in zip(begins, (*ends, len(body)), strict=True)
    ]


class FragmentTests(SynchronousTestCase):
    """Pieces in records."""

    def test_message(self) -> None:
        """What is written is read."""
        message = Message(CERTIFICATE, 3, BODY)
        datagram = write_record(HANDSHAKE, 2**48 - 1, message.encoded)
        self.assertEqual(
            list(fragments_in([datagram])), [Fragment(CERTIFICATE, 3, len(BODY), 0, BODY)]
        )
        [record] = read_records(datagram)
        self.assertEqual((record.kind, record.epoch), (HANDSHAKE, 0))

    @given(st.binary(max_size=60), st.binary(max_size=60))
    def test_any(self, one: bytes, other: bytes) -> None:
        """No bytes raise anything, and no piece is outside of its message."""
        for data in (one, Message(1, 0, one).encoded + other):
            for fragment in read_fragments(data):
                self.assertLessEqual(fragment.offset + len(fragment.body), fragment.length)


class InboxTests(SynchronousTestCase):
    """Several that claim to be the same message."""

    def bodies(self, inbox: Inbox) -> list[bytes]:
        return [each.message.body for each in inbox.choices(CERTIFICATE, 1)]

    def test_in_any_order(self) -> None:
        """Pieces that come in any order, twice and over each other, make the whole."""
        inbox = Inbox()
        first, second, third = cut(BODY, 100, 300)
        for fragment in (third, *cut(BODY, 250)[:1], first, first):
            inbox.add(fragment, 1)
            self.assertEqual(self.bodies(inbox), [])
        inbox.add(second, 2)
        self.assertEqual(self.bodies(inbox), [BODY])

    def test_side_by_side(self) -> None:
        """Forged pieces before and among the newest take nothing away, whatever they claim."""
        inbox = Inbox()
        head, tail = cut(BODY, 100)
        forged_head, forged_tail = cut(b"x" * len(BODY), 100)
        longer = cut(b"y" * 500, 100)
        for number, piece in enumerate((forged_head, forged_tail, head, forged_head, *longer)):
            inbox.add(piece, number)
        inbox.add(tail, 6)
        self.assertIn(BODY, self.bodies(inbox))

    def test_newest(self) -> None:
        """However many there are, those of the newest datagrams are looked at."""
        inbox = Inbox()
        for number in range(100):
            inbox.add(Fragment(CERTIFICATE, 1, 4, 0, number.to_bytes(4, "big")), number)
        found = inbox.choices(CERTIFICATE, 1)
        self.assertEqual([each.arrival for each in found], [99, 98, 97][:MOST_CHOICES])

    def test_large(self) -> None:
        """What is kept of one message is bounded in bytes, too."""
        inbox = Inbox()
        for number in range(100):
            inbox.add(Fragment(CERTIFICATE, 1, 15_000, 0, bytes([number]) * 14_999), number)
        inbox.add(Fragment(CERTIFICATE, 1, 1, 0, b"a"), 100)
        self.assertEqual(self.bodies(inbox), [b"a"])
        self.assertLessEqual(len(inbox._pieces[CERTIFICATE, 1]), 3)

    @given(st.lists(st.tuples(st.integers(0, 6), st.binary(max_size=6)), max_size=40))
    def test_any(self, pieces: list[tuple[int, bytes]]) -> None:
        """Whatever is put together is as long as its pieces say."""
        inbox = Inbox()
        for at, body in pieces:
            inbox.add(Fragment(CERTIFICATE, 1, 12, at, body), 0)
        for body in self.bodies(inbox):
            self.assertEqual(len(body), 12)

    @given(st.binary(max_size=40))
    def test_leaf(self, body: bytes) -> None:
        """A Certificate message that is cut short has none."""
        self.assertIn(leaf(body), body)


Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def certificate_of(key: Key) -> bytes:
    """A certificate of this key, signed by itself."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 5, now, now + timedelta(1))
    function = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, function).public_bytes(Encoding.DER)


def written(algorithm: int, signature: bytes) -> bytes:
    return algorithm.to_bytes(2, "big") + len(signature).to_bytes(2, "big") + signature


class SignatureTests(SynchronousTestCase):
    """What a certificate's key has signed, as TLS 1.2 writes it."""

    def setUp(self) -> None:
        self.signatures = Signatures()
        self.signatures.renew(0.0)

    def assertSigned(self, key: Key, algorithm: int, signature: bytes) -> None:
        certificate = certificate_of(key)
        check = self.signatures.has_signed
        whole = written(algorithm, signature)
        self.assertTrue(check(certificate, whole, b"said"), hex(algorithm))
        self.assertFalse(check(certificate, whole, b"other"))
        self.assertFalse(check(certificate, whole[:-1], b"said"))
        self.assertFalse(check(certificate, written(algorithm ^ 0x0100, signature), b"said"))
        self.assertFalse(check(b"none", whole, b"said"))
        self.assertFalse(check(certificate, b"", b"said"))

    def test_kinds(self) -> None:
        """ECDSA, RSA in both forms, Ed25519."""
        sha256 = hashes.SHA256()
        curve = ec.generate_private_key(ec.SECP256R1())
        self.assertSigned(curve, 0x0403, curve.sign(b"said", ec.ECDSA(sha256)))
        numbers = rsa.generate_private_key(65537, 2048)
        self.assertSigned(numbers, 0x0401, numbers.sign(b"said", padding.PKCS1v15(), sha256))
        salted = padding.PSS(padding.MGF1(sha256), 32)
        self.assertSigned(numbers, 0x0804, numbers.sign(b"said", salted, sha256))
        edwards = ed25519.Ed25519PrivateKey.generate()
        self.assertSigned(edwards, 0x0807, edwards.sign(b"said"))

    def test_bounded(self) -> None:
        """What was checked is known; too many others in a second are not looked at."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = certificate_of(key)
        good = [written(0x0403, key.sign(b"said", ec.ECDSA(hashes.SHA256()))) for _ in range(2)]
        check = self.signatures.has_signed
        self.assertTrue(check(certificate, good[0], b"said"))
        for number in range(CHECKS_A_SECOND):
            self.assertFalse(check(certificate, good[1], number.to_bytes(2, "big")))
        self.assertTrue(check(certificate, good[0], b"said"))
        self.assertFalse(check(certificate, good[1], b"said"))
        self.signatures.renew(1.0)
        self.assertTrue(check(certificate, good[1], b"said"))

    def test_fingerprints(self) -> None:
        """Those of hash functions that still prove something, however they are written."""
        value = hashlib.sha256(b"certificate").digest().hex(":")
        self.assertTrue(Fingerprints((("sha-256", value),)).has(b"certificate"))
        self.assertTrue(Fingerprints((("SHA-256", value.upper()),)).has(b"certificate"))
        self.assertFalse(Fingerprints((("sha-256", value),)).has(b"other"))
        self.assertFalse(Fingerprints((("sha-1", hashlib.sha1(b"c").hexdigest()),)))
