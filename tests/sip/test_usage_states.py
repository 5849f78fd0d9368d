"""Tests of b2bua.sip.usage_states and of what the tables of both sides promise."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.invite_client import InviteClientUsage
from b2bua.sip.invite_server import InviteServerUsage
from b2bua.sip.invite_usage import InviteUsage
from b2bua.sip.usage_states import Rows, UsageInput, UsageState, complete


class TableTests(SynchronousTestCase):
    """The tables of usages."""

    def test_gap(self) -> None:
        """A pair that is neither in the table nor ignored is refused, as is one that is in both."""
        rows: Rows = {
            UsageState.ENDING: {UsageInput.BYE: (InviteUsage.nothing, UsageState.ENDING)},
            UsageState.ENDED: {},
        }
        self.assertRaises(ValueError, complete, rows, {})
        twice = {state: {UsageInput.BYE: "it is over"} for state in rows}
        self.assertRaises(ValueError, complete, rows, twice)
        self.assertIs(complete(rows, {UsageState.ENDED: {UsageInput.BYE: "it is over"}}), rows)

    def test_ways_out(self) -> None:
        """From every state but the last there is a way to the last."""
        for usage in (InviteClientUsage, InviteServerUsage):
            ended = {UsageState.ENDED}
            for _ in UsageState:
                ended |= {
                    state
                    for state, row in usage.rows.items()
                    if any(to in ended for _, to in row.values())
                }
            self.assertEqual(ended, set(usage.rows))

    def test_no_bye_before_ack(self) -> None:
        """The side that was called sends no BYE before it has the ACK, or gave up on it."""
        for state in (UsageState.RINGING, UsageState.WITHHELD, UsageState.ANSWERED):
            row = InviteServerUsage.rows[state]
            early = [given for given, (_, to) in row.items() if to is UsageState.ENDING]
            allowed = [UsageInput.NO_ACK] if state is UsageState.ANSWERED else []
            self.assertEqual(early, allowed)
