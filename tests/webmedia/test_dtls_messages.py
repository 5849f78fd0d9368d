"""Tests of what is read of a handshake before OpenSSL gets it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.net import dtls_messages, dtls_signatures
from b2bua.net.dtls_handshake import leaf
from b2bua.net.dtls_messages import LONGEST, MOST_CHOICES, MOST_PIECES, Inbox
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
from b2bua.net.dtls_signatures import (
    MOST_AT_ONCE,
    NAMED_A_SECOND,
    OTHERS_A_SECOND,
    Fingerprints,
    Signatures,
)

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
            inbox.take([fragment])
            self.assertEqual(self.bodies(inbox), [])
        inbox.take([second])
        self.assertEqual(self.bodies(inbox), [BODY])

    def test_side_by_side(self) -> None:
        """Forged pieces before the newest take nothing away, whatever they claim."""
        inbox = Inbox()
        head, tail = cut(BODY, 100)
        forged_head, forged_tail = cut(b"x" * len(BODY), 100)
        longer = cut(b"y" * 500, 100)
        for piece in (forged_head, forged_tail, forged_head, *longer, head, tail):
            inbox.take([piece])
        self.assertEqual(self.bodies(inbox)[0], BODY)

    def test_in_between(self) -> None:
        """One that is always the last to come does not spoil each try of a peer."""
        inbox = Inbox()
        head, tail = cut(BODY, 100)
        forged_head, forged_tail = cut(b"x" * len(BODY), 100)
        for _ in range(100):
            for piece in (head, forged_head, tail, forged_tail):
                inbox.take([piece])
            if BODY in self.bodies(inbox):
                return
        self.fail("it was never put together")

    def test_other_pieces(self) -> None:
        """A message that comes again in other pieces is put together of them."""
        inbox = Inbox()
        body = bytes(range(256)) * 32
        for ends in (range(300, 8000, 300), range(250, 8000, 250)):
            pieces = cut(body, *ends)
            for piece in pieces[1:] if ends.start == 300 else pieces:
                inbox.take([piece])
        self.assertEqual(self.bodies(inbox), [body])

    def test_newest(self) -> None:
        """However many there are, those of the newest datagrams are looked at."""
        inbox = Inbox()
        for number in range(100):
            inbox.take([Fragment(CERTIFICATE, 1, 4, 0, number.to_bytes(4, "big"))])
        found = inbox.choices(CERTIFICATE, 1)
        self.assertEqual([each.arrival for each in found], [100, 99, 98][:MOST_CHOICES])

    def test_again(self) -> None:
        """One that comes again is the newest, and the same as before."""
        inbox = Inbox()
        for body in (b"a", b"b", b"c", b"a", b"d"):
            inbox.take([Fragment(CERTIFICATE, 1, 1, 0, body)])
        found = [(each.message.body, each.number) for each in inbox.choices(CERTIFICATE, 1)]
        self.assertEqual(found, [(b"d", 4), (b"a", 1), (b"c", 3)])

    def test_too_long(self) -> None:
        """What no browser sends is not kept."""
        inbox = Inbox()
        longest = LONGEST[CERTIFICATE]
        inbox.take([Fragment(CERTIFICATE, 1, longest + 1, 0, b"a"), Fragment(99, 1, 1, 0, b"a")])
        self.assertEqual(inbox._slots, {})

    def test_bounded(self) -> None:
        """What is kept of a message is bounded, in pieces and in bytes."""
        inbox = Inbox()
        longest = LONGEST[CERTIFICATE]
        for size in (1, longest - 1):
            for number in range(100):
                inbox.take([Fragment(CERTIFICATE, 1, longest, 1, bytes([number]) * size)])
            pieces = inbox._slots[CERTIFICATE, 1].pieces
            self.assertEqual(len(pieces), MOST_PIECES[CERTIFICATE] if size == 1 else 1)

    def test_long_ones(self) -> None:
        """Of long whole messages there are fewer: the newest."""
        inbox = Inbox()
        longest = LONGEST[CERTIFICATE]
        for number in range(5):
            inbox.take([Fragment(CERTIFICATE, 1, longest, 0, bytes([number]) * longest)])
        self.assertEqual([body[0] for body in self.bodies(inbox)], [4])

    def test_no_work_without_news(self) -> None:
        """While there is a gap nothing is joined, however many pieces there are."""
        self.patch(dtls_messages, "_join", lambda *_: self.fail("it is joined"))
        inbox = Inbox()
        for number in range(100):
            inbox.take([Fragment(CERTIFICATE, 1, 8000, 50 * number, bytes(2000 - number))])

    @given(st.lists(st.tuples(st.integers(0, 6), st.binary(max_size=6)), max_size=40))
    def test_any(self, pieces: list[tuple[int, bytes]]) -> None:
        """Whatever is put together is as long as its pieces say."""
        inbox = Inbox()
        for at, body in pieces:
            inbox.take([Fragment(CERTIFICATE, 1, 12, at, body)])
        for body in self.bodies(inbox):
            self.assertEqual(len(body), 12)

    @given(st.binary(max_size=40))
    def test_leaf(self, body: bytes) -> None:
        """A Certificate message that is cut short has none."""
        self.assertIn(leaf(body), body)


Key = (
    ec.EllipticCurvePrivateKey
    | rsa.RSAPrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)


def certificate_of(key: Key) -> bytes:
    """A certificate of this key, signed by itself."""
    edwards = isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    return certificate(key.public_key(), key, None if edwards else hashes.SHA256())


def certificate(
    public: CertificatePublicKeyTypes, key: Key, function: hashes.SHA256 | None
) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, public, 5, now, now + timedelta(1))
    return builder.sign(key, function).public_bytes(Encoding.DER)


def written(algorithm: int, signature: bytes) -> bytes:
    return algorithm.to_bytes(2, "big") + len(signature).to_bytes(2, "big") + signature


class SignatureTests(SynchronousTestCase):
    """What a certificate's key has signed, as TLS 1.2 writes it."""

    def assertSigned(self, key: Key, algorithm: int, signature: bytes) -> None:
        certificate = certificate_of(key)
        name = ("sha-256", hashlib.sha256(certificate).hexdigest())
        signatures = Signatures(Fingerprints((name,)))

        def check(shown: bytes, signature: bytes, signed: bytes) -> bool | None:
            signatures.renew(0.0)
            return signatures.has_signed(shown, signature, signed)

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
        longer = ed448.Ed448PrivateKey.generate()
        self.assertSigned(longer, 0x0808, longer.sign(b"said"))
        for curve in (ec.SECP384R1(), ec.SECP521R1()):
            slower = ec.generate_private_key(curve)
            self.assertSigned(slower, 0x0503, slower.sign(b"said", ec.ECDSA(hashes.SHA384())))

    def test_slow_keys(self) -> None:
        """Nothing is checked by keys that make it slow, or that browsers do not have."""
        self.patch(dtls_signatures, "_verify", lambda *_: self.fail("it is checked"))
        signer = ec.generate_private_key(ec.SECP256R1())
        modulus = (1 << 2047) | 1
        publics: list[CertificatePublicKeyTypes] = [
            rsa.RSAPublicNumbers(65537, (1 << 4096) | 1).public_key(),
            rsa.RSAPublicNumbers((1 << 32) | 1, modulus).public_key(),
            ec.generate_private_key(ec.BrainpoolP256R1()).public_key(),
            ec.generate_private_key(ec.SECP256K1()).public_key(),
        ]
        for public in publics:
            shown = certificate(public, signer, hashes.SHA256())
            signatures = Signatures(Fingerprints(()))
            signatures.renew(0.0)
            for algorithm in (0x0401, 0x0403):
                found = signatures.has_signed(shown, written(algorithm, bytes(64)), b"said")
                self.assertFalse(found, public)
                signatures.renew(0.0)

    def test_bounded(self) -> None:
        """Some are checked in a second: of the right certificate, apart from those of others."""
        key = ec.generate_private_key(ec.SECP256R1())
        right, other = certificate_of(key), certificate_of(key)
        signature = written(0x0403, key.sign(b"said", ec.ECDSA(hashes.SHA256())))
        name = ("sha-256", hashlib.sha256(right).hexdigest())
        signatures = Signatures(Fingerprints((name,)))

        def check(shown: bytes, now: float = 0.0) -> bool | None:
            signatures.renew(now)
            return signatures.has_signed(shown, signature, b"said")

        for _ in range(OTHERS_A_SECOND):
            self.assertTrue(check(other))
        self.assertIsNone(check(other))
        for _ in range(NAMED_A_SECOND):
            self.assertTrue(check(right))
        self.assertIsNone(check(right))
        self.assertTrue(check(right, 0.02))
        self.assertTrue(check(other, 0.11))

    def test_at_once(self) -> None:
        """For one datagram there are few, and of a slow key one."""
        for curve, most in ((ec.SECP256R1(), MOST_AT_ONCE), (ec.SECP384R1(), 1)):
            shown = certificate_of(ec.generate_private_key(curve))
            name = ("sha-256", hashlib.sha256(shown).hexdigest())
            signatures = Signatures(Fingerprints((name,)))
            for _ in range(2):
                signatures.renew(0.0)
                found = [signatures.has_signed(shown, bytes(4), b"") for _ in range(10)]
            self.assertEqual(found.count(False), most)

    def test_fingerprints(self) -> None:
        """Those of hash functions that still prove something, however they are written."""
        value = hashlib.sha256(b"certificate").digest().hex(":")
        self.assertTrue(Fingerprints((("sha-256", value),)).has(b"certificate"))
        self.assertTrue(Fingerprints((("SHA-256", value.upper()),)).has(b"certificate"))
        self.assertFalse(Fingerprints((("sha-256", value),)).has(b"other"))
        self.assertFalse(Fingerprints((("sha-1", hashlib.sha1(b"c").hexdigest()),)))
