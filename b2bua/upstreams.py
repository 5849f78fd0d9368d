"""
The SIP Servers behind us: which one is in use, and when another one takes over.

One server at a time is registrar and proxy. Whoever sends a request asks the pool for a ``Sent``,
a note of the server and of the generation, and tells with it how the request fared::

              +--------------------------------------------------+
              |  a request or probe of this generation fails:    |
              |  the next server that is not suspect (switched)  |
              v                                                  |
         ACTIVE(i), generation g -------------------------------+
              |      ^
    no server |      | any answer of any server (recovered)
    is left   v      |
            ALL_DOWN: both are probed, less and less often

A generation begins with each entry into ACTIVE. What was sent in an earlier one may fail as it
likes: an outage during which a thousand requests time out is one switch. Nothing leads back to the
first server but the failure of the second, unless ``fail_back`` is set.

No socket and no clock: ``now`` is monotonic, and a ``Probe`` is an OPTIONS for the caller to send.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import lru_cache
from itertools import count
from math import inf

from b2bua.sip.uri import host_port

SECURE = frozenset({"TLS", "WSS"})
_MOST_DOUBLINGS = 16


class State(IntEnum):
    """Whether there is a server to send to."""

    ACTIVE = 0
    ALL_DOWN = 1


class Reason(StrEnum):
    """Why a request failed, or why the server was changed; fixed words."""

    UNANSWERED = "unanswered"
    TRANSPORT = "transport"
    """ICMP, a reset connection that could not be opened anew, a refused certificate."""
    UNAVAILABLE = "503"
    FAIL_BACK = "fail-back"
    REMOVED = "removed"
    """The DNS does not name that server any more."""


@dataclass(frozen=True, slots=True)
class Server:
    """One SIP Server as it is configured: a name or an address, a port, a transport."""

    host: str
    port: int = 5060
    transport: str = "UDP"

    def __str__(self) -> str:
        return f"{host_port(self.host, self.port)} {self.transport}"


@dataclass(frozen=True, slots=True)
class PoolTimes:
    """All in seconds."""

    failover: float = 4.0
    """How long a server may be silent; also how long one that was left is not returned to."""
    shortest_probe: float = 10.0
    longest_probe: float = 30.0
    suspicion: float = 30.0
    """How long a failure counts, unless an answer of that server ends it."""
    longest_retry_after: float = 60.0
    first_wait: float = 1.0
    longest_wait: float = 5.0
    """
    Between two probes of a server while all are down, in addition to ``failover``. Together they
    bound how late its return is noticed, and that is time in which nobody can be called.
    """
    fail_back: float | None = None
    """How long an earlier server must have answered without a gap to be returned to."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What the pool must know of a request again when it fares well or badly."""

    server: int
    """The server's number: that of its place in ``servers`` until these are replaced."""
    generation: int
    at: float
    is_probe: bool = False


@dataclass(frozen=True, slots=True)
class Switched:
    """Requests go to another server from now on."""

    old: Server
    new: Server
    reason: Reason


@dataclass(frozen=True, slots=True)
class AllDown:
    """No server is left; requests are refused with 503 until one has recovered."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """One has: it is in use. It need not be the one that was in use before."""

    server: Server


@dataclass(frozen=True, slots=True)
class Probe:
    """Send OPTIONS to the server that ``sent`` names, and tell the pool what came of it."""

    sent: Sent


Output = Switched | AllDown | Recovered | Probe


class _Standing:
    """What is known of one server."""

    __slots__ = (
        "addresses",
        "closed_until",
        "failures",
        "heard_at",
        "number",
        "probe_at",
        "server",
        "steady_since",
        "suspect_until",
    )

    def __init__(self, number: int, server: Server, probe_at: float) -> None:
        self.number = number
        """Never given to another server, so that old news are not taken for news of that one."""
        self.server = server
        self.addresses: frozenset[str] = frozenset()
        self.closed_until = -inf
        """Until then it is not used, whatever it answers: it was just left, or said 503."""
        self.suspect_until = -inf
        self.failures = 0
        """Of probes in a row while all were down."""
        self.heard_at = -inf
        self.probe_at = probe_at
        self.steady_since = inf

    def is_usable(self, now: float) -> bool:
        """Whether requests may go there."""
        return now >= self.closed_until and now >= self.suspect_until


class ServerPool:
    """
    One, two or more servers, and the one in use.

    Each ``Sent`` comes back by ``answered`` or ``failed``, or by ``failed`` and a late
    ``answered``. After each call, outputs are to be taken. ``random`` gives numbers from 0 to
    below 1. ``pair_names`` are the SRV name of the servers and whatever else stands for them all.
    """

    def __init__(
        self,
        servers: Sequence[Server],
        random: Callable[[], float],
        now: float,
        *,
        pair_names: Iterable[str] = (),
        times: PoolTimes | None = None,
    ) -> None:
        if not servers:
            raise ValueError("a pool needs a server")
        self.state = State.ACTIVE
        self.generation = 1
        self._times = times or PoolTimes()
        self._random = random
        self._pair_names = frozenset(map(canonical_host, pair_names))
        self._active = 0
        self._active_since = now
        self._proven_at = -inf
        self._outputs: list[Output] = []
        self._numbers = count()
        # By number, in the order of use. All are probed at the start, so that a dead first server
        # costs nobody a sign-in.
        added = [self._added(server, now) for server in servers]
        self._standings = {standing.number: standing for standing in added}

    @property
    def servers(self) -> tuple[Server, ...]:
        """The servers in the order of use."""
        return tuple(standing.server for standing in self._standings.values())

    @property
    def active(self) -> Server:
        """The server in use; while all are down, the last one."""
        return self._standings[self._active].server

    def server_of(self, sent: Sent) -> Server | None:
        """The server that a request went to; None once it is gone."""
        standing = self._standings.get(sent.server)
        return standing.server if standing else None

    def is_suspect(self, server: Server, now: float) -> bool:
        """Whether a server has failed lately, and is not switched to."""
        return any(
            standing.server == server and not standing.is_usable(now)
            for standing in self._standings.values()
        )

    def send(self, now: float) -> Sent | None:
        """Note that a request goes to the active server; None while all are down."""
        if self.state is State.ALL_DOWN:
            return None
        return Sent(self._active, self.generation, now)

    # Names and addresses.

    def replace_servers(self, servers: Mapping[Server, Iterable[str]], now: float) -> None:
        """
        Take the servers that there are now, in the order of use, each with its other names.

        One that stays keeps what is known of it and, if it is in use, stays in use. What was sent
        to one that is gone counts no more; if that was the one in use, another takes over.
        """
        if not servers:
            raise ValueError("a pool needs a server")
        old = self.active
        known = {standing.server: standing for standing in self._standings.values()}
        self._standings = {}
        for server, names in servers.items():
            standing = known.get(server) or self._added(server, now)
            self._standings[standing.number] = standing
            self.resolved(standing.number, names)
        if self._active not in self._standings:
            self._succeed(old, now)

    def resolved(self, number: int, addresses: Iterable[str]) -> None:
        """Take the addresses, or other names, that a server has now."""
        standing = self._standings[number]
        hosts = (standing.server.host, *addresses)
        standing.addresses = frozenset(map(canonical_host, hosts))

    def is_server(self, host: str) -> bool:
        """Whether a message from this address comes from one of the servers, active or not."""
        plain = canonical_host(host)
        return any(plain in standing.addresses for standing in self._standings.values())

    def next_hop(self, host: str, port: int | None, transport: str) -> Server | None:
        """
        Find where a request or response for this host of a URI or Via really goes.

        The name of the pair means the active server, with whatever port; so does the address of
        any one server, since calls live on when it is gone. None is said of other hosts, and of
        a secure transport where the active server's is not secure: those are located by the DNS
        (RFC 3263), if at all. Headers that are echoed are never rewritten by it.
        """
        if transport.upper() in SECURE and self.active.transport not in SECURE:
            return None
        plain = canonical_host(host)
        if plain in self._pair_names:
            return self.active
        wanted = port or (5061 if transport.upper() in SECURE else 5060)
        for standing in self._standings.values():
            if wanted == standing.server.port and plain in standing.addresses:
                return self.active
        return None

    # How requests fared.

    def answered(self, sent: Sent, now: float) -> None:
        """
        Take any response but 503, a provisional one too.

        One that comes after ``failed`` ends no suspicion, since a server that is always too slow
        is of no use; but when all are down it is better than none.
        """
        standing = self._standings.get(sent.server)
        if standing is None:
            return
        in_time = now - sent.at <= self._times.failover
        if self.state is State.ALL_DOWN:
            self._recover(sent.server, now)
        elif in_time:
            standing.suspect_until = -inf
            standing.heard_at = now
            if sent.generation == self.generation and not sent.is_probe:
                self._proven_at = max(self._proven_at, sent.at)
                standing.failures = 0
        standing.steady_since = min(standing.steady_since, now) if in_time else inf
        if sent.is_probe and self.state is State.ACTIVE:
            standing.probe_at = now + self._idle_interval()
        self._consider_fail_back(standing, now)

    def failed(self, sent: Sent, reason: Reason, now: float, retry_after: float = 0.0) -> None:
        """
        Take silence for longer than the failover time, a transport error, or a 503.

        408, 480, 486 and the like are answers: they say nothing about the server.
        """
        standing = self._standings.get(sent.server)
        if standing is None:
            return
        standing.steady_since = inf
        rest = min(max(retry_after, 0.0), self._times.longest_retry_after)
        standing.closed_until = max(standing.closed_until, now + rest if rest else -inf)
        if self.state is State.ALL_DOWN:
            self._wait_longer(sent, now)
        elif sent.generation == self.generation and sent.server == self._active:
            self._doubt(sent, reason, now)

    # Time.

    def next_timeout(self) -> float:
        """When ``handle_timeout`` is due."""
        return min(standing.probe_at for standing in self._standings.values())

    def handle_timeout(self, now: float) -> None:
        """Ask for the probes that are due; a server that was just heard needs none."""
        for number, standing in self._standings.items():
            if standing.probe_at > now:
                continue
            idle = self._idle_interval()
            # The next one is for the case that nothing is ever heard of this one.
            standing.probe_at = now + self._times.failover + idle
            if standing.heard_at + self._times.shortest_probe > now:
                standing.probe_at = standing.heard_at + idle
                continue
            self._outputs.append(Probe(Sent(number, self.generation, now, is_probe=True)))

    def take_outputs(self) -> list[Output]:
        """Give what has come up since the last call."""
        outputs, self._outputs = self._outputs, []
        return outputs

    # Transitions.

    def _doubt(self, sent: Sent, reason: Reason, now: float) -> None:
        standing = self._standings[sent.server]
        if reason is Reason.UNANSWERED and not sent.is_probe and sent.at <= self._proven_at:
            # It answered what was sent later, so this request has a trouble of its own (one too
            # long for UDP, say). It must not take the server from everybody: a probe decides.
            standing.heard_at = -inf
            standing.probe_at = now
            return
        standing.suspect_until = now + self._times.suspicion
        following = self._following(now)
        if following is None:
            self._give_up(now)
        else:
            self._switch(following, reason, now)

    def _following(self, now: float) -> int | None:
        numbers = list(self._standings)
        position = numbers.index(self._active)
        return self._usable(numbers[position + 1 :] + numbers[:position], now)

    def _usable(self, numbers: Iterable[int], now: float) -> int | None:
        return next((n for n in numbers if self._standings[n].is_usable(now)), None)

    def _added(self, server: Server, now: float) -> _Standing:
        standing = _Standing(next(self._numbers), server, now)
        standing.addresses = frozenset([canonical_host(server.host)])
        return standing

    def _succeed(self, old: Server, now: float) -> None:
        """The server in use is gone."""
        following = self._usable(self._standings, now)
        if self.state is State.ALL_DOWN or following is None:
            self._active = next(iter(self._standings))
            if self.state is State.ACTIVE:
                self._give_up(now)
            return
        self._activate(following, now)
        self._outputs.append(Switched(old, self.active, Reason.REMOVED))

    def _switch(self, number: int, reason: Reason, now: float) -> None:
        old = self.active
        self._activate(number, now)
        self._outputs.append(Switched(old, self.active, reason))

    def _activate(self, number: int, now: float) -> None:
        left = self._standings.get(self._active)
        if left is not None and number != self._active:
            left.closed_until = max(left.closed_until, now + self._times.failover)
        self.state = State.ACTIVE
        self.generation += 1
        self._active = number
        self._active_since = now
        self._proven_at = -inf
        standing = self._standings[number]
        standing.suspect_until = -inf
        # Its first requests may be a while off, and until then nobody would know.
        standing.probe_at = now if standing.heard_at < now else now + self._idle_interval()

    def _give_up(self, now: float) -> None:
        self.state = State.ALL_DOWN
        lasted = now - self._active_since
        for number, standing in self._standings.items():
            if lasted > self._times.suspicion:
                standing.failures = 0
            # The one that has just failed is not asked again at once, the others are.
            asked_before = number == self._active or standing.failures
            wait = self._down_interval(standing.failures) if asked_before else 0.0
            standing.probe_at = max(now + wait, standing.closed_until)
            standing.heard_at = -inf
        self._outputs.append(AllDown())

    def _wait_longer(self, sent: Sent, now: float) -> None:
        standing = self._standings[sent.server]
        if sent.is_probe:
            standing.failures += 1
            standing.probe_at = now + self._down_interval(standing.failures)
        standing.probe_at = max(standing.probe_at, standing.closed_until)

    def _recover(self, number: int, now: float) -> None:
        standing = self._standings[number]
        if now < standing.closed_until:
            standing.probe_at = standing.closed_until
            return
        standing.heard_at = now
        self._activate(number, now)
        self._outputs.append(Recovered(self.active))

    def _consider_fail_back(self, standing: _Standing, now: float) -> None:
        steady = self._times.fail_back
        if steady is None or self.state is not State.ACTIVE:
            return
        numbers = list(self._standings)
        is_earlier = numbers.index(standing.number) < numbers.index(self._active)
        is_steady = now - standing.steady_since >= steady
        if is_earlier and is_steady and now >= standing.closed_until:
            self._switch(standing.number, Reason.FAIL_BACK, now)

    def _idle_interval(self) -> float:
        times = self._times
        return times.shortest_probe + self._random() * (times.longest_probe - times.shortest_probe)

    def _down_interval(self, failures: int) -> float:
        longest = self._times.first_wait * 2.0 ** min(failures, _MOST_DOUBLINGS)
        return min(longest, self._times.longest_wait) * (0.5 + self._random() / 2)


@lru_cache(256)
def canonical_host(host: str) -> str:
    """Spell a host in one way: lower case, no brackets, no dot at the end."""
    return host.strip("[]").rstrip(".").lower()
