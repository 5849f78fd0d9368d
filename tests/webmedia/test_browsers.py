"""Transports of the media plane with aiortc's RTCPeerConnection as the browser."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import aioice.ice
from aiortc import RTCPeerConnection
from aiortc.mediastreams import AudioStreamTrack, MediaStreamTrack, VideoStreamTrack

from b2bua.media_plane import StreamTerms, TransportEvent
from tests.webmedia.browsers import AUDIO, VIDEO, answer, offer, read_transport, write_answer
from tests.webmedia.loops import until
from tests.webmedia.peers import LOOPBACK
from tests.webmedia.planes import WebPlaneTestCase

OPUS = StreamTerms(payload_types={AUDIO: AUDIO}, clock_rates={AUDIO: 48000})
VP8 = StreamTerms(
    payload_types={VIDEO: VIDEO},
    clock_rates={VIDEO: 90000},
    picture_interval=0.2,
    nack_interval=0.2,
)


class Call:
    """A browser, its transport, its ends."""

    def __init__(self, browser: RTCPeerConnection, transport: int, ends: dict[str, int]) -> None:
        self.browser = browser
        self.transport = transport
        self.ends = ends
        self.tracks: dict[str, MediaStreamTrack] = {}

        @browser.on("track")
        def keep(track: MediaStreamTrack) -> None:
            self.tracks[track.kind] = track


class BrowserTests(WebPlaneTestCase):
    """ICE, DTLS-SRTP, Opus and VP8 with an implementation of WebRTC."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(aioice.ice, "get_host_addresses", lambda **families: [LOOPBACK])
        self.browsers: list[RTCPeerConnection] = []
        self.addCleanup(lambda: self.run_loop(self.close_all()))

    async def close_all(self) -> None:
        for browser in self.browsers:
            await browser.close()

    def browser(self) -> RTCPeerConnection:
        made = RTCPeerConnection()
        self.browsers.append(made)
        return made

    async def call(self, *, setup: str = "passive", video: bool = True) -> Call:
        """Let a browser call: it offers, we answer."""
        browser = self.browser()
        browser.addTrack(AudioStreamTrack())
        if video:
            browser.addTrack(VideoStreamTrack())
        transport = self.open()
        ends = {"audio": self.plane.open_on(transport)}
        self.plane.set_terms(ends["audio"], OPUS)
        if video:
            ends["video"] = self.plane.open_on(transport)
            self.plane.set_terms(ends["video"], VP8)
        call = Call(browser, transport, ends)
        remote = read_transport(await offer(browser))
        begins = setup == "passive"
        self.plane.set_remote(transport, replace(remote, begins_handshake=begins))
        sources = {kind: self.plane.source_of(end)[0] for kind, end in ends.items()}
        local = self.plane.describe_transport(transport)
        await answer(browser, write_answer(local, sources, setup=setup))
        await until(lambda: (transport, TransportEvent.CONNECTED) in self.told)
        return call

    async def see(self, call: Call) -> None:
        """Wait for a decoded picture and decoded sound."""
        for kind, track in call.tracks.items():
            frame = await asyncio.wait_for(track.recv(), 10)
            self.assertTrue(frame.pts is not None, kind)

    def test_echo(self) -> None:
        """What a browser sends comes back to it, and it can decode that."""

        async def scenario() -> None:
            call = await self.call()
            for end in call.ends.values():
                self.plane.join(end, end)
            await self.see(call)
            self.assertEqual(set(call.tracks), {"audio", "video"})

        self.run_loop(scenario())

    def test_we_begin_the_handshake(self) -> None:
        """With a=setup:active of ours it is we who say hello."""

        async def scenario() -> None:
            call = await self.call(setup="active", video=False)
            self.plane.join(call.ends["audio"], call.ends["audio"])
            await self.see(call)

        self.run_loop(scenario())

    def test_between_two(self) -> None:
        """Two browsers see and hear each other; each is asked for pictures, and reported to."""

        async def scenario() -> None:
            one, other = await self.call(), await self.call()
            for kind in ("audio", "video"):
                self.plane.join(one.ends[kind], other.ends[kind])
            await asyncio.gather(self.see(one), self.see(other))
            await until(lambda: self.plane.counters(one.ends["video"]).reported_lost is not None)
            counters = self.plane.counters(one.ends["video"])
            self.assertEqual(counters.lost, 0)
            self.assertEqual(set(counters.dropped) - {"nowhere"}, set())
            await one.browser.close()
            await until(lambda: (one.transport, TransportEvent.LOST) in self.told)

        self.run_loop(scenario())

    def test_another_browser(self) -> None:
        """With other credentials and another certificate another one takes over, as one stream."""

        async def scenario() -> None:
            first = await self.call(video=False)
            end = first.ends["audio"]
            self.plane.join(end, end)
            await self.see(first)
            before = self.plane.counters(end).source
            second = self.browser()
            second.addTrack(AudioStreamTrack())
            call = Call(second, first.transport, first.ends)
            remote = replace(read_transport(await offer(second)), begins_handshake=True)
            self.plane.restart(first.transport)
            self.plane.set_remote(first.transport, remote)
            sources = {"audio": self.plane.source_of(end)[0]}
            local = self.plane.describe_transport(first.transport)
            await answer(second, write_answer(local, sources, setup="passive"))
            connected = (first.transport, TransportEvent.CONNECTED)
            await until(lambda: self.told == [connected, connected])
            await self.see(call)
            self.assertNotEqual(self.plane.counters(end).source, before)

        self.run_loop(scenario())

    def test_another_certificate(self) -> None:
        """A peer that is not the one of the SDP gets nothing, and the transport fails."""

        async def scenario() -> None:
            browser = self.browser()
            browser.addTrack(AudioStreamTrack())
            transport = self.open()
            end = self.plane.open_on(transport)
            self.plane.set_terms(end, OPUS)
            self.plane.join(end, end)
            remote = read_transport(await offer(browser))
            wrong = ":".join(["AB"] * 32)
            self.plane.set_remote(
                transport,
                replace(remote, fingerprints=(("sha-256", wrong),), begins_handshake=True),
            )
            sources = {"audio": self.plane.source_of(end)[0]}
            local = self.plane.describe_transport(transport)
            await answer(browser, write_answer(local, sources, setup="passive"))
            await until(lambda: self.told)
            self.assertEqual(self.told, [(transport, TransportEvent.FAILED)])
            self.assertEqual(self.plane.counters(end).sent_packets, 0)

        self.run_loop(scenario())
