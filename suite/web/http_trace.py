"""
The log of browsers' requests that ``http-trace`` asks for, and of messages that nobody can read.

A record is written when a request has been answered, or its connection is gone. Neither passwords
nor session ids nor what a message says are in it, only what kind of message it is.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from twisted.internet.interfaces import IReactorTime
from twisted.web import server

from b2bua.gateway.kinds import kind_of
from suite.log_records import LogEvent, Value, Word
from suite.logs import Log
from suite.settings import LogLevel

_LONGEST = 64 * 1024
MOST_FAULTS = 10
OWN = "self"
_sid = re.compile("[0-9A-Fa-f]{32}")
_PEER = re.compile(rb"[?&]to=([^&]*)")


class RoapFaults:
    """Writes a record of each message that could not be read, ten a second at most."""

    def __init__(self, log: Log, clock: IReactorTime) -> None:
        self._log = log
        self._clock = clock
        self._second = 0.0
        self._written = 0

    def __call__(self, request: server.Request) -> None:
        """Write it with the guide's id; what the page sent is not in it."""
        now = self._clock.seconds()
        if now >= self._second:
            self._second, self._written = now + 1.0, 0
        self._written += 1
        if self._written <= MOST_FAULTS:
            asked = _asked(request, "message")
            text = "A message could not be read"
            self._log.standard(LogEvent.ROAP, text, **asked, status=request.code)


class HttpTrace:
    """Writes a record of each request that it is told of."""

    def __init__(self, log: Log, clock: IReactorTime) -> None:
        self._log = log
        self._clock = clock

    def __call__(self, request: server.Request, name: str) -> None:
        """Note when a request began and what it is, and write that when it is over."""
        began = self._clock.seconds()
        asked = _asked(request, name)

        def over(_: object, outcome: str) -> None:
            self._log.write(
                LogLevel.TRACE,
                LogEvent.HTTP_TRACE,
                f"http {outcome}",
                **asked,
                status=request.code,
                sent=request.sentLength,
                seconds=round(self._clock.seconds() - began, 3),
            )

        finished = request.notifyFinish()
        finished.addCallbacks(over, over, callbackArgs=("answered",), errbackArgs=("cut off",))


def _asked(request: server.Request, name: str) -> dict[str, Value]:
    client = request.getClientAddress()
    words: dict[str, Value] = {
        "client": Word(str(getattr(client, "host", ""))),
        "method": Word(_word(request.method)),
        "path": Word(f"/{name}"),
    }
    origin = request.getHeader("origin")
    if origin:
        words["origin"] = origin
    peer = _PEER.search(request.uri)
    if peer:
        words["to"] = _peer(unquote_to_bytes(peer[1]).decode(errors="replace"))
    if name == "message":
        words["message"] = Word(_kind(request))
    return words


def _peer(name: str) -> str:
    """Whom a message is for; old clients that call themselves write their session's id."""
    return OWN if _sid.search(name) else name


def _kind(request: server.Request) -> str:
    if request.content is None:
        return kind_of("")
    request.content.seek(0)
    text = request.content.read(_LONGEST)
    request.content.seek(0)
    return kind_of(text.decode(errors="replace"))


def _word(method: bytes) -> str:
    return method.decode("ascii", errors="replace") if method.isalpha() else "?"
