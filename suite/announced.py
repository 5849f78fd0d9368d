"""
A transport whose peer is the one that a proxy announced.
"""

from __future__ import annotations

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import ITCPTransport
from zope.interface import directlyProvides, providedBy

from turn.five_tuple import Address


class AnnouncedTransport:
    """All that the given transport is and does, except that ``getPeer`` tells ``client``."""

    def __init__(self, transport: ITCPTransport, client: Address) -> None:
        self._transport = transport
        self._peer = twisted_address(client)
        self.write = transport.write
        directlyProvides(self, providedBy(transport))

    def getPeer(self) -> IPv4Address | IPv6Address:
        """The client's address, as the proxy's header gave it."""
        return self._peer

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)


def twisted_address(address: Address) -> IPv4Address | IPv6Address:
    """An address as Twisted's protocols know it."""
    host, port = address
    return IPv6Address("TCP", host, port) if ":" in host else IPv4Address("TCP", host, port)
