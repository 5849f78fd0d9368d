"""Tests of attribute values."""

from __future__ import annotations

import socket
from collections.abc import Callable

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests import strategies
from turn.five_tuple import Address
from turn.stun import attributes
from turn.stun.attributes import Attribute, Family
from turn.stun.errors import MESSAGE_FAULTS, MalformedMessage

IDENTITY = bytes(range(12))
uint16s = st.integers(0, 0xFFFF)
uint32s = st.integers(0, 0xFFFFFFFF)
octets = st.integers(0, 0xFF)
codes = st.integers(300, 699)
algorithms = st.tuples(uint16s, st.binary(max_size=12))


class HostTests(SynchronousTestCase):
    """IP addresses as text and as bytes."""

    @given(strategies.hosts)
    @example("::")
    @example("::1")
    @example("::ffff:192.0.2.1")
    @example("::192.0.2.1")
    @example("::0.1.0.0")
    @example("1:0:0:2::")
    def test_text_is_that_of_inet_ntop(self, host: str) -> None:
        """Bytes and text of an address are the ones that the system's library gives."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        packed = socket.inet_pton(family, host)
        self.assertEqual(attributes.pack_host(host), packed)
        self.assertEqual(attributes.unpack_host(packed), host)

    def test_other_text_is_refused(self) -> None:
        """A name, a short form or an octet that is too large is no address."""
        for text in ("example.org", "127.1", "1.2.3.4.5", "1.2.3.256", "", "::g", "1.2.3."):
            with self.assertRaises(ValueError, msg=text):
                attributes.pack_host(text)


class AddressTests(SynchronousTestCase):
    """MAPPED-ADDRESS and its XOR- siblings."""

    @given(strategies.addresses())
    def test_plain_address_round_trip(self, address: Address) -> None:
        """What was packed is unpacked, of either family."""
        self.assertEqual(attributes.unpack_address(attributes.pack_address(address)), address)

    @given(
        strategies.addresses(),
        strategies.transaction_ids | strategies.classic_transaction_ids,
    )
    def test_xor_address_round_trip(self, address: Address, identity: bytes) -> None:
        """What was packed is unpacked, of either family, with an id of either length."""
        value = attributes.pack_xor_address(address, identity)
        self.assertEqual(attributes.unpack_xor_address(value, identity), address)

    def test_plain_bytes(self) -> None:
        """A value is a zero, the family, the port and the address."""
        self.assertEqual(
            attributes.pack_address(("192.0.2.1", 0x1234)), b"\0\x01\x12\x34\xc0\0\x02\x01"
        )
        self.assertEqual(
            attributes.pack_address(("::1", 80)), b"\0\x02\0\x50" + bytes(15) + b"\x01"
        )

    def test_classic_id_is_the_whole_mask(self) -> None:
        """Without a cookie the first bytes of the id take its place."""
        value = attributes.pack_xor_address(("0.0.0.0", 0), bytes(range(1, 17)))
        self.assertEqual(value, b"\0\x01\x01\x02\x01\x02\x03\x04")

    def test_first_byte_is_ignored(self) -> None:
        """The reserved byte before the family may be anything."""
        value = b"\xff" + attributes.pack_address(("192.0.2.1", 1))[1:]
        self.assertEqual(attributes.unpack_address(value), ("192.0.2.1", 1))
        value = b"\xff" + attributes.pack_xor_address(("192.0.2.1", 1), IDENTITY)[1:]
        self.assertEqual(attributes.unpack_xor_address(value, IDENTITY), ("192.0.2.1", 1))

    def test_family_and_length_must_agree(self) -> None:
        """An unknown family, and a length that is not the family's, are refused."""
        ipv4 = attributes.pack_address(("192.0.2.1", 1))
        ipv6 = attributes.pack_address(("2001:db8::1", 1))
        wrong = (
            b"",
            ipv4[:-1],
            ipv4 + b"\0",
            ipv6[:-1],
            ipv6 + b"\0",
            b"\0\x02" + ipv4[2:],
            b"\0\x01" + ipv6[2:],
            b"\0\x03" + ipv4[2:],
            b"\0\0" + ipv6[2:],
        )
        for value in wrong:
            for unpack in (
                attributes.unpack_address,
                lambda value: attributes.unpack_xor_address(value, IDENTITY),
            ):
                with self.assertRaises(MalformedMessage) as caught:
                    unpack(value)
                self.assertEqual(caught.exception.reason, "address")

    def test_mapped_ipv6_stays_ipv6(self) -> None:
        """An IPv4-mapped IPv6 address is not taken for the IPv4 address."""
        value = attributes.pack_xor_address(("::ffff:192.0.2.1", 7), IDENTITY)
        self.assertEqual(len(value), 20)
        self.assertEqual(attributes.unpack_xor_address(value, IDENTITY), ("::ffff:192.0.2.1", 7))

    def test_family_numbers(self) -> None:
        """The families have the RFC's numbers."""
        self.assertEqual((Family.IPV4, Family.IPV6), (1, 2))


class ErrorTests(SynchronousTestCase):
    """ERROR-CODE and ADDRESS-ERROR-CODE."""

    @given(codes, strategies.phrases)
    def test_error_round_trip(self, code: int, reason: str) -> None:
        """What was packed is unpacked."""
        value = attributes.pack_error(code, reason)
        self.assertEqual(attributes.unpack_error(value), (code, reason))

    @given(octets, codes, strategies.phrases)
    def test_address_error_round_trip(self, family: int, code: int, reason: str) -> None:
        """What was packed is unpacked."""
        value = attributes.pack_address_error(family, code, reason)
        self.assertEqual(attributes.unpack_address_error(value), (family, code, reason))

    def test_bytes(self) -> None:
        """Hundreds and rest stand apart, and no padding is counted."""
        self.assertEqual(attributes.pack_error(438, "Stale"), b"\0\0\x04\x26Stale")
        self.assertEqual(attributes.pack_address_error(2, 440), b"\x02\0\x04\x28")

    def test_reserved_bits_are_ignored(self) -> None:
        """Only three bits are the hundreds."""
        self.assertEqual(attributes.unpack_error(b"\xff\xff\xfc\x26"), (438, ""))

    def test_phrase_that_is_not_utf8(self) -> None:
        """Bytes that are no text do not cost the code."""
        self.assertEqual(
            attributes.unpack_error(b"\0\0\x04\x01\xff"), (401, "\N{REPLACEMENT CHARACTER}")
        )

    def test_impossible_codes(self) -> None:
        """A peer's code out of range is malformed, and so is a value that is too short."""
        for value in (b"", b"\0\0\x04", b"\0\0\x02\x01", b"\0\0\x07\x01", b"\0\0\x04\x64"):
            for unpack in (attributes.unpack_error, attributes.unpack_address_error):
                with self.assertRaises(MalformedMessage):
                    unpack(value)

    def test_our_own_faults(self) -> None:
        """A code or a phrase that must not be sent is refused."""
        for code in (0, 299, 700):
            with self.assertRaises(ValueError):
                attributes.pack_error(code)
        attributes.pack_error(400, "x" * 509)
        with self.assertRaises(ValueError):
            attributes.pack_error(400, "x" * 510)


class ListTests(SynchronousTestCase):
    """UNKNOWN-ATTRIBUTES and the password algorithms."""

    @given(st.lists(uint16s))
    def test_unknown_round_trip(self, kinds: list[int]) -> None:
        """What was packed is unpacked."""
        value = attributes.pack_unknown(kinds)
        self.assertEqual(len(value), 2 * len(kinds))
        self.assertEqual(attributes.unpack_unknown(value), kinds)

    def test_unknown_of_odd_length(self) -> None:
        """Half a type is malformed."""
        with self.assertRaises(MalformedMessage):
            attributes.unpack_unknown(b"\0\1\0")

    @given(st.lists(algorithms))
    def test_algorithms_round_trip(self, listed: list[tuple[int, bytes]]) -> None:
        """What was packed is unpacked; parameters of any length are padded."""
        value = attributes.pack_password_algorithms(listed)
        self.assertEqual(len(value) % 4, 0)
        self.assertEqual(attributes.unpack_password_algorithms(value), listed)

    @given(algorithms)
    def test_algorithm_round_trip(self, algorithm: tuple[int, bytes]) -> None:
        """What was packed is unpacked."""
        value = attributes.pack_password_algorithm(*algorithm)
        self.assertEqual(attributes.unpack_password_algorithm(value), algorithm)

    def test_algorithm_bytes(self) -> None:
        """SHA-256 before MD5, both without parameters, is what RFC 8489 shows."""
        self.assertEqual(
            attributes.pack_password_algorithms([(2, b""), (1, b"")]).hex(), "0002000000010000"
        )

    def test_malformed_algorithms(self) -> None:
        """A list that ends within an algorithm is malformed; so are none and two for one."""
        for value in (b"\0\1", b"\0\1\0", b"\0\1\0\1", b"\0\1\0\1x", b"\0\1\0\4abc"):
            with self.assertRaises(MalformedMessage):
                attributes.unpack_password_algorithms(value)
        for value in (b"", b"\0\1\0\0\0\2\0\0"):
            with self.assertRaises(MalformedMessage):
                attributes.unpack_password_algorithm(value)


class ScalarTests(SynchronousTestCase):
    """The attributes that hold one or two numbers, or text."""

    @given(st.integers(0, 127), st.integers(0, 511), uint32s)
    def test_icmp_round_trip(self, icmp_type: int, code: int, data: int) -> None:
        """What was packed is unpacked."""
        value = attributes.pack_icmp(icmp_type, code, data)
        self.assertEqual(attributes.unpack_icmp(value), (icmp_type, code, data))

    def test_icmp_bytes(self) -> None:
        """Seven bits of type and nine of code follow two reserved bytes, which are ignored."""
        self.assertEqual(attributes.pack_icmp(3, 4, 1400).hex(), "0000060400000578")
        self.assertEqual(attributes.unpack_icmp(bytes.fromhex("ffff060400000578")), (3, 4, 1400))

    def test_icmp_without_room(self) -> None:
        """A type or a code that the attribute cannot tell is refused."""
        for icmp_type, code in ((128, 0), (-1, 0), (3, 512), (3, -1)):
            with self.assertRaises(ValueError):
                attributes.pack_icmp(icmp_type, code)

    @given(uint32s)
    def test_uint32_round_trip(self, number: int) -> None:
        """What was packed is unpacked."""
        value = attributes.pack_uint32(number)
        self.assertEqual(value, number.to_bytes(4, "big"))
        self.assertEqual(attributes.unpack_uint32(value), number)

    @given(uint16s)
    def test_channel_number_round_trip(self, number: int) -> None:
        """The number comes first, and what is reserved is zero."""
        value = attributes.pack_channel_number(number)
        self.assertEqual(value, number.to_bytes(2, "big") + b"\0\0")
        self.assertEqual(attributes.unpack_channel_number(value[:2] + b"\xff\xff"), number)

    @given(octets)
    def test_octet_round_trip(self, number: int) -> None:
        """Transport and family come first, and what is reserved is zero."""
        for pack, unpack in (
            (attributes.pack_requested_transport, attributes.unpack_requested_transport),
            (attributes.pack_family, attributes.unpack_family),
        ):
            value = pack(number)
            self.assertEqual(value, bytes([number, 0, 0, 0]))
            self.assertEqual(unpack(value[:1] + b"\xff\xff\xff"), number)

    def test_even_port(self) -> None:
        """Only the first bit counts."""
        self.assertEqual(attributes.pack_even_port(True), b"\x80")
        self.assertEqual(attributes.pack_even_port(False), b"\0")
        self.assertIs(attributes.unpack_even_port(b"\xff"), True)
        self.assertIs(attributes.unpack_even_port(b"\x7f"), False)

    @given(st.text(st.characters(exclude_categories=["Cs"])))
    def test_text_round_trip(self, text: str) -> None:
        """Text is UTF-8."""
        self.assertEqual(attributes.unpack_text(text.encode()), text)

    def test_wrong_lengths(self) -> None:
        """A number of another length is malformed."""
        for length, unpack in (
            (8, attributes.unpack_icmp),
            (4, attributes.unpack_uint32),
            (4, attributes.unpack_channel_number),
            (4, attributes.unpack_requested_transport),
            (4, attributes.unpack_family),
            (1, attributes.unpack_even_port),
        ):
            unpack(bytes(length))
            for wrong in (length - 1, length + 1):
                with self.assertRaises(MalformedMessage) as caught:
                    unpack(bytes(wrong))
                self.assertEqual(caught.exception.reason, "value")

    def test_text_that_is_not_utf8(self) -> None:
        """Bytes that are no text are malformed."""
        with self.assertRaises(MalformedMessage):
            attributes.unpack_text(b"\xff")


UNPACKERS: list[Callable[[bytes], object]] = [
    attributes.unpack_address,
    lambda value: attributes.unpack_xor_address(value, IDENTITY),
    lambda value: attributes.unpack_xor_address(value, IDENTITY + IDENTITY[:4]),
    attributes.unpack_error,
    attributes.unpack_address_error,
    attributes.unpack_unknown,
    attributes.unpack_password_algorithm,
    attributes.unpack_password_algorithms,
    attributes.unpack_icmp,
    attributes.unpack_uint32,
    attributes.unpack_channel_number,
    attributes.unpack_requested_transport,
    attributes.unpack_family,
    attributes.unpack_even_port,
    attributes.unpack_text,
]


class AnyValueTests(SynchronousTestCase):
    """What every ``unpack_`` function does with bytes of no particular form."""

    @given(st.binary(max_size=40), st.sampled_from(UNPACKERS))
    def test_only_malformed_message(self, value: bytes, unpack: Callable[[bytes], object]) -> None:
        """A value is read or refused with a word from the list; nothing else is raised."""
        try:
            unpack(value)
        except MalformedMessage as error:
            self.assertIn(error.reason, MESSAGE_FAULTS)

    def test_every_unpack_function_is_tried(self) -> None:
        """A new function cannot be forgotten in the list above."""
        tried = {getattr(unpack, "__name__", "") for unpack in UNPACKERS}
        public = {name for name in vars(attributes) if name.startswith("unpack_")}
        self.assertEqual(public - tried, {"unpack_host", "unpack_xor_address"})


class NumberTests(SynchronousTestCase):
    """The attribute numbers."""

    def test_coturn_numbers(self) -> None:
        """coTURN's early numbers have names of their own."""
        self.assertEqual(Attribute.COTURN_ADDITIONAL_ADDRESS_FAMILY, 0x8032)
        self.assertEqual(Attribute.COTURN_ADDRESS_ERROR_CODE, 0x8033)

    def test_numbers_are_unique(self) -> None:
        """No name is an alias of another."""
        self.assertEqual(len(Attribute.__members__), len(list(Attribute)))
