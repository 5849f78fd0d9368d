"""
Two relays on one server, and datagrams that go from one to the other and back.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import cast

from aioice import turn

from suite.web.credentials import Credential
from turn.five_tuple import Address, Transport

SIZES = (160, 1200)
"""Bytes of a datagram: about a voice packet's and about the largest that a browser sends."""
DATAGRAMS = 20
PACE = 0.02
FIRST_WAIT = 0.2
FIRST_TRIES = 15
LAST_WAIT = 1.0
CLOSE_WAIT = 2.0


@dataclass(frozen=True, slots=True)
class Server:
    """Where the server is and how it shall prove itself."""

    host: str
    """The name, as a certificate must have it."""
    address: str
    """The IP address that the name stands for."""
    port: int
    tls: ssl.SSLContext
    timeout: float


class RelayEnd(asyncio.DatagramProtocol):
    """
    One allocation: sends through the server, and notes or sends back what comes through it.

    Datagrams begin with a number of four bytes.
    """

    def __init__(self, *, echoes: bool) -> None:
        self.returned: dict[int, float] = {}
        self._echoes = echoes
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._enough = asyncio.Event()
        self._wanted = 0
        self._closed = asyncio.Event()
        self._transport: turn.TurnTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; it is the server's relay from now on."""
        self._transport = cast(turn.TurnTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits for the end."""
        self._closed.set()

    def datagram_received(self, data: bytes | str, addr: Address) -> None:
        """Send back, or note when it came."""
        data = cast(bytes, data)
        if self._echoes:
            self.send(data, addr)
        elif len(data) >= 4:
            self.returned.setdefault(int.from_bytes(data[:4], "big"), time.monotonic())
            if len(self.returned) >= self._wanted:
                self._enough.set()

    def error_received(self, exc: Exception) -> None:
        """Remember the first reason why the server did not take a datagram."""
        if not self._failure.done():
            self._failure.set_exception(exc)

    @property
    def address(self) -> Address:
        """The relayed transport address."""
        return cast(Address, self._relayed().get_extra_info("sockname"))

    @property
    def mapped(self) -> Address:
        """The client's address as the server saw it."""
        return cast(Address, self._relayed().get_extra_info("related_address"))

    def _relayed(self) -> turn.TurnTransport:
        assert self._transport is not None
        return self._transport

    def send(self, data: bytes, peer: Address) -> None:
        """Send through the server; the first datagram to a peer binds a channel."""
        self._relayed().sendto(data, peer)

    async def wait_for(self, count: int, limit: float) -> bool:
        """Wait until ``count`` datagrams are back; raise why the server refused to send."""
        self._wanted = count
        if len(self.returned) >= count:
            return True
        self._enough.clear()
        enough = asyncio.ensure_future(self._enough.wait())
        awaited = cast(list[asyncio.Future[object]], [enough, self._failure])
        await asyncio.wait(awaited, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        enough.cancel()
        if self._failure.done():
            self._failure.result()
        return len(self.returned) >= count

    async def close(self) -> None:
        """Give the allocation back; if the request is lost, the server lets it expire."""
        if self._failure.done():
            self._failure.exception()
        self._relayed().close()
        await asyncio.wait([asyncio.ensure_future(self._closed.wait())], timeout=CLOSE_WAIT)


@contextlib.asynccontextmanager
async def relay(
    server: Server, transport: Transport, credential: Credential | None, *, echoes: bool
) -> AsyncIterator[RelayEnd]:
    """Hold one allocation while the block runs."""
    secure = transport is Transport.TLS
    async with asyncio.timeout(server.timeout):
        _, end = await turn.create_turn_endpoint(
            lambda: RelayEnd(echoes=echoes),
            # asyncio takes the name that the certificate must have from the host given here.
            (server.host if secure else server.address, server.port),
            credential.username if credential else None,
            credential.password if credential else None,
            ssl=server.tls if secure else None,
            transport="udp" if transport is Transport.UDP else "tcp",
        )
    try:
        yield end
    finally:
        await end.close()


@dataclass(frozen=True, slots=True)
class Exchange:
    """How the datagrams fared."""

    sent: int
    round_trips: dict[int, float]
    """Milliseconds, by number."""

    @property
    def median(self) -> float | None:
        """The middle round trip, None if nothing came back."""
        times = sorted(self.round_trips.values())
        return times[len(times) // 2] if times else None

    @property
    def sent_large(self) -> int:
        """How many were of the large size."""
        return sum(_size(number) == max(SIZES) for number in range(1, self.sent + 1))

    @property
    def lost_large(self) -> int:
        """How many of the large ones did not come back."""
        back = sum(_size(number) == max(SIZES) for number in self.round_trips)
        return self.sent_large - back


def _size(number: int) -> int:
    return SIZES[number % len(SIZES)]


async def exchange_datagrams(near: RelayEnd, far: RelayEnd) -> Exchange:
    """
    Send numbered datagrams through both relays and back.

    Raises TimeoutError if not even the first comes through, and the server's refusal.
    """
    await _open(near, far)
    sent: dict[int, float] = {}
    for number in range(1, DATAGRAMS + 1):
        sent[number] = time.monotonic()
        near.send(number.to_bytes(4, "big") + bytes(_size(number) - 4), far.address)
        await asyncio.sleep(PACE)
    await near.wait_for(DATAGRAMS + 1, LAST_WAIT)
    round_trips = {
        number: (near.returned[number] - moment) * 1000
        for number, moment in sent.items()
        if number in near.returned
    }
    return Exchange(DATAGRAMS, round_trips)


async def _open(near: RelayEnd, far: RelayEnd) -> None:
    """Make each relay let the other in, and repeat datagram 0 until it has come back."""
    for _ in range(FIRST_TRIES):
        # What the far end sends here only binds its channel; it is too short to be counted.
        far.send(b"", near.address)
        near.send(bytes(4), far.address)
        if await near.wait_for(1, FIRST_WAIT):
            return
    raise TimeoutError
