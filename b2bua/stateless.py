"""
Answers that nothing is kept for (RFC 3261, section 8.2.7), and that hurt nobody.

The source of a datagram may be forged, and then the answer hits somebody else: it must not be
longer than what was spent on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from b2bua.sip.message import Request, Response

MOST_PER_BYTE: Final = 1.2
"""Bytes of an answer for each byte of the request, toward somebody who may be anybody."""

_TAG_BYTES: Final = 4
"""Section 19.3 wants 32 bits."""


def stateless_response(
    request: Request,
    status: int,
    key: bytes,
    headers: Iterable[tuple[str, str]] = (),
    reason: str | None = None,
) -> Response:
    """
    Answer a request whose top Via says where it came from.

    A copy of the request gets the same To tag, which is made of the Via and cannot be foretold.
    """
    via = str(request.get("Via")).encode(errors="surrogateescape")
    tag = blake2b(via, key=key, digest_size=_TAG_BYTES).hexdigest()
    return request.response(status, reason, headers, to_tag=tag)


def does_not_amplify(response: Response, request: Request) -> bool:
    """Return whether an answer is short enough for anybody to be given it by datagram."""
    return len(response.render()) <= MOST_PER_BYTE * request.datagram_size
