"""
One connection of SIP over TCP, TLS or WebSocket: its bytes, its deadlines and its end.

What the messages mean, and which connection a message takes, is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Protocol as Seam
from typing import cast

from OpenSSL import SSL
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IDelayedCall,
    IHandshakeListener,
    IPushProducer,
    IReactorTime,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from b2bua.net.framing import Framing
from b2bua.net.limits import TransportLimits
from b2bua.net.liveness import Due, Liveness
from b2bua.net.tls import PeerRefused, ServerAt
from b2bua.sip.errors import ParseError, StreamError
from b2bua.sip.hop import Hop
from b2bua.sip.message import Message
from b2bua.sip.stream import Item, KeepAlive
from b2bua.sip.uri import host_port


class State(IntEnum):
    """Where a connection is in its life."""

    OPENING = 0
    OPEN = 1
    CLOSING = 2
    CLOSED = 3


class Wire(Seam):
    """What a stream needs of its transport, TCP or TLS."""

    def write(self, data: bytes, /) -> None:
        """Send, or keep what the network does not take and pause the producer."""

    def loseConnection(self) -> None:
        """Close after what was written."""

    def abortConnection(self) -> None:
        """Close now."""

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        """Say whom to pause."""

    def unregisterProducer(self) -> None:
        """Pause nobody any more."""


class StreamUser(Seam):
    """Whom a stream tells what happens. ``stream_closed`` is the last call, made once."""

    def stream_opened(self, stream: SipStream) -> None:
        """Messages can be sent now."""

    def stream_received(self, stream: SipStream, message: Message) -> None:
        """A message came."""

    def stream_garbled(self, stream: SipStream, error: ParseError) -> None:
        """A message came that cannot be read."""

    def stream_closed(self, stream: SipStream, reason: str) -> None:
        """The connection is gone, or never came to be."""


@implementer(IHandshakeListener, IPushProducer)
class SipStream(Protocol):
    """
    The protocol of one connection.

    ``hop`` names the peer and this connection. ``is_secure`` says that a TLS handshake comes
    first; ``server`` checks whom we reached, where we are the client. What is sent before the
    stream is open waits here.
    """

    def __init__(
        self,
        hop: Hop,
        framing: Framing,
        user: StreamUser,
        clock: IReactorTime,
        limits: TransportLimits,
        *,
        is_ours: bool,
        is_vouched_for: bool,
        is_secure: bool = False,
        server: ServerAt | None = None,
    ) -> None:
        self.hop = hop
        self.state = State.OPENING
        self.is_ours = is_ours
        self.has_requests = False
        """Whether somebody may wait for an answer to what went into it."""
        self.when_vouched_for: Callable[[], None] = _nothing_to_do
        """Called when a stranger's stream becomes that of a known peer."""
        self._framing = framing
        self._user = user
        self._clock = clock
        self._limits = limits
        self._is_secure = is_secure
        self._server = server
        self._liveness = Liveness(
            limits, clock.seconds(), is_ours=is_ours, is_vouched_for=is_vouched_for
        )
        self._wire: Wire | None = None
        self._waiting: list[bytes] = []
        self._timer: IDelayedCall | None = None
        self._patience: IDelayedCall | None = None
        self._reason = ""
        self._blocked = False
        self._unsent = 0

    @property
    def is_vouched_for(self) -> bool:
        """Whether the peer is known, by its address or by what it proved."""
        return self._liveness.is_vouched_for

    def vouch(self) -> None:
        """The peer is known from now on."""
        self._liveness.vouch()
        self.when_vouched_for()

    def send(self, message: bytes) -> bool:
        """Send one message, or let it wait until the stream is open; False if it cannot."""
        if self.state is State.OPENING and len(self._waiting) < self._limits.waiting_messages:
            self._waiting.append(message)
            return True
        if self.state is not State.OPEN or not self._framing.is_open:
            return False
        self._write(self._framing.pack(message))
        return True

    def take_waiting(self) -> list[bytes]:
        """Give what was to be sent and never was."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def close(self, reason: str) -> None:
        """End the stream after what was written, at the latest after a few seconds."""
        if self._wire is None or self.state >= State.CLOSING:
            return
        self._framing.close()
        self._flush()
        self._end(reason)
        self._wire.loseConnection()
        self._patience = self._clock.callLater(
            self._limits.close_patience, self._wire.abortConnection
        )

    def abort(self, reason: str) -> None:
        """End the stream now."""
        if self._wire is None or self.state >= State.CLOSING:
            return
        self._end(reason)
        self._wire.abortConnection()

    def fail_to_open(self, reason: str) -> None:
        """There is no connection, and there will be none."""
        self._closed(reason)

    # What the transport calls.

    def connectionMade(self) -> None:
        """The bytes' way is open, but for TLS."""
        self._wire = cast(Wire, self.transport)
        self._wire.registerProducer(self, True)
        self._watch()
        if not self._is_secure:
            self._begin()

    def handshakeCompleted(self) -> None:
        """TLS is there: look whom it leads to."""
        if self._server is not None:
            try:
                self._server.verify()
            except PeerRefused as error:
                self._complain(str(error))
                self.abort("certificate refused")
                return
        self._begin()

    def dataReceived(self, data: bytes) -> None:
        """Hand over what is whole now."""
        if self.state >= State.CLOSING:
            return
        try:
            items = self._framing.feed(data)
        except StreamError as error:
            self._deliver(error.items)
            self._garbled(error.fault)
            self.close("framing error")
            return
        self._liveness.heard(
            self._clock.seconds(), pending=self._framing.is_pending, whole=bool(items)
        )
        self._flush()
        self._open_if_ready()
        self._deliver(items)
        if self._framing.end:
            self.close(self._framing.end)
        elif self.state is State.OPEN:
            self._watch()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        is_tls = reason.check(SSL.Error) is not None
        if self._server is not None and self._server.fault:
            self._complain(self._server.fault)
            self._closed("certificate refused")
        elif reason.check(ConnectionDone):
            self._closed("closed by peer")
        else:
            if self._server is not None and is_tls:
                self._complain(self._server.words_of(cast(SSL.Error, reason.value)))
            self._closed("TLS error" if is_tls else "connection lost")

    def pauseProducing(self) -> None:
        """The peer does not read as fast as we write."""
        self._blocked = True
        self._unsent = 0

    def resumeProducing(self) -> None:
        """The peer has read."""
        self._blocked = False

    def stopProducing(self) -> None:
        """The transport is gone; ``connectionLost`` follows."""

    # Inside.

    def _complain(self, text: str) -> None:
        assert self._server is not None
        where = host_port(self.hop.host, self.hop.port)
        self._server.complain(f"{where} for {text}", self._clock.seconds())

    def _begin(self) -> None:
        self._framing.begin()
        self._flush()
        self._open_if_ready()

    def _open_if_ready(self) -> None:
        if self.state is not State.OPENING or not self._framing.is_open:
            return
        self.state = State.OPEN
        self._liveness.opened(self._clock.seconds())
        for message in self.take_waiting():
            self.send(message)
        self._watch()
        self._user.stream_opened(self)

    def _deliver(self, items: Sequence[Item]) -> None:
        for item in items:
            if self.state >= State.CLOSING:
                return
            if isinstance(item, KeepAlive):
                self._keep_alive(item)
            elif isinstance(item, ParseError):
                self._garbled(item)
            else:
                self._user.stream_received(self, item)

    def _keep_alive(self, kind: KeepAlive) -> None:
        if kind is KeepAlive.PONG:
            self._liveness.pong()
        elif not self.is_ours:
            # Only who opened a connection pings (RFC 5626, section 4.4.1): from the other side,
            # two line ends are two pongs.
            self._write(self._framing.keep_alive(KeepAlive.PONG))

    def _garbled(self, error: ParseError) -> None:
        if self.state < State.CLOSING:
            self._user.stream_garbled(self, error)

    def _flush(self) -> None:
        output = self._framing.take_output()
        if output:
            self._write(output)

    def _write(self, data: bytes) -> None:
        if self._wire is None:
            return
        if self._blocked:
            self._unsent += len(data)
            if self._unsent > self._limits.unsent_bytes:
                self.abort("peer does not read")
                return
        self._wire.write(data)

    def _watch(self) -> None:
        """Let the clock call at the next deadline; a later one is found when it calls."""
        due = self._liveness.next_timeout()
        if self._timer is not None:
            if self._timer.getTime() <= due:
                return
            self._timer.cancel()
        self._timer = self._clock.callLater(max(0.0, due - self._clock.seconds()), self._look)

    def _look(self) -> None:
        self._timer = None
        due = self._liveness.handle_timeout(self._clock.seconds())
        if due is Due.PING:
            self._write(self._framing.keep_alive(KeepAlive.PING))
        elif due is Due.HANDSHAKE:
            self.abort(due.value)
        elif due is not Due.NOTHING:
            self.close(due.value)
        if self.state < State.CLOSING:
            self._watch()

    def _end(self, reason: str) -> None:
        assert self._wire is not None
        self.state = State.CLOSING
        self._reason = reason
        self._stop_timer()
        # A transport with a producer would wait for it instead of closing.
        self._wire.unregisterProducer()

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _closed(self, reason: str) -> None:
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        self._stop_timer()
        if self._patience is not None and self._patience.active():
            self._patience.cancel()
        self._user.stream_closed(self, self._reason or reason)


def _nothing_to_do() -> None:
    """Nobody else keeps a book of strangers."""
