"""Tests of our own TURN client: where it asks from, and a server that hangs up."""

from __future__ import annotations

import asyncio
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from b2bua.net.turn_client import allocate, choose_way
from b2bua.settings import TurnAccess
from tests.webmedia.loops import run

try:
    from uvloop import new_event_loop
except ImportError:
    from asyncio import new_event_loop

HOST = "127.0.0.1"
SERVER, SERVER_V6 = ("127.0.0.1", 3478), ("::1", 3478)


class WayTests(SynchronousTestCase):
    """The source is an address that browsers' media have."""

    def test_routed(self) -> None:
        """The one that the route names, wherever it stands among ours."""
        self.assertEqual(choose_way(["127.84.0.1", "127.0.0.1"], [SERVER]), ("127.0.0.1", SERVER))

    def test_not_routed(self) -> None:
        """The first of ours where the route names an address that browsers' media have not."""
        ours = ["127.84.0.1", "127.84.0.2"]
        self.assertEqual(choose_way(ours, [SERVER]), ("127.84.0.1", SERVER))

    def test_no_route(self) -> None:
        """The same where no route leads there: the kernel has its say when it is asked to send."""
        nowhere = ("255.255.255.255", 3478)
        self.assertEqual(choose_way(["127.84.0.1"], [nowhere]), ("127.84.0.1", nowhere))

    def test_version(self) -> None:
        """A server of both versions of IP is asked over one that we have."""
        both = [SERVER_V6, SERVER]
        self.assertEqual(choose_way(["127.84.0.1"], both), ("127.84.0.1", SERVER))
        self.assertEqual(choose_way(["127.84.0.1", "::1"], both), ("::1", SERVER_V6))

    def test_none(self) -> None:
        """Where we have no address of the server's version nobody is asked from another one."""
        with self.assertRaises(OSError):
            choose_way(["127.84.0.1"], [SERVER_V6])


class HungUpTests(SynchronousTestCase):
    """A TURN server that takes the connection and closes it, on the loop that the suite has."""

    def test_over_tcp(self) -> None:
        """The allocation is given up when its time is over, and nothing is a fault of the loop."""
        loop = new_event_loop()
        self.addCleanup(loop.close)
        faults: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: faults.append(context))

        async def hang_up(_: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
            out.close()

        async def scenario() -> None:
            server = await asyncio.start_server(hang_up, HOST, 0)
            port = server.sockets[0].getsockname()[1]
            access = TurnAccess(host=HOST, port=port, user="u", password="p", over_tcp=True)
            asking = allocate(access, [HOST], asyncio.DatagramProtocol)
            # Long enough for the request to be repeated.
            with self.assertRaises(TimeoutError):
                await asyncio.wait_for(asking, 1.2)
            server.close()

        run(loop, scenario())
        self.assertEqual([], faults)
