"""
What a client is yet to be told: one message for each poll, in order, none lost, none twice.

A poll's answer is not acknowledged. A letter that was handed out is in doubt until its bytes are
on their way; if the connection ends before, it comes back to the front.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

MOST: Final = 64
"""Letters that may wait; of what carries no call's state, more are dropped."""
MOST_OF_CALLS: Final = 256
"""Where even letters of calls are too many: nobody reads this mailbox any more."""


class Letter:
    """One message: ``peer`` is the call's, which the answer's Pragma names."""

    __slots__ = ("is_gone", "is_withdrawn", "peer", "text")

    def __init__(self, peer: str, text: str) -> None:
        self.peer = peer
        self.text = text
        self.is_gone = False
        """Handed out for good."""
        self.is_withdrawn = False


class Mailbox:
    """Letters in their order; at most one of them is in doubt. ``tell`` hears of each change."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell
        self._letters: deque[Letter] = deque()
        self._in_doubt: Letter | None = None

    def __len__(self) -> int:
        return len(self._letters) + (self._in_doubt is not None)

    @property
    def is_full(self) -> bool:
        """Whether nobody can have read it for long."""
        return len(self) >= MOST_OF_CALLS

    @property
    def is_ready(self) -> bool:
        """Whether a poll would be answered at once."""
        return bool(self._letters) and self._in_doubt is None

    def put(self, letter: Letter, *, may_drop: bool = False) -> None:
        """Put a letter behind the others; with ``may_drop`` only while there are few."""
        if not may_drop or len(self) < MOST:
            self._letters.append(letter)
            self._tell()

    def withdraw(self, letter: Letter) -> bool:
        """Take a letter back; whether nobody has seen it, nor will."""
        letter.is_withdrawn = True
        if letter in self._letters:
            self._letters.remove(letter)
            return True
        return False

    def hand_out(self) -> Letter | None:
        """The next letter, for a poll to bring; nothing while one is in doubt."""
        if not self.is_ready:
            return None
        self._in_doubt = self._letters.popleft()
        return self._in_doubt

    def confirm(self) -> Letter | None:
        """Note that the letter in doubt, which is returned, is on its way."""
        letter, self._in_doubt = self._in_doubt, None
        if letter is not None:
            letter.is_gone = True
            self._tell()
        return letter

    def give_back(self) -> None:
        """Note that the letter in doubt has not been sent."""
        letter, self._in_doubt = self._in_doubt, None
        if letter is not None and not letter.is_withdrawn:
            self._letters.appendleft(letter)
        self._tell()
