"""
What the B2BUA tells about itself, as counts for Prometheus.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from prometheus_client import Histogram

from b2bua import call_events as events
from b2bua.net.service import B2buaService
from b2bua.net.web import WebInterface
from b2bua.upstreams import State
from suite.datapath.media_ends import AnyMediaPlane
from suite.metrics import Metrics

_SETUP_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 180.0)

Service = Callable[[], B2buaService | None]


class CallCounts:
    """A subscriber of the B2BUA's events."""

    def __init__(self, metrics: Metrics) -> None:
        self._ended: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._failovers: Counter[str] = Counter()
        self._sign_ins: Counter[str] = Counter()
        self._sign_outs: Counter[str] = Counter()
        self._started = 0
        self._resent = 0
        self._setup = Histogram(
            "sgw_call_setup_seconds",
            "From a call's INVITE to its answer",
            buckets=_SETUP_BUCKETS,
            registry=metrics.registry,
        )
        readings = metrics.readings
        readings.counter("sgw_calls_started", "Calls with two legs", lambda: self._started)
        readings.counter(
            "sgw_calls_resent", "INVITEs sent to another SIP Server", lambda: self._resent
        )
        readings.counters("sgw_calls_ended", "Calls by what ended them", "cause", self._of_ended)
        readings.counters(
            "sgw_calls_refused", "INVITEs that made no call", "reason", lambda: self._refused
        )
        readings.counters(
            "sgw_sip_failovers", "Changes of the SIP Server", "reason", lambda: self._failovers
        )

        readings.counters(
            "sgw_gateway_sign_ins", "Sign-ins of browsers", "outcome", lambda: self._sign_ins
        )
        readings.counters(
            "sgw_gateway_sign_outs", "Ends of browsers' sessions", "reason", self._of_sign_outs
        )

    def __call__(self, event: events.Event) -> None:
        """Count the event."""
        if isinstance(event, events.CallStarted):
            self._started += 1
        elif isinstance(event, events.CallAnswered):
            self._setup.observe(event.after)
        elif isinstance(event, events.CallEnded):
            self._ended[event.cause] += 1
        elif isinstance(event, events.CallResent):
            self._resent += 1
        elif isinstance(event, events.CallRefused):
            self._refused[event.reason] += 1
        elif isinstance(event, events.ServerChanged):
            self._failovers[event.reason] += 1
        elif isinstance(event, events.SignedIn):
            self._sign_ins["anonymous" if event.is_anonymous else "dn"] += 1
        elif isinstance(event, events.SignInRefused):
            self._sign_ins[f"refused-{event.reason}"] += 1
        elif isinstance(event, events.SignedOut):
            self._sign_outs[event.reason] += 1

    def _of_sign_outs(self) -> Mapping[str, float]:
        return self._sign_outs

    def _of_ended(self) -> Mapping[str, float]:
        return self._ended


def b2bua_metrics(metrics: Metrics, service: Service, plane: AnyMediaPlane) -> None:
    """Show how the B2BUA is; all is zero while it does not run."""
    readings = metrics.readings

    def of(read: Callable[[B2buaService], float]) -> Callable[[], float]:
        def value() -> float:
            running = service()
            return 0.0 if running is None else read(running)

        return value

    def several(
        read: Callable[[B2buaService], Mapping[str, float]],
    ) -> Callable[[], Mapping[str, float]]:
        def values() -> Mapping[str, float]:
            running = service()
            return {} if running is None else read(running)

        return values

    readings.gauge("sgw_calls_active", "Calls", of(lambda s: len(s.core.calls)))
    readings.gauge(
        "sgw_sip_registered_dns",
        "DNs bound at SIP Servers",
        of(lambda s: s.core.servers.registered),
    )
    readings.gauge(
        "sgw_sip_known_dns", "DNs that are signed in", of(lambda s: s.core.servers.known)
    )
    readings.gauge("sgw_sip_phones", "Contacts of phones", of(lambda s: len(s.core.registrar)))
    readings.gauge(
        "sgw_sip_transactions", "SIP transactions", of(lambda s: len(s.core.agent.table))
    )
    readings.gauge(
        "sgw_sip_servers_up",
        "Whether a SIP Server is in use",
        of(lambda s: float(s.core.servers.state is State.ACTIVE)),
    )
    readings.gauges(
        "sgw_sip_server_active",
        "Which SIP Server is in use",
        "target",
        several(_active),
    )
    readings.counters(
        "sgw_sip_received",
        "SIP messages",
        "transport",
        several(lambda s: s.transports.totals.received),
    )
    readings.counters(
        "sgw_sip_sent", "SIP messages", "transport", several(lambda s: s.transports.totals.sent)
    )
    readings.counters(
        "sgw_sip_malformed",
        "SIP messages that cannot be read",
        "reason",
        several(lambda s: s.transports.totals.malformed),
    )
    readings.counters(
        "sgw_sip_gate_answered",
        "Requests of strangers that were answered without state",
        "reason",
        several(lambda s: s.core.gate.totals.answered),
    )
    readings.counters(
        "sgw_sip_gate_dropped",
        "Requests of strangers that were not answered",
        "reason",
        several(lambda s: s.core.gate.totals.dropped),
    )
    readings.counters(
        "sgw_media_packets", "RTP packets", "direction", lambda: plane.totals().packets
    )
    readings.counters(
        "sgw_media_dropped",
        "RTP packets that went nowhere",
        "reason",
        lambda: plane.totals().dropped,
    )
    readings.gauge(
        "sgw_media_pairs_free", "Pairs of RTP ports that nobody holds", lambda: plane.free_pairs
    )


def gateway_metrics(metrics: Metrics, service: Service, plane: AnyMediaPlane) -> None:
    """Show how browsers fare; all is zero while nothing runs."""
    readings = metrics.readings

    def sessions() -> float:
        running = service()
        return 0.0 if running is None or running.gateway is None else len(running.gateway.sessions)

    def polls() -> float:
        running = service()
        return 0.0 if running is None or running.web is None else running.web.polls

    readings.gauge("sgw_gateway_sessions", "Browsers that are signed in", sessions)
    readings.gauge("sgw_http_polls_parked", "Requests for messages that are held", polls)

    def letters(read: Callable[[WebInterface], Mapping[str, int]]) -> Mapping[str, float]:
        running = service()
        return {} if running is None or running.web is None else read(running.web)

    readings.counters(
        "sgw_gateway_received",
        "Messages of browsers",
        "kind",
        lambda: letters(lambda web: web.received),
    )
    readings.counters(
        "sgw_gateway_refused",
        "Messages of browsers that were not taken",
        "reason",
        lambda: letters(lambda web: web.refused),
    )
    readings.counters(
        "sgw_gateway_sent",
        "Messages to browsers",
        "kind",
        lambda: letters(lambda web: web.sent),
    )
    _transport_metrics(metrics, plane)


def _transport_metrics(metrics: Metrics, plane: AnyMediaPlane) -> None:
    readings = metrics.readings
    readings.gauge("sgw_ice_transports", "Transports of browsers", lambda: plane.transports)
    readings.counters(
        "sgw_ice_transport_events",
        "What became of transports of browsers",
        "event",
        lambda: plane.transport_events,
    )
    readings.counters("sgw_dtls_handshakes", "DTLS handshakes", "result", lambda: plane.handshakes)
    readings.counter(
        "sgw_srtp_auth_fail",
        "SRTP and SRTCP packets that were not authentic",
        lambda: plane.totals().dropped["srtp"],
    )
    readings.gauge(
        "sgw_web_ports_free",
        "Ports of browsers' media that nobody holds",
        lambda: plane.free_web_ports,
    )


def _active(service: B2buaService) -> Mapping[str, float]:
    states = service.core.servers.states(service.now())
    return {state.server: float(state.is_active) for state in states}
