"""
The gateway's HTTP interface: polls, and the pages that a site serves of it.

A poll is held until there is a message. It is closed without an answer when its time is over, or
when a newer one takes its place: an answer without a message would sign the old client out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final
from urllib.parse import quote

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.web.http import Request
from twisted.web.resource import IResource

from b2bua.gateway.gateway import Gateway
from b2bua.gateway.kinds import kind_of
from b2bua.gateway.mailbox import Letter
from b2bua.gateway.session import Session
from b2bua.net.web_access import Access
from b2bua.net.web_answers import vouch
from b2bua.net.web_pages import judged_session, pages
from b2bua.net.web_sign_in import SignIns
from b2bua.settings import GatewaySettings

FLUSHED_AFTER: Final = 0.005
"""
Seconds until a poll's answer counts as sent, if the kernel has it by then. What it has not when the
connection is gone waits for the next poll; what it has is not said again.
"""
SENT_WITHIN: Final = 30.0
"""Seconds in which the kernel is to take a poll's answer: whoever reads none of it is gone."""
CLOSED_WITHIN: Final = 5.0
"""Seconds in which a connection is to end that we close: over TLS its client has a say in it."""
_LONGEST_PAUSE: Final = 1.0
_SAFE_IN_QUERY: Final = "+*~!@$'():,;"


class Poll:
    """One /wait that is held, or has its answer and may lose its connection still."""

    __slots__ = (
        "answered_at",
        "delayed",
        "is_answered",
        "is_over",
        "pause",
        "request",
        "session",
        "transport",
    )

    def __init__(self, session: Session, request: Request) -> None:
        self.session = session
        self.request = request
        self.transport = getattr(request.channel, "transport", None)
        self.is_answered = False
        self.is_over = False
        self.answered_at = 0.0
        self.pause = FLUSHED_AFTER
        self.delayed: IDelayedCall | None = None

    def stop_waiting(self) -> None:
        """Take its time off the clock."""
        delayed, self.delayed = self.delayed, None
        if delayed is not None and delayed.active():
            delayed.cancel()

    def abort(self) -> None:
        """End its connection, whatever its client does."""
        self.delayed = None
        if self.transport is not None:
            self.transport.abortConnection()


class WebInterface:
    """
    The interface of one B2BUA. ``pump`` has done what the gateway wants when it returns.
    """

    def __init__(
        self,
        gateway: Gateway,
        settings: GatewaySettings,
        origins: Iterable[str],
        clock: IReactorTime,
        pump: Callable[[], None],
    ) -> None:
        self.gateway = gateway
        self.settings = settings
        self.access = Access(settings, origins)
        self.clock = clock
        self.pump = pump
        self._polls: dict[Session, Poll] = {}
        """Those that are held."""
        self._answered: dict[Session, Poll] = {}
        """Those whose answers are in doubt."""
        self._closing: set[Poll] = set()
        """Those whose connections are to end."""
        self.sign_ins = SignIns(self)
        self._pages = pages(self)
        self.received: Counter[str] = Counter()
        """Messages of pages that were taken, by kind."""
        self.refused: Counter[str] = Counter()
        """Messages that were not taken, by reason."""
        self.sent: Counter[str] = Counter()
        """Messages that polls were answered with, by kind."""

    @property
    def polls(self) -> int:
        """How many polls are held."""
        return len(self._polls)

    def pages(self) -> Mapping[bytes, IResource]:
        """Children for the root of a site."""
        return self._pages

    def session_of(self, request: Request) -> Session | None:
        """The session that asks a page of others', see ``judged_session``."""
        return judged_session(self, request)

    def now(self) -> float:
        """The time."""
        return float(self.clock.seconds())

    # Polls.

    def hold(self, session: Session, request: Request) -> None:
        """Answer this request when there is a message for a session."""
        old = self._polls.get(session)
        if old is not None:
            self._close(old)
        poll = self._polls[session] = Poll(session, request)
        finished: Deferred[None] = request.notifyFinish()
        finished.addCallbacks(self._sent, self._lost, callbackArgs=(poll,), errbackArgs=(poll,))
        poll.delayed = self.clock.callLater(self.settings.poll_seconds, self._close, poll)
        self.gateway.poll_began(session, self.now())
        self.deliver(session)

    def deliver(self, session: Session) -> None:
        """Answer a session's poll, if it has one, and if there is a message."""
        poll = self._polls.get(session)
        if poll is None:
            return
        letter = session.mailbox.hand_out()
        if letter is None:
            return
        poll.stop_waiting()
        del self._polls[session]
        self._answered[session] = poll
        poll.is_answered = True
        poll.answered_at = self.now()
        self.sent[kind_of(letter.text)] += 1
        self.gateway.poll_ended(session, self.now())
        _write(poll.request, letter)
        poll.delayed = self.clock.callLater(FLUSHED_AFTER, self._finish, poll)

    def _finish(self, poll: Poll) -> None:
        if not _unsent(poll.transport):
            poll.request.finish()
        elif self.now() - poll.answered_at >= SENT_WITHIN:
            poll.abort()
        else:
            poll.pause = min(2 * poll.pause, _LONGEST_PAUSE)
            poll.delayed = self.clock.callLater(poll.pause, self._finish, poll)

    def _sent(self, _: object, poll: Poll) -> None:
        """The answer is on its way, and the connection still there."""
        self._closing.discard(poll)
        poll.stop_waiting()
        if poll.is_over:
            return
        poll.is_over = True
        session = poll.session
        if self._answered.get(session) is poll:
            del self._answered[session]
        self.gateway.delivered(session, self.now())
        self.pump()

    def _lost(self, _: object, poll: Poll) -> None:
        """The connection is gone."""
        self._closing.discard(poll)
        poll.stop_waiting()
        if poll.is_over:
            return
        poll.is_over = True
        session = poll.session
        if poll.is_answered:
            if self._answered.get(session) is poll:
                del self._answered[session]
            if _unsent(poll.transport) == 0:
                # Its page may have it, and closed the connection for that very reason.
                self.gateway.delivered(session, self.now())
            else:
                session.mailbox.give_back()
        elif self._polls.get(session) is poll:
            del self._polls[session]
            self.gateway.poll_broken(session, self.now())
        self.pump()

    def _close(self, poll: Poll) -> None:
        """Close a poll without an answer."""
        if poll.is_over or poll.is_answered:
            return
        poll.stop_waiting()
        poll.is_over = True
        if self._polls.get(poll.session) is poll:
            del self._polls[poll.session]
            self.gateway.poll_ended(poll.session, self.now())
        poll.delayed = self.clock.callLater(CLOSED_WITHIN, poll.abort)
        self._closing.add(poll)
        poll.request.loseConnection()

    def session_ended(self, session: Session) -> None:
        """Close what a session still waits for."""
        poll = self._polls.get(session)
        if poll is not None:
            self._close(poll)

    def judged(self, dn: str) -> None:
        """The SIP Server has said something of a DN; what follows from it follows soon."""
        if self.gateway.sessions.of_user(dn):
            self.clock.callLater(0, self._judged, dn)

    def _judged(self, dn: str) -> None:
        self.gateway.stand_by_password(dn, self.now())
        self.pump()
        for session in self.gateway.sessions.of_user(dn):
            poll = self._polls.get(session)
            if poll is not None:
                vouch(poll.request, session)
        self.sign_ins.judged(dn)

    def stop(self) -> None:
        """Close every poll, and answer who signs in."""
        self.sign_ins.stop()
        for poll in list(self._polls.values()):
            self._close(poll)
        for poll in self._closing:
            poll.stop_waiting()
        self._closing.clear()


def _unsent(transport: object) -> int | None:
    """
    How many bytes of a connection the kernel has not taken; None where nobody can say.

    Twisted's layers over a socket, TLS among them, give its attributes for their own.
    """
    buffered = getattr(transport, "dataBuffer", None)
    if not isinstance(buffered, bytes):
        return None
    offset: int = getattr(transport, "offset", 0)
    more: int = getattr(transport, "_tempDataLen", 0)
    return len(buffered) - offset + more


def name_in_query(peer: str) -> str:
    """A peer's name as it may stand in a query without being escaped by whoever puts it there."""
    return quote(peer, safe=_SAFE_IN_QUERY)


def _write(request: Request, letter: Letter) -> None:
    body = letter.text.encode(errors="replace")
    request.setResponseCode(200)
    request.setHeader(b"pragma", name_in_query(letter.peer).encode("ascii"))
    request.setHeader(b"content-length", b"%d" % len(body))
    request.write(body)
