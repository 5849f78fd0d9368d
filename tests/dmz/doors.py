"""
What may be bound where, what is, and knocks at the doors of the wrong side.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.dmz.cables import (
    INSIDE,
    INSIDE_V6,
    OUTSIDE,
    OUTSIDE_V6,
    PRIVATE,
    PRIVATE_V6,
    PUBLIC,
    PUBLIC_V6,
    Address,
    Between,
    Seen,
)
from tests.namespaces import Namespace

Ranges = dict[str, list[tuple[int, int]]]
OPEN_OUTSIDE: Ranges = {
    "TCP": [(80, 80), (443, 443), (3478, 3478), (5349, 5349), (8086, 8086)],
    "UDP": [(443, 443), (3478, 3478), (5349, 5349), (36000, 36999), (49152, 65535)],
}
OPEN_INSIDE: Ranges = {
    "TCP": [(5066, 5066), (9641, 9641)],
    "UDP": [(5066, 5066), (9000, 9999)],
}
OPEN = {PUBLIC: OPEN_OUTSIDE, PRIVATE: OPEN_INSIDE}
"""The table in docs/two-interfaces.md."""
_WORD = 8
_PROTOCOLS = {"tcp": "TCP", "tcp6": "TCP", "udp": "UDP", "udp6": "UDP", "raw": "RAW", "raw6": "RAW"}


@dataclass(frozen=True, order=True)
class Bound:
    """A socket's own end."""

    protocol: str
    host: str
    port: int

    @property
    def is_allowed(self) -> bool:
        """Whether the table has it."""
        return is_open(self.protocol, (self.host, self.port))


def is_open(protocol: str, end: Address | None, table: dict[str, Ranges] = OPEN) -> bool:
    """Whether the table has it."""
    if end is None:
        return False
    ranges = table.get(end[0], {}).get(protocol, [])
    return any(first <= end[1] <= last for first, last in ranges)


def sockets_of(process: Path) -> set[Bound]:
    """All sockets of TCP, UDP and bare IP in the network of a process: its folder in /proc."""
    found = set()
    for name, protocol in _PROTOCOLS.items():
        for line in (process / "net" / name).read_text().splitlines()[1:]:
            host, _, port = line.split()[1].partition(":")
            found.add(Bound(protocol, _address(host), int(port, 16)))
    return found


def _address(text: str) -> str:
    """The kernel prints addresses in words of the machine's own order."""
    words = (text[at : at + _WORD] for at in range(0, len(text), _WORD))
    packed = b"".join(int(word, 16).to_bytes(4, "little") for word in words)
    return str(ipaddress.ip_address(packed))


@dataclass
class Knocks:
    """Tries of doors that must be closed. Their own packets are no fault of the suite's."""

    networks: Between
    made: set[Address] = field(default_factory=set)
    """From where."""

    def answered(self, sockets: Iterable[Bound]) -> list[str]:
        """Doors that do not say that they are closed, of these ports on the other side."""
        return [
            f"{one.protocol} {host} port {one.port}: {outcome}"
            for one in sorted(sockets)
            for space, source, host in self._ways(one)
            if (outcome := self._knock(space, one.protocol, source, (host, one.port)))
        ]

    def _ways(self, one: Bound) -> Iterator[tuple[Namespace, str, str]]:
        """From each side at all of its addresses but those where the port is to be open."""
        sides = (
            (self.networks.outside, OUTSIDE, PUBLIC),
            (self.networks.outside, OUTSIDE_V6, PUBLIC_V6),
            (self.networks.inside, INSIDE, PRIVATE),
            (self.networks.inside, INSIDE_V6, PRIVATE_V6),
        )
        for space, source, host in sides:
            if not is_open(one.protocol, (host, one.port)):
                yield space, source, host

    def _knock(self, space: Namespace, protocol: str, source: str, door: Address) -> str:
        """What comes of it; "" if it is said to be closed."""
        kind = socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM
        family = socket.AF_INET6 if ":" in source else socket.AF_INET
        with space.inside():
            probe = socket.socket(family, kind)
        with probe:
            probe.settimeout(1)
            probe.bind((source, 0))
            self.made.add(probe.getsockname()[:2])
            try:
                probe.connect(door)
                if protocol == "UDP":
                    probe.send(b"knock")
                    probe.recv(2048)
            except OSError as error:
                return "" if error.errno == errno.ECONNREFUSED else f"{error}"
            return "open"

    def others(self, packets: Iterable[Seen]) -> list[Seen]:
        """All packets but theirs and the refusals."""
        return [one for one in packets if not {one.source, one.target} & self.made]


def accepts(space: Namespace, host: str, port: int) -> bool:
    """Whether a connection from there is taken."""
    with space.inside(), socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0
