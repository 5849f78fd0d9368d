"""
How much trouble each source may cause before it meets silence.

A fixed table of cells, found by a keyed hash: memory never grows, whatever the number of
(invented) sources. Two sources that fall into one cell share its fate; the key keeps an attacker
from choosing whom to share with.
"""

from __future__ import annotations

from array import array
from hashlib import blake2b
from ipaddress import IPv6Address

CELLS = 4096


class SourceBudget:
    """
    Counts points of each source over a window of time; who has none left is silenced for as long.

    A window begins with the first point after the last one ended, and anew when the last point
    is spent. A source is any text; ``source_of`` makes one of an address.
    """

    def __init__(self, points: int, window: float, key: bytes, cells: int = CELLS) -> None:
        self._points = points
        self._window = window
        self._cells = cells
        self._hash = blake2b(key=key, digest_size=8)
        self._begun = array("d", [float("-inf")]) * cells
        self._spent = array("L", [0]) * cells

    def is_spent(self, source: str, now: float) -> bool:
        """Whether a source has nothing left."""
        cell = self._cell(source)
        return self._spent[cell] >= self._points and self._is_open(cell, now)

    def charge(self, source: str, now: float, points: int = 1) -> None:
        """Take points from a source that has some."""
        cell = self._cell(source)
        if not self._is_open(cell, now):
            self._begun[cell] = now
            self._spent[cell] = 0
        before = self._spent[cell]
        self._spent[cell] = before + points
        if before < self._points <= before + points:
            self._begun[cell] = now

    def refund(self, source: str, points: int = 1) -> None:
        """Give back what was charged to a source that has proved to be honest."""
        cell = self._cell(source)
        self._spent[cell] -= min(points, self._spent[cell])

    def __len__(self) -> int:
        return len(self._spent)

    def _is_open(self, cell: int, now: float) -> bool:
        # A clock that went back must not silence a source for as long as it went back.
        return 0 <= now - self._begun[cell] < self._window

    def _cell(self, source: str) -> int:
        keyed = self._hash.copy()
        keyed.update(source.encode(errors="surrogateescape"))
        return int.from_bytes(keyed.digest(), "big") % self._cells


def source_of(host: str) -> str:
    """Return what an address counts as: an IPv4 address as itself, an IPv6 address as its /64."""
    if ":" not in host:
        return host
    address = IPv6Address(host)
    mapped = address.ipv4_mapped
    return str(mapped) if mapped is not None else address.packed[:8].hex()
