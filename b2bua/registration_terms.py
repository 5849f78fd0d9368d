"""
What registrations tell and are told, and the intervals they keep.
"""

from __future__ import annotations

from dataclasses import dataclass

_LATEST_REFRESH = 0.85
_EARLIEST_REFRESH = 0.55
_SHORTEST_SHARE = 0.25
_MOST_DOUBLINGS = 16


@dataclass(frozen=True, slots=True)
class Terms:
    """The intervals, in seconds."""

    expires: int = 140
    """What is asked for."""
    longest_expires: int = 86400
    """What a registrar may talk us into with 423."""
    failover: float = 4.0
    """How long one attempt may take."""
    first_back_off: float = 4.0
    longest_back_off: float = 60.0
    """A longer Retry-After is cut to this as well."""

    @property
    def room(self) -> float:
        """What the last part of a binding is kept for: a silence, and one more attempt."""
        return 2 * self.failover + 2.0

    def refresh_after(self, granted: float, draw: float) -> float:
        """
        Give how long after a grant the refresh is due; ``draw`` is from 0 to below 1.

        Anywhere between 55 and 85 % of what was granted, so that bindings made together do not
        stay together. Earlier in proportion where that leaves no room for a silence and a retry.
        """
        latest = min(_LATEST_REFRESH * granted, granted - 2 * self.failover)
        latest = max(latest, _SHORTEST_SHARE * granted)
        earliest = latest * _EARLIEST_REFRESH / _LATEST_REFRESH
        return earliest + draw * (latest - earliest)

    def back_off(self, failures: int, retry_after: float, draw: float) -> float:
        """Give how long to wait after so many failures in a row (RFC 5626, section 4.5)."""
        longest = self.first_back_off * 2.0 ** min(max(failures - 1, 0), _MOST_DOUBLINGS)
        wait = min(longest, self.longest_back_off) * (0.5 + draw / 2)
        return max(wait, min(retry_after, self.longest_back_off))


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What matters of a final response to REGISTER.

    ``expires`` is what was granted to our own Contact: its parameter, else the Expires header.
    """

    status: int
    expires: int = 0
    min_expires: int = 0
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class Register:
    """Send this REGISTER; ``expires`` of 0 unregisters. It comes back with what came of it."""

    dn: str
    call_id: str
    cseq: int
    expires: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Registered:
    """The DN can be called, for the first time or again. Refreshes are not told."""

    dn: str


@dataclass(frozen=True, slots=True)
class Delayed:
    """It is not registered yet, or not any more; it is tried again without anybody's doing."""

    dn: str
    status: int
    """Of the server, or 408 for silence, or 503 if there is no server at all."""


@dataclass(frozen=True, slots=True)
class Expired:
    """The binding has ended before it could be refreshed; it is tried again."""

    dn: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The server does not want it, and nothing is tried again before the next sign-in."""

    dn: str
    status: int


@dataclass(frozen=True, slots=True)
class Unregistered:
    """Signed out, by the server's word or because its binding has ended or will soon."""

    dn: str


@dataclass(frozen=True, slots=True)
class Closed:
    """The shut-down is over; so many DNs were not unregistered."""

    abandoned: int


Output = Register | Registered | Delayed | Expired | Refused | Unregistered | Closed
