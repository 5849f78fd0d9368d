"""
Silence of every end that has to be heard before anybody has something to say: one timer for all.

The first packets come as fast as speech, for whoever waits for some before it believes us; then
seldom, so that nobody forgets where we are.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from b2bua.rtp.silence import INTERVAL, LONGEST, RATE, SAMPLES, SELDOM, SOON, Silence
from suite.datapath.media_end import MediaEnd

_RECENT = 0.1
"""An end that sent something so lately is not interrupted by a packet at once."""
_GRAIN = INTERVAL / 2
"""Seconds by which a packet may be early or late, so that many go out in one turn."""


@dataclass(slots=True)
class _Silent:
    silence: Silence
    until: float
    forwarded: int
    """What the end had forwarded when its silence began."""
    at: float
    """When the latest packet was due."""
    said: int = 0
    """Packets since the terms were set last."""

    @property
    def due(self) -> float:
        """When the next packet is due."""
        pause = self.silence.intervals
        return self.at + INTERVAL * (pause if self.said < SOON else max(pause, SELDOM))


class SilenceTimer:
    """Lets ends send silence until they have something to forward."""

    _log = Logger(namespace="datapath")

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._silent: dict[MediaEnd, _Silent] = {}
        self._due: list[tuple[float, int, MediaEnd, _Silent]] = []
        """What is outdated stays until its moment comes, a fifth of a second at most."""
        self._numbers = count()
        self._call: IDelayedCall | None = None
        self._fires = 0.0

    def __len__(self) -> int:
        return len(self._silent)

    @property
    def is_running(self) -> bool:
        """Whether a call is pending."""
        return self._call is not None

    def start(self, end: MediaEnd, silence: Silence) -> None:
        """Begin now, or go on."""
        now = self._clock.seconds()
        before = self._silent.get(end)
        goes_on = before is not None and before.silence is silence
        at = before.at if before is not None and goes_on else now
        silent = _Silent(silence, now + LONGEST, end.forwarded, at, said=1)
        sent = end.outgoing.at
        if sent is None or (before is None and now - sent > _RECENT):
            self._send(end, silence, SAMPLES, now)
            silent.at = now
        self._silent[end] = silent
        self._plan(end, silent)
        self._arm(now)

    def stop(self, end: MediaEnd) -> None:
        """The end sends none any more."""
        self._silent.pop(end, None)
        if not self._silent:
            self._due.clear()
            if self._call is not None:
                self._call.cancel()
                self._call = None

    def _plan(self, end: MediaEnd, silent: _Silent) -> None:
        heappush(self._due, (silent.due, next(self._numbers), end, silent))

    def _arm(self, now: float) -> None:
        """See to it that the first of all is not late by more than a grain."""
        if not self._due:
            return
        due = max(self._due[0][0], now + _GRAIN)
        if self._call is not None:
            if self._fires <= due + _GRAIN:
                return
            self._call.cancel()
        self._fires = due
        self._call = self._clock.callLater(due - now, self._tick)

    def _tick(self) -> None:
        self._call = None
        now = self._clock.seconds()
        while self._due and self._due[0][0] <= now + _GRAIN:
            _, _, end, silent = heappop(self._due)
            if self._silent.get(end) is not silent:
                continue
            if end.forwarded != silent.forwarded or now >= silent.until:
                del self._silent[end]
                continue
            try:
                self._go_on(end, silent, now)
            except Exception:
                del self._silent[end]
                self._log.failure("silence met a fault of ours and has ended")
        self._arm(now)

    def _go_on(self, end: MediaEnd, silent: _Silent, now: float) -> None:
        intervals = max(1, round((now - silent.at) / INTERVAL))
        silent.at += INTERVAL * intervals
        silent.said += 1
        self._send(end, silent.silence, SAMPLES * intervals, now)
        self._plan(end, silent)

    def _send(self, end: MediaEnd, silence: Silence, advance: int, now: float) -> None:
        end.send_own(silence.payload_type, silence.payload, advance, now, RATE)
