"""
The two clocks of the suite, and which one is for what.

Everything that lasts (lifetimes, time-outs, back-off, budgets) is measured on a clock that never
jumps; only what leaves the process (log stamps, certificate dates, REST credentials) reads the
wall clock. Both are handed down. What only measures how long something of its own took, such as
the gap between two writes, asks the machine itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime


@dataclass(frozen=True, slots=True)
class Clocks:
    """What parts of the suite are given instead of a reactor and ``time``."""

    monotonic: IReactorTime
    """Delayed calls and ``seconds()``, which only ever grows."""
    wall: Callable[[], float] = time.time
    """Seconds since the epoch, as the host believes."""


def use_monotonic_time(reactor: object) -> None:
    """
    Let a reactor count in monotonic seconds.

    As it comes, ``reactor.seconds()`` is the wall clock, so setting the host's clock would expire
    every allocation at once, or none for an hour. Delayed calls take their time from the same
    method, and the asyncio reactor asks its loop for differences only, so one assignment does.
    """
    setattr(reactor, "seconds", time.monotonic)  # noqa: B010 - mypy refuses to assign a method
