"""
Makes the B2BUA, its media plane, and what tells of both.
"""

from __future__ import annotations

from functools import partial

from b2bua.net.location import dns_from
from b2bua.net.randomness import Randomness
from b2bua.net.service import B2buaService
from b2bua.net.transport import EventLoop
from b2bua.settings import B2buaSettings
from suite.b2bua_unit import B2buaUnit, MediaUnit, listened
from suite.call_log import CallLog
from suite.call_metrics import CallCounts, b2bua_metrics
from suite.datapath.media import TwinMediaPlane
from suite.lab.lab import Lab
from suite.lab.settings import LabSettings
from suite.lab_unit import LabUnit
from suite.log_records import LogEvent
from suite.metrics import Metrics
from suite.reactor import get_loop
from suite.service import SuiteService
from suite.unit import Unit


def build_b2bua(
    service: SuiteService, settings: B2buaSettings, metrics: Metrics
) -> tuple[list[Unit], B2buaUnit]:
    """Give the units in the order of starting, and the B2BUA among them."""
    plane = TwinMediaPlane(
        service.reactor,
        service.clocks.monotonic,
        settings.media,
        Randomness().below,
        web=settings.web,
        loop=None if settings.web is None else get_loop(),
    )
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
    b2bua_metrics(metrics, lambda: unit.service, plane)
    for line in describe(settings, plane.kind, with_pages=service.settings.web):
        service.log.standard(LogEvent.SIP, line)
    return [MediaUnit(plane), unit], unit


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
    return (
        f"SIP on {', '.join(listened(settings))}{beside if with_pages else ''}",
        f"SIP Servers: {named}; talk and hold: {'on' if settings.talk_hold else 'off'}",
        f"phones: {len(phones.users)} with passwords, {len(phones.networks)} networks without",
        f"RTP on {media.host} ports {media.first_port} to {media.last_port}, {kind}",
    )
