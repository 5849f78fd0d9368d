"""
How many unauthenticated replies one source may have in a second.

A fixed table of cells, found by a keyed hash of the source: memory never grows, whatever the
number of (invented) sources. Two sources that fall into one cell share its budget; the key keeps
an attacker from choosing whom to share with.
"""

from __future__ import annotations

from array import array
from hashlib import blake2b

_WINDOW = 1.0
_PREFIX_GROUPS = 4
_GROUPS = 8


class SourceBudget:
    """
    Counts replies per source and second.

    A source is an IPv4 address or the /64 of an IPv6 address; ports do not count. Its second
    begins with the first reply after the last second was over, and in it exactly ``rate`` replies
    pass. A ``rate`` of 0 means no limit; it may be changed at any time.
    """

    def __init__(self, rate: int, key: bytes, cells: int = 4096) -> None:
        self.rate = rate
        self._cells = cells
        self._hash = blake2b(key=key, digest_size=8)
        self._begun = array("d", [-_WINDOW]) * cells
        self._spent = array("L", [0]) * cells

    def take(self, host: str, now: float) -> bool:
        """Whether one more reply may go to ``host``; it is counted if so."""
        if not self.rate:
            return True
        cell = self._cell(host)
        # A clock that went back must not silence a source for as long as it went back.
        if not 0 <= now - self._begun[cell] < _WINDOW:
            self._begun[cell] = now
            self._spent[cell] = 0
        if self._spent[cell] >= self.rate:
            return False
        self._spent[cell] += 1
        return True

    def refund(self, host: str) -> None:
        """Give back one reply that ``take`` counted, when the source proved to be real."""
        if self.rate:
            cell = self._cell(host)
            self._spent[cell] = max(0, self._spent[cell] - 1)

    def _cell(self, host: str) -> int:
        keyed = self._hash.copy()
        keyed.update((_subnet(host) if ":" in host else host).encode())
        return int.from_bytes(keyed.digest(), "big") % self._cells


def _subnet(host: str) -> str:
    """Spell the /64 of an IPv6 address in canonical text, always the same way."""
    head, gap, tail = host.partition("::")
    groups = head.split(":") if head else []
    if gap and len(groups) < _PREFIX_GROUPS:
        after = tail.split(":") if tail else []
        # A dotted quad at the end stands for two groups.
        missing = _GROUPS - len(groups) - len(after) - ("." in tail)
        groups += ["0"] * missing + after
    return ":".join(groups[:_PREFIX_GROUPS])
