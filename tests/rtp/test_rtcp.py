"""Tests of b2bua.rtp.rtcp."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.rtp.errors import RTP_FAULTS, MalformedRtp
from b2bua.rtp.rtcp import (
    LARGEST_DATAGRAM,
    MOST_PACKETS,
    PSFB,
    RTPFB,
    Feedback,
    Goodbye,
    ReceiverReport,
    ReportBlock,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    build_compound,
    is_rtcp,
    parse_compound,
)

words = st.integers(0, 0xFFFFFFFF)
blocks = st.lists(
    st.builds(
        ReportBlock,
        ssrc=words,
        fraction_lost=st.integers(0, 255),
        lost=st.integers(-0x800000, 0x7FFFFF),
        highest=words,
        jitter=words,
        last_report=words,
        delay=words,
    ),
    max_size=3,
).map(tuple)
packets: st.SearchStrategy[RtcpPacket] = st.one_of(
    st.builds(
        SenderReport,
        ssrc=words,
        time=st.integers(0, (1 << 64) - 1),
        timestamp=words,
        packets=words,
        octets=words,
        blocks=blocks,
    ),
    st.builds(ReceiverReport, ssrc=words, blocks=blocks),
    st.builds(SourceDescription, ssrc=words, name=st.binary(max_size=255)),
    st.builds(Goodbye, sources=st.lists(words, max_size=31).map(tuple)),
    st.builds(
        Feedback,
        kind=st.sampled_from([RTPFB, PSFB]),
        format=st.integers(0, 31),
        sender=words,
        media=words,
        control=st.binary(max_size=40).map(lambda data: data[: len(data) & ~3]),
    ),
)
compounds = st.lists(packets, min_size=1, max_size=6)

RECEIVER_REPORT = bytes.fromhex(
    "81c90007 00000001 00000002 40fffffe 00010003 00000010 12345678 00008000"
)
NAME = bytes.fromhex("81ca0003 00000001 01056140 622e6300".replace(" ", ""))


class RtcpTests(SynchronousTestCase):
    """The formats of RFC 3550, section 6, and of RFC 4585."""

    def test_receiver_report(self) -> None:
        """The number of lost packets has a sign and 24 bits."""
        block = ReportBlock(
            ssrc=2,
            fraction_lost=64,
            lost=-2,
            highest=0x10003,
            jitter=16,
            last_report=0x12345678,
            delay=0x8000,
        )
        expected = ReceiverReport(ssrc=1, blocks=(block,))
        self.assertEqual(parse_compound(RECEIVER_REPORT), [expected])
        self.assertEqual(build_compound([expected]), RECEIVER_REPORT)

    def test_name(self) -> None:
        """A chunk ends with a zero byte, and with more of them up to a whole word."""
        expected = SourceDescription(ssrc=1, name=b"a@b.c")
        self.assertEqual(parse_compound(RECEIVER_REPORT + NAME)[1:], [expected])
        self.assertEqual(build_compound([expected]), NAME)

    def test_other_items(self) -> None:
        """Of several chunks and items only the canonical names are read."""
        data = bytes.fromhex("82ca0006 00000007 02014101 01420000 00000008 01025859 00000000")
        expected = [
            SourceDescription(ssrc=7, name=b"B"),
            SourceDescription(ssrc=8, name=b"XY"),
        ]
        self.assertEqual(parse_compound(RECEIVER_REPORT + data)[1:], expected)

    def test_goodbye(self) -> None:
        """Its reason is stepped over."""
        data = bytes.fromhex("81cb0003 00000009 03627965 00000000")
        self.assertEqual(parse_compound(data), [Goodbye(sources=(9,))])

    def test_stepped_over(self) -> None:
        """APP and extended reports say nothing to us, wherever they stand."""
        app = bytes.fromhex("80cc0002 00000001 6e616d65")
        extended = bytes.fromhex("80cf0001 00000001")
        self.assertEqual(
            parse_compound(app + RECEIVER_REPORT + extended + NAME)[1:],
            [SourceDescription(ssrc=1, name=b"a@b.c")],
        )

    def test_feedback_alone(self) -> None:
        """A picture loss indication may come without a report (RFC 5506)."""
        data = bytes.fromhex("81ce0002 00000001 00000002")
        self.assertEqual(parse_compound(data), [Feedback(kind=PSFB, format=1, sender=1, media=2)])

    def test_padding(self) -> None:
        """The last packet may be padded, and only that one."""
        padded = bytes.fromhex("a0c90002 00000001 00000004")
        self.assertEqual(parse_compound(padded), [ReceiverReport(ssrc=1)])
        for wrong in (padded + NAME, padded[:-1] + b"\x0c", padded[:-1] + b"\0", b"\xa0\xc9\0\0"):
            error = self.assertRaises(MalformedRtp, parse_compound, wrong)
            self.assertEqual(error.reason, "padding")

    def test_refused(self) -> None:
        """Each fault has its word."""
        refused = {
            "short": [b"", b"\x80", RECEIVER_REPORT + b"\0\0"],
            "version": [b"\x41" + RECEIVER_REPORT[1:], RECEIVER_REPORT + b"\0\0\0\0"],
            "type": [b"\x80\x60\0\0", b"\x80\x00" + bytes(20)],
            "length": [
                RECEIVER_REPORT[:-4],
                b"\x82" + RECEIVER_REPORT[1:],
                b"\x80\xc8\0\x05" + bytes(20),
                b"\x80\xc9\0\0",
                b"\x81\xca\0\0",
                b"\x82\xcb\0\x01" + bytes(4),
                b"\x81\xce\0\x01" + bytes(4),
            ],
            "text": [
                bytes.fromhex("81ca0001 00000001"),
                bytes.fromhex("81ca0002 00000001 01097878"),
                bytes.fromhex("81ca0002 00000001 01017801"),
            ],
            "count": [b"\x80\xcc\0\0" * (MOST_PACKETS + 1)],
            "size": [b"\x80\xcc\0\0" * (LARGEST_DATAGRAM // 4 + 1)],
        }
        for reason, examples in refused.items():
            for data in examples:
                error = self.assertRaises(MalformedRtp, parse_compound, data)
                self.assertEqual((error.reason, data), (reason, data))

    def test_unfit(self) -> None:
        """What has no place in a packet is refused when it is built."""
        for unfit in (
            Goodbye(sources=tuple(range(32))),
            Feedback(kind=PSFB, format=1, sender=1, media=1, control=b"odd"),
        ):
            self.assertRaises(ValueError, build_compound, [unfit])

    def test_shared_port(self) -> None:
        """The second byte tells RTCP from RTP with the numbers that are used."""
        self.assertTrue(all(is_rtcp(kind) for kind in range(200, 208)))
        usual = [*range(64), *range(96, 128)]
        self.assertFalse(any(is_rtcp(number | mark) for number in usual for mark in (0, 128)))

    @given(compounds)
    def test_round_trip(self, compound: list[RtcpPacket]) -> None:
        """What was built is read back."""
        self.assertEqual(parse_compound(build_compound(compound)), compound)

    @given(compounds, st.integers(0, 400), st.binary(max_size=4), st.booleans())
    def test_any_bytes(self, compound: list[RtcpPacket], at: int, new: bytes, cut: bool) -> None:
        """Bytes are RTCP, or are refused by a known word."""
        data = build_compound(compound)
        for junk in (data[:at] + new + (b"" if cut else data[at + len(new) :]), new * 30):
            try:
                parse_compound(junk)
            except MalformedRtp as error:
                self.assertIn(error.reason, RTP_FAULTS)
