"""
When to try a change of the session again that crossed with one of the peer (RFC 3261, 14.1).
"""

from __future__ import annotations

from collections.abc import Callable

from b2bua.sip.headers import Seconds

RandomBelow = Callable[[int], int]
"""Gives a number from 0 to one less than the argument."""

MAX_TRIES = 6
"""How often one change is sent, in all, before its owner hears that it failed."""
LONGEST_RETRY_AFTER = 10
"""Seconds that a peer may have us wait (RFC 3261, section 14.2)."""


def backoff(random_below: RandomBelow, *, owns_call_id: bool) -> float:
    """
    How long to wait after 491, in steps of 10 ms: 2.1 to 4 s for the owner of the Call-ID, up
    to 2 s for the other side.

    The two never wait for the same time, so the second try of one finds the other at rest.
    """
    return (210 + random_below(191)) / 100 if owns_call_id else random_below(201) / 100


def retry_after(value: Seconds | None) -> float:
    """How long a 500 has us wait, within reason."""
    return float(min(value.seconds, LONGEST_RETRY_AFTER)) if value is not None else 0.0
