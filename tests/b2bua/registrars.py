"""
Registrars that are as good or as bad as a test wants, and ``Servers`` on a real user agent.

Messages go through bytes both ways; everything happens at a time that the test sets.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from random import Random

from b2bua.call_events import Event
from b2bua.servers import Servers
from b2bua.settings import ServerSettings
from b2bua.sip.digest import Algorithm
from b2bua.sip.digest_server import DigestServer, NotAuthenticated
from b2bua.sip.headers import NameAddr, parse_credentials, parse_name_addr
from b2bua.sip.hop import Hop
from b2bua.sip.message import Request, Response
from b2bua.sip.outputs import Output, Send
from b2bua.sip.parser import parse_datagram
from b2bua.sip.transactions import TransactionTable
from b2bua.sip.user_agent import UserAgent
from b2bua.upstreams import Server

LATENCY = 0.02
A, B = Server("192.0.2.1"), Server("192.0.2.2")
HOSTS = (A.host, B.host)
Headers = Sequence[tuple[str, str]]


class Registrar:
    """One SIP Server, as far as REGISTER and OPTIONS go."""

    def __init__(self, name: str, passwords: dict[str, str]) -> None:
        self.passwords = passwords
        self.latency = LATENCY
        self.is_silent = False
        self.is_closed = False
        """Its port is: what is sent there fails."""
        self.refusal: tuple[int, Headers] | None = None
        """What it answers to everything, OPTIONS too."""
        self.registering: Callable[[Request], Response | None] = lambda request: None
        """What it answers to one REGISTER in place of what it should."""
        self.expires = 140
        self.bindings: dict[str, float] = {}
        self.requests: list[tuple[float, Request]] = []
        salts = Random(name)
        self._digest = DigestServer("sip.example", name.encode(), salts.randbytes)

    def answer(self, request: Request, now: float) -> Response:
        """Do what the request asks for, or not."""
        self.requests.append((now, request))
        if self.refusal is not None:
            return request.response(self.refusal[0], None, self.refusal[1], to_tag="r")
        if request.method != "REGISTER":
            return request.response(200, to_tag="r")
        return self.registering(request) or self._register(request, now)

    def _register(self, request: Request, now: float) -> Response:
        if self.passwords:
            try:
                self._digest.authenticate(request, self._secret, now)
            except NotAuthenticated as refused:
                headers = self._digest.challenges(now, stale=refused.stale)
                return request.response(401, None, headers, to_tag="r")
        granted = min(self.expires, request.expires or 0)
        dn = request.to.uri.user_text
        self.bindings[dn] = now + granted
        bound = [("Contact", f"{request.get('Contact')};expires={granted}")] if granted else []
        return request.response(200, None, bound, to_tag="r")

    def _secret(self, user: str, algorithm: Algorithm) -> str | None:
        password = self.passwords.get(user)
        return None if password is None else algorithm.secret(user, "sip.example", password)

    def registers(self) -> list[Request]:
        """Every REGISTER that arrived; copies count once."""
        seen = {request.via.branch: request for _, request in self.requests}
        return [request for request in seen.values() if request.method == "REGISTER"]

    def counts(self) -> list[str]:
        """The nonce counts of these, "" for one without credentials."""
        return [_count(request) for request in self.registers()]


def _count(request: Request) -> str:
    given = request.get("Authorization")
    return "" if given is None else parse_credentials(given).text("nc") or ""


class Shell:
    """Two registrars, the servers as one, and the time."""

    def __init__(
        self,
        settings: ServerSettings | None = None,
        *,
        passwords: dict[str, str] | None = None,
        limit: int = 10_000,
    ) -> None:
        self.now = 1000.0
        self.passwords = passwords or {}
        self.registrars = {host: Registrar(host, self.passwords) for host in HOSTS}
        self.events: list[tuple[float, Event]] = []
        self.others: list[Output] = []
        self.sent: list[tuple[float, Request, Hop]] = []
        self._flying: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = count()
        words = count(1)
        random = Random(3)

        def token() -> str:
            return f"w{next(words)}"

        def sent_by(hop: Hop) -> str:
            return "192.0.2.100:5060"

        self.table = TransactionTable(sent_by, token, limit=limit)
        self.agent = UserAgent(
            self.table,
            sent_by=sent_by,
            token=token,
            contact=contact,
            route=lambda uri, hop: hop,
            random_below=random.randrange,
        )
        self.servers = Servers(
            settings or ServerSettings(addresses=(A, B)),
            self.agent,
            random=random.random,
            token=token,
            contact=contact,
            passwords=self.passwords.get,
            emit=lambda event: self.events.append((self.now, event)),
            now=self.now,
        )

    @property
    def first(self) -> Registrar:
        """The first server."""
        return self.registrars[A.host]

    @property
    def second(self) -> Registrar:
        """The second."""
        return self.registrars[B.host]

    def sign_in(self, *dns: str) -> None:
        """Sign DNs in."""
        for dn in dns:
            self.servers.sign_in(dn, self.now)
        self.collect()

    def run(self, seconds: float) -> None:
        """Let time pass, stopping wherever something is due."""
        self.collect()
        end = self.now + seconds
        while (due := self._next()) is not None and due <= end:
            self.now = max(self.now, due)
            while self._flying and self._flying[0][0] <= self.now:
                heapq.heappop(self._flying)[2]()
                self.collect()
            self.agent.handle_timeout(self.now)
            self.collect()
            self.servers.handle_timeout(self.now)
            self.collect()
        self.now = end

    def told(self, *kinds: type[Event]) -> list[Event]:
        """The events of some kinds, or all, since the last look."""
        events, self.events = self.events, []
        return [event for _, event in events if not kinds or isinstance(event, kinds)]

    def registered_by(self) -> set[str]:
        """The DNs that can be called, by the books of either registrar."""
        books = [registrar.bindings for registrar in self.registrars.values()]
        return {dn for book in books for dn, until in book.items() if until > self.now}

    def most_registers_in_a_second(self) -> int:
        """The most REGISTERs, without copies, that any second had."""
        moments: dict[str, float] = {}
        for when, request, _ in self.sent:
            if request.method == "REGISTER":
                moments.setdefault(request.via.branch, when)
        times = sorted(moments.values())
        most = first = 0
        for last, moment in enumerate(times):
            # What is sent a second later to the bit is not in the same second.
            while times[first] <= moment - 1.0 + 1e-9:
                first += 1
            most = max(most, last - first + 1)
        return most

    def collect(self) -> None:
        """Send what is to be sent, and hand on what is told."""
        while outputs := self.agent.take_outputs():
            for output in outputs:
                if isinstance(output, Send):
                    self._send(output)
                elif not self.servers.take(output, self.now):  # type: ignore[arg-type]
                    self.others.append(output)  # type: ignore[arg-type]

    def _next(self) -> float | None:
        moments = [self.agent.next_timeout(), self.servers.next_timeout()]
        moments += [self._flying[0][0]] if self._flying else []
        return min((moment for moment in moments if moment is not None), default=None)

    def _later(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._flying, (self.now + seconds, next(self._serial), event))

    def _send(self, send: Send) -> None:
        request, transaction = send.message, send.transaction
        assert isinstance(request, Request) and transaction is not None
        self.sent.append((self.now, request, send.hop))
        registrar = self.registrars.get(send.hop.host)
        assert registrar is not None, f"sent to {send.hop}"
        if registrar.is_closed:
            self._later(LATENCY, lambda: self.agent.send_failed(transaction, self.now))
        else:
            data = request.render()
            self._later(LATENCY, lambda: self._arrive(registrar, data, send.hop))

    def _arrive(self, registrar: Registrar, data: bytes, hop: Hop) -> None:
        if registrar.is_silent or registrar.is_closed:
            return
        request = parse_datagram(data)
        assert isinstance(request, Request)
        answered = registrar.answer(request, self.now).render()
        self._later(registrar.latency, lambda: self._return(answered, hop))

    def _return(self, data: bytes, hop: Hop) -> None:
        self.agent.receive(parse_datagram(data), hop, self.now)


def contact(hop: Hop) -> NameAddr:
    """Where we are."""
    found = parse_name_addr("<sip:192.0.2.100:5060>")
    return replace(found) if hop.transport == "UDP" else parse_name_addr("<sip:192.0.2.100:5062>")
