"""
Who may sign in, and the sessions of those who have.

A DN of ``sip-register`` needs no password, as ever, unless the users' list has one for it; one
that is given all the same is for the SIP Server to judge. While a session lives whose password
the SIP Server has asked for and taken, others of that DN need the same. Whoever is neither is
anonymous.
All sessions of a DN ring, and the first to answer has the call; where it has too many, the oldest
without a call gives way, so that a page that was closed without a word keeps nobody out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hmac import compare_digest
from typing import Final

from b2bua.dial_numbers import LONGEST_DN
from b2bua.gate import GUESSES, TROUBLE, WINDOW, WRONG_PASSWORD
from b2bua.gateway.errors import SignInRefusal
from b2bua.gateway.room import Room
from b2bua.gateway.session import Session
from b2bua.parties import SELF
from b2bua.settings import B2buaSettings, GatewaySettings
from b2bua.sip.timers import Deadlines
from b2bua.source_budget import SourceBudget, source_of

UNPROVED: Final = 20
"""
Passwords for one user from one source that the SIP Server is to judge, in ``WINDOW``: pages that
are loaded anew have as many, and who guesses has no more.
"""
CALLS_TO_SELF: Final = 60
"""A minute, of all anonymous users of one source: each takes a port and a handshake."""
ANONYMOUS_CALLS: Final = 100
"""At a time, of all anonymous users of one source; there are a thousand ports for everybody."""
_NO_PASSWORD: Final = frozenset({"", "undefined", "null"})
"""What old clients send where a page gave none."""


class Sessions:
    """
    The sessions. ``octets`` are random.

    Whose password is wrong too often is not listened to for a while: memory stays the same.
    """

    def __init__(
        self, settings: B2buaSettings, gateway: GatewaySettings, octets: Callable[[int], bytes]
    ) -> None:
        self._settings = settings
        self._gateway = gateway
        self._octets = octets
        self._by_sid: dict[str, Session] = {}
        self._by_number: dict[int, Session] = {}
        self._by_user: dict[str, list[Session]] = {}
        self._room = Room(gateway.sessions)
        self._last_number = 0
        self.deadlines: Deadlines[Session] = Deadlines()
        self._touched: dict[Session, None] = {}
        key = octets(32)
        self._trouble = SourceBudget(TROUBLE, WINDOW, key)
        self._guesses = SourceBudget(GUESSES, WINDOW, key)
        self._unproved = SourceBudget(UNPROVED, WINDOW, key)
        self._calls = SourceBudget(gateway.anonymous_calls_per_minute, 60.0, key)
        self._calls_to_self = SourceBudget(CALLS_TO_SELF, 60.0, key)

    def __len__(self) -> int:
        return len(self._by_sid)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._by_sid.values()))

    def find(self, sid: str) -> Session | None:
        """The session that this secret is of."""
        return self._by_sid.get(sid)

    def numbered(self, number: int) -> Session | None:
        """The session with this number."""
        return self._by_number.get(number)

    def of_user(self, user: str) -> list[Session]:
        """The sessions of a user, the oldest first."""
        return list(self._by_user.get(user, ()))

    def _touch(self, session: Session) -> None:
        self._touched[session] = None

    def take_touched(self) -> list[Session]:
        """Give those whose mailboxes have changed, once."""
        touched, self._touched = self._touched, {}
        return [session for session in touched if not session.is_over]

    # Signing in.

    def sign_in(
        self,
        user: str,
        password: str,
        host: str,
        now: float,
        proved: str | None = None,
        *,
        is_registered: bool = False,
    ) -> tuple[Session, Session | None]:
        """
        Make a session, and say which one gives way to it. Raises SignInRefusal.

        ``is_registered`` says whether the SIP Server has the user registered, and ``proved`` is the
        password by which it has, if it has asked for one.
        """
        if not 0 < len(user) <= LONGEST_DN or not _is_name(user):
            raise SignInRefusal("id")
        expected = self._settings.phones.users.get(user, proved)
        is_anonymous = self._check(user, _given(password), expected, source_of(host), now)
        is_proved = bool(expected) or (is_registered and not is_anonymous)
        # Where one of its own gives way, nobody else has to.
        leaving = self._make_room(user) or self._room.find(host, is_proved=is_proved)
        self._last_number += 1
        session = Session(
            self._octets(16).hex(),
            self._last_number,
            user,
            host,
            self._touch,
            is_anonymous=is_anonymous,
            is_proved=is_proved,
            now=now,
        )
        self._by_sid[session.sid] = session
        self._by_number[session.number] = session
        self._by_user.setdefault(user, []).append(session)
        self._room.take(session)
        self.set_deadline(session)
        return session, leaving

    def _check(
        self, user: str, password: str, expected: str | None, source: str, now: float
    ) -> bool:
        """Check who somebody says to be; whether that is nobody in particular."""
        if expected is None:
            if self._settings.registered.matches(user):
                self._count_unproved(user, password, source, now)
                return False
            if not self._gateway.allow_anonymous:
                raise SignInRefusal("anonymous")
            return True
        claimed = f"{source} {user}"
        if self._trouble.is_spent(source, now) or self._guesses.is_spent(claimed, now):
            raise SignInRefusal("silenced")
        if not compare_digest(expected.encode(), password.encode(errors="replace")):
            self._trouble.charge(source, now, WRONG_PASSWORD)
            self._guesses.charge(claimed, now)
            raise SignInRefusal("password")
        return False

    def _count_unproved(self, user: str, password: str, source: str, now: float) -> None:
        """Bound how often somebody may have the SIP Server judge a password."""
        claimed = f"{source} {user}"
        if not password:
            return
        if self._unproved.is_spent(claimed, now):
            raise SignInRefusal("silenced")
        self._unproved.charge(claimed, now)

    def upstream_password(self, user: str, password: str) -> str | None:
        """What a DN's own page says its password at the SIP Server is, if that is for it to say."""
        given = _given(password)
        is_ours = user in self._settings.phones.users
        registered = self._settings.registered.matches(user)
        return given if given and registered and not is_ours else None

    def _make_room(self, user: str) -> Session | None:
        present = self._by_user.get(user, [])
        if len(present) < self._gateway.sessions_per_user:
            return None
        oldest = next((session for session in present if not session.calls), None)
        if oldest is None:
            raise SignInRefusal("user-full")
        return oldest

    # Life.

    def registered(self, dn: str) -> None:
        """The SIP Server has a DN registered: whoever has signed in with it has proved to be it."""
        for session in self._by_user.get(dn, ()):
            if not session.is_anonymous and not session.is_proved:
                self._room.prove(session)

    def remove(self, session: Session) -> None:
        """Forget a session."""
        session.is_over = True
        self.deadlines.set(session, None)
        if self._by_sid.pop(session.sid, None) is None:
            return
        del self._by_number[session.number]
        self._room.give_back(session)
        present = self._by_user[session.user]
        present.remove(session)
        if not present:
            del self._by_user[session.user]

    def set_deadline(self, session: Session) -> None:
        """Note until when a session lives without a poll."""
        ends = session.last_polled + self._gateway.reap_seconds
        is_watched = not session.is_polled and not session.is_over
        self.deadlines.set(session, ends if is_watched else None)

    # What anonymous users may do.

    def may_call(self, session: Session, number: str, now: float) -> bool:
        """Whether a session may call a number, or itself, now; it is counted if so."""
        if not session.is_anonymous:
            return True
        if number != SELF and not self._is_open(number):
            return False
        budget = self._calls_to_self if number == SELF else self._calls
        source = source_of(session.host)
        if budget.is_spent(source, now) or self._room.calls_of(source) > ANONYMOUS_CALLS:
            return False
        budget.charge(source, now)
        return True

    def _is_open(self, number: str) -> bool:
        """Whether anonymous users may call a number."""
        allowed = self._gateway.anonymous_destinations
        return allowed is None or allowed.matches(number)


def _given(password: str) -> str:
    return "" if password in _NO_PASSWORD else password


def _is_name(user: str) -> bool:
    # What follows a ";" in the user of a URI is none of the number (RFC 3966), so that somebody
    # nobody has asked for a password would call with the number before it.
    return user.isascii() and user.isprintable() and not set(user) & set(' "<>\\;')
