"""
What goes over the HTTP interface, for whoever looks for a fault: requests and answers, shortened,
and without what would let a reader in: session ids, passwords, keys of ICE and SRTP.
"""

from __future__ import annotations

import re
from typing import Final

from twisted.logger import Logger
from twisted.web.http import Request

_MASK: Final = "***"
_LONGEST: Final = 16 * 1024
_secret: Final = re.compile(
    r"(\b(?:id|from|sid)=)[0-9A-Za-z]{8,}"
    r"|(\bice-pwd:)[^\s\"\\]+"
    r"|(\binline:)[^\s\"\\|]+"
)
_login: Final = re.compile(r"^([^:]*:).*", re.DOTALL)


# A logger that is an attribute of a class would take that class's name.
_log: Final = Logger(namespace="http")


class Trace:
    """Writes one line for each request and each answer."""

    def asked(self, request: Request, host: str) -> None:
        """A request is here."""
        body = b""
        if request.content is not None:
            request.content.seek(0)
            body = request.content.read(_LONGEST)
            request.content.seek(0)
        text = body.decode(errors="replace")
        if request.path == b"/sign_in":
            text = _login.sub(rf"\g<1>{_MASK}", text)
        _log.debug(
            "{host} asks {method} {uri} {body}",
            host=host,
            method=request.method.decode("latin-1"),
            uri=masked(request.uri.decode("latin-1")),
            body=_one_line(masked(text)),
        )

    def answered(self, request: Request, body: bytes) -> None:
        """It is answered."""
        peer = request.responseHeaders.getRawHeaders("pragma", [""])[0]
        _log.debug(
            "{path} is answered {status} {peer} {body}",
            path=request.path.decode("latin-1"),
            status=request.code,
            peer=peer,
            body=_one_line(masked(body[:_LONGEST].decode(errors="replace"))),
        )


def masked(text: str) -> str:
    """The text without its secrets."""
    return _secret.sub(lambda found: (found[1] or found[2] or found[3]) + _MASK, text)


def _one_line(text: str) -> str:
    """No line of a log may be made up by a client."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
