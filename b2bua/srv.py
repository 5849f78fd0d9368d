"""
Where a service's servers are: SRV records in order (RFC 2782, RFC 3263), and how long they hold.

No resolver here. Whoever asks the DNS tells the outcome; out come the targets to try in turn, and
when to ask again. While the DNS is silent the last answer stays in use, however old: a SIP Server
does not go away because a name server did. A denial ("no such name", "no such service") is an
answer, and replaces what was known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

MOST_RECORDS = 16
SHORTEST_TTL = 5.0
"""A shorter one, 0 too, would mean a question per request."""
LONGEST_TTL = 86400.0
_FIRST_RETRY = 1.0
_LONGEST_RETRY = 30.0

Random = Callable[[], float]
"""Gives numbers from 0 to below 1, evenly spread."""


@dataclass(frozen=True, slots=True)
class SrvRecord:
    """One SRV record as the DNS has it; a target of ``.`` says that there is no such service."""

    priority: int
    weight: int
    port: int
    target: str
    ttl: float = 0.0


@dataclass(frozen=True, slots=True)
class AddressRecords:
    """The A and AAAA records of one name together, and the shorter TTL of both."""

    addresses: tuple[str, ...] = ()
    ttl: float = 0.0


_NONE = AddressRecords()


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send; ``name`` is what a TLS certificate is compared with beside the domain."""

    host: str
    port: int
    name: str


class IpVersion(StrEnum):
    """Which addresses of a name come first. The others are used when there are none of these."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"


class Problem(StrEnum):
    """Why there are no targets, or no fresh ones; fixed words, fit for a metric's label."""

    NONE = "none"
    NOT_ASKED = "not-asked"
    DNS_SILENT = "dns-silent"
    NO_SUCH_NAME = "no-such-name"
    NOT_OFFERED = "not-offered"
    """The service is decidedly not available at this domain (RFC 2782, target ``.``)."""
    NO_ADDRESS = "no-address"
    """There are records, but none of their targets has an address."""


def in_order(records: Iterable[SrvRecord], random: Random) -> list[SrvRecord]:
    """
    Put records in the order in which they are to be tried (RFC 2782).

    By priority; within one priority at random by weight, where a record of weight 0 has a small
    chance beside others and an even one among its like.
    """
    priorities: dict[int, list[SrvRecord]] = {}
    for record in records:
        priorities.setdefault(record.priority, []).append(record)
    ordered: list[SrvRecord] = []
    for priority in sorted(priorities):
        ordered += _drawn(priorities[priority], random)
    return ordered


def _drawn(records: list[SrvRecord], random: Random) -> list[SrvRecord]:
    # Shuffled first, so that records of weight 0 take turns; then those to the front.
    left = sorted(records, key=lambda _: random())
    left.sort(key=lambda record: record.weight > 0)
    drawn = []
    while left:
        chosen = int(random() * (sum(record.weight for record in left) + 1))
        position = 0
        while (chosen := chosen - left[position].weight) > 0:
            position += 1
        drawn.append(left.pop(position))
    return drawn


class ServiceLocation:
    """
    What is known of one name's servers, from one look-up to the next.

    Each look-up that ``next_lookup`` asks for ends in one of ``answered``, ``denied`` and
    ``failed``. ``now`` is monotonic.
    """

    def __init__(self, random: Random, prefer: IpVersion = IpVersion.IPV4) -> None:
        self._random = random
        self._prefer = prefer
        self._records: tuple[SrvRecord, ...] = ()
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._failures = 0
        self._next_lookup = 0.0
        self.problem = Problem.NOT_ASKED

    def next_lookup(self) -> float:
        """When to ask the DNS (again); never sooner than a second after a question."""
        return self._next_lookup

    def answered(
        self,
        records: Sequence[SrvRecord],
        addresses: Mapping[str, AddressRecords | None],
        now: float,
    ) -> None:
        """
        Take the answer: SRV records and, by target, their addresses.

        None in place of addresses says that the DNS was silent about that target: what was known
        of it stays, and it is asked for again soon. A name without SRV records is told as one
        record with the name as its target. Of more than 16 records the most preferred stay. Letter
        case makes no difference.
        """
        offered = [record for record in records if _plain(record.target)]
        kept = sorted(offered, key=_rank)[:MOST_RECORDS]
        found = {_plain(name): answer for name, answer in addresses.items()}
        names = {_plain(record.target) for record in kept}
        self._records = tuple(kept)
        self._addresses = {name: self._known(name, found.get(name, _NONE)) for name in names}
        self.problem = self._judge(records)
        self._failures = 0
        ttls = [record.ttl for record in records]
        told = [found[name] for name in names if name in found]
        ttls += [SHORTEST_TTL if answer is None else answer.ttl for answer in told]
        self._next_lookup = now + min(max(min(ttls, default=0.0), SHORTEST_TTL), LONGEST_TTL)

    def denied(self, now: float, ttl: float = 0.0) -> None:
        """Take the answer that there is no such name; ``ttl`` is how long that holds."""
        self._records = ()
        self._addresses = {}
        self.problem = Problem.NO_SUCH_NAME
        self._failures = 0
        self._next_lookup = now + min(max(ttl, SHORTEST_TTL), _LONGEST_RETRY)

    def failed(self, now: float) -> None:
        """The DNS gave no answer, or a useless one: what was known stays."""
        wait = min(_FIRST_RETRY * 2 ** min(self._failures, 16), _LONGEST_RETRY)
        self._failures += 1
        self.problem = Problem.DNS_SILENT
        # Not below the first: nobody asks twice in a second.
        self._next_lookup = now + max(_FIRST_RETRY, wait * (0.5 + self._random() / 2))

    def targets(self) -> list[Target]:
        """Give the targets in the order to try them, drawn anew by weight; it may be empty."""
        return [
            Target(host, record.port, _plain(record.target))
            for record in in_order(self._records, self._random)
            for host in self._addresses.get(_plain(record.target), ())
        ]

    def _judge(self, records: Sequence[SrvRecord]) -> Problem:
        if any(self._addresses.values()):
            return Problem.NONE
        if records and not self._records:
            return Problem.NOT_OFFERED
        return Problem.NO_ADDRESS

    def _known(self, name: str, answer: AddressRecords | None) -> tuple[str, ...]:
        if answer is None:
            return self._addresses.get(name, ())
        wanted = self._prefer is IpVersion.IPV6
        addresses = dict.fromkeys(answer.addresses)
        # One name may have as many addresses as a service has records.
        return tuple(sorted(addresses, key=lambda host: (":" in host) != wanted)[:MOST_RECORDS])


def _plain(name: str) -> str:
    return name.rstrip(".").lower()


def _rank(record: SrvRecord) -> tuple[int, int]:
    return record.priority, -record.weight
