"""
Which protocol the first bytes of a stream speak (after RFC 7983), without a socket.

Asked once for each connection, and once more for the first decrypted bytes inside TLS.
ChannelData begins with the bytes of ASCII letters and a PROXY header with those of POST, so
neither is ever guessed: ChannelData follows STUN on a connection that is known already, and a
PROXY header is expected only where a listener was told to.
"""

from __future__ import annotations

from enum import Enum

MAGIC_COOKIE = b"\x21\x12\xa4\x42"
TLS_HANDSHAKE = 0x16
_STUN_LAST_BYTE = 0x3F
_COOKIE_AT = 4
_METHODS = (
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"TRACE ",
    b"CONNECT ",
)
_PATH_ENDS = b" ?"
_RECORD_HEADER = 5
_RECORD_MAXIMUM = 2**14


class Speaks(Enum):
    """What a stream turned out to carry."""

    TLS = "TLS"
    STUN = "STUN"
    HTTP = "HTTP"
    UNKNOWN = "unknown"


def identify(first: bytes) -> Speaks | None:
    """
    Tell the protocol of a stream from all bytes it has sent so far; None asks for more of them.

    Eight bytes are always enough, and nonsense is recognised at the first byte that shows it.
    """
    if not first:
        return None
    if first[0] == TLS_HANDSHAKE:
        return Speaks.TLS
    if first[0] <= _STUN_LAST_BYTE:
        return _identify_stun(first)
    return _identify_http(first)


def _identify_stun(first: bytes) -> Speaks | None:
    cookie = first[_COOKIE_AT : _COOKIE_AT + len(MAGIC_COOKIE)]
    if not MAGIC_COOKIE.startswith(cookie):
        return Speaks.UNKNOWN
    return Speaks.STUN if cookie == MAGIC_COOKIE else None


def _identify_http(first: bytes) -> Speaks | None:
    if first.startswith(_METHODS):
        return Speaks.HTTP
    if any(method.startswith(first) for method in _METHODS):
        return None
    return Speaks.UNKNOWN


def requests_path(first: bytes, path: bytes) -> bool | None:
    """
    Tell whether an HTTP connection begins with a GET of ``path``, with or without a query.

    None asks for more bytes; one more than the path has are always enough.
    """
    wanted = b"GET " + path
    if len(first) <= len(wanted):
        return None if wanted.startswith(first) else False
    return first.startswith(wanted) and first[len(wanted)] in _PATH_ENDS


class NotTls(ValueError):
    """The bytes after 0x16 are no TLS record."""


def has_first_record(first: bytes) -> bool:
    """
    Whether the first TLS record (RFC 8446, section 5.1) is here whole.

    Waiting for it costs a few bytes, where the state of a handshake costs tens of kilobytes.
    Raises NotTls for a version or a length that no ClientHello has.
    """
    if len(first) >= 2 and first[1] != 3:
        raise NotTls("record version")
    if len(first) < _RECORD_HEADER:
        return False
    length = int.from_bytes(first[3:5], "big")
    if not 0 < length <= _RECORD_MAXIMUM:
        raise NotTls("record length")
    return len(first) >= _RECORD_HEADER + length
