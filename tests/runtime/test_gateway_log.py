"""What browsers do at the gateway, as log lines and as counts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web import server
from twisted.web.resource import Resource

from b2bua import call_events as events
from b2bua.media_plane import StreamCounters, TransportEvent
from b2bua.net.service import B2buaService
from b2bua.transport_owner import TransportOwner
from suite.call_log import CallLog, TransportLog
from suite.call_metrics import CallCounts, gateway_metrics
from suite.datapath.media import TwinMediaPlane
from suite.datapath.media_ends import MediaTotals
from suite.metrics import Metrics
from suite.web.gateway_pages import GatewayDoor
from suite.web.http_trace import HttpTrace, RoapFaults
from suite.web.site import build_gateway_root, site_of
from tests.runtime.doubles import MemoryLog

OFFER = 'RSMP {"messageType": "OFFER", "sdp": "a=ice-pwd:secret", "seq": 1}'


class GatewayLogTests(SynchronousTestCase):
    """Sign-ins and transports."""

    def setUp(self) -> None:
        """Keep the lines."""
        self.log = MemoryLog()
        self.emit = CallLog(self.log)

    def test_sign_in_and_out(self) -> None:
        """Both are interaction records; the address stands before what the page chose."""
        self.emit(events.SignedIn('10"\n01', "192.0.2.7", is_anonymous=True))
        self.emit(events.SignedOut("1001", "192.0.2.7", "no-poll"))
        self.emit(events.PageGone("1001", "192.0.2.7", 1))
        self.assertEqual(
            [
                r'Int 20330 signed-in client=192.0.2.7 anonymous=yes user="10\"\n01"',
                'Int 20331 signed-out client=192.0.2.7 reason=no-poll user="1001"',
                'Int 20336 page-gone client=192.0.2.7 calls=1 user="1001"',
            ],
            self.log.lines,
        )

    def test_wrong_password(self) -> None:
        """It is told as wrong passwords of the relay and of phones are, for fail2ban."""
        self.emit(events.SignInRefused("192.0.2.7", 403, "password"))
        self.assertEqual(
            [
                "Std 20200 auth-fail proto=HTTP service=gateway client=192.0.2.7 status=403"
                ' reason="password"'
            ],
            self.log.lines,
        )

    def test_other_refusals(self) -> None:
        """Nobody is banned because the gateway is full."""
        self.emit(events.SignInRefused("192.0.2.7", 503, "full"))
        [line] = self.log.lines
        self.assertTrue(line.startswith("Int 20332 sign-in-refused client=192.0.2.7"), line)
        self.assertNotIn("auth-fail", line)

    def test_too_long(self) -> None:
        """That a call's packets were lost for their length is told in words, once for a medium."""
        for dropped in ({}, {"late": 1}, {"late": 1, "too-long": 7}):
            counters = StreamCounters(dropped=dropped)
            self.emit(events.CallMedia("c7", "phone", "video", counters))
        told = [line for line in self.log.lines if line.startswith("Std")]
        self.assertEqual(
            [
                "Std 20318 Packets longer than SRTP takes were lost: let their sender make shorter"
                " ones call=c7 leg=phone kind=video packets=7"
            ],
            told,
        )

    def test_owner(self) -> None:
        """Of one that was never connected the call, the page's address and the DN are told."""
        owners = {4: TransportOwner("c7", "1001", "192.0.2.9"), 5: TransportOwner("c8", "x y", "")}
        told = TransportLog(self.log, owners.get)
        failed = SimpleNamespace(port=36001, client=None, trouble="ICE: no way")
        for number in (4, 5, 6):
            told(TransportEvent.FAILED, number, failed)
        front, back = "port=36001 client=none", 'reason="ICE: no way"'
        self.assertEqual(
            [
                f'Std 20015 transport-failed transport=4 {front} call=c7 page=192.0.2.9 dn="1001" '
                + back,
                f'Std 20015 transport-failed transport=5 {front} call=c8 page=none dn="x y" {back}',
                f"Std 20015 transport-failed transport=6 {front} {back}",
            ],
            self.log.lines,
        )

    def test_transports(self) -> None:
        """What fails or is lost has the guide's id for ICE, and the reason."""
        told = TransportLog(self.log)
        client = ("192.0.2.7", 50000)
        told(TransportEvent.CONNECTED, 3, SimpleNamespace(port=36000, client=client, trouble=""))
        lost = SimpleNamespace(port=36000, client=client, trouble="ICE: no way to the browser")
        told(TransportEvent.LOST, 3, lost)
        failed = SimpleNamespace(port=36001, client=None, trouble="ICE: no way to the browser")
        told(TransportEvent.FAILED, 4, failed)
        self.assertEqual(
            [
                "Trc 20335 transport-connected transport=3 port=36000 client=192.0.2.7:50000",
                "Std 20015 transport-lost transport=3 port=36000 client=192.0.2.7:50000"
                ' reason="ICE: no way to the browser"',
                "Std 20015 transport-failed transport=4 port=36001 client=none"
                ' reason="ICE: no way to the browser"',
            ],
            self.log.lines,
        )


class GatewayCountTests(SynchronousTestCase):
    """What Prometheus reads."""

    def values(self, metrics: Metrics) -> dict[str, float]:
        """Every sample of ours."""
        lines = metrics.render().decode().splitlines()
        pairs = (line.rpartition(" ") for line in lines if line.startswith("sgw_"))
        return {name: float(value) for name, _, value in pairs}

    def test_sign_ins(self) -> None:
        """They are counted by outcome, and the ends of sessions by reason."""
        metrics = Metrics()
        count = CallCounts(metrics)
        count(events.SignedIn("1001", "192.0.2.7", is_anonymous=False))
        count(events.SignedIn("anon", "192.0.2.7", is_anonymous=True))
        count(events.SignInRefused("192.0.2.7", 403, "password"))
        count(events.SignedOut("1001", "192.0.2.7", "signed-out"))
        found = self.values(metrics)
        for outcome in ("dn", "anonymous", "refused-password"):
            self.assertEqual(1, found[f'sgw_gateway_sign_ins_total{{outcome="{outcome}"}}'])
        self.assertEqual(1, found['sgw_gateway_sign_outs_total{reason="signed-out"}'])

    def test_what_is_there(self) -> None:
        """Sessions, polls, messages, transports, handshakes and packets that were not authentic."""
        totals = MediaTotals()
        totals.dropped["srtp"] = 7
        plane = SimpleNamespace(
            transports=2,
            transport_events={"connected": 3, "failed": 1},
            handshakes={"connected": 3},
            free_web_ports=998,
            totals=lambda: totals,
        )
        web = SimpleNamespace(
            polls=4, received={"OFFER": 5}, refused={"too-often": 2}, sent={"ANSWER": 5}
        )
        running = SimpleNamespace(web=web, gateway=SimpleNamespace(sessions=[1, 2, 3]))
        service: list[object] = [running]
        metrics = Metrics()
        gateway_metrics(
            metrics,
            lambda: cast(B2buaService, service[0]) if service else None,
            cast(TwinMediaPlane, plane),
        )
        found = self.values(metrics)
        expected = {
            "sgw_gateway_sessions": 3,
            "sgw_http_polls_parked": 4,
            'sgw_gateway_received_total{kind="OFFER"}': 5,
            'sgw_gateway_refused_total{reason="too-often"}': 2,
            'sgw_gateway_sent_total{kind="ANSWER"}': 5,
            "sgw_ice_transports": 2,
            'sgw_ice_transport_events_total{event="failed"}': 1,
            'sgw_dtls_handshakes_total{result="connected"}': 3,
            "sgw_srtp_auth_fail_total": 7,
            "sgw_web_ports_free": 998,
        }
        self.assertEqual(expected, {name: found[name] for name in expected})
        service.clear()
        self.assertEqual(0, self.values(metrics)["sgw_gateway_sessions"])


SID = "0123456789abcdef" * 2
"""Of a session; a page that calls itself has it as its peer."""


class RoapFaultTests(SynchronousTestCase):
    """Messages that could not be read."""

    def test_faults(self) -> None:
        """They have the guide's id and the address, and a flood of them makes few records."""

        class Refused(Resource):
            isLeaf = True

            def render(self, request: server.Request) -> bytes:
                request.setResponseCode(400)
                return b"no"

        log, clock = MemoryLog(), Clock()
        door = GatewayDoor(lambda: {b"message": Refused()}, unread=RoapFaults(log, clock))
        site = site_of(build_gateway_root(door), clock)
        for _ in range(15):
            channel = site.buildProtocol(None)
            channel.makeConnection(StringTransport())
            query = f"from={SID}&to={SID}".encode()
            head = b"POST /message?%b HTTP/1.1\r\nHost: a\r\nContent-Length: 6" % query
            channel.dataReceived(head + b"\r\n\r\nsecret")
        self.assertEqual(10, len(log.lines))
        self.assertTrue(log.lines[0].startswith("Std 20013 A message could not be read client="))
        self.assertIn("status=400", log.lines[0])
        for secret in ("secret", "0123456789abcdef"):
            self.assertNotIn(secret, "".join(log.lines))


class HttpTraceTests(SynchronousTestCase):
    """What http-trace writes."""

    def ask(self, head: str, body: str = "") -> list[str]:
        """The lines about one request."""

        class Said(Resource):
            isLeaf = True

            def render(self, request: server.Request) -> bytes:
                assert request.content is not None
                return request.content.read()

        log = MemoryLog()
        clock = Clock()
        names = (b"sign_in", b"message", b"wait")
        door = GatewayDoor(lambda: {name: Said() for name in names}, HttpTrace(log, clock))
        channel = site_of(build_gateway_root(door), clock).buildProtocol(None)
        transport = StringTransport()
        channel.makeConnection(transport)
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        channel.dataReceived(f"{head} HTTP/1.1\r\nHost: a\r\n{length}\r\n{body}".encode())
        self.assertTrue(transport.value().endswith(body.encode()))
        return log.lines

    def test_message(self) -> None:
        """Who, to whom, what kind, and the answer; the gateway still gets all of the body."""
        [line] = self.ask("POST /message?from=0123456789abcdef&to=%2B49891", OFFER)
        for word in ("20333 http answered", "POST", "/message", 'to="+49891"', "status=200"):
            self.assertIn(word, line)
        self.assertIn("message=OFFER", line)

    def test_no_secrets(self) -> None:
        """Neither a password, nor a session's id, nor what a message says is written."""
        lines = self.ask("POST /sign_in", "1001:hunter2")
        lines += self.ask("GET /wait?id=0123456789abcdef")
        lines += self.ask("POST /message?from=0123456789abcdef&to=1", OFFER)
        lines += self.ask(f"POST /message?from={SID}&to={SID}", OFFER)
        lines += self.ask(f"POST /message?from={SID}&to=%30{SID[1:]}", OFFER)
        self.assertEqual(5, len(lines))
        for line in lines:
            for secret in ("hunter2", "0123456789abcdef", "ice-pwd"):
                self.assertNotIn(secret, line)
