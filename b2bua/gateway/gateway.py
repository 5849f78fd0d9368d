"""
The gateway as a whole, without sockets: what pages do and what the B2BUA sends goes in, messages
for the B2BUA come out, and word of which session has something for its poll.

::

    sign_in, post, poll ─▶ sessions ─▶ call (ROAP) ─▶ agent ─▶ Send ─▶ B2BUA
             letters ◀─ mailbox ◀──────── call ◀───── agent ◀── receive ◀─┘
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from b2bua.call_events import PageGone, SignedIn, SignedOut, SignInRefused, Subscriber
from b2bua.core import Randomness
from b2bua.faults import contained
from b2bua.gateway.agent import Agent, Counters
from b2bua.gateway.errors import Malformed, SignInRefusal, TooOften
from b2bua.gateway.mailbox import Letter
from b2bua.gateway.roap import MessageType, RoapMessage
from b2bua.gateway.session import Session
from b2bua.gateway.sessions import Sessions
from b2bua.gateway.texts import Posted, read_posted
from b2bua.gateway.to_page import Gathered
from b2bua.settings import B2buaSettings, GatewaySettings
from b2bua.sip.hop import BROWSER, Hop
from b2bua.sip.message import Message
from b2bua.sip.outputs import Send
from b2bua.sip.timers import Deadlines, earliest


@dataclass(frozen=True, slots=True)
class HopClosed:
    """A session is over: who was behind its hop is gone."""

    session: Session


@dataclass(frozen=True, slots=True)
class Ready:
    """A session has a letter for its poll."""

    session: Session


Output = Send | HopClosed | Ready


class Verdict(Enum):
    """What the SIP Server says of a password that only it knows."""

    AWAITED = 0
    TAKEN = 1
    """Or nobody asks it."""
    REFUSED = 2


_WRONG_PASSWORD: Final = frozenset({401, 403, 407})
_NO_SUCH_DN: Final = frozenset({404, 410, 604})

GONE_AFTER: Final = 12.0
"""
Seconds after which a page that closed the connection of its poll does not come back: the old
client asks anew after 3 s, and a page that is loaded anew is another one.
"""
_LOOK_AGAIN: Final = 2.0
LONGEST_PEER: Final = 256
"""Characters of whom a message is for: a number is shorter, and so is each name we give."""
_DESCRIPTIONS: Final = frozenset({MessageType.OFFER, MessageType.ANSWER})


class Gateway:
    """
    Sessions and their calls.

    ``lend`` takes the password that a DN has at the SIP Server, None when its last session ends.
    ``proved`` gives it back once the SIP Server has taken it, ``is_registered`` tells whether a DN
    is registered there, and ``is_registering`` whether the SIP Server is still to say.
    ``gathered`` and ``counters`` ask the media plane; ``wall`` is the time of day.
    """

    def __init__(
        self,
        settings: B2buaSettings,
        gateway: GatewaySettings,
        random: Randomness,
        *,
        emit: Subscriber,
        lend: Callable[[str, str | None, float], None],
        proved: Callable[[str], str | None],
        is_registered: Callable[[str], bool],
        is_registering: Callable[[str], bool],
        gathered: Gathered,
        counters: Counters,
        wall: Callable[[], float],
    ) -> None:
        self._emit = emit
        self._lend = lend
        self._proved = proved
        self._is_registered = is_registered
        self._is_registering = is_registering
        self._lent: dict[str, str] = {}
        """Passwords of DNs that the SIP Server has, or is to judge."""
        self._statuses: dict[str, int] = {}
        """What the SIP Server has answered the REGISTERs of DNs whose passwords were lent."""
        self._closed: list[Session] = []
        self._absent: Deadlines[Session] = Deadlines()
        """Sessions whose pages may be gone, though they have calls."""
        self.sessions = Sessions(settings, gateway, random.octets)
        self.agent = Agent(
            settings,
            self.sessions,
            random,
            emit=emit,
            gathered=gathered,
            counters=counters,
            wall=wall,
        )

    # What pages do.

    def sign_in(self, user: str, password: str, host: str, now: float) -> Session:
        """Begin a session, and register it. Raises SignInRefusal."""
        try:
            session, leaving = self.sessions.sign_in(
                user,
                password,
                host,
                now,
                self._proved(user),
                is_registered=self._is_registered(user),
            )
        except SignInRefusal as refused:
            self._emit(SignInRefused(host, refused.status, refused.reason))
            raise
        if leaving is not None:
            self.end(leaving, "replaced", now)
        session.password = self.sessions.upstream_password(user, password)
        if session.password is not None and not self._is_judging_another(user, session.password):
            self._lend_for(user, session.password, now)
        self._emit(SignedIn(user, host, session.is_anonymous))
        if not session.is_anonymous:
            self.agent.register(session, now)
        return session

    def _lend_for(self, dn: str, password: str, now: float) -> None:
        self._statuses.pop(dn, None)
        self._lent[dn] = password
        self._lend(dn, password, now)

    def _is_judging_another(self, dn: str, password: str) -> bool:
        """
        Whether the SIP Server is about to say what it thinks of another password of a DN.

        Until it has, no other is lent: the verdict would be taken for that on the new one.
        """
        lent = self._lent.get(dn, password)
        return lent != password and dn not in self._statuses and self._is_registering(dn)

    def judged(self, dn: str, status: int) -> None:
        """Note what the SIP Server says of a DN: 200, or why it is not registered."""
        if dn in self._lent and status:
            self._statuses[dn] = status

    def stand_by_password(self, dn: str, now: float) -> None:
        """
        End the sessions of a DN that did not begin with the password that the SIP Server took.

        They signed in before anybody could know, and would call by another's password. Whoever is
        left has proved to be that DN, if the SIP Server has it registered. Where it has refused
        the password, the next one is tried that a page has brought meanwhile.
        """
        if self._statuses.get(dn) in _WRONG_PASSWORD:
            self._try_next_password(dn, now)
        taken = self._proved(dn) if dn in self._lent else None
        for session in self.sessions.of_user(dn):
            if taken is not None and session.password != taken:
                session.is_refused = True
                self.end(session, "refused", now)
        if self._is_registered(dn):
            self.sessions.registered(dn)

    def _try_next_password(self, dn: str, now: float) -> None:
        refused = self._lent.get(dn)
        sessions = [each for each in self.sessions.of_user(dn) if each.password is not None]
        for session in sessions:
            session.is_refused = session.is_refused or session.password == refused
        waiting = next((session for session in sessions if not session.is_refused), None)
        if waiting is not None and waiting.password is not None:
            self._lend_for(dn, waiting.password, now)

    def verdict(self, session: Session) -> Verdict:
        """Tell how the password fares that a session began with."""
        if session.is_refused:
            return Verdict.REFUSED
        if session.password is None:
            return Verdict.TAKEN
        status = self._statuses.get(session.user)
        if status is None:
            waits = self._is_registering(session.user) and not session.is_over
            return Verdict.AWAITED if waits else Verdict.TAKEN
        is_refused = status in _WRONG_PASSWORD or status in _NO_SUCH_DN
        return Verdict.REFUSED if is_refused else Verdict.TAKEN

    def refuse(self, session: Session, now: float) -> SignInRefusal:
        """End a session that the SIP Server does not want; why, for its page."""
        status = self._statuses.get(session.user)
        refusal = SignInRefusal("refused" if status in _NO_SUCH_DN else "password")
        self._emit(SignInRefused(session.host, refusal.status, refusal.reason))
        self.end(session, "refused", now)
        return refusal

    def sign_out(self, session: Session, now: float) -> None:
        """End a session because its page says so."""
        self.end(session, "signed-out", now)

    def end(self, session: Session, reason: str, now: float) -> None:
        """End a session and its calls; ``reason`` is a fixed word."""
        if session.is_over:
            return
        with contained(self._emit):
            self.agent.hang_up_all(session, now)
        self._absent.set(session, None)
        self.sessions.remove(session)
        self._closed.append(session)
        if session.user in self._lent and not self.sessions.of_user(session.user):
            del self._lent[session.user]
            self._statuses.pop(session.user, None)
            self._lend(session.user, None, now)
        self._emit(SignedOut(session.user, session.host, reason))

    def end_all(self, now: float) -> None:
        """End every session, because the process is about to."""
        for session in self.sessions:
            self.end(session, "shutdown", now)

    def post(self, session: Session, peer: str, text: str, now: float) -> None:
        """Take a message of a page to, or about, a peer. Raises Malformed, and TooOften."""
        self._is_here(session)
        if len(peer) > LONGEST_PEER:
            # Every answer about it would have it in its head.
            raise Malformed("the name of a peer is too long")
        if not session.allowance.takes(text, now):
            raise TooOften
        posted = read_posted(text)
        if _describes(posted) and not session.allowance.takes_description(now):
            raise TooOften
        self.agent.post(session, peer, posted, now)
        self.agent.pump(now)
        if session.mailbox.is_full:
            self.end(session, "no-poll", now)

    def poll_began(self, session: Session, now: float) -> None:
        """A poll is there."""
        self._is_here(session)
        session.is_polled = True
        session.last_polled = now
        self.sessions.set_deadline(session)

    def poll_ended(self, session: Session, now: float) -> None:
        """No poll is there any more."""
        session.is_polled = False
        session.last_polled = now
        self.sessions.set_deadline(session)

    def poll_broken(self, session: Session, now: float) -> None:
        """The page has closed the connection of its poll: to ask anew, or because it is gone."""
        self.poll_ended(session, now)
        if not session.is_over:
            session.left_at = now
            self._absent.set(session, now + GONE_AFTER)

    def _is_here(self, session: Session) -> None:
        session.left_at = None
        self._absent.set(session, None)

    def has_left(self, hop: Hop, now: float) -> bool:
        """Whether the page at this hop has closed its poll for too long to be there still."""
        session = self.sessions.numbered(hop.flow) if hop.transport == BROWSER else None
        left_at = None if session is None else session.left_at
        return left_at is not None and now - left_at >= GONE_AFTER

    def delivered(self, session: Session, now: float) -> None:
        """The letter that was handed out is on its way."""
        letter = session.mailbox.confirm()
        if letter is not None:
            self._delivered(session, letter, now)

    def _delivered(self, session: Session, letter: Letter, now: float) -> None:
        self.agent.delivered(session, letter, now)
        self.agent.pump(now)

    # What the B2BUA does.

    def receive(self, message: Message, hop: Hop, now: float) -> None:
        """Take a message of the B2BUA for the session of this hop."""
        self.agent.receive(message, hop, now)

    # Time, and what comes out.

    def next_timeout(self) -> float | None:
        """When to call ``handle_timeout``, if ever."""
        return earliest(
            self.sessions.deadlines.next(), self._absent.next(), self.agent.next_timeout()
        )

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        for session in self.sessions.deadlines.take_due(now):
            with contained(self._emit):
                self.end(session, "no-poll", now)
        for session in self._absent.take_due(now):
            with contained(self._emit):
                self._look_for(session, now)
        self.agent.handle_timeout(now)

    def _look_for(self, session: Session, now: float) -> None:
        """
        End the calls of a page that is gone: its media ceased when its poll did.

        Where they did not, or there were none, the loss of ICE's consent is waited for.
        """
        if session.left_at is None:
            return
        ended = self.agent.hang_up_silent(session, session.left_at, now)
        if ended:
            self._emit(PageGone(session.user, session.host, ended))
        if session.calls:
            self._absent.set(session, now + _LOOK_AGAIN)

    def take_outputs(self) -> list[Output]:
        """Give what is to be sent and told, in order, once."""
        outputs: list[Output] = list(self.agent.take_outputs())
        closed, self._closed = self._closed, []
        outputs += [HopClosed(session) for session in closed]
        for session in self.sessions.take_touched():
            if session.mailbox.is_ready:
                outputs.append(Ready(session))
        return outputs


def _describes(posted: Posted) -> bool:
    """Whether a session description comes with it."""
    return isinstance(posted, RoapMessage) and posted.type in _DESCRIPTIONS
