"""
The B2BUA as a service: its core with sockets, clock and DNS around it.

Whatever happens goes into the core, and then everything that the core wants is done: messages
are sent, and one delayed call is set for the next moment that it asks for.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from math import ceil
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from b2bua.call_events import DnRegistered, DnUnregistered, Event, Fault, Subscriber
from b2bua.core import B2bua, Vouched
from b2bua.core import Output as CoreOutput
from b2bua.core import Randomness as CoreRandomness
from b2bua.faults import contained
from b2bua.gateway.gateway import Gateway, HopClosed, Ready
from b2bua.gateway.gateway import Output as GatewayOutput
from b2bua.gateway.session import Session
from b2bua.media_plane import MediaPlane, WebMediaPlane
from b2bua.net.dns import Dns
from b2bua.net.listening import SECURE, SipListen
from b2bua.net.location import ServerLocator
from b2bua.net.opening import LocalPorts
from b2bua.net.randomness import Randomness
from b2bua.net.stream import SipStream
from b2bua.net.tls import ClientTls, OwnCertificate, ServerTls
from b2bua.net.transport import Access, EventLoop, Outgoing, SipTransports
from b2bua.net.web import WebInterface
from b2bua.origins import Origins
from b2bua.settings import B2buaSettings, GatewaySettings
from b2bua.sip.errors import InvalidHeader
from b2bua.sip.hop import BROWSER, Hop
from b2bua.sip.message import Message
from b2bua.sip.outputs import Send
from b2bua.sip.timers import earliest
from b2bua.srv import Problem, Target

_TICK: Final = 0.01
"""Seconds: how much later than asked for a timer of SIP may fire. The shortest is 0.2 s long."""
_WAIT_FOR_END: Final = 0.05
"""Seconds between two looks whether a shut-down is over."""
_REST: Final = 0.1
"""Seconds between two looks at timers after a fault that no call has ended for: it may last."""


class B2buaService:
    """
    Runs from ``start`` to the end of ``stop``.

    ``dns`` makes what asks name servers when it is needed. Subscribers hear events in the order in
    which they happen.
    """

    log = Logger(namespace="sip")

    def __init__(
        self,
        settings: B2buaSettings,
        loop: EventLoop,
        plane: MediaPlane,
        *,
        dns: Callable[[], Dns],
    ) -> None:
        self.settings = settings
        self._clock = loop.clock
        self._subscribers: list[Subscriber] = []
        self._delayed: IDelayedCall | None = None
        self._delayed_for = 0.0
        self._rests_until = 0.0
        self._is_pumping = False
        self._is_running = False
        self._make_dns = dns
        self._dns: Dns | None = None
        self._locator: ServerLocator | None = None
        self._random = random = Randomness()
        self._plane = plane
        core_random = CoreRandomness(
            token=random.token,
            below=random.below,
            fraction=random.fraction,
            octets=random.octets,
        )
        self.core = B2bua(
            settings,
            plane,
            core_random,
            sent_by=self._sent_by,
            own_names=self._own_names,
            emit=self._tell,
            now=loop.clock.seconds(),
            wake=self._wake,
            has_left=self._has_left,
        )
        self.transports = SipTransports(
            [SipListen(a.transport, a.host, a.port, a.advertised) for a in settings.listens],
            loop,
            self,
            tls=_server_tls(settings),
            outgoing=Outgoing(
                host=settings.local_host,
                ports=_local_ports(settings),
                tls=_client_tls(settings),
                domain_of=self.core.servers.domain_of,
            ),
            access=Access(
                is_known=self.core.servers.is_server,
                allows_origin=Origins(settings.allowed_origins).allows,
                web_socket_path=settings.web_socket_path,
            ),
        )
        self.gateway: Gateway | None = None
        self.web: WebInterface | None = None
        """The HTTP interface of pages, if there is one."""
        if settings.gateway is not None:
            self.gateway = self._make_gateway(settings.gateway, core_random)
            self.web = WebInterface(
                self.gateway, settings.gateway, settings.allowed_origins, self._clock, self._pump
            )

    def _make_gateway(self, settings: GatewaySettings, random: CoreRandomness) -> Gateway:
        return Gateway(
            self.settings,
            settings,
            random,
            emit=self._tell,
            lend=self.core.lend,
            proved=self.core.proved,
            is_registered=self.core.servers.is_registered,
            is_registering=self.core.is_registering,
            gathered=self._gathered,
            counters=self.core.media_counters,
            wall=_time_of_day,
        )

    # Life.

    def start(self) -> None:
        """Open every address and begin to look for the SIP Servers. Raises NotBound."""
        self.transports.start()
        self._is_running = True
        self._dns = self._make_dns()
        self._locator = ServerLocator(
            self.settings.servers, self._dns, self._clock, self._random.fraction, self._located
        )
        self._locator.start()
        self.core.sign_in(self.settings.echo.singles(), self._clock.seconds())
        self._pump()

    def stop(self, limit: float = 4.0) -> Deferred[None]:
        """End calls and registrations within ``limit`` seconds, then close every address."""
        if not self._is_running:
            return self._close(None)
        self.core.shut_down(self._clock.seconds(), limit)
        self._pump()
        ended: Deferred[None] = Deferred()
        self._wait_for_end(ended, self._clock.seconds() + limit)
        return ended.addCallback(self._close)

    def _wait_for_end(self, ended: Deferred[None], until: float) -> None:
        if self.core.is_closed or self._clock.seconds() >= until:
            ended.callback(None)
        else:
            self._clock.callLater(_WAIT_FOR_END, self._wait_for_end, ended, until)

    def _close(self, _: object) -> Deferred[None]:
        if self.gateway is not None and self.web is not None:
            # Only now: by their polls pages have heard of the end of their calls.
            self.gateway.end_all(self._clock.seconds())
            self._pump()
            self.web.stop()
        self._is_running = False
        if self._locator is not None:
            self._locator.stop()
        if self._dns is not None:
            self._dns.stop()
        if self._delayed is not None and self._delayed.active():
            self._delayed.cancel()
        return self.transports.stop().addCallback(lambda _: None)

    def now(self) -> float:
        """The time, as this service counts it."""
        return self._clock.seconds()

    def subscribe(self, subscriber: Subscriber) -> None:
        """Tell this one of every event from now on."""
        self._subscribers.append(subscriber)

    def accept(self, transport: str, host: str, port: int) -> SipStream | None:
        """
        Make the protocol of a connection that another listener took in for us; None refuses it.

        Of TLS, if there is any, the handshake is over: ``handshakeCompleted`` is to be called.
        """
        if not self._is_running:
            return None
        return self.transports.accept(transport, host, port)

    # What the transports tell.

    def received(self, message: Message, hop: Hop) -> None:
        """A message came by ``hop``."""
        with contained(self._tell):
            self.core.receive(message, hop, self._clock.seconds())
        self._pump()

    def failed(self, hop: Hop, reason: str) -> None:
        """Requests sent over ``hop`` lately have not arrived."""
        with contained(self._tell):
            self.core.hop_failed(hop, self._clock.seconds())
        self._pump()

    def closed(self, hop: Hop) -> None:
        """A connection is gone."""
        with contained(self._tell):
            self.core.flow_closed(hop, self._clock.seconds())
        self._pump()

    def _located(self, targets: list[Target], problem: Problem, now: float) -> None:
        self.core.located(targets, problem, now)
        self._pump()

    # Doing what the core wants.

    def _pump(self) -> None:
        if self._is_pumping:
            return
        self._is_pumping = True
        try:
            while self._pump_core() or self._pump_gateway():
                pass
        finally:
            self._is_pumping = False
            self._set_timer()

    def _pump_core(self) -> bool:
        """Do what the core wants; whether it wanted anything."""
        outputs: list[CoreOutput] = []
        with contained(self._tell):
            outputs = self.core.take_outputs()
        for output in outputs:
            with contained(self._tell):
                self._do(output)
        return bool(outputs)

    def _do(self, output: CoreOutput) -> None:
        if output.hop.transport == BROWSER:
            if self.gateway is not None and isinstance(output, Send):
                self.gateway.receive(output.message, output.hop, self._clock.seconds())
        elif isinstance(output, Vouched):
            self.transports.authenticated(output.hop)
        else:
            self._send(output.message, output.hop)

    def _pump_gateway(self) -> bool:
        """Do what the gateway wants; whether it wanted anything."""
        outputs: list[GatewayOutput] = []
        with contained(self._tell):
            outputs = self.gateway.take_outputs() if self.gateway is not None else []
        for output in outputs:
            with contained(self._tell):
                self._do_of_gateway(output, self._clock.seconds())
        return bool(outputs)

    def _do_of_gateway(self, output: GatewayOutput, now: float) -> None:
        if isinstance(output, Ready):
            if self.web is not None:
                self.web.deliver(output.session)
        elif isinstance(output, HopClosed):
            self._end_polls(output.session)
            self.core.flow_closed(output.session.hop, now)
        else:
            self.core.receive(output.message, output.hop, now)

    def _end_polls(self, session: Session) -> None:
        if self.web is not None:
            self.web.session_ended(session)

    def _send(self, message: Message, hop: Hop) -> None:
        try:
            self.transports.send(message, hop)
        except InvalidHeader as error:
            # A fault of ours, and nothing that may go out. The other side asks again, or gives up.
            self.log.error("a message could not be written: {error}", error=error)

    def _set_timer(self) -> None:
        due: float | None = self._clock.seconds()
        with contained(self._tell):
            # Else, for a fault of ours, it is asked for again soon.
            due = self._next_timeout()
        if due is not None:
            due = max(due, self._rests_until)
            # Of many calls something is due in every millisecond; one look in ten does as well.
            due = ceil(due / _TICK) * _TICK
        if self._delayed is not None and self._delayed.active():
            if due is not None and due >= self._delayed_for:
                # It comes in time, and then sees what is due; moving it each time costs more.
                return
            self._delayed.cancel()
            self._delayed = None
        if due is not None and self._is_running:
            self._delayed_for = due
            self._delayed = self._clock.callLater(
                max(0.0, due - self._clock.seconds()), self._time_out
            )

    def _next_timeout(self) -> float | None:
        of_gateway = None if self.gateway is None else self.gateway.next_timeout()
        return earliest(self.core.next_timeout(), of_gateway)

    def _wake(self) -> None:
        if self._is_running:
            self._clock.callLater(0, self._set_timer)

    def _time_out(self) -> None:
        self._delayed = None
        with contained(self._tell):
            self.core.handle_timeout(self._clock.seconds())
        if self.gateway is not None:
            self._pump()
            with contained(self._tell):
                self.gateway.handle_timeout(self._clock.seconds())
        self._pump()

    def _has_left(self, hop: Hop, now: float) -> bool:
        return self.gateway is not None and self.gateway.has_left(hop, now)

    # What the gateway asks of media.

    def _gathered(self, fragment: str, then: Callable[[tuple[str, ...]], None]) -> None:
        if not isinstance(self._plane, WebMediaPlane):
            then(())
            return

        def take(candidates: tuple[str, ...]) -> None:
            then(candidates)
            self._pump()

        self._plane.when_gathered(fragment, take)

    def _tell(self, event: Event) -> None:
        if isinstance(event, DnRegistered | DnUnregistered):
            self._tell_gateway(event)
        if isinstance(event, Fault):
            self._log_fault(event)
        for subscriber in self._subscribers:
            subscriber(event)

    def _log_fault(self, event: Fault) -> None:
        self.log.failure(
            "A fault of ours has ended {what}",
            failure=Failure(event.error, type(event.error), event.error.__traceback__),
            what=f"call {event.call}" if event.call else "no call",
        )
        if not event.call:
            self._rests_until = self._clock.seconds() + _REST

    def _tell_gateway(self, event: DnRegistered | DnUnregistered) -> None:
        if self.gateway is not None and self.web is not None:
            status = 200 if isinstance(event, DnRegistered) else event.status
            self.gateway.judged(event.dn, status)
            self.web.judged(event.dn)

    # Names of ours.

    def _sent_by(self, hop: Hop) -> str:
        return self.transports.sent_by(hop)

    def _own_names(self) -> frozenset[str]:
        return self.transports.names()


def _time_of_day() -> float:
    return datetime.now(UTC).timestamp()


def _server_tls(settings: B2buaSettings) -> ServerTls | None:
    tls = settings.tls
    if not any(address.transport in SECURE for address in settings.listens):
        return None
    if tls.certificate is None or tls.key is None:
        raise ValueError("a secure listener without a certificate")
    trusted = tls.trusted if tls.ask_clients else None
    return ServerTls(OwnCertificate(tls.certificate, tls.key), trusted)


def _client_tls(settings: B2buaSettings) -> ClientTls | None:
    tls, servers = settings.tls, settings.servers
    transports = {servers.srv_transport, *(server.transport for server in servers.addresses)}
    if not transports & SECURE:
        return None
    own = None
    if tls.certificate is not None and tls.key is not None:
        own = OwnCertificate(tls.certificate, tls.key)
    return ClientTls(tls.trusted, own)


def _local_ports(settings: B2buaSettings) -> LocalPorts:
    return LocalPorts() if settings.local_ports is None else LocalPorts(*settings.local_ports)
