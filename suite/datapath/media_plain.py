"""
Ends with sockets of their own, RTP on one and RTCP beside it: SIP phones and SIP Servers.

In the clear, or as SRTP by keys that SDP has agreed on (RFC 4568). The functions marked
*per packet* are what ``benchmarks/rtp.py`` measures.
"""

from __future__ import annotations

import errno
import socket

from b2bua.media_plane import SrtpKeys, StreamTerms
from b2bua.net.srtp import SrtpSession
from b2bua.rtp.latch import Latch, Source, usable
from b2bua.rtp.packet import HEADER_SIZE, VERSION_2, payload_start
from b2bua.rtp.rtcp import is_rtcp
from b2bua.rtp.stream import OutgoingStream
from suite.datapath.media_end import (
    CONTROL_COST,
    MOST_CONTROL,
    PACKETS_PER_SOCKET,
    SHORTEST,
    why_sealed,
)
from suite.datapath.twin_end import Pace, Send, Surroundings, TwinEnd


class PlainEnd(TwinEnd):
    """An end, and its RTP socket as the plane polls it."""

    __slots__ = ("_control_pace", "_keys", "_receive_into", "_srtp", "control", "mux", "sock")

    def __init__(
        self,
        sock: socket.socket,
        control: socket.socket,
        around: Surroundings,
        outgoing: OutgoingStream,
        name: bytes,
    ) -> None:
        super().__init__(around, outgoing, name)
        self.sock = sock
        self.control = ControlSocket(control, self, around)
        self.mux = False
        self._control_pace = Pace()
        """Of RTCP on the RTP port."""
        self._keys: SrtpKeys | None = None
        self._srtp: SrtpSession | None = None
        self._receive_into = sock.recvfrom_into

    def apply(self, terms: StreamTerms) -> None:
        """Take over what holds from now on; see b2bua.media_plane.StreamTerms."""
        if terms.keys != self._keys:
            self._keys = terms.keys
            self._srtp = None if terms.keys is None else SrtpSession(terms.keys, self._srtp)
            # What went out before, perhaps in the clear, does not go out again.
            self._kept = None
        super().apply(terms)
        own, now = self.sock.getsockname()[0], self._around.seconds()
        self.latch.aim(usable(terms.remote, own), now)
        self.control.latch.aim(usable(terms.remote_rtcp, own), now)
        self.mux = terms.rtcp_mux

    def receive(self) -> int:
        """Read what came."""
        around = self._around
        buffer, now = around.buffer, around.seconds()
        most = min(PACKETS_PER_SOCKET, around.share)
        spent = 0
        while spent < most:
            try:
                size, source = self._receive_into(buffer)
            except OSError:
                break
            spent += self._take(size, source, now)
        return spent or 1

    def _take(self, size: int, source: Source, now: float) -> int:
        """
        Per packet: what the peer sent goes out at the joined end; say what that took.

        Strangers end at the first check, and what is no authentic RTP before anything is counted.
        """
        latch, buffer = self.latch, self._around.buffer
        is_source = source == latch.source
        if not is_source and not latch.hears(source, now):
            self.drop("source")
            return 1
        if self.mux and size >= SHORTEST and is_rtcp(buffer[1]):
            return self._take_control(size, now)
        if self._srtp is not None:
            size = self._unprotected(self._srtp, size)
            if not size:
                return 1
        plain = buffer[0] == VERSION_2 and size >= HEADER_SIZE
        start = HEADER_SIZE if plain else payload_start(buffer, size)
        if start < 0:
            self.drop("malformed")
            return 1
        if not is_source:
            self._lock(source, now)
        self.received(start, size, now)
        return 1

    def _take_control(self, size: int, now: float) -> int:
        """
        RTCP on the RTP port. To find out whether it is authentic is what costs: it is counted
        before, and apart from RTP, which goes on whatever calls itself RTCP.
        """
        if self._control_pace.is_over(now, MOST_CONTROL):
            self.drop("flood")
            return 1
        self.read_control(bytes(self._around.view[:size]), self._srtp, now)
        return CONTROL_COST

    def _lock(self, source: Source, now: float) -> None:
        """The peer sends from here: what others may have used up before is not its own."""
        self.latch.lock(source, now)
        self._pace, self._control_pace = Pace(), Pace()

    def receive_control(self, data: bytes, now: float) -> bool:
        """Take a datagram of the peer's RTCP. Tell whether it was one."""
        return self.read_control(data, self._srtp, now)

    def report_errors(self) -> None:
        """Nobody asks for errors; reading the state clears it."""
        self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    @property
    def can_control(self) -> bool:
        """Whether RTCP has anywhere to go."""
        return (self.latch if self.mux else self.control.latch).target is not None

    def put_control(self, datagram: bytes) -> bool:
        """Send RTCP; tell whether it left."""
        over = self if self.mux else self.control
        target, srtp = over.latch.target, self._srtp
        data = datagram if srtp is None else srtp.protect_rtcp(datagram)
        if target is None or data is None:
            return False
        try:
            over.sock.sendto(data, target)
        except OSError:
            return False
        return True

    def _unprotected(self, srtp: SrtpSession, size: int) -> int:
        """Per packet of SRTP: decrypt what is in the buffer; return its size, or 0."""
        plain = srtp.unprotect(bytes(self._around.view[:size]))
        if plain is None:
            self.drop(why_sealed(size))
            return 0
        self._around.buffer[: len(plain)] = plain
        return len(plain)

    def _choose_send(self) -> Send:
        if self._srtp is None and self._kept is None:
            return self.sock.sendto
        return super()._choose_send()

    def takes(self, size: int) -> bool:
        """Per packet: tell whether it is not too long to be encrypted."""
        return self._srtp is None or size <= self._srtp.longest

    def seal(self, packet: bytes | memoryview) -> bytes:
        """Per packet, where it is encrypted or kept. Raises OSError."""
        data = bytes(packet)
        sealed = data if self._srtp is None else self._srtp.protect(data)
        if sealed is None:
            raise OSError(errno.EMSGSIZE, "no packet for SRTP")
        return sealed

    def put(self, data: bytes, target: Source) -> object:
        """Send what was sealed. Raises OSError."""
        return self.sock.sendto(data, target)


class ControlSocket:
    """The RTCP socket of an end."""

    __slots__ = ("_around", "_end", "latch", "sock")

    def __init__(self, sock: socket.socket, end: PlainEnd, around: Surroundings) -> None:
        self.sock = sock
        self.latch = Latch()
        self._end = end
        self._around = around

    def receive(self) -> int:
        """Read what the peer says."""
        around = self._around
        most = min(PACKETS_PER_SOCKET, around.share)
        spent = 0
        while spent < most:
            try:
                size, source = self.sock.recvfrom_into(around.buffer)
            except OSError:
                return spent or 1
            spent += CONTROL_COST
            self._take(bytes(around.view[:size]), source)
        return spent

    def _take(self, data: bytes, source: Source) -> None:
        now = self._around.seconds()
        if not self.latch.hears(source, now):
            self._end.drop("source")
        elif self._end.receive_control(data, now):
            self.latch.lock(source, now)

    def report_errors(self) -> None:
        """Nobody asks for errors; reading the state clears it."""
        self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
