"""
Bodies of more than one part: where the session description is (RFC 5621; RFC 2046, section 5.1).
"""

from __future__ import annotations

import re
from typing import Final

from b2bua.sip.errors import ParseError
from b2bua.sip.message import Message

SDP: Final = "application/sdp"
_MOST_PARTS: Final = 16
_boundary: Final = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]").fullmatch


class NotAcceptable(ValueError):
    """A body that nobody here can use: 415 with Accept."""

    status: Final = 415


def session_description(message: Message) -> bytes:
    """
    Return the session description of a message, b"" where there is none.

    A body without a Content-Type counts as one, as from peers of before RFC 3261. Raises
    NotAcceptable where there is a body and no part of it is one.
    """
    if not message.body:
        return b""
    try:
        content_type = message.content_type
    except ParseError:
        raise NotAcceptable("Content-Type") from None
    if content_type is None or content_type.essence == SDP:
        return message.body
    if content_type.type != "multipart":
        raise NotAcceptable(content_type.essence)
    boundary = content_type.parameters.text("boundary") or ""
    if not _boundary(boundary):
        raise NotAcceptable("boundary")
    for kind, content in parts(message.body, boundary):
        if kind == SDP:
            return content
    raise NotAcceptable(content_type.essence)


def parts(body: bytes, boundary: str) -> list[tuple[str, bytes]]:
    """Return type and content of each part; of nested ones, and past the 16th, nothing."""
    delimiter = b"\r\n--" + boundary.encode("ascii")
    sections = (b"\r\n" + body).split(delimiter, _MOST_PARTS + 1)[1:]
    found = []
    for section in sections[:_MOST_PARTS]:
        if section.startswith(b"--"):
            break
        _, _, rest = section.partition(b"\r\n")
        if rest.startswith(b"\r\n"):
            head, content = b"", rest[2:]
        else:
            head, _, content = rest.partition(b"\r\n\r\n")
        found.append((_type_of(head), content))
    return found


def _type_of(head: bytes) -> str:
    """The type of a part; text/plain where it does not say (RFC 2046, section 5.2)."""
    unfolded = re.sub(rb"\r\n[ \t]+", b" ", head)
    for line in unfolded.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() in (b"content-type", b"c"):
            return value.partition(b";")[0].strip().decode("ascii", "replace").lower()
    return "text/plain"
