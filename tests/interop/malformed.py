"""
Bytes that are not what they seem: STUN, TURN and ChannelData that is wrong in one way each.

None of them is worth more than one answer, and most are worth none.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from turn.stun.attributes import COOKIE, Attribute
from turn.stun.message import Class, Method, encode

_ID = b"malformed-id"
_BINDING = encode(Method.BINDING, Class.REQUEST, _ID, [])


def _message(kind: int, length: int, body: bytes = b"", cookie: bytes = COOKIE) -> bytes:
    return kind.to_bytes(2, "big") + length.to_bytes(2, "big") + cookie + _ID + body


def _attribute(kind: int, length: int, value: bytes) -> bytes:
    return kind.to_bytes(2, "big") + length.to_bytes(2, "big") + value


def _with(*attributes: bytes, method: int = Method.BINDING) -> bytes:
    body = b"".join(attributes)
    return _message(method, len(body), body)


WRONG: dict[str, bytes] = {
    "nothing": b"",
    "one zero": b"\0",
    "a header less one byte": _BINDING[:-1],
    "length of 1": _message(1, 1, b"\0"),
    "length of 3": _message(1, 3, b"\0\0\0"),
    "length beyond the packet": _message(1, 8),
    "length less than the packet": _message(1, 0, bytes(8)),
    "length of 65535": _message(1, 0xFFFF),
    "length of 65532, and as many bytes": _message(1, 0xFFFC, bytes(0xFF00)),
    "no cookie": _message(1, 0, cookie=bytes(4)),
    "a cookie less one bit": _message(1, 0, cookie=b"\x21\x12\xa4\x43"),
    "top bits 01": _message(0x4001, 0),
    "top bits 10": _message(0x8001, 0),
    "top bits 11": _message(0xC001, 0),
    "method 0": _message(0x0000, 0),
    "the highest method": _message(0x3EEF, 0),
    "method 0 as an indication": _message(0x0010, 0),
    "an unasked success": _message(0x0101, 0),
    "an unasked error": _message(0x0111, 0),
    "a Data indication from a client": _message(0x0017, 0),
    "half an attribute header": _message(1, 4, b"\0\x06"),
    "an attribute beyond the message": _with(_attribute(Attribute.USERNAME, 200, b"abcd")),
    "an attribute of 65535 bytes": _with(_attribute(Attribute.USERNAME, 0xFFFF, b"abcd")),
    "padding beyond the message": _with(_attribute(Attribute.USERNAME, 5, b"abcd")),
    "unknown required attribute": _with(_attribute(0x7FFF, 0, b"")),
    "300 unknown required attributes": _with(*[_attribute(0x7000 + n, 0, b"") for n in range(300)]),
    "FINGERPRINT that is wrong": _with(_attribute(Attribute.FINGERPRINT, 4, bytes(4))),
    "FINGERPRINT of two bytes": _with(_attribute(Attribute.FINGERPRINT, 2, bytes(4))),
    "FINGERPRINT that is not last": _with(
        _attribute(Attribute.FINGERPRINT, 4, bytes(4)), _attribute(Attribute.PRIORITY, 4, bytes(4))
    ),
    "MESSAGE-INTEGRITY of four bytes": _with(_attribute(Attribute.MESSAGE_INTEGRITY, 4, bytes(4))),
    "MESSAGE-INTEGRITY only": _with(
        _attribute(Attribute.MESSAGE_INTEGRITY, 20, bytes(20)), method=Method.ALLOCATE
    ),
    "MESSAGE-INTEGRITY-SHA256 of 17 bytes": _with(
        _attribute(Attribute.MESSAGE_INTEGRITY_SHA256, 17, bytes(20)), method=Method.ALLOCATE
    ),
    "USERNAME of 600 bytes": _with(
        _attribute(Attribute.USERNAME, 600, b"u" * 600), method=Method.ALLOCATE
    ),
    "USERNAME that is not UTF-8": _with(
        _attribute(Attribute.USERNAME, 4, b"\xff\xfe\0\n"), method=Method.ALLOCATE
    ),
    "NONCE of 800 bytes": _with(
        _attribute(Attribute.NONCE, 800, b"n" * 800),
        _attribute(Attribute.MESSAGE_INTEGRITY, 20, bytes(20)),
        method=Method.ALLOCATE,
    ),
    "REQUESTED-TRANSPORT of nothing": _with(
        _attribute(Attribute.REQUESTED_TRANSPORT, 0, b""), method=Method.ALLOCATE
    ),
    "Send with nothing": _message(0x0016, 0),
    "Send with an address of family 9": _message(
        0x0016, 12, _attribute(Attribute.XOR_PEER_ADDRESS, 8, b"\0\x09\0\0\0\0\0\0")
    ),
    "ChannelData shorter than it says": b"\x40\x00\x00\x64abcd",
    "ChannelData of 65535 bytes, none there": b"\x40\x00\xff\xff",
    "ChannelData without a length": b"\x40\x00",
    "ChannelData of nothing": b"\x40\x00\x00\x00",
    "a channel above those of RFC 8656": b"\x50\x00\x00\x04abcd",
    "the highest channel": b"\x7f\xff\x00\x04abcd",
    "DTLS": bytes.fromhex("16feff0000000000000000002c010000200000000000000020") + bytes(32),
    "HTTP": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "SIP": b"OPTIONS sip:a SIP/2.0\r\n\r\n",
    "PROXY": b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n",
    "ones": b"\xff" * 64,
}


def mutations(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Valid messages with a few bytes changed, cut or repeated; the same for the same seed."""
    chance = random.Random(seed)
    valid = [
        encode(
            Method.ALLOCATE,
            Class.REQUEST,
            _ID,
            [
                (Attribute.REQUESTED_TRANSPORT, b"\x11\0\0\0"),
                (Attribute.USERNAME, b"user"),
                (Attribute.REALM, b"realm"),
                (Attribute.NONCE, b"nonce-nonce-nonce"),
            ],
            key=b"key",
            fingerprint=True,
        ),
        encode(Method.BINDING, Class.REQUEST, _ID, [(Attribute.SOFTWARE, b"mutant")]),
        b"\x40\x00\x00\x08eightone",
    ]
    for number in range(count):
        data = bytearray(chance.choice(valid))
        for _ in range(chance.randint(1, 4)):
            match chance.randrange(3):
                case 0:
                    data[chance.randrange(len(data))] = chance.randrange(256)
                case 1:
                    del data[chance.randrange(1, len(data) + 1) :]
                case _:
                    data += data[chance.randrange(1, len(data) + 1) :]
        yield f"mutation {number} of seed {seed}", bytes(data)
