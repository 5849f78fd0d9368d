"""
Relay sockets that many flows share (coTURN's multiplex-peer), in the pure-Python data plane.

The rules are those of ``turn.data_plane``, by their numbers.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace

from suite.datapath.flow import Channel, Flow
from suite.datapath.relay import HEADER_SIZE, PeerSocket, RelayPlane, deliver
from suite.datapath.shared_flow import Home, Pair, SharedFlow, SharedWay
from suite.datapath.shared_links import FlowNames, Links, Name
from suite.datapath.sockets import SocketAddress
from turn.data_plane import SharedTotals
from turn.stun.ice_names import ice_names, is_binding_request

PACKETS_PER_SOCKET = 32
"""Read from one shared socket before the others get their turn."""


class SharedRelays:
    """All shared sockets of a plane, and what holds for them together."""

    def __init__(self, plane: RelayPlane) -> None:
        self.totals = SharedTotals()
        self.sockets: dict[SocketAddress, SharedRelay] = {}
        """In the order in which they were bound."""
        self.names = FlowNames()
        self._plane = plane
        self._links = Links(self.names, self.neighbours, self.totals, self._hand_over)

    def add(self, sock: socket.socket) -> SharedRelay:
        """A socket more."""
        relay = SharedRelay(self._plane, sock, self)
        self.sockets[relay.target] = relay
        return relay

    def remove(self, relay: SharedRelay) -> None:
        """A socket less; no flow has it any more."""
        del self.sockets[relay.target]

    def at(self, now: float) -> None:
        """Know the time."""
        self._links.now = now

    def snapshot(self) -> SharedTotals:
        """A copy of the totals."""
        return replace(self.totals)

    def neighbours(self, first: Home) -> Iterator[Home]:
        """The sockets of one host, from ``first`` onward and round (rule 2)."""
        homes = [home for at, home in self.sockets.items() if at[0] == first.target[0]]
        start = homes.index(first) if first in homes else 0
        yield from homes[start:]
        yield from homes[:start]

    def name_for(self, flow: SharedFlow, target: SocketAddress) -> SharedWay | None:
        """A way to another flow if ``target`` is a shared socket's address."""
        home, own = self.sockets.get(target), flow.home(len(target) == 4)
        return None if home is None or own is None else Name(self._links, flow, own, home)

    def learn(self, flow: SharedFlow, name: bytes) -> None:
        """A name is this flow's (rule 4)."""
        self.names.learn(flow, name)

    def forget(self, flow: SharedFlow, name: bytes) -> None:
        """It is no more."""
        self.names.forget(flow, name)

    def count_pairs(self, more: int) -> None:
        """There are so many more pairs."""
        self.totals.pairs += more

    def count_refused(self) -> None:
        """A pair was not to be had."""
        self.totals.refused += 1

    def _hand_over(
        self,
        flow: SharedFlow,
        channel: Channel | None,
        source: SocketAddress,
        payload: bytes | memoryview,
    ) -> None:
        size = len(payload)
        self._plane.relay_view[HEADER_SIZE : HEADER_SIZE + size] = payload
        deliver(self._plane, flow, channel, source, size)


class SharedRelay(PeerSocket):
    """One shared socket, and whose its peers are."""

    __slots__ = ("_shared", "pairs", "target")

    def __init__(self, plane: RelayPlane, sock: socket.socket, shared: SharedRelays) -> None:
        super().__init__(plane, sock)
        self.target: SocketAddress = sock.getsockname()
        self.pairs: dict[SocketAddress, Pair] = {}
        self._shared = shared

    def receive(self) -> int:
        """Per packet: a datagram of a peer goes to the client that it belongs to."""
        plane, pairs = self._plane, self.pairs
        room = plane.relay_view[HEADER_SIZE:]
        most = min(PACKETS_PER_SOCKET, plane.share)
        for taken in range(most):
            try:
                size, source = self._receive_into(room)
            except OSError:
                return taken or 1
            pair = pairs.get(source)
            if is_binding_request(room[:size]):
                self._request(pair, source, size)
            elif pair is not None:
                deliver(plane, pair.flow, pair.channel, source, size)
            else:
                self._shared.totals.unclaimed += 1
        return most

    def _request(self, pair: Pair | None, source: SocketAddress, size: int) -> None:
        """Rules 5 to 7: a check may be for others than whom the pair belongs to."""
        named = self._named(source, size)
        if pair is not None and (not named or pair.flow in named):
            deliver(self._plane, pair.flow, pair.channel, source, size)
            return
        for flow in named:
            if pair is None and flow.home(len(source) == 4) is not self:
                flow.note(source, self)
            way = flow.ways.get(source)
            deliver(self._plane, flow, None if way is None else way.channel, source, size)
        if not named:
            self._shared.totals.unclaimed += 1

    def _named(self, source: SocketAddress, size: int) -> list[SharedFlow]:
        request = self._plane.relay_view[HEADER_SIZE : HEADER_SIZE + size]
        fragments = ice_names(request)
        if fragments is None or source in self._shared.sockets:
            return []
        flows = self._shared.names.named(fragments[0])
        return [flow for flow in flows if self._may_hear(flow, source)]

    def _may_hear(self, flow: SharedFlow, source: SocketAddress) -> bool:
        home = flow.home(len(source) == 4)
        return (
            home is not None and home.target[0] == self.target[0] and flow.heard(source) is not None
        )

    def _flow_of(self, peer: SocketAddress) -> Flow | None:
        pair = self.pairs.get(peer)
        return None if pair is None else pair.flow
