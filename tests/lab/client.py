"""A B2BUA in small: a user agent over real UDP that registers with the lab and takes its calls."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from b2bua.net.listening import SipListen
from b2bua.net.transport import EventLoop, SipTransports
from b2bua.sip.digest import DigestClient, Login
from b2bua.sip.headers import NameAddr
from b2bua.sip.hop import Hop
from b2bua.sip.invite_client import InviteClientUsage
from b2bua.sip.invite_server import InviteServerUsage
from b2bua.sip.invite_usage import InviteUsage
from b2bua.sip.message import Message, Request, Response
from b2bua.sip.outputs import ResponseReceived
from b2bua.sip.uri import SipUri, Uri
from b2bua.sip.usage_events import (
    AnswerReceived,
    Ended,
    InDialogRequest,
    Invitation,
    Invited,
    OfferReceived,
    OfferRequested,
    Profile,
    Progress,
    UsageEvent,
)
from b2bua.sip.user_agent import AgentOutput
from suite.lab.agent import Network, RunningAgent, token
from suite.lab.phone_session import PhoneSession
from suite.lab.settings import Address

LOOP = EventLoop(reactor, reactor, reactor)  # type: ignore[arg-type]
PROFILE = Profile(allow_events=("talk", "hold"))


def until(condition: Callable[[], object], what: str, seconds: float = 5) -> Deferred[None]:
    """Fires when the condition holds."""

    async def wait() -> None:
        for _ in range(int(seconds / 0.01)):
            if condition():
                return
            await deferLater(reactor, 0.01)  # type: ignore[arg-type]
        raise AssertionError(f"not {what} after {seconds} s")

    return Deferred.fromCoroutine(wait())


class Client:
    """One DN. ``server`` is where the pair's name leads at the moment."""

    def __init__(
        self, dn: str, password: str, domain: str, server: Address, transport: str = "UDP"
    ) -> None:
        self.dn = dn
        self.domain = domain
        self.server = server
        self.transport = transport
        self.answers_at_once = True
        self.from_: list[tuple[str, int]] = []
        """Where each message came from."""
        self.messages: list[Message] = []
        self.events: list[str] = []
        self.failures: list[str] = []
        self.usage: InviteUsage | None = None
        self.session = PhoneSession("127.0.0.1", 30000, 7)
        self._login = DigestClient(lambda realm, hop: Login(dn, password), token)
        self._registrations: list[Response] = []
        self._sequence = 0
        self._call_id = token()
        listens = [SipListen("UDP", "127.0.0.1", 0), SipListen("TCP", "127.0.0.1", 0)]
        self.transports = SipTransports(listens, LOOP, self)
        self.transports.start()
        network = Network(
            send=lambda message, hop: self.transports.send(message, hop),
            sent_by=self.transports.sent_by,
            contact=self.contact,
            route=self.route,
        )
        self.running = RunningAgent(network, LOOP.clock, self.told, PROFILE)

    def stop(self) -> Deferred[list[object]]:
        """Close the socket."""
        self.running.stop()
        for stream in self.transports.flows:
            stream.abort("stopped")
        return self.transports.stop()

    def contact(self, hop: Hop) -> NameAddr:
        """Our Contact."""
        ports = {kind: port for kind, _, port in self.transports.bound()}
        uri = SipUri("sip", self.dn, None, "127.0.0.1", ports[self.transport])
        if self.transport == "TCP":
            uri = uri.with_parameter("transport", "tcp")
        return NameAddr("", uri)

    def route(self, uri: Uri, hop: Hop) -> Hop:
        """The pair's name leads to the server in use, an address to itself."""
        assert isinstance(uri, SipUri)
        if uri.host == self.domain:
            return self.hop
        return Hop(self.transport, uri.host, uri.port or 5060)

    @property
    def hop(self) -> Hop:
        """Where the server is."""
        return Hop(self.transport, *self.server)

    # What a test does.

    async def register(self, expires: int = 3600) -> Response:
        """Register, through the challenge; gives the last answer."""
        self._sequence += 1
        request = self._register_request(expires)
        self._login.authorize(request, self.hop)
        response = await self.ask(request)
        if response.status == 401:
            self._sequence += 1
            again = self._login.answer(request, response, self.hop, self._sequence)
            again.remove("Via")
            response = await self.ask(again)
        return response

    def _register_request(self, expires: int) -> Request:
        return Request(
            "REGISTER",
            f"sip:{self.domain}",
            [
                ("Max-Forwards", "70"),
                ("From", f"<sip:{self.dn}@{self.domain}>;tag={token()}"),
                ("To", f"<sip:{self.dn}@{self.domain}>"),
                ("Call-ID", self._call_id),
                ("CSeq", f"{self._sequence} REGISTER"),
                ("Contact", str(self.contact(self.hop))),
                ("Expires", str(expires)),
            ],
        )

    async def ask(self, request: Request, seconds: float = 5) -> Response:
        """Send a request outside dialogs and wait for its final answer."""
        before = len(self._registrations)
        agent = self.running.agent
        agent.table.start(request, self.hop, self.running.now)
        self.running.pump()
        await until(
            lambda: len(self._registrations) > before, f"{request.method} answered", seconds
        )
        return self._registrations[-1]

    def options(self) -> Request:
        """An OPTIONS for the server."""
        request = self._register_request(0)
        headers = [(n, v) for n, v in request.headers if n not in ("Contact", "Expires", "CSeq")]
        uri = f"sip:{self.domain}"
        return Request("OPTIONS", uri, [*headers, ("CSeq", "1 OPTIONS")])

    def call(self, dn: str) -> InviteClientUsage:
        """Call a number through the server."""
        us = SipUri("sip", self.dn, None, self.domain)
        them = SipUri("sip", dn, None, self.domain)
        invitation = Invitation(
            them,
            NameAddr("", us),
            NameAddr("", them),
            self.session.offer(),
            credentials=self._login,
        )
        usage = self.running.agent.invite(invitation, self.hop, self.running.now)
        self.usage = usage
        self.running.pump()
        return usage

    def do(self, verb: Callable[[InviteUsage, float], None]) -> None:
        """Do something with the call."""
        assert self.usage is not None
        verb(self.usage, self.running.now)
        self.running.pump()

    def hang_up(self) -> None:
        """End the call."""
        self.do(lambda usage, now: usage.bye(now))

    def answer(self) -> None:
        """Answer the call that rings."""
        usage = self.usage
        assert isinstance(usage, InviteServerUsage)
        body = usage.invite.request.body
        usage.answer(self.running.now, self.session.answer(body) if body else self.session.offer())
        self.running.pump()

    # What comes.

    def received(self, message: Message, hop: Hop) -> None:
        """Take a message."""
        self.from_.append((hop.host, hop.port))
        self.messages.append(message)
        self.running.receive(message, hop)

    def failed(self, hop: Hop, reason: str) -> None:
        """Something did not arrive."""
        self.failures.append(reason)
        self.running.hop_failed(hop)

    def closed(self, hop: Hop) -> None:
        """A connection is gone."""

    def told(self, output: AgentOutput, now: float) -> None:
        """Obey: answer, hold, retrieve."""
        if isinstance(output, ResponseReceived):
            if output.response.status >= 200:
                self._registrations.append(output.response)
        elif isinstance(output, UsageEvent):
            self.events.append(type(output).__name__)
            self._take(output, now)

    def _take(self, event: UsageEvent, now: float) -> None:
        usage = event.usage
        if isinstance(event, Invited):
            self.usage = usage
            assert isinstance(usage, InviteServerUsage)
            usage.ring(180, now)
            if self.answers_at_once:
                self.answer()
        elif isinstance(event, OfferReceived):
            usage.accept(self.session.answer(event.message.body), now)
        elif isinstance(event, OfferRequested):
            usage.accept(self.session.offer(), now)
        elif isinstance(event, AnswerReceived):
            self.session.take_answer(event.message.body)
        elif isinstance(event, InDialogRequest):
            self._obey(event, now)
        elif isinstance(event, Progress | Ended):
            return

    def _obey(self, event: InDialogRequest, now: float) -> None:
        event.usage.respond(event.transaction, 200, now)
        word = event.transaction.request.event
        if word is None:
            return
        if word.value == "talk" and "Established" not in self.events:
            self.answer()
        else:
            event.usage.modify(lambda: self.hold_offer(word.value == "hold"), now)

    def hold_offer(self, hold: bool) -> bytes:
        """An offer that holds, or one that ends that."""
        offer = self.session.offer()
        return offer.replace(b"a=sendrecv", b"a=sendonly") if hold else offer

    def last(self, method: str) -> Request:
        """The latest request of a method."""
        return next(
            m for m in reversed(self.messages) if isinstance(m, Request) and m.method == method
        )

    def last_response(self) -> Response:
        """The latest response."""
        return next(m for m in reversed(self.messages) if isinstance(m, Response))
