"""
The PROXY protocol's header, versions 1 and 2 (haproxy's doc/proxy-protocol.txt), without a socket.

A header is taken whole or refused: what is not exactly as the specification has it raises
ProxyHeaderError. TLVs of version 2 are skipped; nothing here acts on what they say.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from dataclasses import dataclass

from turn.five_tuple import Address

V1_MAXIMUM = 107
V2_MAXIMUM = 536
_V1_START = b"PROXY "
_V2_START = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_FIXED = struct.Struct("!12sBBH")
_V2_INET = struct.Struct("!4s4sHH")
_V2_INET6 = struct.Struct("!16s16sHH")
_V2_VERSION = 2
_COMMAND_LOCAL = 0
_COMMAND_PROXY = 1
_TCP4 = 0x11
_TCP6 = 0x21
# UNSPEC, UDP over both families and UNIX sockets: valid, and nothing a TCP listener can use.
_USELESS_FAMILIES = frozenset((0x00, 0x12, 0x22, 0x31, 0x32))
_V1_PORT = re.compile(r"0|[1-9][0-9]{0,4}")


class ProxyHeaderError(ValueError):
    """The stream does not begin with a PROXY header that can be believed."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """What a header announces, and how many bytes it takes."""

    client: Address | None
    """None: the proxy speaks for itself or does not know; the connection's own address counts."""
    length: int


def parse(data: bytes) -> ProxyHeader | None:
    """
    Read the header that ``data`` begins with; None while it is not here whole.

    Raises ProxyHeaderError as soon as no continuation could make it a header.
    """
    if data[: len(_V1_START)] == _V1_START[: len(data)]:
        return _parse_v1(data)
    if data[: len(_V2_START)] == _V2_START[: len(data)]:
        return _parse_v2(data)
    raise ProxyHeaderError("no signature")


def _parse_v1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, V1_MAXIMUM)
    if end < 0:
        if len(data) >= V1_MAXIMUM:
            raise ProxyHeaderError("version 1 line too long")
        return None
    try:
        words = data[:end].decode("ascii").split(" ")
    except UnicodeDecodeError:
        raise ProxyHeaderError("version 1 line is not ASCII") from None
    return ProxyHeader(client=_v1_client(words), length=end + 2)


def _v1_client(words: list[str]) -> Address | None:
    if words[1] == "UNKNOWN":
        return None
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise ProxyHeaderError("version 1 words")
    _, family, source, destination, source_port, destination_port = words
    version = 4 if family == "TCP4" else 6
    _v1_address(destination, destination_port, version)
    return _v1_address(source, source_port, version)


def _v1_address(host: str, port: str, version: int) -> Address:
    if not _V1_PORT.fullmatch(port) or int(port) > 0xFFFF:
        raise ProxyHeaderError("version 1 port")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise ProxyHeaderError("version 1 address") from None
    if address.version != version or "%" in host:
        raise ProxyHeaderError("version 1 address family")
    return canonical(address), int(port)


def _parse_v2(data: bytes) -> ProxyHeader | None:
    if len(data) < _V2_FIXED.size:
        return None
    _, command, family, size = _V2_FIXED.unpack_from(data)
    length = _V2_FIXED.size + size
    if command >> 4 != _V2_VERSION or command & 0xF not in (_COMMAND_LOCAL, _COMMAND_PROXY):
        raise ProxyHeaderError("version 2 command")
    if length > V2_MAXIMUM:
        raise ProxyHeaderError("version 2 header too long")
    layout = _v2_layout(family)
    if command & 0xF == _COMMAND_LOCAL:
        layout = None
    if layout is not None and size < layout.size:
        raise ProxyHeaderError("version 2 address too short")
    if len(data) < length:
        return None
    return ProxyHeader(client=_v2_client(data, layout), length=length)


def _v2_layout(family: int) -> struct.Struct | None:
    if family == _TCP4:
        return _V2_INET
    if family == _TCP6:
        return _V2_INET6
    if family in _USELESS_FAMILIES:
        return None
    raise ProxyHeaderError("version 2 address family")


def _v2_client(data: bytes, layout: struct.Struct | None) -> Address | None:
    if layout is None:
        return None
    source, _, port, _ = layout.unpack_from(data, _V2_FIXED.size)
    return canonical(ipaddress.ip_address(source)), port


def canonical(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Write an address as ``turn.five_tuple.Address`` has it: IPv4 never as mapped IPv6."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address).partition("%")[0]
