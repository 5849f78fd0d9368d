"""
How many messages a page may post: few enough that one page cannot keep all others waiting, or
have a SIP Server flooded in its name, and more than any page needs.
"""

from __future__ import annotations

from math import inf
from typing import Final

from b2bua.gateway.texts import BYE, first_word

DATA_WORDS: Final = ("INFO-MAP", "INFO-PEER", "GET-STATS")


class Bucket:
    """So many per second in the long run, and so many at once."""

    __slots__ = ("_full_at", "_interval", "_tolerance")

    def __init__(self, rate: int, burst: int) -> None:
        self._interval = 1.0 / rate
        self._tolerance = (burst - 1) * self._interval
        self._full_at = -inf
        """When it will be full again, if nothing is taken before."""

    def take(self, now: float) -> bool:
        """Whether one more may go; it is counted if so."""
        if now < self._full_at - self._tolerance:
            return False
        self._full_at = max(self._full_at, now) + self._interval
        return True


class Allowance:
    """Of one session. A BYE is always taken: it is not sent again, and costs nothing."""

    __slots__ = ("_data", "_descriptions", "_roap")

    def __init__(self) -> None:
        self._data = Bucket(20, 60)
        """Each goes on to the other side as a request."""
        self._roap = Bucket(50, 200)
        self._descriptions = Bucket(5, 30)
        """Each is milliseconds of work, and perhaps a transport."""

    def takes(self, text: str, now: float) -> bool:
        """Whether a text may be read; it is counted if so."""
        word = first_word(text)
        if word == BYE:
            return True
        return (self._data if word in DATA_WORDS else self._roap).take(now)

    def takes_description(self, now: float) -> bool:
        """Whether one more OFFER or ANSWER may be acted on; it is counted if so."""
        return self._descriptions.take(now)
