"""
How many strangers all TCP listeners together let in, and how fast their handshakes begin.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from twisted.internet.interfaces import IReactorTime

from suite.limits import descriptors
from suite.settings import SuiteSettings
from turn.settings import Network


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
    """Connections with HTTP whose clients have signed in; one source gets half of them."""
    proxies: tuple[Network, ...] = ()
    """Behind these are many sources, which are not told apart here."""

    @classmethod
    def of(cls, settings: SuiteSettings) -> ListenLimits:
        """The limits that the configuration sets, with descriptors left for relays and calls."""
        b2bua = settings.b2bua
        gateway = None if b2bua is None else b2bua.gateway
        return cls(
            http_strangers=0 if gateway is None else gateway.strangers_per_address,
            http_clients=descriptors() // 4,
            proxies=() if gateway is None else gateway.proxies,
            handshake_timeout=settings.handshake_timeout,
            max_connections=min(settings.max_connections, descriptors() // 2),
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


class Admission:
    """
    The books of all TCP listeners: streams that are strangers yet, handshakes, what was refused.

    A burst of handshakes waits its turn here so that the media of live calls does not wait.
    """

    def __init__(self, limits: ListenLimits, clock: IReactorTime) -> None:
        self.limits = limits
        self._strangers = FairShare(limits.max_connections)
        self._handshakes = FairShare(limits.max_handshakes)
        self._http: Counter[str] = Counter()
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
        """Whether one more connection from ``host`` may ask for pages before it has signed in."""
        most = self.limits.http_strangers
        # Who has signed in once may have done so to open thousands of them.
        has_room = self._clients.has_room_for(host)
        if has_room and (not most or self._http.get(_source(host), 0) < most):
            return True
        address = ip_address(host)
        return any(address in network for network in self.limits.proxies)

    def count_http(self, host: str, by: int) -> None:
        """Such a connection has come (1), or is gone or none any more (-1)."""
        source = _source(host)
        self._http[source] += by
        if not self._http[source]:
            del self._http[source]

    def count_client(self, host: str, by: int) -> None:
        """The client of such a connection has signed in (1), or it is gone (-1)."""
        self._clients.change(host, by)

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
