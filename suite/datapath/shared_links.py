"""
From flow to flow over shared sockets, inside the pure-Python data plane.

The rules are those of ``turn.data_plane``, by their numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from suite.datapath.flow import Channel
from suite.datapath.shared_flow import Home, SharedFlow
from suite.datapath.sockets import SocketAddress
from turn.data_plane import LINK_SILENCE, MAX_NAMES, SharedTotals
from turn.stun.ice_names import ice_names, is_binding_request

Deliver = Callable[[SharedFlow, Channel | None, SocketAddress, bytes | memoryview], None]
"""Takes flow, channel, the source that is shown, and the payload."""


class FlowNames:
    """Which flows a user name fragment is of (rule 4)."""

    def __init__(self) -> None:
        self._flows: dict[bytes, dict[SharedFlow, None]] = {}

    def learn(self, flow: SharedFlow, name: bytes) -> None:
        """A name is this flow's."""
        self._flows.setdefault(name, {})[flow] = None

    def forget(self, flow: SharedFlow, name: bytes) -> None:
        """It is no more."""
        flows = self._flows[name]
        del flows[flow]
        if not flows:
            del self._flows[name]

    def named(self, name: bytes) -> list[SharedFlow]:
        """Those that count, who has known it longest first."""
        return list(islice(self._flows.get(name, ()), MAX_NAMES))


class Name:
    """A shared socket's address as one flow means it: maybe another flow (rules 9 to 12)."""

    __slots__ = ("_links", "channel", "flow", "home", "link", "own", "wanted")

    def __init__(self, links: Links, flow: SharedFlow, own: Home, home: Home) -> None:
        self.flow = flow
        self.own = own
        """The flow's home."""
        self.home = home
        """The socket whose address this is."""
        self.channel: Channel | None = None
        self.link: Link | None = None
        self.wanted = False
        self._links = links

    @property
    def target(self) -> SocketAddress:
        """The address."""
        return self.home.target

    def want(self) -> None:
        """The client asks for whom it means (rule 11)."""
        if not self.wanted:
            self.wanted = True
            self._links.seek(self)

    def send(self, payload: bytes | memoryview, target: SocketAddress) -> bool:
        """Per packet: hand it to the other flow."""
        return self._links.cross(self, payload)

    def send_unfragmented(self, payload: bytes, target: SocketAddress) -> bool:
        """The same: there is no network to fragment it."""
        return self._links.cross(self, payload)

    def end(self) -> None:
        """Mean nobody any more; the flow has forgotten it."""
        if self.link is not None:
            self._links.part(self.link)
        self._links.seek_no_more(self)


class Link:
    """Two flows that mean each other."""

    __slots__ = ("ends", "heard")

    def __init__(self, ends: tuple[Name, Name], now: float) -> None:
        self.ends = ends
        self.heard = now

    def other(self, end: Name) -> Name:
        """The other flow's end; ``end`` is this flow's, or another name of the same flow."""
        first, second = self.ends
        return second if end.flow is first.flow else first


class Links:
    """All links of a plane, and who seeks one."""

    def __init__(
        self,
        names: FlowNames,
        homes: Callable[[Home], Iterator[Home]],
        totals: SharedTotals,
        deliver: Deliver,
    ) -> None:
        """``homes`` gives the sockets of one host, from one of them onward and round."""
        self.now = 0.0
        self._names = names
        self._homes = homes
        self._totals = totals
        self._deliver = deliver
        self._seeking: dict[tuple[Home, Home], dict[Name, None]] = {}
        """By home and address: who wants the address and has no link by it."""

    def seek(self, name: Name) -> None:
        """A flow wants this name, and may have no link by it."""
        if name.link is None:
            self._seeking.setdefault((name.own, name.home), {})[name] = None

    def seek_no_more(self, name: Name) -> None:
        """It has one, or wants it no more."""
        seeking = self._seeking.get((name.own, name.home))
        if seeking is not None:
            seeking.pop(name, None)
            if not seeking:
                del self._seeking[name.own, name.home]

    def part(self, link: Link) -> None:
        """End a link; a name that its flow never asked for goes with it."""
        self._totals.links -= 1
        for end in link.ends:
            end.link = None
            if end.wanted:
                self.seek(end)
            elif end.flow.ways.get(end.target) is end:
                del end.flow.ways[end.target]

    def cross(self, name: Name, payload: bytes | memoryview) -> bool:
        """Per packet: hand over what a flow sends; whether somebody was meant."""
        name.want()
        link = self._meant(name, payload)
        if link is None:
            self._totals.unclaimed += 1
            return False
        link.heard = self.now
        end = link.other(name)
        self._deliver(end.flow, end.channel, end.target, payload)
        return True

    def _meant(self, name: Name, payload: bytes | memoryview) -> Link | None:
        if is_binding_request(payload):
            fragments = ice_names(payload)
            if fragments is not None:
                name.flow.learn(fragments[1])
                partner = self._named(name, fragments[0])
                if partner is not None:
                    return self._between(name, partner) or self._make(name, partner)
        return name.link or self._guess(name)

    def _named(self, name: Name, fragment: bytes) -> SharedFlow | None:
        """Rule 10: whom a check names."""
        is_ipv6 = len(name.target) == 4
        for flow in self._names.named(fragment):
            if flow is name.flow or flow.heard(name.own.target) is None:
                continue
            if flow.home(is_ipv6) is name.home or self._between(name, flow) is not None:
                return flow
        return None

    def _between(self, name: Name, partner: SharedFlow) -> Link | None:
        """The link of these two in the family of ``name``."""
        for home in self._homes(name.home):
            way = name.flow.ways.get(home.target)
            if not isinstance(way, Name) or way.link is None:
                continue
            if way.link.other(way).flow is partner:
                return way.link
        return None

    def _make(self, name: Name, partner: SharedFlow) -> Link | None:
        if not self._is_free(name):
            return None
        for home in self._homes(name.own):
            way = partner.ways.get(home.target)
            if way is None or (isinstance(way, Name) and self._is_free(way)):
                return self._join(name, self._name_at(partner, name.home, home))
        return None

    def _is_free(self, name: Name) -> bool:
        return name.link is None or self.now - name.link.heard >= LINK_SILENCE

    def _name_at(self, flow: SharedFlow, own: Home, home: Home) -> Name:
        """A name that is free, rid of the silent link that it may have."""
        way = flow.ways.get(home.target)
        if isinstance(way, Name) and way.link is not None:
            self.part(way.link)
            way = flow.ways.get(home.target)
        if not isinstance(way, Name):
            way = flow.ways[home.target] = Name(self, flow, own, home)
        return way

    def _join(self, first: Name, second: Name) -> Link:
        if first.link is not None:
            self.part(first.link)
        link = Link((first, second), self.now)
        self._totals.links += 1
        for end in link.ends:
            end.link = link
            self.seek_no_more(end)
        return link

    def _guess(self, name: Name) -> Link | None:
        """Rule 11: who alone can be meant."""
        others = [n for n in self._seeking.get((name.home, name.own), ()) if n is not name]
        if len(others) != 1:
            return None
        other = others[0]
        rivals = [n for n in self._seeking.get((name.own, name.home), ()) if n is not other]
        if rivals != [name]:
            return None
        first, second = name.flow, other.flow
        if first.heard(name.home.target) is None or second.heard(name.own.target) is None:
            return None
        return self._join(name, other)
