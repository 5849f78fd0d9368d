"""
Numbers that nobody may guess, drawn from the system in blocks: a call needs some thirty of them.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

_BLOCK: Final = 4096
_TOKEN: Final = 12
"""Bytes of a tag, a branch, a Call-ID: more than anybody can try."""
_FRACTION_BITS: Final = 53


class Randomness:
    """Hands out the bytes of ``source``, each of them once."""

    def __init__(self, source: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._source = source
        self._block = b""
        self._at = 0

    def octets(self, size: int) -> bytes:
        """So many bytes."""
        end = self._at + size
        if end > len(self._block):
            self._block = self._source(max(size, _BLOCK))
            self._at, end = 0, size
        taken, self._at = self._block[self._at : end], end
        return taken

    def token(self) -> str:
        """A word of hexadecimal digits."""
        return self.octets(_TOKEN).hex()

    def below(self, bound: int) -> int:
        """A number from 0 to below ``bound``, each as likely as any other."""
        if bound < 1:
            raise ValueError(f"no number is below {bound}")
        bits = (bound - 1).bit_length()
        size = (bits + 7) // 8
        while True:
            number = int.from_bytes(self.octets(size), "big") >> (8 * size - bits)
            if number < bound:
                return number

    def fraction(self) -> float:
        """A number from 0.0 to below 1.0."""
        return self.below(1 << _FRACTION_BITS) / (1 << _FRACTION_BITS)
