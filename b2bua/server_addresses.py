"""
The SIP Servers as they are configured, and as the DNS has them: which of them are where.

Servers are listed by name or address, or found by one SRV name. Where both are set, the list says
where they are, and the SRV name is what stands for all of them in URIs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address

from b2bua.settings import ServerSettings
from b2bua.sip.hop import Hop
from b2bua.srv import Target
from b2bua.upstreams import Server, canonical_host


def is_address(host: str) -> bool:
    """Whether this is an address, with or without brackets, and so nothing to ask the DNS for."""
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def fixed_targets(settings: ServerSettings) -> list[Target]:
    """The servers that are configured by address: known without any DNS."""
    hosts = ((canonical_host(server.host), server.port) for server in settings.addresses)
    return [Target(host, port, host) for host, port in hosts if is_address(host)]


class ServerAddresses:
    """The way to each server, the names it goes by, and the name its certificate must have."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._hops: dict[Server, Hop] = {}
        self._domains: dict[Hop, str] = {}

    def place(self, targets: Sequence[Target]) -> dict[Server, list[str]]:
        """
        Take the targets that there are; give the servers in the order of use, with their names.

        Servers that are listed keep the order of the list, whatever order the targets have. Where
        there are none, what was known stays.
        """
        names: dict[Server, list[str]] = {}
        domains: dict[Server, str] = {}
        for server, name, domain in self._placed(targets):
            names.setdefault(server, []).append(name)
            domains.setdefault(server, domain)
        if not names:
            return names
        self._hops = {s: Hop(s.transport, s.host, s.port) for s in names}
        self._domains = {self._hops[server]: domain for server, domain in domains.items()}
        return names

    def hop(self, server: Server) -> Hop:
        """The way to a server that there is."""
        return self._hops[server]

    def is_hop(self, hop: Hop) -> bool:
        """Whether requests over this hop go to one of the servers, and to nobody else."""
        return Hop(hop.transport, hop.host, hop.port) in self._domains

    def domain_of(self, hop: Hop) -> str:
        """The domain whose certificate is to be shown at a hop; of a stranger's, its host."""
        return self._domains.get(Hop(hop.transport, hop.host, hop.port), hop.host)

    def _placed(self, targets: Sequence[Target]) -> Iterable[tuple[Server, str, str]]:
        settings = self._settings
        if not settings.addresses:
            for target in targets:
                server = Server(target.host, target.port, settings.srv_transport)
                yield server, target.name, settings.srv_name
            return
        for listed in settings.addresses:
            name = canonical_host(listed.host)
            for target in targets:
                if (target.name, target.port) == (name, listed.port):
                    server = Server(target.host, target.port, listed.transport)
                    yield server, name, settings.srv_name or name
