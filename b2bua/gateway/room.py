"""
Room for sessions: who has proved to be its user finds some, all others share what is left.

A session has proved itself when its password was the right one, or when the SIP Server has its DN
registered. Many of them may be behind one address, as a contact centre is. Others count for the
address that they come from, which may have as many as it leaves free. Where that is too few, the
address with most of them gives one up, unless all of them have calls.
"""

from __future__ import annotations

from b2bua.gateway.errors import SignInRefusal
from b2bua.gateway.session import Session
from b2bua.source_budget import source_of


class Room:
    """So many places, and the sessions that hold one."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._held = 0
        self._unproved: dict[str, dict[Session, None]] = {}
        """By source, the oldest first."""

    def find(self, host: str, *, is_proved: bool) -> Session | None:
        """Find a place for one more, and the session that gives way. Raises SignInRefusal."""
        free = self._places - self._held
        own = len(self._unproved.get(source_of(host), ()))
        if free > 0 and (is_proved or own <= free):
            return None
        return self._give_up(0 if is_proved else own + 1)

    def _give_up(self, share: int) -> Session:
        """One of a source that has more than its share of those who have proved nothing."""
        for sessions in sorted(self._unproved.values(), key=len, reverse=True):
            if len(sessions) <= share:
                break
            idle = next((session for session in sessions if not session.calls), None)
            if idle is not None:
                return idle
        raise SignInRefusal("full")

    def calls_of(self, source: str) -> int:
        """How many calls the anonymous users of a source have."""
        present = self._unproved.get(source, ())
        return sum(len(session.calls) for session in present if session.is_anonymous)

    def take(self, session: Session) -> None:
        """A session begins."""
        self._held += 1
        if not session.is_proved:
            self._unproved.setdefault(source_of(session.host), {})[session] = None

    def prove(self, session: Session) -> None:
        """A session has proved itself: it counts for its address no more."""
        session.is_proved = True
        self._forget(session)

    def give_back(self, session: Session) -> None:
        """A session is over."""
        self._held -= 1
        self._forget(session)

    def _forget(self, session: Session) -> None:
        source = source_of(session.host)
        present = self._unproved.get(source, {})
        present.pop(session, None)
        if not present:
            self._unproved.pop(source, None)
