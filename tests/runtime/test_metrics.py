"""What Prometheus reads."""

from __future__ import annotations

import re

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from suite.build import stream_metrics
from suite.metrics import Metrics
from tests.listen.streams import Setting, TlsClient
from turn import events
from turn.data_plane import Counters
from turn.five_tuple import FiveTuple, Transport


def client(number: int, transport: Transport = Transport.UDP) -> FiveTuple:
    """One of many clients."""
    return FiveTuple(transport, (f"10.0.{number // 256}.{number % 256}", 5), ("192.0.2.1", 3478))


def one_of_each(number: int) -> list[events.Event]:
    """Every kind of event, from a user and a client of their own."""
    who, user = client(number), f"user{number}"
    return [
        events.BindingAnswered(who),
        events.BindingRefused(who, 420),
        events.ChallengeSent(who, 401),
        events.ChallengeSuppressed(who),
        events.AuthenticationFailed(who, user, "wrong password"),
        events.AllocationCreated(number, who, user, (("192.0.2.1", 50000),), 600.0),
        events.AllocationRefreshed(number, user, 600.0),
        events.PeerDenied(number, who, user, "10.0.0.5", "private"),
        events.RequestRefused(who, "Allocate", 437, "Allocation Mismatch"),
        events.DatagramIgnored("too short"),
    ]


class MetricsTests(SynchronousTestCase):
    """Names, types and the number of series."""

    def setUp(self) -> None:
        self.metrics = Metrics()

    def values(self) -> dict[str, float]:
        """Every sample by name, or name{label value}, exactly as rendered."""
        found = {}
        for line in self.metrics.render().decode().splitlines():
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                found[re.sub(r'\w+="([^"]*)"', r"\1", name)] = float(value)
        return found

    def test_coturns_names(self) -> None:
        """Counts have coTURN's exact names, without an added suffix, typed as counters."""
        for event in one_of_each(1):
            self.metrics.relay(event)
        values = self.values()
        for name in (
            "stun_binding_response",
            "stun_binding_error",
            "turn_unauthenticated_401_responses",
            "turn_unauthenticated_401_dropped_responses",
            "turn_total_allocations{UDP}",
        ):
            self.assertEqual(values[name], 1, name)
        self.assertEqual(values["stun_binding_request"], 2)
        self.assertEqual(values["turn_unauthenticated_401_requests"], 2)
        self.assertIn(b"# TYPE turn_total_traffic_rcvp counter\n", self.metrics.render())

    def test_traffic_counts_when_a_session_ends(self) -> None:
        """Traffic is added and the allocation taken off when it ends."""
        who = client(1, Transport.TLS)
        self.metrics.relay(events.AllocationCreated(1, who, "joe", (), 600.0))
        counters = Counters(1, 2, 3, 4, 5, 6, 7, 8, 9)
        self.metrics.relay(events.AllocationEnded(1, who, "joe", "expired", 1.0, counters))
        values = self.values()
        self.assertEqual(values["turn_total_allocations{TLS}"], 0)
        names = ["rcvp", "rcvb", "sentp", "sentb"]
        names += [f"peer_{name}" for name in names]
        traffic = [values[f"turn_total_traffic_{name}"] for name in names]
        self.assertEqual(traffic, [1, 2, 3, 4, 5, 6, 7, 8])
        self.assertEqual(values["turn_packet_processed"], 1 + 5)
        self.assertEqual(values["turn_packet_dropped"], 9)

    def test_series_do_not_grow_with_users(self) -> None:
        """A thousand users and clients make no more series than one."""
        for event in one_of_each(0):
            self.metrics.relay(event)
        before = len(self.values())
        for number in range(1000):
            for event in one_of_each(number):
                self.metrics.relay(event)
        self.assertEqual(len(self.values()), before)

    def test_registries_are_apart(self) -> None:
        """Two sets of metrics in one process do not collide."""
        Metrics()

    def test_readings_are_read_at_each_scrape(self) -> None:
        """A reading shows the value of the moment."""
        values = iter([1.0, 2.0])
        self.metrics.readings.gauge("sgw_x", "x", lambda: next(values))
        self.assertEqual(self.values()["sgw_x"], 1)
        self.assertEqual(self.values()["sgw_x"], 2)

    def test_streams(self) -> None:
        """TCP connections count by what became of them, also while a handshake is under way."""
        setting = Setting()
        stream_metrics(self.metrics, setting.admission)
        for first in (b"\xff", b"GET / HTTP/1.1\r\n"):
            setting.connect()[0].dataReceived(first)
        stream, wire = setting.connect()
        client = TlsClient(stream, wire)
        self.assertRaises(SSL.WantReadError, client.connection.do_handshake)
        stream.dataReceived(client.flight())
        setting.clock.advance(0)
        values = self.values()
        self.assertEqual(values["sgw_streams_accepted_total"], 3)
        self.assertEqual(values["sgw_streams_identified_total{HTTP}"], 1)
        self.assertEqual(values["sgw_streams_refused_total{unknown protocol}"], 1)
        self.assertEqual(values["sgw_streams_unauthenticated"], 2)
        self.assertEqual(values["sgw_tls_handshakes"], 1)
