"""
Where checks of ICE may be sent to: a browser names the addresses, and could name anybody's.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

FIRST_PORT = 1024
"""Below are services, and no browser; a NAT that gives such a port is met by its own checks."""


@dataclass(frozen=True, slots=True)
class IcePeers:
    """
    Refuses what cannot be a browser: services, multicast, and this machine unless asked for.

    Private addresses are not refused: agents have them.
    """

    loopback: bool = False
    """Browsers of this machine are served."""
    only: frozenset[str] = frozenset()
    """The addresses of those that are served; none: anybody's."""

    def __call__(self, host: str, port: int) -> bool:
        """Whether a candidate (host, port) may be tried."""
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if address.is_multicast or address.is_unspecified or host == "255.255.255.255":
            return False
        if self.only and str(address) not in self.only and not address.is_loopback:
            return False
        return FIRST_PORT <= port <= 65535 and (self.loopback or not address.is_loopback)
