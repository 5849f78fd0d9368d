"""
What an end sends while it has nothing to forward: twenty milliseconds of nothing at a time.

Servers and address translators that learn an end from its packets need to hear it first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PCMU: Final = 0
PCMA: Final = 8
COMFORT_NOISE: Final = 13

INTERVAL: Final = 0.02
RATE: Final = 8000
SAMPLES: Final = 160
"""In one interval."""
SOON: Final = 5
"""So many packets come an interval apart: some learn an end from more than its first packet."""
SELDOM: Final = 10
"""So many intervals lie between those after them."""
LONGEST: Final = 600.0
"""Seconds after which nobody can be waiting for it any more."""


@dataclass(frozen=True, slots=True)
class Silence:
    """One packet's payload, and how many intervals lie between two at least."""

    payload_type: int
    payload: bytes
    intervals: int = 1


SILENCES: Final[dict[int, Silence]] = {
    PCMU: Silence(PCMU, b"\xff" * SAMPLES),
    PCMA: Silence(PCMA, b"\xd5" * SAMPLES),
    # RFC 3389: one byte is the noise level, here -127 dBov, the least there is. The receiver goes
    # on by itself; five a second are for whoever learns our address from them.
    COMFORT_NOISE: Silence(COMFORT_NOISE, b"\x7f", 10),
}
"""By payload type (RFC 3551, RFC 3389)."""
