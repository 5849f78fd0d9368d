"""Two user agents and the wire between them, for the tests of INVITE usages."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from b2bua.sip.headers import parse_name_addr
from b2bua.sip.hop import Hop
from b2bua.sip.invite_client import InviteClientUsage
from b2bua.sip.invite_server import InviteServerUsage
from b2bua.sip.message import Message, Request, Response
from b2bua.sip.outputs import Output, Send
from b2bua.sip.parser import parse_datagram
from b2bua.sip.transactions import TransactionTable
from b2bua.sip.uri import parse_uri
from b2bua.sip.usage_events import (
    Invitation,
    Invited,
    OfferReceived,
    OfferRequested,
    Profile,
    UsageEvent,
)
from b2bua.sip.user_agent import UserAgent
from tests.sip.exchanges import counted

E = TypeVar("E", bound=UsageEvent)
OFFER, ANSWER = b"v=0 offer", b"v=0 answer"


def label(message: Message) -> str:
    """A message in a word: its method, or its status and the method that it answers."""
    if isinstance(message, Request):
        return message.method
    assert isinstance(message, Response)
    return f"{message.status} {message.cseq.method}"


class Side:
    """One user agent; what it was told, and the usage that the latest events were of."""

    def __init__(self, name: str, profile: Profile | None, transport: str) -> None:
        self.name = name
        self.hop = Hop(transport, f"{name}.example.com", 5060)

        def sent_by(hop: Hop) -> str:
            return f"{name}.example.com:5060"

        token = counted(name)
        self.table = TransactionTable(sent_by, token)
        self.random = 0
        self.agent = UserAgent(
            self.table,
            sent_by=sent_by,
            token=token,
            contact=lambda hop: parse_name_addr(f"<sip:{name}@{name}.example.com>"),
            route=lambda uri, hop: hop,
            random_below=lambda bound: min(self.random, bound - 1),
            profile=profile,
        )
        self.events: list[UsageEvent] = []
        self.others: list[Output] = []

    def told(self) -> list[str]:
        """The events since the last look, in a word each."""
        events, self.events = self.events, []
        return [type(event).__name__ for event in events]

    def last(self, kind: type[E]) -> E:
        """The latest event of a kind."""
        return next(event for event in reversed(self.events) if isinstance(event, kind))

    @property
    def is_clean(self) -> bool:
        """Whether nothing is kept of any call."""
        agent = self.agent
        return not (
            len(agent)
            or len(self.table)
            or len(agent.dialogs)
            or len(agent._deadlines)
            or agent._usages
            or agent._owners
        )


class Wire:
    """
    A fake clock, two sides, and the messages between them as bytes.

    ``trace`` has each message that was sent, with the side's name; ``loses`` says which of them
    get lost.
    """

    def __init__(
        self,
        alice: Profile | None = None,
        bob: Profile | None = None,
        transport: str = "UDP",
    ) -> None:
        self.now = 0.0
        self.alice = Side("a", alice, transport)
        self.bob = Side("b", bob, transport)
        self.trace: list[str] = []
        self.messages: list[Message] = []
        self.flying: list[tuple[Side, bytes]] = []
        self.loses: Callable[[str], bool] = lambda text: False

    def collect(self, side: Side) -> None:
        """Put what a side sends on the wire."""
        for output in side.agent.take_outputs():
            if isinstance(output, UsageEvent):
                side.events.append(output)
            elif not isinstance(output, Send):
                side.others.append(output)
            else:
                text = f"{side.name} {label(output.message)}"
                self.trace.append(text)
                self.messages.append(output.message)
                if not self.loses(text):
                    self.flying.append((self.other(side), output.message.render()))

    def other(self, side: Side) -> Side:
        """The far side."""
        return self.bob if side is self.alice else self.alice

    def deliver(self, index: int = 0) -> None:
        """Let one message arrive."""
        self.collect(self.alice)
        self.collect(self.bob)
        side, data = self.flying.pop(index)
        side.agent.receive(parse_datagram(data), self.other(side).hop, self.now)

    def run(self) -> list[str]:
        """Let all messages arrive, in order; give what was sent since the last look."""
        self.collect(self.alice)
        self.collect(self.bob)
        while self.flying:
            self.deliver()
            self.collect(self.alice)
            self.collect(self.bob)
        return self.looked()

    def looked(self) -> list[str]:
        """What was sent since the last look."""
        self.collect(self.alice)
        self.collect(self.bob)
        trace, self.trace = self.trace, []
        return trace

    def wait(self, seconds: float, *, hold: bool = False) -> list[str]:
        """Let time pass; give what was sent in it. With ``hold`` nothing arrives meanwhile."""
        until = self.now + seconds
        while True:
            times = [side.agent.next_timeout() for side in (self.alice, self.bob)]
            due = [time for time in times if time is not None and time <= until]
            if not due:
                break
            self.now = max(self.now, min(due))
            for side in (self.alice, self.bob):
                side.agent.handle_timeout(self.now)
                self.collect(side)
            if not hold:
                while self.flying:
                    self.deliver()
                    self.collect(self.alice)
                    self.collect(self.bob)
        self.now = until
        return self.looked()

    # Calls.

    def invite(self, body: bytes = OFFER, *headers: tuple[str, str]) -> InviteClientUsage:
        """Alice calls Bob."""
        return self.alice.agent.invite(
            Invitation(
                parse_uri("sip:b@b.example.com"),
                parse_name_addr("Alice <sip:a@a.example.com>"),
                parse_name_addr("<sip:b@b.example.com>"),
                body,
                headers,
            ),
            self.bob.hop,
            self.now,
        )

    def invited(self) -> InviteServerUsage:
        """What Bob got of it."""
        self.run()
        usage = self.bob.last(Invited).usage
        assert isinstance(usage, InviteServerUsage)
        return usage

    def call(self, body: bytes = OFFER) -> tuple[InviteClientUsage, InviteServerUsage]:
        """A call that is established, with nothing left to look at."""
        alice = self.invite(body)
        bob = self.invited()
        bob.ring(180, self.now)
        bob.answer(self.now, ANSWER)
        self.run()
        if not body:
            alice.accept(ANSWER, self.now)
            self.run()
        self.alice.told(), self.bob.told()
        return alice, bob


def accept_all(wire: Wire) -> None:
    """Both sides accept what they are asked, until nothing is asked any more."""
    asked = True
    while asked:
        wire.run()
        asked = False
        for side in (wire.alice, wire.bob):
            events, side.events = side.events, []
            for event in events:
                if isinstance(event, OfferReceived | OfferRequested):
                    event.usage.accept(ANSWER, wire.now, event.dialog)
                    asked = True
