"""Tests of b2bua.rtp.pictures."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.rtp.pictures import PictureRequests

QUARTERS = st.lists(st.integers(0, 8), min_size=1, max_size=30)
"""Quarters of a second between moments at which somebody wants a picture."""


class PictureRequestsTests(SynchronousTestCase):
    """Requests to one peer."""

    def test_none(self) -> None:
        """Without a spacing nothing is asked for, and nothing waits."""
        requests = PictureRequests()
        self.assertFalse(requests.ask(1.0))
        self.assertIsNone(requests.due(1.0))

    def test_switched_off_meanwhile(self) -> None:
        """What waited is forgotten."""
        requests = PictureRequests()
        requests.space(5.0)
        self.assertEqual([requests.ask(1.0), requests.ask(2.0)], [True, False])
        self.assertEqual(requests.due(2.0), 6.0)
        requests.space(None)
        requests.space(5.0)
        self.assertIsNone(requests.due(2.0))

    @given(QUARTERS)
    def test_all_are_served(self, pauses: list[int]) -> None:
        """Each gets a request at its moment or up to a spacing later; no two are closer."""
        requests, sent, now = PictureRequests(), [], 0.0
        requests.space(1.0)
        wanted = [sum(pauses[: count + 1]) / 4 for count in range(len(pauses))]
        while now <= wanted[-1] + 1.0:
            if requests.due(now) == now and requests.ask(now):
                sent.append(now)
            for _ in range(wanted.count(now)):
                if requests.ask(now):
                    sent.append(now)
            now += 0.25
        for moment in wanted:
            self.assertTrue(any(0.0 <= at - moment <= 1.0 for at in sent), moment)
        self.assertTrue(all(after - before >= 1.0 for before, after in pairwise(sent)))
