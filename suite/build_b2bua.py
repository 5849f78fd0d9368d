"""
Makes the B2BUA, its media plane, and what tells of both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from b2bua.net.dtls_identity import DtlsIdentityError
from b2bua.net.location import dns_from
from b2bua.net.randomness import Randomness
from b2bua.net.service import B2buaService
from b2bua.net.transport import EventLoop
from b2bua.settings import B2buaSettings, GatewaySettings, WebMediaSettings
from b2bua.transport_owner import TransportOwner, owner_of
from suite.b2bua_unit import B2buaUnit, MediaUnit, listened
from suite.call_log import CallLog, TransportLog
from suite.call_metrics import CallCounts, b2bua_metrics, gateway_metrics
from suite.datapath.media import TwinMediaPlane
from suite.datapath.media_ends import AnyMediaPlane
from suite.datapath.media_trace import MediaTrace
from suite.lab.lab import Lab
from suite.lab.settings import LabSettings
from suite.lab_unit import LabUnit
from suite.log_records import LogEvent
from suite.metrics import Metrics
from suite.reactor import get_loop
from suite.service import SuiteService
from suite.settings import LogLevel
from suite.unit import Unit
from turn.five_tuple import joined


def build_b2bua(
    service: SuiteService, settings: B2buaSettings, metrics: Metrics
) -> tuple[list[Unit], B2buaUnit]:
    """Give the units in the order of starting, and the B2BUA among them."""
    wanted = settings.web is not None
    units: list[B2buaUnit] = []

    def owner(transport: int) -> TransportOwner | None:
        running = units[0].service
        return None if running is None else owner_of(running.core.calls, transport)

    settings, plane = make_plane(service, settings, owner)
    complaint = "browsers are not served, see the log" if wanted and not settings.web else ""
    subscribers = (CallLog(service.log), CallCounts(metrics))

    def make() -> B2buaService:
        loop = EventLoop(service.reactor, service.reactor, service.clocks.monotonic)
        made = B2buaService(
            settings,
            loop,
            plane,
            dns=partial(dns_from, settings.servers, service.reactor),
        )
        for subscriber in subscribers:
            made.subscribe(subscriber)
        return made

    unit = B2buaUnit(settings, make)
    units.append(unit)
    b2bua_metrics(metrics, lambda: unit.service, plane)
    if settings.web is not None:
        gateway_metrics(metrics, lambda: unit.service, plane)
    for line in describe(settings, plane.kind, with_pages=service.settings.web):
        service.log.standard(LogEvent.SIP, line)
    return [MediaUnit(plane, complaint), unit], unit


def make_plane(
    service: SuiteService,
    settings: B2buaSettings,
    owner: Callable[[int], TransportOwner | None] = lambda transport: None,
) -> tuple[B2buaSettings, AnyMediaPlane]:
    """
    Make the media plane, and give the settings that it can serve. ``owner``: see TransportLog.

    What keeps browsers from being served keeps nobody else: phones call, and the relay relays.
    Raises DataPlaneUnavailable.
    """
    log = service.log
    make = _way_of_packets(service)

    def plane(web: WebMediaSettings | None) -> AnyMediaPlane:
        return make(
            service.clocks.monotonic,
            settings.media,
            Randomness().below,
            web=web,
            loop=None if web is None else get_loop(),
            trace=_media_trace(service, settings.media.trace_level),
            tell_of=TransportLog(log, owner),
        )

    try:
        return settings, plane(settings.web)
    except (DtlsIdentityError, OSError, RuntimeError) as error:
        log.standard(LogEvent.ICE, f"Browsers are not served, they can have no media: {error}")
        return replace(settings, web=None, gateway=None), plane(None)


def _way_of_packets(service: SuiteService) -> Callable[..., AnyMediaPlane]:
    """Who moves the packets: C, if it is here and can encrypt; else Python. See MediaEnds."""
    core = service.native_core
    if core is not None:
        from suite.datapath.native_media import NativeMediaPlane
        from suite.datapath.native_srtp import missing_reason

        missing = missing_reason()
        if not missing:
            return partial(NativeMediaPlane, core)
        service.log.standard(LogEvent.SIP, f"Media are moved in pure Python: {missing}")
    return partial(TwinMediaPlane, service.reactor)


def _media_trace(service: SuiteService, level: int) -> MediaTrace:
    log = service.log
    return MediaTrace(
        level,
        lambda text: log.write(LogLevel.DEBUG, LogEvent.MEDIA_TRACE, text),
        lambda: log.enabled(LogLevel.DEBUG),
        service.clocks.monotonic.seconds,
    )


def build_lab(service: SuiteService, settings: LabSettings) -> LabUnit:
    """Make the lab's unit. It starts before the B2BUA, which asks its name server."""

    def make() -> Lab:
        loop = EventLoop(service.reactor, service.reactor, service.clocks.monotonic)
        return Lab(settings, loop, service.reactor)

    return LabUnit(make)


def describe(settings: B2buaSettings, kind: str, *, with_pages: bool = False) -> tuple[str, ...]:
    """What the start log says of the B2BUA."""
    servers = settings.servers
    named = servers.srv_name or ", ".join(str(server) for server in servers.addresses)
    phones = settings.phones
    media = settings.media
    beside = f"; over WebSocket where the pages are, at {settings.web_socket_path}"
    lines: tuple[str, ...] = (
        f"SIP on {', '.join(listened(settings))}{beside if with_pages else ''}",
        f"SIP Servers: {named}; talk and hold: {'on' if settings.talk_hold else 'off'}",
        f"phones: {len(phones.users)} with passwords, {len(phones.networks)} networks without",
        f"RTP on {media.host} ports {media.first_port} to {media.last_port}, {kind}",
    )
    if settings.web is not None:
        lines += (describe_ice(settings.web),)
    if settings.gateway is not None:
        lines += (describe_gateway(settings, settings.gateway),)
    return lines


def describe_ice(web: WebMediaSettings) -> str:
    """What the start log says of browsers' media."""
    hosts = [
        f"{host} (outside {web.external[host]})" if host in web.external else host
        for host in web.addresses
    ]
    helpers = "; STUN " + joined(web.stun_server) if web.stun_server else ""
    if web.turn_server is not None:
        server = web.turn_server
        over = "TCP" if server.over_tcp else "UDP"
        helpers += f"; TURN {joined((server.host, server.port))} over {over}"
    keys = "DTLS" if web.dtls.enabled else "SDES only"
    if web.dtls.enabled and web.dtls.accepts_sdes:
        keys += ", SDES where a browser offers nothing else"
    ports = f"ports {web.first_port} to {web.last_port}"
    return f"ICE on {', '.join(hosts)} {ports}{helpers}; keys by {keys}"


def describe_gateway(settings: B2buaSettings, gateway: GatewaySettings) -> str:
    """What the start log says of who may sign in."""
    who = "DNs and anonymous users" if gateway.allow_anonymous else "DNs"
    origins = settings.allowed_origins
    where = f"pages of {len(origins)} patterns" if origins else "pages of every site"
    networks = gateway.networks
    within = f", from {len(networks)} networks" if networks else ""
    proxies = f"; {len(gateway.proxies)} networks of proxies" if gateway.proxies else ""
    return f"gateway: {who} sign in, on {where}{within}{proxies}"
