"""Where URIs lead, with a DNS in memory, with twisted.names' own server, and with dnsmasq."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.names import client, common, dns, server
from twisted.names.authority import FileAuthority
from twisted.names.error import DNSNameError, DNSQueryTimeoutError, DNSServerError
from twisted.trial.unittest import SynchronousTestCase, TestCase

from b2bua.net.dns import QUERY_TIMEOUTS, Dns
from b2bua.net.dns_records import Answer, Answers, Kind, Question
from b2bua.net.resolver import NotLocated, Place, Resolver
from b2bua.sip.uri import SipUri, parse_uri
from b2bua.srv import IpVersion
from tests.programs import require_program, running
from tests.sipnet.wires import temporary_folder

Zone = dict[tuple[str, int], list[object]]
ZONE: Zone = {
    ("srv.example", dns.NAPTR): [
        dns.Record_NAPTR(20, 10, b"s", b"SIP+D2U", b"", b"_sip._udp.srv.example", ttl=60),
        dns.Record_NAPTR(10, 10, b"s", b"SIP+D2T", b"", b"_sip._tcp.srv.example", ttl=60),
        dns.Record_NAPTR(5, 10, b"u", b"E2U+sip", b"!^.*$!sip:x@y!", b"", ttl=60),
    ],
    ("_sip._udp.srv.example", dns.SRV): [
        dns.Record_SRV(10, 0, 5070, b"a.srv.example", ttl=60),
        dns.Record_SRV(20, 0, 5071, b"b.srv.example", ttl=60),
    ],
    ("_sip._tcp.srv.example", dns.SRV): [dns.Record_SRV(0, 0, 5080, b"b.srv.example", ttl=60)],
    ("a.srv.example", dns.A): [dns.Record_A("192.0.2.11", ttl=60)],
    ("a.srv.example", dns.AAAA): [dns.Record_AAAA("2001:db8::11", ttl=60)],
    ("b.srv.example", dns.A): [dns.Record_A("192.0.2.12", ttl=60)],
    ("six.example", dns.AAAA): [dns.Record_AAAA("2001:db8::6", ttl=60)],
    ("_sip._udp.none.example", dns.SRV): [dns.Record_SRV(0, 0, 0, b".", ttl=60)],
    ("_sip._udp.half.example", dns.SRV): [
        dns.Record_SRV(10, 0, 5060, b"gone.example", ttl=60),
        dns.Record_SRV(20, 0, 5060, b"b.srv.example", ttl=60),
    ],
    ("_sips._tcp.safe.example", dns.SRV): [dns.Record_SRV(0, 0, 5061, b"a.srv.example", ttl=60)],
}


class MemoryDns(common.ResolverBase):
    """Name servers in memory."""

    def __init__(self, zone: Zone) -> None:
        super().__init__()
        self.zone = zone
        self.queries: list[tuple[str, int]] = []
        self.silence: Exception | None = None
        self.held: list[Deferred[object]] | None = None

    def query(self, query: dns.Query, timeout: object = None) -> Deferred[object]:
        """Answer, or be silent."""
        key = (query.name.name.decode(), query.type)
        self.queries.append(key)
        if self.held is not None:
            held: Deferred[object] = Deferred()
            self.held.append(held)
            return held
        return self.answer(key)

    def answer(self, key: tuple[str, int]) -> Deferred[object]:
        """What the zone says."""
        if self.silence is not None:
            return fail(self.silence)
        records = self.zone.get(key, [])
        if not records and not any(name == key[0] for name, _ in self.zone):
            return fail(DNSNameError(key))
        headers = [
            dns.RRHeader(key[0], key[1], ttl=record.ttl, payload=record)  # type: ignore[attr-defined]
            for record in records
        ]
        return succeed((headers, [], []))


def sip(text: str) -> SipUri:
    """A URI."""
    uri = parse_uri(text)
    assert isinstance(uri, SipUri)
    return uri


def brief(places: list[Place]) -> list[str]:
    """Places in few words."""
    return [f"{place.hop.transport} {place.hop.host} {place.hop.port}" for place in places]


class LocateTests(SynchronousTestCase):
    """RFC 3263, section 4."""

    def setUp(self) -> None:
        """Make name servers and a resolver."""
        self.clock = Clock()
        self.names = MemoryDns(dict(ZONE))
        self.dns = Dns(self.names, self.clock, hosts_file="")  # type: ignore[arg-type]

    def resolver(self, *transports: str, prefer: IpVersion = IpVersion.IPV4) -> Resolver:
        """A resolver that uses these transports."""
        return Resolver(self.dns, lambda: 0.5, transports or ("UDP", "TCP", "TLS"), prefer)

    def locate(self, text: str, *transports: str) -> list[str]:
        """Where a URI leads."""
        return brief(self.successResultOf(self.resolver(*transports).locate(sip(text))))

    def refused(self, text: str, *transports: str) -> str:
        """Why a URI leads nowhere."""
        located = self.resolver(*transports).locate(sip(text))
        return str(self.failureResultOf(located, NotLocated).value)

    def test_addresses_are_used_as_they_are(self) -> None:
        """Nothing is asked."""
        self.assertEqual(["UDP 192.0.2.1 5060"], self.locate("sip:192.0.2.1"))
        self.assertEqual(["UDP 192.0.2.1 5070"], self.locate("sip:192.0.2.1:5070"))
        self.assertEqual(["TCP 2001:db8::1 5060"], self.locate("sip:[2001:db8::1];transport=tcp"))
        self.assertEqual(["TLS 192.0.2.1 5061"], self.locate("sips:192.0.2.1"))
        self.assertEqual(["UDP 192.0.2.9 5060"], self.locate("sip:x.example;maddr=192.0.2.9"))
        self.assertEqual([], self.names.queries)

    def test_port_leaves_only_addresses_to_ask(self) -> None:
        """Neither NAPTR nor SRV."""
        found = self.locate("sip:a.srv.example:5066")
        self.assertEqual(["UDP 192.0.2.11 5066", "UDP 2001:db8::11 5066"], found)
        self.assertEqual({dns.A, dns.AAAA}, {kind for _, kind in self.names.queries})

    def test_naptr_chooses_the_transport(self) -> None:
        """By its order, among those that we use."""
        self.assertEqual(["TCP 192.0.2.12 5080"], self.locate("sip:srv.example"))
        self.assertEqual("UDP 192.0.2.11 5070", self.locate("sip:srv.example", "UDP")[0])

    def test_transport_parameter_goes_straight_to_srv(self) -> None:
        """Whatever the NAPTR records would prefer."""
        found = self.locate("sip:srv.example;transport=udp")
        self.assertEqual(
            ["UDP 192.0.2.11 5070", "UDP 2001:db8::11 5070", "UDP 192.0.2.12 5071"], found
        )
        self.assertNotIn(dns.NAPTR, {kind for _, kind in self.names.queries})

    def test_without_naptr_each_transport_is_asked_for(self) -> None:
        """And the first that the domain serves is taken."""
        self.assertEqual("TLS 192.0.2.11 5061", self.locate("sip:safe.example")[0])

    def test_sips_is_only_ever_secure(self) -> None:
        """Also where other transports are on offer."""
        self.assertEqual("TLS 192.0.2.11 5061", self.locate("sips:safe.example")[0])
        self.assertEqual("TLS 192.0.2.12 5061", self.locate("sips:b.srv.example;transport=tcp")[0])
        self.assertEqual("transport not served", self.refused("sips:srv.example", "UDP", "TCP"))

    def test_name_without_services_is_a_server(self) -> None:
        """At the default port."""
        self.assertEqual(["UDP 192.0.2.12 5060"], self.locate("sip:b.srv.example"))

    def test_domain_stays_that_of_the_uri(self) -> None:
        """A certificate is compared with it, not with what the DNS said."""
        places = self.successResultOf(self.resolver().locate(sip("sip:srv.example")))
        self.assertEqual(["srv.example"], [place.domain for place in places])

    def test_preferred_version_comes_first(self) -> None:
        """The other one serves where there is none."""
        resolver = self.resolver(prefer=IpVersion.IPV6)
        self.assertEqual(
            ["2001:db8::11", "192.0.2.11"],
            self.successResultOf(resolver.addresses("a.srv.example")),
        )
        self.assertEqual(
            ["2001:db8::6"], self.successResultOf(self.resolver().addresses("six.example"))
        )

    def test_refusals(self) -> None:
        """Each with its own words."""
        self.assertEqual("no address", self.refused("sip:unknown.example"))
        self.assertEqual("service not offered", self.refused("sip:none.example;transport=udp"))
        self.assertEqual("transport not served", self.refused("sip:srv.example;transport=sctp"))

    def test_target_without_address_is_passed_over(self) -> None:
        """The next server may have one."""
        self.assertEqual(["UDP 192.0.2.12 5060"], self.locate("sip:half.example"))

    def test_hosts_file_comes_first(self) -> None:
        """As everywhere on the machine."""
        path = temporary_folder(self) / "hosts"
        path.write_text("192.0.2.77 pbx.example pbx\n")
        self.dns = Dns(self.names, self.clock, hosts_file=str(path))  # type: ignore[arg-type]
        self.assertEqual(["UDP 192.0.2.77 5060"], self.locate("sip:pbx.example:5060"))


class DnsTests(SynchronousTestCase):
    """How often the DNS is asked, and what holds while it is silent."""

    def setUp(self) -> None:
        """Make name servers."""
        self.clock = Clock()
        self.names = MemoryDns(dict(ZONE))
        self.dns = Dns(self.names, self.clock, hosts_file="")  # type: ignore[arg-type]

    def hosts(self, name: str = "b.srv.example") -> tuple[object, ...] | None:
        """The addresses of a name."""
        answer = self.successResultOf(self.dns.ask(name, Kind.A))
        return None if answer is None else answer.records

    def test_answer_holds_for_its_ttl(self) -> None:
        """One question a minute, in any spelling of the name."""
        for name in ("b.srv.example", "B.SRV.example."):
            self.assertEqual(("192.0.2.12",), self.hosts(name))
        self.clock.advance(59)
        self.hosts()
        self.assertEqual(1, self.dns.asked)
        self.clock.advance(1)
        self.hosts()
        self.assertEqual(2, self.dns.asked)

    def test_no_ttl_holds_for_five_seconds(self) -> None:
        """Else each request would be a question."""
        self.names.zone[("zero.example", dns.A)] = [dns.Record_A("192.0.2.1", ttl=0)]
        for _ in range(10):
            self.hosts("zero.example")
            self.clock.advance(0.5)
        self.assertEqual(1, self.dns.asked)

    def test_one_question_for_many_who_ask(self) -> None:
        """While it is open."""
        self.names.held = []
        waiting = [self.dns.ask("b.srv.example", Kind.A) for _ in range(5)]
        self.assertEqual(1, len(self.names.held))
        self.names.answer(("b.srv.example", dns.A)).chainDeferred(self.names.held[0])
        for answer in waiting:
            self.assertEqual(("192.0.2.12",), self.successResultOf(answer).records)

    def test_last_answer_stays_while_the_dns_is_silent(self) -> None:
        """For a day and longer; and at most one question per second, soon one in thirty."""
        self.hosts()
        for silence in (DNSQueryTimeoutError(1), DNSServerError("x"), OSError("x")):
            self.names.silence = silence
            before = self.dns.asked
            for _ in range(3600):
                self.clock.advance(1)
                self.assertEqual(("192.0.2.12",), self.hosts())
            self.assertLess(self.dns.asked - before, 130)
        self.names.silence = None
        self.names.zone[("b.srv.example", dns.A)] = [dns.Record_A("192.0.2.99", ttl=60)]
        self.clock.advance(30)
        self.assertEqual(("192.0.2.99",), self.hosts())

    def test_silence_from_the_start_has_no_answer(self) -> None:
        """And is tried again soon."""
        self.names.silence = DNSQueryTimeoutError(1)
        self.assertIsNone(self.hosts())
        self.assertIsNone(self.hosts())
        self.assertEqual(1, self.dns.asked)
        self.names.silence = None
        self.clock.advance(1)
        self.assertEqual(("192.0.2.12",), self.hosts())

    def test_denial_is_an_answer(self) -> None:
        """It replaces what was known, and is asked again within thirty seconds."""
        self.hosts()
        del self.names.zone[("b.srv.example", dns.A)]
        self.clock.advance(60)
        self.assertEqual((), self.hosts())
        self.assertEqual((), self.hosts())
        self.assertEqual(2, self.dns.asked)
        self.clock.advance(30)
        self.hosts()
        self.assertEqual(3, self.dns.asked)

    def test_few_questions_at_once(self) -> None:
        """Many names at once do not open a socket each."""
        self.names.held = []
        for number in range(100):
            self.dns.ask(f"n{number}.example", Kind.A)
        self.assertEqual(64, len(self.names.held))

    def test_most_preferred_records_stay(self) -> None:
        """Of a hundred, sixteen."""
        self.names.zone[("many.example", dns.SRV)] = [
            dns.Record_SRV(100 - number, 0, 5060, b"a.srv.example", ttl=60) for number in range(100)
        ]
        answer = self.successResultOf(self.dns.ask("many.example", Kind.SRV))
        assert answer is not None
        self.assertEqual(list(range(1, 17)), [record.priority for record in answer.records])  # type: ignore[union-attr]

    def test_fault_of_ours_leaves_nobody_waiting(self) -> None:
        """It is logged, and counts as silence."""
        self.names.silence = RuntimeError("of the test")
        self.assertIsNone(self.hosts())
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))


class RecordsTests(SynchronousTestCase):
    """What is kept."""

    def test_memory_is_bounded(self) -> None:
        """Whatever names are asked for."""
        answers = Answers()
        for number in range(3000):
            answers.answered(Question(f"n{number}", Kind.A), Answer(("192.0.2.1",), 60), 0)
        self.assertEqual(1024, len(answers))
        self.assertIsNotNone(answers.fresh(Question("n2999", Kind.A), 0))


def free_port() -> int:
    """A UDP port that nobody has, a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def real(port: int) -> Resolver:
    """A resolver that asks a name server on loopback."""
    asking = client.Resolver(servers=[("127.0.0.1", port)], timeout=QUERY_TIMEOUTS, reactor=reactor)
    return Resolver(Dns(asking, reactor, hosts_file=""), lambda: 0.5)  # type: ignore[arg-type]


class AuthorityTests(TestCase):
    """Over real packets, against the server of twisted.names."""

    def setUp(self) -> None:
        """Serve a zone."""
        soa = dns.Record_SOA(b"ns.example", b"root.example", 1, 60, 60, 600, 5, ttl=60)
        zone = MemoryZone(soa, ZONE)
        factory = server.DNSServerFactory(authorities=[zone])
        self.port = reactor.listenUDP(0, dns.DNSDatagramProtocol(factory), "127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(self.port.stopListening)

    async def test_naptr_srv_and_addresses(self) -> None:
        """The whole way."""
        places = await real(self.port.getHost().port).locate(sip("sip:srv.example"))
        self.assertEqual(["TCP 192.0.2.12 5080"], brief(places))

    async def test_unknown_name(self) -> None:
        """A denial comes through as one."""
        with self.assertRaisesRegex(NotLocated, "no address"):
            await real(self.port.getHost().port).locate(sip("sip:nobody.example"))


class MemoryZone(FileAuthority):
    """A zone that no file has."""

    def __init__(self, soa: dns.Record_SOA, zone: Zone) -> None:
        common.ResolverBase.__init__(self)
        self._cache: dict[object, object] = {}
        self.soa = (b"example", soa)
        self.records: dict[bytes, list[object]] = {b"example": [soa]}
        for (name, _), records in zone.items():
            self.records.setdefault(name.encode(), []).extend(records)


class DnsmasqTests(TestCase):
    """Over real packets, against a name server that others wrote."""

    @contextmanager
    def dnsmasq(self) -> Iterator[int]:
        """A server with the records of an HA pair; gives its port."""
        port = free_port()
        folder = temporary_folder(self)
        command = [
            require_program("dnsmasq"), "--no-daemon", "--no-resolv", "--no-hosts", "--conf-file=",
            "--listen-address=127.0.0.1", "--bind-interfaces", f"--port={port}", "--pid-file=",
            "--local=/ha.example/",
            "--naptr-record=ha.example,10,10,s,SIP+D2U,,_sip._udp.ha.example",
            "--srv-host=_sip._udp.ha.example,a.ha.example,5060,10,50",
            "--srv-host=_sip._udp.ha.example,b.ha.example,5062,20,50",
            "--host-record=a.ha.example,127.0.0.11",
            "--host-record=b.ha.example,127.0.0.12,::12",
        ]  # fmt: skip
        with running(command, folder / "log") as program:
            program.wait_for(lambda: "started" in program.log(), "started")
            yield port

    async def test_ha_pair(self) -> None:
        """Both servers, in order."""
        with self.dnsmasq() as port:
            places = await real(port).locate(sip("sip:ha.example"))
        self.assertEqual(
            ["UDP 127.0.0.11 5060", "UDP 127.0.0.12 5062", "UDP ::12 5062"], brief(places)
        )

    async def test_name_server_that_dies(self) -> None:
        """Nobody answers any more: it is told within the timeouts."""
        with self.dnsmasq() as port:
            pass
        with self.assertRaisesRegex(NotLocated, "DNS silent"):
            await real(port).addresses("a.ha.example")
