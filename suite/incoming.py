r"""
One accepted TCP connection, from its first byte to the protocol that serves it.

::

    PROXY header -> first bytes -> STUN ----------------------------> relay
    (if required)       |      \-> HTTP ----------------------------> pages, SIP, redirect or 400
                        \-> TLS record -> handshake -> ALPN, or
                                                       first bytes -> relay, pages, SIP or 400

SIP is a WebSocket at a path of its own. What is not the pages' there is known by the request line,
so a WebSocket must be the first request of its connection, as it is with every browser.

Every step has an absolute deadline and ends in the next one or in a close that is counted.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

from twisted.internet.interfaces import (
    IDelayedCall,
    IHandshakeListener,
    IProtocol,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from b2bua.net.stream import SipStream
from suite import proxy_protocol, stream_port
from suite.admission import Admission
from suite.announced import AnnouncedTransport
from suite.demultiplex import NotTls, Speaks, has_first_record, identify, requests_path
from suite.http_deadline import HttpDeadline
from suite.http_standing import HttpStanding
from suite.plain_http import UNAVAILABLE, HeadWatch, HttpRefusal, HttpsRedirect
from suite.settings import TcpListen
from suite.web.connections import PageChannel
from turn.five_tuple import Address, FiveTuple, Transport
from turn.net.stream import TurnStream

ALPN_TURN = (b"stun.turn", b"stun.nat-discovery")
ALPN_HTTP = b"http/1.1"
_WAITING_MAXIMUM = 96 * 1024
"""One full read beyond the largest first record."""


@dataclass(frozen=True, slots=True)
class WebSip:
    """SIP over WebSocket, at a path beside those of the pages."""

    path: bytes
    accept: Callable[[str, str, int], SipStream | None]
    """Takes WSS or WS, and the client's host and port; None: at present nobody is served."""


@dataclass(frozen=True, slots=True)
class Served:
    """What one listener serves, and with what."""

    listen: TcpListen
    turn: Callable[[FiveTuple], IProtocol] | None
    web: Callable[[bool], IProtocol] | None
    sip: WebSip | None
    """Taken in where the pages are; None: all paths are theirs."""
    tls: TLSMemoryBIOFactory | None
    """Makes the TLS layer; None: this process has no certificate."""
    admission: Admission
    clock: IReactorTime


class IncomingStream(Protocol):
    """The protocol of one connection; whatever it carries stays behind this one."""

    is_secure = False

    def __init__(self, served: Served, streams: set[IncomingStream]) -> None:
        self.is_served = False
        """Whether a protocol behind this one has the connection."""
        self.is_sip = False
        """Whether that is SIP, which ends its connections itself, after its calls."""
        self._served = served
        self._streams = streams
        self._admission = served.admission
        self._limits = served.admission.limits
        self.receive: Callable[[bytes], None] = self._read_first_bytes
        self.lost: Callable[[Failure], None] = _nothing_to_lose
        self._buffer = b""
        self._deadline: IDelayedCall | None = None
        self._http: HttpDeadline | None = None
        self._is_stranger = False
        self._in_handshake = False
        self._standing: HttpStanding | None = None
        self._is_over = False

    def connectionMade(self) -> None:
        """Count the stream and begin to wait for what it carries."""
        self._accepted_at = self._served.clock.seconds()
        self._admission.accepted += 1
        self._streams.add(self)
        stream_port.prepare(self.transport)
        self.wire = cast(ITCPTransport, self.transport)
        self.client = canonical(self.wire.getPeer())
        self._count_stranger(True)
        if not self._served.listen.proxy_from:
            self._await(self._limits.identify_timeout, "not identified in time")
        elif self._is_from_proxy():
            self.receive = self._read_proxy_header
            self._await(self._limits.identify_timeout, "no PROXY header in time")
        else:
            self.refuse("not from a proxy")

    def dataReceived(self, data: bytes) -> None:
        """Give the bytes to the step that the connection has reached."""
        self.receive(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Take the stream off the books and tell the protocol behind it."""
        self._is_over = True
        self._streams.discard(self)
        self._stop_waiting()
        if self._in_handshake:
            self._admission.refused["TLS handshake failed"] += 1
        self._count_stranger(False)
        self._count_handshake(False)
        if self._standing is not None:
            self._standing.end()
        self.receive = _ignore
        lost, self.lost = self.lost, _nothing_to_lose
        lost(reason)

    def refuse(self, reason: str) -> None:
        """Close at once; ``reason`` is one of a fixed set of words for the metric."""
        if self._is_over:
            return
        self._is_over = True
        self._admission.refused[reason] += 1
        self._stop_waiting()
        self._count_handshake(False)
        self.receive = _ignore
        self.wire.abortConnection()

    def disconnect(self) -> None:
        """End the connection because the listener ends, whatever it carries."""
        self._stop_waiting()
        self.wire.abortConnection()

    # Steps, in their order.

    def _is_from_proxy(self) -> bool:
        address = ipaddress.ip_address(self.client[0])
        return any(address in network for network in self._served.listen.proxy_from)

    def _read_proxy_header(self, data: bytes) -> None:
        self._buffer += data
        try:
            header = proxy_protocol.parse(self._buffer)
        except proxy_protocol.ProxyHeaderError:
            self.refuse("bad PROXY header")
            return
        if header is None:
            return
        if header.client is not None:
            self._count_stranger(False)
            self.client = header.client
            if not self._admission.admits(self.client[0]):
                # The proxy was let in for its own address; its clients share as all others do.
                self.refuse("too many connections")
                return
            self._count_stranger(True)
            announced = AnnouncedTransport(self.wire, header.client)
            self.wire = cast(ITCPTransport, announced)
        rest, self._buffer = self._buffer[header.length :], b""
        self.receive = self._read_first_bytes
        self._await(self._limits.identify_timeout, "not identified in time")
        if rest:
            self.receive(rest)

    def _read_first_bytes(self, data: bytes) -> None:
        self._buffer += data
        speaks = identify(self._buffer)
        if speaks is None:
            return
        if speaks is Speaks.TLS:
            self._expect_record()
        else:
            self.serve(speaks, self, self._take_buffer())

    def _expect_record(self) -> None:
        if self._served.tls is None or not self._served.listen.tls:
            self.refuse("TLS is not served")
            return
        self._await(self._handshake_left(), "TLS handshake not finished in time")
        self.receive = self._read_record
        self.receive(b"")

    def _read_record(self, data: bytes) -> None:
        self._buffer += data
        try:
            is_whole = has_first_record(self._buffer)
        except NotTls:
            self.refuse("not TLS")
            return
        if not is_whole:
            return
        if not self._admission.admits_handshake(self.client[0]):
            self.refuse("too many TLS handshakes")
            return
        self._count_handshake(True)
        self.receive = self._wait_for_turn
        self._admission.begin_handshake(self._begin_handshake)

    def _wait_for_turn(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > _WAITING_MAXIMUM:
            self.refuse("not TLS")

    def _begin_handshake(self) -> None:
        if self._is_over:
            return
        assert self._served.tls is not None
        tls = TLSMemoryBIOProtocol(self._served.tls, Decrypted(self))
        self.lost = tls.connectionLost
        self.receive = tls.dataReceived
        tls.makeConnection(self.wire)
        tls.dataReceived(self._take_buffer())

    def handshake_completed(self) -> None:
        """TLS is up; now the client says what it wants to talk."""
        self._count_handshake(False)
        self._await(self._limits.identify_timeout, "not identified in time")

    def serve(self, speaks: Speaks, layer: IncomingStream | Decrypted, first: bytes) -> None:
        """Hand the stream to the protocol that serves what ``layer`` of it turned out to speak."""
        if self._is_over:
            return
        self._stop_waiting()
        if speaks is Speaks.STUN:
            self._serve_turn(layer, first)
        elif speaks is Speaks.HTTP:
            self._serve_http(layer, first)
        else:
            self.refuse("unknown protocol")

    def _serve_turn(self, layer: IncomingStream | Decrypted, first: bytes) -> None:
        listen = self._served.listen
        if self._served.turn is None or not (
            listen.secures_turn if layer.is_secure else listen.plain
        ):
            self.refuse("STUN is not served")
            return
        self._admission.identified["TURN over TLS" if layer.is_secure else "TURN"] += 1
        five_tuple = FiveTuple(
            transport=Transport.TLS if layer.is_secure else Transport.TCP,
            client=self.client,
            server=canonical(self.wire.getHost()),
        )
        protocol = self._served.turn(five_tuple)
        if isinstance(protocol, TurnStream):
            protocol.authentication_changed = self._authentication_changed
        layer.receive, layer.lost = protocol.dataReceived, protocol.connectionLost
        self._connect(protocol, layer, first)

    def _serve_http(self, layer: IncomingStream | Decrypted, first: bytes) -> None:
        self._await(self._limits.http_head_timeout, "HTTP head not finished in time")
        sip = self._served.sip
        if sip is None or not self._has_pages(layer):
            self._serve_pages(layer, first)
            return
        layer.receive = partial(self._read_path, layer, sip)
        if first:
            layer.receive(first)

    def _read_path(self, layer: IncomingStream | Decrypted, sip: WebSip, data: bytes) -> None:
        self._buffer += data
        is_sip = requests_path(self._buffer, sip.path)
        if is_sip is None:
            return
        first = self._take_buffer()
        if is_sip:
            self._serve_sip(layer, sip, first)
        else:
            self._serve_pages(layer, first)

    def _serve_sip(self, layer: IncomingStream | Decrypted, sip: WebSip, first: bytes) -> None:
        stream = sip.accept("WSS" if layer.is_secure else "WS", *self.client)
        if stream is None:
            self._admission.refused["SIP is not served"] += 1
            self._serve_http_by(HttpRefusal(UNAVAILABLE), layer, first)
            return
        # The stream has deadlines of its own, for the rest of the head too.
        self._stop_waiting()
        self._admission.identified["SIP over WebSocket"] += 1
        self.is_sip = True
        stream.when_vouched_for = partial(self._count_stranger, False)
        if stream.is_vouched_for:
            self._count_stranger(False)
        layer.receive, layer.lost = stream.dataReceived, stream.connectionLost
        self.is_served = True
        stream.makeConnection(layer.wire)
        if layer.is_secure:
            stream.handshakeCompleted()
        layer.receive(first)

    def _serve_pages(self, layer: IncomingStream | Decrypted, first: bytes) -> None:
        if not self._admission.admits_http(self.client[0]):
            self.refuse("too many HTTP connections of one address")
            return
        self._admission.identified["HTTPS" if layer.is_secure else "HTTP"] += 1
        channel = self._http_protocol(layer)
        self._standing = HttpStanding(self._admission, self.client[0], channel)
        if isinstance(channel, PageChannel):
            channel.vouch_for = self._standing.vouched
        self._serve_http_by(channel, layer, first)

    def _serve_http_by(
        self, channel: IProtocol, layer: IncomingStream | Decrypted, first: bytes
    ) -> None:
        self._http = HttpDeadline(
            self._served.clock,
            self._limits.http_lifetime,
            too_late=partial(self.refuse, "HTTP connection over its time"),
            close=layer.wire.loseConnection,
            signed_in=self._signed_in,
        )
        if isinstance(channel, PageChannel):
            channel.deadline = self._http
        watch = HeadWatch(channel, self._http_head_finished)
        layer.receive, layer.lost = watch.receive, watch.lost
        self._connect(channel, layer, first)

    def _http_head_finished(self) -> None:
        # Twisted's own timer starts anew with every byte of a body or of the next head.
        self._stop_waiting()
        if self._http is not None:
            self._http.start()

    def _has_pages(self, layer: IncomingStream | Decrypted) -> bool:
        if self._served.web is None:
            return False
        is_local = ipaddress.ip_address(self.client[0]).is_loopback
        return layer.is_secure or is_local or self._served.listen.plain_http

    def _http_protocol(self, layer: IncomingStream | Decrypted) -> IProtocol:
        redirect_to = self._served.listen.redirect_to
        if redirect_to:
            return HttpsRedirect(redirect_to, always=True)
        if self._served.web is None:
            return HttpRefusal()
        if self._has_pages(layer):
            return self._served.web(layer.is_secure)
        if self._served.tls is None or not self._served.listen.tls:
            return HttpRefusal()
        return HttpsRedirect(canonical(self.wire.getHost())[1])

    def _connect(
        self, protocol: IProtocol, layer: IncomingStream | Decrypted, first: bytes
    ) -> None:
        self.is_served = True
        protocol.makeConnection(layer.wire)
        if first:
            layer.receive(first)

    # Books and deadlines.

    def _authentication_changed(self, authenticated: bool) -> None:
        self._count_stranger(not authenticated)

    def _count_stranger(self, is_stranger: bool) -> None:
        if is_stranger is not self._is_stranger:
            self._is_stranger = is_stranger
            self._admission.count_stranger(self.client[0], 1 if is_stranger else -1)

    def _signed_in(self) -> None:
        self._count_stranger(False)
        if self._standing is not None:
            self._standing.signed_in()

    def _count_handshake(self, in_handshake: bool) -> None:
        if in_handshake is not self._in_handshake:
            self._in_handshake = in_handshake
            self._admission.count_handshake(self.client[0], 1 if in_handshake else -1)

    def _take_buffer(self) -> bytes:
        buffer, self._buffer = self._buffer, b""
        return buffer

    def _handshake_left(self) -> float:
        since = self._served.clock.seconds() - self._accepted_at
        return max(0.0, self._limits.handshake_timeout - since)

    def _await(self, seconds: float, reason: str) -> None:
        self._stop_waiting()
        self._deadline = self._served.clock.callLater(seconds, self._too_late, reason)

    def _too_late(self, reason: str) -> None:
        self._deadline = None
        self.refuse(reason)

    def _stop_waiting(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()
        if self._http is not None:
            self._http.stop()


@implementer(IHandshakeListener)
class Decrypted(Protocol):
    """What comes out of TLS: by ALPN, or by its own first bytes, relay or pages."""

    is_secure = True

    def __init__(self, stream: IncomingStream) -> None:
        self._stream = stream
        self.receive: Callable[[bytes], None] = self._read_first_bytes
        self.lost: Callable[[Failure], None] = _nothing_to_lose
        self._buffer = b""

    def handshakeCompleted(self) -> None:
        """Go by the agreed protocol, or wait for bytes to go by."""
        self.wire = cast(ITCPTransport, self.transport)
        agreed = cast(TLSMemoryBIOProtocol, self.transport).negotiatedProtocol
        self._stream.handshake_completed()
        if agreed in ALPN_TURN:
            self._stream.serve(Speaks.STUN, self, b"")
        elif agreed == ALPN_HTTP:
            self._stream.serve(Speaks.HTTP, self, b"")

    def dataReceived(self, data: bytes) -> None:
        """Give the bytes to the protocol that serves them, once that is known."""
        self.receive(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the protocol behind, if there was one."""
        self.receive = _ignore
        lost, self.lost = self.lost, _nothing_to_lose
        lost(reason)

    def _read_first_bytes(self, data: bytes) -> None:
        self._buffer += data
        speaks = identify(self._buffer)
        if speaks is None:
            return
        first, self._buffer = self._buffer, b""
        # TLS within TLS is nothing that is served.
        self._stream.serve(Speaks.UNKNOWN if speaks is Speaks.TLS else speaks, self, first)


def canonical(address: object) -> Address:
    """The transport address of a connection's end: no zone, no IPv4-mapped IPv6."""
    host = str(getattr(address, "host", "")).partition("%")[0]
    return proxy_protocol.canonical(ipaddress.ip_address(host)), int(getattr(address, "port", 0))


def _ignore(data: bytes) -> None:
    """Bytes after the end."""


def _nothing_to_lose(reason: Failure) -> None:
    """No protocol is behind the stream yet."""
