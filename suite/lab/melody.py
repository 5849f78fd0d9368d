"""
A melody as G.711, made when it is first played (ITU-T G.711; RFC 3551, section 4.5.14).
"""

from __future__ import annotations

import math
from functools import cache

RATE = 8000
FRAME = 160
"""Samples of 20 ms."""
PCMU, PCMA = 0, 8
_LOUDNESS = 8000
_BEAT = 0.3
_FADE = 240
"""Samples over which a note begins and ends, so that it does not click."""

# Beethoven's: semitones above A4 (440 Hz), and beats.
_NOTES = (
    *((7, 1), (7, 1), (8, 1), (10, 1), (10, 1), (8, 1), (7, 1), (5, 1)),
    *((3, 1), (3, 1), (5, 1), (7, 1), (7, 1.5), (5, 0.5), (5, 2)),
    *((7, 1), (7, 1), (8, 1), (10, 1), (10, 1), (8, 1), (7, 1), (5, 1)),
    *((3, 1), (3, 1), (5, 1), (7, 1), (5, 1.5), (3, 0.5), (3, 2)),
)


def frame(number: int, law: int) -> bytes:
    """Return 20 ms of the melody, which begins again at its end; ``law`` is a payload type."""
    return _frames(law)[number % len(_frames(law))]


@cache
def _frames(law: int) -> tuple[bytes, ...]:
    encode = to_ulaw if law == PCMU else to_alaw
    data = bytes(encode(sample) for sample in _samples())
    return tuple(data[at : at + FRAME] for at in range(0, len(data) - FRAME + 1, FRAME))


def _samples() -> list[int]:
    samples: list[int] = []
    for semitones, beats in _NOTES:
        frequency = 440 * 2 ** (semitones / 12)
        count = int(RATE * _BEAT * beats)
        for index in range(count):
            loud = min(1.0, index / _FADE, (count - index) / _FADE) * _LOUDNESS
            samples.append(int(loud * math.sin(2 * math.pi * frequency * index / RATE)))
    return samples


def to_ulaw(sample: int) -> int:
    """Return a sample of 16 bits as one byte of mu-law."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), 32635) + 132
    exponent = magnitude.bit_length() - 8
    mantissa = (magnitude >> (exponent + 3)) & 0x0F
    return ~(sign | exponent << 4 | mantissa) & 0xFF


def to_alaw(sample: int) -> int:
    """Return a sample of 16 bits as one byte of A-law."""
    sign = 0x80 if sample >= 0 else 0
    magnitude = min(sample if sample >= 0 else -sample - 1, 32767)
    exponent = max(0, magnitude.bit_length() - 8)
    mantissa = (magnitude >> (exponent + 3 if exponent else 4)) & 0x0F
    return (sign | exponent << 4 | mantissa) ^ 0x55
