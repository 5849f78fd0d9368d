"""Tests of feedback on video of browsers, and of what else a transport says by RTCP."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from b2bua.media_plane import StreamTerms
from b2bua.rtp.rtcp import (
    FULL_INTRA,
    GENERIC_NACK,
    PICTURE_LOSS,
    PSFB,
    RTPFB,
    Feedback,
    Goodbye,
    ReceiverReport,
)
from tests.webmedia.loops import until
from tests.webmedia.peers import Peer
from tests.webmedia.planes import WebPlaneTestCase

VIDEO = StreamTerms(payload_types={97: 97}, clock_rates={97: 90000})
PAUSE = VIDEO.picture_spacing or 0.0


def feedback(peer: Peer) -> list[Feedback]:
    """What a peer was asked for."""
    return [item for report in peer.reports for item in report if isinstance(item, Feedback)]


def nack(media: int, first: int, more: int = 0) -> Feedback:
    control = first.to_bytes(2, "big") + more.to_bytes(2, "big")
    return Feedback(kind=RTPFB, format=GENERIC_NACK, sender=1, media=media, control=control)


class FeedbackTests(WebPlaneTestCase):
    """Between two browsers, and of our own."""

    async def bridge(self, terms: StreamTerms = VIDEO) -> tuple[Peer, Peer, int, int]:
        _, one, near = await self.connected(terms=terms)
        _, other, far = await self.connected(terms=VIDEO)
        self.plane.join(one, other)
        return near, far, one, other

    def test_pictures_again_and_again(self) -> None:
        """While a browser sends, and no longer."""

        async def scenario() -> None:
            near, _, _, _ = await self.bridge(replace(VIDEO, picture_interval=0.05))
            await asyncio.sleep(0.1)
            self.assertEqual(feedback(near), [])
            await near.send(near.media(number=97))
            await until(lambda: feedback(near))
            (request,) = feedback(near)
            self.assertEqual((request.kind, request.format), (PSFB, PICTURE_LOSS))
            self.assertEqual(request.media, 0xB0B)
            await asyncio.sleep(0.15)
            self.assertEqual(len(feedback(near)), 1)

        self.run_loop(scenario())

    def test_picture_on_demand(self) -> None:
        """PLI and FIR of the other browser reach the source by its name, and in their time."""

        async def scenario() -> None:
            near, far, _, other = await self.bridge()
            await near.send(near.media(number=97))
            await until(lambda: far.packets)
            ssrc, _ = self.plane.source_of(other)
            report = ReceiverReport(ssrc=1)
            pli = Feedback(kind=PSFB, format=PICTURE_LOSS, sender=1, media=ssrc)
            entry = ssrc.to_bytes(4, "big") + b"\x07\0\0\0"
            fir = Feedback(kind=PSFB, format=FULL_INTRA, sender=1, media=0, control=entry)
            for _ in range(3):
                await far.report(report, pli)
            await until(lambda: feedback(near))
            await until(lambda: len(feedback(near)) == 2)
            await asyncio.sleep(PAUSE)
            await far.report(report, fir)
            await until(lambda: len(feedback(near)) == 3)
            *passed_pli, passed_fir = feedback(near)
            for pli in passed_pli:
                self.assertEqual((pli.format, pli.media), (PICTURE_LOSS, 0xB0B))
            self.assertEqual(passed_fir.format, FULL_INTRA)
            self.assertEqual(passed_fir.control, (0xB0B).to_bytes(4, "big") + b"\x07\0\0\0")

        self.run_loop(scenario())

    def test_resend(self) -> None:
        """What a browser misses it gets again from us; its source is asked for older packets."""

        async def scenario() -> None:
            near, far, _, other = await self.bridge()
            sent: list[bytes] = []
            far.connection.data_received = lambda data, component: sent.append(data)  # type: ignore[method-assign]
            for _ in range(300):
                await near.send(near.media(number=97))
                await asyncio.sleep(0)
            await until(lambda: self.plane.counters(other).sent_packets == 300)
            await until(lambda: len([data for data in sent if data[1] & 0x7F == 97]) == 300)
            media = [data for data in sent if data[1] & 0x7F == 97]
            sent.clear()
            newest = int.from_bytes(media[-1][2:4], "big")
            ssrc, _ = self.plane.source_of(other)
            old = (newest - 290) & 0xFFFF
            report = ReceiverReport(ssrc=1)
            await far.report(report, nack(ssrc, (newest - 3) & 0xFFFF, 0b101), nack(ssrc, old))
            await until(lambda: len([data for data in sent if data[1] & 0x7F == 97]) == 3)
            again = [data for data in sent if data[1] & 0x7F == 97]
            self.assertEqual(again, [media[-4], media[-3], media[-1]])
            await until(lambda: feedback(near))
            (passed,) = feedback(near)
            self.assertEqual((passed.media, passed.control), (0xB0B, b"\0\x0a\0\0"))

        self.run_loop(scenario())

    def test_our_own_requests(self) -> None:
        """What a browser's video misses is asked for, and goes on when it comes late."""

        async def scenario() -> None:
            near, far, _, _ = await self.bridge(replace(VIDEO, nack_interval=1.0))
            packets = [near.media(b"%d" % number, number=97) for number in range(5)]
            for place in (0, 3, 4):
                await near.send(packets[place])
            await until(lambda: feedback(near))
            (request,) = feedback(near)
            self.assertEqual((request.media, request.control), (0xB0B, b"\0\x02\0\x01"))
            for place in (1, 2):
                await near.send(packets[place])
            await until(lambda: len(far.packets) == 5)
            base = far.packets[0].sequence
            found = {(p.sequence - base) & 0xFFFF: p.payload for p in far.packets}
            self.assertEqual(found, {place: b"%d" % place for place in range(5)})

        self.run_loop(scenario())

    def test_not_to_whom_does_not_take_it(self) -> None:
        """A peer without AVPF is asked for nothing."""

        async def scenario() -> None:
            terms = replace(VIDEO, takes_feedback=False, picture_interval=0.02, nack_interval=0.1)
            near, far, _, other = await self.bridge(terms)
            for number in (1, 5):
                await near.send(near.media(number=97, sequence=number))
            await until(lambda: len(far.packets) == 2)
            ssrc, _ = self.plane.source_of(other)
            pli = Feedback(kind=PSFB, format=PICTURE_LOSS, sender=1, media=ssrc)
            await far.report(ReceiverReport(ssrc=1), pli)
            await asyncio.sleep(0.1)
            self.assertEqual(feedback(near), [])

        self.run_loop(scenario())

    def test_goodbye(self) -> None:
        """An end that is closed says so; an estimate of bandwidth goes no farther than to us."""

        async def scenario() -> None:
            near, far, one, other = await self.bridge()
            await near.send(near.media(number=97))
            await until(lambda: far.packets)
            ssrc, _ = self.plane.source_of(other)
            remb = Feedback(kind=PSFB, format=15, sender=1, media=0, control=b"REMB\x01\0\0\1")
            await far.report(ReceiverReport(ssrc=1), remb)
            self.plane.close(other)
            await until(lambda: far.reports)
            self.assertEqual(far.reports[-1][-1], Goodbye(sources=(ssrc,)))
            self.assertEqual(feedback(near), [])
            self.plane.close(one)

        self.run_loop(scenario())
