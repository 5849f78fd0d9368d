"""
Connections with HTTP, and their requests: how large, how many, and how slow they may be.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import AnyStr, cast

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web import http, server

from suite.http_deadline import HttpDeadline

MAX_BODY = 64 * 1024
IDLE_TIMEOUT = 30
MAX_REQUESTS = 30
"""
Of one connection, unless its client has signed in: pipelined ones are all answered in one turn of
the reactor.
"""
HEAD_TIMEOUT = 10.0
"""Seconds for the head of a request, from its first byte."""
BODY_TIMEOUT = 15.0
"""Seconds for its body, from the end of the head."""
_LONGEST_LENGTH = 32
"""Characters of a Content-Length with the blanks around it."""


class PageRequest(server.Request):
    """
    A request whose body may not exceed ``MAX_BODY`` bytes.

    One that is larger is answered before the rest of it comes, by whoever it is for: see
    ``is_too_large``. The connection ends with that answer.
    """

    is_too_large = False
    _body = 0

    def getHeader(self, key: AnyStr) -> AnyStr | None:
        """
        Give a field's last value; as text it may hold any byte (RFC 9110, section 5.5).

        Twisted takes it for UTF-8, and raises where it is none.
        """
        name = key if isinstance(key, bytes) else key.encode()
        value = super().getHeader(name)
        if value is None or isinstance(key, bytes):
            return value
        return value.decode("latin-1")

    def handleContentChunk(self, data: bytes) -> None:
        """Keep the body, as far as it may go."""
        if self.is_too_large:
            return
        self._body += len(data)
        if self._body <= MAX_BODY:
            super().handleContentChunk(data)
            return
        self.is_too_large = True
        cast(PageChannel, self.channel).answer_early()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Answer."""
        cast(PageChannel, self.channel).asked()
        super().requestReceived(command, path, version)


class PageChannel(http.HTTPChannel):
    """
    A connection that says goodbye with the answer to its last request.

    Whoever limits its time sets ``deadline``, and is told how its requests are getting on. Beside
    that each head and each body has a time of its own, however slowly its bytes come.
    """

    deadline: HttpDeadline | None = None
    vouch_for: Callable[[str], None] | None = None
    """Hears whose connection it is, once its client has proved to be that user."""
    _requests = 0
    _is_full = False
    _is_known = False
    _is_early = False
    _delayed: IDelayedCall | None = None

    def asked(self) -> None:
        """A request is here whole."""
        self._expect(None)
        if self.deadline is not None:
            self.deadline.asked()

    def known(self) -> None:
        """Its client has signed in: it may ask as often as it likes."""
        self._is_known = True
        if self.deadline is not None:
            self.deadline.known()

    def vouched(self, user: str) -> None:
        """Its client has proved to be this user."""
        self.known()
        if self.vouch_for is not None:
            self.vouch_for(user)

    @property
    def is_idle(self) -> bool:
        """Whether it has been of use, and nothing is asked for or waits to be read."""
        is_asking = self.requests or self._delayed is not None
        return bool(self._requests and not is_asking and not self._is_full)

    def give_way(self) -> None:
        """End it as if it had been idle for too long."""
        self.setTimeout(None)
        self.timeoutConnection()

    def pauseProducing(self) -> None:
        """Note that the client does not read what it has asked for."""
        self._is_full = True
        super().pauseProducing()

    def resumeProducing(self) -> None:
        """Note that it does again."""
        self._is_full = False
        super().resumeProducing()

    def held(self) -> None:
        """Its client, who has signed in, waits for something to be told."""
        self._is_known = True
        if self.deadline is not None:
            self.deadline.held()

    def answer_early(self) -> None:
        """Answer the request that is coming in now; nothing more is read of it, or after it."""
        self._is_early = True
        self.persistent = False
        self.allContentReceived()

    def dataReceived(self, data: bytes) -> None:
        """Take bytes; the first of a request begin the time of its head."""
        if self._is_early:
            return
        if not self.requests and self._delayed is None:
            self._expect(HEAD_TIMEOUT)
        super().dataReceived(data)

    def headerReceived(self, line: bytes) -> bool:
        """Refuse a length that is not even a number to Python."""
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and len(value) > _LONGEST_LENGTH:
            self._respondToBadRequestAndDisconnect()
            return False
        return bool(super().headerReceived(line))

    def allHeadersReceived(self) -> None:
        """Begin the time of the body."""
        self._expect(BODY_TIMEOUT)
        super().allHeadersReceived()

    def _finishRequestBody(self, data: bytes) -> None:
        """The body is here; one that was too large has its answer already."""
        if not self._is_early:
            super()._finishRequestBody(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Wait for nothing any more."""
        self._expect(None)
        super().connectionLost(reason)

    def _expect(self, seconds: float | None) -> None:
        delayed, self._delayed = self._delayed, None
        if delayed is not None and delayed.active():
            delayed.cancel()
        if seconds is not None:
            self._delayed = self.callLater(seconds, self._too_slow)

    def _too_slow(self) -> None:
        self._delayed = None
        self.loseConnection()

    def requestDone(self, request: http.Request) -> None:
        """The request has been answered."""
        super().requestDone(request)
        if self.deadline is not None:
            self.deadline.answered()

    def checkPersistence(self, request: http.Request, version: bytes) -> bool:
        """Say whether another request may follow this one."""
        self._requests += 1
        if self._requests >= MAX_REQUESTS and not self._is_known:
            request.responseHeaders.setRawHeaders(b"connection", [b"close"])
            return False
        return bool(super().checkPersistence(request, version))


class PageSite(server.Site):
    """
    A site that logs no request line, because a query string may carry a session or a password.
    """

    # Twisted's default also speaks HTTP/2, which no listener of ours agrees to.
    protocol = PageChannel  # type: ignore[assignment]
    requestFactory = PageRequest
    displayTracebacks = False

    def startFactory(self) -> None:
        """Start without an access log and without the clock that only it needs."""

    def stopFactory(self) -> None:
        """There is nothing to stop, see ``startFactory``."""

    def log(self, request: http.Request) -> None:
        """Write nothing about a request."""

    def getContentFile(self, length: int | None) -> BytesIO:
        """Keep bodies in memory: their size is bounded, and a disk is not a client's to fill."""
        return BytesIO()
