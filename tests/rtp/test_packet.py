"""Tests of b2bua.rtp.packet."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.rtp.errors import RTP_FAULTS, MalformedRtp
from b2bua.rtp.packet import Packet, build, fault, parse, payload_start

words = st.integers(0, 0xFFFFFFFF)
extensions = st.tuples(
    st.integers(0, 0xFFFF), st.binary(max_size=40).map(lambda data: data[: len(data) & ~3])
)
packets = st.builds(
    Packet,
    payload_type=st.integers(0, 127),
    sequence=st.integers(0, 0xFFFF),
    timestamp=words,
    ssrc=words,
    payload=st.binary(max_size=60),
    marker=st.booleans(),
    contributors=st.lists(words, max_size=15).map(tuple),
    extension=st.none() | extensions,
    padding=st.integers(0, 255),
)

PLAIN = bytes.fromhex("80000001 000000a0 11223344 ffff")
FULL = bytes.fromhex(
    "b2e5fffe 00000010 cafebabe"  # P, X, two sources; M, payload type 101
    "00000001 00000002"
    "bede0001 10ff0000"
    "0a0003200000"
    "0002"
)


class PacketTests(SynchronousTestCase):
    """The format of RFC 3550, section 5.1."""

    def test_plain(self) -> None:
        """Twelve bytes and a payload."""
        expected = Packet(
            payload_type=0, sequence=1, timestamp=160, ssrc=0x11223344, payload=b"\xff\xff"
        )
        self.assertEqual(parse(PLAIN), expected)
        self.assertEqual(build(expected), PLAIN)
        self.assertEqual(payload_start(PLAIN, len(PLAIN)), 12)

    def test_full(self) -> None:
        """Marker, contributing sources, extension and padding."""
        expected = Packet(
            payload_type=101,
            marker=True,
            sequence=0xFFFE,
            timestamp=16,
            ssrc=0xCAFEBABE,
            contributors=(1, 2),
            extension=(0xBEDE, b"\x10\xff\x00\x00"),
            payload=bytes.fromhex("0a0003200000"),
            padding=2,
        )
        self.assertEqual(parse(FULL), expected)
        self.assertEqual(build(expected), FULL)
        self.assertEqual(payload_start(FULL, len(FULL)), 28)

    def test_padding_alone(self) -> None:
        """A packet may consist of padding, as probes for bandwidth do."""
        packet = parse(b"\xa0" + PLAIN[1:12] + b"\0\0\x03")
        self.assertEqual((packet.payload, packet.padding), (b"", 3))

    def test_refused(self) -> None:
        """Each fault has its word."""
        refused = {
            "short": [b"", b"\x80", PLAIN[:11]],
            "version": [b"\x40" + PLAIN[1:], b"\x00" * 20, b"\xc0" + PLAIN[1:]],
            "csrc": [b"\x81" + PLAIN[1:12] + b"\0\0\0", b"\x8f" + PLAIN[1:12] + bytes(59)],
            "extension": [
                b"\x90" + PLAIN[1:12],
                b"\x90" + PLAIN[1:12] + b"\0\0\0",
                b"\x90" + PLAIN[1:12] + b"\xbe\xde\x00\x02" + bytes(7),
            ],
            "padding": [
                b"\xa0" + PLAIN[1:12],
                b"\xa0" + PLAIN[1:12] + b"\0",
                b"\xa0" + PLAIN[1:12] + b"\x02",
            ],
        }
        for reason, examples in refused.items():
            for data in examples:
                self.assertEqual(self.assertRaises(MalformedRtp, parse, data).reason, reason)
                self.assertEqual(fault(payload_start(data, len(data))), reason)

    def test_unfit(self) -> None:
        """What has no place in a packet is refused when it is built."""
        fit = {"payload_type": 0, "sequence": 0, "timestamp": 0, "ssrc": 0}
        for unfit in (
            {"contributors": tuple(range(16))},
            {"padding": 256},
            {"extension": (1, b"odd")},
        ):
            self.assertRaises(ValueError, build, Packet(**fit, **unfit))

    @given(packets)
    def test_round_trip(self, packet: Packet) -> None:
        """What was built is read back."""
        self.assertEqual(parse(build(packet)), packet)

    @given(st.binary(max_size=100) | st.binary(max_size=100).map(lambda data: b"\xbf" + data))
    def test_any_bytes(self, data: bytes) -> None:
        """Bytes are a packet, or are refused by a known word."""
        try:
            packet = parse(data)
        except MalformedRtp as error:
            self.assertIn(error.reason, RTP_FAULTS)
        else:
            self.assertEqual(parse(build(packet)), packet)

    @given(packets, st.binary(max_size=30))
    def test_only_the_size_counts(self, packet: Packet, after: bytes) -> None:
        """Bytes of the buffer behind the packet are never looked at."""
        data = build(packet)
        buffer = bytearray(data + after)
        self.assertEqual(payload_start(buffer, len(data)), payload_start(data, len(data)))
