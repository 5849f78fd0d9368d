"""
A tone that is sent, and how much of it is in what is heard.
"""

from __future__ import annotations

import math
from array import array
from fractions import Fraction
from functools import cache

from av import AudioFrame

RATE = 48000
SAMPLES = 960
"""Of 20 ms."""


@cache
def _samples(frequency: int) -> bytes:
    if frequency % 50:
        raise ValueError("a frame of 20 ms has to hold whole waves")
    step = 2 * math.pi * frequency / RATE
    return array("h", (round(9800 * math.sin(step * i)) for i in range(SAMPLES))).tobytes()


def tone_frame(number: int, frequency: int) -> AudioFrame:
    """Twenty milliseconds of it."""
    frame = AudioFrame(format="s16", layout="mono", samples=SAMPLES)
    frame.planes[0].update(_samples(frequency))
    frame.sample_rate = RATE
    frame.pts = number * SAMPLES
    frame.time_base = Fraction(1, RATE)
    return frame


def share(samples: array[int], rate: int, frequency: float) -> float:
    """How much of the power is at a frequency (Goertzel), 0 to 1; 0 for silence."""
    power = sum(sample * sample for sample in samples)
    if len(samples) < rate // 20 or power < len(samples) * 100:
        return 0.0
    turn = 2 * math.cos(2 * math.pi * frequency / rate)
    before = now = 0.0
    for sample in samples:
        before, now = now, sample + turn * now - before
    strength = now * now + before * before - turn * now * before
    return 2 * strength / (power * len(samples))
