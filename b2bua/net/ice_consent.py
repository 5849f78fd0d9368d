"""
Consent to go on sending (RFC 7675): the peer must answer a check every thirty seconds.

Checks are not sent again: the next one comes soon. An answer to any of the latest counts, however
long it took.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

_OUTSTANDING = 8
"""Checks whose answers still count: as many as there are until consent expires, and some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IceTimes:
    """Seconds; the defaults are those of the RFCs."""

    consent_interval: float = 5.0
    """Between two checks of consent, 0.8 to 1.2 times (RFC 7675, section 5.1)."""
    consent_expiry: float = 30.0
    pace: float = 0.02
    """Between two checks of pairs (RFC 8445, section 14.2: at least 5 ms)."""
    retirement: float = 15.0
    """For which checks with the credentials from before a restart are still answered."""
    connecting: float = 30.0
    """Within which a transport must connect, from the peer's credentials on."""
    gathering: float = 1.0
    """After which ``when_gathered`` says what there is."""


class Consent:
    """
    The consent of one pair's peer, from the moment at which the pair was found valid.

    ``check`` sends a check and gives its transaction id; ``expired`` is called once.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        times: IceTimes,
        check: Callable[[], bytes],
        expired: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._times = times
        self._check = check
        self._expired = expired
        self._outstanding: deque[bytes] = deque(maxlen=_OUTSTANDING)
        self._until = loop.time() + times.consent_expiry
        self._timer: asyncio.TimerHandle | None = None
        self._arm()

    def awaits(self, transaction_id: bytes) -> bool:
        """Whether a check of ours had this id lately."""
        return transaction_id in self._outstanding

    def renew(self) -> None:
        """Take note of an answer, which whoever calls has found authentic."""
        self._until = self._loop.time() + self._times.consent_expiry

    def stop(self) -> None:
        """Ask no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        wait = self._times.consent_interval * (0.8 + 0.4 * random.random())
        at = min(self._loop.time() + wait, self._until)
        self._timer = self._loop.call_at(at, self._ask)

    def _ask(self) -> None:
        self._timer = None
        if self._loop.time() >= self._until:
            self._expired()
            return
        self._outstanding.append(self._check())
        self._arm()
