"""The transports on real sockets of the loopback interface, with real TLS."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from b2bua.net.limits import TransportLimits
from b2bua.net.listening import SipListen
from b2bua.net.opening import LocalPorts
from b2bua.net.tls import ClientTls, OwnCertificate, ServerTls
from b2bua.net.transport import EventLoop, Outgoing, SipTransports
from b2bua.sip.hop import Hop
from b2bua.sip.message import Message, Request, Response
from tests.programs import lack, require_program
from tests.sipnet.authority import Authority, address, dns
from tests.sipnet.wires import RecordingCore, request, temporary_folder

LOOP = EventLoop(reactor, reactor, reactor)  # type: ignore[arg-type]
QUICK = TransportLimits(connect_timeout=2, close_patience=0.5, retry_pause=0.05)


def until(condition: Callable[[], object], what: str, seconds: float = 5) -> Deferred[None]:
    """Fires when the condition holds."""

    async def wait() -> None:
        for _ in range(int(seconds / 0.01)):
            if condition():
                return
            await deferLater(_clock(), 0.01)
        raise AssertionError(f"not {what} after {seconds} s")

    return Deferred.fromCoroutine(wait())


def _clock() -> IReactorTime:
    return reactor  # type: ignore[return-value]


class Answering(RecordingCore):
    """Answers every request with 200."""

    def __init__(self) -> None:
        super().__init__()
        self.transports: SipTransports | None = None
        self.then = self.answer

    def answer(self, message: Message, hop: Hop) -> None:
        """Answer a request."""
        if isinstance(message, Request) and self.transports is not None:
            self.transports.send(message.response(200), hop)

    def responses(self) -> list[Response]:
        """The responses so far."""
        return [message for message, _ in self.messages if isinstance(message, Response)]


class LoopbackTests(TestCase):
    """Two of us on one machine."""

    def setUp(self) -> None:
        """Make a CA."""
        self.folder = temporary_folder(self)
        self.authority = Authority(self.folder)

    def side(
        self,
        *transports: str,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ServerTls | None = None,
        outgoing: Outgoing | None = None,
    ) -> tuple[SipTransports, Answering]:
        """Transports that listen on free ports and answer everything."""
        core = Answering()
        sides = SipTransports(
            [SipListen(transport, host, port) for transport in transports],
            LOOP,
            core,
            tls=tls,
            outgoing=outgoing,
            limits=QUICK,
        )
        core.transports = sides
        sides.start()
        self.addCleanup(self.finish, sides)
        return sides, core

    async def finish(self, sides: SipTransports) -> None:
        """Stop, and let connections end."""
        await sides.stop()
        await until(lambda: len(sides.flows) == 0, "closed")

    def hop(self, sides: SipTransports, transport: str) -> Hop:
        """The way to what is bound for a transport."""
        found = [bound for bound in sides.bound() if bound[0] == transport]
        return Hop(*found[0])

    async def round_trip(self, transport: str, server: SipTransports, **ours: object) -> Hop:
        """Ask and be answered; gives the hop that the answer came by."""
        client, core = self.side(transport, **ours)  # type: ignore[arg-type]
        hop = self.hop(server, transport)
        client.send(request(transport, sent_by=client.sent_by(hop)), hop)
        await until(lambda: core.responses() or core.failures, "answered")
        self.assertEqual([200], [response.status for response in core.responses()])
        return core.messages[0][1]

    async def test_udp(self) -> None:
        """A request and its answer over UDP."""
        server, core = self.side("UDP")
        await self.round_trip("UDP", server)
        self.assertEqual("127.0.0.1", core.messages[0][0].via.received)

    async def test_udp_over_ipv6(self) -> None:
        """The same over IPv6."""
        server, _ = self.side("UDP", host="::1")
        await self.round_trip("UDP", server, host="::1")

    async def test_tcp_over_ipv6(self) -> None:
        """An IPv6 port is for IPv6 only."""
        server, _ = self.side("TCP", host="::1")
        await self.round_trip("TCP", server, host="::1")

    async def test_closed_udp_port_fails_at_once(self) -> None:
        """The kernel's word is enough."""
        client, core = self.side("UDP")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        client.send(request(), Hop("UDP", "127.0.0.1", port))
        await until(lambda: core.failures, "told")
        self.assertEqual("port unreachable", core.failures[0][1])

    async def test_tcp_byte_by_byte(self) -> None:
        """A peer that writes one byte at a time is understood."""
        server, _ = self.side("TCP")
        hop = self.hop(server, "TCP")
        data = request("TCP").render()

        def drip() -> bytes:
            with socket.create_connection((hop.host, hop.port), 5) as peer:
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for at in range(len(data)):
                    peer.send(data[at : at + 1])
                peer.settimeout(5)
                return peer.recv(4096)

        answer = await deferToThread(drip)
        self.assertTrue(answer.startswith(b"SIP/2.0 200"))

    async def test_reset_connection_is_opened_again(self) -> None:
        """After an RST the core is told, and the next request gets through within a second."""
        client, core = self.side("TCP", outgoing=Outgoing(host="127.0.0.1"))
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        hop = Hop("TCP", *listening.getsockname()[:2])

        def reset() -> None:
            peer, _ = listening.accept()
            peer.recv(4096)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()

        client.send(request("TCP"), hop)
        await deferToThread(reset)
        await until(lambda: core.failures, "told")
        self.assertEqual("connection lost", core.failures[0][1])

        def answer() -> None:
            peer, _ = listening.accept()
            peer.recv(4096)
            peer.sendall(request("TCP", branch="z9hG4bK2").response(200).render())
            peer.close()

        client.send(request("TCP", branch="z9hG4bK2"), hop)
        await deferToThread(answer)
        await until(core.responses, "answered", 1)

    async def test_refused_connection_is_told(self) -> None:
        """Nobody listens there."""
        client, core = self.side("TCP")
        with socket.create_server(("127.0.0.1", 0)) as unused:
            port = unused.getsockname()[1]
        client.send(request("TCP"), Hop("TCP", "127.0.0.1", port))
        await until(lambda: core.failures, "told")
        self.assertEqual("connection refused", core.failures[0][1])

    async def test_connections_come_from_the_range(self) -> None:
        """A port of the range that is taken is passed over."""
        server, core = self.side("TCP")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            first = taken.getsockname()[1]
            ports = LocalPorts(first, min(first + 3, 65535))
            outgoing = Outgoing(host="127.0.0.1", ports=ports)
            await self.round_trip("TCP", server, outgoing=outgoing)
        self.assertIn(core.messages[0][1].port, range(first + 1, first + 4))

    async def test_long_request_falls_back_to_udp(self) -> None:
        """The server has no TCP: its answer comes by UDP."""
        server, _ = self.side("UDP")
        client, core = self.side("UDP")
        client.send(request(body=b"v=0\r\n" * 400), self.hop(server, "UDP"))
        await until(core.responses, "answered")
        self.assertEqual("UDP", core.messages[0][1].transport)

    async def test_long_request_uses_tcp(self) -> None:
        """The server has TCP on the same port."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        server, _ = self.side("UDP", "TCP", port=port)
        client, core = self.side("UDP")
        client.send(request(body=b"v=0\r\n" * 400), self.hop(server, "UDP"))
        await until(core.responses, "answered")
        self.assertEqual("TCP", core.messages[0][1].transport)

    # WebSocket.

    def node(self) -> list[str]:
        """How Node is started so that it has a WebSocket."""
        path = require_program("node")
        version = subprocess.run([path, "--version"], capture_output=True, check=True, text=True)
        major = int(version.stdout.lstrip("v").partition(".")[0])
        lack(None if major >= 20 else f"node {major} has no WebSocket")
        return [path] if major >= 22 else [path, "--experimental-websocket"]

    async def browse(self, *, subprotocol: str, url: str) -> list[str]:
        """Let Node connect; gives what it printed."""
        node, *before = self.node()
        script = str(Path(__file__).with_name("websocket.mjs"))
        arguments = [*before, "--no-warnings", script, url, subprotocol]
        trusted = {"NODE_EXTRA_CA_CERTS": str(self.authority.path.absolute())}
        ended = await deferToThread(
            subprocess.run,
            [node, *arguments],
            env={**os.environ, **trusted},
            capture_output=True,
            timeout=30,
            text=True,
        )
        self.assertEqual("", ended.stderr)
        return ended.stdout.splitlines()

    async def test_web_socket_of_a_browser(self) -> None:
        """Text, bytes, keep-alive and good-bye, with the client that browsers have."""
        server, core = self.side("WS")
        port = self.hop(server, "WS").port
        lines = await self.browse(subprotocol="sip", url=f"ws://127.0.0.1:{port}/ws")
        answer = 'string "SIP/2.0 200 OK"'
        self.assertEqual(["open sip", 'string ""', answer, answer, "close 1000 true"], lines)
        self.assertEqual("127.0.0.1", core.messages[0][0].via.received)

    async def test_web_socket_without_sip(self) -> None:
        """Another subprotocol is not for us."""
        server, core = self.side("WS")
        port = self.hop(server, "WS").port
        lines = await self.browse(subprotocol="chat", url=f"ws://127.0.0.1:{port}/")
        self.assertEqual("error", lines[0])
        self.assertEqual([], core.messages)

    async def test_web_socket_inside_tls(self) -> None:
        """Browsers on pages of HTTPS may open no other."""
        own = self.authority.issue(dns("localhost"))
        server, _ = self.side("WSS", tls=ServerTls(own))
        port = self.hop(server, "WSS").port
        lines = await self.browse(subprotocol="sip", url=f"wss://localhost:{port}/")
        self.assertEqual("open sip", lines[0])
        self.assertEqual("close 1000 true", lines[-1])

    # TLS.

    def calling(
        self, domain: str, trusted: Path | None = None, own: OwnCertificate | None = None
    ) -> Outgoing:
        """How a client calls a server that should be ``domain``."""
        tls = ClientTls(trusted or self.authority.path, own)
        return Outgoing(tls=tls, domain_of=lambda hop: domain)

    async def refusal(self, server: SipTransports, outgoing: Outgoing) -> str:
        """Ask a server that is not to be believed; gives what the core is told."""
        client, core = self.side("UDP", outgoing=outgoing)
        client.send(request("TLS"), self.hop(server, "TLS"))
        await until(lambda: core.failures or core.messages, "told")
        self.assertEqual([], core.messages)
        return core.failures[0][1]

    async def test_tls(self) -> None:
        """The certificate is for the domain that was asked for."""
        server, _ = self.side("TLS", tls=ServerTls(self.authority.issue(dns("pbx.example"))))
        client, core = self.side("UDP", outgoing=self.calling("pbx.example"))
        client.send(request("TLS"), self.hop(server, "TLS"))
        await until(core.responses, "answered")

    async def test_tls_to_an_address(self) -> None:
        """Without a domain the certificate must be for the address."""
        server, _ = self.side("TLS", tls=ServerTls(self.authority.issue(address("127.0.0.1"))))
        outgoing = Outgoing(tls=ClientTls(self.authority.path))
        client, core = self.side("UDP", outgoing=outgoing)
        client.send(request("TLS"), self.hop(server, "TLS"))
        await until(core.responses, "answered")

    async def test_wrong_name_is_refused(self) -> None:
        """The server never sees the request."""
        tls = ServerTls(self.authority.issue(dns("node1.example")))
        server, seen = self.side("TLS", tls=tls)
        reason = await self.refusal(server, self.calling("pbx.example"))
        self.assertEqual("certificate refused", reason)
        self.assertEqual([], seen.messages)
        self.flushLoggedErrors()

    async def test_unknown_authority_is_refused(self) -> None:
        """The right name from the wrong CA is worth nothing."""
        other = Authority(self.folder, "other CA")
        server, seen = self.side("TLS", tls=ServerTls(other.issue(dns("pbx.example"))))
        reason = await self.refusal(server, self.calling("pbx.example"))
        self.assertEqual("certificate refused", reason)
        self.assertEqual([], seen.messages)

    async def test_expired_certificate_is_refused(self) -> None:
        """Also one of the right CA."""
        tls = ServerTls(self.authority.issue(dns("pbx.example"), days=-1))
        server, _ = self.side("TLS", tls=tls)
        reason = await self.refusal(server, self.calling("pbx.example"))
        self.assertEqual("certificate refused", reason)

    async def test_client_certificate(self) -> None:
        """A server that wants one gets it; without it there is no answer."""
        own = self.authority.issue(dns("gateway.example"))
        tls = ServerTls(self.authority.issue(dns("pbx.example")), self.authority.path)
        server, seen = self.side("TLS", tls=tls)
        client, core = self.side("UDP", outgoing=self.calling("pbx.example", own=own))
        client.send(request("TLS"), self.hop(server, "TLS"))
        await until(core.responses, "answered")
        seen.messages.clear()
        reason = await self.refusal(server, self.calling("pbx.example"))
        self.assertEqual("TLS error", reason)
        self.assertEqual([], seen.messages)

    async def test_silent_server_is_given_up(self) -> None:
        """One that accepts and says nothing does not hold a request for long."""
        silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(silent.close)
        client, core = self.side("UDP", outgoing=self.calling("pbx.example"))
        client.send(request("TLS"), Hop("TLS", *silent.getsockname()[:2]))
        await until(lambda: core.failures, "told", 4)
        self.assertEqual("handshake not finished in time", core.failures[0][1])
