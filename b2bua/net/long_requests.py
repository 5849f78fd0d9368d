"""
Requests too long for UDP, and who does not take them by TCP (RFC 3261, section 18.1.1). Pure.
"""

from __future__ import annotations

from b2bua.sip.headers import BRANCH_COOKIE
from b2bua.sip.message import Request

REMEMBERED = 4096
"""Branches whose requests went by TCP."""
REFUSAL_LASTS = 300.0
"""How long a peer without TCP is spared another attempt."""
_MOST_REFUSALS = 256


class LongRequests:
    """
    What the transport chose by itself, against the hop it was given.

    A CANCEL, or the ACK of a refusal, follows its INVITE, so the choice belongs to the branch.
    """

    def __init__(self) -> None:
        self._branches: dict[str, None] = {}
        self._refusals: dict[tuple[str, int], float] = {}

    def is_by_tcp(self, request: Request) -> bool:
        """Whether an earlier request of this branch went by TCP."""
        return bool(self._branches) and request.via.branch in self._branches

    def chose_tcp(self, request: Request) -> None:
        """Note that this request goes by TCP."""
        branch = request.via.branch
        if not branch.startswith(BRANCH_COOKIE):
            return
        self._branches[branch] = None
        if len(self._branches) > REMEMBERED:
            del self._branches[next(iter(self._branches))]

    def chose_udp(self, request: Request) -> None:
        """Note that this request goes by UDP after all."""
        self._branches.pop(request.via.branch, None)

    def refused(self, host: str, port: int, now: float) -> None:
        """Note that this peer takes no TCP."""
        self._refusals.pop((host, port), None)
        self._refusals[host, port] = now + REFUSAL_LASTS
        if len(self._refusals) > _MOST_REFUSALS:
            del self._refusals[next(iter(self._refusals))]

    def may_use_tcp(self, host: str, port: int, now: float) -> bool:
        """Whether TCP to this peer is worth an attempt."""
        return now >= self._refusals.get((host, port), now)
