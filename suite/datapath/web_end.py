"""
One end on the transport of a browser: its packets are those with its payload types.
"""

from __future__ import annotations

from b2bua.media_plane import StreamTerms
from b2bua.rtp.latch import Source
from b2bua.rtp.stream import OutgoingStream
from suite.datapath.media_end import MOST_PER_SECOND, MediaEnd, Surroundings
from suite.datapath.web_transport import WebTransport


class WebEnd(MediaEnd):
    """An end whose packets its transport encrypts, decrypts, and shows the way."""

    __slots__ = ("transport",)

    def __init__(
        self, transport: WebTransport, around: Surroundings, outgoing: OutgoingStream, name: bytes
    ) -> None:
        super().__init__(around, outgoing, name)
        self.transport = transport
        self.latch = transport.route

    def apply(self, terms: StreamTerms) -> None:
        """Take over what holds from now on; see b2bua.media_plane.StreamTerms."""
        super().apply(terms)
        self.transport.sort_numbers()

    def receive(self, start: int, size: int, now: float) -> None:
        """Per packet: take what is in the buffer, decrypted."""
        if self.taken(now) >= MOST_PER_SECOND:
            self.drop("flood")
            return
        self._taken += 1
        self.received(start, size, now)

    @property
    def can_control(self) -> bool:
        """Whether RTCP has anywhere to go."""
        return self.latch.target is not None

    def put_control(self, datagram: bytes) -> bool:
        """Send RTCP; tell whether it left."""
        return self.transport.send_control(datagram)

    def seal(self, packet: bytes | memoryview) -> bytes:
        """Per packet: encrypt it. Raises OSError."""
        return self.transport.seal(packet)

    def put(self, data: bytes, target: Source) -> None:
        """Per packet: send what was encrypted. Raises OSError."""
        self.transport.put(data, target)
