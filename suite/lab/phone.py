"""
A phone of the lab: it answers at once, and echoes or plays. A user agent on its own address.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Protocol as Seam

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorUDP
from twisted.logger import Logger

from b2bua.net.listening import SipListen
from b2bua.net.transport import Access, EventLoop, Outgoing, SipTransports
from b2bua.sdp.errors import SdpError
from b2bua.sip.headers import NameAddr
from b2bua.sip.hop import Hop
from b2bua.sip.invite_server import InviteServerUsage
from b2bua.sip.invite_usage import InviteUsage
from b2bua.sip.message import Message
from b2bua.sip.outputs import RequestReceived
from b2bua.sip.uri import SipUri, Uri
from b2bua.sip.usage_events import (
    AnswerReceived,
    Ended,
    InDialogRequest,
    Invited,
    ModificationFailed,
    OfferReceived,
    OfferRequested,
    Profile,
    UsageEvent,
)
from b2bua.sip.user_agent import AgentOutput
from suite.lab.agent import Network, RunningAgent
from suite.lab.phone_session import PhoneSession
from suite.lab.registry import user_of
from suite.lab.rtp import RtpSocket
from suite.lab.settings import Address, is_loopback
from suite.lab.site import hop_to

MOST_CALLS = 100


class Surroundings(Seam):
    """Who watches a phone, and what it knows of the servers."""

    def taken(self, phone: Phone, message: Message, hop: Hop) -> None:
        """A message came."""

    def sent(self, phone: Phone, message: Message, hop: Hop) -> None:
        """A message is about to leave."""

    def server_hop(self, transport: str) -> Hop | None:
        """Where the server is that is in use."""


@dataclass(slots=True)
class PhoneCall:
    """One call: what was agreed, and its media."""

    session: PhoneSession
    media: RtpSocket

    def direct(self) -> None:
        """Let media flow as agreed."""
        flow = self.session.flow()
        self.media.direct(flow.target, may_send=flow.may_send, payload_type=flow.payload_type)


class Phone:
    """
    One phone with one number.

    ``domain`` is the name of the pair of servers: what is for it goes to the one in use.
    """

    log = Logger(namespace="lab")

    def __init__(
        self,
        name: str,
        dn: str,
        address: Address,
        domain: str,
        loop: EventLoop,
        udp: IReactorUDP,
        around: Surroundings,
        *,
        echoes: bool,
    ) -> None:
        self.name = name
        self.dn = dn
        self._address = address
        self._domain = domain
        self._clock = loop.clock
        self._loop = loop
        self._udp = udp
        self._around = around
        self._echoes = echoes
        self._transports: SipTransports | None = None
        self._running: RunningAgent | None = None
        self.calls: dict[InviteUsage, PhoneCall] = {}

    def start(self) -> None:
        """Bind; raises NotBound."""
        host, port = self._address
        self._transports = SipTransports(
            [SipListen(kind, host, port) for kind in ("UDP", "TCP")],
            self._loop,
            self,
            outgoing=Outgoing(host=host),
            access=Access(is_known=is_loopback),
        )
        self._transports.start()
        network = Network(
            send=self._send,
            sent_by=self._transports.sent_by,
            contact=self.contact,
            route=self._route,
        )
        self._running = RunningAgent(network, self._clock, self._told, Profile())

    def stop(self) -> Deferred[list[object]]:
        """Close everything; fires when the ports are free."""
        if self._running is not None:
            self._running.stop()
        for call in self.calls.values():
            call.media.close()
        self.calls.clear()
        transports, self._transports = self._transports, None
        if transports is None:
            done: Deferred[list[object]] = Deferred()
            done.callback([])
            return done
        for stream in transports.flows:
            stream.abort("stopped")
        return transports.stop()

    @property
    def bound(self) -> dict[str, Address]:
        """Where it is bound, by transport."""
        found = [] if self._transports is None else self._transports.bound()
        return {kind: (host, port) for kind, host, port in found}

    @property
    def place(self) -> tuple[Uri, Hop]:
        """Its Contact, and where that leads."""
        hop = Hop("UDP", *self.bound["UDP"])
        return self.contact(hop).uri, hop

    def contact(self, hop: Hop) -> NameAddr:
        """Its Contact on a hop."""
        kind = "TCP" if hop.transport == "TCP" else "UDP"
        host, port = self.bound[kind]
        uri = SipUri("sip", self.dn, None, host, port)
        return NameAddr("", uri.with_parameter("transport", "tcp") if kind == "TCP" else uri)

    @property
    def state(self) -> str:
        """What it does, for people."""
        count = len(self.calls)
        return "idle" if not count else "1 call" if count == 1 else f"{count} calls"

    def hang_up_all(self) -> None:
        """End every call of it."""
        for usage in list(self.calls):
            usage.bye(self._agent.now)
        self._agent.pump()

    # Messages.

    def received(self, message: Message, hop: Hop) -> None:
        """Take a message."""
        self._around.taken(self, message, hop)
        if self._running is not None:
            self._running.receive(message, hop)

    def failed(self, hop: Hop, reason: str) -> None:
        """Something did not arrive."""
        if self._running is not None:
            self._running.hop_failed(hop)

    def closed(self, hop: Hop) -> None:
        """A connection is gone; another one will do."""

    def _send(self, message: Message, hop: Hop) -> None:
        if self._transports is not None and is_loopback(hop.host):
            self._around.sent(self, message, hop)
            self._transports.send(message, hop)

    def _route(self, uri: Uri, hop: Hop) -> Hop:
        if isinstance(uri, SipUri) and uri.host == self._domain:
            return self._around.server_hop(hop.transport) or Hop(hop.transport, hop.host, hop.port)
        return hop_to(uri, hop.transport) or Hop(hop.transport, hop.host, hop.port)

    # What the agent tells.

    def _told(self, output: AgentOutput, now: float) -> None:
        if isinstance(output, Invited):
            self._invited(output, now)
        elif isinstance(output, RequestReceived):
            self._answer(output, now)
        elif isinstance(output, UsageEvent):
            call = self.calls.get(output.usage)
            if call is not None:
                self._of_call(call, output, now)

    def _answer(self, output: RequestReceived, now: float) -> None:
        transaction = output.transaction
        status = 200 if transaction.request.method == "OPTIONS" else 405
        agent = self._agent.agent
        headers = agent.profile.headers(self.contact(transaction.hop), "200")
        agent.respond(transaction, transaction.response(status, None, headers), now)

    def _invited(self, event: Invited, now: float) -> None:
        usage = event.usage
        if not isinstance(usage, InviteServerUsage):
            raise TypeError(type(usage).__name__)
        if user_of(event.request.uri) != self.dn:
            usage.reject(404, now)
            return
        if len(self.calls) >= MOST_CALLS:
            usage.reject(486, now)
            return
        try:
            call = self._open_call()
        except CannotListenError as error:
            self.log.warn("{name} has no port for a call: {error}", name=self.name, error=error)
            usage.reject(500, now)
            return
        body = event.request.body
        try:
            said = call.session.answer(body) if body else call.session.offer()
        except SdpError as error:
            call.media.close()
            usage.reject(error.status, now)
            return
        self.calls[usage] = call
        usage.ring(180, now)
        usage.answer(now, said)
        call.direct()

    def _open_call(self) -> PhoneCall:
        media = RtpSocket(self._clock, echoes=self._echoes)
        host = self._address[0]
        port = media.open(self._udp, host)
        return PhoneCall(PhoneSession(host, port, 1 + secrets.randbelow(1 << 31)), media)

    def _of_call(self, call: PhoneCall, event: UsageEvent, now: float) -> None:
        usage = event.usage
        if isinstance(event, OfferReceived):
            self._answer_offer(call, usage, event.message.body, now)
        elif isinstance(event, OfferRequested):
            usage.accept(call.session.offer(), now)
        elif isinstance(event, AnswerReceived):
            self._take_answer(call, usage, event.message.body, now)
        elif isinstance(event, ModificationFailed):
            call.session.roll_back()
        elif isinstance(event, InDialogRequest):
            usage.respond(event.transaction, 200, now)
        elif isinstance(event, Ended):
            del self.calls[usage]
            call.media.close()
            return
        call.direct()

    def _answer_offer(self, call: PhoneCall, usage: InviteUsage, body: bytes, now: float) -> None:
        try:
            answer = call.session.answer(body)
        except SdpError as error:
            usage.refuse(error.status, now)
        else:
            usage.accept(answer, now)

    def _take_answer(self, call: PhoneCall, usage: InviteUsage, body: bytes, now: float) -> None:
        try:
            call.session.take_answer(body)
        except SdpError:
            # An answer cannot be refused: the call has to end.
            usage.bye(now)

    @property
    def _agent(self) -> RunningAgent:
        if self._running is None:
            raise RuntimeError("the phone has not been started")
        return self._running
