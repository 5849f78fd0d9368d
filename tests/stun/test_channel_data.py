"""Tests of ChannelData."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from turn.stun.channel_data import pack, unpack
from turn.stun.errors import MalformedMessage


class ChannelDataTests(SynchronousTestCase):
    """Packing, and telling ChannelData from other messages."""

    @given(st.integers(0x4000, 0x7FFF), st.binary(max_size=40), st.booleans())
    def test_round_trip(self, number: int, payload: bytes, padded: bool) -> None:
        """Number and payload come back, padded or not."""
        data = pack(number, payload, padded=padded)
        self.assertEqual(unpack(data), (number, payload))
        self.assertEqual(len(data), 4 + len(payload) + (-len(payload) % 4 if padded else 0))

    def test_bytes(self) -> None:
        """The length counts the payload only, and padding is of zeros."""
        self.assertEqual(pack(0x4001, b"hello", padded=False), b"\x40\x01\0\x05hello")
        self.assertEqual(pack(0x4001, b"hello", padded=True), b"\x40\x01\0\x05hello\0\0\0")
        self.assertEqual(pack(0x4001, b"", padded=True), b"\x40\x01\0\0")

    def test_payload_beyond_the_datagram(self) -> None:
        """A length that is more than what is there is refused."""
        for data, reason in ((b"\x40\0\0", "short"), (b"\x40\0\0\x05abcd", "length")):
            with self.assertRaises(MalformedMessage) as caught:
                unpack(data)
            self.assertEqual(caught.exception.reason, reason)

    def test_bytes_beyond_the_payload(self) -> None:
        """What follows the payload is ignored."""
        self.assertEqual(unpack(b"\x40\0\0\x02abcd"), (0x4000, b"ab"))
