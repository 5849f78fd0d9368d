"""Tests of how long packets may be that are encrypted or decrypted, and what is told of others."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from b2bua.media_plane import SrtpKeys, StreamTerms
from b2bua.net.srtp import LONGEST_RTP, LONGEST_SRTP, SrtpSession
from b2bua.rtp.kept import LONGEST
from b2bua.rtp.packet import Packet, parse
from b2bua.rtp.reports import lost_packets
from b2bua.rtp.rtcp import build_compound
from tests.datapath.media import LONGEST_FIRST_INTERVAL, MediaTestCase, Phone, address
from tests.webmedia.loops import until
from tests.webmedia.peers import PEER_KEYS
from tests.webmedia.planes import HOST, PCMU, WebPlaneTestCase
from tests.webmedia.test_srtp import (
    TAGS,
    control_over_the_wire,
    keys_of,
    must,
    over_the_wire,
)

HEADER = 12
ETHERNET = 1472
"""Bytes of UDP that go over it in one piece."""
VIDEO = {"payload_types": {97: 97}, "clock_rates": {97: 90000}}


def other_side(keys: SrtpKeys) -> SrtpKeys:
    return replace(keys, sends=keys.receives, receives=keys.sends)


class LongPacketTests(MediaTestCase):
    """Phones whose packets are as long as they may be, and longer."""

    def secure(self, profile: str) -> tuple[int, int, SrtpKeys]:
        """The end of a phone with SRTP, that of a plain one, and the keys of the former's phone."""
        one, other = self.bridge()
        ours = keys_of(profile)
        self.plane.set_terms(one, self.terms(self.near, keys=ours))
        return one, other, other_side(ours)

    def long(self, size: int, phone: Phone, **more: object) -> bytes:
        return phone.packet(bytes([size & 0xFF]) * (size - HEADER), **more)  # type: ignore[arg-type]

    def test_to_a_peer(self) -> None:
        """What fits with the longest tag is encrypted, whatever comes with it on its own leg."""
        for profile, (tag, _) in TAGS.items():
            _, other, keys = self.secure(profile)
            near = SrtpSession(keys)
            fits = [self.long(size, self.far) for size in (1400, ETHERNET, LONGEST_RTP)]
            # Its header extension stays behind.
            fits.append(self.long(LONGEST_RTP, self.far, extension=(0xBEDE, bytes(400))))
            beyond = [self.long(size, self.far) for size in (LONGEST_RTP + 1, 3000)]
            self.send(self.far, other, *fits, *beyond, self.far.packet(b"after"))
            heard = self.all_received(self.near.rtp)
            self.assertEqual(
                [len(data) - tag for data in heard],
                [1400, ETHERNET, LONGEST_RTP, LONGEST_RTP, HEADER + 5],
            )
            opened = [parse(must(near.unprotect(data))) for data in heard]
            payloads = [parse(packet).payload for packet in fits]
            self.assertEqual([packet.payload for packet in opened], [*payloads, b"after"])
            # Whoever misses those two sees that they are missing.
            self.assertEqual((opened[-1].sequence - opened[-2].sequence) & 0xFFFF, 3)
            self.assertEqual(self.dropped(other), {"too-long": 2})

    def test_from_a_peer(self) -> None:
        """What is as long as a packet may be over the wire is decrypted; the next is not."""
        for profile, (tag, _) in TAGS.items():
            one, other, keys = self.secure(profile)
            sizes = (LONGEST_SRTP, LONGEST_SRTP + 1, 3000)
            self.send(
                self.near,
                one,
                *(over_the_wire(keys, size, number) for number, size in enumerate(sizes, 1)),
            )
            heard = self.all_received(self.far.rtp)
            self.assertEqual([len(data) for data in heard], [LONGEST_SRTP - tag])
            self.assertEqual(self.dropped(one), {"too-long": 2})
            self.assertEqual(self.dropped(other), {})

    def test_between_two(self) -> None:
        """Two keys, the longer tag on the way out: what is too long only then is told too."""
        one, other, keys = self.secure("AES_CM_128_HMAC_SHA1_32")
        away = keys_of("AEAD_AES_256_GCM")
        self.plane.set_terms(other, self.terms(self.far, keys=away))
        far = SrtpSession(other_side(away))
        for number, size in enumerate((LONGEST_RTP + 4, LONGEST_RTP + 5), 1):
            self.send(self.near, one, over_the_wire(keys, size, number))
        (data,) = self.all_received(self.far.rtp)
        self.assertEqual(len(data), LONGEST_SRTP)
        self.assertEqual(len(must(far.unprotect(data))), LONGEST_RTP)
        self.assertEqual(self.dropped(one), {"too-long": 1})

    def test_of_a_stranger(self) -> None:
        """It is a stranger's, however long."""
        one, _, keys = self.secure("AEAD_AES_128_GCM")
        self.send(self.near, one, over_the_wire(keys, 100))
        stranger = self.phone(0xDDDD)
        self.send(stranger, one, self.long(3000, stranger))
        self.assertEqual(self.dropped(one), {"source": 1})

    def test_rtcp(self) -> None:
        """The same limit over the wire; these are authentic, and no RTCP beyond that."""
        for profile in TAGS:
            one, _, keys = self.secure(profile)
            host, port = self.plane.local(one)
            for size in (LONGEST_SRTP, LONGEST_SRTP + 1):
                self.near.rtcp.sendto(control_over_the_wire(keys, size), (host, port + 1))
                self.turn()
            self.assertEqual(self.dropped(one), {"malformed": 1, "too-long": 1})

    def test_sent_again(self) -> None:
        """All that was encrypted can be, whatever its length."""
        for profile in TAGS:
            one, other, keys = self.secure(profile)
            self.plane.set_terms(one, self.terms(self.near, keys=keys_of(profile), **VIDEO))
            self.plane.set_terms(other, self.terms(self.far, **VIDEO))
            near = SrtpSession(keys)
            self.send(self.far, other, self.long(LONGEST_RTP, self.far, number=97))
            (data,) = self.all_received(self.near.rtp)
            missed = parse(must(near.unprotect(data)))
            asks = build_compound([lost_packets(0xAAAA, missed.ssrc, [missed.sequence])])
            host, port = self.plane.local(one)
            self.near.rtcp.sendto(must(near.protect_rtcp(asks)), (host, port + 1))
            self.turn()
            self.assertEqual(self.all_received(self.near.rtp), [data])

    def test_kept_in_the_clear(self) -> None:
        """Only what Ethernet takes is sent again; for what is longer the source is asked."""
        one, other = self.bridge()
        self.plane.set_terms(one, self.terms(self.near, **VIDEO))
        self.plane.set_terms(other, self.terms(self.far, **VIDEO))
        sizes = (LONGEST, LONGEST + 1)
        self.send(self.far, other, *(self.long(size, self.far, number=97) for size in sizes))
        heard = self.packets(self.near)
        missed = [packet.sequence for packet in heard]
        self.send_control(self.near, one, lost_packets(0xAAAA, heard[0].ssrc, missed))
        again = self.packets(self.near)
        self.assertEqual([len(packet.payload) + HEADER for packet in again], [LONGEST])
        self.assertEqual(len(self.reports(self.far)), 1)

    def test_silence_goes_on(self) -> None:
        """What cannot be sent does not end what is sent until media come."""
        one, other, _ = self.secure("AEAD_AES_128_GCM")
        terms = self.terms(self.near, keys=keys_of("AEAD_AES_128_GCM"), silence=0)
        self.plane.set_terms(one, terms)
        self.send(self.far, other, self.long(LONGEST_RTP + 1, self.far))
        self.all_received(self.near.rtp)
        self.clock.pump([0.02] * int(LONGEST_FIRST_INTERVAL / 0.02))
        self.assertGreater(len(self.all_received(self.near.rtp)), 5)


class LongWebPacketTests(WebPlaneTestCase):
    """A browser and a phone with long packets."""

    def phone(self) -> Phone:
        made = Phone(HOST, 0xCAFE)
        made.rtp.settimeout(0)
        self.addCleanup(made.close)
        return made

    async def received(self, phone: Phone) -> Packet:
        return parse(await asyncio.wait_for(self.loop.sock_recv(phone.rtp, 2048), 5))

    def test_both_ways(self) -> None:
        """A phone's picture is seen however long its packets are, and a browser's too."""

        async def scenario() -> None:
            _, web, browser = await self.connected()
            phone, plain = self.phone(), self.plane.open()
            self.plane.set_terms(
                plain, StreamTerms(remote=address(phone.rtp), payload_types={0: 0})
            )
            self.plane.join(web, plain)
            sizes = (1400, ETHERNET, LONGEST_RTP, LONGEST_RTP + 1, 100)
            for size in sizes:
                data = phone.packet(bytes(size - HEADER))
                phone.rtp.sendto(data, self.plane.local(plain))
            await until(lambda: len(browser.packets) == 4)
            sizes = tuple(len(packet.payload) + HEADER for packet in browser.packets)
            self.assertEqual(sizes, (1400, ETHERNET, LONGEST_RTP, 100))
            self.assertEqual(self.plane.counters(plain).dropped, {"too-long": 1})
            await browser.send(browser.media(bytes(LONGEST_RTP - HEADER)))
            heard = await self.received(phone)
            self.assertEqual(len(heard.payload) + HEADER, LONGEST_RTP)
            await browser.connection.send(over_the_wire(PEER_KEYS, LONGEST_SRTP + 1, 9))
            await until(lambda: self.plane.counters(web).dropped == {"too-long": 1})

        self.run_loop(scenario())

    def test_by_a_relay(self) -> None:
        """What comes by a relay of somebody else has the same limits."""

        async def scenario() -> None:
            handle, web, _ = await self.connected()
            transport = self.plane._transports[handle]
            now = self.loop.time()
            for number, size in enumerate((LONGEST_SRTP, LONGEST_SRTP + 1, 70_000), 1):
                data = bytearray(over_the_wire(PEER_KEYS, size, number))
                transport.receive_media(bytes(data), now)
                # A number that is nobody's, and RTCP, are counted at the first end.
                data[1] = 111
                transport.receive_media(bytes(data), now)
            transport.receive_media(control_over_the_wire(PEER_KEYS, LONGEST_SRTP + 1), now)
            counters = self.plane.counters(web)
            self.assertEqual(counters.received_packets, 1)
            self.assertEqual(counters.dropped, {"too-long": 5, "srtp": 1, "nowhere": 1})
            self.plane.set_terms(web, PCMU)

        self.run_loop(scenario())
