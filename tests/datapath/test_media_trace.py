"""Tests of the packet log of media."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from suite.datapath.media_trace import MOST_PER_SECOND, EndTrace, MediaTrace
from tests.datapath.media import MediaTestCase

PAYLOAD = b"the words that were said"
RTP = bytes.fromhex("80600007000000a0deadbeef") + PAYLOAD
REPORT = bytes.fromhex("80c90001deadbeef") + bytes.fromhex("81ca0003deadbeef01046e616d650000")


class MediaTraceTests(SynchronousTestCase):
    """What each level writes."""

    def setUp(self) -> None:
        """Write into a list."""
        self.now = 0.0
        self.lines: list[str] = []
        self.is_read = True

    def trace(self, level: int) -> EndTrace:
        """The trace of one end at a level."""
        shared = MediaTrace(level, self.lines.append, lambda: self.is_read, lambda: self.now)
        made = shared.of(7)
        assert made is not None
        return made

    def a_second(self, trace: EndTrace) -> None:
        """Fifty packets in, two RTCP out, one dropped."""
        for _ in range(50):
            trace.rtp("in", RTP)
            self.now += 0.02
        trace.rtcp("out", REPORT)
        trace.rtcp("out", REPORT)
        trace.dropped("source")

    def count(self, level: int) -> tuple[int, int, int]:
        """RTP, RTCP and dropped packets written in ten such seconds."""
        self.lines.clear()
        trace = self.trace(level)
        for _ in range(10):
            self.a_second(trace)
        return (
            sum(" RTP " in line for line in self.lines),
            sum(" RTCP " in line for line in self.lines),
            sum(" dropped " in line for line in self.lines),
        )

    def test_levels(self) -> None:
        """Each level writes what the guide says of it."""
        self.assertEqual((1, 1, 0), self.count(0))
        rtp, rtcp, dropped = self.count(1)
        self.assertTrue(9 <= rtp <= 10 and rtcp <= 10 and dropped == 0, (rtp, rtcp))
        rtp, _, dropped = self.count(2)
        self.assertTrue(40 <= rtp <= 51 and dropped == 10, (rtp, dropped))
        rtp, rtcp, dropped = self.count(3)
        self.assertTrue(rtp <= 51 and (rtcp, dropped) == (20, 10), (rtp, rtcp))
        self.assertEqual((500, 20, 10), self.count(4))

    def test_last_control(self) -> None:
        """The last RTCP is written when the end is closed, unless it was already."""
        trace = self.trace(0)
        trace.rtcp("in", REPORT)
        trace.ended()
        self.assertEqual(1, len(self.lines))
        trace.rtcp("in", REPORT)
        trace.ended()
        self.assertTrue(self.lines[-1].startswith("media end=7 last RTCP in RR+SDES"))

    def test_no_payload(self) -> None:
        """Neither what was said nor a name is written."""
        trace = self.trace(4)
        trace.rtp("in", RTP)
        trace.rtcp("in", REPORT)
        self.assertEqual(
            [
                "media end=7 RTP in pt=96 seq=7 ts=160 ssrc=deadbeef size=36",
                "media end=7 RTCP in RR+SDES size=24",
            ],
            self.lines,
        )

    def test_bounded(self) -> None:
        """A flood makes no flood of records, and what is missing is told."""
        trace = self.trace(4)
        for _ in range(5000):
            trace.rtp("in", RTP)
        self.assertEqual(MOST_PER_SECOND, len(self.lines))
        self.now = 1.0
        trace.rtp("in", RTP)
        self.assertIn("4800 records were left out", self.lines[MOST_PER_SECOND])

    def test_rubbish(self) -> None:
        """What is no RTP and no RTCP is written by its size."""
        trace = self.trace(4)
        trace.rtp("in", b"\x80")
        trace.rtcp("in", b"\x01\x02")
        trace.rtcp("in", b"\x80\xff\xff\xff")
        self.assertEqual(
            ["RTP in size=1", "RTCP in unreadable size=2", "RTCP in 255 size=4"],
            [line.removeprefix("media end=7 ") for line in self.lines],
        )

    def test_nobody_reads(self) -> None:
        """Ends have no trace where nobody reads it."""
        self.is_read = False
        shared = MediaTrace(4, self.lines.append, lambda: self.is_read, lambda: self.now)
        self.assertIsNone(shared.of(1))


class TracedPlaneTests(MediaTestCase):
    """A plane whose packets are written down."""

    def test_call(self) -> None:
        """Both ends' packets and reports are there, what is dropped too, and the last RTCP."""
        lines: list[str] = []
        trace = MediaTrace(4, lines.append, lambda: True, self.clock.seconds)
        self.plane = self.make_plane(trace=trace)
        one, other = self.bridge()
        self.send(self.near, one, self.near.packet(b"one"), self.near.packet(number=5))
        self.plane.close(one)
        self.plane.close(other)
        text = "\n".join(lines)
        self.assertIn(f"media end={one} RTP in pt=0", text)
        self.assertIn(f"media end={one} dropped payload-type", text)
        self.assertIn(f"media end={other} RTP out pt=0", text)
        self.assertIn(f"media end={other} RTCP out", text)
        self.assertNotIn("one", text.replace("none", ""))
