"""
How many allocations a user and the server may have, and how much bandwidth may be promised.
"""

from __future__ import annotations


class Quota:
    """
    Counts allocations from their admission to their final end, whatever ends them.

    Limits of 0 do not limit, and may be changed while allocations live. As in coTURN,
    ``bps_capacity`` bounds the sum of what sessions were promised, so it has an effect only
    beside ``max_bps``: the last session to fit is promised what is left, and the next is refused.
    """

    def __init__(self, user_quota: int, total_quota: int, bps_capacity: int, max_bps: int) -> None:
        self.user_quota = user_quota
        self.total_quota = total_quota
        self.bps_capacity = bps_capacity
        self.max_bps = max_bps
        self._users: dict[str, int] = {}
        self._total = 0
        self._promised = 0

    @property
    def in_use(self) -> int:
        """How many allocations are admitted."""
        return self._total

    def in_use_by(self, user: str) -> int:
        """How many of them are the user's."""
        return self._users.get(user, 0)

    def admit(self, user: str) -> int | None:
        """
        Admit one allocation of ``user`` and give its bytes per second for each direction.

        0 means no limit; None means that the allocation is refused (RFC 8656, code 486).
        """
        if self.total_quota and self._total >= self.total_quota:
            return None
        if self.user_quota and self.in_use_by(user) >= self.user_quota:
            return None
        granted = self._promise()
        if granted is not None:
            self._total += 1
            self._users[user] = self.in_use_by(user) + 1
            self._promised += granted
        return granted

    def release(self, user: str, granted: int) -> None:
        """Take back an admission: the user and the bytes per second that ``admit`` gave."""
        held = self.in_use_by(user)
        if not held or granted > self._promised:
            raise ValueError("released an allocation that was not admitted")
        self._total -= 1
        self._promised -= granted
        if held == 1:
            del self._users[user]
        else:
            self._users[user] = held - 1

    def _promise(self) -> int | None:
        if not self.max_bps or not self.bps_capacity:
            return self.max_bps
        # The capacity may have been lowered below what is promised already.
        left = max(0, self.bps_capacity - self._promised)
        return min(self.max_bps, left) or None
