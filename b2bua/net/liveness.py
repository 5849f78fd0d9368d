"""
When a stream has been silent, slow or unfinished for too long. Pure: moments in, verdicts out.
"""

from __future__ import annotations

from enum import Enum

from b2bua.net.limits import TransportLimits


class Due(Enum):
    """What to do with a stream now."""

    NOTHING = ""
    PING = "ping"
    HANDSHAKE = "handshake not finished in time"
    MESSAGE = "message not finished in time"
    STRANGER = "not authenticated in time"
    IDLE = "idle"
    NO_PONG = "keep-alive not answered"


class Liveness:
    """
    The deadlines of one stream.

    Somebody vouches for a stream when its peer has authenticated or is configured. A ping of ours
    that stays without an answer ends the stream only if the peer has answered one before: not
    everybody knows keep-alives.
    """

    def __init__(
        self, limits: TransportLimits, now: float, *, is_ours: bool, is_vouched_for: bool
    ) -> None:
        self._limits = limits
        self._is_ours = is_ours
        self._began = now
        self._heard = now
        self._open = False
        self._vouched = is_vouched_for
        self._partial_since: float | None = None
        self._next_ping = now + limits.ping_interval
        self._ping_sent: float | None = None
        self._answers_pings = False

    @property
    def is_vouched_for(self) -> bool:
        """Whether the stream is more than a stranger's."""
        return self._vouched

    def opened(self, now: float) -> None:
        """Handshakes are over."""
        self._open = True
        self._heard = now
        self._next_ping = now + self._limits.ping_interval

    def vouch(self) -> None:
        """The peer is known from now on."""
        self._vouched = True

    def heard(self, now: float, *, pending: bool, whole: bool) -> None:
        """Bytes came: did they end a message or a keep-alive, and has another one begun?"""
        if whole:
            self._heard = now
        if not pending:
            self._partial_since = None
        elif whole or self._partial_since is None:
            self._partial_since = now

    def pong(self) -> None:
        """The peer answered a keep-alive, or may have."""
        if self._ping_sent is not None:
            self._answers_pings = True
            self._ping_sent = None

    def next_timeout(self) -> float:
        """When to call ``handle_timeout``."""
        return min(moment for moment, _ in self._deadlines())

    def handle_timeout(self, now: float) -> Due:
        """Say what is due; a ping counts as sent."""
        due = [(moment, what) for moment, what in self._deadlines() if moment <= now]
        if not due:
            return Due.NOTHING
        _, what = min(due, key=lambda pair: pair[0])
        if what is Due.PING:
            self._ping_sent = now
            self._next_ping = now + self._limits.ping_interval
        return what

    def _deadlines(self) -> list[tuple[float, Due]]:
        limits = self._limits
        if not self._open:
            patience = limits.connect_timeout if self._is_ours else limits.handshake_timeout
            return [(self._began + patience, Due.HANDSHAKE)]
        deadlines = [(self._heard + limits.idle_timeout, Due.IDLE)]
        if not self._vouched:
            deadlines.append((self._began + limits.stranger_timeout, Due.STRANGER))
        if self._partial_since is not None:
            deadlines.append((self._partial_since + limits.message_timeout, Due.MESSAGE))
        if self._is_ours:
            deadlines.append((self._next_ping, Due.PING))
        if self._answers_pings and self._ping_sent is not None:
            deadlines.append((self._ping_sent + limits.pong_timeout, Due.NO_PONG))
        return deadlines
