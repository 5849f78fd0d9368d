"""
The open connections, by number and by where they lead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import count

from b2bua.net.stream import SipStream, State
from b2bua.sip.hop import Hop
from b2bua.source_budget import source_of

Way = tuple[str, str, int]
"""Transport, host and port of the peer."""


class Flows:
    """
    Every stream that is not gone. A number is never given twice, so an answer for a connection
    that is gone cannot end up in another one.
    """

    def __init__(self) -> None:
        self._numbers = count(1)
        self._by_number: dict[int, SipStream] = {}
        self._by_way: dict[Way, SipStream] = {}
        self.strangers = 0
        """Connections from peers that nobody vouches for."""
        self._strangers_of: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._by_number)

    def __iter__(self) -> Iterator[SipStream]:
        return iter(list(self._by_number.values()))

    def next_number(self) -> int:
        """Give a number for a connection or a socket."""
        return next(self._numbers)

    def add(self, stream: SipStream) -> None:
        """Keep a stream; its hop has a number from here."""
        hop = stream.hop
        self._by_number[hop.flow] = stream
        self._by_way[hop.transport, hop.host, hop.port] = stream
        if not stream.is_vouched_for:
            self._count_stranger(hop.host, 1)

    def has_room_for_stranger(self, host: str, most: int) -> bool:
        """
        Whether this host may have one more of ``most`` connections that nobody vouches for.

        It may hold as many as it leaves free, so nobody alone can keep all others out.
        """
        free = most - self.strangers
        return free > 0 and self._strangers_of[source_of(host)] <= free

    def _count_stranger(self, host: str, by: int) -> None:
        source = source_of(host)
        self.strangers += by
        self._strangers_of[source] += by
        if not self._strangers_of[source]:
            del self._strangers_of[source]

    def vouch(self, flow: int) -> None:
        """The peer of this connection has proved who it is."""
        stream = self._by_number.get(flow)
        if stream is not None and not stream.is_vouched_for:
            stream.vouch()
            self._count_stranger(stream.hop.host, -1)

    def discard(self, stream: SipStream) -> None:
        """Forget a stream that is gone."""
        hop = stream.hop
        if self._by_number.pop(hop.flow, None) is None:
            return
        way = (hop.transport, hop.host, hop.port)
        if self._by_way.get(way) is stream:
            del self._by_way[way]
        if not stream.is_vouched_for:
            self._count_stranger(hop.host, -1)

    def find(self, hop: Hop) -> SipStream | None:
        """The connection that a message for ``hop`` takes: its own, or another of the same way."""
        for stream in (
            self._by_number.get(hop.flow),
            self._by_way.get((hop.transport, hop.host, hop.port)),
        ):
            if stream is not None and stream.state <= State.OPEN:
                return stream
        return None
