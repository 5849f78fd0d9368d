"""Health and metrics over HTTP, without a socket."""

from __future__ import annotations

import json

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from suite.lag import INTERVAL, LagWatch
from suite.metrics import Metrics
from suite.status import status_site
from suite.unit import Health


class Standing:
    """What the suite says of itself."""

    def __init__(self) -> None:
        self.ready = True
        self.draining = False
        self.units = {"udp": (True, Health(True)), "log": (False, Health(False, "disk full"))}

    def health(self) -> dict[str, tuple[bool, Health]]:
        return self.units


class StatusTests(SynchronousTestCase):
    """One request and one answer for each page."""

    def setUp(self) -> None:
        self.standing = Standing()
        self.lag = 0.0
        self.clock = Clock()
        self.site = status_site(
            self.standing, Metrics(), lambda: self.lag, self.clock, "/deep/metrics"
        )

    def get(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        """Ask over a connection of our own."""
        channel = self.site.buildProtocol(None)
        transport = StringTransport()
        channel.makeConnection(transport)
        request = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        channel.dataReceived(request.encode())
        head, _, body = transport.value().partition(b"\r\n\r\n")
        return int(head.split()[1]), body

    def test_ping(self) -> None:
        """/ping is the guide's: the word up."""
        self.assertEqual(self.get("/ping"), (200, b"up"))

    def test_live(self) -> None:
        """Live as long as the reactor comes round within a second."""
        self.assertEqual(self.get("/health/live")[0], 200)
        self.lag = 1.5
        self.assertEqual(self.get("/health/live")[0], 503)

    def test_ready(self) -> None:
        """Ready names each unit, how it is, and whether it matters."""
        code, body = self.get("/health/ready")
        self.assertEqual(code, 200)
        log = json.loads(body)["units"]["log"]
        self.assertEqual(log, {"ok": False, "required": False, "detail": "disk full"})

    def test_not_ready(self) -> None:
        """Not ready is 503, so that load balancers go elsewhere."""
        self.standing.ready = False
        self.standing.draining = True
        code, body = self.get("/health/ready")
        self.assertEqual(code, 503)
        self.assertTrue(json.loads(body)["draining"])

    def test_metrics_where_configured(self) -> None:
        """Metrics are at the configured path and at no other."""
        code, body = self.get("/deep/metrics")
        self.assertEqual(code, 200)
        self.assertIn(b"sgw_reactor_lag_seconds_bucket", body)
        self.assertEqual(self.get("/metrics")[0], 404)

    def test_only_questions(self) -> None:
        """Whoever sends something else than GET or HEAD is refused."""
        self.assertEqual(self.get("/ping", "POST")[0], 405)

    def tearDown(self) -> None:
        self.clock.advance(60)


class LagWatchTests(SynchronousTestCase):
    """How late the reactor is."""

    def test_it_measures_how_late_it_is_called(self) -> None:
        """The delay beyond the interval is observed, and the worst kept for a while."""
        clock, seen = Clock(), []
        watch = LagWatch(clock, seen.append)
        watch.start()
        clock.advance(INTERVAL)
        clock.advance(INTERVAL + 0.5)
        self.assertAlmostEqual(seen[0], 0)
        self.assertAlmostEqual(seen[1], 0.5)
        self.assertAlmostEqual(watch.worst, 0.5)
        clock.pump([INTERVAL] * 600)
        self.assertAlmostEqual(watch.worst, 0)
        watch.stop()
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_a_stall_counts_before_it_ends(self) -> None:
        """What is overdue counts at once, not only when the call finally comes."""

        class Stuck(Clock):
            pass

        clock = Stuck()
        watch = LagWatch(clock, lambda late: None)
        watch.start()
        clock.rightNow += 3
        self.assertAlmostEqual(watch.worst, 3 - INTERVAL)
        watch.stop()
