"""
The SIP Servers as one: where requests go, whether that is still right, and our DNs there.

It joins the pool of servers (``upstreams``), the registrations and the transactions of a user
agent. Whoever runs it tells where the servers are, hands over the outputs of the user agent that
may be about them, and sends requests of its own to ``place``, telling how they fared::

    DNS ─▶ located ─────────▶ ServerPool ──▶ place ─▶ a request of the core
                               │  ▲     ▲              │
             switched, all     │  │     └ answered, failed
             down, recovered   ▼  │ answered, failed
    sign_in ─▶ Registrations ─▶ REGISTER, OPTIONS ─▶ transactions ─▶ take

The order matters: what a request has met is told to the pool first, what the pool makes of it to
the registrations next, and only then the outcome itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from b2bua.call_events import (
    DnRegistered,
    DnUnregistered,
    Event,
    ServerChanged,
    ServersDown,
    ServersUnknown,
    Subscriber,
)
from b2bua.pace import Pace
from b2bua.registration import UNANSWERED, Registrations
from b2bua.registration_states import BOUND
from b2bua.registration_states import State as RegistrationState
from b2bua.registration_terms import (
    Answer,
    Closed,
    Delayed,
    Expired,
    Refused,
    Register,
    Registered,
    Terms,
    Unregistered,
)
from b2bua.registration_terms import Output as RegistrationOutput
from b2bua.server_accounts import Accounts
from b2bua.server_addresses import ServerAddresses, fixed_targets
from b2bua.server_exchanges import Exchange, Exchanges
from b2bua.server_requests import RequestMaker, answer_of, retry_after
from b2bua.settings import ServerSettings
from b2bua.sip.digest import DigestClient
from b2bua.sip.headers import NameAddr
from b2bua.sip.hop import Hop
from b2bua.sip.message import Response
from b2bua.sip.outputs import ResponseReceived, Terminated, TransportFailed
from b2bua.sip.timers import earliest
from b2bua.sip.user_agent import AgentOutput, UserAgent
from b2bua.srv import Problem, Target
from b2bua.upstreams import AllDown, Probe, Reason, Recovered, Sent, ServerPool, State, Switched
from b2bua.upstreams import Output as PoolOutput

_CHALLENGES = frozenset({401, 407})
_UNAVAILABLE = 503
_NO_ROOM = Answer(500)


@dataclass(frozen=True, slots=True)
class ServerState:
    """One server, for a page."""

    server: str
    """``host:port transport``."""
    is_active: bool
    """Requests go there."""
    is_suspect: bool
    """It has failed lately, and is not switched to."""


class Servers:
    """
    The SIP Servers, and our DNs there.

    ``contact`` gives our Contact on a hop, ``token`` words that nobody can guess, ``random``
    numbers from 0 to below 1, ``passwords`` what a DN has of its own. Servers that are configured
    by address are there at once, others when ``located`` has told of them. After each call the
    outputs of ``agent`` are to be taken, since requests may have been started.
    """

    def __init__(
        self,
        settings: ServerSettings,
        agent: UserAgent,
        *,
        random: Callable[[], float],
        token: Callable[[], str],
        contact: Callable[[Hop], NameAddr],
        passwords: Callable[[str], str | None],
        emit: Subscriber,
        now: float,
    ) -> None:
        self.is_closed = False
        """The shut-down is over: all DNs are unregistered, or there was no time for it."""
        self._settings = settings
        self._random = random
        self._passwords = passwords
        self._emit = emit
        self._requests = RequestMaker(settings.domain, contact, token, agent.profile.allow)
        self._addresses = ServerAddresses(settings)
        self._pool: ServerPool | None = None
        self._problem = Problem.NOT_ASKED
        self._active = ""
        self._registrations = Registrations(
            random,
            token,
            Terms(expires=settings.register_expires, failover=settings.times.failover),
            Pace(settings.register_rate, settings.register_burst),
        )
        self._registrations.suspend()
        self._accounts = Accounts(self._password, self.is_server_hop, self.knows, token)
        self._exchanges = Exchanges(agent.table)
        self._events: list[Event] = []
        self._is_closing = False
        known = fixed_targets(settings)
        if known and len(known) == len(settings.addresses):
            self.located(known, Problem.NONE, now)

    # What is known.

    @property
    def registered(self) -> int:
        """How many DNs have a binding, as far as the servers' answers say."""
        return self._registrations.bound

    @property
    def known(self) -> int:
        """How many DNs are signed in, or are still being signed out."""
        return len(self._registrations)

    @property
    def generation(self) -> int:
        """How often a server came into use; 0 before the first."""
        return self._pool.generation if self._pool else 0

    @property
    def active(self) -> str:
        """The server in use, or the last one, as ``host:port transport``; "" before the first."""
        return self._active

    @property
    def state(self) -> State:
        """Whether there is a server to send to."""
        if self._pool is None or self._problem is not Problem.NONE:
            return State.ALL_DOWN
        return self._pool.state

    def states(self, now: float) -> list[ServerState]:
        """The servers in the order of use."""
        pool = self._pool
        if pool is None:
            return []
        is_up = self.state is State.ACTIVE
        return [
            ServerState(str(server), is_up and server == pool.active, pool.is_suspect(server, now))
            for server in pool.servers
        ]

    def registered_dns(self) -> Iterator[str]:
        """The DNs that have a binding."""
        return self._registrations.bound_dns()

    def is_registered(self, dn: str) -> bool:
        """Whether a DN has a binding, as far as the servers' answers say."""
        return self._registrations.state(dn) in BOUND

    def knows(self, dn: str) -> bool:
        """Whether a DN is registered, or is to be; one that was refused for good is neither."""
        return self._registrations.state(dn) is not RegistrationState.UNREGISTERED

    # Where requests go.

    def located(self, targets: Sequence[Target], problem: Problem, now: float) -> None:
        """
        Take the addresses that the DNS has, in the order of use.

        Without any, nothing new is sent before there are some again; ``problem`` says why. What
        goes on already can still find the last server, since it may be there all the same.
        """
        servers = self._addresses.place(targets) if targets else {}
        if not servers:
            self._lose(problem if problem is not Problem.NONE else Problem.NO_ADDRESS)
            self._pump(now)
            return
        if self._pool is None:
            self._pool = ServerPool(
                list(servers),
                self._random,
                now,
                pair_names=[self._settings.srv_name] if self._settings.srv_name else [],
                times=self._settings.times,
            )
        self._pool.replace_servers(servers, now)
        self._follow_pool(now)
        was, self._problem = self._problem, Problem.NONE
        if was is not Problem.NONE and self._pool.state is State.ACTIVE:
            self._resume(was, now)
        self._pump(now)

    def place(self, now: float) -> tuple[Hop, Sent] | None:
        """Where a new request goes, and the note to tell with how it fared; None: nowhere."""
        if self._pool is None or self._problem is not Problem.NONE:
            return None
        sent = self._pool.send(now)
        return None if sent is None else (self._addresses.hop(self._pool.active), sent)

    def sent_to(self, hop: Hop, now: float) -> Sent | None:
        """The note of a request that goes over this hop; None: not to the server in use."""
        if self._pool is None or hop != self._addresses.hop(self._pool.active):
            return None
        return self._pool.send(now)

    def next_hop(self, uri_host: str, port: int | None, transport: str) -> Hop | None:
        """
        Map the servers' common name, and the address of each, to the server in use.

        None is said of every other host.
        """
        if self._pool is None:
            return None
        server = self._pool.next_hop(uri_host, port, transport)
        return self._addresses.hop(server) if server else None

    def is_server(self, host: str) -> bool:
        """Whether a message from this address is from one of the servers, in use or not."""
        return self._pool is not None and self._pool.is_server(host)

    def is_server_hop(self, hop: Hop) -> bool:
        """Whether what goes over this hop reaches one of the servers, and nobody else."""
        return self._addresses.is_hop(hop)

    def domain_of(self, hop: Hop) -> str:
        """The domain whose certificate must be shown at a hop."""
        return self._addresses.domain_of(hop)

    def answered(self, sent: Sent, now: float) -> None:
        """A request to ``place`` had a response that was no 503; a provisional one counts too."""
        if self._pool is not None:
            self._pool.answered(sent, now)
            self._pump(now)

    def failed(self, sent: Sent, reason: Reason, now: float, retry_after: float = 0.0) -> None:
        """A request to ``place`` had none in the failover time, or 503, or could not be sent."""
        if self._pool is not None:
            self._pool.failed(sent, reason, now, retry_after)
            self._pump(now)

    # Who we are.

    def credentials(self, dn: str) -> DigestClient | None:
        """
        Who answers the servers' challenges for a DN, whatever the request; None: nobody.

        While the DN is signed in it is always the same one, so that nonces are used again.
        """
        return self._accounts.client(dn)

    def has_proved(self, dn: str) -> bool:
        """Whether a DN is registered by a password that the servers have asked for."""
        return self.is_registered(dn) and self._accounts.is_challenged(dn)

    def proved_password(self, dn: str) -> str | None:
        """The password by which it is; it may be another than the one that is ours by now."""
        return self._accounts.used(dn) if self.has_proved(dn) else None

    def _password(self, dn: str) -> str | None:
        own = self._passwords(dn)
        return self._settings.password if own is None else own

    # Our DNs.

    def sign_in(self, dn: str, now: float) -> None:
        """Register a DN, and keep it registered."""
        if self._is_closing:
            self._events.append(DnUnregistered(dn, _UNAVAILABLE))
        else:
            self._registrations.sign_in(dn, now)
        self._pump(now)

    def sign_out(self, dn: str, now: float) -> None:
        """Unregister a DN, if it is known."""
        self._registrations.sign_out(dn, now)
        self._pump(now)

    def shut_down(self, now: float, limit: float) -> None:
        """Unregister all, at the usual pace and for no longer than ``limit``; see ``is_closed``."""
        if not self._is_closing:
            self._is_closing = True
            self._registrations.shut_down(now, limit)
        self._pump(now)

    # What the user agent and the clock bring.

    def take(self, output: AgentOutput, now: float) -> bool:
        """Take an output of the agent; False: it is about no REGISTER or OPTIONS of ours."""
        exchange = self._exchanges.of(output)
        if exchange is None:
            return False
        if isinstance(output, ResponseReceived):
            self._take_response(exchange, output.response, now)
        elif not isinstance(output, Terminated):
            failed = isinstance(output, TransportFailed)
            self._take_failure(exchange, Reason.TRANSPORT if failed else Reason.UNANSWERED, now)
        self._pump(now)
        return True

    def next_timeout(self) -> float | None:
        """When ``handle_timeout`` is due, if at all."""
        moment = self._registrations.next_timeout()
        if self._is_probing and self._pool is not None:
            return earliest(moment, self._pool.next_timeout())
        return moment

    def handle_timeout(self, now: float) -> None:
        """Send what is due."""
        if self._is_probing and self._pool is not None:
            self._pool.handle_timeout(now)
            self._follow_pool(now)
        self._registrations.handle_timeout(now)
        self._pump(now)

    # How requests fare.

    @property
    def _is_probing(self) -> bool:
        return self._problem is Problem.NONE and not self.is_closed

    def _take_response(self, exchange: Exchange, response: Response, now: float) -> None:
        self._tell_pool(exchange, response, now)
        register = exchange.register
        if register is None or response.is_provisional:
            return
        transaction = exchange.transaction
        is_challenge = response.status in _CHALLENGES
        if is_challenge and self._accounts.learn(register.dn, transaction, response):
            self._registrations.challenged(register, now)
        else:
            answer = answer_of(transaction.request, response, register.expires)
            self._registrations.answered(register, answer, now)

    def _tell_pool(self, exchange: Exchange, response: Response, now: float) -> None:
        if self._pool is None:
            return
        if response.status == _UNAVAILABLE:
            reason = Reason.UNAVAILABLE
            self._pool.failed(exchange.sent, reason, now, retry_after(response))
        else:
            self._pool.answered(exchange.sent, now)
        self._follow_pool(now)

    def _take_failure(self, exchange: Exchange, reason: Reason, now: float) -> None:
        if exchange.has_failed or self._pool is None:
            # The end of a silence that was told already.
            return
        exchange.has_failed = True
        self._pool.failed(exchange.sent, reason, now)
        self._follow_pool(now)
        if exchange.register is not None:
            self._registrations.unanswered(exchange.register, now)

    # What the pool and the registrations want.

    def _pump(self, now: float) -> None:
        """Carry out what both want until neither wants anything; then tell of it."""
        while True:
            self._follow_pool(now)
            outputs = self._registrations.take_outputs()
            for output in outputs:
                self._follow_registration(output, now)
            if not outputs:
                break
        # Last, for a subscriber may call back.
        events, self._events = self._events, []
        for event in events:
            self._emit(event)

    def _follow_pool(self, now: float) -> None:
        for output in self._pool.take_outputs() if self._pool else ():
            self._follow(output, now)

    def _follow(self, output: PoolOutput, now: float) -> None:
        if isinstance(output, Probe):
            self._probe(output.sent, now)
        elif isinstance(output, AllDown):
            self._registrations.suspend()
            self._events.append(ServersDown())
        elif isinstance(output, Switched | Recovered):
            reason = output.reason.value if isinstance(output, Switched) else "recovered"
            self._change(reason, now)

    def _change(self, reason: str, now: float) -> None:
        """Another server is in use, or one is again."""
        assert self._pool is not None
        old, self._active = self._active, str(self._pool.active)
        self._events.append(ServerChanged(old, self._active, reason))
        if self._problem is Problem.NONE:
            self._registrations.server_changed(now)

    def _resume(self, was: Problem, now: float) -> None:
        """There are servers, for the first time or again."""
        assert self._pool is not None
        if was is Problem.NOT_ASKED:
            self._active = str(self._pool.active)
            self._registrations.server_changed(now)
        else:
            self._change("located", now)

    def _lose(self, problem: Problem) -> None:
        """There are no servers, by the word of the DNS."""
        if problem is self._problem:
            return
        self._problem = problem
        self._registrations.suspend()
        name = self._settings.srv_name or self._settings.domain
        self._events.append(ServersUnknown(name, problem.value))

    def _probe(self, sent: Sent, now: float) -> None:
        server = self._pool.server_of(sent) if self._pool else None
        if server is None:
            return
        hop = self._addresses.hop(server)
        # Without room for it the next probe, which is planned already, has to do.
        self._exchanges.start(self._requests.options(hop), hop, sent, None, now)

    def _follow_registration(self, output: RegistrationOutput, now: float) -> None:
        if isinstance(output, Register):
            self._register(output, now)
        elif isinstance(output, Registered):
            self._events.append(DnRegistered(output.dn))
        elif isinstance(output, Expired):
            self._events.append(DnUnregistered(output.dn, UNANSWERED.status))
        elif isinstance(output, Refused | Unregistered):
            self._accounts.forget(output.dn)
            status = output.status if isinstance(output, Refused) else 0
            self._events.append(DnUnregistered(output.dn, status))
        elif isinstance(output, Closed):
            self.is_closed = True
        else:
            # Nothing was lost by it, and it is tried again without anybody's doing.
            assert isinstance(output, Delayed)

    def _register(self, register: Register, now: float) -> None:
        placed = self.place(now)
        if placed is None:
            self._registrations.unanswered(register, now)
            return
        hop, sent = placed
        request = self._requests.register(register, hop)
        self._accounts.authorize(register.dn, request, hop)
        if not self._exchanges.start(request, hop, sent, register, now):
            self._registrations.answered(register, _NO_ROOM, now)
