"""
UDP sockets as the data plane wants them, and what the kernel reports about them.
"""

from __future__ import annotations

import errno
import socket
import struct
from dataclasses import dataclass

from turn.data_plane import RelayPortBusy, RelaySocketsExhausted
from turn.five_tuple import Address, FiveTuple, Transport

SocketAddress = tuple[str, int] | tuple[str, int, int, int]
"""What recvfrom gives: (host, port), for IPv6 with flow label and scope."""

# The socket module of Python 3.11 does not name these (linux/in.h, linux/in6.h).
IP_MTU_DISCOVER = 10
IP_RECVERR = 11
IPV6_MTU_DISCOVER = 23
IPV6_RECVERR = 25
PMTUDISC_DONT = 0
PMTUDISC_DO = 2
ORIGIN_ICMP = 2
ORIGIN_ICMP6 = 3

_EXTENDED_ERROR = struct.Struct("=IBBBxII")
"""struct sock_extended_err: errno, origin, type, code, info, data (linux/errqueue.h)."""

RELAYED_ICMP = {ORIGIN_ICMP: frozenset({3, 11}), ORIGIN_ICMP6: frozenset({1, 2, 3})}
"""Types that reach the client: unreachable, too big, time exceeded (RFC 8656, section 11.5)."""


@dataclass(frozen=True, slots=True)
class IcmpError:
    """An ICMP error that a relayed packet caused."""

    peer: SocketAddress
    type: int
    code: int
    mtu: int
    """Next-hop MTU where the error carries one, else 0."""


def udp_five_tuple(client: SocketAddress, server: Address) -> FiveTuple:
    """The five-tuple of a UDP client, as a socket names it; its zone is the socket's, not its."""
    return FiveTuple(Transport.UDP, (client[0].partition("%")[0], client[1]), server)


def udp_socket(address: Address, buffer: int = 0) -> socket.socket:
    """
    A bound, non-blocking UDP socket; ``buffer`` is the size of both kernel buffers in bytes.

    Raises OSError.
    """
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


def relay_socket(address: Address) -> socket.socket:
    """
    A relay socket: packets leave without DF unless asked for, ICMP errors can be read back.

    Raises RelayPortBusy or RelaySocketsExhausted.
    """
    try:
        sock = udp_socket(address)
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            raise RelayPortBusy(f"{address[0]} port {address[1]}: {error.strerror}") from error
        raise RelaySocketsExhausted(str(error.strerror)) from error
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    set_dont_fragment(sock, False)
    return sock


def set_dont_fragment(sock: socket.socket, on: bool) -> None:
    """Choose whether packets of this socket carry DF (RFC 8656, section 15)."""
    value = PMTUDISC_DO if on else PMTUDISC_DONT
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, value)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, value)


def read_icmp_error(sock: socket.socket) -> IcmpError | None:
    """
    Take one entry off the socket's error queue; what is not a relayed ICMP error is skipped.

    None when the queue is empty.
    """
    while True:
        try:
            _, ancillary, _, peer = sock.recvmsg(0, 512, socket.MSG_ERRQUEUE)
        except OSError:
            return None
        for _, _, data in ancillary:
            if len(data) < _EXTENDED_ERROR.size:
                continue
            _, origin, kind, code, info, _ = _EXTENDED_ERROR.unpack_from(data)
            if kind in RELAYED_ICMP.get(origin, ()):
                return IcmpError(peer, kind, code, info)
