"""The peers with each other, before the B2BUA stands between them."""

from __future__ import annotations

import socket
import tempfile
from contextlib import ExitStack
from pathlib import Path

from twisted.names import dns
from twisted.trial.unittest import SynchronousTestCase

from tests.peers import Place, free_port
from tests.sippeers.addresses import Endpoint, own_address
from tests.sippeers.baresip import Account, baresip
from tests.sippeers.conversation import Seen
from tests.sippeers.dissect import captured, complaints, finish, understood, write_capture
from tests.sippeers.dns_server import DOMAIN, Zone, dnsmasq
from tests.sippeers.kamailio import Settings, kamailio, kamailio_pair
from tests.sippeers.sipp import Conversation, Run, play, sipp

PASSWORD = "seeded-password-77aa"


def call_between(
    caller: str, callee: str, transport: str = "UDP"
) -> tuple[Conversation, Conversation]:
    """Both sides of one call between two SIPps."""
    near, far = Endpoint(own_address()), Endpoint(own_address())
    with sipp(Run(scenario=callee, at=far, transport=transport)) as answering:
        calling = play(
            Run(scenario=caller, at=near, to=far, transport=transport, options=("-d", "300"))
        )
        return calling, answering.finish()


class SippTests(SynchronousTestCase):
    """SIPp with SIPp: our scenarios are calls, and a failure says what was missing."""

    def test_stock(self) -> None:
        """The scenarios that SIPp brings along."""
        calling, answering = call_between("uac", "uas")
        self.assertEqual(len(calling.sent("INVITE")), 1)
        self.assertEqual(len(answering.received("BYE")), 1)

    def test_tcp(self) -> None:
        """A call over TCP."""
        calling, _ = call_between("call", "callee", "TCP")
        self.assertEqual({message.transport for message in calling.messages}, {"TCP"})

    def test_third_party(self) -> None:
        """Its two controllers, one party and another make one call of RFC 3725."""
        a, b, left, right = (Endpoint(own_address()) for _ in range(4))
        # The controllers take this port on all addresses of the machine.
        control = Endpoint("127.0.0.1", free_port(Place(addresses=("0.0.0.0",))))
        # Whoever ends first takes the connection of the controllers away from the other one, so
        # it is the first of two calls that is judged.
        runs = [
            Run(scenario="uas", at=b, calls=None),
            Run(scenario="3pcc-A", at=a, calls=None),
            Run(scenario="3pcc-C-B", at=right, to=b, twin=control, calls=None),
            Run(scenario="3pcc-C-A", at=left, to=a, twin=control, calls=2, rate=1),
        ]
        with ExitStack() as stack:
            right_party, left_party, *_ = [stack.enter_context(sipp(run)) for run in runs]
            for party in (left_party, right_party):
                party.wait_for("BYE")

    def test_our_calls(self) -> None:
        """Caller and callee of ours fit together, also when the callee hangs up or is busy."""
        for caller, callee in (
            ("call", "callee"),
            ("caller-is-left", "callee-hangs-up"),
            ("caller-meets-busy", "callee-busy"),
            ("caller-attached-data", "callee-attached-data"),
        ):
            call_between(caller, callee)

    def test_copies(self) -> None:
        """A second 200 is a copy, and not the answer to whatever was sent in the meantime."""
        calling, _ = call_between("caller-hears-twice", "callee-says-twice")
        self.assertEqual(
            [message.name for message in calling.received()],
            ["200 INVITE", "200 INVITE", "200 NOTIFY", "200 NOTIFY", "200 BYE"],
        )

    def test_failure(self) -> None:
        """A message that is not expected fails the run, which tells it and all that passed."""
        error = self.assertRaises(AssertionError, call_between, "call", "callee-busy")
        for words in ("a call failed", "unexpected message", "<--  SIP/2.0 486 Busy Here"):
            self.assertIn(words, str(error))

    def test_registering(self) -> None:
        """A phone registers with a server that SIPp plays, with a password where it is asked."""
        for server in ("server", "server-challenges-md5"):
            at, phone = Endpoint(own_address()), Endpoint(own_address())
            with sipp(Run(scenario=server, at=at, calls=None)) as one:
                said = play(Run(scenario="phone-registers", at=phone, to=at, password=PASSWORD))
                self.assertEqual(said.received()[-1].header("Expires"), "140")
                one.dismiss()


class KamailioTests(SynchronousTestCase):
    """Kamailio as registrar, proxy and pair."""

    def test_registrar(self) -> None:
        """It challenges with a digest, grants 140 s, and refuses a wrong password."""
        at = Endpoint(own_address())
        with kamailio(Settings(at=at, password=PASSWORD)):
            phone = Endpoint(own_address())
            said = play(Run(scenario="phone-registers", at=phone, to=at, password=PASSWORD))
            self.assertEqual([m.name for m in said.received()], ["401 REGISTER", "200 REGISTER"])
            self.assertIn("expires=140", said.received()[-1].header("Contact"))
            play(Run(scenario="phone-is-refused", at=phone, to=at))

    def test_pair(self) -> None:
        """What is registered with one of them can be called through the other."""
        phone, caller = Endpoint(own_address()), Endpoint(own_address())
        with kamailio_pair(PASSWORD) as (first, second):
            play(Run(scenario="phone-registers", at=phone, to=first.at, password=PASSWORD))
            for server in (first, second):
                with sipp(Run(scenario="callee", at=phone)) as answering:
                    play(Run(scenario="call", at=caller, to=server.at, options=("-d", "100")))
                    said = answering.finish()
                self.assertIn(server.at.host, said.received("INVITE")[0].header("Record-Route"))

    def test_port_numbers(self) -> None:
        """1PPPP is whoever listens at port PPPP of its address."""
        with kamailio() as server, sipp(Run(scenario="callee", at=server.at.at(5777))) as one:
            caller = Endpoint(own_address())
            play(Run(scenario="call", at=caller, to=server.at, service="15777"))
            one.finish()

    def test_outages(self) -> None:
        """Frozen it is silent and comes back; killed it leaves no process."""
        with kamailio() as server:
            server.freeze()
            self.assertFalse(server.answers())
            server.thaw()
            server.program.wait_for(server.answers, "back")
            server.kill()
            self.assertFalse(server.answers())
        with kamailio(Settings(at=server.at)) as again:
            self.assertTrue(again.answers())


class BaresipTests(SynchronousTestCase):
    """baresip as a phone of a Kamailio."""

    def test_calls(self) -> None:
        """It registers with a password, calls, is called, and hangs up."""
        at = Endpoint(own_address())
        account = Account(dn="2001", server=at, password=PASSWORD)
        with kamailio(Settings(at=at, password=PASSWORD)), baresip(account) as phone:
            phone.registered()
            with sipp(Run(scenario="callee", at=at.at(5777))) as far:
                phone.command("dial", f"sip:15777@{at}")
                phone.event("CALL_ESTABLISHED")
                phone.command("hangup")
                far.finish()
            run = Run(scenario="call", at=Endpoint(own_address()), to=at, service="2001")
            with sipp(run) as far:
                phone.event("CALL_INCOMING")
                phone.command("accept")
                phone.event("CALL_ESTABLISHED")
                far.finish()


class DnsmasqTests(SynchronousTestCase):
    """dnsmasq as the name server of a pair."""

    def test_srv(self) -> None:
        """It has the SRV records in order, the addresses with them, and nothing else."""
        servers = (Endpoint("127.0.0.11"), Endpoint("127.0.0.12", 5070))
        with dnsmasq(Zone(servers=servers)) as at:
            answer = _ask(at, f"_sip._udp.{DOMAIN}", dns.SRV)
            ordered = sorted(answer.answers, key=lambda record: record.payload.priority)
            self.assertEqual([record.payload.port for record in ordered], [5060, 5070])
            self.assertEqual(len(answer.additional), 2)
            self.assertEqual(_ask(at, f"nobody.{DOMAIN}", dns.A).rCode, dns.ENAME)


class DissectTests(SynchronousTestCase):
    """tshark as a judge."""

    def test_judgement(self) -> None:
        """A whole call is understood and without fault; a broken length is a fault."""
        calling, answering = call_between("call", "callee")
        with tempfile.TemporaryDirectory() as name:
            path = Path(name, "sent.pcap")
            count = write_capture(path, (calling, answering))
            self.assertEqual(understood(path, "sip"), count)
            self.assertEqual(complaints(path), [])
            first = calling.received()[0]
            broken = Seen(first.at, "UDP", False, first.data.replace(b"Length: ", b"Length: x"))
            write_capture(path, [Conversation((broken,))])
            self.assertEqual(len(complaints(path)), 1)

    def test_capture(self) -> None:
        """What passes on loopback can be captured and judged."""
        near = own_address()
        with captured(f"host {near}") as capture:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.bind((near, 0))
                sender.sendto(b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 0\r\n\r\n", (near, 5060))
            path = finish(capture, packets=1)
            self.assertEqual(understood(path, "sip.Method == OPTIONS && !icmp"), 1)


def _ask(server: Endpoint, name: str, kind: int) -> dns.Message:
    question = dns.Message(id=1, recDes=1)
    question.addQuery(name.encode(), kind)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(5)
        asking.sendto(question.toStr(), (server.host, server.port))
        answer = dns.Message()
        answer.fromStr(asking.recv(4096))
    return answer
