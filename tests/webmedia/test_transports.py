"""Tests of transports of browsers in the media plane: suite.datapath.web_*."""

from __future__ import annotations

from b2bua.media_plane import TransportEvent
from tests.webmedia.loops import until
from tests.webmedia.planes import WebPlaneTestCase


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
