"""Tests of when the ends of a leg are told what to do."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.leg_media import LegMedia
from b2bua.media_plane import StreamTerms
from b2bua.sdp.codecs import parse_codec_list
from b2bua.sdp.negotiation import CodecRules
from tests.b2bua.network import OURS, FakePlane, sdp

_RULES = CodecRules(codecs=parse_codec_list("(pcmu,pcma,telephone-event=101)"))


class _CountingPlane(FakePlane):
    """Counts how often it is told terms."""

    told = 0

    def set_terms(self, end: int, terms: StreamTerms) -> None:
        self.told += 1
        super().set_terms(end, terms)


class AppliedTermsTests(SynchronousTestCase):
    """Terms are told when something has changed."""

    def setUp(self) -> None:
        self.plane = _CountingPlane()
        self.caller = LegMedia(self.plane, _RULES, OURS, 1, is_heard_first=True)
        self.callee = LegMedia(self.plane, _RULES, OURS, 2)

    def call(self, port: int, codecs: str = "0 8") -> None:
        """Let two peers agree."""
        self.caller.take_offer(sdp(port=port, codecs=codecs))
        self.callee.offer(self.caller.offered)
        self.callee.take_answer(sdp(port=port + 2, codecs=codecs))
        self.caller.answer(self.callee.agreed)

    def bridge(self) -> int:
        """Apply both ways; tell how often an end was told something."""
        before = self.plane.told
        self.caller.apply(self.callee)
        self.callee.apply(self.caller)
        return self.plane.told - before

    def test_nothing_new(self) -> None:
        """What was told once is not told again."""
        self.call(4000)
        self.assertEqual(self.bridge(), 2)
        self.assertEqual(self.bridge(), 0)

    def test_confirmation(self) -> None:
        """The end that is to be heard first begins when its peer has shown itself."""
        self.call(4000)
        self.bridge()
        self.assertIsNone(self.plane.terms[self.caller.ends["audio"]].silence)
        self.caller.is_confirmed = True
        self.assertEqual(self.bridge(), 1)
        self.assertEqual(self.plane.terms[self.caller.ends["audio"]].silence, 0)

    def test_another_description(self) -> None:
        """A description that came anew is told, to the leg across as well."""
        self.call(4000)
        self.bridge()
        self.caller.take_offer(sdp(port=4100, version=2))
        self.caller.answer(self.callee.agreed)
        self.assertEqual(self.bridge(), 2)
        self.assertEqual(self.plane.terms[self.caller.ends["audio"]].remote, ("203.0.113.5", 4100))

    def test_calls_that_are_alike(self) -> None:
        """A second call with the same codecs has addresses of its own."""
        for port, codecs in ((4000, "0 8"), (5000, "0 8"), (6000, "8")):
            self.setUp()
            self.call(port, codecs)
            self.bridge()
            terms = self.plane.terms[self.callee.ends["audio"]]
            self.assertEqual(terms.remote, ("203.0.113.5", port + 2))
            self.assertEqual(terms.remote_rtcp, ("203.0.113.5", port + 3))
            self.assertEqual(
                terms.payload_types, {int(number): int(number) for number in codecs.split()}
            )
