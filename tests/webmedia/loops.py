"""A loop of a test's own, and as much of a reactor over it as a media plane wants."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

_T = TypeVar("_T")
LONGEST = 20.0


@implementer(IDelayedCall)
class LoopCall:
    """A delayed call of the loop."""

    def __init__(self, handle: asyncio.TimerHandle, loop: asyncio.AbstractEventLoop) -> None:
        self._handle = handle
        self._loop = loop

    def cancel(self) -> None:
        self._handle.cancel()

    def active(self) -> bool:
        return not self._handle.cancelled() and self._handle.when() > self._loop.time()

    def getTime(self) -> float:
        return self._handle.when()

    def reset(self, secondsFromNow: float) -> None:
        raise NotImplementedError

    def delay(self, secondsLater: float) -> None:
        raise NotImplementedError


class LoopReactor:
    """Readers and delayed calls, over a loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def addReader(self, reader: Any) -> None:
        self._loop.add_reader(reader.fileno(), reader.doRead)

    def removeReader(self, reader: Any) -> None:
        self._loop.remove_reader(reader.fileno())

    def seconds(self) -> float:
        return self._loop.time()

    def callLater(self, delay: float, function: Callable[..., object], *args: Any) -> LoopCall:
        return LoopCall(self._loop.call_later(delay, function, *args), self._loop)


def run(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, _T]) -> _T:
    """Run to the end, and fail rather than wait for ever."""
    return loop.run_until_complete(asyncio.wait_for(work, LONGEST))


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until something holds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not condition():
        if loop.time() > end:
            raise AssertionError("it did not come to that")
        await asyncio.sleep(0.005)
