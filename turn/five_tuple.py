"""
Who talks to us and over what: transport addresses and five-tuples (RFC 8656, section 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

Address = tuple[str, int]
"""
A transport address: the IP address as canonical text (``inet_ntop`` form, lower case, no zone,
IPv4 never as IPv4-mapped IPv6) and the port.
"""


class Transport(StrEnum):
    """The protocol between a client and this server."""

    UDP = "UDP"
    TCP = "TCP"
    TLS = "TLS"

    @property
    def is_stream(self) -> bool:
        """Whether frames of this transport need padding and an order-keeping reader."""
        return self is not Transport.UDP


@dataclass(frozen=True, slots=True)
class FiveTuple:
    """A client's transport address, the server's, and the protocol between them."""

    transport: Transport
    client: Address
    server: Address


def joined(address: Address) -> str:
    """An address as it is written: ``0.0.0.0:3478``, ``[::]:3478``."""
    host, port = address
    return f"{bracketed(host)}:{port}"


def bracketed(host: str) -> str:
    """A host as it stands before a port or in a URL: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host
