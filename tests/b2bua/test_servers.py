"""Tests of b2bua.servers, with a real user agent and registrars in memory."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from b2bua.call_events import (
    DnRegistered,
    DnUnregistered,
    ServerChanged,
    ServersDown,
    ServersUnknown,
)
from b2bua.servers import ServerState
from b2bua.settings import ServerSettings
from b2bua.sip.hop import Hop
from b2bua.sip.message import Request, Response
from b2bua.srv import Problem, Target
from b2bua.upstreams import PoolTimes, Reason, Server, State
from tests.b2bua.pair import numbers
from tests.b2bua.registrars import HOSTS, A, B, Shell

TEXTS = ("192.0.2.1:5060 UDP", "192.0.2.2:5060 UDP")
SRV = ServerSettings(srv_name="pair.example")
HERE = [Target(host, 5060, f"{name}.example") for host, name in zip(HOSTS, "ab", strict=True)]


class RegisterTests(SynchronousTestCase):
    """DNs at the server."""

    def test_register(self) -> None:
        """A DN is registered under the common domain, at our address, and that is told."""
        shell = Shell()
        shell.sign_in("1001")
        shell.run(1.0)
        self.assertEqual([DnRegistered("1001")], shell.told())
        (request,) = shell.first.registers()
        self.assertEqual("sip:192.0.2.1", str(request.uri))
        self.assertEqual("<sip:1001@192.0.2.1>", str(request.to))
        self.assertEqual("sip:1001@192.0.2.1", str(request.from_.uri))
        self.assertEqual("<sip:1001@192.0.2.100:5060>", request.get("Contact"))
        self.assertEqual("140", request.get("Expires"))
        self.assertEqual((70, "path"), (request.max_forwards, request.get("Supported")))
        self.assertTrue(request.from_.tag)
        self.assertEqual((1, 1, True), (
            shell.servers.registered, shell.servers.known, shell.servers.is_registered("1001")
        ))  # fmt: skip

    def test_dn_is_escaped(self) -> None:
        """Whatever a DN is made of, it is one user."""
        shell = Shell()
        shell.sign_in("+49 1@2")
        shell.run(1.0)
        self.assertEqual({"+49 1@2"}, shell.registered_by())
        self.assertEqual([DnRegistered("+49 1@2")], shell.told())

    def test_sign_out(self) -> None:
        """The binding is taken back, with the same Call-ID and a higher number."""
        shell = Shell()
        shell.sign_in("1001")
        shell.run(1.0)
        shell.servers.sign_out("1001", shell.now)
        shell.run(1.0)
        first, last = shell.first.registers()
        self.assertEqual("0", last.get("Expires"))
        self.assertEqual(first.call_id, last.call_id)
        self.assertLess(first.cseq.number, last.cseq.number)
        self.assertEqual([DnRegistered("1001"), DnUnregistered("1001", 0)], shell.told())
        self.assertEqual(0, shell.servers.known)

    def test_one_challenge(self) -> None:
        """The first REGISTER is challenged; refreshes use the nonce again, counting."""
        shell = Shell(passwords={"1001": "secret"})
        shell.sign_in("1001")
        shell.run(290.0)
        counts = shell.first.counts()
        self.assertEqual(["", "00000001", "00000002", "00000003"], counts[:4])
        self.assertEqual([DnRegistered("1001")], shell.told())

    def test_common_password(self) -> None:
        """A DN without a password of its own uses the one for all."""
        shell = Shell(ServerSettings(addresses=(A, B), password="common"))
        for registrar in shell.registrars.values():
            registrar.passwords = {"1001": "common"}
        shell.sign_in("1001")
        shell.run(1.0)
        self.assertEqual([DnRegistered("1001")], shell.told())

    def test_wrong_password(self) -> None:
        """One that is refused is not tried again: that would lock an account."""
        shell = Shell(passwords={"1001": "secret"})
        for registrar in shell.registrars.values():
            registrar.passwords = {"1001": "other"}
        shell.sign_in("1001")
        shell.run(300.0)
        self.assertEqual([DnUnregistered("1001", 401)], shell.told())
        self.assertEqual(["", "00000001"], shell.first.counts())

    def test_no_password(self) -> None:
        """A challenge that nobody can answer ends the attempt."""
        shell = Shell()
        shell.first.passwords = {"1001": "secret"}
        shell.sign_in("1001")
        shell.run(300.0)
        self.assertEqual([DnUnregistered("1001", 401)], shell.told())
        self.assertIsNone(shell.servers.credentials("1001"))

    def test_refused(self) -> None:
        """403 is told, and is not asked for again."""
        shell = Shell()
        shell.first.registering = lambda request: request.response(403, to_tag="r")
        shell.sign_in("1001")
        shell.run(300.0)
        self.assertEqual([DnUnregistered("1001", 403)], shell.told())
        self.assertEqual(1, len(shell.first.registers()))

    def test_interval_too_brief(self) -> None:
        """423 is answered by asking for what the server wants."""
        shell = Shell()

        def brief(request: Request) -> Response | None:
            if request.get("Expires") != "140":
                return None
            return request.response(423, None, [("Min-Expires", "600")], to_tag="r")

        shell.first.registering = brief
        shell.sign_in("1001")
        shell.run(1.0)
        self.assertEqual([DnRegistered("1001")], shell.told())
        self.assertEqual("600", shell.first.registers()[-1].get("Expires"))

    def test_no_room(self) -> None:
        """With no room for a transaction the servers are not to blame; it is tried later."""
        shell = Shell(limit=2)
        shell.run(0.0)
        shell.sign_in("1001")
        shell.run(3.0)
        self.assertEqual([], shell.first.registers())
        self.assertEqual([], shell.told())
        shell.run(20.0)
        self.assertEqual([DnRegistered("1001")], shell.told())

    def test_provisional_only(self) -> None:
        """A server that says 100 and no more is asked again when the transaction has timed out."""
        shell = Shell()
        shell.first.registering = lambda request: request.response(100)
        shell.sign_in("1001")
        shell.run(31.0)
        self.assertEqual([], shell.told())
        shell.first.registering = lambda request: None
        shell.run(2.0)
        self.assertEqual([DnRegistered("1001")], shell.told())

    def test_garbage(self) -> None:
        """Nonsense in an answer changes what it says, and breaks nothing."""
        for status, name, value in (
            (200, "Contact", "<sip:1001@192.0.2.100:5060>;expires=soon"),
            (200, "Expires", "never"),
            (401, "WWW-Authenticate", "Digest nonce=, realm"),
            (423, "Min-Expires", "999999999999999999999"),
            (423, "Min-Expires", "4294967295"),
            (503, "Retry-After", "Friday"),
            (302, "Contact", "<sip:1001@192.0.2.66>"),
            (699, "Retry-After", "-1"),
        ):
            shell = Shell(passwords={"1001": "secret"})
            given = [(name, value)]
            for registrar in shell.registrars.values():
                registrar.registering = lambda r, s=status, g=given: r.response(s, None, g)
            shell.sign_in("1001")
            shell.run(200.0)
            self.assertEqual(status == 200, shell.servers.is_registered("1001"), (status, name))

    def test_expired(self) -> None:
        """A binding that ends while no server answers is told as lost, and comes back."""
        shell = Shell()
        shell.sign_in("1001")
        shell.run(1.0)
        for registrar in shell.registrars.values():
            registrar.is_silent = True
        shell.told()
        shell.run(150.0)
        self.assertEqual([DnUnregistered("1001", 408)], shell.told(DnUnregistered, DnRegistered))
        for registrar in shell.registrars.values():
            registrar.is_silent = False
        shell.run(60.0)
        self.assertEqual([DnRegistered("1001")], shell.told(DnUnregistered, DnRegistered))


class CredentialsTests(SynchronousTestCase):
    """Who answers challenges."""

    def setUp(self) -> None:
        self.shell = Shell(passwords={"1001": "secret"})

    def test_shared(self) -> None:
        """While a DN is signed in, its REGISTER and its calls share a client; then no more."""
        servers = self.shell.servers
        self.assertIsNot(servers.credentials("1001"), servers.credentials("1001"))
        self.shell.sign_in("1001")
        client = servers.credentials("1001")
        self.assertIs(client, servers.credentials("1001"))
        self.shell.run(1.0)
        invite = Request("INVITE", "sip:2000@192.0.2.1")
        assert client is not None
        client.authorize(invite, Hop("UDP", A.host, 5060))
        self.assertIn("nc=00000002", invite.get("Authorization") or "")
        servers.sign_out("1001", self.shell.now)
        self.shell.run(1.0)
        self.assertIsNot(client, servers.credentials("1001"))

    def test_servers_only(self) -> None:
        """No hash goes to any other address, port or transport."""
        self.shell.sign_in("1001")
        client = self.shell.servers.credentials("1001")
        assert client is not None
        challenge = 'Digest realm="sip.example", nonce="n", qop="auth"'
        for hop, is_answered in (
            (Hop("UDP", A.host, 5060), True),
            (Hop("UDP", B.host, 5060, flow=7), True),
            (Hop("UDP", A.host, 5080), False),
            (Hop("TCP", A.host, 5060), False),
            (Hop("UDP", "192.0.2.9", 5060), False),
        ):
            request = Request("INVITE", "sip:2000@192.0.2.1")
            request.add("WWW-Authenticate", challenge)
            given = Response(401, None, [("WWW-Authenticate", challenge)])
            try:
                client.learn(request, given, hop)
            except Exception:
                self.assertFalse(is_answered, hop)
            else:
                self.assertTrue(is_answered, hop)


class FailoverTests(SynchronousTestCase):
    """A server that fails, and the other."""

    def switched(self, reason: str) -> ServerChanged:
        """What is told of a switch from the first to the second."""
        return ServerChanged(*TEXTS, reason)

    def test_silent(self) -> None:
        """After four seconds the other one is asked, and the DN is registered there."""
        shell = Shell()
        shell.first.is_silent = True
        shell.sign_in("1001")
        shell.run(3.9)
        self.assertEqual([], shell.told())
        shell.run(0.2)
        self.assertEqual([self.switched("unanswered"), DnRegistered("1001")], shell.told())
        self.assertEqual(TEXTS[1], shell.servers.active)
        self.assertEqual(2, shell.servers.generation)

    def test_closed(self) -> None:
        """A transport error switches at once."""
        shell = Shell()
        shell.first.is_closed = True
        shell.sign_in("1001")
        shell.run(0.2)
        self.assertEqual([self.switched("transport"), DnRegistered("1001")], shell.told())

    def test_unavailable(self) -> None:
        """503 switches at once; within its Retry-After the server is not returned to."""
        shell = Shell()
        shell.first.refusal = (503, [("Retry-After", "30 (soon)")])
        shell.sign_in("1001")
        shell.run(0.2)
        self.assertEqual([self.switched("503"), DnRegistered("1001")], shell.told())
        shell.first.refusal = None
        shell.second.is_closed = True
        shell.run(20.0)
        self.assertEqual(State.ALL_DOWN, shell.servers.state)
        shell.run(12.0)
        self.assertEqual(TEXTS[0], shell.servers.active)
        self.assertEqual(State.ACTIVE, shell.servers.state)

    def test_between_challenge_and_answer(self) -> None:
        """A server that dies in between costs one more challenge, at the other."""
        shell = Shell(passwords={"1001": "secret"})
        shell.sign_in("1001")
        shell.run(LATENCIES)
        self.assertEqual([""], shell.first.counts())
        shell.first.is_silent = True
        shell.run(5.0)
        self.assertEqual(["", "00000001"], shell.second.counts())
        self.assertEqual([self.switched("unanswered"), DnRegistered("1001")], shell.told())

    def test_slow(self) -> None:
        """An answer after five seconds is too late to keep the server, yet the binding counts."""
        shell = Shell()
        shell.first.latency = 5.0
        shell.second.is_silent = True
        shell.sign_in("1001")
        shell.run(4.9)
        self.assertEqual([self.switched("unanswered")], shell.told())
        shell.run(0.3)
        self.assertEqual([DnRegistered("1001")], shell.told())

    def test_both_down(self) -> None:
        """Nothing is sent but probes; one that answers brings everything back."""
        shell = Shell()
        for registrar in shell.registrars.values():
            registrar.is_closed = True
        shell.sign_in("1001")
        shell.run(60.0)
        events = shell.told()
        self.assertEqual([self.switched("transport"), ServersDown()], events)
        self.assertIsNone(shell.servers.place(shell.now))
        self.assertEqual(2, sum(r.method == "REGISTER" for _, r, _ in shell.sent))
        shell.second.is_closed = False
        shell.run(12.0)
        self.assertEqual(
            [ServerChanged(TEXTS[1], TEXTS[1], "recovered"), DnRegistered("1001")], shell.told()
        )

    def test_calls_count(self) -> None:
        """What calls tell of their requests switches too."""
        shell = Shell()
        shell.run(1.0)
        placed = shell.servers.place(shell.now)
        assert placed is not None
        hop, sent = placed
        self.assertEqual(Hop("UDP", A.host, 5060), hop)
        shell.servers.answered(sent, shell.now)
        shell.servers.failed(sent, Reason.UNAVAILABLE, shell.now, 5.0)
        self.assertEqual([self.switched("503")], shell.told())
        placed = shell.servers.place(shell.now)
        assert placed is not None
        self.assertEqual(B.host, placed[0].host)

    def test_idle(self) -> None:
        """A server that dies while nobody wants anything is found out by OPTIONS."""
        shell = Shell()
        shell.run(20.0)
        shell.first.is_silent = True
        shell.run(40.0)
        self.assertEqual([self.switched("unanswered")], shell.told())
        request = next(r for _, r in shell.first.requests if r.method == "OPTIONS")
        self.assertEqual("sip:192.0.2.1:5060", str(request.uri))

    def test_states(self) -> None:
        """A page shows who is in use and who has failed."""
        shell = Shell()
        shell.first.is_silent = True
        shell.sign_in("1001")
        shell.run(5.0)
        self.assertEqual(
            [ServerState(TEXTS[0], False, True), ServerState(TEXTS[1], True, False)],
            shell.servers.states(shell.now),
        )

    def test_thousand(self) -> None:
        """A thousand DNs stay registered over a failover, at no more than 50 a second."""
        shell = Shell(passwords=dict.fromkeys(numbers(1000), "secret"))
        shell.sign_in(*numbers(1000))
        shell.run(60.0)
        self.assertEqual(1000, shell.servers.registered)
        shell.first.is_silent = True
        lost = 0
        for _ in range(20):
            shell.run(10.0)
            lost = max(lost, 1000 - len(shell.registered_by()))
        self.assertEqual(0, lost)
        self.assertEqual(1000, shell.servers.registered)
        self.assertEqual(1, len(shell.told(ServerChanged)))
        self.assertLessEqual(shell.most_registers_in_a_second(), 50)

    def test_nothing_is_left(self) -> None:
        """When all is over, no exchange, client or transaction is kept."""
        shell = Shell(passwords={"1001": "secret"})
        shell.sign_in("1001")
        shell.run(1.0)
        shell.servers.shut_down(shell.now, 5.0)
        shell.run(40.0)
        self.assertTrue(shell.servers.is_closed)
        self.assertEqual(0, len(shell.servers._exchanges) + len(shell.servers._accounts))
        self.assertEqual((0, None), (len(shell.table), shell.servers.next_timeout()))


LATENCIES = 0.05
"""There and back, once, and no further."""


class ShutDownTests(SynchronousTestCase):
    """The end."""

    def test_all_leave(self) -> None:
        """All DNs are unregistered, and no more are taken in."""
        shell = Shell()
        shell.sign_in("1001", "1002")
        shell.run(1.0)
        shell.servers.shut_down(shell.now, 5.0)
        self.assertFalse(shell.servers.is_closed)
        shell.told()
        shell.sign_in("1003")
        shell.run(1.0)
        self.assertTrue(shell.servers.is_closed)
        shell.sign_in("1004")
        self.assertEqual(set(), shell.registered_by())
        refused = [DnUnregistered("1003", 503), DnUnregistered("1004", 503)]
        events = shell.told()
        self.assertEqual([event for event in refused if event in events], refused)
        self.assertEqual(4, len(events))

    def test_nobody_answers(self) -> None:
        """The limit holds."""
        shell = Shell()
        shell.sign_in("1001")
        shell.run(1.0)
        for registrar in shell.registrars.values():
            registrar.is_silent = True
        shell.servers.shut_down(shell.now, 3.0)
        shell.run(3.1)
        self.assertTrue(shell.servers.is_closed)


class LocatedTests(SynchronousTestCase):
    """Servers that the DNS knows."""

    def setUp(self) -> None:
        self.shell = Shell(SRV)
        self.servers = self.shell.servers

    def located(self, targets: list[Target], problem: Problem = Problem.NONE) -> None:
        """The DNS says."""
        self.servers.located(targets, problem, self.shell.now)
        self.shell.collect()

    def test_before(self) -> None:
        """Before the first answer there is nowhere to send to; then DNs that waited go out."""
        self.shell.sign_in("1001")
        self.shell.run(10.0)
        self.assertIsNone(self.servers.place(self.shell.now))
        self.assertFalse(self.servers.is_server(A.host))
        self.assertIsNone(self.servers.next_hop("pair.example", None, "UDP"))
        self.assertEqual(([], "", 0), (
            self.servers.states(0.0), self.servers.active, self.servers.generation
        ))  # fmt: skip
        self.located(HERE)
        self.shell.run(1.0)
        self.assertEqual([DnRegistered("1001")], self.shell.told())
        request = self.shell.first.registers()[0]
        self.assertEqual("sip:pair.example", str(request.uri))

    def test_names(self) -> None:
        """The common name, and the names and addresses of each, mean the one in use."""
        self.located(HERE)
        active = Hop("UDP", A.host, 5060)
        for host in ("pair.example", "A.example", "b.example", *HOSTS):
            self.assertEqual(active, self.servers.next_hop(host, None, "UDP"), host)
        self.assertIsNone(self.servers.next_hop("192.0.2.9", None, "UDP"))
        self.assertEqual("pair.example", self.servers.domain_of(active))
        self.assertEqual("192.0.2.9", self.servers.domain_of(Hop("TLS", "192.0.2.9", 5061)))
        self.assertTrue(self.servers.is_server(B.host))

    def test_same_again(self) -> None:
        """The same answer, in whatever order, changes nothing."""
        self.located(HERE)
        self.shell.run(1.0)
        self.located(HERE[::-1])
        self.located(HERE)
        self.assertEqual([], self.shell.told())
        self.assertEqual((TEXTS[0], 1), (self.servers.active, self.servers.generation))

    def test_removed(self) -> None:
        """Without the one in use another takes over; late news of the old one count no more."""
        self.located(HERE)
        self.shell.sign_in("1001")
        self.shell.run(1.0)
        placed = self.servers.place(self.shell.now)
        assert placed is not None
        self.shell.told()
        self.located(HERE[1:])
        self.assertEqual([ServerChanged(*TEXTS, "removed")], self.shell.told())
        self.servers.failed(placed[1], Reason.TRANSPORT, self.shell.now)
        self.servers.answered(placed[1], self.shell.now)
        self.assertEqual([], self.shell.told())
        self.assertFalse(self.servers.is_server(A.host))
        self.located(HERE)
        self.assertEqual(TEXTS[1], self.servers.active)
        self.shell.run(150.0)
        self.assertTrue(self.servers.is_registered("1001"))
        self.assertTrue(self.shell.second.registers())

    def test_denied(self) -> None:
        """Where the name leads nowhere nothing new is sent, until it leads somewhere again."""
        self.located(HERE)
        self.shell.sign_in("1001")
        self.shell.run(1.0)
        self.shell.told()
        for _ in range(2):
            self.located([], Problem.NO_SUCH_NAME)
        self.assertEqual([ServersUnknown("pair.example", "no-such-name")], self.shell.told())
        self.assertIsNone(self.servers.place(self.shell.now))
        self.assertEqual(State.ALL_DOWN, self.servers.state)
        self.assertEqual(
            Hop("UDP", A.host, 5060), self.servers.next_hop("pair.example", None, "UDP")
        )
        before = len(self.shell.sent)
        self.shell.run(100.0)
        self.assertEqual(before, len(self.shell.sent))
        self.located(HERE[1:])
        self.shell.run(10.0)
        self.assertEqual(
            [ServerChanged(*TEXTS, "removed"), ServerChanged(TEXTS[1], TEXTS[1], "located")],
            self.shell.told(ServerChanged),
        )
        self.assertTrue(self.servers.is_registered("1001"))

    def test_silent_dns(self) -> None:
        """A name that was never answered is told once; the first answer ends it."""
        self.located([], Problem.DNS_SILENT)
        self.located([], Problem.DNS_SILENT)
        self.assertEqual([ServersUnknown("pair.example", "dns-silent")], self.shell.told())
        self.located(HERE, Problem.DNS_SILENT)
        self.assertEqual([ServerChanged("", TEXTS[0], "located")], self.shell.told())

    def test_new_servers_while_all_are_down(self) -> None:
        """A server that the DNS brings is probed at once, and serves when it answers."""
        for registrar in self.shell.registrars.values():
            registrar.is_closed = True
        self.located(HERE[:1])
        self.shell.run(30.0)
        self.assertEqual([ServersDown()], self.shell.told())
        self.shell.second.is_closed = False
        self.located(HERE[1:])
        self.shell.run(0.1)
        self.assertEqual([ServerChanged(*TEXTS, "recovered")], self.shell.told())

    def test_listed_by_name(self) -> None:
        """Servers that are listed keep their order and their transports, and own their names."""
        listed = ServerSettings(
            addresses=(Server("a.example", 5070, "TLS"), Server("b.example")),
        )
        self.shell = Shell(listed)
        self.servers = self.shell.servers
        self.assertIsNone(self.servers.place(self.shell.now))
        self.servers.located(
            [Target(B.host, 5060, "b.example"), Target(A.host, 5070, "a.example")],
            Problem.NONE,
            self.shell.now,
        )
        placed = self.servers.place(self.shell.now)
        assert placed is not None
        hop = Hop("TLS", A.host, 5070)
        self.assertEqual(hop, placed[0])
        self.assertEqual("a.example", self.servers.domain_of(replace(hop, flow=4)))

    def test_listed_with_common_name(self) -> None:
        """With both, the list says where they are, and the SRV name stands for them."""
        both = ServerSettings(addresses=(A, B), srv_name="pair.example")
        self.shell = Shell(both)
        hop = Hop("UDP", A.host, 5060)
        self.assertEqual(hop, self.shell.servers.next_hop("pair.example", 5099, "UDP"))
        self.assertEqual("pair.example", self.shell.servers.domain_of(hop))
        self.shell.sign_in("1001")
        self.shell.run(1.0)
        self.assertEqual("sip:pair.example", str(self.shell.first.registers()[0].uri))

    def test_fail_back(self) -> None:
        """With the option an earlier server that answers steadily is returned to."""
        self.shell = Shell(ServerSettings(addresses=(A, B), times=PoolTimes(fail_back=30.0)))
        self.shell.first.is_silent = True
        self.shell.run(60.0)
        self.shell.first.is_silent = False
        self.shell.run(120.0)
        self.assertEqual(TEXTS[0], self.shell.servers.active)
