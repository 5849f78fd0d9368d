"""
The name server of the lab: SRV records for the pair, and the addresses that they lead to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred, succeed
from twisted.internet.interfaces import IListeningPort, IReactorTCP, IReactorUDP
from twisted.names import dns
from twisted.names.authority import FileAuthority
from twisted.names.server import DNSServerFactory

from suite.lab.settings import Address

PRIORITIES = (10, 20)


class Zone(FileAuthority):
    """Everything that the name server knows; names outside it do not exist."""

    def __init__(self, domain: str, records: Mapping[str, Sequence[dns.IRecord]], ttl: int) -> None:
        self._given = (domain, records, ttl)
        super().__init__("")

    def loadFile(self, filename: str) -> None:
        """Take the records, which come from no file."""
        domain, records, ttl = self._given
        soa = dns.Record_SOA(
            *(f"ns.{domain}", f"hostmaster.{domain}"),
            **dict(serial=1, refresh=60, retry=60, expire=600, minimum=ttl),
            ttl=ttl,
        )
        found = {name.encode().lower(): list(values) for name, values in records.items()}
        found.setdefault(domain.encode().lower(), []).append(soa)
        # The base class declares both as None.
        vars(self).update(soa=(domain.encode().lower(), soa), records=found)


class _Factory(DNSServerFactory):
    """Counts what is asked, and may keep silent."""

    noisy = False

    def __init__(self, zone: Zone) -> None:
        super().__init__(authorities=[zone])
        self.queries = 0
        self.answers = True

    def messageReceived(
        self, message: dns.Message, proto: object, address: Address | None = None
    ) -> None:
        """Take a query. One without a question has no answer."""
        self.queries += 1
        if self.answers and message.queries and not message.answer:
            super().messageReceived(message, proto, address)


class NameServer:
    """
    A name server for one domain.

    ``servers`` are names and hosts of the two in the order of use, with their port by transport.
    """

    def __init__(
        self,
        address: Address,
        domain: str,
        servers: Sequence[tuple[str, str, Mapping[str, int]]],
        ttl: int,
    ) -> None:
        self.domain = domain
        self._host, self._port = address
        self._factory = _Factory(Zone(domain, _records(domain, servers, ttl), ttl))
        self._bound: list[IListeningPort] = []

    def start(self, udp: IReactorUDP, tcp: IReactorTCP) -> None:
        """Bind UDP and TCP; raises CannotListenError."""
        protocol = dns.DNSDatagramProtocol(self._factory)
        listening = udp.listenUDP(self._port, protocol, self._host, 8192)
        self._bound.append(listening)
        self._port = cast(IPv4Address, listening.getHost()).port
        self._bound.append(tcp.listenTCP(self._port, self._factory, 50, self._host))

    def stop(self) -> Deferred[None]:
        """Close; fires when the ports are free."""
        bound, self._bound = self._bound, []
        if not bound:
            return succeed(None)
        for connection in list(self._factory.connections):
            connection.transport.abortConnection()
        stopping = [maybeDeferred(port.stopListening) for port in bound]
        return gatherResults(stopping).addCallback(lambda _: None)

    @property
    def address(self) -> Address:
        """Where it is bound."""
        return self._host, self._port

    @property
    def is_on(self) -> bool:
        """Whether it answers."""
        return self._factory.answers

    @is_on.setter
    def is_on(self, answers: bool) -> None:
        self._factory.answers = answers

    @property
    def queries(self) -> int:
        """How many have come."""
        return self._factory.queries


def _records(
    domain: str, servers: Sequence[tuple[str, str, Mapping[str, int]]], ttl: int
) -> dict[str, list[dns.IRecord]]:
    records: dict[str, list[dns.IRecord]] = {}
    for priority, (name, host, ports) in zip(PRIORITIES, servers, strict=True):
        target = f"{name.lower()}.{domain}"
        records[target] = [dns.Record_A(host, ttl)]
        records.setdefault(domain, []).append(dns.Record_A(host, ttl))
        for kind in ("udp", "tcp"):
            found = dns.Record_SRV(priority, 100, ports[kind.upper()], target, ttl)
            records.setdefault(f"_sip._{kind}.{domain}", []).append(found)
    return records
