"""
Attached data: pairs of key and value that go with a call, between browsers and SIP Servers.

When a call is made they are header fields ``X-genesys-<key>`` of the INVITE; while it lasts they
are the body of an INFO of before RFC 6086, as application/x-www-form-urlencoded. Keys may repeat
and pairs keep their order, both ways. Who attaches data does not choose header fields: a key is
part of one header field's name and nothing else, a value never ends its line. A form has room for
keys that no header field can have; no control character goes on in either.

The server's own X-Genesys-CallUUID looks like attached data and is none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote, unquote_to_bytes

from b2bua.sip.errors import ParseError
from b2bua.sip.grammar import is_token
from b2bua.sip.headers import parse_media_type

PREFIX: Final = "X-genesys-"
FORM_TYPE: Final = "application/x-www-form-urlencoded"
SERVICE_TYPE: Final = "service_type"
"""The key under which SIP Servers report what kind of service a call belongs to."""

MAX_NAME: Final = 64
"""The longest name of a header field, prefix and key."""
MAX_KEY: Final = 64
"""The longest key of a form, in bytes of UTF-8 without any escapes."""
MAX_VALUE: Final = 1024
"""The longest value, in bytes of UTF-8 without any escapes."""
MAX_TOTAL: Final = 8192
"""The most bytes of keys and values."""
MAX_HEAD: Final = 4096
"""The most bytes of attached header fields as sent: the parser takes 8192 for a whole head."""
MAX_FIELDS: Final = 64
"""The most attached header fields; the parser takes 128 in a message."""
_MAX_FORM: Final = 4 * MAX_TOTAL
"""The longest form that is read at all: all escaped, and its separators."""

_RESERVED: Final = frozenset({"calluuid"})
# Printable ASCII but the percent sign stays as it is; what is read is unescaped once.
_PLAIN: Final = "".join(chr(c) for c in range(0x20, 0x7F) if chr(c) != "%")

_control: Final = re.compile(r"[\x00-\x1f\x7f]").search
_escape: Final = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_bad_escape: Final = re.compile(r"%(?![0-9A-Fa-f]{2})").search

Pair = tuple[str, str]

DataFault = Literal[
    "key",  # none, too long, not fit for a header field's name, or the server's own
    "value",  # a value that is too long
    "control",  # a control character, escaped or not
    "encoding",  # not UTF-8
    "escape",  # a percent sign that begins no escape
    "size",  # too many pairs, or too many bytes together
]
"""Why attached data is refused; fit for a metric's label."""


class AttachedDataError(ValueError):
    """Attached data that is not passed on. ``status`` is what answers an INFO with it."""

    def __init__(self, reason: DataFault) -> None:
        super().__init__(reason)
        self.reason: DataFault = reason
        self.status: int = 413 if reason == "size" else 400


@dataclass(frozen=True, slots=True)
class Reading:
    """
    What the header fields of an INVITE gave.

    ``refused`` has a reason for each pair that was left out: a call is worth more than its data.
    """

    pairs: tuple[Pair, ...] = ()
    refused: tuple[DataFault, ...] = ()


def check_pairs(pairs: Iterable[Pair]) -> tuple[Pair, ...]:
    """Return the pairs if all may be header fields; raise AttachedDataError otherwise."""
    return _checked(pairs, _check_name)


def _checked(pairs: Iterable[Pair], check_key: Callable[[str], None]) -> tuple[Pair, ...]:
    checked: list[Pair] = []
    total = 0
    for key, value in pairs:
        check_key(key)
        total += len(key.encode()) + _size(value)
        if total > MAX_TOTAL:
            raise AttachedDataError("size")
        checked.append((key, value))
    return tuple(checked)


def _check_name(key: str) -> None:
    fits = len(PREFIX) + len(key) <= MAX_NAME
    if not fits or is_token(key) is None or key.lower() in _RESERVED:
        raise AttachedDataError("key")


def _check_key(key: str) -> None:
    """Refuse what is no key of a form; it is escaped there, so any text may be one."""
    if not 0 < _text_size(key) <= MAX_KEY:
        raise AttachedDataError("key")


def _size(value: str) -> int:
    """Return the size of a value that may be passed on."""
    size = _text_size(value)
    if size > MAX_VALUE:
        raise AttachedDataError("value")
    return size


def _text_size(text: str) -> int:
    if _control(text):
        raise AttachedDataError("control")
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise AttachedDataError("encoding") from None


def is_attached(name: str) -> bool:
    """Return whether a header field of this name holds attached data."""
    return name[: len(PREFIX)].lower() == PREFIX.lower() and (
        name[len(PREFIX) :].lower() not in _RESERVED
    )


def to_headers(pairs: Iterable[Pair], service_type: str = "none") -> list[Pair]:
    """
    Return the header fields for an INVITE.

    ``service_type`` is the option reporting-service-type. Unless it is "none", or empty, it takes
    the place of whatever the pairs say under that key.
    """
    kept = [*pairs]
    if service_type and service_type.lower() != "none":
        kept = [(key, value) for key, value in kept if key.lower() != SERVICE_TYPE]
        kept.insert(0, (SERVICE_TYPE, service_type))
    headers = [(PREFIX + key, _header_value(value)) for key, value in check_pairs(kept)]
    size = sum(len(f"{name}: {value}\r\n") for name, value in headers)
    if size > MAX_HEAD or len(headers) > MAX_FIELDS:
        raise AttachedDataError("size")
    return headers


def _header_value(value: str) -> str:
    """Escape what a reader may not give back: UTF-8, percent signs, and spaces at the ends."""
    plain = value.strip(" ")
    if not plain:
        return "%20" * len(value)
    before, _, after = value.partition(plain)
    return "%20" * len(before) + quote(plain, safe=_PLAIN) + "%20" * len(after)


def from_headers(headers: Iterable[Pair]) -> Reading:
    """Read the attached data among header fields of any name, in their order."""
    pairs: list[Pair] = []
    refused: list[DataFault] = []
    total = 0
    for name, text in headers:
        if not is_attached(name):
            continue
        try:
            pair = name[len(PREFIX) :], _unescape_value(text)
            _check_name(pair[0])
            size = len(pair[0]) + _size(pair[1])
        except AttachedDataError as fault:
            refused.append(fault.reason)
            continue
        if total + size > MAX_TOTAL:
            refused.append("size")
            continue
        total += size
        pairs.append(pair)
    return Reading(tuple(pairs), tuple(refused))


def _unescape_value(text: str) -> str:
    """Unescape once. Servers also send values as they are, so a bare percent sign is one."""
    return _escape.sub(lambda found: _decode(unquote_to_bytes(found[0])), text)


def is_form(content_type: str | None) -> bool:
    """Return whether a body of this Content-Type is attached data; others are for 415."""
    try:
        return content_type is not None and parse_media_type(content_type).essence == FORM_TYPE
    except ParseError:
        # Whatever it is, it is not this type.
        return False


def to_form(pairs: Iterable[Pair]) -> bytes:
    """
    Return the body of an INFO.

    Spaces are ``%20``: every reader takes that for a space, and not every one a plus sign.
    """
    listed = [f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in _checked(pairs, _check_key)]
    return "&".join(listed).encode("ascii")


def from_form(body: bytes) -> tuple[Pair, ...]:
    """Read the body of an INFO: all of it, or AttachedDataError."""
    body = body.removesuffix(b"\r\n")
    if len(body) > _MAX_FORM:
        raise AttachedDataError("size")
    pairs = []
    for part in _decode(body).split("&"):
        if part:
            key, _, value = part.partition("=")
            pairs.append((_unescape_form(key), _unescape_form(value)))
    return _checked(pairs, _check_key)


def _unescape_form(text: str) -> str:
    if _bad_escape(text):
        raise AttachedDataError("escape")
    return _decode(unquote_to_bytes(text.replace("+", " ")))


def _decode(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise AttachedDataError("encoding") from None
