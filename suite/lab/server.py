"""
One SIP Server of the lab: its sockets, and the ways in which it can be made to fail.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import StrEnum
from typing import Protocol as Seam
from typing import cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.logger import Logger

from b2bua.net.listening import SipListen
from b2bua.net.transport import Access, EventLoop, Outgoing, SipTransports
from b2bua.sip.errors import InvalidHeader, ParseError
from b2bua.sip.hop import Hop
from b2bua.sip.message import Message, Request, Response
from b2bua.sip.transactions import server_key
from b2bua.sip.uri import Uri
from suite.lab.agent import token
from suite.lab.freezing import FreezablePorts, FreezableReaders
from suite.lab.proxy import Proxy
from suite.lab.registry import user_of
from suite.lab.settings import Address, LabSettings, is_loopback
from suite.lab.site import Site, hop_to

RETRY_AFTER = 5
ANSWERS_KEPT = 2000
ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, NOTIFY, PRACK, UPDATE, MESSAGE, REFER"


class Mode(StrEnum):
    """How a server behaves."""

    UP = "up"
    KILLED = "killed"
    """Its sockets are closed: ICMP and RST for whoever tries."""
    FROZEN = "frozen"
    """Its sockets are open and nobody reads."""
    SLOW = "slow"
    """Each request is looked at some time after it came."""
    REFUSING = "503"
    """Each request has 503 and Retry-After for an answer."""
    RESET = "reset"
    """Each TCP connection is reset; UDP is as it was."""


class Surroundings(Seam):
    """Who watches a server, and who takes what is not the server's own business."""

    def taken(self, server: LabServer, message: Message, hop: Hop) -> None:
        """A message came."""

    def sent(self, server: LabServer, message: Message, hop: Hop) -> None:
        """A message is about to leave."""

    def is_controllers(self, message: Message) -> bool:
        """Whether a message is for the third-party control."""

    def to_controller(self, server: LabServer, message: Message, hop: Hop) -> None:
        """Give it one."""

    def failed(self, server: LabServer, hop: Hop) -> None:
        """What went to this hop has not arrived."""


class LabServer:
    """
    A server with its address, which it keeps through all its lives.

    It holds nothing that its other half would miss: bindings, calls and dialogs are elsewhere.
    """

    log = Logger(namespace="lab")

    def __init__(
        self,
        name: str,
        address: Address,
        settings: LabSettings,
        site: Site,
        loop: EventLoop,
        around: Surroundings,
    ) -> None:
        self.name = name
        self.mode = Mode.KILLED
        self.taken = 0
        self._settings = settings
        self._site = site
        self._around = around
        self._clock = loop.clock
        self._readers = FreezableReaders(loop.readers)
        self._ports = FreezablePorts(loop.tcp)
        self._loop = EventLoop(self._ports, self._readers, loop.clock)
        self._host = address[0]
        self._bound = {"UDP": address[1], "TCP": address[1]}
        self._transports: SipTransports | None = None
        self._closing: Deferred[object] = succeed(None)
        self._delay = 0.0
        self._late: dict[IDelayedCall, tuple[Message, Hop]] = {}
        self._held: list[tuple[Message, Hop]] = []
        self._answers: OrderedDict[tuple[str, ...], Response] = OrderedDict()
        self.life = 0
        self._proxy = Proxy(site, self.sent_by, lambda: self.life)

    # Its lives.

    def start(self) -> None:
        """Bind; raises NotBound."""
        listens = [SipListen(kind, self._host, port) for kind, port in self._bound.items()]
        self._transports = SipTransports(
            listens,
            self._loop,
            self,
            outgoing=Outgoing(host=self._host),
            access=Access(is_known=is_loopback),
        )
        self._transports.start()
        for kind, host, port in self._transports.bound():
            self._bound[kind] = port
            self._site.servers.add((host, port))
        self.life += 1
        self.mode = Mode.UP

    def stop(self) -> Deferred[object]:
        """Close everything; fires when the ports are free."""
        transports, self._transports = self._transports, None
        self.mode = Mode.KILLED
        for late in self._late:
            late.cancel()
        self._late.clear()
        self._held.clear()
        self._answers.clear()
        self._ports.resets = False
        self._readers.thaw()
        if transports is not None:
            for stream in transports.flows:
                stream.abort("killed")
            self._closing = cast("Deferred[object]", transports.stop())
        return self._closing

    def kill(self) -> None:
        """Be gone: what is under way is lost, and whoever tries gets ICMP or RST."""
        self.stop()

    def freeze(self) -> None:
        """Go on holding the sockets, and do nothing."""
        self._back_to_normal()
        self.mode = Mode.FROZEN
        self._readers.freeze()
        self._ports.freeze()
        for wire in self._wires():
            wire.pauseProducing()

    def slow_down(self, seconds: float) -> None:
        """Look at each request so much later."""
        self._back_to_normal()
        self.mode, self._delay = Mode.SLOW, seconds

    def refuse(self) -> None:
        """Answer everything with 503."""
        self._back_to_normal()
        self.mode = Mode.REFUSING

    def reset(self) -> None:
        """Reset TCP connections, those that there are and those that come."""
        self._back_to_normal()
        self.mode = Mode.RESET
        self._ports.resets = True
        if self._transports is not None:
            for stream in self._transports.flows:
                stream.abort("reset")

    def revive(self) -> Deferred[None]:
        """Be well again; after a kill, with a new life. Fires when that is so."""
        if self._transports is not None:
            self._back_to_normal()
            return succeed(None)
        # The ports of the life before are free a turn of the reactor after their end.
        return self._closing.addCallback(lambda _: self._start_again())

    def _start_again(self) -> None:
        if self._transports is None:
            self.start()

    def _back_to_normal(self) -> None:
        was, self.mode = self.mode, Mode.UP
        self._ports.resets = False
        if was is not Mode.FROZEN:
            return
        self._readers.thaw()
        self._ports.thaw()
        for wire in self._wires():
            wire.resumeProducing()
        held, self._held = self._held, []
        for message, hop in held:
            self._handle(message, hop)

    def _wires(self) -> list[IPushProducer]:
        if self._transports is None:
            return []
        streams = self._transports.flows
        return [cast(IPushProducer, s.transport) for s in streams if s.transport is not None]

    @property
    def state(self) -> str:
        """Its mode, for people."""
        if self.mode is Mode.SLOW:
            return f"slow {self._delay:g} s"
        return str(self.mode)

    @property
    def address(self) -> Address:
        """Where it takes UDP."""
        return self._host, self._bound["UDP"]

    @property
    def ports(self) -> dict[str, int]:
        """Its port by transport."""
        return dict(self._bound)

    @property
    def answers(self) -> bool:
        """Whether it does what it should, if late perhaps."""
        return self.mode in (Mode.UP, Mode.SLOW, Mode.RESET)

    @property
    def is_running(self) -> bool:
        """Whether it can send at all."""
        return self.mode not in (Mode.KILLED, Mode.FROZEN)

    # What transports tell.

    def received(self, message: Message, hop: Hop) -> None:
        """Take a message."""
        self.taken += isinstance(message, Request)
        self._around.taken(self, message, hop)
        if self.mode is Mode.REFUSING and isinstance(message, Request):
            self._answer(message, hop, message.response(503, None, [("Retry-After", RETRY_AFTER)]))
        elif self.mode is Mode.SLOW and isinstance(message, Request):
            self._take_late(message, hop)
        else:
            self._handle(message, hop)

    def failed(self, hop: Hop, reason: str) -> None:
        """Something did not arrive."""
        self._around.failed(self, hop)

    def closed(self, hop: Hop) -> None:
        """A connection is gone; its number is not used again in this life."""

    def _take_late(self, message: Message, hop: Hop) -> None:
        def handle() -> None:
            del self._late[late]
            if self.mode is Mode.FROZEN:
                self._held.append((message, hop))
            else:
                self._handle(message, hop)

        late = self._clock.callLater(self._delay, handle)
        self._late[late] = (message, hop)

    # What it does.

    def _handle(self, message: Message, hop: Hop) -> None:
        try:
            if self._around.is_controllers(message):
                self._around.to_controller(self, message, hop)
            elif isinstance(message, Response):
                passed = self._proxy.response(message)
                if passed is not None:
                    self.send(passed.message, passed.hop)
            elif isinstance(message, Request):
                self._serve(message, hop)
        except ParseError as error:
            # Only now was looked at what is wrong in it.
            if isinstance(message, Request):
                self._answer(message, hop, message.response(error.status or 400))

    def _serve(self, request: Request, hop: Hop) -> None:
        known = self._answers.get(server_key(request, request.method))
        if known is not None:
            self.send(known, hop)
            return
        now = self._clock.seconds()
        is_ours = self._site.is_ours(request.uri)
        if request.method == "REGISTER" and is_ours:
            answer = self._site.registry.register(request, self.name, self._way, hop, now)
            self._remember(request, self._answer(request, hop, answer))
        elif request.method == "OPTIONS" and is_ours and not user_of(request.uri):
            self._answer(request, hop, request.response(200, None, [("Allow", ALLOW)]))
        else:
            self._pass_on(request, hop, now)

    def _pass_on(self, request: Request, hop: Hop, now: float) -> None:
        if self._settings.challenges_calls and request.method == "INVITE" and not request.to.tag:
            caller = user_of(request.from_.uri)
            refusal = self._site.registry.challenge(request, caller, now)
            if refusal is not None and caller not in self._site.phones:
                self._answer(request, hop, refusal)
                return
        for passed in self._proxy.request(request, hop, now):
            self.send(passed.message, passed.hop)

    def _way(self, uri: Uri, hop: Hop) -> Hop | None:
        """Where a Contact leads: to its address, over the connection of its REGISTER if any."""
        return hop_to(uri, hop.transport)

    def _answer(self, request: Request, hop: Hop, response: Response) -> Response:
        if not request.to.tag:
            response.replace("To", f"{request.get('To')};tag={token()}")
        if request.method != "ACK":
            self.send(response, hop)
        return response

    def _remember(self, request: Request, response: Response) -> None:
        """A copy of the request gets the same answer, and its nonce is not counted twice."""
        self._answers[server_key(request, request.method)] = response
        if len(self._answers) > ANSWERS_KEPT:
            self._answers.popitem(last=False)

    def send(self, message: Message, hop: Hop) -> None:
        """Send, if there is a life in it; what would not be read as it is meant is dropped."""
        if self._transports is None or not is_loopback(hop.host):
            return
        self._around.sent(self, message, hop)
        try:
            self._transports.send(message, hop)
        except InvalidHeader as error:
            self.log.warn("{name} cannot pass on a message: {error}", name=self.name, error=error)

    def sent_by(self, hop: Hop) -> str:
        """Host and port of its Via."""
        kind = hop.transport if hop.transport in self._bound else "UDP"
        return f"{self._host}:{self._bound[kind]}"
