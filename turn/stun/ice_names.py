"""
The user name fragments in a check of ICE (RFC 8445, section 7.2.2), for whoever passes it on.

Nothing is verified: the password of the check is between its two ends.
"""

from __future__ import annotations

from typing import Final

from turn.stun.attributes import COOKIE, Attribute
from turn.stun.message import ATTRIBUTE_HEADER, HEADER_SIZE

_USERNAME: Final = int(Attribute.USERNAME)


def is_binding_request(data: bytes | memoryview) -> bool:
    """Return whether this is a Binding request by its header: type, cookie, length."""
    size = len(data)
    return (
        size >= HEADER_SIZE
        and data[0] == 0
        and data[1] == 1
        and data[4:8] == COOKIE
        and data[2] << 8 | data[3] == size - HEADER_SIZE
    )


def ice_names(request: bytes | memoryview) -> tuple[bytes, bytes] | None:
    """
    Give the receiver's and the sender's fragment out of the first USERNAME of a Binding request.

    None if there is none, or no colon in it.
    """
    offset, size = HEADER_SIZE, len(request)
    while offset + 4 <= size:
        kind, length = ATTRIBUTE_HEADER.unpack_from(request, offset)
        end = offset + 4 + length
        if end > size:
            return None
        if kind == _USERNAME:
            receiver, colon, sender = bytes(request[offset + 4 : end]).partition(b":")
            return (receiver, sender) if colon else None
        offset = end + 3 & ~3
    return None
