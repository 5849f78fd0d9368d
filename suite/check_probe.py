"""
One check of one transport: get two relays from the server and move datagrams between them.

The client is aioice's, which is not ours: what it can do with the server, others can too.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import cast

from aioice import stun

from suite.check_relay import Exchange, Server, exchange_datagrams, relay
from suite.check_verdict import NO_CREDENTIAL, Stage, explain
from suite.web.credentials import Credential
from turn.five_tuple import Address, Transport

BINDING_TRIES = 3
BINDING_WAIT = 0.5


@dataclass(slots=True)
class Outcome:
    """What one transport gave."""

    transport: Transport
    works: bool = False
    relay: Address | None = None
    mapped: Address | None = None
    """This machine as the server sees it."""
    milliseconds: float | None = None
    """From the first packet until the relay was there."""
    sent: int = 0
    received: int = 0
    round_trip: float | None = None
    """Median of the datagrams that came back, in milliseconds."""
    verdict: str = ""


class BindingClient(asyncio.DatagramProtocol):
    """Asks for a Binding over UDP, because only a bare socket learns that a port is closed."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[Address | None] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """Take the mapped address from a STUN answer; anything else is not an answer."""
        with contextlib.suppress(ValueError):
            message = stun.parse_message(data)
            if not self.answer.done():
                self.answer.set_result(message.attributes.get("XOR-MAPPED-ADDRESS"))

    def error_received(self, exc: Exception) -> None:
        """Pass on what ICMP said."""
        if not self.answer.done():
            self.answer.set_exception(exc)


async def binding(server: Server) -> tuple[Address | None, Address]:
    """
    Ask the server how it sees us over UDP; also tell our own address of that socket.

    None if it did not say. Raises OSError where the network says that nobody is there.
    """
    loop = asyncio.get_running_loop()
    transport, client = await loop.create_datagram_endpoint(
        BindingClient, remote_addr=(server.address, server.port)
    )
    local = cast(Address, transport.get_extra_info("sockname")[:2])
    request = bytes(stun.Message(stun.Method.BINDING, stun.Class.REQUEST))
    try:
        for _ in range(BINDING_TRIES):
            transport.sendto(request)
            done, _ = await asyncio.wait([client.answer], timeout=BINDING_WAIT)
            if done:
                return client.answer.result(), local
        return None, local
    finally:
        transport.close()


async def connect(server: Server, *, secure: bool) -> Stage:
    """
    Connect and disconnect, so that a failure is known to be one of the way, not of TURN.

    Gives the stage that did not come to an end in time, ALLOCATING if all did.
    """
    stage = Stage.CONNECTING
    try:
        async with asyncio.timeout(server.timeout):
            _, writer = await asyncio.open_connection(server.address, server.port)
        stage = Stage.SECURING
        try:
            if secure:
                async with asyncio.timeout(server.timeout):
                    await writer.start_tls(server.tls, server_hostname=server.host)
        finally:
            writer.close()
    except TimeoutError:
        return stage
    return Stage.ALLOCATING


async def probe(server: Server, transport: Transport, credential: Credential | None) -> Outcome:
    """Check one transport; whatever the server or the network does becomes a verdict."""
    outcome = Outcome(transport)
    stage = Stage.CONNECTING
    try:
        if transport is Transport.UDP:
            outcome.mapped, _ = await binding(server)
            stage = Stage.ALLOCATING
        else:
            stage = await connect(server, secure=transport is Transport.TLS)
            if stage is not Stage.ALLOCATING:
                raise TimeoutError
        started = time.monotonic()
        async with relay(server, transport, credential, echoes=False) as near:
            outcome.milliseconds = (time.monotonic() - started) * 1000
            outcome.relay, outcome.mapped = near.address, near.mapped
            async with relay(server, transport, credential, echoes=True) as far:
                stage = Stage.RELAYING
                exchange = await exchange_datagrams(near, far)
    except (OSError, stun.TransactionError, ValueError) as error:
        outcome.verdict = explain(error, stage, transport, (server.host, server.port))
        if credential is None and isinstance(error, stun.TransactionFailed):
            outcome.verdict = NO_CREDENTIAL if error.response.error_code == 401 else outcome.verdict
        return outcome
    judge(outcome, exchange)
    return outcome


def judge(outcome: Outcome, exchange: Exchange) -> None:
    """Turn what came back into a verdict."""
    outcome.sent, outcome.received = exchange.sent, len(exchange.round_trips)
    outcome.round_trip = exchange.median
    outcome.works = outcome.received > 0
    lost = outcome.sent - outcome.received
    if lost == 0:
        outcome.verdict = "Works."
    elif exchange.lost_large == lost and lost == exchange.sent_large:
        outcome.works = False
        outcome.verdict = (
            "Small packets come through, large ones do not: the way to the server has a small "
            "MTU and drops what does not fit. Video will not work until that is mended."
        )
    else:
        outcome.verdict = (
            f"Works, but {lost} of {outcome.sent} datagrams were lost: the line or the server is "
            "overloaded, or a rate limit (max-bps) applies."
        )
