"""
Finds the SIP Servers in the DNS, and keeps looking (RFC 3263, section 4.2; RFC 2782).

For an SRV name its records are asked for, and the addresses of their targets; for servers that
are listed by name, their addresses; for those that are listed by address, nothing. What was found
holds for its TTL, and for as long as the DNS is silent; a denial replaces it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.names import client
from twisted.python.failure import Failure

from b2bua.net.dns import QUERY_TIMEOUTS, Dns
from b2bua.net.dns_records import LONGEST_DENIAL, Answer, Kind
from b2bua.net.via import DEFAULT_PORTS
from b2bua.server_addresses import fixed_targets, is_address
from b2bua.settings import ServerSettings
from b2bua.srv import (
    AddressRecords,
    IpVersion,
    Problem,
    Random,
    ServiceLocation,
    SrvRecord,
    Target,
)
from b2bua.upstreams import canonical_host

_PREFIXES: Final = {"UDP": "_sip._udp.", "TCP": "_sip._tcp.", "TLS": "_sips._tcp."}
_RESOLV_CONF: Final = "/etc/resolv.conf"

Located = Callable[[list[Target], Problem, float], None]
"""Takes the targets in the order of use, why there are none, and the time."""


def dns_from(settings: ServerSettings, reactor: IReactorTime) -> Dns:
    """
    Make what asks the configured name servers, or those of the machine. It never blocks.

    ``reactor`` sends the questions, and its ``seconds`` must be monotonic.
    """
    if settings.name_servers:
        servers = list(settings.name_servers)
        asking = client.Resolver(servers=servers, timeout=QUERY_TIMEOUTS, reactor=reactor)
        return Dns(asking, reactor)
    machine = MachineResolver(resolv=_RESOLV_CONF, timeout=QUERY_TIMEOUTS, reactor=reactor)
    return Dns(machine, reactor, stop=machine.stop)


class MachineResolver(client.Resolver):
    """Asks whom the machine asks, and looks every minute whether that has changed."""

    def stop(self) -> None:
        """Look no more."""
        if self._parseCall.active():
            self._parseCall.cancel()


class ServerLocator:
    """
    Looks the servers up from ``start`` to ``stop``, and tells ``located`` of each outcome.

    It is told first when every question of the first round has ended, so that the first server
    in the list is the first to be used. Servers that are listed by address are told at once, if
    there are no others.
    """

    log = Logger(namespace="sip")

    def __init__(
        self,
        settings: ServerSettings,
        dns: Dns,
        clock: IReactorTime,
        random: Random,
        located: Located,
    ) -> None:
        self._dns = dns
        self._clock = clock
        self._kinds = _kinds(settings)
        self._located = located
        self._fixed = fixed_targets(settings)
        self._lookups: list[_Lookup] = []
        if settings.addresses:
            places = dict.fromkeys((canonical_host(s.host), s.port) for s in settings.addresses)
            self._lookups += [
                _NameLookup(name, port, self, ServiceLocation(random, settings.prefer))
                for name, port in places
                if not is_address(name)
            ]
        else:
            location = ServiceLocation(random, settings.prefer)
            self._lookups.append(
                _ServiceLookup(settings.srv_name, settings.srv_transport, self, location)
            )
        self._delayed: IDelayedCall | None = None
        self._is_running = False

    def start(self) -> None:
        """Begin to look."""
        self._is_running = True
        if self._lookups:
            self._look_up()
        else:
            self._located(list(self._fixed), Problem.NONE, self._clock.seconds())

    def stop(self) -> None:
        """Look no more; what is still answered is not told."""
        self._is_running = False
        if self._delayed is not None and self._delayed.active():
            self._delayed.cancel()

    # What look-ups ask for.

    async def service(self, name: str) -> Answer | None:
        """The SRV records of a name, None for silence."""
        return await self._dns.ask_now(name, Kind.SRV)

    async def addresses(
        self, name: str, known: Iterable[Target]
    ) -> tuple[AddressRecords | None, bool]:
        """
        The addresses of a name, None for silence, and whether there is such a name.

        Of a name with both kinds only those of the preferred kind count: the others lead to the
        same machine, and to try them means to wait twice when it is gone.
        """
        if is_address(name):
            return AddressRecords((canonical_host(name),), LONGEST_DENIAL), True
        # All questions are under way before an answer is waited for.
        asked = [self._dns.ask_now(name, kind) for kind in self._kinds]
        answers = [await answer for answer in asked]
        exists = any(answer is None or answer.exists for answer in answers)
        hosts = [target.host for target in known if target.name == canonical_host(name)]
        for kind, answer in zip(self._kinds, answers, strict=True):
            if answer is not None and answer.records:
                return _addresses(answer), exists
            if answer is None and any((":" in host) == (kind is Kind.AAAA) for host in hosts):
                # Silence about addresses that are known brings none of the other kind.
                break
        return (None if None in answers else AddressRecords((), LONGEST_DENIAL)), exists

    # Rounds of questions.

    def _look_up(self) -> None:
        now = self._clock.seconds()
        due = [lookup for lookup in self._lookups if lookup.location.next_lookup() <= now]
        rounds = [
            Deferred.fromCoroutine(lookup.run()).addErrback(self._fail, lookup) for lookup in due
        ]
        told = gatherResults(rounds).addCallback(lambda _: self._tell())
        told.addErrback(partial(self.log.failure, "news of the SIP Servers were not taken"))

    def _fail(self, failure: Failure, lookup: _Lookup) -> None:
        # A fault of ours. What was known stays, and a later look-up may fare better.
        self.log.failure("the SIP Servers could not be looked up", failure)
        lookup.location.failed(self._clock.seconds())

    def _tell(self) -> None:
        if not self._is_running:
            return
        now = self._clock.seconds()
        due = min(lookup.location.next_lookup() for lookup in self._lookups)
        self._delayed = self._clock.callLater(max(0.0, due - now), self._look_up)
        targets = [*self._fixed]
        for lookup in self._lookups:
            targets += lookup.targets()
        problems = [lookup.location.problem for lookup in self._lookups]
        self._located(targets, Problem.NONE if targets else problems[0], now)

    def now(self) -> float:
        """The time."""
        return self._clock.seconds()


class _Lookup(ABC):
    """What is looked up in one go, and what is known of it."""

    def __init__(self, name: str, locator: ServerLocator, location: ServiceLocation) -> None:
        self.location = location
        self._name = name
        self._locator = locator
        self._order: list[Target] = []
        self._told: object = None

    @abstractmethod
    async def run(self) -> None:
        """Ask, and tell the location what came of it."""

    def targets(self) -> list[Target]:
        """
        The targets in the order of use.

        The order is drawn once for what the DNS says: by another draw among equals the servers
        would seem to change places with every answer.
        """
        drawn = self.location.targets()
        told = (self._ranks(), frozenset(drawn))
        if told != self._told:
            self._told = told
            self._order = drawn
        return list(self._order)

    def _ranks(self) -> object:
        """What decides about the order, beside the targets themselves."""
        return None


class _NameLookup(_Lookup):
    """The addresses of one server."""

    def __init__(
        self, name: str, port: int, locator: ServerLocator, location: ServiceLocation
    ) -> None:
        super().__init__(name, locator, location)
        self._port = port

    async def run(self) -> None:
        """Ask for them."""
        await _take_name(self._name, self._port, self._locator, self.location)


class _ServiceLookup(_Lookup):
    """The servers of an SRV name."""

    def __init__(
        self, name: str, transport: str, locator: ServerLocator, location: ServiceLocation
    ) -> None:
        super().__init__(name, locator, location)
        self._transport = transport
        self._records: tuple[SrvRecord, ...] = ()

    async def run(self) -> None:
        """
        Ask for the records, then for the addresses of their targets.

        Without records, whatever the DNS calls that, the name is itself the server's.
        """
        answer = await self._locator.service(_PREFIXES[self._transport] + self._name)
        if answer is None:
            self.location.failed(self._locator.now())
            return
        self._records = tuple(r for r in answer.records if isinstance(r, SrvRecord))
        if not self._records:
            port = DEFAULT_PORTS[self._transport]
            await _take_name(self._name, port, self._locator, self.location)
            return
        known = self.location.targets()
        names = {record.target for record in self._records if record.target}
        asked = {
            name: Deferred.fromCoroutine(self._locator.addresses(name, known)) for name in names
        }
        addresses = {name: (await found)[0] for name, found in asked.items()}
        # What is left of the answer counts, which is less than what its records say.
        records = [replace(record, ttl=answer.ttl) for record in self._records]
        self.location.answered(records, addresses, self._locator.now())

    def _ranks(self) -> object:
        return frozenset((r.priority, r.weight, r.port, r.target) for r in self._records)


async def _take_name(
    name: str, port: int, locator: ServerLocator, location: ServiceLocation
) -> None:
    """Locate a server by its own name."""
    found, exists = await locator.addresses(name, location.targets())
    if found is None:
        location.failed(locator.now())
    elif not exists:
        location.denied(locator.now(), LONGEST_DENIAL)
    else:
        record = SrvRecord(0, 0, port, name, found.ttl)
        location.answered([record], {name: found}, locator.now())


def _kinds(settings: ServerSettings) -> list[Kind]:
    """What is asked about a name, the preferred kind of addresses first."""
    if not settings.ipv6:
        return [Kind.A]
    return [Kind.AAAA, Kind.A] if settings.prefer is IpVersion.IPV6 else [Kind.A, Kind.AAAA]


def _addresses(answer: Answer) -> AddressRecords:
    return AddressRecords(tuple(str(record) for record in answer.records), answer.ttl)
