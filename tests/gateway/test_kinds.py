"""Tests of the words that messages are counted by."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.gateway.kinds import OTHER, kind_of
from b2bua.gateway.roap import MessageType

FIXED = frozenset({*MessageType, OTHER, "BYE", "INVITE", "EVENT-TALK", "EVENT-HOLD"}) | {
    "INFO-MAP",
    "INFO-PEER",
    "GET-STATS",
    "PUT-STATS",
}


class KindTests(SynchronousTestCase):
    """Messages of both sides."""

    def test_kinds(self) -> None:
        """ROAP by its type, others by their first word."""
        for text, kind in (
            ('RSMP {"messageType":"OFFER","sdp":"v=0"}', "OFFER"),
            ('SDP {"sdp":"v=0","messageType" : "ANSWER"}', "ANSWER"),
            ('RSMP {"messageType":"HELLO"}', OTHER),
            ("BYE", "BYE"),
            ("INFO-MAP a=b", "INFO-MAP"),
            ("GET-STATS", "GET-STATS"),
            ("BYEBYE", OTHER),
            ("", OTHER),
        ):
            self.assertEqual(kind, kind_of(text), text)

    @given(st.text())
    def test_anything(self, text: str) -> None:
        """Whatever a page sends, the word is one of a few."""
        self.assertIn(kind_of(text), FIXED)
