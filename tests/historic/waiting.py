"""
Waiting: for what a client does by the clock, and for what a test wants to see.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from itertools import count
from typing import Protocol


class Clock(Protocol):
    """Who makes a client wait."""

    async def sleep(self, seconds: float) -> None:
        """Come back after so many seconds."""


class WallClock:
    """The real one."""

    async def sleep(self, seconds: float) -> None:
        """Come back after so many seconds."""
        await asyncio.sleep(seconds)


class ManualClock:
    """One that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    async def sleep(self, seconds: float) -> None:
        """Come back once the test has moved the clock so far."""
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._order), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Move it, and let everybody who wakes run."""
        end = self.now + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            self.now, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
            await asyncio.sleep(0)
        self.now = end

    @property
    def sleepers(self) -> int:
        """How many wait."""
        return sum(not woken.done() for _, _, woken in self._sleepers)


async def until(
    condition: Callable[[], object], what: str | Callable[[], str], seconds: float = 5.0
) -> float:
    """Wait for a condition; how long it took. A failure says what was waited for."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > seconds:
            said = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {seconds} s: {said}")
        await asyncio.sleep(0.01)
    return time.monotonic() - begun


async def holds(condition: Callable[[], object], what: str, seconds: float) -> None:
    """See that a condition goes on holding."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not condition():
            raise AssertionError(f"not for {seconds} s: {what}")
        await asyncio.sleep(0.01)
