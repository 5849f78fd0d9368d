"""
Bytes to messages (RFC 3261, sections 7, 18.3 and 25).

Sizes are checked before anything is read. A request that cannot be read leaves as much of itself
in the ParseError as an answer needs; a response that cannot be read is never answered.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from b2bua.sip.errors import ParseError
from b2bua.sip.grammar import has_bare_control, is_token
from b2bua.sip.header_names import SINGLE, by_spelling, canonical_name
from b2bua.sip.message import Message, Request, Response
from b2bua.sip.uri import AbsoluteUri, SipUri, parse_uri

MAX_HEAD: Final = 8192
"""The most bytes of start line and header fields, with their line ends."""
MAX_HEADERS: Final = 128
MAX_BODY: Final = 65536

_fold: Final = re.compile(rb"\r\n[ \t]+")
_digits: Final = re.compile(r"[0-9]{1,10}").fullmatch
_status_line: Final = re.compile(r"SIP/2\.0 ([1-6][0-9][0-9])(?: (.*))?", re.IGNORECASE).fullmatch
_version: Final = re.compile(r"SIP/[0-9]+\.[0-9]+", re.IGNORECASE).fullmatch

# What is read at once where it is present: an element cannot route the message without it.
_ROUTING: Final[tuple[tuple[str, Callable[[Message], object]], ...]] = (
    ("Max-Forwards", lambda message: message.max_forwards),
    ("Contact", lambda message: message.contacts),
    ("Route", lambda message: message.route),
    ("Record-Route", lambda message: message.record_route),
)


def parse_datagram(data: bytes) -> Message:
    """
    Read one message that is alone in a datagram or in a WebSocket message.

    Bytes beyond Content-Length are dropped; without one, the body is all there is.
    """
    start = 0
    while data.startswith(b"\r\n", start):
        start += 2
    if start == len(data):
        raise ParseError("empty", status=None)
    end = data.find(b"\r\n\r\n", start, start + MAX_HEAD)
    if end < 0:
        if len(data) - start > MAX_HEAD:
            raise oversized(data[start:])
        raise _refusal(data[start:].rstrip(b"\r\n"), ParseError("line-end"))
    head = read_head(data[start:end])
    try:
        body = data[end + 4 :]
        length = head.content_length()
        if length is None:
            length = len(body)
        if length > MAX_BODY:
            raise ParseError("body-size", status=513)
        if length > len(body):
            raise ParseError("truncated")
        message = head.message(body[:length])
    except ParseError as error:
        raise head.refusal(error) from None
    message.datagram_size = len(data)
    return message


@dataclass(slots=True)
class Head:
    """Start line and header fields, canonical names with raw values; ``fault`` is the first."""

    start_line: str
    headers: list[tuple[str, str]]
    fault: ParseError | None

    def content_length(self) -> int | None:
        """Return what Content-Length says, or None where there is none."""
        lengths = [value for name, value in self.headers if name == "Content-Length"]
        if not lengths:
            return None
        if len(lengths) > 1:
            raise ParseError("duplicate", "Content-Length")
        if not _digits(lengths[0]):
            raise ParseError("length")
        return int(lengths[0])

    def message(self, body: bytes) -> Message:
        """Return the message, once all that it cannot be processed without is readable."""
        message = self._start()
        if self.fault is not None:
            raise self.fault
        message.headers = self.headers
        message.body = body
        _check(message)
        return message

    def refusal(self, error: ParseError) -> ParseError:
        """Say how a message with this error is to be answered, if at all."""
        method = self.start_line.partition(" ")[0]
        named = {name for name, _ in self.headers}
        if self._is_response or method == "ACK" or not is_token(method) or "Via" not in named:
            return ParseError(error.reason, error.detail, status=None)
        request = Request(method, AbsoluteUri("", ""))
        request.headers = self.headers
        return ParseError(error.reason, error.detail, status=error.status, request=request)

    @property
    def _is_response(self) -> bool:
        return self.start_line[:4].upper() == "SIP/"

    def _start(self) -> Message:
        if self._is_response:
            found = _status_line(self.start_line)
            if found is None:
                raise ParseError("start-line")
            return Response(int(found[1]), found[2] or "")
        parts = self.start_line.split(" ")
        if len(parts) != 3 or not is_token(parts[0]) or not _version(parts[2]):
            raise ParseError("start-line")
        if parts[2].upper() != "SIP/2.0":
            raise ParseError("version", status=505)
        uri = parse_uri(parts[1])
        if isinstance(uri, SipUri) and uri.headers:
            raise ParseError("uri", "headers")
        return Request(parts[0], uri)


def read_head(data: bytes) -> Head:
    """
    Read start line and header fields, without the empty line; no value is looked at.

    Raises ParseError where lines are in doubt: then nothing can be answered either.
    """
    data = _unfold(data)
    fault: ParseError | None = None
    try:
        lines = data.decode().split("\r\n")
    except UnicodeDecodeError:
        fault = ParseError("encoding")
        lines = data.decode(errors="replace").split("\r\n")
    if len(lines) > MAX_HEADERS + 1:
        fault = fault or ParseError("head-count", status=513)
        del lines[MAX_HEADERS + 1 :]
    headers: list[tuple[str, str]] = []
    start_line = lines[0]
    del lines[0]
    for line in lines:
        name, colon, value = line.partition(":")
        known = by_spelling(name)
        if known is None:
            name = name.rstrip(" \t")
            if not colon or not is_token(name):
                fault = fault or ParseError("header", line[:40])
                continue
            known = canonical_name(name)
        headers.append((known, value.strip(" \t")))
    return Head(start_line, headers, fault)


def _unfold(data: bytes) -> bytes:
    """Return the head without folds; what ends a line for one reader only is refused."""
    ends = data.count(b"\r\n")
    if data.count(b"\n") != ends or data.count(b"\r") != ends:
        raise ParseError("line-end", status=None)
    if has_bare_control(data):
        raise ParseError("control", status=None)
    if b"\r\n " in data or b"\r\n\t" in data:
        first = data.find(b"\r\n")
        if data[first + 2 : first + 3] in (b" ", b"\t"):
            raise ParseError("start-line", "fold", status=None)
        data = _fold.sub(b" ", data)
    return data


def _check(message: Message) -> None:
    """Refuse a message that lacks, repeats or garbles what it cannot be processed without."""
    first = message.firsts()
    if len(first) != len(message.headers):
        _check_single(message)
    message.read_needed()
    if isinstance(message, Request) and message.cseq.method != message.method:
        raise ParseError("mismatch")
    for name, read in _ROUTING:
        if name in first:
            read(message)


def _check_single(message: Message) -> None:
    seen: set[str] = set()
    for name, _ in message.headers:
        if name in seen and name in SINGLE:
            raise ParseError("duplicate", name)
        seen.add(name)


def oversized(data: bytes) -> ParseError:
    """Make the error for a head that is longer than MAX_HEAD."""
    whole_lines = data[:MAX_HEAD].rpartition(b"\r\n")[0]
    return _refusal(whole_lines, ParseError("head-size", status=513))


def _refusal(data: bytes, error: ParseError) -> ParseError:
    try:
        head = read_head(data)
    except ParseError as doubt:
        return doubt
    return head.refusal(error)
