"""Tests of b2bua.rtp.reports."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.rtp.reports import Reports, interval, translate
from b2bua.rtp.rtcp import (
    FULL_INTRA,
    GENERIC_NACK,
    PICTURE_LOSS,
    PSFB,
    RTPFB,
    Feedback,
    Goodbye,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
    parse_compound,
)
from b2bua.rtp.stream import IncomingStream, OutgoingStream

RATE = 8000
OURS = 7
PEER = 0xCAFE
SOURCE = 0xF00D


def seven(below: int) -> int:
    return OURS


class ReportsTests(SynchronousTestCase):
    """What an end says, and what it learns."""

    def setUp(self) -> None:
        self.incoming = IncomingStream()
        self.outgoing = OutgoingStream(seven)
        self.reports = Reports(b"name", self.incoming, self.outgoing)

    def send(self, now: float) -> None:
        self.outgoing.make(160, now, RATE)
        self.outgoing.packets += 1
        self.outgoing.octets += 160

    def test_says_nothing_of_nobody(self) -> None:
        """Without packets either way it is an empty receiver report, and our name."""
        self.assertEqual(
            parse_compound(self.reports.compound(1.0)),
            [ReceiverReport(ssrc=OURS), SourceDescription(ssrc=OURS, name=b"name")],
        )

    def test_sender(self) -> None:
        """Whoever sends tells how much, and what time it is in both clocks."""
        self.send(1.0)
        report = parse_compound(self.reports.compound(1.5))[0]
        expected = SenderReport(
            ssrc=OURS, time=3 << 31, timestamp=OURS + 4000, packets=1, octets=160
        )
        self.assertEqual(report, expected)

    def test_no_sender_any_more(self) -> None:
        """After two reports without a packet we are a receiver again."""
        self.send(1.0)
        kinds = [type(parse_compound(self.reports.compound(now))[0]) for now in (2.0, 7.0, 12.0)]
        self.assertEqual(kinds, [SenderReport, SenderReport, ReceiverReport])

    def test_tells_when_it_heard(self) -> None:
        """The peer finds its own report's time, and how long ago that came."""
        self.incoming.receive(PEER, 1, 1, 1.0, RATE)
        heard = SenderReport(ssrc=PEER, time=0x1111222233334444, timestamp=0, packets=1, octets=1)
        self.reports.read([heard], 2.0)
        (block,) = self.blocks(2.5)
        self.assertEqual((block.ssrc, block.last_report, block.delay), (PEER, 0x22223333, 0x8000))
        self.incoming.receive(PEER + 1, 1, 1, 1.0, RATE)
        (block,) = self.blocks(3.0)
        self.assertEqual((block.last_report, block.delay), (0, 0))

    def blocks(self, now: float) -> tuple[ReportBlock, ...]:
        report = parse_compound(self.reports.compound(now))[0]
        assert isinstance(report, ReceiverReport)
        return report.blocks

    def test_learns(self) -> None:
        """Loss, jitter in seconds and the way there and back come from the peer's report."""
        sent = 100 << 16
        ours = ReportBlock(ssrc=OURS, lost=3, jitter=80, last_report=sent, delay=1 << 15)
        other = ReportBlock(ssrc=OURS + 1, lost=9)
        self.reports.read([ReceiverReport(ssrc=PEER, blocks=(ours, other))], 100.75)
        self.assertEqual((self.reports.lost, self.reports.jitter), (3, 0.01))
        self.assertEqual(self.reports.round_trip, 0.25)

    def test_nonsense_about_time(self) -> None:
        """A way back that takes hours is none."""
        block = ReportBlock(ssrc=OURS, last_report=101 << 16)
        self.reports.read([ReceiverReport(ssrc=PEER, blocks=(block,))], 100.0)
        self.assertIsNone(self.reports.round_trip)

    def test_more(self) -> None:
        """What goes with a report stands after our name."""
        found = parse_compound(self.reports.compound(1.0, Goodbye(sources=(OURS,))))
        self.assertEqual(found[2], Goodbye(sources=(OURS,)))

    def test_counters_turn(self) -> None:
        """Counts have 32 bits on the wire and any size here."""
        self.send(1.0)
        self.outgoing.octets = (1 << 32) + 5
        report = parse_compound(self.reports.compound(1.0))[0]
        assert isinstance(report, SenderReport)
        self.assertEqual(report.octets, 5)

    def test_interval(self) -> None:
        """Five seconds, randomised by half and compensated; half of it at first."""
        self.assertAlmostEqual(interval(lambda below: 0), 2.5 / 1.21828)
        self.assertAlmostEqual(interval(lambda below: below // 2), 5.0 / 1.21828)
        self.assertAlmostEqual(interval(lambda below: 0, first=True), 1.25 / 1.21828)


class TranslateTests(SynchronousTestCase):
    """Feedback for a source that is forwarded."""

    def setUp(self) -> None:
        self.stream = OutgoingStream(seven)
        for sequence in range(100, 110):
            self.stream.take(SOURCE, sequence, 0, 0.0, 90000)

    def translated(self, kind: int, format: int, media: int, control: bytes = b"") -> object:
        feedback = Feedback(kind=kind, format=format, sender=PEER, media=media, control=control)
        return translate(feedback, self.stream, 55)

    def test_picture_loss(self) -> None:
        """It names our stream, and then the source behind it."""
        expected = Feedback(kind=PSFB, format=PICTURE_LOSS, sender=55, media=SOURCE)
        self.assertEqual(self.translated(PSFB, PICTURE_LOSS, OURS), expected)
        self.assertIsNone(self.translated(PSFB, PICTURE_LOSS, PEER))

    def test_full_intra(self) -> None:
        """The entry for our stream goes on, with its number; others are not ours."""
        control = bytes.fromhex("00000001 05000000 00000007 09000000")
        expected = Feedback(
            kind=PSFB,
            format=FULL_INTRA,
            sender=55,
            media=0,
            control=bytes.fromhex("0000f00d 09000000"),
        )
        self.assertEqual(self.translated(PSFB, FULL_INTRA, 0, control), expected)
        self.assertIsNone(self.translated(PSFB, FULL_INTRA, 0, control[:8]))
        self.assertIsNone(self.translated(PSFB, FULL_INTRA, 0, control[:12]))

    def test_lost(self) -> None:
        """Numbers become those of the source; those that it never had are left out."""
        control = bytes.fromhex("0008 0003 4000 0000 0011 8000")
        expected = Feedback(
            kind=RTPFB,
            format=GENERIC_NACK,
            sender=55,
            media=SOURCE,
            control=bytes.fromhex("0064 0003 006d 8000"),
        )
        self.assertEqual(self.translated(RTPFB, GENERIC_NACK, OURS, control), expected)
        self.assertIsNone(self.translated(RTPFB, GENERIC_NACK, OURS, control[4:8]))

    def test_other_feedback(self) -> None:
        """Estimates of bandwidth and the like are for nobody behind us."""
        self.assertIsNone(self.translated(PSFB, 15, OURS, b"REMB"))
        self.assertIsNone(self.translated(RTPFB, 15, OURS))

    def test_silence(self) -> None:
        """A stream that is our own has nobody behind it."""
        self.stream.make(160, 1.0, RATE)
        self.assertIsNone(self.translated(PSFB, PICTURE_LOSS, OURS))

    @given(
        st.sampled_from([RTPFB, PSFB]),
        st.integers(0, 31),
        st.binary(max_size=60).map(lambda data: data[: len(data) & ~3]),
    )
    def test_any_control(self, kind: int, format: int, control: bytes) -> None:
        """No control information is a fault of ours, and none of it grows."""
        feedback = Feedback(kind=kind, format=format, sender=PEER, media=OURS, control=control)
        found = translate(feedback, self.stream, 55)
        self.assertTrue(found is None or len(found.control) <= len(control))
