"""
When a peer is asked for a whole picture (RFC 4585, section 6.3.1; RFC 5104, section 4.3.1).
"""

from __future__ import annotations


class PictureRequests:
    """
    Keeps the requests to one peer apart; what comes too early is wanted, and sent when it is due.

    One request serves everybody who wanted a picture until then.
    """

    __slots__ = ("_asked", "_is_wanted", "_spacing")

    def __init__(self) -> None:
        self._spacing: float | None = None
        self._asked: float | None = None
        """When the peer was asked last."""
        self._is_wanted = False

    def space(self, seconds: float | None) -> None:
        """Let so many seconds pass between two requests at least; None: there are none."""
        self._spacing = seconds
        if seconds is None:
            self.forget()

    def ask(self, now: float) -> bool:
        """Return whether to send a request; if so it is taken as sent, else as wanted."""
        if self._spacing is None:
            return False
        self._is_wanted = self._earliest(now) > now
        if not self._is_wanted:
            self._asked = now
        return not self._is_wanted

    def due(self, now: float) -> float | None:
        """Return when to send what is wanted; None where nothing is."""
        return self._earliest(now) if self._is_wanted else None

    def forget(self) -> None:
        """Nobody wants a picture any more."""
        self._is_wanted = False

    def _earliest(self, now: float) -> float:
        if self._asked is None or self._spacing is None:
            return now
        return max(now, self._asked + self._spacing)
