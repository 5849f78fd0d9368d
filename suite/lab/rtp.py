"""
The media of one call of a phone: RTP that comes back, or a melody (RFC 3550).

No jitter buffer, no reports, nothing to hear: it is there to be seen and counted.
"""

from __future__ import annotations

import secrets
import struct

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IDelayedCall, IListeningPort, IReactorTime, IReactorUDP
from twisted.internet.protocol import DatagramProtocol

from suite.lab.melody import FRAME, PCMA, PCMU, frame
from suite.lab.settings import Address, is_loopback

_HEADER = struct.Struct("!BBHII")
_VERSION_2 = 0x80
_FRAME_SECONDS = 0.02
_TRIES = 32
_FIRST_PORT, _PORTS = 20_000, 5_000
"""Media take an even one of these, whichever is free."""


class RtpSocket(DatagramProtocol):
    """
    One UDP port. ``echoes``: what comes goes back; otherwise the melody is played.

    It sends to ``target`` while it ``may_send``.
    """

    def __init__(self, clock: IReactorTime, *, echoes: bool) -> None:
        self._clock = clock
        self._echoes = echoes
        self._port: IListeningPort | None = None
        self._timer: IDelayedCall | None = None
        self._ssrc = secrets.randbits(32)
        self._sequence = secrets.randbelow(1 << 15)
        self._stamp = secrets.randbits(31)
        self._frame = 0
        self._due = 0.0
        self.target: Address | None = None
        self.may_send = False
        self.payload_type = PCMU
        self.received = 0
        self.sent = 0

    def open(self, reactor: IReactorUDP, host: str) -> int:
        """Bind a free port; raises CannotListenError."""
        for _ in range(_TRIES):
            port = _FIRST_PORT + 2 * secrets.randbelow(_PORTS)
            try:
                self._port = reactor.listenUDP(port, self, host, 8192)
            except CannotListenError:
                continue
            return port
        raise CannotListenError(host, 0, OSError(f"{_TRIES} ports were taken"))

    def close(self) -> None:
        """Send and take nothing any more."""
        self._stop()
        port, self._port = self._port, None
        if port is not None:
            port.stopListening()

    def direct(self, target: Address | None, *, may_send: bool, payload_type: int) -> None:
        """Say where media go, and whether; never anywhere but this machine."""
        if target is not None and not is_loopback(target[0]):
            target = None
        self.target, self.may_send, self.payload_type = target, may_send, payload_type
        plays = may_send and target is not None and not self._echoes
        if not plays:
            self._stop()
        elif self._timer is None:
            self._due = self._clock.seconds()
            self._play()

    def datagramReceived(self, datagram: bytes, addr: Address) -> None:
        """Take a packet, and send it back if that is what this phone does."""
        if len(datagram) < _HEADER.size or datagram[0] & 0xC0 != _VERSION_2:
            return
        self.received += 1
        if self._echoes and self.may_send and self.target is not None:
            first, kind, sequence, stamp, _ = _HEADER.unpack_from(datagram)
            header = _HEADER.pack(first, kind, sequence, stamp, self._ssrc)
            self._send(header + datagram[_HEADER.size :])

    def _play(self) -> None:
        self._timer = None
        law = self.payload_type if self.payload_type in (PCMU, PCMA) else PCMU
        header = _HEADER.pack(_VERSION_2, law, self._sequence, self._stamp, self._ssrc)
        self._send(header + frame(self._frame, law))
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._stamp = (self._stamp + FRAME) & 0xFFFFFFFF
        self._frame += 1
        # By the clock and not by the wait, so that the pace holds where the reactor is late.
        self._due = max(self._due + _FRAME_SECONDS, self._clock.seconds() - 1)
        wait = max(0.0, self._due - self._clock.seconds())
        self._timer = self._clock.callLater(wait, self._play)

    def _send(self, packet: bytes) -> None:
        if self.transport is not None and self.target is not None:
            self.sent += 1
            self.transport.write(packet, self.target)

    def _stop(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
