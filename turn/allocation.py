"""
One allocation: its relayed transport addresses, permissions and channels (RFC 8656).

An allocation ends at a moment, not after a wait: whatever depends on time takes ``now``. What has
expired counts as absent at once and is forgotten when it is in the way. No socket, no clock here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from turn.data_plane import ClientPath
from turn.five_tuple import Address
from turn.settings import PasswordAlgorithm

RETRANSMISSION_WINDOW = 40.0
"""Seconds in which an Allocate of the same transaction is a retransmission (RFC 8489, 6.3.1)."""


@dataclass(slots=True)
class RelayedAddress:
    """A relay socket of an allocation: where it is bound and how the outside sees it."""

    relay: int
    local: Address
    public: Address
    expires: float
    token: bytes = b""
    """Of the reservation by which it was had."""

    @property
    def is_ipv6(self) -> bool:
        """Whether this is the IPv6 relay of its allocation."""
        return ":" in self.local[0]


@dataclass(frozen=True, slots=True, repr=False)
class Credential:
    """The user and the key that an allocation was made with; every later request must match."""

    username: str
    algorithm: PasswordAlgorithm
    key: bytes
    quota_name: str
    authenticated_at: float
    """Wall clock: a REST user name that was valid then stays valid for this allocation."""
    generation: int
    """Of the user lists; after a reload the key is looked up again."""


@dataclass(slots=True)
class Channel:
    """A channel number bound to a peer (RFC 8656, section 12)."""

    peer: Address
    expires: float


@dataclass(slots=True)
class Allocation:
    """A live allocation. ``flow`` is the data plane's handle for it."""

    number: int
    path: ClientPath
    credential: Credential
    flow: int
    relays: list[RelayedAddress]
    created: float
    transaction_id: bytes
    granted_bps: int
    reply: bytes = b""
    """The success response, for retransmissions of the same transaction."""
    permissions: dict[str, float] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    numbers: dict[Address, int] = field(default_factory=dict)

    def is_retransmission(self, transaction_id: bytes, now: float) -> bool:
        """Whether this Allocate transaction is the one that made the allocation."""
        return transaction_id == self.transaction_id and now < self.created + RETRANSMISSION_WINDOW

    @property
    def expires(self) -> float:
        """When the first of its relayed addresses ends."""
        return min(relay.expires for relay in self.relays)

    def relay_for(self, is_ipv6: bool) -> RelayedAddress | None:
        """The relayed address of a family, if the allocation has one."""
        for relay in self.relays:
            if relay.is_ipv6 == is_ipv6:
                return relay
        return None

    def has_room_for(self, hosts: set[str], now: float, limit: int) -> bool:
        """Whether installing ``hosts`` stays within ``limit`` permissions."""
        if len(self.permissions) + len(hosts) > limit:
            live = {host: until for host, until in self.permissions.items() if until > now}
            self.permissions = live
        return len(self.permissions.keys() | hosts) <= limit

    def channel_conflict(self, number: int, peer: Address, now: float) -> str | None:
        """Why ``number`` cannot be bound to ``peer`` (RFC 8656, section 12.2); None if it can."""
        self._forget_expired(number, peer, now)
        bound = self.channels.get(number)
        if bound is not None and bound.peer != peer:
            return "the channel is bound to another peer"
        if self.numbers.get(peer, number) != number:
            return "the peer is bound to another channel"
        return None

    def bind(self, number: int, peer: Address, expires: float) -> None:
        """Record a channel that ``channel_conflict`` found free or already so bound."""
        self.channels[number] = Channel(peer, expires)
        self.numbers[peer] = number

    def channels_in_use(self, now: float) -> int:
        """How many channels are bound; those that expired are forgotten."""
        for number in [n for n, channel in self.channels.items() if channel.expires <= now]:
            self._forget(number)
        return len(self.channels)

    def _forget_expired(self, number: int, peer: Address, now: float) -> None:
        for candidate in (number, self.numbers.get(peer)):
            if candidate is not None:
                channel = self.channels.get(candidate)
                if channel is not None and channel.expires <= now:
                    self._forget(candidate)

    def _forget(self, number: int) -> None:
        channel = self.channels.pop(number)
        self.numbers.pop(channel.peer, None)
