"""Tests of who holds."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.sdp.description import parse
from b2bua.sdp.direction import Direction
from b2bua.sdp.hold import Hold, effective_direction
from tests.sdp import samples
from tests.sdp.samples import audio

FREE, OURS, THEIRS, BOTH = Hold(), Hold(by_us=True), Hold(by_them=True), Hold(True, True)


class OfferTests(SynchronousTestCase):
    """What is offered while somebody holds."""

    def test_offers(self) -> None:
        """sendonly while we hold, recvonly while they do, inactive while both do."""
        self.assertEqual(
            [hold.offered() for hold in (FREE, OURS, THEIRS, BOTH)],
            ["sendrecv", "sendonly", "recvonly", "inactive"],
        )

    def test_offers_that_were_asked_for(self) -> None:
        """Their hold is not offered back when they ask: asking may be how they end it."""
        self.assertEqual(
            [hold.solicited() for hold in (FREE, OURS, THEIRS, BOTH)],
            ["sendrecv", "sendonly", "sendrecv", "sendonly"],
        )

    def test_medium_that_goes_one_way(self) -> None:
        """Hold takes away from what a medium is for and never adds."""
        self.assertEqual(OURS.offered(Direction.RECVONLY), Direction.INACTIVE)
        self.assertEqual(THEIRS.offered(Direction.RECVONLY), Direction.RECVONLY)
        self.assertEqual(FREE.solicited(Direction.SENDONLY), Direction.SENDONLY)


class AnswerTests(SynchronousTestCase):
    """What is answered to which direction."""

    def test_mirror(self) -> None:
        """sendonly gets recvonly, inactive gets inactive; while we hold we take nothing."""
        for offered, free, holding in (
            ("sendrecv", "sendrecv", "sendonly"),
            ("sendonly", "recvonly", "inactive"),
            ("recvonly", "sendonly", "sendonly"),
            ("inactive", "inactive", "inactive"),
        ):
            self.assertEqual(FREE.answered(Direction(offered)), free)
            self.assertEqual(THEIRS.answered(Direction(offered)), free)
            self.assertEqual(OURS.answered(Direction(offered)), holding)
            self.assertEqual(BOTH.answered(Direction(offered)), holding)


class FactTests(SynchronousTestCase):
    """What offers and answers tell of their hold."""

    def test_their_offer(self) -> None:
        """They hold when no medium of theirs takes anything; our fact is not theirs to change."""
        for attribute, by_them in (
            ("sendrecv", False),
            ("sendonly", True),
            ("recvonly", False),
            ("inactive", True),
        ):
            for hold in (FREE, OURS, THEIRS, BOTH):
                self.assertEqual(
                    hold.after_offer(audio(attribute)), Hold(hold.by_us, by_them), attribute
                )

    def test_old_form(self) -> None:
        """0.0.0.0 and :: hold whatever the direction says, and are answered with the mirror."""
        for host in ("0.0.0.0", "::"):
            offer = audio(host=host)
            self.assertTrue(FREE.after_offer(offer).by_them)
            way = effective_direction(offer, offer.media[0])
            self.assertEqual((FREE.answered(way), OURS.answered(way)), ("recvonly", "inactive"))
            offer = audio("inactive", host=host)
            self.assertEqual(effective_direction(offer, offer.media[0]), Direction.INACTIVE)
        offer = parse(samples.GENESYS_HOLD)
        self.assertTrue(FREE.after_offer(offer).by_them)

    def test_browser_address_is_no_hold(self) -> None:
        """A browser writes 0.0.0.0 while its candidates are on their way."""
        offer = parse(samples.CHROMIUM)
        self.assertFalse(FREE.after_offer(offer).by_them)
        self.assertEqual(effective_direction(offer, offer.media[0]), Direction.SENDRECV)

    def test_one_live_medium_is_enough(self) -> None:
        """Sound that goes on is no hold, though the picture stands still; a dead slot is none."""
        text = str(audio()) + samples.sdp("m=video 7000 RTP/AVP 31", "a=inactive")
        self.assertFalse(THEIRS.after_offer(parse(text)).by_them)
        text = str(audio("sendonly")) + samples.sdp("m=video 0 RTP/AVP 31", "a=sendrecv")
        self.assertTrue(FREE.after_offer(parse(text)).by_them)
        self.assertEqual(THEIRS.after_offer(audio(port=0)), THEIRS)

    def test_their_answer(self) -> None:
        """An answer tells of their hold where we offered to send, else nothing."""
        for ours, theirs, before, after in (
            ("sendrecv", "sendrecv", BOTH, OURS),
            ("sendrecv", "sendonly", FREE, THEIRS),
            ("sendrecv", "inactive", FREE, THEIRS),
            ("sendonly", "recvonly", BOTH, OURS),
            ("sendonly", "inactive", OURS, BOTH),
            ("recvonly", "sendonly", THEIRS, THEIRS),
            ("recvonly", "inactive", FREE, FREE),
            ("inactive", "inactive", OURS, OURS),
        ):
            self.assertEqual(before.after_answer(audio(ours), audio(theirs)), after, (ours, theirs))

    def test_rejected_answer(self) -> None:
        """A medium they reject tells nothing."""
        self.assertEqual(THEIRS.after_answer(audio(), audio(port=0)), THEIRS)
