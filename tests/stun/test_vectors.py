"""
The test vectors of RFC 5769 and of RFC 8489, appendix B.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from turn.stun.attributes import Attribute, unpack_password_algorithm, unpack_xor_address
from turn.stun.integrity import md5_key, opaque_string, sha256_key, userhash
from turn.stun.message import Class, Integrity, Method, decode, encode

SHORT_TERM_KEY = b"VOkJxbRl1RmTxUk/WvJxBt"
MATRIX = "マトリックス"

SAMPLE_REQUEST = bytes.fromhex(
    "00010058 2112a442 b7e7a701 bc34d686 fa87dfae"
    "80220010 5354554e 20746573 7420636c 69656e74"  # SOFTWARE
    "00240004 6e0001ff"  # PRIORITY
    "80290008 932ff9b1 51263b36"  # ICE-CONTROLLED
    "00060009 6576746a 3a683676 59202020"  # USERNAME
    "00080014 9aeaa70c bfd8cb56 781ef2b5 b2d3f249 c1b571a2"  # MESSAGE-INTEGRITY
    "80280004 e57a3bcf"  # FINGERPRINT
)
SAMPLE_IPV4_RESPONSE = bytes.fromhex(
    "0101003c 2112a442 b7e7a701 bc34d686 fa87dfae"
    "8022000b 74657374 20766563 746f7220"  # SOFTWARE
    "00200008 0001a147 e112a643"  # XOR-MAPPED-ADDRESS
    "00080014 2b91f599 fd9e90c3 8c7489f9 2af9ba53 f06be7d7"  # MESSAGE-INTEGRITY
    "80280004 c07d4c96"  # FINGERPRINT
)
SAMPLE_IPV6_RESPONSE = bytes.fromhex(
    "01010048 2112a442 b7e7a701 bc34d686 fa87dfae"
    "8022000b 74657374 20766563 746f7220"  # SOFTWARE
    "00200014 0002a147 0113a9fa a5d3f179 bc25f4b5 bed2b9d9"  # XOR-MAPPED-ADDRESS
    "00080014 a382954e 4be67bf1 1784c97c 8292c275 bfe3ed41"  # MESSAGE-INTEGRITY
    "80280004 c8fb0b4c"  # FINGERPRINT
)
SAMPLE_LONG_TERM_REQUEST = bytes.fromhex(
    "00010060 2112a442 78ad3433 c6ad72c0 29da412e"
    "00060012 e3839ee3 8388e383 aae38383 e382afe3 82b90000"  # USERNAME
    "0015001c 662f2f34 39396b39 35346436 4f4c3334 6f4c3946 53547679 36347341"  # NONCE
    "0014000b 6578616d 706c652e 6f726700"  # REALM
    "00080014 f6702465 6dd64a3e 02b8e071 2e85c9a2 8ca89666"  # MESSAGE-INTEGRITY
)
# As corrected by the verified erratum: the RFC left out PASSWORD-ALGORITHM.
SAMPLE_SHA256_REQUEST = bytes.fromhex(
    "00010090 2112a442 78ad3433 c6ad72c0 29da412e"
    "001e0020 4a3cf38f ef6992bd a952c678 0417da0f"  # USERHASH
    "         24819415 569e60b2 05c46e41 407f1704"
    "00150029 6f624d61 744a6f73 32414141 43662f2f 3439396b"  # NONCE
    "         39353464 364f4c33 346f4c39 46535476 79363473 41000000"
    "0014000b 6578616d 706c652e 6f726700"  # REALM
    "001d0004 00020000"  # PASSWORD-ALGORITHM
    "001c0020 b5c7bf00 5b6c52a2 1c51c5e8 92f81924"  # MESSAGE-INTEGRITY-SHA256
    "         136296cb 927c4314 9309278c c6518e65"
)


class ShortTermVectorTests(SynchronousTestCase):
    """The messages of RFC 5769, sections 2.1 to 2.3."""

    def test_request(self) -> None:
        """The request decodes, its padding of blanks ignored but hashed, and both checks hold."""
        message = decode(SAMPLE_REQUEST)
        self.assertEqual(message.method, Method.BINDING)
        self.assertIs(message.message_class, Class.REQUEST)
        self.assertEqual(message.transaction_id.hex(), "b7e7a701bc34d686fa87dfae")
        self.assertEqual(message.first(Attribute.SOFTWARE), b"STUN test client")
        self.assertEqual(message.first(Attribute.PRIORITY), bytes.fromhex("6e0001ff"))
        self.assertEqual(message.first(Attribute.ICE_CONTROLLED).hex(), "932ff9b151263b36")
        self.assertEqual(message.first(Attribute.USERNAME), b"evtj:h6vY")
        self.assertTrue(message.has_fingerprint)
        self.assertIs(message.integrity, Integrity.SHA1)
        self.assertTrue(message.verify(SHORT_TERM_KEY))
        self.assertFalse(message.verify(SHORT_TERM_KEY + b"x"))

    def test_ipv4_response(self) -> None:
        """The response names 192.0.2.1:32853, and both checks hold."""
        message = decode(SAMPLE_IPV4_RESPONSE)
        self.assertIs(message.message_class, Class.SUCCESS)
        mapped = message.first(Attribute.XOR_MAPPED_ADDRESS)
        self.assertEqual(unpack_xor_address(mapped, message.transaction_id), ("192.0.2.1", 32853))
        self.assertEqual(message.first(Attribute.SOFTWARE), b"test vector")
        self.assertTrue(message.has_fingerprint)
        self.assertTrue(message.verify(SHORT_TERM_KEY))

    def test_ipv6_response(self) -> None:
        """The response names the IPv6 address, and both checks hold."""
        message = decode(SAMPLE_IPV6_RESPONSE)
        mapped = message.first(Attribute.XOR_MAPPED_ADDRESS)
        self.assertEqual(
            unpack_xor_address(mapped, message.transaction_id),
            ("2001:db8:1234:5678:11:2233:4455:6677", 32853),
        )
        self.assertTrue(message.has_fingerprint)
        self.assertTrue(message.verify(SHORT_TERM_KEY))


class LongTermVectorTests(SynchronousTestCase):
    """RFC 5769, section 2.4, and RFC 8489, appendix B.1."""

    def test_sha1(self) -> None:
        """A key of MD5 verifies the request, and encoding gives the same bytes again."""
        message = decode(SAMPLE_LONG_TERM_REQUEST)
        key = md5_key(MATRIX, "example.org", "TheMatrIX")
        self.assertEqual(message.first(Attribute.USERNAME).decode(), MATRIX)
        self.assertTrue(message.verify(key))
        self.assertFalse(message.verify(md5_key(MATRIX, "example.org", "thematrix")))
        self.assertFalse(message.has_fingerprint)
        again = encode(
            Method.BINDING, Class.REQUEST, message.transaction_id, message.attributes[:-1], key=key
        )
        self.assertEqual(again, SAMPLE_LONG_TERM_REQUEST)

    def test_sha256(self) -> None:
        """USERHASH and a key of SHA-256 are those of the request, and encoding repeats it."""
        message = decode(SAMPLE_SHA256_REQUEST)
        key = sha256_key(MATRIX, "example.org", "TheMatrIX")
        self.assertEqual(message.first(Attribute.USERHASH), userhash(MATRIX, "example.org"))
        self.assertEqual(
            message.first(Attribute.NONCE), b"obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA"
        )
        algorithm = message.first(Attribute.PASSWORD_ALGORITHM)
        self.assertEqual(unpack_password_algorithm(algorithm), (2, b""))
        self.assertIs(message.integrity, Integrity.SHA256)
        self.assertTrue(message.verify(key))
        self.assertFalse(message.verify(md5_key(MATRIX, "example.org", "TheMatrIX")))
        again = encode(
            Method.BINDING,
            Class.REQUEST,
            message.transaction_id,
            message.attributes[:-1],
            key=key,
            integrity=Integrity.SHA256,
        )
        self.assertEqual(again, SAMPLE_SHA256_REQUEST)

    def test_user_name_is_an_opaque_string(self) -> None:
        """The profile leaves the vectors' user name as it is."""
        self.assertEqual(opaque_string(MATRIX), MATRIX)
