"""
The native data plane's one reader: wakes the C core and hands out what it has for Python.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from zope.interface import implementer

from suite.datapath._native import Core, Waker

if TYPE_CHECKING:
    from suite.datapath._native import Event

CONTROL, SEND, TO_STREAM = 1, 2, 3
STREAM, STREAM_END = 16, 17
RTCP, OTHER, MISSED, TRACE, PUT = 32, 33, 34, 35, 36
"""Kinds of events, as native/events.h numbers them."""

Receiver = Callable[[int, int, tuple[str, int] | None, bytes], None]
"""Takes the owner's handle, one more number, where it came from, and the bytes."""


@implementer(IReadDescriptor)
class NativeCore:
    """
    The C core and its readers. All planes of a process may share one.

    ``seconds`` is the clock that everything else has. ``loop`` is the one under the reactor if it
    is to wake the core by itself, without the context for logs that the reactor makes each time.
    """

    _log = Logger(namespace="datapath")

    def __init__(
        self,
        reactor: IReactorFDSet,
        seconds: Callable[[], float],
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.core = Core()
        self._loop = loop
        self._seconds = seconds
        self._reactor = reactor
        self._receivers: dict[int, Receiver] = {}
        self._users = 0

    def join(self, receivers: dict[int, Receiver]) -> None:
        """A plane begins: it takes the events of these kinds."""
        if not self._users:
            self._begin()
        self._users += 1
        self._receivers.update(receivers)

    def leave(self) -> None:
        """A plane has closed all its sockets; the last one stops the reader."""
        self._users -= 1
        if not self._users:
            self._end()

    def _begin(self) -> None:
        if self._loop is None:
            self._reactor.addReader(self)
        else:
            waker = Waker(self.core, self._seconds, self._hand_out)
            self._loop.add_reader(self.fileno(), waker.wake)

    def _end(self) -> None:
        if self._loop is None:
            self._reactor.removeReader(self)
        else:
            self._loop.remove_reader(self.fileno())

    def fileno(self) -> int:
        """The one descriptor that the reactor watches."""
        return self.core.fileno()

    def logPrefix(self) -> str:
        """How Twisted names this reader in its own log."""
        return "data plane"

    def connectionLost(self, reason: object) -> None:
        """The reactor has let go of the descriptor."""

    def doRead(self) -> None:
        """One wake-up, within the core's budget."""
        events = self.core.drain(self._seconds())
        if events:
            self._hand_out(events)

    def hand_out(self) -> None:
        """Take what has gathered outside of a wake-up."""
        self._hand_out(self.core.take_events())

    def _hand_out(self, events: Iterable[Event]) -> None:
        receivers = self._receivers
        for kind, owner, more, source, data in events:
            try:
                receivers[kind](owner, more, source, data)
            except Exception:
                # The reactor lets go of a reader that raises, and the events behind this one
                # are others' packets.
                self._log.failure("a packet met a fault of ours and was dropped")
