"""Tests of b2bua.rtp.latch."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.rtp.latch import Latch, usable

SDP = ("192.0.2.1", 4000)
NAT = ("192.0.2.1", 61000)
OTHER = ("192.0.2.9", 4000)
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
                self.latch.aim(address)
            else:
                assert address is not None
                self.assertEqual(self.latch.lock(address), believed, (action, address))
            self.assertEqual(self.latch.target, target, (action, address))

    def test_hearing_does_not_lock(self) -> None:
        """Whether a source may be the peer's can be asked before it is believed."""
        self.latch.aim(SDP)
        self.assertTrue(self.latch.hears(NAT))
        self.assertEqual((self.latch.source, self.latch.target), (None, SDP))

    def test_scopes(self) -> None:
        """A link-local peer is sent to with the scope that its packets came with."""
        source = ("fe80::1%eth0", 4000, 0, 2)
        self.latch.aim(("fe80::1", 4000))
        self.assertTrue(self.latch.lock(source))
        self.assertEqual(self.latch.target, source)

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
