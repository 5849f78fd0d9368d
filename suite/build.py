"""
Makes the real parts of the suite: data plane, relay, listeners, pages, certificates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from twisted.internet.base import ReactorBase, ThreadedResolver
from twisted.internet.interfaces import IProtocol
from twisted.web.server import Request

from b2bua.net.web_access import Access
from b2bua.settings import B2buaSettings
from suite.admission import Admission, ListenLimits
from suite.b2bua_unit import B2buaUnit
from suite.build_b2bua import build_b2bua, build_lab
from suite.call_snapshot import CallSnapshots
from suite.composition import Composition, Parts, compose
from suite.data_planes import RelayPlane, relay_plane, stream_maker
from suite.event_log import EventLog
from suite.incoming import WebSip
from suite.listen import StreamListener
from suite.log_records import LogEvent
from suite.machine import local_addresses
from suite.metrics import Metrics
from suite.service import SuiteService
from suite.settings import TcpListen
from suite.shared_contexts import SharedContexts
from suite.web.credentials import PAGE_ID, session_id
from suite.web.gateway_pages import GatewayDoor
from suite.web.http_trace import HttpTrace, RoapFaults
from suite.web.ice_servers import IceServers, Offer, ice_servers
from suite.web.lab import LabWeb
from suite.web.site import LabPages, build_gateway_root, build_site, site_of
from turn.access import allow_line
from turn.data_plane import DataPlane
from turn.events import Event, Subscriber
from turn.net.external_address import ExternalAddressFinder
from turn.net.service import TurnService
from turn.net.stream import StreamLimits
from turn.net.userdb import UserDatabase
from turn.net.userlists import DatabaseLists
from turn.settings import PeerProfile, TurnSettings


def build(service: SuiteService) -> Composition:
    """Make the parts that the service's settings ask for, and its units of them."""
    metrics = Metrics()
    parts = Parts()
    settings = service.settings
    relay, snapshots, sip, gateway = None, None, None, None
    if settings.turn is not None:
        plane = relay_plane(service, _not_yet)
        relay = _relay(service, settings.turn, plane, _both(metrics.relay, service))
        plane.control = relay.control
        parts.plane, parts.relay = plane, relay
        for line in describe_relay(settings.turn, service.data_plane.words):
            service.log.standard(LogEvent.RELAY, line)
        shared = settings.turn.shared_ports is not None
        _relay_metrics(metrics, plane, relay, shared=shared)
    if settings.b2bua is not None:
        parts.b2bua, unit = build_b2bua(service, settings.b2bua, metrics)
        snapshots = CallSnapshots(lambda: unit.service)
        gateway = _door(service, settings.b2bua, unit)
        sip = WebSip(settings.b2bua.web_socket_path.encode("ascii"), unit.accept)
    if settings.lab is not None:
        lab = build_lab(service, settings.lab)
        parts.b2bua = [lab, *parts.b2bua]
        parts.lab = LabWeb(lab, snapshots)
    if settings.tcp:
        contexts = SharedContexts(service)
        admission = Admission(ListenLimits.of(settings), service.clocks.monotonic)
        parts.stream = _streams(service, relay, contexts, admission, parts.lab, sip, gateway)
        stream_metrics(metrics, admission)
        if settings.tls is not None or settings.https is not None:
            parts.certificates = contexts
            parts.certificate_watch = contexts.watch()
    return compose(settings, parts, metrics, service.log, service.clocks, service.reactor)


def _relay(
    service: SuiteService, turn: TurnSettings, plane: RelayPlane, emit: Subscriber
) -> TurnService:
    settings, clock, wall = service.settings, service.clocks.monotonic, service.clocks.wall
    database = None
    if turn.credentials.database:
        source = UserDatabase(turn.credentials.database, turn.realm, service.reactor)
        database = DatabaseLists(source, clock, wall)
    listening = [*(u.address for u in settings.udp), *(t.address for t in settings.tcp)]
    limits = StreamLimits(
        frame_timeout=settings.frame_timeout,
        unauthenticated_timeout=settings.unauthenticated_timeout,
    )
    return TurnService(
        turn,
        plane,
        listening,
        clock,
        wall,
        emit,
        limits=limits,
        database=database,
        finder=_finder(service, turn),
        machine=local_addresses(),
        make_stream=stream_maker(service, limits),
    )


def _finder(service: SuiteService, turn: TurnSettings) -> ExternalAddressFinder | None:
    if not turn.external_auto or turn.external_stun_server is None:
        return None
    local = turn.relay_addresses[0] if turn.relay_addresses else ""
    resolver = ThreadedResolver(cast(ReactorBase, service.reactor))
    clock = service.clocks.monotonic
    server = turn.external_stun_server
    return ExternalAddressFinder(service.reactor, clock, resolver, server, local)


def _streams(
    service: SuiteService,
    relay: TurnService | None,
    contexts: SharedContexts,
    admission: Admission,
    lab: LabPages | None,
    sip: WebSip | None,
    gateway: GatewayDoor | None,
) -> Callable[[TcpListen], StreamListener]:
    settings, clock = service.settings, service.clocks.monotonic
    site = None
    if settings.web:
        site = build_site(_offer(service, relay), clock, lab=lab, gateway=gateway)
    elif gateway is not None:
        offer = _offer(service, relay) if relay else None
        site = site_of(build_gateway_root(gateway, offer), clock)

    def channel(_: bool) -> IProtocol:
        protocol = None if site is None else site.buildProtocol(None)
        if protocol is None:
            raise AssertionError("the site makes a channel for everybody")
        return cast(IProtocol, protocol)

    def listener(listen: TcpListen) -> StreamListener:
        return StreamListener(
            listen,
            turn=relay.stream_client if relay else None,
            web=channel if site else None,
            tls=contexts.get(listen) if listen.tls else None,
            clock=clock,
            limits=admission,
            reactor=service.reactor,
            sip=sip,
        )

    return listener


def _door(service: SuiteService, settings: B2buaSettings, unit: B2buaUnit) -> GatewayDoor | None:
    if settings.gateway is None:
        return None
    trace = HttpTrace(service.log, service.clocks.monotonic) if settings.gateway.trace else None

    def relay_user(request: Request) -> str | None:
        session = unit.session_of(request)
        return None if session is None else session_id(session)

    unread = RoapFaults(service.log, service.clocks.monotonic)
    access = Access(settings.gateway, settings.allowed_origins)
    return GatewayDoor(unit.pages, trace, unread, relay_user, access)


def _offer(service: SuiteService, relay: TurnService | None) -> Offer:
    secret = relay.secret if relay else ""

    def offer(host: str, user_id: str = PAGE_ID) -> IceServers:
        # By the settings of this moment: a reload may have brought another secret.
        return ice_servers(service.settings, service.clocks.wall, secret)(host, user_id)

    return offer


def describe_relay(turn: TurnSettings, kind: str) -> tuple[str, ...]:
    """What the start log says of the relay: who moves its packets and who may be a peer."""
    peers = turn.peers
    first, last = turn.relay_ports
    own = f"relays of this server reach each other on ports {first} to {last}"
    if peers.profile is PeerProfile.COTURN:
        meaning = "coTURN's rules: private networks are open"
    else:
        meaning = "addresses that are not routable on the Internet are denied"
    opened = ", ".join(f"{host} ports {first} to {last}" for host, first, last in peers.open_ports)
    if opened:
        own += f"; browsers' media are open at {opened}"
    listed = f"{len(peers.allowed)} allowed and {len(peers.denied)} denied ranges besides"
    lines = (
        f"data plane: {kind}",
        f"peer rules: profile {peers.profile.value} ({meaning}), {listed}; {own}",
    )
    if turn.shared_ports is None:
        return lines
    return (
        *lines,
        f"relay ports {first} to {last} are shared by all allocations (multiplex-peer), other than "
        "RFC 8656 has it: a peer that two allocations talk to sees the second come from another of "
        "these ports than its relayed address has, and who uses no ICE may not be heard",
    )


def stream_metrics(metrics: Metrics, admission: Admission) -> None:
    """Show what the TCP listeners let in, what they made of it and what they turned away."""
    readings = metrics.readings
    readings.counter("sgw_streams_accepted", "TCP connections", lambda: admission.accepted)
    readings.counters(
        "sgw_streams_identified",
        "TCP connections by what they carry",
        "protocol",
        lambda: admission.identified,
    )
    readings.counters(
        "sgw_streams_refused", "TCP connections closed", "reason", lambda: admission.refused
    )
    readings.gauge(
        "sgw_streams_unauthenticated",
        "TCP connections whose clients have not authenticated",
        lambda: admission.strangers,
    )
    readings.gauge("sgw_tls_handshakes", "TLS handshakes under way", lambda: admission.handshakes)


def _relay_metrics(
    metrics: Metrics, plane: RelayPlane, relay: TurnService, *, shared: bool
) -> None:
    readings, streams = metrics.readings, relay.stream_totals
    readings.counter(
        "sgw_turn_stream_media_dropped",
        "Frames that a client over TCP or TLS was too slow for",
        lambda: streams.media_dropped,
    )
    readings.counters(
        "sgw_turn_streams_closed",
        "Clients over TCP or TLS that are gone",
        "reason",
        lambda: streams.closed,
    )
    readings.gauges(
        "sgw_data_plane",
        "Which data plane moves the relay's packets",
        "kind",
        lambda: {plane.kind: 1.0},
    )
    readings.counter(
        "sgw_udp_budget_exhausted",
        "Wake-ups that left packets for the next one",
        lambda: plane.budget_exhausted,
    )
    readings.counter(
        "sgw_datagrams_unknown", "Datagrams that were nothing we know", lambda: plane.ignored
    )
    readings.counter(
        "sgw_datagrams_unsent", "Datagrams that the kernel refused", lambda: plane.unsent
    )
    readings.gauges(
        "sgw_ports_free",
        "Ports that nobody holds",
        "range",
        lambda: {} if shared else {"relay": float(relay.free_ports)},
    )
    if shared:
        shared_metrics(metrics, plane)


def shared_metrics(metrics: Metrics, plane: DataPlane) -> None:
    """Show what shared relay ports hold and what they dropped."""
    readings = metrics.readings
    readings.gauge(
        "sgw_turn_shared_pairs",
        "Peers on shared relay ports that belong to an allocation",
        lambda: plane.shared_totals().pairs,
    )
    readings.gauge(
        "sgw_turn_shared_links",
        "Pairs of allocations that reach each other on shared relay ports",
        lambda: plane.shared_totals().links,
    )
    readings.counter(
        "sgw_turn_shared_unclaimed",
        "Packets on shared relay ports that were nobody's",
        lambda: plane.shared_totals().unclaimed,
    )
    readings.counter(
        "sgw_turn_shared_refused",
        "Peers for which no shared relay port was free",
        lambda: plane.shared_totals().refused,
    )


def _both(count: Subscriber, service: SuiteService) -> Subscriber:
    write = EventLog(service.log, allow_line)

    def emit(event: Event) -> None:
        count(event)
        write(event)

    return emit


def _not_yet(message: bytes, path: object) -> None:
    raise AssertionError("the relay is attached before the first listener is open")
