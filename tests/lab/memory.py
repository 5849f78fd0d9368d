"""The third-party control with its parties in memory, and a clock of the test's own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.task import Clock

from b2bua.sip.headers import NameAddr, parse_name_addr
from b2bua.sip.hop import Hop
from b2bua.sip.invite_server import InviteServerUsage
from b2bua.sip.invite_usage import InviteUsage
from b2bua.sip.message import Message, Request
from b2bua.sip.parser import parse_datagram
from b2bua.sip.uri import SipUri, Uri, parse_uri
from b2bua.sip.usage_events import (
    InDialogRequest,
    Invited,
    OfferReceived,
    OfferRequested,
    Profile,
    UsageEvent,
)
from b2bua.sip.user_agent import AgentOutput
from suite.lab.agent import Network, RunningAgent
from suite.lab.calls import CallBook
from suite.lab.control import PROFILE, Controller
from suite.lab.registry import Registry, user_of
from suite.lab.site import Site
from suite.lab.third_party import Pending
from tests.sip.usages import label

SERVER = Hop("UDP", "127.0.0.11", 5060)


def sdp(number: int, version: int = 1, direction: str = "sendrecv") -> bytes:
    """What a party says; ``number`` tells whose it is."""
    lines = [
        "v=0",
        f"o=- {number} {version} IN IP4 127.0.0.1",
        "s=-",
        "c=IN IP4 127.0.0.1",
        "t=0 0",
        f"m=audio {number} RTP/AVP 0",
        f"a={direction}",
    ]
    return "\r\n".join([*lines, ""]).encode()


class Party:
    """One end: it does what ``obeys`` and the test say."""

    def __init__(self, net: Net, dn: str) -> None:
        self.net = net
        self.dn = dn
        self.number = int(dn)
        self.version = 1
        self.hop = Hop("UDP", "127.0.0.1", self.number)
        self.rings_only = False
        self.accepts = True
        self.defers = False
        """Whether it leaves offers to the test."""
        self.usage: InviteUsage | None = None
        self.events: list[UsageEvent] = []
        self.got: list[Request] = []
        self.heard: list[bytes] = []
        """The descriptions that came, in their order."""
        network = Network(
            send=lambda message, hop: net.carry(self.hop, hop, message),
            sent_by=lambda hop: f"127.0.0.1:{self.number}",
            contact=lambda hop: parse_name_addr(f"<sip:{dn}@127.0.0.1:{self.number}>"),
            route=lambda uri, hop: SERVER,
        )
        profile = Profile(allow_events=("talk", "hold"))
        self.running = RunningAgent(network, net.clock, self.told, profile)

    def told(self, output: AgentOutput, now: float) -> None:
        """Do what is asked."""
        if not isinstance(output, UsageEvent):
            return
        self.events.append(output)
        usage = output.usage
        if isinstance(output, Invited):
            self.usage = usage
            assert isinstance(usage, InviteServerUsage)
            usage.ring(180, now)
            if not self.rings_only:
                self.answer()
        elif isinstance(output, OfferReceived | OfferRequested) and not self.defers:
            if self.accepts:
                usage.accept(sdp(self.number, self.version), now)
            else:
                usage.refuse(488, now)
        elif isinstance(output, InDialogRequest):
            usage.respond(output.transaction, 200, now)

    def do(self, verb: Callable[[InviteUsage, float], None]) -> None:
        """Do something with the call."""
        assert self.usage is not None
        verb(self.usage, self.running.now)
        self.running.pump()

    def answer(self) -> None:
        """Take the call."""
        assert isinstance(self.usage, InviteServerUsage)
        self.usage.answer(self.running.now, sdp(self.number, self.version))
        self.running.pump()

    def offer(self, direction: str) -> None:
        """Send a re-INVITE."""
        self.version += 1
        body = sdp(self.number, self.version, direction)
        self.do(lambda usage, now: usage.modify(lambda: body, now))

    def names(self) -> list[str]:
        """What it was told, in a word each."""
        return [type(event).__name__ for event in self.events]


class Net:
    """The controller and its parties; messages arrive when ``run`` lets them."""

    def __init__(self, *dns: str) -> None:
        self.clock = Clock()
        self.flying: deque[tuple[Hop, Hop, bytes]] = deque()
        self.trace: list[str] = []
        self.site = Site("siplab.test", Registry("lab", "x", 140, b"k", lambda size: b"r" * size))
        self.book = CallBook()
        self.parties = {dn: Party(self, dn) for dn in dns}
        for dn, party in self.parties.items():
            self.site.phones[dn] = (parse_uri(f"sip:{dn}@127.0.0.1:{dn}"), party.hop)
        network = Network(
            send=lambda message, hop: self.carry(SERVER, hop, message),
            sent_by=lambda hop: "127.0.0.11:5060",
            contact=lambda hop: NameAddr("", SipUri("sip", "lab", None, "siplab.test")),
            route=self.route,
        )
        self.running = RunningAgent(
            network, self.clock, lambda output, now: self.control.told(output, now), PROFILE
        )
        self.control = Controller(
            self.running.agent, self.site, self.book, lambda: "A", lambda call, call_id: None
        )
        self.said: list[str] = []

    def route(self, uri: Uri, hop: Hop) -> Hop:
        """A party is where its Contact is."""
        return self.parties[user_of(uri)].hop

    def carry(self, source: Hop, target: Hop, message: Message) -> None:
        """Put a message on the wire."""
        ends = f"{source.port}>{target.port}"
        self.trace.append(f"{ends} {label(message)}")
        self.flying.append((source, target, message.render()))

    def run(self) -> list[str]:
        """Let everything arrive; gives what was sent since the last look."""
        self.running.pump()
        while self.flying:
            source, target, data = self.flying.popleft()
            self.deliver(source, target, data)
        trace, self.trace = self.trace, []
        return trace

    def deliver(self, source: Hop, target: Hop, data: bytes) -> None:
        """Let one message arrive."""
        message = parse_datagram(data)
        if target == SERVER:
            self.running.receive(message, source)
            return
        party = self.parties[str(target.port)]
        if isinstance(message, Request):
            party.got.append(message)
        if message.body:
            party.heard.append(message.body)
        party.running.receive(message, SERVER)

    def wait(self, seconds: float) -> None:
        """Let time pass, with what it brings."""
        for _ in range(int(seconds * 10)):
            self.clock.advance(0.1)
            self.run()

    @property
    def now(self) -> float:
        """The time."""
        return self.clock.seconds()

    def pending(self) -> Pending:
        """Somebody who waits; what is said to him stands in ``said``."""
        return Pending(self.said.append, lambda: None)

    @property
    def state(self) -> str:
        """Of the latest call."""
        return self.book.all()[-1].state
