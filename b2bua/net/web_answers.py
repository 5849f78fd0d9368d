"""
Answers of the HTTP interface: plain text, whatever they say.
"""

from __future__ import annotations

from typing import Final

from twisted.web.http import Request

from b2bua.gateway.session import Session

PLAIN: Final = b"text/plain; charset=utf-8"
COOKIE: Final = "sid"


def content(request: Request, status: int, text: str) -> bytes:
    """Answer with this text."""
    body = text.encode()
    request.setResponseCode(status)
    request.setHeader(b"content-type", PLAIN)
    request.setHeader(b"content-length", b"%d" % len(body))
    return b"" if request.method == b"HEAD" else body


def sentence(request: Request, status: int, text: str) -> bytes:
    """Answer with a word to whoever looks; nothing of what the client sent is in it."""
    return content(request, status, text)


def vouch(request: Request, session: Session) -> None:
    """
    Tell a request's connection whose it is, if the session's user has proved to be that one.

    It is gone where a poll has lost it, and may be of a kind that does not care.
    """
    vouched = getattr(request.channel, "vouched", None)
    if session.is_proved and vouched is not None:
        vouched(session.user)
