"""
What a call says to its page: letters in the order in which they came up.

A description leaves when the candidates are known that are not in it yet; what comes up behind it
waits with it. When the call ends, what has not left stays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from b2bua.gateway import texts
from b2bua.gateway.candidates import fragments, with_gathered
from b2bua.gateway.mailbox import Letter, Mailbox
from b2bua.gateway.roap import MessageType, RoapMessage, write

Gathered = Callable[[str, Callable[[tuple[str, ...]], None]], None]
"""Calls back with the candidates of an ``ice-ufrag`` that are not in our description."""


class _Waiting:
    """A message that waits for candidates, or behind one that does."""

    __slots__ = ("left", "message")

    def __init__(self, message: RoapMessage | str) -> None:
        self.message = message
        self.left = set() if isinstance(message, str) else set(fragments(message.sdp))


class ToPage:
    """The letters of one call."""

    def __init__(self, mailbox: Mailbox, peer: str, gathered: Gathered) -> None:
        self._mailbox = mailbox
        self._peer = peer
        self._gathered = gathered
        self._outgoing: list[_Waiting] = []
        self._offer: Letter | None = None
        """Our OFFER, or INVITE, as long as it may not be on its way."""

    def tell(self, text: str) -> None:
        """Say this, after what waits."""
        self._outgoing.append(_Waiting(text))
        self._flush()

    def invite(self) -> None:
        """Ask for an offer."""
        self._flush()
        self._offer = self._put(texts.INVITE)

    def send(self, message: RoapMessage) -> None:
        """Send a description when its candidates are known."""
        waiting = _Waiting(message)
        self._outgoing.append(waiting)
        for fragment in tuple(waiting.left):
            self._gathered(fragment, self._taker(waiting, fragment))
        self._flush()

    @property
    def is_offer_unseen(self) -> bool:
        """Whether an OFFER waits here still, so that the page cannot have it."""
        return bool(self._outgoing) or (
            self._offer is not None and self._mailbox.withdraw(self._offer)
        )

    def take_back(self) -> bool:
        """Drop what has not left, our OFFER too; whether an OFFER may have reached the page."""
        self._outgoing.clear()
        offer, self._offer = self._offer, None
        return offer is not None and not self._mailbox.withdraw(offer)

    def delivered(self, letter: Letter) -> bool:
        """Note that a letter is on its way; whether it was our OFFER, or INVITE."""
        if letter is not self._offer:
            return False
        self._offer = None
        return True

    def _taker(self, waiting: _Waiting, fragment: str) -> Callable[[tuple[str, ...]], None]:
        def take(candidates: tuple[str, ...]) -> None:
            if fragment not in waiting.left or waiting not in self._outgoing:
                return
            waiting.left.discard(fragment)
            message = waiting.message
            if candidates and isinstance(message, RoapMessage):
                body = with_gathered(message.sdp, fragment, candidates)
                waiting.message = replace(message, sdp=body)
            self._flush()

        return take

    def _flush(self) -> None:
        while self._outgoing and not self._outgoing[0].left:
            message = self._outgoing.pop(0).message
            if isinstance(message, str):
                self._put(message)
                continue
            letter = self._put(write(message))
            if message.type is MessageType.OFFER:
                self._offer = letter

    def _put(self, text: str) -> Letter:
        letter = Letter(self._peer, text)
        self._mailbox.put(letter)
        return letter
