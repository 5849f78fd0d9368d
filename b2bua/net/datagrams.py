"""
One UDP socket for SIP: read in small turns, written at once, with what ICMP reports about it.

The socket is ours and not Twisted's, because a flood must not hold the reactor: a wake-up reads a
few packets, and what is left makes the socket readable again.
"""

from __future__ import annotations

import errno
import select
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
_MOST_REPORTS = 64
_BUFFER = 1 << 20
_LATER = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM})
"""The packet is lost, but the way is not: whoever sent it will send it again."""

Datagram = Callable[[bytes, str, int], None]
"""Takes the bytes, and host and port of the sender."""
Unreachable = Callable[[str, int, str], None]
"""Takes host and port that cannot be reached, and why."""


class ReportingSocket:
    """
    A bound, non-blocking UDP socket that tells which packets did not arrive. Raises OSError.

    It is watched through an epoll descriptor of its own, which is readable for packets and for
    reports alike: event loops differ in what they do when the socket itself has an error.
    """

    def __init__(self, host: str, port: int) -> None:
        family = socket.AF_INET6 if isIPv6Address(host) else socket.AF_INET
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._sock = socket.socket(family, kind)
        try:
            if family == socket.AF_INET6:
                self._sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                self._sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
            else:
                self._sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            self._sock.bind((host, port))
            self._epoll = select.epoll()
        except OSError:
            self._sock.close()
            raise
        self._epoll.register(self._sock, select.EPOLLIN)
        self.sendto = self._sock.sendto
        self.recvfrom_into = self._sock.recvfrom_into

    def getsockname(self) -> tuple[str, int]:
        """Host and port that are bound."""
        address = self._sock.getsockname()
        return address[0], address[1]

    def fileno(self) -> int:
        """What to watch."""
        return -1 if self._epoll.closed else self._epoll.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._epoll.close()
        self._sock.close()

    def has_reports(self) -> bool:
        """Whether the network has something to tell."""
        return any(events & select.EPOLLERR for _, events in self._epoll.poll(0))

    def take_reports(self) -> list[tuple[int, tuple[str, int]]]:
        """Give error numbers, and whom the packets were for."""
        reports: list[tuple[int, tuple[str, int]]] = []
        while len(reports) < _MOST_REPORTS:
            try:
                _, ancillary, _, peer = self._sock.recvmsg(0, 512, socket.MSG_ERRQUEUE)
            except OSError:
                break
            for _, _, data in ancillary:
                if len(data) >= _EXTENDED_ERROR.size and peer:
                    reports.append((_EXTENDED_ERROR.unpack_from(data)[0], (peer[0], peer[1])))
        return reports


@implementer(IReadDescriptor)
class DatagramPort:
    """
    Gives what arrives at ``sock`` to ``received`` and sends from it.

    ``unreachable`` is called where the network says that a packet of ours had nobody to take it.
    """

    log = Logger(namespace="sip")

    def __init__(
        self,
        sock: ReportingSocket,
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
        self.host, self.port = sock.getsockname()

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
            if not self._read_reports():
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
        if self._sock.has_reports():
            self._read_reports()
        for _ in range(self._limits.datagrams_per_turn):
            if not self._is_reading:
                return
            try:
                size, source = self._sock.recvfrom_into(self._buffer)
            except BlockingIOError:
                return
            except OSError:
                # Any other error of a UDP socket is the report about a packet that we sent.
                self._read_reports()
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

    def _read_reports(self) -> bool:
        """Tell what the kernel knows of packets that did not arrive; whether it knew any."""
        reports = self._sock.take_reports()
        for number, (host, port) in reports:
            self._unreachable(host, port, _words(number))
        return bool(reports)


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
