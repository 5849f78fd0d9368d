"""
Which units there are, in which order, made of the settings.

The parts that other packages bring come through ``Parts``; everything else is made here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from twisted.internet.interfaces import IReactorTCP

from suite.announce import Opened
from suite.b2bua_unit import B2buaUnit
from suite.clock import Clocks
from suite.lag import LagWatch
from suite.logs import Log
from suite.metrics import Metrics
from suite.parts import Certificates, Plane, Relay, Stream, Watch
from suite.settings import SuiteSettings, TcpListen
from suite.status import status_site
from suite.supervisor import Supervisor
from suite.unit import Health, Unit
from suite.units import (
    Listening,
    LogUnit,
    NotOpened,
    PlaneUnit,
    RelayUnit,
    StatusUnit,
    TcpUnit,
    UdpUnit,
    WatchUnit,
)
from suite.web.site import LabPages


@dataclass(slots=True, kw_only=True)
class Parts:
    """What other packages bring; None where it is switched off."""

    plane: Plane | None = None
    relay: Relay | None = None
    b2bua: Sequence[Unit] = ()
    """The media plane and the B2BUA, in the order of starting."""
    stream: Callable[[TcpListen], Stream] | None = None
    """Makes the listener of one TCP address, anew for each try."""
    certificates: Certificates | None = None
    certificate_watch: Watch | None = None
    lab: LabPages | None = None
    """The lab's pages; the status port has their addresses, too."""


@dataclass(slots=True)
class Standing:
    """What the status pages ask. Nothing is ready until a supervisor says so."""

    supervisor: Supervisor | None = None

    @property
    def ready(self) -> bool:
        """Whether clients may be sent here."""
        return self.supervisor is not None and self.supervisor.ready

    @property
    def draining(self) -> bool:
        """Whether the process is on its way out."""
        return self.supervisor is not None and self.supervisor.draining

    def health(self) -> dict[str, tuple[bool, Health]]:
        """Each unit's name, whether it is required, and how it is."""
        units = self.supervisor.units if self.supervisor else []
        return {each.unit.name: (each.unit.required, each.health()) for each in units}

    def up(self) -> Mapping[str, float]:
        """Each unit as a number for Prometheus."""
        return {name: float(health.ok) for name, (_, health) in self.health().items()}


@dataclass(slots=True)
class Composition:
    """All units and what the service needs to reach directly."""

    stages: Sequence[Sequence[Unit]]
    listening: Sequence[tuple[Listening, TcpListen | None]]
    relay: Relay | None
    certificates: Certificates | None
    has_pages: bool = True
    """Whether it is to lead to the pages."""
    has_lab: bool = False
    """Whether the start text is to lead to the lab."""
    standing: Standing = field(default_factory=Standing)

    def watched_by(self, supervisor: Supervisor) -> None:
        """Let the status pages ask this supervisor."""
        self.standing.supervisor = supervisor

    def opened(self, supervisor: Supervisor) -> list[Opened]:
        """Each address and what became of it."""
        faults = {each.unit.name: each for each in supervisor.units}
        rows = []
        for unit, listen in self.listening:
            supervised = faults[unit.name]
            rows.append(
                Opened(
                    transport=unit.transport,
                    address=unit.address,
                    serves=unit.serves,
                    fault=supervised.fault,
                    remedy=_remedy(supervised.error),
                    web=self.has_pages and listen is not None and listen.web,
                    tls=listen is not None and listen.tls,
                )
            )
        for each in supervisor.units:
            if isinstance(each.unit, B2buaUnit):
                fault, remedy = each.fault, _remedy(each.error)
                rows += [Opened(*place, fault, remedy) for place in each.unit.serving()]
        return rows


def compose(
    settings: SuiteSettings,
    parts: Parts,
    metrics: Metrics,
    log: Log,
    clocks: Clocks,
    reactor: IReactorTCP,
) -> Composition:
    """Make every unit that the settings ask for."""
    standing = Standing()
    lag = LagWatch(clocks.monotonic, metrics.lag.observe)
    listening = _listening(settings, parts)
    first: list[Unit] = [LogUnit(log), WatchUnit("reactor", lag)]
    if settings.status is not None:
        site = status_site(
            standing,
            metrics,
            lambda: lag.worst,
            clocks.monotonic,
            settings.status.metrics_path,
            parts.lab,
        )
        status = StatusUnit(site, settings.status.address, reactor)
        first.append(status)
        listening.append((status, None))
    if parts.certificate_watch is not None:
        first.append(WatchUnit("certificate", parts.certificate_watch))
    middle: list[list[Unit]] = []
    if parts.plane is not None:
        middle.append([PlaneUnit(parts.plane)])
    if parts.relay is not None:
        middle.append([RelayUnit(parts.relay)])
    middle += [[unit] for unit in parts.b2bua]
    last: list[Unit] = [unit for unit, _ in listening if not isinstance(unit, StatusUnit)]
    _read_metrics(metrics, standing, log, parts)
    return Composition(
        [first, *middle, last],
        listening,
        parts.relay,
        parts.certificates,
        has_pages=settings.web,
        has_lab=parts.lab is not None,
        standing=standing,
    )


def _listening(settings: SuiteSettings, parts: Parts) -> list[tuple[Listening, TcpListen | None]]:
    units: list[tuple[Listening, TcpListen | None]] = []
    if parts.plane is not None:
        for udp in settings.udp:
            units.append((UdpUnit(parts.plane, udp.address, _udp_words(settings)), None))
    make = parts.stream
    if make is not None:
        for tcp in settings.tcp:
            unit = TcpUnit(partial(make, tcp), tcp.address, _tcp_words(tcp, settings))
            units.append((unit, tcp))
    return units


def _udp_words(settings: SuiteSettings) -> str:
    turn = settings.turn
    names = [
        name
        for name, served in (("STUN", turn and turn.stun), ("TURN", turn and turn.turn))
        if served
    ]
    return ", ".join(names)


def _tcp_words(listen: TcpListen, settings: SuiteSettings) -> str:
    b2bua = settings.b2bua
    has_sip = b2bua is not None
    has_gateway = b2bua is not None and b2bua.gateway is not None
    words = {
        "TURN over TLS": listen.secures_turn,
        "TURN": listen.turn and listen.plain,
        "pages": listen.web and settings.web,
        "gateway": listen.web and has_gateway and not listen.http_port,
        "gateway (http-port)": listen.http_port,
        "redirect to HTTPS": listen.redirect_to,
        "SIP over WebSocket": listen.web and has_sip,
    }
    return ", ".join(word for word, served in words.items() if served)


def _remedy(error: BaseException | None) -> str:
    return error.failure.remedy if isinstance(error, NotOpened) else ""


def _read_metrics(metrics: Metrics, standing: Standing, log: Log, parts: Parts) -> None:
    readings = metrics.readings
    readings.gauges("sgw_unit_up", "Whether a part of the suite is well", "unit", standing.up)
    readings.counter("sgw_log_dropped", "Log records that were not written", lambda: log.dropped)
    readings.counter(
        "sgw_exceptions", "Faults of our own that were logged", lambda: log.unexpected_errors
    )
    if parts.certificates is not None:
        certificates = parts.certificates
        readings.gauge(
            "sgw_cert_expiry_seconds",
            "How long the certificate is valid yet",
            certificates.seconds_left,
        )
