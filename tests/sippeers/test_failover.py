"""A SIP Server that fails: what `make failover` shows, as far as a minute goes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.sippeers import failover, pair_outages


class FailoverTests(SynchronousTestCase):
    """Some rows of docs/failover.md, all at the same time."""

    def test_rows(self) -> None:
        """Each outage has the outcome that it must have, in the time that it may take."""
        pair = [case for case in pair_outages.CASES if case.name in self.PAIR]
        self.assertEqual(len(pair), len(self.PAIR))
        first, second = failover.run(failover.QUICK, pair)
        wrong = [row for row in [*first, *second] if not row.result.is_expected]
        told = "\n\n".join(f"{' | '.join(row.cells())}\n{row.result.told}" for row in wrong)
        self.assertEqual(wrong, [], told)

    PAIR = frozenset({"killed, mid-call, BYE", "both killed, one back", "DNS gone, then frozen"})
