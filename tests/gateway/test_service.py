"""The service with its gateway, over real sockets toward a SIP Server."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import TestCase

from b2bua.dial_numbers import parse_dial_numbers
from b2bua.net.location import dns_from
from b2bua.net.service import B2buaService
from b2bua.settings import (
    B2buaSettings,
    GatewaySettings,
    MediaSettings,
    ServerSettings,
    SipAddress,
    WebMediaSettings,
)
from b2bua.sip.usage_events import Ended
from b2bua.upstreams import Server
from suite.web.gateway_pages import GatewayDoor
from suite.web.site import build_gateway_root, site_of
from tests.b2bua.browsers import RULES, web_sdp
from tests.b2bua.web_plane import FakeWebPlane
from tests.gateway.stage import Answer, roap
from tests.sipnet.real_peer import LOOP, RealPeer, clock, free_port
from tests.sipnet.test_loopback import until

HOST = "127.0.0.1"


class LatePlane(FakeWebPlane):
    """Knows some candidates in the next turn of the reactor."""

    def when_gathered(self, ufrag: str, then: Any) -> None:
        clock().callLater(0.02, then, ("2 1 udp 1 192.0.2.99 5 typ relay",))


class ServiceTests(TestCase):
    """A page at a service that runs."""

    timeout = 30

    async def build(self) -> None:
        """Start a SIP Server and the service."""
        self.server = RealPeer("5000", HOST, "UDP")
        self.addCleanup(self.server.stop)
        port = free_port(HOST)
        settings = B2buaSettings(
            listens=(SipAddress(transport="UDP", host=HOST, port=port),),
            servers=ServerSettings(addresses=(Server(HOST, self.server.port, "UDP"),)),
            registered=parse_dial_numbers("1000-1999"),
            media=MediaSettings(host=HOST, rules=RULES),
            web=WebMediaSettings(addresses=(HOST,), rules=RULES),
            gateway=GatewaySettings(),
        )
        self.at = (HOST, port)
        self.plane = LatePlane()
        self.service = B2buaService(
            settings, LOOP, self.plane, dns=lambda: dns_from(settings.servers, reactor)
        )
        self.service.start()
        assert self.service.web is not None
        self.site = site_of(build_gateway_root(GatewayDoor(self.service.web.pages)), clock())

    def ask(self, method: str, path: str, body: str = "") -> StringTransport:
        """Ask on a connection of its own."""
        channel: Any = self.site.buildProtocol(None)
        # Where the SIP Server is as well: a page is none all the same.
        transport = StringTransport(peerAddress=IPv4Address("TCP", HOST, 50000))
        channel.makeConnection(transport)
        self.addCleanup(channel.setTimeout, None)
        head = f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
        channel.dataReceived((head + body).encode())
        return transport

    async def answered(self, transport: StringTransport) -> Answer:
        """The answer, when it is there."""
        await until(lambda: transport.value(), "an answer")
        return Answer(transport.value())

    async def sign_in(self) -> str:
        """Sign in."""
        answer = await self.answered(self.ask("GET", "/sign_in?1001"))
        self.assertEqual(200, answer.code)
        await until(lambda: self.server.got("REGISTER"), "registered with the server")
        return answer.text.splitlines()[0].partition("=")[2]

    async def test_call(self) -> None:
        """
        A call of the SIP Server with candidates that come late; the stop of the service hangs up,
        tells the page, unregisters it, and closes its poll.
        """
        await self.build()
        sid = await self.sign_in()
        poll = self.ask("GET", f"/wait?id={sid}")
        self.server.call("1001", self.at)
        offer = roap((await self.answered(poll)).text)
        self.assertIn("192.0.2.99", offer["sdp"])
        answer = {**offer, "messageType": "ANSWER", "sdp": web_sdp(setup="active").decode()}
        self.ask("POST", f"/message?from={sid}&to=5000", "RSMP " + json.dumps(answer))
        poll = self.ask("GET", f"/wait?id={sid}")
        self.assertEqual("OK", roap((await self.answered(poll)).text)["messageType"])
        poll = self.ask("GET", f"/wait?id={sid}")
        stopped = self.service.stop(2.0)
        self.assertEqual("BYE", (await self.answered(poll)).text)
        await stopped
        self.assertTrue(self.server.has(Ended))
        self.assertEqual(2, len(self.server.got("REGISTER")))
        self.assertEqual(set(), self.plane.open_ends)

    async def test_fault_as_outputs_are_taken(self) -> None:
        """It is logged, and the service goes on."""
        await self.build()
        self.addCleanup(self.service.stop, 0.1)
        self.patch(self.service.gateway, "take_outputs", self.fail_once(self.service.gateway))
        self.service._pump()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        await self.sign_in()

    def fail_once(self, gateway: Any) -> Callable[[], list[Any]]:
        """What gives outputs, but for the first time."""
        real, calls = gateway.take_outputs, list[int]()

        def take() -> list[Any]:
            calls.append(1)
            return real() if len(calls) > 1 else [1 // 0]

        return take

    async def test_self(self) -> None:
        """A call to self; the end of the service closes a poll that has nothing to bring."""
        await self.build()
        sid = await self.sign_in()
        offer = {"messageType": "OFFER", "sdp": web_sdp().decode(), "seq": 1}
        self.ask("POST", f"/message?from={sid}&to=self", "RSMP " + json.dumps(offer))
        poll = self.ask("GET", f"/wait?id={sid}")
        found = roap((await self.answered(poll)).text)
        self.assertEqual("ANSWER", found["messageType"])
        self.ask("POST", f"/message?from={sid}&to=self", "BYE")
        poll = self.ask("GET", f"/wait?id={sid}")
        await self.service.stop(2.0)
        self.assertTrue(poll.disconnecting)
        self.assertEqual(b"", poll.value())

    async def test_without(self) -> None:
        """Without its settings there is no gateway."""
        await self.build()
        settings = dataclasses.replace(self.service.settings, gateway=None)
        await self.service.stop(0.1)
        other = B2buaService(
            settings, LOOP, self.plane, dns=lambda: dns_from(settings.servers, reactor)
        )
        self.assertIsNone(other.web)
        await other.stop(0.1)
