"""
Relay ports that all allocations share (coTURN's multiplex-peer): a handful on each address.

Which packet is whose is for the data plane to say; here an allocation only gets its home.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from turn.data_plane import DataPlane
from turn.five_tuple import Address
from turn.relay_addresses import BoundRelay, RelayHosts
from turn.relay_ports import NoPorts
from turn.settings import SharedPorts


class SharedRelayAddresses(RelayHosts):
    """Binds its sockets once, and gives each allocation the one that has the fewest."""

    def __init__(
        self,
        plane: DataPlane,
        addresses: Sequence[str],
        public: Mapping[str, str],
        ports: SharedPorts,
        randbelow: Callable[[int], int],
    ) -> None:
        super().__init__(plane, addresses, public, randbelow)
        self.max_peers = ports.max_peers
        """What ``DataPlane.open`` is told."""
        self._numbers = range(ports.first, ports.last + 1)
        self._relays: dict[Address, int] = {}
        self._load: dict[Address, int] = {}

    def open(self) -> None:
        """
        Bind every shared socket, or none.

        Raises RelayPortBusy or RelaySocketsExhausted.
        """
        try:
            for local in [(host, port) for host in self.hosts for port in self._numbers]:
                self._relays[local] = self._plane.bind_shared_relay(*local)
                self._load[local] = 0
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close them; every allocation has ended."""
        for relay in self._relays.values():
            self._plane.release_relay(relay)
        self._relays.clear()
        self._load.clear()

    @property
    def free_ports(self) -> int:
        """How many ports take allocations: all of them, as long as they are open."""
        return len(self._relays)

    def bind(self, is_ipv6: bool, reached: str, now: float) -> BoundRelay:
        """Give a home on the address that the client reached. Raises NoPorts."""
        return self._least(self._open_on(self._choose(is_ipv6, reached)))

    def bind_even(self, is_ipv6: bool, reached: str, now: float) -> BoundRelay:
        """Give one on an even port (EVEN-PORT without R). Raises NoPorts."""
        host = self._choose(is_ipv6, reached)
        return self._least([local for local in self._open_on(host) if not local[1] & 1])

    def bind_pair(self, is_ipv6: bool, reached: str, now: float) -> tuple[BoundRelay, BoundRelay]:
        """Give one on an even port, and one on the next (EVEN-PORT with R). Raises NoPorts."""
        local = self._open_on(self._choose(is_ipv6, reached))
        below = [(host, port) for host, port in local if not port & 1 and (host, port + 1) in local]
        even = self._least(below)
        host, port = even.local
        return even, self._take((host, port + 1))

    def give_back(self, local: Address, now: float) -> None:
        """Note that a home is free; the socket stays."""
        self._load[local] -= 1

    def release(self, bound: BoundRelay, now: float) -> None:
        """Note that nobody came for a reserved home."""
        self.give_back(bound.local, now)

    def bind_again(self, bound: BoundRelay) -> BoundRelay | None:
        """Keep the home of a flow that has ended."""
        return bound

    def _open_on(self, host: str) -> list[Address]:
        return [local for local in self._relays if local[0] == host]

    def _least(self, candidates: Sequence[Address]) -> BoundRelay:
        if not candidates:
            raise NoPorts
        return self._take(min(candidates, key=self._load.__getitem__))

    def _take(self, local: Address) -> BoundRelay:
        self._load[local] += 1
        return self._bound(self._relays[local], *local)
