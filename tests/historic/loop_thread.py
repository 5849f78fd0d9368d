"""
An asyncio loop in a thread of its own, in a network of its own if wanted.

Tests stay ordinary ones: each hands its coroutine over and waits. What the loop opens belongs to
the network that the thread is in.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from unittest import mock

PATIENCE = 60.0


class LoopThread:
    """One that runs until ``stop``."""

    def __init__(self, place: AbstractContextManager[object] | None = None) -> None:
        self.loop = asyncio.new_event_loop()
        self._place = place or nullcontext()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait(10)

    def _run(self) -> None:
        # aioice leaves out 127.0.0.1, where everything here happens.
        hosts = mock.patch("aioice.ice.get_host_addresses", lambda **_: ["127.0.0.1"])
        with self._place, hosts:
            asyncio.set_event_loop(self.loop)
            self._ready.set()
            self.loop.run_forever()
            self.loop.run_until_complete(self._finish())
            self.loop.close()

    async def _finish(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self.loop.shutdown_default_executor()

    def run(self, doing: Coroutine[Any, Any, Any], patience: float = PATIENCE) -> Any:
        """Do it there, and wait for its end."""
        return asyncio.run_coroutine_threadsafe(
            asyncio.wait_for(doing, patience), self.loop
        ).result(patience + 5)

    def stop(self) -> None:
        """End it."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)


def on_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a test of a coroutine; its case has the loop as ``thread``."""

    @functools.wraps(test)
    def run(case: Any, *given: Any) -> None:
        case.thread.run(test(case, *given))

    return run
