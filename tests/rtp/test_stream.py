"""Tests of b2bua.rtp.stream."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.rtp.packet import MARKER
from b2bua.rtp.stream import MAX_DROPOUT, VIDEO_RATE, IncomingStream, OutgoingStream

RATE = 8000
A, B = 0xAAAA, 0xBBBB


def zero(below: int) -> int:
    return 0


def highest(below: int) -> int:
    return below - 1


class IncomingStreamTests(SynchronousTestCase):
    """What a receiver reports of a source."""

    def setUp(self) -> None:
        self.stream = IncomingStream()

    def receive(self, *sequences: int, ssrc: int = A) -> None:
        for sequence in sequences:
            self.stream.receive(ssrc, sequence & 0xFFFF, 160 * sequence & 0xFFFFFFFF, 0.0, RATE)

    def test_nothing(self) -> None:
        """Before the first packet there is nothing to report."""
        self.assertIsNone(self.stream.report())
        self.assertEqual((self.stream.lost, self.stream.jitter), (0, 0.0))

    def test_lost(self) -> None:
        """Numbers that never came are lost, over the turn of the counter too."""
        self.receive(0xFFFE, 0xFFFF, 0x10001, 0x10002)
        report = self.stream.report()
        assert report is not None
        self.assertEqual((report.lost, report.highest, report.ssrc), (1, 0x10002, A))
        self.assertEqual(report.fraction_lost, 256 // 5)
        self.assertEqual(self.stream.lost, 1)

    def test_late_and_twice(self) -> None:
        """A late packet is not lost; duplicates make the number go below zero, as the RFC says."""
        self.receive(10, 12, 11, 13, 13, 13)
        report = self.stream.report()
        assert report is not None
        self.assertEqual((report.lost, report.fraction_lost, self.stream.lost), (-2, 0, 0))

    def test_since_the_report_before(self) -> None:
        """The fraction counts from report to report, the sum does not."""
        self.receive(0, 2)
        self.stream.report()
        self.receive(3, 4)
        report = self.stream.report()
        assert report is not None
        self.assertEqual((report.lost, report.fraction_lost), (1, 0))
        again = self.stream.report()
        assert again is not None
        self.assertEqual(again.fraction_lost, 0)

    def test_another_source(self) -> None:
        """It has its own report; what was lost before is not forgotten in the sum."""
        self.receive(0, 2)
        self.receive(500, 501, ssrc=B)
        report = self.stream.report()
        assert report is not None
        self.assertEqual((report.ssrc, report.lost, report.highest), (B, 0, 501))
        self.assertEqual(self.stream.lost, 1)

    def test_jump(self) -> None:
        """A source that begins anew under its old name did not lose what lies between."""
        self.receive(1, 2, 30000, 30001, 5, 6)
        self.assertEqual(self.stream.lost, 0)

    def test_jitter(self) -> None:
        """A sixteenth of the difference in spacing, in seconds (appendix A.8)."""
        self.stream.receive(A, 0, 0xFFFFFFFF, 1.0, RATE)
        self.stream.receive(A, 1, 159, 1.02, RATE)
        self.assertAlmostEqual(self.stream.jitter, 0.0)
        self.stream.receive(A, 2, 319, 1.05, RATE)
        self.assertAlmostEqual(self.stream.jitter, 0.01 / 16)
        self.stream.receive(A, 3, 479, 1.06, RATE)
        self.assertAlmostEqual(self.stream.jitter, 0.01 / 16 + (0.01 - 0.01 / 16) / 16)

    def test_jitter_of_one_moment(self) -> None:
        """Packets of one picture or one key press have a common timestamp and no jitter."""
        for sequence in range(5):
            self.stream.receive(A, sequence, 7, sequence * 0.05, RATE)
        self.assertEqual(self.stream.jitter, 0.0)

    def test_bounds(self) -> None:
        """However many are lost, the report has room for their number."""
        sequence = 0
        for _ in range(6000):
            sequence += MAX_DROPOUT - 1
            self.receive(sequence)
        report = self.stream.report()
        assert report is not None
        self.assertEqual((report.lost, report.fraction_lost), (0x7FFFFF, 255))

    @given(
        st.lists(
            st.tuples(
                st.sampled_from([A, B]),
                st.integers(0, 0xFFFF),
                st.integers(0, 0xFFFFFFFF),
                st.floats(0, 1e6),
            ),
            max_size=40,
        )
    )
    def test_any_packets(self, packets: list[tuple[int, int, int, float]]) -> None:
        """Whatever comes can be reported."""
        stream = IncomingStream()
        for ssrc, sequence, timestamp, now in packets:
            stream.receive(ssrc, sequence, timestamp, now, RATE)
            self.assertGreaterEqual(stream.lost, 0)
            self.assertGreaterEqual(stream.jitter, 0)
        report = stream.report()
        if report is not None:
            self.assertTrue(0 <= report.fraction_lost <= 255)


class OutgoingStreamTests(SynchronousTestCase):
    """One stream of ours, whatever it is made of."""

    def setUp(self) -> None:
        self.stream = OutgoingStream(zero)

    def take(self, sequence: int, timestamp: int, now: float, source: int = A) -> tuple[int, int]:
        taken = self.stream.take(source, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, now, RATE)
        assert taken is not None
        return taken[1:]

    def test_own_numbers(self) -> None:
        """Source and first numbers are chosen, not taken over."""
        stream = OutgoingStream(highest)
        self.assertEqual(stream.ssrc, 0xFFFFFFFF)
        self.assertEqual(stream.take(A, 5, 500, 0.0, RATE), (MARKER, 0, 0xFFFFFFFF))
        self.assertEqual(stream.take(A, 6, 660, 0.02, RATE), (0, 1, 159))

    def test_losses_stay(self) -> None:
        """What the source lost is missing in ours, and what is late comes late."""
        self.assertEqual(self.take(100, 0, 0.0), (1, 0))
        self.assertEqual(self.take(103, 480, 0.06), (4, 480))
        self.assertEqual(self.take(102, 320, 0.06), (3, 320))
        self.assertEqual(self.take(104, 640, 0.08), (5, 640))

    def test_another_source(self) -> None:
        """Numbers go on by one, times by what has passed, and the marker says so."""
        self.take(100, 5000, 0.0)
        taken = self.stream.take(B, 60000, 9, 0.5, RATE)
        self.assertEqual(taken, (MARKER, 2, 4000))
        self.assertEqual(self.take(60001, 169, 0.52, B), (3, 4160))

    def test_a_quick_change(self) -> None:
        """Times advance by a frame at least."""
        self.take(100, 5000, 1.0)
        self.assertEqual(self.take(7, 7, 1.0, B), (2, 160))

    def test_the_same_name_again(self) -> None:
        """A source that begins anew, or another one of the same SSRC, makes no jump."""
        self.take(100, 0, 0.0)
        self.assertEqual(self.take(20000, 1 << 31, 0.02), (2, 160))
        self.stream.interrupt()
        self.assertEqual(self.take(20001, 77, 0.04), (3, 320))

    def test_late_from_before(self) -> None:
        """A number from before the change has been used: the packet goes nowhere."""
        self.take(100, 0, 0.0)
        self.take(500, 0, 0.02, B)
        self.assertIsNone(self.stream.take(B, 499, 0, 0.02, RATE))
        self.assertEqual(self.take(501, 160, 0.04, B), (3, 320))

    def test_video(self) -> None:
        """There the marker ends a picture, so none is added."""
        self.assertEqual(self.stream.take(A, 1, 1, 0.0, VIDEO_RATE), (0, 1, 0))

    def test_left_out(self) -> None:
        """What is skipped leaves no gap, and no number for what comes late from before it."""
        self.take(100, 0, 0.0)
        self.stream.skip(A, 101)
        self.stream.skip(A, 101)
        self.stream.skip(B, 102)
        self.assertEqual(self.take(102, 320, 0.04), (2, 320))
        self.stream.skip(A, 104)
        self.assertIsNone(self.stream.take(A, 103, 480, 0.08, RATE))
        self.assertEqual(self.take(105, 800, 0.1), (3, 800))

    def test_silence_and_media(self) -> None:
        """Packets of our own and of a source are one stream."""
        self.assertEqual(self.stream.make(160, 0.0, RATE), (MARKER, 1, 0))
        self.assertEqual(self.stream.make(160, 0.021, RATE), (0, 2, 160))
        self.assertEqual(self.take(9, 9, 0.031), (3, 320))
        self.assertEqual(self.take(10, 169, 0.051), (4, 480))
        self.assertEqual(self.stream.make(160, 0.551, RATE), (MARKER, 5, 4480))

    def test_silence_after_a_pause(self) -> None:
        """It begins anew, and time has passed."""
        self.stream.make(160, 0.0, RATE)
        self.assertEqual(self.stream.make(160, 10.0, RATE), (MARKER, 2, 80000))

    def test_numbers_of_the_source(self) -> None:
        """What a receiver misses is found again, unless it is from before a change."""
        self.assertIsNone(self.stream.source_sequence(0))
        self.take(0xFFFF, 0, 0.0)
        self.take(0x10002, 0, 0.0)
        self.assertEqual(
            [self.stream.source_sequence(number) for number in (0, 1, 2, 4, 5)],
            [None, 0xFFFF, 0, 2, None],
        )
        self.stream.make(160, 0.1, RATE)
        self.assertIsNone(self.stream.source_sequence(4))

    def test_time_for_reports(self) -> None:
        """It runs on while nothing is sent."""
        self.assertEqual(self.stream.timestamp_at(5.0), 0)
        self.take(1, 1, 5.0)
        self.assertEqual(self.stream.timestamp_at(5.5), 4000)

    @given(
        st.lists(
            st.tuples(st.sampled_from([A, B, None]), st.integers(0, 5), st.booleans()),
            max_size=60,
        ),
        st.integers(0, 0xFFFF),
        st.integers(0, 0xFFFFFFFF),
    )
    def test_continuity(
        self, steps: list[tuple[int | None, int, bool]], sequence: int, timestamp: int
    ) -> None:
        """Without loss at the source ours goes on by one, and its time never goes back."""
        stream = OutgoingStream(lambda below: below - 3 if below > 3 else 0)
        number, moment, now = stream.sequence, stream.timestamp, 0.0
        positions = {A: (sequence, timestamp), B: (timestamp & 0xFFFF, sequence)}
        for source, pause, left_out in steps:
            now += 0.02 * pause
            if source is None:
                made: tuple[int, int, int] | None = stream.make(160, now, RATE)
            else:
                sequence, timestamp = positions[source]
                sequence = (sequence + 1) & 0xFFFF
                timestamp = (timestamp + 160) & 0xFFFFFFFF
                positions[source] = sequence, timestamp
                if left_out:
                    stream.skip(source, sequence)
                    continue
                made = stream.take(source, sequence, timestamp, now, RATE)
            assert made is not None
            self.assertEqual(made[1], (number + 1) & 0xFFFF)
            self.assertLess((made[2] - moment) & 0xFFFFFFFF, 0x80000000)
            number, moment = made[1:]

    @given(
        st.lists(
            st.tuples(st.sampled_from([A, B]), st.integers(0, 0xFFFF), st.booleans()),
            max_size=80,
        )
    )
    def test_any_packets(self, packets: list[tuple[int, int, bool]]) -> None:
        """No number of one source is ever given to a packet of the other."""
        stream = OutgoingStream(zero)
        used: dict[int, int] = {}
        for source, sequence, left_out in packets:
            if left_out:
                stream.skip(source, sequence)
                continue
            made = stream.take(source, sequence, 0, 0.0, RATE)
            if made is not None:
                self.assertEqual(used.setdefault(made[1], source), source)
