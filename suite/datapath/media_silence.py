"""
Silence of every end that has to be heard before anybody has something to say: one timer for all.
"""

from __future__ import annotations

from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from b2bua.rtp.silence import INTERVAL, LONGEST, RATE, SAMPLES, Silence
from suite.datapath.media_end import MediaEnd

_RECENT = 0.1
"""An end that sent something so lately is not interrupted by a packet at once."""


@dataclass(slots=True)
class _Silent:
    silence: Silence
    until: float
    forwarded: int
    """What the end had forwarded when its silence began."""
    waited: int = 0
    """Intervals since the last packet."""


class SilenceTimer:
    """Lets ends send silence until they have something to forward."""

    _log = Logger(namespace="datapath")

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._silent: dict[MediaEnd, _Silent] = {}
        self._loop = LoopingCall.withCount(self._tick)
        self._loop.clock = clock

    def __len__(self) -> int:
        return len(self._silent)

    def start(self, end: MediaEnd, silence: Silence) -> None:
        """Begin now, or go on."""
        now = self._clock.seconds()
        silent = _Silent(silence, now + LONGEST, end.forwarded)
        before = self._silent.get(end)
        if before is not None and before.silence is silence:
            silent.waited = before.waited
        sent = end.outgoing.at
        if sent is None or (before is None and now - sent > _RECENT):
            self._send(end, silence, SAMPLES, now)
        self._silent[end] = silent
        if not self._loop.running:
            self._loop.start(INTERVAL, now=False).addErrback(self._failed)

    def stop(self, end: MediaEnd) -> None:
        """The end sends none any more."""
        self._silent.pop(end, None)
        if not self._silent and self._loop.running:
            self._loop.stop()

    def _tick(self, count: int) -> None:
        now = self._clock.seconds()
        for end, silent in list(self._silent.items()):
            if end.forwarded != silent.forwarded or now >= silent.until:
                self.stop(end)
                continue
            silent.waited += count
            if silent.waited >= silent.silence.intervals:
                self._send(end, silent.silence, SAMPLES * silent.waited, now)
                silent.waited = 0

    def _send(self, end: MediaEnd, silence: Silence, advance: int, now: float) -> None:
        end.send_own(silence.payload_type, silence.payload, advance, now, RATE)

    def _failed(self, failure: Failure) -> None:
        self._silent.clear()
        self._log.failure("silence met a fault of ours and has ended", failure)
