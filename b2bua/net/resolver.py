"""
Where a SIP URI leads: transports, addresses and ports in the order to try them (RFC 3263).

A port in the URI, or an address for a host, leaves nothing to ask but addresses. Else NAPTR
records choose the transport, SRV records the servers, and where neither is there the name itself
is the server.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred

from b2bua.net.dns import Dns
from b2bua.net.dns_records import Kind, Naptr
from b2bua.net.via import DEFAULT_PORTS
from b2bua.sip.hop import Hop
from b2bua.sip.uri import SipUri
from b2bua.srv import MOST_RECORDS, IpVersion, Random, SrvRecord, in_order

_SERVICES: Final = {"SIP+D2U": "UDP", "SIP+D2T": "TCP", "SIPS+D2T": "TLS"}
_PREFIXES: Final = {"UDP": "_sip._udp.", "TCP": "_sip._tcp.", "TLS": "_sips._tcp."}
_MOST_PLACES: Final = 32


@dataclass(frozen=True, slots=True)
class Place:
    """Where to send, and the domain whose certificate is to be shown there."""

    hop: Hop
    domain: str


class NotLocated(Exception):
    """
    There is no server to send to. The text is one of a few fixed phrases.
    """


class Resolver:
    """
    Locates servers for URIs.

    ``transports`` are those that we use, the most welcome first.
    """

    def __init__(
        self,
        dns: Dns,
        random: Random,
        transports: Sequence[str] = ("UDP", "TCP", "TLS"),
        prefer: IpVersion = IpVersion.IPV4,
    ) -> None:
        self._dns = dns
        self._random = random
        self._transports = tuple(transports)
        self._prefer = prefer

    def locate(self, uri: SipUri) -> Deferred[list[Place]]:
        """Give the places to try in turn, drawn anew each time; fails with NotLocated."""
        return Deferred.fromCoroutine(self._locate(uri))

    def addresses(self, name: str) -> Deferred[list[str]]:
        """Give the addresses of a name, the preferred kind first; fails with NotLocated."""
        return Deferred.fromCoroutine(self._addresses(name))

    async def _locate(self, uri: SipUri) -> list[Place]:
        host = uri.parameters.get("maddr", "").strip("[]") or uri.host
        transport = self._wanted(uri)
        if uri.port is not None or _is_address(host):
            transport = transport or ("TLS" if uri.scheme == "sips" else "UDP")
            return await self._at(transport, host, uri.port, uri.host)
        services = await self._services(host, uri.scheme, transport)
        for offered, name in services:
            places = await self._at_service(offered, name, uri.host)
            if places:
                return places
        return await self._at(transport or services[0][0], host, None, uri.host)

    def _wanted(self, uri: SipUri) -> str:
        """The transport that the URI itself asks for, or ""."""
        wanted = uri.transport
        if uri.scheme == "sips" and wanted:
            wanted = {"TCP": "TLS", "WS": "WSS"}.get(wanted, wanted)
        if wanted and wanted not in self._transports:
            raise NotLocated("transport not served")
        return wanted

    async def _services(self, host: str, scheme: str, transport: str) -> list[tuple[str, str]]:
        """Transports and the names of their SRV records, in the order to try them."""
        usable = [t for t in self._transports if t in _PREFIXES]
        if transport:
            usable = [t for t in usable if t == transport]
        elif scheme == "sips":
            usable = [t for t in usable if t == "TLS"]
        if not usable:
            raise NotLocated("transport not served")
        if not transport:
            offered = await self._naptr(host)
            chosen = [(t, name) for t, name in offered if t in usable]
            if chosen:
                return chosen
        return [(t, _PREFIXES[t] + host) for t in usable]

    async def _naptr(self, host: str) -> list[tuple[str, str]]:
        answer = await self._dns.ask(host, Kind.NAPTR)
        records = answer.records if answer is not None else ()
        found = [record for record in records if isinstance(record, Naptr)]
        return [
            (_SERVICES[record.service], record.replacement)
            for record in found
            if record.flags == "s" and record.service in _SERVICES and record.replacement
        ]

    async def _at_service(self, transport: str, name: str, domain: str) -> list[Place]:
        """The servers that SRV records name; none where there are no such records."""
        answer = await self._dns.ask(name, Kind.SRV)
        found = answer.records if answer is not None else ()
        records = [record for record in found if isinstance(record, SrvRecord)]
        if records and not any(record.target for record in records):
            raise NotLocated("service not offered")
        places: list[Place] = []
        for record in in_order([r for r in records if r.target], self._random):
            try:
                hosts = await self._addresses(record.target)
            except NotLocated:
                continue  # The next server may have an address.
            places += [Place(Hop(transport, host, record.port), domain) for host in hosts]
        if records and not places:
            raise NotLocated("no address")
        return places[:_MOST_PLACES]

    async def _at(self, transport: str, host: str, port: int | None, domain: str) -> list[Place]:
        """The host itself, at this port or the transport's own."""
        hosts = [host] if _is_address(host) else await self._addresses(host)
        port = DEFAULT_PORTS[transport] if port is None else port
        return [Place(Hop(transport, host, port), domain) for host in hosts]

    async def _addresses(self, name: str) -> list[str]:
        # Both questions are under way before either answer is waited for.
        asked = [self._dns.ask(name, kind) for kind in self._kinds()]
        answers = [await answer for answer in asked]
        found = [str(host) for answer in answers if answer is not None for host in answer.records]
        if found:
            return found[:MOST_RECORDS]
        if None in answers:
            raise NotLocated("DNS silent")
        raise NotLocated("no address")

    def _kinds(self) -> tuple[Kind, Kind]:
        if self._prefer is IpVersion.IPV6:
            return Kind.AAAA, Kind.A
        return Kind.A, Kind.AAAA


def _is_address(host: str) -> bool:
    return isIPAddress(host) or isIPv6Address(host)
