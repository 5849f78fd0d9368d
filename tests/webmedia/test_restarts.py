"""Tests of ICE restarts and of consent, in transports of the media plane."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import replace

from aioice import stun

from b2bua.media_plane import RemoteTransport, TransportEvent
from b2bua.net.ice import MOST_BEFORE
from b2bua.net.ice_consent import IceTimes
from tests.webmedia.loops import until
from tests.webmedia.peers import LOOPBACK, Peer
from tests.webmedia.planes import WebPlaneTestCase

CONNECTED, LOST, FAILED = TransportEvent.CONNECTED, TransportEvent.LOST, TransportEvent.FAILED


class RestartTests(WebPlaneTestCase):
    """New credentials, and media that go on meanwhile."""

    times = IceTimes(retirement=0.3)

    async def restarted(self, transport: int, before: Peer) -> Peer:
        """A peer with other credentials and another port, which goes on with the same media."""
        peer = self.peer(controlling=before.connection.ice_controlling)
        peer.srtp, peer.sequence = before.srtp, before.sequence
        await peer.gather()
        await peer.hear(self.plane.describe_transport(transport))
        return peer

    def test_of_the_peer(self) -> None:
        """Media flow over the old pair until the new one is there; nothing is told."""

        async def scenario() -> None:
            transport, end, old = await self.connected()
            self.plane.join(end, end)
            before = self.plane.describe_transport(transport)
            self.plane.restart(transport)
            after = self.plane.describe_transport(transport)
            self.assertNotEqual((before.ufrag, before.password), (after.ufrag, after.password))
            self.assertEqual(before.candidates, after.candidates)
            new = await self.restarted(transport, old)
            self.plane.set_remote(transport, new.describe())
            await old.send(old.media(b"meanwhile"))
            await until(lambda: old.packets)
            await new.connect()
            await until(lambda: self.source(end) == self.address(new))
            new.sequence = old.sequence
            await new.send(new.media(b"after"))
            await until(lambda: new.packets)
            self.assertEqual(new.packets[0].ssrc, old.packets[0].ssrc)
            self.assertEqual((new.packets[0].sequence - old.packets[0].sequence) & 0xFFFF, 1)
            self.assertEqual(self.told, [(transport, CONNECTED)])

        self.run_loop(scenario())

    def source(self, end: int) -> object:
        return self.plane.counters(end).source

    def address(self, peer: Peer) -> tuple[str, int]:
        candidate = peer.connection.local_candidates[0]
        return candidate.host, candidate.port

    def test_told_before_it_is_asked_for(self) -> None:
        """Others' credentials are a restart, and asking for one on top of it changes nothing."""

        async def scenario() -> None:
            transport, end, old = await self.connected()
            before = self.plane.describe_transport(transport).ufrag
            new = self.peer(controlling=True)
            new.srtp = old.srtp
            await new.gather()
            self.plane.set_remote(transport, new.describe())
            self.plane.restart(transport)
            local = self.plane.describe_transport(transport)
            self.assertNotEqual(local.ufrag, before)
            await new.hear(local)
            await new.connect()
            await until(lambda: self.source(end) == self.address(new))

        self.run_loop(scenario())

    def test_of_ours(self) -> None:
        """It waits for the peer's answer; another description with the old ones is none."""

        async def scenario() -> None:
            transport, end, old = await self.connected(controlling=True)
            self.plane.restart(transport)
            ufrag = self.plane.describe_transport(transport).ufrag
            self.plane.restart(transport)
            self.assertEqual(self.plane.describe_transport(transport).ufrag, ufrag)
            self.plane.set_remote(transport, old.describe())
            new = await self.restarted(transport, old)
            self.plane.set_remote(transport, new.describe())
            await new.connect()
            await until(lambda: self.source(end) == self.address(new))

        self.run_loop(scenario())

    def test_old_checks_for_a_while(self) -> None:
        """The agent from before answers its peer's checks, and then does not any more."""

        async def scenario() -> None:
            transport, end, old = await self.connected()
            self.plane.restart(transport)
            new = await self.restarted(transport, old)
            self.plane.set_remote(transport, new.describe())
            await new.connect()
            await until(lambda: self.source(end) == self.address(new))
            self.assertTrue(await self.is_answered(old))
            await asyncio.sleep(0.35)
            self.assertFalse(await self.is_answered(old))
            self.assertTrue(await self.is_answered(new))

        self.run_loop(scenario())

    async def is_answered(self, peer: Peer) -> bool:
        (pair,) = peer.connection._nominated.values()
        assert peer.connection.remote_password is not None
        request = peer.connection.build_request(pair, nominate=False)
        key = peer.connection.remote_password.encode()
        try:
            await pair.protocol.request(request, pair.remote_addr, key, retransmissions=0)
        except stun.TransactionTimeout:
            return False
        return True

    def test_the_same_again(self) -> None:
        """A description that says the same begins nothing."""

        async def scenario() -> None:
            transport, end, old = await self.connected()
            self.plane.set_remote(transport, old.describe())
            await asyncio.sleep(0.05)
            self.assertEqual(self.told, [(transport, CONNECTED)])
            self.assertIsNotNone(self.source(end))

        self.run_loop(scenario())


class ConsentTests(WebPlaneTestCase):
    """RFC 7675, with shorter times."""

    times = IceTimes(consent_interval=0.05, consent_expiry=0.3, connecting=1.0)

    def test_lives(self) -> None:
        """A peer that answers keeps its media."""

        async def scenario() -> None:
            transport, _, _ = await self.connected()
            await asyncio.sleep(0.7)
            self.assertEqual(self.told, [(transport, CONNECTED)])

        self.run_loop(scenario())

    def test_lost_and_revived(self) -> None:
        """Without answers nothing is sent any more, not even checks; a restart revives it."""

        async def scenario() -> None:
            transport, end, peer = await self.connected()
            other_transport, other, feeder = await self.connected()
            self.plane.join(end, other)
            (protocol,) = peer.connection._protocols
            arrived: list[bytes] = []
            protocol.datagram_received = lambda data, addr: arrived.append(data)  # type: ignore
            await until(lambda: (transport, LOST) in self.told)
            await asyncio.sleep(0.05)
            arrived.clear()
            for _ in range(3):
                await feeder.send(feeder.media())
            await asyncio.sleep(0.15)
            self.assertEqual(arrived, [])
            self.assertEqual(self.plane.counters(other).dropped, {"nowhere": 3})
            self.plane.restart(transport)
            new = self.peer(controlling=True)
            new.srtp = peer.srtp
            await new.gather()
            await new.hear(self.plane.describe_transport(transport))
            self.plane.set_remote(transport, new.describe())
            await new.connect()
            await until(lambda: self.told[-1] == (transport, CONNECTED))
            await feeder.send(feeder.media(b"again"))
            await until(lambda: new.packets)
            self.assertNotIn((other_transport, LOST), self.told)

        self.run_loop(scenario())

    def test_not_revived(self) -> None:
        """A restart that leads nowhere fails after its time."""

        async def scenario() -> None:
            transport, _, peer = await self.connected()
            await peer.close()
            await until(lambda: (transport, LOST) in self.told)
            self.plane.restart(transport)
            remote = replace(peer.describe(), ufrag="other", password="p" * 22)
            self.plane.set_remote(transport, remote)
            await until(lambda: self.told[-1] == (transport, FAILED))
            self.plane.set_remote(transport, remote)
            self.plane.restart(transport)

        self.run_loop(scenario())

    def test_no_scanner(self) -> None:
        """Who does not answer is asked a few times, and not at all once that has failed."""

        async def scenario() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inside:
                inside.bind((LOOPBACK, 0))
                inside.setblocking(False)
                candidate = f"1 1 udp 1 {LOOPBACK} {inside.getsockname()[1]} typ host"
                transport = self.open()
                remote = RemoteTransport(ufrag="peer", password="p" * 22, candidates=(candidate,))
                self.plane.set_remote(transport, remote)
                await until(lambda: self.told == [(transport, FAILED)])
                asked = 0
                with contextlib.suppress(BlockingIOError):
                    while inside.recv(2048):
                        asked += 1
                self.assertIn(asked, range(1, 4))
                await asyncio.sleep(0.8)
                self.assertRaises(BlockingIOError, inside.recv, 2048)

        self.run_loop(scenario())

    def test_many_restarts(self) -> None:
        """Whoever restarts again and again has us check no more than a few times over."""

        async def scenario() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inside:
                inside.bind((LOOPBACK, 0))
                candidate = f"1 1 udp 1 {LOOPBACK} {inside.getsockname()[1]} typ host"
                transport = self.open()
                before = len(asyncio.all_tasks())
                for number in range(40):
                    remote = RemoteTransport(
                        ufrag=f"peer{number}", password="p" * 22, candidates=(candidate,)
                    )
                    self.plane.set_remote(transport, remote)
                    self.plane.describe_transport(transport)
                    await asyncio.sleep(0)
                await asyncio.sleep(0.05)
                self.assertLessEqual(len(asyncio.all_tasks()) - before, 2 * (1 + MOST_BEFORE))

        self.run_loop(scenario())

    def test_named_only(self) -> None:
        """One that may not be sought is not asked, but connects when it comes by itself."""
        self.plane.shut_down()
        self.plane = self.make_plane(seeks_peer=lambda host, port: False)

        async def scenario() -> None:
            transport = self.open()
            peer = self.peer()
            await peer.gather()
            heard: list[bytes] = []
            protocol = peer.connection._protocols[0]
            take = protocol.datagram_received
            protocol.datagram_received = lambda data, addr: (  # type: ignore[method-assign]
                heard.append(bytes(data)),
                take(data, addr),
            )[1]
            self.plane.set_remote(transport, peer.describe())
            await asyncio.sleep(0.1)
            self.assertEqual([], heard)
            await peer.hear(self.plane.describe_transport(transport))
            await peer.connect()
            await until(lambda: self.told == [(transport, CONNECTED)])

        self.run_loop(scenario())

    def test_never_connected(self) -> None:
        """A peer that does not come is a failure, told once."""

        async def scenario() -> None:
            transport = self.open()
            peer = self.peer()
            await peer.gather()
            remote = peer.describe()
            await peer.close()
            self.plane.set_remote(transport, remote)
            await until(lambda: self.told)
            await asyncio.sleep(0.1)
            self.assertEqual(self.told, [(transport, FAILED)])

        self.run_loop(scenario())
