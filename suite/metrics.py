"""
Counts for Prometheus: coTURN's names where coTURN has the figure, ``sgw_`` before our own.

No label carries a user, a client or anything else that grows with use: the number of series is
known when the process starts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import cast

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from turn import events
from turn.data_plane import Counters
from turn.five_tuple import Transport

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_LAG_BUCKETS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_TRAFFIC = {
    "received_packets": ("rcvp", "received packets"),
    "received_bytes": ("rcvb", "received bytes"),
    "sent_packets": ("sentp", "sent packets"),
    "sent_bytes": ("sentb", "sent bytes"),
    "peer_received_packets": ("peer_rcvp", "packets received from peers"),
    "peer_received_bytes": ("peer_rcvb", "bytes received from peers"),
    "peer_sent_packets": ("peer_sentp", "packets sent to peers"),
    "peer_sent_bytes": ("peer_sentb", "bytes sent to peers"),
}
_PACKETS = tuple(name for name in _TRAFFIC if name.endswith("_packets"))

# prometheus_client appends _total to the name of every counter; coTURN's names have none, so
# they are rendered untyped and get their type back here.
_UNTYPED = re.compile(rb"^(# TYPE \S+ )untyped$", re.MULTILINE)

Source = Callable[[], float]
Sources = Callable[[], Mapping[str, float]]


class RelayCounts(Collector):
    """A subscriber of ``turn.events`` that Prometheus can read."""

    def __init__(self) -> None:
        self._traffic = Counters()
        self._allocations: dict[Transport, int] = dict.fromkeys(Transport, 0)
        self._counts = dict.fromkeys(_COUNTS, 0)
        self._refused = 0
        self._denied = 0
        self._failed = 0
        self._ignored: dict[str, int] = {}
        self._takers = cast(
            "dict[type[object], Callable[[object], None]]",
            {
                events.BindingAnswered: self._binding_answered,
                events.BindingRefused: self._binding_refused,
                events.ChallengeSent: self._challenge_sent,
                events.ChallengeSuppressed: self._challenge_suppressed,
                events.AllocationCreated: self._allocation_created,
                events.AllocationEnded: self._allocation_ended,
                events.AuthenticationFailed: self._authentication_failed,
                events.PeerDenied: self._peer_denied,
                events.RequestRefused: self._request_refused,
                events.DatagramIgnored: self._datagram_ignored,
            },
        )

    def __call__(self, event: events.Event) -> None:
        """Count the event."""
        taker = self._takers.get(type(event))
        if taker is not None:
            taker(event)

    def collect(self) -> Iterable[Metric]:
        """Give all counts at this moment."""
        yield from self._coturn()
        refused = CounterMetricFamily("sgw_turn_requests_refused", "Requests answered by an error")
        refused.add_metric([], self._refused)
        denied = CounterMetricFamily("sgw_turn_peers_denied", "Peers that the rules forbade")
        denied.add_metric([], self._denied)
        failed = CounterMetricFamily("sgw_turn_auth_failed", "Requests with wrong credentials")
        failed.add_metric([], self._failed)
        ignored = CounterMetricFamily(
            "sgw_turn_datagrams_ignored", "Datagrams without an answer", labels=["reason"]
        )
        for reason, count in self._ignored.items():
            ignored.add_metric([reason], count)
        yield from (refused, denied, failed, ignored)

    def _coturn(self) -> Iterable[Metric]:
        allocations = GaugeMetricFamily(
            "turn_total_allocations", "Represents current allocations number", labels=["type"]
        )
        for transport, number in self._allocations.items():
            allocations.add_metric([transport.value], number)
        yield allocations
        for name, (short, words) in _TRAFFIC.items():
            yield _bare(
                f"turn_total_traffic_{short}",
                f"Represents total finished sessions: {words}",
                getattr(self._traffic, name),
            )
        for name, count in self._counts.items():
            yield _bare(name, _COUNTS[name], count)

    def _count(self, *names: str) -> None:
        for name in names:
            self._counts[name] += 1

    def _binding_answered(self, _: events.BindingAnswered) -> None:
        self._count("stun_binding_request", "stun_binding_response", "turn_packet_processed")

    def _binding_refused(self, _: events.BindingRefused) -> None:
        self._count("stun_binding_request", "stun_binding_error", "turn_packet_processed")

    def _challenge_sent(self, event: events.ChallengeSent) -> None:
        self._count("turn_packet_processed")
        if event.code == 401:
            self._count("turn_unauthenticated_401_requests", "turn_unauthenticated_401_responses")

    def _challenge_suppressed(self, _: events.ChallengeSuppressed) -> None:
        self._count(
            "turn_unauthenticated_401_requests",
            "turn_unauthenticated_401_dropped_responses",
            "turn_packet_dropped",
        )

    def _allocation_created(self, event: events.AllocationCreated) -> None:
        self._allocations[event.client.transport] += 1

    def _allocation_ended(self, event: events.AllocationEnded) -> None:
        self._allocations[event.client.transport] -= 1
        for field in fields(Counters):
            total = getattr(self._traffic, field.name) + getattr(event.counters, field.name)
            setattr(self._traffic, field.name, total)
        moved = sum(getattr(event.counters, name) for name in _PACKETS if "received" in name)
        self._counts["turn_packet_processed"] += moved
        self._counts["turn_packet_dropped"] += event.counters.dropped_packets

    def _authentication_failed(self, _: events.AuthenticationFailed) -> None:
        self._failed += 1

    def _peer_denied(self, _: events.PeerDenied) -> None:
        self._denied += 1

    def _request_refused(self, _: events.RequestRefused) -> None:
        self._refused += 1

    def _datagram_ignored(self, event: events.DatagramIgnored) -> None:
        self._ignored[event.reason] = self._ignored.get(event.reason, 0) + 1
        self._count("turn_packet_dropped")


_COUNTS = {
    "stun_binding_request": "Incoming STUN Binding requests",
    "stun_binding_response": "Outgoing STUN Binding responses",
    "stun_binding_error": "STUN Binding errors",
    "turn_packet_processed": "Messages answered, and packets of finished sessions",
    "turn_packet_dropped": "Datagrams ignored, and packets that finished sessions dropped",
    "turn_unauthenticated_401_requests": "Requests without credentials",
    "turn_unauthenticated_401_responses": "Requests without credentials that were answered",
    "turn_unauthenticated_401_dropped_responses": "Requests without credentials not answered",
}


class Readings(Collector):
    """Figures that other parts keep and that are read when Prometheus asks."""

    def __init__(self) -> None:
        self._metrics: list[Callable[[], Metric]] = []

    def gauge(self, name: str, words: str, read: Source) -> None:
        """Show what ``read`` returns, now and again."""
        self._metrics.append(lambda: GaugeMetricFamily(name, words, value=read()))

    def counter(self, name: str, words: str, read: Source) -> None:
        """Show what ``read`` returns; it only ever grows."""
        self._metrics.append(lambda: CounterMetricFamily(name, words, value=read()))

    def gauges(self, name: str, words: str, label: str, read: Sources) -> None:
        """Show several values that differ by a label from a fixed set."""
        self._several(lambda: GaugeMetricFamily(name, words, labels=[label]), read)

    def counters(self, name: str, words: str, label: str, read: Sources) -> None:
        """Show several values that only ever grow, told apart by a label from a fixed set."""
        self._several(lambda: CounterMetricFamily(name, words, labels=[label]), read)

    def collect(self) -> Iterable[Metric]:
        """Read everything."""
        return [metric() for metric in self._metrics]

    def _several(
        self, make: Callable[[], GaugeMetricFamily | CounterMetricFamily], read: Sources
    ) -> None:
        def family() -> Metric:
            metric = make()
            for value, number in read().items():
                metric.add_metric([value], number)
            return metric

        self._metrics.append(family)


class Metrics:
    """All metrics of the process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.relay = RelayCounts()
        self.readings = Readings()
        self.lag = Histogram(
            "sgw_reactor_lag_seconds",
            "How much later than asked the reactor calls back",
            buckets=_LAG_BUCKETS,
            registry=self.registry,
        )
        self.registry.register(self.relay)
        self.registry.register(self.readings)
        ProcessCollector(registry=self.registry)

    def render(self) -> bytes:
        """Everything in Prometheus' text format."""
        return _UNTYPED.sub(rb"\1counter", generate_latest(self.registry))


def _bare(name: str, words: str, value: float) -> Metric:
    metric = Metric(name, words, "unknown")
    metric.add_sample(name, {}, value)
    return metric
