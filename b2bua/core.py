"""
The back-to-back user agent as a whole, without sockets: messages and moments in, messages out.

::

    message ─▶ gate ─▶ user agent ─┬─ events of INVITE usages ─▶ calls ─▶ commands to usages
       (strangers' end there)      ├─ other requests ─▶ registrar, or answered here
                                   └─ outcomes of REGISTER, OPTIONS ─▶ servers

One change goes in, then all outputs are taken, in the order in which they came up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address

from b2bua.call_events import (
    DnRegistered,
    DnUnregistered,
    Event,
    MessagePassed,
    ServerChanged,
    ServersDown,
    Subscriber,
)
from b2bua.calls import Calls
from b2bua.faults import STATUS, contained
from b2bua.gate import Answer, Gate, Pass
from b2bua.media_plane import MediaPlane, StreamCounters
from b2bua.parties import PhoneContact
from b2bua.registrar import Registrar, RegistrarOutput, SignIn
from b2bua.server_requests import retry_after
from b2bua.servers import Servers
from b2bua.settings import B2buaSettings
from b2bua.sip.client_transaction import ClientTransaction
from b2bua.sip.digest import DigestClient
from b2bua.sip.headers import NameAddr
from b2bua.sip.hop import BROWSER, Hop
from b2bua.sip.message import Message, Request, Response
from b2bua.sip.outputs import (
    Ignored,
    Overloaded,
    RequestReceived,
    ResponseReceived,
    Send,
    Terminated,
    TimedOut,
    TransportFailed,
    Unanswered,
)
from b2bua.sip.server_transaction import ServerTransaction
from b2bua.sip.timers import Timers, earliest
from b2bua.sip.transactions import TransactionTable
from b2bua.sip.uri import SipUri, Uri
from b2bua.sip.usage_events import SDP, Profile, UsageEvent
from b2bua.sip.user_agent import AgentOutput, UserAgent
from b2bua.source_budget import source_of
from b2bua.srv import Problem, Target
from b2bua.upstreams import Reason, Sent
from b2bua.upstreams import State as PoolState

TALK_HOLD = ("talk", "hold")
TRANSPORTS = frozenset({"UDP", "TCP", "TLS"})
"""What we can reach somebody over by ourselves; any other in a URI is as good as none."""
_UNWANTED = frozenset({0, 401, 403, 404, 407})
"""By these a DN has signed out (0), or is none, or not by that password; others say nothing."""


@dataclass(frozen=True, slots=True)
class Vouched:
    """Whoever is at this hop has proved who it is: its connection may stay."""

    hop: Hop


Output = Send | Vouched


@dataclass(frozen=True, slots=True)
class Randomness:
    """Where numbers come from that nobody may guess."""

    token: Callable[[], str]
    """For tags, branches, Call-IDs."""
    below: Callable[[int], int]
    fraction: Callable[[], float]
    octets: Callable[[int], bytes]


class B2bua:
    """
    Everything between transports and media plane.

    ``sent_by`` is what a Via shows toward a hop, ``own_names`` all that it may ever show. ``wake``
    is called, from outside any method, when ``next_timeout`` is another without any of them.
    ``has_left`` tells whether the page at a hop has gone without a word.
    """

    def __init__(
        self,
        settings: B2buaSettings,
        plane: MediaPlane,
        random: Randomness,
        *,
        sent_by: Callable[[Hop], str],
        own_names: Callable[[], frozenset[str]],
        emit: Subscriber,
        now: float,
        wake: Callable[[], None] = lambda: None,
        has_left: Callable[[Hop, float], bool] = lambda hop, now: False,
    ) -> None:
        self.settings = settings
        self.emit = emit
        self._has_switched = False
        self.ignored: Counter[str] = Counter()
        """Messages that led to nothing, by reason."""
        self.traces = False
        """Whether each message is told as an event."""
        self._sent_by = sent_by
        self._lent: dict[str, str] = {}
        """Passwords of DNs at the SIP Server, as their pages have given them."""
        self._taken: dict[str, str] = {}
        """Those that a SIP Server has taken, whoever gave them."""
        self._outputs: list[Output] = []
        self.agent = self._user_agent(random)
        self.servers = Servers(
            settings.servers,
            self.agent,
            random=random.fraction,
            token=random.token,
            contact=self._contact,
            passwords=self._password_of,
            emit=self._tell_of_servers,
            now=now,
        )
        self.registrar = Registrar(settings.phones, settings.registered.matches, emit)
        self._proved: str | None = None
        """Who has proved to send the request that is being taken."""
        self.gate = Gate(
            settings.phones,
            random.octets(32),
            random.octets,
            is_server=self.servers.is_server,
            knows=self._knows,
            dns_of=self.registrar.dns_of,
            emit=emit,
        )
        self.calls = Calls(
            settings,
            self.agent,
            _Around(self, own_names),
            plane,
            session_id=lambda: 1 + random.below(2**62),
            call_id=lambda: random.token()[:16],
            random=random.octets,
            emit=emit,
            wake=wake,
            has_left=has_left,
        )

    def _user_agent(self, random: Randomness) -> UserAgent:
        settings = self.settings
        timers = Timers(failover=settings.servers.times.failover)
        limit = settings.limits.transactions
        sharer = self._sharer_of
        return UserAgent(
            TransactionTable(self._sent_by, random.token, timers, limit=limit, sharer=sharer),
            sent_by=self._sent_by,
            token=random.token,
            contact=self._contact,
            route=self._route,
            random_below=random.below,
            profile=Profile(allow_events=TALK_HOLD if settings.talk_hold else ()),
            timers=timers,
            watcher=_Books(self),
            contains_faults=True,
        )

    # What the shell tells.

    def receive(self, message: Message, hop: Hop, now: float) -> None:
        """Take one message that arrived over this hop."""
        if self.traces:
            self._trace(message, hop, False, now)
        if isinstance(message, Request):
            verdict = self.gate.judge(message, hop, now)
            if isinstance(verdict, Pass):
                self._proved = verdict.user
                if verdict.user is not None or verdict.is_server:
                    self._outputs.append(Vouched(hop))
            else:
                if isinstance(verdict, Answer):
                    self._send(Send(verdict.response, hop), now)
                else:
                    self.ignored[verdict.reason] += 1
                return
        self.agent.receive(message, hop, now)
        self._pump(now)

    def hop_failed(self, hop: Hop, now: float) -> None:
        """Note that requests over a hop have not arrived."""
        self.agent.hop_failed(hop, now)
        self._pump(now)

    def flow_closed(self, hop: Hop, now: float) -> None:
        """Note that a connection is gone, and with it the phones behind it."""
        self.registrar.flow_lost(hop, now)
        self._pump(now)

    def located(self, targets: Sequence[Target], problem: Problem, now: float) -> None:
        """Take what the DNS says of the SIP Servers."""
        self.servers.located(targets, problem, now)
        self._pump(now)

    def sign_in(self, numbers: Iterable[str], now: float) -> None:
        """Register DNs of our own."""
        for number in numbers:
            self.servers.sign_in(number, now)
        self._pump(now)

    def lend(self, dn: str, password: str | None, now: float) -> None:
        """
        Answer the SIP Servers' challenges for a DN with this, unless it has one here.

        Where it was refused for want of one, and somebody is signed in still, it is tried again.
        """
        if password is None:
            if self._lent.pop(dn, None) is not None:
                self._taken.pop(dn, None)
        elif dn in self._lent or not self._stands(dn):
            # What a stranger says must not end a registration that stands by a password of ours.
            self._lent[dn] = password
            if self.registrar.bindings(dn, now) and not self.servers.knows(dn):
                self.sign_in([dn], now)

    def is_registering(self, dn: str) -> bool:
        """Whether the SIP Server is asked to register a DN, and has not said yet."""
        servers = self.servers
        return servers.state is PoolState.ACTIVE and not servers.is_registered(dn)

    def proved(self, dn: str) -> str | None:
        """Give the password that was lent for a DN, once the SIP Server has taken it."""
        if dn not in self._lent:
            return None
        return self._taken.get(dn) or self.servers.proved_password(dn)

    def _stands(self, dn: str) -> bool:
        """
        Whether the SIP Server has taken the password of a DN, and has not refused it since.

        While no server answers it lapses there, and is the DN's password all the same.
        """
        return dn in self._taken or self.servers.has_proved(dn)

    def _note_password(self, event: DnRegistered | DnUnregistered) -> None:
        if isinstance(event, DnUnregistered):
            if event.status in _UNWANTED:
                self._taken.pop(event.dn, None)
            return
        taken = self.servers.proved_password(event.dn)
        if taken is not None:
            self._taken[event.dn] = taken

    def _password_of(self, dn: str) -> str | None:
        own = self.settings.phones.users.get(dn)
        return self._lent.get(dn) if own is None else own

    def shut_down(self, now: float, limit: float) -> None:
        """End every call, and unregister within ``limit`` seconds; see ``is_closed``."""
        self.calls.hang_up_all(now)
        self.servers.shut_down(now, limit)
        self._pump(now)

    @property
    def is_closed(self) -> bool:
        """Whether a shut-down has done what it could."""
        return self.servers.is_closed and self.agent.is_idle

    def media_counters(self, hop: Hop, call_id: str) -> Mapping[str, StreamCounters]:
        """What the leg of a dialog has moved so far, by kind of medium; empty if there is none."""
        leg = self.calls.at(hop, call_id)
        return {} if leg is None else leg.media.counters()

    # Time.

    def next_timeout(self) -> float | None:
        """When to call ``handle_timeout``, if ever."""
        return earliest(
            self.agent.next_timeout(),
            self.servers.next_timeout(),
            self.registrar.next_timeout(),
            self.calls.next_timeout(),
        )

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        with contained(self.emit):
            self.agent.handle_timeout(now)
        self._pump(now)
        for part in (self.servers, self.registrar, self.calls):
            with contained(self.emit):
                part.handle_timeout(now)
        self._pump(now)

    def take_outputs(self) -> list[Output]:
        """Give what is to be sent, in order, once."""
        outputs, self._outputs = self._outputs, []
        return outputs

    # The pump.

    def _pump(self, now: float) -> None:
        while True:
            taken = self.agent.take_outputs()
            for output in taken:
                with contained(self.emit):
                    self._take(output, now)
            signs = self.registrar.take_outputs()
            for sign in signs:
                with contained(self.emit):
                    self._sign(sign, now)
            if self._has_switched:
                self._has_switched = False
                self.agent.way_changed(now)
                self.calls.server_changed(now)
            elif not taken and not signs:
                return

    def _sign(self, sign: RegistrarOutput, now: float) -> None:
        if isinstance(sign, SignIn):
            self.servers.sign_in(sign.dn, now)
        else:
            self.servers.sign_out(sign.dn, now)

    def _tell_of_servers(self, event: Event) -> None:
        if isinstance(event, ServerChanged | ServersDown):
            self._has_switched = True
        elif isinstance(event, DnRegistered | DnUnregistered):
            self._note_password(event)
        self.emit(event)

    def _take(self, output: AgentOutput, now: float) -> None:
        if isinstance(output, Send):
            self._send(output, now)
        elif isinstance(output, UsageEvent):
            self.calls.take(output, now)
        elif isinstance(output, RequestReceived):
            self._take_request(output.transaction, now)
        elif isinstance(
            output, ResponseReceived | Unanswered | TimedOut | TransportFailed | Terminated
        ):
            self.servers.take(output, now)
        elif isinstance(output, Overloaded):
            self._send_overload(output, now)
        elif isinstance(output, Ignored):
            self.ignored[output.reason] += 1
        else:
            self.ignored["stray"] += 1

    def _send(self, output: Send, now: float) -> None:
        self._outputs.append(output)
        if self.traces:
            self._trace(output.message, output.hop, True, now)

    def _send_overload(self, output: Overloaded, now: float) -> None:
        self.ignored["overload"] += 1
        if self.servers.is_server(output.hop.host):
            # It shall go to another gateway. To strangers a flood is answered with silence.
            self._send(Send(output.response, output.hop), now)

    def _trace(self, message: Message, hop: Hop, is_ours: bool, now: float) -> None:
        if isinstance(message, Request | Response):
            self.emit(MessagePassed(message, hop, is_ours, "", now))

    # Requests outside any call.

    def _take_request(self, transaction: ServerTransaction, now: float) -> None:
        request = transaction.request
        status: int = STATUS
        headers: Sequence[tuple[str, str]] = ()
        with contained(self.emit):
            status, headers = self._answer(request, transaction.hop, now)
        self.agent.respond(transaction, transaction.response(status, None, headers), now)

    def _answer(
        self, request: Request, hop: Hop, now: float
    ) -> tuple[int, Sequence[tuple[str, str]]]:
        profile = self.agent.profile
        if request.method == "REGISTER":
            status, headers = self.registrar.register(request, hop, now, self._proved)
            if status == 200:
                self._outputs.append(Vouched(hop))
            return status, headers
        if request.method == "OPTIONS":
            return 200, [("Accept", SDP), *profile.headers(self._contact(hop), "200")]
        if request.method in ("SUBSCRIBE", "PUBLISH"):
            listed = ", ".join(profile.allow_events)
            return 489, [("Allow-Events", listed)] if listed else []
        if request.method == "REFER":
            return 603, ()
        if request.method in ("BYE", "INFO", "NOTIFY", "PRACK", "UPDATE"):
            return 481, ()
        known = request.method in ("MESSAGE", "CANCEL", "ACK", "INVITE")
        return 405 if known else 501, [("Allow", ", ".join(profile.allow))]

    # Where things go.

    def _contact(self, hop: Hop) -> NameAddr:
        return _contact(self._sent_by(hop), hop.transport)

    def _route(self, uri: Uri, hop: Hop) -> Hop:
        """Where a request inside a dialog goes; ``hop`` is where its peer's latest came from."""
        if not isinstance(uri, SipUri):
            return hop
        if self._is_server(hop):
            transport = uri.transport if uri.transport in TRANSPORTS else hop.transport
            mapped = self.servers.next_hop(uri.host, uri.port, transport)
            if mapped is not None:
                return mapped
            if not hop.is_reliable and _is_reachable(uri.host, hop.host):
                return Hop(transport, uri.host, uri.port or 5060)
        return hop

    def _sharer_of(self, hop: Hop) -> str:
        """Who shares the room for transactions: everybody but the servers, whose calls are it."""
        return "" if self._is_server(hop) else source_of(hop.host)

    def _is_server(self, hop: Hop) -> bool:
        """Whether this is one of the SIP Servers. A page may be on the same machine."""
        return hop.transport != BROWSER and self.servers.is_server(hop.host)

    def _knows(self, request: Request, hop: Hop) -> bool:
        """Whether a request belongs to something that is there."""
        if self.agent.table.knows(request, hop):
            return True
        return bool(request.to.tag) and self.agent.dialogs.knows(request)


class _Around:
    """The rest of the B2BUA, as calls see it."""

    def __init__(self, core: B2bua, own_names: Callable[[], frozenset[str]]) -> None:
        self._core = core
        self.sent_by = own_names

    def place(self, now: float) -> Hop | None:
        found = self._core.servers.place(now)
        return None if found is None else found[0]

    def is_server(self, host: str) -> bool:
        return self._core.servers.is_server(host)

    def credentials(self, number: str) -> DigestClient | None:
        return self._core.servers.credentials(number)

    def contacts(self, number: str, now: float) -> list[PhoneContact]:
        return [
            PhoneContact(binding.uri, binding.hop, binding.path)
            for binding in self._core.registrar.bindings(number, now)
            if isinstance(binding.uri, SipUri)
        ]


class _Books:
    """How requests inside calls fare at the SIP Servers: the pool of servers is told."""

    def __init__(self, core: B2bua) -> None:
        self._core = core
        self._sent: dict[ClientTransaction, Sent] = {}

    def started(self, transaction: ClientTransaction, now: float) -> None:
        sent = self._core.servers.sent_to(transaction.hop, now)
        if sent is not None:
            self._sent[transaction] = sent

    def heard(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        sent = self._sent.get(transaction)
        if sent is None:
            return
        if response.status == 503:
            wait = retry_after(response)
            self._core.servers.failed(sent, Reason.UNAVAILABLE, now, wait)
        else:
            self._core.servers.answered(sent, now)

    def unheard(self, transaction: ClientTransaction, now: float) -> None:
        self._fail(transaction, Reason.UNANSWERED, now)

    def failed(self, transaction: ClientTransaction, now: float) -> None:
        self._fail(transaction, Reason.TRANSPORT, now)

    def _fail(self, transaction: ClientTransaction, reason: Reason, now: float) -> None:
        sent = self._sent.get(transaction)
        if sent is not None:
            self._core.servers.failed(sent, reason, now)

    def ended(self, transaction: ClientTransaction) -> None:
        self._sent.pop(transaction, None)


def _is_reachable(host: str, neighbour: str) -> bool:
    """
    Whether a host that a peer names is an address where somebody like ``neighbour`` may be.

    Nobody on another machine has a reason to send us to our own loopback interface.
    """
    try:
        address = ip_address(host)
    except ValueError:
        return False
    if address.is_loopback:
        return ip_address(neighbour).is_loopback
    return not (address.is_unspecified or address.is_multicast or address.is_reserved)


@lru_cache(64)
def _contact(sent_by: str, transport: str) -> NameAddr:
    """The Contact at an address of ours; there are a few of them."""
    host, _, port = sent_by.rpartition(":")
    uri = SipUri("sip", "", None, host.strip("[]"), int(port))
    if transport != "UDP":
        uri = uri.with_parameter("transport", transport.lower())
    return NameAddr("", uri)
