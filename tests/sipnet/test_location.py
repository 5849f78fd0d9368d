"""Tests of b2bua.net.location, with a DNS in memory and a clock."""

from __future__ import annotations

from random import Random
from unittest import mock

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.names import dns, server
from twisted.names.error import DNSQueryTimeoutError
from twisted.trial.unittest import SynchronousTestCase, TestCase

from b2bua.net.dns import Dns
from b2bua.net.dns_records import Kind
from b2bua.net.location import MachineResolver, ServerLocator, dns_from
from b2bua.settings import ServerSettings
from b2bua.srv import IpVersion, Problem, Target
from b2bua.upstreams import Server
from tests.sipnet.test_resolver import MemoryDns, MemoryZone, Zone
from tests.sipnet.wires import temporary_folder

A, B = "192.0.2.11", "192.0.2.12"
NAME = "_sip._udp.pair.example"


def zone() -> Zone:
    """A pair behind an SRV name."""
    return {
        (NAME, dns.SRV): [
            dns.Record_SRV(10, 0, 5070, b"a.example", ttl=60),
            dns.Record_SRV(20, 0, 5071, b"b.example", ttl=60),
        ],
        ("a.example", dns.A): [dns.Record_A(A, ttl=60)],
        ("a.example", dns.AAAA): [dns.Record_AAAA("2001:db8::11", ttl=60)],
        ("b.example", dns.A): [dns.Record_A(B, ttl=60)],
    }


class LocatorTestCase(SynchronousTestCase):
    """A locator, and what it tells."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.names = MemoryDns(zone())
        self.dns = Dns(self.names, self.clock, hosts_file="")  # type: ignore[arg-type]
        self.told: list[tuple[list[Target], Problem]] = []

    def start(self, settings: ServerSettings) -> ServerLocator:
        """Begin to look."""
        self.locator = ServerLocator(settings, self.dns, self.clock, Random(1).random, self.take)
        self.locator.start()
        return self.locator

    def take(self, targets: list[Target], problem: Problem, now: float) -> None:
        """Take news."""
        self.assertEqual(self.clock.seconds(), now)
        self.told.append((targets, problem))

    def news(self) -> list[tuple[list[str], Problem]]:
        """What was told since the last look, in few words."""
        told, self.told = self.told, []
        return [([f"{t.host} {t.port} {t.name}" for t in ts], problem) for ts, problem in told]

    def wait(self, seconds: float) -> None:
        """Let time pass, a quarter of a second at a time."""
        for _ in range(int(seconds * 4)):
            self.clock.advance(0.25)

    PAIR = [f"{A} 5070 a.example", f"{B} 5071 b.example"]


class ServiceTests(LocatorTestCase):
    """Servers behind one SRV name."""

    def start_service(self, **others: object) -> None:
        """Look for the pair."""
        self.start(ServerSettings(srv_name="pair.example", **others))  # type: ignore[arg-type]

    def test_in_order(self) -> None:
        """Targets come by priority, with their ports, names and one address each."""
        self.start_service()
        self.assertEqual([(self.PAIR, Problem.NONE)], self.news())

    def test_transports(self) -> None:
        """The transport decides which records are asked for."""
        for transport, name in (
            ("TCP", "_sip._tcp.pair.example"),
            ("TLS", "_sips._tcp.pair.example"),
        ):
            self.start_service(srv_transport=transport)
            self.assertIn((name, dns.SRV), self.names.queries)

    def test_preferred_version(self) -> None:
        """Addresses of the other kind count only where there are no others."""
        self.start_service(prefer=IpVersion.IPV6, ipv6=True)
        self.assertEqual(
            [(["2001:db8::11 5070 a.example", self.PAIR[1]], Problem.NONE)], self.news()
        )

    def test_asked_again(self) -> None:
        """When the shortest TTL is over the DNS is asked again, and what it says then holds."""
        self.names.zone[("b.example", dns.A)] = [dns.Record_A(B, ttl=20)]
        self.start_service()
        self.news()
        self.wait(19)
        self.assertEqual([], self.news())
        self.names.zone[("b.example", dns.A)] = [dns.Record_A("192.0.2.99", ttl=20)]
        self.wait(2)
        self.assertEqual([([self.PAIR[0], "192.0.2.99 5071 b.example"], Problem.NONE)], self.news())

    def test_order_of_equals(self) -> None:
        """Servers of one priority are drawn once, and keep their places while nothing changes."""
        records = [dns.Record_SRV(1, 1, 5060, name, ttl=5) for name in (b"a.example", b"b.example")]
        self.names.zone[(NAME, dns.SRV)] = list(records)
        self.start_service()
        self.wait(200)
        orders = {tuple(targets) for targets, _ in self.news()}
        self.assertEqual(1, len(orders))
        records = [
            dns.Record_SRV(1 + number, 0, 5060, name, ttl=5)
            for number, name in enumerate((b"b.example", b"a.example"))
        ]
        self.names.zone[(NAME, dns.SRV)] = list(records)
        self.wait(10)
        self.assertEqual(f"{B} 5060 b.example", self.news()[-1][0][0])

    def test_silence(self) -> None:
        """While the DNS is silent the last answer stays, and the DNS is asked ever more seldom."""
        self.start_service()
        self.news()
        self.names.silence = DNSQueryTimeoutError(1)
        self.wait(600)
        news = self.news()
        self.assertEqual((self.PAIR, Problem.NONE), news[0])
        self.assertTrue(len(news) < 60, len(news))
        self.assertTrue(all(targets == self.PAIR for targets, _ in news))
        self.names.silence = None
        self.names.zone[(NAME, dns.SRV)].pop()
        self.wait(60)
        self.assertEqual((self.PAIR[:1], Problem.NONE), self.news()[-1])

    def test_silence_from_the_start(self) -> None:
        """It is told as such, and asked again within seconds."""
        self.names.silence = DNSQueryTimeoutError(1)
        self.start_service()
        self.assertEqual([([], Problem.DNS_SILENT)], self.news())
        self.names.silence = None
        self.wait(3)
        self.assertEqual((self.PAIR, Problem.NONE), self.news()[-1])

    def test_denial(self) -> None:
        """A name that does not exist any more leads nowhere, and is asked for in half a minute."""
        self.start_service()
        self.news()
        kept = dict(self.names.zone)
        self.names.zone.clear()
        self.wait(61)
        self.assertEqual([([], Problem.NO_SUCH_NAME)], self.news())
        self.names.zone.update(kept)
        self.wait(31)
        self.assertEqual([(self.PAIR, Problem.NONE)], self.news())

    def test_not_offered(self) -> None:
        """A record that says there is no such service is told as that."""
        self.names.zone[(NAME, dns.SRV)] = [dns.Record_SRV(0, 0, 0, b".", ttl=60)]
        self.start_service()
        self.assertEqual([([], Problem.NOT_OFFERED)], self.news())

    def test_no_records(self) -> None:
        """Without SRV records the name is the server, at the transport's port."""
        for records in ({}, {("_sip._udp.pair.example", dns.TXT): [dns.Record_TXT(b"x", ttl=9)]}):
            self.setUp()
            self.names.zone = {("pair.example", dns.A): [dns.Record_A(A, ttl=60)], **records}
            self.start_service()
            self.assertEqual([([f"{A} 5060 pair.example"], Problem.NONE)], self.news())

    def test_empty(self) -> None:
        """A name that exists and has no address is not one that does not exist."""
        self.names.zone = {("pair.example", dns.TXT): [dns.Record_TXT(b"x", ttl=60)]}
        self.start_service()
        self.assertEqual([([], Problem.NO_ADDRESS)], self.news())

    def test_silence_about_one_target(self) -> None:
        """It is asked for again soon; the other server serves meanwhile."""
        answer = self.names.answer

        def silent(key: tuple[str, int]) -> Deferred[object]:
            self.names.silence = DNSQueryTimeoutError(1) if key[0] == "a.example" else None
            return answer(key)

        with mock.patch.object(self.names, "answer", silent):
            self.start_service()
            self.assertEqual([(self.PAIR[1:], Problem.NONE)], self.news())
        self.names.silence = None
        self.wait(6)
        self.assertEqual((self.PAIR, Problem.NONE), self.news()[-1])

    def test_other_version(self) -> None:
        """It serves a name that has no others, unless it is not used at all."""
        self.names.zone["b.example", dns.AAAA] = [dns.Record_AAAA("2001:db8::12", ttl=60)]
        del self.names.zone["b.example", dns.A]
        self.start_service(ipv6=True)
        self.assertEqual(
            [([self.PAIR[0], "2001:db8::12 5071 b.example"], Problem.NONE)], self.news()
        )
        self.setUp()
        self.start_service()
        self.assertNotIn(dns.AAAA, [kind for _, kind in self.names.queries])

    def test_silence_about_one_kind(self) -> None:
        """A known address is not given up for one of the other kind."""
        self.start_service(ipv6=True)
        self.news()
        answer = self.names.answer

        def silent(key: tuple[str, int]) -> Deferred[object]:
            is_silent = key == ("a.example", dns.A)
            self.names.silence = DNSQueryTimeoutError(1) if is_silent else None
            return answer(key)

        with mock.patch.object(self.names, "answer", silent):
            self.wait(70)
        self.assertEqual({tuple(self.PAIR)}, {tuple(targets) for targets, _ in self.news()})

    def test_stop(self) -> None:
        """After it nothing is asked and nothing is told, not even what was asked before."""
        self.start_service()
        self.locator.stop()
        self.assertEqual([], self.clock.getDelayedCalls())
        self.news()
        self.setUp()
        self.names.held = []
        self.start_service()
        self.locator.stop()
        held = self.names.held
        self.names.held = None
        self.names.answer((NAME, dns.SRV)).chainDeferred(held[0])
        self.assertEqual([], self.news())
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_fault_of_ours(self) -> None:
        """It is logged, what was known stays, and the look-ups go on."""
        self.start_service()
        self.news()
        with mock.patch.object(self.dns, "ask_now", side_effect=RuntimeError("of the test")):
            self.wait(60)
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))
        self.wait(5)
        news = self.news()
        self.assertTrue(len(news) >= 2 and all(targets == self.PAIR for targets, _ in news))


class ListedTests(LocatorTestCase):
    """Servers that are listed."""

    def test_addresses(self) -> None:
        """Nothing is asked, and the list is told at once."""
        self.start(ServerSettings(addresses=(Server(A), Server("[2001:DB8::1]", 5070))))
        expected = ([f"{A} 5060 {A}", "2001:db8::1 5070 2001:db8::1"], Problem.NONE)
        self.assertEqual([expected], self.news())
        self.assertEqual(([], []), (self.names.queries, self.clock.getDelayedCalls()))

    def test_names(self) -> None:
        """All are told together, once there is word of each."""
        self.names.held = []
        self.start(ServerSettings(addresses=(Server("A.example"), Server("b.example", 5071))))
        held, self.names.held = self.names.held, None
        asked = list(self.names.queries)
        for number in (1, 0):
            self.assertEqual([], self.news())
            self.names.answer(asked[number]).chainDeferred(held[number])
        self.assertEqual([([f"{A} 5060 a.example", self.PAIR[1]], Problem.NONE)], self.news())

    def test_one_unknown(self) -> None:
        """A server whose name leads nowhere does not keep the others from service."""
        self.start(ServerSettings(addresses=(Server("gone.example"), Server("b.example", 5071))))
        self.assertEqual([(self.PAIR[1:], Problem.NONE)], self.news())

    def test_none_known(self) -> None:
        """The problem is that of the first."""
        self.start(ServerSettings(addresses=(Server("gone.example"),)))
        self.assertEqual([([], Problem.NO_SUCH_NAME)], self.news())

    def test_name_and_address(self) -> None:
        """What needs no DNS is there in any case."""
        self.names.silence = DNSQueryTimeoutError(1)
        self.start(ServerSettings(addresses=(Server("a.example"), Server(B))))
        self.assertEqual([([f"{B} 5060 {B}"], Problem.NONE)], self.news())


class DnsTests(SynchronousTestCase):
    """What tells a denial from silence, and an old answer from a fresh one."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.names = MemoryDns(zone())
        self.dns = Dns(self.names, self.clock, hosts_file="")  # type: ignore[arg-type]

    def test_what_is_left(self) -> None:
        """A kept answer is given with the rest of its time; when that is over, none is."""
        asked = [self.successResultOf(self.dns.ask_now("b.example", Kind.A))]
        self.clock.advance(40)
        self.names.silence = DNSQueryTimeoutError(1)
        asked.append(self.successResultOf(self.dns.ask_now("b.example", Kind.A)))
        self.assertEqual([60.0, 20.0], [answer.ttl for answer in asked if answer])
        self.clock.advance(20)
        self.assertIsNone(self.successResultOf(self.dns.ask_now("b.example", Kind.A)))
        self.assertIsNotNone(self.successResultOf(self.dns.ask("b.example", Kind.A)))

    def test_hosts_file(self) -> None:
        """What the machine's own file says needs no name server, and holds for a while."""
        path = temporary_folder(self) / "hosts"
        path.write_text("192.0.2.77 pbx.example\n")
        found = Dns(self.names, self.clock, hosts_file=str(path))  # type: ignore[arg-type]
        answer = self.successResultOf(found.ask_now("pbx.example", Kind.A))
        assert answer is not None
        self.assertEqual((("192.0.2.77",), 30.0, 0), (answer.records, answer.ttl, found.asked))

    def test_denial_and_emptiness(self) -> None:
        """Neither has records; only one of them is about the whole name."""
        for name, exists in (("b.example", True), ("gone.example", False)):
            answer = self.successResultOf(self.dns.ask_now(name, Kind.AAAA))
            assert answer is not None
            self.assertEqual(((), exists), (answer.records, answer.exists))


class DnsFromTests(SynchronousTestCase):
    """Whom the DNS of the settings asks."""

    def test_configured(self) -> None:
        """Only the name servers that are configured."""
        made = MemoryReactorClock()
        settings = ServerSettings(srv_name="x", name_servers=(("127.0.0.53", 5353),))
        found = dns_from(settings, made)
        asking = found._resolver
        self.assertEqual([("127.0.0.53", 5353)], asking.servers)  # type: ignore[attr-defined]
        self.assertEqual([], made.getDelayedCalls())
        found.stop()

    def test_machine(self) -> None:
        """Those of the machine, and its file is looked at until ``stop``."""
        made = MemoryReactorClock()
        found = dns_from(ServerSettings(srv_name="x"), made)
        self.assertIsInstance(found._resolver, MachineResolver)
        self.assertEqual(1, len(made.getDelayedCalls()))
        found.stop()
        found.stop()
        self.assertEqual([], made.getDelayedCalls())


class PacketTests(TestCase):
    """Over real packets, against the server of twisted.names."""

    async def test_pair(self) -> None:
        """The whole way."""
        soa = dns.Record_SOA(b"ns.example", b"root.example", 1, 60, 60, 600, 5, ttl=60)
        factory = server.DNSServerFactory(authorities=[MemoryZone(soa, zone())])
        port = reactor.listenUDP(0, dns.DNSDatagramProtocol(factory), "127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        settings = ServerSettings(
            srv_name="pair.example", name_servers=(("127.0.0.1", port.getHost().port),)
        )
        found: Deferred[list[Target]] = Deferred()
        locator = ServerLocator(
            settings,
            dns_from(settings, reactor),  # type: ignore[arg-type]
            reactor,  # type: ignore[arg-type]
            Random(1).random,
            lambda targets, problem, now: found.callback(targets),
        )
        locator.start()
        self.addCleanup(locator.stop)
        found.addTimeout(10, reactor)  # type: ignore[arg-type]
        targets = await found
        self.assertEqual([A, B], [target.host for target in targets])
