"""
TURN clients over TCP and TLS whose bytes move in C (``native/stream*.c``).

Twisted accepts the connection and does the handshake; once STUN has been seen the descriptor
moves to the core. What a stream may do is as in ``turn.net.stream``.
"""

from __future__ import annotations

import os
from typing import Protocol as Seam
from typing import cast

from OpenSSL import SSL
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from suite.datapath._native import OpenSsl, Stream, Streams, TlsLayer, Turn
from suite.datapath.native_core import STREAM, STREAM_END, NativeCore
from suite.datapath.openssl_calls import OpenSslUnusable, layer, openssl_calls, unsent_records
from suite.stream_port import HandedOver
from turn.five_tuple import FiveTuple, Transport
from turn.net.stream import (
    CLOSE_PATIENCE,
    StreamClient,
    StreamLimits,
    StreamService,
    StreamTotals,
    TurnStream,
)
from turn.stun.framing import FrameReader

DONE, LOST, FRAMING, STRANGE, LATE, CLOSED = range(6)
"""Why a stream has ended, as native/stream.h numbers it."""
_TO_CLOSE = {
    FRAMING: "framing error",
    STRANGE: "too many frames without an allocation",
    LATE: "frame not finished in time",
}
_TICK = 0.5
"""Seconds between looks at frames that are not whole."""


class Movable(Seam):
    """What a stream needs of the transport that Twisted has made."""

    def pauseProducing(self) -> None:
        """Read no more."""

    def hand_over(self) -> HandedOver | None:
        """Give the descriptor away, unless the connection is ending."""

    def getHandle(self) -> SSL.Connection:
        """The TLS connection, where there is one."""

    def loseConnection(self) -> None:
        """Close after what was written."""

    def abortConnection(self) -> None:
        """Close now."""


class NativeStream(TurnStream):
    """
    A stream whose bytes the core moves.

    A turn of the reactor after ``connectionMade`` the descriptor is the core's; what has been
    read until then is kept for it.
    """

    def __init__(
        self,
        streams: NativeStreams,
        five_tuple: FiveTuple,
        service: StreamService,
        totals: StreamTotals | None = None,
    ) -> None:
        super().__init__(five_tuple, service, streams.clock, streams.limits, totals)
        self._streams = streams
        self._native: Stream | None = None
        self._first: list[bytes] = []
        self._moving: IDelayedCall | None = None
        self._handed: HandedOver | None = None
        self._dropped = 0

    @property
    def media_dropped(self) -> int:
        """Frames that were too old or too many for this client."""
        return self._dropped if self._native is None else self._native.media_dropped

    @property
    def media_waiting(self) -> tuple[int, int]:
        """Frames and bytes that wait for this client."""
        return (0, 0) if self._native is None else self._native.media_waiting

    # Coming and going

    def connectionMade(self) -> None:
        """Stop reading here; the descriptor moves when Twisted is done with this read."""
        self._writing = True
        self._wire = cast(Movable, self.transport)
        self._wire.pauseProducing()
        self._await_allocation()
        self._moving = self._clock.callLater(0, self._move)

    def dataReceived(self, data: bytes) -> None:
        """Keep what Twisted has read."""
        self._first.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the service, once, and let go of everything that waited."""
        self._writing = False
        if self._moving is not None and self._moving.active():
            self._moving.cancel()
        native = self._native
        if native is not None:
            native.abort()
            self._dropped = native.media_dropped
            self._streams.forget(self, native)
        self._ended(reason)
        self._native = self._handed = None

    def _move(self) -> None:
        handed = self._wire.hand_over() if self._writing else None
        if handed is None:
            return
        self._handed = handed
        records, tls = b"", None
        if self.five_tuple.transport is Transport.TLS:
            connection = self._wire.getHandle()
            records, tls = unsent_records(connection), self._streams.layer(connection)
        try:
            self._native = self._streams.open(self, handed, records, tls)
        except OSError:
            os.close(handed.descriptor)
            self._lost(ConnectionLost())
            return
        first, self._first = b"".join(self._first), []
        if first:
            self._streams.feed(self._native, first)

    def join(self, turn: Turn, flow: int) -> None:
        """From now on what this client sends goes to the flow, and what that sends to it."""
        if self._native is not None:
            self._native.set_flow(turn, flow)

    # What the core tells

    def arrived(self, data: bytes) -> None:
        """Take the whole frames of one read, padded."""
        try:
            self._deliver(FrameReader().feed(data))
        except Exception:
            # Whoever waits for the answer would wait for ever.
            self.abort("connection lost")
            raise

    def _deliver(self, frames: list[bytes]) -> None:
        for frame in frames:
            if not self._writing:
                return
            if frame[0] >= 0x40 or frame[:2] == b"\x00\x16":
                self._service.media(self, frame)
            else:
                self._service.control(frame, self)

    def over(self, why: int) -> None:
        """The core has closed the stream, or says why it has to be closed."""
        sentence = _TO_CLOSE.get(why)
        if sentence is not None:
            self.close(sentence)
        else:
            self._lost(ConnectionLost() if why == LOST else ConnectionDone())

    # What the service asks for

    def send_control(self, message: bytes) -> None:
        """Send one STUN message; a client that lets 64 KiB of them wait is disconnected."""
        if not self._writing or self._native is None:
            return
        waiting = self._native.send_control(message, self._clock.seconds())
        if waiting > self._limits.control_bytes:
            self.abort("too many replies unread")

    def send_media(self, frame: bytes) -> None:
        """Send one frame, padded already, or keep it for a moment if the client reads slowly."""
        if self._writing and self._native is not None:
            self._native.send_media(frame, self._clock.seconds())

    def set_authenticated(self) -> None:
        """The stream has an allocation: it may stay as long as that lives."""
        if self._native is not None:
            self._native.set_stranger(False)
        super().set_authenticated()

    def allocation_ended(self) -> None:
        """The stream has no allocation any more; it may ask for another one for a while."""
        if self._native is not None and self._allocation_deadline is None and self._writing:
            self._native.set_stranger(True)
        super().allocation_ended()

    def close(self, reason: str) -> None:
        """End the stream after what has been written, at the latest after five seconds."""
        if self._closing or not self._writing:
            return
        self._closing = reason
        self._writing = False
        if self._native is None:
            self._wire.loseConnection()
        elif self._native.close():
            self._close_deadline = self._clock.callLater(0, self._lost, ConnectionDone())
            return
        self._close_deadline = self._clock.callLater(CLOSE_PATIENCE, self._give_up)

    def abort(self, reason: str) -> None:
        """End the stream now; what the client has not read is lost."""
        if self._closing or not self._writing:
            return
        self._closing = reason
        self._writing = False
        if self._native is None:
            self._wire.abortConnection()
        else:
            self._native.abort()
            self._close_deadline = self._clock.callLater(0, self._lost, ConnectionAborted())

    def _give_up(self) -> None:
        if self._native is None:
            self._wire.abortConnection()
        else:
            self._native.abort()
            self._lost(ConnectionAborted())

    def _lost(self, why: Exception) -> None:
        """Let Twisted tell everybody that the connection is gone, ``connectionLost`` included."""
        handed, self._handed = self._handed, None
        if handed is not None:
            handed.lost(Failure(why))


class NativeStreams:
    """
    Makes the streams of a core and hands out what it has for them.

    Connections with TLS stay Twisted's where OpenSSL cannot be called from C; ``tls_words`` says
    so for the log. ``media_to_python``: the service gets media of streams without a flow.
    """

    def __init__(
        self,
        core: NativeCore,
        clock: IReactorTime,
        limits: StreamLimits | None = None,
        *,
        media_to_python: bool = False,
    ) -> None:
        self.clock = clock
        self.limits = StreamLimits() if limits is None else limits
        self._core = core
        self._streams = Streams(
            core.core,
            self.limits.media_age,
            self.limits.media_bytes,
            self.limits.unauthenticated_frames,
            media_to_python,
        )
        self._open: dict[int, NativeStream] = {}
        self._tick: IDelayedCall | None = None
        self._dropped = 0
        self._totals: StreamTotals | None = None
        self._openssl: OpenSsl | None = None
        self.tls_words = "native"
        """Who encrypts."""
        try:
            self._openssl = openssl_calls()
        except OpenSslUnusable as unusable:
            self.tls_words = f"Twisted ({unusable})"

    def client(
        self, five_tuple: FiveTuple, service: StreamService, totals: StreamTotals
    ) -> TurnStream:
        """A protocol for one client that was just accepted."""
        if self._openssl is None and five_tuple.transport is Transport.TLS:
            return StreamClient(five_tuple, service, self.clock, self.limits, totals)
        self._totals = totals
        return NativeStream(self, five_tuple, service, totals)

    def layer(self, connection: SSL.Connection) -> TlsLayer:
        """The connection for C."""
        if self._openssl is None:
            raise AssertionError("without OpenSSL no connection is handed over")
        return layer(self._openssl, connection)

    def open(
        self, stream: NativeStream, handed: HandedOver, records: bytes, tls: TlsLayer | None
    ) -> Stream:
        """Serve a descriptor that was handed over. Raises OSError."""
        native = Stream(
            self._streams, handed.descriptor, handed.unsent + records, tls, self.clock.seconds()
        )
        if not self._open:
            self._core.join({STREAM: self._arrived, STREAM_END: self._over})
            self._tick = self.clock.callLater(_TICK, self._on_tick)
        self._open[native.handle] = stream
        return native

    def feed(self, native: Stream, data: bytes) -> None:
        """Take bytes that were read before."""
        native.feed(data, self.clock.seconds())
        self._core.hand_out()

    def forget(self, stream: NativeStream, native: Stream) -> None:
        """The stream is gone."""
        self._count_dropped()
        if self._open.pop(native.handle, None) is not None and not self._open:
            self._core.leave()
            if self._tick is not None and self._tick.active():
                self._tick.cancel()

    def _on_tick(self) -> None:
        self._tick = self.clock.callLater(_TICK, self._on_tick)
        self._streams.expire(self.clock.seconds(), self.limits.frame_timeout)
        self._count_dropped()
        self._core.hand_out()

    def _count_dropped(self) -> None:
        dropped = self._streams.media_dropped
        if self._totals is not None:
            self._totals.media_dropped += dropped - self._dropped
        self._dropped = dropped

    def _arrived(self, owner: int, more: int, source: object, data: bytes) -> None:
        stream = self._open.get(owner)
        if stream is not None:
            stream.arrived(data)

    def _over(self, owner: int, more: int, source: object, data: bytes) -> None:
        stream = self._open.get(owner)
        if stream is not None:
            stream.over(more)
