"""
SIPp as a SIP Server that calls DNs of ours and works them: talk, hold, re-INVITEs, races.

What each scenario proves stands in its file; here is what SIPp itself cannot check.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import ClassVar

from tests.sippeers.sipp import Run
from tests.sippeers.stage import Conversation, StageTestCase, together


class TalkTests(StageTestCase):
    """DNs that answer when the SIP Server says talk."""

    echo_answer: ClassVar[str] = "on-talk"

    def test_offerless(self) -> None:
        """NOTIFY talk in the early dialog answers an INVITE without an offer."""
        said = self.plays("01-offerless-talk")
        answers = [m.name for m in said.received() if m.name.startswith("200")]
        self.assertEqual(answers, ["200 NOTIFY", "200 INVITE", "200 BYE"])

    def test_same_tag(self) -> None:
        """Everything from 180 on has one To tag."""
        said = self.plays("01-offerless-talk")
        tags = {
            m.header("To").partition(";tag=")[2]
            for m in said.received("180 INVITE", "200 INVITE", "200 NOTIFY")
        }
        self.assertEqual(len(tags), 1)

    def test_over_tcp(self) -> None:
        """The same over TCP."""
        self.plays("01-offerless-talk", transport="TCP")

    def test_before_prack(self) -> None:
        """NOTIFY talk may come before the PRACK of the 180."""
        self.plays("02-talk-before-prack")

    def test_twice(self) -> None:
        """Copies of NOTIFY talk have one effect; another one has none."""
        said = self.plays("03-talk-twice")
        self.assertEqual(len(said.received("INVITE")), 0)
        first, copy, _ = said.received("200 NOTIFY")
        self.assertEqual(first.data, copy.data)

    def test_cancel(self) -> None:
        """CANCEL while it rings."""
        self.plays("14-cancel-ringing")

    def test_bye_while_ringing(self) -> None:
        """BYE in the early dialog."""
        self.plays("14-bye-while-ringing")


class WorkedCallTests(StageTestCase):
    """DNs that answer at once, and what becomes of their calls."""

    def test_stock_caller(self) -> None:
        """The caller that SIPp brings along, ten times in a second."""
        self.plays("uac", calls=10, rate=10)

    def test_hold_cycle(self) -> None:
        """Ten offers of ours in a row: one session id, versions that rise by one."""
        said = self.plays("04-hold-cycle")
        self.assert_rising(said, step_each_time=True)
        self.assertEqual(
            [m.direction for m in said.received("INVITE")], ["sendonly", "sendrecv"] * 5
        )

    def test_hold_during_reinvite(self) -> None:
        """NOTIFY hold waits for the server's own re-INVITE."""
        self.plays("05-hold-while-reinvite")

    def test_zero_address(self) -> None:
        """c=0.0.0.0 holds; the offerless retrieve has a full offer."""
        self.plays("06-zero-address-hold")

    def test_directions(self) -> None:
        """Every direction, of the media and of the session."""
        self.plays("07-directions")

    def test_borrowed_dialog(self) -> None:
        """Six re-INVITEs with three media servers."""
        self.assert_rising(self.plays("10-borrowed-dialog"))

    def test_rollback(self) -> None:
        """A refused offer changes nothing, not even the version of what comes next."""
        said = self.plays("11-conference-rollback")
        self.assert_rising(said)

    def test_refusals(self) -> None:
        """REFER, MESSAGE, SUBSCRIBE and strange NOTIFY are refused, the call goes on."""
        self.plays("12-refusals")

    def test_replaces(self) -> None:
        """Replaces of nothing is 481."""
        self.plays("12-replaces")

    def test_unknown_dialog(self) -> None:
        """NOTIFY talk outside of any dialog is 481."""
        self.plays("12-unknown-dialog")

    def test_attached_data(self) -> None:
        """Header fields and forms are taken; what would end a line is refused."""
        self.plays("13-attached-data")

    def test_bye_answers_reinvite(self) -> None:
        """BYE in answer to our re-INVITE."""
        self.plays("14-bye-answers-reinvite")

    def test_bye_with_reinvite(self) -> None:
        """BYE right behind a re-INVITE."""
        said = self.plays("14-bye-with-reinvite")
        finals = {m.name[4:] for m in said.received() if m.name[:1] > "1"}
        self.assertEqual(finals, {"INVITE", "BYE"})

    def test_cancel_answered(self) -> None:
        """CANCEL that crosses our 200."""
        self.plays("14-cancel-answered")

    def test_glare(self) -> None:
        """491 both ways; ours is tried again within two seconds."""
        first, second = self.plays("14-glare").received("INVITE")
        self.assertLess(second.at - first.at, 2.1)

    def test_session_timer(self) -> None:
        """Refreshes change nothing: the description and its version stay."""
        said = self.plays("15-session-timer")
        self.assertEqual(len({m.body for m in said.received("200 INVITE")}), 1)

    def test_interval_too_small(self) -> None:
        """422, then what it asked for."""
        self.plays("15-interval-too-small")

    def test_options(self) -> None:
        """OPTIONS out of any dialog."""
        self.plays("17-options")

    def test_over_tcp(self) -> None:
        """Re-INVITEs of both sides over TCP."""
        self.plays("04-hold-cycle", transport="TCP")

    def test_many_at_once(self) -> None:
        """Fifty calls, held and retrieved, that all go on at the same time."""
        self.plays("04-hold-cycle", calls=50, rate=50)

    def assert_rising(self, said: Conversation, *, step_each_time: bool = False) -> None:
        """One session id in all that we sent, and a version that rises where the rest changes."""
        seen = said.offers_and_answers()
        origins = [m.origin for m in seen if m.origin]
        self.assertEqual(len({session for session, _ in origins}), 1, said.told())
        for (one, other), (before, after) in zip(
            pairwise(seen), pairwise([version for _, version in origins]), strict=True
        ):
            same = _without_origin(one.body) == _without_origin(other.body)
            expected = before if same and not step_each_time else before + 1
            self.assertEqual(after, expected, f"{one.body}\n{other.body}")


def _without_origin(body: str) -> str:
    return "\n".join(line for line in body.splitlines() if not line.startswith("o="))


class PatienceTests(StageTestCase):
    """What takes the times of the RFCs, all at the same time."""

    def test_waiting(self) -> None:
        """
        An ACK after 30 s with the answer, no ACK at all, and a session that we have to refresh.

        Without its ACK a 200 is sent again after 0.5, 1, 2 and then every 4 s.
        """
        runs = [
            Run(
                scenario=scenario,
                at=self.server_port(),
                to=self.suite.at,
                timeout=70,
                patience=60,
                options=("-d", "30000"),
            )
            for scenario in ("08-late-ack", "09-no-ack", "15-refresher-is-the-dn")
        ]
        late, never, refreshed = map(self.hear, together(runs))
        for said in (late, never):
            copies = [m.at for m in said.received("200 INVITE")]
            due = accumulate((0.5, 1.0, 2.0, 4.0, 4.0, 4.0), initial=0.0)
            # A copy that a busy machine reads late makes none of the later ones late.
            late = [at - copies[0] - then for at, then in zip(copies, due, strict=False)]
            self.assertEqual(7, len(late))
            self.assertTrue(all(-0.1 < each < 0.45 for each in late), late)
        answer, bye = never.received("200 INVITE")[0], never.received("BYE")[0]
        self.assertApproximates(bye.at - answer.at, 32.0, 1.0)
        refresh = refreshed.received("UPDATE", "INVITE")[0]
        self.assertApproximates(refresh.at - refreshed.sent("ACK")[0].at, 45.0, 5.0)
