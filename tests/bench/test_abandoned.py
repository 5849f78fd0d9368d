"""Callers that vanish from the B2BUA in memory."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.abandoned import VANISHING, Kept, Way, answer, hang_up, stage

ROUND = 2 * len(VANISHING) + 1


class StageTests(SynchronousTestCase):
    """Each way of vanishing ends, and nothing is left."""

    def test_everything_ends(self) -> None:
        """After one round, two of each way, calls ended by their causes and tables are empty."""
        made = stage()
        made.call(range(1, ROUND + 1))
        self.assertTrue(made.left() > 0)
        self.assertEqual(Kept.of(made).entries, 0)
        self.assertEqual(sum(made.causes.values()), ROUND)
        expected = {"no-answer": 4, "no-ack": 2, "expired": 2, "remote": 3}
        self.assertEqual(dict(made.causes), expected)

    def test_what_is_left_counts(self) -> None:
        """A port that nobody gives back is an entry."""
        made = stage()
        made.settle()
        made.plane.open()
        self.assertEqual(made.left(), 1)

    def test_only_one_way_hangs_up(self) -> None:
        """All ways but one vanish."""
        self.assertEqual(len(VANISHING), len(Way) - 1)


class ServerTests(SynchronousTestCase):
    """What the SIP Server of the stage says."""

    INVITE = (
        "INVITE sip:1@127.0.0.12 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1\r\n"
        "From: <sip:a@x>;tag=1\r\nTo: <sip:1@x>\r\nCall-ID: c1\r\nCSeq: 5 INVITE\r\n"
        "Contact: <sip:127.0.0.1:5060>\r\n\r\n"
    )

    def test_tags(self) -> None:
        """100 has no tag; later answers and its BYE have the same one."""
        self.assertIn(b"To: <sip:1@x>\r\n", answer(self.INVITE, 100))
        self.assertIn(b"To: <sip:1@x>;tag=farc1\r\n", answer(self.INVITE, 200))
        self.assertIn(b"From: <sip:1@x>;tag=farc1\r\n", hang_up(self.INVITE))

    def test_bye(self) -> None:
        """BYE goes to the Contact of the INVITE, to whom it came from."""
        bye = hang_up(self.INVITE)
        self.assertTrue(bye.startswith(b"BYE sip:127.0.0.1:5060 SIP/2.0\r\n"))
        self.assertIn(b"\r\nTo: <sip:a@x>;tag=1\r\n", bye)
