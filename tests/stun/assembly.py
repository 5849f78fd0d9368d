"""
Messages put together byte by byte, also such as ``encode`` would never make.
"""

from __future__ import annotations

import hmac

from turn.stun.attributes import Attribute
from turn.stun.message import Integrity

IDENTITY = bytes(range(12))
KEY = b"a key"
SOFTWARE = (int(Attribute.SOFTWARE), b"abc")


def assemble(*attributes: tuple[int, bytes], head: bytes = b"\0\1") -> bytes:
    """A message of exactly these attributes, whatever the rules say of their order."""
    body = b"".join(
        kind.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value + bytes(-len(value) % 4)
        for kind, value in attributes
    )
    return head + len(body).to_bytes(2, "big") + b"\x21\x12\xa4\x42" + IDENTITY + body


def protect(data: bytes, integrity: Integrity, length: int, key: bytes = KEY) -> bytes:
    """The message with an integrity attribute of ``length`` bytes at its end."""
    counted = (len(data) - 20 + 4 + length).to_bytes(2, "big")
    digest = hmac.new(key, data[:2] + counted + data[4:], integrity.value).digest()
    kind = b"\x00\x08" if integrity is Integrity.SHA1 else b"\x00\x1c"
    return data[:2] + counted + data[4:] + kind + length.to_bytes(2, "big") + digest[:length]


def append(data: bytes, *attributes: tuple[int, bytes]) -> bytes:
    """The message with further attributes, and a length field that counts them."""
    data += assemble(*attributes)[20:]
    return data[:2] + (len(data) - 20).to_bytes(2, "big") + data[4:]
