"""aioice's TURN client, written by others in Python, through our relay."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable
from typing import Any, TypeVar

from aioice import stun, turn
from twisted.trial.unittest import SynchronousTestCase

from tests.peers import PASSWORD, USER, RelayProcess, SuiteProcess
from tests.probe import Transport

_Result = TypeVar("_Result")
PATIENCE = 20
HOST = "127.0.0.1"


class _Mailbox(asyncio.DatagramProtocol):
    """Keeps what arrives, with its source; ``echo`` sends it back too."""

    def __init__(self, *, echo: bool = False) -> None:
        self.received: asyncio.Queue[tuple[bytes, Any]] = asyncio.Queue()
        self.lost: asyncio.Event = asyncio.Event()
        self.errors: list[Exception] = []
        self._echo = echo

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.received.put_nowait((data, addr))
        if self._echo:
            self.transport.sendto(data, addr)  # type: ignore[attr-defined]  # a datagram one

    def error_received(self, exc: Exception) -> None:
        self.errors.append(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


def _run(scenario: Awaitable[_Result]) -> _Result:
    """In a loop of its own, which is not made the current one of this thread."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(asyncio.wait_for(scenario, PATIENCE))
    finally:
        loop.close()


async def _peer(*, echo: bool) -> tuple[_Mailbox, tuple[str, int]]:
    loop = asyncio.get_running_loop()
    transport, mailbox = await loop.create_datagram_endpoint(
        lambda: _Mailbox(echo=echo), local_addr=(HOST, 0)
    )
    return mailbox, transport.get_extra_info("sockname")


async def _endpoint(
    relay: RelayProcess, transport: Transport, password: str = PASSWORD
) -> tuple[turn.TurnTransport, _Mailbox]:
    secure = transport is Transport.TLS
    return await turn.create_turn_endpoint(
        _Mailbox,
        (relay.host, relay.tls_port if secure else relay.port),
        USER,
        password,
        channel_refresh_time=0,
        ssl=ssl.create_default_context(cafile=str(relay.ca_file)) if secure else None,
        transport="udp" if transport is Transport.UDP else "tcp",
    )


async def _both_ways(relay: RelayProcess, transport: Transport) -> None:
    """Data to a peer and back, of every length modulo four, on a channel that is bound again."""
    echo, peer = await _peer(echo=True)
    client, mailbox = await _endpoint(relay, transport)
    relayed = client.get_extra_info("sockname")
    for size in (1, 2, 3, 4, 1200):
        client.sendto(bytes(size), peer)
        assert await mailbox.received.get() == (bytes(size), peer)
        assert await echo.received.get() == (bytes(size), relayed)
    assert not mailbox.errors, mailbox.errors
    client.close()
    await mailbox.lost.wait()


async def _unbound_peer(relay: RelayProcess, transport: Transport) -> None:
    """A second port of a permitted address reaches the client in Data indications."""
    _, peer = await _peer(echo=True)
    other, other_address = await _peer(echo=False)
    client, mailbox = await _endpoint(relay, transport)
    client.sendto(b"permit", peer)
    assert await mailbox.received.get() == (b"permit", peer)
    other.transport.sendto(b"hello", client.get_extra_info("sockname"))  # type: ignore[attr-defined]
    assert await mailbox.received.get() == (b"hello", other_address)
    client.close()
    await mailbox.lost.wait()


async def _refresh(relay: RelayProcess, transport: Transport) -> None:
    client, mailbox = await _endpoint(relay, transport)
    # The client waits five sixths of the lifetime that it was given; this one says it is short.
    inner = client._TurnTransport__inner_protocol  # type: ignore[attr-defined]
    again = asyncio.ensure_future(inner.refresh(0.1))
    await asyncio.sleep(0.5)
    again.cancel()
    client.close()
    await mailbox.lost.wait()


async def _refused(relay: RelayProcess, transport: Transport) -> int | None:
    try:
        await _endpoint(relay, transport, password="not-the-password")
    except stun.TransactionFailed as failure:
        return failure.response.error_code
    raise AssertionError("it let us in")


class AioiceTests(SynchronousTestCase):
    """Each scenario over UDP, TCP and TLS."""

    def _over_all(self, scenario: Any) -> None:
        with SuiteProcess.started(["allow-loopback-peers"]) as relay:
            for transport in Transport:
                _run(scenario(relay, transport))

    def test_data_both_ways(self) -> None:
        """Packets reach the peer from the relayed address, and its answers come back whole."""
        self._over_all(_both_ways)

    def test_data_of_an_unbound_peer(self) -> None:
        """What has a permission and no channel arrives as well."""
        self._over_all(_unbound_peer)

    def test_refresh_and_delete(self) -> None:
        """The client's own refresh and its Refresh for 0 seconds succeed."""
        with self.assertLogs("aioice.turn", "INFO") as logs:
            self._over_all(_refresh)
        told = "\n".join(logs.output)
        for words in ("TURN allocation refreshed", "TURN allocation deleted"):
            self.assertEqual(told.count(words), len(Transport), told)
        self.assertNotIn("failed", told)

    def test_wrong_password(self) -> None:
        """A wrong password is told by 401, so the client does not wait in vain."""
        with SuiteProcess.started() as relay:
            codes = [_run(_refused(relay, transport)) for transport in Transport]
        self.assertEqual(codes, [401] * len(Transport))
