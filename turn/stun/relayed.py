"""
Send and Data indications (RFC 8656, section 11), for whoever forwards packets without an encoder.

These are the hot path for peers without a channel: one look at each attribute, no Message.
A Send indication is understood exactly as ``turn.stun.message.decode`` would.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from turn.five_tuple import Address
from turn.stun.attributes import (
    MAGIC_COOKIE,
    Attribute,
    pack_icmp,
    pack_xor_address,
    unpack_xor_address,
)
from turn.stun.errors import MalformedMessage
from turn.stun.message import (
    ATTRIBUTE_HEADER,
    HEADER,
    HEADER_SIZE,
    PADDING,
    check_fingerprint,
    decode,
)

_SEND_INDICATION: Final = 0x0016
_DATA_INDICATION: Final = 0x0017
_DATA_HEAD = Struct("!HHI12sHH")

MAX_PAYLOAD: Final = 0xFFFC - 28
"""The most that fits into DATA beside an IPv6 peer; a datagram of IPv6 may be longer."""

_PEER: Final = int(Attribute.XOR_PEER_ADDRESS)
_DATA: Final = int(Attribute.DATA)
_DONT_FRAGMENT: Final = int(Attribute.DONT_FRAGMENT)
_FINGERPRINT: Final = int(Attribute.FINGERPRINT)
_ICMP: Final = int(Attribute.ICMP)
_INTEGRITY: Final = frozenset(
    (int(Attribute.MESSAGE_INTEGRITY), int(Attribute.MESSAGE_INTEGRITY_SHA256))
)

UNDERSTOOD: Final = frozenset(
    (
        Attribute.MAPPED_ADDRESS,
        Attribute.USERNAME,
        Attribute.MESSAGE_INTEGRITY,
        Attribute.ERROR_CODE,
        Attribute.UNKNOWN_ATTRIBUTES,
        Attribute.CHANNEL_NUMBER,
        Attribute.LIFETIME,
        Attribute.XOR_PEER_ADDRESS,
        Attribute.DATA,
        Attribute.REALM,
        Attribute.NONCE,
        Attribute.XOR_RELAYED_ADDRESS,
        Attribute.REQUESTED_ADDRESS_FAMILY,
        Attribute.EVEN_PORT,
        Attribute.REQUESTED_TRANSPORT,
        Attribute.DONT_FRAGMENT,
        Attribute.MESSAGE_INTEGRITY_SHA256,
        Attribute.PASSWORD_ALGORITHM,
        Attribute.USERHASH,
        Attribute.XOR_MAPPED_ADDRESS,
        Attribute.RESERVATION_TOKEN,
    )
)
"""Comprehension-required attributes of RFC 8489 and RFC 8656: known, if idle, in a Send."""


class SendIndication(NamedTuple):
    """What a Send indication asks for; whether it may is for the permissions to say."""

    peer: Address
    payload: bytes | None
    """None if there is no DATA at all; an empty one asks for an empty datagram."""
    dont_fragment: bool
    unknown_required: bool
    """Whether some attribute is one that a server must know; then it drops the indication."""


def parse_send(data: bytes) -> SendIndication:
    """Read a Send indication. Raises MalformedMessage, also for one that names no peer."""
    size = len(data)
    if size < HEADER_SIZE:
        raise MalformedMessage("short")
    message_type, length, cookie = HEADER.unpack_from(data)
    if message_type != _SEND_INDICATION:
        raise MalformedMessage("type")
    if cookie != MAGIC_COOKIE:
        raise MalformedMessage("cookie")
    if length & 3 or length + HEADER_SIZE != size:
        raise MalformedMessage("length")
    peer: Address | None = None
    payload: bytes | None = None
    dont_fragment = unknown_required = False
    offset = HEADER_SIZE
    while offset < size:
        kind, length = ATTRIBUTE_HEADER.unpack_from(data, offset)
        start = offset + 4
        end = start + length
        if end > size:
            raise MalformedMessage("overrun")
        if kind == _DATA:
            if payload is None:
                payload = data[start:end]
        elif kind == _PEER:
            if peer is None:
                peer = unpack_xor_address(data[start:end], data[8:20])
        elif kind == _DONT_FRAGMENT:
            dont_fragment = True
        elif kind in _INTEGRITY:
            return _parse_protected(data)
        elif kind == _FINGERPRINT:
            check_fingerprint(data, offset, length)
        elif kind < 0x8000 and kind not in UNDERSTOOD:
            unknown_required = True
        offset = end + 3 & ~3
    if peer is None:
        raise MalformedMessage("peer")
    return SendIndication(peer, payload, dont_fragment, unknown_required)


def _parse_protected(data: bytes) -> SendIndication:
    """Read an indication with integrity, which is rare, and whose end has rules of its own."""
    message = decode(data)
    peer = message.first(_PEER)
    if peer is None:
        raise MalformedMessage("peer")
    return SendIndication(
        unpack_xor_address(peer, message.transaction_id),
        message.first(_DATA),
        message.has(_DONT_FRAGMENT),
        bool(message.unknown_required(UNDERSTOOD)),
    )


def pack_data(peer: Address, payload: bytes, transaction_id: bytes) -> bytes:
    """
    Return a Data indication: what ``peer`` sent, for the client. The id has 12 bytes.

    ``payload`` has MAX_PAYLOAD bytes at most.
    """
    size = len(payload)
    padding = PADDING[size & 3]
    value = pack_xor_address(peer, transaction_id)
    length = 8 + len(value) + size + len(padding)
    head = _DATA_HEAD.pack(
        _DATA_INDICATION, length, MAGIC_COOKIE, transaction_id, _PEER, len(value)
    )
    return b"".join((head, value, ATTRIBUTE_HEADER.pack(_DATA, size), payload, padding))


def pack_icmp_data(
    peer: Address, icmp_type: int, code: int, extra: int, transaction_id: bytes
) -> bytes:
    """
    Return a Data indication with an ICMP error instead of data (RFC 8656, section 11.6).

    ``peer`` is where the packet was going that caused the error; ``extra`` is the MTU of the next
    hop in a "too big" error, and zero in every other.
    """
    value = pack_xor_address(peer, transaction_id)
    error = pack_icmp(icmp_type, code, extra)
    head = _DATA_HEAD.pack(
        _DATA_INDICATION, 16 + len(value), MAGIC_COOKIE, transaction_id, _PEER, len(value)
    )
    return head + value + ATTRIBUTE_HEADER.pack(_ICMP, len(error)) + error
