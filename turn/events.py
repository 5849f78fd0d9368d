"""
What the relay tells about itself. Logs and metrics subscribe; the relay calls no logger.

Every event that belongs to an allocation carries its id, which is unique in the process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from turn.data_plane import Counters
from turn.five_tuple import Address, FiveTuple


@dataclass(frozen=True, slots=True)
class BindingAnswered:
    """A Binding request got its success response."""

    client: FiveTuple


@dataclass(frozen=True, slots=True)
class BindingRefused:
    """A Binding request got an error response."""

    client: FiveTuple
    code: int


@dataclass(frozen=True, slots=True)
class ChallengeSent:
    """A request without credentials, or with a stale nonce, got 401 or 438."""

    client: FiveTuple
    code: int


@dataclass(frozen=True, slots=True)
class ChallengeSuppressed:
    """A source used up its budget of unauthenticated replies; this request got none."""

    client: FiveTuple


@dataclass(frozen=True, slots=True)
class AuthenticationFailed:
    """
    A request with a valid nonce carried wrong credentials.

    Over UDP the nonce proves the address, so a ban on ``client`` cannot hit a forged source.
    """

    client: FiveTuple
    username: str
    reason: str


@dataclass(frozen=True, slots=True)
class AllocationCreated:
    """A relay was given to a client."""

    allocation: int
    client: FiveTuple
    username: str
    relays: tuple[Address, ...]
    """As the client sees them: public addresses where one is configured."""
    lifetime: float


@dataclass(frozen=True, slots=True)
class AllocationRefreshed:
    """An allocation got more time."""

    allocation: int
    username: str
    lifetime: float


@dataclass(frozen=True, slots=True)
class AllocationEnded:
    """An allocation is gone, its ports free, its quota returned."""

    allocation: int
    client: FiveTuple
    username: str
    reason: str
    """``refreshed with lifetime 0``, ``expired``, ``replaced``, ``server stopped``, or why a stream
    has ended."""
    duration: float
    counters: Counters


@dataclass(frozen=True, slots=True)
class PeerDenied:
    """A client asked for a peer that the rules forbid."""

    allocation: int
    client: FiveTuple
    username: str
    peer: str
    rule: str
    """The rule that denied it, in words."""


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """An authenticated request was answered with an error."""

    client: FiveTuple
    method: str
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class DatagramIgnored:
    """Something that is no request of ours arrived; no answer was sent."""

    reason: str
    """One of a fixed set of words, fit for a metric's label."""


Event = (
    BindingAnswered
    | BindingRefused
    | ChallengeSent
    | ChallengeSuppressed
    | AuthenticationFailed
    | AllocationCreated
    | AllocationRefreshed
    | AllocationEnded
    | PeerDenied
    | RequestRefused
    | DatagramIgnored
)

Subscriber = Callable[[Event], None]
"""Takes an event at the moment it happens. It must not call back into the relay."""
