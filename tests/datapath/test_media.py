"""Tests of suite.datapath.media: packets between two ends."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from b2bua.media_plane import MediaPlane, StreamTerms
from b2bua.rtp.packet import build
from suite.datapath.media_end import CONTROL_COST, MOST_PER_SECOND
from suite.datapath.polled import PACKETS_PER_WAKE_UP
from tests import fewer
from tests.datapath.media import PCMU, MediaTestCase, address

FILLING = 200
"""Packets that a socket has room for."""


class MediaPlaneTests(MediaTestCase):
    """Packets between two ends."""

    def test_forwards(self) -> None:
        """Both ways, as streams of our own that nothing of the other leg is seen in."""
        one, other = self.bridge()
        for _ in range(3):
            self.send(self.near, one, self.near.packet(b"to far"))
            self.send(self.far, other, self.far.packet(b"to near"))
            self.clock.advance(0.02)
        heard, back = self.packets(self.far), self.packets(self.near)
        self.assertEqual([packet.payload for packet in heard], [b"to far"] * 3)
        self.assertEqual([packet.payload for packet in back], [b"to near"] * 3)
        self.assertEqual([packet.marker for packet in heard], [True, False, False])
        self.assertEqual(len({packet.ssrc for packet in heard + back}), 2)
        self.assertFalse({0xAAAA, 0xBBBB} & {packet.ssrc for packet in heard + back})
        for before, after in pairwise(heard):
            self.assertEqual((after.sequence - before.sequence) & 0xFFFF, 1)
            self.assertEqual((after.timestamp - before.timestamp) & 0xFFFFFFFF, 160)

    def test_counts(self) -> None:
        """Packets and bytes both ways, when the last came, and from where."""
        one, other = self.bridge()
        self.send(self.near, one, self.near.packet(b"12345678"), self.near.packet(b"12345678"))
        counters = self.plane.counters(one)
        self.assertEqual((counters.received_packets, counters.received_bytes), (2, 40))
        self.assertEqual(counters.last_received, 1000.0)
        self.assertEqual(counters.source, address(self.near.rtp))
        self.assertEqual((counters.lost, counters.dropped), (0, {}))
        counters = self.plane.counters(other)
        self.assertEqual((counters.sent_packets, counters.sent_bytes), (2, 40))
        self.assertEqual((counters.received_packets, counters.last_received), (0, None))
        self.assertIsNone(counters.source)

    def test_loss_and_jitter(self) -> None:
        """They are measured where packets come in, and losses stay visible behind us."""
        one, _ = self.bridge()
        for pause in (0.0, 0.02, 0.06):
            self.clock.advance(pause)
            self.send(self.near, one, self.near.packet())
        self.near.sequence += 1
        self.send(self.near, one, self.near.packet())
        counters = self.plane.counters(one)
        self.assertEqual(counters.lost, 1)
        self.assertGreater(counters.jitter, 0.0)
        heard = self.packets(self.far)
        self.assertEqual((heard[3].sequence - heard[2].sequence) & 0xFFFF, 2)

    def test_payload_types(self) -> None:
        """Numbers are mapped, what is not listed is dropped and leaves no gap."""
        one, _ = self.bridge()
        self.plane.set_terms(one, self.terms(self.near, payload_types={0: 0, 101: 97}))
        self.send(self.near, one, self.near.packet(), self.near.packet(b"?", 111))
        self.send(self.near, one, self.near.packet(b"\x05\x0a\x00\xa0", 101, marker=True))
        heard = self.packets(self.far)
        self.assertEqual([(p.payload_type, p.marker) for p in heard], [(0, True), (97, True)])
        self.assertEqual(heard[1].sequence - heard[0].sequence & 0xFFFF, 1)
        self.assertEqual(self.dropped(one), {"payload-type": 1})

    def test_extensions_and_padding(self) -> None:
        """Extensions and contributing sources stay on their leg, padding goes on."""
        one, _ = self.bridge()
        packet = self.near.packet(
            contributors=(1, 2), extension=(0xBEDE, b"\x10\x01\0\0"), padding=4
        )
        self.send(self.near, one, packet)
        heard = self.received(self.far)
        self.assertEqual((heard.contributors, heard.extension), ((), None))
        self.assertEqual((heard.payload, heard.padding), (b"sound", 4))

    def test_largest(self) -> None:
        """A datagram as long as there can be goes through."""
        one, _ = self.bridge()
        payload = b"v" * 65000
        self.send(self.near, one, self.near.packet(payload))
        self.assertEqual(self.received(self.far).payload, payload)

    def test_strangers(self) -> None:
        """Only the host of the SDP is believed at first, and then only one port of it."""
        one, other = self.bridge()
        moved = self.phone(0xAAAA)
        self.send(moved, one, moved.packet(b"moved"))
        self.send(self.near, one, self.near.packet(b"late"))
        self.assertEqual([p.payload for p in self.packets(self.far)], [b"moved"])
        self.assertEqual(self.dropped(one), {"source": 1})
        self.send(self.far, other, self.far.packet(b"back"))
        self.assertEqual([p.payload for p in self.packets(moved)], [b"back"])
        self.assertEqual(self.packets(self.near), [])

    def test_a_new_remote(self) -> None:
        """It is sent to at once, believed alone, and hears the same stream go on."""
        one, other = self.bridge()
        self.send(self.near, one, self.near.packet())
        self.send(self.far, other, self.far.packet())
        before = self.received(self.near)
        moved = self.phone(0xCCCC)
        self.plane.set_terms(one, self.terms(moved))
        self.send(self.far, other, self.far.packet())
        after = self.received(moved)
        self.assertEqual(after.ssrc, before.ssrc)
        self.assertEqual((after.sequence - before.sequence) & 0xFFFF, 1)
        first = self.received(self.far)
        self.send(moved, one, moved.packet())
        self.send(self.near, one, self.near.packet())
        (second,) = self.packets(self.far)
        self.assertEqual(second.ssrc, first.ssrc)
        self.assertEqual((second.sequence - first.sequence) & 0xFFFF, 1)
        self.assertEqual(self.dropped(one), {"source": 1})

    def test_held(self) -> None:
        """What may not be received, or not be sent there, is dropped; then it goes on."""
        one, other = self.bridge()
        self.send(self.near, one, self.near.packet())
        self.plane.set_terms(one, self.terms(self.near, receives=False))
        self.send(self.near, one, self.near.packet())
        self.plane.set_terms(one, self.terms(self.near))
        self.plane.set_terms(other, self.terms(self.far, sends=False))
        self.send(self.near, one, self.near.packet())
        self.plane.set_terms(other, self.terms(self.far))
        self.send(self.near, one, self.near.packet())
        heard = self.packets(self.far)
        self.assertEqual((heard[1].sequence - heard[0].sequence) & 0xFFFF, 1)
        self.assertEqual((heard[1].timestamp - heard[0].timestamp) & 0xFFFFFFFF, 480)
        self.assertEqual(self.dropped(one), {"held": 2})
        self.assertEqual(self.plane.counters(one).received_packets, 4)

    def test_nowhere(self) -> None:
        """Without a joined end, or without its address, packets are counted and dropped."""
        one, other = self.plane.open(), self.plane.open()
        self.plane.set_terms(one, self.terms(self.near))
        self.send(self.near, one, self.near.packet())
        self.plane.join(one, other)
        self.send(self.near, one, self.near.packet())
        for nothing in ("0.0.0.0", "phone.example", "::" if ":" in self.host else "::1"):
            self.plane.set_terms(other, StreamTerms(remote=(nothing, 4000), payload_types=PCMU))
            self.send(self.near, one, self.near.packet())
        self.assertEqual(self.dropped(one), {"nowhere": 5})

    def test_a_peer_that_is_unknown_is_not_heard(self) -> None:
        """Before the SDP came nobody can be its sender."""
        one = self.plane.open()
        self.send(self.near, one, self.near.packet())
        self.assertEqual(self.dropped(one), {"source": 1})

    def test_malformed(self) -> None:
        """Junk is counted, locks nothing and reaches nobody."""
        one, _ = self.bridge()
        good = self.near.packet()
        junk = [b"", b"\x80", good[:11], b"\0" + good[1:], b"\x9f" + good[1:], b"\xa0" + good[1:12]]
        stranger = self.phone(1)
        self.send(stranger, one, *junk)
        self.assertEqual(self.dropped(one), {"malformed": len(junk)})
        self.send(self.near, one, good)
        self.assertEqual(len(self.packets(self.far)), 1)

    def test_late(self) -> None:
        """A packet from before the source took over has no number left."""
        one, _ = self.bridge()
        early, first = self.near.packet(), self.near.packet()
        self.send(self.near, one, first, early)
        self.assertEqual(len(self.packets(self.far)), 1)
        self.assertEqual(self.dropped(one), {"late": 1})

    def test_what_the_kernel_refuses(self) -> None:
        """It is counted and harms nobody: no route, no buffer, an address that is forbidden."""
        one, other = self.bridge()
        forbidden = "::ffff:255.255.255.255" if ":" in self.host else "255.255.255.255"
        self.plane.set_terms(other, self.terms(self.far, remote=(forbidden, 4000)))
        self.send(self.near, one, self.near.packet())
        self.assertEqual(self.dropped(one), {"refused": 1})
        self.assertEqual(self.plane.counters(other).sent_packets, 0)

    def test_a_peer_that_is_gone(self) -> None:
        """Port unreachable is no news: packets go on being sent and received."""
        one, other = self.bridge()
        target = self.phone(3)
        self.plane.set_terms(other, self.terms(target))
        target.close()
        for _ in range(3):
            self.send(self.near, one, self.near.packet())
        self.assertEqual(self.plane.counters(other).sent_packets, 3)
        self.assertEqual(self.dropped(one), {})

    def test_echo(self) -> None:
        """An end joined with itself sends back what it gets, as a stream of its own."""
        one = self.plane.open()
        self.plane.set_terms(one, self.terms(self.near))
        self.plane.join(one, one)
        self.send(self.near, one, self.near.packet(b"hello"))
        heard = self.received(self.near)
        self.assertEqual(heard.payload, b"hello")
        self.assertNotEqual(heard.ssrc, 0xAAAA)
        # A phone that sends our own packets back, SSRC and all, is heard like any other.
        self.send(self.near, one, build(heard))
        self.assertEqual(self.received(self.near).payload, b"hello")

    def test_joining_anew(self) -> None:
        """A transfer: the old end is joined to nothing, the stream goes on without a jump."""
        one, other = self.bridge()
        third, target = self.plane.open(), self.phone(0xBBBB)
        self.plane.set_terms(third, self.terms(target))
        self.send(self.far, other, self.far.packet())
        self.plane.join(one, third)
        self.plane.join(third, one)
        self.clock.advance(1.0)
        target.sequence = 40000
        self.send(target, third, target.packet())
        first, second = self.packets(self.near)
        self.assertEqual((second.sequence - first.sequence) & 0xFFFF, 1)
        self.assertEqual((second.timestamp - first.timestamp) & 0xFFFFFFFF, 8000)
        self.assertTrue(second.marker)
        self.send(self.far, other, self.far.packet())
        self.assertEqual(self.dropped(other), {"nowhere": 1})

    def test_wrong_numbers(self) -> None:
        """A payload type that does not fit its seven bits is a fault of the caller."""
        one = self.plane.open()
        for wrong in ({128: 0}, {0: -1}):
            terms = StreamTerms(payload_types=wrong)
            self.assertRaises(ValueError, self.plane.set_terms, one, terms)

    def test_terms_of_a_plane(self) -> None:
        """The twin is a media plane."""
        plane: MediaPlane = self.plane
        self.assertEqual(plane.free_pairs, 200)

    def test_a_flood_does_not_hold_the_reactor(self) -> None:
        """A wake-up reads no more than its budget, and other sockets have their turn in it."""
        one, other = self.bridge()
        self.send(self.near, one, self.near.packet())
        ends = [one, *(self.plane.open() for _ in range(self.budget // FILLING))]
        for end in ends:
            self.plane.set_terms(end, self.terms(self.near))
            for _ in range(FILLING):
                self.near.rtp.sendto(self.near.packet(b""), self.plane.local(end))
        self.far.rtp.sendto(self.far.packet(), self.plane.local(other))
        self.wake()
        self.assertEqual(self.plane.counters(other).received_packets, 1)
        taken = self.plane.totals().packets["received"]
        self.assertLessEqual(taken, self.budget + 2 * len(ends))
        self.assertEqual(self.plane.budget_exhausted, 1)
        self.turn()
        self.assertGreater(self.plane.totals().packets["received"], taken)

    def test_many_flooded_sockets_share_the_budget(self) -> None:
        """However many sockets are full, one wake-up stays within the budget, and all are read."""
        ends = [self.plane.open() for _ in range(16)]
        for end in ends:
            self.plane.set_terms(end, self.terms(self.near))
            for _ in range(2 * self.budget // len(ends)):
                self.near.rtp.sendto(self.near.packet(b""), self.plane.local(end))
        self.wake()
        taken = [self.plane.counters(end).received_packets for end in ends]
        self.assertTrue(all(taken))
        self.assertLessEqual(sum(taken), self.budget)
        self.assertLessEqual(max(taken), 2 * self.budget // len(ends))
        self.turn()

    def test_a_loop_dies_out(self) -> None:
        """
        An echo that is told its own address, or two that are told each other's, send a packet
        round until there were too many in one second, and it is heard no more.
        """
        for count in (1, 2):
            ends = [self.plane.open() for _ in range(count)]
            for end, target in zip(ends, ends[1:] + ends[:1], strict=True):
                self.plane.join(end, end)
                loop = StreamTerms(remote=self.plane.local(target), payload_types=PCMU, silence=0)
                self.plane.set_terms(end, loop)
            for _ in range(3 * count * MOST_PER_SECOND // PACKETS_PER_WAKE_UP):
                self.wake()
            self.assertFalse(self.is_readable)
            for end in ends:
                self.assertLessEqual(self.plane.counters(end).received_packets, MOST_PER_SECOND)
                self.assertGreater(self.dropped(end)["flood"], 0)
                self.plane.close(end)

    def test_a_flood_of_rtcp(self) -> None:
        """It takes more of the budget, on a port of its own and on a shared one."""
        one, _ = self.bridge()
        junk = b"\x80\xc9" + bytes(30)
        self.plane.set_terms(one, self.terms(self.near, rtcp_mux=True))
        host, port = self.plane.local(one)
        for _ in range(self.budget // CONTROL_COST):
            self.near.rtp.sendto(junk, (host, port))
            self.near.rtcp.sendto(junk, (host, port + 1))
        self.wake()
        most = self.budget // CONTROL_COST + self.share
        self.assertLess(self.dropped(one)["malformed"], most)
        self.assertEqual(self.plane.budget_exhausted, 1)


class MediaPlaneIPv6Tests(MediaPlaneTests):
    """The same over IPv6."""

    host = "::1"


ANY_BYTES = st.binary(max_size=60) | st.binary(max_size=60).map(b"\x80".__add__)


class AnyBytesTests(MediaTestCase):
    """Packets that nobody thought of."""

    @given(st.lists(ANY_BYTES))
    @fewer(4)
    def test_any_bytes(self, junk: Iterable[bytes]) -> None:
        """Whatever comes on either port, the plane lives and forwards."""
        self.survive(junk)

    def survive(self, junk: Iterable[bytes]) -> None:
        one, other = self.bridge()
        host, port = self.plane.local(one)
        for data in junk:
            self.near.rtp.sendto(data, (host, port))
            self.near.rtcp.sendto(data, (host, port + 1))
        self.turn()
        self.send(self.near, one, self.near.packet(b"still here", ssrc=0x12345))
        self.assertIn(b"still here", [packet.payload for packet in self.packets(self.far)])
        self.plane.close(one)
        self.plane.close(other)
