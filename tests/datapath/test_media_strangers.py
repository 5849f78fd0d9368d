"""Whoever is not the peer keeps nobody from being heard; the peer itself may send only so much."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from b2bua.media_plane import SrtpKeys
from b2bua.net.srtp import SrtpSession
from b2bua.rtp.latch import FORMER_FOR
from suite.datapath.media_end import CONTROL_COST, MOST_PER_SECOND
from tests.datapath.media import OTHER_HOST, MediaTestCase, Phone

TOO_MANY = MOST_PER_SECOND + 500
AT_ONCE = 100
"""A socket has room for more."""
KEYS = SrtpKeys(profile="AES_CM_128_HMAC_SHA1_80", sends=b"s" * 30, receives=b"r" * 30)
PEERS_KEYS = SrtpKeys(profile="AES_CM_128_HMAC_SHA1_80", sends=b"r" * 30, receives=b"s" * 30)
JUNK = b"\x80\x00" + bytes(8)
"""Shorter than a header."""
LIKE_RTCP = b"\x80\xc9" + bytes(30)


class StrangersTests(MediaTestCase):
    """More packets in one second than an end takes, and the peer's after them."""

    def flood(
        self, phone: Phone, end: int, make: Callable[[], bytes], count: int = TOO_MANY
    ) -> None:
        for sent in range(0, count, AT_ONCE):
            self.send(phone, end, *(make() for _ in range(min(AT_ONCE, count - sent))))

    def is_heard(self, phone: Phone, end: int) -> bool:
        """Send a packet; tell whether it comes out at the other end, where many may have."""
        self.all_received(self.far.rtp)
        self.send(phone, end, phone.packet(b"the peer"))
        return [packet.payload for packet in self.packets(self.far)] == [b"the peer"]

    def test_of_another_host(self) -> None:
        """Before the peer's first packet and after it, none of a stranger's counts but as one."""
        one, _ = self.bridge()
        stranger = self.phone(0xDDDD, OTHER_HOST)
        self.flood(stranger, one, stranger.packet)
        self.assertTrue(self.is_heard(self.near, one))
        self.flood(stranger, one, stranger.packet)
        self.assertTrue(self.is_heard(self.near, one))
        self.assertEqual(self.dropped(one), {"source": 2 * TOO_MANY})

    def test_of_the_same_host(self) -> None:
        """Another port than the one that is believed is a stranger's."""
        one, _ = self.bridge()
        self.assertTrue(self.is_heard(self.near, one))
        stranger = self.phone(0xDDDD)
        self.flood(stranger, one, stranger.packet)
        self.assertTrue(self.is_heard(self.near, one))
        self.assertEqual(self.dropped(one), {"source": TOO_MANY})

    def test_what_looks_like_rtcp(self) -> None:
        """It costs more to read than RTP, and is not read unless it may be the peer's."""
        one, _ = self.bridge()
        self.plane.set_terms(one, self.terms(self.near, rtcp_mux=True))
        stranger = self.phone(0xDDDD, OTHER_HOST)
        self.flood(stranger, one, lambda: LIKE_RTCP)
        self.assertTrue(self.is_heard(self.near, one))
        self.flood(stranger, one, lambda: LIKE_RTCP)
        self.assertTrue(self.is_heard(self.near, one))
        self.assertEqual(self.dropped(one), {"source": 2 * TOO_MANY})

    def test_junk_of_the_peers_host(self) -> None:
        """While any port of it may be the peer's, what is no RTP uses up nothing."""
        one, _ = self.bridge()
        neighbour = self.phone(0xDDDD)
        self.flood(neighbour, one, lambda: JUNK)
        self.assertTrue(self.is_heard(self.near, one))
        self.assertEqual(self.dropped(one), {"malformed": TOO_MANY})

    def test_rtcp_of_the_peers_host(self) -> None:
        """RTCP is read only so often, and RTP goes on beside it."""
        one, _ = self.bridge()
        self.plane.set_terms(one, self.terms(self.near, rtcp_mux=True))
        neighbour = self.phone(0xDDDD)
        self.flood(neighbour, one, lambda: LIKE_RTCP)
        self.assertTrue(self.is_heard(self.near, one))
        read = MOST_PER_SECOND // CONTROL_COST
        self.assertEqual(self.dropped(one), {"malformed": read, "flood": TOO_MANY - read})
        self.send(self.near, one, LIKE_RTCP)
        self.assertEqual(self.dropped(one)["malformed"], read + 1)

    def test_forged(self) -> None:
        """Under keys only what is authentic counts, wherever it says that it comes from."""
        one, _ = self.bridge()
        self.plane.set_terms(one, self.terms(self.near, keys=KEYS))
        peer = SrtpSession(PEERS_KEYS)
        for forger in (self.phone(0xDDDD), self.near):
            self.flood(forger, one, forger.packet)
            self.all_received(self.far.rtp)
            sealed = peer.protect(self.near.packet())
            assert sealed is not None
            self.send(self.near, one, sealed)
            self.assertEqual(len(self.packets(self.far)), 1)
        self.assertEqual(self.dropped(one), {"srtp": 2 * TOO_MANY})

    def test_a_replayed_packet(self) -> None:
        """What was authentic once counts once."""
        one, _ = self.bridge()
        self.plane.set_terms(one, self.terms(self.near, keys=KEYS))
        peer = SrtpSession(PEERS_KEYS)
        first, second = (peer.protect(self.near.packet()) for _ in range(2))
        assert first is not None and second is not None
        self.flood(self.near, one, itertools.repeat(first).__next__)
        self.send(self.near, one, second)
        self.assertEqual(len(self.packets(self.far)), 2)
        self.assertEqual(self.dropped(one), {"srtp": TOO_MANY - 1})

    def test_the_peer_before(self) -> None:
        """Who takes the place of a peer that sent too many is heard at once."""
        one, _ = self.bridge()
        self.flood(self.near, one, self.near.packet)
        self.assertFalse(self.is_heard(self.near, one))
        moved = self.phone(0xCCCC)
        self.plane.set_terms(one, self.terms(moved))
        self.assertTrue(self.is_heard(moved, one))

    def test_a_source_in_doubt(self) -> None:
        """A former one that is believed for want of a better has no share in what the peer may."""
        one, _ = self.bridge()
        self.assertTrue(self.is_heard(self.near, one))
        moved = self.phone(0xCCCC)
        self.plane.set_terms(one, self.terms(moved))
        self.clock.advance(FORMER_FOR)
        self.flood(self.near, one, self.near.packet)
        self.assertFalse(self.is_heard(self.near, one))
        self.assertTrue(self.is_heard(moved, one))
        self.assertFalse(self.is_heard(self.near, one))

    def test_the_peer_itself(self) -> None:
        """It may send so many in a second, and again in the next one."""
        one, _ = self.bridge()
        for times in (1, 2):
            self.flood(self.near, one, self.near.packet)
            self.assertFalse(self.is_heard(self.near, one))
            self.assertEqual(self.plane.counters(one).received_packets, times * MOST_PER_SECOND)
            excess = TOO_MANY - MOST_PER_SECOND + 1
            self.assertEqual(self.dropped(one), {"flood": times * excess})
            self.clock.advance(1.0)
