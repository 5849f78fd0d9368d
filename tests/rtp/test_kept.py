"""Tests of b2bua.rtp.kept and b2bua.rtp.missing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.rtp.kept import SIZE, SPACING, Kept
from b2bua.rtp.missing import MOST, Missing
from b2bua.rtp.reports import lost_packets, missed_packets


class KeptTests(SynchronousTestCase):
    """Packets that may be sent again."""

    def test_the_newest(self) -> None:
        """As many as fit are kept, over the turn of the numbers too."""
        kept = Kept()
        numbers = [(65500 + step) & 0xFFFF for step in range(SIZE + 10)]
        for number in numbers:
            kept.keep(number, b"%d" % number)
        self.assertEqual([kept.has(number) for number in numbers[:11]], [False] * 10 + [True])
        self.assertEqual(kept.again(numbers[-1], 1.0), b"%d" % numbers[-1])
        self.assertIsNone(kept.again(numbers[0], 1.0))

    def test_not_at_once_again(self) -> None:
        """The same packet goes out again only when the first one should have come."""
        kept = Kept()
        kept.keep(7, b"seven")
        asked = [kept.again(7, 1.0 + SPACING * step / 2) for step in range(4)]
        self.assertEqual(asked, [b"seven", None, b"seven", None])


class MissingTests(SynchronousTestCase):
    """Packets to ask for."""

    def asked(self, missing: Missing, *sequences: int, at: float = 0.0) -> list[list[int]]:
        return [missing.receive(1, number & 0xFFFF, at) for number in sequences]

    def test_gaps(self) -> None:
        """What is missing is asked for once, at once."""
        missing = Missing(1.0)
        self.assertEqual(self.asked(missing, 10, 13, 14), [[], [11, 12], []])

    def test_seldom(self) -> None:
        """A second request waits for its time, and has only what has not come meanwhile."""
        missing = Missing(1.0)
        self.asked(missing, 10, 12)
        self.assertEqual(self.asked(missing, 15, 13, at=0.9), [[], []])
        self.assertEqual(self.asked(missing, 16, at=1.0), [[14]])

    def test_turn(self) -> None:
        """Numbers go over 65535 and on."""
        self.assertEqual(self.asked(Missing(1.0), 65534, 65537), [[], [65535, 0]])

    def test_new_source(self) -> None:
        """Another source, or one that begins anew, has lost nothing."""
        missing = Missing(0.0)
        self.asked(missing, 10)
        self.assertEqual(missing.receive(2, 500, 0.0), [])
        self.assertEqual(missing.receive(2, 30000, 0.0), [])

    def test_bounded(self) -> None:
        """Of many only the newest are asked for."""
        asked = self.asked(Missing(0.0), 0, 900)[1]
        self.assertEqual(asked, list(range(900 - MOST, 900)))

    def test_wanted_again(self) -> None:
        """Somebody still misses one: it is asked for in its time, unless it comes before."""
        missing = Missing(1.0)
        self.asked(missing, 10, 13)
        for number in (11, 12, 11):
            missing.want(1, number)
        self.assertEqual(self.asked(missing, 14, 12, at=0.9), [[], []])
        self.assertEqual(self.asked(missing, 15, at=1.0), [[11]])
        for ssrc, number in ((2, 11), (1, 15), (1, 16), (1, 15 - 1000)):
            missing.want(ssrc, number & 0xFFFF)
        self.assertEqual(self.asked(missing, 16, at=2.0), [[]])

    @given(st.lists(st.integers(0, 0xFFFF), max_size=300))
    def test_any(self, numbers: list[int]) -> None:
        """Whatever comes, what is asked for is bounded and has not just come."""
        missing = Missing(0.0)
        for number in numbers:
            missing.want(1, number ^ 1)
            asked = missing.receive(1, number, 0.0)
            self.assertLessEqual(len(asked), MOST)
            self.assertNotIn(number, asked)

    @given(st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=64))
    def test_written_and_read(self, numbers: list[int]) -> None:
        """What a request says is what it was made of."""
        read = missed_packets(lost_packets(1, 2, numbers), 2)
        self.assertEqual(set(read or ()), set(numbers))
