"""A SIP Server or a phone over real sockets: a user agent with transports, and one RTP socket."""

from __future__ import annotations

import socket
from typing import TypeVar

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from b2bua.net.listening import SipListen
from b2bua.net.transport import EventLoop, Outgoing, SipTransports
from b2bua.sip.headers import NameAddr, parse_name_addr
from b2bua.sip.hop import Hop
from b2bua.sip.invite_client import InviteClientUsage
from b2bua.sip.invite_server import InviteServerUsage
from b2bua.sip.message import Message, Request, Response
from b2bua.sip.outputs import RequestReceived, ResponseReceived
from b2bua.sip.uri import SipUri, Uri, host_port, parse_uri
from b2bua.sip.usage_events import Invitation, Invited, OfferReceived, Profile, UsageEvent
from b2bua.sip.user_agent import AgentOutput
from suite.lab.agent import Network, RunningAgent, token

E = TypeVar("E")
LOOP = EventLoop(reactor, reactor, reactor)  # type: ignore[arg-type]


def clock() -> IReactorTime:
    """The reactor, as a clock."""
    return LOOP.clock


def free_port(host: str) -> int:
    """A port that is free for UDP and TCP."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as free:
        return int(free.getsockname()[1])


class RealPeer:
    """One peer at ``host``; everything that it is told is kept."""

    def __init__(self, name: str, host: str, *transports: str) -> None:
        self.name = name
        self.host = host
        self.events: list[UsageEvent] = []
        self.messages: list[tuple[Message, Hop]] = []
        self.answers: list[Response] = []
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.media = socket.socket(family, socket.SOCK_DGRAM)
        self.media.bind((host, 0))
        self.media.setblocking(False)
        port = free_port(host)
        listens = [SipListen(transport, host, port) for transport in transports]
        self.transports = SipTransports(listens, LOOP, self, outgoing=Outgoing(host=host))
        self.transports.start()
        self.port = port
        network = Network(
            send=self.transports.send,
            sent_by=self.transports.sent_by,
            contact=self.contact,
            route=self.route,
        )
        self.running = RunningAgent(network, LOOP.clock, self.told, Profile(session_expires=0))

    def stop(self) -> Deferred[list[object]]:
        """Close everything."""
        self.running.stop()
        self.media.close()
        for stream in self.transports.flows:
            stream.abort("stopped")
        return self.transports.stop()

    @property
    def media_port(self) -> int:
        """Where RTP is taken in."""
        return int(self.media.getsockname()[1])

    def sdp(self) -> bytes:
        """What this peer offers and answers: one medium of audio, and digits."""
        family = "IP6" if ":" in self.host else "IP4"
        return (
            f"v=0\r\no={self.name} 7 1 IN {family} {self.host}\r\ns=-\r\n"
            f"c=IN {family} {self.host}\r\nt=0 0\r\nm=audio {self.media_port} RTP/AVP 0\r\n"
        ).encode()

    def contact(self, hop: Hop) -> NameAddr:
        """Our Contact."""
        return parse_name_addr(f"<sip:{self.name}@{host_port(self.host, self.port)}>")

    def route(self, uri: Uri, hop: Hop) -> Hop:
        """Where the Contact of the other side says."""
        assert isinstance(uri, SipUri)
        return Hop(hop.transport, uri.host.strip("[]"), uri.port or 5060)

    # What a test does.

    def call(
        self, number: str, target: tuple[str, int], headers: tuple[tuple[str, str], ...] = ()
    ) -> InviteClientUsage:
        """Call a number at an address."""
        uri = parse_uri(f"sip:{number}@{host_port(*target)}")
        own = parse_name_addr(f"<sip:{self.name}@{host_port(self.host, None)}>")
        invitation = Invitation(uri, own, NameAddr("", uri), self.sdp(), headers)
        usage = self.running.agent.invite(invitation, Hop("UDP", *target), self.running.now)
        self.running.pump()
        return usage

    def register(self, target: tuple[str, int]) -> None:
        """Register with somebody; see ``answers``."""
        own = f"<sip:{self.name}@{host_port(*target)}>"
        request = Request(
            "REGISTER",
            f"sip:{host_port(*target)}",
            [
                ("Max-Forwards", "70"),
                ("From", f"{own};tag={token()}"),
                ("To", own),
                ("Call-ID", token()),
                ("CSeq", "1 REGISTER"),
                ("Contact", str(self.contact(Hop("UDP", *target)))),
                ("Expires", "600"),
            ],
        )
        self.running.agent.table.start(request, Hop("UDP", *target), self.running.now)
        self.running.pump()

    def answer(self) -> None:
        """Take the call that rings."""
        usage = self.last(Invited).usage
        assert isinstance(usage, InviteServerUsage)
        usage.answer(self.running.now, self.sdp())
        self.running.pump()

    def bye(self, usage: InviteClientUsage) -> None:
        """Hang up."""
        usage.bye(self.running.now)
        self.running.pump()

    def last(self, kind: type[E]) -> E:
        """The latest event of a kind."""
        return next(event for event in reversed(self.events) if isinstance(event, kind))

    def has(self, kind: type[UsageEvent]) -> bool:
        """Whether an event of a kind came."""
        return any(isinstance(event, kind) for event in self.events)

    def got(self, method: str) -> list[tuple[Request, Hop]]:
        """The requests of a method that came, and how."""
        return [
            (message, hop)
            for message, hop in self.messages
            if isinstance(message, Request) and message.method == method
        ]

    # What the transports and the agent tell.

    def received(self, message: Message, hop: Hop) -> None:
        """A message came."""
        self.messages.append((message, hop))
        self.running.receive(message, hop)

    def failed(self, hop: Hop, reason: str) -> None:
        """What went out has not arrived."""
        self.running.hop_failed(hop)

    def closed(self, hop: Hop) -> None:
        """A connection is gone; nothing here depends on one."""

    def told(self, output: AgentOutput, now: float) -> None:
        """Keep what happens; requests outside calls have 200."""
        if isinstance(output, OfferReceived):
            output.usage.accept(self.sdp(), now)
        if isinstance(output, UsageEvent):
            self.events.append(output)
        elif isinstance(output, RequestReceived):
            request = output.transaction.request
            contact = request.get("Contact")
            bound = [("Contact", f"{contact};expires=140")] if contact else []
            response = output.transaction.response(200, None, bound)
            self.running.agent.respond(output.transaction, response, now)
        elif isinstance(output, ResponseReceived):
            self.answers.append(output.response)
