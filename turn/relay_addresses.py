"""
Where relay sockets live: the relay's addresses, their ports, and their public faces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from turn.data_plane import DataPlane, RelayPortBusy, RelaySocketsExhausted
from turn.five_tuple import Address
from turn.relay_ports import NoPorts, RelayPorts
from turn.settings import ExternalAddress

BIND_ATTEMPTS = 32
"""Ports tried when other programs of this machine sit in the relay range."""


@dataclass(frozen=True, slots=True)
class BoundRelay:
    """A relay socket just bound: the data plane's handle, and its address inside and outside."""

    relay: int
    local: Address
    public: Address
    token: bytes = b""
    """Of the reservation by which it was had."""


def public_faces(addresses: Sequence[str], external: Sequence[ExternalAddress]) -> dict[str, str]:
    """
    Local relay address to public address, where one is configured.

    A public address with a local one beside it counts for that one only; a plain one for every
    other address of its family.
    """
    plain = {":" in e.public: e.public for e in external if e.local is None}
    named = {e.local: e.public for e in external if e.local is not None}
    faces = {host: plain[":" in host] for host in addresses if (":" in host) in plain}
    return faces | {host: named[host] for host in addresses if host in named}


class RelayHosts:
    """The relay's own addresses, and what each is called outside."""

    def __init__(
        self,
        plane: DataPlane,
        addresses: Sequence[str],
        public: Mapping[str, str],
        randbelow: Callable[[int], int],
    ) -> None:
        self.hosts = tuple(addresses)
        """The local relay addresses."""
        self._plane = plane
        self._public = dict(public)
        self._randbelow = randbelow

    def show_as(self, public: Mapping[str, str]) -> None:
        """Use other public addresses for relays bound from now on."""
        self._public = dict(public)

    def has_family(self, is_ipv6: bool) -> bool:
        """Whether the relay has an address of this family."""
        return any((":" in host) == is_ipv6 for host in self.hosts)

    def _choose(self, is_ipv6: bool, reached: str) -> str:
        if reached in self.hosts and (":" in reached) == is_ipv6:
            return reached
        family = [host for host in self.hosts if (":" in host) == is_ipv6]
        if not family:
            raise NoPorts
        return family[self._randbelow(len(family))]

    def _bound(self, relay: int, host: str, port: int) -> BoundRelay:
        return BoundRelay(relay, (host, port), (self._public.get(host, host), port))


class RelayAddresses(RelayHosts):
    """Binds relay sockets on random ports of the right address and takes the ports back."""

    max_peers = 0
    """What ``DataPlane.open`` is told: sockets of one allocation set no limit."""

    def __init__(
        self,
        plane: DataPlane,
        addresses: Sequence[str],
        public: Mapping[str, str],
        ports: tuple[int, int],
        randbelow: Callable[[int], int],
    ) -> None:
        super().__init__(plane, addresses, public, randbelow)
        self._ports = {host: RelayPorts(*ports, randbelow) for host in self.hosts}

    def open(self) -> None:
        """Nothing: every allocation binds its own."""

    def close(self) -> None:
        """Nothing: every allocation closes its own."""

    @property
    def free_ports(self) -> int:
        """Ports that no relay socket and no reservation holds, over all addresses."""
        return sum(ports.free for ports in self._ports.values())

    def bind(self, is_ipv6: bool, reached: str, now: float) -> BoundRelay:
        """
        Bind a socket on a random port; ``reached`` is the address that the client reached.

        Raises NoPorts, or RelaySocketsExhausted of the data plane.
        """
        host = self._choose(is_ipv6, reached)
        return self._bind(host, self._ports[host].take, now)

    def bind_even(self, is_ipv6: bool, reached: str, now: float) -> BoundRelay:
        """Bind a socket on an even port (EVEN-PORT without R)."""
        host = self._choose(is_ipv6, reached)
        return self._bind(host, self._ports[host].take_even, now)

    def bind_pair(self, is_ipv6: bool, reached: str, now: float) -> tuple[BoundRelay, BoundRelay]:
        """Bind an even port and the next higher one (EVEN-PORT with R)."""
        host = self._choose(is_ipv6, reached)
        ports = self._ports[host]
        for _ in range(BIND_ATTEMPTS):
            even = ports.take_pair(now)
            try:
                bound = self._bind_both(host, even)
            except BaseException:
                ports.give_back(even, now)
                ports.give_back(even + 1, now)
                raise
            if bound is not None:
                return bound
            ports.withdraw(even)
            ports.withdraw(even + 1)
        raise NoPorts

    def give_back(self, local: Address, now: float) -> None:
        """Note that the data plane closed this relay socket."""
        self._ports[local[0]].give_back(local[1], now)

    def release(self, bound: BoundRelay, now: float) -> None:
        """Close a socket that no flow has, and take its port back."""
        self._plane.release_relay(bound.relay)
        self.give_back(bound.local, now)

    def bind_again(self, bound: BoundRelay) -> BoundRelay | None:
        """Bind at once what a flow that has ended held; None if that cannot be."""
        try:
            return replace(bound, relay=self._plane.bind_relay(*bound.local))
        except (RelayPortBusy, RelaySocketsExhausted):
            return None

    def _bind(self, host: str, take: Callable[[float], int], now: float) -> BoundRelay:
        for _ in range(BIND_ATTEMPTS):
            port = take(now)
            try:
                return self._bound(self._plane.bind_relay(host, port), host, port)
            except RelayPortBusy:
                self._ports[host].withdraw(port)
            except BaseException:
                self._ports[host].give_back(port, now)
                raise
        raise NoPorts

    def _bind_both(self, host: str, even: int) -> tuple[BoundRelay, BoundRelay] | None:
        try:
            first = self._plane.bind_relay(host, even)
        except RelayPortBusy:
            return None
        try:
            second = self._plane.bind_relay(host, even + 1)
        except RelayPortBusy:
            self._plane.release_relay(first)
            return None
        except BaseException:
            self._plane.release_relay(first)
            raise
        return self._bound(first, host, even), self._bound(second, host, even + 1)
