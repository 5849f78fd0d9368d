"""
SIP over UDP, TCP, TLS and WebSocket (RFC 3261, section 18; RFC 3581; RFC 5626; RFC 7118).

Messages come out with the hop they came by, messages go in with the hop they are for. Which
connection that is, whether one must be opened, and what a peer may cost is decided here; what
the messages mean is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Protocol as Seam

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorFDSet, IReactorTCP, IReactorTime

from b2bua.net.datagrams import DatagramPort, ReportingSocket
from b2bua.net.flows import Flows, Way
from b2bua.net.framing import Framing, PlainFraming
from b2bua.net.limits import TransportLimits, TransportTotals
from b2bua.net.listening import SECURE, WEB, SipListen, StreamListener
from b2bua.net.long_requests import LongRequests
from b2bua.net.opening import LocalPorts, Opening
from b2bua.net.stream import SipStream, State
from b2bua.net.tls import ClientTls, ServerTls
from b2bua.net.via import answer_hop, by_tcp, is_too_long_for_udp, record_source
from b2bua.net.websocket import WebSocketFraming
from b2bua.sip.errors import ParseError
from b2bua.sip.hop import DATAGRAM, Hop
from b2bua.sip.message import Message, Request, Response
from b2bua.sip.parser import parse_datagram

_MOST_PAUSES = 256
_MOST_ASKED = 4096


class NotBound(Exception):
    """An address that could not be opened; ``fault`` is what the socket raised."""

    def __init__(self, listen: SipListen, fault: Exception) -> None:
        super().__init__(f"{listen.transport} {listen.host} port {listen.port}")
        self.listen = listen
        self.fault = fault


class Core(Seam):
    """Whom the messages are for. Neither is called from within ``send``."""

    def received(self, message: Message, hop: Hop) -> None:
        """A message came by ``hop``; its answer goes there."""

    def failed(self, hop: Hop, reason: str) -> None:
        """Requests sent over ``hop`` lately have not arrived; the reason is a fixed phrase."""

    def closed(self, hop: Hop) -> None:
        """The connection of ``hop`` is gone, whoever opened it."""


@dataclass(frozen=True, slots=True)
class EventLoop:
    """The reactor, by what is needed of it; ``clock`` is monotonic."""

    tcp: IReactorTCP
    readers: IReactorFDSet
    clock: IReactorTime


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """How connections to others are opened."""

    host: str = ""
    """The address they come from; "" leaves it to the system."""
    ports: LocalPorts = field(default_factory=LocalPorts)
    tls: ClientTls | None = None
    domain_of: Callable[[Hop], str] = lambda hop: hop.host
    """The domain whose certificate the server at this hop must show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who is trusted with what."""

    is_known: Callable[[str], bool] = lambda host: False
    """Whether this host is one that the configuration names."""
    allows_origin: Callable[[str], bool] = lambda origin: True
    """Whether a web page from here may open a WebSocket."""
    web_socket_path: str = ""
    """Where one is opened; "" anywhere."""


class SipTransports:
    """
    Every SIP socket of the process.

    ``tls`` is shown by the listeners for TLS and WSS, which need it.
    """

    def __init__(
        self,
        listens: Sequence[SipListen],
        loop: EventLoop,
        core: Core,
        *,
        tls: ServerTls | None = None,
        outgoing: Outgoing | None = None,
        access: Access | None = None,
        limits: TransportLimits | None = None,
    ) -> None:
        self.totals = TransportTotals()
        self.flows = Flows()
        self._listens = tuple(listens)
        self._loop = loop
        self._clock = loop.clock
        self._core = core
        self._tls = tls
        self._outgoing = outgoing or Outgoing()
        self._access = access or Access()
        self._limits = limits or TransportLimits()
        self._datagrams: dict[int, DatagramPort] = {}
        self._listeners: list[StreamListener] = []
        self._bound: list[tuple[SipListen, int]] = []
        self._names: frozenset[str] = frozenset()
        self._sent_by: dict[tuple[str, bool], str] = {}
        """By transport and family, as far as it was asked for since the last binding."""
        self._openings: dict[int, Opening] = {}
        self._pauses: dict[Way, float] = {}
        self._long = LongRequests()
        self._fallbacks: dict[int, dict[tuple[str, str], tuple[Request, Hop]]] = {}
        self._asked: dict[tuple[str, int], None] = {}
        self._is_running = False

    # Life.

    def start(self) -> None:
        """Bind everything; raises NotBound, with nothing left bound."""
        self._is_running = True
        for listen in self._listens:
            try:
                self._bind(listen)
            except (OSError, CannotListenError) as error:
                self.stop()
                raise NotBound(listen, error) from error
        self._bindings_changed()

    def stop(self) -> Deferred[list[object]]:
        """Close everything, without a word to the core; fires when the ports are free."""
        self._is_running = False
        for port in self._datagrams.values():
            port.stop()
        for opening in list(self._openings.values()):
            opening.stop()
        for stream in self.flows:
            stream.close("stopped")
        stopping = [listener.stop() for listener in self._listeners]
        self._datagrams.clear()
        self._listeners.clear()
        self._bound.clear()
        self._bindings_changed()
        return gatherResults(stopping)

    def bound(self) -> list[tuple[str, str, int]]:
        """Transport, host and port of everything that is bound, also where the settings say 0."""
        return [(listen.transport, listen.host, port) for listen, port in self._bound]

    # What the core does.

    def send(self, message: Message, hop: Hop) -> None:
        """
        Send a message over ``hop``; where that fails, the core hears of it later.

        A response goes back where its request came from. Raises InvalidHeader.
        """
        data = message.render()
        if isinstance(message, Response):
            self._answer(message, data, hop)
        elif not isinstance(message, Request):
            raise TypeError(type(message).__name__)
        elif hop.transport == DATAGRAM:
            if not self._send_by_tcp_instead(message, data, hop):
                self._ask_by_udp(data, hop)
        else:
            self._ask_by_stream(data, hop)

    def sent_by(self, hop: Hop) -> str:
        """Host and port that the Via of a request over ``hop`` shows."""
        way = (hop.transport, ":" in hop.host)
        found = self._sent_by.get(way)
        if found is None:
            found = self._sent_by[way] = self._closest(*way)
        return found

    def _closest(self, transport: str, is_v6: bool) -> str:
        fits = sorted(
            self._bound,
            key=lambda pair: (pair[0].transport != transport, (":" in pair[0].host) != is_v6),
        )
        if not fits:
            raise LookupError("nothing is bound")
        listen, port = fits[0]
        return listen.sent_by(port)

    def names(self) -> frozenset[str]:
        """All that our Vias may show."""
        return self._names

    def _bindings_changed(self) -> None:
        self._names = frozenset(listen.sent_by(port) for listen, port in self._bound)
        self._sent_by.clear()

    def authenticated(self, hop: Hop) -> None:
        """The peer has proved who it is: its connection may stay."""
        self.flows.vouch(hop.flow)

    def accept(self, transport: str, host: str, port: int) -> SipStream | None:
        """Make the protocol of a connection that somebody opened to us; None refuses it."""
        is_known = self._access.is_known(host)
        if len(self.flows) >= self._limits.connections:
            self.totals.refused["too many connections"] += 1
            return None
        if not is_known and not self.flows.has_room_for_stranger(host, self._limits.strangers):
            self.totals.refused["too many strangers"] += 1
            return None
        stream = SipStream(
            Hop(transport, host, port, self.flows.next_number()),
            self._framing(transport),
            self,
            self._clock,
            self._limits,
            is_ours=False,
            is_vouched_for=is_known,
            is_secure=transport in SECURE,
        )
        self.flows.add(stream)
        return stream

    # What streams tell.

    def stream_opened(self, stream: SipStream) -> None:
        """What waited for it has left."""
        self.totals.opened[stream.hop.transport] += 1
        self._openings.pop(stream.hop.flow, None)
        self._fallbacks.pop(stream.hop.flow, None)

    def stream_received(self, stream: SipStream, message: Message) -> None:
        """A message came over a connection."""
        self._take(message, stream.hop)

    def stream_garbled(self, stream: SipStream, error: ParseError) -> None:
        """A message came that cannot be read."""
        self._refuse(error, stream.hop)

    def stream_closed(self, stream: SipStream, reason: str) -> None:
        """A connection is gone: tell whoever may wait for answers, and take another way if any."""
        hop = stream.hop
        self.flows.discard(stream)
        self.totals.closed[reason] += 1
        never_opened = self._openings.pop(hop.flow, None) is not None
        if never_opened:
            self._pause(hop)
        for request, way in self._fallbacks.pop(hop.flow, {}).values():
            self._long.refused(way.host, way.port, self._clock.seconds())
            self._long.chose_udp(request)
            self._ask_by_udp(request.render(), way)
        if stream.has_requests:
            self._fail(hop, reason)
        self._clock.callLater(0, self._tell_closed, hop)

    # Binding.

    def _bind(self, listen: SipListen) -> None:
        if listen.transport == DATAGRAM:
            flow = self.flows.next_number()
            port = DatagramPort(
                ReportingSocket(listen.host, listen.port),
                self._loop.readers,
                self._clock,
                partial(self._datagram, flow),
                self._unreachable,
                self._limits,
                self.totals,
            )
            self._datagrams[flow] = port
            port.start()
            self._bound.append((listen, port.port))
            return
        tls = self._tls if listen.transport in SECURE else None
        if listen.transport in SECURE and tls is None:
            raise ValueError(f"{listen.transport} needs a certificate")
        listener = StreamListener(listen, self.accept, tls, self._clock)
        listener.start(self._loop.tcp)
        self._listeners.append(listener)
        self._bound.append((listen, listener.port))

    def _framing(self, transport: str) -> Framing:
        if transport in WEB:
            return WebSocketFraming(self._access.allows_origin, self._access.web_socket_path)
        return PlainFraming()

    # In.

    def _datagram(self, flow: int, data: bytes, host: str, port: int) -> None:
        hop = Hop(DATAGRAM, host, port, flow)
        try:
            message = parse_datagram(data)
        except ParseError as error:
            if error.reason == "empty":
                self.totals.dropped["keep-alive"] += 1
            else:
                self._refuse(error, hop)
            return
        self._take(message, hop)

    def _take(self, message: Message, hop: Hop) -> None:
        self.totals.received[hop.transport] += 1
        if isinstance(message, Request):
            record_source(message, hop)
        self._core.received(message, hop)

    def _refuse(self, error: ParseError, hop: Hop) -> None:
        """Count what cannot be read; answer it where the RFC allows and nobody can be hurt."""
        self.totals.malformed[error.reason] += 1
        request, status = error.request, error.status
        if request is None or status is None:
            return
        if hop.transport == DATAGRAM and not self._access.is_known(hop.host):
            # The sender may be forged, and then the answer hits somebody else.
            return
        try:
            record_source(request, hop)
            tag = blake2b(str(request.get("Via")).encode(errors="replace"), digest_size=8)
            self.send(request.response(status, to_tag=tag.hexdigest()), hop)
        except ValueError:
            self.totals.malformed["unanswerable"] += 1

    def _unreachable(self, host: str, port: int, reason: str) -> None:
        if (host, port) in self._asked:
            self._fail(Hop(DATAGRAM, host, port), reason)

    # Out.

    def _answer(self, response: Response, data: bytes, hop: Hop) -> None:
        if hop.transport == DATAGRAM:
            self._send_datagram(data, answer_hop(response, hop))
            return
        stream = self.flows.find(hop)
        if stream is None and hop.transport not in WEB:
            stream = self._stream_to(answer_hop(response, hop))
        if stream is not None and stream.send(data):
            self.totals.sent[hop.transport] += 1
        else:
            self.totals.failed["answer not sent"] += 1

    def _ask_by_stream(self, data: bytes, hop: Hop) -> None:
        stream = self._stream_to(hop)
        if stream is None:
            self._fail(hop, "no connection")
        elif not stream.send(data):
            self._fail(hop, "too much waits")
        else:
            stream.has_requests = True
            self.totals.sent[hop.transport] += 1

    def _ask_by_udp(self, data: bytes, hop: Hop) -> None:
        self._asked[hop.host, hop.port] = None
        if len(self._asked) > _MOST_ASKED:
            del self._asked[next(iter(self._asked))]
        reason = self._send_datagram(data, hop)
        if reason:
            self._fail(hop, reason)

    def _send_datagram(self, data: bytes, hop: Hop) -> str:
        """Send from the socket of the hop, or from any; return why that failed, or ""."""
        port = self._datagrams.get(hop.flow)
        if port is None:
            ports = self._datagrams.values()
            port = next((port for port in ports if port.serves(hop.host)), None)
        if port is None:
            return "no socket"
        reason = port.send(data, hop.host, hop.port)
        if not reason:
            self.totals.sent[DATAGRAM] += 1
        return reason

    def _send_by_tcp_instead(self, request: Request, data: bytes, hop: Hop) -> bool:
        """Send a request that is too long for UDP; False where it must go by UDP all the same."""
        if not (is_too_long_for_udp(data) or self._long.is_by_tcp(request)):
            return False
        if not self._long.may_use_tcp(hop.host, hop.port, self._clock.seconds()):
            return False
        stream = self._stream_to(Hop("TCP", hop.host, hop.port))
        if stream is None:
            return False
        if stream.state is State.OPENING:
            waiting = self._fallbacks.setdefault(stream.hop.flow, {})
            key = (request.via.branch, request.method)
            if key in waiting:
                # The transaction, which knows of UDP only, repeats what has not even left.
                return True
            waiting[key] = (request, hop)
        if not stream.send(by_tcp(data)):
            return False
        self._long.chose_tcp(request)
        self.totals.sent["TCP"] += 1
        return True

    # Connections.

    def _stream_to(self, hop: Hop) -> SipStream | None:
        return self.flows.find(hop) or self._open(hop)

    def _open(self, hop: Hop) -> SipStream | None:
        """Begin a connection; None where there is no way, or has not been a moment ago."""
        now = self._clock.seconds()
        way = (hop.transport, hop.host, hop.port)
        tls = self._outgoing.tls
        is_secure = hop.transport in SECURE
        if not self._is_running or hop.transport in WEB or (is_secure and tls is None):
            return None
        if now < self._pauses.get(way, now):
            return None
        hop = Hop(*way, self.flows.next_number())
        server = tls.toward(self._outgoing.domain_of(hop)) if is_secure and tls else None
        stream = SipStream(
            hop,
            PlainFraming(),
            self,
            self._clock,
            self._limits,
            is_ours=True,
            is_vouched_for=True,
            is_secure=is_secure,
            server=server,
        )
        opening = Opening(
            stream,
            self._loop.tcp,
            self._clock,
            local_host=self._outgoing.host,
            ports=self._outgoing.ports,
            timeout=self._limits.connect_timeout,
            server=server,
        )
        self.flows.add(stream)
        self._openings[hop.flow] = opening
        opening.start()
        return stream

    def _pause(self, hop: Hop) -> None:
        way = (hop.transport, hop.host, hop.port)
        self._pauses.pop(way, None)
        self._pauses[way] = self._clock.seconds() + self._limits.retry_pause
        if len(self._pauses) > _MOST_PAUSES:
            del self._pauses[next(iter(self._pauses))]

    def _fail(self, hop: Hop, reason: str) -> None:
        """Tell the core in the next turn, since it may be sending just now."""
        if not self._is_running:
            return
        self.totals.failed[reason] += 1
        self._clock.callLater(0, self._tell_failure, hop, reason)

    def _tell_closed(self, hop: Hop) -> None:
        if self._is_running:
            self._core.closed(hop)

    def _tell_failure(self, hop: Hop, reason: str) -> None:
        if self._is_running:
            self._core.failed(hop, reason)
