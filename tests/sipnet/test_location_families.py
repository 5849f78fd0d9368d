"""Tests of which kinds of addresses b2bua.net.location asks for."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.names import dns
from twisted.trial.unittest import SynchronousTestCase

from b2bua.net.dns import Dns
from b2bua.net.location import ServerLocator
from b2bua.settings import ServerSettings
from b2bua.srv import Problem, Target
from b2bua.upstreams import Server
from tests.sipnet.test_resolver import MemoryDns


class FamilyTests(SynchronousTestCase):
    """Where IPv6 is not used, it is not asked for either."""

    def located(self, name: str, *, ipv6: bool) -> tuple[list[str], list[int]]:
        """Hosts of a server's name, and the types of the questions."""
        names = MemoryDns(
            {
                ("both.example", dns.A): [dns.Record_A("192.0.2.11", ttl=60)],
                ("both.example", dns.AAAA): [dns.Record_AAAA("2001:db8::11", ttl=60)],
                ("six.example", dns.AAAA): [dns.Record_AAAA("2001:db8::6", ttl=60)],
            }
        )
        clock = Clock()
        told: list[str] = []

        def take(targets: list[Target], problem: Problem, now: float) -> None:
            told.extend(target.host for target in targets)

        settings = ServerSettings(addresses=(Server(name),), ipv6=ipv6)
        asking = Dns(names, clock, hosts_file="")  # type: ignore[arg-type]
        locator = ServerLocator(settings, asking, clock, lambda: 0.5, take)
        locator.start()
        locator.stop()
        return told, [kind for _, kind in names.queries]

    def test_ipv4_only(self) -> None:
        """AAAA records are not asked for, and a name that has no others leads nowhere."""
        self.assertEqual((["192.0.2.11"], [dns.A]), self.located("both.example", ipv6=False))
        self.assertEqual(([], [dns.A]), self.located("six.example", ipv6=False))

    def test_both(self) -> None:
        """Both are asked for where both may be used."""
        self.assertEqual(
            (["192.0.2.11"], [dns.A, dns.AAAA]), self.located("both.example", ipv6=True)
        )
        self.assertEqual(
            (["2001:db8::6"], [dns.A, dns.AAAA]), self.located("six.example", ipv6=True)
        )
