"""Tests of transports of browsers in the media plane: suite.datapath.web_*."""

from __future__ import annotations

import asyncio

from b2bua.media_plane import RemoteTransport, TransportEvent
from b2bua.net.dtls import DtlsAssociation, DtlsState
from b2bua.net.dtls_identity import DtlsIdentity
from b2bua.settings import DtlsSettings
from tests.webmedia.dtls_pair import believe
from tests.webmedia.folders import temporary_folder
from tests.webmedia.loops import until
from tests.webmedia.peers import Peer
from tests.webmedia.planes import PCMU, WebPlaneTestCase


class TransportTests(WebPlaneTestCase):
    """From the description to media, with an agent of ICE that is not ours."""

    def test_echo(self) -> None:
        """An end that is joined with itself sends back what comes, as a stream of its own."""

        async def scenario() -> None:
            transport, end, peer = await self.connected()
            self.plane.join(end, end)
            await peer.send(peer.media(b"hello"))
            await until(lambda: peer.packets)
            ssrc, _ = self.plane.source_of(end)
            self.assertEqual([(p.payload, p.ssrc) for p in peer.packets], [(b"hello", ssrc)])
            self.assertEqual(self.told, [(transport, TransportEvent.CONNECTED)])

        self.run_loop(scenario())

    def test_between_two(self) -> None:
        """What one browser sends another one hears, whoever made the offer."""

        async def scenario() -> None:
            _, one, near = await self.connected()
            _, other, far = await self.connected(controlling=True)
            self.plane.join(one, other)
            await near.send(near.media(b"to far"))
            await far.send(far.media(b"to near"))
            await until(lambda: near.packets and far.packets)
            self.assertEqual([p.payload for p in far.packets], [b"to far"])
            self.assertEqual([p.payload for p in near.packets], [b"to near"])

        self.run_loop(scenario())


class HandshakeTests(WebPlaneTestCase):
    """DTLS over what ICE has found, without ICE's own pace."""

    def setUp(self) -> None:
        super().setUp()
        self.identity = DtlsIdentity.load(DtlsSettings(state_directory=temporary_folder(self)))

    async def meet(self, *, begins: bool) -> tuple[int, Peer, RemoteTransport]:
        """A peer that has found the way, and whose description has not come yet."""
        transport = self.open(controlling=True)
        end = self.plane.open_on(transport)
        self.plane.set_terms(end, PCMU)
        peer = self.peer(controlling=False)
        peer.srtp = None
        await peer.gather()
        await peer.hear(self.plane.describe_transport(transport))
        remote = peer.describe(
            keys=None, fingerprints=(self.identity.fingerprint,), begins_handshake=begins
        )
        self.connecting = self.loop.create_task(peer.connect())
        return transport, peer, remote

    def test_early(self) -> None:
        """A hello that comes before the answer is kept, and need not come again."""

        async def scenario() -> None:
            transport, peer, remote = await self.meet(begins=True)
            local = self.plane.describe_transport(transport)
            dtls = DtlsAssociation(self.identity, is_client=True, fingerprints=(local.fingerprint,))
            dtls.start(self.loop.time())
            await until(lambda: peer.connection._check_list)
            (pair,) = peer.connection._check_list
            await until(lambda: pair.state.name == "SUCCEEDED")
            for data in dtls.take_datagrams():
                await pair.protocol.send_data(data, pair.remote_addr)
            await asyncio.sleep(0.05)
            self.assertEqual(peer.other, [])
            self.plane.set_remote(transport, remote)
            await self.connecting
            begun = self.loop.time()
            while dtls.state is DtlsState.HANDSHAKING:
                await until(lambda: peer.other)
                dtls.receive(peer.other.pop(0), self.loop.time())
                believe(dtls, self.loop.time())
                for data in dtls.take_datagrams():
                    await peer.connection.send(data)
            await until(lambda: self.told == [(transport, TransportEvent.CONNECTED)])
            self.assertLess(self.loop.time() - begun, 0.9)

        self.run_loop(scenario())

    def test_again(self) -> None:
        """What is not answered is sent again after a second."""

        async def scenario() -> None:
            transport, peer, remote = await self.meet(begins=False)
            self.plane.set_remote(transport, remote)
            await self.connecting
            await until(lambda: peer.other)
            flight = len(peer.other)
            await asyncio.sleep(0.5)
            self.assertEqual(len(peer.other), flight)
            await until(lambda: len(peer.other) == 2 * flight, 2.0)

        self.run_loop(scenario())
