"""The lab over real sockets: registered, called, commanded, killed."""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random

from twisted.internet import reactor
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.protocol import DatagramProtocol
from twisted.names import client, dns
from twisted.names.error import DNSNameError
from twisted.trial.unittest import TestCase

from b2bua.sip.errors import ParseError
from b2bua.sip.hop import Hop
from b2bua.sip.message import Message
from b2bua.sip.parser import parse_datagram
from suite.lab.errors import LabError
from suite.lab.lab import Lab
from suite.lab.phone_session import PhoneSession
from suite.lab.settings import LabSettings
from suite.lab.trace import TracedMessage
from tests.lab.client import LOOP, Client, until

SETTINGS = LabSettings(
    server_a=("127.0.0.11", 0),
    server_b=("127.0.0.12", 0),
    name_server=("127.0.0.10", 0),
    echo=("127.0.0.13", 0),
    music=("127.0.0.13", 0),
    password="secret",
)


class LabCase(TestCase):
    """A lab on free ports, and DN 1001."""

    timeout = 30

    def setUp(self) -> None:
        """Start both."""
        self.lab = Lab(SETTINGS, LOOP, reactor)  # type: ignore[arg-type]
        self.lab.start()
        self.addCleanup(self.finish)
        self.a, self.b = self.lab.servers
        self.client = self.make_client("1001")

    def make_client(self, dn: str, transport: str = "UDP") -> Client:
        """Another DN."""
        server = self.a.address[0], self.a.ports[transport]
        client = Client(dn, "secret", SETTINGS.domain, server, transport)
        self.addCleanup(client.stop)
        return client

    async def finish(self) -> None:
        """Stop the lab, and let its connections end."""
        await self.lab.stop()

    async def do(self, line: str) -> str:
        """Give a command."""
        return await self.lab.command(line.split())

    async def refusal(self, line: str) -> str:
        """Give a command that cannot be obeyed."""
        try:
            said = await self.lab.command(line.split())
        except LabError as error:
            return str(error)
        raise AssertionError(said)

    def state(self) -> str:
        """Of the latest call."""
        calls = self.lab.status().calls
        return calls[-1].state if calls else ""


class ThirdPartyTests(LabCase):
    """Calls that the lab makes."""

    async def test_goes_on_after_a_kill(self) -> None:
        """The dialog of a call that A made is carried on by B."""
        self.assertEqual(200, (await self.client.register()).status)
        said = await self.do("call 1001 echo")
        self.assertEqual("c1: 1001 and 7001 are talking", said)
        self.assertEqual(self.a.address, self.client.from_[-1])
        await self.do("kill A")
        self.client.server = self.b.address
        said = await self.do("hold c1")
        self.assertEqual("c1: 1001 and 7001: held", said)
        notify = self.client.last("NOTIFY")
        self.assertEqual("hold", notify.get("Event"))
        self.assertEqual(self.b.address, self.client.from_[-1])
        said = await self.do("retrieve c1")
        self.assertEqual("c1: 1001 and 7001 are talking", said)
        said = await self.do("hangup c1")
        self.assertEqual("c1: 1001 and 7001: ended: by command", said)
        await until(lambda: "Ended" in self.client.events, "hung up")

    async def test_talk_answers_who_rings(self) -> None:
        """NOTIFY talk comes in the early dialog, in the shape that Genesys gives it."""
        await self.client.register()
        self.client.answers_at_once = False
        said = await self.do("call 1001 music")
        self.assertEqual("c1: 1001 and 7002: 1001 is ringing", said)
        invite = self.client.last("INVITE")
        self.assertEqual(b"", invite.body)
        said = await self.do("talk c1")
        self.assertEqual("c1: 1001 and 7002 are talking", said)
        notify = self.client.last("NOTIFY")
        self.assertEqual("active", notify.get("Subscription-State"))
        self.assertEqual(invite.get("X-Genesys-CallUUID"), notify.get("X-Genesys-CallUUID"))
        self.assertEqual((b"", 2), (notify.body, notify.cseq.number))

    async def test_killed_while_it_rings(self) -> None:
        """
        The talk goes out by B. The answer to the INVITE goes to A, whose Via it follows, and is
        said again until somebody takes it there.
        """
        await self.client.register()
        self.client.answers_at_once = False
        await self.do("call echo 1001")
        await self.do("kill A")
        self.client.server = self.b.address
        talk = self.lab.command(["talk", "c1"])
        await until(lambda: self.b.address in self.client.from_, "told by B")
        self.assertEqual("ringing", self.state())
        await self.do("revive A")
        self.assertEqual("c1: 7001 and 1001 are talking", await talk)

    async def hold_by_server(self, form: str, line: bytes) -> None:
        """Hold and retrieve by re-INVITE; ``line`` must stand in the offer."""
        await self.client.register()
        await self.do("call 1001 music")
        version = self.client.last("INVITE")
        said = await self.do(f"hold c1 {form}")
        self.assertEqual("c1: 1001 and 7002: held", said)
        held = self.client.last("INVITE")
        self.assertIsNot(version, held)
        self.assertIn(line, held.body.splitlines())
        said = await self.do("retrieve c1")
        self.assertEqual("c1: 1001 and 7002 are talking", said)
        self.assertEqual(b"", self.client.last("INVITE").body)
        await until(lambda: b"a=sendrecv" in self.client.last("ACK").body, "answered")

    async def test_hold_by_direction(self) -> None:
        """As the server option sip-hold-rfc3264 has it; retrieved without an offer."""
        await self.hold_by_server("rfc3264", b"a=sendonly")

    async def test_hold_by_address(self) -> None:
        """The old form; retrieved without an offer."""
        await self.hold_by_server("zero", b"c=IN IP4 0.0.0.0")

    async def test_transfer(self) -> None:
        """The first party gets the target's description, the second is released."""
        await self.client.register()
        await self.do("call 1001 echo")
        said = await self.do("transfer c1 music")
        self.assertEqual("c1: 1001 and 7002 are talking; 7001 is out", said)
        self.assertNotEqual(b"", self.client.last("INVITE").body)
        phones = {phone.name: phone for phone in self.lab.phones}
        await until(lambda: phones["echo"].state == "idle", "released")
        self.assertEqual("1 call", phones["music"].state)

    async def test_transfer_of_a_dn_releases_it(self) -> None:
        """Who leaves can be named."""
        await self.client.register()
        await self.do("call 1001 echo")
        said = await self.do("transfer c1 music 1001")
        self.assertEqual("c1: 7001 and 7002 are talking; 1001 is out", said)
        await until(lambda: "Ended" in self.client.events, "released")

    async def test_refused_transfer_changes_nothing(self) -> None:
        """The target is busy."""
        await self.client.register()
        other = self.make_client("1002")
        await other.register()
        other.answers_at_once = False
        await self.do("call 1001 echo")
        transfer = self.lab.command(["transfer", "c1", "1002"])
        await until(lambda: other.usage, "ringing")
        other.usage.reject(486, other.running.now)  # type: ignore[union-attr]
        other.running.pump()
        self.assertIn("1002 did not take the call (486)", await transfer)
        self.assertEqual("talking", self.state())

    async def test_two_dns(self) -> None:
        """Both ends are outside the lab; one hangs up, the other is released."""
        await self.client.register()
        other = self.make_client("1002")
        await other.register()
        await self.do("call 1001 1002")
        other.hang_up()
        await until(lambda: "Ended" in self.client.events, "released")
        self.assertEqual("ended: 1002 hung up", self.state())

    async def test_busy(self) -> None:
        """A refusal is told in a sentence."""
        await self.client.register()
        self.client.answers_at_once = False
        call = self.lab.command(["call", "1001", "7001"])
        await until(lambda: self.client.usage, "ringing")
        self.client.usage.reject(486, self.client.running.now)  # type: ignore[union-attr]
        self.client.running.pump()
        self.assertEqual("c1: 1001 and 7001: ended: 1001 answered 486 Busy Here", await call)

    async def test_over_tcp(self) -> None:
        """A DN that registered over TCP is called over its connection."""
        client = self.make_client("1003", "TCP")
        self.assertEqual(200, (await client.register()).status)
        said = await self.do("call 1003 echo")
        self.assertEqual("c1: 1003 and 7001 are talking", said)
        await self.do("kill A")
        client.server = self.b.address[0], self.b.ports["TCP"]
        said = await self.do("hangup c1")
        await until(lambda: "Ended" in client.events, "released")

    async def test_ladder_is_whole_before_the_sentence(self) -> None:
        """What the sentence tells of has left by then, so a kill right after it takes nothing."""
        await self.do("call echo music")
        await self.do("kill A")
        (call,) = self.lab.trace.calls()
        self.assertEqual(["A", "echo", "music"], call.labels)

    async def test_stopped_lab_answers(self) -> None:
        """Whoever waits for a command is told."""
        await self.client.register()
        self.client.answers_at_once = False
        call = self.lab.command(["call", "1001", "echo"])
        await self.lab.stop()
        self.assertEqual("the lab is being stopped", await call)

    async def test_without_any_server(self) -> None:
        """The sentence says what to do."""
        await self.do("kill A")
        await self.do("freeze B")
        self.assertEqual(
            "no server is running: revive A or B first", await self.refusal("call 7001 7002")
        )


class ServerTests(LabCase):
    """What the servers do for others, and how they fail."""

    async def test_registration(self) -> None:
        """140 s are granted, and both servers know."""
        response = await self.client.register()
        self.assertEqual([140], [contact.expires for contact in response.contacts])
        status = self.lab.status()
        self.assertEqual([("1001", "A")], [(r.dn, r.server) for r in status.registrations])
        self.assertEqual(
            [(1, True), (0, False)], [(s.registered, s.active) for s in status.servers]
        )
        count = len(self.client.messages)
        self.assertEqual(200, (await self.client.register()).status)
        self.assertEqual(count + 1, len(self.client.messages), "the nonce may be used again")
        await self.do("kill A")
        self.client.server = self.b.address
        self.assertEqual(200, (await self.client.register()).status)
        self.assertEqual("B", self.lab.status().registrations[0].server)
        await self.client.register(0)
        self.assertEqual((), self.lab.status().registrations)

    async def test_wrong_password(self) -> None:
        """It is challenged again, and nothing is registered."""
        client = Client("1002", "wrong", SETTINGS.domain, self.a.address)
        self.addCleanup(client.stop)
        self.assertEqual(401, (await client.register()).status)
        self.assertEqual((), self.lab.status().registrations)

    async def test_call_goes_on_at_the_other_server(self) -> None:
        """Hold and BYE of a call that A passed on reach the phone through B."""
        self.client.call("7002")
        await until(lambda: self.state() == "talking", "talking")
        self.assertEqual(
            SETTINGS.domain, str(self.client.last_response().record_route[0].uri)[4:-3]
        )
        await self.do("kill A")
        self.client.server = self.b.address
        self.client.do(lambda usage, now: usage.modify(lambda: self.client.hold_offer(True), now))
        await until(lambda: self.state() == "held", "held")
        self.client.hang_up()
        await until(lambda: self.state() == "ended: 1001 hung up", "ended")
        self.assertEqual("B", self.lab.status().calls[0].server)
        self.assertEqual("idle", self.lab.phones[1].state)

    async def test_unknown_number(self) -> None:
        """404, and the call is over."""
        self.client.call("4711")
        await until(lambda: "Ended" in self.client.events, "refused")
        self.assertEqual("ended: 404 Not Found", self.state())

    async def test_call_to_a_dn(self) -> None:
        """One client calls another; CANCEL finds its way, and 487 comes back."""
        other = self.make_client("1002")
        await other.register()
        other.answers_at_once = False
        self.client.call("1002")
        await until(lambda: "Progress" in self.client.events, "ringing")
        self.client.hang_up()
        await until(lambda: "Ended" in other.events, "cancelled")
        await until(lambda: self.state() == "ended: 487 Request Terminated", "told")

    async def test_killed(self) -> None:
        """ICMP tells at once; after a revival the ports are the same."""
        address = self.a.address
        await self.do("kill A")
        self.running_options()
        await until(lambda: self.client.failures, "told")
        self.assertEqual("port unreachable", self.client.failures[0])
        self.assertEqual(f"A (127.0.0.11:{address[1]}) is up", await self.do("revive A"))
        self.assertEqual(200, (await self.client.ask(self.client.options())).status)

    def running_options(self) -> None:
        """Send an OPTIONS and do not wait."""
        running = self.client.running
        running.agent.table.start(self.client.options(), self.client.hop, running.now)
        running.pump()

    async def test_killed_tcp_is_refused(self) -> None:
        """An open connection is cut, a new one refused."""
        client = self.make_client("1003", "TCP")
        await client.ask(client.options())
        await self.do("kill A")
        await until(lambda: not len(client.transports.flows), "cut")
        running = client.running
        running.agent.table.start(client.options(), client.hop, running.now)
        running.pump()
        await until(lambda: "connection refused" in client.failures, "refused")

    async def test_frozen(self) -> None:
        """Nothing is answered and nothing refused; after the thaw the answer comes late."""
        await self.freeze_between("UDP")
        await self.freeze_between("TCP")

    async def freeze_between(self, transport: str) -> None:
        """Ask a frozen server, and thaw it."""
        client = self.make_client("1004", transport)
        await client.ask(client.options())
        await self.do("freeze A")
        waiting = Deferred.fromCoroutine(client.ask(client.options()))
        await self.pause(0.2)
        self.assertFalse(waiting.called)
        await self.do("revive A")
        self.assertEqual(200, (await waiting).status)
        self.assertEqual([], client.failures)

    def pause(self, seconds: float) -> Deferred[None]:
        """Let time pass, so that what must not happen could."""
        ends = reactor.seconds() + seconds  # type: ignore[attr-defined]
        return until(lambda: reactor.seconds() > ends, "over")  # type: ignore[attr-defined]

    async def test_slow(self) -> None:
        """An answer is late by what was asked for."""
        self.assertIn("is slow 0.3 s", await self.do("slow A 300ms"))
        before = self.client.running.now
        await self.client.ask(self.client.options())
        self.assertGreaterEqual(self.client.running.now - before, 0.3)

    async def test_refusing(self) -> None:
        """503 with Retry-After for everything."""
        await self.do("503 A")
        response = await self.client.register()
        self.assertEqual((503, 5), (response.status, response.retry_after.seconds))  # type: ignore[union-attr]
        await self.do("revive A")
        self.assertEqual(200, (await self.client.register()).status)

    async def test_reset(self) -> None:
        """TCP is reset, each time; UDP is as ever."""
        client = self.make_client("1003", "TCP")
        await client.ask(client.options())
        await self.do("reset A")
        await until(lambda: not len(client.transports.flows), "reset")
        running = client.running
        running.agent.table.start(client.options(), client.hop, running.now)
        running.pump()
        await until(lambda: client.failures, "reset again")
        self.assertEqual("connection lost", client.failures[-1])
        self.assertEqual(200, (await self.client.ask(self.client.options())).status)

    async def test_both_on_taken_addresses(self) -> None:
        """A second lab at the same addresses says so, and leaves nothing bound."""
        again = replace(SETTINGS, server_a=self.a.address)
        lab = Lab(again, LOOP, reactor)  # type: ignore[arg-type]
        error = self.assertRaises(LabError, lab.start)
        self.assertIn("cannot have its addresses: UDP 127.0.0.11 port", str(error))
        self.assertIn("in use", str(error))
        await lab.stop()


class WrongCommandTests(LabCase):
    """What a person mistypes is answered with what would be right."""

    async def test_sentences(self) -> None:
        """Each names what is accepted."""
        for line, part in (
            ("", "a command is one of: status;"),
            ("explode A", "explode is no command; it is one of: status;"),
            ("kill", "it is: kill A, or kill B"),
            ("kill C", "C is no server"),
            ("slow A", "and how many seconds"),
            ("slow A soon", "soon is no delay"),
            ("slow A 0", "0 is no delay"),
            ("dns maybe", "dns off, or dns on"),
            ("call 1", "it is: call FROM TO"),
            ("call 1 7001", "1 is not registered; these can be called: 7001, 7002"),
            ("call echo 7001", "two different numbers"),
            ("hold c9", "c9 is no call that the lab has made; those are: none is up"),
            ("talk", "it is: talk CALL"),
        ):
            self.assertIn(part, await self.refusal(line), line)

    async def test_of_calls(self) -> None:
        """A call that is up takes only what fits."""
        self.assertEqual("c1: 7001 and 7002 are talking", await self.do("call echo music"))
        for line, part in (
            ("hold c1 gently", "gently is no form of hold; it is rfc3264, zero"),
            ("transfer c1 4711", "4711 is not registered"),
            ("transfer c1 7001 4711", "4711 is not in c1; there are: 7001, 7002"),
        ):
            self.assertIn(part, await self.refusal(line), line)
        said = await self.do("talk c1")
        self.assertEqual("c1: 7001 answered talk with 489", said)

    async def test_killed_twice(self) -> None:
        """What is dead cannot be frozen."""
        await self.do("kill A")
        self.assertEqual("A is killed: revive A first", await self.refusal("freeze A"))

    async def test_status(self) -> None:
        """One line with everything."""
        said = await self.do("status")
        self.assertIn("DNS answers; registered: 0; calls up: 0", said)


class NameServerTests(LabCase):
    """The records, over UDP and TCP."""

    def resolver(self, seconds: float = 3) -> client.Resolver:
        """Somebody who asks this name server only."""
        return client.Resolver(servers=[self.lab.names.address], timeout=(seconds,))

    async def test_records(self) -> None:
        """A comes before B, with the ports that are bound."""
        for kind in ("UDP", "TCP"):
            query = dns.Query(f"_sip._{kind.lower()}.{SETTINGS.domain}", dns.SRV)
            ask = self.resolver().queryTCP if kind == "TCP" else self.resolver().queryUDP
            answers = (await ask([query], (3,) if kind == "UDP" else 3)).answers
            found = [(a.payload.priority, a.payload.port, str(a.payload.target)) for a in answers]
            self.assertEqual(
                [
                    (10, self.a.ports[kind], f"a.{SETTINGS.domain}"),
                    (20, self.b.ports[kind], f"b.{SETTINGS.domain}"),
                ],
                found,
            )
            self.assertEqual([5, 5], [answer.ttl for answer in answers])

    async def test_addresses(self) -> None:
        """The targets lead to the servers; another name does not exist."""
        resolver = self.resolver()
        answers, _, _ = await resolver.lookupAddress(f"b.{SETTINGS.domain}")
        self.assertEqual(["127.0.0.12"], [a.payload.dottedQuad() for a in answers])
        await self.assertFailure(resolver.lookupAddress(f"c.{SETTINGS.domain}"), DNSNameError)
        self.assertEqual(2, self.lab.status().dns.queries)

    async def test_off(self) -> None:
        """Questions are counted, and not answered."""
        self.assertEqual("DNS keeps silent", await self.do("dns off"))
        asked = self.resolver(0.1).lookupAddress(f"b.{SETTINGS.domain}")
        await self.assertFailure(asked, TimeoutError)
        status = self.lab.status().dns
        self.assertEqual((False, 1), (status.on, status.queries))
        self.assertEqual("DNS answers", await self.do("dns on"))
        await self.resolver().lookupAddress(f"b.{SETTINGS.domain}")


class TraceTests(LabCase):
    """What is kept for the ladder."""

    async def test_ladder_of_a_call(self) -> None:
        """Each arrow once, in order, with names."""
        self.client.call("7001")
        await until(lambda: self.state() == "talking", "talking")
        await until(lambda: len(self.lab.trace.calls()[0].messages) >= 9, "traced")
        call = self.lab.trace.calls()[0]
        us = call.messages[0].source
        self.assertEqual("1001 → 7001", call.title)
        self.assertEqual([us, "A", "echo"], call.labels)
        seen = [(m.source, m.target, m.summary) for m in call.messages]
        expected = [
            (us, "A", "INVITE 7001 [sendrecv]"),
            ("A", us, "100 Trying (INVITE)"),
            ("A", "echo", "INVITE 7001 [sendrecv]"),
            ("echo", "A", "180 Ringing (INVITE)"),
            ("A", us, "180 Ringing (INVITE)"),
            ("echo", "A", "200 OK (INVITE) [sendrecv]"),
            ("A", us, "200 OK (INVITE) [sendrecv]"),
            (us, "A", "ACK"),
            ("A", "echo", "ACK"),
        ]
        for arrow in expected:
            self.assertEqual(1, seen.count(arrow), (arrow, seen))

    async def test_no_credentials(self) -> None:
        """Nothing of a registration proves anything."""
        await self.client.register()
        said = repr(self.lab.trace.others().messages) + repr(self.lab.status())
        self.assertIn("REGISTER", said)
        for secret in ("secret", "nonce", "response=", "Digest"):
            self.assertNotIn(secret, said)

    async def test_lost_messages(self) -> None:
        """What goes to a dead server is marked."""
        self.client.call("7002")
        await until(lambda: self.state() == "talking", "talking")
        music = self.lab.phones[1]
        (usage,) = music.calls
        await until(lambda: usage.may_reinvite, "acknowledged")
        await self.do("kill B")
        await self.do("kill A")
        music.hang_up_all()
        last = self.lab.trace.calls()[0].messages[-1]
        self.assertEqual(("music", "A", "BYE", True), (*arrow(last), last.lost))

    async def test_both_dialogs_of_a_third_party_call(self) -> None:
        """One ladder for the whole call."""
        await self.client.register()
        await self.do("call 1001 echo")
        (call,) = self.lab.trace.calls()
        self.assertEqual("c1", call.name)
        self.assertEqual(2, len({message.call_id for message in call.messages}))

    async def test_status_is_plain(self) -> None:
        """It can be written as JSON."""
        await self.client.register()
        await self.do("call 1001 echo")
        written = json.loads(json.dumps(self.lab.status().plain()))
        self.assertEqual("talking", written["calls"][0]["state"])
        self.assertEqual(["A", "B"], [server["name"] for server in written["servers"]])


def arrow(message: TracedMessage) -> tuple[str, str, str]:
    """From, to and what."""
    return message.source, message.target, message.summary


class MediaTests(LabCase):
    """RTP of the phones."""

    def media(self) -> RtpPeer:
        """A socket for the client's media, which its descriptions name."""
        peer = RtpPeer()
        port = reactor.listenUDP(0, peer, "127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        self.client.session = PhoneSession("127.0.0.1", port.getHost().port, 7)
        return peer

    async def test_music(self) -> None:
        """It plays as long as it is not on hold."""
        peer = self.media()
        self.client.call("7002")
        await until(lambda: len(peer.packets) > 5, "heard")
        first, second = peer.packets[:2]
        self.assertEqual((0x80, 0, 172), (first[0], first[1], len(first)))
        self.assertEqual(1, (second[3] - first[3]) % 256)
        self.client.do(lambda usage, now: usage.modify(self.inactive, now))
        await until(lambda: "Modified" in self.client.events, "held")
        count = len(peer.packets)
        await until(lambda: self.lab.phones[1].calls, "still there")
        ends = reactor.seconds() + 0.2  # type: ignore[attr-defined]
        await until(lambda: reactor.seconds() > ends, "over")  # type: ignore[attr-defined]
        self.assertLessEqual(len(peer.packets), count + 1)
        self.client.hang_up()
        await until(lambda: self.lab.phones[1].state == "idle", "ended")

    def inactive(self) -> bytes:
        """Hold that lets no media through."""
        return self.client.session.offer().replace(b"a=sendrecv", b"a=inactive")

    async def test_echo(self) -> None:
        """A packet comes back with another SSRC."""
        peer = self.media()
        self.client.call("7001")
        await until(lambda: self.state() == "talking", "talking")
        (call,) = self.lab.phones[0].calls.values()
        packet = bytes([0x80, 0, 0, 9]) + b"stmpssrc" + b"voice" * 32
        peer.send(packet, ("127.0.0.13", call.session.port))
        await until(lambda: peer.packets, "echoed")
        self.assertEqual(packet[:8] + packet[12:], peer.packets[0][:8] + peer.packets[0][12:])
        self.assertNotEqual(packet[8:12], peer.packets[0][8:12])


class RtpPeer(DatagramProtocol):
    """Somebody at the other end of the media."""

    def __init__(self) -> None:
        self.packets: list[bytes] = []

    def datagramReceived(self, datagram: bytes, addr: object) -> None:
        """Keep a packet."""
        self.packets.append(datagram)

    def send(self, packet: bytes, to: tuple[str, int]) -> None:
        """Send one."""
        assert self.transport is not None
        self.transport.write(packet, to)


class BadInputTests(LabCase):
    """What a peer sends makes no traceback: the error log stays empty."""

    ODD = (
        *(
            "",
            "*",
            "1",
            "-1",
            "99999999999",
            "a",
            "<>",
            "<sip:>",
            "sip:",
            "tel:1",
            "x:y",
            ";;",
            ",",
        ),
        *("<sip:7001@siplab.test;lr>", "<sip:7001@siplab.test", '"', "\u00e9", "0", "1 INVITE"),
        *("Digest", "Digest realm", 'Digest realm="siplab",nonce="x",algorithm=MD5', "timer"),
        *("100rel", "talk", "SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK", "SIP/2.0/TCP x", "replaces"),
        "<sip:1001@127.0.0.1:1>;expires=x",
        "<sip:1001@192.0.2.1>;expires=10",
    )
    NAMES = (
        *("Via", "From", "To", "Call-ID", "CSeq", "Contact", "Route", "Record-Route", "Expires"),
        *("Max-Forwards", "Authorization", "Require", "Event", "Session-Expires", "Min-SE"),
        *("Content-Type", "RAck", "RSeq", "Supported", "Replaces", "Proxy-Require"),
    )
    METHODS = (
        *("REGISTER", "INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "NOTIFY", "PRACK", "UPDATE"),
        *("INFO", "SUBSCRIBE", "REFER", "MESSAGE", "FOO"),
    )

    async def test_odd_messages(self) -> None:
        """Every method with every header field gone wrong, to servers and phones."""
        await self.client.register()
        await self.do("call 1001 echo")
        call_id = self.client.last("INVITE").call_id
        self.offer = PhoneSession("127.0.0.1", 30000, 7).offer()
        random = Random(8)
        taken = 0
        for number in range(4000):
            message = self.odd(random, number, call_id)
            if message is None:
                continue
            taken += 1
            hop = Hop(random.choice(["UDP", "TCP"]), "127.0.0.1", random.choice([1, 5060]), 1)
            if number % 3:
                self.a.received(message, hop)
            else:
                self.lab.phones[number % 2].received(message, hop)
        self.assertGreater(taken, 1000)
        self.assertEqual("talking", self.lab.status().calls[0].state)
        self.assertEqual(200, (await self.client.ask(self.client.options())).status)

    def odd(self, random: Random, number: int, call_id: str) -> Message | None:
        """A message with one or two things wrong, unless it cannot be read at all."""
        method = random.choice(self.METHODS)
        headers = {
            "Via": f"SIP/2.0/UDP 127.0.0.1:1;branch=z9hG4bK{number};rport",
            "From": "<sip:1001@siplab.test>;tag=f",
            "To": "<sip:7001@siplab.test>" + random.choice(["", ";tag=t"]),
            "Call-ID": random.choice([call_id, f"odd{number}"]),
            "CSeq": f"1 {method}",
            "Contact": "<sip:1001@127.0.0.1:1>",
        }
        for _ in range(random.choice([1, 2])):
            headers[random.choice(self.NAMES)] = random.choice(self.ODD)
        uri = random.choice(
            ["sip:7001@siplab.test", "sip:siplab.test", "tel:7001", "sip:lab@siplab.test", "x:y"]
        )
        start = f"{method} {uri} SIP/2.0"
        if random.random() < 0.2:
            start = f"SIP/2.0 {random.choice([100, 180, 200, 302, 401, 486])} x"
            if random.random() < 0.7:
                mine = self.a.sent_by(Hop("UDP", "127.0.0.1", 1))
                flow = random.choice(["1-1", "x", "1-", "9-9", "1-99999999999999999999999"])
                top = f"SIP/2.0/UDP {mine};branch=z9hG4bKa;flow={flow}"
                headers["Via"] = f"{top}, {headers['Via']}"
        body = random.choice([b"", b"x", b"v=0\r\n", self.offer])
        lines = [start, *(f"{name}: {value}" for name, value in headers.items())]
        head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])
        try:
            return parse_datagram(head.encode() + body)
        except ParseError:
            return None
