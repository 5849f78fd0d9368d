"""
Our own allocations on a TURN server (RFC 8656), each asked for from an address of ours.

aioice speaks TURN, but leaves the source of its packets to the routes: in a DMZ that may be an
address that nobody outside is to see, or that no firewall lets out. Ours come from an address that
the browsers' media have. The port is any: the whole range is for browsers.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import TypeVar

from aioice import turn

from b2bua.net.ice_candidates import Address
from b2bua.settings import TurnAccess

_Receiver = TypeVar("_Receiver", bound=asyncio.DatagramProtocol)


class _OverTcp(turn.TurnClientTcpProtocol):
    def _send(self, data: bytes) -> None:
        # A request is repeated by a timer, where uvloop's refusal to write would end in the log.
        if not self.transport.is_closing():
            super()._send(data)


_Client = turn.TurnClientUdpProtocol | _OverTcp


async def look_up(loop: asyncio.AbstractEventLoop, server: Address) -> list[Address]:
    """Look a server's addresses up, the one to be preferred first. Raises OSError."""
    found = await loop.getaddrinfo(*server, type=socket.SOCK_DGRAM)
    return [(str(entry[4][0]), int(entry[4][1])) for entry in found]


async def allocate(
    access: TurnAccess, hosts: Sequence[str], receiver: Callable[[], _Receiver]
) -> tuple[turn.TurnTransport, _Receiver]:
    """
    Have an address relayed, asking from one of ``hosts``; what arrives there goes to a receiver.

    Raises OSError, and aioice's TransactionError.
    """
    loop = asyncio.get_running_loop()
    servers = await look_up(loop, (access.host, access.port))
    host, server = choose_way(hosts, servers)
    client = _client(access, server)
    if access.over_tcp:
        await loop.create_connection(lambda: client, *server, local_addr=(host, 0))
    else:
        await _open_udp(loop, client, host, server)
    allocation = _Allocation(client)
    made = receiver()
    try:
        await allocation.open(made)
    except BaseException:
        # Whoever gives up waiting cancels this, and would leave the socket open.
        client.transport.close()
        raise
    return allocation, made


def choose_way(hosts: Sequence[str], servers: Sequence[Address]) -> tuple[str, Address]:
    """
    Choose from where a server is asked, and at which of its addresses.

    The source is what the route names if it is one of ours, else the first of ours that speaks the
    same version of IP. Raises OSError where none does.
    """
    for server in servers:
        own = [host for host in hosts if _version(host) == _version(server[0])]
        if own:
            routed = _routed(server)
            return routed if routed in own else own[0], server
    raise OSError(f"no address of ours speaks the version of IP of {servers}")


class _Allocation(turn.TurnTransport):
    async def open(self, receiver: asyncio.DatagramProtocol) -> None:
        """Ask for the address, over a transport that stands."""
        await self._connect(receiver)


def _client(access: TurnAccess, server: Address) -> _Client:
    kind = _OverTcp if access.over_tcp else turn.TurnClientUdpProtocol
    return kind(
        server,
        username=access.user,
        password=access.password,
        lifetime=turn.DEFAULT_ALLOCATION_LIFETIME,
        channel_refresh_time=turn.DEFAULT_CHANNEL_REFRESH_TIME,
    )


async def _open_udp(
    loop: asyncio.AbstractEventLoop, client: _Client, host: str, server: Address
) -> None:
    transport, _ = await loop.create_datagram_endpoint(
        lambda: client, local_addr=(host, 0), remote_addr=server
    )
    opened = transport.get_extra_info("socket")
    if opened is not None:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, turn.UDP_SOCKET_BUFFER_SIZE)


def _version(host: str) -> int:
    return ip_address(host).version


def _routed(server: Address) -> str | None:
    """The source that the kernel would choose; nothing is sent."""
    family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(server)
        except OSError:
            return None
        return str(probe.getsockname()[0])
