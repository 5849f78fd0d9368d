"""
The B2BUA and its media plane as units of the suite.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Mapping

from twisted.internet.defer import Deferred, succeed
from twisted.web.resource import IResource
from twisted.web.server import Request

from b2bua.gateway.session import Session
from b2bua.net.service import B2buaService
from b2bua.net.stream import SipStream
from b2bua.net.transport import NotBound
from b2bua.settings import B2buaSettings
from b2bua.upstreams import State
from suite.bind_failure import BindFailure, explain
from suite.datapath.media_ends import AnyMediaPlane
from suite.log_records import LogEvent
from suite.unit import Health
from suite.units import NotOpened
from turn.five_tuple import Address

_IP = {"UDP": "UDP", "TCP": "TCP", "TLS": "TCP", "WS": "TCP", "WSS": "TCP"}
_WORDS = {
    "UDP": "SIP",
    "TCP": "SIP",
    "TLS": "SIP over TLS",
    "WS": "SIP over WebSocket",
    "WSS": "SIP over WebSocket and TLS",
}
_STOP_WITHIN = 4.0
"""Seconds for saying good-bye to calls and SIP Servers; the supervisor waits a little longer."""


class GatewayFault(NotOpened):
    """A part of the gateway cannot be opened; ``event`` is the guide's id for it."""

    def __init__(self, event: LogEvent, text: str, failure: BindFailure) -> None:
        super().__init__(failure)
        self.event = event
        self.text = text


class B2buaUnit:
    """SIP listeners, calls and registrations."""

    name = "b2bua"
    required = True

    def __init__(self, settings: B2buaSettings, make: Callable[[], B2buaService]) -> None:
        """``make`` is called for each try, because it may need files that are not there yet."""
        self._settings = settings
        self._make = make
        self.service: B2buaService | None = None

    def start(self) -> None:
        """Open every SIP address; raises GatewayFault, or what a certificate is refused with."""
        self.service = self._make()
        _check_media_address(self.service.settings.media.host)
        try:
            self.service.start()
        except NotBound as error:
            listen = error.listen
            failure = explain(error.fault, _IP[listen.transport], (listen.host, listen.port))
            raise GatewayFault(*_sip_fault(error), failure) from error

    def stop(self) -> Deferred[None]:
        """End calls, unregister, close every address."""
        service, self.service = self.service, None
        return succeed(None) if service is None else service.stop(_STOP_WITHIN)

    def accept(self, transport: str, host: str, port: int) -> SipStream | None:
        """Make the protocol of a connection that a listener of the pages took in; None refuses."""
        return None if self.service is None else self.service.accept(transport, host, port)

    def pages(self) -> Mapping[bytes, IResource] | None:
        """The gateway's addresses, by the first part of their paths; None while it is down."""
        web = None if self.service is None else self.service.web
        return None if web is None else web.pages()

    def session_of(self, request: Request) -> Session | None:
        """The gateway's session that asks for something beside it, if it may have it."""
        web = None if self.service is None else self.service.web
        return None if web is None else web.session_of(request)

    def serving(self) -> list[tuple[str, Address, str]]:
        """Transport and address of everything that is taken in, and what it is."""
        return [
            (_IP[listen.transport], (listen.host, listen.port), _WORDS[listen.transport])
            for listen in self._settings.listens
        ]

    def health(self) -> Health:
        """It serves whom it can; that no SIP Server answers is told as a complaint."""
        service = self.service
        if service is None:
            return Health(False, "stopped")
        servers = service.core.servers
        active = servers.state is State.ACTIVE
        said = f"SIP Server {servers.active}" if active else "no SIP Server answers"
        if service.gateway is not None:
            said += f"; {len(service.gateway.sessions)} browsers are signed in"
        return Health(True, said)


class MediaUnit:
    """The RTP bridge. It is there from the beginning; as a unit it goes after the calls."""

    name = "media plane"
    required = True

    def __init__(self, plane: AnyMediaPlane, complaint: str = "") -> None:
        """``complaint``: what is wrong although it serves."""
        self._plane = plane
        self._complaint = complaint

    def start(self) -> None:
        """Nothing: a plane works from birth."""

    def stop(self) -> None:
        """Close every socket that is left."""
        self._plane.shut_down()

    def health(self) -> Health:
        """Say which one it is."""
        return Health(True, "; ".join(filter(None, (self._plane.kind, self._complaint))))


def listened(settings: B2buaSettings) -> list[str]:
    """Where SIP is taken in, in words."""
    return [f"{a.transport} {a.host} port {a.port}" for a in settings.listens]


def _sip_fault(error: NotBound) -> tuple[LogEvent, str]:
    if getattr(error.fault, "errno", None) == errno.EADDRNOTAVAIL:
        return (
            LogEvent.SIP_ADDRESS,
            "Failed to set SIP address. Check network interfaces and the [rsmp]:[sip-address]"
            f" parameter: {error}",
        )
    return (
        LogEvent.SIP_STACK,
        f"Failed to initialize SIP stack. Check the [rsmp]:[sip-port] parameter: {error}",
    )


def _check_media_address(host: str) -> None:
    """Find out now, and not with the first call, that there is no such address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, 0))
        except OSError as error:
            text = (
                "Failed to set RTP address. Check network interfaces and the [rsmp]:[rtp-address]"
                " parameter"
            )
            raise GatewayFault(
                LogEvent.RTP_ADDRESS, text, explain(error, "UDP", (host, 0))
            ) from error
