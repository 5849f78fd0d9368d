"""
Candidates that somebody else must tell us of: a STUN server how we look from outside (RFC 8445,
section 5.1.1.2), a TURN server an address of its own that it relays for (RFC 8656).

Both are asked at once and without waiting; names of servers are looked up off the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from aioice import stun
from aioice.candidate import Candidate

from b2bua.net.ice_agent import IceBase
from b2bua.net.ice_candidates import Address, make_candidate
from b2bua.net.turn_client import allocate, look_up
from b2bua.settings import TurnAccess

GIVEN_UP = 5.0
"""Seconds after which servers that have not answered are asked no more."""

Arrival = Callable[[bytes, IceBase, Address], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class IceServers:
    """Who is asked."""

    stun: Address | None = None
    turn: TurnAccess | None = None


class RelayedBase(asyncio.DatagramProtocol):
    """An address of ours on a TURN server, as a base beside the sockets."""

    kind = "relay"

    def __init__(self, arrived: Arrival, preference: int) -> None:
        self.address: Address = ("", 0)
        self.preference = preference
        self.valid: set[Address] = set()
        self._arrived = arrived
        self._transport: asyncio.DatagramTransport | None = None

    def send(self, data: bytes, target: Address) -> None:
        """Send through the relay; nothing once it is gone."""
        if self._transport is not None:
            self._transport.sendto(data, target)

    def put(self, data: bytes, target: Address) -> None:
        """As ``send``: whether the relay took it is not known."""
        self.send(data, target)

    def close(self) -> None:
        """Give the address back to the server."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The server has given us an address."""
        # It only behaves like one: aioice's transport over an allocation has no common ancestor.
        self._transport = transport  # type: ignore[assignment]
        host, port = transport.get_extra_info("sockname")
        self.address = (host, port)

    def connection_lost(self, exc: Exception | None) -> None:
        """The allocation is gone."""
        self._transport = None

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """A peer sent something to the relayed address."""
        if self._transport is not None:
            self._arrived(data, self, (addr[0], addr[1]))


class Gathering:
    """
    Asks the servers, from birth on; ``candidates`` grows until ``is_done``.

    ``relayed`` is called with a base as soon as there is one; what arrives there goes to
    ``arrived``.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        servers: IceServers,
        bases: Sequence[IceBase],
        arrived: Arrival,
        relayed: Callable[[RelayedBase], None],
    ) -> None:
        self.candidates: list[Candidate] = []
        self._loop = loop
        self._servers = servers
        self._bases = bases
        self._arrived = arrived
        self._relayed = relayed
        self._relay: RelayedBase | None = None
        self._queries: dict[bytes, stun.Transaction] = {}
        self._waiting: list[Callable[[], None]] = []
        self._timers: list[asyncio.TimerHandle] = []
        self._tasks: set[asyncio.Task[None]] = set()
        if servers.stun is not None:
            self._start(self._reflexive(servers.stun))
        if servers.turn is not None:
            self._start(self._allocate(servers.turn))

    @property
    def is_done(self) -> bool:
        """Whether nothing more is awaited."""
        return not self._tasks

    def when_done(self, then: Callable[[], None], seconds: float) -> None:
        """Call once everything is there, at once or after so many seconds at most."""
        if self.is_done:
            then()
            return

        def once() -> None:
            if then in self._waiting:
                self._waiting.remove(then)
                then()

        self._waiting.append(then)
        self._timers.append(self._loop.call_later(seconds, once))

    def receive(self, message: stun.Message, source: Address) -> bool:
        """Take an answer of the STUN server; tell whether it was one."""
        query = self._queries.get(message.transaction_id)
        if query is None:
            return False
        query.response_received(message, source)
        return True

    def close(self) -> None:
        """Ask no more, and give the relayed address back."""
        for timer in self._timers:
            timer.cancel()
        for task in self._tasks:
            task.cancel()
        self._waiting.clear()
        if self._relay is not None:
            self._relay.close()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(asyncio.wait_for(work, GIVEN_UP))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            error = task.exception()
            # No server, or none that answers us: there are the other candidates.
            if error is not None and not isinstance(error, _EXPECTED):
                self._loop.call_exception_handler(
                    {"message": "gathering met a fault of ours", "exception": error}
                )
        if self.is_done:
            waiting, self._waiting = self._waiting, []
            for then in waiting:
                then()

    async def _reflexive(self, server: Address) -> None:
        found = await look_up(self._loop, server)
        addresses = {ip_address(one[0]).version: one for one in reversed(found)}
        queries = [
            self._ask(base, addresses[version])
            for base in self._bases
            if (version := ip_address(base.address[0]).version) in addresses
        ]
        for outcome in await asyncio.gather(*queries, return_exceptions=True):
            if isinstance(outcome, BaseException) and not isinstance(outcome, _EXPECTED):
                raise outcome

    async def _ask(self, base: IceBase, server: Address) -> None:
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        query = stun.Transaction(request, server, _Sender(base))
        self._queries[request.transaction_id] = query
        try:
            answer, _ = await query.run()
        finally:
            del self._queries[request.transaction_id]
        seen = answer.attributes.get("XOR-MAPPED-ADDRESS")
        if seen is not None:
            self.candidates.append(make_candidate("srflx", seen, base.preference, base.address))

    async def _allocate(self, access: TurnAccess) -> None:
        preference = min(base.preference for base in self._bases) - 1
        hosts = [base.address[0] for base in self._bases]
        transport, base = await allocate(
            access, hosts, lambda: RelayedBase(self._arrived, preference)
        )
        self._relay = base
        behind = transport.get_extra_info("related_address")
        self.candidates.append(make_candidate("relay", base.address, preference, behind))
        self._relayed(base)


_EXPECTED = (OSError, TimeoutError, stun.TransactionError)


class _Sender:
    def __init__(self, base: IceBase) -> None:
        self._base = base

    def send_stun(self, message: stun.Message, addr: Address) -> None:
        self._base.send(bytes(message), addr)
