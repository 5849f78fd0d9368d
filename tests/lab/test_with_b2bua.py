"""The whole B2BUA over real sockets, with the lab for its SIP Servers."""

from __future__ import annotations

from functools import partial
from ipaddress import ip_network

from twisted.internet import reactor

from b2bua.call_events import DnRegistered, Event, ServerChanged
from b2bua.dial_numbers import parse_dial_numbers
from b2bua.net.location import dns_from
from b2bua.net.service import B2buaService
from b2bua.sdp.codecs import parse_codec_list
from b2bua.sdp.negotiation import CodecRules
from b2bua.settings import (
    B2buaSettings,
    EchoAnswer,
    MediaSettings,
    PhoneSettings,
    ServerSettings,
    SipAddress,
)
from b2bua.upstreams import PoolTimes
from suite.datapath.media import TwinMediaPlane
from tests.lab.client import LOOP, Client, until
from tests.lab.test_loopback import SETTINGS, LabCase

RULES = CodecRules(codecs=parse_codec_list("(pcmu,pcma,telephone-event)"))


class B2buaTests(LabCase):
    """The B2BUA with 1999, which echoes, and a phone with 1001."""

    timeout = 60

    def setUp(self) -> None:
        """Start the lab only."""
        super().setUp()
        self.events: list[Event] = []

    async def b2bua(self, echo_answer: EchoAnswer = EchoAnswer.AT_ONCE) -> None:
        """Start the B2BUA and wait until its DN is registered."""
        settings = B2buaSettings(
            listens=tuple(
                SipAddress(transport=t, host="127.0.0.1", port=0) for t in ("UDP", "TCP")
            ),
            servers=ServerSettings(
                srv_name=SETTINGS.domain,
                name_servers=(self.lab.names.address,),
                password=SETTINGS.password,
                times=PoolTimes(failover=0.5),
            ),
            registered=parse_dial_numbers("1000-1999"),
            phones=PhoneSettings(networks=(ip_network("127.0.0.0/8"),)),
            media=MediaSettings(host="127.0.0.1", first_port=16000, last_port=16199, rules=RULES),
            echo=parse_dial_numbers("1999"),
            echo_answer=echo_answer,
        )
        plane = TwinMediaPlane(reactor, LOOP.clock, settings.media)  # type: ignore[arg-type]
        dns = partial(dns_from, settings.servers, reactor)
        service = B2buaService(settings, LOOP, plane, dns=dns)
        service.subscribe(self.events.append)
        service.start()
        self.addCleanup(plane.shut_down)
        self.addCleanup(service.stop, 0.5)
        self.service = service
        await until(lambda: any(isinstance(e, DnRegistered) for e in self.events), "registered")

    async def phone(self) -> Client:
        """A phone of the B2BUA's own."""
        ports = {kind: port for kind, _, port in self.service.transports.bound()}
        phone = Client("1001", "", SETTINGS.domain, ("127.0.0.1", ports["UDP"]))
        self.addCleanup(phone.stop)
        self.assertEqual(200, (await phone.register()).status)
        await until(lambda: len(self.lab.status().registrations) == 2, "registered upstream")
        return phone

    async def test_goes_on_after_a_kill(self) -> None:
        """The lab calls a DN; A dies; hold and retrieve come from B, and the B2BUA obeys."""
        await self.b2bua()
        self.assertEqual("c1: 1999 and 7002 are talking", await self.do("call 1999 music"))
        await self.do("kill A")
        self.assertEqual("c1: 1999 and 7002: held", await self.do("hold c1"))
        self.assertEqual("c1: 1999 and 7002 are talking", await self.do("retrieve c1"))
        self.assertEqual("B", self.lab.status().calls[0].server)
        await self.do("hangup c1")

    async def test_rings_until_talk(self) -> None:
        """NOTIFY talk answers the early dialog."""
        await self.b2bua(EchoAnswer.ON_TALK)
        said = await self.do("call 1999 music")
        self.assertEqual("c1: 1999 and 7002: 1999 is ringing", said)
        self.assertEqual("c1: 1999 and 7002 are talking", await self.do("talk c1"))

    async def test_forms_of_hold(self) -> None:
        """Server-made hold in both forms, and the retrieval without an offer."""
        await self.b2bua()
        await self.do("call 1999 music")
        for form in ("rfc3264", "zero", ""):
            said = await self.do(f"hold c1 {form}")
            self.assertEqual("c1: 1999 and 7002: held", said, form)
            self.assertEqual("c1: 1999 and 7002 are talking", await self.do("retrieve c1"), form)

    async def test_transfer(self) -> None:
        """The B2BUA's leg is joined to another phone."""
        await self.b2bua()
        await self.do("call 1999 echo")
        said = await self.do("transfer c1 music")
        self.assertEqual("c1: 1999 and 7002 are talking; 7001 is out", said)

    async def test_call_of_a_phone(self) -> None:
        """A phone of the B2BUA's calls the music; A dies; the BYE goes by B."""
        await self.b2bua()
        phone = await self.phone()
        phone.call("7002")
        await until(lambda: self.state() == "talking", "talking")
        await until(lambda: "Established" in phone.events, "answered")
        await self.do("kill A")
        phone.hang_up()
        await until(lambda: self.state().startswith("ended: 1001"), "ended", 10)
        self.assertEqual("B", self.lab.status().calls[-1].server)

    async def fails_over(self, failure: str) -> None:
        """The next call of a phone is answered through B."""
        await self.b2bua()
        phone = await self.phone()
        await self.do(failure)
        phone.call("7001")
        await until(lambda: "Established" in phone.events, f"answered after {failure}", 8)
        self.assertEqual("B", self.lab.status().calls[-1].server)
        self.assertTrue(any(isinstance(event, ServerChanged) for event in self.events))

    async def test_kill(self) -> None:
        """The network says that nobody is there."""
        await self.fails_over("kill A")

    async def test_freeze(self) -> None:
        """Nobody says anything."""
        await self.fails_over("freeze A")

    async def test_503(self) -> None:
        """The server says that it cannot."""
        await self.fails_over("503 A")

    async def test_slow(self) -> None:
        """It would answer, but too late."""
        await self.fails_over("slow A 3s")
