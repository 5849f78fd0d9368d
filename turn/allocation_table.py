"""
Every live allocation, found by its five-tuple, and the order in which they end.

The table also keeps reservations: the second port of an EVEN-PORT request, held for 30 seconds
under a token (RFC 8656, section 7.2).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

from turn.allocation import Allocation
from turn.five_tuple import FiveTuple
from turn.relay_addresses import BoundRelay

RESERVATION_LIFETIME = 30.0
MAX_RESERVATIONS = 1000
MAX_RESERVATIONS_OF_ONE = 250
"""Of one user: a reserved port counts for no quota, and is claimed at once where it is meant."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A bound relay socket that waits for the request that carries its token."""

    token: bytes
    bound: BoundRelay
    username: str
    """Who may claim it."""
    quota_name: str
    expires: float


class AllocationTable:
    """Allocations by five-tuple and by time; reservations by token."""

    def __init__(self) -> None:
        self._by_five_tuple: dict[FiveTuple, Allocation] = {}
        self._deadlines: list[tuple[float, int]] = []
        self._by_number: dict[int, Allocation] = {}
        self._reservations: dict[bytes, Reservation] = {}
        self._claimed: dict[bytes, Reservation] = {}

    def __len__(self) -> int:
        return len(self._by_five_tuple)

    def __iter__(self) -> Iterator[Allocation]:
        return iter(list(self._by_five_tuple.values()))

    def find(self, five_tuple: FiveTuple) -> Allocation | None:
        """The allocation of a client, if it has one."""
        return self._by_five_tuple.get(five_tuple)

    def add(self, allocation: Allocation) -> None:
        """Take in a new allocation; its five-tuple must be free."""
        self._by_five_tuple[allocation.path.five_tuple] = allocation
        self._by_number[allocation.number] = allocation
        self.schedule(allocation)

    def remove(self, allocation: Allocation) -> None:
        """Forget an allocation. What it holds in the data plane is the caller's to end."""
        del self._by_five_tuple[allocation.path.five_tuple]
        del self._by_number[allocation.number]

    def schedule(self, allocation: Allocation) -> None:
        """Note that the allocation's lifetime changed."""
        heapq.heappush(self._deadlines, (allocation.expires, allocation.number))
        if len(self._deadlines) > 4 * len(self._by_number) + 64:
            self._deadlines = [(a.expires, a.number) for a in self._by_number.values()]
            heapq.heapify(self._deadlines)

    def take_due(self, now: float) -> list[Allocation]:
        """Allocations with a relayed address whose time has come."""
        due: dict[int, Allocation] = {}
        while self._deadlines and self._deadlines[0][0] <= now:
            _, number = heapq.heappop(self._deadlines)
            allocation = self._by_number.get(number)
            if allocation is None:
                continue
            if allocation.expires <= now:
                due[number] = allocation
        return list(due.values())

    def reserve(self, reservation: Reservation) -> None:
        """Keep a reservation until it is claimed or expires."""
        self._reservations[reservation.token] = reservation

    def has_room_for_reservation(self, quota_name: str) -> bool:
        """Whether another port may be held in reserve for this user."""
        own = sum(each.quota_name == quota_name for each in self._reservations.values())
        return own < MAX_RESERVATIONS_OF_ONE and len(self._reservations) < MAX_RESERVATIONS

    def claim(self, token: bytes, username: str, now: float) -> Reservation | None:
        """Take the reservation of this token, if it is alive and the same user's."""
        reservation = self._reservations.get(token)
        if reservation is None or reservation.username != username or reservation.expires <= now:
            return None
        self._claimed[token] = reservation
        return self._reservations.pop(token)

    def take_claimed(self, token: bytes, now: float) -> Reservation | None:
        """The claimed reservation of this token, if its time is not over."""
        reservation = self._claimed.pop(token, None)
        return reservation if reservation is not None and reservation.expires > now else None

    def take_expired_reservations(self, now: float) -> list[Reservation]:
        """Reservations that nobody claimed in time."""
        self._claimed = {a: r for a, r in self._claimed.items() if r.expires > now}
        expired = [r for r in self._reservations.values() if r.expires <= now]
        for reservation in expired:
            del self._reservations[reservation.token]
        return expired
