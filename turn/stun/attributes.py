"""
The attributes of STUN and TURN: their numbers and the form of their values.

Values of RFC 8489 (section 14), RFC 8656 (section 18) and RFC 6062 (section 6.2). An ``unpack_``
function reads what a peer sent and raises MalformedMessage; a ``pack_`` function raises
ValueError or struct.error, for then the fault is ours. Texts, digests and opaque bytes need no
function: the value is what it is. Padding belongs to the message, not to a value.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from enum import IntEnum
from struct import Struct
from typing import Final

from turn.five_tuple import Address
from turn.stun.errors import MalformedMessage

MAGIC_COOKIE: Final = 0x2112A442
COOKIE: Final = MAGIC_COOKIE.to_bytes(4, "big")

MAX_REASON: Final = 509
"""The most bytes of a reason phrase that is sent (RFC 8489, section 14.8)."""


class Attribute(IntEnum):
    """Attribute types as IANA names them; from 0x8000 on a receiver may ignore what is new."""

    MAPPED_ADDRESS = 0x0001
    RESPONSE_ADDRESS = 0x0002
    CHANGE_REQUEST = 0x0003
    SOURCE_ADDRESS = 0x0004
    CHANGED_ADDRESS = 0x0005
    USERNAME = 0x0006
    PASSWORD = 0x0007
    MESSAGE_INTEGRITY = 0x0008
    ERROR_CODE = 0x0009
    UNKNOWN_ATTRIBUTES = 0x000A
    REFLECTED_FROM = 0x000B
    CHANNEL_NUMBER = 0x000C
    LIFETIME = 0x000D
    BANDWIDTH = 0x0010
    XOR_PEER_ADDRESS = 0x0012
    DATA = 0x0013
    REALM = 0x0014
    NONCE = 0x0015
    XOR_RELAYED_ADDRESS = 0x0016
    REQUESTED_ADDRESS_FAMILY = 0x0017
    EVEN_PORT = 0x0018
    REQUESTED_TRANSPORT = 0x0019
    DONT_FRAGMENT = 0x001A
    ACCESS_TOKEN = 0x001B
    MESSAGE_INTEGRITY_SHA256 = 0x001C
    PASSWORD_ALGORITHM = 0x001D
    USERHASH = 0x001E
    XOR_MAPPED_ADDRESS = 0x0020
    TIMER_VAL = 0x0021
    RESERVATION_TOKEN = 0x0022
    PRIORITY = 0x0024
    USE_CANDIDATE = 0x0025
    PADDING = 0x0026
    RESPONSE_PORT = 0x0027
    CONNECTION_ID = 0x002A
    ADDITIONAL_ADDRESS_FAMILY = 0x8000
    ADDRESS_ERROR_CODE = 0x8001
    PASSWORD_ALGORITHMS = 0x8002
    ALTERNATE_DOMAIN = 0x8003
    ICMP = 0x8004
    SOFTWARE = 0x8022
    ALTERNATE_SERVER = 0x8023
    TRANSACTION_TRANSMIT_COUNTER = 0x8025
    CACHE_TIMEOUT = 0x8027
    FINGERPRINT = 0x8028
    ICE_CONTROLLED = 0x8029
    ICE_CONTROLLING = 0x802A
    RESPONSE_ORIGIN = 0x802B
    OTHER_ADDRESS = 0x802C
    ECN_CHECK = 0x802D
    THIRD_PARTY_AUTHORIZATION = 0x802E
    ORIGIN = 0x802F
    MOBILITY_TICKET = 0x8030
    COTURN_ADDITIONAL_ADDRESS_FAMILY = 0x8032
    """ADDITIONAL-ADDRESS-FAMILY before RFC 8656 had a number for it; coTURN 4.6 sends it."""
    COTURN_ADDRESS_ERROR_CODE = 0x8033
    """ADDRESS-ERROR-CODE before RFC 8656 had a number for it."""


class Family(IntEnum):
    """Address families of every attribute that names one."""

    IPV4 = 1
    IPV6 = 2


_IPV4: Final = int(Family.IPV4)
_IPV6: Final = int(Family.IPV6)
_COOKIE_HIGH: Final = MAGIC_COOKIE >> 16

_UINT16 = Struct("!H")
_UINT32 = Struct("!I")
_OCTET = Struct("!B3x")
_CHANNEL = Struct("!H2x")
_ADDRESS_HEAD = Struct("!xBH")
_ADDRESS_IPV4 = Struct("!xBHI")
_ERROR = Struct("!2xBB")
_ADDRESS_ERROR = Struct("!BxBB")
_ALGORITHM = Struct("!HH")
_ICMP = Struct("!2xHI")


def pack_host(host: str) -> bytes:
    """
    Return the 4 or 16 bytes of an IP address that is written canonically, without a zone.

    Raises ValueError for anything else, a host name for example.
    """
    if ":" in host:
        return ipaddress.IPv6Address(host).packed
    packed = bytes(map(int, host.split(".")))
    if len(packed) != 4:
        raise ValueError(f"not an IPv4 address: {host!r}")
    return packed


def unpack_host(packed: bytes) -> str:
    """Return 4 or 16 bytes as the text that ``inet_ntop`` makes of them."""
    if len(packed) == 4:
        return _dotted(packed)
    # The two forms in which inet_ntop writes the last four bytes as IPv4 and ipaddress does not.
    if packed.startswith(b"\0\0\0\0\0\0\0\0\0\0\xff\xff"):
        return "::ffff:" + _dotted(packed[12:])
    if packed.startswith(b"\0\0\0\0\0\0\0\0\0\0\0\0") and packed[12:14] != b"\0\0":
        return "::" + _dotted(packed[12:])
    return str(ipaddress.IPv6Address(packed))


def _dotted(packed: bytes) -> str:
    return ".".join(map(str, packed))


def pack_address(address: Address) -> bytes:
    """Return the value of MAPPED-ADDRESS, ALTERNATE-SERVER and the like."""
    host, port = address
    family = _IPV6 if ":" in host else _IPV4
    return _ADDRESS_HEAD.pack(family, port) + pack_host(host)


def unpack_address(value: bytes) -> Address:
    """Return the address in a value of MAPPED-ADDRESS and the like."""
    port = _clear_port(value)
    return unpack_host(value[4:]), port


def pack_xor_address(address: Address, transaction_id: bytes) -> bytes:
    """Return the value of an XOR- attribute for a message with this transaction id."""
    host, port = address
    mask = _mask(transaction_id)
    packed = pack_host(host)
    family = _IPV4 if len(packed) == 4 else _IPV6
    head = _ADDRESS_HEAD.pack(family, port ^ int.from_bytes(mask[:2], "big"))
    return head + _xor(packed, mask)


def unpack_xor_address(value: bytes, transaction_id: bytes) -> Address:
    """Return the address in a value of an XOR- attribute of a message with this transaction id."""
    if len(value) == 8 and len(transaction_id) == 12:
        # Hot path: every Send indication to an IPv4 peer.
        family, port, host = _ADDRESS_IPV4.unpack(value)
        if family == _IPV4:
            host ^= MAGIC_COOKIE
            text = f"{host >> 24}.{host >> 16 & 255}.{host >> 8 & 255}.{host & 255}"
            return text, port ^ _COOKIE_HIGH
    mask = _mask(transaction_id)
    port = _clear_port(value) ^ int.from_bytes(mask[:2], "big")
    return unpack_host(_xor(value[4:], mask)), port


def _clear_port(value: bytes) -> int:
    """The port as it stands there, once family and length agree."""
    if len(value) not in (8, 20):
        raise MalformedMessage("address")
    family, port = _ADDRESS_HEAD.unpack_from(value)
    if family != (_IPV4 if len(value) == 8 else _IPV6):
        raise MalformedMessage("address")
    return int(port)


def _mask(transaction_id: bytes) -> bytes:
    """The cookie and the id; a classic id is 16 bytes and fills the place of both."""
    return (COOKIE + transaction_id)[-16:]


def _xor(packed: bytes, mask: bytes) -> bytes:
    size = len(packed)
    mixed = int.from_bytes(packed, "big") ^ int.from_bytes(mask[:size], "big")
    return mixed.to_bytes(size, "big")


def pack_error(code: int, reason: str = "") -> bytes:
    """Return the value of ERROR-CODE. The message adds padding, which the phrase never counts."""
    return _ERROR.pack(*_split_code(code)) + _phrase(reason)


def unpack_error(value: bytes) -> tuple[int, str]:
    """Return code and phrase of ERROR-CODE; bytes that are not UTF-8 are replaced."""
    if len(value) < 4:
        raise MalformedMessage("value")
    hundreds, rest = _ERROR.unpack_from(value)
    return _join_code(hundreds, rest), value[4:].decode("utf-8", "replace")


def pack_address_error(family: int, code: int, reason: str = "") -> bytes:
    """Return the value of ADDRESS-ERROR-CODE: why there is no relay of this family."""
    return _ADDRESS_ERROR.pack(family, *_split_code(code)) + _phrase(reason)


def unpack_address_error(value: bytes) -> tuple[int, int, str]:
    """Return family, code and phrase of ADDRESS-ERROR-CODE."""
    if len(value) < 4:
        raise MalformedMessage("value")
    family, hundreds, rest = _ADDRESS_ERROR.unpack_from(value)
    return family, _join_code(hundreds, rest), value[4:].decode("utf-8", "replace")


def _split_code(code: int) -> tuple[int, int]:
    if not 300 <= code <= 699:
        raise ValueError(f"not an error code of STUN: {code}")
    return divmod(code, 100)


def _join_code(hundreds: int, rest: int) -> int:
    hundreds &= 7  # the bits above are reserved, and not ours to judge
    if not 3 <= hundreds <= 6 or rest > 99:
        raise MalformedMessage("value")
    return hundreds * 100 + rest


def _phrase(reason: str) -> bytes:
    encoded = reason.encode()
    if len(encoded) > MAX_REASON:
        raise ValueError("a reason phrase of more than 509 bytes")
    return encoded


def pack_unknown(types: Iterable[int]) -> bytes:
    """Return the value of UNKNOWN-ATTRIBUTES."""
    return b"".join(map(_UINT16.pack, types))


def unpack_unknown(value: bytes) -> list[int]:
    """Return the attribute types that UNKNOWN-ATTRIBUTES lists."""
    if len(value) % 2:
        raise MalformedMessage("value")
    return [kind for (kind,) in _UINT16.iter_unpack(value)]


def pack_password_algorithm(algorithm: int, parameters: bytes = b"") -> bytes:
    """Return the value of PASSWORD-ALGORITHM."""
    padding = bytes(-len(parameters) % 4)
    return _ALGORITHM.pack(algorithm, len(parameters)) + parameters + padding


def unpack_password_algorithm(value: bytes) -> tuple[int, bytes]:
    """Return the algorithm and its parameters from PASSWORD-ALGORITHM."""
    algorithms = unpack_password_algorithms(value)
    if len(algorithms) != 1:
        raise MalformedMessage("value")
    return algorithms[0]


def pack_password_algorithms(algorithms: Iterable[tuple[int, bytes]]) -> bytes:
    """Return the value of PASSWORD-ALGORITHMS, the preferred algorithm first."""
    return b"".join(pack_password_algorithm(*algorithm) for algorithm in algorithms)


def unpack_password_algorithms(value: bytes) -> list[tuple[int, bytes]]:
    """Return the algorithms of PASSWORD-ALGORITHMS with their parameters, in order."""
    algorithms = []
    offset, size = 0, len(value)
    while offset < size:
        if offset + 4 > size:
            raise MalformedMessage("value")
        algorithm, length = _ALGORITHM.unpack_from(value, offset)
        start, end = offset + 4, offset + 4 + length
        offset = end + -length % 4
        if offset > size:
            raise MalformedMessage("value")
        algorithms.append((algorithm, value[start:end]))
    return algorithms


def pack_icmp(icmp_type: int, code: int, data: int = 0) -> bytes:
    """
    Return the value of ICMP (RFC 8656, section 18.13).

    ``data`` is the MTU of the next hop in a "too big" error, and zero in every other. The type
    has 7 bits and the code 9, so an ICMPv6 message that is no error cannot be told.
    """
    if not 0 <= icmp_type < 1 << 7 or not 0 <= code < 1 << 9:
        raise ValueError(f"no room for ICMP type {icmp_type}, code {code}")
    return _ICMP.pack(icmp_type << 9 | code, data)


def unpack_icmp(value: bytes) -> tuple[int, int, int]:
    """Return type, code and data of ICMP."""
    if len(value) != 8:
        raise MalformedMessage("value")
    type_and_code, data = _ICMP.unpack(value)
    return type_and_code >> 9, type_and_code & 0x1FF, data


def pack_uint32(number: int) -> bytes:
    """Return the value of LIFETIME, CONNECTION-ID, PRIORITY and other 32-bit numbers."""
    return _UINT32.pack(number)


def unpack_uint32(value: bytes) -> int:
    """Return the number in LIFETIME, CONNECTION-ID, PRIORITY and the like."""
    if len(value) != 4:
        raise MalformedMessage("value")
    return int.from_bytes(value, "big")


def pack_channel_number(number: int) -> bytes:
    """Return the value of CHANNEL-NUMBER."""
    return _CHANNEL.pack(number)


def unpack_channel_number(value: bytes) -> int:
    """Return the number in CHANNEL-NUMBER, be it one that RFC 8656 allows or not."""
    if len(value) != 4:
        raise MalformedMessage("value")
    return value[0] << 8 | value[1]


def pack_requested_transport(protocol: int) -> bytes:
    """Return the value of REQUESTED-TRANSPORT: an IP protocol number, 17 for UDP."""
    return _OCTET.pack(protocol)


def unpack_requested_transport(value: bytes) -> int:
    """Return the IP protocol number in REQUESTED-TRANSPORT, known or not."""
    return _unpack_octet(value)


def pack_family(family: int) -> bytes:
    """Return the value of REQUESTED-ADDRESS-FAMILY and ADDITIONAL-ADDRESS-FAMILY."""
    return _OCTET.pack(family)


def unpack_family(value: bytes) -> int:
    """Return the family in REQUESTED- or ADDITIONAL-ADDRESS-FAMILY, known or not."""
    return _unpack_octet(value)


def _unpack_octet(value: bytes) -> int:
    """The first of four bytes; the other three are reserved and ignored."""
    if len(value) != 4:
        raise MalformedMessage("value")
    return value[0]


def pack_even_port(reserve: bool) -> bytes:
    """Return the value of EVEN-PORT; ``reserve`` asks for the next port too (the R bit)."""
    return b"\x80" if reserve else b"\0"


def unpack_even_port(value: bytes) -> bool:
    """Return whether EVEN-PORT asks for the next port too."""
    if len(value) != 1:
        raise MalformedMessage("value")
    return value[0] >= 0x80


def unpack_text(value: bytes) -> str:
    """Return the text of USERNAME, REALM, NONCE and the like, which must be UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise MalformedMessage("value") from None
