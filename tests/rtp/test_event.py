"""Tests of b2bua.rtp.event."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.rtp.event import LONGEST, NamedEvent, rescale

UP, DOWN = (8000, 48000), (48000, 8000)
FIVE = 5
Said = tuple[int, bool, int]
"""Timestamp, whether it is the end, duration."""


def press(ticks: int, step: int, began: int = 0) -> Iterator[Said]:
    """What a source says of a key that is held so long (RFC 4733, section 2.5.1)."""
    segment = 0
    for at in [*range(step, ticks, step), *[ticks] * 3]:
        if at - segment > LONGEST:
            yield began + segment & 0xFFFFFFFF, False, LONGEST
            segment += LONGEST
        yield began + segment & 0xFFFFFFFF, at == ticks, at - segment


class Heard:
    """What becomes of a source's packets."""

    def __init__(self, rates: tuple[int, int]) -> None:
        self.rates = rates
        self.event = NamedEvent()

    def hear(
        self,
        timestamp: int,
        is_end: bool,
        duration: int,
        *,
        code: int = FIVE,
        ssrc: int = 1,
        first: bool = False,
    ) -> Said:
        flags = 0x8A if is_end else 0x0A
        buffer = bytearray(12) + bytes([code, flags]) + duration.to_bytes(2, "big")
        more = self.event.convert(buffer, 12, 16, (ssrc, timestamp, first), self.rates)
        assert bytes(buffer[12:14]) == bytes([code, flags])
        return timestamp + more & 0xFFFFFFFF, is_end, int.from_bytes(buffer[14:16], "big")


class NamedEventTests(SynchronousTestCase):
    """Events from one clock to another."""

    def heard(self, rates: tuple[int, int], *packets: Said) -> list[Said]:
        heard = Heard(rates)
        return [heard.hear(*each) for each in packets]

    def test_short(self) -> None:
        """Only the durations are others."""
        self.assertEqual(
            self.heard(UP, (7, False, 160), (7, True, 320)), [(7, False, 960), (7, True, 1920)]
        )
        self.assertEqual(self.heard(DOWN, (7, False, 960)), [(7, False, 160)])

    def test_long(self) -> None:
        """A segment is said to be the longest, then the next one begins where it ends."""
        self.assertEqual(
            self.heard(
                UP, (7, False, 10920), (7, False, 11080), (7, False, 11240), (7, True, 11240)
            ),
            [
                (7, False, 65520),
                (7, False, LONGEST),
                (7 + LONGEST, False, 67440 - LONGEST),
                (7 + LONGEST, True, 67440 - LONGEST),
            ],
        )

    def test_the_end_at_once(self) -> None:
        """It is said as what it is even where it begins a segment: it may be the only one."""
        self.assertEqual(
            self.heard(UP, (7, False, 160), (7, True, 24000)),
            [(7, False, 960), (7 + 2 * LONGEST, True, 144000 - 2 * LONGEST)],
        )

    def test_segments_put_together(self) -> None:
        """What the source had to cut is one event by the slower clock."""
        late = 7 + LONGEST + 705
        self.assertEqual(
            self.heard(DOWN, (7, False, 64800), (7, False, LONGEST), (late, True, 705)),
            [(7, False, 10800), (7, False, 10922), (7, True, 11040)],
        )

    def test_another(self) -> None:
        """The same key again, another key, another source: an event of its own."""
        again = 7 + LONGEST
        for is_end, code, ssrc, first in (
            (True, FIVE, 1, False),
            (False, 6, 1, False),
            (False, FIVE, 2, False),
            (False, FIVE, 1, True),
        ):
            heard = Heard(DOWN)
            heard.hear(7, is_end, LONGEST)
            found = heard.hear(again, False, 960, code=code, ssrc=ssrc, first=first)
            self.assertEqual(found, (again, False, 160))

    def test_order(self) -> None:
        """A packet of an earlier segment that comes late is of that one still."""
        durations = (11000, 11160, 160, 11320)
        self.assertEqual(
            self.heard(UP, *((7, False, duration) for duration in durations)),
            [
                (7, False, LONGEST),
                (7 + LONGEST, False, 66960 - LONGEST),
                (7, False, 960),
                (7 + LONGEST, False, 67920 - LONGEST),
            ],
        )

    @given(
        st.integers(1, 400_000),
        st.sampled_from([160, 400, 960, 2400]),
        st.integers(0, 0xFFFFFFFF),
        st.sampled_from([UP, DOWN, (8000, 16000), (48000, 16000)]),
    )
    def test_any_length(self, ticks: int, step: int, began: int, rates: tuple[int, int]) -> None:
        """It ends when it ended, and everything said of it before is true."""
        heard = Heard(rates)
        here, there = rates
        latest = 0
        for timestamp, is_end, duration in press(ticks, step, began):
            at, _, said = heard.hear(timestamp, is_end, duration)
            ahead = at - began & 0xFFFFFFFF
            self.assertEqual(ahead % LONGEST, 0)
            true = ((timestamp - began & 0xFFFFFFFF) + duration) * there // here
            self.assertTrue(ahead + said == true or (said == LONGEST and ahead + said < true))
            self.assertGreaterEqual(ahead + said, latest)
            latest = ahead + said
        self.assertEqual(latest, ticks * there // here)

    @given(st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=9), st.booleans())))
    def test_any_payload(self, packets: list[tuple[int, bytes, bool]]) -> None:
        """Whatever comes, nothing behind the payload changes."""
        event = NamedEvent()
        for segment, payload, is_first in packets:
            buffer = bytearray(payload) + bytearray(b"end")
            event.convert(buffer, 0, len(payload), (1, segment * LONGEST, is_first), UP)
            self.assertEqual(bytes(buffer[len(payload) :]), b"end")


class RescaleTests(SynchronousTestCase):
    """Durations of several events in one packet."""

    def test_rescale(self) -> None:
        """They are converted in place, and never beyond what there is room for."""
        for duration, rates, expected in (
            (960, DOWN, 160),
            (160, UP, 960),
            (60000, UP, LONGEST),
        ):
            buffer = bytearray(12) + (b"\x05\x8a" + duration.to_bytes(2, "big")) * 2
            rescale(buffer, 12, 20, rates)
            for at in (12, 16):
                self.assertEqual(buffer[at : at + 2], b"\x05\x8a")
                self.assertEqual(int.from_bytes(buffer[at + 2 : at + 4], "big"), expected)
