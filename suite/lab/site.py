"""
What both SIP Servers of the lab know: their names, the phones, and who is registered.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from b2bua.net.via import DEFAULT_PORTS
from b2bua.sip.hop import DATAGRAM, Hop
from b2bua.sip.uri import SipUri, Uri
from suite.lab.registry import Registry
from suite.lab.settings import Address, is_loopback


@dataclass(slots=True)
class Site:
    """The state that the servers share, as the two halves of a pair do."""

    domain: str
    registry: Registry
    servers: set[Address] = field(default_factory=set)
    """Every address that one of the servers has been bound at."""
    phones: dict[str, tuple[Uri, Hop]] = field(default_factory=dict)
    """The lab's own phones by DN: their Contact, and where it leads."""

    def is_ours(self, uri: Uri) -> bool:
        """Whether a URI names the pair or one of its servers, alive or dead."""
        if not isinstance(uri, SipUri):
            return False
        if uri.host == self.domain:
            return True
        port = uri.port or DEFAULT_PORTS.get(uri.transport or DATAGRAM, 5060)
        return (uri.host, port) in self.servers

    def numbers(self, now: float) -> list[str]:
        """Every number that can be called."""
        return [*self.phones, *sorted({binding.dn for binding in self.registry.bindings(now)})]

    def place(self, dn: str, now: float) -> tuple[Uri, Hop] | None:
        """Contact of a DN and the way there; the hop's flow is 0: any connection will do."""
        if dn in self.phones:
            return self.phones[dn]
        binding = self.registry.binding(dn, now)
        return None if binding is None else (binding.contact, binding.hop)


def hop_to(uri: Uri, transport: str = "") -> Hop | None:
    """
    The way to an address in a URI; None where it is no address of this machine's own.

    ``transport`` is taken where the URI names none.
    """
    if not isinstance(uri, SipUri) or not is_loopback(uri.host):
        return None
    way = uri.transport or transport or DATAGRAM
    if way not in ("UDP", "TCP"):
        return None
    return Hop(way, uri.host, uri.port or DEFAULT_PORTS[way])
