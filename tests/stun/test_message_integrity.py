"""Tests of what protects a STUN message, and of what it does not cover."""

from __future__ import annotations

import hashlib
import hmac
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests import strategies
from tests.stun.assembly import IDENTITY, KEY, SOFTWARE, append, assemble, protect
from turn.stun.attributes import Attribute
from turn.stun.errors import MalformedMessage
from turn.stun.message import Class, Integrity, Method, decode, encode


class IntegrityTests(SynchronousTestCase):
    """MESSAGE-INTEGRITY and MESSAGE-INTEGRITY-SHA256."""

    def test_truncated_sha256(self) -> None:
        """The first 16 bytes or more are enough, and each of them counts."""
        for length in (16, 20, 24, 28, 32):
            data = protect(assemble(SOFTWARE), Integrity.SHA256, length)
            message = decode(data)
            self.assertIs(message.integrity, Integrity.SHA256)
            self.assertTrue(message.verify(KEY))
            self.assertFalse(message.verify(b"another key"))
            self.assertFalse(decode(data[:-1] + bytes([data[-1] ^ 1])).verify(KEY))

    def test_truncation_is_covered(self) -> None:
        """A value that someone shortened on the way does not verify: its length was hashed."""
        data = protect(assemble(SOFTWARE), Integrity.SHA256, 32)
        shortened = assemble(SOFTWARE, (0x001C, data[-32:-16]))
        self.assertIs(decode(shortened).integrity, Integrity.SHA256)
        self.assertFalse(decode(shortened).verify(KEY))

    def test_strongest_counts(self) -> None:
        """With both present only SHA-256 is looked at."""
        both = protect(protect(assemble(SOFTWARE), Integrity.SHA1, 20), Integrity.SHA256, 32)
        message = decode(both)
        self.assertIs(message.integrity, Integrity.SHA256)
        self.assertTrue(message.verify(KEY))
        self.assertEqual([kind for kind, _ in message.attributes], [0x8022, 0x0008, 0x001C])
        weak_only = decode(both[:-1] + bytes([both[-1] ^ 1]))
        self.assertFalse(weak_only.verify(KEY))
        other_sha1 = protect(assemble(SOFTWARE), Integrity.SHA1, 20, b"another key")
        self.assertTrue(decode(protect(other_sha1, Integrity.SHA256, 32)).verify(KEY))

    def test_without_integrity(self) -> None:
        """A message without integrity verifies with no key."""
        message = decode(assemble(SOFTWARE))
        self.assertIsNone(message.integrity)
        self.assertFalse(message.verify(b""))

    def test_fingerprint_does_not_disturb(self) -> None:
        """The length that was hashed leaves out FINGERPRINT."""
        for integrity in Integrity:
            data = encode(
                Method.REFRESH,
                Class.REQUEST,
                IDENTITY,
                [SOFTWARE],
                key=KEY,
                integrity=integrity,
                fingerprint=True,
            )
            self.assertTrue(decode(data).verify(KEY))
            length = 20 if integrity is Integrity.SHA1 else 32
            unmarked = protect(assemble(SOFTWARE, head=b"\0\4"), integrity, length)
            self.assertEqual(data[4:-8], unmarked[4:])

    def test_attributes_after_sha1(self) -> None:
        """After MESSAGE-INTEGRITY only its successor and FINGERPRINT are kept."""
        data = append(
            protect(assemble(SOFTWARE), Integrity.SHA1, 20),
            (0x0006, b"mallory"),
            (0x0008, bytes(20)),
            (0x0008, bytes(3)),
        )
        message = decode(data)
        self.assertEqual([kind for kind, _ in message.attributes], [0x8022, 0x0008])
        self.assertFalse(message.has(Attribute.USERNAME))
        self.assertTrue(message.verify(KEY))
        stronger = protect(data, Integrity.SHA256, 32)
        message = decode(stronger)
        self.assertEqual([kind for kind, _ in message.attributes], [0x8022, 0x0008, 0x001C])
        self.assertTrue(message.verify(KEY))

    def test_attributes_after_sha256(self) -> None:
        """After MESSAGE-INTEGRITY-SHA256 only FINGERPRINT is kept."""
        data = append(
            protect(assemble(SOFTWARE), Integrity.SHA256, 32),
            (0x0006, b"mallory"),
            (0x0008, bytes(20)),
            (0x001C, bytes(32)),
            (0x001C, bytes(3)),
        )
        message = decode(data)
        self.assertEqual([kind for kind, _ in message.attributes], [0x8022, 0x001C])
        self.assertIs(message.integrity, Integrity.SHA256)
        self.assertTrue(message.verify(KEY))

    def test_constant_time(self) -> None:
        """The comparison is the one that takes the same time for every wrong value."""
        message = decode(protect(assemble(SOFTWARE), Integrity.SHA1, 20))
        with mock.patch("hmac.compare_digest", return_value=True) as compare:
            self.assertTrue(message.verify(b"another key"))
        compare.assert_called_once()

    def test_code_is_that_of_the_standard_library(self) -> None:
        """The value is the HMAC over all before it, with the length field moved on."""
        data = encode(Method.BINDING, Class.REQUEST, IDENTITY, [SOFTWARE], key=KEY)
        expected = hmac.new(KEY, data[:-24], hashlib.sha1).digest()
        self.assertEqual(data[-20:], expected)

    @given(
        strategies.transaction_ids,
        strategies.attributes(max_size=3),
        strategies.keys,
        st.sampled_from(Integrity),
        st.data(),
    )
    def test_no_changed_byte_verifies(
        self,
        identity: bytes,
        attributes: list[tuple[int, bytes]],
        key: bytes,
        integrity: Integrity,
        data: st.DataObject,
    ) -> None:
        """A message of which one byte was changed is refused or does not verify."""
        sent = bytearray(
            encode(1, Class.REQUEST, identity, attributes, key=key, integrity=integrity)
        )
        at = data.draw(st.integers(0, len(sent) - 1))
        sent[at] ^= data.draw(st.integers(1, 255))
        try:
            message = decode(bytes(sent))
        except MalformedMessage:
            return
        self.assertFalse(message.verify(key))
