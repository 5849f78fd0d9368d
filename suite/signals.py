"""
Signals of the operating system, as calls in the reactor; and a way out that cannot hang.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping

from twisted.internet.interfaces import IReactorFromThreads

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class ExitGuard:
    """
    Ends the process when its orderly way out takes too long.

    A thread of its own, because what hangs may be the reactor itself or a thread that the
    interpreter waits for at its end.
    """

    def __init__(self, last_words: Callable[[], None], leave: Callable[[int], None] = os._exit):
        """``last_words`` is called before the end, and must not take long."""
        self._last_words = last_words
        self._leave = leave

    def within(self, seconds: float) -> None:
        """From now on the process has this long. Calling it again can only shorten that."""
        timer = threading.Timer(seconds, self._end)
        timer.daemon = True
        timer.start()

    def _end(self) -> None:
        self._last_words()
        self._leave(1)


class Signals:
    """
    The process's signal handlers.

    twistd's own handlers would report death by signal; ours stop the reactor and the exit code
    is 0. Install them when the reactor runs, which is when Twisted has installed its own.
    """

    def __init__(
        self,
        actions: Mapping[int, Callable[[], None]],
        reactor: IReactorFromThreads,
        at_once: Callable[[int], None],
    ) -> None:
        """
        ``actions`` are called in the reactor, ``at_once`` before that and even if it is stuck.
        """
        self._at_once = at_once
        self._actions = actions
        self._reactor = reactor

    def install(self) -> None:
        """Take over."""
        for number in self._actions:
            signal.signal(number, self._received)

    def _received(self, number: int, _: object) -> None:
        # Called between two bytecodes of whatever runs, so no more than this is done here.
        self._at_once(number)
        self._reactor.callFromThread(self._actions[number])
