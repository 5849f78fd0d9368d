"""Tests of whole STUN messages."""

from __future__ import annotations

import zlib

from hypothesis import assume, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests import strategies
from tests.stun.assembly import IDENTITY, KEY, SOFTWARE, append, assemble, protect
from turn.stun.attributes import Attribute
from turn.stun.errors import MESSAGE_FAULTS, MalformedMessage
from turn.stun.message import Class, Integrity, Message, Method, decode, encode, is_message


class RoundTripTests(SynchronousTestCase):
    """What ``encode`` makes, ``decode`` reads."""

    @given(
        strategies.methods,
        strategies.classes,
        strategies.transaction_ids,
        strategies.attributes(),
        st.none() | strategies.keys,
        st.sampled_from(Integrity),
        st.booleans(),
    )
    def test_message(
        self,
        method: int,
        message_class: Class,
        identity: bytes,
        attributes: list[tuple[int, bytes]],
        key: bytes | None,
        integrity: Integrity,
        fingerprint: bool,
    ) -> None:
        """Every part comes back, and the key that made the integrity verifies it."""
        data = encode(
            method,
            message_class,
            identity,
            attributes,
            key=key,
            integrity=integrity,
            fingerprint=fingerprint,
        )
        self.assertTrue(is_message(data))
        message = decode(data)
        self.assertEqual(message.method, method)
        self.assertIs(message.message_class, message_class)
        self.assertEqual(message.transaction_id, identity)
        self.assertFalse(message.classic)
        self.assertEqual(list(message.attributes[: len(attributes)]), attributes)
        extra = (key is not None) + fingerprint
        self.assertEqual(len(message.attributes), len(attributes) + extra)
        self.assertIs(message.integrity, integrity if key is not None else None)
        self.assertEqual(message.has_fingerprint, fingerprint)
        self.assertEqual(message.verify(key or b""), key is not None)

    @given(
        strategies.methods,
        strategies.classes,
        strategies.classic_transaction_ids,
        strategies.attributes(),
    )
    def test_classic_message(
        self,
        method: int,
        message_class: Class,
        identity: bytes,
        attributes: list[tuple[int, bytes]],
    ) -> None:
        """A message without the cookie has an id of 16 bytes."""
        data = encode(method, message_class, identity, attributes, classic=True)
        self.assertFalse(is_message(data))
        message = decode(data)
        self.assertTrue(message.classic)
        self.assertEqual((message.method, message.message_class), (method, message_class))
        self.assertEqual(message.transaction_id, identity)
        self.assertEqual(list(message.attributes), attributes)

    @given(strategies.messages())
    def test_encoding_is_stable(self, data: bytes) -> None:
        """A decoded message without integrity or FINGERPRINT encodes to the same bytes."""
        message = decode(data)
        assume(message.integrity is None and not message.has_fingerprint)
        again = encode(
            message.method,
            message.message_class,
            message.transaction_id,
            message.attributes,
            classic=message.classic,
        )
        self.assertEqual(again, data)


class EncodeTests(SynchronousTestCase):
    """The bytes of messages."""

    def test_type_interleaves_method_and_class(self) -> None:
        """The class bits stand between the bits of the method."""
        for method, message_class, head in (
            (Method.BINDING, Class.REQUEST, "0001"),
            (Method.BINDING, Class.SUCCESS, "0101"),
            (Method.ALLOCATE, Class.ERROR, "0113"),
            (Method.SEND, Class.INDICATION, "0016"),
            (Method.CONNECTION_ATTEMPT, Class.INDICATION, "001c"),
            (0xFFF, Class.ERROR, "3fff"),
            (0xFFF, Class.REQUEST, "3eef"),
        ):
            data = encode(method, message_class, IDENTITY, [])
            self.assertEqual(data[:2].hex(), head)

    def test_padding_is_zero_and_not_counted(self) -> None:
        """Values are filled up with zeros that their length leaves out."""
        data = encode(Method.BINDING, Class.REQUEST, IDENTITY, [SOFTWARE, (0x8030, b"")])
        self.assertEqual(data[20:], b"\x80\x22\0\x03abc\0\x80\x30\0\0")
        self.assertEqual(data[2:4], b"\0\x0c")

    def test_our_own_faults(self) -> None:
        """An id of another length, and a classic message with a key or FINGERPRINT, are refused."""
        for identity, options in (
            (bytes(11), {}),
            (bytes(16), {}),
            (bytes(12), {"classic": True}),
            (bytes(16), {"classic": True, "key": KEY}),
            (bytes(16), {"classic": True, "fingerprint": True}),
        ):
            with self.assertRaises(ValueError):
                encode(Method.BINDING, Class.REQUEST, identity, [], **options)
        for method in (-1, 0x1000):
            with self.assertRaises(ValueError):
                encode(method, Class.REQUEST, IDENTITY, [])

    def test_longest_message(self) -> None:
        """A message holds 65,532 bytes of attributes and no more."""
        largest = (int(Attribute.DATA), bytes(65528))
        data = encode(Method.SEND, Class.INDICATION, IDENTITY, [largest])
        self.assertEqual(decode(data).first(Attribute.DATA), largest[1])
        for options in ({"fingerprint": True}, {"key": KEY}):
            with self.assertRaises(ValueError):
                encode(Method.SEND, Class.INDICATION, IDENTITY, [largest], **options)
        with self.assertRaises(ValueError):
            encode(Method.SEND, Class.INDICATION, IDENTITY, [(19, bytes(65529))])


class RefusalTests(SynchronousTestCase):
    """What ``decode`` refuses, and by which word."""

    def assertRefused(self, data: bytes, reason: str) -> None:
        with self.assertRaises(MalformedMessage) as caught:
            decode(data)
        self.assertEqual(caught.exception.reason, reason)
        self.assertIn(reason, MESSAGE_FAULTS)

    def test_short(self) -> None:
        """Fewer bytes than a header are no message."""
        self.assertRefused(b"", "short")
        self.assertRefused(assemble()[:19], "short")

    def test_leading_bits(self) -> None:
        """A message that begins with anything but two zero bits is not STUN."""
        for first in (0x40, 0x80, 0xC0):
            self.assertRefused(bytes([first]) + assemble()[1:], "bits")

    def test_length(self) -> None:
        """The length field is a multiple of four, and that of the datagram."""
        data = assemble(SOFTWARE)
        self.assertRefused(data + b"\0\0\0\0", "length")
        self.assertRefused(data[:-4], "length")
        self.assertRefused(data[:2] + b"\0\x07" + data[4:-1], "length")

    def test_overrun(self) -> None:
        """An attribute ends within the message, before and after MESSAGE-INTEGRITY."""
        beyond = assemble((0x8022, b"abcd"))
        beyond = beyond[:22] + b"\0\x05" + beyond[24:]
        self.assertRefused(beyond, "overrun")
        protected = append(protect(assemble(), Integrity.SHA1, 20), (0x8022, b""))
        self.assertRefused(protected[:-2] + b"\0\x01", "overrun")
        cut = assemble((0x0008, bytes(20)))
        self.assertRefused(cut[:22] + b"\0\x18" + cut[24:], "overrun")

    def test_fingerprint(self) -> None:
        """FINGERPRINT is right, four bytes long, and the last attribute."""
        data = encode(Method.BINDING, Class.REQUEST, IDENTITY, [SOFTWARE], fingerprint=True)
        self.assertTrue(decode(data).has_fingerprint)
        self.assertRefused(data[:-1] + bytes([data[-1] ^ 1]), "fingerprint")
        self.assertRefused(data[:25] + b"X" + data[26:], "fingerprint")
        self.assertRefused(append(data, SOFTWARE), "fingerprint")
        self.assertRefused(append(data, (0x8028, data[-4:])), "fingerprint")
        for length in (0, 3, 5, 8):
            self.assertRefused(assemble((0x8028, bytes(length))), "fingerprint")

    def test_fingerprint_that_is_right_but_not_last(self) -> None:
        """The right checksum in the four bytes after a FINGERPRINT of zeros does not count."""
        data = append(assemble(SOFTWARE), (0x8028, bytes(4)), (0, b""))
        checksum = zlib.crc32(data[:-12]) ^ 0x5354554E
        self.assertRefused(data[:-4] + checksum.to_bytes(4, "big"), "fingerprint")

    def test_integrity_length(self) -> None:
        """MESSAGE-INTEGRITY has 20 bytes, its successor 16 to 32 in steps of four."""
        for length in (0, 16, 19, 21, 24):
            self.assertRefused(assemble((0x0008, bytes(length))), "integrity")
        for length in (0, 12, 15, 17, 18, 36):
            self.assertRefused(assemble((0x001C, bytes(length))), "integrity")
            self.assertRefused(
                append(protect(assemble(), Integrity.SHA1, 20), (0x001C, bytes(length))),
                "integrity",
            )


class MessageTests(SynchronousTestCase):
    """Looking into a message."""

    def test_first_duplicate_wins(self) -> None:
        """The first of several attributes of one type counts, and all are there."""
        message = decode(assemble((0x0006, b"one"), SOFTWARE, (0x0006, b"two")))
        self.assertEqual(message.first(Attribute.USERNAME), b"one")
        self.assertEqual(message.all(Attribute.USERNAME), [b"one", b"two"])
        self.assertTrue(message.has(Attribute.USERNAME))

    def test_absent(self) -> None:
        """What is not there has no value; an empty value is there."""
        message = decode(assemble((0x001A, b"")))
        self.assertIsNone(message.first(Attribute.USERNAME))
        self.assertEqual(message.all(Attribute.USERNAME), [])
        self.assertFalse(message.has(Attribute.USERNAME))
        self.assertTrue(message.has(Attribute.DONT_FRAGMENT))

    def test_unknown_required(self) -> None:
        """Unknown types below 0x8000 are listed once, in order; integrity is always known."""
        data = assemble(
            (0x7FFF, b""), (0x0006, b"u"), (0x0002, b""), (0x7FFF, b""), (0x8000, b""), SOFTWARE
        )
        message = decode(protect(protect(data, Integrity.SHA1, 20), Integrity.SHA256, 32))
        self.assertEqual(message.unknown_required({Attribute.USERNAME}), [0x7FFF, 0x0002])
        self.assertEqual(message.unknown_required([0x7FFF, 6, 2]), [])

    def test_values_are_without_padding(self) -> None:
        """Padding of whatever content is left out."""
        data = bytearray(assemble((0x0006, b"u"), (0x0014, b"realm")))
        data[25:28] = b"xyz"
        message = decode(bytes(data))
        self.assertEqual(message.attributes, ((0x0006, b"u"), (0x0014, b"realm")))

    def test_classic_binding(self) -> None:
        """RFC 3489 knows no FINGERPRINT, and its integrity is not ours to verify."""
        data = (
            b"\0\1\0\x20"
            + bytes(range(16))
            + assemble((0x8028, bytes(4)), (0x0008, bytes(20)))[20:]
        )
        message = decode(data)
        self.assertTrue(message.classic)
        self.assertEqual(message.transaction_id, bytes(range(16)))
        self.assertEqual([kind for kind, _ in message.attributes], [0x8028, 0x0008])
        self.assertFalse(message.has_fingerprint)
        self.assertIsNone(message.integrity)
        self.assertFalse(message.verify(b""))

    def test_is_message(self) -> None:
        """The quick look needs a header, two zero bits and the cookie."""
        data = assemble()
        self.assertTrue(is_message(data))
        self.assertFalse(is_message(b""))
        self.assertFalse(is_message(data[:19]))
        self.assertFalse(is_message(b"\x40" + data[1:]))
        self.assertFalse(is_message(data[:4] + b"\x21\x12\xa4\x43" + data[8:]))

    def test_repr_leaves_out_the_bytes(self) -> None:
        """A message shows its parts, not the datagram a second time."""
        self.assertNotIn("_data", repr(decode(assemble(SOFTWARE))))


class AnyBytesTests(SynchronousTestCase):
    """What ``decode`` does with bytes of no particular form."""

    def examine(self, data: bytes) -> Message | None:
        try:
            message = decode(data)
        except MalformedMessage as error:
            self.assertIn(error.reason, MESSAGE_FAULTS)
            return None
        self.assertIn(message.verify(KEY), (True, False))
        self.assertEqual(len(message.transaction_id), 16 if message.classic else 12)
        message.unknown_required(())
        for kind, _ in message.attributes:
            self.assertEqual(message.first(kind), message.all(kind)[0])
        return message

    @given(strategies.malformed())
    def test_only_malformed_message(self, data: bytes) -> None:
        """Bytes are a message, or refused with a word from the list; nothing else is raised."""
        self.examine(data)

    @given(strategies.messages())
    def test_every_cut_is_refused(self, data: bytes) -> None:
        """No beginning of a message is a message."""
        for end in range(len(data)):
            self.assertIsNone(self.examine(data[:end]))
