"""
One flow of the pure-Python data plane: a client, its relay sockets, peers and channels.

Functions marked *per packet* run for every datagram; see ``benchmarks/run.py``.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Protocol

from suite.datapath.sockets import SocketAddress
from turn.data_plane import ClientPath, Counters, PeerPermission
from turn.five_tuple import Address

PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")
"""By length modulo 4: ChannelData over a stream is padded (RFC 8656, section 12.5)."""


class Way(Protocol):
    """How a packet leaves for a peer: by a relay socket, or to another flow of the same plane."""

    def send(self, payload: bytes | memoryview, target: SocketAddress) -> bool:
        """Send to a peer; False if the kernel refused."""

    def send_unfragmented(self, payload: bytes, target: SocketAddress) -> bool:
        """The same with DF set."""


class RelaySocket(Way, Protocol):
    """What a flow needs of a relay socket that is its own."""

    flow: Flow | None
    channels: dict[SocketAddress, Channel]

    @property
    def is_ipv6(self) -> bool:
        """Whether this socket reaches IPv6 peers."""


class Peer:
    """A permission: a host that the flow may exchange packets with, while it is alive."""

    __slots__ = ("alive", "host", "ports", "reached_at", "until")

    def __init__(self, permission: PeerPermission, until: float) -> None:
        self.host = permission.host
        self.reached_at = permission.reached_at
        self.ports = permission.ports
        self.until = until
        self.alive = True

    def counts(self, port: int) -> bool:
        """Whether this port of the host is meant."""
        return not self.ports or any(first <= port <= last for first, last in self.ports)


class Channel:
    """A channel: a number for the client, a peer's address for the relay."""

    __slots__ = ("address", "number", "peer", "target", "until", "way")

    def __init__(
        self,
        number: int,
        address: Address,
        peer: Peer,
        target: SocketAddress,
        way: Way,
        until: float,
    ) -> None:
        self.number = number
        self.address = address
        self.peer = peer
        self.target = target
        self.way = way
        self.until = until


class Flow:
    """Forwards between one client and its peers; everything not permitted is dropped."""

    __slots__ = (
        "_budget_down",
        "_budget_up",
        "_channels",
        "_is_stream",
        "_max_bps",
        "_peers",
        "_reached",
        "_relays",
        "_send_media",
        "_soonest",
        "counters",
        "handle",
        "path",
    )

    def __init__(self, handle: int, path: ClientPath, max_bps: int) -> None:
        self.handle = handle
        self.path = path
        self.counters = Counters()
        self._send_media = path.send_media
        self._is_stream = path.five_tuple.transport.is_stream
        self._max_bps = max_bps
        self._budget_up = self._budget_down = max_bps
        self._relays: dict[int, RelaySocket] = {}
        self._channels: dict[int, Channel] = {}
        self._peers: dict[str, Peer] = {}
        self._reached: dict[str, Peer] = {}
        self._soonest = math.inf

    @property
    def relay_handles(self) -> list[int]:
        """The plane's handles of this flow's relay sockets."""
        return list(self._relays)

    def add_relay(self, handle: int, relay: RelaySocket) -> None:
        """Own a relay socket."""
        self._relays[handle] = relay
        relay.flow = self

    def drop_relay(self, relay: RelaySocket) -> None:
        """Let go of one family's socket; its channels end with it."""
        self._relays = {h: r for h, r in self._relays.items() if r is not relay}
        for channel in list(relay.channels.values()):
            self._forget_channel(channel)

    def close(self) -> None:
        """Break the cycles between the flow and what belongs to it."""
        for peer in self._peers.values():
            peer.alive = False
        for relay in self._relays.values():
            relay.flow = None
            relay.channels.clear()
        self._channels.clear()
        self._peers.clear()
        self._reached.clear()

    def snapshot(self) -> Counters:
        """A copy of the counters."""
        return replace(self.counters)

    # Permissions and channels

    def permit(self, permission: PeerPermission, until: float) -> None:
        """Install or refresh a permission."""
        peer = self._peers.get(permission.host)
        if peer is None:
            peer = Peer(permission, until)
            self._peers[peer.host] = peer
            self._reached[peer.reached_at] = peer
            for channel in self._channels.values():
                if channel.address[0] == peer.host:
                    channel.peer = peer
        # The peer rules may have changed since the permission began.
        peer.ports = permission.ports
        peer.until = until
        self._soonest = min(self._soonest, until)

    def bind_channel(
        self, number: int, address: Address, permission: PeerPermission, until: float
    ) -> None:
        """Install or refresh a channel; its peer must have a permission."""
        channel = self._channels.get(number)
        if channel is not None and channel.address != address:
            self._forget_channel(channel)
            channel = None
        if channel is None:
            peer = self._peers[permission.host]
            target = socket_address((peer.reached_at, address[1]))
            way = self._way(target)
            if way is None:
                raise ValueError(f"the flow has no way to {address[0]}")
            channel = Channel(number, address, peer, target, way, until)
            self._channels[number] = channel
            self._attach(channel)
        channel.until = until
        self._soonest = min(self._soonest, until)

    def expire(self, now: float) -> None:
        """Drop permissions and channels whose time has come."""
        if now < self._soonest:
            return
        for peer in [peer for peer in self._peers.values() if peer.until <= now]:
            peer.alive = False
            del self._peers[peer.host]
            self._reached.pop(peer.reached_at, None)
        for channel in [c for c in self._channels.values() if c.until <= now]:
            self._forget_channel(channel)
        ends = [peer.until for peer in self._peers.values()]
        ends += [channel.until for channel in self._channels.values()]
        self._soonest = min(ends, default=math.inf)

    def _forget_channel(self, channel: Channel) -> None:
        del self._channels[channel.number]
        self._detach(channel)

    def _attach(self, channel: Channel) -> None:
        """Let the socket that hears the channel's peer know of it."""
        for relay in self._relays.values():
            if relay is channel.way:
                relay.channels[channel.target] = channel

    def _detach(self, channel: Channel) -> None:
        for relay in self._relays.values():
            if relay.channels.get(channel.target) is channel:
                del relay.channels[channel.target]

    def heard(self, source: SocketAddress) -> Peer | None:
        """The permission that covers a packet from this address, if there is one."""
        peer = self._reached.get(source[0])
        return peer if peer is not None and peer.counts(source[1]) else None

    # Packets

    def channel_data(self, frame: memoryview) -> None:
        """Per packet: ChannelData of the client goes to the channel's peer (section 12.6)."""
        counters = self.counters
        channel = self._channels.get(frame[0] << 8 | frame[1])
        size = frame[2] << 8 | frame[3]
        if channel is None or size > len(frame) - 4:
            counters.dropped_packets += 1
            return
        counters.received_packets += 1
        counters.received_bytes += size
        if self._max_bps and not self._take_up(size):
            return
        if channel.way.send(frame[4 : 4 + size], channel.target):
            counters.peer_sent_packets += 1
            counters.peer_sent_bytes += size
        else:
            counters.dropped_packets += 1

    def to_client(self, frame: bytes | memoryview, size: int) -> None:
        """Per packet: a peer's payload of ``size`` bytes, already framed, goes to the client."""
        counters = self.counters
        counters.peer_received_packets += 1
        counters.peer_received_bytes += size
        if self._max_bps and not self._take_down(size):
            return
        if self._is_stream:
            frame = bytes(frame) + PADDING[len(frame) & 3]
        self._send_media(frame)  # type: ignore[arg-type]  # a view serves UDP as bytes do
        counters.sent_packets += 1
        counters.sent_bytes += size

    def send(self, address: Address, payload: bytes, dont_fragment: bool) -> None:
        """Per packet: a Send indication goes to its peer (section 11.2)."""
        counters = self.counters
        size = len(payload)
        peer = self._peers.get(address[0])
        if peer is None or not peer.counts(address[1]):
            counters.dropped_packets += 1
            return
        target = socket_address((peer.reached_at, address[1]))
        way = self._way(target)
        if way is None:
            counters.dropped_packets += 1
            return
        counters.received_packets += 1
        counters.received_bytes += size
        if self._max_bps and not self._take_up(size):
            return
        send = way.send_unfragmented if dont_fragment else way.send
        if send(payload, target):
            counters.peer_sent_packets += 1
            counters.peer_sent_bytes += size
        else:
            counters.dropped_packets += 1

    # Bandwidth

    def refill(self, elapsed: float) -> None:
        """Give back the bytes of ``elapsed`` seconds; at most one second's worth is saved up."""
        more = int(self._max_bps * elapsed)
        self._budget_up = min(self._max_bps, self._budget_up + more)
        self._budget_down = min(self._max_bps, self._budget_down + more)

    def _take_up(self, size: int) -> bool:
        if size > self._budget_up:
            self.counters.dropped_packets += 1
            return False
        self._budget_up -= size
        return True

    def _take_down(self, size: int) -> bool:
        if size > self._budget_down:
            self.counters.dropped_packets += 1
            return False
        self._budget_down -= size
        return True

    def _way(self, target: SocketAddress) -> Way | None:
        is_ipv6 = len(target) == 4
        for relay in self._relays.values():
            if relay.is_ipv6 == is_ipv6:
                return relay
        return None


def socket_address(address: Address) -> SocketAddress:
    """The form in which the socket module gives and takes this address."""
    return (*address, 0, 0) if ":" in address[0] else address
