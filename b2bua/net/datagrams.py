"""
One UDP socket for SIP: read in small turns, written at once, with what ICMP reports about it.

The socket is ours and not Twisted's, because a flood must not hold the reactor: a wake-up reads a
few packets, and what is left makes the socket readable again.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable

from twisted.internet.abstract import isIPv6Address
from twisted.internet.interfaces import IReactorFDSet, IReactorTime, IReadDescriptor
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from b2bua.net.limits import TransportLimits, TransportTotals

# The socket module of Python 3.11 does not name these (linux/in.h, linux/in6.h).
_IP_RECVERR = 11
_IPV6_RECVERR = 25
_EXTENDED_ERROR = struct.Struct("=IBBBxII")
"""struct sock_extended_err: errno, origin, type, code, info, data (linux/errqueue.h)."""
_LARGEST = 65_536
_BUFFER = 1 << 20
_LATER = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM})
"""The packet is lost, but the way is not: whoever sent it will send it again."""

Datagram = Callable[[bytes, str, int], None]
"""Takes the bytes, and host and port of the sender."""
Unreachable = Callable[[str, int, str], None]
"""Takes host and port that cannot be reached, and why."""


def datagram_socket(host: str, port: int) -> socket.socket:
    """Bind a non-blocking UDP socket that reports ICMP errors. Raises OSError."""
    family = socket.AF_INET6 if isIPv6Address(host) else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


@implementer(IReadDescriptor)
class DatagramPort:
    """
    Gives what arrives at ``sock`` to ``received`` and sends from it.

    ``unreachable`` is called where the network says that a packet of ours had nobody to take it.
    """

    log = Logger(namespace="sip")

    def __init__(
        self,
        sock: socket.socket,
        reactor: IReactorFDSet,
        clock: IReactorTime,
        received: Datagram,
        unreachable: Unreachable,
        limits: TransportLimits,
        totals: TransportTotals,
    ) -> None:
        self._sock = sock
        self._reactor = reactor
        self._clock = clock
        self._received = received
        self._unreachable = unreachable
        self._limits = limits
        self._totals = totals
        self._is_reading = False
        self._buffer = bytearray(_LARGEST)
        self._view = memoryview(self._buffer)
        address = sock.getsockname()
        self.host: str = address[0]
        self.port: int = address[1]

    def start(self) -> None:
        """Begin to read."""
        self._is_reading = True
        self._reactor.addReader(self)

    def stop(self) -> None:
        """Close the socket."""
        if self._is_reading:
            self._is_reading = False
            self._reactor.removeReader(self)
            self._sock.close()

    def serves(self, host: str) -> bool:
        """Whether packets to this host can leave from here."""
        return isIPv6Address(host) == isIPv6Address(self.host)

    def send(self, data: bytes, host: str, port: int) -> str:
        """Send; return why that is impossible, "" where nothing is known against it."""
        try:
            self._sock.sendto(data, (host, port))
            return ""
        except OSError as error:
            if not self._read_errors():
                return self._judge(error)
        # It was the report about an earlier packet, perhaps to somebody else.
        try:
            self._sock.sendto(data, (host, port))
        except OSError as error:
            return self._judge(error)
        return ""

    def _judge(self, error: OSError) -> str:
        if error.errno in _LATER:
            self._totals.dropped["network busy"] += 1
            return ""
        return _words(error.errno)

    # What the reactor calls.

    def fileno(self) -> int:
        """The socket's, -1 once it is closed."""
        return self._sock.fileno()

    def logPrefix(self) -> str:
        """How the log names it."""
        return "sip"

    def doRead(self) -> None:
        """Take what is there, up to the budget of one turn."""
        until = self._clock.seconds() + self._limits.seconds_per_turn
        for _ in range(self._limits.datagrams_per_turn):
            if not self._is_reading:
                return
            try:
                size, source = self._sock.recvfrom_into(self._buffer)
            except BlockingIOError:
                return
            except OSError:
                # Any other error of a UDP socket is the report about a packet that we sent.
                self._read_errors()
                continue
            try:
                self._received(bytes(self._view[:size]), source[0], source[1])
            except Exception:
                # The fault is ours; the socket belongs to every other peer too.
                self.log.failure("a SIP datagram of {size} bytes could not be handled", size=size)
            if self._clock.seconds() >= until:
                return

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The reactor gives the socket up."""
        self.stop()

    def _read_errors(self) -> bool:
        """Tell what the kernel knows of packets that did not arrive; whether it knew any."""
        known = False
        while True:
            try:
                _, ancillary, _, peer = self._sock.recvmsg(0, 512, socket.MSG_ERRQUEUE)
            except OSError:
                return known
            known = True
            for _, _, report in ancillary:
                if len(report) >= _EXTENDED_ERROR.size and peer:
                    number = _EXTENDED_ERROR.unpack_from(report)[0]
                    self._unreachable(peer[0], peer[1], _words(number))


def _words(number: int | None) -> str:
    """A fixed phrase for an error number."""
    return {
        errno.ECONNREFUSED: "port unreachable",
        errno.EHOSTUNREACH: "host unreachable",
        errno.ENETUNREACH: "network unreachable",
        errno.EMSGSIZE: "message too long",
        errno.EACCES: "forbidden by this host",
        errno.EPERM: "forbidden by this host",
    }.get(number or 0, "not sent")
