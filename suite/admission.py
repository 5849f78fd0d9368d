"""
How many strangers all TCP listeners together let in, and how fast their handshakes begin.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, ip_address
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from suite.limits import descriptors
from suite.settings import SuiteSettings
from turn.settings import Network

_OF_PAGE = 8
"""Connections of a page that has signed in: browsers open six, and some take longer to close."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenLimits:
    """Deadlines in seconds and counts, the same for all listeners."""

    handshake_timeout: float = 10.0
    """From the accept to the end of the TLS handshake, however slowly bytes come."""
    identify_timeout: float = 5.0
    """For the bytes that tell the protocol, and for a PROXY header."""
    http_head_timeout: float = 10.0
    """For the head of the first HTTP request, however slowly bytes come."""
    http_lifetime: float = 60.0
    """For a connection with HTTP after its first head; a browser opens another."""
    max_connections: int = 5000
    """Streams that have not authenticated."""
    max_handshakes: int = 1000
    """TLS handshakes begun and not finished."""
    handshakes_per_turn: int = 8
    """TLS handshakes begun in one turn of the reactor, about 0.3 ms each."""
    http_strangers: int = 0
    """Connections with HTTP of one source whose clients have not signed in; 0: no limit."""
    http_clients: int = 5000
    """Connections with HTTP whose clients have signed in."""
    http_of_user: int = 32
    """
    Of these the ones of a user who has proved to be one that do not count for their source. Others
    do: one source gets half of all.
    """
    proxies: tuple[Network, ...] = ()
    """Behind these are many sources, which are not told apart here."""

    @classmethod
    def of(cls, settings: SuiteSettings) -> ListenLimits:
        """The limits that the configuration sets, with descriptors left for relays and calls."""
        b2bua = settings.b2bua
        gateway = None if b2bua is None else b2bua.gateway
        most = min(settings.max_connections, descriptors() // 2)
        limits = cls(
            http_clients=descriptors() // 4,
            handshake_timeout=settings.handshake_timeout,
            max_connections=most,
        )
        if gateway is None:
            return limits
        return replace(
            limits,
            # Half of all is one source's; idle ones must be closed before that is reached.
            http_strangers=min(gateway.strangers_per_address, max(1, most // 4)),
            http_of_user=_OF_PAGE * gateway.sessions_per_user,
            proxies=gateway.proxies,
        )


class FairShare:
    """
    Places of which a source may hold as many as it leaves free.

    One source alone gets half of them, so it cannot keep everybody else out. A source is an IPv4
    address or the /64 of an IPv6 one.
    """

    def __init__(self, places: int) -> None:
        self.held = 0
        self._places = places
        self._by_source: Counter[str] = Counter()

    def has_room_for(self, host: str) -> bool:
        """Whether ``host`` may have one place more."""
        free = self._places - self.held
        return free > 0 and self._by_source[_source(host)] <= free

    def change(self, host: str, by: int) -> None:
        """Take a place for ``host`` (1) or give it back (-1)."""
        source = _source(host)
        self.held += by
        self._by_source[source] += by
        if not self._by_source[source]:
            del self._by_source[source]

    def vouch(self, host: str) -> None:
        """Whoever has a place keeps it, and ``host`` is not the one who holds it."""
        self.change(host, -1)
        self.held += 1

    def give_back(self) -> None:
        """Such a place is free."""
        self.held -= 1


class HttpConnection(Protocol):
    """A connection with HTTP, as far as it has a place here."""

    @property
    def is_idle(self) -> bool:
        """Whether it asks for nothing at present, and its answers are on their way."""

    def give_way(self) -> None:
        """Leave the place to another one."""


class Admission:
    """
    The books of all TCP listeners: streams that are strangers yet, handshakes, what was refused.

    A burst of handshakes waits its turn here so that the media of live calls does not wait.
    """

    def __init__(self, limits: ListenLimits, clock: IReactorTime) -> None:
        self.limits = limits
        self._strangers = FairShare(limits.max_connections)
        self._handshakes = FairShare(limits.max_handshakes)
        self._http: dict[str, dict[HttpConnection, None]] = {}
        """By source those of strangers, the oldest first."""
        self._vouched: Counter[str] = Counter()
        """By user those of who has proved to be that one."""
        self._clients = FairShare(limits.http_clients)
        self.accepted = 0
        self.identified: Counter[str] = Counter()
        """Streams by what they carry."""
        self.refused: Counter[str] = Counter()
        """Streams that were closed, by a fixed set of reasons."""
        self._clock = clock
        self._waiting: deque[Callable[[], None]] = deque()
        self._begun_this_turn = 0

    @property
    def strangers(self) -> int:
        """Streams that are open and have not authenticated, HTTP among them."""
        return self._strangers.held

    @property
    def handshakes(self) -> int:
        """TLS handshakes that are under way."""
        return self._handshakes.held

    def admits(self, host: str) -> bool:
        """Whether the next stream, from ``host``, is let in."""
        return self._strangers.has_room_for(host)

    def admits_handshake(self, host: str) -> bool:
        """Whether a stream from ``host`` may begin a TLS handshake."""
        return self._handshakes.has_room_for(host)

    def admits_http(self, host: str) -> bool:
        """
        Whether one more connection from ``host`` may ask for pages before it has signed in.

        An idle one gives way to it: a page's files have been loaded by many, and need them no more.
        """
        address = ip_address(host)
        if any(address in network for network in self.limits.proxies):
            return True
        # Who has signed in once may have done so to open thousands of them.
        return self._clients.has_room_for(host) and self._has_room_for_stranger(host)

    def _has_room_for_stranger(self, host: str) -> bool:
        most = self.limits.http_strangers
        present = self._http.get(_source(host), {})
        if not most or len(present) < most:
            return True
        idle = next((connection for connection in present if connection.is_idle), None)
        if idle is not None:
            idle.give_way()
        return idle is not None

    def http_began(self, host: str, connection: HttpConnection) -> None:
        """A connection of a stranger has come."""
        self._http.setdefault(_source(host), {})[connection] = None

    def http_ended(self, host: str, connection: HttpConnection) -> None:
        """It is gone, or no stranger's any more."""
        present = self._http.get(_source(host), {})
        present.pop(connection, None)
        if not present:
            self._http.pop(_source(host), None)

    def count_client(self, host: str, by: int) -> None:
        """The client of such a connection has signed in (1), or it is gone (-1)."""
        self._clients.change(host, by)

    def vouch(self, host: str, user: str) -> bool:
        """
        The client of a connection is a user who has proved it: it counts for no source from now on.

        False: that user has too many of them, and it counts as before.
        """
        if self._vouched[user] >= self.limits.http_of_user:
            return False
        self._vouched[user] += 1
        self._clients.vouch(host)
        return True

    def vouched_ended(self, user: str) -> None:
        """Such a connection is gone."""
        self._clients.give_back()
        self._vouched[user] -= 1
        if not self._vouched[user]:
            del self._vouched[user]

    def count_stranger(self, host: str, by: int) -> None:
        """A stranger from ``host`` has come (1), or is gone or none any more (-1)."""
        self._strangers.change(host, by)

    def count_handshake(self, host: str, by: int) -> None:
        """A TLS handshake with ``host`` has begun (1) or is over (-1)."""
        self._handshakes.change(host, by)

    def begin_handshake(self, begin: Callable[[], None]) -> None:
        """Call ``begin`` now, or in one of the next turns of the reactor."""
        if self._begun_this_turn == 0:
            self._clock.callLater(0, self._next_turn)
        if self._begun_this_turn >= self.limits.handshakes_per_turn:
            self._waiting.append(begin)
            return
        self._begun_this_turn += 1
        begin()

    def _next_turn(self) -> None:
        self._begun_this_turn = 0
        if not self._waiting:
            return
        self._clock.callLater(0, self._next_turn)
        while self._waiting and self._begun_this_turn < self.limits.handshakes_per_turn:
            self._begun_this_turn += 1
            self._waiting.popleft()()


def _source(host: str) -> str:
    return str(int(IPv6Address(host)) >> 64) if ":" in host else host
