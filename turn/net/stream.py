"""
One client of the relay over TCP or TLS (RFC 8656, section 2.1; RFC 8489, section 6.2.2).

Cuts the stream into STUN messages and ChannelData, and writes back what the relay sends. A
reader that is slower than its media loses the oldest media, never a reply, and never costs more
memory than ``StreamLimits`` allows. What the messages mean is the service's business.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol as Seam
from typing import cast

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from turn.data_plane import ClientPath
from turn.five_tuple import FiveTuple
from turn.stun.errors import FramingError
from turn.stun.framing import FrameReader, padded_frames

_FIRST_CHANNEL_BYTE = 0x40
_SEND_INDICATION = b"\x00\x16"
CLOSE_PATIENCE = 5.0
"""Seconds for a close that waits for the client."""
_WRITE_AT_ONCE = 16 * 1024
"""Queued frames leave in writes of about one TLS record."""


class StreamService(Seam):
    """What the relay does with the frames of its streams."""

    def control(self, message: bytes, path: ClientPath) -> None:
        """Take one STUN message other than a Send indication."""

    def media(self, path: ClientPath, frame: bytes) -> None:
        """Take one ChannelData message or Send indication."""

    def disconnected(self, path: ClientPath, reason: str) -> None:
        """Forget the path: its stream is gone. Called once, never from within ``control``."""


class StreamTransport(Seam):
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


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """How long a stream may dawdle (seconds) and how much waits for it (bytes)."""

    frame_timeout: float = 10.0
    """For the rest of a frame that has begun."""
    unauthenticated_timeout: float = 30.0
    """Without an allocation."""
    unauthenticated_frames: int = 200
    """Without an allocation; a client needs three or four to get one."""
    media_age: float = 0.5
    media_bytes: int = 256 * 1024
    control_bytes: int = 64 * 1024


@dataclass(slots=True)
class StreamTotals:
    """What happened to all streams so far, for metrics."""

    media_dropped: int = 0
    closed: Counter[str] = field(default_factory=Counter)
    """By reason; the reasons are a fixed set of sentences."""


class TurnStream(Protocol):
    """
    The protocol of one stream and the ``ClientPath`` back to it, whoever moves its bytes.

    The stream closes by itself when it has been without an allocation for
    ``limits.unauthenticated_timeout``: whoever grants one says ``set_authenticated``, and
    ``allocation_ended`` when it is over.
    """

    def __init__(
        self,
        five_tuple: FiveTuple,
        service: StreamService,
        clock: IReactorTime,
        limits: StreamLimits,
        totals: StreamTotals | None = None,
    ) -> None:
        self.five_tuple = five_tuple
        self.totals = StreamTotals() if totals is None else totals
        self.authentication_changed: Callable[[bool], None] | None = None
        """Told when the stream gets its allocation (True) and when it has lost it (False)."""
        self._service = service
        self._clock = clock
        self._limits = limits
        self._writing = False
        self._allocation_deadline: IDelayedCall | None = None
        self._close_deadline: IDelayedCall | None = None
        self._closing = ""

    @property
    def media_dropped(self) -> int:
        """Frames that were too old or too many for this client."""
        raise NotImplementedError

    @property
    def media_waiting(self) -> tuple[int, int]:
        """Frames and bytes that wait for this client."""
        raise NotImplementedError

    def send_control(self, message: bytes) -> None:
        """Send one STUN message; a client that lets 64 KiB of them wait is disconnected."""
        raise NotImplementedError

    def send_media(self, frame: bytes) -> None:
        """Send one frame, padded already, or keep it for a moment if the client reads slowly."""
        raise NotImplementedError

    def close(self, reason: str) -> None:
        """End the stream after what has been written, at the latest after five seconds."""
        raise NotImplementedError

    def set_authenticated(self) -> None:
        """The stream has an allocation: it may stay as long as that lives."""
        if self._allocation_deadline is None:
            return
        self._allocation_deadline.cancel()
        self._allocation_deadline = None
        if self.authentication_changed is not None:
            self.authentication_changed(True)

    def allocation_ended(self) -> None:
        """The stream has no allocation any more; it may ask for another one for a while."""
        if self._allocation_deadline is not None or not self._writing:
            return
        self._await_allocation()
        if self.authentication_changed is not None:
            self.authentication_changed(False)

    def _await_allocation(self) -> None:
        self._allocation_deadline = self._clock.callLater(
            self._limits.unauthenticated_timeout, self._allocation_due
        )

    def _allocation_due(self) -> None:
        self._allocation_deadline = None
        self.close("not authenticated in time")

    def _ended(self, reason: Failure) -> None:
        """Tell the service, once."""
        for deadline in (self._allocation_deadline, self._close_deadline):
            if deadline is not None and deadline.active():
                deadline.cancel()
        sentence = self._closing or (
            "client disconnected" if reason.check(ConnectionDone) else "connection lost"
        )
        self.totals.closed[sentence] += 1
        self._service.disconnected(self, sentence)


@implementer(IPushProducer)
class StreamClient(TurnStream):
    """
    A stream whose bytes a Twisted transport moves.

    It closes by itself after a frame that is neither STUN nor ChannelData.
    """

    def __init__(
        self,
        five_tuple: FiveTuple,
        service: StreamService,
        clock: IReactorTime,
        limits: StreamLimits,
        totals: StreamTotals | None = None,
    ) -> None:
        super().__init__(five_tuple, service, clock, limits, totals)
        self._dropped = 0
        self._frames = FrameReader()
        self._blocked = False
        self._control: deque[bytes] = deque()
        self._control_bytes = 0
        self._media: deque[tuple[float, bytes]] = deque()
        self._media_bytes = 0
        self._strange_frames = 0
        self._partial_since: float | None = None
        self._frame_deadline: IDelayedCall | None = None

    @property
    def media_dropped(self) -> int:
        """Frames that were too old or too many for this client."""
        return self._dropped

    @property
    def media_waiting(self) -> tuple[int, int]:
        """Frames and bytes that wait for this client."""
        return len(self._media), self._media_bytes

    def connectionMade(self) -> None:
        """Begin to wait for the first frame."""
        self._writing = True
        self._outlet = cast(StreamTransport, self.transport)
        self._outlet.registerProducer(self, True)
        self._await_allocation()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the service, once, and let go of everything that waited."""
        self._writing = False
        self._drop_queues()
        if self._frame_deadline is not None and self._frame_deadline.active():
            self._frame_deadline.cancel()
        self._ended(reason)

    # Hot path; benchmarks/stream_client.py measures it.
    def dataReceived(self, data: bytes) -> None:
        """Hand over every frame that is whole now."""
        if self._closing:
            return
        try:
            frames = self._frames.feed(data)
        except FramingError as error:
            if self._allocation_deadline is None or self._takes_strange(len(error.frames)):
                self._deliver(error.frames)
                self.close("framing error")
            return
        if self._allocation_deadline is not None and not self._takes_strange(len(frames)):
            return
        self._deliver(frames)
        if not self._frames.pending:
            self._partial_since = None
        elif frames or self._partial_since is None:
            self._await_frame()

    def _takes_strange(self, frames: int) -> bool:
        # One read may hold thousands of frames, and nothing is known of who sends them.
        self._strange_frames += frames
        if self._strange_frames > self._limits.unauthenticated_frames:
            self.close("too many frames without an allocation")
        return not self._closing

    def _deliver(self, frames: list[bytes]) -> None:
        for frame in frames:
            if frame[0] >= _FIRST_CHANNEL_BYTE or frame[:2] == _SEND_INDICATION:
                self._service.media(self, frame)
            else:
                self._service.control(frame, self)
            if not self._writing:
                return

    def send_control(self, message: bytes) -> None:
        """Send one STUN message; a client that lets 64 KiB of them wait is disconnected."""
        if not self._writing:
            return
        if not self._blocked:
            self._outlet.write(message)
            return
        self._control.append(message)
        self._control_bytes += len(message)
        if self._control_bytes > self._limits.control_bytes:
            self.abort("too many replies unread")

    # Hot path; benchmarks/stream_client.py measures it.
    def send_media(self, frame: bytes) -> None:
        """
        Send frames, padded already, or keep them for a moment if the client reads slowly.

        They wait, and are dropped and counted, one by one.
        """
        if not self._blocked:
            if self._writing:
                self._outlet.write(frame)
            return
        if self._writing:
            now = self._clock.seconds()
            self._media.extend((now, each) for each in padded_frames(frame))
            self._media_bytes += len(frame)
            self._drop_old_media()

    def close(self, reason: str) -> None:
        """End the stream after what has been written, at the latest after five seconds."""
        if self._closing or not self._writing:
            return
        self._stop(reason)
        self._outlet.loseConnection()
        self._close_deadline = self._clock.callLater(CLOSE_PATIENCE, self._outlet.abortConnection)

    def abort(self, reason: str) -> None:
        """End the stream now; what the client has not read is lost."""
        if self._closing or not self._writing:
            return
        self._stop(reason)
        self._outlet.abortConnection()

    def pauseProducing(self) -> None:
        """The transport takes no more: what follows waits here, where it can be dropped."""
        self._blocked = True

    def resumeProducing(self) -> None:
        """Write what waited, replies first, until the transport is full again."""
        self._blocked = False
        self._drop_old_media()
        while self._writing and not self._blocked:
            chunk = self._take_queued()
            if not chunk:
                return
            self._outlet.write(chunk)

    def stopProducing(self) -> None:
        """The transport is gone; ``connectionLost`` follows."""
        self._writing = False

    def _take_queued(self) -> bytes:
        taken: list[bytes] = []
        size = 0
        while self._control and size < _WRITE_AT_ONCE:
            message = self._control.popleft()
            self._control_bytes -= len(message)
            taken.append(message)
            size += len(message)
        while self._media and size < _WRITE_AT_ONCE:
            _, frame = self._media.popleft()
            self._media_bytes -= len(frame)
            taken.append(frame)
            size += len(frame)
        return b"".join(taken)

    def _drop_old_media(self) -> None:
        oldest = self._clock.seconds() - self._limits.media_age
        while self._media and (
            self._media[0][0] < oldest or self._media_bytes > self._limits.media_bytes
        ):
            _, frame = self._media.popleft()
            self._media_bytes -= len(frame)
            self._count_dropped(1)

    def _count_dropped(self, frames: int) -> None:
        self._dropped += frames
        self.totals.media_dropped += frames

    def _drop_queues(self) -> None:
        self._count_dropped(len(self._media))
        self._media.clear()
        self._control.clear()
        self._media_bytes = self._control_bytes = 0

    def _stop(self, reason: str) -> None:
        self._closing = reason
        self._writing = False
        self._drop_queues()
        # A transport with a producer would wait for it instead of closing.
        self._outlet.unregisterProducer()

    def _await_frame(self) -> None:
        if not self._writing:
            return
        self._partial_since = self._clock.seconds()
        if self._frame_deadline is None:
            self._frame_deadline = self._clock.callLater(
                self._limits.frame_timeout, self._frame_due
            )

    def _frame_due(self) -> None:
        # One timer serves many frames: nearly every read of a busy stream ends inside a frame,
        # and a timer for each would cost more than the frame.
        self._frame_deadline = None
        if self._partial_since is None:
            return
        age = self._clock.seconds() - self._partial_since
        if age >= self._limits.frame_timeout:
            self.close("frame not finished in time")
        else:
            self._frame_deadline = self._clock.callLater(
                self._limits.frame_timeout - age, self._frame_due
            )

    def _await_allocation(self) -> None:
        self._strange_frames = 0
        super()._await_allocation()
