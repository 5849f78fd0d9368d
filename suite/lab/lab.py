"""
The lab as a whole: what it consists of, how it is started, seen and commanded.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorUDP

from b2bua.net.transport import EventLoop, NotBound
from b2bua.sip.headers import NameAddr
from b2bua.sip.hop import Hop
from b2bua.sip.message import Message, Response
from b2bua.sip.uri import SipUri, Uri
from b2bua.sip.user_agent import AgentOutput
from suite.lab.agent import Network, RunningAgent
from suite.lab.calls import CallBook, SeenCall
from suite.lab.commands import Commands
from suite.lab.control import PROFILE, Controller
from suite.lab.errors import LabError
from suite.lab.name_server import NameServer
from suite.lab.observer import Observer
from suite.lab.phone import Phone
from suite.lab.registry import Registry
from suite.lab.server import LabServer
from suite.lab.settings import LabSettings
from suite.lab.site import Site, hop_to
from suite.lab.status import (
    CallStatus,
    DnsStatus,
    LabStatus,
    PhoneStatus,
    RegistrationStatus,
    ServerStatus,
)
from suite.lab.third_party import ThirdPartyCall
from suite.lab.trace import Trace

_INDEX_BITS = 4
_LIFE_BITS = 16


class Lab:
    """
    Two SIP Servers, a name server and two phones. Raises LabError for what it cannot do.

    ``loop`` is the reactor, ``udp`` too. ``trace`` has the ladders of the last calls. A lab that
    was stopped, or could not start, is not started again: make another one.
    """

    def __init__(self, settings: LabSettings, loop: EventLoop, udp: IReactorUDP) -> None:
        self.settings = settings
        self.trace = Trace()
        self._loop = loop
        self._udp = udp
        self._clock = loop.clock
        registry = Registry(
            settings.realm,
            settings.password,
            settings.expires,
            secrets.token_bytes(32),
            secrets.token_bytes,
        )
        self.site = Site(settings.domain, registry)
        self.book = CallBook()
        self._observer = Observer(self.trace, self.book, self._clock.seconds, self._is_deaf)
        self.servers = [
            LabServer(name, address, settings, self.site, loop, _ServerSide(self))
            for name, address in (("A", settings.server_a), ("B", settings.server_b))
        ]
        self.phones = [
            Phone(name, dn, address, settings.domain, loop, udp, _PhoneSide(self), echoes=echoes)
            for name, dn, address, echoes in (
                ("echo", settings.echo_dn, settings.echo, True),
                ("music", settings.music_dn, settings.music, False),
            )
        ]
        self._names: NameServer | None = None
        self._running = RunningAgent(self._network(), self._clock, self._told, PROFILE)
        self.controller = Controller(
            self._running.agent, self.site, self.book, self._serving_name, self._begun
        )
        self._commands = Commands(self, self._clock)

    # Life.

    def start(self) -> None:
        """Bind everything. Raises LabError, with nothing left bound."""
        try:
            for server in self.servers:
                server.start()
            for phone in self.phones:
                phone.start()
            self._names = self._name_server()
            self._names.start(self._udp, self._loop.tcp)
        except (NotBound, CannotListenError) as error:
            self.stop()
            raise LabError(f"the lab cannot have its addresses: {_fault(error)}") from error
        for server in self.servers:
            for port in server.ports.values():
                self._observer.name(server.address[0], port, server.name)
        for phone in self.phones:
            self.site.phones[phone.dn] = phone.place
            for host, port in phone.bound.values():
                self._observer.name(host, port, phone.name)

    def stop(self) -> Deferred[None]:
        """Close everything, without a word to anybody; fires when the ports are free."""
        self._running.stop()
        self._commands.stop()
        stopping = [server.stop().addCallback(_nothing) for server in self.servers]
        stopping += [phone.stop().addCallback(_nothing) for phone in self.phones]
        if self._names is not None:
            stopping.append(self._names.stop())
        return gatherResults(stopping).addCallback(_nothing)

    def _name_server(self) -> NameServer:
        settings = self.settings
        known = [(s.name, s.address[0], s.ports) for s in self.servers]
        return NameServer(settings.name_server, settings.domain, known, settings.ttl)

    @property
    def names(self) -> NameServer:
        """The name server, once the lab has been started."""
        if self._names is None:
            raise LabError("the lab has not been started")
        return self._names

    # What people see and do.

    def status(self) -> LabStatus:
        """Everything at this moment."""
        now = self._clock.seconds()
        bindings = self.site.registry.bindings(now)
        active = self._observer.active
        return LabStatus(
            servers=tuple(
                ServerStatus(
                    name=server.name,
                    address=_text(server.address),
                    state=server.state,
                    registered=sum(binding.server == server.name for binding in bindings),
                    transactions=server.taken,
                    active=server.name == active,
                )
                for server in self.servers
            ),
            dns=DnsStatus(
                self.settings.domain,
                _text(self.names.address),
                self.names.is_on,
                self.names.queries,
            ),
            registrations=tuple(
                RegistrationStatus(b.dn, b.said, b.server, round(b.expires_at - now))
                for b in bindings
            ),
            calls=tuple(_call_status(call, now) for call in self.book.all()),
            phones=tuple(
                PhoneStatus(phone.name, phone.dn, _text(phone.bound["UDP"]), phone.state)
                for phone in self.phones
            ),
        )

    def command(self, words: Sequence[str]) -> Deferred[str]:
        """
        Do what a person asks for; fires with a sentence, or fails with LabError.

        A command that needs SIP's answers waits for them, never longer than the settings say.
        """
        return self._commands.do(words)

    def pump(self) -> None:
        """Send what the third-party control has to say."""
        self._running.pump()

    # The server that is in use.

    def serving(self) -> LabServer | None:
        """The server that speaks for the pair: the active one, or else the first that can."""
        active = self._observer.active
        ranked = sorted(
            (server for server in self.servers if server.is_running),
            key=lambda server: (not server.answers, server.name != active),
        )
        return ranked[0] if ranked else None

    def _serving_name(self) -> str:
        server = self.serving()
        if server is None:
            raise LabError("no server is running: revive A or B first")
        return server.name

    def server_hop(self, transport: str) -> Hop | None:
        """Where the server in use is."""
        server = self.serving()
        if server is None:
            return None
        kind = transport if transport in server.ports else "UDP"
        return Hop(kind, server.address[0], server.ports[kind])

    def _is_deaf(self, label: str) -> bool:
        return any(server.name == label and not server.is_running for server in self.servers)

    # The third-party control, whose messages take any server.

    def _network(self) -> Network:
        return Network(
            send=self._send, sent_by=self._sent_by, contact=self._contact, route=self._route
        )

    def to_controller(self, server: LabServer, message: Message, hop: Hop) -> None:
        """Give the controller a message; its hop tells which server it came to."""
        self._running.receive(message, _coded(hop, self.servers.index(server), server.life))

    def controller_failed(self, server: LabServer, hop: Hop) -> None:
        """Tell the controller that something did not arrive."""
        self._running.hop_failed(Hop(hop.transport, hop.host, hop.port))

    def _send(self, message: Message, hop: Hop) -> None:
        """Send by the server that the hop names while it lives, or else by the one in use."""
        flow, life, index = _decoded(hop.flow)
        server = self.servers[index] if 0 <= index < len(self.servers) else None
        if server is None or not server.is_running:
            server, flow = self.serving(), 0
        elif server.life & ((1 << _LIFE_BITS) - 1) != life:
            flow = 0
        if server is not None:
            server.send(message, Hop(hop.transport, hop.host, hop.port, flow))

    def _sent_by(self, hop: Hop) -> str:
        server = self.serving() or self.servers[0]
        return server.sent_by(hop)

    def _contact(self, hop: Hop) -> NameAddr:
        uri = SipUri("sip", "lab", None, self.settings.domain)
        return NameAddr("", uri.with_parameter("transport", "tcp") if hop.is_reliable else uri)

    def _route(self, uri: Uri, hop: Hop) -> Hop:
        return hop_to(uri, hop.transport) or Hop(hop.transport, hop.host, hop.port)

    def _told(self, output: AgentOutput, now: float) -> None:
        self.controller.told(output, now)

    def _begun(self, call: ThirdPartyCall, call_id: str) -> None:
        self._observer.begin(call.seen, call_id)

    @property
    def observer(self) -> Observer:
        """Who takes note of the messages."""
        return self._observer


class _ServerSide:
    """What a server sees of the lab."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def taken(self, server: LabServer, message: Message, hop: Hop) -> None:
        """A message came."""
        self._lab.observer.taken(server.name, message, hop, is_server=True)

    def sent(self, server: LabServer, message: Message, hop: Hop) -> None:
        """A message is about to leave."""
        self._lab.observer.sent(server.name, message, hop, is_server=True)

    def is_controllers(self, message: Message) -> bool:
        """Whether a message is for the third-party control: its own calls, and nothing else."""
        if isinstance(message, Response) and len(message.vias) > 1:
            return False
        return self._lab.controller.owns(message.call_id)

    def to_controller(self, server: LabServer, message: Message, hop: Hop) -> None:
        """Give it one."""
        self._lab.to_controller(server, message, hop)

    def failed(self, server: LabServer, hop: Hop) -> None:
        """What went to this hop has not arrived."""
        self._lab.controller_failed(server, hop)


class _PhoneSide:
    """What a phone sees of the lab."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def taken(self, phone: Phone, message: Message, hop: Hop) -> None:
        """A message came."""
        self._lab.observer.taken(phone.name, message, hop, is_server=False)

    def sent(self, phone: Phone, message: Message, hop: Hop) -> None:
        """A message is about to leave."""
        self._lab.observer.sent(phone.name, message, hop, is_server=False)

    def server_hop(self, transport: str) -> Hop | None:
        """Where the server is that is in use."""
        return self._lab.server_hop(transport)


def _coded(hop: Hop, index: int, life: int) -> Hop:
    """A hop whose flow tells the server and its life too."""
    life &= (1 << _LIFE_BITS) - 1
    flow = ((hop.flow << _LIFE_BITS) | life) << _INDEX_BITS | index + 1
    return Hop(hop.transport, hop.host, hop.port, flow)


def _decoded(flow: int) -> tuple[int, int, int]:
    """Flow, life and server; the server is -1 where any will do."""
    index = (flow & ((1 << _INDEX_BITS) - 1)) - 1
    rest = flow >> _INDEX_BITS
    return rest >> _LIFE_BITS, rest & ((1 << _LIFE_BITS) - 1), index


def _fault(error: NotBound | CannotListenError) -> str:
    """Which address it is, and what is wrong with it."""
    if isinstance(error, CannotListenError):
        return f"{error.interface} port {error.port}: {error.socketError}"
    fault = error.fault
    cause = fault.socketError if isinstance(fault, CannotListenError) else fault
    return f"{error}: {cause}"


def _nothing(result: object) -> None:
    """What the parts' ends have in common."""


def _text(address: tuple[str, int]) -> str:
    return f"{address[0]}:{address[1]}"


def _call_status(call: SeenCall, now: float) -> CallStatus:
    return CallStatus(
        id=call.id,
        caller=call.caller,
        callee=call.callee,
        state=call.state,
        since=round(now - call.since, 1),
        server=call.server,
        third_party=call.is_third_party,
    )
