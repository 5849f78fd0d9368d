"""
STUN messages to bytes and back (RFC 8489, sections 5, 6.3 and 14.5 to 14.7).

``decode`` refuses what the RFC wants ignored in silence, checks FINGERPRINT, and keeps what
``Message.verify`` needs. Messages without the magic cookie are those of RFC 3489: they decode as
``classic``, and neither integrity nor FINGERPRINT is known for them. What attributes mean, and
which of them a method needs, is not known here.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from struct import Struct
from typing import Final
from zlib import crc32

from turn.stun.attributes import COOKIE, MAGIC_COOKIE, Attribute
from turn.stun.errors import MalformedMessage

HEADER_SIZE: Final = 20
HEADER: Final = Struct("!HHI")
"""Type, length and magic cookie; the transaction id follows."""
ATTRIBUTE_HEADER: Final = Struct("!HH")
"""Type and length of an attribute; the value follows."""
PADDING: Final = (b"", b"\0\0\0", b"\0\0", b"\0")
"""What fills up a value of so many bytes, modulo four."""

_MAX_LENGTH: Final = 0xFFFC
_FINGERPRINT_XOR: Final = 0x5354554E

# Plain integers: looking up a member of an enumeration costs more than reading an attribute.
_SHA1: Final = int(Attribute.MESSAGE_INTEGRITY)
_SHA256: Final = int(Attribute.MESSAGE_INTEGRITY_SHA256)
_FINGERPRINT: Final = int(Attribute.FINGERPRINT)
_TRAILING: Final = frozenset((_SHA1, _SHA256, _FINGERPRINT))


class Class(IntEnum):
    """The two class bits of a message type."""

    REQUEST = 0
    INDICATION = 1
    SUCCESS = 2
    ERROR = 3


class Method(IntEnum):
    """The methods of RFC 8489, RFC 8656 and RFC 6062."""

    BINDING = 1
    ALLOCATE = 3
    REFRESH = 4
    SEND = 6
    DATA = 7
    CREATE_PERMISSION = 8
    CHANNEL_BIND = 9
    CONNECT = 10
    CONNECTION_BIND = 11
    CONNECTION_ATTEMPT = 12


class Integrity(Enum):
    """Which HMAC protects a message: MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256."""

    SHA1 = "sha1"
    SHA256 = "sha256"


_CLASSES: Final = tuple(Class)
_INTEGRITY: Final = {
    Integrity.SHA1: (_SHA1, 20),
    Integrity.SHA256: (_SHA256, 32),
}


@dataclass(slots=True)
class Message:
    """
    A message that ``decode`` read; ``encode`` builds from parts, not from this.

    ``attributes`` are in order and with duplicates, but without whatever a receiver must ignore
    because no HMAC covers it (RFC 8489, section 14.5).
    """

    method: int
    """A Method, or a number that is none."""
    message_class: Class
    transaction_id: bytes
    """12 bytes, or 16 in a classic message."""
    classic: bool
    """Whether the magic cookie is missing (RFC 3489)."""
    attributes: tuple[tuple[int, bytes], ...]
    integrity: Integrity | None
    """The strongest that is present; not yet verified."""
    has_fingerprint: bool
    _data: bytes = field(repr=False)
    _integrity_at: int = field(repr=False)

    def first(self, kind: int) -> bytes | None:
        """Return the value of the first attribute of this type: the one that counts."""
        for present, value in self.attributes:
            if present == kind:
                return value
        return None

    def all(self, kind: int) -> list[bytes]:
        """Return the values of every attribute of this type, in order."""
        return [value for present, value in self.attributes if present == kind]

    def has(self, kind: int) -> bool:
        """Return whether there is an attribute of this type."""
        return self.first(kind) is not None

    def unknown_required(self, known: Collection[int]) -> list[int]:
        """
        Return the comprehension-required types that are not ``known``, each once, in order.

        The two integrity attributes are always known.
        """
        return list(
            dict.fromkeys(
                kind
                for kind, _ in self.attributes
                if kind < 0x8000 and kind not in known and kind not in _TRAILING
            )
        )

    def verify(self, key: bytes) -> bool:
        """
        Return whether the strongest integrity attribute was made with ``key``.

        A truncated MESSAGE-INTEGRITY-SHA256 counts for the 16 bytes or more that it has. Without
        an integrity attribute nothing is verified, and the answer is no.
        """
        if self.integrity is None:
            return False
        at = self._integrity_at
        _, length = ATTRIBUTE_HEADER.unpack_from(self._data, at)
        received = self._data[at + 4 : at + 4 + length]
        expected = _authentication_code(self.integrity, key, self._data[:at], length)
        return hmac.compare_digest(expected[:length], received)


def is_message(data: bytes) -> bool:
    """Return whether this may be a STUN message: long enough, leading zero bits, the cookie."""
    return len(data) >= HEADER_SIZE and data[0] < 0x40 and data[4:8] == COOKIE


def decode(data: bytes) -> Message:
    """
    Read one message, which must fill ``data`` exactly.

    Raises MalformedMessage for whatever a receiver must ignore in silence.
    """
    size = len(data)
    if size < HEADER_SIZE:
        raise MalformedMessage("short")
    message_type, length, cookie = HEADER.unpack_from(data)
    if message_type > 0x3FFF:
        raise MalformedMessage("bits")
    if length & 3 or length + HEADER_SIZE != size:
        raise MalformedMessage("length")
    classic = cookie != MAGIC_COOKIE
    attributes: list[tuple[int, bytes]] = []
    # Every length is a multiple of four, so a header always fits, and so does the padding of a
    # value that fits.
    offset = HEADER_SIZE
    while offset < size:
        kind, length = ATTRIBUTE_HEADER.unpack_from(data, offset)
        if kind in _TRAILING and not classic:
            break
        offset += 4
        end = offset + length
        if end > size:
            raise MalformedMessage("overrun")
        attributes.append((kind, data[offset:end]))
        offset = end + 3 & ~3
    integrity, integrity_at, has_fingerprint = _decode_trailing(data, offset, attributes)
    return Message(
        message_type & 0xF | message_type >> 1 & 0x70 | message_type >> 2 & 0xF80,
        _CLASSES[message_type >> 4 & 1 | message_type >> 7 & 2],
        data[4:20] if classic else data[8:20],
        classic,
        tuple(attributes),
        integrity,
        has_fingerprint,
        data,
        integrity_at,
    )


def _decode_trailing(
    data: bytes, offset: int, attributes: list[tuple[int, bytes]]
) -> tuple[Integrity | None, int, bool]:
    """
    Read on from the first attribute after which not every other counts.

    MESSAGE-INTEGRITY lets MESSAGE-INTEGRITY-SHA256 and FINGERPRINT follow, the second of them
    only FINGERPRINT, and FINGERPRINT nothing. What else is there is ignored, but must be whole.
    """
    integrity: Integrity | None = None
    integrity_at = 0
    size = len(data)
    while offset < size:
        kind, length = ATTRIBUTE_HEADER.unpack_from(data, offset)
        end = offset + 4 + length
        if end > size:
            raise MalformedMessage("overrun")
        value = data[offset + 4 : end]
        if kind == _FINGERPRINT:
            check_fingerprint(data, offset, length)
            attributes.append((kind, value))
            return integrity, integrity_at, True
        if kind == _SHA256 and integrity is not Integrity.SHA256:
            if length not in (16, 20, 24, 28, 32):
                raise MalformedMessage("integrity")
            attributes.append((kind, value))
            integrity, integrity_at = Integrity.SHA256, offset
        elif kind == _SHA1 and integrity is None:
            if length != 20:
                raise MalformedMessage("integrity")
            attributes.append((kind, value))
            integrity, integrity_at = Integrity.SHA1, offset
        offset = end + 3 & ~3
    return integrity, integrity_at, False


def check_fingerprint(data: bytes, offset: int, length: int) -> None:
    """Raise MalformedMessage unless the FINGERPRINT at ``offset`` is last, and right."""
    if (
        length != 4
        or offset + 8 != len(data)
        or _checksum(data[:offset]) != int.from_bytes(data[offset + 4 :], "big")
    ):
        raise MalformedMessage("fingerprint")


def encode(
    method: int,
    message_class: Class,
    transaction_id: bytes,
    attributes: Iterable[tuple[int, bytes]],
    *,
    key: bytes | None = None,
    integrity: Integrity = Integrity.SHA1,
    fingerprint: bool = False,
    classic: bool = False,
) -> bytes:
    """
    Return a message: the attributes in order, then ``integrity`` if there is a key, then
    FINGERPRINT if asked for. Values are padded with zeros.

    A classic message takes a 16-byte transaction id, and neither a key nor a fingerprint. Raises
    ValueError for that, and for more attributes than a message can hold.
    """
    if classic and (key is not None or fingerprint):
        raise ValueError("a classic message has neither integrity nor FINGERPRINT of RFC 8489")
    identity = transaction_id if classic else COOKIE + transaction_id
    if len(identity) != 16:
        raise ValueError(f"a transaction id of {len(transaction_id)} bytes")
    message = bytearray(_message_type(method, message_class) + b"\0\0" + identity)
    for kind, value in attributes:
        _append(message, kind, value)
    if key is not None:
        kind, length = _INTEGRITY[integrity]
        _append(message, kind, _authentication_code(integrity, key, message, length))
    if fingerprint:
        message[2:4] = _length_field(len(message) - HEADER_SIZE + 8)
        _append(message, _FINGERPRINT, _checksum(message).to_bytes(4, "big"))
    message[2:4] = _length_field(len(message) - HEADER_SIZE)
    return bytes(message)


def _message_type(method: int, message_class: Class) -> bytes:
    """Interleave method and class (RFC 8489, figure 3)."""
    if not 0 <= method <= 0xFFF:
        raise ValueError(f"no room for method {method}")
    spread = method & 0xF | (method & 0x70) << 1 | (method & 0xF80) << 2
    return (spread | (message_class & 1) << 4 | (message_class & 2) << 7).to_bytes(2, "big")


def _append(message: bytearray, kind: int, value: bytes) -> None:
    length = len(value)
    _length_field(len(message) - HEADER_SIZE + 4 + length)
    message += ATTRIBUTE_HEADER.pack(kind, length)
    message += value
    message += PADDING[length & 3]


def _length_field(length: int) -> bytes:
    if length > _MAX_LENGTH:
        raise ValueError("more attributes than a message can hold")
    return length.to_bytes(2, "big")


def _checksum(covered: bytes | bytearray) -> int:
    return crc32(covered) ^ _FINGERPRINT_XOR


def _authentication_code(
    integrity: Integrity, key: bytes, before: bytes | bytearray, length: int
) -> bytes:
    """
    Return the whole HMAC for an integrity attribute that follows ``before``.

    The length field is hashed as if the attribute, ``length`` bytes long, were the last.
    """
    counted = _length_field(len(before) - HEADER_SIZE + 4 + length)
    covered = before[:2] + counted + before[4:]
    return hmac.digest(key, covered, integrity.value)
