"""
Answers that nothing is kept for (RFC 3261, section 8.2.7), and that hurt nobody.

The source of a datagram may be forged, and then the answer hits somebody else: it must not be
longer than what was spent on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from string import ascii_lowercase
from typing import Final

from b2bua.sip.grammar import split_list
from b2bua.sip.header_names import canonical_name
from b2bua.sip.message import Request, Response

MOST_PER_BYTE: Final = 1.2
"""Bytes of an answer for each byte of the request, toward somebody who may be anybody."""

_TAG_BYTES: Final = 4
"""Section 19.3 wants 32 bits."""
_COMPACT: Final = {canonical_name(letter): letter for letter in ascii_lowercase}


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
    return len(response.render()) <= MOST_PER_BYTE * least_size(request)


def least_size(request: Request) -> int:
    """
    Return how many bytes a request had on the wire at the very least.

    It came without what ``record_source`` wrote into its top Via, perhaps with compact names and
    folds or spaces that are gone; what a length cannot be told of counts as the shortest.
    """
    lines = [request.start_line]
    for name, value in request.headers:
        lines.append(f"{_COMPACT.get(name, name)}:{value}")
    head = "\r\n".join(lines).encode(errors="surrogateescape")
    return len(head) + len("\r\n\r\n") + len(request.body) - _recorded(request)


def _recorded(request: Request) -> int:
    """How much of the topmost row of Via may be of our making."""
    parameters = request.via.parameters
    recorded = len(split_list(request.get_rows("Via")[0])) - 1
    if "received" in parameters:
        recorded += len(f";received={parameters['received']}")
    if parameters.get("rport"):
        recorded += len(f"={parameters['rport']}")
    return recorded
