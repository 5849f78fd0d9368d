"""Tests of where our own TURN client asks from."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.net.turn_client import choose_way

SERVER, SERVER_V6 = ("127.0.0.1", 3478), ("::1", 3478)


class WayTests(SynchronousTestCase):
    """The source is an address that browsers' media have."""

    def test_routed(self) -> None:
        """The one that the route names, wherever it stands among ours."""
        self.assertEqual(choose_way(["127.84.0.1", "127.0.0.1"], [SERVER]), ("127.0.0.1", SERVER))

    def test_not_routed(self) -> None:
        """The first of ours where the route names an address that browsers' media have not."""
        ours = ["127.84.0.1", "127.84.0.2"]
        self.assertEqual(choose_way(ours, [SERVER]), ("127.84.0.1", SERVER))

    def test_no_route(self) -> None:
        """The same where no route leads there: the kernel has its say when it is asked to send."""
        nowhere = ("255.255.255.255", 3478)
        self.assertEqual(choose_way(["127.84.0.1"], [nowhere]), ("127.84.0.1", nowhere))

    def test_version(self) -> None:
        """A server of both versions of IP is asked over one that we have."""
        both = [SERVER_V6, SERVER]
        self.assertEqual(choose_way(["127.84.0.1"], both), ("127.84.0.1", SERVER))
        self.assertEqual(choose_way(["127.84.0.1", "::1"], both), ("::1", SERVER_V6))

    def test_none(self) -> None:
        """Where we have no address of the server's version nobody is asked from another one."""
        with self.assertRaises(OSError):
            choose_way(["127.84.0.1"], [SERVER_V6])
