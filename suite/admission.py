"""
How many strangers all TCP listeners together let in, and how fast their handshakes begin.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address

from twisted.internet.interfaces import IReactorTime

from suite.settings import SuiteSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenLimits:
    """Deadlines in seconds and counts, the same for all listeners."""

    handshake_timeout: float = 10.0
    """From the accept to the end of the TLS handshake, however slowly bytes come."""
    identify_timeout: float = 5.0
    """For the bytes that tell the protocol, and for a PROXY header."""
    http_head_timeout: float = 10.0
    """For the head of the first HTTP request, however slowly bytes come."""
    http_lifetime: float = 60.0
    """For a connection with HTTP after its first head; a browser opens another."""
    max_connections: int = 5000
    """Streams that have not authenticated."""
    max_handshakes: int = 1000
    """TLS handshakes begun and not finished."""
    handshakes_per_turn: int = 8
    """TLS handshakes begun in one turn of the reactor, about 0.3 ms each."""

    @classmethod
    def of(cls, settings: SuiteSettings) -> ListenLimits:
        """The limits that the configuration sets."""
        return cls(
            handshake_timeout=settings.handshake_timeout, max_connections=settings.max_connections
        )


class Admission:
    """
    The books of all TCP listeners: streams that are strangers yet, handshakes, what was refused.

    A burst of handshakes waits its turn here so that the media of live calls does not wait.
    """

    def __init__(self, limits: ListenLimits, clock: IReactorTime) -> None:
        self.limits = limits
        self._held: Counter[str] = Counter()
        self._strangers = 0
        self.handshakes = 0
        """TLS handshakes that are under way."""
        self.accepted = 0
        self.identified: Counter[str] = Counter()
        """Streams by what they carry."""
        self.refused: Counter[str] = Counter()
        """Streams that were closed, by a fixed set of reasons."""
        self._clock = clock
        self._waiting: deque[Callable[[], None]] = deque()
        self._begun_this_turn = 0

    @property
    def strangers(self) -> int:
        """Streams that are open and have not authenticated, HTTP among them."""
        return self._strangers

    def admits(self, host: str) -> bool:
        """
        Whether the next stream, from ``host``, is let in.

        A source may hold as much as it leaves free, so one alone gets half of all places and
        nobody can keep everybody else out. A source is an IPv4 address or the /64 of an IPv6 one.
        """
        free = self.limits.max_connections - self._strangers
        return free > 0 and self._held[_source(host)] <= free

    def enter(self, host: str) -> None:
        """Count a stranger."""
        self._strangers += 1
        self._held[_source(host)] += 1

    def leave(self, host: str) -> None:
        """A stranger that was counted under ``host`` is gone, or is none any more."""
        source = _source(host)
        self._strangers -= 1
        self._held[source] -= 1
        if not self._held[source]:
            del self._held[source]

    def begin_handshake(self, begin: Callable[[], None]) -> None:
        """Call ``begin`` now, or in one of the next turns of the reactor."""
        if self._begun_this_turn == 0:
            self._clock.callLater(0, self._next_turn)
        if self._begun_this_turn >= self.limits.handshakes_per_turn:
            self._waiting.append(begin)
            return
        self._begun_this_turn += 1
        begin()

    def _next_turn(self) -> None:
        self._begun_this_turn = 0
        if not self._waiting:
            return
        self._clock.callLater(0, self._next_turn)
        while self._waiting and self._begun_this_turn < self.limits.handshakes_per_turn:
            self._begun_this_turn += 1
            self._waiting.popleft()()


def _source(host: str) -> str:
    return str(int(IPv6Address(host)) >> 64) if ":" in host else host
