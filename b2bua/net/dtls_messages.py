"""
The messages of a handshake as they come in: several that claim to be the same one, side by side.

Nobody has signed them, so none takes another's place. ``dtls_flights`` says which belong together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from b2bua.net.dtls_records import Fragment, Message

MOST_CHOICES: Final = 3
"""Messages that claim to be one and the same and are looked at: the newest."""
_MOST_PIECES: Final = 32
_MOST_BYTES: Final = 32 * 1024
"""Of the pieces of a message; the oldest give way."""
_MOST_STEPS: Final = 64
"""In which the pieces of a message are put together, each a choice of the next one."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message, and the number of the datagram that had its newest piece."""

    message: Message
    arrival: int


@dataclass(frozen=True, slots=True)
class _Piece:
    fragment: Fragment
    arrival: int


class Inbox:
    """What has come in the clear since this handshake began."""

    __slots__ = ("_pieces",)

    def __init__(self) -> None:
        self._pieces: dict[tuple[int, int], list[_Piece]] = {}

    def add(self, fragment: Fragment, arrival: int) -> None:
        """Keep a piece, as the newest."""
        pieces = self._pieces.setdefault((fragment.kind, fragment.sequence), [])
        pieces[:] = [piece for piece in pieces if piece.fragment != fragment]
        pieces.append(_Piece(fragment, arrival))
        while len(pieces) > _MOST_PIECES or _size(pieces) > _MOST_BYTES:
            del pieces[0]

    def forget(self, kind: int, sequence: int) -> None:
        """Drop whatever claims to be this message."""
        self._pieces.pop((kind, sequence), None)

    def choices(self, kind: int, sequence: int) -> list[Received]:
        """What may be this message, the newest first."""
        pieces = self._pieces.get((kind, sequence), [])
        found: dict[bytes, int] = {}
        for body, arrival in _assemble(pieces[::-1]):
            found.setdefault(body, arrival)
            if len(found) == MOST_CHOICES:
                break
        return [Received(Message(kind, sequence, body), at) for body, at in found.items()]


def _size(pieces: list[_Piece]) -> int:
    return sum(len(piece.fragment.body) for piece in pieces)


def _assemble(pieces: list[_Piece]) -> Iterator[tuple[bytes, int]]:
    """Go through the ways in which pieces make a whole, the first ones in the list first."""
    ends = list(dict.fromkeys(piece.fragment.length for piece in pieces))
    paths = [(length, b"", 0) for length in reversed(ends)]
    for _ in range(_MOST_STEPS):
        if not paths:
            return
        length, built, newest = paths.pop()
        nexts = []
        for piece in pieces:
            fragment, arrival = piece.fragment, max(newest, piece.arrival)
            if fragment.length != length or fragment.offset > len(built):
                continue
            longer = built + fragment.body[len(built) - fragment.offset :]
            if len(longer) == length:
                yield longer, arrival
            elif len(longer) > len(built):
                nexts.append((length, longer, arrival))
        paths += reversed(nexts)
