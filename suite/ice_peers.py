"""
Where checks of ICE may be sent to: a browser names the addresses, and could name anybody's.

Whoever has sent a check of its own, which proves that it knows our password, is answered nearly
everywhere. An address that was only named is sought under the rules of the relay: a page could
have us knock at every door of the network we stand in.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from turn.access import PeerRules
from turn.settings import PeerSettings

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


@dataclass(frozen=True, slots=True)
class SoughtPeers:
    """
    Refuses what ``IcePeers`` and the relay refuse: what no packet from outside could reach.

    Private addresses are sought where ``peers`` allows them. Agents who have them find us, as the
    answering side is found by everybody. Of this machine only the relay's ports are sought.
    """

    peers: PeerSettings = field(default_factory=PeerSettings, compare=False)
    """Those of the start: what a reload changes of them holds here from the next one on."""
    machine: tuple[str, ...] = ()
    """Its addresses."""
    external: Mapping[str, str] = field(default_factory=dict)
    """The local address behind each public one."""
    relay_ports: tuple[int, int] = (49152, 65535)
    loopback: bool = False
    """Browsers of this machine are served, on its loopback address."""
    _rules: PeerRules = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        first, last = self.relay_ports
        rules = PeerRules(
            replace(self.peers, allow_loopback=self.loopback, open_ports=()),
            relay_addresses=self.machine,
            external=self.external,
            min_port=first,
            max_port=last,
        )
        object.__setattr__(self, "_rules", rules)

    def __call__(self, host: str, port: int) -> bool:
        """Whether a candidate (host, port) may be checked before it has checked us."""
        allows = IcePeers(loopback=self.loopback)
        return allows(host, port) and self._rules.decide(host, port).permission is not None
