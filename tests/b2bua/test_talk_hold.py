"""Tests of b2bua.talk_hold."""

from __future__ import annotations

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from b2bua.sdp.direction import Direction
from b2bua.sdp.hold import Hold
from b2bua.sip.headers import parse_word
from b2bua.sip.usage_states import SessionState, UsageState
from b2bua.talk_hold import (
    BAD_EVENT,
    TABLE,
    Decision,
    Intent,
    LegState,
    TalkHold,
    due,
    hold_wanted,
    kept_event,
    leg_state,
    receive_notify,
)

BOTH = ("talk", "hold")

# Status and intent for talk, then for hold.
EXPECTED = {
    "GONE": (481, "NONE", 481, "NONE"),
    "RINGING": (200, "ANSWER", 200, "NONE"),
    "ANSWERING": (200, "QUEUE", 200, "QUEUE"),
    "CALLING": (200, "NONE", 200, "NONE"),
    "ANSWERED": (200, "QUEUE", 200, "QUEUE"),
    "ACTIVE": (200, "NONE", 200, "HOLD"),
    "HELD_BY_US": (200, "RETRIEVE", 200, "NONE"),
    "HELD_BY_THEM": (200, "NONE", 200, "HOLD"),
    "HELD_BY_BOTH": (200, "RETRIEVE", 200, "NONE"),
    "PENDING": (200, "QUEUE", 200, "QUEUE"),
    "LOST": (480, "NONE", 480, "NONE"),
}


def decide(
    state: LegState, event: str, advertised: tuple[str, ...] = BOTH, from_server: bool = True
) -> Decision:
    """Decide on a NOTIFY from the server."""
    return receive_notify(state, parse_word(event), advertised=advertised, from_server=from_server)


class TalkHoldTableTests(SynchronousTestCase):
    """Which answer each NOTIFY gets, and what follows."""

    def test_each_pair(self) -> None:
        """Every state has its answer and its intent for both events."""
        self.assertEqual(set(EXPECTED), set(LegState.__members__))
        for name, (talk, talk_intent, hold, hold_intent) in EXPECTED.items():
            state = LegState[name]
            self.assertEqual(decide(state, "talk"), Decision(talk, Intent[talk_intent]), name)
            self.assertEqual(decide(state, "hold"), Decision(hold, Intent[hold_intent]), name)

    def test_complete(self) -> None:
        """No pair of a state and an event is left open."""
        pairs = [(state, event) for state, row in TABLE.items() for event in row]
        self.assertEqual(sorted(pairs), sorted(product(LegState, TalkHold)))

    def test_case_and_parameters(self) -> None:
        """Case does not matter, and neither does a parameter that should not be there."""
        self.assertEqual(decide(LegState.RINGING, "Talk").intent, Intent.ANSWER)
        self.assertEqual(decide(LegState.ACTIVE, "hold;id=7").intent, Intent.HOLD)
        self.assertEqual(decide(LegState.ACTIVE, "hold", ("Talk", "Hold")).intent, Intent.HOLD)

    def test_bad_event(self) -> None:
        """Other packages, none, and those not advertised get 489 wherever there is a dialog."""
        for state in set(LegState) - {LegState.GONE}:
            self.assertEqual(decide(state, "conference", (*BOTH, "conference")), BAD_EVENT)
            self.assertEqual(decide(state, "talk", ()), BAD_EVENT)
            self.assertEqual(decide(state, "hold", ("talk",)), BAD_EVENT)
            self.assertEqual(
                receive_notify(state, None, advertised=BOTH, from_server=True), BAD_EVENT
            )
        self.assertEqual(BAD_EVENT, Decision(489, Intent.NONE))

    def test_strangers(self) -> None:
        """Nobody but a configured server opens a microphone."""
        for state, event in product(LegState, BOTH):
            decision = decide(state, event, from_server=False)
            self.assertEqual(decision.intent, Intent.NONE)
            self.assertEqual(decision.status, 481 if state is LegState.GONE else 489)

    def test_unknown_dialog_first(self) -> None:
        """Where there is no dialog, the answer is 481 whatever the event."""
        self.assertEqual(decide(LegState.GONE, "presence", ()).status, 481)


class KeptEventTests(SynchronousTestCase):
    """Events that come while the leg cannot act on them."""

    def test_hold_before_ack(self) -> None:
        """A hold between 2xx and ACK is done after the ACK, and waits while anything is open."""
        self.assertEqual(decide(LegState.ANSWERED, "hold").intent, Intent.QUEUE)
        kept = kept_event(parse_word("hold"))
        self.assertEqual(due(LegState.PENDING, kept), Intent.QUEUE)
        self.assertEqual(due(LegState.ACTIVE, kept), Intent.HOLD)

    def test_last_one_counts(self) -> None:
        """A talk after a hold, both before the ACK, leaves the call as it is."""
        kept = [kept_event(parse_word(event)) for event in ("hold", "Talk")]
        self.assertEqual(kept, [TalkHold.HOLD, TalkHold.TALK])
        self.assertEqual(due(LegState.ACTIVE, kept[-1]), Intent.NONE)
        self.assertEqual(due(LegState.HELD_BY_THEM, kept[-1]), Intent.NONE)

    def test_nothing_left(self) -> None:
        """When the call or the browser has gone meanwhile, there is nothing to do."""
        for state, event in product((LegState.GONE, LegState.LOST), TalkHold):
            self.assertEqual(due(state, event), Intent.NONE)


class HoldWantedTests(SynchronousTestCase):
    """What is offered for an intent."""

    def test_directions(self) -> None:
        """Each side's hold is a fact of its own: no intent changes theirs."""
        for by_us, by_them, event, offered in (
            (False, False, "hold", Direction.SENDONLY),
            (False, True, "hold", Direction.INACTIVE),
            (True, False, "talk", Direction.SENDRECV),
            (True, True, "talk", Direction.RECVONLY),
        ):
            hold = Hold(by_us, by_them)
            state = leg_state(UsageState.ESTABLISHED, SessionState.IDLE, hold)
            wanted = hold_wanted(hold, decide(state, event).intent)
            self.assertEqual(wanted.offered(), offered)
            self.assertEqual(wanted.by_them, by_them)

    def test_no_change(self) -> None:
        """Intents that are no hold leave the facts alone."""
        for intent in (Intent.NONE, Intent.ANSWER, Intent.QUEUE):
            self.assertEqual(hold_wanted(Hold(True, True), intent), Hold(True, True))

    def test_idempotent(self) -> None:
        """The same event again, once done, has no effect."""
        for hold, event in product(
            (Hold(), Hold(by_them=True), Hold(True), Hold(True, True)), BOTH
        ):
            state = leg_state(UsageState.ESTABLISHED, SessionState.IDLE, hold)
            after = hold_wanted(hold, decide(state, event).intent)
            state = leg_state(UsageState.ESTABLISHED, SessionState.IDLE, after)
            self.assertEqual(decide(state, event), Decision(200))


class LegStateTests(SynchronousTestCase):
    """The state of a leg from that of its usage."""

    def test_usage_states(self) -> None:
        """Every state of a usage is one of a leg."""
        expected = {
            "CALLING": "CALLING",
            "CANCELLING": "GONE",
            "RINGING": "RINGING",
            "WITHHELD": "ANSWERING",
            "ANSWERED": "ANSWERED",
            "LEAVING": "GONE",
            "ESTABLISHED": "ACTIVE",
            "ENDING": "GONE",
            "ENDED": "GONE",
        }
        self.assertEqual(set(expected), set(UsageState.__members__))
        for usage, leg in expected.items():
            found = leg_state(UsageState[usage], SessionState.IDLE, Hold())
            self.assertEqual(found.name, leg)

    def test_pending(self) -> None:
        """While a change of the session is open, a leg that stands is pending, held or not."""
        for session in set(SessionState) - {SessionState.IDLE, SessionState.OVER}:
            for hold in (Hold(), Hold(True), Hold(by_them=True)):
                found = leg_state(UsageState.ESTABLISHED, session, hold)
                self.assertIs(found, LegState.PENDING)
        found = leg_state(UsageState.RINGING, SessionState.SENT, Hold())
        self.assertIs(found, LegState.RINGING)

    def test_session_over(self) -> None:
        """A dialog that has ended is gone, though another of the same INVITE may live."""
        for usage in UsageState:
            found = leg_state(usage, SessionState.OVER, Hold(), browser_lost=True)
            self.assertIs(found, LegState.GONE)

    def test_browser_lost(self) -> None:
        """Without a browser nothing is done on a leg; a leg that is gone stays gone."""
        for usage in UsageState:
            before = leg_state(usage, SessionState.IDLE, Hold())
            after = leg_state(usage, SessionState.IDLE, Hold(), browser_lost=True)
            expected = LegState.GONE if before is LegState.GONE else LegState.LOST
            self.assertIs(after, expected)

    def test_picked_up(self) -> None:
        """A second talk while the browser answers does not make it answer again."""
        state = leg_state(UsageState.RINGING, SessionState.IDLE, Hold(), picked_up=True)
        self.assertIs(state, LegState.ANSWERING)
        self.assertNotEqual(decide(state, "talk").intent, Intent.ANSWER)
