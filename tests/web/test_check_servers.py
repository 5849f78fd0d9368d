"""
``webrtc-suite check`` against servers on loopback: coTURN, and some that are no TURN servers.
"""

import asyncio
import io
import os
from contextlib import redirect_stderr, redirect_stdout
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from suite import check
from suite.check_probe import Outcome, probe
from suite.check_relay import Server
from suite.check_target import parse_target
from suite.check_verdict import NO_CREDENTIAL
from suite.web.credentials import Credential
from tests.browser.coturn import SECRET, CoturnPage, coturn_page
from tests.programs import require_program
from turn.five_tuple import Transport

WONDERLAND = Credential("alice", "wonderland")


def run_check(*arguments: str, secret: str | None = SECRET) -> tuple[int, str, str]:
    """Run the command in this process and give exit code, output and messages."""
    output, said = io.StringIO(), io.StringIO()
    environment = {} if secret is None else {"TURN_SECRET": secret}
    with patch.dict(os.environ, environment), redirect_stdout(output), redirect_stderr(said):
        code = check.main(arguments)
    return code, output.getvalue(), said.getvalue()


class CoturnTests(SynchronousTestCase):
    """A relay that is not ours."""

    def setUp(self) -> None:
        """There must be a coTURN."""
        require_program("turnserver")

    def serve(self, **wishes: object) -> CoturnPage:
        """Run coTURN until the test ends."""
        context = coturn_page(**wishes)  # type: ignore[arg-type]
        relay = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return relay

    def test_works(self) -> None:
        """All three transports relay data, the last over a certificate that --ca vouches for."""
        relay = self.serve()
        code, output, said = run_check(f"127.0.0.1:{relay.port}", "--ca", str(relay.authority))
        self.assertEqual((code, said), (0, ""), output)
        for transport in ("UDP", "TCP", "TLS"):
            self.assertRegex(output, rf"\n{transport} +works +127\.0\.0\.1:\d+ .* 20 of 20 ")
        self.assertIn("NAT: No NAT", output)

    def test_certificate(self) -> None:
        """A private authority is not trusted by itself; --insecure looks behind it."""
        relay = self.serve()
        target = f"turns:127.0.0.1:{relay.tls_port}"
        code, output, _ = run_check(target)
        self.assertEqual(code, 1)
        self.assertIn("authority of the server's certificate is not known", output)
        self.assertEqual(run_check(target, "--insecure")[0], 0)

    def test_certificate_of_another_name(self) -> None:
        """A name that is not in the certificate is not accepted, whoever signed it."""
        relay = self.serve()
        target = f"turns:127.0.0.2:{relay.tls_port}"
        with patch("suite.check.resolve", return_value="127.0.0.1"):
            code, output, _ = run_check(target, "--ca", str(relay.authority))
        self.assertEqual(code, 1)
        self.assertIn("not for this IP address", output)

    def test_expired_certificate(self) -> None:
        """An expired certificate is called that."""
        relay = self.serve(days=-1)
        target = f"turns:127.0.0.1:{relay.tls_port}"
        code, output, _ = run_check(target, "--ca", str(relay.authority))
        self.assertEqual(code, 1)
        self.assertIn("expired", output)

    def test_wrong_secret_and_none(self) -> None:
        """A wrong credential and a missing one have different sentences."""
        relay = self.serve()
        target = f"turn:127.0.0.1:{relay.port}?transport=tcp"
        code, output, _ = run_check(target, secret="wrong")
        self.assertEqual(code, 1)
        self.assertIn("refused the user name and password", output)
        self.assertIn(NO_CREDENTIAL, run_check(target, secret=None)[1])

    def test_peer_denied(self) -> None:
        """A relay that does not relay to itself is no working relay."""
        relay = self.serve(arguments=("--denied-peer-ip=127.0.0.0-127.255.255.255",))
        code, output, _ = run_check(f"turn:127.0.0.1:{relay.port}?transport=udp", "--no-nat")
        self.assertEqual(code, 1)
        self.assertIn("forbids relaying to its own relay address", output)
        self.assertRegex(output, r"\nUDP +FAILS +127\.0\.0\.1:\d+")


class OtherServersTests(SynchronousTestCase):
    """Servers that are none, or that misbehave."""

    def outcome(self, answer: bytes | None, transport: Transport = Transport.TCP) -> Outcome:
        """Check a TCP server that gives ``answer`` to whatever comes; None: closes at once."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if answer is not None and await reader.read(1):
                writer.write(answer)
                await reader.read()
            writer.close()

        async def run() -> Outcome:
            listening = await asyncio.start_server(serve, "127.0.0.1", 0)
            port = listening.sockets[0].getsockname()[1]
            tls = check.tls_context(None, insecure=True)
            target = parse_target(f"127.0.0.1:{port}")
            server = Server(target.host, target.host, target.port, tls, 0.5)
            async with listening:
                report = await check.check(
                    type(target)(target.host, target.port, (transport,)), server, WONDERLAND
                )
            return report.outcomes[0]

        return asyncio.run(run())

    def test_closed_port(self) -> None:
        """Nothing there: refused, over TCP and UDP alike."""
        server = Server("127.0.0.1", "127.0.0.1", 1, check.tls_context(None, insecure=True), 0.5)
        for transport in Transport:
            outcome = asyncio.run(probe(server, transport, WONDERLAND))
            self.assertFalse(outcome.works)
            self.assertIn("refuses", outcome.verdict)

    def test_not_turn(self) -> None:
        """Whatever a server answers, the check ends with a verdict in its time limit."""
        for answer in (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            b"\x00" * 64,
            b"\xff" * 70_000,
            bytes.fromhex("0113fff0 2112a442") + bytes(12) + b"\x00\x09\xff\xff" * 3,
            None,
        ):
            outcome = self.outcome(answer)
            self.assertFalse(outcome.works)
            self.assertIn("Another service has this port", outcome.verdict)

    def test_not_tls(self) -> None:
        """A plain server on a TLS port is not mistaken for a bad certificate."""
        outcome = self.outcome(b"HTTP/1.1 400 Bad Request\r\n\r\n", Transport.TLS)
        self.assertIn("the port speaks something else", outcome.verdict)
        self.assertIn("does not answer TLS", self.outcome(b"", Transport.TLS).verdict)

    def test_not_turn_over_udp(self) -> None:
        """Strange datagrams are no answer, and are told as such, not as a silent network."""

        class Strange(asyncio.DatagramProtocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                self.transport = transport

            def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
                assert isinstance(self.transport, asyncio.DatagramTransport)
                allocated = b"\x01\x03\x00\x08" + data[4:20]
                for answer in (b"", b"\x40", allocated + bytes.fromhex("00160004 00ff0001")):
                    self.transport.sendto(answer, addr)

        async def run() -> Outcome:
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_datagram_endpoint(Strange, ("127.0.0.1", 0))
            port = transport.get_extra_info("sockname")[1]
            target = parse_target(f"turn:127.0.0.1:{port}?transport=udp")
            tls = check.tls_context(None, insecure=True)
            server = Server(target.host, target.host, target.port, tls, 0.5)
            try:
                return (await check.check(target, server, WONDERLAND, nat=False)).outcomes[0]
            finally:
                transport.close()

        outcome = asyncio.run(run())
        self.assertFalse(outcome.works)
        self.assertIn("no TURN", outcome.verdict)
