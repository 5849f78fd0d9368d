"""Tests of the addresses and ports of transports of browsers, and of the servers they ask."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from pathlib import Path

from aioice import stun
from aioice.candidate import Candidate

from b2bua.media_plane import MediaPortsExhausted, RemoteTransport, TransportEvent
from b2bua.sdp.negotiation import CodecRules
from b2bua.settings import MediaSettings, TurnAccess
from tests.peers import PASSWORD, USER, Coturn
from tests.webmedia.loops import until
from tests.webmedia.peers import LOOPBACK, OUR_KEYS, Peer
from tests.webmedia.planes import HOST, PCMU, WebPlaneTestCase

CONNECTED = TransportEvent.CONNECTED


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class PortTests(WebPlaneTestCase):
    """A port for each transport, and back."""

    def test_exhausted(self) -> None:
        """Each transport has its port; when none is left that is said, and given back they rest."""

        async def scenario() -> None:
            self.plane.shut_down()
            self.plane = self.make_plane(first_port=36100, last_port=36103, rest=30.0)
            opened = [self.open() for _ in range(4)]
            ports = {self.plane.describe_transport(one).default[1] for one in opened}
            self.assertEqual(ports, {36100, 36101, 36102, 36103})
            with self.assertRaises(MediaPortsExhausted) as caught:
                self.open()
            self.assertIn("36100-36103", str(caught.exception))
            for one in opened:
                self.plane.close_transport(one)
            self.assertEqual(self.plane.free_web_ports, 4)
            self.open()

        self.run_loop(scenario())

    def test_held_by_another_program(self) -> None:
        """A port that somebody holds on one address is passed over on all."""

        async def scenario() -> None:
            self.plane.shut_down()
            addresses = (HOST, "127.84.255.1")
            self.plane = self.make_plane(addresses=addresses, first_port=36104, last_port=36105)
            held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.addCleanup(held.close)
            held.bind(("127.84.255.1", 36104))
            self.assertEqual(self.plane.describe_transport(self.open()).default, (HOST, 36105))
            self.assertRaises(MediaPortsExhausted, self.open)

        self.run_loop(scenario())

    def test_no_such_address(self) -> None:
        """An address that this machine has not is left out; with none left that is said."""

        async def scenario() -> None:
            self.plane.shut_down()
            self.plane = self.make_plane(addresses=("192.0.2.77", HOST))
            transport = self.open()
            self.assertEqual(len(self.plane.describe_transport(transport).candidates), 1)
            self.plane.shut_down()
            self.plane = self.make_plane(addresses=("192.0.2.77",))
            self.assertRaises(MediaPortsExhausted, self.open)
            self.assertEqual(self.plane.free_web_ports, 100)

        self.run_loop(scenario())

    def test_not_served(self) -> None:
        """Without settings for them there are no transports."""
        plane = self.plane_of(MediaSettings(host=HOST, rules=CodecRules(codecs=())))
        self.addCleanup(plane.shut_down)
        with self.assertRaises(MediaPortsExhausted):
            plane.open_transport(lambda event: None, controlling=True)
        self.assertEqual(plane.free_web_ports, 0)

    def test_ends_go_first(self) -> None:
        """A transport is closed after its ends, and everything is given back: sockets, tasks."""

        async def scenario() -> None:
            before, tasks = open_descriptors(), asyncio.all_tasks()
            transport, end, peer = await self.connected()
            waiting, idle = self.open(), self.open(controlling=True)
            self.plane.set_remote(waiting, peer.describe(ufrag="other"))
            await asyncio.sleep(0.05)
            self.assertRaises(ValueError, self.plane.close_transport, transport)
            self.plane.close(end)
            for one in (transport, waiting, idle):
                self.plane.close_transport(one)
            await peer.close()
            await asyncio.sleep(0.05)
            self.assertEqual(self.plane.free_web_ports, 100)
            self.assertEqual(asyncio.all_tasks(), tasks)
            self.assertEqual(open_descriptors(), before)

        self.run_loop(scenario())


class AddressTests(WebPlaneTestCase):
    """Candidates of ours."""

    addresses = (HOST, "::1")

    def test_two_families(self) -> None:
        """Both are candidates with preferences of their own, and either connects."""

        async def scenario() -> None:
            for host in (LOOPBACK, "::1"):
                transport = self.open()
                end = self.plane.open_on(transport)
                self.plane.set_terms(end, PCMU)
                self.plane.join(end, end)
                local = self.plane.describe_transport(transport)
                found = [Candidate.from_sdp(line) for line in local.candidates]
                self.assertEqual([candidate.host for candidate in found], [HOST, "::1"])
                self.assertEqual(len({candidate.priority for candidate in found}), 2)
                self.assertEqual(local.default, (HOST, found[0].port))
                peer = self.peer(addresses=[host])
                await peer.gather()
                await peer.hear(local)
                self.plane.set_remote(transport, peer.describe())
                await peer.connect()
                await until(lambda one=transport: (one, CONNECTED) in self.told)
                await peer.send(peer.media())
                await until(lambda one=peer: one.packets)

        self.run_loop(scenario())

    def test_outside(self) -> None:
        """An address that is another one outside is told as that; we still hear on ours."""

        async def scenario() -> None:
            self.plane.shut_down()
            self.plane = self.make_plane(external={HOST: "203.0.113.9"})
            transport = self.open()
            local = self.plane.describe_transport(transport)
            outside, own = (Candidate.from_sdp(line) for line in local.candidates)
            self.assertEqual((outside.host, own.host), ("203.0.113.9", "::1"))
            self.assertEqual(local.default, ("203.0.113.9", outside.port))
            self.assertNotIn(HOST, " ".join(local.candidates))
            peer = self.peer()
            await peer.gather()
            inside = tuple(line.replace("203.0.113.9", HOST) for line in local.candidates)
            await peer.hear(replace(local, candidates=inside))
            self.plane.set_remote(transport, peer.describe())
            await peer.connect()
            await until(lambda: self.told)
            self.assertEqual(self.told, [(transport, CONNECTED)])

        self.run_loop(scenario())


class RoleTests(WebPlaneTestCase):
    """Who controls, and who comes first."""

    async def meet(
        self, ours: bool, theirs: bool, *, is_lite: bool = False, tie_breaker: int = 1
    ) -> None:
        transport = self.open(controlling=ours)
        peer = self.peer(controlling=theirs)
        peer.connection._tie_breaker = tie_breaker
        await peer.gather()
        await peer.hear(self.plane.describe_transport(transport))
        self.plane.set_remote(transport, peer.describe(is_lite=is_lite))
        await peer.connect()
        await until(lambda: (transport, CONNECTED) in self.told)

    def test_every_pair(self) -> None:
        """Whoever takes which role, they agree."""

        async def scenario() -> None:
            for ours in (True, False):
                for theirs in (True, False):
                    for tie_breaker in (0, (1 << 64) - 1):
                        await self.meet(ours, theirs, tie_breaker=tie_breaker)

        self.run_loop(scenario())

    def test_lite(self) -> None:
        """A peer that is ICE-lite has us control, whatever was agreed."""

        async def scenario() -> None:
            await self.meet(False, False, is_lite=True)

        self.run_loop(scenario())

    def test_early_checks(self) -> None:
        """A peer that knows us before we know it need not check again."""

        async def scenario() -> None:
            transport = self.open(controlling=True)
            peer = self.peer(controlling=False)
            await peer.gather()
            await peer.hear(self.plane.describe_transport(transport))
            connecting = self.loop.create_task(peer.connect())
            await asyncio.sleep(0.1)
            begun = self.loop.time()
            self.plane.set_remote(transport, peer.describe(candidates=()))
            await connecting
            await until(lambda: (transport, CONNECTED) in self.told)
            self.assertLess(self.loop.time() - begun, 0.4)

        self.run_loop(scenario())


class Moody(asyncio.DatagramProtocol):
    """A peer that answers checks, but no nominations."""

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore
        self.transport = transport
        self.nominations = 0
        self.obeys = False

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        request = stun.parse_message(data)
        nominates = "USE-CANDIDATE" in request.attributes
        self.nominations += nominates
        if nominates and not self.obeys:
            return
        answer = stun.Message(
            stun.Method.BINDING, stun.Class.RESPONSE, transaction_id=request.transaction_id
        )
        answer.attributes["XOR-MAPPED-ADDRESS"] = addr
        answer.add_message_integrity(b"p" * 22)
        self.transport.sendto(bytes(answer), addr)


class NominationTests(WebPlaneTestCase):
    """Which pair is used, where that is ours to say."""

    def test_another_one(self) -> None:
        """Where the peer does not take a nomination, the next valid pair is nominated."""

        async def scenario() -> None:
            self.patch(stun, "RETRY_RTO", 0.02)
            found = [
                await self.loop.create_datagram_endpoint(Moody, local_addr=(LOOPBACK, 0))
                for _ in range(2)
            ]
            peers = [protocol for _, protocol in found]
            peers[1].obeys = True
            lines = []
            for priority, protocol in zip((200, 100), peers, strict=True):
                host, port = protocol.transport.get_extra_info("sockname")
                lines.append(f"{priority} 1 udp {priority} {host} {port} typ host")
            transport = self.open(controlling=True)
            remote = RemoteTransport(
                ufrag="peer", password="p" * 22, candidates=tuple(lines), keys=OUR_KEYS
            )
            self.plane.set_remote(transport, remote)
            await until(lambda: self.told == [(transport, CONNECTED)])
            self.assertEqual([protocol.nominations for protocol in peers], [3, 1])
            for protocol in peers:
                protocol.transport.close()

        self.run_loop(scenario())


class Translated(asyncio.DatagramProtocol):
    """A STUN server beyond an address translator."""

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore
        self.transport = transport
        self.address: tuple[str, int] = transport.get_extra_info("sockname")

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        request = stun.parse_message(data)
        answer = stun.Message(
            stun.Method.BINDING, stun.Class.RESPONSE, transaction_id=request.transaction_id
        )
        answer.attributes["XOR-MAPPED-ADDRESS"] = ("203.0.113.5", addr[1])
        self.transport.sendto(bytes(answer), addr)


class ServerTests(WebPlaneTestCase):
    """STUN and TURN servers, with coturn."""

    async def gathered(self, transport: int) -> tuple[str, ...]:
        found: list[tuple[str, ...]] = []
        self.plane.when_gathered(self.plane.describe_transport(transport).ufrag, found.append)
        await until(lambda: found)
        return found[0]

    def access(self, relay: Coturn, *, over_tcp: bool = False) -> TurnAccess:
        return TurnAccess(
            host=relay.host, port=relay.port, user=USER, password=PASSWORD, over_tcp=over_tcp
        )

    def test_nobody_to_ask(self) -> None:
        """Without servers it is known at once that there is nothing more; for strangers too."""

        async def scenario() -> None:
            found: list[tuple[str, ...]] = []
            transport = self.open()
            self.plane.when_gathered(self.plane.describe_transport(transport).ufrag, found.append)
            self.plane.when_gathered("nobody", found.append)
            self.assertEqual(found, [(), ()])

        self.run_loop(scenario())

    def test_silent_servers(self) -> None:
        """After a second there is what there is, and media flow without them."""

        async def scenario() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
                silent.bind((LOOPBACK, 0))
                host, port = silent.getsockname()
                self.plane.shut_down()
                access = TurnAccess(host=host, port=port, user="u", password="p")
                self.plane = self.make_plane(stun_server=(host, port), turn_server=access)
                transport, _, _ = await self.connected()
                begun = self.loop.time()
                self.assertEqual(await self.gathered(transport), ())
                self.assertLess(self.loop.time() - begun, 1.3)

        self.run_loop(scenario())

    def test_reflexive(self) -> None:
        """What a STUN server sees is a candidate, unless it is one already."""

        async def scenario() -> None:
            with Coturn.started() as relay:
                self.plane.shut_down()
                self.plane = self.make_plane(
                    addresses=("127.0.0.1",), stun_server=("localhost", relay.port)
                )
                self.assertEqual(await self.gathered(self.open()), ())

        self.run_loop(scenario())

    def test_translated(self) -> None:
        """Where it sees another address that one is told, with ours behind it."""

        async def scenario() -> None:
            _, server = await self.loop.create_datagram_endpoint(
                Translated, local_addr=(LOOPBACK, 0)
            )
            self.plane.shut_down()
            self.plane = self.make_plane(stun_server=server.address)
            transport = self.open()
            (line,) = await self.gathered(transport)
            candidate = Candidate.from_sdp(line)
            own = self.plane.describe_transport(transport).default
            self.assertEqual((candidate.type, candidate.host), ("srflx", "203.0.113.5"))
            self.assertEqual((candidate.related_address, candidate.related_port), own)
            server.transport.close()

        self.run_loop(scenario())

    def relayed(self, *, over_tcp: bool) -> None:
        async def scenario() -> None:
            with Coturn.started(["allow-loopback-peers"]) as relay:
                self.plane.shut_down()
                access = self.access(relay, over_tcp=over_tcp)
                self.plane = self.make_plane(turn_server=access)
                # Nothing leaves but by the relay, as behind a strict firewall.
                self.patch(self.socket_class(), "send", lambda base, data, target: None)
                transport = self.open()
                end = self.plane.open_on(transport)
                self.plane.set_terms(end, PCMU)
                self.plane.join(end, end)
                local = self.plane.describe_transport(transport)
                lines = await self.gathered(transport)
                (candidate,) = (Candidate.from_sdp(line) for line in lines)
                self.assertEqual(candidate.type, "relay")
                self.assertIn(candidate.port, range(relay.min_port, relay.max_port + 1))
                # The relay was asked from the browsers' address, though the route names another.
                self.assertEqual(candidate.related_address, HOST)
                peer = self.peer()
                await peer.gather()
                await peer.hear(replace(local, candidates=(*local.candidates, *lines)))
                self.plane.set_remote(transport, peer.describe())
                await peer.connect()
                await until(lambda: (transport, CONNECTED) in self.told)
                await self.hears_itself(peer)
                self.plane.close(end)
                self.plane.close_transport(transport)
                await asyncio.sleep(0.2)

        self.run_loop(scenario())

    async def hears_itself(self, peer: Peer) -> None:
        await peer.send(peer.media(b"by the relay"))
        await until(lambda: peer.packets)
        self.assertEqual(peer.packets[0].payload, b"by the relay")

    def test_relayed(self) -> None:
        """Where only a relay gets through, media flow through it."""
        self.relayed(over_tcp=False)

    def test_relayed_over_tcp(self) -> None:
        """The way to the relay may be TCP."""
        self.relayed(over_tcp=True)
