"""
Answers of the HTTP interface: plain text, whatever they say.
"""

from __future__ import annotations

from typing import Final

from twisted.web.http import Request

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
