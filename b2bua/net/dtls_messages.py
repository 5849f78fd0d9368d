"""
The messages of a handshake as they come in: several that claim to be the same one, side by side.

Nobody has signed them, so none is refused; the oldest give way, and what comes again is new. All of
it is bounded: bytes and pieces that are kept, and how often a datagram makes us join them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from random import choice
from typing import Final

from b2bua.net.dtls_records import (
    CERTIFICATE,
    CERTIFICATE_REQUEST,
    CERTIFICATE_VERIFY,
    CLIENT_HELLO,
    CLIENT_KEY_EXCHANGE,
    HELLO_VERIFY_REQUEST,
    SERVER_HELLO,
    SERVER_KEY_EXCHANGE,
    Fragment,
    Message,
)

LONGEST: Final = {
    CLIENT_HELLO: 4096,
    SERVER_HELLO: 1024,
    HELLO_VERIFY_REQUEST: 512,
    CERTIFICATE: 8192,
    SERVER_KEY_EXCHANGE: 2048,
    CERTIFICATE_REQUEST: 2048,
    CERTIFICATE_VERIFY: 1024,
    CLIENT_KEY_EXCHANGE: 1024,
}
"""Bytes of each kind of message: twice what browsers have, or more."""
MOST_CHOICES: Final = 3
"""Whole messages that claim to be one and the same; fewer of long ones."""
MOST_PIECES: Final = {kind: longest // 256 + 2 for kind, longest in LONGEST.items()}
"""Of one message, for an MTU that is as small as browsers have it, or smaller."""
MOST_JOINED: Final = 2
"""Messages that the pieces of one datagram are joined to."""

_MOST_BYTES: Final = 1536
"""Of all choices of one message together; of a longer kind there is one."""


@dataclass(frozen=True, slots=True)
class Received:
    """A whole message."""

    message: Message
    arrival: int
    """The number of the datagram by which it came, or came again."""
    number: int
    """Its own: no other one of this inbox has it."""


class _Slot:
    """What claims to be one message."""

    __slots__ = ("pieces", "whole")

    def __init__(self) -> None:
        self.pieces: dict[Fragment, None] = {}
        """The newest last."""
        self.whole: dict[bytes, Received] = {}
        """By their bodies, the newest last."""


class Inbox:
    """What has come in the clear since this handshake began."""

    __slots__ = ("_arrival", "_count", "_slots")

    def __init__(self) -> None:
        self._slots: dict[tuple[int, int], _Slot] = {}
        self._arrival = 0
        self._count = 0

    def take(self, fragments: Iterable[Fragment]) -> int:
        """Keep the pieces that a datagram has; returns the number of its arrival."""
        self._arrival += 1
        touched: dict[tuple[int, int], int] = {}
        for fragment in fragments:
            name = fragment.kind, fragment.sequence
            if fragment.length > LONGEST.get(fragment.kind, -1):
                continue
            slot = self._slots.setdefault(name, _Slot())
            if len(fragment.body) == fragment.length:
                self._keep(slot, Message(*name, fragment.body))
            else:
                if _proves_reading(fragment):
                    slot.pieces.clear()
                _add(slot.pieces, fragment)
                touched[name] = fragment.length
        for name, length in list(touched.items())[-MOST_JOINED:]:
            self._join_pieces(Message(*name, b""), length)
        return self._arrival

    def choices(self, kind: int, sequence: int) -> list[Received]:
        """What may be this message, the newest first."""
        slot = self._slots.get((kind, sequence))
        return [] if slot is None else list(slot.whole.values())[::-1]

    def forget(self, kind: int, sequence: int) -> None:
        """Drop whatever claims to be this message."""
        self._slots.pop((kind, sequence), None)

    def _join_pieces(self, name: Message, length: int) -> None:
        slot = self._slots[name.kind, name.sequence]
        joined = _joined([each for each in slot.pieces if each.length == length][::-1])
        for body in joined:
            self._keep(slot, replace(name, body=body))
        if joined and name.kind == CLIENT_HELLO:
            slot.pieces.clear()

    def _keep(self, slot: _Slot, message: Message) -> None:
        known = slot.whole.pop(message.body, None)
        if known is None:
            self._count += 1
        number = self._count if known is None else known.number
        slot.whole[message.body] = Received(message, self._arrival, number)
        most = max(LONGEST[message.kind], _MOST_BYTES)
        while len(slot.whole) > MOST_CHOICES or sum(map(len, slot.whole)) > most:
            del slot.whole[next(iter(slot.whole))]


def _proves_reading(fragment: Fragment) -> bool:
    """
    Whether a piece is the one of a second hello with the cookie.

    What has come before it is of somebody who may not have known the cookie: put behind this
    piece it would make another hello, which is answered, and the peer takes that answer for his.
    """
    return fragment.kind == CLIENT_HELLO and fragment.sequence > 0 and not fragment.offset


def _add(pieces: dict[Fragment, None], fragment: Fragment) -> None:
    pieces.pop(fragment, None)
    pieces[fragment] = None
    # With some more, one that comes again in other pieces takes the place of the first ones.
    most = LONGEST[fragment.kind] * 5 // 4
    size = sum(len(each.body) for each in pieces)
    while len(pieces) > MOST_PIECES[fragment.kind] or size > most:
        oldest = next(iter(pieces))
        size -= len(oldest.body)
        del pieces[oldest]


def _joined(pieces: Sequence[Fragment]) -> list[bytes]:
    """
    Join pieces of one length, the newest first, if they are a whole message.

    Where there is a choice, the newest ones make it, and, before that, any: somebody who always
    comes last does not spoil each try.
    """
    if not _is_whole(pieces):
        return []
    newest = _join(pieces, lambda covering: covering[0])
    if sum(len(each.body) for each in pieces) == len(newest):
        return [newest]
    return [_join(pieces, choice), newest]


def _is_whole(pieces: Sequence[Fragment]) -> bool:
    """Whether the pieces leave no gap; then there is no wrong turn in joining them."""
    end = 0
    for offset, after in sorted((each.offset, each.offset + len(each.body)) for each in pieces):
        if offset > end:
            return False
        end = max(end, after)
    return bool(pieces) and end == pieces[0].length


def _join(pieces: Sequence[Fragment], choose: Callable[[list[Fragment]], Fragment]) -> bytes:
    built = b""
    while len(built) < pieces[0].length:
        at = len(built)
        piece = choose(
            [each for each in pieces if each.offset <= at < each.offset + len(each.body)]
        )
        built += piece.body[at - piece.offset :]
    return built
