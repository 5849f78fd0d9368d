"""Clients that others wrote on relay ports that all allocations share."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from aioice import Candidate, Connection, TransportPolicy
from twisted.trial.unittest import SynchronousTestCase

from tests.interop import uclient
from tests.interop.uclient import OPTIONS, PLACE, Run, Scenario, echo_peers, run_uclient
from tests.peers import PASSWORD, USER, RelayProcess, SuiteProcess

PATIENCE = 30
ALONE = 3
"""Times that a scenario is run again when its client was kept waiting by others."""
_PORTS = range(32_000, 32_700, 4)
"""Below what the kernel itself hands out (ip_local_port_range)."""


@contextmanager
def sharing(count: int, *options: str, first: int | None = None) -> Iterator[RelayProcess]:
    """Our relay with so many shared ports, from ``first`` or from any."""
    shared = [
        "multiplex-peer",
        f"multiplex-peer-port={random.choice(_PORTS) if first is None else first}",
        f"multiplex-peer-ports={count}",
    ]
    with SuiteProcess.started([*OPTIONS, *options, *shared], place=PLACE) as relay:
        yield relay


class UclientTests(SynchronousTestCase):
    """
    coturn's client, without ICE: nothing may be lost.

    A relay for each scenario between clients: where several of them meet on the same two ports,
    nobody can tell which is meant.
    """

    ANY = ("-X", "-s", "-D", "-G", "-O", "-t -c", "-t -S -s", "-x -c", "-Z")
    BETWEEN = ("-y", "-y -s", "-t -y -s -c", "-x -y", "-t -S -y")

    def _check(self, flags: Sequence[str], relays: Sequence[RelayProcess]) -> None:
        scenarios = [each for each in uclient.ALL if each.flags in flags and not each.rest]
        self.assertEqual(len(scenarios), len(flags))
        with echo_peers() as echo, ThreadPoolExecutor(4) as pool:
            pairs = zip(scenarios, relays, strict=True)
            tasks = {
                scenario: pool.submit(self._result, scenario, relay, echo, f"127.0.10.{number}")
                for number, (scenario, relay) in enumerate(pairs, 1)
            }
            for scenario, task in tasks.items():
                run = task.result()
                clean = Run(0, 0, None if scenario.quick else 0, frozenset(), "")
                self.assertTrue(run.is_as_clean_as(clean), f"{scenario.flags}\n{run.output}")
                if not scenario.quick:
                    self.assertGreater(run.received, 0, scenario.flags)

    def _result(
        self, scenario: Scenario, relay: RelayProcess, echo: dict[str, int], source: str
    ) -> Run:
        run = run_uclient(relay, scenario, echo, source)
        for _ in range(ALONE):
            if not scenario.is_by_chance(run):
                break
            run = run_uclient(relay, scenario, echo, source)
        return run

    def test_with_peers(self) -> None:
        """Peers of others, over all transports, port pairs and both families included."""
        # All of them talk to the same two peers, and a port serves one allocation for each.
        with sharing(40) as relay:
            self._check(self.ANY, [relay] * len(self.ANY))

    def test_between_clients(self) -> None:
        """Client to client through two relays of one server."""
        with ExitStack() as stack:
            firsts = random.sample(_PORTS, len(self.BETWEEN))
            relays = [stack.enter_context(sharing(4, first=first)) for first in firsts]
            self._check(self.BETWEEN, relays)


async def _relayed(relay: RelayProcess, *, controlling: bool) -> Connection:
    connection = Connection(
        ice_controlling=controlling,
        turn_server=(relay.host, relay.port),
        turn_username=USER,
        turn_password=PASSWORD,
        transport_policy=TransportPolicy.RELAY,
    )
    await connection.gather_candidates()
    return connection


async def _introduce(one: Connection, other: Connection) -> None:
    for sender, receiver in ((one, other), (other, one)):
        receiver.remote_username = sender.local_username
        receiver.remote_password = sender.local_password
        for candidate in sender.local_candidates:
            await receiver.add_remote_candidate(Candidate.from_sdp(candidate.to_sdp()))
        await receiver.add_remote_candidate(None)


async def _pairs(relay: RelayProcess, count: int) -> set[int]:
    """Pairs of clients that all connect at once; the ports of their relayed addresses."""
    pairs = [
        (await _relayed(relay, controlling=True), await _relayed(relay, controlling=False))
        for _ in range(count)
    ]
    for one, other in pairs:
        await _introduce(one, other)
    ends = [end for pair in pairs for end in pair]
    await asyncio.gather(*(end.connect() for end in ends))
    for number, (one, other) in enumerate(pairs):
        await one.send(b"to %d" % number)
        await other.send(b"from %d" % number)
    for number, (one, other) in enumerate(pairs):
        assert await other.recv() == b"to %d" % number
        assert await one.recv() == b"from %d" % number
    ports = {candidate.port for end in ends for candidate in end.local_candidates}
    await asyncio.gather(*(end.close() for end in ends))
    return ports


def _run(scenario: Awaitable[set[int]]) -> set[int]:
    """In a loop of its own, which is not made the current one of this thread."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(asyncio.wait_for(scenario, PATIENCE))
    finally:
        loop.close()


async def _descriptors(relay: RelayProcess, count: int) -> set[int]:
    """How many descriptors so many clients add to the relay."""
    before = relay.program.descriptors()
    clients = [await _relayed(relay, controlling=True) for _ in range(count)]
    added = relay.program.descriptors() - before
    await asyncio.gather(*(client.close() for client in clients))
    return {added}


class AioiceTests(SynchronousTestCase):
    """aioice, whose both ends are relayed by us."""

    def test_relay_to_relay(self) -> None:
        """Ten clients on four ports find their partners and nobody else."""
        with sharing(4) as relay:
            self.assertEqual(len(_run(_pairs(relay, 5))), 4)

    def test_relay_to_relay_on_one_port(self) -> None:
        """All of them at one address."""
        with sharing(1) as relay:
            self.assertEqual(len(_run(_pairs(relay, 3))), 1)

    def test_no_socket_for_each_client(self) -> None:
        """Thirty allocations cost no descriptor."""
        with sharing(2) as relay:
            (added,) = _run(_descriptors(relay, 30))
        # A connection of the test's own may have come to its end.
        self.assertLess(added, 3)
