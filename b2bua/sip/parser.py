"""
Bytes to messages (RFC 3261, sections 7, 18.3 and 25).

Sizes are checked before anything is read. A request that cannot be read leaves as much of itself
in the ParseError as an answer needs; a response that cannot be read is never answered.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from b2bua.sip.errors import ParseError, ParseFault
from b2bua.sip.grammar import is_token
from b2bua.sip.header_names import SINGLE, by_spelling, canonical_name
from b2bua.sip.message import Message, Request, Response
from b2bua.sip.uri import AbsoluteUri, SipUri, parse_uri

MAX_HEAD: Final = 8192
"""The most bytes of start line and header fields, with their line ends."""
MAX_HEADERS: Final = 128
MAX_BODY: Final = 65536

_CONTROLS: Final = bytes({*range(32), 127} - {9, 10, 13})
_folds: Final = re.compile(rb"[ \t]*\r\n[ \t]+")
_digits: Final = re.compile(r"[0-9]{1,10}").fullmatch
_status_line: Final = re.compile(r"SIP/2\.0 ([1-6][0-9][0-9])(?: (.*))?", re.IGNORECASE).fullmatch
_quoted_pairs: Final = re.compile(rb"\\.", re.DOTALL)

_CHECKED: Final[dict[str, Callable[[Message], object]]] = {
    "Contact": lambda message: message.contacts,
    "Max-Forwards": lambda message: message.max_forwards,
    "Record-Route": lambda message: message.record_route,
    "Route": lambda message: message.route,
}
"""Header fields that are read at once where they are present."""


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
    end = data.find(b"\r\n\r\n", start, start + MAX_HEAD + 2)
    if end < 0:
        raise unended(data[start:])
    message = read_head(data[start:end])
    body = data[end + 4 :]
    length = content_length(message)
    if length is None:
        length = len(body)
    elif length > len(body):
        raise refusal("truncated", message)
    if length > MAX_BODY:
        raise refusal("body-size", message, status=513)
    message.body = body[:length]
    check(message)
    return message


def read_head(head: bytes) -> Message:
    """
    Read start line and header fields, without the empty line; no value is looked at.

    The ParseError of a broken head carries the request with every header field that is one.
    """
    head = _unfold(head)
    fault: ParseError | None = None
    try:
        lines = head.decode().split("\r\n")
    except UnicodeDecodeError:
        fault = ParseError("encoding")
        lines = head.decode(errors="replace").split("\r\n")
    headers: list[tuple[str, str]] = []
    if len(lines) > MAX_HEADERS + 1:
        fault = fault or ParseError("head-count", status=513)
        del lines[MAX_HEADERS + 1 :]
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        known = by_spelling(name)
        if known is None:
            name = name.rstrip(" \t")
            if not colon or not is_token(name):
                fault = fault or ParseError("header", line[:40])
                continue
            known = canonical_name(name)
        headers.append((known, value.strip(" \t")))
    return _message(lines[0], headers, fault)


def _unfold(head: bytes) -> bytes:
    """Return the head without folds; whatever makes lines doubtful is refused here."""
    ends = head.count(b"\n")
    if head.count(b"\r") != ends or head.count(b"\r\n") != ends:
        # Where lines end is in doubt, and with it what an answer would copy: nobody is answered.
        raise ParseError("line-end", status=None)
    if len(head.translate(None, _CONTROLS)) != len(head):
        bare = _quoted_pairs.sub(b"", head)
        if len(bare.translate(None, _CONTROLS)) != len(bare):
            raise ParseError("control", status=None)
    if b"\r\n " in head or b"\r\n\t" in head:
        head = _folds.sub(b" ", head)
    return head


def _message(start_line: str, headers: list[tuple[str, str]], fault: ParseError | None) -> Message:
    message: Message
    if start_line[:4].upper() == "SIP/":
        found = _status_line(start_line)
        if found is None or fault is not None:
            raise ParseError(fault.reason if fault else "start-line", status=None)
        message = Response(int(found[1]), found[2] or "")
        message.headers = headers
        return message
    try:
        message = _read_request_line(start_line)
    except ParseError as error:
        fault = fault or error
        method = start_line.partition(" ")[0]
        message = Request(method if is_token(method) else "", AbsoluteUri("", ""))
    message.headers = headers
    if fault is not None:
        raise refusal(fault.reason, message, detail=fault.detail, status=fault.status)
    return message


def _read_request_line(line: str) -> Request:
    parts = line.split(" ")
    if len(parts) != 3 or not is_token(parts[0]):
        raise ParseError("start-line")
    version = parts[2].upper()
    if version != "SIP/2.0":
        if version.startswith("SIP/"):
            raise ParseError("version", status=505)
        raise ParseError("start-line")
    uri = parse_uri(parts[1])
    if isinstance(uri, SipUri) and uri.headers:
        raise ParseError("uri", "headers")
    return Request(parts[0], uri)


def content_length(message: Message) -> int | None:
    """Return what Content-Length says, or None where there is none."""
    rows = message.get_rows("Content-Length")
    if not rows:
        return None
    if len(rows) > 1:
        raise refusal("duplicate", message, detail="Content-Length")
    if not _digits(rows[0]):
        raise refusal("length", message)
    return int(rows[0])


def check(message: Message) -> None:
    """Refuse a message that lacks, repeats or garbles what it cannot be processed without."""
    try:
        _check_names(message)
        _check_values(message)
    except ParseError as error:
        if error.request is not None:
            raise
        raise refusal(error.reason, message, detail=error.detail) from None


def _check_names(message: Message) -> None:
    seen: set[str] = set()
    for name, _ in message.headers:
        if name in SINGLE:
            if name in seen:
                raise ParseError("duplicate", name)
            seen.add(name)


def _check_values(message: Message) -> None:
    cseq = message.cseq
    if isinstance(message, Request) and cseq.method != message.method:
        raise ParseError("mismatch")
    # What is read here is kept: asking again costs a look-up, and never raises.
    _read = (message.via, message.from_, message.to, message.call_id)
    for name, _ in message.headers:
        if name in _CHECKED:
            _CHECKED[name](message)


def refusal(
    reason: ParseFault, message: Message, *, detail: str = "", status: int | None = 400
) -> ParseError:
    """Make the error that says how a broken message is to be answered, if at all."""
    if not isinstance(message, Request) or message.method == "ACK" or not message.has("Via"):
        return ParseError(reason, detail, status=None)
    return ParseError(reason, detail, status=status, request=message)


def unended(data: bytes) -> ParseError:
    """Make the error for bytes that hold no end of a head, or too late a one."""
    too_long = len(data) > MAX_HEAD
    begun = data[:MAX_HEAD].rpartition(b"\r\n")[0] if too_long else data.rstrip(b"\r\n")
    try:
        message = read_head(begun)
    except ParseError as error:
        return error
    if too_long:
        return refusal("head-size", message, status=513)
    return refusal("line-end", message)
