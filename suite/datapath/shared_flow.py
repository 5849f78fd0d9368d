"""
One flow of the pure-Python data plane whose relay sockets are shared.

The rules are those of ``turn.data_plane``, by their numbers; ``shared_relay`` has the sockets and
what comes in there, ``shared_links`` what goes from flow to flow.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from suite.datapath.flow import Channel, Flow, Way, socket_address
from suite.datapath.sockets import SocketAddress
from turn.data_plane import (
    MAX_NAME,
    MAX_NAMES,
    MAX_NOTES,
    ClientPath,
    PeerPermission,
    PeerTaken,
)
from turn.five_tuple import Address
from turn.stun.ice_names import ice_names, is_binding_request


class SharedWay(Way, Protocol):
    """A way of a flow to one peer, over shared sockets: a pair, or a name of another flow."""

    channel: Channel | None

    @property
    def target(self) -> SocketAddress:
        """The peer's address as it is reached."""

    def want(self) -> None:
        """The client asks for this peer."""

    def end(self) -> None:
        """Give it up; the flow has forgotten it."""


class Home(Protocol):
    """What a flow needs of a shared socket."""

    target: SocketAddress
    """Where it is bound."""
    pairs: dict[SocketAddress, Pair]
    """Whose its peers are."""

    def send(self, payload: bytes | memoryview, target: SocketAddress) -> bool:
        """Send to a peer; False if the kernel refused."""

    def send_unfragmented(self, payload: bytes, target: SocketAddress) -> bool:
        """The same with DF set."""


class Sharing(Protocol):
    """What a flow needs of all shared sockets together."""

    def neighbours(self, first: Home) -> Iterator[Home]:
        """The sockets of one host, from ``first`` onward and round (rule 2)."""

    def name_for(self, flow: SharedFlow, target: SocketAddress) -> SharedWay | None:
        """A way to another flow if ``target`` is a shared socket's address."""

    def learn(self, flow: SharedFlow, name: bytes) -> None:
        """A name is this flow's (rule 4)."""

    def forget(self, flow: SharedFlow, name: bytes) -> None:
        """It is no more."""

    def count_pairs(self, more: int) -> None:
        """There are so many more pairs."""

    def count_refused(self) -> None:
        """A pair was not to be had."""


class Pair:
    """A peer on a shared socket, and whose it is (rule 1)."""

    __slots__ = ("_sharing", "_target", "channel", "flow", "home")

    def __init__(
        self, flow: SharedFlow, home: Home, target: SocketAddress, sharing: Sharing
    ) -> None:
        self.flow = flow
        self.home = home
        self._target = target
        self.channel: Channel | None = None
        self._sharing = sharing
        home.pairs[target] = self
        sharing.count_pairs(1)

    @property
    def target(self) -> SocketAddress:
        """The peer's address as it is reached."""
        return self._target

    def want(self) -> None:
        """Nothing: a pair is had or not."""

    def send(self, payload: bytes | memoryview, target: SocketAddress) -> bool:
        """Per packet: send to the peer."""
        if is_binding_request(payload):
            self.flow.learn_from(payload)
        return self.home.send(payload, target)

    def send_unfragmented(self, payload: bytes, target: SocketAddress) -> bool:
        """Send to the peer with DF set."""
        if is_binding_request(payload):
            self.flow.learn_from(payload)
        return self.home.send_unfragmented(payload, target)

    def end(self) -> None:
        """Leave the peer to other flows."""
        del self.home.pairs[self._target]
        self._sharing.count_pairs(-1)


class SharedFlow(Flow):
    """Forwards between one client and its peers over sockets that other flows use too."""

    __slots__ = ("_homes", "_max_peers", "_notes", "_sharing", "names", "pairs", "ways")

    def __init__(
        self, handle: int, path: ClientPath, max_bps: int, max_peers: int, sharing: Sharing
    ) -> None:
        super().__init__(handle, path, max_bps)
        self.ways: dict[SocketAddress, SharedWay] = {}
        self.names: list[bytes] = []
        """User name fragments of the client, the eldest first."""
        self.pairs = 0
        self._homes: dict[int, Home] = {}
        self._notes: dict[SocketAddress, Home] = {}
        self._max_peers = max_peers
        self._sharing = sharing

    def add_home(self, handle: int, home: Home) -> None:
        """Use a shared socket."""
        self._homes[handle] = home

    def home(self, is_ipv6: bool) -> Home | None:
        """The socket whose address the client has as its relayed one of a family."""
        for home in self._homes.values():
            if (len(home.target) == 4) == is_ipv6:
                return home
        return None

    def drop_home(self, handle: int) -> None:
        """Let go of one family; its channels and ways end with it (rule 3)."""
        size = len(self._homes.pop(handle).target)
        for channel in [c for c in self._channels.values() if len(c.target) == size]:
            self._forget_channel(channel)
        for way in [way for way in self.ways.values() if len(way.target) == size]:
            self._end(way)

    def close(self) -> None:
        """Give up everything that is shared."""
        super().close()
        for way in list(self.ways.values()):
            self._end(way)
        for name in self.names:
            self._sharing.forget(self, name)
        self.names.clear()
        self._notes.clear()
        self._homes.clear()

    def expire(self, now: float) -> None:
        """Drop permissions, channels and ways whose time has come."""
        if now < self._soonest:
            return
        super().expire(now)
        for way in [way for way in self.ways.values() if not self._keeps(way)]:
            self._end(way)

    # Ways

    def claim(self, peer: Address, permission: PeerPermission) -> None:
        """Have a way to this peer. Raises PeerTaken (rule 2)."""
        way = self._way(socket_address((permission.reached_at, peer[1])))
        if way is None:
            raise PeerTaken
        way.want()

    def want(self, reached: Address) -> None:
        """The client has named this address (rule 11)."""
        target = socket_address(reached)
        way = self.ways.get(target) or self._sharing.name_for(self, target)
        if way is not None:
            self.ways[target] = way
            way.want()

    def note(self, source: SocketAddress, home: Home) -> None:
        """Remember where a stranger was heard (rule 7)."""
        self._notes.pop(source, None)
        self._notes[source] = home
        while len(self._notes) > MAX_NOTES:
            del self._notes[next(iter(self._notes))]

    def _way(self, target: SocketAddress) -> SharedWay | None:
        way = self.ways.get(target)
        if way is None:
            way = self._sharing.name_for(self, target) or self._claim_pair(target)
            if way is not None:
                self.ways[target] = way
        return way

    def _claim_pair(self, target: SocketAddress) -> Pair | None:
        home = self.home(len(target) == 4)
        if home is None:
            return None
        if not self._max_peers or self.pairs < self._max_peers:
            for each in self._sharing.neighbours(self._notes.get(target, home)):
                if target not in each.pairs:
                    self.pairs += 1
                    return Pair(self, each, target, self._sharing)
        self._sharing.count_refused()
        return None

    def _keeps(self, way: SharedWay) -> bool:
        return way.channel is not None or way.target[0] in self._reached

    def _end(self, way: SharedWay) -> None:
        del self.ways[way.target]
        if isinstance(way, Pair):
            self.pairs -= 1
        way.end()

    def _attach(self, channel: Channel) -> None:
        self.ways[channel.target].channel = channel

    def _detach(self, channel: Channel) -> None:
        way = self.ways.get(channel.target)
        if way is not None and way.channel is channel:
            way.channel = None
            if not self._keeps(way):
                self._end(way)

    # Names

    def learn_from(self, request: bytes | memoryview) -> None:
        """Take the client's own name out of a check that it sends (rule 4)."""
        names = ice_names(request)
        if names is not None:
            self.learn(names[1])

    def learn(self, name: bytes) -> None:
        """Know the client by one name more."""
        if not 1 <= len(name) <= MAX_NAME or name in self.names:
            return
        if len(self.names) == MAX_NAMES:
            self._sharing.forget(self, self.names.pop(0))
        self.names.append(name)
        self._sharing.learn(self, name)
