"""Tests of b2bua.rtp.latch."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.rtp.latch import FORMER_FOR, Latch, usable

SDP = ("192.0.2.1", 4000)
NAT = ("192.0.2.1", 61000)
OTHER = ("192.0.2.9", 4000)
BESIDE = ("192.0.2.1", 4002)
THIRD = ("192.0.2.1", 4004)
OWN, OWN_6 = "198.51.100.1", "2001:db8::2"


class LatchTests(SynchronousTestCase):
    """Whom an end believes, and where it sends."""

    def setUp(self) -> None:
        self.latch = Latch()

    def test_table(self) -> None:
        """Each row: what happens, who is believed then, where packets go then."""
        rows: list[tuple[str, tuple[str, int] | None, bool, tuple[str, int] | None]] = [
            ("hear", SDP, False, None),
            ("aim", SDP, True, SDP),
            ("hear", OTHER, False, SDP),
            ("hear", NAT, True, NAT),
            ("hear", SDP, False, NAT),
            ("aim", SDP, True, NAT),
            ("hear", NAT, True, NAT),
            ("aim", OTHER, True, OTHER),
            ("hear", NAT, False, OTHER),
            ("hear", OTHER, True, OTHER),
            ("aim", None, True, None),
            ("hear", OTHER, False, None),
            ("aim", OTHER, True, OTHER),
        ]
        for action, address, believed, target in rows:
            if action == "aim":
                self.latch.aim(address, 0)
            else:
                assert address is not None
                self.assertEqual(self.latch.lock(address, 0), believed, (action, address))
            self.assertEqual(self.latch.target, target, (action, address))

    def test_hearing_does_not_lock(self) -> None:
        """Whether a source may be the peer's can be asked before it is believed."""
        self.latch.aim(SDP, 0)
        self.assertTrue(self.latch.hears(NAT, 0))
        self.assertEqual((self.latch.source, self.latch.target), (None, SDP))

    def test_scopes(self) -> None:
        """A link-local peer is sent to with the scope that its packets came with."""
        source = ("fe80::1%eth0", 4000, 0, 2)
        self.latch.aim(("fe80::1", 4000), 0)
        self.assertTrue(self.latch.lock(source, 0))
        self.assertEqual(self.latch.target, source)
        self.latch.aim(("fe80::1", 4002), 0)
        self.assertFalse(self.latch.lock(source, 0))

    def heard(self, place: tuple[str, int], now: float = 0.0) -> bool:
        """Whether a packet is believed; ``hears`` says so before."""
        before = self.latch.hears(place, now)
        self.assertEqual(self.latch.lock(place, now), before)
        return before

    def test_former_stream(self) -> None:
        """After a transfer within one host the stream of before does not come in between."""
        for came_from in (SDP, NAT, None):
            self.latch = Latch()
            self.latch.aim(SDP, 0)
            if came_from:
                self.assertTrue(self.heard(came_from))
            self.latch.aim(BESIDE, 10)
            self.assertFalse(self.heard(came_from or SDP, 10))
            self.assertEqual(self.latch.target, BESIDE)
            self.assertTrue(self.heard(BESIDE, 10.1))
            self.assertFalse(self.heard(came_from or SDP, 10 + 2 * FORMER_FOR))

    def test_former_streams(self) -> None:
        """Nor do those of several transfers, a hold without an address between them or none."""
        for between in ([], [None]):
            self.latch = Latch()
            for remote in (SDP, *between, BESIDE, *between, THIRD):
                self.latch.aim(remote, 10)
            self.assertFalse(self.heard(SDP, 10) or self.heard(BESIDE, 10))
            self.assertTrue(self.heard(("192.0.2.1", 61004), 10))

    def test_named_again(self) -> None:
        """Who is named again is believed at once, from where it came before."""
        for between in (None, BESIDE):
            self.latch = Latch()
            self.latch.aim(SDP, 0)
            self.assertTrue(self.heard(NAT))
            self.latch.aim(between, 10)
            self.assertFalse(self.heard(NAT, 10))
            self.latch.aim(SDP, 11)
            self.assertTrue(self.heard(NAT, 11))

    def test_named_where_it_was(self) -> None:
        """What SDP names is no former source, though packets came from there before."""
        self.latch.aim(SDP, 0)
        self.assertTrue(self.heard(BESIDE))
        self.latch.aim(BESIDE, 1)
        self.assertTrue(self.heard(BESIDE, 1))

    def test_nothing_else_comes(self) -> None:
        """A peer that names a new port, but sends as before, is believed after a while."""
        self.latch.aim(SDP, 0)
        self.assertTrue(self.heard(NAT))
        self.latch.aim(BESIDE, 10)
        self.assertFalse(self.heard(NAT, 10 + FORMER_FOR - 0.01))
        self.assertTrue(self.heard(NAT, 10 + FORMER_FOR))
        self.assertEqual(self.latch.target, NAT)
        self.assertTrue(self.heard(NAT, 20))

    def test_the_right_one_after_all(self) -> None:
        """A former source that was believed again gives way, once, and to no other former one."""
        self.latch.aim(SDP, 0)
        self.latch.aim(BESIDE, 0)
        self.latch.aim(THIRD, 0)
        self.assertTrue(self.heard(SDP, FORMER_FOR))
        self.assertFalse(self.heard(BESIDE, FORMER_FOR) or self.heard(OTHER, FORMER_FOR))
        self.assertTrue(self.heard(THIRD, 20))
        self.assertFalse(self.heard(SDP, 21) or self.heard(NAT, 21))
        self.assertEqual(self.latch.target, THIRD)

    def test_former_ones_are_few(self) -> None:
        """Not every port is kept that was ever named."""
        for port in range(4000, 4200, 2):
            self.latch.aim(("192.0.2.1", port), 0)
        self.assertFalse(self.heard(("192.0.2.1", 4196)))
        self.assertTrue(self.heard(SDP))

    def test_usable(self) -> None:
        """Only numbers of the socket's family that name one host, in the sockets' own form."""
        self.assertEqual(usable(SDP, OWN), SDP)
        self.assertEqual(usable(("2001:DB8:0:0::1", 5), OWN_6), ("2001:db8::1", 5))
        for host, port, ipv6 in [
            ("192.0.2.1", 5, True),
            ("2001:db8::1", 5, False),
            ("192.0.2.1", 0, False),
            ("192.0.2.1", 65536, False),
            ("0.0.0.0", 5, False),
            ("::", 5, True),
            ("224.0.0.1", 5, False),
            ("ff02::1", 5, True),
            ("phone.example", 5, False),
            ("", 5, False),
            ("127.0.0.1", 5, False),
            ("::1", 5, True),
        ]:
            self.assertIsNone(usable((host, port), OWN_6 if ipv6 else OWN), host)
        self.assertIsNone(usable(None, OWN))

    def test_loopback(self) -> None:
        """What listens on this machine's own interface is for those who are on it themselves."""
        for host, own in (("127.0.0.5", "127.0.0.1"), ("::1", "::1")):
            self.assertEqual(usable((host, 5), own), (host, 5))
        self.assertIsNone(usable(("127.0.0.5", 5), "0.0.0.0"))
