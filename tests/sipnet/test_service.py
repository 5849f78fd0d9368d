"""The whole B2BUA over real sockets: IPv6 from end to end, and requests too long for a datagram."""

from __future__ import annotations

import socket
from ipaddress import ip_network

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from b2bua.dial_numbers import parse_dial_numbers
from b2bua.net.location import dns_from
from b2bua.net.service import B2buaService
from b2bua.rtp.packet import HEADER
from b2bua.sdp.codecs import parse_codec_list
from b2bua.sdp.description import parse
from b2bua.sdp.negotiation import CodecRules
from b2bua.settings import (
    B2buaSettings,
    MediaSettings,
    PhoneSettings,
    ServerSettings,
    SipAddress,
)
from b2bua.sip.usage_events import Ended, Established, Invited
from b2bua.upstreams import Server
from suite.datapath.media import TwinMediaPlane
from tests.programs import lack
from tests.sipnet.real_peer import LOOP, RealPeer, clock, free_port
from tests.sipnet.test_loopback import until

RULES = CodecRules(codecs=parse_codec_list("(pcmu,pcma,telephone-event)"), transcoding=False)


def lacks_ipv6() -> str | None:
    """Why nothing can be bound to ::1, if nothing can."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return None
    except OSError as error:
        return f"no IPv6 on loopback: {error}"


class ServiceCase(TestCase):
    """A server, a phone and the B2BUA between them at one address."""

    timeout = 30

    async def build(self, host: str, *of_server: str) -> None:
        """Start all three; the server takes in ``of_server``."""
        self.server = RealPeer("5000", host, *of_server)
        self.addCleanup(self.server.stop)
        # Who is at a server's address is one; of IPv6 there is only one address on loopback.
        self.phone = RealPeer("1001", host.replace("0.0.1", "0.0.2"), "UDP")
        self.addCleanup(self.phone.stop)
        port = free_port(host)
        self.at = (host, port)
        settings = B2buaSettings(
            listens=tuple(SipAddress(transport=t, host=host, port=port) for t in ("UDP", "TCP")),
            servers=ServerSettings(
                addresses=(Server(host, self.server.port, "UDP"),), ipv6=":" in host
            ),
            registered=parse_dial_numbers("1000-1999"),
            phones=PhoneSettings(networks=(ip_network("127.0.0.0/8"), ip_network("::1/128"))),
            media=MediaSettings(host=host, first_port=17000, last_port=17099, rules=RULES),
        )
        plane = TwinMediaPlane(reactor, LOOP.clock, settings.media)  # type: ignore[arg-type]
        self.addCleanup(plane.shut_down)
        self.service = B2buaService(
            settings, LOOP, plane, dns=lambda: dns_from(settings.servers, reactor)
        )
        self.service.start()
        self.addCleanup(self.service.stop, 0.5)
        self.phone.register(self.at)
        await until(lambda: self.phone.answers, "registered")
        self.assertEqual(self.phone.answers[-1].status, 200)
        await until(lambda: self.server.got("REGISTER"), "registered with the server")

    def pause(self, seconds: float) -> Deferred[None]:
        """Let something happen."""
        return deferLater(clock(), seconds)

    async def take(self) -> None:
        """The phone takes the call that the server makes."""
        await until(lambda: self.phone.has(Invited), "ringing")
        self.phone.answer()
        await until(lambda: self.server.has(Established), "up")


class Ipv6Tests(ServiceCase):
    """Signalling and media over ::1."""

    async def test_call(self) -> None:
        """A call with audio both ways; nothing of IPv4 stands in any message."""
        lack(lacks_ipv6())
        await self.build("::1", "UDP", "TCP")
        usage = self.server.call("1001", self.at)
        await self.take()
        answered = self.server.last(Established).message
        description = parse(answered.body)
        connection = description.connection_of(description.media[0])
        assert connection is not None
        self.assertEqual(str(connection), "IN IP6 ::1")
        offered = parse(self.phone.last(Invited).request.body)
        self.hear(self.server, description.media[0].port, self.phone)
        await until(lambda: self.heard(self.phone), "audio of the server")
        self.hear(self.phone, offered.media[0].port, self.server)
        await until(lambda: self.heard(self.server), "audio of the phone")
        self.server.bye(usage)
        await until(lambda: self.phone.has(Ended), "over")
        for peer in (self.server, self.phone):
            for message, _ in peer.messages:
                text = message.render().decode()
                self.assertNotIn("IP4", text)
                self.assertNotIn("127.0.0.1", text)

    def hear(self, speaker: RealPeer, port: int, listener: RealPeer) -> None:
        """Speak into the B2BUA."""
        packet = HEADER.pack(0x80, 0, 1, 160, 7) + bytes([0x55] * 160)
        for _ in range(3):
            speaker.media.sendto(packet, ("::1", port))

    def heard(self, listener: RealPeer) -> bool:
        """Whether it came out at the other end."""
        try:
            while True:
                if bytes([0x55] * 160) in listener.media.recv(2000):
                    return True
        except BlockingIOError:
            return False


class LongRequestTests(ServiceCase):
    """A call with so much attached data that its INVITE does not fit into 1300 bytes."""

    HEADERS = tuple((f"X-genesys-key{n}", "x" * 200) for n in range(7))

    async def place(self) -> None:
        """The phone calls; what is attached goes on to the server."""
        usage = self.phone.call("5000", self.at, self.HEADERS)
        await until(lambda: self.server.has(Invited), "ringing", 8)
        self.server.answer()
        await until(lambda: self.phone.has(Established), "up")
        self.phone.bye(usage)
        await until(lambda: self.server.has(Ended), "over")
        self.assertEqual(len(self.server.got("INVITE")), 1)
        await until(lambda: not len(self.service.core.calls), "forgotten")

    async def test_by_tcp(self) -> None:
        """The INVITE goes by TCP, and its Via says so; the rest of the call goes on."""
        await self.build("127.0.0.1", "UDP", "TCP")
        await self.place()
        invite, hop = self.server.got("INVITE")[0]
        self.assertEqual((hop.transport, invite.via.transport), ("TCP", "TCP"))
        self.assertEqual(invite.get("X-genesys-key6"), "x" * 200)

    async def test_falls_back(self) -> None:
        """A server without TCP has it by UDP all the same."""
        await self.build("127.0.0.1", "UDP")
        await self.place()
        invite, hop = self.server.got("INVITE")[0]
        self.assertEqual((hop.transport, invite.via.transport), ("UDP", "UDP"))


class Injected(Exception):
    """Nobody has foreseen this one."""


class FaultTests(ServiceCase):
    """A fault of our own that is no call's."""

    def faulty(self, method: str) -> list[str]:
        """Have a method of the core raise the next time; a list that grows with every call."""
        real, done = getattr(self.service.core, method), list[str]()

        def act(*given: object) -> object:
            done.append(method)
            if len(done) == 1:
                raise Injected
            return real(*given)

        setattr(self.service.core, method, act)
        return done

    def pumped(self) -> float:
        """Pump with no timer set; in how many seconds one is set for by then."""
        delayed = self.service._delayed
        assert delayed is not None
        delayed.cancel()
        self.service._delayed = None
        self.service._pump()
        return self.set_for()

    def set_for(self) -> float:
        """In how many seconds the timer fires."""
        delayed = self.service._delayed
        assert delayed is not None, "no timer is set"
        return delayed.getTime() - clock().seconds()

    async def test_outputs(self) -> None:
        """What goes wrong as outputs are taken is logged, and the timer is set all the same."""
        await self.build("127.0.0.1", "UDP")
        self.faulty("take_outputs")
        self.pumped()
        self.assertEqual(len(self.flushLoggedErrors(Injected)), 1)

    async def test_next_moment(self) -> None:
        """Where the next moment cannot be told it is asked for again soon."""
        await self.build("127.0.0.1", "UDP")
        done = self.faulty("next_timeout")
        self.assertLess(self.pumped(), 0.2)
        self.assertEqual(len(self.flushLoggedErrors(Injected)), 1)
        await until(lambda: len(done) > 1, "asked again")

    async def test_subscriber(self) -> None:
        """Not even a fault that nobody can be told of keeps the timer from being set."""
        await self.build("127.0.0.1", "UDP")
        self.faulty("take_outputs")

        def hear(event: object) -> None:
            raise Injected

        self.service.subscribe(hear)
        self.assertRaises(Injected, self.pumped)
        self.service._subscribers.remove(hear)
        self.set_for()
        self.assertEqual(len(self.flushLoggedErrors(Injected)), 1)

    async def test_timers_go_on(self) -> None:
        """What goes wrong as a timer fires is logged once, and timers fire after it."""
        await self.build("127.0.0.1", "UDP")
        done = self.faulty("handle_timeout")
        usage = self.server.call("1001", self.at)
        await self.take()
        await until(lambda: len(done) > 1, "another timer")
        self.assertEqual(len(self.flushLoggedErrors(Injected)), 1)
        self.server.bye(usage)
        await until(lambda: self.phone.has(Ended), "over")
