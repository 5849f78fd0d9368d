"""Tests of how often an end asks its peer for pictures and lost packets."""

from __future__ import annotations

from b2bua.rtp.reports import missed_packets
from b2bua.rtp.rtcp import (
    FULL_INTRA,
    GENERIC_NACK,
    PICTURE_LOSS,
    PSFB,
    RTPFB,
    Feedback,
    ReceiverReport,
)
from tests.datapath.media import MediaTestCase

VIDEO = {0: 90000}


class FeedbackCase(MediaTestCase):
    """Near sends video, of which far wants more; ``terms`` hold for near's end."""

    def watch(self, **terms: object) -> None:
        self.one, self.other = self.plane.open(), self.plane.open()
        self.plane.set_terms(self.one, self.terms(self.near, clock_rates=VIDEO, **terms))
        self.plane.set_terms(self.other, self.terms(self.far))
        self.plane.join(self.one, self.other)
        self.near.sequence = 500
        self.send(self.near, self.one, self.near.packet())
        heard = self.received(self.far)
        self.seen_ssrc, self.first = heard.ssrc, heard.sequence

    def pli(self) -> Feedback:
        return Feedback(kind=PSFB, format=PICTURE_LOSS, sender=0xBBBB, media=self.seen_ssrc)

    def fir(self) -> Feedback:
        entry = self.seen_ssrc.to_bytes(4, "big") + b"\x07\0\0\0"
        return Feedback(kind=PSFB, format=FULL_INTRA, sender=0xBBBB, media=0, control=entry)

    def want(self, *feedback: Feedback) -> None:
        """Let far say what it wants."""
        self.send_control(self.far, self.other, ReceiverReport(ssrc=0xBBBB), *feedback)

    def asked(self) -> list[Feedback]:
        """What near was asked for since the last time."""
        reports = self.reports(self.near)
        return [item for report in reports for item in report if isinstance(item, Feedback)]

    def formats(self) -> list[int]:
        return [item.format for item in self.asked()]


class PictureTests(FeedbackCase):
    """Of whole pictures."""

    def test_one_request_of_many(self) -> None:
        """The first is passed on; all others within the spacing are one, when it is over."""
        self.watch(picture_spacing=5.0)
        self.want(self.pli())
        self.assertEqual(self.formats(), [PICTURE_LOSS])
        for _ in range(4):
            self.clock.advance(1.0)
            self.want(self.pli(), self.fir())
        self.assertEqual(self.asked(), [])
        self.clock.advance(0.75)
        self.assertEqual(self.asked(), [])
        self.clock.advance(0.25)
        (request,) = self.asked()
        self.assertEqual((request.format, request.media), (PICTURE_LOSS, 0xAAAA))
        self.clock.pump([1.0] * 10)
        self.assertEqual(self.asked(), [])

    def test_asked_for_by_another_way(self) -> None:
        """Who asks by SIP keeps the same spacing; a source that never sent has no picture."""
        self.watch(picture_spacing=1.0)
        self.plane.ask_for_picture(self.one)
        self.plane.ask_for_picture(self.one)
        self.plane.ask_for_picture(self.other)
        (request,) = self.asked()
        self.assertEqual((request.format, request.media), (PICTURE_LOSS, 0xAAAA))
        self.clock.advance(1.0)
        self.assertEqual(self.formats(), [PICTURE_LOSS])
        self.assertEqual(self.reports(self.far), [])

    def test_two_kinds_at_once(self) -> None:
        """PLI and FIR of one datagram are one request."""
        self.watch()
        self.want(self.fir(), self.pli())
        self.assertEqual(self.formats(), [FULL_INTRA])

    def test_none(self) -> None:
        """Without a spacing the source hears of none, whoever wants one."""
        self.watch(picture_spacing=None, picture_interval=1.0)
        for _ in range(8):
            self.want(self.pli(), self.fir())
            self.clock.advance(1.0)
            self.send(self.near, self.one, self.near.packet())
        self.assertEqual(self.asked(), [])

    def test_on_demand_between_regular_ones(self) -> None:
        """The spacing holds among them all, and a regular one is somebody's too."""
        self.watch(picture_spacing=1.0, picture_interval=1.0)
        moments = []
        for quarter in range(1, 33):
            self.send(self.near, self.one, self.near.packet())
            self.clock.advance(0.25)
            moments += [quarter / 4] * len(self.formats())
            if quarter in (2, 15, 21, 22):
                self.want(self.pli())
                moments += [quarter / 4] * len(self.formats())
        self.assertEqual(moments, [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5])

    def test_a_source_that_is_silent(self) -> None:
        """It is not asked again and again, but when somebody wants a picture."""
        self.watch(picture_spacing=1.0, picture_interval=1.0)
        self.clock.pump([1.0] * 4)
        self.assertEqual(self.formats(), [PICTURE_LOSS])
        self.want(self.pli())
        self.assertEqual(self.formats(), [PICTURE_LOSS])
        self.want(self.pli())
        self.clock.pump([1.0] * 4)
        self.assertEqual(self.formats(), [PICTURE_LOSS])

    def test_changed_meanwhile(self) -> None:
        """What holds when the time comes decides whether the source is asked."""
        self.watch(picture_spacing=5.0)
        for spacing, expected in ((10.0, [PICTURE_LOSS]), (None, [])):
            self.clock.advance(10.0)
            self.want(self.pli())
            self.want(self.pli())
            self.assertEqual(self.formats(), [PICTURE_LOSS])
            self.plane.set_terms(self.one, self.terms(self.near, picture_spacing=spacing))
            self.clock.advance(5.0)
            self.assertEqual(self.asked(), [])
            self.clock.advance(5.0)
            self.assertEqual(self.formats(), expected)
            self.plane.set_terms(self.one, self.terms(self.near, picture_spacing=5.0))

    def test_nobody_is_left(self) -> None:
        """Who wanted a picture has gone, or the source itself: nothing is asked for."""
        for closes_source in (False, True):
            self.watch()
            self.want(self.pli())
            self.want(self.pli())
            self.assertEqual(self.formats(), [PICTURE_LOSS])
            self.assertEqual(len(self.plane._pictures), 1)
            self.plane.close(self.one if closes_source else self.other)
            self.assertEqual(len(self.plane._pictures), 0 if closes_source else 1)
            self.clock.advance(1.0)
            self.assertEqual(self.asked(), [])
            self.plane.close(self.other if closes_source else self.one)


class NackTests(FeedbackCase):
    """Of lost packets."""

    def nack(self, *behind: int) -> Feedback:
        """Of packets by how far they are from the first one that far heard."""
        control = b"".join(
            (self.first + step & 0xFFFF).to_bytes(2, "big") + b"\0\0" for step in behind
        )
        return Feedback(
            kind=RTPFB, format=GENERIC_NACK, sender=0xBBBB, media=self.seen_ssrc, control=control
        )

    def numbers(self) -> list[int]:
        """Which packets near was asked for."""
        found = [missed_packets(item, 0xAAAA) for item in self.asked()]
        return [number for numbers in found for number in numbers or ()]

    def lose(self, count: int = 1) -> None:
        """Let near's next packets get lost, and one more come."""
        self.near.sequence += count
        self.send(self.near, self.one, self.near.packet())

    def test_passed_on(self) -> None:
        """Where nothing else is asked for, at once."""
        self.watch()
        self.lose()
        self.want(self.nack(1))
        self.assertEqual(self.numbers(), [502])

    def test_none(self) -> None:
        """A peer that takes no NACK is sent none, ours or another's, but pictures it gives."""
        self.watch(takes_nacks=False, nack_interval=1.0)
        self.lose()
        self.want(self.nack(1), self.pli())
        self.assertEqual(self.formats(), [PICTURE_LOSS])

    def test_with_our_own(self) -> None:
        """Others' requests go with ours, whose interval they keep."""
        self.watch(nack_interval=1.0)
        self.lose()
        self.assertEqual(self.numbers(), [502])
        self.clock.advance(0.5)
        self.want(self.nack(1))
        self.lose()
        self.assertEqual(self.numbers(), [])
        self.clock.advance(0.5)
        self.send(self.near, self.one, self.near.packet())
        self.assertEqual(self.numbers(), [502, 504])
