"""
The TCP port and transport under the listeners: Twisted's, with three differences.

A write after a pause goes to the kernel at once, because asking the event loop for a turn costs
as much and adds its latency; the rest of a burst is gathered for one turn, which is cheaper than
a system call for each. A producer is told to pause early, so that what waits does so where it can
be dropped. An IPv6 port serves IPv6 only.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import cast

from twisted.internet import tcp
from twisted.internet.interfaces import IProtocolFactory, IReactorFDSet
from twisted.python.failure import Failure

UNSENT_LOW_WATER = 32 * 1024
"""What the kernel may hold of a stream that the network has not taken."""
_GATHERED_MAXIMUM = 8 * 1024
"""What waits in the transport itself before its producer is paused."""
_READ_AT_ONCE = 16 * 1024
"""Twisted's 64 KiB of the smallest frames would hold the reactor for tens of milliseconds."""
_BURST_GAP = 0.0002
"""Writes that are closer together, in seconds, belong to one burst."""
_USER_TIMEOUT_MS = 120_000
_KEEPALIVE = (
    (socket.TCP_KEEPIDLE, 60),
    (socket.TCP_KEEPINTVL, 15),
    (socket.TCP_KEEPCNT, 4),
)
_BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class HandedOver:
    """A connection that somebody else reads and writes from now on."""

    descriptor: int
    """Not closed by anybody else."""
    unsent: bytes
    """To be written before anything else."""
    lost: Callable[[Failure], None]
    """To be called once, when the connection is gone."""


class PromptServer(tcp.Server):
    """The server's end of one TCP connection."""

    bufferSize = _READ_AT_ONCE
    _last_write = 0.0

    # Hot path; benchmarks/stream_client.py measures it.
    def write(self, data: bytes) -> None:
        """
        Send what the kernel takes now and keep the rest, or keep all of it for the next turn.

        An error is left for the reactor to find at its next attempt, so that no protocol loses
        its connection while it is writing.
        """
        now = perf_counter()
        is_burst = now - self._last_write < _BURST_GAP
        self._last_write = now
        waits = self.dataBuffer or self._tempDataBuffer
        if self.connected and not (is_burst or waits or self.disconnecting or self.TLS):
            sent = self.writeSomeData(data)
            if isinstance(sent, int):
                if sent == len(data):
                    return
                data = data[sent:]
        super().write(data)

    def hand_over(self) -> HandedOver | None:
        """
        Give the descriptor away; nothing is read or written here any more.

        None: the connection is ending already.
        """
        if self.disconnecting or self._aborting or not self.connected:
            return None
        self.stopReading()
        self.stopWriting()
        unsent = bytes(self.dataBuffer[self.offset :]) + b"".join(self._tempDataBuffer)
        return HandedOver(self.socket.detach(), unsent, self.connectionLost)

    def _isSendBufferFull(self) -> bool:
        return len(self.dataBuffer) - self.offset + self._tempDataLen > _GATHERED_MAXIMUM


class StreamPort(tcp.Port):
    """A listening TCP port whose connections are PromptServer."""

    transport = PromptServer

    def createInternetSocket(self) -> socket.socket:
        """Make the socket; an IPv6 one leaves IPv4 to a port of its own."""
        listening = cast(socket.socket, super().createInternetSocket())
        if self.addressFamily == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        return listening


def stream_port(
    host: str, port: int, factory: IProtocolFactory, reactor: IReactorFDSet
) -> StreamPort:
    """A port that is not bound yet: ``startListening`` binds it or raises CannotListenError."""
    return StreamPort(port, factory, _BACKLOG, host, reactor)


def prepare(transport: object) -> None:
    """Set the socket options of an accepted connection; a transport without a socket has none."""
    handle = getattr(transport, "getHandle", lambda: None)()
    if not isinstance(handle, socket.socket):
        return
    handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_LOW_WATER)
    # A client that vanished with data on its way, or keeps its window shut, is given up.
    handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)
    handle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE:
        handle.setsockopt(socket.IPPROTO_TCP, option, value)
