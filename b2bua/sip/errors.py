"""What is wrong with SIP that a peer sent. Every reason is one of a few fixed words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Generic, Literal, TypeVar, get_args

if TYPE_CHECKING:
    from b2bua.sip.message import Request

ParseFault = Literal[
    "empty",  # nothing but line ends
    "start-line",  # neither a Request-Line nor a Status-Line
    "version",  # a SIP version other than 2.0
    "uri",  # a URI that does not have its form, or one that may not stand here
    "line-end",  # CR or LF alone, or no empty line after the headers
    "control",  # a control character outside a quoted pair
    "encoding",  # not UTF-8
    "header",  # a line that is no header field
    "value",  # a header field whose value does not have its form
    "missing",  # one of the header fields that every message has
    "duplicate",  # a header field or a parameter that may be there once
    "mismatch",  # CSeq names another method than the Request-Line
    "length",  # Content-Length is no length, or a stream's message has none
    "truncated",  # the body is shorter than Content-Length
    "head-size",  # more bytes of header than are read
    "head-count",  # more header fields than are read
    "body-size",  # a longer body than is read
]
"""Why bytes are no SIP message; fit for a metric's label."""

PARSE_FAULTS: Final[tuple[str, ...]] = get_args(ParseFault)

ItemT = TypeVar("ItemT")


class ParseError(ValueError):
    """
    SIP that cannot be read.

    ``status`` is what RFC 3261 answers, or None where nothing may be answered: to a response, to
    an ACK, or where there is no Via to follow. ``request`` is then as much of the request as an
    answer copies; its typed accessors may raise.
    """

    def __init__(
        self,
        reason: ParseFault,
        detail: str = "",
        *,
        status: int | None = 400,
        request: Request | None = None,
    ) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason: ParseFault = reason
        self.detail = detail
        self.status = status
        self.request = request


class StreamError(ValueError, Generic[ItemT]):
    """
    A stream that cannot be read any further: answer ``fault`` if it has a status, then close.

    ``items`` are what stood whole before the fault in the bytes just fed.
    """

    def __init__(self, fault: ParseError, items: Sequence[ItemT]) -> None:
        super().__init__(str(fault))
        self.fault = fault
        self.items = items


class InvalidHeader(ValueError):
    """A header field of ours that would not be read as the one field it is meant to be."""
