"""Tests of suite.datapath.media_silence."""

from __future__ import annotations

from itertools import pairwise

from tests.datapath.media import (
    MediaTestCase,
)


class SilenceTests(MediaTestCase):
    """Being heard before anybody talks."""

    def quiet(self, seconds: float) -> None:
        # A little more than the time, which is made of fractions that do not add up.
        self.clock.pump([0.001, *[0.02] * round(seconds / 0.02)])

    def test_at_once_and_on(self) -> None:
        """The first packet goes out with the terms, then one every 20 ms, as one stream."""
        one, other = self.bridge()
        self.plane.set_terms(one, self.terms(self.near, silence=8))
        self.assertEqual(len(self.packets(self.near)), 1)
        self.quiet(0.08)
        heard = self.packets(self.near)
        self.assertEqual([p.payload for p in heard], [b"\xd5" * 160] * 4)
        self.assertEqual({p.payload_type for p in heard}, {8})
        self.send(self.far, other, self.far.packet(b"hello"))
        self.quiet(0.3)
        (media,) = self.packets(self.near)
        self.assertEqual(media.payload, b"hello")
        stream = [*heard, media]
        for before, after in pairwise(stream):
            self.assertEqual((after.sequence - before.sequence) & 0xFFFF, 1)
            self.assertEqual((after.timestamp - before.timestamp) & 0xFFFFFFFF, 160)
            self.assertEqual(after.ssrc, before.ssrc)
        self.assertFalse(self.plane._silence.is_running)

    def test_seldom_after_a_while(self) -> None:
        """Five packets are enough for who waits for us; then five a second keep the way open."""
        one, _ = self.bridge()
        self.plane.set_terms(one, self.terms(self.near, silence=0))
        self.quiet(1.2)
        heard = self.packets(self.near)
        self.assertEqual(len(heard), 5 + 5)
        steps = [
            (after.timestamp - before.timestamp) & 0xFFFFFFFF for before, after in pairwise(heard)
        ]
        self.assertEqual(steps, [160] * 4 + [1600] * 5)

    def test_many_in_one_turn(self) -> None:
        """Ends that began at different moments are served together, each at its own pace."""
        fired: list[float] = []
        tick = self.plane._silence._tick

        def counted() -> None:
            fired.append(self.clock.seconds())
            tick()

        self.patch(self.plane._silence, "_tick", counted)
        for _ in range(10):
            self.plane.set_terms(self.plane.open(), self.terms(self.near, silence=0))
            self.clock.advance(0.0019)
        self.clock.pump([0.001] * 170)
        self.assertLessEqual(len(fired), 20)
        self.assertEqual(len(self.packets(self.near)), 10 * 5)

    def test_comfort_noise(self) -> None:
        """Five small packets a second say that it is quiet."""
        one, _ = self.bridge()
        self.plane.set_terms(one, self.terms(self.near, silence=13))
        self.quiet(1.0)
        heard = self.packets(self.near)
        self.assertEqual([p.payload for p in heard], [b"\x7f"] * 6)
        self.assertEqual(
            (heard[5].timestamp - heard[0].timestamp) & 0xFFFFFFFF, 1600 * 4 + 160 * 10
        )

    def test_media_that_flow_are_not_interrupted(self) -> None:
        """New terms with silence while packets come leave the stream alone."""
        one, other = self.bridge()
        self.send(self.far, other, self.far.packet())
        self.plane.set_terms(one, self.terms(self.near, silence=0))
        self.send(self.far, other, self.far.packet())
        self.quiet(0.2)
        self.assertEqual([p.payload for p in self.packets(self.near)], [b"sound"] * 2)

    def test_media_that_stopped(self) -> None:
        """New terms after a pause are heard at once, and as a new talkspurt."""
        one, other = self.bridge()
        self.send(self.far, other, self.far.packet())
        self.clock.advance(1.0)
        self.plane.set_terms(one, self.terms(self.near, silence=0))
        first, second = self.packets(self.near)
        self.assertTrue(second.marker)
        self.assertEqual((second.timestamp - first.timestamp) & 0xFFFFFFFF, 8000)

    def test_waits_for_an_address(self) -> None:
        """Nothing is sent to nobody; with the address it begins."""
        one, _ = self.bridge()
        self.plane.set_terms(one, self.terms(self.near, remote=None, silence=0))
        self.quiet(0.1)
        self.plane.set_terms(one, self.terms(self.near, silence=0))
        self.assertEqual(len(self.packets(self.near)), 1)

    def test_may_not_send(self) -> None:
        """An end that is held is silent in earnest."""
        one, _ = self.bridge()
        self.plane.set_terms(one, self.terms(self.near, sends=False, silence=0))
        self.quiet(0.1)
        self.assertEqual(self.packets(self.near), [])

    def test_ends(self) -> None:
        """With terms without silence, and after ten minutes at the latest."""
        one, _ = self.bridge()
        self.plane.set_terms(one, self.terms(self.near, silence=0))
        self.plane.set_terms(one, self.terms(self.near))
        self.quiet(0.1)
        self.assertEqual(len(self.packets(self.near)), 1)
        self.plane.set_terms(one, self.terms(self.near, silence=0))
        self.clock.advance(599.0)
        self.assertTrue(self.packets(self.near))
        self.clock.advance(2.0)
        self.packets(self.near)
        self.quiet(0.1)
        self.assertEqual(self.packets(self.near), [])

    def test_one_timer_for_all(self) -> None:
        """However many ends are silent, one call is pending for them."""
        self.addCleanup(self.quiet, 0.1)
        before = len(self.clock.getDelayedCalls())
        for _ in range(20):
            self.plane.set_terms(self.plane.open(), self.terms(self.near, silence=0))
        self.assertEqual(len(self.clock.getDelayedCalls()), before + 2)

    def test_a_fault_is_told(self) -> None:
        """A fault of ours ends the silence that it met, and silence begins again when asked."""
        one, _ = self.bridge()
        self.plane.set_terms(one, self.terms(self.near, silence=0))
        patched = self.patch(type(self.plane._ends[one]), "send_own", None)
        self.quiet(0.1)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        patched.restore()
        self.packets(self.near)
        self.plane.set_terms(one, self.terms(self.near, silence=0))
        self.quiet(0.1)
        self.assertTrue(self.packets(self.near))
