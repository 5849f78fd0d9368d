"""Tests of bridges between browsers and phones, and of SRTP of phones."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from b2bua.media_plane import SrtpKeys, StreamTerms, TransportEvent
from b2bua.net.srtp import SrtpSession
from b2bua.rtp.packet import Packet, parse
from b2bua.rtp.rtcp import SenderReport, build_compound, parse_compound
from tests.datapath.media import LONGEST_FIRST_INTERVAL, MediaTestCase, Phone, address
from tests.webmedia.loops import until
from tests.webmedia.planes import HOST, WebPlaneTestCase

TERMS = StreamTerms(
    payload_types={0: 0, 101: 96},
    clock_rates={0: 8000, 101: 48000},
    event_rates={101: (48000, 8000)},
)


class WebAndPlainTests(WebPlaneTestCase):
    """A browser and a phone."""

    def phone(self) -> Phone:
        made = Phone(HOST, 0xCAFE)
        made.rtp.settimeout(0)
        made.rtcp.settimeout(0)
        self.addCleanup(made.close)
        return made

    async def received(self, phone: Phone) -> Packet:
        data = await asyncio.wait_for(self.loop.sock_recv(phone.rtp, 2048), 5)
        return parse(data)

    def test_both_ways(self) -> None:
        """In the clear on one side only; events have the clock of each side."""

        async def scenario() -> None:
            _, web, browser = await self.connected(terms=TERMS)
            phone, plain = self.phone(), self.plane.open()
            self.plane.set_terms(
                plain,
                StreamTerms(
                    remote=address(phone.rtp),
                    payload_types={0: 0, 96: 101},
                    clock_rates={0: 8000, 96: 8000},
                    event_rates={96: (8000, 48000)},
                ),
            )
            self.plane.join(web, plain)
            await browser.send(browser.media(b"to the phone"))
            heard = await self.received(phone)
            self.assertEqual((heard.payload, heard.payload_type), (b"to the phone", 0))
            await browser.send(browser.media(b"\x05\x0a\x03\xc0", number=101))
            event = await self.received(phone)
            self.assertEqual((event.payload, event.payload_type), (b"\x05\x0a\x00\xa0", 96))
            for packet in (phone.packet(b"to the browser"), phone.packet(b"\x05\x0a\0\xa0", 96)):
                phone.rtp.sendto(packet, self.plane.local(plain))
            await until(lambda: len(browser.packets) == 2)
            found = [(p.payload_type, p.payload) for p in browser.packets]
            self.assertEqual(found, [(0, b"to the browser"), (101, b"\x05\x0a\x03\xc0")])
            counters = self.plane.counters(web)
            self.assertEqual((counters.received_packets, counters.sent_packets), (2, 2))
            self.assertEqual(counters.dropped, {})
            own = browser.connection.local_candidates[0]
            self.assertEqual(counters.source, (own.host, own.port))

        self.run_loop(scenario())

    def test_one_transport_for_two(self) -> None:
        """Packets go to the end with their number; RTCP to the end that it is about."""

        async def scenario() -> None:
            transport, sound, browser = await self.connected()
            pictures = self.plane.open_on(transport)
            video = StreamTerms(payload_types={97: 97}, clock_rates={97: 90000})
            self.plane.set_terms(pictures, video)
            for end in (sound, pictures):
                self.plane.join(end, end)
            await browser.send(browser.media(b"sound", ssrc=1))
            await browser.send(browser.media(b"picture", number=97, ssrc=2))
            await browser.send(browser.media(b"?", number=111, ssrc=3))
            await until(lambda: len(browser.packets) == 2)
            found = {p.payload: p.ssrc for p in browser.packets}
            sources = [self.plane.source_of(end) for end in (sound, pictures)]
            self.assertEqual(found, {b"sound": sources[0][0], b"picture": sources[1][0]})
            self.assertNotEqual(*sources)
            self.assertEqual(self.plane.counters(sound).dropped, {"payload-type": 1})
            self.plane.close(pictures)
            await browser.send(browser.media(b"picture", number=97, ssrc=2))
            dropped = {"payload-type": 2}
            await until(lambda: self.plane.counters(sound).dropped == dropped)

        self.run_loop(scenario())

    def test_told_afterwards(self) -> None:
        """What becomes of a transport is never told from within a method."""

        async def scenario() -> None:
            within: list[bool] = []
            busy = False

            def tell(event: TransportEvent) -> None:
                within.append(busy)

            transport = self.plane.open_transport(tell, controlling=False)
            peer = self.peer()
            await peer.gather()
            await peer.hear(self.plane.describe_transport(transport))
            keyless = peer.describe(keys=None)
            self.plane.set_remote(transport, keyless)
            await peer.connect()
            await asyncio.sleep(0.05)
            self.assertEqual(within, [])
            busy = True
            self.plane.set_remote(transport, peer.describe())
            busy = False
            await until(lambda: within)
            self.assertEqual(within, [False])

        self.run_loop(scenario())


KEYS = SrtpKeys(profile="AES_CM_128_HMAC_SHA1_80", sends=b"s" * 30, receives=b"r" * 30)
OTHER_KEYS = SrtpKeys(profile="AES_CM_128_HMAC_SHA1_32", sends=b"S" * 30, receives=b"R" * 30)


def other_side(keys: SrtpKeys) -> SrtpSession:
    return SrtpSession(replace(keys, sends=keys.receives, receives=keys.sends))


class SecurePhoneTests(MediaTestCase):
    """SRTP of an end with sockets of its own."""

    def secure(self, keys: SrtpKeys = KEYS) -> tuple[int, int, SrtpSession]:
        one, other = self.bridge()
        self.plane.set_terms(one, self.terms(self.near, keys=keys))
        return one, other, other_side(keys)

    def sealed(self, session: SrtpSession, payload: bytes = b"sound") -> bytes:
        data = session.protect(self.near.packet(payload))
        assert data is not None
        return data

    def opened(self, session: SrtpSession, data: bytes) -> Packet:
        plain = session.unprotect(data)
        assert plain is not None
        return parse(plain)

    def test_both_ways(self) -> None:
        """Encrypted there, in the clear on the joined end."""
        one, other, near = self.secure()
        self.send(self.near, one, self.sealed(near, b"secret"))
        self.assertEqual([p.payload for p in self.packets(self.far)], [b"secret"])
        self.send(self.far, other, self.far.packet(b"answer"))
        (data,) = self.all_received(self.near.rtp)
        self.assertNotIn(b"answer", data)
        self.assertEqual(self.opened(near, data).payload, b"answer")

    def test_not_authentic(self) -> None:
        """It is counted, goes nowhere, and locks no source."""
        one, other, near = self.secure()
        good = self.sealed(near)
        moved = self.phone(0xAAAA)
        self.send(moved, one, self.near.packet(), good[:-1] + bytes([good[-1] ^ 1]), good[:11])
        self.assertEqual(self.dropped(one), {"srtp": 3})
        self.assertIsNone(self.plane.counters(one).source)
        self.send(self.near, one, good, good)
        self.assertEqual(self.dropped(one), {"srtp": 4})
        self.assertEqual(self.plane.counters(one).source, address(self.near.rtp))
        self.assertEqual(len(self.packets(self.far)), 1)
        self.assertEqual(self.dropped(other), {})

    def test_reports(self) -> None:
        """SRTCP both ways; what is in the clear is not read."""
        one, _, near = self.secure()
        self.send(self.near, one, self.sealed(near))
        report = SenderReport(ssrc=0xAAAA, time=77 << 16, timestamp=0, packets=1, octets=1)
        host, port = self.plane.local(one)
        plain = build_compound([report])
        secret = near.protect_rtcp(plain)
        assert secret is not None
        self.near.rtcp.sendto(plain, (host, port + 1))
        self.near.rtcp.sendto(secret, (host, port + 1))
        self.turn()
        self.assertEqual(self.dropped(one), {"srtp": 1})
        self.clock.advance(LONGEST_FIRST_INTERVAL)
        (data,) = self.all_received(self.near.rtcp)
        opened = near.unprotect_rtcp(data)
        assert opened is not None
        ours = parse_compound(opened)[0]
        self.assertEqual(ours.blocks[0].last_report, 77)  # type: ignore[union-attr]

    def test_other_keys(self) -> None:
        """With other keys it begins anew, as the same stream."""
        one, other, near = self.secure()
        self.send(self.far, other, self.far.packet())
        before = self.opened(near, *self.all_received(self.near.rtp))
        self.plane.set_terms(one, self.terms(self.near, keys=OTHER_KEYS))
        again = other_side(OTHER_KEYS)
        self.send(self.near, one, self.sealed(near), self.sealed(again))
        self.assertEqual(self.dropped(one), {"srtp": 1})
        self.send(self.far, other, self.far.packet())
        after = self.opened(again, *self.all_received(self.near.rtp))
        self.assertEqual(after.ssrc, before.ssrc)
        self.assertEqual((after.sequence - before.sequence) & 0xFFFF, 1)

    def test_other_key_of_the_peer(self) -> None:
        """What we send can be read on; what comes is under the new key only."""
        one, other, near = self.secure()
        self.send(self.far, other, self.far.packet())
        self.opened(near, *self.all_received(self.near.rtp))
        keys = replace(KEYS, receives=b"R" * 30)
        self.plane.set_terms(one, self.terms(self.near, keys=keys))
        fresh = SrtpSession(replace(keys, sends=keys.receives, receives=keys.sends), near)
        for _ in range(2):
            self.send(self.far, other, self.far.packet())
            self.opened(fresh, *self.all_received(self.near.rtp))
        self.send(self.near, one, self.sealed(near), self.sealed(fresh))
        self.assertEqual(self.dropped(one), {"srtp": 1})

    def test_the_same_keys(self) -> None:
        """Terms with the same keys go on: what was received once is still a replay."""
        one, _, near = self.secure()
        data = self.sealed(near)
        self.send(self.near, one, data)
        self.plane.set_terms(one, self.terms(self.near, keys=replace(KEYS), sends=False))
        self.send(self.near, one, data)
        self.assertEqual(self.dropped(one), {"srtp": 1})

    def test_twice_the_same_number(self) -> None:
        """What the joined end's peer sends twice under one number goes out once."""
        _, other, _ = self.secure()
        packet = self.far.packet()
        self.send(self.far, other, packet, packet[:-1] + b"!")
        self.assertEqual(len(self.all_received(self.near.rtp)), 1)
        self.assertEqual(self.dropped(other), {"refused": 1})
