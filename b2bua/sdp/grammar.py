"""The words that values are made of (RFC 8866, section 9): numbers, tokens, addresses."""

from __future__ import annotations

import re
from typing import Final

from b2bua.sdp.errors import SdpError

UINT32: Final = 2**32 - 1
UINT64: Final = 2**64 - 1

_is_digits: Final = re.compile(r"[0-9]{1,20}").fullmatch
_is_token: Final = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+").fullmatch
# An address or a host name: a zone and brackets have no place in SDP.
_is_host: Final = re.compile(r"[A-Za-z0-9.:_\-]{1,255}").fullmatch


def number(text: str, low: int, high: int, what: str) -> int:
    """Read a whole number; SdpError "value" if it is none and "range" if it is out of bounds."""
    if not _is_digits(text):
        raise SdpError("value", what)
    value = int(text)
    if not low <= value <= high:
        raise SdpError("range", what)
    return value


def words(value: str, what: str, least: int, most: int) -> list[str]:
    """Part a value at its blanks; there must be ``least`` to ``most`` words."""
    # Phones end lines with a blank; two blanks in a row are an empty word.
    found = value.rstrip(" ").split(" ")
    if not least <= len(found) <= most or not all(found):
        raise SdpError("value", what)
    return found


def token(text: str, what: str) -> str:
    """Return the text if it is a token."""
    if not _is_token(text):
        raise SdpError("value", what)
    return text


def host(text: str, what: str) -> str:
    """Return the text if it may be an address of either family, or a host name."""
    if not _is_host(text):
        raise SdpError("value", what)
    return text
