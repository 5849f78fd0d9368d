"""Tests of b2bua.net.randomness."""

from __future__ import annotations

from collections import Counter
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from b2bua.net.randomness import Randomness


class RandomnessTests(SynchronousTestCase):
    """Numbers out of blocks of bytes."""

    def setUp(self) -> None:
        self.drawn: list[bytes] = []
        random = Random(7)

        def draw(size: int) -> bytes:
            self.drawn.append(random.randbytes(size))
            return self.drawn[-1]

        self.randomness = Randomness(draw)

    def test_each_byte_is_used_once(self) -> None:
        """What is handed out is the source's, in its order, without a repetition."""
        taken = [self.randomness.octets(12) for _ in range(300)]
        self.assertEqual(len(self.drawn), 1)
        self.assertEqual(b"".join(taken), self.drawn[0][:3600])
        self.assertEqual(self.randomness.octets(1000), self.drawn[1][:1000])
        self.assertEqual(self.randomness.octets(9000), self.drawn[2])
        self.assertEqual(self.randomness.token(), self.drawn[3][:12].hex())

    def test_below(self) -> None:
        """All numbers below the bound come up equally often, and no other."""
        for bound in (1, 2, 10, 256, 300):
            counted = Counter(self.randomness.below(bound) for _ in range(200 * bound))
            self.assertEqual(set(counted), set(range(bound)))
            self.assertTrue(all(130 <= count <= 280 for count in counted.values()), counted)
        self.assertLess(self.randomness.below(1 << 96), 1 << 96)
        self.assertRaises(ValueError, self.randomness.below, 0)

    def test_fraction(self) -> None:
        """Fractions fill the whole range."""
        fractions = [self.randomness.fraction() for _ in range(1000)]
        self.assertTrue(0.0 <= min(fractions) < 0.02)
        self.assertTrue(0.98 < max(fractions) < 1.0)
